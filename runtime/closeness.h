/* closeness.h - what the float64 interpreter expects of float32: values, and how far rounding may move them. Tests and bisect measure native results by it.
 *
 * The interpreter runs once as it is and a few times with every number off by about a unit of f32's last place (of what was summed, for sums and
 * contractions), at random. How far the results move is what f32 can be expected to do on these inputs, whatever order a kernel computes in.
 * An edge is a decision (a comparison, a whole number, the place of a maximum) that such noise may turn: beyond it results may differ altogether.
 */
#ifndef PASTICHE_CLOSENESS_H
#define PASTICHE_CLOSENESS_H

#include "exec.h"

enum { NEAR_RUNS = 2 };

typedef struct {
    uint32_t n;
    Tensor  *values;               /* f64, as interpret() */
    Tensor  *near[NEAR_RUNS];      /* the same under noise */
    double  *tolerance;            /* by value, in units of distance() */
    Ref      edge;                 /* the first node with a decision that hangs on rounding; 0: none */
} Expected;

/* On success the caller frees e with expected_free. find_edges: fill in edge (which keeps the operands of all decisions). dice: another number, other noise. */
bool expect_values(const Graph *g, const Tensor *inputs, const Tensor *vars, const RunState *rs, const Ref *want, uint32_t n, bool find_edges, uint32_t dice,
                   Expected *e, Status *st);
void expected_free(Expected *e);

/* The largest |got - want| of an element, in units of |want| + a tenth of the largest |want|; infinite when one alone is not a number. at: where, may be NULL. */
double distance(const Tensor *want, const Tensor *got, int64_t *at);
/* The same, where each element may be near any of the interpretations, for values that hang on decisions: best[k], the least of element k so far, is lowered. */
double distance_to_any(const Expected *e, uint32_t i, const Tensor *got, double *best, int64_t *at);
double distance_unit(const Tensor *want, int64_t at);       /* what 1 is at an element */

#endif
