/* simplify_algebra.c - rules on elementwise ops alone: constants, signs, identities, conditions. See simplify_rules.def for what may be assumed. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "simplify.h"

static Dtype dtype_of(const Simp *s, Ref r) { return (Dtype)node(s->g, r)->dtype; }
static bool  const_of(const Simp *s, Ref r, double *v) { return is_const_value(s->g, r, v); }
static bool  is_const(const Simp *s, Ref r) { double v; return is_const_value(s->g, r, &v); }
static Ref   negate(Simp *s, Ref a) { return s_unary(s, OP_neg, a); }

/* a op b with b a constant, or c with a the constant: which tells what was merged into it */
static bool right_const(const Simp *s, Ref r, Op op, Ref *a, double *c)
{
    *a = op_of(s, r) == op ? arg_of(s, r, 0) : 0;
    return *a && const_of(s, arg_of(s, r, 1), c);
}

/* Merging constants must neither overflow nor underflow in f32. */
static bool ordinary(double v)
{
    return isfinite(v) && fabs(v) >= FLT_MIN && fabs(v) <= FLT_MAX;
}

Ref rule_stop(Simp *s, Ref r)
{
    return arg_of(s, r, 0);
}

static double eval1(Op op, double a)
{
    switch (op) {
    case OP_neg:      return -a;
    case OP_exp:      return exp(a);
    case OP_log:      return log(a);
    case OP_sqrt:     return sqrt(a);
    case OP_rsqrt:    return 1 / sqrt(a);
    case OP_sin:      return sin(a);
    case OP_cos:      return cos(a);
    case OP_tanh:     return tanh(a);
    case OP_sigmoid:  return 1 / (1 + exp(-a));
    case OP_softplus: return fmax(a, 0) + log1p(exp(-fabs(a)));
    case OP_abs:      return fabs(a);
    case OP_sign:     return (a > 0) - (a < 0);
    case OP_floor:    return floor(a);
    case OP_round:    return rint(a);
    case OP_not:      return a == 0;
    default:          return NAN;
    }
}

static double eval2(Op op, double a, double b)
{
    switch (op) {
    case OP_add: return a + b;
    case OP_sub: return a - b;
    case OP_mul: return a * b;
    case OP_div: return a / b;
    case OP_pow: return pow(a, b);
    case OP_min: return a < b ? a : b;
    case OP_max: return a > b ? a : b;
    case OP_eq:  return a == b;
    case OP_ne:  return a != b;
    case OP_lt:  return a < b;
    case OP_le:  return a <= b;
    case OP_and: return a != 0 && b != 0;
    case OP_or:  return a != 0 || b != 0;
    default:     return NAN;
    }
}

/* What is not finite stays to be computed (and found) at run time; so do integers out of range and their division. */
Ref rule_fold(Simp *s, Ref r)
{
    Op     op = op_of(s, r);
    double v[3] = { 0, 0, 0 }, y;
    int    n = node(s->g, r)->nargs;
    for (int i = 0; i < n; i++)
        if (!const_of(s, arg_of(s, r, i), &v[i]) || !isfinite(v[i]))
            return 0;
    Dtype t = dtype_of(s, r);
    if (op == OP_select)
        y = v[0] != 0 ? v[1] : v[2];
    else if (op == OP_cast)
        y = t == DT_BOOL ? v[0] != 0 : t == DT_I32 ? trunc(v[0]) : v[0];
    else
        y = n == 1 ? eval1(op, v[0]) : eval2(op, v[0], v[1]);
    if (!isfinite(y) || (t == DT_I32 && (op == OP_div || op == OP_pow || fabs(y) > INT32_MAX)))
        return 0;
    return s_fill_like(s, r, y);
}

/* min and max stay: which operand is returned may depend on the order when one is NaN. */
Ref rule_commute(Simp *s, Ref r)
{
    Op op = op_of(s, r);
    if (op != OP_add && op != OP_mul && op != OP_eq && op != OP_ne && op != OP_and && op != OP_or)
        return 0;
    Ref  a = arg_of(s, r, 0), b = arg_of(s, r, 1);
    bool ca = is_const(s, a), cb = is_const(s, b);
    return ca > cb || (ca == cb && a > b) ? s_binary(s, op, b, a) : 0;
}

/* x where r is -x or a broadcast of -x (then x is broadcast), else 0 */
static Ref negated(Simp *s, Ref r)
{
    if (op_of(s, r) == OP_neg)
        return arg_of(s, r, 0);
    if (op_of(s, r) != OP_broadcast || op_of(s, arg_of(s, r, 0)) != OP_neg)
        return 0;
    Type t = type_of(s, r);
    return s_broadcast(s, arg_of(s, arg_of(s, r, 0), 0), t.rank, t.shape);
}

