/* gradcheck.c - the `test` blocks of a user's file: asserts, and gradients against finite differences, both in float64 on the reference interpreter.
 *
 * For every parameter tensor of a step's minimize: directional derivatives along three seeded random directions, and every single entry of tensors under 64
 * elements. The loss is copied into a graph whose parameters are inputs, so a loss that follows an earlier update is checked at the updated weights. What
 * stop() holds back is an input of that graph too and stays as it is: spectral norm's vectors, a batch of fakes.
 */
#include "gradcheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Session *s;                    /* around the check's own model */
    const Check *check;
    Graph   *loss;                 /* inputs: the step's, then a tensor for each parameter */
    Ref      loss_ref;
    Tensor  *inputs; uint32_t nstep;
    RunState rs;
    Text    *out;
    double   worst;
    double  *along, *differences;  /* gradient_holds: where the two go; NULL: tensor by tensor */
} GradCheck;

static bool eval_loss(GradCheck *c, double *v, Status *st)
{
    Tensor r = { 0 };
    bool   ok = interpret(c->loss, c->inputs, c->s->vars, &c->rs, &c->loss_ref, 1, &r, st);
    if (ok)
        *v = tensor_get(&r, 0);
    tensor_free(&r);
    return ok;
}

/* (loss(w + eps d) - loss(w - eps d)) / 2 eps for parameter number p; dir NULL: the unit vector of entry `at` */
static bool difference(GradCheck *c, uint32_t p, const double *dir, int64_t at, double eps, double *v, Status *st)
{
    Tensor      *w = &c->inputs[c->nstep + p];
    double      *x = w->data, up = 0, down = 0;
    int64_t      n = tensor_count(w);
    double      *keep = xmalloc((size_t)(n + 1) * sizeof *keep);
    memcpy(keep, x, (size_t)n * sizeof *keep);
    for (int64_t i = 0; i < n; i++)
        x[i] = keep[i] + eps * (dir ? dir[i] : i == at);
    bool ok = eval_loss(c, &up, st);
    for (int64_t i = 0; i < n; i++)
        x[i] = keep[i] - eps * (dir ? dir[i] : i == at);
    ok = ok && eval_loss(c, &down, st);
    memcpy(x, keep, (size_t)n * sizeof *keep);
    free(keep);
    *v = (up - down) / (2 * eps);
    return ok;
}

/* Compares `want` with differences over 1e-6 and, where they cross a kink (relu, |x|; under a gradient penalty these are jumps), over 1e-7. */
static bool agrees(GradCheck *c, uint32_t p, const double *dir, int64_t at, double want, double scale, double *got, bool *good, Status *st)
{
    double error = INFINITY;
    for (double eps = 1e-6; error > 1 && eps > 5e-8; eps /= 10) {
        if (!difference(c, p, dir, at, eps, got, st))
            return false;
        error = fabs(want - *got) / (1e-5 * fmax(1, scale) + c->check->tol * fmax(fabs(want), fabs(*got)));
    }
    c->worst = fmax(c->worst, error);
    *good = error <= 1;
    return true;
}

/* One parameter tensor; prints what disagrees. false only when something could not be computed. */
static bool check_tensor(GradCheck *c, uint32_t p, const char *name, const Tensor *grad, double scale, bool *good, Status *st)
{
    int64_t n = tensor_count(grad);
    double *dir = xmalloc((size_t)(n + 1) * sizeof *dir), fd;
    bool    ok = true;
    for (int k = 0; k < 3 && ok; k++) {
        double along = 0, length = 0;
        for (int64_t i = 0; i < n; i++) {
            dir[i] = rng_normal((Rng){ 7, (uint32_t)k }, hash_bytes(name, strlen(name), 0), (uint64_t)i);
            length += dir[i] * dir[i];
        }
        for (int64_t i = 0; i < n; i++) {
            dir[i] /= sqrt(length) + 1e-300;
            along += dir[i] * tensor_get(grad, i);
        }
        bool same = true;
        ok = agrees(c, p, dir, 0, along, scale, &fd, &same, st);
        if (!same) {
            text_addf(c->out, "    %s: along direction %d the gradient is %.9g, differences give %.9g\n", name, k, along, fd);
            *good = false;
            break;
        }
    }
    for (int64_t i = 0; i < n && n < 64 && ok && *good; i++) {
        bool same = true;
        ok = agrees(c, p, NULL, i, tensor_get(grad, i), scale, &fd, &same, st);
        if (!same) {
            text_addf(c->out, "    %s[%lld]: the gradient is %.9g, differences give %.9g\n", name, (long long)i, tensor_get(grad, i), fd);
            *good = false;
        }
    }
    free(dir);
    return ok;
}

