/* ir_text.c - graphs as text, and back: what `pastiche show` prints parses again to an equal graph.
 *
 *   graph "g_step"
 *   file 0 "dcgan.graph"                                         paths that places refer to
 *   chain 1 "in iteration i = 1 of Generator, ..."               how the elaborator came there
 *   hint 2 layout(rows) in 1                                     a pragma, and the one around it
 *   %9 = again add(%3, %4) : f32[N]                              computed a second time, for the backward pass
 *   check 2*H == W "cannot add ..."                              sizes that must turn out equal
 *   input "x" : f32[N, 3, 4*H, 64] in [-1, 1]                    input "n" : int n'1 = 4   is an integer
 *   %1 = input(index: 0) : f32[N, 3, 4*H, 64]  # dcgan.graph:7:3:12 ~1
 *   %2 = const(0.5) : f32[]
 *   %5 = conv(%1, %4, stride: [2, 2], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1) : f32[N, 16, 2*H, 32]
 *   output "y" %5 in [-1, 1]
 *   report "loss" %7                                             write 3 %9        assert %8 "must be positive"
 *
 * A place is path:line:column:length, ~ its chain, ^ its hint. Attributes not written take their defaults. Nodes may have any numbers, but are written before they are used.
 */
#include "ir.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ---- */

static void print_string(const char *s, Text *out)
{
    text_add(out, "\"");
    for (; *s; s++) {
        if (*s == '\n')
            text_add(out, "\\n");
        else if (*s == '"' || *s == '\\')
            text_addf(out, "\\%c", *s);
        else
            text_addn(out, s, 1);
    }
    text_add(out, "\"");
}

static void print_name(const char *s, Text *out)
{
    if (s) {
        text_add(out, " ");
        print_string(s, out);
    }
}

