/* test_parity.c - models beside PyTorch: DCGAN, WGAN-GP, style transfer, pieces of the library (tests/parity/NAME.graph, with the numbers of
 * tests/fixtures/parity_NAME.safetensors), and files of graphs/models as they are, at small width: where they draw random numbers they are given the
 * fixture's (`normal.0`, `uniform.0`, ... in the order of a step's nodes), and the fixture says which consts are set and how far training has come.
 *
 * The reference backend starts from the fixture's weights and follows PyTorch float64 run after run: losses, reports, results, gradients and every variable.
 * In the first and the last round the simplified graph is interpreted too and gives the same.
 * Each run's state before, rounded to float32, is what the native backend starts from on every instruction set (under the sanitizers on one that the
 * fixture's name chooses): its losses are PyTorch's within
 * 1e-5 * max(1, |loss|), its gradients the reference's within 1e-4 relative norm (1e-3 for files of graphs/models, some of them with derivatives of
 * derivatives). How numbers are stored and made: tests/fixtures/make_parity.py, make_translation.py.
 *
 * A gradient that is zero but for rounding (the bias before a normalisation) has no relative accuracy: it is held against the norm of all gradients together.
 * Usage: test_parity [NAME...]   (ctest has an entry a fixture)
 */
#define _GNU_SOURCE
#include "check.h"
#include "native.h"
#include "safetensors.h"
#include "session.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 8, MAX_INPUTS = 16, MAX_SETS = 16, MAX_ISAS = 3, SAMPLES = 256, WHOLE = 1024 };
static const double EXACT = 1e-9, LOSS = 1e-5, GRADIENT = 1e-4, SECOND = 1e-3, UPDATE = 1e-2, SIGNS = 5e-2, ZERO = 1e-9;    /* ZERO: of all gradients together, rounding and nothing else */
static const char *const isas[MAX_ISAS] = { "baseline", "avx2", "avx512" };

/* Outputs of a step's graph: its own, then for each minimize its loss and the gradients of its parameters. */
typedef struct { const char *name; Graph *graph, *simple; uint32_t own, all; } Part;

typedef struct {
    const char *name;
    char        path[512], sets[512];
    const char *set[MAX_SETS + 1];
    RunState    run;
    double      gradient, update;  /* how far a native gradient and a native update of weights may be from the reference's, of their norms */
    SafeFile   *fixture;
    bool       *used;              /* one a tensor of the fixture */
    Session     s, simple;         /* reference; the same file again, its graphs simplified in place */
    Part        parts[MAX_STEPS];
    uint32_t    nparts, runs;
    Program    *reference[MAX_STEPS], *native[MAX_ISAS][MAX_STEPS];
    bool        there[MAX_ISAS];
    double      exact;             /* largest differences seen */
    double      largest_loss[MAX_ISAS], largest_grad[MAX_ISAS], largest_update[MAX_ISAS];
    char        worst_grad[MAX_ISAS][200];
} Parity;

/* ---- what both sides can make ---- */

static uint32_t hash32(uint32_t i, uint32_t seed)
{
    uint32_t h = i * 0x9E3779B1u + seed * 0x85EBCA77u;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    return h ^ h >> 15;
}

static uint32_t fnv(const char *s)
{
    uint32_t h = 2166136261u;
    while (*s)
        h = (h ^ (uint8_t)*s++) * 16777619u;
    return h;
}

/* norm and three projections */
static void digest(const Tensor *t, double out[4])
{
    double sum = 0;
    out[1] = out[2] = out[3] = 0;
    for (int64_t i = 0; i < tensor_count(t); i++) {
        double x = tensor_get(t, i);
        sum += x * x;
        for (uint32_t j = 1; j <= 3; j++)
            out[j] += x * ((double)(hash32((uint32_t)i, j) >> 22) / 512 - 1);
    }
    out[0] = sqrt(sum);
}

/* ---- the fixture ---- */

/* The tensor called PREFIX.A or PREFIX.A.B, if the fixture has it. */
static bool find(Parity *p, const char *prefix, const char *a, const char *b, Tensor *t)
{
    char   name[512];
    Status st = { 0 };
    snprintf(name, sizeof name, "%s%s%s%s%s", prefix, a ? "." : "", a ? a : "", b ? "." : "", b ? b : "");
    const SafeTensor *s = safe_find(p->fixture, name);
    *t = (Tensor){ 0 };
    if (!s)
        return false;
    p->used[s - p->fixture->tensors] = true;
    bool ok = safe_read(p->fixture, s, t, &st);
    CHECK(ok, "%s", st.message);
    return ok;
}

