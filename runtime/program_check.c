/* program_check.c - what a graph asks of actual sizes, looked at before any kernel runs; see program.h.
 *
 * The reference interpreter finds these while it computes. Native code finds them here, once for each set of sizes.
 */
#include "program.h"

#include <stdlib.h>

typedef struct { const Graph *g; const DimBind *binds; uint32_t n; Status *st; } SizeCheck;

typedef struct { int rank; int64_t at[MAX_RANK], count; } Sizes;

static bool sizes_of(const SizeCheck *c, Ref r, Sizes *s)
{
    s->rank = node(c->g, r)->rank;
    s->count = 1;
    bool empty = false;
    for (int i = 0; i < s->rank; i++) {
        if (!dim_eval(c->g->dims, node_shape(c->g, r)[i], c->binds, c->n, &s->at[i])) {
            Text t = { 0 };
            dim_print(c->g->dims, node_shape(c->g, r)[i], &t);
            node_fail(c->g, r, c->st, "the size %s is not known or too large", t.at);
            text_free(&t);
            return false;
        }
        if (s->at[i] < 0)
            return node_fail(c->g, r, c->st, "axis %d would have the size %lld", i, (long long)s->at[i]);
        empty |= s->at[i] == 0;
        if (s->at[i] && __builtin_mul_overflow(s->count, s->at[i], &s->count))
            return node_fail(c->g, r, c->st, "a tensor too large for this machine");
    }
    if (s->count > (int64_t)1 << 43)
        return node_fail(c->g, r, c->st, "a tensor too large for this machine");
    s->count = empty ? 0 : s->count;
    return true;
}

static bool check_part(const SizeCheck *c, Ref r, const Sizes *whole, const Sizes *part)
{
    const int64_t *attrs = node_attrs(c->g, r);
    for (int i = 0; i < part->rank && part->count; i++) {
        int64_t start, step = attrs[part->rank + i];
        if (!dim_eval(c->g->dims, (Dim)attrs[i], c->binds, c->n, &start))
            return node_fail(c->g, r, c->st, "axis %d: its start is not known", i);
        int64_t last = start + (part->at[i] - 1) * step;
        if (start < 0 || start >= whole->at[i] || last < 0 || last >= whole->at[i])
            return node_fail(c->g, r, c->st, "axis %d: elements %lld to %lld of %lld", i, (long long)start, (long long)last, (long long)whole->at[i]);
    }
    return true;
}

static bool check_pad(const SizeCheck *c, Ref r, const Sizes *small, const Sizes *grown)
{
    const int64_t *attrs = node_attrs(c->g, r);
    PadMode        mode = (PadMode)attrs[grown->rank];
    for (int k = 0; k < grown->rank; k++) {
        int64_t n = small->at[k], before = attrs[k], behind = grown->at[k] - n - before, most = before > behind ? before : behind;
        if (n + before > grown->at[k] || before < 0)
            return node_fail(c->g, r, c->st, "axis %d: %lld before and %lld elements do not fit into %lld", k, (long long)before, (long long)n, (long long)grown->at[k]);
        if (most > 0 && (mode == MODE_REFLECT ? most >= n : n == 0))
            return node_fail(c->g, r, c->st, "axis %d: %lld elements cannot be %s by %lld", k, (long long)n, mode == MODE_REFLECT ? "mirrored" : "repeated", (long long)most);
    }
    return true;
}

static bool check_concat(const SizeCheck *c, Ref r, const Sizes *out)
{
    int64_t axis = node_attrs(c->g, r)[0], at = 0;
    for (int i = 0; i < node(c->g, r)->nargs; i++) {
        Sizes part;
        if (!sizes_of(c, node_arg(c->g, r, i), &part))
            return false;
        for (int k = 0; k < out->rank; k++)
            if (k != axis && part.at[k] != out->at[k])
                return node_fail(c->g, r, c->st, "part %d: axis %d has %lld elements, the result %lld", i, k, (long long)part.at[k], (long long)out->at[k]);
        at += part.at[axis];
    }
    if (at == out->at[axis])
        return true;
    return node_fail(c->g, r, c->st, "the parts have %lld elements along axis %lld, the result %lld", (long long)at, (long long)axis, (long long)out->at[axis]);
}

static bool check_same(const SizeCheck *c, Ref r, const Sizes *out)
{
    for (int i = 0; i < node(c->g, r)->nargs; i++) {
        Sizes in;
        if (!sizes_of(c, node_arg(c->g, r, i), &in))
            return false;
        for (int k = 0; k < out->rank; k++)
            if (in.at[k] != out->at[k])
                return node_fail(c->g, r, c->st, "operand %d has %lld elements along axis %d, the result %lld", i, (long long)in.at[k], k, (long long)out->at[k]);
    }
    return true;
}

static bool check_pixels(const SizeCheck *c, Ref r, const Sizes *s)
{
    if (s->at[2] > 0 && s->at[3] > 0)
        return true;
    return node_fail(c->g, r, c->st, "a picture of %lld by %lld has no pixels to resize", (long long)s->at[2], (long long)s->at[3]);
}

static bool check_node(const SizeCheck *c, Ref r)
{
    const Node *n = node(c->g, r);
    Sizes       out, in = { 0 };
    if (!sizes_of(c, r, &out) || (n->nargs && !sizes_of(c, node_arg(c->g, r, 0), &in)))
        return false;
    if (op_info[n->op].class == CLASS_ELEM)
        return check_same(c, r, &out);
    switch (n->op) {
    case OP_slice:       return check_part(c, r, &in, &out);
    case OP_place:       return check_part(c, r, &out, &in);
    case OP_pad:         return check_pad(c, r, &in, &out);
    case OP_pad_adjoint: return check_pad(c, r, &out, &in);
    case OP_concat:      return check_concat(c, r, &out);
    case OP_reshape:
        return in.count == out.count || node_fail(c->g, r, c->st, "%lld elements do not make %lld", (long long)in.count, (long long)out.count);
    case OP_broadcast:
        for (int i = 0; i < in.rank; i++)
            if (in.at[i] != out.at[i] && in.at[i] != 1)
                return node_fail(c->g, r, c->st, "axis %d has %lld elements, not 1", i, (long long)in.at[i]);
        return true;
    case OP_amax: case OP_argmax:
        return !(in.count == 0 && out.count > 0) || node_fail(c->g, r, c->st, "the largest of no elements");
    case OP_resize:
        return !out.count || check_pixels(c, r, &in);
    case OP_resize_adjoint:
        return !in.count || check_pixels(c, r, &out);
    default:
        return true;
    }
}

bool check_nodes(const Graph *g, const DimBind *binds, uint32_t n, Status *st)
{
    SizeCheck c = { g, binds, n, st };
    for (Ref r = 1; r < g->nodes.n; r++)
        if (!check_node(&c, r))
            return false;
    return true;
}
