/* colour_table.h - the best per-pixel colour mapping: a 3-D table of 33^3 colours, interpolated trilinearly, fitted to pairs of pictures.
 * It is the yardstick of photo -> comic training: what can be had without looking at a pixel's neighbourhood.
 */
#ifndef PASTICHE_COLOUR_TABLE_H
#define PASTICHE_COLOUR_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { COLOUR_TABLE_N = 33 };

typedef struct ColourTable ColourTable;

ColourTable *colour_table_new(void);              /* NULL: out of memory; colour_table_free(NULL) is fine */
void         colour_table_free(ColourTable *t);
/* Adds the pixels of one pair to what will be fitted; they are copied. from, to: (3,n) planar, 0..1. false: out of memory, nothing added. */
bool         colour_table_add(ColourTable *t, const float *from, const float *to, size_t n);
/* Solves for the table of least absolute error over all pixels added so far; false: out of memory or nothing added. */
bool         colour_table_fit(ColourTable *t);
/* to (3,n) = table(from (3,n)); to may be from. Only after colour_table_fit. */
void         colour_table_apply(const ColourTable *t, const float *from, float *to, size_t n);

#endif
