/* test_simplify.c - the simplifier: each rule on a small graph, the flat optimiser, and random graphs with first and second gradients before and after,
 * both interpreted. Arguments: number of random graphs, first seed. */
#include "ir.h"
#include "exec.h"

#include "check.h"
#include "random_graph.h"

static DimTable *dims;

static Graph *fresh(void) { return graph_new("t", dims); }

static Ref input(Graph *g, Dtype t, int rank, const Dim *shape)
{
    GraphInput in = { .name = "x", .kind = IN_TENSOR, .dtype = t, .rank = (uint8_t)rank };
    if (rank)
        memcpy(in.shape, shape, sizeof(Dim) * (size_t)rank);
    vec_push(&g->inputs, in);
    return make_node(g, OP_input, t, rank, shape, 0, NULL, 1, (int64_t[]){ g->inputs.n - 1 }, 0);
}

static Dim D(int64_t v)              { return dim_const(dims, v); }
static Dim S(const char *name)       { return dim_sym(dims, intern(name)); }
static Ref K(Graph *g, double v)     { return b_const(g, DT_F32, v); }
static Ref bin(Graph *g, Op op, Ref a, Ref b) { return make_node(g, op, DT_NONE, 0, NULL, 2, (Ref[]){ a, b }, 0, NULL, 0); }
static Ref un(Graph *g, Op op, Ref a)         { return make_node(g, op, DT_NONE, 0, NULL, 1, &a, 0, NULL, 0); }
static void output(Graph *g, Ref r)
{
    GraphOutput o = { .name = "o", .value = r };
    vec_push(&g->outputs, o);
}

static int count_op(const Graph *g, Op op)
{
    int n = 0;
    for (Ref r = 1; r < g->nodes.n; r++)
        n += node(g, r)->op == op;
    return n;
}

/* The output as an expression: x0, x1 are inputs; slice and place with start[:step] along each axis. */
static void spell(const Graph *g, Ref r, Text *t)
{
    double v;
    Op     op = (Op)node(g, r)->op;
    if (is_const_value(g, r, &v)) {
        text_addf(t, "%g", v);
        return;
    }
    if (op == OP_input) {
        text_addf(t, "x%d", (int)node_attrs(g, r)[0]);
        return;
    }
    text_add(t, op_info[op].name);
    for (int i = 0, rank = node(g, r)->rank; i < rank && (op == OP_slice || op == OP_place); i++) {
        text_add(t, i ? "," : "[");
        dim_print(g->dims, (Dim)node_attrs(g, r)[i], t);
        if (node_attrs(g, r)[rank + i] != 1)
            text_addf(t, ":%d", (int)node_attrs(g, r)[rank + i]);
        text_add(t, i + 1 == rank ? "]" : "");
    }
    text_add(t, "(");
    for (int i = 0; i < node(g, r)->nargs; i++) {
        text_add(t, i ? "," : "");
        spell(g, node_arg(g, r, i), t);
    }
    text_add(t, ")");
}

/* Simplifies the graph whose output is r and compares its spelling; frees g. */
static void expect(Graph *g, Ref r, const char *want, int line)
{
    Text t = { 0 };
    char why[512] = "";
    output(g, r);
    simplify(g);
    spell(g, g->outputs.at[0].value, &t);
    CHECK(!strcmp(t.at, want), "line %d: got %s, want %s", line, t.at, want);
    CHECK(verify(g, why, sizeof why), "line %d: %s", line, why);
    text_free(&t);
    graph_free(g);
}

#define EXPECT(want, expr)                                                     \
    do {                                                                       \
        Graph *g = fresh();                                                    \
        Dim    sh[2] = { S("N"), D(6) };                                       \
        Ref    x = input(g, DT_F32, 2, sh), y = input(g, DT_F32, 2, sh);       \
        Ref    c = make_node(g, OP_lt, DT_NONE, 0, NULL, 2, (Ref[]){ x, y }, 0, NULL, 0); \
        (void)c;                                                               \
        expect(g, (expr), (want), __LINE__);                                   \
    } while (0)
#define FILL(v) b_fill(g, DT_F32, (v), 2, sh)

