/* fuse_roots.c - which nodes become results of kernels (roots), and how their values are stored.
 *
 * Roots by nature: contractions and their operands, reductions, ops over windows and what they read, arguments of reshapes that merge axes, and what
 * leaves the graph. Other nodes are computed where they are read: for free when one root reads them, again in each when that is cheaper than
 * a pass over memory. A number a node costs: 2 a load, 1 an operation, more for divisions and elementary functions.
 *
 * Storage: rank 4 with enough channels is blocked when it comes from or goes to a convolution; weights and what is made of weights alone stay
 * row-major. Halos are the widest that a convolution reading the value wants.
 */
#include "fuse.h"

#include <stdlib.h>
#include <string.h>

enum { LOAD_COST = 2, CHEAP = 8, ROW_CHEAP = 60, MOST_INLINED = 200 };

Layout plain_layout(const Graph *g, Ref r)
{
    return (Layout){ .block = 1, .dtype = node(g, r)->dtype };
}

static bool is_external(const Graph *g, Ref r)
{
    return node(g, r)->op == OP_input || node(g, r)->op == OP_var;
}

bool is_kept(const Fusion *f, Ref r)
{
    return f->root[r] || is_external(f->g, r) || f->alias[r];
}

Ref kept_as(const Fusion *f, Ref r)
{
    while (f->alias[r])
        r = f->alias[r];
    return r;
}

static bool const_one(const Graph *g, Dim d)
{
    int64_t v;
    return dim_is_const(g->dims, d, &v) && v == 1;
}

/* ---- liveness and users ---- */

static void mark(Fusion *f, Ref r) { f->live[r] = true; }

static void find_live(Fusion *f)
{
    const Graph *g = f->g;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        mark(f, g->outputs.at[i].value);
    for (uint32_t i = 0; i < g->reports.n; i++)
        mark(f, g->reports.at[i].value);
    for (uint32_t i = 0; i < g->writes.n; i++)
        mark(f, g->writes.at[i].value);
    for (uint32_t i = 0; i < g->asserts.n; i++)
        mark(f, g->asserts.at[i].cond);
    for (Ref r = g->nodes.n; r-- > 1;)
        for (int i = 0; f->live[r] && i < node(g, r)->nargs; i++)
            mark(f, node_arg(g, r, i));
}

static void find_users(Fusion *f)
{
    const Graph *g = f->g;
    uint32_t     n = g->nodes.n;
    for (Ref r = 1; r < n; r++)
        for (int i = 0; f->live[r] && i < node(g, r)->nargs; i++)
            f->uses_begin[node_arg(g, r, i) + 1]++;
    for (uint32_t i = 1; i <= n; i++)
        f->uses_begin[i] += f->uses_begin[i - 1];
    f->users = xmalloc((f->uses_begin[n] + 1) * sizeof *f->users);
    uint32_t *at = xmalloc((n + 1) * sizeof *at);
    memcpy(at, f->uses_begin, (n + 1) * sizeof *at);
    for (Ref r = 1; r < n; r++)
        for (int i = 0; f->live[r] && i < node(g, r)->nargs; i++)
            f->users[at[node_arg(g, r, i)]++] = r;
    free(at);
}

/* ---- what ops are like ---- */

bool needs_region(const Graph *g, Ref r, int *loops)
{
    switch (node(g, r)->op) {
    case OP_argmax: *loops = 1; return true;
    case OP_win_sum: case OP_win_sum_adjoint: case OP_win_max: case OP_win_pick: case OP_resize_adjoint: *loops = 2; return true;
    case OP_win_unpick: *loops = 4; return true;
    case OP_pad_adjoint: *loops = node(g, r)->rank; return true;
    case OP_scatter_add: *loops = node(g, node_arg(g, r, 1))->rank + 1; return true;
    default: *loops = 0; return false;
    }
}

