/* tune_db.h - block sizes that `pastiche tune` found faster than the estimates of contract*.c: a text file, a line a contraction.
 *
 *   conv 1x128x64x64 128x128x3x3 1,1,1,1,1,1,1,1,1 algo 1 avx512 5a0f.. | vectors 2 cols 14 chunk 8 | 812.0 us, estimated 930.4
 *
 * The key is the op, the sizes that are known when compiling (? where not), attributes, algorithm, instruction set, and a hash of the compiler's sources: what
 * another emitter found is not used. A line that cannot be read is ignored and told (tune_db_warning). Sizes from here change no bit of a result.
 */
#ifndef PASTICHE_TUNE_DB_H
#define PASTICHE_TUNE_DB_H

#include "native.h"

typedef struct TuneDb TuneDb;
TuneDb *tune_db_new(void);
void    tune_db_free(TuneDb *db);
void    tune_db_read(TuneDb *db, const char *text, const char *path);          /* adds lines; a later one replaces an earlier of its key */
void    tune_db_print(const TuneDb *db, Text *out);
void    tune_db_set(TuneDb *db, const char *key, const int *want, double us, double estimated_us);
const char *tune_db_warning(const TuneDb *db);                                 /* NULL: every line was read */

char *tune_key(const ContractPlan *p);                                         /* malloc */
/* Sizes for p from the database, if it has any that fit; p->tuned tells. */
void  tune_apply(const TuneDb *db, Graph *g, ContractPlan *p);

/* The user's: PASTICHE_TUNE (a file, or "off"), else $XDG_DATA_HOME/pastiche/tuned.txt, else ~/.local/share/pastiche/tuned.txt. Read once a process. */
char         *tune_db_path(void);                                              /* malloc; NULL: off, or there is no home */
const TuneDb *tune_db_default(void);                                           /* NULL: none */

#endif
