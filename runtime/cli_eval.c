/* cli_eval.c - pastiche eval: pictures measured against true ones. The distances between sets and of pairs look through a network that is a graph file as any other
 * (std/perceptual.graph); the formulas are in metrics.c.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_pictures.h"
#include "metrics.h"

typedef struct {
    const Given      *g;
    const char       *network;         /* the file of the features */
    pastiche_model   *m, *look;        /* the export's file, or NULL; the one of the features */
    pastiche_program *features, *maps; /* of `look` */
    Pictures          real, fake;
    int64_t           w, h;            /* of the pictures of sets, once known */
    char              first[1024];     /* and whose size that is */
} Eval;

enum { PIXELS_AT_ONCE = 1 << 19 };     /* of pictures in one run of the network */

/* ---- weights ---- */

/* NET=FILE goes to whichever of the files has that net, FILE alone to the export's. */
static int give_weights(Eval *e)
{
    for (int i = 0; e->g->weights[i]; i++) {
        char        net[128];
        const char *path;
        bool        named = weights_name_net(e->g->weights[i], net, &path), taken = false;
        if (!named) {
            if (!e->m)
                return complain("--weights %s: say which net's they are, for example --weights perceptual=%s", e->g->weights[i], e->g->weights[i]);
            if (!read_weights_of(e->m, NULL, path))
                return complain("%s", pastiche_error(e->m));
            continue;
        }
        pastiche_model *both[] = { e->m, e->look };
        for (int k = 0; k < 2; k++) {
            if (!both[k] || !pastiche_has_net(both[k], net))
                continue;
            taken = true;
            if (!read_weights_of(both[k], net, path))
                return complain("%s", pastiche_error(both[k]));
        }
        if (!taken)
            return complain("--weights %s: neither the export's file nor the features' has a net '%s'", e->g->weights[i], net);
    }
    return 0;
}

/* ---- what is compared ---- */

static int open_real(Eval *e)
{
    const char *real = option_value(e->g, "--real");
    int64_t     count = 0;
    e->real.size = e->fake.size = 0;
    if (!number_option(e->g, "--size", 1, 16384, &e->real.size) || !number_option(e->g, "--count", 1, 1000000, &count))
        return 2;
    e->fake.size = e->real.size;
    if (!e->m)
        return !pictures_of_folder(&e->real, real);
    return !pictures_of_name(&e->real, session_of(e->m), real, count);
}

static int open_fake(Eval *e)
{
    int64_t count = e->real.n;
    number_option(e->g, "--count", 1, 1000000, &count);
    if (!e->m)
        return !pictures_of_folder(&e->fake, option_value(e->g, "--fake"));
    pastiche_program *p = pastiche_compile(e->m, e->g->words[1]);
    if (!p)
        return complain("%s", pastiche_error(e->m));
    if (!has_weights(p))
        return 1;
    if (pastiche_outputs(p) < 1)
        return complain("'%s' has no result", e->g->words[1]);
    return !pictures_of_export(&e->fake, e->m, p, e->g, count);
}

static int open_look(Eval *e)
{
    const char *path = option_value(e->g, "--features");
    int         status;
    e->network = path ? path : "std/perceptual.graph";
    e->look = open_model_file(e->g, e->network, false, &status);
    return e->look ? 0 : status;
}

/* An export of the network's file: one picture in. NULL: complained. */
static pastiche_program *network(Eval *e, const char *name)
{
    pastiche_program *p = pastiche_compile(e->look, name);
    if (!p) {
        complain("%s", pastiche_error(e->look));
        return NULL;
    }
    pastiche_info in = pastiche_inputs(p) == 1 ? pastiche_input_info(p, 0) : (pastiche_info){ 0 };
    if (in.rank == 4 && in.dtype == PASTICHE_F32 && (in.shape[1] == 3 || in.shape[1] == 1))
        return p;
    complain("export '%s' of the features' file does not take pictures: one input f32[N, 3, H, W] or f32[N, 1, H, W]", name);
    return NULL;
}

/* ---- the network on pictures ---- */

