/* profile.c - per kernel: time, arithmetic, bytes, and which of the two bounds it.
 *
 * Time is processor time of the thread that starts kernels, which takes part in each of them: what else runs on the machine does not show, waiting for the
 * other threads at the end of a kernel does. The trace has times of a clock on the wall, by thread.
 *
 * What bounds a kernel is roofline.c's matter.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "launch.h"
#include "peak.h"
#include "roofline.h"

enum { MOST_SPANS = 400000, MOST_LINES = 6 };

typedef struct { uint32_t kernel; uint16_t thread; double from, to; } TraceSpan;

struct Profile {
    uint32_t n, passes;
    int      threads;
    double  *seconds, *busiest;    /* by kernel: of the thread that starts it; of the one that had most to do, without waiting */
    uint32_t *calls;
    bool     trace;
    double   start;
    Span    *now;                  /* of the launch, by thread */
    Vec(TraceSpan) spans;
};

Profile *profile_new(uint32_t kernels, int threads, bool trace)
{
    Profile *p = xmalloc(sizeof *p);
    *p = (Profile){ .n = kernels, .threads = threads, .trace = trace, .start = clock_seconds() };
    p->seconds = xmalloc((kernels + 1) * sizeof *p->seconds);
    p->busiest = xmalloc((kernels + 1) * sizeof *p->busiest);
    p->calls = xmalloc((kernels + 1) * sizeof *p->calls);
    p->now = xmalloc((size_t)threads * sizeof *p->now);
    return p;
}

void profile_free(Profile *p)
{
    if (!p)
        return;
    free(p->seconds);
    free(p->busiest);
    free(p->calls);
    free(p->now);
    vec_free(&p->spans);
    free(p);
}

void profile_launch(Profile *p, uint32_t kernel, KernelFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work)
{
    double from = thread_seconds(), busiest = 0;
    launch_spans(fn, bufs, args, tasks, work, p->threads, p->now);
    p->seconds[kernel] += thread_seconds() - from;
    for (int t = 0; t < p->threads; t++)
        busiest = p->now[t].busy > busiest ? p->now[t].busy : busiest;
    p->busiest[kernel] += busiest;
    p->calls[kernel]++;
    for (int t = 0; p->trace && t < p->threads && p->spans.n < MOST_SPANS; t++) {
        TraceSpan s = { kernel, (uint16_t)t, p->now[t].from - p->start, p->now[t].to - p->start };
        if (p->now[t].to > 0)
            vec_push(&p->spans, s);
    }
}

void profile_pass(Profile *p) { p->passes++; }

double profile_seconds(const Profile *p, uint32_t kernel)
{
    return p->calls[kernel] ? p->seconds[kernel] / p->calls[kernel] : 0;
}

double profile_busiest(const Profile *p, uint32_t kernel)
{
    return p->calls[kernel] ? p->busiest[kernel] / p->calls[kernel] : 0;
}

static const char *const kinds[] = { "map", "reduce", "contract", "combine", "pack", "relayout", "halo" };

/* ---- the table ---- */

typedef struct { double seconds; uint32_t kernel; } Cost;

static int by_cost(const void *a, const void *b)
{
    const Cost *x = a, *y = b;
    return x->seconds > y->seconds ? -1 : x->seconds < y->seconds;
}

static void print_row(const Profile *p, const Fusion *f, uint32_t i, double seconds, double all, Load l, const MachineRates *rates, Text *out)
{
    double compute = l.flops / (rates->peak_gflops * 1e9), memory = l.memory, bound = compute > memory ? compute : memory;
    const Fused *k = f->kernels.at[i];
    text_addf(out, "%9.4f %5.1f %6u %8.2f %6.1f %8.2f  %-7s %5.0f  %-8s %-14s ", seconds * 1e3, all > 0 ? 100 * seconds / all : 0, p->calls[i],
              seconds > 0 ? l.flops / seconds * 1e-9 : 0, seconds > 0 ? 100 * compute / seconds : 0, seconds > 0 ? l.bytes / seconds * 1e-9 : 0,
              compute > memory ? "compute" : "memory", seconds > 0 ? 100 * bound / seconds : 0, kinds[k->kind], k->kernel.name);
    kernel_places(f, k, MOST_LINES, out);
    text_add(out, "\n");
}

