/* test_steer.c - pragmas before statements steer kernels and nothing else: the number of kernels changes as it should, results are the interpreter's,
 * and what cannot be had is an error with the pragma's line and the reason.
 */
#include "check.h"
#include "fuse.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/pastiche_steer.XXXXXX";

typedef struct { uint32_t kernels; uint64_t bits; Status st; Text fused; } Outcome;     /* bits: a hash of the result */

static void write_graph(char *path, size_t size, const char *body)
{
    snprintf(path, size, "%s/a.graph", folder);
    FILE *f = fopen(path, "w");
    CHECK(f, "%s", path);
    fputs(body, f);
    fclose(f);
}

static double distance(const Tensor *a, const Tensor *b)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < tensor_count(b); i++) {
        double d = tensor_get(a, i) - tensor_get(b, i);
        diff += d * d;
        norm += tensor_get(b, i) * tensor_get(b, i);
    }
    return tensor_count(a) == tensor_count(b) ? sqrt(diff / (norm + 1e-30)) : INFINITY;
}

/* Runs export f of the text on a picture of c channels, natively and by the interpreter. */
static Outcome run(const char *body, int64_t c, const char *cpu)
{
    char           path[256];
    Outcome        o = { 0 };
    SessionOptions so = { .exec = { .backend = BACKEND_REFERENCE } };
    Session        s;
    Status         st = { 0 };
    Text           errors = { 0 };
    write_graph(path, sizeof path, body);
    bool ok = session_open(&s, path, &so, &st);
    diags_print(&s.diags, &errors);
    CHECK(ok, "%s%s", st.message, errors.n ? errors.at : "");
    text_free(&errors);
    Graph *g = ok ? session_find_graph(&s, "f", &st) : NULL;
    if (!g || !session_prepare_random(&s, g, &st)) {
        CHECK(!ok, "%s", st.message);
        session_close(&s);
        return o;
    }
    const int64_t shape[4] = { 2, c, 11, 9 };
    Tensor        x = { 0 }, got = { 0 }, want = { 0 }, *vars = xmalloc((s.model->vars.n + 1) * sizeof *vars);
    const RunState now = { .rng = { 42, 3 } };
    CHECK(tensor_alloc(&x, DT_F32, 4, shape, &st), "%s", st.message);
    for (int64_t k = 0; k < tensor_count(&x); k++)
        tensor_set(&x, k, (double)(float)rng_normal((Rng){ 5, 0 }, 9, (uint64_t)k));
    for (uint32_t i = 0; i < s.model->vars.n; i++)
        if (s.vars[i].data)
            tensor_copy(&vars[i], &s.vars[i], DT_F32, &st);
    ExecOptions exec = { .cpu = cpu, .threads = 2 };
    Program    *p = program_new(s.model, g, &exec, &o.st), *q = program_new(s.model, g, &so.exec, &st);
    if (p) {
        CHECK(program_run(p, &x, vars, &now, &got, NULL, &st) && program_run(q, &x, s.vars, &now, &want, NULL, &st), "%s", st.message);
        CHECK(distance(&got, &want) <= 1e-5, "off by %g on %s:\n%s", distance(&got, &want), cpu ? cpu : "this machine", body);
        o.kernels = program_facts(p).kernels;
        o.bits = hash_bytes(got.data, (size_t)tensor_count(&got) * 4, 1);
        CHECK(program_dump(s.model, g, &exec, "fused", &o.fused, &st), "%s", st.message);
    }
    program_free(p);
    program_free(q);
    tensor_free(&x);
    tensor_free(&got);
    tensor_free(&want);
    for (uint32_t i = 0; i < s.model->vars.n; i++)
        tensor_free(&vars[i]);
    free(vars);
    session_close(&s);
    return o;
}

static Outcome run_with(const char *format, const char *pragma, int64_t c, const char *cpu)
{
    char body[4096];
    snprintf(body, sizeof body, format, pragma);
    return run(body, c, cpu);
}

static uint32_t kernels_of(Outcome o)
{
    CHECK(!o.st.failed, "%s", o.st.message);
    text_free(&o.fused);
    return o.kernels;
}

static void refused(Outcome o, const char *what)
{
    CHECK(o.st.failed && strstr(o.st.message, what), "'%s', not '%s'", o.st.message, what);
    text_free(&o.fused);
}

/* ---- @nofuse ---- */

static const char chain[] = "module M()(x: f32[N, 16, H, W]) -> f32[N, 16, H, W] {\n"
                            "    y = x |> a: conv(16, 3, pad: 1) |> relu\n"
                            "%s    z = tanh(y) * 2 + 1\n"
                            "    w = z * z + y\n"
                            "    return w |> b: conv(16, 3, pad: 1)\n"
                            "}\nnet D = M()\n"
                            "export f(x: f32[N, 16, H, W]) -> f32[N, 16, H, W] { return D.eval(x) }\n";

