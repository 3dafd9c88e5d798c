/* parse_expr.c - expressions, arguments, slices, counts and types: one function a grammar rule, by recursive descent.
 *
 *   expr = cmp [".." cmp] { "|>" [label ":"] ID postfix }      cmp > sum > mul > sign > power > primary
 *
 * Trees are at most MAX_NESTING high (a chain of operators grows to the left, one level an operator), so that every later
 * walk may recurse. The parser tells tokens how the formatter shall space them, as only it knows what an operator is for.
 */
#include "parse.h"

static Expr *new_expr(Parser *p, ExprKind kind)
{
    Expr *e = ARENA_NEW(p->arena, Expr);
    e->kind = kind;
    e->height = 1;
    return e;
}

static void hold(Expr *e, const Expr *child)
{
    if (child && child->height >= e->height)
        e->height = (uint16_t)(child->height + 1);
}

static void hold_args(Expr *e)
{
    for (uint32_t i = 0; i < e->args.n; i++)
        hold(e, e->args.at[i].value);
}

/* Gives a finished node its place, from token `start` to the last consumed one or the end of the first line. */
static Expr *finish(Parser *p, Expr *e, uint32_t start)
{
    const Token *a = &p->tok[start], *z = &p->tok[p->last];
    uint32_t     end = a->line == z->line ? z->at + z->len : p->line_end[a->line];
    e->loc = token_loc(p, a);
    e->loc.len = (uint16_t)(end - a->at > UINT16_MAX ? UINT16_MAX : end - a->at);
    if (e->height > MAX_NESTING && !p->panic) {
        diag_hint(p->d, fail(p, 601, e->loc, "this expression is nested more than %d levels deep", MAX_NESTING), "Bind its parts to names");
        p->fatal = true;
    }
    return p->panic ? &p->dummy : e;
}

/* ---- brackets ---- */

Outer open_bracket(Parser *p, bool tight)
{
    Outer o = { .open = p->open, .no_unit = p->no_unit, .tight = p->tight };
    advance(p);
    p->open = p->last;
    p->parens++;
    p->no_unit = false;
    p->tight = tight;
    return o;
}

static TokenKind closer(const Parser *p)
{
    return p->tok[p->open].kind == T_LPAREN ? T_RPAREN : T_RBRACK;
}

static void leave(Parser *p, const Outer *o)
{
    p->open = o->open;
    p->no_unit = o->no_unit;
    p->tight = o->tight;
    if (p->parens)
        p->parens--;
}

/* Whether the open bracket is closed further on, before anything that cannot stand inside it. */
static bool closes_later(const Parser *p)
{
    uint32_t inner = 0;
    for (uint32_t i = p->i;; i++) {
        const Token *t = &p->tok[i];
        if (t->kind == T_EOF || t->kind == T_LBRACE || t->kind == T_RBRACE || (i > p->i && starts_stmt(p, i)))
            return false;
        if ((t->kind == T_RPAREN || t->kind == T_RBRACK) && !inner--)
            return t->kind == closer(p);
        inner += t->kind == T_LPAREN || t->kind == T_LBRACK;
    }
}

/* Whether the current token cannot stand inside brackets, so that one was left open. */
static bool shows_unclosed(Parser *p)
{
    const Token *t = cur(p);
    if (t->kind == T_EOF || t->kind == T_LBRACE || t->kind == T_RBRACE || t->kind == T_ARROW)
        return true;
    if ((t->kind == T_RPAREN || t->kind == T_RBRACK) && t->kind != closer(p))
        return true;
    return starts_stmt(p, p->i);
}

static void report_unclosed(Parser *p)
{
    const Token *open = &p->tok[p->open], *t = cur(p);
    if (p->panic)
        return;
    bool  same = t->line == open->line;
    Diag *g = fail(p, 106, token_loc(p, open), "%s is never closed", token_spelling(open->kind));
    if (t->kind == T_EOF)
        diag_hint(p->d, g, "Expected %s before the end of the file", token_spelling(closer(p)));
    else if (same)
        diag_hint(p->d, g, "Expected %s before %s", token_spelling(closer(p)), found(p, t));
    else
        diag_hint(p->d, g, "Expected %s before %s on line %u", token_spelling(closer(p)), found(p, t), t->line);
    p->parens = 0;                 /* what stands here belongs to no bracket */
}

bool bracket_more(Parser *p, const Outer *o)
{
    if (p->panic)
        return false;
    if (at(p, closer(p))) {
        close_bracket(p, o);
        return false;
    }
    if (shows_unclosed(p))
        report_unclosed(p);
    return !p->panic;
}

