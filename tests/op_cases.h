/* op_cases.h - the attribute classes of every op, as small graphs: what tests/test_ops.c differentiates, and a ready list for any test that
 * compares backends. Elementwise rows need no line here: list_cases makes theirs from ops.def. To cover a new class, add a line.
 *
 * shapes: operands separated by ';', "-" is a scalar, a leading i or b means i32 or bool, f32 otherwise. out: for ops whose result shape is given.
 */
#ifndef PASTICHE_TESTS_OP_CASES_H
#define PASTICHE_TESTS_OP_CASES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"

typedef struct { const char *op, *attrs, *shapes, *out; const char *domain; /* NULL: the row's */ } OpCase;

enum { CASE_MAX_ARGS = 4, CASE_MAX_ATTRS = 32 };

static const OpCase op_cases[] = {
    /* elementwise rows whose operands are not all of one kind */
    {"select", "", "b3,4; 3,4; 3,4", NULL, "ANY"},
    {"cast", "0", "3,4", NULL, "ANY"},
    {"cast", "1", "3,4", NULL, "ANY"},
    {"pow", "", "3,4; 3,4", NULL, "POS"},
    {"neg", "", "-", NULL, NULL},
    {"mul", "", "17; 17", NULL, NULL},
    {"add", "", "2,1,3,5; 2,1,3,5", NULL, NULL},
    /* reductions: inner, outer, several, all, over size 1, ties apart */
    {"sum", "0", "5", NULL, NULL},
    {"sum", "1", "3,4", NULL, NULL},
    {"sum", "0", "3,4", NULL, NULL},
    {"sum", "0 2 3", "2,3,2,3", NULL, NULL},
    {"sum", "0 1 2", "2,3,4", NULL, NULL},
    {"sum", "1", "3,1,2", NULL, NULL},
    {"amax", "1", "3,4", NULL, NULL},
    {"amax", "0 2", "3,2,4", NULL, NULL},
    {"amax", "0 1", "3,4", NULL, NULL},
    {"argmax", "1", "3,4,2", NULL, NULL},
    {"argmax", "2", "3,4,2", NULL, NULL},
    /* movement */
    {"reshape", "", "2,3,4", "4,6", NULL},
    {"reshape", "", "6", "1,2,3,1", NULL},
    {"transpose", "1 0", "3,4", NULL, NULL},
    {"transpose", "2 0 3 1", "2,3,2,4", NULL, NULL},
    {"broadcast", "", "-", "2,3", NULL},
    {"broadcast", "", "1,3,1", "2,3,4", NULL},
    {"broadcast", "", "1,1,1,1", "1,2,1,3", NULL},
    {"slice", "1 0 1 1", "3,4", "2,3", NULL},
    {"slice", "2 0 -1 2", "3,5", "3,3", NULL},
    {"slice", "1 3 0 2 -3 1", "4,4,2", "2,2,1", NULL},
    {"place", "1 2 1 1", "2,3", "4,7", NULL},
    {"place", "3 0 -2 3", "2,3", "4,8", NULL},
    {"pad", "0 0 1 2 0", "1,2,4,3", "1,2,6,7", NULL},
    {"pad", "0 0 3 0 0", "1,2,4,3", "1,2,10,5", NULL},
    {"pad", "0 0 1 2 1", "1,2,4,3", "1,2,6,7", NULL},
    {"pad", "2 0 1", "1,3", "5,3", "ANY"},
    {"pad_adjoint", "0 0 1 2 0", "1,2,6,7", "1,2,4,3", NULL},
    {"pad_adjoint", "0 0 1 2 1", "1,2,6,7", "1,2,4,3", NULL},
    {"concat", "0", "2,3; 1,3; 2,3", NULL, NULL},
    {"concat", "1", "2,3,2; 2,1,2", NULL, NULL},
    {"concat", "3", "1,2,1,3; 1,2,1,2", NULL, NULL},
    /* resize: up, down, odd, to one, from one; both modes and conventions */
    {"resize", "0 0", "1,2,3,2", "1,2,6,4", NULL},
    {"resize", "0 0", "1,1,5,4", "1,1,3,7", NULL},
    {"resize", "0 1", "1,1,5,4", "1,1,7,3", NULL},
    {"resize", "1 0", "1,2,3,2", "1,2,6,4", NULL},
    {"resize", "1 0", "1,1,5,4", "1,1,3,7", NULL},
    {"resize", "1 0", "1,1,1,4", "1,1,3,1", NULL},
    {"resize", "1 1", "1,2,3,2", "1,2,6,4", NULL},
    {"resize", "1 1", "1,1,5,4", "1,1,3,7", NULL},
    {"resize_adjoint", "0 0", "1,1,3,7", "1,1,5,4", NULL},
    {"resize_adjoint", "0 1", "1,2,6,4", "1,2,3,2", NULL},
    {"resize_adjoint", "1 0", "1,1,3,7", "1,1,5,4", NULL},
    {"resize_adjoint", "1 1", "1,2,6,4", "1,2,3,2", NULL},
    /* contractions */
    {"matmul", "0 0", "3,4; 4,2", NULL, NULL},
    {"matmul", "1 0", "4,3; 4,2", NULL, NULL},
    {"matmul", "0 1", "3,4; 2,4", NULL, NULL},
    {"matmul", "1 1", "4,3; 2,4", NULL, NULL},
    {"matmul", "0 0", "2,3,2; 2,2,4", NULL, NULL},
    {"matmul", "1 1", "2,1,2,3; 2,1,4,2", NULL, NULL},
    {"matmul", "0 0", "1,5; 5,1", NULL, NULL},
    /*         stride pad      dil  groups */
    {"conv",    "1 1  0 0 0 0  1 1  1", "2,3,4,5; 2,3,3,3", NULL, NULL},
    {"conv",    "1 1  1 1 1 1  1 1  1", "1,2,4,3; 3,2,3,3", NULL, NULL},
    {"conv",    "2 2  1 1 1 1  1 1  1", "1,2,6,4; 2,2,4,4", NULL, NULL},
    {"conv",    "2 3  0 1 2 0  1 1  1", "1,2,5,6; 2,2,3,2", NULL, NULL},
    {"conv",    "1 1  2 2 1 1  2 1  1", "1,2,4,3; 2,2,3,3", NULL, NULL},
    {"conv",    "2 1  0 0 2 2  1 2  2", "1,4,4,4; 4,2,2,3", NULL, NULL},
    {"conv",    "1 1  1 1 1 1  1 1  3", "1,3,3,4; 3,1,3,3", NULL, NULL},
    {"conv",    "2 2  1 1 1 1  1 1  2", "1,2,5,5; 4,1,3,3", NULL, NULL},
    {"conv",    "1 1  0 0 0 0  1 1  1", "2,3,2,2; 4,3,1,1", NULL, NULL},
    {"conv",    "3 3  0 0 0 0  1 1  1", "1,1,7,8; 2,1,2,2", NULL, NULL},
    {"conv_dx", "1 1  1 1 1 1  1 1  1", "1,3,4,3; 3,2,3,3", "1,2,4,3", NULL},
    {"conv_dx", "2 2  1 1 1 1  1 1  1", "1,2,3,2; 2,2,4,4", "1,2,6,4", NULL},
    {"conv_dx", "2 2  1 1 1 1  1 1  1", "1,2,3,3; 2,2,3,3", "1,2,6,6", NULL},    /* output padding 1 */
    {"conv_dx", "3 2  0 0 0 0  1 1  1", "1,2,2,2; 2,1,2,2", "1,1,7,5", NULL},    /* output padding 2, 1; a gap in the middle */
    {"conv_dx", "2 1  0 0 2 2  1 2  2", "1,4,2,4; 4,2,2,3", "1,4,5,4", NULL},
    {"conv_dx", "1 1  1 1 1 1  1 1  3", "1,3,3,4; 3,1,3,3", "1,3,3,4", NULL},
    {"conv_dx", "2 2  1 0 2 1  2 1  1", "1,2,3,3; 2,2,2,3", "1,2,6,5", NULL},
    {"conv_dw", "1 1  1 1 1 1  1 1  1", "2,2,4,3; 2,3,4,3", "3,2,3,3", NULL},
    {"conv_dw", "2 2  1 1 1 1  1 1  1", "1,2,6,4; 1,2,3,2", "2,2,4,4", NULL},
    {"conv_dw", "2 3  0 1 2 0  1 1  1", "1,2,5,6; 1,2,2,3", "2,2,3,2", NULL},
    {"conv_dw", "2 1  0 0 2 2  1 2  2", "1,4,4,4; 1,4,2,4", "4,2,2,3", NULL},
    {"conv_dw", "1 1  1 1 1 1  1 1  3", "1,3,3,4; 1,3,3,4", "3,1,3,3", NULL},
    /*         kernel stride pad */
    {"win_sum", "2 2  2 2  0 0 0 0", "1,2,4,6", "1,2,2,3", NULL},
    {"win_sum", "3 3  1 1  1 1 1 1", "1,1,4,3", "1,1,4,3", NULL},
    {"win_sum", "3 2  2 1  0 1 1 0", "1,2,5,4", "1,2,2,4", NULL},
    {"win_sum", "3 3  2 2  0 0 0 0", "1,1,6,6", "1,1,3,3", NULL},                /* ceil mode */
    {"win_sum_adjoint", "2 2  2 2  0 0 0 0", "1,2,2,3", "1,2,4,6", NULL},
    {"win_sum_adjoint", "3 3  1 1  1 1 1 1", "1,1,4,3", "1,1,4,3", NULL},
    {"win_max", "2 2  2 2  0 0 0 0", "1,2,4,6", "1,2,2,3", NULL},
    {"win_max", "3 3  2 2  1 1 1 1", "1,1,5,5", "1,1,3,3", NULL},
    {"win_max", "3 3  2 2  0 0 0 0", "1,1,6,6", "1,1,3,3", NULL},                /* ceil mode */
    {"win_max", "2 3  1 2  1 0 0 1", "1,2,3,5", "1,2,3,2", NULL},
    {"win_pick", "2 2  2 2  0 0 0 0", "1,2,4,6; 1,2,4,6", "1,2,2,3", NULL},
    {"win_pick", "3 3  2 2  0 0 0 0", "1,1,6,6; 1,1,6,6", "1,1,3,3", NULL},
    {"win_unpick", "2 2  2 2  0 0 0 0", "1,2,4,6; 1,2,2,3", NULL, NULL},
    {"win_unpick", "3 3  1 1  1 1 1 1", "1,1,4,3; 1,1,4,3", NULL, NULL},
    {"win_unpick", "3 3  2 2  0 0 0 0", "1,1,6,6; 1,1,3,3", NULL, NULL},         /* ceil mode */
    /* by index, repeats included */
    {"gather", "", "5,3; i4", NULL, "ANY"},
    {"gather", "", "3; i2,4", NULL, "ANY"},
    {"gather", "", "2,2,3; i2,3", NULL, "ANY"},
    {"scatter_add", "", "4,3; i4", "5,3", "ANY"},
    {"scatter_add", "", "2,3,2,3; i2,3", "2,2,3", "ANY"},
};