static void test_algebra(void)
{
    EXPECT("x0", bin(g, OP_add, FILL(0), x));
    EXPECT("sub(x0,x1)", bin(g, OP_add, x, un(g, OP_neg, y)));
    EXPECT("sub(x1,x0)", bin(g, OP_add, un(g, OP_neg, x), y));
    EXPECT("neg(add(x0,x1))", bin(g, OP_add, un(g, OP_neg, x), un(g, OP_neg, y)));
    EXPECT("mul(x0,2)", bin(g, OP_add, x, x));
    EXPECT("add(x0,x1)", bin(g, OP_add, y, x));
    EXPECT("sub(x0,x0)", bin(g, OP_sub, x, x));                       /* inf - inf is NaN */
    EXPECT("mul(x0,0)", bin(g, OP_mul, x, FILL(0)));                  /* so is inf * 0 */
    EXPECT("div(x0,x0)", bin(g, OP_div, x, x));
    EXPECT("neg(x0)", bin(g, OP_sub, FILL(0), x));
    EXPECT("add(x0,-3)", bin(g, OP_sub, x, FILL(3)));
    EXPECT("add(x0,x1)", bin(g, OP_sub, x, un(g, OP_neg, y)));
    EXPECT("x0", un(g, OP_neg, un(g, OP_neg, x)));
    EXPECT("sub(x1,x0)", un(g, OP_neg, bin(g, OP_sub, x, y)));
    EXPECT("mul(x0,-3)", un(g, OP_neg, bin(g, OP_mul, x, FILL(3))));
    EXPECT("neg(x0)", bin(g, OP_mul, x, FILL(-1)));
    EXPECT("mul(x0,6)", bin(g, OP_mul, bin(g, OP_mul, x, FILL(3)), FILL(2)));
    EXPECT("mul(mul(x0,1e+30),1e+30)", bin(g, OP_mul, bin(g, OP_mul, x, FILL(1e30)), FILL(1e30)));   /* no f32 holds 1e60 */
    EXPECT("mul(x0,x1)", bin(g, OP_mul, un(g, OP_neg, x), un(g, OP_neg, y)));
    EXPECT("neg(mul(x0,x1))", bin(g, OP_mul, x, un(g, OP_neg, y)));
    EXPECT("mul(x0,0.25)", bin(g, OP_div, x, FILL(4)));
    EXPECT("div(x0,3)", bin(g, OP_div, x, FILL(3)));                  /* 1/3 is not exact */
    EXPECT("mul(x0,3)", bin(g, OP_div, bin(g, OP_mul, x, FILL(6)), FILL(2)));
    EXPECT("div(x0,15)", bin(g, OP_div, bin(g, OP_div, x, FILL(3)), FILL(5)));
    EXPECT("rsqrt(x0)", bin(g, OP_div, FILL(1), un(g, OP_sqrt, x)));
    EXPECT("mul(x0,x0)", bin(g, OP_pow, x, FILL(2)));
    EXPECT("mul(x0,mul(x0,x0))", bin(g, OP_pow, x, FILL(3)));
    EXPECT("sqrt(x0)", bin(g, OP_pow, x, FILL(0.5)));
    EXPECT("div(1,x0)", bin(g, OP_pow, x, FILL(-1)));
    EXPECT("pow(x0,2.5)", bin(g, OP_pow, x, FILL(2.5)));
    EXPECT("1", bin(g, OP_pow, x, FILL(0)));
    EXPECT("max(x0,3)", bin(g, OP_max, bin(g, OP_max, x, FILL(1)), FILL(3)));
    EXPECT("x0", bin(g, OP_min, x, x));
    EXPECT("abs(x0)", un(g, OP_abs, un(g, OP_neg, x)));
    EXPECT("neg(tanh(x0))", un(g, OP_tanh, un(g, OP_neg, x)));
    EXPECT("cos(x0)", un(g, OP_cos, un(g, OP_neg, x)));
    EXPECT("x0", un(g, OP_stop, x));
    EXPECT("select(lt(x0,x1),x1,x0)", b_select(g, un(g, OP_not, c), x, y));
    EXPECT("select(lt(x0,x1),x0,x1)", b_select(g, c, b_select(g, c, x, FILL(7)), y));
    EXPECT("select(lt(x0,x1),x0,x1)", bin(g, OP_add, b_select(g, c, x, FILL(0)), b_select(g, c, FILL(0), y)));
    EXPECT("select(lt(x0,x1),mul(x0,3),0)", bin(g, OP_mul, b_select(g, c, x, FILL(0)), FILL(3)));
    EXPECT("x0", b_cast(g, b_cast(g, x, DT_F64), DT_F32));
    EXPECT("cast(lt(x0,x1))", b_cast(g, b_cast(g, c, DT_I32), DT_F32));
    EXPECT("cast(cast(x0))", b_cast(g, b_cast(g, x, DT_I32), DT_F32));   /* truncates */
    EXPECT("eq(x0,x1)", un(g, OP_not, un(g, OP_not, bin(g, OP_eq, y, x))));
    EXPECT("ne(x0,x1)", un(g, OP_not, bin(g, OP_eq, x, y)));
    EXPECT("lt(x0,x1)", bin(g, OP_and, c, b_fill(g, DT_BOOL, 1, 2, sh)));
    EXPECT("1", un(g, OP_exp, un(g, OP_sin, FILL(0))));
}

