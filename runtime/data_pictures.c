/* data_pictures.c - sources made of picture files: images, image, labelled folders, and pairs of folders; and the geometry of all sources that give pictures.
 *
 *   decode -> alpha over its ground, grey or RGB -> [crop before] -> resize to `size` -> 8 bits -> [crop after] -> [flip] -> range
 *             '---------------- picture_prepare: cached ----------------------------'  '------ picture_finish: drawn ------'
 *
 * `size` alone covers: the picture is scaled, antialiased, until it just covers size x size, and its middle is cut out (torchvision: Resize(size), CenterCrop(size));
 * fit: "stretch" scales both sides to `size` exactly. A crop larger than `size` is taken before the resize (CelebA: center_crop(178) to 64), any other after it
 * (CycleGAN: size: 286, random_crop(256)); then the resize does not cut. Without `size`, pictures smaller than the crop are enlarged to it.
 * When a random crop comes first, the resize is part of picture_finish and the decoded picture is what is cached. random_crop(256, [192, 384]) after it takes windows of
 * 192 to 384 pixels, every side as likely, and scales them to 256.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "files.h"
#include "resample.h"

/* ---- geometry ---- */
void picture_size(const DataConfig *c, int64_t *h, int64_t *w)
{
    *h = c->after.kind ? c->after.n : c->size[0];
    *w = c->after.kind ? c->after.n : c->size[1];
}

static int pick(int room, const Draw *d, int which)
{
    return d ? (int)(draw_uniform(d, which) * (room + 1)) : room / 2;
}

/* An n x n window, or the largest square there is, at a drawn place (d NULL: in the middle). */
static bool crop_square(Image *im, int n, const Draw *d, int which, Status *st)
{
    int side = im->w < im->h ? im->w : im->h;
    if (n > side)
        n = side;
    int x = pick(im->w - n, d, which), y = pick(im->h - n, d, which + 1);
    return image_crop(im, x, y, n, n, st);
}

static bool resize_to(const DataConfig *c, Image *im, Status *st)
{
    int64_t h = c->size[0], w = c->size[1], rh = h, rw = w, y, x;
    if (!h) {                                              /* no size: enlarge to the crop if need be */
        int64_t side = im->w < im->h ? im->w : im->h;
        h = w = c->after.n;
        if (side >= h)
            return true;
    }
    if (h == c->size[0] && c->fit == FIT_STRETCH)
        return image_resize(im, (int)w, (int)h, c->filter, st);
    if ((int64_t)im->w * h <= (int64_t)im->h * w)          /* the width is what just fits */
        rw = w, rh = (int64_t)im->h * w / im->w;
    else
        rh = h, rw = (int64_t)im->w * h / im->h;
    rh = rh < h ? h : rh;
    rw = rw < w ? w : rw;
    if (c->after.kind) {
        if (rw * rh > IMAGE_MAX_PIXELS)
            return status_fail(st, "a picture of %d x %d is too narrow to be scaled to %lld x %lld", im->w, im->h, (long long)rw, (long long)rh);
        return image_resize(im, (int)rw, (int)rh, c->filter, st);
    }
    y = (rh - h) / 2, x = (rw - w) / 2;
    return image_resize_window(im, (int)rw, (int)rh, (int)x, (int)y, (int)w, (int)h, c->filter, st);
}

bool picture_prepare(const DataConfig *c, Image *im, Status *st)
{
    if (!image_convert(im, (int)c->channels, (AlphaMode)c->alpha, st))
        return false;
    if (c->before.kind == CROP_RANDOM)
        return true;
    return (!c->before.kind || crop_square(im, c->before.n, NULL, 0, st)) && resize_to(c, im, st);
}

static bool copy_of(const Image *im, Image *copy, Status *st)
{
    size_t bytes = (size_t)im->w * (size_t)im->h * (size_t)im->channels;
    *copy = *im;
    copy->px = malloc(bytes);
    if (!copy->px)
        return status_fail(st, "out of memory for a picture of %d x %d", im->w, im->h);
    memcpy(copy->px, im->px, bytes);
    return true;
}

/* A window of a drawn side at a drawn place, scaled to the crop's size. */
static bool crop_scaled(const DataConfig *c, Image *im, const Draw *d, Status *st)
{
    int side = c->after.lo + pick(c->after.hi - c->after.lo, d, 5);
    return crop_square(im, side, d, 2, st) && image_resize(im, c->after.n, c->after.n, c->filter, st);
}

