/* scenes_place.c - what a scene is about: the place, and which things stand where.
 * Everything is drawn from one stream of dice seeded by (seed, index), back to front.
 */
#define DICE_FILE 4
#include "scenes_draw.h"

#include <string.h>

static const char *const places[PLACES] = {"street", "country", "lake", "beach", "city", "forest", "garden", "table", "desk", "portrait", "pet"};
static const char *const lights[LIGHTS] = {"noon", "morning", "dusk", "overcast", "night", "window", "tungsten"};
static const char *const weathers[WEATHERS] = {"clear", "haze", "rain", "snow"};
static const char *const things[THINGS] = {"house", "tower", "tree", "pine", "palm", "bush", "car", "person", "cat", "dog", "sheep", "boat",
    "cup", "plate", "fruit", "bottle",
                                           "vase", "book", "lamp", "mountain", "sun", "moon", "cloud", "flower", "bird", "fence", "umbrella",
                                               "balloon", "snowman", "mushroom"};

const char *scene_place_name(int i)   { return i >= 0 && i < PLACES ? places[i] : NULL; }
const char *scene_light_name(int i)   { return i >= 0 && i < LIGHTS ? lights[i] : NULL; }
const char *scene_weather_name(int i) { return i >= 0 && i < WEATHERS ? weathers[i] : NULL; }
const char *scene_object_name(int i)  { return i >= 0 && i < THINGS ? things[i] : NULL; }

static void note(Scene *s, ThingKind k) { s->things |= 1u << k; }

/* ---- grounds and skies ---- */

static void lay_sky(Scene *s, bool clouds)
{
    Dice *d = &s->dice;
    flag(everywhere(s, SKY_BLUE), SKY);
    bool clear = s->weather == WEATHER_CLEAR;
    if (clear && s->light == LIGHT_NIGHT) {
        for (int i = 0, n = 8 + pick(d, 10); i < n; i++) {
            Pen p = pen_at(s, between(d, 0.0f, 1.0f), between(d, 0.0f, s->horizon - 0.1f), between(d, 0.006f, 0.011f), 1.0f);
            inked(flag(ellipse(&p, 0, 0, 1, 1, WHITE), GLOW | NO_LIGHT_STEP), 0.0f);
        }
    }
    if (clear && s->light != LIGHT_OVERCAST && chance(d, 0.55f)) {
        Pen p = pen_at(s, clampf(0.5f + 0.42f * s->lx / (fabsf(s->lx) + 0.2f), 0.1f, 0.9f), s->horizon * between(d, 0.25f, 0.7f), between(d,
            0.045f, 0.075f), 1.0f);
        if (s->light == LIGHT_NIGHT)
            draw_moon(&p);
        else
            draw_sun(&p);
    }
    if (clouds && chance(d, 0.75f)) {
        for (int i = 0, n = 1 + pick(d, 3); i < n; i++) {
            Pen p = pen_at(s, between(d, 0.0f, 1.0f), between(d, 0.06f, 0.7f) * s->horizon, between(d, 0.1f, 0.19f), 1.0f);
            draw_cloud(&p);
        }
    }
    if (chance(d, 0.25f) && s->weather != WEATHER_RAIN) {
        for (int i = 0, n = 2 + pick(d, 3); i < n; i++) {
            Pen p = pen_at(s, between(d, 0.1f, 0.9f), between(d, 0.1f, 0.8f) * s->horizon, between(d, 0.02f, 0.035f), 0.7f);
            draw_gull(&p);
        }
    }
}

static Shape *lay_ground(Scene *s, float y, int colour, Texture t, float cells, float strength)
{
    bool snow = s->weather == WEATHER_SNOW && t != TEX_WATER && t != TEX_ROAD;
    Shape *h = land(s, y, 0.004f, 2.0f, 0.0f, 0.9f, snow ? WHITE : colour);
    texture(h, snow ? TEX_SPECKLE : t, cells, snow ? 0.25f : strength);
    return face(h, FACE_FLOOR, 0, 0);
}

static int meadow(Scene *s) { static const int c[] = {GREEN, LIME, LIME, SAND, GREEN}; return any(&s->dice, c); }

