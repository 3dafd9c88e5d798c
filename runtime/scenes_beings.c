/* scenes_beings.c - people and animals. A person in the street is 1 high; a bust, a cat's or a dog's face fills the unit square around (0, 0.5).
 */
#define DICE_FILE 3
#include "scenes_draw.h"

static void note(Pen *p, ThingKind k) { p->s->things |= 1u << k; }

static const int skins[] = {SKIN_LIGHT, SKIN_LIGHT, SKIN_TAN, SKIN_DARK}, hairs[] = {BLACK, DARK_BROWN, BROWN, ORANGE, YELLOW, GREY, CRIMSON};
static const int clothes[] = {RED, BLUE, YELLOW, GREEN, PURPLE, TEAL, ORANGE, PINK, NAVY, WHITE, CRIMSON, SKY_BLUE, DARK_GREY};

void draw_person(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_PERSON);
    int skin = any(&p->s->dice, skins), hair = any(&p->s->dice, hairs), top = any(&p->s->dice, clothes), legs = any(&p->s->dice, clothes);
    float stride = between(&s->dice, 0.03f, 0.13f);
    bool skirt = chance(&s->dice, 0.35f);
    shade_below(p, 0, 0.0f, 0.25f, 0.035f);
    capsule(p, -0.03f, 0.46f, 0.055f, -stride - 0.02f, 0.05f, 0.038f, skirt ? skin : legs);
    capsule(p, 0.03f, 0.46f, 0.055f, stride + 0.01f, 0.05f, 0.038f, skirt ? skin : legs);
    inked(capsule(p, -stride - 0.03f, 0.02f, 0.03f, -stride + 0.05f, 0.02f, 0.028f, BLACK), 0.8f);
    inked(capsule(p, stride, 0.02f, 0.03f, stride + 0.08f, 0.02f, 0.028f, BLACK), 0.8f);
    capsule(p, -0.1f, 0.7f, 0.038f, -0.16f - 0.3f * stride, 0.44f, 0.03f, top);
    inked(ellipse(p, -0.165f - 0.3f * stride, 0.42f, 0.03f, 0.03f, skin), 0.8f);
    if (skirt) {
        float t[] = {-0.09f, 0.55f, 0.09f, 0.55f, 0.17f, 0.28f, -0.17f, 0.28f};
        Shape *h = poly(p, t, 4, legs);
        h->face = FACE_PILLOW, h->soft = 0.1f * p->scale;
    }
    Shape *h = texture(box(p, 0, 0.6f, 0.115f, 0.15f, 0.06f, top), TEX_CLOTH, 40.0f, 0.3f);
    h->face = FACE_TUBE;
    if (chance(&s->dice, 0.3f))
        second(texture(h, TEX_STRIPE, 0.35f, 0.3f), top == WHITE ? NAVY : WHITE);
    capsule(p, 0.1f, 0.7f, 0.038f, 0.15f + 0.4f * stride, 0.45f, 0.03f, top);
    inked(ellipse(p, 0.155f + 0.4f * stride, 0.43f, 0.03f, 0.03f, skin), 0.8f);
    box(p, 0, 0.76f, 0.035f, 0.04f, 0.01f, skin);
    bool longhair = chance(&s->dice, 0.45f);
    if (longhair)
        ellipse(p, -0.02f, 0.84f, 0.115f, 0.13f, hair);
    ellipse(p, 0.01f, 0.865f, 0.085f, 0.1f, skin);
    float cap[] = {-0.05f, 0.92f, 0.055f, 0.02f, 0.945f, 0.06f, -0.075f, 0.88f, 0.035f};
    texture(blob(p, cap, 3, 0.03f, hair), TEX_FUR, 50.0f, 0.3f);
    for (int i = -1; i <= 1; i += 2)
        inked(ellipse(p, 0.03f + 0.033f * (float)i, 0.865f, 0.012f, 0.016f, BLACK), 0.0f);
}

/* ---- faces ---- */

