/* dim_text.c - symbolic sizes as text, and back: 2*H + 1, (H + 1)//2. */
#include "dim_poly.h"

#include <ctype.h>
#include <string.h>

enum { MAX_PARSE = 100 };      /* nested brackets */

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
        bool        bare = poly_terms(t, f->inner, &w, &small) == 1;
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
    uint32_t    n = poly_terms(t, a, &w, &small), first = 0;
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
    dims_lock(t);
    print(t, a, out);
    dims_unlock(t);
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
            v = dims_sat_add(dims_sat_mul(v, 10), *p - '0');
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
