/* program_ref.c - a whole graph on the reference backend: outputs, reports, asserts and writes of one pass.
 *
 * Nothing is written until everything has been computed and every assert holds, so a failed step changes nothing.
 */
#include "interp.h"

#include <stdlib.h>
#include <string.h>

/* Floats stay f64, i32 and bool become what they are. */
static bool result_as(Tensor *t, Dtype dtype, Status *st)
{
    return dtype == DT_F32 || dtype == DT_F64 || tensor_copy(t, t, dtype, st);
}

static bool check_asserts(const Graph *g, const Tensor *conds, Status *st)
{
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        const GraphAssert *a = &g->asserts.at[i];
        char               where[256];
        if (tensor_count(&conds[i]) != 1 || tensor_get(&conds[i], 0) == 0) {
            place_text(g, a->loc, where, sizeof where);
            return status_fail(st, "%s%sassert failed%s%s", where, where[0] ? ": " : "", a->message ? ": " : "", a->message ? a->message : "");
        }
    }
    return true;
}

/* From a result that is not finite down to the node that made the trouble: its own inputs are finite. A constant is never to blame (masks are made with
 * infinities), who misuses it is. */
static bool fail_not_finite(const Graph *g, Ref r, const uint8_t *bad, Status *st)
{
    for (Ref from = 0; from != r;) {
        from = r;
        for (int i = 0; i < node(g, from)->nargs && r == from; i++) {
            Ref a = node_arg(g, from, i);
            if (bad[a] && node(g, a)->op != OP_const)
                r = a;
        }
    }
    char        where[256];
    const Node *nd = node(g, r);
    const char *chain = nd->chain && nd->chain < g->chains.n ? g->chains.at[nd->chain] : NULL;
    place_text(g, nd->loc, where, sizeof where);
    return status_fail(st, "%s%s%s: the first number that is not finite comes from here%s%s", where, where[0] ? ": " : "", op_info[nd->op].name,
                       chain ? ", " : "", chain ? chain : "");
}

/* A variable's new tensor: its own dtype, or the node's when it has no value yet. */
static Dtype var_dtype(const Graph *g, const GraphWrite *w, const Tensor *vars)
{
    return vars[w->var].data ? vars[w->var].dtype : (Dtype)node(g, w->value)->dtype;
}

/* Moves a new value into a variable; storage of the same shape is kept, for those who hold on to it. */
static void commit(Tensor *var, Tensor *value)
{
    bool same = var->data && var->rank == value->rank;
    for (int i = 0; i < value->rank && same; i++)
        same = var->shape[i] == value->shape[i];
    if (same) {
        memcpy(var->data, value->data, (size_t)tensor_count(value) * dtype_size(value->dtype));
        return;
    }
    tensor_free(var);
    *var = *value;
    *value = (Tensor){0};
}

bool reference_run(const Graph *g, const Tensor *inputs, Tensor *vars, const RunState *rs, bool nan_checks, Tensor *outputs, Tensor *reports, Status *st)
{
    uint32_t nout = g->outputs.n, nrep = reports ? g->reports.n : 0, nwrite = g->writes.n, nassert = g->asserts.n, n = nout + nrep + nwrite + nassert;
    Ref     *want = xmalloc(n * sizeof *want);
    Tensor  *got = xmalloc(n * sizeof *got);
    uint32_t k = 0;
    for (uint32_t i = 0; i < nout; i++)
        want[k++] = g->outputs.at[i].value;
    for (uint32_t i = 0; i < nrep; i++)
        want[k++] = g->reports.at[i].value;
    for (uint32_t i = 0; i < nwrite; i++)
        want[k++] = g->writes.at[i].value;
    for (uint32_t i = 0; i < nassert; i++)
        want[k++] = g->asserts.at[i].cond;
    uint8_t *bad = nan_checks ? xmalloc(g->nodes.n) : NULL;
    bool     ok = interpret_traced(g, inputs, vars, rs, want, n, NULL, got, bad, st);
    ok = ok && check_asserts(g, got + nout + nrep + nwrite, st);
    for (uint32_t i = 0; i < nout + nrep + nwrite && ok && bad; i++)
        ok = !bad[want[i]] || fail_not_finite(g, want[i], bad, st);
    for (uint32_t i = 0; i < nout + nrep && ok; i++)
        ok = result_as(&got[i], (Dtype)node(g, want[i])->dtype, st);
    for (uint32_t i = 0; i < nwrite && ok; i++)
        ok = tensor_copy(&got[nout + nrep + i], &got[nout + nrep + i], var_dtype(g, &g->writes.at[i], vars), st);
    for (uint32_t i = 0; i < nwrite && ok; i++)
        commit(&vars[g->writes.at[i].var], &got[nout + nrep + i]);
    for (uint32_t i = 0; i < nout && ok; i++) {
        outputs[i] = got[i];
        got[i] = (Tensor){0};
    }
    for (uint32_t i = 0; i < nrep && ok; i++) {
        reports[i] = got[nout + i];
        got[nout + i] = (Tensor){0};
    }
    for (uint32_t i = 0; i < n; i++)
        tensor_free(&got[i]);
    free(bad);
    free(got);
    free(want);
    return ok;
}
