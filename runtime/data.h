/* data.h - training data: `data NAME = source(args)` made into batches.
 *
 * Batch i of epoch e is a pure function of (seed, e, i) and the files: order, crops and flips are drawn from Philox at the item's place, never from a running state.
 * So a position is two numbers, a run resumes bit for bit, and loading in the background changes nothing. Partial batches are dropped.
 * An item that cannot be read is replaced by the next good one of the order, counted and named; `strict` makes it an error.
 *
 * A source's arguments stand in one table (data_args.c) that the checker, the messages and the manual share.
 */
#ifndef PASTICHE_DATA_H
#define PASTICHE_DATA_H

#include "checkpoint.h"
#include "exec.h"

/* The DescribeData of model.h: checks source and arguments, fills batch, fields, lo, hi. Paths are not looked at, but for `npy` without `shape:`. */
bool describe_data(Data *data, DimTable *dims, Diags *d);
void data_print_sources(Text *out);        /* the manual of all sources and their arguments */

typedef struct {
    bool   foreground;                     /* no loading thread: the same batches, later */
    bool   strict;                         /* an item that cannot be read stops the run */
    size_t cache;                          /* bytes of decoded pictures kept; 0: 1 GiB or a quarter of the memory, whichever is less */
} DataOptions;

typedef struct DataSet DataSet;

/* d: described, outlives the set. graph_dir: the folder of the graph file, where relative paths are looked for first, then the current one. override: the PATH of
 * --data NAME=PATH, or NULL; it replaces the source's own path and may be another kind of source with the same fields (a folder for `scenes` has photo/ and comic/). */
DataSet *data_open(const Data *d, const char *graph_dir, const char *override, uint64_t seed, const DataOptions *o, Status *st);
void     data_close(DataSet *s);           /* NULL is fine */

int64_t  data_items(const DataSet *s);
int64_t  data_steps(const DataSet *s);     /* batches an epoch */

/* The next batch: an array of as many tensors as d has fields, each [batch, ...]; the set's own, good until the next call of data_next or data_seek. NULL on failure. */
const Tensor *data_next(DataSet *s, Status *st);
/* The batch that data_next gave last; after data_seek it is read again, so that a resumed run sees what the first one saw. */
const Tensor *data_last(DataSet *s, Status *st);
/* The first k items in the order of the files, without random augmentation (crops are central). fields: as many empty tensors as d has fields, filled; the caller's. */
bool     data_first_items(DataSet *s, int64_t k, Tensor *fields, Status *st);

DataPos  data_position(const DataSet *s);  /* of the batch that data_next will give */
bool     data_seek(DataSet *s, DataPos pos, Status *st);

/* Items found unreadable so far, and what was wrong with the i-th (good until data_close). */
int64_t     data_bad(DataSet *s);
const char *data_bad_message(DataSet *s, int64_t i);

int64_t     data_classes(const DataSet *s);              /* of a labelled source, else 0 */
const char *data_class_name(const DataSet *s, int64_t i);

#endif
