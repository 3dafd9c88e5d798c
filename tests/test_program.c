/* test_program.c - programs as a whole: variables and writes, asserts, indices out of range, defaults, random numbers, sizes that change, small networks.
 *
 * Everything is compared with the reference backend on the same graph, on every instruction set of the machine.
 */
#include "check.h"
#include "exec.h"
#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = { "avx512", "avx2", "baseline" };

static bool machine_has(const char *isa)
{
    Target t;
    Status st = { 0 };
    return target_detect(isa, &t, &st);
}

/* ---- graphs as text; writes and asserts are added by hand ---- */

static Graph *parse(DimTable *dims, const char *text)
{
    char   why[512];
    Graph *g = graph_parse(text, dims, why, sizeof why);
    CHECK(g, "%s", why);
    return g;
}

static Tensor tensor(Dtype t, int rank, const int64_t *shape, uint64_t seed)
{
    Tensor x = { 0 };
    Status st = { 0 };
    tensor_alloc(&x, t, rank, shape, &st);
    for (int64_t i = 0; i < tensor_count(&x); i++)
        tensor_set(&x, i, rng_normal((Rng){ seed, 0 }, 9, (uint64_t)i));
    return x;
}

static double distance(const Tensor *a, const Tensor *b)
{
    double worst = 0, largest = 0;
    if (tensor_count(a) != tensor_count(b))
        return INFINITY;
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double d = fabs(tensor_get(a, i) - tensor_get(b, i));
        worst = d <= worst ? worst : d;
        largest = fmax(largest, fabs(tensor_get(b, i)));
    }
    return largest > 0 ? worst / largest : worst;
}

static const RunState now = { .runtime = { 3, 1, 0.5, 10, 3 }, .rng = { 42, 3 } };

/* Runs g on both backends; outputs and variables must agree within tol. vars are copied. */
static void compare(Graph *g, const Tensor *inputs, const Tensor *vars, uint32_t nvars, double tol, const char *name)
{
    for (size_t k = 0; k < COUNT(isas); k++) {
        ExecOptions o = { .cpu = isas[k] }, r = { .backend = BACKEND_REFERENCE };
        Status      st = { 0 };
        Tensor      got[8] = { 0 }, want[8] = { 0 }, v[2][8] = { 0 };
        if (!machine_has(isas[k]))
            continue;
        for (uint32_t i = 0; i < nvars; i++) {
            tensor_copy(&v[0][i], &vars[i], DT_F32, &st);
            tensor_copy(&v[1][i], &vars[i], DT_F64, &st);
        }
        Program *p = program_new(NULL, g, &o, &st), *q = program_new(NULL, g, &r, &st);
        CHECK(p && q, "%s: %s", name, st.message);
        bool ok = p && q && program_run(p, inputs, v[0], &now, got, NULL, &st) && program_run(q, inputs, v[1], &now, want, NULL, &st);
        CHECK(ok, "%s on %s: %s", name, isas[k], st.message);
        for (uint32_t i = 0; ok && i < g->outputs.n; i++)
            CHECK(distance(&got[i], &want[i]) <= tol, "%s on %s: output %s is off by %g", name, isas[k], g->outputs.at[i].name, distance(&got[i], &want[i]));
        for (uint32_t i = 0; ok && i < nvars; i++)
            CHECK(distance(&v[0][i], &v[1][i]) <= tol, "%s on %s: variable %u is off by %g", name, isas[k], i, distance(&v[0][i], &v[1][i]));
        for (uint32_t i = 0; i < 8; i++) {
            tensor_free(&got[i]);
            tensor_free(&want[i]);
            tensor_free(&v[0][i]);
            tensor_free(&v[1][i]);
        }
        program_free(p);
        program_free(q);
    }
}

/* ---- an optimiser: reads, writes and swaps variables ---- */

static Ref var(Graph *g, int64_t index, int rank, const Dim *shape)
{
    return make_node(g, OP_var, DT_F32, rank, shape, 0, NULL, 1, &index, 0);
}

