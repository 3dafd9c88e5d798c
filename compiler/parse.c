/* parse.c - walking over tokens, what a line can begin with, items, and the file.
 *
 * Many keywords are so by their place only: `data` begins a declaration where a name follows it at a line's beginning, and is
 * an ordinary name elsewhere. After a mistake an item ends where the next line begins with a declaration.
 */
#include "parse.h"

/* ---- tokens ---- */

Token *cur(Parser *p)
{
    while (p->parens && p->tok[p->i].kind == T_NL)
        p->i++;
    return &p->tok[p->i];
}

Token *peek(Parser *p)
{
    cur(p);
    uint32_t k = p->i;
    if (p->tok[k].kind != T_EOF)
        k++;
    while (p->parens && p->tok[k].kind == T_NL)
        k++;
    return &p->tok[k];
}

Token *advance(Parser *p)
{
    Token *t = cur(p);
    if (t->kind != T_NL && t->kind != T_EOF)
        p->last = p->i;
    if (t->kind != T_EOF)
        p->i++;
    return t;
}

bool at(Parser *p, TokenKind k)
{
    return cur(p)->kind == k;
}

bool at_word(Parser *p, const char *word)
{
    return at(p, T_WORD) && !strcmp(cur(p)->str, word);
}

bool accept(Parser *p, TokenKind k)
{
    if (p->panic || !at(p, k))
        return false;
    advance(p);
    return true;
}

bool accept_word(Parser *p, const char *word)
{
    if (p->panic || !at_word(p, word))
        return false;
    advance(p);
    return true;
}

Loc token_loc(const Parser *p, const Token *t)
{
    return (Loc){ .file = p->source, .len = (uint16_t)(t->len > UINT16_MAX ? UINT16_MAX : t->len), .line = t->line, .col = t->col };
}

const char *found(Parser *p, const Token *t)
{
    if (token_spelling(t->kind))
        return token_spelling(t->kind);
    if (t->kind == T_WORD)
        return arena_printf(p->arena, "%s'%.60s'", is_keyword(t->str) ? "the keyword " : "", t->str);
    if (t->kind == T_NUM)
        return arena_printf(p->arena, "%.*s", (int)t->len, p->d->sources->files.at[p->source].text + t->at);
    return "a string";
}

Diag *fail(Parser *p, int code, Loc loc, const char *fmt, ...)
{
    if (p->panic)
        return NULL;
    p->panic = true;
    if (cur(p)->kind == T_BAD)
        return NULL;               /* the lexer has said what is wrong here */
    va_list ap;
    va_start(ap, fmt);
    char message[512];
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return diag_error(p->d, code, loc, "%s", message);
}

bool too_deep(Parser *p)
{
    if (p->depth < MAX_NESTING)
        return false;
    fail(p, 601, token_loc(p, cur(p)), "the text is nested more than %d levels deep here", MAX_NESTING);
    p->fatal = true;
    return true;
}

Token *expect(Parser *p, TokenKind k, const char *what)
{
    if (p->panic)
        return NULL;
    if (at(p, k))
        return advance(p);
    fail(p, 105, token_loc(p, cur(p)), "expected %s, found %s", what ? what : token_spelling(k), found(p, cur(p)));
    return NULL;
}

/* A keyword in a name's place is reported, and taken for the name. */
Name expect_name(Parser *p, const char *what)
{
    Name n = { 0 };
    if (p->panic)
        return n;
    Token *t = cur(p);
    n.loc = token_loc(p, t);
    if (t->kind != T_WORD) {
        fail(p, 105, n.loc, "expected %s, found %s", what, found(p, t));
        return n;
    }
    bool operand = peek(p)->kind != T_WORD && peek(p)->kind != T_NUM && peek(p)->kind != T_STR;
    if (is_keyword(t->str) && !operand) {
        fail(p, 105, n.loc, "expected %s, found %s", what, found(p, t));
        return n;
    }
    if (is_keyword(t->str) || !strcmp(t->str, "step")) {
        Diag *g = diag_error(p->d, 108, n.loc, "'%s' is a keyword and cannot be a name", t->str);
        diag_hint(p->d, g, "Call it, say, 'the_%s'", t->str);
    }
    n.name = t->str;
    advance(p);
    return n;
}

