/* elab_call.c - calls: functions, layers made from modules, layers applied, nets applied. One binder serves them all: arguments by position, then by
 * name, defaults after that; every unknown, missing or doubled one is named, with the nearest right spelling.
 */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

/* ---- arguments to parameters ---- */

/* "Its parameters: c, k, stride?, pad?": the hint of a call with too many or too few arguments. */
static void hint_params(Elab *e, Diag *g, const Params *p)
{
    Text list = { 0 };
    for (uint32_t i = 0; i < p->n && i < 32; i++)
        text_addf(&list, "%s%s%s", i ? ", " : "", p->at[i].name, p->at[i].deflt ? "?" : "");
    if (p->n > 1)
        diag_hint(e->d, g, "Its parameters: %s", list.at);
    text_free(&list);
}

bool place_args(Elab *e, const char *what, const Params *p, const Call *c, int32_t *slot)
{
    uint32_t next = 0;
    bool     ok = true;
    for (uint32_t i = 0; i < p->n; i++)
        slot[i] = -1;
    for (uint32_t i = 0; i < c->n; i++) {
        const CallArg *a = &c->args[i];
        uint32_t       k = 0;
        if (!a->name) {
            if (next >= p->n) {
                hint_params(e, elab_error(e, 340, a->loc, "%s takes %u argument%s, this is one more", what, p->n, p->n == 1 ? "" : "s"), p);
                return false;
            }
            k = next++;
        } else {
            while (k < p->n && p->at[k].name != a->name)
                k++;
            if (k == p->n) {
                const char *names[256];
                uint32_t    n = 0;
                for (; n < p->n && n < COUNT(names); n++)
                    names[n] = p->at[n].name;
                const char *near = nearest_word(a->name, names, n);
                Diag       *g = elab_error(e, 341, a->loc, "%s has no parameter '%s'", what, a->name);
                if (near)
                    diag_hint(e->d, g, "Did you mean '%s'?", near);
                else
                    hint_params(e, g, p);
                ok = false;
                continue;
            }
        }
        if (slot[k] >= 0) {
            elab_error(e, 342, a->loc, "%s: '%s' is given twice", what, p->at[k].name);
            ok = false;
        }
        slot[k] = (int32_t)i;
    }
    return ok;
}

static bool missing(Elab *e, const char *what, const Params *p, uint32_t i, Loc loc)
{
    hint_params(e, elab_error(e, 343, loc, "%s needs '%s'", what, p->at[i].name), p);
    return false;
}

bool bind_params(Elab *e, const char *what, const Params *p, const Call *c, DimVars *v)
{
    int32_t slot[256];
    if (p->n > COUNT(slot) || !place_args(e, what, p, c, slot))
        return false;
    for (uint32_t i = 0; i < p->n; i++) {
        const Param *param = &p->at[i];
        Value        given;
        Loc          loc = c->loc;
        if (slot[i] >= 0) {
            given = c->args[slot[i]].v;
            loc = c->args[slot[i]].loc;
        } else if (param->deflt) {
            given = eval(e, param->deflt);
        } else {
            return missing(e, what, p, i, c->loc);
        }
        if (given.kind == VAL_NONE)
            return false;
        if (param->type) {
            const char *name = arena_printf(e->arena, "%s: %s", what, param->name);
            given.loc = loc;
            Ref r = as_tensor(e, &given, name);
            if (!r)
                return false;
            if (node(e->gs->g, r)->op == OP_const && node(e->gs->g, r)->dtype == DT_F32 && dtype_named(param->type->dtype) == DT_I32 && given.kind == VAL_NUM && given.is_int)
                r = b_const(e->gs->g, DT_I32, given.num);
            Type t = node_type(e->gs->g, r);
            if (!match_type(e, v, param->type, &t, loc, name))
                return false;
            given = val_tensor(r);
        }
        scope_bind_here(e, param->name, given);
    }
    bind_dim_vars(e, v);
    return true;
}

