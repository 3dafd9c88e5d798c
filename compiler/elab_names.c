/* elab_names.c - parameter paths. A path is the net's name and the labels on the way: "G.head.weight", "G.2.conv.weight" (repeat appends its index).
 *
 * An unlabelled layer adds no segment when that is unambiguous. Whether it is, is decided from the text of a module alone, so a path does not depend
 * on compile-time values: each body's applications are listed with the names they would claim; those that collide get an automatic label, the
 * layer's name, numbered from 1 when the body applies that layer unlabelled more than once ("conv_1", "conv_2"); the two branches of an `if` do not
 * collide. Labels written by hand that collide are an error that asks for another label (found when the second parameter is made).
 */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

typedef struct Choice { const Stmt *of; int branch; const struct Choice *up; } Choice;      /* the `if`s around a place */

typedef struct {
    const Expr *expr;              /* the E_PIPE or the applying E_CALL */
    const char *layer;             /* "conv" */
    const char *label;             /* written by hand, or NULL */
    const char *prefix;            /* "#." inside repeat */
    Decl       *module;            /* NULL: a layer received as a value */
    const char *automatic;
    const Choice *choices;
} Site;

typedef struct {
    Elab       *e;
    Decl       *decl;
    Vec(Site)   sites;
    Vec(const char *) own;         /* param and state names, with prefix */
    Vec(const char *) locals;      /* names bound in the body: not layers of the file */
    int         repeat;
    const Choice *choices;
} Scan;

static bool has_name(const char *const *at, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (at[i] == name)
            return true;
    return false;
}

static const char *scan_prefix(Scan *s)
{
    const char *p = "";
    for (int i = 0; i < s->repeat; i++)
        p = arena_printf(s->e->arena, "#.%s", p);
    return p;
}

/* The module that a callee names, if it is one; *layer: how it is called. */
static bool resolve_layer(Scan *s, const Expr *callee, Decl **module, const char **layer)
{
    *module = NULL;
    if (callee->kind == E_FIELD && callee->a->kind == E_NAME) {                        /* vgg19.Features */
        Decl *file = find_decl(s->e, s->decl->file, callee->a->str);
        *layer = callee->str;
        if (!file || file->item->kind != I_IMPORT || !file->value || file->value->kind != VAL_FILE)
            return false;
        for (uint32_t i = 0; i < file->value->file->decls.n; i++)
            if (file->value->file->decls.at[i].name == callee->str)
                *module = &file->value->file->decls.at[i];
        return *module && (*module)->item->kind == I_MODULE;
    }
    if (callee->kind != E_NAME)
        return false;
    *layer = callee->str;
    for (uint32_t i = 0; i < s->decl->item->mparams.n; i++)
        if (s->decl->item->mparams.at[i].name == callee->str)
            return true;                                                               /* a layer, or a function: a label does no harm */
    if (has_name(s->locals.at, s->locals.n, callee->str))
        return false;
    Decl *d = find_decl(s->e, s->decl->file, callee->str);
    if (!d || d->item->kind != I_MODULE)
        return false;
    *module = d;
    return true;
}

static void add_site(Scan *s, const Expr *expr, const Expr *callee, const char *label)
{
    Decl       *module;
    const char *layer;
    if (resolve_layer(s, callee, &module, &layer))
        vec_push(&s->sites, ((Site){ expr, layer, label, scan_prefix(s), module, NULL, s->choices }));
}

static void scan_expr(Scan *s, const Expr *x, int depth)
{
    if (!x || depth > MAX_NESTING)
        return;
    if (x->kind == E_PIPE) {
        const Expr *b = x->b;
        while ((b->kind == E_FIELD || b->kind == E_INDEX) && b->a->kind == E_CALL)
            b = b->a;
        const Expr *callee = b->kind == E_CALL ? b->a : b;
        if (callee->kind == E_CALL)                                                    /* x |> Layer(c)(w) */
            callee = callee->a;
        add_site(s, x, callee, x->str);
    } else if (x->kind == E_CALL && x->a->kind == E_CALL) {                            /* Layer(c)(x, w) */
        add_site(s, x, x->a->a, NULL);
    } else if (x->kind == E_CALL && x->a->kind == E_NAME) {                            /* via(weight), f(x) with f a layer */
        for (uint32_t i = 0; i < s->decl->item->mparams.n; i++)
            if (s->decl->item->mparams.at[i].name == x->a->str)
                add_site(s, x, x->a, NULL);
    }
    scan_expr(s, x->a, depth + 1);
    scan_expr(s, x->b, depth + 1);
    for (uint32_t i = 0; i < x->args.n; i++)
        scan_expr(s, x->args.at[i].value, depth + 1);
    for (uint32_t i = 0; i < x->nslices; i++) {
        scan_expr(s, x->slices[i].start, depth + 1);
        scan_expr(s, x->slices[i].stop, depth + 1);
    }
}

