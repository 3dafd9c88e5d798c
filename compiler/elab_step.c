/* elab_step.c - graphs: steps and exports, `minimize`, optimisers, gradients.
 *
 * minimize LOSS over NETS using OPT:  gradients of LOSS with respect to every parameter of NETS (one backward pass for all), then, a net at a time, the
 * optimizer's body over one flat vector: w = concat(parameters the loss reaches), g likewise. Its states are kept a parameter each, so what a step
 * reaches may differ from step to step; simplify() takes the flat vector apart again when the body is elementwise.
 */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

/* ---- graphs ---- */

void graph_begin(Elab *e, GraphState *gs, GraphRole role, const char *name)
{
    gs->g = graph_new(name, e->m->dims);
    vec_push(&e->graphs, gs->g);
    gs->role = role;
    gs->name = name;
    gs->outer = e->gs;
    e->gs = gs;
}

/* Closes the graph being made: what variables have become is written when it has run. The caller owns the Graph. */
Graph *graph_end(Elab *e)
{
    GraphState *gs = e->gs;
    for (uint32_t v = 0; v < gs->ncur; v++) {
        Ref r = gs->cur[v];
        if (r && !(node(gs->g, r)->op == OP_var && node_attrs(gs->g, r)[0] == (int64_t)v))
            vec_push(&gs->g->writes, ((GraphWrite){ v, r }));
    }
    e->gs = gs->outer;
    free(gs->cur);
    vec_free(&gs->applied);
    return gs->g;
}

void graph_drop(Elab *e, Graph *g)
{
    uint32_t i = e->graphs.n;
    while (i-- > 0)
        if (e->graphs.at[i] == g) {
            e->graphs.at[i] = e->graphs.at[--e->graphs.n];
            break;
        }
    graph_free(g);
}

uint64_t random_stream(Elab *e)
{
    const char *path = e->frame && e->frame->path ? e->frame->path : "";
    uint64_t    h = hash_bytes(e->gs->name, strlen(e->gs->name), 0x70617374);
    h = hash_bytes(path, strlen(path), h + e->gs->randoms++);
    return h;
}

/* ---- gradients ---- */

static void report_no_derivative(Elab *e, Ref culprit, Loc loc)
{
    const Node *n = node(e->gs->g, culprit);
    Diag       *g = elab_error(e, 402, n->loc.line ? n->loc : loc, "grad: '%s' has no derivative on the way to what is differentiated at %s", op_info[n->op].name, loc_text(e, loc));
    diag_hint(e->d, g, "Use stop() if this is intended");
}

Value gradient(Elab *e, Value y, Value x, Loc loc)
{
    Ref ry = as_tensor(e, &y, "what grad differentiates"), rx = as_tensor(e, &x, "what grad differentiates by"), out, culprit = 0;
    if (!ry || !rx)
        return (Value){ 0 };
    Type ty = node_type(e->gs->g, ry), tx = node_type(e->gs->g, rx);
    if (ty.rank != 0 || ty.dtype != DT_F32) {
        diag_hint(e->d, elab_error(e, 401, y.loc, "grad differentiates one number, this is %s", type_text(e, &ty)), "Use sum(...) or mean(...)");
        return (Value){ 0 };
    }
    if (!gradients(e->gs->g, ry, 1, &rx, &out, &culprit)) {
        report_no_derivative(e, culprit, loc);
        return (Value){ 0 };
    }
    if (!out) {
        elab_error(e, 404, loc, "grad: the first argument does not depend on the second (%s)", type_text(e, &tx));
        return (Value){ 0 };
    }
    return val_tensor(out);
}

/* ---- optimisers ---- */

typedef struct { const char *name; int32_t *vars; bool flat; Ref value; Type type; } OptState;   /* flat: a variable for each parameter */
typedef struct OptimizerRun {
    const char *optim;             /* "opt_g" */
    int32_t     net;
    uint32_t    n;
    const uint32_t *vars;          /* the parameters the loss reaches */
    int64_t    *sizes, total;
    OptState    states[16];
    uint32_t    nstates;
} OptimizerRun;

