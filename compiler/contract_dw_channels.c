/* contract_dw_channels.c - weight gradients with lanes over input channels, also of small groups (contract_dw.h). */
#include "contract_dw.h"

#include <string.h>

enum { TASK_CHANNELS = 64, STAYS_BYTES = 512 << 10 };

/* ---- planning ---- */

/* Of a tile and of what is left where it does not divide the block and the taps: the share of the multiply-add peak. */
double dw_rate(const Conv *c, const Target *t, int rows, int nb)
{
    int64_t block = c->K < t->vec ? c->K : t->vec, k_rest = block % rows, s_rest = c->S % nb;
    double  k_tiles = (double)(block / rows), s_tiles = (double)(c->S / nb), steps = 0;
    const struct { double times; int64_t rows, nb; } part[] = { { k_tiles * s_tiles, rows, nb }, { s_tiles, k_rest, nb }, { k_tiles, rows, s_rest }, { 1, k_rest, s_rest } };
    for (size_t i = 0; i < COUNT(part); i++)
        if (part[i].rows && part[i].nb)
            steps += part[i].times * (double)(part[i].rows * part[i].nb) / fma_rate((int)part[i].rows, (int)part[i].nb);
    return (double)(block * c->S) / steps;
}

/* Whichever operand takes fewer registers is held; the other comes one vector after the other. */
static int smaller(int rows, int nb) { return rows < nb ? rows : nb; }

/* Tiles that leave nothing first: another has to be clearly better. */
static void pick_lanes_c(const Conv *c, const Target *t, ContractPlan *p)
{
    double  best = 0;
    int64_t block = c->K < t->vec ? c->K : t->vec;
    for (int even = 1; even >= 0; even--)
        for (int nb = 1; nb <= 6 && nb <= c->S; nb++)
            for (int rows = 1; rows <= block && rows * nb + smaller(rows, nb) + (t->fma ? 1 : 2) <= t->nregs; rows++) {
                double score = dw_rate(c, t, rows, nb);
                if ((block % rows == 0) != even || score <= (even ? best : 1.05 * best))
                    continue;
                best = score;
                p->variant[V_NB] = nb;
                p->variant[V_ROWS] = rows;
            }
}

/* Sums of a block of output channels and a block of input channels. */
static int64_t sums_of(const Conv *c, int vec) { return c->R * c->S * vec * (c->K < vec ? c->K : vec); }

/* Blocks of output channels a task: as many as make TASK_CHANNELS, unless a channel block of both operands stays in L2 from task to task. */
static int blocks_a_task(const Conv *c, int vec)
{
    int64_t n = TASK_CHANNELS / vec, kblocks = (c->K + vec - 1) / vec;
    bool    known = c->N >= 0 && c->Ho >= 0 && c->Wo >= 0;
    if (c->groups > 1 || (known && c->N * (c->H * c->W + c->Ho * c->Wo) * vec * 4 <= STAYS_BYTES))
        return 1;
    while (n > 1 && (n > kblocks || n * sums_of(c, vec) > MOST_SUMS))
        n /= 2;
    return n < 1 ? 1 : (int)n;
}

bool dw_retile(const Conv *c, const ContractPlan *p, char *why, size_t nwhy)
{
    int64_t block = c->K < p->target->vec ? c->K : p->target->vec;
    int     rows = p->variant[V_ROWS], nb = p->variant[V_NB], held = smaller(rows, nb);
    if (nb > 6 || nb > c->S)
        return snprintf(why, nwhy, "cols: at most %d taps here", c->S < 6 ? (int)c->S : 6), false;
    if (rows > block)
        return snprintf(why, nwhy, "rows: at most %d output channels here", (int)block), false;
    int64_t most = c->groups > 1 || c->K < p->target->vec ? 1 : MOST_SUMS / sums_of(c, p->target->vec);
    if (p->variant[V_CHUNK] > 1 && p->variant[V_CHUNK] > most)
        return snprintf(why, nwhy, "chunk: at most %d blocks of output channels here", most > 1 ? (int)most : 1), false;
    return registers_hold(p, rows + nb - held, held, why, nwhy);
}

