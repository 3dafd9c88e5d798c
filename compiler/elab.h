/* elab.h - inside the elaborator: the values a graph file computes with, scopes, frames and what the elab_*.c files share.
 *
 *   elab.c         files, imports, declarations, items -> Model            elab_types.c   tensor types, unification of dims
 *   elab_expr.c    expressions -> values                                    elab_names.c   parameter paths: labels and automatic labels
 *   elab_stmt.c    statements of module, fn, step bodies                    elab_net.c     variables, nets, layers, ema
 *   elab_call.c    calls of fns, modules, layers, nets                      elab_step.c    minimize, optimisers, graphs of steps and exports
 *   elab_builtin.c the functions every file knows                           elab_train.c   data, train blocks, tests
 *   elab_unused.c  warnings about what nobody uses
 *
 * Errors poison: a failed expression is VAL_NONE, and whoever receives VAL_NONE stays silent.
 */
#ifndef PASTICHE_ELAB_H
#define PASTICHE_ELAB_H

#include "model.h"

typedef struct Elab Elab;
typedef struct FileScope FileScope;
typedef struct Frame Frame;
typedef struct Builtin Builtin;

/* ---- declarations: items of a file, evaluated when first used ---- */
typedef struct Value Value;
typedef enum { DECL_NEW, DECL_BUSY, DECL_DONE } DeclState;
typedef struct Decl {
    const char *name;
    const Item *item;
    FileScope  *file;
    DeclState   state;
    Value      *value;
    const struct Naming *naming;   /* DECL of a module: parameter paths of its body */
} Decl;

struct FileScope {
    const char *path;              /* as read: "graphs/models/dcgan.graph" or "std/layers.graph" */
    const File *file;
    Vec(Decl)   decls;
    Vec(FileScope *) imports;      /* plain `import`: their names are visible; with `as` they are decls */
    bool        is_std, reading;   /* reading: its imports are being followed; meeting it again is a cycle */
};

/* ---- values ---- */
typedef enum {
    VAL_NONE, VAL_NUM, VAL_DIM, VAL_BOOL, VAL_STR, VAL_LIST, VAL_RANGE, VAL_TENSOR, VAL_TUPLE, VAL_FN, VAL_BUILTIN, VAL_MODULE, VAL_LAYER, VAL_NET,
    VAL_DATA, VAL_OPTIM, VAL_FILE, VAL_DATA_CALL,
} ValueKind;

/* A module with its compile-time arguments. Unplaced (path NULL): every application is an instance of its own, named by where it is applied. */
typedef struct {
    Decl       *decl;
    Value      *args;              /* one a module parameter */
    const char *path;              /* "G.head": placed by binding it to a name */
    int32_t     net;
} Layer;

struct Value {
    ValueKind kind;
    Loc       loc;
    bool      is_int;              /* VAL_NUM */
    const char *unit;              /* VAL_NUM: "epochs", "steps", "images" or NULL */
    union {
        double      num;
        Dim         dim;           /* VAL_DIM: symbolic (constants are VAL_NUM) */
        bool        b;
        const char *str;
        struct { Value *items; const char **names; uint32_t n; };   /* VAL_LIST, VAL_TUPLE (names may be NULL); VAL_DATA_CALL: items */
        struct { int64_t lo, hi; };                                 /* VAL_RANGE */
        Ref         ref;
        Decl       *decl;          /* VAL_FN (also const functions), VAL_MODULE */
        const Builtin *builtin;
        Layer      *layer;
        struct { int32_t index, mode; };                            /* VAL_NET (mode: 0 as the place says, 1 train, 2 eval), VAL_DATA (mode: DataPart), VAL_OPTIM */
        FileScope  *file;
    };
    const char *word;              /* VAL_DATA_CALL: the name called */
};
typedef enum { DATA_WHOLE, DATA_NEXT, DATA_LAST } DataPart;

typedef struct Binding { const char *name; Value value; struct Binding *next; } Binding;
typedef struct Scope { Binding *first; struct Scope *up; } Scope;