#define SPAN(...) (Dim[]){ __VA_ARGS__ }
#define STEP(...) (int[]){ __VA_ARGS__ }
#define ONES STEP(1, 1)

static Ref raw_broadcast(Graph *g, Ref a, int rank, const Dim *shape) { return make_node(g, OP_broadcast, DT_F32, rank, shape, 1, &a, 0, NULL, 0); }
static Ref raw_reshape(Graph *g, Ref a, int rank, const Dim *shape)   { return make_node(g, OP_reshape, DT_F32, rank, shape, 1, &a, 0, NULL, 0); }
static Ref sum_over(Graph *g, Ref a, int axis)                        { return make_node(g, OP_sum, DT_NONE, 0, NULL, 1, &a, 1, (int64_t[]){ axis }, 0); }

static Ref amax_over(Graph *g, Ref a, int axis)                       { return make_node(g, OP_amax, DT_NONE, 0, NULL, 1, &a, 1, (int64_t[]){ axis }, 0); }

static void test_movement(void)
{
    EXPECT("x0", raw_reshape(g, raw_reshape(g, x, 3, SPAN(S("N"), D(2), D(3))), 2, sh));
    EXPECT("x0", b_transpose(g, un(g, OP_neg, un(g, OP_neg, b_transpose(g, x, STEP(1, 0)))), STEP(1, 0)));
    EXPECT("sin(x0)", b_transpose(g, un(g, OP_sin, b_transpose(g, x, STEP(1, 0))), STEP(1, 0)));
    EXPECT("reshape(x0)", b_transpose(g, b_reshape(g, x, 3, SPAN(S("N"), D(6), D(1))), STEP(2, 0, 1)));
    EXPECT("sin(x0)", raw_reshape(g, un(g, OP_sin, raw_reshape(g, x, 3, SPAN(S("N"), D(2), D(3)))), 2, sh));
    EXPECT("broadcast(sum(x0))", raw_broadcast(g, raw_broadcast(g, sum_over(g, sum_over(g, x, 0), 1), 2, SPAN(D(1), D(6))), 2, sh));
    EXPECT("broadcast(sum(x0))", raw_broadcast(g, raw_reshape(g, sum_over(g, sum_over(g, x, 0), 1), 0, NULL), 2, sh));
    EXPECT("broadcast(neg(sum(x0)))", un(g, OP_neg, raw_broadcast(g, sum_over(g, x, 0), 2, sh)));
    EXPECT("mul(sum(x0),6)", sum_over(g, raw_broadcast(g, sum_over(g, x, 1), 2, sh), 1));
    EXPECT("mul(sum(x0),broadcast(size()))", sum_over(g, raw_broadcast(g, sum_over(g, x, 0), 2, sh), 0));
    EXPECT("mul(sum(x0),3)", sum_over(g, bin(g, OP_mul, x, FILL(3)), 0));
    EXPECT("mul(sum(x1),sum(x0))", sum_over(g, bin(g, OP_mul, x, raw_broadcast(g, sum_over(g, y, 1), 2, sh)), 1));
    EXPECT("sum(mul(x0,broadcast(sum(x1))))", sum_over(g, bin(g, OP_mul, x, raw_broadcast(g, sum_over(g, y, 1), 2, sh)), 0));
    EXPECT("slice[0,4:-2](x0)",
           b_slice(g, un(g, OP_neg, un(g, OP_neg, b_slice(g, x, SPAN(0, D(5)), STEP(1, -1), SPAN(S("N"), D(6))))),
           SPAN(0, D(1)), STEP(1, 2), SPAN(S("N"), D(2))));
    EXPECT("slice[0,3](x0)",
           b_slice(g, un(g, OP_neg, un(g, OP_neg, b_slice(g, x, SPAN(0, D(1)), STEP(1, 2), SPAN(S("N"), D(2))))), SPAN(0, D(1)), ONES, SPAN(S("N"), D(1))));
    EXPECT("place[0,5:6](x0)",
           b_place(g, un(g, OP_neg, un(g, OP_neg, b_place(g, x, SPAN(0, D(2)), STEP(1, 3), SPAN(S("N"), D(20))))),
           SPAN(0, D(1)), STEP(1, 2), SPAN(S("N"), D(50))));
    EXPECT("x0", b_slice(g, b_place(g, x, SPAN(D(1), D(2)), STEP(1, 3), SPAN(dim_add(dims, S("N"), D(2)), D(20))), SPAN(D(1), D(2)), STEP(1, 3), sh));
    EXPECT("slice[0,2](x0)",
           b_slice(g, b_place(g, x, SPAN(D(1), D(2)), ONES, SPAN(dim_add(dims, S("N"), D(2)), D(9))), SPAN(D(1), D(4)), ONES, SPAN(S("N"), D(3))));
    EXPECT("0", b_slice(g, b_place(g, x, SPAN(D(1), D(2)), ONES, SPAN(dim_add(dims, S("N"), D(2)), D(9))), SPAN(D(1), D(0)), ONES, SPAN(S("N"), D(2))));
    EXPECT("place[0,1](concat(x0,x1))",
           bin(g, OP_add, b_place(g, y, SPAN(0, D(7)), ONES, SPAN(S("N"), D(20))), b_place(g, x, SPAN(0, D(1)), ONES, SPAN(S("N"), D(20)))));
    EXPECT("concat(x0,x1)", bin(g, OP_add, b_place(g, y, SPAN(0, D(6)), ONES, SPAN(S("N"), D(12))), b_place(g, x, SPAN(0, D(0)), ONES, SPAN(S("N"), D(12)))));
    EXPECT("x1", b_slice(g, b_concat(g, 2, (Ref[]){ x, y }, 0), SPAN(S("N"), 0), ONES, sh));
    EXPECT("slice[0,1](x1)", b_slice(g, b_concat(g, 2, (Ref[]){ x, y }, 1), SPAN(0, D(7)), ONES, SPAN(S("N"), D(2))));
    EXPECT("concat(x1,x0)", b_slice(g, b_concat(g, 3, (Ref[]){ x, y, x }, 1), SPAN(0, D(6)), ONES, SPAN(S("N"), D(12))));
    EXPECT("slice[0,5](concat(x0,x1))", b_slice(g, b_concat(g, 2, (Ref[]){ x, y }, 1), SPAN(0, D(5)), ONES, SPAN(S("N"), D(2))));
    EXPECT("x0", b_concat(g, 2, (Ref[]){ b_slice(g, x, SPAN(0, 0), ONES, SPAN(S("N"), D(2))), b_slice(g, x, SPAN(0, D(2)), ONES, SPAN(S("N"), D(4))) }, 1));
    EXPECT("concat(x0,x1,x0)", b_concat(g, 2, (Ref[]){ b_concat(g, 2, (Ref[]){ x, y }, 1), x }, 1));
    EXPECT("add(sum(x0),sum(x1))", sum_over(g, b_concat(g, 2, (Ref[]){ x, y }, 1), 1));
    EXPECT("mul(sum(x0),sum(mul(x0,x1)))", sum_over(g, bin(g, OP_mul, y, bin(g, OP_mul, raw_broadcast(g, sum_over(g, x, 1), 2, sh), x)), 1));
    EXPECT("sub(mul(sum(x0),sum(x1)),div(sum(x1),sum(x0)))",
           sum_over(g, bin(g, OP_add, bin(g, OP_mul, x, raw_broadcast(g, sum_over(g, y, 1), 2, sh)),
                           un(g, OP_neg, bin(g, OP_div, y, raw_broadcast(g, sum_over(g, x, 1), 2, sh)))), 1));
    EXPECT("sum(add(x0,-3))", sum_over(g, bin(g, OP_sub, x, FILL(3)), 1));
    EXPECT("sum(sub(x0,broadcast(sum(x1))))", sum_over(g, bin(g, OP_sub, x, raw_broadcast(g, sum_over(g, y, 1), 2, sh)), 1));
    EXPECT("sub(sum(x0),mul(sum(x0),1.8))",
           sum_over(g, bin(g, OP_sub, x, raw_broadcast(g, bin(g, OP_mul, sum_over(g, x, 1), b_fill(g, DT_F32, 0.3, 2, SPAN(S("N"), D(1)))), 2, sh)), 1));
    /* kept whole: two new sums for one; a term that sheds nothing; the mean over more axes */
#define OVER(op, a) raw_broadcast(g, op##_over(g, (a), 1), 2, sh)
    EXPECT("sum(add(mul(x1,broadcast(amax(x1))),mul(x0,broadcast(amax(x0)))))",
           sum_over(g, bin(g, OP_add, bin(g, OP_mul, x, OVER(amax, x)), bin(g, OP_mul, y, OVER(amax, y))), 1));
    EXPECT("sum(add(mul(x1,broadcast(sum(x1))),add(x0,mul(x1,broadcast(amax(x1))))))",
           sum_over(g, bin(g, OP_add, bin(g, OP_add, x, bin(g, OP_mul, y, OVER(amax, y))), bin(g, OP_mul, y, OVER(sum, y))), 1));
    EXPECT("sum(sub(x0,broadcast(mul(sum(x0),0.3))))",
           sum_over(g, bin(g, OP_sub, x,
                           raw_broadcast(g, bin(g, OP_mul, sum_over(g, sum_over(g, x, 0), 1), b_fill(g, DT_F32, 0.3, 2, SPAN(D(1), D(1)))), 2, sh)), 1));
    EXPECT("sub(x0,broadcast(sum(x1)))", bin(g, OP_add, x, raw_broadcast(g, un(g, OP_neg, sum_over(g, y, 1)), 2, sh)));
    EXPECT("concat(add(x0,x1),add(x0,x1))", bin(g, OP_add, b_concat(g, 2, (Ref[]){ x, y }, 1), b_concat(g, 2, (Ref[]){ y, x }, 1)));
}

