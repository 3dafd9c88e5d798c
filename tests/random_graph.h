/* random_graph.h - random valid graphs for fuzzing passes and backends: elementwise, movement, reductions, contractions, windows, and gradients of them.
 *
 *   RandomGraph rg;
 *   random_graph(&rg, dims, seed, (RandomGraphOptions){ .nops = 20, .order = 2 });     rg.g, rg.inputs (bound tensors, f32), rg.ninputs
 *   ... run rg.g on rg.inputs ...
 *   random_graph_free(&rg);
 *
 * The same seed gives the same graph. Values stay within about 10 (each value carries a bound; what might grow is squashed), divisors stay away from zero,
 * thresholds are odd numbers that no value hits by construction. Outputs: some of the values, and with order 1 or 2 the gradients of a scalar
 * (and of the squared norm of those) by every float input. With `symbolic`, batch and picture sizes are symbols N, H, W.
 * It makes no random nodes, variables, asserts, and never overflows on purpose.
 */
#ifndef PASTICHE_TESTS_RANDOM_GRAPH_H
#define PASTICHE_TESTS_RANDOM_GRAPH_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir.h"
#include "tensor.h"

typedef struct {
    int  nops;                     /* 0: 20 */
    int  order;                    /* 0: no gradients, 1, 2 */
    bool symbolic;                 /* N, H, W are symbols */
    bool smooth;                   /* no kinks (abs, min, max, select, win_max): for finite differences and float32 */
} RandomGraphOptions;

enum { RG_INPUTS = 32, RG_POOL = 256 };
typedef struct {
    Graph   *g;
    Tensor   inputs[RG_INPUTS];
    int      ninputs;
    int64_t  size[3];              /* what N, H, W are bound to */
    Ref      wrt[RG_INPUTS];       /* what gradients are taken by */
    int      nwrt;
    uint64_t state;
    RandomGraphOptions o;
    struct { Ref r; double bound; } pool[RG_POOL];
    int      npool;
} RandomGraph;

static inline uint32_t rg_bits(RandomGraph *rg)
{
    rg->state = rg->state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = rg->state ^ (rg->state >> 33);
    return (uint32_t)((x * 0xff51afd7ed558ccdu) >> 32);
}

static inline int    rg_below(RandomGraph *rg, int n) { return (int)(rg_bits(rg) % (uint32_t)n); }
static inline double rg_real(RandomGraph *rg, double lo, double hi) { return lo + (hi - lo) * (rg_bits(rg) / 4294967296.0); }

static inline void rg_push(RandomGraph *rg, Ref r, double bound)
{
    if (bound > 6) {                             /* squash, one way or the other */
        r = rg_below(rg, 2) ? b_unary(rg->g, OP_tanh, r) : b_binary(rg->g, OP_mul, r, b_const(rg->g, DT_F32, 1 / bound));
        bound = 1;
    }
    if (rg->npool < RG_POOL) {
        rg->pool[rg->npool].r = r;
        rg->pool[rg->npool++].bound = bound;
    }
}

static inline bool rg_const_dim(RandomGraph *rg, Dim d, int64_t *v) { return dim_is_const(rg->g->dims, d, v); }
static inline Dim  rg_dim(RandomGraph *rg, int64_t v) { return dim_const(rg->g->dims, v); }

/* A size as the inputs are bound. */
static inline int64_t rg_size(RandomGraph *rg, Dim d)
{
    DimBind b[3] = { { dim_sym(rg->g->dims, intern("N")), rg->size[0] }, { dim_sym(rg->g->dims, intern("H")), rg->size[1] }, { dim_sym(rg->g->dims, intern("W")), rg->size[2] } };
    int64_t v = 0;
    if (!dim_eval(rg->g->dims, d, b, 3, &v))
        abort();
    return v;
}

