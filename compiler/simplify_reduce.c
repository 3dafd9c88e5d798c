/* simplify_reduce.c - rules on sums and largest elements: fewer and smaller reductions. */
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

static bool is_const(const Simp *s, Ref r) { double v; return is_const_value(s->g, r, &v); }

static bool any(const bool *axes, int rank)
{
    for (int i = 0; i < rank; i++)
        if (axes[i])
            return true;
    return false;
}

/* Drops axes of size 1; returns whether there were any. */
static bool drop_units(const Simp *s, const Type *t, bool *axes)
{
    bool dropped = false;
    for (int i = 0; i < t->rank; i++)
        if (axes[i] && t->shape[i] == one_of(s)) {
            axes[i] = false;
            dropped = true;
        }
    return dropped;
}

Ref rule_sum_axes(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0), x = node(s->g, a)->nargs ? arg_of(s, a, 0) : 0;
    Type t = type_of(s, r), ta = type_of(s, a);
    bool axes[MAX_RANK], more[MAX_RANK];
    read_axes(s, r, axes);
    if (drop_units(s, &ta, axes))
        return s_reduce(s, OP_sum, a, axes);
    switch (op_of(s, a)) {
    case OP_sum:
        read_axes(s, a, more);
        for (int i = 0; i < ta.rank; i++)
            more[i] |= axes[i];
        return s_reduce(s, OP_sum, x, more);
    case OP_neg:
        return s_unary(s, OP_neg, s_reduce(s, OP_sum, x, axes));
    case OP_transpose: {
        int perm[MAX_RANK];
        memset(more, 0, sizeof more);
        for (int i = 0; i < ta.rank; i++) {
            perm[i] = (int)node_attrs(s->g, a)[i];
            more[perm[i]] = axes[i];
        }
        return s_transpose(s, s_reduce(s, OP_sum, x, more), perm);
    }
    case OP_reshape:
        for (int i = 0; i < t.rank; i++)
            if (t.shape[i] != one_of(s))
                return 0;                        /* not everything is summed */
        for (int i = 0; i < MAX_RANK; i++)
            more[i] = true;
        return s_reshape(s, s_reduce(s, OP_sum, x, more), t.rank, t.shape);
    default:
        return 0;
    }
}

/* Axes along which a broadcast spreads its argument. */
static void spread_axes(const Simp *s, Ref a, bool *spread)
{
    Type t = type_of(s, a), tx = type_of(s, arg_of(s, a, 0));
    for (int i = 0; i < t.rank; i++)
        spread[i] = tx.rank == 0 || tx.shape[i] != t.shape[i];
}

/* sum(broadcast x) = broadcast(sum(x over the rest) * how often) */
Ref rule_sum_broadcast(Simp *s, Ref r)
{
    Ref a = arg_of(s, r, 0);
    if (op_of(s, a) != OP_broadcast)
        return 0;
    Ref  x = arg_of(s, a, 0);
    Type t = type_of(s, r), ta = type_of(s, a);
    bool axes[MAX_RANK], spread[MAX_RANK], met = false;
    Dim  count = one_of(s);
    read_axes(s, r, axes);
    spread_axes(s, a, spread);
    for (int i = 0; i < ta.rank; i++)
        if (axes[i] && spread[i]) {
            count = dim_mul(s->g->dims, count, ta.shape[i]);
            axes[i] = false;
            met = true;
        }
    if (!met)
        return 0;
    Type tx = type_of(s, x);
    Ref  few = tx.rank ? s_reduce(s, OP_sum, x, axes) : x;
    Type tf = type_of(s, few);
    Ref  times = s_broadcast(s, s_size(s, count, t.dtype), tf.rank, tf.shape);
    return s_broadcast(s, s_binary(s, OP_mul, few, times), t.rank, t.shape);
}

/* ---- sums of products ----
 * Batch norm's backward pass is why: its reductions are sum(dy), sum(xhat * dy), sum(d * (gamma * dy)) and the sum of the whole gradient, each over the
 * full picture. With the factors that do not vary along the summed axes taken out, in products and in sums of products, sum(dy) and sum(d * dy) remain. */

