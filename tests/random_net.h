/* random_net.h - random graphs made of what GANs and style transfer are made of, with gradients: what tests/test_random.c compares native code on.
 *
 *   RandomNet n;
 *   random_net(&n, dims, seed, most);    n.c: the graph and how to make the numbers it reads
 *   case_tensors(&n.c, inputs, vars)     the numbers
 *
 * Layers here (convolutions of all kinds, norms, products, pooling, borders, indices, random numbers), smaller things from random_graph.h. Channel counts stand
 * around the vector widths, sizes are small and mostly odd, N, H, W are symbols in half of the graphs. Weights are inputs or variables; a part of the variables
 * is written back. Gradients of a scalar by everything of f32 are outputs, in a part of the graphs those of their squared norm too.
 */
#ifndef PASTICHE_TESTS_RANDOM_NET_H
#define PASTICHE_TESTS_RANDOM_NET_H

#include "exec.h"
#include "random_graph.h"

/* A graph and the numbers it runs on: f32 within -scale..scale, i32 below scale, all a function of (seed, which, element). */
typedef struct {
    Graph   *g;
    uint64_t seed;
    int64_t  size[3];              /* N, H, W */
    double   scale[RG_INPUTS];     /* by input */
    double   var_scale[RG_INPUTS];
    uint32_t nvars;
} Case;

typedef struct { RandomGraph rg; Case c; int64_t work; } RandomNet;

enum { CASE_ELEMENTS = 12000, CASE_MACS = 600000, CASE_WORK = 4000000 };

static inline bool case_size(const Case *c, Dim d, int64_t *v)
{
    DimBind b[3] = { { dim_sym(c->g->dims, intern("N")), c->size[0] }, { dim_sym(c->g->dims, intern("H")), c->size[1] }, { dim_sym(c->g->dims, intern("W")), c->size[2] } };
    return dim_eval(c->g->dims, d, b, 3, v);
}

/* ---- numbers ---- */

static inline bool case_tensor(const Case *c, uint64_t which, Dtype dtype, int rank, const Dim *shape, double scale, Tensor *t)
{
    int64_t sizes[MAX_RANK];
    Status  st = { 0 };
    for (int i = 0; i < rank; i++)
        if (!case_size(c, shape[i], &sizes[i]) || sizes[i] < 0)
            return false;
    if (!tensor_alloc(t, dtype, rank, sizes, &st))
        return false;
    for (int64_t i = 0, n = tensor_count(t); i < n; i++) {
        double u = rng_uniform((Rng){ c->seed, 0 }, which, (uint64_t)i);
        tensor_set(t, i, dtype == DT_I32 ? floor(u * scale) : dtype == DT_BOOL ? u < 0.5 : scale * (2 * u - 1));
    }
    return true;
}

/* inputs[g->inputs.n], vars[c->nvars]; false: the sizes do not fit together. */
static inline bool case_tensors(const Case *c, Tensor *inputs, Tensor *vars)
{
    bool ok = true;
    for (uint32_t i = 0; i < c->g->inputs.n && ok; i++) {
        const GraphInput *in = &c->g->inputs.at[i];
        ok = case_tensor(c, i, in->dtype, in->rank, in->shape, c->scale[i], &inputs[i]);
    }
    for (Ref r = 1; r < c->g->nodes.n && ok; r++) {
        if (node(c->g, r)->op != OP_var)
            continue;
        uint32_t v = (uint32_t)node_attrs(c->g, r)[0];
        if (!vars[v].data)
            ok = case_tensor(c, 1000 + v, (Dtype)node(c->g, r)->dtype, node(c->g, r)->rank, node_shape(c->g, r), c->var_scale[v], &vars[v]);
    }
    return ok;
}

/* ---- pieces ---- */

static inline int     net_below(RandomNet *n, int k) { return rg_below(&n->rg, k); }
static inline bool    net_one_in(RandomNet *n, int k) { return rg_below(&n->rg, k) == 0; }
static inline Dim     net_dim(RandomNet *n, int64_t v) { return rg_dim(&n->rg, v); }
static inline int64_t net_size(RandomNet *n, Dim d)
{
    int64_t v = 0;
    return case_size(&n->c, d, &v) ? v : -1;
}

static inline int64_t net_channels(RandomNet *n)
{
    static const int counts[] = { 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 16, 17, 24, 31, 32, 33, 48 };
    return counts[net_below(n, COUNT(counts))];
}

