/* checkpoint.c - writing, keeping and finding checkpoints. The container is safetensors.c; here is what the metadata mean.
 *
 * A checkpoint is ordered by the step in its name, not by time stamps, which copying changes. Temporary files of a run that died
 * have other names and are never read.
 */
#include "checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

#define FORMAT "pastiche checkpoint 1"

bool checkpoint_note_data(CheckpointInfo *c, const char *name, DataPos pos, Status *st)
{
    if (c->ndatas == CHECKPOINT_MAX_DATAS || strlen(name) >= CHECKPOINT_NAME)
        return status_fail(st, "a checkpoint holds the positions of %d data sets with names under %d bytes", CHECKPOINT_MAX_DATAS, CHECKPOINT_NAME);
    strcpy(c->datas[c->ndatas].name, name);
    c->datas[c->ndatas++].pos = pos;
    return true;
}

const DataPos *checkpoint_data(const CheckpointInfo *c, const char *name)
{
    for (uint32_t i = 0; i < c->ndatas; i++)
        if (!strcmp(c->datas[i].name, name))
            return &c->datas[i].pos;
    return NULL;
}

/* ---- checksum: over metadata sorted by key, then tensors sorted by name ---- */
static int by_key(const void *a, const void *b)
{
    return strcmp(((const SafeMeta *)a)->key, ((const SafeMeta *)b)->key);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const SafeItem *)a)->name, ((const SafeItem *)b)->name);
}

static uint64_t hash_text(const char *s, uint64_t h)
{
    return hash_bytes(s, strlen(s) + 1, h);
}

static uint64_t hash_meta(const SafeMeta *m, uint32_t n)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(m[i].key, "checksum"))
            h = hash_text(m[i].value, hash_text(m[i].key, h));
    return h;
}

static uint64_t hash_tensor(const char *name, const Tensor *t, uint64_t h)
{
    h = hash_text(name, h);
    h = hash_bytes(t->shape, sizeof(int64_t) * (size_t)t->rank, h);
    return hash_bytes(t->data, (size_t)tensor_count(t) * dtype_size(t->dtype), h);
}

static bool verify_file(const SafeFile *f, Status *st)
{
    const char *format = safe_meta(f, "format"), *said = safe_meta(f, "checksum");
    if (!format || strcmp(format, FORMAT) || !said)
        return status_fail(st, "'%s' is not a checkpoint of this program", f->path);
    uint64_t h = hash_meta(f->meta, f->nmeta);
    for (uint32_t i = 0; i < f->n; i++) {
        Tensor t;
        if (!safe_read(f, &f->tensors[i], &t, st))
            return false;
        h = hash_tensor(f->tensors[i].name, &t, h);
        tensor_free(&t);
    }
    char text[20];
    snprintf(text, sizeof text, "%016" PRIx64, h);
    return !strcmp(text, said) || status_fail(st, "'%s' is damaged: its checksum is %s and should be %s", f->path, text, said);
}

/* ---- metadata ---- */
typedef struct { Arena arena; SafeMeta m[16 + CHECKPOINT_MAX_DATAS]; uint32_t n; } MetaList;

static void put_meta(MetaList *l, const char *key, const char *value)
{
    l->m[l->n++] = (SafeMeta){ key, value };
}

static void put_info(MetaList *l, const CheckpointInfo *c)
{
    put_meta(l, "format", FORMAT);
    put_meta(l, "train", c->train);
    put_meta(l, "stage", arena_printf(&l->arena, "%" PRId64, c->stage));
    put_meta(l, "seed", arena_printf(&l->arena, "%" PRIu64, c->seed));
    put_meta(l, "step", arena_printf(&l->arena, "%" PRIu64, c->step));
    put_meta(l, "stage_step", arena_printf(&l->arena, "%" PRIu64, c->stage_step));
    put_meta(l, "epoch", arena_printf(&l->arena, "%.17g", c->epoch));
    put_meta(l, "best", arena_printf(&l->arena, "%.17g", c->best));
    put_meta(l, "model", arena_printf(&l->arena, "%016" PRIx64, c->model));
    for (uint32_t i = 0; i < c->ndatas; i++)
        put_meta(l, arena_printf(&l->arena, "data.%s", c->datas[i].name),
                 arena_printf(&l->arena, "%" PRIu64 " %" PRIu64, c->datas[i].pos.epoch, c->datas[i].pos.index));
    qsort(l->m, l->n, sizeof *l->m, by_key);
}