/* The cases above, then one for each elementwise row from its column of domains. Strings live as long as the program. Returns their number. */
static inline int list_cases(OpCase *out, int max)
{
    int n = 0;
    for (size_t i = 0; i < COUNT(op_cases) && n < max; i++)
        out[n++] = op_cases[i];
    for (int op = 0; op < OP_COUNT && n < max; op++) {
        bool bools = !strcmp(op_info[op].test, "BOOL");
        if (op_info[op].class != CLASS_ELEM || !strcmp(op_info[op].test, "NONE"))
            continue;
        static const char *const floats[] = {"", "3,7", "3,7; 3,7"}, *const masks[] = {"", "b3,7", "b3,7; b3,7"};
        out[n++] = (OpCase){op_info[op].name, "", (bools ? masks : floats)[op_info[op].nin], NULL, NULL};
    }
    return n;
}

/* "2,3,4" or "-" at *s, up to ';' or the end; advances past the ';'. Returns the rank. */
static inline int case_shape(const char **s, Dtype *dtype, int64_t *shape)
{
    int rank = 0;
    *s += strspn(*s, " ");
    *dtype = **s == 'i' ? DT_I32 : **s == 'b' ? DT_BOOL : DT_F32;
    *s += **s == 'i' || **s == 'b' || **s == '-';
    while (**s && **s != ';') {
        shape[rank++] = strtoll(*s, (char **)s, 10);
        *s += **s == ',';
    }
    *s += **s == ';';
    return rank;
}