/* The argument's axes are grouped as in loops_lower.c: does a group hold more than one of them? Then elements need a division to be found. */
bool divides(const Graph *g, Ref r)
{
    Ref       a = node_arg(g, r, 0);
    DimTable *t = g->dims;
    Dim       in[MAX_RANK], out[MAX_RANK], q;
    int       ni = 0, no = 0, i = 0, o = 0;
    for (int k = 0; k < node(g, a)->rank; k++)
        if (!const_one(g, node_shape(g, a)[k]))
            in[ni++] = node_shape(g, a)[k];
    for (int k = 0; k < node(g, r)->rank; k++)
        if (!const_one(g, node_shape(g, r)[k]))
            out[no++] = node_shape(g, r)[k];
    while (i < ni && o < no) {
        Dim product = out[o++];
        while (product != in[i] && o < no && dim_divide(t, in[i], product, &q))
            product = dim_mul(t, product, out[o++]);
        if (product != in[i])
            return true;
        i++;
    }
    return i < ni;
}

static bool reads_window(Op op)
{
    return op == OP_win_sum || op == OP_win_sum_adjoint || op == OP_win_max || op == OP_win_pick || op == OP_win_unpick || op == OP_resize_adjoint ||
           op == OP_pad_adjoint || op == OP_scatter_add;
}

static int op_cost(Op op)
{
    switch (op) {
    case OP_exp: case OP_log: case OP_tanh: case OP_sigmoid: case OP_sin: case OP_cos: return 10;
    case OP_softplus: return 20;
    case OP_pow: return 40;
    case OP_div: case OP_sqrt: return 3;
    case OP_rsqrt: return 5;
    case OP_uniform: return 40;
    case OP_normal: return 60;
    case OP_resize: return 6;
    case OP_gather: return 8;
    case OP_const: case OP_runtime: case OP_size: case OP_cast: case OP_stop: case OP_broadcast: case OP_transpose: case OP_slice: case OP_reshape: return 0;
    default: return 1;
    }
}

static bool is_random(const Graph *g, Ref r) { return node(g, r)->op == OP_uniform || node(g, r)->op == OP_normal; }

/* A broadcast whose argument stays the same along a row: computed once a row, or once a kernel. */
static bool once_a_row(const Graph *g, Ref r)
{
    Ref a = node_arg(g, r, 0);
    int rank = node(g, r)->rank;
    if (node(g, a)->rank == 0 || rank == 0)
        return true;
    return const_one(g, node_shape(g, a)[rank - 1]) && !const_one(g, node_shape(g, r)[rank - 1]);
}

/* ---- layouts ---- */

static bool may_block(const Fusion *f, Ref r)
{
    return layout_of(f->g, r, f->target).block > 1;
}

/* Made of a variable of its own size: an optimiser's business, which stays in rows, as variables are. */
static bool flows_plain(const Fusion *f, Ref r, const bool *plain)
{
    const Graph *g = f->g;
    for (int i = 0; i < node(g, r)->nargs; i++)
        if (plain[node_arg(g, r, i)])
            return true;
    return false;
}

/* One number a channel: the same memory in both layouts, but without padding. */
static bool is_channels(const Fusion *f, Ref r)
{
    const Graph *g = f->g;
    return node(g, r)->rank == 4 && const_one(g, node_shape(g, r)[2]) && const_one(g, node_shape(g, r)[3]);
}

/* @layout(blocked) or @layout(rows) around r, where either can be had. */
static bool asked_layout(const Fusion *f, Ref r, bool otherwise)
{
    const GraphHint *h = node_hint(f->g, r, HINT_LAYOUT);
    if (!h || !may_block(f, r) || is_channels(f, r))
        return otherwise;
    return strcmp(h->args[0].word, "blocked") == 0;
}

static bool flows_blocked(const Fusion *f, Ref r, const bool *blocked, const bool *plain)
{
    const Graph *g = f->g;
    const Node  *n = node(g, r);
    if (!may_block(f, r))
        return false;
    if (op_info[n->op].class == CLASS_CONTRACT)
        return f->plans[r]->out.block > 1;
    if (n->op == OP_reshape || n->op == OP_transpose)
        return false;
    if (op_info[n->op].class == CLASS_REDUCE && is_channels(f, r))
        return false;
    if (op_info[n->op].class == CLASS_ELEM && flows_plain(f, r, plain))
        return false;
    for (int i = 0; i < n->nargs; i++)
        if (blocked[node_arg(g, r, i)])
            return true;
    return false;
}