static inline int64_t net_elements(RandomNet *n, const Type *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) {
        int64_t k = net_size(n, t->shape[i]);
        if (k < 1 || k > CASE_ELEMENTS)
            return -1;
        count *= k;
    }
    return count;
}

/* A node, or 0 when it is not valid or too large. */
static inline Ref net_node(RandomNet *n, Op op, Dtype dtype, int rank, const Dim *shape, int nargs, const Ref *args, int nattrs, const int64_t *attrs)
{
    Type t = { .dtype = dtype, .rank = rank };
    char why[256];
    if (shape)
        memcpy(t.shape, shape, sizeof(Dim) * (size_t)rank);
    if (!infer_type(n->rg.g, op, nargs, args, nattrs, attrs, &t, NULL, why, sizeof why))
        return 0;
    int64_t count = net_elements(n, &t);
    if (count < 1 || count > CASE_ELEMENTS)
        return 0;
    return make_node(n->rg.g, op, dtype, rank, shape, nargs, args, nattrs, attrs, 0);
}

/* Something from outside: an input, or a variable. */
static inline Ref net_leaf(RandomNet *n, Dtype dtype, int rank, const Dim *shape, double scale)
{
    Graph  *g = n->rg.g;
    bool    var = dtype == DT_F32 && net_below(n, 3) && n->c.nvars < 20, fixed = true;
    int64_t v, index;
    Ref     r;
    for (int i = 0; i < rank; i++)
        fixed &= dim_is_const(g->dims, shape[i], &v);
    if (var && fixed) {
        index = n->c.nvars;
        n->c.var_scale[n->c.nvars++] = scale;
        r = make_node(g, OP_var, dtype, rank, shape, 0, NULL, 1, &index, 0);
    } else {
        if (g->inputs.n + 1 >= RG_INPUTS)
            return 0;
        char       name[16];
        GraphInput in = { .kind = IN_TENSOR, .dtype = dtype, .rank = (uint8_t)rank };
        snprintf(name, sizeof name, "x%u", g->inputs.n);
        in.name = intern(name);
        if (rank)
            memcpy(in.shape, shape, sizeof(Dim) * (size_t)rank);
        index = g->inputs.n;
        n->c.scale[index] = scale;
        vec_push(&g->inputs, in);
        r = make_node(g, OP_input, dtype, rank, shape, 0, NULL, 1, &index, 0);
    }
    if (dtype == DT_F32 && n->rg.nwrt < RG_INPUTS)
        n->rg.wrt[n->rg.nwrt++] = r;
    return r;
}

static inline Ref net_const(RandomNet *n, double v) { return b_const(n->rg.g, DT_F32, v); }
static inline Ref net_bin(RandomNet *n, Op op, Ref a, Ref b) { return b_binary(n->rg.g, op, a, b); }
static inline Ref net_like(RandomNet *n, Ref a, Ref like)
{
    Type t = node_type(n->rg.g, like);
    return b_broadcast(n->rg.g, a, t.rank, t.shape);
}

/* A vector over axis 1 of a, broadcast to it. */
static inline Ref net_per_channel(RandomNet *n, Ref a, double scale)
{
    Type t = node_type(n->rg.g, a), flat = { .rank = 1, .shape = { t.shape[1] } };
    Ref  v = net_leaf(n, DT_F32, 1, flat.shape, scale);
    Dim  shape[MAX_RANK];
    if (!v)
        return 0;
    for (int i = 0; i < t.rank; i++)
        shape[i] = i == 1 ? t.shape[1] : net_dim(n, 1);
    return net_like(n, b_reshape(n->rg.g, v, t.rank, shape), a);
}

/* ---- layers: a changed a, or a itself where it does not fit ---- */

static inline Ref net_weight(RandomNet *n, const Dim *shape, double fan_in)
{
    Ref    w = net_leaf(n, DT_F32, 4, shape, 1.7 / sqrt(fan_in));
    Graph *g = n->rg.g;
    if (!w || net_below(n, 4))
        return w;
    switch (net_below(n, 3)) {                   /* weights that are computed: equalised, normalised, bounded */
    case 0:  return net_bin(n, OP_mul, w, net_const(n, 0.7));
    case 1: {
        Ref norm = b_unary(g, OP_rsqrt, net_bin(n, OP_add, b_sum(g, net_bin(n, OP_mul, w, w), (int[]){ 1, 2, 3 }, 3), net_const(n, 0.1)));
        return net_bin(n, OP_mul, w, net_like(n, norm, w));
    }
    default: return b_unary(g, OP_tanh, w);
    }
}

