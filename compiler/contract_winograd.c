/* contract_winograd.c - conv and conv_dx by Winograd's minimal filtering (Lavin and Gray 2015): fewer multiplications for more additions.
 *
 * A tile of M x M results of a phase with R x R taps comes from NP x NP inputs, NP = M + R - 1, as  A^T [ (G w G^T) * (B^T d B) ] A ; the products
 * are NP*NP independent matrices, tiles x input channels times input channels x output channels. With M = 4: 36 products a tile in place of 144 for 3x3
 * taps, 25 in place of 64 for the 2x2 phases of a 4x4 transposed convolution of stride 2.
 *
 *   task = (phase, share of the output channels, strip of T tiles, images after one another)
 *     V [point][residue][in block][T][lanes]      transformed inputs, in scratch of the thread
 *     for each NB*V output channels:
 *       M [point][T][NB*V]  =  V x U     register block: PR tiles x NB vectors
 *       A^T M A through the epilogue, to memory; results outside the picture are not stored
 *   U [phase][tile of output channels][point][residue][in channel][NB*V], the packed weights, transformed in double
 *
 * A convolution of stride 2 with 4x4 taps is four of stride 1 with 2x2 taps, one for each residue of input positions, whose products add up before the
 * results are transformed: residues are further input channels.
 *
 * Interpolation points: 0, 1, -1, 1/2, -2 and infinity; +-1/2, +-3/2 and infinity. With them the error, normwise, is two to ten times that of summing in
 * order, below 5e-6 at 512 channels; points such as 0, +-1, +-2 are three times worse.
 * Every element is one tile's, and a tile's sums do not depend on its strip: any number of threads gives the same bits.
 */
#include "winograd.h"

#include <assert.h>
#include <string.h>

/* The product of polynomials of degree R-1 and M-1, interpolated at NP-1 points and infinity (Toom and Cook), transposed. */
Transforms transforms_of(int r)
{
    static const double points[2][MAX_NP - 1] = { { 0.5, -0.5, 1.5, -1.5 }, { 0, 1, -1, 0.5, -2 } };
    const double       *x = points[r - 2];
    Transforms          t = { .r = r, .np = M + r - 1 };
    int                 last = t.np - 1;
    for (int j = 0; j <= last; j++) {
        double poly[MAX_NP] = { 1 }, scale = 1, power = 1;
        int    degree = 0;
        for (int l = 0; l < last; l++) {           /* times (X - x[l]) */
            if (l == j)
                continue;
            for (int i = ++degree; i > 0; i--)
                poly[i] = poly[i - 1] - x[l] * poly[i];
            poly[0] *= -x[l];
            scale *= j < last ? x[j] - x[l] : 1;
        }
        memcpy(t.b[j], poly, sizeof poly);
        for (int i = 0; i < (M > r ? M : r); i++, power *= j < last ? x[j] : 1) {
            if (i < M)
                t.a[i][j] = j < last ? power : i == M - 1;
            if (i < r)
                t.g[j][i] = j < last ? power / scale : i == r - 1;
        }
    }
    return t;
}

/* ---- planning ---- */

enum { STRIP = 28, FEW = 5, STRIP_BYTES = 1 << 20 };       /* tiles a strip; a smaller block of them; what their V may take: it is read again for each tile of output channels, from L2 */

int side_taps(const ConvMap *m) { return m->axis[0].at[0].taps / m->axis[0].in_step; }
int residues(const ConvMap *m) { return m->axis[0].in_step * m->axis[1].in_step; }

static Panels winograd_panels(const ConvMap *m, const ContractPlan *p)
{
    int    vec = p->target->vec, np = M + side_taps(m) - 1;
    Panels q = { .lanes = vec, .in_blocks = (m->Cin + vec - 1) / vec * residues(m), .width = (int64_t)p->variant[V_NB] * vec };
    q.tiles = (m->Cout + q.width - 1) / q.width;
    for (int i = 0; i < m->axis[0].count * m->axis[1].count; i++) {
        q.phase_at[i] = q.total;
        q.total += q.tiles * np * np * q.in_blocks * q.lanes * q.width;
    }
    return q;
}

