/* bisect.h - where the first wrong number of a step or an export comes from: which pass, which node, which line.
 *
 *   gradients   of each minimize, along one direction, against differences of the loss in float64
 *   simplify    the simplified graph against the graph as written, both interpreted in float64
 *   kernels     each kernel's results against the interpreter on what that kernel read: one kernel's error does not hide behind another's
 *   threads     the same bits on one thread and on as many as asked, and with memory used twice
 * When one fails, it is done again without each pass of passes.def, to name the pass without which the result holds.
 */
#ifndef PASTICHE_BISECT_H
#define PASTICHE_BISECT_H

#include "program.h"
#include "session.h"

typedef struct {
    Session  *s;                   /* prepared; the native backend */
    Graph    *g;                   /* one of its graphs */
    const Tensor *inputs;
    RunState  rs;
    void    (*simplify)(Graph *g, Passes off);     /* tests: another simplifier; NULL: the real one */
    KernelWatch *spoil; void *spoil_ctx;           /* tests: called after each kernel, before its results are looked at; NULL: nobody */
} BisectJob;

typedef struct {
    bool        found;
    const char *stage;             /* as above */
    const char *pass;              /* a row of passes.def without which it holds; NULL: none alone */
    char        kernel[64];        /* empty before kernels */
    char        node[300];         /* "conv : f32[2, 8, 5, 5]" */
    char        place[300];        /* "dcgan.graph:19, in ..."; empty when unknown */
    char        what[400];         /* expected and got, error and tolerance */
    uint32_t    checked;           /* kernels whose results were looked at */
} Finding;

/* Lines of progress are appended to out. false: something could not be run at all. */
bool bisect(const BisectJob *job, Finding *f, Text *out, Status *st);

/* bisect_kernel.c: the results of one kernel against the interpreter on what it read. An Observer lives as long as one pass, in which no memory is used twice. */
typedef struct Observer Observer;
struct Observer {
    const BisectJob *job;
    const Tensor *vars;            /* as they were when the pass began */
    uint32_t  *made;               /* by node: the buffer that holds its value first; NONE: none yet */
    uint64_t  *bits; uint32_t nbits;       /* a hash a result, in order of execution */
    const Observer *same;          /* whose bits they should be; NULL: nobody's */
    const char *stage;             /* what it is called when they are not */
    bool       compare;            /* against the interpreter; else hashes only */
    uint32_t   checked;
    Finding   *f;
    Status    *st;
};
void observe(void *observer, const KernelRun *run);        /* a KernelWatch */

void finding_at(Finding *f, const Graph *g, Ref r, const char *stage);  /* fills node and place */
void finding_off(Finding *f, const Tensor *want, const Tensor *got, int64_t at, double error, double tolerance);    /* fills what */

#endif
