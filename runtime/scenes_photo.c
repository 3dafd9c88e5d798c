/* scenes_photo.c - the photograph: textures, light on surfaces, air, and then lens and film.
 * Works in linear light; develop() exposes for the light that falls on the scene, as a hand-held meter does, so that a thing's brightness does not
 * hang on its neighbours.
 */
#include "scenes_draw.h"

#include <stdlib.h>
#include <string.h>

/* ---- textures ---- */

static float fract(float x) { return x - floor_of(x); }

static float near_edge(float f, float width) { float e = f < 0.5f ? f : 1.0f - f; return 1.0f - smooth(0.6f * width, 1.4f * width, e); }

/* Courses of bricks, tiles or boards: line at the joints, one tone a piece. shift: of every other course; cu, cv: pieces per cell */
static Texel courses(float u, float v, float cu, float cv, float shift, float joint, uint32_t seed)
{
    float row = floor_of(v * cv), uu = u * cu + shift * row, col = floor_of(uu);
    float tone = 2.0f * hashf((int32_t)col, (int32_t)row, seed) - 1.0f;
    float line = near_edge(fract(uu), joint * cu), across = near_edge(fract(v * cv), joint * cv);
    line = line > across ? line : across;
    return (Texel){0.55f * tone + 0.3f * noise2(u * 9.0f, v * 9.0f, seed), 0.0f, line};
}

static Texel road(const Shape *h, float x, float y, float u, float v)
{
    float t = (y - h->p[0]) / (1.05f - h->p[0]);
    float dash = t > 0.44f && t < 0.52f && fract(x * 4.0f + (float)(h->seed & 255u)) < 0.55f ? 1.0f : 0.0f;
    float kerb = t < 0.07f ? 0.75f : 0.0f;
    return (Texel){0.6f * noise2(u * 11.0f, v * 11.0f, h->seed), dash > kerb ? dash : kerb, 0.0f};
}

static Texel windows(const Scene *s, const Shape *h, float u, float v)
{
    float cu = floor_of(u), cv = floor_of(v), fu = u - cu, fv = v - cv;
    bool pane = fu > 0.22f && fu < 0.78f && fv > 0.2f && fv < 0.75f, lit = true;
    if (s->light == LIGHT_NIGHT)
        lit = hashf((int32_t)cu, (int32_t)cv, h->seed) > 0.45f;
    return (Texel){0.2f * noise2(u, v, h->seed), pane && lit ? 1.0f : 0.0f, pane && !lit ? 0.9f : 0.0f};
}

