/* vecmath.c - elementary functions on vectors of f32, emitted as plain arithmetic, and the random numbers of runtime/rng.c.
 *
 * llvm.exp and its kin on vectors become a libm call a lane, so these are our own: range reduction, a polynomial fitted for least relative error
 * on the reduced range, reassembly. No branches, no tables; works on scalars and vectors alike. NaN in is NaN out, infinities behave.
 * Bounds, tested in tests/test_vecmath.c against libm in f64, in units of the last place of the result (denormal results: of the least normal's):
 *
 *     exp 1.5   log 1.5   tanh 3   sigmoid 3   softplus 3   sqrt 0.5   rsqrt 1.5   pow 1
 *     sin, cos 2 for |x| <= 1e5; beyond that within 1e-6 of the true value up to 1e8, then only in [-1, 1]
 *
 * The random numbers repeat rng.c operation by operation, without fma: the same bits on every instruction set.
 */
#include "emit.h"
#include "loops.h"

#include <assert.h>
#include <math.h>

/* ---- shorthands: constants of x's shape, bit casts, comparisons ---- */

static LLVMTypeRef like(LLVMValueRef x, LLVMTypeRef elem) { return t_vec(elem, lanes_of(x)); }
static LLVMTypeRef t_f64(Emit *e) { return LLVMDoubleTypeInContext(e->cx); }

static LLVMValueRef k32(Emit *e, LLVMValueRef x, double v) { return c_vec(e, lanes_of(x), v); }
static LLVMValueRef k64(Emit *e, LLVMValueRef x, double v) { return splat(e, LLVMConstReal(t_f64(e), v), lanes_of(x)); }
static LLVMValueRef ki(Emit *e, LLVMValueRef x, int32_t v) { return splat(e, LLVMConstInt(t_i32(e), (uint32_t)v, 0), lanes_of(x)); }

static LLVMValueRef bits(Emit *e, LLVMValueRef x)  { return LLVMBuildBitCast(e->b, x, like(x, t_i32(e)), ""); }
static LLVMValueRef unbits(Emit *e, LLVMValueRef x) { return LLVMBuildBitCast(e->b, x, like(x, t_f32(e)), ""); }
static LLVMValueRef sub(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFSub(e->b, a, b, ""); }
static LLVMValueRef mul(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(e->b, a, b, ""); }
static LLVMValueRef add(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(e->b, a, b, ""); }
static LLVMValueRef quo(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFDiv(e->b, a, b, ""); }
static LLVMValueRef less(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFCmp(e->b, LLVMRealOLT, a, b, ""); }
static LLVMValueRef equal(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFCmp(e->b, LLVMRealOEQ, a, b, ""); }
static LLVMValueRef sel(Emit *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildSelect(e->b, c, a, b, ""); }

static LLVMValueRef unary(Emit *e, const char *name, LLVMValueRef x)
{
    return intrinsic(e, name, LLVMTypeOf(x), 1, &x);
}

static LLVMValueRef magnitude(Emit *e, LLVMValueRef x) { return unary(e, "llvm.fabs", x); }

static LLVMValueRef with_sign(Emit *e, LLVMValueRef size, LLVMValueRef sign)
{
    LLVMValueRef args[] = { size, sign };
    return intrinsic(e, "llvm.copysign", LLVMTypeOf(size), 2, args);
}

