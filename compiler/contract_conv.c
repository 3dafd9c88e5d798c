/* contract_conv.c - conv and conv_dx whose result has blocked channels.
 *
 *   task = (rows of tiles, phase, group, tile of NB*V output channels)
 *     row of tiles -> tile of PN images x PR rows x PW columns
 *       acc[P][NB] vectors in registers;  for input block, tap row, tap column, lane:  acc[p][j] += x[p] * w[j]
 *       through the epilogue, to memory
 *
 * The broadcast x[p] is one element of the input: of a lane when the input is blocked, of a plane when it has fewer than V channels. The panel of
 * weights is read in storage order, from L2, once a tile; the innermost loop is unrolled V_UNROLL times and no pass unrolls more: more
 * code is not faster and costs compile time. Phases (contract.h) are values from tables, so that a strided input gradient is one
 * copy of the code. Small maps put several rows and images into a tile; the last tile of a row, column or batch overlaps.
 */
#include "contract.h"

#include <assert.h>
#include <string.h>

/* ---- block sizes ---- */

enum { USUAL_BATCH = 32, TASK_PIXELS = 256, SHORT_ROW = 8 };      /* SHORT_ROW: partial sums of shorter rows would be as much memory as the rows */

typedef struct { int nb, pn, pr, pw; double score; } Tile;

static void consider(Tile *best, Tile c, double share)
{
    c.score = share * fma_rate(c.pn * c.pr * c.pw, c.nb);
    if (c.score > best->score)
        *best = c;
}

/* rows, cols, n: sizes of a phase (the smallest of them) or -1 where not constant; blocks: of output channels a group. */
static Tile pick_tile(const Target *t, int64_t rows, int64_t cols, int64_t n, int64_t blocks)
{
    Tile best = { 1, 1, 1, 1, 0 };
    for (int nb = 1; nb <= 4 && nb <= blocks; nb++) {
        int    most = most_rows(t, nb);
        double share = tile_waste(blocks, nb);
        if (cols < 0) {
            consider(&best, (Tile){ .nb = nb, .pn = 1, .pr = 1, .pw = most > 16 ? 16 : most }, share);
            continue;
        }
        for (int pw = 1; pw <= most && pw <= cols; pw++) {
            double share_w = share * tile_waste(cols, pw);
            consider(&best, (Tile){ .nb = nb, .pn = 1, .pr = 1, .pw = pw }, share_w);
            for (int pr = 2; pw == cols && rows > 0 && pr <= rows && pr * pw <= most; pr++)
                consider(&best, (Tile){ .nb = nb, .pn = 1, .pr = pr, .pw = pw }, share_w * tile_waste(rows, pr));
            for (int pn = 2; pw == cols && rows > 0 && pn * rows * pw <= most && (n < 0 || pn <= n); pn++)
                consider(&best, (Tile){ .nb = nb, .pn = pn, .pr = (int)rows, .pw = pw }, share_w * tile_waste(n < 0 ? USUAL_BATCH : n, pn));
        }
    }
    return best;
}

/* The smallest positive number of positions that a phase of an axis has, n being the size of the result. */
static int64_t phase_size(const Axis *a, int64_t n)
{
    return n < 0 ? -1 : n / a->out_step > 0 ? n / a->out_step : 1;
}

/* Groups merge into dense blocks until both sides fill whole vectors: zeros are multiplied, but with vectors. */
static int merge_groups(const Conv *c, int vec)
{
    for (int m = 1; m < c->groups; m++)
        if (c->groups % m == 0 && c->C / c->groups * m % vec == 0 && c->K / c->groups * m % vec == 0)
            return c->groups / m;
    return 1;
}

static void plan_blocked(const Conv *c, const ConvMap *m, const Target *t, ContractPlan *p)
{
    int groups = c->groups > 1 ? merge_groups(c, t->vec) : 1;
    int64_t rows = phase_size(&m->axis[0], m->rows), cols = phase_size(&m->axis[1], m->cols), blocks = (m->Cout / groups + t->vec - 1) / t->vec;
    Tile    tile = pick_tile(t, rows, cols, m->n, blocks);
    p->variant[V_ALGO] = ALGO_CONV;
    p->variant[V_GROUPS] = groups;
    p->variant[V_NB] = tile.nb;
    p->variant[V_PN] = tile.pn;
    p->variant[V_PR] = tile.pr;
    p->variant[V_PW] = tile.pw;
    p->variant[V_PW2] = cols < 0 ? tile.pw / 2 + 1 : 0;
    p->variant[V_UNROLL] = m->Cin >= t->vec ? 4 : 1;     /* neighbouring taps of a plane share loads: unrolled, those loads would hold the registers */
    int64_t row = cols < 0 ? 64 : cols * tile.pr * tile.pn;
    p->variant[V_CHUNK] = (int)(row >= TASK_PIXELS ? 1 : TASK_PIXELS / row);
    p->sums_ok = cols < 0 || cols >= SHORT_ROW;
}

