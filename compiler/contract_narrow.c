/* contract_narrow.c - conv and conv_dx with fewer than V output channels: the last layer of a generator, the input gradient of a first layer.
 *
 * Results are row-major, so a vector of results is V neighbouring pixels of one channel. Two ways to compute it:
 *
 * lanes over input channels (the input is blocked):
 *   acc[pixel][channel] += x[pixel] * w[channel]   over input blocks and taps, vectors of input lanes on both sides;
 *   the sums over lanes are made by adding halves of vectors, PW pixels at once, and put down in a line of V results;
 *   a line holds the pixels of all column phases, so strided input gradients interleave without scattered stores.
 *
 * lanes over pixels (the input has few channels too): x is read as it lies, weights are broadcast. For a strided input gradient lanes are the
 * pixels of one column phase; the phases of V of them each are woven into a line of results.
 */
#include "contract.h"

#include <assert.h>
#include <string.h>

enum { MOST_CHANNELS = 4 };        /* of a tile */

/* ---- lanes over input channels ---- */

void plan_narrow(const ConvMap *m, const Target *t, ContractPlan *p)
{
    int tiles = ((int)m->Cout + MOST_CHANNELS - 1) / MOST_CHANNELS, nb = ((int)m->Cout + tiles - 1) / tiles, pw = t->vec;
    while (pw > 1 && pw > most_rows(t, nb))
        pw /= 2;
    p->variant[V_ALGO] = ALGO_NARROW;
    p->variant[V_NB] = nb;         /* channels */
    p->variant[V_PW] = pw;         /* pixels, a power of two */
    p->variant[V_CHUNK] = m->cols >= 128 ? 1 : m->cols > 0 ? (int)(128 / m->cols) : 2;
}

bool narrow_retile(const ContractPlan *p, char *why, size_t nwhy)
{
    int pw = p->variant[V_PW];
    if (pw & (pw - 1) || pw > p->target->vec)
        return snprintf(why, nwhy, "cols: a power of two, at most %d", p->target->vec), false;
    return registers_hold(p, pw, p->variant[V_NB], why, nwhy);
}

typedef struct {
    Emit        *e;
    ConvMap      m;
    Panels       q;
    View         in;
    Result       result;
    int          nb, pw;
    LLVMValueRef packed, line;     /* line: [Cout][V] results of the pixels from `first` on */
    LLVMValueRef n, row, first;
    LLVMValueRef ty, tx, in_y, x_first, out_x, channel, panel;    /* of the phase and tile of channels */
    LLVMValueRef panel_size;       /* weights of one channel */
} Narrow;

/* Pixels q .. q+pw of the phase, nb channels, into the line. */
static void tile(Narrow *k, LLVMValueRef q, int pw)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nacc = pw * k->nb;
    const Axis  *ax = &k->m.axis[1], *ay = &k->m.axis[0];
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY], now[MAX_CARRY], w[MOST_CHANNELS];
    LLVMValueRef start = view_off(e, &k->in, k->n, zero, k->in_y, i_add(e, i_mulc(e, q, ax->in_step), k->x_first));
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    acc[nacc] = k->panel;
    LLVMValueRef x = addr(e, k->in.base, start);
    Loop         b = loop_begin(e, zero, c_int(e, k->q.in_blocks), 1, nacc + 1, acc);
    LLVMValueRef xb = addr(e, x, i_mul(e, b.i, k->in.c));
    Loop         r = loop_begin(e, zero, k->ty, 1, nacc + 1, b.carry);
    LLVMValueRef xr = addr(e, xb, i_mul(e, i_mulc(e, r.i, ay->tap_step), k->in.h));
    Loop         s = loop_begin(e, zero, k->tx, 1, nacc + 1, r.carry);
    LLVMValueRef xs = addr(e, xr, i_mul(e, s.i, i_mulc(e, k->in.w, ax->tap_step)));
    memcpy(now, s.carry, sizeof now);
    for (int j = 0; j < k->nb; j++)
        w[j] = vec_load(e, addr(e, now[nacc], i_mulc(e, k->panel_size, j)), vec);
    for (int p = 0; p < pw; p++) {
        LLVMValueRef v = vec_load(e, addr(e, xs, i_mulc(e, k->in.w, p * ax->in_step)), vec);
        for (int j = 0; j < k->nb; j++)
            now[p * k->nb + j] = f_fma(e, v, w[j], now[p * k->nb + j]);
    }
    now[nacc] = addr(e, now[nacc], c_int(e, vec));
    loop_end(e, &s, now);
    loop_end(e, &r, s.carry);
    loop_end(e, &b, r.carry);

    LLVMValueRef at = i_sub(e, i_add(e, i_mulc(e, q, ax->out_step), k->out_x), k->first);
    for (int j = 0; j < k->nb; j++) {
        LLVMValueRef v[64];
        for (int p = 0; p < pw; p++)
            v[p] = b.carry[p * k->nb + j];
        LLVMValueRef sums = sum_lanes(e, v, pw), to = addr(e, k->line, i_add(e, i_mulc(e, i_addc(e, k->channel, j), vec), at));
        if (pw == 1 || ax->out_step == 1) {
            store(e, sums, to);
            continue;
        }
        for (int p = 0; p < pw; p++)
            store(e, LLVMBuildExtractElement(e->b, sums, c_int(e, p), ""), addr(e, to, c_int(e, (int64_t)p * ax->out_step)));
    }
}