static bool get_number(const SafeFile *f, const char *key, int base, uint64_t *v, Status *st)
{
    const char *s = safe_meta(f, key);
    char       *end;
    errno = 0;
    *v = s ? strtoull(s, &end, base) : 0;
    return (s && *s && !*end && !errno) || status_fail(st, "'%s' has no '%s' in its metadata", f->path, key);
}

static bool get_info(const SafeFile *f, CheckpointInfo *c, Status *st)
{
    uint64_t    stage;
    const char *train = safe_meta(f, "train"), *epoch = safe_meta(f, "epoch"), *best = safe_meta(f, "best");
    *c = (CheckpointInfo){ 0 };
    if (!train || strlen(train) >= CHECKPOINT_NAME || !epoch || !best)
        return status_fail(st, "'%s' has no 'train', 'epoch' or 'best' in its metadata", f->path);
    strcpy(c->train, train);
    c->epoch = strtod(epoch, NULL);
    c->best = strtod(best, NULL);
    if (!get_number(f, "stage", 10, &stage, st) || !get_number(f, "seed", 10, &c->seed, st) || !get_number(f, "step", 10, &c->step, st) ||
        !get_number(f, "stage_step", 10, &c->stage_step, st) || !get_number(f, "model", 16, &c->model, st))
        return false;
    c->stage = (int64_t)stage;
    for (uint32_t i = 0; i < f->nmeta; i++) {
        DataPos pos;
        if (strncmp(f->meta[i].key, "data.", 5))
            continue;
        if (sscanf(f->meta[i].value, "%" SCNu64 " %" SCNu64, &pos.epoch, &pos.index) != 2)
            return status_fail(st, "'%s' has a damaged '%s' in its metadata", f->path, f->meta[i].key);
        if (!checkpoint_note_data(c, f->meta[i].key + 5, pos, st))
            return false;
    }
    return true;
}

/* ---- writing ---- */
bool checkpoint_write(const char *path, const CheckpointInfo *c, const SafeItem *items, uint32_t n, Status *st)
{
    MetaList  l = { .n = 0 };
    SafeItem *sorted = xmalloc(sizeof *sorted * (n + 1));
    if (n)
        memcpy(sorted, items, sizeof *sorted * n);
    qsort(sorted, n, sizeof *sorted, by_name);
    put_info(&l, c);
    uint64_t h = hash_meta(l.m, l.n);
    for (uint32_t i = 0; i < n; i++)
        h = hash_tensor(sorted[i].name, sorted[i].tensor, h);
    put_meta(&l, "checksum", arena_printf(&l.arena, "%016" PRIx64, h));
    bool ok = safe_write(path, sorted, n, l.m, l.n, false, st);
    free(sorted);
    arena_free(&l.arena);
    return ok;
}

/* The steps of the checkpoints in a folder, newest first. */
typedef struct { uint64_t step; char *path; } Found;
typedef Vec(Found) FoundList;

static int newest_first(const void *a, const void *b)
{
    const Found *x = a, *y = b;
    return (x->step < y->step) - (x->step > y->step);
}

static bool list_checkpoints(const char *dir, FoundList *list, Status *st)
{
    DIR *d = opendir(dir);
    if (!d)
        return status_fail(st, "cannot open folder '%s': %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        uint64_t step;
        char     name[64];
        if (sscanf(e->d_name, "step-%" SCNu64, &step) != 1)
            continue;
        snprintf(name, sizeof name, "step-%08" PRIu64 ".safetensors", step);
        if (!strcmp(name, e->d_name)) {                    /* sscanf takes signs and blanks; only our own names count */
            Found found = { step, path_join(dir, name) };
            vec_push(list, found);
        }
    }
    closedir(d);
    if (list->n)
        qsort(list->at, list->n, sizeof *list->at, newest_first);
    return true;
}

