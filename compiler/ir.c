/* ir.c - the graph: one growable array of nodes, their shapes, arguments and attributes in pools, and the hash table that makes equal nodes one.
 *
 * PASTICHE_STRESS=move in the environment makes every append move its array and scribble over the old one, in debug builds: a pointer kept across
 * make_node then shows at once.
 */
#include "ir.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifndef NDEBUG
static bool stress_move(void)
{
    static int on = -1;
    if (on < 0) {
        const char *s = getenv("PASTICHE_STRESS");
        on = s && strstr(s, "move");
    }
    return on;
}

static void move_vec(void **at, uint32_t *cap, uint32_t n, size_t elem)
{
    void *fresh = xmalloc(*cap * elem);
    if (n)
        memcpy(fresh, *at, n * elem);
    if (*at)
        memset(*at, 0xDD, *cap * elem);
    free(*at);
    *at = fresh;
}
#define MAKE_ROOM(v, more) (vec_reserve((v), (v)->n + (more)), stress_move() ? move_vec((void **)&(v)->at, &(v)->cap, (v)->n, sizeof *(v)->at) : (void)0)
#else
#define MAKE_ROOM(v, more) vec_reserve((v), (v)->n + (more))
#endif

Graph *graph_new(const char *name, DimTable *dims)
{
    Graph *g = xmalloc(sizeof *g);
    Node   none = { 0 };
    g->name = name;
    g->dims = dims;
    vec_push(&g->nodes, none);
    vec_push(&g->chains, NULL);
    vec_push(&g->hints, ((GraphHint){ .kind = HINT_NONE }));
    vec_reserve(&g->dims_pool, 16);                /* never NULL: nodes without arguments point at offset 0 */
    vec_reserve(&g->arg_pool, 16);
    vec_reserve(&g->attr_pool, 16);
    g->nbuckets = 64;
    g->buckets = xmalloc(g->nbuckets * sizeof *g->buckets);
    return g;
}

void graph_free(Graph *g)
{
    if (!g)
        return;
    vec_free(&g->nodes);
    vec_free(&g->dims_pool);
    vec_free(&g->arg_pool);
    vec_free(&g->attr_pool);
    vec_free(&g->chains);
    vec_free(&g->hints);
    vec_free(&g->inputs);
    vec_free(&g->outputs);
    vec_free(&g->reports);
    vec_free(&g->writes);
    vec_free(&g->asserts);
    vec_free(&g->checks);
    vec_free(&g->likely);
    vec_free(&g->trained);
    free(g->buckets);
    free(g);
}

Type node_type(const Graph *g, Ref r)
{
    const Node *x = node(g, r);
    Type        t = { .dtype = (Dtype)x->dtype, .rank = x->rank };
    if (x->rank)
        memcpy(t.shape, node_shape(g, r), x->rank * sizeof *t.shape);
    return t;
}

/* ---- hash-consing ---- */

static uint64_t bits_of(double v)
{
    uint64_t b;
    memcpy(&b, &v, sizeof b);
    return b;
}

static uint64_t node_hash(Op op, bool again, const Type *t, int nargs, const Ref *args, int nattrs, const int64_t *attrs, double value)
{
    uint64_t h = (uint64_t)op | (uint64_t)t->dtype << 8 | (uint64_t)t->rank << 16 | (uint64_t)nargs << 24 | (uint64_t)nattrs << 40 | (uint64_t)again << 63;
    h = hash_bytes(&value, sizeof value, h);
    if (t->rank)
        h = hash_bytes(t->shape, (size_t)t->rank * sizeof *t->shape, h);
    if (nargs)
        h = hash_bytes(args, (size_t)nargs * sizeof *args, h);
    return nattrs ? hash_bytes(attrs, (size_t)nattrs * sizeof *attrs, h) : h;
}

