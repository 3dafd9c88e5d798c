/* test_safetensors.c - named tensors: round trips, the reference writer's files, and every rule of the reader broken once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "files.h"
#include "safetensors.h"

static char path[] = "/tmp/pastiche_safe_XXXXXX";

/* Parses header + `data` zero bytes from a block of exactly that size. */
static SafeFile *parse(const char *header, size_t data, uint8_t **block, Status *st)
{
    size_t n = strlen(header);
    *block = calloc(1, 8 + n + data);
    for (int i = 0; i < 8; i++)
        (*block)[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(*block + 8, header, n);
    *st = (Status){ 0 };
    return safe_parse(*block, 8 + n + data, "x.safetensors", st);
}

static void refused(const char *header, size_t data, const char *why)
{
    uint8_t  *block;
    Status    st;
    SafeFile *f = parse(header, data, &block, &st);
    CHECK(!f && strstr(st.message, why) && strstr(st.message, "x.safetensors"), "%s: '%s'", header, st.message);
    safe_close(f);
    free(block);
}

static void accepted(const char *header, size_t data, uint32_t tensors)
{
    uint8_t  *block;
    Status    st;
    SafeFile *f = parse(header, data, &block, &st);
    CHECK(f && f->n == tensors, "%s: '%s'", header, st.message);
    safe_close(f);
    free(block);
}

#define T(name, dtype, shape, a, b) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #a "," #b "]}"

static void test_rules(void)
{
    accepted("{}", 0, 0);
    accepted("{ \"__metadata__\" : {} }   ", 0, 0);
    accepted("{" T("a", "F32", "[2]", 0, 8) "," T("b", "BOOL", "[]", 8, 9) "}", 9, 2);
    accepted("{" T("b", "F32", "[2]", 8, 16) "," T("a", "I64", "[1,1]", 0, 8) "," T("e", "F32", "[0,3]", 8, 8) "}", 16, 3);
    accepted("{\"a\":{\"shape\":[1],\"data_offsets\":[0,2],\"dtype\":\"BF16\"}}", 2, 1);
    refused("{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 8, 16) "}", 16, "two tensors are called 'a'");
    refused("{" T("a", "F32", "[2]", 0, 8) "," T("\\u0061", "F32", "[2]", 8, 16) "}", 16, "two tensors are called 'a'");
    refused("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "'k' twice");
    refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "two lots");
    refused("{\"__metadata__\":{\"k\":1}}", 0, "JSON");
    refused("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 12, 20) "}", 20, "a hole");
    refused("{" T("a", "F32", "[2]", 4, 12) "}", 12, "a hole");
    refused("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", 12, "an overlap");
    refused("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 0, 8) "}", 8, "an overlap");
    refused("{" T("a", "F32", "[2]", 0, 8) "}", 9, "end at byte 8 and the file at 9");
    refused("{" T("a", "F32", "[2]", 0, 8) "}", 7, "end at byte 8 and the file at 7");
    refused("{" T("a", "F32", "[2]", 0, 4) "}", 4, "offsets");
    refused("{" T("a", "F32", "[2]", 8, 0) "}", 8, "offsets");
    refused("{" T("a", "F32", "[4294967296,4294967296,4]", 0, 8) "}", 8, "overflows");
    refused("{" T("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, "overflows");
    refused("{" T("a", "F32", "[99999999999999999999]", 0, 8) "}", 8, "too large");
    refused("{" T("a", "F32", "[-1]", 0, 8) "}", 8, "whole number");
    refused("{" T("a", "F32", "[2.0]", 0, 8) "}", 8, "JSON");
    refused("{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", 8, "8 axes");
    refused("{" T("a", "F8_E4M3", "[8]", 0, 8) "}", 8, "element type");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "incomplete");
    refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "unknown or repeated");
    refused("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "repeated");
    refused("{" T("a", "F32", "[2]", 0, 8) "} x", 8, "after the header's end");
    refused("{" T("a", "F32", "[2]", 0, 8) ",}", 8, "JSON");
    refused("{" T("a\\n", "F32", "[2]", 0, 8) "}", 8, "control character");
    refused("{" T("a\n", "F32", "[2]", 0, 8) "}", 8, "control character");
    refused("{" T("a\\ud800", "F32", "[2]", 0, 8) "}", 8, "escape");
    refused("{" T("a\\u0000", "F32", "[2]", 0, 8) "}", 8, "escape");
    refused("{\"a", 0, "no end");
    refused("{\"a\\", 0, "no end");
    refused("", 0, "JSON");
    refused("[", 0, "JSON");
    uint8_t   huge[16] = { 0, 0, 0, 0, 1 };
    Status    st = { 0 };
    SafeFile *f = safe_parse(huge, sizeof huge, "h", &st);
    CHECK(!f && strstr(st.message, "cut short"), "%s", st.message);
    st = (Status){ 0 };
    CHECK(!safe_parse(huge, 7, "h", &st), "7 bytes");
}

static void test_elements(void)
{
    uint8_t  *block;
    Status    st;
    SafeFile *f = parse("{" T("half", "F16", "[5]", 0, 10) "," T("brain", "BF16", "[2]", 10, 14) "," T("bytes", "I8", "[2]", 14, 16) "," T("long", "I64", "[2]", 16, 32)
                        "," T("f", "BOOL", "[2]", 32, 34) "}", 34, &block, &st);
    CHECK(f, "%s", st.message);
    if (!f)
        return;
    static const uint16_t half[] = { 0x3C00, 0xC500, 0x0001, 0x7C00, 0x03FF }, brain[] = { 0x3F80, 0xC0A0 };
    uint8_t *d = block + f->data;
    int64_t  longs[2] = { -7, INT32_MAX };
    memcpy(d, half, 10), memcpy(d + 10, brain, 4), memcpy(d + 16, longs, 16);
    d[14] = 0xFF, d[15] = 5, d[33] = 2;
    Tensor t;
    CHECK(safe_read(f, safe_find(f, "half"), &t, &st) && t.dtype == DT_F32, "%s", st.message);
    CHECK(tensor_get(&t, 0) == 1 && tensor_get(&t, 1) == -5 && tensor_get(&t, 2) == 0x1p-24 && isinf(tensor_get(&t, 3)) && tensor_get(&t, 4) == 1023 * 0x1p-24, "F16");
    tensor_free(&t);
    CHECK(safe_read(f, safe_find(f, "brain"), &t, &st) && tensor_get(&t, 0) == 1 && tensor_get(&t, 1) == -5, "BF16");
    tensor_free(&t);
    CHECK(safe_read(f, safe_find(f, "bytes"), &t, &st) && tensor_get(&t, 0) == -1 && tensor_get(&t, 1) == 5, "I8");
    tensor_free(&t);
    CHECK(safe_read(f, safe_find(f, "long"), &t, &st) && t.dtype == DT_I32 && tensor_get(&t, 0) == -7 && tensor_get(&t, 1) == INT32_MAX, "I64");
    tensor_free(&t);
    CHECK(safe_read(f, safe_find(f, "f"), &t, &st) && t.dtype == DT_BOOL && tensor_get(&t, 0) == 0 && ((uint8_t *)t.data)[1] == 1, "BOOL");
    tensor_free(&t);
    longs[0] = (int64_t)INT32_MAX + 1;
    memcpy(d + 16, longs, 16);
    CHECK(!safe_read(f, safe_find(f, "long"), &t, &st) && strstr(st.message, "'long'"), "%s", st.message);
    CHECK(!safe_find(f, "nothing") && !safe_meta(f, "nothing"), "what is not there");
    safe_close(f);
    free(block);
}

static Tensor ramp(Dtype dtype, int rank, const int64_t *shape, double from)
{
    Tensor t;
    Status st = { 0 };
    tensor_alloc(&t, dtype, rank, shape, &st);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        tensor_set(&t, i, dtype == DT_BOOL ? i % 3 == 1 : from + (double)i * 0.5);
    return t;
}

static void test_write(void)
{
    Status   st = { 0 };
    Tensor   a = ramp(DT_F32, 2, (int64_t[]){ 3, 5 }, -1), b = ramp(DT_BOOL, 1, (int64_t[]){ 7 }, 0), c = ramp(DT_F64, 0, NULL, 3), d = ramp(DT_I32, 1, (int64_t[]){ 0 }, 0);
    SafeItem items[] = { { "z.bool", &b }, { "G.weight \"q\"", &a }, { "scalar", &c }, { "empty", &d } }, again[] = { items[3], items[2], items[1], items[0] };
    SafeMeta meta[] = { { "step", "12" }, { "line", "a\nb\t\x01 \xC3\xA9\\" } }, meta2[] = { meta[1], meta[0] };
    uint8_t *one, *two;
    size_t   n1, n2;
    CHECK(safe_write(path, items, 4, meta, 2, false, &st) && file_read(path, 1 << 20, &one, &n1, &st), "%s", st.message);
    CHECK(safe_write(path, again, 4, meta2, 2, false, &st) && file_read(path, 1 << 20, &two, &n2, &st), "%s", st.message);
    CHECK(n1 == n2 && !memcmp(one, two, n1), "the order of items shows");
    free(one), free(two);
    SafeFile *f = safe_open(path, &st);
    CHECK(f && f->n == 4 && f->nmeta == 2 && f->data % 8 == 0, "%s", st.message);
    CHECK(f && safe_meta(f, "line") && !strcmp(safe_meta(f, "line"), meta[1].value), "escapes in metadata");
    Tensor a2 = ramp(DT_F32, 2, (int64_t[]){ 3, 5 }, 100), b2 = ramp(DT_BOOL, 1, (int64_t[]){ 7 }, 0), c2 = ramp(DT_F32, 0, NULL, 9), d2 = ramp(DT_I32, 1, (int64_t[]){ 0 }, 0);
    memset(b2.data, 0, 7);
    SafeItem into[] = { { "z.bool", &b2 }, { "net.G.weight \"q\"", &a2 }, { "scalar", &c2 }, { "empty", &d2 } };
    CHECK(safe_load(f, into, 4, "net.", true, NULL, &st), "%s", st.message);
    CHECK(!memcmp(a.data, a2.data, 60) && !memcmp(b.data, b2.data, 7) && tensor_get(&c2, 0) == 3, "values survive, f64 into f32");

    Text   list = { 0 };
    Tensor wrong = ramp(DT_F32, 2, (int64_t[]){ 5, 3 }, 50);
    memset(a2.data, 0, 60);
    SafeItem bad[] = { { "G.weight \"q\"", &wrong }, { "missing one", &a2 }, { "scalar", &c2 } };
    CHECK(!safe_load(f, bad, 3, NULL, true, &list, &st), "wrong tensors are refused");
    CHECK(list.at && strstr(list.at, "misshapen 'G.weight \"q\"' [3, 5], should be [5, 3]") && strstr(list.at, "missing 'missing one'") && strstr(list.at, "extra 'z.bool'") &&
          strstr(list.at, "extra 'empty'"), "the list names all four: %s", list.at);
    CHECK(strstr(st.message, "4 of its tensors"), "%s", st.message);
    CHECK(tensor_get(&wrong, 0) == 50, "nothing is changed by a refused file");
    st = (Status){ 0 };
    CHECK(safe_load(f, into + 2, 1, NULL, false, NULL, &st), "extra tensors are fine unless exact: %s", st.message);
    text_free(&list);
    safe_close(f);
    SafeItem twice[] = { { "a", &a }, { "b", &c }, { "a", &b } };
    CHECK(!safe_write(path, twice, 3, NULL, 0, false, &st) && strstr(st.message, "two tensors"), "%s", st.message);
    f = safe_open(path, &st);
    CHECK(f && f->n == 4, "a failed write leaves the old file");
    safe_close(f);
    Tensor *all[] = { &a, &b, &c, &d, &a2, &b2, &c2, &d2, &wrong };
    for (size_t i = 0; i < COUNT(all); i++)
        tensor_free(all[i]);
}

/* What F16 `expected` of n floats is written. */
static bool writes_half(float *f, int64_t n, const uint16_t *expected)
{
    Status   st = { 0 };
    Tensor   t = { .dtype = DT_F32, .rank = 1, .shape = { n }, .data = f };
    SafeItem item = { "h", &t };
    uint8_t *bytes;
    size_t   size;
    bool     same = safe_write(path, &item, 1, NULL, 0, true, &st) && file_read(path, 1 << 20, &bytes, &size, &st);
    CHECK(same, "%s", st.message);
    for (int64_t i = 0; same && i < n; i++) {
        uint16_t h;
        memcpy(&h, bytes + size - 2 * (size_t)(n - i), 2);
        same = h == expected[i];
        CHECK(same, "%a is written as %04x, not %04x", (double)f[i], h, expected[i]);
    }
    if (!st.failed)
        free(bytes);
    return same;
}

/* Every half, and every float right between two neighbours or just beside that. */
static void test_half(void)
{
    enum { N = 0x7C00 };                                   /* finite ones of one sign */
    static uint8_t  file[16384 + 2 * N];
    static float    between[4 * N];
    static uint16_t expected[4 * N];
    char            head[128];
    int             length = snprintf(head, sizeof head, "{\"h\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", N, 2 * N);
    Status          st = { 0 };
    Tensor          t;
    memcpy(file, (uint8_t[8]){ (uint8_t)length }, 8);
    memcpy(file + 8, head, (size_t)length);
    for (int i = 0; i < N; i++)
        memcpy(file + 8 + length + 2 * i, &(uint16_t){ (uint16_t)i }, 2);
    SafeFile *f = safe_parse(file, 8 + (size_t)length + 2 * N, "halves", &st);
    CHECK(f && safe_read(f, &f->tensors[0], &t, &st), "%s", st.message);
    if (st.failed)
        return;
    const float *v = t.data;
    for (int i = 0, k = 0; i < N; i++, k += 4) {
        float above = i + 1 < N ? v[i + 1] : 65536, middle = 0.5f * (v[i] + above);
        between[k] = v[i], expected[k] = (uint16_t)i;
        between[k + 1] = nextafterf(middle, 0), expected[k + 1] = (uint16_t)i;
        between[k + 2] = -(i + 1 < N ? middle : v[i]), expected[k + 2] = (uint16_t)(0x8000 | (i + 1 < N ? i + (i & 1) : i));
        between[k + 3] = i + 1 < N ? nextafterf(middle, above) : INFINITY, expected[k + 3] = (uint16_t)(i + 1);
    }
    CHECK(writes_half(between, 4 * N, expected), "halves");
    Tensor   big = ramp(DT_F32, 1, (int64_t[]){ 2 }, 65520), whole = ramp(DT_I32, 1, (int64_t[]){ 2 }, 70000);
    SafeItem items[] = { { "b", &big }, { "i", &whole } };
    CHECK(!safe_write(path, items, 2, NULL, 0, true, &st) && strstr(st.message, "'b' holds 65520, too large for 16 bits"), "%s", st.message);
    safe_close(f);
    tensor_free(&t), tensor_free(&big), tensor_free(&whole);
}

/* Single flipped bits and cuts in a sound file: refused or read, never out of bounds. */
static void test_random_damage(void)
{
    uint8_t *sound, *bad;
    size_t   n;
    Status   st = { 0 };
    int      refusals = 0;
    if (!file_read(path, 1 << 20, &sound, &n, &st))
        return;
    for (size_t i = 0; i < n * 8; i++) {
        size_t m = i % 8 == 7 ? i / 8 : n;
        bad = malloc(m + !m);
        memcpy(bad, sound, m);
        if (m == n)
            bad[i / 8] ^= (uint8_t)(1 << i % 8);
        Status    why = { 0 };
        SafeFile *f = safe_parse(bad, m, "damaged", &why);
        for (uint32_t k = 0; f && k < f->n; k++) {
            Tensor t;
            if (safe_read(f, &f->tensors[k], &t, &why))
                tensor_free(&t);
        }
        refusals += !f;
        safe_close(f);
        free(bad);
    }
    CHECK(refusals > (int)n, "%d refusals", refusals);
    free(sound);
}

static void test_shared(void)
{
    static const char *const files[] = { "fast_style_wave", "vgg19_small16x", "vgg19_normalised_relu3_1", "vgg19_small16x.expected" };
    for (size_t i = 0; i < COUNT(files); i++) {
        char   name[512];
        Status st = { 0 };
        snprintf(name, sizeof name, "%s/data/weights/%s.safetensors", SHARED_DIR, files[i]);
        if (access(name, R_OK)) {
            printf("skipped: no %s\n", name);
            continue;
        }
        SafeFile *f = safe_open(name, &st);
        int64_t   numbers = 0;
        CHECK(f, "%s", st.message);
        for (uint32_t k = 0; f && k < f->n; k++)
            numbers += f->tensors[k].count;
        CHECK(i != 0 || numbers == 1677638, "fast_style_wave holds 1,677,638 numbers, not %lld", (long long)numbers);
        safe_close(f);
    }
}

int main(void)
{
    close(mkstemp(path));
    test_rules();
    test_elements();
    test_half();
    test_write();
    test_random_damage();
    test_shared();
    unlink(path);
    return check_done();
}
