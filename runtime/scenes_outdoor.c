/* scenes_outdoor.c - things under the sky, drawn with the pen: buildings, plants, vehicles, clouds.
 * Each thing stands on y = 0 and is about 1 high, wide as it likes; what it is made of is drawn at random from its own small set of colours.
 */
#define DICE_FILE 1
#include "scenes_draw.h"

static void note(Pen *p, ThingKind k) { p->s->things |= 1u << k; }
static bool dark_out(const Scene *s) { return s->light == LIGHT_NIGHT || (s->light == LIGHT_DUSK && s->weather != WEATHER_CLEAR); }
static bool snowy(const Scene *s) { return s->weather == WEATHER_SNOW; }

/* ---- buildings ---- */

static void pane(Pen *p, float cx, float cy, float hx, float hy)
{
    bool lit = dark_out(p->s) && chance(&p->s->dice, 0.7f);
    box(p, cx, cy, hx + 0.025f, hy + 0.025f, 0.0f, WHITE);
    Shape *g = inked(box(p, cx, cy, hx, hy, 0.0f, lit ? YELLOW : SKY_BLUE), 0.6f);
    g->gloss = lit ? 0.0f : 0.5f;
    if (lit)
        flag(g, GLOW | NO_LIGHT_STEP);
    else
        face(g, FACE_FLAT, 0.3f * p->s->lx, 0.25f);
    inked(box(p, cx, cy, 0.012f, hy, 0.0f, WHITE), 0.0f);
    inked(box(p, cx, cy, hx, 0.012f, 0.0f, WHITE), 0.0f);
}

void draw_house(Pen *p)
{
    static const int walls[] = {CREAM, WHITE, SKIN_TAN, PINK, SAND, SKY_BLUE, YELLOW, STONE, RED, LIME}, roofs[] = {RED, CRIMSON, BROWN,
        DARK_GREY, TEAL, ORANGE, NAVY};
    static const int doors[] = {BLUE, GREEN, BROWN, RED, PURPLE};
    Scene *s = p->s;
    note(p, THING_HOUSE);
    int wall = any(&p->s->dice, walls), roof = any(&p->s->dice, roofs);
    int made = pick(&s->dice, 3);
    Texture t = made == 0 ? TEX_BRICK : made == 1 ? TEX_PLASTER : TEX_PLANKS;
    float cells = made == 2 ? 12.0f : 15.0f, side = between(&s->dice, 0.3f, 0.6f), eave = between(&s->dice, 0.45f, 0.6f), w = 0.34f;
    shade_below(p, 0.2f, 0.0f, 0.75f, 0.1f);
    float wing[] = {w, 0, w + side, 0.05f, w + side, eave, w, eave};
    texture(face(poly(p, wing, 4, wall), FACE_FLAT, 0.75f * p->flip, 0.0f), t, cells, 0.5f);
    float gable[] = {-w, 0, w, 0, w, eave, 0, 0.92f, -w, eave};
    texture(poly(p, gable, 5, wall), t, cells, 0.5f);
    float slope[] = {w + 0.07f, eave - 0.08f, w + side + 0.05f, eave - 0.04f, side * 0.95f, 0.93f, -0.02f, 0.98f};
    Shape *r = texture(face(poly(p, slope, 4, snowy(s) ? WHITE : roof), FACE_FLAT, 0.5f * p->flip, 0.6f), TEX_ROOF, 14.0f, snowy(s) ? 0.1f : 0.6f);
    r->texture = snowy(s) ? TEX_SPECKLE : TEX_ROOF;
    float barge[] = {-w - 0.08f, eave - 0.12f, -0.0f, 0.99f, w + 0.08f, eave - 0.12f, w + 0.08f, eave - 0.04f, 0.0f, 1.06f, -w - 0.08f, eave - 0.04f};
    face(poly(p, barge, 6, snowy(s) ? WHITE : roof), FACE_FLAT, 0.0f, 0.4f);
    if (chance(&s->dice, 0.6f)) {
        float x = side * 0.55f + 0.08f;
        texture(box(p, x, 0.98f, 0.06f, 0.12f, 0.0f, RED), TEX_BRICK, 30.0f, 0.5f);
        box(p, x, 1.11f, 0.075f, 0.025f, 0.0f, snowy(s) ? WHITE : DARK_GREY);
    }
    Shape *d = texture(box(p, -0.12f, 0.15f, 0.09f, 0.155f, 0.01f, any(&p->s->dice, doors)), TEX_PLANKS, 24.0f, 0.4f);
    d->nx = 0.0f;
    inked(ellipse(p, -0.06f, 0.15f, 0.014f, 0.014f, YELLOW), 0.5f);
    pane(p, 0.14f, 0.26f, 0.08f, 0.09f);
    if (chance(&s->dice, 0.7f))
        pane(p, 0.0f, 0.62f, 0.075f, 0.075f);
    if (side > 0.42f) {
        Shape *g = box(p, w + side * 0.5f, 0.28f, 0.06f, 0.08f, 0.0f, dark_out(s) ? YELLOW : NAVY);
        flag(g, dark_out(s) ? GLOW | NO_LIGHT_STEP : 0);
    }
    if (dark_out(s))
        place_lamp(p, 0.14f, 0.25f, 0.7f, rgb(1.0f, 0.62f, 0.25f));
}

