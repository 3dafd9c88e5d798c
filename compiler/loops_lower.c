/* loops_lower.c - nodes to loop instructions: the value of node r at given coordinates, as far as it is not in memory.
 *
 * Movement becomes arithmetic on coordinates, elementwise ops become instructions, what is stored becomes a load, and ops over windows become
 * regions. The same node at the same place and mask is lowered once. `mask` tells where the value is wanted: elsewhere nothing is
 * loaded and the value is anything. What is decided here is only what a value is; which values are in memory is fuse.c's matter.
 *
 * To add an op: elementwise ones need a line in loops_emit.c only; movement and windows a case in lower_node.
 */
#include "loops.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DIMS(lo) ((lo)->g->dims)

/* ---- small makers ---- */

static Dim dc(Lower *lo, int64_t v) { return dim_const(DIMS(lo), v); }

static ValType type_of(Dtype t)
{
    return t == DT_I32 ? VT_I32 : t == DT_BOOL ? VT_BOOL : VT_F32;
}

static Val number(Lower *lo, ValType t, double v)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_CONST, .type = (uint8_t)t, .value = v });
}

static Val elem(Lower *lo, Op op, ValType t, Val a, Val b, Val c)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ELEM, .type = (uint8_t)t, .elem = (uint8_t)op, .a = a, .b = b, .c = c });
}

static Val both(Lower *lo, Val m, Val n)
{
    if (m == VAL_FALSE || n == VAL_FALSE)
        return VAL_FALSE;
    if (!m || !n || m == n)
        return m ? m : n;
    return elem(lo, OP_and, VT_BOOL, m < n ? m : n, m < n ? n : m, 0);
}

/* value where mask holds, else otherwise */
static Val pick(Lower *lo, Val mask, Val value, Val otherwise)
{
    if (!mask)
        return value;
    return mask == VAL_FALSE ? otherwise : elem(lo, OP_select, (ValType)lo->b->ins.at[value].type, mask, value, otherwise);
}

static Val index_value(Lower *lo, IndexId x)
{
    const Index *i = &lo->b->index.at[x];
    int64_t      one;
    if (i->nterms == 1 && i->base == 0 && dim_is_const(DIMS(lo), i->term[0].mul, &one) && one == 1 && index_deps(lo->b, x) == lo->b->ins.at[i->term[0].v].deps) {
        bool alone = true;
        for (uint32_t l = 0; l < MAX_LOOPS; l++)
            alone &= i->coef[l] == 0;
        if (alone)
            return i->term[0].v;
    }
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_INDEX, .type = VT_INDEX, .index = x });
}

/* 0 <= x < n as a mask; decided here where the loops' ranges decide it */
static Val inside(Lower *lo, IndexId x, Dim n)
{
    Dim least, most;
    if (index_range(lo->b, DIMS(lo), x, &least, &most)) {
        Dim last = dim_sub(DIMS(lo), n, dc(lo, 1));
        if (dim_nonneg(DIMS(lo), least) && dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), last, most)))
            return 0;
        if (dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), least, n)) || dim_nonneg(DIMS(lo), dim_sub(DIMS(lo), dc(lo, -1), most)))
            return VAL_FALSE;
    }
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_INSIDE, .type = VT_BOOL, .index = x, .dim = n });
}

/* x = d*q + r with every part of r smaller than d in sum, so that q = x / d and r = x % d; false: not to be seen from the coefficients */
static bool split_index(Lower *lo, IndexId xi, Dim d, IndexId *q, IndexId *r)
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
        quot.base = dc(lo, base / by);
        rest.base = dc(lo, base % by);
    } else {
        return false;
    }
    *q = index_intern(lo->b, &quot);
    *r = index_intern(lo->b, &rest);
    return index_range(lo->b, t, *r, &least, &most) && dim_nonneg(t, least) && dim_nonneg(t, dim_sub(t, dim_sub(t, d, dc(lo, 1)), most));
}

static IndexId index_op(Lower *lo, LoopOp op, IndexId x, Dim d)
{
    Val v = body_ins(lo->b, DIMS(lo), (Ins){ .op = (uint8_t)op, .type = VT_INDEX, .a = index_value(lo, x), .dim = d });
    return index_val(lo->b, DIMS(lo), v);
}

/* x / d and x % d; x is not negative where it counts */
static IndexId quotient(Lower *lo, IndexId x, Dim d)
{
    IndexId q, r;
    int64_t c;
    if (dim_is_const(DIMS(lo), d, &c) && c == 1)
        return x;
    return split_index(lo, x, d, &q, &r) ? q : index_op(lo, L_IDIV, x, d);
}

static IndexId remainder_of(Lower *lo, IndexId x, Dim d)
{
    IndexId q, r;
    int64_t c;
    if (dim_is_const(DIMS(lo), d, &c) && c == 1)
        return 0;
    return split_index(lo, x, d, &q, &r) ? r : index_op(lo, L_IMOD, x, d);
}

static Val as_number(Lower *lo, ValType t, IndexId x)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_NUMBER, .type = (uint8_t)t, .index = x });
}

/* a*x + b, constants */
static IndexId linear(Lower *lo, IndexId x, int64_t a, int64_t b)
{
    return index_offset(lo->b, DIMS(lo), index_scale(lo->b, DIMS(lo), x, dc(lo, a)), dc(lo, b));
}

