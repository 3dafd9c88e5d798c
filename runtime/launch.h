/* launch.h - running a kernel on threads, and the kernels that are plain C. All have the ABI of native.h, so AOT objects need only this file. */
#ifndef PASTICHE_LAUNCH_H
#define PASTICHE_LAUNCH_H

#include <stdint.h>

typedef void (*LaunchFn)(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads);

/* Runs pass(ctx) on this thread while threads - 1 others stand by for what it launches. */
void team_run(int threads, void (*pass)(void *ctx), void *ctx);

/* Runs fn on min(tasks, threads) threads, on one when there is little work (operations, all tasks together). threads >= 1. */
void launch(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads);

/* The same; spans (NULL: none) gets from when to when each thread was at it, by thread number, in clock_seconds, and its
 * processor time in between. */
typedef struct { double from, to, busy; } Span;
void launch_spans(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads, Span *spans);

extern int64_t launch_parallel_from;       /* operations from which threads are worth starting; tests set 0: always */

/* Zeroes the border of bufs[0] [images][t+h+b][l+w+r][block]; args: images, h, w, block, t, b, l, r, bytes of an element. */
void zero_halo(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads);

#endif
