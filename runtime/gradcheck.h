/* gradcheck.h - runs the test blocks of a session's file (opened with tests set). */
#ifndef PASTICHE_GRADCHECK_H
#define PASTICHE_GRADCHECK_H

#include "session.h"

/* A line a check in out; true when all passed. An assert counts as one, a gradcheck as one. */
bool run_tests(Session *s, uint32_t *passed, uint32_t *failed, Text *out);

#endif
