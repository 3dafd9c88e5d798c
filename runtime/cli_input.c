/* cli_input.c - from words of the command line to an export's inputs. */
#include "cli_input.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

static void free_sizes(const pastiche_info *info, int64_t count, int64_t *shape)
{
    for (int i = 0; i < info->rank; i++)
        shape[i] = info->shape[i] >= 0 ? info->shape[i] : i == 0 ? count : 1;
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

/* Input i of a program from what the command line says. */
static bool make_input(pastiche_model *m, pastiche_program *p, int i, const char *text, int64_t count, pastiche_tensor *in)
{
    pastiche_info info = pastiche_input_info(p, i);
    char          number[64];
    Tensor        t = { 0 };
    Status        st = { 0 };
    if (text && path_is_picture(text))
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

/* Files and lists have a size of their own; numbers and normal:SEED take the one wanted. */
static bool has_own_size(const char *text)
{
    return text && (path_is_picture(text) || text[0] == '[' || path_has_ext(text, "npy"));
}

bool make_inputs(pastiche_model *m, pastiche_program *p, const char *const *texts, int64_t count, pastiche_tensor *in)
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

int place_inputs(const pastiche_program *p, const Given *g, const char **texts)
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

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool list_inputs(const char *folder, FileNames *names)
{
    DIR *d = opendir(folder);
    if (!d)
        return !complain("%s: cannot be read: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d));)
        if (path_is_picture(e->d_name) || path_has_ext(e->d_name, "npy"))
            vec_push(names, xstrdup(e->d_name));
    closedir(d);
    if (!names->n)
        return !complain("%s: no .png, .jpg or .npy files in it", folder);
    qsort(names->at, names->n, sizeof *names->at, by_name);
    return true;
}
