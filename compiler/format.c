/* format.c - the canonical text of a file: its own tokens and comments again, in canonical spaces.
 *
 * No token is added, dropped or moved, so the tree cannot change; where a line ends is the author's choice, how it is indented,
 * spaced and aligned is not:
 * - Four spaces a block; a block that spans lines has its braces at line ends. At most one blank line, none at a block's edges.
 * - A line that goes on inside brackets aligns behind the bracket (four spaces in, if the bracket ends its line); a line that
 *   begins with |> aligns with the statement's first |>.
 * - Spaces stand around binary operators, but none around ^, around * and / in sizes and lists, and in 4*w: a whole number
 *   times a one-letter name. (The parser knows these and marks the tokens.)
 * - The '=' of neighbouring bindings, and of neighbouring declarations of a kind, are aligned; so are comments behind text.
 * Lines are collected first and aligned afterwards. Requires a file that parsed without errors.
 */
#include "lex.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t    from, to, columns; /* text without indentation, in the buffer; its width */
    int32_t     anchor;            /* the line whose column anchor_col this one aligns with, plus indent; -1: indent alone */
    uint32_t    anchor_col, indent;
    int32_t     marker;            /* the column that is aligned with neighbours, or -1 */
    uint8_t     align;
    bool        blank;             /* a blank line before it */
    const char *comment;           /* behind the text, or alone */
    uint32_t    pad, margin;       /* results: spaces before the marker, spaces before the text */
} Line;

/* What continuation lines hang on: the statement itself, or an open bracket. */
typedef struct { uint32_t line, col; bool hangs; int32_t pipe_line; uint32_t pipe_col; } Level;

typedef struct {
    const File  *file;
    const char  *text;
    const Token *tok, *prev;       /* prev: printed last on this line, or NULL */
    bool        *spans;            /* of '{' and '}': the block spans lines */
    Vec(bool)    blank_line;       /* [line] of the source */
    Vec(Line)    lines;
    Vec(Level)   levels;           /* [0] is the statement */
    Text         buffer;
    uint32_t     comment;          /* the next one to print */
    uint32_t     depth;            /* of blocks */
    bool         fresh;            /* the next token begins a statement's line */
    bool         opened;           /* a block was opened and nothing printed in it */
    bool         braces;           /* the statement's line holds a '{' already */
} Formatter;

static uint32_t width(const char *s, size_t n)
{
    uint32_t w = 0;
    for (size_t i = 0; i < n; i++)
        w += ((unsigned char)s[i] & 0xC0) != 0x80;
    return w;
}

static bool is_operator(const Token *t)
{
    return t->kind >= T_PLUS && t->kind <= T_GE;
}

static bool is_opening(const Token *t)
{
    return t->kind == T_LPAREN || t->kind == T_LBRACK;
}

static bool is_closing(const Token *t)
{
    return t->kind == T_RPAREN || t->kind == T_RBRACK;
}

static bool has_space(const Token *a, const Token *b)
{
    if (a->kind == T_COMMA)
        return true;
    if (b->kind == T_COMMA || b->kind == T_COLON || is_closing(b) || is_opening(a) || a->kind == T_AT || a->unary)
        return false;
    if (a->kind == T_DOT || b->kind == T_DOT || a->kind == T_DOTDOT || b->kind == T_DOTDOT)
        return false;
    if (is_operator(b) && !b->unary)
        return !b->tight;
    if (is_operator(a) || a->kind == T_COLON)
        return !a->tight;
    if (is_opening(b))
        return !b->tight;
    return !(a->kind == T_LBRACE && b->kind == T_RBRACE);
}

static Line *last_line(Formatter *f)
{
    return &f->lines.at[f->lines.n - 1];
}

static Line *new_line(Formatter *f, bool blank)
{
    Line l = { .from = (uint32_t)f->buffer.n, .to = (uint32_t)f->buffer.n, .anchor = -1, .marker = -1, .blank = blank && f->lines.n && !f->opened };
    vec_push(&f->lines, l);
    f->prev = NULL;
    f->opened = false;
    return last_line(f);
}

static bool blank_before(const Formatter *f, uint32_t line)
{
    return line > 1 && f->blank_line.at[line - 1];
}

