/* test_models.c - every file of graphs/models, each by its row below:
 *   `pastiche check --json` shows the papers' numbers of parameters; `pastiche fmt --check` would change nothing; `pastiche test` passes, with gradient checks;
 *   each train block takes three passes on made-up pictures, natively and on the float64 reference: the same finite losses, the same updates,
 *   sample pictures and checkpoints written;
 *   every export that takes a picture of any size takes one of 130x517 and gives finite numbers.
 * Frozen networks get random weights. A file without a row fails, as does a row without a file, and a model that graphs/README.md does not list.
 *
 * Usage: test_models PASTICHE NAME (ctest has an entry a file), or without arguments: the table against the folder.
 */
#define _GNU_SOURCE
#include "check.h"
#include "files.h"
#include "image.h"
#include "train.h"

#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODELS SOURCE_DIR "/graphs/models/"
enum { MAX_COUNTS = 8, MAX_SETS = 16, PASSES = 3, MAX_MOMENTS = 4, CLASSES = 10, A_CLASS = 3, SIDE = 48, HIGH = 130, WIDE = 517 };

typedef struct { const char *set, *net; int64_t parameters; } Count;        /* set: "w=16 blocks=2", or NULL: the file as it is */
typedef struct {
    const char *name, *small;                                              /* small: consts for three quick passes and for exports */
    Count       counts[MAX_COUNTS];                                        /* every net that is trained has one */
} Row;

static const Row rows[] = {
    { "acgan", "w=2 side=16 batch=4", { { NULL, "G", 1050985 }, { NULL, "D", 103243 } } },
    { "adain", "features=4 size=32 batch=2", { { NULL, "D", 3505219 }, { "features=16", "D", 219667 }, { NULL, "E", 3505740 } } },
    { "animeganv2", "w=2 features=8 size=32 batch=2", { { NULL, "G", 2143552 }, { NULL, "D", 1128800 }, { "lite=true", "G", 698240 } } },
    { "cartoongan", "w=2 blocks=1 d=2 features=3 size=32 count=4 batch=2",
      { { NULL, "G", 11120195 }, { "affine=true", "G", 11129667 }, { NULL, "D", 1128385 } } },
    { "cgan", "batch=8", { { NULL, "G", 1757412 }, { NULL, "D", 1055845 } } },
    { "cyclegan", "w=2 blocks=1 size=32 count=4 kept=2", { { NULL, "G", 11378179 }, { NULL, "F", 11378179 }, { NULL, "DX", 2764737 }, { NULL, "DY", 2764737 } } },
    { "dcgan", "w=4 batch=4", { { NULL, "G", 3576704 }, { NULL, "D", 2765568 } } },
    { "gatys", "size=48 features=4", { { NULL, "picture", 196608 }, { "height=384 width=512", "picture", 589824 } } },
    { "inpainting", "w=2 code=8 batch=4 levels=4", { { NULL, "G", 71130531 }, { NULL, "D", 2766529 } } },
    { "interpret", "w=2 features=3 size=32 count=4 batch=2", { { NULL, "G", 172035 }, { NULL, "D", 34977 } } },
    { "johnson", "w=4 features=2 size=32 batch=2", { { NULL, "G", 1679235 }, { "w=16", "G", 424899 } } },
    { "multistyle", "w=4 features=6 size=32 batch=2", { { NULL, "G", 1685635 }, { "w=16 styles=5", "G", 431299 } } },
    { "pggan", "top=2 most=4 nz=4 base=16 batch=4 group=2",
      { { "top=8", "G", 23079115 }, { "top=8", "D", 23087249 }, { "top=6", "G", 23044309 }, { "top=6", "D", 23052353 }, { "top=5", "G", 22933394 }, { "top=5", "D", 22941313 } } },
    { "photo2comic", "w=4 blocks=1 size=32 count=16 batch=2", { { NULL, "G", 183275 }, { NULL, "D", 43633 } } },
    { "pix2pix", "w=2 levels=6 size=64 count=4 batch=2", { { NULL, "G", 54414019 }, { "levels=7 size=128", "G", 41829059 }, { NULL, "D", 2768705 } } },
    { "seed_dense", "w=4 batch=4 blocks=1", { { NULL, "G", 1361539 }, { NULL, "D", 83841 } } },
    { "stylegan2", "res=16 base=128 most=16 nz=8 depth=3 batch=8",
      { { "res=1024 base=32768", "G", 30370060 }, { "res=1024 base=32768", "D", 29012513 }, { "res=256", "G", 24767458 }, { "res=256", "D", 24001089 }, { "res=256 depth=2", "G", 23191522 } } },
    { "whitebox", "w=2 features=4 size=32 batch=2 cell=8", { { NULL, "G", 1467075 }, { NULL, "S", 287137 }, { NULL, "T", 287137 } } },
    { "wgan_gp", "w=2 levels=3 batch=3", { { NULL, "G", 8541443 }, { NULL, "D", 9816577 } } },
    { "wgan_gp_mlp", "batch=8", { { NULL, "G", 1510032 }, { NULL, "D", 533505 } } },
};