/* Results of column phase px that fall on the line. */
static void phase_of_line(Narrow *k, LLVMValueRef py, LLVMValueRef px)
{
    Emit        *e = k->e;
    const Axis  *ax = &k->m.axis[1];
    int          s = ax->out_step, vec = e->target->vec;
    k->tx = phase_value(e, ax, px, offsetof(Phase, taps));
    k->x_first = phase_value(e, ax, px, offsetof(Phase, in_first));
    k->out_x = phase_value(e, ax, px, offsetof(Phase, out_first));
    LLVMValueRef count = i_divc(e, i_addc(e, i_sub(e, k->result.cols, k->out_x), s - 1), s), round = i_addc(e, i_sub(e, k->first, k->out_x), s - 1);
    LLVMValueRef from = i_divc(e, round, s), to = i_min(e, count, i_divc(e, i_addc(e, round, vec), s));
    int          phases = k->m.axis[0].count * ax->count;
    LLVMValueRef start = table_at(e, k->q.phase_at, phases, i_add(e, i_mulc(e, py, ax->count), px));
    k->panel_size = i_mulc(e, i_mul(e, k->ty, k->tx), k->q.in_blocks * k->q.lanes);
    Loop t = loop_begin(e, c_int(e, 0), c_int(e, k->m.Cout), k->nb, 0, NULL);
    k->channel = i_min(e, t.i, c_int(e, k->m.Cout - k->nb));
    k->panel = addr(e, k->packed, i_mad(e, k->channel, k->panel_size, start));
    LLVMValueRef left = i_sub(e, to, from), main = i_sub(e, to, i_rem(e, i_max(e, left, c_int(e, 0)), c_int(e, k->pw)));
    if (k->pw > 1) {
        Loop q = loop_begin(e, from, main, k->pw, 0, NULL);
        tile(k, q.i, k->pw);
        loop_end(e, &q, NULL);
    }
    Loop q = loop_begin(e, k->pw > 1 ? i_max(e, from, main) : from, to, 1, 0, NULL);
    tile(k, q.i, 1);
    loop_end(e, &q, NULL);
    loop_end(e, &t, NULL);
}

static void narrow_row(Narrow *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    const Axis  *ay = &k->m.axis[0];
    LLVMValueRef zero = c_int(e, 0);
    bool         single = ay->out_step == 1;
    LLVMValueRef py = single ? zero : i_rem(e, k->row, c_int(e, ay->out_step)), qy = single ? k->row : i_divc(e, k->row, ay->out_step);
    k->ty = phase_value(e, ay, py, offsetof(Phase, taps));
    k->in_y = i_add(e, i_mulc(e, qy, ay->in_step), phase_value(e, ay, py, offsetof(Phase, in_first)));
    Loop x = loop_begin(e, zero, k->result.cols, vec, 0, NULL);
    k->first = x.i;
    Loop p = loop_begin(e, zero, c_int(e, k->m.axis[1].count), 1, 0, NULL);
    phase_of_line(k, py, p.i);
    loop_end(e, &p, NULL);
    Loop         c = loop_begin(e, zero, c_int(e, k->m.Cout), 1, 0, NULL);
    LLVMValueRef v = vec_load(e, addr(e, k->line, i_mulc(e, c.i, vec)), vec);
    LLVMValueRef mask = k->m.cols >= 0 && k->m.cols % vec == 0 ? NULL : tail_mask(e, i_sub(e, k->result.cols, x.i), vec);
    result_store(&k->result, v, &(At4){ .n = k->n, .cb = c.i, .h = k->row, .w = x.i, .mask = mask });
    loop_end(e, &c, NULL);
    loop_end(e, &x, NULL);
}