/* Elements of scratch a thread: V, with a vector more a point so that points do not fall on one another in L1, and M. */
static int64_t v_point(const Panels *q, const int *v) { return (q->in_blocks * v[V_CHUNK] + 1) * q->lanes; }
static int64_t m_point(const Panels *q, const int *v) { return v[V_CHUNK] * q->width + q->lanes; }
static int64_t scratch_each(const Panels *q, const int *v, int np) { return np * np * (v_point(q, v) + m_point(q, v)); }

static bool same_taps(const Axis *a, int r, int step)
{
    for (int i = 0; i < a->count; i++)
        if (a->at[i].taps != r * step)
            return false;
    return a->in_step == step && a->tap_step == 1 && step <= 2 && (step == 1 || a->count == 1);
}

bool winograd_fits(const ConvMap *m)
{
    int r = side_taps(m), step = m->axis[0].in_step;
    return (r == 2 || r == 3) && same_taps(&m->axis[0], r, step) && same_taps(&m->axis[1], r, step);
}

/* The last tile may begin within the picture and end outside. */
int past_the_end(const ConvMap *m, int axis)
{
    int64_t n = axis ? m->cols : m->rows, steps = m->axis[axis].out_step;
    return steps > 1 && (n < 0 || n % steps) ? M : n < 0 ? M - 1 : (int)((M - n / steps % M) % M);
}

static Dim tiles_along(DimTable *d, const ConvMap *m, int axis) { return dim_ceildiv(d, m->out[2 + axis], (int64_t)m->axis[axis].out_step * M); }
Dim winograd_tiles(DimTable *d, const ConvMap *m) { return dim_mul(d, tiles_along(d, m, 0), tiles_along(d, m, 1)); }

/* Cycles of vector operations, roughly, against the direct kernel's; sizes that are not known are taken for large. */
static bool pays(const ConvMap *m, const Target *t, double rate)
{
    int    r = side_taps(m), np = M + r - 1;
    double in = (double)((m->Cin + t->vec - 1) / t->vec * residues(m)), out = (double)((m->Cout + t->vec - 1) / t->vec), lanes = t->vec;
    double h = m->rows < 0 ? 256 : (double)m->rows / m->axis[0].out_step, w = m->cols < 0 ? 256 : (double)m->cols / m->axis[1].out_step;
    double n = m->likely > 0 ? (double)m->likely : h * w < 4096 ? 32 : 1, phases = m->axis[0].count * m->axis[1].count;
    double tiles = n * (double)((int64_t)(h + M - 1) / M) * (double)((int64_t)(w + M - 1) / M), full = (double)(((int64_t)tiles + FEW - 1) / FEW * FEW);
    double direct = phases * n * h * w * r * r * in * lanes * out / 0.93;
    double gemm = full * np * np * in * lanes * out / rate, input = tiles * in * np * np * 12, output = tiles * out * np * np * 9;
    double weights = in * lanes * out * np * np * 16;      /* transformed each pass */
    return phases * (gemm + input + output + weights) < 0.9 * direct;
}

/* Packed weights and scratch for the block sizes. */
static void size_memory(Graph *g, const ConvMap *m, ContractPlan *p)
{
    Panels q = winograd_panels(m, p);
    p->packed_elems = dim_const(g->dims, q.total);
    p->scratch_elems = dim_scale(g->dims, threads_dim(g->dims), scratch_each(&q, p->variant, M + side_taps(m) - 1));
}

bool plan_winograd(Graph *g, const ConvMap *m, const Target *t, ContractPlan *p)
{
    int r = side_taps(m), step = m->axis[0].in_step;
    if (t->winograd == WINOGRAD_NEVER || !winograd_fits(m))
        return false;
    int nb = m->Cout > t->vec && t->nregs > 16 ? 2 : 1, rows = most_rows(t, nb) & ~1;
    rows = rows > STRIP ? STRIP : rows;
    if (t->winograd == WINOGRAD_PAYS && !pays(m, t, 0.9 * fma_rate(rows, nb)))
        return false;
    int *v = p->variant;
    v[V_ALGO] = ALGO_WINOGRAD;
    v[V_NB] = nb;
    v[V_PR] = rows;
    v[V_PW2] = FEW;
    v[V_UNROLL] = 4;
    int64_t np = M + r - 1, most = STRIP_BYTES / (np * np * ((m->Cin + t->vec - 1) / t->vec) * residues(m) * t->vec * 4) / rows;
    v[V_CHUNK] = rows * (most < 1 ? 1 : most < STRIP / rows ? (int)most : STRIP / rows);
    v[V_SPLIT] = 1;
    p->sums_ok = p->loads_ok = true;
    for (int d = 0; d < 2; d++)
        p->in[0].halo[2 * d + 1] = (int16_t)(m->axis[d].hi + past_the_end(m, d) * step);
    size_memory(g, m, p);
    return true;
}

