/* test_published.c - published weights give their published pictures: the style network `wave` and two VGG-19s on coffee_128.png, against what ONNX Runtime
 * computed in float32 (../shared/data/weights). The reference backend first, then the native one for every instruction set this machine has, also on a
 * picture of another size. Skips when ../shared is absent.
 */
#include "check.h"
#include "image.h"
#include "native.h"
#include "npy.h"
#include "safetensors.h"
#include "session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS SHARED_DIR "/data/weights/"

typedef struct {
    const char *graph, *export, *expected;     /* expected: .npy of the only result, or safetensors with a tensor a result */
    double      lo, hi;                        /* of the picture given */
    bool        relative;                      /* bound is relative to the tensor's largest number, and to its norm */
    double      bound;
} Case;

static const Case cases[] = {
    { "fast_style_wave", "stylize", WEIGHTS "fast_style_wave.expected.npy", 0, 255, false, 0.01 },
    { "vgg19_small16x", "features", WEIGHTS "vgg19_small16x.expected.safetensors", 0, 1, true, 1e-4 },
    { "vgg19_normalised", "features", WEIGHTS "vgg19_normalised.expected.safetensors", 0, 1, true, 1e-4 },
};

enum { MAX_RESULTS = 8 };

static void free_tensors(Tensor *t)
{
    for (int i = 0; i < MAX_RESULTS; i++)
        tensor_free(&t[i]);
}

static void read_expected(const Case *c, const Graph *g, Tensor *want, Status *st)
{
    if (!c->relative) {
        npy_read(c->expected, &want[0], st);
        return;
    }
    SafeFile *f = safe_open(c->expected, st);
    CHECK(f && f->n == g->outputs.n, "%s: %u tensors for %u results", c->expected, f ? f->n : 0, g->outputs.n);
    for (uint32_t i = 0; f && i < g->outputs.n; i++) {
        const SafeTensor *t = safe_find(f, g->outputs.at[i].name);
        CHECK(t, "%s has no '%s'", c->expected, g->outputs.at[i].name);
        if (t)
            safe_read(f, t, &want[i], st);
    }
    safe_close(f);
}

static bool same_shape(const Tensor *a, const Tensor *b)
{
    bool same = a->rank == b->rank;
    for (int i = 0; i < a->rank && same; i++)
        same = a->shape[i] == b->shape[i];
    return same;
}

static void compare(const Case *c, const char *backend, const char *name, const Tensor *got, const Tensor *want)
{
    double worst = 0, largest = 0, diff = 0, norm = 0;
    CHECK(same_shape(got, want), "%s %s %s: another shape", c->graph, backend, name);
    if (!same_shape(got, want))
        return;
    for (int64_t i = 0; i < tensor_count(want); i++) {
        double x = tensor_get(want, i), d = tensor_get(got, i) - x;
        worst = isfinite(d) ? fmax(worst, fabs(d)) : INFINITY;
        largest = fmax(largest, fabs(x));
        diff += d * d;
        norm += x * x;
    }
    double relative = fmax(worst / largest, sqrt(diff / norm));
    printf("%-17s %-9s %-8s largest difference %.2e of %.4g, relative norm %.2e\n", c->graph, backend, name, worst, largest, sqrt(diff / norm));
    if (c->relative)
        CHECK(relative <= c->bound, "%s %s %s: %g", c->graph, backend, name, relative);
    else
        CHECK(worst <= c->bound, "%s %s %s: %g", c->graph, backend, name, worst);
}

typedef struct { Session s; Graph *g; Program *p; } Loaded;

/* Opens the file, loads its weights by name and makes its export ready. false when this build has no such backend. */
static bool load(Loaded *l, const Case *c, const ExecOptions *exec)
{
    char           path[512];
    Status         st = { 0 };
    SessionOptions o = { .exec = *exec };
    Text           errors = { 0 };
    snprintf(path, sizeof path, SOURCE_DIR "/tests/graphs/%s.graph", c->graph);
    *l = (Loaded){ 0 };
    bool ok = session_open(&l->s, path, &o, &st);
    diags_print(&l->s.diags, &errors);
    CHECK(ok, "%s: %s\n%s", path, st.message, errors.n ? errors.at : "");
    text_free(&errors);
    for (uint32_t i = 0; ok && i < l->s.model->exports.n; i++)
        if (!strcmp(l->s.model->exports.at[i].name, c->export))
            l->g = l->s.model->exports.at[i].graph;
    CHECK(!ok || l->g, "%s: no export %s", path, c->export);
    if (l->g && session_prepare(&l->s, l->g, &st))
        l->p = program_new(l->s.model, l->g, exec, &st);
    if (!l->p && exec->backend == BACKEND_NATIVE && strstr(st.message, "not part of this build"))
        return false;
    CHECK(l->p, "%s: %s", path, st.message);
    return true;
}

