/* session.h - a loaded file at work: the model, its variables, data sets and programs. The command line and the C API are thin layers over it. */
#ifndef PASTICHE_SESSION_H
#define PASTICHE_SESSION_H

#include "data.h"
#include "exec.h"

typedef struct {
    const char *const *set;        /* "NAME=VALUE", ended by NULL; may be NULL */
    const char *const *data;       /* "NAME=PATH" */
    ExecOptions exec;
    uint64_t    seed;
    bool        tests;             /* elaborate test blocks too; data items are made up, no files are read */
    bool        strict;
} SessionOptions;

typedef struct {
    char       *path, *folder;     /* of the graph file */
    SessionOptions options;
    Sources     sources;
    Diags       diags;
    Model      *model;
    Tensor     *vars;              /* the variable store, one a Var; f32, or f64 with the reference backend; empty until it is needed */
    bool       *ready;             /* a net's weights: read, or meant to be random */
    bool       *given;             /* a net's weights: from a file named by the user, trained here, or random on purpose */
    bool       *fresh;             /* a let: computed from the weights that are there */
    DataSet   **datas;             /* opened when first needed */
    uint64_t    hash;              /* of the text of all files read, std excepted */
} Session;

struct pastiche_model;
Session *session_of(struct pastiche_model *m);     /* api.c: what a model of the public header is made of */

/* Reads and checks. Variables get their initial values when they are first needed: those of a graph in session_prepare. On failure s->diags tells what is wrong with the text (then st is OK or says "N errors"). The caller closes s either way. */
bool session_open(Session *s, const char *path, const SessionOptions *o, Status *st);
void session_close(Session *s);

/* Variables. */
bool session_make_vars(Session *s, Status *st);                       /* initial values for all that have none yet */
int32_t session_find_net(const Session *s, const char *name, Status *st);
bool session_read_weights(Session *s, const char *net, const char *path, Text *list, Status *st);   /* net NULL: all; list: every tensor that does not fit, a line each */
bool session_write_weights(Session *s, const char *net, const char *path, bool half, Status *st);    /* half: as 16-bit floats */

/* What must be true before a graph runs: its variables have values, files named by `from` are read (once), lets computed (once). used: only what this graph reads
 * is required, data too; NULL: all. */
bool session_prepare(Session *s, const Graph *used, Status *st);

/* The same, but weights that are not there stay at their initial values: for gradient checks. */
bool session_prepare_random(Session *s, const Graph *used, Status *st);

/* Zeros in place of weights, for who measures what does not depend on them; lets whose sizes are not known before are computed. */
bool session_zero_vars(Session *s, const Graph *used, Status *st);

/* A session around an elaborated model that somebody else owns (a gradcheck's), in float64; session_release frees what it made. */
void session_adopt(Session *s, Model *m, const Session *parent);
void session_release(Session *s);

/* The graph of an export or step; NULL and a message that lists them when there is none of that name, or name is NULL. */
Graph *session_find_graph(const Session *s, const char *name, Status *st);

DataSet *session_data(Session *s, uint32_t data, Status *st);          /* opened on first use */

/* Fills tensors for hidden inputs (data, ...) of lets and initial values. */
bool session_values(Session *s, const TrainValue *args, uint32_t n, Tensor *out, Status *st);

/* --set and --data strings: "NAME=REST"; rest points behind '='. false when there is none. */
bool split_setting(const char *text, char *name, size_t size, const char **rest);

#endif
