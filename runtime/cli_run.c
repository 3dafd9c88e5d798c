/* cli_run.c - pastiche run, over the public API: pictures, arrays, numbers in; pictures or arrays out. */
#include <stdlib.h>
#include <string.h>

#include "cli_input.h"
#include "npy.h"

/* ---- weights: FILE, NET=FILE, NET=random ---- */

bool weights_name_net(const char *text, char net[128], const char **path)
{
    bool named = split_setting(text, net, 128, path) && !strchr(net, '/') && !strchr(net, '.');
    *path = named ? *path : text;
    return named;
}

bool read_weights_of(pastiche_model *m, const char *net, const char *path)
{
    return net && !strcmp(path, "random") ? pastiche_random_weights(m, net) : pastiche_read_weights(m, net, path);
}

int read_given_weights(pastiche_model *m, const Given *g)
{
    for (int i = 0; g->weights[i]; i++) {
        char        net[128];
        const char *path;
        bool        named = weights_name_net(g->weights[i], net, &path);
        if (!read_weights_of(m, named ? net : NULL, path))
            return complain("%s", pastiche_error(m));
    }
    return 0;
}

bool has_weights(const pastiche_program *p)
{
    const char *missing = pastiche_missing_weights(p);
    return !missing || !complain("net '%s' has no weights: give --weights FILE.safetensors, or --weights %s=random to try without", missing, missing);
}

pastiche_model *open_model(const Given *g, int *status) { return open_model_file(g, g->words[0], true, status); }

pastiche_model *open_model_file(const Given *g, const char *path, bool settings, int *status)
{
    SessionOptions so;
    *status = 2;
    if (!session_options(g, &so))
        return NULL;
    pastiche_options o = { .set = settings ? g->set : NULL, .data = settings ? g->data : NULL, .reference = so.exec.backend == BACKEND_REFERENCE, .threads = so.exec.threads, .cpu = so.exec.cpu, .exact = so.exec.exact, .no_cache = so.exec.no_cache, .debug_kernels = so.exec.debug_kernels, .memory_budget = so.exec.memory_budget,
                           .seed = so.seed, .strict = so.strict };
    char            *text = NULL;
    Text             passes = { 0 };
    passes_print(so.exec.off, &passes);
    o.passes = passes.at;
    pastiche_model *m = pastiche_load(path, &o, &text);
    text_free(&passes);
    fputs(text ? text : "", stderr);
    free(text);
    *status = 1;
    return m;
}

/* ---- one run ---- */

static bool write_output(pastiche_model *m, pastiche_program *p, int i, const char *path, const pastiche_tensor *out)
{
    Tensor t = { .dtype = (Dtype)out->dtype, .rank = out->rank, .data = out->data };
    Status st = { 0 };
    if (path_is_picture(path))
        return pastiche_write_image(p, i, path, out) || !complain("%s", pastiche_error(m));
    memcpy(t.shape, out->shape, sizeof t.shape);
    if (!path_has_ext(path, "npy"))
        return !complain("%s: an output is a .png, .jpg or .npy file", path);
    return npy_write(path, &t, &st) || !complain("%s", st.message);
}

/* outputs beyond the first go beside it: out.png, out.NAME.png */
static char *output_path(const char *path, const char *name, int i)
{
    const char *dot = strrchr(path, '.');
    Text        t = { 0 };
    if (i == 0 || !dot)
        return xstrdup(path);
    text_addn(&t, path, (size_t)(dot - path));
    text_addf(&t, ".%s%s", name, dot);
    return t.at;
}

/* NAME VALUE, one line for all results; of a picture of a folder: its name before them. */
static void print_numbers(const pastiche_program *p, const pastiche_tensor *results, int n, const char *of)
{
    if (of)
        printf("%s", of);
    for (int i = 0; i < n; i++) {
        Tensor t = { .dtype = (Dtype)results[i].dtype, .data = results[i].data };
        printf("%s%s %.9g", i || of ? "  " : "", pastiche_output_name(p, i), tensor_get(&t, 0));
    }
    putchar('\n');
}

