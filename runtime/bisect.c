/* bisect.c - the stages of bisect.h, one after the other: the first that is wrong is what is reported.
 *
 * Everything is interpreted or run on the same inputs, variables and random numbers, and nothing is written back. Stages before the kernels are compared in
 * float64, where only rounding of 1e-16 stands between two right ways; kernels with what f32 can be expected to do.
 */
#include "bisect.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "../compiler/passes.h"
#include "closeness.h"
#include "gradcheck.h"

static const double EXACT = 1e-6;          /* in units of distance(), for float64 */

/* ---- findings ---- */

void finding_at(Finding *f, const Graph *g, Ref r, const char *stage)
{
    Text        t = { 0 };
    Type        type = node_type(g, r);
    const Node *n = node(g, r);
    char        where[256];
    const char *chain = n->chain && n->chain < g->chains.n ? g->chains.at[n->chain] : NULL;
    type_print(g->dims, &type, &t);
    f->stage = stage;
    snprintf(f->node, sizeof f->node, "%s : %s", op_info[n->op].name, t.at);
    snprintf(f->place, sizeof f->place, "%s%s%s", place_text(g, n->loc, where, sizeof where), chain ? ", " : "", chain ? chain : "");
    text_free(&t);
}

void finding_off(Finding *f, const Tensor *want, const Tensor *got, int64_t at, double error, double tolerance)
{
    int64_t index[MAX_RANK], rest = at;
    Text    t = { 0 };
    for (int i = want->rank - 1; i >= 0; i--) {
        index[i] = rest % (want->shape[i] ? want->shape[i] : 1);
        rest /= want->shape[i] ? want->shape[i] : 1;
    }
    text_add(&t, want->rank ? "element [" : "it");
    for (int i = 0; i < want->rank; i++)
        text_addf(&t, "%s%lld", i ? ", " : "", (long long)index[i]);
    double unit = distance_unit(want, at);
    text_addf(&t, "%s is %.9g, expected %.9g", want->rank ? "]" : "", tensor_get(got, at), tensor_get(want, at));
    if (isfinite(error))
        text_addf(&t, ": off by %.3g, tolerance %.3g", error * unit, tolerance * unit);
    else
        text_add(&t, tolerance > 0 ? ": one of them is not a number" : ": a copy should be the same");
    snprintf(f->what, sizeof f->what, "%s", t.at);
    text_free(&t);
}

/* ---- gradients ---- */

static const Step *step_of(const Model *m, const Graph *g)
{
    for (uint32_t i = 0; i < m->steps.n; i++)
        if (m->steps.at[i].graph == g)
            return &m->steps.at[i];
    return NULL;
}

static bool check_gradients(const BisectJob *job, Finding *f, Text *out, Status *st)
{
    const Step *step = step_of(job->s->model, job->g);
    for (uint32_t i = 0; step && i < step->minimized.n && !f->found; i++) {
        const Minimized *m = &step->minimized.at[i];
        double           along = 0, differences = 0;
        bool             holds = false;
        if (!gradient_holds(job->s, job->g, m, job->inputs, &job->rs, &along, &differences, &holds, st))
            return false;
        text_addf(out, "gradients  of %s along a direction: %.9g, by differences %.9g\n", job->s->model->nets.at[m->net].name, along, differences);
        if (holds)
            continue;
        f->found = true;
        finding_at(f, job->g, m->loss, "gradients");
        char where[256];
        snprintf(f->place, sizeof f->place, "%s", place_text(job->g, m->loc, where, sizeof where));
        snprintf(f->what, sizeof f->what, "the derivative of this loss along a direction is %.9g, expected %.9g by differences", along, differences);
    }
    return true;
}

/* ---- simplify ---- */

static uint32_t results_of(const Graph *g, Ref **want)
{
    uint32_t n = 0;
    *want = xmalloc((g->outputs.n + g->reports.n + g->writes.n + 1) * sizeof **want);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        (*want)[n++] = g->outputs.at[i].value;
    for (uint32_t i = 0; i < g->reports.n; i++)
        (*want)[n++] = g->reports.at[i].value;
    for (uint32_t i = 0; i < g->writes.n; i++)
        (*want)[n++] = g->writes.at[i].value;
    return n;
}

static bool interpret_results(const BisectJob *job, const Graph *g, Tensor **got, uint32_t *n, Status *st)
{
    Ref *want;
    *n = results_of(g, &want);
    *got = xmalloc((*n + 1) * sizeof **got);
    bool ok = interpret(g, job->inputs, job->s->vars, &job->rs, want, *n, *got, st);
    free(want);
    return ok;
}

static void free_tensors(Tensor *t, uint32_t n)
{
    for (uint32_t i = 0; t && i < n; i++)
        tensor_free(&t[i]);
    free(t);
}

