/* test_native.c - native code against the float64 interpreter: every op row, sizes around the vector width, random graphs with gradients.
 *
 * Each case runs on every instruction set of this machine (under the sanitizers on one, in turn) with 1, 2 and 4 threads, whose results must be the same
 * bits. Run it with the name of
 * an op, or "random SEED", to see one case alone; DUMP=fused|llvm|asm prints its kernels, PASSES=-fuse switches
 * passes off, NODES=1 makes every node of a random graph an output.
 */
#include "check.h"
#include "op_cases.h"
#include "random_graph.h"

#include "fuse.h"

static const char *const isas[] = { "avx512", "avx2", "baseline" };

/* ---- sizes beyond op_cases.h: around the vector widths, blocked channels, empty tensors ---- */
static const OpCase more_cases[] = {
    { "add", "", "0; 0", NULL, "ANY" },
    { "add", "", "1; 1", NULL, "ANY" },
    { "exp", "", "3", NULL, "ANY" },
    { "exp", "", "7", NULL, "ANY" },
    { "exp", "", "8", NULL, "ANY" },
    { "exp", "", "9", NULL, "ANY" },
    { "tanh", "", "15", NULL, "ANY" },
    { "tanh", "", "16", NULL, "ANY" },
    { "tanh", "", "17", NULL, "ANY" },
    { "mul", "", "33,5; 33,5", NULL, "ANY" },
    { "mul", "", "3,20001; 3,20001", NULL, "ANY" },
    { "sum", "0", "0", NULL, "ANY" },
    { "sum", "0", "0,3", NULL, "ANY" },
    { "sum", "1", "3,0", NULL, "ANY" },
    { "sum", "0", "100000", NULL, "ANY" },
    { "sum", "0", "40003,3", NULL, "ANY" },
    { "sum", "1", "3,40003", NULL, "ANY" },
    { "sum", "0", "33,17", NULL, "ANY" },
    { "sum", "1", "33,17", NULL, "ANY" },
    { "sum", "0 2", "9,17,31", NULL, "ANY" },
    { "sum", "1", "9,17,31", NULL, "ANY" },
    { "sum", "0 2 3", "3,16,5,7", NULL, "ANY" },
    { "sum", "0 2 3", "2,19,40,50", NULL, "ANY" },
    { "sum", "2 3", "2,19,40,50", NULL, "ANY" },
    { "sum", "2 3", "2,3,90,101", NULL, "ANY" },
    { "sum", "1", "2,19,6,5", NULL, "ANY" },
    { "sum", "1 2 3", "2,19,6,5", NULL, "ANY" },
    { "sum", "0 1 2 3", "2,19,46,35", NULL, "ANY" },
    { "amax", "0", "70001", NULL, "NOTIE" },
    { "amax", "1 3", "2,19,6,5", NULL, "NOTIE" },
    { "amax", "0 2 3", "2,19,6,5", NULL, "NOTIE" },
    { "amax", "1", "9,17", NULL, "NOTIE" },
    { "argmax", "1", "9,17", NULL, "NOTIE" },
    { "argmax", "1", "2,19,6,5", NULL, "NOTIE" },
    { "reshape", "", "2,19,4,4", "2,304", NULL },
    { "reshape", "", "2,304", "2,19,4,4", NULL },
    { "reshape", "", "2,19,4,4", "2,19,16", NULL },
    { "reshape", "", "0,4", "2,0", NULL },
    { "transpose", "0 2 3 1", "2,19,4,5", NULL, NULL },
    { "transpose", "0 3 1 2", "2,4,5,19", NULL, NULL },
    { "transpose", "1 0", "33,17", NULL, NULL },
    { "broadcast", "", "2,19,1,1", "2,19,4,5", NULL },
    { "broadcast", "", "1,1,4,1", "2,19,4,5", NULL },
    { "slice", "0 3 1 0 1 2 1 1", "2,40,4,5", "2,17,3,5", NULL },
    { "slice", "0 16 1 0 1 1 1 1", "2,48,4,5", "2,16,3,5", NULL },
    { "place", "0 3 1 0 1 2 2 1", "2,17,3,5", "2,40,8,5", NULL },
    { "place", "0 0 1 2 1 1 1 1", "2,17,3,5", "2,17,6,8", NULL },
    { "place", "0 0 1 2 1 1 1 1", "2,17,3,45", "2,17,6,50", NULL },
    { "place", "0 0 1 44 1 1 1 -1", "2,3,3,41", "2,3,6,50", NULL },
    { "concat", "1", "3,40; 3,50; 3,7", NULL, NULL },
    { "pad", "0 0 2 3 0", "2,17,6,5", "2,17,10,11", NULL },
    { "pad", "0 0 2 3 0", "2,3,6,25", "2,3,10,31", NULL },
    { "pad", "0 0 2 3 0", "2,3,6,77", "2,3,10,83", NULL },
    { "pad", "0 0 2 3 1", "2,3,6,77", "2,3,10,83", NULL },
    { "pad", "0 0 2 3 1", "2,17,6,45", "2,17,10,51", NULL },
    { "pad", "2 3 0", "2001,3199", "2005,3205", NULL },    /* stored past the caches, rows at any address */
    { "pad_adjoint", "0 0 2 3 0", "2,17,10,11", "2,17,6,5", NULL },
    { "pad_adjoint", "0 0 2 3 1", "2,17,10,11", "2,17,6,5", NULL },
    { "pad_adjoint", "0 0 2 3 0", "2,17,10,51", "2,17,6,45", NULL },
    { "pad_adjoint", "0 0 2 3 1", "2,3,10,83", "2,3,6,77", NULL },
    { "concat", "1", "2,16,3,5; 2,32,3,5; 2,16,3,5", NULL, NULL },
    { "concat", "1", "2,16,3,5; 2,3,3,5; 2,17,3,5; 2,1,3,5", NULL, NULL },
    { "concat", "0", "17; 1; 0; 40", NULL, NULL },
    { "concat", "1", "3,17; 3,5; 3,9; 3,20", NULL, NULL },
    { "resize", "0 0", "2,17,5,4", "2,17,10,8", NULL },
    { "resize", "1 0", "2,17,5,4", "2,17,10,8", NULL },
    { "resize", "1 0", "2,17,5,4", "2,17,7,9", NULL },
    { "resize", "1 1", "2,3,15,14", "2,3,7,29", NULL },
    { "resize_adjoint", "0 0", "2,17,10,8", "2,17,5,4", NULL },
    { "resize_adjoint", "1 0", "2,17,10,8", "2,17,5,4", NULL },
    { "resize_adjoint", "1 0", "2,17,7,9", "2,17,5,4", NULL },
    { "resize_adjoint", "1 1", "2,3,7,9", "2,3,15,4", NULL },
    { "matmul", "0 0", "17,33; 33,15", NULL, NULL },
    { "matmul", "1 0", "700,5; 700,16", NULL, NULL },
    { "matmul", "0 1", "3,17,40; 3,31,40", NULL, NULL },
    { "conv", "1 1  1 1 1 1  1 1  1", "2,17,7,9; 33,17,3,3", NULL, NULL },
    { "conv", "2 2  1 1 1 1  1 1  1", "2,16,8,8; 32,16,4,4", NULL, NULL },
    { "conv", "1 1  4 4 4 4  1 1  1", "1,3,19,18; 16,3,9,9", NULL, NULL },
    { "conv", "1 1  4 4 4 4  1 1  1", "1,16,19,18; 3,16,9,9", NULL, NULL },
    { "conv_dx", "2 2  1 1 1 1  1 1  1", "2,32,4,4; 32,16,4,4", "2,16,8,8", NULL },
    { "conv_dx", "1 1  0 0 0 0  1 1  1", "2,100,1,1; 100,32,4,4", "2,32,4,4", NULL },
    { "conv_dw", "1 1  1 1 1 1  1 1  1", "2,17,7,9; 2,33,7,9", "33,17,3,3", NULL },
    { "conv_dw", "2 2  1 1 1 1  1 1  1", "2,16,8,8; 2,32,4,4", "32,16,4,4", NULL },
    { "win_sum", "3 3  2 2  1 1 1 1", "2,17,9,8", "2,17,5,4", NULL },
    { "win_sum", "9 8  9 8  0 0 0 0", "2,17,9,8", "2,17,1,1", NULL },
    { "win_sum_adjoint", "3 3  2 2  1 1 1 1", "2,17,5,4", "2,17,9,8", NULL },
    { "win_max", "2 2  2 2  0 0 0 0", "2,17,10,8", "2,17,5,4", NULL },
    { "win_pick", "3 3  2 2  1 1 1 1", "2,17,9,8; 2,17,9,8", "2,17,5,4", NULL },
    { "win_unpick", "2 2  2 2  0 0 0 0", "2,17,10,8; 2,17,5,4", NULL, NULL },
    { "win_unpick", "3 3  2 2  1 1 1 1", "2,17,9,8; 2,17,5,4", NULL, NULL },
    { "win_unpick", "2 2  2 2  0 0 0 0", "2,3,10,70; 2,3,5,35", NULL, NULL },
    { "win_unpick", "3 3  2 2  1 1 1 1", "2,17,9,41; 2,17,5,21", NULL, NULL },
    { "win_sum_adjoint", "3 3  1 1  1 1 1 1", "2,3,9,41", "2,3,9,41", NULL },
    { "gather", "", "9,17,5; i6", NULL, "ANY" },
    { "scatter_add", "", "6,17,5; i6", "9,17,5", "ANY" },
};

