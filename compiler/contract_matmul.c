/* contract_matmul.c - matmul: a (..,m,k) b (..,k,n), either stored transposed, to (..,m,n).
 *
 *   task = (leading axes, chunk of k, tile of NB*V columns, rows)
 *     tile of PW rows:  acc[row][j];  for k:  acc[row][j] += a[row][k] * b[k][j]
 *
 * b is read where it lies when it is stored (k,n); stored (n,k) it is packed into panels [column tile][k][NB*V]. Columns: the last tile overlaps, or
 * has masks when there are fewer columns than a tile. Rows: as columns of a convolution. When k is long and the result small (Gram matrices, weight
 * gradients), k goes in fixed chunks with partial results of their own, which a second kernel adds in order: that is both the parallelism and what keeps
 * a chunk in the cache.
 *
 * Rank 4 with blocked channels (attention heads that fill a vector) has its lanes over channels: emit_matmul_lanes.
 */
#include "contract.h"

#include <assert.h>
#include <string.h>

enum { SPLIT_K = 2048, SPLIT_LARGEST = 1 << 16, TASK_ROWS = 96, MAX_NB = 8 };

typedef struct { int rank, ta, tb; Dim m, n, k, batch; int64_t M, N, K; } Shape;    /* numbers: -1 when not constant */

static Shape shape_of(const Graph *g, Ref r)
{
    DimTable      *d = g->dims;
    const Dim     *out = node_shape(g, r), *a = node_shape(g, node_arg(g, r, 0));
    const int64_t *attrs = node_attrs(g, r);
    Shape          s = { .rank = node(g, r)->rank, .ta = attrs[0] != 0, .tb = attrs[1] != 0, .M = -1, .N = -1, .K = -1 };
    s.m = out[s.rank - 2];
    s.n = out[s.rank - 1];
    s.k = a[s.ta ? s.rank - 2 : s.rank - 1];
    s.batch = dim_const(d, 1);
    for (int i = 0; i < s.rank - 2; i++)
        s.batch = dim_mul(d, s.batch, out[i]);
    dim_is_const(d, s.m, &s.M);
    dim_is_const(d, s.n, &s.N);
    dim_is_const(d, s.k, &s.K);
    return s;
}

/* ---- planning ---- */

static bool has_pointers(const Shape *s) { return !s->ta && s->K < 0; }    /* rows of a at distances that are not known: an address register each */

/* The narrower tile behind those of V_PW rows. */
static void set_tail(const Shape *s, ContractPlan *p)
{
    int rows = p->variant[V_PW];
    p->variant[V_PW2] = s->M < 0 && rows > 1 ? rows / 2 + 1 : 0;
    if (p->variant[V_PW2] >= rows)
        p->variant[V_PW2] = rows - 1;
}

static void size_packed(Graph *g, const Shape *s, ContractPlan *p)
{
    DimTable *d = g->dims;
    int64_t   width = (int64_t)p->variant[V_NB] * p->target->vec;
    if (p->packed == 1)
        p->packed_elems = dim_mul(d, s->batch, dim_mul(d, dim_scale(d, dim_ceildiv(d, s->n, width), width), s->k));
}

static void pick_block(const Shape *s, const Target *t, ContractPlan *p)
{
    double best = 0;
    bool   pointers = has_pointers(s);
    for (int nb = 1; nb <= MAX_NB; nb++) {
        int most = most_rows(t, nb);
        if (pointers && most > 8)
            most = 8;
        if (most < 1 || (s->N >= 0 && nb > 1 && nb * t->vec > s->N))
            break;
        if (s->M >= 0 && most > s->M)
            most = s->M > 1 ? (int)s->M : 1;
        double share = s->N < 0 ? 1 : tile_waste(s->N, (int64_t)nb * t->vec);
        for (int rows = s->M < 0 ? most : 1; rows <= most; rows++) {
            double score = fma_rate(rows, nb) * share * (s->M < 0 ? 1 : tile_waste(s->M, rows));
            if (score <= best)
                continue;
            best = score;
            p->variant[V_NB] = nb;
            p->variant[V_PW] = rows;
        }
    }
    set_tail(s, p);
    int rows = p->variant[V_PW];
    p->variant[V_CHUNK] = rows * ((TASK_ROWS + rows - 1) / rows);
    p->variant[V_UNROLL] = s->K < 0 || s->K >= 4 ? 4 : 1;
}

