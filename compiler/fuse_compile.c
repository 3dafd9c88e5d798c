/* fuse_compile.c - machine code for the kernels of a Fusion: descriptors, what of them is new, emission of that, buffers in the order that emission decided.
 *
 * A descriptor is all that a kernel's code depends on beside the target: for loops the sealed body, where sizes are argument numbers; for contractions the plan,
 * the shapes and the epilogue. code_cache.c keeps code by descriptor.
 */
#include "fuse.h"

#include "../runtime/launch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- descriptors ---- */

static bool is_loops(const Fused *k) { return k->kind == FUSED_MAP || k->kind == FUSED_REDUCE; }
static bool has_own_args(const Fused *k) { return is_loops(k) || k->kind == FUSED_RELAYOUT; }

static void layout_text(Layout l, Text *out)
{
    text_addf(out, " %u/%u(%d %d %d %d)", l.block, l.dtype, l.halo[0], l.halo[1], l.halo[2], l.halo[3]);
}

static void shape_text(const Graph *g, Ref r, Text *out)
{
    text_addf(out, " [");
    for (int i = 0; i < node(g, r)->rank; i++) {
        dim_print(g->dims, node_shape(g, r)[i], out);
        text_add(out, ", ");
    }
    text_add(out, "]");
}

static Layout result_layout(const Fusion *f, const Fused *k)
{
    return k->roots.n ? f->layout[k->roots.at[0]] : f->layout[k->contract];
}

static void contraction_text(const Fusion *f, const Fused *k, Text *out)
{
    const Graph *g = f->g;
    const Node  *n = node(g, k->contract);
    text_addf(out, "%d %s", (int)k->kind, op_info[n->op].name);
    for (int i = 0; i < n->nattrs; i++)
        text_addf(out, " %lld", (long long)node_attrs(g, k->contract)[i]);
    for (int i = 0; i < 2; i++) {
        shape_text(g, node_arg(g, k->contract, i), out);
        layout_text(k->plan.in[i], out);
    }
    if (node_arg(g, k->contract, 0) == node_arg(g, k->contract, 1))
        text_add(out, " same");
    shape_text(g, k->contract, out);
    layout_text(result_layout(f, k), out);
    for (size_t i = 0; i < COUNT(k->plan.variant); i++)
        text_addf(out, " %d", k->plan.variant[i]);
    for (int i = 0; i < k->plan.nsums && k->kind == FUSED_CONTRACT; i++)
        text_addf(out, " %s%s", k->plan.moments[i] ? "moments" : "sum", k->plan.sums_each ? " each" : "");
    text_add(out, "\n");
    Kernel names = { .bufs = { k->kernel.bufs.at, k->kernel.bufs.n, k->kernel.bufs.cap } };
    if (k->loaded)
        body_text(&k->load, g->dims, &names, out);
    if (k->has_body)
        body_text(&k->body, g->dims, &names, out);
    text_add(out, "args");
    for (uint32_t i = 0; i < names.args.n; i++) {
        text_add(out, " ");
        dim_print(g->dims, names.args.at[i], out);
    }
    text_add(out, "\n");
    vec_free(&names.args);
}

static Dim domain_size(const Fusion *f, const Fused *k)
{
    DimTable *d = f->g->dims;
    Dim       n = dim_const(d, 1);
    for (uint32_t l = 0; l < k->body.ndomain; l++)
        n = dim_mul(d, n, k->body.loop[l].extent);
    return n;
}

