/* listed.h - networks that are trained already: a list beside their weights, where a name stands for a graph file, an export, weights and settings.
 *
 * A list is a text file `models.list`, an entry a line, fields between bars:
 *
 *   # name     | graph                  | export  | weights          | settings  | what it does
 *   wave       | ../models/johnson.graph | stylize | wave.safetensors | w=16      | The Great Wave (Hokusai, about 1831)
 *
 * Paths are relative to the list; settings are those of --set between blanks, `-` for none.
 */
#ifndef PASTICHE_LISTED_H
#define PASTICHE_LISTED_H

#include "../compiler/base.h"

enum { MOST_SETTINGS = 8 };
typedef struct {
    const char *name, *export, *text;
    char       *graph, *weights;                       /* paths that can be opened from here */
    const char *settings[MOST_SETTINGS + 1];           /* "NAME=VALUE", ended by NULL */
} Listed;
typedef struct { char *path; Vec(Listed) entries; uint8_t *bytes; } ListedModels;

/* The folder named by PASTICHE_MODELS, else ../graphs/trained or ../share/pastiche/trained from the folder of this program; NULL: there is none. malloc. */
char *listed_folder(void);

/* Reads the folder's list. Fails with file and line of what it cannot understand. The caller frees the list either way. */
bool listed_read(const char *folder, ListedModels *out, Status *st);
void listed_free(ListedModels *l);
const Listed *listed_find(const ListedModels *l, const char *name);

#endif
