/* contract_winograd_few.c - conv_dw by Winograd's way where channels are many and tiles are few: the deep layers of a GAN, maps of 4x4 and 8x8.
 *
 * There the sums over tiles of all points take several times the memory of the weights, so they are not kept: a task finishes its own.
 *
 *   task = (KB output channels, share of the input lanes), in scratch of the thread
 *     Y [point][tile][KB] = A dy A^T of all tiles
 *     for each NB vectors of input lanes:
 *       V [point][tile][NB*V] = B^T x B
 *       for each point, ROWS output channels:  U [point][KB][NB*V] = Y^T V, summed over all tiles in registers     register block: ROWS x NB vectors
 *       G^T U G through the epilogue
 *
 * Transforms are computed again by every task that needs them, which costs less than to share them. Tiles go in pairs; the odd one's partner is zeros.
 */
#include "winograd.h"

#include <string.h>

enum { MOST_KB = 128, TASKS = 16, MOST_Y = 1 << 20, MOST_TILES = 1024 };   /* MOST_Y: bytes */

/* ---- planning ---- */

static int64_t block_of(const DwShape *s, int vec, double tiles)
{
    int64_t kb = MOST_KB;
    while (s->c.K % kb || (kb > 4 * DW_ROWS && tiles * s->np * s->np * (double)kb * 4 > MOST_Y))
        kb /= 2;
    return kb % vec ? 0 : kb;
}

/* Tiles, and one of zeros when they are odd in number. */
static Dim even_tiles(DimTable *d, const DwShape *s) { return dim_scale(d, dim_ceildiv(d, s->total, 2), 2); }

double plan_winograd_few(DimTable *d, const DwShape *s, const Target *t, ContractPlan *p)
{
    int     vec = t->vec, *v = p->variant, points = s->np * s->np;
    double  tiles = dw_tiles(s);
    int64_t kb = block_of(s, vec, tiles), nb = t->nregs > 16 && s->lanes / vec % 2 == 0 ? 2 : 1, width = nb * vec, steps = s->lanes / width, shares = 1;
    if (tiles == 0 || tiles > MOST_TILES || kb < DW_ROWS)
        return 0;
    while (s->c.K / kb * shares < TASKS && steps % (2 * shares) == 0)
        shares *= 2;
    v[V_ALGO] = ALGO_DW_WINOGRAD_FEW;
    v[V_NB] = (int)nb;
    v[V_ROWS] = (int)kb;
    v[V_SPLIT] = (int)shares;
    dw_halos(s, p);
    p->scratch_elems = dim_mul(d, threads_dim(d), dim_scale(d, dim_add(d, dim_scale(d, even_tiles(d, s), kb + width), dim_const(d, 3 * vec + kb * width)), points));
    double in = (double)s->lanes / vec, K = (double)s->c.K;
    double gemm = tiles * points * in * K / 0.8, input = tiles * in * points * 14 * K / (double)kb, grads = tiles * K / vec * points * 10 * (double)shares;
    return gemm + input + grads + points * K * in * 8;
}

/* ---- emission ---- */

typedef struct {
    DwTiles      k;
    LLVMValueRef V, Y, U;
    LLVMValueRef even, v_point, y_point, u_point;
    int64_t      kb, width;
    int          nb;
} Few;

static void fill_grads(Few *w, LLVMValueRef first)
{
    Emit *e = w->k.e;
    int   vec = e->target->vec;
    Loop  b = loop_begin(e, c_int(e, 0), c_int(e, w->kb / vec), 1, 0, NULL);
    Loop  t = loop_begin(e, c_int(e, 0), w->even, 1, 0, NULL);
    dw_grad(&w->k, t.i, i_add(e, first, b.i), addr(e, w->Y, i_add(e, i_mulc(e, t.i, w->kb), i_mulc(e, b.i, vec))), w->y_point);
    loop_end(e, &t, NULL);
    loop_end(e, &b, NULL);
}

static void fill_inputs(Few *w, LLVMValueRef first)
{
    Emit *e = w->k.e;
    int   vec = e->target->vec;
    for (int j = 0; j < w->nb; j++) {
        Loop t = loop_begin(e, c_int(e, 0), w->even, 1, 0, NULL);
        dw_input(&w->k, t.i, i_addc(e, first, j), addr(e, w->V, i_addc(e, i_mulc(e, t.i, w->width), (int64_t)j * vec)), w->v_point);
        loop_end(e, &t, NULL);
    }
}

