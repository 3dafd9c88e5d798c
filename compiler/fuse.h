/* fuse.h - from a simplified graph to a list of kernels with their bodies and buffers; then compiled code and memory.
 *
 *   graph --fuse_roots.c: which values are kept, and how--> --fuse.c: kernels that compute them--> --fuse_build.c: bodies, buffers, order-->
 *   Fusion --fuse_compile.c, code_cache.c: equal kernels once, JIT--> code --plan.c: sizes, offsets in one arena--> runtime/program.c runs it
 *
 * A root is a node whose value a kernel computes as a result; every other node is computed inside the kernels that need it.
 * A root is in memory when another kernel or the world outside reads it.
 */
#ifndef PASTICHE_FUSE_H
#define PASTICHE_FUSE_H

#include "code_cache.h"
#include "loops.h"

typedef enum {
    FUSED_MAP,                     /* a loop nest; roots have the domain's shape */
    FUSED_REDUCE,                  /* sums or maxima over the same axes of values of one shape */
    FUSED_CONTRACT,                /* emit_contract; with roots: its epilogue */
    FUSED_COMBINE,                 /* emit_combine of the contraction before */
    FUSED_PACK,                    /* emit_pack of the contraction behind */
    FUSED_RELAYOUT,                /* copies between blocks and rows (relayout.c) */
    FUSED_HALO                     /* zeroes the border of a buffer (launch.c) */
} FusedKind;

typedef enum {
    WHY_none,
#define WHY(name, text) WHY_##name,
#include "fuse_reasons.def"
#undef WHY
    WHY_COUNT
} Why;
typedef struct { Ref value, reader; uint32_t kernel; uint8_t why; } Met;  /* reader, placed in kernel `kernel` (its seq), reads value: together or apart, and why;
                                                                               value 0: why it is in that kernel and has none of its own */

typedef struct { Ref sum, squares, middle; } SumOf;           /* a sum, and sum((x - middle)^2) of the same x, or 0 */
typedef enum { HOME_ARENA, HOME_INPUT, HOME_VAR, HOME_OUTPUT, HOME_WRITE, HOME_RUN, HOME_FLAGS, HOME_KEPT } Home;

typedef struct {
    Ref      value;                /* 0: scratch */
    Layout   layout;
    Dim      elems;
    Home     home; uint32_t index; /* which input, variable, output, write; HOME_KEPT: where, in 64 bytes */
    uint32_t first, last;          /* kernels that write and read it */
    bool     keep;                 /* read after the last kernel */
    bool     read;                 /* by another kernel than the one that computes it, or from outside */
    uint32_t next;                 /* another layout of the same value, NONE */
    uint32_t within;               /* the buffer whose memory it takes over (inplace.c), NONE */
} Buffer;

typedef struct {
    FusedKind kind;
    Kernel    kernel;
    Ref       shape_of;            /* a node with the domain's shape */
    Layout    layout;              /* of the domain: its block */
    uint32_t  reduced;             /* FUSED_REDUCE: axes by bit */
    bool      whole;               /* FUSED_REDUCE: small, results need no second kernel */
    Vec(Ref)  roots;
    Ref       part_of; Dim part_at;/* FUSED_MAP: the root is an argument of this concat, to stand at part_at of its axis; 0 */
    Ref       copy; uint32_t copy_to;      /* FUSED_MAP: brings this value into another layout; 0 */
    Ref       contract;
    ContractPlan plan;
    Body      body; bool has_body;
    Vec(uint32_t) uses;            /* buffers of the body's bufs */
    Vec(uint32_t) bufs;            /* buffers of kernel.bufs */
    uint32_t  in[2], packed, scratch;      /* of a contraction: buffers, ~0: none */
    Vec(SumOf) sums;               /* of a contraction: sums taken of what its epilogue sees, their slots in buffer sums_at */
    uint32_t  sums_at;
    Ref       loaded; Body load;   /* of a contraction: its first operand when that has no buffer, and what computes it; 0 */
    uint32_t  partials;            /* FUSED_REDUCE: the first root's buffer of partial results; those of the others follow */
    int       region_loops;
    Vec(Ref)  reads;               /* kept values that its expressions hold */
    uint32_t  anchor, rank, seq;   /* order: before kernel `anchor`, by rank among those */
    bool      constant;            /* its results are the same as long as variables are (fuse_keep.c) */
    Vec(int)  map;                 /* emission: the kernel's buf of each body buf; role: what each of the kernel's bufs is */
    Vec(int)  role;
    char     *text;                /* the canonical descriptor */
} Fused;

