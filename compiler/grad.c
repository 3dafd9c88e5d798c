/* grad.c - reverse-mode differentiation, graph to graph: gradients are ordinary nodes of the same closed op set, so a gradient can be
 * differentiated again (gradient penalties, R1, path lengths) without a line of extra code.
 *
 * How: 1. mark what lies between some wrt and y; 2. walk those nodes from y downwards, each rule handing its inputs their share;
 *      3. add the shares of a node in the order in which they were handed out, so the result is the same every time.
 * Off the marked paths nothing is looked at: an op without a derivative there does no harm, on a path it is the culprit.
 *
 * To add a rule: GRAD_YES in ops.def asks for a function grad_NAME here; without it the program does not link.
 *   - y is the node, d the adjoint of y (of y's shape and dtype); GIVE(i, share) gives input i its share, of input i's shape.
 *     The share is only computed when somebody wants it: no dead convolution is ever made.
 *   - Prefer y to the inputs where both will do: y is stored anyway or is cheap, and the input can then be freed.
 *   - A side that must not count gets zero by select, never by a product: 0 * inf would be NaN.
 *   - Sizes and attributes are copied before nodes are made: pools move.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ir.h"

typedef struct {
    Graph *g;
    bool  *wanted;                 /* [y + 1] the node lies on a path from some wrt to y */
    bool  *is_wrt;                 /* [y + 1] its own adjoint is asked for */
    Ref   *adj;                    /* [y + 1] the adjoint so far, 0: none yet */
} Back;

static bool wants(const Back *b, Ref y, int i);
static void give(Back *b, Ref y, int i, Ref share);
#define GIVE(i, share) do { if (wants(b, y, i)) give(b, y, i, (share)); } while (0)

/* ---- short words for the rules ---- */
static Ref arg(const Back *b, Ref y, int i)          { return node_arg(b->g, y, i); }
static Ref add(Back *b, Ref p, Ref q)                { return b_binary(b->g, OP_add, p, q); }
static Ref sub(Back *b, Ref p, Ref q)                { return b_binary(b->g, OP_sub, p, q); }
static Ref mul(Back *b, Ref p, Ref q)                { return b_binary(b->g, OP_mul, p, q); }
static Ref quot(Back *b, Ref p, Ref q)               { return b_binary(b->g, OP_div, p, q); }
static Ref minus(Back *b, Ref p)                     { return b_unary(b->g, OP_neg, p); }
static Ref scalar(Back *b, Ref like, double v)       { return b_const(b->g, (Dtype)node(b->g, like)->dtype, v); }
static Ref times(Back *b, Ref p, double v)           { return mul(b, p, scalar(b, p, v)); }

static Ref zeros(Back *b, Ref like)
{
    Type t = node_type(b->g, like);
    return b_fill(b->g, t.dtype, 0, t.rank, t.shape);
}

static Ref spread(Back *b, Ref p, Ref like)          /* p broadcast to the shape of `like` */
{
    Type t = node_type(b->g, like);
    return b_broadcast(b->g, p, t.rank, t.shape);
}

/* An op with y's attributes on other inputs; the result has the shape of `like` (ops that infer theirs must arrive there). */
static Ref same_attrs(Back *b, Op op, Ref y, Ref like, int nargs, const Ref *args)
{
    Graph   *g = b->g;
    Type     t = node_type(g, like);
    int      n = node(g, y)->nattrs;
    int64_t *attrs = xmalloc(sizeof *attrs * (size_t)(n + 1));
    memcpy(attrs, node_attrs(g, y), sizeof *attrs * (size_t)n);
    bool given = op_info[op].flags & FLAG_SHAPE_GIVEN;
    Ref  r = make_node(g, op, t.dtype, given ? t.rank : 0, given ? t.shape : NULL, nargs, args, n, attrs, 0);
    free(attrs);
    return r;
}

static Ref same_attrs1(Back *b, Op op, Ref y, Ref like, Ref p)        { return same_attrs(b, op, y, like, 1, &p); }
static Ref same_attrs2(Back *b, Op op, Ref y, Ref like, Ref p, Ref q) { return same_attrs(b, op, y, like, 2, (Ref[]){ p, q }); }

