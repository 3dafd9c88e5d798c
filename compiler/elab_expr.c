/* elab_expr.c - expressions to values: numbers and sizes are computed here and now, tensors become nodes of the graph being made.
 *
 * Numbers: + - * keep whole numbers whole; `/` of whole numbers or sizes is exact or an error, `//` is floor; `^` is a power.
 * Tensors broadcast only over a literal 1 or a scalar: anything else that is not known equal is an error naming both dims.
 */
#include "elab.h"

#include <math.h>
#include <string.h>

static const char *const bin_words[] = { "add", "subtract", "multiply", "divide", "floor-divide", "raise", "compare", "compare", "compare", "compare", "compare", "compare" };
static const char *const bin_signs[] = { "+", "-", "*", "/", "//", "^", "==", "!=", "<", "<=", ">", ">=" };

/* ---- numbers and sizes ---- */

static Value compare_numbers(BinOp op, double a, double b)
{
    switch (op) {
    case B_EQ:
        return val_bool(a == b);
    case B_NE:
        return val_bool(a != b);
    case B_LT:
        return val_bool(a < b);
    case B_LE:
        return val_bool(a <= b);
    case B_GT:
        return val_bool(a > b);
    default:
        return val_bool(a >= b);
    }
}

static Value binary_numbers(Elab *e, BinOp op, const Value *a, const Value *b, Loc loc)
{
    double x = a->num, y = b->num, r = 0;
    bool   whole = a->is_int && b->is_int;
    switch (op) {
    case B_ADD:
        r = x + y;
        break;
    case B_SUB:
        r = x - y;
        break;
    case B_MUL:
        r = x * y;
        break;
    case B_DIV:
        if (y == 0) {
            elab_error(e, 240, loc, "division by zero");
            return (Value){ 0 };
        }
        r = x / y;
        if (whole && r != floor(r)) {
            Diag *g = elab_error(e, 241, loc, "%.15g / %.15g is not a whole number", x, y);
            diag_hint(e->d, g, "Write // for floor division, or %.15g.0 / %.15g for a fraction", x, y);
            return (Value){ 0 };
        }
        break;
    case B_FLOORDIV:
        if (y == 0) {
            elab_error(e, 240, loc, "division by zero");
            return (Value){ 0 };
        }
        r = floor(x / y);
        break;
    case B_POW:
        r = pow(x, y);
        whole = whole && y >= 0;
        break;
    default:
        return compare_numbers(op, x, y);
    }
    if (!isfinite(r) || (whole && fabs(r) > 9e15)) {
        elab_error(e, 242, loc, "%.15g %s %.15g is too large", x, bin_signs[op], y);
        return (Value){ 0 };
    }
    return val_num(r, whole);
}

/* At least one side is a symbolic size. */
static Value binary_dims(Elab *e, BinOp op, const Value *a, const Value *b, Loc loc)
{
    DimTable *t = e->m->dims;
    Dim       x, y, q;
    int64_t   k;
    if (!as_dim(e, a, "a size in this expression", &x) || !as_dim(e, b, "a size in this expression", &y))
        return (Value){ 0 };
    switch (op) {
    case B_ADD:
        return val_dim(e, dim_add(t, x, y));
    case B_SUB:
        return val_dim(e, dim_sub(t, x, y));
    case B_MUL:
        return val_dim(e, dim_mul(t, x, y));
    case B_DIV:
        if (dim_divide(t, x, y, &q))
            return val_dim(e, q);
        diag_hint(e->d, elab_error(e, 241, loc, "%s / %s is not exact", dim_text(t, x, e->arena), dim_text(t, y, e->arena)), "Write // for floor division");
        return (Value){ 0 };
    case B_FLOORDIV:
        if (dim_is_const(t, y, &k) && k >= 1)
            return val_dim(e, dim_floordiv(t, x, k));
        elab_error(e, 243, loc, "a size can only be floor-divided by a positive whole number known when compiling");
        return (Value){ 0 };
    case B_POW:
        if (dim_is_const(t, y, &k) && k >= 1 && k <= 4) {
            for (q = x; k > 1; k--)
                q = dim_mul(t, q, x);
            return val_dim(e, q);
        }
        elab_error(e, 244, loc, "a size can only be raised to 1, 2, 3 or 4");
        return (Value){ 0 };
    case B_EQ:
    case B_NE:
        if (x == y)
            return val_bool(op == B_EQ);
        if (dim_is_const(t, dim_sub(t, x, y), &k))
            return val_bool(op == B_NE);
        break;
    default:
        if (dim_is_const(t, dim_sub(t, x, y), &k))
            return compare_numbers(op, (double)k, 0);
        break;
    }
    elab_error(e, 245, loc, "'%s %s %s' is not known when compiling", dim_text(t, x, e->arena), bin_signs[op], dim_text(t, y, e->arena));
    return (Value){ 0 };
}

