/* cli_run.c - pastiche run, over the public API: pictures, arrays, numbers in; pictures or arrays out. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../include/pastiche.h"
#include "cli.h"
#include "files.h"
#include "npy.h"

/* ---- weights: FILE, NET=FILE, NET=random; net names that got some are noted in `given` ---- */

int read_given_weights(pastiche_model *m, const Given *g, Text *given)
{
    for (int i = 0; g->weights[i]; i++) {
        char        net[128];
        const char *path;
        bool        named = split_setting(g->weights[i], net, sizeof net, &path) && !strchr(net, '/') && !strchr(net, '.');
        bool        ok = !named ? pastiche_read_weights(m, NULL, g->weights[i]) : !strcmp(path, "random") ? pastiche_random_weights(m, net) : pastiche_read_weights(m, net, path);
        if (!ok)
            return complain("%s", pastiche_error(m));
        if (given)
            text_addf(given, "%s,", named ? net : "*");
    }
    return 0;
}

/* The model of words[0], diagnostics printed. NULL: complaints were printed and *status is set. */
pastiche_model *open_model(const Given *g, int *status)
{
    SessionOptions so;
    *status = 2;
    if (!session_options(g, &so))
        return NULL;
    pastiche_options o = { .set = g->set, .data = g->data, .reference = so.exec.backend == BACKEND_REFERENCE, .threads = so.exec.threads, .cpu = so.exec.cpu, .exact = so.exec.exact, .no_cache = so.exec.no_cache, .debug_kernels = so.exec.debug_kernels, .memory_budget = so.exec.memory_budget,
                           .seed = so.seed, .strict = so.strict };
    char            *text = NULL;
    Text             passes = { 0 };
    passes_print(so.exec.off, &passes);
    o.passes = passes.at;
    pastiche_model *m = pastiche_load(g->words[0], &o, &text);
    text_free(&passes);
    fputs(text ? text : "", stderr);
    free(text);
    *status = 1;
    return m;
}

/* ---- inputs ---- */


static bool is_picture(const char *p)
{
    return path_has_ext(p, "png") || path_has_ext(p, "jpg") || path_has_ext(p, "jpeg");
}

static bool free_sizes(const pastiche_info *info, int64_t count, int64_t *shape)
{
    for (int i = 0; i < info->rank; i++)
        shape[i] = info->shape[i] >= 0 ? info->shape[i] : i == 0 ? count : 1;
    return true;
}

static bool read_list(const char *text, const pastiche_info *info, int64_t count, Tensor *t, const char *name, Status *st)
{
    int64_t shape[MAX_RANK], n = 0;
    double  v[4096];
    const char *p = text + 1;
    while (*p && *p != ']') {
        char *end;
        if (n == (int64_t)COUNT(v))
            return status_fail(st, "'%s': a list has at most %zu numbers; use a .npy file", name, COUNT(v));
        v[n++] = strtod(p, &end);
        if (end == p)
            return status_fail(st, "'%s': '%s' is not a list of numbers such as [1, 2]", name, text);
        for (p = end; *p == ' ' || *p == ','; p++)
            ;
    }
    if (strcmp(p, "]"))
        return status_fail(st, "'%s': '%s' is not a list of numbers such as [1, 2]", name, text);
    free_sizes(info, info->rank == 1 && info->shape[0] < 0 ? n : count, shape);
    if (!tensor_alloc(t, (Dtype)info->dtype, info->rank, shape, st))
        return false;
    if (tensor_count(t) != n)
        return status_fail(st, "'%s' has %lld elements, the list %lld", name, (long long)tensor_count(t), (long long)n);
    for (int64_t i = 0; i < n; i++)
        tensor_set(t, i, v[i]);
    return true;
}

