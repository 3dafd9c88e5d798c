/* test_golden.c - the golden files: each tests/golden/FOLDER/NAME.graph is read, and what is said about it compared with
 * NAME.expected beside it (a missing one stands for nothing said). Adding a test is adding a file; UPDATE_GOLDEN=1 writes
 * the expected texts anew, for a look at the difference before they are committed.
 *
 *   parse/     lexer and parser: diagnostics
 *   check/     the whole front end: diagnostics of elaborate(); a first line `# --set NAME=VALUE ...` is what the command line would say
 *   format/    the formatter: the canonical text
 *   examples/  right files in canonical form: nothing is said, and formatting changes nothing; so for graphs/std and graphs/models
 *
 * Whatever file parses, here or under graphs/, must format to the same tree and the same comments, and stably.
 */
#define _GNU_SOURCE
#include "check.h"
#include "data.h"
#include "model.h"
#include "parsed.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    Text   t = { 0 };
    char   chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        text_addn(&t, chunk, n);
    fclose(f);
    text_add(&t, "");
    *size = t.n;
    return t.at;
}

/* The formatted text of a file that parses; checks that nothing was lost and that formatting again changes nothing. */
static void check_format(const char *name, const char *text, size_t size, Text *formatted)
{
    Parsed before, after;
    Text   tree = { 0 }, tree_after = { 0 }, again = { 0 };
    parse_text(&before, name, text, size);
    format_file(before.file, &before.sources, formatted);
    text_add(formatted, "");
    parse_text(&after, name, formatted->at, formatted->n);
    CHECK(after.diags.errors == 0, "%s: the formatted text does not parse", name);
    format_file(after.file, &after.sources, &again);
    text_add(&again, "");
    CHECK(!strcmp(formatted->at, again.at), "%s: formatting twice differs:\n%s\n---\n%s", name, formatted->at, again.at);
    print_ast(before.file, &tree);
    print_ast(after.file, &tree_after);
    text_add(&tree, "");
    text_add(&tree_after, "");
    CHECK(!strcmp(tree.at, tree_after.at), "%s: formatting changed the tree", name);
    CHECK(before.file->ncomments == after.file->ncomments, "%s: %u comments became %u", name, before.file->ncomments, after.file->ncomments);
    for (uint32_t i = 0; i < before.file->ncomments && i < after.file->ncomments; i++)
        CHECK(!strcmp(before.file->comments[i].text, after.file->comments[i].text), "%s: comment %u changed", name, i);
    text_free(&tree);
    text_free(&tree_after);
    text_free(&again);
    drop(&before);
    drop(&after);
}

/* Compares with PATH's NAME.expected, or rewrites it. */
static void compare(const char *path, const char *got)
{
    char expected_path[512];
    snprintf(expected_path, sizeof expected_path, "%.*s.expected", (int)(strlen(path) - strlen(".graph")), path);
    if (getenv("UPDATE_GOLDEN")) {
        if (!*got) {
            unlink(expected_path);
            return;
        }
        FILE *f = fopen(expected_path, "wb");
        CHECK(f != NULL, "cannot write %s", expected_path);
        if (f) {
            fputs(got, f);
            fclose(f);
        }
        return;
    }
    size_t size = 0;
    char  *expected = read_all(expected_path, &size);
    CHECK(!strcmp(expected ? expected : "", got), "%s\n--- expected\n%s--- got\n%s---", path, expected ? expected : "", got);
    free(expected);
}

static void test_parse(const char *path, const char *name)
{
    size_t size = 0;
    char  *text = read_all(path, &size);
    Parsed p;
    Text   said = { 0 }, formatted = { 0 };
    parse_text(&p, name, text, size);
    diags_print(&p.diags, &said);
    text_add(&said, "");
    compare(path, said.at);
    if (!p.diags.errors)
        check_format(name, text, size, &formatted);
    text_free(&formatted);
    text_free(&said);
    drop(&p);
    free(text);
}

