/* scenes_mood.c - light, weather and camera of a scene. A mood is a light's colours in the photograph and the two sky colours of the comic.
 * The sky's colours are all that the comic keeps of it: its things have the same tones in any light.
 */
#define DICE_FILE 5
#include "scenes_draw.h"

typedef struct {
    Rgb   key, ambient, bounce, sky_top, sky_low;                    /* linear light */
    Rgb   comic_top, comic_low;
    float up_lo, up_hi, target, contrast;
} Mood;

static const Mood moods[LIGHTS] = {
    [LIGHT_NOON]     = {{1.00f, 0.96f, 0.88f}, {0.30f, 0.34f, 0.40f}, {0.12f, 0.11f, 0.09f}, {0.16f, 0.30f, 0.58f}, {0.50f, 0.62f, 0.74f},
                        {0.36f, 0.70f, 0.95f}, {0.74f, 0.91f, 0.98f}, 0.60f, 0.85f, 0.27f, 1.00f},
    [LIGHT_MORNING]  = {{1.00f, 0.82f, 0.58f}, {0.28f, 0.32f, 0.42f}, {0.12f, 0.10f, 0.08f}, {0.26f, 0.38f, 0.58f}, {0.80f, 0.70f, 0.52f},
                        {0.50f, 0.80f, 0.95f}, {0.99f, 0.92f, 0.72f}, 0.35f, 0.55f, 0.26f, 1.00f},
    [LIGHT_DUSK]     = {{1.00f, 0.48f, 0.20f}, {0.24f, 0.20f, 0.34f}, {0.12f, 0.07f, 0.06f}, {0.20f, 0.16f, 0.34f}, {0.95f, 0.45f, 0.18f},
                        {0.62f, 0.42f, 0.74f}, {0.99f, 0.66f, 0.38f}, 0.28f, 0.45f, 0.19f, 1.00f},
    [LIGHT_OVERCAST] = {{0.46f, 0.48f, 0.50f}, {0.44f, 0.47f, 0.51f}, {0.10f, 0.10f, 0.10f}, {0.36f, 0.39f, 0.43f}, {0.52f, 0.54f, 0.56f},
                        {0.66f, 0.75f, 0.82f}, {0.87f, 0.90f, 0.92f}, 0.70f, 0.90f, 0.20f, 0.90f},
    [LIGHT_NIGHT]    = {{0.34f, 0.42f, 0.70f}, {0.14f, 0.19f, 0.36f}, {0.05f, 0.05f, 0.08f}, {0.02f, 0.03f, 0.09f}, {0.08f, 0.11f, 0.24f},
                        {0.14f, 0.20f, 0.48f}, {0.30f, 0.40f, 0.70f}, 0.50f, 0.75f, 0.120f, 1.00f},
    [LIGHT_WINDOW]   = {{0.90f, 0.95f, 1.00f}, {0.26f, 0.26f, 0.27f}, {0.10f, 0.09f, 0.07f}, {0.6f, 0.7f, 0.8f}, {0.6f, 0.7f, 0.8f},
                        {0.5f, 0.8f, 0.95f}, {0.8f, 0.92f, 0.98f}, 0.40f, 0.65f, 0.22f, 0.95f},
    [LIGHT_TUNGSTEN] = {{1.00f, 0.66f, 0.34f}, {0.26f, 0.19f, 0.13f}, {0.12f, 0.07f, 0.04f}, {0.05f, 0.06f, 0.12f}, {0.05f, 0.06f, 0.12f},
                        {0.14f, 0.20f, 0.48f}, {0.30f, 0.40f, 0.70f}, 0.45f, 0.75f, 0.17f, 0.95f},
};

/* A camera's automatic white balance takes off a third of the light's colour. */
static Rgb calm(Rgb c) { float grey = luma(c); return mixrgb(c, rgb(grey, grey, grey), 0.33f); }

