/* interp_contract.c - matmul and the convolution triple of the reference interpreter.
 *
 * The three convolutions are one trilinear form over columns: col(x) has a row for every (c, r, s) and a column for every output pixel (n, i, j).
 *     conv      out (k, pixel)   = w (k, crs) * col(x) (crs, pixel)
 *     conv_dw   w (k, crs)      += g (k, pixel) * col(x)^T (pixel, crs)
 *     conv_dx   x               += col^T of  w^T (crs, k) * g (k, pixel)
 * Columns are made for a band of output rows at a time (at most COLUMN_CAP numbers). The products run through gemm below, whose inner loop is contiguous
 * and whose sums run in order, so that threads and bands never change what is added to what.
 */
#include "interp.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMN_CAP = 1 << 19, TILE_N = 512, TILE_K = 128 };

/* One tile: rows of c, at most TILE_N wide and TILE_K deep. */
static void gemm_tile(int64_t n, int64_t k, const double *a, int64_t a_col, const double *restrict b, int64_t ldb, double *restrict c)
{
    int64_t p = 0;
    for (; p + 4 <= k; p += 4) {
        double        a0 = a[p * a_col], a1 = a[(p + 1) * a_col], a2 = a[(p + 2) * a_col], a3 = a[(p + 3) * a_col];
        const double *b0 = b + p * ldb, *b1 = b0 + ldb, *b2 = b1 + ldb, *b3 = b2 + ldb;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            c[j] = (((c[j] + a0 * b0[j]) + a1 * b1[j]) + a2 * b2[j]) + a3 * b3[j];
    }
    for (; p < k; p++) {
        double        a0 = a[p * a_col];
        const double *b0 = b + p * ldb;
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            c[j] += a0 * b0[j];
    }
}

void gemm(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_col, const double *b, int64_t ldb, double *c, int64_t ldc)
{
    int64_t tiles = (n + TILE_N - 1) / TILE_N, bands = (m + 15) / 16;
#pragma omp parallel for collapse(2) if (m * n * k > 4 * PARALLEL_FROM)
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t band = 0; band < bands; band++) {
            int64_t j = t * TILE_N, width = n - j < TILE_N ? n - j : TILE_N, end = band * 16 + 16 < m ? band * 16 + 16 : m;
            for (int64_t p = 0; p < k; p += TILE_K) {
                int64_t depth = k - p < TILE_K ? k - p : TILE_K;
                for (int64_t i = band * 16; i < end; i++)
                    gemm_tile(width, depth, a + i * a_row + p * a_col, a_col, b + p * ldb + j, ldb, c + i * ldc + j);
            }
        }
}

/* a (..,m,k) b (..,k,n) -> (..,m,n); ta, tb: stored as (k,m), (n,k) */
bool ref_matmul(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    const int64_t *attrs = node_attrs(ip->g, r);
    bool           ta = attrs[0] != 0, tb = attrs[1] != 0;
    int            q = out->rank;
    int64_t        m = out->shape[q - 2], n = out->shape[q - 1], k = in[0]->shape[ta ? q - 2 : q - 1], batch = 1;
    for (int i = 0; i < q - 2; i++)
        batch *= out->shape[i];
    if (in[0]->n != batch * m * k || in[1]->n != batch * k * n)
        return node_fail(ip->g, r, ip->st, "operands do not fit: %lld x %lld x %lld", (long long)m, (long long)k, (long long)n);
    double *flipped = tb ? xmalloc((size_t)(k * n) * sizeof *flipped) : NULL;
    for (int64_t t = 0; t < batch; t++) {
        const double *a = in[0]->at + t * m * k, *b = in[1]->at + t * k * n;
        if (tb) {
            for (int64_t i = 0; i < k; i++)
                for (int64_t j = 0; j < n; j++)
                    flipped[i * n + j] = b[j * k + i];
            b = flipped;
        }
        gemm(m, n, k, a, ta ? 1 : k, ta ? m : 1, b, n, out->at + t * m * n, n);
    }
    free(flipped);
    return true;
}

/* ---- convolution ---- */
typedef struct {
    int64_t n, c, h, w, k, r, s, ho, wo;
    int64_t sh, sw, top, left, dh, dw, groups, cg, kg;       /* cg, kg: channels a group */
    int64_t crs, pixels, rows_at_once;
} Conv;

/* x (n,c,h,w), w (k,c/g,r,s), y (n,k,ho,wo) */
static bool conv_of(const Interp *ip, Ref ref, const Value *x, const Value *w, const Value *y, Conv *v)
{
    const int64_t *at = node_attrs(ip->g, ref);
    *v = (Conv){.n = x->shape[0], .c = x->shape[1], .h = x->shape[2], .w = x->shape[3], .k = w->shape[0], .r = w->shape[2], .s = w->shape[3],
                .ho = y->shape[2], .wo = y->shape[3], .sh = at[0], .sw = at[1], .top = at[2], .left = at[4], .dh = at[6], .dw = at[7], .groups = at[8]};
    if (v->groups < 1 || v->c % v->groups || v->k % v->groups || w->shape[1] != v->c / v->groups || y->shape[0] != v->n || y->shape[1] != v->k)
        return node_fail(ip->g, ref, ip->st, "operands do not fit: %lld channels, %lld outputs, %lld groups", (long long)v->c, (long long)v->k, (long long)v->groups);
    v->cg = v->c / v->groups;
    v->kg = v->k / v->groups;
    v->crs = v->cg * v->r * v->s;
    v->pixels = v->ho * v->wo;
    int64_t row = v->crs * v->wo;
    v->rows_at_once = row > 0 && COLUMN_CAP / row > 0 ? COLUMN_CAP / row : 1;
    return true;
}

