/* test_threads.c - the six workloads of tests/compare with 1, 2, 3 and 8 threads: results, losses and all variables after two passes have the same bits.
 *
 *   test_threads             small pictures and few channels, every kernel on threads, on every instruction set of this machine
 *   test_threads full        the sizes of tests/compare, threads where they pay (minutes)
 */
#include "check.h"
#include "launch.h"
#include "program.h"
#include "session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PASSES = 2, MAX_SET = 4, MAX_IN = 2 };

typedef struct {
    const char *file, *graph;
    const char *set[MAX_SET];      /* for the small one */
    int         nin;
    int64_t     small[MAX_IN][MAX_RANK], full[MAX_IN][MAX_RANK];
} Workload;

static const Workload workloads[] = {
    { "johnson", "infer", { "w=16", "v=8", "size=32" }, 1, { { 1, 3, 44, 36 } }, { { 1, 3, 512, 512 } } },
    { "cyclegan", "infer", { "w=16" }, 1, { { 1, 3, 36, 28 } }, { { 1, 3, 256, 256 } } },
    { "dcgan", "infer", { "w=8" }, 1, { { 3, 100, 1, 1 } }, { { 64, 100, 1, 1 } } },
    { "dcgan", "train", { "w=8" }, 2, { { 3, 3, 64, 64 }, { 3, 100, 1, 1 } }, { { 32, 3, 64, 64 }, { 32, 100, 1, 1 } } },
    { "johnson", "train", { "w=16", "v=8", "size=32" }, 1, { { 2, 3, 32, 32 } }, { { 2, 3, 256, 256 } } },
    { "mlp_gan", "train", { NULL }, 2, { { 17, 784 }, { 17, 100 } }, { { 128, 784 }, { 128, 100 } } },
};

typedef struct { Tensor *results, *vars; uint32_t nresults, nvars; } Outcome;      /* results: of all passes, outputs and reports */

static void outcome_free(Outcome *o)
{
    for (uint32_t i = 0; i < o->nresults; i++)
        tensor_free(&o->results[i]);
    for (uint32_t i = 0; i < o->nvars; i++)
        tensor_free(&o->vars[i]);
    free(o->results);
    free(o->vars);
}

static bool make_inputs(const Workload *w, const Graph *g, bool full, Tensor *inputs, Status *st)
{
    if (g->inputs.n != (uint32_t)w->nin)
        return status_fail(st, "%u inputs", g->inputs.n);
    for (int i = 0; i < w->nin; i++) {
        if (!tensor_alloc(&inputs[i], DT_F32, g->inputs.at[i].rank, (full ? w->full : w->small)[i], st))
            return false;
        for (int64_t k = 0; k < tensor_count(&inputs[i]); k++)
            tensor_set(&inputs[i], k, 2 * rng_uniform((Rng){ 3, 0 }, (uint64_t)i, (uint64_t)k) - 1);
    }
    return true;
}

static bool run(const Session *s, Graph *g, const ExecOptions *o, const Tensor *inputs, Outcome *out, Status *st)
{
    uint32_t nout = g->outputs.n, nrep = g->reports.n;
    *out = (Outcome){ .nresults = PASSES * (nout + nrep), .nvars = s->model->vars.n };
    out->results = xmalloc((out->nresults + 1) * sizeof *out->results);
    out->vars = xmalloc((out->nvars + 1) * sizeof *out->vars);
    for (uint32_t i = 0; i < out->nvars; i++)
        if (s->vars[i].data && !tensor_copy(&out->vars[i], &s->vars[i], s->vars[i].dtype, st))
            return false;
    Program *p = program_new(s->model, g, o, st);
    bool     ok = p != NULL;
    for (int k = 0; k < PASSES && ok; k++) {
        RunState rs = { .runtime = { k, 0, 0, 1, k + 1 }, .rng = { 5, (uint32_t)k } };
        Tensor  *at = out->results + (uint32_t)k * (nout + nrep);
        ok = program_run(p, inputs, out->vars, &rs, at, at + nout, st);
    }
    program_free(p);
    return ok;
}

