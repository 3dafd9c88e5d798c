/* fuse_build.c - kernels with bodies, buffers and an order of execution.
 *
 * Bodies are lowered kernel by kernel; what a body loads marks buffers as read. When all are lowered, each root that someone reads gets its
 * store. Values wanted in another layout than they have are copied just before the first kernel that wants them; borders of zeros
 * are written before the value; weights are packed before their contraction. Last, kernels are put in order and buffers get their life-times.
 */
#include "fuse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- buffers ---- */

bool layout_equal(Layout a, Layout b)
{
    return a.block == b.block && a.dtype == b.dtype && memcmp(a.halo, b.halo, sizeof a.halo) == 0;
}

static bool has_halo(const Layout *l)
{
    return l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3];
}

static uint32_t buffer_new(Fusion *f, Ref value, Layout l, Dim elems, Home home, uint32_t index)
{
    Buffer b = { .value = value, .layout = l, .elems = elems, .home = home, .index = index, .first = NONE, .next = NONE, .within = NONE };
    vec_push(&f->buffers, b);
    return f->buffers.n - 1;
}

static uint32_t find_buffer(const Fusion *f, Ref r, Layout l)
{
    for (uint32_t i = f->first_buffer[r]; i != NONE; i = f->buffers.at[i].next)
        if (layout_equal(f->buffers.at[i].layout, l))
            return i;
    return NONE;
}

uint32_t buffer_of(Fusion *f, Ref r, Layout l)
{
    if (f->alias[r] && layout_equal(l, plain_layout(f->g, r))) {       /* in blocks or with a border it is memory of its own */
        r = kept_as(f, r);
        l = plain_layout(f->g, r);
    }
    uint32_t i = find_buffer(f, r, l);
    if (i != NONE)
        return i;
    const Node *n = node(f->g, r);
    bool        outside = (n->op == OP_input || n->op == OP_var) && layout_equal(l, plain_layout(f->g, r));
    Home        home = !outside ? HOME_ARENA : n->op == OP_input ? HOME_INPUT : HOME_VAR;
    i = buffer_new(f, r, l, layout_size(f->g->dims, n->rank, node_shape(f->g, r), &l), home, outside ? (uint32_t)node_attrs(f->g, r)[0] : 0);
    f->buffers.at[i].next = f->first_buffer[r];
    f->first_buffer[r] = i;
    return i;
}

static uint32_t scratch_of(Fusion *f, Dim elems)
{
    return buffer_new(f, 0, (Layout){ .block = 1, .dtype = DT_F32 }, elems, HOME_ARENA, 0);
}

static uint32_t special(Fusion *f, uint32_t *slot, Home home, Dtype t)
{
    if (*slot == NONE)
        *slot = buffer_new(f, 0, (Layout){ .block = 1, .dtype = (uint8_t)t }, dim_const(f->g->dims, 64), home, 0);
    return *slot;
}

/* The body's number for a buffer. */
static int use(Fusion *f, Fused *k, uint32_t buffer, bool write)
{
    for (uint32_t i = 0; i < k->uses.n; i++)
        if (k->uses.at[i] == buffer)
            return (int)i;
    const Buffer *b = &f->buffers.at[buffer];
    BufUse        u = { .value = b->value, .layout = b->layout, .write = write, .is_scratch = b->value == 0, .elems = b->elems };
    vec_push(&k->uses, buffer);
    vec_push(&k->kernel.bufs, u);
    if (!write)
        f->buffers.at[buffer].read = true;
    return (int)k->uses.n - 1;
}

/* ---- copies into other layouts ---- */

static bool is_leaf_memory(const Fusion *f, Ref r)
{
    return node(f->g, r)->op == OP_input || node(f->g, r)->op == OP_var;
}

static Layout stored_layout(const Fusion *f, Ref r)
{
    return is_leaf_memory(f, r) || f->alias[r] ? plain_layout(f->g, r) : f->layout[r];
}

