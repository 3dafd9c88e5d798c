/* safetensors_write.c - the writer of safetensors.h: header, data, in the order in which they stand in the file.
 *
 * All is checked before the file is begun, so that what fails leaves nothing behind but the disk's own troubles, for which files.h writes beside and renames.
 */
#include "safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

typedef struct { const char *name; const Tensor *tensor; SafeType type; } Entry;

static SafeType type_for(Dtype t, bool half)
{
    return t == DT_F64 ? SAFE_F64 : t == DT_I32 ? SAFE_I32 : t == DT_BOOL ? SAFE_BOOL : half ? SAFE_F16 : SAFE_F32;
}

static uint64_t bytes_of(const Entry *e)
{
    return (uint64_t)tensor_count(e->tensor) * safe_type_size(e->type);
}

/* ---- the order: wider elements first, then by name ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Entry *)a)->name, ((const Entry *)b)->name);
}

static int by_width(const void *a, const void *b)
{
    size_t x = safe_type_size(((const Entry *)a)->type), y = safe_type_size(((const Entry *)b)->type);
    return x != y ? (x < y) - (x > y) : by_name(a, b);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const SafeMeta *)a)->key, ((const SafeMeta *)b)->key);
}

/* ---- 16-bit floats ---- */

/* To nearest, ties to even; from 65520 on infinity. */
static uint16_t to_half(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7FFFFFFF;
    if (rest > 0x7F800000)
        return (uint16_t)(sign | 0x7E00);
    if (rest < 0x38800000)                                 /* below 2^-14: in units of 2^-24 */
        return (uint16_t)(sign | (uint32_t)rintf(fabsf(v) * 0x1p24f));
    rest += 0xFFF + (rest >> 13 & 1);
    return (uint16_t)(sign | (rest >= 0x47800000 ? 0x7C00 : (rest - 0x38000000) >> 13));
}

static bool fits(const Entry *e, const char *path, Status *st)
{
    const float *f = e->tensor->data;
    for (int64_t i = 0, n = e->type == SAFE_F16 ? tensor_count(e->tensor) : 0; i < n; i++)
        if (isfinite(f[i]) && (to_half(f[i]) & 0x7C00) == 0x7C00)
            return status_fail(st, "cannot write '%s': '%s' holds %g, too large for 16 bits (65504)", path, e->name, (double)f[i]);
    return true;
}

/* ---- the parts of the file ---- */

/* entries are sorted by name */
static bool check(const Entry *entries, uint32_t n, const char *path, Status *st)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i && !strcmp(entries[i].name, entries[i - 1].name))
            return status_fail(st, "cannot write '%s': two tensors are called '%s'", path, entries[i].name);
        if (!strcmp(entries[i].name, "__metadata__"))
            return status_fail(st, "cannot write '%s': no tensor can be called '__metadata__'", path);
        if (!fits(&entries[i], path, st))
            return false;
    }
    return true;
}

static void add_json(Text *t, const char *s)
{
    text_add(t, "\"");
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            text_addf(t, "\\%c", *s);
        else if ((unsigned char)*s < 32)
            text_addf(t, "\\u%04x", *s);
        else
            text_addn(t, s, 1);
    text_add(t, "\"");
}

/* The JSON with its length before it, padded so that the data start aligned. */
static void add_header(Text *t, const Entry *entries, uint32_t n, const SafeMeta *meta, uint32_t nmeta)
{
    uint64_t at = 0;
    text_addn(t, "\0\0\0\0\0\0\0\0", 8);
    text_add(t, "{");
    for (uint32_t i = 0; i < nmeta; i++) {
        text_add(t, i ? "," : "\"__metadata__\":{");
        add_json(t, meta[i].key);
        text_add(t, ":");
        add_json(t, meta[i].value);
    }
    if (nmeta)
        text_add(t, n ? "}," : "}");
    for (uint32_t i = 0; i < n; i++) {
        const Tensor *tensor = entries[i].tensor;
        text_add(t, i ? "," : "");
        add_json(t, entries[i].name);
        text_addf(t, ":{\"dtype\":\"%s\",\"shape\":[", safe_type_name(entries[i].type));
        for (int k = 0; k < tensor->rank; k++)
            text_addf(t, "%s%lld", k ? "," : "", (long long)tensor->shape[k]);
        text_addf(t, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + bytes_of(&entries[i]));
        at += bytes_of(&entries[i]);
    }
    text_add(t, "}");
    while (t->n % 8)
        text_add(t, " ");
    for (int i = 0; i < 8; i++)
        t->at[i] = (char)(uint8_t)((uint64_t)(t->n - 8) >> 8 * i);
}

static bool put_data(FileWriter *w, const Entry *e, Status *st)
{
    if (e->type != SAFE_F16)
        return file_put(w, e->tensor->data, (size_t)bytes_of(e), st);
    const float *f = e->tensor->data;
    size_t       n = (size_t)tensor_count(e->tensor);
    uint16_t    *h = xmalloc((n + 1) * sizeof *h);
    for (size_t i = 0; i < n; i++)
        h[i] = to_half(f[i]);
    bool ok = file_put(w, h, n * sizeof *h, st);
    free(h);
    return ok;
}

bool safe_write(const char *path, const SafeItem *items, uint32_t n, const SafeMeta *meta, uint32_t nmeta, bool half, Status *st)
{
    Entry     *entries = xmalloc((n + 1) * sizeof *entries);
    SafeMeta  *m = xmalloc((nmeta + 1) * sizeof *m);
    Text       header = { 0 };
    FileWriter w;
    for (uint32_t i = 0; i < n; i++)
        entries[i] = (Entry){ items[i].name, items[i].tensor, type_for(items[i].tensor->dtype, half) };
    if (nmeta)
        memcpy(m, meta, nmeta * sizeof *m);
    qsort(entries, n, sizeof *entries, by_name);
    qsort(m, nmeta, sizeof *m, by_key);
    bool ok = check(entries, n, path, st);
    qsort(entries, n, sizeof *entries, by_width);
    add_header(&header, entries, n, m, nmeta);
    ok = ok && file_begin(&w, path, st) && file_put(&w, header.at, header.n, st);
    for (uint32_t i = 0; i < n && ok; i++)
        ok = put_data(&w, &entries[i], st);
    ok = ok && file_commit(&w, st);
    text_free(&header);
    free(entries);
    free(m);
    return ok;
}