/* Picture im as row `row` of a batch (n,c,h,w), mapped to what the network takes. */
static bool put_picture(Image *im, const pastiche_info *in, pastiche_tensor *batch, int64_t row)
{
    Status st = { 0 };
    Tensor t = { 0 };
    bool   ok = image_convert(im, (int)in->shape[1], ALPHA_WHITE, &st) && image_to_tensor(im, in->ranged ? in->lo : 0, in->ranged ? in->hi : 1, &t, &st);
    if (ok)
        memcpy((float *)batch->data + row * tensor_count(&t), t.data, (size_t)tensor_count(&t) * sizeof(float));
    tensor_free(&t);
    return ok || !complain("%s", st.message);
}

static bool same_size(Eval *e, const Pictures *s, int64_t i, const Image *im)
{
    char text[1024];
    if (!e->w) {
        e->w = im->w, e->h = im->h;
        picture_name(s, i, e->first, sizeof e->first);
    }
    return (e->w == im->w && e->h == im->h) ||
           !complain("%s has %d x %d pixels, %s has %lld x %lld: sets are compared at one size, --size N scales all to N x N", picture_name(s, i, text, sizeof text), im->w, im->h, e->first,
                     (long long)e->w, (long long)e->h);
}

/* A result of the network as a tensor (f64 from the reference backend), borrowed; rank 0: it is no such. */
static Tensor result_of(const pastiche_tensor *made, int rank, int64_t rows)
{
    Tensor t = { .dtype = (Dtype)made->dtype, .rank = made->rank, .data = made->data };
    memcpy(t.shape, made->shape, sizeof t.shape);
    if ((t.dtype != DT_F32 && t.dtype != DT_F64) || t.rank != rank || t.shape[0] != rows)
        t.rank = 0;
    return t;
}

/* Rows of features from one run, put behind `from` others. */
static bool keep_rows(const pastiche_tensor *made, int64_t rows, int64_t all, int64_t from, Tensor *features)
{
    Status st = { 0 };
    Tensor t = result_of(made, 2, rows);
    if (!t.rank)
        return !complain("export 'features' must give a row an item, f32[N, D]");
    if (!features->data && !tensor_alloc(features, t.dtype, 2, (int64_t[]){ all, t.shape[1] }, &st))
        return !complain("%s", st.message);
    size_t row = (size_t)t.shape[1] * dtype_size(t.dtype);
    memcpy((char *)features->data + (size_t)from * row, t.data, (size_t)rows * row);
    return true;
}

/* features (n,d) of a set */
static bool set_features(Eval *e, Pictures *s, Tensor *features)
{
    pastiche_info   in = pastiche_input_info(e->features, 0);
    pastiche_tensor batch = { .dtype = PASTICHE_F32, .rank = 4 };
    int64_t         room = 0, rows = 0;
    bool            ok = true;
    for (int64_t i = 0; i < s->n && ok; i++) {
        Image im;
        if (!picture_at(s, i, &im)) {
            ok = false;
            break;
        }
        ok = same_size(e, s, i, &im);
        if (ok && !batch.data) {
            room = PIXELS_AT_ONCE / (e->w * e->h) > 1 ? PIXELS_AT_ONCE / (e->w * e->h) : 1;
            batch.data = xmalloc((size_t)(room * in.shape[1] * e->w * e->h) * sizeof(float));
            memcpy(batch.shape, (int64_t[]){ 0, in.shape[1], e->h, e->w }, 4 * sizeof(int64_t));
        }
        ok = ok && put_picture(&im, &in, &batch, rows++);
        image_free(&im);
        if (!ok || (rows < room && i + 1 < s->n))
            continue;
        pastiche_tensor *made = xmalloc(((size_t)pastiche_outputs(e->features) + 1) * sizeof *made);
        batch.shape[0] = rows;
        ok = pastiche_run(e->features, &batch, 1, made) || !complain("%s", pastiche_error(e->look));
        ok = ok && keep_rows(made, rows, s->n, i + 1 - rows, features);
        for (int k = 0; k < pastiche_outputs(e->features); k++)
            free(made[k].data);
        free(made);
        rows = 0;
    }
    free(batch.data);
    return ok;
}

/* ---- sets ---- */

