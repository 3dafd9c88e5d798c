/* bind.c - from the sizes of actual tensors to the numbers behind a graph's symbols, and the checks that had to wait for them.
 *
 * Symbols come from input shapes and untyped integers (IN_INT), then from the shapes of variables (lets). A pattern is solved once all but
 * one of its symbols are known, so the axes are gone over until nothing new is learnt: [H*W, H] binds H before it looks at H*W.
 */
#include "exec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One axis somewhere that must have a size. who: "input 'photo'"; whole pattern and actual shape for the message. */
typedef struct { Dim pattern; int64_t size; int axis, rank; const Dim *patterns; const int64_t *sizes; const char *who; bool done; } Axis;
typedef Vec(Axis) Axes;

static void shape_text(const Graph *g, const Axis *a, Text *out)
{
    text_addf(out, "%s has the sizes [", a->who);
    for (int i = 0; i < a->rank; i++)
        text_addf(out, "%s%lld", i ? ", " : "", (long long)a->sizes[i]);
    text_add(out, "], wanted is [");
    for (int i = 0; i < a->rank; i++) {
        text_add(out, i ? ", " : "");
        dim_print(g->dims, a->patterns[i], out);
    }
    text_add(out, "]");
}

static bool axis_fail(const Graph *g, const Axis *a, const DimBind *binds, uint32_t n, const char *why, Status *st)
{
    Text t = {0};
    shape_text(g, a, &t);
    text_addf(&t, ": axis %d %s", a->axis, why);
    const char *sep = " with ";
    Dim         syms[8];
    uint32_t    nsyms = dim_symbols(g->dims, a->pattern, syms, COUNT(syms));
    for (uint32_t i = 0; i < nsyms && i < COUNT(syms); i++)
        for (uint32_t j = 0; j < n; j++)
            if (binds[j].sym == syms[i]) {
                text_add(&t, sep);
                dim_print(g->dims, syms[i], &t);
                text_addf(&t, " = %lld", (long long)binds[j].value);
                sep = ", ";
            }
    status_fail(st, "%s", t.at);
    text_free(&t);
    return false;
}

static bool is_bound(Dim sym, const DimBind *binds, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (binds[i].sym == sym)
            return true;
    return false;
}

/* Symbols of d without a number yet. */
static uint32_t unbound(const Graph *g, Dim d, const DimBind *binds, uint32_t n)
{
    Dim      syms[32];
    uint32_t k = dim_symbols(g->dims, d, syms, COUNT(syms)), open = k > COUNT(syms) ? k - COUNT(syms) : 0;
    for (uint32_t i = 0; i < k && i < COUNT(syms); i++)
        open += !is_bound(syms[i], binds, n);
    return open;
}

static bool bind_axes(const Graph *g, Axes *axes, DimBind *binds, uint32_t *n, uint32_t max, Status *st)
{
    for (bool learnt = true; learnt;) {
        learnt = false;
        for (uint32_t i = 0; i < axes->n; i++) {
            Axis *a = &axes->at[i];
            if (a->done)
                continue;
            uint32_t open = unbound(g, a->pattern, binds, *n);
            if (open > 1)
                continue;
            a->done = true;
            if (open == 1) {
                if (*n >= max)
                    return status_fail(st, "%s: more than %u different sizes", a->who, max);
                if (dim_bind(g->dims, a->pattern, a->size, binds, n, max) < 0)
                    return axis_fail(g, a, binds, *n, "fits no whole number", st);
                learnt = true;
                continue;
            }
            int64_t v;
            if (!dim_eval(g->dims, a->pattern, binds, *n, &v))
                return axis_fail(g, a, binds, *n, "is too large", st);
            if (v != a->size) {
                char why[64];
                snprintf(why, sizeof why, "should be %lld", (long long)v);
                return axis_fail(g, a, binds, *n, why, st);
            }
        }
    }
    for (uint32_t i = 0; i < axes->n; i++)
        if (!axes->at[i].done)
            return axis_fail(g, &axes->at[i], binds, *n, "does not tell its sizes apart", st);
    return true;
}

static bool same_kind(Dtype want, Dtype have)
{
    bool fw = want == DT_F32 || want == DT_F64, fh = have == DT_F32 || have == DT_F64;
    return want == have || (fw && fh);
}

/* An input that is absent counts as given when it has a default. */
static bool is_absent(const GraphInput *in, const Tensor *t) { return !t->data && in->has_default; }