static bool is_one(Lower *lo, Dim d)
{
    int64_t v;
    return dim_is_const(DIMS(lo), d, &v) && v == 1;
}

/* ---- memory ---- */

/* Where the element at `at` stands in a buffer: row-major, or [n][c/V][h][w][V] with a halo. */
IndexId lower_offset(Lower *lo, int rank, const Dim *shape, const Layout *l, const IndexId *at)
{
    Body     *b = lo->b;
    DimTable *t = DIMS(lo);
    IndexId   off = 0;
    if (rank != 4) {
        Dim stride = dc(lo, 1);
        for (int i = rank - 1; i >= 0; i--) {
            off = index_add(b, t, off, index_scale(b, t, at[i], stride));
            stride = dim_mul(t, stride, shape[i]);
        }
        return off;
    }
    Strides4 s = layout_strides(t, shape, l);
    off = index_const(b, s.origin);
    off = index_add(b, t, off, index_scale(b, t, at[0], s.n));
    off = index_add(b, t, off, index_scale(b, t, at[2], s.h));
    off = index_add(b, t, off, index_scale(b, t, at[3], s.w));
    if (l->block == 1)
        return index_add(b, t, off, index_scale(b, t, at[1], s.c));
    off = index_add(b, t, off, index_scale(b, t, quotient(lo, at[1], dc(lo, l->block)), s.c));
    return index_add(b, t, off, remainder_of(lo, at[1], dc(lo, l->block)));
}

static Val load(Lower *lo, ValType t, int buf, IndexId off, Val mask)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOAD, .type = (uint8_t)t, .buf = (int16_t)buf, .index = off, .mask = mask });
}

static Val load_stored(Lower *lo, Ref r, const Stored *s, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    ValType     t = type_of((Dtype)n->dtype);
    if (s->acc)
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ACC, .type = (uint8_t)t });
    if (mask && mask == lo->keep && s->layout.block > 1)
        mask = 0;                          /* lanes past the channels are there, and zero */
    return load(lo, t, s->buf, lower_offset(lo, n->rank, node_shape(lo->g, r), &s->layout, at), mask);
}

/* ---- the memo: (node, mask, coordinates) -> value ---- */

static uint32_t *memo_slot(Lower *lo, Ref r, const IndexId *at, int rank, Val mask, bool *found)
{
    uint32_t key[MAX_RANK + 2] = { r, mask };
    memcpy(key + 2, at, (size_t)rank * sizeof *at);
    if (lo->memo.n * 2 >= lo->memo.cap) {
        uint32_t cap = lo->memo.cap ? lo->memo.cap * 2 : 256, *slots = xmalloc(cap * sizeof *slots);
        for (uint32_t i = 0; i < lo->memo.cap; i++) {
            if (!lo->memo.slots[i])
                continue;
            uint32_t h = (uint32_t)hash_bytes(&lo->memo.keys.at[(lo->memo.slots[i] - 1) * (MAX_RANK + 2)], sizeof key, 3);
            while (slots[h % cap])
                h++;
            slots[h % cap] = lo->memo.slots[i];
        }
        free(lo->memo.slots);
        lo->memo.slots = slots;
        lo->memo.cap = cap;
    }
    uint32_t h = (uint32_t)hash_bytes(key, sizeof key, 3);
    for (; lo->memo.slots[h % lo->memo.cap]; h++) {
        uint32_t i = lo->memo.slots[h % lo->memo.cap] - 1;
        if (memcmp(&lo->memo.keys.at[i * (MAX_RANK + 2)], key, sizeof key) == 0) {
            *found = true;
            return &lo->memo.vals.at[i];
        }
    }
    for (uint32_t i = 0; i < MAX_RANK + 2; i++)
        vec_push(&lo->memo.keys, key[i]);
    vec_push(&lo->memo.vals, 0);
    lo->memo.slots[h % lo->memo.cap] = lo->memo.vals.n;
    lo->memo.n++;
    *found = false;
    return &lo->memo.vals.at[lo->memo.vals.n - 1];
}

void lower_start(Lower *lo)
{
    lo->keep = 0;
    memset(lo->at, 0, sizeof lo->at);
    memset(&lo->memo, 0, sizeof lo->memo);
}

void lower_done(Lower *lo)
{
    free(lo->memo.slots);
    vec_free(&lo->memo.keys);
    vec_free(&lo->memo.vals);
}

void lower_domain(Lower *lo, int rank, const Dim *shape, const Layout *l, uint32_t reduced)
{
    Body     *b = lo->b;
    DimTable *t = DIMS(lo);
    for (int i = 0; i < rank; i++)
        b->loop[i] = (LoopDim){ shape[i], reduced >> i & 1 };
    b->ndomain = b->nloops = (uint32_t)rank;
    b->blocked = l->block > 1;
    if (b->blocked) {
        b->loop[1].extent = dim_ceildiv(t, shape[1], l->block);
        b->loop[4] = (LoopDim){ dc(lo, l->block), reduced >> 1 & 1 };
        b->ndomain = b->nloops = 5;
    }
    for (int i = 0; i < rank; i++)
        lo->at[i] = index_loop(b, t, (uint32_t)i);
    if (b->kind == BODY_EPILOGUE && !b->blocked && rank) {     /* a vector of results may reach past a last axis of 1; its mask knows */
        Index lane;
        memset(&lane, 0, sizeof lane);
        lane.coef[rank - 1] = dc(lo, 1);
        lo->at[rank - 1] = index_intern(b, &lane);
    }
    if (b->blocked) {
        lo->at[1] = index_add(b, t, index_scale(b, t, lo->at[1], dc(lo, l->block)), index_loop(b, t, 4));
        lo->keep = inside(lo, lo->at[1], shape[1]);
    }
}

