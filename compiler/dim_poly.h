/* dim_poly.h - between the files of symbolic sizes: the table, and what they do with polynomials (dim.c says what those are).
 *
 * dim.c makes them, dim_ask.c answers questions about them, dim_bind.c goes to and from numbers, dim_text.c to and from text.
 */
#ifndef PASTICHE_DIM_POLY_H
#define PASTICHE_DIM_POLY_H

#include "dim.h"

#include <pthread.h>

enum { MAX_TERMS = 512, MAX_DEGREE = 24, MAX_DEPTH = 8 };
#define CONST_LIMIT ((int64_t)1 << 30)
#define SATURATED   ((int64_t)1 << 62)

typedef struct { uint32_t mono; int64_t coef; } Term;
typedef struct { uint32_t first, n; } Span;
typedef struct { const char *name; Dim inner; int64_t k; uint32_t depth; } Atom;   /* name NULL: floor(inner / k) */
typedef Vec(Term) Terms;
typedef struct { uint32_t *slots, n, cap; } Index;                                 /* open addressing: number + 1, 0 free */

struct DimTable {
    pthread_mutex_t *lock;
    Vec(Span)     polys;           /* Dim CONST_LIMIT + i */
    Terms         terms;
    Vec(Span)     monos;           /* [0] is the empty product */
    Vec(uint32_t) mono_atoms;
    Vec(Atom)     atoms;
    Index         poly_index, mono_index, atom_index;
    uint32_t      fresh;
    bool          overflowed;      /* an expression was too large and became an unknown */
};

/* ---- arithmetic of coefficients, which saturate ---- */
int64_t dims_sat_add(int64_t a, int64_t b);
int64_t dims_sat_mul(int64_t a, int64_t b);
int64_t dims_floor_quotient(int64_t a, int64_t k);
int64_t dims_gcd(int64_t a, int64_t b);

/* ---- the lock: public functions take it, the others expect it to be held ---- */
void dims_lock(const DimTable *t);
void dims_unlock(const DimTable *t);

/* ---- reading ---- */
bool poly_is_small(Dim a);
uint32_t poly_terms(const DimTable *t, Dim a, const Term **w, Term *small);
bool poly_is_const(const DimTable *t, Dim a, int64_t *v);
bool poly_is_sym(const DimTable *t, Dim a, uint32_t *atom);
void poly_atoms(const DimTable *t, Dim a, uint32_t *seen, uint32_t *n, uint32_t max);
bool mono_has_floor(const DimTable *t, uint32_t m);
uint32_t mono_occurrences(const DimTable *t, uint32_t mono, uint32_t atom, uint32_t *at);

/* ---- making ---- */
Dim poly_intern(DimTable *t, const Term *w, uint32_t n);
Dim poly_of_atom(DimTable *t, uint32_t atom);
void poly_load(const DimTable *t, Dim a, int64_t scale, Terms *w);
Dim poly_finish(DimTable *t, Terms *w, bool too_big);
uint32_t mono_without(DimTable *t, uint32_t a, uint32_t skip);
Dim poly_add(DimTable *t, Dim a, Dim b, int64_t scale);
Dim poly_mul(DimTable *t, Dim a, Dim b);
Dim poly_floordiv(DimTable *t, Dim a, int64_t k);
bool poly_divide(DimTable *t, Dim a, Dim b, Dim *q);

#endif