/* ---- the command line ---- */

static const char *pastiche;

/* Runs `pastiche WORDS`; what it printed, malloc. A test fails when it does not end with 0. */
static char *ran(const char *words)
{
    char   command[2048], chunk[4096];
    Text   said = { 0 };
    size_t n;
    snprintf(command, sizeof command, "'%s' %s 2>&1", pastiche, words);
    FILE *p = popen(command, "r");
    while (p && (n = fread(chunk, 1, sizeof chunk, p)) > 0)
        text_addn(&said, chunk, n);
    int status = p ? pclose(p) : -1;
    text_add(&said, "");
    CHECK(status == 0, "pastiche %s:\n%s", words, said.at);
    return said.at;
}

/* The number of parameters of a net in what check --json printed, -1: no such net. */
static int64_t parameters_of(const char *json, const char *net)
{
    char key[128];
    snprintf(key, sizeof key, "\"%s\": {\"parameters\": ", net);
    const char *at = strstr(json, key);
    return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

static void check_counts(const Row *row)
{
    for (size_t i = 0; i < MAX_COUNTS && row->counts[i].net; i++) {
        const Count *c = &row->counts[i];
        char         words[1024];
        Text         sets = { 0 };
        text_add(&sets, "");
        for (const char *at = c->set; at && *at; at += strcspn(at, " "), at += *at == ' ')
            text_addf(&sets, " --set %.*s", (int)strcspn(at, " "), at);
        snprintf(words, sizeof words, "check --json " MODELS "%s.graph%s", row->name, sets.at);
        char   *json = ran(words);
        int64_t got = parameters_of(json, c->net);
        CHECK(got == c->parameters, "%s%s: %s has %lld parameters, not %lld", row->name, sets.at, c->net, (long long)got, (long long)c->parameters);
        text_free(&sets);
        free(json);
    }
}

static void check_text(const Row *row)
{
    char words[1024];
    snprintf(words, sizeof words, "fmt --check " MODELS "%s.graph", row->name);
    free(ran(words));
    snprintf(words, sizeof words, "test " MODELS "%s.graph", row->name);
    char *said = ran(words);
    CHECK(strstr(said, "  ok    gradcheck("), "%s has no gradient check:\n%s", row->name, said);
    free(said);
}

/* ---- made-up pictures ---- */

static char work[256];

/* WORK/pictures/{0..9}/{0,1,..}.png: a folder of pictures, and of classes of them; smooth, so that sizes and crops make little difference. */
static void make_pictures(void)
{
    Status st = { 0 };
    for (int i = 0; i < CLASSES * A_CLASS; i++) {
        Image im = { SIDE, SIDE, 3, malloc(SIDE * SIDE * 3) };
        char  path[512];
        for (int p = 0; p < SIDE * SIDE * 3; p++) {
            int y = p / 3 / SIDE, x = p / 3 % SIDE, c = p % 3;
            im.px[p] = (uint8_t)(128 + 60 * sin(0.13 * (i + 2) * x + c) + 60 * sin(0.09 * (i % 7 + 1) * y + 2 * c + i));
        }
        snprintf(path, sizeof path, "%s/pictures/%d/%d.png", work, i % CLASSES, i / CLASSES);
        CHECK(dirs_make_parent(path, &st) && image_write(path, &im, &st), "%s", st.message);
        image_free(&im);
    }
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s, (void)type, (void)at;
    return remove(path);
}

/* ---- sessions: the file small, on made-up data, frozen nets random ---- */

typedef struct { Session s; char *sets, *datas[16]; const char *set[MAX_SETS + 1], *data[16 + 1]; } Small;

static bool open_small(Small *o, const Row *row, Backend backend)
{
    Status         st = { 0 };
    SessionOptions so = { .exec = { .backend = backend }, .set = o->set, .data = o->data };
    char           path[512];
    uint32_t       n = 0;
    o->sets = xstrdup(row->small);
    for (char *save, *word = strtok_r(o->sets, " ", &save); word && n < MAX_SETS; word = strtok_r(NULL, " ", &save))
        o->set[n++] = word;
    snprintf(path, sizeof path, MODELS "%s.graph", row->name);
    bool ok = session_open(&o->s, path, &so, &st);
    if (!ok) {
        Text said = { 0 };
        diags_print(&o->s.diags, &said);
        CHECK(ok, "%s: %s\n%s", row->name, st.message, said.at ? said.at : "");
        text_free(&said);
        return false;
    }
    n = 0;
    for (uint32_t i = 0; i < o->s.model->datas.n && n < COUNT(o->datas); i++) {
        const Data *d = &o->s.model->datas.at[i];
        char        text[512];
        bool        one = !strcmp(d->source, "image");
        CHECK(strcmp(d->source, "npy"), "%s: this test makes no arrays for data '%s'", row->name, d->name);
        if (!strcmp(d->source, "scenes"))
            continue;              /* rendered, not read */
        if (one)
            snprintf(text, sizeof text, "%s=%s/pictures/%u/0.png", d->name, work, i % CLASSES);     /* a painting is not the photograph */
        else
            snprintf(text, sizeof text, "%s=%s/pictures", d->name, work);
        o->datas[n] = xstrdup(text);
        o->data[n] = o->datas[n];
        n++;
    }
    for (uint32_t i = 0; i < o->s.model->nets.n; i++)
        o->s.ready[i] = true;
    ok = session_make_vars(&o->s, &st);
    CHECK(ok, "%s", st.message);
    return ok;
}

static void close_small(Small *o)
{
    session_close(&o->s);
    free(o->sets);
    for (size_t i = 0; i < COUNT(o->datas); i++)
        free(o->datas[i]);
}

/* ---- three passes ---- */

static bool calls_a_step(const TrainStmt *b, uint32_t n)
{
    bool found = false;
    for (uint32_t i = 0; i < n; i++)
        found |= b[i].op == T_CALL || calls_a_step(b[i].body, b[i].nbody);
    return found;
}

/* What is due every so often is due in each pass: steps on both sides, pictures and checkpoints, which change nothing, on the native one. */
static void make_due(TrainStmt *b, uint32_t n, bool native)
{
    for (uint32_t i = 0; i < n; i++) {
        if (b[i].op == T_EVERY && (native || calls_a_step(b[i].body, b[i].nbody)))
            b[i].count = 1, b[i].unit = "steps";
        make_due(b[i].body, b[i].nbody, native);
    }
}

typedef struct { double *at; uint32_t columns, lines; char **names; Text text; } Table;

/* losses.csv: a line of names, then numbers; an empty field is NAN. */
static bool read_table(const char *folder, Table *t)
{
    Status   st = { 0 };
    char    *path = path_join(folder, "losses.csv");
    uint8_t *bytes = NULL;
    size_t   n = 0;
    bool     ok = file_read(path, 1 << 20, &bytes, &n, &st);
    CHECK(ok, "%s", st.message);
    *t = (Table){ .names = xmalloc(64 * sizeof *t->names), .at = xmalloc((n + 1) * sizeof *t->at) };
    free(path);
    if (!ok)
        return false;
    uint32_t cell = 0;
    char    *rest = (char *)bytes, *line = strsep(&rest, "\n");
    for (char *name; (name = strsep(&line, ",")) != NULL && t->columns < 64;)
        t->names[t->columns++] = xstrdup(name);
    while ((line = strsep(&rest, "\n")) != NULL && *line) {
        t->lines++;
        for (char *field; (field = strsep(&line, ",")) != NULL;)
            t->at[cell++] = *field ? strtod(field, NULL) : NAN;
    }
    CHECK(cell == t->lines * t->columns, "%s: %u numbers in %u lines of %u", folder, cell, t->lines, t->columns);
    free(bytes);
    return cell == t->lines * t->columns;
}

static void free_table(Table *t)
{
    for (uint32_t i = 0; i < t->columns; i++)
        free(t->names[i]);
    free(t->names);
    free(t->at);
}

/* The same numbers within what float32 can do: in the first pass both start from the same weights, later roundings have moved them. */
static void compare_losses(const char *what, const Table *got, const Table *want)
{
    double worst[2] = { 0 };
    CHECK(got->columns == want->columns && got->lines == want->lines && got->lines >= PASSES && got->columns > 1, "%s: %u lines of %u losses, the reference has %u of %u", what, got->lines,
          got->columns, want->lines, want->columns);
    if (got->columns != want->columns || got->lines != want->lines)
        return;
    for (uint32_t i = 0; i < got->lines; i++)
        for (uint32_t k = 0; k < got->columns; k++) {
            double x = got->at[i * got->columns + k], y = want->at[i * got->columns + k], allowed = (i ? 2e-3 : 1e-4) * fmax(fabs(y), 1e-3);
            CHECK(isfinite(x) && isfinite(y), "%s: pass %u: %s is %g, the reference has %g", what, i + 1, got->names[k], x, y);
            CHECK(fabs(x - y) <= allowed, "%s: pass %u: %s is %.9g, the reference has %.9g", what, i + 1, got->names[k], x, y);
            worst[i > 0] = fmax(worst[i > 0], fabs(x - y) / fmax(fabs(y), 1e-3));
        }
    printf("%s: losses within %.1e of the reference in the first pass, %.1e later\n", what, worst[0], worst[1]);
}

/* The second moments of a parameter's gradient, as Adam and its kin keep them, of each optimiser that moves it. */
static uint32_t find_moments(const Session *s, const char *parameter, const Tensor *out[MAX_MOMENTS])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->model->vars.n; i++) {
        const Var  *v = &s->model->vars.at[i];
        const char *at = v->kind == VAR_OPT ? strstr(v->name, ".v.") : NULL;
        if (at && !strcmp(at + 3, parameter) && n < MAX_MOMENTS)
            out[n++] = &s->vars[i];
    }
    return n;
}

