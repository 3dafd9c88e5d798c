/* image.c - PNG and JPEG through stb_image, with the guards that reading strangers' files needs. The one file that includes stb_image (image_write.c has stb_image_write).
 *
 * stb_image's known holes are in formats and functions that are compiled out here (GIF, PIC, PNM, flipping, stdio). What remains is fenced:
 *   - the header is read first; sides, pixels, pixels a byte, and JPEG scans have caps
 *   - every allocation of one decode comes from a budget made from the header, and all of them are freed when the decode is over
 *   - STBI_ASSERT stays on: a failed one jumps out of the decoder and refuses the picture
 * 16-bit samples lose their low byte; gamma, profiles and EXIF are ignored, as torchvision and OpenCV do for pixels.
 */
#include "image.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "resample.h"

/* ---- the decoder's memory ---- */
typedef struct Block { struct Block *prev, *next; size_t size, pad; } Block;   /* 32 bytes: what follows stays 16-byte aligned */
typedef struct { size_t left; Block blocks; jmp_buf refuse; const char *broken; } Budget;
static _Thread_local Budget *budget;

static void *budget_alloc(size_t n)
{
    if (!budget || n > budget->left)
        return NULL;
    /* Zeroed: a damaged file may leave pixels unset, and what it decodes to must not depend on what the heap held. */
    Block *b = calloc(1, sizeof *b + n);
    if (!b)
        return NULL;
    budget->left -= n;
    *b = (Block){ .prev = &budget->blocks, .next = budget->blocks.next, .size = n };
    b->next->prev = b;
    budget->blocks.next = b;
    return b + 1;
}

static void budget_free(void *p)
{
    if (!p)
        return;
    Block *b = (Block *)p - 1;
    b->prev->next = b->next;
    b->next->prev = b->prev;
    budget->left += b->size;
    free(b);
}

static void *budget_realloc(void *p, size_t n)
{
    void *q = budget_alloc(n);
    if (p && q) {
        size_t was = ((Block *)p - 1)->size;
        memcpy(q, p, was < n ? was : n);
        budget_free(p);
    }
    return q;
}

static _Noreturn void budget_refuse(const char *what)
{
    budget->broken = what;
    longjmp(budget->refuse, 1);
}

static void budget_open(Budget *b, size_t bytes)
{
    *b = (Budget){ .left = bytes };
    b->blocks.prev = b->blocks.next = &b->blocks;
    budget = b;
}

static void budget_close(Budget *b)
{
    while (b->blocks.next != &b->blocks)
        budget_free(b->blocks.next + 1);
    budget = NULL;
}

/* Functions declared and compiled out are warned of at the end of the file, so this one is not popped. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_FAILURE_USERMSG
#define STBI_MAX_DIMENSIONS IMAGE_MAX_SIDE
#define STBI_ASSERT(x) ((x) ? (void)0 : budget_refuse(#x))
#define STBI_MALLOC(n) budget_alloc(n)
#define STBI_REALLOC(p, n) budget_realloc(p, n)
#define STBI_FREE(p) budget_free(p)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include "stb_image.h"
#pragma GCC diagnostic pop

/* ---- reading ---- */
/* Huffman tables of a DHT segment at p[i..n): stb_image 2.27 writes past its arrays when the 16 counts of one add up to more than 256. */
static bool check_tables(const uint8_t *p, size_t n, size_t i, int length)
{
    while (length > 0) {
        int total = 0;
        for (size_t k = 1; k <= 16; k++)
            total += i + k < n ? p[i + k] : 0;
        if (total > 256)
            return false;
        i += 17 + (size_t)total;
        length -= 17 + total;
    }
    return true;
}

/* Walks a JPEG's segments exactly as the decoder will (or further, where the decoder gives up) and says what is wrong with them, NULL when nothing is.
 *   marker FF xx, length, contents ... marker SOS, length, contents, coded data in which FF is followed by 00 or a restart D0..D7 ... marker EOI */
static const char *check_jpeg(const uint8_t *p, size_t n)
{
    int scans = 0;
    for (size_t i = 2; i + 1 < n;) {
        if (p[i] != 0xFF) {
            i++;
            continue;
        }
        while (i < n && p[i] == 0xFF)                      /* any number of them */
            i++;
        int marker = i < n ? p[i++] : 0xD9;
        if (marker == 0xD9)
            break;
        if (marker == 0 || (marker >= 0xD0 && marker <= 0xD7))
            continue;                                      /* within coded data */
        if (i + 2 > n)
            break;
        int length = (p[i] << 8 | p[i + 1]) - 2;
        if (marker == 0xC4 && !check_tables(p, n, i + 2, length))
            return "a Huffman table has more than 256 codes";
        if (marker == 0xDA && ++scans > IMAGE_MAX_SCANS)
            return "more scans than any real picture has";
        i += 2 + (size_t)(length > 0 ? length : 0);
    }
    return NULL;
}