static int64_t var_count(Elab *e, uint32_t var)
{
    int64_t n = 1, k;
    for (int i = 0; i < e->m->vars.at[var].rank; i++)
        n *= dim_is_const(e->m->dims, e->m->vars.at[var].shape[i], &k) ? k : 0;
    return n;
}

/* parts (.., n_i) side by side along the last axis: (.., total) */
static Ref flat_vector(Elab *e, const OptimizerRun *o, const Ref *parts, const Type *lead)
{
    Graph *g = e->gs->g;
    Ref   *flat = ARENA_ARR(e->arena, Ref, o->n);
    int    rank = lead ? lead->rank : 1;
    for (uint32_t i = 0; i < o->n; i++) {
        Dim shape[MAX_RANK];
        if (lead)
            memcpy(shape, lead->shape, sizeof shape);
        shape[rank - 1] = dim_const(g->dims, o->sizes[i]);
        flat[i] = b_reshape(g, parts[i], rank, shape);
    }
    return o->n == 1 ? flat[0] : b_concat(g, (int)o->n, flat, rank - 1);
}

/* the part of a flat value (.., total) that belongs to parameter i, in `shape` */
static Ref flat_part(Elab *e, const OptimizerRun *o, Ref flat, uint32_t i, int rank, const Dim *shape)
{
    Graph  *g = e->gs->g;
    Type    t = node_type(g, flat);
    Dim     start[MAX_RANK] = { 0 };
    int     step[MAX_RANK];
    int64_t at = 0;
    for (uint32_t k = 0; k < i; k++)
        at += o->sizes[k];
    for (int k = 0; k < t.rank; k++)
        step[k] = 1;
    start[t.rank - 1] = dim_const(g->dims, at);
    t.shape[t.rank - 1] = dim_const(g->dims, o->sizes[i]);
    return b_reshape(g, b_slice(g, flat, start, step, t.shape), rank, shape);
}

Value optimizer_state(Elab *e, const Stmt *s)
{
    OptimizerRun *o = e->frame->optimizer;
    DimVars       v = { 0 };
    Type          t;
    int64_t       last = -1;
    if (o->nstates == COUNT(o->states)) {
        elab_error(e, 605, s->loc, "an optimizer has at most %zu states", COUNT(o->states));
        return (Value){ 0 };
    }
    bool ok = declare_type(e, &v, s->type, &t) && !v.vars.n;
    vec_free(&v.vars);
    vec_free(&v.rests);
    if (!ok) {
        elab_error(e, 234, s->type->loc, "'%s': an optimizer's state is f32[], f32[P] or f32[.., P]", s->name.name);
        return (Value){ 0 };
    }
    OptState *st = &o->states[o->nstates++];
    *st = (OptState){ .name = s->name.name, .type = t };
    st->flat = t.rank > 0 && dim_is_const(e->m->dims, t.shape[t.rank - 1], &last) && last == o->total;
    uint32_t n = st->flat ? o->n : 1;
    st->vars = ARENA_ARR(e->arena, int32_t, n);
    Ref *parts = ARENA_ARR(e->arena, Ref, n);
    for (uint32_t i = 0; i < n; i++) {
        const char *owner = st->flat ? e->m->vars.at[o->vars[i]].name : e->m->nets.at[o->net].name;
        const char *name = arena_printf(e->arena, "%s.%s.%s", o->optim, s->name.name, owner);
        Type        own = t;
        if (st->flat && t.rank == 1) {
            const Var *p = &e->m->vars.at[o->vars[i]];
            own.rank = p->rank;
            memcpy(own.shape, p->shape, sizeof own.shape);
        } else if (st->flat) {
            own.shape[t.rank - 1] = dim_const(e->m->dims, o->sizes[i]);
        }
        st->vars[i] = find_var(e, name);
        if (st->vars[i] < 0) {
            st->vars[i] = make_var(e, VAR_OPT, name, &own, -1, s->loc);
            init_var(e, st->vars[i], s->a, name);
        }
        parts[i] = var_value(e, (uint32_t)st->vars[i]);
    }
    st->value = st->flat ? flat_vector(e, o, parts, t.rank > 1 ? &t : NULL) : parts[0];
    return val_tensor(st->value);
}

