/* program.c - a Graph made ready to run, on either backend, and a pass through it.
 *
 * Native: the graph is copied, simplified, fused and compiled once; what depends on sizes (arguments, the plan of memory) is kept for the last few
 * sets of sizes. A pass binds sizes, lays out one arena, runs kernels in order, looks at asserts and raised flags, and only then lets go of
 * results: new values of variables are computed into tensors of their own, which change places with the variables' at the end.
 * Arenas are shared by all programs of the process: steps of a training do not run at the same time.
 */
#include "program.h"

#include "../compiler/remat.h"
#include "interp.h"
#include "launch.h"
#include "profile.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CACHED_SIZES = 8, RUN_SLOTS = 16 };

typedef struct { DimBind binds[MAX_BINDS]; uint32_t nbinds; MemoryPlan plan; uint64_t made, used; } SizedPlan;

struct Program {
    Graph      *original;          /* the caller's */
    Graph      *g;                 /* simplified copy; NULL with the reference backend */
    Graph      *kept;              /* with a budget of memory: g before values were computed again, and which are; compiled when sizes are known */
    bool       *again;
    ExecOptions o;
    int         threads;
    Target      target;
    Fusion     *f;
    SizedPlan  *sizes[CACHED_SIZES];
    uint64_t    clock;
    Tensor     *fresh;             /* by write: where the new value is computed */
    void       *constants;         /* results of constant kernels (fuse_keep.c); for which weights and, where they depend on sizes, for which plan */
    uint64_t    constants_weights, constants_plan;
    bool        constants_sized;
    Profile    *profile;           /* NULL: not measured */
    Program    *single;            /* an export's for one item, where that asks for other algorithms than many do; or NULL */
    Program    *last;              /* single or this one: of the last pass */
    KernelWatch *watch;            /* program_watch's */
    void       *watch_ctx;
};

/* ---- making ---- */

static bool compile_native(Program *p, const char *dump_stage, Text *dump, Status *st)
{
    const Target *t = &p->target;
    if (!fusion_compile(p->f, code_cache(t, !p->o.no_cache && !t->debug), dump_stage, dump, st))
        return false;
    p->constants_sized = constants_know_sizes(p->f);
    return true;
}

static bool make_native(Program *p, const char *dump_stage, Text *dump, Status *st)
{
    p->f = fuse(p->g, &p->target, st);
    return p->f && compile_native(p, dump_stage, dump, st);
}

static bool same_algorithms(const Fusion *a, const Fusion *b)
{
    for (Ref r = 1; r < a->g->nodes.n; r++)
        if (a->plans[r] && (!b->plans[r] || memcmp(a->plans[r]->variant, b->plans[r]->variant, sizeof a->plans[r]->variant)))
            return false;
    return true;
}

/* A program of which nothing is made yet but its graph and target; NULL after an error. */
static Program *begin_native(const Model *m, Graph *g, const ExecOptions *o, const Tensor *first, Status *st)
{
    Program *p = xmalloc(sizeof *p);
    p->original = g;
    p->o = *o;
    p->threads = o->threads > 0 ? o->threads : omp_get_max_threads();
    p->g = native_target(o, &p->target, st) ? native_graph(m, g, o, first, &p->target, st) : NULL;
    if (!p->g) {
        program_free(p);
        return NULL;
    }
    p->fresh = xmalloc((p->g->writes.n + 1) * sizeof *p->fresh);
    return p;
}

/* Sets p->single where it differs from p. */
static bool make_single(Program *p, const Model *m, Status *st)
{
    Graph  *g = p->original;
    Tensor *one = xmalloc((g->inputs.n + 1) * sizeof *one);
    bool    any = false, ok = true;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        any |= free_batch(g, i);
        one[i].rank = g->inputs.at[i].rank;
        one[i].shape[0] = 1;
    }
    if (any && !g->writes.n) {
        Program *q = begin_native(m, g, &p->o, one, st);
        ok = q && (q->f = fuse(q->g, &q->target, st));
        bool differs = ok && !same_algorithms(p->f, q->f);
        ok = ok && (!differs || compile_native(q, NULL, NULL, st));
        if (ok && differs)
            p->single = q;
        else
            program_free(q);
    }
    free(one);
    return ok;
}