/* Is a the same along every summed axis? */
static bool same_along(const Simp *s, Ref a, const bool *axes)
{
    if (is_spread_scalar(s, a))
        return true;
    if (op_of(s, a) != OP_broadcast)
        return false;
    bool spread[MAX_RANK];
    spread_axes(s, a, spread);
    for (int i = 0; i < node(s->g, a)->rank; i++)
        if (axes[i] && !spread[i])
            return false;
    return true;
}

enum { MAX_FACTORS = 8, MAX_PRODUCT_DEPTH = 12 };
typedef struct { Ref rest[MAX_FACTORS], factor[MAX_FACTORS], divisor[MAX_FACTORS]; int nrest, nfactor, ndivisor; } Product;

/* The factors of a, those that vary along the axes apart from those that do not. False: too many, or too deep. (A sign never stands inside a product.) */
static bool take_apart(const Simp *s, Ref a, const bool *axes, Product *p, int depth)
{
    Op op = op_of(s, a);
    if (same_along(s, a, axes)) {
        if (p->nfactor == MAX_FACTORS)
            return false;
        p->factor[p->nfactor++] = a;
        return true;
    }
    if (depth == 0)
        return false;
    if (op == OP_mul)
        return take_apart(s, arg_of(s, a, 0), axes, p, depth - 1) && take_apart(s, arg_of(s, a, 1), axes, p, depth - 1);
    if (op == OP_div && same_along(s, arg_of(s, a, 1), axes)) {
        if (p->ndivisor == MAX_FACTORS)
            return false;
        p->divisor[p->ndivisor++] = arg_of(s, a, 1);
        return take_apart(s, arg_of(s, a, 0), axes, p, depth - 1);
    }
    if (p->nrest == MAX_FACTORS)
        return false;
    int i = p->nrest++;
    for (; i > 0 && p->rest[i - 1] > a; i--)     /* in one order, so that equal products are one node */
        p->rest[i] = p->rest[i - 1];
    p->rest[i] = a;
    return true;
}

/* A factor as it is when the summed axes have size 1. */
static Ref after_sum(Simp *s, Ref f, const Type *t)
{
    return is_spread_scalar(s, f) ? respread(s, f, t->rank, t->shape) : s_broadcast(s, arg_of(s, f, 0), t->rank, t->shape);
}

Ref rule_sum_factor(Simp *s, Ref r)
{
    Ref     a = arg_of(s, r, 0);
    Op      op = op_of(s, a);
    Product p = { 0 };
    bool    axes[MAX_RANK];
    Type    t = type_of(s, r);
    read_axes(s, r, axes);
    if ((op != OP_mul && op != OP_div) || !is_float_dtype(t.dtype) || !take_apart(s, a, axes, &p, MAX_PRODUCT_DEPTH))
        return 0;
    if (!p.nrest || (!p.nfactor && !p.ndivisor))
        return 0;
    Ref q = p.rest[0];
    for (int i = 1; i < p.nrest; i++)
        q = s_binary(s, OP_mul, q, p.rest[i]);
    q = s_reduce(s, OP_sum, q, axes);
    for (int i = 0; i < p.nfactor; i++)
        q = s_binary(s, OP_mul, q, after_sum(s, p.factor[i], &t));
    for (int i = 0; i < p.ndivisor; i++)
        q = s_binary(s, OP_div, q, after_sum(s, p.divisor[i], &t));
    return q;
}

/* Would the sum of a shed a factor, in every term? *vector: some factor is more than a constant. */
static bool sheds(const Simp *s, Ref a, const bool *axes, bool *vector, int depth)
{
    Op op = op_of(s, a);
    if (same_along(s, a, axes)) {
        *vector |= !is_const(s, a);
        return true;
    }
    if (depth == 0 || node(s->g, a)->nargs == 0)
        return false;
    bool first = (op == OP_mul || op == OP_div || op == OP_neg || op == OP_add || op == OP_sub) && sheds(s, arg_of(s, a, 0), axes, vector, depth - 1);
    if (op == OP_neg)
        return first;
    if (op == OP_div) {
        bool shed = same_along(s, arg_of(s, a, 1), axes);
        *vector |= shed && !is_const(s, arg_of(s, a, 1));
        return first || shed;
    }
    if (op != OP_mul && op != OP_add && op != OP_sub)
        return false;
    bool second = sheds(s, arg_of(s, a, 1), axes, vector, depth - 1);
    return op == OP_mul ? first || second : first && second;
}