static void eye(Pen *p, float x, float y, float rx, float ry, int iris, bool slit)
{
    ellipse(p, x, y, rx, ry, WHITE);
    Scene *s = p->s;
    int on = s->nshapes - 1;
    inked(face(ellipse(p, x + 0.1f * rx, y, ry * 0.85f, ry * 0.95f, iris), FACE_FLAT, 0, 0.1f), 0.6f);
    inked(ellipse(p, x + 0.1f * rx, y, ry * (slit ? 0.22f : 0.45f), ry * (slit ? 0.75f : 0.45f), BLACK), 0.0f);
    flag(inked(ellipse(p, x + 0.1f * rx + 0.25f * ry, y + 0.35f * ry, 0.24f * ry, 0.24f * ry, WHITE), 0.0f), NO_LIGHT_STEP);
    clip_from(s, on + 1, on);
}

static void draw_glasses(Pen *p, float y, float dx)
{
    for (int i = -1; i <= 1; i += 2)
        inked(ring(p, dx * (float)i, y, 0.095f, 0.08f, 0.02f, BLACK), 0.4f);
    inked(capsule(p, -0.03f, y, 0.01f, 0.03f, y, 0.01f, BLACK), 0.4f);
}

static void draw_mouth(Pen *p, float y)
{
    Scene *s = p->s;
    int kind = pick(&s->dice, 3);
    if (kind == 0) {
        inked(curve(p, -0.085f, y + 0.015f, 0, y - 0.05f, 0.085f, y + 0.015f, 0.028f, CRIMSON), 0.4f);
    } else if (kind == 1) {                         /* an open smile */
        float t[] = {-0.09f, y + 0.02f, 0.09f, y + 0.02f, 0.06f, y - 0.035f, 0.0f, y - 0.055f, -0.06f, y - 0.035f};
        inked(poly(p, t, 5, CRIMSON), 0.9f);
        int on = s->nshapes - 1;
        inked(box(p, 0, y + 0.015f, 0.08f, 0.018f, 0.0f, WHITE), 0.0f);
        clip_from(s, on + 1, on);
    } else {
        inked(ellipse(p, 0, y, 0.065f, 0.024f, RED), 0.5f);
        inked(curve(p, -0.07f, y, 0, y - 0.012f, 0.07f, y, 0.012f, BLACK), 0.0f);
    }
}

