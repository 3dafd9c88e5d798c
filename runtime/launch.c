/* launch.c - kernels on OpenMP threads. Compiled kernels know nothing of OpenMP: they get a number and how many there are, and take that share of their
 * tasks. What a kernel computes depends on neither.
 *
 * A pass is one parallel region (team_run): the thread that called runs the pass, the others wait for kernels. A kernel comes in as many shares as there are
 * threads; each thread looks at its own first (what it worked on before is in its cache) and then at those that nobody has begun. So on a machine that others
 * use too, a thread that is not running holds nothing up: its share is done by one that is.
 *
 *     state of a share: 2*turn free, 2*turn + 1 taken    turn: the number of the kernel, from 1
 *
 * Taking a share is one compare-and-swap on its state. It only succeeds in the turn that it was meant for, and a turn does not end before all taken shares
 * are done; so whoever holds one may read the team's fields.
 */
#include "launch.h"

#include "clock.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { MOST_SHARES = 256, SPINS = 1000 };      /* a spin takes some 10 to 40 ns; after that many a thread lets others have the processor */
#define TURN_END UINT64_MAX

typedef struct { _Alignas(64) _Atomic uint64_t state; } Share;

/* A kernel in n shares; spans: by thread, or NULL. */
typedef struct { LaunchFn fn; void *const *bufs; const int64_t *args; int n; Span *spans; } Work;

typedef struct {
    Work           work;           /* of this turn */
    int            threads;
    uint64_t       last;           /* the number of the last turn */
    _Alignas(64) _Atomic uint64_t turn;
    _Alignas(64) _Atomic int       done;
    Share          share[MOST_SHARES];
} Team;

static _Thread_local Team *team;   /* of the thread that runs a pass */

/* Operations from which other threads are asked: a vector loop does about ten a nanosecond. */
int64_t launch_parallel_from = 400000;

/* One thread does what is not worth more. */
static int shares_for(int64_t tasks, int64_t work, int threads)
{
    return work < launch_parallel_from ? 1 : tasks < threads ? (int)tasks : threads;
}

static void relax(int *idle)
{
    if (++*idle > SPINS)
        sched_yield();
    else
        __builtin_ia32_pause();
}

/* A thread's span is from its first share to the end of its last. */
static void run_share(const Work *w, int thread, int share)
{
    Span  *s = w->spans ? &w->spans[thread] : NULL;
    double busy = s ? thread_seconds() : 0;
    if (s && s->from == 0)
        s->from = clock_seconds();
    w->fn(w->bufs, w->args, share, w->n);
    if (s) {
        s->busy += thread_seconds() - busy;
        s->to = clock_seconds();
    }
}

/* The turn's free shares, the thread's own first. */
static void take_shares(Team *t, int thread, uint64_t turn)
{
    for (int i = 0; i < t->threads; i++) {
        int      at = (thread + i) % t->threads;
        uint64_t free_state = 2 * turn;
        if (atomic_load_explicit(&t->share[at].state, memory_order_relaxed) != free_state
            || !atomic_compare_exchange_strong_explicit(&t->share[at].state, &free_state, 2 * turn + 1, memory_order_acq_rel, memory_order_relaxed))
            continue;
        run_share(&t->work, thread, at);
        atomic_fetch_add_explicit(&t->done, 1, memory_order_release);
    }
}

static void stand_by(Team *t, int thread)
{
    uint64_t seen = 0, turn;
    int      idle = 0;
    while ((turn = atomic_load_explicit(&t->turn, memory_order_acquire)) != TURN_END) {
        if (turn == seen) {
            relax(&idle);
            continue;
        }
        seen = turn;
        idle = 0;
        take_shares(t, thread, turn);
    }
}

/* A kernel for the whole team; the caller is its thread 0. */
static void team_launch(Team *t, const Work *w)
{
    uint64_t turn = ++t->last;
    int      idle = 0;
    t->work = *w;
    atomic_store_explicit(&t->done, 0, memory_order_relaxed);
    for (int i = 0; i < w->n; i++)
        atomic_store_explicit(&t->share[i].state, 2 * turn, memory_order_release);
    atomic_store_explicit(&t->turn, turn, memory_order_release);
    take_shares(t, 0, turn);
    while (atomic_load_explicit(&t->done, memory_order_acquire) < w->n)
        relax(&idle);
}

void team_run(int threads, void (*pass)(void *), void *ctx)
{
    static Team teams;             /* made anew for each pass; too large for a stack, and one pass at a time has a team */
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    if (threads > MOST_SHARES)
        threads = MOST_SHARES;
    if (threads < 2 || atomic_flag_test_and_set(&busy)) {
        pass(ctx);
        return;
    }
    Team *t = &teams;
    *t = (Team){ .threads = threads };
#pragma omp parallel num_threads(threads)
    {
        int thread = omp_get_thread_num();
        if (thread == 0) {
            team = t;
            pass(ctx);
            team = NULL;
            atomic_store_explicit(&t->turn, TURN_END, memory_order_release);
        } else {
            stand_by(t, thread);
        }
    }
    atomic_flag_clear(&busy);
}

void launch(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads)
{
    launch_spans(fn, bufs, args, tasks, work, threads, NULL);
}

void launch_spans(LaunchFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work, int threads, Span *spans)
{
    if (tasks <= 0)
        return;
    Work w = { fn, bufs, args, shares_for(tasks, work, threads), spans };
    if (spans)
        memset(spans, 0, (size_t)threads * sizeof *spans);
    if (w.n == 1) {
        run_share(&w, 0, 0);
        return;
    }
    if (team && w.n <= team->threads) {
        team_launch(team, &w);
        return;
    }
#pragma omp parallel num_threads(w.n)
    {
        Work here = w;
        here.n = omp_get_num_threads();
        run_share(&here, omp_get_thread_num(), omp_get_thread_num());
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
