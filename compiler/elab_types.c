/* elab_types.c - tensor types as written, and their unification with actual ones.
 *
 * A name in a type is a value of the scope (const, module parameter, loop index) or, when the scope does not know it, a dim name of that signature:
 * an unknown to solve for, or a symbol of the graph when a step, export or probe declares it. After matching, dim names are values of the body.
 * What cannot be decided when compiling (H against 4*(H//4)) becomes a GraphCheck, tested when the sizes are known.
 */
#include "elab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Value val_num(double v, bool is_int)
{
    return (Value){ .kind = VAL_NUM, .num = v, .is_int = is_int };
}

Value val_dim(Elab *e, Dim d)
{
    int64_t v;
    if (dim_is_const(e->m->dims, d, &v))
        return val_num((double)v, true);
    return (Value){ .kind = VAL_DIM, .dim = d };
}

Value val_tensor(Ref r)
{
    return r ? (Value){ .kind = VAL_TENSOR, .ref = r } : (Value){ 0 };
}

Value val_str(const char *s)
{
    return (Value){ .kind = VAL_STR, .str = s };
}

Value val_bool(bool b)
{
    return (Value){ .kind = VAL_BOOL, .b = b };
}

const char *dims_text(Elab *e, const Dim *shape, int rank)
{
    Text t = { 0 };
    text_add(&t, "[");
    for (int i = 0; i < rank; i++) {
        text_add(&t, i ? ", " : "");
        dim_print(e->m->dims, shape[i], &t);
    }
    text_add(&t, "]");
    const char *s = arena_printf(e->arena, "%s", t.at);
    text_free(&t);
    return s;
}

static const char *dtype_text(Dtype t)
{
    return t == DT_I32 ? "i32" : t == DT_BOOL ? "bool" : t == DT_F64 ? "f64" : "f32";
}

const char *type_text(Elab *e, const Type *t)
{
    return arena_printf(e->arena, "%s%s", dtype_text(t->dtype), dims_text(e, t->shape, t->rank));
}

const char *describe(Elab *e, const Value *v)
{
    switch (v->kind) {
    case VAL_NUM:
        return arena_printf(e->arena, "the number %.9g%s%s", v->num, v->unit ? " " : "", v->unit ? v->unit : "");
    case VAL_DIM:
        return arena_printf(e->arena, "the size %s", dim_text(e->m->dims, v->dim, e->arena));
    case VAL_BOOL:
        return v->b ? "true" : "false";
    case VAL_STR:
        return arena_printf(e->arena, "the text \"%s\"", v->str);
    case VAL_LIST:
        return "a list";
    case VAL_RANGE:
        return "a range";
    case VAL_TENSOR: {
        Type t = node_type(e->gs->g, v->ref);
        return type_text(e, &t);
    }
    case VAL_TUPLE:
        return arena_printf(e->arena, "%u results", v->n);
    case VAL_FN:
        return arena_printf(e->arena, "the function '%s'", v->decl->name);
    case VAL_BUILTIN:
        return "a built-in function";
    case VAL_MODULE:
        return arena_printf(e->arena, "the module '%s'", v->decl->name);
    case VAL_LAYER:
        return arena_printf(e->arena, "a layer '%s'", v->layer->decl->name);
    case VAL_NET:
        return arena_printf(e->arena, "the net '%s'", e->m->nets.at[v->index].name);
    case VAL_DATA:
        return arena_printf(e->arena, "the data '%s'", e->m->datas.at[v->index].name);
    case VAL_OPTIM:
        return arena_printf(e->arena, "the optim '%s'", e->optims.at[v->index].name);
    case VAL_FILE:
        return "an imported file";
    case VAL_DATA_CALL:
        return arena_printf(e->arena, "'%s(...)'", v->word);
    default:
        return "nothing";
    }
}

bool as_number(Elab *e, const Value *v, const char *what, double *out)
{
    if (v->kind == VAL_NUM && !v->unit) {
        *out = v->num;
        return true;
    }
    if (v->kind != VAL_NONE)
        elab_error(e, 220, v->loc, "%s must be a number known when compiling, not %s", what, describe(e, v));
    return false;
}

bool as_int(Elab *e, const Value *v, const char *what, int64_t *out)
{
    if (v->kind == VAL_NUM && !v->unit && fabs(v->num) < 9e15 && v->num == floor(v->num)) {
        *out = (int64_t)v->num;
        return true;
    }
    if (v->kind != VAL_NONE)
        elab_error(e, 221, v->loc, "%s must be a whole number known when compiling, not %s", what, describe(e, v));
    return false;
}

