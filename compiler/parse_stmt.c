/* parse_stmt.c - blocks, their statements, and how to go on after a mistake in one.
 *
 * Recovery is by line: a broken statement ends where its line ends outside brackets, or earlier where a line begins that can
 * only be a statement or a declaration; a broken header goes on with its block. A block that is still open where a line begins
 * with a declaration at the margin lacks its '}'; the fault is looked for at the first '}' whose indentation is not its '{'s.
 */
#include "parse.h"

/* ---- going on after a mistake ---- */

void calm(Parser *p)
{
    p->panic = p->fatal;
    p->unwinding = false;
    p->parens = 0;
    p->no_unit = p->tight = false;
    if (p->fatal)
        while (p->tok[p->i].kind != T_EOF)
            p->i++;
}

/* Skips to the end of a broken statement that began at `first`: its newline, or the '}' of the block around it, or the next line that begins anew. */
static void skip_statement(Parser *p, uint32_t first)
{
    uint32_t brackets = p->parens, braces = 0, start = p->i;
    for (;; p->i++) {
        const Token *t = &p->tok[p->i];
        if (p->i == start && start > first && t->first && !brackets && !continues_line(t->kind))
            break;                 /* behind an open bracket: a new line already */
        if (t->kind == T_EOF || (t->kind == T_RBRACE && !braces))
            break;
        if (p->i > first && starts_item(p, p->i) && t->col <= p->item_col)
            break;
        if (!braces && ((t->kind == T_NL && !brackets) || (p->i > first && starts_stmt(p, p->i))))
            break;
        if (t->kind == T_NL && braces)
            brackets = 0;
        brackets += t->kind == T_LPAREN || t->kind == T_LBRACK;
        brackets -= brackets && (t->kind == T_RPAREN || t->kind == T_RBRACK);
        braces += t->kind == T_LBRACE;
        braces -= t->kind == T_RBRACE;
    }
    calm(p);
}

/* After a broken header: goes on at its block if there is one on the line. */
static bool skip_to_block(Parser *p)
{
    if (p->fatal)
        return false;
    uint32_t brackets = p->parens, i = p->i;
    while (p->tok[i].kind != T_EOF && p->tok[i].kind != T_LBRACE && p->tok[i].kind != T_RBRACE) {
        const Token *t = &p->tok[i];
        if ((t->kind == T_NL && !brackets) || (i > p->i && starts_stmt(p, i)))
            return false;
        brackets += t->kind == T_LPAREN || t->kind == T_LBRACK;
        brackets -= brackets && (t->kind == T_RPAREN || t->kind == T_RBRACK);
        i++;
    }
    if (p->tok[i].kind != T_LBRACE)
        return false;
    p->i = i;
    calm(p);
    return true;
}

/* ---- statements ---- */

uint32_t first_comment(const Parser *p, const Token *t)
{
    uint32_t lo = 0, hi = p->file->ncomments;
    while (lo < hi) {
        uint32_t   mid = (lo + hi) / 2;
        const Loc *c = &p->file->comments[mid].loc;
        if (c->line < t->line || (c->line == t->line && c->col < t->col))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void parse_pragmas(Parser *p, Stmt *s)
{
    Vec(Pragma) list = { 0 };
    while (!p->panic && accept(p, T_AT)) {
        Pragma g = { .name = expect_name(p, "a pragma's name after '@'") };
        if (!p->panic && at(p, T_LPAREN)) {
            cur(p)->tight = true;
            parse_args(p, &g.args);
        }
        if (!p->panic && at(p, T_NL) && (peek(p)->kind == T_WORD || peek(p)->kind == T_AT))
            advance(p);
        vec_push(&list, g);
    }
    if (list.n && !p->panic && !at(p, T_WORD))
        fail(p, 116, token_loc(p, cur(p)), "a pragma stands before a statement, found %s", found(p, cur(p)));
    take(p, &list, &s->pragmas, &s->npragmas);
}

void parse_names(Parser *p, const char *what, Name **names, uint32_t *n)
{
    Vec(Name) list = { 0 };
    do
        vec_push(&list, expect_name(p, what));
    while (accept(p, T_COMMA));
    take(p, &list, names, n);
}

/* ("param" | "state") ID ":" type "=" expr */
static void parse_variable(Parser *p, Stmt *s)
{
    s->kind = !strcmp(advance(p)->str, "param") ? S_PARAM : S_STATE;
    const char *word = s->kind == S_PARAM ? "param" : "state";
    s->name = expect_name(p, "a name");
    if (!p->panic && !at(p, T_COLON)) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected ':' and a type, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "As in %s %s: f32[] = zeros", word, s->name.name);
        return;
    }
    accept(p, T_COLON);
    if (p->panic)
        return;
    s->type = parse_type(p);
    if (!p->panic && !at(p, T_ASSIGN)) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected '=' and an initial value, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "As in %s %s: ... = zeros", word, s->name.name);
        return;
    }
    accept(p, T_ASSIGN);
    s->a = parse_expr(p);
}

