/* contract_pack.c - weights of conv and conv_dx into the panels of contract.h, in the order in which a kernel streams them.
 *
 * The stored weights (k,c/g,r,s) are row-major, or have lanes over c when there are V or more. Three ways:
 *   copy       conv_dx of blocked weights: result lanes are the stored lanes
 *   turn       conv of blocked weights: blocks turned in registers, so that lanes run over k
 *   scalar     everything else: few channels, grouped weights made dense by zeros
 */
#include "contract.h"

#include <assert.h>

Panels conv_panels(const ConvMap *m, const ContractPlan *p, int in_block)
{
    int    vec = p->target->vec, groups = p->variant[V_GROUPS], nb = p->variant[V_NB];
    Panels q = { .lanes = in_block > 1 ? vec : 1 };
    bool   narrow = p->variant[V_ALGO] == ALGO_NARROW;
    /* A narrow kernel has its lanes over input channels: a panel an output channel. */
    q.width = narrow ? 1 : (int64_t)nb * vec;
    q.in_blocks = (m->Cin / groups + q.lanes - 1) / q.lanes;
    q.tiles = (m->Cout / groups + q.width - 1) / q.width;
    for (int y = 0; y < m->axis[0].count; y++)
        for (int x = 0; x < m->axis[1].count; x++) {
            q.phase_at[y * m->axis[1].count + x] = q.total;
            q.total += groups * q.tiles * q.in_blocks * m->axis[0].at[y].taps * m->axis[1].at[x].taps * q.lanes * q.width;
        }
    return q;
}

typedef struct {
    Emit        *e;
    Conv         c;
    ConvMap      m;
    Panels       q;
    View         w;
    int          groups;           /* after merging */
    LLVMValueRef group, tile, block;    /* of the panel being filled */
    LLVMValueRef r, s, to;         /* weight tap, and where its [lanes][width] elements go */
} Pack;

/* One tap of one panel, an element at a time. */
static void pack_scalar(Pack *k)
{
    Emit        *e = k->e;
    bool         dx = k->c.op == OP_conv_dx;
    int64_t      cin = k->m.Cin / k->groups, cout = k->m.Cout / k->groups;
    LLVMValueRef zero = c_int(e, 0), lanes = c_int(e, k->q.lanes), width = c_int(e, k->q.width), slot = stack_array(e, t_f32(e), 1);
    Loop         l = loop_begin(e, zero, lanes, 1, 0, NULL);
    Loop         o = loop_begin(e, zero, width, 1, 0, NULL);
    LLVMValueRef ci = i_mad(e, k->block, lanes, l.i), co = i_mad(e, k->tile, width, o.i);
    LLVMValueRef ic = i_add(e, i_mulc(e, k->group, cin), ci), oc = i_add(e, i_mulc(e, k->group, cout), co);
    LLVMValueRef ok = LLVMBuildAnd(e->b, i_less(e, ci, c_int(e, cin)), i_less(e, co, c_int(e, cout)), "");
    LLVMValueRef same = i_equal(e, i_divc(e, ic, k->m.Cin / k->c.groups), i_divc(e, oc, k->m.Cout / k->c.groups));
    store(e, c_f32(e, 0), slot);
    If           f = if_begin(e, LLVMBuildAnd(e->b, ok, same, ""));
    LLVMValueRef kk = dx ? ic : oc, cc = i_rem(e, dx ? oc : ic, c_int(e, k->c.Cg));
    store(e, load(e, addr(e, k->w.base, view_elem(e, &k->w, kk, cc, k->r, k->s))), slot);
    if_end(e, &f);
    store(e, load(e, slot), addr(e, k->to, i_mad(e, l.i, width, o.i)));
    loop_end(e, &o, NULL);
    loop_end(e, &l, NULL);
}

/* conv_dx, blocked weights, groups not merged: lane vectors are already there. */
static void pack_copy(Pack *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    int64_t      cin = k->m.Cin / k->groups, blocks = (k->m.Cout / k->groups + vec - 1) / vec, nb = k->q.width / vec;
    LLVMValueRef zero = c_int(e, 0);
    for (int64_t j = 0; j < nb; j++) {
        LLVMValueRef cb = i_addc(e, i_mulc(e, k->tile, nb), j);
        Loop         l = loop_begin(e, zero, c_int(e, k->q.lanes), 1, 0, NULL);
        LLVMValueRef ci = i_mad(e, k->block, c_int(e, k->q.lanes), l.i);
        LLVMValueRef to = addr(e, k->to, i_addc(e, i_mulc(e, l.i, k->q.width), j * vec));
        LLVMValueRef ok = LLVMBuildAnd(e->b, i_less(e, ci, c_int(e, cin)), i_less(e, cb, c_int(e, blocks)), "");
        If           f = if_begin(e, ok);
        LLVMValueRef from = view_off(e, &k->w, i_add(e, i_mulc(e, k->group, cin), ci), cb, k->r, k->s);
        store(e, vec_load(e, addr(e, k->w.base, from), vec), to);
        if_else(e, &f);
        store(e, zero_acc(e), to);
        if_end(e, &f);
        loop_end(e, &l, NULL);
    }
}

