/* reduce_case.h - a failing case made small: the fewest results, nodes and elements that still fail.
 *
 *   reduce_case(&c, fails, ctx, budget)     fails(ctx, &candidate): does it still? c is replaced by the smallest that does
 *
 * Edits, each kept when the case still fails: one result alone; an earlier node as the only result; a node replaced by a fresh input, or by an argument of
 * its own shape; smaller sizes, symbols made numbers; plainer attributes; variables made inputs. Over and over until nothing helps or the budget of trials is spent.
 * Every candidate is rebuilt node by node through infer_type, so that none is invalid.
 */
#ifndef PASTICHE_TESTS_REDUCE_CASE_H
#define PASTICHE_TESTS_REDUCE_CASE_H

#include "random_net.h"

typedef bool CaseFails(void *ctx, const Case *c);

typedef struct {
    Ref      cut;                  /* becomes an input */
    Ref      drop, by;             /* drop is replaced by the older node `by` of its type */
    Dim      from, to;             /* every axis of this size gets that one */
    bool     resize;
    Dim      symbol; int64_t number;       /* 0: none */
    Ref      attr_of; int attr; int64_t value;     /* attribute number attr of that node */
    bool     inputs;               /* variables become inputs */
    Ref      only;                 /* the single result; 0: all that there are */
    int      keep_output, keep_write;      /* -1: all; COUNT or more: none */
} Edit;

static inline Edit edit_none(void) { return (Edit){ .keep_output = -1, .keep_write = -1 }; }

/* ---- a case with an edit made ---- */

typedef struct { const Case *old; Case *new; const Edit *e; Ref *map; int64_t input[RG_INPUTS]; bool ok; } Rebuild;

static inline Dim edit_dim(const Rebuild *b, Dim d)
{
    DimTable *t = b->old->g->dims;
    if (b->e->symbol)
        d = dim_substitute(t, d, b->e->symbol, dim_const(t, b->e->number));
    return b->e->resize && d == b->e->from ? b->e->to : d;
}

static inline Ref new_input(Rebuild *b, Dtype dtype, int rank, const Dim *shape, double scale)
{
    Graph     *g = b->new->g;
    int64_t    index = g->inputs.n;
    char       text[32];
    GraphInput in = { .kind = IN_TENSOR, .dtype = dtype, .rank = (uint8_t)rank };
    if (index >= RG_INPUTS) {
        b->ok = false;
        return 0;
    }
    snprintf(text, sizeof text, "x%lld", (long long)index);
    in.name = intern(text);
    if (rank)
        memcpy(in.shape, shape, sizeof(Dim) * (size_t)rank);
    vec_push(&g->inputs, in);
    b->new->scale[index] = scale;
    return make_node(g, OP_input, dtype, rank, shape, 0, NULL, 1, &index, 0);
}

static inline Ref rebuild_leaf(Rebuild *b, Ref r, const Dim *shape)
{
    const Node *n = node(b->old->g, r);
    uint32_t    index = (uint32_t)node_attrs(b->old->g, r)[0];
    if (n->op == OP_input) {
        if (b->input[index] < 0) {
            b->input[index] = b->new->g->inputs.n;
            return new_input(b, (Dtype)n->dtype, n->rank, shape, b->old->scale[index]);
        }
        return make_node(b->new->g, OP_input, (Dtype)n->dtype, n->rank, shape, 0, NULL, 1, &b->input[index], 0);
    }
    if (b->e->inputs)
        return new_input(b, (Dtype)n->dtype, n->rank, shape, b->old->var_scale[index]);
    return make_node(b->new->g, OP_var, (Dtype)n->dtype, n->rank, shape, 0, NULL, 1, (int64_t[]){ index }, 0);
}

static inline Ref rebuild_node(Rebuild *b, Ref r)
{
    const Graph    *g = b->old->g;
    const Node     *n = node(g, r);
    Type            t = node_type(g, r);
    Ref             args[64];
    int64_t         attrs[64];
    const AttrInfo *infos;
    char            why[128];
    int             at = 0, kinds = op_attrs((Op)n->op, &infos);
    bool            given = op_info[n->op].flags & FLAG_SHAPE_GIVEN;
    if (n->nargs > 64 || n->nattrs > 64)
        return b->ok = false;
    for (int i = 0; i < t.rank; i++)
        t.shape[i] = edit_dim(b, t.shape[i]);
    if (r == b->e->cut)
        return new_input(b, t.dtype, t.rank, t.shape, 1);
    if (r == b->e->drop)
        return b->map[b->e->by];
    if (n->op == OP_input || n->op == OP_var)
        return rebuild_leaf(b, r, t.shape);
    for (int i = 0; i < kinds; i++)
        for (int k = op_attr_count((Op)n->op, i, n->nattrs); k-- > 0; at++) {
            attrs[at] = node_attrs(g, r)[at];
            if (infos[i].kind == ATTR_DIM)
                attrs[at] = (int64_t)(b->e->resize ? edit_dim(b, (Dim)attrs[at]) : b->e->symbol ? edit_dim(b, (Dim)attrs[at]) : (Dim)attrs[at]);
            if (r == b->e->attr_of && at == b->e->attr)
                attrs[at] = b->e->value;
        }
    for (int i = 0; i < n->nargs; i++)
        args[i] = b->map[node_arg(g, r, i)];
    if (!infer_type(b->new->g, (Op)n->op, n->nargs, args, n->nattrs, attrs, &t, NULL, why, sizeof why))
        return b->ok = false;
    return make_node(b->new->g, (Op)n->op, t.dtype, given ? t.rank : 0, given ? t.shape : NULL, n->nargs, args, n->nattrs, attrs, n->value);
}

