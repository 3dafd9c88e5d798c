/* scenes_shape.c - the geometry of scenes: signed distances, pseudo normals, and the pen that makes shapes.
 *
 * A distance is exact for circles, boxes, capsules and polygons and first-order for ellipses, which is enough for an ink line of a few pixels.
 * Normals are invented: a face kind says whether a flat outline is to look like a ball, a tube, a pillow or a floor.
 */
#define DICE_FILE 0
#include "scenes_draw.h"

#include <string.h>

/* ---- noise ---- */

float noise2(float x, float y, uint32_t seed)
{
    float fx = floor_of(x), fy = floor_of(y);
    int32_t ix = (int32_t)fx, iy = (int32_t)fy;
    float u = x - fx, v = y - fy;
    u = u * u * (3.0f - 2.0f * u);
    v = v * v * (3.0f - 2.0f * v);
    float a = hashf(ix, iy, seed), b = hashf(ix + 1, iy, seed), c = hashf(ix, iy + 1, seed), d = hashf(ix + 1, iy + 1, seed);
    return 2.0f * lerpf(lerpf(a, b, u), lerpf(c, d, u), v) - 1.0f;
}

float fbm2(float x, float y, int octaves, uint32_t seed)
{
    float sum = 0.0f, gain = 0.58f;
    for (int i = 0; i < octaves; i++) {
        sum += gain * noise2(x, y, seed + (uint32_t)i);
        float t = x * 1.6f - y * 1.2f;             /* turn a little so that the lattices do not line up */
        y = x * 1.2f + y * 1.6f + 5.3f;
        x = t + 3.7f;
        gain *= 0.55f;
    }
    return sum;
}

/* ---- distances ---- */

static float length2(float x, float y) { return sqrtf(x * x + y * y); }

static float ellipse_distance(float x, float y, float rx, float ry)
{
    float a = x / rx, b = y / ry, k0 = length2(a, b), k1 = length2(a / rx, b / ry);
    return k1 > 1e-9f ? k0 * (k0 - 1.0f) / k1 : -(rx < ry ? rx : ry);
}

static float segment_distance(float x, float y, float ax, float ay, float bx, float by, float *t)
{
    float ex = bx - ax, ey = by - ay, wx = x - ax, wy = y - ay, ee = ex * ex + ey * ey;
    *t = ee > 0.0f ? clampf((wx * ex + wy * ey) / ee, 0.0f, 1.0f) : 0.0f;
    return length2(wx - *t * ex, wy - *t * ey);
}

static float poly_distance(const float *q, int n, float x, float y)
{
    float best = 1e18f, xj = q[2 * n - 2], yj = q[2 * n - 1];
    bool inside = false;
    for (int i = 0; i < n; i++) {
        float xi = q[2 * i], yi = q[2 * i + 1], ex = xi - xj, ey = yi - yj, wx = x - xj, wy = y - yj, ee = ex * ex + ey * ey, ew = wx * ex + wy * ey;
        float t = ew <= 0.0f ? 0.0f : ew >= ee ? 1.0f : ew / ee, dx = wx - t * ex, dy = wy - t * ey, dd = dx * dx + dy * dy;
        best = dd < best ? dd : best;
        if ((yi > y) != (yj > y) && (wx * ey < wy * ex) == (ey > 0.0f))
            inside = !inside;
        xj = xi, yj = yi;
    }
    best = sqrtf(best);
    return inside ? -best : best;
}

static float blob_distance(const float *q, int n, float blend, float x, float y)
{
    float d = 1e9f;
    for (int i = 0; i < n; i++) {
        float e = length2(x - q[3 * i], y - q[3 * i + 1]) - q[3 * i + 2];
        if (i == 0 || blend <= 0.0f) {
            d = e < d ? e : d;
        } else {
            float h = clampf(0.5f + 0.5f * (d - e) / blend, 0.0f, 1.0f);
            d = lerpf(d, e, h) - blend * h * (1.0f - h);
        }
    }
    return d;
}

static float stroke_distance(const float *q, int n, float width, float x, float y)
{
    float best = 1e9f, t;
    for (int i = 0; i + 1 < n; i++) {
        float d = segment_distance(x, y, q[2 * i], q[2 * i + 1], q[2 * i + 2], q[2 * i + 3], &t);
        float along = ((float)i + t) / (float)(n - 1);
        d -= width * (0.5f + 2.0f * along * (1.0f - along));         /* thin ends, as a pen makes them */
        best = d < best ? d : best;
    }
    return best;
}