void draw_tower(Pen *p)
{
    static const int stones[] = {STONE, GREY, SAND, CREAM, SKIN_TAN}, roofs[] = {RED, BLUE, PURPLE, TEAL, DARK_GREEN};
    Scene *s = p->s;
    note(p, THING_TOWER);
    int wall = any(&p->s->dice, stones), roof = any(&p->s->dice, roofs);
    shade_below(p, 0.0f, 0.0f, 0.3f, 0.05f);
    texture(face(box(p, 0, 0.36f, 0.15f, 0.37f, 0.0f, wall), FACE_TUBE, 0, 0), TEX_BRICK, 17.0f, 0.5f);
    texture(face(box(p, 0, 0.72f, 0.19f, 0.06f, 0.01f, wall), FACE_TUBE, 0, 0), TEX_BRICK, 17.0f, 0.4f);
    if (chance(&s->dice, 0.5f)) {
        float cone[] = {-0.22f, 0.77f, 0.22f, 0.77f, 0.0f, 1.16f};
        Shape *c = texture(face(poly(p, cone, 3, snowy(s) ? WHITE : roof), FACE_TUBE, 0, 0), TEX_ROOF, 26.0f, 0.4f);
        c->p[0] = 0.0f;
        c->face = FACE_PILLOW, c->soft = 0.2f * p->scale;
        capsule(p, 0, 1.14f, 0.008f, 0, 1.32f, 0.008f, DARK_BROWN);
        float pennant[] = {0, 1.31f, 0.16f, 1.26f, 0, 1.21f};
        poly(p, pennant, 3, RED);
    } else {
        for (int i = -2; i <= 2; i++)
            texture(face(box(p, (float)i * 0.09f, 0.81f, 0.03f, 0.045f, 0.0f, wall), FACE_FLAT, 0.3f * (float)i * p->flip, 0), TEX_PLASTER,
                30.0f, 0.4f);
    }
    for (int i = 0; i < 3; i++) {
        float y = 0.2f + 0.2f * (float)i;
        Shape *g = box(p, (i & 1) ? 0.04f : -0.05f, y, 0.025f, 0.045f, 0.024f, dark_out(s) ? YELLOW : NAVY);
        flag(g, dark_out(s) ? GLOW | NO_LIGHT_STEP : 0);
    }
}

void draw_lighthouse(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_TOWER);
    int band = chance(&s->dice, 0.7f) ? RED : BLUE;
    shade_below(p, 0, 0, 0.25f, 0.04f);
    float body[] = {-0.16f, 0, 0.16f, 0, 0.1f, 0.76f, -0.1f, 0.76f};
    Shape *b = second(texture(poly(p, body, 4, WHITE), TEX_STRIPE, 3.2f, 0.3f), band);
    b->face = FACE_PILLOW, b->soft = 0.13f * p->scale;
    box(p, 0, 0.78f, 0.14f, 0.02f, 0.01f, DARK_GREY);
    Shape *g = box(p, 0, 0.855f, 0.07f, 0.06f, 0.0f, YELLOW);
    flag(g, dark_out(s) ? GLOW | NO_LIGHT_STEP : NO_LIGHT_STEP);
    float cap[] = {-0.11f, 0.91f, 0.11f, 0.91f, 0, 1.03f};
    poly(p, cap, 3, band);
    if (dark_out(s))
        place_lamp(p, 0, 0.86f, 0.5f, rgb(1.0f, 0.85f, 0.45f));
}

