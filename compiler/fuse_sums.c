/* fuse_sums.c - which sums over rows and columns the kernel of a convolution takes along: mean and variance of a norm behind it, sums of a norm's gradient.
 *
 * A sum joins when all that it adds is computed from the convolution's results at the same place, or read from memory at that place. sum((x - m)^2) joins a sum of
 * the same x when m does not vary along the summed axes: from mean and squares of parts it follows for any m, so m may be made of the sum itself and come later.
 * It is done where @fuse asks for it: a convolution gains no more by the reduction that vanishes than it loses (README.md has figures).
 * What partial sums are, and how they are added up, say contract_sums.c and loops_region.c.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum { OF_EACH = 1 << 2 | 1 << 3, OF_ALL = 1 << 0 | OF_EACH };     /* axes, by bit */

static uint32_t axes_of(const Graph *g, Ref r)
{
    uint32_t axes = 0;
    for (int i = 0; i < node(g, r)->nattrs; i++)
        axes |= 1u << node_attrs(g, r)[i];
    return axes;
}

const Fused *sum_taker(const Fusion *f, Ref r, uint32_t *which)
{
    for (uint32_t i = 0; i < f->kernels.n; i++)
        for (uint32_t j = 0; j < f->kernels.at[i]->sums.n; j++)
            if (f->kernels.at[i]->sums.at[j].sum == r || f->kernels.at[i]->sums.at[j].squares == r) {
                *which = j;
                return f->kernels.at[i];
            }
    return NULL;
}

/* Is r the sum of (x - m)^2, m of r's own shape? */
static bool is_squares(const Graph *g, Ref r, Ref *x, Ref *m)
{
    Ref a = node_arg(g, r, 0);
    if (node(g, a)->op != OP_mul || node_arg(g, a, 0) != node_arg(g, a, 1) || node(g, node_arg(g, a, 0))->op != OP_sub)
        return false;
    Ref d = node_arg(g, a, 0), spread = node_arg(g, d, 1);
    *x = node_arg(g, d, 0);
    *m = node(g, spread)->op == OP_broadcast ? node_arg(g, spread, 0) : 0;
    return *m && node(g, *m)->rank == 4 && memcmp(node_shape(g, *m), node_shape(g, r), 4 * sizeof(Dim)) == 0;
}

/* The sum of the same x that a kernel has taken along. */
static bool join_squares(Fusion *f, Ref r, Ref x, Ref m, uint32_t *kernel)
{
    const Graph *g = f->g;
    for (uint32_t i = f->uses_begin[x]; i < f->uses_begin[x + 1]; i++) {
        Ref      sum = f->users[i];
        uint32_t which;
        if (node(g, sum)->op != OP_sum || axes_of(g, sum) != axes_of(g, r) || nofuse_scope(g, sum) != nofuse_scope(g, r))
            continue;
        const Fused *k = sum_taker(f, sum, &which);
        if (!k || k->sums.at[which].squares || (node(g, sum)->flags & FLAG_AGAIN) != (node(g, r)->flags & FLAG_AGAIN))
            continue;
        f->kernels.at[k->seq]->sums.at[which].squares = r;
        f->kernels.at[k->seq]->sums.at[which].middle = m;
        *kernel = k->seq;
        note_met(f, x, r, k, WHY_statistics);
        return true;
    }
    return false;
}

/* Does kernel k, the last that something of x is read from, take sums over these axes of x? */
static Why refuses(const Fusion *f, const Fused *k, Ref x, uint32_t axes, const Deps *d)
{
    if (k->kind != FUSED_CONTRACT || !k->plan.sums_ok || k->layout.block == 1 || (axes != OF_EACH && axes != OF_ALL) || node(f->g, x)->dtype != DT_F32)
        return WHY_no_statistics;
    if (k->sums.n == MAX_SUMS || (k->sums.n && k->plan.sums_each != (axes == OF_EACH)))
        return WHY_no_statistics;
    Why why = closed_for(f, k, x, 0);
    return why ? why : read_in_place(f, k, d) ? WHY_none : WHY_moved;
}

bool take_sum(Fusion *f, Ref r, uint32_t *kernel, Ref *middle)
{
    const Graph *g = f->g;
    Ref          a = node_arg(g, r, 0), x;
    Deps         d = { 0 };
    if (node(g, r)->op != OP_sum || node(g, a)->rank != 4 || !pass_on(f->target->off, PASS_statistics))
        return false;
    if (!asks_fuse(g, r) && !f->target->eager)
        return false;
    if (is_squares(g, r, &x, middle) && join_squares(f, r, x, *middle, kernel))
        return true;
    *middle = 0;
    d.seen = xmalloc(g->nodes.n * sizeof *d.seen);
    depend_on(f, &d, a);
    *kernel = last_needed(f, &d);
    bool taken = *kernel != NONE && !refuses(f, f->kernels.at[*kernel], a, axes_of(g, r), &d);
    if (taken) {
        Fused *k = f->kernels.at[*kernel];
        SumOf  s = { .sum = r };
        k->plan.sums_each = axes_of(g, r) == OF_EACH;
        vec_push(&k->sums, s);
        for (uint32_t i = 0; i < d.list.n; i++)
            note_met(f, d.list.at[i].r, r, k, WHY_statistics);
    }
    vec_free(&d.list);
    free(d.seen);
    return taken;
}