static void scan_block(Scan *s, const Block *b, int depth)
{
    for (uint32_t i = 0; i < b->n && depth < MAX_NESTING; i++) {
        const Stmt *st = &b->at[i];
        if (st->kind == S_PARAM || st->kind == S_STATE)
            vec_push(&s->own, arena_printf(s->e->arena, "%s%s", scan_prefix(s), st->name.name));
        scan_expr(s, st->a, 0);
        for (uint32_t k = 0; k < st->args.n; k++)
            scan_expr(s, st->args.at[k].value, 0);
        for (uint32_t k = 0; k < st->nnames && st->kind == S_BIND; k++)
            vec_push(&s->locals, st->names[k].name);
        const Choice *outer = s->choices;
        Choice       *inner = ARENA_ARR(s->e->arena, Choice, 2);
        inner[0] = (Choice){ st, 0, outer };
        inner[1] = (Choice){ st, 1, outer };
        s->repeat += st->kind == S_REPEAT;
        s->choices = &inner[0];
        scan_block(s, &st->body, depth + 1);
        s->repeat -= st->kind == S_REPEAT;
        s->choices = &inner[1];
        if (st->has_other)
            scan_block(s, &st->other, depth + 1);
        s->choices = outer;
    }
}

/* Do they stand in two branches of one `if`? */
static bool exclude(const Choice *a, const Choice *b)
{
    for (; a; a = a->up)
        for (const Choice *c = b; c; c = c->up)
            if (a->of == c->of && a->branch != c->branch)
                return true;
    return false;
}

/* Does this unlabelled site claim a name that something else claims too? A layer received as a value may claim anything. */
static bool collides(Scan *s, const Naming **namings, uint32_t at)
{
    const Site *a = &s->sites.at[at];
    if (!a->module)
        return true;
    for (uint32_t i = 0; i < namings[at]->nclaims; i++) {
        const char *claim = arena_printf(s->e->arena, "%s%s", a->prefix, namings[at]->claims[i]);
        for (uint32_t k = 0; k < s->own.n; k++)
            if (!strcmp(s->own.at[k], claim))
                return true;
        for (uint32_t k = 0; k < s->sites.n; k++) {
            const Site *b = &s->sites.at[k];
            if (k == at || !b->module || exclude(a->choices, b->choices))
                continue;
            for (uint32_t j = 0; j < namings[k]->nclaims; j++) {
                const char *other = b->label ? arena_printf(s->e->arena, "%s.%s%s", b->label, b->prefix, namings[k]->claims[j])
                                             : arena_printf(s->e->arena, "%s%s", b->prefix, namings[k]->claims[j]);
                if (!strcmp(claim, other))
                    return true;
            }
        }
    }
    return false;
}

static void name_sites(Scan *s, const Naming **namings)
{
    for (uint32_t i = 0; i < s->sites.n; i++) {
        Site *a = &s->sites.at[i];
        if (a->label || !collides(s, namings, i))
            continue;
        int same = 0, ordinal = 0;
        for (uint32_t k = 0; k < s->sites.n; k++)
            if (!s->sites.at[k].label && !strcmp(s->sites.at[k].layer, a->layer)) {
                same++;
                ordinal += k <= i;
            }
        a->automatic = same == 1 ? a->layer : arena_printf(s->e->arena, "%s_%d", a->layer, ordinal);
    }
}

const Naming *module_naming(Elab *e, Decl *d)
{
    static const Naming none;
    if (d->naming)
        return d->naming;
    d->naming = &none;                                         /* a module that applies itself ends in the depth limit */
    Scan s = { .e = e, .decl = d };
    scan_block(&s, &d->item->body, 0);
    const Naming **namings = ARENA_ARR(e->arena, const Naming *, s.sites.n + 1);
    for (uint32_t i = 0; i < s.sites.n; i++)
        namings[i] = s.sites.at[i].module ? module_naming(e, s.sites.at[i].module) : &none;
    name_sites(&s, namings);
    Naming *n = ARENA_NEW(e->arena, Naming);
    uint32_t most = s.own.n;
    for (uint32_t i = 0; i < s.sites.n; i++)
        most += namings[i]->nclaims;
    n->labels = ARENA_ARR(e->arena, const char *, s.sites.n + 1);
    n->sites = ARENA_ARR(e->arena, const Expr *, s.sites.n + 1);
    n->claims = ARENA_ARR(e->arena, const char *, most + 1);
    for (uint32_t i = 0; i < s.own.n; i++)
        n->claims[n->nclaims++] = s.own.at[i];
    for (uint32_t i = 0; i < s.sites.n; i++) {
        Site       *a = &s.sites.at[i];
        const char *label = a->label ? a->label : a->automatic;
        n->sites[n->n] = a->expr;
        n->labels[n->n++] = a->label ? NULL : a->automatic;
        for (uint32_t k = 0; k < namings[i]->nclaims && n->nclaims < 4096; k++)
            n->claims[n->nclaims++] = arena_printf(e->arena, "%s%s%s%s", label ? label : "", label ? "." : "", a->prefix, namings[i]->claims[k]);
    }
    vec_free(&s.sites), vec_free(&s.own), vec_free(&s.locals);
    d->naming = n;
    return n;
}

const char *site_label(const Naming *n, const Expr *site)
{
    for (uint32_t i = 0; n && i < n->n; i++)
        if (n->sites[i] == site)
            return n->labels[i];
    return NULL;
}

/* base ["." label] iteration, where iteration is "" or ".0.2" */
const char *join_path(Elab *e, const char *base, const char *label, const char *iteration)
{
    if (!base)
        return NULL;
    return intern(arena_printf(e->arena, "%s%s%s%s", base, label ? "." : "", label ? label : "", iteration));
}