static void take_halo(Layout *l, const Layout *want)
{
    for (int k = 0; k < 4; k++)
        if (want->halo[k] > l->halo[k])
            l->halo[k] = want->halo[k];
}

static bool has_halo(const Layout *l)
{
    return l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3];
}

static void choose_layouts(Fusion *f)
{
    Graph   *g = f->g;
    uint32_t n = g->nodes.n;
    bool    *blocked = xmalloc(n), *wanted = xmalloc(n), *plain = xmalloc(n);
    for (Ref r = 1; r < n; r++) {
        if (!f->live[r] || op_info[node(g, r)->op].class != CLASS_CONTRACT)
            continue;
        ContractPlan *p = f->plans[r] = xmalloc(sizeof *p);
        contract_plan(g, r, f->target, p);
        for (int i = 0; i < 2; i++)
            if (p->in[i].block > 1 && p->packed != i)
                wanted[node_arg(g, r, i)] = true;
    }
    for (Ref r = 1; r < n; r++) {
        f->layout[r] = plain_layout(g, r);
        plain[r] = node(g, r)->op == OP_var || (op_info[node(g, r)->op].class == CLASS_ELEM && flows_plain(f, r, plain));
        if (!f->live[r] || is_external(g, r))
            continue;
        blocked[r] = asked_layout(f, r, wanted[r] || flows_blocked(f, r, blocked, plain));
        if (f->plans[r])
            f->layout[r] = f->plans[r]->out;
        else if (blocked[r])
            f->layout[r].block = (uint8_t)f->target->vec;
    }
    for (Ref r = 1; r < n; r++) {
        for (int i = 0; f->plans[r] && i < 2; i++) {
            Ref a = node_arg(g, r, i);
            if (pass_on(f->target->off, PASS_halo) && f->plans[r]->packed != i && !is_external(g, a) && f->layout[a].block == f->plans[r]->in[i].block)
                take_halo(&f->layout[a], &f->plans[r]->in[i]);
        }
    }
    free(blocked);
    free(wanted);
    free(plain);
}

bool is_split_concat(const Fusion *f, Ref r)
{
    const Graph *g = f->g;
    int64_t      c;
    if (node(g, r)->op != OP_concat || !f->root[r])
        return false;
    if (f->layout[r].block == 1 || node_attrs(g, r)[0] != 1)
        return true;
    for (int i = 0; i < node(g, r)->nargs; i++)
        if (!dim_is_const(g->dims, node_shape(g, node_arg(g, r, i))[1], &c) || c % f->layout[r].block != 0)
            return false;
    return true;
}

/* ---- roots ---- */

static void root(Fusion *f, Ref r, Why why)
{
    if (is_external(f->g, r) || f->root[r])
        return;
    f->root[r] = true;
    f->why[r] = (uint8_t)why;
}

const GraphHint *fuse_hint(const Graph *g, Ref r)
{
    const GraphHint *h;
    for (uint32_t i = node(g, r)->hint; i; i = h->up) {
        h = &g->hints.at[i];
        if (h->kind == HINT_FUSE || h->kind == HINT_NOFUSE)
            return h;
    }
    return NULL;
}

bool asks_fuse(const Graph *g, Ref r)
{
    const GraphHint *h = fuse_hint(g, r);
    return h && h->kind == HINT_FUSE;
}

const GraphHint *nofuse_scope(const Graph *g, Ref r)
{
    const GraphHint *h = fuse_hint(g, r);
    return h && h->kind == HINT_NOFUSE ? h : NULL;
}


/* Where values go into or out of a statement under @nofuse they are stored; what only says how they are read stays with the reader. */
static void cut_boundary(Fusion *f, Ref r)
{
    const Graph     *g = f->g;
    const GraphHint *own = nofuse_scope(g, r);
    for (int i = 0; i < node(g, r)->nargs; i++) {
        Ref              a = node_arg(g, r, i);
        const GraphHint *other = nofuse_scope(g, a);
        while (own != other && op_cost((Op)node(g, a)->op) == 0 && node(g, a)->nargs == 1)
            a = node_arg(g, a, 0);
        if (own != other && node(g, a)->nargs)
            root(f, a, nofuse_scope(g, a) ? WHY_nofuse_makes : WHY_nofuse_reads);
    }
}

