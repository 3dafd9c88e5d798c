/* contract_winograd_dw.c - conv_dw, the weight gradient, by Winograd's way: the transpose of contract_winograd.c in the weights.
 *
 * With y = A^T [ (G w G^T) * (B^T x B) ] A summed over tiles,  dw = G^T [ sum over tiles of (A dy A^T) * (B^T x B) ] G:  NP*NP independent matrices,
 * output channels x tiles times tiles x input channels. 4x4 results and 3x3 taps: 36 multiplications in place of 144; the 2x2 taps of a residue (stride 2): 25 of 64.
 *
 *   contract  task = (chunk of strips, share of KG output channels)
 *               for each strip of T tiles, in scratch of the thread:  V [point][T][input lanes: residue, channel] = B^T x B,  Y [point][T][KG] = A dy A^T
 *               for each point, NB vectors of input lanes, DW_ROWS output channels:
 *                 U [chunk][share][point][KG][input lanes]  +=  Y^T V       register block: DW_ROWS x NB vectors
 *   combine   chunks added in order, G^T U G, through the epilogue: lanes are input channels
 *
 * Tiles past the last one of a strip are zeros in V and in Y. Chunks are as many whatever the number of threads is.
 */
#include "winograd.h"

#include <assert.h>
#include <string.h>

enum { T = 32, TASKS = 4, MOST_BYTES = 8 << 20 };      /* MOST_BYTES: of a chunk's U, which is gone through once a strip */

/* ---- what contract_winograd_few.c needs too ---- */

bool dw_shape(DimTable *d, const Conv *c, const Target *t, DwShape *s)
{
    Conv forward = *c;
    forward.op = OP_conv;
    memset(s, 0, sizeof *s);
    s->c = *c;
    if (c->groups != 1 || c->C < t->vec || c->K % DW_ROWS != 0 || c->K % t->vec != 0 || c->K < 2 * t->vec || !conv_map(&forward, &s->m) || !winograd_fits(&s->m))
        return false;
    s->r = side_taps(&s->m);
    s->np = M + s->r - 1;
    s->step = s->m.axis[0].in_step;
    s->cblocks = (c->C + t->vec - 1) / t->vec;
    s->lanes = s->cblocks * t->vec * s->step * s->step;
    s->tiles_y = dim_ceildiv(d, c->g[2], M);
    s->tiles_x = dim_ceildiv(d, c->g[3], M);
    s->total = dim_mul(d, c->g[0], dim_mul(d, s->tiles_y, s->tiles_x));
    return true;
}

static double images(const Conv *c) { return c->likely > 0 ? (double)c->likely : 32; }

double dw_tiles(const DwShape *s)
{
    const Conv *c = &s->c;
    if (c->Ho < 0 || c->Wo < 0)
        return 0;
    return images(c) * (double)((c->Ho + M - 1) / M * ((c->Wo + M - 1) / M));
}

void dw_halos(const DwShape *s, ContractPlan *p)
{
    for (int i = 0; i < 2; i++) {
        p->in[0].halo[2 * i] = (int16_t)s->m.axis[i].lo;
        p->in[0].halo[2 * i + 1] = (int16_t)(s->m.axis[i].hi + past_the_end(&s->m, i) * s->step);
        p->in[1].halo[2 * i + 1] = (int16_t)past_the_end(&s->m, i);
    }
}

static DwTiles transforms_for(Emit *e, const ContractPlan *p)
{
    DwTiles k = { .e = e };
    Conv    c = conv_of(p->g, p->node);
    bool    ok = dw_shape(e->dims, &c, p->target, &k.s);
    assert(ok);
    (void)ok;
    k.t = transforms_of(k.s.r);
    k.half = stack_array(e, t_f32(e), MAX_NP * MAX_NP * e->target->vec);
    return k;
}