/* Is m, broadcast, the sum of x over these axes times or over something: its mean? */
static bool is_mean_of(const Simp *s, Ref m, Ref x, const bool *axes)
{
    Ref q = op_of(s, m) == OP_broadcast ? arg_of(s, m, 0) : m;
    if (op_of(s, q) != OP_mul && op_of(s, q) != OP_div)
        return false;
    for (int i = 0; i < 2; i++) {
        Ref  sum = arg_of(s, q, i);
        bool over[MAX_RANK];
        if (op_of(s, sum) != OP_sum || arg_of(s, sum, 0) != x)
            continue;
        read_axes(s, sum, over);
        return !memcmp(over, axes, sizeof over);
    }
    return false;
}

/* How many sums that were not there before node `old` was made does r rest on? */
static int new_sums(const Simp *s, Ref r, Ref old)
{
    Op op = op_of(s, r);
    if (r < old)
        return 0;
    if (op == OP_sum)
        return 1;
    int n = 0;
    if (op == OP_mul || op == OP_div || op == OP_add || op == OP_sub || op == OP_neg || op == OP_broadcast)
        for (int i = 0; i < node(s->g, r)->nargs; i++)
            n += new_sums(s, arg_of(s, r, i), old);
    return n;
}

/* Split only where every term sheds a factor or the terms are x and its own mean (x - c for another c is how a careful user sums), and only if that costs
 * no further pass: at most one of the sums is new. */
Ref rule_sum_split(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0), old = s->g->nodes.n;
    Op   op = op_of(s, a);
    bool axes[MAX_RANK], vector = false;
    if ((op != OP_add && op != OP_sub) || !is_float_dtype((Dtype)node(s->g, r)->dtype))
        return 0;
    read_axes(s, r, axes);
    Ref p = arg_of(s, a, 0), q = arg_of(s, a, 1);
    if (!(sheds(s, p, axes, &vector, 6) && sheds(s, q, axes, &vector, 6) && vector) && !(op == OP_sub && is_mean_of(s, q, p, axes)))
        return 0;
    Ref sp = s_reduce(s, OP_sum, p, axes), sq = s_reduce(s, OP_sum, q, axes);
    return new_sums(s, sp, old) + new_sums(s, sq, old) <= 1 ? s_binary(s, op, sp, sq) : 0;
}

Ref rule_sum_concat(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0);
    bool axes[MAX_RANK];
    read_axes(s, r, axes);
    if (op_of(s, a) != OP_concat || !axes[node_attrs(s->g, a)[0]])
        return 0;
    int  n = node(s->g, a)->nargs;
    Ref *part = xmalloc(sizeof(Ref) * (size_t)n);
    for (int i = 0; i < n; i++)
        part[i] = s_reduce(s, OP_sum, arg_of(s, a, i), axes);
    for (; n > 1; n = (n + 1) / 2)
        for (int i = 0; i < (n + 1) / 2; i++)
            part[i] = 2 * i + 1 < n ? s_binary(s, OP_add, part[2 * i], part[2 * i + 1]) : part[2 * i];
    Ref q = part[0];
    free(part);
    return q;
}

Ref rule_amax(Simp *s, Ref r)
{
    Ref  a = arg_of(s, r, 0);
    Type t = type_of(s, r), ta = type_of(s, a);
    bool axes[MAX_RANK], other[MAX_RANK], met = false;
    read_axes(s, r, axes);
    if (drop_units(s, &ta, axes))
        return s_reduce(s, OP_amax, a, axes);
    if (op_of(s, a) == OP_amax) {
        read_axes(s, a, other);
        for (int i = 0; i < ta.rank; i++)
            other[i] |= axes[i];
        return s_reduce(s, OP_amax, arg_of(s, a, 0), other);
    }
    if (op_of(s, a) != OP_broadcast)
        return 0;
    spread_axes(s, a, other);
    for (int i = 0; i < ta.rank; i++)
        if (axes[i] && other[i]) {
            met = true;
            axes[i] = false;
        }
    if (!met)
        return 0;
    Ref x = arg_of(s, a, 0);
    if (type_of(s, x).rank && any(axes, ta.rank))
        x = s_reduce(s, OP_amax, x, axes);
    return s_broadcast(s, x, t.rank, t.shape);
}