static void parse_minimize(Parser *p, Stmt *s)
{
    s->kind = S_MINIMIZE;
    advance(p);
    s->a = parse_expr(p);
    if (!p->panic && !accept_word(p, "over")) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected 'over' and the nets to update, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "As in minimize loss over G using opt_g");
        return;
    }
    parse_names(p, "a net's name", &s->names, &s->nnames);
    if (!p->panic && !accept_word(p, "using")) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected 'using' and an optimiser, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "As in minimize loss over G using opt_g");
        return;
    }
    s->name = expect_name(p, "an optimiser's name");
}

static void parse_values(Parser *p, Stmt *s, bool named)
{
    Vec(Arg) list = { 0 };
    advance(p);
    do {
        Arg a = { .loc = token_loc(p, cur(p)) };
        if (named) {
            a.name = expect_name(p, "a name to report").name;
            if (accept(p, T_COLON))
                a.value = parse_expr(p);
        } else {
            a.value = parse_expr(p);
        }
        vec_push(&list, a);
    } while (accept(p, T_COMMA));
    take(p, &list, &s->args.at, &s->args.n);
}

static void parse_if(Parser *p, Stmt *s)
{
    s->kind = S_IF;
    advance(p);
    s->a = parse_expr(p);
    s->body = parse_block(p, "the condition");
    if (!p->panic && at(p, T_NL) && peek(p)->kind == T_WORD && !strcmp(peek(p)->str, "else"))
        advance(p);
    if (!accept_word(p, "else"))
        return;
    s->has_other = true;
    if (!at_word(p, "if") || too_deep(p)) {
        s->other = parse_block(p, "'else'");
        return;
    }
    Diag *g = diag_error(p->d, 105, token_loc(p, cur(p)), "expected '{' after 'else', found the keyword 'if'");
    diag_hint(p->d, g, "Write else { if ... { ... } }");
    Stmt unused = { 0 };           /* goes on to find what else is wrong */
    p->depth++;
    parse_if(p, &unused);
    p->depth--;
}

/* ID ( {"," ID} "=" expr | ":=" expr | postfix ) */
static void parse_binding(Parser *p, Stmt *s)
{
    Token *t = cur(p), *next = peek(p);
    if (next->kind == T_DEFINE) {
        s->kind = S_ASSIGN;
        s->name = expect_name(p, "a state's name");
        advance(p);
        s->a = parse_expr(p);
    } else if (next->kind == T_ASSIGN || next->kind == T_COMMA) {
        s->kind = S_BIND;
        parse_names(p, "a name", &s->names, &s->nnames);
        if (!p->panic && at(p, T_ASSIGN) && s->nnames == 1 && !s->npragmas)
            cur(p)->align = ALIGN_BIND;
        expect(p, T_ASSIGN, NULL);
        s->a = parse_expr(p);
    } else {
        s->kind = S_EXPR;
        s->a = parse_name_expr(p);
        if (p->panic || s->a->kind == E_CALL)
            return;
        if (next->kind == T_WORD || next->kind == T_NUM || next->kind == T_STR) {
            static const char *const words[] = { "return", "param", "state", "repeat", "if", "minimize", "report", "every", "assert" };
            const char *near = nearest_word(t->str, words, COUNT(words));
            Diag       *g = fail(p, 111, token_loc(p, t), "'%s' begins no statement", t->str);
            if (near)
                diag_hint(p->d, g, "Did you mean '%s'?", near);
        } else if (at(p, T_ASSIGN)) {
            fail(p, 111, s->a->loc, "only a name can stand before '='");
        } else {
            Diag *g = fail(p, 111, s->a->loc, "this value is not used");
            if (next->kind >= T_PLUS && next->kind <= T_SLASH2 && p->tok[p->i + 1].kind == T_ASSIGN)
                diag_hint(p->d, g, "Write %s = %s %.1s ...", t->str, t->str, token_spelling(next->kind) + 1);
            else
                diag_hint(p->d, g, "Bind it (y = ...), return it, or call something");
        }
    }
}

static bool parse_stmt_kind(Parser *p, Stmt *s)
{
    Token      *t = cur(p);
    TokenKind   next = (TokenKind)peek(p)->kind;
    const char *w = t->str;
    if (t->kind != T_WORD)
        return false;
    if (next == T_ASSIGN || next == T_DEFINE) {
        parse_binding(p, s);       /* a keyword before '=' is a name that cannot be */
    } else if (!strcmp(w, "return")) {
        s->kind = S_RETURN;
        parse_values(p, s, false);
    } else if (!strcmp(w, "param") || (!strcmp(w, "state") && next == T_WORD)) {
        parse_variable(p, s);
    } else if (!strcmp(w, "repeat")) {
        s->kind = S_REPEAT;
        advance(p);
        s->a = parse_expr(p);
        if (accept_word(p, "as"))
            s->name = expect_name(p, "the counter's name");
        s->body = parse_block(p, "the number of repeats");
    } else if (!strcmp(w, "if")) {
        parse_if(p, s);
    } else if (!strcmp(w, "minimize")) {
        parse_minimize(p, s);
    } else if (!strcmp(w, "report")) {
        s->kind = S_REPORT;
        parse_values(p, s, true);
    } else if (!strcmp(w, "every")) {
        s->kind = S_EVERY;
        advance(p);
        s->a = parse_count(p, &s->unit);
        if (!p->panic && at(p, T_LBRACE))
            cur(p)->align = ALIGN_EVERY;
        s->body = parse_block(p, "the unit");
    } else if (!strcmp(w, "assert")) {
        s->kind = S_ASSERT;
        advance(p);
        s->a = parse_expr(p);
    } else if (!is_keyword(w)) {
        parse_binding(p, s);
    } else {
        return false;
    }
    return true;
}

