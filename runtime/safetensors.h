/* safetensors.h - named tensors in a file: weights, checkpoints, fixtures.
 *
 *   [u64 header length][JSON header][data]     header: { "__metadata__": {key: text}, name: {"dtype", "shape", "data_offsets": [begin, end]} }
 *
 * Reading refuses: a header past SAFE_MAX_HEADER, a duplicate name or key, an unknown key or dtype, sizes that overflow or disagree with shape and dtype,
 * holes, overlaps, and data that do not end where the file ends. Nothing of data size is allocated before all of that has been checked.
 * Writing is deterministic (wider elements first, then by name, as the reference writer does, so data are aligned) and atomic.
 */
#ifndef PASTICHE_SAFETENSORS_H
#define PASTICHE_SAFETENSORS_H

#include "tensor.h"

enum { SAFE_MAX_HEADER = 16 << 20, SAFE_MAX_TENSORS = 1 << 16 };

typedef enum { SAFE_F64, SAFE_F32, SAFE_F16, SAFE_BF16, SAFE_I64, SAFE_I32, SAFE_I16, SAFE_I8, SAFE_U8, SAFE_BOOL } SafeType;

typedef struct {
    const char *name;
    SafeType    type;
    int         rank;
    int64_t     shape[MAX_RANK], count;
    uint64_t    begin, end;        /* bytes from the start of the data */
} SafeTensor;
typedef struct { const char *key, *value; } SafeMeta;

typedef struct {                   /* an open file; read the fields, change nothing */
    const char    *path;
    SafeTensor    *tensors; uint32_t n;        /* sorted by name */
    SafeMeta      *meta; uint32_t nmeta;       /* sorted by key */
    int            fd;                         /* -1: in memory */
    const uint8_t *bytes;
    uint64_t       data;                       /* where the data start */
    Arena          arena;
} SafeFile;

SafeFile *safe_open(const char *path, Status *st);                                     /* NULL on failure */
SafeFile *safe_parse(const uint8_t *bytes, size_t n, const char *name, Status *st);    /* bytes must outlive it */
void      safe_close(SafeFile *f);                                                     /* NULL is fine */
const SafeTensor *safe_find(const SafeFile *f, const char *name);                      /* NULL: none */
const char *safe_meta(const SafeFile *f, const char *key);                             /* NULL: none */

Dtype safe_dtype(SafeType t);      /* of the tensor it is read into: F64 -> f64; F32, F16, BF16 -> f32; integers -> i32; BOOL -> bool */
const char *safe_type_name(SafeType t);
size_t safe_type_size(SafeType t);
/* A new tensor of that dtype. An integer past 32 bits is refused. */
bool safe_read(const SafeFile *f, const SafeTensor *t, Tensor *to, Status *st);

/* ---- many at once ---- */
typedef struct { const char *name; Tensor *tensor; } SafeItem;

/* Fills items' tensors (allocated, of the shapes wanted; elements are converted to their dtype). A name is looked for as it is, then without the prefix `strip`
 * (may be NULL): "G.head.weight" is found in a file that says "head.weight". Missing and misshapen tensors, and with `exact` also tensors of the file that nobody asked for,
 * are listed by name in `st`, and in full in `list` (may be NULL), one a line; then nothing is changed. */
bool safe_load(const SafeFile *f, const SafeItem *items, uint32_t n, const char *strip, bool exact, Text *list, Status *st);

/* Items and metadata in any order; equal names are refused. half: f32 tensors are written as F16, rounded to the nearest of 11 significant bits; what is too large (65520) is refused. */
bool safe_write(const char *path, const SafeItem *items, uint32_t n, const SafeMeta *meta, uint32_t nmeta, bool half, Status *st);

#endif
