/* test_ir.c - the graph: equal nodes are one, builders fold, shape rules and their texts, the verifier, the text form of every op, copies, the manual. */
#define _GNU_SOURCE
#include "check.h"
#include "ir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static DimTable *t;

static Dim D(const char *s)
{
    const char *p = s;
    Dim         d = dim_parse(t, &p);
    CHECK(p && !*p, "'%s' does not parse", s);
    return d;
}

/* An input of type "f32[N, 3]"; rank by the number of sizes given, up to 4 ("" ends). */
static Ref in(Graph *g, Dtype dtype, const char *a, const char *b, const char *c, const char *d)
{
    const char *text[4] = { a, b, c, d };
    GraphInput  x = { .name = intern("x"), .dtype = dtype };
    for (int i = 0; i < 4 && text[i]; i++)
        x.shape[x.rank++] = D(text[i]);
    vec_push(&g->inputs, x);
    int64_t index = g->inputs.n - 1;
    return make_node(g, OP_input, dtype, x.rank, x.shape, 0, NULL, 1, &index, 0);
}

static void verified(const Graph *g)
{
    char why[512] = "";
    CHECK(verify(g, why, sizeof why), "%s", why);
}

/* ---- equality of whole graphs ---- */

static bool same_loc(Loc a, Loc b)
{
    return a.file == b.file && a.line == b.line && a.col == b.col && a.len == b.len;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool same_node(const Graph *a, const Graph *b, Ref r)
{
    const Node *x = node(a, r), *y = node(b, r);
    return x->op == y->op && x->dtype == y->dtype && x->rank == y->rank && x->nargs == y->nargs && x->nattrs == y->nattrs && !memcmp(&x->value, &y->value, sizeof x->value) &&
           same_loc(x->loc, y->loc) && x->chain == y->chain && x->hint == y->hint && !memcmp(node_shape(a, r), node_shape(b, r), x->rank * sizeof(Dim)) &&
           !memcmp(node_args(a, r), node_args(b, r), x->nargs * sizeof(Ref)) && !memcmp(node_attrs(a, r), node_attrs(b, r), x->nattrs * sizeof(int64_t));
}

static bool same_outputs(const GraphOutput *a, const GraphOutput *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!same_text(a[i].name, b[i].name) || a[i].value != b[i].value || !same_loc(a[i].loc, b[i].loc) || a[i].ranged != b[i].ranged || a[i].lo != b[i].lo || a[i].hi != b[i].hi)
            return false;
    return true;
}

static bool same_input(const GraphInput *a, const GraphInput *b)
{
    return same_text(a->name, b->name) && a->kind == b->kind && a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->shape, b->shape, a->rank * sizeof(Dim)) && a->symbol == b->symbol &&
           a->has_default == b->has_default && a->deflt == b->deflt && a->ranged == b->ranged && a->lo == b->lo && a->hi == b->hi && same_loc(a->loc, b->loc);
}

static bool same_hint(const GraphHint *a, const GraphHint *b)
{
    for (uint32_t i = 0; i < a->nargs && i < b->nargs; i++)
        if (a->args[i].word != b->args[i].word || a->args[i].num != b->args[i].num)
            return false;
    return a->kind == b->kind && a->up == b->up && a->nargs == b->nargs && same_loc(a->loc, b->loc);
}

static bool same_graph(const Graph *a, const Graph *b)
{
    if (!same_text(a->name, b->name) || a->nodes.n != b->nodes.n || a->chains.n != b->chains.n || a->hints.n != b->hints.n || a->inputs.n != b->inputs.n || a->outputs.n != b->outputs.n ||
        a->reports.n != b->reports.n || a->writes.n != b->writes.n || a->asserts.n != b->asserts.n || a->checks.n != b->checks.n)
        return false;
    for (Ref r = 1; r < a->nodes.n; r++)
        if (!same_node(a, b, r))
            return false;
    for (uint32_t i = 1; i < a->chains.n; i++)
        if (!same_text(a->chains.at[i], b->chains.at[i]))
            return false;
    for (uint32_t i = 1; i < a->hints.n; i++)
        if (!same_hint(&a->hints.at[i], &b->hints.at[i]))
            return false;
    for (uint32_t i = 0; i < a->inputs.n; i++)
        if (!same_input(&a->inputs.at[i], &b->inputs.at[i]))
            return false;
    for (uint32_t i = 0; i < a->writes.n; i++)
        if (a->writes.at[i].var != b->writes.at[i].var || a->writes.at[i].value != b->writes.at[i].value)
            return false;
    for (uint32_t i = 0; i < a->asserts.n; i++)
        if (a->asserts.at[i].cond != b->asserts.at[i].cond || !same_text(a->asserts.at[i].message, b->asserts.at[i].message) || !same_loc(a->asserts.at[i].loc, b->asserts.at[i].loc))
            return false;
    for (uint32_t i = 0; i < a->checks.n; i++)
        if (a->checks.at[i].a != b->checks.at[i].a || a->checks.at[i].b != b->checks.at[i].b || !same_text(a->checks.at[i].message, b->checks.at[i].message))
            return false;
    return same_outputs(a->outputs.at, b->outputs.at, a->outputs.n) && same_outputs(a->reports.at, b->reports.at, a->reports.n);
}

static void round_trip(const Graph *g, const Sources *s)
{
    Text text = { 0 }, again = { 0 };
    char why[512] = "";
    graph_print(g, s, &text);
    Graph *back = graph_parse(text.at, t, why, sizeof why);
    CHECK(back, "%s in:\n%s", why, text.at);
    if (back) {
        CHECK(same_graph(g, back), "not equal after a round trip:\n%s", text.at);
        graph_print(back, s, &again);
        CHECK(!strcmp(text.at, again.at), "prints differently:\n%s%s", text.at, again.at);
    }
    graph_free(back);
    text_free(&text);
    text_free(&again);
}

