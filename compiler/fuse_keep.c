/* fuse_keep.c - what depends on weights only and is the same from pass to pass: packed and transformed weights, their norms.
 *
 * In a graph that writes no variable (an export), a kernel is constant when all it reads are variables and results of constant kernels, and what it writes
 * has one size. What others read of its results stands in memory that the program keeps (HOME_KEPT) instead of in the arena. Constant kernels run again when
 * the caller says that variables have changed (RunState.weights), or says nothing.
 */
#include "fuse.h"

#include <stdlib.h>

typedef void OnUse(void *ctx, uint32_t buffer, bool write);

static void each_use(const Fused *k, OnUse *on, void *ctx)
{
    for (uint32_t i = 0; i < k->uses.n; i++)
        on(ctx, k->uses.at[i], k->kernel.bufs.at[i].write);
    for (int i = 0; i < 2; i++)
        if (k->in[i] != NONE)
            on(ctx, k->in[i], false);
    if (k->packed != NONE)
        on(ctx, k->packed, k->kind == FUSED_PACK);
    if (k->scratch != NONE)
        on(ctx, k->scratch, k->kind != FUSED_COMBINE);
    if (k->kind == FUSED_HALO || k->kind == FUSED_RELAYOUT)
        on(ctx, k->copy_to, true);
}

/* Of buffers: written by a constant kernel; written by another; read by another. */
typedef struct { const Fusion *f; bool *made, *spoiled, *wanted; bool constant; } Keep;

static bool fixed_size(const Fusion *f, uint32_t b, int64_t *elems)
{
    return f->buffers.at[b].home == HOME_ARENA && !f->buffers.at[b].keep && dim_is_const(f->g->dims, f->buffers.at[b].elems, elems);
}

static void look(void *ctx, uint32_t b, bool write)
{
    Keep   *q = ctx;
    int64_t elems;
    if (write)
        q->constant = q->constant && !q->spoiled[b] && fixed_size(q->f, b, &elems);
    else
        q->constant = q->constant && (q->f->buffers.at[b].home == HOME_VAR || (q->made[b] && !q->spoiled[b]));
}

static void note(void *ctx, uint32_t b, bool write)
{
    Keep *q = ctx;
    if (write)
        (q->constant ? q->made : q->spoiled)[b] = true;
    else if (!q->constant)
        q->wanted[b] = true;
}

static bool can_be_constant(const Fused *k)
{
    return k->kind == FUSED_PACK || k->kind == FUSED_RELAYOUT || k->kind == FUSED_MAP || k->kind == FUSED_REDUCE;
}

/* A kernel that is not constant takes with it those that write the same buffer, before or after: gone through until nothing changes. */
static void find_constants(Keep *q, Fusion *f)
{
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < f->kernels.n; i++) {
            Fused *k = f->kernels.at[i];
            q->constant = k->constant;
            if (k->constant)
                each_use(k, look, q);
            again |= q->constant != k->constant;
            k->constant = q->constant;
            each_use(k, note, q);
        }
    }
}

void keep_constants(Fusion *f)
{
    uint32_t n = f->buffers.n;
    if (f->g->writes.n || !pass_on(f->target->off, PASS_keep))
        return;
    Keep q = { .f = f };
    for (uint32_t i = 0; i < f->kernels.n; i++)
        f->kernels.at[i]->constant = can_be_constant(f->kernels.at[i]);
    q.made = xmalloc(n + 1);
    q.spoiled = xmalloc(n + 1);
    q.wanted = xmalloc(n + 1);
    find_constants(&q, f);
    for (uint32_t i = 0; i < n; i++) {
        Buffer *b = &f->buffers.at[i];
        int64_t elems;
        if (!q.made[i] || q.spoiled[i] || !q.wanted[i] || !fixed_size(f, i, &elems))
            continue;
        b->home = HOME_KEPT;
        b->index = (uint32_t)(f->kept_bytes / 64);
        f->kept_bytes += (elems * (b->layout.dtype == DT_BOOL ? 1 : 4) + 127) / 64 * 64;
    }
    free(q.made);
    free(q.spoiled);
    free(q.wanted);
}

bool constants_know_sizes(const Fusion *f)
{
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Kernel *k = &f->kernels.at[i]->kernel;
        int64_t       v;
        for (uint32_t j = 0; f->kernels.at[i]->constant && j < k->args.n; j++)
            if (!dim_is_const(f->g->dims, k->args.at[j], &v))
                return true;
    }
    return false;
}