static void test_nofuse(const char *cpu)
{
    uint32_t plain = kernels_of(run_with(chain, "", 16, cpu)), apart = kernels_of(run_with(chain, "    @nofuse\n", 16, cpu));
    CHECK(apart == plain + 2, "%u kernels under @nofuse, %u without: one for the statement, one for what follows, and its border", apart, plain);
    /* each round of a repeat is a statement of its own */
    static const char rounds[] = "export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n    repeat 3 {\n%s        x = tanh(x) + 1\n    }\n    return x\n}\n";
    CHECK(kernels_of(run_with(rounds, "", 3, cpu)) == 1, "a chain is one kernel");
    CHECK(kernels_of(run_with(rounds, "        @nofuse\n", 3, cpu)) == 3, "three rounds, three kernels");
    /* the inner pragma counts */
    static const char nested[] = "export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n    @nofuse\n    repeat 3 {\n%s        x = tanh(x) + 1\n    }\n    return x * 3\n}\n";
    CHECK(kernels_of(run_with(nested, "", 3, cpu)) == 2, "the loop is one statement");
}

/* ---- @fuse ---- */

static void test_fuse(const char *cpu)
{
    /* read by two kernels and dear: stored, unless @fuse says otherwise */
    static const char dear[] = "export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n%s    y = tanh(sin(x) * 2) * exp(x)\n    return y - mean(y, axes: [2, 3], keep: true)\n}\n";
    uint32_t          plain = kernels_of(run_with(dear, "", 3, cpu)), asked = kernels_of(run_with(dear, "    @fuse\n", 3, cpu));
    CHECK(asked == plain - 1, "%u kernels under @fuse, %u without", asked, plain);
    static const char mean[] = "export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n%s    y = x - mean(x, axes: [2, 3], keep: true)\n    return y\n}\n";
    refused(run_with(mean, "    @fuse\n", 3, cpu), "a.graph:2: @fuse: sum (");
    refused(run_with(mean, "    @fuse\n", 3, cpu), "a sum or maximum must be complete before it is read");
}

/* ---- @layout ---- */

static bool blocked_result(const Outcome *o)
{
    return strstr(o->fused.at, "nChw") != NULL;
}

static void test_layout(const char *cpu)
{
    Outcome plain = run_with(chain, "    @nofuse\n", 16, cpu), rows = run_with(chain, "    @layout(rows)\n    @nofuse\n", 16, cpu);
    CHECK(!rows.st.failed && rows.kernels > plain.kernels, "%u kernels with rows in the middle, %u without", rows.kernels, plain.kernels);
    text_free(&plain.fused);
    text_free(&rows.fused);
    static const char poly[] = "export f(x: f32[N, 16, H, W]) -> f32[N, 16, H, W] {\n%s    y = x * x + 1\n    return y |> reverse\n}\nfn reverse(y) { return y[:, :, ::-1, :] - mean(y) }\n";
    Outcome           a = run_with(poly, "", 16, cpu), b = run_with(poly, "    @layout(blocked)\n    @nofuse\n", 16, cpu), c = run_with(poly, "    @layout(rows)\n    @nofuse\n", 16, cpu);
    CHECK(!blocked_result(&a) && blocked_result(&b) && !blocked_result(&c), "blocks appear when they are asked for: %s %s", b.st.message, c.st.message);
    text_free(&a.fused);
    text_free(&b.fused);
    text_free(&c.fused);
    /* a convolution's own result */
    static const char conv[] = "module M()(x: f32[N, 16, H, W]) -> f32[N, 24, H, W] {\n%s    y = x |> a: conv(24, 3, pad: 1)\n    return y\n}\nnet D = M()\n"
                               "export f(x: f32[N, 16, H, W]) -> f32[N, 24, H, W] { return D.eval(x) }\n";
    kernels_of(run_with(conv, "    @layout(rows)\n", 16, cpu));
    refused(run_with("export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n%s    y = x * 2\n    return y\n}\n", "    @layout(blocked)\n", 3, cpu),
            "a.graph:2: @layout(blocked): nothing that the statement computes can be stored in blocks");
}

/* ---- @block ---- */

