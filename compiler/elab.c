/* elab.c - the elaborator's frame: files and imports, declarations, look-up of names, and the order in which items become a Model.
 *
 *   read main file, imports, prelude -> declarations (evaluated when first used)
 *   -> nets (one probing application each: their variables and layer table) -> lets -> steps -> exports -> trains -> tests
 *
 * Everything a file says is evaluated at most once; a const that needs itself is an error. Prelude: every file of std/ that does not have to be
 * imported by name (vgg19 does, its weights are a choice).
 */
#include "elab.h"

#include <stdlib.h>
#include <string.h>

static const char *const prelude_files[] = { "std/layers.graph", "std/norms.graph", "std/activations.graph", "std/losses.graph", "std/optimizers.graph", "std/images.graph", "std/gan.graph" };
static const char *const schedules_file = "std/schedules.graph";

/* ---- errors ---- */

const char *loc_text(Elab *e, Loc loc)
{
    if (!loc.line)
        return "the command line";
    if (e->main && e->main->file && loc.file != e->main->file->source && loc.file < e->sources->files.n)
        return arena_printf(e->arena, "%s:%u", e->sources->files.at[loc.file].path, loc.line);
    return arena_printf(e->arena, "line %u", loc.line);
}

static const char *chain_text(Elab *e, Loc library)
{
    Text t = { 0 };
    enum { INNER = 4, OUTER = 3 };                 /* of a long chain only the ends are told */
    uint32_t depth = 0, k = 0;
    for (Frame *f = e->frame; f; f = f->up)
        depth += f->what != NULL;
    if (library.line)
        text_addf(&t, "from %s", loc_text(e, library));
    for (Frame *f = e->frame; f; f = f->up) {
        if (!f->what)
            continue;
        k++;
        if (depth > INNER + OUTER + 1 && k > INNER && k <= depth - OUTER) {
            if (k == INNER + 1)
                text_addf(&t, ", ... (%u more)", depth - INNER - OUTER);
            continue;
        }
        if (f->iteration_text)
            text_addf(&t, "%sin iteration %s of %s", t.n ? ", " : "", f->iteration_text, f->what);
        else
            text_addf(&t, "%s%s%s", t.n ? ", " : "", strncmp(f->what, "instantiated", 12) ? "in " : "", f->what);
        if (f->call.line && !(f->up && f->up->what && !strncmp(f->up->what, "instantiated", 12)))
            text_addf(&t, " (%s)", loc_text(e, f->call));
    }
    const char *s = t.n ? arena_printf(&e->d->arena, "%s", t.at) : NULL;         /* outlives the model */
    text_free(&t);
    return s;
}

static bool in_std(Elab *e, Loc loc)
{
    return loc.line && loc.file < e->sources->files.n && !strncmp(e->sources->files.at[loc.file].path, "std/", 4);
}

/* A mistake shows where the user's own text leads into the library; the place within it goes into the chain. */
Loc user_place(Elab *e, Loc loc)
{
    Loc at = loc;
    for (Frame *f = e->frame; f && in_std(e, at); f = f->up)
        if (f->call.line)
            at = f->call;
    return in_std(e, at) ? loc : at;
}

Diag *elab_error(Elab *e, int code, Loc loc, const char *fmt, ...)
{
    if (e->limit_reported)
        return NULL;               /* what goes wrong now follows from that */
    va_list ap;
    va_start(ap, fmt);
    char text[1024];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    Loc   at = user_place(e, loc);
    Diag *g = diag_error(e->d, code, at, "%s", text);
    if (g && e->frame && e->frame->up)
        g->chain = chain_text(e, at.file != loc.file ? loc : (Loc){ 0 });
    return g;
}

/* Reports a limit, after which the elaboration only unwinds. */
static void stop_at_limit(Elab *e, int code, Loc loc, const char *what)
{
    elab_error(e, code, loc, "%s", what);
    e->limit_reported = true;
}

