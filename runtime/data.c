/* data.c - sets and batches: opening, the order of an epoch, filling, reading ahead, positions. What an item is, the sources know.
 *
 *   data_next:  ahead (read in the background) --swap--> now --> caller;  the next `ahead` is started
 *
 * The loading thread and the caller never work on a set at once: whoever needs it waits for the thread first. Only the list of unreadable items is
 * read while the thread may write it, and has a lock.
 */
#include "data.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data_source.h"
#include "files.h"

double draw_uniform(const Draw *d, int which)
{
    return rng_uniform(d->rng, d->stream, d->index * DRAWS + (uint64_t)which);
}

/* ---- opening ---- */
/* Whatever the source, an override may be a folder of pictures with the same fields. */
static bool resolve_source(DataSet *s, const char *graph_dir, const char *override, Status *st)
{
    const char *path = override ? override : s->config.path, *name = s->data->name;
    if (!path)
        return true;
    s->path = override ? xstrdup(path) : resolve_path(graph_dir, path);
    s->overridden = override != NULL;
    if (path_is_folder(s->path) || path_is_file(s->path))
        return true;
    if (override)
        return status_fail(st, "data '%s': there is no file or folder '%s' (given by --data %s=...)", name, s->path, name);
    return status_fail(st, "data '%s': there is no file or folder '%s', neither beside the graph file%s%s%s nor in the current folder; name yours with --data %s=PATH", name,
                       path, graph_dir && *graph_dir ? " (in '" : "", graph_dir ? graph_dir : "", graph_dir && *graph_dir ? "')" : "", name);
}

static size_t default_cache(void)
{
    long   pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t quarter = pages > 0 && page > 0 ? (size_t)pages / 4 * (size_t)page : 0, most = (size_t)1 << 30;
    return quarter && quarter < most ? quarter : most;
}

/* The arguments were checked by describe_data; parsing them again can only fail for a Data that was not. */
static bool parse_again(DataSet *s, const char *graph_dir, Status *st)
{
    Diags d = { 0 };
    s->source = source_by_name(s->data->source);
    bool ok = s->source && config_parse(s->data, s->source, &s->config, &d);
    if (!ok)
        status_fail(st, "data '%s': %s", s->data->name, d.list.n ? d.list.at[0].message : "its source is unknown");
    diags_free(&d);
    s->nfields = ok ? s->source->fields(&s->config, graph_dir ? graph_dir : "", s->fields, st) : 0;
    return s->nfields > 0;
}

static bool alloc_batch(const DataSet *s, int64_t n, Tensor *fields, Status *st)
{
    bool ok = true;
    for (int i = 0; i < s->nfields && ok; i++) {
        int64_t shape[MAX_RANK] = { n };
        memcpy(shape + 1, s->fields[i].shape, sizeof(int64_t) * (size_t)s->fields[i].rank);
        ok = tensor_alloc(&fields[i], s->fields[i].dtype, s->fields[i].rank + 1, shape, st);
    }
    for (int i = 0; i < s->nfields && !ok; i++)
        tensor_free(&fields[i]);
    return ok;
}

static bool read_ahead(void *set, Status *st);

DataSet *data_open(const Data *d, const char *graph_dir, const char *override, uint64_t seed, const DataOptions *o, Status *st)
{
    DataSet *s = xmalloc(sizeof *s);
    s->data = d;
    s->options = o ? *o : (DataOptions){ 0 };
    s->cache_left = s->options.cache ? s->options.cache : default_cache();
    s->seed = seed;
    s->stream = hash_bytes(d->name, strlen(d->name), 0x64617461);
    pthread_mutex_init(&s->bad_lock, NULL);
    bool ok = parse_again(s, graph_dir, st) && resolve_source(s, graph_dir, override, st);
    if (ok) {
        s->item = s->source->item;
        ok = s->source->open(s, st);
    }
    if (ok && s->items > MAX_ITEMS)
        ok = status_fail(st, "data '%s': %lld items; at most %d are taken", d->name, (long long)s->items, MAX_ITEMS);
    if (ok && s->items < s->config.batch)
        ok = status_fail(st, "data '%s': '%s' has %lld items, fewer than batch: %lld", d->name, s->path ? s->path : s->source->name, (long long)s->items, (long long)s->config.batch);
    if (ok) {
        s->steps = s->items / s->config.batch;
        s->bad = calloc((size_t)s->items, 1);
        s->order = malloc(sizeof(uint32_t) * (size_t)s->items);
        ok = (s->bad && s->order) || status_fail(st, "data '%s': out of memory for %lld items", d->name, (long long)s->items);
    }
    ok = ok && alloc_batch(s, s->config.batch, s->now, st) && alloc_batch(s, s->config.batch, s->ahead, st);
    if (ok && !s->options.foreground)
        ok = (s->loader = loader_new(read_ahead, s, st)) != NULL;
    if (ok)
        return s;
    data_close(s);
    return NULL;
}