bool picture_finish(const DataConfig *c, const Image *im, const Draw *d, float *out, Status *st)
{
    Image        work = { 0 };
    const Draw  *dice = d->plain ? NULL : d;
    const Image *from = im;
    int64_t      h, w;
    bool         before = c->before.kind == CROP_RANDOM, scaled = c->after.hi && dice;
    if (before || scaled) {
        bool ok = copy_of(im, &work, st);
        ok = ok && (!before || (crop_square(&work, c->before.n, dice, 0, st) && resize_to(c, &work, st))) && (!scaled || crop_scaled(c, &work, d, st));
        if (!ok) {
            image_free(&work);
            return false;
        }
        from = &work;
    }
    picture_size(c, &h, &w);
    bool    random = c->after.kind == CROP_RANDOM, flip = dice && c->hflip > 0 && draw_uniform(d, 4) < c->hflip;
    int     x = pick(from->w - (int)w, random ? dice : NULL, 2), y = pick(from->h - (int)h, random ? dice : NULL, 3);
    int64_t ch = from->channels;
    float   map[256];
    for (int i = 0; i < 256; i++)
        map[i] = (float)(c->range[0] + (c->range[1] - c->range[0]) * i / 255);
    for (int64_t k = 0; k < ch; k++)
        for (int64_t r = 0; r < h; r++) {
            const uint8_t *row = from->px + ((y + r) * from->w + x) * ch + k;
            for (int64_t i = 0; i < w; i++)
                *out++ = map[row[(flip ? w - 1 - i : i) * ch]];
        }
    image_free(&work);
    return true;
}

/* ---- files ---- */
typedef struct { char *path; int32_t label; } Entry;       /* path: relative to the root */
typedef struct {
    char    *roots[2]; int nroots;                         /* two for pairs: photo/ and comic/ */
    Vec(Entry) files;
    Image   *cache;                                        /* files.n * nroots; px NULL: not kept */
} Pictures;

static bool list_files(Pictures *p, const char *root, Status *st)
{
    FileNames names = { 0 };
    if (!path_is_folder(root)) {                           /* one picture is a set of one */
        vec_push(&p->files, ((Entry){ xstrdup(""), 0 }));
        return true;
    }
    bool ok = files_below(root, path_is_picture, &names, st);
    for (uint32_t i = 0; i < names.n; i++) {
        if (ok && i < MAX_ITEMS)
            vec_push(&p->files, ((Entry){ names.at[i], 0 }));
        else
            free(names.at[i]);
    }
    vec_free(&names);
    return ok;
}

/* The class of a file is its folder's path below the root; classes are numbered in the order of their paths. */
static bool label_files(DataSet *s, Pictures *p, Status *st)
{
    Vec(char *) names = { 0 };
    bool ok = true;
    for (uint32_t i = 0; i < p->files.n && ok; i++) {
        Entry      *f = &p->files.at[i];
        const char *cut = strrchr(f->path, '/');
        size_t      n = cut ? (size_t)(cut - f->path) : 0;
        if (!n)
            ok = status_fail(st, "data '%s': '%s/%s' has no class: labelled pictures stand in a folder a class", s->data->name, s->path, f->path);
        else if (!names.n || strlen(names.at[names.n - 1]) != n || strncmp(names.at[names.n - 1], f->path, n)) {
            /* "a/x.png", "a/b/y.png", "a/z.png" sort with a/b between: look whether the class is there already */
            uint32_t k = 0;
            while (k < names.n && (strlen(names.at[k]) != n || strncmp(names.at[k], f->path, n)))
                k++;
            if (k == names.n) {
                char *copy = xmalloc(n + 1);
                memcpy(copy, f->path, n);
                vec_push(&names, copy);
            }
        }
    }
    s->class_names = names.at;                             /* data_close frees them, also after a failure */
    s->classes = names.n;
    for (uint32_t i = 1; i < names.n; i++)                 /* insertion sort: nearly sorted already */
        for (uint32_t k = i; k && strcmp(names.at[k - 1], names.at[k]) > 0; k--) {
            char *swap = names.at[k];
            names.at[k] = names.at[k - 1];
            names.at[k - 1] = swap;
        }
    for (uint32_t i = 0; i < p->files.n && ok; i++) {
        size_t n = (size_t)(strrchr(p->files.at[i].path, '/') - p->files.at[i].path);
        uint32_t lo = 0, hi = names.n;
        while (lo < hi) {
            uint32_t mid = (lo + hi) / 2;
            int      order = strncmp(names.at[mid], p->files.at[i].path, n);
            if (order < 0 || (!order && strlen(names.at[mid]) < n))
                lo = mid + 1;
            else
                hi = mid;
        }
        p->files.at[i].label = (int32_t)lo;
    }
    if (ok && s->config.classes && s->config.classes != s->classes)
        ok = status_fail(st, "data '%s': '%s' has %lld classes (folders), not %lld", s->data->name, s->path, (long long)s->classes, (long long)s->config.classes);
    return ok;
}