/* A buffer with r in layout l; made by a copy before kernel `anchor` when r is not stored so. */
static uint32_t in_layout(Fusion *f, Ref r, Layout l, uint32_t anchor)
{
    if (layout_equal(stored_layout(f, r), l)) {
        uint32_t primary = buffer_of(f, r, l);
        Ref      k = kept_as(f, r);        /* an alias needs the row-major form of what it stands for */
        if (!f->alias[r] || layout_equal(stored_layout(f, k), plain_layout(f->g, k)) || f->buffers.at[primary].first != NONE)
            return primary;
        r = k;
        l = plain_layout(f->g, k);
    }
    uint32_t b = buffer_of(f, r, l);
    if (f->buffers.at[b].first != NONE)
        return b;
    f->buffers.at[b].first = anchor;       /* for the time being: it has its copy */
    Layout have = stored_layout(f, r);
    if (f->alias[r])
        in_layout(f, r, have, anchor);     /* what the copy reads */
    bool   turn = can_relayout(f->g, r, have, l) && pass_on(f->target->off, PASS_relayout);
    Fused *k = fused_new(f, turn ? FUSED_RELAYOUT : FUSED_MAP, r, l);
    if (turn) {
        k->in[0] = buffer_of(f, r, have);
        f->buffers.at[k->in[0]].read = true;
        plan_relayout(f, k, have, l);
    }
    k->copy = r;
    k->copy_to = b;
    k->anchor = anchor;
    k->rank = 1;
    return b;
}

/* ---- what Lower asks ---- */

typedef struct { Fusion *f; Fused *k; } Ask;

static bool own_root(const Fused *k, Ref r)
{
    for (uint32_t i = 0; i < k->roots.n && !k->part_of && k->kind != FUSED_REDUCE; i++)
        if (k->roots.at[i] == r)
            return true;
    return false;
}

static bool same_sizes(const Graph *g, Ref a, Ref b)
{
    return node(g, a)->rank == node(g, b)->rank && memcmp(node_shape(g, a), node_shape(g, b), node(g, a)->rank * sizeof(Dim)) == 0;
}

static bool ask_stored(void *ctx, Ref r, bool linear, Stored *s)
{
    Ask    *q = ctx;
    Fusion *f = q->f;
    if (q->k->contract == r && (q->k->kind == FUSED_CONTRACT || q->k->kind == FUSED_COMBINE)) {
        *s = (Stored){ .acc = true, .layout = q->k->layout };
        return !linear;
    }
    if (!is_kept(f, r) || own_root(q->k, r))
        return false;
    Layout l = linear ? plain_layout(f->g, r) : stored_layout(f, r);
    if (l.block > 1 && q->k->layout.block == 1 && !q->k->copy && q->k->kind != FUSED_REDUCE && same_sizes(f->g, r, q->k->shape_of))
        l = plain_layout(f->g, r);         /* rows are not read well from blocks */
    else if (f->alias[r] && !linear && q->k->layout.block > 1 && !q->k->copy && node(f->g, r)->rank == 4 && same_sizes(f->g, r, q->k->shape_of))
        l.block = q->k->layout.block;      /* nor blocks from rows */
    uint32_t b = in_layout(f, r, l, q->k->anchor);
    *s = (Stored){ .layout = l, .buf = use(f, q->k, b, false) };
    return true;
}

static int ask_flag(void *ctx, Ref r)
{
    Fusion *f = ((Ask *)ctx)->f;
    for (uint32_t i = 0; i < f->flags.n; i++)
        if (f->flags.at[i] == r)
            return (int)i;
    vec_push(&f->flags, r);
    return (int)f->flags.n - 1;
}

/* The reduction that computes root r's partial results. */
static Fused *reduction_of(const Fusion *f, Ref r, uint32_t *which)
{
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        Fused *k = f->kernels.at[i];
        for (uint32_t j = 0; k->kind == FUSED_REDUCE && j < k->roots.n; j++)
            if (k->roots.at[j] == r) {
                *which = j;
                return k;
            }
    }
    return NULL;
}

static bool ask_partials(void *ctx, Ref r, Partials *p)
{
    Ask         *q = ctx;
    uint32_t     which;
    const Fused *c = sum_taker(q->f, r, &which);
    *p = (Partials){ 0 };
    if (c) {
        p->slots = sum_slots(&c->plan, q->f->g->dims);
        p->at = p->slots.at[which];
        p->moments = c->plan.moments[which];
        p->each = c->plan.sums_each;
        p->middle = c->sums.at[which].squares == r ? c->sums.at[which].middle : 0;
        p->buf = use(q->f, q->k, c->sums_at, false);
        return true;
    }
    Fused *k = reduction_of(q->f, r, &which);
    if (!k || k->whole || !k->has_body)
        return false;
    p->chunks = k->body.chunks;
    p->l = q->f->layout[r];
    memset(p->l.halo, 0, sizeof p->l.halo);        /* the result's, which parts of it have not */
    p->buf = use(q->f, q->k, k->partials + which, false);
    return true;
}