static void lay_mountains(Scene *s)
{
    static const int rocks[] = {BLUE, PURPLE, GREY, TEAL, STONE, SKIN_TAN, WOOD};
    Dice *d = &s->dice;
    note(s, THING_MOUNTAIN);
    for (int i = 0, n = 1 + pick(d, 2); i < n; i++) {
        float y = s->horizon - 0.02f + 0.03f * (float)i;
        Shape *h = land(s, y, between(d, 0.1f, 0.2f) * (1.0f - 0.3f * (float)i), between(d, 1.8f, 3.2f), 1.0f, 0.95f - 0.15f * (float)i,
            any(&s->dice, rocks));
        texture(h, TEX_ROCK, 16.0f, 0.6f);
        if (chance(d, 0.6f) || s->weather == WEATHER_SNOW)
            second(h, WHITE);
    }
}

static void lay_hills(Scene *s)
{
    static const int c[] = {GREEN, DARK_GREEN, LIME, TEAL};
    for (int i = 0, n = 1 + pick(&s->dice, 2); i < n; i++) {
        Shape *h = land(s, s->horizon + 0.01f + 0.03f * (float)i, between(&s->dice, 0.02f, 0.06f), between(&s->dice, 1.5f, 4.0f), 0.0f,
            0.85f - 0.15f * (float)i,
                        s->weather == WEATHER_SNOW ? WHITE : any(&s->dice, c));
        texture(h, TEX_LEAF, 30.0f, 0.4f);
    }
}

/* Stands a thing on the ground; near things lower and larger. height: its size in the frame at the front edge. */
static Pen stand(Scene *s, float x, float y, float height)
{
    float near = (y - s->horizon) / (1.0f - s->horizon);
    return pen_at(s, x, y, height * (0.16f + 0.84f * near), depth_at(s, y));
}

typedef void (*Draw)(Pen *);

static void scatter(Scene *s, const Draw *draws, int n, int count, float from, float to, float height)
{
    for (int i = 0; i < count; i++) {               /* in order of depth */
        float t = ((float)i + unit(&s->dice)) / (float)count, y = lerpf(from, to, t);
        Pen p = stand(s, between(&s->dice, -0.02f, 1.02f), y, height * between(&s->dice, 0.8f, 1.2f));
        draws[pick(&s->dice, n)](&p);
    }
}

static void tufts(Scene *s, int n, float from)
{
    for (int i = 0; i < n; i++) {
        Pen p = stand(s, unit(&s->dice), lerpf(from, 1.02f, unit(&s->dice)), 0.075f);
        draw_tuft(&p);
    }
}

static void aloft(Scene *s)
{
    Dice *d = &s->dice;
    if (s->weather > WEATHER_HAZE || chance(d, 0.6f))
        return;
    Pen p = pen_at(s, between(d, 0.15f, 0.85f), s->horizon * between(d, 0.6f, 0.8f), between(d, 0.18f, 0.32f), 0.75f);
    draw_balloon(&p);
}

static void snowman(Scene *s)
{
    Dice *d = &s->dice;
    if (s->weather != WEATHER_SNOW || chance(d, 0.25f))
        return;
    Pen p = stand(s, between(d, 0.2f, 0.8f), lerpf(s->horizon, 1.0f, 0.75f), 0.55f);
    draw_snowman(&p);
}

static void falling(Scene *s)                       /* the near flakes and drops, seen in both looks */
{
    Dice *d = &s->dice;
    int n = s->weather == WEATHER_SNOW ? 26 : s->weather == WEATHER_RAIN ? 18 : 0;
    float slant = between(d, -0.25f, 0.25f);
    for (int i = 0; i < n; i++) {
        Pen p = pen_at(s, unit(d), unit(d), 1.0f, 0.2f);
        p.flip = 1.0f;
        if (s->weather == WEATHER_SNOW) {
            float r = between(d, 0.006f, 0.013f);
            inked(flag(ellipse(&p, 0, 0, r, r, WHITE), NO_LIGHT_STEP), 0.0f);
        } else {
            float l = between(d, 0.06f, 0.12f);
            inked(flag(capsule(&p, 0, 0, 0.0035f, slant * l, l, 0.002f, WHITE), NO_LIGHT_STEP), 0.0f);
        }
    }
}

