/* bench_contract.c - how near the contraction kernels come to the machine: the share of the FMA rate, which is measured in the same run by a kernel of nothing
 * but independent FMAs, and the time to compile each. One thread, the least of several repeats. Not a test: figures depend on who else computes.
 *   bench_contract [--cpu avx512|avx2|baseline] [--exact] [WORD]     only the lines that hold WORD; --exact: without Winograd's way
 */
#define _GNU_SOURCE
#include "../runtime/clock.h"
#include "../runtime/peak.h"
#include "emit.h"

#include <stdlib.h>
#include <string.h>

typedef struct { const char *what; int op, n, c, h, w, k, r, s, stride, pad, groups; bool symbolic; } Line;
/* matmul: h x k times k x w; groups: 2*ta + tb */

/* ---- a line ---- */
typedef struct { ContractPlan p; DimTable *dims; Graph *g; DimBind binds[4]; int nbinds; } Bench;

static void emit_one(void *ctx, Emit *e, uint32_t index)
{
    Bench *b = ctx;
    bool   pack = b->p.packed >= 0;
    if (pack && index == 0)
        emit_pack(e, &b->p);
    else if (b->p.combine && index == (pack ? 2u : 1u))
        emit_combine(e, &b->p, b->p.out, NULL, NULL);
    else
        emit_contract(e, &b->p, b->p.out, NULL, NULL, NULL);
}

static Ref build(Bench *b, const Line *l)
{
    DimTable *d = b->dims;
    static const char *const names[] = { "N", "H", "W" };
    int  size[] = { l->n, l->h, l->w };
    Dim  v[3];
    for (int i = 0; i < 3; i++) {
        v[i] = l->symbolic ? dim_sym(d, intern(names[i])) : dim_const(d, size[i]);
        b->binds[i] = (DimBind){ v[i], size[i] };
    }
    b->binds[3] = (DimBind){ threads_dim(d), 1 };
    b->nbinds = 4;
    int64_t zero = 0, one = 1;
    if (l->op == OP_matmul) {
        int     ta = l->groups >> 1, tb = l->groups & 1, rank = l->n > 1 ? 3 : 2;
        int64_t attrs[] = { ta, tb };
        Dim     k = dim_const(d, l->k), m = dim_const(d, l->h), n = dim_const(d, l->w);
        Dim     a[] = { dim_const(d, l->n), ta ? k : m, ta ? m : k }, c[] = { dim_const(d, l->n), tb ? n : k, tb ? k : n };
        Ref     args[2];
        args[0] = make_node(b->g, OP_input, DT_F32, rank, a + 3 - rank, 0, NULL, 1, &zero, 0);
        args[1] = make_node(b->g, OP_input, DT_F32, rank, c + 3 - rank, 0, NULL, 1, &one, 0);
        return make_node(b->g, OP_matmul, DT_F32, 0, NULL, 2, args, 2, attrs, 0);
    }
    Dim     x[4] = { v[0], dim_const(d, l->c), v[1], v[2] };
    Dim     w[4] = { dim_const(d, l->k), dim_const(d, l->c / l->groups), dim_const(d, l->r), dim_const(d, l->s) }, g[4] = { v[0], w[0] };
    int64_t attrs[] = { l->stride, l->stride, l->pad, l->pad, l->pad, l->pad, 1, 1, l->groups };
    for (int i = 2; i < 4; i++)
        g[i] = dim_add(d, dim_floordiv(d, dim_add(d, x[i], dim_const(d, 2 * l->pad - (i == 2 ? l->r : l->s))), l->stride), dim_const(d, 1));
    const Dim *s0 = l->op == OP_conv_dx ? g : x, *s1 = l->op == OP_conv_dw ? g : w, *so = l->op == OP_conv ? NULL : l->op == OP_conv_dx ? x : w;
    Ref        args[] = { make_node(b->g, OP_input, DT_F32, 4, s0, 0, NULL, 1, &zero, 0), make_node(b->g, OP_input, DT_F32, 4, s1, 0, NULL, 1, &one, 0) };
    return make_node(b->g, (Op)l->op, DT_F32, so ? 4 : 0, so, 2, args, 9, attrs, 0);
}

