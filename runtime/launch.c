/* launch.c - the OpenMP trampoline. Compiled kernels know nothing of OpenMP: they get a thread number and the number of threads, and take
 * their share of tasks. What a kernel computes does not depend on either.
 */
#include "launch.h"

#include "clock.h"

#include <omp.h>
#include <string.h>

/* Starting threads costs some microseconds; a vector loop does about ten operations a nanosecond. */
int64_t launch_parallel_from = 400000;

/* One thread does what is not worth more. */
static int threads_for(int64_t tasks, int64_t work, int threads)
{
    return work < launch_parallel_from ? 1 : tasks < threads ? (int)tasks : threads;
}

void launch(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads)
{
    if (tasks <= 0)
        return;
    int n = threads_for(tasks, work, threads);
    if (n == 1) {
        fn(bufs, args, 0, 1);
        return;
    }
#pragma omp parallel num_threads(n)
    fn(bufs, args, omp_get_thread_num(), omp_get_num_threads());
}

void launch_spans(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads, Span *spans)
{
    if (!spans || tasks <= 0) {
        launch(fn, bufs, args, tasks, work, threads);
        return;
    }
#pragma omp parallel num_threads(threads_for(tasks, work, threads))
    {
        int  t = omp_get_thread_num();
        Span s = { clock_seconds(), 0, thread_seconds() };
        fn(bufs, args, t, omp_get_num_threads());
        s.busy = thread_seconds() - s.busy;
        s.to = clock_seconds();
        spans[t] = s;
    }
}

void zero_halo(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads)
{
    int64_t images = args[0], h = args[1], w = args[2], pixel = args[3] * args[8], top = args[4], bottom = args[5], left = args[6] * pixel, right = args[7] * pixel;
    int64_t row = w * pixel + left + right, image = (top + h + bottom) * row;
    for (int64_t i = images * tid / nthreads; i < images * (tid + 1) / nthreads; i++) {
        char *at = (char *)bufs[0] + i * image;
        memset(at, 0, (size_t)(top * row));
        at += top * row;
        /* the right border of a row and the left one of the next lie together */
        if (left)
            memset(at, 0, (size_t)left);
        for (int64_t y = 0; y < h && left + right; y++) {
            int64_t last = y + 1 < h ? right + left : right;
            memset(at + y * row + left + w * pixel, 0, (size_t)last);
        }
        if (bottom)
            memset(at + h * row, 0, (size_t)(bottom * row));
    }
}
