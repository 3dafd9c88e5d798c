/* contract_depth.c - depthwise conv and conv_dx of blocked values: channels never meet, so lanes are channels on both sides.
 *
 *   task = (image, channel block, rows):  acc[pixel] += x[pixel] * w  over the taps, vectors throughout
 *
 * The weights (c,1,r,s) are packed [phase][channel block][tap row][tap column][V]. Phases are those of contract.h.
 */
#include "contract.h"

#include <string.h>

static int64_t depth_panels(const ConvMap *m, int vec, int64_t *phase_at)
{
    int64_t total = 0, blocks = (m->Cin + vec - 1) / vec;
    for (int y = 0; y < m->axis[0].count; y++)
        for (int x = 0; x < m->axis[1].count; x++) {
            phase_at[y * m->axis[1].count + x] = total;
            total += blocks * m->axis[0].at[y].taps * m->axis[1].at[x].taps * vec;
        }
    return total;
}

int64_t plan_depth(const ConvMap *m, const Target *t, ContractPlan *p)
{
    int64_t phase_at[MAX_PHASES * MAX_PHASES];
    p->variant[V_ALGO] = ALGO_DEPTH;
    p->variant[V_NB] = 1;
    p->variant[V_PW] = t->nregs / 2;
    p->variant[V_PW2] = t->nregs / 8;
    p->variant[V_CHUNK] = m->cols >= 64 ? 4 : 8;
    return depth_panels(m, t->vec, phase_at);
}

void pack_depth(Emit *e, const ContractPlan *p)
{
    const Graph *g = p->g;
    Conv         c = conv_of(g, p->node);
    ConvMap      m;
    int          vec = e->target->vec;
    int64_t      phase_at[MAX_PHASES * MAX_PHASES], blocks = (c.C + vec - 1) / vec;
    conv_map(&c, &m);
    int64_t     total = depth_panels(&m, vec, phase_at);
    const Axis *ay = &m.axis[0], *ax = &m.axis[1];
    Ref         wr = node_arg(g, p->node, 1);
    View        w = view4(e, buf_base(e, use_buf(e, wr, p->in[1], false, layout_size(e->dims, 4, node_shape(g, wr), &p->in[1]))), node_shape(g, wr), &p->in[1]);
    LLVMValueRef to = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, const_dim(e, total))), zero = c_int(e, 0);
    LLVMValueRef slot = stack_array(e, t_f32(e), 1);
    e->kernel->tasks = const_dim(e, (int64_t)ay->count * ax->count * blocks);
    e->kernel->flops = const_dim(e, total);
    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef cb = i_rem(e, t.i, c_int(e, blocks)), phase = i_divc(e, t.i, blocks);
    LLVMValueRef py = i_divc(e, phase, ax->count), px = i_rem(e, phase, c_int(e, ax->count));
    LLVMValueRef ty = phase_value(e, ay, py, offsetof(Phase, taps)), tx = phase_value(e, ax, px, offsetof(Phase, taps));
    LLVMValueRef ry = phase_value(e, ay, py, offsetof(Phase, w_first)), rx = phase_value(e, ax, px, offsetof(Phase, w_first));
    LLVMValueRef start = i_mad(e, cb, i_mulc(e, i_mul(e, ty, tx), vec), table_at(e, phase_at, ay->count * ax->count, phase));
    Loop         y = loop_begin(e, zero, ty, 1, 0, NULL);
    Loop         x = loop_begin(e, zero, tx, 1, 0, NULL);
    Loop         l = loop_begin(e, zero, c_int(e, vec), 1, 0, NULL);
    LLVMValueRef ch = i_add(e, i_mulc(e, cb, vec), l.i), r = i_add(e, ry, i_mulc(e, y.i, ay->w_step)), s = i_add(e, rx, i_mulc(e, x.i, ax->w_step));
    store(e, c_f32(e, 0), slot);
    If f = if_begin(e, i_less(e, ch, c_int(e, c.C)));
    store(e, load(e, addr(e, w.base, view_elem(e, &w, ch, zero, r, s))), slot);
    if_end(e, &f);
    store(e, load(e, slot), addr(e, to, i_add(e, start, i_add(e, i_mulc(e, i_mad(e, y.i, tx, x.i), vec), l.i))));
    loop_end(e, &l, NULL);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
    loop_end(e, &t, NULL);
}

typedef struct {
    Emit        *e;
    ConvMap      m;
    View         in;
    Result       result;
    LLVMValueRef spill, n, cb, qy;
    LLVMValueRef ty, tx, y_first, x_first, out_y, out_x, panel;
} Depth;

