/* interp_move.c - reductions, movement and indexing of the reference interpreter: everything that is only a matter of where elements stand.
 *
 * A View says where the elements of one tensor stand in another: transpose, broadcast, slice, place, concat and sum differ in its strides only.
 */
#include "interp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* out[i] = src[view of i]; the view runs over out's shape */
static void copy_from(const View *v, const double *src, double *out)
{
    int64_t rows = view_rows(v), len = view_len(v), step = view_step(v);
#pragma omp parallel for if (rows * len > PARALLEL_FROM)
    for (int64_t row = 0; row < rows; row++) {
        const double *s = src + view_row(v, row);
        for (int64_t j = 0; j < len; j++)
            out[row * len + j] = s[j * step];
    }
}

/* out[view of i] = src[i]; the view runs over src's shape */
static void copy_to(const View *v, const double *src, double *out)
{
    int64_t rows = view_rows(v), len = view_len(v), step = view_step(v);
    for (int64_t row = 0; row < rows; row++) {
        double *o = out + view_row(v, row);
        for (int64_t j = 0; j < len; j++)
            o[j * step] = src[row * len + j];
    }
}

static View view_over(const Value *v)
{
    View w = {.rank = v->rank};
    memcpy(w.shape, v->shape, sizeof w.shape);
    return w;
}

/* ---- reductions: the result seen over the input's shape, with stride 0 along what is reduced ---- */
static View reduced_view(const Interp *ip, Ref r, const Value *in, const Value *out)
{
    View v = view_over(in);
    strides_of(out->rank, out->shape, v.stride);
    for (int i = 0; i < node(ip->g, r)->nattrs; i++)
        v.stride[node_attrs(ip->g, r)[i]] = 0;
    return v;
}

bool ref_sum(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    View    v = reduced_view(ip, r, in[0], out);
    int64_t rows = view_rows(&v), len = view_len(&v), step = view_step(&v);
    for (int64_t row = 0; row < rows; row++) {
        const double *a = in[0]->at + row * len;
        double       *o = out->at + view_row(&v, row);
        for (int64_t j = 0; j < len; j++)
            o[j * step] += a[j];
    }
    if (out->dtype == DT_I32)
        for (int64_t i = 0; i < out->n; i++)
            out->at[i] = wrap_i32(out->at[i]);
    return true;
}

bool ref_amax(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    if (in[0]->n == 0 && out->n > 0)
        return node_fail(ip->g, r, ip->st, "the largest of no elements");
    View    v = reduced_view(ip, r, in[0], out);
    int64_t rows = view_rows(&v), len = view_len(&v), step = view_step(&v);
    for (int64_t i = 0; i < out->n; i++)
        out->at[i] = -INFINITY;
    for (int64_t row = 0; row < rows; row++) {
        const double *a = in[0]->at + row * len;
        double       *o = out->at + view_row(&v, row);
        for (int64_t j = 0; j < len; j++)
            if (a[j] > o[j * step] || isnan(a[j]))
                o[j * step] = a[j];
    }
    return true;
}

bool ref_argmax(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    int64_t axis = node_attrs(ip->g, r)[0], strides[MAX_RANK];
    int64_t len = in[0]->shape[axis];
    if (len == 0 && out->n > 0)
        return node_fail(ip->g, r, ip->st, "the largest of no elements");
    strides_of(in[0]->rank, in[0]->shape, strides);
    int64_t inner = strides[axis];
    for (int64_t i = 0; i < out->n; i++) {
        const double *a = in[0]->at + i / inner * inner * len + i % inner;
        int64_t       best = 0;
        for (int64_t j = 1; j < len; j++)
            if (a[j * inner] > a[best * inner] || (isnan(a[j * inner]) && !isnan(a[best * inner])))
                best = j;
        out->at[i] = (double)best;
    }
    return true;
}

/* ---- movement ---- */
bool ref_reshape(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    if (in[0]->n != out->n)
        return node_fail(ip->g, r, ip->st, "%lld elements do not make %lld", (long long)in[0]->n, (long long)out->n);
    memcpy(out->at, in[0]->at, (size_t)out->n * sizeof *out->at);
    return true;
}

bool ref_transpose(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    int64_t strides[MAX_RANK];
    strides_of(in[0]->rank, in[0]->shape, strides);
    View v = view_over(out);
    for (int i = 0; i < out->rank; i++)
        v.stride[i] = strides[node_attrs(ip->g, r)[i]];
    copy_from(&v, in[0]->at, out->at);
    return true;
}