static int64_t number(const Bench *b, Dim d)
{
    int64_t v = 0;
    if (!dim_eval(b->dims, d, b->binds, (uint32_t)b->nbinds, &v))
        abort();
    return v;
}

static float *buffer(int64_t n)
{
    float *p = aligned_alloc(64, ((size_t)n * 4 + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)(i % 7) * 0.01f;
    return p;
}

static double time_kernel(const Bench *b, const Kernel *k, int64_t repeats_for)
{
    int64_t args[64];
    void   *bufs[8];
    double  best = 1e9, total = 0;
    for (uint32_t i = 0; i < k->args.n; i++)
        args[i] = number(b, k->args.at[i]);
    for (uint32_t i = 0; i < k->bufs.n; i++)
        bufs[i] = buffer(number(b, k->bufs.at[i].elems));
    for (int i = 0; i < 200 && (i < 3 || total < (double)repeats_for * 1e-3); i++) {
        double from = clock_seconds();
        k->fn(bufs, args, 0, 1);
        double took = clock_seconds() - from;
        total += took;
        best = took < best ? took : best;
    }
    for (uint32_t i = 0; i < k->bufs.n; i++)
        free(bufs[i]);
    return best;
}

static void run(const Line *l, Jit *jit, const Target *t, double rate)
{
    Bench    b = { .dims = dims_new() };
    Kernel   k[3] = { { .kind = KERNEL_PACK }, { .kind = KERNEL_CONTRACT }, { .kind = KERNEL_CONTRACT } }, *ks[3];
    uint32_t n = 0;
    Status   st = { 0 };
    b.g = graph_new("bench", b.dims);
    Ref r = build(&b, l);
    contract_plan(b.g, r, t, &b.p);
    if (b.p.packed == 1)           /* variables are row-major */
        b.p.in[1].block = 1;
    int from = b.p.packed >= 0 ? 0 : 1, to = b.p.combine ? 3 : 2;
    static const char *const names[] = { "pack", "contract", "combine" };
    for (int i = from; i < to; i++) {
        snprintf(k[i].name, sizeof k[i].name, "%s", names[i]);
        ks[n++] = &k[i];
    }
    double start = clock_seconds(), took[3] = { 0 };
    Text   dump = { 0 };
    const char *stage = getenv("DUMP");
    if (!jit_compile(jit, b.dims, ks, n, emit_one, &b, stage, stage ? &dump : NULL, &st)) {
        fprintf(stderr, "%s\n", st.message);
        exit(1);
    }
    double compiled = clock_seconds() - start;
    if (stage)
        puts(dump.at);
    text_free(&dump);
    for (int i = from; i < to; i++)
        took[i] = time_kernel(&b, &k[i], 150);
    double work = (double)number(&b, k[1].flops);
    printf("%-34s %5.1f %%  %8.3f ms  pack %6.3f  combine %6.3f  compile %5.1f ms   nb %d tile %dx%dx%d/%d algo %d\n", l->what,
           100 * work / took[1] / rate, took[1] * 1e3, took[0] * 1e3, took[2] * 1e3, compiled * 1e3, b.p.variant[1],
           b.p.variant[2], b.p.variant[3], b.p.variant[4], b.p.variant[5], b.p.variant[0]);
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        vec_free(&k[i].bufs);
        vec_free(&k[i].args);
    }
    graph_free(b.g);
    dims_free(b.dims);
}

