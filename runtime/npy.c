/* npy.c - .npy: a magic number, a Python dict literal that names type, order and shape, and the elements.
 *
 * The header is read by a small scanner that knows exactly the three keys NumPy writes, in any order; anything else is refused.
 * Sizes are multiplied with overflow checks and compared with the file before anything is allocated.
 */
#include "npy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

enum { MAX_HEADER = 1 << 16 };

static const struct { const char *name; size_t size; Dtype dtype; } types[] = {
    [NPY_F4] = { "<f4", 4, DT_F32 }, [NPY_F8] = { "<f8", 8, DT_F64 }, [NPY_I4] = { "<i4", 4, DT_I32 },
    [NPY_I8] = { "<i8", 8, DT_I32 }, [NPY_U1] = { "|u1", 1, DT_I32 }, [NPY_BOOL] = { "|b1", 1, DT_BOOL },
};

size_t npy_size(NpyType t)
{
    return types[t].size;
}

Dtype npy_dtype(NpyType t)
{
    return types[t].dtype;
}

bool npy_convert(NpyType type, const void *from, size_t n, void *to)
{
    if (type == NPY_I8) {
        for (size_t i = 0; i < n; i++) {
            int64_t v;
            memcpy(&v, (const char *)from + 8 * i, 8);
            if (v != (int32_t)v)
                return false;
            ((int32_t *)to)[i] = (int32_t)v;
        }
    } else if (type == NPY_U1) {
        for (size_t i = 0; i < n; i++)
            ((int32_t *)to)[i] = ((const uint8_t *)from)[i];
    } else if (type == NPY_BOOL) {
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)to)[i] = ((const uint8_t *)from)[i] != 0;
    } else {
        memcpy(to, from, n * types[type].size);
    }
    return true;
}

/* ---- the header's dict ---- */
typedef struct { const char *p, *end; } Scan;

static void skip_space(Scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n'))
        s->p++;
}

static bool take(Scan *s, char c)
{
    skip_space(s);
    return s->p < s->end && *s->p == c && s->p++;
}

static bool take_string(Scan *s, char *out, size_t cap)
{
    skip_space(s);
    if (s->p >= s->end || (*s->p != '\'' && *s->p != '"'))
        return false;
    char   quote = *s->p++;
    size_t n = 0;
    while (s->p < s->end && *s->p != quote && n + 1 < cap)
        out[n++] = *s->p++;
    out[n] = 0;
    return s->p < s->end && *s->p++ == quote;
}

static bool take_word(Scan *s, const char *word)
{
    size_t n = strlen(word);
    skip_space(s);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n))
        return false;
    s->p += n;
    return true;
}

static bool take_number(Scan *s, int64_t *v)
{
    skip_space(s);
    const char *start = s->p;
    for (*v = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, *s->p - '0', v))
            return false;
    return s->p > start;
}

static bool take_shape(Scan *s, NpyInfo *info, const char *name, Status *st)
{
    if (!take(s, '('))
        return false;
    for (info->rank = 0; !take(s, ')');) {
        if (info->rank == MAX_RANK)
            return status_fail(st, "'%s' has more than %d axes", name, MAX_RANK);
        if (!take_number(s, &info->shape[info->rank++]) || (!take(s, ',') && (s->p >= s->end || *s->p != ')')))
            return false;
    }
    return true;
}

static bool parse_type(const char *text, const char *name, NpyInfo *info, Status *st)
{
    for (size_t i = 0; i < COUNT(types); i++)
        if (!strcmp(text, types[i].name)) {
            info->type = (NpyType)i;
            return true;
        }
    return status_fail(st, "'%s' holds elements of type '%s'; f4, f8, i4, i8, u1 and bool (little-endian) are read", name, text);
}

