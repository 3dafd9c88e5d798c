/* arena.h - where pieces of memory with known sizes and life-times stand in one arena. Knows nothing of graphs or kernels. */
#ifndef PASTICHE_ARENA_H
#define PASTICHE_ARENA_H

#include "base.h"

typedef struct { int64_t bytes, offset; uint32_t first, last; } Piece;     /* alive from moment first to moment last, both included; bytes > 0 */

/* Sets each offset so that pieces alive at one moment do not overlap, and returns the arena's size. */
int64_t arena_place(Piece *p, uint32_t n);

/* No arrangement takes less: the bytes alive at one moment, at most. *when: that moment (may be NULL). */
int64_t arena_bound(const Piece *p, uint32_t n, uint32_t *when);

#endif
