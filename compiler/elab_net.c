/* elab_net.c - variables (parameters, states), nets, their exponential moving averages, and the layer table.
 *
 * A variable is made when the body that declares it is first applied; its name is the path. Applying a net again finds the same variables. Initial
 * values are nodes of one graph, Model.init: random ones draw from the stream named by the variable, so adding a layer changes no other layer's start.
 */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

/* ---- variables ---- */

int32_t find_var(Elab *e, const char *name)
{
    name = intern(name);
    for (uint32_t i = 0; i < e->m->vars.n; i++)
        if (e->m->vars.at[i].name == name)
            return (int32_t)i;
    return -1;
}

int32_t make_var(Elab *e, VarKind kind, const char *name, const Type *t, int32_t net, Loc loc)
{
    Var v = { .name = intern(name), .kind = kind, .dtype = t->dtype, .rank = (uint8_t)t->rank, .net = net, .loc = loc };
    memcpy(v.shape, t->shape, sizeof v.shape);
    vec_push(&e->m->vars, v);
    if (net >= 0)
        vec_push(&e->m->nets.at[net].vars, e->m->vars.n - 1);
    return (int32_t)e->m->vars.n - 1;
}

static Type var_type(Elab *e, uint32_t var)
{
    const Var *v = &e->m->vars.at[var];
    Type       t = { v->dtype, v->rank, { 0 } };
    memcpy(t.shape, v->shape, sizeof t.shape);
    return t;
}

Ref var_value(Elab *e, uint32_t var)
{
    GraphState *gs = e->gs;
    if (gs->ncur <= var) {
        uint32_t n = e->m->vars.n + 16;
        gs->cur = xrealloc(gs->cur, n * sizeof *gs->cur);
        memset(gs->cur + gs->ncur, 0, (n - gs->ncur) * sizeof *gs->cur);
        gs->ncur = n;
    }
    if (!gs->cur[var]) {
        Type    t = var_type(e, var);
        int64_t index = var;
        Loc     keep = gs->g->loc;
        gs->g->loc = e->m->vars.at[var].loc;
        gs->cur[var] = make_node(gs->g, OP_var, t.dtype, t.rank, t.shape, 0, NULL, 1, &index, 0);
        gs->g->loc = keep;
    }
    return gs->cur[var];
}

void set_var(Elab *e, uint32_t var, Ref value)
{
    var_value(e, var);
    e->gs->cur[var] = value;
}

const char *state_slot(const char *name)
{
    char slot[300];
    snprintf(slot, sizeof slot, ":%s", name);
    return intern(slot);
}

/* Adds the variable's initial value to the init graph. The expression sees the compile-time names of the place that declares it. */
void init_var(Elab *e, int32_t var, const Expr *init, const char *stream_name)
{
    GraphState *keep = e->gs;
    const Type *keep_type = e->init_type;
    Type        t = var_type(e, (uint32_t)var);
    e->gs = e->init_state;
    e->init_type = &t;
    e->gs->name = stream_name;
    e->gs->randoms = 0;
    e->gs->g->loc = init->loc;
    Value v = eval(e, init);
    v.loc = init->loc;
    e->init_type = keep_type;
    Ref r = 0;
    if (v.kind == VAL_BUILTIN && (!strcmp(builtin_name(v.builtin), "zeros") || !strcmp(builtin_name(v.builtin), "ones")))
        v = val_num(builtin_name(v.builtin)[0] == 'o', true);
    if (v.kind == VAL_NUM && t.dtype != DT_F32)
        r = b_const(e->gs->g, t.dtype, v.num);
    else
        r = as_tensor(e, &v, "an initial value");
    if (r) {
        Type got = node_type(e->gs->g, r);
        if (got.rank == 0 && got.dtype == t.dtype)
            r = b_broadcast(e->gs->g, r, t.rank, t.shape);
        else if (got.rank != t.rank || got.dtype != t.dtype || memcmp(got.shape, t.shape, sizeof(Dim) * (size_t)t.rank))
            elab_error(e, 353, init->loc, "'%s' is %s and cannot start as %s", e->m->vars.at[var].name, type_text(e, &t), type_text(e, &got));
        vec_push(&e->gs->g->writes, ((GraphWrite){ (uint32_t)var, r }));
    }
    e->gs = keep;
}

static Ref initial_value(Elab *e, uint32_t var)
{
    Graph *g = e->m->init;
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (g->writes.at[i].var == var)
            return g->writes.at[i].value;
    return 0;
}

