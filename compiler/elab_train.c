/* elab_train.c - data and train blocks.
 *
 * A train block becomes a little program of TrainStmts: calls of steps with arguments from data, earlier results and numbers; anything more is a small graph
 * of its own whose inputs are data and results (V_GRAPH).
 */
#include "elab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- data NAME = source(args) ---- */

static bool data_arg(Elab *e, const Expr *x, DataArg *out)
{
    out->loc = x->loc;
    if (x->kind == E_CALL && x->a->kind == E_NAME) {
        Value known;
        bool  fn = lookup_silent(e, x->a->str, &known) || find_builtin(x->a->str);
        if (!fn) {
            out->kind = ARG_CALL;
            out->str = x->a->str;
            out->items = ARENA_ARR(e->arena, DataArg, x->args.n + 1);
            for (uint32_t i = 0; i < x->args.n; i++) {
                out->items[out->nitems].name = x->args.at[i].name;
                if (!data_arg(e, x->args.at[i].value, &out->items[out->nitems++]))
                    return false;
            }
            return true;
        }
    }
    if (x->kind == E_LIST) {
        out->kind = ARG_LIST;
        out->items = ARENA_ARR(e->arena, DataArg, x->args.n + 1);
        for (uint32_t i = 0; i < x->args.n; i++)
            if (!data_arg(e, x->args.at[i].value, &out->items[out->nitems++]))
                return false;
        return true;
    }
    Value known;
    if (x->kind == E_NAME && strcmp(x->str, "true") && strcmp(x->str, "false") && strcmp(x->str, "pi") && !lookup_silent(e, x->str, &known)) {
        out->kind = ARG_STR;                                    /* a word: alpha: white */
        out->str = x->str;
        return true;
    }
    Value v = eval(e, x);
    switch (v.kind) {
    case VAL_NUM:
        out->kind = ARG_NUM;
        out->num = v.num;
        return true;
    case VAL_STR:
        out->kind = ARG_STR;
        out->str = v.str;
        return true;
    case VAL_BOOL:
        out->kind = ARG_BOOL;
        out->num = v.b;
        return true;
    case VAL_NONE:
        return false;
    default:
        elab_error(e, 502, x->loc, "a data source cannot take %s", describe(e, &v));
        return false;
    }
}

int32_t elaborate_data(Elab *e, Decl *d)
{
    const Expr *x = d->item->a;
    Frame      *keep = e->frame;
    GraphState *gs = e->gs;
    Data        data = { .name = d->name, .loc = x->loc, .lo = 0, .hi = 1, .batch = 1 };
    if (x->kind != E_CALL || x->a->kind != E_NAME) {
        diag_hint(e->d, elab_error(e, 501, x->loc, "a data item is a source with arguments"), "For example: data faces = images(\"faces\", size: 64, batch: 16)");
        return -1;
    }
    e->frame = NULL;
    e->gs = NULL;
    frame_push(e, d->file, NULL, (Loc){ 0 });
    data.source = x->a->str;
    data.args = ARENA_ARR(e->arena, DataArg, x->args.n + 1);
    bool ok = true;
    for (uint32_t i = 0; i < x->args.n && ok; i++) {
        data.args[data.nargs].name = x->args.at[i].name;
        data.args[data.nargs].name_loc = x->args.at[i].loc;
        ok = data_arg(e, x->args.at[i].value, &data.args[data.nargs++]);
    }
    e->frame = keep;
    e->gs = gs;
    if (!ok || (e->opt->describe_data && !e->opt->describe_data(&data, e->m->dims, e->d)))
        return -1;
    vec_push(&e->m->datas, data);
    return (int32_t)e->m->datas.n - 1;
}

static int32_t find_field(Elab *e, int32_t data, const char *field, Loc loc)
{
    const Data *d = &e->m->datas.at[data];
    if (!d->nfields) {
        elab_error(e, 503, loc, "data '%s' has no fields: its source is not known here", d->name);
        return -1;
    }
    if (!field) {
        if (d->nfields > 1) {
            Diag *g = elab_error(e, 504, loc, "an item of '%s' has %u tensors", d->name, d->nfields);
            diag_hint(e->d, g, "Take one by name, e.g. %s.next.%s", d->name, d->fields[0].name);
            return -1;
        }
        return 0;
    }
    const char *names[4];
    for (uint32_t i = 0; i < d->nfields; i++) {
        names[i] = d->fields[i].name;
        if (!strcmp(names[i], field))
            return (int32_t)i;
    }
    const char *near = nearest_word(field, names, d->nfields);
    Diag       *g = elab_error(e, 505, loc, "an item of '%s' has no '%s'", d->name, field);
    diag_hint(e->d, g, near ? "Did you mean '%s'?" : "Its first tensor is '%s'", near ? near : names[0]);
    return -1;
}

