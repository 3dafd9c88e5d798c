/* hints.c - pragmas, `@name(args)` before a statement, as a graph keeps them: the table, and the list in a graph.
 *
 *   @remat { ... }         hints[1] { remat }          node --hint--> 2 --up--> 1
 *     @block(4) y = ...    hints[2] { block(4), up 1 }
 *
 * A statement's nodes point at the innermost hint around it; passes carry the number along like a place. Elaboration checks names, places and arguments
 * (elab_hint.c); what a hint means is for the pass that asks node_hint. A node that several statements make stands under the hints of the first.
 */
#include <string.h>

#include "ir.h"

const HintInfo hint_info[HINT_COUNT] = {
    [HINT_NONE] = { "", "", 0, "" },
    [HINT_REMAT] = { "remat", "", 0, "the backward pass computes these values again instead of keeping them" },
    [HINT_FUSE] = { "fuse", "", 0, "what the statement computes and reads again is one kernel; nothing of it is stored because it is dear to compute again" },
    [HINT_NOFUSE] = { "nofuse", "", 0, "the statement's kernels do nothing else: what it reads and what it computes is stored" },
    [HINT_LAYOUT] = { "layout", "w", 1, "blocked: values of rank 4 are stored in blocks of channels; rows: row by row" },
    [HINT_BLOCK] = { "block", "kkkkkk", 1, "block sizes of the statement's convolutions and products of matrices" },
    [HINT_GRADIENT] = { "gradient", "", 0, "" },
};

HintKind hint_by_name(const char *name)
{
    for (int k = HINT_NONE + 1; k < HINT_GRADIENT; k++)
        if (!strcmp(hint_info[k].name, name))
            return (HintKind)k;
    return HINT_NONE;
}

const GraphHint *node_hint(const Graph *g, Ref r, HintKind kind)
{
    for (uint32_t h = node(g, r)->hint; h; h = g->hints.at[h].up)
        if (g->hints.at[h].kind == kind)
            return &g->hints.at[h];
    return NULL;
}

static bool equal_hints(const GraphHint *a, const GraphHint *b)
{
    bool same = a->kind == b->kind && a->up == b->up && a->serial == b->serial && a->nargs == b->nargs && a->loc.file == b->loc.file && a->loc.line == b->loc.line && a->loc.col == b->loc.col;
    for (uint32_t i = 0; i < a->nargs && same; i++)
        same = a->args[i].word == b->args[i].word && a->args[i].num == b->args[i].num;
    return same;
}

uint32_t hint_add(Graph *g, const GraphHint *h)
{
    for (uint32_t i = 1; i < g->hints.n; i++)
        if (equal_hints(&g->hints.at[i], h))
            return i;
    vec_push(&g->hints, *h);
    return g->hints.n - 1;
}

uint32_t hint_copy(Graph *to, const Graph *from, uint32_t hint)
{
    if (!hint)
        return 0;
    GraphHint h = from->hints.at[hint];
    h.up = hint_copy(to, from, h.up);
    return hint_add(to, &h);
}
