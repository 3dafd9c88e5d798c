/* say_graph.h - a case said in the graph language, as a person would find it in a bug report: a module whose states are the variables, a net of it, and an
 * export (a step, when variables are written or the run's own numbers are read) called "run".
 *
 * An adjoint that the language has no word for is said as what it is: the derivative of sum(op(z) * g) by z, where z is any tensor.
 * What random nodes draw differs from the case's, because a stream is named by its place in the file.
 */
#ifndef PASTICHE_TESTS_SAY_GRAPH_H
#define PASTICHE_TESTS_SAY_GRAPH_H

#include "random_net.h"

typedef struct { const Case *c; const Graph *g; Text *out; bool ok, step, runtime[RT_T + 1]; int extra; } Say;

static inline void say_dims(Say *s, const Dim *shape, int rank)
{
    text_add(s->out, "[");
    for (int i = 0; i < rank; i++) {
        text_add(s->out, i ? ", " : "");
        dim_print(s->g->dims, shape[i], s->out);
    }
    text_add(s->out, "]");
}

static inline void say_shape(Say *s, Ref r) { say_dims(s, node_shape(s->g, r), node(s->g, r)->rank); }

static inline void say_ints(Say *s, const int64_t *v, int n)
{
    text_add(s->out, "[");
    for (int i = 0; i < n; i++)
        text_addf(s->out, "%s%lld", i ? ", " : "", (long long)v[i]);
    text_add(s->out, "]");
}

static inline void say_ref(Say *s, Ref r)
{
    const Node *n = node(s->g, r);
    if (n->op == OP_input)
        text_addf(s->out, "%s", s->g->inputs.at[node_attrs(s->g, r)[0]].name);
    else if (n->op == OP_var)
        text_addf(s->out, "v%lld", (long long)node_attrs(s->g, r)[0]);
    else
        text_addf(s->out, "t%u", r);
}

/* A call of the language: %r the i-th argument's name (a digit follows), %s the node's shape */
static inline void say(Say *s, Ref r, const char *fmt)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            text_addn(s->out, fmt, 1);
        } else if (*++fmt == 's') {
            say_shape(s, r);
        } else {
            say_ref(s, node_arg(s->g, r, *fmt - '0'));
        }
    }
}

/* A tensor of a node's shape that derivatives are taken by: its numbers do not matter. */
static inline int say_dummy(Say *s, Ref like)
{
    text_addf(s->out, "    z%d = fixed_uniform(", ++s->extra);
    say_shape(s, like);
    text_addf(s->out, ", seed: %d)\n", s->extra);
    return s->extra;
}

static inline void say_conv(Say *s, const int64_t *a)
{
    text_add(s->out, ", stride: ");
    say_ints(s, a, 2);
    text_add(s->out, ", pad: ");
    say_ints(s, a + 2, 4);
    text_add(s->out, ", dilation: ");
    say_ints(s, a + 6, 2);
    text_addf(s->out, ", groups: %lld)", (long long)a[8]);
}

/* x: the operand's text; in: its shape; out: the result's, which says whether the last window may reach outside */
static inline void say_pool(Say *s, const char *name, const char *x, Ref in, Ref out, const int64_t *k)
{
    DimTable *d = s->g->dims;
    bool      ceil = false;
    for (int i = 0; i < 2; i++) {
        int64_t more = k[4 + 2 * i] + k[5 + 2 * i] - k[i];
        Dim     room = more >= 0 ? dim_add(d, node_shape(s->g, in)[2 + i], dim_const(d, more)) : dim_sub(d, node_shape(s->g, in)[2 + i], dim_const(d, -more));
        ceil |= dim_add(d, dim_floordiv(d, room, k[2 + i]), dim_const(d, 1)) != node_shape(s->g, out)[2 + i];
    }
    text_addf(s->out, "%s(%s, ", name, x);
    say_ints(s, k, 2);
    text_add(s->out, ", stride: ");
    say_ints(s, k + 2, 2);
    text_add(s->out, ", pad: ");
    say_ints(s, k + 4, 4);
    text_addf(s->out, ", ceil: %s)", ceil ? "true" : "false");
}