void optimizer_assign(Elab *e, const Stmt *s, Value v)
{
    OptimizerRun *o = e->frame->optimizer;
    Ref           r = as_tensor(e, &v, "what a state becomes");
    if (!r)
        return;
    for (uint32_t k = 0; k < o->nstates; k++) {
        OptState *st = &o->states[k];
        if (st->name != s->name.name)
            continue;
        Type t = node_type(e->gs->g, r);
        if (t.rank != st->type.rank || t.dtype != st->type.dtype || memcmp(t.shape, st->type.shape, sizeof(Dim) * (size_t)t.rank)) {
            elab_error(e, 322, s->loc, "state '%s' is %s and cannot become %s", st->name, type_text(e, &st->type), type_text(e, &t));
            return;
        }
        st->value = r;
        scope_bind(e, st->name, val_tensor(r));
        return;
    }
    elab_error(e, 321, s->name.loc, "'%s' is not a state of this optimizer", s->name.name);
}

static void commit_states(Elab *e, const OptimizerRun *o)
{
    for (uint32_t k = 0; k < o->nstates; k++) {
        const OptState *st = &o->states[k];
        for (uint32_t i = 0; i < (st->flat ? o->n : 1); i++) {
            const Var *v = &e->m->vars.at[st->vars[i]];
            Dim        shape[MAX_RANK];
            memcpy(shape, v->shape, sizeof shape);
            set_var(e, (uint32_t)st->vars[i], st->flat ? flat_part(e, o, st->value, i, v->rank, shape) : st->value);
        }
    }
}

/* `t`: the number of this update, 1 for the first; kept a net and optim. */
static Ref count_update(Elab *e, const OptimizerRun *o)
{
    const char *name = arena_printf(e->arena, "%s.t.%s", o->optim, e->m->nets.at[o->net].name);
    int32_t     var = find_var(e, name);
    Type        scalar = { DT_F32, 0, { 0 } };
    if (var < 0) {
        var = make_var(e, VAR_OPT, name, &scalar, -1, (Loc){ 0 });
        vec_push(&e->m->init->writes, ((GraphWrite){ (uint32_t)var, b_const(e->m->init, DT_F32, 0) }));
    }
    set_var(e, (uint32_t)var, b_binary(e->gs->g, OP_add, var_value(e, (uint32_t)var), b_const(e->gs->g, DT_F32, 1)));
    return var_value(e, (uint32_t)var);
}

/* Values of the optimizer's own parameters (lr, beta1, ...), evaluated in this graph so that schedules see the run. */
static bool optimizer_args(Elab *e, const OptimInfo *info, Value *values)
{
    const Params *p = &info->optimizer->item->mparams;
    Frame        *keep = e->frame;
    int32_t       slot[256];
    Call          c = { .args = ARENA_ARR(e->arena, CallArg, info->args ? info->args->n : 0), .loc = info->decl->item->a->loc };
    Frame        *f = frame_push(e, info->decl->file, arena_printf(e->arena, "optim %s", info->name), (Loc){ 0 });
    bool          ok = true;
    f->schedules = true;
    for (uint32_t i = 0; info->args && i < info->args->n; i++) {
        const Arg *a = &info->args->at[i];
        Value      v = eval(e, a->value);
        ok = ok && v.kind != VAL_NONE;
        c.args[c.n++] = (CallArg){ .v = v, .name = a->name, .loc = a->loc.line ? a->loc : a->value->loc };
    }
    ok = ok && p->n <= COUNT(slot) && place_args(e, arena_printf(e->arena, "'%s'", info->optimizer->name), p, &c, slot);
    e->frame = keep;
    frame_push(e, info->optimizer->file, NULL, (Loc){ 0 });
    for (uint32_t i = 0; ok && i < p->n; i++) {
        if (slot[i] < 0 && !p->at[i].deflt) {
            elab_error(e, 343, c.loc, "'%s' needs '%s'", info->optimizer->name, p->at[i].name);
            ok = false;
            break;
        }
        values[i] = slot[i] >= 0 ? c.args[slot[i]].v : eval(e, p->at[i].deflt);
        scope_bind_here(e, p->at[i].name, values[i]);
    }
    e->frame = keep;
    return ok;
}

