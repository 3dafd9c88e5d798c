/* peak.c - the fused multiply-add peak: a compiled loop of independent chains, enough of them to cover the latency of two units, on every thread at once; and the rates
 * of plain copies. */
#include "peak.h"

#include <stdlib.h>
#include <string.h>

#include "../compiler/emit.h"
#include "clock.h"
#include "launch.h"

enum { CHAINS = 10, ROUNDS = 200000, TRIES = 30 };

/* bufs[0]: CHAINS vectors a thread, zero, so that nothing overflows */
static void emit_peak(void *ctx, Emit *e, uint32_t index)
{
    (void)ctx, (void)index;
    int          vec = e->target->vec;
    LLVMValueRef acc[CHAINS], next[CHAINS];
    LLVMValueRef mine = addr(e, buf_base(e, 0), i_mulc(e, e->tid, (int64_t)CHAINS * vec)), a = vec_load(e, mine, vec);
    for (int i = 0; i < CHAINS; i++)
        acc[i] = c_vec(e, vec, i);
    Loop l = loop_begin(e, c_int(e, 0), c_int(e, ROUNDS), 1, CHAINS, acc);
    for (int i = 0; i < CHAINS; i++)
        next[i] = f_fma(e, a, a, l.carry[i]);
    loop_end(e, &l, next);
    for (int i = 0; i < CHAINS; i++)
        store(e, l.carry[i], addr(e, mine, c_int(e, (int64_t)i * vec)));
    e->kernel->tasks = dim_const(e->dims, 1);
}

double fma_peak(const char *cpu, int threads, Status *st)
{
    Target t;
    Jit   *jit = target_detect(cpu, &t, st) ? jit_new(&t, st) : NULL;
    if (!jit)
        return 0;
    DimTable *dims = dims_new();
    Kernel    k = { .kind = KERNEL_CONTRACT, .name = "peak" }, *ks = &k;
    double    best = 0;
    if (jit_compile(jit, dims, &ks, 1, emit_peak, NULL, NULL, NULL, st)) {
        size_t bytes = (size_t)threads * CHAINS * (size_t)t.vec * sizeof(float);
        float *buf = xmalloc(bytes);
        void  *bufs[] = { buf };
        for (int i = 0; i < TRIES; i++) {
            memset(buf, 0, bytes);
            double from = clock_seconds();
            launch(k.fn, bufs, NULL, threads, INT64_MAX, threads);
            double rate = 2.0 * CHAINS * ROUNDS * t.vec * threads / (clock_seconds() - from);
            best = rate > best ? rate : best;
        }
        free(buf);
    }
    vec_free(&k.bufs);
    vec_free(&k.args);
    dims_free(dims);
    jit_free(jit);
    return best * 1e-9;
}

enum { COPY_TRIES = 8, COPY_MOST_TRIES = 300 };

static void copy_part(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads)
{
    int64_t from = args[0] * tid / nthreads, to = args[0] * (tid + 1) / nthreads;
    memcpy((char *)bufs[1] + from, (const char *)bufs[0] + from, (size_t)(to - from));
}

static double copy_rate(char *from, char *to, int64_t bytes, int threads)
{
    void   *bufs[] = { from, to };
    double  best = 0;
    int64_t tries = ((int64_t)COPY_TRIES << 25) / bytes;
    for (int64_t i = 0; i < COPY_TRIES || (i < tries && i < COPY_MOST_TRIES); i++) {
        double start = clock_seconds();
        launch(copy_part, bufs, &bytes, threads, INT64_MAX, threads);
        double rate = 2.0 * (double)bytes / (clock_seconds() - start);
        best = rate > best ? rate : best;
    }
    return best * 1e-9;
}

bool copy_rates(int threads, double gbs[COPY_SIZES])
{
    int64_t half = (int64_t)COPY_SMALLEST << (COPY_SIZES - 2);
    char   *from = malloc((size_t)half), *to = malloc((size_t)half);
    bool    ok = from && to;
    if (ok)
        memset(from, 1, (size_t)half);
    for (int i = 0; ok && i < COPY_SIZES; i++)
        gbs[i] = copy_rate(from, to, ((int64_t)COPY_SMALLEST << i) / 2, threads);
    free(from);
    free(to);
    return ok;
}
