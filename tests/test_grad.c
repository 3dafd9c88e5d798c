/* test_grad.c - differentiation as a whole: paths, stops, culprits, ties, broadcasts, shapes of the result, and finite differences of random graphs up
 * to third order. That every single op's rule is right is tests/test_ops.c's business. */
#include "ir.h"
#include "exec.h"

#include "check.h"
#include "random_graph.h"

static DimTable *dims;

typedef struct { Graph *g; Tensor in[4]; int n; } Case;

static Case fresh(void) { return (Case){ .g = graph_new("t", dims) }; }

/* An f32 input bound to f64 values: the interpreter computes in f64. */
static Ref input(Case *c, int rank, const int64_t *size, const double *values)
{
    GraphInput in = { .name = "x", .kind = IN_TENSOR, .dtype = DT_F32, .rank = (uint8_t)rank };
    Status     st = { 0 };
    for (int i = 0; i < rank; i++)
        in.shape[i] = dim_const(dims, size[i]);
    vec_push(&c->g->inputs, in);
    Tensor *t = &c->in[c->n];
    CHECK(tensor_alloc(t, DT_F64, rank, size, &st), "%s", st.message);
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_set(t, i, values ? values[i] : sin(3.1 * (double)i + c->n) * 0.8);
    return make_node(c->g, OP_input, DT_F32, rank, in.shape, 0, NULL, 1, (int64_t[]){ c->n++ }, 0);
}

static Ref vector(Case *c, int64_t n, const double *values) { return input(c, 1, &n, values); }

static void drop(Case *c)
{
    for (int i = 0; i < c->n; i++)
        tensor_free(&c->in[i]);
    graph_free(c->g);
}

static Ref bin(Case *c, Op op, Ref a, Ref b) { return b_binary(c->g, op, a, b); }
static Ref un(Case *c, Op op, Ref a)         { return b_unary(c->g, op, a); }
static Ref K(Case *c, double v)              { return b_const(c->g, DT_F32, v); }
static Ref total(Case *c, Ref a)             { return b_sum_all(c->g, a); }

/* d sum(y) / dx, or 0 with a failed check */
static Ref grad1(Case *c, Ref y, Ref x)
{
    Ref out = 0, culprit = 0;
    CHECK(gradients(c->g, total(c, y), 1, &x, &out, &culprit), "%s has no derivative", op_info[node(c->g, culprit)->op].name);
    return out;
}

static void values_are(Case *c, Ref r, int n, const double *want, int line)
{
    Tensor   t = { 0 };
    Status   st = { 0 };
    RunState rs = { 0 };
    CHECK(r != 0, "line %d: no gradient", line);
    if (!r)
        return;
    bool ok = interpret(c->g, c->in, NULL, &rs, &r, 1, &t, &st);
    CHECK(ok && tensor_count(&t) == n, "line %d: %s", line, st.message);
    for (int i = 0; ok && i < n; i++)
        CHECK(fabs(tensor_get(&t, i) - want[i]) < 1e-12, "line %d: [%d] is %.17g, want %.17g", line, i, tensor_get(&t, i), want[i]);
    tensor_free(&t);
}
#define VALUES(c, r, ...) values_are(&(c), (r), (int)COUNT(((double[]){ __VA_ARGS__ })), (double[]){ __VA_ARGS__ }, __LINE__)

static int count_op(const Graph *g, Op op)
{
    int n = 0;
    for (Ref r = 1; r < g->nodes.n; r++)
        n += node(g, r)->op == op;
    return n;
}

