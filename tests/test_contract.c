/* test_contract.c - the contraction kernels against plain loops in double: every family, sizes around the vector width and the tile widths,
 * every instruction set of this machine, one to four threads (bit-identical), known and symbolic sizes. Under the sanitizers each case runs on one of the
 * instruction sets, in turn: what they watch is the compiler, which does nearly the same for each.
 *
 * Buffers end at a page that must not be touched; results start as a sentinel that must survive in halos; operands may have wider halos
 * than the plan asks for. The epilogue scales, adds a residual stored like the result, and adds 1 (which must not show in padded lanes).
 */
#define _GNU_SOURCE
#include "check.h"
#include "emit.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- buffers that end at a forbidden page ---- */
typedef struct { float *at; int64_t n; char *map; size_t bytes; } Buf;

static Buf buf_new(int64_t n, float fill)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), data = ((size_t)n * 4 + page - 1) / page * page;
    Buf    b = { .n = n, .bytes = data + page };
    b.map = mmap(NULL, b.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b.map == MAP_FAILED || mprotect(b.map + data, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    b.at = (float *)(void *)(b.map + data) - n;
    for (int64_t i = 0; i < n; i++)
        b.at[i] = fill;
    return b;
}

static void buf_free(Buf *b)
{
    if (b->map)
        munmap(b->map, b->bytes);
    memset(b, 0, sizeof *b);
}

static uint32_t seed = 1;
static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(int32_t)(seed >> 8) / 8388608.0f - 1.0f;
}

/* ---- a case ---- */
/* PLAIN: no epilogue; ROWS: weights to pack are row-major; m * MORE: m more zeros at the bottom and right than pad */
enum { ISAS = 3 };
enum { SYM_N = 1, SYM_H = 2, SYM_W = 4, WIDE_IN = 8, WIDE_OUT = 16, PLAIN = 32, ROWS = 128, MORE = 256 };
#define SYM (SYM_N | SYM_H | SYM_W)
typedef struct { int op, n, c, h, w, k, r, s, stride, pad, dil, groups, flags; } Case;   /* h, w: of x */

typedef struct { int64_t d[4]; } Shape;

static int64_t more_pad(const Case *c) { return c->flags / MORE; }
static int64_t conv_size(int64_t h, int64_t r, const Case *c) { return (h + 2 * c->pad + more_pad(c) - c->dil * (r - 1) - 1) / c->stride + 1; }

/* ---- references, row-major, double ---- */
typedef struct { double *v, *mag; int64_t n; } RefOut;

#define AT4(p, s, i, j, y, x) (p)[(((i) * (s).d[1] + (j)) * (s).d[2] + (y)) * (s).d[3] + (x)]

static void reference(const Case *c, Shape xs, Shape ws, Shape gs, const float *a, const float *b, RefOut *o)
{
    int64_t cg = xs.d[1] / c->groups, kg = ws.d[0] / c->groups;
    for (int64_t n = 0; n < xs.d[0]; n++)
        for (int64_t k = 0; k < ws.d[0]; k++)
            for (int64_t y = 0; y < gs.d[2]; y++)
                for (int64_t x = 0; x < gs.d[3]; x++)
                    for (int64_t ci = 0; ci < cg; ci++)
                        for (int64_t r = 0; r < c->r; r++)
                            for (int64_t s = 0; s < c->s; s++) {
                                int64_t iy = y * c->stride - c->pad + r * c->dil, ix = x * c->stride - c->pad + s * c->dil, cc = k / kg * cg + ci;
                                if (iy < 0 || ix < 0 || iy >= xs.d[2] || ix >= xs.d[3])
                                    continue;
                                double  p;
                                int64_t at;
                                if (c->op == OP_conv) {
                                    p = (double)AT4(a, xs, n, cc, iy, ix) * AT4(b, ws, k, ci, r, s);
                                    at = &AT4(o->v, gs, n, k, y, x) - o->v;
                                } else if (c->op == OP_conv_dx) {
                                    p = (double)AT4(a, gs, n, k, y, x) * AT4(b, ws, k, ci, r, s);
                                    at = &AT4(o->v, xs, n, cc, iy, ix) - o->v;
                                } else {
                                    p = (double)AT4(a, xs, n, cc, iy, ix) * AT4(b, gs, n, k, y, x);
                                    at = &AT4(o->v, ws, k, ci, r, s) - o->v;
                                }
                                o->v[at] += p;
                                o->mag[at] += fabs(p);
                            }
}

/* ---- layouts, by the drawing in native.h and not by layout.c ---- */
static int64_t stored_at(Shape s, Layout l, int64_t n, int64_t c, int64_t h, int64_t w)
{
    int64_t v = l.block, cb = (s.d[1] + v - 1) / v, H = s.d[2] + l.halo[0] + l.halo[1], W = s.d[3] + l.halo[2] + l.halo[3];
    return (((n * cb + c / v) * H + h + l.halo[0]) * W + w + l.halo[2]) * v + c % v;
}

static int64_t stored_size(Shape s, Layout l)
{
    int64_t v = l.block;
    return s.d[0] * ((s.d[1] + v - 1) / v) * (s.d[2] + l.halo[0] + l.halo[1]) * (s.d[3] + l.halo[2] + l.halo[3]) * v;
}

static Buf stored(Shape s, Layout l, const float *rows)
{
    Buf b = buf_new(stored_size(s, l), 0);
    for (int64_t n = 0, i = 0; n < s.d[0]; n++)
        for (int64_t c = 0; c < s.d[1]; c++)
            for (int64_t h = 0; h < s.d[2]; h++)
                for (int64_t w = 0; w < s.d[3]; w++, i++)
                    b.at[stored_at(s, l, n, c, h, w)] = rows[i];
    return b;
}