static void run_optimizer(Elab *e, const OptimInfo *info, int32_t net, uint32_t n, const uint32_t *vars, const Ref *grads, Loc loc)
{
    Decl        *d = info->optimizer;
    OptimizerRun o = { .optim = info->name, .net = net, .n = n, .vars = vars };
    Value       *values = ARENA_ARR(e->arena, Value, d->item->mparams.n + 1);
    Ref         *weights = ARENA_ARR(e->arena, Ref, n);
    o.sizes = ARENA_ARR(e->arena, int64_t, n);
    for (uint32_t i = 0; i < n; i++) {
        o.sizes[i] = var_count(e, vars[i]);
        o.total += o.sizes[i];
        weights[i] = var_value(e, vars[i]);
    }
    if (!optimizer_args(e, info, values))
        return;
    CallArg args[2] = { { .v = val_tensor(flat_vector(e, &o, weights, NULL)), .loc = loc }, { .v = val_tensor(flat_vector(e, &o, grads, NULL)), .loc = loc } };
    Call    c = { .args = args, .n = 2, .loc = loc };
    DimVars v = { 0 };
    Frame  *f = frame_push(e, d->file, arena_printf(e->arena, "optimizer %s", d->name), loc);
    f->in_optimizer = true;
    f->optimizer = &o;
    for (uint32_t i = 0; i < d->item->mparams.n; i++)
        scope_bind_here(e, d->item->mparams.at[i].name, values[i]);
    scope_bind_here(e, intern("t"), val_tensor(count_update(e, &o)));
    if (d->item->params.n != 2) {
        elab_error(e, 410, d->item->loc, "an optimizer takes (w: f32[P], g: f32[P])");
    } else if (bind_params(e, arena_printf(e->arena, "optimizer '%s'", d->name), &d->item->params, &c, &v)) {
        run_block(e, &d->item->body);
        Ref  r = f->returned ? as_tensor(e, &f->result, "the new weights") : 0;
        Type want = node_type(e->gs->g, args[0].v.ref), got = { 0 };
        if (r)
            got = node_type(e->gs->g, r);
        if (!f->returned)
            elab_error(e, 347, d->item->loc, "optimizer '%s' ends without 'return'", d->name);
        else if (r && (got.rank != 1 || got.shape[0] != want.shape[0]))
            elab_error(e, 411, f->result.loc, "optimizer '%s' returns %s, not the new weights %s", d->name, type_text(e, &got), type_text(e, &want));
        else if (r) {
            commit_states(e, &o);
            r = b_unary(e->gs->g, OP_stop, r);                  /* no later gradient goes through an update */
            for (uint32_t i = 0; i < n; i++) {
                Dim shape[MAX_RANK];
                memcpy(shape, e->m->vars.at[vars[i]].shape, sizeof shape);
                set_var(e, vars[i], flat_part(e, &o, r, i, e->m->vars.at[vars[i]].rank, shape));
            }
        }
    }
    frame_pop(e);
    vec_free(&v.vars);
    vec_free(&v.rests);
}

/* average <- decay * average + (1 - decay) * value */
static void move_average(Elab *e, int32_t ema_net, uint32_t var)
{
    Graph   *g = e->gs->g;
    double   decay = e->m->nets.at[ema_net].ema_decay;
    uint32_t avg = (uint32_t)ema_var(e, ema_net, (int32_t)var);
    Ref      old = b_binary(g, OP_mul, b_const(g, DT_F32, decay), var_value(e, avg));
    Ref      now = b_binary(g, OP_mul, b_const(g, DT_F32, 1 - decay), var_value(e, var));
    set_var(e, avg, b_binary(g, OP_add, old, now));
}

/* ema nets of `net` follow the n parameters just updated, and all its state: running statistics belong to the weights they were taken with, so those
 * of an average are averages too. */
static void follow(Elab *e, int32_t net, uint32_t n, const uint32_t *vars)
{
    for (uint32_t i = 0; i < e->m->nets.n; i++) {
        if (e->m->nets.at[i].ema_of != net)
            continue;
        for (uint32_t k = 0; k < n; k++)
            move_average(e, (int32_t)i, vars[k]);
        for (uint32_t k = 0; k < e->m->nets.at[net].vars.n; k++)
            if (e->m->vars.at[e->m->nets.at[net].vars.at[k]].kind == VAR_STATE)
                move_average(e, (int32_t)i, e->m->nets.at[net].vars.at[k]);
    }
}

