/* session.c - opening a file, its variables and weights, and what has to be computed before anything runs. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "interp.h"
#include "safetensors.h"

bool split_setting(const char *text, char *name, size_t size, const char **rest)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || (size_t)(eq - text) >= size)
        return false;
    memcpy(name, text, (size_t)(eq - text));
    name[eq - text] = 0;
    *rest = eq + 1;
    return true;
}

/* "w=32" -> {w, 32}. Values are numbers; true and false are 1 and 0. */
static bool read_settings(const SessionOptions *o, Arena *arena, Setting **out, uint32_t *n, Status *st)
{
    *n = 0;
    for (uint32_t i = 0; o->set && o->set[i]; i++)
        *n = i + 1;
    *out = ARENA_ARR(arena, Setting, *n + 1);
    for (uint32_t i = 0; i < *n; i++) {
        char        name[128], *end;
        const char *value;
        if (!split_setting(o->set[i], name, sizeof name, &value) || !*value)
            return status_fail(st, "--set %s: write NAME=NUMBER, for example --set w=32", o->set[i]);
        double x = !strcmp(value, "true") ? 1 : !strcmp(value, "false") ? 0 : strtod(value, &end);
        if (strcmp(value, "true") && strcmp(value, "false") && *end)
            return status_fail(st, "--set %s: '%s' is not a number", o->set[i], value);
        (*out)[i] = (Setting){ arena_printf(arena, "%s", name), x };
    }
    return true;
}

static uint64_t hash_sources(const Sources *s)
{
    uint64_t h = 1;
    for (uint32_t i = 0; i < s->files.n; i++)
        if (strncmp(s->files.at[i].path, "std/", 4))
            h = hash_bytes(s->files.at[i].text, s->files.at[i].size, h);
    return h;
}