/* ---- the epilogue: 2 * acc + residual + 1 ---- */
typedef struct { ContractPlan *p; Layout out; bool plain; int combine; } Ctx;

static LLVMValueRef epilogue(void *ctx, Emit *e, LLVMValueRef acc, const At4 *at)
{
    Ctx         *c = ctx;
    const Graph *g = c->p->g;
    const Dim   *shape = node_shape(g, c->p->node);
    int          rank = node(g, c->p->node)->rank;
    LLVMValueRef off;
    int buf = kernel_buf(e->kernel, (BufUse){ .value = 1, .layout = c->out, .elems = layout_size(e->dims, rank, shape, &c->out) });
    if (rank == 4) {
        Strides4     s = layout_strides(e->dims, shape, &c->out);
        LLVMValueRef n = at->n, cb = at->cb;
        if (!cb) {
            cb = i_rem(e, at->n, dim_value(e, shape[1]));
            n = i_div(e, at->n, dim_value(e, shape[1]));
        }
        off = i_mad(e, at->h, dim_value(e, s.h), i_mad(e, at->w, dim_value(e, s.w), dim_value(e, s.origin)));
        off = i_mad(e, n, dim_value(e, s.n), i_mad(e, cb, dim_value(e, s.c), off));
    } else {
        LLVMValueRef row = at->n ? i_mad(e, at->n, dim_value(e, shape[rank - 2]), at->h) : at->h;
        off = i_mad(e, row, dim_value(e, shape[rank - 1]), at->w);
    }
    LLVMValueRef res = vec_load_mask(e, addr(e, buf_base(e, buf), off), e->target->vec, at->mask);
    return f_add(e, f_add(e, f_mul(e, acc, c_vec(e, e->target->vec, 2)), res), c_vec(e, e->target->vec, 1));
}

static void emit_one(void *ctx, Emit *e, uint32_t index)
{
    Ctx     *c = ctx;
    Epilogue ep = c->plain ? NULL : epilogue;
    if (c->p->packed >= 0 && index == 0)
        emit_pack(e, c->p);
    else if (c->p->combine && (int)index == c->combine)
        emit_combine(e, c->p, c->out, ep, c);
    else
        emit_contract(e, c->p, c->out, NULL, ep, c);
}

static void launch(const Kernel *k, void **bufs, const int64_t *args, int threads)
{
#pragma omp parallel num_threads(threads)
    k->fn(bufs, args, omp_get_thread_num(), omp_get_num_threads());
}

/* Everything compiled for a case. */
typedef struct { DimTable *dims; Graph *g; ContractPlan plan; Kernel kernels[3]; uint32_t nkernels; Layout out; Ctx ctx; } Built;

static int64_t eval(const Built *b, Dim d, const DimBind *binds, uint32_t n)
{
    int64_t v = -1;
    CHECK(dim_eval(b->dims, d, binds, n, &v) && v >= 0, "size");
    return v;
}

static bool compile(Built *b, const Case *c, Jit *jit, const Target *t)
{
    Status   st = { 0 };
    Kernel  *ks[3];
    uint32_t n = 0;
    b->out = b->plan.out;
    if (b->plan.out.dtype != DT_F32)
        return false;
    for (int i = 0; i < 4 && node(b->g, b->plan.node)->rank == 4; i++) {
        if ((c->flags & WIDE_IN) && c->op != OP_matmul) {
            b->plan.in[0].halo[i] += (int16_t)(i == 1 ? 2 : 1);
            if (c->op == OP_conv_dw)
                b->plan.in[1].halo[i] += 1;
        }
        if ((c->flags & WIDE_OUT) && node(b->g, b->plan.node)->rank == 4)
            b->out.halo[i] = (int16_t)(i + 1);
    }
    if ((c->flags & ROWS) && b->plan.packed == 1)
        b->plan.in[1].block = 1;
    b->ctx = (Ctx){ &b->plan, b->out, (c->flags & PLAIN) != 0, -1 };
    if (b->plan.packed >= 0) {
        b->kernels[n] = (Kernel){ .kind = KERNEL_PACK };
        snprintf(b->kernels[n].name, sizeof b->kernels[n].name, "pack");
        n++;
    }
    b->kernels[n] = (Kernel){ .kind = KERNEL_CONTRACT };
    snprintf(b->kernels[n].name, sizeof b->kernels[n].name, "contract");
    n++;
    if (b->plan.combine) {
        b->kernels[n] = (Kernel){ .kind = KERNEL_CONTRACT };
        snprintf(b->kernels[n].name, sizeof b->kernels[n].name, "combine");
        b->ctx.combine = (int)n;
        n++;
    }
    for (uint32_t i = 0; i < n; i++)
        ks[i] = &b->kernels[i];
    b->nkernels = n;
    Text        dump = { 0 };
    const char *stage = getenv("DUMP");
    bool        ok = jit_compile(jit, b->dims, ks, n, emit_one, &b->ctx, stage, stage ? &dump : NULL, &st);
    if (stage)
        fputs(dump.at, stdout);
    text_free(&dump);
    CHECK(ok, "%s (%s)", st.message, t->cpu);
    return ok;
}

static void built_free(Built *b)
{
    for (uint32_t i = 0; i < b->nkernels; i++) {
        vec_free(&b->kernels[i].bufs);
        vec_free(&b->kernels[i].args);
    }
    graph_free(b->g);
    dims_free(b->dims);
}

