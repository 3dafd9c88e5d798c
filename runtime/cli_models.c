/* cli_models.c - pastiche models, and a listed name in place of FILE and EXPORT. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "listed.h"

/* What stands for words of the command line lives as long as they do. */
static ListedModels in_use;

static bool takes_export(const Command *c)
{
    static const char *const commands[] = { "run", "eval", "bench", "profile", "explain" };
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!strcmp(c->command, commands[i]))
            return true;
    return false;
}

/* A word that is no path of a file that is there. */
static bool may_be_listed(const char *word) { return !strpbrk(word, "/.") && !path_is_file(word); }

static bool unknown_name(const char *word)
{
    const char **names = xmalloc((in_use.entries.n + 1) * sizeof *names);
    for (uint32_t i = 0; i < in_use.entries.n; i++)
        names[i] = in_use.entries.at[i].name;
    const char *near = nearest_word(word, names, in_use.entries.n);
    complain("'%s' is neither a file nor a network that is listed%s%s%s (`pastiche models` shows those)", word, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    free(names);
    return false;
}

bool expand_listed(Given *g)
{
    if (!takes_export(g->command) || !g->nwords || !may_be_listed(g->words[0]))
        return true;
    Status st = { 0 };
    char  *folder = listed_folder();
    bool   read = folder && listed_read(folder, &in_use, &st);
    free(folder);
    if (st.failed)
        return complain("%s", st.message), false;
    const Listed *e = read ? listed_find(&in_use, g->words[0]) : NULL;
    if (!e)
        return unknown_name(g->words[0]);
    int nset = 0, mine = 0, nweights = 0;
    while (g->set[nset])
        nset++;
    while (g->weights[nweights])
        nweights++;
    while (e->settings[mine])
        mine++;
    if (g->nwords == COUNT(g->words) || nset + mine > MAX_GIVEN || nweights == MAX_GIVEN)
        return complain("too many arguments"), false;
    memmove(g->words + 2, g->words + 1, sizeof *g->words * (size_t)(g->nwords++ - 1));
    g->words[0] = e->graph;
    g->words[1] = e->export;
    memmove(g->set + mine, g->set, sizeof *g->set * (size_t)(nset + 1));     /* the user's come last and win */
    memcpy(g->set, e->settings, sizeof *g->set * (size_t)mine);
    memmove(g->weights + 1, g->weights, sizeof *g->weights * (size_t)(nweights + 1));
    g->weights[0] = e->weights;
    return true;
}

static void print_entry(const Listed *e, bool json, bool first)
{
    if (!json) {
        printf("%-14s %s\n", e->name, e->text);
        return;
    }
    Text t = { 0 };
    text_add(&t, first ? "{\"name\": " : ",\n {\"name\": ");
    text_json(&t, e->name);
    text_add(&t, ", \"graph\": ");
    text_json(&t, e->graph);
    text_add(&t, ", \"export\": ");
    text_json(&t, e->export);
    text_add(&t, ", \"weights\": ");
    text_json(&t, e->weights);
    text_add(&t, ", \"settings\": [");
    for (int i = 0; e->settings[i]; i++) {
        text_add(&t, i ? ", " : "");
        text_json(&t, e->settings[i]);
    }
    text_add(&t, "], \"what\": ");
    text_json(&t, e->text);
    text_add(&t, "}");
    fputs(t.at, stdout);
    text_free(&t);
}

int command_models(int argc, char **argv)
{
    static const Option  options[] = { { "--json", NULL, "with graph, export, weights and settings of each" } };
    static const Command c = { "models", "[--json]", "The networks that come trained: `pastiche run NAME photo.jpg -o out.png`.", options, COUNT(options), 0, 0 };
    static Given g;
    ListedModels l = { 0 };
    Status       st = { 0 };
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    char *folder = listed_folder();
    bool  json = option_given(&g, "--json"), ok = folder ? listed_read(folder, &l, &st) : !complain("no list of trained networks was found; PASTICHE_MODELS names the folder of one");
    if (st.failed)
        complain("%s", st.message);
    if (ok && json)
        fputs("[", stdout);
    for (uint32_t i = 0; ok && i < l.entries.n; i++)
        print_entry(&l.entries.at[i], json, i == 0);
    if (ok && json)
        puts("]");
    listed_free(&l);
    free(folder);
    return ok ? 0 : 1;
}
