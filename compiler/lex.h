/* lex.h - tokens of a graph file, shared by the parser, which consumes and annotates them, and the formatter, which prints
 * them again with canonical spaces. A newline is a token of its own (T_NL); none stands before a line that begins with |>,
 * and the parser skips those inside ( ) and [ ].
 */
#ifndef PASTICHE_LEX_H
#define PASTICHE_LEX_H

#include "ast.h"

typedef enum {
    T_EOF, T_NL, T_BAD,            /* T_BAD: reported already */
    T_WORD, T_NUM, T_STR,
    T_LPAREN, T_RPAREN, T_LBRACK, T_RBRACK, T_LBRACE, T_RBRACE,
    T_COMMA, T_COLON, T_DOT, T_DOTDOT, T_ASSIGN, T_DEFINE, T_ARROW, T_PIPE, T_AT,
    T_PLUS, T_MINUS, T_STAR, T_SLASH, T_SLASH2, T_CARET,
    T_EQ, T_NE, T_LT, T_LE, T_GT, T_GE,
    T_COUNT
} TokenKind;

/* Consecutive lines whose marked tokens are of one class are aligned by the formatter. */
typedef enum { ALIGN_NONE, ALIGN_BIND, ALIGN_EVERY, ALIGN_ITEM } AlignClass;    /* ALIGN_ITEM + ItemKind */

typedef struct Token {
    uint8_t     kind;
    uint8_t     align;             /* set by the parser: AlignClass */
    bool        first;             /* begins a line */
    bool        tight;             /* set by the parser: operators and slice colons without spaces, brackets joined to what they follow */
    bool        unary;             /* set by the parser: a sign */
    bool        is_int;            /* T_NUM */
    uint32_t    at, len;           /* bytes in the source */
    uint32_t    line, col;
    const char *str;               /* interned; T_WORD: itself, T_STR: unescaped */
    double      num;
} Token;

typedef struct Tokens {
    Token   *at; uint32_t n;       /* ends in T_NL (unless empty), T_EOF */
    uint32_t *line_end, nlines;    /* [line]: where the last token on it ends */
} Tokens;

/* Splits a source; comments go to *file. false: the bytes are no text (reported), nothing to parse. */
bool lex_source(Arena *arena, Diags *d, uint16_t source, Tokens *tokens, File *file);

const char *token_spelling(TokenKind k);   /* "'('"; NULL for words, numbers, strings */
bool        is_keyword(const char *word);  /* words that can never be names; others (step, data, images, in, ...) are keywords by their position only */

bool continues_line(TokenKind kind);       /* |> and ->: a line that begins with one goes on from the line before */

#endif