bool bracket_next(Parser *p, const Outer *o)
{
    if (p->panic)
        return false;
    if (!accept(p, T_COMMA)) {
        close_bracket(p, o);
        return false;
    }
    if (at(p, closer(p))) {
        Diag *g = fail(p, 105, token_loc(p, &p->tok[p->last]), "nothing follows this ','");
        diag_hint(p->d, g, "Remove it");
        close_bracket(p, o);       /* its place is known, so parsing could go on; the statement is lost, no more */
    } else if (shows_unclosed(p)) {
        report_unclosed(p);
    }
    return !p->panic;
}

void close_bracket(Parser *p, const Outer *o)
{
    TokenKind close = closer(p);
    if (at(p, close)) {
        leave(p, o);
        advance(p);
        return;
    }
    if (p->panic)
        return;
    const Token *t = cur(p);
    if (shows_unclosed(p) || (t->first && !closes_later(p))) {
        report_unclosed(p);
        return;
    }
    Diag *g = fail(p, 105, token_loc(p, t), "expected %s%s, found %s", o->single ? "" : "',' or ", token_spelling(close), found(p, t));
    if (t->kind == T_ASSIGN && p->tok[p->last].kind == T_WORD)
        diag_hint(p->d, g, "A named argument is written '%s: value'", p->tok[p->last].str);
    else
        diag_hint(p->d, g, "The %s stands on line %u, column %u", token_spelling(p->tok[p->open].kind), p->tok[p->open].line, p->tok[p->open].col);
}

/* ---- arguments and slices ---- */

void parse_args(Parser *p, Args *args)
{
    Vec(Arg) list = { 0 };
    Outer o = open_bracket(p, false);
    bool  named = false;
    for (bool more = bracket_more(p, &o); more; more = bracket_next(p, &o)) {
        Arg a = { .loc = token_loc(p, cur(p)) };
        if (at(p, T_WORD) && peek(p)->kind == T_COLON) {
            a.name = advance(p)->str;
            advance(p);
            named = true;
        } else if (named) {
            Diag *g = fail(p, 117, a.loc, "an argument without a name after one with a name");
            diag_hint(p->d, g, "Arguments by position come first");
        }
        a.value = parse_expr(p);
        vec_push(&list, a);
    }
    take(p, &list, &args->at, &args->n);
}

