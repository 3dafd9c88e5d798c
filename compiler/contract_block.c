/* contract_block.c - block sizes of contractions, chosen by @block before a statement or found by `pastiche tune`, in place of those that the plan estimates.
 *
 * A knob is a name for an entry of ContractPlan.variant that changes how a result is cut into tiles and tasks, and nothing else: an element is still summed in the
 * same order, so results are the same bits. Splits of sums and algorithms are no knobs. Each family says in its own file what fits (..._retile).
 */
#include "contract.h"

#include <string.h>

const char *const knob_names[KNOBS] = { "vectors", "images", "rows", "cols", "unroll", "chunk" };

/* The entry of variant that a knob is for an algorithm, + 1; 0: none. */
static const uint8_t slots[][KNOBS] = {
    [ALGO_CONV] = { V_NB + 1, V_PN + 1, V_PR + 1, V_PW + 1, V_UNROLL + 1, V_CHUNK + 1 },
    [ALGO_WINOGRAD] = { 0, 0, 0, 0, V_UNROLL + 1, V_CHUNK + 1 },
    [ALGO_NARROW] = { 0, 0, 0, V_PW + 1, 0, V_CHUNK + 1 },
    [ALGO_DW] = { 0, 0, V_ROWS + 1, V_NB + 1, 0, V_CHUNK + 1 },
    [ALGO_MATMUL] = { V_NB + 1, 0, V_PW + 1, 0, V_UNROLL + 1, V_CHUNK + 1 },
    [ALGO_MATMUL_LANES] = { 0 },
};

static int slot_of(const ContractPlan *p, int knob)
{
    return (size_t)p->variant[V_ALGO] < COUNT(slots) ? slots[p->variant[V_ALGO]][knob] - 1 : -1;
}

int contract_knob(const ContractPlan *p, int knob)
{
    int s = slot_of(p, knob);
    return s < 0 ? 0 : p->variant[s];
}

bool registers_hold(const ContractPlan *p, int pixels, int nb, char *why, size_t nwhy)
{
    const Target *t = p->target;
    int           need = pixels * nb + nb + (t->fma ? 1 : 2);
    if (pixels * nb < MAX_CARRY && need <= t->nregs)
        return true;
    snprintf(why, nwhy, "%d x %d results, %d vectors of the other operand and a broadcast take %d registers, there are %d", pixels, nb, nb, need, t->nregs);
    return false;
}

static bool retile(Graph *g, ContractPlan *p, char *why, size_t nwhy)
{
    if (p->variant[V_ALGO] == ALGO_MATMUL)
        return matmul_retile(g, p, why, nwhy);
    Conv c = conv_of(g, p->node);
    switch (p->variant[V_ALGO]) {
    case ALGO_CONV:     return conv_retile(g, &c, p, why, nwhy);
    case ALGO_WINOGRAD: return winograd_retile(g, &c, p, why, nwhy);
    case ALGO_NARROW:   return narrow_retile(p, why, nwhy);
    default:            return dw_retile(&c, p, why, nwhy);
    }
}

static bool no_such(const ContractPlan *p, int knob, char *why, size_t nwhy)
{
    Text has = { 0 };
    for (int i = 0; i < KNOBS; i++)
        if (contract_knob(p, i))
            text_addf(&has, "%s%s", has.n ? ", " : "", knob_names[i]);
    snprintf(why, nwhy, "this kernel has no '%s'; it has: %s", knob_names[knob], has.n ? has.at : "none");
    text_free(&has);
    return false;
}

bool contract_set_block(Graph *g, ContractPlan *p, const int *want, char *why, size_t nwhy)
{
    ContractPlan tried = *p;               /* why may be p's own */
    bool         any = false;
    char         text[160] = "";
    for (int k = 0; k < KNOBS; k++) {
        int s = slot_of(p, k);
        if (!want[k])
            continue;
        if (s < 0)
            return no_such(p, k, why, nwhy);
        any |= p->variant[s] != want[k];
        tried.variant[s] = want[k];
    }
    if (any && !retile(g, &tried, text, sizeof text)) {
        snprintf(why, nwhy, "%s", text);
        return false;
    }
    *p = tried;
    return true;
}

/* Of n, the smallest number of a phase's positions, -1: not known. */
static double waste_of(const Axis *a, int64_t n, int tile)
{
    return n < 0 ? 1 : tile_waste(n / a->out_step > 0 ? n / a->out_step : 1, tile);
}

double contract_estimate(const ContractPlan *p)
{
    const Graph *g = p->g;
    const int   *v = p->variant;
    const Dim   *out = node_shape(g, p->node);
    int          rank = node(g, p->node)->rank, vec = p->target->vec;
    int64_t      rows, cols;
    if (v[V_ALGO] == ALGO_MATMUL) {
        double share = fma_rate(v[V_PW], v[V_NB]);
        share *= dim_is_const(g->dims, out[rank - 2], &rows) ? tile_waste(rows, v[V_PW]) : 1;
        return share * (dim_is_const(g->dims, out[rank - 1], &cols) ? tile_waste(cols, (int64_t)v[V_NB] * vec) : 1);
    }
    Conv    c = conv_of(g, p->node);
    ConvMap m;
    if (v[V_ALGO] == ALGO_DW)
        return dw_rate(&c, p->target, v[V_ROWS], v[V_NB]);
    if (v[V_ALGO] == ALGO_NARROW)
        return fma_rate(v[V_PW], v[V_NB]);
    if (v[V_ALGO] != ALGO_CONV || !conv_map(&c, &m))
        return 0;
    double share = fma_rate(v[V_PN] * v[V_PR] * v[V_PW], v[V_NB]) * tile_waste((m.Cout / v[V_GROUPS] + vec - 1) / vec, v[V_NB]);
    return share * waste_of(&m.axis[0], m.rows, v[V_PR]) * waste_of(&m.axis[1], m.cols, v[V_PW]) * (m.n > 0 ? tile_waste(m.n, v[V_PN]) : 1);
}