/* p: 0 height, 1 amplitude, 2 frequency, 3 ridge */
static float land_profile(const Shape *h, float x)
{
    float u = x * h->p[2], soft = fbm2(u, 0.5f, 3, h->seed);
    float v = u * 0.9f + 0.3f * soft, cell = floor_of(v), f = v - cell;
    float a = hashf((int32_t)cell, 7, h->seed), b = hashf((int32_t)cell + 1, 7, h->seed);
    float tent = f < 0.5f ? lerpf(a * 0.5f, 1.2f, 2.0f * f) : lerpf(1.2f, b * 0.5f, 2.0f * f - 1.0f);
    tent *= 0.45f + 0.55f * hashf((int32_t)cell, 9, h->seed);
    return h->p[0] - h->p[1] * lerpf(soft, 2.0f * tent - 0.6f + 0.25f * soft, h->p[3]);
}

void shape_local(const Shape *h, float x, float y, float *lx, float *ly)
{
    float dx = x - h->ox, dy = y - h->oy;
    *lx = dx * h->ax + dy * h->ay;
    *ly = dy * h->ax - dx * h->ay;
}

float shape_distance(const Scene *s, const Shape *h, float x, float y)
{
    float lx, ly, t;
    shape_local(h, x, y, &lx, &ly);
    const float *q = s->point + h->points;
    switch ((ShapeKind)h->kind) {
    case SHAPE_ALL:     return -1.0f;
    case SHAPE_LAND: {
        float under = y - h->p[0] - 2.0f * h->p[1];     /* the line never comes down here: no need to know where it is */
        return under > 0.05f ? -0.8f * under : 0.8f * (land_profile(h, x) - y);
    }
    case SHAPE_ELLIPSE: return ellipse_distance(lx, ly, h->p[0], h->p[1]);
    case SHAPE_RING: {
        float d = ellipse_distance(lx, ly, h->p[0], h->p[1]);
        return (d < 0.0f ? -d : d) - h->p[2];
    }
    case SHAPE_BOX: {
        float r = h->p[2], qx = fabsf(lx) - h->p[0] + r, qy = fabsf(ly) - h->p[1] + r, m = qx > qy ? qx : qy;
        return length2(qx > 0.0f ? qx : 0.0f, qy > 0.0f ? qy : 0.0f) + (m < 0.0f ? m : 0.0f) - r;
    }
    case SHAPE_CAPSULE: {
        float d = segment_distance(lx, ly, 0.0f, 0.0f, h->p[0], 0.0f, &t);
        return d - lerpf(h->p[1], h->p[2], t);
    }
    case SHAPE_POLY:    return poly_distance(q, h->npoints, lx, ly) - h->p[0];
    case SHAPE_BLOB:    return blob_distance(q, h->npoints, h->p[0], lx, ly);
    case SHAPE_STROKE:  return stroke_distance(q, h->npoints, h->p[0], lx, ly);
    }
    return 1e9f;
}

/* ---- normals: x right, y up, z to the viewer ---- */

static Normal normal_of(float x, float y)
{
    float rr = x * x + y * y;
    if (rr > 0.98f) {
        float k = sqrtf(0.98f / rr);
        x *= k, y *= k, rr = 0.98f;
    }
    return (Normal){x, y, sqrtf(1.0f - rr)};
}

static Normal land_normal(const Shape *h, float x, float y)
{
    float slope = (land_profile(h, x + 0.01f) - land_profile(h, x - 0.01f)) * 50.0f;           /* of the ridge, y down */
    float f = h->p[2] * 2.2f, wobble = noise2(x * f + 3.0f * y, y * f * 0.8f, h->seed + 31u);
    float nx = clampf(0.5f * slope * h->p[3] + (0.2f + 0.35f * h->p[3]) * wobble, -0.8f, 0.8f);
    return normal_of(nx, lerpf(0.78f, 0.45f, h->p[3]) * sqrtf(1.0f - nx * nx));
}

