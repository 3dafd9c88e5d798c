/* image.h - 8-bit pictures: PNG and JPEG in and out, and their way to and from float tensors.
 *
 * Pictures come from strangers, so reading is guarded: a cap on file size, dimensions, pixels, memory and scans; header first; a violated
 * assertion inside the decoder refuses the picture and does not stop the program. Limits stand below and are tested.
 * Pixels are taken as they stand: no gamma, no colour profile, no EXIF rotation. 16-bit files lose their low byte.
 */
#ifndef PASTICHE_IMAGE_H
#define PASTICHE_IMAGE_H

#include "tensor.h"

enum {
    IMAGE_MAX_SIDE = 16384,
    IMAGE_MAX_PIXELS = 100 << 20,          /* of one picture */
    IMAGE_MAX_FILE = 256 << 20,            /* bytes */
    IMAGE_MAX_SCANS = 500,                 /* of a JPEG: real ones have about ten, each costs a pass over the picture */
    IMAGE_MAX_PIXELS_PER_BYTE = 10000,     /* no complete file packs more; a larger claim is an empty shell that would cost memory and time */
};

typedef struct { int w, h, channels; uint8_t *px; } Image;   /* px (h,w,channels), owned; channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA */

/* What alpha becomes when a picture has some. ALPHA_DROP keeps the colours as stored, whatever lies under transparency. */
typedef enum { ALPHA_WHITE, ALPHA_BLACK, ALPHA_GREY, ALPHA_DROP } AlphaMode;

bool image_read(const char *path, Image *im, Status *st);                                /* with the channels it has */
bool image_decode(const uint8_t *bytes, size_t n, const char *name, Image *im, Status *st);   /* name: for messages */
bool image_info(const char *path, int *w, int *h, int *channels, Status *st);            /* from the header alone */
void image_free(Image *im);                                                              /* fine on an empty one */

/* To 1 or 3 channels: alpha laid over its background, colour to grey by 0.299 R + 0.587 G + 0.114 B, all rounded to nearest. In place. */
bool image_convert(Image *im, int channels, AlphaMode alpha, Status *st);
/* Antialiased (resample.h), rounded back to 8 bits. */
bool image_resize(Image *im, int w, int h, int filter, Status *st);
/* Resizes to rw x rh and keeps the w x h window whose corner is (x, y); only the window is computed. */
bool image_resize_window(Image *im, int rw, int rh, int x, int y, int w, int h, int filter, Status *st);
bool image_crop(Image *im, int x, int y, int w, int h, Status *st);

/* .png, .jpg or .jpeg by extension; written atomically. 1 or 3 channels, and 2 or 4 for PNG. */
bool image_write(const char *path, const Image *im, Status *st);

/* ---- tensors: pixel 0 maps to lo, 255 to hi ---- */
/* t (1,channels,h,w) f32; channels 1 or 3. */
bool image_to_tensor(const Image *im, double lo, double hi, Tensor *t, Status *st);
bool image_read_tensor(const char *path, int channels, AlphaMode alpha, double lo, double hi, Tensor *t, Status *st);
/* t (n,c,h,w), (c,h,w) or (h,w), f32 or f64, c 1 or 3: picture `index` of it; clipped and rounded to nearest, NaN becomes 0. */
bool image_from_tensor(const Tensor *t, int64_t index, double lo, double hi, Image *im, Status *st);
/* All pictures of a batch (n,c,h,w) in a grid, row by row, with `gap` dark pixels between; rows or cols 0: chosen near square. Pictures past rows * cols are left out. */
bool image_write_grid(const char *path, const Tensor *t, double lo, double hi, int64_t rows, int64_t cols, int gap, Status *st);

#endif