bool spend(Elab *e, uint32_t work, Loc loc)
{
    e->work = e->work + work < e->work ? UINT32_MAX : e->work + work;
    if (e->work > MAX_WORK && !e->limit_reported)
        stop_at_limit(e, 609, loc, "elaborating this file takes too long: repeats or calls inside one another multiply");
    return !e->limit_reported;
}

bool enter(Elab *e, Loc loc)
{
    if (!spend(e, 1, loc))
        return false;
    if (e->depth >= MAX_NESTING)
        stop_at_limit(e, 601, loc, arena_printf(e->arena, "nesting deeper than %d: does a module or function apply itself without end?", MAX_NESTING));
    else if (e->gs && e->gs->g->nodes.n > MAX_NODES)
        stop_at_limit(e, 602, loc, arena_printf(e->arena, "the graph grows past %d nodes", MAX_NODES));
    else if (dims_overflowed(e->m->dims))
        stop_at_limit(e, 610, loc, "a size around here is too large an expression to compute with");
    if (e->limit_reported)
        return false;
    e->depth++;
    return true;
}

void leave(Elab *e)
{
    e->depth--;
}

/* ---- scopes and frames ---- */

static Binding *find_binding(Scope *s, const char *name, Scope *stop)
{
    for (; s && s != stop; s = s->up)
        for (Binding *b = s->first; b; b = b->next)
            if (b->name == name)
                return b;
    return NULL;
}

void scope_bind_here(Elab *e, const char *name, Value v)
{
    Binding *b = ARENA_NEW(e->arena, Binding);
    *b = (Binding){ name, v, e->frame->scope->first };
    e->frame->scope->first = b;
}

void scope_bind(Elab *e, const char *name, Value v)
{
    Binding *b = find_binding(e->frame->scope, name, NULL);
    if (b)
        b->value = v;
    else
        scope_bind_here(e, name, v);
}

Value *scope_find(Frame *f, const char *name)
{
    Binding *b = f ? find_binding(f->scope, name, NULL) : NULL;
    return b ? &b->value : NULL;
}

Frame *frame_push(Elab *e, FileScope *file, const char *what, Loc call)
{
    spend(e, 16, call);
    Frame *f = ARENA_NEW(e->arena, Frame);
    f->up = e->frame;
    f->file = file;
    f->scope = ARENA_NEW(e->arena, Scope);
    f->what = what;
    f->call = call;
    f->net = -1;
    f->iteration = "";
    if (e->frame)
        f->training = e->frame->training;
    e->frame = f;
    return f;
}

void frame_pop(Elab *e)
{
    vec_free(&e->frame->claimed);
    vec_free(&e->frame->labels);
    vec_free(&e->frame->label_sites);
    e->frame = e->frame->up;
}

/* ---- files ---- */

static Decl *decl_in(FileScope *f, const char *name)
{
    for (uint32_t i = 0; i < f->decls.n; i++)
        if (f->decls.at[i].name == name)
            return &f->decls.at[i];
    return NULL;
}

static char *read_whole(const char *path, size_t *size, const char **why)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        *why = "cannot be opened";
        return NULL;
    }
    char  *buf = xmalloc(MAX_SOURCE_BYTES + 2);
    size_t n = fread(buf, 1, MAX_SOURCE_BYTES + 1, f);
    if (ferror(f)) {
        *why = "cannot be read (is it a folder?)";
        fclose(f);
        free(buf);
        return NULL;
    }
    fclose(f);
    *size = n;
    return buf;
}

static FileScope *load_file(Elab *e, const char *path, Loc from, int depth);

static FileScope *import_target(Elab *e, FileScope *f, const Item *it, int depth)
{
    const char *path = it->str;
    if (strncmp(path, "std/", 4) && path[0] != '/') {
        const char *slash = strrchr(f->path, '/');
        if (slash)
            path = arena_printf(e->arena, "%.*s/%s", (int)(slash - f->path), f->path, path);
    }
    return load_file(e, path, it->str_loc, depth + 1);
}

