/* bisect_kernel.c - one kernel at a time: what it stored against what the interpreter makes of the values it read.
 *
 * A kernel's result is an expression over values that earlier kernels stored, inputs and variables. That expression is copied into a graph of its own, with
 * numbers for sizes and inputs for what is stored; the interpreter runs it on the very numbers that the kernel read, also under noise (closeness.h). So the
 * tolerance is that of one kernel, and an error does not travel. Copies into another layout must be the same bits.
 */
#include "bisect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "closeness.h"

enum { MORE_DICE = 4 };            /* further noise when elements are off: decisions on the edge may turn either way */

/* ---- reading a buffer ---- */

static bool eval(const KernelRun *run, Dim d, int64_t *v) { return dim_eval(run->g->dims, d, run->binds, run->nbinds, v); }

static bool sizes_of(const KernelRun *run, Ref r, int64_t *size)
{
    for (int i = 0; i < node(run->g, r)->rank; i++)
        if (!eval(run, node_shape(run->g, r)[i], &size[i]))
            return false;
    return true;
}

static void read_element(const void *at, int64_t i, Tensor *t, int64_t k)
{
    if (t->dtype == DT_BOOL)
        ((uint8_t *)t->data)[k] = ((const uint8_t *)at)[i];
    else
        memcpy((char *)t->data + 4 * k, (const char *)at + 4 * i, 4);
}

/* Value r as buffer b holds it, row by row. */
static bool read_buffer(const KernelRun *run, Ref r, uint32_t b, Tensor *t, Status *st)
{
    const Node   *n = node(run->g, r);
    const Layout *l = &run->f->buffers.at[b].layout;
    int64_t       size[MAX_RANK], v = l->block, step[5], k = 0;
    if (!sizes_of(run, r, size) || !tensor_alloc(t, (Dtype)n->dtype, n->rank, size, st))
        return status_fail(st, "a size is not known");
    if (n->rank != 4) {
        memcpy(t->data, run->at[b], (size_t)tensor_count(t) * dtype_size(t->dtype));
        return true;
    }
    Strides4 s = layout_strides(run->g->dims, node_shape(run->g, r), l);
    const Dim dims[5] = { s.n, s.c, s.h, s.w, s.origin };
    for (int i = 0; i < 5; i++)
        if (!eval(run, dims[i], &step[i]))
            return status_fail(st, "a size is not known");
    for (int64_t i = 0; i < size[0]; i++)
        for (int64_t c = 0; c < size[1]; c++)
            for (int64_t y = 0; y < size[2]; y++)
                for (int64_t x = 0; x < size[3]; x++)
                    read_element(run->at[b], step[4] + i * step[0] + c / v * step[1] + y * step[2] + x * step[3] + c % v, t, k++);
    return true;
}

/* ---- the kernel's expression as a graph of its own ---- */

typedef struct { const Observer *o; const KernelRun *run; Graph *g; Ref *map; Vec(Tensor) inputs; bool *borrowed; Status *st; } Local;

/* An input for a value that is there: stored, given from outside, or a variable. */
static bool local_input(Local *l, Ref r, Tensor t, bool borrowed)
{
    GraphInput in = { .name = "stored", .kind = IN_TENSOR, .dtype = t.dtype == DT_F64 ? DT_F32 : t.dtype, .rank = (uint8_t)t.rank };
    int64_t    index = l->g->inputs.n;
    for (int i = 0; i < t.rank; i++)
        in.shape[i] = dim_const(l->g->dims, t.shape[i]);
    vec_push(&l->g->inputs, in);
    vec_push(&l->inputs, t);
    l->borrowed = xrealloc(l->borrowed, l->inputs.n * sizeof *l->borrowed);
    l->borrowed[index] = borrowed;
    l->map[r] = make_node(l->g, OP_input, in.dtype, in.rank, in.shape, 0, NULL, 1, &index, 0);
    return true;
}