/* Simplifies g, which is used up, and compares its results with want: the first that differs, -1: none does, -2: it cannot be run. */
static int64_t first_different(const BisectJob *job, Graph *g, Passes off, const Tensor *want, Finding *f, uint32_t *nodes, Status *st)
{
    Tensor  *got = NULL;
    uint32_t n = 0;
    int64_t  which = -1;
    (job->simplify ? job->simplify : simplify_without)(g, off);
    if (nodes)
        *nodes = g->nodes.n - 1;
    if (!interpret_results(job, g, &got, &n, st))
        which = -2;
    for (uint32_t i = 0; i < n && which == -1; i++) {
        int64_t at = 0;
        double  off_by = distance(&want[i], &got[i], &at);
        if (off_by <= EXACT)
            continue;
        which = i;
        if (f)
            finding_off(f, &want[i], &got[i], at, off_by, EXACT);
    }
    free_tensors(got, n);
    graph_free(g);
    return which;
}

/* A copy of g that gives out nodes[0..n). */
static Graph *giving(const BisectJob *job, const Ref *nodes, uint32_t n)
{
    Graph g = *job->g, *c;
    memset(&g.reports, 0, sizeof g.reports);
    memset(&g.writes, 0, sizeof g.writes);
    memset(&g.asserts, 0, sizeof g.asserts);
    memset(&g.outputs, 0, sizeof g.outputs);
    for (uint32_t i = 0; i < n; i++)
        vec_push(&g.outputs, ((GraphOutput){ .name = "node", .value = nodes[i] }));
    c = graph_clone(&g);
    vec_free(&g.outputs);
    return c;
}

/* The first node, in the order of the graph as written, whose value is another once simplified: among all given out together, or each by itself. */
static bool find_node(const BisectJob *job, Finding *f, Status *st)
{
    const Graph *g = job->g;
    Ref         *nodes = xmalloc((g->nodes.n + 1) * sizeof *nodes), *results;
    bool        *live = xmalloc(g->nodes.n + 1);
    uint32_t     n = 0, nresults = results_of(g, &results);
    for (uint32_t i = 0; i < nresults; i++)
        live[results[i]] = true;
    for (Ref r = g->nodes.n; r-- > 1;)
        for (int i = 0; live[r] && i < node(g, r)->nargs; i++)
            live[node_arg(g, r, i)] = true;
    for (Ref r = 1; r < g->nodes.n; r++)
        if (live[r] && op_info[node(g, r)->op].class != CLASS_LEAF)
            nodes[n++] = r;
    Tensor *want = xmalloc((n + 1) * sizeof *want);
    bool    ok = interpret(g, job->inputs, job->s->vars, &job->rs, nodes, n, want, st);
    int64_t which = ok ? first_different(job, giving(job, nodes, n), job->s->options.exec.off, want, f, NULL, st) : -2;
    for (uint32_t i = 0; i < n && which == -1; i++) {
        which = first_different(job, giving(job, &nodes[i], 1), job->s->options.exec.off, &want[i], f, NULL, st);
        which = which == 0 ? (int64_t)i : which;
    }
    if (which >= 0)
        finding_at(f, g, nodes[which], "simplify");
    free_tensors(want, n);
    free(nodes), free(results), free(live);
    return which != -2;
}

/* The first pass of a group that is on and without which `holds` says that all is well; NULL: none. */
static const char *pass_to_blame(const BisectJob *job, bool simplifying, bool (*holds)(void *ctx, Passes off), void *ctx)
{
    static const struct { const char *name; bool simplifying; } rows[] = {
#define PASS(name, group, text) { #name, #group[0] == 's' },
#include "../compiler/passes.def"
#undef PASS
    };
    Passes off = job->s->options.exec.off;
    for (int i = 0; i < PASS_COUNT; i++)
        if (rows[i].simplifying == simplifying && pass_on(off, (PassName)i) && holds(ctx, off | pass_bit((PassName)i)))
            return rows[i].name;
    return NULL;
}

typedef struct { const BisectJob *job; const Tensor *want; } Simplified;

static bool simplify_holds(void *ctx, Passes off)
{
    const Simplified *s = ctx;
    Status            st = { 0 };
    return first_different(s->job, graph_clone(s->job->g), off, s->want, NULL, NULL, &st) == -1;
}

static bool check_simplify(const BisectJob *job, Finding *f, Text *out, Status *st)
{
    Tensor  *want = NULL;
    uint32_t n = 0, after = 0;
    Graph   *c = graph_clone(job->g);
    dce(c);
    uint32_t before = c->nodes.n - 1;
    graph_free(c);
    if (!interpret_results(job, job->g, &want, &n, st)) {
        free_tensors(want, n);
        return false;
    }
    int64_t which = first_different(job, graph_clone(job->g), job->s->options.exec.off, want, f, &after, st);
    bool    ok = which != -2;
    text_addf(out, "simplify   %u nodes became %u: %s\n", before, after, which == -1 ? "the same results" : "another result");
    if (which >= 0) {
        Ref *results;
        results_of(job->g, &results);
        f->found = true;
        finding_at(f, job->g, results[which], "simplify");
        free(results);
        ok = find_node(job, f, st);
        f->pass = pass_to_blame(job, true, simplify_holds, &(Simplified){ job, want });
    }
    free_tensors(want, n);
    return ok;
}

