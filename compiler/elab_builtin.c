/* elab_builtin.c - the functions every file knows: primitives of ops.def under their names in the language, and the few that only the compiler can give
 * (grad, shapes, random numbers). Everything that can be written in the language is written there instead (graphs/std).
 *
 * A row is name, signature, function. The signature lists parameters in order, `?` marks optional ones; values arrive in that order, VAL_NONE when absent.
 * Given numbers alone, the arithmetic ones answer with numbers.
 */
#include "elab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef Value (*BuiltinFn)(Elab *e, const Builtin *b, Value *v, Loc loc);
struct Builtin { const char *name, *signature; BuiltinFn fn; Op op; };

const char *builtin_name(const Builtin *b)
{
    return b->name;
}

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

static Value do_unary(Elab *e, const Builtin *b, Value *v, Loc loc)
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

static Value do_stop(Elab *e, const Builtin *b, Value *v, Loc loc)
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

static Value do_square(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    return binary(e, B_MUL, v[0], v[0], loc);
}

static Value do_binary(Elab *e, const Builtin *b, Value *v, Loc loc)
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

static Value do_logic(Elab *e, const Builtin *b, Value *v, Loc loc)
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

static Value do_log2(Elab *e, const Builtin *b, Value *v, Loc loc)
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
static Value do_select(Elab *e, const Builtin *b, Value *v, Loc loc)
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

static Value do_cast(Elab *e, const Builtin *b, Value *v, Loc loc)
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
static Value do_reduce(Elab *e, const Builtin *b, Value *v, Loc loc)
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

/* Makes a node after infer_type has agreed; its complaint becomes the user's. */
static Value checked_node(Elab *e, Op op, const char *name, int nargs, const Ref *args, int nattrs, const int64_t *attrs, const Type *given, Loc loc)
{
    Type      t = given ? *given : (Type){ 0 };
    char      why[512] = "";
    CheckList undecided = { 0 };
    if (!infer_type(e->gs->g, op, nargs, args, nattrs, attrs, &t, &undecided, why, sizeof why)) {
        size_t n = strlen(name);                                /* "matmul of ..." names itself */
        bool   named = !strncmp(why, name, n) && (why[n] == ' ' || why[n] == ':');
        elab_error(e, strstr(why, "channel") ? 204 : 205, loc, "%s%s%s", named ? "" : name, named ? "" : ": ", why);
        vec_free(&undecided);
        return (Value){ 0 };
    }
    for (uint32_t i = 0; i < undecided.n; i++) {
        undecided.at[i].loc = loc;
        vec_push(&e->gs->g->checks, undecided.at[i]);
    }
    vec_free(&undecided);
    return val_tensor(make_node(e->gs->g, op, t.dtype, t.rank, t.shape, nargs, args, nattrs, attrs, 0));
}

static Value do_argmax(Elab *e, const Builtin *b, Value *v, Loc loc)
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

/* ---- movement ---- */

/* N*256 against N*48: in one ratio whatever the sizes are, and it is not 1. */
static bool never_equal(Elab *e, Dim a, Dim b)
{
    static const int64_t samples[] = { 1, 2, 7 };
    Dim                  syms[64];
    DimBind              bind[64];
    int64_t              x[COUNT(samples)], y[COUNT(samples)];
    uint32_t             n = dim_symbols(e->m->dims, dim_add(e->m->dims, a, dim_scale(e->m->dims, b, 1 << 20)), syms, COUNT(syms));
    for (size_t i = 0; i < COUNT(samples); i++) {
        for (uint32_t k = 0; k < n; k++)
            bind[k] = (DimBind){ syms[k], samples[i] };
        if (!dim_eval(e->m->dims, a, bind, n, &x[i]) || !dim_eval(e->m->dims, b, bind, n, &y[i]) || x[i] == y[i] || x[i] * y[0] != x[0] * y[i])
            return false;
    }
    return true;
}

static Value do_reshape(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    Dim shape[MAX_RANK];
    int rank;
    if (!r || !as_dims(e, &v[1], "reshape's shape", shape, &rank))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    Dim    have = dim_const(g->dims, 1), want = have;
    for (int i = 0; i < t.rank; i++)
        have = dim_mul(g->dims, have, t.shape[i]);
    for (int i = 0; i < rank; i++)
        want = dim_mul(g->dims, want, shape[i]);
    if ((have != want && never_equal(e, have, want)) || !require_equal(e, have, want, loc, "reshape: the number of elements must stay")) {
        elab_error(e, 210, loc, "reshape: %s has %s elements, %s would have %s", type_text(e, &t), dim_text(g->dims, have, e->arena), dims_text(e, shape, rank),
                   dim_text(g->dims, want, e->arena));
        return (Value){ 0 };
    }
    return val_tensor(b_reshape(g, r, rank, shape));
}

