/* tune.c - block sizes by measuring: all contractions of a program at once, one candidate of each a round.
 *
 *   estimate --tiles, best estimates first--> best --chunks--> best --unrolling--> best            a round: compile, check, some passes, least time a kernel
 *
 * A candidate changes no sum's order, and that is not believed: after the first pass of a round every result and variable must be the estimate's, bit for bit, else all
 * candidates of the round are refused. One that is to be kept must also agree with the interpreter on a small problem of its kind (tune_check.c).
 * Time is processor time of the thread that had most to do in a kernel: neither other processes nor waiting for threads that have no core show.
 */
#include "tune.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "profile.h"
#include "program.h"
#include "tune_check.h"

enum { PASSES = 3, MOST_PASSES = 20, MOST_TILES = 12, STAGES = 3, TURNS = 3 };

typedef struct { int want[KNOBS]; double score; } Candidate;

typedef struct {
    ContractPlan plan;             /* estimated; its graph is that of the base program */
    int          stage;
    Vec(Candidate) queue;          /* of the stage; taken from the front */
    uint32_t     next;
} Search;

typedef struct {
    const Model       *m;
    Graph             *g;
    ExecOptions        o;
    const Tensor      *inputs, *vars;
    TuneReport        *report;
    Vec(Search)        search;     /* by spot */
    Program           *base;
    Tensor            *outputs, *after, *work;     /* the estimate's results; variables after its first pass; variables to run on */
    Status            *st;
} Tune;

static const RunState first_pass = { .runtime = { [RT_EPOCH_STEPS] = 1 } };

/* ---- running ---- */

static uint32_t results_of(const Tune *t) { return t->g->outputs.n + t->g->reports.n; }

static bool fresh_vars(Tune *t)
{
    for (uint32_t i = 0; i < t->m->vars.n; i++)
        if (t->vars[i].data && !tensor_copy(&t->work[i], &t->vars[i], t->vars[i].dtype, t->st))
            return false;
    return true;
}

static void free_tensors(Tensor *v, uint32_t n)
{
    for (uint32_t i = 0; v && i < n; i++)
        tensor_free(&v[i]);
}

static bool run(Tune *t, Program *p, Tensor *results) { return program_run(p, t->inputs, t->work, &first_pass, results, results + t->g->outputs.n, t->st); }

/* Kernel times in microseconds by spot: the least of some passes. */
static bool measure(Tune *t, Program *p, double *us)
{
    const Fusion *f = program_fusion(p);
    double       *least = xmalloc((f->kernels.n + 1) * sizeof *least);
    Tensor       *results = xmalloc((results_of(t) + 1) * sizeof *results);
    bool          ok = true;
    double        start = clock_seconds();
    for (int i = 0; ok && i < MOST_PASSES && (i < PASSES || clock_seconds() - start < 0.05); i++) {
        program_measure(p, false);
        ok = run(t, p, results);
        free_tensors(results, results_of(t));
        for (uint32_t k = 0; ok && k < f->kernels.n; k++) {
            double s = profile_busiest(program_profiled(p), k);
            least[k] = i == 0 || s < least[k] ? s : least[k];
        }
    }
    for (uint32_t i = 0; i < t->report->spots.n; i++)
        us[i] = 0;
    for (uint32_t k = 0; ok && k < f->kernels.n; k++) {
        const Fused *fused = f->kernels.at[k];
        char        *key = fused->contract ? tune_key(&fused->plan) : NULL;
        for (uint32_t i = 0; key && i < t->report->spots.n; i++)
            if (!strcmp(key, t->report->spots.at[i].key))
                us[i] += least[k] * 1e6;
        free(key);
    }
    free(least);
    free(results);
    return ok;
}

static bool same_bits(const Tensor *a, const Tensor *b)
{
    return tensor_count(a) == tensor_count(b) && a->dtype == b->dtype && (!a->data || !memcmp(a->data, b->data, (size_t)tensor_count(a) * dtype_size(a->dtype)));
}