void data_close(DataSet *s)
{
    if (!s)
        return;
    loader_free(s->loader);
    if (s->source)
        s->source->close(s);
    for (int i = 0; i < MAX_FIELDS; i++) {
        tensor_free(&s->now[i]);
        tensor_free(&s->ahead[i]);
    }
    for (int64_t i = 0; i < s->classes; i++)
        free(s->class_names[i]);
    for (uint32_t i = 0; i < s->bad_messages.n; i++)
        free(s->bad_messages.at[i]);
    vec_free(&s->bad_messages);
    pthread_mutex_destroy(&s->bad_lock);
    free(s->class_names);
    free(s->bad);
    free(s->order);
    free(s->path);
    free(s);
}

int64_t data_items(const DataSet *s)
{
    return s->items;
}

int64_t data_steps(const DataSet *s)
{
    return s->steps;
}

int64_t data_classes(const DataSet *s)
{
    return s->classes;
}

const char *data_class_name(const DataSet *s, int64_t i)
{
    return i >= 0 && i < s->classes ? s->class_names[i] : NULL;
}

/* ---- order ---- */
/* Fisher and Yates's shuffle with Philox for dice: the order of an epoch needs no other epoch. */
static void make_order(DataSet *s, uint64_t epoch)
{
    if (s->has_order && (s->order_epoch == epoch || !s->config.shuffle))
        return;
    for (int64_t i = 0; i < s->items; i++)
        s->order[i] = (uint32_t)i;
    uint64_t stream = s->stream ^ 0x6F72646572;            /* apart from the items' own draws */
    for (int64_t i = s->items - 1; i > 0 && s->config.shuffle; i--) {
        const uint32_t counter[4] = { (uint32_t)i, 1, (uint32_t)epoch, (uint32_t)(stream >> 32) }, key[2] = { (uint32_t)s->seed ^ (uint32_t)stream, (uint32_t)(s->seed >> 32) };
        uint32_t       words[4];
        philox4x32_10(counter, key, words);
        int64_t  k = (int64_t)(((uint64_t)words[0] * (uint64_t)(i + 1)) >> 32);
        uint32_t swap = s->order[i];
        s->order[i] = s->order[k];
        s->order[k] = swap;
    }
    s->order_epoch = epoch;
    s->has_order = true;
}

/* ---- filling ---- */
static void note_bad(DataSet *s, int64_t item, const char *message)
{
    pthread_mutex_lock(&s->bad_lock);
    s->bad[item] = 1;
    vec_push(&s->bad_messages, xstrdup(message));
    pthread_mutex_unlock(&s->bad_lock);
}

int64_t data_bad(DataSet *s)
{
    pthread_mutex_lock(&s->bad_lock);
    int64_t n = s->bad_messages.n;
    pthread_mutex_unlock(&s->bad_lock);
    return n;
}

const char *data_bad_message(DataSet *s, int64_t i)
{
    pthread_mutex_lock(&s->bad_lock);
    const char *m = i >= 0 && i < s->bad_messages.n ? s->bad_messages.at[i] : NULL;
    pthread_mutex_unlock(&s->bad_lock);
    return m;
}

