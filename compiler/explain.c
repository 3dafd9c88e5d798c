/* explain.c - what `pastiche explain` tells: for each kernel what was fused into it and what it reads from others, with the reasons that fuse_roots.c and fuse.c noted.
 *
 *   bytes moved   of all buffers that a kernel reads or writes, each once: what memory sees at least
 *   bytes saved   what would be written and read besides if each op had a kernel of its own: a value that is computed where it is read is
 *                 neither stored nor loaded, one that is stored but also read in its own kernel is not loaded there, one that two ops of a kernel read is loaded once
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

const char *const why_text[WHY_COUNT] = {
    [WHY_none] = "",
#define WHY(name, text) [WHY_##name] = text,
#include "fuse_reasons.def"
#undef WHY
};
static const char *const why_name[] = {
    [WHY_none] = "",
#define WHY(name, text) [WHY_##name] = #name,
#include "fuse_reasons.def"
#undef WHY
};

/* ---- what a kernel computes and reads ---- */

typedef struct { const Fusion *f; const Fused *k; KernelNodes *out; bool *seen; } Walk;

static bool is_reduction(const Graph *g, Ref r) { return node(g, r)->op == OP_sum || node(g, r)->op == OP_amax; }

static void visit(Walk *w, Ref r);

static void compute(Walk *w, Ref r)
{
    const Graph *g = w->f->g;
    bool         adds_partials = w->k->kind != FUSED_REDUCE && is_reduction(g, r) && is_kept(w->f, r);
    vec_push(&w->out->computed, r);
    if (adds_partials || (r == w->k->contract && w->k->kind == FUSED_COMBINE)) {
        vec_push(&w->out->read, r);
        return;
    }
    for (int i = 0; i < node(g, r)->nargs; i++)
        visit(w, node_arg(g, r, i));
}

static void visit(Walk *w, Ref r)
{
    const Fusion *f = w->f;
    Ref           kept = is_kept(f, r) ? kept_as(f, r) : r;
    if (w->seen[kept])
        return;
    w->seen[kept] = true;
    if (!is_kept(f, r) || (f->kernel_of[kept] == w->k->seq && !w->k->part_of))
        compute(w, kept);
    else
        vec_push(&w->out->read, kept);
}

void kernel_nodes(const Fusion *f, const Fused *k, KernelNodes *out)
{
    Walk w = { f, k, out, xmalloc(f->g->nodes.n) };
    memset(out, 0, sizeof *out);
    if (k->kind == FUSED_PACK) {
        visit(&w, node_arg(f->g, k->contract, k->plan.packed));
    } else if (k->copy) {
        vec_push(&out->read, kept_as(f, k->copy));
    } else if (k->part_of) {
        visit(&w, k->roots.at[0]);
    } else if (k->kind != FUSED_HALO) {
        if (k->contract) {
            w.seen[k->contract] = true;
            compute(&w, k->contract);
        }
        for (uint32_t i = 0; i < k->roots.n; i++)
            if (!w.seen[k->roots.at[i]]) {
                w.seen[k->roots.at[i]] = true;
                compute(&w, k->roots.at[i]);
            }
        for (uint32_t i = 0; i < k->sums.n; i++)
            visit(&w, node_arg(f->g, k->sums.at[i].sum, 0));
    }
    free(w.seen);
}

void kernel_nodes_free(KernelNodes *n)
{
    vec_free(&n->computed);
    vec_free(&n->read);
}

/* ---- places ---- */

static int by_place(const void *a, const void *b)
{
    const Loc *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->line < y->line ? -1 : x->line > y->line;
}

