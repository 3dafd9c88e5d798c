/* cli_check.c - pastiche check, fmt, ops, sources, passes, test: what can be said of a file without compiling it. */
#include <stdlib.h>
#include <string.h>

#include "cli_size.h"
#include "files.h"
#include "gradcheck.h"

/* ---- check ---- */

static const char *shape_text(const Model *m, const Dim *shape, int rank, Arena *a)
{
    Text t = { 0 };
    text_add(&t, "[");
    for (int i = 0; i < rank; i++) {
        text_add(&t, i ? ", " : "");
        dim_print(m->dims, shape[i], &t);
    }
    text_add(&t, "]");
    const char *s = arena_printf(a, "%s", t.at);
    text_free(&t);
    return s;
}

static int64_t net_parameters(const Model *m, const Net *n)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < n->vars.n; i++) {
        const Var *v = &m->vars.at[n->vars.at[i]];
        int64_t    count = 1, k;
        if (v->kind != VAR_PARAM && !(v->kind == VAR_EMA && n->ema_of >= 0))
            continue;
        for (int r = 0; r < v->rank; r++)
            count *= dim_is_const(m->dims, v->shape[r], &k) ? k : 0;
        total += count;
    }
    return total;
}

/* Parameters of an ema net: those that follow parameters, not states, of its base. */
static int64_t parameters(const Model *m, const Net *n)
{
    return net_parameters(m, n->ema_of >= 0 ? &m->nets.at[n->ema_of] : n);
}

/* At one picture, 256 pixels a side where the file leaves it free. */
static double at_nominal(const Model *m, const Net *n, Dim d)
{
    int64_t v;
    return dim_eval(m->dims, d, n->nominal, n->nnominal, &v) ? (double)v : -1;
}

static Dim elements(const Model *m, const Type *t)
{
    Dim d = dim_const(m->dims, 1);
    for (int i = 0; i < t->rank; i++)
        d = dim_mul(m->dims, d, t->shape[i]);
    return d;
}

static const char *grouped(int64_t v, char *to, size_t n)      /* 3,576,704 */
{
    char   digits[32];
    size_t len = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)v), at = 0;
    for (size_t i = 0; i < len && at + 2 < n; i++) {
        if (i && (len - i) % 3 == 0)
            to[at++] = ',';
        to[at++] = digits[i];
    }
    to[at] = 0;
    return to;
}

static void print_net(const Model *m, const Net *n, Arena *a)
{
    char number[48];
    double total = 0, bytes = 0;
    printf("net %s: %s parameters", n->name, grouped(parameters(m, n), number, sizeof number));
    if (n->ema_of >= 0)
        printf(", follows %s", m->nets.at[n->ema_of].name);
    if (n->from)
        printf(", from \"%s\"", n->from);
    printf("%s\n", n->frozen ? ", frozen" : "");
    if (!n->rows.n)
        return;
    printf("  %-36s %-16s %-26s %12s %10s %10s\n", "path", "op", "output", "parameters", "MFLOP", "MiB");
    for (uint32_t i = 0; i < n->rows.n; i++) {
        const LayerRow *r = &n->rows.at[i];
        double          flop = 2 * at_nominal(m, n, r->macs), size = 4 * at_nominal(m, n, elements(m, &r->out));
        printf("  %-36s %-16s %-26s %12s %10.2f %10.3f\n", r->path, r->op, shape_text(m, r->out.shape, r->out.rank, a), grouped(r->params, number, sizeof number), flop / 1e6, size / 1048576);
        total += flop;
        bytes += size;
    }
    printf("  %-36s %-16s %-26s %12s %10.2f %10.3f", "total", "", "", "", total / 1e6, bytes / 1048576);
    for (uint32_t i = 0; i < n->nnominal; i++)
        printf("%s%s = %lld", i ? ", " : "   at ", dim_text(m->dims, n->nominal[i].sym, a), (long long)n->nominal[i].value);
    printf("\n");
}

static void print_graph(const Model *m, const char *kind, const char *name, const Graph *g, Arena *a)
{
    printf("%s %s(", kind, name);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        printf("%s%s%s%s", i ? ", " : "", in->name, in->kind == IN_INT ? "" : ": ", in->kind == IN_INT ? "" : shape_text(m, in->shape, in->rank, a));
    }
    printf(")");
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        Type t = node_type(g, g->outputs.at[i].value);
        printf("%s%s %s", i ? ", " : " -> ", g->outputs.at[i].name, shape_text(m, t.shape, t.rank, a));
    }
    for (uint32_t i = 0; i < g->reports.n; i++)
        printf("%s%s", i ? ", " : "  reports ", g->reports.at[i].name);
    printf("\n");
}