void plan_conv(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    ConvMap m;
    if (!conv_map(c, &m))
        return;
    bool in = p->in[0].block > 1, out = p->out.block > 1;
    bool depth = in && out && c->groups > 1 && c->groups == c->C && c->groups == c->K, pixels = !in && !out;
    for (int d = 0; d < 2; d++) {
        p->in[0].halo[2 * d] = (int16_t)m.axis[d].lo;
        p->in[0].halo[2 * d + 1] = (int16_t)m.axis[d].hi;
    }
    if (pixels) {
        plan_pixels(c, &m, t, p);
        return;
    }
    p->packed = 1;
    if (depth) {
        p->packed_elems = dim_const(g->dims, plan_depth(&m, t, p));
        return;
    }
    if (in && out && c->groups == 1 && plan_winograd(g, &m, t, p))
        return;
    if (out)
        plan_blocked(c, &m, t, p);
    else
        plan_narrow(&m, t, p);
    p->packed_elems = dim_const(g->dims, conv_panels(&m, p, p->in[0].block).total);
}

bool conv_retile(Graph *g, const Conv *c, ContractPlan *p, char *why, size_t nwhy)
{
    ConvMap       m;
    const Target *t = p->target;
    int          *v = p->variant;
    conv_map(c, &m);
    int64_t rows = phase_size(&m.axis[0], m.rows), cols = phase_size(&m.axis[1], m.cols), blocks = (m.Cout / v[V_GROUPS] + t->vec - 1) / t->vec;
    if (v[V_NB] > 4 || v[V_NB] > blocks)
        return snprintf(why, nwhy, "vectors: at most %d here", blocks < 4 ? (int)blocks : 4), false;
    if (!registers_hold(p, v[V_PN] * v[V_PR] * v[V_PW], v[V_NB], why, nwhy))
        return false;
    if (cols < 0 && (v[V_PN] > 1 || v[V_PR] > 1 || v[V_PW] < 3))
        return snprintf(why, nwhy, "the width is not known when compiling: tiles of one row, at least 3 columns"), false;
    if (cols >= 0 && (v[V_PW] > cols || v[V_PR] > (rows < 0 ? 1 : rows) || (m.n >= 0 && v[V_PN] > m.n)))
        return snprintf(why, nwhy, "the tile is larger than the result"), false;
    if (p->in[0].block > 1 ? t->vec % v[V_UNROLL] != 0 : v[V_UNROLL] != 1)
        return snprintf(why, nwhy, "unroll: it must divide %d", p->in[0].block > 1 ? t->vec : 1), false;
    v[V_PW2] = cols < 0 ? v[V_PW] / 2 + 1 : 0;
    p->packed_elems = dim_const(g->dims, conv_panels(&m, p, p->in[0].block).total);
    return true;
}

/* ---- emission ---- */

typedef struct { LLVMValueRef taps, in_first, out_first, count; } AxisNow;    /* the phase of a task */

typedef struct {
    Emit        *e;
    ConvMap      m;
    Panels       q;
    View         in;
    Result       result;
    ResultSums   sums;
    LLVMValueRef image;            /* of a tile of one image where tiles of more do not fit: its number */
    int          nb, unroll, groups;
    LLVMValueRef spill;            /* results of a tile on their way to the epilogue */
    LLVMValueRef images;
    AxisNow      y, x;             /* of the task */
    LLVMValueRef group, tile, panel;    /* panel: address of its weights */
} Core;

static AxisNow axis_now(Emit *e, const Axis *a, LLVMValueRef phase, LLVMValueRef size)
{
    AxisNow n;
    n.taps = phase_value(e, a, phase, offsetof(Phase, taps));
    n.in_first = phase_value(e, a, phase, offsetof(Phase, in_first));
    n.out_first = phase_value(e, a, phase, offsetof(Phase, out_first));
    int64_t s;
    if (is_int(size, &s) && s % a->out_step == 0)
        n.count = c_int(e, s / a->out_step);
    else
        n.count = i_divc(e, i_addc(e, i_sub(e, size, n.out_first), a->out_step - 1), a->out_step);
    return n;
}