static bool check_data_names(const Session *s, Status *st)
{
    for (uint32_t i = 0; s->options.data && s->options.data[i]; i++) {
        char        name[128];
        const char *path, *names[64];
        size_t      n = 0;
        if (!split_setting(s->options.data[i], name, sizeof name, &path) || !*path)
            return status_fail(st, "--data %s: write NAME=PATH", s->options.data[i]);
        for (; n < s->model->datas.n && n < COUNT(names); n++)
            names[n] = s->model->datas.at[n].name;
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found |= !strcmp(names[k], name);
        if (!found) {
            const char *near = nearest_word(name, names, n);
            return status_fail(st, "--data %s: %s has no data '%s'%s%s%s", s->options.data[i], s->path, name, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    return true;
}

Graph *session_find_graph(const Session *s, const char *name, Status *st)
{
    const Model *m = s->model;
    const char  *names[256];
    size_t       n = 0;
    for (uint32_t i = 0; i < m->exports.n + m->steps.n; i++) {
        bool        is_export = i < m->exports.n;
        const char *own = is_export ? m->exports.at[i].name : m->steps.at[i - m->exports.n].name;
        if (name && !strcmp(own, name))
            return is_export ? m->exports.at[i].graph : m->steps.at[i - m->exports.n].graph;
        if (n < COUNT(names))
            names[n++] = own;
    }
    Text list = { 0 };
    for (size_t i = 0; i < n; i++)
        text_addf(&list, "%s%s", i ? ", " : "", names[i]);
    const char *near = name ? nearest_word(name, names, n) : NULL;
    if (name)
        status_fail(st, "%s has no export or step '%s'; it has: %s%s%s%s", s->path, name, list.n ? list.at : "none", near ? ".  Did you mean '" : "", near ? near : "",
                    near ? "'?" : "");
    else
        status_fail(st, "say which graph: --of %s", list.n ? list.at : "NAME");
    text_free(&list);
    return NULL;
}

/* ---- data ---- */

DataSet *session_data(Session *s, uint32_t data, Status *st)
{
    const Data *d = &s->model->datas.at[data];
    const char *override = NULL;
    for (uint32_t i = 0; s->options.data && s->options.data[i]; i++) {
        char        name[128];
        const char *path;
        if (split_setting(s->options.data[i], name, sizeof name, &path) && !strcmp(name, d->name))
            override = path;
    }
    if (!s->datas[data]) {
        const DataOptions o = { .strict = s->options.strict };
        s->datas[data] = data_open(d, s->folder, override, s->options.seed, &o, st);
    }
    return s->datas[data];
}

/* What a test sees of data: pictures of noise within the data's range, labels 0 and 1. Tests look at no files. */
static bool made_up_items(Session *s, const TrainValue *v, Tensor *out, Status *st)
{
    const Data      *d = &s->model->datas.at[v->data];
    const DataField *f = &d->fields[v->field];
    int64_t          shape[MAX_RANK] = { (int64_t)v->num };
    for (int i = 0; i < f->rank; i++)
        dim_is_const(s->model->dims, f->shape[i], &shape[i + 1]);
    if (!tensor_alloc(out, f->dtype, f->rank + 1, shape, st))
        return false;
    for (int64_t i = 0; i < tensor_count(out); i++)
        tensor_set(out, i, f->dtype == DT_F32 ? d->lo + (d->hi - d->lo) * rng_uniform((Rng){ 13, 0 }, v->data, (uint64_t)i) : (double)(i % 2));
    return true;
}

static bool first_items(Session *s, const TrainValue *v, Tensor *out, Status *st)
{
    Tensor fields[4] = { 0 };
    if (v->kind != V_DATA_FIRST)
        return status_fail(st, "%s: only the first items of data can be used before training starts", s->path);
    if (s->options.tests)
        return made_up_items(s, v, out, st);
    DataSet *set = session_data(s, v->data, st);
    if (!set || !data_first_items(set, (int64_t)v->num, fields, st))
        return false;
    *out = fields[v->field];
    for (uint32_t k = 0; k < s->model->datas.at[v->data].nfields; k++)
        if (k != v->field)
            tensor_free(&fields[k]);
    return true;
}

bool session_values(Session *s, const TrainValue *args, uint32_t n, Tensor *out, Status *st)
{
    for (uint32_t i = 0; i < n; i++)
        if (!first_items(s, &args[i], &out[i], st))
            return false;
    return true;
}

/* ---- initial values and lets ---- */

static Dtype stored_dtype(const Session *s, const Var *v)
{
    return v->dtype == DT_F32 && s->options.exec.backend == BACKEND_REFERENCE ? DT_F64 : v->dtype;
}

/* The sizes of a value where all are known. */
static bool known_shape(const Session *s, int rank, const Dim *dims, int64_t *shape)
{
    for (int i = 0; i < rank; i++)
        if (!dim_is_const(s->model->dims, dims[i], &shape[i]))
            return false;
    return true;
}

/* Zeros for an input that nothing needed reads, where its size is known: its data need not be there. */
static bool unread_input(const Session *s, const GraphInput *in, Tensor *t, Status *st)
{
    int64_t shape[MAX_RANK];
    return known_shape(s, in->rank, in->shape, shape) && tensor_alloc(t, in->dtype, in->rank, shape, st);
}

static bool inputs_for(Session *s, const Graph *g, const TrainValue *args, uint32_t n, const Ref *want, uint32_t nwant, Tensor *inputs, Status *st)
{
    uint32_t *uses = count_uses(g, want, nwant);
    bool     *read = xmalloc(n + 1), ok = true;
    for (Ref r = 1; r < g->nodes.n; r++)
        if (uses[r] && node(g, r)->op == OP_input)
            read[node_attrs(g, r)[0]] = true;
    for (uint32_t i = 0; i < n && ok; i++)
        ok = (!read[i] && unread_input(s, &g->inputs.at[i], &inputs[i], st)) || first_items(s, &args[i], &inputs[i], st);
    free(read);
    free(uses);
    return ok;
}

/* Runs a graph through the reference interpreter (the same bits everywhere) and puts what it writes into those variables that are wanted (NULL: all). What is written
 * takes effect at the end, so that no value depends on the order. Data that only the others read is not looked at. */
static bool evaluate_into_vars(Session *s, const Graph *g, const TrainValue *args, uint32_t nargs, const bool *wanted, Status *st)
{
    uint32_t *var = xmalloc((g->writes.n + 1) * sizeof *var), n = 0;
    Ref      *want = xmalloc((g->writes.n + 1) * sizeof *want);
    Dtype    *as = xmalloc((g->writes.n + 1) * sizeof *as);
    for (uint32_t i = 0; i < g->writes.n; i++) {
        if (wanted && !wanted[g->writes.at[i].var])
            continue;
        want[n] = g->writes.at[i].value;
        var[n] = g->writes.at[i].var;
        as[n] = stored_dtype(s, &s->model->vars.at[var[n]]);
        n++;
    }
    Tensor  *inputs = xmalloc((nargs + 1) * sizeof *inputs), *results = xmalloc((n + 1) * sizeof *results);
    RunState rs = { .rng = { s->options.seed, 0 } };
    bool     ok = !n || (inputs_for(s, g, args, nargs, want, n, inputs, st) && interpret_traced(g, inputs, s->vars, &rs, want, n, as, results, NULL, st));
    for (uint32_t i = 0; i < n && ok; i++) {
        tensor_free(&s->vars[var[i]]);
        s->vars[var[i]] = results[i];
    }
    for (uint32_t i = 0; i < nargs; i++)
        tensor_free(&inputs[i]);
    free(inputs), free(results), free(want), free(var), free(as);
    return ok;
}

/* Initial values for those of the wanted variables (NULL: all) that have none yet. */
static bool make_vars(Session *s, const bool *wanted, Status *st)
{
    bool *missing = xmalloc(s->model->vars.n + 1);
    for (uint32_t i = 0; i < s->model->vars.n; i++)
        missing[i] = !s->vars[i].data && (!wanted || wanted[i]);
    bool ok = evaluate_into_vars(s, s->model->init, s->model->init_args, s->model->ninit_args, missing, st);
    free(missing);
    return ok;
}

bool session_make_vars(Session *s, Status *st) { return make_vars(s, NULL, st); }

static void mark_vars(const Graph *g, bool *wanted)
{
    for (uint32_t r = 1; r < g->nodes.n; r++)
        if (g->nodes.at[r].op == OP_var)
            wanted[node_attrs(g, r)[0]] = true;
    for (uint32_t i = 0; i < g->writes.n; i++)
        wanted[g->writes.at[i].var] = true;
}

/* One net, or all that train (-1). */
static bool *these_nets(const Session *s, int32_t net)
{
    bool *nets = xmalloc(s->model->nets.n + 1);
    for (uint32_t i = 0; i < s->model->nets.n; i++)
        nets[i] = net < 0 ? !s->model->nets.at[i].frozen : (int32_t)i == net;
    return nets;
}

static bool is_weight(const Session *s, uint32_t var, const bool *nets)
{
    const Var *v = &s->model->vars.at[var];
    return v->net >= 0 && nets[v->net] && (v->kind == VAR_PARAM || v->kind == VAR_STATE || v->kind == VAR_EMA);
}

/* NULL when a variable has no initial value and none can be made. */
static SafeItem *weight_items(Session *s, const bool *nets, uint32_t *n, Status *st)
{
    bool *wanted = xmalloc(s->model->vars.n + 1);
    for (uint32_t i = 0; i < s->model->vars.n; i++)
        wanted[i] = is_weight(s, i, nets);
    SafeItem *items = make_vars(s, wanted, st) ? xmalloc((s->model->vars.n + 1) * sizeof *items) : NULL;
    *n = 0;
    for (uint32_t i = 0; items && i < s->model->vars.n; i++)
        if (wanted[i])
            items[(*n)++] = (SafeItem){ s->model->vars.at[i].name, &s->vars[i] };
    free(wanted);
    return items;
}

/* A checkpoint also holds optimiser states and steps' states, which are no part of the nets: what it has beyond them is passed over. */
static bool is_checkpoint(const SafeFile *f)
{
    return safe_meta(f, "train") != NULL;
}

static uint32_t tensors_of(const Session *s, const SafeFile *f, uint32_t net)
{
    const char *name = s->model->nets.at[net].name;
    size_t      len = strlen(name);
    uint32_t    n = 0;
    for (uint32_t i = 0; i < f->n; i++)
        n += !strncmp(f->tensors[i].name, name, len) && f->tensors[i].name[len] == '.';
    return n;
}

/* Does the file name tensors of other nets too ("G.head.weight", "D.stem.weight")? Then it is a whole run's, and one net's part is taken. */
static bool names_nets(const Session *s, const SafeFile *f)
{
    uint32_t with = 0;
    for (uint32_t k = 0; k < s->model->nets.n; k++)
        with += tensors_of(s, f, k);
    return f->n > 0 && with == f->n;
}

/* A net that another graph file calls otherwise: where every tensor's name begins with one segment ("P.") and none is an item's, items are looked for under that.
 * Items' new names are in `arena`. */
static void take_other_name(const SafeFile *f, const char *net, SafeItem *items, uint32_t n, Arena *arena)
{
    size_t own = strlen(net) + 1, len = f->n ? strcspn(f->tensors[0].name, ".") + 1 : 0;
    bool   other = len > 1;
    for (uint32_t i = 0; other && i < f->n; i++)
        other = !strncmp(f->tensors[i].name, f->tensors[0].name, len) && f->tensors[i].name[len - 1] == '.';
    for (uint32_t i = 0; other && i < n; i++)
        other = !safe_find(f, items[i].name) && !safe_find(f, items[i].name + own);
    for (uint32_t i = 0; other && i < n; i++)
        items[i].name = arena_printf(arena, "%.*s%s", (int)len, f->tensors[0].name, items[i].name + own);
}

/* What an open file (closed here; NULL: that was complained about) has for a net, or for all that train (-1). list: every tensor that does not fit, a line each. */
static bool load_weights(Session *s, int32_t net, SafeFile *f, Text *list, Status *st)
{
    if (!f)
        return false;
    uint32_t    n;
    bool       *nets = these_nets(s, net), whole = is_checkpoint(f) || names_nets(s, f);
    for (uint32_t i = 0; i < s->model->nets.n && net < 0 && whole; i++)
        nets[i] = nets[i] && tensors_of(s, f, i);          /* a file with some nets' weights leaves the others as they are */
    SafeItem   *items = weight_items(s, nets, &n, st);
    const char *named = net >= 0 ? s->model->nets.at[net].name : s->model->nets.n == 1 ? s->model->nets.at[0].name : NULL;
    char        strip[256] = "";
    Arena       names = { 0 };
    if (named)
        snprintf(strip, sizeof strip, "%s.", named);
    if (items && net >= 0)
        take_other_name(f, named, items, n, &names);
    bool part = is_checkpoint(f) || (net >= 0 && whole);
    bool ok = items && safe_load(f, items, n, *strip ? strip : NULL, !part, list, st);
    for (uint32_t i = 0; ok && i < s->model->nets.n; i++)
        if (nets[i])
            s->ready[i] = s->given[i] = true;
    for (uint32_t i = 0; ok && i < s->model->vars.n; i++)
        if (s->model->vars.at[i].kind == VAR_LET)
            s->fresh[i] = false;
    free(nets);
    free(items);
    arena_free(&names);
    safe_close(f);
    return ok;
}

/* The file that `net NAME = ... from "file"` names: in the program ("std/..."), beside the graph file, or where the program runs. */
static bool read_from_file(Session *s, uint32_t net, Status *st)
{
    const Net  *n = &s->model->nets.at[net];
    if (!strncmp(n->from, "std/", 4))
        return std_source(n->from, NULL) ? session_read_weights(s, n->name, n->from, NULL, st) :
                                           status_fail(st, "net '%s' needs '%s', which is not in the program; std/vgg19_small.safetensors is. Or give --weights %s=FILE", n->name, n->from, n->name);
    char       *beside = path_join(s->folder, n->from);
    const char *path = path_is_file(beside) ? beside : n->from;
    bool        ok = true, in_std = !strncmp(s->path, "std/", 4);
    if (!path_is_file(path))
        ok = status_fail(st, "net '%s' needs '%s', which is not there: put the file %s%s, or give --weights %s=FILE or --weights %s=random", n->name, n->from, in_std ? "here" : "beside ",
                         in_std ? "" : s->path, n->name, n->name);
    else
        ok = session_read_weights(s, n->name, path, NULL, st);
    free(beside);
    return ok;
}

/* Adds the variables that the wanted lets are made of; false: none is wanted. */
static bool mark_lets(const Session *s, const bool *lets, bool *wanted)
{
    const Graph *g = s->model->lets;
    Ref         *want = xmalloc((g->writes.n + 1) * sizeof *want);
    uint32_t     n = 0;
    for (uint32_t i = 0; i < g->writes.n; i++)
        if (lets[g->writes.at[i].var])
            want[n++] = g->writes.at[i].value;
    uint32_t *uses = n ? count_uses(g, want, n) : NULL;
    for (Ref r = 1; uses && r < g->nodes.n; r++)
        if (uses[r] && node(g, r)->op == OP_var)
            wanted[node_attrs(g, r)[0]] = true;
    free(uses);
    free(want);
    return n > 0;
}

/* wanted: of the variables; lets: those of them to be computed. */
static bool prepare(Session *s, const bool *wanted, const bool *lets, bool any_lets, Status *st)
{
    const Model *m = s->model;
    if (!make_vars(s, wanted, st))
        return false;
    for (uint32_t i = 0; i < m->vars.n; i++) {
        int32_t net = wanted[i] ? m->vars.at[i].net : -1;
        if (net >= 0 && !s->ready[net] && !read_from_file(s, (uint32_t)net, st))
            return false;
    }
    if (any_lets && !evaluate_into_vars(s, m->lets, m->let_args, m->nlet_args, lets, st))
        return false;
    for (uint32_t i = 0; i < m->vars.n; i++)
        s->fresh[i] |= lets[i];
    return true;
}

bool session_prepare(Session *s, const Graph *used, Status *st)
{
    const Model *m = s->model;
    bool        *wanted = xmalloc(m->vars.n + 1), *lets = xmalloc(m->vars.n + 1);
    for (uint32_t i = 0; i < m->vars.n; i++)
        wanted[i] = !used;
    if (used)
        mark_vars(used, wanted);
    for (uint32_t i = 0; i < m->vars.n; i++)
        lets[i] = wanted[i] && m->vars.at[i].kind == VAR_LET && !s->fresh[i];
    bool any_lets = mark_lets(s, lets, wanted), ok = prepare(s, wanted, lets, any_lets, st);
    free(lets);
    free(wanted);
    return ok;
}

bool session_prepare_random(Session *s, const Graph *used, Status *st)
{
    for (uint32_t i = 0; i < s->model->nets.n; i++)
        s->ready[i] = true;
    return session_prepare(s, used, st);
}

static bool zero_var(Session *s, uint32_t i, Status *st)
{
    const Var *v = &s->model->vars.at[i];
    int64_t    shape[MAX_RANK];
    return !known_shape(s, v->rank, v->shape, shape) || s->vars[i].data || tensor_alloc(&s->vars[i], stored_dtype(s, v), v->rank, shape, st);
}

bool session_zero_vars(Session *s, const Graph *used, Status *st)
{
    bool *wanted = xmalloc(s->model->vars.n + 1), ok = true, all = true;
    mark_vars(used, wanted);
    for (uint32_t i = 0; i < s->model->vars.n && ok; i++) {
        ok = !wanted[i] || zero_var(s, i, st);
        all = all && (!wanted[i] || s->vars[i].data);
    }
    free(wanted);
    return ok && (all || session_prepare_random(s, used, st));
}

static void make_stores(Session *s)
{
    s->ready = xmalloc(s->model->nets.n + 1);
    for (uint32_t i = 0; i < s->model->nets.n; i++)
        s->ready[i] = s->model->nets.at[i].from == NULL;
    s->datas = xmalloc((s->model->datas.n + 1) * sizeof *s->datas);
    s->vars = xmalloc((s->model->vars.n + 1) * sizeof *s->vars);
    s->given = xmalloc(s->model->nets.n + 1);
    s->fresh = xmalloc(s->model->vars.n + 1);
}

static void free_stores(Session *s)
{
    for (uint32_t i = 0; s->vars && i < s->model->vars.n; i++)
        tensor_free(&s->vars[i]);
    for (uint32_t i = 0; s->datas && i < s->model->datas.n; i++)
        data_close(s->datas[i]);
    free(s->vars);
    free(s->datas);
    free(s->ready);
    free(s->given);
    free(s->fresh);
}

void session_adopt(Session *s, Model *m, const Session *parent)
{
    *s = (Session){ .path = parent->path, .folder = parent->folder, .options = parent->options, .model = m };
    s->options.exec.backend = BACKEND_REFERENCE;
    make_stores(s);
}

void session_release(Session *s)
{
    free_stores(s);
    *s = (Session){ 0 };
}

bool session_open(Session *s, const char *path, const SessionOptions *o, Status *st)
{
    *s = (Session){ .path = xstrdup(path), .folder = path_folder(path), .options = *o };
    s->diags.sources = &s->sources;
    Arena       arena = { 0 };
    ElabOptions opt = { .describe_data = describe_data, .tests = o->tests };
    Setting    *settings;
    bool        ok = read_settings(o, &arena, &settings, &opt.nsettings, st);
    if (ok) {
        opt.settings = settings;
        s->model = elaborate(path, &s->sources, &s->diags, &opt);
        if (!s->model)
            ok = status_fail(st, "%s: %u error%s", path, s->diags.errors, s->diags.errors == 1 ? "" : "s");
    }
    arena_free(&arena);
    if (!ok)
        return false;
    s->hash = hash_sources(&s->sources);
    make_stores(s);
    return check_data_names(s, st);
}

void session_close(Session *s)
{
    free_stores(s);
    free(s->path);
    free(s->folder);
    model_free(s->model);
    diags_free(&s->diags);
    sources_free(&s->sources);
    *s = (Session){ 0 };
}

/* ---- weights ---- */

int32_t session_find_net(const Session *s, const char *name, Status *st)
{
    const char *names[256];
    size_t      n = 0;
    for (; n < s->model->nets.n && n < COUNT(names); n++) {
        names[n] = s->model->nets.at[n].name;
        if (!strcmp(names[n], name))
            return (int32_t)n;
    }
    const char *near = nearest_word(name, names, n);
    status_fail(st, "%s has no net '%s'%s%s%s", s->path, name, near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    return -1;
}

bool session_read_weights(Session *s, const char *net, const char *path, Text *list, Status *st)
{
    int32_t index = net ? session_find_net(s, net, st) : -1;
    if (net && index < 0)
        return false;
    size_t      size;
    const char *bytes = std_source(path, &size);
    return load_weights(s, index, bytes ? safe_parse((const uint8_t *)bytes, size, path, st) : safe_open(path, st), list, st);
}

bool session_write_weights(Session *s, const char *net, const char *path, bool half, Status *st)
{
    int32_t index = net ? session_find_net(s, net, st) : -1;
    if (net && index < 0)
        return false;
    uint32_t       n;
    bool          *nets = these_nets(s, index);
    SafeItem      *items = weight_items(s, nets, &n, st);
    const SafeMeta meta[] = { { "format", "pastiche" }, { "graph", path_base(s->path) } };
    bool           ok = items && safe_write(path, items, n, meta, COUNT(meta), half, st);
    free(nets);
    free(items);
    return ok;
}