/* Type of a param or state statement: every size known, or E0234 (silently noted while probing). */
static bool variable_type(Elab *e, const Stmt *s, Type *t)
{
    DimVars v = { 0 };
    bool    ok = declare_type(e, &v, s->type, t);
    if (ok && v.vars.n) {
        elab_error(e, 301, s->type->loc, "unknown name '%s' in the type of '%s'", v.vars.at[0].name, s->name.name);
        ok = false;
    }
    vec_free(&v.vars);
    vec_free(&v.rests);
    for (int i = 0; ok && i < t->rank; i++) {
        int64_t k;
        if (dim_is_const(e->m->dims, t->shape[i], &k))
            continue;
        ok = false;
        if (e->probing_net >= 0) {
            e->probe_failed = true;
            break;
        }
        Diag *g = elab_error(e, 234, s->loc, "'%s' would have size %s, which is known only when the program runs", s->name.name, dim_text(e->m->dims, t->shape[i], e->arena));
        diag_hint(e->d, g, "A %s needs sizes known when compiling: write them as numbers where the input is declared, e.g. f32[N, 3, 256, 256]",
                  s->kind == S_STATE ? "state" : "parameter");
    }
    return ok;
}

static const char *under(Elab *e, int32_t net, int32_t other, const char *name)     /* "G.head.weight" -> "G_avg.head.weight" */
{
    return intern(arena_printf(e->arena, "%s%s", e->m->nets.at[other].name, name + strlen(e->m->nets.at[net].name)));
}

/* The variable of an ema net that follows `var` of its base. */
int32_t ema_var(Elab *e, int32_t ema_net, int32_t var)
{
    const char *name = under(e, e->m->nets.at[ema_net].ema_of, ema_net, e->m->vars.at[var].name);
    int32_t     found = find_var(e, name);
    if (found >= 0)
        return found;
    Type t = var_type(e, (uint32_t)var);
    found = make_var(e, VAR_EMA, name, &t, ema_net, e->m->vars.at[var].loc);
    Ref start = initial_value(e, (uint32_t)var);
    if (start)
        vec_push(&e->m->init->writes, ((GraphWrite){ (uint32_t)found, start }));
    return found;
}

static const Expr *initialiser(Elab *e, const Stmt *s)
{
    const Args *init = e->frame->init;
    for (uint32_t i = 0; init && i < init->n; i++)
        if (init->at[i].name == s->name.name)
            return init->at[i].value;
    return s->a;
}

static int32_t new_variable(Elab *e, const Stmt *s, bool is_state, const char *name, const Type *t, int32_t net)
{
    int32_t ema = net >= 0 ? e->m->nets.at[net].ema_of : -1;
    if (ema >= 0) {
        const char *base = under(e, net, ema, name);
        int32_t     var = find_var(e, base);
        return ema_var(e, net, var >= 0 ? var : new_variable(e, s, is_state, base, t, ema));
    }
    int32_t var = make_var(e, is_state ? VAR_STATE : VAR_PARAM, name, t, net, s->loc);
    const Expr *start = is_state ? s->a : initialiser(e, s);
    FileScope  *own = e->frame->file;
    e->frame->file = start == s->a ? own : e->frame->init_file;
    init_var(e, var, start, name);
    e->frame->file = own;
    return var;
}

Value declare_param(Elab *e, const Stmt *s, bool is_state)
{
    Frame *f = e->frame;
    if (f->in_optimizer && is_state)
        return optimizer_state(e, s);
    if (f->in_step && !is_state) {
        elab_error(e, 354, s->loc, "a step has no parameters: put 'param' into a module and make it a net");
        return (Value){ 0 };
    }
    if (!f->in_module && !f->in_step) {
        elab_error(e, 355, s->loc, "'%s' stands in a module", is_state ? "state" : "param");
        return (Value){ 0 };
    }
    if (f->in_module && !f->path) {
        elab_error(e, 356, f->call, "'%s' has parameters, so it must belong to a net", f->what);
        return (Value){ 0 };
    }
    Type        t;
    const char *base = f->in_step ? e->gs->name : join_path(e, f->path, NULL, f->iteration);
    const char *name = intern(arena_printf(e->arena, "%s.%s", base, s->name.name));
    if (is_state)
        scope_bind_here(e, state_slot(s->name.name), (Value){ 0 });      /* after a mistake here, `:=` stays silent */
    if (!variable_type(e, s, &t))
        return (Value){ 0 };
    for (uint32_t i = 0; i < f->claimed.n; i++)
        if (f->claimed.at[i] == name) {
            elab_error(e, 302, s->name.loc, "'%s' is declared twice in this body", s->name.name);
            return (Value){ 0 };
        }
    vec_push(&f->claimed, name);
    int32_t var = find_var(e, name);
    if (var < 0) {
        var = new_variable(e, s, is_state, name, &t, f->net);
    } else {
        Type old = var_type(e, (uint32_t)var);
        if (old.dtype != t.dtype || old.rank != t.rank || memcmp(old.shape, t.shape, sizeof(Dim) * (size_t)t.rank)) {
            elab_error(e, 351, f->call.line ? f->call : s->loc, "'%s' is %s since its first application; here it would be %s", name, type_text(e, &old), type_text(e, &t));
            return (Value){ 0 };
        }
    }
    if (is_state)
        scope_bind_here(e, state_slot(s->name.name), val_num(var, true));
    return val_tensor(var_value(e, (uint32_t)var));
}

