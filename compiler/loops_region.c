/* loops_region.c - loops inside a body: reductions of few elements, sums of partial results, windows and their adjoints, rows added by index.
 *
 * All are written from the result's side: each element of the result gathers what goes into it, so nothing is ever added into memory that
 * another thread might be adding to.
 */
#include "loops_lower.h"

#include <string.h>

Turns lo_open_turns(Lower *lo, uint32_t n, const IndexId *extent)
{
    Turns    t = { .region = region_open(lo->b, n, extent) };
    uint32_t first = lo->b->region.at[t.region].first;
    for (uint32_t i = 0; i < n; i++) {
        Index x;
        memset(&x, 0, sizeof x);
        x.coef[first + i] = lo_size(lo, 1);
        t.var[i] = index_intern(lo->b, &x);
    }
    return t;
}

Turns lo_open_const(Lower *lo, int64_t a, int64_t b)
{
    IndexId e[2] = { index_const(lo->b, lo_size(lo, a)), index_const(lo->b, lo_size(lo, b)) };
    return lo_open_turns(lo, 2, e);
}

Val lo_close_turns(Lower *lo, const Turns *t, How how, ValType type, Val a, Val b, Val valid)
{
    if (valid == VAL_FALSE)
        valid = lo_number(lo, VT_BOOL, 0);
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOOP, .type = (uint8_t)type, .how = (uint8_t)how, .imm = t->region, .a = a, .b = b, .c = valid });
}

/* The same, but no turn is taken where `some` holds in no lane. */
Val lo_close_guarded(Lower *lo, const Turns *t, Val some, Val a)
{
    if (some == VAL_FALSE)
        return lo_number(lo, VT_F32, 0);
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOOP, .type = VT_F32, .how = HOW_SUM, .imm = t->region, .a = a, .mask = some });
}

static Val lower_partials(Lower *lo, Ref r, const IndexId *at, const Partials *p)
{
    const Node *n = node(lo->g, r);
    IndexId     extent = index_const(lo->b, p->chunks);
    Dim         size = layout_size(DIMS(lo), n->rank, node_shape(lo->g, r), &p->l);
    Turns       t = lo_open_turns(lo, 1, &extent);
    IndexId     off = lower_offset(lo, n->rank, node_shape(lo->g, r), &p->l, at);
    off = index_add(lo->b, DIMS(lo), off, index_scale(lo->b, DIMS(lo), t.var[0], size));
    ValType type = lo_type((Dtype)n->dtype);
    How     how = n->op == OP_amax ? HOW_MAX : HOW_SUM_WIDE;
    return lo_close_turns(lo, &t, how, type, lo_load(lo, type, p->buf, off, lo->keep && p->l.block == 1 ? lo->keep : 0), 0, 0);
}

/* The slots of image `image` within a phase, or of all: the first, and how many. */
static IndexId slots_of(Lower *lo, const Partials *p, IndexId image, IndexId *count)
{
    DimTable       *d = DIMS(lo);
    const SumSlots *s = &p->slots;
    Dim             group = lo_size(lo, s->group);
    IndexId         first = index_scale(lo->b, d, image, s->units), end = index_offset(lo->b, d, first, s->units);
    *count = index_const(lo->b, p->each ? dim_ceildiv(d, s->units, s->group) : s->per_phase);
    if (!p->each || image == 0)
        return 0;
    if (s->group > 1) {                    /* groups go on from image to image, and images end within them */
        first = lo_quotient(lo, first, group);
        end = lo_quotient(lo, index_offset(lo->b, d, end, lo_size(lo, s->group - 1)), group);
        *count = index_add(lo->b, d, end, index_scale(lo->b, d, first, lo_size(lo, -1)));
    }
    return s->group > 1 ? index_add(lo->b, d, first, image) : first;
}

static Val lo_both_f32(Lower *lo, Op op, Val a, Val b) { return lo_elem(lo, op, VT_F32, a, b, 0); }

/* A contraction's partial sums, over the slots of an image or of all. From moments, which are first + x of n results with sums s of x and q of x^2: the sum is that
 * of n*first + s; squares around c are the sum of (q - s*s/n) + n*(first + s/n - c)^2, neither of which is a small difference of large numbers. */