static bool check_header(const uint8_t *bytes, size_t n, const char *name, int *w, int *h, int *channels, Status *st)
{
    static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n' };
    bool                 is_png = n >= 8 && !memcmp(bytes, png, 8), is_jpeg = n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8;
    if (!is_png && !is_jpeg)
        return status_fail(st, "'%s' is neither a PNG nor a JPEG file", name);
    if (n > IMAGE_MAX_FILE)
        return status_fail(st, "'%s' is too large: %zu bytes, at most %d are read", name, n, IMAGE_MAX_FILE);
    const char *wrong = is_jpeg ? check_jpeg(bytes, n) : NULL;
    if (wrong)
        return status_fail(st, "'%s' is damaged: %s", name, wrong);
    volatile int found = 0;
    Budget       b;
    int          iw = 0, ih = 0, ic = 0;
    budget_open(&b, 1 << 20);
    if (!setjmp(b.refuse))
        found = stbi_info_from_memory(bytes, (int)n, &iw, &ih, &ic);
    budget_close(&b);
    if (!found)
        return status_fail(st, "'%s' is damaged: %s", name, b.broken ? b.broken : "its header is not that of a picture");
    if (iw < 1 || ih < 1 || iw > IMAGE_MAX_SIDE || ih > IMAGE_MAX_SIDE || (int64_t)iw * ih > IMAGE_MAX_PIXELS)
        return status_fail(st, "'%s' is %d x %d: sides up to %d and %d million pixels are read", name, iw, ih, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20);
    if ((uint64_t)iw * (uint64_t)ih / IMAGE_MAX_PIXELS_PER_BYTE > n)
        return status_fail(st, "'%s' is damaged: %zu bytes cannot hold its %d x %d pixels", name, n, iw, ih);
    *w = iw, *h = ih, *channels = ic;
    return true;
}

bool image_decode(const uint8_t *bytes, size_t n, const char *name, Image *im, Status *st)
{
    int w, h, channels;
    *im = (Image){ 0 };
    if (!check_header(bytes, n, name, &w, &h, &channels, st))
        return false;
    /* The most a sound file needs: collected and inflated PNG data (each doubled while it grows) with its 16-bit and converted copies, or a
     * progressive JPEG's coefficients (2 bytes, padded planes up to 4 components) with planes and rows. */
    size_t   area = (size_t)w * (size_t)h, size;
    Budget   b;
    uint8_t *volatile px = NULL;
    budget_open(&b, (1u << 20) + 4 * n + 40 * area + 4096 * ((size_t)w + (size_t)h));
    if (!setjmp(b.refuse)) {
        int gw = 0, gh = 0, gc = 0;
        px = stbi_load_from_memory(bytes, (int)n, &gw, &gh, &gc, 0);
        if (px && (gw != w || gh != h || gc < 1 || gc > 4))
            budget_refuse("header and data disagree");
        channels = gc;
    }
    bool ok = px && !b.broken;
    if (ok) {
        size = area * (size_t)channels;
        *im = (Image){ .w = w, .h = h, .channels = channels, .px = malloc(size) };
        if (im->px)
            memcpy(im->px, px, size);
    }
    budget_close(&b);
    if (!ok)
        return status_fail(st, "'%s' is damaged: %s", name, b.broken ? b.broken : stbi_failure_reason() ? stbi_failure_reason() : "no picture found");
    return im->px || status_fail(st, "out of memory for '%s' (%d x %d)", name, w, h);
}

bool image_read(const char *path, Image *im, Status *st)
{
    uint8_t *bytes;
    size_t   n;
    *im = (Image){ 0 };
    if (!file_read(path, IMAGE_MAX_FILE, &bytes, &n, st))
        return false;
    bool ok = image_decode(bytes, n, path, im, st);
    free(bytes);
    return ok;
}

bool image_info(const char *path, int *w, int *h, int *channels, Status *st)
{
    uint8_t *bytes;
    size_t   n;
    if (!file_read(path, IMAGE_MAX_FILE, &bytes, &n, st))
        return false;
    bool ok = check_header(bytes, n, path, w, h, channels, st);
    free(bytes);
    return ok;
}