/* ---- the tests ---- */

static void test_table(void)
{
    for (int op = 0; op < OP_COUNT; op++) {
        const AttrInfo *infos;
        int             n = op_attrs((Op)op, &infos), lists = 0;
        Op              found = OP_COUNT;
        for (int i = 0; i < n; i++) {
            lists += infos[i].count < 0;
            CHECK(infos[i].name && infos[i].name[0], "%s: attribute %d has no name", op_info[op].name, i);
            CHECK((infos[i].kind == ATTR_ENUM) == (infos[i].nwords > 0), "%s: words", op_info[op].name);
        }
        CHECK(lists <= 2, "%s: at most two lists", op_info[op].name);
        CHECK(op_by_name(op_info[op].name, &found) && found == (Op)op, "%s is found by name", op_info[op].name);
        CHECK(op_info[op].doc[0] != 0, "%s has a meaning", op_info[op].name);
    }
    const AttrInfo *a;
    CHECK(op_attrs(OP_conv, &a) == 4 && a[1].count == 4 && !strcmp(a[3].name, "groups"), "schema of conv");
    CHECK(op_attrs(OP_resize, &a) == 2 && a[1].nwords == 2 && !strcmp(a[1].words[RESIZE_LEGACY], "legacy"), "schema of resize");
    CHECK(op_attrs(OP_matmul, &a) == 2 && a[0].has_default && a[0].deflt == 0, "schema of matmul");
    CHECK(op_attrs(OP_cast, &a) == 1 && a[0].nwords == 4 && !strcmp(a[0].words[DT_BOOL - DT_F32], "bool"), "words of cast stand in the order of Dtype");
    CHECK(op_attr_count(OP_slice, 1, 6) == 3 && op_attr_count(OP_slice, 0, 5) == -1 && op_attr_count(OP_pad, 0, 5) == 4 && op_attr_count(OP_pad, 1, 5) == 1 && op_attr_count(OP_neg, 0, 1) == -1,
          "counts of attributes");
}

/* The gradient of the sum of r's squares with respect to every float input of g: the same graph with every kind of adjoint. */
static void differentiate(Graph *g, Ref r)
{
    Vec(Ref) wrt = { 0 };
    Ref out[8] = { 0 }, culprit = 0;
    for (Ref i = 1; i <= r; i++)
        if (node(g, i)->op == OP_input && node(g, i)->dtype == DT_F32)
            vec_push(&wrt, i);
    bool ok = gradients(g, b_sum_all(g, b_binary(g, OP_mul, r, r)), (int)wrt.n, wrt.at, out, &culprit);
    CHECK(ok == (op_info[node(g, r)->op].grad != GRAD_NONE), "gradient of %s", op_info[node(g, r)->op].name);
    for (uint32_t i = 0; i < wrt.n && ok; i++)
        if (out[i]) {
            Type a = node_type(g, out[i]), b = node_type(g, wrt.at[i]);
            CHECK(a.rank == b.rank && !memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape), "%s: a gradient has its input's shape", op_info[node(g, r)->op].name);
        }
    vec_free(&wrt);
}

static void test_examples(void)
{
    int all = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        int variant = 0;
        for (;; variant++) {
            Graph *g = graph_new("example", t);
            g->loc = (Loc){ .line = 3, .col = 7, .len = 2 };
            Ref r = op_example(g, (Op)op, variant);
            if (r) {
                GraphOutput o = { .name = "y", .value = r };
                vec_push(&g->outputs, o);
                CHECK(node(g, r)->op == op, "the example of %s is one", op_info[op].name);
                verified(g);
                round_trip(g, NULL);
                if (op_info[op].class != CLASS_LEAF && node(g, r)->dtype == DT_F32) {
                    differentiate(g, r);
                    verified(g);
                    round_trip(g, NULL);
                }
                all++;
            }
            graph_free(g);
            if (!r)
                break;
        }
        CHECK(variant > 0, "%s has an example", op_info[op].name);
    }
    CHECK(all > 120, "%d examples", all);
}

