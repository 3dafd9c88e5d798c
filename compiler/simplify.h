/* simplify.h - what the files of the simplifier share: the state of a pass, the smart constructors, and the rules of simplify_rules.def.
 *
 * Every constructor here returns a simplified node: it makes the node, then lets the rules have a go at it. A rule therefore reads arguments that are
 * simplified already and builds its answer through these constructors alone.
 */
#ifndef PASTICHE_SIMPLIFY_H
#define PASTICHE_SIMPLIFY_H

#include "ir.h"

typedef struct {
    Graph   *g;                    /* the graph under construction */
    Vec(Ref) done;                 /* done[r]: what node r of g became; 0: not asked yet; UNDER_WAY */
    uint32_t depth;                /* of rules within rules */
    Passes   off;
} Simp;

Ref simp(Simp *s, Ref r);

/* ---- reading ---- */
static inline Op   op_of(const Simp *s, Ref r)          { return (Op)node(s->g, r)->op; }
static inline Ref  arg_of(const Simp *s, Ref r, int i)  { return node_arg(s->g, r, i); }
static inline Type type_of(const Simp *s, Ref r)        { return node_type(s->g, r); }
static inline Dim  one_of(const Simp *s)                { return dim_const(s->g->dims, 1); }
static inline bool is_float_dtype(Dtype t)              { return t == DT_F32 || t == DT_F64; }
bool same_shape(const Type *a, const Type *b);
bool is_value(const Simp *s, Ref r, double v);          /* a constant with that value everywhere */
bool dim_le(const Simp *s, Dim a, Dim b);               /* provably a <= b */
typedef struct { Dim start[MAX_RANK]; int step[MAX_RANK]; } Span;
Span span_of(const Simp *s, Ref r);                     /* of a slice or place */

/* ---- making; shapes and lists are the caller's own copies, never pointers into the pools ---- */
Ref s_fill(Simp *s, Dtype t, double v, int rank, const Dim *shape);
Ref s_fill_like(Simp *s, Ref like, double v);
Ref s_unary(Simp *s, Op op, Ref a);
Ref s_binary(Simp *s, Op op, Ref a, Ref b);             /* equal shapes */
Ref s_select(Simp *s, Ref c, Ref a, Ref b);
Ref s_cast(Simp *s, Ref a, Dtype t);
Ref s_like(Simp *s, Ref r, const Type *t, const Ref *args);   /* r's op and attributes on other args; t: the result, where the op needs it given */
Ref s_scale(Simp *s, Ref a, double k);                  /* a * k */
Ref s_reshape(Simp *s, Ref a, int rank, const Dim *shape);
Ref s_broadcast(Simp *s, Ref a, int rank, const Dim *shape);
Ref s_transpose(Simp *s, Ref a, const int *perm);
Ref s_slice(Simp *s, Ref a, const Span *w, const Dim *shape);
Ref s_place(Simp *s, Ref a, const Span *w, const Dim *shape);
Ref s_concat(Simp *s, int n, const Ref *parts, int axis);
Ref s_reduce(Simp *s, Op op, Ref a, const bool *axes);  /* op: sum or amax; axes[rank]; none: a itself */
Ref s_size(Simp *s, Dim d, Dtype t);                    /* rank 0 */

/* ---- for more than one file of rules ---- */
/* Which pieces of a concat hold [start, start + size) along its axis: true and pieces first..last with `offset` into the first, when it lies within one
 * piece or covers whole ones. */
bool concat_pieces(const Simp *s, Ref concat, Dim start, Dim size, int *first, int *last, Dim *offset);
void read_axes(const Simp *s, Ref r, bool *axes);       /* of a sum or amax: axes[MAX_RANK] */
bool is_spread_scalar(const Simp *s, Ref a);            /* a constant, or broadcast from rank 0 */
Ref  respread(Simp *s, Ref a, int rank, const Dim *to); /* such a one, over another shape */

#define RULE(pass, op, function, text) Ref rule_##function(Simp *s, Ref r);
#include "simplify_rules.def"
#undef RULE

/* dce.c: node r of `from` with mapped arguments, place and chain kept. */
Graph *graph_like(const Graph *g);                       /* without nodes, but with the checks that make sizes equal: nodes can be copied into it */
Ref copy_node(Graph *to, const Graph *from, Ref r, const Ref *map);
/* What g has beside nodes and checks, into a graph made by graph_like; map: by node of g. */
void copy_lists(Graph *to, const Graph *g, const Ref *map);
/* Re-points what g leaves behind by map and takes over the nodes of `from`, which is freed. */
void adopt_nodes(Graph *g, Graph *from, const Ref *map);

#endif