void draw_block(Pen *p)                             /* a city block with a grid of windows */
{
    static const int walls[] = {STONE, GREY, SKIN_TAN, TEAL, BLUE, CREAM, SAND, PINK, SKY_BLUE, ORANGE, WHITE};
    Scene *s = p->s;
    note(p, THING_TOWER);
    int wall = any(&p->s->dice, walls);
    float w = between(&s->dice, 0.16f, 0.3f), side = between(&s->dice, 0.06f, 0.14f), rows = between(&s->dice, 5.0f, 9.0f);
    bool night = dark_out(s);
    float wing[] = {w, 0, w + side, 0.0f, w + side, 0.96f, w, 1.0f};
    texture(face(poly(p, wing, 4, wall), FACE_FLAT, 0.8f * p->flip, 0), TEX_PLASTER, 30.0f, 0.3f);
    Shape *b = second(texture(box(p, 0, 0.5f, w, 0.5f, 0.0f, wall), TEX_WINDOWS, rows, 0.3f),
        night ? YELLOW : wall == BLUE || wall == TEAL ? SKY_BLUE : NAVY);
    b->gloss = 0.0f;
    if (chance(&s->dice, 0.4f))
        box(p, 0.0f, 1.03f, w * 0.5f, 0.035f, 0.0f, wall);
    if (chance(&s->dice, 0.35f))
        capsule(p, 0.05f, 1.0f, 0.008f, 0.05f, 1.25f, 0.005f, DARK_GREY);
}

/* ---- plants ---- */

static int leaf_colour(Pen *p)
{
    static const int summer[] = {GREEN, GREEN, DARK_GREEN, LIME, GREEN}, autumn[] = {ORANGE, YELLOW, RED, BROWN};
    return chance(&p->s->dice, 0.75f) ? any(&p->s->dice, summer) : any(&p->s->dice, autumn);
}

void draw_tree(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_TREE);
    int leaf = leaf_colour(p);
    shade_below(p, 0, 0, 0.4f, 0.06f);
    texture(capsule(p, 0, 0.0f, 0.065f, 0.02f, 0.5f, 0.04f, BROWN), TEX_BARK, 20.0f, 0.6f);
    capsule(p, 0.02f, 0.34f, 0.03f, 0.16f, 0.52f, 0.02f, BROWN);
    float c[27];
    int n = 7 + pick(&s->dice, 3);
    for (int i = 0; i < n; i++) {
        float a = (float)i / (float)n, r = between(&s->dice, 0.15f, 0.2f);
        c[3 * i] = 0.24f * cos_turn(a) + between(&s->dice, -0.04f, 0.04f);
        c[3 * i + 1] = 0.68f + 0.19f * sin_turn(a) + between(&s->dice, -0.03f, 0.03f);
        c[3 * i + 2] = r;
    }
    c[0] = 0.0f, c[1] = 0.7f, c[2] = 0.24f;
    texture(blob(p, c, n, 0.02f, leaf), TEX_LEAF, 18.0f, 0.9f);
    if (snowy(s)) {
        float cap[] = {0, 0.88f, 0.13f, 0.17f, 0.8f, 0.09f, -0.16f, 0.82f, 0.09f};
        inked(texture(blob(p, cap, 3, 0.05f, WHITE), TEX_SPECKLE, 20.0f, 0.2f), 0.7f);
    } else if (leaf != BROWN && chance(&s->dice, 0.25f)) {
        for (int i = 0; i < 7; i++)
            inked(ellipse(p, 0.26f * cos_turn(0.37f * (float)i), 0.68f + 0.2f * sin_turn(0.37f * (float)i), 0.03f, 0.03f,
                leaf == RED ? YELLOW : RED), 0.7f);
    }
}