static void compare_number(Parity *p, const char *what, const char *name, uint32_t run, double got, double want, double scale)
{
    double d = fabs(got - want) / fmax(1, scale);
    p->exact = d <= p->exact ? p->exact : d;
    CHECK(d <= EXACT, "%s run %u, %s %s: %.17g, PyTorch has %.17g", p->name, run, what, name, got, want);
}

/* Row `row` of the fixture's digests against a tensor. */
static bool compare_digest(Parity *p, const char *what, const char *step, const char *name, uint32_t row, uint32_t run, const Tensor *t)
{
    Tensor want;
    double got[4];
    if (!find(p, what, step, name, &want))
        return false;
    CHECK(want.rank == 2 && want.shape[1] == 4 && row < want.shape[0], "%s %s: bad shape", what, name ? name : step);
    digest(t, got);
    for (int k = 0; k < 4; k++)
        compare_number(p, what, name ? name : step, run, got[k], tensor_get(&want, row * 4 + k), tensor_get(&want, row * 4));
    tensor_free(&want);
    return true;
}

/* ---- setting up ---- */

static bool open_session(const Parity *p, Session *s)
{
    Status         st = { 0 };
    Text           text = { 0 };
    SessionOptions o = { .exec = { .backend = BACKEND_REFERENCE }, .set = p->set };
    bool           ok = session_open(s, p->path, &o, &st) && session_make_vars(s, &st);
    diags_print(&s->diags, &text);
    CHECK(ok, "%s: %s\n%s", p->path, st.message, text.n ? text.at : "");
    text_free(&text);
    return ok;
}

/* What the fixture's own words say: the file (the one in tests/parity unless said), its consts, the time of training. */
static void read_words(Parity *p)
{
    const char *file = safe_meta(p->fixture, "file"), *sets = safe_meta(p->fixture, "set"), *progress = safe_meta(p->fixture, "progress");
    char       *rest = NULL;
    uint32_t    n = 0;
    if (file)
        snprintf(p->path, sizeof p->path, SOURCE_DIR "/%s", file);
    else
        snprintf(p->path, sizeof p->path, SOURCE_DIR "/tests/parity/%s.graph", p->name);
    p->gradient = file ? SECOND : GRADIENT;
    p->update = file ? SIGNS : UPDATE;
    snprintf(p->sets, sizeof p->sets, "%s", sets ? sets : "");
    for (char *word = strtok_r(p->sets, " ", &rest); word && n < MAX_SETS; word = strtok_r(NULL, " ", &rest))
        p->set[n++] = word;
    p->run = (RunState){ .check_finite = true, .runtime = { [RT_PROGRESS] = progress ? strtod(progress, NULL) : 0, [RT_EPOCH_STEPS] = 1 } };
}

/* Numbers that the graph would draw become inputs. */
static void take_randoms(Graph *g)
{
    uint32_t drawn[2] = { 0 };
    for (Ref r = 1; r < g->nodes.n; r++) {
        Node      *n = &g->nodes.at[r];
        GraphInput in = { .kind = IN_TENSOR, .dtype = n->dtype, .rank = n->rank, .loc = n->loc };
        char       name[32];
        bool       uniform = n->op == OP_uniform;
        if ((!uniform && n->op != OP_normal) || node_attrs(g, r)[1])
            continue;
        snprintf(name, sizeof name, "%s.%u", op_info[n->op].name, drawn[uniform]++);
        in.name = intern(name);
        memcpy(in.shape, node_shape(g, r), n->rank * sizeof(Dim));
        n->op = OP_input;
        n->nattrs = 1;
        n->attrs = g->attr_pool.n;
        vec_push(&g->attr_pool, g->inputs.n);
        vec_push(&g->inputs, in);
    }
}

