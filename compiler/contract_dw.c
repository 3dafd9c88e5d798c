/* contract_dw.c - weight gradients: which family, how pixels are cut, the loops over them, and chunks added to the result (contract_dw.h). */
#include "contract_dw.h"

enum { WANT_TASKS = 16, BLOCK_BYTES = 56 << 10, MOST_TAPS = 256 };

Cut dw_cut(const Conv *c, int vec)
{
    int64_t row = c->Wo < 0 ? 128 * 1024 : (c->Wo + c->Wo * c->stride[0] * c->stride[1]) * vec * 4;      /* a row of both operands, a channel block each */
    int64_t rows = row > 0 ? BLOCK_BYTES / row : 1;
    if (rows < 1)
        rows = c->Wo < 0 ? 4 : 1;
    if (c->Ho > 0 && rows >= c->Ho)
        return (Cut){ rows / c->Ho, c->Ho };
    return (Cut){ 1, rows };
}

static Dim cut_blocks(DimTable *d, const Conv *c, const Cut *cut)
{
    return dim_mul(d, dim_ceildiv(d, c->x[0], cut->images), dim_ceildiv(d, c->g[2], cut->rows));
}

int dw_chunks(const Graph *g, const Conv *c, const Cut *cut, int64_t tasks)
{
    int64_t blocks, chunks = tasks >= WANT_TASKS ? 1 : (WANT_TASKS + tasks - 1) / tasks;
    if (dim_is_const(g->dims, cut_blocks(g->dims, c, cut), &blocks) && chunks > blocks)
        chunks = blocks;
    return chunks < 1 ? 1 : (int)chunks;
}

int64_t dw_turned_elems(const Conv *c, int vec)
{
    return c->Cg * c->R * c->S * ((c->K + vec - 1) / vec * vec);
}

/* Do the input channels of V output channels lie in one block of x? */
static bool groups_share_block(const Conv *c, int vec)
{
    int64_t kg = c->K / c->groups;
    return vec % c->Cg == 0 && (kg % vec == 0 || (vec % kg == 0 && kg >= c->Cg));
}

void plan_dw(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    Conv    forward = *c;
    ConvMap m;
    forward.op = OP_conv;
    if (!conv_map(&forward, &m) || c->R * c->S > MOST_TAPS)
        return;
    bool xb = p->in[0].block > 1, gb = p->in[1].block > 1;
    if (xb && gb && plan_winograd_dw(g, c, t, p))
        return;
    bool whole = c->Cg % t->vec == 0 && c->K / c->groups % t->vec == 0;
    if (xb && c->Cg >= t->vec && (c->groups == 1 || whole))
        plan_dw_channels(g, c, t, p);
    else if (gb && dw_turned_elems(c, t->vec) / ((c->K + t->vec - 1) / t->vec) <= MOST_SUMS && ((c->groups == 1 && !xb) || (c->Cg == 1 && c->K == c->C && xb)))
        plan_dw_taps(g, c, t, p);
    else if (!xb && !gb)
        plan_dw_pixels(g, c, t, p);
    else if (xb && gb && groups_share_block(c, t->vec))
        plan_dw_shared(g, c, t, p);
    else
        return;
    for (int d = 0; d < 2; d++) {
        p->in[0].halo[2 * d] = (int16_t)m.axis[d].lo;
        p->in[0].halo[2 * d + 1] = (int16_t)m.axis[d].hi;
    }
}

/* ---- operands, pixels ---- */