/* A folder-independent form of a path, so that a cycle through "../a/x.graph" is seen. */
static const char *tidy_path(Elab *e, const char *path)
{
    char *real = strncmp(path, "std/", 4) ? realpath(path, NULL) : NULL;
    if (!real)
        return path;
    const char *copy = arena_printf(e->arena, "%s", real);
    free(real);
    return copy;
}

static void declare_items(Elab *e, FileScope *f, int depth)
{
    for (uint32_t i = 0; i < f->file->nitems; i++) {
        const Item *it = &f->file->items[i];
        if (it->kind == I_INIT || it->kind == I_TEST || (it->kind == I_IMPORT && !it->name.name))
            continue;
        Decl *old = decl_in(f, it->name.name);
        if (old)
            elab_error(e, 302, it->name.loc, "'%s' is declared twice; the first stands at %s", it->name.name, loc_text(e, old->item->name.loc));
        else
            vec_push(&f->decls, ((Decl){ .name = it->name.name, .item = it, .file = f }));
    }
    for (uint32_t i = 0; i < f->file->nitems; i++) {
        const Item *it = &f->file->items[i];
        if (it->kind != I_IMPORT)
            continue;
        FileScope *target = import_target(e, f, it, depth);
        if (!it->name.name) {
            if (target)
                vec_push(&f->imports, target);
            continue;
        }
        Decl *d = decl_in(f, it->name.name);
        d->value = ARENA_NEW(e->arena, Value);
        d->state = DECL_DONE;
        if (target)
            *d->value = (Value){ .kind = VAL_FILE, .file = target };
    }
}

static FileScope *load_file(Elab *e, const char *path, Loc from, int depth)
{
    const char *tidy = tidy_path(e, path);
    for (uint32_t i = 0; i < e->files.n; i++)
        if (!strcmp(e->files.at[i]->path, tidy)) {
            if (e->files.at[i]->reading)
                elab_error(e, 304, from, "import cycle: '%s' is being read because of this very import", path);
            return e->files.at[i]->reading ? NULL : e->files.at[i];
        }
    if (depth > MAX_IMPORT_DEPTH) {
        elab_error(e, 603, from, "imports nest deeper than %d", MAX_IMPORT_DEPTH);
        return NULL;
    }
    size_t      size = 0;
    const char *why = "is not part of the standard library", *text;
    bool        is_std = !strncmp(path, "std/", 4);
    if (is_std) {
        text = std_source(path, &size);
    } else {
        char *buf = read_whole(path, &size, &why);
        text = buf;
        if (buf) {
            text = arena_strndup(&e->sources->arena, buf, size);
            free(buf);
        }
    }
    if (!text) {
        Diag *g = elab_error(e, 303, from, "'%s' %s", path, why);
        if (is_std)
            diag_hint(e->d, g, "std files are listed in graphs/README.md");
        return NULL;
    }
    FileScope *f = ARENA_NEW(e->arena, FileScope);
    f->path = tidy;
    f->is_std = is_std;
    vec_push(&e->files, f);
    uint16_t source = (uint16_t)e->sources->files.n;
    vec_push(&e->sources->files, ((Source){ arena_printf(&e->sources->arena, "%s", path), text, size }));
    f->file = parse_file(&e->ast, e->d, source);
    if (!e->main)
        e->main = f;
    f->reading = true;
    declare_items(e, f, depth);
    f->reading = false;
    return f;
}

/* ---- look-up ---- */

static Decl *find_in_file(FileScope *f, const char *name)
{
    Decl *d = decl_in(f, name);
    for (uint32_t i = 0; !d && i < f->imports.n; i++)
        d = decl_in(f->imports.at[i], name);
    return d;
}

