/* simplify_contract.c - movement next to contractions and windows becomes their attributes: transposes the flags of matmul, zero padding the pad attribute;
 * products that share a factor become one. */
#include <string.h>

#include "simplify.h"

/* Does r only swap its argument's last two axes? */
static bool swaps_last(const Simp *s, Ref r)
{
    int rank = node(s->g, r)->rank;
    if (op_of(s, r) != OP_transpose || rank < 2)
        return false;
    const int64_t *perm = node_attrs(s->g, r);
    for (int i = 0; i < rank - 2; i++)
        if (perm[i] != i)
            return false;
    return perm[rank - 2] == rank - 1;
}

static Ref matmul(Simp *s, Ref a, Ref b, bool ta, bool tb)
{
    return simp(s, make_node(s->g, OP_matmul, DT_NONE, 0, NULL, 2, (Ref[]){ a, b }, 2, (int64_t[]){ ta, tb }, 0));
}

Ref rule_matmul_transposed(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0), b = arg_of(s, r, 1);
    bool ta = node_attrs(s->g, r)[0], tb = node_attrs(s->g, r)[1];
    if (swaps_last(s, a))
        return matmul(s, arg_of(s, a, 0), b, !ta, tb);
    return swaps_last(s, b) ? matmul(s, a, arg_of(s, b, 0), ta, !tb) : 0;
}

/* (a b)^T = b^T a^T */
Ref rule_transpose_matmul(Simp *s, Ref r)
{
    Ref p = arg_of(s, r, 0);
    if (op_of(s, p) != OP_matmul || !swaps_last(s, r))
        return 0;
    bool ta = node_attrs(s->g, p)[0], tb = node_attrs(s->g, p)[1];
    return matmul(s, arg_of(s, p, 1), arg_of(s, p, 0), !tb, !ta);
}

/* a b + c b = (a + c) b, a b + a d = a (b + d): one product and a sum over a factor instead of two products. */
Ref rule_add_matmuls(Simp *s, Ref r)
{
    Ref p = arg_of(s, r, 0), q = arg_of(s, r, 1);
    if (op_of(s, p) != OP_matmul || op_of(s, q) != OP_matmul)
        return 0;
    for (int same = 0; same < 2; same++) {
        int64_t flag[2] = { node_attrs(s->g, p)[0], node_attrs(s->g, p)[1] }, other = node_attrs(s->g, q)[!same];
        if (arg_of(s, p, same) != arg_of(s, q, same) || flag[same] != node_attrs(s->g, q)[same])
            continue;
        Ref  x = arg_of(s, p, !same), y = arg_of(s, q, !same), factor[2];
        if (other != flag[!same]) {
            int rank = node(s->g, y)->rank, perm[MAX_RANK];
            for (int i = 0; i < rank; i++)
                perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
            y = s_transpose(s, y, perm);
        }
        Type tx = type_of(s, x), ty = type_of(s, y);
        if (!same_shape(&tx, &ty))             /* a factor for the whole batch beside one for each of it */
            continue;
        factor[same] = arg_of(s, p, same);
        factor[!same] = s_binary(s, OP_add, x, y);
        return matmul(s, factor[0], factor[1], flag[0], flag[1]);
    }
    return 0;
}

/* Where the pad attribute (top, bottom, left, right) starts, and the extent of the kernel along axis 2 + i. */
static int  pad_at(Op op) { return op == OP_win_sum || op == OP_win_sum_adjoint ? 4 : 2; }

static bool kernel_extent(const Simp *s, Ref r, int i, int64_t *extent)
{
    const int64_t *attrs = node_attrs(s->g, r);
    if (pad_at(op_of(s, r)) == 4) {
        *extent = attrs[i];
        return true;
    }
    Ref     w = op_of(s, r) == OP_conv_dw ? r : arg_of(s, r, 1);
    int64_t size;
    if (!dim_is_const(s->g->dims, node_shape(s->g, w)[2 + i], &size))
        return false;
    *extent = (size - 1) * attrs[6 + i] + 1;
    return true;
}

/* A picture `inner` stands in `outer` (both n,c,h,w) at w.start: adds the margins to r's pad attribute. Fails unless n and c are whole, the margins are
 * constants, and each stays below the kernel's extent, so that every window still touches the picture. */
static bool widen_pad(const Simp *s, Ref r, const Type *inner, const Type *outer, const Span *w, int64_t *attrs)
{
    memcpy(attrs, node_attrs(s->g, r), sizeof *attrs * node(s->g, r)->nattrs);
    int64_t *pad = attrs + pad_at(op_of(s, r));
    for (int i = 0; i < 4; i++) {
        int64_t lo, hi, extent;
        Dim     rest = dim_sub(s->g->dims, dim_sub(s->g->dims, outer->shape[i], inner->shape[i]), w->start[i]);
        if (w->step[i] != 1 || !dim_is_const(s->g->dims, w->start[i], &lo) || !dim_is_const(s->g->dims, rest, &hi) || lo < 0 || hi < 0)
            return false;
        if (i < 2 && (lo || hi))
            return false;
        if (i < 2)
            continue;
        int64_t *p = pad + 2 * (i - 2);
        p[0] += lo;
        p[1] += hi;
        if (!kernel_extent(s, r, i - 2, &extent) || p[0] >= extent || p[1] >= extent)
            return false;
    }
    return true;
}

enum { MAX_WINDOW_ATTRS = 16 };

Ref rule_pad_into(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) != OP_place || node(s->g, a)->rank != 4)
        return 0;
    Ref     x = arg_of(s, a, 0), args[2] = { x };
    Type    t = type_of(s, r), inner = type_of(s, x), outer = type_of(s, a);
    Span    w = span_of(s, a);
    int64_t attrs[MAX_WINDOW_ATTRS];
    if (!widen_pad(s, r, &inner, &outer, &w, attrs))
        return 0;
    int  n = node(s->g, r)->nargs, nattrs = node(s->g, r)->nattrs;
    Op   op = op_of(s, r);
    bool given = op_info[op].flags & FLAG_SHAPE_GIVEN;
    if (n == 2)
        args[1] = arg_of(s, r, 1);
    return simp(s, make_node(s->g, op, t.dtype, given ? t.rank : 0, given ? t.shape : NULL, n, args, nattrs, attrs, 0));
}

Ref rule_crop_into(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    Op  op = op_of(s, a);
    if (op != OP_conv_dx && op != OP_win_sum_adjoint)
        return 0;
    Type    inner = type_of(s, r), outer = type_of(s, a);
    Span    w = span_of(s, r);
    int64_t attrs[MAX_WINDOW_ATTRS];
    if (!widen_pad(s, a, &inner, &outer, &w, attrs))
        return 0;
    int n = node(s->g, a)->nargs, nattrs = node(s->g, a)->nattrs;
    Ref args[2] = { arg_of(s, a, 0), n == 2 ? arg_of(s, a, 1) : 0 };
    return simp(s, make_node(s->g, op, inner.dtype, inner.rank, inner.shape, n, args, nattrs, attrs, 0));
}