static int compare_sets(Eval *e)
{
    Tensor real = { 0 }, fake = { 0 };
    double frechet, kernel, error;
    Status st = { 0 };
    e->features = network(e, "features");
    bool ok = e->features && set_features(e, &e->real, &real) && set_features(e, &e->fake, &fake);
    if (ok && !(frechet_distance(&real, &fake, &frechet, &st) && kernel_distance(&real, &fake, &kernel, &error, &st)))
        ok = !complain("%s", st.message);
    int64_t d = ok ? real.shape[1] : 0, fewest = e->real.n < e->fake.n ? e->real.n : e->fake.n;
    if (ok && option_given(e->g, "--json")) {
        printf("{\"real\": %lld, \"fake\": %lld, \"width\": %lld, \"height\": %lld, \"features\": %lld, \"frechet\": %.9g, \"kernel\": %.9g, \"kernel_error\": %.9g}\n", (long long)e->real.n,
               (long long)e->fake.n, (long long)e->w, (long long)e->h, (long long)d, frechet, kernel, error);
    } else if (ok) {
        printf("%lld pictures, %lld true ones, %lld x %lld pixels, %lld features of %s\n", (long long)e->fake.n, (long long)e->real.n, (long long)e->w, (long long)e->h, (long long)d, e->network);
        printf("frechet  %.6g\nkernel   %.6g", frechet, kernel);
        printf(error > 0 ? " +- %.2g\n" : "\n", error);
    }
    if (ok && fewest <= d)
        fprintf(stderr, "pastiche: note: %lld pictures are too few for the covariance of %lld features: the Fréchet distance is too large; compare it with others of as many pictures only\n",
                (long long)fewest, (long long)d);
    tensor_free(&real);
    tensor_free(&fake);
    return !ok;
}

/* ---- pairs ---- */

typedef struct { double psnr, ssim, perceptual; } Scores;      /* perceptual: NaN when there is no network */

static size_t stem(const char *name) { return (size_t)(strrchr(name, '.') - name); }

/* partner[i]: the picture whose name is that of true picture i but for the ending. Every picture has one. */
static bool find_partners(const Eval *e, int64_t *partner)
{
    const FileNames *a = &e->real.names, *b = &e->fake.names;
    bool            *used = xmalloc(b->n + 1), ok = true;
    if (!a->n || !b->n) {
        free(used);
        return !complain("--pairs compares files of the same name: the true pictures and the others stand in folders");
    }
    for (uint32_t i = 0; i < a->n && ok; i++) {
        size_t   len = stem(a->at[i]);
        uint32_t found = b->n;
        for (uint32_t k = 0; k < b->n; k++)
            if (stem(b->at[k]) == len && !strncmp(a->at[i], b->at[k], len)) {
                ok = ok && (found == b->n || !complain("%s/%s: %s/%s and %s could both be its partner", e->real.folder, a->at[i], e->fake.folder, b->at[found], b->at[k]));
                found = k;
            }
        if (found == b->n)
            ok = !complain("%s/%s has no partner in %s", e->real.folder, a->at[i], e->fake.folder);
        else if (used[found])
            ok = ok && !complain("%s/%s: two true pictures are called so", e->fake.folder, b->at[found]);
        else
            used[found] = true;
        partner[i] = found;
    }
    for (uint32_t k = 0; k < b->n && ok; k++)
        if (!used[k])
            ok = !complain("%s/%s has no partner in %s", e->fake.folder, b->at[k], e->real.folder);
    free(used);
    return ok;
}

/* The distance of the network's maps of two pictures (1,c,h,w). */
static bool look_at_pair(Eval *e, Image *a, Image *b, double *distance)
{
    pastiche_info    in = pastiche_input_info(e->maps, 0);
    int              n = pastiche_outputs(e->maps);
    pastiche_tensor  batch = { .dtype = PASTICHE_F32, .rank = 4, .shape = { 2, in.shape[1], a->h, a->w } }, *made = xmalloc(((size_t)n + 1) * sizeof *made);
    batch.data = xmalloc((size_t)(2 * in.shape[1] * a->h * a->w) * sizeof(float));
    bool ok = put_picture(a, &in, &batch, 0) && put_picture(b, &in, &batch, 1);
    if (ok && !pastiche_run(e->maps, &batch, 1, made))
        ok = !complain("%s", pastiche_error(e->look));
    *distance = 0;
    for (int i = 0; i < n && ok; i++) {
        Tensor x = result_of(&made[i], 4, 2), y;
        if (!x.rank) {
            ok = !complain("export 'maps' must give maps f32[N, C, h, w]; '%s' is none", pastiche_output_name(e->maps, i));
            break;
        }
        x.shape[0] = 1;
        y = x;
        y.data = (char *)x.data + (size_t)tensor_count(&x) * dtype_size(x.dtype);
        *distance += map_distance(&x, &y) / n;
    }
    for (int i = 0; i < n; i++)
        free(made[i].data);
    free(made);
    free(batch.data);
    return ok;
}

