/* test_remat.c - values computed again for the backward pass: the arena shrinks, not one bit of a training changes; by @remat, and to keep to a budget. */
#include "check.h"
#include "program.h"
#include "session.h"

#include "../compiler/remat.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRAPH SOURCE_DIR "/tests/graphs/remat.graph"
enum { STEPS = 3, MANY_VARS = 64 };

/* The same file without its pragmas. */
static void write_plain(const char *path)
{
    FILE *in = fopen(GRAPH, "r"), *out = fopen(path, "w");
    char  line[256];
    CHECK(in && out, "%s, %s", GRAPH, path);
    while (in && out && fgets(line, sizeof line, in)) {
        char *at = strstr(line, "@remat");
        if (at)
            memmove(at, at + 6, strlen(at + 6) + 1);
        fputs(line, out);
    }
    if (in)
        fclose(in);
    if (out)
        fclose(out);
}

typedef struct { double losses[STEPS]; Tensor vars[MANY_VARS]; uint32_t nvars; int64_t arena; uint32_t kernels; char message[512]; bool ok; } Training;

static void make_inputs(Tensor *inputs, int64_t n, int64_t h, int64_t w)
{
    Status st = { 0 };
    for (int i = 0; i < 2; i++) {
        CHECK(tensor_alloc(&inputs[i], DT_F32, 4, (int64_t[]){ n, 3, h, w }, &st), "%s", st.message);
        for (int64_t k = 0; k < tensor_count(&inputs[i]); k++)
            tensor_set(&inputs[i], k, rng_uniform((Rng){ 5, 0 }, (uint64_t)i, (uint64_t)k));
    }
}

static void train(const char *path, ExecOptions exec, int64_t n, int64_t h, int64_t w, Training *t)
{
    Session        s;
    Status         st = { 0 };
    SessionOptions o = { .exec = exec };
    Tensor         inputs[2] = { 0 };
    *t = (Training){ 0 };
    make_inputs(inputs, n, h, w);
    t->ok = session_open(&s, path, &o, &st) && session_prepare(&s, s.model->steps.at[0].graph, &st);
    Program *p = t->ok ? program_new(s.model, s.model->steps.at[0].graph, &exec, &st) : NULL;
    t->ok = p != NULL;
    for (uint32_t i = 0; t->ok && i < STEPS; i++) {
        RunState rs = { .rng = { 9, i } };
        Tensor   report = { 0 };
        rs.runtime[RT_STEP] = i;
        rs.runtime[RT_EPOCH_STEPS] = 1;
        t->ok = program_run(p, inputs, s.vars, &rs, NULL, &report, &st);
        t->losses[i] = t->ok ? tensor_get(&report, 0) : 0;
        tensor_free(&report);
    }
    snprintf(t->message, sizeof t->message, "%s", st.message);
    if (p) {
        ProgramFacts f = program_facts(p);
        t->arena = f.arena;
        t->kernels = f.kernels;
    }
    t->nvars = s.model ? s.model->vars.n : 0;
    for (uint32_t i = 0; t->ok && i < t->nvars; i++)
        CHECK(tensor_copy(&t->vars[i], &s.vars[i], s.vars[i].dtype, &st), "%s", st.message);
    program_free(p);
    for (int i = 0; i < 2; i++)
        tensor_free(&inputs[i]);
    session_close(&s);
}

static void drop(Training *t)
{
    for (uint32_t i = 0; i < t->nvars; i++)
        tensor_free(&t->vars[i]);
}

static void same_training(const Training *a, const Training *b, const char *what)
{
    CHECK(a->ok && b->ok, "%s: %s%s", what, a->message, b->message);
    CHECK(a->losses[0] != a->losses[1] && !memcmp(a->losses, b->losses, sizeof a->losses), "%s: losses %.9g %.9g, without %.9g %.9g", what, b->losses[0], b->losses[1], a->losses[0], a->losses[1]);
    for (uint32_t i = 0; i < a->nvars && a->ok && b->ok; i++)
        CHECK(!memcmp(a->vars[i].data, b->vars[i].data, (size_t)tensor_count(&a->vars[i]) * dtype_size(a->vars[i].dtype)), "%s: variable %u differs", what, i);
}

static void test_pragma(const char *plain)
{
    static const char *const cpus[] = { NULL, "baseline" };
    for (size_t i = 0; i < COUNT(cpus); i++) {
        Training    a, b, off;
        ExecOptions o = { .cpu = cpus[i], .threads = 2 }, without = o;
        Status      st = { 0 };
        CHECK(passes_parse("-remat", &without.off, &st), "%s", st.message);
        train(plain, o, 2, 24, 20, &a);
        train(GRAPH, o, 2, 24, 20, &b);
        train(GRAPH, without, 2, 24, 20, &off);
        same_training(&a, &b, "@remat");
        CHECK(b.arena < a.arena * 9 / 10 && b.kernels > a.kernels, "@remat: an arena of %lld bytes in %u kernels, without %lld in %u", (long long)b.arena, b.kernels, (long long)a.arena, a.kernels);
        same_training(&a, &off, "--passes=-remat");
        CHECK(off.arena == a.arena, "switched off: an arena of %lld bytes, without pragmas %lld", (long long)off.arena, (long long)a.arena);
        drop(&a), drop(&b), drop(&off);
    }
}