/* Every trained net moved, and natively as on the reference. Each number counts as much as its gradient is large: one that is zero but for rounding (a bias before
 * a normalisation) Adam moves this way or that. */
static void compare_updates(const Row *row, const char *what, Session *got, Session *want)
{
    Small start = { 0 };
    Status st = { 0 };
    if (!open_small(&start, row, BACKEND_REFERENCE))
        return;
    CHECK(session_make_vars(&start.s, &st), "%s", st.message);
    bool moved = false;
    for (uint32_t n = 0; n < got->model->nets.n; n++) {
        double off = 0, norm = 0;
        for (uint32_t i = 0; i < got->model->vars.n && start.s.model->vars.n == got->model->vars.n; i++) {
            const Var *v = &got->model->vars.at[i];
            if (v->net != (int32_t)n || v->kind != VAR_PARAM || got->model->nets.at[n].frozen)
                continue;
            const Tensor *moments[MAX_MOMENTS];
            uint32_t      nmoments = find_moments(want, v->name, moments);
            for (int64_t k = 0; k < tensor_count(&got->vars[i]); k++) {
                double a = tensor_get(&start.s.vars[i], k), x = tensor_get(&got->vars[i], k), y = tensor_get(&want->vars[i], k), weight = nmoments ? 0 : 1;
                for (uint32_t j = 0; j < nmoments; j++)
                    weight += tensor_get(moments[j], k);
                off += weight * (x - y) * (x - y);
                norm += weight * (y - a) * (y - a);
            }
        }
        if (norm > 0)
            printf("%s: %s: updates differ by %.1e of their norm\n", what, got->model->nets.at[n].name, sqrt(off / norm));
        CHECK(off <= 0.05 * 0.05 * norm, "%s: the updates of %s differ by %.1e of their norm", what, got->model->nets.at[n].name, sqrt(off / norm));
        moved |= norm > 0;
    }
    CHECK(moved || start.s.model->vars.n != got->model->vars.n, "%s: no weight moved", what);
    close_small(&start);
}