static bool read_input(const char *text, const pastiche_info *info, int64_t count, const char *name, Tensor *t, Status *st)
{
    char   *end;
    int64_t shape[MAX_RANK];
    double  number = strtod(text, &end);
    if (!*end && end != text) {
        free_sizes(info, count, shape);
        if (!tensor_alloc(t, (Dtype)info->dtype, info->rank, shape, st))
            return false;
        for (int64_t i = 0; i < tensor_count(t); i++)
            tensor_set(t, i, number);
        return true;
    }
    if (text[0] == '[')
        return read_list(text, info, count, t, name, st);
    if (!strncmp(text, "normal:", 7)) {
        unsigned long long seed = strtoull(text + 7, &end, 10);
        if (*end || end == text + 7)
            return status_fail(st, "'%s': write normal:SEED, for example normal:7", name);
        free_sizes(info, count, shape);
        if (!tensor_alloc(t, DT_F32, info->rank, shape, st))
            return false;
        for (int64_t i = 0; i < tensor_count(t); i++)
            ((float *)t->data)[i] = rng_normal((Rng){ seed, 0 }, 0, (uint64_t)i);
        return true;
    }
    if (path_has_ext(text, "npy")) {
        Tensor raw = { 0 };
        bool   ok = npy_read(text, &raw, st) && tensor_copy(t, &raw, (Dtype)info->dtype, st);
        tensor_free(&raw);
        return ok;
    }
    return status_fail(st, "input '%s': '%s' is no .png, .jpg or .npy file, number, [list] or normal:SEED", name, text);
}

/* ---- one run ---- */

/* Input i of a program from what the command line says. */
static bool make_input(pastiche_model *m, pastiche_program *p, int i, const char *text, int64_t count, pastiche_tensor *in)
{
    pastiche_info info = pastiche_input_info(p, i);
    char          number[64];
    Tensor        t = { 0 };
    Status        st = { 0 };
    if (text && is_picture(text))
        return pastiche_read_image(p, i, text, in) || !complain("%s", pastiche_error(m));
    if (!text)
        snprintf(number, sizeof number, "%.17g", info.value);
    if (!read_input(text ? text : number, &info, count, pastiche_input_name(p, i), &t, &st)) {
        tensor_free(&t);
        return !complain("%s", st.message);
    }
    *in = (pastiche_tensor){ .dtype = (pastiche_dtype)t.dtype, .rank = t.rank, .data = t.data };
    memcpy(in->shape, t.shape, sizeof in->shape);
    return true;
}

static bool write_output(pastiche_model *m, pastiche_program *p, int i, const char *path, const pastiche_tensor *out)
{
    Tensor t = { .dtype = (Dtype)out->dtype, .rank = out->rank, .data = out->data };
    Status st = { 0 };
    if (is_picture(path))
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

/* Files and lists have a size of their own; numbers and normal:SEED take the one wanted. */
static bool has_own_size(const char *text)
{
    return text && (is_picture(text) || text[0] == '[' || path_has_ext(text, "npy"));
}

/* All inputs; the items of those without a size of their own are `count`, or when that is 0 as many as another input has. */
static bool make_inputs(pastiche_model *m, pastiche_program *p, const char *const *texts, int64_t count, pastiche_tensor *in)
{
    int  n = pastiche_inputs(p);
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        if (!has_own_size(texts[i]))
            continue;
        pastiche_info info = pastiche_input_info(p, i);
        ok = make_input(m, p, i, texts[i], count ? count : 1, &in[i]);
        if (ok && !count && info.rank > 0 && info.shape[0] < 0)
            count = in[i].shape[0];
    }
    for (int i = 0; i < n && ok; i++)
        if (!has_own_size(texts[i]))
            ok = make_input(m, p, i, texts[i], count ? count : 1, &in[i]);
    return ok;
}