/* conv, blocked weights, groups not merged. Rows past the last output channel are read as zeros. */
static void pack_turned(Pack *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    int64_t      cout = k->m.Cout / k->groups, nb = k->q.width / vec;
    LLVMValueRef row[16], column[4], none = LLVMConstNull(t_vec(t_f32(e), 4));
    assert(vec <= 16);
    Loop         j = loop_begin(e, c_int(e, 0), c_int(e, nb), 1, 0, NULL);
    Loop         l = loop_begin(e, c_int(e, 0), c_int(e, vec), 4, 0, NULL);
    LLVMValueRef first = i_mulc(e, i_add(e, i_mulc(e, k->tile, nb), j.i), vec);
    for (int i = 0; i < vec; i++) {
        LLVMValueRef co = i_addc(e, first, i);
        LLVMValueRef from = view_off(e, &k->w, i_add(e, i_mulc(e, k->group, cout), i_min(e, co, c_int(e, cout - 1))), k->block, k->r, k->s);
        row[i] = vec_load(e, addr(e, k->w.base, i_add(e, from, l.i)), 4);
        if (cout % k->q.width)
            row[i] = LLVMBuildSelect(e->b, i_less(e, co, c_int(e, cout)), row[i], none, "");
    }
    turn_columns(e, row, column);
    LLVMValueRef to = i_add(e, i_mulc(e, l.i, k->q.width), i_mulc(e, j.i, vec));
    for (int i = 0; i < 4; i++)
        store(e, column[i], addr(e, k->to, i_addc(e, to, i * k->q.width)));
    loop_end(e, &l, NULL);
    loop_end(e, &j, NULL);
}

void pack_conv(Emit *e, const ContractPlan *p)
{
    const Graph *g = p->g;
    Pack         k = { .e = e, .c = conv_of(g, p->node), .groups = p->variant[V_GROUPS] };
    conv_map(&k.c, &k.m);
    k.q = conv_panels(&k.m, p, p->in[0].block);
    Ref wr = node_arg(g, p->node, 1);
    int from = use_buf(e, wr, p->in[1], false, layout_size(e->dims, 4, node_shape(g, wr), &p->in[1]));
    int to = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, const_dim(e, k.q.total));
    k.w = view4(e, buf_base(e, from), node_shape(g, wr), &p->in[1]);
    const Axis  *ay = &k.m.axis[0], *ax = &k.m.axis[1];
    int64_t      tasks = (int64_t)ay->count * ax->count * k.groups * k.q.tiles * k.q.in_blocks;
    LLVMValueRef zero = c_int(e, 0);
    e->kernel->tasks = const_dim(e, tasks);
    e->kernel->flops = const_dim(e, k.q.total);

    Loop t = tasks_begin(e, c_int(e, tasks));
    k.block = i_rem(e, t.i, c_int(e, k.q.in_blocks));
    LLVMValueRef rest = i_divc(e, t.i, k.q.in_blocks);
    LLVMValueRef panel = i_rem(e, rest, c_int(e, k.groups * k.q.tiles)), phase = i_divc(e, rest, k.groups * k.q.tiles);
    k.tile = i_rem(e, panel, c_int(e, k.q.tiles));
    k.group = i_divc(e, panel, k.q.tiles);
    LLVMValueRef py = i_divc(e, phase, ax->count), px = i_rem(e, phase, c_int(e, ax->count));
    LLVMValueRef ty = phase_value(e, ay, py, offsetof(Phase, taps)), tx = phase_value(e, ax, px, offsetof(Phase, taps));
    LLVMValueRef ry = phase_value(e, ay, py, offsetof(Phase, w_first)), rx = phase_value(e, ax, px, offsetof(Phase, w_first));
    LLVMValueRef at = i_mul(e, i_mad(e, panel, c_int(e, k.q.in_blocks), k.block), i_mul(e, ty, tx));
    LLVMValueRef start = i_add(e, table_at(e, k.q.phase_at, ay->count * ax->count, phase), i_mulc(e, at, k.q.lanes * k.q.width));
    Loop y = loop_begin(e, zero, ty, 1, 0, NULL);
    Loop x = loop_begin(e, zero, tx, 1, 0, NULL);
    k.r = i_add(e, ry, i_mulc(e, y.i, ay->w_step));
    k.s = i_add(e, rx, i_mulc(e, x.i, ax->w_step));
    k.to = addr(e, buf_base(e, to), i_add(e, start, i_mulc(e, i_mad(e, y.i, tx, x.i), k.q.lanes * k.q.width)));
    bool plain = k.groups == k.c.groups && p->in[1].block > 1 && p->in[0].block > 1 && p->variant[V_ALGO] == ALGO_CONV;
    if (plain && k.c.op == OP_conv_dx)
        pack_copy(&k);
    else if (plain)
        pack_turned(&k);
    else
        pack_scalar(&k);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
    loop_end(e, &t, NULL);
}