static void test_contract(void)
{
    EXPECT("matmul(x0,x1)", make_node(g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ x, b_transpose(g, y, STEP(1, 0)) }, 2, (int64_t[]){ 0, 0 }, 0));
    EXPECT("matmul(x1,x0)", b_transpose(g, make_node(g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ x, y }, 2, (int64_t[]){ 0, 1 }, 0), STEP(1, 0)));
#define PRODUCT(a, b, ta, tb) make_node(g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ a, b }, 2, (int64_t[]){ ta, tb }, 0)
    EXPECT("matmul(x0,add(x0,x1))", bin(g, OP_add, PRODUCT(x, y, 0, 1), PRODUCT(x, x, 0, 1)));
    EXPECT("matmul(add(matmul(x0,x1),matmul(x1,x0)),x0)", bin(g, OP_add, PRODUCT(PRODUCT(x, y, 0, 1), x, 0, 0), PRODUCT(PRODUCT(x, y, 0, 1), x, 1, 0)));
    EXPECT("add(matmul(x1,x0),matmul(x0,x1))", bin(g, OP_add, PRODUCT(x, y, 0, 1), PRODUCT(y, x, 0, 1)));      /* no common factor */

    Graph  *g = fresh();
    Dim     xs[4] = { S("N"), D(3), S("H"), S("W") }, ws[4] = { D(8), D(3), D(3), D(3) };
    Dim     wide[4] = { xs[0], xs[1], dim_add(dims, xs[2], D(2)), dim_add(dims, xs[3], D(2)) };
    Ref     x = input(g, DT_F32, 4, xs), w = input(g, DT_F32, 4, ws);
    Ref     padded = b_place(g, x, SPAN(0, 0, D(1), D(1)), STEP(1, 1, 1, 1), wide), grad[2], culprit;
    int64_t attrs[9] = { 2, 2, 0, 0, 0, 0, 1, 1, 1 };
    Ref     y = make_node(g, OP_conv, DT_F32, 0, NULL, 2, (Ref[]){ padded, w }, 9, attrs, 0);
    CHECK(gradients(g, b_sum_all(g, bin(g, OP_mul, y, y)), 2, (Ref[]){ x, w }, grad, &culprit), "conv has a gradient");
    output(g, y);
    output(g, grad[0]);
    output(g, grad[1]);
    simplify(g);
    CHECK(count_op(g, OP_place) == 0 && count_op(g, OP_slice) == 0, "zero padding went into conv, conv_dx and conv_dw");
    for (Ref r = 1; r < g->nodes.n; r++)
        if (op_info[node(g, r)->op].class == CLASS_CONTRACT)
            for (int i = 2; i < 6; i++)
                CHECK(node_attrs(g, r)[i] == 1, "%s: pad %d", op_info[node(g, r)->op].name, (int)node_attrs(g, r)[i]);
    graph_free(g);
}

