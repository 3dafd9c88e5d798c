/* native.h - from a simplified graph to native kernels: the structures that the layout, fusion, emission and execution files share.
 *
 *   graph --assign_layouts--> Layout a value --fuse--> Kernel list --emit_*--> LLVM IR a kernel --jit--> KernelFn
 *   program run: sizes bound -> arguments and arena planned once a set of sizes -> kernels launched in order
 *
 * One kernel ABI for JIT, AOT and tests:
 *     void kernel(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads)
 * bufs[i] is the base of the kernel's i-th buffer (never an address known when compiling), args[i] the i-th of its Dims as a number.
 * A kernel divides its tasks by tid; the division never changes what is summed with what (results are the same for any nthreads).
 */
#ifndef PASTICHE_NATIVE_H
#define PASTICHE_NATIVE_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>

#include "ir.h"

typedef void (*KernelFn)(void *const *bufs, const int64_t *args, int64_t tid, int64_t nthreads);

/* ---- target (target.c): what the machine has, or what --cpu forces ---- */
typedef enum { ISA_BASELINE, ISA_AVX2, ISA_AVX512 } Isa;
enum { WINOGRAD_PAYS, WINOGRAD_NEVER, WINOGRAD_ALWAYS };        /* ALWAYS: wherever it fits, for tests */
typedef struct {
    Isa         isa;
    int         vec;               /* f32 lanes of the widest vector: 4, 8, 16 */
    int         nregs;             /* vector registers: 16, 16, 32 */
    bool        fma;
    const char *cpu, *features;    /* for LLVM's target machine; features are ISA bits, not a CPU name */
    uint8_t     winograd;          /* where convolutions use fewer multiplications (contract_winograd.c) */
    bool        eager;             /* tests: convolutions take sums along (fuse_sums.c) and compute what they read (fuse_load.c) wherever they can, not only where @fuse asks */
    const struct TuneDb *tuned;    /* block sizes found by `pastiche tune`; NULL: none */
    bool        debug;             /* kernels with debug information, each compiled for its own place (debug_code.h) */
    Passes      off;               /* passes that planning does without; code does not depend on it but through plans */
} Target;
bool target_detect(const char *force, Target *t, Status *st);   /* force: NULL, "avx512", "avx2", "baseline"; fails when the machine lacks it */

/* ---- layout: how a value is stored ----
 * block 1: row-major. block V > 1 (rank 4 only): nChw{V}c,  [n][ceil(c/V)][halo_t + h + halo_b][halo_l + w + halo_r][V], lanes past c are zero.
 * A halo (rank 4, also with block 1) holds zeros around the picture. Values of rank 4 with a constant c >= V that come from or go to a convolution are
 * blocked; weights, what is made of weights, and all else are row-major (fuse_roots.c). Halos come from the convolutions that read a value. */
enum { HALO_TOP, HALO_BOTTOM, HALO_LEFT, HALO_RIGHT };
typedef struct { uint8_t block; uint8_t dtype; int16_t halo[4]; } Layout;
Layout layout_of(const Graph *g, Ref r, const Target *t);                    /* without halo */
/* Sizes in elements as Dims: the whole buffer, the strides of n, channel block (or channel), row, pixel, and the offset of element 0,0,0,0. */
typedef struct { Dim size, n, c, h, w, origin; } Strides4;
Strides4 layout_strides(DimTable *dims, const Dim *shape4, const Layout *l);
Dim layout_size(DimTable *dims, int rank, const Dim *shape, const Layout *l);