void draw_pine(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_PINE);
    int leaf = chance(&s->dice, 0.7f) ? DARK_GREEN : chance(&s->dice, 0.5f) ? TEAL : GREEN;
    shade_below(p, 0, 0, 0.28f, 0.045f);
    texture(capsule(p, 0, 0.0f, 0.04f, 0, 0.25f, 0.04f, BROWN), TEX_BARK, 20.0f, 0.5f);
    for (int i = 0; i < 4; i++) {
        float y = 0.14f + 0.2f * (float)i, w = 0.3f - 0.058f * (float)i, h = 0.34f - 0.02f * (float)i;
        float t[] = {-w, y, -w * 0.5f, y - 0.03f, 0, y + 0.015f, w * 0.5f, y - 0.03f, w, y, w * 0.3f, y + h * 0.55f, 0, y + h, -w * 0.3f,
            y + h * 0.55f};
        Shape *h1 = texture(poly(p, t, 8, leaf), TEX_LEAF, 22.0f, 0.8f);
        h1->face = FACE_PILLOW, h1->soft = 0.16f * p->scale;
        if (snowy(s)) {
            float c[] = {-w * 0.45f, y + h * 0.38f, -w * 0.15f, y + h * 0.45f, 0.02f, y + h * 0.34f, w * 0.2f, y + h * 0.46f, w * 0.42f,
                y + h * 0.4f, 0, y + h};
            inked(poly(p, c, 6, WHITE), 0.6f);
        }
    }
}

void draw_palm(Pen *p)
{
    note(p, THING_PALM);
    float lean = between(&p->s->dice, 0.05f, 0.25f);
    shade_below(p, 0, 0, 0.3f, 0.04f);
    texture(curve(p, 0, 0, 0.02f, 0.4f, lean, 0.78f, 0.09f, WOOD), TEX_STRIPE, 11.0f, 0.4f)->second = colour_of(BROWN);
    for (int i = 0; i < 7; i++) {
        float a = -0.06f + 0.62f * (float)i / 6.0f, l = between(&p->s->dice, 0.3f, 0.38f);
        float dx = l * cos_turn(a), dy = l * sin_turn(a) * 0.75f, bend = 0.13f;
        Shape *h = curve(p, lean, 0.78f, lean + 0.6f * dx, 0.8f + 0.75f * dy + bend * 0.5f, lean + dx, 0.76f + dy - bend, 0.1f,
            (i & 1) ? GREEN : DARK_GREEN);
        texture(h, TEX_LEAF, 20.0f, 0.5f);
    }
    inked(ellipse(p, lean - 0.03f, 0.75f, 0.035f, 0.035f, BROWN), 0.8f);
    inked(ellipse(p, lean + 0.04f, 0.74f, 0.035f, 0.035f, BROWN), 0.8f);
}

void draw_bush(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_BUSH);
    int leaf = leaf_colour(p);
    shade_below(p, 0, 0, 0.75f, 0.1f);
    float c[] = {0, 0.4f, 0.42f, -0.45f, 0.28f, 0.3f, 0.45f, 0.3f, 0.32f, 0.2f, 0.6f, 0.26f, -0.22f, 0.62f, 0.25f};
    texture(blob(p, c, 5, 0.03f, leaf), TEX_LEAF, 11.0f, 0.9f);
    if (chance(&s->dice, 0.4f)) {
        int bloom = chance(&s->dice, 0.5f) ? PINK : chance(&s->dice, 0.5f) ? WHITE : RED;
        for (int i = 0; i < 8; i++)
            inked(ellipse(p, between(&s->dice, -0.5f, 0.5f), between(&s->dice, 0.2f, 0.65f), 0.055f, 0.055f, leaf == RED ? YELLOW : bloom), 0.7f);
    }
}