/* ---- bodies ---- */

static Lower lower_for(Fusion *f, Fused *k, Body *b, Ask *ask, BodyKind kind)
{
    Lower lo = { .g = f->g, .target = f->target, .b = b, .stored = ask_stored, .flag = ask_flag, .partials = ask_partials, .ctx = ask };
    *ask = (Ask){ f, k };
    body_init(b, kind);
    k->has_body |= b == &k->body;
    lower_start(&lo);
    return lo;
}

/* The buffers that instructions use behind the scenes. */
static void use_specials(Fusion *f, Fused *k, Body *b)
{
    for (uint32_t i = 1; i < b->ins.n; i++) {
        const Ins *s = &b->ins.at[i];
        if (s->op == L_RUNTIME || ((s->op == L_UNIFORM || s->op == L_NORMAL) && !s->flag))
            b->run_buf = use(f, k, special(f, &f->run_buf, HOME_RUN, DT_F32), false);
        if (s->op == L_ROW)
            b->flags_buf = use(f, k, special(f, &f->flags_buf, HOME_FLAGS, DT_I32), true);
    }
}

static void push_root(Body *b, Root r) { b->root[b->nroots++] = r; }

/* Values now, stores when it is known which are read. */
static void lower_map(Fusion *f, Fused *k)
{
    Ask   ask;
    Lower lo = lower_for(f, k, &k->body, &ask, k->kind == FUSED_MAP ? BODY_MAP : BODY_EPILOGUE);
    const Node *n = node(f->g, k->shape_of);
    lower_domain(&lo, n->rank, node_shape(f->g, k->shape_of), &k->layout, 0);
    if (k->copy) {                         /* in the same block: halos differ, or it is of one byte */
        Root root = { .value = lower_value(&lo, k->copy, lo.at, lo.keep), .keep = lo.keep };
        root.buf = use(f, k, k->copy_to, true);
        root.at = lower_offset(&lo, n->rank, node_shape(f->g, k->copy), &f->buffers.at[k->copy_to].layout, lo.at);
        push_root(&k->body, root);
    } else if (k->part_of) {
        Ref      whole = k->part_of;
        Layout   l = f->layout[whole];
        int64_t  axis = node_attrs(f->g, whole)[0];
        IndexId  at[MAX_RANK];
        Root     root = { .value = lower_value(&lo, k->roots.at[0], lo.at, lo.keep), .keep = lo.keep };
        memcpy(at, lo.at, sizeof at);
        at[axis] = index_offset(&k->body, f->g->dims, at[axis], k->part_at);
        root.buf = use(f, k, buffer_of(f, whole, l), true);
        root.at = lower_offset(&lo, n->rank, node_shape(f->g, whole), &l, at);
        push_root(&k->body, root);
    } else {
        for (uint32_t i = 0; i < k->roots.n; i++) {
            Ref  r = k->roots.at[i];
            Root root = { .value = lower_value(&lo, r, lo.at, lo.keep), .keep = lo.keep };
            root.at = lower_offset(&lo, n->rank, node_shape(f->g, r), &f->layout[r], lo.at);
            push_root(&k->body, root);
        }
        for (uint32_t i = 0; i < k->sums.n; i++)
            k->body.sum[k->body.nsums++] = lower_value(&lo, node_arg(f->g, k->sums.at[i].sum, 0), lo.at, lo.keep);
    }
    use_specials(f, k, &k->body);
    lower_done(&lo);
}

/* What a contraction computes where it reads its first operand. */
static void lower_load(Fusion *f, Fused *k)
{
    const Dim *shape = node_shape(f->g, k->loaded);
    Layout     l = { .block = (uint8_t)f->target->vec, .dtype = DT_F32 };
    Ask        ask;
    Lower      lo = lower_for(f, k, &k->load, &ask, BODY_EPILOGUE);
    lower_domain(&lo, 4, shape, &l, 0);
    push_root(&k->load, (Root){ .value = lower_value(&lo, k->loaded, lo.at, lo.keep), .keep = lo.keep, .buf = -1 });
    use_specials(f, k, &k->load);
    body_seal(&k->load, f->g->dims, f->target);
    lower_done(&lo);
}

