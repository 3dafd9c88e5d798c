/* files.c - reading whole files with a cap, writing them atomically, and the little path arithmetic that goes with it.
 *
 * A rename is atomic but not durable: after a power cut the new name may point at nothing unless the data were synced before and
 * the folder after it. Both are done, since checkpoints exist for exactly that moment.
 */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(const char *path, uint64_t *size, Status *st)
{
    /* O_NONBLOCK: opening a pipe must not wait for its writer before fstat can refuse it. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        status_fail(st, "cannot open '%s': %s", path, strerror(errno));
        return -1;
    }
    struct stat s;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode)) {
        status_fail(st, "'%s' is %s, not a file", path, S_ISDIR(s.st_mode) ? "a folder" : "a pipe or a device");
        close(fd);
        return -1;
    }
    *size = (uint64_t)s.st_size;
    return fd;
}

bool file_pread(int fd, const char *path, void *to, size_t n, uint64_t offset, Status *st)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = pread(fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return status_fail(st, "cannot read '%s': %s", path, strerror(errno));
        if (k == 0)
            return status_fail(st, "'%s' ends early: %zu of %zu bytes at offset %llu", path, done, n, (unsigned long long)offset);
        done += (size_t)k;
    }
    return true;
}

bool file_read(const char *path, size_t cap, uint8_t **bytes, size_t *n, Status *st)
{
    uint64_t size;
    int      fd = file_open(path, &size, st);
    if (fd < 0)
        return false;
    uint8_t *p = NULL;
    if (size > cap)
        status_fail(st, "'%s' is too large: %llu bytes, at most %zu are read", path, (unsigned long long)size, cap);
    else if (!(p = malloc((size_t)size + 1)))
        status_fail(st, "out of memory for '%s' (%llu bytes)", path, (unsigned long long)size);
    else if (!file_pread(fd, path, p, (size_t)size, 0, st))
        free(p), p = NULL;
    close(fd);
    if (!p)
        return false;
    p[size] = 0;
    *bytes = p;
    *n = (size_t)size;
    return true;
}

bool dirs_make(const char *path, Status *st)
{
    char *p = xstrdup(path);
    bool  ok = true;
    for (char *s = p + 1; *p && ok; s++)
        if (*s == '/' || !*s) {
            char was = *s;
            *s = 0;
            if (mkdir(p, 0777) && (errno != EEXIST || !path_is_folder(p)))
                ok = status_fail(st, "cannot make folder '%s': %s", p, strerror(errno));
            *s = was;
            if (!was)
                break;
        }
    free(p);
    return ok;
}

bool dirs_make_parent(const char *path, Status *st)
{
    char *dir = path_folder(path);
    bool  ok = dirs_make(dir, st);
    free(dir);
    return ok;
}

bool file_begin(FileWriter *w, const char *path, Status *st)
{
    static atomic_uint serial;
    *w = (FileWriter){ .fd = -1 };
    if (!*path || path_is_folder(path))
        return status_fail(st, "cannot write '%s': it is a folder, not a file name", path);
    if (!dirs_make_parent(path, st))
        return false;
    char *dir = path_folder(path), name[64];
    /* Short and hidden: a name as long as the target's own could pass NAME_MAX. */
    snprintf(name, sizeof name, ".pastiche-%ld-%u.tmp", (long)getpid(), atomic_fetch_add(&serial, 1));
    w->temp = path_join(dir, name);
    w->path = xstrdup(path);
    free(dir);
    w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd < 0 && errno == EEXIST) {                /* left by a dead process that had this number */
        unlink(w->temp);
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (w->fd < 0) {
        status_fail(st, "cannot write '%s': %s", path, strerror(errno));
        file_abandon(w);
        return false;
    }
    return true;
}

bool file_put(FileWriter *w, const void *bytes, size_t n, Status *st)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(w->fd, (const char *)bytes + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            status_fail(st, "cannot write '%s': %s", w->path, strerror(errno));
            file_abandon(w);
            return false;
        }
        done += (size_t)k;
    }
    w->written += n;
    return true;
}

static bool sync_folder_of(const char *path)
{
    char *dir = path_folder(path);
    int   fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    /* Some file systems cannot sync a folder and say EINVAL; there the rename is all that can be had. */
    bool ok = fd >= 0 && (!fsync(fd) || errno == EINVAL || errno == ENOTSUP);
    if (fd >= 0)
        close(fd);
    return ok;
}

