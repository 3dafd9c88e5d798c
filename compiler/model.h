/* model.h - what a file elaborates to: variables, nets, data, and a Graph for every step, export, let and train expression.
 * The runtime executes a Model through exec.h and never looks at the AST again, except that `stages` elaborates anew.
 */
#ifndef PASTICHE_MODEL_H
#define PASTICHE_MODEL_H

#include "ast.h"
#include "ir.h"

typedef enum { VAR_PARAM, VAR_STATE, VAR_OPT, VAR_EMA, VAR_LET } VarKind;

typedef struct {                   /* a persistent tensor */
    const char *name;              /* full path, the safetensors name: "G.head.weight", "opt_g.m.G.head.weight", "G_avg.head.weight" */
    VarKind     kind;
    Dtype       dtype; uint8_t rank; Dim shape[MAX_RANK];    /* constants, but for VAR_LET */
    int32_t     net;               /* index into nets, or -1 */
    Loc         loc;
} Var;

typedef struct { const char *path; const char *op; Type out; int64_t params; Dim macs; Loc loc; } LayerRow;   /* a row of `check`'s table */

typedef struct {
    const char *name; const char *from; bool frozen; Loc loc;
    Vec(uint32_t) vars;            /* its parameters and states, in order of first use */
    int32_t     ema_of; double ema_decay;   /* ema(G, 0.999): index of G, else -1 */
    Vec(LayerRow) rows;            /* what its text applies, in order, with the sizes that its header declares */
    DimBind     nominal[8]; uint32_t nnominal;    /* those sizes at one item, 256 pixels a side: for FLOP and byte figures */
} Net;

/* data NAME = source(args): kept as evaluated arguments, so that the runtime's table of sources decides what they mean. */
typedef enum { ARG_NUM, ARG_STR, ARG_BOOL, ARG_LIST, ARG_CALL } DataArgKind;
typedef struct DataArg { const char *name; DataArgKind kind; double num; const char *str; struct DataArg *items; uint32_t nitems; Loc loc, name_loc; } DataArg;   /* ARG_CALL: str(items...), e.g. random_crop(64) */
/* One field a tensor that an item has: images gives one (f32[batch, 3, h, w]); labelled folders and mnist give (image, label); scenes gives (photo, comic). */
typedef struct { const char *name; Dtype dtype; uint8_t rank; Dim shape[MAX_RANK]; } DataField;      /* of one item, without the batch axis */
typedef struct {
    const char *name; Loc loc;
    const char *source;            /* "images", "image", "scenes", "mnist", "npy", "labelled" */
    DataArg    *args; uint32_t nargs;
    int64_t     batch;
    DataField   fields[4]; uint32_t nfields;
    double      lo, hi;            /* range of pixel values */
} Data;
/* Given by the runtime to the elaborator: checks a source's name and arguments, fills batch, fields, range. Errors go to d. */
typedef bool (*DescribeData)(Data *data, DimTable *dims, Diags *d);

/* One `minimize` over one net, for gradient checks and parity tests: Refs into the step's own graph (raw, before any pass). */
typedef struct { Ref loss; uint32_t net; uint32_t n; const uint32_t *vars; const Ref *values, *grads; Loc loc; } Minimized;
typedef struct { const char *name; Graph *graph; Loc loc; Vec(Minimized) minimized; } Step;
typedef struct { const char *name; Graph *graph; Loc loc; } Export;          /* outputs carry their pixel ranges */

