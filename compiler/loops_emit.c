/* loops_emit.c - the loops around a Body: maps, reductions, epilogues.
 *
 *   map      for each plane, for each row of it in this thread's share { for i in row by lanes { body; store } tail }
 *            row: a middle without questions about borders, and two ends (loops_split.c)
 *   reduce   for each (kept place, chunk) of this thread's share { for each row of the chunk { for i in row, 4 sums apart { body; fold } } combine; store }
 *
 * A row is the innermost loop, cut into segments when it is long, so that one long loop still makes many tasks. What is summed with
 * what follows from shapes and the vector width alone: four running results by position, folded 0+1, 2+3, then lanes by halves.
 * Tails are masked vectors, or on machines without masked loads a scalar loop.
 */
#include "loops_walk.h"

#include <assert.h>
#include <stdlib.h>

enum {
    APART = 4,                             /* running results of a reduction: hides the latency of an add */
    PAST_BYTES = 24 << 20, PAST_INS = 100  /* results that are stored past the caches, and the longest body that gets a loop for it */
};

static bool masked_tails(const Emit *e) { return e->target->isa != ISA_BASELINE; }

static uint32_t group_loops(const Body *b, uint32_t g)
{
    uint32_t bits = 0;
    for (uint32_t l = 0; l < b->ndomain; l++)
        if (b->group[l] == g && !(b->blocked && l == b->ndomain - 1))
            bits |= 1u << l;
    return bits;
}

/* Coordinates from a linear number over the groups of `which` (in order, the last fastest). */
static void split_number(Walk *w, LLVMValueRef number, const uint32_t *which, uint32_t n)
{
    Emit *e = w->e;
    for (uint32_t k = n; k-- > 0;) {
        uint32_t     g = which[k];
        LLVMValueRef extent = extent_value(e, w->b->extent[g]);
        if (k == 0) {
            w->loop[w->b->inner[g]] = number;
            return;
        }
        w->loop[w->b->inner[g]] = i_rem(e, number, extent);
        number = i_div(e, number, extent);
    }
}

static void share_loops(Walk *to, const Walk *from)
{
    for (uint32_t l = 0; l < MAX_LOOPS; l++)
        to->loop[l] = from->loop[l];
}

/* ---- maps ---- */