static bool same(const Tensor *a, const Tensor *b)
{
    if (!a->data || !b->data)
        return !a->data && !b->data;
    return tensor_count(a) == tensor_count(b) && (!tensor_count(a) || !memcmp(a->data, b->data, (size_t)tensor_count(a) * dtype_size(a->dtype)));
}

static void compare(const Session *s, const Graph *g, const Outcome *one, const Outcome *many, int threads, const char *what)
{
    uint32_t each = g->outputs.n + g->reports.n;
    for (uint32_t i = 0; i < one->nresults; i++) {
        const GraphOutput *o = i % each < g->outputs.n ? &g->outputs.at[i % each] : &g->reports.at[i % each - g->outputs.n];
        CHECK(same(&one->results[i], &many->results[i]), "%s: '%s' of pass %u has other bits with %d threads than with one", what, o->name, i / each + 1, threads);
    }
    for (uint32_t i = 0; i < one->nvars; i++)
        CHECK(same(&one->vars[i], &many->vars[i]), "%s: %s has other bits after two passes with %d threads than with one", what, s->model->vars.at[i].name, threads);
}

/* Were the variables written at all? A comparison of what nobody computed says nothing. */
static void check_moved(const Session *s, const Graph *g, const Outcome *one, const char *what)
{
    uint32_t moved = 0;
    for (uint32_t i = 0; i < one->nvars; i++)
        moved += !same(&s->vars[i], &one->vars[i]);
    CHECK(moved * 10 >= g->writes.n * 9, "%s: %u of %u written variables moved", what, moved, g->writes.n);
}

static void check_workload(const Workload *w, const char *cpu, bool full)
{
    static const int threads[] = { 2, 3, 8 };
    char             path[300], what[200];
    Session          s;
    SessionOptions   so = { .set = full ? NULL : w->set, .exec = { .cpu = cpu, .no_cache = true }, .seed = 1 };
    Status           st = { 0 };
    Tensor           inputs[MAX_IN] = { 0 };
    Outcome          one = { 0 };
    snprintf(path, sizeof path, "%s/tests/compare/%s.graph", SOURCE_DIR, w->file);
    snprintf(what, sizeof what, "%s %s on %s", w->file, w->graph, cpu ? cpu : "this machine");
    bool   open = session_open(&s, path, &so, &st);
    Graph *g = open ? session_find_graph(&s, w->graph, &st) : NULL;
    bool   ok = g && session_prepare(&s, g, &st) && make_inputs(w, g, full, inputs, &st);
    so.exec.threads = 1;
    ok = ok && run(&s, g, &so.exec, inputs, &one, &st);
    CHECK(ok, "%s: %s", what, st.message);
    if (ok)
        check_moved(&s, g, &one, what);
    for (size_t i = 0; i < COUNT(threads) && ok; i++) {
        Outcome many = { 0 };
        so.exec.threads = threads[i];
        ok = run(&s, g, &so.exec, inputs, &many, &st);
        CHECK(ok, "%s with %d threads: %s", what, threads[i], st.message);
        if (ok)
            compare(&s, g, &one, &many, threads[i], what);
        outcome_free(&many);
    }
    outcome_free(&one);
    for (int i = 0; i < MAX_IN; i++)
        tensor_free(&inputs[i]);
    session_close(&s);
}

int main(int argc, char **argv)
{
    static const char *const isas[] = { "avx512", "avx2", "baseline" };
    bool full = argc > 1 && !strcmp(argv[1], "full");
    if (argc > 1 && !full) {
        fputs("usage: test_threads [full]\n", stderr);
        return 2;
    }
    if (!full)
        launch_parallel_from = 0;
    for (size_t k = 0; k < COUNT(isas); k++) {
        Target t;
        Status st = { 0 };
        if (!target_detect(isas[k], &t, &st))
            continue;
        for (size_t i = 0; i < COUNT(workloads); i++) {
            check_workload(&workloads[i], isas[k], full);
            if (full) {
                printf("%s %s on %s\n", workloads[i].file, workloads[i].graph, isas[k]);
                fflush(stdout);
            }
        }
        if (full)
            break;
    }
    return check_done();
}