static void multiply(Few *w)
{
    Emit        *e = w->k.e;
    int          vec = e->target->vec, points = w->k.s.np * w->k.s.np, nacc = DW_ROWS * w->nb;
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY];
    Loop         p = loop_begin(e, zero, c_int(e, points), 1, 0, NULL);
    LLVMValueRef v = addr(e, w->V, i_mul(e, p.i, w->v_point)), y = addr(e, w->Y, i_mul(e, p.i, w->y_point)), u = addr(e, w->U, i_mul(e, p.i, w->u_point));
    Loop         r = loop_begin(e, zero, c_int(e, w->kb), DW_ROWS, 0, NULL);
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    LLVMValueRef yr = addr(e, y, r.i), ur = addr(e, u, i_mulc(e, r.i, w->width));
    Loop         t = loop_begin(e, zero, w->even, 2, nacc, acc);
    memcpy(acc, t.carry, sizeof acc);
    for (int h = 0; h < 2; h++) {
        LLVMValueRef tile = i_addc(e, t.i, h);
        add_products(e, acc, addr(e, v, i_mulc(e, tile, w->width)), addr(e, yr, i_mulc(e, tile, w->kb)), w->nb);
    }
    loop_end(e, &t, acc);
    for (int i = 0; i < nacc; i++)
        store(e, t.carry[i], addr(e, ur, c_int(e, (int64_t)i * vec)));
    loop_end(e, &r, NULL);
    loop_end(e, &p, NULL);
}

void emit_winograd_few(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    DimTable           *d = e->dims;
    Few                 w = { .k = dw_tiles_of(e, p), .nb = p->variant[V_NB], .kb = p->variant[V_ROWS] };
    const DwShape      *s = &w.k.s;
    int                 vec = e->target->vec, points = s->np * s->np, shares = p->variant[V_SPLIT];
    Result              result = result_of(e, p, use_buf(e, p->node, j->out, true, layout_size(d, 4, s->c.wt, &j->out)), j->out, j->epilogue, j->ctx);
    int scratch = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->scratch_elems);
    w.width = (int64_t)w.nb * vec;
    w.even = dim_value(e, even_tiles(d, s));
    w.y_point = i_addc(e, i_mulc(e, w.even, w.kb), vec);       /* a vector more, so that points do not fall on one another in L1 */
    w.v_point = i_addc(e, i_mulc(e, w.even, w.width), vec);
    w.u_point = c_int(e, w.kb * w.width + vec);
    LLVMValueRef each = i_add(e, i_add(e, w.y_point, w.v_point), w.u_point), taps = stack_array(e, t_f32(e), MAX_R * MAX_R * vec);
    w.Y = addr(e, buf_base(e, scratch), i_mul(e, e->tid, i_mulc(e, each, points)));
    w.V = addr(e, w.Y, i_mulc(e, w.y_point, points));
    w.U = addr(e, w.V, i_mulc(e, w.v_point, points));
    int64_t tasks = s->c.K / w.kb * shares, blocks = s->lanes / vec / shares;
    e->kernel->tasks = const_dim(e, tasks);

    Loop         t = tasks_begin(e, c_int(e, tasks));
    LLVMValueRef channel = i_mulc(e, i_divc(e, t.i, shares), w.kb), first = i_mulc(e, i_rem(e, t.i, c_int(e, shares)), blocks);
    fill_grads(&w, i_divc(e, channel, vec));
    Loop c = loop_begin(e, first, i_addc(e, first, blocks), w.nb, 0, NULL);
    fill_inputs(&w, c.i);
    multiply(&w);
    Loop k = loop_begin(e, c_int(e, 0), c_int(e, w.kb), 1, 0, NULL);
    for (int i = 0; i < w.nb; i++)
        dw_result(&w.k, &result, taps, i_add(e, channel, k.i), i_addc(e, c.i, i), addr(e, w.U, i_addc(e, i_mulc(e, k.i, w.width), (int64_t)i * vec)), w.u_point);
    loop_end(e, &k, NULL);
    loop_end(e, &c, NULL);
    loop_end(e, &t, NULL);
}