/* ---- tensors ---- */

/* Equal ranks and dims that are equal or a literal 1, or a scalar; otherwise an error that names the two dims. */
static bool check_broadcast(Elab *e, const char *word, Ref a, Ref b, Loc loc)
{
    Type x = node_type(e->gs->g, a), y = node_type(e->gs->g, b);
    if (x.rank == 0 || y.rank == 0)
        return true;
    if (x.rank != y.rank) {
        Diag *g = elab_error(e, 206, loc, "cannot %s %s and %s: %d axes against %d", word, type_text(e, &x), type_text(e, &y), x.rank, y.rank);
        diag_hint(e->d, g, "Use reshape(x, [...]) to give both the same number of axes");
        return false;
    }
    for (int i = 0; i < x.rank; i++) {
        int64_t k;
        if (dims_agree(e, x.shape[i], y.shape[i]) || (dim_is_const(e->m->dims, x.shape[i], &k) && k == 1) || (dim_is_const(e->m->dims, y.shape[i], &k) && k == 1))
            continue;
        bool differ = dim_is_const(e->m->dims, dim_sub(e->m->dims, x.shape[i], y.shape[i]), &k);
        elab_error(e, 207, loc, "cannot %s %s and %s: dims %s and %s are %s", word, type_text(e, &x), type_text(e, &y), dim_text(e->m->dims, x.shape[i], e->arena),
                   dim_text(e->m->dims, y.shape[i], e->arena), differ ? "different" : "not known equal");
        return false;
    }
    return true;
}

/* A whole number beside an i32 tensor is an i32. */
static Ref match_dtype(Elab *e, const Value *v, Ref r, Dtype other)
{
    Dtype t = node_type(e->gs->g, r).dtype;
    if (t != other && other == DT_I32 && v->kind == VAL_NUM && v->is_int)
        return b_const(e->gs->g, DT_I32, v->num);
    return r;
}

static Value binary_tensors(Elab *e, BinOp op, const Value *a, const Value *b, Loc loc)
{
    Ref x = as_tensor(e, a, "the left side"), y = as_tensor(e, b, "the right side");
    if (!x || !y)
        return (Value){ 0 };
    Graph *g = e->gs->g;
    x = match_dtype(e, a, x, node_type(g, y).dtype);
    y = match_dtype(e, b, y, node_type(g, x).dtype);
    Type tx = node_type(g, x), ty = node_type(g, y);
    if (tx.dtype != ty.dtype) {
        Diag *d = elab_error(e, 208, loc, "cannot %s %s and %s: different dtypes", bin_words[op], type_text(e, &tx), type_text(e, &ty));
        diag_hint(e->d, d, "Convert one with f32(x) or i32(x)");
        return (Value){ 0 };
    }
    if (!check_broadcast(e, bin_words[op], x, y, loc))
        return (Value){ 0 };
    if (op <= B_POW && tx.dtype == DT_BOOL) {
        elab_error(e, 209, loc, "cannot %s bool tensors", bin_words[op]);
        return (Value){ 0 };
    }
    switch (op) {
    case B_ADD:
        return val_tensor(b_binary(g, OP_add, x, y));
    case B_SUB:
        return val_tensor(b_binary(g, OP_sub, x, y));
    case B_MUL:
        return val_tensor(b_binary(g, OP_mul, x, y));
    case B_DIV:
        return val_tensor(b_binary(g, OP_div, x, y));
    case B_FLOORDIV:
        return val_tensor(b_unary(g, OP_floor, b_binary(g, OP_div, x, y)));
    case B_POW:
        return val_tensor(b_binary(g, OP_pow, x, y));
    case B_EQ:
        return val_tensor(b_binary(g, OP_eq, x, y));
    case B_NE:
        return val_tensor(b_binary(g, OP_ne, x, y));
    case B_LT:
        return val_tensor(b_binary(g, OP_lt, x, y));
    case B_LE:
        return val_tensor(b_binary(g, OP_le, x, y));
    case B_GT:
        return val_tensor(b_binary(g, OP_lt, y, x));
    case B_GE:
        return val_tensor(b_binary(g, OP_le, y, x));
    }
    return (Value){ 0 };
}