/* ---- what a line begins with ---- */

static const struct { const char *word; ItemKind kind; TokenKind next; } items[] = {
    { "import", I_IMPORT, T_STR }, { "const", I_CONST, T_WORD }, { "let", I_LET, T_WORD }, { "init", I_INIT, T_WORD }, { "module", I_MODULE, T_WORD },
    { "fn", I_FN, T_WORD }, { "optimizer", I_OPTIMIZER, T_WORD }, { "net", I_NET, T_WORD }, { "data", I_DATA, T_WORD }, { "optim", I_OPTIM, T_WORD },
    { "step", I_STEP, T_WORD }, { "train", I_TRAIN, T_WORD }, { "export", I_EXPORT, T_WORD }, { "test", I_TEST, T_STR },
};

static const char *const stmt_words[] = { "return", "param", "repeat", "if", "minimize", "report", "every", "assert" };

static int item_index(const Token *t)
{
    for (size_t k = 0; t->kind == T_WORD && k < COUNT(items); k++)
        if (!strcmp(t->str, items[k].word))
            return (int)k;
    return -1;
}

bool starts_item(const Parser *p, uint32_t i)
{
    int k = p->tok[i].first ? item_index(&p->tok[i]) : -1;
    return k >= 0 && p->tok[i + 1].kind == items[k].next;
}

bool starts_stmt(const Parser *p, uint32_t i)
{
    const Token *t = &p->tok[i];
    if (!t->first || t->kind != T_WORD)
        return false;
    for (size_t k = 0; k < COUNT(stmt_words); k++)
        if (!strcmp(t->str, stmt_words[k]))
            return true;
    return starts_item(p, i) || t[1].kind == T_ASSIGN || t[1].kind == T_DEFINE || (!strcmp(t->str, "state") && t[1].kind == T_WORD);
}

/* ---- items ---- */

/* A name that stands in the list already is an error; parsing goes on. */
static void check_new(Parser *p, const Param *list, uint32_t n, Name name)
{
    for (uint32_t i = 0; name.name && i < n && i < MAX_NESTING; i++)
        if (list[i].name == name.name) {
            diag_error(p->d, 118, name.loc, "parameter '%s' stands twice in this list", name.name);
            return;
        }
}

/* "(" [ID [":" (expr | "module")] {"," ...}] ")" */
static Params parse_mparams(Parser *p)
{
    Params r = { 0 };
    if (p->panic || !at(p, T_LPAREN)) {
        expect(p, T_LPAREN, "'(' and the compile-time parameters");
        return r;
    }
    Vec(Param) list = { 0 };
    cur(p)->tight = true;
    Outer o = open_bracket(p, false);
    for (bool more = bracket_more(p, &o); more; more = bracket_next(p, &o)) {
        Name  n = expect_name(p, "a parameter's name");
        Param a = { .name = n.name, .loc = n.loc };
        check_new(p, list.at, list.n, n);
        if (accept(p, T_COLON)) {
            a.is_module = accept_word(p, "module");
            if (!a.is_module)
                a.deflt = parse_expr(p);
        }
        vec_push(&list, a);
    }
    take(p, &list, &r.at, &r.n);
    return r;
}