/* Random inputs of the sizes the check names. */
static bool make_inputs(GradCheck *c, const Graph *g, Status *st)
{
    DimBind  binds[64];
    uint32_t nb = 0;
    for (uint32_t i = 0; i < c->check->nsizes && nb < COUNT(binds); i++)
        binds[nb++] = (DimBind){ dim_sym(g->dims, intern(c->check->sizes[i].name)), (int64_t)c->check->sizes[i].value };
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        int64_t           shape[MAX_RANK], v;
        if (in->kind == IN_INT) {
            if (!dim_eval(g->dims, in->symbol, binds, nb, &v))
                return status_fail(st, "gradcheck needs a size for '%s', e.g. %s: 2", in->name, in->name);
            if (!tensor_alloc(&c->inputs[i], DT_I32, 0, NULL, st))
                return false;
            tensor_set(&c->inputs[i], 0, (double)v);
            continue;
        }
        for (int k = 0; k < in->rank; k++)
            if (!dim_eval(g->dims, in->shape[k], binds, nb, &shape[k])) {
                Arena a = { 0 };
                status_fail(st, "gradcheck needs sizes for '%s' of input '%s', e.g. N: 2", dim_text(g->dims, in->shape[k], &a), in->name);
                arena_free(&a);
                return false;
            }
        if (!tensor_alloc(&c->inputs[i], in->dtype == DT_F32 ? DT_F64 : in->dtype, in->rank, shape, st))
            return false;
        for (int64_t k = 0; k < tensor_count(&c->inputs[i]); k++)
            tensor_set(&c->inputs[i], k, in->dtype == DT_F32 ? 0.7 * rng_normal((Rng){ 11, i }, 0, (uint64_t)k) : (double)(k % 2));
    }
    return true;
}

/* The outermost stop() nodes that the loss reads, in order. The caller frees. */
static Ref *find_stops(const Graph *g, Ref loss, uint32_t *n)
{
    bool *seen = xmalloc(loss + 1u);
    Ref  *stops = xmalloc((loss + 1u) * sizeof *stops);
    *n = 0;
    seen[loss] = true;
    for (Ref r = loss; r > 0; r--) {
        if (seen[r] && node(g, r)->op == OP_stop)
            stops[(*n)++] = r;
        for (int i = 0; seen[r] && node(g, r)->op != OP_stop && i < node(g, r)->nargs; i++)
            seen[node_arg(g, r, i)] = true;
    }
    free(seen);
    return stops;
}

static void add_input(Graph *to, const Graph *from, Ref r, const char *name, Ref *map)
{
    Type       t = node_type(from, r);
    int64_t    index = to->inputs.n;
    GraphInput in = { .name = name, .dtype = t.dtype, .rank = (uint8_t)t.rank };
    memcpy(in.shape, t.shape, sizeof in.shape);
    vec_push(&to->inputs, in);
    map[r] = make_node(to, OP_input, t.dtype, t.rank, t.shape, 0, NULL, 1, &index, 0);
}

/* The loss as a function of the parameters' values. */
static void cut_loss(GradCheck *c, const Graph *g, const Minimized *m, const Ref *stops, uint32_t nstops)
{
    Ref *map = xmalloc(g->nodes.n * sizeof *map);
    c->loss = graph_new("gradcheck", g->dims);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        vec_push(&c->loss->inputs, g->inputs.at[i]);
    for (uint32_t i = 0; i < m->n; i++)
        add_input(c->loss, g, m->values[i], c->s->model->vars.at[m->vars[i]].name, map);
    for (uint32_t i = 0; i < nstops; i++)
        add_input(c->loss, g, stops[i], "stop", map);
    c->loss_ref = graph_copy(c->loss, g, m->loss, map);
    free(map);
}

