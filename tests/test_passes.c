/* test_passes.c - whatever is switched off by --passes, results are the interpreter's: two networks that ask for every kind of kernel, with each pass off, with all but
 * one off, and with subsets drawn by a counter (under the sanitizers a third of these, another third for each network). Also that a pass does something: where it says what is done without it, that is looked for in the kernels.
 *
 * PASSES=-fuse,-halo runs that one subset alone.
 */
#include "check.h"
#include "fuse.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = SOURCE_DIR "/tests/graphs/passes.graph";

typedef struct {
    Session s;
    Graph  *g;
    Tensor  inputs[4];
    Tensor  outputs[8];            /* outputs, then reports: the interpreter's */
    Tensor *vars;                  /* after the pass, the interpreter's */
} Case;

static const RunState now = { .runtime = { 3, 1, 0.5, 10, 3 }, .rng = { 42, 3 } };

/* ---- running ---- */

static Tensor *copy_vars(const Session *s)
{
    Status  st = { 0 };
    Tensor *v = xmalloc((s->model->vars.n + 1) * sizeof *v);
    for (uint32_t i = 0; i < s->model->vars.n; i++)
        CHECK(!s->vars[i].data || tensor_copy(&v[i], &s->vars[i], s->vars[i].dtype, &st), "%s", st.message);
    return v;
}

static void free_tensors(Tensor *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        tensor_free(&t[i]);
}

static void open_case(Case *c, const char *name, int64_t n, int64_t side)
{
    Status         st = { 0 };
    SessionOptions o = { .exec = { .backend = BACKEND_REFERENCE } };
    *c = (Case){ 0 };
    bool ok = session_open(&c->s, path, &o, &st);
    CHECK(ok, "%s", st.message);
    c->g = session_find_graph(&c->s, name, &st);
    CHECK(c->g && session_prepare_random(&c->s, c->g, &st), "%s", st.message);
    for (uint32_t i = 0; i < c->g->inputs.n; i++) {
        const GraphInput *in = &c->g->inputs.at[i];
        int64_t           shape[4] = { n, 3, side, side };
        CHECK(tensor_alloc(&c->inputs[i], in->kind == IN_INT ? in->dtype : DT_F32, in->rank, shape, &st), "%s", st.message);
        for (int64_t k = 0; k < tensor_count(&c->inputs[i]); k++)
            tensor_set(&c->inputs[i], k, in->kind == IN_INT ? (double)n : (double)(float)(0.5 * rng_normal((Rng){ 5, 0 }, 9, (uint64_t)k)));
    }
    c->vars = copy_vars(&c->s);
    Program *p = program_new(c->s.model, c->g, &o.exec, &st);
    CHECK(p && program_run(p, c->inputs, c->vars, &now, c->outputs, c->outputs + c->g->outputs.n, &st), "%s: %s", name, st.message);
    program_free(p);
}

static void close_case(Case *c)
{
    free_tensors(c->inputs, 4);
    free_tensors(c->outputs, 8);
    free_tensors(c->vars, c->s.model->vars.n);
    free(c->vars);
    session_close(&c->s);
}

/* Normwise: single numbers may lose many digits, tensors do not. scale: what the error is relative to, at least. */
static double distance(const Tensor *a, const Tensor *b, double scale)
{
    double diff = 0, norm = 0;
    if (tensor_count(a) != tensor_count(b))
        return INFINITY;
    for (int64_t i = 0; i < tensor_count(a); i++) {
        double d = tensor_get(a, i) - tensor_get(b, i);
        diff += d * d;
        norm += tensor_get(b, i) * tensor_get(b, i);
    }
    return sqrt(diff) / (sqrt(norm) + scale);
}

