/* simplify_move.c - rules on ops that only move numbers: reshape, transpose, broadcast, slice, place, concat. */
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

/* Do the two shapes differ only in axes of size 1? If so, axis i of `to` comes from axis from_axis[i] of `from`, or is new (-1). */
static bool unit_reshape(const Simp *s, const Type *from, const Type *to, int *from_axis)
{
    Dim one = one_of(s);
    int j = 0;
    for (int i = 0; i < to->rank; i++) {
        from_axis[i] = -1;
        if (to->shape[i] == one)
            continue;
        while (j < from->rank && from->shape[j] == one)
            j++;
        if (j == from->rank || from->shape[j] != to->shape[i])
            return false;
        from_axis[i] = j++;
    }
    while (j < from->rank && from->shape[j] == one)
        j++;
    return j == from->rank;
}

Ref rule_reshape(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0);
    Type   t = type_of(s, r), ta = type_of(s, a);
    double v;
    if (same_shape(&t, &ta))
        return a;
    if (op_of(s, a) == OP_reshape)
        return s_reshape(s, arg_of(s, a, 0), t.rank, t.shape);
    if (is_const_value(s->g, a, &v))
        return s_fill(s, t.dtype, v, t.rank, t.shape);
    if (op_of(s, a) != OP_broadcast)
        return 0;
    Ref  x = arg_of(s, a, 0);
    Type tx = type_of(s, x);
    int  axis[MAX_RANK];
    if (tx.rank == 0)
        return s_broadcast(s, x, t.rank, t.shape);
    if (!unit_reshape(s, &ta, &t, axis))
        return 0;
    Dim small[MAX_RANK];
    for (int i = 0; i < t.rank; i++)
        small[i] = axis[i] < 0 ? one_of(s) : tx.shape[axis[i]];
    return s_broadcast(s, s_reshape(s, x, t.rank, small), t.rank, t.shape);
}

Ref rule_transpose(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0);
    Type   t = type_of(s, r);
    int    perm[MAX_RANK], last = -1;
    bool   identity = true, only_units = true;
    double v;
    for (int i = 0; i < t.rank; i++) {
        perm[i] = (int)node_attrs(s->g, r)[i];
        identity &= perm[i] == i;
        if (t.shape[i] != one_of(s)) {
            only_units &= perm[i] > last;
            last = perm[i];
        }
    }
    if (identity)
        return a;
    if (is_const_value(s->g, a, &v))
        return s_fill(s, t.dtype, v, t.rank, t.shape);
    if (only_units)
        return s_reshape(s, a, t.rank, t.shape);
    Ref x = node(s->g, a)->nargs ? arg_of(s, a, 0) : 0;
    if (op_of(s, a) == OP_transpose) {
        for (int i = 0; i < t.rank; i++)
            perm[i] = (int)node_attrs(s->g, a)[perm[i]];
        return s_transpose(s, x, perm);
    }
    if (op_of(s, a) == OP_broadcast)
        return s_broadcast(s, type_of(s, x).rank ? s_transpose(s, x, perm) : x, t.rank, t.shape);
    return 0;
}

Ref rule_broadcast(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0);
    Type t = type_of(s, r), ta = type_of(s, a);
    if (same_shape(&t, &ta))
        return a;
    if (op_of(s, a) == OP_broadcast)
        return s_broadcast(s, arg_of(s, a, 0), t.rank, t.shape);
    if (op_of(s, a) != OP_reshape)
        return 0;
    Ref  x = arg_of(s, a, 0);
    Type tx = type_of(s, x);
    for (int i = 0; i < tx.rank; i++)
        if (tx.shape[i] != one_of(s))
            return 0;
    return tx.rank == 0 || tx.rank == t.rank ? s_broadcast(s, x, t.rank, t.shape) : 0;
}

static bool takes_all(const Span *w, const Type *from, const Type *to)
{
    for (int i = 0; i < to->rank; i++)
        if (w->start[i] || w->step[i] != 1)
            return false;
    return same_shape(from, to);
}

Ref rule_slice_all(Simp *s, Ref r)
{
    Ref    a = arg_of(s, r, 0);
    Type   t = type_of(s, r), ta = type_of(s, a);
    Span   w = span_of(s, r);
    double v;
    if (takes_all(&w, &ta, &t))
        return a;
    return is_const_value(s->g, a, &v) ? s_fill(s, t.dtype, v, t.rank, t.shape) : 0;
}

/* Element i stands at outer.start + i * outer.step of what itself stands at inner.start + j * inner.step. */
static Span compose(const Simp *s, int rank, const Span *inner, const Span *outer)
{
    DimTable *t = s->g->dims;
    Span      w = { 0 };
    for (int i = 0; i < rank; i++) {
        w.start[i] = dim_add(t, inner->start[i], dim_scale(t, outer->start[i], inner->step[i]));
        w.step[i] = inner->step[i] * outer->step[i];
    }
    return w;
}