static bool is_number(const Value *v)
{
    return v->kind == VAL_NUM && !v->unit;
}

/* What as_tensor makes a tensor of, or has something to say about. */
static bool calculable(const Value *v)
{
    return v->kind <= VAL_BOOL || v->kind == VAL_TENSOR || v->kind == VAL_LIST || v->kind == VAL_TUPLE || (v->kind == VAL_DATA && v->mode != DATA_WHOLE);
}

Value binary(Elab *e, BinOp op, Value a, Value b, Loc loc)
{
    if (a.kind == VAL_NONE || b.kind == VAL_NONE)
        return (Value){ 0 };
    if (is_number(&a) && is_number(&b))
        return binary_numbers(e, op, &a, &b, loc);
    bool dims = (a.kind == VAL_DIM || is_number(&a)) && (b.kind == VAL_DIM || is_number(&b));
    bool whole = (a.kind == VAL_DIM || a.is_int) && (b.kind == VAL_DIM || b.is_int);
    if (dims && whole)
        return binary_dims(e, op, &a, &b, loc);
    if ((a.kind == VAL_BOOL && b.kind == VAL_BOOL) && (op == B_EQ || op == B_NE))
        return val_bool((a.b == b.b) == (op == B_EQ));
    if ((a.kind == VAL_STR && b.kind == VAL_STR) && (op == B_EQ || op == B_NE))
        return val_bool(!strcmp(a.str, b.str) == (op == B_EQ));
    if ((a.kind == VAL_STR || b.kind == VAL_STR) && (op == B_EQ || op == B_NE))        /* via == none */
        return val_bool(op == B_NE);
    if (!e->gs || !calculable(&a) || !calculable(&b)) {
        elab_error(e, 246, loc, "cannot %s %s and %s", bin_words[op], describe(e, &a), describe(e, &b));
        return (Value){ 0 };
    }
    return binary_tensors(e, op, &a, &b, loc);
}

static Value negate(Elab *e, Value a, Loc loc)
{
    switch (a.kind) {
    case VAL_NUM:
        if (!a.unit)
            return val_num(-a.num, a.is_int);
        break;
    case VAL_DIM:
        return val_dim(e, dim_scale(e->m->dims, a.dim, -1));
    case VAL_TENSOR:
        return val_tensor(b_unary(e->gs->g, OP_neg, a.ref));
    case VAL_NONE:
        return a;
    default:
        break;
    }
    elab_error(e, 247, loc, "cannot negate %s", describe(e, &a));
    return (Value){ 0 };
}

/* ---- x[...] ---- */

static bool slice_bound(Elab *e, const Expr *x, Dim size, Dim deflt, Dim *out)
{
    if (!x) {
        *out = deflt;
        return true;
    }
    Value   v = eval(e, x);
    int64_t k;
    v.loc = x->loc;
    if (!as_dim(e, &v, "a slice bound", out))
        return false;
    if (dim_is_const(e->m->dims, *out, &k) && k < 0)
        *out = dim_add(e->m->dims, size, *out);
    return true;
}