static void add_output(Graph *g, const char *name, Ref r)
{
    GraphOutput o = { .name = name, .value = r };
    vec_push(&g->outputs, o);
}

static void add_write(Graph *g, uint32_t v, Ref r)
{
    GraphWrite w = { v, r };
    vec_push(&g->writes, w);
}

/* Adam on one weight of shape (33,17,3,3), with g = w * 2 + 1; the gradient is an output as well. */
static void test_writes(void)
{
    DimTable     *dims = dims_new();
    Graph        *g = graph_new("adam", dims);
    const int64_t sizes[4] = { 33, 17, 3, 3 };
    Dim           shape[4];
    Tensor        vars[3];
    for (int i = 0; i < 4; i++)
        shape[i] = dim_const(dims, sizes[i]);
    Ref w = var(g, 0, 4, shape), m = var(g, 1, 4, shape), v = var(g, 2, 4, shape);
    int64_t which = RT_T;
    Ref t = make_node(g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, &which, 0);
    Ref grad = b_binary(g, OP_add, b_binary(g, OP_mul, w, b_const(g, DT_F32, 2)), b_const(g, DT_F32, 1));
    Ref m2 = b_binary(g, OP_add, b_binary(g, OP_mul, m, b_const(g, DT_F32, 0.5)), b_binary(g, OP_mul, grad, b_const(g, DT_F32, 0.5)));
    Ref square = b_binary(g, OP_mul, grad, grad);
    Ref v2 = b_binary(g, OP_add, b_binary(g, OP_mul, v, b_const(g, DT_F32, 0.9)), b_binary(g, OP_mul, square, b_const(g, DT_F32, 0.1)));
    Ref rate = b_binary(g, OP_div, b_const(g, DT_F32, 0.01), b_binary(g, OP_sub, b_const(g, DT_F32, 1), b_binary(g, OP_pow, b_const(g, DT_F32, 0.5), t)));
    Ref step = b_binary(g, OP_div, m2, b_binary(g, OP_add, b_unary(g, OP_sqrt, v2), b_const(g, DT_F32, 1e-3)));
    add_write(g, 0, b_binary(g, OP_sub, w, b_binary(g, OP_mul, step, rate)));
    add_write(g, 1, m2);
    add_write(g, 2, v2);
    add_output(g, "grad", grad);
    add_output(g, "size", b_sum_all(g, b_binary(g, OP_mul, grad, grad)));
    for (int i = 0; i < 3; i++) {
        vars[i] = tensor(DT_F32, 4, sizes, (uint64_t)i + 1);
        for (int64_t j = 0; i == 2 && j < tensor_count(&vars[i]); j++)
            tensor_set(&vars[i], j, fabs(tensor_get(&vars[i], j)));
    }
    compare(g, NULL, vars, 3, 2e-6, "adam");

    /* ten passes of one program: tensors change places every time */
    Status      st = { 0 };
    ExecOptions o = { .threads = 2 };
    Tensor      a[3] = { 0 }, b[3] = { 0 };
    Program    *p = program_new(NULL, g, &o, &st);
    for (int i = 0; i < 3; i++) {
        tensor_copy(&a[i], &vars[i], DT_F32, &st);
        tensor_copy(&b[i], &vars[i], DT_F64, &st);
    }
    for (int i = 0; p && i < 10; i++) {
        Tensor out[2] = { 0 }, ref[2] = { 0 };
        CHECK(program_run(p, NULL, a, &now, out, NULL, &st) && reference_run(g, NULL, b, &now, false, ref, NULL, &st), "%s", st.message);
        for (int k = 0; k < 2; k++) {
            tensor_free(&out[k]);
            tensor_free(&ref[k]);
        }
    }
    for (int i = 0; i < 3; i++) {
        CHECK(distance(&a[i], &b[i]) <= 1e-5, "after ten passes variable %d is off by %g", i, distance(&a[i], &b[i]));
        tensor_free(&a[i]);
        tensor_free(&b[i]);
        tensor_free(&vars[i]);
    }
    program_free(p);
    graph_free(g);
    dims_free(dims);
}

