/* metrics.c - Fréchet and kernel distance, PSNR, SSIM, distance of maps. The trace of the root in the first is a sum of singular values:
 *
 *   A = F F', B = G G' (F, G: eigenvectors times roots of eigenvalues)   =>   tr (A B)^(1/2) = sum of the singular values of M = F' G
 *
 * and those are the eigenvalues >= 0 of [0 M; M' 0]. No root of a rounding error is taken there, so equal sets are 1e-14 of their variance apart, not 1e-8.
 */
#include "metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eigen.h"

/* ---- matrices: plain row-major arrays of double ---- */

static double *new_matrix(int64_t rows, int64_t cols) { return xmalloc(((size_t)(rows * cols) + 1) * sizeof(double)); }

static double *transposed(const double *a, int64_t rows, int64_t cols)
{
    double *t = new_matrix(cols, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            t[j * rows + i] = a[i * cols + j];
    return t;
}

/* c (p,q) = a (p,k) b (k,q); rows on threads, each sum in order */
static double *product(const double *a, const double *b, int64_t p, int64_t k, int64_t q)
{
    double *c = new_matrix(p, q);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < p; i++)
        for (int64_t l = 0; l < k; l++) {
            const double x = a[i * k + l], *from = b + l * q;
            double      *to = c + i * q;
            for (int64_t j = 0; j < q; j++)
                to[j] += x * from[j];
        }
    return c;
}

static double trace(const double *a, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i * n + i];
    return sum;
}

/* ---- sets of features ---- */

/* Rows start, start + step, ... of the features as doubles. */
static double *take_rows(const Tensor *t, int64_t start, int64_t step, int64_t *n)
{
    int64_t d = t->shape[1];
    *n = (t->shape[0] - start + step - 1) / step;
    double *rows = new_matrix(*n, d);
    for (int64_t i = 0; i < *n; i++)
        for (int64_t j = 0; j < d; j++)
            rows[i * d + j] = tensor_get(t, (start + i * step) * d + j);
    return rows;
}

static bool check_sets(const Tensor *a, const Tensor *b, Status *st)
{
    const Tensor *t[] = { a, b };
    for (int k = 0; k < 2; k++) {
        if (t[k]->rank != 2 || t[k]->shape[1] < 1)
            return status_fail(st, "features are a row an item, (n, d); these have %d axes", t[k]->rank);
        if (t[k]->shape[0] < 2)
            return status_fail(st, "a set of %lld has no covariance: at least 2 items are needed", (long long)t[k]->shape[0]);
        for (int64_t i = 0; i < tensor_count(t[k]); i++)
            if (!isfinite(tensor_get(t[k], i)))
                return status_fail(st, "feature %lld of item %lld of the %s set is not finite", (long long)(i % t[k]->shape[1]), (long long)(i / t[k]->shape[1]), k ? "second" : "first");
    }
    return a->shape[1] == b->shape[1] || status_fail(st, "the sets have %lld and %lld features an item", (long long)a->shape[1], (long long)b->shape[1]);
}

static double *mean_of(const double *x, int64_t n, int64_t d)
{
    double *mean = new_matrix(1, d);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            mean[j] += x[i * d + j];
    for (int64_t j = 0; j < d; j++)
        mean[j] /= (double)n;
    return mean;
}

/* x (n,d) less its mean -> (d,d), n - 1 below */
static double *covariance_of(double *x, const double *mean, int64_t n, int64_t d)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            x[i * d + j] = (x[i * d + j] - mean[j]) / sqrt((double)(n - 1));
    double *t = transposed(x, n, d), *c = product(t, x, d, n, d);
    free(t);
    return c;
}

/* F' with F F' = s (destroyed): row i is eigenvector i times the root of its eigenvalue, what rounding left below 0 taken as 0. NULL: not finite. */
static double *root_rows(double *s, int64_t d)
{
    double *rows = new_matrix(d, d), *values = new_matrix(1, d);
    bool    ok = eigen_symmetric(s, d, values, rows);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            rows[i * d + j] *= sqrt(fmax(values[i], 0));
    free(values);
    if (ok)
        return rows;
    free(rows);
    return NULL;
}