void draw_flower(Pen *p)
{
    static const int petals[] = {RED, PINK, YELLOW, WHITE, PURPLE, ORANGE, BLUE, CRIMSON};
    Scene *s = p->s;
    note(p, THING_FLOWER);
    int colour = any(&p->s->dice, petals), heart = colour == YELLOW || colour == ORANGE ? DARK_BROWN : YELLOW, kind = pick(&s->dice, 3);
    float lean = between(&s->dice, -0.12f, 0.12f), hy = 0.78f;
    curve(p, 0, 0, 0.02f, 0.4f, lean, hy, 0.045f, GREEN);
    float leaf[] = {0.0f, 0.12f, 0.16f, 0.22f, 0.3f, 0.42f, 0.1f, 0.34f};
    Shape *l = texture(poly(p, leaf, 4, GREEN), TEX_LEAF, 8.0f, 0.4f);
    l->p[0] = 0.02f * p->scale, l->face = FACE_PILLOW;
    if (kind == 2) {                                /* a tulip */
        tilted_ellipse(p, lean - 0.075f, hy + 0.06f, 0.075f, 0.16f, 0.03f, colour);
        tilted_ellipse(p, lean + 0.075f, hy + 0.06f, 0.075f, 0.16f, -0.03f, colour);
        ellipse(p, lean, hy + 0.04f, 0.075f, 0.15f, colour);
        return;
    }
    int n = kind == 0 ? 6 : 9;
    float turn = unit(&s->dice), rx = kind == 0 ? 0.12f : 0.115f, ry = kind == 0 ? 0.085f : 0.052f, out = 0.13f;
    for (int i = 0; i < n; i++) {
        float a = turn + (float)i / (float)n;
        Shape *h = tilted_ellipse(p, lean + out * cos_turn(a), hy + out * sin_turn(a), rx, ry, a, colour);
        texture(h, TEX_SPECKLE, 12.0f, 0.2f);
    }
    texture(ellipse(p, lean, hy, 0.085f, 0.085f, heart), TEX_FUR, 40.0f, 0.5f);
}

void draw_tuft(Pen *p)
{
    int c = snowy(p->s) ? GREY : chance(&p->s->dice, 0.5f) ? DARK_GREEN : GREEN;
    for (int i = -1; i <= 1; i++) {
        float x = 0.25f * (float)i;
        inked(curve(p, x * 0.4f, 0, x * 0.6f, 0.5f, x * 1.5f, i == 0 ? 1.0f : 0.75f, 0.16f, c), 0.5f);
    }
}

void draw_mushroom(Pen *p)
{
    note(p, THING_MUSHROOM);
    int cap = chance(&p->s->dice, 0.7f) ? RED : ORANGE;
    shade_below(p, 0, 0, 0.5f, 0.09f);
    texture(face(box(p, 0, 0.28f, 0.13f, 0.3f, 0.12f, CREAM), FACE_TUBE, 0, 0), TEX_SPECKLE, 14.0f, 0.3f);
    float dome[] = {-0.5f, 0.48f, -0.4f, 0.72f, -0.2f, 0.92f, 0, 0.98f, 0.2f, 0.92f, 0.4f, 0.72f, 0.5f, 0.48f, 0.25f, 0.42f, -0.25f, 0.42f};
    Shape *h = poly(p, dome, 9, cap);
    h->face = FACE_PILLOW, h->soft = 0.3f * p->scale, h->gloss = 0.6f;
    int first = p->s->nshapes;
    static const float dots[] = {-0.2f, 0.66f, 0.07f, 0.08f, 0.8f, 0.08f, 0.26f, 0.58f, 0.06f, -0.36f, 0.53f, 0.05f, 0.02f, 0.56f, 0.06f};
    for (int i = 0; i < 5; i++)
        inked(ellipse(p, dots[3 * i], dots[3 * i + 1], dots[3 * i + 2], dots[3 * i + 2], WHITE), 0.7f);
    clip_from(p->s, first, first - 1);
}

/* ---- on the road, on the water, in the air ---- */