/* The item at `place` of the order, or the next good one after it, into row `row` of fields. order NULL: the order of the files. */
static bool fill_row(DataSet *s, const uint32_t *order, int64_t place, const Draw *draw, int64_t row, Tensor *fields, Status *st)
{
    void  *to[MAX_FIELDS];
    Status why = { 0 };
    for (int f = 0; f < s->nfields; f++)
        to[f] = (char *)fields[f].data + (size_t)row * (size_t)(tensor_count(&fields[f]) / fields[f].shape[0]) * dtype_size(fields[f].dtype);
    for (int64_t tries = 0; tries < s->items; tries++) {
        int64_t at = (place + tries) % s->items, item = order ? order[at] : at;
        if (s->bad[item])
            continue;
        why = (Status){ 0 };
        if (s->item(s, item, draw, to, &why))
            return true;
        if (s->options.strict)
            return status_fail(st, "data '%s': %.400s", s->data->name, why.message);
        note_bad(s, item, why.message);
    }
    return status_fail(st, "data '%s': none of its %lld items can be read; the first: %.300s", s->data->name, (long long)s->items, data_bad_message(s, 0));
}

static bool fill_batch(DataSet *s, DataPos pos, Tensor *fields, Status *st)
{
    int64_t batch = s->config.batch;
    make_order(s, pos.epoch);
    for (int64_t b = 0; b < batch; b++) {
        int64_t place = (int64_t)pos.index * batch + b;
        Draw    draw = { .rng = { s->seed, (uint32_t)pos.epoch }, .stream = s->stream, .index = (uint64_t)place };
        if (!fill_row(s, s->order, place, &draw, b, fields, st))
            return false;
    }
    return true;
}

static DataPos after(const DataSet *s, DataPos pos)
{
    return pos.index + 1 < (uint64_t)s->steps ? (DataPos){ pos.epoch, pos.index + 1 } : (DataPos){ pos.epoch + 1, 0 };
}

static bool read_ahead(void *set, Status *st)
{
    DataSet *s = set;
    return fill_batch(s, s->ahead_pos, s->ahead, st);
}

/* Waits until the set is ours. A batch that failed in the background is read again by whoever wants it, who then gets the message. */
static void settle(DataSet *s)
{
    if (s->loading)
        s->has_ahead = loader_wait(s->loader, NULL);
    s->loading = false;
}

const Tensor *data_next(DataSet *s, Status *st)
{
    settle(s);
    s->has_now = false;
    if (s->has_ahead && s->ahead_pos.epoch == s->pos.epoch && s->ahead_pos.index == s->pos.index) {
        for (int f = 0; f < s->nfields; f++) {
            Tensor swap = s->now[f];
            s->now[f] = s->ahead[f];
            s->ahead[f] = swap;
        }
    } else if (!fill_batch(s, s->pos, s->now, st)) {
        return NULL;
    }
    s->has_ahead = false;
    s->has_now = s->drawn = true;
    s->pos = after(s, s->pos);
    if (s->loader) {
        s->ahead_pos = s->pos;
        s->loading = true;
        loader_start(s->loader);
    }
    return s->now;
}

const Tensor *data_last(DataSet *s, Status *st)
{
    if (s->has_now)
        return s->now;
    if (!s->drawn) {
        status_fail(st, "data '%s': '.last' is used before any '.next'", s->data->name);
        return NULL;
    }
    settle(s);
    DataPos was = s->pos.index ? (DataPos){ s->pos.epoch, s->pos.index - 1 } : (DataPos){ s->pos.epoch - 1, (uint64_t)s->steps - 1 };
    if (!fill_batch(s, was, s->now, st))
        return NULL;
    s->has_now = true;
    return s->now;
}

bool data_first_items(DataSet *s, int64_t k, Tensor *fields, Status *st)
{
    if (k < 1 || k > s->items)
        return status_fail(st, "data '%s': '.first(%lld)' of %lld items", s->data->name, (long long)k, (long long)s->items);
    settle(s);
    bool ok = alloc_batch(s, k, fields, st);
    for (int64_t i = 0; i < k && ok; i++) {
        Draw draw = { .plain = true };
        ok = fill_row(s, NULL, i, &draw, i, fields, st);
    }
    for (int f = 0; f < s->nfields && !ok; f++)
        tensor_free(&fields[f]);
    return ok;
}

DataPos data_position(const DataSet *s)
{
    return s->pos;
}

bool data_seek(DataSet *s, DataPos pos, Status *st)
{
    if (pos.index >= (uint64_t)s->steps)
        return status_fail(st, "data '%s': batch %llu of an epoch of %lld; the data have changed since the checkpoint", s->data->name, (unsigned long long)pos.index,
                           (long long)s->steps);
    settle(s);
    s->pos = pos;
    s->has_now = false;
    s->drawn = pos.epoch || pos.index;
    return true;
}
