/* fuzz_files.c - libFuzzer on every reader of strangers' files: pictures, safetensors, .npy. The input's first bytes choose the reader, as they do in a file.
 * Build with clang and -DPASTICHE_FUZZ=ON; run with files of ../shared/data/{png,jpeg} and tests/fixtures as the corpus.
 */
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "npy.h"
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    Status st = { 0 };
    Tensor t;
    if (n > 1 && (bytes[0] == 0x89 || bytes[0] == 0xFF)) {
        Image im;
        if (image_decode(bytes, n, "fuzz", &im, &st) && image_convert(&im, 3, ALPHA_WHITE, &st))
            image_resize(&im, 5, 3, 1, &st);
        image_free(&im);
    } else if (n > 1 && bytes[0] == 0x93) {
        if (npy_parse(bytes, n, "fuzz", &t, &st))
            tensor_free(&t);
    } else {
        SafeFile *f = safe_parse(bytes, n, "fuzz", &st);
        for (uint32_t i = 0; f && i < f->n; i++)
            if (safe_read(f, &f->tensors[i], &t, &st))
                tensor_free(&t);
        safe_close(f);
    }
    return 0;
}