static bool node_equal(const Graph *g, Ref r, Op op, bool again, const Type *t, int nargs, const Ref *args, int nattrs, const int64_t *attrs, double value)
{
    const Node *x = node(g, r);
    return x->op == op && !(x->flags & FLAG_AGAIN) == !again && x->dtype == t->dtype && x->rank == t->rank && x->nargs == nargs && x->nattrs == nattrs && bits_of(x->value) == bits_of(value) &&
           (!nargs || !memcmp(node_args(g, r), args, (size_t)nargs * sizeof *args)) && (!t->rank || !memcmp(node_shape(g, r), t->shape, (size_t)t->rank * sizeof *t->shape)) &&
           (!nattrs || !memcmp(node_attrs(g, r), attrs, (size_t)nattrs * sizeof *attrs));
}

static void grow_buckets(Graph *g)
{
    uint32_t  n = g->nbuckets * 2;
    uint32_t *at = xmalloc(n * sizeof *at);
    for (uint32_t i = 0; i < g->nbuckets; i++) {
        Ref r = g->buckets[i];
        if (!r)
            continue;
        Type        t = node_type(g, r);
        const Node *x = node(g, r);
        uint32_t    k = (uint32_t)node_hash((Op)x->op, x->flags & FLAG_AGAIN, &t, x->nargs, node_args(g, r), x->nattrs, node_attrs(g, r), x->value) & (n - 1);
        while (at[k])
            k = (k + 1) & (n - 1);
        at[k] = r;
    }
    free(g->buckets);
    g->buckets = at;
    g->nbuckets = n;
}

/* Constants of one meaning have one value: NaN is one NaN, integers are whole, a bool is 0 or 1. */
static double canonical_value(Dtype t, double v)
{
    if (isnan(v))
        return NAN;
    if (t == DT_BOOL)
        return v != 0;
    return t == DT_I32 ? trunc(v) + 0.0 : v;
}

/* Appends n elements that may stand in the pool itself; true offset of the first in *at. */
#define APPEND(v, from, count, offset)                                                                   \
    do {                                                                                                 \
        bool   inside_ = (count) && (v)->n && (from) >= (v)->at && (from) < (v)->at + (v)->n;            \
        size_t place_ = inside_ ? (size_t)((from) - (v)->at) : 0;                                        \
        MAKE_ROOM((v), (uint32_t)(count));                                                               \
        if (count)                                                                                       \
            memcpy((v)->at + (v)->n, inside_ ? (v)->at + place_ : (from), (size_t)(count) * sizeof *(v)->at); \
        *(offset) = (v)->n;                                                                              \
        (v)->n += (uint32_t)(count);                                                                     \
    } while (0)

Ref make_node(Graph *g, Op op, Dtype dtype, int rank, const Dim *shape, int nargs, const Ref *args, int nattrs, const int64_t *attrs, double value)
{
    Type t = { .dtype = dtype, .rank = rank };
    char why[512];
    if (shape && rank > 0 && rank <= MAX_RANK)
        memcpy(t.shape, shape, (size_t)rank * sizeof *shape);
    if (!infer_type(g, op, nargs, args, nattrs, attrs, &t, NULL, why, sizeof why)) {
        fprintf(stderr, "pastiche: internal error in graph '%s', line %u: %s: %s\n", g->name ? g->name : "", g->loc.line, op_info[op].name, why);
        abort();
    }
    value = op == OP_const ? canonical_value(t.dtype, value) : 0;

    if (g->nodes.n * 2 > g->nbuckets)
        grow_buckets(g);
    uint32_t k = (uint32_t)node_hash(op, g->again, &t, nargs, args, nattrs, attrs, value) & (g->nbuckets - 1);
    for (; g->buckets[k]; k = (k + 1) & (g->nbuckets - 1))
        if (node_equal(g, g->buckets[k], op, g->again, &t, nargs, args, nattrs, attrs, value))
            return g->buckets[k];

    uint8_t flags = (uint8_t)(op_info[op].flags | (g->again ? FLAG_AGAIN : 0));
    Node    x = { .op = (uint8_t)op, .dtype = (uint8_t)t.dtype, .rank = (uint8_t)t.rank, .flags = flags, .nargs = (uint16_t)nargs, .nattrs = (uint16_t)nattrs,
                  .value = value, .loc = g->loc, .use = g->use, .chain = g->chain, .hint = g->hint };
    const Dim *dims = t.shape;
    APPEND(&g->dims_pool, dims, t.rank, &x.shape);
    APPEND(&g->arg_pool, args, nargs, &x.args);
    APPEND(&g->attr_pool, attrs, nattrs, &x.attrs);
    MAKE_ROOM(&g->nodes, 1);
    g->nodes.at[g->nodes.n] = x;
    return g->buckets[k] = g->nodes.n++;
}

