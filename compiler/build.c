/* build.c - the builders: make_node with constants folded and identities dropped, so that the elaborator and autodiff can be written plainly.
 *
 * What is folded is exact in IEEE arithmetic for every input, NaN and infinities included: x+0, x-0, x*1, x/1, x*(-1), x^1, x^2, --x. Never x*0 or x-x.
 * (x + 0 turns -0 into +0 when computed; keeping x is the one liberty taken.) Constants are folded in double.
 * Movement ops drop identities and merge with an equal op below them. Everything cleverer belongs to simplify().
 */
#include "ir.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static Ref make1(Graph *g, Op op, Ref a, int rank, const Dim *shape, int nattrs, const int64_t *attrs)
{
    return make_node(g, op, DT_NONE, rank, shape, 1, &a, nattrs, attrs, 0);
}

static bool same_shape(const Graph *g, Ref a, int rank, const Dim *shape)
{
    return node(g, a)->rank == rank && (rank == 0 || !memcmp(node_shape(g, a), shape, (size_t)rank * sizeof *shape));
}

bool is_const_value(const Graph *g, Ref r, double *v)
{
    for (;;) {
        const Node *n = node(g, r);
        if (n->op == OP_const) {
            *v = n->value;
            return true;
        }
        if (n->op != OP_broadcast && n->op != OP_reshape && n->op != OP_cast)
            return false;
        if (n->op == OP_cast && n->dtype != DT_F32 && n->dtype != DT_F64)
            return false;
        r = node_arg(g, r, 0);
    }
}

/* ---- leaves ---- */

Ref b_const(Graph *g, Dtype t, double v)
{
    return make_node(g, OP_const, t, 0, NULL, 0, NULL, 0, NULL, v);
}

Ref b_fill(Graph *g, Dtype t, double v, int rank, const Dim *shape)
{
    Dim copy[MAX_RANK];
    if (rank)
        memcpy(copy, shape, (size_t)rank * sizeof *copy);
    return b_broadcast(g, b_const(g, t, v), rank, copy);
}

static Ref fill_like(Graph *g, Dtype t, double v, Ref like)
{
    Type shape = node_type(g, like);
    return b_fill(g, t, v, shape.rank, shape.shape);
}

Ref b_size(Graph *g, Dim d)
{
    int64_t v;
    if (dim_is_const(g->dims, d, &v))
        return b_const(g, DT_F32, (double)v);
    int64_t attr = d;
    return make_node(g, OP_size, DT_F32, 0, NULL, 0, NULL, 1, &attr, 0);
}

Dim element_count(const Graph *g, Ref r)
{
    Type t = node_type(g, r);
    Dim  n = 1;
    for (int i = 0; i < t.rank; i++)
        n = dim_mul(g->dims, n, t.shape[i]);
    return n;
}

Dim contract_macs(const Graph *g, Ref r)
{
    const Node *n = node(g, r);
    if (n->op == OP_matmul) {
        const Dim *a = node_shape(g, node_arg(g, r, 0));
        return dim_mul(g->dims, element_count(g, r), a[node_attrs(g, r)[0] ? n->rank - 2 : n->rank - 1]);
    }
    if (n->op != OP_conv && n->op != OP_conv_dx && n->op != OP_conv_dw)
        return 0;
    /* images of the convolution's result (n,k,ho,wo), each from weights (k,c/g,r,s) */
    Ref        image = n->op == OP_conv ? r : node_arg(g, r, n->op == OP_conv_dx ? 0 : 1);
    const Dim *w = node_shape(g, n->op == OP_conv_dw ? r : node_arg(g, r, 1));
    Dim        each = dim_mul(g->dims, w[1], dim_mul(g->dims, w[2], w[3]));
    return dim_mul(g->dims, element_count(g, image), each);
}

/* ---- folding numbers ---- */

static bool fits(Dtype t, double v)        /* an integer result that i32 holds */
{
    return t != DT_I32 || (v >= INT32_MIN && v <= INT32_MAX);
}

static bool fold1(Op op, double a, double *v)
{
    switch (op) {
    case OP_neg: *v = -a; return true;
    case OP_exp: *v = exp(a); return true;
    case OP_log: *v = log(a); return true;
    case OP_sqrt: *v = sqrt(a); return true;
    case OP_rsqrt: *v = 1 / sqrt(a); return true;
    case OP_sin: *v = sin(a); return true;
    case OP_cos: *v = cos(a); return true;
    case OP_tanh: *v = tanh(a); return true;
    case OP_sigmoid: *v = a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a)); return true;
    case OP_softplus: *v = fmax(a, 0) + log1p(exp(-fabs(a))); return !isnan(a);
    case OP_abs: *v = fabs(a); return true;
    case OP_sign: *v = (a > 0) - (a < 0); return !isnan(a);
    case OP_floor: *v = floor(a); return true;
    case OP_round: *v = rint(a); return true;
    case OP_not: *v = a == 0; return true;
    case OP_stop: *v = a; return true;
    default: return false;
    }
}

