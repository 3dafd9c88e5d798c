/* fuse.c - which kernel computes which root.
 *
 * Roots are taken in topological order. A root joins the kernel of what it depends on, when that kernel's loops are its own and everything else
 * it reads was there before: the end of a chain behind a convolution becomes its epilogue, an optimiser's new moments and weights one loop. Failing
 * that it joins a later kernel over the same loops that reads the same values; else it gets a kernel of its own. Kernel numbers are an order of
 * execution: what a kernel reads has a smaller number, or is one of its own roots at the same place.
 *
 * Reductions are two kernels: partial results of fixed chunks, then their sum in order, which is a loop over the result and may be joined.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_READS = 24, MOST_REGION_LOOPS = 12, SMALL = 4096, WHOLE = 32768 };

/* ---- what a root depends on ---- */

static void collect(const Fusion *f, Deps *d, Ref r, bool moved)
{
    const Graph *g = f->g;
    bool         here = moved || op_info[node(g, r)->op].class != CLASS_ELEM;
    for (int i = 0; i < node(g, r)->nargs; i++) {
        Ref      a = node_arg(g, r, i);
        uint32_t mark = d->stamp * 2 + here;
        if (d->seen[a] == mark || d->seen[a] == d->stamp * 2 + 1)
            continue;
        d->seen[a] = mark;
        if (is_kept(f, a)) {
            Dep dep = { kept_as(f, a), here || f->alias[a] };
            vec_push(&d->list, dep);
        } else {
            collect(f, d, a, here);
        }
    }
}

static void depend(const Fusion *f, Deps *d, Ref r)
{
    d->list.n = 0;
    d->stamp++;
    collect(f, d, r, false);
}

void depend_on(const Fusion *f, Deps *d, Ref r)
{
    d->list.n = 0;
    d->stamp++;
    if (is_kept(f, r)) {
        Dep dep = { kept_as(f, r), f->alias[r] != 0 };
        vec_push(&d->list, dep);
    } else {
        collect(f, d, r, false);
    }
}

/* ---- kernels ---- */

Fused *fused_new(Fusion *f, FusedKind kind, Ref shape_of, Layout layout)
{
    static const KernelKind kind_of[] = { [FUSED_MAP] = KERNEL_LOOP, [FUSED_REDUCE] = KERNEL_LOOP, [FUSED_RELAYOUT] = KERNEL_LOOP, [FUSED_CONTRACT] = KERNEL_CONTRACT,
                                          [FUSED_COMBINE] = KERNEL_CONTRACT, [FUSED_PACK] = KERNEL_PACK, [FUSED_HALO] = KERNEL_RUNTIME };
    Fused *k = xmalloc(sizeof *k);
    k->kind = kind;
    k->shape_of = shape_of;
    k->layout = layout;
    k->anchor = k->seq = f->kernels.n;
    k->rank = 9;
    k->in[0] = k->in[1] = k->packed = k->scratch = k->sums_at = k->partials = NONE;
    k->kernel.kind = kind_of[kind];
    k->kernel.loc = shape_of ? node(f->g, shape_of)->loc : (Loc){ 0 };
    vec_push(&f->kernels, k);
    return k;
}

static bool same_shape(const Graph *g, Ref a, Ref b)
{
    return node(g, a)->rank == node(g, b)->rank && memcmp(node_shape(g, a), node_shape(g, b), node(g, a)->rank * sizeof(Dim)) == 0;
}

static bool is_member(const Fused *k, Ref r)
{
    for (uint32_t i = 0; i < k->roots.n; i++)
        if (k->roots.at[i] == r)
            return true;
    return k->contract == r;
}

void note_met(Fusion *f, Ref value, Ref reader, const Fused *k, Why why)
{
    Met m = { value, reader, k->seq, (uint8_t)why };
    vec_push(&f->met, m);
}

static void note_all(Fusion *f, const Deps *d, Ref reader, const Fused *k, Why why)
{
    for (uint32_t i = 0; i < d->list.n; i++)
        note_met(f, d->list.at[i].r, reader, k, why);
}

