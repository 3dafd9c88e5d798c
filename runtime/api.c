/* api.c - pastiche.h over sessions. */
#include "../include/pastiche.h"

#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "session.h"
#include "train.h"

_Static_assert((int)PASTICHE_F32 == (int)DT_F32 && (int)PASTICHE_F64 == (int)DT_F64 && (int)PASTICHE_I32 == (int)DT_I32 && (int)PASTICHE_BOOL == (int)DT_BOOL, "dtypes agree");
_Static_assert((int)PASTICHE_MAX_RANK == (int)MAX_RANK, "ranks agree");

struct pastiche_program {
    pastiche_model *m;
    const char     *name;
    Graph          *graph;
    Program        *program;       /* compiled at once; made again when a stage has changed the model */
    uint64_t        runs;
};

struct pastiche_model {
    Session session;
    Status  st;
    Vec(pastiche_program *) programs;
    uint64_t weights, given;       /* how often variables have changed, and how often otherwise than by a step: RunState.weights, .frozen */
};

Session *session_of(pastiche_model *m) { return &m->session; }

const char *pastiche_error(const pastiche_model *m)
{
    return m->st.message;
}

static bool settle(pastiche_model *m, bool ok)
{
    if (ok)
        m->st = (Status){ 0 };
    return ok;
}

pastiche_model *pastiche_load(const char *path, const pastiche_options *options, char **diagnostics)
{
    static const pastiche_options none;
    const pastiche_options       *o = options ? options : &none;
    pastiche_model               *m = xmalloc(sizeof *m);
    SessionOptions                so = { .set = o->set, .data = o->data, .seed = o->seed, .strict = o->strict };
    Text                          text = { 0 };
    Passes                        off = 0;
    bool                          ok = !o->passes || passes_parse(o->passes, &off, &m->st);
    so.exec = (ExecOptions){ .backend = o->reference ? BACKEND_REFERENCE : BACKEND_NATIVE, .threads = o->threads, .cpu = o->cpu, .exact = o->exact, .off = off, .no_cache = o->no_cache, .debug_kernels = o->debug_kernels,
                              .memory_budget = o->memory_budget };
    ok = ok && session_open(&m->session, path, &so, &m->st);
    if (o->json && (m->session.diags.list.n || !ok))
        diags_json(&m->session.diags, &text);
    else if (m->session.diags.list.n)
        diags_print(&m->session.diags, &text);
    if (!ok && !m->session.diags.errors && !o->json)
        text_addf(&text, "%s\n", m->st.message);
    if (diagnostics)
        *diagnostics = text.at;
    else
        text_free(&text);
    if (ok)
        return m;
    session_close(&m->session);
    free(m);
    return NULL;
}

void pastiche_free(pastiche_model *m)
{
    if (!m)
        return;
    for (uint32_t i = 0; i < m->programs.n; i++) {
        program_free(m->programs.at[i]->program);
        free(m->programs.at[i]);
    }
    vec_free(&m->programs);
    session_close(&m->session);
    free(m);
}

/* ---- weights ---- */

static void weights_given(pastiche_model *m)
{
    m->weights++;
    m->given++;
}

bool pastiche_read_weights(pastiche_model *m, const char *net, const char *path)
{
    m->st = (Status){ 0 };
    weights_given(m);
    return settle(m, session_read_weights(&m->session, net, path, NULL, &m->st));
}

bool pastiche_write_weights(pastiche_model *m, const char *net, const char *path)
{
    m->st = (Status){ 0 };
    return settle(m, session_write_weights(&m->session, net, path, false, &m->st));
}

bool pastiche_has_net(const pastiche_model *m, const char *net)
{
    Status quiet = { 0 };
    return session_find_net(&m->session, net, &quiet) >= 0;
}

bool pastiche_random_weights(pastiche_model *m, const char *net)
{
    m->st = (Status){ 0 };
    int32_t i = session_find_net(&m->session, net, &m->st);
    if (i >= 0)
        m->session.ready[i] = m->session.given[i] = true;
    return i >= 0;
}

static Tensor *find_tensor(pastiche_model *m, const char *name)
{
    Model *model = m->session.model;
    m->st = (Status){ 0 };
    for (uint32_t i = 0; i < model->vars.n; i++)
        if (!strcmp(model->vars.at[i].name, name))
            return session_make_vars(&m->session, &m->st) ? &m->session.vars[i] : NULL;
    status_fail(&m->st, "%s has no parameter or state '%s'", m->session.path, name);
    return NULL;
}

