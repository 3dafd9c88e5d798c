/* inplace.c - which results of maps may be written over an argument: the memory of a value that is read for the last time, element by element, by the kernel that makes them.
 *
 * requires: kernels in order, life-times of buffers; sets Buffer.within, and changes nothing else: the kernel is the same, plan.c gives two of its buffers one address.
 * A map computes each element once, on one thread; all that an element is made of is loaded before anything of it is stored, and code is compiled as if any two
 * buffers could overlap. So it is right when every load from the argument stands at the very place of the store:
 *     1. a FUSED_MAP, no copy and no part of a concat: contractions compute elements twice, reductions in chunks;
 *     2. same layout, halo, type and size, so that the same index is the same element; the halo's zeros are there already;
 *     3. each load from the argument has the result's index; no mask leaves elements of the result out;
 *     4. nobody reads the argument later, and nothing but its halo has been written to the result before;
 *     5. one result takes one argument's place.
 */
#include "fuse.h"

#include <stdlib.h>

/* Does kernel k read `arg` at the place of root r alone? */
static bool read_at_root(const Fused *k, uint32_t arg, const Root *r)
{
    bool any = false;
    for (uint32_t i = 1; i < k->body.ins.n; i++) {
        const Ins *s = &k->body.ins.at[i];
        if (s->op != L_LOAD || k->uses.at[s->buf] != arg)
            continue;
        if (s->index != r->at)
            return false;
        any = true;
    }
    return any;
}

/* Is the result's memory untouched before kernel number at, but for zeros around the picture? */
static bool fresh_at(const Fusion *f, uint32_t result, uint32_t at)
{
    for (uint32_t i = f->buffers.at[result].first; i < at; i++) {
        const Fused *k = f->kernels.at[i];
        bool         touches = k->copy_to == result && (k->copy || k->kind == FUSED_HALO);
        for (uint32_t j = 0; j < k->uses.n; j++)
            touches |= k->uses.at[j] == result;
        touches |= k->in[0] == result || k->in[1] == result || k->packed == result || k->scratch == result || k->sums_at == result;
        if (touches && k->kind != FUSED_HALO)
            return false;
    }
    return true;
}

static bool may_replace(const Fusion *f, const Fused *k, uint32_t at, const Root *r, uint32_t arg)
{
    uint32_t      result = k->uses.at[r->buf];
    const Buffer *to = &f->buffers.at[result], *from = &f->buffers.at[arg];
    return arg != result && to->home == HOME_ARENA && from->home == HOME_ARENA && to->within == NONE && from->last == at && from->first < at && layout_equal(to->layout, from->layout) &&
           to->elems == from->elems && !r->only && read_at_root(k, arg, r) && fresh_at(f, result, at);
}

void find_in_place(Fusion *f)
{
    bool *taken = xmalloc(f->buffers.n + 1);
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        if (k->kind != FUSED_MAP || k->copy || k->part_of || !pass_on(f->target->off, PASS_inplace))
            continue;
        for (uint32_t r = 0; r < k->body.nroots; r++)
            for (uint32_t j = 0; j < k->uses.n; j++) {
                uint32_t arg = k->uses.at[j];
                if (taken[arg] || !may_replace(f, k, i, &k->body.root[r], arg))
                    continue;
                f->buffers.at[k->uses.at[k->body.root[r].buf]].within = arg;
                taken[arg] = true;
            }
    }
    free(taken);
}
