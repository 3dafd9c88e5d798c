/* simplify_enlarge.c - a convolution of a picture enlarged by repeating its pixels s times is a transposed convolution of the small picture: the
 * enlargement spreads a pixel over s x s places, and the two kernels run together make one of r + s - 1.
 *
 *     conv(resize(x, nearest, s times), w)   ->  conv_dx(x, w', stride s)        w' = windows of s x s of the turned and transposed w, summed
 *     resize_adjoint(conv_dx(g, w))          ->  conv(g, w', stride s)           its adjoint in x
 *     conv_dw(resize(x), g)                  ->  from conv_dw(g, x, stride s) back through w'   its adjoint in w
 *
 * With s = 2 and r = 3 that is 16 multiplications for four results in place of 36, and the enlarged picture need not exist. Along an axis, with p zeros
 * before the enlarged picture, result y and small pixel i meet in tap y + q - s*i of w' where q = r - 1 - p is the padding of the new convolution.
 * A picture that was enlarged and then padded by repeating its edge, or mirrored by less than s, is one whose edge was repeated before: p is then negative.
 */
#include <string.h>

#include "simplify.h"

/* Making w' costs about as much as this many pixels of the small picture save. */
enum { MOST_TIMES = 4, FEWEST_PIXELS = 256, USUAL_SIZE = 16 };

typedef struct {
    Ref     x;                     /* the small picture */
    int     times[2];
    int     edge[4];               /* its edge is repeated: top, bottom, left, right */
    int64_t pad[4];                /* zeros around the enlarged picture that the convolution sees; negative: cut off */
} Enlarged;

/* How often the smaller picture goes into the larger, 0 if it does not. */
static int times_larger(const Simp *s, Dim small, Dim large)
{
    for (int k = 1; k <= MOST_TIMES; k++)
        if (dim_scale(s->g->dims, small, k) == large)
            return k;
    return 0;
}

static bool worth_it(const Simp *s, const Dim *small)
{
    int64_t pixels = 1, v;
    for (int i = 0; i < 4; i++)
        if (i != 1)
            pixels *= dim_is_const(s->g->dims, small[i], &v) ? v : USUAL_SIZE;
    return pixels >= FEWEST_PIXELS;
}

/* Is `op` a resize or its adjoint between these shapes that repeats pixels? */
static bool repeats(const Simp *s, Ref op, const Type *small, const Type *large, Enlarged *u)
{
    if (node_attrs(s->g, op)[0] != RESIZE_NEAREST)
        return false;
    for (int d = 0; d < 2; d++)
        if (!(u->times[d] = times_larger(s, small->shape[2 + d], large->shape[2 + d])))
            return false;
    return u->times[0] * u->times[1] > 1 && worth_it(s, small->shape);
}

/* The pad (or pad_adjoint) node between an enlarged picture and the larger one. */
static bool pads_edge(const Simp *s, Ref pad, const Type *inner, const Type *outer, Enlarged *u)
{
    const int64_t *attrs = node_attrs(s->g, pad);
    if (attrs[0] || attrs[1] || inner->shape[0] != outer->shape[0] || inner->shape[1] != outer->shape[1])
        return false;
    for (int d = 0; d < 2; d++) {
        int64_t lo = attrs[2 + d], hi, most = attrs[4] == MODE_EDGE ? INT32_MAX : u->times[d] - 1;
        Dim     rest = dim_sub(s->g->dims, dim_sub(s->g->dims, outer->shape[2 + d], inner->shape[2 + d]), dim_const(s->g->dims, lo));
        if (!dim_is_const(s->g->dims, rest, &hi) || lo < 0 || hi < 0 || lo > most || hi > most || lo > 64 || hi > 64)
            return false;
        for (int i = 0; i < 2; i++) {
            int64_t p = i ? hi : lo;
            int     times = u->times[d], e = (int)(p + times - 1) / times;
            u->edge[2 * d + i] = e;
            u->pad[2 * d + i] = p - (int64_t)times * e;
        }
    }
    return true;
}

/* Is r enlarged, perhaps padded? */
static bool enlarged(const Simp *s, Ref r, Enlarged *u)
{
    memset(u, 0, sizeof *u);
    Ref pad = op_of(s, r) == OP_pad ? r : 0, up = pad ? arg_of(s, pad, 0) : r;
    if (op_of(s, up) != OP_resize)
        return false;
    u->x = arg_of(s, up, 0);
    Type small = type_of(s, u->x), large = type_of(s, up), outer = type_of(s, r);
    return repeats(s, up, &small, &large, u) && (!pad || pads_edge(s, pad, &large, &outer, u));
}

/* Completes u->pad by the attributes of the stride-1 convolution c with weights of shape w, and gives those of the new one. */
static bool new_attrs(const Simp *s, const Enlarged *u, Ref c, const Type *w, int64_t *attrs)
{
    const int64_t *a = node_attrs(s->g, c);
    bool           padded = false;
    for (int i = 0; i < 4; i++)
        padded |= u->edge[i] > 0;
    if (a[0] != 1 || a[1] != 1 || a[6] != 1 || a[7] != 1 || a[8] != 1)
        return false;
    memcpy(attrs, a, 9 * sizeof *attrs);
    for (int i = 0; i < 4; i++) {
        int64_t size;
        if (!dim_is_const(s->g->dims, w->shape[2 + i / 2], &size) || (padded && a[2 + i]))
            return false;
        attrs[2 + i] = size - 1 - (u->pad[i] + a[2 + i]);
        if (attrs[2 + i] < 0 || attrs[2 + i] >= size - 1 + u->times[i / 2])
            return false;
    }
    attrs[0] = u->times[0];
    attrs[1] = u->times[1];
    return true;
}

