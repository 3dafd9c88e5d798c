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
#include "dim.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TERMS = 512, MAX_DEGREE = 24, MAX_DEPTH = 8, MAX_PARSE = 100 };
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

static Dim  add(DimTable *t, Dim a, Dim b, int64_t scale);
static Dim  mul(DimTable *t, Dim a, Dim b);
static Dim  floordiv(DimTable *t, Dim a, int64_t k);

static void lock(const DimTable *t)
{
    pthread_mutex_lock(t->lock);
}

static void unlock(const DimTable *t)
{
    pthread_mutex_unlock(t->lock);
}

static int64_t sat_add(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r))
        r = a < 0 ? -SATURATED : SATURATED;
    return r > SATURATED ? SATURATED : r < -SATURATED ? -SATURATED : r;
}

static int64_t sat_mul(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r))
        r = (a < 0) != (b < 0) ? -SATURATED : SATURATED;
    return r > SATURATED ? SATURATED : r < -SATURATED ? -SATURATED : r;
}

static int64_t floor_quotient(int64_t a, int64_t k)
{
    return a / k - (a % k < 0);
}

static int64_t gcd(int64_t a, int64_t b)
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
static Dim intern_poly(DimTable *t, const Term *w, uint32_t n)
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

static bool is_small(Dim a)
{
    return a < CONST_LIMIT;
}

/* The terms of a; small holds the one term of a constant. Good until the next Dim is made. */
static uint32_t terms_of(const DimTable *t, Dim a, const Term **w, Term *small)
{
    if (is_small(a)) {
        *small = (Term){ 0, a };
        *w = small;
        return a != 0;
    }
    Span p = t->polys.at[a - CONST_LIMIT];
    *w = &t->terms.at[p.first];
    return p.n;
}

