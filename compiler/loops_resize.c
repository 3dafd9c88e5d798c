/* loops_resize.c - resizing, its adjoint, and the adjoint of borders made by mirroring or repeating. */
#include "loops_lower.h"

#include <assert.h>
#include <string.h>

/* ---- resize, in exact integers: element i of `to` from `from`, see runtime/interp_window.c ---- */

typedef struct { IndexId first, second; Val weight; } Tap;         /* (1 - weight) * x[first] + weight * x[second]; weight 0: nearest */

static Tap resize_tap(Lower *lo, const int64_t *attrs, IndexId i, Dim from, Dim to)
{
    DimTable *t = DIMS(lo);
    Dim       num = from, den = to, base = 0, ratio;
    bool      half = attrs[0] == RESIZE_BILINEAR && attrs[1] == RESIZE_HALF_PIXEL;
    int64_t   r = 0;
    if (dim_divide(t, to, from, &ratio) && dim_is_const(t, ratio, &r)) {
        num = lo_size(lo, 1);                   /* a whole factor: sizes cancel */
        den = ratio;
    } else if (dim_divide(t, from, to, &ratio) && dim_is_const(t, ratio, &r)) {
        num = ratio;
        den = lo_size(lo, 1);
    }
    if (half) {
        base = dim_sub(t, num, den);
        num = dim_scale(t, num, 2);
        den = dim_scale(t, den, 2);
    }
    IndexId x = index_offset(lo->b, t, index_scale(lo->b, t, i, num), base);
    Dim     least, most;
    if (half && !(index_range(lo->b, t, x, &least, &most) && dim_nonneg(t, least))) {
        Val below = lo_inside(lo, x, dim_mul(t, from, den));      /* negative only at the first elements */
        Val v = body_ins(lo->b, t, (Ins){ .op = L_ISELECT, .type = VT_INDEX, .a = lo_index_value(lo, x), .b = lo_index_value(lo, 0), .c = below });
        x = index_val(lo->b, t, v);
    }
    Tap tap = { .first = lo_quotient(lo, x, den) };
    if (attrs[0] == RESIZE_NEAREST)
        return tap;
    tap.second = lo_index_op(lo, L_ICLAMP, index_offset(lo->b, t, tap.first, lo_size(lo, 1)), from);
    IndexId rest = lo_remainder(lo, x, den);
    /* at the last element both taps are the same: no weight, so that the adjoint counts it once */
    Val frac = lo_elem(lo, OP_div, VT_F32, lo_as_number(lo, VT_F32, rest), lo_as_number(lo, VT_F32, index_const(lo->b, den)), 0);
    Val inner = lo_inside(lo, tap.first, dim_sub(t, from, lo_size(lo, 1)));
    tap.weight = lo_pick(lo, inner, frac, lo_number(lo, VT_F32, 0));
    return tap;
}

static Val mix(Lower *lo, Val weight, Val a, Val b)
{
    Val other = lo_elem(lo, OP_sub, VT_F32, lo_number(lo, VT_F32, 1), weight, 0);
    return lo_elem(lo, OP_add, VT_F32, lo_elem(lo, OP_mul, VT_F32, other, a, 0), lo_elem(lo, OP_mul, VT_F32, weight, b, 0), 0);
}

Val lower_resize(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const int64_t attrs[2] = { node_attrs(lo->g, r)[0], node_attrs(lo->g, r)[1] };
    Ref           a = node_arg(lo->g, r, 0);
    Tap           y = resize_tap(lo, attrs, at[2], node_shape(lo->g, a)[2], node_shape(lo->g, r)[2]);
    Tap           x = resize_tap(lo, attrs, at[3], node_shape(lo->g, a)[3], node_shape(lo->g, r)[3]);
    IndexId       in[4] = { at[0], at[1], y.first, x.first };
    Val           corner[4];
    corner[0] = lower_value(lo, a, in, mask);
    if (attrs[0] == RESIZE_NEAREST)
        return corner[0];
    for (int k = 1; k < 4; k++) {
        in[2] = k & 2 ? y.second : y.first;
        in[3] = k & 1 ? x.second : x.first;
        corner[k] = lower_value(lo, a, in, mask);
    }
    return mix(lo, y.weight, mix(lo, x.weight, corner[0], corner[1]), mix(lo, x.weight, corner[2], corner[3]));
}

/* How many elements of `to` can take from one element of `from`, and the first that may. Position of i is about i * from / to, so those that take
 * from p stand between (p-1) * to/from - 1 and (p+1) * to/from + 1. */
