/* cli_bench.c - pastiche bench and profile: how fast a step or an export is on this machine, beside what the machine can do; and where its time goes.
 * Weights are random, also those of nets that come from files: speed does not depend on them. Inputs are random numbers of each input's range.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cli_bench.h"
#include "cli_start.h"
#include "clock.h"
#include "files.h"
#include "peak.h"


/* ---- a bench: opened, made ready, passed through ---- */

void bench_close(Bench *b)
{
    program_free(b->p);
    for (uint32_t i = 0; b->inputs && i < b->g->inputs.n; i++)
        tensor_free(&b->inputs[i]);
    free(b->inputs);
    session_close(&b->s);
}

bool bench_inputs(Bench *b, const Given *given, bool symbolic)
{
    Status st = { 0 };
    *b = (Bench){ 0 };
    if (!open_session(given, false, &b->s))
        return false;
    b->g = session_find_graph(&b->s, given->words[1], &st);
    if (!b->g || (!symbolic && !session_prepare_random(&b->s, b->g, &st))) {
        complain("%s", st.message);
        return false;
    }
    if (!known_sizes(given, &b->g, 1, b->g->name, &st)) {
        complain("%s", st.message);
        return false;
    }
    if (symbolic && !option_given(given, "--size"))
        return true;
    b->inputs = xmalloc((b->g->inputs.n + 1) * sizeof *b->inputs);
    for (uint32_t i = 0; i < b->g->inputs.n; i++)
        if (!random_input(given, b->g, i, &b->inputs[i], &st)) {
            complain("%s", st.message);
            return false;
        }
    return true;
}

static bool bench_compile(Bench *b)
{
    Status st = { 0 };
    b->p = program_new_as_used(b->s.model, b->g, &b->s.options.exec, b->inputs, &st);
    if (!b->p)
        complain("%s", st.message);
    return b->p != NULL;
}