Ref rule_add(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0), b = arg_of(s, r, 1), x;
    if (is_value(s, b, 0))
        return a;
    if ((x = negated(s, b)))
        return s_binary(s, OP_sub, a, x);
    if ((x = negated(s, a)))
        return s_binary(s, OP_sub, b, x);
    return a == b ? s_scale(s, a, 2) : 0;
}

Ref rule_sub(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0), b = arg_of(s, r, 1);
    double c;
    if (const_of(s, b, &c))
        return s_binary(s, OP_add, a, s_fill_like(s, b, -c));
    if (is_value(s, a, 0))
        return negate(s, b);
    Ref x = negated(s, b);
    if (x)
        return s_binary(s, OP_add, a, x);
    return op_of(s, a) == OP_neg ? negate(s, s_binary(s, OP_add, arg_of(s, a, 0), b)) : 0;
}

Ref rule_neg(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0), x;
    double c;
    if (op_of(s, a) == OP_neg)
        return arg_of(s, a, 0);
    if (op_of(s, a) == OP_sub)
        return s_binary(s, OP_sub, arg_of(s, a, 1), arg_of(s, a, 0));
    if (right_const(s, a, OP_mul, &x, &c) || right_const(s, a, OP_div, &x, &c))
        return s_binary(s, op_of(s, a), x, s_fill_like(s, a, -c));
    if (op_of(s, a) == OP_div && const_of(s, arg_of(s, a, 0), &c))
        return s_binary(s, OP_div, s_fill_like(s, a, -c), arg_of(s, a, 1));
    return 0;
}

Ref rule_mul(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0), b = arg_of(s, r, 1), x;
    double c, d;
    if (is_value(s, b, 1))
        return a;
    if (is_value(s, b, -1))
        return negate(s, a);
    if (op_of(s, a) == OP_neg && const_of(s, b, &d))
        return s_scale(s, arg_of(s, a, 0), -d);
    if (op_of(s, a) == OP_neg)
        return negate(s, s_binary(s, OP_mul, arg_of(s, a, 0), b));
    if (op_of(s, b) == OP_neg)
        return negate(s, s_binary(s, OP_mul, a, arg_of(s, b, 0)));
    if (!const_of(s, b, &d) || !is_float_dtype(dtype_of(s, r)))
        return 0;
    if (right_const(s, a, OP_mul, &x, &c) && ordinary(c * d))
        return s_scale(s, x, c * d);
    if (right_const(s, a, OP_div, &x, &c) && ordinary(d / c))
        return s_scale(s, x, d / c);
    if (op_of(s, a) == OP_div && const_of(s, arg_of(s, a, 0), &c) && ordinary(c * d))
        return s_binary(s, OP_div, s_fill_like(s, a, c * d), arg_of(s, a, 1));
    return 0;
}

/* Is 1/c exact, and an ordinary number? */
static bool exact_inverse(double c)
{
    int e;
    return ordinary(c) && ordinary(1 / c) && fabs(frexp(c, &e)) == 0.5;
}

Ref rule_div(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0), b = arg_of(s, r, 1), x;
    double c, d;
    if (is_value(s, b, 1))
        return a;
    if (!is_float_dtype(dtype_of(s, r)))
        return 0;
    if (is_value(s, b, -1))
        return negate(s, a);
    if (const_of(s, b, &d)) {
        if (exact_inverse(d))
            return s_scale(s, a, 1 / d);
        if (op_of(s, a) == OP_neg)
            return s_binary(s, OP_div, arg_of(s, a, 0), s_fill_like(s, b, -d));
        if (right_const(s, a, OP_mul, &x, &c) && ordinary(c / d))
            return s_scale(s, x, c / d);
        if (right_const(s, a, OP_div, &x, &c) && ordinary(c * d))
            return s_binary(s, OP_div, x, s_fill_like(s, b, c * d));
        return 0;
    }
    if (op_of(s, a) == OP_neg)
        return negate(s, s_binary(s, OP_div, arg_of(s, a, 0), b));
    if (op_of(s, b) == OP_neg)
        return negate(s, s_binary(s, OP_div, a, arg_of(s, b, 0)));
    return is_value(s, a, 1) && op_of(s, b) == OP_sqrt ? s_unary(s, OP_rsqrt, arg_of(s, b, 0)) : 0;
}

Ref rule_pow(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0);
    double k;
    if (!const_of(s, arg_of(s, r, 1), &k) || !is_float_dtype(dtype_of(s, r)))
        return 0;
    if (k == 0)
        return s_fill_like(s, r, 1);
    if (k == 1)
        return a;
    if (k == 0.5)
        return s_unary(s, OP_sqrt, a);
    if (k == -0.5)
        return s_unary(s, OP_rsqrt, a);
    if (fabs(k) > 4 || k != floor(k) || k == -3 || k == -4)
        return 0;
    Ref square = fabs(k) == 1 ? a : s_binary(s, OP_mul, a, a);
    Ref power = k == 3 ? s_binary(s, OP_mul, square, a) : k == 4 ? s_binary(s, OP_mul, square, square) : square;
    return k > 0 ? power : s_binary(s, OP_div, s_fill_like(s, r, 1), power);
}

