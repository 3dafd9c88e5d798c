/* program_explain.c - why the kernels of a graph's native program are as they are (../compiler/explain.c), at given sizes or as formulas: fused, never compiled. */
#include "program.h"

#include <omp.h>

bool program_explain(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, const Tensor *vars, bool json, Text *out, Status *st)
{
    Target   target;
    DimBind  binds[MAX_BINDS];
    uint32_t n = 0;
    Graph   *simple = native_target(o, &target, st) ? native_graph(m, g, o, inputs, &target, st) : NULL;
    Fusion  *f = simple ? fuse(simple, &target, st) : NULL;
    bool     ok = f && (!inputs || bind_inputs(simple, inputs, binds, &n, MAX_BINDS - 1, st)) && (!vars || bind_vars(simple, vars, binds, &n, MAX_BINDS - 1, st));
    if (ok && inputs)
        binds[n++] = (DimBind){ threads_dim(simple->dims), o->threads > 0 ? o->threads : omp_get_max_threads() };
    if (ok)
        fusion_explain(f, binds, n, json, out);
    fusion_free(f);
    graph_free(simple);
    return ok;
}