static Val lower_slots(Lower *lo, const IndexId *at, const Partials *p, Val mask)
{
    enum { FIRST, SUM, SQUARES, COUNT_OF };
    DimTable       *d = DIMS(lo);
    const SumSlots *s = &p->slots;
    Val             middle = p->middle ? lower_value(lo, p->middle, at, mask) : 0, v[4] = { 0 };
    IndexId         extent[2] = { index_const(lo->b, lo_size(lo, s->phases)) }, slot = slots_of(lo, p, at[0], &extent[1]);
    Turns           t = lo_open_turns(lo, 2, extent);
    slot = index_add(lo->b, d, slot, index_add(lo->b, d, index_scale(lo->b, d, t.var[0], s->per_phase), t.var[1]));
    for (int i = 0; i < (p->moments ? 4 : 1); i++) {
        IndexId vector = lo_linear(lo, slot, s->record, p->at + i);
        if (i != SQUARES || middle)
            v[i] = lo_load(lo, VT_F32, p->buf, index_add(lo->b, d, index_scale(lo->b, d, vector, lo_size(lo, s->channels)), at[1]), 0);
    }
    Val part = v[0];
    if (middle) {
        Val mean = lo_both_f32(lo, OP_div, v[SUM], lo_both_f32(lo, OP_max, v[COUNT_OF], lo_number(lo, VT_F32, 1)));
        Val off = lo_both_f32(lo, OP_sub, lo_both_f32(lo, OP_add, v[FIRST], mean), middle);
        part = lo_both_f32(lo, OP_max, lo_both_f32(lo, OP_sub, v[SQUARES], lo_both_f32(lo, OP_mul, v[SUM], mean)), lo_number(lo, VT_F32, 0));
        part = lo_both_f32(lo, OP_add, part, lo_both_f32(lo, OP_mul, v[COUNT_OF], lo_both_f32(lo, OP_mul, off, off)));
    } else if (p->moments) {
        part = lo_both_f32(lo, OP_add, lo_both_f32(lo, OP_mul, v[FIRST], v[COUNT_OF]), v[SUM]);
    }
    return lo_close_turns(lo, &t, HOW_SUM_WIDE, VT_F32, part, 0, 0);
}

Val lower_reduce(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    Ref         a = node_arg(lo->g, r, 0);
    IndexId     in[MAX_RANK], extent[8];
    uint32_t    count = n->nattrs;
    Partials    p;
    if (lo->partials && lo->partials(lo->ctx, r, &p))
        return p.chunks ? lower_partials(lo, r, at, &p) : lower_slots(lo, at, &p, mask);
    memcpy(in, at, sizeof in);
    for (uint32_t i = 0; i < count; i++)
        extent[i] = index_const(lo->b, node_shape(lo->g, a)[node_attrs(lo->g, r)[i]]);
    Turns t = lo_open_turns(lo, count, extent);
    for (uint32_t i = 0; i < count; i++)
        in[node_attrs(lo->g, r)[i]] = t.var[i];
    ValType type = lo_type((Dtype)node(lo->g, a)->dtype);
    Val     v = lower_value(lo, a, in, mask);
    if (n->op == OP_argmax)
        return lo_close_turns(lo, &t, HOW_PICK, VT_I32, v, lo_as_number(lo, VT_I32, t.var[0]), 0);
    return lo_close_turns(lo, &t, n->op == OP_amax ? HOW_MAX : HOW_SUM, type, v, 0, 0);
}

/* ---- windows: kernel h w, stride h w, pad top bottom left right ---- */

/* Element (r,s) of window (i,j): its place in the picture of shape (.., h, w), and whether it is inside. */
static Val window_place(Lower *lo, const int64_t *attrs, const Dim *shape, IndexId i, IndexId j, const Turns *t, IndexId *y, IndexId *x)
{
    *y = index_add(lo->b, DIMS(lo), lo_linear(lo, i, attrs[2], -attrs[4]), t->var[0]);
    *x = index_add(lo->b, DIMS(lo), lo_linear(lo, j, attrs[3], -attrs[6]), t->var[1]);
    return lo_both(lo, lo_inside(lo, *y, shape[2]), lo_inside(lo, *x, shape[3]));
}

Val lower_window(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node    *n = node(lo->g, r);
    int64_t        attrs[8];
    Ref            a = node_arg(lo->g, r, 0), v = n->nargs > 1 ? node_arg(lo->g, r, 1) : a;
    ValType        type = lo_type((Dtype)n->dtype);
    memcpy(attrs, node_attrs(lo->g, r), sizeof attrs);
    Turns   t = lo_open_const(lo, attrs[0], attrs[1]);
    IndexId in[4] = { at[0], at[1] };
    Val     here = window_place(lo, attrs, node_shape(lo->g, a), at[2], at[3], &t, &in[2], &in[3]), where = lo_both(lo, mask, here);
    Val     value = lower_value(lo, a, in, where), zero = lo_number(lo, type, 0);
    if (n->op == OP_win_sum)
        return lo_close_turns(lo, &t, HOW_SUM, type, lo_pick(lo, here, value, zero), 0, 0);
    if (n->op == OP_win_max)
        return lo_close_turns(lo, &t, HOW_PICK, type, value, value, here);
    return lo_close_turns(lo, &t, HOW_PICK, type, value, lower_value(lo, v, in, where), here);
}

