/* rng.c - Philox4x32-10, and the one definition of a normal number in f32.
 *
 * Every float line below is one IEEE operation rounded to nearest; the build forbids contraction (-ffp-contract=off). There are no
 * branches and no tables, so the native emitter repeats these lines operation by operation on vectors and gets the same bits.
 * Measured over all 2^24 arguments: rng_log within 1.2e-7 relative, rng_cos_2pi within 2e-7 of the amplitude (tests/test_rng.c).
 */
#include "rng.h"

#include <math.h>
#include <string.h>

void philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p = (uint64_t)0xD2511F53u * c0;
        uint64_t q = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(q >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)q;
        c2 = (uint32_t)(p >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void draw(Rng r, uint64_t stream, uint64_t index, uint32_t words[4])
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), r.step, (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)r.seed ^ (uint32_t)stream, (uint32_t)(r.seed >> 32)};
    philox4x32_10(counter, key, words);
}

/* ln x = e ln 2 + ln m with m in [sqrt 1/2, sqrt 2), f = m - 1, ln(1 + f) = f - f^2/2 + f^3 P(f). Where x is near 1, e is 0 and nothing cancels.
 * P is a minimax fit weighted for relative error (6e-9 before rounding); ln 2 is split so that e * LN2_HI is exact. */
float rng_log(float x)
{
    const float LN2_HI = 0x1.62e4p-1f, LN2_LO = 0x1.7f7d1cp-20f;
    uint32_t    bits;
    memcpy(&bits, &x, 4);
    uint32_t above = bits - 0x3f3504f3u;                        /* relative to the bits of sqrt 1/2: the exponent field is now e */
    float    e = (float)((int32_t)above >> 23);
    uint32_t mant = (above & 0x007fffffu) + 0x3f3504f3u;
    float    m;
    memcpy(&m, &mant, 4);
    float f = m - 1.0f;
    float p = -0.0763450041f;
    p = p * f + 0.127615824f;
    p = p * f - 0.131601825f;
    p = p * f + 0.142017573f;
    p = p * f - 0.166233569f;
    p = p * f + 0.200012267f;
    p = p * f - 0.250008196f;
    p = p * f + 0.333333313f;
    float f2 = f * f;
    float tail = p * f;
    tail = tail - 0.5f;
    tail = tail * f2;
    tail = tail + e * LN2_LO;
    tail = tail + f;
    return tail + e * LN2_HI;
}

/* cos(2 pi x) = sin(2 pi b) with b = |x - 1/2| - 1/4 in [-1/4, 1/4], which is exact for multiples of 2^-24; then an odd minimax polynomial. */
float rng_cos_2pi(float x)
{
    float b = fabsf(x - 0.5f) - 0.25f;
    float b2 = b * b;
    float q = 39.7109337f;
    q = q * b2 - 76.5749969f;
    q = q * b2 + 81.6022339f;
    q = q * b2 - 41.3416786f;
    q = q * b2 + 6.28318548f;
    return q * b;
}

float rng_uniform(Rng r, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    draw(r, stream, index, w);
    return (float)(w[0] >> 8) * 0x1p-24f;
}

float rng_normal(Rng r, uint64_t stream, uint64_t index)
{
    uint32_t w[4];
    draw(r, stream, index, w);
    float u1 = (float)((w[0] >> 8) + 1) * 0x1p-24f;
    float u2 = (float)(w[1] >> 8) * 0x1p-24f;
    return sqrtf(-2.0f * rng_log(u1)) * rng_cos_2pi(u2);
}
