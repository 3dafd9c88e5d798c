/* budget.c - which values to compute again so that the arena keeps to a budget: --memory-budget.
 *
 *   plan --> too much? --> what is alive at the peak and can be computed again --> the most bytes for the least work --> plan again, until it fits
 *
 * A choice that does not make the arena smaller (something else wants the value anyway, or what it is made of then lives as long) is taken back and not tried again
 * before all others have been.
 * With a value goes whatever is computed between it and stored values. Work is an estimate: an element of an elementwise kernel 1, a multiply-add
 * 1/32; so norms, activations and borders go before convolutions, and small convolutions with large results before large ones.
 */
#include "remat.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 400, MOST_AT_ONCE = 4 };

typedef struct { Ref r; int64_t bytes; double work; } Candidate;

typedef struct {
    const Graph   *g;
    const Target  *t;
    const DimBind *binds;
    uint32_t       n;
    bool          *again, *banned; /* by node of g */
    Vec(Candidate) found;          /* best first */
} Search;

/* The program with the marks of again[]: its graph, fusion, plan; by node, what it computes in terms of Search.g, and whether its value is in memory. */
typedef struct { Graph *g; Fusion *f; MemoryPlan plan; Ref *from; bool *stored; } Draft;

static void draft_free(Draft *d)
{
    plan_free(&d->plan);
    fusion_free(d->f);
    graph_free(d->g);
    free(d->from);
    free(d->stored);
    *d = (Draft){ 0 };
}

static bool draft_make(const Search *s, Draft *d, Status *st)
{
    *d = (Draft){ 0 };
    d->g = remat(s->g, s->again, &d->from);
    d->f = fuse(d->g, s->t, st);
    if (!d->f || !plan_memory(d->f, s->binds, s->n, &d->plan, st)) {
        draft_free(d);
        return false;
    }
    d->stored = values_in_memory(d->f);
    return true;
}

static double node_work(const Search *s, const Graph *g, Ref r)
{
    int64_t n;
    Dim     macs = contract_macs(g, r);
    bool    contraction = op_info[node(g, r)->op].class == CLASS_CONTRACT;
    if (!dim_eval(g->dims, contraction ? macs : element_count(g, r), s->binds, s->n, &n))
        return 1e30;
    return contraction ? (double)n / 32 : op_info[node(g, r)->op].class == CLASS_WINDOW ? 4.0 * (double)n : (double)n;
}

/* The work of computing r again, with all that must come along. mark: again[] is set for it. */
static double with_reach(Search *s, const Draft *d, Ref r, bool mark)
{
    bool  *reached = xmalloc(d->g->nodes.n);
    double work = 1;
    remat_reach(d->f, d->stored, r, reached);
    for (Ref x = 1; x < d->g->nodes.n; x++) {
        if (!reached[x])
            continue;
        work += node_work(s, d->g, x);
        if (mark)
            s->again[d->from[x]] = true;
    }
    free(reached);
    return work;
}

static int by_worth(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    double           wx = (double)x->bytes / x->work, wy = (double)y->bytes / y->work;
    return wx > wy ? -1 : wx < wy ? 1 : x->r < y->r ? -1 : x->r > y->r;
}

static void find_candidates(Search *s, const Draft *d)
{
    s->found.n = 0;
    for (uint32_t i = 0; i < d->f->buffers.n; i++) {
        const Buffer *b = &d->f->buffers.at[i];
        Ref           r = b->value ? d->from[b->value] : 0;
        bool          alive = b->home == HOME_ARENA && b->first != NONE && b->first < d->plan.peak && d->plan.peak <= b->last;
        if (!alive || !r || s->banned[r] || s->again[r] || !can_remat(s->g, r))
            continue;
        Candidate c = { b->value, d->plan.bytes[i], with_reach(s, d, b->value, false) };
        vec_push(&s->found, c);
    }
    if (s->found.n)
        qsort(s->found.at, s->found.n, sizeof *s->found.at, by_worth);
}

/* Marks the best candidates until what they take covers the excess, at most so many. */
static uint32_t take_best(Search *s, const Draft *d, int64_t excess, uint32_t most)
{
    uint32_t k = 0;
    for (; k < s->found.n && k < most && excess > 0; k++) {
        with_reach(s, d, s->found.at[k].r, true);
        excess -= s->found.at[k].bytes;
    }
    return k;
}

bool fit_budget(const Graph *g, const Target *t, const DimBind *binds, uint32_t n, int64_t budget, bool *again, int64_t *arena, Status *st)
{
    Search   s = { .g = g, .t = t, .binds = binds, .n = n, .again = again, .banned = xmalloc(g->nodes.n + 1) };
    bool    *before = xmalloc(g->nodes.n + 1);
    Draft    now, next;
    uint32_t at_once = MOST_AT_ONCE, gained = 0;
    bool     ok = draft_make(&s, &now, st);
    for (int round = 0; ok && round < MOST_ROUNDS && now.plan.arena > budget; round++) {
        memcpy(before, again, g->nodes.n);
        find_candidates(&s, &now);
        uint32_t taken = take_best(&s, &now, now.plan.arena - budget, at_once);
        if (!taken && !gained)
            break;
        if (!taken) {                      /* what was banned may help now */
            memset(s.banned, 0, g->nodes.n);
            gained = 0;
            continue;
        }
        ok = draft_make(&s, &next, st);
        if (!ok)
            break;
        if (next.plan.arena < now.plan.arena) {
            draft_free(&now);
            now = next;
            gained++;
            at_once = at_once < MOST_AT_ONCE ? 2 * at_once : at_once;
            continue;
        }
        draft_free(&next);
        memcpy(again, before, g->nodes.n);
        if (taken == 1)
            s.banned[now.from[s.found.at[0].r]] = true;
        at_once = taken > 1 ? taken / 2 : 1;
    }
    *arena = ok ? now.plan.arena : 0;
    draft_free(&now);
    vec_free(&s.found);
    free(s.banned);
    free(before);
    return ok;
}
