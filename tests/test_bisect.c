/* test_bisect.c - faults made on purpose in each stage must be found where they are: in a gradient, in the simplifier, in a kernel, in memory, in threads;
 * and nothing in steps that are right. */
#include "bisect.h"
#include "check.h"
#include "cli_size.h"
#include "simplify.h"

#include <stdlib.h>
#include <string.h>

static const char *const FILE_NAME = SOURCE_DIR "/tests/cli/bisect.graph";

typedef struct { Session s; BisectJob job; Tensor inputs[4]; bool open; } Fixture;

static Fixture *fixture(const char *graph)
{
    Fixture       *x = xmalloc(sizeof *x);
    SessionOptions o = { .exec = { .threads = 2, .no_cache = true }, .seed = 4 };
    Status         st = { 0 };
    int64_t        size[4] = { 2, 3, 9, 7 };
    x->open = session_open(&x->s, FILE_NAME, &o, &st);
    x->job = (BisectJob){ .s = &x->s, .inputs = x->inputs, .rs = { .runtime = { 1, 0, 0, 1, 1 }, .rng = { 4, 1 } } };
    x->job.g = x->open ? session_find_graph(&x->s, graph, &st) : NULL;
    bool ok = x->job.g && session_prepare_random(&x->s, x->job.g, &st);
    for (uint32_t i = 0; ok && i < x->job.g->inputs.n; i++) {
        ok = tensor_alloc(&x->inputs[i], DT_F32, 4, size, &st);
        fill_random(&x->inputs[i], -1, 1);
    }
    CHECK(ok, "%s", st.message);
    return x;
}

static void fixture_free(Fixture *x)
{
    for (int i = 0; i < 4; i++)
        tensor_free(&x->inputs[i]);
    session_close(&x->s);
    free(x);
}

static const char ANY[] = "any";   /* without some passes what is made wrong is not stored at all: those mend it too */

/* Bisects and checks what is found: in which stage (NULL: nothing), at which op, on which line, blamed on which pass. */
static void expect_at(Fixture *x, const char *stage, const char *op, const char *pass, const char *line, const char *what)
{
    Finding f;
    Text    out = { 0 };
    Status  st = { 0 };
    bool    ok = bisect(&x->job, &f, &out, &st);
    CHECK(ok, "%s: %s", what, st.message);
    CHECK(ok && f.found == (stage != NULL), "%s: %s\n%s", what, f.found ? "something was found" : "nothing was found", out.at ? out.at : "");
    if (ok && f.found && stage) {
        CHECK(!strcmp(f.stage, stage), "%s: found in %s: %s, %s", what, f.stage, f.node, f.what);
        CHECK(!op || (!strncmp(f.node, op, strlen(op)) && f.node[strlen(op)] == ' '), "%s: found at %s", what, f.node);
        CHECK(!line || strstr(f.place, line), "%s: placed at '%s', not %s", what, f.place, line);
        CHECK(pass == ANY || (!pass == !f.pass && (!pass || !strcmp(pass, f.pass))), "%s: blames %s", what, f.pass ? f.pass : "no pass");
        CHECK(f.what[0], "%s: says nothing", what);
    }
    text_free(&out);
}

/* ---- faults ---- */

/* The results of an op, wrong in one element; from the pass of this number on. */
typedef struct { Op op; int pass, now; bool all; } Spoiler;

static void spoil(void *ctx, const KernelRun *run)
{
    Spoiler *s = ctx;
    uint32_t buffers[64], n = values_made(run->f, run->kernel, buffers, COUNT(buffers));
    s->now += run->kernel == 0;
    for (uint32_t i = 0; i < n && s->now >= s->pass; i++) {
        const Buffer *b = &run->f->buffers.at[buffers[i]];
        int64_t       elems = 0;
        if (node(run->g, b->value)->op != s->op || !dim_eval(run->g->dims, b->elems, run->binds, run->nbinds, &elems))
            continue;
        for (int64_t k = 0; k < (s->all ? elems : 1); k++)
            ((float *)run->at[buffers[i]])[elems - 1 - k] += 0.01f;
    }
}

/* A simplifier with a mistake: tanh becomes tanh * 1.001, as long as `move` is on. */
static void wrong_simplify(Graph *g, Passes off)
{
    simplify_without(g, off);
    Graph *to = graph_new(g->name, g->dims);
    Ref   *map = xmalloc((g->nodes.n + 1) * sizeof *map);
    for (Ref r = 1; r < g->nodes.n; r++) {
        map[r] = copy_node(to, g, r, map);
        if (node(g, r)->op == OP_tanh && pass_on(off, PASS_move))
            map[r] = b_binary(to, OP_mul, map[r], b_const(to, DT_F32, 1.001));
    }
    adopt_nodes(g, to, map);
    free(map);
}

static void test_gradient(void)
{
    Fixture   *x = fixture("fit");
    Minimized *m = &x->s.model->steps.at[0].minimized.at[0];
    Ref       *grads = (Ref *)(uintptr_t)m->grads;
    grads[0] = b_binary(x->job.g, OP_mul, grads[0], b_const(x->job.g, DT_F32, 1.1));
    expect_at(x, "gradients", NULL, NULL, "bisect.graph:", "a gradient a tenth too long");
    fixture_free(x);
}

static void test_kernels(void)
{
    static const struct { Op op; bool all; const char *line; } faults[] = {
        { OP_conv, true, "layers.graph" }, { OP_conv_dw, false, "layers.graph" }, { OP_conv_dx, true, "layers.graph" }, { OP_sum, true, NULL },
    };
    for (size_t i = 0; i < COUNT(faults); i++) {
        Fixture *x = fixture("fit");
        Spoiler  s = { .op = faults[i].op, .all = faults[i].all };
        x->job.spoil = spoil;
        x->job.spoil_ctx = &s;
        expect_at(x, "kernels", op_info[faults[i].op].name, ANY, faults[i].line, op_info[faults[i].op].name);
        fixture_free(x);
    }
}

/* The second pass is the one whose memory is used again, the third runs on one thread. */
static void test_passes(void)
{
    for (int pass = 2; pass <= 3; pass++) {
        Fixture *x = fixture("fit");
        Spoiler  s = { .op = OP_conv_dw, .pass = pass };
        x->job.spoil = spoil;
        x->job.spoil_ctx = &s;
        expect_at(x, pass == 2 ? "memory" : "threads", "conv_dw", pass == 2 ? "reuse" : NULL, "layers.graph", pass == 2 ? "memory" : "threads");
        fixture_free(x);
    }
}

int main(void)
{
    static const char *const right[] = { "fit", "look" };
    for (size_t i = 0; i < COUNT(right); i++) {
        Fixture *x = fixture(right[i]);
        expect_at(x, NULL, NULL, NULL, NULL, right[i]);
        fixture_free(x);
    }
    test_gradient();
    Fixture *x = fixture("look");
    x->job.simplify = wrong_simplify;
    expect_at(x, "simplify", "tanh", "move", "bisect.graph:", "a wrong rule");
    fixture_free(x);
    test_kernels();
    test_passes();
    return check_done();
}
