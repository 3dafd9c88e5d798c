/* test_scenes.c - the embedded data set: same pixels always and everywhere, range, variety, distance between the two looks, the colour-table yardstick.
 * The hashes were made once; they change only when the scenes are meant to change, and are the same for gcc and clang, with and without optimisation.
 */
#include "check.h"

#include "../runtime/colour_table.h"
#include "../runtime/scenes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIZE = 64, PIXELS = SIZE * SIZE };

static uint64_t hash_floats(const float *v, size_t n)               /* FNV-1a over the bits */
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, v + i, sizeof u);
        for (int k = 0; k < 4; k++)
            h = (h ^ (u >> 8 * k & 255u)) * 1099511628211u;
    }
    return h;
}

static void test_determinism(void)
{
    static const struct { uint64_t seed, index; int size; uint64_t photo, comic; } known[] = {
        {1, 0, 64, 0x59d873a61d6dd131u, 0x71c09f45bdb99422u},
        {1, 77, 64, 0x69bcd74b81d68300u, 0x550909b22a49744eu},
        {9, 123456789012345u, 48, 0x2afb4bfd818fd5c0u, 0xce59389f50c656d5u},
        {0, 3, 128, 0x77412645759564c7u, 0x8cc5358981ce93cbu},
    };
    static float photo[3 * 128 * 128], comic[3 * 128 * 128], again[3 * 128 * 128];
    for (int round = 0; round < 2; round++)
        for (int k = 0; k < 4; k++) {
            int i = round == 0 ? k : 3 - k;
            size_t n = 3 * (size_t)(known[i].size * known[i].size);
            CHECK(scene_render(known[i].seed, known[i].index, known[i].size, photo, comic), "scene %d", i);
            CHECK(hash_floats(photo, n) == known[i].photo, "photo %d: %#llx", i, (unsigned long long)hash_floats(photo, n));
            CHECK(hash_floats(comic, n) == known[i].comic, "comic %d: %#llx", i, (unsigned long long)hash_floats(comic, n));
            CHECK(scene_render(known[i].seed, known[i].index, known[i].size, NULL, again), "comic only %d", i);
            CHECK(memcmp(comic, again, n * sizeof *again) == 0, "the comic of scene %d depends on whether a photo is wanted", i);
            CHECK(scene_render(known[i].seed, known[i].index, known[i].size, again, NULL), "photo only %d", i);
            CHECK(memcmp(photo, again, n * sizeof *again) == 0, "the photo of scene %d depends on whether a comic is wanted", i);
        }
    scene_render(1, 0, SIZE, photo, NULL);
    scene_render(2, 0, SIZE, again, NULL);
    CHECK(memcmp(photo, again, 3 * PIXELS * sizeof *photo) != 0, "the seed does nothing");
}

/* Nothing is written beyond the pictures, every pixel is, and all values lie in 0..1, at sizes that are no multiple of a tile as well. */
static void test_range(void)
{
    static const int sizes[] = {8, 17, 31, 64, 100, 257};
    for (int k = 0; k < 6; k++) {
        size_t n = 3 * (size_t)sizes[k] * (size_t)sizes[k];
        float *v = malloc((2 * n + 2) * sizeof *v);
        CHECK(v != NULL, "memory");
        for (size_t i = 0; i < 2 * n + 2; i++)
            v[i] = -7.0f;
        CHECK(scene_render(5, (uint64_t)k, sizes[k], v, v + n + 1), "size %d", sizes[k]);
        CHECK(v[n] == -7.0f && v[2 * n + 1] == -7.0f, "size %d wrote past its end", sizes[k]);
        size_t bad = 0;
        for (size_t i = 0; i < 2 * n + 1; i++)
            bad += i != n && !(v[i] >= 0.0f && v[i] <= 1.0f);
        CHECK(bad == 0, "size %d: %zu values out of range", sizes[k], bad);
        free(v);
    }
    float untouched = 3.0f;
    CHECK(!scene_render(1, 1, SCENE_MIN_SIZE - 1, &untouched, NULL), "a size below the least was taken");
    CHECK(!scene_render(1, 1, SCENE_MAX_SIZE + 1, &untouched, NULL), "a size above the greatest was taken");
    CHECK(!scene_render(1, 1, -4, &untouched, NULL), "a negative size was taken");
    CHECK(untouched == 3.0f, "a refused call wrote");
}

