/* contract.h - what the files of the contraction kernels share; nobody else includes it.
 *
 *   contract.c          decodes a node into a Conv, chooses an algorithm and block sizes (contract_plan), dispatches emission
 *   contract_pack.c     rearranges weights into the panels that the kernels stream
 *   contract_conv.c     conv and conv_dx into blocked results: lanes are output channels, registers hold pixels x channel blocks
 *   contract_winograd.c the same with fewer multiplications, where 3x3 or 2x2 taps of stride 1 meet many channels
 *   contract_narrow.c   few output channels: lanes are input channels, or pixels when those are few too
 *   contract_depth.c    depthwise: lanes are channels that never meet
 *   contract_dw.c       conv_dw
 *   contract_winograd_dw.c  conv_dw with fewer multiplications
 *   contract_winograd_few.c the same for small maps with many channels
 *   contract_matmul.c   matmul
 *   contract_sums.c     sums of results on the way out: statistics of a norm
 *   contract_load.c     an operand computed on the way in
 *   contract_block.c    block sizes chosen by @block or by tuning
 *   contract_generic.c  every convolution that the others decline: one element at a time
 *
 * conv and conv_dx are one loop nest. Along an axis, a result position is out_first + q*out_step (q = 0, 1, ..) and tap t of it reads
 * position in_first + q*in_step + t*tap_step of the input, times weight tap w_first + t*w_step. A convolution is one such phase; an input gradient with
 * stride s is s of them, each with the taps that fall on its residue. Positions outside the input are in its halo of zeros.
 */
#ifndef PASTICHE_CONTRACT_H
#define PASTICHE_CONTRACT_H

#include "emit.h"

typedef enum {
    ALGO_GENERIC, ALGO_CONV, ALGO_WINOGRAD, ALGO_NARROW, ALGO_PIXELS, ALGO_DEPTH, ALGO_DW, ALGO_DW_WINOGRAD, ALGO_DW_WINOGRAD_FEW, ALGO_DW_SHARED, ALGO_DW_LANES, ALGO_DW_PIXELS, ALGO_MATMUL, ALGO_MATMUL_LANES
} Algo;

/* plan->variant[] by name. */
enum {
    V_ALGO,
    V_NB,          /* vectors of output channels (columns of a matmul) a tile */
    V_PN, V_PR, V_PW,   /* pixels of a tile: images x rows x columns */
    V_PW2,         /* a second, narrower tile for the tails of rows of unknown width; 0: none, every row is covered by overlapping tiles of PW */
    V_UNROLL,      /* reduction steps an innermost round */
    V_CHUNK,       /* rows of tiles (matmul: rows; conv_dw: blocks of output channels) a task */
    V_GROUPS,      /* groups after merging small ones into dense blocks */
    V_SPLIT,       /* reduction chunks with partial sums of their own; 0 or 1: none */
    V_ROWS,        /* conv_dw: output channels a tile */
};

/* The convolution triple: x (n,c,h,w), weights (k,c/groups,r,s), g (n,k,ho,wo). Numbers are -1 where a Dim is not constant. */
typedef struct {
    Op      op;
    Dim     x[4], wt[4], g[4];
    int64_t N, C, H, W, K, R, S, Ho, Wo;
    int64_t likely;                /* N, or what it is taken for where costs are compared; -1 */
    int64_t Cg;                    /* channels of x a group */
    int     stride[2], pad[4], dilation[2], groups;
    bool    fixed;                 /* channels and kernel are constants, which all but the generic kernel need */
} Conv;
Conv conv_of(const Graph *g, Ref r);

enum { MAX_PHASES = 16 };          /* along an axis */
typedef struct { int taps, in_first, out_first, w_first; } Phase;
typedef struct {
    int   count, in_step, tap_step, out_step, w_step;
    Phase at[MAX_PHASES];
    int   lo, hi;                  /* halo that the input needs before and behind */
} Axis;
/* conv or conv_dx as result <- input. false: too many phases or too large a halo. */
typedef struct {
    Axis    axis[2];               /* rows, columns */
    Dim     in[4], out[4];         /* (n,channels,rows,columns) */
    int64_t Cin, Cout, rows, cols, n, likely;   /* channels; sizes of the result or -1; n as Conv.likely */
} ConvMap;
bool conv_map(const Conv *c, ConvMap *m);

