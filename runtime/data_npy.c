/* data_npy.c - the source `npy`: the rows of one array, field x. Rows are read from the file when they are wanted, so an array may be larger than memory.
 *
 * The field's shape is the array's without its first axis: read from the file when the graph is checked, or given as shape: [...] so that a graph
 * checks where the file is not. Numbers are raw; with range: [lo, hi] the bytes 0..255 of a u1 array map to it, as pictures do.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "files.h"
#include "npy.h"

static int npy_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    f[0] = (FieldShape){ "x", c->as == AS_I32 ? DT_I32 : DT_F32, c->rank, { 0 } };
    if (c->rank >= 0) {
        memcpy(f[0].shape, c->shape, sizeof(int64_t) * (size_t)c->rank);
        return 1;
    }
    NpyFile file;
    char   *path = resolve_path(folder, c->path);
    Status  why = { 0 };
    bool    ok = npy_open(&file, path, &why);
    free(path);
    if (!ok)
        return status_fail(st, "%.350s; give shape: [...] of one row to check without the file", why.message), 0;
    if (file.info.rank < 1)
        status_fail(st, "'%s' holds a single number; its first axis must count the rows", c->path);
    f[0].rank = file.info.rank - 1;
    for (int i = 0; i < f[0].rank; i++)
        f[0].shape[i] = file.info.shape[i + 1];
    int rank = file.info.rank;
    npy_close(&file);
    return rank >= 1;
}

static bool rows_open(DataSet *s, Status *st)
{
    NpyFile    *f = s->state = xmalloc(sizeof *f);
    FieldShape *want = &s->fields[0];
    f->fd = -1;
    if (!npy_open(f, s->path, st))
        return false;
    bool same = f->info.rank == want->rank + 1;
    for (int i = 0; same && i < want->rank; i++)
        same = f->info.shape[i + 1] == want->shape[i];
    if (!same)
        return status_fail(st, "data '%s': the rows of '%s' have another shape than the graph was checked with", s->data->name, s->path);
    if (s->config.ranged && f->info.type != NPY_U1)
        return status_fail(st, "data '%s': range: maps bytes, and '%s' does not hold u1", s->data->name, s->path);
    s->items = f->info.shape[0];
    return true;
}

static bool rows_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st)
{
    const NpyFile *f = s->state;
    const double  *range = s->config.range;
    Tensor         row = { 0 };
    int64_t        n = 1;
    (void)d;
    for (int k = 0; k < s->fields[0].rank; k++)
        n *= s->fields[0].shape[k];
    if (!tensor_alloc(&row, npy_dtype(f->info.type), 1, &n, st) || !npy_read_range(f, i * n, n, row.data, st)) {
        tensor_free(&row);
        return false;
    }
    for (int64_t k = 0; k < n; k++) {
        double v = tensor_get(&row, k);
        if (s->config.as == AS_I32)
            ((int32_t *)fields[0])[k] = v >= INT32_MAX ? INT32_MAX : v > INT32_MIN ? (int32_t)v : v <= INT32_MIN ? INT32_MIN : 0;
        else
            ((float *)fields[0])[k] = (float)(s->config.ranged ? range[0] + (range[1] - range[0]) * v / 255 : v);
    }
    tensor_free(&row);
    return true;
}

static void rows_close(DataSet *s)
{
    if (s->state)
        npy_close(s->state);
    free(s->state);
    s->state = NULL;
}

static const char *const types[] = { "f32", "i32", NULL };
_Static_assert(AS_I32 == 1, "words stand in the enum's order");

#define AT(member) offsetof(DataConfig, member)
static const ArgSpec rows_args[] = {
    { "path",    ARG_IS_PATH,  AT(path),    true,  0, 0,         NULL,  "",      "a .npy file; its first axis counts the items" },
    { "shape",   ARG_IS_SHAPE, 0,           false, 0, 0,         NULL,  "-",     "sizes of one item; read from the file if absent" },
    { "as",      ARG_IS_WORD,  AT(as),      false, 0, 0,         types, "f32",   "the field's element type" },
    { "range",   ARG_IS_RANGE, AT(range),   false, 0, 0,         NULL,  "-",     "what the bytes 0 and 255 map to" },
    { "batch",   ARG_IS_INT,   AT(batch),   false, 1, MAX_BATCH, NULL,  "1",     "items a batch" },
    { "shuffle", ARG_IS_BOOL,  AT(shuffle), false, 0, 0,         NULL,  "false", "a new order each epoch" },
};

const DataSource source_npy = {
    "npy", "rows of an array: x f32[...]", rows_args, COUNT(rows_args), NULL, npy_fields, rows_open, rows_item, rows_close,
};
