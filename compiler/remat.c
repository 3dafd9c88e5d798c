/* remat.c - rematerialisation: values of the forward pass that the backward pass computes again instead of finding them in memory.
 *
 *     a --> b --> loss        a --> b --> loss          @remat on b: the backward pass d reads b', a second node that computes the same from the same
 *           |               a --> b' --> d              arguments; b's memory is free as soon as the forward pass has gone on.
 *           +--> d
 *
 * requires: a simplified graph; nodes of backward passes stand under HINT_GRADIENT (grad.c); keeps: values, bit by bit (the same ops on the same numbers; random
 * numbers are a function of their place); topological order, and second nodes stand just before their first reader, since kernels come in the order of nodes.
 * Second nodes carry FLAG_AGAIN, which keeps hash-consing from making them one with the first.
 * Results of reductions are never computed again: they are small, and their arguments are what is to go.
 */
#include "remat.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

/* Of a backward pass, or computed for one already. */
static bool is_late(const Graph *g, Ref r) { return node(g, r)->flags & FLAG_AGAIN || node_hint(g, r, HINT_GRADIENT); }

bool can_remat(const Graph *g, Ref r)
{
    OpClass c = op_info[node(g, r)->op].class;
    return c != CLASS_LEAF && c != CLASS_REDUCE && !is_late(g, r);
}

typedef struct {
    const Graph *g;
    Graph       *to;
    const bool  *again;
    Ref         *map, *second;     /* by node of g: its copy, and its second copy once somebody wanted it */
    Vec(Ref)     from;             /* by node of `to` */
} Remat;

static void note(Remat *m, Ref made, Ref of)
{
    while (m->from.n <= made)
        vec_push(&m->from, 0);
    if (!m->from.at[made])
        m->from.at[made] = of;
}

/* copy_node with the arguments' second copies where these are wanted and there. */
static Ref copy_late(Remat *m, Ref r, bool again)
{
    const Node *n = node(m->g, r);
    Ref        *args = xmalloc((n->nargs + 1u) * sizeof *args);
    for (int i = 0; i < n->nargs; i++) {
        Ref a = node_arg(m->g, r, i);
        args[i] = m->again[a] ? m->second[a] : m->map[a];
    }
    m->to->loc = n->loc;
    m->to->use = n->use;
    m->to->chain = n->chain;
    m->to->hint = n->hint;
    m->to->again = again;
    bool given = op_info[n->op].flags & FLAG_SHAPE_GIVEN;
    Ref  c = make_node(m->to, (Op)n->op, (Dtype)n->dtype, given ? n->rank : 0, given ? node_shape(m->g, r) : NULL, n->nargs, args, n->nattrs, node_attrs(m->g, r), n->value);
    m->to->again = false;
    note(m, c, r);
    free(args);
    return c;
}

/* Second copies of r's wanted arguments, arguments before users. */
static void make_seconds(Remat *m, Ref r)
{
    Vec(Ref) todo = { 0 };
    for (int i = 0; i < node(m->g, r)->nargs; i++)
        if (m->again[node_arg(m->g, r, i)])
            vec_push(&todo, node_arg(m->g, r, i));
    while (todo.n) {
        Ref      a = todo.at[todo.n - 1];
        uint32_t before = todo.n;
        for (int i = 0; i < node(m->g, a)->nargs && !m->second[a]; i++) {
            Ref b = node_arg(m->g, a, i);
            if (m->again[b] && !m->second[b])
                vec_push(&todo, b);
        }
        if (todo.n > before)
            continue;
        todo.n--;
        if (!m->second[a])
            m->second[a] = copy_late(m, a, true);
    }
    vec_free(&todo);
}

Graph *remat(const Graph *g, const bool *again, Ref **from)
{
    Remat m = { .g = g, .to = graph_like(g), .again = again, .map = xmalloc((g->nodes.n + 1) * sizeof *m.map), .second = xmalloc((g->nodes.n + 1) * sizeof *m.second) };
    for (Ref r = 1; r < g->nodes.n; r++) {
        if (is_late(g, r)) {
            make_seconds(&m, r);
            m.map[r] = copy_late(&m, r, node(g, r)->flags & FLAG_AGAIN);
        } else {
            m.map[r] = copy_node(m.to, g, r, m.map);
            note(&m, m.map[r], r);
        }
    }
    copy_lists(m.to, g, m.map);
    free(m.map);
    free(m.second);
    if (from)
        *from = m.from.at;
    else
        vec_free(&m.from);
    char why[512];
    assert(verify(m.to, why, sizeof why));
    (void)why;
    return m.to;
}

bool *values_in_memory(const Fusion *f)
{
    bool *stored = xmalloc(f->g->nodes.n);
    for (uint32_t i = 0; i < f->buffers.n; i++)
        if (f->buffers.at[i].value && f->buffers.at[i].first != NONE)
            stored[f->buffers.at[i].value] = true;
    return stored;
}

void remat_reach(const Fusion *f, const bool *stored, Ref r, bool *reached)
{
    const Graph *g = f->g;
    Vec(Ref)     todo = { 0 };
    if (!reached[r])
        vec_push(&todo, r);
    reached[r] = true;
    while (todo.n) {
        Ref x = todo.at[--todo.n];
        for (int i = 0; i < node(g, x)->nargs; i++) {
            Ref a = node_arg(g, x, i);
            if (!reached[a] && !stored[kept_as(f, a)] && can_remat(g, a))
                reached[a] = true, vec_push(&todo, a);
        }
        for (uint32_t i = f->uses_begin[x]; i < f->uses_begin[x + 1]; i++) {
            Ref u = f->users[i];
            if (!reached[u] && !stored[kept_as(f, u)] && can_remat(g, u))
                reached[u] = true, vec_push(&todo, u);
        }
    }
    vec_free(&todo);
}

bool remat_hints(Graph *g, const Target *t, bool *again, Status *st)
{
    bool any = false;
    for (Ref r = 1; r < g->nodes.n; r++)
        any |= node_hint(g, r, HINT_REMAT) && can_remat(g, r);
    Fusion *f = any ? fuse(g, t, st) : NULL;
    if (!f)
        return !any;
    bool *stored = values_in_memory(f);
    for (Ref r = 1; r < g->nodes.n; r++)
        if (f->live[r] && node_hint(g, r, HINT_REMAT) && can_remat(g, r))
            remat_reach(f, stored, r, again);
    free(stored);
    fusion_free(f);
    return true;
}
