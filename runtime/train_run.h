/* train_run.h - what the files of a train block's interpreter share: train.c (a run from start to end), train_block.c (its statements), train_log.c (losses.csv),
 * train_checkpoint.c (keeping and going on). */
#ifndef PASTICHE_TRAIN_RUN_H
#define PASTICHE_TRAIN_RUN_H

#include "progress.h"
#include "train.h"

typedef struct { const Graph *graph; Program *program; } Compiled;
typedef struct { const Graph *graph; Tensor value; } Constant;

typedef struct {
    Session    *s;
    const Train *train;
    const TrainOptions *o;
    Status     *st;
    Vec(Compiled) programs;
    Tensor     *slots;
    uint64_t    pass, total, epoch_steps, graph_runs, runs_a_pass;    /* pass, total: of this stage */
    uint64_t    before;            /* passes of the stages before this one */
    int64_t     batch;             /* of the data it runs over, for `every N images` */
    Progress   *progress;
    FILE       *log;
    Vec(const char *) columns;     /* of the log: every report of the steps it calls */
    double     *values; bool *fresh;
    char       *out;
    char       *checkpoint_name;   /* as the file says: "ck/dcgan" */
    char       *checkpoints;       /* where checkpoints go: that under `out` */
    int64_t     keep;
    uint64_t    saved_at;          /* pass of the newest checkpoint */
    char       *checkpoint_path;
    double      started;           /* seconds on the clock, for the limit on time */
    double      paced_from;        /* of this stage: since when speed is measured, 0: not yet; and from which pass on */
    uint64_t    paced_pass, asked; /* asked: total without the limit */
    int64_t     stage;
    int64_t    *told;              /* by data set: how many unreadable items were named */
    const TrainStmt *keeping;      /* keep_best, in a pass that came to it */
    double      best;              /* what it keeps now, NAN: nothing yet */
    Vec(Constant) constants;       /* features that are the same each time */
    bool        told_few;          /* that a set is small for its features */
    char        label[128];        /* for the progress bar: "main", "grow lod=3" */
} Run;

/* ---- statements: one pass through a block ---- */
/* *save: it came to checkpoint. */
bool train_run_block(Run *r, const TrainStmt *b, uint32_t n, bool *save);

/* Graph runs a pass, at most: each has random numbers of its own. */
uint64_t train_count_runs(const TrainStmt *b, uint32_t n);

/* ---- the log ---- */
void train_collect_columns(Run *r, const TrainStmt *b, uint32_t n);
void train_note_report(Run *r, const char *name, double v);
bool train_open_log(Run *r);
void train_log_pass(Run *r);
bool train_flush_log(Run *r);
void train_say(Run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));     /* a line of its own beside the progress */

/* ---- checkpoints ---- */
bool train_save_checkpoint(Run *r);
bool train_keep_if_best(Run *r);
bool train_load_checkpoint(Run *r);
/* To be freed. */
char *train_resume_place(const Run *r);
char *train_run_folder(const Run *r);

#endif