/* ---- nets ---- */

static int32_t add_net(Elab *e, Decl *d, Layer *l, int32_t ema_of, double decay)
{
    Net n = { .name = d->name, .from = d->item->str, .frozen = d->item->frozen, .loc = d->item->loc, .ema_of = ema_of, .ema_decay = decay };
    vec_push(&e->m->nets, n);
    int32_t index = (int32_t)e->m->nets.n - 1;
    Layer  *own = ARENA_NEW(e->arena, Layer);
    *own = *l;
    own->path = d->name;
    own->net = index;
    vec_push(&e->nets, ((NetInfo){ d, own, 0 }));
    return index;
}

static int32_t elaborate_ema(Elab *e, Decl *d)
{
    const Args *args = &d->item->a->args;
    double      decay;
    if (args->n != 2) {
        diag_hint(e->d, elab_error(e, 360, d->item->a->loc, "ema takes a net and a decay"), "For example: net G_avg = ema(G, 0.999)");
        return -1;
    }
    Value net = eval(e, args->at[0].value), k = eval(e, args->at[1].value);
    k.loc = args->at[1].value->loc;
    if (net.kind != VAL_NET) {
        if (net.kind != VAL_NONE)
            elab_error(e, 360, args->at[0].value->loc, "ema follows a net, not %s", describe(e, &net));
        return -1;
    }
    if (!as_number(e, &k, "the decay of ema", &decay))
        return -1;
    if (decay < 0 || decay >= 1) {
        elab_error(e, 361, k.loc, "the decay of ema is in [0, 1), not %g", decay);
        return -1;
    }
    return add_net(e, d, e->nets.at[net.index].layer, net.index, decay);
}

int32_t elaborate_net(Elab *e, Decl *d)
{
    const Expr *x = d->item->a;
    Frame      *keep = e->frame;
    GraphState *gs = e->gs;
    int32_t     index = -1;
    e->frame = NULL;
    e->gs = NULL;
    frame_push(e, d->file, NULL, (Loc){ 0 });
    if (x->kind == E_CALL && x->a->kind == E_NAME && !strcmp(x->a->str, "ema")) {
        index = elaborate_ema(e, d);
    } else {
        Value v = eval(e, x);
        if (v.kind == VAL_MODULE && v.decl->item->kind == I_MODULE) {
            Call none = { .loc = x->loc };
            v = make_layer(e, v.decl, &none);
        }
        if (v.kind == VAL_LAYER)
            index = add_net(e, d, v.layer, -1, 0);
        else if (v.kind != VAL_NONE)
            diag_hint(e->d, elab_error(e, 362, x->loc, "a net is made from a module, not from %s", describe(e, &v)), "For example: net G = Generator()");
    }
    e->frame = keep;
    e->gs = gs;
    return index;
}

