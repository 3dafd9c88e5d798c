/* cli_memory.c - pastiche check --memory: what a pass of each step and export takes, and what is alive when it takes most. Planned for given sizes, not run. */
#include <stdlib.h>
#include <string.h>

#include "cli_size.h"

enum { MOST_ROWS = 16 };

static double mib(int64_t bytes) { return (double)bytes / 1048576; }

/* Tensors of the inputs' sizes, without numbers but those that are sizes themselves. */
static bool shape_inputs(const Given *given, const Graph *g, Tensor *inputs, Status *st)
{
    static char nothing[64];
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        int64_t           size[MAX_RANK];
        if (!input_size(given, g, i, size, st))
            return false;
        if (in->kind == IN_INT) {
            if (!tensor_alloc(&inputs[i], DT_I32, 0, NULL, st))
                return false;
            tensor_set(&inputs[i], 0, (double)size[0]);
            continue;
        }
        inputs[i] = (Tensor){ .dtype = in->dtype, .rank = in->rank, .data = nothing };
        memcpy(inputs[i].shape, size, in->rank * sizeof *size);
    }
    return true;
}

static void free_inputs(const Graph *g, Tensor *inputs)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (g->inputs.at[i].kind == IN_INT)
            tensor_free(&inputs[i]);
    free(inputs);
}

static void print_memory(const char *kind, const char *name, const MemoryReport *m)
{
    int64_t rest = 0;
    printf("%s %s: arena %.2f MiB (no plan takes less than %.2f), packed weights %.2f, variables %.2f, their new values %.2f, inputs %.2f, results %.2f: %.2f MiB\n", kind, name, mib(m->arena), mib(m->bound),
           mib(m->kept), mib(m->variables), mib(m->fresh), mib(m->inputs), mib(m->results), mib(m->arena + m->kept + m->variables + m->fresh + m->inputs + m->results));
    if (!m->live.n)
        return;
    printf("  at the peak, kernel %u of %u, %s:\n  %10s  %-28s %-24s %s\n", m->kernel, m->kernels, m->at, "MiB", "value", "shape", "made at");
    for (uint32_t i = 0; i < m->live.n; i++) {
        const MemoryItem *v = &m->live.at[i];
        if (i < MOST_ROWS)
            printf("  %10.3f  %-28s %-24s %s\n", mib(v->bytes), v->what, v->type, v->place);
        else
            rest += v->bytes;
    }
    if (m->live.n > MOST_ROWS)
        printf("  %10.3f  in %u more\n", mib(rest), m->live.n - MOST_ROWS);
}

static void json_memory(const char *name, const MemoryReport *m, Text *t)
{
    text_json(t, name);
    text_addf(t, ": {\"arena\": %lld, \"bound\": %lld, \"packed\": %lld, \"variables\": %lld, \"new_values\": %lld, \"inputs\": %lld, \"results\": %lld, \"kernels\": %u, \"peak_kernel\": %u, \"peak_at\": ",
              (long long)m->arena, (long long)m->bound, (long long)m->kept, (long long)m->variables, (long long)m->fresh, (long long)m->inputs, (long long)m->results, m->kernels, m->kernel);
    text_json(t, m->at);
    text_add(t, ", \"live\": [");
    for (uint32_t i = 0; i < m->live.n; i++) {
        const MemoryItem *v = &m->live.at[i];
        text_addf(t, "%s{\"bytes\": %lld, \"value\": ", i ? ", " : "", (long long)v->bytes);
        text_json(t, v->what);
        text_add(t, ", \"type\": ");
        text_json(t, v->type);
        text_add(t, ", \"at\": ");
        text_json(t, v->place);
        text_add(t, "}");
    }
    text_add(t, "]}");
}

/* One step or export; false: its sizes are not known or do not fit. */
static bool show_memory(const Given *given, const Session *s, const char *kind, const char *name, const Graph *g, Text *json, Status *st)
{
    Tensor      *inputs = xmalloc((g->inputs.n + 1) * sizeof *inputs);
    MemoryReport m = { 0 };
    bool         ok = shape_inputs(given, g, inputs, st) && program_memory(s->model, g, &s->options.exec, inputs, &m, st);
    if (ok && json)
        json_memory(name, &m, json);
    else if (ok)
        print_memory(kind, name, &m);
    program_memory_free(&m);
    free_inputs(g, inputs);
    return ok;
}

int check_memory(const Given *given, const Session *s)
{
    const Model *m = s->model;
    const char  *of = option_value(given, "--of");
    uint32_t     n = 0, shown = 0, all = m->steps.n + m->exports.n;
    Graph      **graphs = xmalloc((all + 1) * sizeof *graphs);
    Status       st = { 0 };
    Text         json = { 0 };
    bool         ok = true;
    if (of) {
        graphs[n++] = session_find_graph(s, of, &st);
        ok = graphs[0] != NULL;
    }
    for (uint32_t i = 0; !of && i < all; i++)
        graphs[n++] = i < m->steps.n ? m->steps.at[i].graph : m->exports.at[i - m->steps.n].graph;
    ok = ok && known_sizes(given, graphs, n, of ? of : s->path, &st);
    text_add(&json, "{");
    for (uint32_t i = 0; ok && i < all; i++) {
        bool         is_step = i < m->steps.n;
        const char  *name = is_step ? m->steps.at[i].name : m->exports.at[i - m->steps.n].name, *kind = is_step ? "step" : "export";
        const Graph *g = is_step ? m->steps.at[i].graph : m->exports.at[i - m->steps.n].graph;
        Status       own = { 0 };
        Text         one = { 0 };
        if (of && strcmp(of, name))
            continue;
        if (show_memory(given, s, kind, name, g, option_given(given, "--json") ? &one : NULL, &own)) {
            text_addf(&json, "%s%s", shown ? ", " : "", one.n ? one.at : "");
            shown++;
        } else if (of) {
            st = own;
            ok = false;
        } else {
            fprintf(stderr, "pastiche: %s %s: %s\n", kind, name, own.message);
        }
        text_free(&one);
    }
    if (!ok)
        complain("%s", st.message);
    else if (option_given(given, "--json"))
        printf("%s}\n", json.at);
    text_free(&json);
    free(graphs);
    return ok && (shown || !all) ? 0 : 1;
}
