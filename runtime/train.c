/* train.c - the interpreter of train blocks. */
#include "train.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "image.h"
#include "metrics.h"
#include "progress.h"
#include "safetensors.h"
#include "signals.h"

/* ---- a run ---- */

typedef struct { const Graph *graph; Program *program; } Compiled;
typedef struct { const Graph *graph; Tensor value; } Constant;

typedef struct {
    Session    *s;
    const Train *train;
    const TrainOptions *o;
    Status     *st;
    Vec(Compiled) programs;
    Tensor     *slots;
    uint64_t    pass, total, epoch_steps, graph_runs, runs_a_pass;    /* pass, total: of this stage */
    uint64_t    before;            /* passes of the stages before this one */
    int64_t     batch;             /* of the data it runs over, for `every N images` */
    Progress   *progress;
    FILE       *log;
    Vec(const char *) columns;     /* of the log: every report of the steps it calls */
    double     *values; bool *fresh;
    char       *out;
    char       *checkpoint_name;   /* as the file says: "ck/dcgan" */
    char       *checkpoints;       /* where checkpoints go: that under `out` */
    int64_t     keep;
    uint64_t    saved_at;          /* pass of the newest checkpoint */
    char       *checkpoint_path;
    double      started;           /* seconds on the clock, for the limit on time */
    double      paced_from;        /* of this stage: since when speed is measured, 0: not yet; and from which pass on */
    uint64_t    paced_pass, asked; /* asked: total without the limit */
    int64_t     stage;
    int64_t    *told;              /* by data set: how many unreadable items were named */
    const TrainStmt *keeping;      /* keep_best, in a pass that came to it */
    double      best;              /* what it keeps now, NAN: nothing yet */
    Vec(Constant) constants;       /* features that are the same each time */
    bool        told_few;          /* that a set is small for its features */
    char        label[128];        /* for the progress bar: "main", "grow lod=3" */
} Run;

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