Program *program_new(const Model *m, Graph *g, const ExecOptions *o, Status *st) { return program_new_for(m, g, o, NULL, st); }

Program *program_new_as_used(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, Status *st)
{
    return program_new_for(m, g, o, g->writes.n ? inputs : NULL, st);
}

Program *program_new_for(const Model *m, Graph *g, const ExecOptions *o, const Tensor *first, Status *st)
{
    if (!g->sources && m)
        g->sources = m->sources;   /* what stops a run names files */
    if (o->backend == BACKEND_REFERENCE) {
        Program *p = xmalloc(sizeof *p);
        p->original = g;
        p->o = *o;
        return p;
    }
    Program *p = begin_native(m, g, o, first, st);
    if (!p)
        return NULL;
    if (o->memory_budget && pass_on(o->off, PASS_remat)) {     /* compiled when sizes are known */
        p->kept = p->g;
        p->g = remat(p->kept, p->again = xmalloc(p->kept->nodes.n + 1), NULL);
        return p;
    }
    if (!make_native(p, NULL, NULL, st) || (!first && !make_single(p, m, st))) {
        program_free(p);
        return NULL;
    }
    return p;
}

static void drop_plans(Program *p)
{
    for (int i = 0; i < CACHED_SIZES; i++) {
        if (p->sizes[i])
            plan_free(&p->sizes[i]->plan);
        free(p->sizes[i]);
        p->sizes[i] = NULL;
    }
}

void program_free(Program *p)
{
    if (!p)
        return;
    program_free(p->single);
    drop_plans(p);
    if (p->constants)
        munmap(p->constants, (size_t)p->f->kept_bytes);
    fusion_free(p->f);
    profile_free(p->profile);
    for (uint32_t i = 0; p->g && i < p->g->writes.n; i++)
        tensor_free(&p->fresh[i]);
    free(p->fresh);
    graph_free(p->g);
    graph_free(p->kept);
    free(p->again);
    free(p);
}

bool program_dump(const Model *m, Graph *g, const ExecOptions *o, const char *stage, Text *out, Status *st)
{
    Program p = { .o = *o };
    bool    fused = strcmp(stage, "fused") == 0;
    p.g = native_target(o, &p.target, st) ? native_graph(m, g, o, NULL, &p.target, st) : NULL;
    bool ok = p.g && make_native(&p, fused ? NULL : stage, fused ? NULL : out, st);
    if (ok && fused)
        fusion_print(p.f, out);
    fusion_free(p.f);
    graph_free(p.g);
    return ok;
}

/* ---- sizes ---- */

/* With a budget of memory: what must be computed again at these sizes is found, and compiled, unless the program as it is keeps to the budget. */
static bool keep_to_budget(Program *p, const DimBind *binds, uint32_t n, Status *st)
{
    MemoryPlan plan = { 0 };
    Outside    o = outside_bytes(p->kept, binds, n);
    bool       fits = p->f && plan_memory(p->f, binds, n, &plan, st) && plan.arena + o.variables + o.fresh + o.inputs + o.results <= p->o.memory_budget;
    plan_free(&plan);
    if (fits)
        return true;
    Graph *g = budgeted_graph(p->kept, &p->target, p->o.memory_budget, binds, n, p->again, st);
    if (!g)
        return false;
    drop_plans(p);
    fusion_free(p->f);
    graph_free(p->g);
    profile_free(p->profile);
    p->profile = NULL;
    p->f = NULL;
    p->g = g;
    return make_native(p, NULL, NULL, st);
}

