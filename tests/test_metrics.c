/* test_metrics.c - the measures of runtime/metrics.h against closed forms and against figures of PyTorch and numpy in float64 (tests/fixtures/make_metrics.py prints them), and the
 * eigenvalues below them against matrices that were made from known ones.
 */
#include "check.h"
#include "eigen.h"
#include "metrics.h"
#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* tests/fixtures/make_metrics.py */
static const double FRECHET_50_37 = 5.65895882967638, FRECHET_12_9 = 40.8382358067728, KERNEL_50_37 = 0.88445547296484, KERNEL_SAME = -0.119432268161666, PSNR = 25.1516892001494,
                    SSIM = 0.869573555186419, MAPS = 1.05725849715101;

static double at(uint64_t stream, int64_t i) { return rng_normal((Rng){ 3, 0 }, (uint32_t)stream, (uint64_t)i); }

/* ---- eigenvalues ---- */

static double *random_symmetric(int64_t n, int64_t rank)
{
    double *x = calloc((size_t)(n * rank + 1), sizeof *x), *a = calloc((size_t)(n * n + 1), sizeof *a);
    for (int64_t i = 0; i < n * rank; i++)
        x[i] = at(1, i);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < rank; k++)
                a[i * n + j] += (k % 2 ? -1 : 1) * x[i * rank + k] * x[j * rank + k];
    free(x);
    return a;
}

/* A v = value v, and the vectors are orthonormal. */
static void check_pairs(const double *a, int64_t n, const char *what)
{
    double *work = malloc((size_t)(n * n) * sizeof *work), *values = malloc((size_t)n * sizeof *values), *rows = malloc((size_t)(n * n) * sizeof *rows), *alone = malloc((size_t)n * sizeof *alone);
    double  size = 0, off = 0, angle = 0, sums[2] = { 0 }, trace = 0;
    memcpy(work, a, (size_t)(n * n) * sizeof *work);
    CHECK(eigen_symmetric(work, n, values, rows), "%s of %lld", what, (long long)n);
    memcpy(work, a, (size_t)(n * n) * sizeof *work);
    CHECK(eigen_symmetric(work, n, alone, NULL), "%s of %lld, values alone", what, (long long)n);
    for (int64_t i = 0; i < n * n; i++)
        size = fmax(size, fabs(a[i]));
    size *= (double)n;
    for (int64_t i = 0; i < n; i++) {
        trace += a[i * n + i], sums[0] += values[i], sums[1] += alone[i];
        for (int64_t j = 0; j < n; j++) {
            double av = 0, vv = 0;
            for (int64_t k = 0; k < n; k++) {
                av += a[j * n + k] * rows[i * n + k];
                vv += rows[i * n + k] * rows[j * n + k];
            }
            off = fmax(off, fabs(av - values[i] * rows[i * n + j]));
            angle = fmax(angle, fabs(vv - (i == j)));
        }
    }
    CHECK(off <= 1e-14 * size, "%s of %lld: A v is %g from value v, of %g", what, (long long)n, off, size);
    CHECK(angle < 1e-13 * (double)n, "%s of %lld: vectors are %g from orthonormal", what, (long long)n, angle);
    CHECK(fabs(sums[0] - trace) <= 1e-13 * size && fabs(sums[1] - trace) <= 1e-13 * size, "%s of %lld: the values' sums %g and %g are not the trace %g", what, (long long)n, sums[0], sums[1], trace);
    free(work), free(values), free(rows), free(alone);
}

static void test_eigen(void)
{
    static const int64_t sizes[] = { 1, 2, 3, 4, 5, 8, 17, 64 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int64_t n = sizes[i];
        double *full = random_symmetric(n, n), *thin = random_symmetric(n, (n + 3) / 4), *same = calloc((size_t)(n * n), sizeof *same), *zero = calloc((size_t)(n * n), sizeof *zero);
        for (int64_t k = 0; k < n; k++)
            same[k * n + k] = 3;
        check_pairs(full, n, "full rank");
        check_pairs(thin, n, "low rank");
        check_pairs(same, n, "a multiple of the identity");
        check_pairs(zero, n, "zeros");
        for (int64_t k = 0; k < n * n; k++)
            full[k] *= 1e-200;
        double *values = malloc((size_t)n * sizeof *values);
        CHECK(eigen_symmetric(full, n, values, NULL), "tiny numbers");
        zero[n * n - 1] = NAN;
        CHECK(!eigen_symmetric(zero, n, values, NULL), "NaN passed, n %lld", (long long)n);
        free(full), free(thin), free(same), free(zero), free(values);
    }
    double two[] = { 2, 1, 1, 2 }, values[2];
    CHECK(eigen_symmetric(two, 2, values, NULL) && fabs(fmin(values[0], values[1]) - 1) < 1e-15 && fabs(fmax(values[0], values[1]) - 3) < 1e-15, "[2 1; 1 2] has %g, %g", values[0], values[1]);
}