static void json_shape(const Model *m, const Dim *shape, int rank, Arena *a, Text *t)
{
    text_add(t, "[");
    for (int i = 0; i < rank; i++) {
        int64_t k;
        if (dim_is_const(m->dims, shape[i], &k))
            text_addf(t, "%s%lld", i ? ", " : "", (long long)k);
        else
            text_addf(t, "%s\"%s\"", i ? ", " : "", dim_text(m->dims, shape[i], a));
    }
    text_add(t, "]");
}

static void json_graph(const Model *m, const char *name, const Graph *g, bool first, Arena *a, Text *t)
{
    text_add(t, first ? "" : ", ");
    text_json(t, name);
    text_add(t, ": {\"inputs\": {");
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        text_add(t, i ? ", " : "");
        text_json(t, g->inputs.at[i].name);
        text_add(t, ": ");
        json_shape(m, g->inputs.at[i].shape, g->inputs.at[i].rank, a, t);
    }
    text_add(t, "}, \"outputs\": {");
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        Type o = node_type(g, g->outputs.at[i].value);
        text_add(t, i ? ", " : "");
        text_json(t, g->outputs.at[i].name);
        text_add(t, ": ");
        json_shape(m, o.shape, o.rank, a, t);
    }
    text_add(t, "}, \"reports\": [");
    for (uint32_t i = 0; i < g->reports.n; i++) {
        text_add(t, i ? ", " : "");
        text_json(t, g->reports.at[i].name);
    }
    text_add(t, "]}");
}

static void json_check(const Model *m, Arena *a, Text *t)
{
    text_add(t, "{\"nets\": {");
    for (uint32_t i = 0; i < m->nets.n; i++) {
        const Net *n = &m->nets.at[i];
        text_add(t, i ? ", " : "");
        text_json(t, n->name);
        text_addf(t, ": {\"parameters\": %lld, \"layers\": [", (long long)parameters(m, n));
        for (uint32_t k = 0; k < n->rows.n; k++) {
            const LayerRow *r = &n->rows.at[k];
            text_add(t, k ? ", {\"path\": " : "{\"path\": ");
            text_json(t, r->path);
            text_addf(t, ", \"op\": \"%s\", \"output\": ", r->op);
            json_shape(m, r->out.shape, r->out.rank, a, t);
            text_addf(t, ", \"parameters\": %lld, \"mflop\": %.6g, \"bytes\": %.0f}", (long long)r->params, 2e-6 * at_nominal(m, n, r->macs), 4 * at_nominal(m, n, elements(m, &r->out)));
        }
        text_add(t, "]}");
    }
    text_add(t, "}, \"steps\": {");
    for (uint32_t i = 0; i < m->steps.n; i++)
        json_graph(m, m->steps.at[i].name, m->steps.at[i].graph, i == 0, a, t);
    text_add(t, "}, \"exports\": {");
    for (uint32_t i = 0; i < m->exports.n; i++)
        json_graph(m, m->exports.at[i].name, m->exports.at[i].graph, i == 0, a, t);
    text_add(t, "}, \"trains\": [");
    for (uint32_t i = 0; i < m->trains.n; i++) {
        text_add(t, i ? ", " : "");
        text_json(t, m->trains.at[i].name);
    }
    text_add(t, "]}\n");
}

