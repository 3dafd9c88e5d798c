/* loops_coord.c - makers of loop instructions, and arithmetic on coordinates that is done while compiling as far as coefficients and ranges allow.
 *
 * Bounds that always hold vanish, divisions whose remainder is known from the coefficients become coefficients; what is left becomes instructions.
 */
#include "loops_lower.h"

#include <string.h>

Dim lo_size(Lower *lo, int64_t v) { return dim_const(DIMS(lo), v); }

ValType lo_type(Dtype t)
{
    return t == DT_I32 ? VT_I32 : t == DT_BOOL ? VT_BOOL : VT_F32;
}

Val lo_number(Lower *lo, ValType t, double v)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_CONST, .type = (uint8_t)t, .value = v });
}

Val lo_elem(Lower *lo, Op op, ValType t, Val a, Val b, Val c)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ELEM, .type = (uint8_t)t, .elem = (uint8_t)op, .a = a, .b = b, .c = c });
}

Val lo_both(Lower *lo, Val m, Val n)
{
    if (m == VAL_FALSE || n == VAL_FALSE)
        return VAL_FALSE;
    if (!m || !n || m == n)
        return m ? m : n;
    return lo_elem(lo, OP_and, VT_BOOL, m < n ? m : n, m < n ? n : m, 0);
}

Val lo_pick(Lower *lo, Val mask, Val value, Val otherwise)
{
    if (!mask)
        return value;
    return mask == VAL_FALSE ? otherwise : lo_elem(lo, OP_select, (ValType)lo->b->ins.at[value].type, mask, value, otherwise);
}

Val lo_index_value(Lower *lo, IndexId x)
{
    const Index *i = &lo->b->index.at[x];
    int64_t      one;
    if (i->nterms == 1 && i->base == 0 && dim_is_const(DIMS(lo), i->term[0].mul, &one) && one == 1) {
        bool alone = true;
        for (uint32_t l = 0; l < MAX_LOOPS; l++)
            alone &= i->coef[l] == 0;
        if (alone)
            return i->term[0].v;
    }
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_INDEX, .type = VT_INDEX, .index = x });
}

Val lo_inside(Lower *lo, IndexId x, Dim n)
{
    Dim least, most;
    if (index_range(lo->b, DIMS(lo), x, &least, &most)) {
        Dim last = dim_sub(DIMS(lo), n, lo_size(lo, 1));
        if (dim_nonneg(DIMS(lo), least) && dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), last, most)))
            return 0;
        if (dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), least, n)) || dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), lo_size(lo, -1), most)))
            return VAL_FALSE;
    }
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_INSIDE, .type = VT_BOOL, .index = x, .dim = n });
}

/* x = d*q + r with every part of r smaller than d in sum, so that q = x / d and r = x % d; false: not to be seen from the coefficients */
static bool lo_split_index(Lower *lo, IndexId xi, Dim d, IndexId *q, IndexId *r)
{
    Index    x = lo->b->index.at[xi], quot, rest;
    int64_t  base, by;
    DimTable *t = DIMS(lo);
    Dim      part, least, most;
    memset(&quot, 0, sizeof quot);
    memset(&rest, 0, sizeof rest);
    for (uint32_t l = 0; l < MAX_LOOPS; l++) {
        if (x.coef[l] && dim_divide(t, x.coef[l], d, &part))
            quot.coef[l] = part;
        else
            rest.coef[l] = x.coef[l];
    }
    for (uint32_t i = 0; i < x.nterms; i++) {
        if (!dim_divide(t, x.term[i].mul, d, &part))
            return false;
        quot.term[quot.nterms++] = (IndexTerm){ part, x.term[i].v };
    }
    if (dim_divide(t, x.base, d, &part)) {
        quot.base = part;
    } else if (dim_is_const(t, x.base, &base) && dim_is_const(t, d, &by) && base >= 0) {
        quot.base = lo_size(lo, base / by);
        rest.base = lo_size(lo, base % by);
    } else {
        return false;
    }
    *q = index_intern(lo->b, &quot);
    *r = index_intern(lo->b, &rest);
    return index_range(lo->b, t, *r, &least, &most) && dim_nonneg(t, least) && dim_nonneg(t, dim_sub(t, dim_sub(t, d, lo_size(lo, 1)), most));
}

IndexId lo_index_op(Lower *lo, LoopOp op, IndexId x, Dim d)
{
    Val v = body_ins(lo->b, DIMS(lo), (Ins){ .op = (uint8_t)op, .type = VT_INDEX, .a = lo_index_value(lo, x), .dim = d });
    return index_val(lo->b, DIMS(lo), v);
}

IndexId lo_quotient(Lower *lo, IndexId x, Dim d)
{
    IndexId q, r;
    int64_t c;
    if (dim_is_const(DIMS(lo), d, &c) && c == 1)
        return x;
    return lo_split_index(lo, x, d, &q, &r) ? q : lo_index_op(lo, L_IDIV, x, d);
}

IndexId lo_remainder(Lower *lo, IndexId x, Dim d)
{
    IndexId q, r;
    int64_t c;
    if (dim_is_const(DIMS(lo), d, &c) && c == 1)
        return 0;
    return lo_split_index(lo, x, d, &q, &r) ? r : lo_index_op(lo, L_IMOD, x, d);
}

Val lo_as_number(Lower *lo, ValType t, IndexId x)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_NUMBER, .type = (uint8_t)t, .index = x });
}

IndexId lo_linear(Lower *lo, IndexId x, int64_t a, int64_t b)
{
    return index_offset(lo->b, DIMS(lo), index_scale(lo->b, DIMS(lo), x, lo_size(lo, a)), lo_size(lo, b));
}

bool lo_is_one(Lower *lo, Dim d)
{
    int64_t v;
    return dim_is_const(DIMS(lo), d, &v) && v == 1;
}

Val lo_either(Lower *lo, Val a, Val b)
{
    if (a == VAL_FALSE || b == VAL_FALSE)
        return a == VAL_FALSE ? b : a;
    return a && b ? lo_elem(lo, OP_or, VT_BOOL, a, b, 0) : 0;
}

Val lo_as_value(Lower *lo, Val mask)
{
    return mask && mask != VAL_FALSE ? mask : lo_number(lo, VT_BOOL, mask != VAL_FALSE);
}

IndexId lo_row_major(Lower *lo, const Dim *shape, const IndexId *at, int from, int to)
{
    IndexId off = 0;
    Dim     stride = lo_size(lo, 1);
    for (int i = to - 1; i >= from; i--) {
        off = index_add(lo->b, DIMS(lo), off, index_scale(lo->b, DIMS(lo), at[i], stride));
        stride = dim_mul(DIMS(lo), stride, shape[i]);
    }
    return off;
}
