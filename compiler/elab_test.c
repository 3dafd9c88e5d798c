/* elab_test.c - test blocks: asserts are outputs of one graph, a gradcheck elaborates the file again with the consts that it names. */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

/* Is NAME an integer input of the step, or a symbol in the shape of one? */
static bool is_size(Elab *e, const Graph *g, const char *name)
{
    Dim  syms[64];
    bool found = false;
    for (uint32_t k = 0; k < g->inputs.n && !found; k++) {
        found = g->inputs.at[k].kind == IN_INT && g->inputs.at[k].name == name;
        for (int r = 0; r < g->inputs.at[k].rank && !found; r++) {
            uint32_t n = dim_symbols(e->m->dims, g->inputs.at[k].shape[r], syms, COUNT(syms));
            for (uint32_t q = 0; q < n; q++)
                found |= syms[q] == dim_sym(e->m->dims, name);
        }
    }
    return found;
}

static bool gradient_check(Elab *e, const Expr *x, Check *out)
{
    const char *name = x->args.n && !x->args.at[0].name && x->args.at[0].value->kind == E_NAME ? x->args.at[0].value->str : NULL;
    int32_t     step = name ? find_step(e, name) : -1;
    out->kind = CHECK_GRADIENTS;
    out->tol = 1e-3;
    out->runtime[RT_EPOCH_STEPS] = 1;
    if (step < 0) {
        Decl       *d = name ? find_decl(e, e->main, name) : NULL;
        const char *names[256];
        uint32_t    n = 0;
        for (; n < e->m->steps.n && n < COUNT(names); n++)
            names[n] = e->m->steps.at[n].name;
        const char *near = name ? nearest_word(name, names, n) : NULL;
        if (d && d->item->kind == I_STEP)
            return false;                                       /* its own errors were reported */
        Diag *g = elab_error(e, 530, x->loc, name ? "gradcheck takes a step first, and '%s' is not one" : "gradcheck takes a step first", name);
        diag_hint(e->d, g, near ? "Did you mean '%s'?" : "For example: gradcheck(%s, n: 2, w: 4)", near ? near : n ? names[0] : "g_step");
        return false;
    }
    Setting      *settings = ARENA_ARR(e->arena, Setting, e->opt->nsettings + x->args.n + 1);
    struct Named *sizes = ARENA_ARR(e->arena, struct Named, x->args.n + 1);
    uint32_t      nset = 0;
    for (; nset < e->opt->nsettings; nset++)
        settings[nset] = e->opt->settings[nset];
    const Graph *g = e->m->steps.at[step].graph;
    for (uint32_t i = 1; i < x->args.n; i++) {
        const Arg *a = &x->args.at[i];
        Value      v = eval(e, a->value);
        double     num;
        v.loc = a->value->loc;
        if (v.kind == VAL_BOOL)                                 /* of a const that is true or false */
            v = val_num(v.b, true);
        if (!a->name || !as_number(e, &v, a->name, &num)) {
            if (!a->name)
                elab_error(e, 531, a->value->loc, "give sizes and consts by name, e.g. N: 2");
            return false;
        }
        Decl   *d = find_decl(e, e->main, a->name);
        int64_t scalar = runtime_scalar(a->name);
        if (is_size(e, g, a->name))
            sizes[out->nsizes++] = (struct Named){ a->name, num };
        else if (!strcmp(a->name, "tol"))
            out->tol = num;
        else if (scalar >= 0)
            out->runtime[scalar] = num;
        else if (d && d->item->kind == I_CONST && d->file == e->main)
            settings[nset++] = (Setting){ a->name, num };
        else {
            elab_error(e, 532, a->loc, "'%s' is neither a size of step '%s' nor a const of this file", a->name, name);
            return false;
        }
    }
    for (uint32_t i = 0; i + 1 < nset; i++)                     /* the check's own value comes first in look-up */
        for (uint32_t k = i + 1; k < nset; k++)
            if (!strcmp(settings[i].name, settings[k].name))
                settings[i] = settings[k];
    Diags       d = { .sources = e->sources };
    ElabOptions opt = { settings, nset, e->opt->describe_data, false };
    Sources     again = { 0 };
    out->model = elaborate(e->sources->files.at[e->main->file->source].path, &again, &d, &opt);
    if (!out->model) {
        Diag *g0 = d.list.n ? &d.list.at[0] : NULL;
        elab_error(e, 533, x->loc, "with these sizes %s is wrong: %s", g0 ? loc_text(e, g0->loc) : "the file", g0 ? g0->message : "");
    } else {
        out->step = -1;
        for (uint32_t i = 0; i < out->model->steps.n; i++)
            if (out->model->steps.at[i].name == name)
                out->step = (int32_t)i;
        out->model->sources = e->sources;
    }
    out->sizes = sizes;
    diags_free(&d);
    sources_free(&again);
    return out->model != NULL;
}

/* assert: one more output of the test's graph that must be true */
static void assert_check(Elab *e, const Stmt *s)
{
    Value v = eval(e, s->a);
    v.loc = s->a->loc;
    if (v.kind == VAL_NUM || v.kind == VAL_DIM) {
        elab_error(e, 327, s->loc, "an assert is true or false, this is %s", describe(e, &v));
        return;
    }
    Ref r = as_tensor(e, &v, "an assert");
    if (!r)
        return;
    Type t = node_type(e->gs->g, r);
    if (t.rank != 0 || t.dtype != DT_BOOL)
        elab_error(e, 327, s->loc, "an assert is one bool, this is %s", type_text(e, &t));
    else
        vec_push(&e->gs->g->outputs, ((GraphOutput){ .name = "holds", .value = r, .loc = s->loc }));
}

void elaborate_test(Elab *e, const Item *it)
{
    Test       t = { .title = it->str, .loc = it->loc };
    GraphState gs = { 0 };
    graph_begin(e, &gs, GRAPH_CHECK, arena_printf(e->arena, "test.%u", it->loc.line));
    Frame *f = frame_push(e, e->main, arena_printf(e->arena, "test \"%s\"", it->str), (Loc){ 0 });
    for (uint32_t i = 0; i < it->body.n; i++) {
        const Stmt *s = &it->body.at[i];
        Check       c = { .loc = s->loc, .step = -1 };
        refuse_hints(e, s, "a test");
        if (s->kind == S_EXPR && s->a->kind == E_CALL && s->a->a->kind == E_NAME && !strcmp(s->a->a->str, "gradcheck")) {
            GraphState *keep = e->gs;
            e->gs = NULL;
            if (gradient_check(e, s->a, &c))
                vec_push(&t.checks, c);
            e->gs = keep;
        } else if (s->kind == S_ASSERT) {
            assert_check(e, s);
        } else if (s->kind == S_BIND && s->nnames == 1) {
            scope_bind(e, s->names[0].name, eval(e, s->a));
        } else {
            elab_error(e, 534, s->loc, "a test holds gradcheck(...), assert and names bound by '='");
        }
    }
    e->frame = f;
    frame_pop(e);
    Graph *g = graph_end(e);
    if (g->outputs.n)
        vec_push(&t.checks, ((Check){ .kind = CHECK_ASSERT, .loc = it->loc, .step = -1, .graph = g }));
    else
        graph_drop(e, g);
    vec_push(&e->m->tests, t);
}