/* c[0] + c[1] x + ... by Horner's rule */
static LLVMValueRef poly(Emit *e, LLVMValueRef x, const double *c, int n)
{
    LLVMValueRef p = k32(e, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        p = f_fma(e, p, x, k32(e, x, c[i]));
    return p;
}

/* lo <= x <= hi; NaN stays */
static LLVMValueRef clamp(Emit *e, LLVMValueRef x, LLVMValueRef lo, LLVMValueRef hi)
{
    x = sel(e, less(e, x, lo), lo, x);
    return sel(e, less(e, hi, x), hi, x);
}

/* ---- rounding to whole numbers ---- */

/* Adding and taking away 2^23 rounds a magnitude below 2^23 to the nearest, halves to even. */
static LLVMValueRef round_even(Emit *e, LLVMValueRef x)
{
    if (e->target->isa != ISA_BASELINE)
        return unary(e, "llvm.roundeven", x);
    LLVMValueRef big = k32(e, x, 0x1p23), a = magnitude(e, x);
    LLVMValueRef r = with_sign(e, sub(e, add(e, a, big), big), x);
    return sel(e, less(e, a, big), r, x);
}

static LLVMValueRef floor_of(Emit *e, LLVMValueRef x)
{
    if (e->target->isa != ISA_BASELINE)
        return unary(e, "llvm.floor", x);
    LLVMValueRef r = round_even(e, x);
    return sel(e, less(e, x, r), sub(e, r, k32(e, x, 1)), r);
}

/* ---- exponential: x = n ln 2 + r, |r| <= ln 2 / 2, e^r - 1 = r + r^2 Q(r) ---- */

typedef struct { LLVMValueRef n, grown; } Reduced;                 /* n as i32, grown = e^r - 1 */

static const double LN2_HI = 0.693359375, LN2_LO = -2.12194440054690583e-4;   /* n * LN2_HI is exact: it has 10 bits */

static Reduced reduce_exp(Emit *e, LLVMValueRef x)
{
    static const double q[] = { 5.00000005e-01, 1.66666668e-01, 4.16663554e-02, 8.33327313e-03, 1.39409592e-03, 1.99141258e-04 };
    LLVMValueRef        magic = k32(e, x, 12582912.0);             /* 1.5 * 2^23: the low bits of the sum are the whole number */
    LLVMValueRef        t = add(e, mul(e, x, k32(e, x, 1.4426950408889634)), magic);
    LLVMValueRef        nf = sub(e, t, magic);
    Reduced             r = { .n = LLVMBuildSub(e->b, bits(e, t), ki(e, x, 0x4b400000), "") };
    LLVMValueRef        rest = f_fma(e, nf, k32(e, x, -LN2_HI), x);
    rest = f_fma(e, nf, k32(e, x, -LN2_LO), rest);
    r.grown = f_fma(e, mul(e, rest, rest), poly(e, rest, q, COUNT(q)), rest);
    return r;
}

static LLVMValueRef power_of_2(Emit *e, LLVMValueRef n)            /* -126 <= n <= 127 */
{
    LLVMValueRef biased = LLVMBuildAdd(e->b, n, ki(e, n, 127), "");
    return unbits(e, LLVMBuildShl(e->b, biased, ki(e, n, 23), ""));
}

static LLVMValueRef exp_of(Emit *e, LLVMValueRef x)
{
    x = clamp(e, x, k32(e, x, -105), k32(e, x, 89));
    Reduced      r = reduce_exp(e, x);
    LLVMValueRef y = add(e, r.grown, k32(e, x, 1));
    /* in two steps, so that results run through the denormals and into infinity by themselves */
    LLVMValueRef half = LLVMBuildAShr(e->b, r.n, ki(e, x, 1), "");
    y = mul(e, y, power_of_2(e, half));
    return mul(e, y, power_of_2(e, LLVMBuildSub(e->b, r.n, half, "")));
}

/* tanh |x| = t / (t + 2), t = e^(2|x|) - 1 = 2^n (e^r - 1) + (2^n - 1): no cancellation near 0, one path */
static LLVMValueRef tanh_of(Emit *e, LLVMValueRef x)
{
    LLVMValueRef y = clamp(e, mul(e, magnitude(e, x), k32(e, x, 2)), k32(e, x, 0), k32(e, x, 20));
    Reduced      r = reduce_exp(e, y);
    LLVMValueRef scale = power_of_2(e, r.n);
    LLVMValueRef t = f_fma(e, r.grown, scale, sub(e, scale, k32(e, x, 1)));
    return with_sign(e, quo(e, t, add(e, t, k32(e, x, 2))), x);
}

static LLVMValueRef sigmoid_of(Emit *e, LLVMValueRef x)
{
    LLVMValueRef one = k32(e, x, 1), grown = exp_of(e, LLVMBuildFNeg(e->b, x, ""));
    return quo(e, one, add(e, one, grown));
}

/* ---- logarithm: x = 2^k (1 + f), s = f / (2 + f), ln(1 + f) = f - (f^2/2 - s (f^2/2 + R)), R the tail of 2 atanh s ---- */

static LLVMValueRef log_tail(Emit *e, LLVMValueRef f, LLVMValueRef kf)
{
    static const double c[] = { 0.66666666, 0.40000346, 0.2853658, 0.23596784 };
    LLVMValueRef        s = quo(e, f, add(e, f, k32(e, f, 2))), z = mul(e, s, s);
    LLVMValueRef        r = mul(e, z, poly(e, z, c, COUNT(c)));
    LLVMValueRef        half = mul(e, mul(e, f, f), k32(e, f, 0.5));
    LLVMValueRef        low = f_fma(e, s, add(e, half, r), mul(e, kf, k32(e, f, LN2_LO)));
    return f_fma(e, kf, k32(e, f, LN2_HI), sub(e, f, sub(e, half, low)));
}

static LLVMValueRef log_of(Emit *e, LLVMValueRef x)
{
    LLVMValueRef tiny = less(e, x, k32(e, x, 0x1p-126));
    LLVMValueRef y = sel(e, tiny, mul(e, x, k32(e, x, 0x1p24)), x);
    LLVMValueRef above = LLVMBuildSub(e->b, bits(e, y), ki(e, x, 0x3f3504f3), "");   /* relative to sqrt(1/2): the exponent is k */
    LLVMValueRef k = LLVMBuildAShr(e->b, above, ki(e, x, 23), "");
    LLVMValueRef mant = LLVMBuildAdd(e->b, LLVMBuildAnd(e->b, above, ki(e, x, 0x007fffff), ""), ki(e, x, 0x3f3504f3), "");
    LLVMValueRef kf = LLVMBuildSIToFP(e->b, k, LLVMTypeOf(x), "");
    kf = sel(e, tiny, sub(e, kf, k32(e, x, 24)), kf);
    LLVMValueRef r = log_tail(e, sub(e, unbits(e, mant), k32(e, x, 1)), kf);
    LLVMValueRef inf = k32(e, x, INFINITY), zero = k32(e, x, 0);
    r = sel(e, less(e, x, inf), r, x);                             /* infinity and NaN stay */
    r = sel(e, less(e, x, zero), k32(e, x, NAN), r);
    return sel(e, equal(e, x, zero), LLVMBuildFNeg(e->b, inf, ""), r);
}

/* max(x, 0) + ln(1 + u), u = e^-|x| in (0, 1]; above sqrt 2 - 1 the sum 1 + u is halved first */
static LLVMValueRef softplus_of(Emit *e, LLVMValueRef x)
{
    LLVMValueRef zero = k32(e, x, 0), one = k32(e, x, 1);
    LLVMValueRef u = exp_of(e, LLVMBuildFNeg(e->b, magnitude(e, x), ""));
    LLVMValueRef large = less(e, k32(e, x, 0.41421356), u);
    LLVMValueRef f = sel(e, large, mul(e, sub(e, u, one), k32(e, x, 0.5)), u);
    LLVMValueRef tail = log_tail(e, f, sel(e, large, one, zero));
    return add(e, sel(e, less(e, x, zero), zero, x), tail);        /* NaN: x itself is added */
}

/* ---- sine and cosine: reduced in f64, so that no three-part pi is needed ---- */

static LLVMValueRef sin_cos(Emit *e, LLVMValueRef x, int shift)
{
    static const double S[] = { -1.66666666e-01, 8.33332927e-03, -1.98392961e-04, 2.71793991e-06 };
    static const double C[] = { 4.16666666e-02, -1.38888836e-03, 2.47994786e-05, -2.72067872e-07 };
    LLVMTypeRef         wide = like(x, t_f64(e)), words = like(x, t_i64(e));
    LLVMValueRef        d = LLVMBuildFPExt(e->b, x, wide, ""), magic = k64(e, x, 6755399441055744.0);   /* 1.5 * 2^52 */
    LLVMValueRef        t = add(e, mul(e, d, k64(e, x, 0.63661977236758134)), magic), n = sub(e, t, magic);
    LLVMValueRef        quarter = LLVMBuildTrunc(e->b, LLVMBuildBitCast(e->b, t, words, ""), like(x, t_i32(e)), "");
    LLVMValueRef        rd = sub(e, d, mul(e, n, k64(e, x, 1.57079632673412561417)));   /* pi/2 in 33 bits and the rest */
    rd = sub(e, rd, mul(e, n, k64(e, x, 6.07710050650619224932e-11)));
    LLVMValueRef r = LLVMBuildFPTrunc(e->b, rd, LLVMTypeOf(x), "");
    r = clamp(e, r, k32(e, x, -0.79), k32(e, x, 0.79));
    LLVMValueRef z = mul(e, r, r);
    LLVMValueRef s = f_fma(e, mul(e, z, r), poly(e, z, S, COUNT(S)), r);
    LLVMValueRef c = f_fma(e, mul(e, z, z), poly(e, z, C, COUNT(C)), f_fma(e, z, k32(e, x, -0.5), k32(e, x, 1)));
    if (shift)
        quarter = LLVMBuildAdd(e->b, quarter, ki(e, x, shift), "");
    LLVMValueRef odd = LLVMBuildICmp(e->b, LLVMIntNE, LLVMBuildAnd(e->b, quarter, ki(e, x, 1), ""), ki(e, x, 0), "");
    LLVMValueRef flip = LLVMBuildShl(e->b, LLVMBuildAnd(e->b, quarter, ki(e, x, 2), ""), ki(e, x, 30), "");
    return unbits(e, LLVMBuildXor(e->b, bits(e, sel(e, odd, c, s)), flip, ""));
}

/* ---- power: e^(b ln |a|) in f64 ---- */

static LLVMValueRef poly64(Emit *e, LLVMValueRef x, const double *c, int n)
{
    LLVMValueRef p = k64(e, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        p = add(e, mul(e, p, x), k64(e, x, c[i]));
    return p;
}

static LLVMValueRef k_i64(Emit *e, LLVMValueRef x, uint64_t v) { return splat(e, LLVMConstInt(t_i64(e), v, 0), lanes_of(x)); }

static LLVMValueRef log64(Emit *e, LLVMValueRef d)                 /* d > 0 and finite */
{
    static const double c[] = { 2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13 };
    LLVMTypeRef         words = like(d, t_i64(e));
    const uint64_t      root = 0x3fe6a09e667f3bcdu;                /* sqrt(1/2) */
    LLVMValueRef        above = LLVMBuildSub(e->b, LLVMBuildBitCast(e->b, d, words, ""), k_i64(e, d, root), "");
    LLVMValueRef        k = LLVMBuildTrunc(e->b, LLVMBuildAShr(e->b, above, k_i64(e, d, 52), ""), like(d, t_i32(e)), "");
    LLVMValueRef        mant = LLVMBuildAdd(e->b, LLVMBuildAnd(e->b, above, k_i64(e, d, 0x000fffffffffffffu), ""), k_i64(e, d, root), "");
    LLVMValueRef        f = sub(e, LLVMBuildBitCast(e->b, mant, LLVMTypeOf(d), ""), k64(e, d, 1));
    LLVMValueRef        s = quo(e, f, add(e, f, k64(e, d, 2)));
    LLVMValueRef        kd = LLVMBuildSIToFP(e->b, k, LLVMTypeOf(d), "");
    return add(e, mul(e, kd, k64(e, d, 0.69314718055994530942)), mul(e, s, poly64(e, mul(e, s, s), c, COUNT(c))));
}

static LLVMValueRef exp64(Emit *e, LLVMValueRef y)                 /* |y| <= 600 */
{
    static const double c[] = { 1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880 };
    LLVMTypeRef         words = like(y, t_i64(e));
    LLVMValueRef        magic = k64(e, y, 6755399441055744.0);
    LLVMValueRef        t = add(e, mul(e, y, k64(e, y, 1.44269504088896340736)), magic), n = sub(e, t, magic);
    LLVMValueRef        r = sub(e, y, mul(e, n, k64(e, y, 0.69314718055994530942)));
    LLVMValueRef        whole = LLVMBuildShl(e->b, LLVMBuildBitCast(e->b, t, words, ""), k_i64(e, y, 52), "");   /* low bits of t are n */
    LLVMValueRef        scale = LLVMBuildAdd(e->b, whole, k_i64(e, y, 0x3ff0000000000000u), "");
    return mul(e, poly64(e, r, c, COUNT(c)), LLVMBuildBitCast(e->b, scale, LLVMTypeOf(y), ""));
}

static LLVMValueRef pow_of(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef  wide = like(a, t_f64(e));
    LLVMValueRef zero = k32(e, a, 0), one = k32(e, a, 1), inf = k32(e, a, INFINITY), size = magnitude(e, a);
    LLVMValueRef l = log64(e, LLVMBuildFPExt(e->b, size, wide, ""));
    l = sel(e, equal(e, size, zero), k64(e, a, -1e4), l);
    l = sel(e, equal(e, size, inf), k64(e, a, 1e4), l);
    LLVMValueRef y = mul(e, LLVMBuildFPExt(e->b, b, wide, ""), l);
    y = clamp(e, y, k64(e, a, -300), k64(e, a, 300));
    LLVMValueRef r = LLVMBuildFPTrunc(e->b, exp64(e, y), LLVMTypeOf(a), "");
    /* a below 0: whole b only, and the sign of odd ones */
    LLVMValueRef whole = equal(e, floor_of(e, b), b), half = mul(e, b, k32(e, a, 0.5));
    LLVMValueRef odd = LLVMBuildAnd(e->b, whole, LLVMBuildNot(e->b, equal(e, floor_of(e, half), half), ""), "");
    LLVMValueRef negative = less(e, a, zero);
    LLVMValueRef signless = sel(e, odd, LLVMBuildFNeg(e->b, r, ""), sel(e, whole, r, k32(e, a, NAN)));
    r = sel(e, negative, signless, r);
    LLVMValueRef bad = LLVMBuildFCmp(e->b, LLVMRealUNO, a, b, "");
    r = sel(e, bad, add(e, a, b), r);
    LLVMValueRef trivial = LLVMBuildOr(e->b, equal(e, b, zero), equal(e, a, one), "");
    return sel(e, trivial, one, r);
}

LLVMValueRef vec_math(Emit *e, Op op, LLVMValueRef x, LLVMValueRef y)
{
    switch (op) {
    case OP_exp:      return exp_of(e, x);
    case OP_log:      return log_of(e, x);
    case OP_sqrt:     return unary(e, "llvm.sqrt", x);
    case OP_rsqrt:    return quo(e, k32(e, x, 1), unary(e, "llvm.sqrt", x));
    case OP_sin:      return sin_cos(e, x, 0);
    case OP_cos:      return sin_cos(e, x, 1);
    case OP_tanh:     return tanh_of(e, x);
    case OP_sigmoid:  return sigmoid_of(e, x);
    case OP_softplus: return softplus_of(e, x);
    case OP_floor:    return floor_of(e, x);
    case OP_round:    return round_even(e, x);
    default:
        assert(op == OP_pow);
        return pow_of(e, x, y);
    }
}

/* ---- random numbers ---- */

/* The first two words of Philox4x32-10 for 64-bit indices; seed and step are i32 scalars. */
static void philox(Emit *e, LLVMValueRef at, LLVMValueRef seed_lo, LLVMValueRef seed_hi, LLVMValueRef step, int64_t stream, LLVMValueRef out[2])
{
    int          n = lanes_of(at);
    LLVMTypeRef  word = like(at, t_i32(e)), wide = like(at, t_i64(e));
    LLVMValueRef c[4], k0, k1;
    c[0] = LLVMBuildTrunc(e->b, at, word, "");
    c[1] = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, at, k_i64(e, at, 32), ""), word, "");
    c[2] = splat(e, step, n);
    c[3] = ki(e, at, (int32_t)(uint32_t)((uint64_t)stream >> 32));
    k0 = LLVMBuildXor(e->b, splat(e, seed_lo, n), ki(e, at, (int32_t)(uint32_t)stream), "");
    k1 = splat(e, seed_hi, n);
    for (int round = 0; round < 10; round++) {
        LLVMValueRef p = LLVMBuildMul(e->b, LLVMBuildZExt(e->b, c[0], wide, ""), k_i64(e, at, 0xD2511F53u), "");
        LLVMValueRef q = LLVMBuildMul(e->b, LLVMBuildZExt(e->b, c[2], wide, ""), k_i64(e, at, 0xCD9E8D57u), "");
        LLVMValueRef ph = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, p, k_i64(e, at, 32), ""), word, "");
        LLVMValueRef qh = LLVMBuildTrunc(e->b, LLVMBuildLShr(e->b, q, k_i64(e, at, 32), ""), word, "");
        c[0] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, qh, c[1], ""), k0, "");
        c[1] = LLVMBuildTrunc(e->b, q, word, "");
        c[2] = LLVMBuildXor(e->b, LLVMBuildXor(e->b, ph, c[3], ""), k1, "");
        c[3] = LLVMBuildTrunc(e->b, p, word, "");
        k0 = LLVMBuildAdd(e->b, k0, ki(e, at, (int32_t)0x9E3779B9u), "");
        k1 = LLVMBuildAdd(e->b, k1, ki(e, at, (int32_t)0xBB67AE85u), "");
    }
    out[0] = LLVMBuildLShr(e->b, c[0], ki(e, at, 8), "");
    out[1] = LLVMBuildLShr(e->b, c[1], ki(e, at, 8), "");
}