DwTiles dw_tiles_of(Emit *e, const ContractPlan *p)
{
    DwTiles k = transforms_for(e, p);
    int     x = use_buf(e, node_arg(p->g, p->node, 0), p->in[0], false, layout_size(e->dims, 4, k.s.c.x, &p->in[0]));
    int     g = use_buf(e, node_arg(p->g, p->node, 1), p->in[1], false, layout_size(e->dims, 4, k.s.c.g, &p->in[1]));
    k.x = view4(e, buf_base(e, x), k.s.c.x, &p->in[0]);
    k.g = view4(e, buf_base(e, g), k.s.c.g, &p->in[1]);
    return k;
}

static void zero_points(Emit *e, LLVMValueRef to, int points, LLVMValueRef point)
{
    Loop p = loop_begin(e, c_int(e, 0), c_int(e, points), 1, 0, NULL);
    store(e, zero_acc(e), addr(e, to, i_mul(e, p.i, point)));
    loop_end(e, &p, NULL);
}

void dw_input(DwTiles *k, LLVMValueRef tile, LLVMValueRef block, LLVMValueRef to, LLVMValueRef point)
{
    Emit        *e = k->e;
    DwShape     *s = &k->s;
    If           there = if_begin(e, i_less(e, tile, dim_value(e, s->total)));
    TilePlace    pl = tile_place(e, tile, dim_value(e, s->tiles_y), dim_value(e, s->tiles_x));
    LLVMValueRef in_y = i_addc(e, i_mulc(e, pl.y, s->step), s->m.axis[0].at[0].in_first), in_x = i_addc(e, i_mulc(e, pl.x, s->step), s->m.axis[1].at[0].in_first);
    LLVMValueRef residue = i_divc(e, block, s->cblocks), ry = i_divc(e, residue, s->step), rx = i_rem(e, residue, c_int(e, s->step));
    LLVMValueRef from = view_off(e, &k->x, pl.n, i_rem(e, block, c_int(e, s->cblocks)), i_add(e, in_y, ry), i_add(e, in_x, rx));
    both_sides(e, &k->t.b[0][0], MAX_NP, 1, s->np, s->np, k->half, addr(e, k->x.base, from), i_mulc(e, k->x.h, s->step), i_mulc(e, k->x.w, s->step), to, point);
    if_else(e, &there);
    zero_points(e, to, s->np * s->np, point);
    if_end(e, &there);
}

void dw_grad(DwTiles *k, LLVMValueRef tile, LLVMValueRef block, LLVMValueRef to, LLVMValueRef point)
{
    Emit        *e = k->e;
    If           there = if_begin(e, i_less(e, tile, dim_value(e, k->s.total)));
    TilePlace    pl = tile_place(e, tile, dim_value(e, k->s.tiles_y), dim_value(e, k->s.tiles_x));
    LLVMValueRef from = view_off(e, &k->g, pl.n, block, pl.y, pl.x);
    both_sides(e, &k->t.a[0][0], 1, MAX_NP, k->s.np, M, k->half, addr(e, k->g.base, from), k->g.h, k->g.w, to, point);
    if_else(e, &there);
    zero_points(e, to, k->s.np * k->s.np, point);
    if_end(e, &there);
}

void dw_result(const DwTiles *k, Result *result, LLVMValueRef taps, LLVMValueRef channel, LLVMValueRef block, LLVMValueRef u, LLVMValueRef point)
{
    Emit          *e = k->e;
    const DwShape *s = &k->s;
    int            vec = e->target->vec;
    LLVMValueRef   zero = c_int(e, 0), residue = i_divc(e, block, s->cblocks);
    both_sides(e, &k->t.g[0][0], 1, MAX_R, s->r, s->np, k->half, u, i_mulc(e, point, s->np), point, taps, c_int(e, vec));
    Loop y = loop_begin(e, zero, c_int(e, s->r), 1, 0, NULL);
    Loop x = loop_begin(e, zero, c_int(e, s->r), 1, 0, NULL);
    At4  to = { .n = channel, .cb = i_rem(e, block, c_int(e, s->cblocks)) };
    to.h = i_add(e, i_mulc(e, y.i, s->step), i_divc(e, residue, s->step));
    to.w = i_add(e, i_mulc(e, x.i, s->step), i_rem(e, residue, c_int(e, s->step)));
    result_store(result, vec_load(e, addr(e, taps, i_mulc(e, i_add(e, i_mulc(e, y.i, s->r), x.i), vec)), vec), &to);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
}

