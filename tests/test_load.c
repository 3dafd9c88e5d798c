/* test_load.c - operands that a convolution's kernel computes where it reads them: against the interpreter, for chains, borders, sizes and instruction sets. That no other kernel
 * makes the operand is looked for in the kernels, and that one does without the pass; bits are the same for any number of threads and block sizes.
 */
#include "check.h"
#include "layer_file.h"
#include "native.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/pastiche_load.XXXXXX";

/* fixed: sizes are constants of the program. block: a pragma before the convolution, or NULL. */
typedef struct { const char *chain, *layer, *block; int64_t n, h, w; bool fixed; } Case;

static void write_graph(const Case *c, char *path, size_t size)
{
    char shape[64] = "f32[N, 17, H, W]", result[64];
    bool twice = strstr(c->layer, "conv_t(20, 4, stride: 2") != NULL, half = strstr(c->layer, "conv(20, 4, stride: 2") != NULL;
    snprintf(path, size, "%s/a.graph", folder);
    if (c->fixed)
        snprintf(shape, sizeof shape, "f32[%lld, 17, %lld, %lld]", (long long)c->n, (long long)c->h, (long long)c->w);
    snprintf(result, sizeof result, "f32[N, 20, %s]", twice ? "2*H, 2*W" : half ? "H//2, W//2" : "H, W");
    if (c->fixed)
        snprintf(result, sizeof result, "f32[%lld, 20, %lld, %lld]", (long long)c->n, (long long)(twice ? 2 * c->h : half ? c->h / 2 : c->h),
                 (long long)(twice ? 2 * c->w : half ? c->w / 2 : c->w));
    FILE *f = fopen(path, "w");
    CHECK(f, "%s", path);
    fprintf(f, "module Layer()(x: %s) -> %s {\n    y = x |> a: conv(20, 3, pad: 1)\n    %s\n    %s\n    w = z |> b: %s\n    return w\n}\nnet T = Layer()\n", shape, result, c->chain,
            c->block ? c->block : "", c->layer);
    fprintf(f, "export f(x: %s) -> %s { return T.eval(x) }\n", shape, result);
    fclose(f);
}

static const char *describe(const Case *c)
{
    static char text[512];
    snprintf(text, sizeof text, "%s of '%s', %lld x %lld x %lld%s%s%s", c->layer, c->chain, (long long)c->n, (long long)c->h, (long long)c->w, c->fixed ? " (constants)" : "",
             c->block ? ", " : "", c->block ? c->block : "");
    return text;
}

/* ---- running ---- */

static bool open_case(const Case *c, Open *o)
{
    char path[256];
    write_graph(c, path, sizeof path);
    return open_layer(o, path, describe(c), c->n, c->h, c->w);
}

/* Each element against the largest: an element of the border that is wrong is not lost among right ones. */
static void compare(const Case *c, const Tensor *got, const Tensor *want, const char *cpu)
{
    double worst = 0, most = 0;
    for (int64_t i = 0; i < tensor_count(want); i++) {
        double off = fabs(tensor_get(got, i) - tensor_get(want, i)), size = fabs(tensor_get(want, i));
        worst = off > worst || isnan(off) ? off : worst;
        most = size > most ? size : most;
    }
    CHECK(tensor_count(got) == tensor_count(want) && most > 0 && worst < 1e-5 * most, "%s on %s: off by %g of %g", describe(c), cpu, worst, most);
}

typedef struct { int operands, maps; } Kernels;

/* Operands computed where they are read; kernels that hold a map of a whole picture, which all have row and column loops. */
static Kernels count(Open *o, const ExecOptions *exec)
{
    Text    t = { 0 };
    Status  st = { 0 };
    Kernels k = { 0 };
    CHECK(program_dump(o->s.model, o->g, exec, "fused", &t, &st), "%s", st.message);
    for (const char *p = t.at; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
        k.operands += strstr(line, "operand = v") != NULL;
        k.maps += *line >= '0' && *line <= '9' && strstr(line, " map ") && !strstr(line, "copy of");
    }
    text_free(&t);
    return k;
}

/* plain: a case without @block, whose bits these should be; NULL. first: its results on each instruction set are put here. */
static void check_case(const Case *c, Tensor *first, const Tensor *plain)
{
    static const char *const cpus[] = { "avx512", "avx2", "baseline" };
    Open                     o;
    bool                     ok = open_case(c, &o);
    for (size_t i = 0; ok && i < COUNT(cpus); i++) {
        Target      t;
        Status      st = { 0 };
        Tensor      one = { 0 };
        ExecOptions exec = { .cpu = cpus[i], .threads = 1, .winograd_always = true, .no_cache = true };
        if (!target_detect(cpus[i], &t, &st))
            continue;
        Kernels with = count(&o, &exec);
        run(&o, &exec, &one);
        compare(c, &one, &o.want, exec.cpu);
        for (exec.threads = 2; exec.threads <= 3; exec.threads++) {
            Tensor more = { 0 };
            run(&o, &exec, &more);
            CHECK(same(&one, &more), "%s on %s: %d threads have other bits", describe(c), exec.cpu, exec.threads);
            tensor_free(&more);
        }
        CHECK(!plain || same(&one, &plain[i]), "%s on %s: other bits than without", describe(c), exec.cpu);
        exec.off = pass_bit(PASS_prologue);
        Kernels without = count(&o, &exec);
        CHECK(with.operands == 1 && without.operands == 0 && with.maps == without.maps - 1, "%s on %s: %d operands computed where they are read and %d maps; without the pass %d and %d",
              describe(c), exec.cpu, with.operands, with.maps, without.operands, without.maps);
        if (first)
            first[i] = one;
        else
            tensor_free(&one);
    }
    close_layer(&o);
}