void draw_car(Pen *p)                               /* 1 high, 2.4 long */
{
    static const int paints[] = {RED, BLUE, YELLOW, TEAL, WHITE, ORANGE, GREEN, DARK_GREY, PURPLE, SKY_BLUE, CRIMSON};
    Scene *s = p->s;
    note(p, THING_CAR);
    int paint = any(&p->s->dice, paints);
    bool van = chance(&s->dice, 0.3f);
    shade_below(p, 0, 0.04f, 1.3f, 0.16f);
    float cabin[] = {-0.8f, 0.6f, van ? -0.85f : -0.5f, 1.0f, 0.35f, 1.0f, 0.72f, 0.6f};
    Shape *c = face(poly(p, cabin, 4, paint), FACE_FLAT, 0, 0.45f);
    c->p[0] = 0.03f * p->scale, c->gloss = 0.8f;
    float back[] = {-0.66f, 0.62f, van ? -0.7f : -0.43f, 0.92f, -0.1f, 0.92f, -0.1f, 0.62f}, front[] = {0.0f, 0.62f, 0.0f, 0.92f, 0.29f, 0.92f,
        0.56f, 0.62f};
    Shape *g = inked(poly(p, back, 4, dark_out(s) ? NAVY : SKY_BLUE), 0.8f);
    g->gloss = 0.9f;
    g = inked(poly(p, front, 4, dark_out(s) ? NAVY : SKY_BLUE), 0.8f);
    g->gloss = 0.9f;
    Shape *b = box(p, 0, 0.42f, 1.2f, 0.24f, 0.14f, paint);
    b->face = FACE_PILLOW, b->soft = 0.24f * p->scale, b->gloss = 0.8f;
    inked(box(p, -0.05f, 0.42f, 0.012f, 0.17f, 0.0f, BLACK), 0.0f);
    inked(box(p, 0.02f, 0.27f, 1.15f, 0.04f, 0.03f, DARK_GREY), 0.6f);
    for (int i = -1; i <= 1; i += 2) {
        float x = 0.68f * (float)i;
        texture(ellipse(p, x, 0.2f, 0.23f, 0.23f, BLACK), TEX_SPECKLE, 12.0f, 0.3f);
        inked(face(ellipse(p, x, 0.2f, 0.11f, 0.11f, GREY), FACE_FLAT, 0, 0.1f), 0.7f);
    }
    flag(inked(ellipse(p, 1.1f, 0.46f, 0.07f, 0.08f, YELLOW), 0.8f), dark_out(s) ? GLOW | NO_LIGHT_STEP : 0);
    flag(inked(box(p, -1.12f, 0.46f, 0.05f, 0.07f, 0.02f, RED), 0.8f), dark_out(s) ? GLOW : 0);
    if (dark_out(s))
        place_lamp(p, 1.35f, 0.4f, 0.8f, rgb(1.0f, 0.85f, 0.5f));
}

void draw_boat(Pen *p)
{
    static const int hulls[] = {RED, WHITE, BLUE, BROWN, TEAL, ORANGE, WOOD}, sails[] = {WHITE, CREAM, RED, YELLOW, PINK, ORANGE};
    Scene *s = p->s;
    note(p, THING_BOAT);
    int hull = any(&p->s->dice, hulls), sail = any(&p->s->dice, sails);
    shade_below(p, 0, -0.03f, 0.5f, 0.05f);
    capsule(p, 0.0f, 0.15f, 0.012f, 0.0f, 1.05f, 0.01f, BROWN);
    float main_sail[] = {0.03f, 0.24f, 0.42f, 0.26f, 0.25f, 0.6f, 0.03f, 1.0f}, jib[] = {-0.04f, 0.25f, -0.36f, 0.25f, -0.04f, 0.88f};
    Shape *h = second(texture(poly(p, main_sail, 4, sail), chance(&s->dice, 0.5f) ? TEX_CLOTH : TEX_STRIPE, chance(&s->dice,
        0.5f) ? 20.0f : 4.0f, 0.25f), chance(&s->dice, 0.5f) ? sail : RED);
    face(h, FACE_FLAT, 0.35f * p->flip, 0.1f);
    texture(face(poly(p, jib, 3, chance(&s->dice, 0.6f) ? sail : WHITE), FACE_FLAT, -0.3f * p->flip, 0.1f), TEX_CLOTH, 20.0f, 0.2f);
    float body[] = {-0.48f, 0.2f, 0.46f, 0.2f, 0.36f, 0.0f, 0.2f, -0.06f, -0.26f, -0.06f, -0.38f, 0.02f};
    h = texture(poly(p, body, 6, hull), TEX_PLANKS, 14.0f, 0.35f);
    h->face = FACE_PILLOW, h->soft = 0.15f * p->scale;
    inked(box(p, -0.01f, 0.195f, 0.48f, 0.02f, 0.01f, hull == WHITE ? RED : WHITE), 0.7f);
}

