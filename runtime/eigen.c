/* eigen.c - reflections make the matrix tridiagonal, then shifted QR steps make it diagonal (Golub and Van Loan, Matrix Computations, 8.3).
 *
 *   A = Q T Q',  Q = H0 H1 .. H(n-3),  Hk = I - 2 v v'  with v (unit) zero in its first k + 1 places     reflect, gather_rows
 *   T -> diagonal by rotations of neighbouring rows and columns                                           qr_step
 *
 * Everything runs along rows, also the eigenvectors, which are therefore kept as rows. Both halves of the symmetric matrix are kept: twice the work of one, but in order.
 */
#include "eigen.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../compiler/base.h"

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* The reflection that clears a's column k below the subdiagonal, applied to both sides of the square behind it. Its unit vector stays in row k (in place of what
 * symmetry says stands there too), zeros when there is nothing to clear. */
static void reflect(double *a, int64_t n, int64_t k, double *diagonal, double *below, double *p)
{
    double *v = a + k * n, largest = 0, length = 0;
    diagonal[k] = v[k];
    for (int64_t i = k + 1; i < n; i++)
        largest = fmax(largest, fabs(v[i]));
    largest = largest < DBL_MIN ? 0 : largest;     /* 1 / it would not be finite; such a column is as good as cleared */
    for (int64_t i = k + 1; i < n && largest > 0; i++)
        length += v[i] / largest * (v[i] / largest);
    length = largest * sqrt(length);
    below[k] = v[k + 1] > 0 ? -length : length;
    v[k + 1] -= below[k];
    double square = 0;
    for (int64_t i = k + 1; i < n && largest > 0; i++)
        square += v[i] / largest * (v[i] / largest);
    double scale = square > 0 ? 1 / (largest * sqrt(square)) : 0;
    for (int64_t i = k + 1; i < n; i++)
        v[i] *= scale;
    for (int64_t i = k + 1; i < n; i++)
        p[i] = 2 * dot(a + i * n + k + 1, v + k + 1, n - k - 1);
    double half = dot(p + k + 1, v + k + 1, n - k - 1);
    for (int64_t i = k + 1; i < n; i++)
        p[i] -= half * v[i];
    for (int64_t i = k + 1; i < n; i++) {
        double *row = a + i * n, vi = v[i], pi = p[i];
        for (int64_t j = k + 1; j < n; j++)
            row[j] -= vi * p[j] + pi * v[j];
    }
}

/* rows = Q': the identity, reflected from the right by the last vector first. */
static void gather_rows(const double *a, int64_t n, double *rows)
{
    memset(rows, 0, (size_t)(n * n) * sizeof *rows);
    for (int64_t i = 0; i < n; i++)
        rows[i * n + i] = 1;
    for (int64_t k = n - 3; k >= 0; k--) {
        const double *v = a + k * n;
        for (int64_t i = k + 1; i < n; i++) {
            double *row = rows + i * n, d = 2 * dot(row + k + 1, v + k + 1, n - k - 1);
            for (int64_t j = k + 1; j < n; j++)
                row[j] -= d * v[j];
        }
    }
}

/* One step on rows lo..hi of the tridiagonal matrix, with Wilkinson's shift. */
static void qr_step(double *d, double *e, int64_t lo, int64_t hi, double *rows, int64_t n)
{
    double delta = (d[hi - 1] - d[hi]) / 2, off = e[hi - 1];
    double shift = d[hi] - off * (off / (delta + copysign(hypot(delta, off), delta)));
    double x = d[lo] - shift, z = e[lo];
    for (int64_t k = lo; k < hi; k++) {
        double r = hypot(x, z), c = r > 0 ? x / r : 1, s = r > 0 ? z / r : 0, a = d[k], b = d[k + 1], ab = e[k];
        if (k > lo)
            e[k - 1] = r;
        d[k] = c * c * a + 2 * c * s * ab + s * s * b;
        d[k + 1] = s * s * a - 2 * c * s * ab + c * c * b;
        e[k] = c * s * (b - a) + (c * c - s * s) * ab;
        if (k + 1 < hi) {
            x = e[k];
            z = s * e[k + 1];
            e[k + 1] *= c;
        }
        for (int64_t j = 0; rows && j < n; j++) {
            double *p = rows + k * n + j, *q = p + n, was = *p;
            *p = c * was + s * *q;
            *q = c * *q - s * was;
        }
    }
}

bool eigen_symmetric(double *a, int64_t n, double *values, double *rows)
{
    double *e = xmalloc(((size_t)n + 1) * sizeof *e), *p = xmalloc(((size_t)n + 1) * sizeof *p), *d = values, size = 0;
    bool    finite = true;
    for (int64_t i = 0; i < n * n; i++)
        finite = finite && isfinite(a[i]);
    for (int64_t k = 0; k + 2 < n && finite; k++)
        reflect(a, n, k, d, e, p);
    if (n > 0)
        d[n - 1] = a[n * n - 1];
    if (n > 1) {
        d[n - 2] = a[(n - 2) * n + n - 2];
        e[n - 2] = a[(n - 2) * n + n - 1];
    }
    if (rows)
        gather_rows(a, n, rows);
    for (int64_t i = 0; i < n; i++)
        size = fmax(size, fabs(d[i]) + fabs(e[i]));
    int64_t hi = n - 1, steps = 0;
    while (hi > 0 && finite && steps < 60 * n) {
        int64_t lo = hi;
        while (lo > 0 && fabs(e[lo - 1]) > DBL_EPSILON * size)
            lo--;
        if (lo == hi) {
            hi--;
            continue;
        }
        qr_step(d, e, lo, hi, rows, n);
        steps++;
    }
    free(e);
    free(p);
    return finite && hi <= 0;
}
