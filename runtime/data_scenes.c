/* data_scenes.c - the source `scenes`: the embedded renderer's random scenes as pairs photo, comic, or in one look alone. No files are needed.
 *
 * Scene `start + i` of `seed`; a held-out set is another `start`. Pictures are rounded to 8 bits, as if they had been saved and loaded, so that a network
 * sees in training what it sees in a PNG, and a cached scene takes a quarter of the memory. --data NAME=DIR takes pairs from DIR/photo and DIR/comic,
 * or of one look the pictures in DIR.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "scenes.h"

typedef struct { Image *kept; } Scenes;                    /* the looks of each scene, one or two; px NULL: not kept */
static const char *const looks[] = { "both", "photo", "comic", NULL };
_Static_assert(LOOK_PHOTO == 1 && LOOK_COMIC == 2, "words stand in the enum's order");

static int scenes_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    int64_t h, w;
    (void)folder;
    if (c->size[0] != c->size[1] || c->size[0] < SCENE_MIN_SIZE || c->size[0] > SCENE_MAX_SIZE)
        return status_fail(st, "'size' must be one number from %d to %d", SCENE_MIN_SIZE, SCENE_MAX_SIZE), 0;
    if (c->before.kind)
        return status_fail(st, "a crop of %d is larger than the scenes, which are %lld", c->before.n, (long long)c->size[0]), 0;
    picture_size(c, &h, &w);
    f[0] = (FieldShape){ c->look == LOOK_COMIC ? "comic" : "photo", DT_F32, 3, { 3, h, w } };
    f[1] = (FieldShape){ "comic", DT_F32, 3, { 3, h, w } };
    return c->look == LOOK_BOTH ? 2 : 1;
}

static bool scenes_open(DataSet *s, Status *st)
{
    if (s->overridden)
        return pictures_open(s, st);
    Scenes *scenes = s->state = xmalloc(sizeof *scenes);
    s->items = s->config.count;
    scenes->kept = calloc((size_t)(s->items * s->nfields), sizeof *scenes->kept);
    return scenes->kept || status_fail(st, "data '%s': out of memory for %lld scenes", s->data->name, (long long)s->items);
}

/* px (size,size,3) of bytes from plane (3,size,size) in 0..1. */
static void to_bytes(const float *plane, size_t area, uint8_t *px)
{
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < area; i++) {
            float v = *plane++;
            px[i * 3 + k] = v >= 1 ? 255 : v > 0 ? (uint8_t)(v * 255 + 0.5f) : 0;
        }
}

/* The scene in the looks that are asked for. */
static bool draw_scene(const DataSet *s, int64_t i, Image *drawn, Status *st)
{
    int    size = (int)s->config.size[0];
    size_t area = (size_t)size * (size_t)size;
    float *planes = malloc(sizeof(float) * 6 * area);
    bool   ok = planes != NULL;
    for (int k = 0; k < s->nfields; k++) {
        drawn[k] = (Image){ .w = size, .h = size, .channels = 3, .px = malloc(3 * area) };
        ok = ok && drawn[k].px;
    }
    if (ok) {
        scene_render((uint64_t)s->config.seed, (uint64_t)(s->config.start + i), size, planes, planes + 3 * area);
        for (int k = 0; k < s->nfields; k++)
            to_bytes(planes + (k || s->config.look == LOOK_COMIC ? 3 * area : 0), area, drawn[k].px);
    }
    free(planes);
    return ok || status_fail(st, "out of memory for a scene of %d x %d", size, size);
}

static bool scenes_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st)
{
    Image *kept = ((Scenes *)s->state)->kept + s->nfields * i, drawn[2] = { { 0 } }, *looked = kept->px ? kept : drawn;
    bool   ok = kept->px || draw_scene(s, i, drawn, st);
    size_t bytes = 3 * (size_t)s->nfields * (size_t)s->config.size[0] * (size_t)s->config.size[0];
    for (int k = 0; k < s->nfields && ok; k++)
        ok = picture_finish(&s->config, &looked[k], d, fields[k], st);
    bool keep = ok && looked == drawn && bytes <= s->cache_left;
    s->cache_left -= keep ? bytes : 0;
    for (int k = 0; k < s->nfields && looked == drawn; k++) {
        if (keep)
            kept[k] = drawn[k];
        else
            image_free(&drawn[k]);
    }
    return ok;
}

static void scenes_close(DataSet *s)
{
    if (s->item == pictures_item) {                        /* overridden by folders of pictures */
        pictures_close(s);
        return;
    }
    Scenes *scenes = s->state;
    for (int64_t i = 0; scenes && scenes->kept && i < s->nfields * s->items; i++)
        image_free(&scenes->kept[i]);
    if (scenes)
        free(scenes->kept);
    free(scenes);
    s->state = NULL;
}

static void scenes_preset(DataConfig *c)
{
    c->size[0] = c->size[1] = 128;
}

#define AT(member) offsetof(DataConfig, member)
static const ArgSpec scenes_args[] = {
    { "size",    ARG_IS_SIZE,    AT(size),    false, 0, 0,         NULL, "128",    "pixels of both sides" },
    { "seed",    ARG_IS_INT,     AT(seed),    false, 0, MAX_ITEMS, NULL, "1",      "of the scenes" },
    { "count",   ARG_IS_INT,     AT(count),   false, 1, MAX_ITEMS, NULL, "1000",   "how many scenes" },
    { "start",   ARG_IS_INT,     AT(start),   false, 0, MAX_ITEMS, NULL, "0",      "number of the first scene" },
    { "look",    ARG_IS_WORD,    AT(look),    false, 0, 0,         looks, "both",   "how they look; photo or comic alone is one field" },
    { "range",   ARG_IS_RANGE,   AT(range),   false, 0, 0,         NULL, "[0, 1]", "what black and white map to" },
    { "augment", ARG_IS_AUGMENT, 0,           false, 0, 0,         NULL, "[]",     "random_crop(n), random_crop(n, [a, b]), center_crop(n), hflip(p)" },
    { "batch",   ARG_IS_INT,     AT(batch),   false, 1, MAX_BATCH, NULL, "1",      "items a batch" },
    { "shuffle", ARG_IS_BOOL,    AT(shuffle), false, 0, 0,         NULL, "false",  "a new order each epoch" },
};

const DataSource source_scenes = {
    "scenes", "rendered scenes: photo f32[3, size, size], comic f32[3, size, size]", scenes_args, COUNT(scenes_args), scenes_preset, scenes_fields, scenes_open,
    scenes_item, scenes_close,
};