Normal shape_normal(const Scene *s, const Shape *h, float x, float y)
{
    float lx, ly;
    shape_local(h, x, y, &lx, &ly);
    float u = 0.0f, v = 0.0f;                       /* in the shape's own axes, y down */
    switch ((Face)h->face) {
    case FACE_FLAT:
        if (h->kind == SHAPE_LAND)
            return land_normal(h, x, y);
        return normal_of(h->nx, h->ny);
    case FACE_FLOOR:
        return normal_of(h->nx, 0.86f);
    case FACE_BALL: u = lx / h->p[0]; v = ly / h->p[1]; break;
    case FACE_TUBE: u = clampf(lx / (h->kind == SHAPE_POLY ? h->p[1] : h->p[0]), -0.99f, 0.99f); break;
    case FACE_PUFF: {
        const float *q = s->point + h->points;
        float best = 1e9f, cx = 0.0f, cy = 0.0f, top = 1e9f, low = -1e9f, left = 1e9f, right = -1e9f;
        for (int i = 0; i < h->npoints; i++, q += 3) {
            float dx = lx - q[0], dy = ly - q[1], d = length2(dx, dy) / q[2];
            if (d < best)
                best = d, u = dx / q[2], v = dy / q[2];
            top = q[1] - q[2] < top ? q[1] - q[2] : top;
            low = q[1] + q[2] > low ? q[1] + q[2] : low;
            left = q[0] - q[2] < left ? q[0] - q[2] : left;
            right = q[0] + q[2] > right ? q[0] + q[2] : right;
        }
        cx = 0.5f * (left + right), cy = 0.5f * (top + low);
        u = 0.42f * u + 0.62f * (lx - cx) / (0.5f * (right - left));
        v = 0.42f * v + 0.62f * (ly - cy) / (0.5f * (low - top));
        break;
    }
    case FACE_PILLOW: {
        float r = h->soft > 0.0f ? h->soft : 0.03f, e = 0.15f * r, d = shape_distance(s, h, x, y);
        float gx = shape_distance(s, h, x + e, y) - d, gy = shape_distance(s, h, x, y + e) - d, g = length2(gx, gy);
        float m = clampf(1.0f + d / r, 0.0f, 1.0f);
        return g > 0.0f ? normal_of(m * gx / g, -m * gy / g) : normal_of(0.0f, 0.0f);
    }
    }
    return normal_of(u * h->ax - v * h->ay, -(u * h->ay + v * h->ax));
}

/* ---- the pen ---- */

Rgb colour_of(int name)
{
    static const uint8_t table[COLOURS][3] = {
        [RED] = {230, 50, 45},        [CRIMSON] = {176, 30, 62},     [ORANGE] = {244, 136, 40},   [YELLOW] = {253, 209, 56},      [CREAM] = {250,
            232, 190},
        [LIME] = {158, 205, 72},      [GREEN] = {84, 182, 84},       [DARK_GREEN] = {40, 126, 84}, [TEAL] = {36, 156, 156},
                  [SKY_BLUE] = {120, 200, 242},
        [BLUE] = {48, 124, 220},      [NAVY] = {34, 54, 118},        [PURPLE] = {124, 76, 166},   [PINK] = {246, 150, 172},
                  [SKIN_LIGHT] = {252, 208, 170},
        [SKIN_TAN] = {226, 164, 112}, [SKIN_DARK] = {146, 88, 58},   [BROWN] = {152, 92, 48},     [DARK_BROWN] = {92, 54, 40},    [WOOD] = {216,
            148, 82},
        [GREY] = {172, 178, 188},     [DARK_GREY] = {84, 90, 102},   [WHITE] = {250, 249, 244},   [BLACK] = {40, 38, 50},         [SAND] = {242,
            216, 152},
        [STONE] = {208, 200, 186},
    };
    return rgb((float)table[name][0] / 255.0f, (float)table[name][1] / 255.0f, (float)table[name][2] / 255.0f);
}

Pen pen_at(Scene *s, float x, float y, float scale, float depth)
{
    return (Pen){.s = s, .x = x, .y = y, .scale = scale, .flip = chance(&s->dice, 0.5f) ? -1.0f : 1.0f, .ca = 1.0f, .sa = 0.0f, .depth = depth};
}

static void to_scene(const Pen *p, float px, float py, float *x, float *y)
{
    float u = p->flip * px * p->scale, v = -py * p->scale;
    *x = p->x + u * p->ca - v * p->sa;
    *y = p->y + u * p->sa + v * p->ca;
}

Pen pen_part(const Pen *p, float px, float py, float scale, float turn)
{
    Pen q = *p;
    to_scene(p, px, py, &q.x, &q.y);
    float c = cos_turn(turn), d = -p->flip * sin_turn(turn);       /* a positive turn is against the clock before mirroring */
    q.ca = p->ca * c - p->sa * d;
    q.sa = p->sa * c + p->ca * d;
    q.scale = p->scale * scale;
    return q;
}