void plan_matmul(Graph *g, const Target *t, ContractPlan *p)
{
    Shape     s = shape_of(g, p->node);
    DimTable *d = g->dims;
    if (p->out.block > 1) {
        p->variant[V_ALGO] = ALGO_MATMUL_LANES;
        return;
    }
    p->variant[V_ALGO] = ALGO_MATMUL;
    pick_block(&s, t, p);
    p->packed = s.tb ? 1 : -1;
    size_packed(g, &s, p);
    if (s.M >= 0 && s.N >= 0 && s.M * s.N <= SPLIT_LARGEST && (s.K < 0 || s.K > 2 * SPLIT_K)) {
        p->variant[V_SPLIT] = SPLIT_K;
        p->combine = true;
        p->scratch_elems = dim_mul(d, dim_ceildiv(d, s.k, SPLIT_K), dim_mul(d, s.batch, dim_mul(d, s.m, s.n)));
    }
}

bool matmul_retile(Graph *g, ContractPlan *p, char *why, size_t nwhy)
{
    Shape s = shape_of(g, p->node);
    int  *v = p->variant;
    if (v[V_NB] > MAX_NB || (s.N >= 0 && v[V_NB] > 1 && (int64_t)v[V_NB] * p->target->vec > s.N))
        return snprintf(why, nwhy, "vectors: more than the columns of the result, or than %d", MAX_NB), false;
    if (!registers_hold(p, v[V_PW], v[V_NB], why, nwhy))
        return false;
    if ((has_pointers(&s) && v[V_PW] > 8) || (s.M >= 0 && v[V_PW] > (s.M > 1 ? s.M : 1)))
        return snprintf(why, nwhy, "rows: at most %lld here", has_pointers(&s) && (s.M < 0 || s.M > 8) ? 8LL : (long long)s.M), false;
    if (v[V_UNROLL] > 8 || (s.K >= 0 && v[V_UNROLL] > s.K))
        return snprintf(why, nwhy, "unroll: at most %lld", s.K >= 0 && s.K < 8 ? (long long)s.K : 8LL), false;
    v[V_CHUNK] = (v[V_CHUNK] + v[V_PW] - 1) / v[V_PW] * v[V_PW];
    set_tail(&s, p);
    size_packed(g, &s, p);
    return true;
}

/* ---- operands ---- */

typedef struct { LLVMValueRef base, row, col; View view; LLVMValueRef chans, size; int rank; } Operand;   /* strides as stored */

static Operand operand(Emit *e, const ContractPlan *p, int i, bool transposed)
{
    const Graph *g = p->g;
    Ref          in = node_arg(g, p->node, i);
    const Dim   *shape = node_shape(g, in);
    Operand      o = { .rank = node(g, in)->rank };
    int          buf = use_buf(e, in, p->in[i], false, layout_size(e->dims, o.rank, shape, &p->in[i]));
    o.base = buf_base(e, buf);
    o.row = dim_value(e, shape[o.rank - 1]);
    o.col = c_int(e, 1);
    o.size = i_mul(e, dim_value(e, shape[o.rank - 2]), o.row);
    if (o.rank == 4) {
        o.view = view4(e, o.base, shape, &p->in[i]);
        o.row = o.view.h;
        o.col = o.view.w;
        o.chans = dim_value(e, shape[1]);
    }
    if (transposed) {
        LLVMValueRef row = o.row;
        o.row = o.col;
        o.col = row;
    }
    return o;
}

/* Address of element 0,0 of the matrix with that leading index. */
static LLVMValueRef matrix(Emit *e, const Operand *o, LLVMValueRef batch)
{
    if (o->rank == 4) {
        LLVMValueRef zero = c_int(e, 0);
        return addr(e, o->base, view_off(e, &o->view, i_div(e, batch, o->chans), i_rem(e, batch, o->chans), zero, zero));
    }
    return addr(e, o->base, i_mul(e, batch, o->size));
}