/* Fields that pictures on disk can fill: one picture; picture and label; two pictures from folders named as the fields. */
static bool find_roots(DataSet *s, Pictures *p, Status *st)
{
    bool pair = s->nfields == 2 && s->fields[1].dtype == DT_F32;
    p->nroots = pair ? 2 : 1;
    for (int i = 0; i < p->nroots; i++) {
        p->roots[i] = pair ? path_join(s->path, s->fields[i].name) : xstrdup(s->path);
        if (pair && !path_is_folder(p->roots[i]))
            return status_fail(st, "data '%s': '%s' must hold the folders '%s' and '%s' with pictures of the same names", s->data->name, s->path, s->fields[0].name,
                               s->fields[1].name);
    }
    return true;
}

static bool check_pairs(DataSet *s, const Pictures *p, Status *st)
{
    for (uint32_t i = 0; i < p->files.n && p->nroots == 2; i++) {
        char *other = path_join(p->roots[1], p->files.at[i].path);
        bool  there = path_is_file(other);
        if (!there)
            status_fail(st, "data '%s': '%s' has no partner '%s'", s->data->name, p->files.at[i].path, other);
        free(other);
        if (!there)
            return false;
    }
    return true;
}

bool pictures_open(DataSet *s, Status *st)
{
    Pictures *p = s->state = xmalloc(sizeof *p);
    s->item = pictures_item;
    if (!find_roots(s, p, st) || !list_files(p, p->roots[0], st))
        return false;
    if (!p->files.n)
        return status_fail(st, "data '%s': no .png, .jpg or .jpeg file in '%s' or its folders", s->data->name, p->roots[0]);
    if (s->nfields == 2 && s->fields[1].dtype == DT_I32 && !label_files(s, p, st))
        return false;
    s->items = p->files.n;
    p->cache = xmalloc(sizeof(Image) * p->files.n * (size_t)p->nroots);
    return check_pairs(s, p, st);
}

void pictures_close(DataSet *s)
{
    Pictures *p = s->state;
    if (!p)
        return;
    for (uint32_t i = 0; i < p->files.n * (uint32_t)p->nroots && p->cache; i++)
        image_free(&p->cache[i]);
    for (uint32_t i = 0; i < p->files.n; i++)
        free(p->files.at[i].path);
    vec_free(&p->files);
    free(p->cache);
    free(p->roots[0]);
    free(p->roots[1]);
    free(p);
    s->state = NULL;
}

static bool one_picture(DataSet *s, Pictures *p, int64_t i, int root, const Draw *d, float *out, Status *st)
{
    Image *kept = &p->cache[i * p->nroots + root], im = { 0 };
    if (kept->px)
        return picture_finish(&s->config, kept, d, out, st);
    const char *rel = p->files.at[i].path;
    char       *path = *rel ? path_join(p->roots[root], rel) : xstrdup(p->roots[root]);
    Status      why = { 0 };
    bool        ok = image_read(path, &im, &why);
    if (ok && !(picture_prepare(&s->config, &im, &why) && picture_finish(&s->config, &im, d, out, &why))) {
        ok = false;                                        /* what image_read says names the file; the rest does not */
        status_fail(st, "'%.200s': %.250s", path, why.message);
    } else if (!ok) {
        status_fail(st, "%s", why.message);
    }
    free(path);
    size_t bytes = (size_t)im.w * (size_t)im.h * (size_t)im.channels;
    if (ok && bytes <= s->cache_left) {
        s->cache_left -= bytes;
        *kept = im;
    } else {
        image_free(&im);
    }
    return ok;
}

bool pictures_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st)
{
    Pictures *p = s->state;
    for (int root = 0; root < p->nroots; root++)           /* both of a pair with the same draws */
        if (!one_picture(s, p, i, root, d, fields[root], st))
            return false;
    if (s->nfields == 2 && s->fields[1].dtype == DT_I32)
        *(int32_t *)fields[1] = p->files.at[i].label;
    return true;
}

