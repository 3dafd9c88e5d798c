/* test_batch.c - an export whose batch is free: one item alone is computed by other algorithms than many where that is faster, all compiled when the program is made.
 *
 * The layer is the second of DCGAN's generator, whose weights are far larger transformed than as they are: with one small map there is nothing to share them among.
 */
#include "check.h"
#include "fuse.h"
#include "program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char layer[] =
    "graph \"up\"\ninput \"x\" : f32[N, 512, 4, 4]\n"
    "%1 = input(index: 0) : f32[N, 512, 4, 4]\n%2 = var(index: 0) : f32[512, 256, 4, 4]\n"
    "%3 = conv_dx(%1, %2, stride: [2, 2], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[N, 256, 8, 8]\noutput \"y\" %3\n";

static Tensor make(int64_t a, int64_t b, int64_t c, int64_t d, double scale, uint64_t seed)
{
    Tensor t = { 0 };
    Status st = { 0 };
    CHECK(tensor_alloc(&t, DT_F32, 4, (int64_t[4]){ a, b, c, d }, &st), "%s", st.message);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        tensor_set(&t, i, scale * rng_normal((Rng){ seed, 0 }, 9, (uint64_t)i));
    return t;
}

static Tensor pass(Program *p, int64_t n, Tensor *weights)
{
    Tensor   x = make(n, 512, 4, 4, 1, 5), y = { 0 };
    RunState rs = { .weights = 1 };
    Status   st = { 0 };
    CHECK(program_run(p, &x, weights, &rs, &y, NULL, &st), "%s", st.message);
    tensor_free(&x);
    return y;
}

/* The largest difference of a's first item from b's. */
static double apart(const Tensor *a, const Tensor *b)
{
    double most = 0;
    for (int64_t i = 0; i < 256 * 64; i++)
        most = fmax(most, fabs(tensor_get(a, i) - tensor_get(b, i)));
    return most;
}

static const ContractPlan *plan_of(const Program *p, const Fusion **f)
{
    *f = program_fusion(p);
    for (uint32_t i = 0; i < (*f)->kernels.n; i++)
        if ((*f)->kernels.at[i]->kind == FUSED_CONTRACT)
            return &(*f)->kernels.at[i]->plan;
    return NULL;
}

static void one_and_many(Graph *g, const char *cpu, bool exact)
{
    ExecOptions   o = { .threads = 2, .cpu = cpu, .exact = exact }, budget = { .threads = 2, .cpu = cpu, .memory_budget = 1 << 30 };
    Status        st = { 0 };
    const Fusion *f[4];
    Program      *p = program_new(NULL, g, &o, &st), *q = program_new(NULL, g, &budget, &st);
    Tensor        w = make(512, 256, 4, 4, 0.02, 1), y[4];
    CHECK(p && q, "%s", st.message);
    uint32_t compiled = program_facts(p).compiled;
    static const int64_t sizes[] = { 3, 1, 3, 1 };
    const ContractPlan  *plans[4];
    for (int i = 0; i < 4; i++) {
        y[i] = pass(p, sizes[i], &w);
        plans[i] = plan_of(p, &f[i]);
        CHECK(program_facts(p).arena >= 0 && program_facts(p).flops == sizes[i] * 2.0 * 512 * 256 * 16 * 16, "facts are those of the last pass");
    }
    CHECK(program_facts(p).compiled == compiled, "no pass compiles");
    CHECK(f[0] == f[2] && f[1] == f[3] && (f[0] == f[1]) == exact, "%s: %s algorithms for one and many", cpu, f[0] == f[1] ? "the same" : "different");
    CHECK(exact || memcmp(plans[0]->variant, plans[1]->variant, sizeof plans[0]->variant), "%s: the same kernel", cpu);
    CHECK(apart(&y[0], &y[2]) == 0 && apart(&y[1], &y[3]) == 0, "%s: the same again", cpu);
    CHECK(apart(&y[0], &y[1]) < (exact ? 1e-12 : 1e-4), "%s: an item alone is %g apart", cpu, apart(&y[0], &y[1]));
    Tensor z = pass(q, 1, &w);
    CHECK(apart(&z, &y[1]) < 1e-4, "%s: with a budget of memory", cpu);
    tensor_free(&z);
    program_measure(p, false);
    z = pass(p, 1, &w);
    Text         table = { 0 };
    MachineRates rates = { .peak_gflops = 1 };
    program_profile(p, &rates, &table);
    CHECK(table.n && strstr(table.at, "conv_dx"), "what one item takes is measured");
    text_free(&table);
    tensor_free(&z);
    for (int i = 0; i < 4; i++)
        tensor_free(&y[i]);
    tensor_free(&w);
    program_free(p);
    program_free(q);
}

int main(void)
{
    DimTable *dims = dims_new();
    char      why[512];
    Graph    *g = graph_parse(layer, dims, why, sizeof why);
    CHECK(g, "%s", why);
    static const char *const isas[] = { "avx512", "avx2" };
    for (size_t i = 0; i < COUNT(isas); i++) {
        Target t;
        if (!target_detect(isas[i], &t, NULL)) {
            printf("%s: skipped, this machine has no such instructions\n", isas[i]);
            continue;
        }
        one_and_many(g, isas[i], false);
        one_and_many(g, isas[i], true);
    }
    graph_free(g);
    dims_free(dims);
    return check_done();
}