static void test_ties(void)
{
    Case c = fresh();
    Ref  x = vector(&c, 3, (double[]){ -1, 0, 2 }), y = vector(&c, 3, (double[]){ -1, 1, 1 });
    VALUES(c, grad1(&c, un(&c, OP_abs, x), x), -1, 0, 1);
    VALUES(c, grad1(&c, bin(&c, OP_max, x, y), x), 0.5, 0, 1);
    VALUES(c, grad1(&c, bin(&c, OP_max, x, y), y), 0.5, 1, 0);
    VALUES(c, grad1(&c, bin(&c, OP_min, x, y), x), 0.5, 1, 0);
    VALUES(c, grad1(&c, bin(&c, OP_min, x, y), y), 0.5, 0, 1);
    Ref relu = b_select(c.g, bin(&c, OP_lt, K(&c, 0), x), x, b_fill(c.g, DT_F32, 0, 1, (Dim[]){ dim_const(dims, 3) }));
    VALUES(c, grad1(&c, relu, x), 0, 0, 1);
    Ref largest = make_node(c.g, OP_amax, DT_NONE, 0, NULL, 1, &y, 1, (int64_t[]){ 0 }, 0);
    VALUES(c, grad1(&c, bin(&c, OP_mul, largest, K(&c, 3)), y), 0, 1.5, 1.5);
    drop(&c);
}

/* sqrt and log explode where they are not taken: the gradient there must be 0, not NaN. */
static void test_untaken(void)
{
    Case c = fresh();
    Ref  x = vector(&c, 3, (double[]){ 0, 4, -1 });
    Ref  ok = bin(&c, OP_lt, K(&c, 1), x);
    VALUES(c, grad1(&c, b_select(c.g, ok, un(&c, OP_exp, x), bin(&c, OP_mul, x, K(&c, 5))), x), 5, exp(4), 5);
    Ref safe = b_select(c.g, ok, x, b_fill(c.g, DT_F32, 1, 1, (Dim[]){ dim_const(dims, 3) }));
    VALUES(c, grad1(&c, b_select(c.g, ok, un(&c, OP_sqrt, safe), x), x), 1, 0.25, 1);
    /* the select itself hands on zeros: d/dx of (c ? a : inf-sloped b) through b is exactly 0 where a is taken */
    Ref root = un(&c, OP_sqrt, bin(&c, OP_mul, x, x));
    Ref taken = b_select(c.g, bin(&c, OP_eq, root, K(&c, 0)), x, root);
    Ref g = grad1(&c, taken, root);
    VALUES(c, g, 0, 1, 1);
    drop(&c);
}

static void test_paths(void)
{
    Case c = fresh();
    Ref  x = vector(&c, 3, (double[]){ 0.5, 1.5, -2.25 }), y = vector(&c, 3, NULL), other = vector(&c, 3, NULL);
    Ref  out[3], culprit = 0;
    Ref  rounded = un(&c, OP_round, y);
    Ref  f = total(&c, bin(&c, OP_mul, x, rounded));
    CHECK(gradients(c.g, f, 1, (Ref[]){ x }, out, &culprit), "round is not on the path to x");
    CHECK(!gradients(c.g, f, 1, (Ref[]){ y }, out, &culprit) && culprit == rounded, "round is on the path to y");
    CHECK(out[0] == 0, "no gradient is handed out on failure");
    CHECK(gradients(c.g, total(&c, bin(&c, OP_mul, x, un(&c, OP_stop, rounded))), 2, (Ref[]){ x, y }, out, &culprit), "stop cuts");
    CHECK(out[0] && !out[1], "what stands behind a stop is not reached");
    CHECK(gradients(c.g, f, 3, (Ref[]){ x, other, x }, out, &culprit) && out[0] == out[2] && out[1] == 0, "unreached: 0; asked twice: the same");

    Ref floored = un(&c, OP_floor, x), late = bin(&c, OP_mul, floored, x);
    CHECK(!gradients(c.g, total(&c, late), 1, (Ref[]){ x }, out, &culprit) && culprit == floored, "floor on one of two paths");
    CHECK(gradients(c.g, total(&c, late), 1, (Ref[]){ floored }, out, &culprit), "the path from floor on is clear");

    /* wrt an inner value and its own source: both are total derivatives */
    Ref square = bin(&c, OP_mul, x, x), cubed = bin(&c, OP_mul, square, x);
    CHECK(gradients(c.g, total(&c, cubed), 2, (Ref[]){ square, x }, out, &culprit), "inner");
    VALUES(c, out[0], 0.5, 1.5, -2.25);
    VALUES(c, out[1], 3 * 0.25, 3 * 2.25, 3 * 5.0625);
    Ref s = total(&c, x);
    CHECK(gradients(c.g, s, 1, &s, out, &culprit), "by itself");
    VALUES(c, out[0], 1);

    /* conditions, indices and integers pass nothing, silently */
    Ref picked = b_select(c.g, bin(&c, OP_lt, x, y), b_fill(c.g, DT_F32, 2, 1, (Dim[]){ dim_const(dims, 3) }), y);
    CHECK(gradients(c.g, total(&c, picked), 1, &x, out, &culprit) && out[0] == 0, "a condition has no derivative");
    CHECK(gradients(c.g, total(&c, b_cast(c.g, b_cast(c.g, x, DT_I32), DT_F32)), 1, &x, out, &culprit) && out[0] == 0, "a cast to i32 cuts");
    VALUES(c, grad1(&c, b_cast(c.g, b_cast(c.g, square, DT_F64), DT_F32), x), 1, 3, -4.5);
    drop(&c);
}