static inline Ref rg_unary(RandomGraph *rg, Ref a, double *bound)
{
    Graph *g = rg->g;
    Ref    pos = b_binary(g, OP_add, b_unary(g, OP_softplus, a), b_const(g, DT_F32, 0.3));
    double b = *bound;
    switch (rg_below(rg, 14)) {
    case 0:  *bound = 1; return b_unary(g, OP_tanh, a);
    case 1:  *bound = 1; return b_unary(g, OP_sigmoid, a);
    case 2:  *bound = 1; return b_unary(g, OP_sin, a);
    case 3:  *bound = 1; return b_unary(g, OP_cos, a);
    case 4:  return b_unary(g, OP_neg, a);
    case 5:  return rg->o.smooth ? b_unary(g, OP_neg, a) : b_unary(g, OP_abs, b_binary(g, OP_add, a, b_const(g, DT_F32, 0.1234567)));
    case 6:  *bound = b + 1; return b_unary(g, OP_softplus, a);
    case 7:  *bound = 3; return b_unary(g, OP_exp, b_unary(g, OP_tanh, a));
    case 8:  *bound = b + 1; return b_unary(g, OP_log, pos);
    case 9:  *bound = b + 1; return b_unary(g, OP_sqrt, pos);
    case 10: *bound = 2; return b_unary(g, OP_rsqrt, pos);
    case 11: *bound = b * b; return b_binary(g, OP_pow, a, b_const(g, DT_F32, 2));
    case 12: *bound = b * b * b; return b_binary(g, OP_pow, a, b_const(g, DT_F32, 3));
    default: *bound = b * b; return b_binary(g, OP_mul, a, a);
    }
}

static inline Ref rg_with_const(RandomGraph *rg, Ref a, double *bound)
{
    static const double consts[] = { 0, 1, -1, 2, 0.5, -3, 0.7, 1e-3, -0.25 };
    double k = consts[rg_below(rg, (int)COUNT(consts))];
    Ref    c = b_const(rg->g, DT_F32, k);
    bool   left = rg_below(rg, 2);
    switch (rg_below(rg, 4)) {
    case 0:  *bound += fabs(k); return left ? b_binary(rg->g, OP_add, c, a) : b_binary(rg->g, OP_add, a, c);
    case 1:  *bound += fabs(k); return left ? b_binary(rg->g, OP_sub, c, a) : b_binary(rg->g, OP_sub, a, c);
    case 2:  *bound *= fabs(k); return left ? b_binary(rg->g, OP_mul, c, a) : b_binary(rg->g, OP_mul, a, c);
    default:
        if (fabs(k) < 0.2)
            return a;
        *bound /= fabs(k);
        return b_binary(rg->g, OP_div, a, c);
    }
}

static inline bool rg_same_shape(RandomGraph *rg, Ref a, Ref b)
{
    Type ta = node_type(rg->g, a), tb = node_type(rg->g, b);
    return ta.rank == tb.rank && !memcmp(ta.shape, tb.shape, sizeof(Dim) * (size_t)ta.rank);
}

/* Another value of a's shape, or of a's shape with some axes reduced, or a scalar: so that broadcasts arise too. */
static inline int rg_partner(RandomGraph *rg, Ref a)
{
    for (int tries = 0; tries < 12; tries++) {
        int k = rg_below(rg, rg->npool);
        if (rg_same_shape(rg, a, rg->pool[k].r) || (node(rg->g, rg->pool[k].r)->rank == 0 && tries > 6))
            return k;
    }
    return -1;
}

static inline Ref rg_binary(RandomGraph *rg, Ref a, Ref b, double *bound, double bb)
{
    Graph *g = rg->g;
    double ba = *bound;
    Ref    shifted = b_binary(g, OP_add, a, b_const(g, DT_F32, 0.0543217));
    int    op = rg_below(rg, rg->o.smooth ? 5 : 8);
    if (node(g, b)->rank != node(g, a)->rank || !rg_same_shape(rg, a, b)) {
        Type t = node_type(g, a);
        b = b_broadcast(g, b, t.rank, t.shape);
    }
    switch (op) {
    case 0:  *bound = ba + bb; return b_binary(g, OP_add, a, b);
    case 1:  *bound = ba + bb; return b_binary(g, OP_sub, a, b);
    case 2:  *bound = ba * bb; return b_binary(g, OP_mul, a, b);
    case 3:  *bound = ba; return b_binary(g, OP_div, a, b_binary(g, OP_add, b_unary(g, OP_exp, b_unary(g, OP_tanh, b)), b_const(g, DT_F32, 0.7)));
    case 4:
        *bound = 8;
        return b_binary(g, OP_pow, b_binary(g, OP_add, b_unary(g, OP_sigmoid, a), b_const(g, DT_F32, 0.6)), b_unary(g, OP_tanh, b));
    case 5:  *bound = fmax(ba, bb) + 0.1; return b_binary(g, OP_max, shifted, b);
    case 6:  *bound = fmax(ba, bb) + 0.1; return b_binary(g, OP_min, shifted, b);
    default: *bound = fmax(ba, bb);
             return b_select(g, b_binary(g, OP_lt, a, b_const(g, DT_F32, 0.2345671)), b_binary(g, OP_mul, a, b_const(g, DT_F32, 0.5)), b);
    }
}