/* A new shape at the end of the list. When the list is full the spare last slot is handed out, which is never drawn. */
static Shape *add(Pen *p, ShapeKind kind, Face f, int colour, float x, float y)
{
    Scene *s = p->s;
    Shape *h = &s->shape[s->nshapes];
    if (s->nshapes < MAX_SHAPES - 1)
        s->nshapes++;
    memset(h, 0, sizeof *h);
    h->kind = (uint8_t)kind;
    h->face = (uint8_t)f;
    h->ox = x, h->oy = y, h->ax = p->ca, h->ay = p->sa;
    h->depth = p->depth;
    h->ink = 1.0f;
    h->colour = h->second = colour_of(colour);
    h->seed = (uint32_t)(unit(&s->dice) * 16777216.0f);
    h->tint = rgb(between(&s->dice, 0.95f, 1.05f), between(&s->dice, 0.95f, 1.05f), between(&s->dice, 0.95f, 1.05f));
    h->grain = 1.0f / p->scale;
    h->soft = 0.1f * p->scale;
    return h;
}

static void bound(Shape *h, float x, float y, float r)
{
    h->x0 = x - r, h->x1 = x + r, h->y0 = y - r, h->y1 = y + r;
}

static float *take_points(Scene *s, Shape *h, int n, int floats)
{
    int room = (MAX_POINTS - s->npoints) / floats;
    n = n < room ? n : room;
    h->points = (uint16_t)s->npoints;
    h->npoints = (uint16_t)n;
    s->npoints += n * floats;
    h->x0 = h->y0 = 1e9f, h->x1 = h->y1 = -1e9f;
    return s->point + h->points;
}

/* A point with its radius, into the pool, seen from the shape's origin and axes. */
static void put_point(const Pen *p, Shape *h, float *q, float px, float py, float r)
{
    float x, y;
    to_scene(p, px, py, &x, &y);
    shape_local(h, x, y, &q[0], &q[1]);
    h->x0 = x - r < h->x0 ? x - r : h->x0;
    h->x1 = x + r > h->x1 ? x + r : h->x1;
    h->y0 = y - r < h->y0 ? y - r : h->y0;
    h->y1 = y + r > h->y1 ? y + r : h->y1;
}

Shape *tilted_ellipse(Pen *p, float cx, float cy, float rx, float ry, float turn, int colour)
{
    Pen q = pen_part(p, cx, cy, 1.0f, turn);
    Shape *h = add(&q, SHAPE_ELLIPSE, FACE_BALL, colour, q.x, q.y);
    h->p[0] = rx * p->scale, h->p[1] = ry * p->scale;
    bound(h, q.x, q.y, rx > ry ? h->p[0] : h->p[1]);
    return h;
}

Shape *ellipse(Pen *p, float cx, float cy, float rx, float ry, int colour) { return tilted_ellipse(p, cx, cy, rx, ry, 0.0f, colour); }

Shape *box(Pen *p, float cx, float cy, float hx, float hy, float round, int colour)
{
    float x, y;
    to_scene(p, cx, cy, &x, &y);
    Shape *h = add(p, SHAPE_BOX, FACE_FLAT, colour, x, y);
    h->p[0] = hx * p->scale, h->p[1] = hy * p->scale, h->p[2] = round * p->scale;
    bound(h, x, y, length2(h->p[0], h->p[1]));
    return h;
}

Shape *capsule(Pen *p, float xa, float ya, float ra, float xb, float yb, float rb, int colour)
{
    float ax, ay, bx, by;
    to_scene(p, xa, ya, &ax, &ay);
    to_scene(p, xb, yb, &bx, &by);
    Shape *h = add(p, SHAPE_CAPSULE, FACE_PILLOW, colour, ax, ay);
    float len = length2(bx - ax, by - ay), r = (ra > rb ? ra : rb) * p->scale;
    if (len > 1e-9f)
        h->ax = (bx - ax) / len, h->ay = (by - ay) / len;
    h->p[0] = len, h->p[1] = ra * p->scale, h->p[2] = rb * p->scale;
    h->x0 = (ax < bx ? ax : bx) - r, h->x1 = (ax > bx ? ax : bx) + r;
    h->y0 = (ay < by ? ay : by) - r, h->y1 = (ay > by ? ay : by) + r;
    h->soft = r;
    return h;
}

Shape *poly(Pen *p, const float *xy, int n, int colour)
{
    Shape *h = add(p, SHAPE_POLY, FACE_FLAT, colour, p->x, p->y);
    float *q = take_points(p->s, h, n, 2);
    for (int i = 0; i < h->npoints; i++)
        put_point(p, h, q + 2 * i, xy[2 * i], xy[2 * i + 1], 0.0f);
    return h;
}