/* One step of the reduction for all of a tile: acc[p][j] += x[p] * w[j]. */
static void step(Core *k, LLVMValueRef *acc, LLVMValueRef x, LLVMValueRef const *pixel, int pixels, LLVMValueRef w)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef wv[4];
    for (int j = 0; j < k->nb; j++)
        wv[j] = vec_load(e, addr(e, w, c_int(e, (int64_t)j * vec)), vec);
    for (int p = 0; p < pixels; p++) {
        LLVMValueRef xv = splat(e, load(e, addr(e, x, pixel[p])), vec);
        for (int j = 0; j < k->nb; j++)
            acc[p * k->nb + j] = f_fma(e, xv, wv[j], acc[p * k->nb + j]);
    }
}

/* The reduction: nest of loops carrying acc[0..nacc) and the address in the panel. x: address of tap 0,0 of the tile's first pixel. */
static void reduce(Core *k, LLVMValueRef *acc, int nacc, LLVMValueRef x, LLVMValueRef const *pixel, int pixels)
{
    Emit        *e = k->e;
    LLVMValueRef zero = c_int(e, 0);
    bool         blocked = k->in.block > 1;
    acc[nacc] = k->panel;
    Loop         b = loop_begin(e, zero, c_int(e, k->q.in_blocks), 1, nacc + 1, acc);
    LLVMValueRef xb = addr(e, x, i_mul(e, b.i, k->in.c));
    Loop         r = loop_begin(e, zero, k->y.taps, 1, nacc + 1, b.carry);
    LLVMValueRef xr = addr(e, xb, i_mul(e, i_mulc(e, r.i, k->m.axis[0].tap_step), k->in.h));
    LLVMValueRef tap = i_mulc(e, k->in.w, k->m.axis[1].tap_step);
    Loop         s = loop_begin(e, zero, k->x.taps, blocked ? 1 : k->unroll, nacc + 1, r.carry);
    LLVMValueRef xs = addr(e, xr, i_mul(e, s.i, tap));
    Loop         l = loop_begin(e, zero, c_int(e, k->q.lanes), blocked ? k->unroll : 1, nacc + 1, s.carry);
    LLVMValueRef xl = addr(e, xs, l.i), now[MAX_CARRY];
    memcpy(now, l.carry, sizeof now);
    for (int u = 0; u < k->unroll; u++) {
        LLVMValueRef w = addr(e, l.carry[nacc], c_int(e, u * k->q.width));
        step(k, now, addr(e, xl, blocked ? c_int(e, u) : i_mulc(e, tap, u)), pixel, pixels, w);
    }
    now[nacc] = addr(e, l.carry[nacc], c_int(e, k->unroll * k->q.width));
    loop_end(e, &l, now);
    loop_end(e, &s, l.carry);
    loop_end(e, &r, s.carry);
    loop_end(e, &b, r.carry);
    memcpy(acc, b.carry, (size_t)nacc * sizeof *acc);
}

