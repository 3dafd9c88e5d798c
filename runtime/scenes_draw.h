/* scenes_draw.h - inside the scene renderer: the list of shapes that a scene is, and the small deterministic maths below it.
 *
 *   place (scenes_place.c, scenes_mood.c) -> things (scenes_outdoor.c, scenes_indoor.c, scenes_beings.c) -> Shape list, back to front
 *     -> scenes_shape.c: which shape is on top at a sample, how far the next ink line is
 *     -> scenes_photo.c / scenes_comic.c: colour of the sample in either look -> scenes.c: pixels, lens
 *
 * Coordinates: x right, y down, the frame is [0,1]^2 before the camera. Depth 0 is at the lens, 1 at the horizon and beyond.
 * Only + - * / sqrt and integer hashing: libm's sin and exp differ between machines, ours do not.
 */
#ifndef PASTICHE_SCENES_DRAW_H
#define PASTICHE_SCENES_DRAW_H

#include "scenes.h"

#include <math.h>
#include <stddef.h>

/* Short names to read, long ones for the linker: this lives in a library beside other people's code. */
#define ellipse        scene_ellipse
#define tilted_ellipse scene_tilted_ellipse
#define box            scene_box
#define capsule        scene_capsule
#define poly           scene_poly
#define blob           scene_blob
#define ring           scene_ring
#define curve          scene_curve
#define everywhere     scene_everywhere
#define land           scene_land
#define texture        scene_texture
#define second         scene_second
#define face           scene_face
#define flag           scene_flag
#define inked          scene_inked
#define shade_below    scene_shade_below
#define place_lamp     scene_place_lamp
#define clip_from      scene_clip_from
#define depth_at       scene_depth_at
#define develop        scene_develop
#define set_light      scene_set_light
#define set_camera     scene_set_camera
#define noise2         scene_noise2
#define fbm2           scene_fbm2
#define colour_of      scene_colour_of
#define pen_at         scene_pen_at
#define pen_part       scene_pen_part

/* ---- numbers ---- */

typedef struct { float r, g, b; } Rgb;
enum { SITES_PER_FILE = 512, DICE_FILES = 6 };
typedef struct { uint64_t key; uint16_t visits[SITES_PER_FILE * DICE_FILES]; } Dice;

static inline uint64_t mix64(uint64_t z)           /* splitmix64's finaliser (Steele, Lea, Flood 2014) */
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Every call site has a stream of its own, its n-th visit gives the n-th number: C does not say in which order arguments and initialisers are
 * evaluated, and two compilers must draw the same scene. So a function that rolls dice may be called once in an expression, a macro below any number
 * of times. A file that rolls defines DICE_FILE (0..5) before it includes this. */
static inline float unit_at(Dice *d, int site)    /* [0, 1) */
{
    uint64_t n = ((uint64_t)d->visits[site]++ << 12) + (uint64_t)site + 1u;
    return (float)(mix64(d->key + n * 0x9e3779b97f4a7c15u) >> 40) * (1.0f / 16777216.0f);
}
static inline float between_at(Dice *d, int site, float lo, float hi) { return lo + (hi - lo) * unit_at(d, site); }
static inline int   pick_at(Dice *d, int site, int n)                 { int i = (int)(unit_at(d, site) * (float)n); return i < n ? i : n - 1; }

#define DICE_HERE          (DICE_FILE * SITES_PER_FILE + __COUNTER__)
#define unit(d)            unit_at(d, DICE_HERE)
#define between(d, lo, hi) between_at(d, DICE_HERE, lo, hi)
#define pick(d, n)         pick_at(d, DICE_HERE, n)
#define chance(d, p)       (unit(d) < (p))
#define any(d, set)        ((set)[pick(d, COUNT(set))])
#define COUNT(a)           ((int)(sizeof(a) / sizeof *(a)))

