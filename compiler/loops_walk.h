/* loops_walk.h - between the two emitting files: a Body being turned into LLVM for one width of lanes.
 *
 * Instructions are placed by what they vary with: LEVEL_KERNEL once before all loops, LEVEL_PLANE once a plane of rows, LEVEL_ROW once a row of the
 * innermost loop, LEVEL_INNER in it; those that vary with a region's loops stand in that region. A value that is the same in all lanes is kept as a scalar.
 */
#ifndef PASTICHE_LOOPS_WALK_H
#define PASTICHE_LOOPS_WALK_H

#include "emit.h"
#include "loops.h"

typedef enum { LEVEL_KERNEL, LEVEL_PLANE, LEVEL_ROW, LEVEL_INNER } Level;
typedef enum { OPEN, HOLDS, FAILS, ITSELF } Known;                 /* ITSELF: the result is the operand */

typedef struct {
    Emit         *e;
    const Body   *b;
    int           lanes;
    int           lane_loop;               /* the loop along the lanes, -1: none */
    uint32_t      inner_loops, row_loops;  /* by bit: loops that change within a row; between the rows of a plane */
    const uint8_t *known;                  /* by instruction: what is Known of it in this stretch of a row (loops_split.c); NULL: nothing */
    LLVMValueRef *val;                     /* by instruction */
    LLVMValueRef  loop[MAX_LOOPS];         /* loop variables; along the lanes: of lane 0 */
    LLVMValueRef  tail;                    /* <lanes x i1>: lanes that exist; NULL: all */
    bool          past;                    /* whole vectors are stored past the caches: the addresses are multiples of their bytes */
    LLVMValueRef  acc;                     /* an epilogue's input */
    const int    *bufs;                    /* the kernel's buffer for each of the body's; NULL: the same */
} Walk;

Walk walk_new(Emit *e, const Body *b, int lanes, int lane_loop, uint32_t inner_loops, uint32_t row_loops);
void walk_free(Walk *w);
void walk_level(Walk *w, Level level);                             /* emits the instructions of one level where the builder stands */
LLVMValueRef walk_value(Walk *w, Val v);                           /* as a vector of w->lanes */
LLVMValueRef walk_again(Walk *w, Val v);                           /* an instruction without operands, anew where the builder stands */
void walk_index_again(Walk *w, IndexId id);                         /* what an index is calculated from, anew where the builder stands */
LLVMValueRef size_value(Emit *e, Dim d);                           /* a small constant, or the kernel's argument */
LLVMValueRef extent_value(Emit *e, Dim d);                         /* of a domain's loop: an argument unless it is 1 */
LLVMTypeRef  walk_type(Walk *w, ValType t);
LLVMValueRef walk_aligned(Walk *w, const Root *r);                 /* i1: r's address here is a multiple of a vector's bytes */
void walk_store(Walk *w, const Root *r, LLVMValueRef v, LLVMValueRef extra);   /* stores v at r->at + extra (NULL: 0), as far as lanes exist */
LLVMValueRef fold(Emit *e, How how, ValType t, LLVMValueRef acc, LLVMValueRef v);   /* acc + v, or the larger */
LLVMValueRef fold_start(Walk *w, How how, ValType t);              /* the number that changes nothing */

LLVMValueRef walk_widen(Walk *w, LLVMValueRef v);                   /* to all lanes */
void walk_match(Walk *w, LLVMValueRef *a, LLVMValueRef *b);         /* brings two operands to the same shape */

/* ---- loops_split.c: rows in three parts, the middle one without questions about borders ---- */
uint8_t *split_known(const Body *b, DimTable *d, uint32_t loop, int lane_loop);        /* what holds in the middle, for Walk.known; NULL: nothing to gain. Caller frees */
void     split_middle(Walk *w, const uint8_t *known, uint32_t loop, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *lo, LLVMValueRef *hi);
LLVMValueRef walk_index_at(Walk *w, IndexId id, uint32_t loop);     /* an index without that loop's share, the same in all lanes */

/* ---- loops_elem.c ---- */
LLVMValueRef walk_elem(Walk *w, const Ins *s);
LLVMValueRef like_const(LLVMValueRef v, double f);                  /* f in v's type and shape */
LLVMValueRef is_nan(Emit *e, LLVMValueRef a);
LLVMValueRef compare(Emit *e, Op op, bool ints, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef extreme(Emit *e, Op op, bool ints, LLVMValueRef a, LLVMValueRef b);   /* min or max */
LLVMValueRef to_i32(Emit *e, LLVMValueRef a);                       /* towards zero, clamped, NaN to 0 */

#endif
