/* program.h - inside a native program: what program.c, program_make.c, program_check.c and program_memory.c share, and what looks into a pass as it runs. */
#ifndef PASTICHE_PROGRAM_H
#define PASTICHE_PROGRAM_H

#include "../compiler/fuse.h"
#include "exec.h"

/* A simplified copy of g, as kernels are made from, what stands under @remat computed again (first: as program_new_for's; NULL: an error of fuse()); the target that the
 * options ask for. */
Graph *native_graph(const Model *m, const Graph *g, const ExecOptions *o, const Tensor *first, const Target *t, Status *st);
bool   free_batch(const Graph *g, uint32_t input);      /* is the input's first size that of a batch, known when it runs? */
bool   native_target(const ExecOptions *o, Target *t, Status *st);
/* What a pass takes beside its arena, in bytes. fresh: new values of variables, which stand beside the old ones until the pass has ended. */
typedef struct { int64_t variables, fresh, inputs, results; } Outside;
Outside outside_bytes(const Graph *g, const DimBind *binds, uint32_t n);
/* g with as much computed again as keeps arena and outside within `budget` bytes at these sizes; again[] (by node of g) collects it, and what it holds already stays.
 * NULL: nothing helps enough, which st says with the least that was reached. */
Graph *budgeted_graph(const Graph *g, const Target *t, int64_t budget, const DimBind *binds, uint32_t n, bool *again, Status *st);

/* Sizes that shapes alone do not settle: slices reach inside, borders can be mirrored, parts fill what they are put into, nothing takes the
 * largest of no elements. With this, kernels touch no memory but their buffers'. Messages as the reference interpreter's. */
bool check_nodes(const Graph *g, const DimBind *binds, uint32_t n, Status *st);

struct Profile;
const Fusion         *program_fusion(const Program *p);                /* NULL with the reference backend */
const struct Profile *program_profiled(const Program *p);              /* since program_measure; NULL */

/* Called after each kernel of a pass: kernel number `kernel` of f has run, at[i] is where buffer i stands (it may be written to). */
typedef struct { const Graph *g; const Fusion *f; uint32_t kernel; const DimBind *binds; uint32_t nbinds; void *const *at; } KernelRun;
typedef void KernelWatch(void *ctx, const KernelRun *run);
void program_watch(Program *p, KernelWatch *watch, void *ctx);         /* NULL: no longer. Native programs only */

#endif