bool winograd_retile(Graph *g, const Conv *c, ContractPlan *p, char *why, size_t nwhy)
{
    ConvMap m;
    int    *v = p->variant;
    conv_map(c, &m);
    if (v[V_CHUNK] % v[V_PR] || v[V_CHUNK] > 8 * v[V_PR])
        return snprintf(why, nwhy, "chunk: a multiple of %d, at most %d", v[V_PR], 8 * v[V_PR]), false;
    if (p->target->vec % v[V_UNROLL])
        return snprintf(why, nwhy, "unroll: it must divide %d", p->target->vec), false;
    size_memory(g, &m, p);
    return true;
}

/* ---- emission ---- */

typedef struct {
    Emit        *e;
    ConvMap      m;
    Panels       q;
    Transforms   t;
    const int   *v;
    View         in;                       /* without a prologue */
    TileLoad     load;                     /* with one */
    Result       result;
    ResultSums   sums;
    LLVMValueRef slot, first;              /* of sums: the phase's first; the strip's first tile */
    LLVMValueRef V, MM, half, spill;       /* scratch of this thread; on the stack: a transform half done, results of a tile */
    LLVMValueRef places;           /* on the stack, of the strip's tiles: image, row, column */
    LLVMValueRef tiles_y, tiles_x, total;  /* of a phase; of all images */
    LLVMValueRef in_y, in_x, out_y, out_x; /* first positions of the task's phase */
} Winograd;

static LLVMValueRef times(Emit *e, LLVMValueRef acc, double c, LLVMValueRef x, LLVMTypeRef elem)
{
    int lanes = lanes_of(x);
    if (c == 1)
        return acc ? LLVMBuildFAdd(e->b, acc, x, "") : x;
    if (c == -1 && acc)
        return LLVMBuildFSub(e->b, acc, x, "");
    LLVMValueRef k = splat(e, LLVMConstReal(elem, c), lanes);
    if (!acc)
        return LLVMBuildFMul(e->b, k, x, "");
    return elem == t_f32(e) ? f_fma(e, k, x, acc) : LLVMBuildFAdd(e->b, acc, LLVMBuildFMul(e->b, k, x, ""), "");
}

enum { MAX_SHARED = 16 };

/* Rows of a small matrix as sums of terms; terms past the inputs are shared parts. */
typedef struct { int rows, terms; double at[MAX_NP][MAX_NP + MAX_SHARED]; } Sums;

static bool alike(double a, double b) { return a - b < 1e-9 && b - a < 1e-9; }

/* How many rows hold terms a and b with b's factor `ratio` times that of a. */
static int rows_with(const Sums *s, int a, int b, double ratio)
{
    int n = 0;
    for (int i = 0; i < s->rows; i++)
        n += s->at[i][a] != 0 && s->at[i][b] != 0 && alike(s->at[i][b], ratio * s->at[i][a]);
    return n;
}

/* The two terms that most rows, at least two, hold in the same proportion. */
static bool common_pair(const Sums *s, int *pa, int *pb, double *ratio)
{
    int best = 1;
    for (int a = 0; a < s->terms; a++)
        for (int b = a + 1; b < s->terms; b++)
            for (int i = 0; i < s->rows; i++) {
                if (s->at[i][a] == 0 || s->at[i][b] == 0)
                    continue;
                int n = rows_with(s, a, b, s->at[i][b] / s->at[i][a]);
                if (n <= best)
                    continue;
                best = n;
                *pa = a;
                *pb = b;
                *ratio = s->at[i][b] / s->at[i][a];
            }
    return best > 1;
}

