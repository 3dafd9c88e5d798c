/* closeness.c - the interpreter under noise.
 *
 * Noise is put where a kernel rounds: arithmetic, not movement, choices or exact ops. For a sum of terms the unit is that of the sum of their magnitudes
 * (the op run on absolute values says what that is), and for contractions also of the largest one near, because Winograd's transforms mix neighbours.
 * A decision is tested with its operands moved ten times as far as noise moved them, one way and the other.
 */
#include "closeness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "interp.h"

static const double UNIT = 1.2e-7, BASE = 1e-5, TIMES = 20, FLOOR = 1e-9, EDGE_TIMES = 10;

typedef struct {
    uint32_t run, dice;            /* run 0: no noise */
    double **mag;                  /* by node of floats: see add_magnitude */
    Value   *decided;              /* by node: the operand of its decision without noise; NULL: edges are not wanted */
    Ref      edge;
} Noise;

/* ---- which ops round, and which decide ---- */

typedef enum { EXACT, ROUNDS, ADDS, SUMS, SUMS_NEAR } Rounding;

static Rounding rounding(const Graph *g, Ref r)
{
    const Node *n = node(g, r);
    if (n->dtype != DT_F32 && n->dtype != DT_F64)
        return EXACT;
    switch ((Op)n->op) {
    case OP_const:
        return (double)(float)n->value == n->value ? EXACT : ROUNDS;
    case OP_size: case OP_runtime: case OP_exp: case OP_log: case OP_sqrt: case OP_rsqrt: case OP_sin: case OP_cos: case OP_tanh: case OP_sigmoid:
    case OP_softplus: case OP_mul: case OP_div: case OP_pow:
        return ROUNDS;
    case OP_add: case OP_sub:
        return ADDS;
    case OP_resize: case OP_resize_adjoint: case OP_pad_adjoint: case OP_sum: case OP_win_sum: case OP_win_sum_adjoint: case OP_win_unpick: case OP_scatter_add:
    case OP_matmul:
        return SUMS;
    case OP_conv: case OP_conv_dx: case OP_conv_dw:
        return SUMS_NEAR;
    default:
        return EXACT;
    }
}

/* Ops whose result jumps when an operand crosses something. The operand that decides is the first, but for comparisons, where both do. */
static bool decides(const Graph *g, Ref r)
{
    const Node *n = node(g, r);
    if (!n->nargs || node(g, node_arg(g, r, 0))->dtype != DT_F32)
        return false;
    switch ((Op)n->op) {
    case OP_lt: case OP_le: case OP_eq: case OP_ne: case OP_sign: case OP_floor: case OP_round: case OP_argmax: case OP_win_pick: case OP_win_unpick:
        return true;
    case OP_cast:
        return n->dtype == DT_I32 || n->dtype == DT_BOOL;
    default:
        return false;
    }
}

/* ---- noise ---- */

static double roll(const Noise *w, Ref r, int64_t i) { return 2.0 * rng_uniform((Rng){ 0x6e6f697365u + w->run, w->dice }, r, (uint64_t)i) - 1.0; }

/* The op itself on other numbers than its operands': from[i] says which of argument i, NULL keeps them. out has the result's shape; its numbers are new. */
static bool run_on(const Interp *ip, Ref r, const Value *const *in, double *const *from, const Value *out, double **result)
{
    int           n = node(ip->g, r)->nargs;
    Value         like[3], to = *out;
    const Value  *few[3], **args = n <= 3 ? few : xmalloc((size_t)n * sizeof *args);
    Value        *values = n <= 3 ? like : xmalloc((size_t)n * sizeof *values);
    for (int i = 0; i < n; i++) {
        values[i] = *in[i];
        values[i].at = from[i] ? from[i] : in[i]->at;
        args[i] = &values[i];
    }
    *result = to.at = xmalloc((size_t)(out->n + 1) * sizeof *to.at);
    bool ok = ref_node(ip, r, args, &to);
    if (args != few) {
        free(args);
        free(values);
    }
    return ok;
}

static double *changed(const double *v, int64_t n, double (*f)(double))
{
    double *to = xmalloc((size_t)(n + 1) * sizeof *to);
    for (int64_t i = 0; i < n; i++)
        to[i] = f(v[i]);
    return to;
}

/* What is summed into each element, by magnitude: the op itself on absolute values. */
static bool magnitudes(const Interp *ip, Ref r, const Value *const *in, const Value *out, double **mag)
{
    int     n = node(ip->g, r)->nargs, first = node(ip->g, r)->op == OP_win_unpick;        /* its first operand only chooses */
    double *from[2] = { NULL };
    for (int i = first; i < n; i++)
        from[i] = changed(in[i]->at, in[i]->n, fabs);
    bool ok = run_on(ip, r, in, from, out, mag);
    free(from[0]);
    free(from[1]);
    return ok;
}

static double squared(double v) { return v * v; }

/* What stands behind a number that sums and differences made small: the root of the squares of all that went in. A pass that rearranges sums may round at
 * that size, though the graph as written does not. Anything else than sums, products and movement starts anew with its result. */