void plan_dw_channels(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    DimTable *d = g->dims;
    pick_lanes_c(c, t, p);
    p->variant[V_ALGO] = ALGO_DW;
    Cut     cut = dw_cut(c, t->vec);
    int64_t kblocks = (c->K + t->vec - 1) / t->vec, cblocks = (c->Cg + t->vec - 1) / t->vec;
    int     run = p->variant[V_CHUNK] = p->in[1].block > 1 ? blocks_a_task(c, t->vec) : 1;
    p->variant[V_SPLIT] = dw_chunks(g, c, &cut, (kblocks + run - 1) / run * cblocks);
    p->combine = p->variant[V_SPLIT] > 1;
    if (p->combine)
        p->scratch_elems = dim_scale(d, layout_size(d, 4, c->wt, &p->out), p->variant[V_SPLIT]);
}

void plan_dw_shared(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    pick_lanes_c(c, t, p);
    p->variant[V_ALGO] = ALGO_DW_SHARED;
    Cut cut = dw_cut(c, t->vec);
    p->variant[V_SPLIT] = dw_chunks(g, c, &cut, (c->K + t->vec - 1) / t->vec);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, dw_turned_elems(c, t->vec) * p->variant[V_SPLIT]);
}

/* ---- emission ---- */

typedef struct {
    Dw           dw;
    LLVMValueRef sums;             /* [r][s][k of the block][V] */
    int          kblock;           /* output channels of a block of them */
    LLVMValueRef kb, cb, xcb;      /* blocks of output channels (the one being added), of channels of the group, of channels of x */
} LanesC;

/* Adds the block's pixels to the sums of `rows` output channels from k0 and nb columns of taps from s0, in row r of taps. */
static void add_tile(LanesC *q, LLVMValueRef r, LLVMValueRef s0, LLVMValueRef k0, int rows, int nb)
{
    Dw          *k = &q->dw;
    Emit        *e = k->e;
    int          vec = e->target->vec, nacc = rows * nb, hold = smaller(rows, nb);
    bool         blocked = k->g.block > 1;
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], at[MAX_CARRY], held[8];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < nb; j++) {
            LLVMValueRef tap = i_add(e, i_mulc(e, r, k->c.S), i_addc(e, s0, j));
            at[i * nb + j] = addr(e, q->sums, i_mulc(e, i_add(e, i_mulc(e, tap, q->kblock), i_addc(e, k0, i)), vec));
            acc[i * nb + j] = vec_load(e, at[i * nb + j], vec);
        }
    PixelLoop l;
    dw_pixels_begin(k, &l, nacc, acc, q->xcb, blocked ? q->kb : k0, r, s0, 1);
    memcpy(now, l.x.carry, sizeof now);
    LLVMValueRef gp = blocked ? addr(e, l.gp, k0) : l.gp;
    for (int n = 0; n < rows + nb; n++) {        /* the held operand, then the other: n counts both */
        bool         first = n < hold, is_x = (nb <= rows) == first;
        int          i = first ? n : n - hold;
        LLVMValueRef v;
        if (is_x)
            v = vec_load(e, addr(e, l.xp, i_mulc(e, k->x.w, (int64_t)i * k->c.dilation[1])), vec);
        else
            v = splat(e, load(e, addr(e, gp, blocked ? c_int(e, i) : i_mulc(e, k->g.c, i))), vec);
        if (first)
            held[n] = v;
        for (int h = 0; h < hold && !first; h++) {
            int to = is_x ? h * nb + i : i * nb + h;
            now[to] = is_x ? f_fma(e, held[h], v, now[to]) : f_fma(e, v, held[h], now[to]);
        }
    }
    dw_pixels_end(k, &l, now, nacc, at);
}