/* A pass from the first variables; *same: its results are the estimate's. */
static bool check_results(Tune *t, Program *p, bool *same)
{
    Tensor *results = xmalloc((results_of(t) + 1) * sizeof *results);
    bool    ok = fresh_vars(t) && run(t, p, results);
    *same = ok;
    for (uint32_t i = 0; ok && i < results_of(t); i++)
        *same &= same_bits(&results[i], &t->outputs[i]);
    for (uint32_t i = 0; ok && i < t->m->vars.n; i++)
        *same &= same_bits(&t->work[i], &t->after[i]);
    if (ok)
        free_tensors(results, results_of(t));
    free(results);
    return ok;
}

/* ---- candidates ---- */

static int by_score(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    return x->score < y->score ? 1 : x->score > y->score ? -1 : memcmp(x->want, y->want, sizeof x->want);
}

/* Adds `want` over the best so far, if it fits and is something else. */
static void propose(Tune *t, uint32_t spot, const int *want)
{
    Search      *s = &t->search.at[spot];
    Graph       *g = program_fusion(t->base)->g;
    ContractPlan p = s->plan, best = s->plan;
    Candidate    c;
    char         why[160];
    bool         new = false;
    memcpy(c.want, t->report->spots.at[spot].best, sizeof c.want);
    contract_set_block(g, &best, c.want, why, sizeof why);
    for (int k = 0; k < KNOBS; k++)
        if (want[k])
            c.want[k] = want[k];
    if (!contract_set_block(g, &p, c.want, why, sizeof why))
        return;
    for (int k = 0; k < KNOBS; k++)
        new |= contract_knob(&p, k) != contract_knob(&best, k);
    c.score = contract_estimate(&p);
    if (new)
        vec_push(&s->queue, c);
}

static void propose_tiles(Tune *t, uint32_t spot)
{
    const ContractPlan *p = &t->search.at[spot].plan;
    int                 most[4];
    static const int    knobs[4] = { KNOB_VECTORS, KNOB_IMAGES, KNOB_ROWS, KNOB_COLS }, limit[4] = { 8, 16, 30, 30 };
    for (int i = 0; i < 4; i++)
        most[i] = contract_knob(p, knobs[i]) ? limit[i] : 0;
    for (int v = most[0] > 0; v <= most[0]; v++)
        for (int n = most[1] > 0; n <= most[1]; n++)
            for (int r = most[2] > 0; r <= most[2]; r++)
                for (int c = most[3] > 0; c <= most[3]; c++) {
                    int pixels = (n ? n : 1) * (r ? r : 1) * (c ? c : 1), want[KNOBS] = { [KNOB_VECTORS] = v, [KNOB_IMAGES] = n, [KNOB_ROWS] = r, [KNOB_COLS] = c };
                    if (pixels * (v ? v : 1) <= 30)
                        propose(t, spot, want);
                }
}

static void fill_queue(Tune *t, uint32_t spot)
{
    static const double factors[] = { 0.25, 0.5, 2, 3, 4 };
    static const int    unrolls[] = { 1, 2, 4, 8, 16 };
    Search             *s = &t->search.at[spot];
    int                 chunk = t->report->spots.at[spot].best[KNOB_CHUNK];
    s->queue.n = s->next = 0;
    if (!chunk)
        chunk = contract_knob(&s->plan, KNOB_CHUNK);
    if (s->stage == 0)
        propose_tiles(t, spot);
    for (size_t i = 0; s->stage == 1 && chunk && i < COUNT(factors); i++)
        propose(t, spot, (int[KNOBS]){ [KNOB_CHUNK] = (int)(chunk * factors[i]) });
    for (size_t i = 0; s->stage == 2 && contract_knob(&s->plan, KNOB_UNROLL) && i < COUNT(unrolls); i++)
        propose(t, spot, (int[KNOBS]){ [KNOB_UNROLL] = unrolls[i] });
    if (s->stage == 0 && s->queue.n)
        qsort(s->queue.at, s->queue.n, sizeof *s->queue.at, by_score);
    if (s->queue.n > MOST_TILES)
        s->queue.n = MOST_TILES;
    s->stage++;
}