static bool add_magnitude(const Noise *w, const Interp *ip, Ref r, const Value *const *in, const Value *out)
{
    const Node *n = node(ip->g, r);
    double     *mag = NULL, *from[3] = { NULL }, **args = n->nargs <= 3 ? from : xmalloc(n->nargs * sizeof *args);
    OpClass     class = op_info[n->op].class;
    bool        ok = true, linear = class == CLASS_MOVE || class == CLASS_CONTRACT || class == CLASS_INDEX || n->op == OP_sum || n->op == OP_win_sum ||
                         n->op == OP_win_sum_adjoint || n->op == OP_win_unpick || n->op == OP_win_pick || n->op == OP_resize || n->op == OP_resize_adjoint;
    for (int i = 0; i < n->nargs && linear; i++) {
        const double *m = w->mag[node_arg(ip->g, r, i)];
        bool          chooses = i == 0 && (n->op == OP_win_unpick || n->op == OP_win_pick);
        args[i] = m && !chooses ? changed(m, in[i]->n, squared) : NULL;
    }
    if (linear) {
        ok = run_on(ip, r, in, args, out, &mag);
        for (int64_t i = 0; i < out->n; i++)
            mag[i] = sqrt(mag[i]);
    } else {
        mag = changed(out->at, out->n, fabs);
    }
    for (int i = 0; i < n->nargs && linear; i++)
        free(args[i]);
    const double *a = n->nargs > 0 ? w->mag[node_arg(ip->g, r, 0)] : NULL, *b = n->nargs > 1 ? w->mag[node_arg(ip->g, r, 1)] : NULL;
    for (int64_t i = 0; i < out->n && a; i++)
        switch ((Op)n->op) {
        case OP_add: case OP_sub: mag[i] = hypot(a[i], b[i]); break;
        case OP_mul:              mag[i] = a[i] * b[i]; break;
        case OP_div:              mag[i] = a[i] / fabs(in[1]->at[i]); break;
        case OP_neg: case OP_abs: case OP_stop: mag[i] = a[i]; break;
        default: break;
        }
    for (int64_t i = 0; i < out->n; i++)
        mag[i] = fmax(isfinite(mag[i]) ? mag[i] : 0, fabs(out->at[i]));
    if (args != from)
        free(args);
    w->mag[r] = mag;
    return ok;
}

static bool add_noise(const Noise *w, const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    Rounding      how = rounding(ip->g, r);
    double       *terms = NULL, largest = 0;
    const double *behind = w->mag[r];
    if (how == EXACT || (how >= SUMS && !magnitudes(ip, r, in, out, &terms)))
        return how == EXACT;
    for (int64_t i = 0; how == SUMS_NEAR && i < out->n; i++)
        largest = fmax(largest, terms[i]);
    for (int64_t i = 0; i < out->n; i++) {
        double unit = how >= SUMS ? terms[i] + 0.1 * largest : fabs(out->at[i]);
        if (how == ADDS)
            unit += 0.25 * (fabs(in[0]->at[i]) + fabs(in[1]->at[i]));
        if (how != ROUNDS)
            unit += 0.5 * behind[i];
        if (unit > 0)
            out->at[i] += UNIT * unit * roll(w, r, i);
    }
    free(terms);
    return true;
}

/* ---- decisions ---- */

static void keep(Value *to, const Value *v)
{
    *to = *v;
    to->at = xmalloc((size_t)(v->n + 1) * sizeof *to->at);
    memcpy(to->at, v->at, (size_t)v->n * sizeof *to->at);
}

static bool compares(const Graph *g, Ref r) { return node(g, r)->nargs == 2 && op_info[node(g, r)->op].class == CLASS_ELEM; }

/* For a comparison the operand is the difference; elsewhere the first. */
static void operand(const Interp *ip, Ref r, const Value *const *in, Value *to)
{
    keep(to, in[0]);
    for (int64_t i = 0; compares(ip->g, r) && i < to->n; i++)
        to->at[i] -= in[1]->at[i];
}

static bool same_numbers(const Value *a, const Value *b)
{
    for (int64_t i = 0; i < a->n; i++)
        if (a->at[i] != b->at[i] && !(isnan(a->at[i]) && isnan(b->at[i])))
            return false;
    return true;
}

static bool decide(const Interp *ip, Ref r, const Value *const *in, const Value *operand, const Value *shape, Value *out)
{
    const Node  *n = node(ip->g, r);
    Value        zero = *operand;
    const Value *args[2] = { operand, n->nargs > 1 ? in[1] : NULL };
    keep(out, shape);
    memset(out->at, 0, (size_t)out->n * sizeof *out->at);
    if (!compares(ip->g, r))
        return ref_node(ip, r, args, out);
    zero.at = xmalloc((size_t)(zero.n + 1) * sizeof *zero.at);
    args[1] = &zero;
    bool ok = ref_node(ip, r, args, out);
    free(zero.at);
    return ok;
}

