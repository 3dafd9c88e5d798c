/* contract_winograd_dw.c - conv_dw, the weight gradient, by Winograd's way: the transpose of contract_winograd.c in the weights.
 *
 * With y = A^T [ (G w G^T) * (B^T x B) ] A summed over tiles,  dw = G^T [ sum over tiles of (A dy A^T) * (B^T x B) ] G:  NP*NP independent matrices,
 * output channels x tiles times tiles x input channels. 4x4 results and 3x3 taps: 36 multiplications in place of 144; the 2x2 taps of a residue (stride 2): 25 of 64.
 *
 *   contract  task = (chunk of strips, share of KG output channels)
 *               for each strip of T tiles, in scratch of the thread:  V [point][T][input lanes: residue, channel] = B^T x B,  Y [point][T][KG] = A dy A^T
 *               for each point, NB vectors of input lanes, ROWS output channels:
 *                 U [chunk][share][point][KG][input lanes]  +=  Y^T V       register block: ROWS x NB vectors
 *   combine   chunks added in order, G^T U G, through the epilogue: lanes are input channels
 *
 * Tiles past the last one of a strip are zeros in V and in Y. Chunks are as many whatever the number of threads is.
 */
#include "winograd.h"

#include <assert.h>
#include <string.h>

enum { T = 32, ROWS = 8, TASKS = 4, MOST_BYTES = 8 << 20 };      /* MOST_BYTES: of a chunk's U, which is gone through once a strip */

typedef struct { Conv c; ConvMap m; int r, np, step; int64_t cblocks, lanes, groups, kg; Dim tiles_y, tiles_x, total, strips; } Shape;   /* cblocks: of x; lanes: of all residues */

static bool shape_of(DimTable *d, const Conv *c, const Target *t, Shape *s)
{
    Conv forward = *c;
    forward.op = OP_conv;
    memset(s, 0, sizeof *s);
    s->c = *c;
    if (c->groups != 1 || c->C < t->vec || c->K % ROWS != 0 || c->K < 2 * t->vec || !conv_map(&forward, &s->m))
        return false;
    s->r = side_taps(&s->m);
    s->np = M + s->r - 1;
    s->step = s->m.axis[0].in_step;
    if (!winograd_fits(&s->m))
        return false;
    s->cblocks = (c->C + t->vec - 1) / t->vec;
    s->lanes = s->cblocks * t->vec * s->step * s->step;
    s->groups = c->K % (2 * ROWS) == 0 && c->K % (2 * t->vec) == 0 && c->K >= 64 ? 2 : 1;
    s->kg = c->K / s->groups;
    if (s->kg % t->vec != 0)
        return false;
    s->tiles_y = dim_ceildiv(d, c->g[2], M);
    s->tiles_x = dim_ceildiv(d, c->g[3], M);
    s->total = dim_mul(d, c->g[0], dim_mul(d, s->tiles_y, s->tiles_x));
    s->strips = dim_ceildiv(d, s->total, T);
    return true;
}

/* Points do not fall on one another in L1: a vector more each. */
static int64_t v_point(const Shape *s, int vec) { return T * s->lanes + vec; }
static int64_t y_point(const Shape *s, int vec) { return T * s->kg + vec; }
static int64_t u_chunk(const Shape *s) { return s->np * s->np * s->c.K * s->lanes; }
static int64_t scratch_each(const Shape *s, int vec) { return s->np * s->np * (v_point(s, vec) + y_point(s, vec)); }

/* Cycles of vector operations, roughly; the batch is taken for 32 where it is not known. */
static bool pays(const Shape *s, int vec)
{
    const Conv *c = &s->c;
    if (c->Ho < 0 || c->Wo < 0)
        return false;
    double n = c->N > 0 ? (double)c->N : 32, tiles = n * (double)((c->Ho + M - 1) / M * ((c->Wo + M - 1) / M)), points = s->np * s->np, in = (double)s->lanes / vec;
    double direct = n * (double)(c->Ho * c->Wo) * s->r * s->r * in * (double)c->K / 0.85;
    double gemm = tiles * points * in * (double)c->K / 0.7, input = tiles * in * points * 14 * (double)s->groups, grads = tiles * (double)c->K / vec * points * 10;
    double finish = points * (double)c->K * in * 12 * TASKS / (double)s->groups;
    return gemm + input + grads + finish < 0.85 * direct && (double)u_chunk(s) * 4 < MOST_BYTES;
}

