/* scenes.c - from a list of shapes to the two pictures.
 *
 * Tile by tile: every sample (2x2 a pixel) looks up which shape is on top, how much ink lies over it and whether a cast shadow does; then both looks
 * are coloured from the same surface, so that they agree in every outline. The photograph goes on through lens and film (scenes_photo.c).
 * Tiles keep the working set small and let most shapes be skipped by their bounding boxes.
 */
#include "scenes_draw.h"

#include <stdlib.h>

enum { SUB = 2, TILE = 16, SIDE = TILE * SUB, SAMPLES = SIDE * SIDE };

typedef struct {
    float    x[SAMPLES], y[SAMPLES];                /* in the scene, after the camera */
    uint16_t top[SAMPLES];
    float    ink[SAMPLES], shade[SAMPLES];
    float    low[SIDE], high[SIDE];                 /* range of y of a row of samples */
    float    x0, y0, x1, y1;
} Tile;

typedef struct { float ca, sa, zoom, pixel, pen; } View;             /* pixel: its width in the scene; pen: ink line width in the scene */

static void aim(const Scene *s, const View *v, Tile *t, int size, int left, int top)
{
    float step = 1.0f / (float)(size * SUB);
    t->x0 = t->y0 = 1e9f, t->x1 = t->y1 = -1e9f;
    for (int j = 0; j < SIDE; j++) {
        t->low[j] = 1e9f, t->high[j] = -1e9f;
        for (int i = 0; i < SIDE; i++) {
            float fx = ((float)(left * SUB + i) + 0.5f) * step - 0.5f, fy = ((float)(top * SUB + j) + 0.5f) * step - 0.5f;
            float u = (fx * v->ca - fy * v->sa) / v->zoom, w = (fx * v->sa + fy * v->ca) / v->zoom;
            u *= 1.0f + s->keystone * w;
            float x = u + 0.5f + s->pan_x, y = w + 0.5f + s->pan_y;
            t->x[j * SIDE + i] = x;
            t->y[j * SIDE + i] = y;
            t->x0 = x < t->x0 ? x : t->x0;
            t->x1 = x > t->x1 ? x : t->x1;
            t->low[j] = y < t->low[j] ? y : t->low[j];
            t->high[j] = y > t->high[j] ? y : t->high[j];
        }
        t->y0 = t->low[j] < t->y0 ? t->low[j] : t->y0;
        t->y1 = t->high[j] > t->y1 ? t->high[j] : t->y1;
    }
}

static float out_of_focus(const Scene *s, float depth) { return clampf(fabsf(depth - s->focus) * 1.6f - 0.15f, 0.0f, 1.0f); }

/* Far and small things get a thinner line, or they would drown in ink. */
static float pen_for(const Shape *h, const View *v)
{
    float w = h->x1 - h->x0, t = h->y1 - h->y0, extent = (w < t ? w : t) / v->pixel;
    return (1.0f - 0.4f * h->depth) * (h->kind == SHAPE_STROKE || h->kind == SHAPE_CAPSULE ? 1.0f : clampf(extent / 9.0f, 0.35f, 1.0f));
}

static void paint(const Scene *s, const View *v, Tile *t, int index)
{
    const Shape *h = &s->shape[index];
    float half = 0.5f * v->pen * h->ink * pen_for(h, v), edge = 0.5f * v->pixel, margin = h->flags & SHADE_ONLY ? h->soft : half + edge;
    float x0 = h->x0 - margin, x1 = h->x1 + margin, y0 = h->y0 - margin, y1 = h->y1 + margin;
    if (x0 > t->x1 || x1 < t->x0 || y0 > t->y1 || y1 < t->y0)
        return;
    float strength = h->ink > 0.0f ? (1.0f - 0.25f * h->depth) * (1.0f - 0.3f * out_of_focus(s, h->depth)) : 0.0f;
    for (int k = 0; k < SAMPLES; k++) {
        if (k % SIDE == 0 && (y0 > t->high[k / SIDE] || y1 < t->low[k / SIDE])) {
            k += SIDE - 1;
            continue;
        }
        float x = t->x[k], y = t->y[k];
        if (x < x0 || x > x1 || y < y0 || y > y1 || t->top[k] < h->on)
            continue;
        float d = shape_distance(s, h, x, y);
        if (d > margin)
            continue;
        if (h->flags & SHADE_ONLY) {
            t->shade[k] *= 1.0f - 0.85f * smooth(h->soft, -h->soft, d);
            continue;
        }
        float line = strength * clampf(0.5f + (half - fabsf(d)) / v->pixel, 0.0f, 1.0f);
        if (d < 0.0f) {
            t->top[k] = (uint16_t)index;
            t->shade[k] = 1.0f;
            t->ink[k] = line;
        } else if (line > t->ink[k]) {
            t->ink[k] = line;
        }
    }
}