/* Would the node decide the same, were its operand off by EDGE_TIMES what noise has made of it, to either side? */
static bool stands(const Interp *ip, Ref r, const Value *const *in, const Value *out, const Value *decided)
{
    Value now, moved, before, after;
    bool  ok = decide(ip, r, in, decided, out, &before);
    operand(ip, r, in, &now);
    keep(&moved, &now);
    for (int side = -1; side <= 1 && ok; side += 2) {
        for (int64_t i = 0; i < now.n; i++) {
            double off = now.at[i] - decided->at[i];
            moved.at[i] = decided->at[i] + (isfinite(off) ? side * EDGE_TIMES * off : 0);
        }
        ok = decide(ip, r, in, &moved, out, &after) && same_numbers(&before, &after);
        free(after.at);
    }
    free(now.at);
    free(moved.at);
    free(before.at);
    return ok;
}

static bool see(void *ctx, const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    Noise *w = ctx;
    if (w->decided && decides(ip->g, r)) {
        if (!w->run)
            operand(ip, r, in, &w->decided[r]);
        else if (!w->edge && !stands(ip, r, in, out, &w->decided[r]))
            w->edge = r;
    }
    bool floats = out->dtype == DT_F32 || out->dtype == DT_F64;
    return w->run ? add_noise(w, ip, r, in, out) : !floats || add_magnitude(w, ip, r, in, out);
}

/* ---- distances ---- */

static double largest_of(const Tensor *t)
{
    double largest = 0;
    for (int64_t i = 0, n = tensor_count(t); i < n; i++)
        largest = fmax(largest, fabs(tensor_get(t, i)));
    return largest;
}

static double element_distance(double want, double got, double largest)
{
    if (want == got || (isnan(want) && isnan(got)))
        return 0;
    double e = fabs(want - got) / (fabs(want) + 0.1 * largest + FLOOR);
    return isnan(e) ? INFINITY : e;
}

double distance(const Tensor *want, const Tensor *got, int64_t *at)
{
    double  worst = 0, largest = largest_of(want);
    int64_t where = -1;
    for (int64_t i = 0, n = tensor_count(want); i < n; i++) {
        double e = element_distance(tensor_get(want, i), tensor_get(got, i), largest);
        if (e > worst || where < 0) {
            worst = e;
            where = i;
        }
    }
    if (at)
        *at = where;
    return worst;
}

double distance_to_any(const Expected *x, uint32_t i, const Tensor *got, double *best, int64_t *at)
{
    double  worst = 0, largest = largest_of(&x->values[i]);
    int64_t where = -1;
    for (int64_t k = 0, n = tensor_count(got); k < n; k++) {
        best[k] = fmin(best[k], element_distance(tensor_get(&x->values[i], k), tensor_get(got, k), largest));
        for (int run = 0; run < NEAR_RUNS; run++)
            best[k] = fmin(best[k], element_distance(tensor_get(&x->near[run][i], k), tensor_get(got, k), largest));
        if (best[k] > worst || where < 0) {
            worst = best[k];
            where = k;
        }
    }
    if (at)
        *at = where;
    return worst;
}

double distance_unit(const Tensor *want, int64_t at) { return fabs(tensor_get(want, at)) + 0.1 * largest_of(want) + FLOOR; }

/* ---- the whole ---- */

void expected_free(Expected *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        tensor_free(&e->values[i]);
        for (int k = 0; k < NEAR_RUNS; k++)
            tensor_free(&e->near[k][i]);
    }
    free(e->values);
    for (int k = 0; k < NEAR_RUNS; k++)
        free(e->near[k]);
    free(e->tolerance);
    *e = (Expected){ 0 };
}

bool expect_values(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t n, bool find_edges, uint32_t dice,
                   Expected *e, Status *st)
{
    Noise w = { .dice = dice, .mag = xmalloc(g->nodes.n * sizeof *w.mag), .decided = find_edges ? xmalloc(g->nodes.n * sizeof *w.decided) : NULL };
    *e = (Expected){ .n = n, .values = xmalloc((n + 1) * sizeof *e->values), .tolerance = xmalloc((n + 1) * sizeof *e->tolerance) };
    for (int k = 0; k < NEAR_RUNS; k++)
        e->near[k] = xmalloc((n + 1) * sizeof *e->near[k]);
    bool ok = interpret_seen(g, inputs, vars, rs, want, n, NULL, e->values, see, &w, st);
    for (w.run = 1; ok && w.run <= NEAR_RUNS; w.run++)
        ok = interpret_seen(g, inputs, vars, rs, want, n, NULL, e->near[w.run - 1], see, &w, st);
    for (uint32_t i = 0; ok && i < n; i++) {
        double moved = 0;
        for (int k = 0; k < NEAR_RUNS; k++)
            moved = fmax(moved, distance(&e->values[i], &e->near[k][i], NULL));
        e->tolerance[i] = BASE + TIMES * moved;
    }
    e->edge = w.edge;
    for (Ref r = 0; w.decided && r < g->nodes.n; r++)
        free(w.decided[r].at);
    for (Ref r = 0; r < g->nodes.n; r++)
        free(w.mag[r]);
    free(w.decided);
    free(w.mag);
    if (!ok)
        expected_free(e);
    return ok;
}
