/* test_dim.c - canonical forms, division, solving, binding and texts of symbolic sizes; a random check against plain integers. */
#include "check.h"
#include "dim.h"

#include <stdlib.h>
#include <string.h>

static DimTable *t;

static Dim parse(const char *s)
{
    const char *p = s;
    Dim         d = dim_parse(t, &p);
    CHECK(p && !*p, "'%s' does not parse", s);
    return d;
}

static void same(const char *a, const char *b)
{
    Text x = { 0 }, y = { 0 };
    Dim  da = parse(a), db = parse(b);
    dim_print(t, da, &x);
    dim_print(t, db, &y);
    CHECK(da == db, "%s is %s, %s is %s", a, x.at, b, y.at);
    text_free(&x);
    text_free(&y);
}

static void prints(const char *a, const char *text)
{
    Text x = { 0 };
    Dim  d = parse(a);
    dim_print(t, d, &x);
    CHECK(!strcmp(x.at, text), "%s prints %s, expected %s", a, x.at, text);
    CHECK(parse(x.at) == d, "%s does not parse back", x.at);
    text_free(&x);
}

static void test_forms(void)
{
    same("H + W", "W + H");
    same("(H + 1)*(H - 1)", "H*H - 1");
    same("N*H*W - W*H*N", "0");
    same("(4*H + 3)//4", "H");
    same("(4*H - 1)//4", "H - 1");
    same("(2*H + 2*W)//4", "(H + W)//2");
    same("(H//2)//3", "H//6");
    same("(H//2 + 1)//2", "(H + 2)//4");
    same("((H - 1)//2 + 1 - 1)//2 + 1", "(H - 1)//4 + 1");
    same("(2*(H//2) + 1)//2", "H//2");
    same("H - H//2", "(H + 1)//2");
    same("-((-H)//2)", "(H + 1)//2");
    same("-((-H)//4)", "(H + 3)//4");
    same("-((-3*H - 1)//7)", "(3*H + 1 + 6)//7");
    same("H//2 + (H + 1)//2", "H");
    same("N*(H - H//2)", "N*((H + 1)//2)");
    same("(H*W + 5)//1", "H*W + 5");
    same("7//2", "3");
    same("-7//2", "-4");
    CHECK(parse("H//2") != parse("(H + 1)//2"), "rounding matters");
    CHECK(parse("N") != parse("M"), "symbols differ");
    CHECK(dim_const(t, 12345) == parse("12345") && dim_const(t, -5) == parse("2 - 7"), "constants");
    CHECK(dim_ceildiv(t, parse("H"), 8) == parse("(H + 7)//8"), "ceiling");
    Dim f = dim_fresh(t, "H"), g = dim_fresh(t, "H");
    CHECK(f != g && f != parse("H"), "fresh symbols are new");
}

static void test_texts(void)
{
    prints("3 + 4*H + (W+1)//2", "4*H + (W + 1)//2 + 3");
    prints("5 - H", "5 - H");
    prints("-H", "-H");
    prints("N*(H//2)*3", "3*N*(H//2)");
    prints("N*((H+1)//2)", "N*((H + 1)//2)");
    prints("(2*H)//3", "H - (H + 2)//3");
    prints("(2*H)//5", "2*H//5");
    prints("-12", "-12");
    const char *bad[] = { "", "+", "4*", "(H", "H//0", "H//W", "3//-1", "*H" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *p = bad[i];
        dim_parse(t, &p);
        CHECK(!p, "'%s' should not parse", bad[i]);
    }
    char deep[400];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    const char *p = deep;
    dim_parse(t, &p);
    CHECK(!p, "deep nesting is refused");
    Dim f = dim_fresh(t, "H");
    Arena arena = { 0 };
    CHECK(parse(dim_text(t, f, &arena)) == f, "a fresh symbol parses back");
    arena_free(&arena);
}

static void test_divide(void)
{
    Dim q;
    CHECK(dim_divide(t, parse("6*N*H*W"), parse("2*H"), &q) && q == parse("3*N*W"), "by a product");
    CHECK(dim_divide(t, parse("H*H - W*W"), parse("H + W"), &q) && q == parse("H - W"), "by a sum");
    CHECK(dim_divide(t, parse("16*N*C*H*W + 8*N*C*H"), parse("2*C*H*W + C*H"), &q) && q == parse("8*N"), "common factor");
    CHECK(dim_divide(t, parse("N*((H+1)//2)"), parse("(H+1)//2"), &q) && q == parse("N"), "by a floor");
    CHECK(dim_divide(t, 0, parse("N"), &q) && q == 0, "zero");
    CHECK(!dim_divide(t, parse("N*H"), parse("W"), &q) && !dim_divide(t, parse("3*N"), 2, &q) && !dim_divide(t, parse("N"), 0, &q) && !dim_divide(t, parse("H*H + 1"), parse("H + 1"), &q),
          "what does not divide");
}