/* ---- a kernel ---- */
typedef enum { KERNEL_LOOP, KERNEL_CONTRACT, KERNEL_PACK, KERNEL_RUNTIME } KernelKind;
typedef struct { Ref value; Layout layout; bool write; bool is_scratch; Dim elems; } BufUse;   /* value 0 for scratch and packed operands */
typedef struct Kernel {
    KernelKind  kind;
    char        name[64];          /* unique in a program, starts with the op */
    Vec(BufUse) bufs;              /* bufs[i] of the ABI */
    Vec(Dim)    args;              /* args[i] of the ABI; kernel_arg adds */
    Dim         tasks;             /* independent tasks; 1: run by one thread. The launcher starts min(tasks, threads) threads */
    Dim         flops;             /* for the decision to go parallel and for reports */
    Loc         loc;
    const Graph *graph; Ref node;  /* with debug information: whose text it comes from, the main node; NULL */
    KernelFn    fn;
    const uint8_t *code;           /* the image that fn is in (code_image.h), in executable memory; NULL: fn was linked another way */
    uint32_t    code_size;
} Kernel;
int kernel_arg(Kernel *k, Dim d);                 /* index into args, added once */
int kernel_buf(Kernel *k, BufUse use);            /* index into bufs; the same value is added once */

/* ---- emit.h level: thin helpers so that LLVM-C reads like assembler ---- */
typedef struct Emit {
    LLVMContextRef cx; LLVMModuleRef module; LLVMBuilderRef b;
    const Target  *target;
    DimTable      *dims;
    Kernel        *kernel;
    LLVMValueRef   fn, bufs, args, tid, nthreads;   /* the function and its parameters */
    Vec(LLVMValueRef) arg_values, buf_values;       /* args and buffer bases, loaded once in the entry block (dim_value, buf_base of emit.h) */
    LLVMBasicBlockRef entry;                        /* allocas and argument loads go here */
    LLVMDIBuilderRef di; LLVMMetadataRef di_function;   /* debug_code.c; NULL without */
    bool           ahead;          /* an epilogue is emitted for its addresses only: loads and stores of vectors are prefetches, results mean nothing */
} Emit;

/* Where an element or vector of elements stands, as LLVM i64 values. For rank-4 blocked values lanes run over c = cb*V .. cb*V+V-1;
 * for row-major values lanes run over the last axis: cb is the channel, w the first column. A matmul result (..,m,n) has n = the leading axes as one
 * row-major index (NULL: none), cb = NULL, h = its row, w = the first column.
 * mask: <vec x i1>, lanes that exist (a tail of the last axis); NULL: all. An epilogue's loads touch no other lane.
 * seen: NULL, or where an epilogue leaves the values that ContractPlan.sums are taken of. */
typedef struct { LLVMValueRef n, cb, h, w, mask, *seen; } At4;

/* ---- contraction kernels (contract*.c): conv, conv_dx, conv_dw, matmul ----
 * 1. contract_plan says how the operands must be stored and what scratch it needs.  2. emit_pack rearranges the weight-like operand (once a change of weights).
 * 3. emit_contract is the register-blocked kernel; every result vector passes through `epilogue` before it is stored. With sums its last buffer receives them. */
enum { MAX_SUMS = 4 };
typedef struct {
    const Graph *g; Ref node; const Target *target;
    Layout  in[2];                 /* required layouts, halos included; the fuser may enlarge a halo before emission, and emission believes what stands here */
    Layout  out;                   /* of the result (the fuser may add a halo to it) */
    int     packed;                /* operand that is packed first (0 or 1), or -1 */
    Dim     packed_elems;          /* f32 elements of the packed operand */
    Dim     scratch_elems;         /* f32 elements of scratch for all tasks (partial sums), or 0 */
    bool    combine;               /* a reduction in fixed chunks: emit_contract only fills the scratch with partial sums (bufs: in0, in1, scratch; no epilogue),
                                      a second kernel made by emit_combine adds them in order into out. Implies scratch_elems > 0 */
    Dtype   elem;                  /* of operands and packed weights; sums are f32 */
    bool    epilogue_ok;           /* can results pass through an epilogue */
    bool    loads_ok;              /* can operand 0 be computed by a prologue where it is read (contract_load.c): then it has no buffer */
    bool    sums_ok;               /* can sums over rows and columns be taken of what the epilogue sees (contract_sums.c) */
    int     nsums;                 /* set by the fuser: how many */
    bool    moments[MAX_SUMS];     /* by mean and sum of squares around it; else plain sums */
    bool    sums_each;             /* over rows and columns of each image; else over those of all */
    int     variant[16];           /* block sizes and choices */
    bool    tuned;                 /* some of them from the database of `pastiche tune` (tune_db.h) */
    char    why[160];              /* what @block asked for cannot be had: the reason; "" */
} ContractPlan;
void contract_plan(Graph *g, Ref node, const Target *t, ContractPlan *plan);
/* Block sizes that may be chosen, by @block or by tuning: none changes what is summed with what, in which order. */
enum { KNOB_VECTORS, KNOB_IMAGES, KNOB_ROWS, KNOB_COLS, KNOB_UNROLL, KNOB_CHUNK, KNOBS };
extern const char *const knob_names[KNOBS];
int  contract_knob(const ContractPlan *p, int knob);       /* what it is; 0: this kernel has no such */
/* want[k] 0: as it is. What depends on the sizes follows. false: p is as it was, and why says what does not fit. */
bool contract_set_block(Graph *g, ContractPlan *p, const int *want, char *why, size_t nwhy);
double contract_estimate(const ContractPlan *p);   /* of its tile: the share of the multiply-add peak */
Dim  threads_dim(DimTable *d);     /* the number of threads of a run, which scratch may depend on and results may not */