/* ---- running ---- */

/* PASSES=-fuse,-layout: the same with passes switched off. */
static Passes passes_off(void)
{
    const char *text = getenv("PASSES");
    Passes      off = 0;
    Status      st = { 0 };
    CHECK(!text || passes_parse(text, &off, &st), "%s", st.message);
    return off;
}

static void print_dump(Graph *g, const char *isa)
{
    const char *stage = getenv("DUMP");
    Text        t = { 0 };
    Status      st = { 0 };
    if (!stage)
        return;
    ExecOptions o = { .cpu = isa, .off = passes_off() };
    CHECK(program_dump(NULL, g, &o, stage, &t, &st), "%s", st.message);
    puts(t.at ? t.at : "(nothing)");
    text_free(&t);
}

/* Worst error of got against want in units of the tolerance: 1e-5 of the value, and of the largest value of the tensor. */
static double worst_error(const Tensor *want, const Tensor *got, double tol)
{
    double  largest = 0, worst = 0;
    int64_t n = tensor_count(want);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(tensor_get(want, i)));
    for (int64_t i = 0; i < n; i++) {
        double a = tensor_get(want, i), b = tensor_get(got, i);
        if (isnan(a) && isnan(b))
            continue;
        double e = a == b ? 0 : fabs(a - b) / (tol * (fabs(a) + 0.1 * largest + 1e-6));
        worst = isnan(e) ? INFINITY : fmax(worst, e);
    }
    return worst;
}

