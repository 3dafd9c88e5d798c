/* cli_size.c - --size INPUT=1x3x512x512: how large the inputs of a step or an export are, where its file leaves that open. */
#include "cli_size.h"

#include <stdlib.h>
#include <string.h>

/* "1x3x512x512"; a single number for an integer input */
static bool parse_size(const char *text, int64_t *size, int *rank)
{
    *rank = 0;
    for (const char *p = text;; p++) {
        char     *end;
        long long v = strtoll(p, &end, 10);
        if (end == p || v < 1 || v > 1 << 30 || *rank == MAX_RANK)
            return false;
        size[(*rank)++] = v;
        if (!*end)
            return true;
        if (*end != 'x')
            return false;
        p = end;
    }
}

static void pattern_text(const Graph *g, const GraphInput *in, Text *out)
{
    for (int i = 0; i < in->rank; i++) {
        text_add(out, i ? "x" : "");
        dim_print(g->dims, in->shape[i], out);
    }
}

/* The --size of an input, or NULL. */
static const char *given_size(const Given *g, const char *input)
{
    size_t      n = strlen(input);
    const char *size = NULL;
    for (int i = 0; i < g->ngiven; i++)
        if (!strcmp(g->given[i].option->name, "--size") && !strncmp(g->given[i].value, input, n) && g->given[i].value[n] == '=')
            size = g->given[i].value + n + 1;
    return size;
}

bool known_sizes(const Given *g, Graph *const *graphs, uint32_t ngraphs, const char *where, Status *st)
{
    for (int i = 0; i < g->ngiven; i++) {
        const char *names[64], *eq = strchr(g->given[i].value ? g->given[i].value : "", '=');
        bool        found = strcmp(g->given[i].option->name, "--size") != 0;
        char        name[128];
        uint32_t    n = 0;
        snprintf(name, sizeof name, "%.*s", eq ? (int)(eq - g->given[i].value) : 0, g->given[i].value ? g->given[i].value : "");
        for (uint32_t k = 0; k < ngraphs; k++)
            for (uint32_t j = 0; j < graphs[k]->inputs.n; j++) {
                found |= !strcmp(name, graphs[k]->inputs.at[j].name);
                if (n < COUNT(names))
                    names[n++] = graphs[k]->inputs.at[j].name;
            }
        if (!found) {
            const char *near = nearest_word(name, names, n);
            return status_fail(st, "--size %s: '%s' has no input '%s'%s%s%s", g->given[i].value, where, name, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    return true;
}

bool input_size(const Given *given, const Graph *g, uint32_t input, int64_t *size, Status *st)
{
    const GraphInput *in = &g->inputs.at[input];
    const char       *text = given_size(given, in->name);
    int               rank = in->rank;
    bool              whole = in->kind == IN_INT, ok = true;
    Text              pattern = { 0 };
    pattern_text(g, in, &pattern);
    size[0] = 0;
    if (text) {
        ok = parse_size(text, size, &rank) && rank == (whole ? 1 : in->rank);
        for (int k = 0; ok && k < in->rank; k++) {
            int64_t fixed;
            ok = !dim_is_const(g->dims, in->shape[k], &fixed) || fixed == size[k];
        }
        if (!ok)
            status_fail(st, "--size %s=%s: '%s' is %s%s", in->name, text, in->name, whole ? "a whole number above 0" : in->rank ? "of size " : "one number", in->rank ? pattern.at : "");
    } else {
        for (int k = 0; ok && k < in->rank; k++)
            ok = dim_is_const(g->dims, in->shape[k], &size[k]);
        ok = ok && !whole;
        if (!ok)
            status_fail(st, "say how large '%s' is: --size %s=%s", in->name, in->name, whole ? "16" : pattern.at);
    }
    text_free(&pattern);
    return ok;
}

void fill_random(Tensor *t, double lo, double hi)
{
    uint32_t dice = 1;
    for (int64_t k = 0, n = t->dtype == DT_F32 ? tensor_count(t) : 0; k < n; k++) {
        dice = dice * 1664525u + 1013904223u;
        tensor_set(t, k, lo + (hi - lo) * (double)(dice >> 8) / 16777216.0);
    }
}

bool random_input(const Given *given, const Graph *g, uint32_t input, Tensor *t, Status *st)
{
    const GraphInput *in = &g->inputs.at[input];
    int64_t           size[MAX_RANK];
    bool              whole = in->kind == IN_INT;
    if (!input_size(given, g, input, size, st) || !tensor_alloc(t, (Dtype)in->dtype, in->rank, size, st))
        return false;
    if (whole || in->has_default)
        tensor_set(t, 0, whole ? (double)size[0] : in->deflt);
    else
        fill_random(t, in->ranged ? in->lo : -1, in->ranged ? in->hi : 1);           /* whole numbers: zeros, which any table has */
    return true;
}