/* An input of the graph being made that the runtime fills: a batch, the first k items, or the result of an earlier call. */
static Value hidden_input(Elab *e, TrainValue v, const Type *t, const char *name, Loc loc)
{
    GraphState *gs = e->gs;
    if (t->dtype == DT_NONE)
        return (Value){ 0 };                                    /* a result of a step that failed */
    for (uint32_t i = 0; i < gs->nargs; i++)
        if (gs->args[i].kind == v.kind && gs->args[i].data == v.data && gs->args[i].field == v.field && gs->args[i].slot == v.slot && gs->args[i].num == v.num) {
            int64_t index = i;
            return val_tensor(make_node(gs->g, OP_input, t->dtype, t->rank, t->shape, 0, NULL, 1, &index, 0));
        }
    TrainValue *args = ARENA_ARR(e->arena, TrainValue, gs->nargs + 1);
    if (gs->nargs)
        memcpy(args, gs->args, gs->nargs * sizeof *args);
    int64_t index = gs->nargs;
    args[gs->nargs++] = v;
    gs->args = args;
    GraphInput in = { .name = name, .dtype = t->dtype, .rank = (uint8_t)t->rank, .loc = loc };
    memcpy(in.shape, t->shape, sizeof in.shape);
    vec_push(&gs->g->inputs, in);
    return val_tensor(make_node(gs->g, OP_input, t->dtype, t->rank, t->shape, 0, NULL, 1, &index, 0));
}

static Type field_type(Elab *e, int32_t data, uint32_t field, int64_t batch)
{
    const DataField *f = &e->m->datas.at[data].fields[field];
    Type             t = { f->dtype, f->rank + 1, { dim_const(e->m->dims, batch) } };
    for (int i = 0; i < f->rank; i++)
        t.shape[i + 1] = f->shape[i];
    return t;
}

Value data_first(Elab *e, int32_t data, int64_t k, const char *field, Loc loc)
{
    if (!e->gs || e->gs->role == GRAPH_STEP || e->gs->role == GRAPH_EXPORT) {
        elab_error(e, 506, loc, "'%s.first' can be used in a let, a param's initial value or a train block; give it to a step as an argument", e->m->datas.at[data].name);
        return (Value){ 0 };
    }
    if (k < 1 || k > 100000) {
        elab_error(e, 507, loc, ".first(k) takes 1 to 100000 items");
        return (Value){ 0 };
    }
    int32_t f = find_field(e, data, field, loc);
    if (f < 0)
        return (Value){ 0 };
    Type t = field_type(e, data, (uint32_t)f, k);
    return hidden_input(e, (TrainValue){ .kind = V_DATA_FIRST, .num = (double)k, .data = (uint32_t)data, .field = (uint32_t)f }, &t, e->m->datas.at[data].name, loc);
}

Value data_tensor(Elab *e, int32_t data, DataPart part, const char *field, Loc loc)
{
    if (!e->gs || e->gs->role != GRAPH_TRAIN_EXPR) {
        elab_error(e, 506, loc, "a batch of '%s' is drawn in a train block; give it to the step as an argument", e->m->datas.at[data].name);
        return (Value){ 0 };
    }
    int32_t f = find_field(e, data, field, loc);
    if (f < 0)
        return (Value){ 0 };
    Type t = field_type(e, data, (uint32_t)f, e->m->datas.at[data].batch);
    return hidden_input(e, (TrainValue){ .kind = part == DATA_NEXT ? V_DATA_NEXT : V_DATA_LAST, .data = (uint32_t)data, .field = (uint32_t)f }, &t, e->m->datas.at[data].name, loc);
}

/* ---- train blocks ---- */

typedef struct { const char *name; uint32_t slot; Type type; } Slot;
typedef struct {
    Elab *e; Train *t;
    Vec(Slot)         slots;
    Vec(const char *) reports;     /* of the steps called and the report statements so far */
    int               repeats;     /* around the statement */
    bool              unsure;      /* a call was wrong: there may be reports that are not known */
    const Stmt       *kept;        /* the keep_best statement, once there was one */
} TrainState;