/* Checks what a body returned against its stated results; named results become a tuple with those names. */
Value check_results(Elab *e, const char *what, const Item *it, DimVars *v, Value r, Loc loc)
{
    const Results *want = &it->results;
    if (r.kind == VAL_NONE || !want->n)
        return r;
    uint32_t n = r.kind == VAL_TUPLE ? r.n : 1;
    if (n != want->n) {
        elab_error(e, 344, r.loc.line ? r.loc : loc, "%s returns %u value%s, its header says %u", what, n, n == 1 ? "" : "s", want->n);
        return (Value){ 0 };
    }
    Value        *items = ARENA_ARR(e->arena, Value, n);
    const char  **names = ARENA_ARR(e->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++) {
        Value x = r.kind == VAL_TUPLE ? r.items[i] : r;
        names[i] = want->at[i].name;
        const char *name = names[i] ? arena_printf(e->arena, "result '%s' of %s", names[i], what) : arena_printf(e->arena, "the result of %s", what);
        Ref         t = as_tensor(e, &x, name);
        if (!t)
            return (Value){ 0 };
        Type actual = node_type(e->gs->g, t);
        if (!match_type(e, v, want->at[i].type, &actual, x.loc.line ? x.loc : loc, name))
            return (Value){ 0 };
        items[i] = val_tensor(t);
    }
    if (!want->named)
        return items[0];
    Value tuple = { .kind = VAL_TUPLE, .loc = loc };
    tuple.items = items;
    tuple.names = names;
    tuple.n = n;
    return tuple;
}

/* ---- fn ---- */

static Value call_const_fn(Elab *e, Decl *d, const Call *c)
{
    const Item *it = d->item;
    if (c->n != it->nnames) {
        elab_error(e, 340, c->loc, "'%s' takes %u argument%s, not %u", d->name, it->nnames, it->nnames == 1 ? "" : "s", c->n);
        return (Value){ 0 };
    }
    frame_push(e, d->file, NULL, c->loc);
    for (uint32_t i = 0; i < c->n; i++)
        scope_bind_here(e, it->names[i].name, c->args[i].v);
    Value v = eval(e, it->a);
    frame_pop(e);
    return v;
}

Value call_fn(Elab *e, Decl *d, const Call *c)
{
    if (!enter(e, c->loc))
        return (Value){ 0 };
    Value r = { 0 };
    if (d->item->kind == I_CONST) {
        r = call_const_fn(e, d, c);
    } else {
        DimVars     v = { 0 };
        const char *what = arena_printf(e->arena, "'%s'", d->name);
        Frame      *f = frame_push(e, d->file, what, c->loc);
        if (bind_params(e, what, &d->item->params, c, &v)) {
            run_block(e, &d->item->body);
            r = check_results(e, what, d->item, &v, f->result, d->item->loc);
        }
        frame_pop(e);
        vec_free(&v.vars);
        vec_free(&v.rests);
    }
    leave(e);
    return r;
}

/* ---- layers ---- */

/* A weight hook, such as spectral: a layer from one tensor, called w, to another. */
static bool through_weights(const Decl *d)
{
    return d->item->params.n == 1 && !strcmp(d->item->params.at[0].name, "w");
}

Value make_layer(Elab *e, Decl *d, const Call *c)
{
    const Params *p = &d->item->mparams;
    const char   *what = arena_printf(e->arena, "'%s'", d->name);
    int32_t       slot[256];
    if (p->n > COUNT(slot) || !place_args(e, what, p, c, slot))
        return (Value){ 0 };
    Layer *l = ARENA_NEW(e->arena, Layer);
    *l = (Layer){ .decl = d, .args = ARENA_ARR(e->arena, Value, p->n + 1), .net = -1 };
    Frame *f = frame_push(e, d->file, NULL, c->loc);            /* defaults see the parameters before them */
    bool   ok = true;
    f->in_module = false;
    for (uint32_t i = 0; i < p->n && ok; i++) {
        if (slot[i] >= 0)
            l->args[i] = c->args[slot[i]].v;
        else if (p->at[i].deflt)
            l->args[i] = eval(e, p->at[i].deflt);
        else
            ok = missing(e, what, p, i, c->loc);
        if (l->args[i].kind == VAL_TENSOR) {
            elab_error(e, 345, l->args[i].loc, "%s: '%s' must be known when compiling, not a tensor", what, p->at[i].name);
            ok = false;
        }
        if (p->at[i].is_module && l->args[i].kind != VAL_MODULE && l->args[i].kind != VAL_LAYER && l->args[i].kind != VAL_FN && l->args[i].kind != VAL_BUILTIN &&
            l->args[i].kind != VAL_NONE) {
            elab_error(e, 346, l->args[i].loc, "%s: '%s' must be a layer, not %s", what, p->at[i].name, describe(e, &l->args[i]));
            ok = false;
        }
        if (slot[i] >= 0 && p->at[i].deflt && p->at[i].deflt->kind == E_NUM && (l->args[i].kind == VAL_LAYER || l->args[i].kind == VAL_MODULE)) {
            Diag *g = elab_error(e, 357, l->args[i].loc, "%s: '%s' must be a number, not %s", what, p->at[i].name, describe(e, &l->args[i]));
            if (through_weights(d))
                diag_hint(e->d, g, "It goes into the layer: %s(..., via: %s())", l->args[i].kind == VAL_LAYER ? l->args[i].layer->decl->name : l->args[i].decl->name, d->name);
            ok = false;
        }
        ok = ok && l->args[i].kind != VAL_NONE;
        scope_bind_here(e, p->at[i].name, l->args[i]);
    }
    frame_pop(e);
    return ok ? (Value){ .kind = VAL_LAYER, .loc = c->loc, .layer = l } : (Value){ 0 };
}

