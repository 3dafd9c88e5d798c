/* tune_check.c - a candidate's block sizes on a small problem of its kind, against the interpreter. */
#include "tune_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../compiler/tune_db.h"
#include "interp.h"
#include "program.h"

enum { FREE = 13, MOST_ROWS = 24, MOST_K = 70 };

static int64_t at_most(int64_t n, int64_t most) { return n < 0 || n > most ? most : n; }
static int64_t number(const Graph *g, Dim d)
{
    int64_t v;
    return dim_is_const(g->dims, d, &v) ? v : -1;
}

/* x, weights, gradient of a small convolution with n's attributes; false: there is none. */
static bool small_conv(const ContractPlan *plan, const int *want, Dim *x, Dim *w, Dim *y)
{
    const Graph   *g = plan->g;
    const Node    *n = node(g, plan->node);
    const int64_t *a = node_attrs(g, plan->node);
    Ref            in0 = node_arg(g, plan->node, 0), in1 = node_arg(g, plan->node, 1);
    const Dim     *fx = node_shape(g, n->op == OP_conv_dx ? plan->node : in0), *fw = node_shape(g, n->op == OP_conv_dw ? plan->node : in1);
    const Dim     *fy = node_shape(g, n->op == OP_conv ? plan->node : n->op == OP_conv_dx ? in0 : in1);
    int64_t        vec = plan->target->vec, groups = a[8], wide = (want[KNOB_VECTORS] > 2 ? want[KNOB_VECTORS] : 2) * vec + vec / 2;
    x[0] = y[0] = (Dim)at_most(number(g, fx[0]), (want[KNOB_IMAGES] > 1 ? want[KNOB_IMAGES] : 1) + 1);
    x[1] = (Dim)(groups > 1 ? number(g, fx[1]) : at_most(number(g, fx[1]), n->op == OP_conv_dx ? wide : 2 * vec));
    w[0] = y[1] = (Dim)(groups > 1 ? number(g, fw[0]) : at_most(number(g, fw[0]), n->op == OP_conv_dx ? 2 * vec : wide));
    w[1] = (Dim)(x[1] / (Dim)groups);
    for (int i = 0; i < 2; i++) {
        int64_t taps = number(g, fw[2 + i]), size = number(g, fx[2 + i]), least = (MOST_ROWS - 4) * a[i];
        int64_t small = size < 0 ? FREE * a[i] + 2 * want[KNOB_COLS] * a[i] : i == 0 ? at_most(size, least > 2 * taps ? least : 2 * taps) : size;
        int64_t span = small + a[2 + 2 * i] + a[3 + 2 * i] - a[6 + i] * (taps - 1) - 1;
        if (taps < 1 || small < 1 || span < 0)
            return false;
        w[2 + i] = (Dim)taps;
        x[2 + i] = (Dim)small;
        y[2 + i] = (Dim)(span / a[i] + 1);
        if (size >= 0 && i == 1)
            y[3] = (Dim)(number(g, fy[3]) >= 0 ? number(g, fy[3]) : y[3]);
    }
    return true;
}

static bool small_matmul(const ContractPlan *plan, const int *want, int *rank, Dim *a, Dim *b)
{
    const Graph   *g = plan->g;
    const int64_t *flags = node_attrs(g, plan->node);
    const Dim     *out = node_shape(g, plan->node), *fa = node_shape(g, node_arg(g, plan->node, 0));
    *rank = node(g, plan->node)->rank;
    int64_t vec = plan->target->vec, m = at_most(number(g, out[*rank - 2]), 2 * (want[KNOB_ROWS] > 8 ? want[KNOB_ROWS] : 8) + 3);
    int64_t n = at_most(number(g, out[*rank - 1]), (want[KNOB_VECTORS] > 8 ? want[KNOB_VECTORS] : 8) * vec + 5);
    int64_t k = at_most(number(g, fa[flags[0] ? *rank - 2 : *rank - 1]), MOST_K);
    for (int i = 0; i < *rank - 2; i++)
        a[i] = b[i] = (Dim)at_most(number(g, out[i]), 2);
    a[*rank - 2] = (Dim)(flags[0] ? k : m);
    a[*rank - 1] = (Dim)(flags[0] ? m : k);
    b[*rank - 2] = (Dim)(flags[1] ? n : k);
    b[*rank - 1] = (Dim)(flags[1] ? k : n);
    return m > 0 && n > 0 && k > 0;
}

static Ref input(Graph *g, const char *name, int rank, const Dim *shape)
{
    GraphInput in = { .name = name, .kind = IN_TENSOR, .dtype = DT_F32, .rank = (uint8_t)rank };
    int64_t    index = g->inputs.n;
    memcpy(in.shape, shape, (size_t)rank * sizeof *shape);
    vec_push(&g->inputs, in);
    return make_node(g, OP_input, DT_F32, rank, shape, 0, NULL, 1, &index, 0);
}