static void unload(Loaded *l)
{
    program_free(l->p);
    session_close(&l->s);
}

static void run_and_compare(Loaded *l, const Case *c, const char *backend, const Tensor *picture, const Tensor *want)
{
    Tensor   got[MAX_RESULTS] = { 0 };
    Status   st = { 0 };
    RunState rs = { .check_finite = true };
    bool     ok = l->p && program_run(l->p, picture, l->s.vars, &rs, got, NULL, &st);
    CHECK(ok, "%s %s: %s", c->graph, backend, st.message);
    for (uint32_t i = 0; ok && i < l->g->outputs.n; i++)
        compare(c, backend, l->g->outputs.at[i].name, &got[i], &want[i]);
    free_tensors(got);
}

/* A window of the picture, from its corner: (1,3,h,w). */
static void crop(const Tensor *picture, int64_t h, int64_t w, Tensor *out)
{
    int64_t shape[4] = { 1, 3, h, w };
    Status  st = { 0 };
    CHECK(tensor_alloc(out, DT_F32, 4, shape, &st), "%s", st.message);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++)
                tensor_set(out, (c * h + y) * w + x, tensor_get(picture, (c * picture->shape[2] + y) * picture->shape[3] + x));
}

/* The reference against the published results; each native instruction set against them and, on a picture of another size, against the reference. */
static bool check_case(const Case *c)
{
    static const char *const isas[] = { "baseline", "avx2", "avx512" };
    Status      st = { 0 };
    Tensor      picture = { 0 }, small = { 0 }, want[MAX_RESULTS] = { 0 }, small_want[MAX_RESULTS] = { 0 };
    ExecOptions exec = { .backend = BACKEND_REFERENCE };
    RunState    rs = { 0 };
    Loaded      l;
    bool        native = true;
    CHECK(image_read_tensor(WEIGHTS "coffee_128.png", 3, ALPHA_WHITE, c->lo, c->hi, &picture, &st), "%s", st.message);
    load(&l, c, &exec);
    if (!l.p || !picture.data) {
        unload(&l);
        tensor_free(&picture);
        return native;
    }
    read_expected(c, l.g, want, &st);
    crop(&picture, 36, 52, &small);
    run_and_compare(&l, c, "reference", &picture, want);
    CHECK(program_run(l.p, &small, l.s.vars, &rs, small_want, NULL, &st), "%s: %s", c->graph, st.message);
    unload(&l);
    for (size_t k = 0; k < COUNT(isas) && native; k++) {
        Target t;
        Status none = { 0 };
        if (!target_detect(isas[k], &t, &none)) {
            printf("skipped: %s: %s\n", c->graph, none.message);
            continue;
        }
        exec = (ExecOptions){ .backend = BACKEND_NATIVE, .cpu = isas[k] };
        native = load(&l, c, &exec);
        if (native) {
            run_and_compare(&l, c, isas[k], &picture, want);
            run_and_compare(&l, c, isas[k], &small, small_want);
        }
        unload(&l);
    }
    free_tensors(want);
    free_tensors(small_want);
    tensor_free(&picture);
    tensor_free(&small);
    return native;
}

int main(void)
{
    bool  native = true;
    FILE *there = fopen(WEIGHTS "coffee_128.png", "rb");
    if (!there) {
        printf("skipped: %s is absent\n", WEIGHTS);
        return 77;
    }
    fclose(there);
    for (size_t i = 0; i < COUNT(cases); i++)
        native &= check_case(&cases[i]);
    if (!native)
        printf("skipped: native code, this build has no native backend\n");
    return check_done();
}