/* ---- movement ---- */

static Val lower_broadcast(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref         a = node_arg(lo->g, r, 0);
    const Node *n = node(lo->g, a);
    IndexId     in[MAX_RANK] = { 0 };
    for (int i = 0; i < n->rank; i++)
        in[i] = is_one(lo, node_shape(lo->g, a)[i]) ? 0 : at[i];
    return lower_value(lo, a, in, mask);
}

static Val lower_transpose(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    IndexId in[MAX_RANK] = { 0 };
    for (int i = 0; i < node(lo->g, r)->rank; i++)
        in[node_attrs(lo->g, r)[i]] = at[i];
    return lower_value(lo, node_arg(lo->g, r, 0), in, mask);
}

static Val lower_slice(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    int     rank = node(lo->g, r)->rank;
    IndexId in[MAX_RANK] = { 0 };
    for (int i = 0; i < rank; i++)
        in[i] = index_offset(lo->b, DIMS(lo), index_scale(lo->b, DIMS(lo), at[i], dc(lo, node_attrs(lo->g, r)[rank + i])), (Dim)node_attrs(lo->g, r)[i]);
    return lower_value(lo, node_arg(lo->g, r, 0), in, mask);
}

/* out at o is in at (o - start) / step where that is whole and inside, else 0 */
static Val lower_place(Lower *lo, Ref r, const IndexId *at, Val mask)
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
            away = index_scale(lo->b, t, away, dc(lo, -1));
        if (m == 1) {
            here = both(lo, here, inside(lo, away, n));
            in[i] = away;
            continue;
        }
        here = both(lo, here, inside(lo, away, dim_sub(t, dim_scale(t, n, m), dc(lo, m - 1))));
        IndexId rest = here == VAL_FALSE ? 0 : remainder_of(lo, away, dc(lo, m));
        here = both(lo, here, inside(lo, rest, dc(lo, 1)));
        if (here != VAL_FALSE)
            in[i] = quotient(lo, away, dc(lo, m));
    }
    Val zero = number(lo, type_of((Dtype)node(lo->g, r)->dtype), 0), where = both(lo, mask, here);
    if (where == VAL_FALSE)
        return zero;
    return pick(lo, here, lower_value(lo, a, in, where), zero);
}

static Val lower_concat(Lower *lo, Ref r, const IndexId *at, Val mask)
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
        Val here = inside(lo, in[axis], n), where = both(lo, mask, here);
        before = dim_add(t, before, n);
        if (where == VAL_FALSE)
            continue;
        Val v = lower_value(lo, a, in, where);
        result = result ? pick(lo, here, v, result) : v;
    }
    return result ? result : number(lo, type_of((Dtype)node(lo->g, r)->dtype), 0);
}

static Val lower_pad(Lower *lo, Ref r, const IndexId *at, Val mask)
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
        in[i] = index_offset(lo->b, DIMS(lo), at[i], dc(lo, -node_attrs(lo->g, r)[i]));
        in[i] = index_op(lo, op, in[i], n);
    }
    return lower_value(lo, a, in, mask);
}

/* ---- reshape: axes are matched in groups of equal products; a group of one input axis needs no division ---- */

static IndexId linear_index(Lower *lo, const Dim *shape, const IndexId *at, int from, int to)
{
    IndexId off = 0;
    Dim     stride = dc(lo, 1);
    for (int i = to - 1; i >= from; i--) {
        off = index_add(lo->b, DIMS(lo), off, index_scale(lo->b, DIMS(lo), at[i], stride));
        stride = dim_mul(DIMS(lo), stride, shape[i]);
    }
    return off;
}

static void delinearise(Lower *lo, IndexId x, const Dim *shape, int from, int to, IndexId *in)
{
    int first = from;
    while (first < to - 1 && is_one(lo, shape[first]))
        in[first++] = 0;
    for (int i = to - 1; i > first; i--) {
        if (is_one(lo, shape[i])) {
            in[i] = 0;
            continue;
        }
        in[i] = remainder_of(lo, x, shape[i]);
        x = quotient(lo, x, shape[i]);
    }
    in[first] = x;
}