/* Sizes below 2^30 are their own Dims. */
static Graph *small_graph(const ContractPlan *plan, const int *want, DimTable *dims)
{
    const Graph *from = plan->g;
    const Node  *n = node(from, plan->node);
    Op           op = (Op)n->op;
    Dim          x[MAX_RANK], w[MAX_RANK], y[MAX_RANK];
    int          rank = 4;
    bool         fits = op == OP_matmul ? small_matmul(plan, want, &rank, x, w) : small_conv(plan, want, x, w, y);
    if (!fits)
        return NULL;
    Graph  *g = graph_new("small", dims);
    Ref     args[2] = { input(g, "a", rank, op == OP_conv_dx ? y : x), input(g, "b", rank, op == OP_conv_dw ? y : w) };
    int64_t attrs[16];
    char    why[256];
    bool    given = op_info[op].flags & FLAG_SHAPE_GIVEN;
    Type    type = { .dtype = DT_F32, .rank = given ? 4 : 0 };
    memcpy(attrs, node_attrs(from, plan->node), n->nattrs * sizeof *attrs);
    memcpy(type.shape, op == OP_conv_dx ? x : w, 4 * sizeof(Dim));
    if (!infer_type(g, op, 2, args, n->nattrs, attrs, &type, NULL, why, sizeof why)) {
        graph_free(g);
        return NULL;
    }
    GraphOutput out = { .name = "y", .value = make_node(g, op, DT_F32, given ? 4 : 0, given ? type.shape : NULL, 2, args, n->nattrs, attrs, 0) };
    vec_push(&g->outputs, out);
    return g;
}

static bool fill(const Graph *g, uint32_t i, Tensor *t)
{
    int64_t  shape[MAX_RANK];
    Status   st = { 0 };
    uint32_t dice = 7 + i;
    for (int k = 0; k < g->inputs.at[i].rank; k++)
        dim_is_const(g->dims, g->inputs.at[i].shape[k], &shape[k]);
    if (!tensor_alloc(t, DT_F32, g->inputs.at[i].rank, shape, &st))
        return false;
    for (int64_t k = 0; k < tensor_count(t); k++) {
        dice = dice * 1664525u + 1013904223u;
        tensor_set(t, k, (double)((int32_t)(dice >> 8) - (1 << 23)) / (1 << 23));
    }
    return true;
}

static double distance(const Tensor *a, const Tensor *b)
{
    double diff = 0, norm = 0;
    for (int64_t i = 0; i < tensor_count(b); i++) {
        double d = tensor_get(a, i) - tensor_get(b, i);
        diff += d * d;
        norm += tensor_get(b, i) * tensor_get(b, i);
    }
    return norm > 0 ? sqrt(diff / norm) : sqrt(diff);
}

/* The plan of the contraction in a program for g; NULL: it is no kernel of its own. */
static const ContractPlan *plan_in(const Program *p)
{
    const Fusion *f = program_fusion(p);
    for (uint32_t i = 0; f && i < f->kernels.n; i++)
        if (f->kernels.at[i]->kind == FUSED_CONTRACT)
            return &f->kernels.at[i]->plan;
    return NULL;
}

static bool same_way(const ContractPlan *plan, const ContractPlan *small)
{
    return small && small->variant[0] == plan->variant[0];
}

bool tune_check(const ContractPlan *plan, const int *want, const ExecOptions *options)
{
    DimTable   *dims = dims_new();
    Graph      *g = small_graph(plan, want, dims);
    TuneDb     *none = tune_db_new(), *db = tune_db_new();
    ExecOptions o = *options;
    Status      st = { 0 };
    Tensor      in[2] = { 0 }, plain = { 0 }, tuned = { 0 }, true_one = { 0 };
    RunState    rs = { .rng = { 0, 0 } };
    Program    *p = NULL, *q = NULL;
    o.tuned = none;
    o.winograd_always = !o.exact;
    p = g ? program_new(NULL, g, &o, &st) : NULL;
    if (p && !same_way(plan, plan_in(p))) {        /* the direct kernel, where small sizes would go Winograd's way */
        program_free(p);
        o.exact = true;
        p = program_new(NULL, g, &o, &st);
    }
    bool ok = p && same_way(plan, plan_in(p)) && fill(g, 0, &in[0]) && fill(g, 1, &in[1]);
    if (ok) {
        char *key = tune_key(plan_in(p));
        tune_db_set(db, key, want, 0, 0);
        free(key);
        o.tuned = db;
        q = program_new(NULL, g, &o, &st);
        ok = q && plan_in(q)->tuned;
    }
    ok = ok && program_run(p, in, NULL, &rs, &plain, NULL, &st) && program_run(q, in, NULL, &rs, &tuned, NULL, &st);
    ok = ok && interpret(g, in, NULL, &rs, &g->outputs.at[0].value, 1, &true_one, &st);
    ok = ok && !memcmp(plain.data, tuned.data, (size_t)tensor_count(&plain) * sizeof(float)) && distance(&tuned, &true_one) <= 1e-5;
    program_free(p);
    program_free(q);
    for (int i = 0; i < 2; i++)
        tensor_free(&in[i]);
    tensor_free(&plain);
    tensor_free(&tuned);
    tensor_free(&true_one);
    tune_db_free(none);
    tune_db_free(db);
    if (g)
        graph_free(g);
    dims_free(dims);
    return ok;
}