/* ---- the kernel ---- */

typedef struct {
    Emit        *e;
    const int   *v;
    Shape        s;
    Operand      a, b;
    Result       result;
    LLVMValueRef partial;          /* base of partial results, or NULL */
    LLVMValueRef spill;
    bool         packed;
    LLVMValueRef m, n, batches;
    LLVMValueRef batch, split, klo, khi, col;      /* of the task */
    LLVMValueRef am, bm;           /* a at (0, klo); b at (klo, col) */
    LLVMValueRef bstep;            /* elements from a row of b to the next */
    int          nb;               /* of the columns being computed */
    LLVMValueRef mask;             /* of its loads and stores, or NULL */
} Mm;

static void put(Mm *k, LLVMValueRef v, LLVMValueRef row, LLVMValueRef col, LLVMValueRef mask)
{
    Emit *e = k->e;
    if (k->partial) {
        LLVMValueRef part = i_mad(e, i_mad(e, i_mad(e, k->split, k->batches, k->batch), k->m, row), k->n, col);
        vec_store_mask(e, v, addr(e, k->partial, part), mask);
        return;
    }
    result_store(&k->result, v, &(At4){ .n = k->s.rank > 2 ? k->batch : NULL, .h = row, .w = col, .mask = mask });
}

/* A vector of packed columns: all there, some, or none. */
static void put_packed(Mm *k, LLVMValueRef v, LLVMValueRef row, LLVMValueRef col)
{
    Emit *e = k->e;
    int   vec = e->target->vec;
    if (k->s.N >= 0 && k->s.N % (vec * k->nb) == 0) {
        put(k, v, row, col, NULL);
        return;
    }
    LLVMValueRef left = i_sub(e, k->n, col);
    If           full = if_begin(e, i_less(e, c_int(e, vec - 1), left));
    put(k, v, row, col, NULL);
    if_else(e, &full);
    If some = if_begin(e, i_less(e, c_int(e, 0), left));
    put(k, v, row, col, tail_mask(e, left, vec));
    if_end(e, &some);
    if_end(e, &full);
}

/* An optimiser's update as the epilogue of a product over the batch: more memory than arithmetic, so what it touches is asked for before the sum. */
static void ask_ahead(Mm *k, LLVMValueRef row, int rows)
{
    enum { SHORT_SUM = 512 };
    Emit *e = k->e;
    if (k->partial || !k->result.epilogue || k->s.K > SHORT_SUM)
        return;
    Loop r = loop_begin(e, c_int(e, 0), c_int(e, rows), 1, 0, NULL);
    for (int j = 0; j < k->nb; j++)
        result_ahead(&k->result, &(At4){ .n = k->s.rank > 2 ? k->batch : NULL, .h = i_add(e, row, r.i), .w = i_addc(e, k->col, (int64_t)j * e->target->vec) });
    loop_end(e, &r, NULL);
}

static void finish(Mm *k, LLVMValueRef *acc, LLVMValueRef row, int rows)
{
    Emit *e = k->e;
    int   vec = e->target->vec;
    for (int i = 0; i < rows * k->nb; i++)
        store(e, acc[i], addr(e, k->spill, c_int(e, (int64_t)i * vec)));
    Loop r = loop_begin(e, c_int(e, 0), c_int(e, rows), 1, 0, NULL);
    for (int j = 0; j < k->nb; j++) {
        LLVMValueRef v = vec_load(e, addr(e, k->spill, i_addc(e, i_mulc(e, r.i, (int64_t)k->nb * vec), (int64_t)j * vec)), vec);
        LLVMValueRef at = i_add(e, row, r.i), col = i_addc(e, k->col, (int64_t)j * vec);
        if (k->packed)
            put_packed(k, v, at, col);
        else
            put(k, v, at, col, k->mask);
    }
    loop_end(e, &r, NULL);
}