/* Without a place for results (out NULL) they are numbers, and are printed. */
static int run_once(pastiche_model *m, pastiche_program *p, const char *const *texts, int64_t count, const char *out, const char *of)
{
    int              n = pastiche_inputs(p), nout = pastiche_outputs(p);
    pastiche_tensor *in = xmalloc(((size_t)n + 1) * sizeof *in), *results = xmalloc(((size_t)nout + 1) * sizeof *results);
    bool             ok = make_inputs(m, p, texts, count, in);
    if (ok && !pastiche_run(p, in, n, results))
        ok = !complain("%s", pastiche_error(m));
    if (ok && !out)
        print_numbers(p, results, nout, of);
    for (int i = 0; i < nout && ok && out; i++) {
        char *path = output_path(out, pastiche_output_name(p, i), i);
        ok = write_output(m, p, i, path, &results[i]);
        free(path);
    }
    for (int i = 0; i < nout; i++)
        free(results[i].data);
    for (int i = 0; i < n; i++)
        free(in[i].data);
    free(in), free(results);
    return ok ? 0 : 1;
}

/* A folder of pictures runs them all, each to a file of its name in the folder `out`, if there is one. A bad one is named and passed over; then the exit status is 1. */
static int run_folder(pastiche_model *m, pastiche_program *p, const char **texts, int at, int64_t count, const char *out)
{
    const char *folder = texts[at];
    FileNames   names = { 0 };
    int         status = 0;
    Status      st = { 0 };
    if (!list_inputs(folder, &names))
        return 1;
    if (out && !dirs_make(out, &st))
        status = complain("%s", st.message);
    for (uint32_t i = 0; i < names.n && !st.failed; i++) {
        char *from = path_join(folder, names.at[i]), *to = out ? path_join(out, names.at[i]) : NULL;
        texts[at] = from;
        status |= run_once(m, p, texts, count, to, names.at[i]);
        free(from), free(to);
    }
    texts[at] = folder;
    files_free(&names);
    return status;
}

static bool all_numbers(const pastiche_program *p)
{
    for (int i = 0; i < pastiche_outputs(p); i++)
        if (pastiche_output_info(p, i).rank)
            return false;
    return true;
}

int command_run(int argc, char **argv)
{
    static const Option options[] = {
        { "-o", "OUT", "where the result goes: .png, .jpg or .npy, or a folder for a folder; numbers are printed without it" },
        { "--weights", "[NET=]FILE", "a training run's weights, one net's, or NET=random; may be repeated" },
        { "--count", "N", "items to make where the file leaves their number free (default: as another input has, or 1)" },
        SESSION_OPTIONS,
        EXEC_OPTIONS,
    };
    static const Command c = { "run", "FILE EXPORT [[NAME=]INPUT]... [-o OUT] [--weights FILE.safetensors]...",
                               "Runs an export; the NAME of a trained network (`pastiche models`) stands for FILE, EXPORT and weights. An INPUT is a .png, .jpg or .npy file, a number, a [list, of, numbers] or of such lists, normal:SEED, or a folder of pictures.\n"
                               "8-bit pixels map by the type's `in [a, b]`; .npy arrays are taken as they are. Outputs clip to their range.",
                               options, COUNT(options), 2, -1 };
    static Given g;
    int64_t      count = 0;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    if (!number_option(&g, "--count", 1, 100000, &count))
        return 2;
    const char *out = option_value(&g, "-o");
    if (out && *path_base(out) && strchr(path_base(out), '.') && !path_is_picture(out) && !path_has_ext(out, "npy") && !path_is_folder(out))
        return complain("%s: an output is a .png, .jpg or .npy file", out);
    pastiche_model *m = open_model(&g, &status);
    if (!m)
        return status;
    pastiche_program *p = NULL;
    status = read_given_weights(m, &g);
    if (status == 0 && !(p = pastiche_compile(m, g.words[1])))
        status = complain("%s", pastiche_error(m));
    if (status == 0) {
        int          n = pastiche_inputs(p), folder = -1;
        const char **texts = xmalloc(((size_t)n + 1) * sizeof *texts);
        if (!out && !all_numbers(p))
            complain("say where the result goes: -o OUT.png"), status = 2;
        else if (!has_weights(p))
            status = 1;
        else
            status = place_inputs(p, &g, texts);
        for (int i = 0; i < n && status == 0; i++)
            if (texts[i] && path_is_folder(texts[i]))
                folder = i;
        if (status == 0)
            status = folder >= 0 ? run_folder(m, p, texts, folder, count, out) : run_once(m, p, texts, count, out, NULL);
        free(texts);
    }
    pastiche_free(m);
    return status;
}