void draw_bust(Pen *p)
{
    static const int irises[] = {BLUE, BROWN, GREEN, DARK_BROWN, TEAL}, hats[] = {RED, NAVY, YELLOW, GREEN, PURPLE, BROWN};
    Scene *s = p->s;
    note(p, THING_PERSON);
    int skin = any(&p->s->dice, skins), hair = any(&p->s->dice, hairs), top = any(&p->s->dice, clothes), iris = any(&p->s->dice, irises);
    int style = pick(&s->dice, 4);
    bool hat = chance(&s->dice, 0.22f);
    float w = between(&s->dice, 0.2f, 0.235f);
    if (style >= 2) {                               /* long hair lies behind */
        float c[] = {0, 0.74f, 0.29f, -0.16f, 0.5f, 0.15f, 0.16f, 0.5f, 0.15f, 0, 0.6f, 0.25f};
        texture(blob(p, c, 4, 0.06f, hair), TEX_FUR, 26.0f, 0.4f);
    }
    float body[] = {-0.52f, -0.3f, 0.52f, -0.3f, 0.48f, 0.1f, 0.36f, 0.24f, 0.12f, 0.32f, -0.12f, 0.32f, -0.36f, 0.24f, -0.48f, 0.1f};
    Shape *h = poly(p, body, 8, top);
    h->face = FACE_PILLOW, h->soft = 0.22f * p->scale;
    int cloth = pick(&s->dice, 3);
    second(texture(h, cloth == 0 ? TEX_CLOTH : cloth == 1 ? TEX_STRIPE : TEX_CHECK, cloth == 0 ? 26.0f : 6.0f, 0.4f),
        cloth == 0 ? top : top == WHITE ? BLUE : WHITE);
    float neck[] = {-0.09f, 0.2f, 0.09f, 0.2f, 0.1f, 0.48f, -0.1f, 0.48f};
    face(poly(p, neck, 4, skin), FACE_FLAT, 0, -0.45f);
    if (cloth != 0) {
        float left[] = {-0.02f, 0.2f, -0.14f, 0.34f, -0.24f, 0.24f, -0.12f, 0.14f}, right[] = {0.02f, 0.2f, 0.14f, 0.34f, 0.24f, 0.24f, 0.12f, 0.14f};
        face(poly(p, left, 4, top), FACE_FLAT, -0.2f, 0.4f);
        face(poly(p, right, 4, top), FACE_FLAT, 0.2f, 0.4f);
    }
    for (int i = -1; i <= 1; i += 2)
        ellipse(p, (w + 0.01f) * (float)i, 0.62f, 0.045f, 0.07f, skin);
    float skull[] = {0, 0.7f, w, 0, 0.54f, w * 0.86f, 0, 0.6f, w * 0.98f};
    h = texture(blob(p, skull, 3, 0.08f, skin), TEX_SPECKLE, 30.0f, 0.12f);
    h->face = FACE_PILLOW, h->soft = 0.13f * p->scale;
    for (int i = -1; i <= 1; i += 2) {
        eye(p, 0.088f * (float)i, 0.64f, 0.05f, 0.034f, iris, false);
        inked(curve(p, 0.035f * (float)i, 0.72f, 0.09f * (float)i, 0.75f, 0.145f * (float)i, 0.715f, 0.028f, hair == YELLOW ? BROWN : hair), 0.0f);
        if (skin != SKIN_DARK)
            face(inked(ellipse(p, 0.12f * (float)i, 0.53f, 0.04f, 0.026f, skin == SKIN_LIGHT ? PINK : ORANGE), 0.0f), FACE_FLAT, 0, 0);
    }
    inked(curve(p, 0.012f, 0.62f, 0.055f, 0.55f, -0.005f, 0.545f, 0.016f, skin == SKIN_DARK ? DARK_BROWN : BROWN), 0.3f);
    draw_mouth(p, 0.455f);
    if (style == 0 && chance(&s->dice, 0.4f)) {     /* a beard */
        float c[] = {-0.13f, 0.46f, 0.075f, 0.13f, 0.46f, 0.075f, 0, 0.385f, 0.1f, -0.08f, 0.4f, 0.08f, 0.08f, 0.4f, 0.08f};
        texture(blob(p, c, 5, 0.04f, hair), TEX_FUR, 34.0f, 0.4f);
        draw_mouth(p, 0.46f);
    }
    if (chance(&s->dice, 0.25f))
        draw_glasses(p, 0.64f, 0.095f);
    if (hat) {
        int c = any(&p->s->dice, hats);
        float crown[] = {-w * 1.05f, 0.8f, w * 1.05f, 0.8f, w * 0.9f, 1.02f, w * 0.4f, 1.1f, -w * 0.4f, 1.1f, -w * 0.9f, 1.02f};
        h = texture(poly(p, crown, 6, c), TEX_CLOTH, 30.0f, 0.4f);
        h->face = FACE_PILLOW, h->soft = 0.15f * p->scale;
        box(p, 0, 0.81f, w * 1.15f, 0.035f, 0.03f, c == RED ? WHITE : RED);
    } else if (style == 1) {                        /* curls */
        float c[24];
        for (int i = 0; i < 8; i++) {
            float a = -0.02f + 0.54f * (float)i / 7.0f;
            c[3 * i] = 0.235f * cos_turn(a), c[3 * i + 1] = 0.72f + 0.2f * sin_turn(a), c[3 * i + 2] = 0.085f;
        }
        texture(blob(p, c, 8, 0.01f, hair), TEX_FUR, 30.0f, 0.5f);
    } else {                                        /* parted to one side */
        float c[] = {-w, 0.62f, -w - 0.02f, 0.74f, -w * 0.8f, 0.9f, -0.05f, 0.97f, w * 0.7f, 0.92f, w + 0.02f, 0.78f, w, 0.64f, w * 0.82f, 0.76f,
            0.02f, 0.85f, -w * 0.55f, 0.78f};
        h = texture(poly(p, c, 10, hair), TEX_FUR, 26.0f, 0.5f);
        h->p[0] = 0.015f * p->scale, h->face = FACE_PILLOW, h->soft = 0.08f * p->scale;
    }
}