static void lower_reduction(Fusion *f, Fused *k)
{
    Graph      *g = f->g;
    Ask         ask;
    Lower       lo = lower_for(f, k, &k->body, &ask, BODY_REDUCE);
    const Node *n = node(g, k->shape_of);
    Layout      out = f->layout[k->roots.at[0]];
    memset(out.halo, 0, sizeof out.halo);
    k->body.whole = k->whole;
    lower_domain(&lo, n->rank, node_shape(g, k->shape_of), &k->layout, k->reduced);
    IndexId at[MAX_RANK];
    for (int i = 0; i < n->rank; i++)
        at[i] = k->reduced >> i & 1 ? 0 : lo.at[i];
    bool part = k->layout.block > 1 && !(k->reduced & 2) && out.block == 1;
    for (uint32_t i = 0; i < k->roots.n; i++) {
        Ref  r = k->roots.at[i];
        Root root = { .keep = lo.keep, .only = part ? lo.keep : 0, .how = node(g, r)->op == OP_amax ? HOW_MAX : HOW_SUM };
        root.value = lower_value(&lo, node_arg(g, r, 0), lo.at, lo.keep);
        Layout to = k->whole ? f->layout[r] : out;
        root.at = lower_offset(&lo, n->rank, node_shape(g, r), &to, at);
        push_root(&k->body, root);
    }
    Dim size = layout_size(g->dims, n->rank, node_shape(g, k->roots.at[0]), &out);
    use_specials(f, k, &k->body);
    k->body.chunk_stride = size;
    /* stores before sealing: their addresses count in collapsing */
    if (k->whole) {
        for (uint32_t i = 0; i < k->roots.n; i++)
            k->body.root[i].buf = use(f, k, buffer_of(f, k->roots.at[i], f->layout[k->roots.at[i]]), true);
        body_seal(&k->body, g->dims, f->target);
    } else {
        body_seal(&k->body, g->dims, f->target);
        for (uint32_t i = 0; i < k->roots.n; i++) {
            uint32_t b = scratch_of(f, dim_mul(g->dims, k->body.chunks, size));
            f->buffers.at[b].layout.dtype = node(g, k->roots.at[i])->dtype;
            if (i == 0)
                k->partials = b;
            k->body.root[i].buf = use(f, k, b, true);
        }
    }
    lower_done(&lo);
}

/* ---- contractions ---- */

static uint32_t operand(Fusion *f, Fused *k, int i)
{
    Ref    a = node_arg(f->g, k->contract, i);
    Layout have = stored_layout(f, a), want = k->plan.in[i];
    bool   fits = have.block == want.block;
    for (int j = 0; j < 4; j++)
        fits &= have.halo[j] >= want.halo[j];
    if (k->plan.packed == i || fits)
        want = have;
    k->plan.in[i] = want;
    uint32_t b = in_layout(f, a, want, k->anchor);
    f->buffers.at[b].read = true;
    return b;
}

/* Do two contractions of one operand want it packed alike. */
static bool packs_alike(const Fusion *f, const Fused *a, const Fused *b)
{
    const Graph *g = f->g;
    const Node  *x = node(g, a->contract), *y = node(g, b->contract);
    int          other = 1 - a->plan.packed;
    return x->op == y->op && a->plan.packed == b->plan.packed && x->nattrs == y->nattrs
        && memcmp(node_attrs(g, a->contract), node_attrs(g, b->contract), x->nattrs * sizeof(int64_t)) == 0 && same_sizes(g, a->contract, b->contract)
        && same_sizes(g, node_arg(g, a->contract, other), node_arg(g, b->contract, other)) && a->plan.in[other].block == b->plan.in[other].block
        && memcmp(a->plan.variant, b->plan.variant, sizeof a->plan.variant) == 0 && a->plan.packed_elems == b->plan.packed_elems;
}

/* The kernel that packs what k wants, if there is one already. */
static Fused *find_pack(const Fusion *f, const Fused *k)
{
    uint32_t operand = k->in[k->plan.packed];
    for (uint32_t i = f->kernels.n; i-- > 0;)
        if (f->kernels.at[i]->kind == FUSED_PACK && f->kernels.at[i]->in[0] == operand && packs_alike(f, f->kernels.at[i], k))
            return f->kernels.at[i];
    return NULL;
}