static void test_questions(void)
{
    const char *yes[] = { "H", "H + 3", "H*W", "H - H//2", "H - H//3", "3*H//4", "2*H - (H + 1)//2 + 1", "H//2 + 1 - (H + 2)//4" };
    const char *no[] = { "H - 1", "H - W", "-H", "H//2 - 1", "-1" };
    for (size_t i = 0; i < COUNT(yes); i++)
        CHECK(dim_nonneg(t, parse(yes[i])), "%s >= 0", yes[i]);
    for (size_t i = 0; i < COUNT(no); i++)
        CHECK(!dim_nonneg(t, parse(no[i])), "%s >= 0 is not sure", no[i]);
    CHECK(dim_never_equal(t, parse("H"), parse("H + 1")) && dim_never_equal(t, parse("4*H + 2"), parse("4*W")) && dim_never_equal(t, 3, 4) && dim_never_equal(t, parse("H + W + 1"), 0),
          "provably different");
    CHECK(!dim_never_equal(t, parse("H"), parse("W")) && !dim_never_equal(t, parse("H"), 4) && !dim_never_equal(t, parse("2*(H//2)"), parse("H")) && !dim_never_equal(t, 4, 4), "undecided or equal");
    Dim syms[4];
    CHECK(dim_symbols(t, parse("N*((H+1)//2) + H"), syms, 4) == 2, "symbols within floors");
    CHECK(dim_is_sym(t, parse("N")) && !dim_is_sym(t, parse("2*N")) && !dim_is_sym(t, parse("N//2")) && !dim_is_sym(t, 4), "is a symbol");
    CHECK(dim_substitute(t, parse("N*(H//2) + H"), parse("H"), parse("2*W + 1")) == parse("N*W + 2*W + 1"), "substitution reaches into floors");
}

static void solves(const char *pattern, const char *value, int expected, const char *by)
{
    Dim      unknown[2] = { parse("u"), parse("v") }, got = 0;
    uint32_t which = 9;
    int      r = dim_solve(t, parse(pattern), parse(value), unknown, 2, &which, &got);
    CHECK(r == expected, "%s == %s: %d, expected %d", pattern, value, r, expected);
    if (r == 1 && by)
        CHECK(got == parse(by) && which == 0, "%s == %s: wrong solution", pattern, value);
}

static void binds(const char *pattern, int64_t size, int expected, int64_t value)
{
    DimBind  b[2] = { { parse("N"), 5 } };
    uint32_t n = 1;
    int      r = dim_bind(t, parse(pattern), size, b, &n, 2);
    CHECK(r == expected, "%s = %lld: %d", pattern, (long long)size, r);
    if (r == 0 && value >= 0)
        CHECK(n == 2 && b[1].value == value && b[1].sym == parse("H"), "%s = %lld binds %lld", pattern, (long long)size, (long long)(n == 2 ? b[1].value : -1));
}

static void test_solve(void)
{
    solves("u", "4*W + 1", 1, "4*W + 1");
    solves("2*u + 2", "4*W + 2", 1, "2*W");
    solves("4*u", "64", 1, "16");
    solves("N*u", "N*H*W", 1, "H*W");
    solves("u + H", "64 + H", 1, "64");
    solves("(u + 1)*C", "4*C", 1, "3");
    solves("4*u", "6", -1, NULL);
    solves("4*u", "4*W + 2", -1, NULL);
    solves("u + 3", "1", -1, NULL);
    solves("4*u", "W", -2, NULL);
    solves("u//2", "16", -2, NULL);
    solves("u*u", "16", -2, NULL);
    solves("u*v", "16", -2, NULL);
    solves("64", "32", -1, NULL);
    solves("H", "W", -2, NULL);
    solves("H + 1", "H", -1, NULL);
    solves("H", "H", 0, NULL);
    binds("4*H", 512, 0, 128);
    binds("H + 3", 10, 0, 7);
    binds("N*H", 10, 0, 2);
    binds("N*H + H", 12, 0, 2);
    binds("4*H", 510, -1, 0);
    binds("H + 3", 2, -1, 0);
    binds("(H + 1)//2", 8, -1, 0);
    binds("H*W", 8, -1, 0);
    binds("(N + 1)//2", 3, 0, -1);
    binds("(N + 1)//2", 4, -1, 0);
    binds("7", 7, 0, -1);
    binds("7", 8, -1, 0);
    int64_t v;
    DimBind big = { parse("N"), INT64_MAX / 2 };
    CHECK(!dim_eval(t, parse("N*N"), &big, 1, &v) && !dim_eval(t, parse("H"), &big, 1, &v), "overflow and unbound symbols are reported");
}

