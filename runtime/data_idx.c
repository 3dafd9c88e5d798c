/* data_idx.c - the source `mnist`: two idx files, plain or gzipped, with pictures and labels.
 *
 *   idx: 0 0 type rank, then `rank` big-endian u32 sizes, then the elements; type 8 is a byte
 * Everything is read into memory (47 MB for the 60,000 training digits). A folder of labelled pictures does as well, through --data.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data_source.h"
#include "files.h"

enum { MAX_IDX_BYTES = 1 << 30 };

typedef struct { uint8_t *px, *labels; int64_t n; int h, w; } Digits;

/* A whole file through zlib, which passes plain files as they are. The size within a .gz is not believed: the text is read until it ends or passes `cap`. */
static bool read_gz(const char *path, size_t cap, uint8_t **bytes, size_t *n, Status *st)
{
    gzFile   f = gzopen(path, "rb");
    size_t   have = 0, room = 1 << 20;
    uint8_t *p = f ? malloc(room) : NULL;
    int      k = 0;
    if (!p) {
        if (f)
            gzclose(f);
        return status_fail(st, "cannot open '%s'", path);
    }
    while ((k = gzread(f, p + have, (unsigned)(room - have))) > 0) {
        have += (size_t)k;
        if (have == room) {
            uint8_t *more = room < cap ? realloc(p, room *= 2) : NULL;
            if (!more)
                break;
            p = more;
        }
    }
    bool whole = k == 0 && gzeof(f), ended;
    ended = gzclose_r(f) == Z_OK;                          /* Z_BUF_ERROR: a stream cut short */
    if (!whole || !ended) {
        free(p);
        return status_fail(st, k > 0 ? "'%s' is too large" : "'%s' is damaged: it cannot be unpacked", path);
    }
    *bytes = p;
    *n = have;
    return true;
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Checks an idx header of that rank against the file's length and moves the elements to the front. */
static bool take_idx(const char *path, uint8_t *bytes, size_t n, int rank, uint32_t *sizes, Status *st)
{
    size_t   head = 4 + 4 * (size_t)rank;
    uint64_t count = 1;
    if (n < head || bytes[0] || bytes[1] || bytes[2] != 8 || bytes[3] != rank)
        return status_fail(st, "'%s' is not an idx file of %s", path, rank == 3 ? "pictures" : "labels");
    for (int i = 0; i < rank; i++) {
        sizes[i] = big_endian(bytes + 4 + 4 * i);
        if (__builtin_mul_overflow(count, (uint64_t)sizes[i], &count))
            return status_fail(st, "'%s' is damaged: its sizes overflow", path);
    }
    if (count != n - head)
        return status_fail(st, "'%s' is damaged: %zu bytes where its sizes ask for %llu", path, n - head, (unsigned long long)count);
    memmove(bytes, bytes + head, (size_t)count);
    return true;
}

/* DIR/{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz], also with a dot before idx. */
static char *find_idx(const char *dir, const char *part, const char *what)
{
    static const char *const forms[] = { "%s-%s-%s-ubyte", "%s-%s-%s-ubyte.gz", "%s-%s.%s-ubyte", "%s-%s.%s-ubyte.gz" };
    for (size_t i = 0; i < COUNT(forms); i++) {
        char name[64];
        snprintf(name, sizeof name, forms[i], part, what, *what == 'i' ? "idx3" : "idx1");
        char *path = path_join(dir, name);
        if (path_is_file(path))
            return path;
        free(path);
    }
    return NULL;
}

static bool digits_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st)
{
    const Digits *g = s->state;
    size_t        area = (size_t)g->h * (size_t)g->w;
    Image         im = { .w = g->w, .h = g->h, .channels = 1, .px = malloc(area) };
    if (!im.px)
        return status_fail(st, "out of memory");
    memcpy(im.px, g->px + (size_t)i * area, area);
    bool ok = picture_prepare(&s->config, &im, st) && picture_finish(&s->config, &im, d, fields[0], st);
    image_free(&im);
    *(int32_t *)fields[1] = g->labels[i];
    return ok;
}