bool npy_header(const uint8_t *bytes, size_t n, uint64_t file_size, const char *name, NpyInfo *info, Status *st)
{
    *info = (NpyInfo){ 0 };
    if (n < 10 || memcmp(bytes, "\x93NUMPY", 6))
        return status_fail(st, "'%s' is not a .npy file", name);
    if (bytes[6] != 1 && bytes[6] != 2)
        return status_fail(st, "'%s' has .npy version %d.%d; 1 and 2 are read", name, bytes[6], bytes[7]);
    uint64_t length = bytes[8] | (uint64_t)bytes[9] << 8, start = 10;
    if (bytes[6] == 2) {
        if (n < 12)
            return status_fail(st, "'%s' ends within its header", name);
        length |= (uint64_t)bytes[10] << 16 | (uint64_t)bytes[11] << 24;
        start = 12;
    }
    if (length > MAX_HEADER)
        return status_fail(st, "'%s' has a header of %llu bytes; at most %d are read", name, (unsigned long long)length, MAX_HEADER);
    if (start + length > n)
        return status_fail(st, "'%s' ends within its header", name);
    Scan s = { (const char *)bytes + start, (const char *)bytes + start + length };
    char key[32], type[32] = "";
    bool ok = take(&s, '{'), fortran = false;
    int  seen = 0;
    while (ok && !take(&s, '}')) {
        ok = take_string(&s, key, sizeof key) && take(&s, ':');
        int bit = !strcmp(key, "descr") ? 1 : !strcmp(key, "fortran_order") ? 2 : !strcmp(key, "shape") ? 4 : 0;
        if (ok && bit == 1 && !take_string(&s, type, sizeof type))
            return status_fail(st, "'%s' holds structured elements; plain numbers are read", name);
        else if (ok && bit == 2)
            ok = (fortran = take_word(&s, "True")) || take_word(&s, "False");
        else if (ok && bit == 4)
            ok = take_shape(&s, info, name, st);
        ok = ok && bit && !(seen & bit) && (take(&s, ',') || (s.p < s.end && *s.p == '}'));
        seen |= bit;
    }
    skip_space(&s);
    if (!ok || seen != 7 || s.p != s.end)
        return status_fail(st, "'%s' has a damaged header", name);
    if (fortran)
        return status_fail(st, "'%s' is in Fortran order; save it with numpy.ascontiguousarray", name);
    if (!parse_type(type, name, info, st))
        return false;
    info->offset = start + length;
    int64_t size;
    info->count = 1;
    for (int i = 0; i < info->rank; i++)
        if (__builtin_mul_overflow(info->count, info->shape[i], &info->count))
            return status_fail(st, "'%s' claims a shape that is too large", name);
    if (__builtin_mul_overflow(info->count, (int64_t)npy_size(info->type), &size) || (uint64_t)size != file_size - info->offset)
        return status_fail(st, "'%s' has %llu bytes of data where its shape asks for %lld elements of %zu bytes", name,
                           (unsigned long long)(file_size - info->offset), (long long)info->count, npy_size(info->type));
    return true;
}

/* ---- files ---- */
bool npy_open(NpyFile *f, const char *path, Status *st)
{
    uint64_t size;
    *f = (NpyFile){ .fd = file_open(path, &size, st) };
    if (f->fd < 0)
        return false;
    size_t   n = size < MAX_HEADER + 12 ? (size_t)size : MAX_HEADER + 12;
    uint8_t *head = xmalloc(n);
    bool     ok = file_pread(f->fd, path, head, n, 0, st) && npy_header(head, n, size, path, &f->info, st);
    free(head);
    f->path = xstrdup(path);
    if (!ok)
        npy_close(f);
    return ok;
}

void npy_close(NpyFile *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (NpyFile){ .fd = -1 };
}

bool npy_read_range(const NpyFile *f, int64_t first, int64_t count, void *to, Status *st)
{
    const NpyInfo *info = &f->info;
    size_t         size = npy_size(info->type), n = (size_t)count;
    if (info->type != NPY_I8 && info->type != NPY_U1 && info->type != NPY_BOOL)
        return file_pread(f->fd, f->path, to, n * size, info->offset + (uint64_t)first * size, st);
    void *raw = malloc(n * size + 1);
    if (!raw)
        return status_fail(st, "out of memory for '%s'", f->path);
    bool ok = file_pread(f->fd, f->path, raw, n * size, info->offset + (uint64_t)first * size, st);
    if (ok && !npy_convert(info->type, raw, n, to))
        ok = status_fail(st, "'%s' holds an integer that does not fit in 32 bits", f->path);
    free(raw);
    return ok;
}

bool npy_read(const char *path, Tensor *t, Status *st)
{
    NpyFile f;
    *t = (Tensor){ 0 };
    if (!npy_open(&f, path, st))
        return false;
    bool ok = tensor_alloc(t, npy_dtype(f.info.type), f.info.rank, f.info.shape, st) && npy_read_range(&f, 0, f.info.count, t->data, st);
    npy_close(&f);
    if (!ok)
        tensor_free(t);
    return ok;
}

bool npy_parse(const uint8_t *bytes, size_t n, const char *name, Tensor *t, Status *st)
{
    NpyInfo info;
    *t = (Tensor){ 0 };
    if (!npy_header(bytes, n, n, name, &info, st) || !tensor_alloc(t, npy_dtype(info.type), info.rank, info.shape, st))
        return false;
    if (npy_convert(info.type, bytes + info.offset, (size_t)info.count, t->data))
        return true;
    tensor_free(t);
    return status_fail(st, "'%s' holds an integer that does not fit in 32 bits", name);
}

bool npy_write(const char *path, const Tensor *t, Status *st)
{
    Text    head = { 0 };
    uint8_t pre[10] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
    text_add(&head, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int i = 0; i < t->rank; i++)
        text_addf(&head, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    text_add(&head, t->rank == 1 ? ",), }" : "), }");
    while ((sizeof pre + head.n + 1) % 64)             /* the data start at a multiple of 64 */
        text_add(&head, " ");
    text_add(&head, "\n");
    pre[8] = (uint8_t)head.n;
    pre[9] = (uint8_t)(head.n >> 8);
    FileWriter w;
    int64_t    count = tensor_count(t);
    bool       ok = file_begin(&w, path, st) && file_put(&w, pre, sizeof pre, st) && file_put(&w, head.at, head.n, st);
    float      part[1024];
    for (int64_t i = 0; i < count && ok;) {
        size_t n = 0;
        while (n < COUNT(part) && i < count)
            part[n++] = (float)tensor_get(t, i++);
        ok = file_put(&w, part, n * sizeof *part, st);
    }
    text_free(&head);
    return ok && file_commit(&w, st);
}
