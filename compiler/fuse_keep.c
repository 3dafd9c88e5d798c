/* fuse_keep.c - what depends on weights only and is the same from pass to pass: packed and transformed weights, their norms.
 *
 * A kernel is constant when all it reads are variables and results of constant kernels, and what it writes has one size. In a graph that writes no variable (an
 * export) all variables count, in a step those that no step writes (Graph.trained): the weights of a perceptual network. What others read of its results stands
 * in memory that the program keeps (HOME_KEPT) instead of in the arena. Constant kernels run again when the caller says that such variables have changed
 * (RunState.weights, .frozen), or says nothing.
 */
#include "fuse.h"

#include <stdlib.h>

/* Of buffers: written by a constant kernel; written by another; read by another. */
typedef struct { const Fusion *f; bool *made, *spoiled, *wanted; } Keep;

static bool may_change(const Graph *g, uint32_t var)
{
    for (uint32_t i = 0; i < g->trained.n && g->writes.n; i++)
        if (g->trained.at[i] == var)
            return true;
    return false;
}

static bool fixed_size(const Fusion *f, uint32_t b, int64_t *elems)
{
    return f->buffers.at[b].home == HOME_ARENA && !f->buffers.at[b].keep && dim_is_const(f->g->dims, f->buffers.at[b].elems, elems);
}

static bool is_constant(const Keep *q, const Touch *t)
{
    int64_t elems;
    if (t->write)
        return !q->spoiled[t->buffer] && fixed_size(q->f, t->buffer, &elems);
    const Buffer *b = &q->f->buffers.at[t->buffer];
    return b->home == HOME_VAR ? !may_change(q->f->g, b->index) : q->made[t->buffer] && !q->spoiled[t->buffer];
}

static void note(Keep *q, const Touch *t, bool constant)
{
    if (t->write)
        (constant ? q->made : q->spoiled)[t->buffer] = true;
    else if (!constant)
        q->wanted[t->buffer] = true;
}

static bool can_be_constant(const Fused *k)
{
    return k->kind == FUSED_PACK || k->kind == FUSED_RELAYOUT || k->kind == FUSED_MAP || k->kind == FUSED_REDUCE;
}

/* A kernel that is not constant takes with it those that write the same buffer, before or after: gone through until nothing changes. */
static void find_constants(Keep *q, Fusion *f)
{
    Touches t = { 0 };
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = 0; i < f->kernels.n; i++) {
            Fused *k = f->kernels.at[i];
            bool   was = k->constant;
            t.n = 0;
            touches_of(k, &t);
            for (uint32_t j = 0; j < t.n; j++)
                k->constant = k->constant && is_constant(q, &t.at[j]);
            again |= was != k->constant;
            for (uint32_t j = 0; j < t.n; j++)
                note(q, &t.at[j], k->constant);
        }
    }
    vec_free(&t);
}

void keep_constants(Fusion *f)
{
    uint32_t n = f->buffers.n;
    if (!pass_on(f->target->off, PASS_keep))
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