static inline void mark_needed(const Rebuild *b, Ref r, bool *needed)
{
    needed[r] = true;
    for (; r; r--) {
        if (!needed[r] || r == b->e->cut)
            continue;
        if (r == b->e->drop)
            needed[b->e->by] = true;
        for (int i = 0; i < node(b->old->g, r)->nargs && r != b->e->drop; i++)
            needed[node_arg(b->old->g, r, i)] = true;
    }
}

/* false: the edit makes no valid case, and new is empty. */
static inline bool edited_case(const Case *old, const Edit *e, Case *new)
{
    const Graph *g = old->g;
    bool        *needed = xmalloc(g->nodes.n + 1);
    Rebuild      b = { old, new, e, xmalloc((g->nodes.n + 1) * sizeof(Ref)), { 0 }, true };
    *new = *old;
    new->g = graph_new("case", g->dims);
    memset(b.input, 0xff, sizeof b.input);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (!e->only && (e->keep_output < 0 || e->keep_output == (int)i))
            mark_needed(&b, g->outputs.at[i].value, needed);
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (!e->only && (e->keep_write < 0 || e->keep_write == (int)i))
            mark_needed(&b, g->writes.at[i].value, needed);
    if (e->only)
        mark_needed(&b, e->only, needed);
    for (Ref r = 1; r < g->nodes.n && b.ok; r++)
        if (needed[r])
            b.map[r] = rebuild_node(&b, r);
    for (uint32_t i = 0; i < g->outputs.n && b.ok; i++) {
        GraphOutput o = g->outputs.at[i];
        o.value = b.map[o.value];
        if (!e->only && (e->keep_output < 0 || e->keep_output == (int)i))
            vec_push(&new->g->outputs, o);
    }
    for (uint32_t i = 0; i < g->writes.n && b.ok; i++) {
        GraphWrite w = { g->writes.at[i].var, b.map[g->writes.at[i].value] };
        if (!e->only && (e->keep_write < 0 || e->keep_write == (int)i))
            vec_push(&new->g->writes, w);
    }
    if (e->only && b.ok)
        vec_push(&new->g->outputs, ((GraphOutput){ .name = intern("value"), .value = b.map[e->only] }));
    if (b.ok && e->inputs)
        new->nvars = 0;
    free(needed);
    free(b.map);
    if (b.ok)
        return true;
    graph_free(new->g);
    *new = (Case){ 0 };
    return false;
}

/* ---- the search ---- */

typedef struct { Case c; CaseFails *fails; void *ctx; int budget; } Reduction;

/* Takes the edit over when the case still fails. */
static inline bool try_edit(Reduction *d, Edit e)
{
    Case c;
    if (d->budget <= 0 || !edited_case(&d->c, &e, &c))
        return false;
    d->budget--;
    if (!d->fails(d->ctx, &c)) {
        graph_free(c.g);
        return false;
    }
    graph_free(d->c.g);
    d->c = c;
    return true;
}

static inline bool reduce_results(Reduction *d)
{
    uint32_t nout = d->c.g->outputs.n, nwrite = d->c.g->writes.n;
    for (uint32_t i = 0; i < nout && nout + nwrite > 1; i++) {
        Edit e = edit_none();
        e.keep_output = (int)i;
        e.keep_write = INT32_MAX;
        if (try_edit(d, e))
            return true;
    }
    for (uint32_t i = 0; i < nwrite && nout + nwrite > 1; i++) {
        Edit e = edit_none();
        e.keep_output = INT32_MAX;
        e.keep_write = (int)i;
        if (try_edit(d, e))
            return true;
    }
    return false;
}

static inline bool is_result(const Graph *g, Ref r)
{
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.at[i].value == r && g->outputs.n + g->writes.n == 1)
            return true;
    return false;
}

/* The earliest node that fails as the only result. */
static inline bool reduce_back(Reduction *d)
{
    for (Ref r = 1; r < d->c.g->nodes.n; r++) {
        const Node *n = node(d->c.g, r);
        if (op_info[n->op].class == CLASS_LEAF || is_result(d->c.g, r))
            continue;
        Edit e = edit_none();
        e.only = r;
        if (try_edit(d, e))
            return true;
    }
    return false;
}

