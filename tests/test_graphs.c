/* test_graphs.c - the library: its test blocks hold (asserts, gradients against differences); its networks have the numbers of parameters that
 * public logs give; the language reference names every function and library item. L-BFGS goes the way PyTorch's does. The models: test_models.c.
 */
#define _GNU_SOURCE
#include "check.h"
#include "elab.h"
#include "gradcheck.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *file, *net; int64_t parameters; } Count;

static const Count counts[] = {
    { "tests/golden/examples/cyclegan.graph", "G", 11378179 },
    { "tests/golden/examples/cyclegan.graph", "DX", 2764737 },
    { "tests/golden/examples/anime.graph", "vgg", 20024384 },
};

static void print_diags(Session *s)
{
    Text said = { 0 };
    diags_print(&s->diags, &said);
    printf("%s", said.at ? said.at : "");
    text_free(&said);
}

static int64_t parameters_of(const Model *m, const char *net)
{
    for (uint32_t i = 0; i < m->nets.n; i++) {
        int64_t sum = 0;
        if (strcmp(m->nets.at[i].name, net))
            continue;
        for (uint32_t k = 0; k < m->nets.at[i].vars.n; k++) {
            const Var *v = &m->vars.at[m->nets.at[i].vars.at[k]];
            int64_t    n = 1, d = 0;
            for (int a = 0; a < v->rank; a++)
                n *= dim_is_const(m->dims, v->shape[a], &d) ? d : 0;
            sum += v->kind == VAR_PARAM ? n : 0;
        }
        return sum;
    }
    return -1;
}

static void test_counts(void)
{
    for (size_t i = 0; i < COUNT(counts); i++) {
        const Count *c = &counts[i];
        char         path[512];
        snprintf(path, sizeof path, "%s/%s", SOURCE_DIR, c->file);
        Sources     sources = { 0 };
        Diags       d = { .sources = &sources };
        ElabOptions o = { .describe_data = describe_data };
        Model      *m = elaborate(path, &sources, &d, &o);
        CHECK(m && !d.errors, "%s does not check", c->file);
        int64_t got = m ? parameters_of(m, c->net) : -1;
        CHECK(got == c->parameters, "%s: %s has %lld parameters, not %lld", c->file, c->net, (long long)got, (long long)c->parameters);
        model_free(m);
        diags_free(&d);
        sources_free(&sources);
    }
}

static int is_graph(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 6 && !strcmp(e->d_name + n - 6, ".graph");
}

/* ---- graphs/README.md names all built-in functions and all of the library but its helpers ---- */

static char *read_text(const char *path)
{
    FILE  *f = fopen(path, "rb");
    Text   t = { 0 };
    char   chunk[4096];
    size_t n;
    while (f && (n = fread(chunk, 1, sizeof chunk, f)) > 0)
        text_addn(&t, chunk, n);
    if (f)
        fclose(f);
    text_add(&t, "");
    return t.at;
}

static bool documented(const char *manual, const char *name)
{
    for (const char *at = manual; (at = strstr(at, name)) != NULL; at++)
        if (at > manual && at[-1] == '`' && (at[strlen(name)] == '(' || at[strlen(name)] == '`'))
            return true;
    return false;
}

