/* test_vecmath.c - the vector functions against libm in f64: dense over the range that matters, with every special value, on every instruction set.
 *
 * Errors are in units of the last place of the f32 result (of the smallest normal number below that). The bounds are those that vecmath.c states.
 * Random numbers must be rng.c's, bit for bit.
 */
#include "check.h"
#include "emit.h"
#include "loops.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const isas[] = { "baseline", "avx2", "avx512" };

typedef struct { Op op; double (*f)(double); float lo, hi; double bound; } Function;

static double sigmoid64(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double softplus64(double x) { return isnan(x) ? x : fmax(x, 0) + log1p(exp(-fabs(x))); }
static double rsqrt64(double x) { return 1 / sqrt(x); }

/* Ranges are given twice: where functions work and where they run out. */
static const Function functions[] = {
    { OP_exp, exp, -90, 90, 1.5 },
    { OP_exp, exp, -1, 1, 1.5 },
    { OP_exp, exp, -110, -80, 1.5 },
    { OP_log, log, 0, 10, 1.5 },
    { OP_log, log, 0.5f, 2, 1.5 },
    { OP_log, log, 1e30f, 3e38f, 1.5 },
    { OP_log, log, 1e-45f, 1e-37f, 1.5 },
    { OP_tanh, tanh, -12, 12, 3 },
    { OP_tanh, tanh, -0.1f, 0.1f, 3 },
    { OP_sigmoid, sigmoid64, -80, 30, 3 },
    { OP_sigmoid, sigmoid64, -2, 2, 3 },
    { OP_softplus, softplus64, -80, 30, 3 },
    { OP_softplus, softplus64, -2, 2, 3 },
    { OP_sqrt, sqrt, 0, 100, 0.5 },
    { OP_rsqrt, rsqrt64, 1e-6f, 100, 1.5 },
    { OP_sin, sin, -10, 10, 2 },
    { OP_sin, sin, -1e5f, 1e5f, 2 },
    { OP_cos, cos, -10, 10, 2 },
    { OP_cos, cos, -1e5f, 1e5f, 2 },
    { OP_floor, floor, -1000, 1000, 0 },
    { OP_floor, floor, -3e9f, 3e9f, 0 },
    { OP_round, nearbyint, -1000, 1000, 0 },
    { OP_round, nearbyint, -3e7f, 3e7f, 0 },
};

/* ---- kernels: y[i] = f(x[i]), by vectors; bufs: x, x2, y; args: vectors ---- */
typedef struct { Op op; bool uniform, normal; int64_t stream; } What;

static void emit_one(void *ctx, Emit *e, uint32_t index)
{
    const What  *w = (const What *)ctx + index;
    int          vec = e->target->vec;
    LLVMValueRef args = load_of(e, t_i64(e), e->args, 8), base[3];
    for (int i = 0; i < 3; i++)
        base[i] = load_of(e, t_ptr(e), addr_of(e, t_ptr(e), e->bufs, c_int(e, i)), 8);
    Loop         l = loop_begin(e, c_int(e, 0), args, 1, 0, NULL);
    LLVMValueRef at = i_mulc(e, l.i, vec), y;
    if (w->uniform || w->normal) {
        LLVMValueRef first = load_of(e, t_i64(e), base[0], 8);
        LLVMValueRef i = LLVMBuildAdd(e->b, splat(e, i_add(e, first, at), vec), c_ramp(e, vec), "");
        LLVMValueRef lo = LLVMConstInt(t_i32(e), 0x89abcdefu, 0), hi = LLVMConstInt(t_i32(e), 0x01234567u, 0), step = LLVMConstInt(t_i32(e), 77, 0);
        y = (w->uniform ? vec_uniform : vec_normal)(e, i, lo, hi, step, w->stream);
    } else {
        LLVMValueRef x = vec_load(e, addr(e, base[0], at), vec), x2 = vec_load(e, addr(e, base[1], at), vec);
        y = vec_math(e, w->op, x, x2);
    }
    store(e, y, addr(e, base[2], at));
    loop_end(e, &l, NULL);
}

/* Error of y against exact, in units of the last place. */
static double ulps(float y, double exact)
{
    float rounded = (float)exact;
    if (isnan(exact) || isnan(y))
        return isnan(exact) && isnan(y) ? 0 : INFINITY;
    if (isinf(rounded) || isinf(y)) {
        if (rounded == y)
            return 0;
        return isinf(y) && fabs(exact) > 3.4028233e38 ? 0.5 : INFINITY;    /* half a unit from the border either is right */
    }
    int e;
    frexp(fabs(exact) < 0x1p-126 ? 0x1p-126 : exact, &e);
    return fabs((double)y - exact) / ldexp(1, e - 24);
}

enum { MANY = 1 << 16 };
static float x[MANY], x2[MANY], y[MANY];

static void fill(const Function *f)
{
    static const float special[] = { 0.0f, -0.0f, 1, -1, 0.5f, -0.5f, 1.5f, -1.5f, 2.5f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f, 1e-38f, 1e-30f, 3.4e38f,
                                     -3.4e38f, 88.72f, 88.73f, -87.33f, -103.9f, -104.1f, 8388607.5f, 8388609.0f, -8388607.5f };
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(f->lo + ((double)f->hi - f->lo) * rng_uniform((Rng){ 3, 0 }, (uint64_t)f->op, (uint64_t)i));
    bool wave = f->op == OP_sin || f->op == OP_cos;
    for (size_t i = 0; i < COUNT(special); i++)
        if (!wave || fabsf(special[i]) < 1e5f || !isfinite(special[i]))
            x[i] = special[i];
}

static void run(const Kernel *k, int vec)
{
    void   *bufs[] = { x, x2, y };
    int64_t args[] = { MANY / vec };
    k->fn(bufs, args, 0, 1);
}

static void check_functions(const char *isa, const Target *t, const Kernel *kernels, const What *what, uint32_t n)
{
    for (size_t i = 0; i < COUNT(functions); i++) {
        const Function *f = &functions[i];
        double          worst = 0;
        float           where = 0;
        uint32_t        k = 0;
        while (k < n && (what[k].op != f->op || what[k].uniform || what[k].normal))
            k++;
        fill(f);
        run(&kernels[k], t->vec);
        for (int j = 0; j < MANY; j++) {
            double e = ulps(y[j], f->f(x[j]));
            if (!(e <= worst)) {
                worst = e;
                where = x[j];
            }
        }
        if (worst > f->bound * 0.9)
            printf("%s %s in %g .. %g: %.2f ulp at %.9g\n", isa, op_info[f->op].name, (double)f->lo, (double)f->hi, worst, (double)where);
        CHECK(worst <= f->bound, "%s %s: %g ulp at %.9g", isa, op_info[f->op].name, worst, (double)where);
    }
}

static void check_pow(const char *isa, const Target *t, const Kernel *k)
{
    static const float a[] = { 0.0f, -0.0f, 1, -1, 2, -2, 0.5f, -0.5f, 10, -10, INFINITY, -INFINITY, NAN, 1e-40f, 3e38f, 1e-20f };
    static const float b[] = { 0, 1, -1, 2, -2, 3, -3, 0.5f, -0.5f, 2.5f, 100, -100, 1e9f, -1e9f, 16777217.0f, 127, -149, NAN, INFINITY, -INFINITY };
    int                n = 0;
    for (size_t i = 0; i < COUNT(a); i++)
        for (size_t j = 0; j < COUNT(b); j++, n++) {
            x[n] = a[i];
            x2[n] = b[j];
        }
    for (; n < MANY; n++) {
        x[n] = expf(10 * rng_normal((Rng){ 4, 0 }, 1, (uint64_t)n));
        x2[n] = 5 * rng_normal((Rng){ 4, 0 }, 2, (uint64_t)n);
    }
    run(k, t->vec);
    for (int i = 0; i < MANY; i++) {
        bool  odd_zero = x[i] == 0 && signbit(x[i]);           /* the sign of zero's powers is not kept */
        float got = odd_zero ? fabsf(y[i]) : y[i];
        bool  odd_inf = isinf(x[i]) && x[i] < 0, odd_unit = isinf(x2[i]) && fabsf(x[i]) == 1;
        if (odd_inf || odd_unit)
            continue;
        double want = odd_zero ? fabs(pow(x[i], x2[i])) : pow(x[i], x2[i]);
        CHECK(ulps(got, want) <= 1, "%s pow(%.9g, %.9g) = %.9g, not %.9g", isa, (double)x[i], (double)x2[i], (double)y[i], want);
    }
}

static void check_waves(const char *isa, const Target *t, const Kernel *sine)
{
    for (int i = 0; i < MANY; i++)
        x[i] = (float)(1e8 * (2 * (double)rng_uniform((Rng){ 5, 0 }, 3, (uint64_t)i) - 1));
    run(sine, t->vec);
    for (int i = 0; i < MANY; i++)
        CHECK(fabs(y[i] - sin(x[i])) <= 1e-6, "%s sin(%.9g) = %.9g, not %.9g", isa, (double)x[i], (double)y[i], sin(x[i]));
    for (int i = 0; i < MANY; i++)
        x[i] = ldexpf(1 + rng_uniform((Rng){ 6, 0 }, 3, (uint64_t)i), 30 + i % 97);
    run(sine, t->vec);
    for (int i = 0; i < MANY; i++)
        CHECK(fabsf(y[i]) <= 1, "%s sin(%.9g) = %.9g", isa, (double)x[i], (double)y[i]);
}

static void check_random(const char *isa, const Target *t, const Kernel *kernels, const What *what, uint32_t n)
{
    static const int64_t starts[] = { 0, ((int64_t)1 << 32) - 1000, (int64_t)1 << 40 };
    for (uint32_t k = 0; k < n; k++) {
        for (size_t s = 0; s < COUNT(starts) && (what[k].uniform || what[k].normal); s++) {
            memcpy(x, &starts[s], 8);
            run(&kernels[k], t->vec);
            uint32_t wrong = 0;
            for (int i = 0; i < MANY; i++) {
                Rng   r = { 0x0123456789abcdefu, 77 };
                float want = (what[k].uniform ? rng_uniform : rng_normal)(r, (uint64_t)what[k].stream, (uint64_t)(starts[s] + i));
                wrong += memcmp(&want, &y[i], 4) != 0;
            }
            CHECK(wrong == 0, "%s %s of stream %llx: %u numbers differ from rng.c", isa, what[k].uniform ? "uniform" : "normal",
                  (unsigned long long)what[k].stream, wrong);
        }
    }
}

int main(void)
{
    What     what[32];
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT(functions); i++)
        if (i == 0 || functions[i].op != functions[i - 1].op)
            what[n++] = (What){ .op = functions[i].op };
    uint32_t sine = 0, power = n;
    while (what[sine].op != OP_sin)
        sine++;
    what[n++] = (What){ .op = OP_pow };
    what[n++] = (What){ .op = OP_uniform, .uniform = true, .stream = 5 };
    what[n++] = (What){ .op = OP_normal, .normal = true, .stream = 0x123456789abcdef };
    what[n++] = (What){ .op = OP_normal, .normal = true, .stream = -2 };
    for (size_t isa = 0; isa < COUNT(isas); isa++) {
        Target   t;
        Status   st = { 0 };
        Kernel   kernels[32] = { 0 }, *list[32];
        DimTable *dims = dims_new();
        if (!target_detect(isas[isa], &t, &st)) {
            printf("skipped: %s\n", st.message);
            continue;
        }
        for (uint32_t i = 0; i < n; i++) {
            snprintf(kernels[i].name, sizeof kernels[i].name, "f%u", i);
            list[i] = &kernels[i];
        }
        Jit *jit = jit_new(&t, &st);
        CHECK(jit && jit_compile(jit, dims, list, n, emit_one, what, NULL, NULL, &st), "%s", st.message);
        if (!st.failed) {
            check_functions(isas[isa], &t, kernels, what, n);
            check_pow(isas[isa], &t, &kernels[power]);
            check_waves(isas[isa], &t, &kernels[sine]);
            check_random(isas[isa], &t, kernels, what, n);
        }
        jit_free(jit);
        dims_free(dims);
    }
    return check_done();
}