/* Grows a group [i0,i1) of input axes and [o0,o1) of output axes until their products agree. */
static void match_group(Lower *lo, int ni, const Dim *in, int no, const Dim *out, int i0, int o0, int *i1, int *o1)
{
    DimTable *t = DIMS(lo);
    Dim       pi = dc(lo, 1), po = pi, q;
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

static Val lower_reshape(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref         a = node_arg(lo->g, r, 0);
    Dim         in_shape[MAX_RANK], out_shape[MAX_RANK];
    int         ni = 0, no = 0, map[MAX_RANK];
    IndexId     out[MAX_RANK], in[MAX_RANK], full[MAX_RANK] = { 0 };
    const Node *na = node(lo->g, a), *nr = node(lo->g, r);
    for (int i = 0; i < nr->rank; i++)
        if (!is_one(lo, node_shape(lo->g, r)[i])) {
            out_shape[no] = node_shape(lo->g, r)[i];
            out[no++] = at[i];
        }
    for (int i = 0; i < na->rank; i++)
        if (!is_one(lo, node_shape(lo->g, a)[i])) {
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
        return load(lo, type_of((Dtype)nr->dtype), s.buf, linear_index(lo, out_shape, out, 0, no), mask);
    for (int i0 = 0, o0 = 0, i1, o1; i0 < ni || o0 < no; i0 = i1, o0 = o1) {
        match_group(lo, ni, in_shape, no, out_shape, i0, o0, &i1, &o1);
        IndexId x = linear_index(lo, out_shape, out, o0, o1);
        if (i1 > i0)
            delinearise(lo, x, in_shape, i0, i1, in);
    }
    for (int i = 0; i < ni; i++)
        full[map[i]] = in[i];
    return lower_value(lo, a, full, mask);
}

/* ---- regions: reductions inside the body ---- */

typedef struct { uint32_t region; IndexId var[8]; } Turns;

static Turns open_turns(Lower *lo, uint32_t n, const IndexId *extent)
{
    Turns    t = { .region = region_open(lo->b, n, extent) };
    uint32_t first = lo->b->region.at[t.region].first;
    for (uint32_t i = 0; i < n; i++) {
        Index x;
        memset(&x, 0, sizeof x);
        x.coef[first + i] = dc(lo, 1);
        t.var[i] = index_intern(lo->b, &x);
    }
    return t;
}

static Turns open_const(Lower *lo, int64_t a, int64_t b)
{
    IndexId e[2] = { index_const(lo->b, dc(lo, a)), index_const(lo->b, dc(lo, b)) };
    return open_turns(lo, 2, e);
}

static Val close_turns(Lower *lo, const Turns *t, How how, ValType type, Val a, Val b, Val valid)
{
    if (valid == VAL_FALSE)
        valid = number(lo, VT_BOOL, 0);
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOOP, .type = (uint8_t)type, .how = (uint8_t)how, .imm = t->region, .a = a, .b = b, .c = valid });
}

/* The same, but no turn is taken where `some` holds in no lane. */
static Val close_guarded(Lower *lo, const Turns *t, Val some, Val a)
{
    if (some == VAL_FALSE)
        return number(lo, VT_F32, 0);
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOOP, .type = VT_F32, .how = HOW_SUM, .imm = t->region, .a = a, .mask = some });
}

static Val lower_partials(Lower *lo, Ref r, const IndexId *at, int buf, Dim chunks, const Layout *l)
{
    const Node *n = node(lo->g, r);
    IndexId     extent = index_const(lo->b, chunks);
    Dim         size = layout_size(DIMS(lo), n->rank, node_shape(lo->g, r), l);
    Turns       t = open_turns(lo, 1, &extent);
    IndexId     off = lower_offset(lo, n->rank, node_shape(lo->g, r), l, at);
    off = index_add(lo->b, DIMS(lo), off, index_scale(lo->b, DIMS(lo), t.var[0], size));
    ValType type = type_of((Dtype)n->dtype);
    How     how = n->op == OP_amax ? HOW_MAX : HOW_SUM_WIDE;
    return close_turns(lo, &t, how, type, load(lo, type, buf, off, lo->keep && l->block == 1 ? lo->keep : 0), 0, 0);
}

static Val lower_reduce(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    Ref         a = node_arg(lo->g, r, 0);
    IndexId     in[MAX_RANK], extent[8];
    uint32_t    count = n->nattrs;
    Dim         chunks;
    Layout      l;
    int         buf = lo->partials ? lo->partials(lo->ctx, r, &chunks, &l) : -1;
    if (buf >= 0)
        return lower_partials(lo, r, at, buf, chunks, &l);
    memcpy(in, at, sizeof in);
    for (uint32_t i = 0; i < count; i++)
        extent[i] = index_const(lo->b, node_shape(lo->g, a)[node_attrs(lo->g, r)[i]]);
    Turns t = open_turns(lo, count, extent);
    for (uint32_t i = 0; i < count; i++)
        in[node_attrs(lo->g, r)[i]] = t.var[i];
    ValType type = type_of((Dtype)node(lo->g, a)->dtype);
    Val     v = lower_value(lo, a, in, mask);
    if (n->op == OP_argmax)
        return close_turns(lo, &t, HOW_PICK, VT_I32, v, as_number(lo, VT_I32, t.var[0]), 0);
    return close_turns(lo, &t, n->op == OP_amax ? HOW_MAX : HOW_SUM, type, v, 0, 0);
}

/* ---- windows: kernel h w, stride h w, pad top bottom left right ---- */