/* ---- elementwise ---- */
static void grad_neg(Back *b, Ref y, Ref d)      { GIVE(0, minus(b, d)); }
static void grad_exp(Back *b, Ref y, Ref d)      { GIVE(0, mul(b, d, y)); }
static void grad_log(Back *b, Ref y, Ref d)      { GIVE(0, quot(b, d, arg(b, y, 0))); }
static void grad_sqrt(Back *b, Ref y, Ref d)     { GIVE(0, quot(b, times(b, d, 0.5), y)); }
static void grad_rsqrt(Back *b, Ref y, Ref d)    { GIVE(0, mul(b, times(b, d, -0.5), mul(b, y, mul(b, y, y)))); }
static void grad_sin(Back *b, Ref y, Ref d)      { GIVE(0, mul(b, d, b_unary(b->g, OP_cos, arg(b, y, 0)))); }
static void grad_cos(Back *b, Ref y, Ref d)      { GIVE(0, minus(b, mul(b, d, b_unary(b->g, OP_sin, arg(b, y, 0))))); }
static void grad_tanh(Back *b, Ref y, Ref d)     { GIVE(0, mul(b, d, sub(b, scalar(b, y, 1), mul(b, y, y)))); }
static void grad_sigmoid(Back *b, Ref y, Ref d)  { GIVE(0, mul(b, d, mul(b, y, sub(b, scalar(b, y, 1), y)))); }
/* Not 1 - exp(-y): that cancels where the input is very negative. */
static void grad_softplus(Back *b, Ref y, Ref d) { GIVE(0, mul(b, d, b_unary(b->g, OP_sigmoid, arg(b, y, 0)))); }
static void grad_abs(Back *b, Ref y, Ref d)      { GIVE(0, mul(b, d, b_unary(b->g, OP_sign, arg(b, y, 0)))); }
static void grad_cast(Back *b, Ref y, Ref d)     { GIVE(0, b_cast(b->g, d, (Dtype)node(b->g, arg(b, y, 0))->dtype)); }
static void grad_add(Back *b, Ref y, Ref d)      { GIVE(0, d); GIVE(1, d); }
static void grad_sub(Back *b, Ref y, Ref d)      { GIVE(0, d); GIVE(1, minus(b, d)); }

static void grad_mul(Back *b, Ref y, Ref d)
{
    Ref p = arg(b, y, 0), q = arg(b, y, 1);
    if (p == q) {
        GIVE(0, mul(b, times(b, d, 2), p));
        return;
    }
    GIVE(0, mul(b, d, q));
    GIVE(1, mul(b, d, p));
}

static void grad_div(Back *b, Ref y, Ref d)
{
    Ref q = arg(b, y, 1);
    GIVE(0, quot(b, d, q));
    GIVE(1, minus(b, mul(b, quot(b, d, q), y)));
}

static void grad_pow(Back *b, Ref y, Ref d)
{
    Graph *g = b->g;
    Ref    p = arg(b, y, 0), e = arg(b, y, 1);
    double k;
    if (is_const_value(g, e, &k)) {
        if (k == 0)
            return;                              /* 0^0 = 1 has no slope to pass on */
        GIVE(0, k == 1 ? d : k == 2 ? mul(b, times(b, d, 2), p) : mul(b, times(b, d, k), b_binary(g, OP_pow, p, scalar(b, p, k - 1))));
        return;
    }
    GIVE(0, mul(b, mul(b, d, e), b_binary(g, OP_pow, p, sub(b, e, scalar(b, e, 1)))));
    GIVE(1, mul(b, mul(b, d, y), b_unary(g, OP_log, p)));
}

/* d where `win` beats `lose` (lose < win for max), half of it where they are equal. */
static Ref winner(Back *b, Ref d, Ref less, Ref p, Ref q)
{
    Ref half = b_select(b->g, b_binary(b->g, OP_eq, p, q), times(b, d, 0.5), zeros(b, d));
    return b_select(b->g, less, d, half);
}

static void grad_min(Back *b, Ref y, Ref d)
{
    Ref p = arg(b, y, 0), q = arg(b, y, 1);
    GIVE(0, winner(b, d, b_binary(b->g, OP_lt, p, q), p, q));
    GIVE(1, winner(b, d, b_binary(b->g, OP_lt, q, p), p, q));
}