/* ---- failures change nothing and say what is wrong ---- */

static void expect_failure(Graph *g, const Tensor *inputs, Tensor *vars, const char *words)
{
    ExecOptions o = { .threads = 1 };
    Status      st = { 0 };
    Tensor      out[8] = { 0 };
    Program    *p = program_new(NULL, g, &o, &st);
    CHECK(p, "%s", st.message);
    bool ok = p && program_run(p, inputs, vars, &now, out, NULL, &st);
    CHECK(!ok && strstr(st.message, words), "wanted '%s', got %s '%s'", words, ok ? "success" : "failure", st.message);
    for (int i = 0; i < 8; i++)
        CHECK(!out[i].data, "a failed run leaves no outputs");
    program_free(p);
}

static void test_asserts(void)
{
    DimTable     *dims = dims_new();
    Graph        *g = graph_new("assert", dims);
    const int64_t sizes[1] = { 5 };
    Dim           shape[1] = { dim_const(dims, 5) };
    Tensor        v = tensor(DT_F32, 1, sizes, 1), before = { 0 };
    Status        st = { 0 };
    tensor_copy(&before, &v, DT_F32, &st);
    Ref w = var(g, 0, 1, shape);
    add_write(g, 0, b_binary(g, OP_mul, w, b_const(g, DT_F32, 3)));
    Ref         cond = b_binary(g, OP_lt, b_sum_all(g, b_binary(g, OP_mul, w, w)), b_const(g, DT_F32, 0));
    GraphAssert a = { .cond = cond, .loc = { .line = 17 }, .message = "sums of squares" };
    vec_push(&g->asserts, a);
    expect_failure(g, NULL, &v, "line 17: assert failed: sums of squares");
    CHECK(memcmp(v.data, before.data, 20) == 0, "a failed assert writes nothing");
    tensor_free(&v);
    tensor_free(&before);
    graph_free(g);
    dims_free(dims);
}

static void test_indices(void)
{
    DimTable *dims = dims_new();
    Graph    *g = parse(dims, "graph \"pick\"\ninput \"table\" : f32[M, 7]\ninput \"at\" : i32[J]\n"
                              "%1 = input(index: 0) : f32[M, 7]\n%2 = input(index: 1) : i32[J]\n%3 = gather(%1, %2) : f32[J, 7]\noutput \"rows\" %3\n");
    if (!g) {
        dims_free(dims);
        return;
    }
    const int64_t table[2] = { 9, 7 }, count[1] = { 40 };
    Tensor        in[2] = { tensor(DT_F32, 2, table, 1), tensor(DT_I32, 1, count, 2) };
    for (int64_t i = 0; i < 40; i++)
        tensor_set(&in[1], i, (double)(i * 5 % 9));
    compare(g, in, NULL, 0, 0, "gather");
    tensor_set(&in[1], 33, -4);
    expect_failure(g, in, NULL, "index -4 is outside 0 to 8");
    tensor_set(&in[1], 33, 9);
    expect_failure(g, in, NULL, "index 9 is outside 0 to 8");
    tensor_free(&in[0]);
    tensor_free(&in[1]);
    graph_free(g);
    dims_free(dims);
}

static void test_sizes_refused(void)
{
    DimTable *dims = dims_new();
    Graph    *g = parse(dims, "graph \"cut\"\ninput \"x\" : f32[N]\n"
                              "%1 = input(index: 0) : f32[N]\n%2 = slice(%1, start: [2], step: [1]) : f32[5]\noutput \"y\" %2\n");
    if (g) {
        for (int64_t n = 5; n <= 8; n++) {
            Tensor x = tensor(DT_F32, 1, &n, 1);
            if (n < 7)
                expect_failure(g, &x, NULL, "slice: axis 0: elements 2 to 6 of");
            else
                compare(g, &x, NULL, 0, 0, "slice");
            tensor_free(&x);
        }
        Tensor none = { 0 };
        expect_failure(g, &none, NULL, "input 'x' is missing");
        graph_free(g);
    }
    dims_free(dims);
}