/* ---- the places ---- */

static void street(Scene *s)
{
    Dice *d = &s->dice;
    float h = s->horizon;
    lay_sky(s, true);
    if (chance(d, 0.4f))
        lay_hills(s);
    lay_ground(s, h + 0.03f, chance(d, 0.5f) ? STONE : meadow(s), TEX_STONE, 16.0f, 0.4f);
    int n = 3 + pick(d, 2);
    float base = h + between(d, 0.08f, 0.14f);
    for (int i = 0; i < n; i++) {
        Pen p = stand(s, ((float)i + 0.5f) / (float)n + between(d, -0.06f, 0.06f), base + between(d, -0.02f, 0.02f), 1.0f);
        p.scale = between(d, 0.28f, 0.42f);
        if (chance(d, 0.75f))
            draw_house(&p);
        else if (chance(d, 0.5f))
            draw_tower(&p);
        else
            draw_tree(&p);
    }
    float top = base + between(d, 0.07f, 0.11f);
    Shape *road = land(s, top, 0.0f, 1.0f, 0.0f, 0.5f, GREY);
    second(texture(face(road, FACE_FLOOR, 0, 0), TEX_ROAD, 7.0f, 0.35f), WHITE);
    if (chance(d, 0.5f)) {
        Pen p = stand(s, between(d, 0.05f, 0.95f), top, 1.0f);
        p.scale = between(d, 0.3f, 0.45f);
        draw_lamp_post(&p);
    }
    static const Draw walkers[] = {draw_person, draw_person, draw_dog, draw_cat, draw_bush};
    if (chance(d, 0.7f)) {
        Pen p = stand(s, between(d, 0.1f, 0.9f), top + 0.015f, 1.0f);
        int w = pick(d, COUNT(walkers));
        p.scale = (w < 2 ? 0.3f : 0.16f) * between(d, 0.9f, 1.1f);
        walkers[w](&p);
    }
    if (chance(d, 0.8f)) {
        Pen p = stand(s, between(d, 0.2f, 0.8f), lerpf(top, 1.0f, between(d, 0.45f, 0.7f)), 1.0f);
        p.scale = between(d, 0.16f, 0.22f);
        draw_car(&p);
    }
    if (chance(d, 0.35f)) {
        Pen p = stand(s, between(d, 0.1f, 0.9f), 0.98f, 1.0f);
        p.scale = between(d, 0.45f, 0.6f);
        draw_person(&p);
    }
}

static void country(Scene *s)
{
    static const Draw far_things[] = {draw_tree, draw_pine, draw_bush, draw_tree}, near_things[] = {draw_sheep, draw_flower, draw_dog, draw_bush,
        draw_sheep, draw_mushroom};
    Dice *d = &s->dice;
    float h = s->horizon;
    lay_sky(s, true);
    if (chance(d, 0.5f))
        lay_mountains(s);
    aloft(s);
    lay_hills(s);
    lay_ground(s, h + 0.05f, meadow(s), TEX_GRASS, 22.0f, 0.6f);
    scatter(s, far_things, COUNT(far_things), 2 + pick(d, 3), h + 0.06f, h + 0.16f, 0.95f);
    if (chance(d, 0.55f)) {
        Pen p = stand(s, between(d, 0.2f, 0.8f), h + 0.17f, 1.0f);
        p.scale = between(d, 0.24f, 0.36f);
        draw_house(&p);
    }
    tufts(s, 10, h + 0.15f);
    if (chance(d, 0.5f)) {
        Pen p = stand(s, between(d, -0.1f, 0.4f), h + 0.24f, 1.0f);
        p.scale = 0.13f, p.flip = 1.0f;
        draw_fence(&p, 4 + pick(d, 10));
    }
    snowman(s);
    scatter(s, near_things, COUNT(near_things), 2 + pick(d, 3), lerpf(h, 1.0f, 0.5f), 0.98f, 0.3f);
    if (chance(d, 0.3f)) {
        Pen p = stand(s, between(d, 0.1f, 0.9f), 0.99f, 0.55f);
        draw_person(&p);
    }
}