/* acc += rows of a times row of b, at distance `at` from the start of the chunk of k. */
static void step(Mm *k, LLVMValueRef *acc, LLVMValueRef a, LLVMValueRef at, int rows)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef bv[MAX_NB], b = addr(e, k->bm, i_mul(e, at, k->bstep)), av = addr(e, a, i_mul(e, at, k->a.col));
    for (int j = 0; j < k->nb; j++)
        bv[j] = vec_load_mask(e, addr(e, b, c_int(e, (int64_t)j * vec)), vec, k->mask);
    for (int i = 0; i < rows; i++) {
        LLVMValueRef x = splat(e, load(e, addr(e, av, i_mulc(e, k->a.row, i))), vec);
        for (int j = 0; j < k->nb; j++)
            acc[i * k->nb + j] = f_fma(e, x, bv[j], acc[i * k->nb + j]);
    }
}

static void tile(void *ctx, LLVMValueRef row, int rows)
{
    Mm          *k = ctx;
    Emit        *e = k->e;
    int          nacc = rows * k->nb, unroll = k->v[V_UNROLL];
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], a = addr(e, k->am, i_mul(e, row, k->a.row));
    assert(nacc <= MAX_CARRY);
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    ask_ahead(k, row, rows);
    LLVMValueRef count = i_sub(e, k->khi, k->klo), main = i_sub(e, count, i_rem(e, count, c_int(e, unroll)));
    Loop         l = loop_begin(e, c_int(e, 0), main, unroll, nacc, acc);
    memcpy(now, l.carry, sizeof now);
    for (int u = 0; u < unroll; u++)
        step(k, now, a, i_addc(e, l.i, u), rows);
    loop_end(e, &l, now);
    Loop t = loop_begin(e, main, count, 1, nacc, l.carry);
    memcpy(now, t.carry, sizeof now);
    step(k, now, a, t.i, rows);
    loop_end(e, &t, now);
    finish(k, t.carry, row, rows);
}

static void rows_of_task(Mm *k, LLVMValueRef from, LLVMValueRef to)
{
    Emit *e = k->e;
    int   rows = k->v[V_PW];
    if (k->v[V_PW2]) {
        tile_line(e, from, to, k->m, rows, k->v[V_PW2], tile, k);
        return;
    }
    Loop r = loop_begin(e, from, to, rows, 0, NULL);
    tile(k, i_min(e, r.i, i_addc(e, k->m, -rows)), rows);
    loop_end(e, &r, NULL);
}

/* Fewer columns than a tile: a vector at a time, the last one masked. */
static void narrow_columns(Mm *k, LLVMValueRef from, LLVMValueRef to)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef b = k->bm;
    Loop         c = loop_begin(e, c_int(e, 0), k->n, vec, 0, NULL);
    k->nb = 1;
    k->col = c.i;
    k->bm = addr(e, b, c.i);
    k->mask = tail_mask(e, i_sub(e, k->n, c.i), vec);
    rows_of_task(k, from, to);
    loop_end(e, &c, NULL);
}

static void columns_of_task(Mm *k, LLVMValueRef tile_index, LLVMValueRef from, LLVMValueRef to)
{
    Emit        *e = k->e;
    int          width = k->v[V_NB] * e->target->vec;
    LLVMValueRef b = matrix(e, &k->b, k->batch);
    k->nb = k->v[V_NB];
    k->mask = NULL;
    k->col = i_mulc(e, tile_index, width);
    if (k->packed) {
        LLVMValueRef tiles = i_divc(e, i_addc(e, k->n, width - 1), width), depth = dim_value(e, k->s.k);
        LLVMValueRef panel = i_mul(e, i_mad(e, k->batch, tiles, tile_index), i_mulc(e, depth, width));
        k->bm = addr(e, k->b.base, i_add(e, panel, i_mulc(e, k->klo, width)));
        k->bstep = c_int(e, width);
        rows_of_task(k, from, to);
        return;
    }
    k->bm = addr(e, b, i_mul(e, k->klo, k->b.row));
    k->bstep = k->b.row;
    if (k->s.N >= 0 && k->s.N < width) {
        narrow_columns(k, from, to);
        return;
    }
    LLVMValueRef first = k->bm;
    If           f = { 0 };
    if (k->s.N < 0) {
        f = if_begin(e, i_less(e, k->n, c_int(e, width)));
        narrow_columns(k, from, to);
        if_else(e, &f);
    }
    k->nb = k->v[V_NB];
    k->mask = NULL;
    k->col = i_min(e, i_mulc(e, tile_index, width), i_addc(e, k->n, -width));
    k->bm = addr(e, first, k->col);
    rows_of_task(k, from, to);
    if (k->s.N < 0)
        if_end(e, &f);
}

