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

enum { LIST_MOST = 4096 };

/* A list of numbers, or of lists of one shape: shape[0..rank). */
typedef struct { double v[LIST_MOST]; int64_t n, shape[MAX_RANK]; int rank; const char *name, *text; Status *st; } List;

static const char *wrong_list(const List *l, const char *why)
{
    status_fail(l->st, "'%s': '%s' %s", l->name, l->text, why);
    return NULL;
}

static const char *after_gaps(const char *p)
{
    while (*p == ' ' || *p == ',')
        p++;
    return p;
}

/* From behind a '[' to behind its ']'; NULL after a failure. */
static const char *read_level(const char *p, int level, List *l)
{
    int64_t items = 0;
    for (p = after_gaps(p); *p && *p != ']'; p = after_gaps(p), items++) {
        bool  leaf = *p != '[';
        char *end;
        if (l->rank && leaf != (level == l->rank - 1))
            return wrong_list(l, "holds both numbers and lists");
        if (!leaf && level == MAX_RANK - 1)
            return wrong_list(l, "is too deep");
        if (!leaf) {
            if (!(p = read_level(p + 1, level + 1, l)))
                return NULL;
            continue;
        }
        if (l->n == LIST_MOST) {
            status_fail(l->st, "'%s': a list has at most %d numbers; use a .npy file", l->name, LIST_MOST);
            return NULL;
        }
        l->rank = level + 1;
        l->v[l->n++] = strtod(p, &end);
        if (end == p)
            return wrong_list(l, "is not a list of numbers such as [1, 2], or of such lists");
        p = end;
    }
    if (!*p)
        return wrong_list(l, "has no closing bracket");
    if (level && !items)
        return wrong_list(l, "holds an empty list");
    if (l->shape[level] >= 0 && l->shape[level] != items)
        return wrong_list(l, "holds lists of different lengths");
    l->shape[level] = items;
    return p + 1;
}

/* A plain list gives the numbers of any shape in order; one of lists has the shape, too. */
static bool read_list(const char *text, const pastiche_info *info, int64_t count, Tensor *t, const char *name, Status *st)
{
    List    l = { .name = name, .text = text, .st = st };
    int64_t shape[MAX_RANK];
    for (int i = 0; i < MAX_RANK; i++)
        l.shape[i] = -1;
    const char *end = read_level(text + 1, 0, &l);
    if (!end)
        return false;
    if (*end) {
        wrong_list(&l, "is not a list of numbers such as [1, 2], or of such lists");
        return false;
    }
    if (l.rank > 1 && l.rank != info->rank)
        return status_fail(st, "'%s' has %d ax%s, the list %d", name, info->rank, info->rank == 1 ? "is" : "es", l.rank);
    free_sizes(info, info->rank == 1 && info->shape[0] < 0 ? l.n : count, shape);
    if (!tensor_alloc(t, (Dtype)info->dtype, info->rank, l.rank > 1 ? l.shape : shape, st))
        return false;
    if (tensor_count(t) != l.n)
        return status_fail(st, "'%s' has %lld elements, the list %lld", name, (long long)tensor_count(t), (long long)l.n);
    for (int64_t i = 0; i < l.n; i++)
        tensor_set(t, i, l.v[i]);
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