static void test_hash_consing(void)
{
    Graph *g = graph_new("g", t);
    Ref    x = in(g, DT_F32, "N", "3", NULL, NULL), y = in(g, DT_F32, "N", "3", NULL, NULL);
    CHECK(x != y, "inputs differ by index");
    g->loc.line = 5;
    Ref a = b_binary(g, OP_mul, x, y);
    g->loc.line = 9;
    CHECK(b_binary(g, OP_mul, x, y) == a && b_binary(g, OP_mul, y, x) == a && node(g, a)->loc.line == 5, "equal nodes are one; the first place wins");
    CHECK(b_binary(g, OP_sub, x, y) != b_binary(g, OP_sub, y, x), "subtraction does not commute");
    CHECK(b_const(g, DT_F32, 0.1) == b_const(g, DT_F32, 0.1) && b_const(g, DT_F32, 0.0) != b_const(g, DT_F32, -0.0) && b_const(g, DT_F32, 1) != b_const(g, DT_I32, 1), "constants by bits and dtype");
    CHECK(b_const(g, DT_F32, NAN) == b_const(g, DT_F32, -NAN) && b_const(g, DT_I32, 2.7) == b_const(g, DT_I32, 2) && b_const(g, DT_BOOL, 7) == b_const(g, DT_BOOL, 1), "constants of one meaning");
    CHECK(node(g, b_const(g, DT_F32, 0.1))->value == 0.1, "constants keep double precision");
    Dim     shape[2] = { D("N"), 3 };
    int64_t s1[2] = { 1, 0 }, s2[2] = { 2, 0 };
    Ref     n1 = make_node(g, OP_normal, DT_F32, 2, shape, 0, NULL, 2, s1, 0);
    CHECK(n1 == make_node(g, OP_normal, DT_F32, 2, shape, 0, NULL, 2, s1, 0) && n1 != make_node(g, OP_normal, DT_F32, 2, shape, 0, NULL, 2, s2, 0), "random nodes by stream");
    for (int i = 0; i < 3000; i++)
        b_binary(g, OP_add, x, b_const(g, DT_F32, i + 1));
    uint32_t n = g->nodes.n;
    for (int i = 0; i < 3000; i++)
        b_binary(g, OP_add, x, b_const(g, DT_F32, i + 1));
    CHECK(g->nodes.n == n, "nothing new the second time, also after the table grew");
    for (int i = 0; i < 200; i++) {                /* arguments, shapes and attributes that stand in the pools themselves */
        Ref last = g->nodes.n - 1;
        Ref s = make_node(g, OP_slice, DT_NONE, 2, node_shape(g, last), 1, &last, 4, (int64_t[]){ 0, 0, 1, 1 }, 0);
        make_node(g, OP_place, DT_NONE, 2, node_shape(g, s), 1, node_args(g, s), 4, node_attrs(g, s), 0);
    }
    verified(g);
    graph_free(g);
}

static void test_folding(void)
{
    Graph *g = graph_new("g", t);
    Ref    x = in(g, DT_F32, "N", "3", "H", "W"), row = in(g, DT_F32, "1", "3", "1", "1"), s = in(g, DT_F32, NULL, NULL, NULL, NULL), b = in(g, DT_BOOL, "N", "3", "H", "W");
    Ref    zero = b_const(g, DT_F32, 0), one = b_const(g, DT_F32, 1), two = b_const(g, DT_F32, 2);
    Type   xt = node_type(g, x);
    CHECK(b_binary(g, OP_add, x, zero) == x && b_binary(g, OP_add, zero, x) == x && b_binary(g, OP_sub, x, zero) == x, "x + 0, 0 + x, x - 0");
    CHECK(b_binary(g, OP_mul, x, one) == x && b_binary(g, OP_mul, one, x) == x && b_binary(g, OP_div, x, one) == x && b_binary(g, OP_pow, x, one) == x, "x*1, x/1, x^1");
    CHECK(node(g, b_binary(g, OP_mul, x, zero))->op == OP_mul && node(g, b_binary(g, OP_sub, x, x))->op == OP_sub && node(g, b_binary(g, OP_sub, zero, x))->op == OP_sub,
          "x*0, x-x and 0-x stay");
    CHECK(b_binary(g, OP_pow, x, two) == b_binary(g, OP_mul, x, x) && b_binary(g, OP_mul, x, b_const(g, DT_F32, -1)) == b_unary(g, OP_neg, x), "x^2, x*(-1)");
    CHECK(b_unary(g, OP_neg, b_unary(g, OP_neg, x)) == x && b_unary(g, OP_not, b_unary(g, OP_not, b)) == b, "double negation");
    CHECK(b_binary(g, OP_add, x, b_fill(g, DT_F32, 0, 4, (Dim[]){ 1, 3, 1, 1 })) == x, "a stretched zero");
    double v;
    CHECK(is_const_value(g, b_binary(g, OP_div, one, b_const(g, DT_F32, 3)), &v) && v == 1.0 / 3, "folding in double");
    CHECK(is_const_value(g, b_unary(g, OP_sqrt, b_fill(g, DT_F32, 9, 2, (Dim[]){ D("N"), 3 })), &v) && v == 3, "folding through a broadcast");
    CHECK(is_const_value(g, b_binary(g, OP_lt, one, two), &v) && v == 1, "comparing constants");
    Ref bx = b_binary(g, OP_add, row, x), bs = b_binary(g, OP_mul, s, x);
    CHECK(node_type(g, bx).shape[0] == D("N") && node(g, node_arg(g, bx, 0))->rank == 4 && node(g, bs)->rank == 4, "broadcasts are explicit");
    CHECK(b_select(g, b_const(g, DT_BOOL, 1), x, s) == x && b_select(g, b, x, x) == x && b_select(g, b_unary(g, OP_not, b), x, s) == b_select(g, b, s, x), "select");
    CHECK(b_cast(g, x, DT_F32) == x && is_const_value(g, b_cast(g, one, DT_I32), &v) && v == 1, "cast");
    Dim flat[2] = { D("N"), D("3*H*W") }, other[3] = { D("N"), 3, D("H*W") };
    CHECK(b_reshape(g, b_reshape(g, x, 2, flat), 4, xt.shape) == x && b_reshape(g, b_reshape(g, x, 2, flat), 3, other) == b_reshape(g, x, 3, other), "reshapes merge");
    CHECK(b_transpose(g, x, (int[]){ 0, 1, 2, 3 }) == x && b_transpose(g, b_transpose(g, x, (int[]){ 1, 2, 3, 0 }), (int[]){ 3, 0, 1, 2 }) == x, "transposes merge");
    CHECK(b_broadcast(g, b_broadcast(g, s, 2, (Dim[]){ 1, 5 }), 2, (Dim[]){ 4, 5 }) == b_broadcast(g, s, 2, (Dim[]){ 4, 5 }), "broadcasts merge");
    Dim z4[4] = { 0, 0, 0, 0 }, st[4] = { 0, 1, 2, 0 };
    int ones[4] = { 1, 1, 1, 1 };
    CHECK(b_slice(g, x, z4, ones, xt.shape) == x && b_place(g, x, z4, ones, xt.shape) == x, "whole slices");
    Dim cut[4] = { D("N"), 2, D("H - 2"), D("W") }, cut2[4] = { D("N"), 1, D("H - 4"), D("W") };
    Ref c1 = b_slice(g, x, st, ones, cut), c2 = b_slice(g, c1, st, ones, cut2);
    CHECK(node_arg(g, c2, 0) == x && node_attrs(g, c2)[2] == 4 && node_attrs(g, c2)[1] == 2, "slices merge");
    Dim grown[4] = { D("N"), 5, D("H + 4"), D("W") }, grown2[4] = { D("N"), 7, D("H + 8"), D("W") };
    Ref p2 = b_place(g, b_place(g, x, st, ones, grown), st, ones, grown2);
    CHECK(node_arg(g, p2, 0) == x && node_attrs(g, p2)[2] == 4, "places merge");
    Ref y = in(g, DT_F32, "10", NULL, NULL, NULL), back = b_slice(g, y, (Dim[]){ 9 }, (int[]){ -1 }, (Dim[]){ 10 });
    CHECK(b_slice(g, back, (Dim[]){ 9 }, (int[]){ -1 }, (Dim[]){ 10 }) == b_slice(g, y, (Dim[]){ 0 }, (int[]){ 1 }, (Dim[]){ 10 }) ||
          node_attrs(g, b_slice(g, back, (Dim[]){ 9 }, (int[]){ -1 }, (Dim[]){ 10 }))[1] == 1, "reversing twice");
    Ref sum = b_sum(g, b_sum(g, x, (int[]){ 2 }, 1), (int[]){ 3, 0 }, 2);
    CHECK(node_arg(g, sum, 0) == x && node(g, sum)->nattrs == 3 && b_sum(g, row, (int[]){ 0, 2 }, 2) == row && b_sum(g, x, NULL, 0) == x, "sums merge and skip axes of size 1");
    CHECK(node(g, b_sum_all(g, x))->rank == 0 && node_type(g, b_sum_to(g, x, 4, (Dim[]){ 1, 3, 1, 1 })).shape[1] == 3 && b_sum_to(g, x, 4, xt.shape) == x, "sum_to");
    CHECK(is_const_value(g, b_sum_all(g, b_fill(g, DT_F32, 2, 2, (Dim[]){ 3, 5 })), &v) && v == 30, "the sum of a constant");
    CHECK(b_concat(g, 1, &x, 1) == x && node_type(g, b_concat(g, 2, (Ref[]){ x, x }, 1)).shape[1] == 6, "concat");
    CHECK(is_const_value(g, b_size(g, 7), &v) && v == 7 && node(g, b_size(g, D("N*H")))->op == OP_size && element_count(g, x) == D("3*N*H*W"), "sizes");
    verified(g);
    round_trip(g, NULL);
    graph_free(g);
}