/* 24 bits (or 2^24) as f32: exact */
static LLVMValueRef unit(Emit *e, LLVMValueRef w)
{
    return mul(e, LLVMBuildSIToFP(e->b, w, like(w, t_f32(e)), ""), k32(e, w, 0x1p-24));
}

LLVMValueRef vec_uniform(Emit *e, LLVMValueRef at, LLVMValueRef seed_lo, LLVMValueRef seed_hi, LLVMValueRef step, int64_t stream)
{
    LLVMValueRef w[2];
    philox(e, at, seed_lo, seed_hi, step, stream, w);
    return unit(e, w[0]);
}

static LLVMValueRef draw_log(Emit *e, LLVMValueRef x)              /* rng_log */
{
    static const double p[] = { -0.0763450041f, 0.127615824f, -0.131601825f, 0.142017573f, -0.166233569f, 0.200012267f, -0.250008196f, 0.333333313f };
    LLVMValueRef above = LLVMBuildSub(e->b, bits(e, x), ki(e, x, 0x3f3504f3), "");
    LLVMValueRef ex = LLVMBuildSIToFP(e->b, LLVMBuildAShr(e->b, above, ki(e, x, 23), ""), LLVMTypeOf(x), "");
    LLVMValueRef mant = LLVMBuildAdd(e->b, LLVMBuildAnd(e->b, above, ki(e, x, 0x007fffff), ""), ki(e, x, 0x3f3504f3), "");
    LLVMValueRef f = sub(e, unbits(e, mant), k32(e, x, 1));
    LLVMValueRef q = k32(e, x, p[0]);
    for (size_t i = 1; i < COUNT(p); i++)
        q = add(e, mul(e, q, f), k32(e, x, p[i]));
    LLVMValueRef f2 = mul(e, f, f), tail = mul(e, q, f);
    tail = mul(e, sub(e, tail, k32(e, x, 0.5)), f2);
    tail = add(e, tail, mul(e, ex, k32(e, x, 0x1.7f7d1cp-20f)));
    tail = add(e, tail, f);
    return add(e, tail, mul(e, ex, k32(e, x, 0x1.62e4p-1f)));
}