static const Args *find_init(Elab *e, FileScope *f, const char *layer)
{
    for (uint32_t i = 0; i < f->file->nitems; i++) {
        const Item *it = &f->file->items[i];
        for (uint32_t k = 0; it->kind == I_INIT && k < it->nnames; k++)
            if (it->names[k].name == layer)
                return &it->args;
    }
    (void)e;
    return NULL;
}

static bool follows_param(Elab *e, const Var *v)
{
    const Net *n = &e->m->nets.at[v->net];
    int32_t    base = find_var(e, arena_printf(e->arena, "%s%s", e->m->nets.at[n->ema_of].name, v->name + strlen(n->name)));
    return base >= 0 && e->m->vars.at[base].kind == VAR_PARAM;
}

/* A row of `check`'s table: what the net's own text applies, with the layers of std as units. */
static void add_row(Elab *e, Decl *d, const char *path, int32_t net, const Type *out, uint32_t first_var, uint32_t first_node, Loc loc)
{
    int64_t params = 0;
    Dim     macs = 0;
    for (uint32_t i = first_var; i < e->m->vars.n; i++) {
        const Var *v = &e->m->vars.at[i];
        int64_t    n = 1, k;
        if (v->net != net || v->kind == VAR_STATE || (v->kind == VAR_EMA && !follows_param(e, v)))
            continue;
        for (int a = 0; a < v->rank; a++)
            n *= dim_is_const(e->m->dims, v->shape[a], &k) ? k : 0;
        params += n;
    }
    for (Ref r = first_node; r < e->gs->g->nodes.n; r++)
        macs = dim_add(e->m->dims, macs, contract_macs(e->gs->g, r));
    vec_push(&e->m->nets.at[net].rows, ((LayerRow){ path, d->name, *out, params, macs, loc }));
}

Value apply_layer(Elab *e, Layer *l, const Call *c, const char *path, int32_t net, bool training)
{
    Decl *d = l->decl;
    if (!enter(e, c->loc))
        return (Value){ 0 };
    FileScope  *site_file = e->frame->file;
    const char *what = arena_printf(e->arena, "'%s'", d->name);
    DimVars     v = { 0 };
    Value       r = { 0 };
    uint32_t    first_var = e->m->vars.n, first_node = e->gs ? e->gs->g->nodes.n : 0;
    bool        unit = d->file->is_std && net >= 0 && net == e->probing_net && !e->layer_depth;
    Frame      *f = frame_push(e, d->file, d->name, c->loc);
    f->path = path;
    f->net = net;
    f->training = training;
    f->in_module = true;
    f->naming = module_naming(e, d);
    f->init = find_init(e, site_file, d->name);
    f->init_file = site_file;
    e->layer_depth += unit;
    for (uint32_t i = 0; i < d->item->mparams.n; i++)
        scope_bind_here(e, d->item->mparams.at[i].name, l->args[i]);
    if (bind_params(e, what, &d->item->params, c, &v)) {
        run_block(e, &d->item->body);
        if (!f->returned && e->d->errors == 0)
            elab_error(e, 347, d->item->loc, "%s ends without 'return'", what);
        r = check_results(e, what, d->item, &v, f->result, d->item->loc);
    }
    e->layer_depth -= unit;
    frame_pop(e);
    vec_free(&v.vars);
    vec_free(&v.rests);
    if (unit && r.kind == VAL_TENSOR) {
        Type out = node_type(e->gs->g, r.ref);
        add_row(e, d, path, net, &out, first_var, first_node, c->loc);
    }
    leave(e);
    return r;
}

