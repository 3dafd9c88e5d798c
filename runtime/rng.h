/* rng.h - random numbers as a function of their place: Philox4x32-10 (Salmon et al. 2011), counter based, no state.
 *
 *   counter = { index low, index high, step, stream high }   key = { seed low ^ stream low, seed high }
 *   words   = philox4x32_10(counter, key)
 *   uniform = (words[0] >> 8) * 2^-24                                    in [0, 1)
 *   normal  = sqrt(-2 ln u1) * cos(2 pi u2)   u1 = ((words[0] >> 8) + 1) * 2^-24 in (0, 1], u2 = (words[1] >> 8) * 2^-24
 *
 * The normal's ln, cos and sqrt are the f32 operations spelled out in rng.c, in this order, each rounded to nearest, never fused:
 * every backend and instruction set gives the same bits. `index` is the row-major index of the element in the logical tensor, so
 * neither threads nor layout nor vector width can be seen. stream is a 64-bit name of the place that draws (path and application).
 * A node with fixed = 1 uses its stream with step 0 and seed 0.
 */
#ifndef PASTICHE_RNG_H
#define PASTICHE_RNG_H

#include <stdint.h>

typedef struct { uint64_t seed; uint32_t step; } Rng;

void  philox4x32_10(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
float rng_uniform(Rng r, uint64_t stream, uint64_t index);
float rng_normal(Rng r, uint64_t stream, uint64_t index);
float rng_log(float x);            /* the polynomial pieces of rng_normal, shared with the emitter's tests; x in (0, 1] */
float rng_cos_2pi(float x);        /* cos(2 pi x), x in [0, 1) */

#endif
