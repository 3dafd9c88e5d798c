/* scenes_indoor.c - still life: cups, plates, fruit, bottles, vases, books, lamps and the window behind them.
 * `tilt` is how far from above one looks: the ratio of a lying circle's height to its width, 0 from the side .. 1 straight down.
 */
#define DICE_FILE 2
#include "scenes_draw.h"

static void note(Pen *p, ThingKind k) { p->s->things |= 1u << k; }

static const int glazes[] = {RED, WHITE, WHITE, CREAM, BLUE, TEAL, YELLOW, ORANGE, GREEN, PINK, PURPLE, SKY_BLUE, NAVY, BLACK};

/* The saucer lies below, the cup stands on it: 1 high. */
void draw_cup(Pen *p, float tilt)
{
    static const int inside[] = {WHITE, CREAM, WHITE}, drinks[] = {BROWN, DARK_BROWN, WOOD, CRIMSON, LIME};
    Scene *s = p->s;
    note(p, THING_CUP);
    int glaze = any(&p->s->dice, glazes), in = chance(&s->dice, 0.6f) ? glaze : any(&p->s->dice, inside), drink = any(&p->s->dice, drinks);
    float rx = between(&s->dice, 0.38f, 0.5f), foot = rx * between(&s->dice, 0.55f, 0.95f), ry = rx * tilt, fy = foot * tilt, top = 1.0f;
    shade_below(p, 0.0f, fy * 0.3f, rx * 1.5f, 0.12f + 0.6f * ry);
    if (chance(&s->dice, 0.6f)) {
        int plate = chance(&s->dice, 0.6f) ? glaze : any(&p->s->dice, glazes);
        float w = rx * 1.85f, q = w * tilt;
        note(p, THING_PLATE);
        Shape *h = face(ellipse(p, 0, fy * 0.6f, w, q, plate), FACE_FLOOR, 0, 0);
        h->gloss = 0.5f;
        h = inked(ellipse(p, 0, fy * 0.6f, w * 0.6f, q * 0.6f, plate), 0.6f);
        h->gloss = 0.4f;
        face(h, FACE_FLAT, 0.25f * s->lx, 0.6f);
        shade_below(p, 0, fy * 0.5f, rx * 1.1f, 0.05f + 0.6f * ry);
        if (chance(&s->dice, 0.6f)) {               /* a spoon on the saucer */
            Pen k = pen_part(p, w * 0.72f, fy * 0.6f - q * 0.25f, 1.0f, 0.1f);
            capsule(&k, -0.3f, 0, 0.02f, 0.16f, 0, 0.028f, GREY)->gloss = 0.8f;
            ellipse(&k, -0.36f, 0, 0.1f, 0.06f, GREY)->gloss = 0.9f;
        }
    }
    Shape *h = ring(p, rx * 1.0f, 0.58f, 0.24f, 0.25f, 0.1f, glaze);
    h->gloss = 0.6f;
    /* the wall: a tapered side closed by the half ellipse of the foot */
    float wall[28];
    int n = 0;
    for (int i = 0; i < 8; i++) {
        float t = 0.5f + 0.5f * (float)i / 7.0f;
        wall[n++] = foot * cos_turn(t);
        wall[n++] = fy + fy * sin_turn(t);
    }
    for (int i = 0; i < 3; i++) {
        float t = (float)(i + 1) / 3.0f, x = lerpf(foot, rx, t * (1.6f - 0.6f * t));
        wall[n++] = x;
        wall[n++] = lerpf(fy, top - ry, t);
    }
    for (int i = 0; i < 3; i++) {
        float t = 1.0f - (float)i / 3.0f, x = lerpf(foot, rx, t * (1.6f - 0.6f * t));
        wall[n++] = -x;
        wall[n++] = lerpf(fy, top - ry, t);
    }
    h = poly(p, wall, n / 2, glaze);
    h->face = FACE_TUBE, h->p[0] = 0.0f, h->gloss = 0.8f;
    h->p[1] = rx * p->scale;
    if (chance(&s->dice, 0.35f))
        second(texture(h, TEX_STRIPE, between(&s->dice, 2.0f, 5.0f), 0.1f), glaze == WHITE ? BLUE : WHITE);
    h = face(ellipse(p, 0, top - ry, rx, ry, in), FACE_FLAT, -0.5f * s->lx, 0.35f);
    h->gloss = 0.3f;
    int on = s->nshapes - 1;
    float level = top - ry - 0.1f, k = 0.9f;
    inked(face(ellipse(p, 0, level, rx * k, ry * k, drink), FACE_FLOOR, 0, 0), 0.7f)->gloss = 0.5f;
    if (chance(&s->dice, 0.5f) && drink != CRIMSON)
        inked(face(ellipse(p, 0.04f, level, rx * 0.5f, ry * 0.45f, drink == DARK_BROWN ? WOOD : CREAM), FACE_FLOOR, 0, 0), 0.5f);
    clip_from(s, on + 1, on);
    inked(ring(p, 0, top - ry, rx, ry, 0.035f, in), 0.7f)->gloss = 0.6f;
}