/* What is computed again for the backward pass belongs there: no kernel of the forward pass takes it along. */
static bool is_again(const Fusion *f, Ref r) { return node(f->g, r)->flags & FLAG_AGAIN; }

static bool is_late(const Fusion *f, const Fused *k)
{
    bool late = k->roots.n > 0;
    for (uint32_t i = 0; i < k->roots.n; i++)
        late &= is_again(f, k->roots.at[i]) || node_hint(f->g, k->roots.at[i], HINT_GRADIENT);
    return late;
}

Why closed_for(const Fusion *f, const Fused *k, Ref r, int loops)
{
    Passes off = f->target->off;
    if (k->part_of || k->copy)
        return WHY_part_of_concat;
    if (k->kind == FUSED_CONTRACT ? !k->plan.epilogue_ok || k->plan.combine || loops : k->kind == FUSED_COMBINE && loops > 0)
        return WHY_no_epilogue;
    if (k->kind != FUSED_MAP && k->kind != FUSED_CONTRACT && k->kind != FUSED_COMBINE)
        return WHY_reduces;
    if (!pass_on(off, PASS_fuse) || (k->kind != FUSED_MAP && !pass_on(off, PASS_epilogue)))
        return WHY_switched_off;
    if (nofuse_scope(f->g, k->shape_of) != nofuse_scope(f->g, r))
        return WHY_boundary;
    if (is_again(f, r) && !is_late(f, k))
        return WHY_again;
    if (!same_shape(f->g, k->shape_of, r))
        return WHY_other_shape;
    if (k->layout.block != f->layout[r].block)
        return WHY_other_layout;
    bool full = k->roots.n >= MAX_ROOTS || k->reads.n >= MOST_READS || k->region_loops + loops > MOST_REGION_LOOPS;
    return full ? WHY_full : WHY_none;
}

static void add_root(Fusion *f, Fused *k, Ref r, int loops, const Deps *d)
{
    vec_push(&k->roots, r);
    k->region_loops += loops;
    for (uint32_t i = 0; i < d->list.n; i++)
        vec_push(&k->reads, d->list.at[i].r);
    f->kernel_of[r] = k->seq;
}

static bool shares_read(const Fused *k, const Deps *d)
{
    for (uint32_t i = 0; i < d->list.n; i++)
        for (uint32_t j = 0; j < k->reads.n; j++)
            if (k->reads.at[j] == d->list.at[i].r)
                return true;
    return false;
}

static bool is_small(const Graph *g, Ref r)
{
    int64_t n = 1, v;
    int     symbols = 0;
    for (int i = 0; i < node(g, r)->rank; i++) {
        if (dim_is_const(g->dims, node_shape(g, r)[i], &v))
            n = v > SMALL || n > SMALL ? SMALL + 1 : n * v;
        else
            symbols++;
    }
    return n <= SMALL && symbols <= 1;
}

uint32_t last_needed(const Fusion *f, const Deps *d)
{
    uint32_t last = NONE;
    for (uint32_t i = 0; i < d->list.n; i++) {
        uint32_t k = f->kernel_of[d->list.at[i].r];
        if (k != NONE && (last == NONE || k > last))
            last = k;
    }
    return last;
}

/* Is something read from kernel k that is not one of its values at the same place? */
static bool reads_moved(const Fusion *f, const Fused *k, const Dep *d)
{
    return f->kernel_of[d->r] == k->seq && (d->moved || !is_member(k, d->r));
}

bool read_in_place(const Fusion *f, const Fused *k, const Deps *d)
{
    for (uint32_t i = 0; i < d->list.n; i++)
        if (reads_moved(f, k, &d->list.at[i]))
            return false;
    return true;
}

/* ---- maps ---- */

/* r is placed in kernel k and not in kernel `last`, behind which it must come (NULL: nothing is read from a kernel). */
static void note_apart(Fusion *f, const Deps *d, Ref r, const Fused *k, const Fused *last, int loops)
{
    Why closed = last ? closed_for(f, last, r, loops) : WHY_none;
    for (uint32_t i = 0; i < d->list.n; i++) {
        const Dep *dep = &d->list.at[i];
        uint32_t   maker = f->kernel_of[dep->r];
        Why        why = closed ? closed : last && reads_moved(f, last, dep) ? WHY_moved : WHY_sibling_moved;
        if (maker == NONE)
            why = WHY_outside;
        else if (!last || maker != last->seq)
            why = WHY_made_earlier;
        note_met(f, dep->r, r, k, why);
    }
}