static void fails(Graph *g, Op op, int nargs, const Ref *args, int nattrs, const int64_t *attrs, int rank, const Dim *shape, const char *text)
{
    Type ty = { .rank = rank };
    char why[512] = "(valid)";
    if (shape)
        memcpy(ty.shape, shape, (size_t)rank * sizeof *shape);
    bool ok = infer_type(g, op, nargs, args, nattrs, attrs, &ty, NULL, why, sizeof why);
    CHECK(!ok && !strcmp(why, text), "%s: '%s', expected '%s'", op_info[op].name, why, text);
}
#define REFS(...)  (int)(sizeof((Ref[]){ __VA_ARGS__ }) / sizeof(Ref)), (const Ref[]){ __VA_ARGS__ }
#define ATTRS(...) (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), (const int64_t[]){ __VA_ARGS__ }
#define SHAPE(...) (int)(sizeof((Dim[]){ __VA_ARGS__ }) / sizeof(Dim)), (const Dim[]){ __VA_ARGS__ }

static void test_errors(void)
{
    Graph *g = graph_new("g", t);
    Ref    n = in(g, DT_F32, "N", "3", "H", "W"), m = in(g, DT_F32, "M", "3", "H", "W"), four = in(g, DT_F32, "N", "4", "H", "W"), flat = in(g, DT_F32, "N", "256", NULL, NULL);
    Ref    wide = in(g, DT_F32, "N", "256", "8", "8"), weight = in(g, DT_F32, "64", "512", "3", "3"), big = in(g, DT_F32, "64", "256", "16", "16");
    Ref    ints = in(g, DT_I32, "N", NULL, NULL, NULL), bools = in(g, DT_BOOL, "N", NULL, NULL, NULL), vec = in(g, DT_F32, "N", NULL, NULL, NULL);
    fails(g, OP_add, REFS(n, m), 0, NULL, 0, NULL, "cannot add f32[N, 3, H, W] and f32[M, 3, H, W]: dims N and M are not known equal");
    fails(g, OP_mul, REFS(n, four), 0, NULL, 0, NULL, "cannot multiply f32[N, 3, H, W] and f32[N, 4, H, W]: sizes 3 and 4 differ");
    fails(g, OP_sub, REFS(n, flat), 0, NULL, 0, NULL, "cannot subtract f32[N, 3, H, W] and f32[N, 256]: 4 axes and 2 axes; reshape one of them or add axes of size 1");
    fails(g, OP_add, REFS(vec, ints), 0, NULL, 0, NULL, "add of f32[N] and i32[N]: the types differ; use cast");
    fails(g, OP_exp, REFS(ints), 0, NULL, 0, NULL, "exp takes floats, not i32[N]");
    fails(g, OP_select, REFS(vec, vec, vec), 0, NULL, 0, NULL, "the condition of select must be a bool, not f32[N]");
    fails(g, OP_and, REFS(vec, vec), 0, NULL, 0, NULL, "and takes bools, not f32[N]");
    fails(g, OP_neg, REFS(bools), 0, NULL, 0, NULL, "neg takes numbers, not bool[N]");
    fails(g, OP_conv, REFS(wide, weight), ATTRS(1, 1, 1, 1, 1, 1, 1, 1, 1), 0, NULL, "channel mismatch: input has C = 256, weights were made for 512");
    fails(g, OP_conv, REFS(wide, big), ATTRS(1, 1, 1, 1, 1, 1, 1, 1, 1), 0, NULL, "kernel of 16 does not fit a height of 8 with padding 1 and 1");
    fails(g, OP_conv, REFS(flat, weight), ATTRS(1, 1, 1, 1, 1, 1, 1, 1, 1), 0, NULL, "the input of a convolution must have 4 axes (n, c, h, w), but is f32[N, 256]");
    fails(g, OP_conv, REFS(wide, weight), ATTRS(0, 1, 1, 1, 1, 1, 1, 1, 1), 0, NULL, "stride and dilation must be at least 1");
    fails(g, OP_conv_dx, REFS(wide, weight), ATTRS(2, 2, 1, 1, 1, 1, 1, 1, 1), SHAPE(D("N"), 512, 16, 16), "channel mismatch: input has C = 256, weights were made for 64");
    fails(g, OP_reshape, REFS(flat), 0, NULL, SHAPE(D("N"), 4, 4, 3), "cannot reshape f32[N, 256] (256*N elements) to f32[N, 4, 4, 3] (48*N elements)");
    fails(g, OP_matmul, REFS(flat, flat), ATTRS(0, 0), 0, NULL, "matmul of f32[N, 256] and f32[N, 256]: inner sizes do not match: dims 256 and N are not known equal");
    fails(g, OP_matmul, REFS(vec, flat), ATTRS(0, 0), 0, NULL, "matmul needs two matrices with equal leading axes, got f32[N] and f32[N, 256]");
    fails(g, OP_sum, REFS(flat), ATTRS(2), 0, NULL, "axis 2 is outside f32[N, 256]");
    fails(g, OP_sum, REFS(flat), ATTRS(1, 0), 0, NULL, "axes of sum must be in rising order, each once");
    fails(g, OP_transpose, REFS(flat), ATTRS(0, 0), 0, NULL, "transpose names axis 0 twice");
    fails(g, OP_concat, REFS(n, wide), ATTRS(1), -1, NULL, "cannot concat f32[N, 3, H, W] and f32[N, 256, 8, 8] along axis 1: dims H and 8 are not known equal");
    fails(g, OP_broadcast, REFS(n), 0, NULL, SHAPE(D("N"), 6, D("H"), D("W")), "cannot broadcast f32[N, 3, H, W] to f32[N, 6, H, W]: only axes of size 1 stretch: sizes 3 and 6 differ");
    fails(g, OP_slice, REFS(wide), ATTRS(0, 0, 0, 0, 1, 1, 1, 1), SHAPE(D("N"), 256, 8, 9), "slice from 0 to 8 along axis 3 is outside f32[N, 256, 8, 8]");
    fails(g, OP_slice, REFS(n), ATTRS(0, 0, D("H + 1"), 0, 1, 1, 1, 1), SHAPE(D("N"), 3, 1, D("W")), "slice from H + 1 to H + 1 along axis 2 is outside f32[N, 3, H, W]");
    fails(g, OP_pad, REFS(wide), ATTRS(0, 0, 8, 8, MODE_REFLECT), SHAPE(D("N"), 256, 24, 24), "reflect padding of 8 and 8 needs more elements than axis 2 has: 8");
    fails(g, OP_win_max, REFS(wide), ATTRS(9, 9, 1, 1, 0, 0, 0, 0), -1, NULL, "window of 9 does not fit axis 2 of f32[N, 256, 8, 8]");
    fails(g, OP_win_max, REFS(wide), ATTRS(2, 2, 2, 2, 0, 0, 0, 0), SHAPE(D("N"), 256, 5, 4), "win_max: windows of f32[N, 256, 8, 8] give 4 along axis 2, not 5: sizes 4 and 5 differ");
    fails(g, OP_resize, REFS(wide), ATTRS(0, 0), SHAPE(D("N"), 128, 16, 16), "resize changes height and width only: f32[N, 256, 8, 8] to f32[N, 128, 16, 16]: sizes 256 and 128 differ");
    fails(g, OP_gather, REFS(flat, vec), 0, NULL, 0, NULL, "gather needs an i32 index, not f32[N]; use cast");
    fails(g, OP_resize, REFS(wide), ATTRS(0, 7), SHAPE(D("N"), 256, 16, 16), "resize: convention has no value 7");
    fails(g, OP_add, REFS(n, n, n), 0, NULL, 0, NULL, "add takes 2 inputs, got 3");
    fails(g, OP_neg, REFS(0), 0, NULL, 0, NULL, "input 0 of neg is missing");
    char why[256] = "";
    Type ty;
    CHECK(!infer_broadcast(g, OP_add, 2, (Ref[]){ n, four }, &ty, NULL, why, sizeof why) && !strcmp(why, "cannot add f32[N, 3, H, W] and f32[N, 4, H, W]: sizes 3 and 4 differ"), "%s", why);
    CHECK(infer_broadcast(g, OP_lt, 2, (Ref[]){ n, b_const(g, DT_F32, 1) }, &ty, NULL, why, sizeof why) && ty.dtype == DT_BOOL && ty.rank == 4, "comparing with a scalar");
    CHECK(!infer_broadcast(g, OP_lt, 2, (Ref[]){ n, b_const(g, DT_I32, 1) }, &ty, NULL, why, sizeof why), "dtypes must agree");
    graph_free(g);
}

