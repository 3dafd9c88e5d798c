/* train_block.c - the statements of a train block: their values, the steps they call, pictures, measures. */
#include "train_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "image.h"
#include "metrics.h"

/* ---- values ---- */

static Program *program_of(Run *r, const Graph *g, const Tensor *inputs)
{
    for (uint32_t i = 0; i < r->programs.n; i++)
        if (r->programs.at[i].graph == g)
            return r->programs.at[i].program;
    Program *p = program_new_for(r->s->model, (Graph *)g, &r->s->options.exec, inputs, r->st);
    if (p)
        vec_push(&r->programs, ((Compiled){ g, p }));
    return p;
}

uint64_t train_count_runs(const TrainStmt *b, uint32_t n)
{
    uint64_t runs = 0;
    for (uint32_t i = 0; i < n; i++) {
        runs += (b[i].op == T_CALL || b[i].op == T_SAVE_IMAGES) + b[i].nargs;
        runs += train_count_runs(b[i].body, b[i].nbody) * (b[i].op == T_REPEAT ? (uint64_t)b[i].count : 1);
    }
    return runs;
}

static RunState run_state(Run *r)
{
    RunState rs = { .rng = { r->s->options.seed, (uint32_t)(1 + (r->before + r->pass) * r->runs_a_pass + r->graph_runs++) }, .check_finite = true, .frozen = 1 };
    rs.runtime[RT_STEP] = (double)r->pass;
    rs.runtime[RT_EPOCH] = r->epoch_steps ? (double)(r->pass / r->epoch_steps) : 0;
    rs.runtime[RT_PROGRESS] = r->total ? (double)r->pass / (double)r->total : 0;
    rs.runtime[RT_EPOCH_STEPS] = (double)(r->epoch_steps ? r->epoch_steps : 1);
    return rs;
}

static bool evaluate(Run *r, const TrainValue *v, Tensor *out);

static bool scalar_tensor(Run *r, double v, Dtype dtype, Tensor *out)
{
    if (!tensor_alloc(out, dtype, 0, NULL, r->st))
        return false;
    tensor_set(out, 0, v);
    return true;
}

/* Inputs of a graph from train values. A batch belongs to its data set until the next is drawn, so it is copied. */
static bool evaluate_all(Run *r, const TrainValue *args, uint32_t n, const Graph *g, Tensor *out)
{
    for (uint32_t i = 0; i < n; i++) {
        bool is_int = i < g->inputs.n && g->inputs.at[i].kind == IN_INT;
        if (args[i].kind == V_NUM ? !scalar_tensor(r, args[i].num, is_int ? DT_I32 : DT_F32, &out[i]) : !evaluate(r, &args[i], &out[i]))
            return false;
    }
    return true;
}

static bool evaluate(Run *r, const TrainValue *v, Tensor *out)
{
    switch (v->kind) {
    case V_NUM:
        return scalar_tensor(r, v->num, DT_F32, out);
    case V_RESULT:
        return tensor_copy(out, &r->slots[v->slot], r->slots[v->slot].dtype == DT_F64 ? DT_F64 : r->slots[v->slot].dtype, r->st);
    case V_DATA_NEXT:
    case V_DATA_LAST: {
        DataSet      *set = session_data(r->s, v->data, r->st);
        const Tensor *batch = !set ? NULL : v->kind == V_DATA_NEXT ? data_next(set, r->st) : data_last(set, r->st);
        return batch && tensor_copy(out, &batch[v->field], batch[v->field].dtype, r->st);
    }
    case V_DATA_FIRST:
        return session_values(r->s, v, 1, out, r->st);
    case V_GRAPH: {
        Tensor  *inputs = xmalloc((v->nargs + 1) * sizeof *inputs);
        RunState rs = run_state(r);
        Program *p = session_prepare(r->s, v->graph, r->st) && evaluate_all(r, v->args, v->nargs, v->graph, inputs) ? program_of(r, v->graph, inputs) : NULL;
        bool     ok = p && program_run(p, inputs, r->s->vars, &rs, out, NULL, r->st);
        for (uint32_t i = 0; i < v->nargs; i++)
            tensor_free(&inputs[i]);
        free(inputs);
        return ok;
    }
    }
    return false;
}