/* Runs the kernels over buffers named by role: in0, in1, packed, scratch, out, residual. Returns the result buffer. */
static Buf run(Built *b, const DimBind *sizes, uint32_t nsizes, Buf in0, Buf in1, Buf residual, int64_t out_size, int threads)
{
    DimBind  binds[8];
    uint32_t nbinds = nsizes;
    memcpy(binds, sizes, nsizes * sizeof *sizes);
    binds[nbinds++] = (DimBind){ threads_dim(b->dims), threads };
    const ContractPlan *p = &b->plan;
    Buf packed = buf_new(p->packed >= 0 ? eval(b, p->packed_elems, binds, nbinds) : 0, NAN);
    Buf scratch = buf_new(eval(b, p->scratch_elems, binds, nbinds), NAN), out = buf_new(out_size, -77);
    for (uint32_t k = 0; k < b->nkernels; k++) {
        Kernel *kn = &b->kernels[k];
        void   *bufs[8];
        int64_t args[32];
        bool    packing = p->packed >= 0 && k == 0, combining = p->combine && (int)k == b->ctx.combine;
        CHECK(kn->bufs.n <= 8 && kn->args.n <= 32, "buffers");
        int scratches = 0;
        for (uint32_t i = 0; i < kn->bufs.n; i++) {
            BufUse *u = &kn->bufs.at[i];
            Buf     is;
            if (u->value == 1)
                is = residual;
            else if (u->value == p->node)
                is = out;
            else if (u->value == 0) {
                bool second = !packing && !combining && p->packed >= 0 && scratches++ > 0;
                is = combining || (!packing && p->packed < 0) || second ? scratch : packed;
            } else
                is = u->value == node_arg(p->g, p->node, 0) && !(packing && p->packed == 1) ? in0 : in1;
            bufs[i] = is.at;
            int64_t elems = eval(b, u->elems, binds, nbinds);
            CHECK(elems == is.n, "buffer %u of %s: %lld elements, has %lld", i, kn->name, (long long)elems, (long long)is.n);
        }
        for (uint32_t i = 0; i < kn->args.n; i++)
            CHECK(dim_eval(b->dims, kn->args.at[i], binds, nbinds, &args[i]), "argument");
        eval(b, kn->tasks, binds, nbinds);
        launch(kn, bufs, args, threads);
    }
    buf_free(&packed);
    buf_free(&scratch);
    return out;
}

static const char *describe(const Case *c)
{
    static char text[180];
    static const char *const names[] = { "conv", "conv_dx", "conv_dw" };
    snprintf(text, sizeof text, "%s n%d c%d %dx%d k%d %dx%d stride %d pad %d dil %d groups %d flags %d", names[c->op - OP_conv],
             c->n, c->c, c->h, c->w, c->k, c->r, c->s, c->stride, c->pad, c->dil, c->groups, c->flags);
    return text;
}

/* Element i of the stored result against the reference. */
static void compare_conv(const Case *c, const Built *b, Shape s, const RefOut *o, const float *residual, Buf out, const char *cpu)
{
    double  worst = 0;
    int64_t i = 0, bad = -1;
    char   *seen = calloc((size_t)out.n, 1);
    for (int64_t n = 0; n < s.d[0]; n++)
        for (int64_t ch = 0; ch < s.d[1]; ch++)
            for (int64_t h = 0; h < s.d[2]; h++)
                for (int64_t w = 0; w < s.d[3]; w++, i++) {
                    int64_t at = stored_at(s, b->out, n, ch, h, w);
                    double  want = b->ctx.plain ? o->v[i] : 2 * o->v[i] + residual[i] + 1;
                    double  err = fabs(out.at[at] - want) / (1e-5 * o->mag[i] + 1e-5);
                    seen[at] = 1;
                    if (!(err <= worst)) {
                        worst = err;
                        bad = i;
                    }
                }
    CHECK(worst <= 1, "%s (%s): off by %g tolerances at %lld", describe(c), cpu, worst, (long long)bad);
    int64_t v = b->out.block, blocks = (s.d[1] + v - 1) / v, wrong = 0;
    for (int64_t n = 0; n < s.d[0]; n++)      /* padded lanes are zero */
        for (int64_t ch = s.d[1]; ch < blocks * v; ch++)
            for (int64_t h = 0; h < s.d[2]; h++)
                for (int64_t w = 0; w < s.d[3]; w++) {
                    int64_t at = stored_at(s, b->out, n, ch, h, w);
                    seen[at] = 1;
                    wrong += out.at[at] != 0;
                }
    CHECK(wrong == 0, "%s (%s): %lld padded lanes are not zero", describe(c), cpu, (long long)wrong);
    for (int64_t k = wrong = 0; k < out.n; k++)
        wrong += !seen[k] && out.at[k] != -77;
    CHECK(wrong == 0, "%s (%s): %lld elements of the halo were written", describe(c), cpu, (long long)wrong);
    free(seen);
}