static LLVMValueRef root_value(Walk *w, const Root *r)
{
    LLVMValueRef v = walk_value(w, r->value);
    return r->keep ? LLVMBuildSelect(w->e->b, walk_value(w, r->keep), v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static void store_root(Walk *w, const Root *r, LLVMValueRef v)
{
    LLVMValueRef tail = w->tail;
    if (r->only && w->lanes > 1)
        w->tail = tail ? LLVMBuildAnd(w->e->b, tail, walk_value(w, r->only), "") : walk_value(w, r->only);
    walk_store(w, r, v, NULL);
    w->tail = tail;
}

static void store_roots(Walk *w)
{
    for (uint32_t i = 0; i < w->b->nroots; i++)
        store_root(w, &w->b->root[i], root_value(w, &w->b->root[i]));
}

static void map_inner(Walk *w)
{
    walk_level(w, LEVEL_INNER);
    store_roots(w);
}

/* The elements of a row behind the last whole vector. */
static void map_tail(Walk *w, Walk *one, uint32_t loop, LLVMValueRef from, LLVMValueRef to)
{
    Emit *e = w->e;
    if (masked_tails(e)) {
        If f = if_begin(e, i_less(e, from, to));
        w->loop[loop] = from;
        w->tail = tail_mask(e, i_sub(e, to, from), w->lanes);
        map_inner(w);
        w->tail = NULL;
        if_end(e, &f);
        return;
    }
    Loop l = loop_begin(e, from, to, 1, 0, NULL);
    one->loop[loop] = l.i;
    map_inner(one);
    loop_end(e, &l, NULL);
}

static void emit_single(Emit *e, const Body *b)
{
    int  lanes = b->blocked ? e->target->vec : 1;
    Walk w = walk_new(e, b, lanes, b->blocked ? (int)b->ndomain - 1 : -1, 0, 0);
    If   f = if_begin(e, i_equal(e, e->tid, c_int(e, 0)));
    for (Level l = LEVEL_KERNEL; l <= LEVEL_INNER; l++)
        walk_level(&w, l);
    store_roots(&w);
    if_end(e, &f);
    walk_free(&w);
}

static void map_stretch(Walk *w, uint32_t loop, LLVMValueRef from, LLVMValueRef to)
{
    Loop l = loop_begin(w->e, from, to, w->b->blocked ? 1 : w->lanes, 0, NULL);
    w->loop[loop] = l.i;
    map_inner(w);
    loop_end(w->e, &l, NULL);
}

/* Results that are larger than what a cache holds until they are read are stored past it, which spares fetching what is there before it is written over:
 * a third of the traffic. Not where they take the place of an argument, which has been fetched anyway. NULL: never. */
static LLVMValueRef goes_past(Emit *e, const Body *b, LLVMValueRef rows)
{
    uint32_t     lane = b->blocked ? b->ndomain - 1 : b->inner[b->ngroups - 1];
    LLVMValueRef bytes = i_mulc(e, rows, 4 * (int64_t)b->nroots * (b->blocked ? e->target->vec : 1));
    int64_t      n;
    if (b->ins.n > PAST_INS)
        return NULL;
    for (uint32_t i = 0; i < b->nroots; i++) {
        const Index *at = &b->index.at[b->root[i].at];
        bool         side_by_side = size_is_literal(e->dims, at->coef[lane], &n) && n == 1 && at->nterms == 0;
        if (!side_by_side || b->root[i].only || e->kernel->bufs.at[b->root[i].buf].layout.dtype == DT_BOOL)
            return NULL;
    }
    LLVMValueRef past = i_less(e, c_int(e, PAST_BYTES), i_mul(e, bytes, extent_value(e, b->extent[b->ngroups - 1])));
    for (uint32_t i = 0; i < b->nroots; i++)
        for (uint32_t j = 0; j < e->kernel->bufs.n; j++)
            if (!e->kernel->bufs.at[j].write)
                past = LLVMBuildAnd(e->b, past, LLVMBuildICmp(e->b, LLVMIntNE, buf_base(e, b->root[i].buf), buf_base(e, (int)j), ""), "");
    return past;
}

/* The same, or past the caches where results are so large; a row begins at any address. */
static void map_middle(Walk *w, uint32_t loop, LLVMValueRef from, LLVMValueRef to, LLVMValueRef past)
{
    Emit *e = w->e;
    if (!past) {
        map_stretch(w, loop, from, to);
        return;
    }
    w->loop[loop] = from;
    for (uint32_t i = 0; i < w->b->nroots; i++)
        past = LLVMBuildAnd(e->b, past, walk_aligned(w, &w->b->root[i]), "");
    If f = if_begin(e, past);
    w->past = true;
    map_stretch(w, loop, from, to);
    w->past = false;
    if_else(e, &f);
    map_stretch(w, loop, from, to);
    if_end(e, &f);
}

/* [from, to) of the present row; known: what holds in its middle, or NULL. */
static void map_row(Walk *w, Walk *one, uint32_t loop, LLVMValueRef from, LLVMValueRef to, const uint8_t *known, LLVMValueRef past)
{
    Emit        *e = w->e;
    int          step = w->b->blocked ? 1 : w->lanes;
    LLVMValueRef whole = i_add(e, from, i_mulc(e, i_divc(e, i_sub(e, to, from), step), step)), lo = from, hi = whole;
    if (known) {
        split_middle(w, known, loop, from, whole, &lo, &hi);
        if (step > 1) {
            lo = i_add(e, from, i_mulc(e, i_divc(e, i_addc(e, i_sub(e, lo, from), step - 1), step), step));
            hi = i_add(e, from, i_mulc(e, i_divc(e, i_sub(e, i_max(e, hi, lo), from), step), step));
        }
        Loop         side = loop_begin_some(e, c_int(e, 0), c_int(e, 2), 1, 0, NULL);
        LLVMValueRef left = i_equal(e, side.i, c_int(e, 0));
        map_stretch(w, loop, LLVMBuildSelect(e->b, left, from, hi, ""), LLVMBuildSelect(e->b, left, lo, whole, ""));
        loop_end(e, &side, NULL);
    }
    w->known = known;
    map_middle(w, loop, lo, hi, past);
    w->known = NULL;
    if (step > 1)
        map_tail(w, one, loop, whole, to);
}

/* A thread's share are rows one after the other, through the planes they are in: what is the same in all rows of a plane is computed once. */
static void emit_map(Emit *e, const Body *b)
{
    if (b->ngroups == 0) {
        emit_single(e, b);
        return;
    }
    uint32_t last = b->ngroups - 1, outer[MAX_LOOPS], loop = b->inner[last], lane = b->blocked ? b->ndomain - 1 : loop;
    uint32_t inner_loops = group_loops(b, last), row_loops = last ? group_loops(b, last - 1) : 0;      /* a blocked domain's lanes do not change along a row */
    Walk     w = walk_new(e, b, e->target->vec, (int)lane, inner_loops, row_loops), one = walk_new(e, b, 1, (int)lane, inner_loops, row_loops);
    bool     scalar_tail = !b->blocked && !masked_tails(e);
    uint8_t *known = split_known(b, e->dims, loop, (int)lane);
    for (uint32_t g = 0; g < last; g++)
        outer[g] = g;
    walk_level(&w, LEVEL_KERNEL);
    if (scalar_tail)
        walk_level(&one, LEVEL_KERNEL);

    LLVMValueRef extent = extent_value(e, b->extent[last]), pieces = extent_value(e, b->chunk_stride), a_plane = pieces, rows;
    if (last)
        a_plane = i_mul(e, a_plane, extent_value(e, b->extent[last - 1]));
    rows = a_plane;
    for (uint32_t g = 0; g + 1 < last; g++)
        rows = i_mul(e, rows, extent_value(e, b->extent[g]));
    Range        mine = my_tasks(e, rows);
    LLVMValueRef past = goes_past(e, b, i_div(e, rows, i_max(e, pieces, c_int(e, 1))));
    LLVMValueRef some = i_max(e, a_plane, c_int(e, 1));
    Loop         p = loop_begin(e, i_div(e, mine.from, some), i_div(e, i_add(e, mine.to, i_addc(e, some, -1)), some), 1, 0, NULL);
    if (last > 1)
        split_number(&w, p.i, outer, last - 1);
    share_loops(&one, &w);
    walk_level(&w, LEVEL_PLANE);
    if (scalar_tail)
        walk_level(&one, LEVEL_PLANE);
    LLVMValueRef before = i_mul(e, p.i, a_plane), from = c_int(e, 0), to = extent;
    Loop         t = loop_begin(e, i_max(e, i_sub(e, mine.from, before), c_int(e, 0)), i_min(e, i_sub(e, mine.to, before), a_plane), 1, 0, NULL);
    LLVMValueRef row = t.i;
    if (b->segment) {
        from = i_mulc(e, i_rem(e, t.i, pieces), b->segment);
        to = i_min(e, i_addc(e, from, b->segment), extent);
        row = i_div(e, t.i, pieces);
    }
    if (last)
        w.loop[b->inner[last - 1]] = one.loop[b->inner[last - 1]] = row;
    walk_level(&w, LEVEL_ROW);
    if (scalar_tail)
        walk_level(&one, LEVEL_ROW);
    map_row(&w, &one, loop, from, to, known, past);
    loop_end(e, &t, NULL);
    loop_end(e, &p, NULL);
    if (past)
        fence_past(e);
    free(known);
    walk_free(&w);
    walk_free(&one);
}

/* ---- reductions ---- */

typedef struct {
    Emit        *e;
    const Body  *b;
    uint32_t     kept[MAX_LOOPS], nkept;   /* groups */
    uint32_t     rows[MAX_LOOPS], nrows;   /* reduced groups but the innermost */
    int          inner;                    /* the innermost reduced group, or -1 */
    bool         lanes_reduced, along;     /* along: lanes run along the inner group */
    int          lane_group;               /* kept lanes of a row-major domain: their group; -1 otherwise */
    LLVMValueRef chunk, pieces;
} Reduction;

static Reduction plan_reduction(Emit *e, const Body *b)
{
    Reduction r = { .e = e, .b = b, .inner = -1, .lane_group = -1 };
    for (uint32_t g = 0; g < b->ngroups; g++)
        if (b->loop[b->inner[g]].reduced)
            r.inner = (int)g;
    int last = (int)b->ngroups - 1;
    if (b->blocked)
        r.lanes_reduced = b->loop[b->ndomain - 1].reduced;
    else if (last >= 0 && b->loop[b->inner[last]].reduced)
        r.lanes_reduced = r.along = true;
    else
        r.lane_group = last;
    for (int g = 0; g <= last; g++) {
        if (b->loop[b->inner[g]].reduced) {
            if (g != r.inner)
                r.rows[r.nrows++] = (uint32_t)g;
        } else if (g != r.lane_group) {
            r.kept[r.nkept++] = (uint32_t)g;
        }
    }
    return r;
}

typedef struct { LLVMValueRef at[MAX_ROOTS * APART]; int n; } Sums;

static Sums start_sums(Walk *w, int apart)
{
    Sums s = { .n = (int)w->b->nroots * apart };
    for (int i = 0; i < s.n; i++) {
        const Root *r = &w->b->root[i / apart];
        s.at[i] = splat(w->e, fold_start(w, r->how, (ValType)w->b->ins.at[r->value].type), w->lanes);
    }
    return s;
}

/* Folds the body's values at the present place into running results number `slot` of each root. */
static void fold_roots(Walk *w, Sums *s, int apart, int slot)
{
    walk_level(w, LEVEL_INNER);
    for (uint32_t i = 0; i < w->b->nroots; i++) {
        const Root  *r = &w->b->root[i];
        ValType      t = (ValType)w->b->ins.at[r->value].type;
        LLVMValueRef v = walk_value(w, r->value), nothing = splat(w->e, fold_start(w, r->how, t), w->lanes);
        if (r->keep)
            v = LLVMBuildSelect(w->e->b, walk_value(w, r->keep), v, nothing, "");
        if (w->tail)
            v = LLVMBuildSelect(w->e->b, w->tail, v, nothing, "");
        LLVMValueRef *sum = &s->at[(int)i * apart + slot];
        *sum = fold(w->e, r->how, t, *sum, v);
    }
}

/* One row: [from, to) of the inner loop, by `step`. */
static void fold_row(Walk *w, Walk *one, const Reduction *r, LLVMValueRef from, LLVMValueRef to, Sums *s, Sums *rest)
{
    Emit        *e = r->e;
    uint32_t     loop = r->b->inner[r->inner];
    int          step = r->along ? w->lanes : 1;
    LLVMValueRef count = i_sub(e, to, from);
    LLVMValueRef many = i_add(e, from, i_mulc(e, i_divc(e, count, step * APART), step * APART));
    LLVMValueRef whole = i_add(e, from, i_mulc(e, i_divc(e, count, step), step));
    LLVMValueRef saved = w->tail;
    Loop         l = loop_begin(e, from, many, step * APART, s->n, s->at);
    for (int i = 0; i < s->n; i++)
        s->at[i] = l.carry[i];
    for (int k = 0; k < APART; k++) {
        w->loop[loop] = i_addc(e, l.i, k * step);
        fold_roots(w, s, APART, k);
    }
    loop_end(e, &l, s->at);
    for (int i = 0; i < s->n; i++)
        s->at[i] = l.carry[i];
    l = loop_begin(e, many, whole, step, s->n, s->at);
    for (int i = 0; i < s->n; i++)
        s->at[i] = l.carry[i];
    w->loop[loop] = l.i;
    fold_roots(w, s, APART, 0);
    loop_end(e, &l, s->at);
    for (int i = 0; i < s->n; i++)
        s->at[i] = l.carry[i];
    if (!r->along)
        return;
    if (masked_tails(e)) {
        l = loop_begin(e, whole, to, step, s->n, s->at);           /* once or not at all */
        for (int i = 0; i < s->n; i++)
            s->at[i] = l.carry[i];
        w->loop[loop] = l.i;
        w->tail = tail_mask(e, i_sub(e, to, l.i), w->lanes);
        fold_roots(w, s, APART, 1);
        w->tail = saved;
        loop_end(e, &l, s->at);
        for (int i = 0; i < s->n; i++)
            s->at[i] = l.carry[i];
        return;
    }
    l = loop_begin(e, whole, to, 1, rest->n, rest->at);
    for (int i = 0; i < rest->n; i++)
        rest->at[i] = l.carry[i];
    one->loop[loop] = l.i;
    fold_roots(one, rest, 1, 0);
    loop_end(e, &l, rest->at);
    for (int i = 0; i < rest->n; i++)
        rest->at[i] = l.carry[i];
}

/* The lanes by halves: a fixed tree. */
static LLVMValueRef fold_lanes(Emit *e, How how, ValType t, LLVMValueRef v)
{
    for (int n = lanes_of(v); n > 2; n /= 2) {
        int low[64], high[64];
        for (int i = 0; i < n / 2; i++) {
            low[i] = i;
            high[i] = i + n / 2;
        }
        v = fold(e, how, t, shuffle(e, v, v, low, n / 2), shuffle(e, v, v, high, n / 2));
    }
    if (lanes_of(v) == 1)
        return v;
    LLVMValueRef a = LLVMBuildExtractElement(e->b, v, LLVMConstInt(t_i32(e), 0, 0), ""), b = LLVMBuildExtractElement(e->b, v, LLVMConstInt(t_i32(e), 1, 0), "");
    return fold(e, how, t, a, b);
}

static void finish(Walk *w, const Reduction *r, const Sums *s, const Sums *rest)
{
    Emit        *e = r->e;
    LLVMValueRef extra = i_mul(e, r->chunk, extent_value(e, r->b->chunk_stride));
    for (uint32_t i = 0; i < r->b->nroots; i++) {
        const Root         *root = &r->b->root[i];
        ValType             t = (ValType)r->b->ins.at[root->value].type;
        const LLVMValueRef *a = &s->at[i * APART];
        LLVMValueRef        v = fold(e, root->how, t, fold(e, root->how, t, a[0], a[1]), fold(e, root->how, t, a[2], a[3]));
        if (r->lanes_reduced)
            v = fold_lanes(e, root->how, t, v);
        else if (root->keep && lanes_of(v) > 1)
            v = LLVMBuildSelect(e->b, walk_again(w, root->keep), v, LLVMConstNull(LLVMTypeOf(v)), "");
        if (rest->n)
            v = fold(e, root->how, t, v, rest->at[i]);
        LLVMValueRef tail = w->tail;
        if (root->only && lanes_of(v) > 1)
            w->tail = walk_again(w, root->only);
        walk_index_again(w, root->at);         /* the rows' loop has ended, and what was calculated in it */
        walk_store(w, root, v, extra);
        w->tail = tail;
    }
}

/* All rows of the present chunk, at the present kept place. */
static void reduce_place(Walk *w, Walk *one, const Reduction *r)
{
    Emit        *e = r->e;
    const Body  *b = r->b;
    bool         scalar_rest = r->along && !masked_tails(e) && w->lanes > 1;
    Sums         s = start_sums(w, APART), rest = { .n = 0 };
    LLVMValueRef rows = r->pieces, init[MAX_ROOTS * (APART + 1)];
    if (scalar_rest)
        rest = start_sums(one, 1);
    for (uint32_t i = 0; i < r->nrows; i++)
        rows = i_mul(e, rows, extent_value(e, b->extent[r->rows[i]]));
    LLVMValueRef first = i_mulc(e, r->chunk, b->rows_a_chunk), end = i_min(e, i_addc(e, first, b->rows_a_chunk), rows);
    for (int i = 0; i < s.n + rest.n; i++)
        init[i] = i < s.n ? s.at[i] : rest.at[i - s.n];
    walk_level(w, LEVEL_PLANE);
    if (scalar_rest)
        walk_level(one, LEVEL_PLANE);
    Loop l = loop_begin(e, first, end, 1, s.n + rest.n, init);
    for (int i = 0; i < s.n + rest.n; i++)
        *(i < s.n ? &s.at[i] : &rest.at[i - s.n]) = l.carry[i];
    LLVMValueRef from = c_int(e, 0), to = r->inner >= 0 ? extent_value(e, b->extent[r->inner]) : c_int(e, 1), row = l.i;
    if (b->segment) {
        from = i_mulc(e, i_rem(e, l.i, r->pieces), b->segment);
        to = i_min(e, i_addc(e, from, b->segment), to);
        row = i_div(e, l.i, r->pieces);
    }
    split_number(w, row, r->rows, r->nrows);
    share_loops(one, w);
    walk_level(w, LEVEL_ROW);
    if (scalar_rest)
        walk_level(one, LEVEL_ROW);
    if (r->inner >= 0)
        fold_row(w, one, r, from, to, &s, &rest);
    else
        fold_roots(w, &s, APART, 0);
    for (int i = 0; i < s.n + rest.n; i++)
        init[i] = i < s.n ? s.at[i] : rest.at[i - s.n];
    loop_end(e, &l, init);
    for (int i = 0; i < s.n + rest.n; i++)
        *(i < s.n ? &s.at[i] : &rest.at[i - s.n]) = l.carry[i];
    finish(w, r, &s, &rest);
}

/* Kept lanes of a row-major domain: whole vectors, then what is left. */
static void reduce_lanes(Walk *w, Walk *one, const Reduction *r, LLVMValueRef block)
{
    Emit        *e = r->e;
    uint32_t     loop = r->b->inner[r->lane_group];
    LLVMValueRef extent = extent_value(e, r->b->extent[r->lane_group]), base = i_mulc(e, block, w->lanes);
    w->loop[loop] = base;
    if (masked_tails(e)) {
        w->tail = tail_mask(e, i_sub(e, extent, base), w->lanes);
        reduce_place(w, one, r);
        w->tail = NULL;
        return;
    }
    If f = if_begin(e, i_less(e, extent, i_addc(e, base, w->lanes)));
    Loop l = loop_begin(e, base, extent, 1, 0, NULL);
    share_loops(one, w);
    one->loop[loop] = l.i;
    reduce_place(one, one, r);
    loop_end(e, &l, NULL);
    if_else(e, &f);
    reduce_place(w, one, r);
    if_end(e, &f);
}

static void emit_reduce(Emit *e, const Body *b)
{
    Reduction r = plan_reduction(e, b);
    int       lanes = b->blocked || b->ngroups ? e->target->vec : 1;
    int       lane_loop = b->blocked ? (int)b->ndomain - 1 : r.along ? b->inner[r.inner] : r.lane_group >= 0 ? b->inner[r.lane_group] : -1;
    uint32_t  inner = r.inner >= 0 ? group_loops(b, (uint32_t)r.inner) : 0, row_loops = 0;
    for (uint32_t i = 0; i < r.nrows; i++)
        row_loops |= group_loops(b, r.rows[i]);
    Walk w = walk_new(e, b, lanes, lane_loop, inner, row_loops), one = walk_new(e, b, 1, lane_loop, inner, row_loops);
    walk_level(&w, LEVEL_KERNEL);
    if (!masked_tails(e))
        walk_level(&one, LEVEL_KERNEL);
    r.pieces = c_int(e, 1);
    if (b->segment)
        r.pieces = i_divc(e, i_addc(e, extent_value(e, b->extent[r.inner]), b->segment - 1), b->segment);
    LLVMValueRef chunks = extent_value(e, b->chunks), tasks = chunks, blocks = c_int(e, 1);
    if (r.lane_group >= 0)
        blocks = i_divc(e, i_addc(e, extent_value(e, b->extent[r.lane_group]), lanes - 1), lanes);
    tasks = i_mul(e, tasks, blocks);
    for (uint32_t i = 0; i < r.nkept; i++)
        tasks = i_mul(e, tasks, extent_value(e, b->extent[r.kept[i]]));
    Loop         t = tasks_begin(e, tasks);
    LLVMValueRef place = i_div(e, t.i, chunks), block = i_rem(e, place, blocks);
    r.chunk = i_rem(e, t.i, chunks);
    split_number(&w, i_div(e, place, blocks), r.kept, r.nkept);
    share_loops(&one, &w);
    if (r.lane_group >= 0)
        reduce_lanes(&w, &one, &r, block);
    else
        reduce_place(&w, &one, &r);
    loop_end(e, &t, NULL);
    walk_free(&w);
    walk_free(&one);
}

void loops_emit(Emit *e, const Body *b)
{
    if (b->kind == BODY_REDUCE)
        emit_reduce(e, b);
    else
        emit_map(e, b);
}

/* How many tasks the loops make, for the launcher. */
Dim loops_tasks(const Body *b, DimTable *d, const Target *t)
{
    Dim n = b->kind == BODY_REDUCE ? b->chunks : b->chunk_stride;
    if (b->kind == BODY_MAP) {
        for (uint32_t g = 0; g + 1 < b->ngroups; g++)
            n = dim_mul(d, n, b->extent[g]);
        return b->ngroups ? n : dim_const(d, 1);
    }
    for (uint32_t g = 0; g < b->ngroups; g++) {
        bool lanes = !b->blocked && g + 1 == b->ngroups;
        if (!b->loop[b->inner[g]].reduced)
            n = dim_mul(d, n, lanes ? dim_ceildiv(d, b->extent[g], t->vec) : b->extent[g]);
    }
    return n;
}

/* ---- epilogues and prologues: the body at one vector of a contraction's results, or of what it reads ---- */

LLVMValueRef loops_epilogue(const Body *b, const int *bufs, Emit *e, LLVMValueRef acc, const At4 *at)
{
    uint32_t    n = b->ndomain;
    int         lanes = lanes_of(acc);
    Walk        w = walk_new(e, b, lanes, (int)n - 1, 0, 0);
    w.acc = acc;
    w.bufs = bufs;
    w.tail = lanes > 1 ? at->mask : NULL;
    if (b->blocked) {
        LLVMValueRef place[] = { at->n, at->cb, at->h, at->w, c_int(e, 0) };
        for (uint32_t l = 0; l < 5; l++)
            w.loop[l] = place[l];
    } else if (at->cb) {
        LLVMValueRef place[] = { at->n, at->cb, at->h, at->w };
        for (uint32_t l = 0; l < 4; l++)
            w.loop[l] = place[l];
    } else {
        LLVMValueRef lead = at->n;
        w.loop[n - 1] = at->w;
        w.loop[n - 2] = at->h;
        for (uint32_t l = n - 2; l-- > 0 && lead;) {
            LLVMValueRef extent = dim_value(e, b->loop[l].extent);
            w.loop[l] = l ? i_rem(e, lead, extent) : lead;
            lead = l ? i_div(e, lead, extent) : NULL;
        }
    }
    for (Level l = LEVEL_KERNEL; l <= LEVEL_INNER; l++)
        walk_level(&w, l);
    for (uint32_t i = 0; i < b->nsums && at->seen; i++)
        at->seen[i] = walk_value(&w, b->sum[i]);
    LLVMValueRef first = root_value(&w, &b->root[0]);
    for (uint32_t i = 1; i < b->nroots; i++)
        store_root(&w, &b->root[i], root_value(&w, &b->root[i]));
    walk_free(&w);
    return first;
}

struct PrologueWalk { Walk w; };

LLVMValueRef loops_prologue(PrologueWalk **walk, const Body *b, const int *bufs, Emit *e, const At4 *at, PrologueStep step)
{
    enum { OF_IMAGE, OF_BLOCK, OF_ROW, OF_COLUMN };
    if (!*walk) {
        *walk = xmalloc(sizeof **walk);
        (*walk)->w = walk_new(e, b, e->target->vec, (int)b->ndomain - 1, 1u << OF_COLUMN, 1u << OF_ROW);
    }
    Walk *w = &(*walk)->w;
    w->bufs = bufs;
    if (step == PROLOGUE_PLANE) {
        w->loop[OF_IMAGE] = at->n;
        w->loop[OF_BLOCK] = at->cb;
        w->loop[b->ndomain - 1] = c_int(e, 0);
        walk_level(w, LEVEL_KERNEL);
        walk_level(w, LEVEL_PLANE);
        return NULL;
    }
    w->loop[step == PROLOGUE_ROW ? OF_ROW : OF_COLUMN] = step == PROLOGUE_ROW ? at->h : at->w;
    walk_level(w, step == PROLOGUE_ROW ? LEVEL_ROW : LEVEL_INNER);
    return step == PROLOGUE_ROW ? NULL : root_value(w, &b->root[0]);
}

void loops_prologue_end(PrologueWalk *walk)
{
    if (walk)
        walk_free(&walk->w);
    free(walk);
}
