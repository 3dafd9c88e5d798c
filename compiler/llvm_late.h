/* llvm_late.h - LLVM as a library that is loaded when it is needed (llvm_late.c). */
#ifndef PASTICHE_LLVM_LATE_H
#define PASTICHE_LLVM_LATE_H

#include "base.h"

bool llvm_load(Status *st);            /* before any other function of LLVM; cheap when it is done already */
void llvm_identity(Text *out);         /* which library that is or would be, without loading it: its path, size and time */

#endif
