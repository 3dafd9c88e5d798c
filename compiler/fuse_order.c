/* fuse_order.c - kernels are put off to just before the first that needs them, where that makes the peak of memory lower.
 *
 *   gram's gradient, conv5's, conv4's, ... conv1's, all kept until the       -->   conv5's, ... conv2's, gram's gradient, conv1's
 *   backward pass comes down to conv1
 *
 * requires: kernels in an order of execution, life-times of buffers; keeps: which kernel reads what from which, so every value; breaks: life-times (touch them anew).
 * With a kernel goes what works for it alone: packing of its operands, borders of zeros, its partial sums. Sizes are not known here: symbols count as NOMINAL, or what
 * Graph.likely says, so the order does not depend on the sizes of a run. A move is kept only if it lowers the peak at those; all other kernels stay where their
 * arguments have just been made.
 */
#include "arena.h"
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum { NOMINAL = 128, MOST_SYMBOLS = 64, ROUNDS = 3 };

typedef struct {
    const Fusion *f;
    uint32_t      n;               /* kernels */
    Touches      *touches;         /* by kernel, as numbered at the start */
    uint32_t     *order;           /* position -> kernel */
    int64_t      *bytes;           /* by buffer; 0: not in the arena */
    uint32_t     *first, *last;    /* by buffer: positions */
    Piece        *pieces;
} Order;

/* ---- the peak of an order, at nominal sizes ---- */

static void nominal_bytes(Order *o)
{
    const Graph *g = o->f->g;
    DimBind      binds[MOST_SYMBOLS];
    uint32_t     n = 0;
    for (uint32_t i = 0; i < o->f->buffers.n; i++) {
        Dim      syms[MOST_SYMBOLS];
        uint32_t count = dim_symbols(g->dims, o->f->buffers.at[i].elems, syms, MOST_SYMBOLS);
        for (uint32_t k = 0; k < count && k < MOST_SYMBOLS; k++) {
            DimBind b = { syms[k], syms[k] == threads_dim(g->dims) ? 2 : NOMINAL };
            bool    known = false;
            for (uint32_t j = 0; j < n; j++)
                known |= binds[j].sym == b.sym;
            for (uint32_t j = 0; j < g->likely.n; j++)
                if (g->likely.at[j].sym == b.sym)
                    b.value = g->likely.at[j].value;
            if (!known && n < MOST_SYMBOLS)
                binds[n++] = b;
        }
    }
    for (uint32_t i = 0; i < o->f->buffers.n; i++) {
        const Buffer *b = &o->f->buffers.at[i];
        int64_t       elems;
        if (b->home == HOME_ARENA && dim_eval(g->dims, b->elems, binds, n, &elems) && elems > 0 && elems < (int64_t)1 << 40)
            o->bytes[i] = elems * (b->layout.dtype == DT_BOOL ? 1 : 4);
    }
}

static int64_t peak_of(Order *o, uint32_t *when)
{
    uint32_t n = 0;
    memset(o->first, 0xff, o->f->buffers.n * sizeof *o->first);
    for (uint32_t at = 0; at < o->n; at++) {
        uint32_t k = o->order[at];
        for (uint32_t i = 0; i < o->touches[k].n; i++) {
            uint32_t b = o->touches[k].at[i].buffer;
            if (o->first[b] == NONE)
                o->first[b] = at;
            o->last[b] = at;
        }
    }
    for (uint32_t b = 0; b < o->f->buffers.n; b++)
        if (o->bytes[b] && o->first[b] != NONE)
            o->pieces[n++] = (Piece){ .bytes = o->bytes[b], .first = o->first[b], .last = o->f->buffers.at[b].keep ? o->n : o->last[b] };
    return arena_bound(o->pieces, n, when);
}

/* ---- moving ---- */

static bool writes(const Order *o, uint32_t at, uint32_t buffer)
{
    for (uint32_t i = 0; i < o->touches[o->order[at]].n; i++)
        if (o->touches[o->order[at]].at[i].buffer == buffer && o->touches[o->order[at]].at[i].write)
            return true;
    return false;
}