static bool local_leaf(Local *l, Ref r)
{
    const Graph  *g = l->run->g;
    uint32_t      index = (uint32_t)node_attrs(g, r)[0];
    const Tensor *t = node(g, r)->op == OP_var ? &l->o->vars[index] : &l->o->job->inputs[index];
    Tensor        number = { 0 };
    if (t->data || node(g, r)->op == OP_var)
        return local_input(l, r, *t, true);
    if (!tensor_alloc(&number, (Dtype)node(g, r)->dtype, 0, NULL, l->st))
        return false;
    tensor_set(&number, 0, g->inputs.at[index].deflt);
    return local_input(l, r, number, false);
}

static bool local_node(Local *l, Ref r)
{
    const Graph    *g = l->run->g;
    const Node     *n = node(g, r);
    int64_t         size[MAX_RANK], *attrs = xmalloc((n->nattrs + 1u) * sizeof *attrs), v;
    Dim             shape[MAX_RANK];
    const AttrInfo *infos;
    Ref            *args = xmalloc((n->nargs + 1u) * sizeof *args);
    int             kinds = op_attrs((Op)n->op, &infos), at = 0;
    bool            given = op_info[n->op].flags & FLAG_SHAPE_GIVEN, ok = sizes_of(l->run, r, size);
    for (int i = 0; i < n->rank && ok; i++)
        shape[i] = dim_const(g->dims, size[i]);
    for (int i = 0; i < kinds; i++)
        for (int k = op_attr_count((Op)n->op, i, n->nattrs); k-- > 0; at++) {
            attrs[at] = node_attrs(g, r)[at];
            if (infos[i].kind != ATTR_DIM)
                continue;
            ok = ok && eval(l->run, (Dim)attrs[at], &v);
            attrs[at] = ok ? (int64_t)dim_const(g->dims, v) : 0;
        }
    for (int i = 0; i < n->nargs; i++)
        args[i] = l->map[node_arg(g, r, i)];
    if (ok && n->op == OP_size)
        l->map[r] = eval(l->run, (Dim)node_attrs(g, r)[0], &v) ? b_const(l->g, (Dtype)n->dtype, (double)v) : 0;
    else if (ok)
        l->map[r] = make_node(l->g, (Op)n->op, (Dtype)n->dtype, given ? n->rank : 0, given ? shape : NULL, n->nargs, args, n->nattrs, attrs, n->value);
    free(attrs);
    free(args);
    return ok || status_fail(l->st, "a size is not known");
}

/* Is it read where it is stored, by who computes `result`? */
static bool is_stored(const Local *l, Ref r, Ref result) { return r != result && l->o->made[r] != NONE; }

static bool build_local(Local *l, Ref result)
{
    const Graph *g = l->run->g;
    bool        *needed = xmalloc(result + 1u), ok = true;
    needed[result] = true;
    for (Ref r = result; r > 0; r--)
        for (int i = 0; needed[r] && !is_stored(l, r, result) && i < node(g, r)->nargs; i++)
            needed[node_arg(g, r, i)] = true;
    for (Ref r = 1; r <= result && ok; r++) {
        Tensor t = { 0 };
        if (!needed[r])
            continue;
        if (is_stored(l, r, result))
            ok = read_buffer(l->run, r, l->o->made[r], &t, l->st) && local_input(l, r, t, false);
        else if (node(g, r)->op == OP_input || node(g, r)->op == OP_var)
            ok = local_leaf(l, r);
        else
            ok = local_node(l, r);
    }
    free(needed);
    return ok;
}

static void local_free(Local *l)
{
    for (uint32_t i = 0; i < l->inputs.n; i++)
        if (!l->borrowed[i])
            tensor_free(&l->inputs.at[i]);
    vec_free(&l->inputs);
    free(l->borrowed);
    free(l->map);
    graph_free(l->g);
}

/* ---- comparing ---- */

