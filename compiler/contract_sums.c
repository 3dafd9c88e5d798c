/* contract_sums.c - sums of a convolution's results over rows and columns, taken while a tile is in registers or L1: the statistics of a norm, without reading the map again.
 *
 * What is summed is what the epilogue sees (ContractPlan.sums). Partial sums go to slots of their own, in an order that depends on sizes alone, and the kernel that reads them
 * adds them up (loops_region.c). A slot holds of each channel a plain sum, or moments: the first result, sum and sum of squares of what the others differ from it, and how many
 * there are: so that a mean many times the deviation costs no digits, neither here nor where slots are put together (Chan, Golub and LeVeque 1983).
 *
 *   contract_conv.c       a slot is a row of results (of a phase of columns), column by column
 *   contract_winograd.c   a slot is V_PR tiles after one another, fewer where an image ends
 *
 * Neither depends on block sizes that @block or tuning may change. A row that two tasks compute is stored twice, the same.
 */
#include "contract.h"

enum { FIRST, SUM, SQUARES, COUNT_OF };    /* of moments, in this order in a slot */

SumSlots sum_slots(const ContractPlan *p, DimTable *d)
{
    ConvMap m;
    Conv    c = conv_of(p->g, p->node);
    int     vec = p->target->vec;
    conv_map(&c, &m);
    const Axis *ay = &m.axis[0], *ax = &m.axis[1];
    SumSlots    s = { .group = 1, .phases = 1, .channels = (m.Cout + vec - 1) / vec * vec };
    if (p->variant[V_ALGO] == ALGO_WINOGRAD) {
        s.units = winograd_tiles(d, &m);
        s.group = p->variant[V_PR];
        s.phases = ay->count * ax->count;
        s.per_phase = dim_ceildiv(d, dim_mul(d, m.out[0], s.units), s.group);
        if (p->sums_each)
            s.per_phase = dim_add(d, s.per_phase, m.out[0]);
    } else {
        s.units = dim_scale(d, m.out[2], ax->count);
        s.per_phase = dim_mul(d, m.out[0], s.units);
    }
    for (int i = 0; i < p->nsums; i++) {
        s.at[i] = s.record;
        s.record += p->moments[i] ? 4 : 1;
    }
    s.elems = dim_scale(d, s.per_phase, s.phases * s.record * s.channels);
    return s;
}

/* Which of the three running numbers a sum has. */
static bool has(const ResultSums *s, int i, int v) { return v == SUM || s->p->moments[i]; }

void sums_begin(ResultSums *s, Emit *e, const ContractPlan *p, int nb, int rows)
{
    *s = (ResultSums){ .e = e, .p = p, .nb = nb };
    if (!p->nsums)
        return;
    int vec = e->target->vec;
    s->s = sum_slots(p, e->dims);
    s->base = buf_base(e, use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, s->s.elems));
    s->run = stack_array(e, t_f32(e), rows * p->nsums * 3 * nb * vec);
    s->done = stack_array(e, t_i64(e), 1);
    for (int i = 0; i < p->nsums; i++)
        for (int k = 0; k < 3 * nb; k++)
            s->acc[i][k / 3][k % 3] = has(s, i, k % 3) ? stack_array(e, t_f32(e), vec) : NULL;
}

/* Vector v of a slot's sum i, of the channels of block cb. */
static LLVMValueRef slot_at(ResultSums *s, LLVMValueRef slot, int i, int v, LLVMValueRef cb)
{
    Emit *e = s->e;
    int   at = s->s.at[i] + (s->p->moments[i] ? v : 0);
    return addr(e, s->base, i_add(e, i_mulc(e, i_addc(e, i_mulc(e, slot, s->s.record), at), s->s.channels), i_mulc(e, cb, e->target->vec)));
}

static LLVMValueRef as_float(Emit *e, LLVMValueRef n) { return LLVMBuildUIToFP(e->b, n, t_f32(e), ""); }

void sums_add(ResultSums *s, int j, LLVMValueRef first, LLVMValueRef counts)
{
    Emit *e = s->e;
    int   vec = e->target->vec;
    for (int i = 0; i < s->p->nsums; i++) {
        LLVMValueRef *acc = s->acc[i][j], x = s->now[i];
        if (s->p->moments[i]) {
            LLVMValueRef from = vec_load(e, acc[FIRST], vec);
            if (first) {
                from = LLVMBuildSelect(e->b, first, x, from, "");
                store(e, from, acc[FIRST]);
            }
            x = LLVMBuildFSub(e->b, x, from, "");
        }
        if (counts)
            x = LLVMBuildSelect(e->b, counts, x, zero_acc(e), "");
        store(e, f_add(e, vec_load(e, acc[SUM], vec), x), acc[SUM]);
        if (s->p->moments[i])
            store(e, f_fma(e, x, x, vec_load(e, acc[SQUARES], vec)), acc[SQUARES]);
    }
}