static Operand packed_operand(Emit *e, const ContractPlan *p)
{
    int buf = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, p->packed_elems);
    return (Operand){ .base = buf_base(e, buf), .size = c_int(e, 0) };
}

void emit_matmul(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    DimTable           *d = e->dims;
    Mm                  k = { .e = e, .v = p->variant, .s = shape_of(p->g, p->node), .packed = p->packed >= 0 };
    int                 width = k.v[V_NB] * e->target->vec, split = k.v[V_SPLIT];
    k.a = operand(e, p, 0, k.s.ta);
    k.b = k.packed ? packed_operand(e, p) : operand(e, p, 1, false);
    if (split) {
        k.partial = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->scratch_elems));
    } else {
        int out = use_buf(e, p->node, j->out, true, layout_size(d, k.s.rank, node_shape(p->g, p->node), &j->out));
        k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    }
    k.m = dim_value(e, k.s.m);
    k.n = dim_value(e, k.s.n);
    k.batches = dim_value(e, k.s.batch);
    k.spill = stack_array(e, t_f32(e), k.v[V_PW] * width);
    Dim chunks = dim_ceildiv(d, k.s.m, k.v[V_CHUNK]), tiles = dim_ceildiv(d, k.s.n, width), splits = split ? dim_ceildiv(d, k.s.k, split) : dim_const(d, 1);
    e->kernel->tasks = dim_mul(d, dim_mul(d, k.s.batch, splits), dim_mul(d, chunks, tiles));

    /* Chunks of rows innermost: the last one is shorter, and threads take whole ranges of tasks. */
    LLVMValueRef ntiles = dim_value(e, tiles), nchunks = dim_value(e, chunks), nsplits = dim_value(e, splits), depth = dim_value(e, k.s.k);
    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef rest = i_div(e, t.i, nchunks), tile_index = i_rem(e, rest, ntiles), chunk = i_rem(e, t.i, nchunks);
    rest = i_div(e, rest, ntiles);
    k.split = i_rem(e, rest, nsplits);
    k.batch = i_div(e, rest, nsplits);
    k.klo = split ? i_mulc(e, k.split, split) : c_int(e, 0);
    k.khi = split ? i_min(e, depth, i_addc(e, k.klo, split)) : depth;
    k.am = addr(e, matrix(e, &k.a, k.batch), i_mul(e, k.klo, k.a.col));
    LLVMValueRef from = i_mulc(e, chunk, k.v[V_CHUNK]);
    columns_of_task(&k, tile_index, from, i_min(e, k.m, i_addc(e, from, k.v[V_CHUNK])));
    loop_end(e, &t, NULL);
}