Value apply_net(Elab *e, int32_t net, int mode, const Call *c)
{
    const Net *n = &e->m->nets.at[net];
    if (!e->gs) {
        elab_error(e, 229, c->loc, "net '%s' cannot be applied here: only values known when compiling", n->name);
        return (Value){ 0 };
    }
    bool training = mode == 1 || (mode == 0 && e->gs->role == GRAPH_STEP && !n->frozen && n->ema_of < 0);
    if (mode == 1 && n->frozen) {
        elab_error(e, 363, c->loc, "net '%s' is frozen: it only infers", n->name);
        return (Value){ 0 };
    }
    Text key = { 0 };
    text_addf(&key, "%d/%d/%u", net, training, e->nets.at[net].version);
    bool shared = true;
    for (uint32_t i = 0; i < c->n; i++) {
        const Value *v = &c->args[i].v;
        shared &= v->kind == VAL_TENSOR || (v->kind == VAL_NUM && !v->unit);
        text_addf(&key, "/%s=", c->args[i].name ? c->args[i].name : "");
        if (v->kind == VAL_TENSOR)
            text_addf(&key, "%u", v->ref);
        else
            text_addf(&key, "n%.17g", v->num);
    }
    const char *name = intern(key.at);
    text_free(&key);
    for (uint32_t i = 0; shared && i < e->gs->applied.n; i++)
        if (e->gs->applied.at[i].key == name)
            return e->gs->applied.at[i].result;
    Value r = apply_layer(e, e->nets.at[net].layer, c, e->nets.at[net].layer->path, net, training);
    if (shared)
        vec_push(&e->gs->applied, ((Application){ name, r }));
    return r;
}

/* ---- the layer table: one application of every net from its declared types ---- */

/* One item; pictures of 256 pixels a side. */
static void nominal_sizes(Elab *e, int32_t net, const Graph *g)
{
    Net *n = &e->m->nets.at[net];
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < g->inputs.n; i++)
            for (int k = 0; k < g->inputs.at[i].rank; k++) {
                int64_t known;
                Dim     d = g->inputs.at[i].shape[k];
                if (dim_is_const(e->m->dims, d, &known) || dim_eval(e->m->dims, d, n->nominal, n->nnominal, &known) || n->nnominal == COUNT(n->nominal))
                    continue;
                dim_bind(e->m->dims, d, k >= 2 && g->inputs.at[i].rank == 4 ? 256 : 1, n->nominal, &n->nnominal, COUNT(n->nominal));
            }
}

static void probe_net(Elab *e, int32_t net)
{
    Layer        *l = e->nets.at[net].layer;
    const Params *p = &l->decl->item->params;
    GraphState    gs = { 0 };
    DimVars       v = { .make_symbols = true };
    Call          c = { .args = ARENA_ARR(e->arena, CallArg, p->n + 1), .loc = e->m->nets.at[net].loc };
    Frame        *keep = e->frame;
    for (uint32_t i = 0; i < p->n; i++)
        if (!p->at[i].type)
            return;
    graph_begin(e, &gs, GRAPH_CHECK, e->m->nets.at[net].name);
    Frame *outer = frame_push(e, l->decl->file, arena_printf(e->arena, "instantiated by 'net %s'", e->m->nets.at[net].name), c.loc);
    frame_push(e, l->decl->file, NULL, (Loc){ 0 });             /* the signature's own scope: module arguments and dim names */
    for (uint32_t i = 0; i < l->decl->item->mparams.n; i++)
        scope_bind_here(e, l->decl->item->mparams.at[i].name, l->args[i]);
    bool ok = true;
    for (uint32_t i = 0; i < p->n && ok; i++) {
        Type t;
        bool rest = false;
        for (uint32_t k = 0; k < p->at[i].type->ndims; k++)
            rest |= p->at[i].type->dims[k].rest != NULL;
        ok = !rest && declare_type(e, &v, p->at[i].type, &t);
        int64_t channels;
        ok = ok && (t.rank < 2 || dim_is_const(e->m->dims, t.shape[1], &channels));    /* weights need the channels: the first use decides */
        if (ok) {
            int64_t index = i;
            c.args[c.n++] = (CallArg){ .v = val_tensor(make_node(gs.g, OP_input, t.dtype, t.rank, t.shape, 0, NULL, 1, &index, 0)), .loc = p->at[i].loc };
            vec_push(&gs.g->inputs, ((GraphInput){ .name = p->at[i].name, .dtype = t.dtype, .rank = (uint8_t)t.rank }));
            memcpy(gs.g->inputs.at[i].shape, t.shape, sizeof t.shape);
        }
    }
    if (ok)
        nominal_sizes(e, net, gs.g);
    frame_pop(e);
    e->frame = outer;
    e->probing_net = net;
    e->probe_failed = false;
    if (ok)
        apply_layer(e, l, &c, l->path, net, false);
    e->probing_net = -1;
    if (e->probe_failed)
        e->m->nets.at[net].rows.n = 0;
    e->frame = keep;
    graph_drop(e, graph_end(e));
    vec_free(&v.vars);
    vec_free(&v.rests);
}

void probe_nets(Elab *e)
{
    for (uint32_t i = 0; i < e->m->nets.n; i++)
        probe_net(e, (int32_t)i);
}