/* ---- emission helpers ---- */
/* A stored rank-4 value: strides as i64 values. */
typedef struct { LLVMValueRef base, n, c, h, w, origin; int block; } View;
View view4(Emit *e, LLVMValueRef base, const Dim *shape4, const Layout *l);
/* Offsets: of channel block c (channel c when block is 1); of the element of channel c, whatever the block. */
LLVMValueRef view_off(Emit *e, const View *v, LLVMValueRef n, LLVMValueRef c, LLVMValueRef h, LLVMValueRef w);
LLVMValueRef view_elem(Emit *e, const View *v, LLVMValueRef n, LLVMValueRef c, LLVMValueRef h, LLVMValueRef w);

/* Where results go: through the epilogue, padded channel lanes zeroed, into the (haloed) layout. */
typedef struct {
    Emit        *e;
    Layout       layout;
    int          rank;
    View         view;             /* rank 4 */
    LLVMValueRef rows, cols, chans;    /* of a matmul result; chans: rank 4 only, to split its leading index */
    int64_t      channels;         /* rank 4 blocked */
    Epilogue     epilogue;
    void        *ctx;
} Result;
Result result_of(Emit *e, const ContractPlan *p, int buf, Layout out, Epilogue epilogue, void *ctx);
void   result_store(Result *r, LLVMValueRef acc, const At4 *at);
void   result_ahead(Result *r, const At4 *at);     /* prefetches what result_store will touch there */

/* ---- contract_sums.c: all do nothing when the plan has no sums ---- */
enum { SUMS_NB = 4 };
typedef struct {
    Emit         *e;
    const ContractPlan *p;
    SumSlots      s;
    int           nb;
    LLVMValueRef  base, run, done;         /* the slots; on the stack: running sums of rows that are not done, columns of the present rows that are */
    LLVMValueRef  acc[MAX_SUMS][SUMS_NB][3];    /* on the stack: running sums, which become registers */
    LLVMValueRef  now[MAX_SUMS];           /* what an epilogue just left */
    LLVMValueRef  before, fresh;           /* of a tile: results in its slot before it; are there none */
} ResultSums;
void sums_begin(ResultSums *s, Emit *e, const ContractPlan *p, int nb, int rows);   /* a kernel's; rows: of a tile that sums_row_begin comes to */
void sums_add(ResultSums *s, int j, LLVMValueRef first, LLVMValueRef counts);       /* s->now for vector j: is it a slot's first result (NULL: no), does it count (NULL: yes) */
/* A row of a tile: columns [at, at + width) of `count`; nb vectors of channels from block cb on, those below `blocks`. row: its number in the tile. */
typedef struct { LLVMValueRef slot, row, at, count, cb, blocks, fresh, skip; int width; } SumRow;
void sums_done(ResultSums *s, LLVMValueRef columns);       /* of the rows to come; 0: they begin */
void sums_row_begin(ResultSums *s, SumRow *r);             /* sets fresh and skip */
void sums_column(ResultSums *s, const SumRow *r, int j, LLVMValueRef column);       /* s->now for vector j at a column of the tile */
void sums_row_end(ResultSums *s, const SumRow *r);
void sums_tile_begin(ResultSums *s, LLVMValueRef slot, LLVMValueRef begins, LLVMValueRef cb);   /* begins: the slot begins with the tile. Vector 0 */
void sums_tile_end(ResultSums *s, LLVMValueRef slot, LLVMValueRef cb, LLVMValueRef count);

int  use_buf(Emit *e, Ref value, Layout l, bool write, Dim elems);     /* adds the buffer to the kernel: value 0 is scratch (or packed) memory */
LLVMValueRef table_at(Emit *e, const int64_t *v, int n, LLVMValueRef i);   /* v[i]: a constant when all are equal */
LLVMValueRef phase_value(Emit *e, const Axis *a, LLVMValueRef phase, size_t field);    /* field: offsetof(Phase, ..) of an int */
LLVMValueRef zero_acc(Emit *e);                                        /* a vector of zeros */
Dim  const_dim(Emit *e, int64_t v);

/* 4 columns of V lanes from the first 4 floats of V rows, `stride` floats apart. */
void turn_columns(Emit *e, LLVMValueRef rows, LLVMValueRef stride, LLVMValueRef *column);
/* Lane i of the result is the sum over lanes of v[i]; n lanes, a power of two up to V; destroys v. */
LLVMValueRef sum_lanes(Emit *e, LLVMValueRef *v, int n);
LLVMValueRef spaced_load(Emit *e, LLVMValueRef at, int step, LLVMValueRef mask);   /* V floats, step apart; mask NULL: all */
/* Covers from .. to (part of 0 .. size) by calls of tile(ctx, start, width) with three widths: w, the last one overlapping what came before when more
 * than w2 are left, w2 < w, and 1 when size is less than w2. */
