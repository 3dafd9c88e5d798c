/* test_sums.c - sums and moments that a convolution's kernel takes of its results: against the interpreter, for kernels, sizes and instruction sets; also where the mean is
 * many times the deviation. That they are taken there, and not without the pass, is looked for in the kernels; bits are the same for any number of threads and block sizes.
 */
#include "check.h"
#include "layer_file.h"
#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/pastiche_sums.XXXXXX";

typedef struct { const char *layer, *axes, *block; double offset; int64_t n, h, w; bool fixed; int narrow; } Case;      /* narrow: rows are too short for it; 1: but not for Winograd's tiles */

/* Mean, variance and the mean of what is positive, of a layer's results plus an offset, side by side as channels. */
static void write_graph(const Case *c, char *path, size_t size)
{
    char shape[64], count[24];
    bool each = !strcmp(c->axes, "[2, 3]");
    snprintf(path, size, "%s/a.graph", folder);
    snprintf(shape, sizeof shape, c->fixed ? "f32[%lld, 17, %lld, %lld]" : "f32[N, 17, H, W]", (long long)c->n, (long long)c->h, (long long)c->w);
    snprintf(count, sizeof count, "%lld", (long long)c->n);
    FILE *f = fopen(path, "w");
    CHECK(f, "%s", path);
    fprintf(f, "module Layer()(x: f32[N, 17, H, W]) -> f32[%s, 60, 1, 1] {\n    %s\n    y = %g + (x |> a: %s)\n", each ? "N" : "1", c->block ? c->block : "", c->offset, c->layer);
    fprintf(f, "    m = mean(y, axes: %s, keep: true)\n    v = mean(square(y - m), axes: %s, keep: true)\n", c->axes, c->axes);
    fprintf(f, "    return concat([m, v, mean(relu(y - 0.1), axes: %s, keep: true)], axis: 1)\n}\nnet T = Layer()\n", c->axes);
    fprintf(f, "export f(x: %s) -> f32[%s, 60, 1, 1] { return T.eval(x) }\n", shape, !each ? "1" : c->fixed ? count : "N");
    fclose(f);
}

static const char *describe(const Case *c)
{
    static char text[256];
    snprintf(text, sizeof text, "%s over %s of %lld x %lld x %lld%s, offset %g%s%s", c->layer, c->axes, (long long)c->n, (long long)c->h, (long long)c->w,
             c->fixed ? " (constants)" : "", c->offset, c->block ? ", " : "", c->block ? c->block : "");
    return text;
}

/* ---- running ---- */

static bool open_case(const Case *c, Open *o)
{
    char path[256];
    write_graph(c, path, sizeof path);
    return open_layer(o, path, describe(c), c->n, c->h, c->w);
}

/* Means may be off by rounding errors of what is added up, variances by some of their own. */
static void compare(const Case *c, const Tensor *got, const Tensor *want, const char *cpu)
{
    int64_t n = tensor_count(want) / 60;
    double  worst = 0, loose = 1 + fabs(c->offset);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < 60; k++) {
            double v = tensor_get(want, i * 60 + 20 + k % 20), off = fabs(tensor_get(got, i * 60 + k) - tensor_get(want, i * 60 + k));
            double scale = k / 20 == 1 ? (v + 1e-3 * sqrt(v)) * loose : sqrt(v) + loose;
            worst = off / scale > worst || isnan(off) ? off / scale : worst;
        }
    CHECK(tensor_count(got) == tensor_count(want) && worst < 4e-6, "%s on %s: off by %g", describe(c), cpu, worst);
}

