/* elab_stmt.c - statements of module, fn, step, optimizer and export bodies. repeat is unrolled, if is folded: both need values known when compiling.
 * A name bound by `=` may be bound again: `x = x |> conv(64, 3)`; inside repeat an outer name changes for what follows, a new one stays inside.
 */
#include "elab.h"

#include <string.h>

static void run_bind(Elab *e, const Stmt *s)
{
    Value v = eval(e, s->a);
    if (s->nnames == 1) {
        if (v.kind == VAL_LAYER && !v.layer->path && e->frame->in_module) {      /* m = Mapping(): one instance, called m */
            Layer *l = ARENA_NEW(e->arena, Layer);
            *l = *v.layer;
            l->path = join_path(e, e->frame->path, s->names[0].name, e->frame->iteration);
            l->net = e->frame->net;
            v.layer = l;
        }
        scope_bind(e, s->names[0].name, v);
        return;
    }
    if (v.kind != VAL_TUPLE && v.kind != VAL_NONE)
        elab_error(e, 320, s->loc, "%u names for %s", s->nnames, describe(e, &v));
    else if (v.kind == VAL_TUPLE && v.n != s->nnames)
        elab_error(e, 320, s->loc, "%u names for %u results", s->nnames, v.n);
    for (uint32_t i = 0; i < s->nnames; i++)
        scope_bind(e, s->names[i].name, v.kind == VAL_TUPLE && i < v.n ? v.items[i] : (Value){ 0 });
}

static void run_assign(Elab *e, const Stmt *s)
{
    Value v = eval(e, s->a);
    if (e->frame->in_optimizer) {
        optimizer_assign(e, s, v);
        return;
    }
    Value *slot = scope_find(e->frame, state_slot(s->name.name));
    if (!slot) {
        Diag *g = elab_error(e, 321, s->name.loc, "'%s' is not a state of this body", s->name.name);
        diag_hint(e->d, g, "':=' writes a state; '=' binds a name");
        return;
    }
    if (slot->kind == VAL_NONE)
        return;
    Ref r = as_tensor(e, &v, "what a state becomes");
    if (!r)
        return;
    uint32_t   var = (uint32_t)slot->num;
    const Var *x = &e->m->vars.at[var];
    Type       t = node_type(e->gs->g, r);
    bool       same = t.rank == x->rank && t.dtype == x->dtype && !memcmp(t.shape, x->shape, sizeof(Dim) * x->rank);
    if (!same) {
        Type want = { x->dtype, x->rank, { 0 } };
        memcpy(want.shape, x->shape, sizeof want.shape);
        elab_error(e, 322, s->loc, "state '%s' is %s and cannot become %s", s->name.name, type_text(e, &want), type_text(e, &t));
        return;
    }
    set_var(e, var, b_unary(e->gs->g, OP_stop, r));
    scope_bind(e, s->name.name, val_tensor(var_value(e, var)));
}

static void run_repeat(Elab *e, const Stmt *s)
{
    Value   count = eval(e, s->a);
    int64_t lo = 0, hi = 0;
    if (count.kind == VAL_RANGE) {
        lo = count.lo, hi = count.hi + 1;
    } else if (!as_int(e, &count, "the number of repeats", &hi)) {
        return;
    }
    if (hi - lo > MAX_REPEAT || hi < lo) {
        elab_error(e, 604, s->loc, "repeat %lld times: 0 to %d are possible", (long long)(hi - lo), MAX_REPEAT);
        return;
    }
    Frame      *f = e->frame;
    const char *iteration = f->iteration, *text = f->iteration_text;
    Scope      *scope = f->scope;
    for (int64_t i = lo; i < hi && !f->returned && e->d->errors < MAX_ERRORS && spend(e, 16, s->loc); i++) {
        uint32_t errors = e->d->errors;
        Scope *inner = ARENA_NEW(e->arena, Scope);
        inner->up = scope;
        f->scope = inner;
        f->iteration = arena_printf(e->arena, "%s.%lld", iteration, (long long)i);
        f->iteration_text = arena_printf(e->arena, "%s = %lld", s->name.name ? s->name.name : "i", (long long)i);
        if (s->name.name)
            scope_bind_here(e, s->name.name, val_num((double)i, true));
        run_block(e, &s->body);
        f->scope = scope;
        if (e->d->errors > errors)                              /* what is wrong once is not reported a thousand times */
            break;
    }
    f->iteration = iteration;
    f->iteration_text = text;
}