static void grad_max(Back *b, Ref y, Ref d)
{
    Ref p = arg(b, y, 0), q = arg(b, y, 1);
    GIVE(0, winner(b, d, b_binary(b->g, OP_lt, q, p), p, q));
    GIVE(1, winner(b, d, b_binary(b->g, OP_lt, p, q), p, q));
}

static void grad_select(Back *b, Ref y, Ref d)
{
    Ref c = arg(b, y, 0);
    GIVE(1, b_select(b->g, c, d, zeros(b, d)));
    GIVE(2, b_select(b->g, c, zeros(b, d), d));
}

/* ---- reductions ---- */
static void grad_sum(Back *b, Ref y, Ref d) { GIVE(0, spread(b, d, arg(b, y, 0))); }

static void grad_amax(Back *b, Ref y, Ref d)
{
    Graph *g = b->g;
    Ref    x = arg(b, y, 0);
    Ref    is_largest = b_binary(g, OP_eq, x, spread(b, y, x));
    int    axes[MAX_RANK], n = node(g, y)->nattrs;
    for (int i = 0; i < n; i++)
        axes[i] = (int)node_attrs(g, y)[i];
    Ref ties = b_sum(g, b_cast(g, is_largest, (Dtype)node(g, d)->dtype), axes, n);
    GIVE(0, b_select(g, is_largest, spread(b, quot(b, d, ties), x), zeros(b, x)));
}

/* ---- movement: each is linear, so the share is the adjoint movement of d ---- */
static void grad_reshape(Back *b, Ref y, Ref d)
{
    Type t = node_type(b->g, arg(b, y, 0));
    GIVE(0, b_reshape(b->g, d, t.rank, t.shape));
}

static void grad_transpose(Back *b, Ref y, Ref d)
{
    int inverse[MAX_RANK] = { 0 };
    for (int i = 0; i < node(b->g, y)->rank; i++)
        inverse[node_attrs(b->g, y)[i]] = i;
    GIVE(0, b_transpose(b->g, d, inverse));
}

static void grad_broadcast(Back *b, Ref y, Ref d)
{
    Type t = node_type(b->g, arg(b, y, 0));
    GIVE(0, b_sum_to(b->g, d, t.rank, t.shape));
}

/* The start and step of a slice or place node: attrs are start[rank], step[rank]. */
static void read_window(const Graph *g, Ref y, Dim *start, int *step)
{
    int rank = node(g, y)->rank;
    for (int i = 0; i < rank; i++) {
        start[i] = (Dim)node_attrs(g, y)[i];
        step[i] = (int)node_attrs(g, y)[rank + i];
    }
}

static void grad_slice(Back *b, Ref y, Ref d)
{
    Dim  start[MAX_RANK];
    int  step[MAX_RANK];
    Type t = node_type(b->g, arg(b, y, 0));
    read_window(b->g, y, start, step);
    GIVE(0, b_place(b->g, d, start, step, t.shape));
}

static void grad_place(Back *b, Ref y, Ref d)
{
    Dim  start[MAX_RANK];
    int  step[MAX_RANK];
    Type t = node_type(b->g, arg(b, y, 0));
    read_window(b->g, y, start, step);
    GIVE(0, b_slice(b->g, d, start, step, t.shape));
}

static void grad_concat(Back *b, Ref y, Ref d)
{
    Graph *g = b->g;
    int    axis = (int)node_attrs(g, y)[0], n = node(g, y)->nargs;
    int    step[MAX_RANK];
    Dim    start[MAX_RANK] = { 0 };
    for (int i = 0; i < MAX_RANK; i++)
        step[i] = 1;
    for (int i = 0; i < n; i++) {
        Type t = node_type(g, arg(b, y, i));
        GIVE(i, b_slice(g, d, start, step, t.shape));
        start[axis] = dim_add(g->dims, start[axis], t.shape[axis]);
    }
}

/* x is y's input: ops whose adjoint is another op with the same attributes and x's shape. */
#define GRAD_BY_ADJOINT(name, adjoint) \
    static void grad_##name(Back *b, Ref y, Ref d) { GIVE(0, same_attrs1(b, OP_##adjoint, y, arg(b, y, 0), d)); }