static void test_undecided(void)
{
    Graph    *g = graph_new("g", t);
    CheckList list = { 0 };
    char      why[256] = "";
    Type      ty;
    Ref       x = in(g, DT_F32, "N", "2*(H//2)", NULL, NULL), y = in(g, DT_F32, "N", "H", NULL, NULL), z = in(g, DT_F32, "N", "H + 1", NULL, NULL);
    Ref       args[2] = { x, y }, never[2] = { y, z };
    g->loc.line = 12;
    CHECK(!infer_type(g, OP_add, 2, args, 0, NULL, &ty, NULL, why, sizeof why), "undecided is an error when nobody notes it");
    CHECK(infer_type(g, OP_add, 2, args, 0, NULL, &ty, &list, why, sizeof why) && list.n == 1 && list.at[0].loc.line == 12, "%s", why);
    CHECK(!strcmp(list.at[0].message, "cannot add f32[N, 2*(H//2)] and f32[N, H]"), "%s", list.at[0].message);
    CHECK(!infer_type(g, OP_add, 2, never, 0, NULL, &ty, &list, why, sizeof why) && list.n == 1 && !strcmp(why, "cannot add f32[N, H] and f32[N, H + 1]: sizes H and H + 1 differ"), "%s", why);
    vec_push(&g->checks, list.at[0]);
    Ref sum = b_binary(g, OP_add, x, y);
    CHECK(sum != 0 && node_type(g, b_sum_to(g, sum, 2, node_type(g, x).shape)).shape[1] == node_type(g, x).shape[1], "a noted equation makes the sizes equal");
    GraphOutput o = { .name = "y", .value = sum };
    vec_push(&g->outputs, o);
    verified(g);
    round_trip(g, NULL);
    Graph *to = graph_new("copy", t);
    Ref   *map = xmalloc(g->nodes.n * sizeof *map);
    GraphInput in0 = g->inputs.at[0], in1 = g->inputs.at[1];
    vec_push(&to->inputs, in0);
    vec_push(&to->inputs, in1);
    CHECK(graph_copy(to, g, sum, map) && to->checks.n == 1, "a copy takes the equations along");
    verified(to);
    free(map);
    graph_free(to);
    g->checks.n = 0;
    CHECK(!verify(g, why, sizeof why), "without the equation the graph is wrong");
    vec_free(&list);
    graph_free(g);
}