static int count_names(const char *(*name)(int)) { int n = 0; while (name(n)) n++; return n; }

static void test_variety(void)
{
    enum { SCENES = 300 };
    int seen[4][32] = {{0}};
    float horizon[2] = {9, -9}, zoom[2] = {9, -9}, roll[2] = {9, -9}, blur[2] = {9, -9};
    for (int i = 0; i < SCENES; i++) {
        SceneInfo s;
        scene_describe(1, (uint64_t)i, &s);
        const uint32_t masks[4] = {s.places, s.lights, s.weathers, s.objects};
        for (int m = 0; m < 4; m++)
            for (int b = 0; b < 32; b++)
                seen[m][b] += (int)(masks[m] >> b & 1u);
        for (int m = 0; m < 3; m++)
            CHECK(masks[m] != 0 && (masks[m] & (masks[m] - 1)) == 0, "scene %d, mask %d: %#x", i, m, masks[m]);
        const float now[4] = {s.horizon, s.zoom, s.roll, s.blur};
        float *range[4] = {horizon, zoom, roll, blur};
        for (int k = 0; k < 4; k++) {
            range[k][0] = now[k] < range[k][0] ? now[k] : range[k][0];
            range[k][1] = now[k] > range[k][1] ? now[k] : range[k][1];
        }
    }
    const char *(*names[4])(int) = {scene_place_name, scene_light_name, scene_weather_name, scene_object_name};
    static const char *const what[4] = {"place", "light", "weather", "object"};
    static const int least[4] = {8, 5, 4, 20};
    for (int m = 0; m < 4; m++) {
        int n = count_names(names[m]);
        CHECK(n >= least[m] && n <= 32, "%d kinds of %s", n, what[m]);
        for (int b = 0; b < n; b++)
            CHECK(seen[m][b] >= 3, "%s %s is in %d of %d scenes", what[m], names[m](b), seen[m][b], SCENES);
        for (int b = n; b < 32; b++)
            CHECK(seen[m][b] == 0, "%s bit %d has no name", what[m], b);
        CHECK(names[m](-1) == NULL, "a name before the first %s", what[m]);
    }
    CHECK(horizon[1] - horizon[0] > 0.2f && zoom[1] - zoom[0] > 0.3f && roll[1] - roll[0] > 0.1f && blur[1] - blur[0] > 0.8f, "cameras hardly differ");
}

static double mean_error(const float *a, const float *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a[i] - (double)b[i]);
    return sum / (double)n;
}

/* The yardsticks of photo -> comic, on scenes the table never saw: on 200 of them, 30 under the sanitizers. */
static void test_yardsticks(void)
{
    const int train = sanitized() ? 60 : 400, held_out = train / 2;
    static float photo[3 * PIXELS], comic[3 * PIXELS], mapped[3 * PIXELS];
    ColourTable *t = colour_table_new();
    CHECK(t != NULL, "memory");
    double identity = 0.0, table = 0.0, brightness = 0.0;
    for (int i = 0; i < train; i++) {
        scene_render(1, (uint64_t)i, SIZE, photo, comic);
        CHECK(colour_table_add(t, photo, comic, PIXELS), "memory");
    }
    CHECK(colour_table_fit(t), "the fit failed");
    for (int i = 0; i < held_out; i++) {
        scene_render(1, (uint64_t)(1000000 + i), SIZE, photo, comic);
        colour_table_apply(t, photo, mapped, PIXELS);
        identity += mean_error(photo, comic, 3 * PIXELS) / held_out;
        table += mean_error(mapped, comic, 3 * PIXELS) / held_out;
        for (int k = 0; k < 3 * PIXELS; k++)
            brightness += photo[k] / (3.0 * PIXELS * held_out);
    }
    colour_table_free(t);
    printf("%d held-out scenes: identity %.4f, colour table %.4f, mean photograph %.3f\n", held_out, identity, table, brightness);
    CHECK(identity > 0.14 && identity < 0.25, "identity %.4f", identity);
    CHECK(table < 0.75 * identity, "the table gains too little: %.4f of %.4f", table, identity);
    CHECK(table > 0.08, "the table leaves too little to learn: %.4f", table);
    CHECK(brightness > 0.25 && brightness < 0.6, "photographs of mean %.3f", brightness);
}