static void check_subset(const Case *c, Passes off, const char *cpu)
{
    Status      st = { 0 };
    ExecOptions o = { .cpu = cpu, .threads = 2, .off = off, .winograd_always = cpu && !c->g->writes.n };
    Tensor      got[8] = { 0 }, *vars = copy_vars(&c->s);
    Text        name = { 0 };
    uint32_t    nvars = c->s.model->vars.n, nout = c->g->outputs.n;
    passes_print(off, &name);
    const char *which = name.n ? name.at : "(all on)";
    for (uint32_t i = 0; i < nvars; i++)
        if (vars[i].data)
            CHECK(tensor_copy(&vars[i], &c->s.vars[i], DT_F32, &st), "%s", st.message);
    Program *p = program_new(c->s.model, c->g, &o, &st);
    bool     ok = p && program_run(p, c->inputs, vars, &now, got, got + nout, &st);
    CHECK(ok, "%s with --passes=%s: %s", c->g->name, which, st.message);
    for (uint32_t i = 0; ok && i < nout + c->g->reports.n; i++)
        CHECK(distance(&got[i], &c->outputs[i], 1e-3) <= 2e-5, "%s with --passes=%s: result %u is off by %g", c->g->name, which, i, distance(&got[i], &c->outputs[i], 1e-3));
    for (uint32_t i = 0; ok && i < nvars; i++)
        if (vars[i].data)
            CHECK(distance(&vars[i], &c->vars[i], 0.1) <= 2e-5, "%s with --passes=%s: variable %s is off by %g", c->g->name, which, c->s.model->vars.at[i].name,
                  distance(&vars[i], &c->vars[i], 0.1));
    program_free(p);
    free_tensors(got, 8);
    free_tensors(vars, nvars);
    free(vars);
    text_free(&name);
}

/* ---- what a pass does, seen in the kernels ---- */

static Text dump(const Case *c, const char *passes)
{
    Status      st = { 0 };
    ExecOptions o = { .cpu = "baseline", .winograd_always = true };
    Text        t = { 0 };
    CHECK(passes_parse(passes, &o.off, &st) && program_dump(c->s.model, c->g, &o, "fused", &t, &st), "%s", st.message);
    return t;
}

/* Lines of the dump that hold a word; NULL: those that open a kernel. */
static int lines_with(const Text *t, const char *word)
{
    int n = 0;
    for (const char *p = t->at; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        char line[256];
        snprintf(line, sizeof line, "%.*s", (int)strcspn(p, "\n"), p);
        n += word ? strstr(line, word) != NULL : *p >= '0' && *p <= '9';
    }
    return n;
}

/* Fewer kernels hold a map, for an operand is computed where it is read. */
static void check_prologue(const Case *c)
{
    Text all = dump(c, "+all"), off = dump(c, "-prologue");
    CHECK(lines_with(&off, " map %") > lines_with(&all, " map %"), "--passes=-prologue: %d maps, with all passes on %d", lines_with(&off, " map %"), lines_with(&all, " map %"));
    text_free(&all);
    text_free(&off);
}

static void check_effects(const Case *c)
{
    static const char *const more[] = { "-fuse", "-epilogue", "-join", "-move", "-simplify", "-kernels", "-all", "-recompute", "-alias", "-halo", "-statistics" };
    static const struct { const char *passes, *gone; } lost[] = { { "-layout", "nChw4c" }, { "-relayout", "relayout" }, { "-all", "relayout" } };
    Text all = dump(c, "+all");
    int  kernels = lines_with(&all, NULL);
    CHECK(kernels > 20, "%d kernels", kernels);
    for (size_t i = 0; i < COUNT(more); i++) {
        Text t = dump(c, more[i]);
        CHECK(lines_with(&t, NULL) > kernels, "--passes=%s: %d kernels, not more than %d", more[i], lines_with(&t, NULL), kernels);
        text_free(&t);
    }
    for (size_t i = 0; i < COUNT(lost); i++) {
        Text t = dump(c, lost[i].passes);
        CHECK(lines_with(&all, lost[i].gone) > 0 && lines_with(&t, lost[i].gone) == 0, "--passes=%s: '%s' on %d lines, with all passes on %d", lost[i].passes, lost[i].gone,
              lines_with(&t, lost[i].gone), lines_with(&all, lost[i].gone));
        text_free(&t);
    }
    Text apart = dump(c, "-statistics"), chunks = dump(c, "-statistics,-whole");       /* where convolutions take no sums along, some reductions are small */
    CHECK(lines_with(&chunks, NULL) > lines_with(&apart, NULL), "--passes=-statistics,-whole: %d kernels, not more than %d", lines_with(&chunks, NULL), lines_with(&apart, NULL));
    text_free(&apart);
    text_free(&chunks);
    Text same = dump(c, "-all,+all");
    CHECK(lines_with(&same, NULL) == kernels, "-all,+all: %d kernels, not %d", lines_with(&same, NULL), kernels);
    text_free(&same);
    text_free(&all);
}

