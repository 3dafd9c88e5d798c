/* files.h - whole files in and out: reading with a cap, and writing so that a reader sees the old file or the new one, never a half.
 * Writing: a temporary file in the same folder, fsync, rename, fsync of the folder. Every failure names the path.
 */
#ifndef PASTICHE_FILES_H
#define PASTICHE_FILES_H

#include "../compiler/base.h"

/* Opens a regular file for reading and gives its size; -1 on failure (a folder, a pipe and a device are refused). */
int  file_open(const char *path, uint64_t *size, Status *st);
bool file_pread(int fd, const char *path, void *to, size_t n, uint64_t offset, Status *st);   /* exactly n bytes */

/* The whole file, at most `cap` bytes; *bytes is the caller's to free and has a zero byte after the last. */
bool file_read(const char *path, size_t cap, uint8_t **bytes, size_t *n, Status *st);

/* A file being written. Nothing is seen under `path` before file_commit; file_abandon (or a failure) leaves what was there. */
typedef struct { int fd; char *path, *temp; uint64_t written; } FileWriter;
bool file_begin(FileWriter *w, const char *path, Status *st);      /* makes missing folders */
bool file_put(FileWriter *w, const void *bytes, size_t n, Status *st);   /* on failure the file is abandoned */
bool file_commit(FileWriter *w, Status *st);
void file_abandon(FileWriter *w);                                  /* fine after a failure or a commit */
bool file_write(const char *path, const void *bytes, size_t n, Status *st);

bool dirs_make(const char *path, Status *st);                      /* the folder and its parents */
bool dirs_make_parent(const char *path, Status *st);               /* the folders above a file */

char *path_join(const char *dir, const char *name);                /* malloc; name alone when it is absolute or dir is NULL or "" */
char *path_folder(const char *path);                               /* malloc; "." when there is none */
const char *path_base(const char *path);                           /* after the last '/' */
bool  path_has_ext(const char *path, const char *ext);             /* ext without the dot, any case */
bool  path_is_folder(const char *path);
bool  path_is_file(const char *path);
bool  path_is_picture(const char *path);                           /* .png, .jpg or .jpeg; not hidden */

/* The wanted files of a folder and the folders in it, hidden ones left out, as paths relative to it, sorted by bytes. Links are followed, but not to a folder that is being walked. */
typedef Vec(char *) FileNames;
bool files_below(const char *folder, bool (*wanted)(const char *name), FileNames *out, Status *st);
void files_free(FileNames *names);

#endif