Decl *find_decl(Elab *e, FileScope *f, const char *name)
{
    Decl *d = find_in_file(f, name);
    if (!d && e->frame && e->frame->schedules && e->schedules)
        d = decl_in(e->schedules, name);
    for (uint32_t i = 0; !d && i < e->prelude.n; i++)
        d = decl_in(e->prelude.at[i], name);
    return d;
}

/* A const written as true or false takes a setting as a truth. */
static bool is_truth(const Expr *x)
{
    return x->kind == E_NAME && (!strcmp(x->str, "true") || !strcmp(x->str, "false"));
}

static Value evaluate_decl(Elab *e, Decl *d)
{
    const Item *it = d->item;
    Frame      *keep = e->frame;
    GraphState *gs = e->gs;
    Value       v = { 0 };
    switch (it->kind) {
    case I_CONST:
        if (it->is_fn_const)
            return (Value){ .kind = VAL_FN, .decl = d };
        for (uint32_t i = 0; i < e->opt->nsettings && d->file == e->main; i++)
            if (!strcmp(e->opt->settings[i].name, d->name)) {
                double x = e->opt->settings[i].value;
                return is_truth(it->a) ? val_bool(x != 0) : val_num(x, x == (double)(int64_t)x);
            }
        e->frame = NULL;
        e->gs = NULL;
        frame_push(e, d->file, NULL, (Loc){ 0 });
        v = eval(e, it->a);
        e->frame = keep;
        e->gs = gs;
        return v;
    case I_MODULE:
        return (Value){ .kind = VAL_MODULE, .decl = d };
    case I_FN:
        return (Value){ .kind = VAL_FN, .decl = d };
    case I_OPTIMIZER:
        return (Value){ .kind = VAL_MODULE, .decl = d };
    case I_NET: {
        int32_t i = elaborate_net(e, d);
        return i < 0 ? v : (Value){ .kind = VAL_NET, .index = i };
    }
    case I_DATA: {
        int32_t i = elaborate_data(e, d);
        return i < 0 ? v : (Value){ .kind = VAL_DATA, .index = i };
    }
    case I_OPTIM: {
        int32_t i = elaborate_optim(e, d);
        return i < 0 ? v : (Value){ .kind = VAL_OPTIM, .index = i };
    }
    case I_LET:
        return elaborate_let(e, d);
    default:
        return v;
    }
}

static Value let_value(Elab *e, Value v)
{
    if (v.kind == VAL_NUM)
        return val_tensor(var_value(e, (uint32_t)v.num));
    if (v.kind == VAL_TUPLE) {
        Value *items = ARENA_ARR(e->arena, Value, v.n);
        for (uint32_t i = 0; i < v.n; i++)
            items[i] = let_value(e, v.items[i]);
        v.items = items;
    }
    return v;
}

Value decl_value(Elab *e, Decl *d, Loc use)
{
    if (d->state == DECL_BUSY) {
        elab_error(e, 305, use, "'%s' needs its own value", d->name);
        return (Value){ 0 };
    }
    if (d->state == DECL_NEW) {
        d->state = DECL_BUSY;
        Value v = evaluate_decl(e, d);
        d->value = ARENA_NEW(e->arena, Value);
        *d->value = v;
        d->state = DECL_DONE;
    }
    Value v = *d->value;
    if (d->item->kind == I_LET && e->gs)                           /* lets are variables: VAL_NUM here holds the variable's index */
        return let_value(e, v);
    v.loc = use;
    return v;
}

bool lookup_silent(Elab *e, const char *name, Value *out)
{
    Value *local = scope_find(e->frame, name);
    if (local) {
        *out = *local;
        return true;
    }
    Decl *d = e->frame ? find_decl(e, e->frame->file, name) : NULL;
    if (d && d->item->kind != I_STEP && d->item->kind != I_TRAIN && d->item->kind != I_EXPORT) {
        *out = decl_value(e, d, (Loc){ 0 });
        return true;
    }
    return false;
}

