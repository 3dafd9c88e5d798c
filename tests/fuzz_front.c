/* fuzz_front.c - libFuzzer target for the front end: any bytes at all are parsed, diagnosed, printed, formatted and, when they
 * parse, elaborated. Beyond not crashing: what formats must format to the same tree, stably.
 * Built with clang under -DPASTICHE_FUZZ=ON; tests/fuzz.sh runs it.
 */
#include "data.h"
#include "model.h"
#include "parsed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool good, const char *what, const Text *text)
{
    if (good)
        return;
    fprintf(stderr, "fuzz_front: %s:\n%s\n", what, text->at ? text->at : "");
    abort();
}

static void check_format(const Parsed *p)
{
    Parsed q;
    Text   once = { 0 }, twice = { 0 }, tree = { 0 }, tree_after = { 0 };
    format_file(p->file, &p->sources, &once);
    parse_text(&q, "fuzz.graph", once.at ? once.at : "", once.n);
    require(q.diags.errors == 0, "the formatted text does not parse", &once);
    format_file(q.file, &q.sources, &twice);
    require(once.n == twice.n && (!once.n || !memcmp(once.at, twice.at, once.n)), "formatting is not stable", &once);
    print_ast(p->file, &tree);
    print_ast(q.file, &tree_after);
    require(tree.n == tree_after.n && (!tree.n || !memcmp(tree.at, tree_after.at, tree.n)), "formatting changes the tree", &once);
    require(p->file->ncomments == q.file->ncomments, "formatting loses comments", &once);
    text_free(&once);
    text_free(&twice);
    text_free(&tree);
    text_free(&tree_after);
    drop(&q);
}

static void check_elaborate(const uint8_t *data, size_t size)
{
    static char path[64];
    if (!*path) {
        snprintf(path, sizeof path, "/tmp/fuzz_front_XXXXXX");
        int fd = mkstemp(path);
        require(fd >= 0, "cannot make a file in /tmp", &(Text){ 0 });
    }
    FILE *f = fopen(path, "wb");
    require(f && fwrite(data, 1, size, f) == size && fclose(f) == 0, "cannot write a file in /tmp", &(Text){ 0 });
    Sources     sources = { 0 };
    Diags       d = { .sources = &sources };
    Text        said = { 0 };
    ElabOptions options = { .describe_data = describe_data, .tests = true };
    Model      *m = elaborate(path, &sources, &d, &options);
    diags_print(&d, &said);
    require((m == NULL) == (d.errors > 0), "a model and errors, or neither", &said);
    if (m)
        model_free(m);
    text_free(&said);
    diags_free(&d);
    sources_free(&sources);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Parsed p;
    Text   said = { 0 }, json = { 0 };
    parse_text(&p, "fuzz.graph", (const char *)data, size);
    diags_print(&p.diags, &said);
    diags_json(&p.diags, &json);
    require((p.diags.errors > 0) == (said.n > 0), "errors without text", &said);
    bool good = !p.diags.errors;
    if (good)
        check_format(&p);
    text_free(&said);
    text_free(&json);
    drop(&p);
    if (good)
        check_elaborate(data, size);
    return 0;
}