static bool train_small(const Row *row, uint32_t block, bool native, Small *o, char *folder, size_t size)
{
    Status       st = { 0 };
    TrainResult  r = { 0 };
    if (!open_small(o, row, native ? BACKEND_NATIVE : BACKEND_REFERENCE))
        return false;
    Train *t = &o->s.model->trains.at[block];
    snprintf(folder, size, "%s/%s_%s", work, t->name, native ? "native" : "reference");
    TrainOptions to = { .steps = PASSES, .out = folder };
    make_due(t->body, t->nbody, native);
    bool ok = train_run(&o->s, t->name, &to, &r, &st);
    CHECK(ok, "%s: %s: %s", row->name, folder + strlen(work) + 1, st.message);
    free(r.weights);
    free(r.checkpoint);
    return ok;
}

static void check_training(const Row *row)
{
    uint32_t blocks = 1;
    for (uint32_t b = 0; b < blocks; b++) {
        Small native = { 0 }, reference = { 0 };
        char  folder[2][512];
        Table got = { 0 }, want = { 0 };
        bool  ok = train_small(row, b, true, &native, folder[0], sizeof folder[0]) && train_small(row, b, false, &reference, folder[1], sizeof folder[1]);
        if (native.s.model) {
            blocks = native.s.model->trains.n;
            CHECK(blocks, "%s has no train block", row->name);
        }
        if (ok && read_table(folder[0], &got) && read_table(folder[1], &want)) {
            const char *name = native.s.model->trains.at[b].name;
            compare_losses(name, &got, &want);
            compare_updates(row, name, &native.s, &reference.s);
        }
        free_table(&got);
        free_table(&want);
        close_small(&native);
        close_small(&reference);
    }
}