static const Slot *find_slot(const TrainState *ts, const char *name)
{
    for (uint32_t i = ts->slots.n; i-- > 0;)
        if (ts->slots.at[i].name == name)
            return &ts->slots.at[i];
    return NULL;
}

/* A frame in which the results of earlier calls have their names. */
static Frame *push_slots(TrainState *ts, Loc loc)
{
    Elab  *e = ts->e;
    Frame *f = frame_push(e, e->main, NULL, (Loc){ 0 });
    for (uint32_t i = 0; i < ts->slots.n; i++) {
        const Slot *s = &ts->slots.at[i];
        scope_bind_here(e, s->name, hidden_input(e, (TrainValue){ .kind = V_RESULT, .slot = s->slot }, &s->type, s->name, loc));
    }
    return f;
}

/* An expression as a graph of its own; results of earlier calls are its inputs. */
static bool graph_value(TrainState *ts, const Expr *x, TrainValue *out, Type *type)
{
    Elab      *e = ts->e;
    GraphState gs = { 0 };
    graph_begin(e, &gs, GRAPH_TRAIN_EXPR, arena_printf(e->arena, "train.%s.%u.%u", ts->t->name, x->loc.line, x->loc.col));
    Frame *f = push_slots(ts, x->loc);
    Value  v = eval(e, x);
    v.loc = x->loc;
    Ref r = as_tensor(e, &v, "this value");
    e->frame = f;
    frame_pop(e);
    if (r) {
        *type = node_type(gs.g, r);
        vec_push(&gs.g->outputs, ((GraphOutput){ .name = "value", .value = r, .loc = x->loc }));
    }
    *out = (TrainValue){ .kind = V_GRAPH, .graph = graph_end(e) };
    out->args = gs.args;
    out->nargs = gs.nargs;
    return r != 0;
}

/* An argument of a step: data, a result, a number, or an expression. Several tensors of an item stand for as many arguments. */
static bool train_value(TrainState *ts, const Expr *x, TrainValue *out, Type *types, uint32_t *n)
{
    Elab *e = ts->e;
    *n = 1;
    if (x->kind == E_NAME) {
        const Slot *s = find_slot(ts, x->str);
        if (s) {
            out[0] = (TrainValue){ .kind = V_RESULT, .slot = s->slot };
            types[0] = s->type;
            return true;
        }
    }
    if (x->kind == E_FIELD && (!strcmp(x->str, "next") || !strcmp(x->str, "last")) && x->a->kind == E_NAME) {
        Value d = lookup(e, x->a->str, x->a->loc);
        if (d.kind == VAL_NONE)
            return false;
        if (d.kind == VAL_DATA) {
            const Data *data = &e->m->datas.at[d.index];
            *n = data->nfields ? data->nfields : 1;
            if (!data->nfields) {                               /* elaborated without a table of sources: nothing is known of its items */
                out[0] = (TrainValue){ .kind = x->str[0] == 'n' ? V_DATA_NEXT : V_DATA_LAST, .data = (uint32_t)d.index };
                types[0] = (Type){ DT_NONE, 0, { 0 } };
            }
            for (uint32_t i = 0; i < data->nfields; i++) {
                out[i] = (TrainValue){ .kind = x->str[0] == 'n' && i == 0 ? V_DATA_NEXT : V_DATA_LAST, .data = (uint32_t)d.index, .field = i };
                types[i] = field_type(e, d.index, i, data->batch);
            }
            return true;
        }
    }
    if (x->kind == E_FIELD && x->a->kind == E_FIELD && x->a->a->kind == E_NAME && (!strcmp(x->a->str, "next") || !strcmp(x->a->str, "last"))) {
        Value d = lookup(e, x->a->a->str, x->a->a->loc);
        if (d.kind == VAL_DATA) {
            int32_t f = find_field(e, d.index, x->str, x->loc);
            if (f < 0)
                return false;
            out[0] = (TrainValue){ .kind = x->a->str[0] == 'n' ? V_DATA_NEXT : V_DATA_LAST, .data = (uint32_t)d.index, .field = (uint32_t)f };
            types[0] = field_type(e, d.index, (uint32_t)f, e->m->datas.at[d.index].batch);
            return true;
        }
    }
    if (x->kind == E_NUM || x->kind == E_BIN || x->kind == E_NEG || (x->kind == E_FIELD && !strcmp(x->str, "batch")) || x->kind == E_NAME) {
        GraphState *keep = e->gs;
        GraphState  probe = { 0 };
        graph_begin(e, &probe, GRAPH_TRAIN_EXPR, "number");
        uint32_t before = e->d->errors;
        Frame   *f = push_slots(ts, x->loc);
        Value    v = eval(e, x);
        e->frame = f;
        frame_pop(e);
        graph_drop(e, graph_end(e));
        e->gs = keep;
        if (v.kind == VAL_NUM && !v.unit) {
            out[0] = (TrainValue){ .kind = V_NUM, .num = v.num };
            types[0] = (Type){ DT_F32, 0, { 0 } };
            return true;
        }
        if (e->d->errors > before)
            return false;
    }
    return graph_value(ts, x, &out[0], &types[0]);
}