static IndexId resize_reach(Lower *lo, const int64_t *attrs, IndexId p, Dim from, Dim to, IndexId *first)
{
    DimTable *t = DIMS(lo);
    Dim       ratio;
    int64_t   r;
    IndexId   extent;
    if (dim_divide(t, to, from, &ratio) && dim_is_const(t, ratio, &r)) {       /* exactly those */
        bool half = attrs[1] == RESIZE_HALF_PIXEL, nearest = attrs[0] == RESIZE_NEAREST;
        *first = lo_linear(lo, p, r, nearest ? 0 : half ? -(r / 2) : 1 - r);
        return index_const(lo->b, lo_size(lo, nearest ? r : half ? 2 * r : 2 * r - 1));
    }
    extent = index_offset(lo->b, t, lo_index_op(lo, L_IDIV, index_const(lo->b, dim_scale(t, to, 2)), from), lo_size(lo, 4));
    IndexId before = lo_index_op(lo, L_IDIV, index_const(lo->b, to), from);
    *first = index_offset(lo->b, t, lo_index_op(lo, L_IDIV, index_scale(lo->b, t, p, to), from), lo_size(lo, -2));
    *first = index_add(lo->b, t, *first, lo_linear(lo, before, -1, 0));
    return extent;
}

/* Its weight at element p of `from`: what element i of `to` takes from there. */
static Val tap_weight(Lower *lo, const Tap *tap, IndexId p)
{
    DimTable *t = DIMS(lo);
    Val       zero = lo_number(lo, VT_F32, 0), one = lo_number(lo, VT_F32, 1);
    Val       first = lo_inside(lo, index_add(lo->b, t, tap->first, lo_linear(lo, p, -1, 0)), lo_size(lo, 1));
    if (!tap->weight)
        return lo_pick(lo, first, one, zero);
    Val second = lo_inside(lo, index_add(lo->b, t, tap->second, lo_linear(lo, p, -1, 0)), lo_size(lo, 1));
    Val w = lo_pick(lo, second, tap->weight, zero);
    return lo_elem(lo, OP_add, VT_F32, w, lo_pick(lo, first, lo_elem(lo, OP_sub, VT_F32, one, tap->weight, 0), zero), 0);
}

Val lower_resize_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const int64_t attrs[2] = { node_attrs(lo->g, r)[0], node_attrs(lo->g, r)[1] };
    Ref           a = node_arg(lo->g, r, 0);
    const Dim     from[2] = { node_shape(lo->g, r)[2], node_shape(lo->g, r)[3] }, to[2] = { node_shape(lo->g, a)[2], node_shape(lo->g, a)[3] };
    IndexId       extent[2], first[2], in[4] = { at[0], at[1] };
    for (int k = 0; k < 2; k++)
        extent[k] = resize_reach(lo, attrs, at[2 + k], from[k], to[k], &first[k]);
    Turns t = lo_open_turns(lo, 2, extent);
    Val   here = 0, weight[2];
    for (int k = 0; k < 2; k++) {
        IndexId i = index_add(lo->b, DIMS(lo), first[k], t.var[k]);
        here = lo_both(lo, here, lo_inside(lo, i, to[k]));
        in[2 + k] = i;
    }
    for (int k = 0; k < 2; k++) {
        Val v = body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ICLAMP, .type = VT_INDEX, .a = lo_index_value(lo, in[2 + k]), .dim = to[k] });
        Tap tap = resize_tap(lo, attrs, index_val(lo->b, DIMS(lo), v), from[k], to[k]);
        weight[k] = tap_weight(lo, &tap, at[2 + k]);
    }
    Val w = lo_elem(lo, OP_mul, VT_F32, weight[0], weight[1], 0), zero = lo_number(lo, VT_F32, 0);
    Val taken = lo_both(lo, here, lo_elem(lo, OP_ne, VT_BOOL, w, zero, 0));
    Val value = lower_value(lo, a, in, lo_both(lo, mask, taken));
    return lo_close_turns(lo, &t, HOW_SUM, VT_F32, lo_pick(lo, taken, lo_elem(lo, OP_mul, VT_F32, w, value, 0), zero), 0, 0);
}

/* ---- the adjoint of pad: most elements come from one place; near an edge, those of the border that were copied from there are added. Candidate c
 * of an axis is, in turn, an element of the border before, the element itself, one of the border behind. Reflection has three candidates, edge one for
 * each element of the border. ---- */

typedef struct { IndexId at; Val there, self, some; } Candidate;   /* place; does it count; is it the element itself; is there any beside it */

