/* pastiche.h - the one public header: load a graph file, train its nets, compile and run its exports.
 *
 *   pastiche_model *m = pastiche_load("dcgan.graph", NULL, &text);     text: diagnostics, also when it fails
 *   pastiche_read_weights(m, NULL, "dcgan.safetensors");
 *   pastiche_program *p = pastiche_compile(m, "sample");
 *   pastiche_run(p, inputs, n, outputs);
 *
 * Nothing here prints or exits. A call that fails returns false or NULL, changes nothing, and leaves a message with the path or place in pastiche_error(m).
 * A model and its programs belong to one thread at a time; kernels use all cores (options.threads). Everything returned is owned by whom its comment says.
 */
#ifndef PASTICHE_H
#define PASTICHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { PASTICHE_MAX_RANK = 8 };
typedef enum { PASTICHE_F32 = 1, PASTICHE_F64 = 2, PASTICHE_I32 = 3, PASTICHE_BOOL = 4 } pastiche_dtype;

/* A dense array, row-major: pictures are (n, c, h, w). data belongs to whoever made the tensor. */
typedef struct { pastiche_dtype dtype; int rank; int64_t shape[PASTICHE_MAX_RANK]; void *data; } pastiche_tensor;

typedef struct pastiche_model pastiche_model;
typedef struct pastiche_program pastiche_program;

/* Zero-initialise and set what differs. */
typedef struct {
    const char *const *set;        /* "NAME=VALUE" of consts, ended by NULL; or NULL */
    const char *const *data;       /* "NAME=PATH" of data items, ended by NULL; or NULL */
    bool        reference;         /* the float64 interpreter in place of native kernels: the oracle, slow */
    int         threads;           /* 0: all cores */
    const char *cpu;               /* "avx512", "avx2", "baseline"; NULL: what the machine has */
    bool        exact;             /* convolutions summed as they are written: no Winograd, which is faster and whose error is some 3e-6, normwise, in place of 1e-6 */
    const char *passes;            /* "-fuse,-layout": parts of compilation to do without (`pastiche passes` lists them); NULL: all are on */
    bool        debug_kernels;     /* gdb and perf show kernels by the lines of graph files; so does PASTICHE_DEBUG_KERNELS=1 in the environment */
    bool        no_cache;          /* compile everything anew and keep nothing. Without it compiled kernels are kept in $PASTICHE_CACHE (a folder, or "off"), else
                                    * $XDG_CACHE_HOME/pastiche, else ~/.cache/pastiche, at most $PASTICHE_CACHE_MIB (256) MiB, and the next start compiles nothing */
    int64_t     memory_budget;     /* bytes that a pass may take, with variables, inputs and results: values are computed again in backward passes to keep to it. 0: none */
    uint64_t    seed;
    bool        json;              /* diagnostics as JSON */
    bool        strict;            /* an unreadable picture of a data set is an error, not skipped */
} pastiche_options;

/* Reads and checks a file. *diagnostics (may be NULL) receives errors and warnings as text, to be freed with free(); NULL when there are none.
 * Returns NULL when there are errors. Parameters start at their initial values. */
pastiche_model *pastiche_load(const char *path, const pastiche_options *options, char **diagnostics);
void            pastiche_free(pastiche_model *m);             /* frees its programs too; NULL is fine */
const char     *pastiche_error(const pastiche_model *m);      /* of the last call that failed; "" before; good until the next call */

/* Weights as safetensors. net NULL: a training run's file or one saved by pastiche_write_weights: the nets that it has anything of.
 * Missing, extra and misshapen tensors of those are listed by name. */
bool pastiche_read_weights(pastiche_model *m, const char *net, const char *path);
bool pastiche_write_weights(pastiche_model *m, const char *net, const char *path);
bool pastiche_has_net(const pastiche_model *m, const char *net);
bool pastiche_random_weights(pastiche_model *m, const char *net);      /* says that the initial values are meant; needed for a net that has `from` and no file */

/* A parameter or state by its path, e.g. "G.head.weight": a new tensor whose data is the caller's to free(). set: copies; shapes must agree. */
bool pastiche_get(pastiche_model *m, const char *name, pastiche_tensor *out);
bool pastiche_set(pastiche_model *m, const char *name, const pastiche_tensor *value);

/* Compiles an export or a step; the model owns the program, which serves until the model is freed, also after training. Sizes written as names (N, H, W) are free at
 * each run: another picture size compiles nothing. Below, i counts from 0 in the order of the file and must be in range; names are good until the model is trained or freed. */
pastiche_program *pastiche_compile(pastiche_model *m, const char *export_or_step);
int               pastiche_inputs(const pastiche_program *p);
int               pastiche_outputs(const pastiche_program *p);
const char       *pastiche_input_name(const pastiche_program *p, int i);
const char       *pastiche_output_name(const pastiche_program *p, int i);
/* What an input takes: dtype, rank and, where the file says one, a size an axis (-1: free) and the range that 8-bit pixels map to ([lo, hi] with ranged). */
typedef struct { pastiche_dtype dtype; int rank; int64_t shape[PASTICHE_MAX_RANK]; bool ranged; double lo, hi; bool has_default; double value; } pastiche_info;
pastiche_info     pastiche_input_info(const pastiche_program *p, int i);
pastiche_info     pastiche_output_info(const pastiche_program *p, int i);

/* The name of a net that this program reads and whose weights were neither read, trained here, nor said to be random, and that has no `from` file; NULL: none is missing.
 * A result made with initial, random weights means nothing. */
const char *pastiche_missing_weights(const pastiche_program *p);

/* Runs: inputs in the order of the file (an integer input is a rank-0 tensor). outputs[i].data is new, the caller's to free(). A step updates the model's weights. */
bool pastiche_run(pastiche_program *p, const pastiche_tensor *inputs, int n, pastiche_tensor *outputs);

/* A PNG or JPEG file as an input's f32[1, 1 or 3, H, W], 8-bit pixels mapped to its range ([0, 1] where the file says none), transparency over white; out->data is the
 * caller's to free(). An output's pictures as .png or .jpg, values outside its range clipped; several become a grid. Inputs and outputs that are no pictures are refused. */
bool pastiche_read_image(pastiche_program *p, int input, const char *path, pastiche_tensor *out);
bool pastiche_write_image(pastiche_program *p, int output, const char *path, const pastiche_tensor *pictures);

/* Trains as the file's train block says (name NULL: the only one). */
typedef struct {
    int64_t     steps;             /* total passes; 0: as the file says */
    double      seconds;           /* 0: no limit; else at most as many passes as fit, by their speed so far: not the same bits twice */
    const char *out;               /* folder for what the block writes and the final weights; NULL: "." */
    const char *resume;            /* folder of checkpoints to continue from; NULL: start anew */
    bool        overwrite;         /* remove an earlier run's checkpoints from `out`; without it such a folder is refused */
    FILE       *progress;          /* a bar on a terminal, plain lines elsewhere; NULL: silence */
} pastiche_train_options;
/* weights (may be NULL) receives the name of the final weights file (free() it), stopped whether a signal ended the run early (it was saved). */
bool pastiche_train(pastiche_model *m, const char *name, const pastiche_train_options *options, char **weights, bool *stopped);

#ifdef __cplusplus
}
#endif

#endif