static void print_number(double v, Text *out)
{
    char text[40];
    if (isnan(v)) {
        text_add(out, "nan");
        return;
    }
    for (int digits = 9; digits <= 17; digits += 4) {       /* the shortest of three that reads back the same */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    text_add(out, text);
}

static void print_place(const Sources *s, Loc loc, uint32_t chain, uint32_t hint, Text *out)
{
    if (loc.line || chain || hint)
        text_add(out, "  #");
    if (loc.line) {
        if (s && loc.file < s->files.n)
            text_addf(out, " %s", s->files.at[loc.file].path);
        else
            text_addf(out, " @%u", loc.file);
        text_addf(out, ":%u:%u:%u", loc.line, loc.col, loc.len);
    }
    if (chain)
        text_addf(out, " ~%u", chain);
    if (hint)
        text_addf(out, " ^%u", hint);
    text_add(out, "\n");
}

static void print_range(bool ranged, double lo, double hi, Text *out)
{
    if (!ranged)
        return;
    text_add(out, " in [");
    print_number(lo, out);
    text_add(out, ", ");
    print_number(hi, out);
    text_add(out, "]");
}

static void print_attrs(const Graph *g, Ref r, bool first, Text *out)
{
    const Node     *n = node(g, r);
    const AttrInfo *infos;
    int             count = op_attrs((Op)n->op, &infos), at = 0;
    for (int i = 0; i < count; i++) {
        int k = op_attr_count((Op)n->op, i, n->nattrs);
        text_addf(out, "%s%s: %s", first && i == 0 ? "" : ", ", infos[i].name, infos[i].count == 1 ? "" : "[");
        for (int j = 0; j < k; j++) {
            int64_t v = node_attrs(g, r)[at + j];
            if (j)
                text_add(out, ", ");
            if (infos[i].kind == ATTR_DIM)
                dim_print(g->dims, (Dim)v, out);
            else if (infos[i].kind == ATTR_ENUM)
                text_add(out, infos[i].words[v]);
            else
                text_addf(out, "%lld", (long long)v);
        }
        at += k;
        if (infos[i].count != 1)
            text_add(out, "]");
    }
}

static void print_node(const Graph *g, Ref r, Text *out)
{
    const Node *n = node(g, r);
    Type        t = node_type(g, r);
    text_addf(out, "%%%u = %s%s(", r, n->flags & FLAG_AGAIN ? "again " : "", op_info[n->op].name);
    for (int i = 0; i < n->nargs; i++)
        text_addf(out, "%s%%%u", i ? ", " : "", node_arg(g, r, i));
    if (n->op == OP_const)
        print_number(n->value, out);
    print_attrs(g, r, n->nargs == 0, out);
    text_add(out, ") : ");
    type_print(g->dims, &t, out);
}

static void print_input(const Graph *g, const GraphInput *in, Text *out)
{
    text_add(out, "input");
    print_name(in->name, out);
    text_add(out, " : ");
    if (in->kind == IN_INT) {
        text_add(out, "int ");
        dim_print(g->dims, in->symbol, out);
    } else {
        Type t = { .dtype = in->dtype, .rank = in->rank };
        memcpy(t.shape, in->shape, sizeof t.shape);
        type_print(g->dims, &t, out);
    }
    print_range(in->ranged, in->lo, in->hi, out);
    if (in->has_default) {
        text_add(out, " = ");
        print_number(in->deflt, out);
    }
}

static void print_outputs(const char *word, const GraphOutput *at, uint32_t n, const Sources *s, Text *out)
{
    for (uint32_t i = 0; i < n; i++) {
        text_add(out, word);
        print_name(at[i].name, out);
        text_addf(out, " %%%u", at[i].value);
        print_range(at[i].ranged, at[i].lo, at[i].hi, out);
        print_place(s, at[i].loc, 0, 0, out);
    }
}

/* hint 2 block(rows: 4, cols: 8) in 1 */
static void print_hint(const GraphHint *h, uint32_t number, const Sources *s, Text *out)
{
    text_addf(out, "hint %u %s(", number, hint_info[h->kind].name);
    for (uint32_t i = 0; i < h->nargs; i++)
        if (hint_info[h->kind].args[i] == 'k')
            text_addf(out, "%s%s: %lld", i ? ", " : "", h->args[i].word, (long long)h->args[i].num);
        else if (h->args[i].word)
            text_addf(out, "%s%s", i ? ", " : "", h->args[i].word);
        else
            text_addf(out, "%s%lld", i ? ", " : "", (long long)h->args[i].num);
    text_add(out, ")");
    if (h->up)
        text_addf(out, " in %u", h->up);
    print_place(s, h->loc, 0, 0, out);
}

void graph_print(const Graph *g, const Sources *s, Text *out)
{
    text_add(out, "graph");
    print_name(g->name, out);
    text_add(out, "\n");
    for (uint32_t i = 0; s && i < s->files.n; i++) {
        text_addf(out, "file %u", i);
        print_name(s->files.at[i].path, out);
        text_add(out, "\n");
    }
    for (uint32_t i = 1; i < g->chains.n; i++) {
        text_addf(out, "chain %u", i);
        print_name(g->chains.at[i], out);
        text_add(out, "\n");
    }
    for (uint32_t i = 1; i < g->hints.n; i++)
        print_hint(&g->hints.at[i], i, s, out);
    for (uint32_t i = 0; i < g->checks.n; i++) {
        text_add(out, "check ");
        dim_print(g->dims, g->checks.at[i].a, out);
        text_add(out, " == ");
        dim_print(g->dims, g->checks.at[i].b, out);
        print_name(g->checks.at[i].message, out);
        print_place(s, g->checks.at[i].loc, 0, 0, out);
    }
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        print_input(g, &g->inputs.at[i], out);
        print_place(s, g->inputs.at[i].loc, 0, 0, out);
    }
    for (Ref r = 1; r < g->nodes.n; r++) {
        print_node(g, r, out);
        print_place(s, node(g, r)->loc, node(g, r)->chain, node(g, r)->hint, out);
    }
    print_outputs("output", g->outputs.at, g->outputs.n, s, out);
    print_outputs("report", g->reports.at, g->reports.n, s, out);
    for (uint32_t i = 0; i < g->writes.n; i++)
        text_addf(out, "write %u %%%u\n", g->writes.at[i].var, g->writes.at[i].value);
    for (uint32_t i = 0; i < g->asserts.n; i++) {
        text_addf(out, "assert %%%u", g->asserts.at[i].cond);
        print_name(g->asserts.at[i].message, out);
        print_place(s, g->asserts.at[i].loc, 0, 0, out);
    }
}

