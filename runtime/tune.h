/* tune.h - searching block sizes of a program's contractions: pastiche tune. */
#ifndef PASTICHE_TUNE_H
#define PASTICHE_TUNE_H

#include "../compiler/tune_db.h"
#include "exec.h"

/* A contraction of the program, or several with one key. us: a pass, packing and adding of partial sums included. */
typedef struct {
    char    *key, *places;
    uint32_t kernels;
    int      estimated[KNOBS], best[KNOBS];        /* best[k] 0: as estimated */
    double   estimated_us, best_us;
    uint32_t tried, refused;                       /* refused: another result than the estimate's, or than the interpreter's */
    bool     finished;                             /* no candidate was left when time was up */
} TuneSpot;
typedef struct { Vec(TuneSpot) spots; uint32_t rounds; double before_us, after_us; } TuneReport;   /* before, after: of all spots, measured in turn at the end */

/* Tries for so many seconds, one round at least. vars: the program's variables, only read. false: a message; the report is empty then. */
bool tune_program(const Model *m, Graph *g, const ExecOptions *o, const Tensor *inputs, const Tensor *vars, double seconds, TuneReport *report, Status *st);
void tune_report_free(TuneReport *r);

#endif
