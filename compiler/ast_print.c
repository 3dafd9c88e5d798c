/* ast_print.c - the tree of a file as text, for --stage parse: an s-expression a line, blocks indented.
 *
 * Places and layout are left out, so two texts of the same meaning print the same: the formatter's tests rest on that.
 */
#include "ast.h"

#include <stdlib.h>

static const char *const op_words[] = { "+", "-", "*", "/", "//", "^", "==", "!=", "<", "<=", ">", ">=" };

static void print_expr(const Expr *e, Text *out);

static void print_string(const char *s, Text *out)
{
    text_add(out, "\"");
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            text_addf(out, "\\%c", *s);
        else if (*s == '\n' || *s == '\t')
            text_add(out, *s == '\n' ? "\\n" : "\\t");
        else
            text_addn(out, s, 1);
    }
    text_add(out, "\"");
}

/* The shortest digits that give the number again. */
static void print_number(const Expr *e, Text *out)
{
    char s[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, e->num);
        if (strtod(s, NULL) == e->num)
            break;
    }
    const char *mark = e->is_int ? "" : "f";
    if (e->unit)
        text_addf(out, "(%s%s %s)", s, mark, e->unit);
    else
        text_addf(out, "%s%s", s, mark);
}

static void print_args(const Args *args, Text *out)
{
    for (uint32_t i = 0; i < args->n; i++) {
        text_add(out, " ");
        if (args->at[i].name)
            text_addf(out, "%s:", args->at[i].name);
        if (args->at[i].value)
            print_expr(args->at[i].value, out);
    }
}

static void print_slice(const Slice *s, Text *out)
{
    const Expr *parts[] = { s->start, s->stop, s->step };
    text_add(out, s->is_slice ? " (slice" : " (at");
    for (int k = 0; k < (s->is_slice ? 3 : 1); k++) {
        text_add(out, " ");
        if (parts[k])
            print_expr(parts[k], out);
        else
            text_add(out, "_");
    }
    text_add(out, ")");
}

static void print_pipe(const Expr *e, Text *out)
{
    text_add(out, "(|> ");
    print_expr(e->a, out);
    text_add(out, " ");
    if (e->str) {
        text_addf(out, "%s", e->str);
        if (e->label_index) {
            text_add(out, "[");
            print_expr(e->label_index, out);
            text_add(out, "]");
        }
        text_add(out, ": ");
    }
    print_expr(e->b, out);
    text_add(out, ")");
}

/* Recursion is bounded by MAX_NESTING, which the parser enforces. */
static void print_expr(const Expr *e, Text *out)
{
    switch (e->kind) {
    case E_NUM:
        print_number(e, out);
        break;
    case E_STR:
        print_string(e->str, out);
        break;
    case E_NAME:
        text_add(out, e->str);
        break;
    case E_NEG:
        text_add(out, "(neg ");
        print_expr(e->a, out);
        text_add(out, ")");
        break;
    case E_BIN:
    case E_RANGE:
        text_addf(out, "(%s ", e->kind == E_RANGE ? ".." : op_words[e->op]);
        print_expr(e->a, out);
        text_add(out, " ");
        print_expr(e->b, out);
        text_add(out, ")");
        break;
    case E_CALL:
        text_add(out, "(call ");
        print_expr(e->a, out);
        print_args(&e->args, out);
        text_add(out, ")");
        break;
    case E_FIELD:
        text_add(out, "(. ");
        print_expr(e->a, out);
        text_addf(out, " %s)", e->str);
        break;
    case E_INDEX:
        text_add(out, "(index ");
        print_expr(e->a, out);
        for (uint32_t i = 0; i < e->nslices; i++)
            print_slice(&e->slices[i], out);
        text_add(out, ")");
        break;
    case E_LIST:
        text_add(out, "(list");
        print_args(&e->args, out);
        text_add(out, ")");
        break;
    case E_PIPE:
        print_pipe(e, out);
        break;
    }
}

static void print_type(const TypeExpr *t, Text *out)
{
    text_addf(out, "(%s", t->dtype);
    for (uint32_t i = 0; i < t->ndims; i++) {
        text_add(out, " ");
        if (t->dims[i].rest)
            text_addf(out, "..%s", t->dims[i].rest);
        else
            print_expr(t->dims[i].expr, out);
    }
    if (t->range_lo) {
        text_add(out, " in ");
        print_expr(t->range_lo, out);
        text_add(out, " ");
        print_expr(t->range_hi, out);
    }
    text_add(out, ")");
}