const char *place_text(const Graph *g, Loc loc, char *buf, size_t size)
{
    if (size == 0)
        return "";
    buf[0] = 0;
    if (loc.line == 0)
        return buf;
    if (g->sources && loc.file < g->sources->files.n)
        snprintf(buf, size, "%s:%u", g->sources->files.at[loc.file].path, loc.line);
    else
        snprintf(buf, size, "line %u", loc.line);
    return buf;
}

bool node_fail(const Graph *g, Ref r, Status *st, const char *fmt, ...)
{
    char        where[256], what[256];
    const Node *n = node(g, r);
    va_list     ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    place_text(g, n->loc, where, sizeof where);
    const char *chain = n->chain && n->chain < g->chains.n ? g->chains.at[n->chain] : NULL;
    return status_fail(st, "%s%s%s: %s%s%s", where, where[0] ? ": " : "", op_info[n->op].name, what, chain ? ", " : "", chain ? chain : "");
}

/* ---- copying ---- */

static uint32_t copy_chain(Graph *to, const char *chain)
{
    if (!chain)
        return 0;
    for (uint32_t i = to->chains.n; i-- > 1 && i + 32 > to->chains.n;)
        if (to->chains.at[i] == chain)
            return i;
    vec_push(&to->chains, chain);
    return to->chains.n - 1;
}

static void copy_checks(Graph *to, const Graph *from)
{
    for (uint32_t i = 0; i < from->checks.n; i++) {
        GraphCheck c = from->checks.at[i];
        uint32_t   j = 0;
        while (j < to->checks.n && !(to->checks.at[j].a == c.a && to->checks.at[j].b == c.b))
            j++;
        if (j == to->checks.n)
            vec_push(&to->checks, c);
    }
}

Ref graph_copy(Graph *to, const Graph *from, Ref r, Ref *map)
{
    Loc      loc = to->loc, use = to->use;
    uint32_t chain = to->chain, hint = to->hint;
    Vec(Ref) todo = { 0 };
    assert(to != from && to->dims == from->dims);
    copy_checks(to, from);
    if (r && !map[r])
        vec_push(&todo, r);
    while (todo.n) {
        Ref         x = todo.at[todo.n - 1];
        const Node *n = node(from, x);
        const Ref  *args = node_args(from, x);
        uint32_t    before = todo.n;
        for (int i = n->nargs; i-- > 0;)
            if (!map[args[i]])
                vec_push(&todo, args[i]);
        if (todo.n > before)
            continue;
        todo.n--;
        if (map[x])
            continue;
        Ref  few[16], *mapped = n->nargs <= 16 ? few : xmalloc(n->nargs * sizeof *mapped);
        for (int i = 0; i < n->nargs; i++)
            mapped[i] = map[args[i]];
        to->loc = n->loc;
        to->use = n->use;
        to->chain = copy_chain(to, from->chains.at[n->chain]);
        to->hint = hint_copy(to, from, n->hint);
        to->again = n->flags & FLAG_AGAIN;
        map[x] = make_node(to, (Op)n->op, (Dtype)n->dtype, n->rank, node_shape(from, x), n->nargs, mapped, n->nattrs, node_attrs(from, x), n->value);
        if (mapped != few)
            free(mapped);
    }
    vec_free(&todo);
    to->loc = loc;
    to->use = use;
    to->chain = chain;
    to->hint = hint;
    to->again = false;
    return map[r];
}
