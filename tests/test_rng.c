/* test_rng.c - the generator against its published answers, the f32 pieces against libm over every argument they can get, the
 * normal's distribution (moments, tails, Kolmogorov-Smirnov), independence of streams, steps and seeds, and equal bits from
 * unoptimised and vectorised code.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "rng.h"

/* rng.c twice more, unoptimised and at -O3, whatever the build type is. */
#define philox4x32_10 o0_philox
#define rng_log o0_log
#define rng_cos_2pi o0_cos_2pi
#define rng_uniform o0_uniform
#define rng_normal o0_normal
#define draw o0_draw
#pragma GCC push_options
#pragma GCC optimize("O0")
#include "../runtime/rng.c"
#pragma GCC pop_options
#undef philox4x32_10
#undef rng_log
#undef rng_cos_2pi
#undef rng_uniform
#undef rng_normal
#undef draw
#define philox4x32_10 o3_philox
#define rng_log o3_log
#define rng_cos_2pi o3_cos_2pi
#define rng_uniform o3_uniform
#define rng_normal o3_normal
#define draw o3_draw
#pragma GCC push_options
#pragma GCC optimize("O3")
#include "../runtime/rng.c"
static void fill_o3(uint64_t seed, uint64_t stream, int n, float *out)
{
    for (int i = 0; i < n; i++)
        out[i] = o3_normal((Rng){seed, 7}, stream, (uint64_t)i);
}
#pragma GCC pop_options
#undef philox4x32_10
#undef rng_log
#undef rng_cos_2pi
#undef rng_uniform
#undef rng_normal
#undef draw

enum { N = 1 << 20 };

static void test_philox(void)
{
    /* Known answers of the Random123 distribution. */
    static const uint32_t kat[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32_10(kat[i], kat[i] + 4, out);
        CHECK(memcmp(out, kat[i] + 6, 16) == 0, "known answer %d: %08x %08x %08x %08x", i, out[0], out[1], out[2], out[3]);
    }
}

/* The documented placement of seed, stream, step and index in key and counter. */
static void test_placement(void)
{
    Rng            r = {0x1122334455667788u, 99};
    uint64_t       stream = 0xaabbccddeeff0011u, index = 0x500000003u;
    const uint32_t counter[4] = {3, 5, 99, 0xaabbccddu}, key[2] = {0x55667788u ^ 0xeeff0011u, 0x11223344u};
    uint32_t       w[4];
    philox4x32_10(counter, key, w);
    CHECK(rng_uniform(r, stream, index) == (float)(w[0] >> 8) * 0x1p-24f, "uniform's words");
    double u1 = ((w[0] >> 8) + 1) * 0x1p-24, u2 = (w[1] >> 8) * 0x1p-24;
    double want = sqrt(-2 * log(u1)) * cos(2 * M_PI * u2);
    CHECK(fabs(rng_normal(r, stream, index) - want) < 1e-6, "normal %g, formula in double %g", rng_normal(r, stream, index), want);
}

