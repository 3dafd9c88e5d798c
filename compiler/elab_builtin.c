/* elab_builtin.c - the functions every file knows: primitives of ops.def under their names in the language, and the few that only the compiler can give
 * (grad, shapes, random numbers). Everything that can be written in the language is written there instead (graphs/std).
 *
 * A row is name, signature, function. The signature lists parameters in order, `?` marks optional ones; values arrive in that order, VAL_NONE when absent.
 * Here are the table, how a call finds its parameters, and sources of numbers and sizes; the rest is in elab_arith.c, elab_move.c and elab_window.c.
 */
#include "elab_builtin.h"

#include <stdlib.h>
#include <string.h>

const char *builtin_name(const Builtin *b)
{
    return b->name;
}

/* Makes a node after infer_type has agreed; its complaint becomes the user's. */
Value checked_node(Elab *e, Op op, const char *name, int nargs, const Ref *args, int nattrs, const int64_t *attrs, const Type *given, Loc loc)
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

bool is_pictures(Elab *e, const Builtin *b, Ref r, Loc loc, Type *t)
{
    *t = node_type(e->gs->g, r);
    if (t->rank != 4)
        elab_error(e, 266, loc, "%s takes (n, c, h, w), not %s", b->name, type_text(e, t));
    return t->rank == 4;
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