static void place_map(Fusion *f, Ref r, const Deps *d, uint32_t after, int loops)
{
    uint32_t last = last_needed(f, d);
    if (after != NONE && (last == NONE || after > last))
        last = after;
    if (last != NONE && last != after) {
        Fused *k = f->kernels.at[last];
        if (!closed_for(f, k, r, loops) && read_in_place(f, k, d)) {
            Why together = k->contract ? WHY_epilogue : WHY_same_loops;
            for (uint32_t i = 0; i < d->list.n; i++) {
                uint32_t maker = f->kernel_of[d->list.at[i].r];
                note_met(f, d->list.at[i].r, r, k, maker == NONE ? WHY_outside : maker == k->seq ? together : WHY_made_earlier);
            }
            note_met(f, 0, r, k, together);
            add_root(f, k, r, loops, d);
            return;
        }
    }
    const Fused *before = last == NONE || last == after ? NULL : f->kernels.at[last];
    bool         small = is_small(f->g, r);
    for (uint32_t i = f->kernels.n; i-- > (last == NONE ? 0 : last + 1) && pass_on(f->target->off, PASS_join);) {
        Fused *k = f->kernels.at[i];
        if (k->kind == FUSED_MAP && !closed_for(f, k, r, loops) && (small || shares_read(k, d))) {
            add_root(f, k, r, loops, d);
            note_apart(f, d, r, k, before, loops);
            note_met(f, 0, r, k, WHY_shared);
            return;
        }
    }
    Fused *k = fused_new(f, FUSED_MAP, r, f->layout[r]);
    add_root(f, k, r, loops, d);
    note_apart(f, d, r, k, before, loops);
}

static void place_parts(Fusion *f, Ref r, Deps *d)
{
    const Graph *g = f->g;
    Dim          at = 0;
    int64_t      axis = node_attrs(g, r)[0];
    for (int i = 0; i < node(g, r)->nargs; i++) {
        Ref    a = node_arg(g, r, i);
        Layout l = f->layout[r];
        Fused *k = fused_new(f, FUSED_MAP, a, l);
        k->part_of = r;
        k->part_at = at;
        vec_push(&k->roots, a);
        depend(f, d, a);
        for (uint32_t j = 0; j < d->list.n; j++)
            vec_push(&k->reads, d->list.at[j].r);
        note_all(f, d, r, k, WHY_part_of_concat);
        at = dim_add(g->dims, at, node_shape(g, a)[axis]);
        f->kernel_of[r] = k->seq;
    }
}

/* ---- reductions ---- */

static uint32_t reduced_axes(const Graph *g, Ref r)
{
    uint32_t axes = 0;
    for (int i = 0; i < node(g, r)->nattrs; i++)
        axes |= 1u << node_attrs(g, r)[i];
    return axes;
}

/* Few enough elements a result for one kernel? By shape alone. */
static bool is_whole(const Graph *g, Ref r)
{
    Ref     a = node_arg(g, r, 0);
    int64_t n = 1, v;
    for (int i = 0; i < node(g, r)->nattrs; i++) {
        if (!dim_is_const(g->dims, node_shape(g, a)[node_attrs(g, r)[i]], &v) || v > WHOLE)
            return false;
        n *= v;
        if (n > WHOLE)
            return false;
    }
    return true;
}

/* A sum that the kernel of its argument has taken along is a loop over partial sums. */
static bool place_sum(Fusion *f, Ref r, Deps *d)
{
    uint32_t kernel;
    Ref      middle;
    if (!take_sum(f, r, &kernel, &middle))
        return false;
    Fused *k = f->kernels.at[kernel];
    for (uint32_t i = 0; i < d->list.n && !middle; i++)
        vec_push(&k->reads, d->list.at[i].r);
    if (middle)
        depend_on(f, d, middle);
    else
        d->list.n = 0;
    place_map(f, r, d, kernel, 1);
    note_met(f, r, r, f->kernels.at[f->kernel_of[r]], WHY_partial);
    return true;
}

