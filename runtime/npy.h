/* npy.h - NumPy's .npy files, versions 1 and 2: one array each, little-endian, C order.
 *
 *   file    f4   f8   i4   i8 u1     bool
 *   tensor  f32  f64  i32  i32       bool      (an i8 value past 32 bits is refused)
 * Fortran order, big-endian and structured types are refused by name. Written: f4.
 */
#ifndef PASTICHE_NPY_H
#define PASTICHE_NPY_H

#include "tensor.h"

typedef enum { NPY_F4, NPY_F8, NPY_I4, NPY_I8, NPY_U1, NPY_BOOL } NpyType;

typedef struct {                   /* what a header says, checked against the file's size */
    NpyType  type;
    int      rank;
    int64_t  shape[MAX_RANK], count;
    uint64_t offset;               /* of the first element */
} NpyInfo;

bool   npy_header(const uint8_t *bytes, size_t n, uint64_t file_size, const char *name, NpyInfo *info, Status *st);   /* bytes: the first n of the file */
size_t npy_size(NpyType t);        /* bytes an element */
Dtype  npy_dtype(NpyType t);       /* of the tensor it is read into */
/* n elements as they stand in a file -> elements of npy_dtype(type); false when an integer does not fit. */
bool   npy_convert(NpyType type, const void *from, size_t n, void *to);

/* A file opened for reading parts of it: a data set larger than memory. */
typedef struct { int fd; char *path; NpyInfo info; } NpyFile;
bool npy_open(NpyFile *f, const char *path, Status *st);
bool npy_read_range(const NpyFile *f, int64_t first, int64_t count, void *to, Status *st);   /* elements [first, first + count), converted */
void npy_close(NpyFile *f);

bool npy_read(const char *path, Tensor *t, Status *st);                                      /* all of it; t is new */
bool npy_parse(const uint8_t *bytes, size_t n, const char *name, Tensor *t, Status *st);     /* the same from memory */
bool npy_write(const char *path, const Tensor *t, Status *st);                               /* as f4, atomically */

#endif