/* Element (r,s) of window (i,j): its place in the picture of shape (.., h, w), and whether it is inside. */
static Val window_place(Lower *lo, const int64_t *attrs, const Dim *shape, IndexId i, IndexId j, const Turns *t, IndexId *y, IndexId *x)
{
    *y = index_add(lo->b, DIMS(lo), linear(lo, i, attrs[2], -attrs[4]), t->var[0]);
    *x = index_add(lo->b, DIMS(lo), linear(lo, j, attrs[3], -attrs[6]), t->var[1]);
    return both(lo, inside(lo, *y, shape[2]), inside(lo, *x, shape[3]));
}

static Val lower_window(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node    *n = node(lo->g, r);
    int64_t        attrs[8];
    Ref            a = node_arg(lo->g, r, 0), v = n->nargs > 1 ? node_arg(lo->g, r, 1) : a;
    ValType        type = type_of((Dtype)n->dtype);
    memcpy(attrs, node_attrs(lo->g, r), sizeof attrs);
    Turns   t = open_const(lo, attrs[0], attrs[1]);
    IndexId in[4] = { at[0], at[1] };
    Val     here = window_place(lo, attrs, node_shape(lo->g, a), at[2], at[3], &t, &in[2], &in[3]), where = both(lo, mask, here);
    Val     value = lower_value(lo, a, in, where), zero = number(lo, type, 0);
    if (n->op == OP_win_sum)
        return close_turns(lo, &t, HOW_SUM, type, pick(lo, here, value, zero), 0, 0);
    if (n->op == OP_win_max)
        return close_turns(lo, &t, HOW_PICK, type, value, value, here);
    return close_turns(lo, &t, HOW_PICK, type, value, lower_value(lo, v, in, where), here);
}

/* The adjoints run over the windows (i,j) that hold picture element (y,x) as their element (r,s): i = (y + pad - r) / stride where whole. */
static Val lower_window_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    bool     unpick = node(lo->g, r)->op == OP_win_unpick;
    int64_t  attrs[8];
    Ref      x = node_arg(lo->g, r, 0), g = node_arg(lo->g, r, unpick ? 1 : 0);
    ValType  type = type_of((Dtype)node(lo->g, r)->dtype);
    memcpy(attrs, node_attrs(lo->g, r), sizeof attrs);
    int64_t  rows = (attrs[0] + attrs[2] - 1) / attrs[2], cols = (attrs[1] + attrs[3] - 1) / attrs[3];
    Turns    t = open_const(lo, rows, cols);
    IndexId  in[4] = { at[0], at[1] };
    Val      here = 0;
    for (int k = 0; k < 2; k++) {
        /* the last window that can hold it, and those before: element number rest + turn * stride of the window */
        IndexId y = linear(lo, at[2 + k], 1, attrs[4 + 2 * k]);
        IndexId last = quotient(lo, y, dc(lo, attrs[2 + k])), rest = remainder_of(lo, y, dc(lo, attrs[2 + k]));
        in[2 + k] = index_add(lo->b, DIMS(lo), last, linear(lo, t.var[k], -1, 0));
        IndexId element = index_add(lo->b, DIMS(lo), rest, linear(lo, t.var[k], attrs[2 + k], 0));
        here = both(lo, here, both(lo, inside(lo, element, dc(lo, attrs[k])), inside(lo, in[2 + k], node_shape(lo->g, g)[2 + k])));
    }
    Val zero = number(lo, type, 0), where = both(lo, mask, here);
    if (unpick) {                          /* is this element the window's first largest? */
        Turns   w = open_const(lo, attrs[0], attrs[1]);
        IndexId other[4] = { at[0], at[1] };
        Val     seen = window_place(lo, attrs, node_shape(lo->g, x), in[2], in[3], &w, &other[2], &other[3]);
        Val     value = lower_value(lo, x, other, both(lo, where, seen));
        IndexId away[2];
        for (int k = 0; k < 2; k++)
            away[k] = index_add(lo->b, DIMS(lo), other[2 + k], linear(lo, at[2 + k], -1, 0));
        Val self = both(lo, inside(lo, away[0], dc(lo, 1)), inside(lo, away[1], dc(lo, 1)));
        Val picked = close_turns(lo, &w, HOW_PICK, VT_F32, value, pick(lo, self, number(lo, VT_F32, 1), number(lo, VT_F32, 0)), both(lo, here, seen));
        here = both(lo, here, elem(lo, OP_ne, VT_BOOL, picked, number(lo, VT_F32, 0), 0));
        where = both(lo, mask, here);
    }
    Val value = lower_value(lo, g, in, where);
    return close_turns(lo, &t, HOW_SUM, type, pick(lo, here, value, zero), 0, 0);
}

/* ---- resize, in exact integers: element i of `to` from `from`, see runtime/interp_window.c ---- */

typedef struct { IndexId first, second; Val weight; } Tap;         /* (1 - weight) * x[first] + weight * x[second]; weight 0: nearest */

