/* cli_pictures.h - the pictures that `pastiche eval` compares, one at a time as 8-bit RGB: files of a folder, what an export makes of noise or of a folder, items of data.
 * Complaints are printed.
 */
#ifndef PASTICHE_CLI_PICTURES_H
#define PASTICHE_CLI_PICTURES_H

#include "cli_input.h"
#include "image.h"

typedef struct {
    int64_t          n;            /* how many */
    int64_t          size;         /* they are scaled to cover size x size and cut; 0: as they are */
    const char      *folder;       /* where names stand; NULL: these have no names */
    FileNames        names;        /* relative to folder */
    pastiche_model  *m;            /* of the export, with its program */
    pastiche_program *p;
    const char     **texts;        /* its inputs as given; the one at `at` is the folder, -1: none is */
    int              at;
    pastiche_tensor *inputs, made; /* for all n, and the results of some */
    int64_t          made_from;
    Tensor           items;        /* data: (n,c,h,w) from lo to hi */
    double           lo, hi;
} Pictures;

bool pictures_of_folder(Pictures *s, const char *folder);
/* The first `count` items of a data item of the session, "faces" or "pairs.photo" (0: all); or of a folder, if no data item has that name: "./faces" never is one. */
bool pictures_of_name(Pictures *s, Session *session, const char *name, int64_t count);
/* What the export makes of the inputs given as words; `count` items where their number is free. Takes p's first result. */
bool pictures_of_export(Pictures *s, pastiche_model *m, pastiche_program *p, const Given *g, int64_t count);
void pictures_free(Pictures *s);

/* Picture i, in order from 0 is fastest; image_free it. */
bool        picture_at(Pictures *s, int64_t i, Image *im);
const char *picture_name(const Pictures *s, int64_t i, char *text, size_t size);    /* for messages; text is room for it */

#endif
