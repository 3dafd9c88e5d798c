/* verify.c - what must hold of a graph after every pass: the first fault found, in one line, or true.
 *
 * Everything is looked at again from the op table: order, counts, dtypes, the shape rule of every node, sizes and attributes that exist, inputs that
 * match their declaration, outputs, writes and asserts that point at nodes. It costs about as much as making the graph did.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

static bool fault(char *why, size_t nwhy, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool fault(char *why, size_t nwhy, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (nwhy)
        vsnprintf(why, nwhy, fmt, ap);
    va_end(ap);
    return false;
}

static bool verify_pools(const Graph *g, Ref r, char *why, size_t nwhy)
{
    const Node *n = node(g, r);
    if (n->op >= OP_COUNT)
        return fault(why, nwhy, "%%%u: no such op %d", r, n->op);
    if (n->dtype < DT_F32 || n->dtype > DT_BOOL || n->rank > MAX_RANK)
        return fault(why, nwhy, "%%%u: bad dtype or rank", r);
    if ((uint64_t)n->shape + n->rank > g->dims_pool.n || (uint64_t)n->args + n->nargs > g->arg_pool.n || (uint64_t)n->attrs + n->nattrs > g->attr_pool.n)
        return fault(why, nwhy, "%%%u: points outside the pools", r);
    if (n->chain >= g->chains.n)
        return fault(why, nwhy, "%%%u: no such chain", r);
    if (n->hint >= g->hints.n)
        return fault(why, nwhy, "%%%u: no such hint", r);
    for (int i = 0; i < n->nargs; i++)
        if (node_arg(g, r, i) == 0 || node_arg(g, r, i) >= r)
            return fault(why, nwhy, "%%%u = %s: input %d is %%%u, which is not made before", r, op_info[n->op].name, i, node_arg(g, r, i));
    for (int i = 0; i < n->rank; i++)
        if (!dim_valid(g->dims, node_shape(g, r)[i]))
            return fault(why, nwhy, "%%%u = %s: axis %d is not a size of this table", r, op_info[n->op].name, i);
    return true;
}

static bool verify_attrs(const Graph *g, Ref r, char *why, size_t nwhy)
{
    const Node     *n = node(g, r);
    const AttrInfo *infos;
    int             count = op_attrs((Op)n->op, &infos), at = 0;
    for (int i = 0; i < count; i++) {
        int k = op_attr_count((Op)n->op, i, n->nattrs);
        for (int j = 0; j < k && infos[i].kind == ATTR_DIM; j++)
            if (!dim_valid(g->dims, node_attrs(g, r)[at + j]))
                return fault(why, nwhy, "%%%u = %s: %s is not a size of this table", r, op_info[n->op].name, infos[i].name);
        at += k < 0 ? 0 : k;
    }
    return true;
}

static bool verify_node(const Graph *g, Ref r, char *why, size_t nwhy)
{
    const Node *n = node(g, r);
    char        reason[400];
    Type        want = node_type(g, r), t = want;
    if (!infer_type(g, (Op)n->op, n->nargs, node_args(g, r), n->nattrs, node_attrs(g, r), &t, NULL, reason, sizeof reason))
        return fault(why, nwhy, "%%%u = %s (line %u): %s", r, op_info[n->op].name, n->loc.line, reason);
    if (t.dtype != want.dtype || t.rank != want.rank || (t.rank && memcmp(t.shape, want.shape, (size_t)t.rank * sizeof *t.shape))) {
        Text have = { 0 }, should = { 0 };
        type_print(g->dims, &want, &have);
        type_print(g->dims, &t, &should);
        fault(why, nwhy, "%%%u = %s (line %u): has type %s, its inputs give %s", r, op_info[n->op].name, n->loc.line, have.at, should.at);
        text_free(&have);
        text_free(&should);
        return false;
    }
    if (n->op == OP_input) {
        int64_t           i = node_attrs(g, r)[0];
        const GraphInput *in = i < g->inputs.n ? &g->inputs.at[i] : NULL;
        if (!in || in->kind != IN_TENSOR)
            return fault(why, nwhy, "%%%u: there is no tensor input %lld", r, (long long)i);
        if (in->dtype != want.dtype || in->rank != want.rank || (want.rank && memcmp(in->shape, want.shape, (size_t)want.rank * sizeof *want.shape)))
            return fault(why, nwhy, "%%%u: differs from the declared input '%s'", r, in->name ? in->name : "");
    }
    return true;
}

static bool verify_ref(const Graph *g, Ref r, const char *what, const char *name, char *why, size_t nwhy)
{
    return (r > 0 && r < g->nodes.n) || fault(why, nwhy, "%s '%s' points at no node (%%%u)", what, name ? name : "", r);
}

bool verify(const Graph *g, char *why, size_t nwhy)
{
    for (Ref r = 1; r < g->nodes.n; r++)
        if (!verify_pools(g, r, why, nwhy) || !verify_attrs(g, r, why, nwhy) || !verify_node(g, r, why, nwhy))
            return false;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (!verify_ref(g, g->outputs.at[i].value, "output", g->outputs.at[i].name, why, nwhy))
            return false;
    for (uint32_t i = 0; i < g->reports.n; i++)
        if (!verify_ref(g, g->reports.at[i].value, "report", g->reports.at[i].name, why, nwhy))
            return false;
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (!verify_ref(g, g->writes.at[i].value, "write", "", why, nwhy))
            return false;
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        Ref c = g->asserts.at[i].cond;
        if (!verify_ref(g, c, "assert", g->asserts.at[i].message, why, nwhy))
            return false;
        if (node(g, c)->dtype != DT_BOOL || node(g, c)->rank != 0)
            return fault(why, nwhy, "the condition of an assert must be a bool scalar (%%%u)", c);
    }
    for (uint32_t i = 0; i < g->checks.n; i++)
        if (!dim_valid(g->dims, g->checks.at[i].a) || !dim_valid(g->dims, g->checks.at[i].b))
            return fault(why, nwhy, "check %u holds a size that is not of this table", i);
    return true;
}
