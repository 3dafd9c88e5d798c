/* emit.h - thin helpers over LLVM-C so that emitters read like assembler. Nothing here knows about operations or layouts.
 *
 * An emitter gets an Emit whose builder stands in the body of `void kernel(bufs, args, tid, nthreads)`; where it leaves the builder,
 * emit_end returns. All integers of kernels are i64. Constants fold while they are built: sizes that are constant Dims vanish
 * from addresses and loops without a pass. Vector operands of binary helpers must have equal types: splat first.
 *
 *     Loop t = tasks_begin(e, count);                   for (t.i = count*tid/nthreads; t.i < count*(tid+1)/nthreads; t.i++)
 *     LLVMValueRef x = vec_load(e, addr(e, buf_base(e, 0), i_mul(e, t.i, dim_value(e, w))), e->target->vec);
 *     Loop l = loop_begin(e, c_int(e, 0), n, 1, 1, &x);  for (l.i = 0; l.i < n; l.i++), carrying l.carry[0], x before the first round
 *     LLVMValueRef y = f_fma(e, l.carry[0], a, b);
 *     loop_end(e, &l, &y);                              y is carried on; afterwards l.carry[0] is the last one
 *     loop_end(e, &t, NULL);
 */
#ifndef PASTICHE_EMIT_H
#define PASTICHE_EMIT_H

#include "native.h"

/* ---- the frame of a kernel: jit.c calls these around an emitter ---- */
void emit_begin(Emit *e, const Target *t, DimTable *dims, Kernel *k, const char *symbol);   /* new context, module and function; the builder in its body */
void emit_end(Emit *e);                                      /* returns from the function and drops the builder; the module stays in e->module */

/* ---- types ---- */
LLVMTypeRef t_i1(Emit *e);
LLVMTypeRef t_i32(Emit *e);
LLVMTypeRef t_i64(Emit *e);
LLVMTypeRef t_f32(Emit *e);
LLVMTypeRef t_ptr(Emit *e);
LLVMTypeRef t_vec(LLVMTypeRef elem, int lanes);              /* elem itself for one lane */
LLVMTypeRef t_dtype(Emit *e, Dtype t);                       /* as stored: bool is i8 */
int         lanes_of(LLVMValueRef v);                        /* 1 for a scalar */

/* ---- constants, sizes, buffers ---- */
LLVMValueRef c_int(Emit *e, int64_t v);                      /* i64 */
LLVMValueRef c_f32(Emit *e, double v);
LLVMValueRef c_vec(Emit *e, int lanes, double v);            /* f32 in every lane */
LLVMValueRef c_ramp(Emit *e, int lanes);                     /* <lanes x i64> 0, 1, 2, ... */
bool         is_int(LLVMValueRef v, int64_t *c);             /* a constant integer */
LLVMValueRef dim_value(Emit *e, Dim d);                      /* a constant if d is, else an argument of the kernel, loaded once in the entry block */
LLVMValueRef buf_base(Emit *e, int index);                   /* base address of the kernel's buffer, loaded once in the entry block */
LLVMValueRef stack_array(Emit *e, LLVMTypeRef elem, int n);  /* an alloca in the entry block, 64-byte aligned */

/* ---- i64 arithmetic; identities (x+0, x*1, x*0) fold, division is unsigned ---- */
LLVMValueRef i_add(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_sub(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_mul(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_div(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_rem(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_min(Emit *e, LLVMValueRef a, LLVMValueRef b); /* signed */
LLVMValueRef i_max(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_less(Emit *e, LLVMValueRef a, LLVMValueRef b);   /* signed a < b, i1 */
LLVMValueRef i_equal(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef i_addc(Emit *e, LLVMValueRef a, int64_t c);
LLVMValueRef i_mulc(Emit *e, LLVMValueRef a, int64_t c);
LLVMValueRef i_divc(Emit *e, LLVMValueRef a, int64_t c);
LLVMValueRef i_mad(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);   /* a * b + c */

/* ---- memory: f32 unless the name says otherwise; off counts elements ---- */
LLVMValueRef addr(Emit *e, LLVMValueRef base, LLVMValueRef off);                     /* &((float *)base)[off] */
LLVMValueRef addr_of(Emit *e, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef off);
LLVMValueRef load(Emit *e, LLVMValueRef p);                                          /* one f32 */
/* Past the caches, for much that is not read soon: p is a multiple of the vector's bytes. fence_past makes such stores visible to other threads. */
void         store_past(Emit *e, LLVMValueRef v, LLVMValueRef p);
void         fence_past(Emit *e);
void         prefetch(Emit *e, LLVMValueRef p, bool write);                          /* into the second-level cache, if that is where the target keeps what comes soon */
LLVMValueRef load_of(Emit *e, LLVMTypeRef type, LLVMValueRef p, unsigned align);     /* any type */
void         store(Emit *e, LLVMValueRef v, LLVMValueRef p);                         /* scalar or vector, aligned to its element */
LLVMValueRef vec_load(Emit *e, LLVMValueRef p, int lanes);
LLVMValueRef vec_load_mask(Emit *e, LLVMValueRef p, int lanes, LLVMValueRef mask);   /* mask NULL: plain; masked-off lanes are 0 and not touched */
void         vec_store_mask(Emit *e, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask);
LLVMValueRef tail_mask(Emit *e, LLVMValueRef count, int lanes);                      /* lane < count */

/* ---- f32 arithmetic on scalars or vectors ---- */
LLVMValueRef splat(Emit *e, LLVMValueRef scalar, int lanes);                         /* any scalar type */
LLVMValueRef f_fma(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);         /* a*b + c; rounded twice where the target has no fma */
LLVMValueRef f_add(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef f_mul(Emit *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef shuffle(Emit *e, LLVMValueRef a, LLVMValueRef b, const int *lanes, int n);   /* lane i of the result is lane lanes[i] of a then b; -1: anything */
LLVMValueRef intrinsic(Emit *e, const char *name, LLVMTypeRef overload, int nargs, LLVMValueRef *args);   /* "llvm.sqrt", ...; overload NULL: none */

/* ---- control ---- */
enum { MAX_CARRY = 64 };
typedef struct {
    LLVMValueRef      i;                   /* inside: the index */
    LLVMValueRef      carry[MAX_CARRY];    /* inside: values of this round; after loop_end: the last ones */
    int               ncarry;
    LLVMValueRef      to, step;
    LLVMBasicBlockRef head, body, exit;
    bool              bottom, single;      /* tested at the bottom; known to run once, no loop at all */
} Loop;
Loop loop_begin(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step, int ncarry, LLVMValueRef *init);   /* no round when from >= to */
Loop loop_begin_some(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step, int ncarry, LLVMValueRef *init);  /* at least one round: one branch less each */
void loop_end(Emit *e, Loop *l, LLVMValueRef *next);
typedef struct { LLVMValueRef from, to; } Range;
Range my_tasks(Emit *e, LLVMValueRef count);                 /* this thread's share of `count` equal tasks: a contiguous range */
Loop  tasks_begin(Emit *e, LLVMValueRef count);              /* a loop through it */

typedef struct { LLVMBasicBlockRef other, join; bool in_else; } If;
If   if_begin(Emit *e, LLVMValueRef cond);
void if_else(Emit *e, If *f);
void if_end(Emit *e, If *f);
LLVMBasicBlockRef block_new(Emit *e, const char *name);

#endif
