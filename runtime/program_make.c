/* program_make.c - what a native program is made from: the caller's graph, copied and simplified, and the machine it is compiled for. */
#include "program.h"

#include "../compiler/debug_code.h"
#include "../compiler/tune_db.h"

#include <stdlib.h>

static Graph *clone_graph(const Model *m, const Graph *g)
{
    Graph *c = graph_new(g->name, g->dims);
    Ref   *map = xmalloc((g->nodes.n + 1) * sizeof *map);
    c->sources = g->sources ? g->sources : m ? m->sources : NULL;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        vec_push(&c->inputs, g->inputs.at[i]);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        GraphOutput o = g->outputs.at[i];
        o.value = graph_copy(c, g, o.value, map);
        vec_push(&c->outputs, o);
    }
    for (uint32_t i = 0; i < g->reports.n; i++) {
        GraphOutput o = g->reports.at[i];
        o.value = graph_copy(c, g, o.value, map);
        vec_push(&c->reports, o);
    }
    for (uint32_t i = 0; i < g->writes.n; i++) {
        GraphWrite w = g->writes.at[i];
        w.value = graph_copy(c, g, w.value, map);
        vec_push(&c->writes, w);
    }
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        GraphAssert a = g->asserts.at[i];
        a.cond = graph_copy(c, g, a.cond, map);
        vec_push(&c->asserts, a);
    }
    if (!c->checks.n)
        for (uint32_t i = 0; i < g->checks.n; i++)
            vec_push(&c->checks, g->checks.at[i]);
    free(map);
    return c;
}

/* The batch of a training is the same from the first pass to the last; what an export gets may change from run to run. */
static void expect_batch(Graph *g, const Tensor *first)
{
    for (uint32_t i = 0; i < g->inputs.n && g->writes.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        if (in->rank > 1 && first[i].rank == in->rank && dim_is_sym(g->dims, in->shape[0]))
            vec_push(&g->likely, ((DimBind){ in->shape[0], first[i].shape[0] }));
    }
}

Graph *native_graph(const Model *m, const Graph *g, const ExecOptions *o, const Tensor *first)
{
    Graph *c = clone_graph(m, g);
    simplify_without(c, o->off);
    if (first)
        expect_batch(c, first);
    return c;
}

bool native_target(const ExecOptions *o, Target *t, Status *st)
{
    if (!target_detect(o->cpu, t, st))
        return false;
    t->winograd = o->exact || !pass_on(o->off, PASS_winograd) ? WINOGRAD_NEVER : o->winograd_always ? WINOGRAD_ALWAYS : WINOGRAD_PAYS;
    t->off = o->off;
    t->tuned = o->tuned ? o->tuned : tune_db_default();
    t->debug = o->debug_kernels || debug_wanted();
    return true;
}