/* expected: "canonical" text beside the file, or the file itself. */
static void test_format(const char *path, const char *name, bool itself)
{
    size_t size = 0;
    char  *text = read_all(path, &size);
    Parsed p;
    Text   said = { 0 }, formatted = { 0 };
    parse_text(&p, name, text, size);
    diags_print(&p.diags, &said);
    CHECK(!said.n, "%s should parse:\n%s", path, said.at);
    if (!p.diags.errors) {
        check_format(name, text, size, &formatted);
        if (itself)
            CHECK(!strcmp(text, formatted.at), "%s is not in canonical form; formatted:\n%s", path, formatted.at);
        else
            compare(path, formatted.at);
    }
    text_free(&formatted);
    text_free(&said);
    drop(&p);
    free(text);
}

/* Removes a folder's name wherever it stands. */
static void strip(char *text, const char *folder)
{
    size_t n = strlen(folder);
    for (char *at = text; (at = strstr(at, folder)) != NULL;)
        memmove(at, at + n, strlen(at + n) + 1);
}

/* The first line `# --set w=32 --set n=2` of a wrong file, as settings; names live in `line`. */
static uint32_t settings_of(const char *path, char *line, size_t size, Setting *out, uint32_t max)
{
    FILE    *f = fopen(path, "r");
    uint32_t n = 0;
    bool     ok = f && fgets(line, (int)size, f);
    if (f)
        fclose(f);
    for (char *p = ok ? strstr(line, "--set ") : NULL; p && n < max; p = strstr(p, "--set ")) {
        char *name = p + strlen("--set "), *eq = strchr(name, '=');
        if (!eq)
            break;
        *eq = 0;
        out[n++] = (Setting){ name, strtod(eq + 1, &p) };
    }
    return n;
}

static void test_check(const char *path, const char *name)
{
    char        line[512];
    Setting     settings[8];
    uint32_t    nsettings = settings_of(path, line, sizeof line, settings, COUNT(settings));
    char *here = getcwd(NULL, 0), folder[512];
    snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen(name)), path);
    CHECK(here && chdir(folder) == 0, "cannot enter %s", folder);
    Sources     sources = { 0 };
    Diags       d = { .sources = &sources };
    Text        said = { 0 };
    ElabOptions options = { .settings = settings, .nsettings = nsettings, .describe_data = describe_data, .tests = true };
    Model      *m = elaborate(name, &sources, &d, &options);
    CHECK((m == NULL) == (d.errors > 0), "%s: a model and errors", path);
    diags_print(&d, &said);
    text_add(&said, "");
    char *whole = realpath(".", NULL);
    CHECK(whole != NULL, "no path for %s", folder);
    Text prefix = { 0 };
    text_addf(&prefix, "%s/", whole);
    strip(said.at, prefix.at);     /* imported files are known by their whole paths */
    text_free(&prefix);
    free(whole);
    CHECK(here && chdir(here) == 0, "cannot go back to %s", here);
    compare(path, said.at);
    if (m)
        model_free(m);
    text_free(&said);
    diags_free(&d);
    sources_free(&sources);
    free(here);
}

static int is_graph(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 6 && !strcmp(e->d_name + n - 6, ".graph");
}

typedef enum { PARSE, CHECKED, FORMAT, CANONICAL } Mode;

static int walk(const char *folder, Mode mode)
{
    struct dirent **names;
    int             n = scandir(folder, &names, is_graph, alphasort);
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (mode == PARSE)
            test_parse(path, names[i]->d_name);
        else if (mode == CHECKED)
            test_check(path, names[i]->d_name);
        else {
            test_format(path, names[i]->d_name, mode == CANONICAL);
            if (mode == CANONICAL)
                test_check(path, names[i]->d_name);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return n;
}

int main(void)
{
    const char *root = SOURCE_DIR "/tests/golden";
    char        folder[512];
    static const struct { const char *name; Mode mode; int least; } folders[] = {
        { "parse", PARSE, 40 }, { "check", CHECKED, 48 }, { "format", FORMAT, 1 }, { "examples", CANONICAL, 7 },
    };
    for (size_t i = 0; i < COUNT(folders); i++) {
        snprintf(folder, sizeof folder, "%s/%s", root, folders[i].name);
        int n = walk(folder, folders[i].mode);
        CHECK(n >= folders[i].least, "%s holds %d files", folder, n);
        printf("%s: %d files\n", folders[i].name, n < 0 ? 0 : n);
    }
    CHECK(walk(SOURCE_DIR "/graphs/std", CANONICAL) >= 9, "graphs/std holds too few files");
    walk(SOURCE_DIR "/graphs/models", CANONICAL);
    return check_done();
}