int32_t find_step(Elab *e, const char *name)
{
    for (uint32_t i = 0; i < e->m->steps.n; i++)
        if (e->m->steps.at[i].name == name)
            return (int32_t)i;
    return -1;
}

/* Does a value of this type fit the step's declared input? Binds symbols as it goes. */
static bool fits(Elab *e, const GraphInput *in, const Type *t, DimBind *b, uint32_t *nb, Loc loc, const char *step)
{
    Type want = { in->dtype, in->rank, { 0 } };
    memcpy(want.shape, in->shape, sizeof want.shape);
    bool ok = in->rank == t->rank && in->dtype == t->dtype;
    for (int i = 0; ok && i < in->rank; i++) {
        int64_t k;
        if (dim_is_const(e->m->dims, t->shape[i], &k))
            ok = dim_bind(e->m->dims, in->shape[i], k, b, nb, 64) == 0;
    }
    if (!ok)
        elab_error(e, 508, loc, "step '%s' takes %s as '%s', this is %s", step, type_text(e, &want), in->name, type_text(e, t));
    return ok;
}

/* One argument may be too many because it is several. */
static void hint_one_field(Elab *e, Diag *g, const Data *d, const char *when)
{
    Text fields = { 0 };
    for (uint32_t i = 0; i < d->nfields; i++)
        text_addf(&fields, "%s%s", !i ? "" : i + 1 < d->nfields ? ", " : " and ", d->fields[i].name);
    diag_hint(e->d, g, "An item of '%s' is %s; the first alone: %s.%s.%s", d->name, fields.at, d->name, when, d->fields[0].name);
    text_free(&fields);
}