/* The sum of the singular values of m (d,d). */
static bool nuclear_norm(const double *m, int64_t d, double *sum)
{
    int64_t n = 2 * d;
    double *both = new_matrix(n, n), *values = new_matrix(1, n);
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < d; j++)
            both[i * n + d + j] = both[(d + j) * n + i] = m[i * d + j];
    bool ok = eigen_symmetric(both, n, values, NULL);
    *sum = 0;
    for (int64_t i = 0; i < n; i++)
        *sum += fabs(values[i]) / 2;
    free(both);
    free(values);
    return ok;
}

bool frechet_distance(const Tensor *a, const Tensor *b, double *distance, Status *st)
{
    int64_t n, m, d = a->shape[1];
    double  apart = 0, root = 0;
    if (!check_sets(a, b, st))
        return false;
    double *x = take_rows(a, 0, 1, &n), *y = take_rows(b, 0, 1, &m), *mx = mean_of(x, n, d), *my = mean_of(y, m, d);
    double *sx = covariance_of(x, mx, n, d), *sy = covariance_of(y, my, m, d);
    for (int64_t j = 0; j < d; j++)
        apart += (mx[j] - my[j]) * (mx[j] - my[j]);
    apart += trace(sx, d) + trace(sy, d);
    double *fx = root_rows(sx, d), *fy = root_rows(sy, d);
    bool    ok = fx && fy;
    if (ok) {
        double *t = transposed(fy, d, d), *cross = product(fx, t, d, d, d);
        ok = nuclear_norm(cross, d, &root);
        free(t);
        free(cross);
    }
    free(x), free(y), free(mx), free(my), free(sx), free(sy), free(fx), free(fy);
    ok = ok && isfinite(apart - 2 * root);
    *distance = fmax(apart - 2 * root, 0);     /* a distance: what is below 0 is rounding */
    return ok || status_fail(st, "the covariance of the features is not finite");
}

/* The kernel's sum over pairs of rows of x (n,d) and y (m,d); apart: without those of a row and itself. */
static double kernel_sum(const double *x, int64_t n, const double *y, int64_t m, int64_t d, bool apart)
{
    double *t = transposed(y, m, d), *g = product(x, t, n, d, m), sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double row = 0;
        for (int64_t j = 0; j < m; j++) {
            double k = g[i * m + j] / (double)d + 1;
            row += apart && i == j ? 0 : k * k * k;
        }
        sum += row;
    }
    free(t);
    free(g);
    return sum;
}

bool kernel_distance(const Tensor *a, const Tensor *b, double *distance, double *error, Status *st)
{
    if (!check_sets(a, b, st))
        return false;
    int64_t d = a->shape[1], least = a->shape[0] < b->shape[0] ? a->shape[0] : b->shape[0], blocks = least / 1000 > 1 ? least / 1000 : 1;
    double  sum = 0, squares = 0;
    for (int64_t k = 0; k < blocks; k++) {
        int64_t n, m;
        double *x = take_rows(a, k, blocks, &n), *y = take_rows(b, k, blocks, &m);
        double  within = kernel_sum(x, n, x, n, d, true) / ((double)n * (double)(n - 1)) + kernel_sum(y, m, y, m, d, true) / ((double)m * (double)(m - 1));
        double  between = kernel_sum(x, n, y, m, d, false) / ((double)n * (double)m), value = within - 2 * between;
        sum += value;
        squares += value * value;
        free(x);
        free(y);
    }
    double mean = sum / (double)blocks;
    *distance = mean;
    *error = blocks > 1 ? sqrt(fmax(squares / (double)blocks - mean * mean, 0) / (double)(blocks - 1)) : 0;
    return true;
}

/* ---- a picture and its truth ---- */

double psnr(const Tensor *a, const Tensor *b, double peak)
{
    double  sum = 0;
    int64_t n = tensor_count(a);
    for (int64_t i = 0; i < n; i++) {
        double apart = tensor_get(a, i) - tensor_get(b, i);
        sum += apart * apart;
    }
    return sum > 0 ? 10 * log10(peak * peak * (double)n / sum) : INFINITY;
}

enum { TAPS = 11 };

