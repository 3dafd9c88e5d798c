/* safetensors.c - the reader of safetensors.h.
 *
 * The header is JSON of one fixed form, so it is read by a scanner of that form and not by a JSON library: no recursion, no unknown keys.
 * All text lives in the file's arena, all numbers are unsigned decimal integers with overflow checks.
 */
#include "safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

static const struct { const char *name; size_t size; Dtype dtype; } types[] = {
    [SAFE_F64] = { "F64", 8, DT_F64 },   [SAFE_F32] = { "F32", 4, DT_F32 }, [SAFE_F16] = { "F16", 2, DT_F32 }, [SAFE_BF16] = { "BF16", 2, DT_F32 },
    [SAFE_I64] = { "I64", 8, DT_I32 },   [SAFE_I32] = { "I32", 4, DT_I32 }, [SAFE_I16] = { "I16", 2, DT_I32 }, [SAFE_I8] = { "I8", 1, DT_I32 },
    [SAFE_U8] = { "U8", 1, DT_I32 },     [SAFE_BOOL] = { "BOOL", 1, DT_BOOL },
};

Dtype safe_dtype(SafeType t)
{
    return types[t].dtype;
}

const char *safe_type_name(SafeType t)
{
    return types[t].name;
}

size_t safe_type_size(SafeType t)
{
    return types[t].size;
}

/* ---- scanning the header ---- */
typedef struct { const char *p, *end; Arena *arena; const char *why; } Scan;

static bool refuse(Scan *s, const char *why)
{
    if (!s->why)
        s->why = why;
    return false;
}

static void skip_space(Scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool peek(Scan *s, char c)
{
    skip_space(s);
    return s->p < s->end && *s->p == c;
}

static bool take(Scan *s, char c)
{
    return (peek(s, c) && s->p++) || refuse(s, "the header is not the JSON of a safetensors file");
}

/* After an element: a comma and more (true, *more), or the closing bracket (true, !*more). */
static bool take_next(Scan *s, char close, bool *more)
{
    *more = peek(s, ',');
    return *more ? (s->p++, true) : take(s, close);
}

static bool take_number(Scan *s, uint64_t *v)
{
    skip_space(s);
    const char *start = s->p;
    for (*v = 0; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++)
        if (__builtin_mul_overflow(*v, 10, v) || __builtin_add_overflow(*v, (uint64_t)(*s->p - '0'), v) || *v > INT64_MAX)
            return refuse(s, "a number is too large");
    return s->p > start || refuse(s, "a size is not a whole number");
}

static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int  d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80)
        return to[0] = (char)c, 1;
    if (c < 0x800)
        return to[0] = (char)(0xC0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return to[0] = (char)(0xE0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
    return to[0] = (char)(0xF0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63)), to[2] = (char)(0x80 | (c >> 6 & 63)), to[3] = (char)(0x80 | (c & 63)), 4;
}

/* \n and friends, \uXXXX with surrogate pairs; s->p stands after the backslash. Returns bytes written, 0 when it is none. */
static size_t take_escape(Scan *s, char *to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    char              c = s->p < s->end ? *s->p++ : 0;
    const char       *k = c ? strchr(from, c) : NULL;
    if (k)
        return to[0] = into[k - from], 1;
    int u = c == 'u' ? hex4(s->p, s->end) : -1;
    if (u <= 0)
        return 0;
    s->p += 4;
    if (u >= 0xD800 && u < 0xDC00 && s->end - s->p >= 6 && s->p[0] == '\\' && s->p[1] == 'u') {
        int low = hex4(s->p + 2, s->end);
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        s->p += 6;
        return put_utf8(to, 0x10000 + ((uint32_t)(u - 0xD800) << 10) + (uint32_t)(low - 0xDC00));
    }
    return u >= 0xD800 && u < 0xE000 ? 0 : put_utf8(to, (uint32_t)u);
}

