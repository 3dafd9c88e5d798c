/* cli_show.c - pastiche show: a file's tree, or a graph at a stage of compilation, as text. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "files.h"

static const char *const stages[] = { "parse", "typed", "grad", "simplified", "fused", "llvm", "asm" };
enum { STAGE_PARSE, STAGE_TYPED, STAGE_GRAD, STAGE_SIMPLIFIED, STAGE_FUSED };

static int show_tree(const char *path)
{
    Sources  s = { 0 };
    Diags    d = { .sources = &s };
    Arena    a = { 0 };
    Status   st = { 0 };
    Text     out = { 0 };
    uint8_t *bytes = NULL;
    size_t   n;
    if (!file_read(path, MAX_SOURCE_BYTES, &bytes, &n, &st))
        return complain("%s", st.message);
    vec_push(&s.files, ((Source){ path, (const char *)bytes, n }));
    const File *f = parse_file(&a, &d, 0);
    bool        bad = d.errors > 0;
    if (bad)
        diags_print(&d, &out);
    else
        print_ast(f, &out);
    fputs(out.n ? out.at : "", bad ? stderr : stdout);
    text_free(&out);
    diags_free(&d);
    vec_free(&s.files);
    arena_free(&a);
    free(bytes);
    return bad;
}

/* Only what the text computes: results and reports; gradients are there as far as they ask for them. */
static void forward_only(Graph *g)
{
    g->writes.n = 0;
    dce(g);
}

static int show_graph(Session *s, Graph *g, int stage)
{
    Text   out = { 0 };
    Status st = { 0 };
    int    status = 0;
    if (stage >= STAGE_FUSED) {
        if (!program_dump(s->model, g, &s->options.exec, stages[stage], &out, &st))
            status = complain("%s", st.message);
    } else {
        if (stage == STAGE_TYPED)
            forward_only(g);
        else if (stage == STAGE_GRAD)
            dce(g);
        else
            simplify_without(g, s->options.exec.off);
        graph_print(g, &s->sources, &out);
    }
    fputs(out.n ? out.at : "", stdout);
    text_free(&out);
    return status;
}

static Graph *find_graph(const Session *s, const char *name)
{
    Status st = { 0 };
    Graph *g = session_find_graph(s, name, &st);
    if (!g)
        complain("%s", st.message);
    return g;
}

int command_show(int argc, char **argv)
{
    static const Option options[] = {
        { "--of", "STEP_OR_EXPORT", "which graph" },
        { "--stage", "STAGE", "parse, typed (results alone), grad (with gradients and updates), simplified, fused, llvm, asm" },
        SESSION_OPTIONS,
        EXEC_OPTIONS,
    };
    static const Command c = { "show", "FILE --of STEP_OR_EXPORT --stage parse|typed|grad|simplified|fused|llvm|asm", "Shows a file's tree, or a graph at a stage of compilation.", options,
                               COUNT(options), 1, 1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g), stage = -1;
    Session      s;
    if (status >= 0)
        return status;
    const char *name = option_value(&g, "--stage");
    for (int i = 0; i < (int)COUNT(stages); i++)
        if (name && !strcmp(stages[i], name))
            stage = i;
    if (stage < 0) {
        const char *near = name ? nearest_word(name, stages, COUNT(stages)) : NULL;
        complain("--stage is parse, typed, grad, simplified, fused, llvm or asm%s%s%s", near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
        return 2;
    }
    if (stage == STAGE_PARSE)
        return show_tree(g.words[0]);
    if (!open_session(&g, false, &s))
        return 1;
    Graph *graph = find_graph(&s, option_value(&g, "--of"));
    status = graph ? show_graph(&s, graph, stage) : 1;
    session_close(&s);
    return status;
}
