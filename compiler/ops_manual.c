/* ops_manual.c - the op table as a reader sees it (`pastiche ops [NAME]`), and a small example of every op, which the manual prints and tests use.
 * Everything comes from ops.def and from the example itself: there is no second text to keep true.
 */
#include "ir.h"

#include <string.h>

/* ---- examples ---- */

static Ref input(Graph *g, Dtype t, int rank, const Dim *shape)
{
    GraphInput in = { .kind = IN_TENSOR, .dtype = t, .rank = (uint8_t)rank };
    char       name[16];
    snprintf(name, sizeof name, "in%u", g->inputs.n);
    in.name = intern(name);
    if (rank)
        memcpy(in.shape, shape, (size_t)rank * sizeof *shape);
    vec_push(&g->inputs, in);
    int64_t index = g->inputs.n - 1;
    return make_node(g, OP_input, t, rank, shape, 0, NULL, 1, &index, 0);
}

#define SHAPE(...)     (int)(sizeof((Dim[]){ __VA_ARGS__ }) / sizeof(Dim)), (const Dim[]){ __VA_ARGS__ }
#define ATTRS(...)     (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[]){ __VA_ARGS__ }
#define IN(t, ...)     input(g, t, SHAPE(__VA_ARGS__))
#define LEAF(t, ...)   make_node(g, op, t, SHAPE(__VA_ARGS__), 0, NULL, 1, &(int64_t){ 1 }, 0)
#define ONE(a)         1, &(Ref){ a }
#define TWO(a, b)      2, (const Ref[]){ a, b }

static Ref example_leaf(Graph *g, Op op, int variant)
{
    DimTable *d = g->dims;
    Dim       n = dim_sym(d, "N"), h = dim_sym(d, "H");
    if (op == OP_input && variant < 2)
        return variant ? input(g, DT_F32, 0, NULL) : IN(DT_F32, n, 3, dim_scale(d, h, 4), 64);
    if (op == OP_const) {
        static const double values[] = { 0.5, 1e-8, -3, 0.1 };
        return variant < 4 ? b_const(g, variant == 2 ? DT_I32 : DT_F32, values[variant]) : 0;
    }
    if (variant)
        return 0;
    if (op == OP_runtime || op == OP_size)
        return make_node(g, op, DT_F32, 0, NULL, 0, NULL, ATTRS(op == OP_size ? (int64_t)dim_mul(d, n, h) : RT_PROGRESS), 0);
    if (op == OP_var)
        return LEAF(DT_F32, 16, 3, 4, 4);
    if (op == OP_iota)
        return LEAF(DT_I32, n, 10);
    return make_node(g, op, DT_F32, SHAPE(n, 100), 0, NULL, ATTRS(7, 0), 0);
}

static Ref example_elem(Graph *g, Op op, int variant)
{
    Dim   n = dim_sym(g->dims, "N");
    Dtype t = op == OP_not || op == OP_and || op == OP_or ? DT_BOOL : DT_F32;
    Ref   args[3];
    if (op == OP_cast) {
        static const Dtype from[] = { DT_F32, DT_I32, DT_BOOL, DT_F32 };
        static const int   to[] = { 2, 0, 0, 3 };
        return variant < 4 ? make_node(g, op, DT_NONE, 0, NULL, ONE(IN(from[variant], n, 10)), ATTRS(to[variant]), 0) : 0;
    }
    if (variant > 1)
        return 0;
    for (int i = 0; i < op_info[op].nin; i++) {
        Dtype a = op == OP_select && i == 0 ? DT_BOOL : t;
        args[i] = variant ? input(g, a, 0, NULL) : IN(a, n, 3, 8, 8);
    }
    return make_node(g, op, DT_NONE, 0, NULL, op_info[op].nin, args, 0, NULL, 0);
}

static Ref example_reduce(Graph *g, Op op, int variant)
{
    Dim n = dim_sym(g->dims, "N"), h = dim_sym(g->dims, "H");
    Ref a = IN(DT_F32, n, 3, h, 8);
    if (variant == 0 && op != OP_argmax)
        return make_node(g, op, DT_NONE, 0, NULL, ONE(a), ATTRS(2, 3), 0);
    return variant < 2 ? make_node(g, op, DT_NONE, 0, NULL, ONE(a), ATTRS(variant ? 0 : 1), 0) : 0;
}