/* x[start:stop:step, ..] of a value of shape `part` */
static inline void say_span(Say *s, Ref r, const Dim *part, int rank, bool *flip)
{
    DimTable *d = s->g->dims;
    text_add(s->out, "[");
    for (int i = 0; i < rank; i++) {
        Dim     start = (Dim)node_attrs(s->g, r)[i], last = dim_sub(d, part[i], dim_const(d, 1));
        int64_t step = node_attrs(s->g, r)[rank + i];
        flip[i] = step < 0;
        if (step < 0) {
            start = dim_add(d, start, dim_scale(d, last, step));
            step = -step;
        }
        Dim stop = dim_add(d, dim_add(d, start, dim_scale(d, last, step)), dim_const(d, 1));
        text_add(s->out, i ? ", " : "");
        dim_print(d, start, s->out);
        text_add(s->out, ":");
        dim_print(d, stop, s->out);
        if (step > 1)
            text_addf(s->out, ":%lld", (long long)step);
    }
    text_add(s->out, "]");
}

static inline void say_flip(Say *s, const bool *flip, int rank)
{
    bool any = false;
    for (int i = 0; i < rank; i++)
        any |= flip[i];
    if (!any)
        return;
    text_add(s->out, "[");
    for (int i = 0; i < rank; i++)
        text_addf(s->out, "%s%s", i ? ", " : "", flip[i] ? "::-1" : ":");
    text_add(s->out, "]");
}

/* "reflect_pad(x, [..])" of a value with the smaller shape */
static inline void say_pad(Say *s, const char *x, Ref node_ref, const Dim *small, const Dim *large)
{
    const int64_t *a = node_attrs(s->g, node_ref);
    int            rank = node(s->g, node_ref)->rank;
    int64_t        p[4] = { 0 };
    s->ok &= rank == 4 && !a[0] && !a[1];
    for (int i = 0; i < rank && s->ok; i++) {
        int64_t more;
        s->ok &= dim_is_const(s->g->dims, dim_sub(s->g->dims, large[i], small[i]), &more) && (i > 1 || !more);
        if (i > 1 && s->ok) {
            p[2 * i - 4] = a[i];
            p[2 * i - 3] = more - a[i];
        }
    }
    text_addf(s->out, "%s(%s, ", s->ok && a[4] == MODE_EDGE ? "edge_pad" : "reflect_pad", x);
    say_ints(s, p, 4);
    text_add(s->out, ")");
}

static inline void say_resize(Say *s, const char *x, Ref r, const Dim *to)
{
    static const char *const modes[] = { "nearest", "bilinear" }, *const conventions[] = { "half_pixel", "legacy" };
    text_addf(s->out, "resize(%s, mode: %s, convention: %s, size: ", x, modes[node_attrs(s->g, r)[0]], conventions[node_attrs(s->g, r)[1]]);
    say_dims(s, to + 2, 2);
    text_add(s->out, ")");
}

/* ---- adjoints: what is said before the node's own line, "tR = grad(sum(.. * g), z)" ---- */

static inline void say_adjoint_start(Say *s, Ref r) { text_addf(s->out, "    t%u = grad(sum(", r); }
static inline void say_adjoint_end(Say *s, Ref times, int z)
{
    text_add(s->out, " * ");
    say_ref(s, times);
    text_addf(s->out, "), z%d)\n", z);
}

static inline const char *say_name(Say *s, Ref r, char *buf, size_t size)
{
    Text t = { 0 }, *out = s->out;
    s->out = &t;
    say_ref(s, r);
    s->out = out;
    snprintf(buf, size, "%s", t.at);
    text_free(&t);
    return buf;
}

