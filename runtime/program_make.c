/* program_make.c - what a native program is made from: the caller's graph, copied and simplified, and the machine it is compiled for. */
#include "program.h"

#include "../compiler/remat.h"

#include "../compiler/debug_code.h"
#include "../compiler/tune_db.h"

#include <stdlib.h>

/* The batch of a training is the same from the first pass to the last. What an export gets may change from run to run, but one item alone asks for other algorithms than many. */
static void expect_batch(Graph *g, const Tensor *first)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (free_batch(g, i) && first[i].rank == g->inputs.at[i].rank && (g->writes.n || first[i].shape[0] == 1))
            vec_push(&g->likely, ((DimBind){ g->inputs.at[i].shape[0], first[i].shape[0] }));
}

bool free_batch(const Graph *g, uint32_t input)
{
    const GraphInput *in = &g->inputs.at[input];
    return in->rank > 1 && dim_is_sym(g->dims, in->shape[0]);
}

/* What steps write, so that a step may keep what is made of other weights (a frozen net's). */
static void note_trained(Graph *g, const Model *m)
{
    for (uint32_t i = 0; m && i < m->steps.n; i++)
        for (uint32_t j = 0; j < m->steps.at[i].graph->writes.n; j++)
            vec_push(&g->trained, m->steps.at[i].graph->writes.at[j].var);
    for (uint32_t i = 0; i < g->writes.n; i++)
        vec_push(&g->trained, g->writes.at[i].var);
}

Graph *native_graph(const Model *m, const Graph *g, const ExecOptions *o, const Tensor *first, const Target *t, Status *st)
{
    Graph *c = graph_clone(g), *kept = c;      /* in the order of the text: a gradient of weights then comes beside the gradient it is made of, not at the end */
    c->sources = g->sources ? g->sources : m ? m->sources : NULL;
    simplify_without(c, o->off);
    note_trained(c, m);
    if (first)
        expect_batch(c, first);
    if (!pass_on(o->off, PASS_remat))
        return c;
    bool *again = xmalloc(c->nodes.n + 1), any = false;
    bool  ok = remat_hints(c, t, again, st);
    for (Ref r = 1; r < c->nodes.n; r++)
        any |= again[r];
    if (ok && any)
        c = remat(kept, again, NULL);
    if (c != kept || !ok)
        graph_free(kept);
    free(again);
    return ok ? c : NULL;
}

static int64_t value_bytes(const Graph *g, Dtype t, int rank, const Dim *shape, const DimBind *binds, uint32_t nbinds)
{
    int64_t n = (int64_t)dtype_size(t), v;
    for (int i = 0; i < rank; i++)
        n *= dim_eval(g->dims, shape[i], binds, nbinds, &v) ? v : 0;
    return n;
}

static int64_t node_bytes(const Graph *g, Ref r, const DimBind *binds, uint32_t n)
{
    return value_bytes(g, (Dtype)node(g, r)->dtype, node(g, r)->rank, node_shape(g, r), binds, n);
}

Outside outside_bytes(const Graph *g, const DimBind *binds, uint32_t n)
{
    Outside o = { 0 };
    for (Ref r = 1; r < g->nodes.n; r++)
        if (node(g, r)->op == OP_var)
            o.variables += node_bytes(g, r, binds, n);
    for (uint32_t i = 0; i < g->writes.n; i++)
        o.fresh += node_bytes(g, g->writes.at[i].value, binds, n);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        o.results += node_bytes(g, g->outputs.at[i].value, binds, n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        if (in->kind == IN_TENSOR)
            o.inputs += value_bytes(g, in->dtype, in->rank, in->shape, binds, n);
    }
    return o;
}

Graph *budgeted_graph(const Graph *g, const Target *t, int64_t budget, const DimBind *binds, uint32_t n, bool *again, Status *st)
{
    Outside o = outside_bytes(g, binds, n);
    int64_t others = o.variables + o.fresh + o.results + o.inputs, arena;
    if (!fit_budget(g, t, binds, n, budget - others, again, &arena, st))
        return NULL;
    if (arena > budget - others) {
        status_fail(st, "a memory budget of %.2f MiB: '%s' needs at least %.2f MiB at these sizes (arena %.2f, variables %.2f, their new values %.2f, inputs %.2f, results %.2f)",
                    (double)budget / 1048576, g->name, (double)(arena + others) / 1048576, (double)arena / 1048576, (double)o.variables / 1048576, (double)o.fresh / 1048576,
                    (double)o.inputs / 1048576, (double)o.results / 1048576);
        return NULL;
    }
    return remat(g, again, NULL);
}

bool native_target(const ExecOptions *o, Target *t, Status *st)
{
    if (!target_detect(o->cpu, t, st))
        return false;
    t->winograd = o->exact || !pass_on(o->off, PASS_winograd) ? WINOGRAD_NEVER : o->winograd_always ? WINOGRAD_ALWAYS : WINOGRAD_PAYS;
    t->eager = o->winograd_always;
    t->off = o->off | (o->memory_budget ? (Passes)1 << PASS_keep : 0);        /* what is kept would stand beside the arena */
    t->tuned = o->tuned ? o->tuned : tune_db_default();
    t->debug = o->debug_kernels || debug_wanted();
    return true;
}
