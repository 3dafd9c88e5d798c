/* remat.h - values computed again for the backward pass: what `@remat` says (remat.c), and what a budget of memory makes necessary (budget.c). */
#ifndef PASTICHE_REMAT_H
#define PASTICHE_REMAT_H

#include "fuse.h"

/* A copy of g whose backward pass reads second copies of the nodes marked in again[], which only can_remat nodes may be. from: NULL, or receives an array by node of the
 * copy: the node of g that it computes (the caller frees it). */
Graph *remat(const Graph *g, const bool *again, Ref **from);
bool can_remat(const Graph *g, Ref r);                     /* of the forward pass, and worth it */

/* Marks what stands under @remat, and what must come along; false: an error of fuse(). */
bool remat_hints(Graph *g, const Target *t, bool *again, Status *st);

/* Marks r and all forward nodes from there over values that are in no memory: what is computed on the way from stored values to r, and from r to those who read it. Some
 * reader of the backward pass may lean on r through any of them. stored, by node: values_in_memory(f) (the caller frees it). */
void  remat_reach(const Fusion *f, const bool *stored, Ref r, bool *reached);
bool *values_in_memory(const Fusion *f);

/* Marks what must be computed again for the arena to take at most `budget` bytes at these sizes; again[] may hold marks already, which stay. Greedy: of what is alive at the
 * peak, the most bytes for the least work first. *arena: what it takes then, more than the budget when nothing helps further. g is simplified and stays as it is. */
bool fit_budget(const Graph *g, const Target *t, const DimBind *binds, uint32_t n, int64_t budget, bool *again, int64_t *arena, Status *st);

#endif