/* Points come in pairs, x and -x, whose rows differ in signs: what rows share is computed once, which saves a third to half of the operations. */
void combine_lines(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef const *in, LLVMValueRef *out, LLVMTypeRef elem)
{
    Sums         s = { .rows = nout, .terms = nin };
    LLVMValueRef term[MAX_NP + MAX_SHARED];
    int          a, b;
    double       ratio;
    for (int j = 0; j < nin; j++) {
        term[j] = in[j];
        for (int i = 0; i < nout; i++)
            s.at[i][j] = c[i * si + j * sj];
    }
    while (s.terms < MAX_NP + MAX_SHARED && common_pair(&s, &a, &b, &ratio)) {
        term[s.terms] = times(e, term[a], ratio, term[b], elem);
        for (int i = 0; i < nout; i++)
            if (s.at[i][a] != 0 && s.at[i][b] != 0 && alike(s.at[i][b], ratio * s.at[i][a])) {
                s.at[i][s.terms] = s.at[i][a];
                s.at[i][a] = s.at[i][b] = 0;
            }
        s.terms++;
    }
    for (int i = 0; i < nout; i++) {
        out[i] = NULL;
        for (int pass = 0; pass < 2; pass++)       /* a sum that begins with a plain term needs no multiplication for it */
            for (int j = 0; j < s.terms; j++)
                if (s.at[i][j] != 0 && (s.at[i][j] == 1) == (pass == 0))
                    out[i] = times(e, out[i], s.at[i][j], term[j], elem);
    }
}

void both_sides(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef half, LLVMValueRef from, LLVMValueRef row, LLVMValueRef col, LLVMValueRef to, LLVMValueRef point)
{
    int          vec = e->target->vec;
    LLVMValueRef v[MAX_NP], o[MAX_NP];
    for (int x = 0; x < nin; x++) {
        for (int y = 0; y < nin; y++)
            v[y] = vec_load(e, addr(e, from, i_add(e, i_mulc(e, row, y), i_mulc(e, col, x))), vec);
        combine_lines(e, c, si, sj, nout, nin, v, o, t_f32(e));
        for (int y = 0; y < nout; y++)
            store(e, o[y], addr(e, half, c_int(e, (int64_t)(y * MAX_NP + x) * vec)));
    }
    for (int y = 0; y < nout; y++) {
        for (int x = 0; x < nin; x++)
            v[x] = vec_load(e, addr(e, half, c_int(e, (int64_t)(y * MAX_NP + x) * vec)), vec);
        combine_lines(e, c, si, sj, nout, nin, v, o, t_f32(e));
        for (int x = 0; x < nout; x++)
            store(e, o[x], addr(e, to, i_mulc(e, point, y * nout + x)));
    }
}

TilePlace tile_place(Emit *e, LLVMValueRef tile, LLVMValueRef tiles_y, LLVMValueRef tiles_x)
{
    LLVMValueRef row = i_div(e, tile, tiles_x);
    return (TilePlace){ i_div(e, row, tiles_y), i_mulc(e, i_rem(e, row, tiles_y), M), i_mulc(e, i_rem(e, tile, tiles_x), M) };
}

static LLVMValueRef place_slot(Winograd *k, LLVMValueRef t, int i) { return addr_of(k->e, t_i64(k->e), k->places, i_addc(k->e, i_mulc(k->e, t, 3), i)); }

/* Divisions by sizes that only a run knows: once a tile, not once a tile and channel. */
static void find_places(Winograd *k, LLVMValueRef first, LLVMValueRef here)
{
    Emit     *e = k->e;
    Loop      t = loop_begin(e, c_int(e, 0), here, 1, 0, NULL);
    TilePlace at = tile_place(e, i_add(e, first, t.i), k->tiles_y, k->tiles_x);
    store(e, at.n, place_slot(k, t.i, 0));
    store(e, at.y, place_slot(k, t.i, 1));
    store(e, at.x, place_slot(k, t.i, 2));
    loop_end(e, &t, NULL);
}

static TilePlace place_at(Winograd *k, LLVMValueRef t)
{
    LLVMTypeRef i64 = t_i64(k->e);
    return (TilePlace){ load_of(k->e, i64, place_slot(k, t, 0), 8), load_of(k->e, i64, place_slot(k, t, 1), 8), load_of(k->e, i64, place_slot(k, t, 2), 8) };
}

