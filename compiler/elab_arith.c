/* elab_arith.c - built-in functions of elements, and reductions: arithmetic, logic, casts, select; sum, mean, amax, amin, argmax.
 * Given numbers alone, they answer with numbers.
 */
#include "elab_builtin.h"

#include <math.h>
#include <string.h>

/* ---- arithmetic ---- */

static double number_of(Op op, double x)
{
    switch (op) {
    case OP_exp:
        return exp(x);
    case OP_log:
        return log(x);
    case OP_sqrt:
        return sqrt(x);
    case OP_rsqrt:
        return 1 / sqrt(x);
    case OP_sin:
        return sin(x);
    case OP_cos:
        return cos(x);
    case OP_tanh:
        return tanh(x);
    case OP_sigmoid:
        return 1 / (1 + exp(-x));
    case OP_softplus:
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    case OP_abs:
        return fabs(x);
    case OP_sign:
        return (x > 0) - (x < 0);
    case OP_floor:
        return floor(x);
    case OP_round:
        return nearbyint(x);
    default:
        return -x;
    }
}

Value do_unary(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    if (v[0].kind == VAL_NUM && !v[0].unit) {
        double r = number_of(b->op, v[0].num);
        bool   whole = v[0].is_int && (b->op == OP_abs || b->op == OP_sign || b->op == OP_neg);
        if (!isfinite(r)) {
            elab_error(e, 242, loc, "%s(%.9g) is not a number", b->name, v[0].num);
            return (Value){ 0 };
        }
        return val_num(r, whole || b->op == OP_floor || b->op == OP_round);
    }
    Ref r = as_tensor(e, &v[0], b->name);
    if (!r)
        return (Value){ 0 };
    Type t = node_type(e->gs->g, r);
    bool wants_bool = b->op == OP_not;
    if ((t.dtype == DT_BOOL) != wants_bool || (t.dtype == DT_I32 && b->op != OP_neg && b->op != OP_abs && b->op != OP_sign && b->op != OP_stop)) {
        elab_error(e, 209, loc, "%s takes a tensor of %s, not %s", b->name, wants_bool ? "bool" : "f32", type_text(e, &t));
        return (Value){ 0 };
    }
    return val_tensor(b_unary(e->gs->g, b->op, r));
}

Value do_stop(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)loc;
    if (v[0].kind == VAL_TUPLE) {                               /* stop(vgg(x)): each of its results */
        Value r = v[0];
        r.items = ARENA_ARR(e->arena, Value, r.n);
        for (uint32_t i = 0; i < r.n; i++)
            r.items[i] = do_stop(e, b, &v[0].items[i], loc);
        return r;
    }
    Ref r = as_tensor(e, &v[0], "stop");
    return r ? val_tensor(b_unary(e->gs->g, OP_stop, r)) : (Value){ 0 };
}

Value do_square(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    return binary(e, B_MUL, v[0], v[0], loc);
}

Value do_binary(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    if (v[0].kind == VAL_NUM && v[1].kind == VAL_NUM && !v[0].unit && !v[1].unit) {
        double x = v[0].num, y = v[1].num;
        if (b->op == OP_pow)
            return binary(e, B_POW, v[0], v[1], loc);
        return val_num(b->op == OP_min ? fmin(x, y) : fmax(x, y), v[0].is_int && v[1].is_int);
    }
    /* the checks of x + y (dtype, broadcast) serve here too: its node is unused and disappears */
    Value sum = binary(e, B_ADD, v[0], v[1], loc);
    if (sum.kind != VAL_TENSOR)
        return (Value){ 0 };
    Ref x = as_tensor(e, &v[0], b->name), y = as_tensor(e, &v[1], b->name);
    return x && y ? val_tensor(b_binary(e->gs->g, b->op, x, y)) : (Value){ 0 };
}

Value do_logic(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    if (v[0].kind == VAL_BOOL && v[1].kind == VAL_BOOL)
        return val_bool(b->op == OP_and ? v[0].b && v[1].b : v[0].b || v[1].b);
    Ref x = as_tensor(e, &v[0], b->name), y = as_tensor(e, &v[1], b->name);
    if (!x || !y)
        return (Value){ 0 };
    Type a = node_type(e->gs->g, x), c = node_type(e->gs->g, y);
    if (a.dtype != DT_BOOL || c.dtype != DT_BOOL || a.rank != c.rank || memcmp(a.shape, c.shape, sizeof(Dim) * (size_t)a.rank)) {
        elab_error(e, 209, loc, "%s takes two bool tensors of one shape, not %s and %s", b->name, type_text(e, &a), type_text(e, &c));
        return (Value){ 0 };
    }
    return val_tensor(b_binary(e->gs->g, b->op, x, y));
}

Value do_log2(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    double x;
    if (!as_number(e, &v[0], "log2", &x))
        return (Value){ 0 };
    if (x <= 0) {
        elab_error(e, 242, loc, "log2(%.9g) is not a number", x);
        return (Value){ 0 };
    }
    double r = log2(x);
    return val_num(r, r == floor(r));
}