static inline Ref rg_reduce(RandomGraph *rg, Ref a, double *bound)
{
    Graph *g = rg->g;
    Type   t = node_type(g, a);
    int    axes[MAX_RANK], n = 0;
    double count = 1;
    for (int i = 0; i < t.rank; i++)
        if (rg_below(rg, 2)) {
            axes[n++] = i;
            count *= (double)rg_size(rg, t.shape[i]);
        }
    if (!n)
        return a;
    Ref s = b_sum(g, a, axes, n);
    if (rg_below(rg, 3) == 0)
        *bound *= count;
    else
        s = b_binary(g, OP_div, s, b_const(g, DT_F32, count));
    if (rg_below(rg, 3) == 0)
        return s;
    s = b_broadcast(g, s, t.rank, t.shape);      /* a norm: subtract what was summed */
    if (rg_below(rg, 2))
        return s;
    *bound *= 2;
    return b_binary(g, OP_sub, a, s);
}

static inline Ref rg_move(RandomGraph *rg, Ref a, double *bound)
{
    Graph *g = rg->g;
    Type   t = node_type(g, a);
    Dim    start[MAX_RANK], shape[MAX_RANK];
    int    step[MAX_RANK], perm[MAX_RANK], axis = t.rank ? rg_below(rg, t.rank) : 0;
    int64_t v = 0;
    if (!t.rank)
        return a;
    for (int i = 0; i < t.rank; i++) {
        start[i] = 0;
        step[i] = 1;
        shape[i] = t.shape[i];
        perm[i] = i;
    }
    bool fixed = rg_const_dim(rg, t.shape[axis], &v);
    switch (rg_below(rg, 8)) {
    case 0:                                      /* merge two axes, or put in a 1 */
        if (t.rank >= 2 && rg_below(rg, 2)) {
            int k = rg_below(rg, t.rank - 1), m = 0;
            for (int i = 0; i < t.rank; i++)
                shape[m++] = i == k ? dim_mul(g->dims, t.shape[i], t.shape[i + 1]) : t.shape[i], i += i == k;
            return b_reshape(g, a, m, shape);
        }
        if (t.rank >= 5)
            return a;
        memmove(shape + axis + 1, shape + axis, sizeof(Dim) * (size_t)(t.rank - axis));
        shape[axis] = rg_dim(rg, 1);
        return b_reshape(g, a, t.rank + 1, shape);
    case 1:
        for (int i = t.rank - 1; i > 0; i--) {
            int k = rg_below(rg, i + 1), x = perm[i];
            perm[i] = perm[k];
            perm[k] = x;
        }
        return b_transpose(g, a, perm);
    case 2:                                      /* the inside, every second, or the other way round */
        if (!fixed || v < 3)
            return a;
        if (rg_below(rg, 3) == 0) {
            start[axis] = rg_dim(rg, v - 1);
            step[axis] = -1;
        } else if (rg_below(rg, 2)) {
            start[axis] = rg_dim(rg, 1);
            step[axis] = 2;
            shape[axis] = rg_dim(rg, v / 2);
        } else {
            start[axis] = rg_dim(rg, rg_below(rg, 2));
            shape[axis] = rg_dim(rg, v - 1 - rg_below(rg, 2));
            if (start[axis])
                shape[axis] = rg_dim(rg, v - 2);
        }
        return b_slice(g, a, start, step, shape);
    case 3: {
        if (!fixed || v > 12)
            return a;
        int lo = rg_below(rg, 2), hi = rg_below(rg, 2);
        start[axis] = rg_dim(rg, lo);
        shape[axis] = rg_dim(rg, v + lo + hi);
        return b_place(g, a, start, step, shape);
    }
    case 4: {                                    /* concat with a changed copy, sometimes work on it, then take a part */
        if (!fixed || v < 1 || v > 12)
            return a;
        Ref part[2] = { a, b_unary(g, OP_sin, a) };
        Ref both = b_concat(g, 2, part, axis), flipped = b_concat(g, 2, (Ref[]){ part[1], a }, axis);
        *bound += 1;
        if (rg_below(rg, 2))
            both = b_binary(g, OP_sub, b_binary(g, OP_mul, both, b_const(g, DT_F32, 0.3)), flipped);
        if (rg_below(rg, 3) == 0)
            return both;
        start[axis] = rg_dim(rg, v * rg_below(rg, 2));
        return b_slice(g, both, start, step, shape);
    }
    case 5: {                                    /* cut in two and put together again */
        if (!fixed || v < 2)
            return a;
        shape[axis] = rg_dim(rg, 1);
        Ref p = b_slice(g, a, start, step, shape);
        start[axis] = rg_dim(rg, 1);
        shape[axis] = rg_dim(rg, v - 1);
        Ref q = b_slice(g, a, start, step, shape);
        if (rg_below(rg, 2))
            return b_concat(g, 2, (Ref[]){ p, q }, axis);
        return b_concat(g, 2, (Ref[]){ b_unary(g, OP_tanh, p), q }, axis);
    }
    case 6: {
        if (t.rank != 4)
            return a;
        int64_t lo[9] = { 0, 0, rg_below(rg, 2), rg_below(rg, 2), rg_below(rg, 2) ? MODE_EDGE : MODE_REFLECT };
        shape[2] = dim_add(g->dims, t.shape[2], rg_dim(rg, lo[2] + 1));
        shape[3] = dim_add(g->dims, t.shape[3], rg_dim(rg, lo[3]));
        if (rg_size(rg, t.shape[2]) < 2 || rg_size(rg, t.shape[3]) < 2)
            return a;
        return make_node(g, OP_pad, DT_F32, 4, shape, 1, &a, 5, lo, 0);
    }
    default: {
        if (t.rank != 4)
            return a;
        int64_t how[2] = { rg_below(rg, 2), rg_below(rg, 2) };
        shape[2] = dim_scale(g->dims, t.shape[2], 2);
        shape[3] = dim_scale(g->dims, t.shape[3], 2);
        int64_t h = rg_size(rg, t.shape[2]), w = rg_size(rg, t.shape[3]);
        if (h < 1 || h > 12 || w < 1 || w > 12)
            return a;
        return make_node(g, OP_resize, DT_F32, 4, shape, 1, &a, 2, how, 0);
    }
    }
}