/* Without reuse the arena is the sum of all buffers. */
static void check_arena(const Case *c)
{
    int64_t arena[2];
    for (int i = 0; i < 2; i++) {
        Status      st = { 0 };
        ExecOptions o = { .off = i ? pass_bit(PASS_reuse) : 0 };
        Tensor      got[8] = { 0 }, *vars = copy_vars(&c->s);
        Program    *p = program_new(c->s.model, c->g, &o, &st);
        CHECK(p && program_run(p, c->inputs, vars, &now, got, got + c->g->outputs.n, &st), "%s", st.message);
        arena[i] = program_facts(p).arena;
        program_free(p);
        free_tensors(got, 8);
        free_tensors(vars, c->s.model->vars.n);
        free(vars);
    }
    CHECK(arena[1] > 2 * arena[0], "arena %lld without reuse, %lld with it", (long long)arena[1], (long long)arena[0]);
}

/* ---- names ---- */

static void check_names(void)
{
    Status st = { 0 };
    Passes off = 0, set = 0;
    CHECK(passes_parse("-fuse,-layout,+fuse", &off, &st) && off == pass_bit(PASS_layout), "%x", off);
    CHECK(!passes_parse("-fuse,-layuot", &off, &st) && off == pass_bit(PASS_layout), "%x", off);
    CHECK(strstr(st.message, "'layuot'") && strstr(st.message, "Did you mean 'layout'?") && strstr(st.message, "winograd, tune, fuse, recompute"), "%s", st.message);
    static const char *const wrong[] = { "", "-", ",", "-fuse,", "--fuse", " -fuse", "-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        st = (Status){ 0 };
        CHECK(!passes_parse(wrong[i], &off, &st) && st.failed, "'%s' was taken", wrong[i]);
    }
    for (int p = 0; p < PASS_COUNT; p++) {
        char text[64];
        snprintf(text, sizeof text, "-%s", pass_name((PassName)p));
        CHECK(passes_parse(text, &set, &st) && set == (Passes)(((uint64_t)2 << p) - 1), "%s", text);
    }
    Text text = { 0 };
    passes_print(off | pass_bit(PASS_reuse), &text);
    CHECK(!strcmp(text.at, "-layout,-reuse"), "%s", text.at);
    text_free(&text);
}

int main(void)
{
    const Passes all = (Passes)(((uint64_t)1 << PASS_COUNT) - 1);
    const char  *only = getenv("PASSES");
    Status       st = { 0 };
    Case         c[3];
    Passes       off = 0;
    open_case(&c[0], "critic", 3, 16);
    open_case(&c[1], "gen", 3, 16);
    open_case(&c[2], "picture", 2, 13);
    check_names();
    CHECK(!only || passes_parse(only, &off, &st), "%s", st.message);
    for (size_t i = 0; i < COUNT(c); i++) {
        check_subset(&c[i], off, NULL);
        for (int p = 0; p < PASS_COUNT && !only; p++) {
            if (left_out(p + (int)i, COUNT(c)))
                continue;
            check_subset(&c[i], pass_bit((PassName)p), NULL);
            if (i == 2)
                check_subset(&c[i], all & ~pass_bit((PassName)p), NULL);
        }
        uint64_t dice = 17 + i;
        for (int k = 0; k < 8 && !only; k++) {
            dice = dice * 6364136223846793005u + 1442695040888963407u;
            if (left_out(k + (int)i, COUNT(c)))
                continue;
            check_subset(&c[i], (Passes)(dice >> 33) & all, k % 2 ? "baseline" : NULL);
        }
        check_subset(&c[i], only ? off : all, "baseline");
    }
    if (!only) {
        check_effects(&c[1]);
        check_prologue(&c[2]);
        check_arena(&c[0]);
    }
    for (size_t i = 0; i < COUNT(c); i++)
        close_case(&c[i]);
    return check_done();
}