bool as_dim(Elab *e, const Value *v, const char *what, Dim *out)
{
    if (v->kind == VAL_DIM) {
        *out = v->dim;
        return true;
    }
    int64_t k;
    if (v->kind == VAL_NUM && !v->unit && v->num == floor(v->num) && fabs(v->num) < 1e12) {
        k = (int64_t)v->num;
        *out = dim_const(e->m->dims, k);
        return true;
    }
    if (v->kind != VAL_NONE)
        elab_error(e, 222, v->loc, "%s must be a size (a whole number or an expression of dims), not %s", what, describe(e, v));
    return false;
}

bool as_bool(Elab *e, const Value *v, const char *what, bool *out)
{
    if (v->kind == VAL_BOOL) {
        *out = v->b;
        return true;
    }
    if (v->kind == VAL_TENSOR)
        elab_error(e, 223, v->loc, "%s must be known when compiling, but this is a tensor: use select(condition, a, b)", what);
    else if (v->kind != VAL_NONE)
        elab_error(e, 223, v->loc, "%s must be true or false, not %s", what, describe(e, v));
    return false;
}

bool as_dims(Elab *e, const Value *v, const char *what, Dim *out, int *n)
{
    if (v->kind != VAL_LIST) {
        if (v->kind != VAL_NONE)
            elab_error(e, 224, v->loc, "%s must be a list of sizes such as [N, 3, 64, 64], not %s", what, describe(e, v));
        return false;
    }
    if (v->n > MAX_RANK) {
        elab_error(e, 225, v->loc, "%s has %u axes; at most %d are possible", what, v->n, MAX_RANK);
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (!as_dim(e, &v->items[i], what, &out[i]))
            return false;
        int64_t k;
        if (dim_is_const(e->m->dims, out[i], &k) && k < 0) {
            elab_error(e, 226, v->loc, "%s: axis %u would have size %lld", what, i, (long long)k);
            return false;
        }
    }
    *n = (int)v->n;
    return true;
}

bool as_ints(Elab *e, const Value *v, const char *what, int64_t *out, int *n, int max)
{
    if (v->kind == VAL_NUM) {
        *n = 1;
        return as_int(e, v, what, out);
    }
    if (v->kind != VAL_LIST || (int)v->n > max) {
        if (v->kind != VAL_NONE)
            elab_error(e, 227, v->loc, "%s must be a whole number or a list of at most %d", what, max);
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++)
        if (!as_int(e, &v->items[i], what, &out[i]))
            return false;
    *n = (int)v->n;
    return true;
}

/* 60 epochs inside an expression: a number of passes through the train block. */
static Ref unit_number(Elab *e, const Value *v)
{
    if (!strcmp(v->unit, "steps"))
        return b_const(e->gs->g, DT_F32, v->num);
    if (!strcmp(v->unit, "epochs")) {
        int64_t which = RT_EPOCH_STEPS;
        Ref     per = make_node(e->gs->g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, &which, 0);
        return b_binary(e->gs->g, OP_mul, b_const(e->gs->g, DT_F32, v->num), per);
    }
    elab_error(e, 228, v->loc, "only steps and epochs can be used as a time in an expression");
    return 0;
}

Ref as_tensor(Elab *e, const Value *v, const char *what)
{
    if (v->kind == VAL_NONE)
        return 0;
    if (!e->gs) {
        elab_error(e, 229, v->loc, "tensors cannot be computed here: only values known when compiling");
        return 0;
    }
    switch (v->kind) {
    case VAL_TENSOR:
        return v->ref;
    case VAL_NUM:
        return v->unit ? unit_number(e, v) : b_const(e->gs->g, DT_F32, v->num);
    case VAL_DIM:
        return b_size(e->gs->g, v->dim);
    case VAL_BOOL:
        return b_const(e->gs->g, DT_BOOL, v->b);
    case VAL_DATA:
        if (v->mode == DATA_WHOLE)
            break;
        return data_tensor(e, v->index, (DataPart)v->mode, NULL, v->loc).ref;      /* 0 after a message: VAL_NONE is all zeros */
    case VAL_TUPLE:
        elab_error(e, 230, v->loc, "%s has several results here: take one by name, e.g. f(x).%s", what, v->n && v->names && v->names[0] ? v->names[0] : "name");
        return 0;
    case VAL_LIST: {                                            /* [0.5, 1, 2]: a small constant vector */
        Ref parts[256];
        if (v->n == 0 || v->n > COUNT(parts))
            break;
        Dim one = dim_const(e->m->dims, 1);
        for (uint32_t i = 0; i < v->n; i++) {
            Ref r = as_tensor(e, &v->items[i], what);
            if (!r)
                return 0;
            Type t = node_type(e->gs->g, r);
            if (t.rank != 0) {
                elab_error(e, 231, v->items[i].loc, "%s: a list becomes a vector only when its elements are numbers", what);
                return 0;
            }
            parts[i] = b_reshape(e->gs->g, r, 1, &one);
        }
        return v->n == 1 ? parts[0] : b_concat(e->gs->g, (int)v->n, parts, 0);
    }
    default:
        break;
    }
    elab_error(e, 231, v->loc, "%s must be a tensor, not %s", what, describe(e, v));
    return 0;
}

