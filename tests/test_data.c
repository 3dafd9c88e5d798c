/* test_data.c - data sources: what an item is, order, augmentation, resuming, background loading, damaged items, and the messages for wrong arguments. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "data.h"
#include "files.h"
#include "image.h"
#include "npy.h"
#include "scenes.h"

static char tmp[] = "/tmp/pastiche_data_XXXXXX";

/* ---- making a Data as the elaborator would ---- */
static DataArg num(const char *name, double v) { return (DataArg){ .name = name, .kind = ARG_NUM, .num = v }; }
static DataArg str(const char *name, const char *v) { return (DataArg){ .name = name, .kind = ARG_STR, .str = v }; }
static DataArg yes(const char *name) { return (DataArg){ .name = name, .kind = ARG_BOOL, .num = 1 }; }
static DataArg list(const char *name, DataArg *items, uint32_t n) { return (DataArg){ .name = name, .kind = ARG_LIST, .items = items, .nitems = n }; }
static DataArg call(const char *name, DataArg *arg) { return (DataArg){ .kind = ARG_CALL, .str = name, .items = arg, .nitems = 1 }; }

typedef struct { Data data; DataArg args[12]; DimTable *dims; Diags diags; Arena arena; } Made;

static bool make(Made *m, const char *name, const char *source, const DataArg *args, uint32_t n)
{
    *m = (Made){ .data = { .name = name, .source = source, .args = m->args, .nargs = n }, .dims = dims_new() };
    for (uint32_t i = 0; i < n; i++)
        m->args[i] = args[i];
    return describe_data(&m->data, m->dims, &m->diags);
}

static void unmake(Made *m)
{
    diags_free(&m->diags);
    dims_free(m->dims);
}

#define ARGS(...) (DataArg[]){ __VA_ARGS__ }, sizeof((DataArg[]){ __VA_ARGS__ }) / sizeof(DataArg)

static int64_t field_dim(const Made *m, int field, int k)
{
    int64_t v = -1;
    dim_is_const(m->dims, m->data.fields[field].shape[k], &v);
    return v;
}

/* ---- files ---- */
/* A picture whose pixel (x, y) of picture `id` is (id, 3x, 3y): places can be read back from colours. */
static void write_picture(const char *rel, int id, int w, int h)
{
    char  *path = path_join(tmp, rel);
    Image  im = { .w = w, .h = h, .channels = 3, .px = malloc((size_t)(w * h * 3)) };
    Status st = { 0 };
    for (int i = 0; i < w * h; i++)
        im.px[3 * i] = (uint8_t)id, im.px[3 * i + 1] = (uint8_t)(i % w * 3), im.px[3 * i + 2] = (uint8_t)(i / w * 3);
    CHECK(image_write(path, &im, &st), "%s", st.message);
    image_free(&im);
    free(path);
}

static float at(const Tensor *t, int64_t n, int64_t c, int64_t y, int64_t x)
{
    return ((const float *)t->data)[((n * t->shape[1] + c) * t->shape[2] + y) * t->shape[3] + x];
}

static uint64_t hash_of(const Tensor *t)
{
    return hash_bytes(t->data, (size_t)tensor_count(t) * dtype_size(t->dtype), 1);
}

/* ---- descriptions ---- */
static void wrong(const char *source, int code, const char *message, const char *hint, const DataArg *args, uint32_t n)
{
    Made m;
    bool ok = make(&m, "d", source, args, n);
    const Diag *g = m.diags.list.n ? &m.diags.list.at[0] : NULL;
    CHECK(!ok && g && g->code == code && strstr(g->message, message), "%s: E%04d '%s' where E%04d '%s' is expected", source, g ? g->code : 0, g ? g->message : "", code, message);
    CHECK(!hint || (g && g->hint && strstr(g->hint, hint)), "the hint is '%s', not '%s'", g && g->hint ? g->hint : "", hint);
    unmake(&m);
}