static void test_manual(void)
{
    static const char *const helpers[] = { "drop_mask", "linear_bias", "bn_shape", "bn_axes", "bn_count", "unit", "bias_correction", "unit_range", "filter_of", "Zero", "Mirror", "Input", "neighbour",
                                            "moved", "chosen_rows" };
    char           *manual = read_text(SOURCE_DIR "/graphs/README.md");
    const char     *names[256];
    size_t          n = builtin_names(names, COUNT(names));
    struct dirent **files;
    int             nfiles = scandir(SOURCE_DIR "/graphs/std", &files, is_graph, alphasort);
    for (size_t i = 0; i < n; i++)
        CHECK(documented(manual, names[i]), "graphs/README.md does not tell of the function %s", names[i]);
    for (int i = 0; i < nfiles; i++) {
        char    path[512];
        Arena   arena = { 0 };
        Sources sources = { 0 };
        Diags   d = { .sources = &sources };
        snprintf(path, sizeof path, "%s/graphs/std/%s", SOURCE_DIR, files[i]->d_name);
        char *text = read_text(path);
        vec_push(&sources.files, ((Source){ path, text, strlen(text) }));
        File *f = parse_file(&arena, &d, 0);
        for (uint32_t k = 0; k < f->nitems; k++) {
            const Item *it = &f->items[k];
            bool        helper = it->kind != I_MODULE && it->kind != I_FN && it->kind != I_OPTIMIZER;
            for (size_t h = 0; h < COUNT(helpers) && !helper; h++)
                helper = !strcmp(helpers[h], it->name.name);
            CHECK(helper || documented(manual, it->name.name), "graphs/README.md does not tell of %s in %s", it->name.name, files[i]->d_name);
        }
        free(text);
        diags_free(&d);
        sources_free(&sources);
        arena_free(&arena);
        free(files[i]);
    }
    if (nfiles >= 0)
        free(files);
    free(manual);
}

/* The number of its test blocks. */
static int test_file(const char *path)
{
    Session        s;
    Status         st = { 0 };
    SessionOptions o = { .exec = { .backend = BACKEND_REFERENCE }, .tests = true };
    uint32_t       passed = 0, failed = 0;
    Text           out = { 0 };
    bool           ok = session_open(&s, path, &o, &st);
    CHECK(ok, "%s: %s", path, st.message);
    if (!ok)
        print_diags(&s);
    ok = ok && run_tests(&s, &passed, &failed, &out);
    CHECK(ok && passed > 0, "%s: %u checks passed, %u failed\n%s", path, passed, failed, out.at ? out.at : "");
    int blocks = ok ? (int)s.model->tests.n : 0;
    printf("%-28s %u checks\n", strrchr(path, '/') + 1, passed);
    text_free(&out);
    session_close(&s);
    return blocks;
}

static int test_folder(const char *folder)
{
    struct dirent **names;
    int             n = scandir(folder, &names, is_graph, alphasort), blocks = 0;
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        blocks += test_file(path);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return blocks;
}

/* The losses of torch.optim.LBFGS(lr=0.5, max_iter=k, max_eval=100, history_size=3, tolerances 0) in float64, PyTorch 2.13, for k = 0 .. 11, on tests/graphs/lbfgs.graph */
static void test_lbfgs(void)
{
    static const double want[] = { 6, 5.10001929012346, 3.41090702339156, 1.58481914225677, 0.87405004634932, 0.425722193128543, 0.295514759959205, 0.178168833601786, 0.0726786164347851,
                                     0.0238232144375416, 0.00259780933862097, 0.000750405306143211 };
    Session        s;
    Status         st = { 0 };
    SessionOptions o = { .exec = { .backend = BACKEND_REFERENCE } };
    bool           ok = session_open(&s, SOURCE_DIR "/tests/graphs/lbfgs.graph", &o, &st) && session_make_vars(&s, &st);
    CHECK(ok, "%s", st.message);
    for (size_t i = 0; ok && i < COUNT(want); i++) {
        RunState rs = { .rng = { 0, (uint32_t)i } };
        Tensor   report = { 0 };
        ok = reference_run(s.model->steps.at[0].graph, NULL, s.vars, &rs, true, NULL, &report, &st);
        CHECK(ok, "%s", st.message);
        double got = ok ? tensor_get(&report, 0) : 0;
        CHECK(fabs(got - want[i]) <= 1e-9 * want[i], "L-BFGS, update %zu: loss %.15g, PyTorch has %.15g", i, got, want[i]);
        tensor_free(&report);
    }
    session_close(&s);
}

int main(void)
{
    test_manual();
    test_lbfgs();
    test_counts();
    CHECK(test_folder(SOURCE_DIR "/graphs/std") >= 9, "too few test blocks in graphs/std");
    test_file(SOURCE_DIR "/tests/graphs/init_names.graph");
    return check_done();
}
