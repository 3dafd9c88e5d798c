/* parsed.h - a text parsed, with all that hangs on it, for the tests of the parser. */
#ifndef PASTICHE_TESTS_PARSED_H
#define PASTICHE_TESTS_PARSED_H

#include "ast.h"

typedef struct { Arena arena; Sources sources; Diags diags; File *file; } Parsed;

static inline void parse_text(Parsed *p, const char *path, const char *text, size_t size)
{
    *p = (Parsed){ 0 };
    p->diags.sources = &p->sources;
    Source s = { .path = path, .text = text, .size = size };
    vec_push(&p->sources.files, s);
    p->file = parse_file(&p->arena, &p->diags, 0);
}

static inline void drop(Parsed *p)
{
    diags_free(&p->diags);
    sources_free(&p->sources);
    arena_free(&p->arena);
}

#endif