/* ---- statements ---- */

/* {step} and {epoch} in a path stand for the passes and epochs done. Relative paths stand in the run's folder. */
static char *fill_path(Run *r, const char *path)
{
    Text t = { 0 };
    for (const char *p = path; *p;) {
        if (!strncmp(p, "{step}", 6)) {
            text_addf(&t, "%06llu", (unsigned long long)(r->before + r->pass + 1));
            p += 6;
        } else if (!strncmp(p, "{epoch}", 7)) {
            text_addf(&t, "%04llu", (unsigned long long)(r->epoch_steps ? (r->pass + 1) / r->epoch_steps : 0));
            p += 7;
        } else {
            text_addn(&t, p++, 1);
        }
    }
    char *full = path_join(r->out, t.at ? t.at : "");
    text_free(&t);
    return full;
}

/* Is `every count unit` due in this pass? */
static bool is_due(const Run *r, const TrainStmt *t)
{
    uint64_t done = r->pass + 1, every = (uint64_t)t->count;
    if (!strcmp(t->unit, "epochs"))
        every *= r->epoch_steps ? r->epoch_steps : 1;
    else if (!strcmp(t->unit, "images"))
        return done * (uint64_t)r->batch / every != r->pass * (uint64_t)r->batch / every;
    return done % every == 0;
}

static bool call_step(Run *r, const TrainStmt *t)
{
    const Step *step = &r->s->model->steps.at[t->step];
    Graph      *g = step->graph;
    Tensor     *inputs = xmalloc((t->nargs + 1) * sizeof *inputs), *outputs = xmalloc((g->outputs.n + 1) * sizeof *outputs), *reports = xmalloc((g->reports.n + 1) * sizeof *reports);
    RunState    rs = run_state(r);
    Program    *p = session_prepare(r->s, g, r->st) && evaluate_all(r, t->args, t->nargs, g, inputs) ? program_of(r, g, inputs) : NULL;
    bool        ok = p && program_run(p, inputs, r->s->vars, &rs, outputs, reports, r->st);
    for (uint32_t i = 0; ok && i < g->reports.n; i++)
        train_note_report(r, g->reports.at[i].name, tensor_get(&reports[i], 0));
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        if (ok && i < t->nslots) {
            tensor_free(&r->slots[t->slots[i]]);
            r->slots[t->slots[i]] = outputs[i];
        } else {
            tensor_free(&outputs[i]);
        }
    }
    for (uint32_t i = 0; i < t->nargs; i++)
        tensor_free(&inputs[i]);
    for (uint32_t i = 0; i < g->reports.n; i++)
        tensor_free(&reports[i]);
    free(inputs), free(outputs), free(reports);
    return ok;
}

static bool save_images(Run *r, const TrainStmt *t)
{
    Tensor images = { 0 };
    char  *path = fill_path(r, t->path);
    bool   ok = evaluate(r, &t->args[0], &images) && dirs_make_parent(path, r->st) && image_write_grid(path, &images, t->lo, t->hi, t->grid[0], t->grid[1], 2, r->st);
    tensor_free(&images);
    free(path);
    return ok;
}