/* Output rows are numbered over the batch: q = n * ho + i. Handles rows q0..q1 of one group:
 * element (crs, column) of col stands at col[crs * crs_step + column * column_step]. back: adds col into x instead of reading x. */
static void columns(const Conv *v, int64_t group, int64_t q0, int64_t q1, double *x, double *col, int64_t crs_step, int64_t column_step, bool back)
{
#pragma omp parallel for if (v->crs * (q1 - q0) * v->wo > PARALLEL_FROM)
    for (int64_t c = 0; c < v->cg; c++)                      /* channels never share elements of x */
        for (int64_t rs = 0; rs < v->r * v->s; rs++)
            for (int64_t q = q0; q < q1; q++) {
                int64_t y = q % v->ho * v->sh - v->top + rs / v->s * v->dh, x0 = rs % v->s * v->dw - v->left;
                int64_t line = ((q / v->ho * v->c + group * v->cg + c) * v->h + y) * v->w;      /* meaningful when y is inside */
                double *to = col + (c * v->r * v->s + rs) * crs_step + (q - q0) * v->wo * column_step;
                for (int64_t j = 0; j < v->wo; j++) {
                    int64_t at = x0 + j * v->sw;
                    bool    inside = y >= 0 && y < v->h && at >= 0 && at < v->w;
                    if (!back)
                        to[j * column_step] = inside ? x[line + at] : 0;
                    else if (inside)
                        x[line + at] += to[j * column_step];
                }
            }
}

/* Moves rows q0..q1 of a group between y (n,k,ho,wo) and band (kg, columns). */
static void band_of(const Conv *v, int64_t group, int64_t q0, int64_t q1, double *y, double *band, bool back)
{
    int64_t width = (q1 - q0) * v->wo;
    for (int64_t k = 0; k < v->kg; k++)
        for (int64_t q = q0; q < q1; q++) {
            double *at = y + ((q / v->ho * v->k + group * v->kg + k) * v->ho + q % v->ho) * v->wo;
            double *b = band + k * width + (q - q0) * v->wo;
            memcpy(back ? at : b, back ? b : at, (size_t)v->wo * sizeof *at);
        }
}

typedef enum { CONV, CONV_DX, CONV_DW } ConvTask;

static bool convolve(const Interp *ip, Ref ref, ConvTask task, const Value *x, const Value *w, const Value *y)
{
    Conv v;
    if (!conv_of(ip, ref, x, w, y, &v))
        return false;
    int64_t rows = v.n * v.ho, most = v.rows_at_once < rows ? v.rows_at_once : rows;
    double *col = xmalloc((size_t)(v.crs * most * v.wo) * sizeof *col);
    double *band = xmalloc((size_t)(v.kg * most * v.wo) * sizeof *band);
    for (int64_t g = 0; g < v.groups; g++)
        for (int64_t q = 0; q < rows; q += most) {
            int64_t end = q + most < rows ? q + most : rows, width = (end - q) * v.wo;
            double *wg = w->at + g * v.kg * v.crs;
            if (task != CONV)
                band_of(&v, g, q, end, y->at, band, false);
            if (task == CONV) {
                columns(&v, g, q, end, x->at, col, width, 1, false);
                memset(band, 0, (size_t)(v.kg * width) * sizeof *band);
                gemm(v.kg, width, v.crs, wg, v.crs, 1, col, width, band, width);
                band_of(&v, g, q, end, y->at, band, true);
            } else if (task == CONV_DW) {
                columns(&v, g, q, end, x->at, col, 1, v.crs, false);
                gemm(v.kg, v.crs, width, band, width, 1, col, v.crs, wg, v.crs);
            } else {
                memset(col, 0, (size_t)(v.crs * width) * sizeof *col);
                gemm(v.crs, width, v.kg, wg, 1, v.crs, band, width, col, width);
                columns(&v, g, q, end, x->at, col, width, 1, true);
            }
        }
    free(col);
    free(band);
    return true;
}

/* x (n,c,h,w) w (k,c/g,r,s) -> (n,k,ho,wo) */
bool ref_conv(const Interp *ip, Ref r, const Value *const *in, Value *out) { return convolve(ip, r, CONV, in[0], in[1], out); }

/* g (n,k,ho,wo) w (k,c/g,r,s) -> (n,c,h,w) */
bool ref_conv_dx(const Interp *ip, Ref r, const Value *const *in, Value *out) { return convolve(ip, r, CONV_DX, out, in[1], in[0]); }

/* x (n,c,h,w) g (n,k,ho,wo) -> (k,c/g,r,s) */
bool ref_conv_dw(const Interp *ip, Ref r, const Value *const *in, Value *out) { return convolve(ip, r, CONV_DW, in[0], out, in[1]); }