static SizedPlan *plan_for(Program *p, const Tensor *inputs, const Tensor *vars, Status *st)
{
    SizedPlan now = { .nbinds = 0 };       /* one place is left for the number of threads */
    if (!bind_inputs(p->g, inputs, now.binds, &now.nbinds, MAX_BINDS - 1, st) || (vars && !bind_vars(p->g, vars, now.binds, &now.nbinds, MAX_BINDS - 1, st)))
        return NULL;
    now.binds[now.nbinds++] = (DimBind){ threads_dim(p->g->dims), p->threads };
    SizedPlan **slot = &p->sizes[0];
    for (int i = 0; i < CACHED_SIZES; i++) {
        SizedPlan *s = p->sizes[i];
        if (s && s->nbinds == now.nbinds && memcmp(s->binds, now.binds, now.nbinds * sizeof *now.binds) == 0) {
            s->used = ++p->clock;
            return s;
        }
        if (*slot && (!s || s->used < (*slot)->used))
            slot = &p->sizes[i];
    }
    if (!check_sizes(p->g, now.binds, now.nbinds, st) || !check_nodes(p->g, now.binds, now.nbinds, st))
        return NULL;
    if (p->kept) {
        if (!keep_to_budget(p, now.binds, now.nbinds, st))
            return NULL;
        slot = &p->sizes[0];
        for (int i = 0; i < CACHED_SIZES; i++)                 /* plans may be gone */
            if (!p->sizes[i])
                slot = &p->sizes[i];
    }
    if (!plan_memory(p->f, now.binds, now.nbinds, &now.plan, st))
        return NULL;
    if (*slot)
        plan_free(&(*slot)->plan);
    else
        *slot = xmalloc(sizeof **slot);
    now.made = now.used = ++p->clock;
    **slot = now;
    return *slot;
}

/* ---- arenas: one is kept for whoever runs next ---- */

typedef struct { size_t bytes; } ArenaHead;
enum { HEAD = 64 };
static ArenaHead *spare;

static void arena_drop(ArenaHead *a)
{
    if (a)
        munmap(a, a->bytes);
}

static void *map_memory(size_t bytes, Status *st)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        status_fail(st, "out of memory: %.1f MB for intermediate values", (double)bytes / 1e6);
        return NULL;
    }
    madvise(at, bytes, MADV_HUGEPAGE);
    return at;
}

static ArenaHead *arena_take(int64_t bytes, Status *st)
{
    ArenaHead *a = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
    size_t     need = ((size_t)bytes + HEAD + 4095) / 4096 * 4096;
    if (a && a->bytes >= need)
        return a;
    arena_drop(a);
    a = map_memory(need, st);
    if (!a)
        return NULL;
    a->bytes = need;
    return a;
}

static void arena_give(ArenaHead *a)
{
    ArenaHead *old = __atomic_exchange_n(&spare, a, __ATOMIC_ACQ_REL);
    arena_drop(old);
}

/* ---- a pass ---- */

typedef struct {
    Program         *p;
    const SizedPlan *s;
    const Tensor    *inputs;
    Tensor          *vars, *outputs, *reports;
    Tensor          *converted;    /* by buffer: an input or variable brought to its own type, or a default */
    ArenaHead       *arena;
    void           **at;           /* by buffer */
    float            run[RUN_SLOTS];
    int32_t         *flags;
    uint64_t         weights;      /* RunState's number for the variables that constant kernels depend on */
    Status          *st;
} Pass;

static bool shape_now(const Pass *q, Ref r, int64_t *shape)
{
    for (int i = 0; i < node(q->p->g, r)->rank; i++)
        if (!dim_eval(q->p->g->dims, node_shape(q->p->g, r)[i], q->s->binds, q->s->nbinds, &shape[i]))
            return status_fail(q->st, "a size is not known");
    return true;
}