void add_products(Emit *e, LLVMValueRef *acc, LLVMValueRef v, LLVMValueRef y, int nb)
{
    int          vec = e->target->vec;
    LLVMValueRef x[2];
    for (int j = 0; j < nb; j++)
        x[j] = vec_load(e, addr(e, v, c_int(e, (int64_t)j * vec)), vec);
    for (int i = 0; i < DW_ROWS; i++) {
        LLVMValueRef yv = splat(e, load(e, addr(e, y, c_int(e, i))), vec);
        for (int j = 0; j < nb; j++)
            acc[i * nb + j] = f_fma(e, yv, x[j], acc[i * nb + j]);
    }
}

/* ---- planning ---- */

/* Output channels go in one or two shares. */
typedef struct { int64_t groups, kg; } Shares;

static Shares shares_of(const DwShape *s, int vec)
{
    int64_t K = s->c.K, groups = K % (2 * DW_ROWS) == 0 && K % (2 * vec) == 0 && K >= 64 ? 2 : 1;
    return (Shares){ groups, K / groups };
}

/* Points do not fall on one another in L1: a vector more each. */
static int64_t v_point(const DwShape *s, int vec) { return T * s->lanes + vec; }
static int64_t y_point(Shares h, int vec) { return T * h.kg + vec; }
static int64_t u_chunk(const DwShape *s) { return s->np * s->np * s->c.K * s->lanes; }
static int64_t scratch_each(const DwShape *s, int vec) { return s->np * s->np * (v_point(s, vec) + y_point(shares_of(s, vec), vec)); }

/* Cycles of vector operations, roughly; 0: it does not fit. */
static double cost(const DwShape *s, int vec)
{
    const Conv *c = &s->c;
    double      groups = (double)shares_of(s, vec).groups, tiles = dw_tiles(s), points = s->np * s->np, in = (double)s->lanes / vec;
    double      gemm = tiles * points * in * (double)c->K / 0.7, input = tiles * in * points * 14 * groups, grads = tiles * (double)c->K / vec * points * 10;
    double      finish = points * (double)c->K * in * 12 * TASKS / groups;
    return tiles == 0 || (double)u_chunk(s) * 4 >= MOST_BYTES ? 0 : gemm + input + grads + finish;
}

bool plan_winograd_dw(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    DimTable *d = g->dims;
    DwShape   s;
    if (t->winograd == WINOGRAD_NEVER || !dw_shape(d, c, t, &s))
        return false;
    ContractPlan few = *p;
    double       direct = images(c) * (double)(c->Ho * c->Wo) * s.r * s.r * (double)s.lanes / t->vec * (double)c->K / 0.85;
    double       most = t->winograd == WINOGRAD_ALWAYS ? 1e30 : 0.85 * direct, here = cost(&s, t->vec), there = plan_winograd_few(d, &s, t, &few);
    if (there > 0 && there < most && (here == 0 || there < here)) {
        *p = few;
        return true;
    }
    if (t->winograd == WINOGRAD_PAYS && (here == 0 || here >= most))
        return false;
    int   *v = p->variant;
    Shares h = shares_of(&s, t->vec);
    v[V_ALGO] = ALGO_DW_WINOGRAD;
    v[V_NB] = t->nregs > 16 && s.lanes / t->vec % 2 == 0 ? 2 : 1;
    v[V_SPLIT] = (int)(TASKS / h.groups);
    p->combine = true;
    dw_halos(&s, p);
    Dim each = dim_const(d, scratch_each(&s, t->vec));
    p->scratch_elems = dim_add(d, dim_const(d, u_chunk(&s) * v[V_SPLIT]), dim_mul(d, each, threads_dim(d)));
    return true;
}

/* ---- emission ---- */