/* A graph with something of everything. */
static Graph *full_graph(Sources *s)
{
    Source a = { .path = "models/my nets: dcgan.graph" }, b = { .path = "std/layers.graph" };
    vec_push(&s->files, a);
    vec_push(&s->files, b);
    Graph *g = graph_new("g_step", t);
    vec_push(&g->chains, "in iteration i = 1 of Generator, instantiated by 'net G' (line 31)");
    vec_push(&g->chains, "a \"quoted\" one\\ # ~3");
    g->loc = (Loc){ 0, 12, 19, 24 };
    Ref x = in(g, DT_F32, "N", "3", "4*H", "W");
    g->inputs.at[0].ranged = true;
    g->inputs.at[0].lo = -1;
    g->inputs.at[0].hi = 1;
    g->inputs.at[0].loc = (Loc){ 1, 2, 3, 4 };
    GraphInput n = { .name = "n", .kind = IN_INT, .symbol = dim_fresh(t, "n"), .has_default = true, .deflt = 4 };
    vec_push(&g->inputs, n);
    g->chain = 2;
    Ref w = make_node(g, OP_var, DT_F32, SHAPE(8, 3, 3, 3), 0, NULL, ATTRS(5), 0);
    g->loc = (Loc){ 1, 0, 7, 1 };
    g->chain = 1;
    g->hint = hint_add(g, &(GraphHint){ .kind = HINT_REMAT, .loc = { 1, 5, 6, 7 } });
    g->hint = hint_add(g, &(GraphHint){ .kind = HINT_BLOCK, .up = g->hint, .nargs = 2, .args = { { .word = intern("rows"), .num = 4 }, { .word = intern("cols"), .num = -8 } } });
    uint32_t layout = hint_add(g, &(GraphHint){ .kind = HINT_LAYOUT, .nargs = 1, .args = { { .word = intern("rows") } } });
    CHECK(g->hint == 2 && layout == 3 && hint_add(g, &(GraphHint){ .kind = HINT_REMAT, .loc = { 1, 5, 6, 7 } }) == 1, "equal hints are one");
    Ref y = make_node(g, OP_conv, DT_NONE, 0, NULL, REFS(x, w), ATTRS(2, 2, 1, 1, 1, 1, 1, 1, 1), 0);
    g->hint = 0;
    g->loc = (Loc){ 0 };
    Ref odd = b_const(g, DT_F32, 0.1), huge = b_const(g, DT_F32, INFINITY), none = b_const(g, DT_F32, NAN), tiny = b_const(g, DT_F32, -4.9e-324);
    Ref loss = b_sum_all(g, b_binary(g, OP_mul, y, b_binary(g, OP_add, y, odd)));
    Ref wrt[2] = { w, x }, grads[2], culprit;
    CHECK(gradients(g, loss, 2, wrt, grads, &culprit), "gradients of the test graph");
    CHECK(node_hint(g, y, HINT_REMAT) == &g->hints.at[1] && !node_hint(g, y, HINT_GRADIENT) && node_hint(g, grads[0], HINT_GRADIENT) && !node_hint(g, loss, HINT_BLOCK), "whose hints are whose");
    GraphOutput o = { .name = "image", .value = grads[1], .loc = { 0, 1, 2, 3 }, .lo = -1, .hi = 1, .ranged = true }, r = { .name = "loss", .value = loss }, anon = { .value = huge };
    vec_push(&g->outputs, o);
    vec_push(&g->outputs, anon);
    vec_push(&g->reports, r);
    GraphWrite write = { 5, b_binary(g, OP_sub, w, b_binary(g, OP_mul, grads[0], tiny)) };
    vec_push(&g->writes, write);
    GraphAssert must = { .cond = b_binary(g, OP_lt, loss, none), .loc = { 1, 9, 9, 9 }, .message = "the \"loss\" is below\nnothing" };
    vec_push(&g->asserts, must);
    GraphCheck check = { D("4*H"), D("2*W"), { 0, 1, 4, 4 }, "square" };
    vec_push(&g->checks, check);
    g->loc = (Loc){ 0 };
    g->chain = 0;
    return g;
}

