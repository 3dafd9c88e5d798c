/* winograd.h - what contract_winograd.c and contract_winograd_dw.c share. */
#ifndef PASTICHE_WINOGRAD_H
#define PASTICHE_WINOGRAD_H

#include "contract.h"

enum { M = 4, MAX_NP = 6, MAX_R = 3, DW_ROWS = 8 };    /* results, points, taps of a side; output channels of conv_dw's register block */

typedef struct { int r, np; double a[M][MAX_NP], g[MAX_NP][MAX_R], b[MAX_NP][MAX_NP]; } Transforms;    /* A^T, G, B^T */
Transforms transforms_of(int r);

/* out[i] = sum over j of c[i * si + j * sj] in[j]; elem: the type of a lane */
void combine_lines(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef const *in, LLVMValueRef *out, LLVMTypeRef elem);

/* out[i][j] (nout x nout) = sum over a, b of c[i,a] c[j,b] in[a][b] (nin x nin), c[i,a] = c[i * si + a * sj]; in[a][b] stands at from + a*row + b*col, out[i][j]
 * goes to to + (i * nout + j) * point. half: MAX_NP * MAX_NP vectors on the stack. */
void both_sides(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef half, LLVMValueRef from, LLVMValueRef row, LLVMValueRef col, LLVMValueRef to, LLVMValueRef point);

typedef struct { LLVMValueRef n, y, x; } TilePlace;        /* image, and first result of a tile within the phase */
TilePlace tile_place(Emit *e, LLVMValueRef tile, LLVMValueRef tiles_y, LLVMValueRef tiles_x);

/* Taps of a side that a tile sees: those of a phase, or of a residue of input positions (stride 2). */
int  side_taps(const ConvMap *m);
int  residues(const ConvMap *m);
bool winograd_fits(const ConvMap *m);      /* 2x2 or 3x3 taps a phase or residue, and strides that tiles can follow */
int  past_the_end(const ConvMap *m, int axis);     /* results of the last tile outside the picture, at most */

/* ---- contract_load.c: an operand without a buffer ---- */
/* side x side elements, `step` apart, of an operand of rows x cols; they go to tile: [row][column][lane]. */
typedef struct { Emit *e; Prologue prologue; void *ctx; int side, step; LLVMValueRef rows, cols, tile; } TileLoad;
void load_tile(const TileLoad *l, const At4 *first);       /* first: the place of the first element, perhaps outside */

/* ---- conv_dw: contract_winograd_dw.c, contract_winograd_few.c ---- */

/* lanes: input channels of all residues, in whole vectors; cblocks: vectors of channels of x. total: tiles of all images. */
typedef struct { Conv c; ConvMap m; int r, np, step; int64_t cblocks, lanes; Dim tiles_y, tiles_x, total; } DwShape;
bool   dw_shape(DimTable *d, const Conv *c, const Target *t, DwShape *s);
double dw_tiles(const DwShape *s);         /* the batch taken for 32 where it is not known; 0: sizes of the picture are not known */
void   dw_halos(const DwShape *s, ContractPlan *p);

typedef struct { Emit *e; DwShape s; Transforms t; View x, g; LLVMValueRef half; } DwTiles;
DwTiles dw_tiles_of(Emit *e, const ContractPlan *p);       /* uses the operands' buffers */
/* B^T x B of a tile and vector of input lanes, A dy A^T of a tile and vector of output channels, a point every `point` elements; zeros for tiles past the last. */
void dw_input(DwTiles *k, LLVMValueRef tile, LLVMValueRef block, LLVMValueRef to, LLVMValueRef point);
void dw_grad(DwTiles *k, LLVMValueRef tile, LLVMValueRef block, LLVMValueRef to, LLVMValueRef point);
/* G^T U G of an output channel and vector of input lanes through the epilogue; U of a point every `point` elements. taps: MAX_R * MAX_R vectors on the stack. */
void dw_result(const DwTiles *k, Result *result, LLVMValueRef taps, LLVMValueRef channel, LLVMValueRef block, LLVMValueRef u, LLVMValueRef point);

/* acc += y v of a tile: DW_ROWS channels from y on, nb vectors of lanes */
void add_products(Emit *e, LLVMValueRef *acc, LLVMValueRef v, LLVMValueRef y, int nb);

double plan_winograd_few(DimTable *d, const DwShape *s, const Target *t, ContractPlan *p); /* cycles, roughly; 0: it does not fit and p is as it was */

#endif
