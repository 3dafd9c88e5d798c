/* cli.c - options, help and what the commands share. */
#include "cli.h"

#include "../compiler/tune_db.h"

#include <stdlib.h>
#include <string.h>

int complain(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("pastiche: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return 1;
}

static void print_help(const Command *c)
{
    printf("%s\n\nUsage: pastiche %s %s\n", c->summary, c->command, c->usage);
    if (c->noptions)
        printf("\nOptions:\n");
    for (int i = 0; i < c->noptions; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", c->options[i].name, c->options[i].value ? " " : "", c->options[i].value ? c->options[i].value : "");
        printf("  %-30s %s\n", left, c->options[i].help);
    }
    printf("  %-30s %s\n", "--help", "this text");
}

static const Option *find_option(const Command *c, const char *name, size_t len)
{
    for (int i = 0; i < c->noptions; i++)
        if (strlen(c->options[i].name) == len && !strncmp(c->options[i].name, name, len))
            return &c->options[i];
    return NULL;
}

static int unknown_option(const Command *c, const char *word)
{
    const char *names[64];
    int         n = 0;
    for (; n < c->noptions && n < 64; n++)
        names[n] = c->options[n].name;
    const char *near = nearest_word(word, names, (size_t)n);
    complain("%s has no option '%s'%s%s%s", c->command, word, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    fprintf(stderr, "Usage: pastiche %s %s\n", c->command, c->usage);
    return 2;
}

static void collect(const Given *g, const char *name, const char **out)
{
    int n = 0;
    for (int i = 0; i < g->ngiven; i++)
        if (!strcmp(g->given[i].option->name, name))
            out[n++] = g->given[i].value;
    out[n] = NULL;
}

int parse_options(const Command *c, int argc, char **argv, Given *g)
{
    *g = (Given){ .command = c };
    bool words_only = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!words_only && (!strcmp(a, "--help") || !strcmp(a, "-h"))) {
            print_help(c);
            return 0;
        }
        if (!words_only && !strcmp(a, "--")) {
            words_only = true;
            continue;
        }
        if (words_only || a[0] != '-' || !a[1] || (a[1] >= '0' && a[1] <= '9') || a[1] == '.') {
            if (g->nwords == COUNT(g->words))
                return complain("too many arguments");
            g->words[g->nwords++] = a;
            continue;
        }
        size_t        len = a[1] == '-' ? strcspn(a, "=") : strlen(a);
        const Option *o = find_option(c, a, len);
        if (!o)
            return unknown_option(c, a);
        const char *value = a[len] == '=' ? a + len + 1 : NULL;
        if (o->value && !value) {
            if (i + 1 == argc) {
                complain("%s needs a value: %s %s", o->name, o->name, o->value);
                return 2;
            }
            value = argv[++i];
        } else if (!o->value && value) {
            complain("%s takes no value", o->name);
            return 2;
        }
        if (g->ngiven == MAX_GIVEN) {
            complain("more than %d options", MAX_GIVEN);
            return 2;
        }
        g->given[g->ngiven].option = o;
        g->given[g->ngiven++].value = value;
    }
    collect(g, "--set", g->set);
    collect(g, "--data", g->data);
    collect(g, "--weights", g->weights);
    if (!expand_listed(g))
        return 2;
    if (g->nwords < c->least || (c->most >= 0 && g->nwords > c->most)) {
        complain("%s: %s", c->command, g->nwords < c->least ? "something is missing" : "too many arguments");
        fprintf(stderr, "Usage: pastiche %s %s\n", c->command, c->usage);
        return 2;
    }
    return -1;
}

const char *option_value(const Given *g, const char *name)
{
    const char *v = NULL;
    for (int i = 0; i < g->ngiven; i++)
        if (!strcmp(g->given[i].option->name, name))
            v = g->given[i].value;
    return v;
}

bool option_given(const Given *g, const char *name)
{
    for (int i = 0; i < g->ngiven; i++)
        if (!strcmp(g->given[i].option->name, name))
            return true;
    return false;
}