static bool compare_pair(Eval *e, int64_t i, int64_t k, Scores *s)
{
    Image  a = { 0 }, b = { 0 };
    Tensor x = { 0 }, y = { 0 };
    Status st = { 0 };
    char   one[1024], other[1024];
    bool   ok = picture_at(&e->real, i, &a) && picture_at(&e->fake, k, &b);
    picture_name(&e->real, i, one, sizeof one);
    picture_name(&e->fake, k, other, sizeof other);
    if (ok && (a.w != b.w || a.h != b.h))
        ok = !complain("%s has %d x %d pixels, %s has %d x %d: --size N scales both to N x N", one, a.w, a.h, other, b.w, b.h);
    if (ok && !(image_to_tensor(&a, 0, 255, &x, &st) && image_to_tensor(&b, 0, 255, &y, &st) && ssim(&x, &y, 255, &s->ssim, &st)))
        ok = !complain("%s: %s", one, st.message);
    s->psnr = ok ? psnr(&x, &y, 255) : 0;
    s->perceptual = NAN;
    ok = ok && (!e->maps || look_at_pair(e, &a, &b, &s->perceptual));
    image_free(&a), image_free(&b);
    tensor_free(&x), tensor_free(&y);
    return ok;
}

/* A number as JSON has them. */
static const char *json_number(double v, char *text, size_t size)
{
    snprintf(text, size, isfinite(v) ? "%.9g" : "null", v);
    return text;
}

static void print_pairs(const Eval *e, const Scores *s, int64_t n)
{
    Scores  mean = { 0 };
    int64_t worst[3] = { 0 };
    char    a[32], b[32], c[32];
    bool    json = option_given(e->g, "--json");
    for (int64_t i = 0; i < n; i++) {
        mean.psnr += s[i].psnr / (double)n, mean.ssim += s[i].ssim / (double)n, mean.perceptual += s[i].perceptual / (double)n;
        worst[0] = s[i].psnr < s[worst[0]].psnr ? i : worst[0];
        worst[1] = s[i].ssim < s[worst[1]].ssim ? i : worst[1];
        worst[2] = s[i].perceptual > s[worst[2]].perceptual ? i : worst[2];
    }
    if (!json) {
        char *const *names = e->real.names.at;
        printf("%lld pairs\npsnr        %-9.5g dB, least %.5g: %s\nssim        %-9.5g     least %.5g: %s\n", (long long)n, mean.psnr, s[worst[0]].psnr, names[worst[0]], mean.ssim, s[worst[1]].ssim,
               names[worst[1]]);
        if (e->maps)
            printf("perceptual  %-9.5g     most %.5g: %s; by %s\n", mean.perceptual, s[worst[2]].perceptual, names[worst[2]], e->network);
        return;
    }
    Text t = { 0 };
    text_addf(&t, "{\"pairs\": %lld, \"psnr\": %s, \"ssim\": %s, \"perceptual\": %s, \"pictures\": [", (long long)n, json_number(mean.psnr, a, sizeof a), json_number(mean.ssim, b, sizeof b),
              json_number(mean.perceptual, c, sizeof c));
    for (int64_t i = 0; i < n; i++) {
        text_add(&t, i ? ", {\"name\": " : "{\"name\": ");
        text_json(&t, e->real.names.at[i]);
        text_addf(&t, ", \"psnr\": %s, \"ssim\": %s, \"perceptual\": %s}", json_number(s[i].psnr, a, sizeof a), json_number(s[i].ssim, b, sizeof b), json_number(s[i].perceptual, c, sizeof c));
    }
    printf("%s]}\n", t.at);
    text_free(&t);
}

