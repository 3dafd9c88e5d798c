/* loops_move.c - movement as arithmetic on coordinates: where the element at these coordinates of the result stands in the argument. */
#include "loops_lower.h"

#include <string.h>

Val lower_broadcast(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref         a = node_arg(lo->g, r, 0);
    const Node *n = node(lo->g, a);
    IndexId     in[MAX_RANK] = { 0 };
    for (int i = 0; i < n->rank; i++)
        in[i] = lo_is_one(lo, node_shape(lo->g, a)[i]) ? 0 : at[i];
    return lower_value(lo, a, in, mask);
}

Val lower_transpose(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    IndexId in[MAX_RANK] = { 0 };
    for (int i = 0; i < node(lo->g, r)->rank; i++)
        in[node_attrs(lo->g, r)[i]] = at[i];
    return lower_value(lo, node_arg(lo->g, r, 0), in, mask);
}

Val lower_slice(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    int     rank = node(lo->g, r)->rank;
    IndexId in[MAX_RANK] = { 0 };
    for (int i = 0; i < rank; i++)
        in[i] = index_offset(lo->b, DIMS(lo), index_scale(lo->b, DIMS(lo), at[i], lo_size(lo, node_attrs(lo->g, r)[rank + i])), (Dim)node_attrs(lo->g, r)[i]);
    return lower_value(lo, node_arg(lo->g, r, 0), in, mask);
}

/* out at o is in at (o - start) / step where that is whole and inside, else 0 */
Val lower_place(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    int       rank = node(lo->g, r)->rank;
    Ref       a = node_arg(lo->g, r, 0);
    DimTable *t = DIMS(lo);
    IndexId   in[MAX_RANK] = { 0 };
    Val       here = 0;
    for (int i = 0; i < rank; i++) {
        int64_t step = node_attrs(lo->g, r)[rank + i], m = step < 0 ? -step : step;
        Dim     n = node_shape(lo->g, a)[i], start = (Dim)node_attrs(lo->g, r)[i];
        IndexId away = index_offset(lo->b, t, at[i], dim_sub(t, 0, start));
        if (step < 0)
            away = index_scale(lo->b, t, away, lo_size(lo, -1));
        if (m == 1) {
            here = lo_both(lo, here, lo_inside(lo, away, n));
            in[i] = away;
            continue;
        }
        here = lo_both(lo, here, lo_inside(lo, away, dim_sub(t, dim_scale(t, n, m), lo_size(lo, m - 1))));
        IndexId rest = here == VAL_FALSE ? 0 : lo_remainder(lo, away, lo_size(lo, m));
        here = lo_both(lo, here, lo_inside(lo, rest, lo_size(lo, 1)));
        if (here != VAL_FALSE)
            in[i] = lo_quotient(lo, away, lo_size(lo, m));
    }
    Val zero = lo_number(lo, lo_type((Dtype)node(lo->g, r)->dtype), 0), where = lo_both(lo, mask, here);
    if (where == VAL_FALSE)
        return zero;
    return lo_pick(lo, here, lower_value(lo, a, in, where), zero);
}

Val lower_concat(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    int64_t   axis = node_attrs(lo->g, r)[0];
    DimTable *t = DIMS(lo);
    Dim       before = 0;
    Val       result = 0;
    IndexId   in[MAX_RANK];
    memcpy(in, at, sizeof in);
    for (int i = 0; i < node(lo->g, r)->nargs; i++) {
        Ref a = node_arg(lo->g, r, i);
        Dim n = node_shape(lo->g, a)[axis];
        in[axis] = index_offset(lo->b, t, at[axis], dim_sub(t, 0, before));
        Val here = lo_inside(lo, in[axis], n), where = lo_both(lo, mask, here);
        before = dim_add(t, before, n);
        if (where == VAL_FALSE)
            continue;
        Val v = lower_value(lo, a, in, where);
        result = result ? lo_pick(lo, here, v, result) : v;
    }
    return result ? result : lo_number(lo, lo_type((Dtype)node(lo->g, r)->dtype), 0);
}

Val lower_pad(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    int     rank = node(lo->g, r)->rank;
    Ref     a = node_arg(lo->g, r, 0);
    LoopOp  op = node_attrs(lo->g, r)[rank] == MODE_REFLECT ? L_IREFLECT : L_ICLAMP;
    IndexId in[MAX_RANK] = { 0 };
    for (int i = 0; i < rank; i++) {
        Dim n = node_shape(lo->g, a)[i];
        in[i] = at[i];
        if (n == node_shape(lo->g, r)[i])
            continue;
        in[i] = index_offset(lo->b, DIMS(lo), at[i], lo_size(lo, -node_attrs(lo->g, r)[i]));
        in[i] = lo_index_op(lo, op, in[i], n);
    }
    return lower_value(lo, a, in, mask);
}

