/* test_front.c - what golden files cannot show of the front end's first half: the places of expressions, the tree of the
 * example files, the limits of the reader, JSON diagnostics, and that broken text of any kind is survived: every example file
 * with tokens dropped, doubled and exchanged gives errors or a tree that formats stably.
 */
#define _GNU_SOURCE
#include "check.h"
#include "parsed.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

/* The text that an expression's place covers, on the first line. */
static const char *covered(Parsed *p, const Expr *e)
{
    const char *s = p->sources.files.at[0].text;
    for (uint32_t line = 1; line < e->loc.line; line++)
        s = strchr(s, '\n') + 1;
    return arena_strndup(&p->arena, s + e->loc.col - 1, e->loc.len);
}

static void test_places(void)
{
    const char *text = "const a = -x + (b * 2) ^ 3\n"
                       "let y = vgg(photo.first(1)).relu4_1[:, 1:]\n"
                       "const r = 0..2^8\n"
                       "let z = x |> stem: conv(w, 4,\n"
                       "                        pad: 1) |> relu   # comment\n"
                       "const u = f([1, 2], 60 epochs)\n";
    Parsed p;
    parse_text(&p, "t.graph", text, strlen(text));
    CHECK(p.diags.errors == 0 && p.file->nitems == 5, "%u errors, %u items", p.diags.errors, p.file->nitems);
    const Expr *a = p.file->items[0].a, *y = p.file->items[1].a, *r = p.file->items[2].a, *z = p.file->items[3].a, *u = p.file->items[4].a;
    const struct { const Expr *e; ExprKind kind; const char *text; } cases[] = {
        { a, E_BIN, "-x + (b * 2) ^ 3" }, { a->a, E_NEG, "-x" }, { a->a->a, E_NAME, "x" }, { a->b, E_BIN, "(b * 2) ^ 3" }, { a->b->a, E_BIN, "(b * 2)" },
        { a->b->a->b, E_NUM, "2" }, { y, E_INDEX, "vgg(photo.first(1)).relu4_1[:, 1:]" }, { y->a, E_FIELD, "vgg(photo.first(1)).relu4_1" },
        { y->a->a, E_CALL, "vgg(photo.first(1))" }, { y->a->a->args.at[0].value, E_CALL, "photo.first(1)" }, { r, E_RANGE, "0..2^8" }, { r->b, E_BIN, "2^8" },
        { z, E_PIPE, "x |> stem: conv(w, 4," }, { z->b, E_NAME, "relu" }, { z->a, E_PIPE, "x |> stem: conv(w, 4," }, { z->a->b, E_CALL, "conv(w, 4," },
        { u->args.at[0].value, E_LIST, "[1, 2]" }, { u->args.at[1].value, E_NUM, "60 epochs" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK(cases[i].e->kind == cases[i].kind, "case %zu: kind %d", i, cases[i].e->kind);
        CHECK(!strcmp(covered(&p, cases[i].e), cases[i].text), "case %zu covers '%s', not '%s'", i, covered(&p, cases[i].e), cases[i].text);
    }
    CHECK(y->nslices == 2 && y->slices[0].is_slice && !y->slices[0].start && y->slices[1].start->num == 1, "slices");
    CHECK(z->a->str && !strcmp(z->a->str, "stem") && !z->str, "labels");
    CHECK(a->b->a->parens && !a->parens, "parentheses are remembered");
    CHECK(u->args.at[1].value->unit && !strcmp(u->args.at[1].value->unit, "epochs"), "units");
    CHECK(a->height == 4, "height %u", a->height);
    drop(&p);
}

/* One error of a code is expected, and nothing kept that later stages could stumble over. */
static void expect_error(const char *what, const char *text, size_t size, int code)
{
    Parsed p;
    parse_text(&p, "t.graph", text, size);
    bool found = false;
    for (uint32_t i = 0; i < p.diags.list.n; i++)
        found = found || p.diags.list.at[i].code == code;
    CHECK(found, "%s: no E%04d among %u errors", what, code, p.diags.errors);
    drop(&p);
}

/* n times `open`, the middle, n times `close`, behind `head` */
static char *nest(const char *head, const char *open, const char *middle, const char *close, int n)
{
    Text t = { 0 };
    text_add(&t, head);
    for (int i = 0; i < n; i++)
        text_add(&t, open);
    text_add(&t, middle);
    for (int i = 0; i < n; i++)
        text_add(&t, close);
    return t.at;
}

static void test_limits(void)
{
    static const struct { const char *head, *open, *middle, *close; } deep[] = {
        { "const a = ", "(", "1", ")" }, { "const a = ", "[", "1", "]" }, { "const a = ", "f(", "1", ")" }, { "const a = ", "x[", "1", "]" },
        { "const a = ", "-", "1", "" },
        { "const a = ", "2^", "1", "" }, { "const a = ", "2^-", "1", "" }, { "const a = ", "1 + ", "1", "" }, { "const a = ", "1 < ", "1", "" },
        { "const a = ", "2*", "1", "" },
        { "const a = x", " |> f", "", "" }, { "const a = ", "x |> f[", "1", "]: g" }, { "const a = x", ".a", "", "" }, { "const a = x", "()", "", "" },
        { "const a = x", "[1]", "", "" },
        { "test \"t\" { ", "if x { ", "", "}" }, { "test \"t\" { ", "repeat f(", "", ") {} " }, { "test \"t\" { if x {} ", "else if x {} ", "", "" },
        { "fn f(x: ", "f32[f(", "", "" },
    };
    for (size_t i = 0; i < COUNT(deep); i++) {
        char *much = nest(deep[i].head, deep[i].open, deep[i].middle, deep[i].close, 50000);
        Parsed p;
        parse_text(&p, "t.graph", much, strlen(much));
        CHECK(p.diags.errors > 0, "%s%s...: no error", deep[i].head, deep[i].open);
        drop(&p);
        free(much);
        if (i >= 16)
            continue;              /* these are wrong at any depth */
        char *fair = nest(deep[i].head, deep[i].open, deep[i].middle, deep[i].close, 90);
        if (*deep[i].head == 't')
            fair = strcat(xrealloc(fair, strlen(fair) + 2), "}");
        parse_text(&p, "t.graph", fair, strlen(fair));
        CHECK(p.diags.errors == 0, "%s%s...: %s", deep[i].head, deep[i].open, p.diags.list.n ? p.diags.list.at[0].message : "");
        drop(&p);
        free(fair);
    }
    char *big = xmalloc(MAX_SOURCE_BYTES + 2);
    memset(big, ' ', MAX_SOURCE_BYTES + 1);
    expect_error("large file", big, MAX_SOURCE_BYTES + 1, 606);
    Parsed p;
    parse_text(&p, "t.graph", big, MAX_SOURCE_BYTES);
    CHECK(p.diags.errors == 0, "a file of the largest size is read");
    drop(&p);
    for (int i = 0; i < MAX_SOURCE_BYTES; i++)
        big[i] = i % 2 ? '\n' : 'x';
    expect_error("many errors", big, MAX_SOURCE_BYTES, 109);
    for (int i = 0; i < MAX_SOURCE_BYTES; i++)
        big[i] = i % 2 ? '1' : ',';
    memcpy(big, "const a = [1", 12);
    expect_error("long list", big, MAX_SOURCE_BYTES, 106);
    for (int i = 12; i < MAX_SOURCE_BYTES; i++)
        big[i] = i % 3 == 0 ? ',' : i % 3 == 1 ? '\n' : '1';
    expect_error("tall list", big, MAX_SOURCE_BYTES, 106);
    free(big);
    static const struct { const char *bytes; size_t n; int code; } bytes[] = {
        { "\0", 1, 608 }, { "const a = 1\0", 12, 608 }, { "# \x1B[31m", 7, 608 }, { "# \x7F", 3, 608 }, { "\xFF\xFE" "c", 3, 607 }, { "# \xC0\x80", 4, 607 },
        { "# \xE0\x80\x80", 5, 607 },
        { "# \xED\xA0\x80", 5, 607 }, { "# \xF4\x90\x80\x80", 6, 607 }, { "# \xF0\x80\x80\x80", 6, 607 }, { "# \xE2\x82", 4, 607 },
        { "# \xF5\x80\x80\x80", 6, 607 }, { "# \r x", 5, 608 },
    };
    for (size_t i = 0; i < COUNT(bytes); i++)
        expect_error("bytes", bytes[i].bytes, bytes[i].n, bytes[i].code);
}

static void test_diags(void)
{
    const char *text = "const a = \"\\q\"\nnett G = 3\nlet b = +\n";
    Parsed p;
    Text   json = { 0 }, said = { 0 };
    parse_text(&p, "t.graph", text, strlen(text));
    diags_json(&p.diags, &json);
    CHECK(!strcmp(json.at, "[\n"
        "  {\"code\":\"E0104\",\"file\":\"t.graph\",\"line\":1,\"col\":12,"
        "\"message\":\"unknown escape '\\\\q' in a string; there are \\\\n \\\\t \\\\\\\" \\\\\\\\\",\"hint\":null,\"chain\":null},\n"
        "  {\"code\":\"E0109\",\"file\":\"t.graph\",\"line\":2,\"col\":1,"
        "\"message\":\"expected a declaration, found 'nett'\",\"hint\":\"Did you mean 'net'?\",\"chain\":null},\n"
        "  {\"code\":\"E0110\",\"file\":\"t.graph\",\"line\":3,\"col\":9,"
        "\"message\":\"expected an expression, found '+'\",\"hint\":\"There is no sign '+'\",\"chain\":null}\n"
        "]\n"), "%s", json.at);
    drop(&p);

    Sources s = { 0 };
    Diags   d = { .sources = &s };
    Source  file = { .path = "m.graph", .text = "first\n\tG = f(\xC3\xA9, x)   \n", .size = 26 };
    vec_push(&s.files, file);
    Diag *g = diag_error(&d, 204, (Loc){ .line = 2, .col = 6, .len = 8 }, "channel mismatch: %d and %d", 3, 4);
    g->chain = "in iteration i = 1 of Generator";
    CHECK(!diag_error(&d, 204, (Loc){ .line = 2, .col = 6, .len = 2 }, "again"), "the same code at the same place is kept once");
    diag_hint(&d, diag_error(&d, 311, (Loc){ .line = 1 }, "no column"), "Did you mean '%s'?", "D");
    diag_warn(&d, 901, (Loc){ .line = 2, .col = 2, .len = 1 }, "a\nwarning \x1B[31m");
    diag_error(&d, 302, (Loc){ 0 }, "no place");
    CHECK(d.errors == 3, "%u errors", d.errors);
    diags_print(&d, &said);
    CHECK(!strcmp(said.at, "m.graph: error E0302: no place\n"
        "m.graph:1: error E0311: no column.  Did you mean 'D'?\n"
        "m.graph:2:2: warning W0901: a?warning ?[31m\n"
        "    2 |  G = f(\xC3\xA9, x)\n"
        "      |  ^\n"
        "m.graph:2:6: error E0204: channel mismatch: 3 and 4\n"
        "    2 |  G = f(\xC3\xA9, x)\n"
        "      |      ^^^^^^^ in iteration i = 1 of Generator\n"), "%s", said.at);
    for (uint32_t i = 0; i < 30; i++)
        diag_error(&d, 300, (Loc){ .line = 1, .col = i + 1, .len = 1 }, "many");
    CHECK(d.errors == 33 && d.list.n == MAX_ERRORS + 1, "%u errors, %u kept", d.errors, d.list.n);
    said.n = 0;
    diags_print(&d, &said);
    CHECK(strstr(said.at, "\n13 more errors\n") != NULL, "%s", said.at);
    text_free(&json);
    text_free(&said);
    diags_free(&d);
    sources_free(&s);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Breaks a text at a few places: a run of bytes dropped, doubled, moved, or a character exchanged for a telling one. */
static void mutate(const char *text, size_t size, uint32_t *seed, Text *out)
{
    static const char telling[] = "(){}[]:=,.|>-\n\"#@ 0a^*";
    text_free(out);
    text_addn(out, text, size);
    for (uint32_t k = next_random(seed) % 4 + 1; k && out->n > 16; k--) {
        size_t at = next_random(seed) % (out->n - 12), len = next_random(seed) % 12;
        switch (next_random(seed) % 4) {
        case 0:
            memmove(out->at + at, out->at + at + len, out->n - at - len + 1);
            out->n -= len;
            break;
        case 1: {
            Text grown = { 0 };
            text_addn(&grown, out->at, at + len);
            text_addn(&grown, out->at + at, out->n - at);
            text_free(out);
            *out = grown;
            break;
        }
        case 2:
            memmove(out->at + next_random(seed) % (out->n - 12), out->at + at, len);
            break;
        default:
            out->at[at] = telling[next_random(seed) % (sizeof telling - 1)];
        }
    }
}

static void check_mutant(const Text *text, uint32_t *right)
{
    Parsed p, q;
    Text   said = { 0 }, once = { 0 }, twice = { 0 }, tree = { 0 }, tree2 = { 0 };
    parse_text(&p, "t.graph", text->at, text->n);
    diags_print(&p.diags, &said);
    CHECK((p.diags.errors > 0) == (said.n > 0), "errors are said");
    if (!p.diags.errors) {
        ++*right;
        format_file(p.file, &p.sources, &once);
        parse_text(&q, "t.graph", once.at ? once.at : "", once.n);
        format_file(q.file, &q.sources, &twice);
        print_ast(p.file, &tree);
        print_ast(q.file, &tree2);
        CHECK(q.diags.errors == 0 && once.n == twice.n && (!once.n || !memcmp(once.at, twice.at, once.n)),
            "formatting is not stable:\n%s\n---\n%s\n---\n%s", text->at, once.at, twice.at);
        CHECK(tree.n == tree2.n && (!tree.n || !memcmp(tree.at, tree2.at, tree.n)) && p.file->ncomments == q.file->ncomments,
            "formatting changes the tree:\n%s", text->at);
        drop(&q);
    }
    text_free(&said);
    text_free(&once);
    text_free(&twice);
    text_free(&tree);
    text_free(&tree2);
    drop(&p);
}

static void test_mutants(void)
{
    DIR *folder = opendir(SOURCE_DIR "/tests/golden/examples");
    CHECK(folder != NULL, "the examples are missing");
    uint32_t seed = 1, right = 0, all = 0;
    for (struct dirent *e; folder && (e = readdir(folder));) {
        char path[512], text[1 << 14];
        snprintf(path, sizeof path, SOURCE_DIR "/tests/golden/examples/%s", e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (!f)
            continue;
        size_t size = fread(text, 1, sizeof text, f);
        fclose(f);
        Text broken = { 0 };
        for (int i = 0; i < 300; i++, all++) {
            mutate(text, size, &seed, &broken);
            check_mutant(&broken, &right);
        }
        text_free(&broken);
    }
    if (folder)
        closedir(folder);
    CHECK(all >= 2100 && right > all / 50 && right < all / 2, "%u of %u mutants are right: too one-sided to test both ways", right, all);
}

int main(void)
{
    test_places();
    test_limits();
    test_diags();
    test_mutants();
    return check_done();
}