static void lake(Scene *s)
{
    static const Draw shore[] = {draw_pine, draw_pine, draw_tree, draw_bush};
    Dice *d = &s->dice;
    float h = s->horizon;
    lay_sky(s, true);
    lay_mountains(s);
    aloft(s);
    if (chance(d, 0.6f))
        lay_hills(s);
    scatter(s, shore, COUNT(shore), 3 + pick(d, 4), h + 0.03f, h + 0.05f, 0.75f);
    static const int waters[] = {BLUE, TEAL, SKY_BLUE};
    second(lay_ground(s, h + 0.05f, any(&s->dice, waters), TEX_WATER, 6.0f, 0.5f), WHITE);
    for (int i = 0, n = 1 + pick(d, 2); i < n; i++) {
        float y = lerpf(h, 1.0f, 0.25f + 0.3f * (float)i + between(d, 0.0f, 0.1f));
        Pen p = stand(s, between(d, 0.2f, 0.8f), y, 0.85f);
        draw_boat(&p);
    }
    if (chance(d, 0.6f)) {
        Shape *g = land(s, between(d, 0.84f, 0.9f), 0.05f, 2.0f, 0.0f, 0.15f, s->weather == WEATHER_SNOW ? WHITE : meadow(s));
        face(texture(g, TEX_GRASS, 22.0f, 0.6f), FACE_FLOOR, 0, 0);
        static const Draw near_things[] = {draw_flower, draw_bush, draw_pine, draw_tuft, draw_person, draw_dog};
        scatter(s, near_things, COUNT(near_things), 2 + pick(d, 2), 0.95f, 1.02f, 0.38f);
    }
}

static void beach(Scene *s)
{
    Dice *d = &s->dice;
    float h = s->horizon, shore = lerpf(h, 1.0f, between(d, 0.35f, 0.55f));
    lay_sky(s, true);
    if (chance(d, 0.5f)) {
        Shape *cape = land(s, h + 0.01f, 0.05f, 2.6f, 0.4f, 0.8f, chance(d, 0.5f) ? GREEN : STONE);
        texture(cape, TEX_ROCK, 14.0f, 0.5f);
    }
    second(lay_ground(s, h + 0.01f, chance(d, 0.6f) ? BLUE : TEAL, TEX_WATER, 6.0f, 0.5f), WHITE);
    for (int i = 0, n = pick(d, 3); i < n; i++) {
        Pen p = stand(s, between(d, 0.1f, 0.9f), lerpf(h, shore, between(d, 0.25f, 0.7f)), 0.8f);
        draw_boat(&p);
    }
    if (chance(d, 0.45f)) {
        float x = between(d, 0.1f, 0.9f), y = h + 0.06f;
        Pen p = pen_at(s, x, y, 0.36f, depth_at(s, y));
        float rock[] = {-0.3f, -0.04f, 0.2f, 0, 0.0f, 0.22f, 0.3f, -0.05f, 0.18f};
        texture(blob(&p, rock, 3, 0.04f, STONE), TEX_ROCK, 20.0f, 0.6f);
        p.y -= 0.03f;
        draw_lighthouse(&p);
    }
    Shape *foam = land(s, shore - 0.012f, 0.012f, 3.0f, 0.0f, 0.45f, WHITE);
    Shape *sand = land(s, shore + 0.012f, 0.012f, 3.0f, 0.0f, 0.4f, SAND);
    sand->seed = foam->seed;
    inked(face(foam, FACE_FLOOR, 0, 0), 0.5f);
    inked(face(texture(sand, TEX_SAND, 30.0f, 0.4f), FACE_FLOOR, 0, 0), 0.5f);
    static const Draw on_sand[] = {draw_palm, draw_umbrella, draw_person, draw_umbrella, draw_dog, draw_person, draw_palm};
    for (int i = 0, n = 2 + pick(d, 3); i < n; i++) {
        float y = lerpf(shore + 0.05f, 0.98f, ((float)i + unit(d)) / (float)n);
        int k = pick(d, COUNT(on_sand));
        Pen p = stand(s, between(d, 0.05f, 0.95f), y, k == 0 || k == 6 ? 0.75f : k == 4 ? 0.28f : 0.5f);
        on_sand[k](&p);
    }
}

