/* debug_code.h - kernels that gdb and perf know by name and by the lines of graph files: with --debug-kernels or PASTICHE_DEBUG_KERNELS=1, and then only.
 *
 *   emission:  debug_begin .. debug_place before the instructions of a node .. debug_end     DWARF: a function a kernel, lines of the user's text
 *   linked:    debug_register                                                                 gdb's list of code made at run time; /tmp/perf-PID.map
 *
 * Code is what it is without, but each kernel is compiled for its own place and none is kept on disk.
 */
#ifndef PASTICHE_DEBUG_CODE_H
#define PASTICHE_DEBUG_CODE_H

#include "native.h"

bool debug_wanted(void);                                   /* by the environment */
void debug_begin(Emit *e, const char *symbol);             /* nothing unless e->kernel->graph is there, as all below */
void debug_place(Emit *e, Ref r);                          /* instructions from now on are r's */
void debug_end(Emit *e);
/* k->fn runs the code of `object`, an ELF file as LLVM made it. Serialised. Lives until the process ends. */
void debug_register(const Kernel *k, const char *symbol, const void *object, size_t size);

#endif
