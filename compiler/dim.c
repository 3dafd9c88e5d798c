/* dim.c - symbolic sizes as canonical polynomials.
 *
 *   Dim --> Poly: terms, each a coefficient times a Mono; the constant is the coefficient of the empty Mono (number 0)
 *           Mono: a sorted list of Atoms
 *           Atom: a symbol, or floor(Dim / k)
 *
 * Everything is interned, so equality is equality of numbers. Constants 0 .. 2^30-1 are their own Dim and touch no table. Terms stand in graded
 * lexicographic order (a monomial order, so that dim_divide is plain long division); atoms are ordered by name and structure, not by age,
 * so texts do not depend on what was made before.
 *
 * Canonical floors: multiples of k come out; common factors are cancelled; floor((floor(D/a) + R)/b) = floor((D + a*R)/(a*b)); of the two ways to write an
 * atom, floor(R/k) and sum - floor((R' + k-1)/k), the one with the smaller first remainder; and for k = 2, where both have the same remainders,
 * X//2 + (X+1)//2 = X removes negative halves. Not every equality between floors is found: an undecided one is checked when run.
 *
 * Hostile sizes: coefficients saturate at 2^62 (no tensor has that many elements), and a polynomial with too many terms or nested floors becomes an unknown.
 * One lock a table: emitters of several kernels share it.
 */
#include "dim_poly.h"

#include <stdlib.h>
#include <string.h>

void dims_lock(const DimTable *t)
{
    pthread_mutex_lock(t->lock);
}

void dims_unlock(const DimTable *t)
{
    pthread_mutex_unlock(t->lock);
}

int64_t dims_sat_add(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        r = a < 0 ? -SATURATED : SATURATED;
    return r > SATURATED ? SATURATED : r < -SATURATED ? -SATURATED : r;
}

int64_t dims_sat_mul(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        r = (a < 0) != (b < 0) ? -SATURATED : SATURATED;
    return r > SATURATED ? SATURATED : r < -SATURATED ? -SATURATED : r;
}

int64_t dims_floor_quotient(int64_t a, int64_t k)
{
    return a / k - (a % k < 0);
}

int64_t dims_gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* ---- interning ---- */

static void index_insert(Index *x, uint64_t hash, uint32_t number)
{
    uint32_t k = (uint32_t)hash & (x->cap - 1);
    while (x->slots[k])
        k = (k + 1) & (x->cap - 1);
    x->slots[k] = number + 1;
}

static uint64_t poly_hash(const Term *w, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key[2] = { w[i].mono, (uint64_t)w[i].coef };
        h = hash_bytes(key, sizeof key, h);
    }
    return h;
}

static uint64_t mono_hash(const uint32_t *atoms, uint32_t n)
{
    return hash_bytes(atoms, n * sizeof *atoms, n);
}

static uint64_t atom_hash(const Atom *a)
{
    uint64_t key[3] = { (uint64_t)(uintptr_t)a->name, a->inner, (uint64_t)a->k };
    return hash_bytes(key, sizeof key, 0);
}

/* Makes room for one more; the caller re-inserts everything when true. */
static bool index_grow(Index *x)
{
    if (x->n * 2 < x->cap)
        return false;
    free(x->slots);
    x->cap = x->cap ? x->cap * 2 : 64;
    x->slots = xmalloc(x->cap * sizeof *x->slots);
    return true;
}

static uint32_t intern_atom(DimTable *t, Atom a)
{
    uint64_t h = atom_hash(&a);
    if (index_grow(&t->atom_index))
        for (uint32_t i = 0; i < t->atoms.n; i++)
            index_insert(&t->atom_index, atom_hash(&t->atoms.at[i]), i);
    Index *x = &t->atom_index;
    for (uint32_t k = (uint32_t)h & (x->cap - 1); x->slots[k]; k = (k + 1) & (x->cap - 1)) {
        const Atom *b = &t->atoms.at[x->slots[k] - 1];
        if (b->name == a.name && b->inner == a.inner && b->k == a.k)
            return x->slots[k] - 1;
    }
    vec_push(&t->atoms, a);
    index_insert(x, h, t->atoms.n - 1);
    x->n++;
    return t->atoms.n - 1;
}

