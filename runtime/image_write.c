/* image_write.c - PNG and JPEG out through stb_image_write, atomically. Apart from image.c because the JPEG writer shifts bits out of a signed int, which
 * gcc and clang define but UBSan reports: CMakeLists.txt turns that one check off for this file, whose input is our own, and image.c keeps all of them.
 */
#include <stdlib.h>
#include <zlib.h>

#include "files.h"
#include "image.h"

/* PNG files are written by zlib, which packs better and faster than the writer's own compressor. */
static unsigned char *deflate_bytes(unsigned char *data, int n, int *packed, int quality)
{
    uLongf         size = compressBound((uLong)n);
    unsigned char *out = malloc(size);
    if (out && compress2(out, &size, data, (uLong)n, quality) != Z_OK)
        free(out), out = NULL;
    *packed = out ? (int)size : 0;
    return out;
}

/* Functions declared and compiled out are warned of at the end of the file, so this one is not popped. */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define STBI_WRITE_NO_STDIO
#define STBIW_ZLIB_COMPRESS deflate_bytes
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include "stb_image_write.h"
#pragma GCC diagnostic pop

static void add_bytes(void *text, void *bytes, int n)
{
    text_addn(text, bytes, (size_t)n);
}

bool image_write(const char *path, const Image *im, Status *st)
{
    bool png = path_has_ext(path, "png"), jpeg = path_has_ext(path, "jpg") || path_has_ext(path, "jpeg");
    Text out = { 0 };
    int  ok;
    if (!png && !jpeg)
        return status_fail(st, "cannot write '%s': pictures are written as .png or .jpg", path);
    if (im->w < 1 || im->h < 1 || im->w > 65500 || im->h > 65500 || (int64_t)im->w * im->h * im->channels > INT32_MAX / 4)
        return status_fail(st, "cannot write '%s': %d x %d pixels are too many for one picture", path, im->w, im->h);
    if (png)
        ok = stbi_write_png_to_func(add_bytes, &out, im->w, im->h, im->channels, im->px, im->w * im->channels);
    else
        ok = stbi_write_jpg_to_func(add_bytes, &out, im->w, im->h, im->channels, im->px, 92);
    if (!ok)
        status_fail(st, "out of memory writing '%s'", path);
    bool done = ok && file_write(path, out.at, out.n, st);
    text_free(&out);
    return done;
}