/* start, size and step of one axis; false after a message */
static bool one_slice(Elab *e, const Slice *s, Dim size, int axis, Dim *start, int *step, Dim *count)
{
    DimTable *t = e->m->dims;
    Dim       stop;
    int64_t   k, stride = 1, at, end, whole;
    if (s->step) {
        Value v = eval(e, s->step);
        if (!as_int(e, &v, "a slice step", &stride))
            return false;
        if (stride == 0 || (stride < 0 && (s->start || s->stop)) || stride < -1) {
            elab_error(e, 250, s->loc, "a slice step is positive, or -1 over the whole axis as in x[::-1]");
            return false;
        }
    }
    *step = (int)stride;
    if (stride < 0) {
        *start = dim_sub(t, size, dim_const(t, 1));
        *count = size;
        return true;
    }
    if (!slice_bound(e, s->start, size, 0, start))
        return false;
    if (!s->is_slice)
        stop = dim_add(t, *start, dim_const(t, 1));
    else if (!slice_bound(e, s->stop, size, size, &stop))
        return false;
    *count = dim_ceildiv(t, dim_sub(t, stop, *start), stride);
    bool known = dim_is_const(t, *start, &at) && dim_is_const(t, stop, &end) && dim_is_const(t, size, &whole);
    bool outside = known && (at < 0 || end > whole || end < at);
    if (!outside && dim_is_const(t, dim_sub(t, size, stop), &k) && k < 0)
        outside = true;
    if (!outside && dim_is_const(t, *count, &k) && k < 0)
        outside = true;
    if (outside) {
        elab_error(e, 251, s->loc, "slice %s:%s reaches outside axis %d of size %s", dim_text(t, *start, e->arena), dim_text(t, stop, e->arena), axis, dim_text(t, size, e->arena));
        return false;
    }
    return true;
}

static Value index_tensor(Elab *e, Ref a, const Expr *x)
{
    Type t = node_type(e->gs->g, a);
    Dim  start[MAX_RANK], shape[MAX_RANK], kept[MAX_RANK];
    int  step[MAX_RANK], nkept = 0;
    if ((int)x->nslices > t.rank) {
        elab_error(e, 252, x->loc, "%u indices for %s with %d axes", x->nslices, type_text(e, &t), t.rank);
        return (Value){ 0 };
    }
    for (int i = 0; i < t.rank; i++) {
        start[i] = 0, step[i] = 1, shape[i] = t.shape[i];
        if (i < (int)x->nslices && !one_slice(e, &x->slices[i], t.shape[i], i, &start[i], &step[i], &shape[i]))
            return (Value){ 0 };
        if (i >= (int)x->nslices || x->slices[i].is_slice)
            kept[nkept++] = shape[i];
    }
    Ref r = b_slice(e->gs->g, a, start, step, shape);
    return val_tensor(nkept == t.rank ? r : b_reshape(e->gs->g, r, nkept, kept));
}

Value index_value(Elab *e, Value a, const Expr *x)
{
    if (a.kind == VAL_TENSOR)
        return index_tensor(e, a.ref, x);
    if (a.kind == VAL_LIST && x->nslices == 1 && !x->slices[0].is_slice) {
        Value   i = eval(e, x->slices[0].start);
        int64_t k;
        if (!as_int(e, &i, "a list index", &k))
            return (Value){ 0 };
        if (k < 0)
            k += a.n;
        if (k < 0 || k >= a.n) {
            elab_error(e, 253, x->loc, "index %lld outside a list of %u", (long long)k, a.n);
            return (Value){ 0 };
        }
        return a.items[k];
    }
    if (a.kind != VAL_NONE)
        elab_error(e, 254, x->loc, "cannot index %s", describe(e, &a));
    return (Value){ 0 };
}

/* ---- fields ---- */

static Value tuple_field(Elab *e, const Value *a, const Expr *x)
{
    for (uint32_t i = 0; i < a->n; i++)
        if (a->names && a->names[i] == x->str)
            return a->items[i];
    const char *near = a->names ? nearest_word(x->str, a->names, a->n) : NULL;
    Diag       *g = elab_error(e, 310, x->loc, "no result is called '%s'", x->str);
    if (near)
        diag_hint(e->d, g, "Did you mean '%s'?", near);
    else if (a->names && a->n)
        diag_hint(e->d, g, "The first is '%s'", a->names[0]);
    return (Value){ 0 };
}

static Value data_field(Elab *e, const Value *a, const Expr *x)
{
    const Data *d = &e->m->datas.at[a->index];
    if (a->mode != DATA_WHOLE)
        return data_tensor(e, a->index, (DataPart)a->mode, x->str, x->loc);
    if (!strcmp(x->str, "batch"))
        return val_num((double)d->batch, true);
    if (!strcmp(x->str, "next") || !strcmp(x->str, "last"))
        return (Value){ .kind = VAL_DATA, .loc = x->loc, .index = a->index, .mode = x->str[0] == 'n' ? DATA_NEXT : DATA_LAST };
    Diag *g = elab_error(e, 311, x->loc, "data '%s' has no '%s'", d->name, x->str);
    diag_hint(e->d, g, "It has .next, .last, .first(k) and .batch");
    return (Value){ 0 };
}