/* `|> to_rgb[lod]: conv(3, 1)` has the label "to_rgb.2" at lod = 2; NULL when unlabelled */
const char *pipe_label(Elab *e, const Expr *site, bool *ok)
{
    *ok = true;
    if (!site || site->kind != E_PIPE || !site->str)
        return NULL;
    if (!site->label_index)
        return site->str;
    Value   i = eval(e, site->label_index);
    int64_t k;
    *ok = as_int(e, &i, "a label's index", &k);
    return *ok ? arena_printf(e->arena, "%s.%lld", site->str, (long long)k) : NULL;
}

/* A label stands for one place of a body: the same path from another place would share its weights by accident. */
static bool claim_label(Elab *e, const char *path, const Call *c)
{
    Frame *f = e->frame;
    for (uint32_t i = 0; path && i < f->labels.n; i++)
        if (f->labels.at[i] == path && f->label_sites.at[i] != c->site) {
            Diag *g = elab_error(e, 315, c->loc, "label '%s' already names the layer at %s", c->site->str, loc_text(e, f->label_sites.at[i]->b->loc));
            diag_hint(e->d, g, "Use another label, or bind one layer to a name to share its weights");
            return false;
        }
    vec_push(&f->labels, path);
    vec_push(&f->label_sites, c->site);
    return true;
}

static Value call_layer(Elab *e, Layer *l, const Call *c)
{
    if (l->decl->item->kind == I_OPTIMIZER) {
        elab_error(e, 348, c->loc, "'%s' is an optimizer: name it in an optim and write 'minimize ... using'", l->decl->name);
        return (Value){ 0 };
    }
    if (!e->gs) {
        elab_error(e, 229, c->loc, "layers cannot be applied here: only values known when compiling");
        return (Value){ 0 };
    }
    if (l->path)
        return apply_layer(e, l, c, l->path, l->net, e->frame->training);
    bool        ok;
    const char *label = pipe_label(e, c->site, &ok);
    if (!ok)
        return (Value){ 0 };
    bool indexed = label && c->site->label_index;
    if (!label)
        label = site_label(e->frame->naming, c->site);
    const char *path = join_path(e, e->frame->path, label, indexed ? "" : e->frame->iteration);
    if (c->site && c->site->kind == E_PIPE && c->site->str && !claim_label(e, path, c))
        return (Value){ 0 };
    return apply_layer(e, l, c, path, e->frame->net, e->frame->training);
}

/* ---- any callee ---- */

Value call_value(Elab *e, Value callee, const Call *c)
{
    for (uint32_t i = 0; i < c->n; i++)
        if (c->args[i].v.kind == VAL_NONE)
            return (Value){ 0 };
    switch (callee.kind) {
    case VAL_FN:
        return call_fn(e, callee.decl, c);
    case VAL_BUILTIN:
        return call_builtin(e, callee.builtin, c);
    case VAL_MODULE:
        if (c->n && c->args[0].v.kind == VAL_TENSOR && !c->args[0].name && callee.decl->item->kind == I_MODULE) {
            /* batch_norm(x), via(weight): a module applied without arguments of its own */
            Call  none = { .loc = c->loc };
            Value l = make_layer(e, callee.decl, &none);
            return l.kind == VAL_NONE ? l : call_layer(e, l.layer, c);
        }
        return make_layer(e, callee.decl, c);
    case VAL_LAYER:
        return call_layer(e, callee.layer, c);
    case VAL_NET:
        return apply_net(e, callee.index, callee.mode, c);
    case VAL_NONE:
        return callee;
    default:
        elab_error(e, 349, c->loc, "%s cannot be called", describe(e, &callee));
        return (Value){ 0 };
    }
}
