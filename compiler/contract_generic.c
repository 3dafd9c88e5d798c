/* contract_generic.c - conv, conv_dx and conv_dw for every shape, stride, padding, dilation and grouping, symbolic channels and kernels included.
 *
 *   for each result vector, for each of its lanes:  sum over three loops of  a * b  where the positions exist
 *
 * Slow (a multiplication at a time), with bounds checked in place of halos; what contract_plan gives to no fast kernel comes here.
 */
#include "contract.h"

/* The conv triple with its sizes as values. */
typedef struct {
    Emit        *e;
    Conv         c;
    LLVMValueRef x[4], wt[4], g[4];
    View         in[2];
    LLVMValueRef kg;               /* output channels a group */
} Gen;

typedef struct { LLVMValueRef n, c, h, w; } Index4;

static LLVMValueRef both(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildAnd(e->b, a, b, "");
}

static LLVMValueRef inside(Emit *e, LLVMValueRef i, LLVMValueRef n)
{
    return LLVMBuildICmp(e->b, LLVMIntULT, i, n, "");
}

/* acc + a[ia] * b[ib] where ok. */
static LLVMValueRef add_product(Gen *q, LLVMValueRef acc, LLVMValueRef ok, const Index4 *ia, const Index4 *ib)
{
    Emit             *e = q->e;
    LLVMBasicBlockRef from = LLVMGetInsertBlock(e->b), then = block_new(e, "product"), join = block_new(e, "sum");
    LLVMBuildCondBr(e->b, ok, then, join);
    LLVMPositionBuilderAtEnd(e->b, then);
    LLVMValueRef a = load(e, addr(e, q->in[0].base, view_elem(e, &q->in[0], ia->n, ia->c, ia->h, ia->w)));
    LLVMValueRef b = load(e, addr(e, q->in[1].base, view_elem(e, &q->in[1], ib->n, ib->c, ib->h, ib->w)));
    LLVMValueRef s = f_fma(e, a, b, acc);
    LLVMBuildBr(e->b, join);
    LLVMPositionBuilderAtEnd(e->b, join);
    LLVMValueRef phi = LLVMBuildPhi(e->b, t_f32(e), "");
    LLVMAddIncoming(phi, &acc, &from, 1);
    LLVMAddIncoming(phi, &s, &then, 1);
    return phi;
}

/* Position of x that tap t of result position y reads. */
static LLVMValueRef read_at(Gen *q, int d, LLVMValueRef y, LLVMValueRef t)
{
    Emit *e = q->e;
    return i_addc(e, i_add(e, i_mulc(e, y, q->c.stride[d]), i_mulc(e, t, q->c.dilation[d])), -q->c.pad[2 * d]);
}

/* The position of g whose tap t reads position h of x, and whether there is one. */
static LLVMValueRef read_by(Gen *q, int d, LLVMValueRef h, LLVMValueRef t, LLVMValueRef *ok)
{
    Emit        *e = q->e;
    LLVMValueRef at = i_sub(e, i_addc(e, h, q->c.pad[2 * d]), i_mulc(e, t, q->c.dilation[d]));
    LLVMValueRef stride = c_int(e, q->c.stride[d]);
    LLVMValueRef y = LLVMBuildSDiv(e->b, at, stride, "");
    LLVMValueRef whole = i_equal(e, i_mul(e, y, stride), at);
    *ok = both(e, whole, both(e, inside(e, y, q->g[2 + d]), LLVMBuildICmp(e->b, LLVMIntSGE, at, c_int(e, 0), "")));
    return y;
}

/* One term of the sum of result element o, at reduction indices i. */
static LLVMValueRef term(Gen *q, LLVMValueRef acc, const Index4 *o, const LLVMValueRef *i)
{
    Emit *e = q->e;
    if (q->c.op == OP_conv) {      /* i: c in group, r, s */
        LLVMValueRef y = read_at(q, 0, o->h, i[1]), x = read_at(q, 1, o->w, i[2]);
        LLVMValueRef c = i_mad(e, i_div(e, o->c, q->kg), q->wt[1], i[0]);
        return add_product(q, acc, both(e, inside(e, y, q->x[2]), inside(e, x, q->x[3])), &(Index4){ o->n, c, y, x }, &(Index4){ o->c, i[0], i[1], i[2] });
    }
    if (q->c.op == OP_conv_dx) {   /* i: k in group, r, s */
        LLVMValueRef oky, okx;
        LLVMValueRef y = read_by(q, 0, o->h, i[1], &oky), x = read_by(q, 1, o->w, i[2], &okx);
        LLVMValueRef group = i_div(e, o->c, q->wt[1]), k = i_mad(e, group, q->kg, i[0]);
        return add_product(q, acc, both(e, oky, okx), &(Index4){ o->n, k, y, x }, &(Index4){ k, i_sub(e, o->c, i_mul(e, group, q->wt[1])), i[1], i[2] });
    }
    /* conv_dw; i: n, ho, wo; o: k, c in group, r, s */
    LLVMValueRef y = read_at(q, 0, i[1], o->h), x = read_at(q, 1, i[2], o->w);
    LLVMValueRef c = i_mad(e, i_div(e, o->n, q->kg), q->wt[1], o->c);
    return add_product(q, acc, both(e, inside(e, y, q->x[2]), inside(e, x, q->x[3])), &(Index4){ i[0], c, y, x }, &(Index4){ i[0], o->n, i[1], i[2] });
}