static Value field(Elab *e, Value a, const Expr *x)
{
    switch (a.kind) {
    case VAL_FILE: {
        Decl *d = NULL;
        for (uint32_t i = 0; i < a.file->decls.n; i++)
            if (a.file->decls.at[i].name == x->str)
                d = &a.file->decls.at[i];
        if (d)
            return decl_value(e, d, x->loc);
        const char *names[1024];
        uint32_t    n = 0;
        for (; n < a.file->decls.n && n < COUNT(names); n++)
            names[n] = a.file->decls.at[n].name;
        const char *near = nearest_word(x->str, names, n);
        Diag       *g = elab_error(e, 312, x->loc, "'%s' declares no '%s'", a.file->path, x->str);
        if (near)
            diag_hint(e->d, g, "Did you mean '%s'?", near);
        return (Value){ 0 };
    }
    case VAL_NET:
        if (!strcmp(x->str, "eval") || !strcmp(x->str, "train"))
            return (Value){ .kind = VAL_NET, .loc = x->loc, .index = a.index, .mode = x->str[0] == 't' ? 1 : 2 };
        diag_hint(e->d, elab_error(e, 313, x->loc, "a net has no '%s'", x->str), "Apply it: %s(x), %s.eval(x) or %s.train(x)", e->m->nets.at[a.index].name,
                  e->m->nets.at[a.index].name, e->m->nets.at[a.index].name);
        return (Value){ 0 };
    case VAL_TUPLE:
        return tuple_field(e, &a, x);
    case VAL_DATA:
        return data_field(e, &a, x);
    case VAL_NONE:
        return a;
    default:
        elab_error(e, 314, x->loc, "%s has no '%s'", describe(e, &a), x->str);
        return (Value){ 0 };
    }
}

/* ---- calls and pipes ---- */

static void eval_args(Elab *e, const Args *args, Call *c)
{
    for (uint32_t i = 0; i < args->n; i++) {
        const Arg *a = &args->at[i];
        CallArg   *out = &c->args[c->n++];
        Value      word;
        *out = (CallArg){ .name = a->name, .loc = a->loc.line ? a->loc : a->value->loc, .expr = a->value };
        /* `mode: nearest`: a bare word that nothing else is called stands for itself */
        if (a->name && a->value->kind == E_NAME && !lookup_silent(e, a->value->str, &word) && !find_builtin(a->value->str) && strcmp(a->value->str, "training") &&
            strcmp(a->value->str, "true") && strcmp(a->value->str, "false") && strcmp(a->value->str, "step") && strcmp(a->value->str, "epoch") && strcmp(a->value->str, "progress") &&
            strcmp(a->value->str, "pi"))
            out->v = (Value){ .kind = VAL_STR, .str = a->value->str, .loc = a->value->loc };
        else
            out->v = eval(e, a->value);
        out->v.loc = a->value->loc;
    }
}

/* faces.first(8), and pairs.first(8).photo: `name` is the field. false: x is another call. */
static bool first_items(Elab *e, const Expr *x, const char *name, Value *out)
{
    Value base;
    *out = (Value){ 0 };
    if (x->kind != E_CALL || x->a->kind != E_FIELD || strcmp(x->a->str, "first") || x->a->a->kind != E_NAME || !lookup_silent(e, x->a->a->str, &base) || base.kind != VAL_DATA)
        return false;
    Call    c = { .args = ARENA_ARR(e->arena, CallArg, x->args.n + 1), .loc = x->loc, .site = x };
    int64_t k = 1;
    eval_args(e, &x->args, &c);
    if (c.n > 1)
        elab_error(e, 340, x->loc, ".first takes one number: how many items");
    else if (c.n == 0 || as_int(e, &c.args[0].v, ".first(k)", &k))
        *out = data_first(e, base.index, k, name, x->loc);
    return true;
}

static Value call_expr(Elab *e, const Expr *x)
{
    Call c = { .args = ARENA_ARR(e->arena, CallArg, x->args.n + 1), .loc = x->loc, .site = x };
    Value first;
    if (first_items(e, x, NULL, &first))
        return first;
    Value callee = eval(e, x->a);
    if (callee.kind == VAL_NONE)
        return callee;
    eval_args(e, &x->args, &c);
    return call_value(e, callee, &c);
}