static Ref example_strided(Graph *g, Op op, int variant)
{
    DimTable *d = g->dims;
    Dim       n = dim_sym(d, "N"), h = dim_sym(d, "H"), whole = dim_add(d, h, 3);
    bool      cut = op == OP_slice;
    switch (variant) {
    case 0: return make_node(g, op, DT_NONE, SHAPE(n, cut ? h : whole), ONE(IN(DT_F32, n, cut ? whole : h)), ATTRS(0, 2, 1, 1), 0);
    case 1: return make_node(g, op, DT_NONE, SHAPE(4, cut ? 5 : 10), ONE(IN(DT_F32, 4, cut ? 10 : 5)), ATTRS(0, 9, 1, -2), 0);
    case 2: return make_node(g, op, DT_NONE, SHAPE(cut ? 3 : 8, n), ONE(IN(DT_F32, cut ? 8 : 3, n)), ATTRS(1, 0, 3, 1), 0);
    default: return 0;
    }
}

static Ref example_move(Graph *g, Op op, int variant)
{
    DimTable *d = g->dims;
    Dim       n = dim_sym(d, "N"), h = dim_sym(d, "H"), w = dim_sym(d, "W"), more = dim_add(d, h, 5);
    switch (op) {
    case OP_slice:
    case OP_place:
        return example_strided(g, op, variant);
    case OP_pad:
    case OP_pad_adjoint:
        return variant > 1 ? 0 : op == OP_pad ? make_node(g, op, DT_NONE, SHAPE(n, more, 9), ONE(IN(DT_F32, n, h, 9)), ATTRS(0, 2, 0, variant), 0)
                                              : make_node(g, op, DT_NONE, SHAPE(n, h, 9), ONE(IN(DT_F32, n, more, 9)), ATTRS(0, 2, 0, variant), 0);
    default:
        break;
    }
    if (variant > 1)
        return 0;
    if (op == OP_reshape)
        return variant ? make_node(g, op, DT_NONE, SHAPE(2, 12), ONE(IN(DT_F32, 4, 6)), 0, NULL, 0)
                       : make_node(g, op, DT_NONE, SHAPE(n, dim_scale(d, dim_mul(d, h, w), 3)), ONE(IN(DT_F32, n, 3, h, w)), 0, NULL, 0);
    if (op == OP_transpose)
        return variant ? make_node(g, op, DT_NONE, 0, NULL, ONE(IN(DT_F32, n, 3, h, w)), ATTRS(3, 1, 0, 2), 0) : make_node(g, op, DT_NONE, 0, NULL, ONE(IN(DT_F32, n, h, 5)), ATTRS(0, 2, 1), 0);
    if (op == OP_broadcast)
        return make_node(g, op, DT_NONE, SHAPE(n, 3, h, w), ONE(variant ? input(g, DT_F32, 0, NULL) : IN(DT_F32, 1, 3, 1, 1)), 0, NULL, 0);
    return variant ? make_node(g, op, DT_NONE, -1, NULL, ONE(IN(DT_F32, n, 2)), ATTRS(1), 0)
                   : make_node(g, op, DT_NONE, -1, NULL, TWO(IN(DT_F32, n, 3, h), IN(DT_F32, n, 5, h)), ATTRS(1), 0);
}