/* ---- reshape: axes are matched in groups of equal products; a group of one input axis needs no division ---- */

static void delinearise(Lower *lo, IndexId x, const Dim *shape, int from, int to, IndexId *in)
{
    int first = from;
    while (first < to - 1 && lo_is_one(lo, shape[first]))
        in[first++] = 0;
    for (int i = to - 1; i > first; i--) {
        if (lo_is_one(lo, shape[i])) {
            in[i] = 0;
            continue;
        }
        in[i] = lo_remainder(lo, x, shape[i]);
        x = lo_quotient(lo, x, shape[i]);
    }
    in[first] = x;
}

/* Grows a group [i0,i1) of input axes and [o0,o1) of output axes until their products agree. */
static void match_group(Lower *lo, int ni, const Dim *in, int no, const Dim *out, int i0, int o0, int *i1, int *o1)
{
    DimTable *t = DIMS(lo);
    Dim       pi = lo_size(lo, 1), po = pi, q;
    *i1 = i0;
    *o1 = o0;
    do {
        bool take_in = *o1 == no || (*i1 < ni && (pi == po ? true : dim_divide(t, po, pi, &q)));
        if (take_in && *i1 < ni)
            pi = dim_mul(t, pi, in[(*i1)++]);
        else if (*o1 < no)
            po = dim_mul(t, po, out[(*o1)++]);
        else
            break;
        if (pi != po && !dim_divide(t, po, pi, &q) && !dim_divide(t, pi, po, &q)) {   /* nothing to be seen: one group to the end */
            *i1 = ni;
            *o1 = no;
            return;
        }
    } while (pi != po || *i1 == i0 || *o1 == o0);
}

Val lower_reshape(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref         a = node_arg(lo->g, r, 0);
    Dim         in_shape[MAX_RANK], out_shape[MAX_RANK];
    int         ni = 0, no = 0, map[MAX_RANK];
    IndexId     out[MAX_RANK], in[MAX_RANK], full[MAX_RANK] = { 0 };
    const Node *na = node(lo->g, a), *nr = node(lo->g, r);
    for (int i = 0; i < nr->rank; i++)
        if (!lo_is_one(lo, node_shape(lo->g, r)[i])) {
            out_shape[no] = node_shape(lo->g, r)[i];
            out[no++] = at[i];
        }
    for (int i = 0; i < na->rank; i++)
        if (!lo_is_one(lo, node_shape(lo->g, a)[i])) {
            in_shape[ni] = node_shape(lo->g, a)[i];
            map[ni++] = i;
        }
    bool divides = false;
    for (int i0 = 0, o0 = 0, i1, o1; i0 < ni || o0 < no; i0 = i1, o0 = o1) {
        match_group(lo, ni, in_shape, no, out_shape, i0, o0, &i1, &o1);
        divides |= i1 - i0 > 1;
    }
    Stored s;
    if (divides && lo->stored(lo->ctx, a, true, &s))
        return lo_load(lo, lo_type((Dtype)nr->dtype), s.buf, lo_row_major(lo, out_shape, out, 0, no), mask);
    for (int i0 = 0, o0 = 0, i1, o1; i0 < ni || o0 < no; i0 = i1, o0 = o1) {
        match_group(lo, ni, in_shape, no, out_shape, i0, o0, &i1, &o1);
        IndexId x = lo_row_major(lo, out_shape, out, o0, o1);
        if (i1 > i0)
            delinearise(lo, x, in_shape, i0, i1, in);
    }
    for (int i = 0; i < ni; i++)
        full[map[i]] = in[i];
    return lower_value(lo, a, full, mask);
}

/* ---- by index ---- */

IndexId lo_row_of(Lower *lo, Ref r, Val v, Dim rows, Val mask)
{
    Val row = body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ROW, .type = VT_INDEX, .a = v, .dim = rows, .imm = lo->flag(lo->ctx, r), .mask = mask });
    return index_val(lo->b, DIMS(lo), row);
}

Val lower_gather(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref     a = node_arg(lo->g, r, 0), index = node_arg(lo->g, r, 1);
    int     lead = node(lo->g, index)->rank, rank = node(lo->g, a)->rank;
    IndexId in[MAX_RANK] = { 0 };
    in[0] = lo_row_of(lo, r, lower_value(lo, index, at, mask), node_shape(lo->g, a)[0], mask);
    for (int i = 1; i < rank; i++)
        in[i] = at[lead + i - 1];
    return lower_value(lo, a, in, mask);
}