/* ---- types ---- */

Dtype dtype_named(const char *s)
{
    return !strcmp(s, "f32") ? DT_F32 : !strcmp(s, "i32") ? DT_I32 : !strcmp(s, "bool") ? DT_BOOL : DT_NONE;
}

static DimVar *dim_var(DimVars *v, const char *name)
{
    for (uint32_t i = 0; i < v->vars.n; i++)
        if (v->vars.at[i].name == name)
            return &v->vars.at[i];
    return NULL;
}

/* Names of a dim expression that the scope does not know become unknowns, bound in the innermost scope while the signature is read. A name that is called, and
 * what it is called with, is never an unknown when anything has that name: width(i), len(taps). */
static void collect_names(Elab *e, DimVars *v, const Expr *x, bool argument)
{
    if (!x)
        return;
    if (x->kind == E_NAME) {
        Value known;
        if (dim_var(v, x->str))
            return;
        if (lookup_silent(e, x->str, &known) && (argument || known.kind == VAL_NUM || known.kind == VAL_DIM))
            return;
        Dim unknown = v->make_symbols ? dim_sym(e->m->dims, x->str) : dim_fresh(e->m->dims, x->str);
        vec_push(&v->vars, ((DimVar){ .name = x->str, .unknown = unknown, .by = unknown, .solved = v->make_symbols }));
        scope_bind_here(e, x->str, (Value){ .kind = VAL_DIM, .dim = unknown });
        return;
    }
    if (x->kind != E_CALL)
        collect_names(e, v, x->a, argument);
    collect_names(e, v, x->b, argument);
    for (uint32_t i = 0; i < x->args.n; i++)
        if (x->kind == E_CALL || x->kind == E_LIST)
            collect_names(e, v, x->args.at[i].value, argument || x->kind == E_CALL);
}

static Dim apply_solutions(Elab *e, DimVars *v, Dim d)
{
    for (uint32_t i = 0; i < v->vars.n; i++)
        if (v->vars.at[i].solved && !v->make_symbols)
            d = dim_substitute(e->m->dims, d, v->vars.at[i].unknown, v->vars.at[i].by);
    return d;
}

static RestVar *rest_var(DimVars *v, const char *name)
{
    for (uint32_t i = 0; i < v->rests.n; i++)
        if (v->rests.at[i].name == name)
            return &v->rests.at[i];
    return NULL;
}

static bool dim_pattern(Elab *e, DimVars *v, const DimExpr *x, Loc loc, Dim *out)
{
    collect_names(e, v, x->expr, false);
    Value value = eval(e, x->expr);
    if (value.kind == VAL_NONE)
        return false;
    if (!value.loc.line)
        value.loc = loc;
    return as_dim(e, &value, "a dim of a type", out);
}

bool declare_type(Elab *e, DimVars *v, const TypeExpr *t, Type *out)
{
    out->dtype = dtype_named(t->dtype);
    out->rank = 0;
    for (uint32_t i = 0; i < t->ndims; i++) {
        if (t->dims[i].rest) {
            RestVar *r = rest_var(v, t->dims[i].rest);
            if (!r || !r->solved) {
                elab_error(e, 232, t->loc, "'..%s' cannot be used here: nothing says how many axes it stands for", t->dims[i].rest);
                return false;
            }
            for (int k = 0; k < r->n && out->rank < MAX_RANK; k++)
                out->shape[out->rank++] = r->dims[k];
            continue;
        }
        Dim d;
        if (out->rank >= MAX_RANK || !dim_pattern(e, v, &t->dims[i], t->loc, &d))
            return false;
        d = apply_solutions(e, v, d);
        int64_t k;
        if (dim_is_const(e->m->dims, d, &k) && k < 0) {
            elab_error(e, 226, t->loc, "axis %d would have size %lld", out->rank, (long long)k);
            return false;
        }
        out->shape[out->rank++] = d;
    }
    return true;
}