static int reductions(Open *o, const ExecOptions *exec)
{
    Text   t = { 0 };
    Status st = { 0 };
    int    n = 0;
    CHECK(program_dump(o->s.model, o->g, exec, "fused", &t, &st), "%s", st.message);
    for (const char *p = t.at; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        n += *p >= '0' && *p <= '9' && strstr(p, " reduce ") && strstr(p, " reduce ") < strchr(p, '\n');
    text_free(&t);
    return n;
}

/* plain: a case without @block, whose bits these should be; NULL. first: its results on each instruction set and algorithm are put here. */
static void check_case(const Case *c, Tensor *first, const Tensor *plain)
{
    static const char *const cpus[] = { "avx512", "avx2", "baseline" };
    Open                     o;
    bool                     ok = open_case(c, &o);
    for (size_t i = 0; ok && i < COUNT(cpus) * 2; i++) {
        Target      t;
        Status      st = { 0 };
        Tensor      one = { 0 }, three = { 0 };
        ExecOptions exec = { .cpu = cpus[i / 2], .threads = 1, .exact = i % 2, .winograd_always = true, .no_cache = true };
        if (!target_detect(cpus[i / 2], &t, &st) || (c->block && !exec.exact))
            continue;
        CHECK((reductions(&o, &exec) > 0) == (c->narrow > !exec.exact), "%s on %s: reductions are there, or are not", describe(c), exec.cpu);
        run(&o, &exec, &one);
        exec.threads = 3;
        run(&o, &exec, &three);
        compare(c, &one, &o.want, exec.cpu);
        CHECK(same(&one, &three), "%s on %s: three threads have other bits", describe(c), exec.cpu);
        CHECK(!plain || same(&one, &plain[i]), "%s on %s: other bits than without", describe(c), exec.cpu);
        exec.off = pass_bit(PASS_statistics);
        CHECK(reductions(&o, &exec) > 0, "%s on %s without the pass: no reductions", describe(c), exec.cpu);
        if (first)
            first[i] = one;
        else
            tensor_free(&one);
        tensor_free(&three);
    }
    close_layer(&o);
}

int main(void)
{
    static const char all[] = "[0, 2, 3]", each[] = "[2, 3]";
    static const Case cases[] = {
        { "conv(20, 3, pad: 1)", each, NULL, 0, 3, 11, 9, false, 0 },
        { "conv(20, 3, pad: 1)", each, NULL, 0, 2, 33, 30, true, 0 },
        { "conv(20, 3, pad: 1)", all, NULL, 0, 37, 4, 5, true, 1 },
        { "conv(20, 3, pad: 1)", all, NULL, 1000, 2, 40, 19, false, 0 },
        { "conv(20, 3, pad: 1)", each, NULL, 1000, 1, 24, 24, true, 0 },
        { "conv(20, 5, stride: 2, pad: 2)", each, NULL, 0, 3, 17, 14, false, 0 },
        { "conv(20, 5, stride: 2, pad: 2)", all, NULL, -300, 5, 12, 18, true, 0 },
        { "conv(20, 5, stride: 2, pad: 2)", all, NULL, -300, 9, 8, 6, true, 2 },
        { "conv(20, 4, stride: 2, pad: 1)", each, NULL, 0, 5, 18, 22, true, 0 },
        { "conv_t(20, 4, stride: 2, pad: 1)", each, NULL, 0, 3, 7, 10, false, 0 },
        { "conv_t(20, 4, stride: 2, pad: 1)", all, NULL, 0, 5, 8, 8, true, 0 },
        { "conv_t(20, 3, stride: 2, pad: 1)", each, NULL, 0, 2, 12, 9, true, 0 },
        { "conv_t(20, 3, stride: 3)", all, NULL, 0, 2, 3, 1, false, 0 },
    };
    static const char *const blocks[] = { "@block(cols: 3)", "@block(chunk: 3)", "@block(vectors: 1, cols: 5)" };
    CHECK(mkdtemp(folder), "%s", folder);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_case(&cases[i], NULL, NULL);
    Case   c = { "conv(20, 3, pad: 1)", each, NULL, 0, 2, 9, 31, false, 0 };
    Tensor plain[6] = { { 0 } };
    check_case(&c, plain, NULL);
    for (size_t i = 0; i < COUNT(blocks); i++) {
        c.block = blocks[i];
        check_case(&c, NULL, plain);
    }
    for (size_t i = 0; i < COUNT(plain); i++)
        tensor_free(&plain[i]);
    char path[300];
    snprintf(path, sizeof path, "%s/a.graph", folder);
    unlink(path);
    rmdir(folder);
    return check_done();
}
