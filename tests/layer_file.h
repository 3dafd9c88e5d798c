/* layer_file.h - what tests of one layer share: the export `f` of a graph file with 17 channels of random numbers as its input, its result by the interpreter, and
 * passes of native programs to compare with it. Include after check.h.
 */
#ifndef PASTICHE_LAYER_FILE_H
#define PASTICHE_LAYER_FILE_H

#include "session.h"

#include <string.h>

typedef struct { Session s; Graph *g; Tensor x, want; } Open;

static bool run(Open *o, const ExecOptions *exec, Tensor *out)
{
    Status         st = { 0 };
    const RunState now = { .rng = { 42, 3 } };
    Program       *p = program_new(o->s.model, o->g, exec, &st);
    bool           ok = p && program_run(p, &o->x, o->s.vars, &now, out, NULL, &st);
    CHECK(ok, "%s", st.message);
    program_free(p);
    return ok;
}

/* what: names the case in messages. */
static bool open_layer(Open *o, const char *path, const char *what, int64_t n, int64_t h, int64_t w)
{
    Status         st = { 0 };
    Text           errors = { 0 };
    SessionOptions so = { .exec = { .backend = BACKEND_REFERENCE }, .seed = 7 };
    const int64_t  shape[4] = { n, 17, h, w };
    *o = (Open){ 0 };
    bool ok = session_open(&o->s, path, &so, &st);
    diags_print(&o->s.diags, &errors);
    CHECK(ok, "%s: %s%s", what, st.message, errors.n ? errors.at : "");
    text_free(&errors);
    o->g = ok ? session_find_graph(&o->s, "f", &st) : NULL;
    ok = o->g && session_prepare_random(&o->s, o->g, &st) && tensor_alloc(&o->x, DT_F32, 4, shape, &st);
    CHECK(ok, "%s", st.message);
    for (int64_t k = 0; ok && k < tensor_count(&o->x); k++)
        tensor_set(&o->x, k, (double)(float)rng_normal((Rng){ 5, 0 }, 9, (uint64_t)k));
    return ok && run(o, &so.exec, &o->want);
}

static void close_layer(Open *o)
{
    tensor_free(&o->x);
    tensor_free(&o->want);
    session_close(&o->s);
}

static bool same(const Tensor *a, const Tensor *b)
{
    return tensor_count(a) == tensor_count(b) && !memcmp(a->data, b->data, (size_t)tensor_count(a) * 4);
}

#endif