/* B^T d B of all channels of a strip's tiles */
static void transform_inputs(Winograd *k, LLVMValueRef here)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, step = k->m.axis[0].in_step;
    int64_t      blocks = k->q.in_blocks / (step * step);
    LLVMValueRef zero = c_int(e, 0);
    Loop         b = loop_begin(e, zero, c_int(e, k->q.in_blocks), 1, 0, NULL);
    LLVMValueRef residue = i_divc(e, b.i, blocks), cb = i_rem(e, b.i, c_int(e, blocks)), first_y = k->in_y, first_x = k->in_x;
    if (step > 1) {
        first_y = i_add(e, first_y, i_divc(e, residue, step));
        first_x = i_add(e, first_x, i_rem(e, residue, c_int(e, step)));
    }
    Loop         t = loop_begin(e, zero, here, 1, 0, NULL);
    TilePlace    at = place_at(k, t.i);
    At4          first = { .n = at.n, .cb = cb, .h = i_add(e, i_mulc(e, at.y, step), first_y), .w = i_add(e, i_mulc(e, at.x, step), first_x) };
    LLVMValueRef to = addr(e, k->V, i_mulc(e, i_add(e, i_mulc(e, b.i, k->v[V_CHUNK]), t.i), vec)), from, row, col;
    if (k->load.prologue) {
        load_tile(&k->load, &first);
        from = k->load.tile;
        row = c_int(e, (int64_t)k->t.np * vec);
        col = c_int(e, vec);
    } else {
        from = addr(e, k->in.base, view_off(e, &k->in, first.n, cb, first.h, first.w));
        row = i_mulc(e, k->in.h, step);
        col = i_mulc(e, k->in.w, step);
    }
    both_sides(e, &k->t.b[0][0], MAX_NP, 1, k->t.np, k->t.np, k->half, from, row, col, to, c_int(e, v_point(&k->q, k->v)));
    loop_end(e, &t, NULL);
    loop_end(e, &b, NULL);
}

/* M = V U of one point for `rows` tiles from s on; u: the point's weights */
static void multiply_rows(Winograd *k, LLVMValueRef p, LLVMValueRef u, LLVMValueRef s, int rows)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nb = k->v[V_NB], strip = k->v[V_CHUNK], unroll = k->v[V_UNROLL], nacc = rows * nb;
    LLVMValueRef zero = c_int(e, 0), acc[MAX_CARRY], w[2];
    LLVMValueRef x = addr(e, k->V, i_add(e, i_mulc(e, p, v_point(&k->q, k->v)), i_mulc(e, s, vec)));
    for (int i = 0; i < nacc; i++)
        acc[i] = zero_acc(e);
    acc[nacc] = u;
    Loop         b = loop_begin(e, zero, c_int(e, k->q.in_blocks), 1, nacc + 1, acc);
    LLVMValueRef xb = addr(e, x, i_mulc(e, b.i, (int64_t)strip * vec));
    Loop         l = loop_begin(e, zero, c_int(e, vec), unroll, nacc + 1, b.carry);
    LLVMValueRef xl = addr(e, xb, l.i);
    memcpy(acc, l.carry, sizeof acc);
    for (int i = 0; i < unroll; i++) {
        for (int j = 0; j < nb; j++)
            w[j] = vec_load(e, addr(e, l.carry[nacc], c_int(e, i * k->q.width + (int64_t)j * vec)), vec);
        for (int r = 0; r < rows; r++) {
            LLVMValueRef xv = splat(e, load(e, addr(e, xl, c_int(e, (int64_t)r * vec + i))), vec);
            for (int j = 0; j < nb; j++)
                acc[r * nb + j] = f_fma(e, xv, w[j], acc[r * nb + j]);
        }
    }
    acc[nacc] = addr(e, l.carry[nacc], c_int(e, unroll * k->q.width));
    loop_end(e, &l, acc);
    loop_end(e, &b, l.carry);
    LLVMValueRef to = addr(e, k->MM, i_add(e, i_mulc(e, p, m_point(&k->q, k->v)), i_mulc(e, s, k->q.width)));
    for (int i = 0; i < nacc; i++)
        store(e, b.carry[i], addr(e, to, c_int(e, (int64_t)(i / nb) * k->q.width + (int64_t)(i % nb) * vec)));
}