/* Weights of the fixture's formulas; a variable without one keeps the file's initial value, but a parameter must have one. */
static void set_weights(Parity *p)
{
    for (uint32_t i = 0; i < p->s.model->vars.n; i++) {
        const Var *v = &p->s.model->vars.at[i];
        Tensor     row, *t = &p->s.vars[i];
        char       base[256] = "";
        int32_t    follows = v->kind == VAR_EMA ? p->s.model->nets.at[v->net].ema_of : -1;
        if (follows >= 0)                                       /* an average starts as what it follows */
            snprintf(base, sizeof base, "%s%s", p->s.model->nets.at[follows].name, v->name + strlen(p->s.model->nets.at[v->net].name));
        if (!find(p, "init", *base ? base : v->name, NULL, &row)) {
            CHECK(v->kind != VAR_PARAM, "%s: the fixture has no weights for '%s'", p->name, v->name);
            continue;
        }
        for (int64_t k = 0; k < tensor_count(t); k++)
            tensor_set(t, k, tensor_get(&row, 0) + tensor_get(&row, 1) * (double)(hash32((uint32_t)k, fnv(*base ? base : v->name)) >> 16));
        tensor_free(&row);
    }
}

/* The graph of a step or export; losses and gradients of a step become outputs of it. own: outputs it had before. */
static Graph *find_graph(const Model *m, const char *name, uint32_t *own)
{
    for (uint32_t i = 0; i < m->exports.n; i++)
        if (!strcmp(m->exports.at[i].name, name)) {
            *own = m->exports.at[i].graph->outputs.n;
            return m->exports.at[i].graph;
        }
    for (uint32_t i = 0; i < m->steps.n; i++) {
        const Step *s = &m->steps.at[i];
        if (strcmp(s->name, name))
            continue;
        *own = s->graph->outputs.n;
        for (uint32_t j = 0; j < s->minimized.n; j++) {
            const Minimized *z = &s->minimized.at[j];
            vec_push(&s->graph->outputs, ((GraphOutput){ .name = "loss", .value = z->loss }));
            for (uint32_t k = 0; k < z->n; k++)
                vec_push(&s->graph->outputs, ((GraphOutput){ .name = m->vars.at[z->vars[k]].name, .value = z->grads[k] }));
        }
        return s->graph;
    }
    return NULL;
}

static bool add_part(Parity *p, const char *name)
{
    Part *part = &p->parts[p->nparts++];
    *part = (Part){ .name = intern(name) };
    part->graph = find_graph(p->s.model, name, &part->own);
    part->simple = find_graph(p->simple.model, name, &part->own);
    CHECK(part->graph && part->simple, "%s has no step or export '%s'", p->path, name);
    if (!part->graph || !part->simple)
        return false;
    part->all = part->graph->outputs.n;
    take_randoms(part->graph);
    take_randoms(part->simple);
    simplify(part->simple);
    return true;
}

/* false: this build has no native backend */
static bool make_programs(Parity *p)
{
    bool native = true;
    for (uint32_t i = 0; i < p->nparts; i++) {
        Status      st = { 0 };
        ExecOptions o = { .backend = BACKEND_REFERENCE };
        p->reference[i] = program_new(p->s.model, p->parts[i].graph, &o, &st);
        CHECK(p->reference[i], "%s: %s", p->path, st.message);
    }
    for (int k = 0; k < MAX_ISAS && native; k++) {
        Target t;
        Status st = { 0 };
        p->there[k] = target_detect(isas[k], &t, &st) && !left_out((long long)fnv(p->name) + k, MAX_ISAS);
        if (st.failed)
            printf("skipped: %s\n", st.message);
        for (uint32_t i = 0; i < p->nparts && p->there[k]; i++) {
            ExecOptions o = { .backend = BACKEND_NATIVE, .cpu = isas[k] };
            p->native[k][i] = program_new(p->s.model, p->parts[i].graph, &o, &st);
            if (!p->native[k][i] && strstr(st.message, "not part of this build"))
                native = p->there[k] = false;
            else
                CHECK(p->native[k][i], "%s %s: %s", p->path, isas[k], st.message);
        }
    }
    return native;
}

static void make_inputs(Parity *p, const Part *part, uint32_t seed, Tensor *inputs)
{
    const Graph *g = part->graph;
    CHECK(g->inputs.n <= MAX_INPUTS, "%s has too many inputs", part->name);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        Tensor  row;
        Status  st = { 0 };
        int64_t shape[MAX_RANK] = { 0 };
        bool    ok = find(p, "input", part->name, g->inputs.at[i].name, &row);
        CHECK(ok && tensor_count(&row) == 3 + g->inputs.at[i].rank, "%s: the fixture does not say what '%s' is", part->name, g->inputs.at[i].name);
        for (int k = 0; ok && k < g->inputs.at[i].rank; k++)
            shape[k] = (int64_t)tensor_get(&row, 3 + k);
        ok = ok && tensor_alloc(&inputs[i], g->inputs.at[i].dtype, g->inputs.at[i].rank, shape, &st);
        CHECK(ok, "%s", st.message);
        for (int64_t e = 0; ok && e < tensor_count(&inputs[i]); e++) {
            uint32_t k = (hash32((uint32_t)e, fnv(g->inputs.at[i].name) + seed) >> 22) % (uint32_t)tensor_get(&row, 2);
            tensor_set(&inputs[i], e, tensor_get(&row, 0) + tensor_get(&row, 1) * k);
        }
        tensor_free(&row);
    }
}

