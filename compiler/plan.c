/* plan.c - everything about a Fusion that depends on sizes: kernels' arguments, tasks, work, and where buffers stand in one arena.
 *
 * A buffer lives from the first kernel that touches it to the last; arena.c finds it a place among those alive with it, at a multiple of 64 bytes. Every buffer
 * has at least 64 bytes, so that element 0 may always be read. What inplace.c has put within another buffer is one piece with it.
 */
#include "arena.h"
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

static bool size_of(const Fusion *f, Dim d, const DimBind *binds, uint32_t n, int64_t *v, Status *st)
{
    if (dim_eval(f->g->dims, d, binds, n, v) && *v < (int64_t)1 << 46)
        return true;
    Text t = { 0 };
    dim_print(f->g->dims, d, &t);
    status_fail(st, "the size %s is not known or too large", t.at);
    text_free(&t);
    return false;
}

static bool eval_kernels(const Fusion *f, const DimBind *binds, uint32_t n, MemoryPlan *p, Status *st)
{
    uint32_t total = 0, count = f->kernels.n;
    for (uint32_t i = 0; i < count; i++)
        total += f->kernels.at[i]->kernel.args.n;
    p->args = xmalloc((total + 1) * sizeof *p->args);
    p->args_at = xmalloc((count + 1) * sizeof *p->args_at);
    p->tasks = xmalloc((count + 1) * sizeof *p->tasks);
    p->work = xmalloc((count + 1) * sizeof *p->work);
    total = 0;
    for (uint32_t i = 0; i < count; i++) {
        const Kernel *k = &f->kernels.at[i]->kernel;
        p->args_at[i] = total;
        for (uint32_t j = 0; j < k->args.n; j++)
            if (!size_of(f, k->args.at[j], binds, n, &p->args[total++], st))
                return false;
        if (!size_of(f, k->tasks, binds, n, &p->tasks[i], st))
            return false;
        if (!dim_eval(f->g->dims, k->flops, binds, n, &p->work[i]))
            p->work[i] = INT64_MAX;        /* more than fits a number is much work */
    }
    return true;
}

static bool eval_buffers(const Fusion *f, const DimBind *binds, uint32_t n, MemoryPlan *p, Status *st)
{
    p->bytes = xmalloc((f->buffers.n + 1) * sizeof *p->bytes);
    p->offset = xmalloc((f->buffers.n + 1) * sizeof *p->offset);
    for (uint32_t i = 0; i < f->buffers.n; i++) {
        const Buffer *b = &f->buffers.at[i];
        int64_t       elems;
        if (!size_of(f, b->elems, binds, n, &elems, st))
            return false;
        int64_t bytes = elems * (b->layout.dtype == DT_BOOL ? 1 : 4);
        p->bytes[i] = bytes < 64 ? 64 : (bytes + 63) / 64 * 64;
        p->offset[i] = -1;
    }
    return true;
}

/* ---- offsets ---- */

int plan_guard;

/* The stress switch (and --passes=-reuse): no memory is used twice, and plan_guard bytes that nobody may touch stand behind each buffer. */
static void place_apart(const Fusion *f, MemoryPlan *p)
{
    p->arena = plan_guard;
    for (uint32_t i = 0; i < f->buffers.n; i++) {
        if (f->buffers.at[i].home != HOME_ARENA || f->buffers.at[i].first == NONE)
            continue;
        p->offset[i] = p->arena;
        p->arena += p->bytes[i] + plan_guard;
    }
}

/* The buffer whose memory b stands in, its own or that of the first of those that took it over from one another. */
static uint32_t host_of(const Fusion *f, uint32_t b)
{
    while (f->buffers.at[b].within != NONE)
        b = f->buffers.at[b].within;
    return b;
}

static void place_buffers(const Fusion *f, MemoryPlan *p)
{
    uint32_t  count = f->buffers.n, n = 0;
    Piece    *piece = xmalloc((count + 1) * sizeof *piece);
    uint32_t *piece_of = xmalloc((count + 1) * sizeof *piece_of);
    bool      apart = plan_guard || !pass_on(f->target->off, PASS_reuse);
    for (uint32_t i = 0; i < count; i++) {
        const Buffer *b = &f->buffers.at[i];
        if (b->home != HOME_ARENA || b->first == NONE || (b->within != NONE && !apart))
            continue;
        piece_of[i] = n;
        piece[n++] = (Piece){ .bytes = p->bytes[i], .first = b->first, .last = b->last };
    }
    for (uint32_t i = 0; i < count && !apart; i++) {
        const Buffer *b = &f->buffers.at[i];
        if (b->within == NONE)
            continue;
        Piece *host = &piece[piece_of[host_of(f, i)]];
        host->last = b->last > host->last ? b->last : host->last;
    }
    p->bound = arena_bound(piece, n, &p->peak);
    if (apart)
        place_apart(f, p);
    else
        p->arena = arena_place(piece, n);
    for (uint32_t i = 0; i < count && !apart; i++)
        if (f->buffers.at[i].home == HOME_ARENA && f->buffers.at[i].first != NONE)
            p->offset[i] = piece[piece_of[host_of(f, i)]].offset;
    free(piece);
    free(piece_of);
}

bool plan_memory(const Fusion *f, const DimBind *binds, uint32_t n, MemoryPlan *p, Status *st)
{
    memset(p, 0, sizeof *p);
    if (!eval_kernels(f, binds, n, p, st) || !eval_buffers(f, binds, n, p, st)) {
        plan_free(p);
        return false;
    }
    place_buffers(f, p);
    return true;
}

void plan_free(MemoryPlan *p)
{
    free(p->args);
    free(p->args_at);
    free(p->tasks);
    free(p->work);
    free(p->bytes);
    free(p->offset);
    memset(p, 0, sizeof *p);
}