void emit_narrow(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    DimTable           *d = e->dims;
    Conv                c = conv_of(g, p->node);
    Narrow              k = { .e = e, .nb = p->variant[V_NB], .pw = p->variant[V_PW] };
    conv_map(&c, &k.m);
    k.q = conv_panels(&k.m, p, p->in[0].block);
    int in = use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.m.in, &p->in[0]));
    int packed = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, const_dim(e, k.q.total));
    int out = use_buf(e, p->node, j->out, true, layout_size(d, 4, k.m.out, &j->out));
    k.in = view4(e, buf_base(e, in), k.m.in, &p->in[0]);
    k.packed = buf_base(e, packed);
    k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    k.line = stack_array(e, t_f32(e), (int)k.m.Cout * e->target->vec);
    for (int i = 0; i < k.m.Cout; i++)         /* lanes past the end of a row are computed with; let them be numbers */
        store(e, zero_acc(e), addr(e, k.line, c_int(e, (int64_t)i * e->target->vec)));
    Dim rows = dim_mul(d, k.m.out[0], k.m.out[2]), chunks = dim_ceildiv(d, rows, p->variant[V_CHUNK]);
    e->kernel->tasks = chunks;
    Loop         t = tasks_begin(e, dim_value(e, chunks));
    LLVMValueRef first = i_mulc(e, t.i, p->variant[V_CHUNK]);
    Loop         u = loop_begin(e, first, i_min(e, dim_value(e, rows), i_addc(e, first, p->variant[V_CHUNK])), 1, 0, NULL);
    k.n = i_div(e, u.i, k.result.rows);
    k.row = i_rem(e, u.i, k.result.rows);
    narrow_row(&k);
    loop_end(e, &u, NULL);
    loop_end(e, &t, NULL);
}

/* ---- lanes over pixels ---- */

enum { LINE_VECTORS = 4 };         /* neighbouring vectors a tile */

void plan_pixels(const Conv *c, const ConvMap *m, const Target *t, ContractPlan *p)
{
    (void)t;
    int kg = (int)(m->Cout / c->groups), nb = kg < MOST_CHANNELS ? kg : MOST_CHANNELS;
    while (kg % nb != 0)
        nb--;
    if (nb * LINE_VECTORS > most_rows(t, 1))
        nb = kg % 2 == 0 ? 2 : 1;
    p->variant[V_ALGO] = ALGO_PIXELS;
    p->variant[V_NB] = nb;         /* channels, of one group */
    p->variant[V_PW] = LINE_VECTORS;
}

typedef struct {
    Emit        *e;
    Conv         c;
    ConvMap      m;
    View         in, w;
    Result       result;
    int          nb;
    LLVMValueRef n, channel, row, in_channel;
    LLVMValueRef in_y, ty, wy;     /* of the row: input row of its first tap, taps, first weight row */
    LLVMValueRef tx, x_first, wx;  /* of the columns being computed */
    LLVMValueRef line;             /* strided: [nb][out_step*V] results */
} Pixels;

static void row_phase(Pixels *k)
{
    Emit        *e = k->e;
    const Axis  *ay = &k->m.axis[0];
    LLVMValueRef py = i_rem(e, k->row, c_int(e, ay->out_step)), qy = i_divc(e, k->row, ay->out_step);
    k->ty = phase_value(e, ay, py, offsetof(Phase, taps));
    k->wy = phase_value(e, ay, py, offsetof(Phase, w_first));
    k->in_y = i_add(e, i_mulc(e, qy, ay->in_step), phase_value(e, ay, py, offsetof(Phase, in_first)));
}