/* ---- sets of features ---- */

typedef double Formula(int64_t i, int64_t j);

static Tensor features(int64_t n, int64_t d, Formula *f, Dtype dtype)
{
    Tensor t = { 0 };
    tensor_alloc(&t, dtype, 2, (int64_t[]){ n, d }, NULL);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++)
            tensor_set(&t, i * d + j, f(i, j));
    return t;
}

static double frechet(Tensor a, Tensor b)
{
    double v = NAN;
    Status st = { 0 };
    CHECK(frechet_distance(&a, &b, &v, &st), "%s", st.message);
    tensor_free(&a);
    tensor_free(&b);
    return v;
}

static double kernel(Tensor a, Tensor b, double *error)
{
    double v = NAN, ignored;
    Status st = { 0 };
    CHECK(kernel_distance(&a, &b, &v, error ? error : &ignored, &st), "%s", st.message);
    tensor_free(&a);
    tensor_free(&b);
    return v;
}

/* The formulas of tests/fixtures/make_metrics.py */
static double waves(int64_t i, int64_t j) { return sin(0.7 * (double)i + 1.3 * (double)j + 0.05 * (double)(i * j)); }
static double others(int64_t i, int64_t j) { return 0.8 * cos(0.9 * (double)i - 0.4 * (double)j + 0.03 * (double)(i * j)) + 0.1 * (double)j; }
static double shifted(int64_t i, int64_t j) { return waves(i, j) + 0.25 * (double)(j + 1); }
static double noise(int64_t i, int64_t j) { return at(7, i * 64 + j); }
static double noise_b(int64_t i, int64_t j) { return at(8, i * 64 + j); }

/* +-size e_axis: 2d items whose covariance is diagonal, exactly size^2 * 2 / (2d - 1) */
static double axes_a(int64_t i, int64_t j) { return i / 2 == j ? (i % 2 ? -1 : 1) * (double)(1 + j) : 0; }
static double axes_b(int64_t i, int64_t j) { return i / 2 == j ? (i % 2 ? -1 : 1) * (double)(6 - j) : 0; }

/* all but three features hardly move, as those of units that are all but dead: products of them underflow */
static double faint(int64_t i, int64_t j) { return waves(i, j) * (j < 3 ? 1 : j < 12 ? 1e-78 : 1e-156); }
static double faint_b(int64_t i, int64_t j) { return others(i, j) * (j < 3 ? 1 : j < 12 ? 1e-78 : 1e-156); }

static void test_frechet(void)
{
    double v = frechet(features(40, 9, waves, DT_F64), features(40, 9, waves, DT_F64));
    CHECK(v < 1e-12, "equal sets are %g apart", v);
    v = frechet(features(5, 30, waves, DT_F32), features(5, 30, waves, DT_F32));
    CHECK(v < 1e-12, "equal sets of fewer items than features are %g apart", v);
    v = frechet(features(40, 9, waves, DT_F64), features(40, 9, shifted, DT_F64));
    CHECK(fabs(v - 0.0625 * 285) < 1e-10, "a shift by s is |s|^2 = %.12g apart, not %.12g", 0.0625 * 285, v);
    double want = 0;               /* covariances that commute: the squared difference of the deviations */
    for (int j = 0; j < 5; j++)
        want += 2.0 / 9 * (1 + j - (6 - j)) * (1 + j - (6 - j));
    v = frechet(features(10, 5, axes_a, DT_F64), features(10, 5, axes_b, DT_F64));
    CHECK(fabs(v - want) < 1e-12, "diagonal covariances: %.12g, not %.12g", v, want);
    v = frechet(features(50, 7, waves, DT_F64), features(37, 7, others, DT_F64));
    CHECK(fabs(v - FRECHET_50_37) < 1e-9, "numpy has %.12g, this is %.12g", FRECHET_50_37, v);
    v = frechet(features(12, 20, waves, DT_F64), features(9, 20, others, DT_F64));
    CHECK(fabs(v - FRECHET_12_9) < 1e-7, "numpy has %.12g of few items, this is %.12g", FRECHET_12_9, v);
    v = frechet(features(40, 24, faint, DT_F64), features(30, 24, faint_b, DT_F64));
    want = frechet(features(40, 3, waves, DT_F64), features(30, 3, others, DT_F64));
    CHECK(fabs(v - want) < 1e-9 && want > 0.1, "with faint features the sets are %.12g apart, without %.12g", v, want);
    CHECK(frechet(features(500, 16, noise, DT_F32), features(500, 16, noise_b, DT_F32)) < 0.35, "two draws of one distribution");
}