typedef struct { int64_t a[9], r, s; } ConvShape;

static inline ConvShape net_conv_shape(RandomNet *n)
{
    static const int kernels[] = { 1, 1, 2, 3, 3, 3, 3, 4, 4, 5, 7, 9 }, strides[] = { 1, 1, 1, 1, 2, 2, 3 };
    ConvShape c = { .r = kernels[net_below(n, COUNT(kernels))] };
    c.s = net_below(n, 6) ? c.r : kernels[net_below(n, COUNT(kernels))];
    c.a[0] = strides[net_below(n, COUNT(strides))];
    c.a[1] = net_below(n, 6) ? c.a[0] : strides[net_below(n, COUNT(strides))];
    c.a[6] = net_below(n, 10) ? 1 : 2;
    c.a[7] = net_below(n, 4) ? c.a[6] : 1;
    int how = net_below(n, 4);
    for (int i = 0; i < 4; i++) {
        int64_t k = i < 2 ? c.r : c.s, d = i < 2 ? c.a[6] : c.a[7];
        c.a[2 + i] = how == 0 ? 0 : how == 1 ? net_below(n, (int)(d * (k - 1) + 1)) : d * (k - 1) / 2;
    }
    c.a[8] = 1;
    return c;
}

static inline Ref net_conv(RandomNet *n, Ref a, double *bound)
{
    Graph    *g = n->rg.g;
    Type      t = node_type(g, a);
    ConvShape s = net_conv_shape(n);
    int64_t   c, k = net_channels(n), batch = net_size(n, t.shape[0]), h = net_size(n, t.shape[2]), w = net_size(n, t.shape[3]);
    bool      turned = net_one_in(n, 4);
    if (!dim_is_const(g->dims, t.shape[1], &c) || c < 1)
        return a;
    if (net_one_in(n, 5)) {                      /* groups: a channel each, or a divisor */
        int64_t div = net_one_in(n, 2) ? c : 2;
        if (c % div == 0) {
            s.a[8] = div;
            k = div * (1 + net_below(n, c == div ? 2 : 9));
        }
    }
    int64_t taps = s.r * s.s;
    if (turned) {                                /* transposed: weights (c, k/groups, r, s) */
        Dim shape[4] = { t.shape[0], net_dim(n, k), 0, 0 }, ws[4] = { t.shape[1], net_dim(n, k / s.a[8]), net_dim(n, s.r), net_dim(n, s.s) };
        for (int i = 0; i < 2; i++) {
            int64_t more = s.a[6 + i] * ((i ? s.s : s.r) - 1) + 1 - s.a[2 + 2 * i] - s.a[3 + 2 * i] + (s.a[i] > 1 ? net_below(n, (int)s.a[i]) : 0) - s.a[i];
            shape[2 + i] = dim_add(g->dims, dim_scale(g->dims, t.shape[2 + i], s.a[i]), more >= 0 ? net_dim(n, more) : dim_sub(g->dims, 0, net_dim(n, -more)));
            if (net_size(n, shape[2 + i]) < 1)
                return a;
        }
        int64_t macs = batch * c * h * w * (k / s.a[8]) * taps;
        if (k % s.a[8] || macs > CASE_MACS || n->work + macs > CASE_WORK)
            return a;
        Ref weight = net_weight(n, ws, (double)c / (double)s.a[8] * (double)taps / (double)(s.a[0] * s.a[1]));
        Ref y = weight ? net_node(n, OP_conv_dx, DT_F32, 4, shape, 2, (Ref[]){ a, weight }, 9, s.a) : 0;
        n->work += macs;
        *bound *= y ? 1.5 : 1;
        return y ? y : a;
    }
    Dim     ws[4] = { net_dim(n, k), net_dim(n, c / s.a[8]), net_dim(n, s.r), net_dim(n, s.s) };
    int64_t ho = (h + s.a[2] + s.a[3] - s.a[6] * (s.r - 1) - 1) / s.a[0] + 1, wo = (w + s.a[4] + s.a[5] - s.a[7] * (s.s - 1) - 1) / s.a[1] + 1;
    int64_t macs = batch * k * ho * wo * (c / s.a[8]) * taps;
    if (h + s.a[2] + s.a[3] < s.a[6] * (s.r - 1) + 1 || w + s.a[4] + s.a[5] < s.a[7] * (s.s - 1) + 1 || k % s.a[8] || macs > CASE_MACS || n->work + macs > CASE_WORK)
        return a;
    Ref weight = net_weight(n, ws, (double)(c / s.a[8] * taps));
    Ref y = weight ? net_node(n, OP_conv, DT_F32, 0, NULL, 2, (Ref[]){ a, weight }, 9, s.a) : 0;
    n->work += macs;
    *bound *= y ? 1.5 : 1;
    return y ? y : a;
}