/* Adam over the flat vector of three parameters, as the language writes it: p, m, v are concatenations, each result is cut up again. */
static void test_flat_optimiser(void)
{
    Graph  *g = fresh();
    int64_t shapes[3][4] = { { 8, 3, 3, 3 }, { 8 }, { 5, 8 } };
    int     ranks[3] = { 4, 1, 2 };
    int64_t sizes[3] = { 216, 8, 40 };
    Ref     flat[4];
    for (int k = 0; k < 4; k++) {                /* p, g, m, v */
        Ref piece[3];
        for (int i = 0; i < 3; i++) {
            Dim sh[4];
            for (int j = 0; j < ranks[i]; j++)
                sh[j] = D(shapes[i][j]);
            piece[i] = b_reshape(g, input(g, DT_F32, ranks[i], sh), 1, SPAN(D(sizes[i])));
        }
        flat[k] = b_concat(g, 3, piece, 0);
    }
    Ref t = make_node(g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, (int64_t[]){ RT_T }, 0);
    Ref m = b_binary(g, OP_add, b_binary(g, OP_mul, K(g, 0.9), flat[2]), b_binary(g, OP_mul, K(g, 0.1), flat[1]));
    Ref v = b_binary(g, OP_add, b_binary(g, OP_mul, K(g, 0.99), flat[3]), b_binary(g, OP_mul, K(g, 0.01), b_binary(g, OP_mul, flat[1], flat[1])));
    Ref mh = b_binary(g, OP_div, m, b_binary(g, OP_sub, K(g, 1), b_binary(g, OP_pow, K(g, 0.9), t)));
    Ref norm = b_unary(g, OP_sqrt, b_sum_all(g, b_binary(g, OP_mul, flat[1], flat[1])));
    Ref step = b_binary(g, OP_div, mh, b_binary(g, OP_add, b_unary(g, OP_sqrt, v), b_binary(g, OP_max, norm, K(g, 1e-8))));
    Ref p = b_binary(g, OP_sub, flat[0], b_binary(g, OP_mul, K(g, 1e-3), step));
    Ref results[3] = { p, m, v };
    for (int k = 0; k < 3; k++) {
        Dim at = 0;
        for (int i = 0; i < 3; i++) {
            Dim sh[4];
            for (int j = 0; j < ranks[i]; j++)
                sh[j] = D(shapes[i][j]);
            output(g, b_reshape(g, b_slice(g, results[k], &at, STEP(1), SPAN(D(sizes[i]))), ranks[i], sh));
            at = dim_add(dims, at, D(sizes[i]));
        }
    }
    simplify(g);
    CHECK(count_op(g, OP_concat) == 0, "%d concats left", count_op(g, OP_concat));
    CHECK(count_op(g, OP_slice) == 0, "%d slices left", count_op(g, OP_slice));
    CHECK(count_op(g, OP_sum) == 3, "%d sums for a norm over three parameters", count_op(g, OP_sum));
    for (uint32_t i = 0; i < g->outputs.n; i++)
        CHECK(op_info[node(g, g->outputs.at[i].value)->op].class == CLASS_ELEM, "output %u is a %s", i, op_info[node(g, g->outputs.at[i].value)->op].name);
    char why[512] = "";
    CHECK(verify(g, why, sizeof why), "%s", why);
    graph_free(g);
}