/* atoms: sorted */
static uint32_t intern_mono(DimTable *t, const uint32_t *atoms, uint32_t n)
{
    if (n == 0)
        return 0;
    uint64_t h = mono_hash(atoms, n);
    if (index_grow(&t->mono_index))
        for (uint32_t i = 1; i < t->monos.n; i++)
            index_insert(&t->mono_index, mono_hash(&t->mono_atoms.at[t->monos.at[i].first], t->monos.at[i].n), i);
    Index *x = &t->mono_index;
    for (uint32_t k = (uint32_t)h & (x->cap - 1); x->slots[k]; k = (k + 1) & (x->cap - 1)) {
        Span m = t->monos.at[x->slots[k] - 1];
        if (m.n == n && !memcmp(&t->mono_atoms.at[m.first], atoms, n * sizeof *atoms))
            return x->slots[k] - 1;
    }
    Span m = { t->mono_atoms.n, n };
    for (uint32_t i = 0; i < n; i++)
        vec_push(&t->mono_atoms, atoms[i]);
    vec_push(&t->monos, m);
    index_insert(x, h, t->monos.n - 1);
    x->n++;
    return t->monos.n - 1;
}

/* w: sorted, combined, no zeros */
Dim poly_intern(DimTable *t, const Term *w, uint32_t n)
{
    if (n == 0)
        return 0;
    if (n == 1 && w[0].mono == 0 && w[0].coef >= 0 && w[0].coef < CONST_LIMIT)
        return (Dim)w[0].coef;
    uint64_t h = poly_hash(w, n);
    if (index_grow(&t->poly_index))
        for (uint32_t i = 0; i < t->polys.n; i++)
            index_insert(&t->poly_index, poly_hash(&t->terms.at[t->polys.at[i].first], t->polys.at[i].n), i);
    Index *x = &t->poly_index;
    for (uint32_t k = (uint32_t)h & (x->cap - 1); x->slots[k]; k = (k + 1) & (x->cap - 1)) {
        Span    p = t->polys.at[x->slots[k] - 1];
        uint32_t i = 0;
        while (p.n == n && i < n && t->terms.at[p.first + i].mono == w[i].mono && t->terms.at[p.first + i].coef == w[i].coef)
            i++;
        if (p.n == n && i == n)
            return (Dim)CONST_LIMIT + x->slots[k] - 1;
    }
    Span p = { t->terms.n, n };
    for (uint32_t i = 0; i < n; i++)
        vec_push(&t->terms, w[i]);
    vec_push(&t->polys, p);
    index_insert(x, h, t->polys.n - 1);
    x->n++;
    return (Dim)CONST_LIMIT + t->polys.n - 1;
}

/* ---- reading ---- */

bool poly_is_small(Dim a)
{
    return a < CONST_LIMIT;
}

/* The terms of a; small holds the one term of a constant. Good until the next Dim is made. */
uint32_t poly_terms(const DimTable *t, Dim a, const Term **w, Term *small)
{
    if (poly_is_small(a)) {
        *small = (Term){ 0, a };
        *w = small;
        return a != 0;
    }
    Span p = t->polys.at[a - CONST_LIMIT];
    *w = &t->terms.at[p.first];
    return p.n;
}

bool poly_is_const(const DimTable *t, Dim a, int64_t *v)
{
    Term        small;
    const Term *w;
    uint32_t    n = poly_terms(t, a, &w, &small);
    if (n > 1 || (n == 1 && w[0].mono != 0))
        return false;
    *v = n ? w[0].coef : 0;
    return true;
}

static int compare_dims(const DimTable *t, Dim a, Dim b);

/* Symbols by name, before floors. */
static int compare_atoms(const DimTable *t, uint32_t a, uint32_t b)
{
    const Atom *x = &t->atoms.at[a], *y = &t->atoms.at[b];
    if (a == b)
        return 0;
    if (x->name && y->name)
        return strcmp(x->name, y->name);
    if (x->name || y->name)
        return x->name ? -1 : 1;
    if (x->k != y->k)
        return x->k < y->k ? -1 : 1;
    return compare_dims(t, x->inner, y->inner);
}