static bool pass(Bench *b)
{
    uint32_t nout = b->g->outputs.n, nrep = b->g->reports.n;
    Tensor  *out = xmalloc((nout + nrep + 1) * sizeof *out), *reports = out + nout;
    RunState rs = { .rng = { b->s.options.seed, b->runs }, .weights = 1, .frozen = 1 };
    Status   st = { 0 };
    rs.runtime[RT_STEP] = b->runs++;
    rs.runtime[RT_EPOCH_STEPS] = 1;
    bool ok = program_run(b->p, b->inputs, b->s.vars, &rs, out, reports, &st);
    for (uint32_t i = 0; ok && i < nout + nrep; i++)
        tensor_free(&out[i]);
    free(out);
    if (!ok)
        complain("%s", st.message);
    return ok;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of `rounds` passes in seconds; 0 after a complaint. */
static double median(Bench *b, int64_t rounds)
{
    double *took = xmalloc((size_t)rounds * sizeof *took), result = 0;
    bool    ok = true;
    for (int64_t i = 0; ok && i < rounds; i++) {
        double from = clock_seconds();
        ok = pass(b);
        took[i] = clock_seconds() - from;
    }
    qsort(took, (size_t)rounds, sizeof *took, by_value);
    if (ok)
        result = rounds % 2 ? took[rounds / 2] : 0.5 * (took[rounds / 2 - 1] + took[rounds / 2]);
    free(took);
    return result;
}

enum { WARM = 2, MIN_ROUNDS = 5, MAX_ROUNDS = 1000 };

/* Passes for about a second, at least MIN_ROUNDS, unless --rounds says how many. */
static double measure(Bench *b, int64_t rounds)
{
    double once = median(b, WARM);
    if (once <= 0)
        return 0;
    if (!rounds) {
        double fit = 1.0 / once;
        rounds = fit < MIN_ROUNDS ? MIN_ROUNDS : fit > MAX_ROUNDS ? MAX_ROUNDS : (int64_t)fit;
    }
    return median(b, rounds);
}

#define BENCH_OPTIONS                                                                                               \
    SIZE_OPTION,                                                                                                    \
    { "--rounds", "N", "passes measured (default: about a second's, at least 5)" }, EXEC_OPTIONS, SESSION_OPTIONS

/* As parse_options. */
static int parse_bench(const Command *c, int argc, char **argv, Given *g, int64_t *rounds)
{
    int status = parse_options(c, argc, argv, g);
    return status >= 0 ? status : number_option(g, "--rounds", 1, MAX_ROUNDS, rounds) ? -1 : 2;
}

/* A figure of the JSON object that may not be known. */
static void milliseconds(const char *key, double seconds, Text *out)
{
    text_addf(out, seconds > 0 ? ", \"%s\": %.4g" : ", \"%s\": null", key, seconds * 1e3);
}

static void print_bench(const Bench *b, double took, double rss, StartTimes starts, bool json)
{
    Status       st = { 0 };
    ProgramFacts f = program_facts(b->p);
    int          threads = b->s.options.exec.threads > 0 ? b->s.options.exec.threads : omp_get_max_threads();
    double       peak = fma_peak(b->s.options.exec.cpu, threads, &st), gflop = f.flops * 1e-9, rate = gflop / took, of_peak = peak > 0 ? rate / peak : 0;
    double       arena = (double)f.arena / 1048576;
    Text         out = { 0 };
    if (json) {
        text_addf(&out, "{\"name\": \"%s\", \"threads\": %d, \"ms\": %.4g, \"gflop\": %.4g, \"gflops\": %.4g, \"peak_gflops\": %.4g, \"of_peak\": %.3g", b->g->name, threads, took * 1e3, gflop, rate, peak, of_peak);
        milliseconds("compile_ms", starts.compile, &out);
        milliseconds("cached_start_ms", starts.cached, &out);
        text_addf(&out, ", \"kernels\": %u, \"tuned\": %u, \"arena_mib\": %.4g, \"max_rss_mib\": %.4g}\n", f.kernels, f.tuned, arena, rss);
    } else {
        text_addf(&out, "%s: %.4g ms, %.4g GFLOP, %.4g GFLOP/s, %.1f %% of the %.4g that %d thread%s reach\n%u kernels", b->g->name, took * 1e3, gflop, rate, 100 * of_peak, peak, threads,
                  threads == 1 ? "" : "s", f.kernels);
        if (f.tuned)
            text_addf(&out, " (%u with tuned block sizes)", f.tuned);
        if (starts.compile > 0)
            text_addf(&out, ", compiled in %.4g ms", starts.compile * 1e3);
        if (starts.cached > 0)
            text_addf(&out, "; once they are cached, the first one runs %.4g ms after the start", starts.cached * 1e3);
        text_addf(&out, "\narena %.4g MiB, largest resident set %.4g MiB\n", arena, rss);
    }
    fputs(out.at, stdout);
    text_free(&out);
}

int command_bench(int argc, char **argv)
{
    static const Option  options[] = { BENCH_OPTIONS, { "--json", NULL, "one JSON object" } };
    static const Command c = { "bench", "FILE NAME [--size INPUT=1x3x512x512]...",
                               "Measures a step or an export: the median of its passes, beside the peak of this machine's multiply-adds, measured in the same run;\n"
                               "the time to compile all kernels; and cached_start_ms, the time from the start of a fresh process that compiles nothing to its\n"
                               "first kernel, weights and inputs not counted. The largest resident set is that of a process that compiles nothing.",
                               options, COUNT(options), 2, 2 };
    Given   g;
    Bench   b;
    int64_t rounds = 0;
    int     status = parse_bench(&c, argc, argv, &g, &rounds);
    if (status >= 0)
        return status;
    if (is_start_probe())
        return run_start_probe(&g);
    bool          ok = bench_inputs(&b, &g, false);
    StartTimes    starts = ok ? measure_starts(&g, argc, argv) : (StartTimes){ 0 };
    double        took = ok && bench_compile(&b) ? measure(&b, rounds) : 0;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    if (took > 0)
        print_bench(&b, took, (double)use.ru_maxrss / 1024, starts, option_given(&g, "--json"));
    bench_close(&b);
    return took > 0 ? 0 : 1;
}

/* What was measured, as a table and, where it is asked for, a trace. */
static bool tell_profile(const Bench *b, const char *trace)
{
    Status       st = { 0 };
    Text         out = { 0 };
    int          threads = b->s.options.exec.threads > 0 ? b->s.options.exec.threads : omp_get_max_threads();
    MachineRates rates = { .peak_gflops = fma_peak(b->s.options.exec.cpu, threads, &st) };
    bool         ok = rates.peak_gflops > 0 && copy_rates(threads, rates.copy_gbs);
    if (ok) {
        program_profile(b->p, &rates, &out);
        fputs(out.n ? out.at : "nothing was measured: the reference backend has no kernels\n", stdout);
        out.n = 0;
        program_trace(b->p, &out);
        ok = !trace || !out.n || file_write(trace, out.at, out.n, &st);
    }
    text_free(&out);
    return ok || !complain("%s", st.failed ? st.message : "no memory to measure the machine with");
}

int command_profile(int argc, char **argv)
{
    static const Option  options[] = { BENCH_OPTIONS, { "--trace", "FILE.json", "also write each kernel's course on each thread, for chrome://tracing" } };
    static const Command c = { "profile", "FILE NAME [--size INPUT=1x3x512x512]... [--trace FILE.json]",
                               "Shows what each kernel of a step or an export takes, dearest first: arithmetic and bytes beside what this machine can do, and the lines of the text that it computes.",
                               options, COUNT(options), 2, 2 };
    Given   g;
    Bench   b;
    int64_t rounds = 0;
    int     status = parse_bench(&c, argc, argv, &g, &rounds);
    if (status >= 0)
        return status;
    const char *trace = option_value(&g, "--trace");
    bool        ok = bench_inputs(&b, &g, false) && bench_compile(&b) && median(&b, WARM) > 0;
    if (ok) {
        program_measure(b.p, trace != NULL);
        ok = measure(&b, rounds) > 0 && tell_profile(&b, trace);
    }
    bench_close(&b);
    return !ok;
}

int command_explain(int argc, char **argv)
{
    static const Option options[] = {
        { "--size", "INPUT=1x3x512x512", "how large an input is; may be repeated. Without, bytes are formulas" },
        { "--json", NULL, "one JSON object" },
        SESSION_OPTIONS,
        EXEC_OPTIONS,
    };
    static const Command c = { "explain", "FILE NAME [--size INPUT=1x3x512x512]... [--json]",
                               "Tells for each kernel of a step or an export which ops it does, what it reads from other kernels, why, and the bytes that this moves or saves.", options,
                               COUNT(options), 2, 2 };
    static Given g;
    Bench        b;
    Text         out = { 0 };
    Status       st = { 0 };
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    bool ok = bench_inputs(&b, &g, true);
    if (ok && !program_explain(b.s.model, b.g, &b.s.options.exec, b.inputs, NULL, option_given(&g, "--json"), &out, &st))
        ok = !complain("%s", st.message);
    if (ok)
        fputs(out.at, stdout);
    text_free(&out);
    bench_close(&b);
    return !ok;
}