bool ref_broadcast(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    View v = view_over(out);
    if (in[0]->rank == out->rank) {
        strides_of(in[0]->rank, in[0]->shape, v.stride);
        for (int i = 0; i < out->rank; i++) {
            if (in[0]->shape[i] == out->shape[i])
                continue;
            if (in[0]->shape[i] != 1)
                return node_fail(ip->g, r, ip->st, "axis %d has %lld elements, not 1", i, (long long)in[0]->shape[i]);
            v.stride[i] = 0;
        }
    }
    if (out->n)
        copy_from(&v, in[0]->at, out->at);
    return true;
}

/* The `part` of `whole` that slice and place speak of; false when it reaches outside. */
static bool part_view(const Interp *ip, Ref r, const Value *whole, const Value *part, View *v)
{
    int64_t        strides[MAX_RANK];
    const int64_t *attrs = node_attrs(ip->g, r);
    strides_of(whole->rank, whole->shape, strides);
    *v = view_over(part);
    for (int i = 0; i < part->rank && part->n; i++) {
        int64_t start, step = attrs[part->rank + i];
        if (!ref_dim(ip, r, (Dim)attrs[i], &start))
            return false;
        int64_t last = start + (part->shape[i] - 1) * step;
        if (start < 0 || start >= whole->shape[i] || last < 0 || last >= whole->shape[i])
            return node_fail(ip->g, r, ip->st, "axis %d: elements %lld to %lld of %lld", i, (long long)start, (long long)last, (long long)whole->shape[i]);
        v->base += start * strides[i];
        v->stride[i] = step * strides[i];
    }
    return true;
}

bool ref_slice(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    View v;
    if (!part_view(ip, r, in[0], out, &v))
        return false;
    if (out->n)
        copy_from(&v, in[0]->at, out->at);
    return true;
}

bool ref_place(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    View v;
    if (!part_view(ip, r, out, in[0], &v))
        return false;
    if (in[0]->n)
        copy_to(&v, in[0]->at, out->at);
    return true;
}

bool ref_concat(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    int64_t axis = node_attrs(ip->g, r)[0], at = 0;
    int64_t strides[MAX_RANK];
    strides_of(out->rank, out->shape, strides);
    for (int i = 0; i < node(ip->g, r)->nargs; i++) {
        View v = view_over(in[i]);
        memcpy(v.stride, strides, sizeof strides);
        v.base = at * strides[axis];
        for (int k = 0; k < out->rank; k++)
            if (k != axis && in[i]->shape[k] != out->shape[k])
                return node_fail(ip->g, r, ip->st, "part %d: axis %d has %lld elements, the result %lld", i, k, (long long)in[i]->shape[k], (long long)out->shape[k]);
        at += in[i]->shape[axis];
        if (at > out->shape[axis])
            return node_fail(ip->g, r, ip->st, "the parts are longer than %lld along axis %lld", (long long)out->shape[axis], (long long)axis);
        if (in[i]->n)
            copy_to(&v, in[i]->at, out->at);
    }
    return at == out->shape[axis] ? true : node_fail(ip->g, r, ip->st, "the parts are shorter than %lld along axis %lld", (long long)out->shape[axis], (long long)axis);
}

/* ---- pad: for each axis of the grown tensor, which element of the small one stands there ---- */
typedef struct { int64_t *source[MAX_RANK]; int64_t *all; } PadMaps;