static bool known_step(TrainState *ts, const Stmt *s, const Expr *x, TrainStmt *out)
{
    Elab   *e = ts->e;
    int32_t index = x->a->kind == E_NAME ? find_step(e, x->a->str) : -1;
    if (index < 0) {
        const char *names[256];
        uint32_t    n = 0;
        for (; n < e->m->steps.n && n < COUNT(names); n++)
            names[n] = e->m->steps.at[n].name;
        const char *word = x->a->kind == E_NAME ? x->a->str : "this";
        Decl       *d = x->a->kind == E_NAME ? find_decl(e, e->main, x->a->str) : NULL;
        if (d && d->item->kind == I_STEP)
            return false;                                       /* its own errors were reported */
        const char *near = nearest_word(word, names, n);
        Diag       *g = elab_error(e, 509, x->loc, "'%s' is not a step of this file", word);
        if (near)
            diag_hint(e->d, g, "Did you mean '%s'?", near);
        return false;
    }
    const Step  *step = &e->m->steps.at[index];
    const Graph *g = step->graph;
    uint32_t     count = 0;
    out->op = T_CALL;
    out->step = (uint32_t)index;
    out->args = ARENA_ARR(e->arena, TrainValue, g->inputs.n + 4);
    DimBind  binds[64];
    uint32_t nb = 0;
    bool     ok = true;
    for (uint32_t i = 0; i < x->args.n; i++) {
        const Arg *a = &x->args.at[i];
        TrainValue vals[4];
        Type       types[4];
        uint32_t   n;
        if (!train_value(ts, a->value, vals, types, &n)) {
            ok = false;
            n = 1;
        }
        for (uint32_t k = 0; k < n; k++, count++) {
            if (count >= g->inputs.n) {
                Diag *why = elab_error(e, 340, a->value->loc, "step '%s' takes %u argument%s, this is one more", step->name, g->inputs.n, g->inputs.n == 1 ? "" : "s");
                if (n > 1)
                    hint_one_field(e, why, &e->m->datas.at[vals[0].data], a->value->str);
                return false;
            }
            uint32_t at = count;
            if (a->name) {
                for (at = 0; at < g->inputs.n && g->inputs.at[at].name != a->name; at++)
                    ;
                if (at == g->inputs.n) {
                    elab_error(e, 341, a->loc, "step '%s' has no input '%s'", step->name, a->name);
                    return false;
                }
            }
            const GraphInput *in = &g->inputs.at[at];
            if (ok && in->kind == IN_INT && vals[k].kind != V_NUM) {
                elab_error(e, 510, a->value->loc, "step '%s' takes a whole number as '%s'", step->name, in->name);
                ok = false;
            } else if (ok && in->kind == IN_TENSOR && types[k].dtype != DT_NONE) {
                ok = fits(e, in, &types[k], binds, &nb, a->value->loc, step->name);
            }
            out->args[at] = vals[k];
        }
    }
    for (uint32_t i = count; i < g->inputs.n && ok; i++) {
        if (!g->inputs.at[i].has_default) {
            elab_error(e, 343, x->loc, "step '%s' needs '%s'", step->name, g->inputs.at[i].name);
            return false;
        }
        out->args[i] = (TrainValue){ .kind = V_NUM, .num = g->inputs.at[i].deflt };
    }
    out->nargs = g->inputs.n;
    if (s->kind == S_BIND) {
        const Decl *d = find_decl(e, e->main, step->name);
        if (s->nnames != g->outputs.n && d && d->item->results.n > g->outputs.n)
            return false;                                       /* the step's own errors were reported */
        if (s->nnames != g->outputs.n) {
            elab_error(e, 320, s->loc, "%u names for %u results of step '%s'", s->nnames, g->outputs.n, step->name);
            return false;
        }
        out->slots = ARENA_ARR(e->arena, uint32_t, s->nnames);
        out->nslots = s->nnames;
        for (uint32_t i = 0; i < s->nnames; i++) {
            Type t = node_type(g, g->outputs.at[i].value);
            for (int k = 0; k < t.rank; k++) {
                int64_t v;
                if (dim_eval(e->m->dims, t.shape[k], binds, nb, &v))
                    t.shape[k] = dim_const(e->m->dims, v);
            }
            out->slots[i] = ts->t->nslots;
            vec_push(&ts->slots, ((Slot){ s->names[i].name, ts->t->nslots++, t }));
        }
    }
    return ok;
}

static void add_report(TrainState *ts, const char *name)
{
    for (uint32_t i = 0; i < ts->reports.n; i++)
        if (ts->reports.at[i] == name)
            return;
    vec_push(&ts->reports, name);
}

static bool call_step(TrainState *ts, const Stmt *s, const Expr *x, TrainStmt *out)
{
    if (known_step(ts, s, x, out)) {
        const Graph *g = ts->e->m->steps.at[out->step].graph;
        for (uint32_t i = 0; i < g->reports.n; i++)
            add_report(ts, g->reports.at[i].name);
        if (ts->kept)
            diag_hint(ts->e->d, elab_error(ts->e, 526, ts->kept->loc, "steps after keep_best change the weights that were measured, before they are kept"), "Put keep_best behind all steps of the block");
        return true;
    }
    ts->unsure = true;
    for (uint32_t i = 0; s->kind == S_BIND && i < s->nnames; i++)      /* later uses of these names are no further errors */
        vec_push(&ts->slots, ((Slot){ s->names[i].name, ts->t->nslots++, { .dtype = DT_NONE } }));
    return false;
}

static bool file_arg(Elab *e, const Expr *x, const char **out)
{
    Value v = eval(e, x);
    if (v.kind == VAL_STR) {
        *out = v.str;
        return true;
    }
    if (v.kind != VAL_NONE)
        elab_error(e, 511, x->loc, "a path in quotes is needed here, such as \"out/{step}.png\"");
    return false;
}

static const Expr *named_arg(const Expr *x, const char *name, uint32_t position)
{
    for (uint32_t i = 0; i < x->args.n; i++)
        if (x->args.at[i].name ? !strcmp(x->args.at[i].name, name) : i == position)
            return x->args.at[i].value;
    return NULL;
}

