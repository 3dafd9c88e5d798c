/* tensor.c - dense row-major arrays at the program's borders. Sizes are multiplied with overflow checks before anything is allocated. */
#include "tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

size_t dtype_size(Dtype t)
{
    switch (t) {
    case DT_F32: return 4;
    case DT_F64: return 8;
    case DT_I32: return 4;
    case DT_BOOL: return 1;
    default: return 0;
    }
}

int64_t tensor_count(const Tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

bool tensor_alloc_unset(Tensor *t, Dtype dtype, int rank, const int64_t *shape, Status *st)
{
    *t = (Tensor){.dtype = dtype, .rank = rank};
    uint64_t bytes = dtype_size(dtype);
    if (rank < 0 || rank > MAX_RANK)
        return status_fail(st, "a tensor of rank %d: at most %d axes", rank, MAX_RANK);
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return status_fail(st, "a tensor's axis %d has the size %lld", i, (long long)shape[i]);
        t->shape[i] = shape[i];
        empty |= shape[i] == 0;
    }
    for (int i = 0; i < rank && !empty; i++)
        if (__builtin_mul_overflow(bytes, (uint64_t)shape[i], &bytes) || bytes > (uint64_t)1 << 46)
            return status_fail(st, "a tensor too large for this machine (axis %d brings it past 64 TiB)", i);
    if (empty)
        bytes = 0;
    bytes = (bytes + 63) / 64 * 64;
    t->data = aligned_alloc(64, bytes ? bytes : 64);
    if (!t->data)
        return status_fail(st, "out of memory: a tensor of %.1f MB", (double)bytes / 1e6);
    return true;
}

bool tensor_alloc(Tensor *t, Dtype dtype, int rank, const int64_t *shape, Status *st)
{
    if (!tensor_alloc_unset(t, dtype, rank, shape, st))
        return false;
    memset(t->data, 0, (size_t)tensor_count(t) * dtype_size(dtype));
    return true;
}

void tensor_free(Tensor *t)
{
    free(t->data);
    *t = (Tensor){0};
}

double tensor_get(const Tensor *t, int64_t i)
{
    switch (t->dtype) {
    case DT_F32: return ((const float *)t->data)[i];
    case DT_F64: return ((const double *)t->data)[i];
    case DT_I32: return ((const int32_t *)t->data)[i];
    case DT_BOOL: return ((const uint8_t *)t->data)[i] != 0;
    default: return 0;
    }
}

/* To i32: towards zero, clamped at its ends, NaN to 0. To bool: != 0. */
static int32_t to_i32(double v)
{
    if (!(v > -2147483648.0))
        return isnan(v) ? 0 : INT32_MIN;
    return v >= 2147483647.0 ? INT32_MAX : (int32_t)v;
}

void tensor_set(Tensor *t, int64_t i, double v)
{
    switch (t->dtype) {
    case DT_F32: ((float *)t->data)[i] = (float)v; break;
    case DT_F64: ((double *)t->data)[i] = v; break;
    case DT_I32: ((int32_t *)t->data)[i] = to_i32(v); break;
    case DT_BOOL: ((uint8_t *)t->data)[i] = v != 0; break;
    default: break;
    }
}

bool tensor_copy(Tensor *to, const Tensor *from, Dtype as, Status *st)
{
    Tensor t;
    if (!tensor_alloc(&t, as, from->rank, from->shape, st))
        return false;
    int64_t n = from->data ? tensor_count(from) : 0;
    if (as == from->dtype) {
        if (n)
            memcpy(t.data, from->data, (size_t)n * dtype_size(as));
    } else {
        for (int64_t i = 0; i < n; i++)
            tensor_set(&t, i, tensor_get(from, i));
    }
    tensor_free(to);
    *to = t;
    return true;
}