static Ref node4(Simp *s, Op op, Dtype t, const Dim *shape, Ref a, Ref b, int nattrs, const int64_t *attrs)
{
    return simp(s, make_node(s->g, op, t, shape ? 4 : 0, shape, b ? 2 : 1, (Ref[]){ a, b }, nattrs, attrs, 0));
}

/* w (k,c,r,s) with its kernel turned by 180 degrees. */
static Ref turned(Simp *s, Ref w)
{
    Type t = type_of(s, w);
    Span span = { .step = { 1, 1, -1, -1 } };
    for (int i = 0; i < 4; i++)
        span.start[i] = i < 2 ? 0 : dim_sub(s->g->dims, t.shape[i], one_of(s));
    for (int i = 2; i < 4; i++)
        if (t.shape[i] == one_of(s))
            span.step[i] = 1;
    return s_slice(s, w, &span, t.shape);
}

static void window_attrs(const Enlarged *u, int64_t *attrs)
{
    int64_t y = u->times[0], x = u->times[1], a[8] = { y, x, 1, 1, y - 1, y - 1, x - 1, x - 1 };
    memcpy(attrs, a, sizeof a);
}

static const int SWAP[4] = { 1, 0, 2, 3 };

/* w (k,c,r,s) to w' (c,k,r + times - 1,s + times - 1). */
static Ref spread_weights(Simp *s, const Enlarged *u, Ref w)
{
    int64_t attrs[8];
    Ref     t = turned(s, s_transpose(s, w, SWAP));
    Type    type = type_of(s, t);
    window_attrs(u, attrs);
    for (int d = 0; d < 2; d++)
        type.shape[2 + d] = dim_add(s->g->dims, type.shape[2 + d], dim_const(s->g->dims, u->times[d] - 1));
    return node4(s, OP_win_sum, type.dtype, type.shape, t, 0, 8, attrs);
}

/* The small picture with its edge repeated, and the adjoint of that. */
static bool edge_shape(Simp *s, const Enlarged *u, const Type *small, Type *padded, int64_t *attrs)
{
    int64_t a[5] = { 0, 0, u->edge[0], u->edge[2], MODE_EDGE };
    *padded = *small;
    for (int d = 0; d < 2; d++)
        padded->shape[2 + d] = dim_add(s->g->dims, small->shape[2 + d], dim_const(s->g->dims, u->edge[2 * d] + u->edge[2 * d + 1]));
    memcpy(attrs, a, sizeof a);
    return !same_shape(small, padded);
}

static Ref repeat_edge(Simp *s, const Enlarged *u)
{
    Type    small = type_of(s, u->x), padded;
    int64_t attrs[5];
    return edge_shape(s, u, &small, &padded, attrs) ? node4(s, OP_pad, small.dtype, padded.shape, u->x, 0, 5, attrs) : u->x;
}

Ref rule_conv_enlarged(Simp *s, Ref r)
{
    Enlarged u;
    Ref      w = arg_of(s, r, 1);
    Type     t = type_of(s, r), wt = type_of(s, w);
    int64_t  attrs[9];
    if (!enlarged(s, arg_of(s, r, 0), &u) || !new_attrs(s, &u, r, &wt, attrs))
        return 0;
    return node4(s, OP_conv_dx, t.dtype, t.shape, repeat_edge(s, &u), spread_weights(s, &u, w), 9, attrs);
}

Ref rule_conv_dw_enlarged(Simp *s, Ref r)
{
    Enlarged u;
    Type     t = type_of(s, r), wide = t;
    int64_t  attrs[9], window[8];
    if (!enlarged(s, arg_of(s, r, 0), &u) || !new_attrs(s, &u, r, &t, attrs))
        return 0;
    wide.shape[0] = t.shape[1];
    wide.shape[1] = t.shape[0];
    Type back = wide;
    for (int d = 0; d < 2; d++)
        wide.shape[2 + d] = dim_add(s->g->dims, t.shape[2 + d], dim_const(s->g->dims, u.times[d] - 1));
    window_attrs(&u, window);
    Ref dw = node4(s, OP_conv_dw, t.dtype, wide.shape, arg_of(s, r, 1), repeat_edge(s, &u), 9, attrs);
    return s_transpose(s, turned(s, node4(s, OP_win_sum_adjoint, t.dtype, back.shape, dw, 0, 8, window)), SWAP);
}

Ref rule_conv_dx_enlarged(Simp *s, Ref r)
{
    Enlarged u = { 0 };
    Ref      a = arg_of(s, r, 0), pad = op_of(s, a) == OP_pad_adjoint ? a : 0, dx = pad ? arg_of(s, pad, 0) : a;
    Type     small = type_of(s, r), large = type_of(s, a), outer = type_of(s, dx), padded;
    int64_t  attrs[9], edge[5];
    if (op_of(s, dx) != OP_conv_dx || !repeats(s, r, &small, &large, &u) || (pad && !pads_edge(s, pad, &large, &outer, &u)))
        return 0;
    Ref  w = arg_of(s, dx, 1);
    Type wt = type_of(s, w);
    if (!new_attrs(s, &u, dx, &wt, attrs))
        return 0;
    Ref c = node4(s, OP_conv, small.dtype, NULL, arg_of(s, dx, 0), spread_weights(s, &u, w), 9, attrs);
    return edge_shape(s, &u, &small, &padded, edge) ? node4(s, OP_pad_adjoint, small.dtype, small.shape, c, 0, 5, edge) : c;
}
