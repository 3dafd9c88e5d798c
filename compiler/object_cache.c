/* object_cache.c - the files of the cache (see object_cache.h).
 *
 *   FOLDER/0123456789abcdef.kernel      name: hash of the key
 *   Head { magic and version, checksum of all that follows it, lengths }  key  value
 *
 * Written to a file of another name and renamed, without locks: of two processes that make the same entry the later one wins, and both are right. Nothing is
 * synced: after a power cut an entry may be anything, which the checksum tells. Read with read(), not mapped: another process may truncate a file at any time.
 */
#define _GNU_SOURCE
#include "object_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct { char magic[8]; uint64_t checksum, key, value; } Head;
static const char MAGIC[8] = "pstk-1\n";
enum { SUMMED_FROM = 16, NAME_DIGITS = 16, DEFAULT_MIB = 256, USED_AGAIN = 3600, TEMP_AGE = 3600 };
static const char SUFFIX[] = ".kernel", TEMP[] = ".writing-";
static const uint64_t MAX_ENTRY = 1u << 28;

struct ObjectCache { char *folder; uint64_t cap; };

ObjectCache *object_cache_new(const char *folder, uint64_t cap)
{
    if (!cap)
        return NULL;
    ObjectCache *c = xmalloc(sizeof *c);
    *c = (ObjectCache){ xstrdup(folder), cap };
    return c;
}

/* Variables count for nothing in a process with more rights than who started it. */
static const char *environment(const char *name)
{
    const char *v = secure_getenv(name);
    return v && *v ? v : NULL;
}

static uint64_t cap_bytes(void)
{
    const char *text = environment("PASTICHE_CACHE_MIB");
    char       *end;
    uint64_t    mib = text ? strtoull(text, &end, 10) : DEFAULT_MIB;
    if (text && (*end || end == text || *text == '-' || mib > UINT64_MAX >> 20))
        mib = DEFAULT_MIB;
    return mib << 20;
}

ObjectCache *object_cache_default(void)
{
    const char  *own = environment("PASTICHE_CACHE"), *xdg = environment("XDG_CACHE_HOME"), *home = environment("HOME");
    Text         folder = { 0 };
    ObjectCache *c = NULL;
    if (own && strcmp(own, "off") == 0)
        return NULL;
    if (own)
        text_add(&folder, own);
    else if (xdg && *xdg == '/')           /* others are to be ignored, says the XDG specification */
        text_addf(&folder, "%s/pastiche", xdg);
    else if (home && *home == '/')
        text_addf(&folder, "%s/.cache/pastiche", home);
    if (folder.n)
        c = object_cache_new(folder.at, cap_bytes());
    text_free(&folder);
    return c;
}

void object_cache_free(ObjectCache *c)
{
    if (!c)
        return;
    free(c->folder);
    free(c);
}

/* ---- entries ---- */

static char *entry_path(const ObjectCache *c, const Text *key)
{
    Text t = { 0 };
    text_addf(&t, "%s/%016llx%s", c->folder, (unsigned long long)hash_bytes(key->at, key->n, 1), SUFFIX);
    return t.at;
}

static uint64_t checksum(const uint8_t *file, size_t n)
{
    return hash_bytes(file + SUMMED_FROM, n - SUMMED_FROM, 2);
}

/* The open file's bytes, if it is a file that only this user could have written. */
static uint8_t *read_own(int fd, size_t *n)
{
    struct stat s;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_uid != geteuid() || (s.st_mode & (S_IWGRP | S_IWOTH)))
        return NULL;
    if (s.st_size < (off_t)sizeof(Head) || (uint64_t)s.st_size > MAX_ENTRY)
        return NULL;
    uint8_t *file = malloc((size_t)s.st_size);
    size_t   done = 0;
    while (file && done < (size_t)s.st_size) {
        ssize_t k = read(fd, file + done, (size_t)s.st_size - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        done += (size_t)k;
    }
    if (done < (size_t)s.st_size) {
        free(file);
        return NULL;
    }
    if (time(NULL) - s.st_mtime > USED_AGAIN)
        futimens(fd, NULL);
    *n = done;
    return file;
}

static bool is_entry(const uint8_t *file, size_t n, const Text *key)
{
    Head h;
    memcpy(&h, file, sizeof h);
    return memcmp(h.magic, MAGIC, sizeof h.magic) == 0 && h.checksum == checksum(file, n) && h.key == key->n && h.key <= n - sizeof h && h.value == n - sizeof h - h.key &&
           memcmp(file + sizeof h, key->at, key->n) == 0;
}

