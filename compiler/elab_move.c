/* elab_move.c - built-in functions that move elements and compute nothing: reshape, flatten, transpose, expand, concat, pads; and resize. */
#include "elab_builtin.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

Value do_reshape(Elab *e, const Builtin *b, Value *v, Loc loc)
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

Value do_flatten(Elab *e, const Builtin *b, Value *v, Loc loc)
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

Value do_transpose(Elab *e, const Builtin *b, Value *v, Loc loc)
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
Value do_expand(Elab *e, const Builtin *b, Value *v, Loc loc)
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

Value do_concat(Elab *e, const Builtin *b, Value *v, Loc loc)
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
bool pad_amounts(Elab *e, const Value *v, int64_t *out)
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

Value do_pad(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t p[4];
    if (!r || !pad_amounts(e, &v[1], p))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t;
    if (!is_pictures(e, b, r, loc, &t))
        return (Value){ 0 };
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
Value do_pad_to(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    static const char *const modes[] = { "edge", "reflect", "zero" };
    Ref     r = as_tensor(e, &v[0], b->name);
    int64_t k;
    size_t  mode = 0;
    if (!r || !as_int(e, &v[1], "pad_to's multiple", &k))
        return (Value){ 0 };
    Graph *g = e->gs->g;
    Type   t;
    if (!is_pictures(e, b, r, loc, &t))
        return (Value){ 0 };
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
Value do_resize(Elab *e, const Builtin *b, Value *v, Loc loc)
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
