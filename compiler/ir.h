/* ir.h - the graph: one growable array of nodes in topological order, hash-consed.
 *
 *   Ref --> Node { op, dtype, rank, nargs, nattrs } --> shape[rank]  in g->dims_pool   (Dim)
 *                                                   --> args[nargs]  in g->arg_pool    (Ref, all smaller than the node's own)
 *                                                   --> attrs[]      in g->attr_pool   (int64; Dims and enums as integers)
 *
 * - A Ref is an index; 0 is "none". Equal nodes (op, dtype, shape, args, attrs, value) are the same Ref, so common
 *   subexpressions cost nothing; random nodes differ by their stream. Places (loc) stay outside the hash: the first wins.
 * - Tensors are logical: (n,c,h,w) row-major whatever the machine layout. Sizes are Dims.
 * - Names, shapes and gradients obey ops.def; verify(g) checks it all and runs after every pass in debug builds.
 * - Nodes are never changed after they are made. A pass builds a new graph, or appends and re-points outputs.
 */
#ifndef PASTICHE_IR_H
#define PASTICHE_IR_H

#include "diag.h"
#include "dim.h"
#include "passes.h"

typedef uint32_t Ref;
typedef struct Graph Graph;

typedef enum {
#define OP(name, nin, class, flags, grad, test, attrs, doc) OP_##name,
#include "ops.def"
#undef OP
    OP_COUNT
} Op;

typedef enum { DT_NONE, DT_F32, DT_F64, DT_I32, DT_BOOL } Dtype;
typedef enum { CLASS_LEAF, CLASS_ELEM, CLASS_REDUCE, CLASS_MOVE, CLASS_CONTRACT, CLASS_WINDOW, CLASS_INDEX } OpClass;
typedef enum { GRAD_YES, GRAD_ZERO, GRAD_NONE } OpGrad;
enum { FLAG_SHAPE_GIVEN = 1, FLAG_RANDOM = 2, FLAG_VARIABLE = 4, FLAG_AGAIN = 8 };   /* AGAIN: of a node, not an op: computes what another node computes (remat.c) */
enum { MAX_RANK = 8, MAX_ARGS = 4096 };

typedef enum { MODE_REFLECT, MODE_EDGE } PadMode;                       /* enum attributes: order as spelled in ops.def */
typedef enum { RESIZE_NEAREST, RESIZE_BILINEAR } ResizeMode;
typedef enum { RESIZE_HALF_PIXEL, RESIZE_LEGACY } ResizeConvention;
typedef enum { RT_STEP, RT_EPOCH, RT_PROGRESS, RT_EPOCH_STEPS, RT_T } RuntimeScalar;

typedef struct {
    const char *name;
    int         nin;               /* -1: one or more */
    OpClass     class;
    unsigned    flags;
    OpGrad      grad;
    const char *test, *attrs, *doc;
} OpInfo;
extern const OpInfo op_info[OP_COUNT];
bool op_by_name(const char *name, Op *op);

/* Attribute schemas, parsed once from ops.def: attribute k of an op occupies attrs[offset .. offset + count). At most one `*` list has free length n;
 * two lists of one op (start, step) have equal lengths. */
typedef enum { ATTR_INT, ATTR_DIM, ATTR_ENUM } AttrKind;
typedef struct {
    const char *name; AttrKind kind;
    int count;                     /* -1: as many as the rank, or free when it is the only attribute */
    const char *const *words; int nwords;
    bool has_default; int64_t deflt;
} AttrInfo;
int op_attrs(Op op, const AttrInfo **infos);
int op_attr_count(Op op, int k, int nattrs);       /* numbers that attribute k has in a node with nattrs numbers; -1: nattrs does not fit the op */