int command_check(int argc, char **argv)
{
    static const Option  options[] = { { "--memory", NULL, "show what memory a pass of each step and export takes, and the values alive where it takes most" },
                                       { "--of", "NAME", "--memory: of this step or export only" }, SIZE_OPTION, { "--json", NULL, "the same as JSON" }, EXEC_OPTIONS, SESSION_OPTIONS };
    static const Command c = { "check", "FILE [--memory [--size INPUT=1x3x512x512]...] [--json] [--set NAME=VALUE]...",
                               "Checks a file and shows each net layer by layer: path, op, output shape, parameters, MFLOP, MiB of the output.", options, COUNT(options), 1, 1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    Session      s;
    Arena        a = { 0 };
    if (status >= 0)
        return status;
    if (!option_given(&g, "--memory") && (option_given(&g, "--of") || option_given(&g, "--size"))) {
        complain("check: --of and --size belong to --memory");
        return 2;
    }
    if (!open_session(&g, false, &s))
        return 1;
    if (option_given(&g, "--memory")) {
        status = check_memory(&g, &s);
        session_close(&s);
        return status;
    }
    if (option_given(&g, "--json")) {
        Text t = { 0 };
        json_check(s.model, &a, &t);
        fputs(t.at, stdout);
        text_free(&t);
    } else {
        for (uint32_t i = 0; i < s.model->nets.n; i++)
            print_net(s.model, &s.model->nets.at[i], &a);
        for (uint32_t i = 0; i < s.model->steps.n; i++)
            print_graph(s.model, "step", s.model->steps.at[i].name, s.model->steps.at[i].graph, &a);
        for (uint32_t i = 0; i < s.model->exports.n; i++)
            print_graph(s.model, "export", s.model->exports.at[i].name, s.model->exports.at[i].graph, &a);
    }
    arena_free(&a);
    session_close(&s);
    return 0;
}

/* ---- fmt ---- */

static int format_one(const char *path, bool check_only)
{
    Sources  s = { 0 };
    Diags    d = { .sources = &s };
    Arena    a = { 0 };
    Status   st = { 0 };
    Text     out = { 0 }, complaints = { 0 };
    uint8_t *bytes = NULL;
    size_t   n;
    int      status = 0;
    if (!file_read(path, MAX_SOURCE_BYTES, &bytes, &n, &st))
        return complain("%s", st.message);
    vec_push(&s.files, ((Source){ path, (const char *)bytes, n }));
    const File *f = parse_file(&a, &d, 0);
    if (d.errors) {
        diags_print(&d, &complaints);
        fputs(complaints.at, stderr);
        status = 1;
    } else {
        format_file(f, &s, &out);
        bool same = out.n == n && !memcmp(out.at ? out.at : "", bytes, n);
        if (!same && check_only)
            status = complain("%s is not formatted", path);
        else if (!same && !file_write(path, out.at ? out.at : "", out.n, &st))
            status = complain("%s", st.message);
    }
    text_free(&out), text_free(&complaints);
    diags_free(&d);
    vec_free(&s.files);
    arena_free(&a);
    free(bytes);
    return status;
}

int command_fmt(int argc, char **argv)
{
    static const Option  options[] = { { "--check", NULL, "change nothing; say which files would change" } };
    static const Command c = { "fmt", "[--check] FILE...", "Formats graph files in place.", options, COUNT(options), 1, -1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    status = 0;
    for (int i = 0; i < g.nwords; i++)
        status |= format_one(g.words[i], option_given(&g, "--check"));
    return status;
}

/* ---- ops ---- */

int command_ops(int argc, char **argv)
{
    static const Command c = { "ops", "[NAME]", "The manual of the primitive ops: all, or one in detail.", NULL, 0, 0, 1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    Text         t = { 0 };
    if (status >= 0)
        return status;
    bool known = ops_manual(g.nwords ? g.words[0] : NULL, &t);
    fputs(t.n ? t.at : "", known ? stdout : stderr);
    text_free(&t);
    return known ? 0 : 1;
}

/* ---- sources ---- */

int command_sources(int argc, char **argv)
{
    static const Command c = { "sources", "", "The manual of the data sources and their arguments: data NAME = SOURCE(ARGUMENTS).", NULL, 0, 0, 0 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    Text         t = { 0 };
    if (status >= 0)
        return status;
    data_print_sources(&t);
    fputs(t.at, stdout);
    text_free(&t);
    return 0;
}

/* ---- passes ---- */

int command_passes(int argc, char **argv)
{
    static const Command c = { "passes", "", "The parts of compilation that --passes=-NAME,... switches off.", NULL, 0, 0, 0 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    Text         t = { 0 };
    if (status >= 0)
        return status;
    passes_manual(&t);
    fputs(t.at, stdout);
    text_free(&t);
    return 0;
}

/* ---- test ---- */

int command_test(int argc, char **argv)
{
    static const Option  options[] = { SESSION_OPTIONS, { "--seed", "N", "seed of all random numbers (default 0)" } };
    static const Command c = { "test", "FILE [--set NAME=VALUE]...", "Runs the test blocks of a file: asserts, and gradients against finite differences.", options, COUNT(options), 1, 1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    Session      s;
    uint32_t     passed, failed;
    Text         out = { 0 };
    if (status >= 0)
        return status;
    if (!open_session(&g, true, &s))
        return 1;
    bool ok = run_tests(&s, &passed, &failed, &out);
    fputs(out.n ? out.at : "", stdout);
    printf("%u passed, %u failed\n", passed, failed);
    if (!s.model->tests.n)
        complain("%s has no test blocks", g.words[0]);
    text_free(&out);
    session_close(&s);
    return ok ? 0 : 1;
}