/* ---- the reference against PyTorch ---- */

static void free_tensors(Tensor *t, uint32_t n)
{
    for (uint32_t i = 0; t && i < n; i++)
        tensor_free(&t[i]);
    free(t);
}

static void compare_reference(Parity *p, const Part *part, uint32_t run, const Tensor *outputs, const Tensor *reports)
{
    uint32_t round = run / p->nparts, loss = 0;
    for (uint32_t i = 0; i < part->graph->reports.n; i++) {
        Tensor want;
        const char *name = part->graph->reports.at[i].name;
        bool        ok = find(p, "report", part->name, name, &want);
        CHECK(ok, "%s: the fixture has no report '%s'", part->name, name);
        if (ok)
            compare_number(p, "report", name, run, tensor_get(&reports[i], 0), tensor_get(&want, round), fabs(tensor_get(&want, round)));
        tensor_free(&want);
    }
    for (uint32_t i = 0; i < part->all; i++) {
        const char *name = part->graph->outputs.at[i].name;
        if (i < part->own) {
            CHECK(compare_digest(p, "out", part->name, name, round, run, &outputs[i]), "%s: the fixture has no result '%s'", part->name, name);
        } else if (strcmp(name, "loss")) {
            CHECK(compare_digest(p, "grad", part->name, name, round, run, &outputs[i]), "%s: the fixture has no gradient of '%s'", part->name, name);
        } else {
            Tensor want;
            bool   ok = find(p, "loss", part->name, NULL, &want);
            CHECK(ok, "%s: the fixture has no loss", part->name);
            double got = tensor_get(&outputs[i], 0);
            if (ok)
                compare_number(p, "loss", part->name, run, got, tensor_get(&want, round * want.shape[1] + loss++), fabs(got));
            tensor_free(&want);
        }
    }
}

/* How often the steps write a variable, in all rounds. */
static double updates(const Parity *p, uint32_t var)
{
    double n = 0;
    for (uint32_t k = 0; k < p->nparts; k++)
        for (uint32_t i = 0; i < p->parts[k].graph->writes.n; i++)
            n += p->parts[k].graph->writes.at[i].var == var;
    return n * (p->runs / p->nparts);
}

/* Every variable after a run; an update counter against the number of its updates, which PyTorch keeps elsewhere. */
static void compare_state(Parity *p, uint32_t run)
{
    for (uint32_t i = 0; i < p->s.model->vars.n; i++) {
        const Var *v = &p->s.model->vars.at[i];
        if (compare_digest(p, "state", v->name, NULL, run, run, &p->s.vars[i]))
            continue;
        bool counter = v->kind == VAR_OPT && strstr(v->name, ".t."), frozen = v->net >= 0 && p->s.model->nets.at[v->net].frozen;
        CHECK(counter || frozen, "%s: the fixture has no '%s'", p->name, v->name);
        if (counter && run + 1 == p->runs)
            CHECK(tensor_get(&p->s.vars[i], 0) == updates(p, i), "%s counts %g updates", v->name, tensor_get(&p->s.vars[i], 0));
    }
}

static void compare_final(Parity *p)
{
    for (uint32_t i = 0; i < p->s.model->vars.n; i++) {
        Tensor  want, *t = &p->s.vars[i];
        int64_t n = tensor_count(t);
        if (!find(p, "final", p->s.model->vars.at[i].name, NULL, &want))
            continue;
        CHECK(tensor_count(&want) == (n <= WHOLE ? n : SAMPLES), "%s: %lld final values", p->s.model->vars.at[i].name, (long long)tensor_count(&want));
        for (int64_t k = 0; k < tensor_count(&want); k++) {
            double x = tensor_get(&want, k);
            compare_number(p, "final", p->s.model->vars.at[i].name, p->runs, tensor_get(t, n <= WHOLE ? k : k * n / SAMPLES), x, fabs(x));
        }
        tensor_free(&want);
    }
}