static void describe(Fusion *f, Fused *k)
{
    Text  t = { 0 };
    Ref   r = k->contract ? k->contract : k->copy ? k->copy : k->roots.n ? k->roots.at[0] : k->shape_of;
    const char *what = k->copy ? "copy" : k->kind == FUSED_PACK ? "pack" : k->kind == FUSED_COMBINE ? "combine" : k->kind == FUSED_REDUCE ? "reduce" : NULL;
    const char *op = what ? what : op_info[node(f->g, r)->op].name;
    snprintf(k->kernel.name, sizeof k->kernel.name, "%s_%u", op, k->seq);
    k->kernel.loc = node(f->g, r)->loc;
    if (is_loops(k)) {
        body_text(&k->body, f->g->dims, &k->kernel, &t);
        k->kernel.tasks = loops_tasks(&k->body, f->g->dims, f->target);
        k->kernel.flops = dim_scale(f->g->dims, domain_size(f, k), k->body.ins.n);
        for (uint32_t i = 0; i < k->uses.n; i++)
            vec_push(&k->bufs, k->uses.at[i]);
    } else if (k->kind == FUSED_RELAYOUT) {
        text_add(&t, k->layout.block > 1 ? "relayout to blocks" : "relayout to rows");
        vec_push(&k->bufs, k->in[0]);
        vec_push(&k->bufs, k->copy_to);
    } else {
        contraction_text(f, k, &t);
        k->kernel.bufs.n = 0;              /* emission fills them */
    }
    if (f->target->debug) {
        char where[256];
        k->kernel.graph = f->g;
        k->kernel.node = r;
        text_addf(&t, "place %s\n", place_text(f->g, node_use(f->g, r), where, sizeof where));
    }
    k->text = t.at;
}

/* Borders are a runtime kernel: images, rows, columns, elements a pixel, halo, bytes an element. */
static void describe_halo(Fusion *f, Fused *k)
{
    DimTable     *d = f->g->dims;
    const Buffer *b = &f->buffers.at[k->copy_to];
    const Dim    *shape = node_shape(f->g, b->value);
    const Layout *l = &b->layout;
    Dim           images = dim_mul(d, shape[0], l->block > 1 ? dim_ceildiv(d, shape[1], l->block) : shape[1]);
    int64_t       bytes = l->dtype == DT_BOOL ? 1 : 4;
    Dim           args[] = { images, shape[2], shape[3], dim_const(d, l->block), dim_const(d, l->halo[0]), dim_const(d, l->halo[1]), dim_const(d, l->halo[2]),
                             dim_const(d, l->halo[3]), dim_const(d, bytes) };
    snprintf(k->kernel.name, sizeof k->kernel.name, "halo_%u", k->seq);
    for (size_t i = 0; i < COUNT(args); i++)
        vec_push(&k->kernel.args, args[i]);
    k->kernel.tasks = images;
    k->kernel.flops = dim_mul(d, images, dim_add(d, dim_scale(d, shape[3], l->halo[0] + l->halo[1]), dim_scale(d, shape[2], 4)));
    k->kernel.fn = zero_halo;
    vec_push(&k->bufs, k->copy_to);
}

/* ---- emission ---- */

enum { ROLE_IN0, ROLE_IN1, ROLE_PACKED, ROLE_SCRATCH, ROLE_SUMS, ROLE_USE };  /* ROLE_USE + i: the body's buffer i */

typedef struct { Fusion *f; Fused **kernels; } Emission;
typedef struct { Fusion *f; Fused *k; PrologueWalk *walk; } EpilogueCtx;

/* Adds the buffers of prologue and epilogue, the first time that one of them is emitted: they come behind the contraction's own. */
static void add_buffers(EpilogueCtx *c, Emit *e)
{
    Fused *k = c->k;
    int    out = k->body.root[0].buf;
    for (uint32_t i = k->map.n; i < k->uses.n; i++) {
        const Buffer *b = &c->f->buffers.at[k->uses.at[i]];
        bool          write = false;
        for (uint32_t j = 0; j < k->body.nroots; j++)
            write |= k->body.root[j].buf == (int)i;
        vec_push(&k->map, (int)i == out ? -1 : kernel_buf(e->kernel, (BufUse){ .layout = b->layout, .write = write, .is_scratch = true, .elems = b->elems }));
    }
}