/* Is a graph's value the same in every pass? It reads first items of data and weights that nothing changes. */
static bool is_constant(const Run *r, const TrainValue *v)
{
    const Model *m = r->s->model;
    for (uint32_t i = 0; i < v->nargs; i++)
        if (v->args[i].kind != V_DATA_FIRST)
            return false;
    for (uint32_t i = 1; i < v->graph->nodes.n; i++) {
        const Node *n = node(v->graph, i);
        const Var  *var = n->op == OP_var ? &m->vars.at[node_attrs(v->graph, i)[0]] : NULL;
        if (n->op == OP_runtime || ((n->op == OP_normal || n->op == OP_uniform) && !node_attrs(v->graph, i)[1]))
            return false;
        if (var && var->kind != VAR_LET && !(var->net >= 0 && m->nets.at[var->net].frozen))
            return false;
    }
    return true;
}

static bool evaluate_features(Run *r, const TrainValue *v, Tensor *out)
{
    for (uint32_t i = 0; i < r->constants.n; i++)
        if (r->constants.at[i].graph == v->graph) {
            r->graph_runs++;       /* later graphs of the pass draw the same random numbers as when this one is run: after a resume */
            return tensor_copy(out, &r->constants.at[i].value, r->constants.at[i].value.dtype, r->st);
        }
    if (!evaluate(r, v, out))
        return false;
    Constant c = { .graph = v->graph };
    if (!is_constant(r, v) || !tensor_copy(&c.value, out, out->dtype, r->st))
        return !r->st->failed;
    vec_push(&r->constants, c);
    return true;
}

static bool measure_sets(Run *r, const char *name, Measure m, const TrainValue *args, double *v)
{
    Tensor sets[2] = { 0 };
    Status why = { 0 };
    double error;
    bool   ok = evaluate_features(r, &args[0], &sets[0]) && evaluate_features(r, &args[1], &sets[1]);
    if (ok && !(m == MEASURE_FRECHET ? frechet_distance(&sets[0], &sets[1], v, &why) : kernel_distance(&sets[0], &sets[1], v, &error, &why)))
        ok = status_fail(r->st, "report %s: %s", name, why.message);
    for (int i = 0; i < 2 && ok && m == MEASURE_FRECHET; i++)
        if (!r->told_few && sets[i].shape[0] <= sets[i].shape[1]) {
            train_say(r, "note: report %s: %lld items are too few for the covariance of %lld features: compare it with values of as many items only\n", name, (long long)sets[i].shape[0],
                (long long)sets[i].shape[1]);
            r->told_few = true;
        }
    tensor_free(&sets[0]);
    tensor_free(&sets[1]);
    return ok;
}

static bool report(Run *r, const TrainStmt *t)
{
    const TrainValue *args = t->args;
    for (uint32_t i = 0; i < t->nnames; i++) {
        Tensor one = { 0 };
        double v = NAN;
        bool   number = t->measures[i] == MEASURE_NUMBER, ok = number ? evaluate(r, args, &one) : measure_sets(r, t->names[i], t->measures[i], args, &v);
        if (ok)
            train_note_report(r, t->names[i], number ? tensor_get(&one, 0) : v);
        tensor_free(&one);
        if (!ok)
            return false;
        args += number ? 1 : 2;
    }
    return true;
}

bool train_run_block(Run *r, const TrainStmt *b, uint32_t n, bool *save)
{
    for (uint32_t i = 0; i < n; i++) {
        const TrainStmt *t = &b[i];
        bool             ok = true;
        switch (t->op) {
        case T_CALL:
            ok = call_step(r, t);
            break;
        case T_REPEAT:
            for (int64_t k = 0; k < t->count && ok; k++)
                ok = train_run_block(r, t->body, t->nbody, save);
            break;
        case T_EVERY:
            ok = !is_due(r, t) || train_run_block(r, t->body, t->nbody, save);
            break;
        case T_SAVE_IMAGES:
            ok = save_images(r, t);
            break;
        case T_REPORT:
            ok = report(r, t);
            break;
        case T_CHECKPOINT:
            *save = true;          /* when the pass is whole: it is then that a run can go on from */
            break;
        case T_KEEP_BEST:
            r->keeping = t;
            break;
        }
        if (!ok)
            return false;
    }
    return true;
}