static void test_describe(void)
{
    Made    m;
    DataArg crop = num(NULL, 178), flip = num(NULL, 0.5), small = num(NULL, 32), aug[] = { call("center_crop", &crop), call("hflip", &flip) };
    DataArg after[] = { call("random_crop", &small) }, three[] = { aug[0], after[0], after[0] }, range[] = { num(NULL, -1), num(NULL, 1) }, back[] = { num(NULL, 1), num(NULL, -1) };
    CHECK(make(&m, "faces", "images", ARGS(str(NULL, "dir"), num("size", 64), list("augment", aug, 2), list("range", range, 2), num("batch", 8), yes("shuffle"))), "CelebA");
    CHECK(m.data.nfields == 1 && m.data.batch == 8 && m.data.lo == -1 && m.data.hi == 1 && m.data.fields[0].rank == 3, "fields and batch");
    CHECK(field_dim(&m, 0, 0) == 3 && field_dim(&m, 0, 1) == 64 && field_dim(&m, 0, 2) == 64, "a larger crop comes before the resize");
    unmake(&m);
    CHECK(make(&m, "d", "labelled", ARGS(str(NULL, "dir"), num("size", 48), list("augment", after, 1), num("channels", 1))), "labelled");
    CHECK(m.data.nfields == 2 && m.data.fields[1].dtype == DT_I32 && m.data.fields[1].rank == 0 && field_dim(&m, 0, 1) == 32 && field_dim(&m, 0, 0) == 1, "a smaller crop comes after");
    unmake(&m);
    wrong("image_s", 540, "no data source", "'images'", NULL, 0);
    wrong("images", 541, "no argument 'sise'; it has: dir, size", "'size'", ARGS(str(NULL, "d"), num("sise", 3)));
    wrong("images", 541, "needs a name", "size", ARGS(str(NULL, "d"), num(NULL, 3)));
    wrong("images", 542, "'size' must be", NULL, ARGS(str(NULL, "d"), str("size", "big")));
    wrong("images", 542, "'size' must be", NULL, ARGS(str(NULL, "d"), num("size", 2.5)));
    wrong("images", 542, "'batch' must be a whole number from 1", NULL, ARGS(str(NULL, "d"), num("size", 8), num("batch", 0)));
    wrong("images", 542, "'shuffle' must be true or false", NULL, ARGS(str(NULL, "d"), num("size", 8), num("shuffle", 1)));
    wrong("images", 542, "'range' must be two growing", NULL, ARGS(str(NULL, "d"), num("size", 8), list("range", back, 2)));
    wrong("images", 542, "'alpha' must be one of 'white'", "'white'", ARGS(str(NULL, "d"), num("size", 8), str("alpha", "whit")));
    wrong("images", 542, "at most one crop", NULL, ARGS(str(NULL, "d"), num("size", 64), list("augment", three, 3)));
    wrong("images", 543, "'size' is missing", NULL, ARGS(str(NULL, "d")));
    wrong("images", 543, "'channels' must be 1 or 3", NULL, ARGS(str(NULL, "d"), num("size", 8), num("channels", 2)));
    wrong("images", 543, "'dir' is missing", "data d = images(\"data/d\"", ARGS(num("size", 8)));
    wrong("images", 543, "'size' is given twice", NULL, ARGS(str(NULL, "d"), num("size", 8), num("size", 9)));
    DataArg typo[] = { call("hflp", &flip) };
    wrong("images", 542, "'augment' must be", "'hflip'", ARGS(str(NULL, "d"), num("size", 8), list("augment", typo, 1)));
    DataArg sides[] = { num(NULL, 10), num(NULL, 30) }, turned[] = { num(NULL, 30), num(NULL, 10) }, zoom[] = { num(NULL, 20), list(NULL, sides, 2) }, bad[] = { num(NULL, 20), list(NULL, turned, 2) };
    DataArg scaled[] = { call("random_crop", zoom) }, wrong_way[] = { call("random_crop", bad) }, centred[] = { call("center_crop", zoom) };
    scaled[0].nitems = wrong_way[0].nitems = centred[0].nitems = 2;
    wrong("images", 542, "random_crop(64, [48, 96])", NULL, ARGS(str(NULL, "d"), num("size", 64), list("augment", wrong_way, 1)));
    wrong("images", 542, "center_crop(64)", NULL, ARGS(str(NULL, "d"), num("size", 64), list("augment", centred, 1)));
    wrong("images", 542, "after the resize", NULL, ARGS(str(NULL, "d"), num("size", 16), list("augment", scaled, 1)));
    wrong("npy", 544, "/nowhere/x.npy", NULL, ARGS(str(NULL, "/nowhere/x.npy")));
    wrong("scenes", 543, "'size' must be one number from 8", NULL, ARGS(num("size", 4)));
    Text manual = { 0 };
    data_print_sources(&manual);
    CHECK(strstr(manual.at, "images(...)") && strstr(manual.at, "filter    bilinear  of the antialiased resize: nearest | bilinear | bicubic"), "%s", manual.at);
    text_free(&manual);
}