void draw_plate(Pen *p, float tilt)
{
    Scene *s = p->s;
    note(p, THING_PLATE);
    int glaze = any(&p->s->dice, glazes);
    shade_below(p, 0.05f, -0.03f, 1.08f, 0.06f + tilt);
    face(ellipse(p, 0, 0.06f, 1.0f, tilt, glaze), FACE_FLOOR, 0, 0)->gloss = 0.5f;
    inked(ring(p, 0, 0.07f, 0.84f, 0.84f * tilt, 0.05f, glaze == WHITE || glaze == CREAM ? BLUE : WHITE), 0.5f);
    inked(face(ellipse(p, 0, 0.05f, 0.64f, 0.64f * tilt, glaze), FACE_FLAT, -0.2f * s->lx, 0.7f), 0.6f);
}

static void stem(Pen *p, float x, float y)
{
    capsule(p, x, y, 0.03f, x + 0.07f, y + 0.2f, 0.025f, DARK_BROWN);
    float leaf[] = {x + 0.05f, y + 0.13f, x + 0.18f, y + 0.26f, x + 0.36f, y + 0.24f, x + 0.2f, y + 0.12f};
    Shape *h = poly(p, leaf, 4, GREEN);
    h->p[0] = 0.01f * p->scale, h->face = FACE_PILLOW;
}

void draw_fruit(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_FRUIT);
    int kind = pick(&s->dice, 6);
    Shape *h;
    if (kind != 4)
        shade_below(p, 0, 0.04f, 0.62f, 0.16f);
    if (kind == 0 || kind == 1) {                   /* apple */
        static const int skins[] = {RED, LIME, YELLOW, CRIMSON, GREEN};
        float c[] = {-0.16f, 0.48f, 0.36f, 0.16f, 0.48f, 0.36f, 0, 0.38f, 0.37f};
        h = texture(blob(p, c, 3, 0.12f, any(&p->s->dice, skins)), TEX_SPECKLE, 14.0f, 0.35f);
        h->gloss = 0.8f;
        stem(p, 0, 0.78f);
    } else if (kind == 2) {                         /* orange */
        h = texture(ellipse(p, 0, 0.47f, 0.48f, 0.46f, ORANGE), TEX_SPECKLE, 26.0f, 0.35f);
        h->gloss = 0.6f;
        inked(ellipse(p, 0.08f, 0.82f, 0.05f, 0.035f, GREEN), 0.6f);
    } else if (kind == 3) {                         /* pear */
        float c[] = {0, 0.38f, 0.38f, 0.03f, 0.8f, 0.22f};
        h = texture(blob(p, c, 2, 0.3f, chance(&s->dice, 0.6f) ? LIME : YELLOW), TEX_SPECKLE, 18.0f, 0.35f);
        h->gloss = 0.6f;
        stem(p, 0.03f, 0.98f);
    } else if (kind == 4) {                         /* bananas */
        shade_below(p, 0, 0.05f, 0.85f, 0.14f);
        for (int i = 0; i < 2; i++) {
            float d = 0.17f * (float)i;
            texture(curve(p, -0.75f, 0.55f - d, 0.0f, -0.25f - 0.6f * d + 0.3f, 0.75f, 0.5f - d, 0.3f, YELLOW), TEX_SPECKLE, 10.0f, 0.3f);
        }
        inked(ellipse(p, -0.75f, 0.5f, 0.06f, 0.06f, DARK_BROWN), 0.6f);
    } else {                                        /* grapes */
        int c = chance(&s->dice, 0.6f) ? PURPLE : LIME;
        for (int row = 0; row < 4; row++)
            for (int i = 0; i < 4 - row; i++) {
                float x = ((float)i - 0.5f * (float)(3 - row)) * 0.26f, y = 0.72f - 0.2f * (float)row;
                ellipse(p, x, y, 0.145f, 0.145f, c)->gloss = 0.8f;
            }
        stem(p, 0, 0.82f);
    }
}