/* ---- random numbers are rng.c's whatever the layout ---- */

static void test_random(void)
{
    DimTable     *dims = dims_new();
    Graph        *g = graph_new("noise", dims);
    const int64_t sizes[4] = { 2, 19, 5, 7 };
    Dim           shape[4];
    for (int i = 0; i < 4; i++)
        shape[i] = dim_const(dims, sizes[i]);
    const int64_t stream[2][2] = { { 0x123456789abc, 0 }, { 77, 1 } };
    Ref u = make_node(g, OP_uniform, DT_F32, 4, shape, 0, NULL, 2, stream[0], 0), z = make_node(g, OP_normal, DT_F32, 4, shape, 0, NULL, 2, stream[1], 0);
    add_output(g, "u", u);
    add_output(g, "z", z);
    const Dim w[4] = { dim_const(dims, 3), dim_const(dims, 19), dim_const(dims, 1), dim_const(dims, 1) };
    Ref       ones = b_fill(g, DT_F32, 1, 4, w), args[2] = { z, ones };
    const int64_t attrs[9] = { 1, 1, 0, 0, 0, 0, 1, 1, 1 };
    add_output(g, "conv", make_node(g, OP_conv, DT_F32, 0, NULL, 2, args, 9, attrs, 0));    /* now z is wanted in blocks too */
    compare(g, NULL, NULL, 0, 2e-6, "noise");
    for (size_t k = 0; k < COUNT(isas); k++) {
        ExecOptions o = { .cpu = isas[k] };
        Status      st = { 0 };
        Tensor      out[3] = { 0 };
        Program    *p = machine_has(isas[k]) ? program_new(NULL, g, &o, &st) : NULL;
        if (!p)
            continue;
        CHECK(program_run(p, NULL, NULL, &now, out, NULL, &st), "%s", st.message);
        for (int64_t i = 0; i < 2 * 19 * 35 && out[0].data; i++) {
            float a = rng_uniform(now.rng, 0x123456789abc, (uint64_t)i), b = rng_normal((Rng){ 0, 0 }, 77, (uint64_t)i);
            CHECK(memcmp(&a, (float *)out[0].data + i, 4) == 0 && memcmp(&b, (float *)out[1].data + i, 4) == 0, "element %lld on %s", (long long)i, isas[k]);
        }
        for (int i = 0; i < 3; i++)
            tensor_free(&out[i]);
        program_free(p);
    }
    graph_free(g);
    dims_free(dims);
}

/* ---- a network: reflection padding, convolution, instance norm, residual, upsampling, Gram matrix; its gradient; several sizes of one program ---- */

static Ref conv(Graph *g, Ref x, Ref w, int stride, int pad)
{
    const int64_t attrs[9] = { stride, stride, pad, pad, pad, pad, 1, 1, 1 };
    const Ref     args[2] = { x, w };
    return make_node(g, OP_conv, DT_F32, 0, NULL, 2, args, 9, attrs, 0);
}

static Ref norm_relu(Graph *g, Ref x)
{
    const int axes[2] = { 2, 3 };
    Dim       h = node_shape(g, x)[2], w = node_shape(g, x)[3];
    Ref       n = b_size(g, dim_mul(g->dims, h, w));
    Ref       d = b_binary(g, OP_sub, x, b_binary(g, OP_div, b_sum(g, x, axes, 2), n));
    Ref       var_ = b_binary(g, OP_div, b_sum(g, b_binary(g, OP_mul, d, d), axes, 2), n);
    Ref       y = b_binary(g, OP_mul, d, b_unary(g, OP_rsqrt, b_binary(g, OP_add, var_, b_const(g, DT_F32, 1e-5))));
    return b_binary(g, OP_max, y, b_const(g, DT_F32, 0));
}

