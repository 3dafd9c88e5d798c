/* contract_dw.c - conv_dw, the weight gradient: dw[k,c,r,s] = sum over images and pixels of g[k, pixel] * x[c, pixel*stride + tap].
 *
 *   images and rows are cut into blocks (a part of a picture, or some small pictures) that stay in L2; fixed runs of blocks are chunks
 *
 * lanes over c (weights with c/groups >= V, stored with lanes over c):
 *   task = (chunk, CHUNK blocks of output channels, block of input channels)
 *     sums[block][r][s][k][V] on the stack; for each block of pixels, block of output channels, r, tile of s, tile of k:
 *       acc[k][s] += g[k] * x[s]  over the block's pixels: ROWS broadcasts of g, NB vectors of x
 *     Every task reads all of its chunk's x, mostly from memory; with several blocks of output channels a task that is rarer by so much.
 *
 *   Small groups: the same over a block of x that holds the groups of a block of output channels; what crosses groups is dropped.
 *
 * lanes over k (few input channels, or depthwise):
 *   task = (chunk, NB blocks of output channels)
 *     sums[c][r][s][NB*V]; tile of PR x PW taps:  acc[tap][k block] += x[tap] * g[k block]
 *   x is one number of a plane, or, depthwise, a vector of the same channels
 *
 * lanes over pixels (few channels on both sides):
 *   task = (chunk, input channel);  acc[k][tap] += g[k] * x[tap], V pixels at once, lanes summed at the end
 *
 * With too few tasks there are several chunks; each leaves partial sums in scratch, and a second kernel adds them in order.
 * With lanes over k or pixels there always is a second kernel: it also turns [c][r][s][k] into (k,c,r,s). Sums in memory grow block by block, so here no
 * tile may overlap another: tiles divide the kernel and the block of output channels, or a narrower tile does the rest.
 */
#include "contract.h"

#include <assert.h>
#include <string.h>

enum { WANT_TASKS = 16, BLOCK_BYTES = 56 << 10, MOST_TAPS = 256, MOST_SUMS = 1 << 15, TASK_CHANNELS = 64, STAYS_BYTES = 512 << 10 };

/* How pixels are cut: blocks of `images` whole pictures, or of `rows` rows of one. */
typedef struct { int64_t images, rows; } Cut;

static Cut cut_of(const Conv *c, int vec)
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

/* Chunks for that many tasks a chunk: more than one block each, where their number is known. */
static int chunks_for(const Graph *g, const Conv *c, const Cut *cut, int64_t tasks)
{
    int64_t blocks, chunks = tasks >= WANT_TASKS ? 1 : (WANT_TASKS + tasks - 1) / tasks;
    if (dim_is_const(g->dims, cut_blocks(g->dims, c, cut), &blocks) && chunks > blocks)
        chunks = blocks;
    return chunks < 1 ? 1 : (int)chunks;
}

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

static void plan_lanes_c(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    DimTable *d = g->dims;
    pick_lanes_c(c, t, p);
    p->variant[V_ALGO] = ALGO_DW;
    Cut     cut = cut_of(c, t->vec);
    int64_t kblocks = (c->K + t->vec - 1) / t->vec, cblocks = (c->Cg + t->vec - 1) / t->vec;
    int     run = p->variant[V_CHUNK] = p->in[1].block > 1 ? blocks_a_task(c, t->vec) : 1;
    p->variant[V_SPLIT] = chunks_for(g, c, &cut, (kblocks + run - 1) / run * cblocks);
    p->combine = p->variant[V_SPLIT] > 1;
    if (p->combine)
        p->scratch_elems = dim_scale(d, layout_size(d, 4, c->wt, &p->out), p->variant[V_SPLIT]);
}

/* Elements of one chunk of partial sums to be turned: [c/groups][r][s][k up to whole vectors]. */
static int64_t lanes_k_elems(const Conv *c, int vec)
{
    return c->Cg * c->R * c->S * ((c->K + vec - 1) / vec * vec);
}

static void plan_lanes_k(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    bool    depth = c->groups > 1;
    int64_t blocks = (c->K + t->vec - 1) / t->vec;
    double  best = 0;
    p->variant[V_ALGO] = ALGO_DW_LANES;
    for (int nb = 1; nb <= 4 && nb <= blocks && (!depth || nb == 1); nb++)
        for (int ns = 1; ns <= c->S && ns <= most_rows(t, nb); ns++)
            for (int nr = 1; nr <= c->R && nr * ns <= most_rows(t, nb); nr++) {
                double score = fma_rate(nr * ns, nb) * tile_waste(blocks, nb);
                if (c->S % ns != 0 || c->R % nr != 0 || score <= best)
                    continue;
                best = score;
                p->variant[V_NB] = nb;
                p->variant[V_PR] = nr;
                p->variant[V_PW] = ns;
            }
    Cut cut = cut_of(c, t->vec);
    p->variant[V_SPLIT] = chunks_for(g, c, &cut, (blocks + p->variant[V_NB] - 1) / p->variant[V_NB]);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, lanes_k_elems(c, t->vec) * p->variant[V_SPLIT]);
}