static bool pad_maps(const Interp *ip, Ref r, const Value *small, const Value *grown, PadMaps *m)
{
    const int64_t *attrs = node_attrs(ip->g, r);
    PadMode        mode = (PadMode)attrs[grown->rank];
    int64_t        strides[MAX_RANK], total = 0;
    strides_of(small->rank, small->shape, strides);
    for (int k = 0; k < grown->rank; k++) {
        int64_t n = small->shape[k], before = attrs[k], behind = grown->shape[k] - n - before, most = before > behind ? before : behind;
        if (n + before > grown->shape[k] || before < 0)
            return node_fail(ip->g, r, ip->st, "axis %d: %lld before and %lld elements do not fit into %lld", k, (long long)before, (long long)n, (long long)grown->shape[k]);
        if (most > 0 && (mode == MODE_REFLECT ? most >= n : n == 0))
            return node_fail(ip->g, r, ip->st, "axis %d: %lld elements cannot be %s by %lld", k, (long long)n, mode == MODE_REFLECT ? "mirrored" : "repeated", (long long)most);
        total += grown->shape[k];
    }
    m->all = xmalloc((size_t)total * sizeof *m->all);
    int64_t *at = m->all;
    for (int k = 0; k < grown->rank; k++) {
        int64_t n = small->shape[k];
        m->source[k] = at;
        for (int64_t i = 0; i < grown->shape[k]; i++) {
            int64_t j = i - attrs[k];
            if (mode == MODE_REFLECT)
                j = j < 0 ? -j : j >= n ? 2 * (n - 1) - j : j;
            else
                j = j < 0 ? 0 : j >= n ? n - 1 : j;
            *at++ = j * strides[k];
        }
    }
    return true;
}

/* Where the row number `row` of the grown tensor starts in the small one. */
static int64_t pad_row(const PadMaps *m, const Value *grown, int64_t row)
{
    int64_t at = 0;
    for (int k = grown->rank - 2; k >= 0; k--) {
        at += m->source[k][row % grown->shape[k]];
        row /= grown->shape[k];
    }
    return at;
}

bool ref_pad(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    PadMaps m;
    if (!pad_maps(ip, r, in[0], out, &m))
        return false;
    View    v = view_over(out);
    int64_t rows = view_rows(&v), len = view_len(&v);
    for (int64_t row = 0; row < rows && out->n; row++) {
        const double *a = in[0]->at + pad_row(&m, out, row);
        for (int64_t j = 0; j < len; j++)
            out->at[row * len + j] = out->rank ? a[m.source[out->rank - 1][j]] : a[0];
    }
    free(m.all);
    return true;
}

bool ref_pad_adjoint(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    PadMaps m;
    if (!pad_maps(ip, r, out, in[0], &m))
        return false;
    View    v = view_over(in[0]);
    int64_t rows = view_rows(&v), len = view_len(&v);
    for (int64_t row = 0; row < rows && in[0]->n; row++) {
        double *o = out->at + pad_row(&m, in[0], row);
        for (int64_t j = 0; j < len; j++)
            o[in[0]->rank ? m.source[in[0]->rank - 1][j] : 0] += in[0]->at[row * len + j];
    }
    free(m.all);
    return true;
}

/* ---- by index: the rows of a table ---- */
static bool row_index(const Interp *ip, Ref r, double value, int64_t rows, int64_t *index)
{
    *index = (int64_t)value;
    if (*index >= 0 && *index < rows)
        return true;
    return node_fail(ip->g, r, ip->st, "index %lld is outside 0 to %lld", (long long)*index, (long long)rows - 1);
}

static int64_t row_length(const Value *table)
{
    int64_t n = 1;
    for (int i = 1; i < table->rank; i++)
        n *= table->shape[i];
    return n;
}

/* a (m,..) index (..j) -> (..j,..) */
bool ref_gather(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    int64_t len = row_length(in[0]), at;
    if (in[1]->n * len != out->n)
        return node_fail(ip->g, r, ip->st, "%lld rows of %lld elements do not make %lld", (long long)in[1]->n, (long long)len, (long long)out->n);
    for (int64_t i = 0; i < in[1]->n; i++) {
        if (!row_index(ip, r, in[1]->at[i], in[0]->shape[0], &at))
            return false;
        memcpy(out->at + i * len, in[0]->at + at * len, (size_t)len * sizeof *out->at);
    }
    return true;
}

/* g (..j,..) index (..j) -> (m,..) */
bool ref_scatter_add(const Interp *ip, Ref r, const Value *const *in, Value *out)
{
    int64_t len = row_length(out), at;
    if (in[1]->n * len != in[0]->n)
        return node_fail(ip->g, r, ip->st, "%lld rows of %lld elements are not %lld", (long long)in[1]->n, (long long)len, (long long)in[0]->n);
    for (int64_t i = 0; i < in[1]->n; i++) {
        if (!row_index(ip, r, in[1]->at[i], out->shape[0], &at))
            return false;
        for (int64_t j = 0; j < len; j++)
            out->at[at * len + j] += in[0]->at[i * len + j];
    }
    return true;
}