Shape *blob(Pen *p, const float *xyr, int n, float blend, int colour)
{
    Shape *h = add(p, SHAPE_BLOB, FACE_PUFF, colour, p->x, p->y);
    float *q = take_points(p->s, h, n, 3);
    h->p[0] = blend * p->scale;
    for (int i = 0; i < h->npoints; i++) {
        q[3 * i + 2] = xyr[3 * i + 2] * p->scale;
        put_point(p, h, q + 3 * i, xyr[3 * i], xyr[3 * i + 1], q[3 * i + 2] + 0.25f * h->p[0]);
    }
    return h;
}

Shape *ring(Pen *p, float cx, float cy, float rx, float ry, float width, int colour)
{
    Shape *h = ellipse(p, cx, cy, rx, ry, colour);
    h->kind = SHAPE_RING;
    h->face = FACE_PILLOW;
    h->p[2] = 0.5f * width * p->scale;
    h->soft = h->p[2];
    bound(h, h->ox, h->oy, (rx > ry ? h->p[0] : h->p[1]) + h->p[2]);
    return h;
}

Shape *curve(Pen *p, float xa, float ya, float xm, float ym, float xb, float yb, float width, int colour)
{
    enum { N = 7 };
    Shape *h = add(p, SHAPE_STROKE, FACE_PILLOW, colour, p->x, p->y);
    float *q = take_points(p->s, h, N, 2);
    h->p[0] = 0.5f * width * p->scale;
    h->soft = h->p[0];
    for (int i = 0; i < h->npoints; i++) {
        float t = (float)i / (N - 1), a = (1.0f - t) * (1.0f - t), b = 2.0f * t * (1.0f - t), c = t * t;
        put_point(p, h, q + 2 * i, a * xa + b * xm + c * xb, a * ya + b * ym + c * yb, h->p[0]);
    }
    return h;
}

static Shape *unbounded(Scene *s, ShapeKind kind, Face f, int colour, float depth)
{
    Pen p = {.s = s, .scale = 1.0f, .flip = 1.0f, .ca = 1.0f, .depth = depth};
    Shape *h = add(&p, kind, f, colour, 0.0f, 0.0f);
    h->x0 = h->y0 = -1e9f, h->x1 = h->y1 = 1e9f;
    return h;
}

Shape *everywhere(Scene *s, int colour)
{
    Shape *h = unbounded(s, SHAPE_ALL, FACE_FLAT, colour, 1.0f);
    h->ink = 0.0f;
    return h;
}

Shape *land(Scene *s, float y, float amplitude, float frequency, float ridge, float depth, int colour)
{
    Shape *h = unbounded(s, SHAPE_LAND, FACE_FLAT, colour, depth);
    h->p[0] = y, h->p[1] = amplitude, h->p[2] = frequency, h->p[3] = ridge;
    h->y0 = y - 2.0f * amplitude;
    return h;
}

Shape *texture(Shape *h, Texture t, float cells, float strength)
{
    h->texture = (uint8_t)t;
    h->grain *= cells;
    h->strength = 1.1f * strength;
    return h;
}

Shape *second(Shape *h, int colour)           { h->second = colour_of(colour); return h; }
Shape *face(Shape *h, Face f, float nx, float ny) { h->face = (uint8_t)f; h->nx = nx; h->ny = ny; return h; }
Shape *flag(Shape *h, unsigned flags)         { h->flags |= (uint8_t)flags; return h; }
Shape *inked(Shape *h, float width)           { h->ink = width; return h; }

void shade_below(Pen *p, float cx, float cy, float rx, float ry)
{
    Pen q = *p;
    q.flip = 1.0f;                                  /* the sun does not mirror with the thing */
    Shape *h = ellipse(&q, p->flip * cx - 0.35f * p->s->lx * rx, cy, rx, ry, BLACK);
    h->flags = SHADE_ONLY;
    h->ink = 0.0f;
    h->soft = 0.35f * h->p[1];
}

void place_lamp(Pen *p, float cx, float cy, float radius, Rgb light)
{
    Scene *s = p->s;
    if (s->nlamps == MAX_LAMPS)
        return;
    Lamp *l = &s->lamp[s->nlamps++];
    to_scene(p, cx, cy, &l->x, &l->y);
    l->radius = radius * p->scale;
    l->light = light;
}

void clip_from(Scene *s, int first, int on)
{
    for (int i = first; i < s->nshapes; i++)
        s->shape[i].on = (uint16_t)on;
}

float depth_at(const Scene *s, float y)
{
    float d = y - s->horizon;
    return d <= 0.0f ? 1.0f : 0.13f / (0.13f + d);
}

_Static_assert(__COUNTER__ < SITES_PER_FILE, "too many dice in one file");