static bool is_const(const DimTable *t, Dim a, int64_t *v)
{
    Term        small;
    const Term *w;
    uint32_t    n = terms_of(t, a, &w, &small);
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
    uint32_t    nx = terms_of(t, a, &x, &sx), ny = terms_of(t, b, &y, &sy);
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

static Dim from_atom(DimTable *t, uint32_t atom)
{
    Term w = { intern_mono(t, &atom, 1), 1 };
    return intern_poly(t, &w, 1);
}

static Dim fresh(DimTable *t, const char *hint)
{
    char name[128];
    const char *tick = strchr(hint, '\'');
    snprintf(name, sizeof name, "%.*s'%u", tick ? (int)(tick - hint) : (int)strlen(hint) > 100 ? 100 : (int)strlen(hint), hint, ++t->fresh);
    return from_atom(t, intern_atom(t, (Atom){ .name = intern(name) }));
}

static void load(const DimTable *t, Dim a, int64_t scale, Terms *w)
{
    Term        small;
    const Term *from;
    uint32_t    n = terms_of(t, a, &from, &small);
    for (uint32_t i = 0; i < n; i++) {
        Term x = { from[i].mono, sat_mul(from[i].coef, scale) };
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
static uint32_t mono_without(DimTable *t, uint32_t a, uint32_t skip)
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
            w->at[n - 1].coef = sat_add(w->at[n - 1].coef, w->at[i].coef);
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
    uint32_t    n = terms_of(t, a.inner, &w, &small);
    bool        odd = w[n - 1].mono == 0;
    *sum = odd ? add(t, a.inner, 1, -1) : a.inner;
    return intern_atom(t, (Atom){ .inner = odd ? *sum : add(t, a.inner, 1, 1), .k = 2, .depth = a.depth });
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
            load(t, sum, c, &s);
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
static Dim finish(DimTable *t, Terms *w, bool too_big)
{
    combine(t, w);
    for (int guard = 0; guard < 64 && w->n <= MAX_TERMS && !too_big && rewrite_half(t, w, &too_big); guard++)
        combine(t, w);
    bool huge = too_big || w->n > MAX_TERMS;
    Dim  d = huge ? fresh(t, "huge") : intern_poly(t, w->at, w->n);
    t->overflowed |= huge;
    vec_free(w);
    return d;
}

/* a + scale * b */
static Dim add(DimTable *t, Dim a, Dim b, int64_t scale)
{
    Terms w = { 0 };
    load(t, a, 1, &w);
    load(t, b, scale, &w);
    return finish(t, &w, false);
}

static Dim mul(DimTable *t, Dim a, Dim b)
{
    Terms x = { 0 }, y = { 0 }, w = { 0 };
    bool  too_big = false;
    load(t, a, 1, &x);
    load(t, b, 1, &y);
    if (x.n * y.n > 4 * MAX_TERMS)
        too_big = true;
    for (uint32_t i = 0; i < x.n && !too_big; i++)
        for (uint32_t j = 0; j < y.n; j++) {
            Term p = { mono_mul(t, x.at[i].mono, y.at[j].mono, &too_big), sat_mul(x.at[i].coef, y.at[j].coef) };
            vec_push(&w, p);
        }
    vec_free(&x);
    vec_free(&y);
    return finish(t, &w, too_big);
}

static bool mono_has_floor(const DimTable *t, uint32_t m)
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
            return floordiv(t, add(t, f.inner, finish(t, r, false), f.k), f.k * k);
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
        Dim s = finish(t, &sum, false);
        return add(t, s, floordiv(t, finish(t, &other, false), k), -1);
    }
    uint32_t depth = 0;
    for (uint32_t i = 0; i < n; i++) {
        Span m = t->monos.at[r->at[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t d = t->atoms.at[t->mono_atoms.at[m.first + j]].depth;
            depth = d > depth ? d : depth;
        }
    }
    Dim inner = finish(t, r, false);
    if (depth >= MAX_DEPTH)
        return t->overflowed = true, fresh(t, "deep");
    return from_atom(t, intern_atom(t, (Atom){ .inner = inner, .k = k, .depth = depth + 1 }));
}

static Dim floordiv(DimTable *t, Dim a, int64_t k)
{
    if (k <= 1)
        return a;
    Terms   r = { 0 }, q = { 0 };
    int64_t g = k;
    load(t, a, 1, &r);
    for (uint32_t i = 0; i < r.n; i++) {
        Term out = { r.at[i].mono, floor_quotient(r.at[i].coef, k) };
        vec_push(&q, out);
        r.at[i].coef -= out.coef * k;
        if (r.at[i].mono)
            g = gcd(g, r.at[i].coef);
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
    Dim whole = finish(t, &q, false);
    if (!vars || k / g == 1) {
        if (!vars)
            r.n = 0;
        return add(t, whole, finish(t, &r, false), 1);
    }
    return add(t, whole, floor_atom(t, &r, k / g), 1);
}

static bool divide(DimTable *t, Dim a, Dim b, Dim *q)
{
    Term        small;
    const Term *w;
    Dim         quotient = 0;
    if (b == 0)
        return false;
    for (int guard = 0; a != 0 && guard < 2 * MAX_TERMS; guard++) {
        terms_of(t, b, &w, &small);
        Term lead = w[0];
        terms_of(t, a, &w, &small);
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
        Dim  s = intern_poly(t, &step, 1);
        quotient = add(t, quotient, s, 1);
        a = add(t, a, mul(t, s, b), -1);
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
    lock(t);
    Dim d = intern_poly(t, &w, 1);
    unlock(t);
    return d;
}

Dim dim_sym(DimTable *t, const char *name)
{
    name = intern(name);
    lock(t);
    Dim d = from_atom(t, intern_atom(t, (Atom){ .name = name }));
    const char *tick = strchr(name, '\'');
    if (tick && (uint32_t)atoi(tick + 1) > t->fresh)
        t->fresh = (uint32_t)atoi(tick + 1);
    unlock(t);
    return d;
}

bool dims_overflowed(const DimTable *t)
{
    return t->overflowed;
}

Dim dim_fresh(DimTable *t, const char *hint)
{
    lock(t);
    Dim d = fresh(t, hint);
    unlock(t);
    return d;
}

Dim dim_add(DimTable *t, Dim a, Dim b)
{
    if (is_small(a) && is_small(b) && (int64_t)a + b < CONST_LIMIT)
        return a + b;
    lock(t);
    Dim d = add(t, a, b, 1);
    unlock(t);
    return d;
}

Dim dim_sub(DimTable *t, Dim a, Dim b)
{
    if (a == b)
        return 0;
    lock(t);
    Dim d = add(t, a, b, -1);
    unlock(t);
    return d;
}

Dim dim_mul(DimTable *t, Dim a, Dim b)
{
    if (is_small(a) && is_small(b) && (int64_t)a * b < CONST_LIMIT)
        return a * b;
    lock(t);
    Dim d = mul(t, a, b);
    unlock(t);
    return d;
}

Dim dim_scale(DimTable *t, Dim a, int64_t k)
{
    lock(t);
    Dim d = add(t, 0, a, k);
    unlock(t);
    return d;
}

Dim dim_floordiv(DimTable *t, Dim a, int64_t k)
{
    lock(t);
    Dim d = floordiv(t, a, k);
    unlock(t);
    return d;
}

Dim dim_ceildiv(DimTable *t, Dim a, int64_t k)
{
    return dim_floordiv(t, dim_add(t, a, dim_const(t, k - 1)), k);
}

bool dim_divide(DimTable *t, Dim a, Dim b, Dim *q)
{
    lock(t);
    bool ok = divide(t, a, b, q);
    unlock(t);
    return ok;
}

/* ---- questions ---- */

bool dim_is_const(const DimTable *t, Dim a, int64_t *v)
{
    int64_t value = a;
    bool    yes = true;
    if (!is_small(a)) {
        lock(t);
        yes = is_const(t, a, &value);
        unlock(t);
    }
    if (yes && v)
        *v = value;
    return yes;
}

static bool is_sym(const DimTable *t, Dim a, uint32_t *atom)
{
    Term        small;
    const Term *w;
    if (is_small(a) || terms_of(t, a, &w, &small) != 1 || w[0].coef != 1 || t->monos.at[w[0].mono].n != 1)
        return false;
    *atom = t->mono_atoms.at[t->monos.at[w[0].mono].first];
    return t->atoms.at[*atom].name != NULL;
}

bool dim_is_sym(const DimTable *t, Dim a)
{
    uint32_t atom;
    lock(t);
    bool yes = is_sym(t, a, &atom);
    unlock(t);
    return yes;
}

bool dim_valid(const DimTable *t, int64_t a)
{
    lock(t);
    bool yes = a >= 0 && (a < CONST_LIMIT || a - CONST_LIMIT < t->polys.n);
    unlock(t);
    return yes;
}

static void collect_atoms(const DimTable *t, Dim a, uint32_t *seen, uint32_t *n, uint32_t max)
{
    Term        small;
    const Term *w;
    uint32_t    terms = terms_of(t, a, &w, &small);
    for (uint32_t i = 0; i < terms; i++) {
        Span m = t->monos.at[w[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t atom = t->mono_atoms.at[m.first + j], k = 0;
            if (!t->atoms.at[atom].name) {
                collect_atoms(t, t->atoms.at[atom].inner, seen, n, max);
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
    if (is_small(a))
        return 0;
    lock(t);
    collect_atoms(t, a, seen, &n, max < COUNT(seen) ? max : COUNT(seen));
    for (uint32_t i = 0; i < n; i++)
        out[i] = from_atom((DimTable *)t, seen[i]);    /* exists already or is made: a cache, not a change */
    unlock(t);
    return n;
}

bool dim_has_floor(const DimTable *t, Dim a)
{
    Term        small;
    const Term *w;
    bool        found = false;
    if (is_small(a))
        return false;
    lock(t);
    uint32_t n = terms_of(t, a, &w, &small);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < t->monos.at[w[i].mono].n; j++)
            found |= !t->atoms.at[t->mono_atoms.at[t->monos.at[w[i].mono].first + j]].name;
    unlock(t);
    return found;
}

/* All coefficients >= 0 and all atoms >= 0. */
static bool plainly_nonneg(const DimTable *t, Dim a)
{
    Term        small;
    const Term *w;
    uint32_t    n = terms_of(t, a, &w, &small);
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
        if (plainly_nonneg(t, scale > 1 ? add(t, a, intern_poly(t, &slack, 1), 1) : a))
            return true;
        Term        small;
        const Term *w;
        uint32_t    n = terms_of(t, a, &w, &small), i = 0;
        while (i < n && (t->monos.at[w[i].mono].n != 1 || !mono_has_floor(t, w[i].mono)))
            i++;
        if (i == n)
            return false;
        Term f = w[i];
        Atom x = t->atoms.at[t->mono_atoms.at[t->monos.at[f.mono].first]];
        Term one = { f.mono, f.coef };
        Dim  rest = add(t, a, intern_poly(t, &one, 1), -1), bound = x.inner;
        if (f.coef > 0) {
            Term back = { 0, 1 - x.k };
            bound = add(t, bound, intern_poly(t, &back, 1), 1);
        }
        if (x.k > (1 << 20) || scale > (1 << 20))
            return false;
        scale *= x.k;
        a = add(t, add(t, 0, rest, x.k), bound, f.coef);
    }
    return false;
}

bool dim_nonneg(const DimTable *t, Dim a)
{
    if (is_small(a))
        return true;
    lock(t);
    bool yes = nonneg((DimTable *)t, a);
    unlock(t);
    return yes;
}

/* d is never zero: by sign, or because the common factor of its variables does not divide its constant. */
static bool never_zero(DimTable *t, Dim d)
{
    Term        small;
    const Term *w;
    uint32_t    n = terms_of(t, d, &w, &small);
    int64_t     g = 0, c = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (w[i].mono)
            g = gcd(w[i].coef, g);
        else
            c = w[i].coef;
    }
    if (n == 0)
        return false;
    if (g == 0 || c % g)
        return true;
    return c > 0 ? nonneg(t, add(t, d, 1, -1)) : c < 0 ? nonneg(t, add(t, add(t, 0, d, -1), 1, -1)) : false;
}

bool dim_never_equal(const DimTable *t, Dim a, Dim b)
{
    if (is_small(a) && is_small(b))
        return a != b;
    lock(t);
    bool yes = never_zero((DimTable *)t, add((DimTable *)t, a, b, -1));
    unlock(t);
    return yes;
}

static Dim substitute(DimTable *t, Dim a, uint32_t atom, Dim by)
{
    Terms w = { 0 };
    Dim   sum = 0;
    load(t, a, 1, &w);
    for (uint32_t i = 0; i < w.n; i++) {
        Term coef = { 0, w.at[i].coef };
        Dim  product = intern_poly(t, &coef, 1);
        Span m = t->monos.at[w.at[i].mono];
        for (uint32_t j = 0; j < m.n; j++) {
            uint32_t x = t->mono_atoms.at[m.first + j];
            Atom     f = t->atoms.at[x];
            Dim      factor = x == atom ? by : f.name ? from_atom(t, x) : floordiv(t, substitute(t, f.inner, atom, by), f.k);
            product = mul(t, product, factor);
        }
        sum = add(t, sum, product, 1);
    }
    vec_free(&w);
    return sum;
}

Dim dim_substitute(DimTable *t, Dim a, Dim sym, Dim by)
{
    uint32_t atom;
    if (is_small(a))
        return a;
    lock(t);
    if (is_sym(t, sym, &atom))
        a = substitute(t, a, atom, by);
    unlock(t);
    return a;
}

/* How often an atom stands in a mono; floors that hold it count as 2 (not linear). */
static uint32_t occurrences(const DimTable *t, uint32_t mono, uint32_t atom, uint32_t *at)
{
    Span     m = t->monos.at[mono];
    uint32_t count = 0;
    for (uint32_t j = 0; j < m.n; j++) {
        uint32_t x = t->mono_atoms.at[m.first + j], seen[256], n = 0;
        if (x == atom) {
            *at = j;
            count++;
        } else if (!t->atoms.at[x].name) {
            collect_atoms(t, t->atoms.at[x].inner, seen, &n, COUNT(seen));
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
    load(t, d, 1, &w);
    for (uint32_t i = 0; i < w.n && ok; i++) {
        uint32_t at = 0, n = occurrences(t, w.at[i].mono, atom, &at);
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
    *coef = finish(t, &c, false);
    *rest = finish(t, &r, false);
    return ok;
}

static int solve(DimTable *t, Dim pattern, Dim value, const Dim *unknowns, uint32_t n, uint32_t *which, Dim *by)
{
    Dim      d = add(t, pattern, value, -1), coef, rest, q;
    uint32_t seen[256], nseen = 0, found = 0, atom = 0;
    int64_t  v, c;
    collect_atoms(t, d, seen, &nseen, COUNT(seen));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < nseen; j++) {
            uint32_t u;
            if (is_sym(t, unknowns[i], &u) && u == seen[j]) {
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
    rest = add(t, 0, rest, -1);
    if (divide(t, rest, coef, &q)) {
        *by = q;
        return is_const(t, q, &v) && v < 0 ? -1 : 1;
    }
    return is_const(t, coef, &c) && is_const(t, rest, &v) ? -1 : -2;
}

int dim_solve(DimTable *t, Dim pattern, Dim value, const Dim *unknowns, uint32_t n, uint32_t *which, Dim *by)
{
    lock(t);
    int r = solve(t, pattern, value, unknowns, n, which, by);
    unlock(t);
    return r;
}

/* ---- numbers ---- */

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
                uint32_t    ni = terms_of(t, a->inner, &inner, &small);
                if (!eval_terms(t, inner, ni, UINT32_MAX, b, nb, &f))
                    return false;
                f = floor_quotient(f, a->k);
            } else {
                while (k < nb && !(is_sym(t, b[k].sym, &atom) && atom == x))
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
    uint32_t    terms = terms_of(t, a, &w, &small);
    return eval_terms(t, w, terms, UINT32_MAX, b, n, v);
}

bool dim_eval(const DimTable *t, Dim a, const DimBind *b, uint32_t n, int64_t *v)
{
    if (is_small(a)) {
        *v = a;
        return true;
    }
    lock(t);
    bool ok = eval(t, a, b, n, v);
    unlock(t);
    return ok;
}

static int bind(const DimTable *t, Dim pattern, int64_t size, DimBind *b, uint32_t *n, uint32_t max)
{
    uint32_t seen[256], nseen = 0, unbound = 0, atom = 0, u;
    int64_t  v;
    collect_atoms(t, pattern, seen, &nseen, COUNT(seen));
    for (uint32_t i = 0; i < nseen; i++) {
        uint32_t k = 0;
        while (k < *n && !(is_sym(t, b[k].sym, &u) && u == seen[i]))
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
    uint32_t    terms = terms_of(t, pattern, &w, &small);
    int64_t     coef = 0, rest = 0;
    for (uint32_t i = 0; i < terms; i++) {
        uint32_t at, count = occurrences(t, w[i].mono, atom, &at);
        if (count > 1 || !eval_terms(t, &w[i], 1, atom, b, *n, &v))
            return -1;
        if (__builtin_add_overflow(count ? coef : rest, v, count ? &coef : &rest))
            return -1;
    }
    if (coef == 0 || __builtin_sub_overflow(size, rest, &rest) || rest % coef || rest / coef < 0)
        return -1;
    b[*n] = (DimBind){ from_atom((DimTable *)t, atom), rest / coef };
    ++*n;
    return 0;
}

int dim_bind(const DimTable *t, Dim pattern, int64_t size, DimBind *b, uint32_t *n, uint32_t max)
{
    lock(t);
    int r = bind(t, pattern, size, b, n, max);
    unlock(t);
    return r;
}

/* ---- text ---- */

static void print(const DimTable *t, Dim a, Text *out);

/* leading: -B//2 would read as (-B)//2, so a floor behind a leading minus is wrapped */
static void print_product(const DimTable *t, Term x, bool leading, Text *out)
{
    Span    m = t->monos.at[x.mono];
    int64_t c = x.coef < 0 ? -x.coef : x.coef;
    bool    alone = m.n == 1 && c == 1 && !(leading && x.coef < 0);
    if (m.n == 0 || c != 1)
        text_addf(out, "%lld%s", (long long)c, m.n ? "*" : "");
    for (uint32_t j = 0; j < m.n; j++) {
        const Atom *f = &t->atoms.at[t->mono_atoms.at[m.first + j]];
        if (j)
            text_add(out, "*");
        if (f->name) {
            text_add(out, f->name);
            continue;
        }
        Term        small;
        const Term *w;
        bool        bare = terms_of(t, f->inner, &w, &small) == 1;
        text_addf(out, "%s%s", alone ? "" : "(", bare ? "" : "(");
        print(t, f->inner, out);
        text_addf(out, "%s//%lld%s", bare ? "" : ")", (long long)f->k, alone ? "" : ")");
    }
}

/* A positive term comes first if there is one, so that 5 - H does not read -H + 5. */
static void print(const DimTable *t, Dim a, Text *out)
{
    Term        small;
    const Term *w;
    uint32_t    n = terms_of(t, a, &w, &small), first = 0;
    if (n == 0)
        text_add(out, "0");
    while (first < n && w[first].coef < 0)
        first++;
    if (first == n)
        first = 0;
    for (uint32_t i = 0; i < n; i++) {
        Term x = w[i == 0 ? first : i <= first ? i - 1 : i];
        text_add(out, i ? x.coef < 0 ? " - " : " + " : x.coef < 0 ? "-" : "");
        print_product(t, x, i == 0, out);
    }
}

void dim_print(const DimTable *t, Dim a, Text *out)
{
    lock(t);
    print(t, a, out);
    unlock(t);
}

const char *dim_text(const DimTable *t, Dim a, Arena *arena)
{
    Text text = { 0 };
    dim_print(t, a, &text);
    const char *s = arena_strndup(arena, text.at, text.n);
    text_free(&text);
    return s;
}

static void skip_spaces(const char **s)
{
    while (**s == ' ' || **s == '\t')
        ++*s;
}

static Dim parse_sum(DimTable *t, const char **s, int depth);

static Dim parse_primary(DimTable *t, const char **s, int depth)
{
    skip_spaces(s);
    const char *p = *s;
    if (depth > MAX_PARSE)
        return *s = NULL, 0;
    if (*p == '-') {
        ++*s;
        Dim d = parse_primary(t, s, depth + 1);
        return *s ? dim_scale(t, d, -1) : 0;
    }
    if (*p == '(') {
        ++*s;
        Dim d = parse_sum(t, s, depth + 1);
        if (!*s)
            return 0;
        skip_spaces(s);
        if (**s != ')')
            return *s = NULL, 0;
        ++*s;
        return d;
    }
    if (isdigit((unsigned char)*p)) {
        int64_t v = 0;
        for (; isdigit((unsigned char)*p); p++)
            v = sat_add(sat_mul(v, 10), *p - '0');
        *s = p;
        return dim_const(t, v);
    }
    if (!isalpha((unsigned char)*p) && *p != '_')
        return *s = NULL, 0;
    while (isalnum((unsigned char)*p) || *p == '_' || *p == '\'')
        p++;
    Dim d = dim_sym(t, intern_n(*s, (size_t)(p - *s)));
    *s = p;
    return d;
}

static Dim parse_product(DimTable *t, const char **s, int depth)
{
    Dim d = parse_primary(t, s, depth);
    while (*s) {
        skip_spaces(s);
        bool div = (*s)[0] == '/' && (*s)[1] == '/';
        if (!div && **s != '*')
            break;
        *s += div ? 2 : 1;
        Dim     f = parse_primary(t, s, depth);
        int64_t k;
        if (*s && div && (!dim_is_const(t, f, &k) || k < 1))
            *s = NULL;
        if (*s)
            d = div ? dim_floordiv(t, d, k) : dim_mul(t, d, f);
    }
    return *s ? d : 0;
}

static Dim parse_sum(DimTable *t, const char **s, int depth)
{
    Dim d = parse_product(t, s, depth);
    while (*s) {
        skip_spaces(s);
        char op = **s;
        if (op != '+' && op != '-')
            break;
        ++*s;
        Dim f = parse_product(t, s, depth);
        if (*s)
            d = op == '+' ? dim_add(t, d, f) : dim_sub(t, d, f);
    }
    return *s ? d : 0;
}

Dim dim_parse(DimTable *t, const char **s)
{
    return parse_sum(t, s, 0);
}
