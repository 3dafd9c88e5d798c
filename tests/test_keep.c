/* test_keep.c - what depends on weights only is computed when weights change, and only then (compiler/fuse_keep.c).
 *
 * A program told that weights are as before must not look at them; told otherwise, it must. Sizes may change in between. Through the public interface nothing is told
 * by the caller: there, setting a weight and a step that trains have to be seen.
 */
#include "check.h"
#include "fuse.h"
#include "pastiche.h"
#include "program.h"

#include <stdlib.h>
#include <string.h>

static const char export_text[] =
    "graph \"look\"\ninput \"x\" : f32[N, 16, H, H]\n"
    "%1 = input(index: 0) : f32[N, 16, H, H]\n%2 = var(index: 0) : f32[32, 16, 3, 3]\n%3 = mul(%2, %2) : f32[32, 16, 3, 3]\n"
    "%4 = sum(%3, axes: [0, 1, 2, 3]) : f32[1, 1, 1, 1]\n%5 = size(dim: H) : f32[]\n%6 = broadcast(%5) : f32[1, 1, 1, 1]\n%7 = add(%4, %6) : f32[1, 1, 1, 1]\n"
    "%8 = rsqrt(%7) : f32[1, 1, 1, 1]\n%9 = broadcast(%8) : f32[32, 16, 3, 3]\n%10 = mul(%2, %9) : f32[32, 16, 3, 3]\n"
    "%11 = conv(%1, %10, stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[N, 32, H, H]\noutput \"y\" %11\n";

static void fill(Tensor *t, uint64_t seed)
{
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_set(t, i, rng_normal((Rng){ seed, 0 }, 9, (uint64_t)i));
}

static Tensor make(const int64_t *shape, uint64_t seed)
{
    Tensor t = { 0 };
    Status st = { 0 };
    CHECK(tensor_alloc(&t, DT_F32, 4, shape, &st), "%s", st.message);
    fill(&t, seed);
    return t;
}

static Tensor run(Program *p, int64_t n, int64_t side, Tensor *var, uint64_t weights)
{
    Tensor   x = make((int64_t[4]){ n, 16, side, side }, 5), y = { 0 };
    RunState rs = { .weights = weights };
    Status   st = { 0 };
    CHECK(program_run(p, &x, var, &rs, &y, NULL, &st), "%s", st.message);
    tensor_free(&x);
    return y;
}

static bool same(Tensor *a, Tensor *b)
{
    bool equal = tensor_count(a) == tensor_count(b) && !memcmp(a->data, b->data, (size_t)tensor_count(a) * 4);
    tensor_free(a);
    tensor_free(b);
    return equal;
}

/* What p gives beside what a program gives that keeps nothing. */
static bool as_fresh(Program *p, Graph *g, int64_t n, int64_t side, Tensor *var, uint64_t weights, bool always)
{
    ExecOptions o = { .threads = 2, .off = (Passes)1 << PASS_keep, .winograd_always = always };
    Status      st = { 0 };
    Program    *q = program_new(NULL, g, &o, &st);
    CHECK(q, "%s", st.message);
    Tensor a = run(p, n, side, var, weights), b = run(q, n, side, var, 0);
    program_free(q);
    return same(&a, &b);
}

static uint32_t constants(const Graph *g, const ExecOptions *o)
{
    Target   t;
    Status   st = { 0 };
    uint32_t n = 0;
    Graph   *c = native_target(o, &t, &st) ? native_graph(NULL, g, o, NULL, &t, &st) : NULL;
    Fusion  *f = c ? fuse(c, &t, &st) : NULL;
    CHECK(f, "%s", st.message);
    for (uint32_t i = 0; f && i < f->kernels.n; i++)
        n += f->kernels.at[i]->constant;
    fusion_free(f);
    graph_free(c);
    return n;
}

static void test_program(bool always)
{
    DimTable   *dims = dims_new();
    char        why[512];
    Graph      *g = graph_parse(export_text, dims, why, sizeof why);
    ExecOptions o = { .threads = 2, .winograd_always = always }, off = { .off = (Passes)1 << PASS_keep };
    Status      st = { 0 };
    CHECK(g, "%s", why);
    ExecOptions tight = { .memory_budget = 1 << 30 };
    CHECK(constants(g, &tight) == 0, "with a budget of memory nothing stands beside the arena");
    CHECK(constants(g, &o) >= 2 && constants(g, &off) == 0, "%u kernels are constant, %u with -keep", constants(g, &o), constants(g, &off));
    Program *p = program_new(NULL, g, &o, &st);
    Tensor   w = make((int64_t[4]){ 32, 16, 3, 3 }, 1);
    CHECK(as_fresh(p, g, 2, 9, &w, 7, always), "the first pass");
    CHECK(as_fresh(p, g, 2, 9, &w, 7, always), "the second takes what is kept");
    CHECK(as_fresh(p, g, 3, 9, &w, 7, always), "another batch");
    CHECK(as_fresh(p, g, 2, 13, &w, 7, always), "another size, which the weights' scale depends on");
    fill(&w, 2);
    CHECK(!as_fresh(p, g, 2, 13, &w, 7, always), "told that nothing changed, it does not look");
    CHECK(as_fresh(p, g, 2, 13, &w, 8, always), "told that weights changed, it does");
    fill(&w, 3);
    CHECK(as_fresh(p, g, 2, 13, &w, 0, always) && as_fresh(p, g, 2, 13, &w, 0, always), "told nothing, it does");
    CHECK(as_fresh(p, g, 2, 13, &w, 8, always), "and what was computed then is not taken for that of number 8");
    program_free(p);
    tensor_free(&w);
    graph_free(g);
    dims_free(dims);
}

