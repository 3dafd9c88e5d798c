/* dim_bind.c - symbolic sizes and numbers: the value for given symbols, and the symbol for a given value. */
#include "dim_poly.h"

/* skip: an atom that counts as 1 (dim_bind's unknown), or UINT32_MAX */
static bool eval_terms(const DimTable *t, const Term *w, uint32_t n, uint32_t skip, const DimBind *b, uint32_t nb, int64_t *v)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t product = w[i].coef;
        Span    m = t->monos.at[w[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t    x = t->mono_atoms.at[m.first + j], k = 0, atom;
            const Atom *a = &t->atoms.at[x];
            int64_t     f = 1;
            if (x == skip)
                continue;
            if (!a->name) {
                Term        small;
                const Term *inner;
                uint32_t    ni = poly_terms(t, a->inner, &inner, &small);
                if (!eval_terms(t, inner, ni, UINT32_MAX, b, nb, &f))
                    return false;
                f = dims_floor_quotient(f, a->k);
            } else {
                while (k < nb && !(poly_is_sym(t, b[k].sym, &atom) && atom == x))
                    k++;
                if (k == nb)
                    return false;
                f = b[k].value;
            }
            if (__builtin_mul_overflow(product, f, &product))
                return false;
        }
        if (__builtin_add_overflow(sum, product, &sum))
            return false;
    }
    *v = sum;
    return true;
}

static bool eval(const DimTable *t, Dim a, const DimBind *b, uint32_t n, int64_t *v)
{
    Term        small;
    const Term *w;
    uint32_t    terms = poly_terms(t, a, &w, &small);
    return eval_terms(t, w, terms, UINT32_MAX, b, n, v);
}

bool dim_eval(const DimTable *t, Dim a, const DimBind *b, uint32_t n, int64_t *v)
{
    if (poly_is_small(a)) {
        *v = a;
        return true;
    }
    dims_lock(t);
    bool ok = eval(t, a, b, n, v);
    dims_unlock(t);
    return ok;
}

static int bind(const DimTable *t, Dim pattern, int64_t size, DimBind *b, uint32_t *n, uint32_t max)
{
    uint32_t seen[256], nseen = 0, unbound = 0, atom = 0, u;
    int64_t  v;
    poly_atoms(t, pattern, seen, &nseen, COUNT(seen));
    for (uint32_t i = 0; i < nseen; i++) {
        uint32_t k = 0;
        while (k < *n && !(poly_is_sym(t, b[k].sym, &u) && u == seen[i]))
            k++;
        if (k == *n) {
            atom = seen[i];
            unbound++;
        }
    }
    if (unbound == 0)
        return eval(t, pattern, b, *n, &v) && v == size ? 0 : -1;
    if (unbound > 1 || *n >= max)
        return -1;
    Term        small;
    const Term *w;
    uint32_t    terms = poly_terms(t, pattern, &w, &small);
    int64_t     coef = 0, rest = 0;
    for (uint32_t i = 0; i < terms; i++) {
        uint32_t at, count = mono_occurrences(t, w[i].mono, atom, &at);
        if (count > 1 || !eval_terms(t, &w[i], 1, atom, b, *n, &v))
            return -1;
        if (__builtin_add_overflow(count ? coef : rest, v, count ? &coef : &rest))
            return -1;
    }
    if (coef == 0 || __builtin_sub_overflow(size, rest, &rest) || rest % coef || rest / coef < 0)
        return -1;
    b[*n] = (DimBind){ poly_of_atom((DimTable *)t, atom), rest / coef };
    ++*n;
    return 0;
}

int dim_bind(const DimTable *t, Dim pattern, int64_t size, DimBind *b, uint32_t *n, uint32_t max)
{
    dims_lock(t);
    int r = bind(t, pattern, size, b, n, max);
    dims_unlock(t);
    return r;
}
