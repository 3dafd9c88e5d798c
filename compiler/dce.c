/* dce.c - dead code: keeps the nodes that outputs, reports, writes and asserts need, in their order, and drops the rest.
 *
 * requires: a valid graph; keeps: topological order, places, inputs (also unused ones: they are the graph's signature), size checks;
 * breaks: every Ref held outside the graph.
 * It does not look for outputs nobody reads; that is for who builds the graph to say.
 */
#include <stdlib.h>
#include <string.h>

#include "simplify.h"

Graph *graph_like(const Graph *g)
{
    Graph *t = graph_new(g->name, g->dims);
    for (uint32_t i = 0; i < g->checks.n; i++)
        vec_push(&t->checks, g->checks.at[i]);
    return t;
}

Ref copy_node(Graph *to, const Graph *from, Ref r, const Ref *map)
{
    const Node *n = node(from, r);
    Ref         few[8], *args = n->nargs <= COUNT(few) ? few : xmalloc(sizeof(Ref) * n->nargs);
    for (int i = 0; i < n->nargs; i++)
        args[i] = map[node_arg(from, r, i)];
    to->loc = n->loc;
    to->use = n->use;
    to->chain = n->chain;
    to->hint = n->hint;
    to->again = n->flags & FLAG_AGAIN;
    bool given = op_info[n->op].flags & FLAG_SHAPE_GIVEN;
    Ref  c = make_node(to, (Op)n->op, (Dtype)n->dtype, given ? n->rank : 0, given ? node_shape(from, r) : NULL, n->nargs, args, n->nattrs,
                       node_attrs(from, r), n->value);
    to->again = false;
    if (args != few)
        free(args);
    return c;
}

void copy_lists(Graph *to, const Graph *g, const Ref *map)
{
    to->sources = g->sources;
    to->loc = g->loc;
    for (uint32_t i = 0; i < g->likely.n; i++)
        vec_push(&to->likely, g->likely.at[i]);
    for (uint32_t i = 0; i < g->trained.n; i++)
        vec_push(&to->trained, g->trained.at[i]);
    for (uint32_t i = 1; i < g->chains.n; i++)
        vec_push(&to->chains, g->chains.at[i]);
    for (uint32_t i = 1; i < g->hints.n; i++)
        vec_push(&to->hints, g->hints.at[i]);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        vec_push(&to->inputs, g->inputs.at[i]);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        vec_push(&to->outputs, g->outputs.at[i]);
        to->outputs.at[i].value = map[g->outputs.at[i].value];
    }
    for (uint32_t i = 0; i < g->reports.n; i++) {
        vec_push(&to->reports, g->reports.at[i]);
        to->reports.at[i].value = map[g->reports.at[i].value];
    }
    for (uint32_t i = 0; i < g->writes.n; i++) {
        vec_push(&to->writes, g->writes.at[i]);
        to->writes.at[i].value = map[g->writes.at[i].value];
    }
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        vec_push(&to->asserts, g->asserts.at[i]);
        to->asserts.at[i].cond = map[g->asserts.at[i].cond];
    }
}

Graph *graph_clone(const Graph *g)
{
    Graph *to = graph_like(g);
    Ref   *map = xmalloc((g->nodes.n + 1) * sizeof *map);
    for (Ref r = 1; r < g->nodes.n; r++)
        map[r] = copy_node(to, g, r, map);
    copy_lists(to, g, map);
    free(map);
    return to;
}

void adopt_nodes(Graph *g, Graph *from, const Ref *map)
{
    Graph old = *g;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.at[i].value = map[g->outputs.at[i].value];
    for (uint32_t i = 0; i < g->reports.n; i++)
        g->reports.at[i].value = map[g->reports.at[i].value];
    for (uint32_t i = 0; i < g->writes.n; i++)
        g->writes.at[i].value = map[g->writes.at[i].value];
    for (uint32_t i = 0; i < g->asserts.n; i++)
        g->asserts.at[i].cond = map[g->asserts.at[i].cond];
#define ADOPT(field) (memcpy(&g->field, &from->field, sizeof g->field), memcpy(&from->field, &old.field, sizeof g->field))
    ADOPT(nodes);
    ADOPT(dims_pool);
    ADOPT(arg_pool);
    ADOPT(attr_pool);
    ADOPT(buckets);
    ADOPT(nbuckets);
#undef ADOPT
    graph_free(from);
}

/* live[r]: something that the graph leaves behind needs r. Arguments are older than their users, so one sweep downwards does it. */
static bool *mark_live(const Graph *g)
{
    bool *live = xmalloc(g->nodes.n + 1);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        live[g->outputs.at[i].value] = true;
    for (uint32_t i = 0; i < g->reports.n; i++)
        live[g->reports.at[i].value] = true;
    for (uint32_t i = 0; i < g->writes.n; i++)
        live[g->writes.at[i].value] = true;
    for (uint32_t i = 0; i < g->asserts.n; i++)
        live[g->asserts.at[i].cond] = true;
    for (Ref r = g->nodes.n; r-- > 1;)
        for (int i = 0; i < node(g, r)->nargs && live[r]; i++)
            live[node_arg(g, r, i)] = true;
    return live;
}

void dce(Graph *g)
{
    bool  *live = mark_live(g);
    Ref   *map = xmalloc(sizeof(Ref) * (g->nodes.n + 1));
    Graph *t = graph_like(g);
    for (Ref r = 1; r < g->nodes.n; r++)
        if (live[r])
            map[r] = copy_node(t, g, r, map);
    adopt_nodes(g, t, map);
    free(live);
    free(map);
}
