/* contract_pack.c - weights of conv and conv_dx into the panels of contract.h, in the order in which a kernel streams them.
 *
 * The stored weights (k,c/g,r,s) are row-major, as variables are, or have lanes over c, as computed weights may. Five ways:
 *   rows    conv, row-major: a block is V rows k of V*r*s floats in a row; V x V pieces are turned so that lanes run over k
 *   taps    conv_dx, row-major: for each k, V rows c of r*s floats are turned into r*s vectors of lanes over c
 *   turned  conv, lanes over c: blocks turned, a tap at a time
 *   copy    conv_dx, lanes over c: vectors are there already
 *   scalar  everything else: few channels, groups made dense by zeros, channels that do not fill vectors
 */
#include "contract.h"

#include <string.h>

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
    LLVMValueRef stage;            /* V x V floats on the stack: rows a power of two apart would push each other out of L1 */
    bool         one_block;        /* k->to has room for one block of one panel only (of all phases): its place among others does not count */
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

/* V rows of V floats to the stage; row i starts at from + i*stride; rows past `there` are zeros. */
static void stage_rows(Pack *k, LLVMValueRef from, LLVMValueRef stride, LLVMValueRef there)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    LLVMValueRef zero = c_int(e, 0), all = c_int(e, vec), n = i_min(e, there, all);
    Loop         i = loop_begin(e, zero, n, 1, 0, NULL);
    store(e, vec_load(e, addr(e, from, i_mul(e, i.i, stride)), vec), addr(e, k->stage, i_mulc(e, i.i, vec)));
    loop_end(e, &i, NULL);
    Loop z = loop_begin(e, i_max(e, n, zero), all, 1, 0, NULL);
    store(e, zero_acc(e), addr(e, k->stage, i_mulc(e, z.i, vec)));
    loop_end(e, &z, NULL);
}

/* conv, blocked weights, groups not merged; one tap. */
static void pack_turned(Pack *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    int64_t      cout = k->m.Cout / k->groups, nb = k->q.width / vec;
    LLVMValueRef column[4];
    Loop         j = loop_begin(e, c_int(e, 0), c_int(e, nb), 1, 0, NULL);
    LLVMValueRef first = i_mulc(e, i_add(e, i_mulc(e, k->tile, nb), j.i), vec);
    LLVMValueRef from = view_off(e, &k->w, i_add(e, i_mulc(e, k->group, cout), first), k->block, k->r, k->s);
    stage_rows(k, addr(e, k->w.base, from), k->w.n, i_sub(e, c_int(e, cout), first));
    Loop l = loop_begin(e, c_int(e, 0), c_int(e, vec), 4, 0, NULL);
    turn_columns(e, addr(e, k->stage, l.i), c_int(e, vec), column);
    LLVMValueRef to = i_add(e, i_mulc(e, l.i, k->q.width), i_mulc(e, j.i, vec));
    for (int i = 0; i < 4; i++)
        store(e, column[i], addr(e, k->to, i_addc(e, to, i * k->q.width)));
    loop_end(e, &l, NULL);
    loop_end(e, &j, NULL);
}

/* conv, row-major weights, whole vectors of input channels; all taps of a block, which starts at k->to. */
static void pack_rows(Pack *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    int64_t      cout = k->m.Cout / k->groups, nb = k->q.width / vec, taps = k->c.R * k->c.S;
    LLVMValueRef zero = c_int(e, 0), column[4];
    Loop         j = loop_begin(e, zero, c_int(e, nb), 1, 0, NULL);
    LLVMValueRef first = i_mulc(e, i_add(e, i_mulc(e, k->tile, nb), j.i), vec);
    LLVMValueRef from = view_off(e, &k->w, i_add(e, i_mulc(e, k->group, cout), first), i_mulc(e, k->block, vec), zero, zero);
    Loop         t = loop_begin(e, zero, c_int(e, vec * taps), vec, 0, NULL);
    stage_rows(k, addr(e, k->w.base, i_add(e, from, t.i)), k->w.n, i_sub(e, c_int(e, cout), first));
    Loop l = loop_begin(e, zero, c_int(e, vec), 4, 0, NULL);
    turn_columns(e, addr(e, k->stage, l.i), c_int(e, vec), column);
    for (int i = 0; i < 4; i++) {
        LLVMValueRef at = i_addc(e, i_add(e, t.i, l.i), i), lane = i_divc(e, at, taps), tap = i_rem(e, at, c_int(e, taps));
        store(e, column[i], addr(e, k->to, i_add(e, i_mulc(e, i_add(e, i_mulc(e, tap, vec), lane), k->q.width), i_mulc(e, j.i, vec))));
    }
    loop_end(e, &l, NULL);
    loop_end(e, &t, NULL);
    loop_end(e, &j, NULL);
}