static bool save_images(TrainState *ts, const Expr *x, TrainStmt *out)
{
    Elab       *e = ts->e;
    const Expr *value = named_arg(x, "images", 0), *path = named_arg(x, "path", 1), *grid = named_arg(x, "grid", 99), *range = named_arg(x, "range", 99);
    Type        t;
    out->op = T_SAVE_IMAGES;
    if (!value || !path) {
        diag_hint(e->d, elab_error(e, 512, x->loc, "save_images takes pictures and a path"), "For example: save_images(G.eval(z), \"out/{step}.png\", grid: [8, 8])");
        return false;
    }
    out->args = ARENA_ARR(e->arena, TrainValue, 1);
    out->nargs = 1;
    out->lo = -1, out->hi = 1;
    if (!graph_value(ts, value, &out->args[0], &t) || !file_arg(e, path, &out->path))
        return false;
    int64_t channels = 0;
    if (t.rank != 4 || !dim_is_const(e->m->dims, t.shape[1], &channels) || (channels != 1 && channels != 3)) {
        elab_error(e, 513, value->loc, "save_images takes f32[N, 3, H, W] or f32[N, 1, H, W], not %s", type_text(e, &t));
        return false;
    }
    if (grid) {
        Value   v = eval(e, grid);
        int     n;
        if (!as_ints(e, &v, "grid", out->grid, &n, 2) || n != 2 || out->grid[0] < 1 || out->grid[1] < 1) {
            if (v.kind != VAL_NONE)
                elab_error(e, 514, grid->loc, "grid is [rows, columns]");
            return false;
        }
    }
    if (range) {
        Value v = eval(e, range);
        if (v.kind != VAL_LIST || v.n != 2 || !as_number(e, &v.items[0], "range", &out->lo) || !as_number(e, &v.items[1], "range", &out->hi) || out->lo >= out->hi) {
            elab_error(e, 514, range->loc, "range is [lowest, highest]");
            return false;
        }
    }
    return true;
}

static bool checkpoint(TrainState *ts, const Expr *x, TrainStmt *out)
{
    Elab       *e = ts->e;
    const Expr *path = named_arg(x, "path", 0), *keep = named_arg(x, "keep", 99);
    out->op = T_CHECKPOINT;
    out->keep = 3;
    if (!path) {
        diag_hint(e->d, elab_error(e, 512, x->loc, "checkpoint takes a folder"), "For example: checkpoint(\"ck/dcgan\", keep: 3)");
        return false;
    }
    if (!file_arg(e, path, &out->path))
        return false;
    if (keep) {
        Value v = eval(e, keep);
        if (!as_int(e, &v, "keep", &out->keep))
            return false;
        if (out->keep < 1) {
            elab_error(e, 514, keep->loc, "keep is at least 1");
            return false;
        }
    }
    return true;
}

/* frechet(a, b), kernel_distance(a, b): what no graph computes, unless the file itself calls something so. */
static Measure named_measure(TrainState *ts, const Expr *x)
{
    const char *name = x && x->kind == E_CALL && x->a->kind == E_NAME ? x->a->str : "";
    Measure     m = !strcmp(name, "frechet") ? MEASURE_FRECHET : !strcmp(name, "kernel_distance") ? MEASURE_KERNEL : MEASURE_NUMBER;
    return m != MEASURE_NUMBER && find_decl(ts->e, ts->e->main, name) ? MEASURE_NUMBER : m;
}

/* The two sets of features of a distance. */
static bool two_sets(TrainState *ts, const Expr *x, TrainValue *out)
{
    Elab *e = ts->e;
    Type  t[2];
    if (x->args.n != 2 || x->args.at[0].name || x->args.at[1].name) {
        diag_hint(e->d, elab_error(e, 523, x->loc, "%s compares two sets of features", x->a->str), "For example: %s(features(faces.first(500)), features(G.eval(fixed_normal([500, nz]))))", x->a->str);
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const Expr *arg = x->args.at[i].value;
        int64_t     n;
        if (!graph_value(ts, arg, &out[i], &t[i]))
            return false;
        if (t[i].rank != 2 || t[i].dtype != DT_F32) {
            elab_error(e, 523, arg->loc, "%s compares sets of features, f32[N, D] each; this is %s", x->a->str, type_text(e, &t[i]));
            return false;
        }
        if (dim_is_const(e->m->dims, t[i].shape[0], &n) && n < 2) {
            elab_error(e, 523, arg->loc, "%s: a set has at least two items; this is %s", x->a->str, type_text(e, &t[i]));
            return false;
        }
    }
    if (t[0].shape[1] != t[1].shape[1]) {
        elab_error(e, 523, x->loc, "%s: the items have different features: %s and %s", x->a->str, type_text(e, &t[0]), type_text(e, &t[1]));
        return false;
    }
    return true;
}

