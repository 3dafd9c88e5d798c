/* contract_dw.h - conv_dw, the weight gradient: dw[k,c,r,s] = sum over images and pixels of g[k, pixel] * x[c, pixel*stride + tap].
 *
 *   images and rows are cut into blocks (a part of a picture, or some small pictures) that stay in L2; fixed runs of blocks are chunks
 *
 * lanes over c (weights with c/groups >= V, stored with lanes over c):
 *   task = (chunk, CHUNK blocks of output channels, block of input channels)
 *     sums[block][r][s][k][V] on the stack; for each block of pixels, block of output channels, r, tile of s, tile of k:
 *       acc[k][s] += g[k] * x[s]  over the block's pixels: ROWS broadcasts of g, NB vectors of x
 *     Every task reads all of its chunk's x, mostly from memory; with several blocks of output channels a task that is rarer by so much.
 *
 *   Small groups: the same over a block of x that holds the groups of a block of output channels; what crosses groups is dropped.
 *
 * lanes over k (few input channels, or depthwise):
 *   task = (chunk, NB blocks of output channels)
 *     sums[c][r][s][NB*V]; tile of PR x PW taps:  acc[tap][k block] += x[tap] * g[k block]
 *   x is one number of a plane, or, depthwise, a vector of the same channels
 *
 * lanes over pixels (few channels on both sides):
 *   task = (chunk, input channel);  acc[k][tap] += g[k] * x[tap], V pixels at once, lanes summed at the end
 *
 * With too few tasks there are several chunks; each leaves partial sums in scratch, and a second kernel adds them in order.
 * With lanes over k or pixels there always is a second kernel: it also turns [c][r][s][k] into (k,c,r,s). Sums in memory grow block by block, so here no
 * tile may overlap another: tiles divide the kernel and the block of output channels, or a narrower tile does the rest.
 */
#ifndef PASTICHE_CONTRACT_DW_H
#define PASTICHE_CONTRACT_DW_H

#include "contract.h"

enum { MOST_SUMS = 1 << 15 };          /* floats of a task's sums on the stack */

/* How pixels are cut: blocks of `images` whole pictures, or of `rows` rows of one. */
typedef struct { int64_t images, rows; } Cut;
Cut dw_cut(const Conv *c, int vec);

/* Chunks for that many tasks a chunk: more than one block each, where their number is known. */
int dw_chunks(const Graph *g, const Conv *c, const Cut *cut, int64_t tasks);

/* Elements of one chunk of partial sums to be turned: [c/groups][r][s][k up to whole vectors]. */
int64_t dw_turned_elems(const Conv *c, int vec);

/* The families. contract_dw_channels.c: lanes over c; contract_dw_taps.c: lanes over k, over pixels. */
void plan_dw_channels(Graph *g, const Conv *c, const Target *t, ContractPlan *p);
void plan_dw_shared(Graph *g, const Conv *c, const Target *t, ContractPlan *p);
void plan_dw_taps(Graph *g, const Conv *c, const Target *t, ContractPlan *p);
void plan_dw_pixels(Graph *g, const Conv *c, const Target *t, ContractPlan *p);

/* ---- what they share: operands, pixels ---- */

typedef struct {
    Emit        *e;
    const int   *v;
    Conv         c;
    Cut          cut;
    View         x, g;
    LLVMValueRef images, ho, wo, row_blocks;   /* row_blocks: blocks of rows an image (or group of images) */
    LLVMValueRef block_lo, block_hi;           /* blocks of the chunk */
    LLVMValueRef n0, n1, y0, y1;               /* pixels of the block being added */
    LLVMValueRef partial;                      /* base of all chunks' partial sums, or NULL */
} Dw;

Dw   dw_begin(Emit *e, const Job *j, int64_t tasks_a_chunk, Loop *task, LLVMValueRef *chunk, LLVMValueRef *index);
Loop dw_blocks_begin(Dw *k);

/* The loops over a block's pixels, `step` columns a round, carrying sums. Inside, xp and gp are the addresses of x at tap (r, s) and of g. */
typedef struct { Loop n, y, x; LLVMValueRef xp, gp; } PixelLoop;
void dw_pixels_begin(Dw *k, PixelLoop *l, int nacc, LLVMValueRef *acc, LLVMValueRef xc, LLVMValueRef gc, LLVMValueRef r, LLVMValueRef s, int step);
void dw_pixels_end(Dw *k, PixelLoop *l, LLVMValueRef *now, int nacc, LLVMValueRef *at);      /* and stores the sums to their places */

void dw_clear_sums(Emit *e, LLVMValueRef sums, int64_t vectors);

#endif