static LLVMValueRef element(Gen *q, const Index4 *o)
{
    Emit        *e = q->e;
    LLVMValueRef zero = c_int(e, 0), acc = c_f32(e, 0), count[3];
    bool         dw = q->c.op == OP_conv_dw;
    count[0] = dw ? q->x[0] : q->c.op == OP_conv ? q->wt[1] : q->kg;
    count[1] = dw ? q->g[2] : q->wt[2];
    count[2] = dw ? q->g[3] : q->wt[3];
    Loop a = loop_begin(e, zero, count[0], 1, 1, &acc);
    Loop b = loop_begin(e, zero, count[1], 1, 1, a.carry);
    Loop c = loop_begin(e, zero, count[2], 1, 1, b.carry);
    LLVMValueRef sum = term(q, c.carry[0], o, (LLVMValueRef[]){ a.i, b.i, c.i });
    loop_end(e, &c, &sum);
    loop_end(e, &b, c.carry);
    loop_end(e, &a, b.carry);
    return a.carry[0];
}

void emit_generic(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    const Dim          *shape = node_shape(g, p->node);
    Gen                 q = { .e = e, .c = conv_of(g, p->node) };
    int                 vec = e->target->vec;
    int                 buf[3];
    for (int i = 0; i < 2; i++) {
        Ref in = node_arg(g, p->node, i);
        buf[i] = use_buf(e, in, p->in[i], false, layout_size(e->dims, 4, node_shape(g, in), &p->in[i]));
        q.in[i] = view4(e, buf_base(e, buf[i]), node_shape(g, in), &p->in[i]);
    }
    buf[2] = use_buf(e, p->node, j->out, true, layout_size(e->dims, 4, shape, &j->out));
    for (int i = 0; i < 4; i++) {
        q.x[i] = dim_value(e, q.c.x[i]);
        q.wt[i] = dim_value(e, q.c.wt[i]);
        q.g[i] = dim_value(e, q.c.g[i]);
    }
    q.kg = i_divc(e, q.wt[0], q.c.groups);
    Result       r = result_of(e, p, buf[2], j->out, j->epilogue, j->ctx);
    bool         blocked = j->out.block > 1;
    Dim          chans = blocked ? dim_ceildiv(e->dims, shape[1], vec) : shape[1];
    Dim          tasks = dim_mul(e->dims, dim_mul(e->dims, shape[0], chans), shape[2]);
    LLVMValueRef zero = c_int(e, 0), lanes = stack_array(e, t_f32(e), vec), rows = dim_value(e, shape[2]), cols = dim_value(e, shape[3]);
    e->kernel->tasks = tasks;
    store(e, zero_acc(e), lanes);
    Loop t = tasks_begin(e, dim_value(e, tasks));
    At4  at = { .h = i_rem(e, t.i, rows) };
    at.n = i_div(e, t.i, rows);
    at.cb = i_rem(e, at.n, dim_value(e, chans));
    at.n = i_div(e, at.n, dim_value(e, chans));
    Loop         w = loop_begin(e, zero, cols, blocked ? 1 : vec, 0, NULL);
    LLVMValueRef count = blocked ? i_sub(e, dim_value(e, shape[1]), i_mulc(e, at.cb, vec)) : i_sub(e, cols, w.i);
    at.w = w.i;
    at.mask = blocked ? NULL : tail_mask(e, count, vec);
    Loop         l = loop_begin(e, zero, i_min(e, count, c_int(e, vec)), 1, 0, NULL);
    Index4       o = { at.n, blocked ? i_add(e, i_mulc(e, at.cb, vec), l.i) : at.cb, at.h, blocked ? w.i : i_add(e, w.i, l.i) };
    LLVMValueRef sum = element(&q, &o);
    store(e, sum, addr(e, lanes, l.i));
    loop_end(e, &l, NULL);
    result_store(&r, vec_load(e, lanes, vec), &at);
    loop_end(e, &w, NULL);
    loop_end(e, &t, NULL);
}
