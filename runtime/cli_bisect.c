/* cli_bisect.c - pastiche bisect: which pass and which node the first wrong number of a step or an export comes from (bisect.h).
 * Inputs are what a train block gives the step: a batch of its data, or, where that cannot be read, random numbers of that size; all others are random.
 */
#include <stdlib.h>
#include <string.h>

#include "bisect.h"
#include "cli_size.h"

typedef struct { Session s; Graph *g; Tensor *inputs; } Job;

/* ---- inputs from the file's data ---- */

static const TrainStmt *find_call(const TrainStmt *body, uint32_t n, uint32_t step)
{
    const TrainStmt *found = NULL;
    for (uint32_t i = 0; i < n && !found; i++)
        found = body[i].op == T_CALL && body[i].step == step ? &body[i] : find_call(body[i].body, body[i].nbody, step);
    return found;
}

/* How a train block calls the step of this graph; NULL: none does. */
static const TrainStmt *call_of(const Model *m, const Graph *g)
{
    const TrainStmt *found = NULL;
    for (uint32_t k = 0; k < m->steps.n; k++)
        for (uint32_t i = 0; i < m->trains.n && !found && m->steps.at[k].graph == g; i++)
            found = find_call(m->trains.at[i].body, m->trains.at[i].nbody, k);
    return found;
}

static bool size_given(const Given *given, const char *input)
{
    size_t n = strlen(input);
    for (int i = 0; i < given->ngiven; i++)
        if (!strcmp(given->given[i].option->name, "--size") && !strncmp(given->given[i].value, input, n) && given->given[i].value[n] == '=')
            return true;
    return false;
}

/* What the train block gives as v, when it is a number or a batch of data. */
static bool from_call(Job *j, const TrainValue *v, Tensor *t, Status *st)
{
    const Model *m = j->s.model;
    if (v->kind == V_NUM) {
        bool ok = tensor_alloc(t, DT_I32, 0, NULL, st);
        if (ok)
            tensor_set(t, 0, v->num);
        return ok;
    }
    if (v->kind != V_DATA_NEXT && v->kind != V_DATA_LAST && v->kind != V_DATA_FIRST)
        return false;
    const Data      *d = &m->datas.at[v->data];
    const DataField *f = &d->fields[v->field];
    TrainValue       first = { .kind = V_DATA_FIRST, .num = v->kind == V_DATA_FIRST ? v->num : (double)d->batch, .data = v->data, .field = v->field };
    Status           missing = { 0 };
    int64_t          size[MAX_RANK] = { (int64_t)first.num };
    if (session_values(&j->s, &first, 1, t, &missing))
        return true;
    for (int i = 0; i < f->rank; i++)
        if (!dim_is_const(m->dims, f->shape[i], &size[i + 1]))
            return false;
    complain("%s: random numbers instead of '%s'", missing.message, d->name);
    if (!tensor_alloc(t, f->dtype, f->rank + 1, size, st))
        return false;
    fill_random(t, d->lo, d->hi);
    return true;
}

static bool make_inputs(Job *j, const Given *given, Status *st)
{
    const TrainStmt *call = call_of(j->s.model, j->g);
    j->inputs = xmalloc((j->g->inputs.n + 1) * sizeof *j->inputs);
    for (uint32_t i = 0; i < j->g->inputs.n; i++) {
        bool called = call && i < call->nargs && !size_given(given, j->g->inputs.at[i].name);
        if (called && from_call(j, &call->args[i], &j->inputs[i], st))
            continue;
        if (st->failed || !random_input(given, j->g, i, &j->inputs[i], st))
            return false;
    }
    return true;
}

/* ---- the command ---- */

static bool open_job(Job *j, const Given *given, Status *st)
{
    j->g = session_find_graph(&j->s, given->words[1], st);
    return j->g && session_prepare_random(&j->s, j->g, st) && known_sizes(given, &j->g, 1, j->g->name, st) && make_inputs(j, given, st);
}

static void print_finding(const Finding *f)
{
    if (!f->found) {
        printf("nothing leaves the interpreter's tolerance\n");
        return;
    }
    printf("the first result that is wrong: %s%s%s\n  %s%s%s\n", f->stage, f->kernel[0] ? ", kernel " : "", f->kernel, f->node, f->place[0] ? "\n  at " : "", f->place);
    printf("  %s\n", f->what);
    if (f->pass)
        printf("  with --passes=-%s it is right\n", f->pass);
    else if (!strcmp(f->stage, "simplify") || !strcmp(f->stage, "kernels"))
        printf("  no pass is to blame alone: it is wrong without each of them\n");
}

int command_bisect(int argc, char **argv)
{
    static const Option  options[] = { SIZE_OPTION, SESSION_OPTIONS, EXEC_OPTIONS };
    static const Command c = { "bisect", "FILE NAME [--size INPUT=1x3x64x64]...",
                               "Finds the first pass and node of a step or an export whose result leaves the float64 interpreter's tolerance: gradients against differences,\n"
                               "the simplified graph, each kernel on what it read, threads and the reuse of memory. Weights are what they start from, or are read where\n"
                               "the file says so and they are there. Inputs are a batch of the data that a train block gives the step, or random. Fails when it finds one.",
                               options, COUNT(options), 2, 2 };
    static Given g;
    Job          j = { 0 };
    Status       st = { 0 };
    Finding      f;
    Text         out = { 0 };
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    if (!open_session(&g, false, &j.s))
        return 1;
    if (j.s.options.exec.backend == BACKEND_REFERENCE) {
        session_close(&j.s);
        return complain("bisect compares the native backend with the reference: --backend reference has nothing to find");
    }
    bool ok = open_job(&j, &g, &st);
    BisectJob job = { .s = &j.s, .g = j.g, .inputs = j.inputs, .rs = { .rng = { j.s.options.seed, 1 } } };
    job.rs.runtime[RT_STEP] = job.rs.runtime[RT_EPOCH_STEPS] = job.rs.runtime[RT_T] = 1;
    ok = ok && bisect(&job, &f, &out, &st);
    fputs(out.n ? out.at : "", stdout);
    if (ok)
        print_finding(&f);
    else
        complain("%s", st.message);
    for (uint32_t i = 0; j.inputs && i < j.g->inputs.n; i++)
        tensor_free(&j.inputs[i]);
    free(j.inputs);
    text_free(&out);
    session_close(&j.s);
    return !ok || f.found;
}