static void run_if(Elab *e, const Stmt *s)
{
    Value c = eval(e, s->a);
    bool  yes;
    if (!as_bool(e, &c, "the condition of 'if'", &yes))
        return;
    if (yes)
        run_block(e, &s->body);
    else if (s->has_other)
        run_block(e, &s->other);
}

static void run_return(Elab *e, const Stmt *s)
{
    Frame *f = e->frame;
    f->returned = true;
    if (s->args.n == 1) {
        f->result = eval(e, s->args.at[0].value);
        f->result.loc = s->args.at[0].value->loc;
        return;
    }
    Value v = { .kind = VAL_TUPLE, .loc = s->loc };
    v.items = ARENA_ARR(e->arena, Value, s->args.n + 1);
    v.names = NULL;
    v.n = s->args.n;
    for (uint32_t i = 0; i < s->args.n; i++) {
        v.items[i] = eval(e, s->args.at[i].value);
        v.items[i].loc = s->args.at[i].value->loc;
    }
    f->result = v;
}

static void run_report(Elab *e, const Stmt *s)
{
    if (!e->frame->in_step) {
        elab_error(e, 323, s->loc, "'report' stands in a step");
        return;
    }
    for (uint32_t i = 0; i < s->args.n; i++) {
        const Arg *a = &s->args.at[i];
        Value      v = a->value ? eval(e, a->value) : lookup(e, a->name, a->loc);
        v.loc = a->value ? a->value->loc : a->loc;
        Ref r = as_tensor(e, &v, a->name);
        if (!r)
            continue;
        Type t = node_type(e->gs->g, r);
        if (t.rank != 0) {
            diag_hint(e->d, elab_error(e, 324, v.loc, "report %s: a report is one number, this is %s", a->name, type_text(e, &t)), "Use mean(%s)", a->name);
            continue;
        }
        for (uint32_t k = 0; k < e->gs->g->reports.n; k++)
            if (e->gs->g->reports.at[k].name == a->name)
                elab_error(e, 325, a->loc, "'%s' is reported twice in this step", a->name);
        vec_push(&e->gs->g->reports, ((GraphOutput){ .name = a->name, .value = r, .loc = a->loc }));
    }
}

static void run_assert(Elab *e, const Stmt *s)
{
    Value v = eval(e, s->a);
    if (v.kind == VAL_NONE)
        return;
    if (v.kind == VAL_BOOL) {
        if (!v.b)
            elab_error(e, 326, s->loc, "this assert does not hold");
        return;
    }
    Ref r = as_tensor(e, &v, "an assert");
    if (!r)
        return;
    Type t = node_type(e->gs->g, r);
    if (t.dtype != DT_BOOL || t.rank != 0)
        elab_error(e, 327, s->loc, "an assert is one bool, this is %s", type_text(e, &t));
    else
        vec_push(&e->gs->g->asserts, ((GraphAssert){ r, s->loc, "assert does not hold" }));
}

static void run_stmt(Elab *e, const Stmt *s)
{
    Frame *f = e->frame;
    switch (s->kind) {
    case S_RETURN:
        run_return(e, s);
        return;
    case S_PARAM:
    case S_STATE: {
        Value v = declare_param(e, s, s->kind == S_STATE);
        scope_bind_here(e, s->name.name, v);
        return;
    }
    case S_ASSIGN:
        run_assign(e, s);
        return;
    case S_BIND:
        run_bind(e, s);
        return;
    case S_EXPR: {
        Value v = eval(e, s->a);
        if (v.kind != VAL_NONE)
            elab_error(e, 329, s->loc, "the value of this expression is not used");
        return;
    }
    case S_REPEAT:
        run_repeat(e, s);
        return;
    case S_IF:
        run_if(e, s);
        return;
    case S_MINIMIZE:
        if (!f->in_step)
            elab_error(e, 330, s->loc, "'minimize' stands in a step");
        else
            run_minimize(e, s);
        return;
    case S_REPORT:
        run_report(e, s);
        return;
    case S_EVERY:
        elab_error(e, 331, s->loc, "'every' stands in a train block");
        return;
    case S_ASSERT:
        run_assert(e, s);
        return;
    }
}

void run_block(Elab *e, const Block *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (!enter(e, b->at[i].loc))
            return;
        uint32_t hint = enter_hints(e, &b->at[i]);
        run_stmt(e, &b->at[i]);
        if (e->gs)
            e->gs->g->hint = hint;
        leave(e);
        if (!e->frame->returned)
            continue;
        if (b->at[i].kind == S_RETURN && i + 1 < b->n)
            elab_error(e, 332, b->at[i + 1].loc, "this statement comes after 'return' and never runs");
        return;
    }
}