static void place_reduction(Fusion *f, Ref r, Deps *d)
{
    const Graph *g = f->g;
    Ref          a = node_arg(g, r, 0);
    Layout       l = f->layout[a];
    uint32_t     axes = reduced_axes(g, r), last = last_needed(f, d);
    Fused       *k = NULL;
    bool         join = pass_on(f->target->off, PASS_join) && pass_on(f->target->off, PASS_fuse);
    if (place_sum(f, r, d))
        return;
    memset(l.halo, 0, sizeof l.halo);
    for (uint32_t i = f->kernels.n; i-- > (last == NONE ? 0 : last + 1) && join && !k;) {
        Fused *other = f->kernels.at[i];
        if (other->kind != FUSED_REDUCE || other->reduced != axes || other->roots.n >= MAX_ROOTS / 2 || other->layout.block != l.block)
            continue;
        Ref  first = other->roots.at[0];
        bool alike = nofuse_scope(g, first) == nofuse_scope(g, r) && same_shape(g, other->shape_of, a);
        alike = alike && f->layout[first].block == f->layout[r].block && node(g, first)->dtype == node(g, r)->dtype;
        if (alike && (shares_read(other, d) || is_small(g, a)))
            k = other;
    }
    if (!k) {
        k = fused_new(f, FUSED_REDUCE, a, l);
        k->reduced = axes;
        k->whole = pass_on(f->target->off, PASS_whole) && is_whole(g, r);
    }
    if (k->roots.n)
        note_met(f, 0, r, k, WHY_shared);
    add_root(f, k, r, 0, d);
    for (uint32_t i = 0; i < d->list.n; i++) {
        uint32_t maker = f->kernel_of[d->list.at[i].r];
        bool     refused = maker != NONE && f->kernels.at[maker]->kind == FUSED_CONTRACT && pass_on(f->target->off, PASS_statistics);
        bool     asked = asks_fuse(g, r) || f->target->eager;
        note_met(f, d->list.at[i].r, r, k, refused && asked ? WHY_no_statistics : refused ? WHY_not_asked : WHY_reads_all);
    }
    if (k->whole)
        return;
    uint32_t partial = k->seq;
    d->list.n = 0;
    place_map(f, r, d, partial, 1);
    note_met(f, r, r, f->kernels.at[f->kernel_of[r]], WHY_partial);
}

/* ---- contractions ---- */

static void place_contraction(Fusion *f, Ref r, const Deps *d)
{
    Fused *k = fused_new(f, FUSED_CONTRACT, r, f->layout[r]);
    k->contract = r;
    k->plan = *f->plans[r];
    k->loaded = loaded_operand(f, r);
    for (uint32_t i = 0; i < d->list.n; i++) {
        vec_push(&k->reads, d->list.at[i].r);
        note_met(f, d->list.at[i].r, r, k, why_read(f, r, d->list.at[i].r));
    }
    if (k->plan.combine) {
        Fused *c = fused_new(f, FUSED_COMBINE, r, f->layout[r]);
        c->contract = r;
        c->plan = k->plan;
        note_met(f, r, r, c, WHY_partial);
        k = c;
    }
    vec_push(&k->roots, r);
    f->kernel_of[r] = k->seq;
}

static void place_roots(Fusion *f)
{
    const Graph *g = f->g;
    Deps         d = { .seen = xmalloc(g->nodes.n * sizeof *d.seen) };
    for (Ref r = 1; r < g->nodes.n; r++) {
        int loops;
        if (!f->live[r] || !f->root[r])
            continue;
        depend(f, &d, r);
        needs_region(g, r, &loops);
        if (f->plans[r])
            place_contraction(f, r, &d);
        else if (node(g, r)->op == OP_sum || node(g, r)->op == OP_amax)
            place_reduction(f, r, &d);
        else if (is_split_concat(f, r))
            place_parts(f, r, &d);
        else if (!take_load(f, r, &d))
            place_map(f, r, &d, NONE, loops);
    }
    vec_free(&d.list);
    free(d.seen);
}