/* ---- the native backend against PyTorch's losses and the reference's gradients on the same state ---- */

static double norm_of(const Tensor *t)
{
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(t); i++)
        sum += tensor_get(t, i) * tensor_get(t, i);
    return sqrt(sum);
}

static double distance(const Tensor *a, const Tensor *b)
{
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double d = tensor_get(a, i) - tensor_get(b, i);
        sum += d * d;
    }
    return sqrt(sum);
}

static Tensor *copy_vars(const Parity *p, const Tensor *from, Dtype floats)
{
    uint32_t n = p->s.model->vars.n;
    Tensor  *to = xmalloc((n + 1) * sizeof *to);
    Status   st = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        bool real = from[i].dtype == DT_F32 || from[i].dtype == DT_F64;
        CHECK(tensor_copy(&to[i], &from[i], real ? floats : from[i].dtype, &st), "%s", st.message);
    }
    return to;
}

/* of all gradients of a run together */
static double gradient_norm(const Part *part, const Tensor *outputs)
{
    double all = 0;
    for (uint32_t i = part->own; i < part->all; i++)
        all = strcmp(part->graph->outputs.at[i].name, "loss") ? hypot(all, norm_of(&outputs[i])) : all;
    return all;
}

static void compare_native(Parity *p, int isa, const Part *part, uint32_t run, const Tensor *got, const Tensor *ref)
{
    double   all = gradient_norm(part, ref);
    uint32_t round = run / p->nparts, loss = 0;
    for (uint32_t i = 0; i < part->all; i++) {
        const char *name = part->graph->outputs.at[i].name;
        double      norm = norm_of(&ref[i]), d = distance(&got[i], &ref[i]);
        if (i >= part->own && !strcmp(name, "loss")) {
            Tensor want;
            if (!find(p, "loss", part->name, NULL, &want))
                continue;
            double x = tensor_get(&want, round * want.shape[1] + loss++), e = fabs(tensor_get(&got[i], 0) - x) / fmax(1, fabs(x));
            p->largest_loss[isa] = e <= p->largest_loss[isa] ? p->largest_loss[isa] : e;
            CHECK(e <= LOSS, "%s %s run %u: loss %.9g, PyTorch has %.9g", p->name, isas[isa], run, tensor_get(&got[i], 0), x);
            tensor_free(&want);
        } else if (i >= part->own && norm <= ZERO * all) {
            CHECK(d <= 1e-5 * all, "%s %s run %u: %s should be zero beside %g and is %g", p->name, isas[isa], run, name, all, d);
        } else {
            if (!(d / norm <= p->largest_grad[isa])) {
                p->largest_grad[isa] = d / norm;
                snprintf(p->worst_grad[isa], sizeof p->worst_grad[isa], "%s of run %u", name, run);
            }
            CHECK(d <= p->gradient * norm, "%s %s run %u: %s %s is off by %g of its norm", p->name, isas[isa], run, i < part->own ? "result" : "gradient", name,
                  d / norm);
        }
    }
}

/* Gradients that are zero but for rounding, by output. Adam makes whole steps of such noise. */
static bool *zero_gradients(const Part *part, const Tensor *ref)
{
    bool  *zero = xmalloc(part->all + 1);
    double all = gradient_norm(part, ref);
    for (uint32_t i = part->own; i < part->all; i++)
        zero[i] = strcmp(part->graph->outputs.at[i].name, "loss") && norm_of(&ref[i]) <= ZERO * all;
    return zero;
}

/* "opt_g.m.G.head.weight" follows the gradient of "G.head.weight" */
static bool follows_zero(const Part *part, const bool *zero, const char *name)
{
    bool follows = false;
    for (uint32_t i = part->own; i < part->all && !follows; i++) {
        const char *param = part->graph->outputs.at[i].name;
        size_t      n = strlen(name), k = strlen(param);
        follows = zero[i] && n >= k && !strcmp(name + n - k, param);
    }
    return follows;
}

/* What a run makes of the variables. Updates are compared as updates: a step of Adam divides by tiny numbers, so it is held less tightly than the gradients
 * it comes from (and without a first moment its first step is the sign of each, also of those that are next to nothing: SIGNS); everything else (statistics,
 * moments) is as close as they are. */