/* true: r was an adjoint and has been said */
static inline bool say_adjoint(Say *s, Ref r)
{
    const Graph   *g = s->g;
    const Node    *n = node(g, r);
    const int64_t *a = node_attrs(g, r);
    char           zs[16], name[24];
    int            z;
    switch ((Op)n->op) {
    case OP_place: case OP_pad_adjoint: case OP_resize_adjoint: case OP_win_sum_adjoint: case OP_conv_dx: case OP_conv_dw: case OP_win_unpick: case OP_win_pick:
        break;
    default:
        return false;
    }
    Ref  x = node_arg(g, r, 0), second = n->nargs > 1 ? node_arg(g, r, 1) : 0;
    bool flip[MAX_RANK] = { false };
    z = n->op == OP_win_unpick ? 0 : say_dummy(s, r);
    snprintf(zs, sizeof zs, "z%d", z);
    if (n->op == OP_win_pick) {                  /* v where x is largest: the derivative by g of sum(unpick(x, g) * v) */
        text_addf(s->out, "    u%u = grad(sum(", r);
        say_pool(s, "max_pool", say_name(s, x, name, sizeof name), x, r, a);
        text_addf(s->out, " * %s), ", zs);
        say_ref(s, x);
        text_add(s->out, ")\n");
        text_addf(s->out, "    t%u = grad(sum(u%u", r, r);
        say_adjoint_end(s, second, z);
        return true;
    }
    say_adjoint_start(s, r);
    if (n->op == OP_win_unpick) {
        say_pool(s, "max_pool", say_name(s, x, name, sizeof name), x, second, a);
        text_add(s->out, " * stop(");            /* what is spread may itself come from x */
        say_ref(s, second);
        text_add(s->out, ")), ");
        say_ref(s, x);
        text_add(s->out, ")\n");
        return true;
    }
    if (n->op == OP_place) {
        text_add(s->out, zs);
        say_span(s, r, node_shape(g, x), n->rank, flip);
        say_flip(s, flip, n->rank);
    } else if (n->op == OP_pad_adjoint) {
        say_pad(s, zs, r, node_shape(g, r), node_shape(g, x));
    } else if (n->op == OP_resize_adjoint) {
        say_resize(s, zs, r, node_shape(g, x));
    } else if (n->op == OP_win_sum_adjoint) {
        say_pool(s, "sum_pool", zs, r, x, a);
    } else {
        text_addf(s->out, "conv2d(%s, ", n->op == OP_conv_dx ? zs : say_name(s, x, name, sizeof name));
        text_add(s->out, n->op == OP_conv_dx ? say_name(s, second, name, sizeof name) : zs);
        say_conv(s, a);
        say_adjoint_end(s, n->op == OP_conv_dx ? x : second, z);
        return true;
    }
    say_adjoint_end(s, x, z);
    return true;
}

/* ---- nodes ---- */

static inline void say_reduction(Say *s, Ref r)
{
    const Node *n = node(s->g, r);
    text_addf(s->out, "%s(", op_info[n->op].name);
    say_ref(s, node_arg(s->g, r, 0));
    text_add(s->out, ", axes: ");
    say_ints(s, node_attrs(s->g, r), n->nattrs);
    text_add(s->out, ", keep: true)");
}