static Value do_flatten(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    if (!r)
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    if (t.rank < 1) {
        elab_error(e, 260, loc, "flatten needs at least one axis");
        return (Value){ 0 };
    }
    Dim shape[2] = { t.shape[0], dim_const(g->dims, 1) };
    for (int i = 1; i < t.rank; i++)
        shape[1] = dim_mul(g->dims, shape[1], t.shape[i]);
    return val_tensor(b_reshape(g, r, 2, shape));
}

static Value do_transpose(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t list[MAX_RANK];
    int     n = 0, perm[MAX_RANK];
    if (!r)
        return (Value){ 0 };
    Type t = node_type(e->gs->g, r);
    if (!as_ints(e, &v[1], "transpose's axes", list, &n, MAX_RANK))
        return (Value){ 0 };
    bool seen[MAX_RANK] = { 0 }, ok = n == t.rank;
    for (int i = 0; i < n && ok; i++) {
        ok = list[i] >= 0 && list[i] < n && !seen[list[i]];
        if (ok)
            seen[list[i]] = true;
        perm[i] = (int)list[i];
    }
    if (!ok) {
        diag_hint(e->d, elab_error(e, 261, loc, "transpose names every axis of %s once", type_text(e, &t)), "For example: transpose(x, [0, 2, 1])");
        return (Value){ 0 };
    }
    return val_tensor(b_transpose(e->gs->g, r, perm));
}

/* expand(x, shape): literal 1s and scalars to any size */
static Value do_expand(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    Dim shape[MAX_RANK];
    int rank;
    if (!r || !as_dims(e, &v[1], "expand's shape", shape, &rank))
        return (Value){ 0 };
    Type t = node_type(e->gs->g, r);
    bool ok = t.rank == 0 || t.rank == rank;
    for (int i = 0; i < t.rank && ok; i++) {
        int64_t k;
        ok = t.shape[i] == shape[i] || (dim_is_const(e->m->dims, t.shape[i], &k) && k == 1);
    }
    if (!ok) {
        elab_error(e, 262, loc, "%s cannot be expanded to %s: only axes of size 1 grow", type_text(e, &t), dims_text(e, shape, rank));
        return (Value){ 0 };
    }
    return val_tensor(b_broadcast(e->gs->g, r, rank, shape));
}

static Value do_concat(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    int64_t axis = 1;
    if (v[0].kind != VAL_LIST || v[0].n == 0 || v[0].n > MAX_ARGS) {
        diag_hint(e->d, elab_error(e, 263, loc, "concat takes a list of tensors"), "For example: concat([a, b], axis: 1)");
        return (Value){ 0 };
    }
    if (v[1].kind != VAL_NONE && !as_int(e, &v[1], "concat's axis", &axis))
        return (Value){ 0 };
    Ref *parts = ARENA_ARR(e->arena, Ref, v[0].n);
    Dim  total = 0;
    Type first = { 0 };
    for (uint32_t i = 0; i < v[0].n; i++) {
        parts[i] = as_tensor(e, &v[0].items[i], b->name);
        if (!parts[i])
            return (Value){ 0 };
        Type t = node_type(e->gs->g, parts[i]);
        if (i == 0)
            first = t;
        if (axis < 0)
            axis += t.rank;
        bool ok = axis >= 0 && axis < t.rank && t.rank == first.rank && t.dtype == first.dtype;
        for (int k = 0; k < t.rank && ok; k++)
            ok = k == axis || t.shape[k] == first.shape[k];
        if (!ok) {
            elab_error(e, 264, v[0].items[i].loc, "concat along axis %lld: %s does not fit beside %s", (long long)axis, type_text(e, &t), type_text(e, &first));
            return (Value){ 0 };
        }
        total = dim_add(e->m->dims, total, t.shape[axis]);
    }
    return val_tensor(v[0].n == 1 ? parts[0] : b_concat(e->gs->g, (int)v[0].n, parts, (int)axis));
}

