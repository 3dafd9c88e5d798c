/* test_image.c - pictures in and out: PngSuite against its references, damaged files, resizing against Pillow, grids, and random damage. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "files.h"
#include "image.h"
#include "resample.h"
#include "safetensors.h"

static char tmp[] = "/tmp/pastiche_image_XXXXXX";

static char *in_tmp(const char *name)
{
    return path_join(tmp, name);
}

/* Calls fn for every file of a shared folder; their number. */
static int each_file(const char *dir, void (*fn)(const char *path, const char *name))
{
    DIR *d = opendir(dir);
    int  n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            char *path = path_join(dir, e->d_name);
            fn(path, e->d_name);
            free(path);
            n++;
        }
    if (d)
        closedir(d);
    else
        printf("skipped: no folder %s\n", dir);
    return n;
}

static void check_damaged(const char *path, const char *name)
{
    Image  im;
    Status st = { 0 };
    bool   ok = image_read(path, &im, &st);
    CHECK(ok != st.failed && ok == (im.px != NULL), "%s: result and status disagree", name);
    CHECK(ok || strstr(st.message, name), "%s: the message does not name the file: %s", name, st.message);
    image_free(&im);
}

/* Pixels of any picture as RGBA. */
static void rgba_at(const Image *im, int i, uint8_t p[4])
{
    const uint8_t *s = im->px + i * im->channels;
    int            c = im->channels;
    for (int k = 0; k < 3; k++)
        p[k] = s[c >= 3 ? k : 0];
    p[3] = c == 2 ? s[1] : c == 4 ? s[3] : 255;
}

static void check_primary(const char *path, const char *name)
{
    Image  im, want;
    Status st = { 0 };
    char   ref[512];
    snprintf(ref, sizeof ref, "%s/data/png/primary_check/%s", SHARED_DIR, name);
    bool ok = image_read(path, &im, &st) && image_read(ref, &want, &st);
    CHECK(ok, "%s: %s", name, st.message);
    if (!ok)
        return;
    int wrong = im.w != want.w || im.h != want.h;
    for (int i = 0; !wrong && i < im.w * im.h; i++) {
        uint8_t a[4], b[4];
        rgba_at(&im, i, a);
        rgba_at(&want, i, b);
        wrong = memcmp(a, b, a[3] || b[3] ? 4 : 0) != 0;       /* colours under full transparency are nobody's */
    }
    CHECK(!wrong, "%s: pixels differ from the reference", name);
    image_free(&im);
    image_free(&want);
}

static void test_resample(void)
{
    Status    st = { 0 };
    SafeFile *f = safe_open(SOURCE_DIR "/tests/fixtures/resample.safetensors", &st);
    CHECK(f, "%s", st.message);
    if (!f)
        return;
    Tensor in, want;
    int    compared = 0;
    CHECK(safe_read(f, safe_find(f, "input"), &in, &st), "%s", st.message);
    for (uint32_t i = 0; i < f->n; i++) {
        const SafeTensor *t = &f->tensors[i];
        if (!strcmp(t->name, "input"))
            continue;
        int    oh = (int)t->shape[0], ow = (int)t->shape[1], h = (int)in.shape[0], w = (int)in.shape[1];
        Filter kind = strncmp(t->name, "bicubic", 7) ? FILTER_BILINEAR : FILTER_BICUBIC;
        float *got = malloc(sizeof(float) * (size_t)(oh * ow)), worst = 0;
        safe_read(f, t, &want, &st);
        CHECK(resample(in.data, 1, h, w, oh, ow, kind, got, &st), "%s", st.message);
        for (int k = 0; k < oh * ow; k++)
            worst = fmaxf(worst, fabsf(got[k] - ((float *)want.data)[k]));
        CHECK(worst < 1e-3f, "%s: differs from Pillow by %g", t->name, worst);
        if (oh > 4 && ow > 4) {                                /* a window is the same pixels as the whole */
            float *part = malloc(sizeof(float) * (size_t)((oh - 3) * (ow - 4)));
            resample_window(in.data, 1, h, w, oh, ow, 2, 1, oh - 3, ow - 4, kind, part, &st);
            int wrong = 0;
            for (int y = 0; y < oh - 3; y++)
                wrong += memcmp(part + y * (ow - 4), got + (y + 2) * ow + 1, sizeof(float) * (size_t)(ow - 4)) != 0;
            CHECK(!wrong, "%s: a window differs from the whole", t->name);
            free(part);
        }
        free(got);
        tensor_free(&want);
        compared++;
    }
    CHECK(compared == 12, "%d pictures compared", compared);
    float same[4] = { 1, 2, 3, 250 }, out[16];
    resample(same, 1, 2, 2, 4, 4, FILTER_NEAREST, out, &st);
    CHECK(out[0] == 1 && out[1] == 1 && out[2] == 2 && out[15] == 250 && out[12] == 3, "nearest");
    resample(same, 1, 2, 2, 2, 2, FILTER_BICUBIC, out, &st);
    CHECK(!memcmp(out, same, sizeof same), "the same size changes nothing");
    tensor_free(&in);
    safe_close(f);
}