static inline void say_value(Say *s, Ref r)
{
    const Graph   *g = s->g;
    const Node    *n = node(g, r);
    const int64_t *a = node_attrs(g, r);
    const char    *to = n->dtype == DT_I32 ? "i32" : n->dtype == DT_BOOL ? "bool" : "f32";
    char           name[24];
    bool           flip[MAX_RANK] = { false };
    switch ((Op)n->op) {
    case OP_const:   text_addf(s->out, "%s(fill([], %.17g))", to, n->value); break;
    case OP_size:    text_add(s->out, "fill([], 1) * ("), dim_print(g->dims, (Dim)a[0], s->out), text_add(s->out, ")"); s->ok &= n->dtype == DT_F32; break;
    case OP_runtime: text_addf(s->out, "run%lld", (long long)a[0]); break;
    case OP_iota:    say(s, r, n->dtype == DT_F32 ? "iota(%s" : "i32(iota(%s"); text_addf(s->out, ", axis: %lld%s", (long long)a[0], n->dtype == DT_F32 ? ")" : "))"); break;
    case OP_uniform: case OP_normal:
        say(s, r, a[1] ? n->op == OP_normal ? "fixed_normal(%s" : "fixed_uniform(%s" : n->op == OP_normal ? "normal(%s" : "uniform(%s");
        text_addf(s->out, a[1] ? ", seed: %lld)" : ")", (long long)a[0] % 100000);
        break;
    case OP_cast:    text_addf(s->out, "%s(", to); say(s, r, "%0)"); break;
    case OP_add:     say(s, r, "%0 + %1"); break;
    case OP_sub:     say(s, r, "%0 - %1"); break;
    case OP_mul:     say(s, r, "%0 * %1"); break;
    case OP_div:     say(s, r, "%0 / %1"); break;
    case OP_neg:     say(s, r, "-%0"); break;
    case OP_eq:      say(s, r, "%0 == %1"); break;
    case OP_ne:      say(s, r, "%0 != %1"); break;
    case OP_lt:      say(s, r, "%0 < %1"); break;
    case OP_le:      say(s, r, "%0 <= %1"); break;
    case OP_select:  say(s, r, "select(%0, %1, %2)"); break;
    case OP_sum: case OP_amax: say_reduction(s, r); break;
    case OP_argmax:  say(s, r, "reshape(argmax(%0, "); text_addf(s->out, "%lld), ", (long long)a[0]); say(s, r, "%s)"); break;
    case OP_reshape: say(s, r, "reshape(%0, %s)"); break;
    case OP_broadcast: say(s, r, "expand(%0, %s)"); break;
    case OP_transpose: say(s, r, "transpose(%0, "); say_ints(s, a, n->nattrs); text_add(s->out, ")"); break;
    case OP_slice:   say(s, r, "%0"); say_span(s, r, node_shape(g, r), n->rank, flip); say_flip(s, flip, n->rank); break;
    case OP_pad:     say_pad(s, say_name(s, node_arg(g, r, 0), name, sizeof name), r, node_shape(g, node_arg(g, r, 0)), node_shape(g, r)); break;
    case OP_resize:  say_resize(s, say_name(s, node_arg(g, r, 0), name, sizeof name), r, node_shape(g, r)); break;
    case OP_win_sum: case OP_win_max:
        say_pool(s, n->op == OP_win_sum ? "sum_pool" : "max_pool", say_name(s, node_arg(g, r, 0), name, sizeof name), node_arg(g, r, 0), r, a);
        break;
    case OP_conv:    say(s, r, "conv2d(%0, %1"); say_conv(s, a); break;
    case OP_matmul:  say(s, r, "matmul(%0, %1"); text_addf(s->out, ", transpose_a: %s, transpose_b: %s)", a[0] ? "true" : "false", a[1] ? "true" : "false"); break;
    case OP_gather:  say(s, r, "gather(%0, %1)"); break;
    case OP_scatter_add: say(s, r, "scatter_add(%0, %1, "); dim_print(g->dims, node_shape(g, r)[0], s->out); text_add(s->out, ")"); break;
    case OP_concat:
        for (int i = 0; i < n->nargs; i++) {
            text_add(s->out, i ? ", " : "concat([");
            say_ref(s, node_arg(g, r, i));
        }
        text_addf(s->out, "], axis: %lld)", (long long)a[0]);
        break;
    default:         /* the rest are functions of their arguments, called by their names */
        text_addf(s->out, "%s", op_info[n->op].name);
        say(s, r, n->nargs == 2 ? "(%0, %1)" : "(%0)");
        s->ok &= op_info[n->op].class == CLASS_ELEM && (n->nargs == 1 || n->nargs == 2);
    }
}

/* ---- the file ---- */

static inline void say_inputs(Say *s, bool module)
{
    for (uint32_t i = 0; i < s->g->inputs.n; i++) {
        const GraphInput *in = &s->g->inputs.at[i];
        text_addf(s->out, "%s%s: %s", i ? ", " : "", in->name, dtype_name(in->dtype));
        say_dims(s, in->shape, in->rank);
    }
    for (int k = 0; k <= RT_T && module; k++)    /* the run's own numbers are known in a step alone */
        if (s->runtime[k])
            text_addf(s->out, "%srun%d: f32[]", s->g->inputs.n || k ? ", " : "", k);
}