bool bind_inputs(const Graph *g, const Tensor *inputs, DimBind *binds, uint32_t *n, uint32_t max, Status *st)
{
    static const char *const dtypes[] = {"nothing", "f32", "f64", "i32", "bool"};
    Arena names = {0};
    Axes  axes = {0};
    bool  ok = true;
    for (uint32_t i = 0; i < g->inputs.n && ok; i++) {
        const GraphInput *in = &g->inputs.at[i];
        const Tensor     *t = &inputs[i];
        if (in->kind == IN_INT) {
            double v = is_absent(in, t) ? in->deflt : t->data && tensor_count(t) == 1 ? tensor_get(t, 0) : NAN;
            Dim    syms[1];
            if (!(v >= 0 && v <= 1e15 && v == floor(v)))
                ok = status_fail(st, "input '%s' must be a whole number >= 0", in->name);
            else if (dim_symbols(g->dims, in->symbol, syms, 1) == 1 && !is_bound(syms[0], binds, *n)) {
                if (*n >= max || dim_bind(g->dims, in->symbol, (int64_t)v, binds, n, max) < 0)
                    ok = status_fail(st, "input '%s': %g does not fit", in->name, v);
            }
            continue;
        }
        if (is_absent(in, t))
            continue;
        if (!t->data)
            ok = status_fail(st, "input '%s' is missing", in->name);
        else if (!same_kind(in->dtype, t->dtype))
            ok = status_fail(st, "input '%s' must be %s, not %s", in->name, dtypes[in->dtype], dtypes[t->dtype]);
        else if (t->rank != in->rank)
            ok = status_fail(st, "input '%s' has %d axes, wanted are %d", in->name, t->rank, in->rank);
        const char *who = ok ? arena_printf(&names, "input '%s'", in->name) : NULL;
        for (int k = 0; k < in->rank && ok; k++) {
            Axis a = {in->shape[k], t->shape[k], k, in->rank, in->shape, t->shape, who, false};
            vec_push(&axes, a);
        }
    }
    ok = ok && bind_axes(g, &axes, binds, n, max, st);
    vec_free(&axes);
    arena_free(&names);
    return ok;
}

bool bind_vars(const Graph *g, const Tensor *vars, DimBind *binds, uint32_t *n, uint32_t max, Status *st)
{
    Arena names = {0};
    Axes  axes = {0};
    bool  ok = true;
    for (uint32_t r = 1; r < g->nodes.n && ok; r++) {
        const Node *nd = node(g, r);
        if (nd->op != OP_var)
            continue;
        int64_t       index = node_attrs(g, r)[0];
        const Tensor *t = &vars[index];
        char          where[256];
        const char   *who = arena_printf(&names, "variable number %lld (%s)", (long long)index, place_text(g, nd->loc, where, sizeof where));
        if (!t->data)
            continue;                              /* whoever reads it will say so */
        if (t->rank != nd->rank)
            ok = status_fail(st, "%s has %d axes, wanted are %d", who, t->rank, nd->rank);
        for (int k = 0; k < nd->rank && ok; k++) {
            Axis a = {node_shape(g, r)[k], t->shape[k], k, nd->rank, node_shape(g, r), t->shape, who, false};
            vec_push(&axes, a);
        }
    }
    ok = ok && bind_axes(g, &axes, binds, n, max, st);
    vec_free(&axes);
    arena_free(&names);
    return ok;
}

bool check_sizes(const Graph *g, const DimBind *binds, uint32_t n, Status *st)
{
    for (uint32_t i = 0; i < g->checks.n; i++) {
        const GraphCheck *c = &g->checks.at[i];
        int64_t           a, b;
        char              where[256];
        bool              known = dim_eval(g->dims, c->a, binds, n, &a) && dim_eval(g->dims, c->b, binds, n, &b);
        if (known && a == b)
            continue;
        Text t = {0};
        place_text(g, c->loc, where, sizeof where);
        text_addf(&t, "%s%s%s: ", where, where[0] ? ": " : "", c->message ? c->message : "sizes differ");
        dim_print(g->dims, c->a, &t);
        if (known)
            text_addf(&t, " = %lld", (long long)a);
        text_add(&t, known ? " but " : " cannot be compared with ");
        dim_print(g->dims, c->b, &t);
        if (known)
            text_addf(&t, " = %lld", (long long)b);
        status_fail(st, "%s", t.at);
        text_free(&t);
        return false;
    }
    return true;
}

bool bind_sizes(const Graph *g, const Tensor *inputs, DimBind *binds, uint32_t *n, uint32_t max, Status *st)
{
    *n = 0;
    return bind_inputs(g, inputs, binds, n, max, st) && check_sizes(g, binds, *n, st);
}
