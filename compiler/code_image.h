/* code_image.h - a kernel's machine code as bytes that run wherever they stand.
 *
 *   object (ELF, as LLVM makes it) --image_of_object--> CodeImage --code_place--> executable memory
 *
 * A kernel calls nothing and refers to nothing but its own constants, relative to the instruction. So text and constants laid out one behind the other, with
 * these references filled in once, need no linker any more: they can be kept on disk (object_cache.h) and copied to any address. Objects that do need more are
 * refused, and linked by LLVM (jit.c).
 */
#ifndef PASTICHE_CODE_IMAGE_H
#define PASTICHE_CODE_IMAGE_H

#include "base.h"

typedef struct { uint8_t *bytes; uint32_t size, entry; } CodeImage;    /* bytes: the owner's to free; entry: offset of the function */

/* False, and out is zero, when the object needs a linker: it calls out, has data to be written, or a reference of another kind. */
bool image_of_object(const void *object, size_t size, const char *symbol, CodeImage *out);

/* Executable memory, a list that grows with each placement. at[i]: where image i stands from now on, a multiple of CODE_ALIGN. */
enum { CODE_ALIGN = 64 };
typedef struct CodeBlock CodeBlock;
bool code_place(CodeBlock **list, const CodeImage *images, uint32_t n, const uint8_t **at, Status *st);
void code_free(CodeBlock *list);

#endif