Dw dw_begin(Emit *e, const Job *j, int64_t tasks_a_chunk, Loop *task, LLVMValueRef *chunk, LLVMValueRef *index)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    DimTable           *d = e->dims;
    Dw                  k = { .e = e, .v = p->variant, .c = conv_of(g, p->node) };
    k.cut = dw_cut(&k.c, e->target->vec);
    int xi = use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.c.x, &p->in[0]));
    int gi = use_buf(e, node_arg(g, p->node, 1), p->in[1], false, layout_size(d, 4, k.c.g, &p->in[1]));
    k.x = view4(e, buf_base(e, xi), k.c.x, &p->in[0]);
    k.g = view4(e, buf_base(e, gi), k.c.g, &p->in[1]);
    if (p->combine)
        k.partial = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->scratch_elems));
    k.images = dim_value(e, k.c.x[0]);
    k.ho = dim_value(e, k.c.g[2]);
    k.wo = dim_value(e, k.c.g[3]);
    k.row_blocks = dim_value(e, dim_ceildiv(d, k.c.g[2], k.cut.rows));
    int chunks = k.v[V_SPLIT];
    e->kernel->tasks = const_dim(e, tasks_a_chunk * chunks);
    *task = tasks_begin(e, c_int(e, tasks_a_chunk * chunks));
    *chunk = i_divc(e, task->i, tasks_a_chunk);
    *index = i_rem(e, task->i, c_int(e, tasks_a_chunk));
    LLVMValueRef blocks = dim_value(e, cut_blocks(d, &k.c, &k.cut));
    k.block_lo = i_divc(e, i_mul(e, blocks, *chunk), chunks);
    k.block_hi = i_divc(e, i_mul(e, blocks, i_addc(e, *chunk, 1)), chunks);
    return k;
}

Loop dw_blocks_begin(Dw *k)
{
    Emit *e = k->e;
    Loop  b = loop_begin(e, k->block_lo, k->block_hi, 1, 0, NULL);
    k->n0 = i_mulc(e, i_div(e, b.i, k->row_blocks), k->cut.images);
    k->n1 = i_min(e, k->images, i_addc(e, k->n0, k->cut.images));
    k->y0 = i_mulc(e, i_rem(e, b.i, k->row_blocks), k->cut.rows);
    k->y1 = i_min(e, k->ho, i_addc(e, k->y0, k->cut.rows));
    return b;
}

void dw_pixels_begin(Dw *k, PixelLoop *l, int nacc, LLVMValueRef *acc, LLVMValueRef xc, LLVMValueRef gc, LLVMValueRef r, LLVMValueRef s, int step)
{
    Emit        *e = k->e;
    const Conv  *c = &k->c;
    l->n = loop_begin(e, k->n0, k->n1, 1, nacc, acc);
    l->y = loop_begin(e, k->y0, k->y1, 1, nacc, l->n.carry);
    LLVMValueRef xy = i_addc(e, i_add(e, i_mulc(e, l->y.i, c->stride[0]), i_mulc(e, r, c->dilation[0])), -c->pad[0]);
    LLVMValueRef xx = i_addc(e, i_mulc(e, s, c->dilation[1]), -c->pad[2]);
    LLVMValueRef xrow = addr(e, k->x.base, view_off(e, &k->x, l->n.i, xc, xy, xx));
    LLVMValueRef grow = addr(e, k->g.base, view_off(e, &k->g, l->n.i, gc, l->y.i, c_int(e, 0)));
    l->x = loop_begin(e, c_int(e, 0), k->wo, step, nacc, l->y.carry);
    l->xp = addr(e, xrow, i_mul(e, l->x.i, i_mulc(e, k->x.w, c->stride[1])));
    l->gp = addr(e, grow, i_mul(e, l->x.i, k->g.w));
}

void dw_pixels_end(Dw *k, PixelLoop *l, LLVMValueRef *now, int nacc, LLVMValueRef *at)
{
    loop_end(k->e, &l->x, now);
    loop_end(k->e, &l->y, l->x.carry);
    loop_end(k->e, &l->n, l->y.carry);
    for (int i = 0; i < nacc; i++)
        store(k->e, l->n.carry[i], at[i]);
}

void dw_clear_sums(Emit *e, LLVMValueRef sums, int64_t vectors)
{
    Loop z = loop_begin(e, c_int(e, 0), c_int(e, vectors), 1, 0, NULL);
    store(e, zero_acc(e), addr(e, sums, i_mulc(e, z.i, e->target->vec)));
    loop_end(e, &z, NULL);
}

/* ---- chunks to the result, in order ---- */