/* x (n,4,h,w) with the weights of input 2 (4,4,3,3); rank 2 and 3: products with itself. */
static inline Ref rg_contract(RandomGraph *rg, Ref a, double *bound)
{
    Graph  *g = rg->g;
    Type    t = node_type(g, a);
    int64_t v;
    if (t.rank == 4 && rg_const_dim(rg, t.shape[1], &v) && v == 4) {
        int64_t stride = 1 + rg_below(rg, 2), pad = rg_below(rg, 2);
        int64_t attrs[9] = { stride, stride, pad, pad, pad, pad, 1, 1, 1 };
        int64_t h = rg_size(rg, t.shape[2]), w = rg_size(rg, t.shape[3]);
        Ref weight = rg->pool[2].r;
        int kind = rg_below(rg, 4);
        if (h < 3 || w < 3)
            return a;
        *bound *= 36 * rg->pool[2].bound;
        if (kind == 0 && h < 8 && w < 8) {       /* transposed */
            attrs[0] = attrs[1] = 2;
            attrs[2] = attrs[3] = attrs[4] = attrs[5] = 1;
            Dim shape[4] = { t.shape[0], t.shape[1], dim_scale(g->dims, t.shape[2], 2), dim_scale(g->dims, t.shape[3], 2) };
            return make_node(g, OP_conv_dx, DT_F32, 4, shape, 2, (Ref[]){ a, weight }, 9, attrs, 0);
        }
        if (kind == 1) {                         /* zero padding written as place */
            Dim start[4] = { 0, 0, rg_dim(rg, 1), rg_dim(rg, 1) };
            Dim shape[4] = { t.shape[0], t.shape[1], dim_add(g->dims, t.shape[2], rg_dim(rg, 2)), dim_add(g->dims, t.shape[3], rg_dim(rg, 2)) };
            a = b_place(g, a, start, (int[]){ 1, 1, 1, 1 }, shape);
        }
        return make_node(g, OP_conv, DT_F32, 0, NULL, 2, (Ref[]){ a, weight }, 9, attrs, 0);
    }
    if (t.rank == 2 || t.rank == 3) {
        bool flip = rg_below(rg, 2), written = rg_below(rg, 2);
        Ref  b = b_unary(g, OP_tanh, a);
        if (written) {
            int perm[3] = { 0, t.rank - 1, t.rank - 2 };
            b = b_transpose(g, b, t.rank == 2 ? (int[]){ 1, 0 } : perm);
        }
        *bound *= (double)rg_size(rg, t.shape[t.rank - (flip ? 2 : 1)]);
        Ref args[2] = { a, b };
        /* a a^T (m,m) or a^T a (k,k); with the transpose written out or as flags */
        int64_t flags[2] = { flip, written ? flip : !flip };
        return make_node(g, OP_matmul, DT_F32, 0, NULL, 2, args, 2, flags, 0);
    }
    return a;
}