void image_free(Image *im)
{
    free(im->px);
    *im = (Image){ 0 };
}

/* ---- changing ---- */
static uint8_t blend(int colour, int alpha, int ground)
{
    return (uint8_t)((colour * alpha + ground * (255 - alpha) + 127) / 255);
}

bool image_convert(Image *im, int channels, AlphaMode alpha, Status *st)
{
    int    from = im->channels, colours = from >= 3 ? 3 : 1, has_alpha = from == 2 || from == 4;
    int    ground = alpha == ALPHA_WHITE ? 255 : alpha == ALPHA_GREY ? 128 : 0;
    size_t area = (size_t)im->w * (size_t)im->h;
    if (from == channels)
        return true;
    uint8_t *to = malloc(area * (size_t)channels);
    if (!to)
        return status_fail(st, "out of memory converting a picture of %d x %d", im->w, im->h);
    for (size_t i = 0; i < area; i++) {
        const uint8_t *s = im->px + i * (size_t)from;
        uint8_t        c[3];
        for (int k = 0; k < 3; k++) {
            c[k] = s[colours == 3 ? k : 0];
            if (has_alpha && alpha != ALPHA_DROP)
                c[k] = blend(c[k], s[from - 1], ground);
        }
        if (channels == 3)
            memcpy(to + 3 * i, c, 3);
        else
            to[i] = colours == 1 ? c[0] : (uint8_t)((c[0] * 19595 + c[1] * 38470 + c[2] * 7471 + (1 << 15)) >> 16);
    }
    free(im->px);
    im->px = to;
    im->channels = channels;
    return true;
}

static uint8_t to_byte(double v)
{
    return v >= 254.5 ? 255 : v > 0 ? (uint8_t)(v + 0.5) : 0;   /* NaN fails both comparisons: 0 */
}

bool image_resize_window(Image *im, int rw, int rh, int x, int y, int w, int h, int filter, Status *st)
{
    size_t area = (size_t)im->w * (size_t)im->h, out = (size_t)w * (size_t)h;
    int    c = im->channels;
    if (rw == im->w && rh == im->h)
        return image_crop(im, x, y, w, h, st);
    float   *plane = malloc(area * sizeof(float)), *small = malloc(out * sizeof(float));
    uint8_t *to = malloc(out * (size_t)c);
    bool     ok = plane && small && to;
    if (!ok)
        status_fail(st, "out of memory resizing a picture of %d x %d to %d x %d", im->w, im->h, rw, rh);
    for (int k = 0; k < c && ok; k++) {
        for (size_t i = 0; i < area; i++)
            plane[i] = im->px[i * (size_t)c + (size_t)k];
        ok = resample_window(plane, 1, im->h, im->w, rh, rw, y, x, h, w, (Filter)filter, small, st);
        for (size_t i = 0; i < out && ok; i++)
            to[i * (size_t)c + (size_t)k] = to_byte(small[i]);
    }
    free(plane);
    free(small);
    if (!ok) {
        free(to);
        return false;
    }
    free(im->px);
    *im = (Image){ .w = w, .h = h, .channels = c, .px = to };
    return true;
}

bool image_resize(Image *im, int w, int h, int filter, Status *st)
{
    return image_resize_window(im, w, h, 0, 0, w, h, filter, st);
}

bool image_crop(Image *im, int x, int y, int w, int h, Status *st)
{
    size_t c = (size_t)im->channels, row = (size_t)w * c;
    if (!x && !y && w == im->w && h == im->h)
        return true;
    uint8_t *to = malloc(row * (size_t)h);
    if (!to)
        return status_fail(st, "out of memory cropping a picture");
    for (int r = 0; r < h; r++)
        memcpy(to + row * (size_t)r, im->px + ((size_t)(y + r) * (size_t)im->w + (size_t)x) * c, row);
    free(im->px);
    *im = (Image){ .w = w, .h = h, .channels = (int)c, .px = to };
    return true;
}

/* ---- tensors ---- */
bool image_to_tensor(const Image *im, double lo, double hi, Tensor *t, Status *st)
{
    int64_t shape[4] = { 1, im->channels, im->h, im->w };
    size_t  area = (size_t)im->w * (size_t)im->h;
    float   map[256];
    if (!tensor_alloc(t, DT_F32, 4, shape, st))
        return false;
    for (int i = 0; i < 256; i++)
        map[i] = (float)(lo + (hi - lo) * i / 255);
    float *to = t->data;
    for (int c = 0; c < im->channels; c++)
        for (size_t i = 0; i < area; i++)
            *to++ = map[im->px[i * (size_t)im->channels + (size_t)c]];
    return true;
}