void draw_bottle(Pen *p)
{
    static const int glass[] = {GREEN, DARK_GREEN, BROWN, BLUE, TEAL, CRIMSON}, labels[] = {CREAM, WHITE, YELLOW, ORANGE};
    Scene *s = p->s;
    note(p, THING_BOTTLE);
    int c = any(&p->s->dice, glass);
    float w = between(&s->dice, 0.13f, 0.18f), t[] = {-w, 0.02f, w, 0.02f, w, 0.55f, w * 0.85f, 0.64f, 0.055f, 0.74f, 0.05f, 0.95f, -0.05f,
        0.95f, -0.055f, 0.74f, -w * 0.85f, 0.64f, -w, 0.55f};
    shade_below(p, 0, 0.02f, w * 2.0f, 0.07f);
    Shape *h = poly(p, t, 10, c);
    h->face = FACE_TUBE, h->p[1] = w * p->scale, h->gloss = 1.0f;
    int on = s->nshapes - 1;
    h = box(p, 0, 0.3f, w + 0.01f, 0.13f, 0.0f, any(&p->s->dice, labels));
    face(inked(h, 0.8f), FACE_TUBE, 0, 0);
    inked(box(p, 0, 0.31f, w * 0.5f, 0.045f, 0.02f, c), 0.5f);
    clip_from(s, on + 1, on);
    face(box(p, 0, 0.95f, 0.06f, 0.045f, 0.01f, chance(&s->dice, 0.5f) ? WOOD : RED), FACE_TUBE, 0, 0);
}

void draw_vase(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_VASE);
    int c = any(&p->s->dice, glazes);
    shade_below(p, 0, 0.02f, 0.36f, 0.08f);
    int n = 3 + pick(&s->dice, 3);
    for (int i = 0; i < n; i++) {
        Pen f = pen_part(p, 0, 0.42f, between(&s->dice, 0.55f, 0.75f), ((float)i - 0.5f * (float)(n - 1)) * -0.055f);
        draw_flower(&f);
    }
    float q[] = {0, 0.2f, 0.2f, 0, 0.42f, 0.09f};
    Shape *h = blob(p, q, 2, 0.18f, c);
    h->gloss = 0.9f;
    h = box(p, 0, 0.52f, 0.1f, 0.025f, 0.02f, c);
    face(h, FACE_TUBE, 0, 0);
}

void draw_book(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_BOOK);
    static const int covers[] = {RED, BLUE, GREEN, PURPLE, ORANGE, NAVY, TEAL, CRIMSON, YELLOW, BROWN};
    float y = 0.0f;
    int n = 2 + pick(&s->dice, 3);
    shade_below(p, 0, 0.0f, 0.85f, 0.1f);
    for (int i = 0; i < n; i++) {
        float h = between(&s->dice, 0.08f, 0.14f), w = between(&s->dice, 0.55f, 0.72f), x = between(&s->dice, -0.06f, 0.06f);
        int c = any(&p->s->dice, covers);
        box(p, x, y + h, w, h, 0.015f, c)->gloss = 0.3f;
        inked(second(texture(box(p, x + 0.06f, y + h, w - 0.04f, h * 0.72f, 0.0f, CREAM), TEX_STRIPE, 18.0f, 0.3f), CREAM), 0.6f);
        inked(box(p, x - w * 0.86f, y + h, w * 0.16f, h, 0.015f, c), 0.8f);
        y += 2.0f * h;
    }
    if (chance(&s->dice, 0.4f)) {
        Pen f = pen_part(p, 0.0f, y - 0.02f, 0.5f, 0.0f);
        draw_fruit(&f);
    }
}

