/* lex.c - graph text to tokens and comments.
 *
 * The whole source is split at once: the parser looks two tokens ahead and, after a mistake, scans forward for a place to go
 * on from. Bytes are checked first (size, UTF-8, control bytes), so everything after it deals with clean text. A character
 * that begins nothing is reported here and leaves a T_BAD, at which the parser gives up the statement silently.
 */
#define _GNU_SOURCE
#include "lex.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBER = 64 };          /* characters of a number */

static const char *const spellings[T_COUNT] = {
    [T_LPAREN] = "'('", [T_RPAREN] = "')'", [T_LBRACK] = "'['", [T_RBRACK] = "']'", [T_LBRACE] = "'{'", [T_RBRACE] = "'}'",
    [T_COMMA] = "','", [T_COLON] = "':'", [T_DOT] = "'.'", [T_DOTDOT] = "'..'", [T_ASSIGN] = "'='", [T_DEFINE] = "':='",
    [T_ARROW] = "'->'", [T_PIPE] = "'|>'", [T_AT] = "'@'", [T_PLUS] = "'+'", [T_MINUS] = "'-'", [T_STAR] = "'*'", [T_SLASH] = "'/'",
    [T_SLASH2] = "'//'", [T_CARET] = "'^'", [T_EQ] = "'=='", [T_NE] = "'!='", [T_LT] = "'<'", [T_LE] = "'<='", [T_GT] = "'>'", [T_GE] = "'>='",
    [T_NL] = "the end of the line", [T_EOF] = "the end of the file",
};

const char *token_spelling(TokenKind k)
{
    return spellings[k];
}

bool is_keyword(const char *word)
{
    static const char *const keywords[] = {
        "import", "const", "let", "module", "fn", "optimizer", "net", "optim", "export", "param", "return", "repeat",
        "as", "if", "else", "minimize", "over", "using", "report", "every", "assert",
    };
    for (size_t i = 0; i < COUNT(keywords); i++)
        if (!strcmp(word, keywords[i]))
            return true;
    return false;
}

/* Not ctype.h: a program's locale must not decide what a letter is. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

typedef struct {
    Arena      *arena;
    Diags      *d;
    uint16_t    source;
    const char *text;
    size_t      size, at;
    uint32_t    line;
    size_t      line_start;
    Vec(Token)    tokens;
    Vec(Comment)  comments;
    Vec(uint32_t) line_end;
    locale_t    c_locale;          /* numbers have a '.' whatever the program's locale */
} Lexer;

static Loc place(const Lexer *x, size_t at, size_t len)
{
    return (Loc){ .file = x->source, .len = (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len), .line = x->line, .col = (uint32_t)(at - x->line_start) + 1 };
}

static char look(const Lexer *x, size_t ahead)
{
    return x->at + ahead < x->size ? x->text[x->at + ahead] : 0;
}

/* A line that begins with |> or -> continues the one before. */
bool continues_line(TokenKind kind)
{
    return kind == T_PIPE || kind == T_ARROW;
}

static Token *push(Lexer *x, TokenKind kind, size_t at, size_t len)
{
    bool  first = !x->tokens.n || x->tokens.at[x->tokens.n - 1].line != x->line;
    Token t = { .kind = (uint8_t)kind, .first = first, .at = (uint32_t)at, .len = (uint32_t)len, .line = x->line, .col = (uint32_t)(at - x->line_start) + 1 };
    if (continues_line((TokenKind)kind) && x->tokens.n && x->tokens.at[x->tokens.n - 1].kind == T_NL)
        x->tokens.n--;
    vec_push(&x->tokens, t);
    while (x->line_end.n <= x->line)
        vec_push(&x->line_end, 0);
    x->line_end.at[x->line] = (uint32_t)(at + len);
    return &x->tokens.at[x->tokens.n - 1];
}

/* The newline token stands right behind the last token of its line. */
static void push_newline(Lexer *x)
{
    if (!x->tokens.n || x->tokens.at[x->tokens.n - 1].kind == T_NL)
        return;
    Token last = x->tokens.at[x->tokens.n - 1];
    Token t = { .kind = T_NL, .at = last.at + last.len, .len = 1, .line = last.line, .col = last.col + last.len };
    vec_push(&x->tokens, t);
}

