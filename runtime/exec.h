/* exec.h - running a Graph: one interface, two backends. The reference interpreter computes everything in float64 and is the oracle;
 * the native one compiles kernels. Both read variables and write them back only when the whole graph has run (a failed step changes nothing).
 */
#ifndef PASTICHE_EXEC_H
#define PASTICHE_EXEC_H

#include "../compiler/model.h"
#include "rng.h"
#include "tensor.h"

typedef enum { BACKEND_NATIVE, BACKEND_REFERENCE } Backend;

typedef struct {
    double runtime[RT_T + 1];      /* step, epoch, progress, epoch_steps, t */
    Rng    rng;
    uint64_t weights;              /* changes whenever variables do: with the number of the pass before, what depends on them alone is not computed again; 0: not known */
    uint64_t frozen;               /* for a graph that writes variables: changes whenever those do that no step of the file writes; 0: not known */
    bool   check_finite;           /* a report or write that is not finite fails the run, naming the node where that began */
} RunState;

typedef struct Program Program;    /* a Graph made ready to run by a backend */

typedef struct {
    Backend     backend;
    int         threads;           /* 0: all */
    const char *cpu;               /* NULL: this machine's; "avx512", "avx2", "baseline" */
    bool        exact;             /* no Winograd convolutions */
    Passes      off;               /* passes to do without (../compiler/passes.def) */
    const struct TuneDb *tuned;    /* block sizes in place of the user's database (../compiler/tune_db.h); NULL: that one */
    bool        debug_kernels;     /* kernels that gdb and perf know (../compiler/debug_code.h); PASTICHE_DEBUG_KERNELS=1 asks for them too */
    bool        no_cache;          /* no kernels from disk and none kept there (../compiler/object_cache.h) */
    bool        winograd_always;   /* tests: Winograd convolutions, sums taken along by convolutions and operands computed by them, wherever they fit, not only where they pay or are asked for */
    int64_t     memory_budget;     /* bytes that a pass may take, arena, variables, inputs and results together; values are computed again to keep to it. 0: as it comes */
    bool        exact_nan_checks;  /* look for the first non-finite node when an output is not finite */
} ExecOptions;

Program *program_new(const Model *m, Graph *g, const ExecOptions *o, Status *st);   /* simplifies a copy of g; the Graph is only read and must live as long */
/* first: the inputs of the first pass (their shapes), or NULL. A step that is trained gets the algorithms that suit that batch; it computes any other as well. An export
 * without `first` is compiled for one item and for many where they ask for different algorithms, and each pass takes what suits it. */
Program *program_new_for(const Model *m, Graph *g, const ExecOptions *o, const Tensor *first, Status *st);

/* As train and run make it: a step for the sizes of its first inputs, an export for any. */
Program *program_new_as_used(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, Status *st);
void     program_free(Program *p);

/* inputs[i] matches g->inputs (IN_INT: a rank-0 tensor holding the number). vars[] is the model's variable store, one Tensor a Var, f32 (or f64 with the reference
 * backend): read, and written by g->writes at the end (a native pass gives a written variable another data pointer). outputs, reports: arrays as long as
 * g's, filled with new tensors (the caller frees); reports may be NULL.
 * Fails with the input's name and sizes, or with the place of a check, assert or index that does not hold. */
bool program_run(Program *p, const Tensor *inputs, Tensor *vars, const RunState *rs, Tensor *outputs, Tensor *reports, Status *st);

/* All that a pass with these inputs does before its first kernel, and no more; without anything to do for the reference backend. */
bool program_ready(Program *p, const Tensor *inputs, Tensor *vars, Status *st);

/* The native program of g as text, appended: stage "fused" (kernels, nodes, buffers), "llvm" or "asm". */
bool program_dump(const Model *m, Graph *g, const ExecOptions *o, const char *stage, Text *out, Status *st);

/* What a pass of the native program of g takes for these inputs (their shapes; data only where an input is a whole number), without compiling or running it. Bytes.
 * live: what is alive in the kernel where most is, largest first. program_memory_free frees what hangs in it, also after a failure. */
typedef struct { const char *what, *type, *place; int64_t bytes; } MemoryItem;         /* "conv", "f32[2, 64, 256, 256]", "dcgan.graph:19, in ..." */
typedef struct {
    int64_t     arena, bound, kept, variables, fresh, inputs, results;          /* bound: no arrangement of the arena takes less; kept: packed weights and the like, from pass to pass; fresh: new values of variables */
    uint32_t    kernel, kernels;   /* the one of the peak, of how many */
    const char *at;                /* what that kernel is, and its place */
    Vec(MemoryItem) live;
    Arena       text;
} MemoryReport;
bool program_memory(const Model *m, const Graph *g, const ExecOptions *o, const Tensor *inputs, MemoryReport *out, Status *st);
void program_memory_free(MemoryReport *r);

/* Appended: which ops became one kernel, which did not, and why (../compiler/explain.c); sizes as formulas, or numbers when inputs are given. */
bool program_explain(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, const Tensor *vars, bool json, Text *out, Status *st);

/* Kernels are measured from now on; trace: each launch on each thread is kept too. Native programs only: for others nothing is appended below. */
void program_measure(Program *p, bool trace);
/* Appended: what the passes since then took by kernel, dearest first, beside what the machine can do (peak.h). */
typedef struct { double peak_gflops, copy_gbs[13]; } MachineRates;
void program_profile(const Program *p, const MachineRates *rates, Text *out);
/* Appended: their course as JSON for chrome://tracing. */
void program_trace(const Program *p, Text *out);

/* Of the sizes of the last pass; all 0 with the reference backend. tuned: contractions with block sizes from the database of `pastiche tune`. compiled: different kernels that neither this process nor the cache on disk had. flops: of convolutions and matrix products as the text says them, 2 a multiply-add. */
typedef struct { double flops; int64_t arena; uint32_t kernels, compiled, tuned; } ProgramFacts;
ProgramFacts program_facts(const Program *p);

/* The interpreter by itself: values of all nodes wanted, for tests. want[i] refs; results are f64. */
bool interpret(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t nwant, Tensor *results, Status *st);
/* Binds the symbols of g's inputs to the sizes of actual tensors and checks g->checks. MAX_BINDS is always enough. */
enum { MAX_BINDS = 256 };
bool bind_sizes(const Graph *g, const Tensor *inputs, DimBind *binds, uint32_t *n, uint32_t max, Status *st);
/* Also binds symbols that only the shapes of variables (lets) hold. Call it between bind_inputs and check_sizes, or use bind_sizes when there are none. */
bool bind_inputs(const Graph *g, const Tensor *inputs, DimBind *binds, uint32_t *n, uint32_t max, Status *st);
bool bind_vars(const Graph *g, const Tensor *vars, DimBind *binds, uint32_t *n, uint32_t max, Status *st);
bool check_sizes(const Graph *g, const DimBind *binds, uint32_t n, Status *st);

/* The whole graph on the reference backend (program_ref.c): as program_run. nan_checks: fail with the place of the first number that is not finite
 * when an output, a report or a written variable holds one. */
bool reference_run(const Graph *g, const Tensor *inputs, Tensor *vars, const RunState *rs, bool nan_checks, Tensor *outputs, Tensor *reports, Status *st);

#endif