static void test_convert(void)
{
    Status  st = { 0 };
    uint8_t px[8] = { 200, 100, 50, 128, 10, 20, 30, 0 };
    Image   im = { .w = 2, .h = 1, .channels = 4, .px = malloc(8) };
    memcpy(im.px, px, 8);
    CHECK(image_convert(&im, 3, ALPHA_WHITE, &st) && im.channels == 3, "%s", st.message);
    /* 200 * 128/255 + 255 * 127/255 = 227.39 */
    CHECK(im.px[0] == 227 && im.px[1] == 177 && im.px[2] == 152 && im.px[3] == 255 && im.px[5] == 255, "%d %d %d", im.px[0], im.px[1], im.px[2]);
    CHECK(image_convert(&im, 1, ALPHA_WHITE, &st) && im.px[1] == 255, "white stays white in grey: %d", im.px[1]);
    CHECK(im.px[0] == 189, "0.299 * 227 + 0.587 * 177 + 0.114 * 152 = 189.1, not %d", im.px[0]);
    image_free(&im);
    im = (Image){ .w = 2, .h = 1, .channels = 4, .px = malloc(8) };
    memcpy(im.px, px, 8);
    CHECK(image_convert(&im, 3, ALPHA_DROP, &st) && im.px[0] == 200 && im.px[4] == 20, "dropped alpha keeps colours");
    image_free(&im);
}

static void test_tensors(void)
{
    Status  st = { 0 };
    Tensor  t, back;
    int64_t shape[4] = { 5, 3, 2, 3 };
    char   *png = in_tmp("deep/er/grid.png"), *jpg = in_tmp("one.jpg");
    Image   im;
    tensor_alloc(&t, DT_F32, 4, shape, &st);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        ((float *)t.data)[i] = (float)((i % 256) / 127.5 - 1);
    ((float *)t.data)[0] = NAN, ((float *)t.data)[1] = 9, ((float *)t.data)[2] = -9;
    CHECK(image_from_tensor(&t, 0, -1, 1, &im, &st), "%s", st.message);
    CHECK(im.px[0] == 0 && im.px[3] == 255 && im.px[6] == 0 && im.px[9] == 3, "NaN, clipping, rounding: %d %d %d %d", im.px[0], im.px[3], im.px[6], im.px[9]);
    image_free(&im);
    CHECK(!image_from_tensor(&t, 5, -1, 1, &im, &st), "picture 5 of 5");
    st = (Status){ 0 };
    CHECK(image_write_grid(png, &t, -1, 1, 0, 0, 2, &st), "%s", st.message);
    CHECK(image_read(png, &im, &st), "%s", st.message);
    CHECK(im.w == 3 * 3 + 2 * 2 && im.h == 2 * 2 + 2 && im.channels == 3, "grid of 5 is 3 x 2: %d x %d", im.w, im.h);
    /* picture 4 stands in row 1, column 1; its first red value is element 72 */
    CHECK(im.px[(4 * im.w + 5) * 3] == 72 && im.px[(2 * im.w) * 3] == 32, "pictures and gaps stand where they should");
    image_free(&im);
    CHECK(image_read_tensor(png, 1, ALPHA_WHITE, 0, 1, &back, &st) && back.rank == 4 && back.shape[1] == 1 && back.shape[3] == 13, "%s", st.message);
    tensor_free(&back);
    tensor_free(&t);

    int64_t big[3] = { 1, 64, 48 };
    tensor_alloc(&t, DT_F64, 3, big, &st);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        ((double *)t.data)[i] = 0.25 + 0.5 * (double)(i % 48) / 48;
    CHECK(image_from_tensor(&t, 0, 0, 1, &im, &st) && image_write(jpg, &im, &st), "%s", st.message);
    image_free(&im);
    CHECK(image_read_tensor(jpg, 1, ALPHA_WHITE, 0, 1, &back, &st), "%s", st.message);
    double worst = 0;
    for (int64_t i = 0; i < tensor_count(&t); i++)
        worst = fmax(worst, fabs(tensor_get(&back, i) - tensor_get(&t, i)));
    CHECK(worst < 0.03, "a smooth picture survives JPEG: %g", worst);
    CHECK(!image_write("/tmp/x.bmp", &(Image){ .w = 1, .h = 1, .channels = 1, .px = (uint8_t *)"a" }, &st) && strstr(st.message, ".png"), "%s", st.message);
    tensor_free(&t);
    tensor_free(&back);
    free(png);
    free(jpg);
}