static void lex_number(Lexer *x)
{
    size_t start = x->at, digits = x->at;
    bool   is_int = true, good = true;
    while (is_digit(look(x, 0)))
        x->at++;
    if (look(x, 0) == '.' && look(x, 1) != '.') {
        is_int = false;
        x->at++;
        good = is_digit(look(x, 0));
        while (is_digit(look(x, 0)))
            x->at++;
    }
    if (look(x, 0) == 'e' || look(x, 0) == 'E') {
        is_int = false;
        x->at++;
        if (look(x, 0) == '+' || look(x, 0) == '-')
            x->at++;
        good = good && is_digit(look(x, 0));
        while (is_digit(look(x, 0)))
            x->at++;
    }
    digits = x->at;
    while (is_word(look(x, 0)))
        x->at++;
    size_t len = x->at - start;
    char   buffer[MAX_NUMBER + 1];
    if (!good || x->at != digits || len > MAX_NUMBER) {
        Diag *g = diag_error(x->d, 102, place(x, start, len), "malformed number '%.*s'", (int)(len > 40 ? 40 : len), x->text + start);
        if (good && is_int && x->at != digits && len <= MAX_NUMBER && is_word(x->text[digits]) && x->text[start] != '0')
            diag_hint(x->d, g, "For a product write '%.*s*%.*s'", (int)(digits - start), x->text + start, (int)(x->at - digits), x->text + digits);
        push(x, T_BAD, start, len);
        return;
    }
    memcpy(buffer, x->text + start, len);
    buffer[len] = 0;
    double v = strtod_l(buffer, NULL, x->c_locale);
    if (!isfinite(v) || (is_int && v > 9007199254740992.0)) {
        diag_error(x->d, 102, place(x, start, len), is_int ? "the whole number %s is larger than 2^53" : "the number %s is too large", buffer);
        push(x, T_BAD, start, len);
        return;
    }
    Token *t = push(x, T_NUM, start, len);
    t->num = v;
    t->is_int = is_int;
}

