/* program.h - inside a native program: what program.c and program_check.c share. */
#ifndef PASTICHE_PROGRAM_H
#define PASTICHE_PROGRAM_H

#include "exec.h"

/* Sizes that shapes alone do not settle: slices reach inside, borders can be mirrored, parts fill what they are put into, nothing takes the
 * largest of no elements. With this, kernels touch no memory but their buffers'. Messages as the reference interpreter's. */
bool check_nodes(const Graph *g, const DimBind *binds, uint32_t n, Status *st);

#endif