/* For results: kernels write all of them, so nothing is cleared before. */
static bool new_tensor(const Pass *q, Ref r, Tensor *t)
{
    int64_t shape[MAX_RANK];
    if (!shape_now(q, r, shape) || !tensor_alloc_unset(t, (Dtype)node(q->p->g, r)->dtype, node(q->p->g, r)->rank, shape, q->st))
        return false;
    if (plan_guard)
        memset(t->data, 0xff, (size_t)tensor_count(t) * dtype_size(t->dtype));
    return true;
}

/* A tensor from outside as the kernels want it: dense, of the node's type. */
static bool bind_outside(Pass *q, uint32_t b, const Tensor *t, bool absent, double deflt, const char *what)
{
    Ref   r = q->p->f->buffers.at[b].value;
    Dtype want = (Dtype)node(q->p->g, r)->dtype;
    if (absent) {
        if (!new_tensor(q, r, &q->converted[b]))
            return false;
        for (int64_t i = 0, n = tensor_count(&q->converted[b]); i < n; i++)
            tensor_set(&q->converted[b], i, deflt);
    } else if (!t->data) {
        return status_fail(q->st, "%s has no value", what);
    } else {
        int64_t shape[MAX_RANK] = { 0 };
        bool    same = t->rank == node(q->p->g, r)->rank && shape_now(q, r, shape);
        for (int i = 0; i < t->rank && same; i++)
            same = shape[i] == t->shape[i];
        if (!same)
            return status_fail(q->st, "%s has another shape than the graph says", what);
        if (t->dtype != want && !tensor_copy(&q->converted[b], t, want, q->st))
            return false;
    }
    q->at[b] = q->converted[b].data ? q->converted[b].data : t->data;
    return true;
}

static bool same_shape(const Tensor *t, Dtype dtype, int rank, const int64_t *shape)
{
    bool same = t->data && t->dtype == dtype && t->rank == rank;
    for (int i = 0; i < rank && same; i++)
        same = t->shape[i] == shape[i];
    return same;
}

static bool bind_buffer(Pass *q, uint32_t i)
{
    const Graph  *g = q->p->g;
    const Buffer *b = &q->p->f->buffers.at[i];
    char          what[128];
    switch (b->home) {
    case HOME_INPUT: {
        const GraphInput *in = &g->inputs.at[b->index];
        snprintf(what, sizeof what, "input '%s'", in->name);
        return bind_outside(q, i, &q->inputs[b->index], !q->inputs[b->index].data && in->has_default, in->deflt, what);
    }
    case HOME_VAR:
        snprintf(what, sizeof what, "variable number %u", b->index);
        return q->vars ? bind_outside(q, i, &q->vars[b->index], false, 0, what) : status_fail(q->st, "%s has no value", what);
    case HOME_OUTPUT:
        q->at[i] = q->outputs[b->index].data;
        return true;
    case HOME_WRITE:
        q->at[i] = q->p->fresh[b->index].data;
        return true;
    case HOME_RUN:
        q->at[i] = q->run;
        return true;
    case HOME_FLAGS:
        q->at[i] = q->flags;
        return true;
    case HOME_KEPT:
        q->at[i] = (char *)q->p->constants + 64 * (size_t)b->index;
        return true;
    default:
        q->at[i] = q->s->plan.offset[i] < 0 ? NULL : (char *)q->arena + HEAD + q->s->plan.offset[i];
        return true;
    }
}

static bool alloc_results(Pass *q)
{
    const Graph *g = q->p->g;
    bool         ok = true;
    for (uint32_t i = 0; i < g->outputs.n && ok; i++)
        ok = new_tensor(q, g->outputs.at[i].value, &q->outputs[i]);
    for (uint32_t i = 0; q->reports && i < g->reports.n && ok; i++)
        ok = new_tensor(q, g->reports.at[i].value, &q->reports[i]);
    for (uint32_t i = 0; i < g->writes.n && ok; i++) {
        Ref     r = g->writes.at[i].value;
        int64_t shape[MAX_RANK];
        ok = shape_now(q, r, shape);
        if (!ok || same_shape(&q->p->fresh[i], (Dtype)node(g, r)->dtype, node(g, r)->rank, shape))
            continue;
        tensor_free(&q->p->fresh[i]);
        ok = new_tensor(q, r, &q->p->fresh[i]);
    }
    return ok;
}