static Texel pattern(const Scene *s, const Shape *h, float x, float y, float u, float v)
{
    uint32_t q = h->seed;
    switch ((Texture)h->texture) {
    case TEX_PLAIN:   return (Texel){0, 0, 0};
    case TEX_SPECKLE: return (Texel){fbm2(u, v, 2, q), 0, 0};
    case TEX_BRICK:   return courses(u, v, 0.5f, 1.0f, 0.5f, 0.1f, q);
    case TEX_TILES:   return courses(u, v, 0.6f, 0.6f, 0.0f, 0.06f, q);
    case TEX_STONE:   u += 0.3f * noise2(u * 1.3f, v * 1.3f, q); v += 0.25f * noise2(u * 1.7f, v * 1.7f, q + 1u); return courses(u, v, 0.4f,
        0.6f, 0.45f, 0.09f, q);
    case TEX_ROOF:    return courses(u, v, 0.8f, 0.8f, 0.5f, 0.09f, q);
    case TEX_WOOD: {
        float board = floor_of(v * 0.8f), f = fract(v * 0.8f), k = hashf((int32_t)board, 3, q);
        float grain = fbm2(u * 0.9f + 17.0f * k, v * 9.0f, 3, q), ring = sin_turn(1.3f * fbm2(u * 0.35f + 9.0f * k, v * 1.6f, 2, q + 5u) + 1.5f * f);
        return (Texel){0.55f * grain + 0.3f * ring + 0.4f * (k - 0.5f), 0.0f, near_edge(f, 0.045f)};
    }
    case TEX_PLANKS: {
        float board = floor_of(u * 0.7f), f = fract(u * 0.7f), k = hashf((int32_t)board, 3, q);
        return (Texel){0.5f * fbm2(u * 5.0f, v * 0.7f + 13.0f * k, 2, q) + 0.5f * (k - 0.5f), 0.0f, near_edge(f, 0.09f)};
    }
    case TEX_BARK:    return (Texel){fbm2(u * 3.0f, v * 0.8f, 3, q), 0, smooth(0.25f, 0.5f, noise2(u * 0.5f, v * 2.2f, q + 9u))};
    case TEX_GRASS:   return (Texel){0.6f * fbm2(u * 3.0f, v * 0.9f, 2, q) + 0.6f * noise2(u * 0.25f, v * 0.25f, q + 3u), 0, 0};
    case TEX_SAND:    return (Texel){0.5f * noise2(u * 4.0f, v * 4.0f, q) + 0.5f * fbm2(u * 0.3f, v * 0.6f, 2, q), 0, 0};
    case TEX_LEAF: {
        float f = fbm2(u, v, 3, q);
        return (Texel){f, 0.0f, smooth(0.3f, 0.5f, -f)};
    }
    case TEX_FUR:     return (Texel){0.7f * fbm2(u * 2.2f + 0.4f * v, v * 0.7f, 2, q) + 0.4f * noise2(u * 0.2f, v * 0.2f, q), 0, 0};
    case TEX_ROCK: {
        float f = fbm2(u * 0.6f, v * 0.6f, 3, q), cap = h->p[0] - h->p[1] * (0.42f + 0.22f * noise2(u * 0.8f, v * 0.3f, q + 2u));
        return (Texel){f, h->kind == SHAPE_LAND && y < cap ? 1.0f : 0.0f, smooth(0.35f, 0.5f, -f) * 0.7f};
    }
    case TEX_WATER: {
        float f = fbm2(u * 0.9f, v * 3.2f, 2, q), g = noise2(u * 0.5f, v * 2.0f, q + 5u);
        return (Texel){0.8f * f, smooth(0.30f, 0.42f, f) * smooth(-0.2f, 0.2f, g), smooth(0.32f, 0.45f, -f) * 0.6f};
    }
    case TEX_CLOTH:   return (Texel){0.4f * sin_turn(u * 2.0f) * sin_turn(v * 2.0f) + 0.6f * fbm2(u * 0.12f, v * 0.12f, 2, q), 0, 0};
    case TEX_CHECK: {
        bool a = fract(u * 0.5f) < 0.5f, b = fract(v * 0.5f) < 0.5f;
        return (Texel){0.3f * noise2(u * 6.0f, v * 6.0f, q), a == b ? 1.0f : 0.0f, 0};
    }
    case TEX_STRIPE:  return (Texel){0.3f * noise2(u * 5.0f, v * 5.0f, q), fract(v * 0.5f) < 0.5f ? 1.0f : 0.0f, 0};
    case TEX_BARS:    return (Texel){0.3f * noise2(u * 5.0f, v * 5.0f, q), fract(u * 0.5f) < 0.3f ? 1.0f : 0.0f, 0};
    case TEX_PLASTER: return (Texel){fbm2(u * 0.7f, v * 0.7f, 3, q), 0, 0};
    case TEX_WINDOWS: return windows(s, h, u, v);
    case TEX_ROAD:    return road(h, x, y, u, v);
    }
    return (Texel){0, 0, 0};
}

static Texel texel_at(const Scene *s, const Shape *h, float x, float y)
{
    if (h->kind == SHAPE_LAND && h->face == FACE_FLOOR) {            /* a floor runs away from us: its cells shrink, then melt */
        float d = y - s->horizon, z = 1.0f / ((d > 0.0f ? d : 0.0f) + 0.1f), near = smooth(0.0f, 0.16f, d);
        Texel t = pattern(s, h, x, y, (x - 0.5f) * z * 0.42f * h->grain, z * 0.32f * h->grain);
        float ripple = h->texture == TEX_ROAD || h->texture == TEX_CHECK ? 1.0f : near;
        return (Texel){t.tone * (0.25f + 0.75f * near), t.mask * ripple, t.line * near};
    }
    float u, v;
    shape_local(h, x, y, &u, &v);
    return pattern(s, h, x, y, u * h->grain, v * h->grain);
}

/* ---- light ---- */

static float lamp_fall(const Lamp *l, float x, float y)
{
    float dx = x - l->x, dy = y - l->y, q = (dx * dx + dy * dy) / (l->radius * l->radius);
    return q < 1.0f ? (1.0f - q) * (1.0f - q) : 0.0f;
}