/* M = V U of every point for one tile of output channels, whose panels begin at `panel`. The last tiles of a short strip go in blocks of fewer rows. */
static void multiply(Winograd *k, LLVMValueRef here, LLVMValueRef panel)
{
    Emit        *e = k->e;
    int          rows = k->v[V_PR], few = k->v[V_PW2];
    int64_t      per_point = k->q.in_blocks * k->q.lanes * k->q.width;
    LLVMValueRef main = i_mulc(e, i_divc(e, i_addc(e, here, rows - 1 - 2 * few), rows), rows);
    Loop         p = loop_begin(e, c_int(e, 0), c_int(e, (int64_t)k->t.np * k->t.np), 1, 0, NULL);
    LLVMValueRef u = addr(e, panel, i_mulc(e, p.i, per_point));
    Loop         s = loop_begin(e, c_int(e, 0), main, rows, 0, NULL);
    multiply_rows(k, p.i, u, s.i, rows);
    loop_end(e, &s, NULL);
    Loop l = loop_begin(e, main, here, few, 0, NULL);
    multiply_rows(k, p.i, u, l.i, few);
    loop_end(e, &l, NULL);
    loop_end(e, &p, NULL);
}

/* Result y, x of a tile, on the stack, through the epilogue. */
static void finish_one(Winograd *k, const TilePlace *at, LLVMValueRef cb, LLVMValueRef y, LLVMValueRef x)
{
    Emit       *e = k->e;
    const Axis *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    int         vec = e->target->vec;
    At4         to = { .n = at->n, .cb = cb };
    to.h = i_add(e, i_mulc(e, i_add(e, at->y, y), ay->out_step), k->out_y);
    to.w = i_add(e, i_mulc(e, i_add(e, at->x, x), ax->out_step), k->out_x);
    to.seen = k->sums.now;
    LLVMValueRef place = i_add(e, i_mulc(e, y, M), x);
    result_store(&k->result, vec_load(e, addr(e, k->spill, i_mulc(e, place, vec)), vec), &to);
    int64_t column;
    if (k->sums.p->nsums)
        sums_add(&k->sums, 0, is_int(x, &column) && column > 0 ? NULL : LLVMBuildAnd(e->b, k->sums.fresh, i_equal(e, place, c_int(e, 0)), ""), NULL);
}

/* The slot of sums that tile t of the strip goes to; *begins: it is the slot's first. */
static LLVMValueRef slot_of(Winograd *k, const TilePlace *at, LLVMValueRef t, LLVMValueRef *begins)
{
    Emit        *e = k->e;
    int          group = k->v[V_PR];
    LLVMValueRef slot = i_add(e, k->slot, i_divc(e, i_add(e, k->first, t), group));
    *begins = i_equal(e, i_rem(e, t, c_int(e, group)), c_int(e, 0));
    if (!k->sums.p->sums_each)
        return slot;
    *begins = LLVMBuildOr(e->b, *begins, i_equal(e, i_add(e, at->y, at->x), c_int(e, 0)), "");
    return i_add(e, slot, at->n);
}

/* The M x M results on the stack of tile t of the strip through the epilogue, those inside the picture: rows of M at once. */
static void finish(Winograd *k, const TilePlace *at, LLVMValueRef t, LLVMValueRef cb)
{
    Emit        *e = k->e;
    const Axis  *ay = &k->m.axis[0], *ax = &k->m.axis[1];
    LLVMValueRef zero = c_int(e, 0), rows = dim_value(e, k->m.out[2]), cols = dim_value(e, k->m.out[3]);
    LLVMValueRef oy = i_add(e, i_mulc(e, at->y, ay->out_step), k->out_y), ox = i_add(e, i_mulc(e, at->x, ax->out_step), k->out_x);
    LLVMValueRef ny = i_min(e, c_int(e, M), i_divc(e, i_addc(e, i_sub(e, rows, oy), ay->out_step - 1), ay->out_step));
    LLVMValueRef nx = i_min(e, c_int(e, M), i_divc(e, i_addc(e, i_sub(e, cols, ox), ax->out_step - 1), ax->out_step));
    LLVMValueRef begins, slot = k->sums.p->nsums ? slot_of(k, at, t, &begins) : NULL;
    if (slot)
        sums_tile_begin(&k->sums, slot, begins, cb);
    Loop         y = loop_begin(e, zero, ny, 1, 0, NULL);
    If           full = if_begin(e, i_equal(e, nx, c_int(e, M)));
    for (int i = 0; i < M; i++)
        finish_one(k, at, cb, y.i, c_int(e, i));
    if_else(e, &full);
    Loop x = loop_begin(e, zero, nx, 1, 0, NULL);
    finish_one(k, at, cb, y.i, x.i);
    loop_end(e, &x, NULL);
    if_end(e, &full);
    loop_end(e, &y, NULL);
    if (slot)
        sums_tile_end(&k->sums, slot, cb, i_mul(e, ny, nx));
}