static void fail_statement(Parser *p)
{
    Token *t = cur(p);
    if (starts_item(p, p->i))
        diag_hint(p->d, fail(p, 115, token_loc(p, t), "'%s' cannot stand inside a block", t->str), "Declarations stand at the top level of a file");
    else if (t->kind == T_WORD && !strcmp(t->str, "else"))
        fail(p, 111, token_loc(p, t), "this 'else' follows no 'if'");
    else if (t->kind == T_RPAREN || t->kind == T_RBRACK)
        fail(p, 107, token_loc(p, t), "no bracket is open for this %s", token_spelling(t->kind));
    else {
        Diag *g = fail(p, 111, token_loc(p, t), "expected a statement, found %s", found(p, t));
        if (t->kind >= T_PLUS && t->kind <= T_CARET)
            diag_hint(p->d, g, "A line goes on inside ( ) or [ ] and before |>");
    }
}

/* Reads one statement up to the end of its line; false: it is broken, and skipped. */
static bool parse_stmt(Parser *p, Stmt *s)
{
    const Token *t = cur(p);
    uint32_t     first = p->i;
    *s = (Stmt){ .loc = token_loc(p, t), .first_comment = first_comment(p, t) };
    parse_pragmas(p, s);
    if (!p->panic && (starts_item(p, p->i) || !parse_stmt_kind(p, s)))
        fail_statement(p);
    if (!p->panic && !at(p, T_NL) && !at(p, T_RBRACE) && !at(p, T_EOF)) {
        bool  stray = at(p, T_RPAREN) || at(p, T_RBRACK);
        Diag *g = fail(p, stray ? 107 : 105, token_loc(p, cur(p)), stray ? "no bracket is open for this %s" : "expected the end of the line, found %s",
                       found(p, cur(p)));
        if (at(p, T_ASSIGN) && s->kind == S_ASSERT)
            diag_hint(p->d, g, "Equality is '=='");
        else if (at(p, T_WORD) && s->kind == S_REPORT)
            diag_hint(p->d, g, "As in report d_loss: loss, accuracy");
    }
    if (!p->panic)
        return true;
    if (!p->unwinding)
        skip_statement(p, first);
    return false;
}

/* The column of the first token on the line of token i. */
static uint32_t margin(const Parser *p, uint32_t i)
{
    while (i && !p->tok[i].first)
        i--;
    return p->tok[i].col;
}

void report_open_block(Parser *p, uint32_t open)
{
    const Token *brace = &p->tok[p->suspect ? p->suspect : open], *t = cur(p);
    if (p->panic)
        return;
    Diag *g = diag_error(p->d, 106, token_loc(p, brace), "'{' is never closed");
    if (t->kind == T_EOF)
        diag_hint(p->d, g, "Expected '}' before the end of the file");
    else
        diag_hint(p->d, g, "Expected '}' before '%s' on line %u", t->str, t->line);
    p->panic = p->unwinding = true;
}

/* "{" { stmt NL } "}". After a broken header it begins at the next '{' of the line. */
Block parse_block(Parser *p, const char *after)
{
    Block b = { 0 };
    if (!p->panic && at(p, T_NL) && peek(p)->kind == T_LBRACE) {
        diag_error(p->d, 105, token_loc(p, peek(p)), "this '{' must stand on the line before");
        advance(p);
    }
    if (!p->panic && !at(p, T_LBRACE)) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected '{' after %s, found %s", after, found(p, cur(p)));
        if (at(p, T_ASSIGN))
            diag_hint(p->d, g, "Equality is '=='");
    }
    if ((p->panic && !skip_to_block(p)) || too_deep(p))
        return b;
    uint32_t open = p->i;
    b.open = token_loc(p, advance(p));
    p->depth++;
    Vec(Stmt) list = { 0 };
    bool ended = false;
    while (!p->panic && !ended) {
        while (at(p, T_NL))
            advance(p);
        if (at(p, T_RBRACE)) {
            Token *close = advance(p);
            b.close = token_loc(p, close);
            if (close->first && close->line != p->tok[open].line && close->col != margin(p, open) && !p->suspect)
                p->suspect = open;
            ended = true;
        } else if (at(p, T_EOF) || (starts_item(p, p->i) && cur(p)->col <= p->item_col)) {
            report_open_block(p, open);
            ended = true;
        } else {
            Stmt s;
            if (parse_stmt(p, &s))
                vec_push(&list, s);
        }
    }
    p->depth--;
    take(p, &list, &b.at, &b.n);
    return b;
}
