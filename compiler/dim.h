/* dim.h - symbolic sizes. A Dim is an index into a DimTable; equal Dims are equal numbers (canonical, hash-consed).
 *
 * Canonical form: an integer constant plus a sum of integer coefficients times sorted products of atoms. An atom is a symbol
 * (N, H, ...) or floor(D / k) with k > 1 a constant. Multiples of k come out of a floor: (4*H + 3) // 4 = H; a ceiling is
 * -floor(-D / k), so no second atom is needed, and floor(floor(D / a) / b) = floor(D / (a*b)).
 * Symbols stand for integers >= 0 that are known when a program runs. A Dim below 2^30 is the constant itself: dim_const(t, 64) == 64.
 * Sizes saturate at 2^62; a polynomial too large to be honest (512 terms, degree 24, floors nested 8 deep) becomes a fresh unknown.
 * A table may be used by several threads at once.
 */
#ifndef PASTICHE_DIM_H
#define PASTICHE_DIM_H

#include "base.h"

typedef uint32_t Dim;                      /* 0 is the constant 0: DimTable reserves it */
typedef struct DimTable DimTable;

DimTable *dims_new(void);
void      dims_free(DimTable *t);

Dim  dim_const(DimTable *t, int64_t v);
Dim  dim_sym(DimTable *t, const char *name);                 /* the symbol of that interned name */
Dim  dim_fresh(DimTable *t, const char *hint);               /* a new symbol, printed as hint'1, hint'2, ...: an unknown of unification */
bool dims_overflowed(const DimTable *t);                     /* some expression was too large: it became an unknown, which equals nothing */
Dim  dim_add(DimTable *t, Dim a, Dim b);
Dim  dim_sub(DimTable *t, Dim a, Dim b);
Dim  dim_mul(DimTable *t, Dim a, Dim b);
Dim  dim_scale(DimTable *t, Dim a, int64_t k);
Dim  dim_floordiv(DimTable *t, Dim a, int64_t k);            /* k >= 1 */
Dim  dim_ceildiv(DimTable *t, Dim a, int64_t k);
bool dim_divide(DimTable *t, Dim a, Dim b, Dim *q);          /* exact a / b as polynomials; false when it does not divide */
bool dim_is_const(const DimTable *t, Dim a, int64_t *v);
bool dim_is_sym(const DimTable *t, Dim a);                   /* exactly one symbol with coefficient 1 */
uint32_t dim_symbols(const DimTable *t, Dim a, Dim *out, uint32_t max);   /* distinct symbols in a (also within floors); returns their number */
bool dim_has_floor(const DimTable *t, Dim a);                /* rounding is in it: 4*(H//4), not N*C */
bool dim_never_equal(const DimTable *t, Dim a, Dim b);       /* provably different for all symbols >= 0 (conservative); a != b alone may be undecided */
bool dim_valid(const DimTable *t, int64_t a);                /* is this number a Dim of the table (for verifiers) */
bool dim_nonneg(const DimTable *t, Dim a);                   /* provably >= 0 for all symbols >= 0 (conservative) */
Dim  dim_substitute(DimTable *t, Dim a, Dim sym, Dim by);

/* Solves pattern == value for the one symbol of `unknowns` that the pattern holds linearly, e.g. s*H + 2 == 4*W + 2 gives H = 4*W/s.
 * Returns 1 and sets which, by; 0 when both are equal already; -1 when it cannot hold (4*H == 6, H + 3 == 1); -2 when it cannot be decided: several unknowns,
 * an unknown within a floor (many sizes fit), or no exact quotient (4*H == W: a caller may take H = W//4 and note the check 4*(W//4) == W). */
int  dim_solve(DimTable *t, Dim pattern, Dim value, const Dim *unknowns, uint32_t n, uint32_t *which, Dim *by);

/* Numbers when running: the value of each symbol, by symbol Dim. */
typedef struct { Dim sym; int64_t value; } DimBind;
bool dim_eval(const DimTable *t, Dim a, const DimBind *b, uint32_t n, int64_t *v);   /* false: an unbound symbol, or overflow */
/* Binds the symbol of a pattern (e.g. 4*H, H + 3) from an actual size and appends it to b[*n]; with all symbols bound it compares. 0, or -1 when no non-negative integer does, when more
 * than one symbol is unbound, or when the unbound one stands within a floor: (H + 1)//2 fits several H, so H must come from another dim first.
 * Order the calls so that single-symbol patterns without a floor come first. */
int  dim_bind(const DimTable *t, Dim pattern, int64_t size, DimBind *b, uint32_t *n, uint32_t max);

void dim_print(const DimTable *t, Dim a, Text *out);         /* 4*H + (W + 1)//2 : parses again */
const char *dim_text(const DimTable *t, Dim a, Arena *arena);
Dim  dim_parse(DimTable *t, const char **s);                 /* the inverse of dim_print; advances *s; on error *s = NULL */

#endif