static int64_t planned(const char *path, ExecOptions o, int64_t *total)
{
    Session        s;
    Status         st = { 0 };
    SessionOptions so = { .exec = o };
    Tensor         inputs[2] = { 0 };
    MemoryReport   m = { 0 };
    make_inputs(inputs, 2, 24, 20);
    CHECK(session_open(&s, path, &so, &st) && program_memory(s.model, s.model->steps.at[0].graph, &o, inputs, &m, &st), "%s", st.message);
    *total = m.arena + m.variables + m.fresh + m.inputs + m.results;
    int64_t arena = m.arena;
    program_memory_free(&m);
    for (int i = 0; i < 2; i++)
        tensor_free(&inputs[i]);
    session_close(&s);
    return arena;
}

static void test_budget(const char *plain)
{
    Training    free_run, b;
    ExecOptions o = { .threads = 2 };
    int64_t     total, left, arena = planned(plain, o, &total);
    train(plain, o, 2, 24, 20, &free_run);
    CHECK(free_run.arena == arena, "planned %lld, taken %lld", (long long)arena, (long long)free_run.arena);
    for (int percent = 95; percent >= 81; percent -= 7) {
        o.memory_budget = total * percent / 100;
        CHECK(planned(plain, o, &left) < arena && left <= o.memory_budget, "%d %%: %lld of %lld bytes", percent, (long long)left, (long long)o.memory_budget);
        train(plain, o, 2, 24, 20, &b);
        same_training(&free_run, &b, "a budget");
        CHECK(b.arena <= arena - (total - o.memory_budget), "%d %%: an arena of %lld bytes, %lld without a budget", percent, (long long)b.arena, (long long)arena);
        drop(&b);
    }
    o.memory_budget = total;               /* enough as it is */
    train(plain, o, 2, 24, 20, &b);
    same_training(&free_run, &b, "a budget that is no limit");
    CHECK(b.arena == arena, "an arena of %lld bytes, %lld without a budget", (long long)b.arena, (long long)arena);
    drop(&b);
    o.memory_budget = 65536;
    train(plain, o, 2, 24, 20, &b);
    CHECK(!b.ok && strstr(b.message, "a memory budget of 0.06 MiB: 'fit' needs at least ") && strstr(b.message, "MiB at these sizes"), "%s", b.message);
    drop(&b), drop(&free_run);
}

/* Second nodes in the text form, and in a simplified graph. */
static void test_nodes(void)
{
    DimTable *t = dims_new();
    char      why[512];
    Graph    *g = graph_parse("hint 1 gradient()\ninput \"x\" : f32[8]\n%1 = input(index: 0) : f32[8]\n%2 = exp(%1) : f32[8]\n%3 = sin(%2) : f32[8]\n"
                              "%4 = mul(%3, %2) : f32[8]  # ^1\n%5 = sum(%4, axes: [0]) : f32[1]  # ^1\noutput \"y\" %3\noutput \"z\" %5\n", t, why, sizeof why);
    CHECK(g, "%s", why);
    bool   again[6] = { 0, 0, true, true, 0, 0 };
    CHECK(can_remat(g, 2) && can_remat(g, 3) && !can_remat(g, 1) && !can_remat(g, 4) && !can_remat(g, 5), "what can be computed again");
    Ref   *from;
    Graph *r = remat(g, again, &from);
    Text   text = { 0 }, back = { 0 };
    graph_print(r, NULL, &text);
    CHECK(r->nodes.n == 8 && strstr(text.at, "%4 = again exp(%1) : f32[8]") && strstr(text.at, "%5 = again sin(%4) : f32[8]") && strstr(text.at, "%6 = mul(%5, %4)"), "%s", text.at);
    CHECK(from[4] == 2 && from[5] == 3 && from[6] == 4 && from[3] == 3, "whose second nodes they are");
    Graph *parsed = graph_parse(text.at, t, why, sizeof why);
    CHECK(parsed, "%s", why);
    graph_print(parsed, NULL, &back);
    CHECK(!strcmp(text.at, back.at), "%s", back.at);
    simplify(r);
    CHECK(r->nodes.n == 8, "the simplifier keeps second nodes");
    text_free(&text), text_free(&back);
    free(from);
    graph_free(g), graph_free(r), graph_free(parsed);
    dims_free(t);
}

int main(void)
{
    char plain[] = "/tmp/pastiche_remat_XXXXXX";
    int  file = mkstemp(plain);
    CHECK(file >= 0, "no temporary file");
    close(file);
    write_plain(plain);
    test_nodes();
    test_pragma(plain);
    test_budget(plain);
    unlink(plain);
    return check_done();
}