static uint64_t count_runs(const TrainStmt *b, uint32_t n)
{
    uint64_t runs = 0;
    for (uint32_t i = 0; i < n; i++) {
        runs += (b[i].op == T_CALL || b[i].op == T_SAVE_IMAGES) + b[i].nargs;
        runs += count_runs(b[i].body, b[i].nbody) * (b[i].op == T_REPEAT ? (uint64_t)b[i].count : 1);
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

/* ---- reports ---- */

static void note_report(Run *r, const char *name, double v)
{
    for (uint32_t i = 0; i < r->columns.n; i++)
        if (r->columns.at[i] == name) {
            r->values[i] = v;
            r->fresh[i] = true;
        }
}

static void add_column(Run *r, const char *name)
{
    for (uint32_t c = 0; c < r->columns.n; c++)
        if (r->columns.at[c] == name)
            return;
    vec_push(&r->columns, name);
}

static void collect_columns(Run *r, const TrainStmt *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        collect_columns(r, b[i].body, b[i].nbody);
        const Graph *g = b[i].op == T_CALL ? r->s->model->steps.at[b[i].step].graph : NULL;
        for (uint32_t k = 0; g && k < g->reports.n; k++)
            add_column(r, g->reports.at[k].name);
        for (uint32_t k = 0; b[i].op == T_REPORT && k < b[i].nnames; k++)
            add_column(r, b[i].names[k]);
    }
}

/* A line a pass in OUT/losses.csv: [stage,] step, then the reports of this pass (empty when a step did not run). */
static void log_pass(Run *r)
{
    if (!r->log)
        return;
    if (r->train->stage)
        fprintf(r->log, "%lld,", (long long)r->stage);
    fprintf(r->log, "%llu", (unsigned long long)r->pass);
    for (uint32_t i = 0; i < r->columns.n; i++) {
        if (r->fresh[i])
            fprintf(r->log, ",%.9g", r->values[i]);
        else
            fputs(",", r->log);
    }
    fputs("\n", r->log);
}

/* Was this line of the log written before the point where the run goes on? */
static bool is_past(const Run *r, const char *line)
{
    char     *end = (char *)line;
    long long stage = r->train->stage ? strtoll(line, &end, 10) : r->stage;
    return stage < r->stage || (stage == r->stage && strtoull(end + (*end == ','), NULL, 10) <= r->pass);
}

/* Opens the log; a resumed run and a further stage keep the lines up to where they go on. */
static bool open_log(Run *r)
{
    char *path = path_join(r->out, "losses.csv");
    Text  kept = { 0 };
    if (r->before + r->pass > 0 && path_is_file(path)) {
        uint8_t *bytes;
        size_t   n;
        if (file_read(path, (size_t)1 << 30, &bytes, &n, r->st)) {
            for (char *line = (char *)bytes, *end; *line; line = end) {
                end = line + strcspn(line, "\n");
                if (!*end)
                    break;         /* cut short when the run was killed */
                end++;
                if (line == (char *)bytes || is_past(r, line))
                    text_addn(&kept, line, (size_t)(end - line));
            }
            free(bytes);
        }
    }
    bool ok = dirs_make(r->out, r->st);
    r->log = ok ? fopen(path, "w") : NULL;
    if (ok && !r->log)
        ok = status_fail(r->st, "%s: cannot be written: %s", path, strerror(errno));
    if (ok && kept.n) {
        fputs(kept.at, r->log);
    } else if (ok) {
        fputs(r->train->stage ? "stage,step" : "step", r->log);
        for (uint32_t i = 0; i < r->columns.n; i++)
            fprintf(r->log, ",%s", r->columns.at[i]);
        fputs("\n", r->log);
    }
    text_free(&kept);
    free(path);
    return ok;
}

/* What a checkpoint goes on from stands in the log before the checkpoint is there. */
static bool flush_log(Run *r)
{
    return !r->log || (!fflush(r->log) && !ferror(r->log)) || status_fail(r->st, "%s/losses.csv: cannot be written: %s", r->out, strerror(errno));
}

/* ---- checkpoints ---- */

static void say(Run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(Run *r, const char *fmt, ...)
{
    va_list ap;
    char    line[1024];
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (r->progress)
        progress_note(r->progress, "%.*s", (int)strcspn(line, "\n"), line);
    else if (r->o->progress)
        fputs(line, r->o->progress);
}

static SafeItem *all_vars(Run *r, uint32_t *n)
{
    const Model *m = r->s->model;
    SafeItem    *items = xmalloc((m->vars.n + 1) * sizeof *items);
    *n = 0;
    for (uint32_t i = 0; i < m->vars.n; i++)
        if (m->vars.at[i].kind != VAR_LET && !(m->vars.at[i].net >= 0 && m->nets.at[m->vars.at[i].net].frozen))
            items[(*n)++] = (SafeItem){ m->vars.at[i].name, &r->s->vars[i] };
    return items;
}

static bool checkpoint_info(Run *r, CheckpointInfo *c)
{
    *c = (CheckpointInfo){ .stage = r->stage, .seed = r->s->options.seed, .step = r->before + r->pass, .stage_step = r->pass, .best = r->best, .model = r->s->hash };
    snprintf(c->train, sizeof c->train, "%s", r->train->name);
    c->epoch = r->epoch_steps ? (double)r->pass / (double)r->epoch_steps : 0;
    for (uint32_t i = 0; i < r->s->model->datas.n; i++)
        if (r->s->datas[i] && !checkpoint_note_data(c, r->s->model->datas.at[i].name, data_position(r->s->datas[i]), r->st))
            return false;
    return flush_log(r);
}

static bool save_checkpoint(Run *r)
{
    CheckpointInfo c;
    if (!checkpoint_info(r, &c))
        return false;
    uint32_t  n;
    SafeItem *items = all_vars(r, &n);
    char     *path = NULL;
    bool      ok = checkpoint_save(r->checkpoints, r->keep, &c, items, n, &path, r->st);
    free(items);
    if (ok) {
        free(r->checkpoint_path);
        r->checkpoint_path = path;
        r->saved_at = r->pass;
    }
    return ok;
}

/* After a pass that came to keep_best: the checkpoint of this pass, in the file's one place for it, when its number was reported and is lower than any before. */
static bool keep_if_best(Run *r)
{
    const TrainStmt *t = r->keeping;
    double           v = NAN;
    for (uint32_t i = 0; t && i < r->columns.n; i++)
        if (r->columns.at[i] == t->names[0] && r->fresh[i])
            v = r->values[i];
    if (isnan(v) || v >= r->best)
        return true;
    r->best = v;
    CheckpointInfo c;
    uint32_t       n;
    SafeItem      *items = all_vars(r, &n);
    char          *path = path_join(r->out, t->path);
    bool           ok = checkpoint_info(r, &c) && checkpoint_write(path, &c, items, n, r->st);
    if (ok)
        say(r, "best %s so far: %.6g, kept in %s\n", t->names[0], v, path);
    free(path);
    free(items);
    return ok;
}

/* Does a folder itself hold checkpoints? */
static bool holds_checkpoints(const char *folder)
{
    return checkpoint_newest(folder) >= 0;
}

/* Where --resume points: a checkpoint, a folder of them, or the folder of a run that has that folder in it. */
static char *resume_place(const Run *r)
{
    const char *where = r->o->resume;
    char       *inner = path_join(where, r->checkpoint_name);
    if (!path_is_file(where) && !holds_checkpoints(where) && path_is_folder(inner))
        return inner;
    free(inner);
    return xstrdup(where);
}

/* The run's folder: --out; or, of a run that goes on, where it wrote so far, as far as --resume tells. */
static char *run_folder(const Run *r)
{
    const char *where = r->o->resume;
    if (r->o->out || !where)
        return xstrdup(r->o->out ? r->o->out : ".");
    if (!path_is_file(where) && !holds_checkpoints(where))
        return xstrdup(where);
    char  *folder = path_is_file(where) ? path_folder(where) : xstrdup(where);
    size_t n = strlen(folder), k = strlen(r->checkpoint_name);
    while (n > 1 && folder[n - 1] == '/')
        folder[--n] = 0;
    if (n > k + 1 && folder[n - k - 1] == '/' && !strcmp(folder + n - k, r->checkpoint_name)) {
        folder[n - k - 1] = 0;
        return folder;
    }
    free(folder);
    return xstrdup(".");
}

static bool load_checkpoint(Run *r)
{
    CheckpointInfo c;
    uint32_t       n;
    SafeItem      *items = all_vars(r, &n);
    Text           refused = { 0 };
    char          *where = resume_place(r), *path = NULL;
    bool           ok = checkpoint_load(where, &c, items, n, &path, &refused, r->st);
    free(items);
    if (refused.n)
        say(r, "%s", refused.at);
    if (ok && strcmp(c.train, r->train->name))
        ok = status_fail(r->st, "%s: was written by train block '%s', not '%s'", path, c.train, r->train->name);
    if (ok && c.model != r->s->hash)
        say(r, "note: the graph file has changed since the checkpoint was written\n");
    if (ok) {
        r->pass = r->saved_at = c.stage_step;
        r->before = c.step - c.stage_step;
        r->best = c.best;
        r->s->options.seed = c.seed;
        for (uint32_t i = 0; i < r->s->model->nets.n; i++)
            r->s->ready[i] = r->s->ready[i] || !r->s->model->nets.at[i].frozen;
        for (uint32_t i = 0; i < r->s->model->datas.n && ok; i++) {
            const DataPos *pos = checkpoint_data(&c, r->s->model->datas.at[i].name);
            DataSet       *set = pos ? session_data(r->s, i, r->st) : NULL;
            ok = !pos || (set && data_seek(set, *pos, r->st));
        }
        say(r, "resumed from %s at step %llu\n", path, (unsigned long long)c.step);
    }
    free(path);
    free(where);
    text_free(&refused);
    return ok;
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
        note_report(r, g->reports.at[i].name, tensor_get(&reports[i], 0));
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
            say(r, "note: report %s: %lld items are too few for the covariance of %lld features: compare it with values of as many items only\n", name, (long long)sets[i].shape[0],
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
            note_report(r, t->names[i], number ? tensor_get(&one, 0) : v);
        tensor_free(&one);
        if (!ok)
            return false;
        args += number ? 1 : 2;
    }
    return true;
}

static bool run_block(Run *r, const TrainStmt *b, uint32_t n, bool *save)
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
                ok = run_block(r, t->body, t->nbody, save);
            break;
        case T_EVERY:
            ok = !is_due(r, t) || run_block(r, t->body, t->nbody, save);
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

/* ---- the whole ---- */

static const TrainStmt *find_checkpoint(const TrainStmt *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const TrainStmt *in = b[i].op == T_CHECKPOINT ? &b[i] : find_checkpoint(b[i].body, b[i].nbody);
        if (in)
            return in;
    }
    return NULL;
}

static int32_t find_train(const Session *s, const char *name, Status *st)
{
    const char *names[64];
    size_t      n = 0;
    for (; n < s->model->trains.n && n < COUNT(names); n++) {
        names[n] = s->model->trains.at[n].name;
        if (name && !strcmp(names[n], name))
            return (int32_t)n;
    }
    if (!n) {
        status_fail(st, "%s has no train block", s->path);
        return -1;
    }
    if (!name && n == 1)
        return 0;
    Text list = { 0 };
    for (size_t i = 0; i < n; i++)
        text_addf(&list, "%s%s", i ? ", " : "", names[i]);
    if (name) {
        const char *near = nearest_word(name, names, n);
        status_fail(st, "%s has no train block '%s'; it has: %s%s%s%s", s->path, name, list.at, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    } else {
        status_fail(st, "%s has %zu train blocks, name one: %s", s->path, n, list.at);
    }
    text_free(&list);
    return -1;
}

/* A fresh run must not leave older, farther checkpoints where --resume would find them. */
static bool claim_folder(Run *r)
{
    int64_t step = checkpoint_newest(r->checkpoints);
    if (step < 0)
        return true;
    if (r->o->overwrite)
        return checkpoint_clear(r->checkpoints, r->st);
    return status_fail(r->st, "%s holds checkpoints of an earlier run, up to step %lld: --resume %s goes on from them, --out takes another folder, --overwrite removes them", r->checkpoints,
                       (long long)step, r->out);
}

/* Unreadable items of data sets are passed over, but not in silence. */
static void tell_bad_items(Run *r)
{
    for (uint32_t i = 0; i < r->s->model->datas.n; i++)
        for (int64_t n = r->s->datas[i] ? data_bad(r->s->datas[i]) : 0; r->told[i] < n; r->told[i]++)
            say(r, "skipped: %s\n", data_bad_message(r->s->datas[i], r->told[i]));
}

/* How long: passes in all, and passes an epoch of the data it runs over. */
static bool measure(Run *r)
{
    const Train *t = r->train;
    r->batch = 1;
    if (t->over >= 0) {
        DataSet *set = session_data(r->s, (uint32_t)t->over, r->st);
        if (!set)
            return false;
        r->epoch_steps = (uint64_t)data_steps(set);
        r->batch = r->s->model->datas.at[t->over].batch;
        if (!r->epoch_steps)
            return status_fail(r->st, "data '%s' has %lld items, fewer than one batch of %lld", r->s->model->datas.at[t->over].name, (long long)data_items(set), (long long)r->batch);
    }
    double passes = !strcmp(t->unit, "epochs") ? t->count * (double)r->epoch_steps : !strcmp(t->unit, "images") ? ceil(t->count / (double)r->batch) : t->count;
    r->total = r->o->steps > 0 ? (uint64_t)r->o->steps : (uint64_t)ceil(passes);
    return true;
}

/* Keeps to the limit on time. The first pass compiles, so it is not counted. Then every few seconds their speed says how many passes will fit: `progress`, and
 * the schedules that depend on it, are of that number, so that they end with the run. */
static bool has_time(Run *r)
{
    if (r->o->seconds <= 0)
        return true;
    double now = clock_seconds(), left = r->o->seconds - (now - r->started), window = fmin(5, r->o->seconds / 20);
    bool   look = now - r->paced_from >= window || (r->pass >= r->total && r->total < r->asked);
    if (r->paced_from > 0 && look) {
        int64_t stages = r->train->stage ? r->train->stage_hi - r->stage + 1 : 1;
        double  rate = (double)(r->pass - r->paced_pass) / (now - r->paced_from), fits = (double)r->pass + rate * left / (double)stages;
        r->total = fits < (double)r->asked ? (uint64_t)fits : r->asked;
        if (r->progress)
            progress_set_total(r->progress, r->total);
    }
    if (look) {
        r->paced_from = now;
        r->paced_pass = r->pass;
    }
    return left > 0;
}

static bool one_stage(Run *r, bool resume)
{
    bool ok = measure(r);
    r->runs_a_pass = count_runs(r->train->body, r->train->nbody) + 1;
    r->slots = xmalloc((r->train->nslots + 1) * sizeof *r->slots);
    collect_columns(r, r->train->body, r->train->nbody);
    r->values = xmalloc((r->columns.n + 1) * sizeof *r->values);
    r->fresh = xmalloc(r->columns.n + 1);
    for (uint32_t i = 0; i < r->columns.n; i++)
        r->values[i] = NAN;        /* not reported yet: not shown */
    r->told = xmalloc((r->s->model->datas.n + 1) * sizeof *r->told);
    if (ok && resume)
        ok = load_checkpoint(r);
    if (ok && r->pass > r->total)
        ok = status_fail(r->st, "the checkpoint is at step %llu, past the %llu steps asked for", (unsigned long long)r->pass, (unsigned long long)r->total);
    ok = ok && open_log(r);
    if (ok && r->o->progress)
        r->progress = progress_start(r->o->progress, r->label, r->pass, r->total, -1);
    bool in_time = true;
    r->paced_from = 0;
    r->asked = r->total;
    while (ok && r->pass < r->total && in_time && !signals_caught()) {
        bool save = false;
        r->graph_runs = 0;
        r->keeping = NULL;
        memset(r->fresh, 0, r->columns.n);
        ok = run_block(r, r->train->body, r->train->nbody, &save);
        if (!ok)
            break;
        r->pass++;
        log_pass(r);
        tell_bad_items(r);
        if (r->progress)
            progress_step(r->progress, r->pass, r->columns.at, r->values, r->columns.n);
        ok = keep_if_best(r);
        if (ok && save)
            ok = save_checkpoint(r);
        in_time = has_time(r);
    }
    progress_finish(r->progress);
    r->progress = NULL;
    if (ok && r->saved_at != r->pass)
        ok = save_checkpoint(r);
    return ok;
}

static void stage_free(Run *r)
{
    for (uint32_t i = 0; i < r->programs.n; i++)
        program_free(r->programs.at[i].program);
    for (uint32_t i = 0; r->slots && i < r->train->nslots; i++)
        tensor_free(&r->slots[i]);
    free(r->slots), free(r->values), free(r->fresh), free(r->told);
    r->slots = NULL, r->values = NULL, r->fresh = NULL, r->told = NULL;
    for (uint32_t i = 0; i < r->constants.n; i++)
        tensor_free(&r->constants.at[i].value);
    vec_free(&r->constants);
    vec_free(&r->programs);
    vec_free(&r->columns);
    if (r->log)
        fclose(r->log);
    r->log = NULL;
}

/* What both have under one name and shape carries over; optimisers start afresh. */
static bool carry_over(Session *to, const Session *from, Status *st)
{
    for (uint32_t i = 0; i < to->model->vars.n; i++) {
        const Var *v = &to->model->vars.at[i];
        for (uint32_t k = 0; v->kind != VAR_OPT && v->kind != VAR_LET && k < from->model->vars.n; k++) {
            const Tensor *old = &from->vars[k];
            Tensor       *new = &to->vars[i];
            if (from->model->vars.at[k].name == v->name && old->rank == new->rank && old->dtype == new->dtype &&
                !memcmp(old->shape, new->shape, sizeof(int64_t) * (size_t)new->rank) && !tensor_copy(new, old, new->dtype, st))
                return false;
        }
    }
    for (uint32_t i = 0; i < to->model->nets.n; i++)
        to->ready[i] = !to->model->nets.at[i].from || (i < from->model->nets.n && from->ready[i]);
    return true;
}

/* The next stage: the file elaborated anew with the stage's const, in the same place, since what belongs to a session points into it. When that fails,
 * the session is as it was. */
static bool enter_stage(Session *s, const Train *t, int64_t stage, Status *st)
{
    Session        last = *s;
    SessionOptions o = s->options;
    uint32_t       n = 0;
    char           text[160];
    while (o.set && o.set[n])
        n++;
    const char **set = xmalloc((n + 2) * sizeof *set);
    for (uint32_t i = 0; i < n; i++)
        set[i] = o.set[i];
    snprintf(text, sizeof text, "%s=%lld", t->stage, (long long)stage);
    set[n] = text;
    o.set = set;
    bool ok = session_open(s, last.path, &o, st) && session_make_vars(s, st);
    if (!ok && s->diags.list.n)
        *st = (Status){ 0 }, status_fail(st, "%s: stage %s: %s", last.path, text, s->diags.list.at[0].message);
    free(set);
    s->options.set = last.options.set;
    ok = ok && carry_over(s, &last, st);
    session_close(ok ? &last : s);
    if (!ok)
        *s = last;
    return ok;
}

/* The stage a checkpoint stands in. */
static bool resume_stage(Run *r, int64_t *stage)
{
    CheckpointInfo c;
    char          *where = resume_place(r), *path = NULL;
    bool           ok = checkpoint_find(where, &path, &c, NULL, r->st);
    if (ok)
        *stage = c.stage;
    free(path);
    free(where);
    return ok;
}

bool train_run(Session *s, const char *name, const TrainOptions *o, TrainResult *result, Status *st)
{
    int32_t index = find_train(s, name, st);
    *result = (TrainResult){ 0 };
    if (index < 0 || !session_make_vars(s, st))
        return false;
    Run r = { .s = s, .train = &s->model->trains.at[index], .o = o, .st = st, .started = clock_seconds() };
    const TrainStmt *c = find_checkpoint(r.train->body, r.train->nbody);
    int64_t          stage = r.train->stage_lo, last = r.train->stage ? r.train->stage_hi : stage;
    bool             ok = true, resume = o->resume != NULL;
    r.keep = c ? c->keep : 2;
    r.checkpoint_name = xstrdup(c ? c->path : "checkpoints");
    r.out = run_folder(&r);
    r.checkpoints = path_join(r.out, r.checkpoint_name);
    if (!resume)
        ok = claim_folder(&r);
    else if (r.train->stage)
        ok = resume_stage(&r, &stage);
    signals_catch();
    for (; ok && stage <= last && !signals_caught(); stage++) {
        if (r.train->stage) {
            ok = enter_stage(s, r.train, stage, st);
            if (!ok)
                break;
            r.train = &s->model->trains.at[index];
            snprintf(r.label, sizeof r.label, "%s %s=%lld", r.train->name, r.train->stage, (long long)stage);
        } else {
            snprintf(r.label, sizeof r.label, "%s", r.train->name);
        }
        r.stage = stage;
        r.pass = 0;
        r.best = NAN;
        r.saved_at = UINT64_MAX;
        ok = one_stage(&r, resume);
        resume = false;
        r.before += r.pass;
        stage_free(&r);
    }
    bool stopped = signals_caught() != 0;
    signals_release();
    *result = (TrainResult){ r.pass, r.total, stopped, NULL, r.checkpoint_path };
    if (ok) {
        result->weights = path_join(r.out, "weights.safetensors");
        ok = session_write_weights(s, NULL, result->weights, st);
    }
    free(r.checkpoint_name);
    free(r.checkpoints);
    free(r.out);
    return ok;
}
