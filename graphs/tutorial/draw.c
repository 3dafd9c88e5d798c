/* draw.c - a program with the generator in it: draw GRAPH WEIGHTS OUT.png writes sixteen pictures. No Python, no server: link libpastiche. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <pastiche.h>

enum { COUNT = 16, NZ = 32 };

static double uniform(void) { return (rand() + 1.0) / (RAND_MAX + 2.0); }

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: draw GRAPH WEIGHTS OUT.png\n", stderr);
        return 2;
    }
    char           *text = NULL;
    pastiche_model *m = pastiche_load(argv[1], NULL, &text);
    if (!m) {
        fputs(text, stderr);
        free(text);
        return 1;
    }
    float noise[COUNT * NZ];
    for (int i = 0; i < COUNT * NZ; i++)
        noise[i] = (float)(sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
    pastiche_tensor   z = { .dtype = PASTICHE_F32, .rank = 2, .shape = { COUNT, NZ }, .data = noise }, pictures = { 0 };
    pastiche_program *draw = pastiche_read_weights(m, NULL, argv[2]) ? pastiche_compile(m, "draw") : NULL;
    bool              ok = draw && pastiche_run(draw, &z, 1, &pictures) && pastiche_write_image(draw, 0, argv[3], &pictures);
    if (!ok)
        fprintf(stderr, "draw: %s\n", pastiche_error(m));
    free(text);
    free(pictures.data);
    pastiche_free(m);
    return !ok;
}
