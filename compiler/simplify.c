/* simplify.c - the driver of the simplifier and its smart constructors. The rules are the rows of simplify_rules.def.
 *
 *   graph --copy node by node, bottom up, each through the rules--> graph --dce--> again, until a round changes nothing
 *
 * requires: a valid graph whose gradients are all taken (stop nodes vanish); keeps: topological order, places, values within ordinary rounding;
 * breaks: every Ref held outside the graph.
 * The copy hash-conses, so whatever became equal is one node: this pass is also the common subexpression elimination.
 * What it does not do: choose layouts, fuse, or regroup sums for speed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

enum { UNDER_WAY = UINT32_MAX, MAX_DEPTH = 500, MAX_ROUNDS = 16 };

#define OP_ELEM OP_COUNT           /* in a row: every elementwise op */
static const struct { PassName pass; Op op; Ref (*apply)(Simp *s, Ref r); } rules[] = {
#define RULE(pass, op, function, text) { PASS_##pass, OP_##op, rule_##function },
#include "simplify_rules.def"
#undef RULE
};

/* What r is after the rules; answers are remembered. A node met again below its own rewriting, or too deep, stays as it is: the next round sees to it. */
Ref simp(Simp *s, Ref r)
{
    while (s->done.n <= r)
        vec_push(&s->done, 0);
    if (s->done.at[r] == UNDER_WAY || s->depth >= MAX_DEPTH)
        return r;
    if (s->done.at[r])
        return s->done.at[r];
    s->done.at[r] = UNDER_WAY;
    s->depth++;
    Op   op = op_of(s, r);
    bool elem = op_info[op].class == CLASS_ELEM;
    Ref  to = 0;
    for (size_t i = 0; i < COUNT(rules) && !to; i++)
        if (pass_on(s->off, rules[i].pass) && (rules[i].op == op || (rules[i].op == OP_ELEM && elem))) {
            to = rules[i].apply(s, r);
            if (to == r)
                to = 0;
        }
    to = to ? simp(s, to) : r;
    s->depth--;
    s->done.at[r] = to;
    return to;
}

/* ---- reading ---- */
bool same_shape(const Type *a, const Type *b)
{
    return a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof(Dim) * (size_t)a->rank);
}

bool is_value(const Simp *s, Ref r, double v)
{
    double c;
    return is_const_value(s->g, r, &c) && c == v;
}

bool dim_le(const Simp *s, Dim a, Dim b)
{
    int64_t va, vb;
    if (a == b)
        return true;
    if (dim_is_const(s->g->dims, a, &va) && dim_is_const(s->g->dims, b, &vb))
        return va <= vb;
    return dim_nonneg(s->g->dims, dim_sub(s->g->dims, b, a));
}

Span span_of(const Simp *s, Ref r)
{
    Span w = { 0 };
    int  rank = node(s->g, r)->rank;
    for (int i = 0; i < rank; i++) {
        w.start[i] = (Dim)node_attrs(s->g, r)[i];
        w.step[i] = (int)node_attrs(s->g, r)[rank + i];
    }
    return w;
}

void read_axes(const Simp *s, Ref r, bool *axes)
{
    memset(axes, 0, MAX_RANK * sizeof *axes);
    for (int i = 0; i < node(s->g, r)->nattrs; i++)
        axes[node_attrs(s->g, r)[i]] = true;
}

bool concat_pieces(const Simp *s, Ref concat, Dim start, Dim size, int *first, int *last, Dim *offset)
{
    DimTable *t = s->g->dims;
    int       axis = (int)node_attrs(s->g, concat)[0], n = node(s->g, concat)->nargs;
    Dim       end = dim_add(t, start, size), at = 0;
    *first = -1;
    for (int i = 0; i < n; i++) {
        Dim next = dim_add(t, at, node_shape(s->g, arg_of(s, concat, i))[axis]);
        if (*first < 0 && at == start && next != end) {
            *first = i;                          /* perhaps whole pieces from here */
        } else if (*first < 0 && dim_le(s, at, start) && dim_le(s, end, next)) {
            *first = *last = i;
            *offset = dim_sub(t, start, at);
            return true;
        }
        if (*first >= 0 && next == end) {
            *last = i;
            *offset = 0;
            return true;
        }
        if (*first == i && dim_le(s, end, next)) {
            *last = i;                           /* the front part of piece i */
            *offset = 0;
            return true;
        }
        at = next;
    }
    return false;
}

/* ---- making ---- */
static Ref make(Simp *s, Op op, Dtype t, int rank, const Dim *shape, int nargs, const Ref *args, int nattrs, const int64_t *attrs)
{
    return simp(s, make_node(s->g, op, t, rank, shape, nargs, args, nattrs, attrs, 0));
}

Ref s_fill(Simp *s, Dtype t, double v, int rank, const Dim *shape)
{
    return simp(s, b_fill(s->g, t, v, rank, shape));
}

Ref s_fill_like(Simp *s, Ref like, double v)
{
    Type t = type_of(s, like);
    return s_fill(s, t.dtype, v, t.rank, t.shape);
}

Ref s_unary(Simp *s, Op op, Ref a)
{
    return make(s, op, DT_NONE, 0, NULL, 1, &a, 0, NULL);
}

Ref s_binary(Simp *s, Op op, Ref a, Ref b)
{
    return make(s, op, DT_NONE, 0, NULL, 2, (Ref[]){ a, b }, 0, NULL);
}

Ref s_select(Simp *s, Ref c, Ref a, Ref b)
{
    return make(s, OP_select, DT_NONE, 0, NULL, 3, (Ref[]){ c, a, b }, 0, NULL);
}

Ref s_cast(Simp *s, Ref a, Dtype t)
{
    return simp(s, b_cast(s->g, a, t));
}