static void report_unknown(Elab *e, const char *name, Loc loc)
{
    const char *names[4096];
    size_t      n = 0;
    for (Scope *s = e->frame->scope; s; s = s->up)
        for (Binding *b = s->first; b && n < 1000; b = b->next)
            names[n++] = b->name;
    for (uint32_t i = 0; i < e->frame->file->decls.n && n < 2000; i++)
        names[n++] = e->frame->file->decls.at[i].name;
    for (uint32_t p = 0; p < e->prelude.n; p++)
        for (uint32_t i = 0; i < e->prelude.at[p]->decls.n && n < 3000; i++)
            names[n++] = e->prelude.at[p]->decls.at[i].name;
    for (uint32_t i = 0; e->frame->schedules && e->schedules && i < e->schedules->decls.n && n < 3500; i++)
        names[n++] = e->schedules->decls.at[i].name;
    n += builtin_names(names + n, COUNT(names) - n);
    const char *near = nearest_word(name, names, n);
    Diag       *g = elab_error(e, 301, loc, "unknown name '%s'", name);
    if (near)
        diag_hint(e->d, g, "Did you mean '%s'?", near);
}

int64_t runtime_scalar(const char *name)
{
    static const char *const names[] = { [RT_STEP] = "step", [RT_EPOCH] = "epoch", [RT_PROGRESS] = "progress", [RT_EPOCH_STEPS] = "epoch_steps" };
    for (int64_t i = 0; i < (int64_t)COUNT(names); i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

Value lookup(Elab *e, const char *name, Loc loc)
{
    Value *local = scope_find(e->frame, name);
    if (local) {
        Value v = *local;
        v.loc = loc;
        if (e->init_type && v.kind == VAL_TENSOR) {
            elab_error(e, 352, loc, "an initial value cannot depend on the tensor '%s'", name);
            return (Value){ 0 };
        }
        return v;
    }
    Decl *d = find_decl(e, e->frame->file, name);
    if (d) {
        if (d->item->kind == I_STEP || d->item->kind == I_TRAIN || d->item->kind == I_EXPORT) {
            static const char *const what[] = { [I_STEP] = "step", [I_TRAIN] = "train block", [I_EXPORT] = "export" };
            elab_error(e, 306, loc, "'%s' is a %s: it cannot be used inside an expression", name, what[d->item->kind]);
            return (Value){ 0 };
        }
        return decl_value(e, d, loc);
    }
    int64_t which = runtime_scalar(name);
    if (which >= 0) {
        if (!e->gs || (e->gs->role != GRAPH_STEP && e->gs->role != GRAPH_TRAIN_EXPR)) {
            elab_error(e, 307, loc, "'%s' is known only while training: use it in a step or in an optim's arguments", name);
            return (Value){ 0 };
        }
        return val_tensor(make_node(e->gs->g, OP_runtime, DT_F32, 0, NULL, 0, NULL, 1, &which, 0));
    }
    if (!strcmp(name, "training"))
        return val_bool(e->frame->training);
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        return val_bool(name[0] == 't');
    if (!strcmp(name, "none"))
        return (Value){ .kind = VAL_STR, .str = "none", .loc = loc };
    if (!strcmp(name, "pi"))
        return val_num(3.14159265358979323846, false);
    const Builtin *b = find_builtin(name);
    if (b)
        return (Value){ .kind = VAL_BUILTIN, .builtin = b, .loc = loc };
    report_unknown(e, name, loc);
    return (Value){ 0 };
}

/* ---- the whole ---- */

static void check_settings(Elab *e)
{
    for (uint32_t i = 0; i < e->opt->nsettings; i++) {
        const char *name = intern(e->opt->settings[i].name);
        Decl       *d = decl_in(e->main, name);
        if (d && d->item->kind == I_CONST && !d->item->is_fn_const) {
            double x = e->opt->settings[i].value;
            if (is_truth(d->item->a) && x != 0 && x != 1)
                elab_error(e, 308, d->item->loc, "--set %s: this const is true or false, not %g", name, x);
            continue;
        }
        const char *consts[512];
        size_t      n = 0;
        for (uint32_t k = 0; k < e->main->decls.n && n < COUNT(consts); k++)
            if (e->main->decls.at[k].item->kind == I_CONST)
                consts[n++] = e->main->decls.at[k].name;
        const char *near = nearest_word(name, consts, n);
        Diag       *g = elab_error(e, 308, (Loc){ .file = e->main->file->source }, "--set %s: the file has no const '%s'", name, name);
        if (near)
            diag_hint(e->d, g, "Did you mean '%s'?", near);
    }
}

static void check_inits(Elab *e)
{
    for (uint32_t i = 0; i < e->main->file->nitems; i++) {
        const Item *it = &e->main->file->items[i];
        for (uint32_t k = 0; it->kind == I_INIT && k < it->nnames; k++) {
            Decl *d = find_decl(e, e->main, it->names[k].name);
            if (!d || d->item->kind != I_MODULE)
                elab_error(e, 309, it->names[k].loc, "init: '%s' is not a layer", it->names[k].name);
        }
    }
}

/* Runs the items of one kind in file order. */
static void each_item(Elab *e, ItemKind kind)
{
    for (uint32_t i = 0; i < e->main->decls.n; i++) {
        Decl *d = &e->main->decls.at[i];
        if (d->item->kind != kind)
            continue;
        Frame *keep = e->frame;
        switch (kind) {
        case I_STEP:
            elaborate_step(e, d);
            break;
        case I_EXPORT:
            elaborate_export(e, d);
            break;
        case I_TRAIN:
            elaborate_train(e, d->item);
            break;
        default:
            decl_value(e, d, d->item->loc);
        }
        e->frame = keep;
    }
}

static void elaborate_items(Elab *e)
{
    Frame *root = frame_push(e, e->main, NULL, (Loc){ 0 });
    check_settings(e);
    check_inits(e);
    each_item(e, I_CONST);
    each_item(e, I_DATA);
    each_item(e, I_NET);
    each_item(e, I_OPTIM);
    probe_nets(e);
    each_item(e, I_LET);
    each_item(e, I_STEP);
    each_item(e, I_EXPORT);
    each_item(e, I_TRAIN);
    check_unused_optims(e);
    for (uint32_t i = 0; e->opt->tests && i < e->main->file->nitems; i++)
        if (e->main->file->items[i].kind == I_TEST)
            elaborate_test(e, &e->main->file->items[i]);
    e->frame = root;
    frame_pop(e);
}

/* After errors the model may hold some of the graphs that were made and not others: all are freed, and it holds none. */
static void drop_graphs(Elab *e)
{
    Model *m = e->m;
    for (uint32_t i = 0; i < m->steps.n; i++)
        m->steps.at[i].graph = NULL;
    for (uint32_t i = 0; i < m->exports.n; i++)
        m->exports.at[i].graph = NULL;
    for (uint32_t i = 0; i < m->tests.n; i++)
        for (uint32_t k = 0; k < m->tests.at[i].checks.n; k++)
            m->tests.at[i].checks.at[k].graph = NULL;
    m->trains.n = 0;
    m->init = m->lets = NULL;
    for (uint32_t i = 0; i < e->graphs.n; i++)
        graph_free(e->graphs.at[i]);
}

Model *elaborate(const char *path, Sources *sources, Diags *d, const ElabOptions *opt)
{
    static const ElabOptions none;
    Model      *m = xmalloc(sizeof *m);
    Elab        e = { .m = m, .arena = &m->arena, .sources = sources, .d = d, .opt = opt ? opt : &none, .probing_net = -1 };
    GraphState  init = { 0 }, lets = { 0 };
    m->dims = dims_new();
    m->sources = d->sources = sources;
    FileScope *main = load_file(&e, path, (Loc){ 0 }, 0);
    e.main = main;
    for (uint32_t i = 0; main && i < COUNT(prelude_files); i++)
        if (std_source(prelude_files[i], NULL)) {
            FileScope *f = load_file(&e, prelude_files[i], (Loc){ 0 }, 0);
            if (f)
                vec_push(&e.prelude, f);
        }
    if (main && std_source(schedules_file, NULL))
        e.schedules = load_file(&e, schedules_file, (Loc){ 0 }, 0);
    if (main && !d->errors) {
        graph_begin(&e, &init, GRAPH_INIT, "init");
        m->init = e.gs->g;
        e.gs = NULL;
        graph_begin(&e, &lets, GRAPH_LET, "lets");
        m->lets = e.gs->g;
        e.gs = NULL;
        init.outer = lets.outer = NULL;
        e.init_state = &init;
        e.let_state = &lets;
        elaborate_items(&e);
        if (!e.limit_reported && !d->errors && dims_overflowed(m->dims))
            stop_at_limit(&e, 610, (Loc){ .file = main->file->source, .line = 1 }, "a size in this file is too large an expression to compute with");
        if (!d->errors)
            warn_unused(&e);
        m->init_args = init.args, m->ninit_args = init.nargs;
        m->let_args = lets.args, m->nlet_args = lets.nargs;
        free(init.cur), free(lets.cur);
        vec_free(&init.applied), vec_free(&lets.applied);
    }
    for (uint32_t i = 0; i < e.files.n; i++) {
        vec_free(&e.files.at[i]->decls);
        vec_free(&e.files.at[i]->imports);
    }
    vec_free(&e.files);
    vec_free(&e.prelude);
    vec_free(&e.nets);
    vec_free(&e.optims);
    arena_free(&e.ast);
    bool failed = !main || d->errors;
    if (failed)
        drop_graphs(&e);
    vec_free(&e.graphs);
    if (failed) {
        model_free(m);
        return NULL;
    }
    return m;
}

static void free_train_value(TrainValue *v)
{
    if (v->graph)
        graph_free(v->graph);
    for (uint32_t i = 0; i < v->nargs; i++)
        free_train_value(&v->args[i]);
}

static void free_train(TrainStmt *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < s[i].nargs; k++)
            free_train_value(&s[i].args[k]);
        free_train(s[i].body, s[i].nbody);
    }
}

