/* stylize.c - a picture through a trained network, from C: `stylize GRAPH EXPORT WEIGHTS IN OUT`, for example
 *
 *   stylize graphs/models/photo2comic.graph comic out/weights.safetensors photo.jpg comic.png
 *
 * The whole public interface, include/pastiche.h, is used as a program would: load, look, read weights, compile, run as often as wanted.
 * Built beside the library by CMake; elsewhere: cc stylize.c -Iinclude libpastiche.a -lLLVM-19 -lgomp -lz -lm -lpthread
 */
#include <stdio.h>
#include <stdlib.h>

#include <pastiche.h>

static int complain(const pastiche_model *m)
{
    fprintf(stderr, "stylize: %s\n", pastiche_error(m));
    return 1;
}

static void print_sizes(const char *what, const char *name, const pastiche_info *info)
{
    printf("%s %s: [", what, name);
    for (int i = 0; i < info->rank; i++)
        info->shape[i] < 0 ? printf("%sany", i ? ", " : "") : printf("%s%lld", i ? ", " : "", (long long)info->shape[i]);
    printf("]\n");
}

static int stylize(pastiche_model *m, char **argv)
{
    if (!pastiche_read_weights(m, NULL, argv[3]))
        return complain(m);

    /* Once for all sizes: a second picture of another size compiles nothing. */
    pastiche_program *p = pastiche_compile(m, argv[2]);
    if (!p)
        return complain(m);
    pastiche_info in = pastiche_input_info(p, 0), out = pastiche_output_info(p, 0);
    print_sizes("input", pastiche_input_name(p, 0), &in);
    print_sizes("output", pastiche_output_name(p, 0), &out);

    pastiche_tensor photo, result;
    if (!pastiche_read_image(p, 0, argv[4], &photo))
        return complain(m);
    bool ok = pastiche_run(p, &photo, 1, &result);
    free(photo.data);
    if (!ok)
        return complain(m);

    /* result.data is plain memory: floats here, row by row, one plane a channel. */
    const float *v = result.data;
    size_t       n = (size_t)(result.shape[0] * result.shape[1] * result.shape[2] * result.shape[3]);
    double       sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    printf("%lld x %lld pixels, mean %.3f\n", (long long)result.shape[3], (long long)result.shape[2], sum / (double)n);

    ok = pastiche_write_image(p, 0, argv[5], &result);
    free(result.data);
    return ok ? 0 : complain(m);
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: stylize GRAPH EXPORT WEIGHTS.safetensors IN.png|jpg OUT.png|jpg\n");
        return 2;
    }
    char           *said;
    pastiche_model *m = pastiche_load(argv[1], NULL, &said);      /* NULL: no options; all cores, the best instructions there are */
    if (said)
        fputs(said, stderr);
    free(said);
    if (!m)
        return 1;
    int status = stylize(m, argv);
    pastiche_free(m);                                             /* its programs too */
    return status;
}
