/* program.c - a Graph made ready to run: the choice of backend. */
#include "exec.h"

#include <stdlib.h>

bool reference_run(const Graph *g, const Tensor *inputs, Tensor *vars, const RunState *rs, bool nan_checks, Tensor *outputs, Tensor *reports, Status *st);

struct Program { Graph *g; const Model *m; };

Program *program_new(const Model *m, Graph *g, const ExecOptions *o, Status *st)
{
    if (o->backend != BACKEND_REFERENCE) {
        status_fail(st, "the native backend is not part of this build: use --backend reference");
        return NULL;
    }
    Program *p = xmalloc(sizeof *p);
    p->g = g;
    p->m = m;
    return p;
}

void program_free(Program *p)
{
    free(p);
}

bool program_run(Program *p, const Tensor *inputs, Tensor *vars, const RunState *rs, Tensor *outputs, Tensor *reports, Status *st)
{
    return reference_run(p->g, inputs, vars, rs, rs->check_finite, outputs, reports, st);
}

bool program_dump(const Model *m, Graph *g, const ExecOptions *o, const char *stage, Text *out, Status *st)
{
    (void)m, (void)g, (void)o, (void)stage, (void)out;
    return status_fail(st, "the native backend is not part of this build");
}