Surface surface_at(const Scene *s, const Shape *h, float x, float y, float shade)
{
    Surface f = {.x = x, .y = y, .shade = shade, .depth = h->depth};
    if (h->kind == SHAPE_LAND && h->face == FACE_FLOOR && !s->indoor)
        f.depth = depth_at(s, y);
    if (h->flags & SKY)
        return f;
    f.n = shape_normal(s, h, x, y);
    f.t = texel_at(s, h, x, y);
    float lambert = f.n.x * s->lx + f.n.y * s->ly + f.n.z * s->lz;
    lambert = lambert > 0.0f ? lambert : 0.0f;
    /* A wall or a floor keeps its middle tone at any height of the sun: brightness alone cannot tell a pale wall in the shade from a dark one in
     * the sun. */
    bool plain = h->face == FACE_FLOOR || (h->face == FACE_FLAT && h->kind != SHAPE_LAND && fabsf(h->nx) < 0.4f);
    f.level = (plain ? 0.55f : lambert) * shade;
    f.lambert = plain ? lerpf(lambert, 0.6f, 0.6f) : lambert;
    if (!(h->flags & CLOUD))
        for (int i = 0; i < s->nlamps; i++)
            f.level += 0.9f * luma(s->lamp[i].light) * lamp_fall(&s->lamp[i], x,
                y) * (s->light == LIGHT_NIGHT || s->light == LIGHT_TUNGSTEN ? 1.0f : 0.0f);
    if (h->gloss > 0.0f) {                          /* Blinn: the half vector of light and eye */
        float k = 1.0f / sqrtf(2.0f + 2.0f * s->lz), q = (f.n.x * s->lx + f.n.y * s->ly + f.n.z * (s->lz + 1.0f)) * k;
        q = q > 0.0f ? q * q : 0.0f;
        q *= q, q *= q, q *= q;
        f.shine = q * q * shade;                    /* to the 32nd */
    }
    return f;
}

static Rgb sky_light(const Scene *s, float x, float y)
{
    float t = smooth(0.0f, 1.0f, y / (s->horizon > 0.1f ? s->horizon : 0.1f));
    Rgb c = mixrgb(s->sky_top, s->sky_low, t);
    float veil = fbm2(x * 3.0f, y * 7.0f, 3, 77u) * (s->light == LIGHT_OVERCAST ? 0.22f : 0.1f);
    return scalergb(c, 1.0f + veil);
}

static Rgb bloom(const Scene *s, float x, float y)
{
    Rgb sum = {0, 0, 0};
    for (int i = 0; i < s->nlamps; i++) {
        const Lamp *l = &s->lamp[i];
        float dx = x - l->x, dy = y - l->y, q = (dx * dx + dy * dy) / (l->radius * l->radius);
        sum = addrgb(sum, scalergb(l->light, 0.22f * lamp_fall(l, x, y) / (1.0f + 14.0f * q)));
    }
    return sum;
}

Rgb photo_colour(const Scene *s, const Shape *h, const Surface *f)
{
    Rgb c;
    if (h->flags & SKY) {
        c = sky_light(s, f->x, f->y);
    } else if (h->flags & CLOUD) {
        Rgb lit = addrgb(scalergb(s->sky_low, 0.55f), scalergb(s->key, s->light == LIGHT_NIGHT ? 0.1f : 0.15f + 0.5f * f->level));
        float soft = clampf(-shape_distance(s, h, f->x, f->y) / h->soft, 0.0f, 1.0f);
        c = mixrgb(sky_light(s, f->x, f->y), scalergb(lit, 1.0f + 0.15f * f->t.tone), 0.25f + 0.75f * soft);
    } else {
        Rgb a = mixrgb(h->colour, h->second, f->t.mask);
        a = mulrgb(a, a);                           /* to linear light */
        float grey = luma(a);
        a = mulrgb(mixrgb(rgb(grey, grey, grey), a, 0.72f), h->tint);
        a = scalergb(a, 0.8f * (1.0f + clampf(s->rough * h->strength * f->t.tone, -0.75f, 1.4f)) * (1.0f - 0.6f * h->strength * f->t.line) + 0.01f);
        Rgb light = addrgb(scalergb(s->ambient, (0.68f + 0.32f * f->n.y) * (0.45f + 0.55f * f->shade)), scalergb(s->bounce, 0.5f - 0.5f * f->n.y));
        light = addrgb(light, scalergb(s->key, f->lambert * f->shade));
        for (int i = 0; i < s->nlamps; i++)
            light = addrgb(light, scalergb(s->lamp[i].light, 0.9f * lamp_fall(&s->lamp[i], f->x, f->y)));
        c = mulrgb(a, light);
        c = addrgb(c, scalergb(s->key, 0.8f * h->gloss * f->shine));
        if (h->flags & GLOW)
            c = addrgb(c, scalergb(mulrgb(h->colour, h->colour), s->light == LIGHT_NIGHT ? 0.7f : 0.8f));
    }
    float air = 1.0f - fade(s->fog_density * f->depth * f->depth);
    if (h->flags & SKY)
        air *= 0.6f;
    return addrgb(mixrgb(c, s->fog, air), bloom(s, f->x, f->y));
}

/* ---- lens and film ---- */

