/* arena.c - placing pieces of memory in one arena: greedy best fit over several orders, then the best order mended at its highest piece.
 *
 *   offset ^   +-----+             Each piece goes into the tightest gap that is free for its whole life. Which order of placing is good depends on the
 *          |   | c   |  +----+     program: training wants long lives first, inference large pieces, U-shaped nets what is alive at the peak. All orders are
 *          | +-+-+---+--| d  |     tried; then what stands on top of the best arrangement is placed first in the next try, as long as tries are left.
 *          | | a | b |  |    |
 *          +-+---+---+--+----+--> moment
 *
 * The problem is NP-hard (dynamic storage allocation); the sum of what is alive at the worst moment bounds it from below, and where an arrangement reaches
 * that bound the search ends; mending ends within CLOSE of it, for it is part of every start (8 ms for 700 pieces). Work is bounded: about MOST_WORK comparisons
 * for all tries together, at least one try an order.
 */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_WORK = 1 << 23, MOST_MENDS = 200, CLOSE = 256 };     /* a part in CLOSE of the bound */

typedef struct { double key; uint32_t piece; } Keyed;

static int by_key(const void *a, const void *b)
{
    const Keyed *x = a, *y = b;
    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    return x->piece < y->piece ? -1 : x->piece > y->piece;
}

int64_t arena_bound(const Piece *p, uint32_t n, uint32_t *when)
{
    uint32_t end = 0, at = 0;
    for (uint32_t i = 0; i < n; i++)
        end = p[i].last > end ? p[i].last : end;
    int64_t *change = xmalloc(((size_t)end + 2) * sizeof *change), alive = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        change[p[i].first] += p[i].bytes;
        change[p[i].last + 1] -= p[i].bytes;
    }
    for (uint32_t t = 0; t <= end; t++) {
        alive += change[t];
        if (alive > most) {
            most = alive;
            at = t;
        }
    }
    free(change);
    if (when)
        *when = at;
    return most;
}

/* ---- one try ---- */

typedef struct {
    Piece    *p;
    uint32_t  n;
    Piece    *placed;              /* copies, by rising offset: most of the time goes into reading them */
} Try;

/* placed[0..n): the tightest gap among those alive together with x. Without branches: which pieces live together is hard to foresee. */
static int64_t best_gap(const Try *t, uint32_t n, const Piece *x)
{
    int64_t  end = 0, best = -1, best_size = INT64_MAX, bytes = x->bytes;
    uint32_t first = x->first, last = x->last;
    for (uint32_t i = 0; i < n; i++) {
        const Piece *o = &t->placed[i];
        bool         together = (o->first <= last) & (first <= o->last);
        int64_t      gap = o->offset - end, top = o->offset + o->bytes;
        bool         better = together & (gap >= bytes) & (gap < best_size);
        best = better ? end : best;
        best_size = better ? gap : best_size;
        end = together & (top > end) ? top : end;
    }
    return best < 0 ? end : best;
}

/* The arena; some size that is not below `limit` as soon as it can be no smaller. */
static int64_t place_in_order(Try *t, const uint32_t *order, int64_t limit)
{
    int64_t arena = 0;
    for (uint32_t k = 0; k < t->n && arena < limit; k++) {
        Piece   *x = &t->p[order[k]];
        uint32_t at = k;
        x->offset = best_gap(t, k, x);
        if (x->offset + x->bytes > arena)
            arena = x->offset + x->bytes;
        for (; at > 0 && t->placed[at - 1].offset > x->offset; at--)
            t->placed[at] = t->placed[at - 1];
        t->placed[at] = *x;
    }
    return arena;
}

/* ---- orders: the largest key is placed first ---- */

static double life(const Piece *x) { return (double)(x->last - x->first + 1); }
static double away(const Piece *x, uint32_t peak) { return x->first > peak ? x->first - peak : x->last < peak ? peak - x->last : 0; }

enum { ORDERS = 6 };

static double key_of(int order, const Piece *x, uint32_t peak, int64_t most)
{
    double size = (double)x->bytes;
    switch (order) {
    case 0: return size;
    case 1: return size * life(x);
    case 2: return life(x);
    case 3: return -(double)x->first + size / (double)(most + 1);              /* as they come, larger ones first */
    case 4: return -away(x, peak) + size / (double)(most + 1);                 /* from the peak outward, larger ones first */
    default: return -away(x, peak) + life(x) / (life(x) + 1);                  /* from the peak outward, longer lives first */
    }
}

static void sort_order(const Piece *p, uint32_t n, int which, uint32_t peak, Keyed *keyed, uint32_t *order)
{
    int64_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = p[i].bytes > most ? p[i].bytes : most;
    for (uint32_t i = 0; i < n; i++)
        keyed[i] = (Keyed){ key_of(which, &p[i], peak, most), i };
    qsort(keyed, n, sizeof *keyed, by_key);
    for (uint32_t i = 0; i < n; i++)
        order[i] = keyed[i].piece;
}

/* The pieces that reach the arena's top move to the front, in their order. */
static void mend(const Piece *p, uint32_t n, int64_t arena, uint32_t *order, uint32_t *scratch)
{
    uint32_t front = 0, k = 0;
    for (uint32_t i = 0; i < n; i++)
        if (p[order[i]].offset + p[order[i]].bytes == arena)
            scratch[front++] = order[i];
    for (uint32_t i = 0; i < n; i++)
        if (p[order[i]].offset + p[order[i]].bytes != arena)
            scratch[front + k++] = order[i];
    memcpy(order, scratch, n * sizeof *order);
}

int64_t arena_place(Piece *p, uint32_t n)
{
    uint32_t  peak, tries = MOST_WORK / (n * (uint64_t)n + 1);
    int64_t   bound = arena_bound(p, n, &peak), best = INT64_MAX;
    int64_t  *offset = xmalloc((n + 1) * sizeof *offset);
    uint32_t *order = xmalloc((n + 1) * sizeof *order), *good = xmalloc((n + 1) * sizeof *good), *scratch = xmalloc((n + 1) * sizeof *scratch);
    Keyed    *keyed = xmalloc((n + 1) * sizeof *keyed);
    Try       t = { p, n, xmalloc((n + 1) * sizeof *t.placed) };
    int       orders = 0;
    tries = tries > ORDERS + MOST_MENDS ? ORDERS + MOST_MENDS : tries < ORDERS ? ORDERS : tries;
    for (uint32_t k = 0; k < tries && best > (k < ORDERS ? bound : bound + bound / CLOSE); k++) {
        if (orders < ORDERS)
            sort_order(p, n, orders++, peak, keyed, order);
        int64_t arena = place_in_order(&t, order, k < ORDERS ? best : INT64_MAX);      /* mending wants to see the whole */
        if (arena < best) {
            best = arena;
            memcpy(good, order, n * sizeof *good);
            for (uint32_t i = 0; i < n; i++)
                offset[i] = p[i].offset;
        }
        if (orders == ORDERS && k + 1 == ORDERS) {             /* from here on the best order is mended */
            memcpy(order, good, n * sizeof *order);
            for (uint32_t i = 0; i < n; i++)
                p[i].offset = offset[i];
            arena = best;
        }
        if (k + 1 >= ORDERS)
            mend(p, n, arena, order, scratch);
    }
    for (uint32_t i = 0; i < n; i++)
        p[i].offset = offset[i];
    free(offset), free(order), free(good), free(scratch), free(keyed), free(t.placed);
    return n ? best : 0;
}