/* A node on fresh inputs, all sizes constant. */
typedef struct { Graph *g; Op op; int nargs; Ref args[CASE_MAX_ARGS]; Ref result; } CaseGraph;

static inline Ref case_input(Graph *g, Dtype dtype, int rank, const int64_t *shape)
{
    GraphInput in = {.name = "x", .kind = IN_TENSOR, .dtype = dtype, .rank = (uint8_t)rank};
    int64_t    index = g->inputs.n;
    for (int i = 0; i < rank; i++)
        in.shape[i] = dim_const(g->dims, shape[i]);
    vec_push(&g->inputs, in);
    return make_node(g, OP_input, dtype, rank, in.shape, 0, NULL, 1, &index, 0);
}

/* Turns the numbers of Dim attributes into Dims. */
static inline void case_dims(Graph *g, Op op, int n, int64_t *attrs)
{
    const AttrInfo *infos;
    int             at = 0, k = op_attrs(op, &infos);
    for (int i = 0; i < k; i++)
        for (int count = op_attr_count(op, i, n); count-- > 0; at++)
            if (infos[i].kind == ATTR_DIM)
                attrs[at] = (int64_t)dim_const(g->dims, attrs[at]);
}

static inline bool case_build(const OpCase *c, Graph *g, CaseGraph *out)
{
    int64_t     attrs[CASE_MAX_ATTRS], shape[MAX_RANK];
    int         nattrs = 0, rank = -1;                     /* -1: the usual result of concat and windows */
    Dtype       dtype;
    Dim         dims[MAX_RANK];
    char       *end;
    *out = (CaseGraph){.g = g};
    if (!op_by_name(c->op, &out->op))
        return false;
    for (const char *s = c->attrs; *(s += strspn(s, " ")); s = end)
        attrs[nattrs++] = strtoll(s, &end, 10);
    case_dims(g, out->op, nattrs, attrs);
    for (const char *s = c->shapes; *s;) {
        int r = case_shape(&s, &dtype, shape);
        out->args[out->nargs++] = case_input(g, dtype, r, shape);
    }
    if (c->out) {
        const char *s = c->out;
        rank = case_shape(&s, &dtype, shape);
        for (int i = 0; i < rank; i++)
            dims[i] = dim_const(g->dims, shape[i]);
    }
    out->result = make_node(g, out->op, DT_F32, rank, c->out ? dims : NULL, out->nargs, out->args, nattrs, attrs, 0);
    return true;
}