static float *random_rows(Shape s)
{
    int64_t n = s.d[0] * s.d[1] * s.d[2] * s.d[3];
    float  *v = malloc((size_t)(n ? n : 1) * sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = noise();
    return v;
}

/* One thread, whose results are near the reference, then more threads, whose results are the same bits. */
static void run_and_compare(Built *b, const Case *c, const char *what, const DimBind *binds, uint32_t nb, Buf in0, Buf in1, Buf residual, Shape so, const RefOut *o, const float *res, const char *cpu)
{
    Buf one = run(b, binds, nb, in0, in1, residual, stored_size(so, b->out), 1);
    compare_conv(c, b, so, o, res, one, cpu);
    for (int threads = 2; threads <= 4; threads += 2) {
        Buf more = run(b, binds, nb, in0, in1, residual, stored_size(so, b->out), threads);
        CHECK(memcmp(one.at, more.at, (size_t)one.n * 4) == 0, "%s%s (%s): %d threads give other bits", what, describe(c), cpu, threads);
        buf_free(&more);
    }
    buf_free(&one);
    buf_free(&in0);
    buf_free(&in1);
    buf_free(&residual);
}

static void run_conv(Built *b, const Case *c, int n, int h, int w, const Target *t)
{
    DimBind  binds[3];
    uint32_t nb = 0;
    if (c->flags & SYM_N)
        binds[nb++] = (DimBind){ dim_sym(b->dims, intern("N")), n };
    if (c->flags & SYM_H)
        binds[nb++] = (DimBind){ dim_sym(b->dims, intern("H")), h };
    if (c->flags & SYM_W)
        binds[nb++] = (DimBind){ dim_sym(b->dims, intern("W")), w };
    Shape  xs = { { n, c->c, h, w } }, ws = { { c->k, c->c / c->groups, c->r, c->s } }, gs = { { n, c->k, conv_size(h, c->r, c), conv_size(w, c->s, c) } };
    Shape  s0 = c->op == OP_conv_dx ? gs : xs, s1 = c->op == OP_conv_dw ? gs : ws, so = c->op == OP_conv ? gs : c->op == OP_conv_dx ? xs : ws;
    float *a = random_rows(s0), *bb = random_rows(s1), *res = random_rows(so);
    int64_t no = so.d[0] * so.d[1] * so.d[2] * so.d[3];
    RefOut o = { calloc((size_t)no + 1, sizeof(double)), calloc((size_t)no + 1, sizeof(double)), no };
    reference(c, xs, ws, gs, a, bb, &o);
    Buf in0 = stored(s0, b->plan.in[0], a), in1 = stored(s1, b->plan.in[1], bb), residual = stored(so, b->out, res);
    run_and_compare(b, c, "", binds, nb, in0, in1, residual, so, &o, res, t->cpu);
    free(a);
    free(bb);
    free(res);
    free(o.v);
    free(o.mag);
}

static int winograds;          /* cases that ran so */

static void test_conv(const Case *c, Jit *jit, const Target *t)
{
    Built b = { .dims = dims_new() };
    b.g = graph_new("test", b.dims);
    DimTable *d = b.dims;
    Dim     x[4] = { c->flags & SYM_N ? dim_sym(d, intern("N")) : dim_const(d, c->n), dim_const(d, c->c),
                     c->flags & SYM_H ? dim_sym(d, intern("H")) : dim_const(d, c->h), c->flags & SYM_W ? dim_sym(d, intern("W")) : dim_const(d, c->w) };
    Dim     w[4] = { dim_const(d, c->k), dim_const(d, c->c / c->groups), dim_const(d, c->r), dim_const(d, c->s) };
    Dim     g[4] = { x[0], w[0] };
    int64_t attrs[9] = { c->stride, c->stride, c->pad, c->pad + more_pad(c), c->pad, c->pad + more_pad(c), c->dil, c->dil, c->groups };
    for (int i = 2; i < 4; i++) {
        int64_t grow = 2 * c->pad + more_pad(c) - c->dil * ((i == 2 ? c->r : c->s) - 1) - 1;
        g[i] = dim_add(d, dim_floordiv(d, dim_add(d, x[i], dim_const(d, grow)), c->stride), dim_const(d, 1));
    }
    const Dim *s0 = c->op == OP_conv_dx ? g : x, *s1 = c->op == OP_conv_dw ? g : w, *so = c->op == OP_conv ? NULL : c->op == OP_conv_dx ? x : w;
    Dim        scalar[4] = { 0 };
    make_node(b.g, OP_const, DT_F32, 0, scalar, 0, NULL, 0, NULL, 5);      /* node 1: stands for the residual */
    int64_t zero = 0, one = 1;
    Ref     args[2] = { make_node(b.g, OP_input, DT_F32, 4, s0, 0, NULL, 1, &zero, 0), make_node(b.g, OP_input, DT_F32, 4, s1, 0, NULL, 1, &one, 0) };
    Ref     r = make_node(b.g, (Op)c->op, DT_F32, so ? 4 : 0, so, 2, args, 9, attrs, 0);
    contract_plan(b.g, r, t, &b.plan);
    if (t->winograd == WINOGRAD_ALWAYS) {
        Target       plain = *t;
        ContractPlan p;
        plain.winograd = WINOGRAD_NEVER;
        contract_plan(b.g, r, &plain, &p);
        if (memcmp(p.variant, b.plan.variant, sizeof p.variant) == 0) {        /* it does not fit here */
            built_free(&b);
            return;
        }
        winograds++;
    }
    if (getenv("VERBOSE")) {
        printf("%s (%s): variant", describe(c), t->cpu);
        for (int i = 0; i < 11; i++)
            printf(" %d", b.plan.variant[i]);
        printf("\n");
        fflush(stdout);
    }
    if (compile(&b, c, jit, t)) {
        run_conv(&b, c, c->n, c->h, c->w, t);
        if (c->flags & SYM)        /* other sizes, the same code */
            for (int i = 1; i <= 4; i++)
                run_conv(&b, c, c->flags & SYM_N ? i : c->n, c->flags & SYM_H ? c->h + i * i : c->h, c->flags & SYM_W ? c->w + i * i * 2 : c->w, t);
    }
    built_free(&b);
}

static const Case conv_cases[] = {
    /* op        n  c   h  w   k   r  s  st pad dil groups flags */
    { OP_conv, 1, 16, 8, 14, 32, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv, 1, 16, 8, 14, 32, 3, 3, 1, 1, 1, 1, PLAIN },
    { OP_conv, 2, 32, 9, 17, 48, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv, 1, 32, 5, 64, 64, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv, 3, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv, 33, 32, 4, 4, 96, 3, 3, 1, 1, 1, 1, SYM_N },
    { OP_conv, 5, 16, 7, 7, 112, 3, 3, 1, 1, 1, 1, WIDE_OUT },
    { OP_conv, 2, 17, 6, 5, 33, 3, 3, 1, 1, 1, 1, WIDE_IN },
    { OP_conv, 2, 31, 6, 5, 15, 3, 3, 1, 1, 1, 1, WIDE_OUT },
    { OP_conv, 2, 20, 6, 19, 20, 1, 1, 1, 0, 1, 1, 0 },
    { OP_conv, 2, 32, 1, 1, 40, 1, 1, 1, 0, 1, 1, SYM_N },
    { OP_conv, 9, 40, 4, 4, 24, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv, 1, 32, 16, 16, 32, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv, 2, 16, 9, 11, 16, 3, 3, 2, 1, 1, 1, SYM },
    { OP_conv, 2, 16, 12, 13, 32, 3, 3, 1, 2, 2, 1, SYM },
    { OP_conv, 1, 16, 7, 1, 64, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv, 1, 16, 3, 22, 16, 3, 3, 1, 1, 1, 1, SYM | WIDE_OUT },
    { OP_conv, 1, 16, 10, 10, 16, 5, 3, 3, 2, 1, 1, WIDE_IN },
    { OP_conv, 1, 3, 16, 20, 64, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv, 2, 3, 12, 18, 32, 9, 9, 1, 4, 1, 1, SYM | WIDE_IN },
    { OP_conv, 3, 3, 16, 16, 16, 4, 4, 2, 1, 1, 1, SYM_N },
    { OP_conv, 2, 1, 8, 8, 20, 5, 5, 2, 2, 1, 1, 0 },
    { OP_conv, 1, 15, 6, 6, 17, 2, 2, 1, 0, 1, 1, 0 },
    { OP_conv, 2, 64, 9, 40, 3, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv, 1, 32, 14, 21, 3, 9, 9, 1, 4, 1, 1, SYM },
    { OP_conv, 2, 32, 8, 8, 1, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv, 2, 48, 8, 9, 7, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv, 2, 16, 5, 3, 15, 1, 1, 1, 0, 1, 1, SYM },
    { OP_conv, 2, 3, 9, 37, 3, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv, 2, 3, 9, 7, 8, 3, 3, 2, 1, 1, 1, SYM },
    { OP_conv, 1, 1, 12, 33, 1, 5, 5, 1, 2, 1, 1, SYM },
    { OP_conv, 2, 4, 9, 20, 6, 3, 3, 1, 1, 2, 2, 0 },
    { OP_conv, 2, 32, 9, 12, 32, 3, 3, 1, 1, 1, 32, WIDE_IN | WIDE_OUT },
    { OP_conv, 2, 40, 9, 30, 40, 3, 3, 2, 1, 1, 40, SYM },
    { OP_conv, 2, 6, 9, 10, 6, 3, 3, 1, 1, 1, 6, 0 },
    { OP_conv, 1, 64, 7, 9, 64, 3, 3, 1, 1, 1, 2, 0 },
    { OP_conv, 1, 64, 7, 9, 64, 3, 3, 1, 1, 1, 16, 0 },
    { OP_conv, 1, 24, 7, 9, 48, 3, 3, 1, 1, 1, 3, 0 },
    { OP_conv, 1, 32, 7, 9, 64, 3, 3, 1, 1, 1, 32, 0 },
    { OP_conv, 1, 36, 5, 5, 18, 3, 3, 1, 1, 1, 9, 0 },
    { OP_conv, 0, 16, 4, 4, 16, 3, 3, 1, 1, 1, 1, SYM_N },
    { OP_conv, 1, 16, 3, 3, 16, 7, 7, 1, 3, 1, 1, 0 },

    { OP_conv_dw, 2, 32, 9, 17, 32, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dw, 3, 48, 16, 16, 64, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv_dw, 5, 17, 13, 10, 32, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dw, 2, 20, 11, 14, 96, 4, 4, 2, 1, 1, 1, SYM | WIDE_OUT },
    { OP_conv_dw, 2, 16, 10, 9, 32, 2, 2, 1, 0, 1, 1, PLAIN },
    { OP_conv_dx, 1, 32, 8, 14, 16, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv_dx, 2, 48, 9, 17, 32, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dx, 2, 64, 16, 16, 32, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv_dx, 2, 32, 8, 8, 64, 4, 4, 2, 1, 1, 1, SYM },
    { OP_conv_dx, 2, 16, 9, 11, 16, 3, 3, 2, 1, 1, 1, 0 },
    { OP_conv_dx, 2, 16, 9, 11, 16, 3, 3, 2, 1, 1, 1, SYM },
    { OP_conv_dx, 2, 17, 10, 12, 33, 3, 3, 2, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dx, 2, 16, 11, 13, 16, 1, 1, 2, 0, 1, 1, SYM },
    { OP_conv_dx, 2, 16, 11, 14, 16, 1, 1, 3, 0, 1, 1, WIDE_OUT },
    { OP_conv_dx, 1, 16, 13, 14, 16, 5, 3, 3, 2, 1, 1, SYM },
    { OP_conv_dx, 1, 16, 13, 14, 16, 3, 3, 2, 2, 2, 1, 0 },
    { OP_conv_dx, 1, 16, 15, 17, 16, 3, 3, 3, 2, 2, 1, SYM },
    { OP_conv_dx, 1, 16, 12, 12, 16, 3, 3, 1, 2, 2, 1, 0 },
    { OP_conv_dx, 9, 64, 4, 4, 32, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dx, 3, 32, 5, 5, 20, 3, 3, 2, 0, 1, 1, 0 },
    { OP_conv_dx, 2, 32, 5, 4, 20, 3, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dx, 2, 3, 16, 16, 32, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv_dx, 2, 3, 14, 50, 64, 4, 4, 2, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dx, 2, 3, 9, 19, 16, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dx, 2, 7, 9, 11, 16, 3, 3, 2, 1, 1, 1, SYM },
    { OP_conv_dx, 1, 3, 12, 12, 32, 9, 9, 1, 4, 1, 1, 0 },
    { OP_conv_dx, 1, 3, 9, 23, 3, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dx, 2, 3, 8, 8, 8, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv_dx, 2, 20, 8, 8, 3, 4, 4, 2, 1, 1, 1, SYM },
    { OP_conv_dx, 2, 32, 8, 8, 1, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dx, 2, 64, 9, 10, 64, 3, 3, 1, 1, 1, 4, 0 },
    { OP_conv_dx, 2, 32, 9, 10, 32, 3, 3, 1, 1, 1, 8, SYM },
    { OP_conv_dx, 2, 32, 9, 12, 32, 3, 3, 2, 1, 1, 32, WIDE_IN | WIDE_OUT },
    { OP_conv_dx, 2, 40, 9, 30, 40, 3, 3, 1, 1, 1, 40, SYM },
    { OP_conv_dx, 1, 32, 7, 9, 64, 3, 3, 1, 1, 1, 32, 0 },
    { OP_conv_dx, 1, 16, 40, 9, 16, 3, 3, 20, 1, 1, 1, 0 },

    { OP_conv_dw, 2, 32, 9, 12, 32, 3, 3, 1, 1, 1, 1, 0 },
    { OP_conv_dw, 2, 64, 8, 8, 48, 3, 3, 1, 1, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dw, 3, 32, 16, 16, 32, 4, 4, 2, 1, 1, 1, SYM_N },
    { OP_conv_dw, 3, 17, 9, 7, 104, 3, 2, 1, 1, 1, 1, SYM | WIDE_OUT },      /* runs of output channels, the last one shorter */
    { OP_conv_dw, 2, 17, 9, 7, 33, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dw, 2, 20, 6, 19, 20, 1, 1, 1, 0, 1, 1, SYM },
    { OP_conv_dw, 5, 16, 4, 4, 16, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dw, 2, 16, 9, 11, 16, 5, 5, 2, 2, 1, 1, WIDE_IN },
    { OP_conv_dw, 2, 16, 12, 12, 16, 3, 3, 1, 2, 2, 1, 0 },
    { OP_conv_dw, 1, 16, 12, 14, 24, 9, 9, 1, 4, 1, 1, 0 },
    { OP_conv_dw, 1, 16, 12, 14, 24, 7, 2, 1, 1, 1, 1, 0 },
    { OP_conv_dw, 2, 3, 12, 12, 32, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dw, 2, 3, 12, 12, 32, 9, 9, 1, 4, 1, 1, WIDE_IN | WIDE_OUT },
    { OP_conv_dw, 2, 3, 16, 16, 48, 4, 4, 2, 1, 1, 1, 0 },
    { OP_conv_dw, 2, 1, 8, 8, 20, 5, 5, 2, 2, 1, 1, 0 },
    { OP_conv_dw, 2, 32, 9, 9, 3, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dw, 2, 32, 8, 8, 1, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dw, 2, 40, 9, 9, 7, 4, 4, 2, 1, 1, 1, WIDE_OUT },
    { OP_conv_dw, 2, 3, 9, 9, 3, 3, 3, 1, 1, 1, 1, SYM },
    { OP_conv_dw, 2, 1, 12, 12, 8, 5, 5, 2, 2, 1, 1, 0 },
    { OP_conv_dw, 2, 32, 9, 12, 32, 3, 3, 1, 1, 1, 32, SYM },
    { OP_conv_dw, 2, 40, 9, 12, 40, 3, 3, 2, 1, 1, 40, WIDE_IN | WIDE_OUT },
    { OP_conv_dw, 1, 64, 7, 9, 64, 3, 3, 1, 1, 1, 2, 0 },
    { OP_conv_dw, 1, 64, 7, 9, 64, 3, 3, 1, 1, 1, 16, 0 },
    { OP_conv_dw, 2, 32, 7, 9, 64, 3, 3, 2, 1, 1, 8, SYM },
    { OP_conv_dw, 2, 32, 7, 9, 128, 3, 2, 1, 1, 1, 4, WIDE_IN },
    { OP_conv_dw, 2, 40, 7, 9, 40, 3, 3, 1, 1, 1, 10, 0 },
    { OP_conv_dx, 2, 4, 9, 40, 8, 4, 4, 2, 1, 1, 1, SYM | WIDE_OUT },
    { OP_conv_dx, 2, 3, 10, 35, 6, 3, 5, 3, 1, 1, 3, WIDE_IN | WIDE_OUT },
    { OP_conv_dx, 2, 2, 4, 4, 5, 4, 4, 1, 0, 1, 1, SYM_N },
    { OP_conv_dw, 1, 6, 7, 9, 6, 3, 3, 1, 1, 1, 3, 0 },
    { OP_conv_dw, 0, 16, 7, 9, 16, 3, 3, 1, 1, 1, 1, SYM_N },
    { OP_conv_dw, 2, 128, 4, 4, 64, 4, 4, 1, 0, 1, 1, SYM_N },
};

/* ---- matmul ---- */
enum { SYM_M = 1, SYM_COLS = 2, SYM_K = 4, SYM_B = 64 };
typedef struct { int rank, b0, b1, m, n, k, ta, tb, flags; } MatCase;    /* rank 2: b0 = b1 = 1; rank 3: b0 = 1 */

static void run_matmul(Built *b, const MatCase *c, int b1, int m, int n, int k, const Target *t)
{
    DimBind binds[] = { { dim_sym(b->dims, intern("M")), m }, { dim_sym(b->dims, intern("N")), n }, { dim_sym(b->dims, intern("K")), k },
                        { dim_sym(b->dims, intern("B")), b1 } };
    Shape   s0 = { { c->b0, b1, c->ta ? k : m, c->ta ? m : k } }, s1 = { { c->b0, b1, c->tb ? n : k, c->tb ? k : n } }, so = { { c->b0, b1, m, n } };
    float  *a = random_rows(s0), *bb = random_rows(s1), *res = random_rows(so);
    int64_t no = (int64_t)c->b0 * b1 * m * n;
    RefOut  o = { calloc((size_t)no + 1, sizeof(double)), calloc((size_t)no + 1, sizeof(double)), no };
    for (int64_t i = 0; i < no; i++) {
        int64_t batch = i / n / m, row = i / n % m, col = i % n;
        for (int64_t l = 0; l < k; l++) {
            double p = (double)a[batch * m * k + (c->ta ? l * m + row : row * k + l)] * bb[batch * n * k + (c->tb ? col * k + l : l * n + col)];
            o.v[i] += p;
            o.mag[i] += fabs(p);
        }
    }
    Case like = { OP_conv, c->b0, b1, m, n, k, c->ta, c->tb, 0, 0, 0, 0, c->flags };      /* for messages: n c h w k r s are b0 b1 m n k ta tb */
    Buf  in0 = stored(s0, b->plan.in[0], a), in1 = stored(s1, b->plan.in[1], bb), residual = stored(so, b->out, res);
    run_and_compare(b, &like, "matmul ", binds, 4, in0, in1, residual, so, &o, res, t->cpu);
    free(a);
    free(bb);
    free(res);
    free(o.v);
    free(o.mag);
}

static void test_matmul(const MatCase *c, Jit *jit, const Target *t)
{
    Built b = { .dims = dims_new() };
    b.g = graph_new("test", b.dims);
    DimTable *d = b.dims;
    Dim     m = c->flags & SYM_M ? dim_sym(d, intern("M")) : dim_const(d, c->m), n = c->flags & SYM_COLS ? dim_sym(d, intern("N")) : dim_const(d, c->n);
    Dim     k = c->flags & SYM_K ? dim_sym(d, intern("K")) : dim_const(d, c->k), b1 = c->flags & SYM_B ? dim_sym(d, intern("B")) : dim_const(d, c->b1);
    Dim     s0[4] = { dim_const(d, c->b0), b1, c->ta ? k : m, c->ta ? m : k }, s1[4] = { s0[0], b1, c->tb ? n : k, c->tb ? k : n };
    int64_t attrs[2] = { c->ta, c->tb }, zero = 0, one = 1;
    Dim     scalar[4] = { 0 };
    int     skip = 4 - c->rank;
    make_node(b.g, OP_const, DT_F32, 0, scalar, 0, NULL, 0, NULL, 5);
    Ref args[2] = { make_node(b.g, OP_input, DT_F32, c->rank, s0 + skip, 0, NULL, 1, &zero, 0),
                    make_node(b.g, OP_input, DT_F32, c->rank, s1 + skip, 0, NULL, 1, &one, 0) };
    contract_plan(b.g, make_node(b.g, OP_matmul, DT_F32, 0, NULL, 2, args, 2, attrs, 0), t, &b.plan);
    Case like = { .op = OP_matmul, .flags = c->flags & (WIDE_OUT | PLAIN) };
    if (getenv("VERBOSE")) {
        printf("matmul %dx%d %dx%dx%d ta %d tb %d flags %d (%s): variant", c->b0, c->b1, c->m, c->n, c->k, c->ta, c->tb, c->flags, t->cpu);
        for (int i = 0; i < 11; i++)
            printf(" %d", b.plan.variant[i]);
        printf("\n");
        fflush(stdout);
    }
    if (compile(&b, &like, jit, t)) {
        run_matmul(&b, c, c->b1, c->m, c->n, c->k, t);
        for (int i = 1; i <= 4 && (c->flags & (SYM_M | SYM_COLS | SYM_K | SYM_B)); i++)
            run_matmul(&b, c, c->flags & SYM_B ? i : c->b1, c->flags & SYM_M ? 3 * i * i - 2 : c->m, c->flags & SYM_COLS ? 7 * i * i - 6 : c->n,
                       c->flags & SYM_K ? c->k + 5 * (i - 2) : c->k, t);
    }
    built_free(&b);
}

static const MatCase mat_cases[] = {
    /* rank b0 b1 m  n   k   ta tb flags */
    { 2, 1, 1, 1, 1, 1, 0, 0, 0 },
    { 2, 1, 1, 1, 100, 37, 0, 0, 0 },
    { 2, 1, 1, 1, 100, 37, 0, 1, PLAIN },
    { 2, 1, 1, 28, 64, 32, 0, 0, 0 },
    { 2, 1, 1, 28, 64, 32, 1, 1, 0 },
    { 2, 1, 1, 33, 47, 29, 0, 0, 0 },
    { 2, 1, 1, 33, 47, 29, 0, 1, 0 },
    { 2, 1, 1, 33, 47, 29, 1, 0, 0 },
    { 2, 1, 1, 33, 47, 29, 1, 1, 0 },
    { 2, 1, 1, 15, 16, 17, 0, 1, 0 },
    { 2, 1, 1, 17, 15, 16, 1, 0, 0 },
    { 2, 1, 1, 7, 3, 5, 0, 0, 0 },
    { 2, 1, 1, 7, 3, 5, 1, 1, 0 },
    { 2, 1, 1, 100, 200, 33, 0, 0, 0 },
    { 2, 1, 1, 9, 50, 40, 0, 0, SYM_M },
    { 2, 1, 1, 9, 50, 40, 0, 1, SYM_M },
    { 2, 1, 1, 9, 50, 40, 1, 0, SYM_K },
    { 2, 1, 1, 40, 20, 9, 1, 0, SYM_K },
    { 2, 1, 1, 20, 31, 45, 0, 0, SYM_M | SYM_COLS | SYM_K },
    { 2, 1, 1, 20, 31, 45, 1, 1, SYM_M | SYM_COLS | SYM_K },
    { 2, 1, 1, 20, 70, 45, 1, 0, SYM_M | SYM_COLS | SYM_K },
    { 2, 1, 1, 20, 70, 45, 0, 1, SYM_M | SYM_COLS | SYM_K },
    { 2, 1, 1, 20, 24, 5000, 0, 1, 0 },
    { 2, 1, 1, 17, 33, 4500, 0, 1, SYM_K },
    { 2, 1, 1, 17, 33, 4500, 1, 0, SYM_K },
    { 3, 1, 3, 20, 20, 64, 0, 1, SYM_K | SYM_B },
    { 3, 1, 2, 16, 16, 4200, 0, 1, 0 },
    { 3, 1, 5, 9, 33, 21, 0, 0, SYM_B },
    { 3, 1, 5, 9, 33, 21, 1, 1, WIDE_OUT },
    { 4, 2, 3, 9, 33, 21, 0, 0, WIDE_OUT },
    { 4, 2, 3, 9, 33, 21, 1, 1, SYM_M | SYM_COLS | SYM_K | WIDE_OUT },
    { 4, 2, 17, 9, 11, 7, 0, 0, WIDE_OUT },
    { 4, 2, 16, 9, 11, 7, 1, 1, SYM_M | SYM_COLS | SYM_K },
    { 4, 1, 20, 3, 11, 7, 0, 1, 0 },
    { 4, 2, 3, 5, 40, 21, 0, 1, SYM_B },
    { 2, 1, 1, 5, 6, 0, 0, 0, 0 },
};

/* Shapes that nobody thought of. */
static int pick(int n) { return (int)((noise() + 1) * 0.5f * (float)n) % n; }

static Case random_case(void)
{
    static const int channels[] = { 1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 64 };
    static const int kernels[] = { 1, 2, 3, 3, 3, 4, 4, 5, 6, 7 };
    for (;;) {
        Case c = { .op = OP_conv + pick(3), .n = 1 + pick(4), .h = 1 + pick(14), .w = 1 + pick(36) };
        c.c = channels[pick(COUNT(channels))];
        c.k = channels[pick(COUNT(channels))];
        c.r = kernels[pick(COUNT(kernels))];
        c.s = pick(4) ? c.r : kernels[pick(COUNT(kernels))];
        c.stride = 1 + (pick(2) ? 0 : pick(4));
        c.pad = pick(4);
        c.dil = pick(5) ? 1 : 1 + pick(3);
        c.groups = pick(4) ? 1 : 1 + pick(4);
        if (!pick(12))
            c.groups = c.k = c.c;
        c.flags = (pick(2) ? pick(8) : 0) | (pick(3) ? 0 : WIDE_IN) | (pick(3) ? 0 : WIDE_OUT) | (pick(6) ? 0 : PLAIN);
        c.flags |= (pick(3) ? ROWS : 0) | (pick(4) ? 0 : pick(3) * MORE);
        if (c.c % c.groups == 0 && c.k % c.groups == 0 && c.h + 2 * c.pad > c.dil * (c.r - 1) && c.w + 2 * c.pad > c.dil * (c.s - 1))
            return c;
    }
}

/* With the convolutions summed as written, and with Winograd wherever that fits. */
static void test_ways(const Case *c, Jit *jit, const Target *t)
{
    Target way = *t;
    for (int i = WINOGRAD_NEVER; i <= WINOGRAD_ALWAYS; i++) {
        way.winograd = (uint8_t)i;
        test_conv(c, jit, &way);
    }
}

static void test_isa(const char *cpu, int turn)
{
    Target t;
    Status st = { 0 };
    if (!target_detect(cpu, &t, &st)) {
        printf("%s: skipped, %s\n", cpu, st.message);
        return;
    }
    Jit *jit = jit_new(&t, &st);
    CHECK(jit, "%s", st.message);
    if (!jit)
        return;
    const char *only = getenv("ONLY");
    for (size_t i = 0; i < COUNT(conv_cases); i++)
        if (!left_out((int)i + turn, ISAS) && (!only || atoi(only) == (int)i)) {
            Case rows = conv_cases[i];
            test_ways(&rows, jit, &t);
            rows.flags |= ROWS;
            if (rows.op != OP_conv_dw && rows.c / rows.groups >= t.vec)
                test_ways(&rows, jit, &t);
        }
    int random = getenv("RANDOM_CASES") ? atoi(getenv("RANDOM_CASES")) : 60;
    for (int i = 0; i < random; i++) {
        seed = (uint32_t)i * 7919u + 12345u;
        Case c = random_case();
        if (!left_out(i + turn, ISAS) && (!only || atoi(only) == i + 2000))
            test_ways(&c, jit, &t);
    }
    for (size_t i = 0; i < COUNT(mat_cases); i++)
        if (!left_out((int)i + turn, ISAS) && (!only || atoi(only) == (int)i + 1000))
            test_matmul(&mat_cases[i], jit, &t);
    jit_free(jit);
}

int main(void)
{
    static const char *const cpus[ISAS] = { "avx512", "avx2", "baseline" };
    for (int i = 0; i < ISAS; i++)
        if (!getenv("CPU") || strcmp(getenv("CPU"), cpus[i]) == 0)
            test_isa(cpus[i], i);
    printf("%d cases by Winograd's way\n", winograds);
    return check_done();
}