/* without SSE4.1 floorf is a call, and textures are made of floors; |x| < 2^31 here */
static inline float floor_of(float x) { float t = (float)(int32_t)x; return t > x ? t - 1.0f : t; }
static inline float clampf(float x, float lo, float hi) { return x < lo ? lo : x > hi ? hi : x; }
static inline float lerpf(float a, float b, float t)    { return a + (b - a) * t; }
static inline float smooth(float a, float b, float x)   { float t = clampf((x - a) / (b - a), 0.0f, 1.0f); return t * t * (3.0f - 2.0f * t); }
static inline Rgb   rgb(float r, float g, float b)      { return (Rgb){r, g, b}; }
static inline Rgb   mixrgb(Rgb a, Rgb b, float t)       { return rgb(lerpf(a.r, b.r, t), lerpf(a.g, b.g, t), lerpf(a.b, b.b, t)); }
static inline Rgb   mulrgb(Rgb a, Rgb b)                { return rgb(a.r * b.r, a.g * b.g, a.b * b.b); }
static inline Rgb   scalergb(Rgb a, float s)            { return rgb(a.r * s, a.g * s, a.b * s); }
static inline Rgb   addrgb(Rgb a, Rgb b)                { return rgb(a.r + b.r, a.g + b.g, a.b + b.b); }
static inline float luma(Rgb c)                         { return 0.30f * c.r + 0.59f * c.g + 0.11f * c.b; }

/* sin(2 pi x): a parabola through the zeros, corrected once; absolute error below 1.2e-3, which no picture shows */
static inline float sin_turn(float x)
{
    x -= floor_of(x);
    float h = x < 0.5f ? x : x - 0.5f, p = 16.0f * h * (0.5f - h);
    p = p * (0.775f + 0.225f * p);
    return x < 0.5f ? p : -p;
}
static inline float cos_turn(float x) { return sin_turn(x + 0.25f); }

/* exp(-x), x >= 0: (1 - x/64 + x^2/8192)^64; relative error below 1e-3 for x < 4 */
static inline float fade(float x)
{
    if (x > 16.0f)
        return 0.0f;
    float y = 1.0f - x * (1.0f / 64.0f) + x * x * (1.0f / 8192.0f);
    for (int i = 0; i < 6; i++)
        y *= y;
    return y;
}

static inline uint32_t hash2(int32_t x, int32_t y, uint32_t seed)
{
    uint32_t h = (uint32_t)x * 0x9e3779b1u ^ (uint32_t)y * 0x85ebca77u ^ seed * 0xc2b2ae3du;
    h ^= h >> 15; h *= 0x2c1b3c6du; h ^= h >> 13;
    return h;
}
static inline float hashf(int32_t x, int32_t y, uint32_t seed) { return (float)(hash2(x, y, seed) >> 8) * (1.0f / 16777216.0f); }

float noise2(float x, float y, uint32_t seed);                 /* value noise, about -1..1 */
float fbm2(float x, float y, int octaves, uint32_t seed);      /* its octaves, about -1..1 */

/* ---- shapes ---- */

enum { MAX_SHAPES = 900, MAX_POINTS = 6000, MAX_LAMPS = 6 };

typedef enum { SHAPE_ALL, SHAPE_LAND, SHAPE_ELLIPSE, SHAPE_BOX, SHAPE_CAPSULE, SHAPE_POLY, SHAPE_BLOB, SHAPE_RING, SHAPE_STROKE } ShapeKind;
typedef enum { FACE_FLAT, FACE_BALL, FACE_TUBE, FACE_PILLOW, FACE_PUFF, FACE_FLOOR } Face;       /* where the pseudo normal comes from */
typedef enum {
    TEX_PLAIN, TEX_SPECKLE, TEX_BRICK, TEX_WOOD, TEX_PLANKS, TEX_GRASS, TEX_WATER, TEX_STONE, TEX_CLOTH, TEX_CHECK, TEX_STRIPE, TEX_BARS,
        TEX_FUR, TEX_BARK,
    TEX_LEAF, TEX_SAND, TEX_ROOF, TEX_PLASTER, TEX_WINDOWS, TEX_TILES, TEX_ROCK, TEX_ROAD
} Texture;
enum {
    SHADE_ONLY = 1,        /* darkens what lies below, paints nothing */
    SKY = 2,               /* coloured by the sky, not by light */
    CLOUD = 4,             /* soft against the sky */
    GLOW = 8,              /* gives its own light */
    NO_LIGHT_STEP = 16     /* the comic keeps one flat tone */
};