void kernel_places(const Fusion *f, const Fused *k, uint32_t most, Text *out)
{
    const Graph *g = f->g;
    KernelNodes  n;
    Vec(Loc)     at = { 0 };
    char         where[256];
    uint32_t     told = 0;
    kernel_nodes(f, k, &n);
    if (!n.computed.n)
        vec_push(&n.computed, k->copy ? k->copy : k->shape_of);
    for (uint32_t i = 0; i < n.computed.n; i++) {
        Loc loc = node_use(g, n.computed.at[i]);
        if (loc.line && op_info[node(g, n.computed.at[i])->op].class != CLASS_LEAF)
            vec_push(&at, loc);
    }
    if (at.n)
        qsort(at.at, at.n, sizeof *at.at, by_place);
    for (uint32_t i = 0; i < at.n; i++) {
        if (i && by_place(&at.at[i - 1], &at.at[i]) == 0)
            continue;
        if (most && told == most) {
            text_add(out, ", ...");
            break;
        }
        bool same_file = told && at.at[i].file == at.at[i - 1].file;
        if (same_file)
            text_addf(out, ", %u", at.at[i].line);
        else
            text_addf(out, "%s%s", told ? "; " : "", place_text(g, at.at[i], where, sizeof where));
        told++;
    }
    vec_free(&at);
    kernel_nodes_free(&n);
}

/* ---- bytes ---- */

void kernel_buffers(const Fusion *f, const Fused *k, void (*fn)(void *ctx, uint32_t buffer), void *ctx)
{
    bool     packs = k->kind == FUSED_PACK, contract = k->kind == FUSED_CONTRACT;
    uint32_t fixed[7], n = 0;
    for (int i = 0; i < 2; i++)
        if (k->in[i] != NONE && !(contract && k->plan.packed == i))
            fixed[n++] = k->in[i];
    if (k->packed != NONE && (packs || contract))
        fixed[n++] = k->packed;
    if (k->scratch != NONE)
        fixed[n++] = k->scratch;
    if (k->sums_at != NONE)
        fixed[n++] = k->sums_at;
    if (k->kind == FUSED_HALO || k->kind == FUSED_RELAYOUT)
        fixed[n++] = k->copy_to;
    (void)f;
    for (uint32_t i = 0; i < n; i++) {
        bool again = false;
        for (uint32_t j = 0; j < i; j++)
            again |= fixed[j] == fixed[i];
        if (!again)
            fn(ctx, fixed[i]);
    }
    for (uint32_t i = 0; i < k->uses.n; i++) {
        bool again = false;
        for (uint32_t j = 0; j < n; j++)
            again |= fixed[j] == k->uses.at[i];
        if (!again)
            fn(ctx, k->uses.at[i]);
    }
}

static Dim sized(const Graph *g, Dim elems, Dtype t) { return dim_scale(g->dims, elems, t == DT_BOOL ? 1 : 4); }
static Dim value_bytes(const Graph *g, Ref r)        { return sized(g, element_count(g, r), (Dtype)node(g, r)->dtype); }
static Dim buffer_bytes(const Fusion *f, uint32_t b) { return sized(f->g, f->buffers.at[b].elems, (Dtype)f->buffers.at[b].layout.dtype); }

typedef struct { const Fusion *f; Dim sum; Ref only; } Sum;

/* Scratch (value 0) counts for only == 0 as for everything. */
static void add_buffer(void *ctx, uint32_t b)
{
    Sum *s = ctx;
    if (!s->only || s->f->buffers.at[b].value == s->only)
        s->sum = dim_add(s->f->g->dims, s->sum, buffer_bytes(s->f, b));
}

static Dim moved_by(const Fusion *f, const Fused *k, Ref only)
{
    Sum s = { f, 0, only };
    kernel_buffers(f, k, add_buffer, &s);
    return s.sum;
}

static bool is_stored(const Fusion *f, Ref r)
{
    for (uint32_t i = f->first_buffer[r]; i != NONE; i = f->buffers.at[i].next)
        if (f->buffers.at[i].read)
            return true;
    return false;
}

/* ---- reasons ---- */