static Tap resize_tap(Lower *lo, const int64_t *attrs, IndexId i, Dim from, Dim to)
{
    DimTable *t = DIMS(lo);
    Dim       num = from, den = to, base = 0, ratio;
    bool      half = attrs[0] == RESIZE_BILINEAR && attrs[1] == RESIZE_HALF_PIXEL;
    int64_t   r = 0;
    if (dim_divide(t, to, from, &ratio) && dim_is_const(t, ratio, &r)) {
        num = dc(lo, 1);                   /* a whole factor: sizes cancel */
        den = ratio;
    } else if (dim_divide(t, from, to, &ratio) && dim_is_const(t, ratio, &r)) {
        num = ratio;
        den = dc(lo, 1);
    }
    if (half) {
        base = dim_sub(t, num, den);
        num = dim_scale(t, num, 2);
        den = dim_scale(t, den, 2);
    }
    IndexId x = index_offset(lo->b, t, index_scale(lo->b, t, i, num), base);
    Dim     least, most;
    if (half && !(index_range(lo->b, t, x, &least, &most) && dim_nonneg(t, least))) {
        Val below = inside(lo, x, dim_mul(t, from, den));      /* negative only at the first elements */
        Val v = body_ins(lo->b, t, (Ins){ .op = L_ISELECT, .type = VT_INDEX, .a = index_value(lo, x), .b = index_value(lo, 0), .c = below });
        x = index_val(lo->b, t, v);
    }
    Tap tap = { .first = quotient(lo, x, den) };
    if (attrs[0] == RESIZE_NEAREST)
        return tap;
    tap.second = index_op(lo, L_ICLAMP, index_offset(lo->b, t, tap.first, dc(lo, 1)), from);
    IndexId rest = remainder_of(lo, x, den);
    /* at the last element both taps are the same: no weight, so that the adjoint counts it once */
    Val frac = elem(lo, OP_div, VT_F32, as_number(lo, VT_F32, rest), as_number(lo, VT_F32, index_const(lo->b, den)), 0);
    Val inner = inside(lo, tap.first, dim_sub(t, from, dc(lo, 1)));
    tap.weight = pick(lo, inner, frac, number(lo, VT_F32, 0));
    return tap;
}

static Val mix(Lower *lo, Val weight, Val a, Val b)
{
    Val other = elem(lo, OP_sub, VT_F32, number(lo, VT_F32, 1), weight, 0);
    return elem(lo, OP_add, VT_F32, elem(lo, OP_mul, VT_F32, other, a, 0), elem(lo, OP_mul, VT_F32, weight, b, 0), 0);
}

static Val lower_resize(Lower *lo, Ref r, const IndexId *at, Val mask)
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
        *first = linear(lo, p, r, nearest ? 0 : half ? -(r / 2) : 1 - r);
        return index_const(lo->b, dc(lo, nearest ? r : half ? 2 * r : 2 * r - 1));
    }
    extent = index_offset(lo->b, t, index_op(lo, L_IDIV, index_const(lo->b, dim_scale(t, to, 2)), from), dc(lo, 4));
    IndexId before = index_op(lo, L_IDIV, index_const(lo->b, to), from);
    *first = index_offset(lo->b, t, index_op(lo, L_IDIV, index_scale(lo->b, t, p, to), from), dc(lo, -2));
    *first = index_add(lo->b, t, *first, linear(lo, before, -1, 0));
    return extent;
}

/* Its weight at element p of `from`: what element i of `to` takes from there. */
static Val tap_weight(Lower *lo, const Tap *tap, IndexId p)
{
    DimTable *t = DIMS(lo);
    Val       zero = number(lo, VT_F32, 0), one = number(lo, VT_F32, 1);
    Val       first = inside(lo, index_add(lo->b, t, tap->first, linear(lo, p, -1, 0)), dc(lo, 1));
    if (!tap->weight)
        return pick(lo, first, one, zero);
    Val second = inside(lo, index_add(lo->b, t, tap->second, linear(lo, p, -1, 0)), dc(lo, 1));
    Val w = pick(lo, second, tap->weight, zero);
    return elem(lo, OP_add, VT_F32, w, pick(lo, first, elem(lo, OP_sub, VT_F32, one, tap->weight, 0), zero), 0);
}

static Val lower_resize_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const int64_t attrs[2] = { node_attrs(lo->g, r)[0], node_attrs(lo->g, r)[1] };
    Ref           a = node_arg(lo->g, r, 0);
    const Dim     from[2] = { node_shape(lo->g, r)[2], node_shape(lo->g, r)[3] }, to[2] = { node_shape(lo->g, a)[2], node_shape(lo->g, a)[3] };
    IndexId       extent[2], first[2], in[4] = { at[0], at[1] };
    for (int k = 0; k < 2; k++)
        extent[k] = resize_reach(lo, attrs, at[2 + k], from[k], to[k], &first[k]);
    Turns t = open_turns(lo, 2, extent);
    Val   here = 0, weight[2];
    for (int k = 0; k < 2; k++) {
        IndexId i = index_add(lo->b, DIMS(lo), first[k], t.var[k]);
        here = both(lo, here, inside(lo, i, to[k]));
        in[2 + k] = i;
    }
    for (int k = 0; k < 2; k++) {
        Val v = body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ICLAMP, .type = VT_INDEX, .a = index_value(lo, in[2 + k]), .dim = to[k] });
        Tap tap = resize_tap(lo, attrs, index_val(lo->b, DIMS(lo), v), from[k], to[k]);
        weight[k] = tap_weight(lo, &tap, at[2 + k]);
    }
    Val w = elem(lo, OP_mul, VT_F32, weight[0], weight[1], 0), zero = number(lo, VT_F32, 0);
    Val taken = both(lo, here, elem(lo, OP_ne, VT_BOOL, w, zero, 0));
    Val value = lower_value(lo, a, in, both(lo, mask, taken));
    return close_turns(lo, &t, HOW_SUM, VT_F32, pick(lo, taken, elem(lo, OP_mul, VT_F32, w, value, 0), zero), 0, 0);
}