static Value pipe_into(Elab *e, Value left, const Expr *site, const Expr *x)
{
    Call c = { .args = ARENA_ARR(e->arena, CallArg, (x->kind == E_CALL ? x->args.n : 0) + 1), .loc = x->loc, .site = site, .pipe = site };
    if ((x->kind == E_FIELD || x->kind == E_INDEX) && x->a->kind == E_CALL) {
        Value r = pipe_into(e, left, site, x->a);
        return r.kind == VAL_NONE ? r : x->kind == E_FIELD ? field(e, r, x) : index_value(e, r, x);
    }
    Value callee = eval(e, x->kind == E_CALL ? x->a : x);
    if (callee.kind == VAL_NONE)
        return callee;
    if (callee.kind == VAL_MODULE) {                            /* conv(64, 3): the arguments make the layer, the input is what is piped */
        if (x->kind == E_CALL)
            eval_args(e, &x->args, &c);
        callee = make_layer(e, callee.decl, &c);
        if (callee.kind == VAL_NONE)
            return callee;
        c.n = 0;
        c.args = ARENA_ARR(e->arena, CallArg, 1);
        c.args[c.n++] = (CallArg){ .v = left, .loc = site->a->loc };
        return call_value(e, callee, &c);
    }
    c.args[c.n++] = (CallArg){ .v = left, .loc = site->a->loc };
    if (x->kind == E_CALL)
        eval_args(e, &x->args, &c);
    return call_value(e, callee, &c);
}

static Value list_expr(Elab *e, const Expr *x)
{
    Value v = { .kind = VAL_LIST, .loc = x->loc };
    v.items = ARENA_ARR(e->arena, Value, x->args.n + 1);
    v.n = x->args.n;
    for (uint32_t i = 0; i < x->args.n; i++) {
        v.items[i] = eval(e, x->args.at[i].value);
        if (v.items[i].kind == VAL_NONE)
            return (Value){ 0 };
        v.items[i].loc = x->args.at[i].value->loc;
    }
    return v;
}

static Value eval_inner(Elab *e, const Expr *x)
{
    switch (x->kind) {
    case E_NUM: {
        Value v = val_num(x->num, x->is_int);
        v.unit = x->unit;
        return v;
    }
    case E_STR:
        return val_str(x->str);
    case E_NAME:
        return lookup(e, x->str, x->loc);
    case E_NEG:
        return negate(e, eval(e, x->a), x->loc);
    case E_BIN: {
        Value a = eval(e, x->a), b = eval(e, x->b);
        a.loc = x->a->loc, b.loc = x->b->loc;
        return binary(e, x->op, a, b, x->loc);
    }
    case E_RANGE: {
        Value   a = eval(e, x->a), b = eval(e, x->b), r = { .kind = VAL_RANGE };
        int64_t lo, hi;
        if (!as_int(e, &a, "a range's start", &lo) || !as_int(e, &b, "a range's end", &hi))
            return (Value){ 0 };
        r.lo = lo, r.hi = hi;
        return r;
    }
    case E_CALL:
        return call_expr(e, x);
    case E_FIELD: {
        Value items;
        return first_items(e, x->a, x->str, &items) ? items : field(e, eval(e, x->a), x);
    }
    case E_INDEX:
        return index_value(e, eval(e, x->a), x);
    case E_LIST:
        return list_expr(e, x);
    case E_PIPE: {
        Value left = eval(e, x->a);
        left.loc = x->a->loc;
        return left.kind == VAL_NONE ? left : pipe_into(e, left, x, x->b);
    }
    }
    return (Value){ 0 };
}

Value eval(Elab *e, const Expr *x)
{
    if (!x || !enter(e, x->loc))
        return (Value){ 0 };
    Loc keep = { 0 }, use = { 0 };
    if (e->gs) {
        keep = e->gs->g->loc;
        use = e->gs->g->use;
        e->gs->g->loc = x->loc;
        e->gs->g->use = user_place(e, x->loc);
    }
    Value v = eval_inner(e, x);
    if (e->gs) {
        e->gs->g->loc = keep;
        e->gs->g->use = use;
    }
    leave(e);
    v.loc = x->loc;
    return v;
}