static Ref reflect(Graph *g, Ref x, int p)
{
    const int64_t attrs[5] = { 0, 0, p, p, MODE_REFLECT };
    Dim           shape[4];
    memcpy(shape, node_shape(g, x), sizeof shape);
    for (int i = 2; i < 4; i++)
        shape[i] = dim_add(g->dims, shape[i], dim_const(g->dims, 2 * p));
    return make_node(g, OP_pad, DT_F32, 4, shape, 1, &x, 5, attrs, 0);
}

static void test_network(void)
{
    DimTable *dims = dims_new();
    Graph    *g = graph_new("net", dims);
    Dim       N = dim_sym(dims, intern("N")), H = dim_sym(dims, intern("H")), W = dim_sym(dims, intern("W"));
    Dim       shape[4] = { N, dim_const(dims, 3), dim_scale(dims, H, 2), dim_scale(dims, W, 2) };
    GraphInput in = { .name = "x", .kind = IN_TENSOR, .dtype = DT_F32, .rank = 4 };
    memcpy(in.shape, shape, sizeof shape);
    vec_push(&g->inputs, in);
    const int64_t zero = 0, wsize[3][4] = { { 20, 3, 3, 3 }, { 20, 20, 3, 3 }, { 3, 20, 3, 3 } };
    Ref           x = make_node(g, OP_input, DT_F32, 4, shape, 0, NULL, 1, &zero, 0), w[3];
    Tensor        vars[3];
    for (int i = 0; i < 3; i++) {
        Dim d[4];
        for (int k = 0; k < 4; k++)
            d[k] = dim_const(dims, wsize[i][k]);
        w[i] = var(g, i, 4, d);
        vars[i] = tensor(DT_F32, 4, wsize[i], 5 + (uint64_t)i);
        for (int64_t k = 0; k < tensor_count(&vars[i]); k++)
            tensor_set(&vars[i], k, 0.1 * tensor_get(&vars[i], k));
    }
    Ref a = norm_relu(g, conv(g, x, w[0], 2, 1));
    Ref b = b_binary(g, OP_add, a, norm_relu(g, conv(g, reflect(g, a, 1), w[1], 1, 0)));
    const int64_t resize[2] = { RESIZE_NEAREST, RESIZE_HALF_PIXEL };
    Dim           big[4] = { N, dim_const(dims, 20), shape[2], shape[3] };
    Ref           u = make_node(g, OP_resize, DT_F32, 4, big, 1, &b, 2, resize, 0);
    Ref           y = b_unary(g, OP_tanh, conv(g, u, w[2], 1, 1));
    const Dim     flat[3] = { N, dim_const(dims, 20), dim_mul(dims, H, W) };
    const int64_t ta[2] = { 0, 1 };
    Ref           f = b_reshape(g, b, 3, flat), ff[2] = { f, f };
    Ref           gram = make_node(g, OP_matmul, DT_F32, 0, NULL, 2, ff, 2, ta, 0);
    Ref           style = b_binary(g, OP_mul, b_sum_all(g, b_binary(g, OP_mul, gram, gram)), b_const(g, DT_F32, 1e-3));
    Ref           loss = b_binary(g, OP_add, b_sum_all(g, b_binary(g, OP_mul, y, y)), style);
    Ref           grads[3], culprit;
    CHECK(gradients(g, loss, 3, w, grads, &culprit), "the network has a gradient");
    add_output(g, "y", y);
    add_output(g, "gram", gram);
    add_output(g, "loss", loss);
    for (int i = 0; i < 3; i++)
        add_output(g, "gradient", grads[i]);
    static const int64_t sizes[][3] = { { 2, 4, 5 }, { 1, 16, 9 }, { 3, 2, 2 }, { 1, 33, 17 } };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const int64_t s[4] = { sizes[i][0], 3, 2 * sizes[i][1], 2 * sizes[i][2] };
        Tensor        t = tensor(DT_F32, 4, s, 77);
        compare(g, &t, vars, 3, 2e-5, "network");
        tensor_free(&t);
    }
    /* one program, sizes back and forth: what is kept for a set of sizes is the right one */
    ExecOptions o = { 0 };
    Status      st = { 0 };
    Program    *p = program_new(NULL, g, &o, &st);
    Tensor      first[COUNT(sizes)] = { 0 };
    for (size_t i = 0; p && i < 3 * COUNT(sizes); i++) {
        size_t        k = i % COUNT(sizes);
        const int64_t s[4] = { sizes[k][0], 3, 2 * sizes[k][1], 2 * sizes[k][2] };
        Tensor        t = tensor(DT_F32, 4, s, 77), out[6] = { 0 };
        CHECK(program_run(p, &t, vars, &now, out, NULL, &st), "%s", st.message);
        if (i < COUNT(sizes)) {
            first[k] = out[0];
            out[0] = (Tensor){ 0 };
        } else {
            CHECK(memcmp(first[k].data, out[0].data, (size_t)tensor_count(&first[k]) * 4) == 0, "the same pass gives the same bits");
        }
        for (int j = 0; j < 6; j++)
            tensor_free(&out[j]);
        tensor_free(&t);
    }
    for (size_t i = 0; i < COUNT(sizes); i++)
        tensor_free(&first[i]);
    for (int i = 0; i < 3; i++)
        tensor_free(&vars[i]);
    program_free(p);
    graph_free(g);
    dims_free(dims);
}