/* ---- a train block is a little program over steps ---- */
typedef enum { T_CALL, T_REPEAT, T_EVERY, T_SAVE_IMAGES, T_CHECKPOINT, T_REPORT, T_KEEP_BEST } TrainOp;
typedef enum { MEASURE_NUMBER, MEASURE_FRECHET, MEASURE_KERNEL } Measure;    /* of one value: itself; of two, features (n,d) and (m,d): runtime/metrics.h */
typedef enum { V_NUM, V_DATA_NEXT, V_DATA_LAST, V_DATA_FIRST, V_RESULT, V_GRAPH } TrainValueKind;
typedef struct TrainValue {
    TrainValueKind kind;
    double      num;               /* V_NUM; V_DATA_FIRST's k */
    uint32_t    data, field;       /* V_DATA_*: which data; field: which tensor of an item */
    uint32_t    slot;              /* V_RESULT: a slot bound by an earlier call */
    Graph      *graph;             /* V_GRAPH: an expression; its inputs come from args */
    struct TrainValue *args; uint32_t nargs;
} TrainValue;
typedef struct TrainStmt {
    TrainOp     op; Loc loc;
    uint32_t    step;              /* T_CALL */
    TrainValue *args; uint32_t nargs;
    uint32_t   *slots; uint32_t nslots;    /* T_CALL: where results go */
    int64_t     count; const char *unit;   /* T_REPEAT times; T_EVERY count and "steps" | "epochs" | "images" */
    const char *path;              /* T_SAVE_IMAGES, T_CHECKPOINT, T_KEEP_BEST; T_SAVE_IMAGES: may hold {step}, {epoch} */
    const char **names; uint32_t nnames;   /* T_REPORT: what args (one or two a measure) become; T_KEEP_BEST: the one report that counts */
    Measure    *measures;          /* T_REPORT: one a name */
    int64_t     grid[2], keep;     /* T_SAVE_IMAGES (0: chosen), T_CHECKPOINT */
    double      lo, hi;            /* T_SAVE_IMAGES: which values are black and white, [-1, 1] unless said */
    struct TrainStmt *body; uint32_t nbody;
} TrainStmt;
typedef struct {
    const char *name; Loc loc;
    double      count; const char *unit;   /* for 25 "epochs" | "steps" | "images" */
    int32_t     over;              /* data index or -1 */
    const char *stage; int64_t stage_lo, stage_hi;   /* stages NAME in lo..hi (inclusive), NULL: none */
    TrainStmt  *body; uint32_t nbody;
    uint32_t    nslots;
} Train;

struct Model;
struct Named { const char *name; double value; };
typedef enum { CHECK_GRADIENTS, CHECK_ASSERT } CheckKind;
typedef struct {                   /* a line of: test "title" { gradcheck(g_step, n: 2, w: 4)  assert close(f(1), 2) } */
    CheckKind     kind; Loc loc;
    struct Model *model;           /* gradcheck: the file elaborated with the consts given (owned) */
    int32_t       step;            /* gradcheck: index into model->steps */
    struct Named *sizes; uint32_t nsizes;   /* N: 2, n: 2: values of the step graph's symbols */
    double        tol, runtime[RT_T + 1];   /* runtime: step, epoch, progress while it is checked */
    Graph        *graph;           /* asserts: each output is a bool scalar that must be true; its loc is the assert's */
} Check;
typedef struct { const char *title; Loc loc; Vec(Check) checks; } Test;

typedef struct { const char *name; double value; } Setting;   /* --set NAME=VALUE */

typedef struct Model {
    Arena       arena;
    DimTable   *dims;
    Sources    *sources;
    Vec(Var)    vars;
    Vec(Net)    nets;
    Vec(Data)   datas;
    Vec(Step)   steps;
    Vec(Export) exports;
    Vec(Train)  trains;
    Vec(Test)   tests;
    Graph      *init;              /* writes every VAR_PARAM, VAR_STATE, VAR_OPT, VAR_EMA; may read data through inputs (V_DATA_FIRST) */
    TrainValue *init_args; uint32_t ninit_args;
    Graph      *lets;              /* writes every VAR_LET; runs after init and after weights are loaded; inputs from let_args */
    TrainValue *let_args; uint32_t nlet_args;
} Model;

/* Elaborates the file at `path` (and its imports; std/ comes from the binary). NULL when d holds errors. read_file is how sources are read: tests give their own. */
typedef struct {
    const Setting *settings; uint32_t nsettings;
    DescribeData   describe_data;
    bool           tests;          /* elaborate test blocks too */
} ElabOptions;
Model *elaborate(const char *path, Sources *sources, Diags *d, const ElabOptions *opt);
void   model_free(Model *m);

/* std files embedded at build time: path "std/layers.graph" -> text, or NULL. */
const char *std_source(const char *path, size_t *size);

#endif
