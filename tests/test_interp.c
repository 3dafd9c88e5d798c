/* test_interp.c - the reference interpreter against PyTorch float64 (tests/fixtures/ops.txt), and its own duties: binding sizes, checks,
 * asserts, writes that happen at the end or not at all, places in messages, random numbers, the first number that is not finite.
 */
#include <omp.h>

#include "check.h"
#include "op_cases.h"

/* ---- fixtures ---- */
static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *text = xmalloc((size_t)n + 1);
    n = (long)fread(text, 1, (size_t)n, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* "DTYPE RANK sizes... values..." up to the line's end */
static bool read_tensor(char **s, Tensor *t)
{
    char    name[8];
    int     used, rank;
    int64_t shape[MAX_RANK];
    Dtype   dtype;
    Status  st = {0};
    if (sscanf(*s, "%7s %d%n", name, &rank, &used) < 2 || rank > MAX_RANK || !dtype_by_name(name, &dtype))
        return false;
    *s += used;
    for (int i = 0; i < rank; i++)
        shape[i] = strtoll(*s, s, 10);
    if (!tensor_alloc(t, dtype == DT_F32 ? DT_F64 : dtype, rank, shape, &st))
        return false;
    for (int64_t i = 0, n = tensor_count(t); i < n; i++)
        tensor_set(t, i, strtod(*s, s));
    return **s == '\n';
}

typedef struct { char op[32], note[64]; int64_t attrs[CASE_MAX_ATTRS]; int nattrs, nin; Tensor in[CASE_MAX_ARGS], out; } Fixture;

/* The next case at *s; false at the end. */
static bool read_fixture(char **s, Fixture *f)
{
    int used;
    *f = (Fixture){0};
    if (sscanf(*s, "case %31s %63s\nattrs%n", f->op, f->note, &used) < 2)
        return false;
    for (*s += used; **s == ' ';)
        f->attrs[f->nattrs++] = strtoll(*s, s, 10);
    bool ok = *(*s)++ == '\n';
    while (ok && !strncmp(*s, "in ", 3)) {
        *s += 3;
        ok = f->nin < CASE_MAX_ARGS && read_tensor(s, &f->in[f->nin++]);
        (*s)++;
    }
    ok = ok && !strncmp(*s, "out ", 4);
    *s += 4;
    ok = ok && read_tensor(s, &f->out);
    (*s)++;
    CHECK(ok, "fixture %s %s cannot be read", f->op, f->note);
    return ok;
}

static void free_fixture(Fixture *f)
{
    for (int i = 0; i < f->nin; i++)
        tensor_free(&f->in[i]);
    tensor_free(&f->out);
}

static void run_fixture(Fixture *f, DimTable *dims)
{
    Graph *g = graph_new(f->op, dims);
    Op     op;
    Ref    args[CASE_MAX_ARGS];
    Dim    shape[MAX_RANK];
    Tensor got = {0};
    Status st = {0};
    CHECK(op_by_name(f->op, &op), "no op '%s'", f->op);
    for (int i = 0; i < f->nin; i++)
        args[i] = case_input(g, f->in[i].dtype == DT_F64 ? DT_F32 : f->in[i].dtype, f->in[i].rank, f->in[i].shape);
    for (int i = 0; i < f->out.rank; i++)
        shape[i] = dim_const(dims, f->out.shape[i]);
    case_dims(g, op, f->nattrs, f->attrs);
    bool given = op_info[op].flags & FLAG_SHAPE_GIVEN;
    Ref  y = make_node(g, op, DT_F32, given ? f->out.rank : 0, given ? shape : NULL, f->nin, args, f->nattrs, f->attrs, 0);
    CHECK((Dtype)node(g, y)->dtype == (f->out.dtype == DT_F64 ? DT_F32 : f->out.dtype), "%s %s: dtype %d", f->op, f->note, node(g, y)->dtype);
    bool ok = interpret(g, f->in, NULL, NULL, &y, 1, &got, &st);
    CHECK(ok, "%s %s: %s", f->op, f->note, st.message);
    bool same = ok && got.rank == f->out.rank && tensor_count(&got) == tensor_count(&f->out);
    CHECK(same, "%s %s: another shape", f->op, f->note);
    double worst = 0;
    for (int64_t i = 0; same && i < tensor_count(&got); i++) {
        double want = tensor_get(&f->out, i), off = fabs(tensor_get(&got, i) - want) / fmax(1, fabs(want));
        worst = off <= worst ? worst : off;
    }
    CHECK(worst < 1e-13, "%s %s: off by %g", f->op, f->note, worst);
    tensor_free(&got);
    graph_free(g);
}

static void test_fixtures(void)
{
    char *text = read_whole(SOURCE_DIR "/tests/fixtures/ops.txt");
    CHECK(text != NULL, "tests/fixtures/ops.txt is missing");
    if (!text)
        return;
    DimTable *dims = dims_new();
    bool      seen[OP_COUNT] = {false};
    int       n = 0;
    Fixture   f;
    for (char *s = text; read_fixture(&s, &f); n++) {
        Op op;
        run_fixture(&f, dims);
        if (op_by_name(f.op, &op))
            seen[op] = true;
        free_fixture(&f);
    }
    CHECK(n > 150, "only %d fixtures", n);
    for (int op = 0; op < OP_COUNT; op++)
        CHECK(seen[op] || op_info[op].class == CLASS_LEAF || op == OP_stop, "no fixture for '%s'", op_info[op].name);
    dims_free(dims);
    free(text);
}

/* ---- graphs with symbols ---- */
static Ref sym_input(Graph *g, const char *name, Dtype dtype, int rank, const Dim *shape)
{
    GraphInput in = {.name = name, .kind = IN_TENSOR, .dtype = dtype, .rank = (uint8_t)rank};
    int64_t    index = g->inputs.n;
    memcpy(in.shape, shape, (size_t)rank * sizeof *shape);
    vec_push(&g->inputs, in);
    return make_node(g, OP_input, dtype, rank, shape, 0, NULL, 1, &index, 0);
}

static Tensor zeros(Dtype dtype, int rank, const int64_t *shape)
{
    Tensor t;
    Status st = {0};
    CHECK(tensor_alloc(&t, dtype, rank, shape, &st), "%s", st.message);
    return t;
}

static void expect_failure(bool ok, const Status *st, const char *part)
{
    CHECK(!ok, "should have failed with '%s'", part);
    CHECK(strstr(st->message, part) != NULL, "the message '%s' lacks '%s'", st->message, part);
}

static void test_sizes(void)
{
    DimTable *d = dims_new();
    Graph    *g = graph_new("sizes", d);
    Dim       h = dim_sym(d, intern("H")), n = dim_sym(d, intern("N"));
    Dim       pattern[3] = {n, dim_mul(d, h, n), dim_add(d, dim_scale(d, h, 4), dim_const(d, 2))};
    sym_input(g, "x", DT_F32, 3, pattern);
    GraphInput k = {.name = "k", .kind = IN_INT, .symbol = dim_sym(d, intern("K"))};
    vec_push(&g->inputs, k);
    Ref     sizes[2] = {make_node(g, OP_size, DT_F32, 0, NULL, 0, NULL, 1, &(int64_t){h}, 0), make_node(g, OP_size, DT_I32, 0, NULL, 0, NULL, 1, &(int64_t){k.symbol}, 0)};
    int64_t good[3] = {3, 15, 22};
    Tensor  in[2] = {zeros(DT_F32, 3, good), zeros(DT_I32, 0, NULL)}, out[2];
    Status  st = {0};
    tensor_set(&in[1], 0, 7);
    bool ok = interpret(g, in, NULL, NULL, sizes, 2, out, &st);
    CHECK(ok, "%s", st.message);
    CHECK(ok && tensor_get(&out[0], 0) == 5 && tensor_get(&out[1], 0) == 7, "H and K");
    for (int i = 0; ok && i < 2; i++)
        tensor_free(&out[i]);

    static const struct { int64_t shape[3]; int rank; const char *part; } wrong[] = {
        {{3, 14, 22}, 3, "[N, H*N, 4*H + 2]: axis 1 fits no whole number with N = 3"}, {{3, 15, 21}, 3, "axis 2 should be 22 with H = 5"}, {{3, 15, 0}, 2, "2 axes, wanted are 3"}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Status bad = {0};
        tensor_free(&in[0]);
        in[0] = zeros(DT_F32, wrong[i].rank, wrong[i].shape);
        expect_failure(interpret(g, in, NULL, NULL, sizes, 2, out, &bad), &bad, wrong[i].part);
        CHECK(strstr(bad.message, "input 'x'") != NULL, "'%s' does not name the input", bad.message);
    }
    Status bad = {0};
    tensor_free(&in[0]);
    in[0] = zeros(DT_I32, 3, good);
    expect_failure(interpret(g, in, NULL, NULL, sizes, 2, out, &bad), &bad, "must be f32, not i32");
    tensor_free(&in[0]);
    in[0] = zeros(DT_F32, 3, good);
    tensor_set(&in[1], 0, -1);
    bad = (Status){0};
    expect_failure(interpret(g, in, NULL, NULL, sizes, 2, out, &bad), &bad, "input 'k' must be a whole number");
    tensor_set(&in[1], 0, 6);

    Source  file = {.path = "models/a.graph"};
    Sources sources = {0};
    vec_push(&sources.files, file);
    g->sources = &sources;
    GraphCheck c = {h, k.symbol, {.file = 0, .line = 12, .col = 3}, "cannot add x and y"};
    vec_push(&g->checks, c);
    bad = (Status){0};
    expect_failure(interpret(g, in, NULL, NULL, sizes, 2, out, &bad), &bad, "models/a.graph:12: cannot add x and y: H = 5 but K = 6");
    vec_free(&sources.files);
    tensor_free(&in[0]);
    tensor_free(&in[1]);
    graph_free(g);
    dims_free(d);
}

/* A counter, its report, an assert and a division: the life of a step. */
static void test_run(void)
{
    DimTable *d = dims_new();
    Graph    *g = graph_new("step", d);
    Dim       three = dim_const(d, 3);
    int64_t   zero = 0, n = 3;
    Ref       x = sym_input(g, "x", DT_F32, 1, &three), v = make_node(g, OP_var, DT_F32, 1, &three, 0, NULL, 1, &zero, 0);
    Ref       sum = b_binary(g, OP_add, v, x), limit = b_const(g, DT_F32, 100), total = b_sum_all(g, sum);
    g->loc = (Loc){.file = 0, .line = 7};
    Ref         inverse = b_binary(g, OP_div, b_const(g, DT_F32, 1), x);
    GraphWrite  w = {0, sum};
    GraphAssert a = {b_binary(g, OP_lt, total, limit), {.line = 9}, "total stays small"};
    GraphOutput o = {.name = "total", .value = total}, r = {.name = "inverse", .value = inverse}, o2 = {.name = "small", .value = a.cond};
    vec_push(&g->writes, w);
    vec_push(&g->asserts, a);
    vec_push(&g->outputs, o);
    vec_push(&g->outputs, o2);
    vec_push(&g->reports, r);
    Tensor in = zeros(DT_F32, 1, &n), var = zeros(DT_F32, 1, &n), out[2] = {0}, rep = {0};
    void  *storage = var.data;
    for (int i = 0; i < 3; i++)
        tensor_set(&in, i, i + 1);
    for (int pass = 1; pass <= 2; pass++) {
        Status st = {0};
        bool   ok = reference_run(g, &in, &var, NULL, true, out, &rep, &st);
        CHECK(ok, "%s", st.message);
        CHECK(ok && out[0].dtype == DT_F64 && tensor_get(&out[0], 0) == 6 * pass, "total");
        CHECK(ok && out[1].dtype == DT_BOOL && tensor_get(&out[1], 0) == 1, "a bool output stays one");
        CHECK(ok && fabs(tensor_get(&rep, 2) - 1.0 / 3) < 1e-15, "report");
        CHECK(var.dtype == DT_F32 && var.data == storage && tensor_get(&var, 2) == 3 * pass, "the variable's dtype and storage stay, its value is %g", tensor_get(&var, 2));
        tensor_free(&out[0]);
        tensor_free(&out[1]);
        tensor_free(&rep);
    }
    Status st = {0};
    tensor_set(&in, 0, 1000);
    expect_failure(reference_run(g, &in, &var, NULL, false, out, &rep, &st), &st, "line 9: assert failed: total stays small");
    CHECK(tensor_get(&var, 0) == 2 && !out[0].data && !rep.data, "a failed step changes nothing");
    tensor_set(&in, 0, 0);
    st = (Status){0};
    expect_failure(reference_run(g, &in, &var, NULL, true, out, &rep, &st), &st, "line 7: div: the first number that is not finite");
    st = (Status){0};
    CHECK(reference_run(g, &in, &var, NULL, false, out, &rep, &st), "infinite numbers may be asked for: %s", st.message);
    CHECK(isinf(tensor_get(&rep, 0)), "1 / 0 is %g", tensor_get(&rep, 0));
    tensor_free(&out[0]);
    tensor_free(&out[1]);
    tensor_free(&rep);
    tensor_free(&in);
    tensor_free(&var);
    graph_free(g);
    dims_free(d);
}

/* A let whose size only its tensor knows. */
static void test_let_sizes(void)
{
    DimTable *d = dims_new();
    Graph    *g = graph_new("let", d);
    Dim       k = dim_sym(d, intern("K"));
    int64_t   zero = 0, dim = k, three = 3;
    Ref       v = make_node(g, OP_var, DT_F32, 1, &k, 0, NULL, 1, &zero, 0);
    Ref       mean = b_binary(g, OP_div, b_sum_all(g, v), make_node(g, OP_size, DT_F32, 0, NULL, 0, NULL, 1, &dim, 0));
    Tensor    var = zeros(DT_F32, 1, &three), out = {0};
    Status    st = {0};
    for (int i = 0; i < 3; i++)
        tensor_set(&var, i, i + 1);
    CHECK(interpret(g, NULL, &var, NULL, &mean, 1, &out, &st) && tensor_get(&out, 0) == 2, "the mean: %s", st.message);
    tensor_free(&out);
    tensor_free(&var);
    st = (Status){0};
    expect_failure(interpret(g, NULL, &var, NULL, &v, 1, &out, &st), &st, "not known");
    graph_free(g);
    dims_free(d);
}

static void test_leaves(void)
{
    DimTable *d = dims_new();
    Graph    *g = graph_new("leaves", d);
    Dim       shape[2] = {dim_const(d, 3), dim_const(d, 4)};
    RunState  rs = {.rng = {.seed = 0x1234567890u, .step = 17}};
    rs.runtime[RT_PROGRESS] = 0.25;
    int64_t which = RT_PROGRESS, axis[2] = {0, 1}, free_stream[2] = {(int64_t)0x8000000100000005u, 0}, fixed_stream[2] = {9, 1};
    Ref     want[] = {make_node(g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, &which, 0), make_node(g, OP_iota, DT_I32, 2, shape, 0, NULL, 1, &axis[0], 0),
                      make_node(g, OP_iota, DT_I32, 2, shape, 0, NULL, 1, &axis[1], 0), make_node(g, OP_uniform, DT_F32, 2, shape, 0, NULL, 2, free_stream, 0),
                      make_node(g, OP_normal, DT_F32, 2, shape, 0, NULL, 2, fixed_stream, 0), b_const(g, DT_F32, 0.1)};
    Tensor  got[COUNT(want)];
    Status  st = {0};
    bool    ok = interpret(g, NULL, NULL, &rs, want, COUNT(want), got, &st);
    CHECK(ok, "%s", st.message);
    for (int64_t i = 0; ok && i < 12; i++) {
        CHECK(tensor_get(&got[1], i) == (double)(i / 4) && tensor_get(&got[2], i) == (double)(i % 4), "iota at %d", (int)i);
        CHECK(tensor_get(&got[3], i) == rng_uniform(rs.rng, 0x8000000100000005u, (uint64_t)i), "uniform at %d", (int)i);
        CHECK(tensor_get(&got[4], i) == rng_normal((Rng){0, 0}, 9, (uint64_t)i), "fixed normal at %d", (int)i);
    }
    CHECK(ok && tensor_get(&got[0], 0) == 0.25, "progress");
    CHECK(ok && tensor_get(&got[5], 0) == 0.1, "a constant is not rounded to f32");
    for (size_t i = 0; ok && i < COUNT(want); i++)
        tensor_free(&got[i]);
    graph_free(g);
    dims_free(d);
}

/* Mistakes that only show when running name the line of the op. */
static void test_failures(void)
{
    static const struct { OpCase c; double index; const char *part; } wrong[] = {
        {{"gather", "", "4,2; i1", NULL, NULL}, 4, "line 5: gather: index 4 is outside 0 to 3"},
        {{"gather", "", "4,2; i1", NULL, NULL}, -1, "line 5: gather: index -1 is outside 0 to 3"},
        {{"scatter_add", "", "1,2; i1", "4,2", NULL}, 9, "line 5: scatter_add: index 9 is outside 0 to 3"},
    };
    DimTable *d = dims_new();
    for (size_t i = 0; i < COUNT(wrong); i++) {
        Graph    *g = graph_new("wrong", d);
        CaseGraph cg;
        Tensor    in[2] = {0}, out = {0};
        Status    st = {0};
        g->loc = (Loc){.line = 5};
        CHECK(case_build(&wrong[i].c, g, &cg) && case_fill(g, 0, "ANY", 1, 1, &in[0]) && case_fill(g, 1, "ANY", 1, 1, &in[1]), "case %d", (int)i);
        tensor_set(&in[1], 0, wrong[i].index);
        expect_failure(interpret(g, in, NULL, NULL, &cg.result, 1, &out, &st), &st, wrong[i].part);
        tensor_free(&in[0]);
        tensor_free(&in[1]);
        graph_free(g);
    }
    /* A picture too small to be mirrored: only known when H is. */
    Graph  *g = graph_new("mirror", d);
    Dim     h = dim_sym(d, intern("H")), small[2] = {dim_const(d, 2), h}, grown[2] = {small[0], dim_add(d, h, dim_const(d, 6))};
    Ref     x = sym_input(g, "x", DT_F32, 2, small), out_ref;
    int64_t attrs[3] = {0, 3, MODE_REFLECT};
    out_ref = make_node(g, OP_pad, DT_F32, 2, grown, 1, &x, 3, attrs, 0);
    for (int64_t size = 3; size <= 4; size++) {
        int64_t shape[2] = {2, size};
        Tensor  in = zeros(DT_F32, 2, shape), out = {0};
        Status  st = {0};
        bool    ok = interpret(g, &in, NULL, NULL, &out_ref, 1, &out, &st);
        if (size == 3)
            expect_failure(ok, &st, "pad: axis 1: 3 elements cannot be mirrored by 3");
        else
            CHECK(ok, "%s", st.message);
        tensor_free(&in);
        tensor_free(&out);
    }
    graph_free(g);
    dims_free(d);
}

/* Sizes that go parallel: the same bits from 1, 2 and 5 threads. */
static void test_threads(void)
{
    static const OpCase big[] = {
        {"conv", "2 1 1 1 0 2 1 1 2", "3,8,33,40; 12,4,3,3", NULL, "ANY"},       {"conv_dx", "2 1 1 1 0 2 1 1 2", "3,12,17,40; 12,4,3,3", "3,8,33,40", "ANY"},
        {"conv_dw", "2 1 1 1 0 2 1 1 2", "3,8,33,40; 3,12,17,40", "12,4,3,3", "ANY"}, {"matmul", "1 1", "2,90,70; 2,600,90", NULL, "ANY"},
        {"resize_adjoint", "1 0", "4,8,50,50", "4,8,31,20", "ANY"},               {"win_unpick", "3 3 2 2 0 0 0 0", "4,8,40,40; 4,8,20,20", NULL, "ANY"},
        {"sum", "0 2", "40,30,60", NULL, "ANY"},                                  {"transpose", "2 0 1", "40,30,60", NULL, "ANY"},
        {"exp", "", "40,30,60", NULL, "ANY"},
    };
    static const int threads[] = {1, 2, 5};
    DimTable        *d = dims_new();
    int              before = omp_get_max_threads();
    for (size_t i = 0; i < COUNT(big); i++) {
        Graph    *g = graph_new("threads", d);
        CaseGraph cg;
        Tensor    in[2] = {0}, got[3] = {0};
        Status    st = {0};
        CHECK(case_build(&big[i], g, &cg), "%s", big[i].op);
        for (int k = 0; k < cg.nargs; k++)
            CHECK(case_fill(g, (uint32_t)k, "ANY", 1, i, &in[k]), "%s", big[i].op);
        for (int t = 0; t < 3; t++) {
            omp_set_num_threads(threads[t]);
            CHECK(interpret(g, in, NULL, NULL, &cg.result, 1, &got[t], &st), "%s: %s", big[i].op, st.message);
            CHECK(!memcmp(got[t].data, got[0].data, (size_t)tensor_count(&got[0]) * 8), "%s: %d threads give other bits", big[i].op, threads[t]);
        }
        for (int t = 0; t < 3; t++)
            tensor_free(&got[t]);
        tensor_free(&in[0]);
        tensor_free(&in[1]);
        graph_free(g);
    }
    omp_set_num_threads(before);
    dims_free(d);
}

static void test_tensors(void)
{
    Status  st = {0};
    Tensor  t = {0}, u = {0};
    int64_t shape[2] = {2, 3}, huge[3] = {1 << 30, 1 << 30, 1 << 30}, empty[2] = {0, 1 << 30};
    expect_failure(tensor_alloc(&t, DT_F32, 3, huge, &st), &st, "too large");
    st = (Status){0};
    CHECK(tensor_alloc(&t, DT_F64, 2, empty, &st) && tensor_count(&t) == 0, "an empty tensor: %s", st.message);
    tensor_free(&t);
    CHECK(tensor_alloc(&t, DT_F64, 2, shape, &st) && (uintptr_t)t.data % 64 == 0, "aligned");
    static const double from[6] = {-2.7, 3e9, -3e9, NAN, 0.5, 7};
    static const double ints[6] = {-2, 2147483647, -2147483648.0, 0, 0, 7};
    memcpy(t.data, from, sizeof from);
    CHECK(tensor_copy(&u, &t, DT_I32, &st), "%s", st.message);
    for (int i = 0; i < 6; i++)
        CHECK(tensor_get(&u, i) == ints[i], "%g as i32: %g", from[i], tensor_get(&u, i));
    CHECK(tensor_copy(&u, &u, DT_BOOL, &st) && u.dtype == DT_BOOL && tensor_get(&u, 0) == 1 && tensor_get(&u, 4) == 0, "to bool in place");
    tensor_free(&t);
    tensor_free(&u);
}

int main(void)
{
    test_tensors();
    test_fixtures();
    test_leaves();
    test_sizes();
    test_let_sizes();
    test_run();
    test_failures();
    test_threads();
    return check_done();
}