/* Do the input channels of V output channels lie in one block of x? */
static bool groups_share_block(const Conv *c, int vec)
{
    int64_t kg = c->K / c->groups;
    return vec % c->Cg == 0 && (kg % vec == 0 || (vec % kg == 0 && kg >= c->Cg));
}

static void plan_shared(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    pick_lanes_c(c, t, p);
    p->variant[V_ALGO] = ALGO_DW_SHARED;
    Cut cut = cut_of(c, t->vec);
    p->variant[V_SPLIT] = chunks_for(g, c, &cut, (c->K + t->vec - 1) / t->vec);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, lanes_k_elems(c, t->vec) * p->variant[V_SPLIT]);
}

static void plan_lanes_pixels(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    int kg = (int)(c->K / c->groups);
    p->variant[V_ALGO] = ALGO_DW_PIXELS;
    p->variant[V_ROWS] = kg <= 4 ? kg : kg % 4 == 0 ? 4 : kg % 3 == 0 ? 3 : kg % 2 == 0 ? 2 : 1;
    p->variant[V_NB] = 1;          /* columns of taps */
    for (int nb = 2; nb <= 4; nb++)
        if (c->S % nb == 0 && nb <= most_rows(t, p->variant[V_ROWS]))
            p->variant[V_NB] = nb;
    Cut cut = cut_of(c, t->vec);
    p->variant[V_SPLIT] = chunks_for(g, c, &cut, c->C);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, lanes_k_elems(c, t->vec) * p->variant[V_SPLIT]);
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
        plan_lanes_c(g, c, t, p);
    else if (gb && lanes_k_elems(c, t->vec) / ((c->K + t->vec - 1) / t->vec) <= MOST_SUMS && ((c->groups == 1 && !xb) || (c->Cg == 1 && c->K == c->C && xb)))
        plan_lanes_k(g, c, t, p);
    else if (!xb && !gb)
        plan_lanes_pixels(g, c, t, p);
    else if (xb && gb && groups_share_block(c, t->vec))
        plan_shared(g, c, t, p);
    else
        return;
    for (int d = 0; d < 2; d++) {
        p->in[0].halo[2 * d] = (int16_t)m.axis[d].lo;
        p->in[0].halo[2 * d + 1] = (int16_t)m.axis[d].hi;
    }
}

/* ---- what both ways share: operands, pixels ---- */

typedef struct {
    Emit        *e;
    const int   *v;
    Conv         c;
    Cut          cut;
    View         x, g;
    LLVMValueRef images, ho, wo, row_blocks;   /* row_blocks: blocks of rows an image (or group of images) */
    LLVMValueRef block_lo, block_hi;           /* blocks of the chunk */
    LLVMValueRef n0, n1, y0, y1;               /* pixels of the block being added */
    LLVMValueRef partial;                      /* base of all chunks' partial sums, or NULL */
} Dw;

static Dw dw_begin(Emit *e, const Job *j, int64_t tasks_a_chunk, Loop *task, LLVMValueRef *chunk, LLVMValueRef *index)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    DimTable           *d = e->dims;
    Dw                  k = { .e = e, .v = p->variant, .c = conv_of(g, p->node) };
    k.cut = cut_of(&k.c, e->target->vec);
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

static Loop blocks_begin(Dw *k)
{
    Emit *e = k->e;
    Loop  b = loop_begin(e, k->block_lo, k->block_hi, 1, 0, NULL);
    k->n0 = i_mulc(e, i_div(e, b.i, k->row_blocks), k->cut.images);
    k->n1 = i_min(e, k->images, i_addc(e, k->n0, k->cut.images));
    k->y0 = i_mulc(e, i_rem(e, b.i, k->row_blocks), k->cut.rows);
    k->y1 = i_min(e, k->ho, i_addc(e, k->y0, k->cut.rows));
    return b;
}

/* The loops over a block's pixels, `step` columns a round, carrying sums. Inside, xp and gp are the addresses of x at tap (r, s) and of g. */
typedef struct { Loop n, y, x; LLVMValueRef xp, gp; } PixelLoop;

static void pixels_begin(Dw *k, PixelLoop *l, int nacc, LLVMValueRef *acc, LLVMValueRef xc, LLVMValueRef gc, LLVMValueRef r, LLVMValueRef s, int step)
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

static void pixels_end(Dw *k, PixelLoop *l, LLVMValueRef *now)
{
    loop_end(k->e, &l->x, now);
    loop_end(k->e, &l->y, l->x.carry);
    loop_end(k->e, &l->n, l->y.carry);
}