Why why_apart(const Fusion *f, Ref value, const Fused *k)
{
    for (uint32_t i = 0; i < f->met.n; i++)
        if (f->met.at[i].value == value && f->met.at[i].kernel == k->seq)
            return (Why)f->met.at[i].why;
    return k->copy ? WHY_relayout : k->kind == FUSED_PACK ? WHY_packed : WHY_none;
}

/* The reduction whose partial results of r are added up elsewhere. */
static const Fused *partial_of(const Fusion *f, Ref r, uint32_t *buffer)
{
    uint32_t     which;
    const Fused *taker = sum_taker(f, r, &which);
    if (taker) {
        *buffer = taker->sums_at;
        return taker;
    }
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        for (uint32_t j = 0; k->kind == FUSED_REDUCE && !k->whole && j < k->roots.n; j++)
            if (k->roots.at[j] == r) {
                *buffer = k->partials + j;
                return k;
            }
    }
    return NULL;
}

/* Readers of a value among those placed in a kernel. */
static uint32_t readers_in(const Fusion *f, Ref value, const Fused *k)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->met.n; i++)
        n += f->met.at[i].value == value && f->met.at[i].kernel == k->seq && f->met.at[i].why != WHY_partial;
    return n;
}

static bool reads_only(Op op)      /* says how values are read, computes none: no kernel of its own even without fusion */
{
    switch (op) {
    case OP_const: case OP_runtime: case OP_size: case OP_cast: case OP_stop: case OP_broadcast: case OP_transpose: case OP_slice: case OP_reshape:
    case OP_input: case OP_var: return true;
    default: return false;
    }
}

/* ---- telling ---- */

typedef struct {
    const Fusion  *f;
    const DimBind *binds;
    uint32_t       n;
    bool           json;
    Text          *out;
    uint32_t      *index;          /* of the kernel with a seq */
    bool          *counted;        /* nodes whose store is among what is saved */
    Dim            saved, moved;
} Tell;

static void bytes_text(const Tell *t, Dim bytes)
{
    int64_t v;
    if (dim_eval(t->f->g->dims, bytes, t->binds, t->n, &v)) {
        if (t->json || v < 10000)
            text_addf(t->out, t->json ? "%lld" : "%lld B", (long long)v);
        else
            text_addf(t->out, v < 10000000 ? "%.1f kB" : "%.1f MB", (double)v / (v < 10000000 ? 1e3 : 1e6));
        return;
    }
    text_add(t->out, t->json ? "\"" : "");
    dim_print(t->f->g->dims, bytes, t->out);
    text_add(t->out, t->json ? "\"" : " B");
}

static const char *op_name(const Graph *g, Ref r) { return op_info[node(g, r)->op].name; }

static void place_add(const Tell *t, Ref r)
{
    char where[256];
    place_text(t->f->g, node_use(t->f->g, r), where, sizeof where);
    if (t->json)
        text_json(t->out, where);
    else
        text_add(t->out, where);
}

static void told_fused(Tell *t, Ref r, Why why, Dim saved, const char *comma)
{
    const Graph *g = t->f->g;
    t->saved = dim_add(g->dims, t->saved, saved);
    if (t->json) {
        text_addf(t->out, "%s{\"value\": %u, \"op\": \"%s\", \"place\": ", comma, r, op_name(g, r));
        place_add(t, r);
        text_addf(t->out, ", \"reason\": \"%s\", \"why\": ", why_name[why]);
        text_json(t->out, why_text[why]);
        text_add(t->out, ", \"saved\": ");
        bytes_text(t, saved);
        text_add(t->out, "}");
        return;
    }
    text_addf(t->out, "    with %s %%%u (", op_name(g, r), r);
    place_add(t, r);
    text_add(t->out, "), saves ");
    bytes_text(t, saved);
    text_addf(t->out, "%s%s\n", why ? ": " : "", why_text[why]);
}