/* Where partial sums stand: slot by slot `record` vectors of `channels` floats, those of sum i from vector at[i] on: a plain sum, or of
 * moments the first result, sum and sum of squares of the differences from it, and the number of results.
 * An image has `units` of results, of which `group` go to a slot. Slots of a phase: of unit u of image n, (n*units + u) / group, and n more when sums are of each image. */
typedef struct { Dim units, per_phase, elems; int64_t group, channels; int phases, record, at[MAX_SUMS]; } SumSlots;
SumSlots sum_slots(const ContractPlan *p, DimTable *d);

/* acc: one result vector (target->vec lanes of channels at `at`, or of the last axis for row-major results); returns what is stored. May emit loads. */
typedef LLVMValueRef (*Epilogue)(void *ctx, Emit *e, LLVMValueRef acc, const At4 *at);
/* Operand 0 where it is read, step by step: what is the same in all of a picture's block of channels (of `at` n and cb count); what is the same in a row (h too); then
 * vectors of the row, at places inside it (returned). A step holds for those after it, where it was emitted; it loads nothing that is not there. */
typedef enum { PROLOGUE_PLANE, PROLOGUE_ROW, PROLOGUE_HERE } PrologueStep;
typedef LLVMValueRef (*Prologue)(void *ctx, Emit *e, const At4 *at, PrologueStep step);
/* Fill e->kernel (bufs, args, tasks, flops) and emit the body into e->fn. pack: bufs = operand, packed. contract: bufs = in0 (without a prologue), in1 (packed if packed),
 * out, scratch...; prologue and epilogue add their own. */
/* An element may be computed and stored twice, also by two threads at once, with the same value (tiles overlap at the ends of rows): no epilogue may read memory that the
 * kernel writes, nor add to something. */
void emit_pack(Emit *e, const ContractPlan *p);
void emit_contract(Emit *e, const ContractPlan *p, Layout out, Prologue prologue, Epilogue epilogue, void *ctx);
/* Only with p->combine. bufs = scratch, out, then the epilogue's. */
void emit_combine(Emit *e, const ContractPlan *p, Layout out, Epilogue epilogue, void *ctx);

/* ---- fused loops (loops*.c): elementwise, movement, reduction, windows, resize, random ---- */
/* ---- jit (jit.c): modules to machine code, on all cores ---- */
typedef struct Jit Jit;
Jit *jit_new(const Target *t, Status *st);
/* Emits each kernel with emit_one(ctx, e, index), optimises, links, and sets its fn. Emission is serialised by a lock (it makes Dims); optimisation and machine code, the
 * slow part, run on all cores. dump: NULL, or receives the LLVM IR ("llvm") or assembly ("asm") of all, in the order of kernels. */
typedef void (*EmitOne)(void *ctx, Emit *e, uint32_t index);
bool jit_compile(Jit *j, DimTable *dims, Kernel *const *kernels, uint32_t n, EmitOne emit_one, void *ctx, const char *dump_stage, Text *dump, Status *st);
void jit_free(Jit *j);

#endif