static void free_all(Tensor *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tensor_free(&t[i]);
    free(t);
}

/* Runs g natively on all instruction sets and thread counts; want: the interpreter's outputs; moved: further tolerance by output, or NULL. */
static void check_native(Graph *g, const Tensor *inputs, const Tensor *want, double tol, const double *moved, const char *name)
{
    static int turn;
    uint32_t   n = g->outputs.n;
    RunState   rs = { .runtime = { 7, 2, 0.25, 100, 7 }, .rng = { 1234567890123u, 7 } };
    Tensor    *first = xmalloc(n * sizeof *first);
    for (size_t k = 0; k < COUNT(isas); k++) {
        Status st = { 0 };
        Target t;
        if (!target_detect(isas[k], &t, &st) || left_out((int)k + turn, COUNT(isas)))
            continue;
        print_dump(g, isas[k]);
        for (int threads = 1; threads <= 4; threads *= 2) {
            ExecOptions o = { .cpu = isas[k], .threads = threads, .off = passes_off() };
            Tensor     *got = xmalloc(n * sizeof *got);
            st = (Status){ 0 };
            plan_guard = threads == 2 ? 128 : 0;           /* buffers apart, full of NaN, with gaps that must not be touched */
            Program *p = program_new(NULL, g, &o, &st);
            CHECK(p, "%s on %s: %s", name, isas[k], st.message);
            bool ok = p && program_run(p, inputs, NULL, &rs, got, NULL, &st);
            CHECK(ok, "%s on %s: %s", name, isas[k], st.message);
            for (uint32_t i = 0; i < n && ok; i++) {
                double worst = worst_error(&want[i], &got[i], tol + (moved ? 20 * moved[i] : 0));
                if (threads == 1)
                    CHECK(worst <= 1, "%s on %s: output %u (%s) is off by %g tolerances", name, isas[k], i, g->outputs.at[i].name, worst);
                else
                    CHECK(memcmp(first[i].data, got[i].data, (size_t)tensor_count(&got[i]) * dtype_size(got[i].dtype)) == 0,
                          "%s on %s: output %u differs between 1 and %d threads", name, isas[k], i, threads);
                if (threads == 1) {
                    tensor_free(&first[i]);
                    first[i] = got[i];
                    got[i] = (Tensor){ 0 };
                }
            }
            free_all(got, n);
            program_free(p);
        }
    }
    turn++;
    free_all(first, n);
}