/* ---- lanes over c ---- */

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
    pixels_begin(k, &l, nacc, acc, q->xcb, blocked ? q->kb : k0, r, s0, 1);
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
    pixels_end(k, &l, now);
    for (int i = 0; i < nacc; i++)
        store(e, l.n.carry[i], at[i]);
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

static void clear_sums(Emit *e, LLVMValueRef sums, int64_t vectors)
{
    Loop z = loop_begin(e, c_int(e, 0), c_int(e, vectors), 1, 0, NULL);
    store(e, zero_acc(e), addr(e, sums, i_mulc(e, z.i, e->target->vec)));
    loop_end(e, &z, NULL);
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
    clear_sums(e, all, run * sums);
    Loop b = blocks_begin(&q.dw), k = kblock_begin(&q, all, kb0, kb1, sums);
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
    clear_sums(e, q.sums, c.R * c.S * vec);
    Loop b = blocks_begin(&q.dw);
    add_block(&q);
    loop_end(e, &b, NULL);
    put_shared(&q, addr(e, q.dw.partial, i_mulc(e, chunk, lanes_k_elems(&c, vec))));
    loop_end(e, &t, NULL);
}

/* ---- lanes over k ---- */

/* Adds the block's pixels to the sums of PR x PW taps from (r, s), input channel c; kb: first block of output channels. */
static void add_taps(Dw *k, LLVMValueRef sums, LLVMValueRef c, LLVMValueRef r, LLVMValueRef s, LLVMValueRef kb)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nr = k->v[V_PR], ns = k->v[V_PW], nb = k->v[V_NB], nacc = nr * ns * nb;
    bool         depth = k->c.groups > 1;
    int64_t      blocks = (k->c.K + vec - 1) / vec;
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], at[MAX_CARRY], gv[8];
    for (int i = 0; i < nr * ns; i++) {
        LLVMValueRef row = i_add(e, i_mulc(e, c, k->c.R), i_addc(e, r, i / ns)), tap = i_add(e, i_mulc(e, row, k->c.S), i_addc(e, s, i % ns));
        for (int j = 0; j < nb; j++) {
            at[i * nb + j] = addr(e, sums, i_mulc(e, i_addc(e, i_mulc(e, tap, nb), j), vec));
            acc[i * nb + j] = vec_load(e, at[i * nb + j], vec);
        }
    }
    PixelLoop l;
    pixels_begin(k, &l, nacc, acc, depth ? kb : c, kb, r, s, 1);
    memcpy(now, l.x.carry, sizeof now);
    for (int j = 0; j < nb; j++) {             /* past the last block: that one again, into sums that nobody reads */
        LLVMValueRef block = blocks % nb ? i_min(e, c_int(e, j), i_sub(e, c_int(e, blocks - 1), kb)) : c_int(e, j);
        gv[j] = vec_load(e, addr(e, l.gp, i_mul(e, block, k->g.c)), vec);
    }
    for (int i = 0; i < nr * ns; i++) {
        LLVMValueRef off = i_add(e, i_mulc(e, k->x.h, (int64_t)(i / ns) * k->c.dilation[0]), i_mulc(e, k->x.w, (int64_t)(i % ns) * k->c.dilation[1]));
        LLVMValueRef xp = addr(e, l.xp, off), xv = depth ? vec_load(e, xp, vec) : splat(e, load(e, xp), vec);
        for (int j = 0; j < nb; j++)
            now[i * nb + j] = f_fma(e, xv, gv[j], now[i * nb + j]);
    }
    pixels_end(k, &l, now);
    for (int i = 0; i < nacc; i++)
        store(e, l.n.carry[i], at[i]);
}

void emit_dw_lanes(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec, nb = p->variant[V_NB];
    int64_t             blocks = (c.K + vec - 1) / vec, tiles = (blocks + nb - 1) / nb, taps = c.Cg * c.R * c.S;
    LLVMValueRef        zero = c_int(e, 0), sums = stack_array(e, t_f32(e), (int)(taps * nb * vec)), chunk, index;
    Loop                t;
    Dw                  k = dw_begin(e, j, tiles, &t, &chunk, &index);
    LLVMValueRef        kb = i_mulc(e, index, nb);
    clear_sums(e, sums, taps * nb);
    Loop b = blocks_begin(&k);
    Loop ci = loop_begin(e, zero, c_int(e, c.Cg), 1, 0, NULL);
    Loop r = loop_begin(e, zero, c_int(e, c.R), p->variant[V_PR], 0, NULL);
    Loop s = loop_begin(e, zero, c_int(e, c.S), p->variant[V_PW], 0, NULL);
    add_taps(&k, sums, ci.i, r.i, s.i, kb);
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &ci, NULL);
    loop_end(e, &b, NULL);
    LLVMValueRef part = addr(e, k.partial, i_mulc(e, chunk, lanes_k_elems(&c, vec)));
    Loop         tap = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    Loop         o = loop_begin(e, zero, i_min(e, c_int(e, nb), i_sub(e, c_int(e, blocks), kb)), 1, 0, NULL);
    LLVMValueRef v = vec_load(e, addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap.i, nb), o.i), vec)), vec);
    store(e, v, addr(e, part, i_mulc(e, i_add(e, i_mulc(e, tap.i, blocks), i_add(e, kb, o.i)), vec)));
    loop_end(e, &o, NULL);
    loop_end(e, &tap, NULL);
    loop_end(e, &t, NULL);
}