static bool load_digits(DataSet *s, const char *pictures, const char *labels, Status *st)
{
    Digits  *g = s->state;
    uint32_t size[3] = { 0 }, count = 0;
    size_t   n, m;
    if (!read_gz(pictures, MAX_IDX_BYTES, &g->px, &n, st) || !take_idx(pictures, g->px, n, 3, size, st) || !read_gz(labels, MAX_IDX_BYTES, &g->labels, &m, st) ||
        !take_idx(labels, g->labels, m, 1, &count, st))
        return false;
    if (size[0] != count || size[1] < 1 || size[2] < 1 || size[1] > MAX_SIDE || size[2] > MAX_SIDE)
        return status_fail(st, "'%s' has %u pictures of %u x %u and '%s' %u labels", pictures, size[0], size[2], size[1], labels, count);
    g->h = (int)size[1], g->w = (int)size[2];
    s->items = count;
    int top = 0;
    for (uint32_t i = 0; i < count; i++)
        top = g->labels[i] > top ? g->labels[i] : top;
    s->classes = top + 1;
    s->class_names = xmalloc(sizeof(char *) * (size_t)s->classes);
    for (int i = 0; i <= top; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        s->class_names[i] = xstrdup(name);
    }
    return true;
}

static bool digits_open(DataSet *s, Status *st)
{
    static const char *const parts[] = { "train", "t10k" };
    for (int k = 0; k < 2; k++) {
        if ((s->config.split == SPLIT_TRAIN && k == 1) || (s->config.split == SPLIT_TEST && k == 0))
            continue;
        char *pictures = find_idx(s->path, parts[k], "images"), *labels = find_idx(s->path, parts[k], "labels");
        bool  found = pictures && labels, ok = false;
        if (found) {
            s->state = xmalloc(sizeof(Digits));
            ok = load_digits(s, pictures, labels, st);
        }
        free(pictures);
        free(labels);
        if (found)
            return ok;
    }
    if (s->overridden)
        return pictures_open(s, st);
    return status_fail(st, "data '%s': no %s-images-idx3-ubyte and -labels-idx1-ubyte (or .gz) in '%s'", s->data->name,
                       s->config.split == SPLIT_TEST ? "t10k" : s->config.split == SPLIT_TRAIN ? "train" : "{train,t10k}", s->path);
}

static void digits_close(DataSet *s)
{
    if (s->item == pictures_item) {                        /* overridden by a folder of pictures */
        pictures_close(s);
        return;
    }
    Digits *g = s->state;
    if (g) {
        free(g->px);
        free(g->labels);
    }
    free(g);
    s->state = NULL;
}

static void digits_preset(DataConfig *c)
{
    c->size[0] = c->size[1] = 28;
    c->channels = 1;
}

static int digits_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    (void)folder;
    (void)st;
    f[0] = (FieldShape){ "image", DT_F32, 3, { c->channels, c->size[0], c->size[1] } };
    f[1] = (FieldShape){ "label", DT_I32, 0, { 0 } };
    return 2;
}

static const char *const splits[] = { "any", "train", "test", NULL };
_Static_assert(SPLIT_TEST == 2, "words stand in the enum's order");

#define AT(member) offsetof(DataConfig, member)
static const ArgSpec digits_args[] = {
    { "dir",     ARG_IS_PATH,  AT(path),    true,  0, 0,         NULL,   "",       "a folder with the idx files, plain or .gz" },
    { "size",    ARG_IS_SIZE,  AT(size),    false, 0, 0,         NULL,   "28",     "pixels: a number, or [height, width]" },
    { "range",   ARG_IS_RANGE, AT(range),   false, 0, 0,         NULL,   "[0, 1]", "what paper and ink map to" },
    { "split",   ARG_IS_WORD,  AT(split),   false, 0, 0,         splits, "any",    "which digits; any is train if it is there, else test" },
    { "batch",   ARG_IS_INT,   AT(batch),   false, 1, MAX_BATCH, NULL,   "1",      "items a batch" },
    { "shuffle", ARG_IS_BOOL,  AT(shuffle), false, 0, 0,         NULL,   "false",  "a new order each epoch" },
};

const DataSource source_mnist = {
    "mnist", "handwritten digits: image f32[1, h, w], label i32[]", digits_args, COUNT(digits_args), digits_preset, digits_fields, digits_open, digits_item, digits_close,
};
