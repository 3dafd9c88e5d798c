/* fuse_load.c - which operands of convolutions are never stored: computed by the convolution's own kernel where it reads them, its prologue. Normalise, activate and mirror
 * the border of what the layer before stored, on the way into Winograd's tiles.
 *
 * The operand is an elementwise chain, perhaps behind a pad that mirrors or repeats the border, that nobody else reads, down to stored values in the same blocks of channels
 * or spread over rows and columns (a norm's mean, a scale a channel). A chain that the kernel before can do as its epilogue stays there: that costs no traffic either, and
 * computes each element once; on the way in, tiles of 4x4 results overlap and compute each 2.25 times. Kernels that are not Winograd's read an element once for each tap and
 * tile of output channels: they have no prologue.
 * It is done where @fuse stands before the convolution (README.md has figures). How a tile is computed says contract_load.c.
 */
#include "fuse.h"

enum { MOST_OPS = 48 };            /* of a chain; its code stands in the kernel seven times */

static bool const_one(const Graph *g, Dim d)
{
    int64_t v;
    return dim_is_const(g->dims, d, &v) && v == 1;
}

/* A number a channel, or a place: a vector of channels is one load of a value stored in rows, or one element for all lanes. */
static bool is_spread(const Graph *g, Ref r)
{
    const Dim *shape = node_shape(g, r);
    return node(g, r)->rank < 4 || const_one(g, shape[1]) || (const_one(g, shape[2]) && const_one(g, shape[3]));
}

static bool loads_well(const Fusion *f, Ref r) { return is_spread(f->g, r) || (f->root[r] && f->layout[r].block == f->target->vec); }

typedef struct { Ref at[MOST_OPS]; int n; } Chain;

static bool is_chain(const Fusion *f, Ref r, Chain *c)
{
    const Graph *g = f->g;
    const Node  *n = node(g, r);
    const Dim   *s = node_shape(g, r), *in = n->nargs ? node_shape(g, node_arg(g, r, 0)) : s;
    for (int i = 0; i < c->n; i++)
        if (c->at[i] == r)
            return true;
    bool shapes = n->op == OP_reshape && n->rank == 4 && is_spread(g, r) && !divides(g, r);
    bool pads = n->op == OP_pad && n->rank == 4 && s[0] == in[0] && s[1] == in[1];
    bool plain = op_info[n->op].class == CLASS_ELEM || n->op == OP_broadcast || n->op == OP_const || n->op == OP_runtime || n->op == OP_size;
    if (c->n == MOST_OPS || (!plain && !pads && !shapes))
        return false;
    c->at[c->n++] = r;
    for (int i = 0; i < n->nargs; i++) {
        Ref a = node_arg(g, r, i);
        if (is_kept(f, a) ? !loads_well(f, a) : !is_chain(f, a, c))
            return false;
    }
    return true;
}

/* The convolution that alone reads r, as its first operand, and can compute it in a prologue; 0. */
static Ref reader_of(const Fusion *f, Ref r)
{
    const Graph *g = f->g;
    if (f->uses_begin[r + 1] - f->uses_begin[r] != 1)
        return 0;
    Ref c = f->users[f->uses_begin[r]];
    return f->plans[c] && f->plans[c]->loads_ok && node_arg(g, c, 0) == r ? c : 0;
}

/* Could r, an operand that is stored for being one, be computed where it is read? */
static bool can_load(const Fusion *f, Ref r)
{
    const Graph *g = f->g;
    Ref          c = reader_of(f, r);
    bool         plain = f->root[r] && f->why[r] == WHY_operand && !f->linear[r] && node(g, r)->dtype == DT_F32 && f->layout[r].block == f->target->vec;
    Passes       off = f->target->off;
    Chain        chain = { .n = 0 };
    if (!c || !plain || nofuse_scope(g, r) != nofuse_scope(g, c) || !pass_on(off, PASS_fuse) || !pass_on(off, PASS_prologue))
        return false;
    return is_chain(f, r, &chain);
}

/* Does the kernel that it depends on last take it as an epilogue? */
static bool is_epilogue(const Fusion *f, Ref r, const Deps *d)
{
    uint32_t last = last_needed(f, d);
    if (last == NONE || !f->kernels.at[last]->contract)
        return false;
    return !closed_for(f, f->kernels.at[last], r, 0) && read_in_place(f, f->kernels.at[last], d);
}

static bool asked(const Fusion *f, Ref contraction) { return f->target->eager || asks_fuse(f->g, contraction); }

bool take_load(Fusion *f, Ref r, const Deps *d)
{
    if (!can_load(f, r) || !asked(f, reader_of(f, r)) || is_epilogue(f, r, d))
        return false;
    f->root[r] = false;
    f->why[r] = WHY_prologue;
    return true;
}

Ref loaded_operand(const Fusion *f, Ref contraction)
{
    Ref a = node_arg(f->g, contraction, 0);
    return f->why[a] == WHY_prologue && !is_kept(f, a) ? a : 0;
}

Why why_read(const Fusion *f, Ref contraction, Ref value)
{
    const Graph *g = f->g;
    if (value != node_arg(g, contraction, 0) && value != node_arg(g, contraction, 1) && loaded_operand(f, contraction))
        return WHY_loads;
    if (value != node_arg(g, contraction, 0) || !f->root[value] || f->why[value] != WHY_operand || !pass_on(f->target->off, PASS_prologue))
        return WHY_reads_operand;
    uint32_t maker = f->kernel_of[value];
    if (maker != NONE && f->kernels.at[maker]->contract)
        return WHY_reads_operand;
    bool can = can_load(f, value);
    return can && !asked(f, contraction) ? WHY_load_not_asked : !can && asks_fuse(g, contraction) ? WHY_no_prologue : WHY_reads_operand;
}