/* amounts: n, [h, w] or [top, bottom, left, right] over the last two axes */
static bool pad_amounts(Elab *e, const Value *v, int64_t *out)
{
    int n;
    if (!as_ints(e, v, "pad", out, &n, 4))
        return false;
    if (n == 1)
        out[1] = out[2] = out[3] = out[0];
    else if (n == 2)
        out[3] = out[2] = out[1], out[1] = out[0];
    else if (n == 3) {
        elab_error(e, 265, v->loc, "pad is n, [vertical, horizontal] or [top, bottom, left, right]");
        return false;
    }
    for (int i = 0; i < 4; i++)
        if (out[i] < 0 || out[i] > 4096) {
            elab_error(e, 265, v->loc, "pad of %lld: 0 to 4096 are possible", (long long)out[i]);
            return false;
        }
    return true;
}

static Value do_pad(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t p[4];
    if (!r || !pad_amounts(e, &v[1], p))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    if (t.rank != 4) {
        elab_error(e, 266, loc, "%s takes (n, c, h, w), not %s", b->name, type_text(e, &t));
        return (Value){ 0 };
    }
    if (!(p[0] | p[1] | p[2] | p[3]))
        return val_tensor(r);
    Type grown = t;
    grown.shape[2] = dim_add(g->dims, t.shape[2], dim_const(g->dims, p[0] + p[1]));
    grown.shape[3] = dim_add(g->dims, t.shape[3], dim_const(g->dims, p[2] + p[3]));
    if (!strcmp(b->name, "zero_pad")) {
        Dim start[4] = { 0, 0, dim_const(g->dims, p[0]), dim_const(g->dims, p[2]) };
        int step[4] = { 1, 1, 1, 1 };
        return val_tensor(b_place(g, r, start, step, grown.shape));
    }
    int64_t attrs[5] = { 0, 0, p[0], p[2], !strcmp(b->name, "reflect_pad") ? MODE_REFLECT : MODE_EDGE };
    return checked_node(e, OP_pad, b->name, 1, &r, 5, attrs, &grown, loc);
}

/* pad_to(x, multiple, mode: edge): height and width grown at the bottom and right to the next multiple, for nets that halve; crop with y[:, :, :H, :W] */
static Value do_pad_to(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    static const char *const modes[] = { "edge", "reflect", "zero" };
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t k;
    size_t  mode = 0;
    if (!r || !as_int(e, &v[1], "pad_to's multiple", &k))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    if (t.rank != 4) {
        elab_error(e, 266, loc, "%s takes (n, c, h, w), not %s", b->name, type_text(e, &t));
        return (Value){ 0 };
    }
    if (k < 1 || k > 4096) {
        elab_error(e, 265, v[1].loc, "pad_to's multiple is 1 to 4096");
        return (Value){ 0 };
    }
    while (v[2].kind != VAL_NONE && mode < COUNT(modes) && (v[2].kind != VAL_STR || strcmp(v[2].str, modes[mode])))
        mode++;
    if (mode == COUNT(modes)) {
        elab_error(e, 267, v[2].loc, "pad_to's mode is edge, reflect or zero");
        return (Value){ 0 };
    }
    for (int i = 2; i < 4; i++)
        t.shape[i] = dim_scale(g->dims, dim_ceildiv(g->dims, t.shape[i], k), k);
    int64_t place[8] = { 0, 0, 0, 0, 1, 1, 1, 1 }, pad[5] = { 0, 0, 0, 0, mode == 1 ? MODE_REFLECT : MODE_EDGE };
    return mode == 2 ? checked_node(e, OP_place, b->name, 1, &r, 8, place, &t, loc) : checked_node(e, OP_pad, b->name, 1, &r, 5, pad, &t, loc);
}