/* ---- exports on a picture of any size ---- */

static bool is_any_picture(const Graph *g, const GraphInput *in)
{
    int64_t n;
    return in->kind == IN_TENSOR && in->dtype == DT_F32 && in->rank == 4 && dim_is_const(g->dims, in->shape[1], &n) && (n == 1 || n == 3) && !dim_is_const(g->dims, in->shape[2], &n) &&
           !dim_is_const(g->dims, in->shape[3], &n);
}

static bool make_input(const Graph *g, const GraphInput *in, Tensor *t, Status *st)
{
    int64_t shape[MAX_RANK] = { 0 }, n;
    bool    picture = is_any_picture(g, in);
    for (int k = 0; k < in->rank; k++)
        shape[k] = dim_is_const(g->dims, in->shape[k], &n) ? n : picture && k == 2 ? HIGH : picture && k == 3 ? WIDE : 1;
    if (!tensor_alloc(t, in->dtype, in->rank, shape, st))
        return false;
    double lo = in->ranged ? in->lo : 0, hi = in->ranged ? in->hi : 1;
    for (int64_t i = 0; i < tensor_count(t); i++)
        tensor_set(t, i, in->has_default ? in->deflt : in->dtype == DT_I32 ? 1 : lo + (hi - lo) * rng_uniform((Rng){ 3, 0 }, 1, (uint64_t)i));
    return true;
}

