/* loops.h - the small loop language between fusion and LLVM: what one fused kernel computes at one place of its iteration domain.
 *
 *   kernel's roots --lower (loops_lower.c)--> Body --seal (loops_body.c)--> collapsed Body --emit (loops_emit.c)--> LLVM IR
 *
 * A Body is a list of instructions in SSA form over a domain of nested loops. Addresses are symbolic affine forms of the loop
 * variables, so that collapsing loops, hoisting and vectorising are decided by looking at coefficients, and equal kernels are
 * found by comparing text: sealing replaces every size by a kernel argument's number.
 *
 *   row-major domain (rank r):  loops 0..r-1, lanes run along the last            blocked domain (n,c,h,w):  loops n, c/V, h, w, lane
 *
 * Regions are loops inside the body (windows, inline reductions): their variables are further loop numbers.
 */
#ifndef PASTICHE_LOOPS_H
#define PASTICHE_LOOPS_H

#include "native.h"

enum { MAX_LOOPS = 24, MAX_TERMS = 4, MAX_ROOTS = 8 };

typedef uint32_t Val;                      /* an instruction; 0 none (as a mask: all lanes) */
typedef uint32_t IndexId;                  /* an interned Index; 0 is the constant 0 */
enum { VAL_FALSE = 0xffffffffu };          /* a mask that holds nowhere */

/* base + sum coef[l] * loop l + sum mul * value: where along an axis, or how far into a buffer */
typedef struct { Dim mul; Val v; } IndexTerm;
typedef struct {
    Dim       base, coef[MAX_LOOPS];
    uint32_t  nterms;
    IndexTerm term[MAX_TERMS];             /* sorted by v */
} Index;

typedef enum { VT_F32, VT_I32, VT_BOOL, VT_INDEX, VT_NONE } ValType;

typedef enum {
    L_NONE,
    L_CONST,                               /* value */
    L_ACC,                                 /* the contraction's result that an epilogue works on */
    L_LOAD,                                /* bufs[buf][index] where mask, else 0 */
    L_NUMBER,                              /* index as a number */
    L_RUNTIME,                             /* imm: a RuntimeScalar */
    L_UNIFORM, L_NORMAL,                   /* element `index` of stream imm; flag: fixed */
    L_ELEM,                                /* elem: an elementwise Op on a, b, c */
    L_INDEX,                               /* index as a value to calculate with (the ops below) */
    L_IDIV, L_IMOD,                        /* a / dim, a % dim, of a >= 0 */
    L_ICLAMP,                              /* a held in 0 .. dim-1 */
    L_IREFLECT,                            /* a mirrored at 0 and dim-1 */
    L_ISELECT,                             /* c ? a : b */
    L_ROW,                                 /* an i32 value as an index 0 .. dim-1; one outside raises flag imm and counts as 0 */
    L_INSIDE,                              /* 0 <= index < dim */
    L_LOOP                                 /* result of region imm: how says what is done with a (and b, valid: c) of each turn;
                                              mask: no turns where it holds nowhere */
} LoopOp;

typedef enum { HOW_SUM, HOW_SUM_WIDE, HOW_MAX, HOW_PICK } How;   /* WIDE: summed in f64. MAX: largest a where c. PICK: b at the first largest a where c */

typedef struct {
    uint8_t  op, type, elem, how, flag;
    int16_t  buf;
    Val      a, b, c, mask;
    IndexId  index;
    Dim      dim;
    int64_t  imm;
    double   value;
    uint32_t deps;                         /* loops the result varies with, by bit */
    Ref      node;                         /* that it was first made for; 0: no one. No part of what it is */
} Ins;

typedef struct { Dim extent; bool reduced; } LoopDim;
typedef struct { uint32_t first, count; IndexId extent[8]; } Region;            /* loops first .. first+count */

/* What happens to a root's value: stored at `at`, or folded over the reduced loops and then stored. */
typedef struct {
    Val     value;
    Val     keep;                          /* lanes that hold data: others are stored as 0, and do not count in sums; 0: all do */
    Val     only;                          /* lanes that are stored at all; 0: all are */
    int     buf;
    IndexId at;
    How     how;
} Root;

typedef enum { BODY_MAP, BODY_REDUCE, BODY_EPILOGUE } BodyKind;

typedef struct Body {
    BodyKind kind;
    bool     blocked;                      /* the last domain loop is exactly one vector */
    uint32_t ndomain, nloops;              /* loops of the domain, and all with the regions' */
    LoopDim  loop[MAX_LOOPS];
    uint32_t ngroups;                      /* sealed: domain loops collapsed to groups; group[] maps, extent is the product */
    uint8_t  group[MAX_LOOPS], inner[MAX_LOOPS];   /* inner: the last loop of a group, whose coefficient stands for the group's */
    Dim      extent[MAX_LOOPS];
    Vec(Ins)    ins;                       /* [0] unused */
    Ref         node;                      /* that instructions are made for now */
    Vec(Index)  index;                     /* [0] is the constant 0 */
    Vec(Region) region;                    /* [0] unused: the body itself */
    Root     root[MAX_ROOTS]; uint32_t nroots;
    Val      sum[MAX_SUMS]; uint32_t nsums;        /* BODY_EPILOGUE: values that the contraction takes sums of */
    int      flags_buf, run_buf;           /* buffers of raised flags and of the run's scalars; -1: not used */
    bool     whole;                        /* BODY_REDUCE: not cut into chunks */
    Dim      chunks;                       /* BODY_REDUCE: pieces of the reduced loops; partial i of chunk c is stored chunk_stride * c behind the first */
    Dim      chunk_stride;
    int64_t  segment, rows_a_chunk;        /* the innermost reduced (or mapped) group is cut into segments; rows of segments a chunk */
    uint32_t *buckets, nbuckets;           /* hash-cons of ins */
    struct { uint32_t *at; uint32_t n, cap; } index_buckets;
} Body;