static void gaussian(double taps[TAPS])
{
    double sum = 0;
    for (int i = 0; i < TAPS; i++)
        sum += taps[i] = exp(-(i - TAPS / 2) * (i - TAPS / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < TAPS; i++)
        taps[i] /= sum;
}

/* Windows of x (h,w) inside it, weighted -> y (h-10,w-10); across (h,w-10) is work space */
static void smooth(const double *x, int64_t h, int64_t w, const double *taps, double *across, double *y)
{
    int64_t ow = w - TAPS + 1, oh = h - TAPS + 1;
    for (int64_t i = 0; i < h; i++)
        for (int64_t j = 0; j < ow; j++) {
            double sum = 0;
            for (int k = 0; k < TAPS; k++)
                sum += taps[k] * x[i * w + j + k];
            across[i * ow + j] = sum;
        }
    for (int64_t i = 0; i < oh; i++)
        for (int64_t j = 0; j < ow; j++) {
            double sum = 0;
            for (int k = 0; k < TAPS; k++)
                sum += taps[k] * across[(i + k) * ow + j];
            y[i * ow + j] = sum;
        }
}

/* The sum over windows of one plane's structural similarity. at: 5 planes of work space, then 5 of results. */
static double ssim_plane(const Tensor *a, const Tensor *b, int64_t plane, int64_t h, int64_t w, double peak, double *at)
{
    double  taps[TAPS], sum = 0, c1 = 0.01 * peak * 0.01 * peak, c2 = 0.03 * peak * 0.03 * peak, *p = at, *across = at + 5 * h * w, *m = across + h * w;
    int64_t windows = (h - TAPS + 1) * (w - TAPS + 1);
    gaussian(taps);
    for (int64_t i = 0; i < h * w; i++) {
        double x = tensor_get(a, plane * h * w + i), y = tensor_get(b, plane * h * w + i);
        p[i] = x, p[h * w + i] = y, p[2 * h * w + i] = x * x, p[3 * h * w + i] = y * y, p[4 * h * w + i] = x * y;
    }
    for (int k = 0; k < 5; k++)
        smooth(p + k * h * w, h, w, taps, across, m + k * windows);
    for (int64_t i = 0; i < windows; i++) {
        double x = m[i], y = m[windows + i], xx = m[2 * windows + i] - x * x, yy = m[3 * windows + i] - y * y, xy = m[4 * windows + i] - x * y;
        sum += (2 * x * y + c1) * (2 * xy + c2) / ((x * x + y * y + c1) * (xx + yy + c2));
    }
    return sum;
}

bool ssim(const Tensor *a, const Tensor *b, double peak, double *value, Status *st)
{
    int64_t h = a->shape[a->rank - 2], w = a->shape[a->rank - 1], planes = h * w > 0 ? tensor_count(a) / (h * w) : 0;
    double  sum = 0;
    if (h < TAPS || w < TAPS)
        return status_fail(st, "SSIM looks through windows of %d x %d pixels, the picture has %lld x %lld", TAPS, TAPS, (long long)w, (long long)h);
    double *at = new_matrix(11, h * w);
    for (int64_t i = 0; i < planes; i++)
        sum += ssim_plane(a, b, i, h, w, peak, at);
    free(at);
    *value = sum / (double)(planes * (h - TAPS + 1) * (w - TAPS + 1));
    return true;
}

double map_distance(const Tensor *a, const Tensor *b)
{
    int64_t n = a->shape[0], c = a->shape[1], area = a->shape[2] * a->shape[3];
    double  sum = 0;
    for (int64_t i = 0; i < n * area; i++) {
        int64_t at = i / area * c * area + i % area;
        double  x2 = 1e-20, y2 = 1e-20;
        for (int64_t k = 0; k < c; k++) {
            double x = tensor_get(a, at + k * area), y = tensor_get(b, at + k * area);
            x2 += x * x, y2 += y * y;
        }
        double lx = sqrt(x2), ly = sqrt(y2), apart = 0;
        for (int64_t k = 0; k < c; k++) {
            double v = tensor_get(a, at + k * area) / lx - tensor_get(b, at + k * area) / ly;
            apart += v * v;
        }
        sum += apart;
    }
    return sum / (double)(n * area);
}