static inline Ref net_norm(RandomNet *n, Ref a, double *bound)
{
    static const struct { int axes[3], count; } kinds[] = { { { 2, 3 }, 2 }, { { 0, 2, 3 }, 3 }, { { 1, 2, 3 }, 3 }, { { 1 }, 1 } };
    Graph *g = n->rg.g;
    Type   t = node_type(g, a);
    int    k = net_below(n, 4), axes[3] = { 1 }, count = 1;
    Dim    items = net_dim(n, 1);
    if (t.rank == 4) {
        count = kinds[k].count;
        memcpy(axes, kinds[k].axes, sizeof axes);
    }
    for (int i = 0; i < count; i++)
        items = dim_mul(g->dims, items, t.shape[axes[i]]);
    Ref    size = b_size(g, items), d = a;
    double eps = net_one_in(n, 3) ? 1e-3 : 0.05;
    if (k != 3)
        d = net_bin(n, OP_sub, a, net_like(n, net_bin(n, OP_div, b_sum(g, a, axes, count), size), a));
    Ref var = net_bin(n, OP_div, b_sum(g, net_bin(n, OP_mul, d, d), axes, count), size);
    Ref y = net_bin(n, OP_mul, d, net_like(n, b_unary(g, OP_rsqrt, net_bin(n, OP_add, var, net_const(n, eps))), a));
    if (net_below(n, 2)) {
        Ref scale = net_per_channel(n, y, 1.3), shift = net_per_channel(n, y, 0.5);
        if (scale && shift)
            y = net_bin(n, OP_add, net_bin(n, OP_mul, y, scale), shift);
    }
    *bound = 3;
    return y;
}

static inline Ref net_activation(RandomNet *n, Ref a, double *bound)
{
    Graph *g = n->rg.g;
    Ref    zero = net_like(n, net_const(n, 0), a), above = net_bin(n, OP_lt, zero, a);
    switch (net_below(n, 9)) {
    case 0: case 1: return b_select(g, above, a, zero);
    case 2: case 3: return b_select(g, above, a, net_bin(n, OP_mul, a, net_const(n, 0.2)));
    case 4: *bound = 1; return b_unary(g, OP_tanh, a);
    case 5: return net_bin(n, OP_mul, a, b_unary(g, OP_sigmoid, a));
    case 6: return b_select(g, above, a, net_bin(n, OP_sub, b_unary(g, OP_exp, net_bin(n, OP_min, a, zero)), net_const(n, 1)));
    case 7: *bound = 1.5; return net_bin(n, OP_min, net_bin(n, OP_max, a, net_const(n, -0.777)), net_const(n, 1.234));
    default: return b_unary(g, OP_softplus, a);
    }
}

