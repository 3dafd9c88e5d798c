/* listed.c - reads models.list (listed.h) in place: fields point into its text. */
#include "listed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

enum { LIST_CAP = 1 << 20 };

char *listed_folder(void)
{
    static const char *const places[] = { "../graphs/trained", "../share/pastiche/trained" };
    const char *asked = getenv("PASTICHE_MODELS");
    if (asked && *asked)
        return xstrdup(asked);
    char    self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return NULL;
    self[n] = 0;
    char *folder = path_folder(self), *found = NULL;
    for (size_t i = 0; i < COUNT(places) && !found; i++) {
        char *at = path_join(folder, places[i]), *list = path_join(at, "models.list");
        if (path_is_file(list))
            found = at;
        else
            free(at);
        free(list);
    }
    free(folder);
    return found;
}

/* Cuts the text at the next `end`; NULL when there is none. The piece is without blanks around it. */
static char *take_field(char **at, char end)
{
    char *start = *at + strspn(*at, " \t"), *stop = strchr(start, end);
    if (!stop)
        return NULL;
    *at = stop + 1;
    while (stop > start && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r'))
        stop--;
    *stop = 0;
    return start;
}

static bool take_settings(Listed *e, char *text)
{
    int n = 0;
    for (char *s = strtok(text, " \t"); s; s = strtok(NULL, " \t")) {
        if (!strcmp(s, "-"))
            continue;
        if (n == MOST_SETTINGS || !strchr(s, '='))
            return false;
        e->settings[n++] = s;
    }
    return true;
}

static bool take_entry(ListedModels *l, const char *folder, char *line, int number, Status *st)
{
    enum { NAME, GRAPH, EXPORT, WEIGHTS, SETTINGS, FIELDS };
    char  *field[FIELDS];
    Listed e = { 0 };
    for (int i = 0; i < FIELDS; i++)
        if (!(field[i] = take_field(&line, '|')) || !*field[i])
            return status_fail(st, "%s:%d: an entry is: name | graph | export | weights | settings | what it does", l->path, number);
    e.name = field[NAME];
    if (strpbrk(e.name, "/. \t") || listed_find(l, e.name))
        return status_fail(st, "%s:%d: '%s' %s", l->path, number, e.name, strpbrk(e.name, "/. \t") ? "is no name: letters, digits, - and _" : "is listed twice");
    if (!take_settings(&e, field[SETTINGS]))
        return status_fail(st, "%s:%d: settings are NAME=VALUE between blanks, at most %d, or -", l->path, number, MOST_SETTINGS);
    e.export = field[EXPORT];
    e.text = line + strspn(line, " \t");
    e.graph = path_join(folder, field[GRAPH]);
    e.weights = path_join(folder, field[WEIGHTS]);
    vec_push(&l->entries, e);
    return true;
}

bool listed_read(const char *folder, ListedModels *out, Status *st)
{
    size_t n;
    *out = (ListedModels){ .path = path_join(folder, "models.list") };
    if (!file_read(out->path, LIST_CAP, &out->bytes, &n, st))
        return false;
    int number = 0;
    for (char *line = (char *)out->bytes, *next; line; line = next) {
        number++;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line += strspn(line, " \t\r");
        if (*line && *line != '#' && !take_entry(out, folder, line, number, st))
            return false;
    }
    return true;
}

void listed_free(ListedModels *l)
{
    for (uint32_t i = 0; i < l->entries.n; i++) {
        free(l->entries.at[i].graph);
        free(l->entries.at[i].weights);
    }
    vec_free(&l->entries);
    free(l->bytes);
    free(l->path);
    *l = (ListedModels){ 0 };
}

const Listed *listed_find(const ListedModels *l, const char *name)
{
    for (uint32_t i = 0; i < l->entries.n; i++)
        if (!strcmp(l->entries.at[i].name, name))
            return &l->entries.at[i];
    return NULL;
}