/* start [":" [stop] [":" [step]]], any of them empty */
static Slice parse_slice(Parser *p)
{
    Slice    s = { .loc = token_loc(p, cur(p)) };
    Expr   **parts[] = { &s.start, &s.stop, &s.step };
    uint32_t first = p->i;
    for (int k = 0; k < 3 && !p->panic; k++) {
        if (!at(p, T_COLON) && !at(p, T_COMMA) && !at(p, T_RBRACK))
            *parts[k] = parse_expr(p);
        if (k == 2 || !at(p, T_COLON))
            break;
        cur(p)->tight = true;
        advance(p);
        s.is_slice = true;
    }
    if (!s.is_slice && !s.start && !p->panic) {
        Diag *g = fail(p, 110, token_loc(p, cur(p)), "expected an index or a slice, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "':' takes the whole axis");
    }
    const Token *z = &p->tok[p->last];
    if (z->line == p->tok[first].line && z->at + z->len > p->tok[first].at) {
        uint32_t len = z->at + z->len - p->tok[first].at;
        s.loc.len = (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len);
    }
    return s;
}

static void parse_slices(Parser *p, Expr *e)
{
    Vec(Slice) list = { 0 };
    Outer o = open_bracket(p, false);
    for (bool more = true; more; more = bracket_next(p, &o)) {
        Slice s = parse_slice(p);
        hold(e, s.start);
        hold(e, s.stop);
        hold(e, s.step);
        vec_push(&list, s);
    }
    take(p, &list, &e->slices, &e->nslices);
}

/* { "(" args ")" | "." ID | "[" slices "]" } */
Expr *parse_postfix(Parser *p, Expr *e, uint32_t start)
{
    while (!p->panic) {
        if (at(p, T_LPAREN)) {
            cur(p)->tight = true;
            Expr *call = new_expr(p, E_CALL);
            call->a = e;
            parse_args(p, &call->args);
            hold(call, e);
            hold_args(call);
            e = finish(p, call, start);
        } else if (at(p, T_LBRACK)) {
            cur(p)->tight = true;
            Expr *index = new_expr(p, E_INDEX);
            index->a = e;
            hold(index, e);
            parse_slices(p, index);
            e = finish(p, index, start);
        } else if (accept(p, T_DOT)) {
            Expr  *field = new_expr(p, E_FIELD);
            Token *name = expect(p, T_WORD, "a name after '.'");
            field->a = e;
            field->str = name ? name->str : NULL;
            hold(field, e);
            e = finish(p, field, start);
        } else {
            break;
        }
    }
    return p->panic ? &p->dummy : e;
}

Expr *parse_name_expr(Parser *p)
{
    uint32_t start = p->i;
    Expr    *e = new_expr(p, E_NAME);
    e->str = advance(p)->str;
    return parse_postfix(p, finish(p, e, start), start);
}

/* ---- primaries ---- */

static bool is_unit(const Token *t)
{
    return t->kind == T_WORD && (!strcmp(t->str, "epochs") || !strcmp(t->str, "steps") || !strcmp(t->str, "images"));
}

static Expr *parse_list(Parser *p)
{
    uint32_t start = p->i;
    Expr    *e = new_expr(p, E_LIST);
    Vec(Arg) list = { 0 };
    Outer    o = open_bracket(p, true);
    for (bool more = bracket_more(p, &o); more; more = bracket_next(p, &o)) {
        Arg a = { .loc = token_loc(p, cur(p)) };
        a.value = parse_expr(p);
        vec_push(&list, a);
    }
    take(p, &list, &e->args.at, &e->args.n);
    hold_args(e);
    return finish(p, e, start);
}

static Expr *fail_primary(Parser *p)
{
    Token *t = cur(p);
    if (t->kind == T_WORD) {
        TokenKind next = (TokenKind)peek(p)->kind;
        bool      operand = next != T_WORD && next != T_STR && next != T_NUM;
        if (operand)
            diag_hint(p->d, fail(p, 108, token_loc(p, t), "'%s' is a keyword and cannot be a name", t->str), "Call it, say, 'the_%s'", t->str);
        else
            fail(p, 110, token_loc(p, t), "expected an expression before the keyword '%s'", t->str);
        return &p->dummy;
    }
    if (p->parens && shows_unclosed(p)) {
        report_unclosed(p);
        return &p->dummy;
    }
    Diag *g = fail(p, 110, token_loc(p, t), "expected an expression, found %s", found(p, t));
    if (t->kind == T_DOT && peek(p)->kind == T_NUM && t->at + 1 == peek(p)->at)
        diag_hint(p->d, g, "Write 0.%.*s", (int)(peek(p)->len > 20 ? 20 : peek(p)->len), p->d->sources->files.at[p->source].text + peek(p)->at);
    else if (t->kind == T_PLUS)
        diag_hint(p->d, g, "There is no sign '+'");
    else if (t->kind == T_COLON)
        diag_hint(p->d, g, "Slices like [:, 1:] stand behind the tensor they cut, joined to it");
    return &p->dummy;
}

/* NUMBER [unit] | STRING | ID postfix | "(" expr ")" postfix | "[" [expr {"," expr}] "]" */
static Expr *parse_primary(Parser *p)
{
    Token   *t = cur(p);
    uint32_t start = p->i;
    if (t->kind == T_NUM) {
        Expr *e = new_expr(p, E_NUM);
        e->num = t->num;
        e->is_int = t->is_int;
        advance(p);
        if (!p->no_unit && is_unit(cur(p)) && cur(p)->line == t->line)
            e->unit = advance(p)->str;
        return finish(p, e, start);
    }
    if (t->kind == T_STR) {
        Expr *e = new_expr(p, E_STR);
        e->str = t->str;
        advance(p);
        return finish(p, e, start);
    }
    if (t->kind == T_WORD && !is_keyword(t->str))
        return parse_name_expr(p);
    if (t->kind == T_LBRACK)
        return parse_list(p);
    if (t->kind == T_LPAREN) {
        Outer o = open_bracket(p, p->tight);
        o.single = true;
        Expr *e = parse_expr(p);
        close_bracket(p, &o);
        e = finish(p, e, start);
        e->parens = true;
        return parse_postfix(p, e, start);
    }
    return fail_primary(p);
}

/* ---- operators ---- */

static Expr *parse_sign(Parser *p);

static Expr *binary(Parser *p, BinOp op, Expr *a, Expr *b, uint32_t start)
{
    Expr *e = new_expr(p, E_BIN);
    e->op = op;
    e->a = a;
    e->b = b;
    hold(e, a);
    hold(e, b);
    return finish(p, e, start);
}

static Expr *parse_power(Parser *p)
{
    uint32_t start = (cur(p), p->i);
    Expr    *e = parse_primary(p);
    if (p->panic || !at(p, T_CARET) || too_deep(p))
        return p->panic ? &p->dummy : e;
    cur(p)->tight = true;
    advance(p);
    p->depth++;
    Expr *b = parse_sign(p);
    p->depth--;
    return binary(p, B_POW, e, b, start);
}

static Expr *parse_sign(Parser *p)
{
    if (!at(p, T_MINUS))
        return parse_power(p);
    if (too_deep(p))
        return &p->dummy;
    uint32_t start = p->i;
    cur(p)->unary = true;
    advance(p);
    p->depth++;
    Expr *e = new_expr(p, E_NEG);
    e->a = parse_sign(p);
    p->depth--;
    hold(e, e->a);
    return finish(p, e, start);
}

/* 4*w: a whole number times a one-letter name is written as one thing */
static bool is_multiple(const Expr *a, const Expr *b)
{
    return a->kind == E_NUM && a->is_int && !a->unit && !a->parens && b->kind == E_NAME && !b->parens && b->str[1] == 0;
}

static Expr *parse_product(Parser *p)
{
    uint32_t start = (cur(p), p->i);
    Expr    *e = parse_sign(p);
    while (!p->panic && (at(p, T_STAR) || at(p, T_SLASH) || at(p, T_SLASH2))) {
        Token *t = advance(p);
        Expr  *b = parse_sign(p);
        if (p->panic)
            break;
        t->tight = (p->tight && t->kind != T_SLASH2) || (t->kind == T_STAR && is_multiple(e, b));
        e = binary(p, t->kind == T_STAR ? B_MUL : t->kind == T_SLASH ? B_DIV : B_FLOORDIV, e, b, start);
    }
    return p->panic ? &p->dummy : e;
}

static Expr *parse_sum(Parser *p)
{
    uint32_t start = (cur(p), p->i);
    Expr    *e = parse_product(p);
    while (!p->panic && (at(p, T_PLUS) || at(p, T_MINUS))) {
        BinOp op = advance(p)->kind == T_PLUS ? B_ADD : B_SUB;
        Expr *b = parse_product(p);
        e = binary(p, op, e, b, start);
    }
    return p->panic ? &p->dummy : e;
}

static Expr *parse_comparison(Parser *p)
{
    static const BinOp ops[] = { B_EQ, B_NE, B_LT, B_LE, B_GT, B_GE };           /* in the order of T_EQ .. T_GE */
    uint32_t start = (cur(p), p->i);
    Expr    *e = parse_sum(p);
    while (!p->panic && cur(p)->kind >= T_EQ && cur(p)->kind <= T_GE) {
        BinOp op = ops[advance(p)->kind - T_EQ];
        Expr *b = parse_sum(p);
        e = binary(p, op, e, b, start);
    }
    return p->panic ? &p->dummy : e;
}

/* "|>" [label ":"] ID postfix, with label = ID ["[" expr "]"]. A name and an index are read before it shows whether they are a label. */
static Expr *parse_pipe(Parser *p, Expr *input, uint32_t start)
{
    Expr *e = new_expr(p, E_PIPE);
    e->newline_before_pipe = cur(p)->first;
    advance(p);
    e->a = input;
    Token *t = cur(p);
    if (t->kind == T_WORD && peek(p)->kind == T_COLON) {
        e->str = advance(p)->str;
        advance(p);
    } else if (t->kind == T_WORD && peek(p)->kind == T_LBRACK) {
        uint32_t head = p->i;
        Expr    *name = new_expr(p, E_NAME), *index = new_expr(p, E_INDEX);
        name->str = advance(p)->str;
        index->a = finish(p, name, head);
        cur(p)->tight = true;
        hold(index, name);
        parse_slices(p, index);
        if (accept(p, T_COLON)) {
            if (index->nslices != 1 || index->slices[0].is_slice)
                fail(p, 114, token_loc(p, t), "a label takes one index, as in to_rgb[i]:");
            e->str = t->str;
            e->label_index = p->panic ? NULL : index->slices[0].start;
        } else {
            e->b = parse_postfix(p, finish(p, index, head), head);
        }
    }
    if (!e->b && !p->panic) {
        if (!at(p, T_WORD))
            diag_hint(p->d, fail(p, 110, token_loc(p, cur(p)), "expected a layer or a function after '|>', found %s", found(p, cur(p))),
                      "As in x |> conv(64, 3) |> relu");
        else if (is_keyword(cur(p)->str))
            fail_primary(p);
        else
            e->b = parse_name_expr(p);
    }
    hold(e, e->a);
    hold(e, e->b);
    hold(e, e->label_index);
    return finish(p, e, start);
}

Expr *parse_expr(Parser *p)
{
    uint32_t start = (cur(p), p->i);
    if (p->panic || too_deep(p))
        return &p->dummy;
    p->depth++;
    Expr *e = parse_comparison(p);
    if (!p->panic && accept(p, T_DOTDOT)) {
        Expr *range = new_expr(p, E_RANGE);
        range->a = e;
        range->b = parse_comparison(p);
        hold(range, range->a);
        hold(range, range->b);
        e = finish(p, range, start);
    }
    bool piped = false;
    while (!p->panic && at(p, T_PIPE)) {
        e = parse_pipe(p, e, start);
        piped = true;
    }
    p->depth--;
    if (piped && !p->panic && cur(p)->kind >= T_PLUS && cur(p)->kind <= T_GE)
        diag_hint(p->d, fail(p, 105, token_loc(p, cur(p)), "%s cannot follow a pipe", found(p, cur(p))), "Put the pipe in parentheses: (x |> f) + y");
    return p->panic ? &p->dummy : e;
}

/* expr ("epochs" | "steps" | "images") */
Expr *parse_count(Parser *p, const char **unit)
{
    static const char *const units[] = { "epochs", "steps", "images" };
    bool  outer = p->no_unit;
    p->no_unit = true;
    Expr *e = parse_expr(p);
    p->no_unit = outer;
    *unit = NULL;
    if (p->panic)
        return e;
    if (is_unit(cur(p))) {
        *unit = advance(p)->str;
    } else {
        Diag *g = fail(p, 113, token_loc(p, cur(p)), "expected a unit (epochs, steps or images), found %s", found(p, cur(p)));
        const char *near = at(p, T_WORD) ? nearest_word(cur(p)->str, units, COUNT(units)) : NULL;
        if (near)
            diag_hint(p->d, g, "Did you mean '%s'?", near);
    }
    return e;
}

/* ---- types ---- */

static void parse_dims(Parser *p, TypeExpr *t)
{
    Vec(DimExpr) dims = { 0 };
    cur(p)->tight = true;
    Outer o = open_bracket(p, true);
    for (bool more = bracket_more(p, &o); more; more = bracket_next(p, &o)) {
        DimExpr dim = { 0 };
        if (accept(p, T_DOTDOT))
            dim.rest = expect_name(p, "a name for the other sizes, as in ..S").name;
        else
            dim.expr = parse_expr(p);
        vec_push(&dims, dim);
    }
    take(p, &dims, &t->dims, &t->ndims);
}

TypeExpr *parse_type(Parser *p)
{
    static const char *const dtypes[] = { "f32", "i32", "bool" };
    TypeExpr *t = ARENA_NEW(p->arena, TypeExpr);
    uint32_t  start = (cur(p), p->i);
    Token    *word = expect(p, T_WORD, "a type, as in f32[N, 3, H, W]");
    if (!word)
        return t;
    t->dtype = word->str;
    bool known = false;
    for (size_t i = 0; i < COUNT(dtypes); i++)
        known = known || !strcmp(word->str, dtypes[i]);
    if (!known) {
        const char *near = nearest_word(word->str, dtypes, COUNT(dtypes));
        Diag       *g = fail(p, 112, token_loc(p, word), "unknown element type '%s'; types are f32, i32, bool", word->str);
        if (near)
            diag_hint(p->d, g, "Did you mean '%s'?", near);
        return t;
    }
    if (!at(p, T_LBRACK)) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected '[' after '%s', found %s", t->dtype, found(p, cur(p)));
        diag_hint(p->d, g, "A scalar is %s[]", t->dtype);
        return t;
    }
    parse_dims(p, t);
    if (!p->panic && accept_word(p, "in")) {
        if (!at(p, T_LBRACK)) {
            diag_hint(p->d, fail(p, 105, token_loc(p, cur(p)), "expected the range of pixel values after 'in', found %s", found(p, cur(p))), "As in [-1, 1]");
            return t;
        }
        Outer o = open_bracket(p, true);
        o.single = true;
        t->range_lo = parse_expr(p);
        if (!p->panic)
            expect(p, T_COMMA, NULL);
        t->range_hi = parse_expr(p);
        close_bracket(p, &o);
    }
    t->loc = token_loc(p, &p->tok[start]);
    const Token *z = &p->tok[p->last];
    if (z->line == p->tok[start].line)
        t->loc.len = (uint16_t)(z->at + z->len - p->tok[start].at > UINT16_MAX ? UINT16_MAX : z->at + z->len - p->tok[start].at);
    return t;
}