/* Damage of every kind to sound files: nothing may be read or written out of place (run this under ASan and UBSan). */
static void test_random_damage(void)
{
    Status   st = { 0 };
    Image    im = { .w = 61, .h = 43, .channels = 3, .px = malloc(61 * 43 * 3) };
    uint64_t state = 88172645463325252u;
    int      refused = 0, decoded = 0;
    for (int i = 0; i < 61 * 43 * 3; i++)
        im.px[i] = (uint8_t)(i * 7 + i * i % 61 + i / 183 * i % 13);
    for (int kind = 0; kind < 2; kind++) {
        char    *path = in_tmp(kind ? "d.jpg" : "d.png");
        uint8_t *sound;
        size_t   n;
        CHECK(image_write(path, &im, &st) && file_read(path, 1 << 20, &sound, &n, &st), "%s", st.message);
        for (int round = 0; round < 400; round++) {
            uint8_t *bad = malloc(n);
            size_t   m = n;
            Image    got;
            Status   why = { 0 };
            memcpy(bad, sound, n);
            for (int k = 0; k <= round % 4; k++) {
                state ^= state << 13, state ^= state >> 7, state ^= state << 17;
                if (round % 5 == 4)
                    m = state % n;
                else
                    bad[(state >> 8) % (round % 2 || n < 200 ? n : 200)] ^= (uint8_t)(1 << (state & 7));
            }
            uint8_t *exact = malloc(m ? m : 1);                /* so that one byte past the end is seen */
            memcpy(exact, bad, m);
            if (image_decode(exact, m, "damaged", &got, &why))
                decoded++;
            else
                refused++;
            image_free(&got);
            free(exact);
            free(bad);
        }
        free(sound);
        free(path);
    }
    CHECK(refused > 100 && decoded > 100, "%d refused, %d decoded: the damage tests both ways", refused, decoded);
    image_free(&im);
}

static void test_limits(void)
{
    /* a PNG header that claims 16384 x 6000 pixels, and nothing else */
    static const uint8_t shell[] = { 0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0x40, 0, 0, 0, 0x17, 0x70, 8, 2, 0, 0, 0, 0, 0, 0, 0 };
    uint8_t wide[sizeof shell], scans[8192];
    Image   im;
    Status  st = { 0 };
    CHECK(!image_decode(shell, sizeof shell, "shell.png", &im, &st) && strstr(st.message, "cannot hold"), "%s", st.message);
    memcpy(wide, shell, sizeof shell);
    wide[18] = 0x41;
    st = (Status){ 0 };
    CHECK(!image_decode(wide, sizeof wide, "wide.png", &im, &st) && strstr(st.message, "wide.png"), "%s", st.message);
    st = (Status){ 0 };
    CHECK(!image_read(SOURCE_DIR, &im, &st) && strstr(st.message, "folder"), "%s", st.message);
    st = (Status){ 0 };
    CHECK(!image_read("/nowhere/x.png", &im, &st) && strstr(st.message, "/nowhere/x.png"), "%s", st.message);
    /* a JPEG with 600 scans costs 600 passes over the picture; here empty scans, each with its length */
    static const uint8_t start[] = { 0xFF, 0xD8, 0xFF, 0xC2, 0, 11, 8, 0, 64, 0, 64, 1, 1, 0x11, 0 }, scan[] = { 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 0, 0 };
    memcpy(scans, start, sizeof start);
    size_t n = sizeof start;
    for (int i = 0; i < 600; i++, n += sizeof scan)
        memcpy(scans + n, scan, sizeof scan);
    st = (Status){ 0 };
    CHECK(!image_decode(scans, n, "scans.jpg", &im, &st) && strstr(st.message, "scans than"), "%s", st.message);
    /* a Huffman table of 2 * 255 codes: stb_image 2.27 keeps 256 */
    uint8_t table[600] = { 0xFF, 0xD8, 0xFF, 0xC4, 2, 0x13, 0, 0, 0, 0, 0, 0, 0, 255, 255 };
    st = (Status){ 0 };
    CHECK(!image_decode(table, sizeof table, "table.jpg", &im, &st) && strstr(st.message, "256 codes"), "%s", st.message);
}

int main(void)
{
    if (!mkdtemp(tmp))
        return 1;
    CHECK(each_file(SHARED_DIR "/data/png/corrupt", check_damaged) || access(SHARED_DIR "/data", F_OK), "no corrupt PNG files");
    CHECK(each_file(SHARED_DIR "/data/jpeg/corrupt", check_damaged) || access(SHARED_DIR "/data", F_OK), "no corrupt JPEG files");
    CHECK(each_file(SHARED_DIR "/data/png/primary", check_primary) || access(SHARED_DIR "/data", F_OK), "no PngSuite files");
    test_resample();
    test_convert();
    test_tensors();
    test_random_damage();
    test_limits();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", tmp);
    return check_done() || system(command);
}