/* ---- the whole ---- */

static bool fail_at(const Graph *g, Ref r, Status *st, const char *why)
{
    Loc         loc = node(g, r)->loc;
    const char *path = g->sources && loc.file < g->sources->files.n ? g->sources->files.at[loc.file].path : NULL;
    return status_fail(st, "%s%sline %u: %s: %s", path ? path : "", path ? ": " : "", loc.line, op_info[node(g, r)->op].name, why);
}

/* What only the reference backend does. */
static bool check_graph(const Fusion *f, Status *st)
{
    const Graph *g = f->g;
    for (Ref r = 1; r < g->nodes.n; r++) {
        if (!f->live[r])
            continue;
        if (node(g, r)->dtype == DT_F64)
            return fail_at(g, r, st, "native code computes in f32; run f64 values with --backend reference");
        for (int i = 0; node(g, r)->op == OP_pad_adjoint && i < node(g, r)->rank; i++) {
            int64_t v;
            if (!dim_is_const(g->dims, dim_sub(g->dims, node_shape(g, node_arg(g, r, 0))[i], node_shape(g, r)[i]), &v))
                return fail_at(g, r, st, "native code wants borders of constant width; run it with --backend reference");
        }
    }
    return true;
}

Fusion *fuse(Graph *g, const Target *t, Status *st)
{
    Fusion *f = xmalloc(sizeof *f);
    f->g = g;
    f->target = t;
    f->run_buf = f->flags_buf = NONE;
    choose_roots(f);
    if (!check_graph(f, st)) {
        fusion_free(f);
        return NULL;
    }
    f->kernel_of = xmalloc(g->nodes.n * sizeof *f->kernel_of);
    f->first_buffer = xmalloc(g->nodes.n * sizeof *f->first_buffer);
    memset(f->kernel_of, 0xff, g->nodes.n * sizeof *f->kernel_of);
    memset(f->first_buffer, 0xff, g->nodes.n * sizeof *f->first_buffer);
    place_roots(f);
    build_bodies(f);
    if (check_steering(f, st))
        return f;
    fusion_free(f);
    return NULL;
}

static void touch(Touches *out, uint32_t buffer, bool write)
{
    if (buffer != NONE)
        vec_push(out, ((Touch){ buffer, write }));
}

void touches_of(const Fused *k, Touches *out)
{
    for (uint32_t i = 0; i < k->uses.n; i++)
        touch(out, k->uses.at[i], k->kernel.bufs.at[i].write);
    touch(out, k->in[0], false);
    touch(out, k->in[1], false);
    touch(out, k->packed, k->kind != FUSED_CONTRACT);
    touch(out, k->scratch, k->kind != FUSED_COMBINE);
    touch(out, k->sums_at, true);
    if (k->kind == FUSED_HALO || k->kind == FUSED_RELAYOUT)
        touch(out, k->copy_to, true);
}

static void fused_free(Fused *k)
{
    if (k->has_body)
        body_free(&k->body);
    if (k->loaded)
        body_free(&k->load);
    vec_free(&k->kernel.bufs);
    vec_free(&k->kernel.args);
    vec_free(&k->roots);
    vec_free(&k->uses);
    vec_free(&k->bufs);
    vec_free(&k->reads);
    vec_free(&k->sums);
    vec_free(&k->map);
    vec_free(&k->role);
    free(k->text);
    free(k);
}

void fusion_free(Fusion *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->kernels.n; i++)
        fused_free(f->kernels.at[i]);
    for (Ref r = 0; r < f->g->nodes.n; r++)
        free(f->plans[r]);
    vec_free(&f->kernels);
    vec_free(&f->buffers);
    vec_free(&f->met);
    vec_free(&f->flags);
    vec_free(&f->output_buf);
    vec_free(&f->report_buf);
    vec_free(&f->write_buf);
    vec_free(&f->assert_buf);
    free(f->live);
    free(f->root);
    free(f->why);
    free(f->linear);
    free(f->alias);
    free(f->layout);
    free(f->plans);
    free(f->kernel_of);
    free(f->first_buffer);
    free(f->uses_begin);
    free(f->users);
    free(f);
}