typedef struct {
    DwTiles      k;
    Shares       h;
    LLVMValueRef V, Y, U;          /* the thread's scratch; the task's sums */
    LLVMValueRef group;            /* of output channels */
    int          nb;
} Dw;

/* V and Y of a strip */
static void transform_strip(Dw *w, LLVMValueRef strip)
{
    Emit        *e = w->k.e;
    int          vec = e->target->vec;
    int64_t      lanes = w->k.s.lanes, kg = w->h.kg;
    LLVMValueRef zero = c_int(e, 0);
    Loop         t = loop_begin(e, zero, c_int(e, T), 1, 0, NULL);
    LLVMValueRef tile = i_add(e, i_mulc(e, strip, T), t.i);
    Loop         b = loop_begin(e, zero, c_int(e, lanes / vec), 1, 0, NULL);
    dw_input(&w->k, tile, b.i, addr(e, w->V, i_add(e, i_mulc(e, t.i, lanes), i_mulc(e, b.i, vec))), c_int(e, v_point(&w->k.s, vec)));
    loop_end(e, &b, NULL);
    Loop         c = loop_begin(e, zero, c_int(e, kg / vec), 1, 0, NULL);
    LLVMValueRef block = i_add(e, i_mulc(e, w->group, kg / vec), c.i);
    dw_grad(&w->k, tile, block, addr(e, w->Y, i_add(e, i_mulc(e, t.i, kg), i_mulc(e, c.i, vec))), c_int(e, y_point(w->h, vec)));
    loop_end(e, &c, NULL);
    loop_end(e, &t, NULL);
}

/* U += Y^T V of a strip */
static void multiply(Dw *w)
{
    Emit        *e = w->k.e;
    int          vec = e->target->vec, points = w->k.s.np * w->k.s.np, nb = w->nb, nacc = DW_ROWS * nb;
    int64_t      lanes = w->k.s.lanes, kg = w->h.kg;
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY];
    Loop         p = loop_begin(e, zero, c_int(e, points), 1, 0, NULL);
    LLVMValueRef v = addr(e, w->V, i_mulc(e, p.i, v_point(&w->k.s, vec)));
    LLVMValueRef y = addr(e, w->Y, i_mulc(e, p.i, y_point(w->h, vec))), u = addr(e, w->U, i_mulc(e, p.i, kg * lanes));
    Loop         c = loop_begin(e, zero, c_int(e, lanes), (int64_t)nb * vec, 0, NULL);
    Loop         r = loop_begin(e, zero, c_int(e, kg), DW_ROWS, 0, NULL);
    LLVMValueRef sum = addr(e, u, i_add(e, i_mulc(e, r.i, lanes), c.i)), vc = addr(e, v, c.i), yr = addr(e, y, r.i);
    for (int i = 0; i < nacc; i++)
        acc[i] = vec_load(e, addr(e, sum, c_int(e, i / nb * lanes + (int64_t)(i % nb) * vec)), vec);
    Loop t = loop_begin(e, zero, c_int(e, T), 2, nacc, acc);
    memcpy(acc, t.carry, sizeof acc);
    for (int h = 0; h < 2; h++) {
        LLVMValueRef tile = i_addc(e, t.i, h);
        add_products(e, acc, addr(e, vc, i_mulc(e, tile, lanes)), addr(e, yr, i_mulc(e, tile, kg)), nb);
    }
    loop_end(e, &t, acc);
    for (int i = 0; i < nacc; i++)
        store(e, t.carry[i], addr(e, sum, c_int(e, i / nb * lanes + (int64_t)(i % nb) * vec)));
    loop_end(e, &r, NULL);
    loop_end(e, &c, NULL);
    loop_end(e, &p, NULL);
}

