/* base.c - arenas, growable arrays, text, interned names, hashing, spelling help. */
#include "base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

void *xmalloc(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p) {
        fputs("pastiche: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xrealloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p) {
        fputs("pastiche: out of memory\n", stderr);
        abort();
    }
    return p;
}

char *xstrdup(const char *s)
{
    size_t n = strlen(s) + 1;
    return memcpy(xmalloc(n), s, n);
}

struct ArenaBlock {
    ArenaBlock *next;
    size_t      used, size;
    char        data[];
};

void *arena_alloc(Arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!a->head || a->head->used + size > a->head->size) {
        size_t      block = size > (64u << 10) ? size : (64u << 10);
        ArenaBlock *b = xmalloc(sizeof *b + block + 16);
        b->size = block;
        b->next = a->head;
        a->head = b;
    }
    ArenaBlock *b = a->head;
    uintptr_t   base = ((uintptr_t)b->data + 15) & ~(uintptr_t)15;
    void       *p = (char *)base + b->used;
    b->used += size;
    a->used += size;
    return p;
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    memcpy(p, s, n);
    return p;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int   n = vsnprintf(NULL, 0, fmt, ap);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(ap);
    va_end(again);
    return p;
}

void arena_free(Arena *a)
{
    for (ArenaBlock *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    a->head = NULL;
    a->used = 0;
}

void vec_grow_(void **at, uint32_t *cap, uint32_t need, size_t elem)
{
    if (need <= *cap)
        return;
    uint32_t n = *cap ? *cap : 8;
    while (n < need)
        n *= 2;
    *at = xrealloc(*at, n * elem);
    *cap = n;
}

static void text_grow(Text *t, size_t n)
{
    if (t->n + n + 1 > t->cap) {
        t->cap = (t->n + n + 1) * 2 + 64;
        t->at = xrealloc(t->at, t->cap);
    }
}

void text_addn(Text *t, const char *s, size_t n)
{
    text_grow(t, n);
    memcpy(t->at + t->n, s, n);
    t->n += n;
    t->at[t->n] = 0;
}

void text_add(Text *t, const char *s)
{
    text_addn(t, s, strlen(s));
}

void text_addf(Text *t, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = t->cap - t->n, n = (size_t)vsnprintf(t->at ? t->at + t->n : NULL, room, fmt, ap);
    if (n >= room) {
        text_grow(t, n);
        vsnprintf(t->at + t->n, n + 1, fmt, again);
    }
    t->n += n;
    va_end(ap);
    va_end(again);
}

void text_json(Text *t, const char *s)
{
    text_add(t, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_addf(t, "\\%c", *s);
        else if ((unsigned char)*s < 32)
            text_addf(t, "\\u%04x", (unsigned char)*s);
        else
            text_addn(t, s, 1);
    }
    text_add(t, "\"");
}

void text_free(Text *t)
{
    free(t->at);
    *t = (Text){ 0 };
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *s = p;
    uint64_t             h = seed ^ 0x9E3779B97F4A7C15u ^ (n * 0xFF51AFD7ED558CCDu);
    while (n >= 8) {
        uint64_t w;
        memcpy(&w, s, 8);
        h = (h ^ w) * 0xFF51AFD7ED558CCDu;
        h ^= h >> 32;
        s += 8;
        n -= 8;
    }
    for (; n; n--, s++)
        h = (h ^ *s) * 0xC4CEB9FE1A85EC53u, h ^= h >> 29;
    h ^= h >> 32;
    h *= 0xC4CEB9FE1A85EC53u;
    return h ^ (h >> 29);
}

/* One table for the process, never freed: open addressing, power-of-two size. */
static struct { const char **at; size_t n, cap; } names;
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

const char *intern_n(const char *s, size_t n)
{
    pthread_mutex_lock(&names_lock);
    if (names.n * 2 >= names.cap) {
        size_t       cap = names.cap ? names.cap * 2 : 1024;
        const char **at = xmalloc(cap * sizeof *at);
        for (size_t i = 0; i < names.cap; i++)
            if (names.at[i]) {
                size_t k = hash_bytes(names.at[i], strlen(names.at[i]), 0) & (cap - 1);
                while (at[k])
                    k = (k + 1) & (cap - 1);
                at[k] = names.at[i];
            }
        free(names.at);
        names.at = at;
        names.cap = cap;
    }
    size_t k = hash_bytes(s, n, 0) & (names.cap - 1);
    while (names.at[k] && (strncmp(names.at[k], s, n) || names.at[k][n]))
        k = (k + 1) & (names.cap - 1);
    if (!names.at[k]) {
        char *copy = xmalloc(n + 1);
        memcpy(copy, s, n);
        names.at[k] = copy;
        names.n++;
    }
    const char *found = names.at[k];
    pthread_mutex_unlock(&names_lock);
    return found;
}

const char *intern(const char *s)
{
    return intern_n(s, strlen(s));
}

/* Levenshtein distance with transpositions, cut off at `limit`. */
static int edit_distance(const char *a, const char *b, int limit)
{
    enum { LONG = 64 };
    int la = (int)strlen(a), lb = (int)strlen(b), row[3][LONG + 1];
    if (la > LONG || lb > LONG || la - lb > limit || lb - la > limit)
        return limit + 1;
    for (int j = 0; j <= lb; j++)
        row[0][j] = j;
    for (int i = 1; i <= la; i++) {
        int *cur = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        cur[0] = i;
        for (int j = 1; j <= lb; j++) {
            int d = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < d)
                d = up[j] + 1;
            if (cur[j - 1] + 1 < d)
                d = cur[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < d)
                d = up2[j - 2] + 1;
            cur[j] = d;
        }
    }
    return row[la % 3][lb];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t n)
{
    int         limit = strlen(word) <= 3 ? 1 : strlen(word) <= 6 ? 2 : 3, best = limit + 1;
    const char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        int d = edit_distance(word, candidates[i], limit);
        if (d < best) {
            best = d;
            found = candidates[i];
        }
    }
    return found;
}

bool status_fail(Status *s, const char *fmt, ...)
{
    if (s && !s->failed) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(s->message, sizeof s->message, fmt, ap);
        va_end(ap);
        s->failed = true;
    }
    return false;
}