/* dst (size,size) = src filtered along one axis with the bell (1 - (i/R)^2)^2, edges repeated */
static void blur_axis(const float *src, float *dst, int size, const float *w, int r, bool rows)
{
    int along = rows ? 1 : size, across = rows ? size : 1;
    for (int j = 0; j < size; j++) {
        const float *line = src + (size_t)j * (size_t)across;
        for (int i = 0; i < size; i++) {
            float sum = 0.0f;
            for (int k = -r; k <= r; k++) {
                int q = i + k < 0 ? 0 : i + k >= size ? size - 1 : i + k;
                sum += w[k + r] * line[(size_t)q * (size_t)along];
            }
            dst[(size_t)j * (size_t)across + (size_t)i * (size_t)along] = sum;
        }
    }
}

static bool defocus(const Scene *s, int size, float *linear, const float *coc)
{
    enum { MAX_R = 96 };
    float w[2 * MAX_R + 1], sum = 0.0f, reach = 1.0f + 2.2f * s->blur * (float)size / 128.0f;
    int r = (int)reach;
    r = r < 1 ? 1 : r > MAX_R ? MAX_R : r;
    for (int k = -r; k <= r; k++) {
        float q = (float)k / (reach + 0.001f);
        w[k + r] = (1.0f - q * q) * (1.0f - q * q);
        sum += w[k + r];
    }
    for (int k = 0; k <= 2 * r; k++)
        w[k] /= sum;
    size_t n = (size_t)size * (size_t)size;
    float *a = malloc(2 * n * sizeof *a);
    if (!a)
        return false;
    for (int c = 0; c < 3; c++) {
        float *plane = linear + (size_t)c * n;
        blur_axis(plane, a, size, w, r, true);
        blur_axis(a, a + n, size, w, r, false);
        for (size_t i = 0; i < n; i++)
            plane[i] = lerpf(plane[i], a[n + i], coc[i]);
    }
    free(a);
    return true;
}

/* Fine rain and far flakes, which the comic leaves out: what they add to the picture at pixel (x, y), in units of the frame. */
static float weather_veil(const Scene *s, float x, float y)
{
    if (s->indoor)
        return 0.0f;
    if (s->weather == WEATHER_RAIN)
        return 0.07f * smooth(0.45f, 0.8f, noise2(x * 64.0f + y * 9.0f, y * 7.0f, 5u));
    if (s->weather == WEATHER_SNOW) {
        float u = x * 26.0f, v = y * 26.0f, cu = floor_of(u), cv = floor_of(v);
        float dx = u - cu - 0.2f - 0.6f * hashf((int32_t)cu, (int32_t)cv, 11u), dy = v - cv - 0.2f - 0.6f * hashf((int32_t)cu, (int32_t)cv, 12u);
        return hashf((int32_t)cu, (int32_t)cv, 13u) < 0.5f ? 0.25f * smooth(0.03f, 0.005f, dx * dx + dy * dy) : 0.0f;
    }
    return 0.0f;
}

static float bell(int x, int y, uint32_t seed)      /* three uniforms: variance 1/4 */
{
    uint32_t h = hash2(x, y, seed);
    return ((float)(h & 1023u) + (float)((h >> 10) & 1023u) + (float)((h >> 20) & 1023u)) * (1.0f / 1023.0f) - 1.5f;
}

bool develop(const Scene *s, int size, float *linear, const float *coc, float *photo, uint32_t film)
{
    if (!defocus(s, size, linear, coc))
        return false;
    size_t n = (size_t)size * (size_t)size;
    float gain = s->target / (0.30f * luma(s->key) + 0.26f * luma(s->ambient)), veil = (1.0f - s->contrast) * s->target;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            size_t i = (size_t)y * (size_t)size + (size_t)x;
            float fx = ((float)x + 0.5f) / (float)size, fy = ((float)y + 0.5f) / (float)size, dx = fx - 0.5f, dy = fy - 0.5f;
            float lens = 1.0f - s->vignette * 1.6f * (dx * dx + dy * dy), grain = 1.3f * s->noise * bell(x, y, film), drops = weather_veil(s, fx, fy);
            for (int c = 0; c < 3; c++) {
                float v = linear[(size_t)c * n + i] * gain * lens * s->contrast + veil;
                v = v > 0.0f ? sqrtf(1.25f * v / (v + 0.55f)) : 0.0f;
                v = lerpf(v, v * v * (3.0f - 2.0f * v), 0.75f);      /* the film's toe and shoulder */
                v += drops + grain + 0.8f * s->noise * bell(x, y, film + 1u + (uint32_t)c);
                photo[(size_t)c * n + i] = clampf(v, 0.0f, 1.0f);
            }
        }
    return true;
}