/* The adjoints run over the windows (i,j) that hold picture element (y,x) as their element (r,s): i = (y + pad - r) / stride where whole. */
Val lower_window_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    bool     unpick = node(lo->g, r)->op == OP_win_unpick;
    int64_t  attrs[8];
    Ref      x = node_arg(lo->g, r, 0), g = node_arg(lo->g, r, unpick ? 1 : 0);
    ValType  type = lo_type((Dtype)node(lo->g, r)->dtype);
    memcpy(attrs, node_attrs(lo->g, r), sizeof attrs);
    int64_t  rows = (attrs[0] + attrs[2] - 1) / attrs[2], cols = (attrs[1] + attrs[3] - 1) / attrs[3];
    Turns    t = lo_open_const(lo, rows, cols);
    IndexId  in[4] = { at[0], at[1] };
    Val      here = 0;
    for (int k = 0; k < 2; k++) {
        /* the last window that can hold it, and those before: element number rest + turn * stride of the window */
        IndexId y = lo_linear(lo, at[2 + k], 1, attrs[4 + 2 * k]);
        IndexId last = lo_quotient(lo, y, lo_size(lo, attrs[2 + k])), rest = lo_remainder(lo, y, lo_size(lo, attrs[2 + k]));
        in[2 + k] = index_add(lo->b, DIMS(lo), last, lo_linear(lo, t.var[k], -1, 0));
        IndexId element = index_add(lo->b, DIMS(lo), rest, lo_linear(lo, t.var[k], attrs[2 + k], 0));
        here = lo_both(lo, here, lo_both(lo, lo_inside(lo, element, lo_size(lo, attrs[k])), lo_inside(lo, in[2 + k], node_shape(lo->g, g)[2 + k])));
    }
    Val zero = lo_number(lo, type, 0), where = lo_both(lo, mask, here);
    if (unpick) {                          /* is this element the window's first largest? */
        Turns   w = lo_open_const(lo, attrs[0], attrs[1]);
        IndexId other[4] = { at[0], at[1] };
        Val     seen = window_place(lo, attrs, node_shape(lo->g, x), in[2], in[3], &w, &other[2], &other[3]);
        Val     value = lower_value(lo, x, other, lo_both(lo, where, seen));
        IndexId away[2];
        for (int k = 0; k < 2; k++)
            away[k] = index_add(lo->b, DIMS(lo), other[2 + k], lo_linear(lo, at[2 + k], -1, 0));
        Val self = lo_both(lo, lo_inside(lo, away[0], lo_size(lo, 1)), lo_inside(lo, away[1], lo_size(lo, 1)));
        Val one = lo_pick(lo, self, lo_number(lo, VT_F32, 1), lo_number(lo, VT_F32, 0));
        Val picked = lo_close_turns(lo, &w, HOW_PICK, VT_F32, value, one, lo_both(lo, here, seen));
        here = lo_both(lo, here, lo_elem(lo, OP_ne, VT_BOOL, picked, lo_number(lo, VT_F32, 0), 0));
        where = lo_both(lo, mask, here);
    }
    Val value = lower_value(lo, g, in, where);
    return lo_close_turns(lo, &t, HOW_SUM, type, lo_pick(lo, here, value, zero), 0, 0);
}

/* ---- by index ---- */

/* out row m: all g rows whose index is m, in index order */
Val lower_scatter_add(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref      g = node_arg(lo->g, r, 0), index = node_arg(lo->g, r, 1);
    uint32_t lead = node(lo->g, index)->rank;
    IndexId  in[MAX_RANK] = { 0 }, extent[8], one = index_const(lo->b, lo_size(lo, 1));
    ValType  type = lo_type((Dtype)node(lo->g, r)->dtype);
    for (uint32_t i = 0; i < lead; i++)
        extent[i] = index_const(lo->b, node_shape(lo->g, index)[i]);
    Turns t = lo_open_turns(lo, lead ? lead : 1, lead ? extent : &one);
    for (uint32_t i = 0; i < lead; i++)
        in[i] = t.var[i];
    IndexId row = lo_row_of(lo, r, lower_value(lo, index, in, mask), node_shape(lo->g, r)[0], mask);
    for (int i = 1; i < node(lo->g, r)->rank; i++)
        in[lead + (uint32_t)i - 1] = at[i];
    Val here = lo_inside(lo, index_add(lo->b, DIMS(lo), row, lo_linear(lo, at[0], -1, 0)), lo_size(lo, 1));
    return lo_close_turns(lo, &t, HOW_SUM, type, lo_pick(lo, here, lower_value(lo, g, in, lo_both(lo, mask, here)), lo_number(lo, type, 0)), 0, 0);
}