/* Values for input number `index` of g in the case's domain; deterministic in seed. Indices count rows of the table (m). */
static inline bool case_fill(const Graph *g, uint32_t index, const char *domain, int64_t m, uint64_t seed, Tensor *t)
{
    const GraphInput *in = &g->inputs.at[index];
    int64_t           shape[MAX_RANK];
    for (int i = 0; i < in->rank; i++)
        dim_is_const(g->dims, in->shape[i], &shape[i]);
    Status st = {0};
    if (!tensor_alloc(t, in->dtype == DT_F32 ? DT_F64 : in->dtype, in->rank, shape, &st))
        return false;
    int64_t n = tensor_count(t);
    for (int64_t i = 0; i < n; i++) {
        double u = rng_uniform((Rng){seed, 0}, index, (uint64_t)i), v = 3 * u - 1.5;
        if (in->dtype == DT_I32)
            v = floor(u * (double)m);
        else if (in->dtype == DT_BOOL)
            v = u < 0.5;
        else if (!strcmp(domain, "POS"))
            v = 0.5 + 1.5 * u;
        else if (!strcmp(domain, "NZ"))
            v = u < 0.5 ? 0.3 + 3 * u : 1.2 - 3 * u;       /* 0.3..1.8, -0.3..-1.8 */
        else if (!strcmp(domain, "UNIT"))
            v = 1.8 * u - 0.9;
        tensor_set(t, i, v);
    }
    if (strcmp(domain, "NOTIE") || in->dtype != DT_F32)
        return true;
    for (int64_t i = 0; i < n; i++)                        /* distinct multiples of 1/8, shuffled; operands lie 1/16 apart */
        tensor_set(t, i, (double)(i - n / 2) / 8 + (index % 2 ? 1.0 / 16 : 0));
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)(rng_uniform((Rng){seed, 1}, index, (uint64_t)i) * (double)(i + 1));
        double  a = tensor_get(t, i);
        tensor_set(t, i, tensor_get(t, j));
        tensor_set(t, j, a);
    }
    return true;
}

#endif