bool object_cache_get(const ObjectCache *c, const Text *key, uint8_t **value, size_t *n)
{
    char    *path = entry_path(c, key);
    int      fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    size_t   size = 0;
    uint8_t *file = fd >= 0 ? read_own(fd, &size) : NULL;
    bool     ok = file && is_entry(file, size, key);
    if (fd >= 0)
        close(fd);
    free(path);
    if (ok) {
        *n = size - sizeof(Head) - key->n;
        memmove(file, file + sizeof(Head) + key->n, *n);
        *value = file;
    } else {
        free(file);
    }
    return ok;
}

/* The folder and those above it, for the user alone. */
static void make_folder(const char *path)
{
    char *p = xstrdup(path);
    for (char *s = p + 1; *s; s++)
        if (*s == '/') {
            *s = 0;
            mkdir(p, 0700);
            *s = '/';
        }
    mkdir(p, 0700);
    free(p);
}

static bool write_all(int fd, const uint8_t *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(fd, bytes + done, n - done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        done += (size_t)k;
    }
    return true;
}

bool object_cache_put(const ObjectCache *c, const Text *key, const void *value, size_t n)
{
    static atomic_uint serial;
    size_t             size = sizeof(Head) + key->n + n;
    if (size > MAX_ENTRY || size > c->cap)
        return false;
    uint8_t *file = xmalloc(size);
    Head     h = { .key = key->n, .value = n };
    memcpy(h.magic, MAGIC, sizeof h.magic);
    memcpy(file, &h, sizeof h);
    memcpy(file + sizeof h, key->at, key->n);
    memcpy(file + sizeof h + key->n, value, n);
    h.checksum = checksum(file, size);
    memcpy(file, &h, sizeof h);
    char *path = entry_path(c, key);
    Text  temp = { 0 };
    text_addf(&temp, "%s/%s%ld-%u", c->folder, TEMP, (long)getpid(), atomic_fetch_add(&serial, 1));
    enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW };
    int fd = open(temp.at, FLAGS, 0600);
    if (fd < 0 && errno == ENOENT) {
        make_folder(c->folder);
        fd = open(temp.at, FLAGS, 0600);
    }
    bool ok = fd >= 0 && write_all(fd, file, size);
    if (fd >= 0) {
        ok = !close(fd) && ok;
        ok = ok && !rename(temp.at, path);
        if (!ok)
            unlink(temp.at);
    }
    free(path);
    free(file);
    text_free(&temp);
    return ok;
}

/* ---- the cap ---- */

typedef struct { char name[NAME_DIGITS + sizeof SUFFIX]; uint64_t size; struct timespec used; } Entry;

static bool is_entry_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == NAME_DIGITS && strcmp(name + NAME_DIGITS, SUFFIX) == 0;
}

static int by_use(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    return (x->used.tv_nsec > y->used.tv_nsec) - (x->used.tv_nsec < y->used.tv_nsec);
}

void object_cache_trim(const ObjectCache *c)
{
    DIR *dir = opendir(c->folder);
    Vec(Entry) entries = { 0 };
    uint64_t total = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        struct stat s;
        bool        temp = strncmp(d->d_name, TEMP, sizeof TEMP - 1) == 0;
        if ((!temp && !is_entry_name(d->d_name)) || fstatat(dirfd(dir), d->d_name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode))
            continue;
        if (temp && time(NULL) - s.st_mtime > TEMP_AGE)        /* left by a process that was killed */
            unlinkat(dirfd(dir), d->d_name, 0);
        if (temp)
            continue;
        Entry e = { .size = (uint64_t)s.st_size, .used = s.st_mtim };
        memcpy(e.name, d->d_name, sizeof e.name);
        vec_push(&entries, e);
        total += e.size;
    }
    if (total > c->cap) {
        qsort(entries.at, entries.n, sizeof *entries.at, by_use);
        for (uint32_t i = 0; i < entries.n && total > c->cap / 8 * 7; i++)
            if (!unlinkat(dirfd(dir), entries.at[i].name, 0) || errno == ENOENT)
                total -= entries.at[i].size;
    }
    if (dir)
        closedir(dir);
    vec_free(&entries);
}
