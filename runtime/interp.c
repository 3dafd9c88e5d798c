/* interp.c - the reference interpreter's driver: which nodes are needed, in what order, and when their values can go.
 *
 * Nodes stand in topological order, so one sweep downwards marks what is wanted and one upwards computes it. A value is freed when its
 * last user has run: a training step then needs little more than its activations. Dispatch comes from the op table.
 */
#include "interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static RefFn *const ref_fns[OP_COUNT] = {
#define OP(name, nin, class, flags, grad, test, attrs, doc) [OP_##name] = ref_##name,
#include "../compiler/ops.def"
#undef OP
};

bool ref_dim(const Interp *ip, Ref r, Dim d, int64_t *v)
{
    if (dim_eval(ip->g->dims, d, ip->binds, ip->nbinds, v))
        return true;
    Text t = {0};
    dim_print(ip->g->dims, d, &t);
    node_fail(ip->g, r, ip->st, "the size %s is not known or too large", t.at);
    text_free(&t);
    return false;
}

void strides_of(int rank, const int64_t *shape, int64_t *strides)
{
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = s;
        s *= shape[i];
    }
}

int64_t view_rows(const View *v)
{
    int64_t n = 1;
    for (int i = 0; i < v->rank - 1; i++)
        n *= v->shape[i];
    return n;
}

int64_t view_len(const View *v) { return v->rank ? v->shape[v->rank - 1] : 1; }

int64_t view_step(const View *v) { return v->rank ? v->stride[v->rank - 1] : 0; }

int64_t view_row(const View *v, int64_t row)
{
    int64_t at = v->base;
    for (int i = v->rank - 2; i >= 0; i--) {
        at += row % v->shape[i] * v->stride[i];
        row /= v->shape[i];
    }
    return at;
}

static bool value_new(const Interp *ip, Ref r, Value *v)
{
    const Node *nd = node(ip->g, r);
    *v = (Value){.dtype = nd->dtype, .rank = nd->rank, .n = 1};
    bool    empty = false;
    int64_t n = 1;
    for (int i = 0; i < nd->rank; i++) {
        if (!ref_dim(ip, r, node_shape(ip->g, r)[i], &v->shape[i]))
            return false;
        if (v->shape[i] < 0)
            return node_fail(ip->g, r, ip->st, "axis %d would have the size %lld", i, (long long)v->shape[i]);
        empty |= v->shape[i] == 0;
    }
    for (int i = 0; i < nd->rank && !empty; i++)
        if (__builtin_mul_overflow(n, v->shape[i], &n) || n > (int64_t)1 << 43)
            return node_fail(ip->g, r, ip->st, "a tensor too large for this machine");
    v->n = empty ? 0 : n;
    v->at = calloc((size_t)(v->n ? v->n : 1), sizeof *v->at);
    return v->at ? true : node_fail(ip->g, r, ip->st, "out of memory: %.1f MB", (double)v->n * 8 / 1e6);
}

static void value_free(Value *v)
{
    free(v->at);
    v->at = NULL;
}

bool ref_node(const Interp *ip, Ref r, const Value *const *in, Value *out) { return ref_fns[node(ip->g, r)->op](ip, r, in, out); }

static bool run_node(const Interp *ip, Ref r, Value *values, InterpSee *see, void *ctx)
{
    const Node   *nd = node(ip->g, r);
    const Value  *few[8];
    const Value **in = nd->nargs <= COUNT(few) ? few : xmalloc(nd->nargs * sizeof *in);
    for (int i = 0; i < nd->nargs; i++)
        in[i] = &values[node_arg(ip->g, r, i)];
    bool ok = value_new(ip, r, &values[r]) && ref_node(ip, r, in, &values[r]) && (!see || see(ctx, ip, r, in, &values[r]));
    if (in != few)
        free(in);
    return ok;
}