bool plan_winograd_dw(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    DimTable *d = g->dims;
    Shape     s;
    if (t->winograd == WINOGRAD_NEVER || !shape_of(d, c, t, &s) || (t->winograd == WINOGRAD_PAYS && !pays(&s, t->vec)))
        return false;
    int *v = p->variant;
    v[V_ALGO] = ALGO_DW_WINOGRAD;
    v[V_NB] = t->nregs > 16 && s.lanes / t->vec % 2 == 0 ? 2 : 1;
    v[V_SPLIT] = (int)(TASKS / s.groups);
    p->combine = true;
    for (int i = 0; i < 2; i++) {
        p->in[0].halo[2 * i] = (int16_t)s.m.axis[i].lo;
        p->in[0].halo[2 * i + 1] = (int16_t)(s.m.axis[i].hi + past_the_end(&s.m, i) * s.step);
        p->in[1].halo[2 * i + 1] = (int16_t)past_the_end(&s.m, i);
    }
    Dim each = dim_const(d, scratch_each(&s, t->vec));
    p->scratch_elems = dim_add(d, dim_const(d, u_chunk(&s) * v[V_SPLIT]), dim_mul(d, each, threads_dim(d)));
    return true;
}

/* ---- emission ---- */

static Shape shape_here(Emit *e, const ContractPlan *p)
{
    Shape s;
    Conv  c = conv_of(p->g, p->node);
    bool  ok = shape_of(e->dims, &c, p->target, &s);
    assert(ok);
    (void)ok;
    return s;
}

static TilePlace place_of(Emit *e, const Shape *s, LLVMValueRef tile) { return tile_place(e, tile, dim_value(e, s->tiles_y), dim_value(e, s->tiles_x)); }

static void zero_points(Emit *e, LLVMValueRef to, int points, int64_t point)
{
    Loop p = loop_begin(e, c_int(e, 0), c_int(e, points), 1, 0, NULL);
    store(e, zero_acc(e), addr(e, to, i_mulc(e, p.i, point)));
    loop_end(e, &p, NULL);
}

typedef struct {
    Emit        *e;
    Shape        s;
    Transforms   t;
    View         x, g;
    LLVMValueRef V, Y, U, half;    /* the thread's scratch; the task's sums */
    LLVMValueRef group;            /* of output channels */
    int          nb;
} Dw;

/* V of a strip */
static void transform_inputs(Dw *k, LLVMValueRef strip)
{
    Emit        *e = k->e;
    Shape       *s = &k->s;
    int          vec = e->target->vec, points = s->np * s->np;
    LLVMValueRef zero = c_int(e, 0);
    Loop         t = loop_begin(e, zero, c_int(e, T), 1, 0, NULL);
    LLVMValueRef tile = i_add(e, i_mulc(e, strip, T), t.i);
    TilePlace    pl = place_of(e, s, tile);
    LLVMValueRef in_y = i_addc(e, i_mulc(e, pl.y, s->step), s->m.axis[0].at[0].in_first), in_x = i_addc(e, i_mulc(e, pl.x, s->step), s->m.axis[1].at[0].in_first);
    Loop         b = loop_begin(e, zero, c_int(e, s->lanes / vec), 1, 0, NULL);
    LLVMValueRef to = addr(e, k->V, i_add(e, i_mulc(e, t.i, s->lanes), i_mulc(e, b.i, vec)));
    If           there = if_begin(e, i_less(e, tile, dim_value(e, s->total)));
    LLVMValueRef residue = i_divc(e, b.i, s->cblocks), ry = i_divc(e, residue, s->step), rx = i_rem(e, residue, c_int(e, s->step));
    LLVMValueRef from = view_off(e, &k->x, pl.n, i_rem(e, b.i, c_int(e, s->cblocks)), i_add(e, in_y, ry), i_add(e, in_x, rx));
    both_sides(e, &k->t.b[0][0], MAX_NP, 1, s->np, s->np, k->half, addr(e, k->x.base, from), i_mulc(e, k->x.h, s->step), i_mulc(e, k->x.w, s->step), to, v_point(s, vec));
    if_else(e, &there);
    zero_points(e, to, points, v_point(s, vec));
    if_end(e, &there);
    loop_end(e, &b, NULL);
    loop_end(e, &t, NULL);
}