static const Line lines[] = {
    /*  what                           op          n   c    h    w    k    r  s  st pad gr symbolic */
    { "conv 3x3 256 64x64", OP_conv, 1, 256, 64, 64, 256, 3, 3, 1, 1, 1, false },
    { "conv 3x3 128 128x128", OP_conv, 1, 128, 128, 128, 128, 3, 3, 1, 1, 1, false },
    { "conv 3x3 128 128x128 symbolic", OP_conv, 1, 128, 128, 128, 128, 3, 3, 1, 1, 1, true },
    { "conv 3x3 64 256x256", OP_conv, 1, 64, 256, 256, 64, 3, 3, 1, 1, 1, false },
    { "conv 3x3 32 256x256", OP_conv, 1, 32, 256, 256, 32, 3, 3, 1, 1, 1, false },
    { "conv 3x3 64 56x56", OP_conv, 1, 64, 56, 56, 64, 3, 3, 1, 1, 1, false },
    { "conv 3x3 128 28x28", OP_conv, 1, 128, 28, 28, 128, 3, 3, 1, 1, 1, false },
    { "conv 3x3 128 56x56", OP_conv, 1, 128, 56, 56, 128, 3, 3, 1, 1, 1, false },
    { "conv 3x3 256 28x28", OP_conv, 1, 256, 28, 28, 256, 3, 3, 1, 1, 1, false },
    { "conv 3x3 512 16x16", OP_conv, 1, 512, 16, 16, 512, 3, 3, 1, 1, 1, false },
    { "conv 3x3 512 4x4 n32", OP_conv, 32, 512, 4, 4, 512, 3, 3, 1, 1, 1, false },
    { "conv 1x1 256 64x64", OP_conv, 1, 256, 64, 64, 256, 1, 1, 1, 0, 1, false },
    { "conv 3x3 3->64 256x256", OP_conv, 1, 3, 256, 256, 64, 3, 3, 1, 1, 1, false },
    { "conv 9x9 3->32 512x512 symbolic", OP_conv, 1, 3, 512, 512, 32, 9, 9, 1, 4, 1, true },
    { "conv 9x9 32->3 512x512 symbolic", OP_conv, 1, 32, 512, 512, 3, 9, 9, 1, 4, 1, true },
    { "conv 4x4 s2 64->128 32x32 n32", OP_conv, 32, 64, 32, 32, 128, 4, 4, 2, 1, 1, false },
    { "conv 4x4 s2 256->512 8x8 n32", OP_conv, 32, 256, 8, 8, 512, 4, 4, 2, 1, 1, false },
    { "conv 4x4 s2 3->64 64x64 n32", OP_conv, 32, 3, 64, 64, 64, 4, 4, 2, 1, 1, false },
    { "conv 4x4 512->1 4x4 n32", OP_conv, 32, 512, 4, 4, 1, 4, 4, 1, 0, 1, false },
    { "conv 3x3 s2 64->128 256 symbolic", OP_conv, 1, 64, 256, 256, 128, 3, 3, 2, 1, 1, true },
    { "depthwise 3x3 128 64x64", OP_conv, 1, 128, 64, 64, 128, 3, 3, 1, 1, 128, false },
    { "conv_dx 3x3 128 64x64", OP_conv_dx, 1, 128, 64, 64, 128, 3, 3, 1, 1, 1, false },
    { "conv_dx 3x3 128 56x56", OP_conv_dx, 1, 128, 56, 56, 128, 3, 3, 1, 1, 1, false },
    { "conv_dx 3x3 256 28x28", OP_conv_dx, 1, 256, 28, 28, 256, 3, 3, 1, 1, 1, false },
    { "conv_dx 3x3 256 64x64", OP_conv_dx, 1, 256, 64, 64, 256, 3, 3, 1, 1, 1, false },
    { "conv_dx 4x4 s2 128->64 32x32 n32", OP_conv_dx, 32, 64, 32, 32, 128, 4, 4, 2, 1, 1, false },
    { "conv_dx 4x4 s2 512->256 8x8 n32", OP_conv_dx, 32, 256, 8, 8, 512, 4, 4, 2, 1, 1, false },
    { "conv_dx 4x4 s2 64->3 64x64 n32", OP_conv_dx, 32, 3, 64, 64, 64, 4, 4, 2, 1, 1, false },
    { "conv_dx 4x4 128->512 1x1->4x4 n32", OP_conv_dx, 32, 512, 4, 4, 128, 4, 4, 1, 0, 1, false },
    { "conv_dx 3x3 64->3 128x128", OP_conv_dx, 1, 3, 128, 128, 64, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 128 64x64", OP_conv_dw, 1, 128, 64, 64, 128, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 128 56x56", OP_conv_dw, 1, 128, 56, 56, 128, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 256 28x28", OP_conv_dw, 1, 256, 28, 28, 256, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 256 64x64", OP_conv_dw, 1, 256, 64, 64, 256, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 32 256x256", OP_conv_dw, 1, 32, 256, 256, 32, 3, 3, 1, 1, 1, false },
    { "conv_dw 4x4 s2 64->128 32x32 n32", OP_conv_dw, 32, 64, 32, 32, 128, 4, 4, 2, 1, 1, false },
    { "conv_dw 4x4 s2 256->512 8x8 n32", OP_conv_dw, 32, 256, 8, 8, 512, 4, 4, 2, 1, 1, false },
    { "conv_dw 4x4 s2 3->64 64x64 n32", OP_conv_dw, 32, 3, 64, 64, 64, 4, 4, 2, 1, 1, false },
    { "conv_dw 9x9 32->3 256x256", OP_conv_dw, 1, 32, 256, 256, 3, 9, 9, 1, 4, 1, false },
    { "conv_dw 4x4 512->1 4x4 n32", OP_conv_dw, 32, 512, 4, 4, 1, 4, 4, 1, 0, 1, false },
    { "conv 3x3 8 128x128", OP_conv, 1, 8, 128, 128, 8, 3, 3, 1, 1, 1, false },
    { "conv_dw 3x3 8 128x128", OP_conv_dw, 1, 8, 128, 128, 8, 3, 3, 1, 1, 1, false },
    { "conv_dw 4x4 s2 8 128x128", OP_conv_dw, 1, 8, 128, 128, 8, 4, 4, 2, 1, 1, false },
    { "conv_dx 4x4 s2 8 128x128", OP_conv_dx, 1, 8, 128, 128, 8, 4, 4, 2, 1, 1, false },
    { "conv_dx depthwise 3x3 128 64x64", OP_conv_dx, 1, 128, 64, 64, 128, 3, 3, 1, 1, 128, false },
    { "conv_dw depthwise 3x3 128 64x64", OP_conv_dw, 1, 128, 64, 64, 128, 3, 3, 1, 1, 128, false },
    { "conv 3x3 128 64x64 groups 32", OP_conv, 1, 128, 64, 64, 128, 3, 3, 1, 1, 32, false },
    { "conv_dw 3x3 128 64x64 groups 32", OP_conv_dw, 1, 128, 64, 64, 128, 3, 3, 1, 1, 32, false },
    { "matmul 512", OP_matmul, 1, 0, 512, 512, 512, 0, 0, 0, 0, 0, false },
    { "matmul 512 tb", OP_matmul, 1, 0, 512, 512, 512, 0, 0, 0, 0, 1, false },
    { "matmul 32x8192x100", OP_matmul, 1, 0, 32, 8192, 100, 0, 0, 0, 0, 0, false },
    { "matmul 1x1000x4096 tb", OP_matmul, 1, 0, 1, 1000, 4096, 0, 0, 0, 0, 1, false },
    { "matmul gram 64x64x65536", OP_matmul, 1, 0, 64, 64, 65536, 0, 0, 0, 0, 1, false },
};

int main(int argc, char **argv)
{
    const char *cpu = NULL, *word = NULL;
    bool        exact = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc)
            cpu = argv[++i];
        else if (strcmp(argv[i], "--exact") == 0)
            exact = true;
        else
            word = argv[i];
    }
    Target t;
    Status st = { 0 };
    if (!target_detect(cpu, &t, &st)) {
        fprintf(stderr, "%s\n", st.message);
        return 1;
    }
    t.winograd = exact ? WINOGRAD_NEVER : WINOGRAD_PAYS;
    Jit *jit = jit_new(&t, &st);
    if (!jit) {
        fprintf(stderr, "%s\n", st.message);
        return 1;
    }
    double rate = 1e9 * fma_peak(cpu, 1, &st);
    printf("%s: %.1f GFLOP/s on one thread\n", t.cpu, rate * 1e-9);
    for (size_t i = 0; i < COUNT(lines); i++)
        if (!word || strstr(lines[i].what, word))
            run(&lines[i], jit, &t, rate);
    printf("again: %.1f GFLOP/s\n", fma_peak(cpu, 1, &st));
    jit_free(jit);
    return 0;
}