/* Where weight tap r*S + s goes: its phase's panels, the number of taps there, its own among them (-1: no result reads it). */
typedef struct { int64_t phase_at[256], taps[256], index[256]; } TapPlaces;

static void tap_places(const Pack *k, TapPlaces *t)
{
    const Axis *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    memset(t, 0, sizeof *t);
    for (int64_t i = 0; i < k->c.R * k->c.S; i++)
        t->index[i] = -1;
    for (int p = 0; p < ay->count * ax->count; p++) {
        const Phase *py = &ay->at[p / ax->count], *px = &ax->at[p % ax->count];
        for (int i = 0; i < py->taps * px->taps; i++) {
            int64_t tap = (py->w_first + i / px->taps * ay->w_step) * k->c.S + px->w_first + i % px->taps * ax->w_step;
            t->phase_at[tap] = k->q.phase_at[p];
            t->taps[tap] = py->taps * px->taps;
            t->index[tap] = i;
        }
    }
}

static void put_tap(Pack *k, const TapPlaces *places, LLVMValueRef panel, LLVMValueRef tap, LLVMValueRef lane, LLVMValueRef j, LLVMValueRef v)
{
    Emit        *e = k->e;
    int          n = (int)(k->c.R * k->c.S);
    LLVMValueRef index = table_at(e, places->index, n, tap);
    bool         all = true;
    for (int i = 0; i < n; i++)
        all = all && places->index[i] >= 0;
    If f = { 0 };
    if (!all)
        f = if_begin(e, i_less(e, c_int(e, -1), index));
    LLVMValueRef block = k->one_block ? c_int(e, 0) : i_mul(e, i_mad(e, panel, c_int(e, k->q.in_blocks), k->block), table_at(e, places->taps, n, tap));
    LLVMValueRef at = i_mulc(e, i_add(e, i_mulc(e, i_add(e, block, index), k->q.lanes), lane), k->q.width);
    at = i_add(e, i_add(e, table_at(e, places->phase_at, n, tap), at), i_mulc(e, j, e->target->vec));
    store(e, v, addr(e, k->to, at));
    if (!all)
        if_end(e, &f);
}

/* conv_dx, row-major weights, whole vectors of result channels; all taps of a block. k->to: the start of everything. */
static void pack_taps(Pack *k, LLVMValueRef panel)
{
    Emit        *e = k->e;
    int          vec = e->target->vec;
    int64_t      cin = k->m.Cin / k->groups, blocks = k->m.Cout / k->groups / vec, nb = k->q.width / vec, taps = k->c.R * k->c.S;
    LLVMValueRef zero = c_int(e, 0), column[4];
    TapPlaces    places;
    tap_places(k, &places);
    Loop         l = loop_begin(e, zero, c_int(e, vec), 1, 0, NULL);
    Loop         j = loop_begin(e, zero, c_int(e, nb), 1, 0, NULL);
    LLVMValueRef ci = i_add(e, i_mulc(e, k->block, vec), l.i), cb = i_add(e, i_mulc(e, k->tile, nb), j.i);
    If           f = if_begin(e, LLVMBuildAnd(e->b, i_less(e, ci, c_int(e, cin)), i_less(e, cb, c_int(e, blocks)), ""));
    LLVMValueRef from = addr(e, k->w.base, view_off(e, &k->w, i_add(e, i_mulc(e, k->group, cin), ci), i_mulc(e, cb, vec), zero, zero));
    if (taps == 1) {
        put_tap(k, &places, panel, zero, l.i, j.i, vec_load(e, from, vec));
    } else {
        Loop         t = loop_begin(e, zero, c_int(e, taps), 4, 0, NULL);
        LLVMValueRef first = i_min(e, t.i, c_int(e, taps - 4));        /* the last four overlap */
        turn_columns(e, addr(e, from, first), c_int(e, taps), column);
        for (int i = 0; i < 4; i++)
            put_tap(k, &places, panel, i_addc(e, first, i), l.i, j.i, column[i]);
        loop_end(e, &t, NULL);
    }
    if_else(e, &f);
    Loop t = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    put_tap(k, &places, panel, t.i, l.i, j.i, zero_acc(e));
    loop_end(e, &t, NULL);
    if_end(e, &f);
    loop_end(e, &j, NULL);
    loop_end(e, &l, NULL);
}