typedef struct {
    Graph        *g;
    const Target *target;
    /* by node (fuse_roots.c) */
    bool         *live, *root, *linear;    /* linear: someone reads it as row-major without halo */
    Layout       *layout;          /* of roots and leaves as stored first */
    ContractPlan **plans;          /* of contractions */
    uint32_t     *first_buffer;    /* of a value: a list through Buffer.next */
    Ref          *alias;           /* a reshape that is the same memory as this value; 0: it is not */
    uint32_t     *kernel_of;       /* root -> kernel (before sorting), NONE */
    uint8_t      *why;             /* Why it is a root, or is not */
    uint32_t     *uses_begin; Ref *users;  /* who reads a node: users[uses_begin[r] .. uses_begin[r+1]) */
    /* results */
    Vec(Fused *)  kernels;         /* in order of execution once built */
    Vec(Buffer)   buffers;
    Vec(Met)      met;             /* in the order of decisions */
    Vec(Ref)      flags;           /* gathers and scatters, by the number of the flag they raise */
    Vec(uint32_t) output_buf, report_buf, write_buf, assert_buf;   /* where they stand when all has run; layouts are linear */
    int64_t       kept_bytes;      /* of the buffers at HOME_KEPT */
    uint32_t      run_buf, flags_buf;      /* buffers, NONE until used */
    uint32_t      compiled;        /* kernels that neither this process nor the disk had */
} Fusion;

enum { NONE = 0xffffffffu };

Fusion *fuse(Graph *g, const Target *t, Status *st);       /* NULL: the graph holds what native code does not do (f64) */
void    fusion_free(Fusion *f);

/* fuse_roots.c */
void choose_roots(Fusion *f);                              /* fills the arrays by node */
bool is_kept(const Fusion *f, Ref r);                      /* a root, an input, a variable, or the same memory as one */
Ref  kept_as(const Fusion *f, Ref r);                      /* the node whose memory a kept one is */
bool divides(const Graph *g, Ref reshape);                 /* does it need a row-major argument, because axes of its argument merge */
Layout plain_layout(const Graph *g, Ref r);
bool needs_region(const Graph *g, Ref r, int *loops);      /* ops lowered to regions; how many loops */
const GraphHint *fuse_hint(const Graph *g, Ref r);         /* @fuse or @nofuse around r, the inner one */
bool asks_fuse(const Graph *g, Ref r);         /* is r computed under @fuse */
const GraphHint *nofuse_scope(const Graph *g, Ref r);      /* the statement under @nofuse that r belongs to; its kernels are shared with no other */
bool is_split_concat(const Fusion *f, Ref r);              /* computed part by part */

/* fuse.c */
typedef struct { Ref r; bool moved; } Dep;         /* moved: not read at the domain's own coordinates */
typedef struct { Vec(Dep) list; uint32_t *seen, stamp; } Deps;
void     depend_on(const Fusion *f, Deps *d, Ref r);       /* the kept values that r is computed from; r itself when it is kept */
uint32_t last_needed(const Fusion *f, const Deps *d);      /* the last kernel that something is read from, NONE: nothing but inputs and variables */
bool     read_in_place(const Fusion *f, const Fused *k, const Deps *d);     /* is what is read from kernel k its own values at the same place */
Why      closed_for(const Fusion *f, const Fused *k, Ref r, int loops);     /* why kernel k takes no further root r; WHY_none: it does */
void     note_met(Fusion *f, Ref value, Ref reader, const Fused *k, Why why);
Fused *fused_new(Fusion *f, FusedKind kind, Ref shape_of, Layout layout);   /* appended to f->kernels */
typedef struct { uint32_t buffer; bool write; } Touch;
typedef Vec(Touch) Touches;
void   touches_of(const Fused *k, Touches *out);           /* appended: the buffers that a kernel reads and writes, once it is bound and until it is compiled */