/* A new line inside the statement, aligned with what it continues. */
static Line *continue_line(Formatter *f, const Token *next)
{
    const Level *v = &f->levels.at[f->levels.n - 1];
    Line        *l = new_line(f, false);
    l->anchor = (int32_t)v->line;
    if (next->kind == T_PIPE && v->pipe_line >= 0) {
        l->anchor = v->pipe_line;
        l->anchor_col = v->pipe_col;
    } else if (f->levels.n > 1 && !v->hangs) {
        l->anchor_col = v->col;
    } else if (!is_closing(next)) {
        l->indent = 4;
    }
    return l;
}

static bool comment_is_before(const Formatter *f, const Token *t)
{
    if (f->comment >= f->file->ncomments)
        return false;
    const Loc *c = &f->file->comments[f->comment].loc;
    return t->kind == T_EOF || c->line < t->line || (c->line == t->line && c->col < t->col);
}

/* Comments that stand before `next`: behind the current line, or on lines of their own. */
static void print_comments(Formatter *f, const Token *next)
{
    while (comment_is_before(f, next)) {
        const Comment *c = &f->file->comments[f->comment++];
        if (!c->own_line && f->lines.n && !last_line(f)->comment) {
            last_line(f)->comment = c->text;
            continue;
        }
        if (f->levels.n && (f->levels.n > 1 || continues_line(next->kind)) && !f->fresh) {
            const Token inside = { .kind = next->kind == T_PIPE ? T_PIPE : T_WORD };
            continue_line(f, &inside);
        } else {
            new_line(f, blank_before(f, c->loc.line))->indent = 4 * f->depth;
        }
        last_line(f)->comment = c->text;
    }
}

static void begin_statement(Formatter *f, const Token *t)
{
    new_line(f, blank_before(f, t->line) && t->kind != T_RBRACE)->indent = 4 * f->depth;
    f->levels.n = 0;
    Level base = { .line = f->lines.n - 1, .pipe_line = -1 };
    vec_push(&f->levels, base);
    f->fresh = f->braces = false;
}

static void print_token(Formatter *f, const Token *t)
{
    if (f->prev && has_space(f->prev, t)) {
        text_add(&f->buffer, " ");
        last_line(f)->columns++;
    }
    Line  *l = last_line(f);
    Level *v = &f->levels.at[f->levels.n - 1];
    if (t->align && f->levels.n == 1 && !f->braces && f->lines.n - 1 == v->line && !(t->kind == T_LBRACE && f->spans[t - f->tok])) {
        l->marker = (int32_t)l->columns;
        l->align = t->align;
    }
    if (t->kind == T_PIPE && v->pipe_line < 0) {
        v->pipe_line = (int32_t)(f->lines.n - 1);
        v->pipe_col = l->columns;
    }
    text_addn(&f->buffer, f->text + t->at, t->len);
    l->columns += width(f->text + t->at, t->len);
    l->to = (uint32_t)f->buffer.n;
    f->prev = t;
    if (is_opening(t)) {
        const Token *next = t + 1;
        while (next->kind == T_NL)
            next++;
        Level inner = { .line = f->lines.n - 1, .col = l->columns, .hangs = next->line != t->line, .pipe_line = -1 };
        vec_push(&f->levels, inner);
    }
}

/* Whether the newline token i is dropped: in brackets, and between '}' and 'else'. */
static bool joins(Formatter *f, uint32_t i)
{
    const Token *next = &f->tok[i + 1];
    if (f->levels.n > 1)
        return true;
    return i && f->tok[i - 1].kind == T_RBRACE && next->kind == T_WORD && !strcmp(next->str, "else") && !comment_is_before(f, next) && !last_line(f)->comment;
}

static void collect_lines(Formatter *f)
{
    f->fresh = true;
    for (uint32_t i = 0;; i++) {
        const Token *t = &f->tok[i];
        if (t->kind == T_NL) {
            f->fresh = f->fresh || !joins(f, i);
            continue;
        }
        if (t->kind == T_EOF) {
            f->fresh = true;
            print_comments(f, t);
            return;
        }
        bool closes = t->kind == T_RBRACE && f->spans[i];
        f->fresh = f->fresh || closes;
        print_comments(f, t);
        if (closes)
            f->depth -= f->depth > 0;
        if (f->fresh)
            begin_statement(f, t);
        else if (t->first && (f->levels.n > 1 || continues_line(t->kind)))
            continue_line(f, t);
        if (is_closing(t) && f->levels.n > 1)
            f->levels.n--;
        print_token(f, t);
        if (t->kind == T_LBRACE) {
            f->braces = true;
            f->depth += f->spans[i];
            f->fresh = f->opened = f->spans[i];
        }
    }
}