static inline Ref rg_window(RandomGraph *rg, Ref a, double *bound)
{
    Graph  *g = rg->g;
    Type    t = node_type(g, a);
    int64_t pad = rg_below(rg, 2), attrs[8] = { 2, 2, 2, 2, 0, 0, 0, 0 };
    if (t.rank != 4)
        return a;
    if (rg_size(rg, t.shape[2]) < 3 || rg_size(rg, t.shape[3]) < 3)
        return a;
    bool largest = !rg->o.smooth && rg_below(rg, 2);
    if (pad) {
        attrs[0] = attrs[1] = 3;
        attrs[4] = attrs[5] = attrs[6] = attrs[7] = 1;
    }
    Dim shape[4] = { t.shape[0], t.shape[1] };
    for (int i = 2; i < 4; i++)
        shape[i] = dim_add(g->dims, dim_floordiv(g->dims, dim_add(g->dims, t.shape[i], rg_dim(rg, 2 * pad - attrs[0])), 2), rg_dim(rg, 1));
    if (!largest)
        *bound *= 9;
    return make_node(g, largest ? OP_win_max : OP_win_sum, DT_F32, 4, shape, 1, &a, 8, attrs, 0);
}

static inline void rg_inputs(RandomGraph *rg)
{
    Graph *g = rg->g;
    Dim    n = rg->o.symbolic ? dim_sym(g->dims, intern("N")) : rg_dim(rg, 2);
    Dim    h = rg->o.symbolic ? dim_sym(g->dims, intern("H")) : rg_dim(rg, 5);
    Dim    w = rg->o.symbolic ? dim_sym(g->dims, intern("W")) : rg_dim(rg, 6);
    struct { const char *name; int rank; Dim shape[4]; int64_t size[4]; double scale; } in[] = {
        { "x", 4, { n, rg_dim(rg, 4), h, w }, { 2, 4, 5, 6 }, 1 },
        { "y", 4, { n, rg_dim(rg, 4), h, w }, { 2, 4, 5, 6 }, 1 },
        { "weight", 4, { rg_dim(rg, 4), rg_dim(rg, 4), rg_dim(rg, 3), rg_dim(rg, 3) }, { 4, 4, 3, 3 }, 0.3 },
        { "m", 2, { n, rg_dim(rg, 7) }, { 2, 7 }, 1 },
        { "s", 0, { 0 }, { 0 }, 1 },
    };
    rg->ninputs = rg->nwrt = COUNT(in);
    for (int i = 0; i < rg->ninputs; i++) {
        GraphInput gi = { .name = intern(in[i].name), .kind = IN_TENSOR, .dtype = DT_F32, .rank = (uint8_t)in[i].rank };
        Status     st = { 0 };
        memcpy(gi.shape, in[i].shape, sizeof(Dim) * (size_t)in[i].rank);
        vec_push(&g->inputs, gi);
        if (!tensor_alloc(&rg->inputs[i], DT_F32, in[i].rank, in[i].size, &st))
            abort();
        for (int64_t k = 0; k < tensor_count(&rg->inputs[i]); k++)
            tensor_set(&rg->inputs[i], k, rg_real(rg, -in[i].scale, in[i].scale));
        rg->wrt[i] = make_node(g, OP_input, DT_F32, in[i].rank, in[i].shape, 0, NULL, 1, (int64_t[]){ i }, 0);
        rg_push(rg, rg->wrt[i], in[i].scale);
    }
}