static void free_list(FoundList *list)
{
    for (uint32_t i = 0; i < list->n; i++)
        free(list->at[i].path);
    vec_free(list);
}

int64_t checkpoint_newest(const char *dir)
{
    FoundList list = { 0 };
    Status    quiet = { 0 };
    int64_t   step = list_checkpoints(dir, &list, &quiet) && list.n ? (int64_t)list.at[0].step : -1;
    free_list(&list);
    return step;
}

bool checkpoint_clear(const char *dir, Status *st)
{
    FoundList list = { 0 };
    bool      ok = list_checkpoints(dir, &list, st);
    for (uint32_t i = 0; ok && i < list.n; i++)
        if (unlink(list.at[i].path))
            ok = status_fail(st, "cannot remove '%s': %s", list.at[i].path, strerror(errno));
    free_list(&list);
    return ok;
}

bool checkpoint_save(const char *dir, int64_t keep, const CheckpointInfo *c, const SafeItem *items, uint32_t n, char **path, Status *st)
{
    char name[64];
    snprintf(name, sizeof name, "step-%08" PRIu64 ".safetensors", c->step);
    char *to = path_join(dir, name);
    bool  ok = checkpoint_write(to, c, items, n, st);
    if (ok && keep > 0) {
        FoundList list = { 0 };
        ok = list_checkpoints(dir, &list, st);
        /* Files of later steps are another run's work: whether they may go is not for this one to decide. */
        int64_t kept = 0;
        for (uint32_t i = 0; i < list.n; i++)
            if (list.at[i].step <= c->step && kept++ >= keep)
                unlink(list.at[i].path);
        free_list(&list);
    }
    if (path && ok)
        *path = to;
    else
        free(to);
    return ok;
}

/* ---- reading ---- */
static bool read_one(const char *path, CheckpointInfo *c, const SafeItem *items, uint32_t n, bool tensors, Status *st)
{
    SafeFile *f = safe_open(path, st);
    bool      ok = f && verify_file(f, st) && get_info(f, c, st) && (!tensors || safe_load(f, items, n, NULL, true, NULL, st));
    safe_close(f);
    return ok;
}

bool checkpoint_read_info(const char *path, CheckpointInfo *c, Status *st)
{
    return read_one(path, c, NULL, 0, false, st);
}

bool checkpoint_read(const char *path, CheckpointInfo *c, const SafeItem *items, uint32_t n, Status *st)
{
    return read_one(path, c, items, n, true, st);
}

static bool search(const char *where, CheckpointInfo *c, const SafeItem *items, uint32_t n, bool tensors, char **path, Text *refused, Status *st)
{
    FoundList list = { 0 };
    bool      ok = false;
    if (!path_is_folder(where)) {
        ok = read_one(where, c, items, n, tensors, st);
        if (ok && path)
            *path = xstrdup(where);
        return ok;
    }
    if (!list_checkpoints(where, &list, st))
        return false;
    if (!list.n)
        status_fail(st, "there is no checkpoint (step-*.safetensors) in '%s'", where);
    Status first = { 0 };
    for (uint32_t i = 0; i < list.n && !ok; i++) {
        Status why = { 0 };
        ok = read_one(list.at[i].path, c, items, n, tensors, &why);
        if (ok && path)
            *path = xstrdup(list.at[i].path);
        if (!ok && refused)
            text_addf(refused, "%s\n", why.message);
        if (!ok && !first.failed)
            first = why;
    }
    if (!ok && list.n)
        status_fail(st, "none of the %u checkpoints in '%s' can be used; the newest: %.380s", list.n, where, first.message);
    free_list(&list);
    return ok;
}

bool checkpoint_find(const char *where, char **path, CheckpointInfo *c, Text *refused, Status *st)
{
    return search(where, c, NULL, 0, false, path, refused, st);
}

bool checkpoint_load(const char *where, CheckpointInfo *c, const SafeItem *items, uint32_t n, char **path, Text *refused, Status *st)
{
    return search(where, c, items, n, true, path, refused, st);
}