static void city(Scene *s)
{
    static const int far_walls[] = {GREY, BLUE, TEAL, STONE, PURPLE};
    Dice *d = &s->dice;
    float h = s->horizon + 0.12f;
    lay_sky(s, true);
    int c = any(&s->dice, far_walls);
    for (int i = 0; i < 7; i++) {
        Pen p = pen_at(s, ((float)i + 0.5f) / 7.0f + between(d, -0.04f, 0.04f), h + 0.02f, 1.0f, 0.9f);
        inked(box(&p, 0, 0.1f, between(d, 0.05f, 0.09f), between(d, 0.14f, 0.26f), 0.0f, c), 0.7f);
    }
    lay_ground(s, h, STONE, TEX_STONE, 16.0f, 0.4f);
    int n = 4 + pick(d, 3);
    for (int i = 0; i < n; i++) {
        int k = (i * 3) % n;
        Pen p = pen_at(s, ((float)k + 0.5f) / (float)n + between(d, -0.05f, 0.05f), h + 0.05f + 0.05f * (float)i / (float)n, between(d, 0.35f,
            0.7f), 0.62f - 0.2f * (float)i / (float)n);
        draw_block(&p);
    }
    float top = h + between(d, 0.14f, 0.18f);
    second(texture(face(land(s, top, 0.0f, 1.0f, 0.0f, 0.4f, GREY), FACE_FLOOR, 0, 0), TEX_ROAD, 7.0f, 0.35f), WHITE);
    for (int i = 0, m = 1 + pick(d, 2); i < m; i++) {
        Pen p = pen_at(s, between(d, 0.15f, 0.85f), top + 0.05f + 0.11f * (float)i, between(d, 0.11f, 0.14f) + 0.04f * (float)i, 0.3f);
        draw_car(&p);
    }
    if (chance(d, 0.6f)) {
        Pen p = pen_at(s, between(d, 0.1f, 0.9f), 0.97f, between(d, 0.5f, 0.62f), 0.2f);
        draw_lamp_post(&p);
    }
    if (chance(d, 0.5f)) {
        Pen p = pen_at(s, between(d, 0.1f, 0.9f), 0.99f, between(d, 0.36f, 0.45f), 0.18f);
        draw_person(&p);
    }
}

static void forest(Scene *s)
{
    static const Draw small[] = {draw_bush, draw_mushroom, draw_flower, draw_tuft, draw_bird, draw_cat, draw_mushroom};
    Dice *d = &s->dice;
    float h = s->horizon;
    lay_sky(s, false);
    Shape *back = land(s, h - 0.18f, 0.06f, 7.0f, 0.5f, 0.9f, DARK_GREEN);
    texture(back, TEX_LEAF, 24.0f, 0.6f);
    lay_ground(s, h + 0.02f, chance(d, 0.6f) ? GREEN : chance(d, 0.5f) ? BROWN : LIME, TEX_GRASS, 20.0f, 0.6f);
    if (chance(d, 0.6f)) {                          /* a path */
        Pen p = pen_at(s, 0.5f, 1.0f, 1.0f, 0.4f);
        float x = between(d, -0.2f, 0.2f), t = 1.0f - h - 0.02f, path[] = {x - 0.3f, -0.05f, x + 0.25f, -0.05f, x * 0.3f + 0.08f, t * 0.55f,
            -x * 0.4f + 0.015f, t, -x * 0.4f - 0.015f, t, x * 0.3f - 0.1f, t * 0.55f};
        texture(face(inked(poly(&p, path, 6, SAND), 0.7f), FACE_FLOOR, 0, 0), TEX_SAND, 20.0f, 0.4f);
    }
    bool pines = chance(d, 0.5f);
    int n = 6 + pick(d, 4);
    for (int i = 0; i < n; i++) {
        float y = lerpf(h + 0.03f, 0.9f, (float)i / (float)n), x = between(d, 0.0f, 1.0f);
        if (i > n / 2)
            x = x < 0.5f ? x * 0.7f : 1.0f - (1.0f - x) * 0.7f;
        Pen p = stand(s, x, y, pines ? 1.25f : 1.5f);
        if (pines && i < n - 2) {
            draw_pine(&p);
        } else if (i < n / 2) {
            draw_tree(&p);
        } else {                                    /* a trunk that leaves the frame */
            note(s, THING_TREE);
            shade_below(&p, 0, 0, 0.14f, 0.02f);
            texture(capsule(&p, 0, 0, 0.06f, between(d, -0.06f, 0.06f), 1.6f, 0.045f, chance(d, 0.7f) ? BROWN : STONE), TEX_BARK, 14.0f, 0.7f);
        }
    }
    snowman(s);
    scatter(s, small, COUNT(small), 3 + pick(d, 4), lerpf(h, 1.0f, 0.5f), 1.0f, 0.2f);
    tufts(s, 8, h + 0.15f);
}