/* Training batch norm, forward and backward, needs four reductions over the picture: sum x, sum d^2, sum dy, sum d dy. */
static void test_batch_norm(void)
{
    Graph *g = fresh();
    Dim    xs[4] = { S("N"), D(8), S("H"), S("W") }, cs[4] = { D(1), D(8), D(1), D(1) };
    Ref    x = input(g, DT_F32, 4, xs), scale = input(g, DT_F32, 4, cs), shift = input(g, DT_F32, 4, cs), dy = input(g, DT_F32, 4, xs), grad[3], culprit;
    int    axes[3] = { 0, 2, 3 };
    Ref    count = b_size(g, dim_mul(dims, dim_mul(dims, xs[0], xs[2]), xs[3]));
    Ref    d = b_binary(g, OP_sub, x, b_binary(g, OP_div, b_sum(g, x, axes, 3), count));
    Ref    var = b_binary(g, OP_div, b_sum(g, b_binary(g, OP_mul, d, d), axes, 3), count);
    Ref    y = b_binary(g, OP_mul, d, b_unary(g, OP_rsqrt, b_binary(g, OP_add, var, K(g, 1e-5))));
    y = b_binary(g, OP_add, b_binary(g, OP_mul, y, scale), shift);
    CHECK(gradients(g, b_sum_all(g, b_binary(g, OP_mul, y, dy)), 3, (Ref[]){ x, scale, shift }, grad, &culprit), "batch norm has gradients");
    output(g, y);
    for (int i = 0; i < 3; i++)
        output(g, grad[i]);
    simplify(g);
    CHECK(count_op(g, OP_sum) == 4, "%d sums", count_op(g, OP_sum));
    graph_free(g);
}

/* Chains as long as a hostile file makes them: no recursion goes down them, and time stays in proportion. */
static void test_long_chains(void)
{
    Graph *g = fresh();
    Dim    sh[2] = { S("N"), D(6) };
    Ref    x = input(g, DT_F32, 2, sh), y = input(g, DT_F32, 2, sh), p = x, q = x, c = b_concat(g, 2, (Ref[]){ x, y }, 1), grad, culprit;
    for (int i = 0; i < 20000; i++) {
        p = bin(g, OP_mul, p, y);
        q = bin(g, OP_add, q, un(g, OP_sin, q));
        c = un(g, OP_sin, c);
    }
    output(g, sum_over(g, p, 1));
    output(g, sum_over(g, q, 1));
    output(g, b_slice(g, c, SPAN(0, D(6)), ONES, sh));
    CHECK(gradients(g, b_sum_all(g, bin(g, OP_add, p, q)), 1, &x, &grad, &culprit), "a long chain has a gradient");
    output(g, grad);
    simplify(g);
    CHECK(count_op(g, OP_slice) == 0, "the slice went through the chain");
    graph_free(g);
}