/* (n, ..) through weights; batches and both transposes. */
static inline Ref net_product(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t k = 1, v, out = net_channels(n), m = 1;
    if (t.rank == 4 && net_one_in(n, 2)) {       /* gram (n, c, c) */
        Dim shape[3] = { t.shape[0], t.shape[1], dim_mul(g->dims, t.shape[2], t.shape[3]) };
        Ref f = b_reshape(g, a, 3, shape), scaled = net_bin(n, OP_div, f, b_size(g, shape[2]));
        Ref y = net_node(n, OP_matmul, DT_F32, 0, NULL, 2, (Ref[]){ f, scaled }, 2, (int64_t[]){ 0, 1 });
        *bound *= y ? *bound : 1;
        return y ? y : a;
    }
    if (t.rank == 3 && net_one_in(n, 2)) {       /* attention: softmax(a a^T) a */
        Ref s = net_node(n, OP_matmul, DT_F32, 0, NULL, 2, (Ref[]){ a, a }, 2, (int64_t[]){ 0, 1 });
        if (!s)
            return a;
        s = net_bin(n, OP_mul, s, net_const(n, 0.3));
        Ref top = net_node(n, OP_amax, DT_F32, 0, NULL, 1, &s, 1, (int64_t[]){ 2 });
        Ref e = b_unary(g, OP_exp, net_bin(n, OP_sub, s, net_like(n, top, s)));
        Ref p = net_bin(n, OP_div, e, net_like(n, b_sum(g, e, (int[]){ 2 }, 1), e));
        Ref y = net_node(n, OP_matmul, DT_F32, 0, NULL, 2, (Ref[]){ p, a }, 2, (int64_t[]){ 0, 0 });
        return y ? y : a;
    }
    if (t.rank < 2)
        return a;
    for (int i = 1; i < t.rank; i++) {
        if (!dim_is_const(g->dims, t.shape[i], &v))
            return a;
        k *= v;
    }
    m = net_size(n, t.shape[0]);
    if (k > 700 || m < 1 || m * k * out > CASE_MACS || n->work + m * k * out > CASE_WORK)
        return a;
    n->work += m * k * out;
    Ref     flat = b_reshape(g, a, 2, (Dim[]){ t.shape[0], net_dim(n, k) });
    bool    tb = net_below(n, 2), ta = net_one_in(n, 4);
    Ref     w = net_leaf(n, DT_F32, 2, tb ? (Dim[]){ net_dim(n, out), net_dim(n, k) } : (Dim[]){ net_dim(n, k), net_dim(n, out) }, 1.7 / sqrt((double)k));
    if (!w)
        return a;
    if (ta)
        flat = b_transpose(g, flat, (int[]){ 1, 0 });
    Ref y = net_node(n, OP_matmul, DT_F32, 0, NULL, 2, (Ref[]){ flat, w }, 2, (int64_t[]){ ta, tb });
    *bound *= 1.5;
    return y ? y : a;
}

static inline Ref net_pool(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t k[8];
    Dim     shape[4] = { t.shape[0], t.shape[1] };
    bool    largest = net_below(n, 2);
    for (int i = 0; i < 2; i++) {
        k[i] = 1 + net_below(n, 4);
        k[2 + i] = net_below(n, 3) ? k[i] : 1 + net_below(n, 3);
        k[4 + 2 * i] = net_one_in(n, 3) ? net_below(n, (int)k[i]) : 0;
        k[5 + 2 * i] = net_one_in(n, 3) ? net_below(n, (int)k[i]) : 0;
        int64_t pads = k[4 + 2 * i] + k[5 + 2 * i];
        if (net_size(n, t.shape[2 + i]) + pads < k[i])
            return a;
        Dim room = pads >= k[i] ? dim_add(g->dims, t.shape[2 + i], net_dim(n, pads - k[i])) : dim_sub(g->dims, t.shape[2 + i], net_dim(n, k[i] - pads));
        shape[2 + i] = dim_add(g->dims, dim_floordiv(g->dims, room, k[2 + i]), net_dim(n, 1));
    }
    Ref y = net_node(n, largest ? OP_win_max : OP_win_sum, DT_F32, 4, shape, 1, &a, 8, k);
    if (y && !largest)
        y = net_bin(n, OP_mul, y, net_const(n, 1.0 / (double)(k[0] * k[1])));
    (void)bound;
    return y ? y : a;
}

/* Borders of every kind, rows and columns apart; pictures larger and smaller. */
static inline Ref net_border(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t h = net_size(n, t.shape[2]), w = net_size(n, t.shape[3]);
    Dim     shape[4] = { t.shape[0], t.shape[1], t.shape[2], t.shape[3] };
    int     how = net_below(n, 5);
    Ref     y = 0;
    (void)bound;
    if (how < 2) {
        int64_t lo[5] = { 0, 0, net_below(n, 3), net_below(n, 3), how ? MODE_EDGE : MODE_REFLECT };
        int64_t hi[2] = { net_below(n, 3), net_below(n, 3) };
        if (lo[2] >= h || hi[0] >= h || lo[3] >= w || hi[1] >= w)
            return a;
        for (int i = 0; i < 2; i++)
            shape[2 + i] = dim_add(g->dims, shape[2 + i], net_dim(n, lo[2 + i] + hi[i]));
        y = net_node(n, OP_pad, DT_F32, 4, shape, 1, &a, 5, lo);
    } else if (how == 2) {
        int64_t c, steps[4] = { 1, 1, 1 + net_below(n, 2), 1 + net_below(n, 2) }, lo[4] = { 0, net_one_in(n, 4), net_below(n, 3), net_below(n, 3) };
        Dim     start[4];
        int     step[4];
        if (!dim_is_const(g->dims, t.shape[1], &c))
            return a;
        for (int i = 0; i < 4; i++) {
            start[i] = net_dim(n, lo[i]);
            step[i] = (int)steps[i];
            if (i)
                shape[i] = dim_add(g->dims, dim_scale(g->dims, shape[i], steps[i]), net_dim(n, lo[i] + net_below(n, 2)));
        }
        y = b_place(g, a, start, step, shape);
    } else {
        int64_t attrs[2] = { net_below(n, 2), net_below(n, 2) };
        if (net_below(n, 2)) {
            int64_t f = 2 + net_below(n, 2);
            shape[2] = dim_scale(g->dims, t.shape[2], f);
            shape[3] = dim_scale(g->dims, t.shape[3], net_one_in(n, 5) ? 1 : f);
        } else {
            shape[2] = net_dim(n, 1 + net_below(n, 9));
            shape[3] = net_dim(n, 1 + net_below(n, 9));
        }
        y = net_node(n, OP_resize, DT_F32, 4, shape, 1, &a, 2, attrs);
    }
    return y ? y : a;
}