/* "(" [ID [":" type] ["=" expr] {"," ...}] ")" */
static Params parse_params(Parser *p, const char *hint)
{
    Params r = { 0 };
    if (p->panic)
        return r;
    if (!at(p, T_LPAREN)) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected '(' and the tensor parameters, found %s", found(p, cur(p)));
        if (hint)
            diag_hint(p->d, g, "%s", hint);
        return r;
    }
    Vec(Param) list = { 0 };
    cur(p)->tight = true;
    Outer o = open_bracket(p, false);
    for (bool more = bracket_more(p, &o); more; more = bracket_next(p, &o)) {
        Name  n = expect_name(p, "a parameter's name");
        Param a = { .name = n.name, .loc = n.loc };
        check_new(p, list.at, list.n, n);
        if (accept(p, T_COLON))
            a.type = parse_type(p);
        if (accept(p, T_ASSIGN))
            a.deflt = parse_expr(p);
        vec_push(&list, a);
    }
    take(p, &list, &r.at, &r.n);
    return r;
}

/* "->" ( type | "(" ID ":" type {"," ID ":" type} ")" ) */
static Results parse_results(Parser *p, bool required)
{
    Results r = { 0 };
    if (!p->panic && !required && !at(p, T_ARROW))
        return r;
    expect(p, T_ARROW, "'->' and the result's type");
    if (p->panic)
        return r;
    Vec(Result) list = { 0 };
    if (at(p, T_LPAREN)) {
        r.named = true;
        Outer o = open_bracket(p, false);
        for (bool more = true; more; more = bracket_next(p, &o)) {
            Name   n = expect_name(p, "a result's name");
            Result a = { .name = n.name, .loc = n.loc };
            expect(p, T_COLON, "':' and the result's type");
            if (!p->panic)
                a.type = parse_type(p);
            vec_push(&list, a);
        }
    } else {
        Result a = { .loc = token_loc(p, cur(p)) };
        a.type = parse_type(p);
        vec_push(&list, a);
    }
    take(p, &list, &r.at, &r.n);
    return r;
}

static void parse_const(Parser *p, Item *it)
{
    it->name = expect_name(p, "a name");
    if (!p->panic && at(p, T_LPAREN)) {
        it->is_fn_const = true;
        cur(p)->tight = true;
        Vec(Name) list = { 0 };
        Outer o = open_bracket(p, false);
        for (bool more = true; more; more = bracket_next(p, &o))
            vec_push(&list, expect_name(p, "a parameter's name"));
        take(p, &list, &it->names, &it->nnames);
    }
}

static void parse_value(Parser *p, Item *it)
{
    if (!p->panic && at(p, T_ASSIGN))
        cur(p)->align = (uint8_t)(ALIGN_ITEM + it->kind);
    expect(p, T_ASSIGN, NULL);
    it->a = parse_expr(p);
}

/* "init" ID {"," ID} "{" ID "=" expr {"," ID "=" expr} "}"; entries may also stand on lines of their own */
static void parse_init(Parser *p, Item *it)
{
    parse_names(p, "a layer's name", &it->names, &it->nnames);
    if (!p->panic && at(p, T_LBRACE))
        cur(p)->align = (uint8_t)(ALIGN_ITEM + I_INIT);
    uint32_t open = p->i;
    expect(p, T_LBRACE, NULL);
    Vec(Arg) list = { 0 };
    for (;;) {
        while (!p->panic && at(p, T_NL))
            advance(p);
        if (p->panic || at(p, T_RBRACE))
            break;
        if (at(p, T_EOF) || starts_item(p, p->i)) {
            report_open_block(p, open);
            break;
        }
        Name n = expect_name(p, "a parameter's name");
        Arg  a = { .name = n.name, .loc = n.loc };
        expect(p, T_ASSIGN, NULL);
        a.value = parse_expr(p);
        vec_push(&list, a);
        if (!p->panic && !accept(p, T_COMMA) && !at(p, T_NL) && !at(p, T_RBRACE))
            expect(p, T_COMMA, "',' or '}'");
    }
    expect(p, T_RBRACE, NULL);
    take(p, &list, &it->args.at, &it->args.n);
}

