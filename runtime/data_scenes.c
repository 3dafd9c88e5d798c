/* data_scenes.c - the source `scenes`: the embedded renderer's random scenes as pairs photo, comic. No files are needed.
 *
 * Scene `start + i` of `seed`; a held-out set is another `start`. Pictures are rounded to 8 bits, as if they had been saved and loaded, so that a network
 * sees in training what it sees in a PNG, and a cached scene takes a quarter of the memory. --data NAME=DIR takes pairs from DIR/photo and DIR/comic.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "scenes.h"

typedef struct { Image *pairs; } Scenes;                   /* photo, comic of each scene; px NULL: not kept */

static int scenes_fields(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st)
{
    int64_t h, w;
    (void)folder;
    if (c->size[0] != c->size[1] || c->size[0] < SCENE_MIN_SIZE || c->size[0] > SCENE_MAX_SIZE)
        return status_fail(st, "'size' must be one number from %d to %d", SCENE_MIN_SIZE, SCENE_MAX_SIZE), 0;
    if (c->before.kind)
        return status_fail(st, "a crop of %d is larger than the scenes, which are %lld", c->before.n, (long long)c->size[0]), 0;
    picture_size(c, &h, &w);
    f[0] = (FieldShape){ "photo", DT_F32, 3, { 3, h, w } };
    f[1] = (FieldShape){ "comic", DT_F32, 3, { 3, h, w } };
    return 2;
}

static bool scenes_open(DataSet *s, Status *st)
{
    if (s->overridden)
        return pictures_open(s, st);
    Scenes *scenes = s->state = xmalloc(sizeof *scenes);
    s->items = s->config.count;
    scenes->pairs = calloc((size_t)s->items * 2, sizeof *scenes->pairs);
    return scenes->pairs || status_fail(st, "data '%s': out of memory for %lld scenes", s->data->name, (long long)s->items);
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

static bool draw_scene(const DataSet *s, int64_t i, Image pair[2], Status *st)
{
    int    size = (int)s->config.size[0];
    size_t area = (size_t)size * (size_t)size;
    float *drawn = malloc(sizeof(float) * 6 * area);
    for (int k = 0; k < 2; k++)
        pair[k] = (Image){ .w = size, .h = size, .channels = 3, .px = malloc(3 * area) };
    bool ok = drawn && pair[0].px && pair[1].px;
    if (ok) {
        scene_render((uint64_t)s->config.seed, (uint64_t)(s->config.start + i), size, drawn, drawn + 3 * area);
        to_bytes(drawn, area, pair[0].px);
        to_bytes(drawn + 3 * area, area, pair[1].px);
    }
    free(drawn);
    return ok || status_fail(st, "out of memory for a scene of %d x %d", size, size);
}

static bool scenes_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st)
{
    Image *kept = ((Scenes *)s->state)->pairs + 2 * i, drawn[2] = { { 0 } }, *pair = kept->px ? kept : drawn;
    bool   ok = (kept->px || draw_scene(s, i, drawn, st)) && picture_finish(&s->config, &pair[0], d, fields[0], st) && picture_finish(&s->config, &pair[1], d, fields[1], st);
    size_t bytes = 6 * (size_t)s->config.size[0] * (size_t)s->config.size[0];
    if (ok && pair == drawn && bytes <= s->cache_left) {
        s->cache_left -= bytes;
        memcpy(kept, drawn, sizeof drawn);
    } else if (pair == drawn) {
        image_free(&drawn[0]);
        image_free(&drawn[1]);
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
    for (int64_t i = 0; scenes && scenes->pairs && i < 2 * s->config.count; i++)
        image_free(&scenes->pairs[i]);
    if (scenes)
        free(scenes->pairs);
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
    { "range",   ARG_IS_RANGE,   AT(range),   false, 0, 0,         NULL, "[0, 1]", "what black and white map to" },
    { "augment", ARG_IS_AUGMENT, 0,           false, 0, 0,         NULL, "[]",     "random_crop(n), center_crop(n), hflip(p)" },
    { "batch",   ARG_IS_INT,     AT(batch),   false, 1, MAX_BATCH, NULL, "1",      "items a batch" },
    { "shuffle", ARG_IS_BOOL,    AT(shuffle), false, 0, 0,         NULL, "false",  "a new order each epoch" },
};

const DataSource source_scenes = {
    "scenes", "rendered scenes in two looks: photo f32[3, size, size], comic f32[3, size, size]", scenes_args, COUNT(scenes_args), scenes_preset, scenes_fields, scenes_open,
    scenes_item, scenes_close,
};