/* stride, pad, dilation, groups */
static const int64_t conv_cases[][9] = {
    { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, { 2, 2, 1, 1, 1, 1, 1, 1, 1 }, { 1, 1, 2, 2, 2, 2, 2, 2, 1 }, { 1, 2, 0, 1, 1, 0, 1, 1, 2 }, { 1, 1, 1, 1, 1, 1, 1, 1, 8 },
};

static Ref example_contract(Graph *g, Op op, int variant)
{
    DimTable *d = g->dims;
    Dim       n = dim_sym(d, "N"), h = dim_scale(d, dim_sym(d, "H"), 4);
    if (op == OP_matmul) {
        int ta = variant & 1, tb = variant >> 1;
        return variant > 3 ? 0 : make_node(g, op, DT_NONE, 0, NULL, TWO(IN(DT_F32, 2, ta ? 5 : n, ta ? n : 5), IN(DT_F32, 2, tb ? 7 : 5, tb ? 5 : 7)), ATTRS(ta, tb), 0);
    }
    if (variant >= (int)COUNT(conv_cases))
        return 0;
    const int64_t *c = conv_cases[variant];
    Dim            x[4] = { n, 8, h, 12 }, w[4] = { 16, (Dim)(8 / c[8]), 3, 3 };
    Ref            px = input(g, DT_F32, 4, x), pw = input(g, DT_F32, 4, w);
    Ref            y = make_node(g, OP_conv, DT_NONE, 0, NULL, TWO(px, pw), 9, c, 0);
    Type           t = node_type(g, y);
    if (op == OP_conv)
        return y;
    if (op == OP_conv_dx)
        return make_node(g, op, DT_NONE, 4, x, TWO(input(g, DT_F32, 4, t.shape), pw), 9, c, 0);
    return make_node(g, op, DT_NONE, 4, w, TWO(px, input(g, DT_F32, 4, t.shape)), 9, c, 0);
}

static Ref example_window(Graph *g, Op op, int variant)
{
    static const int64_t cases[][8] = { { 2, 2, 2, 2, 0, 0, 0, 0 }, { 3, 3, 2, 2, 1, 1, 1, 1 }, { 3, 2, 1, 2, 0, 2, 1, 0 } };
    Dim                  n = dim_sym(g->dims, "N"), h = dim_scale(g->dims, dim_sym(g->dims, "H"), 2), big[4] = { n, 3, dim_scale(g->dims, h, 2), 16 };
    if (op == OP_resize || op == OP_resize_adjoint) {
        Dim small[4] = { n, 3, h, 10 };
        return variant > 3 ? 0 : make_node(g, op, DT_NONE, 4, op == OP_resize ? big : small, ONE(input(g, DT_F32, 4, op == OP_resize ? small : big)), ATTRS(variant & 1, variant >> 1), 0);
    }
    bool ceil = variant == 3;
    if (variant > 3)
        return 0;
    const int64_t *c = ceil ? cases[0] : cases[variant];
    Dim            odd[4] = { n, 3, 7, 9 }, half[4] = { n, 3, 4, 5 }, *x = ceil ? odd : big;
    Ref            px = input(g, DT_F32, 4, x), y = make_node(g, OP_win_max, DT_NONE, ceil ? 4 : -1, ceil ? half : NULL, ONE(px), 8, c, 0);
    Type           t = node_type(g, y);
    switch (op) {
    case OP_win_max: return y;
    case OP_win_sum: return make_node(g, op, DT_NONE, 4, t.shape, ONE(px), 8, c, 0);
    case OP_win_sum_adjoint: return make_node(g, op, DT_NONE, 4, x, ONE(input(g, DT_F32, 4, t.shape)), 8, c, 0);
    case OP_win_pick: return make_node(g, op, DT_NONE, 4, t.shape, TWO(px, input(g, DT_F32, 4, x)), 8, c, 0);
    default: return make_node(g, op, DT_NONE, 0, NULL, TWO(px, input(g, DT_F32, 4, t.shape)), 8, c, 0);
    }
}

static Ref example_index(Graph *g, Op op, int variant)
{
    Dim n = dim_sym(g->dims, "N");
    Ref index = variant ? IN(DT_I32, n, 2) : IN(DT_I32, n);
    if (variant > 1)
        return 0;
    if (op == OP_gather)
        return make_node(g, op, DT_NONE, 0, NULL, TWO(IN(DT_F32, 10, 4), index), 0, NULL, 0);
    return make_node(g, op, DT_NONE, SHAPE(10, 4), TWO(variant ? IN(DT_F32, n, 2, 4) : IN(DT_F32, n, 4), index), 0, NULL, 0);
}

Ref op_example(Graph *g, Op op, int variant)
{
    switch (op_info[op].class) {
    case CLASS_LEAF: return example_leaf(g, op, variant);
    case CLASS_ELEM: return example_elem(g, op, variant);
    case CLASS_REDUCE: return example_reduce(g, op, variant);
    case CLASS_MOVE: return example_move(g, op, variant);
    case CLASS_CONTRACT: return example_contract(g, op, variant);
    case CLASS_WINDOW: return example_window(g, op, variant);
    default: return example_index(g, op, variant);
    }
}

/* ---- the manual ---- */

static const struct { const char *title, *shapes; } classes[] = {
    [CLASS_LEAF] = { "leaves", "as written" },
    [CLASS_ELEM] = { "elementwise", "all inputs and the result have one shape; the language first stretches scalars and axes of literal 1" },
    [CLASS_REDUCE] = { "reductions", "the reduced axes stay, with size 1" },
    [CLASS_MOVE] = { "movement", "as the description says; sizes may be symbolic" },
    [CLASS_CONTRACT] = { "contractions", "as the description says; channels must agree, ho = (h + top + bottom - dilation*(r - 1) - 1)//stride + 1" },
    [CLASS_WINDOW] = { "windows", "(n,c,h,w) to (n,c,ho,wo); for windows ho = (h + top + bottom - kernel)//stride + 1" },
    [CLASS_INDEX] = { "by index", "as the description says; the index is i32" },
};

static const char *gradient_words[] = { [GRAD_YES] = "yes", [GRAD_ZERO] = "zero", [GRAD_NONE] = "none" };

static void print_table(Text *out)
{
    OpClass last = CLASS_LEAF;
    text_add(out, "The primitive operators. `pastiche ops NAME` prints one's page.\n");
    for (int op = 0; op < OP_COUNT; op++) {
        const OpInfo *info = &op_info[op];
        OpClass       class = info->class == CLASS_WINDOW && strncmp(info->name, "win", 3) ? CLASS_MOVE : info->class;
        if (op == 0 || class != last)
            text_addf(out, "\n%s\n", classes[class].title);
        last = class;
        text_addf(out, "  %-16s %s\n", info->name, info->doc);
    }
}

static void print_attributes(Op op, Text *out)
{
    static const char *const kinds[] = { [ATTR_INT] = "integer", [ATTR_DIM] = "size", [ATTR_ENUM] = "word" };
    const AttrInfo          *infos;
    int                      n = op_attrs(op, &infos);
    for (int i = 0; i < n; i++) {
        const AttrInfo *a = &infos[i];
        text_addf(out, "  %-12s%-12s", i ? "" : "attributes", a->name);
        if (a->kind == ATTR_ENUM)
            for (int k = 0; k < a->nwords; k++)
                text_addf(out, "%s%s", k ? " | " : "", a->words[k]);
        else if (a->count < 0)
            text_addf(out, "list of %ss", kinds[a->kind]);
        else
            text_addf(out, "%d %s%s", a->count, kinds[a->kind], a->count > 1 ? "s" : "");
        if (a->has_default)
            text_addf(out, ", default %lld", (long long)a->deflt);
        text_add(out, "\n");
    }
}

/* The lines of the example graph that make nodes. */
static void print_example(Op op, Text *out)
{
    DimTable *dims = dims_new();
    Graph    *g = graph_new("example", dims);
    Text      text = { 0 };
    op_example(g, op, 0);
    graph_print(g, NULL, &text);
    const char *p = strstr(text.at, "\n%");
    for (int i = 0; p && *++p; i++) {
        size_t n = strcspn(p, "\n");
        text_addf(out, "  %-12s%.*s\n", i ? "" : "example", (int)n, p);
        p += n;
    }
    text_free(&text);
    graph_free(g);
    dims_free(dims);
}

static void print_page(Op op, Text *out)
{
    const OpInfo *info = &op_info[op];
    text_addf(out, "%s: %s\n\n", info->name, info->doc);
    text_addf(out, "  %-12s%s\n", "class", classes[info->class].title);
    if (info->nin < 0)
        text_addf(out, "  %-12s1 or more\n", "inputs");
    else
        text_addf(out, "  %-12s%d\n", "inputs", info->nin);
    print_attributes(op, out);
    text_addf(out, "  %-12s%s\n", "shapes", classes[info->class].shapes);
    text_addf(out, "  %-12s%s\n", "result", info->flags & FLAG_SHAPE_GIVEN ? "its shape is stated, and checked" : "its shape follows from the inputs");
    text_addf(out, "  %-12s%s%s\n", "gradient", gradient_words[info->grad],
              info->grad == GRAD_NONE ? ": an error on the path of a gradient; use stop() if this is intended" : info->grad == GRAD_ZERO ? " everywhere" : "");
    print_example(op, out);
}

bool ops_manual(const char *name_or_null, Text *out)
{
    const char *names[OP_COUNT];
    Op          op;
    if (!name_or_null) {
        print_table(out);
        return true;
    }
    if (op_by_name(name_or_null, &op)) {
        print_page(op, out);
        return true;
    }
    for (int i = 0; i < OP_COUNT; i++)
        names[i] = op_info[i].name;
    const char *near = nearest_word(name_or_null, names, OP_COUNT);
    text_addf(out, "there is no operator '%s'", name_or_null);
    if (near)
        text_addf(out, ".  Did you mean '%s'?", near);
    text_add(out, "\n");
    return false;
}