/* ---- the sources ---- */
static bool picture_field(const DataConfig *c, const char *name, FieldShape *f, Status *st)
{
    int64_t h, w;
    picture_size(c, &h, &w);
    if (c->channels == 2)
        return status_fail(st, "'channels' must be 1 or 3");
    if (!h)
        return status_fail(st, "'size' is missing: pictures of one batch need one size, size: 64 or size: [48, 64]");
    *f = (FieldShape){ name, DT_F32, 3, { c->channels, h, w } };
    return true;
}

static int image_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    (void)folder;
    return picture_field(c, "image", &f[0], st) ? 1 : 0;
}

static int labelled_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    f[1] = (FieldShape){ "label", DT_I32, 0, { 0 } };
    return image_fields(c, folder, f, st) ? 2 : 0;
}

static bool image_open(DataSet *s, Status *st)
{
    if (path_is_folder(s->path))
        return status_fail(st, "data '%s': '%s' is a folder; image(...) takes one picture, images(...) a folder of them", s->data->name, s->path);
    return pictures_open(s, st);
}

static const char *const alphas[] = { "white", "black", "grey", "drop", NULL }, *const fits[] = { "cover", "stretch", NULL };
static const char *const filters[] = { "nearest", "bilinear", "bicubic", NULL };
_Static_assert(ALPHA_DROP == 3 && FIT_STRETCH == 1 && FILTER_BICUBIC == 2, "words stand in the enums' order");

/* Rows of argument tables: { name, type, offset, required, lo, hi, words, default, doc } */
#define AT(member) offsetof(DataConfig, member)
#define PATH_ARG(name, doc) { name, ARG_IS_PATH, AT(path), true, 0, 0, NULL, "", doc }
#define PICTURE_ARGS                                                                                                    \
    { "size",     ARG_IS_SIZE,    AT(size),     false, 0, 0,         NULL,    "-",        "pixels: a number, or [height, width]" },  \
    { "range",    ARG_IS_RANGE,   AT(range),    false, 0, 0,         NULL,    "[0, 1]",   "what black and white map to" },           \
    { "channels", ARG_IS_INT,     AT(channels), false, 1, 3,         NULL,    "3",        "1: grey, 3: RGB" },                       \
    { "alpha",    ARG_IS_WORD,    AT(alpha),    false, 0, 0,         alphas,  "white",    "what lies under transparency" },          \
    { "fit",      ARG_IS_WORD,    AT(fit),      false, 0, 0,         fits,    "cover",    "how another shape is fitted" },           \
    { "filter",   ARG_IS_WORD,    AT(filter),   false, 0, 0,         filters, "bilinear", "of the antialiased resize" }
#define SET_ARGS                                                                                                        \
    { "augment",  ARG_IS_AUGMENT, 0,            false, 0, 0,         NULL,    "[]",       "random_crop(n), random_crop(n, [a, b]), center_crop(n), hflip(p)" }, \
    { "batch",    ARG_IS_INT,     AT(batch),    false, 1, MAX_BATCH, NULL,    "1",        "items a batch" },                         \
    { "shuffle",  ARG_IS_BOOL,    AT(shuffle),  false, 0, 0,         NULL,    "false",    "a new order each epoch" }

static const ArgSpec images_args[] = { PATH_ARG("dir", "a folder, with the folders in it"), PICTURE_ARGS, SET_ARGS };
static const ArgSpec image_args[] = { PATH_ARG("path", "a .png or .jpg file"), PICTURE_ARGS };
static const ArgSpec labelled_args[] = {
    PATH_ARG("dir", "a folder with a folder a class"), PICTURE_ARGS, SET_ARGS,
    { "classes", ARG_IS_INT, AT(classes), false, 1, MAX_ITEMS, NULL, "-", "how many there must be" },
};

const DataSource source_images = {
    "images", "all pictures of a folder: image f32[channels, h, w]", images_args, COUNT(images_args), NULL, image_fields, pictures_open, pictures_item, pictures_close,
};
const DataSource source_image = {
    "image", "one picture: image f32[channels, h, w]", image_args, COUNT(image_args), NULL, image_fields, image_open, pictures_item, pictures_close,
};
const DataSource source_labelled = {
    "labelled", "pictures whose class is their folder: image f32[channels, h, w], label i32[]", labelled_args, COUNT(labelled_args), NULL, labelled_fields, pictures_open,
    pictures_item, pictures_close,
};