static void natural_roots(Fusion *f)
{
    const Graph *g = f->g;
    int          loops;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        root(f, g->outputs.at[i].value, WHY_result);
    for (uint32_t i = 0; i < g->reports.n; i++)
        root(f, g->reports.at[i].value, WHY_result);
    for (uint32_t i = 0; i < g->writes.n; i++)
        root(f, g->writes.at[i].value, WHY_result);
    for (uint32_t i = 0; i < g->asserts.n; i++)
        root(f, g->asserts.at[i].cond, WHY_result);
    for (Ref r = 1; r < g->nodes.n; r++) {
        const Node *n = node(g, r);
        if (!f->live[r])
            continue;
        if (op_info[n->op].class == CLASS_CONTRACT) {
            root(f, r, WHY_contraction);
            root(f, node_arg(g, r, 0), WHY_operand);
            root(f, node_arg(g, r, 1), WHY_operand);
        }
        if (n->op == OP_sum || n->op == OP_amax)
            root(f, r, WHY_reduction);
        if (needs_region(g, r, &loops))
            root(f, r, WHY_window);
        if (n->op == OP_concat && n->nargs > 3)
            root(f, r, WHY_many_parts);
        if (!pass_on(f->target->off, PASS_fuse) && op_cost((Op)n->op) > 0)
            root(f, r, WHY_op_alone);
        cut_boundary(f, r);
        if (n->op == OP_reshape && divides(g, r)) {
            double v;
            if (!is_const_value(g, r, &v)) {
                root(f, node_arg(g, r, 0), WHY_reshaped);
                f->linear[node_arg(g, r, 0)] = true;
            }
        }
    }
}

/* An estimate of what computing a node takes where it is read, given the roots by nature. */
static int cost_of(const Fusion *f, Ref r, const int *cost)
{
    const Graph *g = f->g;
    const Node  *n = node(g, r);
    int          c = op_cost((Op)n->op);
    for (int i = 0; i < n->nargs; i++) {
        Ref a = node_arg(g, r, i);
        int ca = is_kept(f, a) ? n->op == OP_broadcast && once_a_row(g, r) ? 0 : LOAD_COST : cost[a];
        c += n->op == OP_resize && node_attrs(g, r)[0] == RESIZE_BILINEAR ? 4 * ca : ca;
    }
    if (n->op == OP_broadcast && once_a_row(g, r))
        c /= 4;
    return c > 1000 ? 1000 : c;
}

static int *estimate(const Fusion *f)
{
    int *cost = xmalloc(f->g->nodes.n * sizeof *cost);
    for (Ref r = 1; r < f->g->nodes.n; r++)
        if (f->live[r])
            cost[r] = cost_of(f, r, cost);
    return cost;
}

/* Does the reader r take a's elements many times over, or in another order? */
static bool multiplies(const Fusion *f, Ref r, Ref a, const int *cost)
{
    const Graph *g = f->g;
    Op           op = (Op)node(g, r)->op;
    if (reads_window(op) || op == OP_argmax)
        return cost[a] > LOAD_COST;
    if (op == OP_resize || op == OP_gather)
        return cost[a] > LOAD_COST + 1;
    if (op == OP_broadcast)
        return is_random(g, a) || (once_a_row(g, r) ? cost[a] > ROW_CHEAP : cost[a] > LOAD_COST + 1);
    return false;
}

/* Roots were chosen from the end, not knowing what would be stored before them. What is cheap to compute from that needs no memory. */
static void drop_roots(Fusion *f, const bool *natural)
{
    const Graph *g = f->g;
    int         *cost = xmalloc(g->nodes.n * sizeof *cost);
    for (Ref r = 1; r < g->nodes.n; r++) {
        bool wide = false;
        if (!f->live[r])
            continue;
        cost[r] = cost_of(f, r, cost);
        for (uint32_t i = f->uses_begin[r]; i < f->uses_begin[r + 1]; i++)
            wide |= multiplies(f, f->users[i], r, cost);
        if (f->root[r] && !natural[r] && !wide && cost[r] <= CHEAP) {
            f->root[r] = false;
            f->why[r] = WHY_cheap;
        }
    }
    free(cost);
}