/* One pixel of either look out of its samples. Inside a shape the two on a diagonal do: only outlines need all four. */
static void resolve(const Scene *s, const Tile *t, int px, int py, int i, int j, float period, Rgb *photo, Rgb *comic, float *coc)
{
    static const Rgb black = {0.08f, 0.06f, 0.11f};
    int first = j * SUB * SIDE + i * SUB;
    const int at[SUB * SUB] = {first, first + SIDE + 1, first + 1, first + SIDE};
    bool inside = true;
    for (int k = 1; k < SUB * SUB; k++)
        inside = inside && t->top[at[k]] == t->top[first] && t->ink[at[k]] == 0.0f;
    inside = inside && t->ink[first] == 0.0f;
    int count = inside ? 2 : SUB * SUB;
    Rgb p = {0, 0, 0}, c = {0, 0, 0};
    float blur = 0.0f;
    for (int k = 0; k < count; k++) {
        int q = at[k];
        const Shape *h = &s->shape[t->top[q]];
        Surface f = surface_at(s, h, t->x[q], t->y[q], t->shade[q]);
        if (photo)
            p = addrgb(p, photo_colour(s, h, &f));
        if (comic) {
            float fx = (float)px + ((float)((q - first) % SIDE) + 0.5f) / SUB, fy = (float)py + ((float)((q - first) / SIDE) + 0.5f) / SUB;
            c = addrgb(c, mixrgb(comic_colour(s, h, &f, fx, fy, period), black, t->ink[q]));
        }
        blur += lerpf(s->softness, 1.0f, out_of_focus(s, f.depth));
    }
    float part = inside ? 0.5f : 0.25f;
    if (photo)
        *photo = scalergb(p, part);
    if (comic)
        *comic = scalergb(c, part);
    *coc = blur * part;
}

static void put(float *plane, size_t n, size_t i, Rgb c)
{
    plane[i] = c.r;
    plane[n + i] = c.g;
    plane[2 * n + i] = c.b;
}

bool scene_render(uint64_t seed, uint64_t index, int size, float *photo, float *comic)
{
    if (size < SCENE_MIN_SIZE || size > SCENE_MAX_SIZE)
        return false;
    size_t n = (size_t)size * (size_t)size;
    Scene *s = malloc(sizeof *s + sizeof(Tile) + (photo ? 4 * n : 0) * sizeof(float));
    if (!s)
        return false;
    Tile *t = (Tile *)(s + 1);
    float *linear = (float *)(t + 1), *focus = linear + 3 * n;
    scene_build(s, seed, index);
    float width = (float)size / 128.0f;
    View v = {cos_turn(s->roll), sin_turn(s->roll), s->zoom, 1.0f / ((float)size * s->zoom), (0.75f + 0.85f * width) / ((float)size * s->zoom)};
    float period = size < 256 ? 4.0f : 4.0f * (float)(size / 128);
    for (int top = 0; top < size; top += TILE)
        for (int left = 0; left < size; left += TILE) {
            aim(s, &v, t, size, left, top);
            for (int k = 0; k < SAMPLES; k++)
                t->top[k] = 0, t->ink[k] = 0.0f, t->shade[k] = 1.0f;
            for (int k = 0; k < s->nshapes; k++)
                paint(s, &v, t, k);
            for (int j = 0; j < TILE && top + j < size; j++)
                for (int i = 0; i < TILE && left + i < size; i++) {
                    size_t at = (size_t)(top + j) * (size_t)size + (size_t)(left + i);
                    Rgb p, c;
                    float coc;
                    resolve(s, t, left + i, top + j, i, j, period, photo ? &p : NULL, comic ? &c : NULL, &coc);
                    if (photo) {
                        put(linear, n, at, p);
                        focus[at] = coc;
                    }
                    if (comic)
                        put(comic, n, at, rgb(clampf(c.r, 0.0f, 1.0f), clampf(c.g, 0.0f, 1.0f), clampf(c.b, 0.0f, 1.0f)));
                }
        }
    bool ok = !photo || develop(s, size, linear, focus, photo, (uint32_t)mix64(seed ^ mix64(index)));
    free(s);
    return ok;
}