/* ---- the adjoint of pad: most elements come from one place; near an edge, those of the border that were copied from there are added. Candidate c
 * of an axis is, in turn, an element of the border before, the element itself, one of the border behind. Reflection has three candidates, edge one for
 * each element of the border. ---- */

typedef struct { IndexId at; Val there, self, some; } Candidate;   /* place; does it count; is it the element itself; is there any beside it */

static Val either(Lower *lo, Val a, Val b)
{
    if (a == VAL_FALSE || b == VAL_FALSE)
        return a == VAL_FALSE ? b : a;
    return a && b ? elem(lo, OP_or, VT_BOOL, a, b, 0) : 0;
}

static Val as_value(Lower *lo, Val mask)
{
    return mask && mask != VAL_FALSE ? mask : number(lo, VT_BOOL, mask != VAL_FALSE);
}

static Candidate pad_candidate(Lower *lo, PadMode mode, IndexId i, IndexId c, int64_t before, int64_t behind, Dim n)
{
    DimTable *t = DIMS(lo);
    bool      mirror = mode == MODE_REFLECT;
    int64_t   own = mirror ? 1 : before;       /* the number of the candidate that is the element itself */
    IndexId   from_end = index_offset(lo->b, t, linear(lo, i, -1, 0), dim_sub(t, n, dc(lo, 1)));      /* n - 1 - i */
    IndexId   lower = mirror ? linear(lo, i, -1, before) : c, upper;
    upper = mirror ? index_offset(lo->b, t, from_end, dim_add(t, n, dc(lo, before - 1))) : index_offset(lo->b, t, linear(lo, c, 1, -1), n);
    Val       ok_before = mirror ? inside(lo, linear(lo, i, 1, -1), dc(lo, before)) : before ? inside(lo, i, dc(lo, 1)) : VAL_FALSE;
    Val       ok_behind = mirror ? inside(lo, linear(lo, from_end, 1, -1), dc(lo, behind)) : behind ? inside(lo, from_end, dc(lo, 1)) : VAL_FALSE;
    Val       is_before = inside(lo, linear(lo, c, -1, own - 1), dc(lo, own)), is_behind = inside(lo, linear(lo, c, 1, -own - 1), dc(lo, mirror ? 1 : behind));
    Candidate k = { .self = inside(lo, linear(lo, c, 1, -own), dc(lo, 1)), .some = either(lo, ok_before, ok_behind) };
    Val       one = number(lo, VT_BOOL, 1), at = index_value(lo, linear(lo, i, 1, before));
    k.there = pick(lo, is_before, as_value(lo, ok_before), pick(lo, is_behind, as_value(lo, ok_behind), one));
    const struct { Val where; IndexId x; } side[2] = { { is_before, lower }, { is_behind, upper } };
    for (int j = 0; j < 2; j++) {
        if (side[j].where == VAL_FALSE)
            continue;
        Val x = index_value(lo, side[j].x);
        at = side[j].where ? body_ins(lo->b, t, (Ins){ .op = L_ISELECT, .type = VT_INDEX, .a = x, .b = at, .c = side[j].where }) : x;
    }
    k.at = index_val(lo->b, t, at);
    return k;
}

static Val lower_pad_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask)
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
        in[i] = linear(lo, at[i], 1, before[count]);
        extent[count] = index_const(lo->b, dc(lo, mode == MODE_REFLECT ? 3 : before[count] + 1 + behind[count]));
        axis[count++] = i;
    }
    Val own = lower_value(lo, a, in, mask);
    if (count == 0)
        return own;
    Turns t = open_turns(lo, count, extent);
    Val   here = 0, self = 0, some = VAL_FALSE, zero = number(lo, VT_F32, 0);
    for (uint32_t k = 0; k < count; k++) {
        Candidate c = pad_candidate(lo, mode, at[axis[k]], t.var[k], before[k], behind[k], node_shape(lo->g, r)[axis[k]]);
        in[axis[k]] = c.at;
        here = both(lo, here, c.there);
        self = both(lo, self, c.self);
        some = either(lo, some, c.some);
    }
    here = both(lo, here, elem(lo, OP_not, VT_BOOL, as_value(lo, self), 0, 0));
    Val rest = close_guarded(lo, &t, some, pick(lo, here, lower_value(lo, a, in, both(lo, mask, here)), zero));
    return elem(lo, OP_add, VT_F32, own, rest, 0);
}

/* ---- by index ---- */

static IndexId row_of(Lower *lo, Ref r, Val v, Dim rows, Val mask)
{
    Val row = body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ROW, .type = VT_INDEX, .a = v, .dim = rows, .imm = lo->flag(lo->ctx, r), .mask = mask });
    return index_val(lo->b, DIMS(lo), row);
}