typedef struct {
    uint8_t  kind, face, texture, flags;
    uint16_t on;                   /* paints only over shapes with at least this index: clips a detail to its thing */
    uint16_t points, npoints;      /* SHAPE_POLY, BLOB (x y r), STROKE: from, count in the scene's pool, relative to the origin */
    float    ox, oy, ax, ay;       /* origin; direction of the local x axis, a unit vector */
    float    p[5];                 /* sizes; see scenes_shape.c */
    float    x0, y0, x1, y1;       /* bounding box in the scene */
    float    depth, ink, gloss, soft;
    float    nx, ny;               /* normal of FACE_FLAT; z follows */
    float    grain;                /* texture cells per unit */
    float    strength;             /* of the texture in the photograph */
    uint32_t seed;
    Rgb      colour, second, tint; /* comic colour, the texture's second colour, and how this thing's photographed colour deviates */
} Shape;

typedef struct { float x, y, radius; Rgb light; } Lamp;

typedef enum { LIGHT_NOON, LIGHT_MORNING, LIGHT_DUSK, LIGHT_OVERCAST, LIGHT_NIGHT, LIGHT_WINDOW, LIGHT_TUNGSTEN, LIGHTS } LightKind;
typedef enum { WEATHER_CLEAR, WEATHER_HAZE, WEATHER_RAIN, WEATHER_SNOW, WEATHERS } WeatherKind;
typedef enum {
    PLACE_STREET, PLACE_COUNTRY, PLACE_LAKE, PLACE_BEACH, PLACE_CITY, PLACE_FOREST, PLACE_GARDEN, PLACE_TABLE, PLACE_DESK, PLACE_PORTRAIT,
        PLACE_PET, PLACES
} PlaceKind;
typedef enum {
    THING_HOUSE, THING_TOWER, THING_TREE, THING_PINE, THING_PALM, THING_BUSH, THING_CAR, THING_PERSON, THING_CAT, THING_DOG, THING_SHEEP,
        THING_BOAT, THING_CUP,
    THING_PLATE, THING_FRUIT, THING_BOTTLE, THING_VASE, THING_BOOK, THING_LAMP, THING_MOUNTAIN, THING_SUN, THING_MOON, THING_CLOUD, THING_FLOWER,
        THING_BIRD,
    THING_FENCE, THING_UMBRELLA, THING_BALLOON, THING_SNOWMAN, THING_MUSHROOM, THINGS
} ThingKind;

typedef struct {
    Dice  dice;
    int   place, light, weather;
    bool  indoor;
    uint32_t things;
    /* camera */
    float horizon, zoom, roll, keystone, pan_x, pan_y, focus, blur, softness;
    /* light */
    Rgb   key, ambient, bounce, fog, sky_top, sky_low, comic_top, comic_low;
    float lx, ly, lz;              /* towards the light; y up here, as in normals */
    float fog_density, target, contrast, noise, vignette;
    float rough;                                    /* strength of textures: from new and clean to worn */
    Lamp  lamp[MAX_LAMPS];
    int   nlamps;
    Shape shape[MAX_SHAPES];
    int   nshapes;
    float point[MAX_POINTS];
    int   npoints;
} Scene;

/* ---- drawing things: a pen stands at a place and draws in units of the thing's height, y up ---- */

typedef struct { Scene *s; float x, y, scale, flip, ca, sa, depth; } Pen;

typedef enum {
    RED, CRIMSON, ORANGE, YELLOW, CREAM, LIME, GREEN, DARK_GREEN, TEAL, SKY_BLUE, BLUE, NAVY, PURPLE, PINK, SKIN_LIGHT, SKIN_TAN, SKIN_DARK,
        BROWN, DARK_BROWN,
    WOOD, GREY, DARK_GREY, WHITE, BLACK, SAND, STONE, COLOURS
} ColourName;
Rgb colour_of(int name);

