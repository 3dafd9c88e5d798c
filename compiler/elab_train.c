/* elab_train.c - data, train blocks and tests.
 *
 * A train block becomes a little program of TrainStmts: calls of steps with arguments from data, earlier results and numbers; anything more is a small graph
 * of its own whose inputs are data and results (V_GRAPH). Test blocks elaborate the file again with the consts they name.
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
typedef struct { Elab *e; Train *t; Vec(Slot) slots; bool in_every; } TrainState;

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

static int32_t find_step(Elab *e, const char *name)
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
                elab_error(e, 340, a->value->loc, "step '%s' takes %u argument%s, this is one more", step->name, g->inputs.n, g->inputs.n == 1 ? "" : "s");
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

static bool call_step(TrainState *ts, const Stmt *s, const Expr *x, TrainStmt *out)
{
    if (known_step(ts, s, x, out))
        return true;
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
        train_block(ts, &s->body, &out->body, &out->nbody);
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
        bool outer = ts->in_every;
        ts->in_every = true;
        train_block(ts, &s->body, &out->body, &out->nbody);
        ts->in_every = outer;
        return true;
    }
    case S_BIND:
    case S_EXPR:
        if (s->a->kind == E_CALL && s->a->a->kind == E_NAME && s->kind == S_EXPR) {
            if (!strcmp(s->a->a->str, "save_images"))
                return save_images(ts, s->a, out);
            if (!strcmp(s->a->a->str, "checkpoint"))
                return checkpoint(ts, s->a, out);
        }
        if (s->a->kind == E_CALL)
            return call_step(ts, s, s->a, out);
        elab_error(e, 516, s->loc, "a train block calls steps, save_images and checkpoint");
        return false;
    default:
        elab_error(e, 517, s->loc, "a train block holds calls of steps, 'repeat', 'every', save_images and checkpoint");
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
    e->frame = f;
    frame_pop(e);
    vec_push(&e->m->trains, t);
}

/* ---- test "title" { ... } ---- */

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