/* select(c, a, b): c a bool tensor; a and b broadcast like operands of + */
Value do_select(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    if (v[0].kind == VAL_BOOL)
        return v[0].b ? v[1] : v[2];
    Ref c = as_tensor(e, &v[0], "select's condition"), x = as_tensor(e, &v[1], "select"), y = as_tensor(e, &v[2], "select");
    if (!c || !x || !y)
        return (Value){ 0 };
    Value sum = binary(e, B_ADD, val_tensor(x), val_tensor(y), loc);
    if (sum.kind != VAL_TENSOR)
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   tc = node_type(g, c), ts = node_type(g, sum.ref);
    if (tc.dtype != DT_BOOL) {
        elab_error(e, 209, v[0].loc, "select's condition is a bool tensor, such as x > 0, not %s", type_text(e, &tc));
        return (Value){ 0 };
    }
    Value mask = val_tensor(b_cast(g, c, ts.dtype));
    Value all = binary(e, B_ADD, mask, sum, loc);               /* the shape all three broadcast to */
    if (all.kind != VAL_TENSOR)
        return (Value){ 0 };
    Type t = node_type(g, all.ref);
    return val_tensor(b_select(g, b_broadcast(g, c, t.rank, t.shape), b_broadcast(g, x, t.rank, t.shape), b_broadcast(g, y, t.rank, t.shape)));
}

Value do_cast(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    (void)loc;
    return r ? val_tensor(b_cast(e->gs->g, r, !strcmp(b->name, "i32") ? DT_I32 : !strcmp(b->name, "bool") ? DT_BOOL : DT_F32)) : (Value){ 0 };
}

/* ---- reductions ---- */

static bool axes_of(Elab *e, const Value *v, int rank, int *axes, int *n)
{
    int64_t list[MAX_RANK];
    *n = rank;
    for (int i = 0; i < rank; i++)
        axes[i] = i;
    if (v->kind == VAL_NONE)
        return true;
    if (!as_ints(e, v, "axes", list, n, MAX_RANK))
        return false;
    for (int i = 0; i < *n; i++) {
        int64_t a = list[i] < 0 ? list[i] + rank : list[i];
        if (a < 0 || a >= rank) {
            elab_error(e, 260, v->loc, "axis %lld of a tensor with %d axes", (long long)list[i], rank);
            return false;
        }
        for (int k = 0; k < i; k++)
            if (axes[k] == a) {
                elab_error(e, 260, v->loc, "axis %lld is named twice", (long long)list[i]);
                return false;
            }
        axes[i] = (int)a;
    }
    for (int i = 1; i < *n; i++)                                /* in order: equal reductions are equal nodes */
        for (int k = i; k > 0 && axes[k - 1] > axes[k]; k--) {
            int t = axes[k];
            axes[k] = axes[k - 1];
            axes[k - 1] = t;
        }
    return true;
}

/* sum, mean, amax, amin: (x, axes: all, keep: false) */
Value do_reduce(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref  r = as_tensor(e, &v[0], b->name);
    bool keep = false;
    int  axes[MAX_RANK], n;
    if (!r)
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    if (t.dtype != DT_F32) {
        diag_hint(e->d, elab_error(e, 209, loc, "%s takes f32, not %s", b->name, type_text(e, &t)), "Use f32(x)");
        return (Value){ 0 };
    }
    if (!axes_of(e, &v[1], t.rank, axes, &n) || (v[2].kind != VAL_NONE && !as_bool(e, &v[2], "keep", &keep)))
        return (Value){ 0 };
    if (b->op == OP_amax) {
        bool    low = !strcmp(b->name, "amin");
        int64_t attr[MAX_RANK];
        for (int i = 0; i < n; i++)
            attr[i] = axes[i];
        if (low)
            r = b_unary(g, OP_neg, r);
        if (n)
            r = make_node(g, OP_amax, DT_F32, 0, NULL, 1, &r, n, attr, 0);
        if (low)
            r = b_unary(g, OP_neg, r);
    } else {
        Dim count = dim_const(g->dims, 1);
        for (int i = 0; i < n; i++)
            count = dim_mul(g->dims, count, t.shape[axes[i]]);
        r = b_sum(g, r, axes, n);
        if (!strcmp(b->name, "mean"))
            r = b_binary(g, OP_div, r, b_size(g, count));
    }
    if (keep)
        return val_tensor(r);
    Dim left[MAX_RANK];
    int nleft = 0;
    for (int i = 0; i < t.rank; i++) {
        bool reduced = false;
        for (int k = 0; k < n; k++)
            reduced |= axes[k] == i;
        if (!reduced)
            left[nleft++] = t.shape[i];
    }
    return val_tensor(b_reshape(g, r, nleft, left));
}

Value do_argmax(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    int axes[MAX_RANK], n;
    if (!r)
        return (Value){ 0 };
    Type t = node_type(e->gs->g, r);
    if (!axes_of(e, &v[1], t.rank, axes, &n))
        return (Value){ 0 };
    if (n != 1) {
        elab_error(e, 260, loc, "argmax looks along one axis");
        return (Value){ 0 };
    }
    int64_t axis = axes[0];
    Value   a = checked_node(e, OP_argmax, b->name, 1, &r, 1, &axis, NULL, loc);
    Dim     left[MAX_RANK];
    int     nleft = 0;
    for (int i = 0; i < t.rank; i++)
        if (i != axes[0])
            left[nleft++] = t.shape[i];
    return a.kind == VAL_NONE ? a : val_tensor(b_reshape(e->gs->g, a.ref, nleft, left));
}
