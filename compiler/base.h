/* base.h - what every file of the compiler leans on: arenas, growable arrays, interned names, hashing.
 *
 * Memory goes by life-time: everything a compile makes lives in one Arena and is dropped whole. Growable arrays are plain
 * malloc blocks owned by the structure that holds them; take pointers into them only between appends.
 * Out of memory ends in abort() inside xmalloc for compile-time structures; large runtime buffers are allocated by
 * their owners, who report a Status.
 */
#ifndef PASTICHE_BASE_H
#define PASTICHE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void *xmalloc(size_t size);                /* never NULL; zeroed */
void *xrealloc(void *old, size_t size);    /* never NULL */
char *xstrdup(const char *s);

/* ---- arena: bump allocation, freed whole ---- */
typedef struct ArenaBlock ArenaBlock;
typedef struct { ArenaBlock *head; size_t used; } Arena;    /* zero-initialise; used: bytes handed out */

void *arena_alloc(Arena *a, size_t size);  /* zeroed, 16-byte aligned */
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void  arena_free(Arena *a);
#define ARENA_NEW(a, T)    ((T *)arena_alloc((a), sizeof(T)))
#define ARENA_ARR(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

/* ---- growable array: Vec(T) v = {0}; vec_push(&v, x); v.at[i]; v.n ---- */
#define Vec(T) struct { T *at; uint32_t n, cap; }
#define vec_push(v, x) (vec_grow_((void **)&(v)->at, &(v)->cap, (v)->n + 1, sizeof *(v)->at), (v)->at[(v)->n++] = (x))
#define vec_reserve(v, m) vec_grow_((void **)&(v)->at, &(v)->cap, (m), sizeof *(v)->at)
#define vec_free(v) (free((v)->at), (v)->at = NULL, (v)->n = (v)->cap = 0)
void vec_grow_(void **at, uint32_t *cap, uint32_t need, size_t elem);

/* ---- growable text ---- */
typedef struct { char *at; size_t n, cap; } Text;           /* always NUL-terminated once non-empty */
void text_add(Text *t, const char *s);
void text_addn(Text *t, const char *s, size_t n);
void text_addf(Text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   /* none of its arguments stands in t */
void text_json(Text *t, const char *s);             /* as a JSON string, in quotes */
void text_free(Text *t);

/* ---- names: interned, so equal names are equal pointers; live until the process ends ---- */
const char *intern(const char *s);
const char *intern_n(const char *s, size_t n);

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed);

/* The candidate nearest to `word` by edit distance, or NULL when none is near enough for a "did you mean". */
const char *nearest_word(const char *word, const char *const *candidates, size_t n);

/* ---- the world's mistakes (files, memory): a status whose message names the path and a hint ---- */
typedef struct { bool failed; char message[512]; } Status;  /* zero-initialise: OK */
bool status_fail(Status *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));  /* always false; keeps the first message; s may be NULL */

#endif