/* resize(x, factor, mode: nearest, convention: half_pixel, size: [h, w]) */
static Value do_resize(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    if (!r)
        return (Value){ 0 };
    Graph  *g = e->gs->g;
    Type    t = node_type(g, r);
    int64_t attrs[2] = { RESIZE_NEAREST, RESIZE_HALF_PIXEL };
    if (t.rank != 4) {
        elab_error(e, 266, loc, "resize takes (n, c, h, w), not %s", type_text(e, &t));
        return (Value){ 0 };
    }
    for (int i = 2; i <= 3; i++) {
        static const char *const words[2][2] = { { "nearest", "bilinear" }, { "half_pixel", "legacy" } };
        if (v[i].kind == VAL_NONE)
            continue;
        int k = v[i].kind != VAL_STR ? -1 : !strcmp(v[i].str, words[i - 2][0]) ? 0 : !strcmp(v[i].str, words[i - 2][1]) ? 1 : -1;
        if (k < 0) {
            elab_error(e, 267, v[i].loc, "resize's %s is %s or %s", i == 2 ? "mode" : "convention", words[i - 2][0], words[i - 2][1]);
            return (Value){ 0 };
        }
        attrs[i - 2] = k;
    }
    if ((v[1].kind == VAL_NONE) == (v[4].kind == VAL_NONE)) {
        diag_hint(e->d, elab_error(e, 268, loc, "resize takes a factor or a size"), "For example: resize(x, 2) or resize(x, size: [H, W])");
        return (Value){ 0 };
    }
    if (v[4].kind != VAL_NONE) {
        Dim size[MAX_RANK];
        int n;
        if (!as_dims(e, &v[4], "resize's size", size, &n))
            return (Value){ 0 };
        if (n != 2) {
            elab_error(e, 268, v[4].loc, "resize's size is [height, width]");
            return (Value){ 0 };
        }
        t.shape[2] = size[0], t.shape[3] = size[1];
    } else {
        double f;
        if (!as_number(e, &v[1], "resize's factor", &f))
            return (Value){ 0 };
        double inverse = 1 / f;
        if (!(f > 0) || (f != floor(f) && fabs(inverse - nearbyint(inverse)) > 1e-9)) {
            elab_error(e, 268, v[1].loc, "resize's factor is a whole number or one over one; use size: [h, w] for others");
            return (Value){ 0 };
        }
        for (int i = 2; i < 4; i++)
            t.shape[i] = f >= 1 ? dim_scale(g->dims, t.shape[i], (int64_t)f) : dim_floordiv(g->dims, t.shape[i], (int64_t)nearbyint(inverse));
    }
    return checked_node(e, OP_resize, b->name, 1, &r, 2, attrs, &t, loc);
}

/* ---- windows and contractions ---- */

static bool pair(Elab *e, const Value *v, const char *what, int64_t deflt, int64_t low, int64_t *out)
{
    int n = 1;
    out[0] = deflt;
    if (v->kind != VAL_NONE && !as_ints(e, v, what, out, &n, 2))
        return false;
    if (n == 1)
        out[1] = out[0];
    if (out[0] < low || out[1] < low || out[0] > 4096 || out[1] > 4096) {
        elab_error(e, 269, v->loc, "%s is %lld to 4096", what, (long long)low);
        return false;
    }
    return true;
}

/* avg_pool, max_pool, sum_pool (x, kernel, stride: kernel, pad: 0, ceil: false) */
static Value do_pool(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t attrs[8] = { 0 };
    bool    ceil_mode = false;
    if (!r || !pair(e, &v[1], "the window", 2, 1, attrs))
        return (Value){ 0 };
    if (!pair(e, &v[2], "stride", 0, v[2].kind == VAL_NONE ? 0 : 1, attrs + 2))
        return (Value){ 0 };
    if (v[2].kind == VAL_NONE)
        attrs[2] = attrs[0], attrs[3] = attrs[1];
    if ((v[3].kind != VAL_NONE && !pad_amounts(e, &v[3], attrs + 4)) || (v[4].kind != VAL_NONE && !as_bool(e, &v[4], "ceil", &ceil_mode)))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t = node_type(g, r);
    if (t.rank != 4) {
        elab_error(e, 266, loc, "%s takes (n, c, h, w), not %s", b->name, type_text(e, &t));
        return (Value){ 0 };
    }
    for (int i = 0; i < 2; i++) {
        Dim room = dim_add(g->dims, t.shape[2 + i], dim_const(g->dims, attrs[4 + 2 * i] + attrs[5 + 2 * i] - attrs[i]));
        Dim n = ceil_mode ? dim_ceildiv(g->dims, room, attrs[2 + i]) : dim_floordiv(g->dims, room, attrs[2 + i]);
        t.shape[2 + i] = dim_add(g->dims, n, dim_const(g->dims, 1));
        int64_t k;
        if (dim_is_const(g->dims, t.shape[2 + i], &k) && k < 1) {
            elab_error(e, 270, loc, "%s: a window of %lld does not fit", b->name, (long long)attrs[i]);
            return (Value){ 0 };
        }
    }
    Value s = checked_node(e, b->op, b->name, 1, &r, 8, attrs, &t, loc);
    if (s.kind == VAL_NONE || strcmp(b->name, "avg_pool"))
        return s;
    return val_tensor(b_binary(g, OP_mul, s.ref, b_const(g, DT_F32, 1.0 / (double)(attrs[0] * attrs[1]))));
}

