/* interp_elem.c - leaves and elementwise ops of the reference interpreter.
 *
 * Where a choice is to be made it is PyTorch's: NaN wins in min and max, sign(0) = 0, halves round to even. cast between floats changes nothing here:
 * the oracle does not round to f32. i32 division is towards zero and gives 0 for a divisor of 0.
 */
#include "interp.h"

#include <math.h>
#include <string.h>

double wrap_i32(double v)
{
    return (double)(int32_t)(uint32_t)(int64_t)v;
}

double clamp_i32(double v)
{
    if (isnan(v))
        return 0;
    return v <= -2147483648.0 ? -2147483648.0 : v >= 2147483647.0 ? 2147483647.0 : trunc(v);
}

/* ---- leaves ---- */
bool ref_const(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = node(ip->g, r)->value;
    return true;
}

static bool copy_tensor(const Interp *ip, Ref r, const Tensor *t, Value *out, const char *what)
{
    if (!t->data)
        return node_fail(ip->g, r, ip->st, "%s has no value", what);
    bool same = t->rank == out->rank;
    for (int i = 0; i < out->rank && same; i++)
        same = t->shape[i] == out->shape[i];
    if (!same)
        return node_fail(ip->g, r, ip->st, "%s has another shape than the graph says", what);
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = tensor_get(t, i);
    return true;
}

bool ref_input(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    int64_t           index = node_attrs(ip->g, r)[0];
    const GraphInput *gi = &ip->g->inputs.at[index];
    if (!ip->inputs[index].data && gi->has_default) {
        for (int64_t i = 0; i < out->n; i++)
            out->at[i] = gi->deflt;
        return true;
    }
    char what[128];
    snprintf(what, sizeof what, "input '%s'", gi->name);
    return copy_tensor(ip, r, &ip->inputs[index], out, what);
}

bool ref_var(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    char    what[64];
    int64_t index = node_attrs(ip->g, r)[0];
    snprintf(what, sizeof what, "variable number %lld", (long long)index);
    if (!ip->vars)
        return node_fail(ip->g, r, ip->st, "%s has no value", what);
    return copy_tensor(ip, r, &ip->vars[index], out, what);
}

bool ref_runtime(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = ip->rs ? ip->rs->runtime[node_attrs(ip->g, r)[0]] : 0;
    return true;
}

bool ref_size(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    int64_t v;
    if (!ref_dim(ip, r, (Dim)node_attrs(ip->g, r)[0], &v))
        return false;
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = (double)v;
    return true;
}

bool ref_iota(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    int64_t strides[MAX_RANK], axis = node_attrs(ip->g, r)[0];
    strides_of(out->rank, out->shape, strides);
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = (double)(i / strides[axis] % out->shape[axis]);
    return true;
}

/* fixed: the same numbers in every run and step */
static Rng rng_of(const Interp *ip, Ref r)
{
    return node_attrs(ip->g, r)[1] || !ip->rs ? (Rng){0, 0} : ip->rs->rng;
}

bool ref_uniform(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    Rng      rng = rng_of(ip, r);
    uint64_t stream = (uint64_t)node_attrs(ip->g, r)[0];
#pragma omp parallel for if (out->n > PARALLEL_FROM)
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = rng_uniform(rng, stream, (uint64_t)i);
    return true;
}

bool ref_normal(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)in;
    Rng      rng = rng_of(ip, r);
    uint64_t stream = (uint64_t)node_attrs(ip->g, r)[0];
#pragma omp parallel for if (out->n > PARALLEL_FROM)
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = rng_normal(rng, stream, (uint64_t)i);
    return true;
}

/* ---- elementwise: a line an op. a, b, c are the operands; `ints` tells i32 arithmetic from float ---- */
static bool same_counts(const Interp *ip, Ref r, const Value *const *in, const Value *out)
{
    for (int i = 0; i < node(ip->g, r)->nargs; i++)
        if (in[i]->n != out->n)
            return node_fail(ip->g, r, ip->st, "operand %d has %lld elements, the result %lld", i, (long long)in[i]->n, (long long)out->n);
    return true;
}

#define ELEMENTWISE(name, second, third, expr)                                                     \
    bool ref_##name(const Interp *ip, Ref r, const Value *const *in, Value *out)                   \
    {                                                                                              \
        if (!same_counts(ip, r, in, out))                                                          \
            return false;                                                                          \
        const double *pa = in[0]->at, *pb = in[second]->at, *pc = in[third]->at;                   \
        bool          ints = in[0]->dtype == DT_I32;                                               \
        _Pragma("omp parallel for if (out->n > PARALLEL_FROM)")                                    \
        for (int64_t i = 0; i < out->n; i++) {                                                     \
            double a = pa[i], b = pb[i], c = pc[i];                                                \
            (void)b, (void)c, (void)ints;                                                          \
            out->at[i] = (expr);                                                                   \
        }                                                                                          \
        return true;                                                                               \
    }
#define UNARY(name, expr)   ELEMENTWISE(name, 0, 0, expr)
#define BINARY(name, expr)  ELEMENTWISE(name, 1, 0, expr)
#define TERNARY(name, expr) ELEMENTWISE(name, 1, 2, expr)
#define WRAP(v)             (ints ? wrap_i32(v) : (v))

static double sigmoid_of(double a)
{
    double e = exp(-fabs(a));
    return a >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double divide_i32(double a, double b) { return b == 0 ? 0 : wrap_i32(trunc(a / b)); }

/* The product of two i32 may need 62 bits: more than a double holds. */
static double multiply_i32(double a, double b) { return (double)(int32_t)((uint32_t)(int32_t)a * (uint32_t)(int32_t)b); }

UNARY(neg, WRAP(-a))
UNARY(exp, exp(a))
UNARY(log, log(a))
UNARY(sqrt, sqrt(a))
UNARY(rsqrt, 1 / sqrt(a))
UNARY(sin, sin(a))
UNARY(cos, cos(a))
UNARY(tanh, tanh(a))
UNARY(sigmoid, sigmoid_of(a))
UNARY(softplus, fmax(a, 0) + log1p(exp(-fabs(a))) + (isnan(a) ? a : 0))
UNARY(abs, WRAP(fabs(a)))
UNARY(sign, (a > 0) - (a < 0))
UNARY(floor, floor(a))
UNARY(round, nearbyint(a))
UNARY(not, a == 0)
UNARY(stop, a)
BINARY(add, WRAP(a + b))
BINARY(sub, WRAP(a - b))
BINARY(mul, ints ? multiply_i32(a, b) : a * b)
BINARY(div, ints ? divide_i32(a, b) : a / b)
BINARY(pow, ints ? clamp_i32(pow(a, b)) : pow(a, b))
BINARY(min, a < b || isnan(a) ? a : b)
BINARY(max, a > b || isnan(a) ? a : b)
BINARY(eq, a == b)
BINARY(ne, a != b)
BINARY(lt, a < b)
BINARY(le, a <= b)
BINARY(and, a != 0 && b != 0)
BINARY(or, a != 0 || b != 0)
TERNARY(select, a != 0 ? b : c)

bool ref_cast(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    if (!same_counts(ip, r, in, out))
        return false;
    for (int64_t i = 0; i < out->n; i++) {
        double a = in[0]->at[i];
        out->at[i] = out->dtype == DT_BOOL ? a != 0 : out->dtype == DT_I32 ? clamp_i32(a) : a;
    }
    return true;
}
