/* tensor.h - dense row-major arrays at the program's borders: inputs, outputs, variables, files. */
#ifndef PASTICHE_TENSOR_H
#define PASTICHE_TENSOR_H

#include "../compiler/ir.h"

typedef struct {
    Dtype   dtype;                 /* f32, f64 (reference backend), i32, bool (a byte an element) */
    int     rank;
    int64_t shape[MAX_RANK];
    void   *data;                  /* owned, 64-byte aligned; NULL when empty */
} Tensor;

size_t  dtype_size(Dtype t);
int64_t tensor_count(const Tensor *t);
bool    tensor_alloc(Tensor *t, Dtype dtype, int rank, const int64_t *shape, Status *st);   /* zeroed; checked sizes */
bool    tensor_alloc_unset(Tensor *t, Dtype dtype, int rank, const int64_t *shape, Status *st);   /* the same, whatever stood there: for who writes all of it */
void    tensor_free(Tensor *t);    /* leaves an empty tensor; fine on an empty one */
bool    tensor_copy(Tensor *to, const Tensor *from, Dtype as, Status *st);                  /* converts dtype; `to` must be empty or is freed first */
double  tensor_get(const Tensor *t, int64_t i);
void    tensor_set(Tensor *t, int64_t i, double v);

#endif
