/* elab_hint.c - the pragmas before a statement: their names, places and arguments are checked, and the nodes that the statement makes are marked with them.
 * What each pragma means is said in hints.c. In compile-time bodies, where no graph is made, they are checked and change nothing.
 */
#include "elab.h"
#include "native.h"

#include <string.h>

static HintKind known_hint(Elab *e, const Name *name)
{
    HintKind k = hint_by_name(name->name);
    if (k)
        return k;
    const char *known[HINT_COUNT];
    size_t      n = 0;
    for (int i = HINT_NONE + 1; i < HINT_GRADIENT; i++)
        known[n++] = hint_info[i].name;
    const char *near = nearest_word(name->name, known, n);
    Diag       *g = elab_error(e, 328, name->loc, "unknown pragma '@%s'", name->name);
    if (near)
        diag_hint(e->d, g, "Did you mean '@%s'?", near);
    return HINT_NONE;
}

/* vectors: 2 */
static bool named_arg(Elab *e, const HintInfo *info, const Arg *a, HintArg *out)
{
    Text known = { 0 };
    bool found = false;
    for (int k = 0; k < KNOBS; k++) {
        text_addf(&known, "%s%s", k ? ", " : "", knob_names[k]);
        found |= a->name && !strcmp(a->name, knob_names[k]);
    }
    if (!found && a->name)
        elab_error(e, 334, a->loc, "'@%s' has no parameter '%s'; it has: %s", info->name, a->name, known.at);
    else if (!found)
        elab_error(e, 334, a->loc, "'@%s' takes named numbers, as %s: 2; there are: %s", info->name, knob_names[0], known.at);
    text_free(&known);
    if (!found)
        return false;
    Value v = eval(e, a->value);
    v.loc = a->loc;
    out->word = intern(a->name);
    if (!as_int(e, &v, arena_printf(e->arena, "'%s' of '@%s'", a->name, info->name), &out->num))
        return false;
    if (out->num < 1 || out->num > 4096) {
        elab_error(e, 334, a->loc, "'%s' of '@%s' is from 1 to 4096, not %lld", a->name, info->name, (long long)out->num);
        return false;
    }
    return true;
}

/* Words stand for themselves, numbers are evaluated; hint_info says which are wanted. */
static bool hint_args(Elab *e, const Pragma *p, GraphHint *h)
{
    const HintInfo *info = &hint_info[h->kind];
    uint32_t        most = (uint32_t)strlen(info->args);
    if (p->args.n > most || p->args.n < (uint32_t)info->least) {
        if (!most)
            elab_error(e, 334, p->args.at[0].loc, "'@%s' takes no arguments", info->name);
        else
            elab_error(e, 334, p->name.loc, "'@%s' takes %s%u argument%s, not %u", info->name, (uint32_t)info->least < most ? arena_printf(e->arena, "%d to ", info->least) : "", most,
                       most == 1 ? "" : "s", p->args.n);
        return false;
    }
    for (uint32_t i = 0; i < p->args.n; i++) {
        const Arg *a = &p->args.at[i];
        if (info->args[i] == 'k' && !named_arg(e, info, a, &h->args[i]))
            return false;
        if (info->args[i] == 'k')
            continue;
        if (a->name) {
            elab_error(e, 334, a->loc, "'@%s' has no parameter '%s'", info->name, a->name);
            return false;
        }
        if (info->args[i] == 'w' && a->value->kind != E_NAME) {
            elab_error(e, 334, a->loc, "'@%s' takes a word here", info->name);
            return false;
        }
        if (h->kind == HINT_LAYOUT && strcmp(a->value->str, "blocked") && strcmp(a->value->str, "rows")) {
            elab_error(e, 334, a->loc, "'@layout' is blocked or rows, not '%s'", a->value->str);
            return false;
        }
        if (info->args[i] == 'w') {
            h->args[i].word = a->value->str;
            continue;
        }
        Value v = eval(e, a->value);
        v.loc = a->loc;
        if (!as_int(e, &v, arena_printf(e->arena, "an argument of '@%s'", info->name), &h->args[i].num))
            return false;
    }
    h->nargs = p->args.n;
    return true;
}

static bool computes(StmtKind k) { return k != S_PARAM && k != S_STATE && k != S_EVERY && k != S_EXPR; }

uint32_t enter_hints(Elab *e, const Stmt *s)
{
    uint32_t outer = e->gs ? e->gs->g->hint : 0, inner = outer;
    for (uint32_t i = 0; i < s->npragmas; i++) {
        const Pragma *p = &s->pragmas[i];
        GraphHint     h = { .kind = known_hint(e, &p->name), .up = inner, .serial = e->gs ? e->gs->g->hints.n : 0, .loc = p->name.loc };
        if (!h.kind || !hint_args(e, p, &h))
            continue;
        if (!computes(s->kind))
            elab_error(e, 333, p->name.loc, "'@%s' stands before a statement that computes values", p->name.name);
        else if (e->gs)
            inner = hint_add(e->gs->g, &h);
    }
    if (e->gs)
        e->gs->g->hint = inner;
    return outer;
}

void refuse_hints(Elab *e, const Stmt *s, const char *where)
{
    for (uint32_t i = 0; i < s->npragmas; i++)
        if (known_hint(e, &s->pragmas[i].name))
            elab_error(e, 333, s->pragmas[i].name.loc, "'@%s' has no place in %s: it stands in a module, fn, step, export or optimizer", s->pragmas[i].name.name, where);
}