static void test_shapes(void)
{
    Case    c = fresh();
    int64_t sizes[2] = { 2, 3 }, row[2] = { 1, 3 };
    Ref     x = input(&c, 2, sizes, (double[]){ 1, 2, 3, 4, 5, 6 }), b = input(&c, 2, row, (double[]){ 1, 1, 2 }), s = input(&c, 0, NULL, (double[]){ 3 });
    Ref     f = bin(&c, OP_mul, bin(&c, OP_mul, x, b), s);
    VALUES(c, grad1(&c, f, b), 15, 21, 27);
    VALUES(c, grad1(&c, f, s), 1 + 2 + 6 + 4 + 5 + 12);
    VALUES(c, grad1(&c, f, x), 3, 3, 6, 3, 3, 6);
    Ref cut = b_slice(c.g, x, (Dim[]){ 0, dim_const(dims, 1) }, (int[]){ 1, 1 }, (Dim[]){ dim_const(dims, 2), dim_const(dims, 1) });
    VALUES(c, grad1(&c, bin(&c, OP_mul, cut, cut), x), 0, 4, 0, 0, 10, 0);
    Ref both = b_concat(c.g, 2, (Ref[]){ x, b }, 0);
    VALUES(c, grad1(&c, bin(&c, OP_mul, both, both), b), 2, 2, 4);
    Ref out, culprit = 0, one = make_node(c.g, OP_pow, DT_NONE, 0, NULL, 2, (Ref[]){ s, K(&c, 0) }, 0, NULL, 0);
    CHECK(gradients(c.g, one, 1, &s, &out, &culprit) && out == 0, "x^0 is flat everywhere");
    drop(&c);
}

/* Gradients that are never asked for are never made, and the rules use what is stored anyway. */
static void test_lean(void)
{
    Case    c = fresh();
    int64_t xs[4] = { 1, 2, 4, 4 }, ws[4] = { 3, 2, 3, 3 }, ms[2] = { 3, 4 };
    Ref     x = input(&c, 4, xs, NULL), w = input(&c, 4, ws, NULL), a = input(&c, 2, ms, NULL), b = input(&c, 2, ms, NULL);
    Ref     y = make_node(c.g, OP_conv, DT_F32, 0, NULL, 2, (Ref[]){ x, w }, 9, (int64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 0);
    CHECK(grad1(&c, un(&c, OP_tanh, y), w), "by the weights");
    CHECK(count_op(c.g, OP_conv_dx) == 0 && count_op(c.g, OP_conv_dw) == 1, "only the weight gradient is made");
    CHECK(count_op(c.g, OP_tanh) == 1, "tanh's gradient reads its output");
    for (int flags = 0; flags < 4; flags++) {
        bool ta = flags & 1, tb = flags & 2;
        Ref  p = a, q = ta == tb ? b_transpose(c.g, b, (int[]){ 1, 0 }) : b;
        Ref  m = make_node(c.g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ p, q }, 2, (int64_t[]){ ta, tb }, 0);
        int  before = count_op(c.g, OP_transpose);
        CHECK(grad1(&c, bin(&c, OP_mul, m, m), p) && count_op(c.g, OP_transpose) == before, "products take flags, not transposes");
    }
    drop(&c);
}