/* conv2d(x, w, stride: 1, pad: 0, dilation: 1, groups: 1)            w (k, c/groups, r, s)
 * conv2d_t(x, w, stride: 1, pad: 0, output_pad: 0, dilation: 1, groups: 1)   w (c, k/groups, r, s), as PyTorch's ConvTranspose2d */
static bool conv_attrs(Elab *e, const Value *stride, const Value *pad, const Value *dilation, const Value *groups, int64_t *a)
{
    memset(a, 0, 9 * sizeof *a);
    a[8] = 1;
    if (!pair(e, stride, "stride", 1, 1, a) || (pad->kind != VAL_NONE && !pad_amounts(e, pad, a + 2)) || !pair(e, dilation, "dilation", 1, 1, a + 6))
        return false;
    if (groups->kind != VAL_NONE && !as_int(e, groups, "groups", &a[8]))
        return false;
    if (a[8] < 1) {
        elab_error(e, 269, groups->loc, "groups is at least 1");
        return false;
    }
    return true;
}

static Value do_conv2d(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    int64_t a[9];
    if (!args[0] || !args[1] || !conv_attrs(e, &v[2], &v[3], &v[4], &v[5], a))
        return (Value){ 0 };
    return checked_node(e, OP_conv, b->name, 2, args, 9, a, NULL, loc);
}

static Value do_conv2d_t(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    int64_t a[9], extra[2];
    if (!args[0] || !args[1] || !conv_attrs(e, &v[2], &v[3], &v[5], &v[6], a) || !pair(e, &v[4], "output_pad", 0, 0, extra))
        return (Value){ 0 };
    Graph  *g = e->gs->g;
    Type    x = node_type(g, args[0]), w = node_type(g, args[1]), t = x;
    int64_t k;
    if (x.rank != 4 || w.rank != 4) {
        elab_error(e, 266, loc, "conv2d_t takes (n, c, h, w) and weights (c, k, r, s), not %s and %s", type_text(e, &x), type_text(e, &w));
        return (Value){ 0 };
    }
    if (x.shape[1] != w.shape[0]) {
        elab_error(e, 204, loc, "conv2d_t: channel mismatch: input has C = %s, weights were made for %s", dim_text(g->dims, x.shape[1], e->arena), dim_text(g->dims, w.shape[0], e->arena));
        return (Value){ 0 };
    }
    t.shape[1] = dim_scale(g->dims, w.shape[1], a[8]);
    for (int i = 0; i < 2; i++) {                               /* (h - 1) * stride - pads + dilation * (r - 1) + output_pad + 1 */
        Dim taps = dim_scale(g->dims, dim_sub(g->dims, w.shape[2 + i], dim_const(g->dims, 1)), a[6 + i]);
        Dim n = dim_add(g->dims, dim_scale(g->dims, dim_sub(g->dims, x.shape[2 + i], dim_const(g->dims, 1)), a[i]), taps);
        t.shape[2 + i] = dim_add(g->dims, n, dim_const(g->dims, extra[i] + 1 - a[2 + 2 * i] - a[3 + 2 * i]));
        if (extra[i] >= a[i] && extra[i] > 0) {
            elab_error(e, 269, v[4].loc, "output_pad must be smaller than stride");
            return (Value){ 0 };
        }
        if (dim_is_const(g->dims, t.shape[2 + i], &k) && k < 1) {
            elab_error(e, 270, loc, "conv2d_t: the result would have size %lld", (long long)k);
            return (Value){ 0 };
        }
    }
    return checked_node(e, OP_conv_dx, b->name, 2, args, 9, a, &t, loc);
}

/* matmul(a, b, transpose_a: false, transpose_b: false): (.., m, k) (.., k, n); equal leading axes, or b has none */
static Value do_matmul(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref  args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    bool ta = false, tb = false;
    if (!args[0] || !args[1] || (v[2].kind != VAL_NONE && !as_bool(e, &v[2], "transpose_a", &ta)) || (v[3].kind != VAL_NONE && !as_bool(e, &v[3], "transpose_b", &tb)))
        return (Value){ 0 };
    int64_t attrs[2] = { ta, tb };
    return checked_node(e, OP_matmul, b->name, 2, args, 2, attrs, NULL, loc);
}