GRAD_BY_ADJOINT(pad, pad_adjoint)
GRAD_BY_ADJOINT(pad_adjoint, pad)
GRAD_BY_ADJOINT(resize, resize_adjoint)
GRAD_BY_ADJOINT(resize_adjoint, resize)
GRAD_BY_ADJOINT(win_sum, win_sum_adjoint)
GRAD_BY_ADJOINT(win_sum_adjoint, win_sum)

/* ---- contractions ---- */
static Ref matmul(Back *b, Ref p, Ref q, bool tp, bool tq)
{
    return make_node(b->g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ p, q }, 2, (int64_t[]){ tp, tq }, 0);
}

/* y (..,m,n) = p (m,k or stored k,m) q (k,n or stored n,k): flags, never transposes */
static void grad_matmul(Back *b, Ref y, Ref d)
{
    Ref  p = arg(b, y, 0), q = arg(b, y, 1);
    bool tp = node_attrs(b->g, y)[0], tq = node_attrs(b->g, y)[1];
    GIVE(0, tp ? matmul(b, q, d, tq, true) : matmul(b, d, q, false, !tq));
    GIVE(1, tq ? matmul(b, d, p, true, tp) : matmul(b, p, d, !tp, false));
}

/* conv, conv_dx and conv_dw are one trilinear form T(x, w, g) = sum of x * w * g over matching places: each is T's derivative by the input it
 * lacks, so the derivatives of each are the other two, with the same attributes.
 * x (n,c,h,w)  w (k,c/groups,r,s)  g (n,k,ho,wo) */
static void grad_conv(Back *b, Ref y, Ref d)
{
    Ref x = arg(b, y, 0), w = arg(b, y, 1);
    GIVE(0, same_attrs2(b, OP_conv_dx, y, x, d, w));
    GIVE(1, same_attrs2(b, OP_conv_dw, y, w, x, d));
}

static void grad_conv_dx(Back *b, Ref y, Ref d)
{
    Ref g = arg(b, y, 0), w = arg(b, y, 1);
    GIVE(0, same_attrs2(b, OP_conv, y, g, d, w));
    GIVE(1, same_attrs2(b, OP_conv_dw, y, w, d, g));
}

static void grad_conv_dw(Back *b, Ref y, Ref d)
{
    Ref x = arg(b, y, 0), g = arg(b, y, 1);
    GIVE(0, same_attrs2(b, OP_conv_dx, y, x, g, d));
    GIVE(1, same_attrs2(b, OP_conv, y, g, x, d));
}

/* ---- windows: pick and unpick choose by their first input, which gets no gradient (the choice is constant almost everywhere) ---- */
static void grad_win_max(Back *b, Ref y, Ref d)    { GIVE(0, same_attrs2(b, OP_win_unpick, y, arg(b, y, 0), arg(b, y, 0), d)); }
static void grad_win_pick(Back *b, Ref y, Ref d)   { GIVE(1, same_attrs2(b, OP_win_unpick, y, arg(b, y, 1), arg(b, y, 0), d)); }
static void grad_win_unpick(Back *b, Ref y, Ref d) { GIVE(1, same_attrs2(b, OP_win_pick, y, arg(b, y, 1), arg(b, y, 0), d)); }

/* ---- by index ---- */
static void grad_gather(Back *b, Ref y, Ref d)      { GIVE(0, same_attrs2(b, OP_scatter_add, y, arg(b, y, 0), d, arg(b, y, 1))); }
static void grad_scatter_add(Back *b, Ref y, Ref d) { GIVE(0, same_attrs2(b, OP_gather, y, arg(b, y, 0), d, arg(b, y, 1))); }

/* ---- the table: a rule for every row that says YES ---- */
typedef void (*Rule)(Back *b, Ref y, Ref d);
#define RULE_YES(name)  grad_##name
#define RULE_ZERO(name) NULL
#define RULE_NONE(name) NULL
static const Rule rules[OP_COUNT] = {
#define OP(name, nin, class, flags, grad, test, attrs, doc) [OP_##name] = RULE_##grad(name),
#include "ops.def"
#undef OP
};

static bool is_float(const Graph *g, Ref r)
{
    return node(g, r)->dtype == DT_F32 || node(g, r)->dtype == DT_F64;
}