/* A bias used twice: its shares are summed before they are added. And an inner broadcast asked for by itself still gets its whole adjoint. */
static void test_broadcast_twice(void)
{
    Case    c = fresh();
    int64_t sizes[2] = { 2, 3 }, row[2] = { 1, 3 };
    Ref     x = input(&c, 2, sizes, (double[]){ 1, 2, 3, 4, 5, 6 }), b = input(&c, 2, row, (double[]){ 1, 2, 1 }), out[2], culprit;
    Ref     spread = b_broadcast(c.g, b, 2, node_type(c.g, x).shape), first = c.g->nodes.n;
    Ref     f = bin(&c, OP_add, bin(&c, OP_mul, x, spread), bin(&c, OP_mul, un(&c, OP_neg, x), bin(&c, OP_mul, spread, spread)));
    Ref     g = grad1(&c, f, b);
    VALUES(c, g, 5 - 10, 7 - 28, 9 - 18);
    for (Ref r = first; r < c.g->nodes.n; r++)
        if (node(c.g, r)->op == OP_add && r > f)
            CHECK(node_shape(c.g, r)[0] == dim_const(dims, 1), "shares of a broadcast are added after they are summed");
    CHECK(gradients(c.g, total(&c, f), 2, (Ref[]){ spread, b }, out, &culprit), "both");
    VALUES(c, out[0], 1 - 2, 2 - 8, 3 - 6, 4 - 8, 5 - 20, 6 - 12);
    VALUES(c, out[1], 5 - 10, 7 - 28, 9 - 18);
    drop(&c);
}

/* A gradient is the same graph every time, wherever it is taken. */
static void test_repeatable(void)
{
    Text text[2] = { { 0 }, { 0 } };
    for (int k = 0; k < 2; k++) {
        RandomGraph rg;
        random_graph(&rg, dims, 77, (RandomGraphOptions){ .nops = 24, .order = 2 });
        graph_print(rg.g, NULL, &text[k]);
        random_graph_free(&rg);
    }
    CHECK(!strcmp(text[0].at, text[1].at), "two runs differ");
    text_free(&text[0]);
    text_free(&text[1]);
}

static void test_places(void)
{
    Case c = fresh();
    Ref  x = vector(&c, 3, NULL);
    c.g->loc = (Loc){ .line = 12 };
    Ref y = un(&c, OP_exp, un(&c, OP_sin, x));
    c.g->loc = (Loc){ .line = 30 };
    Ref sum = total(&c, y), g;
    Ref first = c.g->nodes.n, culprit;
    CHECK(gradients(c.g, sum, 1, &x, &g, &culprit), "gradients");
    CHECK(node(c.g, g)->loc.line == 12, "a gradient's place is that of what it differentiates, not line %u", node(c.g, g)->loc.line);
    CHECK(c.g->loc.line == 30 && first < c.g->nodes.n, "the builder's place is put back");
    drop(&c);
}

/* x^4 thrice: 24 x. sin four times: sin. */
static void test_higher(void)
{
    Case c = fresh();
    Ref  x = vector(&c, 3, (double[]){ 0.5, -1.5, 2 }), f = bin(&c, OP_pow, x, K(&c, 4)), s = un(&c, OP_sin, x);
    for (int k = 0; k < 3; k++)
        f = grad1(&c, f, x);
    VALUES(c, f, 12, -36, 48);
    for (int k = 0; k < 4; k++)
        s = grad1(&c, s, x);
    VALUES(c, s, sin(0.5), sin(-1.5), sin(2));
    f = bin(&c, OP_pow, x, K(&c, 2));
    VALUES(c, grad1(&c, grad1(&c, f, x), x), 2, 2, 2);
    drop(&c);
}