static Candidate pad_candidate(Lower *lo, PadMode mode, IndexId i, IndexId c, int64_t before, int64_t behind, Dim n)
{
    DimTable *t = DIMS(lo);
    bool      mirror = mode == MODE_REFLECT;
    int64_t   own = mirror ? 1 : before;       /* the number of the candidate that is the element itself */
    IndexId   from_end = index_offset(lo->b, t, lo_linear(lo, i, -1, 0), dim_sub(t, n, lo_size(lo, 1)));      /* n - 1 - i */
    IndexId   lower = mirror ? lo_linear(lo, i, -1, before) : c, upper;
    upper = mirror ? index_offset(lo->b, t, from_end, dim_add(t, n, lo_size(lo, before - 1))) : index_offset(lo->b, t, lo_linear(lo, c, 1, -1), n);
    Dim       one_dim = lo_size(lo, 1);
    Val       ok_before = mirror ? lo_inside(lo, lo_linear(lo, i, 1, -1), lo_size(lo, before)) : before ? lo_inside(lo, i, lo_size(lo, 1)) : VAL_FALSE;
    Val       ok_behind = mirror ? lo_inside(lo, lo_linear(lo, from_end, 1, -1), lo_size(lo, behind)) : behind ? lo_inside(lo, from_end, one_dim) : VAL_FALSE;
    Val       is_before = lo_inside(lo, lo_linear(lo, c, -1, own - 1), lo_size(lo, own));
    Val       is_behind = lo_inside(lo, lo_linear(lo, c, 1, -own - 1), lo_size(lo, mirror ? 1 : behind));
    Candidate k = { .self = lo_inside(lo, lo_linear(lo, c, 1, -own), lo_size(lo, 1)), .some = lo_either(lo, ok_before, ok_behind) };
    Val       one = lo_number(lo, VT_BOOL, 1), at = lo_index_value(lo, lo_linear(lo, i, 1, before));
    k.there = lo_pick(lo, is_before, lo_as_value(lo, ok_before), lo_pick(lo, is_behind, lo_as_value(lo, ok_behind), one));
    const struct { Val where; IndexId x; } side[2] = { { is_before, lower }, { is_behind, upper } };
    for (int j = 0; j < 2; j++) {
        if (side[j].where == VAL_FALSE)
            continue;
        Val x = lo_index_value(lo, side[j].x);
        at = side[j].where ? body_ins(lo->b, t, (Ins){ .op = L_ISELECT, .type = VT_INDEX, .a = x, .b = at, .c = side[j].where }) : x;
    }
    k.at = index_val(lo->b, t, at);
    return k;
}

Val lower_pad_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    Ref         a = node_arg(lo->g, r, 0);
    PadMode     mode = (PadMode)node_attrs(lo->g, r)[n->rank];
    IndexId     extent[8], in[MAX_RANK] = { 0 };
    uint32_t    count = 0;
    int         axis[8];
    int64_t     before[8], behind[8];
    for (int i = 0; i < n->rank; i++) {
        in[i] = at[i];
        Dim grow = dim_sub(DIMS(lo), node_shape(lo->g, a)[i], node_shape(lo->g, r)[i]);
        if (grow == 0)
            continue;
        before[count] = node_attrs(lo->g, r)[i];
        bool known = dim_is_const(DIMS(lo), grow, &behind[count]);
        assert(known);                     /* fuse.c refuses borders that are not constant */
        (void)known;
        behind[count] -= before[count];
        in[i] = lo_linear(lo, at[i], 1, before[count]);
        extent[count] = index_const(lo->b, lo_size(lo, mode == MODE_REFLECT ? 3 : before[count] + 1 + behind[count]));
        axis[count++] = i;
    }
    Val own = lower_value(lo, a, in, mask);
    if (count == 0)
        return own;
    Turns t = lo_open_turns(lo, count, extent);
    Val   here = 0, self = 0, some = VAL_FALSE, zero = lo_number(lo, VT_F32, 0);
    for (uint32_t k = 0; k < count; k++) {
        Candidate c = pad_candidate(lo, mode, at[axis[k]], t.var[k], before[k], behind[k], node_shape(lo->g, r)[axis[k]]);
        in[axis[k]] = c.at;
        here = lo_both(lo, here, c.there);
        self = lo_both(lo, self, c.self);
        some = lo_either(lo, some, c.some);
    }
    here = lo_both(lo, here, lo_elem(lo, OP_not, VT_BOOL, lo_as_value(lo, self), 0, 0));
    Val rest = lo_close_guarded(lo, &t, some, lo_pick(lo, here, lower_value(lo, a, in, lo_both(lo, mask, here)), zero));
    return lo_elem(lo, OP_add, VT_F32, own, rest, 0);
}
