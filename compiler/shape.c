/* shape.c - the shape rules: what an op makes of its inputs, or why it cannot, in the words of somebody who wrote a model.
 *
 * A rule reads inputs through arg types, sets *s->out, and says no(...) with one line otherwise. Sizes are compared with same(); when they are not
 * the same Dim, differ() decides: provably unequal or nobody to note it: an error; else the equation is appended to `undecided` and holds until a run says otherwise.
 * Rules of FLAG_SHAPE_GIVEN ops find the given shape in *s->out and check it.
 */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const Graph   *g;
    DimTable      *dims;
    Op             op;
    const char    *name;
    int            nargs, nattrs;
    const Ref     *args;
    const int64_t *attrs;
    Type          *out;
    CheckList     *undecided;
    char          *why;
    size_t         nwhy;
    Arena          texts;          /* used by error texts only */
} Shape;

static bool no(Shape *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool no(Shape *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (s->nwhy)
        vsnprintf(s->why, s->nwhy, fmt, ap);
    va_end(ap);
    return false;
}

void type_print(const DimTable *dims, const Type *t, Text *out)
{
    text_addf(out, "%s[", dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++) {
        if (i)
            text_add(out, ", ");
        dim_print(dims, t->shape[i], out);
    }
    text_add(out, "]");
}

static const char *type_str(Shape *s, const Type *t)
{
    Text text = { 0 };
    type_print(s->dims, t, &text);
    const char *copy = arena_strndup(&s->texts, text.at, text.n);
    text_free(&text);
    return copy;
}

static const char *dim_str(Shape *s, Dim d)
{
    return dim_text(s->dims, d, &s->texts);
}

static Type arg_type(const Shape *s, int i)
{
    return node_type(s->g, s->args[i]);
}

/* ---- comparing sizes ---- */

static bool same(const Shape *s, Dim a, Dim b)
{
    if (a == b)
        return true;
    if (dims_overflowed(s->dims))  /* nothing is known any more: the elaborator says so and stops */
        return true;
    if (!s->g->checks.n)
        return false;
    Dim d = dim_sub(s->dims, a, b), e = dim_sub(s->dims, b, a);
    for (uint32_t i = 0; i < s->g->checks.n; i++) {
        const GraphCheck *c = &s->g->checks.at[i];
        Dim               x = dim_sub(s->dims, c->a, c->b);
        if (x == d || x == e)
            return true;
    }
    return false;
}

/* For sizes that are not the same(): true when they may turn out equal and the equation was noted. fmt: what was tried, e.g. "cannot add A and B". */
static bool differ(Shape *s, Dim a, Dim b, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static bool differ(Shape *s, Dim a, Dim b, const char *fmt, ...)
{
    char    what[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    if (dim_never_equal(s->dims, a, b))
        return no(s, "%s: sizes %s and %s differ", what, dim_str(s, a), dim_str(s, b));
    if (!s->undecided)
        return no(s, "%s: dims %s and %s are not known equal", what, dim_str(s, a), dim_str(s, b));
    GraphCheck c = { a, b, s->g->loc, intern(what) };
    vec_push(s->undecided, c);
    return true;
}

static bool negative(const Shape *s, Dim d)        /* provably */
{
    return d >= 1u << 30 && !dim_nonneg(s->dims, d) && dim_nonneg(s->dims, dim_sub(s->dims, dim_const(s->dims, -1), d));
}

static Dim plus(const Shape *s, Dim a, int64_t v)
{
    return v ? dim_add(s->dims, a, dim_const(s->dims, v)) : a;
}

/* ---- small demands ---- */

static bool is_float(Dtype t)
{
    return t == DT_F32 || t == DT_F64;
}

static bool is_number(Dtype t)
{
    return is_float(t) || t == DT_I32;
}

static bool want_float(Shape *s, const Type *t)
{
    return is_float(t->dtype) || no(s, "%s takes floats, not %s", s->name, type_str(s, t));
}

static bool want_number(Shape *s, const Type *t)
{
    return is_number(t->dtype) || no(s, "%s takes numbers, not %s", s->name, type_str(s, t));
}

static bool want_rank4(Shape *s, const Type *t, const char *what, const char *axes)
{
    return t->rank == 4 || no(s, "%s must have 4 axes (%s), but is %s", what, axes, type_str(s, t));
}

static bool want_dtype(Shape *s, const Type *a, const Type *b)
{
    return a->dtype == b->dtype || no(s, "%s of %s and %s: the types differ; use cast", s->name, type_str(s, a), type_str(s, b));
}

static bool want_axis(Shape *s, int64_t axis, int rank, const Type *t)
{
    return (axis >= 0 && axis < rank) || no(s, "axis %lld is outside %s", (long long)axis, type_str(s, t));
}

static const char *verb(Op op)
{
    switch (op) {
    case OP_add: return "add";
    case OP_sub: return "subtract";
    case OP_mul: return "multiply";
    case OP_div: return "divide";
    case OP_eq: case OP_ne: case OP_lt: case OP_le: return "compare";
    case OP_select: return "select between";
    default: return "combine";
    }
}

static bool want_same_shape(Shape *s, const Type *a, const Type *b)
{
    if (a->rank != b->rank)
        return no(s, "cannot %s %s and %s: %d axes and %d axes; reshape one of them or add axes of size 1", verb(s->op), type_str(s, a), type_str(s, b), a->rank, b->rank);
    for (int i = 0; i < a->rank; i++)
        if (!same(s, a->shape[i], b->shape[i]) && !differ(s, a->shape[i], b->shape[i], "cannot %s %s and %s", verb(s->op), type_str(s, a), type_str(s, b)))
            return false;
    return true;
}

/* ---- leaves ---- */

static bool shape_leaf(Shape *s)
{
    const Type *t = s->out;
    if (t->dtype < DT_F32 || t->dtype > DT_BOOL)
        return no(s, "needs a dtype");
    switch (s->op) {
    case OP_runtime:
    case OP_size:
        return want_number(s, t) && (t->rank == 0 || no(s, "%s is a scalar, not %s", s->name, type_str(s, t)));
    case OP_const:
        return t->rank == 0 || no(s, "%s is a scalar, not %s", s->name, type_str(s, t));
    case OP_iota:
        return want_number(s, t) && want_axis(s, s->attrs[0], t->rank, t);
    case OP_uniform:
    case OP_normal:
        return want_float(s, t);
    default:
        return s->attrs[0] >= 0 || no(s, "index is negative");
    }
}

/* ---- elementwise ---- */

static bool shape_unary(Shape *s)
{
    Type a = arg_type(s, 0);
    *s->out = a;
    switch (s->op) {
    case OP_neg: case OP_abs: case OP_sign:
        return want_number(s, &a);
    case OP_not:
        return a.dtype == DT_BOOL || no(s, "not takes a bool, not %s", type_str(s, &a));
    case OP_stop:
        return true;
    case OP_cast:
        s->out->dtype = (Dtype)(DT_F32 + s->attrs[0]);
        return true;
    default:
        return want_float(s, &a);
    }
}

static bool binary_dtypes(Shape *s, const Type *a, const Type *b, Dtype *result)
{
    *result = a->dtype;
    if (!want_dtype(s, a, b))
        return false;
    switch (s->op) {
    case OP_div: case OP_pow:
        return want_float(s, a);
    case OP_eq: case OP_ne:
        *result = DT_BOOL;
        return true;
    case OP_lt: case OP_le:
        *result = DT_BOOL;
        return want_number(s, a);
    case OP_and: case OP_or:
        return a->dtype == DT_BOOL || no(s, "%s takes bools, not %s", s->name, type_str(s, a));
    default:
        return want_number(s, a);
    }
}

static bool shape_binary(Shape *s)
{
    Type  a = arg_type(s, 0), b = arg_type(s, 1);
    Dtype dtype;
    if (!binary_dtypes(s, &a, &b, &dtype) || !want_same_shape(s, &a, &b))
        return false;
    *s->out = a;
    s->out->dtype = dtype;
    return true;
}

static bool select_dtypes(Shape *s, const Type *c, const Type *a, const Type *b)
{
    return (c->dtype == DT_BOOL || no(s, "the condition of select must be a bool, not %s", type_str(s, c))) && want_dtype(s, a, b);
}

static bool shape_select(Shape *s)
{
    Type c = arg_type(s, 0), a = arg_type(s, 1), b = arg_type(s, 2);
    *s->out = a;
    return select_dtypes(s, &c, &a, &b) && want_same_shape(s, &a, &b) && want_same_shape(s, &c, &a);
}

/* The language's broadcasting: a rank-0 operand, or equal ranks where an axis of literal 1 stretches. */
static bool common_shape(Shape *s)
{
    int  top = 0;
    Type t = arg_type(s, 0);
    for (int i = 1; i < s->nargs; i++) {
        Type a = arg_type(s, i);
        if (a.rank > t.rank)
            t = a, top = i;
    }
    for (int i = 0; i < s->nargs; i++) {
        Type a = arg_type(s, i), first = arg_type(s, i < top ? i : top), second = arg_type(s, i < top ? top : i);
        if (a.rank == 0 || i == top)
            continue;
        if (a.rank != t.rank)
            return want_same_shape(s, &first, &second);
        for (int k = 0; k < t.rank; k++) {
            if (a.shape[k] == 1 || same(s, a.shape[k], t.shape[k]))
                continue;
            if (t.shape[k] == 1)
                t.shape[k] = a.shape[k];
            else if (!differ(s, first.shape[k], second.shape[k], "cannot %s %s and %s", verb(s->op), type_str(s, &first), type_str(s, &second)))
                return false;
        }
    }
    s->out->rank = t.rank;
    memcpy(s->out->shape, t.shape, sizeof t.shape);
    return true;
}

/* ---- reductions ---- */

static bool shape_reduce(Shape *s)
{
    Type a = arg_type(s, 0);
    *s->out = a;
    if (!want_number(s, &a))
        return false;
    for (int i = 0; i < s->nattrs; i++) {
        if (!want_axis(s, s->attrs[i], a.rank, &a))
            return false;
        if (i && s->attrs[i] <= s->attrs[i - 1])
            return no(s, "axes of %s must be in rising order, each once", s->name);
        s->out->shape[s->attrs[i]] = 1;
    }
    if (s->op == OP_argmax)
        s->out->dtype = DT_I32;
    return true;
}

/* ---- movement ---- */

static Dim count_of(Shape *s, const Type *t)
{
    Dim n = 1;
    for (int i = 0; i < t->rank; i++)
        n = dim_mul(s->dims, n, t->shape[i]);
    return n;
}

static bool shape_reshape(Shape *s)
{
    Type a = arg_type(s, 0);
    s->out->dtype = a.dtype;
    Dim from = count_of(s, &a), to = count_of(s, s->out);
    if (same(s, from, to))
        return true;
    if (dim_never_equal(s->dims, from, to) || !s->undecided)
        return no(s, "cannot reshape %s (%s elements) to %s (%s elements)", type_str(s, &a), dim_str(s, from), type_str(s, s->out), dim_str(s, to));
    return differ(s, from, to, "cannot reshape %s to %s", type_str(s, &a), type_str(s, s->out));
}

static bool shape_transpose(Shape *s)
{
    Type     a = arg_type(s, 0);
    unsigned seen = 0;
    *s->out = a;
    if (s->nattrs != a.rank)
        return no(s, "transpose of %s needs %d axes, got %d", type_str(s, &a), a.rank, s->nattrs);
    for (int i = 0; i < a.rank; i++) {
        int64_t p = s->attrs[i];
        if (!want_axis(s, p, a.rank, &a))
            return false;
        if (seen & 1u << p)
            return no(s, "transpose names axis %lld twice", (long long)p);
        seen |= 1u << p;
        s->out->shape[i] = a.shape[p];
    }
    return true;
}

static bool shape_broadcast(Shape *s)
{
    Type a = arg_type(s, 0);
    s->out->dtype = a.dtype;
    if (a.rank == 0)
        return true;
    if (a.rank != s->out->rank)
        return no(s, "cannot broadcast %s to %s: %d axes and %d axes", type_str(s, &a), type_str(s, s->out), a.rank, s->out->rank);
    for (int i = 0; i < a.rank; i++)
        if (a.shape[i] != 1 && !same(s, a.shape[i], s->out->shape[i]) &&
            !differ(s, a.shape[i], s->out->shape[i], "cannot broadcast %s to %s: only axes of size 1 stretch", type_str(s, &a), type_str(s, s->out)))
            return false;
    return true;
}

/* slice: elements of the input, places in the input. place: elements of the input, places in the result. */
static bool shape_slice(Shape *s)
{
    Type        a = arg_type(s, 0);
    bool        cut = s->op == OP_slice;
    const Type *whole = cut ? &a : s->out, *part = cut ? s->out : &a;
    s->out->dtype = a.dtype;
    if (a.rank != s->out->rank || s->nattrs != 2 * a.rank)
        return no(s, "%s of %s to %s: numbers of axes differ", s->name, type_str(s, &a), type_str(s, s->out));
    for (int i = 0; i < a.rank; i++) {
        Dim     start = (Dim)s->attrs[i], n = part->shape[i];
        int64_t step = s->attrs[a.rank + i];
        if (step == 0)
            return no(s, "%s with step 0 along axis %d", s->name, i);
        if (negative(s, n))
            return no(s, "%s along axis %d of %s has a negative size %s", s->name, i, type_str(s, whole), dim_str(s, n));
        if (n == 0)
            continue;
        Dim last = dim_add(s->dims, start, dim_scale(s->dims, plus(s, n, -1), step));
        Dim low = step > 0 ? start : last, high = step > 0 ? last : start;
        if (negative(s, low) || negative(s, plus(s, dim_sub(s->dims, whole->shape[i], high), -1)))
            return no(s, "%s from %s to %s along axis %d is outside %s", s->name, dim_str(s, low), dim_str(s, high), i, type_str(s, whole));
    }
    return true;
}

static bool shape_pad(Shape *s)
{
    Type        a = arg_type(s, 0);
    bool        grow = s->op == OP_pad;
    const Type *small = grow ? &a : s->out, *large = grow ? s->out : &a;
    s->out->dtype = a.dtype;
    if (a.rank != s->out->rank || s->nattrs != a.rank + 1)
        return no(s, "%s of %s to %s: numbers of axes differ", s->name, type_str(s, &a), type_str(s, s->out));
    if (!grow && !want_number(s, &a))
        return false;
    for (int i = 0; i < a.rank; i++) {
        Dim  n = small->shape[i], lo = dim_const(s->dims, s->attrs[i]), hi = dim_sub(s->dims, dim_sub(s->dims, large->shape[i], n), lo);
        bool reflect = s->attrs[a.rank] == MODE_REFLECT;
        if (s->attrs[i] < 0 || negative(s, hi))
            return no(s, "padding of axis %d from %s to %s is negative", i, dim_str(s, n), dim_str(s, large->shape[i]));
        if (reflect && (negative(s, plus(s, dim_sub(s->dims, n, lo), -1)) || negative(s, plus(s, dim_sub(s->dims, n, hi), -1))))
            return no(s, "reflect padding of %s and %s needs more elements than axis %d has: %s", dim_str(s, lo), dim_str(s, hi), i, dim_str(s, n));
        if (n == 0 && large->shape[i] != 0)
            return no(s, "cannot pad axis %d of %s: there is nothing to repeat", i, type_str(s, small));
    }
    return true;
}

static bool shape_concat(Shape *s)
{
    Type    first = arg_type(s, 0), given = *s->out;
    int64_t axis = s->attrs[0];
    Dim     total = first.shape[0];
    if (!want_axis(s, axis, first.rank, &first))
        return false;
    total = first.shape[axis];
    for (int i = 1; i < s->nargs; i++) {
        Type a = arg_type(s, i);
        if (a.rank != first.rank || a.dtype != first.dtype)
            return no(s, "cannot concat %s and %s", type_str(s, &first), type_str(s, &a));
        for (int k = 0; k < a.rank; k++)
            if (k != axis && !same(s, first.shape[k], a.shape[k]) &&
                !differ(s, first.shape[k], a.shape[k], "cannot concat %s and %s along axis %lld", type_str(s, &first), type_str(s, &a), (long long)axis))
                return false;
        total = dim_add(s->dims, total, a.shape[axis]);
    }
    *s->out = first;
    s->out->shape[axis] = total;
    if (given.rank < 0)
        return true;
    given.dtype = first.dtype;
    Type usual = *s->out;
    *s->out = given;
    if (given.rank != usual.rank)
        return no(s, "concat makes %s, not %s", type_str(s, &usual), type_str(s, &given));
    for (int k = 0; k < usual.rank; k++)
        if (!same(s, usual.shape[k], given.shape[k]) && !differ(s, usual.shape[k], given.shape[k], "concat makes %s, not %s", type_str(s, &usual), type_str(s, &given)))
            return false;
    return true;
}

static bool shape_resize(Shape *s)
{
    Type a = arg_type(s, 0);
    s->out->dtype = a.dtype;
    if (!want_float(s, &a) || !want_rank4(s, &a, "the input of resize", "n, c, h, w") || !want_rank4(s, s->out, "the result of resize", "n, c, h, w"))
        return false;
    for (int i = 0; i < 2; i++)
        if (!same(s, a.shape[i], s->out->shape[i]) && !differ(s, a.shape[i], s->out->shape[i], "resize changes height and width only: %s to %s", type_str(s, &a), type_str(s, s->out)))
            return false;
    return true;
}

/* ---- contractions ---- */

static bool shape_matmul(Shape *s)
{
    Type a = arg_type(s, 0), b = arg_type(s, 1);
    int  r = a.rank, ta = s->attrs[0] != 0, tb = s->attrs[1] != 0;
    if (!want_dtype(s, &a, &b) || !want_float(s, &a))
        return false;
    if (r < 2 || b.rank != r)
        return no(s, "matmul needs two matrices with equal leading axes, got %s and %s", type_str(s, &a), type_str(s, &b));
    for (int i = 0; i < r - 2; i++)
        if (!same(s, a.shape[i], b.shape[i]) && !differ(s, a.shape[i], b.shape[i], "matmul of %s and %s", type_str(s, &a), type_str(s, &b)))
            return false;
    Dim k1 = a.shape[r - 1 - ta], k2 = b.shape[r - 2 + tb];
    if (!same(s, k1, k2) && !differ(s, k1, k2, "matmul of %s%s and %s%s: inner sizes do not match", type_str(s, &a), ta ? " transposed" : "", type_str(s, &b), tb ? " transposed" : ""))
        return false;
    *s->out = a;
    s->out->shape[r - 2] = a.shape[r - 2 + ta];
    s->out->shape[r - 1] = b.shape[r - 1 - tb];
    return true;
}

enum { CONV_STRIDE = 0, CONV_PAD = 2, CONV_DILATION = 6, CONV_GROUPS = 8 };

/* Result size of a window of `kernel` elements along axis `which` (0 h, 1 w): floor((size + pads - extent)/stride) + 1; ceil: one more where a part is left over. */
static Dim window_out(const Shape *s, Dim size, Dim kernel, int64_t stride, int64_t lo, int64_t hi, int64_t dilation, bool ceil)
{
    Dim extent = plus(s, dim_scale(s->dims, plus(s, kernel, -1), dilation), 1);
    Dim room = plus(s, dim_sub(s->dims, size, extent), lo + hi + (ceil ? stride - 1 : 0));
    return plus(s, dim_floordiv(s->dims, room, stride), 1);
}

static bool window_attrs(Shape *s, const int64_t *stride, const int64_t *pad, const int64_t *dilation)
{
    for (int i = 0; i < 2; i++)
        if (stride[i] < 1 || (dilation && dilation[i] < 1))
            return no(s, "stride and dilation must be at least 1");
    for (int i = 0; i < 4; i++)
        if (pad[i] < 0)
            return no(s, "padding must not be negative");
    return true;
}

static bool channels_agree(Shape *s, Dim have, Dim want)
{
    if (same(s, have, want) || differ(s, have, want, "channel mismatch"))
        return true;
    return no(s, "channel mismatch: input has C = %s, weights were made for %s", dim_str(s, have), dim_str(s, want));
}

/* x (n,c,h,w), w (k,c/g,r,s), y (n,k,ho,wo): all that conv, conv_dx and conv_dw have in common */
static bool conv_agrees(Shape *s, const Type *x, const Type *w, const Type *y)
{
    const int64_t *at = s->attrs;
    int64_t        groups = at[CONV_GROUPS];
    Dim            c = dim_scale(s->dims, w->shape[1], groups), q;
    if (!channels_agree(s, x->shape[1], c) || !channels_agree(s, y->shape[1], w->shape[0]))
        return false;
    if (groups > 1 && !dim_divide(s->dims, w->shape[0], dim_const(s->dims, groups), &q))
        return no(s, "%s output channels do not divide into %lld groups", dim_str(s, w->shape[0]), (long long)groups);
    if (!same(s, y->shape[0], x->shape[0]) && !differ(s, y->shape[0], x->shape[0], "%s: batch sizes", s->name))
        return false;
    for (int i = 0; i < 2; i++) {
        Dim out = window_out(s, x->shape[2 + i], w->shape[2 + i], at[CONV_STRIDE + i], at[CONV_PAD + 2 * i], at[CONV_PAD + 2 * i + 1], at[CONV_DILATION + i], false);
        if (negative(s, plus(s, out, -1)))
            return no(s, "kernel of %s does not fit %s of %s with padding %lld and %lld", dim_str(s, w->shape[2 + i]), i ? "a width" : "a height", dim_str(s, x->shape[2 + i]),
                      (long long)at[CONV_PAD + 2 * i], (long long)at[CONV_PAD + 2 * i + 1]);
        if (!same(s, out, y->shape[2 + i]) && !differ(s, out, y->shape[2 + i], "%s: a convolution of %s of %s gives %s, not %s", s->name, i ? "a width" : "a height",
                                                      dim_str(s, x->shape[2 + i]), dim_str(s, out), dim_str(s, y->shape[2 + i])))
            return false;
    }
    return true;
}

static bool shape_conv(Shape *s)
{
    Type           a = arg_type(s, 0), b = arg_type(s, 1), *out = s->out;
    const int64_t *at = s->attrs;
    if (!want_dtype(s, &a, &b) || !want_float(s, &a) || !window_attrs(s, at + CONV_STRIDE, at + CONV_PAD, at + CONV_DILATION))
        return false;
    if (at[CONV_GROUPS] < 1)
        return no(s, "groups must be at least 1");
    if (!want_rank4(s, &a, "the input of a convolution", "n, c, h, w") ||
        !want_rank4(s, &b, s->op == OP_conv_dw ? "the gradient of a convolution" : "the weight of a convolution", s->op == OP_conv_dw ? "n, k, ho, wo" : "k, c, r, s"))
        return false;
    if (s->op != OP_conv && !want_rank4(s, out, "the result", s->op == OP_conv_dx ? "n, c, h, w" : "k, c, r, s"))
        return false;
    out->dtype = a.dtype;
    if (s->op == OP_conv_dx)
        return conv_agrees(s, out, &b, &a);
    if (s->op == OP_conv_dw)
        return conv_agrees(s, &a, out, &b);
    out->rank = 4;
    out->shape[0] = a.shape[0];
    out->shape[1] = b.shape[0];
    for (int i = 0; i < 2; i++)
        out->shape[2 + i] = window_out(s, a.shape[2 + i], b.shape[2 + i], at[CONV_STRIDE + i], at[CONV_PAD + 2 * i], at[CONV_PAD + 2 * i + 1], at[CONV_DILATION + i], false);
    return conv_agrees(s, &a, &b, out);
}

/* ---- windows ---- */

enum { WIN_KERNEL = 0, WIN_STRIDE = 2, WIN_PAD = 4 };

/* x (n,c,h,w), y (n,c,ho,wo). A y one larger, where windows hang over the end, is ceil mode. */
static bool windows_agree(Shape *s, const Type *x, const Type *y)
{
    const int64_t *at = s->attrs;
    for (int i = 0; i < 4; i++) {
        Dim want = x->shape[i], other = want;
        if (i >= 2) {
            int k = i - 2;
            want = window_out(s, x->shape[i], dim_const(s->dims, at[WIN_KERNEL + k]), at[WIN_STRIDE + k], at[WIN_PAD + 2 * k], at[WIN_PAD + 2 * k + 1], 1, false);
            other = window_out(s, x->shape[i], dim_const(s->dims, at[WIN_KERNEL + k]), at[WIN_STRIDE + k], at[WIN_PAD + 2 * k], at[WIN_PAD + 2 * k + 1], 1, true);
            if (negative(s, plus(s, want, -1)))
                return no(s, "window of %lld does not fit axis %d of %s", (long long)at[WIN_KERNEL + k], i, type_str(s, x));
        }
        if (!same(s, want, y->shape[i]) && !same(s, other, y->shape[i]) &&
            !differ(s, want, y->shape[i], "%s: windows of %s give %s along axis %d, not %s", s->name, type_str(s, x), dim_str(s, want), i, dim_str(s, y->shape[i])))
            return false;
    }
    return true;
}

static bool shape_window(Shape *s)
{
    Type           a = arg_type(s, 0), b = arg_type(s, s->nargs - 1), *out = s->out;
    const int64_t *at = s->attrs;
    if (!want_float(s, &a) || !want_dtype(s, &a, &b) || !window_attrs(s, at + WIN_STRIDE, at + WIN_PAD, NULL))
        return false;
    if (at[WIN_KERNEL] < 1 || at[WIN_KERNEL + 1] < 1)
        return no(s, "a window has at least 1 element");
    for (int i = 0; i < 4; i++)
        if (at[WIN_PAD + i] >= at[WIN_KERNEL + i / 2])
            return no(s, "padding of %lld is not smaller than the window of %lld", (long long)at[WIN_PAD + i], (long long)at[WIN_KERNEL + i / 2]);
    if (!want_rank4(s, &a, "the input of a window", "n, c, h, w") || !want_rank4(s, &b, "the input of a window", "n, c, h, w"))
        return false;
    out->dtype = a.dtype;
    if (s->op == OP_win_unpick) {
        *out = a;
        return windows_agree(s, &a, &b);
    }
    if (s->op == OP_win_sum_adjoint)
        return want_rank4(s, out, "the result", "n, c, h, w") && windows_agree(s, out, &a);
    if (s->op == OP_win_pick && !want_same_shape(s, &a, &b))
        return false;
    if (out->rank < 0) {
        *out = a;
        for (int i = 0; i < 2; i++)
            out->shape[2 + i] = window_out(s, a.shape[2 + i], dim_const(s->dims, at[WIN_KERNEL + i]), at[WIN_STRIDE + i], at[WIN_PAD + 2 * i], at[WIN_PAD + 2 * i + 1], 1, false);
    }
    return want_rank4(s, out, "the result", "n, c, h, w") && windows_agree(s, &a, out);
}

/* ---- by index ---- */

/* table (m, ..), index (..j), rows (..j, ..) */
static bool rows_agree(Shape *s, const Type *table, const Type *index, const Type *rows)
{
    if (index->dtype != DT_I32)
        return no(s, "%s needs an i32 index, not %s; use cast", s->name, type_str(s, index));
    if (table->rank < 1 || rows->rank != index->rank + table->rank - 1)
        return no(s, "%s: table %s, index %s and rows %s do not fit together", s->name, type_str(s, table), type_str(s, index), type_str(s, rows));
    for (int i = 0; i < rows->rank; i++) {
        Dim want = i < index->rank ? index->shape[i] : table->shape[i - index->rank + 1];
        if (!same(s, want, rows->shape[i]) && !differ(s, want, rows->shape[i], "%s: table %s, index %s, rows %s", s->name, type_str(s, table), type_str(s, index), type_str(s, rows)))
            return false;
    }
    return true;
}

static bool shape_gather(Shape *s)
{
    Type a = arg_type(s, 0), index = arg_type(s, 1), *out = s->out;
    if (a.rank < 1 || index.rank + a.rank - 1 > MAX_RANK)
        return no(s, "gather of %s by %s: too few or too many axes", type_str(s, &a), type_str(s, &index));
    out->dtype = a.dtype;
    out->rank = index.rank + a.rank - 1;
    for (int i = 0; i < out->rank; i++)
        out->shape[i] = i < index.rank ? index.shape[i] : a.shape[i - index.rank + 1];
    return rows_agree(s, &a, &index, out);
}

static bool shape_scatter_add(Shape *s)
{
    Type rows = arg_type(s, 0), index = arg_type(s, 1);
    s->out->dtype = rows.dtype;
    return want_number(s, &rows) && rows_agree(s, s->out, &index, &rows);
}

/* ---- dispatch ---- */

static bool shape_of(Shape *s)
{
    switch (op_info[s->op].class) {
    case CLASS_LEAF:
        return shape_leaf(s);
    case CLASS_ELEM:
        return s->nargs == 1 ? shape_unary(s) : s->nargs == 2 ? shape_binary(s) : shape_select(s);
    case CLASS_REDUCE:
        return shape_reduce(s);
    case CLASS_INDEX:
        return s->op == OP_gather ? shape_gather(s) : shape_scatter_add(s);
    default:
        break;
    }
    switch (s->op) {
    case OP_reshape: return shape_reshape(s);
    case OP_transpose: return shape_transpose(s);
    case OP_broadcast: return shape_broadcast(s);
    case OP_slice: case OP_place: return shape_slice(s);
    case OP_pad: case OP_pad_adjoint: return shape_pad(s);
    case OP_concat: return shape_concat(s);
    case OP_resize: case OP_resize_adjoint: return shape_resize(s);
    case OP_matmul: return shape_matmul(s);
    case OP_conv: case OP_conv_dx: case OP_conv_dw: return shape_conv(s);
    default: return shape_window(s);
    }
}

static bool check_counts(Shape *s)
{
    const OpInfo   *info = &op_info[s->op];
    const AttrInfo *attrs;
    int             n = op_attrs(s->op, &attrs), at = 0;
    if (info->nin < 0 ? s->nargs < 1 || s->nargs > MAX_ARGS : s->nargs != info->nin)
        return no(s, "%s takes %d inputs, got %d", s->name, info->nin < 0 ? 1 : info->nin, s->nargs);
    for (int i = 0; i < s->nargs; i++)
        if (s->args[i] == 0 || s->args[i] >= s->g->nodes.n)
            return no(s, "input %d of %s is missing", i, s->name);
    if (op_attr_count(s->op, 0, s->nattrs) < 0 || s->nattrs > UINT16_MAX)
        return no(s, "%s: wrong number of attributes", s->name);
    for (int i = 0; i < n; i++) {
        int count = op_attr_count(s->op, i, s->nattrs);
        for (int k = 0; k < count && attrs[i].kind == ATTR_ENUM; k++)
            if (s->attrs[at + k] < 0 || s->attrs[at + k] >= attrs[i].nwords)
                return no(s, "%s: %s has no value %lld", s->name, attrs[i].name, (long long)s->attrs[at + k]);
        at += count;
    }
    if (info->flags & FLAG_SHAPE_GIVEN) {
        bool can_infer = s->op == OP_concat || s->op == OP_win_sum || s->op == OP_win_max || s->op == OP_win_pick;
        if (s->out->rank > MAX_RANK || s->out->rank < (can_infer ? -1 : 0))
            return no(s, "%s: a tensor has at most %d axes", s->name, MAX_RANK);
        for (int i = 0; i < s->out->rank; i++)
            if (negative(s, s->out->shape[i]))
                return no(s, "%s: axis %d has the negative size %s", s->name, i, dim_str(s, s->out->shape[i]));
    }
    return true;
}

bool infer_type(const Graph *g, Op op, int nargs, const Ref *args, int nattrs, const int64_t *attrs, Type *type, CheckList *undecided, char *why, size_t nwhy)
{
    Shape s = { .g = g, .dims = g->dims, .op = op, .name = op_info[op].name, .nargs = nargs, .nattrs = nattrs, .args = args, .attrs = attrs, .out = type, .undecided = undecided,
                .why = why, .nwhy = nwhy };
    bool  ok = check_counts(&s) && shape_of(&s);
    arena_free(&s.texts);
    return ok;
}

bool infer_broadcast(const Graph *g, Op op, int nargs, const Ref *args, Type *type, CheckList *undecided, char *why, size_t nwhy)
{
    Shape s = { .g = g, .dims = g->dims, .op = op, .name = op_info[op].name, .nargs = nargs, .args = args, .out = type, .undecided = undecided, .why = why, .nwhy = nwhy };
    Type  a = arg_type(&s, 0), b = arg_type(&s, nargs - 1), mid = arg_type(&s, nargs / 2);
    bool  ok = nargs == 3 ? select_dtypes(&s, &a, &mid, &b) : binary_dtypes(&s, &a, &b, &type->dtype);
    if (nargs == 3)
        type->dtype = mid.dtype;
    ok = ok && common_shape(&s);
    arena_free(&s.texts);
    return ok;
}