/* A map that is a table (piecewise trilinear on the same grid) must be found again; one outlier in four must not move it (least absolute error). */
static void test_table(void)
{
    enum { COUNT = 60000 };
    float *from = malloc(3 * COUNT * sizeof *from), *to = malloc(3 * COUNT * sizeof *to), *got = malloc(3 * COUNT * sizeof *got);
    ColourTable *t = colour_table_new();
    CHECK(from && to && got && t, "memory");
    CHECK(!colour_table_fit(t), "a table without pixels was fitted");
    uint32_t state = 1;
    for (int i = 0; i < 3 * COUNT; i++) {
        state = state * 1664525u + 1013904223u;
        from[i] = (float)(state >> 8) / 16777216.0f;
    }
    for (int i = 0; i < COUNT; i++) {
        float r = from[i], g = from[COUNT + i], b = from[2 * COUNT + i];
        to[i] = 0.2f + 0.5f * g;
        to[COUNT + i] = r * b;                      /* trilinear, so within the table's reach */
        to[2 * COUNT + i] = fabsf(r - 0.5f);        /* its crease lies on the grid */
    }
    CHECK(colour_table_add(t, from, to, COUNT) && colour_table_fit(t), "memory");
    colour_table_apply(t, from, got, COUNT);
    CHECK(mean_error(got, to, 3 * COUNT) < 0.002, "error %g", mean_error(got, to, 3 * COUNT));
    for (int i = 0; i < 3 * COUNT; i++)             /* fewer cells, so that each has a hundred pixels to vote */
        from[i] = 0.25f + 0.25f * from[i];
    colour_table_apply(t, from, to, COUNT);
    for (int i = 0; i < 3 * COUNT; i++)
        got[i] = i % 4 == 0 ? 1.0f : to[i];
    ColourTable *u = colour_table_new();
    CHECK(u && colour_table_add(u, from, got, COUNT) && colour_table_fit(u), "memory");
    colour_table_apply(u, from, got, COUNT);
    CHECK(mean_error(got, to, 3 * COUNT) < 0.02, "outliers pull the table: %g", mean_error(got, to, 3 * COUNT));
    float wild[3] = {-3.0f, NAN, 9.0f}, out[3];
    colour_table_apply(t, wild, out, 1);
    CHECK(out[0] >= 0.0f && out[0] <= 1.0f && out[1] >= 0.0f && out[2] <= 1.0f, "colours out of range are not clamped");
    colour_table_free(t);
    colour_table_free(u);
    free(from), free(to), free(got);
}

static void test_speed(void)
{
    static float photo[3 * 128 * 128], comic[3 * 128 * 128];
    clock_t start = clock();
    for (int i = 0; i < 20; i++)
        scene_render(3, (uint64_t)i, 128, photo, comic);
    double ms = 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC / 20.0;
    printf("a pair of 128x128 takes %.1f ms\n", ms);
    CHECK(ms < 500.0, "%.1f ms", ms);               /* a sanity bound that holds under sanitizers as well */
}

int main(void)
{
    test_determinism();
    test_range();
    test_variety();
    test_table();
    test_yardsticks();
    test_speed();
    return check_done();
}