/* Another value of the same rank joined along an axis, where the other axes agree. */
static inline Ref net_concat(RandomNet *n, Ref a, double *bound)
{
    RandomGraph *rg = &n->rg;
    Type         t = node_type(rg->g, a);
    int          axis = t.rank > 1 && net_below(n, 3) ? 1 : net_below(n, t.rank ? t.rank : 1);
    for (int tries = 0; tries < 12 && t.rank; tries++) {
        int  k = rg_below(rg, rg->npool);
        Type o = node_type(rg->g, rg->pool[k].r);
        bool fits = o.rank == t.rank;
        for (int i = 0; i < t.rank && fits; i++)
            fits = i == axis || o.shape[i] == t.shape[i];
        if (!fits || rg->pool[k].r == a)
            continue;
        Ref both[2] = { a, rg->pool[k].r };
        Ref y = net_node(n, OP_concat, DT_F32, -1, NULL, 2, both, 1, (int64_t[]){ axis });
        *bound = fmax(*bound, rg->pool[k].bound);
        return y ? y : a;
    }
    return a;
}

static inline Ref net_random(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t stream[2] = { 77 + net_below(n, 1000000), net_one_in(n, 3) };
    switch (net_below(n, 4)) {
    case 0: *bound += 2; return net_bin(n, OP_add, a, make_node(g, OP_normal, DT_F32, t.rank, t.shape, 0, NULL, 2, stream, 0));
    case 1: return net_bin(n, OP_mul, a, make_node(g, OP_uniform, DT_F32, t.rank, t.shape, 0, NULL, 2, stream, 0));
    case 2: {                                    /* dropout */
        Ref u = make_node(g, OP_uniform, DT_F32, t.rank, t.shape, 0, NULL, 2, stream, 0);
        return b_select(g, net_bin(n, OP_lt, u, net_const(n, 0.3)), net_like(n, net_const(n, 0), a), a);
    }
    default: {                                   /* one number an item: interpolation of a gradient penalty */
        if (t.rank < 2)
            return a;
        Dim shape[MAX_RANK];
        for (int i = 0; i < t.rank; i++)
            shape[i] = i ? net_dim(n, 1) : t.shape[0];
        Ref e = make_node(g, OP_uniform, DT_F32, t.rank, shape, 0, NULL, 2, stream, 0);
        return net_bin(n, OP_mul, a, net_like(n, e, a));
    }
    }
}

static inline Ref net_index(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t m;
    if (!t.rank || !dim_is_const(g->dims, t.shape[0], &m) || m < 1)
        return a;
    Dim  j = net_dim(n, 1 + net_below(n, 6));
    Ref  y = 0;
    if (net_below(n, 2)) {
        Ref index = net_leaf(n, DT_I32, 1, &j, (double)m);
        y = index ? net_node(n, OP_gather, DT_F32, 0, NULL, 2, (Ref[]){ a, index }, 0, NULL) : 0;
    } else {
        int64_t rows = 1 + net_below(n, 7);
        Ref     index = net_leaf(n, DT_I32, 1, t.shape, (double)rows);
        Dim     shape[MAX_RANK];
        memcpy(shape, t.shape, sizeof shape);
        shape[0] = net_dim(n, rows);
        y = index ? net_node(n, OP_scatter_add, DT_F32, t.rank, shape, 2, (Ref[]){ a, index }, 0, NULL) : 0;
        *bound *= (double)m;
    }
    return y ? y : a;
}

