/* case_file.h - a failing case as files: NAME.case for `test_random --replay`, exact; NAME.graph, the same in the graph language, for pastiche itself.
 *
 *   # pastiche case: seed 17, cpu avx2, winograd always, threads 2
 *   # passes -fuse,-layout              what is switched off
 *   # size 2 5 7                        N, H, W
 *   # input 0 scale 1                   numbers of input 0 lie within -1..1 (whole numbers: below it)
 *   # var 0 scale 0.3
 *   graph "case"                        the graph as `pastiche show` prints it
 *   ...
 */
#ifndef PASTICHE_TESTS_CASE_FILE_H
#define PASTICHE_TESTS_CASE_FILE_H

#include "random_check.h"
#include "say_graph.h"
#include "session.h"

static inline void case_print(const Case *c, const CaseSetting *s, Text *out)
{
    text_addf(out, "# pastiche case: seed %llu, cpu %s, winograd %s, threads %d\n# size %lld %lld %lld\n", (unsigned long long)c->seed, s->cpu,
              winograd_name(s->winograd), s->threads, (long long)c->size[0], (long long)c->size[1], (long long)c->size[2]);
    if (s->off) {
        text_add(out, "# passes ");
        passes_print(s->off, out);
        text_add(out, "\n");
    }
    for (uint32_t i = 0; i < c->g->inputs.n; i++)
        text_addf(out, "# input %u scale %.17g\n", i, c->scale[i]);
    for (uint32_t i = 0; i < c->nvars; i++)
        text_addf(out, "# var %u scale %.17g\n", i, c->var_scale[i]);
    graph_print(c->g, NULL, out);
}

/* false: why says what is wrong. cpu is interned. */
static inline bool case_parse(const char *text, DimTable *dims, Case *c, CaseSetting *s, char *why, size_t nwhy)
{
    unsigned long long seed;
    long long          size[3];
    char               cpu[16], winograd[16];
    unsigned           i;
    double             scale;
    *c = (Case){ 0 };
    *s = (CaseSetting){ .fault = OP_const };
    snprintf(why, nwhy, "not a case file");
    if (sscanf(text, "# pastiche case: seed %llu, cpu %15[^,], winograd %15[^,], threads %d\n# size %lld %lld %lld", &seed, cpu, winograd, &s->threads,
               &size[0], &size[1], &size[2]) != 7)
        return false;
    c->seed = seed;
    s->cpu = intern(cpu);
    s->winograd = !strcmp(winograd, "always") ? WINOGRAD_ALWAYS : !strcmp(winograd, "never") ? WINOGRAD_NEVER : WINOGRAD_PAYS;
    for (int k = 0; k < 3; k++)
        c->size[k] = size[k];
    for (; *text == '#'; text += strcspn(text, "\n"), text += *text == '\n') {
        if (sscanf(text, "# input %u scale %lf", &i, &scale) == 2 && i < RG_INPUTS)
            c->scale[i] = scale;
        if (sscanf(text, "# var %u scale %lf", &i, &scale) == 2 && i < RG_INPUTS) {
            c->var_scale[i] = scale;
            c->nvars = i + 1 > c->nvars ? i + 1 : c->nvars;
        }
        if (!strncmp(text, "# passes ", 9)) {
            char   names[400];
            Status st = { 0 };
            snprintf(names, sizeof names, "%.*s", (int)strcspn(text + 9, "\n"), text + 9);
            if (!passes_parse(names, &s->off, &st)) {
                snprintf(why, nwhy, "%.200s", st.message);
                return false;
            }
        }
    }
    c->g = graph_parse(text, dims, why, nwhy);
    return c->g != NULL;
}

/* The graph called "run" of a file that say_case has written, with the numbers of c. The session must live as long. */
static inline bool case_from_session(const Session *s, const Case *c, Case *out, Status *st)
{
    *out = *c;
    out->g = session_find_graph(s, "run", st);
    out->nvars = s->model->vars.n;
    for (uint32_t i = 0; out->g && i < s->model->vars.n && i < RG_INPUTS; i++) {
        const char *v = strrchr(s->model->vars.at[i].name, 'v');
        unsigned    k = v ? (unsigned)strtoul(v + 1, NULL, 10) : 0;
        out->var_scale[i] = k < RG_INPUTS ? c->var_scale[k] : 1;
    }
    return out->g != NULL && out->nvars <= RG_INPUTS;
}

static inline bool text_to_file(const char *path, const Text *t)
{
    FILE *f = fopen(path, "w");
    bool  ok = f && fwrite(t->at, 1, t->n, f) == t->n;
    return f && !fclose(f) && ok;
}

#endif