void set_light(Scene *s)
{
    static const int outdoors[] = {LIGHT_NOON, LIGHT_NOON, LIGHT_NOON, LIGHT_MORNING, LIGHT_MORNING, LIGHT_DUSK, LIGHT_DUSK, LIGHT_OVERCAST,
        LIGHT_OVERCAST, LIGHT_NIGHT};
    static const int indoors[] = {LIGHT_WINDOW, LIGHT_WINDOW, LIGHT_TUNGSTEN, LIGHT_TUNGSTEN, LIGHT_MORNING, LIGHT_OVERCAST};
    Dice *d = &s->dice;
    s->light = s->indoor ? any(&s->dice, indoors) : any(&s->dice, outdoors);
    s->weather = s->indoor ? WEATHER_CLEAR : chance(d, 0.5f) ? WEATHER_CLEAR : chance(d, 0.45f) ? WEATHER_HAZE : chance(d,
        0.5f) ? WEATHER_RAIN : WEATHER_SNOW;
    if (s->weather == WEATHER_RAIN || s->weather == WEATHER_SNOW)
        s->light = s->light == LIGHT_NIGHT || s->light == LIGHT_DUSK ? s->light : LIGHT_OVERCAST;
    const Mood *m = &moods[s->light];
    float warm = between(d, -0.06f, 0.06f), green = between(d, -0.03f, 0.03f);
    Rgb cast = rgb(1.0f + warm, 1.0f + green, 1.0f - warm);          /* the white balance is never quite right */
    s->key = mulrgb(calm(m->key), cast);
    s->ambient = mulrgb(calm(m->ambient), cast);
    s->bounce = mulrgb(m->bounce, cast);
    s->sky_top = mulrgb(m->sky_top, cast);
    s->sky_low = mulrgb(m->sky_low, cast);
    s->comic_top = m->comic_top;
    s->comic_low = m->comic_low;
    s->target = m->target * between(d, 0.41f, 0.57f);
    s->contrast = m->contrast * between(d, 0.88f, 1.0f);
    float up = between(d, m->up_lo, m->up_hi), flat = sqrtf(1.0f - up * up), side = between(d, 0.35f, 0.8f) * (chance(d, 0.5f) ? 1.0f : -1.0f);
    s->lx = flat * side;
    s->ly = up;
    s->lz = flat * sqrtf(1.0f - side * side);
    s->fog = mixrgb(s->sky_low, s->sky_top, 0.25f);
    s->fog_density = s->indoor ? 0.0f : between(d, 0.1f, 0.3f);
    if (s->weather == WEATHER_HAZE) {
        s->fog_density = between(d, 0.45f, 0.95f);
        s->contrast *= 0.94f;
    } else if (s->weather == WEATHER_RAIN || s->weather == WEATHER_SNOW) {
        s->fog_density = between(d, 0.3f, 0.6f);
        s->key = mixrgb(s->key, s->ambient, 0.35f);
        float grey = luma(s->sky_top);
        s->sky_top = mixrgb(s->sky_top, rgb(grey, grey, grey), 0.6f);
    }
    s->noise = between(d, 0.006f, 0.026f) * (s->light == LIGHT_NIGHT ? 1.5f : 1.0f);
    s->vignette = between(d, 0.08f, 0.28f);
    s->rough = chance(d, 0.5f) ? between(d, 0.6f, 1.2f) : between(d, 1.2f, 3.5f);
}

void set_camera(Scene *s)
{
    Dice *d = &s->dice;
    s->zoom = s->indoor || s->place == PLACE_PORTRAIT || s->place == PLACE_PET ? between(d, 1.0f, 1.3f) : between(d, 1.1f, 1.6f);
    s->roll = between(d, -0.014f, 0.014f) * (chance(d, 0.3f) ? 2.5f : 1.0f);      /* turns */
    s->keystone = between(d, -0.1f, 0.1f);
    s->pan_x = between(d, -0.5f, 0.5f) * (1.0f - 1.0f / s->zoom);
    s->pan_y = between(d, -0.3f, 0.5f) * (1.0f - 1.0f / s->zoom);
    s->horizon = between(d, 0.36f, 0.58f);
    s->focus = 0.35f;
    s->blur = between(d, 0.3f, 1.3f);
    s->softness = between(d, 0.05f, 0.3f);         /* of the sharpest part */
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