typedef enum { WAY_SCALAR, WAY_ROWS, WAY_TAPS, WAY_TURNED, WAY_COPY } Way;

static Way way_of(const Pack *k, const ContractPlan *p)
{
    const Layout *l = &p->in[1];
    int           vec = p->target->vec;
    int64_t       taps = k->c.R * k->c.S, cout = k->m.Cout / k->groups;
    bool          dx = k->c.op == OP_conv_dx, dense = !l->halo[0] && !l->halo[1] && !l->halo[2] && !l->halo[3];
    if (k->groups != k->c.groups || p->in[0].block == 1 || (p->variant[V_ALGO] != ALGO_CONV && p->variant[V_ALGO] != ALGO_WINOGRAD))
        return WAY_SCALAR;
    if (l->block > 1)
        return dx ? WAY_COPY : WAY_TURNED;
    if (!dx)
        return dense && k->m.Cin / k->groups % vec == 0 ? WAY_ROWS : WAY_SCALAR;
    return dense && cout % vec == 0 && (taps == 1 || taps >= 4) && taps <= 256 ? WAY_TAPS : WAY_SCALAR;
}

/* One phase of one panel's block, a tap at a time or at once. */
static void pack_phase(Pack *k, Way way, LLVMValueRef panel, LLVMValueRef phase)
{
    Emit        *e = k->e;
    const Axis  *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    LLVMValueRef zero = c_int(e, 0), py = i_divc(e, phase, ax->count), px = i_rem(e, phase, c_int(e, ax->count)), base = k->to;
    LLVMValueRef ty = phase_value(e, ay, py, offsetof(Phase, taps)), tx = phase_value(e, ax, px, offsetof(Phase, taps));
    LLVMValueRef ry = phase_value(e, ay, py, offsetof(Phase, w_first)), rx = phase_value(e, ax, px, offsetof(Phase, w_first));
    LLVMValueRef at = k->one_block ? zero : i_mul(e, i_mad(e, panel, c_int(e, k->q.in_blocks), k->block), i_mul(e, ty, tx));
    LLVMValueRef start = i_add(e, table_at(e, k->q.phase_at, ay->count * ax->count, phase), i_mulc(e, at, k->q.lanes * k->q.width));
    if (way == WAY_ROWS) {
        k->to = addr(e, base, start);
        pack_rows(k);
        return;
    }
    Loop y = loop_begin(e, zero, ty, 1, 0, NULL);
    Loop x = loop_begin(e, zero, tx, 1, 0, NULL);
    k->r = i_add(e, ry, i_mulc(e, y.i, ay->w_step));
    k->s = i_add(e, rx, i_mulc(e, x.i, ax->w_step));
    k->to = addr(e, base, i_add(e, start, i_mulc(e, i_mad(e, y.i, tx, x.i), k->q.lanes * k->q.width)));
    if (way == WAY_COPY)
        pack_copy(k);
    else if (way == WAY_TURNED)
        pack_turned(k);
    else
        pack_scalar(k);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
}

