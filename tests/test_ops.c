/* test_ops.c - derivatives of every row and attribute class of the op table, first and second order, against central differences.
 *
 * For a case y = op(x...): L = sum(y * R) with R random. Its gradients from gradients() are compared with (L(x + e) - L(x - e)) / 2e over ALL entries of x and R.
 * Then M = sum of (dL/dx * S) over the inputs, S random, and the gradients of M likewise, which differentiates the adjoint graphs again.
 * At last the graph is simplified and must still give the same numbers.
 */
#include "check.h"
#include "op_cases.h"

enum { MAX_CASES = 256, MAX_WRT = CASE_MAX_ARGS + 1, MAX_INPUTS = 2 * MAX_WRT };
static const double EPS = 1e-6, ATOL = 1e-5, RTOL = 1e-3;

static double scalar_of(const Graph *g, const Tensor *inputs, Ref r, const char *what)
{
    Tensor t = {0};
    Status st = {0};
    bool   ok = interpret(g, inputs, NULL, NULL, &r, 1, &t, &st);
    CHECK(ok, "%s: %s", what, st.message);
    double v = ok ? tensor_get(&t, 0) : NAN;
    tensor_free(&t);
    return v;
}

/* d[i] is the gradient of scalar r by input number index[i] (0: none): all entries against differences. */
static void compare(const Graph *g, Tensor *inputs, Ref r, int n, const uint32_t *index, const Ref *d, const char *what)
{
    for (int i = 0; i < n; i++) {
        Tensor *x = &inputs[index[i]], grad = {0};
        Status  st = {0};
        if (d[i]) {
            bool ok = interpret(g, inputs, NULL, NULL, &d[i], 1, &grad, &st);
            CHECK(ok, "%s: %s", what, st.message);
            CHECK(ok && tensor_count(&grad) == tensor_count(x), "%s: the gradient of input %d has another size", what, i);
            if (!ok)
                continue;
        }
        int64_t count = tensor_count(x);
        double  worst = 0, got = 0, want = 0;
        for (int64_t j = 0; j < count; j++) {
            double at = tensor_get(x, j);
            tensor_set(x, j, at + EPS);
            double up = scalar_of(g, inputs, r, what);
            tensor_set(x, j, at - EPS);
            double down = scalar_of(g, inputs, r, what);
            tensor_set(x, j, at);
            double fd = (up - down) / (2 * EPS), have = d[i] ? tensor_get(&grad, j) : 0, off = fabs(have - fd) / (ATOL + RTOL * fabs(fd));
            if (!(off <= worst)) {
                worst = off;
                got = have;
                want = fd;
            }
        }
        CHECK(worst <= 1, "%s: by input %d: gradient %.9g, differences %.9g", what, i, got, want);
        tensor_free(&grad);
    }
}

/* sum(a * b), to rank 0 */
static Ref functional(Graph *g, Ref a, Ref b) { return b_cast(g, b_sum_all(g, b_binary(g, OP_mul, a, b)), DT_F32); }

static Ref input_like(Graph *g, Ref r)
{
    int64_t shape[MAX_RANK];
    for (int i = 0; i < node(g, r)->rank; i++)
        dim_is_const(g->dims, node_shape(g, r)[i], &shape[i]);
    return case_input(g, (Dtype)node(g, r)->dtype, node(g, r)->rank, shape);
}

static void fill(const Graph *g, Tensor *inputs, uint32_t from, const char *domain, int64_t m)
{
    for (uint32_t i = from; i < g->inputs.n; i++)
        CHECK(case_fill(g, i, domain, m, 1000 + i, &inputs[i]), "input %u", i);
}

static void add_output(Graph *g, Ref r)
{
    GraphOutput o = {.name = "y", .value = r};
    if (r)
        vec_push(&g->outputs, o);
}

/* The outputs before and after simplify(). */
static void test_simplified(Graph *g, const Tensor *inputs, const char *what)
{
    char     why[512];
    uint32_t n = g->outputs.n;
    Tensor   before[2 + 2 * MAX_WRT] = {0}, after[2 + 2 * MAX_WRT] = {0};
    Status   st = {0};
    CHECK(verify(g, why, sizeof why), "%s: %s", what, why);
    bool ok = reference_run(g, inputs, NULL, NULL, false, before, NULL, &st);
    simplify(g);
    CHECK(verify(g, why, sizeof why), "%s, simplified: %s", what, why);
    ok = ok && reference_run(g, inputs, NULL, NULL, false, after, NULL, &st);
    CHECK(ok && g->outputs.n == n, "%s, simplified: %s", what, st.message);
    for (uint32_t i = 0; ok && i < n; i++) {
        double worst = 0;
        CHECK(tensor_count(&before[i]) == tensor_count(&after[i]), "%s, simplified: output %u has another size", what, i);
        for (int64_t j = 0; j < tensor_count(&before[i]); j++) {
            double want = tensor_get(&before[i], j), off = fabs(tensor_get(&after[i], j) - want) / fmax(1, fabs(want));
            worst = off <= worst ? worst : off;
        }
        CHECK(worst < 1e-11, "%s, simplified: output %u is off by %g", what, i, worst);
    }
    for (uint32_t i = 0; i < n; i++) {
        tensor_free(&before[i]);
        tensor_free(&after[i]);
    }
}