uint32_t *count_uses(const Graph *g, const Ref *want, uint32_t nwant)
{
    uint32_t *uses = xmalloc(g->nodes.n * sizeof *uses);
    for (uint32_t i = 0; i < nwant; i++)
        uses[want[i]]++;
    for (Ref r = g->nodes.n; r-- > 1;)
        for (int i = 0; uses[r] && i < node(g, r)->nargs; i++)
            uses[node_arg(g, r, i)]++;
    return uses;
}

static bool value_to_tensor(const Value *v, Dtype as, Tensor *t, Status *st)
{
    if (!tensor_alloc(t, as, v->rank, v->shape, st))
        return false;
    if (as == DT_F64)
        memcpy(t->data, v->at, (size_t)v->n * sizeof *v->at);
    for (int64_t i = 0; as != DT_F64 && i < v->n; i++)
        tensor_set(t, i, v->at[i]);
    return true;
}

/* The results that node r gives, as soon as it is computed: its value can go when nobody else reads it. */
static bool give_results(Ref r, const Value *v, const Ref *want, uint32_t nwant, const Dtype *as, Tensor *results, Status *st)
{
    for (uint32_t i = 0; i < nwant; i++)
        if (want[i] == r && !value_to_tensor(v, as ? as[i] : DT_F64, &results[i], st))
            return false;
    return true;
}

static bool all_finite(const Value *v)
{
    for (int64_t i = 0; i < v->n; i++)
        if (!isfinite(v->at[i]))
            return false;
    return true;
}

bool interpret_seen(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, const Dtype *as, Tensor *results,
                    InterpSee *see, void *ctx, Status *st)
{
    DimBind binds[MAX_BINDS];
    Interp  ip = {.g = g, .inputs = inputs, .vars = vars, .rs = rs, .binds = binds, .st = st};
    if (!bind_inputs(g, inputs, binds, &ip.nbinds, MAX_BINDS, st))
        return false;
    if (vars && !bind_vars(g, vars, binds, &ip.nbinds, MAX_BINDS, st))
        return false;
    if (!check_sizes(g, binds, ip.nbinds, st))
        return false;
    uint32_t *uses = count_uses(g, want, nwant);
    bool     *wanted = xmalloc(g->nodes.n);
    Value    *values = xmalloc(g->nodes.n * sizeof *values);
    bool      ok = true;
    memset(results, 0, nwant * sizeof *results);
    for (uint32_t i = 0; i < nwant; i++)
        wanted[want[i]] = true;
    for (Ref r = 1; r < g->nodes.n && ok; r++) {
        if (!uses[r])
            continue;
        ok = run_node(&ip, r, values, see, ctx);
        for (int i = 0; i < node(g, r)->nargs; i++) {
            Ref a = node_arg(g, r, i);
            if (--uses[a] == 0)
                value_free(&values[a]);
        }
        ok = ok && (!wanted[r] || give_results(r, &values[r], want, nwant, as, results, st));
        for (uint32_t i = 0; wanted[r] && i < nwant; i++)
            if (want[i] == r && --uses[r] == 0)
                value_free(&values[r]);
    }
    for (uint32_t i = 0; i < nwant && !ok; i++)
        tensor_free(&results[i]);
    for (Ref r = 1; r < g->nodes.n; r++)
        value_free(&values[r]);
    free(values);
    free(wanted);
    free(uses);
    return ok;
}

static bool mark_bad(void *bad, const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    (void)ip;
    (void)in;
    ((uint8_t *)bad)[r] = !all_finite(out);
    return true;
}

bool interpret_traced(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, const Dtype *as, Tensor *results,
                      uint8_t *bad, Status *st)
{
    return interpret_seen(g, inputs, vars, rs, want, nwant, as, results, bad ? mark_bad : NULL, bad, st);
}

bool interpret(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, Tensor *results, Status *st)
{
    return interpret_seen(g, inputs, vars, rs, want, nwant, NULL, results, NULL, NULL, st);
}
