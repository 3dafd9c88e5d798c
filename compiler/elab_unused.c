/* elab_unused.c - warns about declarations that the rest of the file never mentions: a second optimiser that no step uses is most often a step that uses the wrong one.
 *
 * It counts words, not evaluations, so that a branch which this run's settings leave out counts as use. Only programs are looked at, files with a train block or an export;
 * what a library declares is for others.
 */
#include "elab.h"
#include "lex.h"

#include <stdlib.h>

/* NULL: unused is as it should be. Data may be what `pastiche eval` is given by name, steps without a train block what a program calls through the library. */
static const char *kind_to_use(const Item *it, bool trains)
{
    static const char *const kinds[] = { [I_CONST] = "const", [I_LET] = "let", [I_MODULE] = "module", [I_FN] = "fn", [I_OPTIMIZER] = "optimizer", [I_NET] = "net",
                                         [I_OPTIM] = "optim", [I_STEP] = "step" };
    return it->kind >= COUNT(kinds) || (it->kind == I_STEP && !trains) ? NULL : kinds[it->kind];
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)*(const char *const *)a, y = (uintptr_t)*(const char *const *)b;
    return (x > y) - (x < y);
}

/* Every name in the text, sorted: names are interned, so equal ones are the same pointer. */
static const char **words_of(const File *f, size_t *n)
{
    const char **words = xmalloc((f->tokens->n + 1) * sizeof *words);
    *n = 0;
    for (uint32_t i = 0; i < f->tokens->n; i++)
        if (f->tokens->at[i].kind == T_WORD)
            words[(*n)++] = f->tokens->at[i].str;
    qsort(words, *n, sizeof *words, by_address);
    return words;
}

static bool said_once(const char *const *words, size_t n, const char *name)
{
    const char *const *at = bsearch(&name, words, n, sizeof *words, by_address);
    return at && !(at > words && at[-1] == name) && !(at + 1 < words + n && at[1] == name);
}

void warn_unused(Elab *e)
{
    bool trains = e->m->trains.n > 0;
    if (!trains && !e->m->exports.n)
        return;
    size_t       n;
    const char **words = words_of(e->main->file, &n);
    for (uint32_t i = 0; i < e->main->decls.n; i++) {
        const Decl *d = &e->main->decls.at[i];
        const char *kind = kind_to_use(d->item, trains);
        if (kind && said_once(words, n, d->name))
            diag_warn(e->d, 901, d->item->name.loc, "%s '%s' is never used", kind, d->name);
    }
    free(words);
}