/* Graded lexicographic: a higher degree first, then the one with more of the first atom. */
static int compare_monos(const DimTable *t, uint32_t a, uint32_t b)
{
    Span x = t->monos.at[a], y = t->monos.at[b];
    if (a == b)
        return 0;
    if (x.n != y.n)
        return x.n > y.n ? -1 : 1;
    for (uint32_t i = 0; i < x.n; i++) {
        int c = compare_atoms(t, t->mono_atoms.at[x.first + i], t->mono_atoms.at[y.first + i]);
        if (c)
            return c;
    }
    return 0;
}

static int compare_dims(const DimTable *t, Dim a, Dim b)
{
    Term        sx, sy;
    const Term *x, *y;
    uint32_t    nx = poly_terms(t, a, &x, &sx), ny = poly_terms(t, b, &y, &sy);
    for (uint32_t i = 0; a != b && i < nx && i < ny; i++) {
        int c = compare_monos(t, x[i].mono, y[i].mono);
        if (c)
            return c;
        if (x[i].coef != y[i].coef)
            return x[i].coef < y[i].coef ? -1 : 1;
    }
    return a == b ? 0 : nx < ny ? -1 : 1;
}

/* ---- making ---- */

Dim poly_of_atom(DimTable *t, uint32_t atom)
{
    Term w = { intern_mono(t, &atom, 1), 1 };
    return poly_intern(t, &w, 1);
}

static Dim fresh(DimTable *t, const char *hint)
{
    char name[128];
    const char *tick = strchr(hint, '\'');
    snprintf(name, sizeof name, "%.*s'%u", tick ? (int)(tick - hint) : (int)strlen(hint) > 100 ? 100 : (int)strlen(hint), hint, ++t->fresh);
    return poly_of_atom(t, intern_atom(t, (Atom){ .name = intern(name) }));
}

void poly_load(const DimTable *t, Dim a, int64_t scale, Terms *w)
{
    Term        small;
    const Term *from;
    uint32_t    n = poly_terms(t, a, &from, &small);
    for (uint32_t i = 0; i < n; i++) {
        Term x = { from[i].mono, dims_sat_mul(from[i].coef, scale) };
        vec_push(w, x);
    }
}

static uint32_t mono_mul(DimTable *t, uint32_t a, uint32_t b, bool *too_big)
{
    Span     x = t->monos.at[a], y = t->monos.at[b];
    uint32_t atoms[MAX_DEGREE], n = 0, i = 0, j = 0;
    if (x.n + y.n > MAX_DEGREE) {
        *too_big = true;
        return 0;
    }
    while (i < x.n || j < y.n) {
        bool left = j == y.n || (i < x.n && compare_atoms(t, t->mono_atoms.at[x.first + i], t->mono_atoms.at[y.first + j]) <= 0);
        atoms[n++] = left ? t->mono_atoms.at[x.first + i++] : t->mono_atoms.at[y.first + j++];
    }
    return intern_mono(t, atoms, n);
}

/* a without one occurrence of its i-th atom */
uint32_t mono_without(DimTable *t, uint32_t a, uint32_t skip)
{
    Span     x = t->monos.at[a];
    uint32_t atoms[MAX_DEGREE], n = 0;
    for (uint32_t i = 0; i < x.n; i++)
        if (i != skip)
            atoms[n++] = t->mono_atoms.at[x.first + i];
    return intern_mono(t, atoms, n);
}

static void combine(const DimTable *t, Terms *w)
{
    uint32_t n = 0;
    for (uint32_t i = 1; i < w->n; i++) {
        Term     x = w->at[i];
        uint32_t j = i;
        for (; j > 0 && compare_monos(t, w->at[j - 1].mono, x.mono) > 0; j--)
            w->at[j] = w->at[j - 1];
        w->at[j] = x;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        if (n && w->at[n - 1].mono == w->at[i].mono)
            w->at[n - 1].coef = dims_sat_add(w->at[n - 1].coef, w->at[i].coef);
        else
            w->at[n++] = w->at[i];
        if (w->at[n - 1].coef == 0 && (i + 1 == w->n || w->at[i + 1].mono != w->at[n - 1].mono))
            n--;
    }
    w->n = n;
}