static void garden(Scene *s)                        /* close by: flowers, a bird on the fence */
{
    Dice *d = &s->dice;
    s->horizon = between(d, 0.3f, 0.55f);
    s->blur = between(d, 0.8f, 1.7f);
    s->focus = 0.15f;
    lay_sky(s, true);
    lay_hills(s);
    lay_ground(s, s->horizon + 0.04f, meadow(s), TEX_GRASS, 16.0f, 0.7f);
    for (int i = 0, n = 1 + pick(d, 3); i < n; i++) {
        Pen p = stand(s, between(d, 0.0f, 1.0f), s->horizon + 0.1f, 1.0f);
        p.scale = between(d, 0.16f, 0.3f);
        if (chance(d, 0.5f))
            draw_bush(&p);
        else
            draw_tree(&p);
    }
    if (chance(d, 0.55f)) {
        Pen p = pen_at(s, -0.05f, between(d, 0.72f, 0.8f), between(d, 0.2f, 0.26f), 0.3f);
        p.flip = 1.0f;
        float top = p.y - 0.84f * p.scale, size = p.scale;
        draw_fence(&p, 16);
        if (chance(d, 0.7f)) {
            Pen b = pen_at(s, between(d, 0.25f, 0.75f), top, size * 0.95f, 0.28f);
            draw_bird(&b);
        }
    }
    for (int i = 0, n = 3 + pick(d, 4); i < n; i++) {
        Pen p = pen_at(s, ((float)i + between(d, 0.2f, 0.8f)) / (float)n, between(d, 0.98f, 1.12f), between(d, 0.45f, 0.75f), 0.15f);
        draw_flower(&p);
    }
    snowman(s);
    if (chance(d, 0.3f)) {
        Pen p = pen_at(s, between(d, 0.2f, 0.8f), 0.98f, between(d, 0.22f, 0.3f), 0.12f);
        draw_mushroom(&p);
    }
    tufts(s, 8, 0.8f);
}

static void lay_room(Scene *s, float edge, float tilt)
{
    static const int walls[] = {CREAM, SKY_BLUE, PINK, TEAL, STONE, YELLOW, SAND, LIME, WHITE, CREAM, SKIN_LIGHT, PURPLE}, boards[] = {WOOD,
        WOOD, BROWN, WHITE, WOOD, SAND, CREAM};
    static const int cloths[] = {RED, BLUE, GREEN, PINK, TEAL};
    Dice *d = &s->dice;
    Shape *w = everywhere(s, any(&s->dice, walls));
    face(w, FACE_FLAT, 0, 0);
    w->depth = 0.8f;
    int paper = pick(d, 4);
    if (paper == 0)
        second(texture(w, TEX_BARS, 7.0f, 0.2f), chance(d, 0.5f) ? WHITE : CREAM);
    else
        texture(w, paper == 1 ? TEX_TILES : paper == 2 ? TEX_BRICK : TEX_PLASTER, paper == 1 ? 7.0f : 10.0f, 0.4f);
    if (edge > 0.2f && chance(d, 0.6f)) {
        Pen p = pen_at(s, between(d, 0.15f, 0.85f), edge - between(d, 0.08f, 0.16f), between(d, 0.4f, 0.6f), 0.8f);
        draw_window(&p);
    }
    Shape *t = land(s, edge, 0.0f, 1.0f, 0.0f, 0.4f, any(&s->dice, boards));
    face(t, FACE_FLOOR, 0, 0);
    if (chance(d, 0.25f)) {
        t->colour = colour_of(any(&s->dice, cloths));
        second(texture(t, TEX_CHECK, 9.0f, 0.25f), WHITE);
    } else {
        texture(t, TEX_WOOD, lerpf(5.0f, 3.0f, tilt), 0.6f);
    }
}