static bool fold2(Op op, double a, double b, double *v)
{
    switch (op) {
    case OP_add: *v = a + b; return true;
    case OP_sub: *v = a - b; return true;
    case OP_mul: *v = a * b; return true;
    case OP_div: *v = a / b; return true;
    case OP_pow: *v = pow(a, b); return true;
    case OP_min: *v = b < a ? b : a; return !isnan(a) && !isnan(b);
    case OP_max: *v = b > a ? b : a; return !isnan(a) && !isnan(b);
    case OP_eq: *v = a == b; return true;
    case OP_ne: *v = a != b; return true;
    case OP_lt: *v = a < b; return true;
    case OP_le: *v = a <= b; return true;
    case OP_and: *v = a != 0 && b != 0; return true;
    case OP_or: *v = a != 0 || b != 0; return true;
    default: return false;
    }
}

/* ---- elementwise ---- */

Ref b_unary(Graph *g, Op op, Ref a)
{
    const Node *n = node(g, a);
    Dtype       dtype = (Dtype)n->dtype;
    double      v, r;
    if (op == OP_neg && n->op == OP_neg)
        return node_arg(g, a, 0);
    if (op == OP_not && n->op == OP_not)
        return node_arg(g, a, 0);
    if ((op == OP_stop || op == OP_abs || op == OP_floor || op == OP_round || op == OP_sign) && n->op == op)
        return a;
    if (is_const_value(g, a, &v) && fold1(op, v, &r) && fits(dtype, r))
        return fill_like(g, dtype, r, a);
    return make1(g, op, a, 0, NULL, 0, NULL);
}

Ref b_cast(Graph *g, Ref a, Dtype t)
{
    const Node *n = node(g, a);
    double      v;
    int64_t     to = t - DT_F32;
    if (n->dtype == t)
        return a;
    if (is_const_value(g, a, &v) && (t != DT_I32 || (v > -2147483649.0 && v < 2147483648.0)))
        return fill_like(g, t, v, a);
    return make1(g, OP_cast, a, 0, NULL, 1, &to);
}

/* x op c and c op x where the result is x, or simpler than the op; 0 when there is no such rule. left: the constant stands left. */
static Ref identity(Graph *g, Op op, Ref x, double c, bool left)
{
    switch (op) {
    case OP_add:
        return c == 0 ? x : 0;
    case OP_sub:
        return c == 0 && !left ? x : 0;
    case OP_mul:
        return c == 1 ? x : c == -1 ? b_unary(g, OP_neg, x) : 0;
    case OP_div:
        return left ? 0 : c == 1 ? x : c == -1 ? b_unary(g, OP_neg, x) : 0;
    case OP_pow:
        return left ? 0 : c == 1 ? x : c == 2 ? b_binary(g, OP_mul, x, x) : c == 0 ? fill_like(g, (Dtype)node(g, x)->dtype, 1, x) : 0;
    case OP_and:
        return c != 0 ? x : fill_like(g, DT_BOOL, 0, x);
    case OP_or:
        return c == 0 ? x : fill_like(g, DT_BOOL, 1, x);
    default:
        return 0;
    }
}

static bool commutes(Op op)
{
    return op == OP_add || op == OP_mul || op == OP_eq || op == OP_ne || op == OP_and || op == OP_or;
}

/* Aborts like make_node when the operands do not broadcast. */
static Type common_type(Graph *g, Op op, int n, const Ref *args)
{
    Type t = { 0 };
    char why[512];
    if (!infer_broadcast(g, op, n, args, &t, NULL, why, sizeof why)) {
        fprintf(stderr, "pastiche: internal error in graph '%s', line %u: %s\n", g->name ? g->name : "", g->loc.line, why);
        abort();
    }
    return t;
}

Ref b_binary(Graph *g, Op op, Ref a, Ref b)
{
    Type   t = common_type(g, op, 2, (Ref[]){ a, b });
    double va, vb, r;
    bool   ca = is_const_value(g, a, &va), cb = is_const_value(g, b, &vb);
    if (ca && cb && fold2(op, va, vb, &r) && fits(t.dtype, r))
        return b_fill(g, t.dtype, r, t.rank, t.shape);
    a = b_broadcast(g, a, t.rank, t.shape);
    b = b_broadcast(g, b, t.rank, t.shape);
    Ref same = cb ? identity(g, op, a, vb, false) : ca ? identity(g, op, b, va, true) : 0;
    if (same)
        return same;
    if (a == b && (op == OP_min || op == OP_max || op == OP_and || op == OP_or))
        return a;
    if (commutes(op) && (ca || (!cb && a > b))) {
        Ref swap = a;
        a = b;
        b = swap;
    }
    return make_node(g, op, DT_NONE, 0, NULL, 2, (Ref[]){ a, b }, 0, NULL, 0);
}

