/* winograd.h - what contract_winograd.c and contract_winograd_dw.c share. */
#ifndef PASTICHE_WINOGRAD_H
#define PASTICHE_WINOGRAD_H

#include "contract.h"

enum { M = 4, MAX_NP = 6, MAX_R = 3 };     /* results, points, taps of a side */

typedef struct { int r, np; double a[M][MAX_NP], g[MAX_NP][MAX_R], b[MAX_NP][MAX_NP]; } Transforms;    /* A^T, G, B^T */
Transforms transforms_of(int r);

/* out[i] = sum over j of c[i * si + j * sj] in[j]; elem: the type of a lane */
void combine_lines(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef const *in, LLVMValueRef *out, LLVMTypeRef elem);

/* out[i][j] (nout x nout) = sum over a, b of c[i,a] c[j,b] in[a][b] (nin x nin), c[i,a] = c[i * si + a * sj]; in[a][b] stands at from + a*row + b*col, out[i][j]
 * goes to to + (i * nout + j) * point. half: MAX_NP * MAX_NP vectors on the stack. */
void both_sides(Emit *e, const double *c, int si, int sj, int nout, int nin, LLVMValueRef half, LLVMValueRef from, LLVMValueRef row, LLVMValueRef col, LLVMValueRef to, int64_t point);

typedef struct { LLVMValueRef n, y, x; } TilePlace;        /* image, and first result of a tile within the phase */
TilePlace tile_place(Emit *e, LLVMValueRef tile, LLVMValueRef tiles_y, LLVMValueRef tiles_x);

/* Taps of a side that a tile sees: those of a phase, or of a residue of input positions (stride 2). */
int  side_taps(const ConvMap *m);
int  residues(const ConvMap *m);
bool winograd_fits(const ConvMap *m);      /* 2x2 or 3x3 taps a phase or residue, and strides that tiles can follow */
int  past_the_end(const ConvMap *m, int axis);     /* results of the last tile outside the picture, at most */

#endif