/* Does the kernel at position `at` work for those at at+1 .. end alone? Positions of the current order's peak_of. */
static bool works_for(const Order *o, uint32_t at, uint32_t end)
{
    bool any = false;
    for (uint32_t i = 0; i < o->touches[o->order[at]].n; i++) {
        const Touch *t = &o->touches[o->order[at]].at[i];
        if (!t->write)
            continue;
        bool shared = false;               /* a border, whose picture is written by one of them */
        for (uint32_t k = at + 1; k <= end; k++)
            shared |= writes(o, k, t->buffer);
        if (!o->bytes[t->buffer] || o->first[t->buffer] != at || (o->last[t->buffer] > end && !shared) || o->f->buffers.at[t->buffer].keep)
            return false;
        any = true;
    }
    return any;
}

/* Must the kernel at position b stay behind the one at a? */
static bool conflict(const Order *o, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < o->touches[o->order[a]].n; i++)
        for (uint32_t j = 0; j < o->touches[o->order[b]].n; j++) {
            const Touch *x = &o->touches[o->order[a]].at[i], *y = &o->touches[o->order[b]].at[j];
            if (x->buffer == y->buffer && (x->write || y->write))
                return true;
        }
    return false;
}

/* The kernels at from..to move behind the one at target. */
static void rotate(uint32_t *order, uint32_t from, uint32_t to, uint32_t target)
{
    uint32_t count = to - from + 1, *moved = xmalloc(count * sizeof *moved);
    memcpy(moved, order + from, count * sizeof *moved);
    memmove(order + from, order + to + 1, (target - to) * sizeof *order);
    memcpy(order + target + 1 - count, moved, count * sizeof *moved);
    free(moved);
}

/* Puts off the kernel at position `end` with those that work for it; true: the peak is lower for it. */
static bool put_off(Order *o, uint32_t end, int64_t *peak, uint32_t *when, uint32_t *saved)
{
    uint32_t from = end, target = end;
    while (from > 0 && works_for(o, from - 1, end))
        from--;
    for (bool stop = false; !stop && target + 1 < o->n; target += !stop)
        for (uint32_t k = from; k <= end && !stop; k++)
            stop = conflict(o, k, target + 1);
    if (target == end)
        return false;
    memcpy(saved, o->order, o->n * sizeof *saved);
    rotate(o->order, from, end, target);
    int64_t now = peak_of(o, when);
    if (now < *peak) {
        *peak = now;
        return true;
    }
    memcpy(o->order, saved, o->n * sizeof *saved);
    peak_of(o, when);
    return false;
}

/* Only what is written before the peak and read behind it can help by moving. */
static bool spans_peak(const Order *o, uint32_t at, uint32_t when)
{
    bool spans = false;
    for (uint32_t i = 0; i < o->touches[o->order[at]].n; i++) {
        const Touch *t = &o->touches[o->order[at]].at[i];
        spans |= t->write && at < when && o->bytes[t->buffer] && o->last[t->buffer] > when;
    }
    return spans;
}

void put_off_kernels(Fusion *f)
{
    uint32_t n = f->kernels.n, nb = f->buffers.n;
    if (n < 3 || !pass_on(f->target->off, PASS_order))
        return;
    Order     o = { f, n, xmalloc(n * sizeof *o.touches), xmalloc(n * sizeof *o.order), xmalloc((nb + 1) * sizeof *o.bytes), xmalloc((nb + 1) * sizeof *o.first),
                    xmalloc((nb + 1) * sizeof *o.last), xmalloc((nb + 1) * sizeof *o.pieces) };
    uint32_t *saved = xmalloc(n * sizeof *saved);
    bool      any = false, moved = true;
    for (uint32_t i = 0; i < n; i++)
        o.order[i] = i;
    for (uint32_t i = 0; i < o.n; i++)
        touches_of(f->kernels.at[i], &o.touches[i]);
    nominal_bytes(&o);
    uint32_t when;
    int64_t  peak = peak_of(&o, &when);
    for (int round = 0; round < ROUNDS && moved; round++) {
        moved = false;
        for (uint32_t at = n; at-- > 0;)
            if (spans_peak(&o, at, when) && put_off(&o, at, &peak, &when, saved))
                moved = any = true;
    }
    Fused **kernels = xmalloc(n * sizeof *kernels);
    for (uint32_t i = 0; i < n && any; i++)
        kernels[i] = f->kernels.at[o.order[i]];
    if (any)
        memcpy(f->kernels.at, kernels, n * sizeof *kernels);
    for (uint32_t i = 0; i < n; i++)
        vec_free(&o.touches[i]);
    free(kernels), free(o.touches), free(o.order), free(o.bytes), free(o.first), free(o.last), free(o.pieces), free(saved);
}