static void whiskers(Pen *p, float x, float y, int colour)
{
    for (int i = -1; i <= 1; i += 2)
        for (int k = -1; k <= 1; k++)
            inked(curve(p, x * (float)i, y + 0.02f * (float)k, (x + 0.14f) * (float)i, y + 0.05f * (float)k + 0.02f, (x + 0.3f) * (float)i,
                y + 0.09f * (float)k, 0.009f, colour), 0.0f);
}

static const int furs[] = {ORANGE, GREY, BLACK, WHITE, WOOD, BROWN, CREAM, DARK_GREY, SAND};

static void cat_head(Pen *p, int fur, int stripe)
{
    Scene *s = p->s;
    static const int irises[] = {LIME, YELLOW, GREEN, ORANGE, SKY_BLUE};
    for (int i = -1; i <= 1; i += 2) {
        float k = (float)i, ear[] = {0.36f * k, 0.58f, 0.39f * k, 0.98f, 0.08f * k, 0.78f}, in[] = {0.31f * k, 0.68f, 0.345f * k, 0.9f,
            0.17f * k, 0.78f};
        Shape *h = poly(p, ear, 3, fur);
        h->p[0] = 0.02f * p->scale, h->face = FACE_PILLOW;
        inked(poly(p, in, 3, PINK), 0.5f);
    }
    float c[] = {0, 0.55f, 0.34f, -0.2f, 0.42f, 0.23f, 0.2f, 0.42f, 0.23f, 0, 0.4f, 0.27f};
    texture(blob(p, c, 4, 0.1f, fur), TEX_FUR, 22.0f, 0.7f);
    int head = s->nshapes - 1;
    if (stripe >= 0) {
        static const float lines[] = {0, 0.72f, 0, 0.95f, -0.1f, 0.72f, -0.13f, 0.92f, 0.1f, 0.72f, 0.13f, 0.92f,
                                      -0.26f, 0.46f, -0.46f, 0.5f, 0.26f, 0.46f, 0.46f, 0.5f, -0.25f, 0.38f, -0.44f, 0.36f, 0.25f, 0.38f, 0.44f,
                                          0.36f};
        for (int i = 0; i < 7; i++)
            inked(curve(p, lines[4 * i], lines[4 * i + 1], lines[4 * i], 0.5f * (lines[4 * i + 1] + lines[4 * i + 3]), lines[4 * i + 2],
                lines[4 * i + 3], 0.05f, stripe), 0.0f);
        clip_from(s, head + 1, head);
    }
    int pale = fur == WHITE || fur == CREAM ? fur : WHITE;
    float m[] = {-0.08f, 0.32f, 0.11f, 0.08f, 0.32f, 0.11f, 0, 0.25f, 0.09f};
    int iris = any(&p->s->dice, irises);
    inked(texture(blob(p, m, 3, 0.02f, pale), TEX_FUR, 26.0f, 0.4f), 0.6f);
    for (int i = -1; i <= 1; i += 2) {
        Pen e = pen_part(p, 0.155f * (float)i, 0.54f, 1.0f, 0.035f * (float)i);
        eye(&e, 0, 0, 0.088f, 0.078f, iris, true);
        Shape *rim = &s->shape[s->nshapes - 3];     /* the iris fills a cat's eye */
        rim->p[0] = 0.085f * p->scale;
    }
    float nose[] = {-0.05f, 0.405f, 0.05f, 0.405f, 0, 0.355f};
    inked(poly(p, nose, 3, PINK), 0.8f)->p[0] = 0.01f * p->scale;
    inked(curve(p, 0, 0.35f, -0.02f, 0.27f, -0.1f, 0.29f, 0.02f, BLACK), 0.0f);
    inked(curve(p, 0, 0.35f, 0.02f, 0.27f, 0.1f, 0.29f, 0.02f, BLACK), 0.0f);
    whiskers(p, 0.14f, 0.33f, fur == WHITE || fur == CREAM ? DARK_GREY : WHITE);
}