/* The arguments of an optim that no step uses are checked all the same. */
void check_unused_optims(Elab *e)
{
    for (uint32_t i = 0; i < e->optims.n; i++) {
        const OptimInfo *o = &e->optims.at[i];
        if (o->used)
            continue;
        GraphState gs = { 0 };
        graph_begin(e, &gs, GRAPH_STEP, o->name);
        optimizer_args(e, o, ARENA_ARR(e->arena, Value, o->optimizer->item->mparams.n + 1));
        graph_drop(e, graph_end(e));
    }
}

/* ---- minimize ---- */

/* Does the loss read a parameter of this net, other than through stop()? */
static bool reads_net(Elab *e, Ref loss, int32_t net)
{
    Graph *g = e->gs->g;
    bool  *seen = xmalloc(loss + 1u), found = false;
    seen[loss] = true;
    for (Ref r = loss; r > 0 && !found; r--) {
        const Node *n = node(g, r);
        if (!seen[r] || n->op == OP_stop)
            continue;
        if (n->op == OP_var) {
            const Var *v = &e->m->vars.at[node_attrs(g, r)[0]];
            found = v->net == net && v->kind == VAR_PARAM && !e->m->nets.at[net].frozen && e->m->nets.at[net].ema_of < 0;
        }
        for (int i = 0; i < n->nargs; i++)
            seen[node_arg(g, r, i)] = true;
    }
    free(seen);
    return found;
}

static int32_t minimized_net(Elab *e, const Name *n, Ref loss)
{
    Decl *d = find_decl(e, e->frame->file, n->name);
    Value v = d && d->item->kind == I_NET ? decl_value(e, d, n->loc) : (Value){ 0 };
    if (v.kind == VAL_NET) {
        const Net *net = &e->m->nets.at[v.index];
        if (net->frozen || net->ema_of >= 0) {
            elab_error(e, 405, n->loc, "net '%s' %s and cannot be minimised over", net->name, net->frozen ? "is frozen" : "is an average of another");
            return -1;
        }
        return v.index;
    }
    if (d && d->item->kind == I_NET)
        return -1;
    const char *names[256];
    uint32_t    count = 0;
    Text        list = { 0 };
    for (; count < e->m->nets.n && count < COUNT(names); count++) {
        names[count] = e->m->nets.at[count].name;
        text_addf(&list, "%s%s", count ? ", " : "", names[count]);
    }
    const char *read[256];                                      /* rather one that the loss depends on */
    uint32_t    nread = 0;
    for (uint32_t i = 0; loss && i < count; i++)
        if (reads_net(e, loss, (int32_t)i))
            read[nread++] = names[i];
    const char *near = nread == 1 ? read[0] : nearest_word(n->name, nread ? read : names, nread ? nread : count);
    Diag       *g = elab_error(e, 316, n->loc, "'minimize' names net '%s'; nets are: %s", n->name, list.n ? list.at : "none");
    if (near)
        diag_hint(e->d, g, nread == 1 ? "Did you mean '%s'? The loss depends on it" : "Did you mean '%s'?", near);
    text_free(&list);
    return -1;
}

static OptimInfo *minimize_optim(Elab *e, const Stmt *s)
{
    Decl *d = s->name.name ? find_decl(e, e->frame->file, s->name.name) : NULL;
    Value v = d && d->item->kind == I_OPTIM ? decl_value(e, d, s->name.loc) : (Value){ 0 };
    if (v.kind == VAL_OPTIM)
        return &e->optims.at[v.index];
    if (d && d->item->kind == I_OPTIM)
        return NULL;
    const char *names[256];
    uint32_t    n = 0;
    for (; n < e->optims.n && n < COUNT(names); n++)
        names[n] = e->optims.at[n].name;
    const char *near = s->name.name ? nearest_word(s->name.name, names, n) : NULL;
    Diag       *g = elab_error(e, 317, s->name.loc.line ? s->name.loc : s->loc, "'minimize' uses an optim, and '%s' is not one", s->name.name ? s->name.name : "");
    if (near)
        diag_hint(e->d, g, "Did you mean '%s'?", near);
    else
        diag_hint(e->d, g, "For example: optim opt_g = adam(lr: 2e-4)  and  minimize loss over G using opt_g");
    return NULL;
}

