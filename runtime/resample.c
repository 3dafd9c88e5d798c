/* resample.c - the separable antialiasing filter of resample.h: weights once an axis, then two passes of short dot products.
 *
 * Only the rows that the second pass reads go through the first one, so a small window of a large picture costs little.
 * Weights are computed in double and stored in float; every output is a sum in a fixed order, so pictures are the same on every machine
 * that rounds float as IEEE 754 says.
 */
#include "resample.h"

#include <math.h>
#include <stdlib.h>

static double triangle(double x)
{
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

/* Keys 1981 with a = -1/2, the one of Pillow and of Catmull-Rom splines. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/* Output i of an axis reads in[first[i] .. first[i] + count[i]) with weight[i * most ...]. */
typedef struct { int *first, *count, most; float *weight; } Taps;

static void taps_free(Taps *t)
{
    free(t->first);
    free(t->weight);
}

static bool taps_make(Taps *t, int n, int m, int from, int len, Filter f)
{
    double scale = (double)n / m, stretch = scale > 1 ? scale : 1, radius = (f == FILTER_BICUBIC ? 2 : 1) * stretch;
    t->most = f == FILTER_NEAREST ? 1 : (int)ceil(radius) * 2 + 1;
    t->first = malloc(sizeof(int) * 2 * (size_t)len);
    t->count = t->first + len;
    t->weight = malloc(sizeof(float) * (size_t)t->most * (size_t)len);
    double *w = malloc(sizeof(double) * (size_t)t->most);
    if (!t->first || !t->weight || !w) {
        free(w);
        taps_free(t);
        return false;
    }
    for (int i = 0; i < len; i++) {
        double centre = (from + i + 0.5) * scale, total = 0;
        float *to = t->weight + (size_t)i * (size_t)t->most;
        if (f == FILTER_NEAREST) {
            t->first[i] = (int)centre < n ? (int)centre : n - 1;
            t->count[i] = 1;
            to[0] = 1;
            continue;
        }
        int lo = (int)(centre - radius + 0.5), hi = (int)(centre + radius + 0.5);
        if (lo < 0)
            lo = 0;
        if (hi > n)
            hi = n;
        for (int j = lo; j < hi; j++) {
            double x = (j + 0.5 - centre) / stretch;
            total += w[j - lo] = f == FILTER_BICUBIC ? cubic(x) : triangle(x);
        }
        for (int j = lo; j < hi; j++)
            to[j - lo] = (float)(w[j - lo] / total);
        t->first[i] = lo;
        t->count[i] = hi - lo;
    }
    free(w);
    return true;
}

bool resample_window(const float *in, int planes, int h, int w, int rh, int rw, int y, int x, int wh, int ww, Filter f, float *out, Status *st)
{
    Taps ty, tx;
    if (!taps_make(&ty, h, rh, y, wh, f))
        return status_fail(st, "out of memory resizing a picture");
    if (!taps_make(&tx, w, rw, x, ww, f)) {
        taps_free(&ty);
        return status_fail(st, "out of memory resizing a picture");
    }
    /* first taps and last taps both grow with i, so rows [top, bottom) are all that is read */
    int    top = ty.first[0], bottom = ty.first[wh - 1] + ty.count[wh - 1];
    float *rows = malloc(sizeof(float) * (size_t)(bottom - top) * (size_t)ww);
    for (int p = 0; rows && p < planes; p++) {
        for (int r = top; r < bottom; r++) {
            const float *src = in + ((size_t)p * (size_t)h + (size_t)r) * (size_t)w;
            float       *dst = rows + (size_t)(r - top) * (size_t)ww;
            for (int i = 0; i < ww; i++) {
                const float *wt = tx.weight + (size_t)i * (size_t)tx.most, *s = src + tx.first[i];
                float        sum = 0;
                for (int k = 0; k < tx.count[i]; k++)
                    sum += wt[k] * s[k];
                dst[i] = sum;
            }
        }
        for (int r = 0; r < wh; r++) {
            const float *wt = ty.weight + (size_t)r * (size_t)ty.most, *src = rows + (size_t)(ty.first[r] - top) * (size_t)ww;
            float       *dst = out + ((size_t)p * (size_t)wh + (size_t)r) * (size_t)ww;
            for (int i = 0; i < ww; i++)
                dst[i] = wt[0] * src[i];
            for (int k = 1; k < ty.count[r]; k++)
                for (int i = 0; i < ww; i++)
                    dst[i] += wt[k] * src[(size_t)k * (size_t)ww + (size_t)i];
        }
    }
    bool ok = rows != NULL;
    free(rows);
    taps_free(&ty);
    taps_free(&tx);
    return ok || status_fail(st, "out of memory resizing a picture");
}

bool resample(const float *in, int planes, int h, int w, int oh, int ow, Filter f, float *out, Status *st)
{
    return resample_window(in, planes, h, w, oh, ow, 0, 0, oh, ow, f, out, st);
}
