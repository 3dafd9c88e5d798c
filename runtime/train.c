/* train.c - a training from start to end: passes, stages, the limit on time. */
#include "train_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "files.h"
#include "signals.h"

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
            train_say(r, "skipped: %s\n", data_bad_message(r->s->datas[i], r->told[i]));
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
    r->runs_a_pass = train_count_runs(r->train->body, r->train->nbody) + 1;
    r->slots = xmalloc((r->train->nslots + 1) * sizeof *r->slots);
    train_collect_columns(r, r->train->body, r->train->nbody);
    r->values = xmalloc((r->columns.n + 1) * sizeof *r->values);
    r->fresh = xmalloc(r->columns.n + 1);
    for (uint32_t i = 0; i < r->columns.n; i++)
        r->values[i] = NAN;        /* not reported yet: not shown */
    r->told = xmalloc((r->s->model->datas.n + 1) * sizeof *r->told);
    if (ok && resume)
        ok = train_load_checkpoint(r);
    if (ok && r->pass > r->total)
        ok = status_fail(r->st, "the checkpoint is at step %llu, past the %llu steps asked for", (unsigned long long)r->pass, (unsigned long long)r->total);
    ok = ok && train_open_log(r);
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
        ok = train_run_block(r, r->train->body, r->train->nbody, &save);
        if (!ok)
            break;
        r->pass++;
        train_log_pass(r);
        tell_bad_items(r);
        if (r->progress)
            progress_step(r->progress, r->pass, r->columns.at, r->values, r->columns.n);
        ok = train_keep_if_best(r);
        if (ok && save)
            ok = train_save_checkpoint(r);
        in_time = has_time(r);
    }
    progress_finish(r->progress);
    r->progress = NULL;
    if (ok && r->saved_at != r->pass)
        ok = train_save_checkpoint(r);
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
    char          *where = train_resume_place(r), *path = NULL;
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
    r.out = train_run_folder(&r);
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
        ok = session_write_weights(s, NULL, result->weights, false, st);
    }
    free(r.checkpoint_name);
    free(r.checkpoints);
    free(r.out);
    return ok;
}