static LLVMValueRef run_prologue(void *ctx, Emit *e, const At4 *at, PrologueStep step)
{
    EpilogueCtx *c = ctx;
    add_buffers(c, e);
    return loops_prologue(&c->walk, &c->k->load, c->k->map.at, e, at, step);
}

static LLVMValueRef run_epilogue(void *ctx, Emit *e, LLVMValueRef acc, const At4 *at)
{
    EpilogueCtx *c = ctx;
    add_buffers(c, e);
    return loops_epilogue(&c->k->body, c->k->map.at, e, acc, at);
}

/* What each buffer of an emitted contraction is. */
static void find_roles(const Fusion *f, Fused *k)
{
    bool packed = k->kind == FUSED_PACK || (k->kind == FUSED_CONTRACT && k->plan.packed >= 0), sums = k->sums_at != NONE, scratch = k->scratch != NONE;     /* in the order packed, scratch, sums */
    for (uint32_t i = 0; i < k->kernel.bufs.n; i++) {
        const BufUse *b = &k->kernel.bufs.at[i];
        int           role = -1;
        for (uint32_t j = 0; j < k->map.n; j++)
            if (k->map.at[j] == (int)i)
                role = ROLE_USE + (int)j;
        if (role < 0 && b->value == 0) {
            role = packed ? ROLE_PACKED : scratch || !sums ? ROLE_SCRATCH : ROLE_SUMS;
            scratch &= packed || !sums;
            packed = false;
        } else if (role < 0 && b->write) {
            role = ROLE_USE + k->body.root[0].buf;
        } else if (role < 0) {
            bool first = b->value == node_arg(f->g, k->contract, 0) && layout_equal(b->layout, k->plan.in[0]);   /* both operands may be one value */
            role = k->kind == FUSED_PACK || first ? ROLE_IN0 : ROLE_IN1;
        }
        vec_push(&k->role, role);
    }
}

static bool only_passes(const Fused *k)
{
    return k->body.nroots == 1 && !k->body.nsums && k->body.ins.at[k->body.root[0].value].op == L_ACC;
}

static void emit_one(void *ctx, Emit *e, uint32_t i)
{
    Emission   *m = ctx;
    Fused      *k = m->kernels[i];
    EpilogueCtx c = { m->f, k, NULL };
    if (is_loops(k)) {
        loops_emit(e, &k->body);
        return;
    }
    if (k->kind == FUSED_RELAYOUT) {
        emit_relayout(e, k->layout.block > 1);
        return;
    }
    Epilogue ep = !k->has_body || only_passes(k) ? NULL : run_epilogue;
    if (k->kind == FUSED_PACK)
        emit_pack(e, &k->plan);
    else if (k->kind == FUSED_COMBINE)
        emit_combine(e, &k->plan, result_layout(m->f, k), ep, &c);
    else
        emit_contract(e, &k->plan, result_layout(m->f, k), k->loaded ? run_prologue : NULL, ep, &c);
    loops_prologue_end(c.walk);
    find_roles(m->f, k);
}

/* ---- the whole ---- */

static void bind_buffers(Fused *k)
{
    for (uint32_t i = 0; i < k->role.n; i++) {
        int role = k->role.at[i];
        vec_push(&k->bufs, role == ROLE_IN0 ? k->in[0] : role == ROLE_IN1 ? k->in[1] : role == ROLE_PACKED ? k->packed : role == ROLE_SCRATCH ? k->scratch
                          : role == ROLE_SUMS ? k->sums_at : k->uses.at[role - ROLE_USE]);
    }
}