/* The tile's results through the epilogue: a loop over its pixels, so that a long epilogue is emitted nb times only. */
static void finish(Core *k, LLVMValueRef *acc, LLVMValueRef n, LLVMValueRef qy, LLVMValueRef qx, int pn, int pr, int pw)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nacc = pn * pr * pw * k->nb;
    int64_t      blocks = (k->m.Cout / k->groups + vec - 1) / vec;
    LLVMValueRef zero = c_int(e, 0), base = i_mulc(e, k->group, blocks);
    SumRow       row = { .at = qx, .count = k->x.count, .cb = i_add(e, base, i_mulc(e, k->tile, k->nb)), .blocks = i_addc(e, base, blocks), .width = pw };
    for (int i = 0; i < nacc; i++)
        store(e, acc[i], addr(e, k->spill, c_int(e, (int64_t)i * vec)));
    Loop in = loop_begin(e, zero, c_int(e, pn), 1, 0, NULL);
    Loop ir = loop_begin(e, zero, c_int(e, pr), 1, 0, NULL);
    At4  at = { .n = i_add(e, n, in.i) };
    at.h = i_add(e, i_mulc(e, i_add(e, qy, ir.i), k->m.axis[0].out_step), k->y.out_first);
    row.row = i_add(e, i_mulc(e, i_add(e, k->image, in.i), pr), ir.i);
    row.slot = i_add(e, i_mulc(e, i_mad(e, at.n, dim_value(e, k->m.out[2]), at.h), k->m.axis[1].count), k->x.out_first);
    sums_row_begin(&k->sums, &row);
    Loop         ic = loop_begin(e, zero, c_int(e, pw), 1, 0, NULL);
    LLVMValueRef pixel = i_add(e, i_mulc(e, i_add(e, i_mulc(e, in.i, pr), ir.i), pw), ic.i);
    at.w = i_add(e, i_mulc(e, i_add(e, qx, ic.i), k->m.axis[1].out_step), k->x.out_first);
    at.seen = k->sums.now;
    for (int j = 0; j < k->nb; j++) {
        LLVMValueRef block = i_addc(e, i_mulc(e, k->tile, k->nb), j);
        LLVMValueRef v = vec_load(e, addr(e, k->spill, i_addc(e, i_mulc(e, pixel, (int64_t)k->nb * vec), (int64_t)j * vec)), vec);
        at.cb = i_add(e, base, block);
        bool guard = blocks % k->nb != 0 && j > 0;
        If   f = { 0 };
        if (guard)
            f = if_begin(e, i_less(e, block, c_int(e, blocks)));
        result_store(&k->result, v, &at);
        sums_column(&k->sums, &row, j, ic.i);
        if (guard)
            if_end(e, &f);
    }
    loop_end(e, &ic, NULL);
    sums_row_end(&k->sums, &row);
    loop_end(e, &ir, NULL);
    loop_end(e, &in, NULL);
}

/* A tile of pn images x pr rows x pw columns of the phase, at n, qy, qx. */
static void tile(Core *k, LLVMValueRef n, LLVMValueRef qy, LLVMValueRef qx, int pn, int pr, int pw)
{
    Emit        *e = k->e;
    int          pixels = pn * pr * pw, nacc = pixels * k->nb;
    LLVMValueRef acc[MAX_CARRY], pixel[MAX_CARRY];
    assert(nacc < MAX_CARRY);
    for (int p = 0; p < pixels; p++) {
        int in = p / (pr * pw), ir = p / pw % pr, ic = p % pw;
        pixel[p] = i_add(e, i_mulc(e, k->in.n, in), i_mulc(e, k->in.h, ir * k->m.axis[0].in_step));
        pixel[p] = i_add(e, pixel[p], i_mulc(e, k->in.w, ic * k->m.axis[1].in_step));
    }
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    LLVMValueRef y = i_add(e, i_mulc(e, qy, k->m.axis[0].in_step), k->y.in_first);
    LLVMValueRef x = i_add(e, i_mulc(e, qx, k->m.axis[1].in_step), k->x.in_first);
    int64_t      per_group = k->in.block > 1 ? k->m.Cin / k->groups / k->in.block : 0;
    LLVMValueRef at = view_off(e, &k->in, n, i_mulc(e, k->group, per_group), y, x);
    reduce(k, acc, nacc, addr(e, k->in.base, at), pixel, pixels);
    finish(k, acc, n, qy, qx, pn, pr, pw);
}

typedef struct { Core *k; LLVMValueRef n, qy; } RowAt;

static void tile_at(void *ctx, LLVMValueRef qx, int pw)
{
    RowAt *at = ctx;
    tile(at->k, at->n, at->qy, qx, 1, 1, pw);
    sums_done(&at->k->sums, i_addc(at->k->e, qx, pw));
}