void draw_table_lamp(Pen *p)
{
    static const int shades[] = {CREAM, RED, GREEN, YELLOW, TEAL, PINK};
    Scene *s = p->s;
    note(p, THING_LAMP);
    bool lit = s->light == LIGHT_TUNGSTEN;
    shade_below(p, 0, 0, 0.28f, 0.06f);
    ellipse(p, 0, 0.04f, 0.17f, 0.05f, DARK_GREY)->gloss = 0.6f;
    capsule(p, 0, 0.05f, 0.022f, 0, 0.6f, 0.022f, DARK_GREY);
    float t[] = {-0.3f, 0.56f, 0.3f, 0.56f, 0.17f, 0.98f, -0.17f, 0.98f};
    Shape *h = poly(p, t, 4, any(&p->s->dice, shades));
    h->face = FACE_TUBE, h->p[1] = 0.28f * p->scale;
    texture(h, TEX_CLOTH, 30.0f, 0.2f);
    if (lit) {
        flag(h, GLOW);
        place_lamp(p, 0, 0.65f, 1.1f, rgb(1.0f, 0.72f, 0.38f));
    }
}

void draw_window(Pen *p)                            /* seen on the wall: 1 high, y = 0 its sill */
{
    Scene *s = p->s;
    bool night = s->light == LIGHT_TUNGSTEN;
    box(p, 0, 0.5f, 0.42f, 0.52f, 0.0f, WHITE);
    flag(inked(box(p, 0, 0.5f, 0.36f, 0.46f, 0.0f, night ? NAVY : SKY_BLUE), 0.7f), GLOW | NO_LIGHT_STEP);
    int on = s->nshapes - 1;
    if (!night) {
        Pen t = pen_part(p, between(&s->dice, -0.2f, 0.2f), 0.0f, 0.6f, 0.0f);
        float c[] = {0, 0.25f, 0.3f, -0.4f, 0.12f, 0.24f, 0.42f, 0.15f, 0.26f};
        flag(inked(blob(&t, c, 3, 0.1f, GREEN), 0.6f), GLOW);
    } else {
        Pen t = pen_part(p, 0.12f, 0.68f, 0.09f, 0.0f);
        flag(inked(ellipse(&t, 0, 0, 1, 1, CREAM), 0.6f), GLOW | NO_LIGHT_STEP);
    }
    clip_from(s, on + 1, on);
    inked(box(p, 0, 0.5f, 0.02f, 0.46f, 0.0f, WHITE), 0.6f);
    inked(box(p, 0, 0.55f, 0.36f, 0.02f, 0.0f, WHITE), 0.6f);
    box(p, 0, -0.03f, 0.5f, 0.035f, 0.01f, WHITE);
    if (chance(&s->dice, 0.7f)) {                   /* curtains */
        static const int cloth[] = {RED, YELLOW, TEAL, PINK, CREAM, GREEN, PURPLE};
        int c = any(&p->s->dice, cloth);
        for (int i = -1; i <= 1; i += 2) {
            float x = (float)i, t[] = {x * 0.52f, 1.08f, x * 0.14f, 1.08f, x * 0.26f, 0.55f, x * 0.36f, 0.1f, x * 0.52f, 0.1f};
            Shape *h = second(texture(poly(p, t, 5, c), TEX_CLOTH, 14.0f, 0.5f), c);
            face(h, FACE_FLAT, 0.25f * x, 0.0f);
        }
        capsule(p, -0.58f, 1.08f, 0.02f, 0.58f, 1.08f, 0.02f, BROWN);
    }
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
