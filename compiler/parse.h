/* parse.h - what the parts of the parser share: parse_expr.c reads expressions, arguments and types, parse_stmt.c blocks and
 * their statements, parse.c tokens, items and the file.
 *
 * After a mistake `panic` is set: every parse function returns at once (with a usable dummy), nothing further is reported, and
 * the statement or item skips to a place where it makes sense to go on. `fatal` (a limit) ends the file.
 */
#ifndef PASTICHE_PARSE_H
#define PASTICHE_PARSE_H

#include "lex.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena      *arena;
    Diags      *d;
    File       *file;
    Token      *tok;               /* ends in T_EOF */
    uint32_t   *line_end;
    uint16_t    source;
    uint32_t    i;                 /* the current token */
    uint32_t    last;              /* the last consumed one */
    uint32_t    parens;            /* open ( and [: newlines are spaces */
    uint32_t    open;              /* the innermost of them, when parens > 0 */
    uint32_t    depth;             /* of recursion */
    uint32_t    suspect;           /* a '{' whose '}' stands at another indentation, 0: none */
    uint32_t    item_col;          /* where the current item began */
    bool        panic, fatal;
    bool        unwinding;         /* a block was left open: its statements and the item end here */
    bool        no_unit;           /* in a count, which has a unit of its own */
    bool        tight;             /* in sizes and lists: products without spaces */
    Expr        dummy;
} Parser;

/* Copies a Vec into the arena and frees it: take(p, &vec, &dst->at, &dst->n). */
#define take(p, v, at_, n_)                                                             \
    do {                                                                                \
        *(n_) = (v)->n;                                                                 \
        *(at_) = arena_alloc((p)->arena, sizeof *(v)->at * ((v)->n + 1));               \
        if ((v)->n)                                                                     \
            memcpy(*(at_), (v)->at, sizeof *(v)->at * (v)->n);                          \
        vec_free(v);                                                                    \
    } while (0)

/* ---- tokens ---- */
Token      *cur(Parser *p);
Token      *peek(Parser *p);                           /* the one behind cur */
Token      *advance(Parser *p);                        /* returns the consumed token */
bool        at(Parser *p, TokenKind k);
bool        at_word(Parser *p, const char *word);
bool        accept(Parser *p, TokenKind k);
bool        accept_word(Parser *p, const char *word);
Token      *expect(Parser *p, TokenKind k, const char *what);      /* what may be NULL: the token's spelling; NULL after a mistake */
Name        expect_name(Parser *p, const char *what);
const char *found(Parser *p, const Token *t);          /* "'('", "the end of the line" */
Loc         token_loc(const Parser *p, const Token *t);
Diag       *fail(Parser *p, int code, Loc loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool        too_deep(Parser *p);                       /* reports E0601 */
bool        starts_item(const Parser *p, uint32_t i);
bool        starts_stmt(const Parser *p, uint32_t i);       /* first on its line, and nothing else could begin so */

/* ---- brackets: open_bracket, { element, bracket_next }, or close_bracket ---- */
typedef struct { uint32_t open; bool no_unit, tight; bool single; } Outer;     /* what holds again behind the bracket; single: no list */
Outer open_bracket(Parser *p, bool tight);
bool  bracket_more(Parser *p, const Outer *o);         /* at the beginning: is there an element? Otherwise the bracket is closed */
bool  bracket_next(Parser *p, const Outer *o);         /* behind an element: is there another? Otherwise the bracket is closed */
void  close_bracket(Parser *p, const Outer *o);

/* ---- parse_stmt.c ---- */
Block     parse_block(Parser *p, const char *after);   /* "{" { stmt NL } "}"; a broken header goes on at its '{' */
void      parse_names(Parser *p, const char *what, Name **names, uint32_t *n);
uint32_t  first_comment(const Parser *p, const Token *t);
void      report_open_block(Parser *p, uint32_t open); /* cur is where it should have been closed */
void      calm(Parser *p);                             /* the end of a panic */

/* ---- parse_expr.c ---- */
Expr     *parse_expr(Parser *p);
Expr     *parse_postfix(Parser *p, Expr *e, uint32_t start);
Expr     *parse_name_expr(Parser *p);                  /* a name and what is applied to it, by a statement's beginning */
Expr     *parse_count(Parser *p, const char **unit);
void      parse_args(Parser *p, Args *args);           /* at '(' */
TypeExpr *parse_type(Parser *p);

#endif