static void test_text(void)
{
    Sources s = { 0 };
    Graph  *g = full_graph(&s);
    verified(g);
    round_trip(g, &s);
    round_trip(g, NULL);
    Graph *to = graph_new("g_step", t);
    Ref   *map = xmalloc(g->nodes.n * sizeof *map), loss = g->reports.at[0].value;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        GraphInput x = g->inputs.at[i];
        vec_push(&to->inputs, x);
    }
    Ref copy = graph_copy(to, g, loss, map);
    CHECK(copy && graph_copy(to, g, loss, map) == copy && to->nodes.n < g->nodes.n, "a copy takes what it needs, once");
    Ref conv = 0;
    for (Ref i = 1; i < to->nodes.n; i++)
        conv = node(to, i)->op == OP_conv ? i : conv;
    CHECK(conv && node(to, conv)->loc.file == 1 && !strcmp(to->chains.at[node(to, conv)->chain], g->chains.at[1]), "a copy keeps places and chains");
    CHECK(conv && node_hint(to, conv, HINT_REMAT) && node_hint(to, conv, HINT_BLOCK) && node_hint(to, conv, HINT_BLOCK)->args[1].num == -8, "and hints");
    CHECK(to->hints.n == 3, "and no others");
    verified(to);
    free(map);
    graph_free(to);
    graph_free(g);
    vec_free(&s.files);
    arena_free(&s.arena);
}