bool image_read_tensor(const char *path, int channels, AlphaMode alpha, double lo, double hi, Tensor *t, Status *st)
{
    Image im;
    bool  ok = image_read(path, &im, st) && image_convert(&im, channels, alpha, st) && image_to_tensor(&im, lo, hi, t, st);
    image_free(&im);
    return ok;
}

/* The tensor as (n,c,h,w); false when its shape is no picture. */
static bool picture_shape(const Tensor *t, int64_t s[4], Status *st)
{
    for (int i = 0; i < 4; i++)
        s[i] = i < 4 - t->rank || t->rank > 4 ? 1 : t->shape[i - (4 - t->rank)];
    bool ok = t->rank >= 2 && t->rank <= 4 && (s[1] == 1 || s[1] == 3) && (t->dtype == DT_F32 || t->dtype == DT_F64);
    if (ok && s[0] > 0 && s[2] > 0 && s[3] > 0 && s[2] <= INT32_MAX && s[3] <= INT32_MAX && tensor_count(t) > 0)
        return true;
    Text text = { 0 };
    for (int i = 0; i < t->rank; i++)
        text_addf(&text, "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    status_fail(st, "a tensor of shape [%s] is no picture: [n, 3, h, w], [n, 1, h, w] or [h, w] is", text.n ? text.at : "");
    text_free(&text);
    return false;
}

/* Picture `index` of t into px, whose rows are `stride` pixels apart; s: from picture_shape. */
static void put_pixels(const Tensor *t, const int64_t s[4], int64_t index, double lo, double hi, uint8_t *px, int64_t stride)
{
    int64_t c = s[1], h = s[2], w = s[3];
    double  scale = 255 / (hi - lo);
    for (int64_t k = 0; k < c; k++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                int64_t i = ((index * c + k) * h + y) * w + x;
                double  v = t->dtype == DT_F32 ? ((const float *)t->data)[i] : ((const double *)t->data)[i];
                px[(y * stride + x) * c + k] = to_byte((v - lo) * scale);
            }
}

bool image_from_tensor(const Tensor *t, int64_t index, double lo, double hi, Image *im, Status *st)
{
    int64_t s[4];
    *im = (Image){ 0 };
    if (!picture_shape(t, s, st))
        return false;
    if (index < 0 || index >= s[0])
        return status_fail(st, "there is no picture %lld in a batch of %lld", (long long)index, (long long)s[0]);
    *im = (Image){ .w = (int)s[3], .h = (int)s[2], .channels = (int)s[1], .px = malloc((size_t)(s[1] * s[2] * s[3])) };
    if (!im->px)
        return status_fail(st, "out of memory for a picture of %d x %d", im->w, im->h);
    put_pixels(t, s, index, lo, hi, im->px, s[3]);
    return true;
}

bool image_write_grid(const char *path, const Tensor *t, double lo, double hi, int64_t rows, int64_t cols, int gap, Status *st)
{
    int64_t s[4];
    if (!picture_shape(t, s, st))
        return false;
    int64_t n = s[0];
    if (cols < 1 && rows < 1)
        cols = (int64_t)ceil(sqrt((double)n));
    if (cols < 1)
        cols = (n + rows - 1) / rows;
    if (cols > n)
        cols = n;
    if (rows < 1 || rows > (n + cols - 1) / cols)      /* rows that would stay empty are not drawn */
        rows = (n + cols - 1) / cols;
    int64_t w = cols * (s[3] + gap) - gap, h = rows * (s[2] + gap) - gap, area;
    if (__builtin_mul_overflow(w, h, &area) || area > INT32_MAX / 4)
        return status_fail(st, "cannot write '%s': a grid of %lld x %lld pixels is too large", path, (long long)w, (long long)h);
    Image im = { .w = (int)w, .h = (int)h, .channels = (int)s[1], .px = malloc((size_t)(area * s[1])) };
    if (!im.px)
        return status_fail(st, "out of memory for '%s' (%d x %d)", path, im.w, im.h);
    memset(im.px, 32, (size_t)(area * s[1]));
    for (int64_t i = 0; i < n && i < rows * cols; i++) {
        int64_t x = i % cols * (s[3] + gap), y = i / cols * (s[2] + gap);
        put_pixels(t, s, i, lo, hi, im.px + (y * w + x) * s[1], w);
    }
    bool ok = image_write(path, &im, st);
    image_free(&im);
    return ok;
}