/* Later nodes first: more goes with them. */
static inline bool reduce_nodes(Reduction *d)
{
    bool any = false;
    for (Ref r = d->c.g->nodes.n; r-- > 1;) {
        if (r >= d->c.g->nodes.n || d->c.g->nodes.at[r].op == OP_input || d->c.g->nodes.at[r].op == OP_const)
            continue;
        Edit e = edit_none();
        e.cut = node(d->c.g, r)->dtype == DT_F32 && !is_result(d->c.g, r) && node(d->c.g, r)->op != OP_var ? r : 0;
        if (e.cut && try_edit(d, e)) {
            any = true;
            continue;
        }
        e.cut = 0;
        e.drop = r;
        Type t = node_type(d->c.g, r);
        for (int i = 0; i < node(d->c.g, r)->nargs; i++) {
            e.by = node_arg(d->c.g, r, i);
            Type a = node_type(d->c.g, e.by);
            if (a.dtype == t.dtype && a.rank == t.rank && !memcmp(a.shape, t.shape, sizeof(Dim) * (size_t)t.rank) && try_edit(d, e)) {
                any = true;
                break;
            }
        }
    }
    return any;
}

static inline bool reduce_symbols(Reduction *d)
{
    static const char *const names[] = { "N", "H", "W" };
    bool any = false;
    for (int i = 0; i < 3; i++) {
        int64_t v = d->c.size[i];
        for (int64_t smaller = 1; smaller < v; smaller = smaller < v / 2 ? v / 2 : smaller + 1) {
            Edit e = edit_none();
            d->c.size[i] = smaller;
            if (try_edit(d, e)) {
                any = true;
                break;
            }
            d->c.size[i] = v;
        }
        Edit e = edit_none();
        e.symbol = dim_sym(d->c.g->dims, intern(names[i]));
        e.number = d->c.size[i];
        bool used = false;
        Dim  in[16];
        for (uint32_t k = 0; k < d->c.g->inputs.n && !used; k++)
            for (int a = 0; a < d->c.g->inputs.at[k].rank && !used; a++)
                for (uint32_t j = dim_symbols(d->c.g->dims, d->c.g->inputs.at[k].shape[a], in, 16); j-- > 0 && !used;)
                    used = in[j] == e.symbol;
        any |= used && try_edit(d, e);
    }
    return any;
}

static inline bool reduce_sizes(Reduction *d)
{
    Vec(Dim) sizes = { 0 };
    bool     any = false;
    for (Ref r = 1; r < d->c.g->nodes.n; r++)
        for (int i = 0; i < node(d->c.g, r)->rank; i++) {
            Dim      s = node_shape(d->c.g, r)[i];
            uint32_t k = 0;
            int64_t  v;
            while (k < sizes.n && sizes.at[k] != s)
                k++;
            if (k == sizes.n && dim_is_const(d->c.g->dims, s, &v) && v > 1)
                vec_push(&sizes, s);
        }
    for (uint32_t k = 0; k < sizes.n; k++) {
        int64_t v = 0;
        dim_is_const(d->c.g->dims, sizes.at[k], &v);
        for (int64_t smaller = 1; smaller < v; smaller = smaller < v / 2 ? v / 2 : smaller + 1) {
            Edit e = edit_none();
            e.resize = true;
            e.from = sizes.at[k];
            e.to = dim_const(d->c.g->dims, smaller);
            if (try_edit(d, e)) {
                any = true;
                break;
            }
        }
    }
    vec_free(&sizes);
    return any;
}

static inline bool reduce_attrs(Reduction *d)
{
    bool any = false;
    for (Ref r = 1; r < d->c.g->nodes.n; r++) {
        const AttrInfo *infos;
        int             kinds = op_attrs((Op)node(d->c.g, r)->op, &infos), at = 0;
        for (int i = 0; i < kinds; i++)
            for (int k = op_attr_count((Op)node(d->c.g, r)->op, i, node(d->c.g, r)->nattrs); k-- > 0; at++) {
                bool    least_one = !strcmp(infos[i].name, "stride") || !strcmp(infos[i].name, "dilation");
                int64_t now = node_attrs(d->c.g, r)[at], plain = least_one;
                Edit    e = edit_none();
                if (infos[i].kind != ATTR_INT || (strcmp(infos[i].name, "pad") && !least_one) || now <= plain)
                    continue;
                e.attr_of = r;
                e.attr = at;
                e.value = plain;
                any |= try_edit(d, e);
                if (r >= d->c.g->nodes.n)
                    return any;
            }
    }
    return any;
}

static inline void reduce_case(Case *c, CaseFails *fails, void *ctx, int budget)
{
    Reduction d = { *c, fails, ctx, budget };
    Edit      e = edit_none();
    bool      more = true;
    e.inputs = true;
    while (reduce_results(&d))
        continue;
    while (more && d.budget > 0) {
        more = reduce_back(&d);
        more |= reduce_nodes(&d);
        more |= reduce_symbols(&d);
        more |= reduce_sizes(&d);
        more |= reduce_attrs(&d);
        more |= d.c.nvars && !d.c.g->writes.n && try_edit(&d, e);
    }
    *c = d.c;
}

#endif