static void borrow(const pastiche_tensor *from, Tensor *to)
{
    *to = (Tensor){ .dtype = (Dtype)from->dtype, .rank = from->rank, .data = from->data };
    memcpy(to->shape, from->shape, sizeof to->shape);
}

static void hand_over(Tensor *from, pastiche_tensor *to)
{
    *to = (pastiche_tensor){ .dtype = (pastiche_dtype)from->dtype, .rank = from->rank, .data = from->data };
    memcpy(to->shape, from->shape, sizeof to->shape);
    *from = (Tensor){ 0 };
}

bool pastiche_get(pastiche_model *m, const char *name, pastiche_tensor *out)
{
    Tensor *t = find_tensor(m, name), copy = { 0 };
    if (!t || !tensor_copy(&copy, t, t->dtype, &m->st))
        return false;
    hand_over(&copy, out);
    return true;
}

bool pastiche_set(pastiche_model *m, const char *name, const pastiche_tensor *value)
{
    Tensor *t = find_tensor(m, name), v;
    if (!t)
        return false;
    borrow(value, &v);
    if (v.rank != t->rank || memcmp(v.shape, t->shape, sizeof(int64_t) * (size_t)t->rank))
        return status_fail(&m->st, "'%s': the shapes differ", name);
    weights_given(m);
    return tensor_copy(t, &v, t->dtype, &m->st);
}

/* ---- programs ---- */

pastiche_program *pastiche_compile(pastiche_model *m, const char *name)
{
    const Model *model = m->session.model;
    m->st = (Status){ 0 };
    Graph *g = session_find_graph(&m->session, name, &m->st);
    if (!g)
        return NULL;
    Program *program = program_new(model, g, &m->session.options.exec, &m->st);
    if (!program)
        return NULL;
    pastiche_program *p = xmalloc(sizeof *p);
    *p = (pastiche_program){ .m = m, .name = g->name, .graph = g, .program = program };
    vec_push(&m->programs, p);
    return p;
}

int pastiche_inputs(const pastiche_program *p)
{
    return (int)p->graph->inputs.n;
}

int pastiche_outputs(const pastiche_program *p)
{
    return (int)p->graph->outputs.n;
}

const char *pastiche_input_name(const pastiche_program *p, int i)
{
    return p->graph->inputs.at[i].name;
}

const char *pastiche_output_name(const pastiche_program *p, int i)
{
    return p->graph->outputs.at[i].name;
}

static void known_sizes(const pastiche_program *p, pastiche_info *info, const Dim *shape)
{
    for (int i = 0; i < info->rank; i++)
        if (!dim_is_const(p->graph->dims, shape[i], &info->shape[i]))
            info->shape[i] = -1;
}

pastiche_info pastiche_input_info(const pastiche_program *p, int i)
{
    const GraphInput *in = &p->graph->inputs.at[i];
    pastiche_info     info = { .dtype = (pastiche_dtype)in->dtype, .rank = in->rank, .ranged = in->ranged, .lo = in->lo, .hi = in->hi, .has_default = in->has_default, .value = in->deflt };
    known_sizes(p, &info, in->shape);
    return info;
}

pastiche_info pastiche_output_info(const pastiche_program *p, int i)
{
    const GraphOutput *out = &p->graph->outputs.at[i];
    Type               t = node_type(p->graph, out->value);
    pastiche_info      info = { .dtype = (pastiche_dtype)t.dtype, .rank = t.rank, .ranged = out->ranged, .lo = out->lo, .hi = out->hi };
    known_sizes(p, &info, t.shape);
    return info;
}

const char *pastiche_missing_weights(const pastiche_program *p)
{
    const Model *m = p->m->session.model;
    for (uint32_t r = 1; r < p->graph->nodes.n; r++) {
        if (p->graph->nodes.at[r].op != OP_var)
            continue;
        const Var *v = &m->vars.at[node_attrs(p->graph, r)[0]];
        if (v->net < 0 || m->nets.at[v->net].from || p->m->session.given[v->net])
            continue;
        return m->nets.at[v->net].name;
    }
    return NULL;
}