static bool compare_result(Local *l, Ref result, const Tensor *got, Finding *f)
{
    int64_t n = tensor_count(got), at = 0;
    double *best = xmalloc((size_t)(n + 1) * sizeof *best), off = INFINITY, tolerance = 0;
    bool    ok = true;
    for (int64_t i = 0; i < n; i++)
        best[i] = INFINITY;
    for (uint32_t dice = 0; dice <= MORE_DICE && ok && !(off <= tolerance); dice++) {
        Expected e;
        ok = expect_values(l->g, l->inputs.at, NULL, &l->o->job->rs, &l->map[result], 1, false, dice, &e, l->st);
        if (!ok)
            break;
        off = distance_to_any(&e, 0, got, best, &at);
        tolerance = fmax(tolerance, e.tolerance[0]);
        if (n && !(off <= tolerance))
            finding_off(f, &e.values[0], got, at, off, tolerance);
        expected_free(&e);
    }
    f->found = ok && n && !(off <= tolerance);
    free(best);
    return ok;
}

static bool check_result(Observer *o, const KernelRun *run, uint32_t b)
{
    Ref    r = run->f->buffers.at[b].value;
    Tensor got = { 0 }, first = { 0 };
    bool   ok = read_buffer(run, r, b, &got, o->st);
    if (ok && (o->made[r] != NONE || node(run->g, r)->op == OP_input || node(run->g, r)->op == OP_var)) {
        const Tensor *given = node(run->g, r)->op == OP_var ? o->vars : o->job->inputs;
        if (o->made[r] == NONE)                  /* a copy of what came from outside */
            ok = tensor_copy(&first, &given[node_attrs(run->g, r)[0]], got.dtype, o->st);
        else
            ok = read_buffer(run, r, o->made[r], &first, o->st);
        for (int64_t i = 0; ok && i < tensor_count(&got) && !o->f->found; i++)
            if (memcmp((char *)got.data + i * (int64_t)dtype_size(got.dtype), (char *)first.data + i * (int64_t)dtype_size(got.dtype), dtype_size(got.dtype))) {
                o->f->found = true;
                finding_off(o->f, &first, &got, i, INFINITY, 0);
            }
    } else if (ok) {
        Local l = { .o = o, .run = run, .g = graph_new("kernel", run->g->dims), .map = xmalloc((run->g->nodes.n + 1) * sizeof(Ref)), .st = o->st };
        ok = build_local(&l, r) && compare_result(&l, r, &got, o->f);
        local_free(&l);
    }
    o->checked++;
    if (o->f->found) {
        finding_at(o->f, run->g, r, "kernels");
        snprintf(o->f->kernel, sizeof o->f->kernel, "%s", run->f->kernels.at[run->kernel]->kernel.name);
    }
    tensor_free(&got);
    tensor_free(&first);
    return ok;
}

static bool keep_bits(Observer *o, const KernelRun *run, uint32_t b)
{
    Tensor t = { 0 };
    if (!read_buffer(run, run->f->buffers.at[b].value, b, &t, o->st))
        return false;
    o->bits = xrealloc(o->bits, (o->nbits + 1) * sizeof *o->bits);
    o->bits[o->nbits++] = hash_bytes(t.data, (size_t)tensor_count(&t) * dtype_size(t.dtype), 7);
    tensor_free(&t);
    if (o->same && !o->f->found && (o->nbits > o->same->nbits || o->bits[o->nbits - 1] != o->same->bits[o->nbits - 1])) {
        o->f->found = true;
        finding_at(o->f, run->g, run->f->buffers.at[b].value, o->stage);
        snprintf(o->f->kernel, sizeof o->f->kernel, "%s", run->f->kernels.at[run->kernel]->kernel.name);
    }
    return true;
}

void observe(void *observer, const KernelRun *run)
{
    Observer *o = observer;
    uint32_t  buffers[64], n = values_made(run->f, run->kernel, buffers, COUNT(buffers));
    if (o->job->spoil)
        o->job->spoil(o->job->spoil_ctx, run);
    if (!o->made) {
        o->made = xmalloc((run->g->nodes.n + 1) * sizeof *o->made);
        memset(o->made, 0xff, (run->g->nodes.n + 1) * sizeof *o->made);
    }
    for (uint32_t i = 0; i < n && !o->st->failed; i++) {
        uint32_t b = buffers[i];
        Ref      r = run->f->buffers.at[b].value;
        keep_bits(o, run, b);
        if (o->compare && !o->f->found)
            check_result(o, run, b);
        if (o->made[r] == NONE)
            o->made[r] = b;
    }
}