static void table(Scene *s)
{
    static const Draw small[] = {draw_fruit, draw_fruit, draw_bottle, draw_vase, draw_book, draw_fruit, draw_mushroom};
    static const float high[] = {0.2f, 0.22f, 0.52f, 0.55f, 0.3f, 0.2f, 0.15f};
    Dice *d = &s->dice;
    bool above = chance(d, 0.4f);                   /* looking down on the table: it fills the frame */
    float tilt = above ? between(d, 0.55f, 0.85f) : between(d, 0.16f, 0.38f), edge = above ? between(d, -0.6f, 0.1f) : between(d, 0.4f, 0.56f);
    s->horizon = edge - 0.25f;
    s->roll += above ? between(d, -0.06f, 0.06f) : 0.0f;
    s->focus = 0.3f;
    s->blur = between(d, 0.5f, 1.4f);
    lay_room(s, edge, tilt);
    float back = above ? 0.25f : edge + 0.1f;
    for (int i = 0, n = 1 + pick(d, 3); i < n; i++) {
        int k = above ? pick(d, 2) : pick(d, COUNT(small));
        float x = ((float)i + between(d, 0.2f, 0.8f)) / (float)n;
        Pen p = pen_at(s, x, back + between(d, -0.03f, 0.06f), high[k] * between(d, 0.9f, 1.15f), 0.5f);
        small[k](&p);
    }
    float cup = between(d, 0.26f, 0.42f) * (above ? 1.15f : 1.0f), cx = between(d, 0.25f, 0.75f), cy = lerpf(back + 0.15f, 0.88f, between(d,
        0.3f, 0.9f));
    Pen p = pen_at(s, cx, cy, cup, 0.3f);
    draw_cup(&p, tilt);
    if (chance(d, 0.6f)) {
        float x = cx < 0.5f ? between(d, 0.68f, 0.9f) : between(d, 0.1f, 0.32f);
        Pen q = pen_at(s, x, between(d, 0.78f, 0.92f), 1.0f, 0.25f);
        if (chance(d, 0.35f)) {
            q.scale = between(d, 0.18f, 0.26f);
            draw_plate(&q, tilt);
            q.y -= 0.02f, q.scale = 0.16f;
        } else {
            q.scale = between(d, 0.17f, 0.25f);
        }
        draw_fruit(&q);
    }
}

static void desk(Scene *s)                          /* lamp, books, a cat perhaps */
{
    static const Draw things_on[] = {draw_book, draw_bottle, draw_vase, draw_cat, draw_fruit, draw_book, draw_cat};
    static const float high[] = {0.34f, 0.45f, 0.5f, 0.48f, 0.2f, 0.34f, 0.5f};
    Dice *d = &s->dice;
    float edge = between(d, 0.52f, 0.66f);
    s->horizon = edge - 0.25f;
    s->blur = between(d, 0.4f, 1.4f);
    lay_room(s, edge, 0.2f);
    Pen p = pen_at(s, chance(d, 0.5f) ? between(d, 0.1f, 0.3f) : between(d, 0.7f, 0.9f), edge + 0.08f, between(d, 0.45f, 0.6f), 0.5f);
    float side = p.x;
    draw_table_lamp(&p);
    int k = pick(d, COUNT(things_on));
    p = pen_at(s, side < 0.5f ? between(d, 0.55f, 0.8f) : between(d, 0.2f, 0.45f), edge + 0.12f, high[k] * between(d, 0.9f, 1.15f), 0.42f);
    things_on[k](&p);
    k = pick(d, 2);
    p = pen_at(s, between(d, 0.3f, 0.7f), between(d, 0.88f, 0.97f), k ? between(d, 0.22f, 0.3f) : 0.2f, 0.25f);
    if (k)
        draw_cup(&p, 0.25f);
    else
        draw_fruit(&p);
}