/* ---- lanes over pixels ---- */

/* Adds the block's pixels to the sums of V_ROWS output channels from k0 (of `first_k` + k0) and V_NB columns of taps. sums: [r][s][k of the group][V]. */
static void add_pixels(Dw *k, LLVMValueRef sums, LLVMValueRef c, LLVMValueRef first_k, LLVMValueRef k0, LLVMValueRef r, LLVMValueRef s)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, rows = k->v[V_ROWS], nb = k->v[V_NB], nacc = rows * nb;
    int64_t      kg = k->c.K / k->c.groups;
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], at[MAX_CARRY], gv[4];
    for (int i = 0; i < nacc; i++) {
        LLVMValueRef tap = i_add(e, i_mulc(e, r, k->c.S), i_addc(e, s, i % nb));
        at[i] = addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap, kg), i_addc(e, k0, i / nb)), vec));
        acc[i] = vec_load(e, at[i], vec);
    }
    PixelLoop l;
    pixels_begin(k, &l, nacc, acc, c, i_add(e, first_k, k0), r, s, vec);
    memcpy(now, l.x.carry, sizeof now);
    LLVMValueRef mask = k->c.Wo >= 0 && k->c.Wo % vec == 0 ? NULL : tail_mask(e, i_sub(e, k->wo, l.x.i), vec);
    for (int i = 0; i < rows; i++)
        gv[i] = vec_load_mask(e, addr(e, l.gp, i_mulc(e, k->g.c, i)), vec, mask);
    for (int j = 0; j < nb; j++) {
        LLVMValueRef xv = spaced_load(e, addr(e, l.xp, c_int(e, (int64_t)j * k->c.dilation[1])), k->c.stride[1], mask);
        for (int i = 0; i < rows; i++)
            now[i * nb + j] = f_fma(e, xv, gv[i], now[i * nb + j]);
    }
    pixels_end(k, &l, now);
    for (int i = 0; i < nacc; i++)
        store(e, l.n.carry[i], at[i]);
}

void emit_dw_pixels(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec;
    int64_t             kg = c.K / c.groups, taps = c.R * c.S;
    LLVMValueRef        zero = c_int(e, 0), sums = stack_array(e, t_f32(e), (int)(taps * kg * vec)), chunk, ch;
    Loop                t;
    Dw                  k = dw_begin(e, j, c.C, &t, &chunk, &ch);
    LLVMValueRef        first_k = i_mulc(e, i_divc(e, ch, c.Cg), kg);
    clear_sums(e, sums, taps * kg);
    Loop b = blocks_begin(&k);
    Loop r = loop_begin(e, zero, c_int(e, c.R), 1, 0, NULL);
    Loop s = loop_begin(e, zero, c_int(e, c.S), p->variant[V_NB], 0, NULL);
    Loop o = loop_begin(e, zero, c_int(e, kg), p->variant[V_ROWS], 0, NULL);
    add_pixels(&k, sums, ch, first_k, o.i, r.i, s.i);
    loop_end(e, &o, NULL);
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &b, NULL);
    LLVMValueRef part = addr(e, k.partial, i_mulc(e, chunk, lanes_k_elems(&c, vec)));
    Loop         tap = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    Loop         i = loop_begin(e, zero, c_int(e, kg), 1, 0, NULL);
    LLVMValueRef v = vec_load(e, addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap.i, kg), i.i), vec)), vec);
    LLVMValueRef row = i_add(e, i_mulc(e, i_rem(e, ch, c_int(e, c.Cg)), taps), tap.i);
    store(e, sum_lanes(e, &v, 1), addr(e, part, i_add(e, i_mulc(e, row, (c.K + vec - 1) / vec * vec), i_add(e, first_k, i.i))));
    loop_end(e, &i, NULL);
    loop_end(e, &tap, NULL);
    loop_end(e, &t, NULL);
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
    LLVMValueRef sum = f_add(e, i.carry[0], load(e, addr(e, from, i_mulc(e, i.i, lanes_k_elems(c, vec)))));
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