static void parse_train(Parser *p, Item *it)
{
    if (at_word(p, "for") && peek(p)->kind == T_NUM)
        diag_hint(p->d, fail(p, 105, token_loc(p, cur(p)), "expected a name before 'for'"), "As in train main for 25 epochs over faces { ... }");
    it->name = expect_name(p, "a name");
    if (!p->panic && !accept_word(p, "for")) {
        Diag *g = fail(p, 105, token_loc(p, cur(p)), "expected 'for' and how long to train, found %s", found(p, cur(p)));
        diag_hint(p->d, g, "As in train main for 25 epochs over faces { ... }");
    }
    it->a = parse_count(p, &it->unit);
    if (accept_word(p, "over"))
        it->over = expect_name(p, "a data set's name");
    if (accept_word(p, "stages")) {
        it->stage = expect_name(p, "the name of a const");
        if (!p->panic && !accept_word(p, "in"))
            diag_hint(p->d, fail(p, 105, token_loc(p, cur(p)), "expected 'in' and a range, found %s", found(p, cur(p))), "As in stages lod in 0..4");
        it->stages = parse_expr(p);
    }
    it->body = parse_block(p, it->unit ? "the header of 'train'" : "the count");
}

static void parse_callable(Parser *p, Item *it)
{
    it->name = expect_name(p, "a name");
    it->has_mparams = it->kind == I_MODULE || it->kind == I_OPTIMIZER;
    if (it->has_mparams)
        it->mparams = parse_mparams(p);
    it->params = parse_params(p, !it->has_mparams                ? NULL
                                 : it->kind == I_MODULE ? "A module has two lists: values, then tensors: module Up(c)(x: f32[N, C, H, W])"
                                                        : "An optimizer has two lists: values, then tensors: optimizer sgd(lr)(w: f32[P], g: f32[P])");
    if (it->kind != I_OPTIMIZER)
        it->results = parse_results(p, it->kind != I_STEP && it->kind != I_FN);
    it->body = parse_block(p, it->kind == I_OPTIMIZER || ((it->kind == I_STEP || it->kind == I_FN) && !it->results.n) ? "the parameters" : "the result's type");
}

static void parse_item_kind(Parser *p, Item *it)
{
    switch (it->kind) {
    case I_IMPORT: {
        Token *t = expect(p, T_STR, "the file's path in quotes");
        if (t) {
            it->str = t->str;
            it->str_loc = token_loc(p, t);
        }
        if (accept_word(p, "as"))
            it->name = expect_name(p, "a name");
        break;
    }
    case I_CONST:
        parse_const(p, it);
        parse_value(p, it);
        break;
    case I_LET:
    case I_DATA:
    case I_OPTIM:
        it->name = expect_name(p, "a name");
        parse_value(p, it);
        break;
    case I_NET:
        it->name = expect_name(p, "a name");
        parse_value(p, it);
        if (accept_word(p, "from")) {
            Token *t = expect(p, T_STR, "the weights' path in quotes");
            if (t) {
                it->str = t->str;
                it->str_loc = token_loc(p, t);
            }
        }
        it->frozen = accept_word(p, "frozen");
        break;
    case I_INIT:
        parse_init(p, it);
        break;
    case I_TRAIN:
        parse_train(p, it);
        break;
    case I_TEST: {
        Token *t = expect(p, T_STR, "the test's title in quotes");
        if (t) {
            it->str = t->str;
            it->str_loc = token_loc(p, t);
        }
        it->body = parse_block(p, "the title");
        break;
    }
    case I_MODULE:
    case I_FN:
    case I_OPTIMIZER:
    case I_STEP:
    case I_EXPORT:
        parse_callable(p, it);
        break;
    }
}