bool require_equal(Elab *e, Dim a, Dim b, Loc loc, const char *message)
{
    if (a == b)
        return true;
    int64_t k;
    if (dim_is_const(e->m->dims, dim_sub(e->m->dims, a, b), &k))
        return false;
    if (!e->gs)
        return false;
    vec_push(&e->gs->g->checks, ((GraphCheck){ a, b, loc, message }));
    return true;
}

/* The same size, or one that an earlier check of this graph makes the same. */
bool dims_agree(Elab *e, Dim a, Dim b)
{
    if (a == b)
        return true;
    for (uint32_t i = 0; e->gs && i < e->gs->g->checks.n; i++) {
        const GraphCheck *c = &e->gs->g->checks.at[i];
        if ((c->a == a && c->b == b) || (c->a == b && c->b == a) || dim_sub(e->m->dims, c->a, c->b) == dim_sub(e->m->dims, a, b))
            return true;
    }
    return false;
}

/* H in 4*H against a size that 4 does not divide as it stands: H = size // 4, and the rest must be 0 when run. */
static bool solve_by_floor(Elab *e, DimVars *v, Dim pattern, Dim actual, Loc loc, const char *what)
{
    for (uint32_t i = 0; i < v->vars.n; i++) {
        DimVar *x = &v->vars.at[i];
        if (x->solved)
            continue;
        Dim     at0 = dim_substitute(e->m->dims, pattern, x->unknown, 0), at1 = dim_substitute(e->m->dims, pattern, x->unknown, dim_const(e->m->dims, 1));
        int64_t k;
        if (!dim_is_const(e->m->dims, dim_sub(e->m->dims, at1, at0), &k) || k < 2)
            continue;
        Dim by = dim_floordiv(e->m->dims, dim_sub(e->m->dims, actual, at0), k);
        Dim back = dim_substitute(e->m->dims, pattern, x->unknown, by);
        if (!require_equal(e, back, actual, loc, arena_printf(e->arena, "%s: %s must be %s", what, dim_text(e->m->dims, actual, e->arena), "a multiple that fits")))
            return false;
        x->solved = true;
        x->by = by;
        return true;
    }
    return false;
}

typedef enum { DIM_WRONG, DIM_OK, DIM_LATER } DimMatch;

static DimMatch match_dim(Elab *e, DimVars *v, Dim pattern, Dim actual, bool last, Loc loc, const char *what)
{
    pattern = apply_solutions(e, v, pattern);
    Dim      unknowns[64], by;
    uint32_t index[64], n = 0, which;
    for (uint32_t i = 0; i < v->vars.n && n < 64; i++)
        if (!v->vars.at[i].solved) {
            index[n] = i;
            unknowns[n++] = v->vars.at[i].unknown;
        }
    switch (dim_solve(e->m->dims, pattern, actual, unknowns, n, &which, &by)) {
    case 1: {
        int64_t k;
        if (dim_is_const(e->m->dims, by, &k) && k < 0)
            return DIM_WRONG;
        v->vars.at[index[which]].solved = true;
        v->vars.at[index[which]].by = by;
        return DIM_OK;
    }
    case 0:
        return DIM_OK;
    case -1:
        if (solve_by_floor(e, v, pattern, actual, loc, what))
            return DIM_OK;
        return DIM_WRONG;
    default:
        if (!last)
            return DIM_LATER;
        for (uint32_t i = 0; i < n; i++)
            if (dim_substitute(e->m->dims, pattern, unknowns[i], 0) != pattern)
                return solve_by_floor(e, v, pattern, actual, loc, what) ? DIM_OK : DIM_WRONG;
        /* what rounding leaves open is checked when run; N against M is an error now */
        if (!dim_has_floor(e->m->dims, dim_sub(e->m->dims, pattern, actual)) && !dims_agree(e, pattern, actual))
            return DIM_WRONG;
        return require_equal(e, pattern, actual, loc, what) ? DIM_OK : DIM_WRONG;
    }
}