static int run_once(pastiche_model *m, pastiche_program *p, const char *const *texts, int64_t count, const char *out)
{
    int              n = pastiche_inputs(p), nout = pastiche_outputs(p);
    pastiche_tensor *in = xmalloc(((size_t)n + 1) * sizeof *in), *results = xmalloc(((size_t)nout + 1) * sizeof *results);
    bool             ok = make_inputs(m, p, texts, count, in);
    if (ok && !pastiche_run(p, in, n, results))
        ok = !complain("%s", pastiche_error(m));
    for (int i = 0; i < nout && ok; i++) {
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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A folder of pictures runs them all, each to a file of its name in the folder `out`. A bad one is named and passed over; then the exit status is 1. */
static int run_folder(pastiche_model *m, pastiche_program *p, const char **texts, int at, int64_t count, const char *out)
{
    const char *folder = texts[at];
    DIR        *d = opendir(folder);
    Vec(char *) names = { 0 };
    int    status = 0;
    Status st = { 0 };
    if (!d)
        return complain("%s: cannot be read", folder);
    for (struct dirent *e; (e = readdir(d));)
        if (is_picture(e->d_name) || path_has_ext(e->d_name, "npy"))
            vec_push(&names, xstrdup(e->d_name));
    closedir(d);
    if (!names.n)
        return complain("%s: no .png, .jpg or .npy files in it", folder);
    if (!dirs_make(out, &st))
        return complain("%s", st.message);
    qsort(names.at, names.n, sizeof *names.at, by_name);
    for (uint32_t i = 0; i < names.n; i++) {
        char *from = path_join(folder, names.at[i]), *to = path_join(out, names.at[i]);
        texts[at] = from;
        status |= run_once(m, p, texts, count, to);
        free(from), free(to), free(names.at[i]);
    }
    texts[at] = folder;
    vec_free(&names);
    return status;
}

/* [NAME=]INPUT words to inputs by name, the others in order. */
static int place_inputs(const pastiche_program *p, const Given *g, const char **texts)
{
    int n = pastiche_inputs(p), next = 0;
    for (int w = 2; w < g->nwords; w++) {
        char        name[128];
        const char *rest, *names[64];
        int         at = -1, k = 0;
        bool        named = g->words[w][0] != '[' && split_setting(g->words[w], name, sizeof name, &rest) && !strchr(name, '/') && !strchr(name, '.');
        for (int i = 0; i < n && i < 64; i++) {
            names[k++] = pastiche_input_name(p, i);
            if (named && !strcmp(names[i], name))
                at = i;
        }
        if (named && at < 0) {
            const char *near = nearest_word(name, names, (size_t)k);
            return complain("'%s' has no input '%s'%s%s%s", g->words[1], name, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
        if (!named) {
            while (next < n && texts[next])
                next++;
            if (next >= n)
                return complain("'%s' takes %d input%s; '%s' is one more", g->words[1], n, n == 1 ? "" : "s", g->words[w]);
            at = next++;
            rest = g->words[w];
        }
        if (texts[at])
            return complain("input '%s' is given twice", names[at]);
        texts[at] = rest;
    }
    for (int i = 0; i < n; i++)
        if (!texts[i] && !pastiche_input_info(p, i).has_default)
            return complain("'%s' needs input '%s'", g->words[1], pastiche_input_name(p, i));
    return 0;
}

int command_run(int argc, char **argv)
{
    static const Option options[] = {
        { "-o", "OUT", "where the result goes: .png, .jpg or .npy, or a folder for a folder" },
        { "--weights", "[NET=]FILE", "a training run's weights, one net's, or NET=random; may be repeated" },
        { "--count", "N", "items to make where the file leaves their number free (default: as another input has, or 1)" },
        SESSION_OPTIONS,
        EXEC_OPTIONS,
    };
    static const Command c = { "run", "FILE EXPORT [[NAME=]INPUT]... -o OUT [--weights FILE.safetensors]...",
                               "Runs an export. An INPUT is a .png, .jpg or .npy file, a number, a [list, of, numbers], normal:SEED, or a folder of pictures.\n"
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
    if (!out)
        return complain("say where the result goes: -o OUT.png"), 2;
    if (*path_base(out) && strchr(path_base(out), '.') && !is_picture(out) && !path_has_ext(out, "npy") && !path_is_folder(out))
        return complain("%s: an output is a .png, .jpg or .npy file", out);
    pastiche_model *m = open_model(&g, &status);
    if (!m)
        return status;
    Text              given = { 0 };
    pastiche_program *p = NULL;
    status = read_given_weights(m, &g, &given);
    if (status == 0 && !(p = pastiche_compile(m, g.words[1])))
        status = complain("%s", pastiche_error(m));
    if (status == 0) {
        const char  *missing = pastiche_missing_weights(p, given.n ? given.at : "");
        int          n = pastiche_inputs(p), folder = -1;
        const char **texts = xmalloc(((size_t)n + 1) * sizeof *texts);
        if (missing)
            status = complain("net '%s' has no weights: give --weights FILE.safetensors, or --weights %s=random to try without", missing, missing);
        else
            status = place_inputs(p, &g, texts);
        for (int i = 0; i < n && status == 0; i++)
            if (texts[i] && path_is_folder(texts[i]))
                folder = i;
        if (status == 0)
            status = folder >= 0 ? run_folder(m, p, texts, folder, count, out) : run_once(m, p, texts, count, out);
        free(texts);
    }
    text_free(&given);
    pastiche_free(m);
    return status;
}
