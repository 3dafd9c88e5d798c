/* elab_window.c - built-in functions of windows and contractions: pools, convolutions and their transposes, matmul. */
#include "elab_builtin.h"

#include <string.h>

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
Value do_pool(Elab *e, const Builtin *b, Value *v, Loc loc)
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
    Type   t;
    if (!is_pictures(e, b, r, loc, &t))
        return (Value){ 0 };
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

Value do_conv2d(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref     args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    int64_t a[9];
    if (!args[0] || !args[1] || !conv_attrs(e, &v[2], &v[3], &v[4], &v[5], a))
        return (Value){ 0 };
    return checked_node(e, OP_conv, b->name, 2, args, 9, a, NULL, loc);
}

Value do_conv2d_t(Elab *e, const Builtin *b, Value *v, Loc loc)
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
Value do_matmul(Elab *e, const Builtin *b, Value *v, Loc loc)
{
    Ref  args[2] = { as_tensor(e, &v[0], b->name), as_tensor(e, &v[1], b->name) };
    bool ta = false, tb = false;
    if (!args[0] || !args[1] || (v[2].kind != VAL_NONE && !as_bool(e, &v[2], "transpose_a", &ta)) || (v[3].kind != VAL_NONE && !as_bool(e, &v[3], "transpose_b", &tb)))
        return (Value){ 0 };
    int64_t attrs[2] = { ta, tb };
    return checked_node(e, OP_matmul, b->name, 2, args, 2, attrs, NULL, loc);
}
