/* dim_ask.c - questions about symbolic sizes: is it a constant, a symbol, never negative, never equal to another; which symbols; what must a symbol be for two sizes to be one. */
#include "dim_poly.h"

#include <stdlib.h>

bool dim_is_const(const DimTable *t, Dim a, int64_t *v)
{
    int64_t value = a;
    bool    yes = true;
    if (!poly_is_small(a)) {
        dims_lock(t);
        yes = poly_is_const(t, a, &value);
        dims_unlock(t);
    }
    if (yes && v)
        *v = value;
    return yes;
}

bool poly_is_sym(const DimTable *t, Dim a, uint32_t *atom)
{
    Term        small;
    const Term *w;
    if (poly_is_small(a) || poly_terms(t, a, &w, &small) != 1 || w[0].coef != 1 || t->monos.at[w[0].mono].n != 1)
        return false;
    *atom = t->mono_atoms.at[t->monos.at[w[0].mono].first];
    return t->atoms.at[*atom].name != NULL;
}

bool dim_is_sym(const DimTable *t, Dim a)
{
    uint32_t atom;
    dims_lock(t);
    bool yes = poly_is_sym(t, a, &atom);
    dims_unlock(t);
    return yes;
}

bool dim_valid(const DimTable *t, int64_t a)
{
    dims_lock(t);
    bool yes = a >= 0 && (a < CONST_LIMIT || a - CONST_LIMIT < t->polys.n);
    dims_unlock(t);
    return yes;
}

void poly_atoms(const DimTable *t, Dim a, uint32_t *seen, uint32_t *n, uint32_t max)
{
    Term        small;
    const Term *w;
    uint32_t    terms = poly_terms(t, a, &w, &small);
    for (uint32_t i = 0; i < terms; i++) {
        Span m = t->monos.at[w[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t atom = t->mono_atoms.at[m.first + j], k = 0;
            if (!t->atoms.at[atom].name) {
                poly_atoms(t, t->atoms.at[atom].inner, seen, n, max);
                continue;
            }
            while (k < *n && seen[k] != atom)
                k++;
            if (k == *n && *n < max)
                seen[(*n)++] = atom;
        }
    }
}

uint32_t dim_symbols(const DimTable *t, Dim a, Dim *out, uint32_t max)
{
    uint32_t seen[256], n = 0;
    if (poly_is_small(a))
        return 0;
    dims_lock(t);
    poly_atoms(t, a, seen, &n, max < COUNT(seen) ? max : COUNT(seen));
    for (uint32_t i = 0; i < n; i++)
        out[i] = poly_of_atom((DimTable *)t, seen[i]);    /* exists already or is made: a cache, not a change */
    dims_unlock(t);
    return n;
}

bool dim_has_floor(const DimTable *t, Dim a)
{
    Term        small;
    const Term *w;
    bool        found = false;
    if (poly_is_small(a))
        return false;
    dims_lock(t);
    uint32_t n = poly_terms(t, a, &w, &small);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < t->monos.at[w[i].mono].n; j++)
            found |= !t->atoms.at[t->mono_atoms.at[t->monos.at[w[i].mono].first + j]].name;
    dims_unlock(t);
    return found;
}

/* All coefficients >= 0 and all atoms >= 0. */
static bool plainly_nonneg(const DimTable *t, Dim a)
{
    Term        small;
    const Term *w;
    uint32_t    n = poly_terms(t, a, &w, &small);
    for (uint32_t i = 0; i < n; i++) {
        if (w[i].coef < 0)
            return false;
        Span m = t->monos.at[w[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            const Atom *x = &t->atoms.at[t->mono_atoms.at[m.first + j]];
            if (!x->name && !plainly_nonneg(t, x->inner))
                return false;
        }
    }
    return true;
}

/* A few rounds of replacing a floor by its bound, (X - k + 1)/k <= floor(X/k) <= X/k, scaled by k. Sizes are integers: scaled >= 1 - scale suffices. */
static bool nonneg(DimTable *t, Dim a)
{
    int64_t scale = 1;
    for (int round = 0; round < 8; round++) {
        Term slack = { 0, scale - 1 };
        if (plainly_nonneg(t, scale > 1 ? poly_add(t, a, poly_intern(t, &slack, 1), 1) : a))
            return true;
        Term        small;
        const Term *w;
        uint32_t    n = poly_terms(t, a, &w, &small), i = 0;
        while (i < n && (t->monos.at[w[i].mono].n != 1 || !mono_has_floor(t, w[i].mono)))
            i++;
        if (i == n)
            return false;
        Term f = w[i];
        Atom x = t->atoms.at[t->mono_atoms.at[t->monos.at[f.mono].first]];
        Term one = { f.mono, f.coef };
        Dim  rest = poly_add(t, a, poly_intern(t, &one, 1), -1), bound = x.inner;
        if (f.coef > 0) {
            Term back = { 0, 1 - x.k };
            bound = poly_add(t, bound, poly_intern(t, &back, 1), 1);
        }
        if (x.k > (1 << 20) || scale > (1 << 20))
            return false;
        scale *= x.k;
        a = poly_add(t, poly_add(t, 0, rest, x.k), bound, f.coef);
    }
    return false;
}

bool dim_nonneg(const DimTable *t, Dim a)
{
    if (poly_is_small(a))
        return true;
    dims_lock(t);
    bool yes = nonneg((DimTable *)t, a);
    dims_unlock(t);
    return yes;
}

/* d is never zero: by sign, or because the common factor of its variables does not divide its constant. */
static bool never_zero(DimTable *t, Dim d)
{
    Term        small;
    const Term *w;
    uint32_t    n = poly_terms(t, d, &w, &small);
    int64_t     g = 0, c = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (w[i].mono)
            g = dims_gcd(w[i].coef, g);
        else
            c = w[i].coef;
    }
    if (n == 0)
        return false;
    if (g == 0 || c % g)
        return true;
    return c > 0 ? nonneg(t, poly_add(t, d, 1, -1)) : c < 0 ? nonneg(t, poly_add(t, poly_add(t, 0, d, -1), 1, -1)) : false;
}