static int pack_bufs(Pack *k, const ContractPlan *p, int64_t total)
{
    Emit *e = k->e;
    Ref   wr = node_arg(p->g, p->node, 1);
    int   from = use_buf(e, wr, p->in[1], false, layout_size(e->dims, 4, node_shape(p->g, wr), &p->in[1]));
    int   to = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, const_dim(e, total));
    k->w = view4(e, buf_base(e, from), node_shape(p->g, wr), &p->in[1]);
    return to;
}

/* Each block of each panel to the stack, all phases; from there transformed. */
void pack_winograd(Emit *e, const ContractPlan *p)
{
    Pack k = { .e = e, .c = conv_of(p->g, p->node), .groups = 1, .one_block = true };
    conv_map(&k.c, &k.m);
    k.q = conv_panels(&k.m, p, p->in[0].block);
    int     to = pack_bufs(&k, p, winograd_total(&k.m, p));
    int     phases = k.m.axis[0].count * k.m.axis[1].count;
    int64_t taps = (int64_t)k.m.axis[0].at[0].taps * k.m.axis[1].at[0].taps, tasks = k.q.tiles * k.q.in_blocks;
    Way     way = way_of(&k, p);
    for (int i = 0; i < phases; i++)
        k.q.phase_at[i] = i * taps * k.q.lanes * k.q.width;
    k.stage = stack_array(e, t_f32(e), e->target->vec * e->target->vec);
    LLVMValueRef base = k.to = stack_array(e, t_f32(e), (int)(phases * taps * k.q.lanes * k.q.width));
    e->kernel->tasks = const_dim(e, tasks);
    e->kernel->flops = const_dim(e, 2 * winograd_total(&k.m, p));

    Loop t = tasks_begin(e, c_int(e, tasks));
    k.block = i_rem(e, t.i, c_int(e, k.q.in_blocks));
    k.tile = i_divc(e, t.i, k.q.in_blocks);
    k.group = c_int(e, 0);
    if (way == WAY_TAPS) {
        pack_taps(&k, k.tile);
    } else {
        Loop phase = loop_begin(e, c_int(e, 0), c_int(e, phases), 1, 0, NULL);
        pack_phase(&k, way, k.tile, phase.i);
        loop_end(e, &phase, NULL);
    }
    winograd_weights(e, p, &k.m, base, buf_base(e, to), k.tile, k.block);
    loop_end(e, &t, NULL);
}

void pack_conv(Emit *e, const ContractPlan *p)
{
    Pack k = { .e = e, .c = conv_of(p->g, p->node), .groups = p->variant[V_GROUPS] };
    conv_map(&k.c, &k.m);
    k.q = conv_panels(&k.m, p, p->in[0].block);
    k.to = buf_base(e, pack_bufs(&k, p, k.q.total));
    Way     way = way_of(&k, p);
    int64_t phases = way == WAY_TAPS ? 1 : (int64_t)k.m.axis[0].count * k.m.axis[1].count, panels = k.groups * k.q.tiles;
    int64_t tasks = phases * panels * k.q.in_blocks;
    if (way == WAY_ROWS || way == WAY_TURNED)
        k.stage = stack_array(e, t_f32(e), e->target->vec * e->target->vec);
    e->kernel->tasks = const_dim(e, tasks);
    e->kernel->flops = const_dim(e, k.q.total);

    Loop t = tasks_begin(e, c_int(e, tasks));
    k.block = i_rem(e, t.i, c_int(e, k.q.in_blocks));
    LLVMValueRef rest = i_divc(e, t.i, k.q.in_blocks), panel = i_rem(e, rest, c_int(e, panels));
    k.tile = i_rem(e, panel, c_int(e, k.q.tiles));
    k.group = i_divc(e, panel, k.q.tiles);
    if (way == WAY_TAPS)
        pack_taps(&k, panel);
    else
        pack_phase(&k, way, panel, i_divc(e, rest, panels));
    loop_end(e, &t, NULL);
}