/* ---- sources of numbers ---- */

static Value do_fill(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Dim    shape[MAX_RANK];
    int    rank;
    double value = !strcmp(b->name, "ones");
    (void)loc;
    if (!as_dims(e, &v[0], b->name, shape, &rank) || (!strcmp(b->name, "fill") && !as_number(e, &v[1], "fill's value", &value)))
        return (Value){ 0 };
    if (!e->gs) {
        elab_error(e, 229, loc, "tensors cannot be computed here: only values known when compiling");
        return (Value){ 0 };
    }
    return val_tensor(b_fill(e->gs->g, DT_F32, value, rank, shape));
}

static Value do_iota(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Type    t = { .dtype = DT_F32 };
    int64_t axis = 0;
    if (!as_dims(e, &v[0], b->name, t.shape, &t.rank) || (v[1].kind != VAL_NONE && !as_int(e, &v[1], "axis", &axis)))
        return (Value){ 0 };
    if (axis < 0 || axis >= t.rank || !e->gs) {
        elab_error(e, 260, loc, "axis %lld of a tensor with %d axes", (long long)axis, t.rank);
        return (Value){ 0 };
    }
    return val_tensor(make_node(e->gs->g, OP_iota, DT_F32, t.rank, t.shape, 0, NULL, 1, &axis, 0));
}

/* normal([N, 100]), normal([N, 100], mean, deviation); uniform(shape, low, high). As an initial value the shape is the parameter's: normal(0, 0.02). */
static Value do_random(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Type   t = { .dtype = DT_F32 };
    bool   gauss = b->op == OP_normal, initial = e->init_type && v[0].kind != VAL_LIST;
    bool   fixed = !strncmp(b->name, "fixed", 5);
    double seed = 0;
    Value  p = v[1], q = v[2];
    if (!e->gs) {
        elab_error(e, 229, loc, "random numbers are drawn in steps, exports and initial values");
        return (Value){ 0 };
    }
    if (fixed) {
        q = (Value){ 0 };
        if (v[1].kind != VAL_NONE && !as_number(e, &v[1], "seed", &seed))
            return (Value){ 0 };
        p = (Value){ 0 };
    }
    if (initial) {
        t = *e->init_type;
        q = v[1];
        p = v[0];
    } else if (!as_dims(e, &v[0], b->name, t.shape, &t.rank)) {
        return (Value){ 0 };
    }
    if (p.kind == VAL_NONE && v[0].kind != VAL_LIST && !initial)
        return (Value){ 0 };
    int64_t attrs[2] = { fixed ? (int64_t)hash_bytes(&seed, sizeof seed, 0x66697865) : (int64_t)random_stream(e), fixed };
    Graph  *g = e->gs->g;
    Value   r = val_tensor(make_node(g, b->op, DT_F32, t.rank, t.shape, 0, NULL, 2, attrs, 0));
    /* uniform: low + (high - low) * u;  normal: mean + deviation * z */
    Value low = p.kind == VAL_NONE ? val_num(0, true) : p, high = q.kind == VAL_NONE ? val_num(1, true) : q;
    low.loc = high.loc = loc;
    if (p.kind == VAL_NONE && q.kind == VAL_NONE)
        return r;
    Value scale = gauss ? high : binary(e, B_SUB, high, low, loc);
    return binary(e, B_ADD, binary(e, B_MUL, r, scale, loc), low, loc);
}

static Value do_gather(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    if (!args[0] || !args[1])
        return (Value){ 0 };
    return checked_node(e, OP_gather, b->name, 2, args, 0, NULL, NULL, loc);
}

/* scatter_add(rows (..j, ..), i32 index (..j), n): rows added into n rows of zeros */
static Value do_scatter_add(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    Dim n;
    if (!args[0] || !args[1] || !as_dim(e, &v[2], "scatter_add's number of rows", &n))
        return (Value){ 0 };
    Type rows = node_type(e->gs->g, args[0]), index = node_type(e->gs->g, args[1]), t = { rows.dtype, rows.rank - index.rank + 1, { n } };
    if (t.rank < 1) {
        elab_error(e, 260, loc, "scatter_add: %s has fewer axes than its index %s", type_text(e, &rows), type_text(e, &index));
        return (Value){ 0 };
    }
    for (int i = 1; i < t.rank; i++)
        t.shape[i] = rows.shape[index.rank + i - 1];
    return checked_node(e, OP_scatter_add, b->name, 2, args, 0, NULL, &t, loc);
}

