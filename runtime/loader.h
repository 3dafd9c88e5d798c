/* loader.h - one background thread that does one job at a time: the next batch is read while the current one is trained on.
 * It holds no queue and decides nothing: what a job computes must not depend on when it runs.
 */
#ifndef PASTICHE_LOADER_H
#define PASTICHE_LOADER_H

#include "../compiler/base.h"

typedef struct Loader Loader;

Loader *loader_new(bool (*job)(void *ctx, Status *st), void *ctx, Status *st);   /* starts the thread; NULL on failure */
void    loader_start(Loader *l);                     /* runs the job once; a job under way is waited for first, its result dropped */
bool    loader_wait(Loader *l, Status *st);          /* waits for the job; its result, or true when nothing was started since the last wait */
void    loader_free(Loader *l);                      /* waits, then ends the thread; NULL is fine */

#endif