/* Do constant kernels' results of an earlier pass hold for this one. */
static bool are_kept(const Pass *q, uint64_t weights)
{
    return weights && q->p->constants_weights == weights && (!q->p->constants_sized || q->p->constants_plan == q->s->made);
}

static void run_kernels(void *pass)
{
    Pass             *q = pass;
    const uint64_t    weights = q->weights;
    const Fusion     *f = q->p->f;
    const MemoryPlan *m = &q->s->plan;
    void             *bufs[512];
    bool              kept = are_kept(q, weights);
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        if (k->constant && kept)
            continue;
        void       **at = k->bufs.n <= COUNT(bufs) ? bufs : xmalloc(k->bufs.n * sizeof *at);
        for (uint32_t j = 0; j < k->bufs.n; j++)
            at[j] = q->at[k->bufs.at[j]];
        if (q->p->profile)
            profile_launch(q->p->profile, i, k->kernel.fn, at, m->args + m->args_at[i], m->tasks[i], m->work[i]);
        else
            launch(k->kernel.fn, at, m->args + m->args_at[i], m->tasks[i], m->work[i], q->p->threads);
        if (q->p->watch)
            q->p->watch(q->p->watch_ctx, &(KernelRun){ q->p->g, f, i, q->s->binds, q->s->nbinds, q->at });
        if (at != bufs)
            free(at);
    }
    q->p->constants_weights = weights;
    q->p->constants_plan = q->s->made;
}

void program_watch(Program *p, KernelWatch *watch, void *ctx)
{
    p->watch = watch;
    p->watch_ctx = ctx;
}

/* Tests only: the gaps between buffers, before and after. */
static bool guards_hold(const Pass *q, bool fill)
{
    const Fusion     *f = q->p->f;
    const MemoryPlan *m = &q->s->plan;
    for (uint32_t i = 0; i < f->buffers.n && plan_guard; i++) {
        if (m->offset[i] < 0)
            continue;
        uint8_t *behind = (uint8_t *)q->arena + HEAD + m->offset[i] + m->bytes[i], *before = behind - m->bytes[i] - plan_guard;
        if (fill)
            memset(behind, 0xa5, (size_t)plan_guard), memset(before, 0xa5, (size_t)plan_guard), memset(before + plan_guard, 0xff, (size_t)m->bytes[i]);
        for (int k = 0; k < plan_guard && !fill; k++)
            if (behind[k] != 0xa5 || before[k] != 0xa5)
                return status_fail(q->st, "a kernel wrote outside buffer %u (%%%u), byte %d", i, f->buffers.at[i].value, k);
    }
    return true;
}

/* ---- what must hold before results are given out ---- */

static bool check_flags(const Pass *q)
{
    const Graph *g = q->p->g;
    for (uint32_t i = 0; i < q->p->f->flags.n; i++) {
        if (!q->flags[2 * i])
            continue;
        Ref     r = q->p->f->flags.at[i], table = node(g, r)->op == OP_gather ? node_arg(g, r, 0) : r;
        int64_t rows = 0;
        char    where[256];
        dim_eval(g->dims, node_shape(g, table)[0], q->s->binds, q->s->nbinds, &rows);
        place_text(g, node(g, r)->loc, where, sizeof where);
        const char *chain = node(g, r)->chain && node(g, r)->chain < g->chains.n ? g->chains.at[node(g, r)->chain] : NULL;
        return status_fail(q->st, "%s%s%s: index %d is outside 0 to %lld%s%s", where, where[0] ? ": " : "", op_info[node(g, r)->op].name, q->flags[2 * i + 1],
                           (long long)rows - 1, chain ? ", " : "", chain ? chain : "");
    }
    return true;
}