static Value do_grad(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    return gradient(e, v[0], v[1], loc);
}

/* size(x, axis): a size of a tensor, to compute with */
static Value do_size(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t axis;
    if (!r || !as_int(e, &v[1], "axis", &axis))
        return (Value){ 0 };
    Type t = node_type(e->gs->g, r);
    if (axis < 0)
        axis += t.rank;
    if (axis < 0 || axis >= t.rank) {
        elab_error(e, 260, loc, "axis %lld of %s", (long long)axis, type_text(e, &t));
        return (Value){ 0 };
    }
    return val_dim(e, t.shape[axis]);
}

/* shape(x): all sizes, as a list for uniform, reshape, ... */
static Value do_shape(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    if (!r)
        return (Value){ 0 };
    Type  t = node_type(e->gs->g, r);
    Value list = { .kind = VAL_LIST, .loc = loc };
    list.items = ARENA_ARR(e->arena, Value, t.rank + 1);
    list.n = (uint32_t)t.rank;
    for (int i = 0; i < t.rank; i++)
        list.items[i] = val_dim(e, t.shape[i]);
    return list;
}

static Value do_rank(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref r = as_tensor(e, &v[0], b->name);
    (void)loc;
    return r ? val_num(node_type(e->gs->g, r).rank, true) : (Value){ 0 };
}

static Value do_len(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    (void)b;
    if (v[0].kind != VAL_LIST) {
        if (v[0].kind != VAL_NONE)
            diag_hint(e->d, elab_error(e, 254, loc, "len counts the elements of a list, this is %s", describe(e, &v[0])), "The sizes of a tensor are size(x, axis)");
        return (Value){ 0 };
    }
    return val_num(v[0].n, true);
}

/* ---- the table ---- */

static const Builtin builtins[] = {
    { "exp", "x", do_unary, OP_exp },
    { "log", "x", do_unary, OP_log },
    { "sqrt", "x", do_unary, OP_sqrt },
    { "rsqrt", "x", do_unary, OP_rsqrt },
    { "sin", "x", do_unary, OP_sin },
    { "cos", "x", do_unary, OP_cos },
    { "tanh", "x", do_unary, OP_tanh },
    { "sigmoid", "x", do_unary, OP_sigmoid },
    { "softplus", "x", do_unary, OP_softplus },
    { "abs", "x", do_unary, OP_abs },
    { "sign", "x", do_unary, OP_sign },
    { "floor", "x", do_unary, OP_floor },
    { "round", "x", do_unary, OP_round },
    { "not", "x", do_unary, OP_not },
    { "stop", "x", do_stop, OP_stop },
    { "square", "x", do_square, OP_mul },
    { "log2", "x", do_log2, OP_log },
    { "min", "a b", do_binary, OP_min },
    { "max", "a b", do_binary, OP_max },
    { "pow", "a b", do_binary, OP_pow },
    { "and", "a b", do_logic, OP_and },
    { "or", "a b", do_logic, OP_or },
    { "select", "c a b", do_select, OP_select },
    { "f32", "x", do_cast, OP_cast },
    { "i32", "x", do_cast, OP_cast },
    { "bool", "x", do_cast, OP_cast },
    { "sum", "x axes? keep?", do_reduce, OP_sum },
    { "mean", "x axes? keep?", do_reduce, OP_sum },
    { "amax", "x axes? keep?", do_reduce, OP_amax },
    { "amin", "x axes? keep?", do_reduce, OP_amax },
    { "argmax", "x axis", do_argmax, OP_argmax },
    { "reshape", "x shape", do_reshape, OP_reshape },
    { "flatten", "x", do_flatten, OP_reshape },
    { "transpose", "x axes", do_transpose, OP_transpose },
    { "expand", "x shape", do_expand, OP_broadcast },
    { "concat", "parts axis?", do_concat, OP_concat },
    { "zero_pad", "x pad", do_pad, OP_place },
    { "reflect_pad", "x pad", do_pad, OP_pad },
    { "edge_pad", "x pad", do_pad, OP_pad },
    { "pad_to", "x multiple mode?", do_pad_to, OP_pad },
    { "resize", "x factor? mode? convention? size?", do_resize, OP_resize },
    { "avg_pool", "x kernel stride? pad? ceil?", do_pool, OP_win_sum },
    { "sum_pool", "x kernel stride? pad? ceil?", do_pool, OP_win_sum },
    { "max_pool", "x kernel stride? pad? ceil?", do_pool, OP_win_max },
    { "conv2d", "x w stride? pad? dilation? groups?", do_conv2d, OP_conv },
    { "conv2d_t", "x w stride? pad? output_pad? dilation? groups?", do_conv2d_t, OP_conv_dx },
    { "matmul", "a b transpose_a? transpose_b?", do_matmul, OP_matmul },
    { "zeros", "shape", do_fill, OP_const },
    { "ones", "shape", do_fill, OP_const },
    { "fill", "shape value", do_fill, OP_const },
    { "iota", "shape axis?", do_iota, OP_iota },
    { "normal", "shape mean? deviation?", do_random, OP_normal },
    { "uniform", "shape low? high?", do_random, OP_uniform },
    { "fixed_normal", "shape seed?", do_random, OP_normal },
    { "fixed_uniform", "shape seed?", do_random, OP_uniform },
    { "gather", "table index", do_gather, OP_gather },
    { "scatter_add", "rows index n", do_scatter_add, OP_scatter_add },
    { "grad", "y x", do_grad, OP_stop },
    { "size", "x axis", do_size, OP_size },
    { "shape", "x", do_shape, OP_size },
    { "rank", "x", do_rank, OP_size },
    { "len", "list", do_len, OP_size },
};