/* What `pastiche ops [NAME]` prints: the table, or one op's page. false: no such op (out then says so, with the nearest name). */
bool ops_manual(const char *name_or_null, Text *out);
/* A small valid node of that op on fresh inputs, for the manual and for tests. variant 0, 1, ...: other shapes and attributes; 0 when there is no such variant. */
Ref op_example(Graph *g, Op op, int variant);
const char *dtype_name(Dtype t);                   /* "f32" */
bool dtype_by_name(const char *name, Dtype *t);

typedef struct {
    uint8_t  op, dtype, rank, flags;
    uint16_t nargs, nattrs;
    uint32_t shape, args, attrs;   /* offsets into the pools */
    double   value;                /* OP_const */
    Loc      loc;
    Loc      use;                  /* loc, or where the user's own text leads there when loc is in the library; line 0: not known */
    uint32_t chain;                /* index into g->chains: how the elaborator came here; 0 none */
    uint32_t hint;                 /* index into g->hints: the innermost pragma that it stands under; 0 none */
} Node;

/* Pragmas, `@name(args)` before a statement: the nodes that the statement makes carry them, through simplification too; they change no value. The table of them is in hints.c.
 * HINT_GRADIENT is no pragma: gradients() gives it to what it makes. */
typedef enum { HINT_NONE, HINT_REMAT, HINT_FUSE, HINT_NOFUSE, HINT_LAYOUT, HINT_BLOCK, HINT_GRADIENT, HINT_COUNT } HintKind;
enum { MAX_HINT_ARGS = 6 };
typedef struct { const char *word; int64_t num; } HintArg;                       /* word: interned; num: a number, or the number given for the word */
typedef struct { HintKind kind; uint32_t up, serial, nargs; HintArg args[MAX_HINT_ARGS]; Loc loc; } GraphHint;   /* up: the hint around it, 0 none; serial: differs where
                                                                                    a statement runs again (repeat, modules applied twice) */
typedef struct { const char *name, *args; int least; const char *doc; } HintInfo;     /* args: 'w' a word, 'n' a number, 'k' NAME: number, each of them once; least: so many must be there */
extern const HintInfo hint_info[HINT_COUNT];

/* What a graph leaves behind. */
typedef struct { const char *name; Ref value; Loc loc; double lo, hi; bool ranged; } GraphOutput;   /* outputs and reports; ranged: pixels map to [lo, hi] */
typedef struct { uint32_t var; Ref value; } GraphWrite;                          /* committed when the graph has run */
typedef struct { Ref cond; Loc loc; const char *message; } GraphAssert;          /* a bool scalar that must hold */
/* An equality between sizes that elaboration could not decide: checked when the sizes are known. */
typedef struct { Dim a, b; Loc loc; const char *message; } GraphCheck;

typedef enum { IN_TENSOR, IN_INT } InputKind;                                    /* IN_INT: a step's untyped parameter; a symbol, no node */
typedef struct {
    const char *name; InputKind kind; Dtype dtype; uint8_t rank; Dim shape[MAX_RANK];
    Dim         symbol;            /* IN_INT */
    bool        has_default; double deflt;
    bool        ranged; double lo, hi;
    Loc         loc;
} GraphInput;

struct Graph {
    const char *name;
    DimTable   *dims;              /* shared with the model */
    const Sources *sources;        /* paths for the places in run-time messages; NULL: only lines are named. program_new gives its copy of a graph the model's */
    Vec(Node)    nodes;            /* [0] is unused */
    Vec(Dim)     dims_pool;
    Vec(Ref)     arg_pool;
    Vec(int64_t) attr_pool;
    Vec(const char *) chains;
    Vec(GraphHint)   hints;        /* [0] is unused */
    Vec(GraphInput)  inputs;
    Vec(GraphOutput) outputs;
    Vec(GraphOutput) reports;
    Vec(GraphWrite)  writes;
    Vec(GraphAssert) asserts;
    Vec(GraphCheck)  checks;
    Vec(DimBind) likely;           /* sizes that algorithms are chosen for; what is computed holds for all */
    Vec(uint32_t) trained;         /* variables that steps write, this graph or others of its file: what is made of any other alone may be kept while this one trains */
    uint32_t   *buckets, nbuckets; /* hash-cons table */
    Loc         loc, use;          /* given to nodes made from now on */
    uint32_t    chain, hint;
    bool        again;             /* nodes made from now on carry FLAG_AGAIN: they are never the same node as one without it */
};