static void column_phase(Pixels *k, LLVMValueRef px)
{
    const Axis *ax = &k->m.axis[1];
    k->tx = phase_value(k->e, ax, px, offsetof(Phase, taps));
    k->x_first = phase_value(k->e, ax, px, offsetof(Phase, in_first));
    k->wx = phase_value(k->e, ax, px, offsetof(Phase, w_first));
}

/* sums[v*nb + j]: vector v of the pixels from q on of the phase, output channel j of the tile. */
static void pixels_sums(Pixels *k, LLVMValueRef q, int vectors, LLVMValueRef mask, LLVMValueRef *sums)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nacc = vectors * k->nb;
    const Axis  *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    bool         dx = k->c.op == OP_conv_dx;
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY], now[MAX_CARRY], w[MOST_CHANNELS], col = i_add(e, i_mulc(e, q, ax->in_step), k->x_first);
    int64_t      cin = k->m.Cin / k->c.groups, cout = k->m.Cout / k->c.groups;
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    Loop         c = loop_begin(e, zero, c_int(e, cin), 1, nacc, acc);
    LLVMValueRef ic = i_add(e, k->in_channel, c.i);
    Loop         r = loop_begin(e, zero, k->ty, 1, nacc, c.carry);
    Loop         s = loop_begin(e, zero, k->tx, 1, nacc, r.carry);
    LLVMValueRef iy = i_add(e, k->in_y, i_mulc(e, r.i, ay->tap_step)), ix = i_add(e, col, i_mulc(e, s.i, ax->tap_step));
    LLVMValueRef at = addr(e, k->in.base, view_off(e, &k->in, k->n, ic, iy, ix));
    LLVMValueRef wr = i_add(e, i_mulc(e, r.i, ay->w_step), k->wy), ws = i_add(e, i_mulc(e, s.i, ax->w_step), k->wx);
    for (int j = 0; j < k->nb; j++) {
        LLVMValueRef oc = i_addc(e, k->channel, j);
        LLVMValueRef wk = dx ? ic : oc, wc = dx ? i_rem(e, oc, c_int(e, cout)) : c.i;
        w[j] = splat(e, load(e, addr(e, k->w.base, view_elem(e, &k->w, wk, wc, wr, ws))), vec);
    }
    memcpy(now, s.carry, sizeof now);
    for (int v = 0; v < vectors; v++) {
        LLVMValueRef xv = spaced_load(e, addr(e, at, c_int(e, (int64_t)v * vec * ax->in_step)), ax->in_step, mask);
        for (int j = 0; j < k->nb; j++)
            now[v * k->nb + j] = f_fma(e, xv, w[j], now[v * k->nb + j]);
    }
    loop_end(e, &s, now);
    loop_end(e, &r, s.carry);
    loop_end(e, &c, r.carry);
    memcpy(sums, c.carry, (size_t)nacc * sizeof *sums);
}

static void pixels_tile(Pixels *k, LLVMValueRef x, int vectors, LLVMValueRef mask)
{
    Emit        *e = k->e;
    LLVMValueRef sums[MAX_CARRY];
    pixels_sums(k, x, vectors, mask, sums);
    for (int v = 0; v < vectors; v++)
        for (int j = 0; j < k->nb; j++) {
            At4 at = { .n = k->n, .cb = i_addc(e, k->channel, j), .h = k->row, .w = i_addc(e, x, (int64_t)v * e->target->vec), .mask = mask };
            result_store(&k->result, sums[v * k->nb + j], &at);
        }
}

/* A row of one phase: whole vectors, the last one overlapping; one masked vector when the row is shorter. */
static void pixels_row(Pixels *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef zero = c_int(e, 0), cols = k->result.cols, wide = c_int(e, (int64_t)LINE_VECTORS * vec);
    column_phase(k, zero);
    If few = if_begin(e, i_less(e, cols, c_int(e, vec)));
    pixels_tile(k, zero, 1, tail_mask(e, cols, vec));
    if_else(e, &few);
    LLVMValueRef main = i_sub(e, cols, i_rem(e, cols, wide));
    Loop         x = loop_begin(e, zero, main, LINE_VECTORS * vec, 0, NULL);
    pixels_tile(k, x.i, LINE_VECTORS, NULL);
    loop_end(e, &x, NULL);
    Loop y = loop_begin(e, main, cols, vec, 0, NULL);
    pixels_tile(k, i_min(e, y.i, i_addc(e, cols, -vec)), 1, NULL);
    loop_end(e, &y, NULL);
    if_end(e, &few);
}