static int stripes_on(Pen *p, int fur)
{
    if (chance(&p->s->dice, 0.45f))
        return -1;
    static const uint8_t on[COLOURS] = {[ORANGE] = BROWN, [GREY] = DARK_GREY, [BLACK] = DARK_GREY, [WHITE] = ORANGE, [WOOD] = BROWN, [BROWN] = DARK_BROWN,
                                        [CREAM] = BROWN, [DARK_GREY] = BLACK, [SAND] = BROWN};
    return on[fur];
}

void draw_cat_face(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_CAT);
    int fur = any(&p->s->dice, furs), stripe = stripes_on(p, fur);
    float c[] = {0, -0.1f, 0.4f, -0.25f, -0.3f, 0.3f, 0.25f, -0.3f, 0.3f};
    texture(blob(p, c, 3, 0.1f, fur), TEX_FUR, 18.0f, 0.7f);
    Pen h = pen_part(p, 0, 0, 1.0f, between(&s->dice, -0.03f, 0.03f));
    cat_head(&h, fur, stripe);
}

void draw_cat(Pen *p)                               /* sitting, seen from the front, 1 high */
{
    Scene *s = p->s;
    note(p, THING_CAT);
    int fur = any(&p->s->dice, furs), stripe = stripes_on(p, fur);
    shade_below(p, 0, 0.02f, 0.42f, 0.07f);
    texture(curve(p, 0.15f, 0.08f, 0.5f, -0.02f, 0.42f, 0.4f, 0.12f, fur), TEX_FUR, 22.0f, 0.5f);
    float c[] = {0, 0.3f, 0.24f, 0, 0.52f, 0.17f, -0.14f, 0.16f, 0.16f, 0.14f, 0.16f, 0.16f};
    texture(blob(p, c, 4, 0.1f, fur), TEX_FUR, 22.0f, 0.7f);
    int body = s->nshapes - 1;
    if (stripe >= 0) {
        for (int i = 0; i < 3; i++)
            for (int k = -1; k <= 1; k += 2)
                inked(curve(p, 0.26f * (float)k, 0.2f + 0.13f * (float)i, 0.18f * (float)k, 0.2f + 0.13f * (float)i, 0.12f * (float)k,
                    0.16f + 0.13f * (float)i, 0.04f, stripe), 0.0f);
        clip_from(s, body + 1, body);
    }
    for (int k = -1; k <= 1; k += 2) {
        texture(capsule(p, 0.07f * (float)k, 0.36f, 0.06f, 0.08f * (float)k, 0.07f, 0.055f, fur), TEX_FUR, 22.0f, 0.5f);
        ellipse(p, 0.085f * (float)k, 0.05f, 0.075f, 0.05f, fur == WHITE ? CREAM : WHITE);
    }
    Pen h = pen_part(p, 0, 0.48f, 0.56f, between(&s->dice, -0.04f, 0.04f));
    cat_head(&h, fur, stripe);
}