Graph *graph_new(const char *name, DimTable *dims);
void   graph_free(Graph *g);

static inline const Node    *node(const Graph *g, Ref r)       { return &g->nodes.at[r]; }
static inline const Dim     *node_shape(const Graph *g, Ref r) { return &g->dims_pool.at[g->nodes.at[r].shape]; }
static inline const Ref     *node_args(const Graph *g, Ref r)  { return &g->arg_pool.at[g->nodes.at[r].args]; }
static inline const int64_t *node_attrs(const Graph *g, Ref r) { return &g->attr_pool.at[g->nodes.at[r].attrs]; }
static inline Loc            node_use(const Graph *g, Ref r) { return g->nodes.at[r].use.line ? g->nodes.at[r].use : g->nodes.at[r].loc; }
static inline Ref            node_arg(const Graph *g, Ref r, int i) { return node_args(g, r)[i]; }
/* (these pointers are good until the next node is made) */

/* "dcgan.graph:19", "line 19" without g->sources, "" without a line. */
const char *place_text(const Graph *g, Loc loc, char *buf, size_t size);
/* Always false, as status_fail; the message starts with the node's place and its op's name and ends with where its text was applied. */
bool node_fail(const Graph *g, Ref r, Status *st, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* hints.c: the hint of that kind that r stands under, the innermost first; NULL: none. hint_add: equal hints are one. hint_copy: `hint` of another graph, with those around it. */
const GraphHint *node_hint(const Graph *g, Ref r, HintKind kind);
uint32_t hint_add(Graph *g, const GraphHint *h);
uint32_t hint_copy(Graph *to, const Graph *from, uint32_t hint);
HintKind hint_by_name(const char *name);                                         /* of a pragma; HINT_NONE: there is none */

/* The one way nodes are made. shape: required for FLAG_SHAPE_GIVEN ops (rank dims; rank -1 where the op can infer its usual result: concat, win_*), otherwise NULL and
 * inferred. dtype: required for leaves and ignored where inferred. Returns the Ref of the equal node if there is one. The call must be valid: infer_type first when it
 * comes from a user; a wrong one aborts with the reason, in all builds. shape, args and attrs may point into g's own pools.
 * Constants keep their full double value whatever the dtype (the float64 reference needs it); a backend rounds once, when it emits. Constants are equal when their bits are; all NaN are one. */
Ref make_node(Graph *g, Op op, Dtype dtype, int rank, const Dim *shape, int nargs, const Ref *args, int nattrs, const int64_t *attrs, double value);

/* Infers or checks the result of an op on given inputs. true: rank/shape/dtype are set; false: `why` says what is wrong, in a user's words, e.g.
 * "channel mismatch: input has C = 256, weights were made for 512". undecided: sizes that are equal only if a run says so are appended there (may be NULL: then an error). */
/* On entry *type holds what is given: dtype of a leaf; rank and shape of FLAG_SHAPE_GIVEN ops, rank -1: the op's usual result (concat, win_*).
 * Sizes count as equal when they are the same Dim or when g->checks holds their equation: so a caller appends what was undecided to g->checks and then makes the node. */
typedef struct { Dtype dtype; int rank; Dim shape[MAX_RANK]; } Type;
typedef Vec(GraphCheck) CheckList;
bool infer_type(const Graph *g, Op op, int nargs, const Ref *args, int nattrs, const int64_t *attrs, Type *type, CheckList *undecided, char *why, size_t nwhy);
/* The common shape of operands that broadcast (equal ranks or rank 0; axes equal or literal 1): what b_binary and b_select will give. Same errors, "cannot add ...". */
bool infer_broadcast(const Graph *g, Op op, int nargs, const Ref *args, Type *type, CheckList *undecided, char *why, size_t nwhy);
Type node_type(const Graph *g, Ref r);
void type_print(const DimTable *dims, const Type *t, Text *out);         /* f32[N, 3, 4*H, 4*W] */

/* ---- builders: thin helpers used by the elaborator, autodiff and passes; they fold constants and drop identities (x*1, x+0, reshape to the same shape, double transposes) ---- */
Ref  b_const(Graph *g, Dtype t, double v);                               /* rank 0 */
Ref  b_fill(Graph *g, Dtype t, double v, int rank, const Dim *shape);    /* broadcast const */
Ref  b_size(Graph *g, Dim d);                                            /* f32 scalar; a const when d is */
Ref  b_unary(Graph *g, Op op, Ref a);
Ref  b_binary(Graph *g, Op op, Ref a, Ref b);                            /* shapes equal, or one is rank 0, or size-1 axes: broadcasts are made explicit */
Ref  b_select(Graph *g, Ref c, Ref a, Ref b);
Ref  b_cast(Graph *g, Ref a, Dtype t);
Ref  b_sum(Graph *g, Ref a, const int *axes, int naxes);                 /* axes keep size 1; no axes: a itself */
Ref  b_sum_all(Graph *g, Ref a);                                         /* to rank 0 */
Ref  b_reshape(Graph *g, Ref a, int rank, const Dim *shape);
Ref  b_broadcast(Graph *g, Ref a, int rank, const Dim *shape);
Ref  b_sum_to(Graph *g, Ref a, int rank, const Dim *shape);              /* the adjoint of broadcast: sums back to that shape */
Ref  b_transpose(Graph *g, Ref a, const int *perm);
Ref  b_slice(Graph *g, Ref a, const Dim *start, const int *step, const Dim *shape);
Ref  b_place(Graph *g, Ref a, const Dim *start, const int *step, const Dim *shape);
Ref  b_concat(Graph *g, int n, const Ref *parts, int axis);
bool is_const_value(const Graph *g, Ref r, double *v);                   /* also through broadcast, reshape and cast of a const */
Dim  element_count(const Graph *g, Ref r);
Dim  contract_macs(const Graph *g, Ref r);                                     /* multiply-adds of a contraction node, 0 for others */

/* ---- whole-graph work ---- */
/* Gradients of the scalar y with respect to wrt[0..n): out[i] is a node of wrt[i]'s shape, or 0 where y does not depend on it. Appends nodes; any order: apply it to its own results.
 * An op without a derivative on a path from some wrt to y fails: *culprit is its node. See grad.c. */
bool gradients(Graph *g, Ref y, int n, const Ref *wrt, Ref *out, Ref *culprit);
void simplify(Graph *g);           /* algebra, movement, dead code: rebuilds g with only what outputs, reports, writes and asserts need */
void simplify_without(Graph *g, Passes off);       /* the same with these passes off; dead code goes all the same */
void dce(Graph *g);                /* dead code only */
Graph *graph_clone(const Graph *g);                /* all of it, nodes in their order */
/* Copies what `outs` needs from one graph into another, with replacements map[ref] preset non-zero; used by inlining and passes. */
Ref  graph_copy(Graph *to, const Graph *from, Ref r, Ref *map);

/* Checks order, shapes against infer_type, dtypes, attributes, outputs. Returns false and the first fault; asserted after each pass in debug builds. */
bool verify(const Graph *g, char *why, size_t nwhy);

/* The text form: one node a line, `%5 = add(%3, %4) : f32[N, 3, 4*H, 4*W]  # file:line`; parses again to an equal graph. */
void   graph_print(const Graph *g, const Sources *s, Text *out);
Graph *graph_parse(const char *text, DimTable *dims, char *why, size_t nwhy);

#endif
