/* program_memory.c - what memory a graph's native program takes at given sizes, and what is alive at the peak: planned, never run. */
#include "program.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const Graph      *g;
    const Fusion     *f;
    const MemoryPlan *plan;
    DimBind           binds[MAX_BINDS];
    uint32_t          nbinds;
} Planned;

static const char *type_text(const Planned *p, Ref r, Arena *a)
{
    Text    t = { 0 };
    int64_t v;
    text_addf(&t, "%s[", dtype_name((Dtype)node(p->g, r)->dtype));
    for (int i = 0; i < node(p->g, r)->rank; i++)
        text_addf(&t, "%s%lld", i ? ", " : "", dim_eval(p->g->dims, node_shape(p->g, r)[i], p->binds, p->nbinds, &v) ? (long long)v : -1);
    text_add(&t, "]");
    const char *s = arena_printf(a, "%s", t.at);
    text_free(&t);
    return s;
}

static const char *node_place(const Planned *p, Ref r, Arena *a)
{
    char        where[256];
    const char *chain = p->g->chains.at[node(p->g, r)->chain];
    place_text(p->g, node_use(p->g, r), where, sizeof where);
    return arena_printf(a, "%s%s%s", where, where[0] && chain ? ", " : "", chain ? chain : "");
}

/* The node that a kernel is named after. */
static Ref kernel_node(const Fused *k)
{
    return k->contract ? k->contract : k->copy ? k->copy : k->part_of ? k->part_of : k->roots.n ? k->roots.at[0] : k->shape_of;
}

static const char *kernel_text(const Planned *p, const Fused *k, Arena *a)
{
    static const char *const kinds[] = { [FUSED_MAP] = "map", [FUSED_REDUCE] = "reduce", [FUSED_CONTRACT] = "contract", [FUSED_COMBINE] = "combine", [FUSED_PACK] = "pack",
                                         [FUSED_RELAYOUT] = "relayout", [FUSED_HALO] = "halo" };
    Ref         r = kernel_node(k);
    const char *place = r ? node_place(p, r, a) : "";
    return arena_printf(a, "%s %s%s%s", kinds[k->kind], r ? op_info[node(p->g, r)->op].name : "", *place ? ", " : "", place);
}

/* Memory that holds no value of the graph: which kernel's it is. */
static MemoryItem scratch_item(const Planned *p, uint32_t buffer, Arena *a)
{
    for (uint32_t i = 0; i < p->f->kernels.n; i++) {
        const Fused *k = p->f->kernels.at[i];
        bool         mine = k->packed == buffer || k->scratch == buffer || k->sums_at == buffer;
        for (uint32_t j = 0; j < k->uses.n; j++)
            mine |= k->uses.at[j] == buffer;
        if (!mine)
            continue;
        Ref         r = kernel_node(k);
        const char *what = k->packed == buffer ? "packed operand of %s" : "partial results of %s";
        return (MemoryItem){ arena_printf(a, what, op_info[node(p->g, r)->op].name), "", node_place(p, r, a), p->plan->bytes[buffer] };
    }
    return (MemoryItem){ "scratch", "", "", p->plan->bytes[buffer] };
}

static int by_bytes(const void *a, const void *b)
{
    const MemoryItem *x = a, *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : strcmp(x->place, y->place);
}

static void list_live(const Planned *p, MemoryReport *out)
{
    for (uint32_t i = 0; i < p->f->buffers.n; i++) {
        const Buffer *b = &p->f->buffers.at[i];
        if (b->home != HOME_ARENA || b->first == NONE || b->first > p->plan->peak || b->last < p->plan->peak)
            continue;
        if (b->within != NONE && p->f->buffers.at[b->within].last >= p->plan->peak)
            continue;                      /* in the kernel that writes it over its argument: one memory */
        MemoryItem m = b->value ? (MemoryItem){ op_info[node(p->g, b->value)->op].name, type_text(p, b->value, &out->text), node_place(p, b->value, &out->text), p->plan->bytes[i] }
                                : scratch_item(p, i, &out->text);
        if (b->value && !layout_equal(p->f->layout[b->value], b->layout))
            m.what = arena_printf(&out->text, "copy of %s", m.what);
        vec_push(&out->live, m);
    }
    if (out->live.n)
        qsort(out->live.at, out->live.n, sizeof *out->live.at, by_bytes);
}

/* The graph as the options ask for it at these sizes; NULL after a failure. */
static Graph *sized_graph(const Model *m, const Graph *g, const ExecOptions *o, const Target *t, const Tensor *inputs, Planned *p, Status *st)
{
    Graph *c = native_graph(m, g, o, inputs, t, st), *fit = c;
    bool   ok = c && bind_inputs(c, inputs, p->binds, &p->nbinds, MAX_BINDS - 1, st);
    if (ok) {
        p->binds[p->nbinds++] = (DimBind){ threads_dim(c->dims), o->threads > 0 ? o->threads : omp_get_max_threads() };
        ok = check_sizes(c, p->binds, p->nbinds, st) && check_nodes(c, p->binds, p->nbinds, st);
    }
    if (ok && o->memory_budget && pass_on(o->off, PASS_remat)) {
        bool *again = xmalloc(c->nodes.n + 1);
        fit = budgeted_graph(c, t, o->memory_budget, p->binds, p->nbinds, again, st);
        free(again);
    }
    if (fit != c || !ok)
        graph_free(c);
    return ok ? fit : NULL;
}

bool program_memory(const Model *m, const Graph *g, const ExecOptions *o, const Tensor *inputs, MemoryReport *out, Status *st)
{
    Target     t;
    Planned    p = { 0 };
    MemoryPlan plan = { 0 };
    *out = (MemoryReport){ 0 };
    if (!native_target(o, &t, st))
        return false;
    Graph  *c = sized_graph(m, g, o, &t, inputs, &p, st);
    Fusion *f = c ? fuse(c, &t, st) : NULL;
    bool    ok = f && plan_memory(f, p.binds, p.nbinds, &plan, st);
    if (ok) {
        p.g = c, p.f = f, p.plan = &plan;
        out->arena = plan.arena;
        out->bound = plan.bound;
        out->kept = f->kept_bytes;
        out->kernels = f->kernels.n;
        out->kernel = f->kernels.n ? plan.peak + 1 : 0;
        out->at = plan.peak < f->kernels.n ? kernel_text(&p, f->kernels.at[plan.peak], &out->text) : "";
        list_live(&p, out);
        Outside outside = outside_bytes(c, p.binds, p.nbinds);
        out->variables = outside.variables;
        out->fresh = outside.fresh;
        out->inputs = outside.inputs;
        out->results = outside.results;
    }
    plan_free(&plan);
    fusion_free(f);
    graph_free(c);
    return ok;
}

void program_memory_free(MemoryReport *r)
{
    vec_free(&r->live);
    arena_free(&r->text);
    *r = (MemoryReport){ 0 };
}