static void dog_head(Pen *p, int fur, int mark)
{
    Scene *s = p->s;
    float c[] = {0, 0.62f, 0.3f, 0, 0.42f, 0.25f};
    texture(blob(p, c, 2, 0.1f, fur), TEX_FUR, 20.0f, 0.6f);
    int head = s->nshapes - 1;
    if (chance(&s->dice, 0.5f)) {
        inked(ellipse(p, 0.14f, 0.6f, 0.14f, 0.17f, mark), 0.6f);
        clip_from(s, head + 1, head);
    }
    for (int k = -1; k <= 1; k += 2) {
        Pen e = pen_part(p, 0.27f * (float)k, 0.6f, 1.0f, 0.04f * (float)k);
        texture(ellipse(&e, 0.04f * (float)k, 0.02f, 0.11f, 0.26f, mark), TEX_FUR, 20.0f, 0.6f);
        eye(p, 0.12f * (float)k, 0.6f, 0.058f, 0.055f, DARK_BROWN, false);
    }
    float m[] = {-0.08f, 0.36f, 0.14f, 0.08f, 0.36f, 0.14f, 0, 0.28f, 0.13f};
    texture(blob(p, m, 3, 0.04f, fur == WHITE ? CREAM : WHITE), TEX_FUR, 24.0f, 0.4f);
    ellipse(p, 0, 0.45f, 0.085f, 0.06f, BLACK)->gloss = 1.0f;
    inked(curve(p, 0, 0.39f, -0.02f, 0.28f, -0.12f, 0.31f, 0.022f, BLACK), 0.0f);
    inked(curve(p, 0, 0.39f, 0.02f, 0.28f, 0.12f, 0.31f, 0.022f, BLACK), 0.0f);
    if (chance(&s->dice, 0.6f))
        inked(ellipse(p, 0, 0.22f, 0.06f, 0.09f, PINK), 0.9f);
}

static void dog_colours(Pen *p, int *fur, int *mark)
{
    static const int a[] = {WOOD, WHITE, BROWN, CREAM, GREY, BLACK, SAND}, b[] = {BROWN, DARK_BROWN, BLACK, DARK_GREY};
    *fur = any(&p->s->dice, a);
    *mark = any(&p->s->dice, b);
    if (*mark == *fur)
        *mark = DARK_BROWN;
}

void draw_dog_face(Pen *p)
{
    int fur, mark;
    note(p, THING_DOG);
    dog_colours(p, &fur, &mark);
    float c[] = {0, -0.05f, 0.34f, -0.2f, -0.3f, 0.3f, 0.2f, -0.3f, 0.3f};
    texture(blob(p, c, 3, 0.1f, fur), TEX_FUR, 18.0f, 0.6f);
    Shape *h = box(p, 0, 0.13f, 0.27f, 0.045f, 0.04f, chance(&p->s->dice, 0.5f) ? RED : BLUE);
    face(h, FACE_TUBE, 0, 0);
    ellipse(p, 0, 0.06f, 0.05f, 0.05f, YELLOW)->gloss = 1.0f;
    Pen head = pen_part(p, 0, 0.05f, 1.0f, between(&p->s->dice, -0.04f, 0.04f));
    dog_head(&head, fur, mark);
}

void draw_dog(Pen *p)                               /* standing, seen from the side, 1 high */
{
    int fur, mark;
    note(p, THING_DOG);
    dog_colours(p, &fur, &mark);
    shade_below(p, 0, 0, 0.62f, 0.07f);
    curve(p, -0.45f, 0.5f, -0.62f, 0.6f, -0.62f, 0.85f, 0.09f, fur);
    for (int i = 0; i < 4; i++)
        capsule(p, (i & 2 ? 0.28f : -0.38f) + 0.1f * (float)(i & 1), 0.36f, 0.06f, (i & 2 ? 0.3f : -0.4f) + 0.1f * (float)(i & 1), 0.05f, 0.045f,
            fur);
    float c[] = {-0.33f, 0.45f, 0.16f, 0, 0.46f, 0.16f, 0.3f, 0.48f, 0.18f};
    texture(blob(p, c, 3, 0.1f, fur), TEX_FUR, 14.0f, 0.5f);
    Pen h = pen_part(p, 0.42f, 0.38f, 0.62f, 0.0f);
    dog_head(&h, fur, mark);
}

