/* resample.h - antialiased resizing: a separable filter whose support grows with the reduction, as Pillow, torchvision (antialias=True) and good
 * viewers do it. Plain bilinear sampling of a reduced picture skips pixels, and networks trained on such pictures learn the aliasing.
 *
 *   out[i] = sum_j w((j + 1/2 - c) / s) in[j] / sum_j w(...)     c = (i + 1/2) * n / m,   s = max(1, n / m)
 *
 * for n input and m output pixels; taps past the edge are left out and the rest renormalised. Rows first, then columns.
 * Against Pillow 12's mode "F" (float) the largest difference is below 1e-3 of 255 (tests/fixtures/make_resample.py).
 */
#ifndef PASTICHE_RESAMPLE_H
#define PASTICHE_RESAMPLE_H

#include "../compiler/base.h"

typedef enum { FILTER_NEAREST, FILTER_BILINEAR, FILTER_BICUBIC } Filter;   /* triangle of radius 1; Keys' cubic a = -1/2 of radius 2; nearest is never antialiased */

/* in (planes,h,w) -> out (planes,wh,ww): the window at (y, x) of the picture resized to rh x rw. */
bool resample_window(const float *in, int planes, int h, int w, int rh, int rw, int y, int x, int wh, int ww, Filter f, float *out, Status *st);
bool resample(const float *in, int planes, int h, int w, int oh, int ow, Filter f, float *out, Status *st);

#endif
