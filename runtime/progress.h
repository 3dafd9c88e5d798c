/* progress.h - how a training run shows itself: on a terminal one bar that is drawn over, elsewhere plain lines now and then.
 *
 *   main  1240/5000  [======>             ]  24.8%  d_loss 1.302  g_loss 0.711  3.4 steps/s  18m 25s left
 * It writes only to the stream it is given. Times come from the monotonic clock; the rate is over the last half minute or so.
 */
#ifndef PASTICHE_PROGRESS_H
#define PASTICHE_PROGRESS_H

#include "../compiler/base.h"

typedef struct Progress Progress;

/* total: passes the run will have made at its end; done: already made (a resumed run). tty: -1 looks at the stream. */
Progress *progress_start(FILE *out, const char *name, uint64_t done, uint64_t total, int tty);
void progress_set_total(Progress *p, uint64_t total);
/* After each pass. names[i] = values[i] are shown in that order, NaN (nothing yet) is not. Draws at most ten times a second, or a line each 10 s where there is no terminal. */
void progress_step(Progress *p, uint64_t done, const char *const *names, const double *values, uint32_t n);
/* A line of its own above the bar: "wrote out/500.png". */
void progress_note(Progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Draws the last state, ends the bar's line and frees p. NULL is fine. */
void progress_finish(Progress *p);

/* The bar's text in at most `width` columns, for tests; seconds_left < 0: not known. */
void progress_format(Text *out, const char *name, uint64_t done, uint64_t total, const char *const *names, const double *values, uint32_t n, double rate, double seconds_left,
                     int width);
void format_duration(double seconds, char *to, size_t n);  /* "45s", "18m 05s", "3h 20m", "2d 4h" */

#endif