Pen    pen_at(Scene *s, float x, float y, float scale, float depth);      /* mirrored at random */
Pen    pen_part(const Pen *p, float px, float py, float scale, float turn);/* a pen for a part of the thing, at (px,py), turned (in turns) */
Shape *ellipse(Pen *p, float cx, float cy, float rx, float ry, int colour);
Shape *tilted_ellipse(Pen *p, float cx, float cy, float rx, float ry, float turn, int colour);
Shape *box(Pen *p, float cx, float cy, float hx, float hy, float round, int colour);
Shape *capsule(Pen *p, float xa, float ya, float ra, float xb, float yb, float rb, int colour);
Shape *poly(Pen *p, const float *xy, int n, int colour);
Shape *blob(Pen *p, const float *xyr, int n, float blend, int colour);
Shape *ring(Pen *p, float cx, float cy, float rx, float ry, float width, int colour);
Shape *curve(Pen *p, float xa, float ya, float xm, float ym, float xb, float yb, float width, int colour);   /* quadratic, control point m */
Shape *everywhere(Scene *s, int colour);
/* all below a wavy line; ridge 0 hills .. 1 peaks */
Shape *land(Scene *s, float y, float amplitude, float frequency, float ridge, float depth, int colour);
Shape *texture(Shape *h, Texture t, float cells, float strength);         /* cells per unit of the pen's scale */
Shape *second(Shape *h, int colour);
Shape *face(Shape *h, Face f, float nx, float ny);
Shape *flag(Shape *h, unsigned flags);
Shape *inked(Shape *h, float width);
void   shade_below(Pen *p, float cx, float cy, float rx, float ry);       /* a cast shadow lying on the ground */
void   place_lamp(Pen *p, float cx, float cy, float radius, Rgb light);
void   clip_from(Scene *s, int first, int on);                            /* shapes from `first` on paint only over shapes from `on` on */
float  depth_at(const Scene *s, float y);                                  /* of the ground at height y of the frame */

void draw_house(Pen *p); void draw_tower(Pen *p); void draw_lighthouse(Pen *p); void draw_block(Pen *p);
void draw_tree(Pen *p); void draw_pine(Pen *p); void draw_palm(Pen *p); void draw_bush(Pen *p); void draw_car(Pen *p);
void draw_boat(Pen *p); void draw_lamp_post(Pen *p); void draw_fence(Pen *p, int posts); void draw_flower(Pen *p);
void draw_umbrella(Pen *p); void draw_balloon(Pen *p); void draw_snowman(Pen *p); void draw_mushroom(Pen *p);
void draw_tuft(Pen *p); void draw_cloud(Pen *p); void draw_sun(Pen *p); void draw_moon(Pen *p);
void draw_cup(Pen *p, float tilt); void draw_plate(Pen *p, float tilt); void draw_fruit(Pen *p); void draw_bottle(Pen *p);
void draw_vase(Pen *p); void draw_book(Pen *p); void draw_table_lamp(Pen *p); void draw_window(Pen *p);
void draw_person(Pen *p); void draw_bust(Pen *p); void draw_cat(Pen *p); void draw_cat_face(Pen *p);
void draw_dog_face(Pen *p); void draw_dog(Pen *p); void draw_sheep(Pen *p); void draw_bird(Pen *p); void draw_gull(Pen *p);

void set_light(Scene *s);                                                 /* after the place is known */
void set_camera(Scene *s);
void scene_build(Scene *s, uint64_t seed, uint64_t index);                /* fills every field */

/* ---- from shapes to colours ---- */

typedef struct { float tone, mask, line; } Texel;      /* the photograph's modulation; share of the second colour; share of a drawn structure line */
typedef struct { float x, y, z; } Normal;
typedef struct {
    float  x, y, shade, depth;                         /* where, in the scene; 1 open .. 0 in a cast shadow */
    Normal n;
    Texel  t;
    /* direct light; 0 shadow .. 1 full light, which the comic's tones follow; mirror of the light */
    float  lambert, level, shine;
} Surface;

float   shape_distance(const Scene *s, const Shape *h, float x, float y);     /* signed, negative inside, in frame units */
Normal  shape_normal(const Scene *s, const Shape *h, float x, float y);
void    shape_local(const Shape *h, float x, float y, float *lx, float *ly);
Surface surface_at(const Scene *s, const Shape *h, float x, float y, float shade);
Rgb     photo_colour(const Scene *s, const Shape *h, const Surface *f);       /* linear light */
/* px, py in pixels; period of the dots */
Rgb     comic_colour(const Scene *s, const Shape *h, const Surface *f, float px, float py, float period);
/* Lens and film. linear (3,size,size) becomes a blurred copy; coc (size,size): 0 sharp .. 1 out of focus; false: out of memory, photo untouched */
bool    develop(const Scene *s, int size, float *linear, const float *coc, float *photo, uint32_t film);

#endif