static void lex_string(Lexer *x)
{
    size_t start = x->at++, n = 0, stop = start + 1;
    bool   good = true;
    while (stop < x->size && x->text[stop] != '"' && x->text[stop] != '\n')
        stop += x->text[stop] == '\\' && stop + 1 < x->size && x->text[stop + 1] != '\n' ? 2 : 1;
    if (stop >= x->size || x->text[stop] != '"') {
        size_t len = (stop < x->size ? stop : x->size) - start;
        while (len > 1 && is_blank(x->text[start + len - 1]))
            len--;
        diag_error(x->d, 103, place(x, start, len), "this string has no closing '\"' on its line");
        x->at = start + len;
        push(x, T_BAD, start, len);
        return;
    }
    char *s = arena_alloc(x->arena, stop - start);
    for (; x->at < stop; x->at++) {
        char c = x->text[x->at];
        if (c == '\\') {
            c = x->text[++x->at];
            if (c != 'n' && c != 't' && c != '"' && c != '\\') {
                bool shown = c > 0x20 && c < 0x7F;
                diag_error(x->d, 104, place(x, x->at - 1, 2), "unknown escape '\\%c' in a string; there are \\n \\t \\\" \\\\", shown ? c : '?');
                good = false;
            }
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        s[n++] = c;
    }
    x->at = stop + 1;
    push(x, good ? T_STR : T_BAD, start, x->at - start)->str = intern_n(s, n);
}

static void lex_comment(Lexer *x)
{
    size_t start = x->at;
    while (x->at < x->size && x->text[x->at] != '\n')
        x->at++;
    size_t end = x->at;
    while (end > start && is_blank(x->text[end - 1]))
        end--;
    bool    own = !x->tokens.n || x->tokens.at[x->tokens.n - 1].line != x->line;
    Comment c = { .loc = place(x, start, end - start), .text = arena_strndup(x->arena, x->text + start, end - start), .own_line = own };
    vec_push(&x->comments, c);
}

static const struct { const char *text, *hint, *until; } strange[] = {          /* until: what else belongs to the mistake */
    { "|", "The pipe is '|>'", NULL },
    { "'", "Strings stand in double quotes", "'" },
    { ";", "A statement ends at the end of its line", NULL },
    { "!", "'not equal' is '!='", NULL },
    { "%", "There is no remainder operator; a - a // b * b computes it", NULL },
    { "\xE2\x80\x9C", "Strings stand in plain double quotes: \"", "\xE2\x80\x9D" },
    { "\xC3\x97", "The product is '*'", NULL },
    { "\xE2\x88\x92", "The minus sign is '-'", NULL },
    { "\xE2\x86\x92", "The arrow is '->'", NULL },
    { "\xC2\xA0", "This is a no-break space; use a plain one", NULL },
};

/* The row of `strange` that stands at `at`, or -1. */
static int strange_at(const Lexer *x, size_t at)
{
    for (size_t i = 0; i < COUNT(strange); i++) {
        size_t n = strlen(strange[i].text);
        if (at + n <= x->size && !memcmp(strange[i].text, x->text + at, n))
            return (int)i;
    }
    return -1;
}

/* A name goes on at `at`, if letters beyond ASCII (which names may not have) counted. */
static bool is_foreign_word(const Lexer *x, size_t at)
{
    return at < x->size && (is_word(x->text[at]) || ((unsigned char)x->text[at] >= 0x80 && strange_at(x, at) < 0));
}

/* Reports what begins no token, as one mistake: a foreign name, a string in wrong quotes, a run of one character. */
static void lex_strange(Lexer *x)
{
    size_t start = x->at, end = start + 1;
    int    k = strange_at(x, start);
    Diag  *g;
    if (k < 0 && is_foreign_word(x, start)) {
        while (is_foreign_word(x, end))
            end++;
        g = diag_error(x->d, 101, place(x, start, end - start), "'%.*s' is no name", (int)(end - start > 60 ? 60 : end - start), x->text + start);
        diag_hint(x->d, g, "Names are made of a-z, A-Z, 0-9 and _");
    } else {
        size_t len = k < 0 ? 1 : strlen(strange[k].text);
        for (end = start + len; k < 0 && end < x->size && x->text[end] == x->text[start];)
            end++;
        g = diag_error(x->d, 101, place(x, start, end - start), "unexpected character '%.*s'", (int)len, x->text + start);
        if (k >= 0)
            diag_hint(x->d, g, "%s", strange[k].hint);
        const char *close = k < 0 ? NULL : strange[k].until;
        for (size_t i = end; close && i + strlen(close) <= x->size && x->text[i] != '\n'; i++)
            if (!memcmp(x->text + i, close, strlen(close))) {
                end = i + strlen(close);
                break;
            }
    }
    push(x, T_BAD, start, end - start);
    x->at = end;
}

static void lex_punctuation(Lexer *x)
{
    static const struct { const char text[3]; uint8_t kind; } table[] = {     /* the longest first */
        { ":=", T_DEFINE }, { "->", T_ARROW }, { "|>", T_PIPE }, { "..", T_DOTDOT }, { "//", T_SLASH2 }, { "==", T_EQ }, { "!=", T_NE }, { "<=", T_LE },
        { ">=", T_GE },
        { "(", T_LPAREN }, { ")", T_RPAREN }, { "[", T_LBRACK }, { "]", T_RBRACK }, { "{", T_LBRACE }, { "}", T_RBRACE }, { ",", T_COMMA }, { ":", T_COLON },
        { ".", T_DOT }, { "=", T_ASSIGN }, { "@", T_AT }, { "+", T_PLUS }, { "-", T_MINUS }, { "*", T_STAR }, { "/", T_SLASH }, { "^", T_CARET },
        { "<", T_LT }, { ">", T_GT },
    };
    if (look(x, 0) == '.' && look(x, 1) == '.' && look(x, 2) == '.') {
        diag_error(x->d, 101, place(x, x->at, 3), "'...' stands for something left out: write it");
        push(x, T_BAD, x->at, 3);
        x->at += 3;
        return;
    }
    for (size_t i = 0; i < COUNT(table); i++) {
        size_t len = strlen(table[i].text);
        if (look(x, 0) == table[i].text[0] && (len == 1 || look(x, 1) == table[i].text[1])) {
            push(x, table[i].kind, x->at, len);
            x->at += len;
            return;
        }
    }
    lex_strange(x);
}

/* Size, UTF-8 and control bytes: text that passes has neither NUL nor lone CR nor broken characters. */
static bool check_bytes(Lexer *x)
{
    if (x->size > MAX_SOURCE_BYTES) {
        diag_error(x->d, 606, (Loc){ .file = x->source }, "the file has %zu bytes; the limit is %d", x->size, MAX_SOURCE_BYTES);
        return false;
    }
    const unsigned char *s = (const unsigned char *)x->text;
    for (size_t i = 0, len; i < x->size; i += len) {
        unsigned char c = s[i];
        len = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
        bool good = len && i + len <= x->size;
        for (size_t k = 1; good && k < len; k++)
            good = (s[i + k] & 0xC0) == 0x80;
        if (good && len == 3)      /* overlong, surrogates */
            good = !(c == 0xE0 && s[i + 1] < 0xA0) && !(c == 0xED && s[i + 1] >= 0xA0);
        if (good && len == 4)
            good = !(c == 0xF0 && s[i + 1] < 0x90) && !(c == 0xF4 && s[i + 1] >= 0x90);
        if (!good) {
            diag_error(x->d, 607, place(x, i, 1), "byte 0x%02X is not valid UTF-8: is this a text file?", c);
            return false;
        }
        bool control = (c < 0x20 && c != '\t' && c != '\n' && !(c == '\r' && i + 1 < x->size && s[i + 1] == '\n')) || c == 0x7F;
        if (control) {
            diag_error(x->d, 608, place(x, i, 1), "control byte 0x%02X: is this a text file?", c);
            return false;
        }
        if (c == '\n') {
            x->line++;
            x->line_start = i + 1;
        }
    }
    x->line = 1;
    x->line_start = 0;
    return true;
}

static void split(Lexer *x)
{
    if (x->size >= 3 && !memcmp(x->text, "\xEF\xBB\xBF", 3))
        x->at = x->line_start = 3; /* a byte order mark */
    while (x->at < x->size) {
        char c = x->text[x->at];
        if (c == '\n') {
            push_newline(x);
            x->at++;
            x->line++;
            x->line_start = x->at;
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x->at++;
        } else if (c == '#') {
            lex_comment(x);
        } else if (c == '"') {
            lex_string(x);
        } else if (is_digit(c)) {
            lex_number(x);
        } else if (is_word(c)) {
            size_t start = x->at;
            while (is_word(look(x, 0)))
                x->at++;
            if (is_foreign_word(x, x->at)) {
                x->at = start;
                lex_strange(x);
                continue;
            }
            push(x, T_WORD, start, x->at - start)->str = intern_n(x->text + start, x->at - start);
        } else {
            lex_punctuation(x);
        }
    }
    push_newline(x);
    Token end = { .kind = T_EOF, .at = (uint32_t)x->size, .len = 1, .line = 1, .col = 1 };
    if (x->tokens.n) {
        Token last = x->tokens.at[x->tokens.n - 1];
        end.line = last.line;
        end.col = last.col;
    }
    vec_push(&x->tokens, end);
}

bool lex_source(Arena *arena, Diags *d, uint16_t source, Tokens *tokens, File *file)
{
    const Source *s = &d->sources->files.at[source];
    Lexer         x = { .arena = arena, .d = d, .source = source, .text = s->text, .size = s->size, .line = 1 };
    if (!check_bytes(&x))
        return false;
    x.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    split(&x);
    freelocale(x.c_locale);
    tokens->n = x.tokens.n;
    tokens->at = ARENA_ARR(arena, Token, x.tokens.n);
    memcpy(tokens->at, x.tokens.at, sizeof(Token) * x.tokens.n);
    tokens->nlines = x.line_end.n;
    tokens->line_end = ARENA_ARR(arena, uint32_t, x.line_end.n + 1);
    if (x.line_end.n)
        memcpy(tokens->line_end, x.line_end.at, sizeof(uint32_t) * x.line_end.n);
    file->ncomments = x.comments.n;
    file->comments = ARENA_ARR(arena, Comment, x.comments.n + 1);
    if (x.comments.n)
        memcpy(file->comments, x.comments.at, sizeof(Comment) * x.comments.n);
    vec_free(&x.tokens);
    vec_free(&x.comments);
    vec_free(&x.line_end);
    return true;
}