/* ---- rows ---- */

void sums_done(ResultSums *s, LLVMValueRef columns)
{
    if (s->p->nsums)
        store(s->e, columns, s->done);
}

static LLVMValueRef run_at(ResultSums *s, LLVMValueRef row, int i, int j, int v)
{
    Emit *e = s->e;
    return addr(e, s->run, i_mulc(e, i_addc(e, i_mulc(e, row, 3 * s->nb * s->p->nsums), (i * s->nb + j) * 3 + v), e->target->vec));
}

void sums_row_begin(ResultSums *s, SumRow *r)
{
    Emit *e = s->e;
    int   vec = e->target->vec;
    if (!s->p->nsums)
        return;
    LLVMValueRef done = load_of(e, t_i64(e), s->done, 8);
    r->fresh = i_equal(e, done, c_int(e, 0));
    r->skip = i_sub(e, done, r->at);
    for (int i = 0; i < s->p->nsums; i++)
        for (int k = 0; k < 3 * s->nb; k++)
            if (has(s, i, k % 3)) {
                LLVMValueRef now = vec_load(e, run_at(s, r->row, i, k / 3, k % 3), vec);
                store(e, LLVMBuildSelect(e->b, r->fresh, zero_acc(e), now, ""), s->acc[i][k / 3][k % 3]);
            }
}

void sums_column(ResultSums *s, const SumRow *r, int j, LLVMValueRef column)
{
    Emit *e = s->e;
    if (!s->p->nsums)
        return;
    LLVMValueRef first = LLVMBuildAnd(e->b, r->fresh, i_equal(e, column, c_int(e, 0)), "");
    sums_add(s, j, first, LLVMBuildNot(e->b, LLVMBuildAnd(e->b, i_less(e, column, r->skip), LLVMBuildNot(e->b, r->fresh, ""), ""), ""));
}

void sums_row_end(ResultSums *s, const SumRow *r)
{
    Emit *e = s->e;
    int   vec = e->target->vec;
    if (!s->p->nsums)
        return;
    If last = if_begin(e, i_equal(e, i_addc(e, r->at, r->width), r->count));
    for (int j = 0; j < s->nb; j++) {
        LLVMValueRef cb = i_addc(e, r->cb, j);
        If           f = if_begin(e, i_less(e, cb, r->blocks));
        for (int i = 0; i < s->p->nsums; i++) {
            for (int v = 0; v < 3; v++)
                if (has(s, i, v))
                    store(e, vec_load(e, s->acc[i][j][v], vec), slot_at(s, r->slot, i, v, cb));
            if (s->p->moments[i])
                store(e, splat(e, as_float(e, r->count), vec), slot_at(s, r->slot, i, COUNT_OF, cb));
        }
        if_end(e, &f);
    }
    if_else(e, &last);
    for (int i = 0; i < s->p->nsums; i++)
        for (int k = 0; k < 3 * s->nb; k++)
            if (has(s, i, k % 3))
                store(e, vec_load(e, s->acc[i][k / 3][k % 3], vec), run_at(s, r->row, i, k / 3, k % 3));
    if_end(e, &last);
}

/* ---- tiles ---- */

void sums_tile_begin(ResultSums *s, LLVMValueRef slot, LLVMValueRef begins, LLVMValueRef cb)
{
    Emit        *e = s->e;
    LLVMValueRef none = c_f32(e, 0);
    for (int i = 0; i < s->p->nsums; i++) {
        for (int v = 0; v < 3; v++)
            if (has(s, i, v))
                store(e, LLVMBuildSelect(e->b, begins, zero_acc(e), vec_load(e, slot_at(s, slot, i, v, cb), e->target->vec), ""), s->acc[i][0][v]);
        if (s->p->moments[i])
            none = LLVMBuildSelect(e->b, begins, c_f32(e, 0), load(e, slot_at(s, slot, i, COUNT_OF, cb)), "");
    }
    s->before = none;
    s->fresh = LLVMBuildFCmp(e->b, LLVMRealOEQ, none, c_f32(e, 0), "");
}

void sums_tile_end(ResultSums *s, LLVMValueRef slot, LLVMValueRef cb, LLVMValueRef count)
{
    Emit *e = s->e;
    int   vec = e->target->vec;
    for (int i = 0; i < s->p->nsums; i++) {
        for (int v = 0; v < 3; v++)
            if (has(s, i, v))
                store(e, vec_load(e, s->acc[i][0][v], vec), slot_at(s, slot, i, v, cb));
        if (s->p->moments[i])
            store(e, splat(e, f_add(e, s->before, as_float(e, count)), vec), slot_at(s, slot, i, COUNT_OF, cb));
    }
}