static bool take_string(Scan *s, const char **out)
{
    if (!take(s, '"'))
        return false;
    const char *close = s->p;
    while (close < s->end && *close != '"')
        close += *close == '\\' ? 2 : 1;
    if (close >= s->end)
        return refuse(s, "a text in the header has no end");
    char  *to = arena_alloc(s->arena, (size_t)(close - s->p) + 1);     /* escapes only shrink */
    size_t n = 0;
    *out = to;
    while (s->p < close)
        if ((unsigned char)*s->p < 32) {
            return refuse(s, "a control character in a text of the header");
        } else if (*s->p != '\\') {
            to[n++] = *s->p++;
        } else {
            s->p++;
            size_t k = take_escape(s, to + n);
            if (!k)
                return refuse(s, "a wrong escape in a text of the header");
            n += k;
        }
    to[n] = 0;
    s->p = close + 1;
    return true;
}

static bool take_metadata(Scan *s, SafeFile *f)
{
    Vec(SafeMeta) list = { 0 };
    bool more = false, ok = take(s, '{');
    if (ok && peek(s, '}'))
        s->p++;
    else
        while (ok) {
            SafeMeta m = { 0 };
            ok = take_string(s, &m.key) && take(s, ':') && take_string(s, &m.value) && take_next(s, '}', &more);
            if (ok)
                vec_push(&list, m);
            if (!more)
                break;
        }
    f->nmeta = list.n;
    f->meta = ARENA_ARR(s->arena, SafeMeta, list.n + 1);
    if (list.n)
        memcpy(f->meta, list.at, list.n * sizeof *list.at);
    vec_free(&list);
    return ok;
}

static bool take_shape(Scan *s, SafeTensor *t)
{
    bool more = true;
    if (!take(s, '['))
        return false;
    if (peek(s, ']'))
        return s->p++, true;
    while (more) {
        uint64_t v;
        if (t->rank == MAX_RANK)
            return refuse(s, "a tensor has more than 8 axes");
        if (!take_number(s, &v) || !take_next(s, ']', &more))
            return false;
        t->shape[t->rank++] = (int64_t)v;
    }
    return true;
}

static bool take_tensor(Scan *s, SafeTensor *t)
{
    int  seen = 0;
    bool more = true;
    if (!take(s, '{'))
        return false;
    while (more) {
        const char *key, *type;
        int         bit = 0;
        if (!take_string(s, &key) || !take(s, ':'))
            return false;
        if (!strcmp(key, "dtype")) {
            bit = 1;
            if (!take_string(s, &type))
                return false;
            size_t i = 0;
            while (i < COUNT(types) && strcmp(types[i].name, type))
                i++;
            if (i == COUNT(types))
                return refuse(s, "an element type that is not read; F64, F32, F16, BF16, I64, I32, I16, I8, U8 and BOOL are");
            t->type = (SafeType)i;
        } else if (!strcmp(key, "shape")) {
            bit = 2;
            if ((seen & 2) || !take_shape(s, t))
                return refuse(s, "a tensor has two shapes");
        } else if (!strcmp(key, "data_offsets")) {
            bit = 4;
            if (!take(s, '[') || !take_number(s, &t->begin) || !take(s, ',') || !take_number(s, &t->end) || !take(s, ']'))
                return false;
        }
        if (!bit || (seen & bit))
            return refuse(s, "a tensor's description has an unknown or repeated key");
        seen |= bit;
        if (!take_next(s, '}', &more))
            return false;
    }
    return seen == 7 || refuse(s, "a tensor's description is incomplete");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const SafeTensor *)a)->name, ((const SafeTensor *)b)->name);
}

static int by_place(const void *a, const void *b)
{
    const SafeTensor *x = *(SafeTensor *const *)a, *y = *(SafeTensor *const *)b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const SafeMeta *)a)->key, ((const SafeMeta *)b)->key);
}