/* Random expressions: the Dim evaluates to what plain integers give. */
static uint64_t state = 88172645463325252u;
static uint32_t rnd(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % n;
}

static int64_t floor_div(int64_t a, int64_t k)
{
    return a / k - (a % k < 0);
}

static Dim random_dim(const int64_t value[4][3], int64_t v[4], int depth)
{
    static const char *const names[3] = { "A", "B", "C" };
    uint32_t                 kind = depth == 0 ? rnd(2) : rnd(7);
    int64_t                  w[4], k;
    if (kind == 0) {
        k = (int64_t)rnd(9) - 3;
        for (int i = 0; i < 4; i++)
            v[i] = k;
        return dim_const(t, k);
    }
    if (kind == 1) {
        uint32_t s = rnd(3);
        for (int i = 0; i < 4; i++)
            v[i] = value[i][s];
        return dim_sym(t, names[s]);
    }
    Dim a = random_dim(value, v, depth - 1);
    if (kind >= 5) {
        k = 1 + rnd(6);
        for (int i = 0; i < 4; i++)
            v[i] = floor_div(v[i], k);
        return dim_floordiv(t, a, k);
    }
    Dim b = random_dim(value, w, depth - 1);
    for (int i = 0; i < 4; i++)
        v[i] = kind == 2 ? v[i] + w[i] : kind == 3 ? v[i] - w[i] : v[i] * w[i];
    return kind == 2 ? dim_add(t, a, b) : kind == 3 ? dim_sub(t, a, b) : dim_mul(t, a, b);
}

static void test_random(void)
{
    for (int round = 0; round < 4000; round++) {
        int64_t value[4][3], v[4], got;
        for (int i = 0; i < 12; i++)
            value[i / 3][i % 3] = rnd(12);
        Dim  d = random_dim((const int64_t(*)[3])value, v, 4);
        Text text = { 0 };
        dim_print(t, d, &text);
        const char *p = text.at;
        Dim         again = dim_parse(t, &p);
        bool        opaque = strstr(text.at, "huge") || strstr(text.at, "deep");
        CHECK(p && again == d, "%s does not parse back", text.at);
        for (int i = 0; i < 4 && !opaque; i++) {
            DimBind b[3] = { { parse("A"), value[i][0] }, { parse("B"), value[i][1] }, { parse("C"), value[i][2] } };
            bool    ok = dim_eval(t, d, b, 3, &got);
            CHECK(ok && got == v[i], "%s at %lld %lld %lld is %lld, expected %lld", text.at, (long long)value[i][0], (long long)value[i][1], (long long)value[i][2], (long long)got, (long long)v[i]);
            if (dim_nonneg(t, d))
                CHECK(v[i] >= 0, "%s was called non-negative", text.at);
            CHECK(!(dim_never_equal(t, d, 0) && v[i] == 0), "%s was called never zero", text.at);
        }
        text_free(&text);
    }
}

static void test_hostile(void)
{
    Dim d = parse("A + B + C + D + E + F + 1"), p = 1;
    for (int i = 0; i < 40; i++)
        p = dim_mul(t, p, d);
    CHECK(p != 0, "a huge power ends in an unknown");
    d = parse("H");
    for (int i = 0; i < 10000; i++)
        d = dim_add(t, dim_floordiv(t, dim_add(t, dim_scale(t, d, 2), parse("W")), 3), dim_floordiv(t, dim_mul(t, d, parse("N")), 5));
    CHECK(d != 0, "nested floors end in an unknown");
    Dim big = dim_const(t, INT64_MAX);
    CHECK(dim_mul(t, big, big) == dim_mul(t, big, dim_mul(t, big, big)), "sizes saturate");
}

int main(void)
{
    t = dims_new();
    test_forms();
    test_texts();
    test_divide();
    test_questions();
    test_solve();
    test_random();
    test_hostile();
    dims_free(t);
    return check_done();
}
