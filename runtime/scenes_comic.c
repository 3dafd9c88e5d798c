/* scenes_comic.c - the comic: three flat tones of a strong colour, screen dots in the shadow tone, white highlights, a sky in two bands.
 * Tones follow the light on the form alone, not its colour or strength: a thing looks the same at noon and at dusk.
 */
#include "scenes_draw.h"

static float dot(float px, float py, float period, float radius)     /* of the screen: 1 inside a dot; one dot a period, on the pixel grid */
{
    float u = px / period, v = py / period;
    u -= floor_of(u) + 0.5f;
    v -= floor_of(v) + 0.5f;
    return smooth(radius + 0.12f, radius - 0.12f, sqrtf(u * u + v * v));
}

static Rgb shadow_of(Rgb c) { return rgb(c.r * 0.70f, c.g * 0.66f, c.b * 0.77f + 0.03f); }
static Rgb light_of(Rgb c)  { return rgb(c.r + (1.0f - c.r) * 0.26f, c.g + (1.0f - c.g) * 0.26f, c.b + (1.0f - c.b) * 0.18f); }

static Rgb comic_sky(const Scene *s, float y, float px, float py, float period)
{
    float t = y / (s->horizon > 0.1f ? s->horizon : 0.1f);
    float size = 0.62f * smooth(0.85f, 0.35f, t);   /* the upper colour comes in as growing dots */
    return mixrgb(s->comic_low, s->comic_top, size > 0.12f ? dot(px, py, period, size) : 0.0f);
}

Rgb comic_colour(const Scene *s, const Shape *h, const Surface *f, float px, float py, float period)
{
    if (h->flags & SKY)
        return comic_sky(s, f->y, px, py, period);
    Rgb c = mixrgb(h->colour, h->second, f->t.mask);
    if (h->flags & CLOUD)
        c = mixrgb(c, s->comic_low, s->light == LIGHT_NIGHT ? 0.65f : s->light == LIGHT_DUSK ? 0.35f : 0.08f);
    if (!s->indoor && !(h->flags & (CLOUD | GLOW)))  /* far things pale into the sky, as painters do it */
        c = mixrgb(c, s->comic_low, 0.38f * f->depth * f->depth);
    if (s->light == LIGHT_NIGHT && !(h->flags & (CLOUD | GLOW)))
        c = mulrgb(c, rgb(0.80f, 0.84f, 0.96f));
    if (!(h->flags & NO_LIGHT_STEP)) {
        Rgb flat = c;
        if (f->level > 0.74f)
            c = mixrgb(flat, light_of(flat), smooth(0.74f, 0.80f, f->level));
        if (f->level < 0.30f) {
            Rgb low = shadow_of(flat);
            low = mixrgb(low, scalergb(low, 0.72f), dot(px, py, period, 0.3f));
            c = mixrgb(low, flat, smooth(0.24f, 0.30f, f->level));
        }
    }
    if (f->t.line > 0.0f)
        c = mixrgb(c, scalergb(shadow_of(c), 0.85f), 0.45f * f->t.line);
    if (f->shine * h->gloss > 0.0f)
        c = mixrgb(c, rgb(1.0f, 1.0f, 1.0f), smooth(0.30f, 0.40f, f->shine * (0.5f + 0.5f * h->gloss)));
    return c;
}