bool number_option(const Given *g, const char *name, int64_t low, int64_t high, int64_t *v)
{
    const char *text = option_value(g, name);
    char       *end;
    if (!text)
        return true;
    long long x = strtoll(text, &end, 10);
    if (*end || end == text || x < low || x > high) {
        complain("%s takes a whole number from %lld to %lld, not '%s'", name, (long long)low, (long long)high, text);
        return false;
    }
    *v = x;
    return true;
}

/* "512MiB", "2GiB", "65536KiB": --memory-budget in bytes; 0 when it is not given. */
static bool memory_budget(const Given *g, int64_t *bytes)
{
    const char *text = option_value(g, "--memory-budget");
    static const struct { const char *name; double bytes; } units[] = { { "KiB", 1024 }, { "MiB", 1048576 }, { "GiB", 1073741824 } };
    *bytes = 0;
    if (!text)
        return true;
    char  *end;
    double v = strtod(text, &end);
    for (size_t i = 0; i < COUNT(units); i++)
        if (end > text && v > 0 && v * units[i].bytes >= 1 && v * units[i].bytes < 9e15 && !strcmp(end, units[i].name)) {
            *bytes = (int64_t)(v * units[i].bytes);
            return true;
        }
    complain("--memory-budget takes a size such as 512MiB or 1.5GiB, not '%s'", text);
    return false;
}

bool session_options(const Given *g, SessionOptions *o)
{
    int64_t     threads = 0, seed = 0;
    const char *backend = option_value(g, "--backend");
    *o = (SessionOptions){ .set = g->set, .data = g->data, .strict = option_given(g, "--strict") };
    if (!number_option(g, "--threads", 1, 1024, &threads) || !number_option(g, "--seed", 0, INT64_MAX, &seed))
        return false;
    if (backend && strcmp(backend, "native") && strcmp(backend, "reference")) {
        complain("--backend is native or reference, not '%s'", backend);
        return false;
    }
    const char *cpu = option_value(g, "--cpu");
    if (cpu && strcmp(cpu, "avx512") && strcmp(cpu, "avx2") && strcmp(cpu, "baseline")) {
        complain("--cpu is avx512, avx2 or baseline, not '%s'", cpu);
        return false;
    }
    Status st = { 0 };
    Passes off = 0;
    const TuneDb *tuned = tune_db_default();
    if (tuned && tune_db_warning(tuned))
        fprintf(stderr, "pastiche: warning: %s\n", tune_db_warning(tuned));
    for (int i = 0; i < g->ngiven; i++)
        if (!strcmp(g->given[i].option->name, "--passes") && !passes_parse(g->given[i].value, &off, &st)) {
            complain("--passes %s: %s", g->given[i].value, st.message);
            return false;
        }
    o->exec = (ExecOptions){ .backend = backend && backend[0] == 'r' ? BACKEND_REFERENCE : BACKEND_NATIVE, .threads = (int)threads, .cpu = cpu, .exact = option_given(g, "--exact"), .off = off,
                             .no_cache = option_given(g, "--no-cache"), .debug_kernels = option_given(g, "--debug-kernels") };
    if (!memory_budget(g, &o->exec.memory_budget))
        return false;
    o->seed = (uint64_t)seed;
    return true;
}

bool open_session(const Given *g, bool tests, Session *s)
{
    SessionOptions o;
    Status         st = { 0 };
    if (!session_options(g, &o))
        return false;
    o.tests = tests;
    bool ok = session_open(s, g->words[0], &o, &st);
    Text text = { 0 };
    if (option_given(g, "--json") && s->diags.errors) {
        diags_json(&s->diags, &text);
        printf("{\"diagnostics\": %s}\n", text.at);
    } else {
        diags_print(&s->diags, &text);
        fputs(text.n ? text.at : "", stderr);
    }
    text_free(&text);
    if (!ok) {
        complain("%s", st.message);
        session_close(s);
    }
    return ok;
}