static void test_gradients(const OpCase *c, DimTable *dims)
{
    char      what[256];
    Graph    *g = graph_new(c->op, dims);
    CaseGraph cg;
    Tensor    inputs[MAX_INPUTS] = {0};
    Ref       wrt[MAX_WRT], d[MAX_WRT], dd[MAX_WRT], culprit = 0;
    uint32_t  index[MAX_WRT];
    int       n = 0, before = checks_failed;
    int64_t   m = 1;
    snprintf(what, sizeof what, "%s(%s) on %s to %s, first order", c->op, c->attrs, c->shapes, c->out ? c->out : "its shape");
    CHECK(case_build(c, g, &cg), "%s", what);
    for (int i = 0; i < cg.nargs; i++)
        if (node(g, cg.args[i])->dtype == DT_F32) {
            wrt[n] = cg.args[i];
            index[n++] = (uint32_t)i;
        }
    if (op_info[cg.op].class == CLASS_INDEX)
        dim_is_const(dims, node_shape(g, cg.op == OP_gather ? cg.args[0] : cg.result)[0], &m);
    fill(g, inputs, 0, c->domain ? c->domain : op_info[cg.op].test, m);
    index[n] = g->inputs.n;
    wrt[n++] = input_like(g, cg.result);
    fill(g, inputs, index[n - 1], "ANY", 1);
    Ref l = functional(g, cg.result, wrt[n - 1]);
    if (gradients(g, l, n, wrt, d, &culprit)) {
        compare(g, inputs, l, n, index, d, what);
        add_output(g, cg.result);
        add_output(g, l);
        Ref second = 0;
        for (int i = 0; i < n; i++)
            add_output(g, d[i]);
        for (int i = 0; i < n; i++) {
            if (!d[i])
                continue;
            uint32_t at = g->inputs.n;
            Ref      term = functional(g, d[i], input_like(g, d[i]));
            fill(g, inputs, at, "ANY", 1);
            second = second ? b_binary(g, OP_add, second, term) : term;
        }
        snprintf(what, sizeof what, "%s(%s) on %s to %s, second order", c->op, c->attrs, c->shapes, c->out ? c->out : "its shape");
        CHECK(second != 0, "%s: no gradient at all", what);
        if (second && gradients(g, second, n, wrt, dd, &culprit)) {
            compare(g, inputs, second, n, index, dd, what);
            for (int i = 0; i < n; i++)
                add_output(g, dd[i]);
        } else {
            CHECK(culprit == 0, "%s: '%s' has no derivative", what, op_info[node(g, culprit)->op].name);
        }
    } else {
        CHECK(false, "%s: '%s' has no derivative", what, op_info[node(g, culprit)->op].name);
    }
    test_simplified(g, inputs, what);
    if (checks_failed > before) {
        Text t = {0};
        graph_print(g, NULL, &t);
        printf("%s\n", t.at);
        text_free(&t);
    }
    for (int i = 0; i < MAX_INPUTS; i++)
        tensor_free(&inputs[i]);
    graph_free(g);
}

/* Rows whose derivative is zero let nothing through, silently; rows without one stop a gradient and are named. */
static void test_without(const OpCase *c, DimTable *dims)
{
    Graph    *g = graph_new(c->op, dims);
    CaseGraph cg;
    Ref       d[CASE_MAX_ARGS], culprit = 0;
    CHECK(case_build(c, g, &cg), "%s", c->op);
    Ref  y = b_sum_all(g, b_cast(g, cg.result, DT_F32));
    bool ok = gradients(g, y, cg.nargs, cg.args, d, &culprit);
    if (op_info[cg.op].grad == GRAD_ZERO) {
        CHECK(ok, "%s: stops a gradient", c->op);
        for (int i = 0; ok && i < cg.nargs; i++)
            CHECK(d[i] == 0, "%s: lets a gradient through to input %d", c->op, i);
    } else {
        CHECK(!ok && culprit == cg.result, "%s: has no derivative, but %s", c->op, ok ? "a gradient was made" : "another node is blamed");
    }
    graph_free(g);
}

