/* eval_photo2comic.c - how good is a trained photo -> comic network on scenes it has never seen?
 *
 *   eval_photo2comic GRAPH EXPORT WEIGHTS [SIZE [GRID.png [NAME=VALUE]...]]
 * prints, over 200 held-out scenes, the mean absolute error (0..1) to the true comic of: the photograph itself (identity), the best 33^3 colour table
 * fitted on 400 training scenes, and the network. Exit status 0 when the network is under half of identity and under the table.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../include/pastiche.h"
#include "colour_table.h"
#include "image.h"
#include "scenes.h"

enum { TRAIN = 400, HELD_OUT = 200, FIRST_HELD_OUT = 1000000, SHOWN = 8 };

/* Pictures are seen as a PNG would show them. */
static void to_8_bits(float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (float)floor(fmin(fmax(v[i], 0), 1) * 255 + 0.5) / 255;
}

static double mean_error(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += fabs((double)a[i] - b[i]);
    return sum / (double)n;
}

/* y = the export's picture of x, both 0..1 */
static bool stylize(pastiche_program *p, const float *x, int size, float *y)
{
    size_t          n = 3 * (size_t)size * (size_t)size;
    pastiche_info   in = pastiche_input_info(p, 0), out = pastiche_output_info(p, 0);
    float          *mapped = malloc(n * sizeof *mapped);
    pastiche_tensor input = { .dtype = PASTICHE_F32, .rank = 4, .shape = { 1, 3, size, size }, .data = mapped }, result = { 0 };
    double          lo = in.ranged ? in.lo : 0, hi = in.ranged ? in.hi : 1, olo = out.ranged ? out.lo : 0, ohi = out.ranged ? out.hi : 1;
    for (size_t i = 0; i < n; i++)
        mapped[i] = (float)(lo + (hi - lo) * x[i]);
    bool ok = pastiche_run(p, &input, 1, &result);
    for (size_t i = 0; ok && i < n; i++)
        y[i] = (float)((((float *)result.data)[i] - olo) / (ohi - olo));
    free(result.data);
    free(mapped);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: eval_photo2comic GRAPH EXPORT WEIGHTS [SIZE [GRID.png [NAME=VALUE]...]]\n", stderr);
        return 2;
    }
    int               size = argc > 4 ? atoi(argv[4]) : 64;
    size_t            area = (size_t)size * (size_t)size, n = 3 * area;
    char             *text = NULL;
    pastiche_model   *m = pastiche_load(argv[1], &(pastiche_options){ .set = argc > 6 ? (const char *const *)argv + 6 : NULL }, &text);
    pastiche_program *p = NULL;
    if (!m || !pastiche_read_weights(m, NULL, argv[3]) || !(p = pastiche_compile(m, argv[2]))) {
        fprintf(stderr, "%s\n", m ? pastiche_error(m) : text);
        return 2;
    }
    free(text);
    float       *photo = malloc(n * sizeof *photo), *comic = malloc(n * sizeof *comic), *got = malloc(n * sizeof *got), *shown = malloc(3 * SHOWN * n * sizeof *shown);
    ColourTable *table = colour_table_new();
    for (int i = 0; i < TRAIN; i++) {
        scene_render(0, (uint64_t)i, size, photo, comic);
        to_8_bits(photo, n), to_8_bits(comic, n);
        colour_table_add(table, photo, comic, area);
    }
    colour_table_fit(table);
    double identity = 0, by_table = 0, by_net = 0;
    for (int i = 0; i < HELD_OUT; i++) {
        scene_render(0, FIRST_HELD_OUT + (uint64_t)i, size, photo, comic);
        to_8_bits(photo, n), to_8_bits(comic, n);
        identity += mean_error(photo, comic, n);
        colour_table_apply(table, photo, got, area);
        by_table += mean_error(got, comic, n);
        if (!stylize(p, photo, size, got)) {
            fprintf(stderr, "%s\n", pastiche_error(m));
            return 2;
        }
        to_8_bits(got, n);
        by_net += mean_error(got, comic, n);
        if (i < SHOWN) {
            memcpy(shown + (size_t)i * n, photo, n * sizeof *photo);
            memcpy(shown + (size_t)(SHOWN + i) * n, got, n * sizeof *got);
            memcpy(shown + (size_t)(2 * SHOWN + i) * n, comic, n * sizeof *comic);
        }
    }
    printf("mean absolute error on %d held-out scenes of %dx%d: identity %.4f, colour table %.4f, network %.4f (%.2f of identity)\n", HELD_OUT, size, size, identity / HELD_OUT,
           by_table / HELD_OUT, by_net / HELD_OUT, by_net / identity);
    if (argc > 5) {
        Tensor t = { .dtype = DT_F32, .rank = 4, .shape = { 3 * SHOWN, 3, size, size }, .data = shown };
        Status st = { 0 };
        if (!image_write_grid(argv[5], &t, 0, 1, 3, SHOWN, 2, &st))
            fprintf(stderr, "%s\n", st.message);
    }
    colour_table_free(table);
    free(photo), free(comic), free(got), free(shown);
    pastiche_free(m);
    return by_net < 0.5 * identity && by_net < by_table ? 0 : 1;
}