/* A step: y = conv(conv(x, trained), frozen), trained := tanh(trained). What it makes of the frozen weights is kept, of the others never. */
static const char step_text[] =
    "graph \"fit\"\ninput \"x\" : f32[N, 16, H, H]\n"
    "%1 = input(index: 0) : f32[N, 16, H, H]\n%2 = var(index: 0) : f32[16, 16, 3, 3]\n%3 = var(index: 1) : f32[16, 16, 3, 3]\n"
    "%4 = conv(%1, %2, stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[N, 16, H, H]\n"
    "%5 = conv(%4, %3, stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[N, 16, H, H]\n"
    "%6 = tanh(%2) : f32[16, 16, 3, 3]\noutput \"y\" %5\nwrite 0 %6\n";

static Tensor fit(Program *p, Tensor *vars, uint64_t frozen)
{
    Tensor   x = make((int64_t[4]){ 2, 16, 9, 9 }, 5), y = { 0 };
    RunState rs = { .frozen = frozen };
    Status   st = { 0 };
    CHECK(program_run(p, &x, vars, &rs, &y, NULL, &st), "%s", st.message);
    tensor_free(&x);
    return y;
}

static void test_step(bool always)
{
    DimTable   *dims = dims_new();
    char        why[512];
    Graph      *g = graph_parse(step_text, dims, why, sizeof why);
    ExecOptions o = { .threads = 2, .winograd_always = always }, off = { .threads = 2, .off = (Passes)1 << PASS_keep, .winograd_always = always };
    Status      st = { 0 };
    CHECK(g, "%s", why);
    CHECK(constants(g, &o) == 1, "%u kernels are constant: the frozen weights' packing is", constants(g, &o));
    Program *p = program_new(NULL, g, &o, &st), *q = program_new(NULL, g, &off, &st);
    Tensor   vars[2] = { make((int64_t[4]){ 16, 16, 3, 3 }, 1), make((int64_t[4]){ 16, 16, 3, 3 }, 2) }, theirs[2] = { { 0 } };
    CHECK(p && q && tensor_copy(&theirs[0], &vars[0], DT_F32, &st) && tensor_copy(&theirs[1], &vars[1], DT_F32, &st), "%s", st.message);
    for (int pass = 0; pass < 5; pass++) {         /* 3: the frozen weights change, and nobody says so; 4: somebody does */
        if (pass == 3)
            fill(&vars[1], 3), fill(&theirs[1], 3);
        Tensor a = fit(p, vars, pass == 4 ? 8 : 7), b = fit(q, theirs, 0);
        CHECK(same(&a, &b) == (pass != 3), "pass %d", pass);
    }
    for (int i = 0; i < 2; i++)
        tensor_free(&vars[i]), tensor_free(&theirs[i]);
    program_free(p);
    program_free(q);
    graph_free(g);
    dims_free(dims);
}

/* ---- through include/pastiche.h ---- */

static pastiche_tensor look(pastiche_program *p)
{
    static float    x[2 * 4 * 7 * 6];
    pastiche_tensor in = { .dtype = PASTICHE_F32, .rank = 4, .shape = { 2, 4, 7, 6 }, .data = x }, out = { 0 };
    for (size_t i = 0; i < COUNT(x); i++)
        x[i] = (float)rng_normal((Rng){ 1, 0 }, 3, i);
    CHECK(pastiche_run(p, &in, 1, &out), "run");
    return out;
}

static bool equal(pastiche_tensor *a, pastiche_tensor *b)
{
    bool same_bits = !memcmp(a->data, b->data, sizeof(float) * 2 * 8 * 7 * 6);
    free(b->data);
    b->data = NULL;
    return same_bits;
}

static void test_api(void)
{
    char             *text = NULL;
    pastiche_model   *m = pastiche_load(SOURCE_DIR "/examples/one_layer.graph", NULL, &text);
    CHECK(m, "%s", text);
    pastiche_program *p = pastiche_compile(m, "look"), *fit = pastiche_compile(m, "fit");
    CHECK(p && fit, "%s", pastiche_error(m));
    pastiche_tensor first = look(p), again = look(p), w = { 0 };
    CHECK(equal(&first, &again), "the same weights, the same picture");
    CHECK(pastiche_get(m, "T.weight", &w), "%s", pastiche_error(m));
    ((float *)w.data)[3] += 1;
    CHECK(pastiche_set(m, "T.weight", &w), "%s", pastiche_error(m));
    again = look(p);
    CHECK(!equal(&first, &again), "a weight that was set is seen");
    ((float *)w.data)[3] -= 1;
    CHECK(pastiche_set(m, "T.weight", &w), "%s", pastiche_error(m));
    again = look(p);
    static float    x[2 * 4 * 5 * 5];
    pastiche_tensor in = { .dtype = PASTICHE_F32, .rank = 4, .shape = { 2, 4, 5, 5 }, .data = x }, none = { 0 };
    for (size_t i = 0; i < COUNT(x); i++)
        x[i] = (float)rng_normal((Rng){ 2, 0 }, 3, i);
    CHECK(pastiche_run(fit, &in, 1, &none), "%s", pastiche_error(m));
    free(none.data);
    pastiche_tensor trained = look(p);
    CHECK(!equal(&again, &trained), "a step that trained is seen");
    free(again.data);
    free(first.data);
    free(w.data);
    free(text);
    pastiche_free(m);
}

int main(void)
{
    test_program(false);
    test_program(true);
    test_step(false);
    test_step(true);
    test_api();
    return check_done();
}