static bool scan_header(Scan *s, SafeFile *f)
{
    Vec(SafeTensor) list = { 0 };
    bool more = true, had_meta = false, ok = take(s, '{');
    if (ok && peek(s, '}'))
        s->p++, more = false;
    while (ok && more) {
        SafeTensor t = { 0 };
        ok = take_string(s, &t.name) && take(s, ':');
        if (ok && !strcmp(t.name, "__metadata__")) {
            ok = (!had_meta || refuse(s, "two lots of metadata")) && take_metadata(s, f);
            had_meta = true;
        } else if (ok) {
            for (const char *c = t.name; *c; c++)
                if ((unsigned char)*c < 32 || *c == 127)
                    ok = refuse(s, "a control character in a tensor's name");
            ok = ok && take_tensor(s, &t) && (list.n < SAFE_MAX_TENSORS || refuse(s, "too many tensors"));
            if (ok)
                vec_push(&list, t);
        }
        ok = ok && take_next(s, '}', &more);
    }
    skip_space(s);
    if (ok && s->p != s->end)
        ok = refuse(s, "text after the header's end");
    f->n = list.n;
    f->tensors = ARENA_ARR(s->arena, SafeTensor, list.n + 1);
    if (list.n)
        memcpy(f->tensors, list.at, list.n * sizeof *list.at);
    vec_free(&list);
    return ok;
}

/* Names and keys unique; sizes agree; the data are covered from first to last byte without holes or overlaps. */
static bool check_contents(SafeFile *f, uint64_t data_size, Status *st)
{
    qsort(f->tensors, f->n, sizeof *f->tensors, by_name);
    if (f->nmeta)
        qsort(f->meta, f->nmeta, sizeof *f->meta, by_key);
    for (uint32_t i = 1; i < f->n; i++)
        if (!strcmp(f->tensors[i].name, f->tensors[i - 1].name))
            return status_fail(st, "'%s' is damaged: two tensors are called '%s'", f->path, f->tensors[i].name);
    for (uint32_t i = 1; i < f->nmeta; i++)
        if (!strcmp(f->meta[i].key, f->meta[i - 1].key))
            return status_fail(st, "'%s' is damaged: its metadata have '%s' twice", f->path, f->meta[i].key);
    SafeTensor **place = ARENA_ARR(&f->arena, SafeTensor *, f->n + 1);
    for (uint32_t i = 0; i < f->n; i++) {
        SafeTensor *t = place[i] = &f->tensors[i];
        int64_t     bytes;
        bool        fits = true;
        t->count = 1;
        for (int k = 0; k < t->rank; k++)
            fits = fits && !__builtin_mul_overflow(t->count, t->shape[k], &t->count);
        if (!fits || __builtin_mul_overflow(t->count, (int64_t)types[t->type].size, &bytes))
            return status_fail(st, "'%s' is damaged: the size of '%s' overflows", f->path, t->name);
        if (t->end < t->begin || t->end - t->begin != (uint64_t)bytes)
            return status_fail(st, "'%s' is damaged: '%s' has offsets %" PRIu64 "..%" PRIu64 " for %lld bytes", f->path, t->name, t->begin, t->end, (long long)bytes);
    }
    qsort(place, f->n, sizeof *place, by_place);
    uint64_t at = 0;
    for (uint32_t i = 0; i < f->n; at = place[i++]->end)
        if (place[i]->begin != at)
            return status_fail(st, "'%s' is damaged: %s before '%s' at byte %" PRIu64, f->path, place[i]->begin > at ? "a hole" : "an overlap", place[i]->name, at);
    return at == data_size || status_fail(st, "'%s' is damaged: its tensors end at byte %" PRIu64 " and the file at %" PRIu64, f->path, at, data_size);
}

static bool get_bytes(const SafeFile *f, void *to, size_t n, uint64_t offset, Status *st)
{
    if (f->fd >= 0)
        return file_pread(f->fd, f->path, to, n, offset, st);
    memcpy(to, f->bytes + offset, n);
    return true;
}