static void tile(void *ctx, LLVMValueRef qx, int pw)
{
    Depth       *k = ctx;
    Emit        *e = k->e;
    int          vec = e->target->vec;
    const Axis  *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY], now[MAX_CARRY];
    LLVMValueRef y = i_add(e, i_mulc(e, k->qy, ay->in_step), k->y_first), x = i_add(e, i_mulc(e, qx, ax->in_step), k->x_first);
    for (int i = 0; i < pw; i++)
        acc[i] = zero_acc(e);
    acc[pw] = k->panel;
    LLVMValueRef from = addr(e, k->in.base, view_off(e, &k->in, k->n, k->cb, y, x));
    Loop         r = loop_begin(e, zero, k->ty, 1, pw + 1, acc);
    LLVMValueRef xr = addr(e, from, i_mul(e, i_mulc(e, r.i, ay->tap_step), k->in.h));
    Loop         s = loop_begin(e, zero, k->tx, 1, pw + 1, r.carry);
    LLVMValueRef xs = addr(e, xr, i_mul(e, s.i, i_mulc(e, k->in.w, ax->tap_step))), w = vec_load(e, s.carry[pw], vec);
    memcpy(now, s.carry, sizeof now);
    for (int i = 0; i < pw; i++)
        now[i] = f_fma(e, vec_load(e, addr(e, xs, i_mulc(e, k->in.w, i * ax->in_step)), vec), w, now[i]);
    now[pw] = addr(e, now[pw], c_int(e, vec));
    loop_end(e, &s, now);
    loop_end(e, &r, s.carry);
    for (int i = 0; i < pw; i++)
        store(e, r.carry[i], addr(e, k->spill, c_int(e, (int64_t)i * vec)));
    Loop p = loop_begin(e, zero, c_int(e, pw), 1, 0, NULL);
    At4  at = { .n = k->n, .cb = k->cb };
    at.h = i_add(e, i_mulc(e, k->qy, ay->out_step), k->out_y);
    at.w = i_add(e, i_mulc(e, i_add(e, qx, p.i), ax->out_step), k->out_x);
    result_store(&k->result, vec_load(e, addr(e, k->spill, i_mulc(e, p.i, vec)), vec), &at);
    loop_end(e, &p, NULL);
}

void emit_depth(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    const int          *v = p->variant;
    DimTable           *d = e->dims;
    Conv                c = conv_of(g, p->node);
    Depth               k = { .e = e };
    int                 vec = e->target->vec;
    int64_t             phase_at[MAX_PHASES * MAX_PHASES], blocks = (c.C + vec - 1) / vec;
    conv_map(&c, &k.m);
    int64_t     total = depth_panels(&k.m, vec, phase_at);
    const Axis *ay = &k.m.axis[0], *ax = &k.m.axis[1];
    int64_t     phases = (int64_t)ay->count * ax->count;
    int         in = use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.m.in, &p->in[0]));
    int         packed = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, const_dim(e, total));
    int         out = use_buf(e, p->node, j->out, true, layout_size(d, 4, k.m.out, &j->out));
    k.in = view4(e, buf_base(e, in), k.m.in, &p->in[0]);
    k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    k.spill = stack_array(e, t_f32(e), v[V_PW] * vec);
    Dim chunks = dim_ceildiv(d, dim_ceildiv(d, k.m.out[2], ay->out_step), v[V_CHUNK]);
    e->kernel->tasks = dim_scale(d, dim_mul(d, k.m.out[0], chunks), blocks * phases);

    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef nchunks = dim_value(e, chunks), chunk = i_rem(e, t.i, nchunks), rest = i_div(e, t.i, nchunks);
    LLVMValueRef phase = i_rem(e, rest, c_int(e, phases));
    rest = i_divc(e, rest, phases);
    k.cb = i_rem(e, rest, c_int(e, blocks));
    k.n = i_divc(e, rest, blocks);
    LLVMValueRef py = i_divc(e, phase, ax->count), px = i_rem(e, phase, c_int(e, ax->count));
    k.ty = phase_value(e, ay, py, offsetof(Phase, taps));
    k.tx = phase_value(e, ax, px, offsetof(Phase, taps));
    k.y_first = phase_value(e, ay, py, offsetof(Phase, in_first));
    k.x_first = phase_value(e, ax, px, offsetof(Phase, in_first));
    k.out_y = phase_value(e, ay, py, offsetof(Phase, out_first));
    k.out_x = phase_value(e, ax, px, offsetof(Phase, out_first));
    k.panel = addr(e, buf_base(e, packed), i_mad(e, k.cb, i_mulc(e, i_mul(e, k.ty, k.tx), vec), table_at(e, phase_at, (int)phases, phase)));
    LLVMValueRef rows = i_divc(e, i_addc(e, i_sub(e, k.result.rows, k.out_y), ay->out_step - 1), ay->out_step);
    LLVMValueRef cols = i_divc(e, i_addc(e, i_sub(e, k.result.cols, k.out_x), ax->out_step - 1), ax->out_step);
    LLVMValueRef first = i_mulc(e, chunk, v[V_CHUNK]);
    Loop         u = loop_begin(e, first, i_min(e, rows, i_addc(e, first, v[V_CHUNK])), 1, 0, NULL);
    k.qy = u.i;
    tile_line(e, c_int(e, 0), cols, cols, v[V_PW], v[V_PW2], tile, &k);
    loop_end(e, &u, NULL);
    loop_end(e, &t, NULL);
}