static Val lower_gather(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref     a = node_arg(lo->g, r, 0), index = node_arg(lo->g, r, 1);
    int     lead = node(lo->g, index)->rank, rank = node(lo->g, a)->rank;
    IndexId in[MAX_RANK] = { 0 };
    in[0] = row_of(lo, r, lower_value(lo, index, at, mask), node_shape(lo->g, a)[0], mask);
    for (int i = 1; i < rank; i++)
        in[i] = at[lead + i - 1];
    return lower_value(lo, a, in, mask);
}

/* out row m: all g rows whose index is m, in index order */
static Val lower_scatter_add(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    Ref      g = node_arg(lo->g, r, 0), index = node_arg(lo->g, r, 1);
    uint32_t lead = node(lo->g, index)->rank;
    IndexId  in[MAX_RANK] = { 0 }, extent[8], one = index_const(lo->b, dc(lo, 1));
    ValType  type = type_of((Dtype)node(lo->g, r)->dtype);
    for (uint32_t i = 0; i < lead; i++)
        extent[i] = index_const(lo->b, node_shape(lo->g, index)[i]);
    Turns t = open_turns(lo, lead ? lead : 1, lead ? extent : &one);
    for (uint32_t i = 0; i < lead; i++)
        in[i] = t.var[i];
    IndexId row = row_of(lo, r, lower_value(lo, index, in, mask), node_shape(lo->g, r)[0], mask);
    for (int i = 1; i < node(lo->g, r)->rank; i++)
        in[lead + (uint32_t)i - 1] = at[i];
    Val here = inside(lo, index_add(lo->b, DIMS(lo), row, linear(lo, at[0], -1, 0)), dc(lo, 1));
    return close_turns(lo, &t, HOW_SUM, type, pick(lo, here, lower_value(lo, g, in, both(lo, mask, here)), number(lo, type, 0)), 0, 0);
}

/* ---- the rest ---- */

static Val lower_leaf(Lower *lo, Ref r, const IndexId *at)
{
    const Node    *n = node(lo->g, r);
    const int64_t *attrs = node_attrs(lo->g, r);
    ValType        type = type_of((Dtype)n->dtype);
    switch (n->op) {
    case OP_const:
        return number(lo, type, n->value);
    case OP_runtime:
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_RUNTIME, .type = (uint8_t)type, .imm = attrs[0] });
    case OP_size:
        return as_number(lo, type, index_const(lo->b, (Dim)attrs[0]));
    case OP_iota:
        return as_number(lo, type, at[attrs[0]]);
    default:
        assert(n->op == OP_uniform || n->op == OP_normal);
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = n->op == OP_uniform ? L_UNIFORM : L_NORMAL, .type = VT_F32, .imm = attrs[0], .flag = attrs[1] != 0,
                                                .index = linear_index(lo, node_shape(lo->g, r), at, 0, n->rank) });
    }
}

static Val lower_elementwise(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    Val         in[3] = { 0 };
    Op          op = (Op)n->op;
    ValType     type = type_of((Dtype)n->dtype);
    for (int i = 0; i < n->nargs; i++)
        in[i] = lower_value(lo, node_arg(lo->g, r, i), at, mask);
    if (op == OP_stop || (op == OP_cast && lo->b->ins.at[in[0]].type == type))
        return in[0];
    return elem(lo, op, type, in[0], in[1], in[2]);
}

static Val lower_node(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    switch (node(lo->g, r)->op) {
    case OP_broadcast:      return lower_broadcast(lo, r, at, mask);
    case OP_transpose:      return lower_transpose(lo, r, at, mask);
    case OP_slice:          return lower_slice(lo, r, at, mask);
    case OP_place:          return lower_place(lo, r, at, mask);
    case OP_concat:         return lower_concat(lo, r, at, mask);
    case OP_pad:            return lower_pad(lo, r, at, mask);
    case OP_pad_adjoint:    return lower_pad_adjoint(lo, r, at, mask);
    case OP_reshape:        return lower_reshape(lo, r, at, mask);
    case OP_sum: case OP_amax: case OP_argmax:
        return lower_reduce(lo, r, at, mask);
    case OP_win_sum: case OP_win_max: case OP_win_pick:
        return lower_window(lo, r, at, mask);
    case OP_win_sum_adjoint: case OP_win_unpick:
        return lower_window_adjoint(lo, r, at, mask);
    case OP_resize:         return lower_resize(lo, r, at, mask);
    case OP_resize_adjoint: return lower_resize_adjoint(lo, r, at, mask);
    case OP_gather:         return lower_gather(lo, r, at, mask);
    case OP_scatter_add:    return lower_scatter_add(lo, r, at, mask);
    default:
        return op_info[node(lo->g, r)->op].class == CLASS_LEAF ? lower_leaf(lo, r, at) : lower_elementwise(lo, r, at, mask);
    }
}

Val lower_value(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    bool found;
    int  rank = node(lo->g, r)->rank;
    if (mask == VAL_FALSE)                 /* wanted nowhere */
        return number(lo, type_of((Dtype)node(lo->g, r)->dtype), 0);
    uint32_t *slot = memo_slot(lo, r, at, rank, mask, &found);
    if (found)
        return *slot;
    Stored s;
    Val    v = lo->stored(lo->ctx, r, false, &s) ? load_stored(lo, r, &s, at, mask) : lower_node(lo, r, at, mask);
    *memo_slot(lo, r, at, rank, mask, &found) = v;
    return v;
}