/* A^T M A of one tile of output channels */
static void transform_results(Winograd *k, LLVMValueRef here, LLVMValueRef tile)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, np = k->t.np, nb = k->v[V_NB];
    int64_t      blocks = (k->m.Cout + vec - 1) / vec, point = m_point(&k->q, k->v);
    LLVMValueRef zero = c_int(e, 0);
    Loop         t = loop_begin(e, zero, here, 1, 0, NULL);
    TilePlace    at = place_at(k, t.i);
    LLVMValueRef cb = i_mulc(e, tile, nb);
    Loop         j = loop_begin(e, zero, i_min(e, c_int(e, nb), i_sub(e, c_int(e, blocks), cb)), 1, 0, NULL);
    LLVMValueRef from = addr(e, k->MM, i_add(e, i_mulc(e, t.i, k->q.width), i_mulc(e, j.i, vec)));
    both_sides(e, &k->t.a[0][0], MAX_NP, 1, M, np, k->half, from, c_int(e, np * point), c_int(e, point), k->spill, c_int(e, vec));
    finish(k, &at, t.i, i_add(e, cb, j.i));
    loop_end(e, &j, NULL);
    loop_end(e, &t, NULL);
}

void emit_winograd(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    const Graph        *g = p->g;
    DimTable           *d = e->dims;
    Conv                c = conv_of(g, p->node);
    Winograd            k = { .e = e, .v = p->variant };
    conv_map(&c, &k.m);
    const Axis *ay = &k.m.axis[0], *ax = &k.m.axis[1];
    k.t = transforms_of(side_taps(&k.m));
    k.q = winograd_panels(&k.m, p);
    int np = k.t.np, vec = e->target->vec;
    if (j->prologue)
        k.load = (TileLoad){ e, j->prologue, j->ctx, np, ay->in_step, dim_value(e, k.m.in[2]), dim_value(e, k.m.in[3]), stack_array(e, t_f32(e), np * np * vec) };
    else
        k.in = view4(e, buf_base(e, use_buf(e, node_arg(g, p->node, 0), p->in[0], false, layout_size(d, 4, k.m.in, &p->in[0]))), k.m.in, &p->in[0]);
    int packed = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, false, const_dim(e, k.q.total));
    int out = use_buf(e, p->node, j->out, true, layout_size(d, 4, k.m.out, &j->out));
    int scratch = use_buf(e, 0, (Layout){ .block = 1, .dtype = DT_F32 }, true, p->scratch_elems);
    k.result = result_of(e, p, out, j->out, j->epilogue, j->ctx);
    sums_begin(&k.sums, e, p, 1, 0);
    k.half = stack_array(e, t_f32(e), MAX_NP * MAX_NP * vec);
    k.spill = stack_array(e, t_f32(e), M * M * vec);
    k.places = stack_array(e, t_i64(e), 3 * k.v[V_CHUNK]);
    k.V = addr(e, buf_base(e, scratch), i_mulc(e, e->tid, scratch_each(&k.q, k.v, np)));
    k.MM = addr(e, k.V, c_int(e, np * np * v_point(&k.q, k.v)));

    Dim     ty = tiles_along(d, &k.m, 0), tx = tiles_along(d, &k.m, 1);
    Dim     total = dim_mul(d, k.m.out[0], winograd_tiles(d, &k.m)), strips = dim_ceildiv(d, total, k.v[V_CHUNK]);
    int64_t phases = (int64_t)ay->count * ax->count;
    e->kernel->tasks = dim_scale(d, strips, phases);
    k.tiles_y = dim_value(e, ty);
    k.tiles_x = dim_value(e, tx);
    k.total = dim_value(e, total);

    Loop         t = tasks_begin(e, dim_value(e, e->kernel->tasks));
    LLVMValueRef of = dim_value(e, strips), phase = i_div(e, t.i, of), first = i_mulc(e, i_rem(e, t.i, of), k.v[V_CHUNK]);
    LLVMValueRef py = i_divc(e, phase, ax->count), px = i_rem(e, phase, c_int(e, ax->count));
    k.in_y = phase_value(e, ay, py, offsetof(Phase, in_first));
    k.in_x = phase_value(e, ax, px, offsetof(Phase, in_first));
    k.out_y = phase_value(e, ay, py, offsetof(Phase, out_first));
    k.out_x = phase_value(e, ax, px, offsetof(Phase, out_first));
    LLVMValueRef here = i_min(e, c_int(e, k.v[V_CHUNK]), i_sub(e, k.total, first));
    k.first = first;
    if (p->nsums)
        k.slot = i_mul(e, phase, dim_value(e, k.sums.s.per_phase));
    find_places(&k, first, here);
    transform_inputs(&k, here);
    Loop         tile = loop_begin(e, c_int(e, 0), c_int(e, k.q.tiles), 1, 0, NULL);
    LLVMValueRef panel = i_add(e, table_at(e, k.q.phase_at, (int)phases, phase), i_mulc(e, tile.i, (int64_t)np * np * k.q.in_blocks * k.q.lanes * k.q.width));
    multiply(&k, here, addr(e, buf_base(e, packed), panel));
    transform_results(&k, here, tile.i);
    loop_end(e, &tile, NULL);
    loop_end(e, &t, NULL);
}