/* Y of a strip */
static void transform_grads(Dw *k, LLVMValueRef strip)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, points = k->s.np * k->s.np;
    LLVMValueRef zero = c_int(e, 0);
    Loop         t = loop_begin(e, zero, c_int(e, T), 1, 0, NULL);
    LLVMValueRef tile = i_add(e, i_mulc(e, strip, T), t.i);
    TilePlace    pl = place_of(e, &k->s, tile);
    Loop         b = loop_begin(e, zero, c_int(e, k->s.kg / vec), 1, 0, NULL);
    LLVMValueRef to = addr(e, k->Y, i_add(e, i_mulc(e, t.i, k->s.kg), i_mulc(e, b.i, vec)));
    If           there = if_begin(e, i_less(e, tile, dim_value(e, k->s.total)));
    LLVMValueRef from = view_off(e, &k->g, pl.n, i_add(e, i_mulc(e, k->group, k->s.kg / vec), b.i), pl.y, pl.x);
    both_sides(e, &k->t.a[0][0], 1, MAX_NP, k->s.np, M, k->half, addr(e, k->g.base, from), k->g.h, k->g.w, to, y_point(&k->s, vec));
    if_else(e, &there);
    zero_points(e, to, points, y_point(&k->s, vec));
    if_end(e, &there);
    loop_end(e, &b, NULL);
    loop_end(e, &t, NULL);
}

/* U += Y^T V of a strip */
static void multiply(Dw *k)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, points = k->s.np * k->s.np, nacc = ROWS * k->nb;
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY], w[2];
    Loop         p = loop_begin(e, zero, c_int(e, points), 1, 0, NULL);
    LLVMValueRef v = addr(e, k->V, i_mulc(e, p.i, v_point(&k->s, vec)));
    LLVMValueRef y = addr(e, k->Y, i_mulc(e, p.i, y_point(&k->s, vec))), u = addr(e, k->U, i_mulc(e, p.i, k->s.kg * k->s.lanes));
    Loop         c = loop_begin(e, zero, c_int(e, k->s.lanes), (int64_t)k->nb * vec, 0, NULL);
    Loop         r = loop_begin(e, zero, c_int(e, k->s.kg), ROWS, 0, NULL);
    LLVMValueRef sum = addr(e, u, i_add(e, i_mulc(e, r.i, k->s.lanes), c.i)), vc = addr(e, v, c.i), yr = addr(e, y, r.i);
    for (int i = 0; i < nacc; i++)
        acc[i] = vec_load(e, addr(e, sum, c_int(e, i / k->nb * k->s.lanes + (int64_t)(i % k->nb) * vec)), vec);
    Loop t = loop_begin(e, zero, c_int(e, T), 2, nacc, acc);
    memcpy(acc, t.carry, sizeof acc);
    for (int h = 0; h < 2; h++) {
        LLVMValueRef tile = i_addc(e, t.i, h), vt = addr(e, vc, i_mulc(e, tile, k->s.lanes)), yt = addr(e, yr, i_mulc(e, tile, k->s.kg));
        for (int j = 0; j < k->nb; j++)
            w[j] = vec_load(e, addr(e, vt, c_int(e, (int64_t)j * vec)), vec);
        for (int i = 0; i < ROWS; i++) {
            LLVMValueRef yv = splat(e, load(e, addr(e, yt, c_int(e, i))), vec);
            for (int j = 0; j < k->nb; j++)
                acc[i * k->nb + j] = f_fma(e, yv, w[j], acc[i * k->nb + j]);
        }
    }
    loop_end(e, &t, acc);
    for (int i = 0; i < nacc; i++)
        store(e, t.carry[i], addr(e, sum, c_int(e, i / k->nb * k->s.lanes + (int64_t)(i % k->nb) * vec)));
    loop_end(e, &r, NULL);
    loop_end(e, &c, NULL);
    loop_end(e, &p, NULL);
}

void emit_winograd_dw(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    DimTable           *d = e->dims;
    Dw                  k = { .e = e, .s = shape_here(e, p), .nb = p->variant[V_NB] };
    int                 vec = e->target->vec, points = k.s.np * k.s.np, chunks = p->variant[V_SPLIT];
    k.t = transforms_of(k.s.r);
    int xi = use_buf(e, node_arg(p->g, p->node, 0), p->in[0], false, layout_size(d, 4, k.s.c.x, &p->in[0]));
    int gi = use_buf(e, node_arg(p->g, p->node, 1), p->in[1], false, layout_size(d, 4, k.s.c.g, &p->in[1]));
    int scratch = kernel_buf(e->kernel, (BufUse){ .layout = { .block = 1, .dtype = DT_F32 }, .write = true, .is_scratch = true, .elems = p->scratch_elems });
    k.x = view4(e, buf_base(e, xi), k.s.c.x, &p->in[0]);
    k.g = view4(e, buf_base(e, gi), k.s.c.g, &p->in[1]);
    k.half = stack_array(e, t_f32(e), MAX_NP * MAX_NP * vec);
    k.V = addr(e, buf_base(e, scratch), i_add(e, c_int(e, u_chunk(&k.s) * chunks), i_mulc(e, e->tid, scratch_each(&k.s, vec))));
    k.Y = addr(e, k.V, c_int(e, points * v_point(&k.s, vec)));
    int64_t each = (int64_t)points * k.s.kg * k.s.lanes;
    e->kernel->tasks = const_dim(e, chunks * k.s.groups);

    Loop         t = tasks_begin(e, c_int(e, chunks * k.s.groups));
    LLVMValueRef chunk = i_divc(e, t.i, k.s.groups), strips = dim_value(e, k.s.strips);
    k.group = i_rem(e, t.i, c_int(e, k.s.groups));
    k.U = addr(e, buf_base(e, scratch), i_mulc(e, t.i, each));
    Loop z = loop_begin(e, c_int(e, 0), c_int(e, each), vec, 0, NULL);
    store(e, zero_acc(e), addr(e, k.U, z.i));
    loop_end(e, &z, NULL);
    LLVMValueRef first = i_divc(e, i_mul(e, strips, chunk), chunks), last = i_divc(e, i_mul(e, strips, i_addc(e, chunk, 1)), chunks);
    Loop         s = loop_begin(e, first, last, 1, 0, NULL);
    transform_inputs(&k, s.i);
    transform_grads(&k, s.i);
    multiply(&k);
    loop_end(e, &s, NULL);
    loop_end(e, &t, NULL);
}