void model_free(Model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->nets.n; i++) {
        vec_free(&m->nets.at[i].vars);
        vec_free(&m->nets.at[i].rows);
    }
    for (uint32_t i = 0; i < m->steps.n; i++) {
        if (m->steps.at[i].graph)
            graph_free(m->steps.at[i].graph);
        vec_free(&m->steps.at[i].minimized);
    }
    for (uint32_t i = 0; i < m->exports.n; i++)
        if (m->exports.at[i].graph)
            graph_free(m->exports.at[i].graph);
    for (uint32_t i = 0; i < m->trains.n; i++)
        free_train(m->trains.at[i].body, m->trains.at[i].nbody);
    for (uint32_t i = 0; i < m->tests.n; i++) {
        for (uint32_t k = 0; k < m->tests.at[i].checks.n; k++) {
            model_free(m->tests.at[i].checks.at[k].model);
            if (m->tests.at[i].checks.at[k].graph)
                graph_free(m->tests.at[i].checks.at[k].graph);
        }
        vec_free(&m->tests.at[i].checks);
    }
    if (m->init)
        graph_free(m->init);
    if (m->lets)
        graph_free(m->lets);
    vec_free(&m->vars), vec_free(&m->nets), vec_free(&m->datas), vec_free(&m->steps), vec_free(&m->exports), vec_free(&m->trains), vec_free(&m->tests);
    if (m->dims)
        dims_free(m->dims);
    arena_free(&m->arena);
    free(m);
}