/* Choices and places: argmax, largest values, counters, the run's own numbers. */
static inline Ref net_choice(RandomNet *n, Ref a, double *bound)
{
    Graph  *g = n->rg.g;
    Type    t = node_type(g, a);
    int64_t axis = t.rank ? net_below(n, t.rank) : 0;
    if (!t.rank)
        return net_bin(n, OP_add, a, make_node(g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, (int64_t[]){ RT_PROGRESS }, 0));
    switch (net_below(n, 5)) {
    case 0: {                                    /* one hot of the largest */
        Ref top = net_node(n, OP_argmax, DT_I32, 0, NULL, 1, &a, 1, &axis);
        Ref at = make_node(g, OP_iota, DT_F32, t.rank, t.shape, 0, NULL, 1, &axis, 0);
        return top ? net_bin(n, OP_mul, a, b_cast(g, net_bin(n, OP_eq, at, net_like(n, b_cast(g, top, DT_F32), a)), DT_F32)) : a;
    }
    case 1: {
        Ref top = net_node(n, OP_amax, DT_F32, 0, NULL, 1, &a, 1, &axis);
        *bound *= 2;
        return top ? net_bin(n, OP_sub, a, net_like(n, top, a)) : a;
    }
    case 2: {
        Ref at = make_node(g, OP_iota, DT_F32, t.rank, t.shape, 0, NULL, 1, &axis, 0);
        return net_bin(n, OP_mul, a, b_unary(g, OP_sin, at));
    }
    case 3: {
        Ref c = net_bin(n, OP_and, net_bin(n, OP_lt, a, net_const(n, 0.71234)), b_unary(g, OP_not, net_bin(n, OP_le, a, net_const(n, -0.51237))));
        return b_select(g, c, b_unary(g, OP_sin, a), net_bin(n, OP_mul, a, net_const(n, 0.3)));
    }
    default: {
        Ref zeros = b_unary(g, OP_sign, net_bin(n, OP_add, a, net_const(n, 0.1357911)));
        return net_bin(n, OP_mul, a, b_unary(g, OP_stop, zeros));
    }
    }
}

/* ---- a graph ---- */

static inline Ref net_step(RandomNet *n, Ref a, double *bound)
{
    RandomGraph *rg = &n->rg;
    bool         picture = node(rg->g, a)->rank == 4;
    int          what = net_below(n, 100), p;
    Ref          from = a;
    if (picture && what < 45) {                  /* a block: convolution, bias, norm, activation, the shortcut */
        if (net_one_in(n, 4))
            a = net_border(n, a, bound);
        a = net_conv(n, a, bound);
        if (net_one_in(n, 2)) {
            Ref bias = net_per_channel(n, a, 0.5);
            a = bias ? net_bin(n, OP_add, a, bias) : a;
        }
        if (net_one_in(n, 3))
            a = net_norm(n, a, bound);
        if (net_below(n, 3))
            a = net_activation(n, a, bound);
        if (rg_same_shape(rg, a, from) && net_one_in(n, 2))
            a = net_bin(n, OP_add, a, from);
        return a;
    }
    if (picture && what < 52)
        return net_border(n, a, bound);
    if (picture && what < 57)
        return net_pool(n, a, bound);
    if (what < 62 && node(rg->g, a)->rank >= 2)
        return net_norm(n, a, bound);
    if (what < 66)
        return net_activation(n, a, bound);
    if (what < 73)
        return net_product(n, a, bound);
    if (what < 78)
        return net_concat(n, a, bound);
    if (what < 81)
        return net_random(n, a, bound);
    if (what < 84)
        return net_index(n, a, bound);
    if (what < 88)
        return net_choice(n, a, bound);
    if (what < 91)
        return rg_unary(rg, a, bound);
    if (what < 95)
        return (p = rg_partner(rg, a)) >= 0 ? rg_binary(rg, a, rg->pool[p].r, bound, rg->pool[p].bound) : a;
    return what < 97 ? rg_reduce(rg, a, bound) : rg_move(rg, a, bound);
}

static inline bool net_fits(RandomNet *n, Ref r)
{
    Type    t = node_type(n->rg.g, r);
    int64_t count = net_elements(n, &t);
    return count > 0 && count <= CASE_ELEMENTS;
}