void draw_lamp_post(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_LAMP);
    shade_below(p, 0, 0, 0.14f, 0.02f);
    capsule(p, 0, 0, 0.026f, 0, 0.82f, 0.016f, DARK_GREY);
    box(p, 0, 0.02f, 0.05f, 0.03f, 0.01f, DARK_GREY);
    bool lit = dark_out(s);
    float glass[] = {-0.05f, 0.82f, 0.05f, 0.82f, 0.075f, 0.95f, -0.075f, 0.95f};
    flag(poly(p, glass, 4, lit ? YELLOW : CREAM), lit ? GLOW | NO_LIGHT_STEP : 0);
    float hat[] = {-0.09f, 0.95f, 0.09f, 0.95f, 0, 1.02f};
    poly(p, hat, 3, DARK_GREY);
    if (lit)
        place_lamp(p, 0, 0.88f, 0.75f, rgb(1.0f, 0.68f, 0.3f));
}

void draw_fence(Pen *p, int posts)
{
    note(p, THING_FENCE);
    static const int paints[] = {WHITE, WOOD, BROWN};
    int c = any(&p->s->dice, paints);
    float w = 0.34f * (float)posts;
    for (int i = 0; i < 2; i++)
        texture(inked(box(p, 0.5f * w, 0.3f + 0.38f * (float)i, 0.5f * w + 0.1f, 0.06f, 0.02f, c), 0.8f), TEX_WOOD, 6.0f, 0.4f);
    for (int i = 0; i <= posts; i++) {
        float x = 0.34f * (float)i, t[] = {x - 0.075f, 0, x + 0.075f, 0, x + 0.075f, 0.85f, x, 1.0f, x - 0.075f, 0.85f};
        texture(inked(poly(p, t, 5, c), 0.8f), TEX_WOOD, 8.0f, 0.4f);
    }
}

void draw_umbrella(Pen *p)
{
    static const int a[] = {RED, BLUE, GREEN, ORANGE, TEAL, PINK}, b[] = {WHITE, YELLOW, CREAM};
    note(p, THING_UMBRELLA);
    int c = any(&p->s->dice, a), d = any(&p->s->dice, b);
    shade_below(p, 0.1f, 0, 0.5f, 0.07f);
    capsule(p, 0, 0, 0.016f, 0, 0.95f, 0.014f, WOOD);
    static const float rib[] = {-0.5f, -0.3f, -0.1f, 0.1f, 0.3f, 0.5f};
    for (int i = 0; i < 5; i++) {
        float x0 = rib[i], x1 = rib[i + 1], y0 = 0.7f, t[] = {x0, y0, 0.5f * (x0 + x1), y0 + 0.02f, x1, y0, x1 * 0.75f, 0.86f, x1 * 0.35f, 0.96f,
            0, 1.0f, x0 * 0.35f, 0.96f, x0 * 0.75f, 0.86f};
        texture(face(poly(p, t, 8, (i & 1) ? d : c), FACE_FLAT, p->flip * 0.32f * (float)(i - 2), 0.45f), TEX_CLOTH, 24.0f, 0.25f);
    }
}

void draw_balloon(Pen *p)
{
    static const int a[] = {RED, BLUE, ORANGE, PURPLE, TEAL, PINK}, b[] = {YELLOW, WHITE, CREAM, SKY_BLUE};
    note(p, THING_BALLOON);
    int c = any(&p->s->dice, a), d = any(&p->s->dice, b);
    capsule(p, -0.06f, 0.14f, 0.006f, -0.12f, 0.4f, 0.006f, DARK_BROWN);
    capsule(p, 0.06f, 0.14f, 0.006f, 0.12f, 0.4f, 0.006f, DARK_BROWN);
    texture(box(p, 0, 0.08f, 0.07f, 0.06f, 0.015f, BROWN), TEX_CLOTH, 40.0f, 0.5f);
    float skirt[] = {-0.09f, 0.27f, 0.09f, 0.27f, 0.22f, 0.45f, -0.22f, 0.45f};
    poly(p, skirt, 4, d);
    ellipse(p, 0, 0.66f, 0.36f, 0.36f, c);
    inked(ellipse(p, 0, 0.66f, 0.23f, 0.362f, d), 0.7f);
    inked(ellipse(p, 0, 0.66f, 0.1f, 0.364f, c), 0.7f);
}

