/* passes.h - switching parts of the pipeline off: --passes=-fuse,-layout. The rows of passes.def, as bits of a set. */
#ifndef PASTICHE_PASSES_H
#define PASTICHE_PASSES_H

#include "base.h"

typedef enum {
#define PASS(name, group, text) PASS_##name,
#include "passes.def"
#undef PASS
    PASS_COUNT
} PassName;

typedef uint32_t Passes;           /* the passes that are off, a bit each; 0: all are on */

static inline bool   pass_on(Passes off, PassName p) { return !(off >> p & 1); }
static inline Passes pass_bit(PassName p)            { return (Passes)1 << p; }
const char *pass_name(PassName p);

/* "-fuse,-layout", from left to right: -NAME switches off, +NAME or NAME on again; names are passes, or the groups simplify, kernels and all. false: an unknown name,
 * *off as it was, and a message that lists the known ones. */
bool passes_parse(const char *text, Passes *off, Status *st);
void passes_print(Passes off, Text *out);          /* "-fuse,-layout"; nothing when all are on */
void passes_manual(Text *out);                     /* a line each: what `pastiche passes` prints */

#endif