static void test_pieces(void)
{
    double worst_log = 0, worst_cos = 0;
    for (uint32_t i = 1; i <= 1u << 24; i++) {
        float  x = (float)i * 0x1p-24f;
        double want = log(x), err = want == 0 ? fabs(rng_log(x)) : fabs(rng_log(x) / want - 1);
        worst_log = fmax(worst_log, err);
        float  y = (float)(i - 1) * 0x1p-24f;
        worst_cos = fmax(worst_cos, fabs(rng_cos_2pi(y) - cos(2 * M_PI * y)));
    }
    CHECK(worst_log < 1.2e-7, "rng_log: relative error %g", worst_log);
    CHECK(worst_cos < 2e-7, "rng_cos_2pi: error %g", worst_cos);
    CHECK(rng_log(1.0f) == 0, "ln 1 = %g", rng_log(1.0f));
    CHECK(rng_cos_2pi(0) == 1 && rng_cos_2pi(0.5f) == -1 && rng_cos_2pi(0.25f) == 0 && rng_cos_2pi(0.75f) == 0, "cosine at its axes: %.9g %.9g",
          rng_cos_2pi(0), rng_cos_2pi(0.5f));
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void test_distribution(float *x)
{
    double m[5] = {0}, u1 = 0, u2 = 0;
    long   over3 = 0, over4 = 0;
    Rng    r = {1234, 5};
    for (int i = 0; i < N; i++) {
        double v = x[i] = rng_normal(r, 77, (uint64_t)i), p = 1;
        for (int k = 1; k <= 4; k++)
            m[k] += p *= v;
        over3 += fabs(v) > 3;
        over4 += fabs(v) > 4;
        double u = rng_uniform(r, 78, (uint64_t)i);
        CHECK(u >= 0 && u < 1, "uniform %g", u);
        u1 += u;
        u2 += u * u;
    }
    for (int k = 1; k <= 4; k++)
        m[k] /= N;
    double s = 1 / sqrt((double)N);     /* five standard errors each */
    CHECK(fabs(m[1]) < 5 * s, "mean %g", m[1]);
    CHECK(fabs(m[2] - 1) < 5 * s * sqrt(2), "second moment %g", m[2]);
    CHECK(fabs(m[3]) < 5 * s * sqrt(15), "third moment %g", m[3]);
    CHECK(fabs(m[4] - 3) < 5 * s * sqrt(96), "fourth moment %g", m[4]);
    double e3 = N * erfc(3 / M_SQRT2), e4 = N * erfc(4 / M_SQRT2);
    CHECK(fabs((double)over3 - e3) < 5 * sqrt(e3), "beyond 3 deviations: %ld, expected %.0f", over3, e3);
    CHECK(fabs((double)over4 - e4) < 5 * sqrt(e4), "beyond 4 deviations: %ld, expected %.0f", over4, e4);
    CHECK(fabs(u1 / N - 0.5) < 5 * s * sqrt(1.0 / 12) && fabs(u2 / N - 1.0 / 3) < 5 * s * sqrt(4.0 / 45), "uniform moments %g %g", u1 / N, u2 / N);
    qsort(x, N, sizeof *x, by_value);
    double ks = 0;
    for (int i = 0; i < N; i++) {
        double cdf = 0.5 * erfc(-x[i] / M_SQRT2);
        ks = fmax(ks, fmax(fabs(cdf - (double)i / N), fabs(cdf - (i + 1.0) / N)));
    }
    CHECK(ks < 2.0 * s, "Kolmogorov-Smirnov distance %g", ks);     /* exceeded once in 1500 honest samples */
}

static void test_independence(void)
{
    /* Neighbours in index, step, stream and seed: correlations of normals within five standard errors, no equal values in a row. */
    static const char *const what[5] = {"index", "step", "stream", "seed", "stream high"};
    for (int k = 0; k < 5; k++) {
        double sum = 0;
        long   same = 0;
        for (int i = 0; i < N / 4; i++) {
            float a = rng_normal((Rng){9, 3}, 21, (uint64_t)i);
            float b = rng_normal((Rng){9 + (k == 3), 3 + (k == 1)}, 21 + (k == 2) + ((uint64_t)(k == 4) << 32), (uint64_t)i + (k == 0));
            sum += (double)a * b;
            same += a == b;
        }
        CHECK(fabs(sum / (N / 4)) < 5 / sqrt(N / 4.0), "correlation along %s: %g", what[k], sum / (N / 4));
        CHECK(same < 10, "%ld equal values along %s", same, what[k]);
    }
}

static void test_bits(float *x)
{
    /* The values themselves are part of the definition: checkpoints resume and tests compare by them. */
    fill_o3(42, 0x123456789abcdefu, N, x);
    long     differ = 0;
    uint64_t hash = 1469598103934665603u;
    for (int i = 0; i < N; i++) {
        float a = rng_normal((Rng){42, 7}, 0x123456789abcdefu, (uint64_t)i), b = o0_normal((Rng){42, 7}, 0x123456789abcdefu, (uint64_t)i);
        differ += memcmp(&a, &b, 4) != 0 || memcmp(&a, &x[i], 4) != 0;
        uint32_t bits;
        memcpy(&bits, &a, 4);
        hash = (hash ^ bits) * 1099511628211u;
    }
    CHECK(differ == 0, "%ld values differ between optimisation levels", differ);
    CHECK(hash == 0xa1ce532f542804ceull, "hash of the first 2^20 normals: %016llx", (unsigned long long)hash);
}

int main(void)
{
    float *x = malloc(N * sizeof *x);
    if (!x)
        return 1;
    test_philox();
    test_placement();
    test_pieces();
    test_distribution(x);
    test_independence();
    test_bits(x);
    free(x);
    return check_done();
}