static void backdrop(Scene *s)                      /* what stands, out of focus, behind a portrait */
{
    static const Draw behind[] = {draw_tree, draw_house, draw_bush, draw_pine};
    Dice *d = &s->dice;
    s->focus = 0.12f;
    s->blur = between(d, 0.9f, 1.8f);
    if (s->indoor) {
        lay_room(s, between(d, 0.7f, 1.2f), 0.2f);
        return;
    }
    s->horizon = between(d, 0.5f, 0.7f);
    lay_sky(s, true);
    if (chance(d, 0.4f))
        lay_mountains(s);
    lay_hills(s);
    lay_ground(s, s->horizon + 0.06f, meadow(s), TEX_GRASS, 18.0f, 0.6f);
    for (int i = 0, n = 2 + pick(d, 2); i < n; i++) {
        Pen p = stand(s, ((float)i + unit(d)) / (float)n, s->horizon + 0.12f, 1.0f);
        p.scale = between(d, 0.3f, 0.5f);
        behind[pick(d, COUNT(behind))](&p);
    }
}

static void portrait(Scene *s)
{
    Dice *d = &s->dice;
    backdrop(s);
    Pen p = pen_at(s, between(d, 0.38f, 0.62f), between(d, 0.97f, 1.06f), between(d, 0.8f, 1.0f), 0.1f);
    if (chance(d, 0.15f)) {
        Pen q = pen_at(s, p.x < 0.5f ? p.x + 0.42f : p.x - 0.42f, p.y + 0.02f, p.scale * 0.85f, 0.2f);
        draw_bust(&q);
    }
    Pen h = pen_part(&p, 0, 0, 1.0f, between(d, -0.012f, 0.012f));
    draw_bust(&h);
}

static void pet(Scene *s)
{
    Dice *d = &s->dice;
    backdrop(s);
    Pen p = pen_at(s, between(d, 0.38f, 0.62f), between(d, 0.86f, 0.96f), between(d, 0.72f, 0.95f), 0.1f);
    int k = pick(d, 3);
    if (k == 0)
        draw_dog_face(&p);
    else if (k == 1)
        draw_cat_face(&p);
    else
        draw_cat(&p);
}

void scene_build(Scene *s, uint64_t seed, uint64_t index)
{
    static void (*const build[PLACES])(Scene *) = {street, country, lake, beach, city, forest, garden, table, desk, portrait, pet};
    static const int often[] = {PLACE_STREET, PLACE_COUNTRY, PLACE_LAKE, PLACE_BEACH, PLACE_CITY, PLACE_FOREST, PLACE_GARDEN, PLACE_TABLE,
        PLACE_TABLE, PLACE_TABLE,
                                PLACE_DESK, PLACE_PORTRAIT, PLACE_PORTRAIT, PLACE_PET, PLACE_PET};
    memset(s, 0, offsetof(Scene, shape));
    s->nshapes = s->npoints = 0;
    s->dice.key = mix64(seed + 0x632be59bd9b4e019u) ^ mix64(index * 0x9e3779b97f4a7c15u + 0x1d8e4e27c47d124fu);
    s->place = any(&s->dice, often);
    s->indoor = s->place == PLACE_TABLE || s->place == PLACE_DESK || ((s->place == PLACE_PORTRAIT || s->place == PLACE_PET) && chance(&s->dice,
        0.5f));
    set_light(s);
    set_camera(s);
    build[s->place](s);
    if (!s->indoor)
        falling(s);
}

void scene_describe(uint64_t seed, uint64_t index, SceneInfo *info)
{
    static _Thread_local Scene s;
    scene_build(&s, seed, index);
    *info = (SceneInfo){.places = 1u << s.place, .lights = 1u << s.light, .weathers = 1u << s.weather, .objects = s.things,
                        .horizon = s.horizon, .zoom = s.zoom, .roll = s.roll * 6.2831853f, .blur = s.blur};
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