/* Does a change of input i change y in the first order (or would, had y's op a derivative)? Conditions and indices are not floats. */
static bool passes(const Graph *g, Ref y, int i)
{
    Op op = (Op)node(g, y)->op;
    if (op_info[op].grad == GRAD_ZERO || !is_float(g, y) || !is_float(g, node_arg(g, y, i)))
        return false;
    return !(i == 0 && (op == OP_win_pick || op == OP_win_unpick));
}

static bool wants(const Back *b, Ref y, int i)
{
    return passes(b->g, y, i) && b->wanted[node_arg(b->g, y, i)];
}

/* The share of a broadcast goes on to what was broadcast at once, summed: two uses of one bias (a discriminator applied to real and to made pictures) add
 * two small sums and need not keep the first big share until the second is there. */
static void give(Back *b, Ref y, int i, Ref share)
{
    Ref to = node_arg(b->g, y, i);
    assert(node(b->g, share)->rank == node(b->g, to)->rank);
    assert(!memcmp(node_shape(b->g, share), node_shape(b->g, to), sizeof(Dim) * node(b->g, to)->rank));
    if (node(b->g, to)->op == OP_broadcast && !b->is_wrt[to])
        grad_broadcast(b, to, share);
    else
        b->adj[to] = b->adj[to] ? add(b, b->adj[to], share) : share;
}

/* wanted[r]: some wrt reaches r and r reaches y, through inputs that pass gradients. Refs grow along the edges, so a sweep each way does it. */
static void mark_paths(const Graph *g, Ref y, int n, const Ref *wrt, bool *wanted)
{
    bool *reached = xmalloc(y + 1);              /* y depends on it */
    for (int i = 0; i < n; i++)
        if (wrt[i] && wrt[i] <= y && is_float(g, wrt[i]))
            wanted[wrt[i]] = true;
    for (Ref r = 1; r <= y; r++)
        for (int i = 0; i < node(g, r)->nargs && !wanted[r]; i++)
            wanted[r] = wanted[node_arg(g, r, i)] && passes(g, r, i);
    reached[y] = true;
    for (Ref r = y; r > 0; r--) {
        wanted[r] = wanted[r] && reached[r];
        for (int i = 0; i < node(g, r)->nargs && wanted[r]; i++)
            if (passes(g, r, i))
                reached[node_arg(g, r, i)] = true;
    }
    free(reached);
}

/* Is r on a path as more than an end: does some input of it lie on a path too? */
static bool goes_on(const Back *b, Ref r)
{
    for (int i = 0; i < node(b->g, r)->nargs; i++)
        if (wants(b, r, i))
            return true;
    return false;
}

bool gradients(Graph *g, Ref y, int n, const Ref *wrt, Ref *out, Ref *culprit)
{
    Back     b = { g, xmalloc(y + 1), xmalloc(y + 1), xmalloc((y + 1) * sizeof(Ref)) };
    Loc      loc = g->loc, use = g->use;
    uint32_t chain = g->chain, hint = g->hint;
    bool     ok = true;
    g->hint = hint_add(g, &(GraphHint){ .kind = HINT_GRADIENT });       /* under no pragma of the forward pass */
    mark_paths(g, y, n, wrt, b.wanted);
    for (int i = 0; i < n; i++)
        if (wrt[i] <= y)
            b.is_wrt[wrt[i]] = true;
    if (b.wanted[y]) {
        Type t = node_type(g, y);
        b.adj[y] = b_fill(g, t.dtype, 1, t.rank, t.shape);
    }
    for (Ref r = y; r > 0 && ok; r--) {
        if (!b.wanted[r] || !goes_on(&b, r))
            continue;
        if (op_info[node(g, r)->op].grad == GRAD_NONE) {
            *culprit = r;
            ok = false;
        } else if (b.adj[r]) {
            g->loc = node(g, r)->loc;            /* a gradient's place is the place of what it differentiates */
            g->use = node(g, r)->use;
            g->chain = node(g, r)->chain;
            rules[node(g, r)->op](&b, r, b.adj[r]);
        }
    }
    for (int i = 0; i < n; i++)
        out[i] = ok && wrt[i] && wrt[i] <= y ? b.adj[wrt[i]] : 0;
    g->loc = loc;
    g->use = use;
    g->chain = chain;
    g->hint = hint;
    free(b.wanted);
    free(b.is_wrt);
    free(b.adj);
    return ok;
}