/* ---- loops_body.c: making and sealing a Body ---- */
void    body_init(Body *b, BodyKind kind);
void    body_free(Body *b);
Val     body_ins(Body *b, DimTable *d, Ins i);                       /* the equal instruction if there is one; fills deps */
IndexId index_intern(Body *b, const Index *x);
IndexId index_const(Body *b, Dim d);
IndexId index_loop(Body *b, DimTable *d, uint32_t loop);             /* a loop's variable; the constant 0 when it runs once */
IndexId index_val(Body *b, DimTable *d, Val v);                      /* an index-typed instruction */
IndexId index_add(Body *b, DimTable *d, IndexId x, IndexId y);
IndexId index_scale(Body *b, DimTable *d, IndexId x, Dim k);
IndexId index_offset(Body *b, DimTable *d, IndexId x, Dim k);        /* x + k */
uint32_t index_deps(const Body *b, IndexId x);
/* Bounds over the loops' ranges: the least and largest value as Dims; false when they cannot be told (values but quotients and remainders, signs). */
bool    index_range(const Body *b, DimTable *d, IndexId x, Dim *lo, Dim *hi);
uint32_t region_open(Body *b, uint32_t count, const IndexId *extent);  /* its loops' numbers start at region.first */
bool    body_full(const Body *b, uint32_t count);                    /* no more loop numbers for a region of count */
/* Collapses loops and chooses segments; after this no size is looked at again. */
bool    size_is_literal(const DimTable *d, Dim x, int64_t *v);           /* small constants are part of the code, other sizes are arguments */
void    body_seal(Body *b, DimTable *d, const Target *t);
/* The canonical text: equal texts are equal machine code. Sizes come out as argument numbers of k, which are added. */
void    body_text(const Body *b, const DimTable *d, Kernel *k, Text *out);

/* ---- loops_lower.c: nodes to instructions ---- */
typedef struct { Layout layout; int buf; bool acc; } Stored;         /* acc: the value is the epilogue's input */
/* Where the partial results of a reduction stand. */
typedef struct {
    int      buf;
    Dim      chunks;               /* chunk behind chunk, in layout l; 0: in a contraction's slots */
    Layout   l;
    SumSlots slots;
    int      at;                   /* vector of a slot */
    bool     moments, each;        /* ContractPlan.moments of it, sums_each */
    Ref      middle;               /* the reduction is of squares around this; 0: a sum */
} Partials;
typedef struct Lower {
    Graph   *g;
    const Target *target;
    Body    *b;
    bool   (*stored)(void *ctx, Ref r, bool linear, Stored *s);      /* is r in memory for this kernel (linear: without block and halo)? Adds the buffer */
    int    (*flag)(void *ctx, Ref r);                                /* number of the flag a gather raises */
    bool   (*partials)(void *ctx, Ref r, Partials *p);               /* of a reduction; false: r has none here. Adds the buffer */
    void    *ctx;
    Val      keep;                                                   /* mask of lanes inside a blocked domain's channels; 0: all */
    IndexId  at[MAX_RANK];                                           /* the domain's own coordinates */
    struct { uint32_t *slots, n, cap; Vec(uint32_t) keys; Vec(Val) vals; } memo;
} Lower;
void lower_start(Lower *lo);                                         /* after the first six fields are set */
void lower_domain(Lower *lo, int rank, const Dim *shape, const Layout *l, uint32_t reduced);   /* sets loops, at and keep; reduced: axes by bit */
Val  lower_value(Lower *lo, Ref r, const IndexId *at, Val mask);
IndexId lower_offset(Lower *lo, int rank, const Dim *shape, const Layout *l, const IndexId *at);
void lower_done(Lower *lo);

/* ---- loops_emit.c: instructions to LLVM ---- */
void loops_emit(Emit *e, const Body *b);                             /* fills e->fn from a BODY_MAP or BODY_REDUCE kernel */
Dim  loops_tasks(const Body *b, DimTable *d, const Target *t);         /* how many tasks the loops make, for the launcher */
/* A BODY_EPILOGUE at one vector of results: returns the first root's value, stores the others itself. bufs: the kernel's buffer for each of the body's. */
LLVMValueRef loops_epilogue(const Body *b, const int *bufs, Emit *e, LLVMValueRef acc, const At4 *at);
/* The same step by step (Prologue of native.h), for what a contraction reads: a body with one root that is not stored (buf -1). *walk: NULL at first, freed at the end. */
typedef struct PrologueWalk PrologueWalk;
LLVMValueRef loops_prologue(PrologueWalk **walk, const Body *b, const int *bufs, Emit *e, const At4 *at, PrologueStep step);
void         loops_prologue_end(PrologueWalk *walk);

/* ---- vecmath.c: elementary functions on vectors (or scalars) of f32 ---- */
LLVMValueRef vec_math(Emit *e, Op op, LLVMValueRef x, LLVMValueRef y);   /* exp log sqrt rsqrt sin cos tanh sigmoid softplus floor round pow */
LLVMValueRef vec_uniform(Emit *e, LLVMValueRef index, LLVMValueRef seed_lo, LLVMValueRef seed_hi, LLVMValueRef step, int64_t stream);   /* index: i64 lanes */
LLVMValueRef vec_normal(Emit *e, LLVMValueRef index, LLVMValueRef seed_lo, LLVMValueRef seed_hi, LLVMValueRef step, int64_t stream);

#endif