/* ---- pictures ---- */
static void test_geometry(void)
{
    Made    m;
    Status  st = { 0 };
    Tensor  first[1];
    DataArg n20 = num(NULL, 20), n12 = num(NULL, 12), before[] = { call("center_crop", &n20) }, after[] = { call("center_crop", &n12) }, hw[] = { num(NULL, 10), num(NULL, 30) };
    write_picture("geo/p.png", 77, 60, 40);
    make(&m, "g", "images", ARGS(str(NULL, "geo"), num("size", 40), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    DataSet *s = data_open(&m.data, tmp, NULL, 1, NULL, &st);
    CHECK(s && data_first_items(s, 1, first, &st), "%s", st.message);
    /* the short side fits already: columns 10..49 of 60 */
    CHECK(at(first, 0, 0, 5, 5) == 77 && at(first, 0, 1, 0, 0) == 30 && at(first, 0, 2, 39, 0) == 117 && at(first, 0, 1, 0, 39) == 147, "the middle is cut");
    tensor_free(first);
    data_close(s), unmake(&m);

    make(&m, "g", "images", ARGS(str(NULL, "geo"), num("size", 16), list("augment", before, 1), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    s = data_open(&m.data, tmp, NULL, 1, NULL, &st);
    CHECK(s && data_first_items(s, 1, first, &st) && first->shape[2] == 16, "%s", st.message);
    /* columns 20..39 shrunk to 16: their mean stays */
    CHECK(fabsf((at(first, 0, 1, 3, 0) + at(first, 0, 1, 3, 15)) / 2 - 3 * 29.5f) < 1, "a crop of 20 before the resize to 16");
    tensor_free(first);
    data_close(s), unmake(&m);

    make(&m, "g", "images", ARGS(str(NULL, "geo"), num("size", 20), list("augment", after, 1), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    s = data_open(&m.data, tmp, NULL, 1, NULL, &st);
    CHECK(s && data_first_items(s, 1, first, &st) && first->shape[3] == 12, "%s", st.message);
    /* 60 x 40 becomes 30 x 20, of which columns 9..20 and rows 4..15 are cut */
    CHECK(fabsf(at(first, 0, 1, 0, 0) - 3 * 18.5f) < 1 && fabsf(at(first, 0, 2, 11, 0) - 3 * 30.5f) < 1, "a crop of 12 after the resize to 20: %g %g", (double)at(first, 0, 1, 0, 0),
          (double)at(first, 0, 2, 11, 0));
    tensor_free(first);
    data_close(s), unmake(&m);

    make(&m, "g", "images", ARGS(str(NULL, "geo/p.png"), list("size", hw, 2), str("fit", "stretch"), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    s = data_open(&m.data, tmp, NULL, 1, NULL, &st);
    CHECK(s && data_first_items(s, 1, first, &st) && first->shape[2] == 10 && first->shape[3] == 30, "a file is a set of one: %s", st.message);
    CHECK(fabsf(at(first, 0, 2, 9, 0) - 3 * 37.5f) < 2.1f && fabsf(at(first, 0, 1, 0, 29) - 3 * 58.5f) < 2.1f, "stretched to the edges");
    tensor_free(first);
    data_close(s), unmake(&m);

    make(&m, "g", "images", ARGS(str(NULL, "geo"), list("augment", before, 1), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    s = data_open(&m.data, tmp, NULL, 1, NULL, &st);
    CHECK(s && data_first_items(s, 1, first, &st) && first->shape[2] == 20 && at(first, 0, 1, 0, 0) == 60 && at(first, 0, 2, 0, 0) == 30, "a crop without a size: %s", st.message);
    tensor_free(first);
    data_close(s), unmake(&m);
}

static void make_set(void)
{
    for (int i = 0; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "set/%s/p%02d.png", i % 3 ? "b" : "a/deep", i);
        write_picture(name, 10 * i, 24 + i, 20);
    }
    Status st = { 0 };
    char  *notes = path_join(tmp, "set/notes.txt"), *loop = path_join(tmp, "set/b/loop"), *self = path_join(tmp, "set");
    CHECK(file_write(notes, "x", 1, &st), "%s", st.message);
    CHECK(!symlink(self, loop), "a folder that holds itself");
    free(notes), free(loop), free(self);
}

static DataSet *open_set(Made *m, uint64_t seed, const DataOptions *o, Status *st)
{
    DataArg n16 = num(NULL, 16), half = num(NULL, 0.5);
    static DataArg keep[2];
    static DataArg inner[2];
    inner[0] = n16, inner[1] = half;
    keep[0] = call("random_crop", &inner[0]), keep[1] = call("hflip", &inner[1]);
    make(m, "set", "images", ARGS(str(NULL, "set"), num("size", 20), list("augment", keep, 2), num("batch", 4), yes("shuffle"), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    m->args[5].items = NULL;                               /* the range was a temporary and has been read */
    static DataArg range[2];
    range[0] = num(NULL, 0), range[1] = num(NULL, 255);
    m->args[5].items = range;
    return data_open(&m->data, tmp, NULL, seed, o, st);
}

static void test_order(void)
{
    Made     m;
    Status   st = { 0 };
    DataSet *s = open_set(&m, 7, NULL, &st);
    CHECK(s && data_items(s) == 11 && data_steps(s) == 2, "11 items make 2 batches of 4: %s", st.message);
    uint64_t hashes[12];
    int      crops[5][5] = { { 0 } }, flips = 0, differ = 0;
    CHECK(!data_last(s, &st) && strstr(st.message, ".last"), "%s", st.message);
    st = (Status){ 0 };
    for (int step = 0; step < 12; step++) {
        DataPos       pos = data_position(s);
        const Tensor *t = data_next(s, &st);
        int           seen[11] = { 0 };
        CHECK(pos.epoch == (uint64_t)step / 2 && pos.index == (uint64_t)step % 2, "positions count up");
        CHECK(t && t->rank == 4 && t->shape[0] == 4 && t->shape[2] == 16, "%s", st.message);
        for (int b = 0; t && b < 4; b++) {
            int id = (int)at(t, b, 0, 0, 0) / 10, flip = at(t, b, 1, 0, 0) > at(t, b, 1, 0, 15), y = (int)at(t, b, 2, 0, 0) / 3;
            seen[id]++;
            flips += flip;
            crops[y][(int)at(t, b, 1, 0, flip ? 15 : 0) / 3 % 5]++;
        }
        for (int i = 0; i < 11; i++)
            CHECK(seen[i] <= 1, "picture %d twice in a batch", i);
        CHECK(data_last(s, &st) == t, ".last is the batch drawn last");
        hashes[step] = t ? hash_of(t) : 0;
        differ += step && hashes[step] != hashes[step - 1];
    }
    CHECK(differ == 11, "batches differ");
    CHECK(flips > 12 && flips < 36, "%d of 48 flipped", flips);
    int rows = 0;
    for (int y = 0; y < 5; y++)
        rows += crops[y][0] + crops[y][1] + crops[y][2] + crops[y][3] + crops[y][4] > 0;
    CHECK(rows == 5, "crops start at %d of 5 rows", rows);
    data_close(s), unmake(&m);

    /* Any position again: without the thread, without a cache, from another set, in any order. */
    DataOptions slow = { .foreground = true, .cache = 1 };
    for (int way = 0; way < 2; way++) {
        s = open_set(&m, 7, way ? &slow : NULL, &st);
        static const int jumps[] = { 5, 6, 0, 11, 3, 2, 3, 9 };
        for (size_t k = 0; k < COUNT(jumps); k++) {
            int j = jumps[k];
            CHECK(data_seek(s, (DataPos){ (uint64_t)j / 2, (uint64_t)j % 2 }, &st), "%s", st.message);
            const Tensor *last = j ? data_last(s, &st) : NULL, *t;
            CHECK(!j || (last && hash_of(last) == hashes[j - 1]), "way %d: .last before batch %d is the same after a resume", way, j);
            Tensor first[1];
            CHECK(data_first_items(s, 3, first, &st), "%s", st.message);
            t = data_next(s, &st);
            CHECK(t && hash_of(t) == hashes[j], "way %d: batch %d is the same after a resume", way, j);
            CHECK(at(first, 0, 0, 0, 0) == 0 && at(first, 1, 0, 0, 0) == 30 && at(first, 2, 0, 0, 0) == 60 && at(first, 0, 2, 0, 0) == 6, ".first: file order, central crops");
            tensor_free(first);
        }
        CHECK(!data_seek(s, (DataPos){ 1, 2 }, &st) && strstr(st.message, "epoch of 2"), "%s", st.message);
        st = (Status){ 0 };
        data_close(s), unmake(&m);
    }
    s = open_set(&m, 8, NULL, &st);
    const Tensor *t = data_next(s, &st);
    CHECK(t && hash_of(t) != hashes[0], "another seed, another batch");
    data_close(s), unmake(&m);
}

/* Windows of several sides scaled to one: the slope of a ramp tells the side. */
static void test_scaled_crops(void)
{
    Made    m;
    Status  st = { 0 };
    DataArg sides[] = { num(NULL, 10), num(NULL, 50) }, zoom[] = { num(NULL, 20), list(NULL, sides, 2) }, keep[] = { call("random_crop", zoom) };
    float   least = 1e9f, most = 0;
    keep[0].nitems = 2;
    write_picture("ramp.png", 10, 60, 60);
    make(&m, "ramp", "images", ARGS(str(NULL, "ramp.png"), num("size", 60), list("augment", keep, 1), list("range", (DataArg[]){ num(NULL, 0), num(NULL, 255) }, 2)));
    DataSet *s = data_open(&m.data, tmp, NULL, 3, NULL, &st);
    CHECK(s != NULL, "%s", st.message);
    for (int i = 0; s && i < 60; i++) {
        const Tensor *t = data_next(s, &st);
        CHECK(t && t->shape[2] == 20 && t->shape[3] == 20 && at(t, 0, 0, 7, 7) == 10, "%s", st.message);
        float across = (at(t, 0, 1, 9, 15) - at(t, 0, 1, 9, 5)) / 10 / 3 * 20, down = (at(t, 0, 2, 15, 9) - at(t, 0, 2, 5, 9)) / 10 / 3 * 20;
        CHECK(fabsf(across - down) < 1 && across > 9 && across < 51, "a window of %g x %g", (double)across, (double)down);
        least = fminf(least, across), most = fmaxf(most, across);
    }
    CHECK(least < 15 && most > 45, "windows of %g to %g", (double)least, (double)most);
    Tensor first[1];
    CHECK(s && data_first_items(s, 1, first, &st) && at(first, 0, 1, 0, 19) - at(first, 0, 1, 0, 0) == 57 && at(first, 0, 1, 0, 0) == 60, ".first is the middle, as it is");
    tensor_free(first);
    data_close(s), unmake(&m);
}

static void test_labels(void)
{
    Made     m;
    Status   st = { 0 };
    Tensor   first[2];
    write_picture("cls/zebra/1.png", 1, 8, 8);
    write_picture("cls/ant/x/2.png", 2, 8, 8);
    write_picture("cls/ant/3.png", 3, 8, 8);
    write_picture("cls/ant/z.png", 4, 8, 8);
    make(&m, "c", "labelled", ARGS(str(NULL, "cls"), num("size", 8)));
    DataSet *s = data_open(&m.data, tmp, NULL, 0, NULL, &st);
    CHECK(s && data_classes(s) == 3 && !strcmp(data_class_name(s, 1), "ant/x") && !strcmp(data_class_name(s, 2), "zebra"), "%s", st.message);
    CHECK(s && data_first_items(s, 4, first, &st), "%s", st.message);
    static const int ids[] = { 3, 2, 4, 1 }, labels[] = { 0, 1, 0, 2 };
    for (int i = 0; i < 4; i++)
        CHECK(lrintf(at(first, i, 0, 0, 0) * 255) == ids[i] && ((int32_t *)first[1].data)[i] == labels[i], "item %d", i);
    CHECK(first[1].rank == 1 && first[1].shape[0] == 4, "a label an item");
    tensor_free(&first[0]), tensor_free(&first[1]);
    data_close(s), unmake(&m);
    make(&m, "c", "labelled", ARGS(str(NULL, "cls"), num("size", 8), num("classes", 4)));
    CHECK(!data_open(&m.data, tmp, NULL, 0, NULL, &st) && strstr(st.message, "3 classes"), "%s", st.message);
    unmake(&m);
    write_picture("cls/stray.png", 1, 8, 8);
    st = (Status){ 0 };
    make(&m, "c", "labelled", ARGS(str(NULL, "cls"), num("size", 8)));
    CHECK(!data_open(&m.data, tmp, NULL, 0, NULL, &st) && strstr(st.message, "stray.png"), "%s", st.message);
    unmake(&m);
}

static void test_damage(void)
{
    Made   m;
    Status st = { 0 };
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "bad/p%d.png", i);
        write_picture(name, 10 * i, 8, 8);
    }
    char *broken = path_join(tmp, "bad/p1.png"), *empty = path_join(tmp, "bad/p3.jpg");
    CHECK(file_write(broken, "\x89PNG\r\n\x1a\n garbage", 16, &st) && file_write(empty, "", 0, &st), "%s", st.message);
    make(&m, "b", "images", ARGS(str(NULL, "bad"), num("size", 8), num("batch", 5)));
    DataSet      *s = data_open(&m.data, tmp, NULL, 0, NULL, &st);
    const Tensor *t = data_next(s, &st);
    CHECK(t, "bad pictures are skipped: %s", st.message);
    static const int ids[] = { 0, 20, 20, 30, 0 };         /* p0, p1 (next good: p2), p2, p3.jpg (next: p3.png), p3.png ... in file order p0 p1 p2 p3.jpg p3.png */
    int right = 0;
    for (int i = 0; t && i < 4; i++)
        right += lrintf(at(t, i, 0, 0, 0) * 255) == ids[i];
    CHECK(right == 4, "%d of 4 items are the next good ones", right);
    CHECK(data_bad(s) == 2 && strstr(data_bad_message(s, 0), "p1.png") && strstr(data_bad_message(s, 1), "p3.jpg"), "%lld bad: %s", (long long)data_bad(s), data_bad_message(s, 0));
    CHECK(data_next(s, &st) && data_bad(s) == 2, "each is counted once");
    data_close(s);
    DataOptions strict = { .strict = true };
    s = data_open(&m.data, tmp, NULL, 0, &strict, &st);
    CHECK(s && !data_next(s, &st) && strstr(st.message, "p1.png"), "strict: %s", st.message);
    data_close(s), unmake(&m);
    st = (Status){ 0 };
    char *all = path_join(tmp, "allbad/x.png");
    CHECK(file_write(all, "no", 2, &st), "%s", st.message);
    make(&m, "b", "images", ARGS(str(NULL, "allbad"), num("size", 8)));
    s = data_open(&m.data, tmp, NULL, 0, NULL, &st);
    CHECK(s && !data_next(s, &st) && strstr(st.message, "none of its 1 items") && strstr(st.message, "x.png"), "%s", st.message);
    data_close(s);
    st = (Status){ 0 };
    CHECK(!data_open(&m.data, tmp, "/nowhere", 0, NULL, &st) && strstr(st.message, "/nowhere"), "%s", st.message);
    st = (Status){ 0 };
    m.args[0].str = "gone/away";
    CHECK(!data_open(&m.data, tmp, NULL, 0, NULL, &st) && strstr(st.message, "gone/away") && strstr(st.message, "--data b=PATH"), "%s", st.message);
    unmake(&m);
    st = (Status){ 0 };
    make(&m, "b", "images", ARGS(str(NULL, "bad"), num("size", 8), num("batch", 64)));
    CHECK(!data_open(&m.data, tmp, NULL, 0, NULL, &st) && strstr(st.message, "5 items, fewer than batch: 64"), "%s", st.message);
    unmake(&m);
    free(broken), free(empty), free(all);
}

static void test_npy_and_scenes(void)
{
    Made    m;
    Status  st = { 0 };
    Tensor  a, first[2];
    char   *path = path_join(tmp, "rows.npy");
    int64_t shape[3] = { 6, 2, 3 };
    tensor_alloc(&a, DT_F32, 3, shape, &st);
    for (int i = 0; i < 36; i++)
        ((float *)a.data)[i] = (float)i / 4;
    CHECK(npy_write(path, &a, &st), "%s", st.message);
    CHECK(make(&m, "r", "npy", ARGS(str(NULL, path), num("batch", 2))) && m.data.fields[0].rank == 2 && field_dim(&m, 0, 1) == 3, "the shape is the file's");
    DataSet *s = data_open(&m.data, NULL, NULL, 0, NULL, &st);
    CHECK(s && data_items(s) == 6, "%s", st.message);
    data_next(s, &st);
    const Tensor *t = data_next(s, &st);
    CHECK(t && t->rank == 3 && !memcmp(t->data, (float *)a.data + 12, 48), "rows 2 and 3: %s", st.message);
    data_close(s), unmake(&m);
    CHECK(make(&m, "r", "npy", ARGS(str(NULL, "elsewhere.npy"), list("shape", (DataArg[]){ num(NULL, 3), num(NULL, 2) }, 2))), "a shape replaces the file");
    m.args[1].items = (DataArg[]){ num(NULL, 3), num(NULL, 2) };
    CHECK(!data_open(&m.data, NULL, path, 0, NULL, &st) && strstr(st.message, "another shape"), "%s", st.message);
    unmake(&m);
    tensor_free(&a);
    free(path);

    st = (Status){ 0 };
    make(&m, "sc", "scenes", ARGS(num("size", 16), num("count", 5), num("seed", 3), num("start", 2), num("batch", 2)));
    s = data_open(&m.data, NULL, NULL, 0, NULL, &st);
    CHECK(s && data_items(s) == 5 && data_first_items(s, 2, first, &st), "%s", st.message);
    float photo[3 * 16 * 16], comic[3 * 16 * 16], worst = 0;
    scene_render(3, 3, 16, photo, comic);
    for (int i = 0; i < 768; i++)
        worst = fmaxf(worst, fmaxf(fabsf(((float *)first[0].data)[768 + i] - photo[i]), fabsf(((float *)first[1].data)[768 + i] - comic[i])));
    CHECK(worst <= 0.5f / 255 + 1e-6f, "item 1 is scene start + 1 of the seed, in 8 bits: off by %g", (double)worst);
    tensor_free(&first[0]), tensor_free(&first[1]);
    data_close(s);
    write_picture("pairs/photo/a.png", 1, 16, 16);
    write_picture("pairs/comic/a.png", 2, 16, 16);
    write_picture("pairs/photo/b.png", 3, 16, 16);
    char *pairs = path_join(tmp, "pairs");
    CHECK(!data_open(&m.data, NULL, pairs, 0, NULL, &st) && strstr(st.message, "'b.png' has no partner"), "%s", st.message);
    write_picture("pairs/comic/b.png", 4, 16, 16);
    st = (Status){ 0 };
    s = data_open(&m.data, NULL, pairs, 0, NULL, &st);
    t = s ? data_next(s, &st) : NULL;
    CHECK(t && lrintf(at(&t[0], 1, 0, 0, 0) * 255) == 3 && lrintf(at(&t[1], 1, 0, 0, 0) * 255) == 4, "a folder of pairs in place of scenes: %s", st.message);
    data_close(s), unmake(&m);
    free(pairs);

    /* one look alone: the same scenes in one field, and any folder of pictures in its place */
    for (int k = 0; k < 2; k++) {
        make(&m, "sc", "scenes", ARGS(num("size", 16), num("count", 5), num("seed", 3), num("start", 2), num("batch", 2), str("look", k ? "comic" : "photo")));
        CHECK(m.data.nfields == 1 && !strcmp(m.data.fields[0].name, k ? "comic" : "photo"), "a look is one field of its name");
        for (int again = 0; again < 2; again++) {              /* drawn, then as kept */
            s = again ? s : data_open(&m.data, NULL, NULL, 0, NULL, &st);
            CHECK(s && data_first_items(s, 2, first, &st), "%s", st.message);
            worst = 0;
            for (int i = 0; i < 768; i++)
                worst = fmaxf(worst, fabsf(((float *)first[0].data)[768 + i] - (k ? comic : photo)[i]));
            CHECK(worst <= 0.5f / 255 + 1e-6f, "item 1 in one look: off by %g", (double)worst);
            tensor_free(&first[0]);
        }
        data_close(s);
        pairs = path_join(tmp, k ? "pairs/comic" : "pairs/photo");
        s = data_open(&m.data, NULL, pairs, 0, NULL, &st);
        t = s ? data_next(s, &st) : NULL;
        CHECK(t && lrintf(at(&t[0], 1, 0, 0, 0) * 255) == (k ? 4 : 3), "a folder in place of scenes of one look: %s", st.message);
        data_close(s), unmake(&m);
        free(pairs);
    }
    wrong("scenes", 542, "'look' must be one of 'both', 'photo', 'comic'", "Did you mean 'comic'?", ARGS(num("size", 16), str("look", "comix")));
}

static void test_shared(void)
{
    if (access(SHARED_DIR "/data/mnist", R_OK)) {
        printf("skipped: no %s/data/mnist\n", SHARED_DIR);
        return;
    }
    Made   m;
    Status st = { 0 };
    Tensor first[2];
    make(&m, "digits", "mnist", ARGS(str(NULL, SHARED_DIR "/data/mnist"), num("batch", 64)));
    DataSet *s = data_open(&m.data, NULL, NULL, 0, NULL, &st);
    CHECK(s && data_items(s) == 10000 && data_classes(s) == 10, "%s", st.message);
    CHECK(s && data_first_items(s, 5, first, &st), "%s", st.message);
    static const int labels[] = { 7, 2, 1, 0, 4 };
    for (int i = 0; i < 5; i++)
        CHECK(((int32_t *)first[1].data)[i] == labels[i], "digit %d", i);
    double ink = 0;
    for (int64_t i = 0; i < 784; i++)
        ink += ((float *)first[0].data)[i];
    CHECK(first[0].shape[1] == 1 && first[0].shape[2] == 28 && ink > 50 && ink < 200, "the first digit has %g pixels of ink", ink);
    tensor_free(&first[0]), tensor_free(&first[1]);
    data_close(s), unmake(&m);
    make(&m, "digits", "mnist", ARGS(str(NULL, SHARED_DIR "/data/mnist"), str("split", "train")));
    CHECK(!data_open(&m.data, NULL, NULL, 0, NULL, &st) && strstr(st.message, "train-images"), "%s", st.message);
    unmake(&m);
    st = (Status){ 0 };
    make(&m, "sprites", "labelled", ARGS(str(NULL, SHARED_DIR "/data/sprites"), num("size", 64), num("batch", 64), yes("shuffle"), str("alpha", "white")));
    s = data_open(&m.data, NULL, NULL, 0, NULL, &st);
    CHECK(s && data_items(s) == 2264 && data_classes(s) > 50, "%s", st.message);
    for (int i = 0; s && i < 36; i++)
        CHECK(data_next(s, &st), "%s", st.message);
    CHECK(s && data_bad(s) == 0, "all sprites are read");
    data_close(s), unmake(&m);
}

int main(void)
{
    if (!mkdtemp(tmp))
        return 1;
    make_set();
    test_describe();
    test_geometry();
    test_order();
    test_scaled_crops();
    test_labels();
    test_damage();
    test_npy_and_scenes();
    test_shared();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", tmp);
    return check_done() || system(command);
}