/* ---- what comes from outside in another guise ---- */

static void test_inputs(void)
{
    DimTable *dims = dims_new();
    Graph    *g = parse(dims, "graph \"scale\"\ninput \"x\" : f32[N]\ninput \"k\" : f32[]\n"
                              "%1 = input(index: 0) : f32[N]\n%2 = input(index: 1) : f32[]\n%3 = broadcast(%2) : f32[N]\n%4 = mul(%1, %3) : f32[N]\n"
                              "output \"y\" %4\noutput \"x\" %1\noutput \"again\" %4\n");
    if (g) {
        int64_t n = 37;
        Tensor  in[2] = { tensor(DT_F64, 1, &n, 1), { 0 } };
        g->inputs.at[1].has_default = true;
        g->inputs.at[1].deflt = 2.5;
        compare(g, in, NULL, 0, 1e-7, "an f64 tensor and a default");
        tensor_free(&in[0]);
        graph_free(g);
    }
    dims_free(dims);
}

/* A value of one byte an element that is stored in blocks, because a convolution made it, and leaves the graph in rows. */
static void test_blocked_bool(void)
{
    DimTable *dims = dims_new();
    Graph    *g = parse(dims, "graph \"mask\"\ninput \"x\" : f32[2, 17, 6, 5]\ninput \"w\" : f32[19, 17, 3, 3]\n"
                              "%1 = input(index: 0) : f32[2, 17, 6, 5]\n%2 = input(index: 1) : f32[19, 17, 3, 3]\n"
                              "%3 = conv(%1, %2, stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[2, 19, 6, 5]\n"
                              "%4 = const(0.25) : f32[]\n%5 = broadcast(%4) : f32[2, 19, 6, 5]\n%6 = lt(%5, %3) : bool[2, 19, 6, 5]\noutput \"mask\" %6\n");
    if (g) {
        const int64_t x[4] = { 2, 17, 6, 5 }, w[4] = { 19, 17, 3, 3 };
        Tensor        in[2] = { tensor(DT_F32, 4, x, 1), tensor(DT_F32, 4, w, 2) };
        compare(g, in, NULL, 0, 0, "a mask of a convolution");
        tensor_free(&in[0]);
        tensor_free(&in[1]);
        graph_free(g);
    }
    dims_free(dims);
}

int main(void)
{
    test_writes();
    test_asserts();
    test_indices();
    test_sizes_refused();
    test_random();
    test_network();
    test_inputs();
    test_blocked_bool();
    return check_done();
}
