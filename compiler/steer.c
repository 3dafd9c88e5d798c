/* steer.c - were the pragmas that steer kernels obeyed? What they ask for is done where the decisions are made (fuse_roots.c, fuse.c, contract.c); what could not be
 * done is an error here, with the pragma's place and the reason. With passes switched off nobody is asked.
 */
#include "fuse.h"

#include <string.h>

static bool has_hint(const Graph *g, HintKind kind)
{
    for (uint32_t i = 1; i < g->hints.n; i++)
        if (g->hints.at[i].kind == kind)
            return true;
    return false;
}

static bool fuse_failed(const Fusion *f, const Fused *k, const GraphHint *h, Ref reader, Ref value, Status *st)
{
    const Graph *g = f->g;
    char         where[256], a[256], b[256];
    place_text(g, h->loc, where, sizeof where);
    place_text(g, node(g, value)->loc, a, sizeof a);
    place_text(g, node(g, reader)->loc, b, sizeof b);
    return status_fail(st, "%s: @fuse: %s (%s) cannot be in one kernel with %s (%s), which reads it: %s; stored: %s", where, op_info[node(g, value)->op].name, a,
                       op_info[node(g, reader)->op].name, b, why_text[why_apart(f, value, k)], why_text[f->why[value]]);
}

/* Whatever a statement under @fuse computes and reads again itself stays in one kernel. */
static bool check_fuse(const Fusion *f, const Fused *k, Status *st)
{
    const Graph *g = f->g;
    KernelNodes  n;
    bool         ok = true;
    kernel_nodes(f, k, &n);
    for (uint32_t i = 0; ok && i < n.computed.n; i++) {
        Ref              r = n.computed.at[i];
        const GraphHint *h = fuse_hint(g, r);
        for (int j = 0; ok && h && h->kind == HINT_FUSE && j < node(g, r)->nargs; j++) {
            Ref a = node_arg(g, r, j), kept = is_kept(f, a) ? kept_as(f, a) : 0;
            if (kept && f->root[kept] && fuse_hint(g, kept) == h && f->kernel_of[kept] != k->seq)
                ok = fuse_failed(f, k, h, r, kept, st);
        }
    }
    kernel_nodes_free(&n);
    return ok;
}

static bool check_layout(const Fusion *f, const GraphHint *h, Status *st)
{
    const Graph *g = f->g;
    bool         any = false;
    for (Ref r = 1; r < g->nodes.n; r++) {
        if (!f->live[r] || node_hint(g, r, HINT_LAYOUT) != h || node(g, r)->op == OP_input || node(g, r)->op == OP_var)
            continue;
        if (f->layout[r].block > 1)
            return true;
        any = true;
    }
    if (!any)
        return true;
    char where[256];
    return status_fail(st, "%s: @layout(blocked): nothing that the statement computes can be stored in blocks: that takes rank 4 and a constant number of channels, "
                       "at least %d here",
                       place_text(g, h->loc, where, sizeof where), f->target->vec);
}

/* Of a statement's contractions one at least took the block sizes: gradients and other kernels may have none. */
static bool check_block(const Fusion *f, const GraphHint *h, Status *st)
{
    const Graph *g = f->g;
    const char  *why = NULL;
    bool         any = false;
    for (Ref r = 1; r < g->nodes.n; r++) {
        bool here = f->live[r] && node_hint(g, r, HINT_BLOCK) == h;
        any |= here;
        if (!here || !f->plans[r])
            continue;
        why = f->plans[r]->why;
        if (why[0])
            break;
    }
    if (!any || (why && !why[0]))
        return true;
    char where[256];
    return status_fail(st, "%s: @block: %s", place_text(g, h->loc, where, sizeof where), why ? why : "the statement computes no convolution and no product of matrices");
}

bool check_steering(const Fusion *f, Status *st)
{
    const Graph *g = f->g;
    bool         ok = true;
    if (f->target->off)
        return true;
    for (uint32_t i = 0; ok && i < f->kernels.n && has_hint(g, HINT_FUSE); i++)
        ok = check_fuse(f, f->kernels.at[i], st);
    for (uint32_t i = 1; ok && i < g->hints.n; i++)
        if (g->hints.at[i].kind == HINT_LAYOUT && strcmp(g->hints.at[i].args[0].word, "blocked") == 0)
            ok = check_layout(f, &g->hints.at[i], st);
        else if (g->hints.at[i].kind == HINT_BLOCK)
            ok = check_block(f, &g->hints.at[i], st);
    return ok;
}