/* The spot's next candidate, or NULL. */
static const Candidate *next_candidate(Tune *t, uint32_t spot)
{
    Search *s = &t->search.at[spot];
    while (s->next == s->queue.n && s->stage < STAGES)
        fill_queue(t, spot);
    return s->next < s->queue.n ? &s->queue.at[s->next++] : NULL;
}

/* ---- a round ---- */

static bool any_knob(const int *want)
{
    for (int k = 0; k < KNOBS; k++)
        if (want[k])
            return true;
    return false;
}

static void judge(Tune *t, uint32_t spot, const Candidate *c, bool same, double us)
{
    TuneSpot *s = &t->report->spots.at[spot];
    s->tried++;
    if (!same) {
        s->refused++;
        return;
    }
    if (us <= 0 || us >= 0.98 * s->best_us)        /* less is noise */
        return;
    if (!tune_check(&t->search.at[spot].plan, c->want, &t->o)) {
        s->refused++;
        return;
    }
    memcpy(s->best, c->want, sizeof s->best);
    s->best_us = us;
}

/* false: nothing is left to try, or *ok is false after a failure. */
static bool round_once(Tune *t, bool *ok)
{
    uint32_t    n = t->report->spots.n;
    Candidate  *now = xmalloc((n + 1) * sizeof *now);
    bool       *asked = xmalloc(n + 1), any = false, same = false;
    double     *us = xmalloc((n + 1) * sizeof *us);
    TuneDb     *db = tune_db_new();
    ExecOptions o = t->o;
    for (uint32_t i = 0; i < n; i++) {
        const Candidate *c = next_candidate(t, i);
        t->report->spots.at[i].finished = !c;
        asked[i] = c != NULL;
        any |= asked[i];
        if (c)
            now[i] = *c;
        if (c || any_knob(t->report->spots.at[i].best))
            tune_db_set(db, t->report->spots.at[i].key, c ? c->want : t->report->spots.at[i].best, 0, 0);
    }
    o.tuned = db;
    Program *p = any ? program_new_for(t->m, t->g, &o, t->inputs, t->st) : NULL;
    if (any)
        *ok = p && check_results(t, p, &same) && measure(t, p, us);
    for (uint32_t i = 0; p && *ok && i < n; i++)
        if (asked[i])
            judge(t, i, &now[i], same, us[i]);
    t->report->rounds += any;
    program_free(p);
    tune_db_free(db);
    free(now);
    free(asked);
    free(us);
    return any && *ok;
}

/* ---- the whole ---- */

static void find_spots(Tune *t)
{
    const Fusion *f = program_fusion(t->base);
    for (uint32_t k = 0; k < f->kernels.n; k++) {
        const Fused *fused = f->kernels.at[k];
        uint32_t     at = 0;
        bool         has = false;
        if (fused->kind != FUSED_CONTRACT || node_hint(f->g, fused->contract, HINT_BLOCK))
            continue;
        for (int i = 0; i < KNOBS; i++)
            has |= contract_knob(&fused->plan, i) > 0;
        char *key = tune_key(&fused->plan);
        while (at < t->report->spots.n && strcmp(t->report->spots.at[at].key, key))
            at++;
        if (has && at == t->report->spots.n) {
            TuneSpot s = { .key = xstrdup(key) };
            Search   search = { .plan = *f->plans[fused->contract] };
            Text     places = { 0 };
            for (int i = 0; i < KNOBS; i++)
                s.estimated[i] = contract_knob(&fused->plan, i);
            kernel_places(f, fused, 3, &places);
            s.places = places.at ? places.at : xstrdup("");
            vec_push(&t->report->spots, s);
            vec_push(&t->search, search);
        }
        if (has)
            t->report->spots.at[at].kernels++;
        free(key);
    }
}