static void add_output(Graph *g, const char *name, Ref r)
{
    GraphOutput o = { .name = name, .value = r };
    vec_push(&g->outputs, o);
}

static void interpret_all(Graph *g, const Tensor *inputs, Tensor *want)
{
    Status   st = { 0 };
    RunState rs = { .runtime = { 7, 2, 0.25, 100, 7 }, .rng = { 1234567890123u, 7 } };
    Ref     *refs = xmalloc(g->outputs.n * sizeof *refs);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        refs[i] = g->outputs.at[i].value;
    CHECK(interpret(g, inputs, NULL, &rs, refs, g->outputs.n, want, &st), "%s", st.message);
    free(refs);
}

/* ---- every row ---- */

static void check_case(const OpCase *c)
{
    DimTable *dims = dims_new();
    Graph    *g = graph_new("case", dims);
    CaseGraph cg;
    char      name[256];
    snprintf(name, sizeof name, "%s(%s) of %s", c->op, c->attrs, c->shapes);
    if (!case_build(c, g, &cg)) {
        CHECK(false, "%s: cannot be built", name);
        return;
    }
    add_output(g, "y", cg.result);
    if (node(g, cg.result)->dtype == DT_F64) {             /* the reference backend's alone, and it says so */
        Status      st = { 0 };
        ExecOptions o = { .threads = 1 };
        CHECK(!program_new(NULL, g, &o, &st) && strstr(st.message, "--backend reference"), "%s: '%s'", name, st.message);
        graph_free(g);
        dims_free(dims);
        return;
    }
    const char *domain = c->domain ? c->domain : op_info[cg.op].test;
    Tensor      inputs[CASE_MAX_ARGS] = { 0 }, want[1] = { 0 };
    int64_t     m = 1;
    Ref         table = cg.op == OP_scatter_add ? cg.result : cg.args[0];
    if (node(g, table)->rank)
        dim_is_const(dims, node_shape(g, table)[0], &m);
    for (int i = 0; i < cg.nargs; i++) {
        Status st = { 0 };
        case_fill(g, (uint32_t)i, domain, m, 11, &inputs[i]);
        if (inputs[i].dtype == DT_F64)
            tensor_copy(&inputs[i], &inputs[i], DT_F32, &st);
    }
    interpret_all(g, inputs, want);
    check_native(g, inputs, want, 1e-5, NULL, name);
    tensor_free(&want[0]);
    for (int i = 0; i < cg.nargs; i++)
        tensor_free(&inputs[i]);
    graph_free(g);
    dims_free(dims);
}

static void check_cases(const char *only)
{
    OpCase *cases = xmalloc(512 * sizeof *cases);
    int     n = list_cases(cases, 512);
    for (int i = 0; i < n; i++)
        if (!only || !strcmp(only, cases[i].op))
            check_case(&cases[i]);
    for (size_t i = 0; i < COUNT(more_cases); i++)
        if (!only || !strcmp(only, more_cases[i].op))
            check_case(&more_cases[i]);
    free(cases);
}