static int compare_pairs(Eval *e)
{
    int64_t  n = e->real.n, *partner = xmalloc(((size_t)n + 1) * sizeof *partner);
    Scores  *scores = xmalloc(((size_t)n + 1) * sizeof *scores);
    bool     ok = find_partners(e, partner);
    e->maps = !ok || option_given(e->g, "--no-features") ? NULL : network(e, "maps");
    ok = ok && (e->maps || option_given(e->g, "--no-features"));
    for (int64_t i = 0; i < n && ok; i++)
        ok = compare_pair(e, i, partner[i], &scores[i]);
    if (ok)
        print_pairs(e, scores, n);
    free(scores);
    free(partner);
    return !ok;
}

/* ---- the command ---- */

/* What contradicts or is missing; the exit status. */
static int check_words(const Given *g)
{
    bool fake = option_value(g, "--fake") != NULL;
    if (!option_value(g, "--real"))
        return complain("say what the true pictures are: --real FOLDER"), 2;
    if (g->nwords == 1)
        return complain("say which export of %s makes the pictures", g->words[0]), 2;
    if (fake == (g->nwords > 0))
        return complain(fake ? "pictures come from an export or from --fake FOLDER, not both" : "say what is measured: FILE EXPORT [INPUT], or --fake FOLDER"), 2;
    if (option_given(g, "--no-features") && (!option_given(g, "--pairs") || option_value(g, "--features")))
        return complain("--no-features is for --pairs, without --features"), 2;
    return 0;
}

int command_eval(int argc, char **argv)
{
    static const Option options[] = {
        { "--real", "DATA|FOLDER", "the true pictures: a data item of FILE (comics, pairs.photo), or a folder with the folders in it (./comics)" },
        { "--fake", "FOLDER", "the pictures to measure, in place of an export's" },
        { "--pairs", NULL, "each picture and the true one of the same name: PSNR, SSIM, perceptual distance" },
        { "--count", "N", "pictures to make of noise, and to take of DATA (default: as many as there are true ones)" },
        { "--size", "N", "scale all pictures to cover N x N pixels, cut what is beyond (default: as they are)" },
        { "--features", "FILE", "graph file with exports features and maps (default: std/perceptual.graph, whose weights are in the program)" },
        { "--no-features", NULL, "pairs: no perceptual distance, so no network" },
        { "--weights", "[NET=]FILE", "FILE's weights; the features' network: perceptual=FILE; may be repeated" },
        { "--json", NULL, "print JSON" },
        SESSION_OPTIONS,
        EXEC_OPTIONS,
    };
    static const Command c = { "eval", "[FILE EXPORT [[NAME=]INPUT]...] --real FOLDER [--fake FOLDER] ...",
                               "Measures pictures against true ones: those of a folder, or what an export makes of noise (normal:SEED) or of a folder of pictures (INPUTs as for run).\n"
                               "Two sets: Fréchet distance (Heusel et al. 2017) and kernel distance (Binkowski et al. 2018) between features of a network. --pairs: PSNR in dB, SSIM (Wang\n"
                               "et al. 2004), and the distance of the network's maps (as LPIPS, Zhang et al. 2018, unweighted). Pictures are taken as 8-bit RGB.",
                               options, COUNT(options), 0, -1 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    static Eval e;
    e = (Eval){ .g = &g };
    status = check_words(&g);
    if (status == 0 && g.nwords) {
        e.m = open_model(&g, &status);
        if (!e.m)
            return status;
        status = 0;
    }
    bool look = !option_given(&g, "--no-features");
    if (status == 0)
        status = open_real(&e);
    if (status == 0 && look)
        status = open_look(&e);
    if (status == 0)
        status = give_weights(&e);
    if (status == 0)
        status = open_fake(&e);
    if (status == 0)
        status = option_given(&g, "--pairs") ? compare_pairs(&e) : compare_sets(&e);
    pictures_free(&e.real);
    pictures_free(&e.fake);
    pastiche_free(e.m);
    pastiche_free(e.look);
    return status;
}