static void print_params(const char *word, const Params *params, Text *out)
{
    text_addf(out, " (%s", word);
    for (uint32_t i = 0; i < params->n; i++) {
        const Param *a = &params->at[i];
        text_addf(out, " (%s", a->name);
        if (a->is_module)
            text_add(out, " module");
        if (a->type) {
            text_add(out, " ");
            print_type(a->type, out);
        }
        if (a->deflt) {
            text_add(out, " = ");
            print_expr(a->deflt, out);
        }
        text_add(out, ")");
    }
    text_add(out, ")");
}

static void print_names(const Name *names, uint32_t n, Text *out)
{
    text_add(out, " (names");
    for (uint32_t i = 0; i < n; i++)
        text_addf(out, " %s", names[i].name);
    text_add(out, ")");
}

static void print_block(const Block *b, int depth, Text *out);

static void print_stmt(const Stmt *s, int depth, Text *out)
{
    static const char *const words[] = { "return", "param", "state", "assign", "bind", "do", "repeat", "if", "minimize", "report", "every", "assert" };
    for (uint32_t i = 0; i < s->npragmas; i++) {
        text_addf(out, "%*s(@%s", 2 * depth, "", s->pragmas[i].name.name);
        print_args(&s->pragmas[i].args, out);
        text_add(out, ")\n");
    }
    text_addf(out, "%*s(%s", 2 * depth, "", words[s->kind]);
    if (s->name.name)
        text_addf(out, " %s", s->name.name);
    if (s->nnames)
        print_names(s->names, s->nnames, out);
    if (s->type) {
        text_add(out, " ");
        print_type(s->type, out);
    }
    if (s->a) {
        text_add(out, " ");
        print_expr(s->a, out);
    }
    if (s->unit)
        text_addf(out, " %s", s->unit);
    print_args(&s->args, out);
    if (s->kind == S_REPEAT || s->kind == S_IF || s->kind == S_EVERY)
        print_block(&s->body, depth + 1, out);
    if (s->has_other) {
        text_addf(out, "\n%*selse", 2 * depth, "");
        print_block(&s->other, depth + 1, out);
    }
    text_add(out, ")");
}

static void print_block(const Block *b, int depth, Text *out)
{
    for (uint32_t i = 0; i < b->n; i++) {
        text_add(out, "\n");
        print_stmt(&b->at[i], depth, out);
    }
}

static void print_item(const Item *it, Text *out)
{
    static const char *const words[] = {
        "import", "const", "let", "init", "module", "fn", "optimizer", "net", "data", "optim", "step", "train", "export", "test",
    };
    text_addf(out, "(%s", words[it->kind]);
    if (it->name.name)
        text_addf(out, " %s", it->name.name);
    if (it->nnames)
        print_names(it->names, it->nnames, out);
    if (it->has_mparams)
        print_params("values", &it->mparams, out);
    if (it->kind == I_MODULE || it->kind == I_FN || it->kind == I_OPTIMIZER || it->kind == I_STEP || it->kind == I_EXPORT)
        print_params("tensors", &it->params, out);
    for (uint32_t i = 0; i < it->results.n; i++) {
        text_addf(out, " -> %s%s", it->results.named ? it->results.at[i].name : "", it->results.named ? ":" : "");
        print_type(it->results.at[i].type, out);
    }
    if (it->a) {
        text_add(out, " ");
        print_expr(it->a, out);
    }
    if (it->unit)
        text_addf(out, " %s", it->unit);
    if (it->over.name)
        text_addf(out, " over %s", it->over.name);
    if (it->stage.name) {
        text_addf(out, " stages %s in ", it->stage.name);
        print_expr(it->stages, out);
    }
    if (it->str) {
        text_add(out, it->kind == I_NET ? " from " : " ");
        print_string(it->str, out);
    }
    if (it->frozen)
        text_add(out, " frozen");
    print_args(&it->args, out);
    print_block(&it->body, 1, out);
    text_add(out, ")\n");
}

void print_ast(const File *f, Text *out)
{
    for (uint32_t i = 0; i < f->nitems; i++)
        print_item(&f->items[i], out);
}