/* ---- a running body: module, fn, step, ... The chain of frames is the expansion chain of messages ---- */
struct Frame {
    Frame      *up;
    FileScope  *file;
    Scope      *scope;
    const char *what;              /* "Generator", "step d_step" */
    const char *path;              /* instance path, or NULL outside of nets */
    int32_t     net;               /* whose parameters param makes, or -1 */
    bool        training, in_module, in_step, in_optimizer, schedules;
    const struct Naming *naming;
    const char *iteration;         /* "" or ".0.2": indices of the repeats around, appended to labels */
    const char *iteration_text;    /* "i = 1" or NULL */
    Loc         call;
    const Args *init;              /* initialisers that replace those of param statements, */
    FileScope  *init_file;         /* and the file that says so: its names count in them, after the layer's own */
    bool        returned;
    Value       result;
    struct OptimizerRun *optimizer;
    Vec(const char *) claimed;     /* parameter names made by this body's param and state statements (a second one is an error) */
    Vec(const char *) labels;      /* paths of labelled applications in this body, and where: two places with one path are an error */
    Vec(const Expr *) label_sites;
};

typedef struct { const char *key; Value result; } Application;

/* ---- what is kept while elaborating ---- */
typedef enum { GRAPH_STEP, GRAPH_EXPORT, GRAPH_LET, GRAPH_INIT, GRAPH_TRAIN_EXPR, GRAPH_CHECK } GraphRole;

typedef struct { const char *name; Decl *decl, *optimizer; const Args *args; bool used; } OptimInfo;
typedef struct { Decl *decl; Layer *layer; uint32_t version; } NetInfo;   /* beside Model.nets; version grows with every minimize over it within a graph */

/* the graph being made */
typedef struct GraphState {
    Graph      *g;
    GraphRole   role;
    const char *name;
    Ref        *cur; uint32_t ncur;            /* current value of each variable, 0: its leaf */
    Vec(Application) applied;
    uint32_t    randoms;                       /* numbers random nodes */
    TrainValue *args; uint32_t nargs;          /* hidden inputs: data and results used inside an expression */
    Step       *step;
    struct GraphState *outer;
} GraphState;

struct Elab {
    Model      *m;
    Arena      *arena;             /* the model's */
    Arena       ast;
    Sources    *sources;
    Diags      *d;
    const ElabOptions *opt;
    Vec(FileScope *) files;
    FileScope  *main;
    Vec(FileScope *) prelude;
    FileScope  *schedules;
    GraphState *gs;                /* NULL while evaluating compile-time values */
    Frame      *frame;
    Vec(NetInfo) nets;
    Vec(OptimInfo) optims;
    uint32_t    depth;
    bool        limit_reported;    /* from then on nothing is evaluated and nothing said */
    uint32_t    work;              /* against MAX_WORK */
    uint32_t    layer_depth;
    const Type *init_type;         /* while an initial value is evaluated: the variable's type */
    bool        probe_failed;      /* a probed net's weights depend on its input's type: its first use decides */
    GraphState *init_state, *let_state;
    Vec(Graph *) graphs;           /* all that were begun and not dropped: a failed elaboration frees them */
    int32_t     probing_net;       /* rows of this net's table are being recorded, -1 none */
};

/* ---- values ---- */
Value val_num(double v, bool is_int);
Value val_dim(Elab *e, Dim d);                               /* a VAL_NUM when constant */
Value val_tensor(Ref r);
Value val_str(const char *s);
Value val_bool(bool b);
const char *describe(Elab *e, const Value *v);               /* "f32[N, 3, 64, 64]", "number 3", "module Up", ... for messages */
const char *type_text(Elab *e, const Type *t);
const char *dims_text(Elab *e, const Dim *shape, int rank);
bool as_int(Elab *e, const Value *v, const char *what, int64_t *out);      /* reports when it is not one */
bool as_number(Elab *e, const Value *v, const char *what, double *out);
bool as_dim(Elab *e, const Value *v, const char *what, Dim *out);
bool as_bool(Elab *e, const Value *v, const char *what, bool *out);
bool as_dims(Elab *e, const Value *v, const char *what, Dim *out, int *n); /* a list of sizes */
bool as_ints(Elab *e, const Value *v, const char *what, int64_t *out, int *n, int max);
Ref  as_tensor(Elab *e, const Value *v, const char *what);   /* numbers and sizes become scalars; 0 after a message (or silently for VAL_NONE) */

