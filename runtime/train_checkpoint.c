/* train_checkpoint.c - what a run keeps, where, and how another goes on from it. */
#include "train_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "safetensors.h"

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
    return train_flush_log(r);
}

bool train_save_checkpoint(Run *r)
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
bool train_keep_if_best(Run *r)
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
        train_say(r, "best %s so far: %.6g, kept in %s\n", t->names[0], v, path);
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
char *train_resume_place(const Run *r)
{
    const char *where = r->o->resume;
    char       *inner = path_join(where, r->checkpoint_name);
    if (!path_is_file(where) && !holds_checkpoints(where) && path_is_folder(inner))
        return inner;
    free(inner);
    return xstrdup(where);
}

/* The run's folder: --out; or, of a run that goes on, where it wrote so far, as far as --resume tells. */
char *train_run_folder(const Run *r)
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

bool train_load_checkpoint(Run *r)
{
    CheckpointInfo c;
    uint32_t       n;
    SafeItem      *items = all_vars(r, &n);
    Text           refused = { 0 };
    char          *where = train_resume_place(r), *path = NULL;
    bool           ok = checkpoint_load(where, &c, items, n, &path, &refused, r->st);
    free(items);
    if (refused.n)
        train_say(r, "%s", refused.at);
    if (ok && strcmp(c.train, r->train->name))
        ok = status_fail(r->st, "%s: was written by train block '%s', not '%s'", path, c.train, r->train->name);
    if (ok && c.model != r->s->hash)
        train_say(r, "note: the graph file has changed since the checkpoint was written\n");
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
        train_say(r, "resumed from %s at step %llu\n", path, (unsigned long long)c.step);
    }
    free(path);
    free(where);
    text_free(&refused);
    return ok;
}