void emit_winograd_dw(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Dw                  w = { .k = dw_tiles_of(e, p), .nb = p->variant[V_NB] };
    const DwShape      *s = &w.k.s;
    int                 vec = e->target->vec, points = s->np * s->np, chunks = p->variant[V_SPLIT];
    int scratch = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->scratch_elems);
    w.h = shares_of(s, vec);
    w.V = addr(e, buf_base(e, scratch), i_add(e, c_int(e, u_chunk(s) * chunks), i_mulc(e, e->tid, scratch_each(s, vec))));
    w.Y = addr(e, w.V, c_int(e, points * v_point(s, vec)));
    int64_t each = (int64_t)points * w.h.kg * s->lanes;
    e->kernel->tasks = const_dim(e, chunks * w.h.groups);

    Loop         t = tasks_begin(e, c_int(e, chunks * w.h.groups));
    LLVMValueRef chunk = i_divc(e, t.i, w.h.groups), strips = dim_value(e, dim_ceildiv(e->dims, s->total, T));
    w.group = i_rem(e, t.i, c_int(e, w.h.groups));
    w.U = addr(e, buf_base(e, scratch), i_mulc(e, t.i, each));
    Loop z = loop_begin(e, c_int(e, 0), c_int(e, each), vec, 0, NULL);
    store(e, zero_acc(e), addr(e, w.U, z.i));
    loop_end(e, &z, NULL);
    LLVMValueRef first = i_divc(e, i_mul(e, strips, chunk), chunks), last = i_divc(e, i_mul(e, strips, i_addc(e, chunk, 1)), chunks);
    Loop         l = loop_begin(e, first, last, 1, 0, NULL);
    transform_strip(&w, l.i);
    multiply(&w);
    loop_end(e, &l, NULL);
    loop_end(e, &t, NULL);
}

/* Chunks added up, then G^T U G: a task is an output channel and a block of input channels. */
void emit_winograd_dw_combine(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    DwTiles             k = transforms_for(e, p);
    const DwShape      *s = &k.s;
    int                 vec = e->target->vec, points = s->np * s->np, chunks = p->variant[V_SPLIT];
    int64_t             kg = shares_of(s, vec).kg;
    LLVMValueRef        scratch = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, p->scratch_elems));
    Result              result = result_of(e, p, use_buf(e, p->node, j->out, true, layout_size(e->dims, 4, s->c.wt, &j->out)), j->out, j->epilogue, j->ctx);
    LLVMValueRef        zero = c_int(e, 0), u = stack_array(e, t_f32(e), points * vec), taps = stack_array(e, t_f32(e), MAX_R * MAX_R * vec);
    e->kernel->tasks = const_dim(e, s->c.K * s->cblocks);
    e->kernel->flops = const_dim(e, s->c.K * s->lanes * points * (chunks + 4));

    Loop         task = tasks_begin(e, c_int(e, s->c.K * s->cblocks));
    LLVMValueRef channel = i_divc(e, task.i, s->cblocks), cb = i_rem(e, task.i, c_int(e, s->cblocks));
    Loop         f = loop_begin(e, zero, c_int(e, (int64_t)s->step * s->step), 1, 0, NULL);
    LLVMValueRef block = i_add(e, i_mulc(e, f.i, s->cblocks), cb);
    LLVMValueRef from = i_add(e, i_mulc(e, i_divc(e, channel, kg), (int64_t)points * kg * s->lanes), i_mulc(e, i_rem(e, channel, c_int(e, kg)), s->lanes));
    from = i_add(e, from, i_mulc(e, block, vec));
    Loop         pt = loop_begin(e, zero, c_int(e, points), 1, 0, NULL);
    LLVMValueRef at = addr(e, scratch, i_add(e, from, i_mulc(e, pt.i, kg * s->lanes))), acc = zero_acc(e);
    Loop         ch = loop_begin(e, zero, c_int(e, chunks), 1, 1, &acc);
    LLVMValueRef sum = f_add(e, ch.carry[0], vec_load(e, addr(e, at, i_mulc(e, ch.i, u_chunk(s))), vec));
    loop_end(e, &ch, &sum);
    store(e, ch.carry[0], addr(e, u, i_mulc(e, pt.i, vec)));
    loop_end(e, &pt, NULL);
    dw_result(&k, &result, taps, channel, block, u, c_int(e, vec));
    loop_end(e, &f, NULL);
    loop_end(e, &task, NULL);
}
