/* peak.h - what this machine can do, measured: the yardstick of `bench` and `profile`. */
#ifndef PASTICHE_PEAK_H
#define PASTICHE_PEAK_H

#include "../compiler/native.h"

/* GFLOP/s (1e9) that `threads` threads reach together with independent multiply-adds on registers, best of some 30 rounds (about 0.1 s); 0 and a message on failure. */
double fma_peak(const char *cpu, int threads, Status *st);
/* GB/s (1e9), bytes read and bytes written, that `threads` threads reach together in copying one half of some memory to the other, over and over, best of some rounds:
 * gbs[i] with COPY_SMALLEST << i bytes of memory, so from caches to what no cache holds. false: no memory for it. */
enum { COPY_SMALLEST = 64 << 10, COPY_SIZES = 13 };
bool copy_rates(int threads, double gbs[COPY_SIZES]);

#endif