Ref b_select(Graph *g, Ref c, Ref a, Ref b)
{
    Type   t = common_type(g, OP_select, 3, (Ref[]){ c, a, b });
    double v;
    if (is_const_value(g, c, &v))
        return b_broadcast(g, v != 0 ? a : b, t.rank, t.shape);
    a = b_broadcast(g, a, t.rank, t.shape);
    b = b_broadcast(g, b, t.rank, t.shape);
    if (a == b)
        return a;
    if (node(g, c)->op == OP_not) {
        Ref inner = node_arg(g, c, 0), swap = a;
        return b_select(g, inner, b, swap);
    }
    c = b_broadcast(g, c, t.rank, t.shape);
    return make_node(g, OP_select, DT_NONE, 0, NULL, 3, (Ref[]){ c, a, b }, 0, NULL, 0);
}

/* ---- reductions ---- */

/* Sums over the axes of a bit set. */
static Ref sum_axes(Graph *g, Ref a, unsigned axes)
{
    Type    t = node_type(g, a);
    int64_t list[MAX_RANK];
    double  v;
    int     n = 0;
    Dim     count = 1;
    for (int i = 0; i < t.rank; i++)
        if (t.shape[i] == 1)
            axes &= ~(1u << i);
    if (!axes)
        return a;
    if (node(g, a)->op == OP_sum) {
        const int64_t *inner = node_attrs(g, a);
        for (int i = 0; i < node(g, a)->nattrs; i++)
            axes |= 1u << inner[i];
        a = node_arg(g, a, 0);
        t = node_type(g, a);
    }
    for (int i = 0; i < t.rank; i++)
        if (axes & 1u << i) {
            list[n++] = i;
            count = dim_mul(g->dims, count, t.shape[i]);
            t.shape[i] = 1;
        }
    if (is_const_value(g, a, &v) && t.dtype != DT_I32) {
        Ref size = b_cast(g, b_size(g, count), t.dtype);
        return b_broadcast(g, b_binary(g, OP_mul, size, b_const(g, t.dtype, v)), t.rank, t.shape);
    }
    return make1(g, OP_sum, a, 0, NULL, n, list);
}

Ref b_sum(Graph *g, Ref a, const int *axes, int naxes)
{
    unsigned set = 0;
    for (int i = 0; i < naxes; i++) {
        assert(axes[i] >= 0 && axes[i] < node(g, a)->rank);
        set |= 1u << axes[i];
    }
    return sum_axes(g, a, set);
}

Ref b_sum_all(Graph *g, Ref a)
{
    return b_reshape(g, sum_axes(g, a, (1u << node(g, a)->rank) - 1), 0, NULL);
}

Ref b_sum_to(Graph *g, Ref a, int rank, const Dim *shape)
{
    Type     t = node_type(g, a);
    unsigned axes = 0;
    if (rank == 0)
        return b_sum_all(g, a);
    assert(rank == t.rank);
    for (int i = 0; i < rank; i++)
        if (shape[i] == 1 && t.shape[i] != 1)
            axes |= 1u << i;
    return b_broadcast(g, sum_axes(g, a, axes), rank, shape);      /* the same shape, or sizes that g->checks call equal */
}

/* ---- movement ---- */

Ref b_reshape(Graph *g, Ref a, int rank, const Dim *shape)
{
    while (node(g, a)->op == OP_reshape)
        a = node_arg(g, a, 0);
    if (same_shape(g, a, rank, shape))
        return a;
    if (node(g, a)->op == OP_broadcast && node(g, node_arg(g, a, 0))->rank == 0)
        return b_broadcast(g, node_arg(g, a, 0), rank, shape);
    return make1(g, OP_reshape, a, rank, shape, 0, NULL);
}

Ref b_broadcast(Graph *g, Ref a, int rank, const Dim *shape)
{
    if (same_shape(g, a, rank, shape))
        return a;
    if (node(g, a)->op == OP_broadcast)
        a = node_arg(g, a, 0);
    return make1(g, OP_broadcast, a, rank, shape, 0, NULL);
}

