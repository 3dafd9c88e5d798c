/* data_source.h - inside the data_*.c files: what a source is, its arguments once parsed, and the set it belongs to. */
#ifndef PASTICHE_DATA_SOURCE_H
#define PASTICHE_DATA_SOURCE_H

#include <pthread.h>

#include "data.h"
#include "image.h"
#include "loader.h"

enum { MAX_FIELDS = 4, MAX_SIDE = IMAGE_MAX_SIDE, MAX_BATCH = 1 << 16, MAX_ITEMS = INT32_MAX };

typedef enum { CROP_NONE, CROP_CENTER, CROP_RANDOM } CropKind;
typedef struct { CropKind kind; int n, lo, hi; } Crop;     /* n x n pixels; hi: scaled to that from a window of lo to hi */
typedef enum { FIT_COVER, FIT_STRETCH } Fit;
typedef enum { SPLIT_ANY, SPLIT_TRAIN, SPLIT_TEST } Split;
typedef enum { AS_F32, AS_I32 } NpyAs;
typedef enum { LOOK_BOTH, LOOK_PHOTO, LOOK_COMIC } Look;

typedef struct {                   /* every argument of every source; a source's table says which it has */
    const char *path;
    int64_t     size[2];           /* h, w; 0: not given */
    double      range[2]; bool ranged;
    int64_t     batch, channels, seed, count, start, classes;
    int         shuffle, alpha, fit, filter, split, as, look;
    Crop        before, after;     /* of the resize */
    double      hflip;             /* probability */
    int64_t     shape[MAX_RANK]; int rank;     /* npy's shape:, rank -1: not given */
} DataConfig;

typedef struct { const char *name; Dtype dtype; int rank; int64_t shape[MAX_RANK]; } FieldShape;   /* of one item */

typedef enum { ARG_IS_PATH, ARG_IS_INT, ARG_IS_SIZE, ARG_IS_RANGE, ARG_IS_BOOL, ARG_IS_WORD, ARG_IS_AUGMENT, ARG_IS_SHAPE } ArgType;
typedef struct {
    const char        *name;
    ArgType            type;
    size_t             offset;     /* within DataConfig */
    bool               required;
    int64_t            lo, hi;     /* ARG_IS_INT */
    const char *const *words;      /* ARG_IS_WORD: NULL-terminated, in the enum's order */
    const char        *deflt, *doc;
} ArgSpec;

/* What makes item `index` of a batch position random. plain: no randomness, crops are central. */
typedef struct { Rng rng; uint64_t stream, index; bool plain; } Draw;
double draw_uniform(const Draw *d, int which);             /* which < DRAWS: independent numbers in [0, 1) */
enum { DRAWS = 8 };

typedef struct DataSource {
    const char    *name, *doc;
    const ArgSpec *args; size_t nargs;
    void (*preset)(DataConfig *c);                         /* defaults that differ from the others'; may be NULL */
    /* Fields from the arguments. folder: of the graph file, for sources that must look at their file. The number of fields, 0 on failure. */
    int  (*fields)(const DataConfig *c, const char *folder, FieldShape f[MAX_FIELDS], Status *st);
    /* Opens s->path; sets s->items and s->state, and s->item when it is not the source's own. */
    bool (*open)(DataSet *s, Status *st);
    bool (*item)(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st);   /* false: the item cannot be read */
    void (*close)(DataSet *s);                             /* also after a failed open */
} DataSource;
extern const DataSource source_images, source_image, source_labelled, source_mnist, source_npy, source_scenes;

struct DataSet {
    const Data   *data;
    const DataSource *source;
    DataConfig    config;
    DataOptions   options;
    FieldShape    fields[MAX_FIELDS]; int nfields;
    char         *path;            /* resolved; NULL for a source without one */
    bool          overridden;
    uint64_t      seed, stream;
    int64_t       items, steps;
    void         *state;
    bool        (*item)(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st);
    char        **class_names; int64_t classes;
    /* the order of one epoch */
    uint32_t     *order; uint64_t order_epoch; bool has_order;
    /* batches: `now` was given out last, `ahead` is being read */
    DataPos       pos, ahead_pos;
    Tensor        now[MAX_FIELDS], ahead[MAX_FIELDS];
    bool          has_now, has_ahead, drawn, loading;
    Loader       *loader;
    /* unreadable items */
    pthread_mutex_t bad_lock;
    uint8_t      *bad;             /* a flag an item */
    Vec(char *)   bad_messages;
    size_t        cache_left;      /* bytes that may still be kept */
};

/* data_args.c */
const DataSource *source_by_name(const char *name);
bool config_parse(const Data *data, const DataSource *source, DataConfig *c, Diags *d);    /* reports into d */
/* The path of a source's argument: in `folder` if it is there, else as it is (relative to the current folder). malloc. */
char *resolve_path(const char *folder, const char *path);

/* data_pictures.c: the geometry of pictures, shared by all sources that give some */
void picture_size(const DataConfig *c, int64_t *h, int64_t *w);                        /* of what a field holds */
bool picture_prepare(const DataConfig *c, Image *im, Status *st);                      /* the part without randomness: converted, cropped, resized; worth caching */
bool picture_finish(const DataConfig *c, const Image *im, const Draw *d, float *out, Status *st);   /* out (channels,h,w), mapped to the range */
bool pictures_open(DataSet *s, Status *st);                                            /* s->path: files in a folder tree */
bool pictures_item(DataSet *s, int64_t i, const Draw *d, void *const *fields, Status *st);
void pictures_close(DataSet *s);

#endif