static inline void rg_output(RandomGraph *rg, const char *name, Ref r)
{
    GraphOutput out = { .name = intern(name), .value = r };
    vec_push(&rg->g->outputs, out);
}

/* Outputs: gradients of y by the inputs it reaches; returns the sum of their squares, or 0. */
static inline Ref rg_gradients(RandomGraph *rg, Ref y, const char *name)
{
    Ref out[RG_INPUTS], culprit, total = 0;
    if (!gradients(rg->g, y, rg->nwrt, rg->wrt, out, &culprit))
        abort();
    for (int i = 0; i < rg->nwrt; i++) {
        if (!out[i])
            continue;
        rg_output(rg, name, out[i]);
        Ref squares = b_sum_all(rg->g, b_binary(rg->g, OP_mul, out[i], out[i]));
        total = total ? b_binary(rg->g, OP_add, total, squares) : squares;
    }
    return total;
}

static inline void random_graph(RandomGraph *rg, DimTable *dims, uint64_t seed, RandomGraphOptions o)
{
    memset(rg, 0, sizeof *rg);
    rg->g = graph_new("random", dims);
    rg->state = seed * 0x9E3779B97F4A7C15u + 1;
    rg->o = o;
    memcpy(rg->size, (int64_t[]){ 2, 5, 6 }, sizeof rg->size);
    rg_inputs(rg);
    for (int i = 0; i < (o.nops ? o.nops : 20); i++) {
        int    k = rg_below(rg, 3) ? rg->npool - 1 - rg_below(rg, rg->npool < 6 ? rg->npool : 6) : rg_below(rg, rg->npool);
        Ref    a = rg->pool[k].r;
        double bound = rg->pool[k].bound;
        int    what = rg_below(rg, 16), p;
        if (what < 3)
            a = rg_unary(rg, a, &bound);
        else if (what < 5)
            a = rg_with_const(rg, a, &bound);
        else if (what < 8)
            a = (p = rg_partner(rg, a)) >= 0 ? rg_binary(rg, a, rg->pool[p].r, &bound, rg->pool[p].bound) : a;
        else if (what < 10)
            a = rg_reduce(rg, a, &bound);
        else if (what < 13)
            a = rg_move(rg, a, &bound);
        else if (what < 15)
            a = rg_contract(rg, a, &bound);
        else
            a = rg_window(rg, a, &bound);
        rg_push(rg, a, bound);
    }
    Ref y = b_const(rg->g, DT_F32, 0);
    for (int i = rg->npool - 1, taken = 0; i >= rg->nwrt && taken < 4; i -= 1 + rg_below(rg, 3), taken++) {
        rg_output(rg, "value", rg->pool[i].r);
        y = b_binary(rg->g, OP_add, y, b_sum_all(rg->g, b_unary(rg->g, OP_sin, rg->pool[i].r)));
    }
    rg_output(rg, "scalar", y);
    for (int k = 0; k < o.order && y; k++)
        y = rg_gradients(rg, y, k ? "second" : "first");
}

static inline void random_graph_free(RandomGraph *rg)
{
    for (int i = 0; i < rg->ninputs; i++)
        tensor_free(&rg->inputs[i]);
    graph_free(rg->g);
}

#endif
