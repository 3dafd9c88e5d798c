/* code_cache.h - the machine code of kernels by their descriptors: each different kernel is compiled once a process, and once a machine as far as the disk remembers.
 *
 *   descriptor --code_find: this process has it--> Code;  --codes_fetch: the object cache has it--> Code;  else it is compiled and --code_keep--> both
 *
 * Two kernels are equal when their descriptors are (fuse_compile.c writes them). Beside the code stands what emission decided: the order of arguments, which buffer
 * stands where, tasks and work. Sizes are kept as text, because their numbers belong to a model's own table. Code lives until the process ends.
 */
#ifndef PASTICHE_CODE_CACHE_H
#define PASTICHE_CODE_CACHE_H

#include "native.h"

typedef struct {
    char    *text;                 /* the descriptor */
    KernelFn fn;
    Vec(char *) args;
    Vec(int) role;
    char    *tasks, *flops;
} Code;

typedef struct CodeCache CodeCache;
/* The process's for that target. on_disk: with the user's object cache (object_cache.h), or without any. */
CodeCache *code_cache(const Target *t, bool on_disk);

/* All below between these. */
void code_lock(CodeCache *c);
void code_unlock(CodeCache *c);
Jit *code_jit(CodeCache *c, Status *st);                           /* made when first asked for: a process that compiles nothing has none */
const Code *code_find(const CodeCache *c, const char *text);       /* NULL: neither compiled nor fetched yet; good until the lock is given up or another is kept */
/* Fetches from disk what it has of n descriptors, none of which is here yet. */
void codes_fetch(CodeCache *c, const char *const *texts, uint32_t n);
/* Takes what `code` holds. image: its machine code, NULL if it cannot leave the process. */
void code_keep(CodeCache *c, Code code, const uint8_t *image, uint32_t size);
void codes_kept(CodeCache *c);                                     /* after some code_keep: holds the disk to its cap */

#endif