bool dim_never_equal(const DimTable *t, Dim a, Dim b)
{
    if (poly_is_small(a) && poly_is_small(b))
        return a != b;
    dims_lock(t);
    bool yes = never_zero((DimTable *)t, poly_add((DimTable *)t, a, b, -1));
    dims_unlock(t);
    return yes;
}

static Dim substitute(DimTable *t, Dim a, uint32_t atom, Dim by)
{
    Terms w = { 0 };
    Dim   sum = 0;
    poly_load(t, a, 1, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        Term coef = { 0, w.at[i].coef };
        Dim  product = poly_intern(t, &coef, 1);
        Span m = t->monos.at[w.at[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t x = t->mono_atoms.at[m.first + j];
            Atom     f = t->atoms.at[x];
            Dim      factor = x == atom ? by : f.name ? poly_of_atom(t, x) : poly_floordiv(t, substitute(t, f.inner, atom, by), f.k);
            product = poly_mul(t, product, factor);
        }
        sum = poly_add(t, sum, product, 1);
    }
    vec_free(&w);
    return sum;
}

Dim dim_substitute(DimTable *t, Dim a, Dim sym, Dim by)
{
    uint32_t atom;
    if (poly_is_small(a))
        return a;
    dims_lock(t);
    if (poly_is_sym(t, sym, &atom))
        a = substitute(t, a, atom, by);
    dims_unlock(t);
    return a;
}

/* How often an atom stands in a mono; floors that hold it count as 2 (not linear). */
uint32_t mono_occurrences(const DimTable *t, uint32_t mono, uint32_t atom, uint32_t *at)
{
    Span     m = t->monos.at[mono];
    uint32_t count = 0;
    for (uint32_t j = 0; j < m.n; j++) {
        uint32_t x = t->mono_atoms.at[m.first + j], seen[256], n = 0;
        if (x == atom) {
            *at = j;
            count++;
        } else if (!t->atoms.at[x].name) {
            poly_atoms(t, t->atoms.at[x].inner, seen, &n, COUNT(seen));
            for (uint32_t k = 0; k < n; k++)
                count += seen[k] == atom ? 2 : 0;
        }
    }
    return count;
}

/* d = coef * atom + rest; false when d is not linear in the atom. */
static bool linear_in(DimTable *t, Dim d, uint32_t atom, Dim *coef, Dim *rest)
{
    Terms w = { 0 }, c = { 0 }, r = { 0 };
    bool  ok = true;
    poly_load(t, d, 1, &w);
    for (uint32_t i = 0; i < w.n && ok; i++) {
        uint32_t at = 0, n = mono_occurrences(t, w.at[i].mono, atom, &at);
        Term     x = w.at[i];
        if (n == 0) {
            vec_push(&r, x);
        } else if (n == 1) {
            x.mono = mono_without(t, x.mono, at);
            vec_push(&c, x);
        } else {
            ok = false;
        }
    }
    vec_free(&w);
    *coef = poly_finish(t, &c, false);
    *rest = poly_finish(t, &r, false);
    return ok;
}

static int solve(DimTable *t, Dim pattern, Dim value, const Dim *unknowns, uint32_t n, uint32_t *which, Dim *by)
{
    Dim      d = poly_add(t, pattern, value, -1), coef, rest, q;
    uint32_t seen[256], nseen = 0, found = 0, atom = 0;
    int64_t  v, c;
    poly_atoms(t, d, seen, &nseen, COUNT(seen));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < nseen; j++) {
            uint32_t u;
            if (poly_is_sym(t, unknowns[i], &u) && u == seen[j]) {
                *which = i;
                atom = u;
                found++;
            }
        }
    if (d == 0)
        return 0;
    if (never_zero(t, d))
        return -1;
    if (found != 1 || !linear_in(t, d, atom, &coef, &rest))
        return -2;
    rest = poly_add(t, 0, rest, -1);
    if (poly_divide(t, rest, coef, &q)) {
        *by = q;
        return poly_is_const(t, q, &v) && v < 0 ? -1 : 1;
    }
    return poly_is_const(t, coef, &c) && poly_is_const(t, rest, &v) ? -1 : -2;
}

int dim_solve(DimTable *t, Dim pattern, Dim value, const Dim *unknowns, uint32_t n, uint32_t *which, Dim *by)
{
    dims_lock(t);
    int r = solve(t, pattern, value, unknowns, n, which, by);
    dims_unlock(t);
    return r;
}