static bool report(TrainState *ts, const Stmt *s, TrainStmt *out)
{
    Elab *e = ts->e;
    bool  ok = true;
    out->op = T_REPORT;
    out->args = ARENA_ARR(e->arena, TrainValue, 2 * s->args.n);
    out->names = ARENA_ARR(e->arena, const char *, s->args.n);
    out->measures = ARENA_ARR(e->arena, Measure, s->args.n);
    for (uint32_t i = 0; i < s->args.n; i++) {
        const Arg *a = &s->args.at[i];
        Expr       name = { .kind = E_NAME, .loc = a->loc, .str = a->name };
        const Expr *value = a->value ? a->value : &name;
        Measure    m = named_measure(ts, value);
        Type       t;
        add_report(ts, a->name);
        if (m != MEASURE_NUMBER ? !two_sets(ts, value, &out->args[out->nargs]) : !graph_value(ts, value, &out->args[out->nargs], &t)) {
            ok = false;
            continue;
        }
        if (m == MEASURE_NUMBER && t.rank != 0) {
            diag_hint(e->d, elab_error(e, 324, value->loc, "report %s: a report is one number, this is %s", a->name, type_text(e, &t)), "Use mean(...)");
            ok = false;
            continue;
        }
        out->nargs += m == MEASURE_NUMBER ? 1 : 2;
        out->names[out->nnames] = a->name;
        out->measures[out->nnames++] = m;
    }
    return ok;
}

static bool keep_best(TrainState *ts, const Stmt *s, TrainStmt *out)
{
    Elab       *e = ts->e;
    const Expr *x = s->a, *path = named_arg(x, "path", 0), *number = named_arg(x, "number", 1);
    out->op = T_KEEP_BEST;
    if (!path || !number || number->kind != E_NAME || x->args.n != 2) {
        diag_hint(e->d, elab_error(e, 524, x->loc, "keep_best takes a file and the name of a reported number, which is best when it is lowest"), "For example: keep_best(\"best.safetensors\", fid)");
        return false;
    }
    if (!file_arg(e, path, &out->path))
        return false;
    size_t n = strlen(out->path), ext = strlen(".safetensors");
    if (n <= ext || strcmp(out->path + n - ext, ".safetensors") || strchr(out->path, '{')) {
        diag_hint(e->d, elab_error(e, 524, path->loc, "keep_best writes one .safetensors file, over and over"), "For example: keep_best(\"best.safetensors\", %s)", number->str);
        return false;
    }
    bool known = ts->unsure;
    for (uint32_t i = 0; i < ts->reports.n; i++)
        known |= ts->reports.at[i] == number->str;
    if (!known) {
        const char *near = nearest_word(number->str, ts->reports.at, ts->reports.n);
        Diag       *g = elab_error(e, 525, number->loc, "'%s' is not a number that this train block has reported before", number->str);
        diag_hint(e->d, g, near ? "Did you mean '%s'?" : "For example: report fid: frechet(...)", near);
        return false;
    }
    if (ts->repeats || ts->kept) {
        elab_error(e, 526, s->loc, ts->kept ? "a train block has one keep_best" : "keep_best stands outside of 'repeat'");
        return false;
    }
    out->names = ARENA_ARR(e->arena, const char *, 1);
    out->names[0] = number->str;
    out->nnames = 1;
    ts->kept = s;
    return true;
}

static void train_block(TrainState *ts, const Block *b, TrainStmt **out, uint32_t *n);