/* ---- weights ---- */

enum { PAST_CACHE = 16 << 20 };    /* bytes of U that would push out all else */

/* G w G^T in double: from `stage` [phase][tap row][tap column][lane][NB*V] of one block of input channels to U. A part is a phase, or a residue's taps. */
void winograd_weights(Emit *e, const ContractPlan *p, const ConvMap *m, LLVMValueRef stage, LLVMValueRef packed, LLVMValueRef tile, LLVMValueRef block)
{
    Transforms   t = transforms_of(side_taps(m));
    Panels       q = winograd_panels(m, p);
    int          vec = e->target->vec, np = t.np, r = t.r, step = m->axis[0].in_step, phases = m->axis[0].count * m->axis[1].count;
    int          parts = phases * step * step, row = r * step;
    int64_t      per_point = q.in_blocks * q.lanes * q.width, tap = q.lanes * q.width;
    bool         large = q.total * 4 > PAST_CACHE;
    LLVMTypeRef  f64 = LLVMDoubleTypeInContext(e->cx);
    LLVMValueRef zero = c_int(e, 0), v[MAX_NP], o[MAX_NP], half[MAX_NP][MAX_R];
    Loop         f = loop_begin(e, zero, c_int(e, parts), 1, 0, NULL);
    LLVMValueRef first, panel;
    if (step == 1) {
        first = i_mulc(e, f.i, r * r * tap);
        panel = table_at(e, q.phase_at, phases, f.i);
    } else {
        first = i_mulc(e, i_add(e, i_mulc(e, i_divc(e, f.i, step), row), i_rem(e, f.i, c_int(e, step))), tap);
        panel = i_mulc(e, f.i, q.in_blocks / (step * step) * q.lanes * q.width);
    }
    LLVMValueRef phase_from = addr(e, stage, first);
    panel = i_add(e, panel, i_mulc(e, tile, np * np * per_point));
    panel = i_add(e, panel, i_mulc(e, block, q.lanes * q.width));
    Loop         l = loop_begin(e, zero, c_int(e, q.lanes * q.width), vec, 0, NULL);
    LLVMValueRef from = addr(e, phase_from, l.i), to = addr(e, packed, i_add(e, panel, l.i));
    for (int x = 0; x < r; x++) {
        for (int y = 0; y < r; y++)
            v[y] = LLVMBuildFPExt(e->b, vec_load(e, addr(e, from, c_int(e, (y * row + x) * step * tap)), vec), t_vec(f64, vec), "");
        combine_lines(e, &t.g[0][0], MAX_R, 1, np, r, v, o, f64);
        for (int y = 0; y < np; y++)
            half[y][x] = o[y];
    }
    for (int y = 0; y < np; y++) {
        combine_lines(e, &t.g[0][0], MAX_R, 1, np, r, half[y], o, f64);
        for (int x = 0; x < np; x++)
            (large ? store_past : store)(e, LLVMBuildFPTrunc(e->b, o[x], t_vec(t_f32(e), vec), ""), addr(e, to, c_int(e, (y * np + x) * per_point)));
    }
    loop_end(e, &l, NULL);
    loop_end(e, &f, NULL);
    if (large)
        fence_past(e);
}

int64_t winograd_total(const ConvMap *m, const ContractPlan *p) { return winograd_panels(m, p).total; }