/* All parameters along one direction. */
static bool check_together(GradCheck *c, uint32_t n, const Tensor *grads, double scale, bool *good, Status *st)
{
    double **dir = xmalloc((n + 1) * sizeof *dir), **keep = xmalloc((n + 1) * sizeof *keep), length = 0, error = INFINITY;
    bool     ok = true;
    *c->along = 0;
    for (uint32_t p = 0; p < n; p++) {
        int64_t count = tensor_count(&grads[p]);
        dir[p] = xmalloc((size_t)(count + 1) * sizeof **dir);
        keep[p] = xmalloc((size_t)(count + 1) * sizeof **keep);
        memcpy(keep[p], c->inputs[c->nstep + p].data, (size_t)count * sizeof **keep);
        for (int64_t i = 0; i < count; i++) {
            dir[p][i] = rng_normal((Rng){ 13, 0 }, p, (uint64_t)i);
            length += dir[p][i] * dir[p][i];
            *c->along += dir[p][i] * tensor_get(&grads[p], i);
        }
    }
    length = sqrt(length) + 1e-300;
    *c->along /= length;
    for (double eps = 1e-6; ok && error > 1 && eps > 5e-8; eps /= 10) {
        double loss[2] = { 0 };
        for (int side = 0; side < 2 && ok; side++) {
            for (uint32_t p = 0; p < n; p++)
                for (int64_t i = 0; i < tensor_count(&grads[p]); i++)
                    ((double *)c->inputs[c->nstep + p].data)[i] = keep[p][i] + (side ? eps : -eps) * dir[p][i] / length;
            ok = eval_loss(c, &loss[side], st);
        }
        *c->differences = (loss[1] - loss[0]) / (2 * eps);
        error = fabs(*c->along - *c->differences) / (1e-5 * fmax(1, scale) + c->check->tol * fmax(fabs(*c->along), fabs(*c->differences)));
    }
    *good = error <= 1;
    for (uint32_t p = 0; p < n; p++) {
        free(dir[p]);
        free(keep[p]);
    }
    free(dir), free(keep);
    return ok;
}

static bool check_minimized(GradCheck *c, const Graph *g, const Minimized *m, bool *good, Status *st)
{
    uint32_t nstops, n;
    Ref     *stops = find_stops(g, m->loss, &nstops);
    n = m->n + nstops;
    Ref    *want = xmalloc((n + m->n + 1) * sizeof *want);
    Tensor *got = xmalloc((n + m->n + 1) * sizeof *got);
    double  loss = 0;
    memcpy(want, m->values, m->n * sizeof *want);
    memcpy(want + m->n, stops, nstops * sizeof *want);
    memcpy(want + n, m->grads, m->n * sizeof *want);
    bool ok = interpret(g, c->inputs, c->s->vars, &c->rs, want, n + m->n, got, st);
    cut_loss(c, g, m, stops, nstops);
    Tensor *step_inputs = c->inputs;
    c->inputs = xmalloc((c->nstep + n + 1) * sizeof *c->inputs);
    memcpy(c->inputs, step_inputs, c->nstep * sizeof *c->inputs);
    memcpy(c->inputs + c->nstep, got, n * sizeof *c->inputs);
    ok = ok && eval_loss(c, &loss, st);
    if (c->along)
        ok = ok && check_together(c, m->n, &got[n], fabs(loss), good, st);
    for (uint32_t i = 0; i < m->n && ok && !c->along; i++)
        ok = check_tensor(c, i, c->s->model->vars.at[m->vars[i]].name, &got[n + i], fabs(loss), good, st);
    for (uint32_t i = 0; i < n + m->n; i++)
        tensor_free(&got[i]);
    free(c->inputs);
    c->inputs = step_inputs;
    graph_free(c->loss);
    free(want), free(got), free(stops);
    return ok;
}

