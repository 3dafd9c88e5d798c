/* interp.h - inside the float64 reference interpreter: a value, a call, and one function an op of ops.def.
 *
 * The interpreter is the oracle of every test: plain loops, float64 throughout, nothing reassociated. i32 and bool values are
 * exact integers kept in doubles (i32 arithmetic wraps at 32 bits). Only random numbers are f32, because they are defined so (rng.h).
 * ref_NAME computes one node: in[] are its inputs, out has its shape and zeroed storage. false: *ip->st says why, with the place.
 */
#ifndef PASTICHE_INTERP_H
#define PASTICHE_INTERP_H

#include "exec.h"

typedef struct {
    Dtype   dtype;
    int     rank;
    int64_t shape[MAX_RANK];
    int64_t n;                     /* elements */
    double *at;                    /* n of them, row-major */
} Value;

typedef struct {
    const Graph    *g;
    const Tensor   *inputs, *vars;
    const RunState *rs;            /* may be NULL: everything zero */
    const DimBind  *binds; uint32_t nbinds;
    Status         *st;
} Interp;

typedef bool RefFn(const Interp *ip, Ref r, const Value *const *in, Value *out);
#define OP(name, nin, class, flags, grad, test, attrs, doc) RefFn ref_##name;
#include "../compiler/ops.def"
#undef OP

/* interpret() with an eye on every node: called when a node's value is there, before anyone reads it; it may change it. Result i is of the type as[i] (NULL: f64);
 * it is made as soon as its value is there, so that many results in f32 cost no f64 copy of all. */
typedef bool InterpSee(void *ctx, const Interp *ip, Ref r, const Value *const *in, Value *out);
bool interpret_seen(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, const Dtype *as, Tensor *results,
                    InterpSee *see, void *ctx, Status *st);
bool ref_node(const Interp *ip, Ref r, const Value *const *in, Value *out);      /* one op: out has its shape and zeroed storage */

/* How many needed nodes (and wants) read each node; 0: it is not needed. To be freed. */
uint32_t *count_uses(const Graph *g, const Ref *want, uint32_t nwant);

/* The same, marking in bad[ref] (zeroed by the caller, NULL: not wanted) the nodes whose numbers are not all finite. */
bool interpret_traced(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, const Dtype *as, Tensor *results,
                      uint8_t *bad, Status *st);

bool ref_dim(const Interp *ip, Ref r, Dim d, int64_t *v);      /* a Dim as a number */
double wrap_i32(double v);                                     /* two's complement, as i32 arithmetic does */
double clamp_i32(double v);                                    /* towards zero, clamped, NaN to 0, as cast does */
void strides_of(int rank, const int64_t *shape, int64_t *strides);   /* row-major */

/* Walks a rank-`rank` index space row by row: the offset of row number `row` (all axes but the last), by these strides.
 * Element j of the row stands at that offset + j * stride[rank - 1]. Rank 0 is one row of one element. */
typedef struct { int rank; int64_t shape[MAX_RANK], stride[MAX_RANK], base; } View;
int64_t view_rows(const View *v);
int64_t view_len(const View *v);               /* elements of a row */
int64_t view_step(const View *v);              /* their distance */
int64_t view_row(const View *v, int64_t row);

/* c (m,n) += a (m,k) * b (k,n): a is read with any strides, rows of b and c are contiguous with their lengths ldb, ldc. Each element sums over k in order. */
void gemm(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_col, const double *b, int64_t ldb, double *c, int64_t ldc);

/* Worth a parallel region? Loops over fewer elements run serially. */
enum { PARALLEL_FROM = 1 << 15 };

#endif