static void bind_contraction(Fusion *f, Fused *k)
{
    if (k->kind == FUSED_COMBINE) {        /* the partial sums of the kernel before */
        const Fused *c = f->kernels.at[k->seq - 1];
        k->plan = c->plan;
        k->scratch = c->scratch;
        return;
    }
    for (int i = 0; i < 2; i++)
        if (i || !k->loaded)
            k->in[i] = operand(f, k, i);
    if (k->loaded)
        lower_load(f, k);
    if (k->plan.scratch_elems)
        k->scratch = scratch_of(f, k->plan.scratch_elems);
    k->plan.nsums = (int)k->sums.n;
    for (uint32_t i = 0; i < k->sums.n; i++)
        k->plan.moments[i] = k->sums.at[i].squares != 0;
    if (k->sums.n)
        k->sums_at = scratch_of(f, sum_slots(&k->plan, f->g->dims).elems);
    if (k->plan.packed < 0)
        return;
    Fused *p = find_pack(f, k);
    if (p) {
        k->packed = p->packed;
        return;
    }
    k->packed = scratch_of(f, k->plan.packed_elems);
    p = fused_new(f, FUSED_PACK, k->contract, plain_layout(f->g, k->contract));
    p->contract = k->contract;
    p->plan = k->plan;
    p->in[0] = k->in[k->plan.packed];
    p->packed = k->packed;
    p->anchor = k->anchor;
    p->rank = 3;
}

/* ---- stores of what is read ---- */

static bool is_read(Fusion *f, Ref r)
{
    for (uint32_t i = f->first_buffer[r]; i != NONE; i = f->buffers.at[i].next)
        if (f->buffers.at[i].read && layout_equal(f->buffers.at[i].layout, f->layout[r]))
            return true;
    return false;
}

static void store_roots(Fusion *f, Fused *k)
{
    Body    *b = &k->body;
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->roots.n; i++) {
        Ref r = k->roots.at[i];
        if (!is_read(f, r))
            continue;
        b->root[n] = b->root[i];
        k->roots.at[n] = r;
        b->root[n].buf = use(f, k, buffer_of(f, r, f->layout[r]), true);
        n++;
    }
    b->nroots = k->roots.n = n;
}

/* An epilogue returns one f32 value, the first root; when none of those that are read is one, the contraction's own result is. */
static void order_epilogue(Fusion *f, Fused *k)
{
    Body *b = &k->body;
    for (uint32_t i = 0; i < k->roots.n; i++) {
        if (node(f->g, k->roots.at[i])->dtype != DT_F32)
            continue;
        Root first = b->root[i];
        Ref  r = k->roots.at[i];
        b->root[i] = b->root[0];
        k->roots.at[i] = k->roots.at[0];
        b->root[0] = first;
        k->roots.at[0] = r;
        return;
    }
    assert(!"an epilogue has an f32 result");
}

static void keep_contraction(Fusion *f, Fused *k)
{
    bool any = false;
    for (uint32_t i = 0; i < k->roots.n; i++)
        any |= node(f->g, k->roots.at[i])->dtype == DT_F32 && is_read(f, k->roots.at[i]);
    if (any)
        return;
    uint32_t b = buffer_of(f, k->contract, f->layout[k->contract]);        /* may be new */
    f->buffers.at[b].read = true;
}

/* ---- borders ---- */

static void add_halo(Fusion *f, uint32_t buffer, uint32_t anchor)
{
    Buffer *b = &f->buffers.at[buffer];
    Fused  *k = fused_new(f, FUSED_HALO, b->value, b->layout);
    k->anchor = anchor;
    k->rank = 0;
    k->copy_to = buffer;
}

static void add_halos(Fusion *f)
{
    uint32_t n = f->kernels.n;
    for (uint32_t i = 0; i < n; i++) {
        Fused *k = f->kernels.at[i];
        if (k->copy && has_halo(&f->buffers.at[k->copy_to].layout))
            add_halo(f, k->copy_to, k->anchor);
        bool first_part = k->part_of && k->part_at == 0 && (i == 0 || f->kernels.at[i - 1]->part_of != k->part_of);
        if (first_part && has_halo(&f->layout[k->part_of]))
            add_halo(f, buffer_of(f, k->part_of, f->layout[k->part_of]), k->anchor);
        for (uint32_t j = 0; j < k->roots.n && !k->part_of && k->kind != FUSED_PACK; j++)
            if (has_halo(&f->layout[k->roots.at[j]]) && (k->kind != FUSED_REDUCE || k->whole))
                add_halo(f, buffer_of(f, k->roots.at[j], f->layout[k->roots.at[j]]), k->anchor);
    }
}

/* ---- what leaves the graph ---- */

static uint32_t export(Fusion *f, Ref r)
{
    uint32_t b = in_layout(f, r, plain_layout(f->g, r), f->kernel_of[kept_as(f, r)] == NONE ? 0 : f->kernel_of[kept_as(f, r)] + 1);
    f->buffers.at[b].read = f->buffers.at[b].keep = true;
    return b;
}