static void check_exports(const Row *row)
{
    Small  o = { 0 };
    Status st = { 0 };
    if (!open_small(&o, row, BACKEND_NATIVE))
        return;
    CHECK(o.s.model->exports.n, "%s exports nothing", row->name);
    for (uint32_t e = 0; e < o.s.model->exports.n; e++) {
        Graph   *g = o.s.model->exports.at[e].graph;
        Tensor   inputs[16] = { 0 }, outputs[16] = { 0 };
        RunState rs = { .rng = { 1, 1 }, .check_finite = true };
        bool     any = false, ok = true;
        for (uint32_t i = 0; i < g->inputs.n; i++)
            any |= is_any_picture(g, &g->inputs.at[i]);
        if (!any)
            continue;
        CHECK(g->inputs.n <= COUNT(inputs) && g->outputs.n <= COUNT(outputs), "%s has too many inputs", o.s.model->exports.at[e].name);
        for (uint32_t i = 0; i < g->inputs.n && ok; i++)
            ok = make_input(g, &g->inputs.at[i], &inputs[i], &st);
        Program *p = ok && session_prepare(&o.s, g, &st) ? program_new(o.s.model, g, &o.s.options.exec, &st) : NULL;
        ok = p && program_run(p, inputs, o.s.vars, &rs, outputs, NULL, &st);
        CHECK(ok, "%s: export %s of a picture of %dx%d: %s", row->name, o.s.model->exports.at[e].name, HIGH, WIDE, st.message);
        for (uint32_t i = 0; i < g->outputs.n && ok; i++) {
            int64_t bad = 0;
            for (int64_t k = 0; k < tensor_count(&outputs[i]); k++)
                bad += !isfinite(tensor_get(&outputs[i], k));
            CHECK(!bad && tensor_count(&outputs[i]), "%s: export %s: %lld numbers of %s are not finite", row->name, o.s.model->exports.at[e].name, (long long)bad, g->outputs.at[i].name);
        }
        printf("export %s takes %dx%d\n", o.s.model->exports.at[e].name, HIGH, WIDE);
        program_free(p);
        for (size_t i = 0; i < COUNT(inputs); i++)
            tensor_free(&inputs[i]), tensor_free(&outputs[i]);
    }
    close_small(&o);
}

/* ---- one model; the table ---- */

/* Nets that a file trains and the row does not count. */
static void check_uncounted(const Row *row)
{
    Small o = { 0 };
    if (!open_small(&o, row, BACKEND_REFERENCE))
        return;
    for (uint32_t n = 0; n < o.s.model->nets.n; n++) {
        const Net *net = &o.s.model->nets.at[n];
        bool       counted = net->frozen || net->ema_of >= 0, weights = false;
        for (uint32_t i = 0; i < net->vars.n; i++)
            weights |= o.s.model->vars.at[net->vars.at[i]].kind == VAR_PARAM;
        for (size_t i = 0; i < MAX_COUNTS && row->counts[i].net; i++)
            counted |= !strcmp(row->counts[i].net, net->name);
        CHECK(counted || !weights, "tests/test_models.c counts no parameters of %s in %s", net->name, row->name);
    }
    close_small(&o);
}

static void check_model(const char *name)
{
    const Row *row = NULL;
    for (size_t i = 0; i < COUNT(rows); i++)
        row = !strcmp(rows[i].name, name) ? &rows[i] : row;
    CHECK(row, "tests/test_models.c has no row for graphs/models/%s.graph", name);
    if (!row)
        return;
    const char *tmp = getenv("TMPDIR");
    snprintf(work, sizeof work, "%s/pastiche_models.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    CHECK(mkdtemp(work), "%s cannot be made", work);
    make_pictures();
    check_counts(row);
    check_uncounted(row);
    check_text(row);
    check_training(row);
    check_exports(row);
    nftw(work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int is_graph(const struct dirent *e) { return path_has_ext(e->d_name, "graph"); }

static void check_table(void)
{
    struct dirent **files;
    Status          st = { 0 };
    uint8_t        *manual = NULL;
    size_t          n = 0;
    int             nfiles = scandir(MODELS, &files, is_graph, alphasort);
    CHECK(file_read(SOURCE_DIR "/graphs/README.md", 1 << 20, &manual, &n, &st), "%s", st.message);
    CHECK(nfiles == (int)COUNT(rows), "graphs/models holds %d files, tests/test_models.c has %zu rows", nfiles, COUNT(rows));
    for (int i = 0; i < nfiles; i++) {
        char        key[300];
        bool        found = false;
        const char *name = files[i]->d_name;
        int         length = (int)strlen(name) - 6;
        for (size_t k = 0; k < COUNT(rows); k++)
            found |= !strncmp(rows[k].name, name, (size_t)length) && !rows[k].name[length];
        snprintf(key, sizeof key, "\n| `%.*s` |", length, name);
        CHECK(found, "tests/test_models.c has no row for graphs/models/%s", name);
        CHECK(manual && strstr((const char *)manual, key), "graphs/README.md does not list the model %.*s", length, name);
        free(files[i]);
    }
    if (nfiles >= 0)
        free(files);
    free(manual);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        pastiche = argv[1];
        check_model(argv[2]);
    } else {
        check_table();
    }
    return check_done();
}