typedef void (*TileAt)(void *ctx, LLVMValueRef at, int width);
void tile_line(Emit *e, LLVMValueRef from, LLVMValueRef to, LLVMValueRef size, int w, int w2, TileAt tile, void *ctx);

/* ---- planning and emission by family ---- */
/* The register block is rows (pixels) x nb vectors. */
int    most_rows(const Target *t, int nb);         /* that fit */
double fma_rate(int rows, int nb);                 /* estimated share of the peak */
double tile_waste(int64_t n, int64_t tile);        /* n / what tiles of that size compute */
void plan_conv(Graph *g, const Conv *c, const Target *t, ContractPlan *p);
bool    plan_winograd(Graph *g, const ConvMap *m, const Target *t, ContractPlan *p);    /* false: it does not fit or does not pay; p is as it was */
void    plan_narrow(const ConvMap *m, const Target *t, ContractPlan *p);
void    plan_pixels(const Conv *c, const ConvMap *m, const Target *t, ContractPlan *p);
int64_t plan_depth(const ConvMap *m, const Target *t, ContractPlan *p);      /* elements of packed weights */
bool plan_winograd_dw(Graph *g, const Conv *c, const Target *t, ContractPlan *p);            /* false: as plan_winograd */
void plan_dw(Graph *g, const Conv *c, const Target *t, ContractPlan *p);
void plan_matmul(Graph *g, const Target *t, ContractPlan *p);

/* After a change of p's block sizes: do they fit? Sets what depends on them. false: why (contract_block.c puts p back). */
bool conv_retile(Graph *g, const Conv *c, ContractPlan *p, char *why, size_t nwhy);
bool winograd_retile(Graph *g, const Conv *c, ContractPlan *p, char *why, size_t nwhy);
bool narrow_retile(const ContractPlan *p, char *why, size_t nwhy);
double dw_rate(const Conv *c, const Target *t, int rows, int nb);
bool dw_retile(const Conv *c, const ContractPlan *p, char *why, size_t nwhy);
bool matmul_retile(Graph *g, ContractPlan *p, char *why, size_t nwhy);
bool registers_hold(const ContractPlan *p, int pixels, int nb, char *why, size_t nwhy);

typedef struct { const ContractPlan *p; Layout out; Prologue prologue; Epilogue epilogue; void *ctx; } Job;    /* what emit_contract was asked for */
void emit_conv(Emit *e, const Job *j);
void emit_winograd(Emit *e, const Job *j);
void emit_narrow(Emit *e, const Job *j);
void emit_pixels(Emit *e, const Job *j);
void emit_depth(Emit *e, const Job *j);
void emit_dw(Emit *e, const Job *j);
void emit_winograd_dw(Emit *e, const Job *j);
void emit_winograd_few(Emit *e, const Job *j);
void emit_winograd_dw_combine(Emit *e, const Job *j);
void emit_dw_shared(Emit *e, const Job *j);
void emit_dw_lanes(Emit *e, const Job *j);
void emit_dw_pixels(Emit *e, const Job *j);
void emit_dw_combine(Emit *e, const Job *j);
void emit_matmul(Emit *e, const Job *j);
void emit_matmul_lanes(Emit *e, const Job *j);
void emit_matmul_combine(Emit *e, const Job *j);
void emit_generic(Emit *e, const Job *j);
void pack_conv(Emit *e, const ContractPlan *p);
void pack_winograd(Emit *e, const ContractPlan *p);
void pack_depth(Emit *e, const ContractPlan *p);
void pack_matmul(Emit *e, const ContractPlan *p);

/* Packed conv weights: a panel a (phase, group, tile of output channels), in that order.
 *   [in block][tap row][tap column][in lane][NB*V out lanes]   blocked input
 *   [in channel][tap row][tap column][NB*V out lanes]          row-major input
 * Offsets in elements; lanes without a channel hold 0. */
typedef struct { int64_t in_blocks, lanes, tiles, width; int64_t phase_at[MAX_PHASES * MAX_PHASES], total; } Panels;
Panels conv_panels(const ConvMap *m, const ContractPlan *p, int in_block);

/* contract_winograd.c. Elements of all transformed weights; those of one block of input channels, from panels of that block (all phases) */
Dim     winograd_tiles(DimTable *d, const ConvMap *m);       /* of a phase and image */
int64_t winograd_total(const ConvMap *m, const ContractPlan *p);
void    winograd_weights(Emit *e, const ContractPlan *p, const ConvMap *m, LLVMValueRef stage, LLVMValueRef packed, LLVMValueRef tile, LLVMValueRef block);

#endif