static void export_all(Fusion *f)
{
    Graph *g = f->g;
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        uint32_t b = export(f, g->outputs.at[i].value);
        if (f->buffers.at[b].home == HOME_ARENA) {
            f->buffers.at[b].home = HOME_OUTPUT;
            f->buffers.at[b].index = i;
        }
        vec_push(&f->output_buf, b);
    }
    for (uint32_t i = 0; i < g->reports.n; i++)
        vec_push(&f->report_buf, export(f, g->reports.at[i].value));
    for (uint32_t i = 0; i < g->writes.n; i++) {
        uint32_t b = export(f, g->writes.at[i].value);
        if (f->buffers.at[b].home == HOME_ARENA) {
            f->buffers.at[b].home = HOME_WRITE;
            f->buffers.at[b].index = i;
        }
        vec_push(&f->write_buf, b);
    }
    for (uint32_t i = 0; i < g->asserts.n; i++)
        vec_push(&f->assert_buf, export(f, g->asserts.at[i].cond));
}

/* ---- order and life-times ---- */

static int by_order(const void *a, const void *b)
{
    const Fused *x = *(Fused *const *)a, *y = *(Fused *const *)b;
    if (x->anchor != y->anchor)
        return x->anchor < y->anchor ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void find_lives(Fusion *f)
{
    Touches t = { 0 };
    for (uint32_t i = 0; i < f->buffers.n; i++) {
        f->buffers.at[i].first = NONE;
        f->buffers.at[i].last = 0;
    }
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        t.n = 0;
        touches_of(f->kernels.at[i], &t);
        for (uint32_t j = 0; j < t.n; j++) {
            Buffer *b = &f->buffers.at[t.at[j].buffer];
            b->first = b->first == NONE ? i : b->first;
            b->last = i;
        }
    }
    vec_free(&t);
    for (uint32_t i = 0; i < f->buffers.n; i++)
        if (f->buffers.at[i].keep)
            f->buffers.at[i].last = f->kernels.n;
}

/* ---- the whole ---- */

void build_bodies(Fusion *f)
{
    uint32_t planned = f->kernels.n, done = 0;
    for (uint32_t i = 0; i < planned; i++) {
        Fused *k = f->kernels.at[i];
        if (k->kind == FUSED_REDUCE)
            lower_reduction(f, k);
        else if (k->kind == FUSED_MAP)
            lower_map(f, k);
        else {
            bind_contraction(f, k);
            if (k->roots.n)
                lower_map(f, k);
        }
    }
    export_all(f);
    for (done = planned; done < f->kernels.n; done++)          /* copies read what they copy */
        if (f->kernels.at[done]->copy && f->kernels.at[done]->kind == FUSED_MAP)
            lower_map(f, f->kernels.at[done]);
    for (uint32_t i = 0; i < f->kernels.n; i++)
        if (f->kernels.at[i]->contract && f->kernels.at[i]->roots.n)
            keep_contraction(f, f->kernels.at[i]);
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        Fused *k = f->kernels.at[i];
        bool   plain = k->has_body && !k->copy && !k->part_of && k->kind != FUSED_REDUCE;
        if (plain)
            store_roots(f, k);
        if (plain && k->contract)
            order_epilogue(f, k);
        if (k->has_body && k->kind != FUSED_REDUCE)
            body_seal(&k->body, f->g->dims, f->target);
    }
    add_halos(f);
    if (f->kernels.n)                      /* none: a graph that only passes inputs on */
        qsort(f->kernels.at, f->kernels.n, sizeof *f->kernels.at, by_order);
    put_off_kernels(f);
    find_lives(f);
    keep_constants(f);
    find_in_place(f);
}

/* ---- looking on ---- */

uint32_t values_made(const Fusion *f, uint32_t kernel, uint32_t *buffers, uint32_t max)
{
    const Fused *k = f->kernels.at[kernel];
    uint32_t     n = 0;
    for (uint32_t i = kernel + 1; k->part_of && i < f->kernels.n; i++)
        if (f->kernels.at[i]->part_of == k->part_of)
            return 0;
    if (k->copy && k->kind != FUSED_HALO)
        buffers[n++] = k->copy_to;
    for (uint32_t i = 0; !k->copy && k->has_body && i < k->body.nroots && n < max; i++) {
        uint32_t b = k->uses.at[k->body.root[i].buf];
        if (f->buffers.at[b].value)
            buffers[n++] = b;
    }
    return n;
}