/* A row of several phases: V pixels of each at a time. */
static void woven_row(Pixels *k)
{
    Emit        *e = k->e;
    const Axis  *ax = &k->m.axis[1];
    int          vec = e->target->vec, step = ax->out_step;
    LLVMValueRef zero = c_int(e, 0), cols = k->result.cols, turn = stack_array(e, t_f32(e), vec), sums[MAX_CARRY];
    Loop         q = loop_begin(e, zero, i_divc(e, i_addc(e, cols, step - 1), step), vec, 0, NULL);
    Loop         p = loop_begin(e, zero, c_int(e, ax->count), 1, 0, NULL);
    column_phase(k, p.i);
    LLVMValueRef out_x = phase_value(e, ax, p.i, offsetof(Phase, out_first)), count = i_divc(e, i_addc(e, i_sub(e, cols, out_x), step - 1), step);
    pixels_sums(k, q.i, 1, tail_mask(e, i_sub(e, count, q.i), vec), sums);
    for (int j = 0; j < k->nb; j++) {
        store(e, sums[j], turn);
        Loop l = loop_begin(e, zero, c_int(e, vec), 1, 0, NULL);
        LLVMValueRef to = i_addc(e, i_add(e, i_mulc(e, l.i, step), out_x), (int64_t)j * step * vec);
        store(e, load(e, addr(e, turn, l.i)), addr(e, k->line, to));
        loop_end(e, &l, NULL);
    }
    loop_end(e, &p, NULL);
    LLVMValueRef first = i_mulc(e, q.i, step);
    Loop         v = loop_begin(e, zero, i_min(e, c_int(e, (int64_t)step * vec), i_sub(e, cols, first)), vec, 0, NULL);
    LLVMValueRef x = i_add(e, first, v.i), mask = tail_mask(e, i_sub(e, cols, x), vec);
    for (int j = 0; j < k->nb; j++) {
        At4 at = { .n = k->n, .cb = i_addc(e, k->channel, j), .h = k->row, .w = x, .mask = mask };
        result_store(&k->result, vec_load(e, addr(e, k->line, i_addc(e, v.i, (int64_t)j * step * vec)), vec), &at);
    }
    loop_end(e, &v, NULL);
    loop_end(e, &q, NULL);
}

void emit_pixels(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    DimTable           *d = e->dims;
    Pixels              k = { .e = e, .c = conv_of(g, p->node), .nb = p->variant[V_NB] };
    conv_map(&k.c, &k.m);
    Ref wr = node_arg(g, p->node, 1);
    int in = use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.m.in, &p->in[0]));
    int w = use_buf(e, wr, p->in[1], false, layout_size(d, 4, node_shape(g, wr), &p->in[1]));
    int out = use_buf(e, p->node, j->out, true, layout_size(d, 4, k.m.out, &j->out));
    k.in = view4(e, buf_base(e, in), k.m.in, &p->in[0]);
    k.w = view4(e, buf_base(e, w), node_shape(g, wr), &p->in[1]);
    k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    int64_t      tiles = k.m.Cout / k.nb, cin = k.m.Cin / k.c.groups, cout = k.m.Cout / k.c.groups;
    if (k.m.axis[1].out_step > 1)
        k.line = stack_array(e, t_f32(e), k.nb * k.m.axis[1].out_step * e->target->vec);
    e->kernel->tasks = dim_scale(d, dim_mul(d, k.m.out[0], k.m.out[2]), tiles);
    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef row = i_divc(e, t.i, tiles);
    k.channel = i_mulc(e, i_rem(e, t.i, c_int(e, tiles)), k.nb);
    k.in_channel = i_mulc(e, i_divc(e, k.channel, cout), cin);
    k.n = i_div(e, row, k.result.rows);
    k.row = i_rem(e, row, k.result.rows);
    row_phase(&k);
    if (k.line)
        woven_row(&k);
    else
        pixels_row(&k);
    loop_end(e, &t, NULL);
}