bool file_commit(FileWriter *w, Status *st)
{
    bool ok = !fsync(w->fd);
    int  why = errno;
    if (close(w->fd) && ok)
        ok = false, why = errno;
    w->fd = -1;
    if (ok && rename(w->temp, w->path))
        ok = false, why = errno;
    if (!ok) {
        status_fail(st, "cannot write '%s': %s", w->path, strerror(why));
        file_abandon(w);
        return false;
    }
    if (!sync_folder_of(w->path))
        ok = status_fail(st, "cannot sync the folder of '%s': %s", w->path, strerror(errno));
    free(w->temp);
    free(w->path);
    w->temp = w->path = NULL;
    return ok;
}

void file_abandon(FileWriter *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temp)
        unlink(w->temp);
    free(w->temp);
    free(w->path);
    *w = (FileWriter){ .fd = -1 };
}

bool file_write(const char *path, const void *bytes, size_t n, Status *st)
{
    FileWriter w;
    return file_begin(&w, path, st) && file_put(&w, bytes, n, st) && file_commit(&w, st);
}

char *path_join(const char *dir, const char *name)
{
    if (!dir || !*dir || *name == '/')
        return xstrdup(name);
    size_t nd = strlen(dir), nn = strlen(name);
    bool   slash = dir[nd - 1] != '/';
    char  *p = xmalloc(nd + slash + nn + 1);
    memcpy(p, dir, nd);
    if (slash)
        p[nd] = '/';
    memcpy(p + nd + slash, name, nn + 1);
    return p;
}

char *path_folder(const char *path)
{
    const char *cut = strrchr(path, '/');
    if (!cut)
        return xstrdup(".");
    size_t n = cut == path ? 1 : (size_t)(cut - path);
    char  *p = xmalloc(n + 1);
    memcpy(p, path, n);
    return p;
}

const char *path_base(const char *path)
{
    const char *cut = strrchr(path, '/');
    return cut ? cut + 1 : path;
}

bool path_has_ext(const char *path, const char *ext)
{
    const char *dot = strrchr(path_base(path), '.');
    return dot && !strcasecmp(dot + 1, ext);
}

bool path_is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

bool path_is_file(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode);
}

bool path_is_picture(const char *path)
{
    return path_base(path)[0] != '.' && (path_has_ext(path, "png") || path_has_ext(path, "jpg") || path_has_ext(path, "jpeg"));
}

/* ---- folders in folders ---- */

enum { MAX_DEPTH = 32 };
typedef struct { dev_t dev; ino_t ino; } FolderId;
typedef struct { const char *root; bool (*wanted)(const char *name); FileNames *out; FolderId above[MAX_DEPTH]; Status *st; } Walk;

static bool walk(Walk *w, const char *sub, int depth)
{
    char       *dir = path_join(w->root, sub);
    DIR        *d = opendir(*dir ? dir : ".");
    struct stat s;
    bool        ok = true;
    if (!d || stat(dir, &s))
        ok = status_fail(w->st, "cannot open folder '%s': %s", dir, strerror(errno));
    w->above[depth] = (FolderId){ ok ? s.st_dev : 0, ok ? s.st_ino : 0 };
    for (struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        char *rel = path_join(sub, e->d_name), *full = path_join(w->root, rel);
        bool  loop = false, there = stat(full, &s) == 0;   /* not: a link to nowhere */
        if (there && S_ISDIR(s.st_mode)) {
            for (int i = 0; i <= depth; i++)
                loop |= w->above[i].dev == s.st_dev && w->above[i].ino == s.st_ino;
            if (!loop && depth + 1 < MAX_DEPTH)
                ok = walk(w, rel, depth + 1);
        } else if (there && S_ISREG(s.st_mode) && w->wanted(e->d_name)) {
            vec_push(w->out, rel);
            rel = NULL;
        }
        free(rel);
        free(full);
    }
    if (d)
        closedir(d);
    free(dir);
    return ok;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool files_below(const char *folder, bool (*wanted)(const char *name), FileNames *out, Status *st)
{
    Walk w = { .root = folder, .wanted = wanted, .out = out, .st = st };
    bool ok = walk(&w, "", 0);
    if (out->n)                                            /* readdir's order and the locale must not be seen */
        qsort(out->at, out->n, sizeof *out->at, by_bytes);
    return ok;
}

void files_free(FileNames *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        free(names->at[i]);
    vec_free(names);
}