static void test_dead_code(void)
{
    Graph *g = fresh();
    Dim    sh[1] = { D(4) };
    Ref    x = input(g, DT_F32, 1, sh), y = input(g, DT_F32, 1, sh);
    Ref    kept = bin(g, OP_mul, x, x), written = un(g, OP_sin, x), reported = un(g, OP_cos, x);
    Ref    ok = bin(g, OP_lt, b_sum_all(g, kept), K(g, 3));
    un(g, OP_exp, y);
    output(g, kept);
    vec_push(&g->writes, ((GraphWrite){ 0, written }));
    vec_push(&g->reports, ((GraphOutput){ .name = "r", .value = reported }));
    vec_push(&g->asserts, ((GraphAssert){ .cond = ok, .message = "m" }));
    vec_push(&g->checks, ((GraphCheck){ .a = S("N"), .b = S("M"), .message = "m" }));
    dce(g);
    CHECK(count_op(g, OP_exp) == 0, "dead exp stays");
    CHECK(count_op(g, OP_input) == 1 && g->inputs.n == 2, "inputs are the graph's signature");
    CHECK(node(g, g->outputs.at[0].value)->op == OP_mul && node(g, g->writes.at[0].value)->op == OP_sin && node(g, g->reports.at[0].value)->op == OP_cos &&
          node(g, g->asserts.at[0].cond)->op == OP_lt, "roots are re-pointed");
    CHECK(g->checks.n == 1, "size checks stay");
    graph_free(g);
}

/* ---- random graphs: the interpreter before and after ---- */
static bool run(const RandomGraph *rg, Tensor *out, Status *st)
{
    RunState rs = { 0 };
    Ref     *want = xmalloc(sizeof(Ref) * (rg->g->outputs.n + 1));
    for (uint32_t i = 0; i < rg->g->outputs.n; i++)
        want[i] = rg->g->outputs.at[i].value;
    bool ok = interpret(rg->g, rg->inputs, NULL, &rs, want, rg->g->outputs.n, out, st);
    free(want);
    return ok;
}

static void compare(const Tensor *a, const Tensor *b, uint64_t seed, uint32_t output_number, const char *name)
{
    int64_t n = tensor_count(a);
    double  scale = 1, worst = 0;
    CHECK(n == tensor_count(b), "seed %llu: output %u (%s) changed its size", (unsigned long long)seed, output_number, name);
    for (int64_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(tensor_get(a, i)));
    for (int64_t i = 0; i < n; i++) {
        double d = fabs(tensor_get(a, i) - tensor_get(b, i)) / scale;
        worst = d > worst || isnan(d) ? d : worst;
    }
    CHECK(worst <= 1e-9, "seed %llu: output %u (%s) differs by %g", (unsigned long long)seed, output_number, name, worst);
}

static void test_random(uint64_t seed, RandomGraphOptions o, uint64_t *before, uint64_t *after)
{
    RandomGraph rg;
    Status      st = { 0 };
    char        why[512] = "";
    Text        once = { 0 }, twice = { 0 };
    random_graph(&rg, dims, seed, o);
    uint32_t n = rg.g->outputs.n;
    Tensor  *a = xmalloc(sizeof(Tensor) * (n + 1)), *b = xmalloc(sizeof(Tensor) * (n + 1));
    CHECK(verify(rg.g, why, sizeof why), "seed %llu: the generator made %s", (unsigned long long)seed, why);
    bool ran = run(&rg, a, &st);
    CHECK(ran, "seed %llu: %s", (unsigned long long)seed, st.message);
    dce(rg.g);
    *before += rg.g->nodes.n;
    simplify(rg.g);
    *after += rg.g->nodes.n;
    CHECK(verify(rg.g, why, sizeof why), "seed %llu: %s", (unsigned long long)seed, why);
    bool again = run(&rg, b, &st);
    CHECK(again, "seed %llu, simplified: %s", (unsigned long long)seed, st.message);
    for (uint32_t i = 0; i < n && ran && again; i++)
        compare(&a[i], &b[i], seed, i, rg.g->outputs.at[i].name);
    graph_print(rg.g, NULL, &once);
    simplify(rg.g);
    graph_print(rg.g, NULL, &twice);
    CHECK(!strcmp(once.at, twice.at), "seed %llu: not idempotent", (unsigned long long)seed);
    for (uint32_t i = 0; i < n; i++) {
        tensor_free(&a[i]);
        tensor_free(&b[i]);
    }
    free(a);
    free(b);
    text_free(&once);
    text_free(&twice);
    random_graph_free(&rg);
}