/* ---- parsing ---- */

typedef struct {
    const char *p;                 /* NULL after a fault */
    uint32_t    line;
    size_t      size;              /* of the text: bounds node and file numbers */
    Graph      *g;
    Vec(Ref)    refs;              /* number in the text -> node */
    Vec(const char *) paths;       /* interned */
    char       *why;
    size_t      nwhy;
} Reader;

static void bad(Reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void bad(Reader *r, const char *fmt, ...)
{
    char    text[300];
    va_list ap;
    if (!r->p)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->nwhy)
        snprintf(r->why, r->nwhy, "line %u: %s", r->line, text);
    r->p = NULL;
}

static void spaces(Reader *r)
{
    while (r->p && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r'))
        r->p++;
}

static bool next_is(Reader *r, char c)
{
    spaces(r);
    return r->p && *r->p == c;
}

static bool take(Reader *r, char c)
{
    if (!next_is(r, c))
        return false;
    r->p++;
    return true;
}

static void expect(Reader *r, char c)
{
    if (r->p && !take(r, c))
        bad(r, "expected '%c'", c);
}

/* A word of letters, digits and _, interned; NULL when there is none. */
static const char *word(Reader *r)
{
    spaces(r);
    if (!r->p)
        return NULL;
    const char *from = r->p;
    while (isalnum((unsigned char)*r->p) || *r->p == '_')
        r->p++;
    return r->p > from ? intern_n(from, (size_t)(r->p - from)) : NULL;
}

static double number(Reader *r)
{
    spaces(r);
    if (!r->p)
        return 0;
    char  *end;
    double v = strtod(r->p, &end);
    if (end == r->p)
        bad(r, "expected a number");
    else
        r->p = end;
    return v;
}

static int64_t integer(Reader *r)
{
    spaces(r);
    if (!r->p)
        return 0;
    char     *end;
    long long v = strtoll(r->p, &end, 10);
    if (end == r->p)
        bad(r, "expected an integer");
    else
        r->p = end;
    return v;
}

/* "...", interned; NULL when there is none */
static const char *string(Reader *r)
{
    if (!take(r, '"'))
        return NULL;
    Text text = { 0 };
    text_add(&text, "");
    for (; *r->p && *r->p != '"' && *r->p != '\n'; r->p++) {
        char c = *r->p;
        if (c == '\\' && r->p[1] && r->p[1] != '\n')
            c = *++r->p == 'n' ? '\n' : *r->p;
        text_addn(&text, &c, 1);
    }
    const char *s = intern_n(text.at, text.n);
    text_free(&text);
    expect(r, '"');
    return s;
}

static Dim dim(Reader *r)
{
    if (!r->p)
        return 0;
    const char *p = r->p;
    Dim         d = dim_parse(r->g->dims, &p);
    if (!p)
        bad(r, "expected a size");
    else
        r->p = p;
    return d;
}

static Ref ref(Reader *r)
{
    expect(r, '%');
    int64_t n = integer(r);
    if (r->p && (n < 1 || n >= r->refs.n || !r->refs.at[n]))
        bad(r, "%%%lld is not made before this line", (long long)n);
    return r->p ? r->refs.at[n] : 0;
}

static Type type(Reader *r)
{
    Type        t = { 0 };
    const char *name = word(r);
    if (!name || !dtype_by_name(name, &t.dtype))
        bad(r, "expected a dtype");
    expect(r, '[');
    while (r->p && !take(r, ']')) {
        if (t.rank)
            expect(r, ',');
        if (t.rank == MAX_RANK)
            bad(r, "more than %d axes", MAX_RANK);
        else
            t.shape[t.rank++] = dim(r);
    }
    return t;
}

static bool range(Reader *r, double *lo, double *hi)
{
    spaces(r);
    if (!r->p || strncmp(r->p, "in", 2))
        return false;
    r->p += 2;
    expect(r, '[');
    *lo = number(r);
    expect(r, ',');
    *hi = number(r);
    expect(r, ']');
    return true;
}

/* Takes " MARK number" off the end of the text, if it stands there. */
static uint32_t trailing_number(char *text, char mark)
{
    char    *at = strrchr(text, mark);
    uint32_t n = 0;
    if (at && at > text && at[-1] == ' ' && at[1] && strspn(at + 1, "0123456789") == strlen(at + 1)) {
        n = (uint32_t)strtoul(at + 1, NULL, 10);
        *--at = 0;
    }
    return n;
}

/* The end of a line, with its place. Runs backwards over path:line:col:len ~chain ^hint, since paths may hold anything. */
static Loc place(Reader *r, uint32_t *chain, uint32_t *hint)
{
    Loc loc = { 0 };
    *chain = *hint = 0;
    spaces(r);
    if (!r->p || *r->p == 0 || *r->p == '\n')
        return loc;
    size_t n = strcspn(r->p, "\n"), skip = 1;
    char  *text = xmalloc(n + 1), *part[3];
    memcpy(text, r->p, n);
    if (text[0] != '#') {
        bad(r, "unexpected '%.20s'", text);
        free(text);
        return loc;
    }
    *hint = trailing_number(text, '^');
    *chain = trailing_number(text, '~');
    while (text[skip] == ' ')
        skip++;
    int colons = 0;
    for (; colons < 3 && (part[colons] = strrchr(text + skip, ':')) != NULL; colons++)
        *part[colons] = 0;
    if (colons == 3) {
        const char *path = intern(text + skip);
        loc.line = (uint32_t)strtoul(part[2] + 1, NULL, 10);
        loc.col = (uint32_t)strtoul(part[1] + 1, NULL, 10);
        loc.len = (uint16_t)strtoul(part[0] + 1, NULL, 10);
        uint32_t file = path[0] == '@' ? (uint32_t)strtoul(path + 1, NULL, 10) : 0;
        while (path[0] != '@' && file < r->paths.n && r->paths.at[file] != path)
            file++;
        loc.file = (uint16_t)file;
        if (path[0] != '@' && file == r->paths.n)
            bad(r, "no 'file' line names '%s'", path);
    } else if (colons != 0) {
        bad(r, "a place is path:line:column:length");
    }
    if (r->p && *chain >= r->g->chains.n)
        bad(r, "no chain %u", *chain);
    if (r->p && *hint >= r->g->hints.n)
        bad(r, "no hint %u", *hint);
    free(text);
    if (r->p)
        r->p += n;
    return loc;
}

static Loc place_only(Reader *r)
{
    uint32_t chain, hint;
    return place(r, &chain, &hint);
}

/* ---- a node ---- */

typedef struct {
    Vec(Ref)     args;
    Vec(int64_t) values[8];        /* by attribute */
    bool         given[8];
    double       value;
} Call;

static void attr_value(Reader *r, const AttrInfo *info, Call *call, int k)
{
    bool list = info->count != 1;
    if (call->given[k])
        bad(r, "%s is given twice", info->name);
    call->given[k] = true;
    if (list)
        expect(r, '[');
    while (r->p && !(list && take(r, ']'))) {
        int64_t v = 0;
        if (call->values[k].n)
            expect(r, ',');
        if (info->kind == ATTR_ENUM) {
            const char *w = word(r);
            while (v < info->nwords && info->words[v] != w)
                v++;
            if (v == info->nwords)
                bad(r, "%s is one of %d words, not '%s'", info->name, info->nwords, w ? w : "");
        } else {
            v = info->kind == ATTR_DIM ? (int64_t)dim(r) : integer(r);
        }
        vec_push(&call->values[k], v);
        if (!list)
            break;
    }
    if (r->p && info->count > 0 && call->values[k].n != (uint32_t)info->count)
        bad(r, "%s takes %d numbers", info->name, info->count);
}

/* What stands between the brackets of a node. */
static void call_items(Reader *r, Op op, Call *call)
{
    const AttrInfo *infos;
    int             n = op_attrs(op, &infos);
    for (bool first = true; r->p && !take(r, ')'); first = false) {
        if (!first)
            expect(r, ',');
        if (next_is(r, '%')) {
            Ref a = ref(r);
            vec_push(&call->args, a);
            continue;
        }
        if (op == OP_const && first) {
            call->value = number(r);
            continue;
        }
        const char *name = word(r);
        int         k = 0;
        while (k < n && infos[k].name != name)
            k++;
        if (k == n) {
            bad(r, "%s has no attribute '%s'", op_info[op].name, name ? name : "");
            return;
        }
        expect(r, ':');
        attr_value(r, &infos[k], call, k);
    }
    for (int k = 0; k < n && r->p; k++) {
        if (!call->given[k] && infos[k].has_default)
            vec_push(&call->values[k], infos[k].deflt);
        else if (!call->given[k])
            bad(r, "%s needs its attribute %s", op_info[op].name, infos[k].name);
    }
}

static void make_call(Reader *r, int64_t number_in_text, Op op, Call *call, const Type *t)
{
    Graph          *g = r->g;
    const AttrInfo *infos;
    int             n = op_attrs(op, &infos);
    Vec(int64_t)    attrs = { 0 };
    Type            have = *t;
    char            why[256];
    for (int k = 0; k < n; k++)
        for (uint32_t j = 0; j < call->values[k].n; j++)
            vec_push(&attrs, call->values[k].at[j]);
    if (!infer_type(g, op, (int)call->args.n, call->args.at, (int)attrs.n, attrs.at, &have, NULL, why, sizeof why)) {
        bad(r, "%s", why);
    } else if (have.dtype != t->dtype || have.rank != t->rank || (t->rank && memcmp(have.shape, t->shape, (size_t)t->rank * sizeof *t->shape))) {
        Text text = { 0 };
        type_print(g->dims, &have, &text);
        bad(r, "the inputs of this %s give %s", op_info[op].name, text.at);
        text_free(&text);
    } else {
        while (r->refs.n <= number_in_text)
            vec_push(&r->refs, 0);
        r->refs.at[number_in_text] = make_node(g, op, t->dtype, t->rank, t->shape, (int)call->args.n, call->args.at, (int)attrs.n, attrs.at, call->value);
    }
    vec_free(&attrs);
}

static void node_line(Reader *r)
{
    expect(r, '%');
    int64_t n = integer(r);
    if (r->p && (n < 1 || n > (int64_t)r->size || (n < r->refs.n && r->refs.at[n])))
        bad(r, "%%%lld is made twice or too large", (long long)n);
    expect(r, '=');
    const char *name = word(r);
    Op          op = OP_const;
    Call        call = { 0 };
    r->g->again = name && !strcmp(name, "again");
    if (r->g->again)
        name = word(r);
    if (r->p && (!name || !op_by_name(name, &op)))
        bad(r, "no op '%s'", name ? name : "");
    expect(r, '(');
    if (r->p)
        call_items(r, op, &call);
    expect(r, ':');
    Type t = type(r);
    r->g->loc = place(r, &r->g->chain, &r->g->hint);
    if (r->p)
        make_call(r, n, op, &call, &t);
    r->g->again = false;
    vec_free(&call.args);
    for (size_t k = 0; k < COUNT(call.values); k++)
        vec_free(&call.values[k]);
}

/* ---- the other lines ---- */

static void input_line(Reader *r)
{
    GraphInput in = { .name = string(r) };
    expect(r, ':');
    spaces(r);
    if (r->p && !strncmp(r->p, "int ", 4)) {
        r->p += 4;
        in.kind = IN_INT;
        in.symbol = dim(r);
        if (r->p && !dim_is_sym(r->g->dims, in.symbol))
            bad(r, "an integer input is a symbol");
    } else {
        Type t = type(r);
        in.dtype = t.dtype;
        in.rank = (uint8_t)t.rank;
        memcpy(in.shape, t.shape, sizeof in.shape);
    }
    in.ranged = range(r, &in.lo, &in.hi);
    if (take(r, '=')) {
        in.has_default = true;
        in.deflt = number(r);
    }
    in.loc = place_only(r);
    vec_push(&r->g->inputs, in);
}

static GraphOutput output(Reader *r)
{
    GraphOutput o = { .name = string(r) };
    o.value = ref(r);
    o.ranged = range(r, &o.lo, &o.hi);
    o.loc = place_only(r);
    return o;
}

static void numbered_string(Reader *r, uint32_t n, const char **s)
{
    int64_t at = integer(r);
    if (r->p && at != n)
        bad(r, "expected number %u", n);
    *s = string(r);
    if (r->p && !*s)
        bad(r, "expected a string");
    place_only(r);
}

static void hint_line(Reader *r)
{
    GraphHint   h = { 0 };
    int64_t     at = integer(r);
    const char *name = word(r);
    if (r->p && at != r->g->hints.n)
        bad(r, "expected number %u", r->g->hints.n);
    for (int k = HINT_NONE + 1; k < HINT_COUNT && name; k++)
        if (!strcmp(name, hint_info[k].name))
            h.kind = (HintKind)k;
    if (r->p && !h.kind)
        bad(r, "no hint '%s'", name ? name : "");
    expect(r, '(');
    while (r->p && !take(r, ')')) {
        if (h.nargs)
            expect(r, ',');
        if (h.nargs == MAX_HINT_ARGS) {
            bad(r, "a hint has at most %d arguments", MAX_HINT_ARGS);
            break;
        }
        HintArg *a = &h.args[h.nargs++];
        spaces(r);
        if (r->p && isalpha((unsigned char)*r->p))
            a->word = word(r);
        if (!a->word || take(r, ':'))
            a->num = integer(r);
    }
    const char *in = word(r);
    if (in && !strcmp(in, "in"))
        h.up = (uint32_t)integer(r);
    if (r->p && h.up >= r->g->hints.n)
        bad(r, "no hint %u", h.up);
    h.loc = place_only(r);
    vec_push(&r->g->hints, h);
}

static void check_line(Reader *r)
{
    GraphCheck c = { 0 };
    c.a = dim(r);
    expect(r, '=');
    expect(r, '=');
    c.b = dim(r);
    c.message = string(r);
    c.loc = place_only(r);
    vec_push(&r->g->checks, c);
}

static void assert_line(Reader *r)
{
    GraphAssert a = { 0 };
    a.cond = ref(r);
    a.message = string(r);
    a.loc = place_only(r);
    vec_push(&r->g->asserts, a);
}

static void write_line(Reader *r)
{
    GraphWrite w = { 0 };
    w.var = (uint32_t)integer(r);
    w.value = ref(r);
    place_only(r);
    vec_push(&r->g->writes, w);
}

static void line(Reader *r)
{
    const char *s;
    if (next_is(r, '%')) {
        node_line(r);
        return;
    }
    if (next_is(r, '#')) {
        r->p += strcspn(r->p, "\n");
        return;
    }
    const char *kind = word(r);
    if (!kind) {
        place_only(r);
    } else if (!strcmp(kind, "graph")) {
        r->g->name = string(r);
        place_only(r);
    } else if (!strcmp(kind, "file")) {
        numbered_string(r, r->paths.n, &s);
        vec_push(&r->paths, s);
    } else if (!strcmp(kind, "chain")) {
        numbered_string(r, r->g->chains.n, &s);
        vec_push(&r->g->chains, s);
    } else if (!strcmp(kind, "hint")) {
        hint_line(r);
    } else if (!strcmp(kind, "check")) {
        check_line(r);
    } else if (!strcmp(kind, "input")) {
        input_line(r);
    } else if (!strcmp(kind, "output") || !strcmp(kind, "report")) {
        GraphOutput o = output(r);
        if (kind[0] == 'o')
            vec_push(&r->g->outputs, o);
        else
            vec_push(&r->g->reports, o);
    } else if (!strcmp(kind, "write")) {
        write_line(r);
    } else if (!strcmp(kind, "assert")) {
        assert_line(r);
    } else {
        bad(r, "a line begins with graph, file, chain, hint, check, input, %%, output, report, write or assert, not '%s'", kind);
    }
}

Graph *graph_parse(const char *text, DimTable *dims, char *why, size_t nwhy)
{
    Reader r = { .p = text, .line = 1, .size = strlen(text), .g = graph_new(NULL, dims), .why = why, .nwhy = nwhy };
    while (r.p && *r.p) {
        line(&r);
        if (r.p && *r.p == '\n') {
            r.p++;
            r.line++;
        }
    }
    bool ok = r.p && verify(r.g, why, nwhy);
    r.g->loc = (Loc){ 0 };
    r.g->chain = r.g->hint = 0;
    vec_free(&r.refs);
    vec_free(&r.paths);
    if (!ok) {
        graph_free(r.g);
        return NULL;
    }
    return r.g;
}