const Builtin *find_builtin(const char *name)
{
    for (size_t i = 0; i < COUNT(builtins); i++)
        if (!strcmp(builtins[i].name, name))
            return &builtins[i];
    return NULL;
}

size_t builtin_names(const char **out, size_t max)
{
    size_t n = 0;
    for (; n < COUNT(builtins) && n < max; n++)
        out[n] = builtins[n].name;
    return n;
}

enum { MAX_PARAMS = 8 };

/* "x kernel stride?" -> names and which are optional */
static int signature(const Builtin *b, char names[MAX_PARAMS][16], bool *optional)
{
    int         n = 0;
    const char *s = b->signature;
    while (*s) {
        size_t k = strcspn(s, " ?");
        snprintf(names[n], 16, "%.*s", (int)k, s);
        s += k;
        optional[n] = *s == '?';
        s += optional[n];
        s += *s == ' ';
        n++;
    }
    return n;
}

Value call_builtin(Elab *e, const Builtin *b, const Call *c)
{
    char  names[MAX_PARAMS][16];
    bool  optional[MAX_PARAMS], given[MAX_PARAMS] = { 0 };
    Value v[MAX_PARAMS] = { 0 };
    int   n = signature(b, names, optional), next = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        const CallArg *a = &c->args[i];
        int            k = 0;
        if (!a->name) {
            if (next >= n) {
                elab_error(e, 340, a->loc, "%s takes at most %d argument%s: %s(%s)", b->name, n, n == 1 ? "" : "s", b->name, b->signature);
                return (Value){ 0 };
            }
            k = next++;
        } else {
            while (k < n && strcmp(names[k], a->name))
                k++;
            if (k == n) {
                const char *list[MAX_PARAMS];
                for (int j = 0; j < n; j++)
                    list[j] = names[j];
                const char *near = nearest_word(a->name, list, (size_t)n);
                Diag       *g = elab_error(e, 341, a->loc, "%s has no parameter '%s'", b->name, a->name);
                if (near)
                    diag_hint(e->d, g, "Did you mean '%s'?", near);
                else
                    diag_hint(e->d, g, "It has: %s", b->signature);
                return (Value){ 0 };
            }
        }
        if (given[k]) {
            elab_error(e, 342, a->loc, "%s: '%s' is given twice", b->name, names[k]);
            return (Value){ 0 };
        }
        given[k] = true;
        v[k] = a->v;
        v[k].loc = a->loc;
    }
    for (int k = 0; k < n; k++)
        if (!given[k] && !optional[k] && !(e->init_type && k == 0)) {
            elab_error(e, 343, c->loc, "%s needs '%s': %s(%s)", b->name, names[k], b->name, b->signature);
            return (Value){ 0 };
        }
    if (e->gs)
        e->gs->g->loc = c->loc;
    return b->fn(e, b, v, c->loc);
}