static void test_kernel(void)
{
    double error, v = kernel(features(50, 7, waves, DT_F64), features(37, 7, others, DT_F64), &error);
    CHECK(fabs(v - KERNEL_50_37) < 1e-12 && error == 0, "numpy has %.14g, this is %.14g", KERNEL_50_37, v);
    v = kernel(features(40, 9, waves, DT_F64), features(40, 9, waves, DT_F64), NULL);
    CHECK(fabs(v - KERNEL_SAME) < 1e-12, "of equal sets numpy has %.14g, this is %.14g", KERNEL_SAME, v);
    v = kernel(features(2100, 4, noise, DT_F32), features(2600, 4, noise_b, DT_F32), &error);
    CHECK(error > 0 && fabs(v) < 4 * error + 1e-3, "two draws of one distribution, in blocks: %g +- %g", v, error);
    double one = kernel(features(700, 4, noise, DT_F32), features(700, 4, noise_b, DT_F32), NULL), far = kernel(features(700, 4, noise, DT_F32), features(700, 4, shifted, DT_F32), NULL);
    CHECK(far > 10 * fabs(one) && far > 0.1, "another distribution is no farther: %g, %g", one, far);
}

static double spoilt(int64_t i, int64_t j) { return i == 2 && j == 1 ? NAN : 1; }

static void test_refusals(void)
{
    Tensor a = features(4, 3, waves, DT_F32), b = features(4, 2, waves, DT_F32), one = features(1, 3, waves, DT_F32), bad = features(4, 3, spoilt, DT_F32);
    double v, e;
    Status st = { 0 };
    CHECK(!frechet_distance(&a, &b, &v, &st) && strstr(st.message, "3 and 2 features"), "%s", st.message);
    st = (Status){ 0 };
    CHECK(!kernel_distance(&a, &one, &v, &e, &st) && strstr(st.message, "at least 2"), "%s", st.message);
    st = (Status){ 0 };
    CHECK(!frechet_distance(&a, &bad, &v, &st) && strstr(st.message, "feature 1 of item 2 of the second set"), "%s", st.message);
    tensor_free(&a), tensor_free(&b), tensor_free(&one), tensor_free(&bad);
}

/* ---- pairs ---- */

static Tensor plane_set(int64_t n, int64_t c, int64_t h, int64_t w, int kind)
{
    Tensor t = { 0 };
    tensor_alloc(&t, DT_F32, 4, (int64_t[]){ n, c, h, w }, NULL);
    for (int64_t i = 0; i < tensor_count(&t); i++) {
        double x = (double)(i % w), y = (double)(i / w % h), k = (double)(i / (w * h));
        double v = kind == 2 ? sin(0.3 * x + 0.2 * y * (k + 1)) : floor(127.5 + 100 * sin(0.35 * x + 0.2 * k) * cos(0.21 * y - 0.3 * k));
        tensor_set(&t, i, kind == 1 ? fmin(fmax(v + floor(20 * sin(1.7 * x + 2.3 * y + k)), 0), 255) : v);
    }
    return t;
}

static void test_pairs(void)
{
    Tensor a = plane_set(1, 3, 24, 31, 0), b = plane_set(1, 3, 24, 31, 1), small = plane_set(1, 3, 10, 31, 0);
    double same = 0, apart = 0;
    Status st = { 0 };
    CHECK(isinf(psnr(&a, &a, 255)), "a picture and itself");
    CHECK(fabs(psnr(&a, &b, 255) - PSNR) < 1e-9, "PyTorch has %.12g dB, this is %.12g", PSNR, psnr(&a, &b, 255));
    CHECK(ssim(&a, &a, 255, &same, &st) && fabs(same - 1) < 1e-12, "a picture and itself: %g", same);
    CHECK(ssim(&a, &b, 255, &apart, &st) && fabs(apart - SSIM) < 1e-9, "PyTorch has %.12g, this is %.12g", SSIM, apart);
    CHECK(!ssim(&small, &small, 255, &same, &st) && strstr(st.message, "31 x 10"), "%s", st.message);
    Tensor m = plane_set(2, 5, 4, 6, 2), k = plane_set(2, 5, 4, 6, 0);
    CHECK(map_distance(&m, &m) == 0, "maps and themselves");
    CHECK(fabs(map_distance(&m, &k) - MAPS) < 1e-6, "PyTorch has %.12g, this is %.12g", MAPS, map_distance(&m, &k));
    for (int64_t i = 0; i < tensor_count(&m); i++)
        tensor_set(&k, i, 3 * tensor_get(&m, i));
    CHECK(map_distance(&m, &k) < 1e-12, "maps and their multiple");
    tensor_free(&a), tensor_free(&b), tensor_free(&small), tensor_free(&m), tensor_free(&k);
}

int main(void)
{
    test_eigen();
    test_frechet();
    test_kernel();
    test_refusals();
    test_pairs();
    return check_done();
}
