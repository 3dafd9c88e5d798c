/* simplify_lift.c - rules between elementwise ops on one side and movement on the other.
 *
 * Movement is lifted outwards through elementwise ops, so that it meets its inverse further out or its result further down:
 *
 *     f(broadcast a, broadcast b) -> broadcast f(a, b)          work at the small size
 *     f(reshape a, reshape b)     -> reshape f(a, b)            then reshape (reshape x) -> x
 *     f(concat(a,b), concat(c,d)) -> concat(f(a,c), f(b,d))     then slice (concat ...) -> f(a,c)
 *
 * The last two are what makes an optimiser, written once over the flat vector of all parameters, one elementwise expression a parameter.
 */
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

static bool is_const(const Simp *s, Ref r) { double v; return is_const_value(s->g, r, &v); }

Ref respread(Simp *s, Ref a, int rank, const Dim *to)
{
    double v;
    if (is_const_value(s->g, a, &v))
        return s_fill(s, (Dtype)node(s->g, a)->dtype, v, rank, to);
    return s_broadcast(s, arg_of(s, a, 0), rank, to);
}

bool is_spread_scalar(const Simp *s, Ref a)
{
    return is_const(s, a) || (op_of(s, a) == OP_broadcast && node(s->g, arg_of(s, a, 0))->rank == 0);
}

Ref rule_lift_broadcast(Simp *s, Ref r)
{
    Type t = type_of(s, r);
    int  n = node(s->g, r)->nargs, nconst = 0;
    Dim  small[MAX_RANK];
    bool scalars = true;
    for (int i = 0; i < t.rank; i++)
        small[i] = one_of(s);
    for (int i = 0; i < n; i++) {
        Ref a = arg_of(s, r, i);
        nconst += is_const(s, a);
        if (is_spread_scalar(s, a))
            continue;
        if (op_of(s, a) != OP_broadcast)
            return 0;
        scalars = false;
        Type tx = type_of(s, arg_of(s, a, 0));
        for (int k = 0; k < t.rank; k++)
            if (tx.shape[k] != one_of(s))
                small[k] = t.shape[k];
    }
    int rank = scalars ? 0 : t.rank;
    if (t.rank == 0 || nconst == n || (!scalars && !memcmp(small, t.shape, sizeof(Dim) * (size_t)t.rank)))
        return 0;
    Ref args[3];
    for (int i = 0; i < n; i++)
        args[i] = respread(s, arg_of(s, r, i), rank, small);
    return s_broadcast(s, s_like(s, r, NULL, args), t.rank, t.shape);
}

/* Scalars stay scalars: a sum reshaped to rank 0 is computed with at rank 0. */
Ref rule_lift_moved(Simp *s, Ref r)
{
    Type t = type_of(s, r), from = { 0 };
    int  n = node(s->g, r)->nargs, perm[MAX_RANK] = { 0 };
    Ref  first = 0, args[3];
    for (int i = 0; i < n; i++) {
        Ref a = arg_of(s, r, i);
        Op  op = op_of(s, a);
        if (is_spread_scalar(s, a))
            continue;
        if (op != OP_reshape && op != OP_transpose)
            return 0;
        Type ta = type_of(s, arg_of(s, a, 0));
        if (!first) {
            first = a;
            from = ta;
        } else if (op != op_of(s, first) || !same_shape(&ta, &from)) {
            return 0;
        }
        for (int k = 0; k < t.rank && op == OP_transpose; k++) {
            if (first != a && perm[k] != (int)node_attrs(s->g, a)[k])
                return 0;
            perm[k] = (int)node_attrs(s->g, a)[k];
        }
    }
    if (!first || t.rank == 0)
        return 0;
    Op move = op_of(s, first);
    for (int i = 0; i < n; i++) {
        Ref a = arg_of(s, r, i);
        args[i] = is_spread_scalar(s, a) ? respread(s, a, from.rank, from.shape) : arg_of(s, a, 0);
    }
    Ref q = s_like(s, r, NULL, args);
    return move == OP_reshape ? s_reshape(s, q, t.rank, t.shape) : s_transpose(s, q, perm);
}

/* a is the same all along axis: a constant, or broadcast along it. */
static bool is_spread_along(const Simp *s, Ref a, int axis)
{
    if (is_spread_scalar(s, a))
        return true;
    return op_of(s, a) == OP_broadcast && node_shape(s->g, arg_of(s, a, 0))[axis] == one_of(s);
}

static bool equal_boundaries(const Simp *s, Ref a, Ref b)
{
    int n = node(s->g, a)->nargs, axis = (int)node_attrs(s->g, a)[0];
    if (node(s->g, b)->nargs != n || node_attrs(s->g, b)[0] != axis)
        return false;
    for (int i = 0; i < n; i++)
        if (node_shape(s->g, arg_of(s, a, i))[axis] != node_shape(s->g, arg_of(s, b, i))[axis])
            return false;
    return true;
}

Ref rule_lift_concat(Simp *s, Ref r)
{
    int n = node(s->g, r)->nargs, axis = -1;
    Ref concat = 0, args[3];
    for (int i = 0; i < n && !concat; i++)
        if (op_of(s, arg_of(s, r, i)) == OP_concat)
            concat = arg_of(s, r, i);
    if (!concat)
        return 0;
    axis = (int)node_attrs(s->g, concat)[0];
    for (int i = 0; i < n; i++) {
        Ref a = arg_of(s, r, i);
        if (op_of(s, a) == OP_concat ? !equal_boundaries(s, concat, a) : !is_spread_along(s, a, axis))
            return 0;
    }
    int  pieces = node(s->g, concat)->nargs;
    Ref *parts = xmalloc(sizeof(Ref) * (size_t)pieces);
    for (int k = 0; k < pieces; k++) {
        Type t = type_of(s, arg_of(s, concat, k));
        for (int i = 0; i < n; i++) {
            Ref a = arg_of(s, r, i);
            args[i] = op_of(s, a) == OP_concat ? arg_of(s, a, k) : respread(s, a, t.rank, t.shape);
        }
        parts[k] = s_like(s, r, NULL, args);
    }
    Ref q = s_concat(s, pieces, parts, axis);
    free(parts);
    return q;
}

/* Does the slice [start, start + size) along some axis meet a concat below a with pieces that fit? budget bounds the search. */
static bool meets_pieces(const Simp *s, Ref a, const Span *w, const Type *t, int *budget)
{
    if (--*budget < 0)
        return false;
    if (op_of(s, a) == OP_concat) {
        int axis = (int)node_attrs(s->g, a)[0], first, last;
        Dim offset;
        return w->step[axis] == 1 && concat_pieces(s, a, w->start[axis], t->shape[axis], &first, &last, &offset);
    }
    if (op_info[op_of(s, a)].class != CLASS_ELEM)
        return false;
    for (int i = 0; i < node(s->g, a)->nargs; i++)
        if (meets_pieces(s, arg_of(s, a, i), w, t, budget))
            return true;
    return false;
}

Ref rule_slice_elem(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0), args[3];
    Type t = type_of(s, r);
    Span w = span_of(s, r);
    int  budget = 200;
    if (op_info[op_of(s, a)].class != CLASS_ELEM || !meets_pieces(s, a, &w, &t, &budget))
        return 0;
    for (int i = 0; i < node(s->g, a)->nargs; i++)
        args[i] = s_slice(s, arg_of(s, a, i), &w, t.shape);
    return s_like(s, a, NULL, args);
}