static void told_apart(Tell *t, const Fused *k, Ref r, const char *comma)
{
    const Fusion *f = t->f;
    const Graph  *g = f->g;
    Op            op = (Op)node(g, r)->op;
    bool          outside = op == OP_input || op == OP_var;
    Why           stored = outside ? WHY_none : (Why)f->why[r], apart = why_apart(f, r, k);
    uint32_t      maker = f->kernel_of[r];
    Dim           moved = moved_by(f, k, r);
    if (k->kind == FUSED_CONTRACT && k->plan.packed >= 0 && r == node_arg(g, k->contract, k->plan.packed))
        moved = dim_add(g->dims, moved, buffer_bytes(f, k->packed));
    if (apart == WHY_partial && k->kind == FUSED_COMBINE) {
        maker = k->seq - 1;
        moved = buffer_bytes(f, k->scratch);
    } else if (apart == WHY_partial) {
        uint32_t b;
        maker = partial_of(f, r, &b)->seq;
        moved = buffer_bytes(f, b);
    }
    if (t->json) {
        text_addf(t->out, "%s{\"value\": %u, \"op\": \"%s\", \"place\": ", comma, r, op_name(g, r));
        place_add(t, r);
        if (maker != NONE)
            text_addf(t->out, ", \"from\": %u", t->index[maker]);
        text_addf(t->out, ", \"stored\": \"%s\", \"apart\": \"%s\", \"why\": ", why_name[stored], why_name[apart]);
        Text why = { 0 };
        text_addf(&why, "%s%s%s", why_text[apart], apart && stored ? "; stored: " : "", why_text[stored]);
        text_json(t->out, why.at ? why.at : "");
        text_free(&why);
        text_add(t->out, ", \"moved\": ");
        bytes_text(t, moved);
        text_add(t->out, "}");
        return;
    }
    text_addf(t->out, "    reads %s %%%u", op_name(g, r), r);
    if (maker != NONE)
        text_addf(t->out, " of kernel %u", t->index[maker]);
    text_add(t->out, " (");
    place_add(t, r);
    text_add(t->out, "), moves ");
    bytes_text(t, moved);
    text_addf(t->out, "%s%s%s%s\n", apart || stored ? ": " : "", why_text[apart], apart && stored ? "; stored: " : "", why_text[stored]);
}

static bool is_in(const KernelNodes *n, Ref r)
{
    for (uint32_t i = 0; i < n->computed.n; i++)
        if (n->computed.at[i] == r)
            return true;
    return false;
}

/* What is saved by computing node r where it is read, in a kernel that computes `n`: loads there, and the store if this is the first one. */
static Why fused_why(Tell *t, const Fused *k, const KernelNodes *n, Ref r, Dim *saved)
{
    const Fusion *f = t->f;
    int64_t       times = 0;
    bool          kept = is_kept(f, r);
    Why           why = kept ? WHY_none : (Why)f->why[r];
    for (uint32_t i = f->uses_begin[r]; !kept && i < f->uses_begin[r + 1]; i++)
        times += is_in(n, f->users[i]);
    for (uint32_t i = 0; kept && i < f->met.n; i++)
        if (f->met.at[i].kernel == k->seq && f->met.at[i].value == 0 && f->met.at[i].reader == r)
            why = (Why)f->met.at[i].why;
    bool partial = kept && ((k->kind == FUSED_REDUCE && !k->whole) || (k->kind == FUSED_CONTRACT && k->plan.combine));
    if (kept)
        times = readers_in(f, r, k);
    if (!partial && !t->counted[r] && (!kept || !is_stored(f, r))) {
        t->counted[r] = true;
        times++;
    }
    *saved = dim_scale(f->g->dims, value_bytes(f->g, r), times);
    return why;
}