static void test_block(const char *cpu, int regs)
{
    static const char free_sizes[] = "module M()(x: f32[N, 32, H, W]) -> f32[N, 32, H, W] {\n%s    y = x |> a: conv(32, 5, pad: 2) |> relu\n    return y\n}\nnet D = M()\n"
                                     "export f(x: f32[N, 32, H, W]) -> f32[N, 32, H, W] { return D.eval(x) }\n";
    static const char fixed[] = "module M()(x: f32[N, 32, 11, 9]) -> f32[N, 32, 6, 5] {\n%s    y = x |> a: conv(32, 3, stride: 2, pad: 1)\n    return y\n}\nnet D = M()\n"
                                "export f(x: f32[N, 32, 11, 9]) -> f32[N, 32, 6, 5] { return D.eval(x) }\n";
    static const char product[] = "module M()(x: f32[N, 32, 11, 9]) -> f32[N, 1, 1, 40] {\n%s    y = x |> flatten |> a: linear(40)\n    return y |> reshape([N, 1, 1, 40])\n}\nnet D = M()\n"
                                  "export f(x: f32[N, 32, 11, 9]) -> f32[N, 1, 1, 40] { return D.eval(x) }\n";
    static const char *const blocks[] = { "vectors: 1, cols: 3", "vectors: 2, cols: 5", "vectors: 1, cols: 9", "unroll: 1", "unroll: 2", "chunk: 1", "chunk: 7, vectors: 1, cols: 4" };
    static const char *const tiles[] = { "rows: 2, cols: 3, vectors: 1", "rows: 1, cols: 5, vectors: 2", "images: 2, rows: 1, cols: 2, vectors: 2", "images: 3, rows: 1, cols: 4, vectors: 1", "rows: 3, cols: 1, vectors: 2" };
    static const char *const products[] = { "vectors: 1, rows: 2", "vectors: 2, rows: 5", "unroll: 1", "unroll: 8", "vectors: 1, rows: 1, chunk: 3" };
    struct { const char *graph; const char *const *blocks; size_t n; } sets[] = { { free_sizes, blocks, COUNT(blocks) }, { fixed, tiles, COUNT(tiles) }, { product, products, COUNT(products) } };
    for (size_t k = 0; k < COUNT(sets); k++) {
        Outcome plain = run_with(sets[k].graph, "", 32, cpu);
        kernels_of(plain);
        for (size_t i = 0; i < sets[k].n; i++) {
            char pragma[128];
            snprintf(pragma, sizeof pragma, "    @block(%s)\n", sets[k].blocks[i]);
            Outcome o = run_with(sets[k].graph, pragma, 32, cpu);
            CHECK(!o.st.failed, "@block(%s) on %s: %s", sets[k].blocks[i], cpu, o.st.message);
            CHECK(o.st.failed || o.bits == plain.bits, "@block(%s) on %s changes the result", sets[k].blocks[i], cpu);
            text_free(&o.fused);
        }
    }
    static const char winograd[] = "module M()(x: f32[N, 32, H, W]) -> f32[N, 64, H, W] {\n%s    y = x |> a: conv(64, 3, pad: 1)\n    return y\n}\nnet D = M()\n"
                                   "export f(x: f32[N, 32, H, W]) -> f32[N, 64, H, W] { return D.eval(x) }\n";
    Outcome plain = run_with(winograd, "", 32, cpu), unrolled = run_with(winograd, "    @block(unroll: 2)\n", 32, cpu);
    CHECK(plain.bits == unrolled.bits && !unrolled.st.failed, "%s", unrolled.st.message);
    kernels_of(plain);
    kernels_of(unrolled);
    refused(run_with(winograd, "    @block(cols: 5)\n", 32, cpu), "this kernel has no 'cols'; it has: unroll, chunk");
    refused(run_with(winograd, "    @block(chunk: 3)\n", 32, cpu), "chunk: a multiple of");
    char need[64];
    snprintf(need, sizeof need, "registers, there are %d", regs);
    refused(run_with(fixed, "    @block(vectors: 2, rows: 6, cols: 5)\n", 32, cpu), need);
    refused(run_with(fixed, "    @block(vectors: 1, cols: 6)\n", 32, cpu), "a.graph:2: @block: the tile is larger than the result");
    refused(run_with(product, "    @block(images: 2)\n", 32, cpu), "this kernel has no 'images'; it has: vectors, rows, unroll, chunk");
    refused(run_with("export f(x: f32[N, 3, H, W]) -> f32[N, 3, H, W] {\n%s    y = x * 2\n    return y\n}\n", "    @block(cols: 2)\n", 3, cpu),
            "a.graph:2: @block: the statement computes no convolution and no product of matrices");
}

int main(void)
{
    static const char *const isas[] = { "avx512", "avx2", "baseline" };
    CHECK(mkdtemp(folder), "%s", folder);
    for (size_t i = 0; i < COUNT(isas); i++) {
        Target t;
        Status st = { 0 };
        if (!target_detect(isas[i], &t, &st))
            continue;
        test_nofuse(isas[i]);
        test_fuse(isas[i]);
        test_layout(isas[i]);
        test_block(isas[i], t.nregs);
    }
    char path[256];
    snprintf(path, sizeof path, "%s/a.graph", folder);
    unlink(path);
    rmdir(folder);
    return check_done();
}
