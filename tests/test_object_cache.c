/* test_object_cache.c - the cache of kernels on disk: what is put is found; whatever is done to a file, nothing but what was put is ever found; the cap holds. */
#define _GNU_SOURCE
#include "check.h"
#include "object_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/pastiche_cache.XXXXXX";

static Text text_of(const char *s)
{
    Text t = { 0 };
    text_add(&t, s);
    return t;
}

static bool has(const ObjectCache *c, const char *key, const char *value)
{
    Text     k = text_of(key);
    uint8_t *got = NULL;
    size_t   n = 0;
    bool     found = object_cache_get(c, &k, &got, &n), same = found && n == strlen(value) && !memcmp(got, value, n);
    CHECK(!found || same, "%s: another value than was put", key);
    free(got);
    text_free(&k);
    return same;
}

static bool put(const ObjectCache *c, const char *key, const char *value)
{
    Text k = text_of(key);
    bool ok = object_cache_put(c, &k, value, strlen(value));
    text_free(&k);
    return ok;
}

/* Paths of the files in a folder. */
static uint32_t list(const char *folder, char (*paths)[512], uint32_t most)
{
    DIR     *d = opendir(folder);
    uint32_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && n < most)
            snprintf(paths[n++], sizeof *paths, "%s/%.250s", folder, e->d_name);
    if (d)
        closedir(d);
    return n;
}

static size_t slurp(const char *path, uint8_t *to, size_t most)
{
    FILE  *f = fopen(path, "rb");
    size_t n = f ? fread(to, 1, most, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void spill(const char *path, const uint8_t *from, size_t n)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(from, 1, n, f) == n, "cannot write %s", path);
    if (f)
        fclose(f);
}

static ObjectCache *open_in(const char *name, uint64_t cap, char *folder)
{
    sprintf(folder, "%s/%s", home, name);
    return object_cache_new(folder, cap);
}

static void test_found(void)
{
    char         folder[256], paths[8][512];
    struct stat  s;
    ObjectCache *c = open_in("deep/er/found", 1 << 20, folder);
    CHECK(!has(c, "a", "1") && access(folder, F_OK), "found in a folder that is not there, or made it");
    CHECK(put(c, "a", "1") && put(c, "b", "") && has(c, "a", "1") && has(c, "b", "") && !has(c, "c", "1"), "what is put is found");
    CHECK(put(c, "a", "another") && has(c, "a", "another"), "what is put again is replaced");
    CHECK(list(folder, paths, 8) == 2, "two entries, nothing else");
    CHECK(!stat(folder, &s) && (s.st_mode & 0777) == 0700, "the folder is the user's alone: %o", s.st_mode);
    CHECK(!stat(paths[0], &s) && (s.st_mode & 0777) == 0600, "an entry is the user's alone: %o", s.st_mode);
    object_cache_free(c);
    CHECK(!object_cache_new(folder, 0), "no room, no cache");
}

/* All single bits, all lengths, and more than there was. */
static void test_damage(void)
{
    char         folder[256], path[1][512];
    uint8_t      was[4096], now[4096];
    ObjectCache *c = open_in("damage", 1 << 20, folder);
    put(c, "a key of some length", "a value of some length");
    CHECK(list(folder, path, 1) == 1, "an entry");
    size_t n = slurp(path[0], was, sizeof was);
    CHECK(n > 60, "an entry has %zu bytes", n);
    for (size_t i = 0; i < n * 8; i++) {
        memcpy(now, was, n);
        now[i / 8] ^= (uint8_t)(1 << i % 8);
        spill(path[0], now, n);
        CHECK(!has(c, "a key of some length", "a value of some length"), "believed with bit %zu changed", i);
    }
    for (size_t i = 0; i < n; i++) {
        spill(path[0], was, i);
        CHECK(!has(c, "a key of some length", "a value of some length"), "believed with %zu of %zu bytes", i, n);
    }
    memcpy(now, was, n);
    now[n] = 0;
    spill(path[0], now, n + 1);
    CHECK(!has(c, "a key of some length", "a value of some length"), "believed with a byte behind it");
    memset(now, 0, sizeof now);
    spill(path[0], now, sizeof now);
    CHECK(!has(c, "a key of some length", "a value of some length"), "zeros believed");
    spill(path[0], was, n);
    CHECK(has(c, "a key of some length", "a value of some length"), "whole again");
    now[0] = 1;
    spill(path[0], now, 3);
    CHECK(put(c, "a key of some length", "a value of some length") && has(c, "a key of some length", "a value of some length"), "a damaged one is replaced");
    object_cache_free(c);
}

static void test_foreign(void)
{
    char         folder[256], path[2][512], aside[600];
    uint8_t      bytes[4096];
    ObjectCache *c = open_in("foreign", 1 << 20, folder);
    put(c, "a", "1");
    CHECK(list(folder, path, 2) == 1, "an entry");
    size_t n = slurp(path[0], bytes, sizeof bytes);
    CHECK(!chmod(path[0], 0666) && !has(c, "a", "1"), "believed what others may write");
    CHECK(!chmod(path[0], 0600) && has(c, "a", "1"), "the user's own");
    if (geteuid() == 0)
        CHECK(!chown(path[0], 1, 1) && !has(c, "a", "1") && !chown(path[0], 0, 0) && has(c, "a", "1"), "believed what another user has written");
    sprintf(aside, "%s/aside", home);
    CHECK(!rename(path[0], aside) && !symlink(aside, path[0]) && !has(c, "a", "1"), "followed a link");
    unlink(path[0]);
    CHECK(!mkfifo(path[0], 0600) && !has(c, "a", "1"), "believed a pipe");
    CHECK(put(c, "a", "2") && has(c, "a", "2"), "a pipe is replaced");
    put(c, "b", "3");
    CHECK(list(folder, path, 2) == 2, "two entries");
    for (int i = 0; i < 2; i++)
        spill(path[i], bytes, n);
    CHECK(!has(c, "b", "3"), "another key's entry believed");
    CHECK(has(c, "a", "1"), "its own is good under its own name");
    object_cache_free(c);
}