/* fuse_sums.c */
bool take_sum(Fusion *f, Ref r, uint32_t *kernel, Ref *middle);    /* does the kernel of what sum r reads take it along? middle: what squares are around, 0 */
const Fused *sum_taker(const Fusion *f, Ref r, uint32_t *which);   /* the contraction that has taken r along */

/* fuse_load.c */
bool take_load(Fusion *f, Ref r, const Deps *d);           /* is root r computed where a convolution reads it? Then it is no root any more. d: what it depends on */
Ref  loaded_operand(const Fusion *f, Ref contraction);     /* its first operand, if that is computed where it is read; 0 */
Why  why_read(const Fusion *f, Ref contraction, Ref value);/* why it reads a value from memory */

/* fuse_build.c */
void build_bodies(Fusion *f);
uint32_t buffer_of(Fusion *f, Ref r, Layout l);            /* the buffer of a value in a layout, made when there is none */
bool layout_equal(Layout a, Layout b);
/* Buffers of values that are whole once kernel number `kernel` has run, for who looks on. Returns how many, at most max. */
uint32_t values_made(const Fusion *f, uint32_t kernel, uint32_t *buffers, uint32_t max);

/* fuse_order.c */
void put_off_kernels(Fusion *f);

/* inplace.c */
void find_in_place(Fusion *f);

/* fuse_keep.c */
void keep_constants(Fusion *f);                            /* marks kernels, moves buffers home */
bool constants_know_sizes(const Fusion *f);                /* compiled: does a constant kernel's result depend on sizes that inputs have */

/* relayout.c: bufs are from, to; i32 and f32 alike */
bool can_relayout(const Graph *g, Ref r, Layout from, Layout to);
void plan_relayout(Fusion *f, Fused *k, Layout from, Layout to);       /* arguments, tasks, work; k->shape_of has the shape */
void emit_relayout(Emit *e, bool to_blocks);

/* fuse_compile.c: machine code for all kernels, from the cache as far as it has them. */
/* dump_stage: NULL; "llvm" or "asm": everything is compiled anew and its text appended */
bool fusion_compile(Fusion *f, CodeCache *cache, const char *dump_stage, Text *dump, Status *st);

/* steer.c */
bool check_steering(const Fusion *f, Status *st);          /* false: a pragma asks for what was not done; the message says why */

/* explain.c */
extern const char *const why_text[WHY_COUNT];
Why why_apart(const Fusion *f, Ref value, const Fused *k); /* why kernel k reads a value from memory that another kernel makes */
typedef struct { Vec(Ref) computed, read; } KernelNodes;   /* nodes whose values a kernel computes, its main one first; values of others that it reads */
void kernel_nodes(const Fusion *f, const Fused *k, KernelNodes *out);
void kernel_nodes_free(KernelNodes *n);
/* The places in the user's text that a kernel computes, "a.graph:3, 7; b.graph:9"; most: of lines, 0: all. */
void kernel_places(const Fusion *f, const Fused *k, uint32_t most, Text *out);
/* Buffers that a kernel reads or writes: fn(ctx, buffer) once each. Packed weights count in place of the weights. */
void kernel_buffers(const Fusion *f, const Fused *k, void (*fn)(void *ctx, uint32_t buffer), void *ctx);
/* Who was fused with whom, and why not; sizes as formulas when n is 0. */
void fusion_explain(const Fusion *f, const DimBind *binds, uint32_t n, bool json, Text *out);

/* dump.c */
void fusion_print(const Fusion *f, Text *out);             /* --stage fused: kernels, nodes, buffers */

/* plan.c: everything that depends on sizes */
typedef struct {
    int64_t  *args;                /* all kernels' arguments, one after the other */
    uint32_t *args_at;             /* by kernel */
    int64_t  *tasks, *work;        /* by kernel */
    int64_t  *bytes, *offset;      /* by buffer; offset into the arena, -1: elsewhere */
    int64_t   arena, bound;        /* bytes; no arrangement takes less than bound */
    uint32_t  peak;                /* the kernel during which so much is alive */
} MemoryPlan;
bool plan_memory(const Fusion *f, const DimBind *binds, uint32_t n, MemoryPlan *plan, Status *st);
void plan_free(MemoryPlan *plan);
extern int plan_guard;                                     /* for tests: bytes (a multiple of 64) between buffers that must stay as they are; 0: off */

#endif