/* out = sum over chunks of k, in order. scratch: [chunk][leading][m][n]. */
void emit_matmul_combine(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    DimTable           *d = e->dims;
    Shape               s = shape_of(p->g, p->node);
    int                 vec = e->target->vec;
    LLVMValueRef        base = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, p->scratch_elems));
    int                 out = use_buf(e, p->node, j->out, true, layout_size(d, s.rank, node_shape(p->g, p->node), &j->out));
    Result              r = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    LLVMValueRef        zero = c_int(e, 0), m = dim_value(e, s.m), n = dim_value(e, s.n), acc = zero_acc(e);
    Dim                 rows = dim_mul(d, s.batch, s.m), splits = dim_ceildiv(d, s.k, p->variant[V_SPLIT]);
    LLVMValueRef        nrows = dim_value(e, rows), nsplits = dim_value(e, splits);
    e->kernel->tasks = rows;
    e->kernel->flops = dim_mul(d, dim_mul(d, rows, s.n), splits);
    Loop         t = tasks_begin(e, nrows);
    Loop         c = loop_begin(e, zero, n, vec, 0, NULL);
    LLVMValueRef mask = s.N >= 0 && s.N % vec == 0 ? NULL : tail_mask(e, i_sub(e, n, c.i), vec);
    Loop         i = loop_begin(e, zero, nsplits, 1, 1, &acc);
    LLVMValueRef part = vec_load_mask(e, addr(e, base, i_mad(e, i_mad(e, i.i, nrows, t.i), n, c.i)), vec, mask);
    LLVMValueRef sum = f_add(e, i.carry[0], part);
    loop_end(e, &i, &sum);
    result_store(&r, i.carry[0], &(At4){ .n = s.rank > 2 ? i_div(e, t.i, m) : NULL, .h = i_rem(e, t.i, m), .w = c.i, .mask = mask });
    loop_end(e, &c, NULL);
    loop_end(e, &t, NULL);
}

/* ---- packing b stored (n,k) ---- */

void pack_matmul(Emit *e, const ContractPlan *p)
{
    DimTable    *d = e->dims;
    Shape        s = shape_of(p->g, p->node);
    int          vec = e->target->vec, width = p->variant[V_NB] * vec;
    Operand      b = operand(e, p, 1, false);      /* rows n, columns k */
    LLVMValueRef to = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->packed_elems));
    Dim          tiles = dim_ceildiv(d, s.n, width);
    LLVMValueRef zero = c_int(e, 0), n = dim_value(e, s.n), depth = dim_value(e, s.k), ntiles = dim_value(e, tiles), column[4];
    LLVMValueRef slot = stack_array(e, t_f32(e), 1), stage = stack_array(e, t_f32(e), vec * vec);
    e->kernel->tasks = dim_mul(d, s.batch, tiles);
    e->kernel->flops = p->packed_elems;
    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef from = matrix(e, &b, i_div(e, t.i, ntiles)), panel = addr(e, to, i_mul(e, t.i, i_mulc(e, depth, width)));
    LLVMValueRef col = i_mulc(e, i_rem(e, t.i, ntiles), width), main = i_sub(e, depth, i_rem(e, depth, c_int(e, vec)));
    Loop         l = loop_begin(e, zero, main, vec, 0, NULL);
    Loop         j = loop_begin(e, zero, c_int(e, width), vec, 0, NULL);
    Loop         i = loop_begin(e, zero, c_int(e, vec), 1, 0, NULL);   /* rows of b to the stage, zeros past the last */
    LLVMValueRef r = i_add(e, i_add(e, col, j.i), i.i), at = vec_load(e, addr(e, from, i_mad(e, i_min(e, r, i_addc(e, n, -1)), b.row, l.i)), vec);
    store(e, LLVMBuildSelect(e->b, i_less(e, r, n), at, zero_acc(e), ""), addr(e, stage, i_mulc(e, i.i, vec)));
    loop_end(e, &i, NULL);
    Loop c = loop_begin(e, zero, c_int(e, vec), 4, 0, NULL);
    turn_columns(e, addr(e, stage, c.i), c_int(e, vec), column);
    for (int q = 0; q < 4; q++)
        store(e, column[q], addr(e, panel, i_add(e, i_mulc(e, i_addc(e, i_add(e, l.i, c.i), q), width), j.i)));
    loop_end(e, &c, NULL);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
    Loop tail = loop_begin(e, main, depth, 1, 0, NULL);
    Loop o = loop_begin(e, zero, c_int(e, width), 1, 0, NULL);
    LLVMValueRef row = i_add(e, col, o.i);
    store(e, c_f32(e, 0), slot);
    If f = if_begin(e, i_less(e, row, n));
    store(e, load(e, addr(e, from, i_mad(e, row, b.row, tail.i))), slot);
    if_end(e, &f);
    store(e, load(e, slot), addr(e, panel, i_mad(e, tail.i, c_int(e, width), o.i)));
    loop_end(e, &o, NULL);
    loop_end(e, &tail, NULL);
    loop_end(e, &t, NULL);
}