/* What the pass leaves alone: a chain that is the kernel's before, in its epilogue; one that two read; a kernel that is not Winograd's; and all when nobody asks. */
static void check_left(void)
{
    static const struct { Case c; bool exact, lazy; int maps; } left[] = {
        { { "z = sigmoid(y)", "conv(20, 3, pad: 1)", NULL, 2, 9, 8, false }, false, false, 0 },
        { { "z = y |> instance_norm |> relu", "conv(20, 3, pad: 1)", NULL, 2, 9, 8, false }, true, false, -1 },
        { { "z = y |> instance_norm |> relu", "conv(20, 3, pad: 1)", NULL, 2, 40, 40, true }, false, true, -1 },
        { { "u = y |> instance_norm |> sigmoid\n    z = u + (u |> more: conv(20, 3, pad: 1))", "conv(20, 1)", NULL, 2, 9, 8, false }, false, false, -1 },
    };
    for (size_t i = 0; i < COUNT(left); i++) {
        Open o;
        if (open_case(&left[i].c, &o)) {
            ExecOptions exec = { .cpu = "baseline", .threads = 2, .winograd_always = !left[i].lazy, .exact = left[i].exact, .no_cache = true };
            Kernels     k = count(&o, &exec);
            CHECK(k.operands == 0 && (left[i].maps < 0 || k.maps == left[i].maps), "%s: %d operands computed where they are read, %d maps", describe(&left[i].c), k.operands, k.maps);
        }
        close_layer(&o);
    }
}

/* Nobody is eager: @fuse before the convolution asks. */
static void check_asked(void)
{
    Case c = { "z = y |> instance_norm |> relu |> reflect_pad(1)", "conv(20, 3)", NULL, 1, 40, 40, true };
    for (int i = 0; i < 2; i++) {
        Open        o;
        ExecOptions exec = { .cpu = "baseline", .threads = 2, .no_cache = true };
        c.block = i ? "@fuse" : NULL;
        if (open_case(&c, &o)) {
            Tensor  got = { 0 };
            Kernels k = count(&o, &exec);
            CHECK(k.operands == i, "%s: %d operands computed where they are read", describe(&c), k.operands);
            run(&o, &exec, &got);
            compare(&c, &got, &o.want, exec.cpu);
            tensor_free(&got);
        }
        close_layer(&o);
    }
}

int main(void)
{
#define NORM_ALL "m = mean(y, axes: [0, 2, 3], keep: true)\n    z = (y - m) * rsqrt(mean(square(y - m), axes: [0, 2, 3], keep: true) + 1e-5)"
    static const Case cases[] = {
        { "z = y |> instance_norm |> sigmoid", "conv(20, 3, pad: 1)", NULL, 3, 5, 7, false },
        { "z = y |> instance_norm |> relu |> reflect_pad(1)", "conv(20, 3)", NULL, 2, 16, 16, true },
        { "z = y |> instance_norm |> relu |> reflect_pad(1)", "conv(20, 3)", NULL, 1, 13, 51, false },
        { NORM_ALL "\n    z = leaky_relu(z - 0.3, 0.2)", "conv(20, 3, pad: 1)", NULL, 3, 16, 16, false },
        { NORM_ALL "\n    z = exp(0.1 * z) + 1", "conv_t(20, 4, stride: 2, pad: 1)", NULL, 2, 7, 10, false },
        { "z = sigmoid(instance_norm(y)) + 2", "conv(20, 4, stride: 2, pad: 1)", NULL, 2, 12, 18, true },
        { "z = sigmoid(y |> edge_pad(1))", "conv(20, 3)", NULL, 2, 6, 5, false },
        { "z = sigmoid(y) |> reflect_pad([1, 0, 0, 1]) |> zero_pad([0, 1, 1, 0])", "conv(20, 3)", NULL, 2, 9, 11, true },
        { "z = relu(instance_norm(y) + 1)", "conv(20, 3, pad: 1)", NULL, 1, 130, 517, false },
        { "z = relu(instance_norm(y) + 1)", "conv(20, 3, pad: 1)", NULL, 1, 1, 1, false },
    };
    CHECK(mkdtemp(folder), "%s", folder);
    for (size_t i = 0; i < COUNT(cases); i++)
        check_case(&cases[i], NULL, NULL);
    Case   c = { "z = y |> instance_norm |> sigmoid", "conv(20, 3, pad: 1)", NULL, 2, 9, 31, false };
    Tensor plain[3] = { { 0 } };
    check_case(&c, plain, NULL);
    c.block = "@block(unroll: 2)";
    check_case(&c, NULL, plain);
    for (size_t i = 0; i < COUNT(plain); i++)
        tensor_free(&plain[i]);
    check_left();
    check_asked();
    char path[300];
    snprintf(path, sizeof path, "%s/a.graph", folder);
    unlink(path);
    rmdir(folder);
    return check_done();
}
