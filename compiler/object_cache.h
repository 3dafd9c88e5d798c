/* object_cache.h - compiled kernels on disk: key -> value, both any bytes, a file an entry, shared by all processes of a user.
 *
 * A cache may fail at any time and nobody needs to know: what cannot be read is compiled, what cannot be written is compiled again next time. An entry counts
 * only when the file is the user's own, has the length it says, its checksum holds and it has the whole key that was asked for.
 */
#ifndef PASTICHE_OBJECT_CACHE_H
#define PASTICHE_OBJECT_CACHE_H

#include "base.h"

typedef struct ObjectCache ObjectCache;

/* Where entries are and how many bytes they may take together. Makes no folder yet. NULL with a cap of 0. */
ObjectCache *object_cache_new(const char *folder, uint64_t cap);
/* The user's: PASTICHE_CACHE, else $XDG_CACHE_HOME/pastiche, else ~/.cache/pastiche; PASTICHE_CACHE_MIB, else 256. NULL: PASTICHE_CACHE=off, or there is no home. */
ObjectCache *object_cache_default(void);
void         object_cache_free(ObjectCache *c);

/* value: the caller's to free. An entry that was not used for an hour is marked as used. */
bool object_cache_get(const ObjectCache *c, const Text *key, uint8_t **value, size_t *n);
/* Seen whole or not at all by others; replaces what has the same key, or is damaged. */
bool object_cache_put(const ObjectCache *c, const Text *key, const void *value, size_t n);
/* Once after a number of puts: when entries take more than the cap, those that were not used for longest go until seven eighths are left. */
void object_cache_trim(const ObjectCache *c);

#endif