/* Sums that a contraction takes along: each would be a reduction that loads what it sums. */
static void tell_sums(Tell *t, const Fused *k, const char *comma)
{
    for (uint32_t i = 0; i < k->sums.n; i++) {
        const Ref sums[] = { k->sums.at[i].sum, k->sums.at[i].squares };
        for (int j = 0; j < 2 && sums[j]; j++) {
            told_fused(t, sums[j], WHY_statistics, value_bytes(t->f->g, node_arg(t->f->g, sums[j], 0)), comma);
            comma = ", ";
        }
    }
}

static void tell_kernel(Tell *t, uint32_t i)
{
    static const char *const kinds[] = { "map", "reduce", "contract", "combine", "pack", "relayout", "halo" };
    const Fusion *f = t->f;
    const Fused  *k = f->kernels.at[i];
    KernelNodes   n;
    Text          places = { 0 };
    Dim           moved = moved_by(f, k, 0);
    Ref           main = k->contract ? k->contract : k->copy ? k->copy : k->roots.n ? k->roots.at[0] : k->shape_of;
    const char   *comma = "";
    kernel_nodes(f, k, &n);
    kernel_places(f, k, t->json ? 0 : 8, &places);
    t->moved = dim_add(f->g->dims, t->moved, moved);
    if (t->json) {
        text_addf(t->out, "%s{\"kernel\": %u, \"kind\": \"%s\", \"op\": \"%s\", \"value\": %u, \"places\": ", i ? ",\n  " : "\n  ", i, kinds[k->kind],
                  op_name(f->g, main), main);
        text_json(t->out, places.at ? places.at : "");
        text_add(t->out, ", \"moved\": ");
        bytes_text(t, moved);
        text_add(t->out, ", \"fused\": [");
    } else {
        text_addf(t->out, "%u %s %s %%%u, moves ", i, kinds[k->kind], op_name(f->g, main), main);
        bytes_text(t, moved);
        text_addf(t->out, "  %s\n", places.at ? places.at : "");
    }
    for (uint32_t j = 0; j < n.computed.n; j++) {
        Dim saved = 0;
        Ref r = n.computed.at[j];
        if (reads_only((Op)node(f->g, r)->op))
            continue;
        Why why = fused_why(t, k, &n, r, &saved);
        if (!saved && (r == main || !why))
            continue;
        told_fused(t, r, why, saved, comma);
        comma = ", ";
    }
    tell_sums(t, k, comma);
    text_add(t->out, t->json ? "], \"reads\": [" : "");
    comma = "";
    for (uint32_t j = 0; j < n.read.n; j++) {
        told_apart(t, k, n.read.at[j], comma);
        comma = ", ";
        uint32_t readers = readers_in(f, n.read.at[j], k);
        if (readers > 1)           /* loaded once for all of them */
            t->saved = dim_add(f->g->dims, t->saved, dim_scale(f->g->dims, value_bytes(f->g, n.read.at[j]), (int64_t)readers - 1));
    }
    text_add(t->out, t->json ? "]}" : "");
    text_free(&places);
    kernel_nodes_free(&n);
}

void fusion_explain(const Fusion *f, const DimBind *binds, uint32_t n, bool json, Text *out)
{
    Tell t = { .f = f, .binds = binds, .n = n, .json = json, .out = out, .index = xmalloc((f->kernels.n + 1) * sizeof *t.index), .counted = xmalloc(f->g->nodes.n) };
    for (uint32_t i = 0; i < f->kernels.n; i++)
        t.index[f->kernels.at[i]->seq] = i;
    if (json) {
        text_add(out, "{\"name\": ");
        text_json(out, f->g->name);
        text_add(out, ", \"kernels\": [");
    }
    for (uint32_t i = 0; i < f->kernels.n; i++)
        tell_kernel(&t, i);
    text_addf(out, json ? "], \"count\": %u, \"moved\": " : "%u kernels, moved ", f->kernels.n);
    bytes_text(&t, t.moved);
    text_add(out, json ? ", \"saved\": " : ", saved ");
    bytes_text(&t, t.saved);
    text_add(out, json ? "}\n" : "\n");
    free(t.index);
    free(t.counted);
}