/* Does `from` use the leaf of one of this net's parameters although that parameter has a newer value? */
static bool uses_old_weights(Elab *e, Ref from, int32_t net)
{
    Graph *g = e->gs->g;
    bool  *seen = xmalloc(from + 1u), found = false;
    seen[from] = true;
    for (Ref r = from; r > 0 && !found; r--) {
        if (!seen[r])
            continue;
        const Node *n = node(g, r);
        if (n->op == OP_stop)
            continue;
        if (n->op == OP_var) {
            uint32_t var = (uint32_t)node_attrs(g, r)[0];
            found = e->m->vars.at[var].net == net && e->m->vars.at[var].kind == VAR_PARAM && var_value(e, var) != r;
        }
        for (int i = 0; i < n->nargs; i++)
            seen[node_arg(g, r, i)] = true;
    }
    free(seen);
    return found;
}

static void report_unreached(Elab *e, const Name *name, int32_t net, Ref loss, Loc loc)
{
    const char *n = e->m->nets.at[net].name;
    if (uses_old_weights(e, loss, net)) {
        elab_error(e, 406, name->loc, "the loss was computed with weights of '%s' that an earlier minimize of this step has replaced: apply %s again", n, n);
        return;
    }
    Diag *g = elab_error(e, 403, name->loc, "the loss does not depend on net '%s', so minimising over it would do nothing", n);
    for (uint32_t i = 0; i < e->m->nets.n && g && !g->hint; i++)
        if ((int32_t)i != net && reads_net(e, loss, (int32_t)i))
            diag_hint(e->d, g, "It depends on '%s': did you mean 'over %s'?", e->m->nets.at[i].name, e->m->nets.at[i].name);
    (void)loc;
}

void run_minimize(Elab *e, const Stmt *s)
{
    Value v = eval(e, s->a);
    v.loc = s->a->loc;
    Ref              loss = as_tensor(e, &v, "a loss");
    OptimInfo *optim = minimize_optim(e, s);
    int32_t         *nets = ARENA_ARR(e->arena, int32_t, s->nnames + 1);
    uint32_t         n = 0;
    bool             ok = loss && optim;
    for (uint32_t i = 0; i < s->nnames; i++) {
        nets[i] = minimized_net(e, &s->names[i], loss);
        ok = ok && nets[i] >= 0;
        n += nets[i] >= 0 ? e->m->nets.at[nets[i]].vars.n : 0;
        for (uint32_t k = 0; k < i; k++)
            if (nets[i] >= 0 && nets[k] == nets[i]) {
                elab_error(e, 407, s->names[i].loc, "net '%s' is named twice", s->names[i].name);
                ok = false;
            }
    }
    if (!ok)
        return;
    Type t = node_type(e->gs->g, loss);
    if (t.rank != 0 || t.dtype != DT_F32) {
        diag_hint(e->d, elab_error(e, 401, s->a->loc, "a loss is one number, this is %s", type_text(e, &t)), "Use mean(...)");
        return;
    }
    uint32_t *vars = ARENA_ARR(e->arena, uint32_t, n + 1), count = 0;
    uint32_t *first = ARENA_ARR(e->arena, uint32_t, s->nnames + 1);
    for (uint32_t i = 0; i < s->nnames; i++) {
        first[i] = count;
        for (uint32_t k = 0; k < e->m->nets.at[nets[i]].vars.n; k++)
            if (e->m->vars.at[e->m->nets.at[nets[i]].vars.at[k]].kind == VAR_PARAM)
                vars[count++] = e->m->nets.at[nets[i]].vars.at[k];
    }
    first[s->nnames] = count;
    Ref *values = ARENA_ARR(e->arena, Ref, count + 1), *grads = ARENA_ARR(e->arena, Ref, count + 1), culprit = 0;
    for (uint32_t i = 0; i < count; i++)
        values[i] = var_value(e, vars[i]);
    if (!gradients(e->gs->g, loss, (int)count, values, grads, &culprit)) {
        report_no_derivative(e, culprit, s->loc);
        return;
    }
    for (uint32_t i = 0; i < s->nnames; i++) {
        Minimized m = { .loss = loss, .net = (uint32_t)nets[i], .loc = s->loc };
        uint32_t *mv = ARENA_ARR(e->arena, uint32_t, count + 1);
        Ref      *mr = ARENA_ARR(e->arena, Ref, count + 1), *mg = ARENA_ARR(e->arena, Ref, count + 1);
        for (uint32_t k = first[i]; k < first[i + 1]; k++)
            if (grads[k]) {
                mv[m.n] = vars[k];
                mr[m.n] = values[k];
                mg[m.n++] = grads[k];
            }
        m.vars = mv, m.values = mr, m.grads = mg;
        if (!m.n) {
            report_unreached(e, &s->names[i], nets[i], loss, s->loc);
            continue;
        }
        if (e->gs->step)
            vec_push(&e->gs->step->minimized, m);
        optim->used = true;
        run_optimizer(e, optim, nets[i], m.n, mv, mg, s->loc);
        follow(e, nets[i], m.n, mv);
        e->nets.at[nets[i]].version++;
    }
}