/* ---- errors: elab_error adds the expansion chain ---- */
Diag *elab_error(Elab *e, int code, Loc loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
const char *loc_text(Elab *e, Loc loc);                      /* "line 31" or "file.graph:31" */

/* ---- scopes ---- */
void   scope_bind(Elab *e, const char *name, Value v);       /* rebinding an outer name of the same frame changes it */
void   scope_bind_here(Elab *e, const char *name, Value v);  /* in the innermost scope, shadowing */
Value *scope_find(Frame *f, const char *name);
Frame *frame_push(Elab *e, FileScope *file, const char *what, Loc call);
void   frame_pop(Elab *e);
Value  lookup(Elab *e, const char *name, Loc loc);           /* local, file, imports, prelude, built-in; reports what is unknown */
int64_t runtime_scalar(const char *name);                     /* RT_STEP for "step", ...; -1: no such number of the run */
bool   lookup_silent(Elab *e, const char *name, Value *out);
Decl  *find_decl(Elab *e, FileScope *f, const char *name);   /* file, its imports, schedules (in optim arguments), prelude */
Value  decl_value(Elab *e, Decl *d, Loc use);

/* ---- expressions, statements ---- */
Value eval(Elab *e, const Expr *x);
Loc   user_place(Elab *e, Loc loc);                          /* of a place in the library: where the user's own text leads there */
void  run_block(Elab *e, const Block *b);
uint32_t enter_hints(Elab *e, const Stmt *s);                /* elab_hint.c: nodes made from now on stand under the statement's pragmas; returns what to go back to */
void  refuse_hints(Elab *e, const Stmt *s, const char *where);      /* for statements that pragmas cannot stand before */
Value binary(Elab *e, BinOp op, Value a, Value b, Loc loc);
Value index_value(Elab *e, Value a, const Expr *x);
bool  enter(Elab *e, Loc loc);                               /* depth guard; pair with leave */
bool  spend(Elab *e, uint32_t work, Loc loc);                /* false: too much has been done, which is reported */
void  leave(Elab *e);

/* ---- types ---- */
typedef struct { const char *name; Dim unknown, by; bool solved; } DimVar;
typedef struct { const char *name; Dim dims[MAX_RANK]; int n; bool solved; } RestVar;
typedef struct { Vec(DimVar) vars; Vec(RestVar) rests; bool make_symbols; } DimVars;    /* the dim names of one signature */
Dtype dtype_named(const char *s);
bool  declare_type(Elab *e, DimVars *v, const TypeExpr *t, Type *out);          /* evaluates with unknowns for unbound names (or symbols: make_symbols) */
bool  match_type(Elab *e, DimVars *v, const TypeExpr *t, const Type *actual, Loc loc, const char *what);  /* unifies; reports */
void  bind_dim_vars(Elab *e, DimVars *v);                                       /* names become values of the current scope */
bool  type_range(Elab *e, const TypeExpr *t, double *lo, double *hi);
bool  require_equal(Elab *e, Dim a, Dim b, Loc loc, const char *message);       /* false when provably different; undecided ones become a GraphCheck */
bool  dims_agree(Elab *e, Dim a, Dim b);

/* ---- calls ---- */
typedef struct { Value v; const char *name; Loc loc; const Expr *expr; } CallArg;
typedef struct {
    CallArg    *args; uint32_t n;  /* pipe input first */
    Loc         loc;
    const Expr *site;              /* the E_PIPE or E_CALL that applies: its label */
    const Expr *pipe;              /* non-NULL: args[0] came through |> */
} Call;
Value call_value(Elab *e, Value callee, const Call *c);
Value call_fn(Elab *e, Decl *d, const Call *c);
Value make_layer(Elab *e, Decl *d, const Call *c);           /* module parameters -> VAL_LAYER */
Value apply_layer(Elab *e, Layer *l, const Call *c, const char *path, int32_t net, bool training);
Value call_builtin(Elab *e, const Builtin *b, const Call *c);
const Builtin *find_builtin(const char *name);
const char *builtin_name(const Builtin *b);
size_t builtin_names(const char **out, size_t max);
const char *pipe_label(Elab *e, const Expr *site, bool *ok);
bool  place_args(Elab *e, const char *what, const Params *p, const Call *c, int32_t *slot);   /* slot[i]: which argument parameter i gets, or -1 */
bool  bind_params(Elab *e, const char *what, const Params *p, const Call *c, DimVars *v);     /* tensor parameters: unified, bound in the scope */
Value check_results(Elab *e, const char *what, const Item *it, DimVars *v, Value r, Loc loc);

/* ---- names ---- */
typedef struct Naming { const char **labels; const Expr **sites; uint32_t n; const char **claims; uint32_t nclaims; } Naming;
const Naming *module_naming(Elab *e, Decl *d);
const char   *site_label(const Naming *n, const Expr *site); /* the automatic label of an unlabelled application, or NULL: it adds no segment */
const char   *join_path(Elab *e, const char *base, const char *label, const char *iteration);

/* ---- variables and nets ---- */
int32_t find_var(Elab *e, const char *name);
int32_t make_var(Elab *e, VarKind kind, const char *name, const Type *t, int32_t net, Loc loc);
Ref     var_value(Elab *e, uint32_t var);                    /* current value in this graph */
void    set_var(Elab *e, uint32_t var, Ref value);
Value   declare_param(Elab *e, const Stmt *s, bool is_state);
void    init_var(Elab *e, int32_t var, const Expr *init, const char *stream_name);   /* adds to the init graph */
void    probe_nets(Elab *e);                                 /* one application of each net of the main file, from its declared types: variables, table */
int32_t ema_var(Elab *e, int32_t ema_net, int32_t var);
Value   apply_net(Elab *e, int32_t net, int mode, const Call *c);
uint64_t random_stream(Elab *e);
const char *state_slot(const char *name);                    /* the hidden name under which a scope keeps a state's variable (VAL_NUM) */
Value   optimizer_state(Elab *e, const Stmt *s);             /* `state` and `:=` inside an optimizer's body */
void    optimizer_assign(Elab *e, const Stmt *s, Value v);

/* ---- graphs ---- */
void  graph_begin(Elab *e, GraphState *gs, GraphRole role, const char *name);
Graph *graph_end(Elab *e);                                   /* writes, ema; the finished graph */
void  graph_drop(Elab *e, Graph *g);                         /* frees a finished graph that the model does not keep */
void  run_minimize(Elab *e, const Stmt *s);
Value gradient(Elab *e, Value y, Value x, Loc loc);
void  elaborate_step(Elab *e, Decl *d);
void  elaborate_export(Elab *e, Decl *d);
void  check_unused_optims(Elab *e);
void  warn_unused(Elab *e);                                  /* elab_unused.c: of declarations that the file never mentions again */
int32_t elaborate_optim(Elab *e, Decl *d);
int32_t elaborate_data(Elab *e, Decl *d);
int32_t elaborate_net(Elab *e, Decl *d);
Value elaborate_let(Elab *e, Decl *d);
void  elaborate_train(Elab *e, const Item *it);
void  elaborate_test(Elab *e, const Item *it);
int32_t find_step(Elab *e, const char *name);              /* of the file; -1 */
Value data_first(Elab *e, int32_t data, int64_t k, const char *field, Loc loc);
Value data_tensor(Elab *e, int32_t data, DataPart part, const char *field, Loc loc);   /* as a hidden input of the graph being made */

#endif