/* What was found against the estimates, in turn, so that both see the same machine; what does not hold is given up. */
static bool compare_in_turn(Tune *t)
{
    uint32_t    n = t->report->spots.n;
    double     *a = xmalloc((n + 1) * sizeof *a), *b = xmalloc((n + 1) * sizeof *b), *us = xmalloc((n + 1) * sizeof *us);
    TuneDb     *db = tune_db_new();
    ExecOptions o = t->o;
    bool        ok = true, same = false;
    for (uint32_t i = 0; i < n; i++)
        if (any_knob(t->report->spots.at[i].best))
            tune_db_set(db, t->report->spots.at[i].key, t->report->spots.at[i].best, 0, 0);
    o.tuned = db;
    Program *best = program_new_for(t->m, t->g, &o, t->inputs, t->st);
    ok = best && check_results(t, best, &same);
    if (ok && !same)
        ok = status_fail(t->st, "the block sizes that were found do not give the same results together: nothing is kept");
    for (int turn = 0; turn < TURNS && ok; turn++) {
        ok = measure(t, t->base, us);
        for (uint32_t i = 0; i < n; i++)
            a[i] = turn == 0 || us[i] < a[i] ? us[i] : a[i];
        ok = ok && measure(t, best, us);
        for (uint32_t i = 0; i < n; i++)
            b[i] = turn == 0 || us[i] < b[i] ? us[i] : b[i];
    }
    for (uint32_t i = 0; i < n && ok; i++) {
        TuneSpot *s = &t->report->spots.at[i];
        s->estimated_us = a[i];
        if (b[i] >= a[i])
            memset(s->best, 0, sizeof s->best);
        s->best_us = any_knob(s->best) ? b[i] : a[i];
        t->report->before_us += a[i];
        t->report->after_us += s->best_us;
    }
    program_free(best);
    tune_db_free(db);
    free(a);
    free(b);
    free(us);
    return ok;
}

static bool search(Tune *t, double seconds)
{
    double start = clock_seconds();
    double *us = xmalloc((t->report->spots.n + 1) * sizeof *us);
    bool    ok = fresh_vars(t) && run(t, t->base, t->outputs);
    for (uint32_t i = 0; ok && i < t->m->vars.n; i++)
        ok = !t->work[i].data || tensor_copy(&t->after[i], &t->work[i], t->work[i].dtype, t->st);
    double from = clock_seconds();
    ok = ok && measure(t, t->base, us);
    double last = (2 * TURNS + 1) * (clock_seconds() - from);      /* what the comparison at the end takes */
    for (uint32_t i = 0; i < t->report->spots.n && ok; i++)
        t->report->spots.at[i].best_us = t->report->spots.at[i].estimated_us = us[i];
    for (double round = 0, now = clock_seconds(); ok && (!t->report->rounds || now - start + round + last < seconds) && round_once(t, &ok);) {
        round = clock_seconds() - now;
        now += round;
    }
    free(us);
    return ok && compare_in_turn(t);
}

bool tune_program(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, const Tensor *vars, double seconds, TuneReport *report, Status *st)
{
    TuneDb *none = tune_db_new();
    Tune    t = { .m = m, .g = g, .o = *o, .inputs = inputs, .vars = vars, .report = report, .st = st };
    memset(report, 0, sizeof *report);
    t.o.tuned = none;
    t.outputs = xmalloc((results_of(&t) + 1) * sizeof *t.outputs);
    t.after = xmalloc((m->vars.n + 1) * sizeof *t.after);
    t.work = xmalloc((m->vars.n + 1) * sizeof *t.work);
    t.base = program_new_for(m, g, &t.o, inputs, st);
    bool ok = t.base && (program_fusion(t.base) || status_fail(st, "the reference backend has no kernels to tune"));
    if (ok)
        find_spots(&t);
    ok = ok && search(&t, seconds);
    program_free(t.base);
    free_tensors(t.outputs, results_of(&t));
    free_tensors(t.after, m->vars.n);
    free_tensors(t.work, m->vars.n);
    free(t.outputs);
    free(t.after);
    free(t.work);
    for (uint32_t i = 0; i < t.search.n; i++)
        vec_free(&t.search.at[i].queue);
    vec_free(&t.search);
    tune_db_free(none);
    if (!ok)
        tune_report_free(report);
    return ok;
}

void tune_report_free(TuneReport *r)
{
    for (uint32_t i = 0; i < r->spots.n; i++) {
        free(r->spots.at[i].key);
        free(r->spots.at[i].places);
    }
    vec_free(&r->spots);
}