void draw_snowman(Pen *p)
{
    note(p, THING_SNOWMAN);
    shade_below(p, 0, 0.0f, 0.4f, 0.06f);
    texture(ellipse(p, 0, 0.22f, 0.26f, 0.24f, WHITE), TEX_SPECKLE, 20.0f, 0.2f);
    texture(ellipse(p, 0, 0.55f, 0.2f, 0.19f, WHITE), TEX_SPECKLE, 20.0f, 0.2f);
    capsule(p, 0.17f, 0.58f, 0.012f, 0.38f, 0.74f, 0.008f, BROWN);
    capsule(p, -0.17f, 0.58f, 0.012f, -0.38f, 0.7f, 0.008f, BROWN);
    texture(ellipse(p, 0, 0.82f, 0.15f, 0.145f, WHITE), TEX_SPECKLE, 20.0f, 0.2f);
    for (int i = -1; i <= 1; i += 2)
        inked(ellipse(p, 0.055f * (float)i, 0.86f, 0.018f, 0.022f, BLACK), 0.4f);
    float nose[] = {0, 0.84f, 0.16f, 0.79f, 0, 0.79f};
    inked(poly(p, nose, 3, ORANGE), 0.8f);
    box(p, 0, 0.69f, 0.14f, 0.035f, 0.03f, RED);
    box(p, 0, 0.95f, 0.16f, 0.018f, 0.01f, BLACK);
    box(p, 0, 1.03f, 0.1f, 0.075f, 0.01f, BLACK);
    for (int i = 0; i < 2; i++)
        inked(ellipse(p, 0, 0.5f + 0.1f * (float)i, 0.02f, 0.02f, BLACK), 0.3f);
}

/* ---- the sky ---- */

void draw_cloud(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_CLOUD);
    float c[18], x = -0.9f;
    for (int i = 0; i < 6; i++) {
        float mid = 1.0f - fabsf((float)i - 2.5f) / 3.2f;
        c[3 * i] = x;
        c[3 * i + 1] = 0.16f * mid + between(&s->dice, 0.0f, 0.12f);
        c[3 * i + 2] = 0.14f + 0.26f * mid + between(&s->dice, -0.03f, 0.06f);
        x += 0.36f;
    }
    Shape *h = inked(flag(blob(p, c, 6, 0.1f, WHITE), CLOUD), 0.8f);
    h->soft = 0.14f * p->scale;
    texture(h, TEX_SPECKLE, 2.2f, 0.5f);
}

void draw_sun(Pen *p)
{
    note(p, THING_SUN);
    ellipse(p, 0, 0, 1.0f, 1.0f, p->s->light == LIGHT_DUSK ? ORANGE : YELLOW);
    flag(&p->s->shape[p->s->nshapes - 1], GLOW | NO_LIGHT_STEP);
    place_lamp(p, 0, 0, 3.5f, p->s->light == LIGHT_DUSK ? rgb(1.0f, 0.5f, 0.2f) : rgb(1.0f, 0.9f, 0.7f));
}

void draw_moon(Pen *p)
{
    note(p, THING_MOON);
    flag(ellipse(p, 0, 0, 1.0f, 1.0f, CREAM), GLOW | NO_LIGHT_STEP);
    int first = p->s->nshapes;
    flag(inked(ellipse(p, 0.3f, 0.3f, 0.22f, 0.2f, SAND), 0.4f), GLOW | NO_LIGHT_STEP);
    flag(inked(ellipse(p, -0.35f, -0.2f, 0.28f, 0.26f, SAND), 0.4f), GLOW | NO_LIGHT_STEP);
    clip_from(p->s, first, first - 1);
    place_lamp(p, 0, 0, 2.5f, rgb(0.35f, 0.4f, 0.55f));
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