/* What PyTorch does where a derivative is not unique; x1, x2 rank-1 inputs of four numbers. */
static void test_ties(DimTable *dims)
{
    static const struct { const char *name; Op op; double a[4], b[4], da[4], db[4]; } ties[] = {
        {"abs at 0", OP_abs, {0, -2, 3, 0}, {0}, {0, -1, 1, 0}, {0}},
        {"max splits evenly", OP_max, {1, 2, 3, 0}, {1, 3, 2, 0}, {0.5, 0, 1, 0.5}, {0.5, 1, 0, 0.5}},
        {"min splits evenly", OP_min, {1, 2, 3, 0}, {1, 3, 2, 0}, {0.5, 1, 0, 0.5}, {0.5, 0, 1, 0.5}},
        {"amax splits evenly", OP_amax, {3, 1, 3, 3}, {0}, {1.0 / 3, 0, 1.0 / 3, 1.0 / 3}, {0}},
        {"a window takes the first", OP_win_max, {3, 1, 3, 3}, {0}, {1, 0, 0, 0}, {0}},
    };
    for (size_t k = 0; k < COUNT(ties); k++) {
        Graph  *g = graph_new("ties", dims);
        int64_t four = 4, zero = 0, window[8] = {2, 2, 2, 2, 0, 0, 0, 0};
        Ref     x[2] = {case_input(g, DT_F32, 1, &four), case_input(g, DT_F32, 1, &four)}, d[2], culprit, y;
        if (ties[k].op == OP_win_max) {
            Dim square[4] = {dim_const(dims, 1), dim_const(dims, 1), dim_const(dims, 2), dim_const(dims, 2)};
            Dim one[4] = {square[0], square[0], square[0], square[0]};
            Ref plane = b_reshape(g, x[0], 4, square);
            y = make_node(g, OP_win_max, DT_F32, 4, one, 1, &plane, 8, window, 0);
        } else if (ties[k].op == OP_amax) {
            y = make_node(g, OP_amax, DT_F32, 0, NULL, 1, x, 1, &zero, 0);
        } else {
            y = make_node(g, ties[k].op, DT_F32, 0, NULL, op_info[ties[k].op].nin, x, 0, NULL, 0);
        }
        CHECK(gradients(g, b_sum_all(g, y), 2, x, d, &culprit), "%s", ties[k].name);
        Tensor in[2] = {0};
        Status st = {0};
        for (int i = 0; i < 2; i++) {
            tensor_alloc(&in[i], DT_F64, 1, &four, &st);
            memcpy(in[i].data, i ? ties[k].b : ties[k].a, sizeof ties[k].a);
        }
        for (int i = 0; i < op_info[ties[k].op].nin; i++) {
            Tensor t = {0};
            bool   ok = d[i] && interpret(g, in, NULL, NULL, &d[i], 1, &t, &st);
            CHECK(ok, "%s: %s", ties[k].name, st.message);
            for (int j = 0; ok && j < 4; j++)
                CHECK(fabs(tensor_get(&t, j) - (i ? ties[k].db : ties[k].da)[j]) < 1e-12, "%s: input %d element %d: %g", ties[k].name, i, j, tensor_get(&t, j));
            tensor_free(&t);
        }
        tensor_free(&in[0]);
        tensor_free(&in[1]);
        graph_free(g);
    }
}

int main(void)
{
    static OpCase cases[MAX_CASES];
    bool          seen[OP_COUNT] = {false};
    int           n = list_cases(cases, MAX_CASES);
    CHECK(n < MAX_CASES, "more than %d cases: raise MAX_CASES", MAX_CASES);
    DimTable *dims = dims_new();
    for (int i = 0; i < n; i++) {
        Op op;
        if (!op_by_name(cases[i].op, &op)) {
            CHECK(false, "no op '%s'", cases[i].op);
            continue;
        }
        seen[op] = true;
        if (op_info[op].grad == GRAD_YES)
            test_gradients(&cases[i], dims);
        else
            test_without(&cases[i], dims);
    }
    for (int op = 0; op < OP_COUNT; op++)
        CHECK(seen[op] || op_info[op].class == CLASS_LEAF || op == OP_stop, "row '%s' has no case in op_cases.h", op_info[op].name);
    test_ties(dims);
    dims_free(dims);
    return check_done();
}