static bool steps_fit(int rank, const Span *a, const Span *b)
{
    for (int i = 0; i < rank; i++)
        if (llabs((long long)a->step[i] * b->step[i]) > (1 << 20))
            return false;
    return true;
}

Ref rule_slice_slice(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0);
    Type t = type_of(s, r);
    if (op_of(s, a) != OP_slice)
        return 0;
    Span outer = span_of(s, r), inner = span_of(s, a);
    if (!steps_fit(t.rank, &outer, &inner))
        return 0;
    Span w = compose(s, t.rank, &inner, &outer);
    return s_slice(s, arg_of(s, a, 0), &w, t.shape);
}

Ref rule_slice_broadcast(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) != OP_broadcast)
        return 0;
    Ref  x = arg_of(s, a, 0);
    Type t = type_of(s, r), ta = type_of(s, a), tx = type_of(s, x);
    if (tx.rank == 0)
        return s_broadcast(s, x, t.rank, t.shape);
    Span w = span_of(s, r);
    Dim  small[MAX_RANK];
    for (int i = 0; i < t.rank; i++) {
        bool spread = tx.shape[i] != ta.shape[i];    /* size 1 here, and any element is that one */
        small[i] = spread ? tx.shape[i] : t.shape[i];
        if (spread) {
            w.start[i] = 0;
            w.step[i] = 1;
        }
    }
    return s_broadcast(s, s_slice(s, x, &w, small), t.rank, t.shape);
}

Ref rule_slice_concat(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) != OP_concat)
        return 0;
    Type t = type_of(s, r);
    Span w = span_of(s, r);
    int  axis = (int)node_attrs(s->g, a)[0], first, last;
    Dim  offset, shape[MAX_RANK];
    if (w.step[axis] != 1 || !concat_pieces(s, a, w.start[axis], t.shape[axis], &first, &last, &offset))
        return 0;
    w.start[axis] = offset;
    memcpy(shape, t.shape, sizeof shape);
    if (first == last)
        return s_slice(s, arg_of(s, a, first), &w, shape);
    int  n = last - first + 1;
    Ref *parts = xmalloc(sizeof(Ref) * (size_t)n);
    for (int i = 0; i < n; i++) {
        Ref p = arg_of(s, a, first + i);
        shape[axis] = node_shape(s->g, p)[axis];
        parts[i] = s_slice(s, p, &w, shape);
    }
    Ref q = s_concat(s, n, parts, axis);
    free(parts);
    return q;
}

/* Axis by axis the slice lies within what was placed (then in[axis] is its slice), or on some axis wholly beside it (then all is zero). */
Ref rule_slice_place(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) != OP_place)
        return 0;
    DimTable *d = s->g->dims;
    Ref       x = arg_of(s, a, 0);
    Type      t = type_of(s, r), ta = type_of(s, a), tx = type_of(s, x);
    Span      cut = span_of(s, r), at = span_of(s, a), w = { 0 };
    bool      within = true;
    for (int i = 0; i < t.rank; i++) {
        w.step[i] = 1;
        if (cut.step[i] == at.step[i] && cut.start[i] == at.start[i] && t.shape[i] == tx.shape[i])
            continue;
        if (at.start[i] == 0 && at.step[i] == 1 && tx.shape[i] == ta.shape[i]) {
            w.start[i] = cut.start[i];
            w.step[i] = cut.step[i];
            continue;
        }
        if (at.step[i] != 1 || cut.step[i] < 1) {
            within = false;
            continue;
        }
        Dim end = dim_add(d, at.start[i], tx.shape[i]);
        Dim cut_end = dim_add(d, dim_add(d, cut.start[i], dim_scale(d, dim_sub(d, t.shape[i], one_of(s)), cut.step[i])), one_of(s));
        if (dim_le(s, cut_end, at.start[i]) || dim_le(s, end, cut.start[i]))
            return s_fill(s, t.dtype, 0, t.rank, t.shape);
        within &= dim_le(s, at.start[i], cut.start[i]) && dim_le(s, cut_end, end);
        w.start[i] = within ? dim_sub(d, cut.start[i], at.start[i]) : 0;
        w.step[i] = cut.step[i];
    }
    return within ? s_slice(s, x, &w, t.shape) : 0;
}

Ref rule_place(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0);
    Type t = type_of(s, r), ta = type_of(s, a);
    Span outer = span_of(s, r);
    if (takes_all(&outer, &ta, &t))
        return a;
    if (is_value(s, a, 0))
        return s_fill_like(s, r, 0);
    if (op_of(s, a) != OP_place)
        return 0;
    Span inner = span_of(s, a);
    if (!steps_fit(t.rank, &outer, &inner))
        return 0;
    Span w = compose(s, t.rank, &outer, &inner);
    return s_place(s, arg_of(s, a, 0), &w, t.shape);
}