/* Skips a broken item: to the end of its line outside brackets and braces, or the next declaration. */
static void skip_item(Parser *p, uint32_t first)
{
    uint32_t braces = 0, brackets = p->parens;
    for (;; p->i++) {
        const Token *t = &p->tok[p->i];
        if (t->kind == T_EOF || (p->i > first && starts_item(p, p->i) && (t->col <= p->item_col || !braces)) || (t->kind == T_NL && !braces && !brackets))
            break;
        if (t->kind == T_NL && braces)
            brackets = 0;
        brackets += t->kind == T_LPAREN || t->kind == T_LBRACK;
        brackets -= brackets && (t->kind == T_RPAREN || t->kind == T_RBRACK);
        braces += t->kind == T_LBRACE;
        braces -= braces && t->kind == T_RBRACE;
    }
    calm(p);
}

/* A line at the top level that begins no declaration. */
static void fail_item(Parser *p)
{
    const char *words[COUNT(items)];
    for (size_t k = 0; k < COUNT(items); k++)
        words[k] = items[k].word;
    Token *t = cur(p);
    if (t->kind == T_RBRACE) {
        fail(p, 107, token_loc(p, t), "no block is open for this '}'");
        return;
    }
    if (t->kind == T_RPAREN || t->kind == T_RBRACK) {
        fail(p, 107, token_loc(p, t), "no bracket is open for this %s", token_spelling(t->kind));
        return;
    }
    Diag       *g = fail(p, 109, token_loc(p, t), "expected a declaration, found %s", found(p, t));
    const char *near = t->kind == T_WORD ? nearest_word(t->str, words, COUNT(words)) : NULL;
    if (t->kind == T_WORD && peek(p)->kind == T_ASSIGN)
        diag_hint(p->d, g, "A value of the file is 'const %s = ...' (a number) or 'let %s = ...' (a tensor)", t->str, t->str);
    else if (near && strcmp(near, t->str))
        diag_hint(p->d, g, "Did you mean '%s'?", near);
    else if (starts_stmt(p, p->i) && t->kind == T_WORD)
        diag_hint(p->d, g, "Statements stand in the block of a module, fn, step, train, export or test");
    else
        diag_hint(p->d, g, "Declarations: import const let init module fn optimizer net data optim step train export test");
}

static bool parse_item(Parser *p, Item *it)
{
    Token   *t = cur(p);
    uint32_t first = p->i;
    int      k = item_index(t);
    *it = (Item){ .loc = token_loc(p, t), .first_comment = first_comment(p, t) };
    p->item_col = t->col;
    p->suspect = 0;
    if (k < 0 || (peek(p)->kind == T_ASSIGN && !is_keyword(t->str))) {
        fail_item(p);
    } else {
        it->kind = items[k].kind;
        advance(p);
        parse_item_kind(p, it);
    }
    if (!p->panic && !at(p, T_NL) && !at(p, T_EOF)) {
        bool stray = at(p, T_RPAREN) || at(p, T_RBRACK) || at(p, T_RBRACE);
        fail(p, stray ? 107 : 105, token_loc(p, cur(p)), stray ? "no bracket is open for this %s" : "expected the end of the line, found %s",
             found(p, cur(p)));
    }
    if (!p->panic)
        return true;
    skip_item(p, first);
    return false;
}

File *parse_file(Arena *arena, Diags *d, uint16_t source)
{
    File *f = ARENA_NEW(arena, File);
    f->source = source;
    f->tokens = ARENA_NEW(arena, Tokens);
    if (!lex_source(arena, d, source, f->tokens, f)) {
        f->tokens->at = ARENA_NEW(arena, Token);       /* a lone T_EOF */
        f->tokens->n = 1;
        return f;
    }
    Parser p = { .arena = arena, .d = d, .file = f, .tok = f->tokens->at, .line_end = f->tokens->line_end, .source = source };
    p.dummy = (Expr){ .kind = E_NUM, .height = 1 };
    Vec(Item) list = { 0 };
    while (!p.panic) {
        while (at(&p, T_NL))
            advance(&p);
        if (at(&p, T_EOF))
            break;
        Item it;
        if (parse_item(&p, &it))
            vec_push(&list, it);
    }
    take(&p, &list, &f->items, &f->nitems);
    return f;
}