/* What starts a graph: a picture, noise, a number of each kind now and then. */
static inline void net_start(RandomNet *n)
{
    static const int sides[] = { 1, 2, 3, 4, 5, 5, 6, 7, 7, 8, 9, 11, 13, 16 };
    Graph *g = n->rg.g;
    bool   symbolic = net_below(n, 2);
    Dim    size[3];
    n->c.size[0] = 1 + net_below(n, 3);
    for (int i = 1; i < 3; i++)
        n->c.size[i] = sides[net_below(n, COUNT(sides))];
    for (int i = 0; i < 3; i++)
        size[i] = symbolic && net_below(n, 4) ? dim_sym(g->dims, intern(i == 0 ? "N" : i == 1 ? "H" : "W")) : net_dim(n, n->c.size[i]);
    memcpy(n->rg.size, n->c.size, sizeof n->rg.size);
    int64_t c = net_channels(n);
    rg_push(&n->rg, net_leaf(n, DT_F32, 4, (Dim[]){ size[0], net_dim(n, c), size[1], size[2] }, 1), 1);
    if (net_one_in(n, 2))
        rg_push(&n->rg, net_leaf(n, DT_F32, 4, (Dim[]){ size[0], net_dim(n, net_one_in(n, 2) ? c : net_channels(n)), size[1], size[2] }, 1), 1);
    if (net_one_in(n, 3)) {                      /* from noise up */
        Dim z = net_dim(n, net_channels(n)), one = net_dim(n, 1);
        rg_push(&n->rg, b_reshape(g, net_leaf(n, DT_F32, 2, (Dim[]){ size[0], z }, 1), 4, (Dim[]){ size[0], z, one, one }), 1);
    }
    if (net_one_in(n, 4))
        rg_push(&n->rg, net_leaf(n, DT_F32, 0, NULL, 1), 1);
}

/* Outputs: the last few values, a scalar, its gradients, perhaps theirs; some variables move along theirs. */
static inline void net_finish(RandomNet *n, int order)
{
    RandomGraph *rg = &n->rg;
    Graph       *g = rg->g;
    Ref          y = net_const(n, 0), out[RG_INPUTS], culprit;
    for (int i = rg->npool - 1, taken = 0; i >= 0 && taken < 3; i -= 1 + net_below(n, 3), taken++) {
        Ref v = rg->pool[i].r;
        if (net_below(n, 3))
            rg_output(rg, "value", v);
        y = net_bin(n, OP_add, y, net_bin(n, OP_mul, b_sum_all(g, net_one_in(n, 3) ? net_bin(n, OP_mul, v, v) : b_unary(g, OP_sin, v)), net_const(n, 0.1)));
    }
    rg_output(rg, "scalar", y);
    for (int k = 0; k < order && y; k++) {
        bool write = k == 0 && net_one_in(n, 2);
        if (write && gradients(g, y, rg->nwrt, rg->wrt, out, &culprit))
            for (int i = 0; i < rg->nwrt; i++)
                if (out[i] && node(g, rg->wrt[i])->op == OP_var) {
                    GraphWrite w = { (uint32_t)node_attrs(g, rg->wrt[i])[0], net_bin(n, OP_sub, rg->wrt[i], net_bin(n, OP_mul, out[i], net_const(n, 0.05))) };
                    vec_push(&g->writes, w);
                }
        y = rg_gradients(rg, y, k ? "second" : "first");
    }
}

/* most: layers, about */
static inline void random_net(RandomNet *n, DimTable *dims, uint64_t seed, int most)
{
    memset(n, 0, sizeof *n);
    n->rg.g = n->c.g = graph_new("case", dims);
    n->rg.state = seed * 0x9E3779B97F4A7C15u + 0x7f4a7c15;
    n->c.seed = seed;
    for (int i = 0; i < 4; i++)
        rg_bits(&n->rg);
    int order = net_one_in(n, 6) ? 2 : 1, steps = 1 + net_below(n, order == 2 ? most / 2 : most);
    net_start(n);
    for (int i = 0; i < steps; i++) {
        int    last = n->rg.npool - 1, k = net_below(n, 4) ? last - net_below(n, last < 3 ? last + 1 : 3) : net_below(n, n->rg.npool);
        double bound = n->rg.pool[k].bound;
        Ref    a = net_step(n, n->rg.pool[k].r, &bound);
        if (net_fits(n, a))
            rg_push(&n->rg, a, bound);
    }
    net_finish(n, order);
}

static inline void random_net_free(RandomNet *n) { graph_free(n->rg.g); }

#endif