static SafeFile *read_header(SafeFile *f, uint64_t size, Status *st)
{
    uint8_t  head[8];
    uint64_t length = 0;
    char    *text = NULL;
    Scan     s = { .arena = &f->arena };
    bool     ok = size >= 8 && get_bytes(f, head, 8, 0, st);
    for (int i = 7; ok && i >= 0; i--)
        length = length << 8 | head[i];
    if (!ok || length > size - 8)
        ok = status_fail(st, "'%s' is not a safetensors file, or it is cut short", f->path);
    else if (length > SAFE_MAX_HEADER)
        ok = status_fail(st, "'%s' has a header of %" PRIu64 " bytes; at most %d are read", f->path, length, SAFE_MAX_HEADER);
    if (ok) {
        text = xmalloc((size_t)length + 1);
        s.p = text;
        s.end = text + length;
        ok = get_bytes(f, text, (size_t)length, 8, st);
    }
    if (ok && !scan_header(&s, f))
        ok = status_fail(st, "'%s' is damaged: %s (header byte %zu)", f->path, s.why ? s.why : "its header", (size_t)(s.p - text));
    f->data = 8 + length;
    ok = ok && check_contents(f, size - f->data, st);
    free(text);
    if (ok)
        return f;
    safe_close(f);
    return NULL;
}

SafeFile *safe_open(const char *path, Status *st)
{
    uint64_t size;
    int      fd = file_open(path, &size, st);
    if (fd < 0)
        return NULL;
    SafeFile *f = xmalloc(sizeof *f);
    f->fd = fd;
    f->path = arena_strndup(&f->arena, path, strlen(path));
    return read_header(f, size, st);
}

SafeFile *safe_parse(const uint8_t *bytes, size_t n, const char *name, Status *st)
{
    SafeFile *f = xmalloc(sizeof *f);
    f->fd = -1;
    f->bytes = bytes;
    f->path = arena_strndup(&f->arena, name, strlen(name));
    return read_header(f, n, st);
}

void safe_close(SafeFile *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    arena_free(&f->arena);
    free(f);
}

const SafeTensor *safe_find(const SafeFile *f, const char *name)
{
    SafeTensor key = { .name = name };
    return f->n ? bsearch(&key, f->tensors, f->n, sizeof *f->tensors, by_name) : NULL;
}

const char *safe_meta(const SafeFile *f, const char *key)
{
    SafeMeta  want = { .key = key };
    SafeMeta *m = f->nmeta ? bsearch(&want, f->meta, f->nmeta, sizeof *f->meta, by_key) : NULL;
    return m ? m->value : NULL;
}

/* ---- elements ---- */
static float from_bits(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

static float from_half(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31)
        return from_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent)
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float v = (float)fraction * 0x1p-24f;                  /* subnormal: exact */
    return sign ? -v : v;
}

/* n elements of a type as they stand in a file -> its dtype; false when an integer does not fit. */
static bool convert(SafeType type, const uint8_t *from, size_t n, void *to)
{
    float   *f = to;
    int32_t *k = to;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *s = from + i * types[type].size;
        int64_t        v64;
        uint16_t       v16;
        switch (type) {
        case SAFE_F16:  memcpy(&v16, s, 2); f[i] = from_half(v16); break;
        case SAFE_BF16: memcpy(&v16, s, 2); f[i] = from_bits((uint32_t)v16 << 16); break;
        case SAFE_I16:  memcpy(&v16, s, 2); k[i] = (int16_t)v16; break;
        case SAFE_I8:   k[i] = (int8_t)*s; break;
        case SAFE_U8:   k[i] = *s; break;
        case SAFE_BOOL: ((uint8_t *)to)[i] = *s != 0; break;
        case SAFE_I64:
            memcpy(&v64, s, 8);
            k[i] = (int32_t)v64;
            if (v64 != k[i])
                return false;
            break;
        default: return memcpy(to, from, n * types[type].size), true;
        }
    }
    return true;
}

