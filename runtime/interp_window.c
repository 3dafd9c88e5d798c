/* interp_window.c - resizing and windows over the last two axes, plane by plane.
 *
 * Resizing, element i of `to` from `from` elements, in exact integers so that no rounding of a scale decides which pixel is taken:
 *     nearest               floor(i * from / to)                              in both conventions, as PyTorch 'nearest' and TF1 agree
 *     bilinear, half_pixel  position (i + 1/2) * from / to - 1/2, not below 0    PyTorch align_corners=False
 *     bilinear, legacy      position i * from / to                               TF1 resize_bilinear
 * A position's whole part is the first pixel, its fraction the weight of the next, and the last pixel repeats at the end.
 */
#include "interp.h"

#include <math.h>
#include <stdlib.h>

typedef struct { int64_t first, second; double weight; } Tap;      /* (1 - weight) * x[first] + weight * x[second] */

static Tap *make_taps(ResizeMode mode, ResizeConvention conv, int64_t from, int64_t to)
{
    Tap *taps = xmalloc((size_t)to * sizeof *taps);
    for (int64_t i = 0; i < to; i++) {
        int64_t num = i * from, den = to;
        if (mode == RESIZE_BILINEAR && conv == RESIZE_HALF_PIXEL) {
            num = (2 * i + 1) * from - to;
            den = 2 * to;
            if (num < 0)
                num = 0;
        }
        int64_t first = num / den;
        taps[i] = (Tap){first, first, 0};
        if (mode == RESIZE_BILINEAR && first + 1 < from)
            taps[i] = (Tap){first, first + 1, (double)(num % den) / (double)den};
    }
    return taps;
}

/* Both directions of the same linear map. small is x, big has the target's size; either may be the larger. */
static bool resize(const Interp *ip, Ref r, const Value *x, const Value *y, bool adjoint)
{
    const int64_t *attrs = node_attrs(ip->g, r);
    int64_t        h = x->shape[2], w = x->shape[3], ho = y->shape[2], wo = y->shape[3], planes = x->shape[0] * x->shape[1];
    if (y->n && (h == 0 || w == 0))
        return node_fail(ip->g, r, ip->st, "a picture of %lld by %lld has no pixels to resize", (long long)h, (long long)w);
    Tap *ty = make_taps((ResizeMode)attrs[0], (ResizeConvention)attrs[1], h, ho);
    Tap *tx = make_taps((ResizeMode)attrs[0], (ResizeConvention)attrs[1], w, wo);
#pragma omp parallel for if (y->n > PARALLEL_FROM)
    for (int64_t p = 0; p < planes; p++) {
        double *xp = x->at + p * h * w, *yp = y->at + p * ho * wo;
        for (int64_t i = 0; i < ho; i++) {
            double *up = xp + ty[i].first * w, *down = xp + ty[i].second * w, v = ty[i].weight;
            for (int64_t j = 0; j < wo; j++) {
                int64_t a = tx[j].first, b = tx[j].second;
                double  u = tx[j].weight, *t = &yp[i * wo + j];
                if (!adjoint) {
                    *t = (1 - v) * ((1 - u) * up[a] + u * up[b]) + v * ((1 - u) * down[a] + u * down[b]);
                    continue;
                }
                up[a] += (1 - v) * (1 - u) * *t;
                up[b] += (1 - v) * u * *t;
                down[a] += v * (1 - u) * *t;
                down[b] += v * u * *t;
            }
        }
    }
    free(ty);
    free(tx);
    return true;
}

bool ref_resize(const Interp *ip, Ref r, const Value *const *in, Value *out) { return resize(ip, r, in[0], out, false); }

bool ref_resize_adjoint(const Interp *ip, Ref r, const Value *const *in, Value *out) { return resize(ip, r, out, in[0], true); }

/* ---- windows: rows y0..y1 and columns x0..x1 (exclusive) of the picture that the window at (i, j) covers ---- */
typedef struct { int64_t y0, y1, x0, x1; } Window;

static int64_t clip(int64_t v, int64_t hi) { return v < 0 ? 0 : v > hi ? hi : v; }

static Window window_at(const int64_t *attrs, int64_t h, int64_t w, int64_t i, int64_t j)
{
    int64_t y = i * attrs[2] - attrs[4], x = j * attrs[3] - attrs[6];       /* kernel h w, stride h w, pad top bottom left right */
    return (Window){clip(y, h), clip(y + attrs[0], h), clip(x, w), clip(x + attrs[1], w)};
}

/* The first largest element of a window, or -1 when it is empty. A NaN is larger than everything. */
static int64_t first_largest(const double *plane, int64_t w, Window v)
{
    int64_t best = -1;
    for (int64_t y = v.y0; y < v.y1; y++)
        for (int64_t x = v.x0; x < v.x1; x++) {
            double a = plane[y * w + x];
            if (best < 0 || a > plane[best] || (isnan(a) && !isnan(plane[best])))
                best = y * w + x;
        }
    return best;
}

typedef enum { DO_SUM, DO_SPREAD, DO_MAX, DO_PICK, DO_UNPICK } WindowTask;

/* big (n,c,h,w) is the picture, small (n,c,ho,wo) has an element a window; x, like big, decides where the largest is. */
static bool windows(const Interp *ip, Ref r, WindowTask task, const Value *x, const Value *big, const Value *small)
{
    const int64_t *attrs = node_attrs(ip->g, r);
    int64_t        h = big->shape[2], w = big->shape[3], ho = small->shape[2], wo = small->shape[3], planes = big->shape[0] * big->shape[1];
    if (planes != small->shape[0] * small->shape[1] || x->n != big->n)
        return node_fail(ip->g, r, ip->st, "operands differ in batch, channels or size");
#pragma omp parallel for if (big->n > PARALLEL_FROM)
    for (int64_t p = 0; p < planes; p++) {
        const double *xp = x->at + p * h * w;
        double       *bp = big->at + p * h * w, *sp = small->at + p * ho * wo;
        for (int64_t i = 0; i < ho; i++)
            for (int64_t j = 0; j < wo; j++) {
                Window  v = window_at(attrs, h, w, i, j);
                double *s = &sp[i * wo + j];
                if (task == DO_SUM || task == DO_SPREAD) {
                    for (int64_t y = v.y0; y < v.y1; y++)
                        for (int64_t c = v.x0; c < v.x1; c++)
                            *(task == DO_SUM ? s : &bp[y * w + c]) += task == DO_SUM ? bp[y * w + c] : *s;
                    continue;
                }
                int64_t best = first_largest(xp, w, v);
                if (task == DO_MAX)
                    *s = best < 0 ? -INFINITY : xp[best];
                else if (task == DO_PICK)
                    *s = best < 0 ? 0 : bp[best];
                else if (best >= 0)
                    bp[best] += *s;
            }
    }
    return true;
}

bool ref_win_sum(const Interp *ip, Ref r, const Value *const *in, Value *out) { return windows(ip, r, DO_SUM, in[0], in[0], out); }

bool ref_win_sum_adjoint(const Interp *ip, Ref r, const Value *const *in, Value *out) { return windows(ip, r, DO_SPREAD, out, out, in[0]); }

bool ref_win_max(const Interp *ip, Ref r, const Value *const *in, Value *out) { return windows(ip, r, DO_MAX, in[0], in[0], out); }

bool ref_win_pick(const Interp *ip, Ref r, const Value *const *in, Value *out) { return windows(ip, r, DO_PICK, in[0], in[1], out); }

bool ref_win_unpick(const Interp *ip, Ref r, const Value *const *in, Value *out) { return windows(ip, r, DO_UNPICK, in[0], out, in[1]); }