static inline void say_results(Say *s)
{
    for (uint32_t i = 0; i < s->g->outputs.n; i++) {
        Ref r = s->g->outputs.at[i].value;
        if (s->g->outputs.n > 1)
            text_addf(s->out, "%sy%u: ", i ? ", " : "(", i);
        text_add(s->out, dtype_name((Dtype)node(s->g, r)->dtype));
        say_shape(s, r);
    }
    text_add(s->out, s->g->outputs.n > 1 ? ")" : "");
}

static inline void say_body(Say *s)
{
    const Graph *g = s->g;
    bool        *var = xmalloc(s->c->nvars + 1);
    for (Ref r = 1; r < g->nodes.n; r++) {
        if (node(g, r)->op != OP_var || var[node_attrs(g, r)[0]])
            continue;
        double scale = s->c->var_scale[node_attrs(g, r)[0]];
        var[node_attrs(g, r)[0]] = true;
        text_addf(s->out, "    state v%lld: f32", (long long)node_attrs(g, r)[0]);
        say_shape(s, r);
        text_addf(s->out, " = uniform(%.6g, %.6g)\n", -scale, scale);
    }
    free(var);
    for (Ref r = 1; r < g->nodes.n; r++) {
        if (node(g, r)->op == OP_input || node(g, r)->op == OP_var || say_adjoint(s, r))
            continue;
        text_addf(s->out, "    t%u = ", r);
        say_value(s, r);
        text_add(s->out, "\n");
    }
    for (uint32_t i = 0; i < g->writes.n; i++) {
        text_addf(s->out, "    v%u := ", g->writes.at[i].var);
        say_ref(s, g->writes.at[i].value);
        text_add(s->out, "\n");
    }
    text_add(s->out, "    return ");
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        text_add(s->out, i ? ", " : "");
        say_ref(s, g->outputs.at[i].value);
    }
    text_add(s->out, "\n");
}

/* Appends the file. false: something in it has no words (then out holds half a file). c must be free of dead nodes and have an output. */
static inline bool say_case(const Case *c, Text *out)
{
    Say s = { .c = c, .g = c->g, .out = out, .ok = c->g->outputs.n > 0, .step = c->g->writes.n > 0 };
    for (Ref r = 1; r < c->g->nodes.n; r++)
        if (node(c->g, r)->op == OP_runtime) {
            s.step = s.runtime[node_attrs(c->g, r)[0]] = true;
            s.ok &= node_attrs(c->g, r)[0] <= RT_PROGRESS;
        }
    text_add(out, "module Case()(");
    say_inputs(&s, true);
    text_add(out, ") -> ");
    say_results(&s);
    text_add(out, " {\n");
    say_body(&s);
    text_addf(out, "}\n\nnet C = Case()\n\n%s run(", s.step ? "step" : "export");
    say_inputs(&s, false);
    text_add(out, ") -> ");
    say_results(&s);
    text_add(out, s.step ? " {\n    y = C.train(" : " {\n    y = C.eval(");
    for (uint32_t i = 0; i < c->g->inputs.n; i++)
        text_addf(out, "%s%s", i ? ", " : "", c->g->inputs.at[i].name);
    for (int k = 0; k <= RT_PROGRESS; k++)
        if (s.runtime[k])
            text_addf(out, "%srun%d: fill([], 1) * %s", c->g->inputs.n || k ? ", " : "", k, k == RT_STEP ? "step" : k == RT_EPOCH ? "epoch" : "progress");
    text_add(out, ")\n    return ");
    for (uint32_t i = 0; i < c->g->outputs.n; i++)
        text_addf(out, c->g->outputs.n > 1 ? "%sy.y%u" : "%sy", i ? ", " : "", i);
    text_add(out, "\n}\n");
    return s.ok;
}

#endif