/* H'12, an unknown of unification, is told as H. */
static const char *plain_dim(Elab *e, Dim d)
{
    Text one = { 0 };
    dim_print(e->m->dims, d, &one);
    char *quote = one.at;
    for (char *p = one.at; *p; p++)
        if (*p == '\'') {
            while (p[1] >= '0' && p[1] <= '9')
                p++;
        } else {
            *quote++ = *p;
        }
    *quote = 0;
    const char *r = arena_printf(e->arena, "%s", one.at);
    text_free(&one);
    return r;
}

static const char *pattern_text(Elab *e, DimVars *v, const Dim *patterns, int rank, const TypeExpr *t)
{
    Text s = { 0 };
    text_addf(&s, "%s[", t->dtype);
    for (int i = 0; i < rank; i++)
        text_addf(&s, "%s%s", i ? ", " : "", plain_dim(e, apply_solutions(e, v, patterns[i])));
    text_add(&s, "]");
    const char *r = arena_printf(e->arena, "%s", s.at);
    text_free(&s);
    return r;
}

bool match_type(Elab *e, DimVars *v, const TypeExpr *t, const Type *actual, Loc loc, const char *what)
{
    Dim patterns[MAX_RANK];
    int rank = 0, rest_at = -1, fixed = 0;
    for (uint32_t i = 0; i < t->ndims; i++)
        fixed += !t->dims[i].rest;
    for (uint32_t i = 0; i < t->ndims; i++) {
        if (!t->dims[i].rest) {
            if (rank >= MAX_RANK || !dim_pattern(e, v, &t->dims[i], t->loc, &patterns[rank++]))
                return false;
            continue;
        }
        RestVar *r = rest_var(v, t->dims[i].rest);
        if (!r) {
            vec_push(&v->rests, ((RestVar){ .name = t->dims[i].rest }));
            r = &v->rests.at[v->rests.n - 1];
        }
        if (!r->solved) {
            r->n = actual->rank - fixed;
            if (r->n < 0 || rest_at >= 0)
                break;
            rest_at = rank;
            for (int k = 0; k < r->n; k++)
                r->dims[k] = actual->shape[rank + k];
            r->solved = true;
        }
        for (int k = 0; k < r->n && rank < MAX_RANK; k++)
            patterns[rank++] = r->dims[k];
    }
    if (dtype_named(t->dtype) != actual->dtype && !(dtype_named(t->dtype) == DT_F32 && actual->dtype == DT_F64)) {
        elab_error(e, 201, loc, "%s: expected %s, got %s", what, t->dtype, type_text(e, actual));
        return false;
    }
    if (rank != actual->rank) {
        elab_error(e, 202, loc, "%s: expected %s (%d axes), got %s (%d axes)", what, pattern_text(e, v, patterns, rank, t), rank, type_text(e, actual), actual->rank);
        return false;
    }
    bool done[MAX_RANK] = { 0 };
    for (int pass = 0; pass < rank + 1; pass++)
        for (int i = 0; i < rank; i++) {
            if (done[i])
                continue;
            DimMatch m = match_dim(e, v, patterns[i], actual->shape[i], pass == rank, loc, what);
            if (m == DIM_WRONG) {
                const char *expected = pattern_text(e, v, patterns, rank, t);
                elab_error(e, 203, loc, "%s: expected %s, got %s: axis %d is %s, not %s", what, expected, type_text(e, actual), i,
                           dim_text(e->m->dims, actual->shape[i], e->arena), plain_dim(e, apply_solutions(e, v, patterns[i])));
                return false;
            }
            done[i] = m == DIM_OK;
        }
    return true;
}

void bind_dim_vars(Elab *e, DimVars *v)
{
    for (uint32_t i = 0; i < v->vars.n; i++)
        if (v->vars.at[i].solved)
            scope_bind_here(e, v->vars.at[i].name, val_dim(e, v->vars.at[i].by));
}

bool type_range(Elab *e, const TypeExpr *t, double *lo, double *hi)
{
    if (!t || !t->range_lo)
        return false;
    Value a = eval(e, t->range_lo), b = eval(e, t->range_hi);
    if (!as_number(e, &a, "a pixel range", lo) || !as_number(e, &b, "a pixel range", hi))
        return false;
    if (*lo >= *hi) {
        elab_error(e, 233, t->loc, "the pixel range [%g, %g] is empty", *lo, *hi);
        return false;
    }
    return true;
}