int32_t elaborate_optim(Elab *e, Decl *d)
{
    const Expr *x = d->item->a;
    const Expr *callee = x->kind == E_CALL ? x->a : x;
    Decl       *o = callee->kind == E_NAME ? find_decl(e, d->file, callee->str) : NULL;
    if (!o || o->item->kind != I_OPTIMIZER) {
        const char *names[256];
        uint32_t    n = 0;
        for (uint32_t p = 0; p <= e->prelude.n; p++) {
            FileScope *f = p ? e->prelude.at[p - 1] : d->file;
            for (uint32_t i = 0; i < f->decls.n && n < COUNT(names); i++)
                if (f->decls.at[i].item->kind == I_OPTIMIZER)
                    names[n++] = f->decls.at[i].name;
        }
        const char *near = callee->kind == E_NAME ? nearest_word(callee->str, names, n) : NULL;
        Diag       *g = elab_error(e, 318, x->loc, "an optim is made from an optimizer%s%s%s", callee->kind == E_NAME ? ", and '" : "",
                                   callee->kind == E_NAME ? callee->str : "", callee->kind == E_NAME ? "' is not one" : "");
        if (near)
            diag_hint(e->d, g, "Did you mean '%s'?", near);
        else
            diag_hint(e->d, g, "For example: optim opt_g = adam(lr: 2e-4)");
        return -1;
    }
    vec_push(&e->optims, ((OptimInfo){ .name = d->name, .decl = d, .optimizer = o, .args = x->kind == E_CALL ? &x->args : NULL }));
    return (int32_t)e->optims.n - 1;
}

/* ---- steps and exports ---- */

/* Declares params as the graph's inputs; a tensor becomes a node, an untyped one a symbol. */
static bool declare_inputs(Elab *e, const Params *p, DimVars *v)
{
    Graph *g = e->gs->g;
    bool   ok = true;
    for (uint32_t i = 0; i < p->n; i++) {
        const Param *x = &p->at[i];
        GraphInput   in = { .name = x->name, .loc = x->loc };
        if (!x->type) {
            in.kind = IN_INT;
            in.dtype = DT_I32;
            in.symbol = dim_sym(g->dims, x->name);
            vec_push(&g->inputs, in);
            scope_bind_here(e, x->name, (Value){ .kind = VAL_DIM, .dim = in.symbol });
            continue;
        }
        Type t;
        if (!declare_type(e, v, x->type, &t)) {
            ok = false;
            continue;
        }
        in.dtype = t.dtype;
        in.rank = (uint8_t)t.rank;
        memcpy(in.shape, t.shape, sizeof in.shape);
        in.ranged = type_range(e, x->type, &in.lo, &in.hi);
        if (x->deflt) {
            Value d = eval(e, x->deflt);
            in.has_default = as_number(e, &d, "a default", &in.deflt);
            if (in.has_default && t.rank != 0)
                elab_error(e, 420, x->loc, "only a scalar input can have a default");
        }
        int64_t index = g->inputs.n;
        vec_push(&g->inputs, in);
        g->loc = g->use = x->loc;
        scope_bind_here(e, x->name, val_tensor(make_node(g, OP_input, t.dtype, t.rank, t.shape, 0, NULL, 1, &index, 0)));
    }
    bind_dim_vars(e, v);
    return ok;
}

