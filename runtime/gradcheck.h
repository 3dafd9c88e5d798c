/* gradcheck.h - runs the test blocks of a session's file (opened with tests set); compares a gradient with differences. */
#ifndef PASTICHE_GRADCHECK_H
#define PASTICHE_GRADCHECK_H

#include "session.h"

/* A line a check in out; true when all passed. An assert counts as one, a gradcheck as one. */
bool run_tests(Session *s, uint32_t *passed, uint32_t *failed, Text *out);

/* The derivative of a minimize's loss along one direction over all its parameters, at s->vars, and what differences of the loss make of it. */
bool gradient_holds(Session *s, const Graph *g, const Minimized *m, const Tensor *inputs, const RunState *rs, double *along, double *differences, bool *holds, Status *st);

#endif