/* ---- rank 4, lanes over channels: out[n][cb][m][n'] = sum over k of a * b, lane by lane ---- */

typedef struct { Emit *e; Operand a, b; Result *r; LLVMValueRef am, bm, depth; At4 at; } Lanes;

static void lanes_tile(Lanes *k, LLVMValueRef row, LLVMValueRef col, int rows, int cols)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef acc[16], now[16], b[4];
    for (int i = 0; i < rows * cols; i++)
        acc[i] = zero_acc(e);
    Loop l = loop_begin(e, c_int(e, 0), k->depth, 1, rows * cols, acc);
    memcpy(now, l.carry, sizeof now);
    for (int c = 0; c < cols; c++)
        b[c] = vec_load(e, addr(e, k->bm, i_mad(e, l.i, k->b.row, i_mul(e, i_addc(e, col, c), k->b.col))), vec);
    for (int i = 0; i < rows; i++) {
        LLVMValueRef a = vec_load(e, addr(e, k->am, i_mad(e, i_addc(e, row, i), k->a.row, i_mul(e, l.i, k->a.col))), vec);
        for (int c = 0; c < cols; c++)
            now[i * cols + c] = f_fma(e, a, b[c], now[i * cols + c]);
    }
    loop_end(e, &l, now);
    for (int i = 0; i < rows; i++)
        for (int c = 0; c < cols; c++) {
            k->at.h = i_addc(e, row, i);
            k->at.w = i_addc(e, col, c);
            result_store(k->r, l.carry[i * cols + c], &k->at);
        }
}

void emit_matmul_lanes(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Dim          *shape = node_shape(p->g, p->node);
    DimTable           *d = e->dims;
    Shape               s = shape_of(p->g, p->node);
    Lanes               k = { .e = e, .a = operand(e, p, 0, s.ta), .b = operand(e, p, 1, s.tb) };
    int                 out = use_buf(e, p->node, j->out, true, layout_size(d, 4, shape, &j->out)), side = 4;
    Result              r = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    LLVMValueRef        m = dim_value(e, s.m), n = dim_value(e, s.n), zero = c_int(e, 0);
    Dim                 blocks = dim_ceildiv(d, shape[1], e->target->vec), row_tiles = dim_ceildiv(d, s.m, side);
    k.r = &r;
    k.depth = dim_value(e, s.k);
    e->kernel->tasks = dim_mul(d, dim_mul(d, shape[0], blocks), row_tiles);
    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef nrt = dim_value(e, row_tiles), nblocks = dim_value(e, blocks), rest = i_div(e, t.i, nrt), row = i_mulc(e, i_rem(e, t.i, nrt), side);
    k.at.cb = i_rem(e, rest, nblocks);
    k.at.n = i_div(e, rest, nblocks);
    k.am = addr(e, k.a.base, view_off(e, &k.a.view, k.at.n, k.at.cb, zero, zero));
    k.bm = addr(e, k.b.base, view_off(e, &k.b.view, k.at.n, k.at.cb, zero, zero));
    LLVMValueRef large = LLVMBuildAnd(e->b, i_less(e, c_int(e, side - 1), m), i_less(e, c_int(e, side - 1), n), "");
    If           f = if_begin(e, large);
    Loop         c = loop_begin(e, zero, n, side, 0, NULL);
    lanes_tile(&k, i_min(e, row, i_addc(e, m, -side)), i_min(e, c.i, i_addc(e, n, -side)), side, side);
    loop_end(e, &c, NULL);
    if_else(e, &f);
    Loop i = loop_begin(e, row, i_min(e, m, i_addc(e, row, side)), 1, 0, NULL);
    Loop o = loop_begin(e, zero, n, 1, 0, NULL);
    lanes_tile(&k, i.i, o.i, 1, 1);
    loop_end(e, &o, NULL);
    loop_end(e, &i, NULL);
    if_end(e, &f);
    loop_end(e, &t, NULL);
}
