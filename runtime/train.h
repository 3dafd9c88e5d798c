/* train.h - running a train block: passes of steps over data, schedules, reports, pictures, checkpoints, resuming.
 *
 * A run is a function of (file, settings, data, seed): pass p draws its random numbers from counters p*K .. p*K+K-1 (K: graph runs a pass can have), so neither
 * threads nor an interruption can be seen. What a checkpoint holds: every variable, the pass, data positions. SIGINT and SIGTERM end a run after the pass
 * under way: it is saved and the call succeeds with `stopped` set.
 */
#ifndef PASTICHE_TRAIN_H
#define PASTICHE_TRAIN_H

#include "session.h"

typedef struct {
    int64_t     steps;             /* total passes, 0: as the block says */
    double      seconds;           /* 0: no limit; else at most as many passes as fit, by their speed so far, so that schedules end with the run */
    const char *out;               /* folder that relative paths of the block stand in, and for the weights at the end; NULL: "." */
    const char *resume;            /* folder or file of checkpoints; NULL: start anew */
    bool        overwrite;         /* a fresh run into a folder that holds an earlier run's checkpoints removes them; otherwise it is refused */
    FILE       *progress;          /* where the bar and notes go; NULL: nowhere */
} TrainOptions;

typedef struct {
    uint64_t done, total;          /* passes */
    bool     stopped;              /* by a signal */
    char    *weights, *checkpoint; /* files written last (malloc), or NULL */
} TrainResult;

/* name NULL: the file's only train block. s may be changed to another elaboration of the same file (stages). */
bool train_run(Session *s, const char *name, const TrainOptions *o, TrainResult *r, Status *st);

#endif