static void test_unwritable(void)
{
    char         folder[256];
    ObjectCache *c = object_cache_new("/proc/pastiche/cache", 1 << 20);
    CHECK(!put(c, "a", "1") && !has(c, "a", "1"), "no folder can be made there");
    object_cache_trim(c);
    object_cache_free(c);
    sprintf(folder, "%s/a_file", home);
    spill(folder, (const uint8_t *)"x", 1);
    c = object_cache_new(folder, 1 << 20);
    CHECK(!put(c, "a", "1") && !has(c, "a", "1"), "a file is no folder");
    object_cache_trim(c);
    object_cache_free(c);
    if (geteuid() != 0) {
        c = open_in("read_only", 1 << 20, folder);
        CHECK(put(c, "a", "1") && !chmod(folder, 0500) && !put(c, "b", "1") && has(c, "a", "1") && !has(c, "b", "1"), "a folder that can be read only");
        chmod(folder, 0700);
        object_cache_free(c);
    }
}

/* The file whose contents hold `key`, aged by so many seconds. */
static void age(const char *folder, const char *key, int seconds)
{
    char     paths[64][512];
    uint8_t  bytes[8192];
    uint32_t n = list(folder, paths, 64);
    for (uint32_t i = 0; i < n; i++) {
        size_t      size = slurp(paths[i], bytes, sizeof bytes);
        struct stat s;
        if (size && memmem(bytes, size, key, strlen(key)) && !stat(paths[i], &s)) {
            struct timespec t[2] = { s.st_atim, s.st_mtim };
            t[1].tv_sec -= seconds;
            utimensat(AT_FDCWD, paths[i], t, 0);
        }
    }
}

static void test_cap(void)
{
    char         folder[256], key[32], value[1001], file[512], paths[64][512];
    ObjectCache *c = open_in("cap", 20000, folder);
    int          kept = 0;
    memset(value, 'v', 1000);
    value[1000] = 0;
    for (int i = 0; i < 10; i++) {
        sprintf(key, "<key %d>", i);
        CHECK(put(c, key, value), "%s", key);
        age(folder, key, 10000 - 100 * i);
    }
    object_cache_trim(c);
    CHECK(list(folder, paths, 64) == 10, "entries went although there is room");
    CHECK(has(c, "<key 0>", value), "the oldest is used once more, and is the youngest now");
    for (int i = 10; i < 25; i++) {
        sprintf(key, "<key %d>", i);
        put(c, key, value);
    }
    sprintf(file, "%s/.writing-1-1", folder);
    spill(file, (const uint8_t *)"half", 4);
    age(folder, "half", 7200);
    sprintf(file, "%s/somebody_elses", folder);
    spill(file, (const uint8_t *)value, 1000);
    object_cache_trim(c);
    for (int i = 0; i < 25; i++) {
        sprintf(key, "<key %d>", i);
        kept += has(c, key, value);
    }
    CHECK(kept >= 14 && kept <= 17, "%d of 1000 bytes kept with a cap of 20000", kept);
    CHECK(has(c, "<key 0>", value) && has(c, "<key 24>", value) && !has(c, "<key 1>", value) && !has(c, "<key 2>", value), "what was used last is kept, what was used longest ago goes");
    CHECK(access(file, F_OK) == 0, "a file that is no entry stays");
    sprintf(file, "%s/.writing-1-1", folder);
    CHECK(access(file, F_OK) != 0, "a dead process's file goes");
    char *large = malloc(30001);
    memset(large, 'w', 30000);
    large[30000] = 0;
    CHECK(!put(c, "large", large), "more than the cap is not kept");
    free(large);
    object_cache_free(c);
}

static void test_environment(void)
{
    char         folder[300];
    ObjectCache *c;
    setenv("PASTICHE_CACHE", "off", 1);
    CHECK(!object_cache_default(), "off");
    unsetenv("PASTICHE_CACHE");
    setenv("HOME", home, 1);
    setenv("XDG_CACHE_HOME", "relative", 1);
    c = object_cache_default();
    sprintf(folder, "%s/.cache/pastiche", home);
    CHECK(c && put(c, "a", "1") && !access(folder, F_OK), "~/.cache/pastiche");
    object_cache_free(c);
    sprintf(folder, "%s/xdg", home);
    setenv("XDG_CACHE_HOME", folder, 1);
    c = object_cache_default();
    CHECK(c && put(c, "a", "1"), "$XDG_CACHE_HOME");
    strcat(folder, "/pastiche");
    CHECK(!access(folder, F_OK), "%s", folder);
    object_cache_free(c);
    sprintf(folder, "%s/own", home);
    setenv("PASTICHE_CACHE", folder, 1);
    c = object_cache_default();
    CHECK(c && put(c, "a", "1") && !access(folder, F_OK), "$PASTICHE_CACHE");
    object_cache_free(c);
    setenv("PASTICHE_CACHE_MIB", "0", 1);
    CHECK(!object_cache_default(), "a cap of 0");
    setenv("PASTICHE_CACHE_MIB", "much", 1);
    c = object_cache_default();
    CHECK(c, "a cap that is no number is the default");
    object_cache_free(c);
}

int main(void)
{
    CHECK(mkdtemp(home), "%s", home);
    test_found();
    test_damage();
    test_foreign();
    test_unwritable();
    test_cap();
    test_environment();
    char command[300];
    sprintf(command, "rm -rf '%s'", home);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