bool safe_read(const SafeFile *f, const SafeTensor *t, Tensor *to, Status *st)
{
    size_t n = (size_t)t->count, size = types[t->type].size, wide = dtype_size(types[t->type].dtype);
    if (!tensor_alloc(to, types[t->type].dtype, t->rank, t->shape, st))
        return false;
    bool     straight = t->type == SAFE_F64 || t->type == SAFE_F32 || t->type == SAFE_I32, ok;
    uint8_t *raw = straight ? to->data : malloc(n * size + 1);
    ok = raw || status_fail(st, "out of memory for '%s' of '%s'", t->name, f->path);
    ok = ok && get_bytes(f, raw, n * size, f->data + t->begin, st);
    if (ok && !straight && !convert(t->type, raw, n, to->data))
        ok = status_fail(st, "'%s' of '%s' holds an integer that does not fit in %zu bytes", t->name, f->path, wide);
    if (!straight)
        free(raw);
    if (!ok)
        tensor_free(to);
    return ok;
}

/* ---- many at once ---- */
static void add_shape(Text *t, int rank, const int64_t *shape)
{
    text_add(t, "[");
    for (int i = 0; i < rank; i++)
        text_addf(t, "%s%lld", i ? ", " : "", (long long)shape[i]);
    text_add(t, "]");
}

static const SafeTensor *find_stripped(const SafeFile *f, const char *name, const char *strip)
{
    const SafeTensor *t = safe_find(f, name);
    size_t            n = strip ? strlen(strip) : 0;
    return t || !n || strncmp(name, strip, n) ? t : safe_find(f, name + n);
}

bool safe_load(const SafeFile *f, const SafeItem *items, uint32_t n, const char *strip, bool exact, Text *list, Status *st)
{
    Text     wrong = { 0 };
    uint32_t faults = 0;
    bool    *used = xmalloc(f->n + 1), ok = true;
    for (uint32_t i = 0; i < n; i++) {
        const Tensor     *want = items[i].tensor;
        const SafeTensor *t = find_stripped(f, items[i].name, strip);
        if (t)
            used[t - f->tensors] = true;
        if (t && t->rank == want->rank && !memcmp(t->shape, want->shape, sizeof(int64_t) * (size_t)t->rank))
            continue;
        text_addf(&wrong, "%s%s '%s'", faults++ ? "\n" : "", t ? "misshapen" : "missing", items[i].name);
        if (t) {
            text_add(&wrong, " ");
            add_shape(&wrong, t->rank, t->shape);
            text_add(&wrong, ", should be ");
            add_shape(&wrong, want->rank, want->shape);
        }
    }
    for (uint32_t i = 0; i < f->n && exact; i++)
        if (!used[i])
            text_addf(&wrong, "%sextra '%s'", faults++ ? "\n" : "", f->tensors[i].name);
    free(used);
    if (faults) {
        if (list)
            text_add(list, wrong.at);
        for (char *c = wrong.at; *c; c++)
            *c = *c == '\n' ? ';' : *c;
        bool many = wrong.n > 360;
        ok = status_fail(st, "'%s' does not fit: %u of its tensors are missing, extra or misshapen: %.360s%s", f->path, faults, wrong.at, many ? " ..." : "");
    }
    text_free(&wrong);
    /* Two passes over the data would need the memory only once, but a file that goes bad half-way must change nothing. */
    Tensor *read = xmalloc(sizeof(Tensor) * (n + 1));
    for (uint32_t i = 0; i < n && ok; i++) {
        Tensor raw;
        ok = safe_read(f, find_stripped(f, items[i].name, strip), &raw, st);
        if (ok && raw.dtype == items[i].tensor->dtype)
            read[i] = raw;
        else if (ok) {
            ok = tensor_copy(&read[i], &raw, items[i].tensor->dtype, st);
            tensor_free(&raw);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (ok && tensor_count(&read[i]))
            memcpy(items[i].tensor->data, read[i].data, (size_t)tensor_count(&read[i]) * dtype_size(read[i].dtype));
        tensor_free(&read[i]);
    }
    free(read);
    return ok;
}