static void declare_outputs(Elab *e, const Item *it, Value r)
{
    if (r.kind == VAL_NONE)
        return;
    uint32_t n = r.kind == VAL_TUPLE ? r.n : 1;
    for (uint32_t i = 0; i < n; i++) {
        Value       v = r.kind == VAL_TUPLE ? r.items[i] : r;
        GraphOutput out = { .loc = it->loc };
        out.name = r.kind == VAL_TUPLE && r.names && r.names[i] ? r.names[i] : n == 1 ? "result" : arena_printf(e->arena, "result%u", i);
        out.value = as_tensor(e, &v, "a result");
        if (i < it->results.n)
            out.ranged = type_range(e, it->results.at[i].type, &out.lo, &out.hi);
        if (out.value)
            vec_push(&e->gs->g->outputs, out);
    }
}

static Graph *body_graph(Elab *e, Decl *d, GraphRole role, Step *step)
{
    const Item *it = d->item;
    GraphState  gs = { 0 };
    DimVars     v = { .make_symbols = true };
    const char *what = arena_printf(e->arena, "%s %s", role == GRAPH_STEP ? "step" : "export", d->name);
    graph_begin(e, &gs, role, d->name);
    gs.step = step;
    Frame *f = frame_push(e, d->file, what, (Loc){ 0 });
    f->in_step = role == GRAPH_STEP;
    f->training = role == GRAPH_STEP;
    if (declare_inputs(e, &it->params, &v)) {
        run_block(e, &it->body);
        if (f->returned)
            declare_outputs(e, it, check_results(e, what, it, &v, f->result, it->loc));
        else if (it->results.n || role == GRAPH_EXPORT)
            elab_error(e, 347, it->loc, "%s ends without 'return'", what);
    }
    e->frame = f;
    frame_pop(e);
    vec_free(&v.vars);
    vec_free(&v.rests);
    return graph_end(e);
}

void elaborate_step(Elab *e, Decl *d)
{
    Step s = { .name = d->name, .loc = d->item->loc };
    s.graph = body_graph(e, d, GRAPH_STEP, &s);
    vec_push(&e->m->steps, s);
}

void elaborate_export(Elab *e, Decl *d)
{
    Export x = { .name = d->name, .loc = d->item->loc };
    x.graph = body_graph(e, d, GRAPH_EXPORT, NULL);
    vec_push(&e->m->exports, x);
}

/* let NAME = expr: a variable, computed once when a program starts. The VAL_NUM that comes back holds its index. */
Value elaborate_let(Elab *e, Decl *d)
{
    GraphState *keep = e->gs;
    Frame      *frame = e->frame;
    e->gs = e->let_state;
    e->frame = NULL;
    frame_push(e, d->file, arena_printf(e->arena, "let %s", d->name), (Loc){ 0 });
    Value v = eval(e, d->item->a);
    Value r = { 0 };
    if (v.kind == VAL_TUPLE && v.names) {                       /* let look = vgg(painting.first(1)): a variable for each result */
        r = v;
        r.items = ARENA_ARR(e->arena, Value, v.n);
    }
    for (uint32_t i = 0; i < (v.kind == VAL_TUPLE ? v.n : 1); i++) {
        Value x = v.kind == VAL_TUPLE ? v.items[i] : v;
        x.loc = d->item->a->loc;
        Ref ref = as_tensor(e, &x, "a let");
        if (!ref)
            break;
        Type        t = node_type(e->gs->g, ref);
        const char *name = v.kind == VAL_TUPLE && v.names ? arena_printf(e->arena, "%s.%s", d->name, v.names[i]) : d->name;
        int32_t     var = make_var(e, VAR_LET, name, &t, -1, d->item->loc);
        vec_push(&e->gs->g->writes, ((GraphWrite){ (uint32_t)var, ref }));
        set_var(e, (uint32_t)var, ref);                         /* a later let reads the value itself */
        if (v.kind == VAL_TUPLE && v.names)
            r.items[i] = val_num(var, true);
        else
            r = val_num(var, true);
    }
    e->frame = frame;
    e->gs = keep;
    return r;
}