/* Tiles of one row of tiles; y, n: numbers of the row tile and image tile. */
static void row(Core *k, const int *v, LLVMValueRef ny, LLVMValueRef nn)
{
    Emit        *e = k->e;
    int          pn = v[V_PN], pr = v[V_PR], pw = v[V_PW];
    LLVMValueRef qy = i_mulc(e, ny, pr), n = i_mulc(e, nn, pn);
    If           f = if_begin(e, i_less(e, qy, k->y.count));    /* phases may differ by a row */
    if (pr > 1)
        qy = i_min(e, qy, i_addc(e, k->y.count, -pr));
    k->image = c_int(e, 0);
    sums_done(&k->sums, c_int(e, 0));
    int64_t known;
    if (k->sums.p->nsums && !is_int(k->x.count, &known)) {
        If none = if_begin(e, i_equal(e, k->x.count, c_int(e, 0)));
        finish(k, NULL, n, qy, c_int(e, 0), pn, pr, 0);
        if_end(e, &none);
    }
    if (v[V_PW2]) {
        tile_line(e, c_int(e, 0), k->x.count, k->x.count, pw, v[V_PW2], tile_at, &(RowAt){ k, n, qy });
        if_end(e, &f);
        return;
    }
    Loop         x = loop_begin(e, c_int(e, 0), k->x.count, pw, 0, NULL);
    LLVMValueRef qx = i_min(e, x.i, i_addc(e, k->x.count, -pw));
    int64_t      images;
    if (pn == 1) {
        tile(k, n, qy, qx, 1, pr, pw);
    } else if (is_int(k->images, &images)) {
        tile(k, i_min(e, n, i_addc(e, k->images, -pn)), qy, qx, pn, pr, pw);
    } else {                       /* fewer images than the tile holds: one by one */
        If few = if_begin(e, i_less(e, k->images, c_int(e, pn)));
        Loop one = loop_begin(e, c_int(e, 0), k->images, 1, 0, NULL);
        k->image = one.i;
        tile(k, one.i, qy, qx, 1, pr, pw);
        k->image = c_int(e, 0);
        loop_end(e, &one, NULL);
        if_else(e, &few);
        tile(k, i_min(e, n, i_addc(e, k->images, -pn)), qy, qx, pn, pr, pw);
        if_end(e, &few);
    }
    sums_done(&k->sums, i_addc(e, qx, pw));
    loop_end(e, &x, NULL);
    if_end(e, &f);
}

void emit_conv(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    const int          *v = p->variant;
    DimTable           *d = e->dims;
    Conv                c = conv_of(g, p->node);
    Core                k = { .e = e, .nb = v[V_NB], .unroll = v[V_UNROLL], .groups = v[V_GROUPS] };
    conv_map(&c, &k.m);
    k.q = conv_panels(&k.m, p, p->in[0].block);
    int in = use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.m.in, &p->in[0]));
    int packed = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, const_dim(e, k.q.total));
    int out = use_buf(e, p->node, j->out, true, layout_size(d, 4, k.m.out, &j->out));
    k.in = view4(e, buf_base(e, in), k.m.in, &p->in[0]);
    k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    k.images = dim_value(e, k.m.out[0]);
    sums_begin(&k.sums, e, p, k.nb, v[V_PN] * v[V_PR]);
    k.spill = stack_array(e, t_f32(e), v[V_PN] * v[V_PR] * v[V_PW] * k.nb * e->target->vec);

    const Axis *ay = &k.m.axis[0], *ax = &k.m.axis[1];
    Dim         row_tiles = dim_ceildiv(d, dim_ceildiv(d, k.m.out[2], ay->out_step), v[V_PR]);
    Dim         rows = dim_mul(d, dim_ceildiv(d, k.m.out[0], v[V_PN]), row_tiles);
    Dim         chunks = dim_ceildiv(d, rows, v[V_CHUNK]);
    int64_t     panels = k.groups * k.q.tiles, phases = (int64_t)ay->count * ax->count;
    e->kernel->tasks = dim_scale(d, chunks, phases * panels);

    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef panel = i_rem(e, t.i, c_int(e, panels)), rest = i_divc(e, t.i, panels);
    LLVMValueRef phase = i_rem(e, rest, c_int(e, phases)), chunk = i_divc(e, rest, phases);
    k.tile = i_rem(e, panel, c_int(e, k.q.tiles));
    k.group = i_divc(e, panel, k.q.tiles);
    k.y = axis_now(e, ay, i_divc(e, phase, ax->count), dim_value(e, k.m.out[2]));
    k.x = axis_now(e, ax, i_rem(e, phase, c_int(e, ax->count)), dim_value(e, k.m.out[3]));
    LLVMValueRef size = i_mulc(e, i_mul(e, k.y.taps, k.x.taps), k.q.in_blocks * k.q.lanes * k.q.width);
    LLVMValueRef at = i_mad(e, panel, size, table_at(e, k.q.phase_at, (int)phases, phase));
    k.panel = addr(e, buf_base(e, packed), at);
    LLVMValueRef first = i_mulc(e, chunk, v[V_CHUNK]), total = dim_value(e, rows), per_image = dim_value(e, row_tiles);
    Loop         u = loop_begin(e, first, i_min(e, total, i_addc(e, first, v[V_CHUNK])), 1, 0, NULL);
    row(&k, v, i_rem(e, u.i, per_image), i_div(e, u.i, per_image));
    loop_end(e, &u, NULL);
    loop_end(e, &t, NULL);
}