/* Partial sums stored as the result will be. */
static void combine_same(Emit *e, const ContractPlan *p, const Conv *c, Result *result, LLVMValueRef scratch)
{
    int          vec = e->target->vec, chunks = p->variant[V_SPLIT];
    int64_t      cblocks = (c->Cg + vec - 1) / vec;
    LLVMValueRef zero = c_int(e, 0), acc = zero_acc(e), size = dim_value(e, layout_size(e->dims, 4, c->wt, &p->out));
    View         part = view4(e, scratch, c->wt, &p->out);
    e->kernel->tasks = const_dim(e, c->K * cblocks);
    Loop         t = tasks_begin(e, c_int(e, c->K * cblocks));
    Loop         r = loop_begin(e, zero, c_int(e, c->R), 1, 0, NULL);
    Loop         s = loop_begin(e, zero, c_int(e, c->S), 1, 0, NULL);
    At4          at = { .n = i_divc(e, t.i, cblocks), .cb = i_rem(e, t.i, c_int(e, cblocks)), .h = r.i, .w = s.i };
    LLVMValueRef from = addr(e, scratch, view_off(e, &part, at.n, at.cb, at.h, at.w));
    Loop         i = loop_begin(e, zero, c_int(e, chunks), 1, 1, &acc);
    LLVMValueRef sum = f_add(e, i.carry[0], vec_load(e, addr(e, from, i_mul(e, i.i, size)), vec));
    loop_end(e, &i, &sum);
    result_store(result, i.carry[0], &at);
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &t, NULL);
}

/* Partial sums [c][r][s][k]. */
static void combine_turned(Emit *e, const ContractPlan *p, const Conv *c, Result *result, LLVMValueRef scratch)
{
    int          vec = e->target->vec, chunks = p->variant[V_SPLIT];
    int64_t      kp = (c->K + vec - 1) / vec * vec;
    LLVMValueRef zero = c_int(e, 0), acc = c_f32(e, 0), line = stack_array(e, t_f32(e), vec);
    store(e, zero_acc(e), line);
    e->kernel->tasks = const_dim(e, c->K * c->Cg);
    Loop         t = tasks_begin(e, c_int(e, c->K * c->Cg));
    LLVMValueRef k = i_divc(e, t.i, c->Cg), ch = i_rem(e, t.i, c_int(e, c->Cg));
    Loop         r = loop_begin(e, zero, c_int(e, c->R), 1, 0, NULL);
    Loop         s = loop_begin(e, zero, c_int(e, c->S), vec, 0, NULL);
    LLVMValueRef left = i_sub(e, c_int(e, c->S), s.i);
    Loop         l = loop_begin(e, zero, i_min(e, left, c_int(e, vec)), 1, 0, NULL);
    LLVMValueRef tap = i_add(e, i_mulc(e, i_add(e, i_mulc(e, ch, c->R), r.i), c->S), i_add(e, s.i, l.i));
    LLVMValueRef from = addr(e, scratch, i_add(e, i_mulc(e, tap, kp), k));
    Loop         i = loop_begin(e, zero, c_int(e, chunks), 1, 1, &acc);
    LLVMValueRef sum = f_add(e, i.carry[0], load(e, addr(e, from, i_mulc(e, i.i, dw_turned_elems(c, vec)))));
    loop_end(e, &i, &sum);
    store(e, i.carry[0], addr(e, line, l.i));
    loop_end(e, &l, NULL);
    result_store(result, vec_load(e, line, vec), &(At4){ .n = k, .cb = ch, .h = r.i, .w = s.i, .mask = tail_mask(e, left, vec) });
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &t, NULL);
}

void emit_dw_combine(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Conv                c = conv_of(p->g, p->node);
    LLVMValueRef        scratch = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, p->scratch_elems));
    Result              result = result_of(e, p, use_buf(e, p->node, j->out, true, layout_size(e->dims, 4, c.wt, &j->out)), j->out, j->epilogue, j->ctx);
    e->kernel->flops = p->scratch_elems;
    if (p->variant[V_ALGO] == ALGO_DW)
        combine_same(e, p, &c, &result, scratch);
    else
        combine_turned(e, p, &c, &result, scratch);
}