/* ---- random smooth graphs: directional derivatives against central differences ---- */
static bool scalar_at(RandomGraph *rg, const Tensor *in, Ref r, double *v)
{
    Tensor   t = { 0 };
    Status   st = { 0 };
    RunState rs = { 0 };
    bool     ok = interpret(rg->g, in, NULL, &rs, &r, 1, &t, &st);
    CHECK(ok, "%s", st.message);
    *v = ok ? tensor_get(&t, 0) : 0;
    tensor_free(&t);
    return ok;
}

/* sum over inputs of <gradient of y, direction>; the direction is a constant of each input's own, drawn as fixed random numbers */
static Ref along(RandomGraph *rg, Ref y, const Ref *dir)
{
    Ref out[RG_INPUTS], culprit = 0, sum = 0;
    CHECK(gradients(rg->g, y, rg->nwrt, rg->wrt, out, &culprit), "%s", op_info[node(rg->g, culprit)->op].name);
    for (int i = 0; i < rg->nwrt; i++)
        if (out[i]) {
            Ref part = b_sum_all(rg->g, b_binary(rg->g, OP_mul, out[i], dir[i]));
            sum = sum ? b_binary(rg->g, OP_add, sum, part) : part;
        }
    return sum;
}

static void test_random(uint64_t seed)
{
    RandomGraph rg;
    random_graph(&rg, dims, seed, (RandomGraphOptions){ .nops = 6 + (int)(seed % 13), .smooth = true, .symbolic = seed % 2 });
    Ref      dir[RG_INPUTS], y = rg.g->outputs.at[rg.g->outputs.n - 1].value;
    Tensor   step[2][RG_INPUTS] = { 0 };
    Tensor   dirs[RG_INPUTS] = { 0 };
    Status   st = { 0 };
    RunState rs = { 0 };
    double   eps = 1e-5;
    for (int i = 0; i < rg.ninputs; i++) {
        Type t = node_type(rg.g, rg.wrt[i]);
        dir[i] = make_node(rg.g, OP_normal, DT_F32, t.rank, t.shape, 0, NULL, 2, (int64_t[]){ 100 + i, 1 }, 0);
    }
    CHECK(interpret(rg.g, rg.inputs, NULL, &rs, dir, (uint32_t)rg.ninputs, dirs, &st), "%s", st.message);
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < rg.ninputs; i++) {
            Tensor *t = &step[k][i];
            CHECK(tensor_alloc(t, DT_F64, rg.inputs[i].rank, rg.inputs[i].shape, &st), "%s", st.message);
            for (int64_t j = 0; j < tensor_count(t); j++)
                tensor_set(t, j, tensor_get(&rg.inputs[i], j) + (k ? eps : -eps) * tensor_get(&dirs[i], j));
        }
    for (int order = 1; order <= 3 && y; order++) {
        Ref    d = along(&rg, y, dir);
        double lo = 0, hi = 0, slope = 0;
        if (!d)
            break;
        if (scalar_at(&rg, step[0], y, &lo) && scalar_at(&rg, step[1], y, &hi) && scalar_at(&rg, rg.inputs, d, &slope)) {
            double fd = (hi - lo) / (2 * eps), scale = fmax(1, fmax(fabs(slope), fmax(fabs(lo), fabs(hi))));
            CHECK(fabs(fd - slope) < 2e-5 * scale, "seed %llu, order %d: %.9g by differences, %.9g by rule", (unsigned long long)seed, order, fd, slope);
        }
        y = d;
    }
    for (int i = 0; i < rg.ninputs; i++) {
        tensor_free(&dirs[i]);
        tensor_free(&step[0][i]);
        tensor_free(&step[1][i]);
    }
    random_graph_free(&rg);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 150;
    dims = dims_new();
    test_ties();
    test_untaken();
    test_paths();
    test_shapes();
    test_lean();
    test_broadcast_twice();
    test_repeatable();
    test_places();
    test_higher();
    for (uint64_t seed = 1; seed <= count; seed++)
        test_random(seed);
    dims_free(dims);
    return check_done();
}