static void compare_native_state(Parity *p, int isa, const Part *part, uint32_t run, const Tensor *before, const Tensor *got, const Tensor *ref,
                                 const bool *zero)
{
    for (uint32_t i = 0; i < p->s.model->vars.n; i++) {
        const Var *v = &p->s.model->vars.at[i];
        if (follows_zero(part, zero, v->name))
            continue;
        double     moved = distance(&ref[i], &before[i]), d = distance(&got[i], &ref[i]), rounding = 1e-7 * norm_of(&ref[i]);
        bool       weight = v->kind == VAR_PARAM || v->kind == VAR_EMA;
        double     allowed = rounding + (weight ? p->update * moved : 1e-3 * moved + 1e-5 * norm_of(&ref[i]) + 1e-9);
        if (weight && moved > 0)
            p->largest_update[isa] = fmax(p->largest_update[isa], fmax(0, d - rounding) / moved);
        CHECK(d <= allowed, "%s %s run %u: '%s' becomes another by %g, allowed %g; it moved by %g", p->name, isas[isa], run, v->name, d, allowed, moved);
    }
}

/* The simplified graph from the same state, before the reference has run. */
static void run_simple(Parity *p, const Part *part, const Tensor *inputs, Tensor *vars, Tensor *outputs)
{
    Status   st = { 0 };
    CHECK(reference_run(part->simple, inputs, vars, &p->run, true, outputs, NULL, &st), "%s, simplified: %s", p->name, st.message);
}

static void compare_simple(Parity *p, const char *name, uint32_t run, const Tensor *got, const Tensor *want)
{
    double d = got->data ? distance(got, want) : INFINITY, norm = norm_of(want);
    CHECK(tensor_count(got) == tensor_count(want) && d <= EXACT * fmax(1, norm), "%s run %u: simplified, '%s' is off by %g of %g", p->name, run, name, d, norm);
}

/* before: the state a run of the reference started from, as f32; ref: its outputs; after: what it made of the variables. */
static void run_native(Parity *p, uint32_t run, const Tensor *inputs, const Tensor *before, const Tensor *ref, const Tensor *after)
{
    uint32_t    k = run % p->nparts;
    const Part *part = &p->parts[k];
    bool       *zero = zero_gradients(part, ref);
    for (int isa = 0; isa < MAX_ISAS; isa++) {
        if (!p->there[isa] || !p->native[isa][k])
            continue;
        Tensor *vars = copy_vars(p, before, DT_F32), *got = xmalloc(part->all * sizeof *got + 1);
        Status  st = { 0 };
        bool    ok = program_run(p->native[isa][k], inputs, vars, &p->run, got, NULL, &st);
        CHECK(ok, "%s %s run %u: %s", p->name, isas[isa], run, st.message);
        if (ok) {
            compare_native(p, isa, part, run, got, ref);
            compare_native_state(p, isa, part, run, before, vars, after, zero);
        }
        free_tensors(vars, p->s.model->vars.n);
        free_tensors(got, part->all);
    }
    free(zero);
}

/* ---- a model ---- */

static void run_all(Parity *p, bool native)
{
    Tensor seeds;
    if (!find(p, "seed", NULL, NULL, &seeds)) {
        CHECK(false, "%s: the fixture has no seeds", p->name);
        return;
    }
    p->runs = (uint32_t)tensor_count(&seeds);
    for (uint32_t run = 0; run < p->runs; run++) {
        uint32_t    k = run % p->nparts;
        const Part *part = &p->parts[k];
        Tensor      inputs[MAX_INPUTS] = { 0 }, *outputs = xmalloc(part->all * sizeof *outputs + 1);
        Tensor     *reports = xmalloc(part->graph->reports.n * sizeof *reports + 1);
        Status      st = { 0 };
        bool        simple = run < p->nparts || run + p->nparts >= p->runs;
        Tensor     *simple_vars = simple ? copy_vars(p, p->s.vars, DT_F64) : NULL, *simple_outputs = xmalloc(part->all * sizeof *outputs + 1);
        Tensor     *before = copy_vars(p, p->s.vars, DT_F32);
        make_inputs(p, part, (uint32_t)tensor_get(&seeds, run), inputs);
        if (simple)
            run_simple(p, part, inputs, simple_vars, simple_outputs);
        bool ok = program_run(p->reference[k], inputs, p->s.vars, &p->run, outputs, reports, &st);
        CHECK(ok, "%s run %u: %s", p->name, run, st.message);
        if (ok) {
            compare_reference(p, part, run, outputs, reports);
            compare_state(p, run);
            if (native)
                run_native(p, run, inputs, before, outputs, p->s.vars);
            for (uint32_t i = 0; i < part->all && simple; i++)
                compare_simple(p, part->graph->outputs.at[i].name, run, &simple_outputs[i], &outputs[i]);
            for (uint32_t i = 0; i < p->s.model->vars.n && simple; i++)
                compare_simple(p, p->s.model->vars.at[i].name, run, &simple_vars[i], &p->s.vars[i]);
        }
        for (int i = 0; i < MAX_INPUTS; i++)
            tensor_free(&inputs[i]);
        free_tensors(outputs, part->all);
        free_tensors(simple_outputs, part->all);
        free_tensors(before, p->s.model->vars.n);
        free_tensors(simple_vars, p->s.model->vars.n);
        free_tensors(reports, part->graph->reports.n);
    }
    compare_final(p);
    tensor_free(&seeds);
}

