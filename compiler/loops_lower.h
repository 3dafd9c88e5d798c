/* loops_lower.h - between the files that lower nodes to loop instructions: makers of instructions and index arithmetic, and one function an op.
 *
 * Masks: 0 is everywhere, VAL_FALSE nowhere. Every lower_NAME(lo, r, at, mask) gives the value of node r at coordinates at, wanted where mask holds.
 */
#ifndef PASTICHE_LOOPS_LOWER_H
#define PASTICHE_LOOPS_LOWER_H

#include "loops.h"

#define DIMS(lo) ((lo)->g->dims)

/* ---- loops_coord.c ---- */
Dim     lo_size(Lower *lo, int64_t v);                                /* a constant size */
bool    lo_is_one(Lower *lo, Dim d);
ValType lo_type(Dtype t);
Val     lo_number(Lower *lo, ValType t, double v);
Val     lo_elem(Lower *lo, Op op, ValType t, Val a, Val b, Val c);    /* an elementwise op */
Val     lo_both(Lower *lo, Val m, Val n);                             /* masks */
Val     lo_either(Lower *lo, Val m, Val n);
Val     lo_pick(Lower *lo, Val mask, Val value, Val otherwise);       /* value where mask holds */
Val     lo_as_value(Lower *lo, Val mask);                             /* a mask as an instruction */
Val     lo_inside(Lower *lo, IndexId x, Dim n);                       /* 0 <= x < n; decided here where the loops' ranges decide it */
Val     lo_as_number(Lower *lo, ValType t, IndexId x);
Val     lo_index_value(Lower *lo, IndexId x);
IndexId lo_index_op(Lower *lo, LoopOp op, IndexId x, Dim d);
IndexId lo_quotient(Lower *lo, IndexId x, Dim d);                     /* x / d and x % d; x is not negative where it counts */
IndexId lo_remainder(Lower *lo, IndexId x, Dim d);
IndexId lo_linear(Lower *lo, IndexId x, int64_t a, int64_t b);        /* a*x + b */
IndexId lo_row_major(Lower *lo, const Dim *shape, const IndexId *at, int from, int to);   /* axes from .. to as one index */

/* ---- loops_lower.c ---- */
Val     lo_load(Lower *lo, ValType t, int buf, IndexId off, Val mask);

/* ---- loops_region.c: loops inside the body ---- */
typedef struct { uint32_t region; IndexId var[8]; } Turns;            /* an open region and its variables */
Turns   lo_open_turns(Lower *lo, uint32_t n, const IndexId *extent);
Turns   lo_open_const(Lower *lo, int64_t a, int64_t b);
Val     lo_close_turns(Lower *lo, const Turns *t, How how, ValType type, Val a, Val b, Val valid);
Val     lo_close_guarded(Lower *lo, const Turns *t, Val some, Val a); /* a sum; no turn is taken where `some` holds in no lane */
Val     lower_reduce(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_window(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_window_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_scatter_add(Lower *lo, Ref r, const IndexId *at, Val mask);

/* ---- loops_move.c ---- */
IndexId lo_row_of(Lower *lo, Ref r, Val v, Dim rows, Val mask);       /* an i32 value as a row of a table */
Val     lower_broadcast(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_transpose(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_slice(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_place(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_concat(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_pad(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_reshape(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_gather(Lower *lo, Ref r, const IndexId *at, Val mask);

/* ---- loops_resize.c ---- */
Val     lower_resize(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_resize_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask);
Val     lower_pad_adjoint(Lower *lo, Ref r, const IndexId *at, Val mask);

#endif
