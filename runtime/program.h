/* program.h - inside a native program: what program.c, program_make.c, program_check.c and program_memory.c share. */
#ifndef PASTICHE_PROGRAM_H
#define PASTICHE_PROGRAM_H

#include "../compiler/fuse.h"
#include "exec.h"

/* A simplified copy of g, as kernels are made from; the target that the options ask for. */
Graph *native_graph(const Model *m, const Graph *g, const ExecOptions *o);
bool   native_target(const ExecOptions *o, Target *t, Status *st);

/* Sizes that shapes alone do not settle: slices reach inside, borders can be mirrored, parts fill what they are put into, nothing takes the
 * largest of no elements. With this, kernels touch no memory but their buffers'. Messages as the reference interpreter's. */
bool check_nodes(const Graph *g, const DimBind *binds, uint32_t n, Status *st);

#endif