/* ---- kernels ---- */

/* One native pass, watched by o. */
static bool run_watched(const BisectJob *job, Passes off, int threads, Observer *o, uint32_t *kernels, Status *st)
{
    const Model *m = job->s->model;
    ExecOptions  options = job->s->options.exec;
    uint32_t     nout = job->g->outputs.n, nrep = job->g->reports.n;
    Tensor      *vars = xmalloc((m->vars.n + 1) * sizeof *vars), *out = xmalloc((nout + nrep + 1) * sizeof *out);
    bool         ok = true;
    options.off = off;
    options.threads = threads;
    for (uint32_t i = 0; i < m->vars.n && ok; i++)
        if (job->s->vars[i].data)
            ok = tensor_copy(&vars[i], &job->s->vars[i], job->s->vars[i].dtype, st);
    o->job = job;
    o->vars = job->s->vars;
    o->st = st;
    Program *p = ok ? program_new_for(m, job->g, &options, job->inputs, st) : NULL;
    if (p)
        program_watch(p, observe, o);
    ok = p && program_run(p, job->inputs, vars, &job->rs, out, out + nout, st) && !st->failed;
    if (ok && kernels)
        *kernels = program_facts(p).kernels;
    program_free(p);
    for (uint32_t i = 0; i < m->vars.n; i++)
        tensor_free(&vars[i]);
    for (uint32_t i = 0; i < nout + nrep; i++)
        tensor_free(&out[i]);
    free(vars);
    free(out);
    free(o->made);
    o->made = NULL;
    return ok;
}

static bool kernels_hold(void *ctx, Passes off)
{
    const BisectJob *job = ctx;
    Finding          f = { 0 };
    Status           st = { 0 };
    Observer         o = { .compare = true, .f = &f };
    bool             ok = run_watched(job, off | pass_bit(PASS_reuse), job->s->options.exec.threads, &o, NULL, &st);
    free(o.bits);
    return ok && !f.found;
}

/* apart: what the pass in which no memory is used twice has computed. */
static bool check_kernels(const BisectJob *job, Observer *apart, Finding *f, Text *out, Status *st)
{
    uint32_t kernels = 0;
    *apart = (Observer){ .compare = true, .f = f };
    if (!run_watched(job, job->s->options.exec.off | pass_bit(PASS_reuse), job->s->options.exec.threads, apart, &kernels, st))
        return false;
    text_addf(out, "kernels    %u kernels: %u results looked at, %s\n", kernels, apart->checked,
              f->found ? "the last is off" : "all within the interpreter's tolerance");
    f->checked = apart->checked;
    if (f->found)
        f->pass = pass_to_blame(job, false, kernels_hold, (void *)job);
    return true;
}

/* ---- threads and memory ---- */

static bool check_bits(const BisectJob *job, const Observer *apart, Finding *f, Text *out, Status *st)
{
    int      asked = job->s->options.exec.threads, threads = asked > 0 ? asked : omp_get_max_threads();
    Observer reused = { .f = f, .same = apart, .stage = "memory" };
    bool     ok = run_watched(job, job->s->options.exec.off, asked, &reused, NULL, st);
    free(reused.bits);
    if (ok && !f->found && threads > 1) {
        Observer one = { .f = f, .same = apart, .stage = "threads" };
        ok = run_watched(job, job->s->options.exec.off | pass_bit(PASS_reuse), 1, &one, NULL, st);
        free(one.bits);
    }
    if (!ok)
        return false;
    if (f->found)
        snprintf(f->what, sizeof f->what, strcmp(f->stage, "memory") ? "it has other bits on 1 thread than on %d" : "it has other bits when memory is used again (%d threads)",
                 threads);
    if (f->found && !strcmp(f->stage, "memory"))
        f->pass = pass_name(PASS_reuse);
    if (!f->found && threads > 1)
        text_addf(out, "bits       the same on 1 and %d threads, and when memory is used again\n", threads);
    else if (!f->found)
        text_add(out, "bits       the same when memory is used again\n");
    return true;
}

bool bisect(const BisectJob *job, Finding *f, Text *out, Status *st)
{
    Observer apart = { 0 };
    *f = (Finding){ 0 };
    if (!job->g->sources)
        job->g->sources = job->s->model->sources;
    bool ok = check_gradients(job, f, out, st) && (f->found || check_simplify(job, f, out, st)) && (f->found || check_kernels(job, &apart, f, out, st)) &&
              (f->found || check_bits(job, &apart, f, out, st));
    free(apart.bits);
    return ok;
}
