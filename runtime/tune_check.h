/* tune_check.h - is a contraction with other block sizes still right? */
#ifndef PASTICHE_TUNE_CHECK_H
#define PASTICHE_TUNE_CHECK_H

#include "exec.h"
#include "../compiler/native.h"

/* A small problem like that of plan (few images, rows and channels, its own attributes and widths), with these block sizes: true when the result is that of the
 * estimated sizes bit for bit, and the interpreter's within rounding; false also when no small problem takes the same way. */
bool tune_check(const ContractPlan *plan, const int *want, const ExecOptions *o);

#endif