static LLVMValueRef draw_cos(Emit *e, LLVMValueRef x)              /* rng_cos_2pi */
{
    static const double p[] = { 39.7109337f, -76.5749969f, 81.6022339f, -41.3416786f, 6.28318548f };
    LLVMValueRef b = sub(e, magnitude(e, sub(e, x, k32(e, x, 0.5))), k32(e, x, 0.25)), b2 = mul(e, b, b);
    LLVMValueRef q = k32(e, x, p[0]);
    for (size_t i = 1; i < COUNT(p); i++)
        q = add(e, mul(e, q, b2), k32(e, x, p[i]));
    return mul(e, q, b);
}

LLVMValueRef vec_normal(Emit *e, LLVMValueRef at, LLVMValueRef seed_lo, LLVMValueRef seed_hi, LLVMValueRef step, int64_t stream)
{
    LLVMValueRef w[2];
    philox(e, at, seed_lo, seed_hi, step, stream, w);
    LLVMValueRef u1 = unit(e, LLVMBuildAdd(e->b, w[0], ki(e, w[0], 1), "")), u2 = unit(e, w[1]);
    LLVMValueRef r = unary(e, "llvm.sqrt", mul(e, k32(e, u1, -2), draw_log(e, u1)));
    return mul(e, r, draw_cos(e, u2));
}
