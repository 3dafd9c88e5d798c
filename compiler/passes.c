/* passes.c - the names of passes.def: read, listed, told apart from misspellings. */
#include "passes.h"

#include <string.h>

static const struct { const char *name, *group, *text; } rows[] = {
#define PASS(name, group, text) { #name, #group, text },
#include "passes.def"
#undef PASS
};
_Static_assert(COUNT(rows) <= 32, "a bit for each pass");

static const char *const groups[] = { "simplify", "kernels", "all" };

const char *pass_name(PassName p) { return rows[p].name; }

/* The passes that a name stands for; 0: none has it. */
static Passes named(const char *name)
{
    Passes set = 0;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!strcmp(name, rows[i].name) || !strcmp(name, rows[i].group) || !strcmp(name, "all"))
            set |= pass_bit((PassName)i);
    return set;
}

static bool unknown(const char *name, Status *st)
{
    const char *names[COUNT(rows) + COUNT(groups)];
    Text        list = { 0 };
    for (size_t i = 0; i < COUNT(names); i++) {
        names[i] = i < COUNT(rows) ? rows[i].name : groups[i - COUNT(rows)];
        text_addf(&list, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = nearest_word(name, names, COUNT(names));
    status_fail(st, "no pass is called '%s'; there are: %s%s%s%s", name, list.at, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    text_free(&list);
    return false;
}

bool passes_parse(const char *text, Passes *off, Status *st)
{
    Passes now = *off;
    for (const char *p = text;;) {
        char   name[64];
        size_t n = strcspn(p, ",");
        bool   minus = *p == '-', sign = minus || *p == '+';
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n - sign : sizeof name - 1), p + sign);
        Passes set = named(name);
        if (!set)
            return unknown(name, st);
        now = minus ? now | set : now & ~set;
        p += n;
        if (!*p++)
            break;
    }
    *off = now;
    return true;
}

void passes_print(Passes off, Text *out)
{
    const char *comma = "";
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!pass_on(off, (PassName)i)) {
            text_addf(out, "%s-%s", comma, rows[i].name);
            comma = ",";
        }
}

void passes_manual(Text *out)
{
    text_add(out, "--passes=-NAME,... switches passes off; results stay the same within rounding. What is done without each:\n");
    for (size_t g = 0; g + 1 < COUNT(groups); g++) {
        text_addf(out, "\n%s\n", groups[g]);
        for (size_t i = 0; i < COUNT(rows); i++)
            if (!strcmp(rows[i].group, groups[g]))
                text_addf(out, "  %-10s %s\n", rows[i].name, rows[i].text);
    }
    text_add(out, "\n-simplify, -kernels and -all stand for all of a group, +NAME switches on again: --passes=-all,+layout\n");
}