Ref b_transpose(Graph *g, Ref a, const int *perm)
{
    int     rank = node(g, a)->rank;
    int64_t p[MAX_RANK];
    bool    moves = false;
    for (int i = 0; i < rank; i++)
        p[i] = perm[i];
    if (node(g, a)->op == OP_transpose) {
        const int64_t *inner = node_attrs(g, a);
        for (int i = 0; i < rank; i++)
            p[i] = inner[perm[i]];
        a = node_arg(g, a, 0);
    }
    for (int i = 0; i < rank; i++)
        moves |= p[i] != i;
    if (!moves)
        return a;
    if (node(g, a)->op == OP_broadcast && node(g, node_arg(g, a, 0))->rank == 0) {
        Type t = node_type(g, a), to = t;
        for (int i = 0; i < rank; i++)
            to.shape[i] = t.shape[p[i]];
        return b_broadcast(g, node_arg(g, a, 0), rank, to.shape);
    }
    return make1(g, OP_transpose, a, 0, NULL, rank, p);
}

/* start and step as attributes; an axis of one element has step 1. true: start 0, step 1 everywhere. */
static bool strided_attrs(int rank, const Dim *start, const int *step, const Dim *part, int64_t *attrs)
{
    bool plain = true;
    for (int i = 0; i < rank; i++) {
        attrs[i] = start[i];
        attrs[rank + i] = part[i] == 1 ? 1 : step[i];
        plain &= attrs[i] == 0 && attrs[rank + i] == 1;
    }
    return plain;
}

/* The products of steps of two nested slices or places stay numbers. */
static bool steps_merge(const Graph *g, Ref inner, const int64_t *attrs)
{
    int rank = node(g, inner)->rank;
    for (int i = rank; i < 2 * rank; i++)
        if (llabs(attrs[i]) > INT32_MAX || llabs(node_attrs(g, inner)[i]) > INT32_MAX)
            return false;
    return true;
}

Ref b_slice(Graph *g, Ref a, const Dim *start, const int *step, const Dim *shape)
{
    int     rank = node(g, a)->rank;
    int64_t attrs[2 * MAX_RANK];
    Dim     to[MAX_RANK];
    if (rank == 0)
        return a;
    memcpy(to, shape, (size_t)rank * sizeof *to);
    if (strided_attrs(rank, start, step, to, attrs) && same_shape(g, a, rank, to))
        return a;
    if (node(g, a)->op == OP_broadcast && node(g, node_arg(g, a, 0))->rank == 0)
        return b_broadcast(g, node_arg(g, a, 0), rank, to);
    if (node(g, a)->op == OP_slice && steps_merge(g, a, attrs)) {
        for (int i = 0; i < rank; i++) {
            int64_t s = node_attrs(g, a)[i], t = node_attrs(g, a)[rank + i];
            attrs[i] = dim_add(g->dims, (Dim)s, dim_scale(g->dims, (Dim)attrs[i], t));
            attrs[rank + i] = to[i] == 1 ? 1 : attrs[rank + i] * t;
        }
        a = node_arg(g, a, 0);
    }
    return make1(g, OP_slice, a, rank, to, 2 * rank, attrs);
}

Ref b_place(Graph *g, Ref a, const Dim *start, const int *step, const Dim *shape)
{
    int     rank = node(g, a)->rank;
    Type    part = node_type(g, a);
    int64_t attrs[2 * MAX_RANK];
    Dim     to[MAX_RANK];
    double  v;
    if (rank == 0)
        return a;
    memcpy(to, shape, (size_t)rank * sizeof *to);
    if (strided_attrs(rank, start, step, part.shape, attrs) && same_shape(g, a, rank, to))
        return a;
    if (is_const_value(g, a, &v) && v == 0 && !signbit(v))
        return b_fill(g, part.dtype, 0, rank, to);
    if (node(g, a)->op == OP_place && steps_merge(g, a, attrs)) {
        for (int i = 0; i < rank; i++) {
            int64_t s = node_attrs(g, a)[i], t = node_attrs(g, a)[rank + i];
            attrs[i] = dim_add(g->dims, (Dim)attrs[i], dim_scale(g->dims, (Dim)s, attrs[rank + i]));
            attrs[rank + i] *= t;
        }
        a = node_arg(g, a, 0);
    }
    return make1(g, OP_place, a, rank, to, 2 * rank, attrs);
}

Ref b_concat(Graph *g, int n, const Ref *parts, int axis)
{
    Ref  few[16], *kept = n <= 16 ? few : xmalloc((size_t)n * sizeof *kept), r;
    int     m = 0;
    int64_t at = axis;
    for (int i = 0; i < n; i++)
        if (node_shape(g, parts[i])[axis] != 0)
            kept[m++] = parts[i];
    if (m == 0 && n)
        kept[m++] = parts[0];
    r = m == 1 ? kept[0] : make_node(g, OP_concat, DT_NONE, -1, NULL, m, kept, 1, &at, 0);
    if (kept != few)
        free(kept);
    return r;
}