/* G^T U G: a task is an output channel, a block of input channels and a residue. */
void emit_winograd_dw_combine(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Shape               s = shape_here(e, p);
    Transforms          t = transforms_of(s.r);
    int                 vec = e->target->vec, points = s.np * s.np, chunks = p->variant[V_SPLIT], res = s.step * s.step;
    LLVMValueRef        scratch = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, p->scratch_elems));
    Result              result = result_of(e, p, use_buf(e, p->node, j->out, true, layout_size(e->dims, 4, s.c.wt, &j->out)), j->out, j->epilogue, j->ctx);
    LLVMValueRef        zero = c_int(e, 0), u = stack_array(e, t_f32(e), points * vec), half = stack_array(e, t_f32(e), MAX_NP * MAX_NP * vec);
    LLVMValueRef        taps = stack_array(e, t_f32(e), MAX_R * MAX_R * vec);
    e->kernel->tasks = const_dim(e, s.c.K * s.cblocks);
    e->kernel->flops = const_dim(e, s.c.K * s.lanes * points * (chunks + 4));

    Loop         task = tasks_begin(e, c_int(e, s.c.K * s.cblocks));
    LLVMValueRef k = i_divc(e, task.i, s.cblocks), cb = i_rem(e, task.i, c_int(e, s.cblocks));
    Loop         f = loop_begin(e, zero, c_int(e, res), 1, 0, NULL);
    LLVMValueRef lane = i_mulc(e, i_add(e, i_mulc(e, f.i, s.cblocks), cb), vec);
    LLVMValueRef from = i_add(e, i_mulc(e, i_divc(e, k, s.kg), (int64_t)points * s.kg * s.lanes), i_add(e, i_mulc(e, i_rem(e, k, c_int(e, s.kg)), s.lanes), lane));
    Loop         pt = loop_begin(e, zero, c_int(e, points), 1, 0, NULL);
    LLVMValueRef at = addr(e, scratch, i_add(e, from, i_mulc(e, pt.i, s.kg * s.lanes))), acc = zero_acc(e);
    Loop         ch = loop_begin(e, zero, c_int(e, chunks), 1, 1, &acc);
    LLVMValueRef sum = f_add(e, ch.carry[0], vec_load(e, addr(e, at, i_mulc(e, ch.i, u_chunk(&s))), vec));
    loop_end(e, &ch, &sum);
    store(e, ch.carry[0], addr(e, u, i_mulc(e, pt.i, vec)));
    loop_end(e, &pt, NULL);
    both_sides(e, &t.g[0][0], 1, MAX_R, s.r, s.np, half, u, c_int(e, (int64_t)s.np * vec), c_int(e, vec), taps, vec);
    Loop y = loop_begin(e, zero, c_int(e, s.r), 1, 0, NULL);
    Loop x = loop_begin(e, zero, c_int(e, s.r), 1, 0, NULL);
    At4  to = { .n = k, .cb = cb, .h = i_add(e, i_mulc(e, y.i, s.step), i_divc(e, f.i, s.step)), .w = i_add(e, i_mulc(e, x.i, s.step), i_rem(e, f.i, c_int(e, s.step))) };
    result_store(&result, vec_load(e, addr(e, taps, i_mulc(e, i_add(e, i_mulc(e, y.i, s.r), x.i), vec)), vec), &to);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
    loop_end(e, &f, NULL);
    loop_end(e, &task, NULL);
}