void profile_print(const Profile *p, const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, const MachineRates *rates, Text *out)
{
    Cost  *costs = xmalloc((p->n + 1) * sizeof *costs);
    Load  *loads = kernel_loads(f, plan, binds, n, rates);
    double all = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        costs[i] = (Cost){ profile_seconds(p, i), i };
        all += costs[i].seconds;
    }
    qsort(costs, p->n, sizeof *costs, by_cost);
    text_addf(out, "%u kernels, %.3f ms a pass (of %u); %d thread%s: %.4g GFLOP/s of multiply-adds, copies at %.3g GB/s, %.3g within 1 MiB\n", p->n, all * 1e3, p->passes, p->threads,
              p->threads == 1 ? "" : "s", rates->peak_gflops, rates->copy_gbs[COPY_SIZES - 1], rates->copy_gbs[4]);
    text_add(out, "       ms     %  calls  GFLOP/s % peak     GB/s  bound by  % of  kernel                  lines\n");
    for (uint32_t i = 0; i < p->n; i++)
        print_row(p, f, costs[i].kernel, costs[i].seconds, all, loads[costs[i].kernel], rates, out);
    free(costs);
    free(loads);
}

/* ---- the trace ---- */

static void shape_text(const Fusion *f, const Fused *k, const DimBind *binds, uint32_t n, Text *out)
{
    Ref r = k->contract ? k->contract : k->copy ? k->copy : k->roots.n ? k->roots.at[0] : k->shape_of;
    text_addf(out, "%s[", dtype_name((Dtype)node(f->g, r)->dtype));
    for (int i = 0; i < node(f->g, r)->rank; i++)
        text_addf(out, "%s%lld", i ? ", " : "", (long long)size_of(f, node_shape(f->g, r)[i], binds, n));
    text_add(out, "]");
}

void profile_trace(const Profile *p, const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, Text *out)
{
    char **args = xmalloc((p->n + 1) * sizeof *args);          /* by kernel: equal in all its events */
    Load  *loads = kernel_loads(f, plan, binds, n, NULL);
    for (uint32_t i = 0; i < p->n; i++) {
        const Fused *k = f->kernels.at[i];
        Text         t = { 0 }, where = { 0 }, shape = { 0 };
        kernel_places(f, k, 0, &where);
        shape_text(f, k, binds, n, &shape);
        text_add(&t, "{\"place\": ");
        text_json(&t, where.n ? where.at : "");
        text_add(&t, ", \"size\": ");
        text_json(&t, shape.at);
        text_addf(&t, ", \"mflop\": %.6g, \"bytes\": %.0f}", loads[i].flops * 1e-6, loads[i].bytes);
        args[i] = t.at;
        text_free(&where);
        text_free(&shape);
    }
    text_add(out, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n"
                  "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": 0, \"args\": {\"name\": ");
    text_json(out, f->g->name);
    text_add(out, "}}");
    for (uint32_t i = 0; i < p->spans.n; i++) {
        const TraceSpan *s = &p->spans.at[i];
        const Fused     *k = f->kernels.at[s->kernel];
        text_addf(out, ",\n{\"name\": \"%s\", \"cat\": \"%s\", \"ph\": \"X\", \"ts\": %.3f, \"dur\": %.3f, \"pid\": 1, \"tid\": %u, \"args\": %s}", k->kernel.name, kinds[k->kind],
                  s->from * 1e6, (s->to - s->from) * 1e6, s->thread, args[s->kernel]);
    }
    text_add(out, "\n]}\n");
    for (uint32_t i = 0; i < p->n; i++)
        free(args[i]);
    free(args);
    free(loads);
}