Ref rule_extreme(Simp *s, Ref r)
{
    Op     op = op_of(s, r);
    Ref    a = arg_of(s, r, 0), b = arg_of(s, r, 1), x;
    double c, d;
    if (a == b)
        return a;
    if (!const_of(s, b, &d) || !right_const(s, a, op, &x, &c))
        return 0;
    return s_binary(s, op, x, s_fill_like(s, b, eval2(op, c, d)));
}

Ref rule_even(Simp *s, Ref r)
{
    Op  op = op_of(s, r);
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) == OP_neg)
        return s_unary(s, op, arg_of(s, a, 0));
    return op == OP_abs && op_of(s, a) == OP_abs ? a : 0;
}

Ref rule_odd(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    return op_of(s, a) == OP_neg ? negate(s, s_unary(s, op_of(s, r), arg_of(s, a, 0))) : 0;
}

Ref rule_not(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    Op  op = op_of(s, a);
    if (op == OP_not)
        return arg_of(s, a, 0);
    return op == OP_eq || op == OP_ne ? s_binary(s, op == OP_eq ? OP_ne : OP_eq, arg_of(s, a, 0), arg_of(s, a, 1)) : 0;
}

Ref rule_and_or(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0), b = arg_of(s, r, 1);
    double v;
    if (a == b)
        return a;
    if (!const_of(s, b, &v))
        return 0;
    return (v != 0) == (op_of(s, r) == OP_and) ? a : b;
}

Ref rule_select(Simp *s, Ref r)
{
    Ref    c = arg_of(s, r, 0), a = arg_of(s, r, 1), b = arg_of(s, r, 2);
    double v;
    if (const_of(s, c, &v))
        return v != 0 ? a : b;
    if (a == b)
        return a;
    if (op_of(s, c) == OP_not)
        return s_select(s, arg_of(s, c, 0), b, a);
    if (op_of(s, a) == OP_select && arg_of(s, a, 0) == c)
        return s_select(s, c, arg_of(s, a, 1), b);
    if (op_of(s, b) == OP_select && arg_of(s, b, 0) == c)
        return s_select(s, c, a, arg_of(s, b, 2));
    return 0;
}

/* Gradients of conditionals come back in halves; with zeros in place the sum costs nothing on either side. */
Ref rule_add_selects(Simp *s, Ref r)
{
    Ref p = arg_of(s, r, 0), q = arg_of(s, r, 1);
    if (op_of(s, p) != OP_select || op_of(s, q) != OP_select || arg_of(s, p, 0) != arg_of(s, q, 0))
        return 0;
    for (int i = 1; i <= 2; i++)
        if (!is_value(s, arg_of(s, p, i), 0) && !is_value(s, arg_of(s, q, i), 0))
            return 0;
    Ref yes = s_binary(s, OP_add, arg_of(s, p, 1), arg_of(s, q, 1));
    Ref no = s_binary(s, OP_add, arg_of(s, p, 2), arg_of(s, q, 2));
    return s_select(s, arg_of(s, p, 0), yes, no);
}

Ref rule_mul_select(Simp *s, Ref r)
{
    Ref    p = arg_of(s, r, 0);
    double k;
    if (!const_of(s, arg_of(s, r, 1), &k) || !isfinite(k) || op_of(s, p) != OP_select)
        return 0;
    if (!is_value(s, arg_of(s, p, 1), 0) && !is_value(s, arg_of(s, p, 2), 0))
        return 0;
    Ref side[2];
    for (int i = 0; i < 2; i++) {
        side[i] = arg_of(s, p, i + 1);
        if (!is_value(s, side[i], 0))
            side[i] = s_scale(s, side[i], k);
    }
    return s_select(s, arg_of(s, p, 0), side[0], side[1]);
}

/* Does every value of dtype `from` survive in dtype `to`? */
static bool holds(Dtype to, Dtype from)
{
    return to == from || from == DT_BOOL || (to == DT_F64 && (from == DT_F32 || from == DT_I32));
}

Ref rule_cast(Simp *s, Ref r)
{
    Ref   a = arg_of(s, r, 0);
    Dtype t = dtype_of(s, r);
    if (t == dtype_of(s, a))
        return a;
    if (op_of(s, a) != OP_cast)
        return 0;
    Ref x = arg_of(s, a, 0);
    return holds(dtype_of(s, a), dtype_of(s, x)) ? s_cast(s, x, t) : 0;
}