static void test_bad_text(void)
{
    static const char *const cases[][2] = {
        { "%1 = cnv() : f32[]", "line 1: no op 'cnv'" },
        { "graph \"g\"\n%1 = const(1) : f32[]\n%2 = neg(%3) : f32[]", "line 3: %3 is not made before this line" },
        { "%1 = const(1) : f32[]\n%1 = const(2) : f32[]", "line 2: %1 is made twice or too large" },
        { "%4000000000 = const(1) : f32[]", "line 1: %4000000000 is made twice or too large" },
        { "%1 = const(x) : f32[]", "line 1: expected a number" },
        { "%1 = const(1) : f33[]", "line 1: expected a dtype" },
        { "%1 = const(1) : f32[N", "line 1: expected ','" },
        { "%1 = const(1) : f32[2]", "line 1: const is a scalar, not f32[2]" },
        { "%1 = const(1) : f32[]\n%2 = neg(%1) : f32[3]", "line 2: the inputs of this neg give f32[]" },
        { "%1 = normal(fixed: 0) : f32[3]", "line 1: normal needs its attribute stream" },
        { "%1 = normal(stream: 0, colour: 1) : f32[3]", "line 1: normal has no attribute 'colour'" },
        { "%1 = normal(stream: 0, stream: 1) : f32[3]", "line 1: stream is given twice" },
        { "%1 = runtime(which: tomorrow) : f32[]", "line 1: which is one of 5 words, not 'tomorrow'" },
        { "%1 = input(index: 0) : f32[3]", "%1: there is no tensor input 0" },
        { "input \"x\" : f32[3]\n%1 = input(index: 0) : f32[4]", "%1: differs from the declared input 'x'" },
        { "output \"y\" %1", "line 1: %1 is not made before this line" },
        { "hello", "line 1: a line begins with graph, file, chain, hint, check, input, %, output, report, write or assert, not 'hello'" },
        { "%1 = const(1) : f32[]  # a.graph:1:2:3", "line 1: no 'file' line names 'a.graph'" },
        { "%1 = const(1) : f32[]  # 7:2", "line 1: a place is path:line:column:length" },
        { "%1 = const(1) : f32[]  # ~4", "line 1: no chain 4" },
        { "hint 1 remat()\n%1 = const(1) : f32[]  # ^4", "line 2: no hint 4" },
        { "hint 2 remat()", "line 1: expected number 1" },
        { "hint 1 pragma()", "line 1: no hint 'pragma'" },
        { "hint 1 block(rows: 1, cols: 2, rows: 3, rows: 4, rows: 5, rows: 6, rows: 7)", "line 1: a hint has at most 6 arguments" },
        { "hint 1 fuse() in 3", "line 1: no hint 3" },
        { "%1 = const(1) : f32[] junk", "line 1: unexpected 'junk'" },
        { "graph \"open", "line 1: expected '\"'" },
        { "%1 = const(1) : f32[]\nassert %1 \"x\"", "the condition of an assert must be a bool scalar (%1)" },
        { "input \"n\" : int 4", "line 1: an integer input is a symbol" },
        { "check H = W", "line 1: expected '='" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char   why[512] = "(parsed)";
        Graph *g = graph_parse(cases[i][0], t, why, sizeof why);
        CHECK(!g && !strcmp(why, cases[i][1]), "'%s': '%s', expected '%s'", cases[i][0], why, cases[i][1]);
        graph_free(g);
    }
    char   why[512] = "";
    Graph *g = graph_parse("# by hand, with any numbers\n\n%7 = normal(stream: 3) : f32[N, 4]   # no place\n%3 = exp(%7) : f32[N, 4]\n\noutput \"y\" %3 in [-1,1]\n", t, why, sizeof why);
    CHECK(g && g->nodes.n == 3 && node_attrs(g, 1)[1] == 0 && g->outputs.at[0].value == 2, "text by hand: %s", why);
    graph_free(g);

    Sources s = { 0 };                             /* cut and changed texts end in an error or a graph, never in a crash */
    Text    text = { 0 };
    g = full_graph(&s);
    graph_print(g, &s, &text);
    uint64_t state = 12345;
    for (int i = 0; i < 3000; i++) {
        char *copy = xstrdup(text.at);
        for (int k = 0; k < 3; k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            copy[(state >> 33) % text.n] = "%[](),:=#~\"0919-/*N \n"[(state >> 20) % 21];
        }
        if (i % 3 == 0)
            copy[(state >> 40) % text.n] = 0;
        Graph *back = graph_parse(copy, t, why, sizeof why);
        CHECK(back || why[0], "an error has a text");
        graph_free(back);
        free(copy);
    }
    text_free(&text);
    graph_free(g);
    vec_free(&s.files);
}

static void test_verify(void)
{
    char    why[512];
    Sources s = { 0 };
    Graph  *g = full_graph(&s);
    Ref     conv = 0, sum = 0;
    for (Ref r = 1; r < g->nodes.n; r++) {
        conv = node(g, r)->op == OP_conv ? r : conv;
        sum = node(g, r)->op == OP_sum ? r : sum;
    }
    const struct { void *at; size_t n; uint64_t value; const char *what; } faults[] = {
        { &g->arg_pool.at[node(g, conv)->args], 4, conv, "a node that reads itself" },
        { &g->arg_pool.at[node(g, conv)->args], 4, 0, "a missing input" },
        { &g->dims_pool.at[node(g, conv)->shape + 1], 4, 9, "a wrong size" },
        { &g->dims_pool.at[node(g, conv)->shape + 2], 4, 0xfffffff0u, "a size of no table" },
        { &g->attr_pool.at[node(g, conv)->attrs], 8, 0, "a stride of 0" },
        { &g->attr_pool.at[node(g, sum)->attrs], 8, 77, "an axis outside" },
        { &g->nodes.at[conv].dtype, 1, DT_F64, "a wrong dtype" },
        { &g->nodes.at[conv].op, 1, 200, "no op" },
        { &g->nodes.at[conv].nargs, 2, 1, "too few inputs" },
        { &g->nodes.at[conv].chain, 4, 99, "no chain" },
        { &g->inputs.at[0].shape[1], 4, 4, "an input unlike its declaration" },
        { &g->outputs.at[0].value, 4, g->nodes.n, "an output outside" },
        { &g->reports.at[0].value, 4, 0, "a report of nothing" },
        { &g->writes.at[0].value, 4, 0, "a write of nothing" },
        { &g->asserts.at[0].cond, 4, conv, "an assert on a tensor" },
        { &g->checks.at[0].a, 4, 0xfffffff0u, "a check of no size" },
    };
    verified(g);
    for (size_t i = 0; i < COUNT(faults); i++) {
        uint64_t old = 0;
        memcpy(&old, faults[i].at, faults[i].n);
        memcpy(faults[i].at, &faults[i].value, faults[i].n);
        why[0] = 0;
        CHECK(!verify(g, why, sizeof why) && why[0], "the verifier sees %s", faults[i].what);
        memcpy(faults[i].at, &old, faults[i].n);
    }
    verified(g);
    graph_free(g);
    vec_free(&s.files);
}

static void test_manual(void)
{
    Text text = { 0 };
    CHECK(ops_manual(NULL, &text) && strstr(text.at, "conv_dx") && strstr(text.at, "contractions"), "the table");
    text_free(&text);
    for (int op = 0; op < OP_COUNT; op++) {
        char line[64];
        snprintf(line, sizeof line, "= %s(", op_info[op].name);
        CHECK(ops_manual(op_info[op].name, &text) && strstr(text.at, op_info[op].doc) && strstr(text.at, line) && strstr(text.at, "gradient"), "the page of %s", op_info[op].name);
        text_free(&text);
    }
    CHECK(!ops_manual("convv", &text) && strstr(text.at, "Did you mean 'conv'"), "%s", text.at);
    text_free(&text);
}

int main(void)
{
    setenv("PASTICHE_STRESS", "move", 1);          /* in debug builds every append moves */
    t = dims_new();
    test_table();
    test_examples();
    test_hash_consing();
    test_folding();
    test_errors();
    test_undecided();
    test_text();
    test_bad_text();
    test_verify();
    test_manual();
    dims_free(t);
    return check_done();
}