static void cut_roots(Fusion *f)
{
    enum { NOBODY = 0, MANY = 0xffffffffu };
    const Graph *g = f->g;
    int         *cost = estimate(f), cheap = pass_on(f->target->off, PASS_recompute) ? CHEAP : LOAD_COST;
    uint32_t    *owner = xmalloc(g->nodes.n * sizeof *owner), *size = xmalloc(g->nodes.n * sizeof *size);
    for (Ref r = g->nodes.n; r-- > 1;) {
        if (!f->live[r] || is_external(g, r))
            continue;
        bool moved = false, wide = false;
        Ref  who = NOBODY;
        uint32_t n = f->uses_begin[r + 1] - f->uses_begin[r];
        for (uint32_t i = f->uses_begin[r]; i < f->uses_begin[r + 1]; i++) {
            Ref u = f->users[i], o = f->root[u] ? u : owner[u];
            who = who == NOBODY || who == o ? o : MANY;
            moved |= op_info[node(g, u)->op].class != CLASS_ELEM;
            wide |= multiplies(f, u, r, cost);
        }
        bool again = who == MANY || (n > 1 && moved), full = who != MANY && who != NOBODY && size[who] > MOST_INLINED && cost[r] > LOAD_COST;
        bool dear = again && cost[r] > cheap, asked = dear && asks_fuse(g, r);
        if (wide || (dear && !asked) || full)
            root(f, r, wide ? WHY_many_times : full ? WHY_kernel_full : WHY_dear);
        else if (!f->root[r])
            f->why[r] = asked ? WHY_asked : again ? WHY_cheap : WHY_one_reader;
        owner[r] = who;
        if (!f->root[r] && who != MANY && who != NOBODY)
            size[who]++;
    }
    free(owner);
    free(size);
    free(cost);
}

/* A reshape of what is kept is the same memory, when a row-major copy of it is wanted anyway, or when it is a map of a row-major matrix that kernels over
 * blocks may read: they get a turned copy, for loads of channels a picture apart are slow. */
static bool is_alias(const Fusion *f, Ref r)
{
    const Graph *g = f->g;
    Ref          a = node_arg(g, r, 0);
    if (node(g, r)->op != OP_reshape || !is_kept(f, a))
        return false;
    if (f->root[r])
        return f->layout[r].block == 1 && !has_halo(&f->layout[r]);
    return pass_on(f->target->off, PASS_relayout) && may_block(f, r) && node(g, a)->rank < 4 && !divides(g, r);
}

static void find_aliases(Fusion *f)
{
    for (Ref r = 1; r < f->g->nodes.n; r++) {
        if (!f->live[r] || !is_alias(f, r))
            continue;
        f->alias[r] = node_arg(f->g, r, 0);
        f->root[r] = false;
        f->linear[kept_as(f, r)] = true;
    }
}

void choose_roots(Fusion *f)
{
    uint32_t n = f->g->nodes.n;
    f->live = xmalloc(n);
    f->root = xmalloc(n);
    f->why = xmalloc(n);
    f->linear = xmalloc(n);
    f->alias = xmalloc(n * sizeof *f->alias);
    f->layout = xmalloc(n * sizeof *f->layout);
    f->plans = xmalloc(n * sizeof *f->plans);
    f->uses_begin = xmalloc((n + 2) * sizeof *f->uses_begin);
    find_live(f);
    find_users(f);
    choose_layouts(f);
    natural_roots(f);
    bool *natural = xmalloc(n);
    memcpy(natural, f->root, n);
    cut_roots(f);
    if (pass_on(f->target->off, PASS_recompute))
        drop_roots(f, natural);
    free(natural);
    if (pass_on(f->target->off, PASS_alias))
        find_aliases(f);
    for (Ref r = 1; r < n; r++)            /* halos are for values that are stored */
        if (f->live[r] && has_halo(&f->layout[r]) && !f->root[r])
            memset(f->layout[r].halo, 0, sizeof f->layout[r].halo);
}