/* All columns of taps in row r. */
static void add_columns(LanesC *q, LLVMValueRef r, LLVMValueRef k0, int rows)
{
    Dw          *k = &q->dw;
    Emit        *e = k->e;
    int          nb = k->v[V_NB], rest = (int)(k->c.S % nb);
    LLVMValueRef left = c_int(e, k->c.S - rest);
    Loop         s = loop_begin(e, c_int(e, 0), left, nb, 0, NULL);
    add_tile(q, r, s.i, k0, rows, nb);
    loop_end(e, &s, NULL);
    if (rest)
        add_tile(q, r, left, k0, rows, rest);
}

static void add_block(LanesC *q)
{
    Dw          *k = &q->dw;
    Emit        *e = k->e;
    int          rows = k->v[V_ROWS], rest = q->kblock % rows;
    LLVMValueRef zero = c_int(e, 0), left = c_int(e, q->kblock - rest);
    Loop         r = loop_begin(e, zero, c_int(e, k->c.R), 1, 0, NULL);
    Loop         o = loop_begin(e, zero, left, rows, 0, NULL);
    add_columns(q, r.i, o.i, rows);
    loop_end(e, &o, NULL);
    if (rest)
        add_columns(q, r.i, left, rest);
    loop_end(e, &r, NULL);
}

/* The task's sums: to the chunk's scratch, in the layout of the plan, or through the epilogue. */
static void put_sums(LanesC *q, Result *result, const View *part)
{
    Dw          *k = &q->dw;
    Emit        *e = k->e;
    int          vec = e->target->vec;
    const Conv  *c = &k->c;
    LLVMValueRef zero = c_int(e, 0), first = i_mulc(e, q->kb, q->kblock);
    Loop         i = loop_begin(e, zero, i_min(e, c_int(e, q->kblock), i_sub(e, c_int(e, c->K), first)), 1, 0, NULL);
    Loop         r = loop_begin(e, zero, c_int(e, c->R), 1, 0, NULL);
    Loop         s = loop_begin(e, zero, c_int(e, c->S), 1, 0, NULL);
    LLVMValueRef ko = i_add(e, first, i.i), tap = i_add(e, i_mulc(e, r.i, c->S), s.i);
    LLVMValueRef v = vec_load(e, addr(e, q->sums, i_mulc(e, i_add(e, i_mulc(e, tap, q->kblock), i.i), vec)), vec);
    if (k->partial)
        store(e, v, addr(e, part->base, view_off(e, part, ko, q->cb, r.i, s.i)));
    else
        result_store(result, v, &(At4){ .n = ko, .cb = q->cb, .h = r.i, .w = s.i });
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &i, NULL);
}

/* The loop over the task's blocks of output channels. */
static Loop kblock_begin(LanesC *q, LLVMValueRef all, LLVMValueRef kb0, LLVMValueRef kb1, int64_t sums)
{
    Emit *e = q->dw.e;
    Loop  k = loop_begin(e, kb0, kb1, 1, 0, NULL);
    q->kb = k.i;
    q->sums = addr(e, all, i_mulc(e, i_sub(e, k.i, kb0), sums * e->target->vec));
    return k;
}