/* For a half atom X//2 or (X + 1)//2 (X without constant): the other one, and X. */
static uint32_t half_dual(DimTable *t, uint32_t atom, Dim *sum)
{
    Atom        a = t->atoms.at[atom];
    Term        small;
    const Term *w;
    uint32_t    n = poly_terms(t, a.inner, &w, &small);
    bool        odd = w[n - 1].mono == 0;
    *sum = odd ? poly_add(t, a.inner, 1, -1) : a.inner;
    return intern_atom(t, (Atom){ .inner = odd ? *sum : poly_add(t, a.inner, 1, 1), .k = 2, .depth = a.depth });
}

/* Rewrites one term of w by X//2 + (X + 1)//2 = X: negative halves go, and pairs of positive ones. false: nothing to do. */
static bool rewrite_half(DimTable *t, Terms *w, bool *too_big)
{
    for (uint32_t i = 0; i < w->n; i++) {
        Span m = t->monos.at[w->at[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t atom = t->mono_atoms.at[m.first + j];
            if (t->atoms.at[atom].name || t->atoms.at[atom].k != 2)
                continue;
            Dim      sum;
            uint32_t dual = half_dual(t, atom, &sum), rest = mono_without(t, w->at[i].mono, j), partner = mono_mul(t, rest, intern_mono(t, &dual, 1), too_big), p = 0;
            int64_t  c = w->at[i].coef;
            while (p < w->n && w->at[p].mono != partner)
                p++;
            if (c > 0 && (p == w->n || w->at[p].coef <= 0))
                continue;
            if (c > 0 && w->at[p].coef < c)
                c = w->at[p].coef;
            w->at[i].coef -= c;
            Term minus = { partner, -c };
            vec_push(w, minus);
            Terms s = { 0 };
            poly_load(t, sum, c, &s);
            for (uint32_t k = 0; k < s.n; k++) {
                Term x = { mono_mul(t, s.at[k].mono, rest, too_big), s.at[k].coef };
                vec_push(w, x);
            }
            vec_free(&s);
            return true;
        }
    }
    return false;
}

/* Frees w. */
Dim poly_finish(DimTable *t, Terms *w, bool too_big)
{
    combine(t, w);
    for (int guard = 0; guard < 64 && w->n <= MAX_TERMS && !too_big && rewrite_half(t, w, &too_big); guard++)
        combine(t, w);
    bool huge = too_big || w->n > MAX_TERMS;
    Dim  d = huge ? fresh(t, "huge") : poly_intern(t, w->at, w->n);
    t->overflowed |= huge;
    vec_free(w);
    return d;
}

/* a + scale * b */
Dim poly_add(DimTable *t, Dim a, Dim b, int64_t scale)
{
    Terms w = { 0 };
    poly_load(t, a, 1, &w);
    poly_load(t, b, scale, &w);
    return poly_finish(t, &w, false);
}

Dim poly_mul(DimTable *t, Dim a, Dim b)
{
    Terms x = { 0 }, y = { 0 }, w = { 0 };
    bool  too_big = false;
    poly_load(t, a, 1, &x);
    poly_load(t, b, 1, &y);
    if (x.n * y.n > 4 * MAX_TERMS)
        too_big = true;
    for (uint32_t i = 0; i < x.n && !too_big; i++)
        for (uint32_t j = 0; j < y.n; j++) {
            Term p = { mono_mul(t, x.at[i].mono, y.at[j].mono, &too_big), dims_sat_mul(x.at[i].coef, y.at[j].coef) };
            vec_push(&w, p);
        }
    vec_free(&x);
    vec_free(&y);
    return poly_finish(t, &w, too_big);
}

bool mono_has_floor(const DimTable *t, uint32_t m)
{
    Span s = t->monos.at[m];
    for (uint32_t i = 0; i < s.n; i++)
        if (!t->atoms.at[t->mono_atoms.at[s.first + i]].name)
            return true;
    return false;
}

/* floor(r / k) for reduced terms r (coefficients in [1, k), the constant last if there is one); frees r. */
static Dim floor_atom(DimTable *t, Terms *r, int64_t k)
{
    bool     has_const = r->at[r->n - 1].mono == 0;
    int64_t  c = has_const ? r->at[r->n - 1].coef : 0;
    uint32_t n = r->n - has_const, floors = 0, which = 0;
    for (uint32_t i = 0; i < n; i++)
        if (mono_has_floor(t, r->at[i].mono)) {
            floors++;
            which = i;
        }
    if (floors == 1 && r->at[which].coef == 1 && t->monos.at[r->at[which].mono].n == 1) {
        Atom f = t->atoms.at[t->mono_atoms.at[t->monos.at[r->at[which].mono].first]];
        if (f.k < CONST_LIMIT && k < CONST_LIMIT) {
            r->at[which].coef = 0;
            return poly_floordiv(t, poly_add(t, f.inner, poly_finish(t, r, false), f.k), f.k * k);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (2 * r->at[i].coef == k)
            continue;
        if (2 * r->at[i].coef < k)
            break;
        Terms sum = { 0 }, other = { 0 };
        for (uint32_t j = 0; j < n; j++) {
            Term s = { r->at[j].mono, 1 }, o = { r->at[j].mono, k - r->at[j].coef };
            vec_push(&sum, s);
            vec_push(&other, o);
        }
        Term o = { 0, k - 1 - c };
        vec_push(&other, o);
        vec_free(r);
        Dim s = poly_finish(t, &sum, false);
        return poly_add(t, s, poly_floordiv(t, poly_finish(t, &other, false), k), -1);
    }
    uint32_t depth = 0;
    for (uint32_t i = 0; i < n; i++) {
        Span m = t->monos.at[r->at[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t d = t->atoms.at[t->mono_atoms.at[m.first + j]].depth;
            depth = d > depth ? d : depth;
        }
    }
    Dim inner = poly_finish(t, r, false);
    if (depth >= MAX_DEPTH)
        return t->overflowed = true, fresh(t, "deep");
    return poly_of_atom(t, intern_atom(t, (Atom){ .inner = inner, .k = k, .depth = depth + 1 }));
}

Dim poly_floordiv(DimTable *t, Dim a, int64_t k)
{
    if (k <= 1)
        return a;
    Terms   r = { 0 }, q = { 0 };
    int64_t g = k;
    poly_load(t, a, 1, &r);
    for (uint32_t i = 0; i < r.n; i++) {
        Term out = { r.at[i].mono, dims_floor_quotient(r.at[i].coef, k) };
        vec_push(&q, out);
        r.at[i].coef -= out.coef * k;
        if (r.at[i].mono)
            g = dims_gcd(g, r.at[i].coef);
    }
    uint32_t n = 0, vars = 0;
    for (uint32_t i = 0; i < r.n; i++) {
        Term x = { r.at[i].mono, r.at[i].coef / g };
        if (x.coef) {
            vars += x.mono != 0;
            r.at[n++] = x;
        }
    }
    r.n = n;
    Dim whole = poly_finish(t, &q, false);
    if (!vars || k / g == 1) {
        if (!vars)
            r.n = 0;
        return poly_add(t, whole, poly_finish(t, &r, false), 1);
    }
    return poly_add(t, whole, floor_atom(t, &r, k / g), 1);
}

bool poly_divide(DimTable *t, Dim a, Dim b, Dim *q)
{
    Term        small;
    const Term *w;
    Dim         quotient = 0;
    if (b == 0)
        return false;
    for (int guard = 0; a != 0 && guard < 2 * MAX_TERMS; guard++) {
        poly_terms(t, b, &w, &small);
        Term lead = w[0];
        poly_terms(t, a, &w, &small);
        Term     top = w[0];
        Span     x = t->monos.at[top.mono], y = t->monos.at[lead.mono];
        uint32_t atoms[MAX_DEGREE], n = 0, j = 0;
        if (top.coef % lead.coef)
            return false;
        for (uint32_t i = 0; i < x.n; i++) {
            uint32_t atom = t->mono_atoms.at[x.first + i];
            if (j < y.n && t->mono_atoms.at[y.first + j] == atom)
                j++;
            else
                atoms[n++] = atom;
        }
        if (j < y.n)
            return false;
        Term step = { intern_mono(t, atoms, n), top.coef / lead.coef };
        Dim  s = poly_intern(t, &step, 1);
        quotient = poly_add(t, quotient, s, 1);
        a = poly_add(t, a, poly_mul(t, s, b), -1);
    }
    *q = quotient;
    return a == 0;
}

/* ---- the public face of making ---- */

DimTable *dims_new(void)
{
    DimTable *t = xmalloc(sizeof *t);
    Span      one = { 0, 0 };
    t->lock = xmalloc(sizeof *t->lock);
    pthread_mutex_init(t->lock, NULL);
    vec_push(&t->monos, one);
    return t;
}

void dims_free(DimTable *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(t->lock);
    free(t->lock);
    vec_free(&t->polys);
    vec_free(&t->terms);
    vec_free(&t->monos);
    vec_free(&t->mono_atoms);
    vec_free(&t->atoms);
    free(t->poly_index.slots);
    free(t->mono_index.slots);
    free(t->atom_index.slots);
    free(t);
}

Dim dim_const(DimTable *t, int64_t v)
{
    if (v >= 0 && v < CONST_LIMIT)
        return (Dim)v;
    Term w = { 0, v > SATURATED ? SATURATED : v < -SATURATED ? -SATURATED : v };
    dims_lock(t);
    Dim d = poly_intern(t, &w, 1);
    dims_unlock(t);
    return d;
}

Dim dim_sym(DimTable *t, const char *name)
{
    name = intern(name);
    dims_lock(t);
    Dim d = poly_of_atom(t, intern_atom(t, (Atom){ .name = name }));
    const char *tick = strchr(name, '\'');
    if (tick && (uint32_t)atoi(tick + 1) > t->fresh)
        t->fresh = (uint32_t)atoi(tick + 1);
    dims_unlock(t);
    return d;
}

bool dims_overflowed(const DimTable *t)
{
    return t->overflowed;
}

Dim dim_fresh(DimTable *t, const char *hint)
{
    dims_lock(t);
    Dim d = fresh(t, hint);
    dims_unlock(t);
    return d;
}

Dim dim_add(DimTable *t, Dim a, Dim b)
{
    if (poly_is_small(a) && poly_is_small(b) && (int64_t)a + b < CONST_LIMIT)
        return a + b;
    dims_lock(t);
    Dim d = poly_add(t, a, b, 1);
    dims_unlock(t);
    return d;
}

Dim dim_sub(DimTable *t, Dim a, Dim b)
{
    if (a == b)
        return 0;
    dims_lock(t);
    Dim d = poly_add(t, a, b, -1);
    dims_unlock(t);
    return d;
}

Dim dim_mul(DimTable *t, Dim a, Dim b)
{
    if (poly_is_small(a) && poly_is_small(b) && (int64_t)a * b < CONST_LIMIT)
        return a * b;
    dims_lock(t);
    Dim d = poly_mul(t, a, b);
    dims_unlock(t);
    return d;
}

Dim dim_scale(DimTable *t, Dim a, int64_t k)
{
    dims_lock(t);
    Dim d = poly_add(t, 0, a, k);
    dims_unlock(t);
    return d;
}

Dim dim_floordiv(DimTable *t, Dim a, int64_t k)
{
    dims_lock(t);
    Dim d = poly_floordiv(t, a, k);
    dims_unlock(t);
    return d;
}

Dim dim_ceildiv(DimTable *t, Dim a, int64_t k)
{
    return dim_floordiv(t, dim_add(t, a, dim_const(t, k - 1)), k);
}

bool dim_divide(DimTable *t, Dim a, Dim b, Dim *q)
{
    dims_lock(t);
    bool ok = poly_divide(t, a, b, q);
    dims_unlock(t);
    return ok;
}