void draw_sheep(Pen *p)
{
    Scene *s = p->s;
    note(p, THING_SHEEP);
    int dark = chance(&s->dice, 0.6f) ? BLACK : SKIN_TAN;
    shade_below(p, 0, 0, 0.7f, 0.08f);
    for (int i = 0; i < 4; i++)
        capsule(p, -0.34f + 0.2f * (float)i, 0.3f, 0.045f, -0.34f + 0.2f * (float)i, 0.04f, 0.04f, dark);
    float c[27];
    for (int i = 0; i < 8; i++) {
        float a = (float)i / 8.0f;
        c[3 * i] = 0.36f * cos_turn(a), c[3 * i + 1] = 0.56f + 0.16f * sin_turn(a), c[3 * i + 2] = 0.19f;
    }
    c[24] = 0, c[25] = 0.56f, c[26] = 0.28f;
    texture(blob(p, c, 9, 0.01f, chance(&s->dice, 0.8f) ? WHITE : CREAM), TEX_LEAF, 9.0f, 0.5f);
    tilted_ellipse(p, 0.5f, 0.68f, 0.12f, 0.16f, 0.06f, dark);
    tilted_ellipse(p, 0.38f, 0.77f, 0.09f, 0.04f, -0.08f, dark);
    inked(ellipse(p, 0.52f, 0.73f, 0.03f, 0.035f, WHITE), 0.4f);
    inked(ellipse(p, 0.53f, 0.73f, 0.014f, 0.018f, BLACK), 0.0f);
}

void draw_bird(Pen *p)                              /* perched, 1 high */
{
    static const int coats[] = {RED, BLUE, YELLOW, TEAL, ORANGE, PURPLE, BROWN}, bellies[] = {WHITE, CREAM, ORANGE, YELLOW};
    note(p, THING_BIRD);
    int c = any(&p->s->dice, coats), b = any(&p->s->dice, bellies);
    shade_below(p, 0, 0, 0.4f, 0.06f);
    for (int k = 0; k < 2; k++)
        inked(capsule(p, 0.1f * (float)k - 0.02f, 0.22f, 0.02f, 0.1f * (float)k, 0.02f, 0.02f, ORANGE), 0.7f);
    float tail[] = {-0.3f, 0.42f, -0.8f, 0.28f, -0.78f, 0.45f, -0.3f, 0.6f};
    poly(p, tail, 4, c);
    float body[] = {-0.08f, 0.46f, 0.32f, 0.1f, 0.56f, 0.3f, 0.16f, 0.78f, 0.22f};
    texture(blob(p, body, 3, 0.1f, c), TEX_FUR, 12.0f, 0.4f);
    int on = p->s->nshapes - 1;
    inked(ellipse(p, 0.2f, 0.4f, 0.24f, 0.27f, b), 0.7f);
    clip_from(p->s, on + 1, on);
    float beak[] = {0.34f, 0.85f, 0.56f, 0.76f, 0.34f, 0.72f};
    poly(p, beak, 3, c == ORANGE || c == YELLOW ? DARK_GREY : ORANGE);
    inked(ellipse(p, 0.22f, 0.83f, 0.055f, 0.06f, WHITE), 0.6f);
    inked(ellipse(p, 0.235f, 0.83f, 0.03f, 0.035f, BLACK), 0.0f);
    tilted_ellipse(p, -0.16f, 0.52f, 0.28f, 0.15f, 0.06f, c);
}

void draw_gull(Pen *p)                              /* flying, far off: two strokes */
{
    note(p, THING_BIRD);
    int c = p->s->light == LIGHT_NIGHT ? WHITE : BLACK;
    for (int k = -1; k <= 1; k += 2)
        inked(curve(p, 0, 0, 0.45f * (float)k, 0.5f, 1.0f * (float)k, 0.12f, 0.18f, c), 0.0f);
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