/* ---- random graphs ---- */

/* g with every number off by up to a unit of the last place of f32, at random: its outputs move by what f32 can be expected to do. */
static Graph *noisy_graph(Graph *g)
{
    Graph *t = graph_new("noisy", g->dims);
    Ref   *map = xmalloc(g->nodes.n * sizeof *map);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        vec_push(&t->inputs, g->inputs.at[i]);
    for (Ref r = 1; r < g->nodes.n; r++) {
        const Node *n = node(g, r);
        Ref         args[64];
        bool        given = op_info[n->op].flags & FLAG_SHAPE_GIVEN;
        for (int i = 0; i < n->nargs && i < 64; i++)
            args[i] = map[node_arg(g, r, i)];
        const Dim  *shape = given ? node_shape(g, r) : NULL;
        Ref         c = make_node(t, (Op)n->op, (Dtype)n->dtype, given ? n->rank : 0, shape, n->nargs, args, n->nattrs, node_attrs(g, r), n->value);
        if (n->dtype == DT_F32 && n->op != OP_const && op_info[n->op].class != CLASS_MOVE) {
            const int64_t stream[2] = { r, 0 };
            Ref           u = make_node(t, OP_uniform, DT_F32, n->rank, node_shape(g, r), 0, NULL, 2, stream, 0);
            Ref           off = b_binary(t, OP_mul, b_binary(t, OP_sub, u, b_const(t, DT_F32, 0.5)), b_const(t, DT_F32, 2.4e-7));
            c = b_binary(t, OP_add, c, b_binary(t, OP_mul, c, off));
        }
        map[r] = c;
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        GraphOutput o = g->outputs.at[i];
        o.value = map[o.value];
        vec_push(&t->outputs, o);
    }
    free(map);
    return t;
}

static void sensitivity(Graph *g, const Tensor *inputs, const Tensor *want, double *moved)
{
    Graph  *noisy = noisy_graph(g);
    Tensor *near = xmalloc((g->outputs.n + 1) * sizeof *near);
    interpret_all(noisy, inputs, near);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        moved[i] = worst_error(&want[i], &near[i], 1);
    free_all(near, g->outputs.n);
    graph_free(noisy);
}

static void check_random(uint64_t seed, int nops, int order, bool symbolic)
{
    DimTable   *dims = dims_new();
    RandomGraph rg;
    char        name[64];
    random_graph(&rg, dims, seed, (RandomGraphOptions){ .nops = nops, .order = order, .symbolic = symbolic, .smooth = true });
    snprintf(name, sizeof name, "random graph %llu", (unsigned long long)seed);
    if (getenv("NODES")) {                 /* every node an output: where does it begin? */
        rg.g->outputs.n = 0;
        for (Ref r = 1; r < rg.g->nodes.n; r++)
            add_output(rg.g, op_info[node(rg.g, r)->op].name, r);
        Text t = { 0 };
        graph_print(rg.g, NULL, &t);
        puts(t.at);
        text_free(&t);
    }
    Tensor *want = xmalloc((rg.g->outputs.n + 1) * sizeof *want);
    interpret_all(rg.g, rg.inputs, want);
    double *moved = xmalloc((rg.g->outputs.n + 1) * sizeof *moved);
    sensitivity(rg.g, rg.inputs, want, moved);
    check_native(rg.g, rg.inputs, want, 1e-4, moved, name);
    free(moved);
    free_all(want, rg.g->outputs.n);
    random_graph_free(&rg);
    dims_free(dims);
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "random")) {
        uint64_t seed = strtoull(argv[2], NULL, 10);
        check_random(seed, 12 + (int)(seed % 12), (int)(seed % 3), seed % 2);
        return check_done();
    }
    check_cases(argc > 1 ? argv[1] : NULL);
    for (uint64_t seed = 1; seed <= 30 && argc == 1; seed++)
        check_random(seed, 12 + (int)(seed % 12), (int)(seed % 3), seed % 2);
    return check_done();
}