static bool check_model(const char *name)
{
    char   path[512], steps[256], *rest = NULL;
    Parity p = { .name = name };
    Status st = { 0 };
    bool   native = true;
    snprintf(path, sizeof path, SOURCE_DIR "/tests/fixtures/parity_%s.safetensors", name);
    p.fixture = safe_open(path, &st);
    CHECK(p.fixture, "%s", st.message);
    if (p.fixture)
        read_words(&p);
    bool ok = p.fixture && open_session(&p, &p.s) && open_session(&p, &p.simple);
    if (ok) {
        p.used = xmalloc(p.fixture->n + 1);
        set_weights(&p);
        const char *list = safe_meta(p.fixture, "steps");
        CHECK(list && strlen(list) < sizeof steps, "%s: the fixture names no steps", path);
        snprintf(steps, sizeof steps, "%s", list ? list : "");
        for (char *word = strtok_r(steps, " ", &rest); word && p.nparts < MAX_STEPS; word = strtok_r(NULL, " ", &rest))
            ok = add_part(&p, word) && ok;
        if (ok) {
            native = make_programs(&p);
            for (uint32_t i = 0; i < p.nparts; i++)
                ok = ok && p.reference[i];
        }
        if (ok)
            run_all(&p, native);
        for (uint32_t i = 0; i < p.fixture->n && ok; i++)
            CHECK(p.used[i], "%s: nothing was compared with the fixture's '%s'", name, p.fixture->tensors[i].name);
        printf("%-9s reference: %u runs within %.1e of PyTorch float64\n", name, p.runs, p.exact);
        for (int k = 0; k < MAX_ISAS && native; k++)
            if (p.there[k])
                printf("%-9s %-9s: losses within %.1e, gradients within %.1e (%s), updates within %.1e\n", name, isas[k], p.largest_loss[k],
                       p.largest_grad[k], p.worst_grad[k], p.largest_update[k]);
    }
    for (uint32_t i = 0; i < p.nparts; i++) {
        program_free(p.reference[i]);
        for (int k = 0; k < MAX_ISAS; k++)
            program_free(p.native[k][i]);
    }
    session_close(&p.s);
    session_close(&p.simple);
    safe_close(p.fixture);
    free(p.used);
    return native;
}

static int is_fixture(const struct dirent *e)
{
    return !strncmp(e->d_name, "parity_", 7) && strlen(e->d_name) < 64;
}

int main(int argc, char **argv)
{
    struct dirent **files;
    int             n = scandir(SOURCE_DIR "/tests/fixtures", &files, is_fixture, alphasort), asked = 0;
    bool            native = true;
    CHECK(n > 0, "there are no fixtures in tests/fixtures");
    for (int i = 0; i < n; i++) {
        char name[64];
        bool wanted = argc == 1;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(files[i]->d_name + 7, "."), files[i]->d_name + 7);
        for (int k = 1; k < argc; k++)
            wanted |= !strcmp(argv[k], name);
        asked += wanted;
        if (wanted)
            native &= check_model(name);
        free(files[i]);
    }
    if (n >= 0)
        free(files);
    CHECK(argc == 1 || asked == argc - 1, "tests/fixtures has no parity_NAME.safetensors for one of the names");
    if (!native)
        printf("skipped: native code, this build has no native backend\n");
    return check_done();
}