static void mark_blocks(Formatter *f, uint32_t n)
{
    Vec(uint32_t) open = { 0 };
    for (uint32_t i = 0; i < n; i++) {
        if (f->tok[i].kind == T_LBRACE) {
            f->spans[i] = true;
            vec_push(&open, i);
        } else if (f->tok[i].kind == T_RBRACE && open.n) {
            uint32_t k = open.at[--open.n];
            f->spans[i] = f->spans[k] = f->tok[i].line != f->tok[k].line;
        }
    }
    vec_free(&open);
}

static void mark_blank_lines(Formatter *f, const Source *s)
{
    bool blank = true;
    vec_push(&f->blank_line, false);               /* lines count from 1 */
    for (size_t i = 0; i <= s->size; i++) {
        if (i == s->size || s->text[i] == '\n') {
            vec_push(&f->blank_line, blank);
            blank = true;
        } else if (s->text[i] != ' ' && s->text[i] != '\t' && s->text[i] != '\r') {
            blank = false;
        }
    }
}

/* Neighbouring lines with markers of one class get them into one column; then every line's margin is known. */
static void align_markers(Formatter *f)
{
    Line *l = f->lines.at;
    for (uint32_t i = 0, j; i < f->lines.n; i = j) {
        int32_t column = l[i].marker;
        for (j = i + 1; l[i].marker >= 0 && j < f->lines.n && l[j].marker >= 0 && l[j].align == l[i].align && l[j].indent == l[i].indent && !l[j].blank; j++)
            column = l[j].marker > column ? l[j].marker : column;
        for (uint32_t k = i; k < j; k++)
            l[k].pad = l[k].marker >= 0 ? (uint32_t)(column - l[k].marker) : 0;
    }
    for (uint32_t i = 0; i < f->lines.n; i++) {
        l[i].margin = l[i].indent;
        if (l[i].anchor >= 0) {
            const Line *a = &l[l[i].anchor];
            bool        shifted = a->marker >= 0 && l[i].anchor_col > (uint32_t)a->marker;
            l[i].margin += a->margin + l[i].anchor_col + (shifted ? a->pad : 0);
        }
    }
}

static void print_spaces(Text *out, uint32_t n)
{
    text_addf(out, "%*s", (int)n, "");
}

static void print_line(const Formatter *f, const Line *l, uint32_t comment_column, Text *out)
{
    if (l->blank)
        text_add(out, "\n");
    print_spaces(out, l->margin);
    const char *s = f->buffer.at + l->from;
    size_t      n = l->to - l->from, split = n;
    if (l->pad) {
        split = 0;
        for (int32_t c = 0; split < n && (c < l->marker || ((unsigned char)s[split] & 0xC0) == 0x80); split++)
            c += ((unsigned char)s[split + 1] & 0xC0) != 0x80;
    }
    if (n) {
        text_addn(out, s, split);
        print_spaces(out, l->pad);
        text_addn(out, s + split, n - split);
    }
    if (l->comment) {
        if (n)
            print_spaces(out, comment_column - (l->margin + l->columns + l->pad));
        text_add(out, l->comment);
    }
    text_add(out, "\n");
}

static bool has_trailing_comment(const Line *l)
{
    return l->comment && l->to > l->from;
}

void format_file(const File *file, const Sources *s, Text *out)
{
    const Source *source = &s->files.at[file->source];
    Formatter     f = { .file = file, .text = source->text, .tok = file->tokens->at };
    text_add(&f.buffer, "");      /* never NULL, even when there are only comments */
    f.spans = xmalloc(file->tokens->n);
    mark_blocks(&f, file->tokens->n);
    mark_blank_lines(&f, source);
    collect_lines(&f);
    align_markers(&f);
    const Line *l = f.lines.at;
    for (uint32_t i = 0, j; i < f.lines.n; i = j) {
        uint32_t column = 0;
        for (j = i; j < f.lines.n && has_trailing_comment(&l[j]) && (j == i || !l[j].blank); j++) {
            uint32_t end = l[j].margin + l[j].columns + l[j].pad + 2;
            column = end > column ? end : column;
        }
        j = j == i ? i + 1 : j;
        for (uint32_t k = i; k < j; k++)
            print_line(&f, &l[k], column, out);
    }
    free(f.spans);
    vec_free(&f.blank_line);
    vec_free(&f.lines);
    vec_free(&f.levels);
    text_free(&f.buffer);
}