static bool check_asserts(const Pass *q)
{
    const Graph *g = q->p->g;
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        const GraphAssert *a = &g->asserts.at[i];
        char               where[256];
        if (*(const uint8_t *)q->at[q->p->f->assert_buf.at[i]])
            continue;
        place_text(g, a->loc, where, sizeof where);
        return status_fail(q->st, "%s%sassert failed%s%s", where, where[0] ? ": " : "", a->message ? ": " : "", a->message ? a->message : "");
    }
    return true;
}

static bool is_finite(const Tensor *t)
{
    const uint32_t *bits = t->data;
    uint32_t        bad = 0;
    int64_t         n = t->dtype == DT_F32 ? tensor_count(t) : 0;
#pragma omp simd reduction(| : bad)
    for (int64_t i = 0; i < n; i++)
        bad |= (bits[i] & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

/* Which node is to blame is for the reference interpreter to say: slow, but it is over anyway. */
static bool blame(const Pass *q, const RunState *rs, const char *kind, const char *name)
{
    const Graph *g = q->p->g;
    uint32_t     n = g->outputs.n + g->reports.n + g->writes.n, k = 0;
    Ref         *want = xmalloc((n + 1) * sizeof *want);
    Tensor      *got = xmalloc((n + 1) * sizeof *got);
    uint8_t     *bad = xmalloc(g->nodes.n);
    Status       ignored = { 0 };
    for (uint32_t i = 0; i < g->outputs.n; i++)
        want[k++] = g->outputs.at[i].value;
    for (uint32_t i = 0; i < g->reports.n; i++)
        want[k++] = g->reports.at[i].value;
    for (uint32_t i = 0; i < g->writes.n; i++)
        want[k++] = g->writes.at[i].value;
    bool ran = interpret_traced(g, q->inputs, q->vars, rs, want, n, NULL, got, bad, &ignored);
    Ref  first = 0;
    for (Ref r = 1; ran && r < g->nodes.n && !first; r++) {
        first = bad[r] ? r : 0;
        for (int i = 0; i < node(g, r)->nargs && first; i++)
            first = bad[node_arg(g, r, i)] ? 0 : first;
    }
    for (uint32_t i = 0; ran && i < n; i++)
        tensor_free(&got[i]);
    char where[256] = "";
    if (first) {
        place_text(g, node(g, first)->loc, where, sizeof where);
        status_fail(q->st, "%s%s%s: the first number that is not finite comes from here", where, where[0] ? ": " : "", op_info[node(g, first)->op].name);
    } else {
        status_fail(q->st, "%s '%s' is not finite in f32 (it is in f64: numbers grow too large or too small on the way)", kind, name);
    }
    free(want);
    free(got);
    free(bad);
    return false;
}

static bool check_finite(const Pass *q, const RunState *rs)
{
    const Graph *g = q->p->g;
    if (!q->p->o.exact_nan_checks && !(rs && rs->check_finite))
        return true;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (!is_finite(&q->outputs[i]))
            return blame(q, rs, "output", g->outputs.at[i].name);
    for (uint32_t i = 0; q->reports && i < g->reports.n; i++)
        if (!is_finite(&q->reports[i]))
            return blame(q, rs, "report", g->reports.at[i].name);
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (!is_finite(&q->p->fresh[i]))
            return blame(q, rs, "variable", "written by the step");
    return true;
}

/* ---- results ---- */

static void copy_result(const Pass *q, uint32_t buffer, Tensor *t)
{
    if (q->at[buffer] != t->data)
        memcpy(t->data, q->at[buffer], (size_t)tensor_count(t) * dtype_size(t->dtype));
}

static void copy_results(const Pass *q)
{
    const Fusion *f = q->p->f;
    for (uint32_t i = 0; i < f->output_buf.n; i++)
        copy_result(q, f->output_buf.at[i], &q->outputs[i]);
    for (uint32_t i = 0; q->reports && i < f->report_buf.n; i++)
        copy_result(q, f->report_buf.at[i], &q->reports[i]);
    for (uint32_t i = 0; i < f->write_buf.n; i++)
        copy_result(q, f->write_buf.at[i], &q->p->fresh[i]);
}

/* The new tensor becomes the variable's, the variable's old one is computed into next time. */
static bool commit(Pass *q)
{
    const Graph *g = q->p->g;
    for (uint32_t i = 0; i < g->writes.n; i++) {
        Tensor *var = &q->vars[g->writes.at[i].var], *fresh = &q->p->fresh[i];
        if (var->data && var->dtype != fresh->dtype) {
            if (!tensor_copy(var, fresh, var->dtype, q->st))
                return false;
            continue;
        }
        Tensor old = *var;
        *var = *fresh;
        *fresh = old;
    }
    return true;
}

static void fill_run(Pass *q, const RunState *rs)
{
    for (int i = 0; rs && i <= RT_T; i++)
        q->run[i] = (float)rs->runtime[i];
    const uint32_t words[3] = { rs ? (uint32_t)rs->rng.seed : 0, rs ? (uint32_t)(rs->rng.seed >> 32) : 0, rs ? rs->rng.step : 0 };
    memcpy(&q->run[8], words, sizeof words);
}

/* Everything before the first kernel. end_pass comes behind it, whatever it returns. */
static bool begin_pass(Pass *q, const RunState *rs)
{
    Program *p = q->p;
    uint32_t n = p->f->buffers.n;
    if (q->outputs)
        memset(q->outputs, 0, p->g->outputs.n * sizeof *q->outputs);
    if (q->reports)
        memset(q->reports, 0, p->g->reports.n * sizeof *q->reports);
    q->at = xmalloc((n + 1) * sizeof *q->at);
    q->converted = xmalloc((n + 1) * sizeof *q->converted);
    q->flags = xmalloc((p->f->flags.n * 2 + 16) * sizeof *q->flags);
    fill_run(q, rs);
    q->arena = arena_take(q->s->plan.arena, q->st);
    if (p->f->kept_bytes && !p->constants)
        p->constants = map_memory((size_t)p->f->kept_bytes, q->st);
    bool ok = q->arena && (p->constants || !p->f->kept_bytes) && alloc_results(q);
    for (uint32_t i = 0; i < n && ok; i++)
        ok = bind_buffer(q, i);
    return ok;
}

/* ok: the results are the caller's; otherwise there are none. */
static void end_pass(Pass *q, bool ok)
{
    const Program *p = q->p;
    for (uint32_t i = 0; i < p->g->outputs.n && !ok; i++)
        tensor_free(&q->outputs[i]);
    for (uint32_t i = 0; q->reports && i < p->g->reports.n && !ok; i++)
        tensor_free(&q->reports[i]);
    if (q->arena)
        arena_give(q->arena);
    for (uint32_t i = 0; i < p->f->buffers.n; i++)
        tensor_free(&q->converted[i]);
    free(q->at);
    free(q->converted);
    free(q->flags);
}

/* p, or what it has for one item. */
static Program *suited(Program *p, const Tensor *inputs)
{
    p->last = p;
    for (uint32_t i = 0; p->single && i < p->original->inputs.n; i++)
        if (free_batch(p->original, i) && (inputs[i].rank < 1 || inputs[i].shape[0] != 1))
            return p;
    if (p->single)
        p->last = p->single;
    return p->last;
}

static bool run_native(Program *p, const Tensor *inputs, Tensor *vars, const RunState *rs, Tensor *outputs, Tensor *reports, Status *st)
{
    Pass q = { .p = p, .inputs = inputs, .vars = vars, .outputs = outputs, .reports = reports, .st = st };
    q.s = plan_for(p, inputs, vars, st);
    if (!q.s)
        return false;
    bool ok = begin_pass(&q, rs);
    if (ok) {
        guards_hold(&q, true);
        q.weights = !rs ? 0 : p->g->writes.n ? rs->frozen : rs->weights;
        team_run(p->threads, run_kernels, &q);
        ok = guards_hold(&q, false) && check_flags(&q) && check_asserts(&q);
    }
    if (ok && p->profile)
        profile_pass(p->profile);
    if (ok) {
        copy_results(&q);
        ok = check_finite(&q, rs) && commit(&q);
    }
    end_pass(&q, ok);
    return ok;
}

bool program_ready(Program *p, const Tensor *inputs, Tensor *vars, Status *st)
{
    if (p->o.backend == BACKEND_REFERENCE)
        return true;
    p = suited(p, inputs);
    Tensor *outputs = xmalloc((p->g->outputs.n + p->g->reports.n + 1) * sizeof *outputs);
    Pass    q = { .p = p, .inputs = inputs, .vars = vars, .outputs = outputs, .reports = outputs + p->g->outputs.n, .st = st };
    q.s = plan_for(p, inputs, vars, st);
    bool ok = q.s && begin_pass(&q, NULL);
    if (q.s)
        end_pass(&q, false);
    free(outputs);
    return ok;
}

bool program_run(Program *p, const Tensor *inputs, Tensor *vars, const RunState *rs, Tensor *outputs, Tensor *reports, Status *st)
{
    if (p->o.backend == BACKEND_REFERENCE)
        return reference_run(p->original, inputs, vars, rs, rs->check_finite || p->o.exact_nan_checks, outputs, reports, st);
    return run_native(suited(p, inputs), inputs, vars, rs, outputs, reports, st);
}

/* ---- what is known of a program: facts, measurements (profile.c) ---- */

static const SizedPlan *last_plan(const Program *p)
{
    const SizedPlan *s = NULL;
    for (int i = 0; i < CACHED_SIZES; i++)
        if (p->sizes[i] && (!s || p->sizes[i]->used > s->used))
            s = p->sizes[i];
    return s;
}

static const Program *last_run(const Program *p) { return p->last ? p->last : p; }

ProgramFacts program_facts(const Program *whole)
{
    const Program   *p = last_run(whole);
    const SizedPlan *s = last_plan(p);
    ProgramFacts     f = { .kernels = p->f ? p->f->kernels.n : 0, .compiled = whole->f ? whole->f->compiled : 0 };
    if (whole->single)
        f.compiled += whole->single->f->compiled;
    if (!s)
        return f;
    for (Ref r = 1; r < p->g->nodes.n; r++) {
        int64_t macs;
        if (dim_eval(p->g->dims, contract_macs(p->g, r), s->binds, s->nbinds, &macs))
            f.flops += 2.0 * (double)macs;
    }
    for (uint32_t i = 0; i < p->f->kernels.n; i++)
        f.tuned += p->f->kernels.at[i]->kind == FUSED_CONTRACT && p->f->kernels.at[i]->plan.tuned;
    f.arena = s->plan.arena;
    return f;
}

void program_measure(Program *p, bool trace)
{
    profile_free(p->profile);
    p->profile = p->f ? profile_new(p->f->kernels.n, p->threads, trace) : NULL;
    if (p->single)
        program_measure(p->single, trace);
}

void program_profile(const Program *p, const MachineRates *rates, Text *out)
{
    p = last_run(p);
    const SizedPlan *s = last_plan(p);
    if (p->profile && s)
        profile_print(p->profile, p->f, &s->plan, s->binds, s->nbinds, rates, out);
}

void program_trace(const Program *p, Text *out)
{
    p = last_run(p);
    const SizedPlan *s = last_plan(p);
    if (p->profile && s)
        profile_trace(p->profile, p->f, &s->plan, s->binds, s->nbinds, out);
}

const Fusion  *program_fusion(const Program *p)   { return last_run(p)->f; }
const Profile *program_profiled(const Program *p) { return last_run(p)->profile; }
