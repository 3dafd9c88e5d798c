/* metrics.h - how far apart pictures are: two sets by the features of a network, or a picture from its truth. Computed in double; the same bits for any number of threads.
 *
 *   of two sets, features (n,d) and (m,d):
 *     frechet    |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances (n - 1 below): Heusel et al. 2017, FID's formula
 *     kernel     unbiased MMD^2 with the kernel (x.y / d + 1)^3: Binkowski et al. 2018, KID's
 *   of a picture and its truth:
 *     PSNR, SSIM (Wang et al. 2004), and the distance of two networks' maps, as LPIPS without its learnt weights (Zhang et al. 2018)
 */
#ifndef PASTICHE_METRICS_H
#define PASTICHE_METRICS_H

#include "tensor.h"

/* Features (n,d) f32 or f64, at least two rows each, equal d. With fewer rows than d + 1 the covariance has not full rank: the distance is still defined, but is
 * larger the fewer there are; it is for the caller to say so. */
bool frechet_distance(const Tensor *a, const Tensor *b, double *distance, Status *st);

/* Sets of 2000 and more are cut into blocks of 1000 to 2000 rows (row i of block i mod blocks), which is unbiased too: distance is the mean over blocks, error its standard error
 * (0 with one block). May be a little below 0. */
bool kernel_distance(const Tensor *a, const Tensor *b, double *distance, double *error, Status *st);

/* (.., h, w) each of equal shapes, values 0..peak. psnr in dB: infinite for equal pictures. */
double psnr(const Tensor *a, const Tensor *b, double peak);
/* Mean over channels and places of windows inside the picture: 11 x 11, Gaussian of sigma 1.5, K1 0.01, K2 0.03. Fails on sides under 11. */
bool   ssim(const Tensor *a, const Tensor *b, double peak, double *value, Status *st);

/* Maps (n,c,h,w) of equal shapes: sum over channels of the squared difference of vectors scaled to length 1, mean over places. */
double map_distance(const Tensor *a, const Tensor *b);

#endif