/* conv(pad(resize(x))) and its gradients, computed with and without the enlarged picture. pad_mode -1: no pad node. */
static void test_enlarged(int times_y, int times_x, int kernel, int pad, int pad_mode, int edge, bool rewritten)
{
    Graph  *g = fresh();
    int64_t sizes[3][4] = { { 2, 3, 3, 4 }, { 5, 3, kernel, kernel }, { 0 } };
    Dim     xs[4] = { S("N"), D(3), S("H"), S("W") }, ws[4] = { D(5), D(3), D(kernel), D(kernel) };
    Dim     big[4] = { xs[0], xs[1], dim_scale(dims, xs[2], times_y), dim_scale(dims, xs[3], times_x) };
    Ref     x = input(g, DT_F32, 4, xs), w = input(g, DT_F32, 4, ws), grad[2], culprit, want[3];
    Ref     up = make_node(g, OP_resize, DT_F32, 4, big, 1, &x, 2, (int64_t[]){ RESIZE_NEAREST, RESIZE_HALF_PIXEL }, 0);
    if (pad_mode >= 0) {
        int64_t attrs[5] = { 0, 0, edge, edge, pad_mode };
        big[2] = dim_add(dims, big[2], D(2 * edge));
        big[3] = dim_add(dims, big[3], D(2 * edge + 1));     /* one more at the right */
        up = make_node(g, OP_pad, DT_F32, 4, big, 1, &up, 5, attrs, 0);
    }
    int64_t attrs[9] = { 1, 1, pad, pad, pad, pad, 1, 1, 1 };
    Ref     y = make_node(g, OP_conv, DT_F32, 0, NULL, 2, (Ref[]){ up, w }, 9, attrs, 0);
    CHECK(gradients(g, b_sum_all(g, bin(g, OP_mul, bin(g, OP_mul, y, y), y)), 2, (Ref[]){ x, w }, grad, &culprit), "has gradients");
    output(g, y);
    output(g, grad[0]);
    output(g, grad[1]);
    Tensor   in[2] = { { 0 } }, a[3] = { { 0 } }, b[3] = { { 0 } };
    Status   st = { 0 };
    RunState rs = { 0 };
    for (int i = 0; i < 2; i++) {
        CHECK(tensor_alloc(&in[i], DT_F64, 4, sizes[i], &st), "%s", st.message);
        for (int64_t k = 0; k < tensor_count(&in[i]); k++)
            tensor_set(&in[i], k, sin((double)(k * 7 + i)));
    }
    for (int i = 0; i < 3; i++)
        want[i] = g->outputs.at[i].value;
    CHECK(interpret(g, in, NULL, &rs, want, 3, a, &st), "%s", st.message);
    simplify(g);
    char why[512] = "";
    CHECK(verify(g, why, sizeof why), "%s", why);
    int resizes = count_op(g, OP_resize) + count_op(g, OP_resize_adjoint);
    CHECK((resizes == 0) == rewritten, "%d x %d, kernel %d, pad %d, mode %d by %d: %d resizes left", times_y, times_x, kernel, pad, pad_mode, edge, resizes);
    for (int i = 0; i < 3; i++)
        want[i] = g->outputs.at[i].value;
    CHECK(interpret(g, in, NULL, &rs, want, 3, b, &st), "%s", st.message);
    for (int i = 0; i < 3; i++) {
        compare(&a[i], &b[i], (uint64_t)kernel, (uint32_t)i, "enlarged");
        tensor_free(&a[i]);
        tensor_free(&b[i]);
    }
    tensor_free(&in[0]);
    tensor_free(&in[1]);
    graph_free(g);
}

int main(int argc, char **argv)
{
    uint64_t before = 0, after = 0, from = 1, count = argc > 1 ? strtoull(argv[1], NULL, 10) : 300;
    if (argc > 2)
        from = strtoull(argv[2], NULL, 10);
    dims = dims_new();
    for (int k = 1; k <= 4; k++)
        for (int pad = 0; pad < k && pad < 3; pad++) {
            test_enlarged(2, 2, k, pad, -1, 0, true);
            test_enlarged(3, 2, k, pad, -1, 0, true);
            test_enlarged(1, 4, k, pad, -1, 0, true);
        }
    for (int edge = 0; edge < 4; edge++) {
        test_enlarged(2, 3, 5, 0, MODE_EDGE, edge, true);
        test_enlarged(3, 3, 3, 0, MODE_REFLECT, edge, edge <= 1);        /* mirrored by edge and edge + 1 */
    }
    test_enlarged(2, 2, 3, 1, MODE_EDGE, 1, false);      /* zeros around a repeated edge */
    test_enlarged(1, 1, 3, 1, -1, 0, true);              /* nothing enlarged */
    test_algebra();
    test_movement();
    test_contract();
    test_flat_optimiser();
    test_batch_norm();
    test_long_chains();
    test_dead_code();
    for (uint64_t seed = from; seed < from + count; seed++)
        test_random(seed, (RandomGraphOptions){ .nops = 8 + (int)(seed % 17), .order = (int)(seed % 3), .symbolic = seed % 2 }, &before, &after);
    printf("%llu random graphs: %llu nodes, simplified %llu\n", (unsigned long long)count, (unsigned long long)before, (unsigned long long)after);
    dims_free(dims);
    return check_done();
}
