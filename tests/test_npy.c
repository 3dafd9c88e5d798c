/* test_npy.c - .npy files: round trips, NumPy's own output byte by byte, and headers that must be refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "files.h"
#include "npy.h"

static uint8_t buffer[4096];

/* A version 1 or 2 file with that header text and `data` bytes counting up from 1; its size. */
static size_t make(int version, const char *header, size_t data)
{
    size_t n = strlen(header), pre = version == 2 ? 12 : 10;
    memcpy(buffer, "\x93NUMPY", 6);
    buffer[6] = (uint8_t)version, buffer[7] = 0;
    buffer[8] = (uint8_t)n, buffer[9] = (uint8_t)(n >> 8), buffer[10] = buffer[11] = 0;
    memcpy(buffer + pre, header, n);
    for (size_t i = 0; i < data; i++)
        buffer[pre + n + i] = (uint8_t)(i + 1);
    return pre + n + data;
}

static bool parse(size_t n, Tensor *t, Status *st)
{
    *st = (Status){ 0 };
    uint8_t *exact = malloc(n + !n);                           /* one byte too far is seen by ASan */
    memcpy(exact, buffer, n);
    bool ok = npy_parse(exact, n, "x.npy", t, st);
    free(exact);
    return ok;
}

static void refused(int version, const char *header, size_t data, const char *why)
{
    Tensor t;
    Status st;
    CHECK(!parse(make(version, header, data), &t, &st) && strstr(st.message, why) && strstr(st.message, "x.npy"), "%s: %s", header, st.message);
}

static void test_read(void)
{
    Tensor t;
    Status st;
    CHECK(parse(make(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 6), &t, &st), "%s", st.message);
    CHECK(t.dtype == DT_I32 && t.rank == 2 && t.shape[1] == 3 && tensor_get(&t, 5) == 6, "u1 becomes i32");
    tensor_free(&t);
    CHECK(parse(make(2, "{ \"shape\":(3,),'fortran_order':False,'descr':\"|b1\"}", 3), &t, &st), "%s", st.message);
    CHECK(t.dtype == DT_BOOL && t.rank == 1 && tensor_get(&t, 2) == 1, "bool, keys in another order, version 2");
    tensor_free(&t);
    CHECK(parse(make(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }", 8), &t, &st), "%s", st.message);
    CHECK(t.dtype == DT_F64 && t.rank == 0, "a scalar");
    tensor_free(&t);
    CHECK(parse(make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7), }", 0), &t, &st), "an empty array: %s", st.message);
    tensor_free(&t);
    size_t  n = make(1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }", 16);
    int64_t values[2] = { -5, 1 << 20 };
    memcpy(buffer + n - 16, values, 16);
    CHECK(parse(n, &t, &st) && t.dtype == DT_I32 && tensor_get(&t, 0) == -5 && tensor_get(&t, 1) == 1 << 20, "i8: %s", st.message);
    tensor_free(&t);
    values[1] = (int64_t)1 << 40;
    memcpy(buffer + n - 16, values, 16);
    CHECK(!parse(n, &t, &st) && strstr(st.message, "does not fit"), "%s", st.message);
}

static void test_refused(void)
{
    refused(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 16, "Fortran");
    refused(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2), }", 16, ">f4");
    refused(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", 16, "|O");
    refused(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,), }", 16, "structured");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 15, "15 bytes");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 17, "17 bytes");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 16, "too large");
    refused(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", 0, "bytes of data");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 16, "damaged");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "axes");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-4,), }", 16, "damaged");
    refused(1, "{'descr': '<f4', 'fortran_order': False, }", 16, "damaged");
    refused(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 16, "damaged");
    refused(1, "{'descr': '<f4', 'more': 1, 'fortran_order': False, 'shape': (4,), }", 16, "damaged");
    refused(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), } x", 16, "damaged");
    refused(1, "{'descr': '<f4", 0, "structured");
    refused(1, "", 0, "damaged");
    refused(3, "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 16, "version 3");
    Tensor t;
    Status st;
    size_t n = make(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", 16);
    for (size_t cut = 0; cut < n; cut++)
        CHECK(!parse(cut, &t, &st), "a file cut at %zu of %zu is read", cut, n);
}

static void test_files(void)
{
    char    path[] = "/tmp/pastiche_npy_XXXXXX";
    int     fd = mkstemp(path);
    Status  st = { 0 };
    Tensor  t, back;
    int64_t shape[3] = { 2, 3, 700 };
    close(fd);
    tensor_alloc(&t, DT_F32, 3, shape, &st);
    for (int64_t i = 0; i < tensor_count(&t); i++)
        ((float *)t.data)[i] = (float)i / 7 - 3;
    ((float *)t.data)[5] = -0.0f, ((float *)t.data)[6] = INFINITY;
    CHECK(npy_write(path, &t, &st) && npy_read(path, &back, &st), "%s", st.message);
    CHECK(back.rank == 3 && back.shape[2] == 700 && !memcmp(t.data, back.data, (size_t)tensor_count(&t) * 4), "bits survive");
    tensor_free(&back);
    NpyFile f;
    float   part[10];
    CHECK(npy_open(&f, path, &st) && npy_read_range(&f, 1400, 10, part, &st), "%s", st.message);
    CHECK(!memcmp(part, (float *)t.data + 1400, sizeof part), "a part of a file");
    npy_close(&f);
    uint8_t *bytes;
    size_t   n;
    CHECK(file_read(path, 1 << 20, &bytes, &n, &st) && n == 128 + 4200 * 4, "the data start at byte 128 as NumPy's do: %zu", n);
    CHECK(!memcmp(bytes, "\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 700), } ", 75) && bytes[127] == '\n', "NumPy's own header");
    free(bytes);
    tensor_free(&t);
    CHECK(!npy_read("/nowhere/a.npy", &t, &st) && strstr(st.message, "/nowhere/a.npy"), "%s", st.message);
    unlink(path);
    const char *shared = SHARED_DIR "/data/weights/fast_style_wave.expected.npy";
    st = (Status){ 0 };
    if (access(shared, R_OK)) {
        printf("skipped: no %s\n", shared);
        return;
    }
    CHECK(npy_read(shared, &t, &st) && t.rank >= 3 && t.dtype == DT_F32, "%s", st.message);
    tensor_free(&t);
}

int main(void)
{
    test_read();
    test_refused();
    test_files();
    return check_done();
}