/* p then q along axis, when they are neighbouring slices of one value or hold one constant; 0 when they are neither. */
static Ref join(Simp *s, Ref p, Ref q, int axis)
{
    Type   tp = type_of(s, p), tq = type_of(s, q);
    Dim    size = dim_add(s->g->dims, tp.shape[axis], tq.shape[axis]);
    double vp, vq;
    if (is_const_value(s->g, p, &vp) && is_const_value(s->g, q, &vq) && vp == vq) {
        tp.shape[axis] = size;
        return s_fill(s, tp.dtype, vp, tp.rank, tp.shape);
    }
    if (op_of(s, p) != OP_slice || op_of(s, q) != OP_slice || arg_of(s, p, 0) != arg_of(s, q, 0))
        return 0;
    Span wp = span_of(s, p), wq = span_of(s, q);
    for (int i = 0; i < tp.rank; i++) {
        Dim next = i == axis ? dim_add(s->g->dims, wp.start[i], dim_scale(s->g->dims, tp.shape[i], wp.step[i])) : wp.start[i];
        if (wp.step[i] != wq.step[i] || next != wq.start[i])
            return 0;
    }
    tp.shape[axis] = size;
    return s_slice(s, arg_of(s, p, 0), &wp, tp.shape);
}

Ref rule_concat(Simp *s, Ref r)
{
    int  n = node(s->g, r)->nargs, axis = (int)node_attrs(s->g, r)[0];
    Ref  few[64];
    int  total = 0;
    bool changed = n == 1;
    for (int i = 0; i < n; i++) {
        Ref p = arg_of(s, r, i);
        total += op_of(s, p) == OP_concat && node_attrs(s->g, p)[0] == axis ? node(s->g, p)->nargs : 1;
    }
    bool flatten = total <= MAX_ARGS;
    Ref *parts = total <= (int)COUNT(few) ? few : xmalloc(sizeof(Ref) * (size_t)total);
    int  m = 0;
    for (int i = 0; i < n; i++) {
        Ref  p = arg_of(s, r, i);
        bool nested = flatten && op_of(s, p) == OP_concat && node_attrs(s->g, p)[0] == axis;
        int  inner = nested ? node(s->g, p)->nargs : 1;
        changed |= nested;
        for (int j = 0; j < inner; j++) {
            Ref q = nested ? arg_of(s, p, j) : p;
            if (node_shape(s->g, q)[axis] == 0 && (m > 0 || i + 1 < n)) {
                changed = true;
                continue;
            }
            Ref both = m ? join(s, parts[m - 1], q, axis) : 0;
            changed |= both != 0;
            if (both)
                parts[m - 1] = both;
            else
                parts[m++] = q;
        }
    }
    if (m == 0)
        parts[m++] = arg_of(s, r, 0);
    Ref q = changed ? s_concat(s, m, parts, axis) : 0;
    if (parts != few)
        free(parts);
    return q;
}

Ref rule_add_places(Simp *s, Ref r)
{
    Ref p = arg_of(s, r, 0), q = arg_of(s, r, 1);
    if (op_of(s, p) != OP_place || op_of(s, q) != OP_place)
        return 0;
    Span wp = span_of(s, p), wq = span_of(s, q);
    Ref  xp = arg_of(s, p, 0), xq = arg_of(s, q, 0);
    Type t = type_of(s, r), tp = type_of(s, xp), tq = type_of(s, xq);
    int  axis = -1;
    for (int i = 0; i < t.rank; i++) {
        if (wp.step[i] != 1 || wq.step[i] != 1)
            return 0;
        if (wp.start[i] == wq.start[i] && tp.shape[i] == tq.shape[i])
            continue;
        if (axis >= 0)
            return 0;
        axis = i;
    }
    if (axis < 0)
        return 0;
    if (dim_add(s->g->dims, wp.start[axis], tp.shape[axis]) == wq.start[axis])
        return s_place(s, s_concat(s, 2, (Ref[]){ xp, xq }, axis), &wp, t.shape);
    if (dim_add(s->g->dims, wq.start[axis], tq.shape[axis]) == wp.start[axis])
        return s_place(s, s_concat(s, 2, (Ref[]){ xq, xp }, axis), &wq, t.shape);
    return 0;
}

/* resize and pad with their adjoints: the same shape means that nothing moves (pad: lo is all zeros then). */
Ref rule_same_size(Simp *s, Ref r)
{
    Type t = type_of(s, r), ta = type_of(s, arg_of(s, r, 0));
    return same_shape(&t, &ta) ? arg_of(s, r, 0) : 0;
}