void emit_dw(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    LanesC              q = { 0 };
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec;
    Loop                t;
    LLVMValueRef        chunk, index;
    q.kblock = p->in[1].block > 1 ? vec : (int)c.K;
    int64_t kblocks = (c.K + q.kblock - 1) / q.kblock, cblocks = (c.Cg + vec - 1) / vec, run = p->variant[V_CHUNK], sums = c.R * c.S * q.kblock;
    LLVMValueRef all = stack_array(e, t_f32(e), (int)(run * sums * vec));
    q.dw = dw_begin(e, j, (kblocks + run - 1) / run * cblocks, &t, &chunk, &index);
    Result result = { 0 };
    View   part = { 0 };
    if (q.dw.partial) {
        LLVMValueRef size = dim_value(e, layout_size(e->dims, 4, c.wt, &p->out));
        part = view4(e, addr(e, q.dw.partial, i_mul(e, chunk, size)), c.wt, &p->out);
    } else {
        result = result_of(e, p, use_buf(e, p->node, j->out, true, layout_size(e->dims, 4, c.wt, &j->out)), j->out, j->epilogue, j->ctx);
    }
    LLVMValueRef kb0 = i_mulc(e, i_divc(e, index, cblocks), run), kb1 = i_min(e, i_addc(e, kb0, run), c_int(e, kblocks));
    q.cb = q.xcb = i_rem(e, index, c_int(e, cblocks));
    if (c.groups > 1)              /* all output channels of the block are of one group */
        q.xcb = i_add(e, q.cb, i_mulc(e, i_divc(e, i_mulc(e, kb0, q.kblock), c.K / c.groups), cblocks));
    dw_clear_sums(e, all, run * sums);
    Loop b = dw_blocks_begin(&q.dw), k = kblock_begin(&q, all, kb0, kb1, sums);
    add_block(&q);
    loop_end(e, &k, NULL);
    loop_end(e, &b, NULL);
    k = kblock_begin(&q, all, kb0, kb1, sums);
    put_sums(&q, &result, &part);
    loop_end(e, &k, NULL);
    loop_end(e, &t, NULL);
}

/* Small groups: of the dense block of sums, those of a k with the channels of its group. */
static void put_shared(LanesC *q, LLVMValueRef part)
{
    Dw          *k = &q->dw;
    Emit        *e = k->e;
    const Conv  *c = &k->c;
    int          vec = e->target->vec;
    int64_t      taps = c->R * c->S, kp = (c->K + vec - 1) / vec * vec;
    LLVMValueRef zero = c_int(e, 0), first = i_mulc(e, q->kb, vec);
    Loop         i = loop_begin(e, zero, i_min(e, c_int(e, vec), i_sub(e, c_int(e, c->K), first)), 1, 0, NULL);
    LLVMValueRef ko = i_add(e, first, i.i), lane = i_rem(e, i_mulc(e, i_divc(e, ko, c->K / c->groups), c->Cg), c_int(e, vec));
    Loop         ci = loop_begin(e, zero, c_int(e, c->Cg), 1, 0, NULL);
    Loop         t = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    LLVMValueRef from = i_add(e, i_mulc(e, i_add(e, i_mulc(e, t.i, vec), i.i), vec), i_add(e, lane, ci.i));
    LLVMValueRef to = i_add(e, i_mulc(e, i_add(e, i_mulc(e, ci.i, taps), t.i), kp), ko);
    store(e, load(e, addr(e, q->sums, from)), addr(e, part, to));
    loop_end(e, &t, NULL);
    loop_end(e, &ci, NULL);
    loop_end(e, &i, NULL);
}

void emit_dw_shared(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    LanesC              q = { 0 };
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec;
    Loop                t;
    LLVMValueRef        chunk;
    q.kblock = vec;
    q.sums = stack_array(e, t_f32(e), (int)(c.R * c.S) * vec * vec);
    q.dw = dw_begin(e, j, (c.K + vec - 1) / vec, &t, &chunk, &q.kb);
    q.xcb = i_divc(e, i_mulc(e, i_divc(e, i_mulc(e, q.kb, vec), c.K / c.groups), c.Cg), vec);
    dw_clear_sums(e, q.sums, c.R * c.S * vec);
    Loop b = dw_blocks_begin(&q.dw);
    add_block(&q);
    loop_end(e, &b, NULL);
    put_shared(&q, addr(e, q.dw.partial, i_mulc(e, chunk, dw_turned_elems(&c, vec))));
    loop_end(e, &t, NULL);
}