static void take_code(Fusion *f, Fused *k, const Code *c)
{
    DimTable *d = f->g->dims;
    k->kernel.fn = c->fn;
    if (has_own_args(k)) {
        assert(k->kernel.args.n == c->args.n);
        return;
    }
    k->kernel.args.n = k->role.n = 0;
    for (uint32_t i = 0; i < c->args.n; i++) {
        const char *s = c->args.at[i];
        vec_push(&k->kernel.args, dim_parse(d, &s));
    }
    for (uint32_t i = 0; i < c->role.n; i++)
        vec_push(&k->role, c->role.at[i]);
    const char *tasks = c->tasks, *flops = c->flops;
    k->kernel.tasks = dim_parse(d, &tasks);
    k->kernel.flops = dim_parse(d, &flops);
    bind_buffers(k);
}

/* kernels[0..n): one of each descriptor that is not here already, or of each. */
static uint32_t find_new(const Fusion *f, const CodeCache *cache, bool all, Fused **kernels)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        Fused *k = f->kernels.at[i];
        bool   seen = k->kind == FUSED_HALO || (!all && code_find(cache, k->text));
        for (uint32_t j = 0; j < n && !seen; j++)
            seen = strcmp(kernels[j]->text, k->text) == 0;
        if (!seen)
            kernels[n++] = k;
    }
    return n;
}

/* As find_new, without what the disk has. */
static uint32_t find_missing(const Fusion *f, CodeCache *cache, Fused **kernels)
{
    uint32_t     n = find_new(f, cache, false, kernels), left = 0;
    const char **texts = xmalloc((n + 1) * sizeof *texts);
    for (uint32_t i = 0; i < n; i++)
        texts[i] = kernels[i]->text;
    codes_fetch(cache, texts, n);
    for (uint32_t i = 0; i < n; i++)
        if (!code_find(cache, texts[i]))
            kernels[left++] = kernels[i];
    free(texts);
    return left;
}

static char *dim_string(const DimTable *d, Dim x)
{
    Text t = { 0 };
    dim_print(d, x, &t);
    return t.at;
}

static void keep_code(CodeCache *c, const Fused *k, const DimTable *d)
{
    if (code_find(c, k->text))
        return;
    Code code = { .text = xstrdup(k->text), .fn = k->kernel.fn, .tasks = dim_string(d, k->kernel.tasks), .flops = dim_string(d, k->kernel.flops) };
    for (uint32_t i = 0; i < k->kernel.args.n; i++)
        vec_push(&code.args, dim_string(d, k->kernel.args.at[i]));
    for (uint32_t i = 0; i < k->role.n; i++)
        vec_push(&code.role, k->role.at[i]);
    code_keep(c, code, k->kernel.code, k->kernel.code_size);
}

bool fusion_compile(Fusion *f, CodeCache *cache, const char *dump_stage, Text *dump, Status *st)
{
    Fused  **kernels = xmalloc((f->kernels.n + 1) * sizeof *kernels);
    Kernel **list = xmalloc((f->kernels.n + 1) * sizeof *list);
    for (uint32_t i = 0; i < f->kernels.n; i++)
        (f->kernels.at[i]->kind == FUSED_HALO ? describe_halo : describe)(f, f->kernels.at[i]);
    code_lock(cache);
    uint32_t n = dump_stage ? find_new(f, cache, true, kernels) : find_missing(f, cache, kernels);
    for (uint32_t i = 0; i < n; i++)
        list[i] = &kernels[i]->kernel;
    Emission m = { f, kernels };
    Jit     *jit = n ? code_jit(cache, st) : NULL;
    bool     ok = !n || (jit && jit_compile(jit, f->g->dims, list, n, emit_one, &m, dump_stage, dump, st));
    for (uint32_t i = 0; i < n && ok; i++)
        keep_code(cache, kernels[i], f->g->dims);
    codes_kept(cache);
    for (uint32_t i = 0; i < f->kernels.n && ok; i++)
        if (f->kernels.at[i]->kind != FUSED_HALO)
            take_code(f, f->kernels.at[i], code_find(cache, f->kernels.at[i]->text));
    code_unlock(cache);
    f->compiled = n;
    free(kernels);
    free(list);
    return ok;
}