bool pastiche_run(pastiche_program *p, const pastiche_tensor *inputs, int n, pastiche_tensor *outputs)
{
    pastiche_model *m = p->m;
    uint32_t        nout = p->graph->outputs.n, nrep = p->graph->reports.n;
    m->st = (Status){ 0 };
    if (n != (int)p->graph->inputs.n)
        return status_fail(&m->st, "'%s' takes %u input%s, not %d", p->name, p->graph->inputs.n, p->graph->inputs.n == 1 ? "" : "s", n);
    if (!session_prepare(&m->session, p->graph, &m->st))
        return false;
    Tensor  *in = xmalloc(((size_t)n + 1) * sizeof *in), *out = xmalloc((nout + 1) * sizeof *out), *reports = xmalloc((nrep + 1) * sizeof *reports);
    RunState rs = { .rng = { m->session.options.seed, (uint32_t)p->runs }, .weights = m->weights + 1, .frozen = m->given + 1 };
    for (int i = 0; i < n; i++)
        borrow(&inputs[i], &in[i]);
    rs.runtime[RT_STEP] = (double)p->runs;
    rs.runtime[RT_EPOCH_STEPS] = 1;
    bool ok = program_run(p->program, in, m->session.vars, &rs, out, reports, &m->st);
    p->runs += ok;
    m->weights += p->graph->writes.n > 0;
    for (uint32_t i = 0; ok && i < nout; i++)
        hand_over(&out[i], &outputs[i]);
    for (uint32_t i = 0; i < nrep; i++)
        tensor_free(&reports[i]);
    free(in), free(out), free(reports);
    return ok;
}

/* ---- pictures ---- */

bool pastiche_read_image(pastiche_program *p, int input, const char *path, pastiche_tensor *out)
{
    pastiche_info info = pastiche_input_info(p, input);
    int64_t       channels = info.rank == 4 ? info.shape[1] : 0;
    Tensor        t = { 0 };
    p->m->st = (Status){ 0 };
    if (info.dtype != PASTICHE_F32 || (channels != 1 && channels != 3))
        return status_fail(&p->m->st, "'%s' is no picture: it does not take 1 or 3 channels", pastiche_input_name(p, input));
    if (!image_read_tensor(path, (int)channels, ALPHA_WHITE, info.ranged ? info.lo : 0, info.ranged ? info.hi : 1, &t, &p->m->st))
        return false;
    hand_over(&t, out);
    return true;
}

bool pastiche_write_image(pastiche_program *p, int output, const char *path, const pastiche_tensor *pictures)
{
    pastiche_info info = pastiche_output_info(p, output);
    Tensor        t;
    p->m->st = (Status){ 0 };
    if (pictures->rank != 4 || (pictures->shape[1] != 1 && pictures->shape[1] != 3))
        return status_fail(&p->m->st, "%s: only f32[N, 3, H, W] and f32[N, 1, H, W] are pictures; write a .npy file", path);
    borrow(pictures, &t);
    return image_write_grid(path, &t, info.ranged ? info.lo : 0, info.ranged ? info.hi : 1, 0, 0, 2, &p->m->st);
}

/* ---- training ---- */

bool pastiche_train(pastiche_model *m, const char *name, const pastiche_train_options *options, char **weights, bool *stopped)
{
    TrainOptions o = { .steps = options->steps, .seconds = options->seconds, .out = options->out, .resume = options->resume, .overwrite = options->overwrite, .progress = options->progress };
    TrainResult  r;
    m->st = (Status){ 0 };
    for (uint32_t i = 0; i < m->programs.n; i++) {             /* stages may replace the model under them */
        program_free(m->programs.at[i]->program);
        m->programs.at[i]->program = NULL;
        m->programs.at[i]->graph = NULL;
    }
    m->weights++;
    bool   ok = train_run(&m->session, name, &o, &r, &m->st);
    for (uint32_t i = 0; i < m->session.model->nets.n && ok; i++)
        m->session.given[i] = true;
    Status again = { 0 };
    for (uint32_t i = 0; i < m->programs.n; i++) {
        pastiche_program *p = m->programs.at[i];
        p->graph = session_find_graph(&m->session, p->name, &again);
        p->program = p->graph ? program_new(m->session.model, p->graph, &m->session.options.exec, &again) : NULL;
    }
    if (weights)
        *weights = r.weights;
    else
        free(r.weights);
    if (stopped)
        *stopped = r.stopped;
    free(r.checkpoint);
    return settle(m, ok);
}