Ref s_like(Simp *s, Ref r, const Type *t, const Ref *args)
{
    Node     n = *node(s->g, r);
    int64_t *attrs = xmalloc(sizeof *attrs * (n.nattrs + 1u));
    memcpy(attrs, node_attrs(s->g, r), sizeof *attrs * n.nattrs);
    bool given = op_info[n.op].flags & FLAG_SHAPE_GIVEN;
    Ref  q = make(s, (Op)n.op, (Dtype)n.dtype, given ? t->rank : 0, given ? t->shape : NULL, n.nargs, args, n.nattrs, attrs);
    free(attrs);
    return q;
}

Ref s_scale(Simp *s, Ref a, double k)
{
    return s_binary(s, OP_mul, a, s_fill_like(s, a, k));
}

Ref s_reshape(Simp *s, Ref a, int rank, const Dim *shape)
{
    return make(s, OP_reshape, type_of(s, a).dtype, rank, shape, 1, &a, 0, NULL);
}

Ref s_broadcast(Simp *s, Ref a, int rank, const Dim *shape)
{
    Type t = type_of(s, a), to = { t.dtype, rank, { 0 } };
    memcpy(to.shape, shape, sizeof(Dim) * (size_t)rank);
    return same_shape(&t, &to) ? simp(s, a) : make(s, OP_broadcast, t.dtype, rank, shape, 1, &a, 0, NULL);
}

Ref s_transpose(Simp *s, Ref a, const int *perm)
{
    int64_t attrs[MAX_RANK];
    int     rank = type_of(s, a).rank;
    for (int i = 0; i < rank; i++)
        attrs[i] = perm[i];
    return make(s, OP_transpose, DT_NONE, 0, NULL, 1, &a, rank, attrs);
}

static Ref make_span(Simp *s, Op op, Ref a, const Span *w, const Dim *shape)
{
    int64_t attrs[2 * MAX_RANK];
    Type    t = type_of(s, a);
    for (int i = 0; i < t.rank; i++) {
        Dim part = op == OP_slice ? shape[i] : t.shape[i];
        attrs[i] = w->start[i];
        attrs[t.rank + i] = part == one_of(s) ? 1 : w->step[i];    /* one element has no next */
    }
    return make(s, op, t.dtype, t.rank, shape, 1, &a, 2 * t.rank, attrs);
}

Ref s_slice(Simp *s, Ref a, const Span *w, const Dim *shape) { return make_span(s, OP_slice, a, w, shape); }
Ref s_place(Simp *s, Ref a, const Span *w, const Dim *shape) { return make_span(s, OP_place, a, w, shape); }

Ref s_concat(Simp *s, int n, const Ref *parts, int axis)
{
    Type t = type_of(s, parts[0]);
    for (int i = 1; i < n; i++)
        t.shape[axis] = dim_add(s->g->dims, t.shape[axis], node_shape(s->g, parts[i])[axis]);
    return n == 1 ? simp(s, parts[0]) : make(s, OP_concat, t.dtype, t.rank, t.shape, n, parts, 1, (int64_t[]){ axis });
}

Ref s_reduce(Simp *s, Op op, Ref a, const bool *axes)
{
    int64_t attrs[MAX_RANK];
    int     n = 0, rank = type_of(s, a).rank;
    for (int i = 0; i < rank; i++)
        if (axes[i])
            attrs[n++] = i;
    return n ? make(s, op, DT_NONE, 0, NULL, 1, &a, n, attrs) : simp(s, a);
}

Ref s_size(Simp *s, Dim d, Dtype t)
{
    int64_t v;
    return dim_is_const(s->g->dims, d, &v) ? simp(s, b_const(s->g, t, (double)v)) : s_cast(s, simp(s, b_size(s->g, d)), t);
}

/* ---- the pass ---- */
static bool equal_nodes(const Graph *a, const Graph *b)
{
    if (a->nodes.n != b->nodes.n)
        return false;
    for (Ref r = 1; r < a->nodes.n; r++) {
        const Node *p = node(a, r), *q = node(b, r);
        if (p->op != q->op || p->dtype != q->dtype || p->rank != q->rank || p->nargs != q->nargs || p->nattrs != q->nattrs ||
            memcmp(&p->value, &q->value, sizeof p->value) || memcmp(node_shape(a, r), node_shape(b, r), sizeof(Dim) * p->rank) ||
            memcmp(node_args(a, r), node_args(b, r), sizeof(Ref) * p->nargs) ||
            memcmp(node_attrs(a, r), node_attrs(b, r), sizeof(int64_t) * p->nattrs))
            return false;
    }
    return true;
}

/* One round: a simplified copy of g takes g's place. Returns whether anything changed. */
static bool round_once(Graph *g, Passes off)
{
    Simp   s = { .g = graph_like(g), .off = off };
    Graph *before = graph_like(g);
    Ref   *map = xmalloc(sizeof(Ref) * (g->nodes.n + 1)), *same = xmalloc(sizeof(Ref) * (g->nodes.n + 1));
    for (Ref r = 1; r < g->nodes.n; r++) {
        same[r] = copy_node(before, g, r, same);
        map[r] = simp(&s, copy_node(s.g, g, r, map));
    }
    adopt_nodes(g, s.g, map);
    dce(g);
    bool changed = !equal_nodes(before, g);
    graph_free(before);
    vec_free(&s.done);
    free(map);
    free(same);
    return changed;
}

void simplify(Graph *g)
{
    simplify_without(g, 0);
}

void simplify_without(Graph *g, Passes off)
{
    dce(g);
    for (int i = 0; i < MAX_ROUNDS && round_once(g, off); i++)
        continue;
    char why[512];
    assert(verify(g, why, sizeof why));
    (void)why;
}