bool gradient_holds(Session *s, const Graph *g, const Minimized *m, const Tensor *inputs, const RunState *rs, double *along, double *differences, bool *holds, Status *st)
{
    const Check check = { .tol = 1e-3 };
    GradCheck   c = { .s = s, .check = &check, .nstep = g->inputs.n, .rs = *rs, .along = along, .differences = differences };
    c.inputs = xmalloc((c.nstep + 1) * sizeof *c.inputs);
    memcpy(c.inputs, inputs, c.nstep * sizeof *inputs);
    bool ok = check_minimized(&c, g, m, holds, st);
    free(c.inputs);
    return ok;
}

static bool check_gradients(const Session *parent, const Check *check, Text *out, Status *st)
{
    Session     s;
    const Step *step = &check->model->steps.at[check->step];
    bool        good = true;
    session_adopt(&s, check->model, parent);
    GradCheck c = { .s = &s, .check = check, .nstep = step->graph->inputs.n, .out = out };
    c.rs.rng.step = 1;
    memcpy(c.rs.runtime, check->runtime, sizeof c.rs.runtime);
    c.inputs = xmalloc((c.nstep + 1) * sizeof *c.inputs);
    bool ok = make_inputs(&c, step->graph, st) && session_prepare_random(&s, step->graph, st);
    if (ok && !step->minimized.n)
        ok = status_fail(st, "step '%s' minimises nothing", step->name);
    for (uint32_t i = 0; i < step->minimized.n && ok; i++)
        ok = check_minimized(&c, step->graph, &step->minimized.at[i], &good, st);
    for (uint32_t i = 0; i < c.nstep; i++)
        tensor_free(&c.inputs[i]);
    free(c.inputs);
    session_release(&s);
    if (ok && good)
        text_addf(out, "  ok    gradcheck(%s): worst error %.2g of what is allowed\n", step->name, c.worst);
    else
        text_addf(out, "  FAIL  gradcheck(%s)%s%s\n", step->name, ok ? "" : ": ", ok ? "" : st->message);
    *st = (Status){ 0 };
    return ok && good;
}

static bool check_asserts(Session *s, const Check *check, uint32_t *passed, Text *out, Status *st)
{
    const Graph *g = check->graph;
    Ref         *want = xmalloc(g->outputs.n * sizeof *want);
    Tensor      *got = xmalloc(g->outputs.n * sizeof *got);
    RunState     rs = { .rng = { 0, 1 } };
    bool         good = true;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        want[i] = g->outputs.at[i].value;
    if (session_prepare_random(s, g, st) && interpret(g, NULL, s->vars, &rs, want, g->outputs.n, got, st)) {
        for (uint32_t i = 0; i < g->outputs.n; i++) {
            bool holds = tensor_get(&got[i], 0) != 0;
            *passed += holds;
            good = good && holds;
            if (!holds)
                text_addf(out, "  FAIL  %s:%u: this assert does not hold\n", s->sources.files.at[g->outputs.at[i].loc.file].path, g->outputs.at[i].loc.line);
        }
    } else {
        text_addf(out, "  FAIL  asserts: %s\n", st->message);
        *st = (Status){ 0 };
        good = false;
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        tensor_free(&got[i]);
    free(want), free(got);
    return good;
}

bool run_tests(Session *s, uint32_t *passed, uint32_t *failed, Text *out)
{
    *passed = *failed = 0;
    for (uint32_t i = 0; i < s->model->tests.n; i++) {
        const Test *t = &s->model->tests.at[i];
        text_addf(out, "%s\n", t->title);
        for (uint32_t k = 0; k < t->checks.n; k++) {
            const Check *c = &t->checks.at[k];
            Status       st = { 0 };
            uint32_t     held = 0;
            bool         ok = c->kind == CHECK_GRADIENTS ? check_gradients(s, c, out, &st) : check_asserts(s, c, &held, out, &st);
            if (c->kind == CHECK_GRADIENTS) {
                *passed += ok;
                *failed += !ok;
            } else {
                *passed += held;
                *failed += c->graph->outputs.n - held;
                if (ok)
                    text_addf(out, "  ok    %u assert%s\n", held, held == 1 ? "" : "s");
            }
        }
    }
    return *failed == 0;
}
