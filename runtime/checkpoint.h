/* checkpoint.h - a training run's whole state in a folder of files, so that an interrupted run continues bit for bit.
 *
 *   DIR/step-00001000.safetensors     every variable under its path (f32; f64 with the reference backend), and as metadata:
 *     format, train, stage, seed, step, epoch, model (hash of the graph's text), data.NAME = "epoch index", checksum
 *
 * The random counters are (seed, step), so they need no more. Files are written atomically and the newest `keep` stay. Loading takes the newest file
 * that is whole, says which were refused and why, and changes nothing unless all of a file is good. The checksum covers metadata, names, shapes and data:
 * it finds a disk's mistakes, not a forger's.
 */
#ifndef PASTICHE_CHECKPOINT_H
#define PASTICHE_CHECKPOINT_H

#include "safetensors.h"

typedef struct { uint64_t epoch, index; } DataPos;         /* batches drawn: `index` of epoch `epoch` */

enum { CHECKPOINT_MAX_DATAS = 16, CHECKPOINT_NAME = 64 };

typedef struct {
    char     train[CHECKPOINT_NAME];                       /* the train block's name */
    int64_t  stage;                                        /* its stage, 0 when it has none */
    uint64_t seed, step, stage_step;                       /* passes through the block done in all, and in this stage */
    double   epoch, best;                                  /* best: what keep_best compares with, NaN when there is none */
    uint64_t model;                                        /* checkpoint_hash of the graph files' text */
    struct { char name[CHECKPOINT_NAME]; DataPos pos; } datas[CHECKPOINT_MAX_DATAS];
    uint32_t ndatas;
} CheckpointInfo;

/* Notes a data set's position, or finds one (NULL: none of that name). A name too long or one too many is an error. */
bool           checkpoint_note_data(CheckpointInfo *c, const char *name, DataPos pos, Status *st);
const DataPos *checkpoint_data(const CheckpointInfo *c, const char *name);

/* Writes DIR/step-XXXXXXXX.safetensors and removes all but the newest `keep` such files of this step and before (0: all stay). path: receives the name (malloc), may be NULL. */
bool checkpoint_save(const char *dir, int64_t keep, const CheckpointInfo *c, const SafeItem *items, uint32_t n, char **path, Status *st);
/* The same to one named file. */
bool checkpoint_write(const char *path, const CheckpointInfo *c, const SafeItem *items, uint32_t n, Status *st);

/* The newest step of the checkpoints in a folder, whole or not; -1 when it has none or is not there. */
int64_t checkpoint_newest(const char *dir);
/* Removes all checkpoints of a folder (other files stay). */
bool checkpoint_clear(const char *dir, Status *st);

/* Reads info only, and checks the checksum. */
bool checkpoint_read_info(const char *path, CheckpointInfo *c, Status *st);
/* Fills c and all items' tensors; shapes and names must agree exactly. */
bool checkpoint_read(const char *path, CheckpointInfo *c, const SafeItem *items, uint32_t n, Status *st);
/* `where` is a folder of checkpoints or one file. Picks the newest whole one: *path (malloc), its info. refused (may be NULL) receives a line for every newer file that was not. */
bool checkpoint_find(const char *where, char **path, CheckpointInfo *c, Text *refused, Status *st);
/* checkpoint_find and checkpoint_read in one, going on to an older file also when the tensors do not fit. */
bool checkpoint_load(const char *where, CheckpointInfo *c, const SafeItem *items, uint32_t n, char **path, Text *refused, Status *st);

#endif