static bool train_stmt(TrainState *ts, const Stmt *s, TrainStmt *out)
{
    Elab *e = ts->e;
    out->loc = s->loc;
    refuse_hints(e, s, "a train block");
    switch (s->kind) {
    case S_REPEAT: {
        Value v = eval(e, s->a);
        out->op = T_REPEAT;
        if (!as_int(e, &v, "the number of repeats", &out->count))
            return false;
        if (out->count < 0 || out->count > MAX_REPEAT) {
            elab_error(e, 604, s->loc, "repeat %lld times: 0 to %d are possible", (long long)out->count, MAX_REPEAT);
            return false;
        }
        ts->repeats++;
        train_block(ts, &s->body, &out->body, &out->nbody);
        ts->repeats--;
        return true;
    }
    case S_EVERY: {
        Value v = eval(e, s->a);
        out->op = T_EVERY;
        out->unit = s->unit;
        if (!as_int(e, &v, "the count of 'every'", &out->count))
            return false;
        if (out->count < 1) {
            elab_error(e, 515, s->loc, "'every' counts from 1");
            return false;
        }
        train_block(ts, &s->body, &out->body, &out->nbody);
        return true;
    }
    case S_BIND:
    case S_EXPR:
        if (s->a->kind == E_CALL && s->a->a->kind == E_NAME && s->kind == S_EXPR) {
            if (!strcmp(s->a->a->str, "save_images"))
                return save_images(ts, s->a, out);
            if (!strcmp(s->a->a->str, "checkpoint"))
                return checkpoint(ts, s->a, out);
            if (!strcmp(s->a->a->str, "keep_best"))
                return keep_best(ts, s, out);
        }
        if (s->a->kind == E_CALL)
            return call_step(ts, s, s->a, out);
        elab_error(e, 516, s->loc, "a train block calls steps, save_images, checkpoint and keep_best");
        return false;
    case S_REPORT:
        return report(ts, s, out);
    default:
        elab_error(e, 517, s->loc, "a train block holds calls of steps, 'repeat', 'every', report, save_images, checkpoint and keep_best");
        return false;
    }
}

static void train_block(TrainState *ts, const Block *b, TrainStmt **out, uint32_t *n)
{
    *out = ARENA_ARR(ts->e->arena, TrainStmt, b->n + 1);
    *n = 0;
    for (uint32_t i = 0; i < b->n; i++)
        *n += train_stmt(ts, &b->at[i], &(*out)[*n]);
}

void elaborate_train(Elab *e, const Item *it)
{
    Train      t = { .name = it->name.name, .loc = it->loc, .unit = it->unit, .over = -1 };
    TrainState ts = { .e = e, .t = &t };
    Frame     *f = frame_push(e, e->main, arena_printf(e->arena, "train %s", t.name), (Loc){ 0 });
    Value      count = eval(e, it->a);
    count.loc = it->a->loc;
    if (as_number(e, &count, "the length of a train block", &t.count) && t.count <= 0)
        elab_error(e, 518, it->a->loc, "a train block runs for more than 0 %s", t.unit);
    if (it->over.name) {
        Decl *d = find_decl(e, e->main, it->over.name);
        Value v = d && d->item->kind == I_DATA ? decl_value(e, d, it->over.loc) : (Value){ 0 };
        if (v.kind == VAL_DATA)
            t.over = v.index;
        else if (!d || d->item->kind != I_DATA) {
            const char *names[256];
            uint32_t    n = 0;
            for (; n < e->m->datas.n && n < COUNT(names); n++)
                names[n] = e->m->datas.at[n].name;
            const char *near = nearest_word(it->over.name, names, n);
            Diag       *g = elab_error(e, 519, it->over.loc, "'%s' is not a data item", it->over.name);
            if (near)
                diag_hint(e->d, g, "Did you mean '%s'?", near);
        }
    } else if (strcmp(t.unit, "steps")) {
        diag_hint(e->d, elab_error(e, 520, it->loc, "%s need data to be counted", t.unit), "Write: train %s for %g %s over DATA", t.name, t.count, t.unit);
    }
    if (it->stage.name) {
        Value r = eval(e, it->stages);
        Decl *d = find_decl(e, e->main, it->stage.name);
        t.stage = it->stage.name;
        if (r.kind != VAL_RANGE || r.hi < r.lo || r.hi - r.lo > 63)
            elab_error(e, 521, it->stages->loc, "stages run over a range of at most 64, such as 0..8");
        else
            t.stage_lo = r.lo, t.stage_hi = r.hi;
        if (!d || d->item->kind != I_CONST)
            elab_error(e, 522, it->stage.loc, "stages need a const '%s' that each stage sets", it->stage.name);
    }
    train_block(&ts, &it->body, &t.body, &t.nbody);
    vec_free(&ts.slots);
    vec_free(&ts.reports);
    e->frame = f;
    frame_pop(e);
    vec_push(&e->m->trains, t);
}
