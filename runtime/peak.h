/* peak.h - what this machine can do, measured: the yardstick of `bench` and `profile`. */
#ifndef PASTICHE_PEAK_H
#define PASTICHE_PEAK_H

#include "../compiler/native.h"

/* GFLOP/s (1e9) that `threads` threads reach together with independent multiply-adds on registers, best of some 30 rounds (about 0.1 s); 0 and a message on failure. */
double fma_peak(const char *cpu, int threads, Status *st);
/* GB/s (1e9), bytes read and bytes written, that `threads` threads reach together in copying memory that no cache holds, best of some rounds; 0: no memory for it. */
double copy_rate(int threads);

#endif
