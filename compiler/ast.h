/* ast.h - what a graph file says, as a tree. Grammar: graphs/README.md. The parser makes it, the formatter prints it, the
 * elaborator reads it. All nodes live in the Arena given to parse_file; names and (unescaped) strings are interned.
 */
#ifndef PASTICHE_AST_H
#define PASTICHE_AST_H

#include "diag.h"

typedef struct Expr Expr;
typedef struct Stmt Stmt;
typedef struct Item Item;

/* name: value pairs; name is NULL for positional arguments */
typedef struct { const char *name; Loc loc; Expr *value; } Arg;
typedef struct { Arg *at; uint32_t n; } Args;

typedef enum {
    E_NUM,        /* num, is_int; unit "steps", "epochs", "images" or NULL   */
    E_STR,        /* str                                                      */
    E_NAME,       /* str                                                      */
    E_NEG,        /* - a                                                      */
    E_BIN,        /* a op b; op: one of BinOp                                 */
    E_RANGE,      /* a .. b                                                   */
    E_CALL,       /* a ( args )                                               */
    E_FIELD,      /* a . str                                                  */
    E_INDEX,      /* a [ slices ]                                             */
    E_LIST,       /* [ args ] (positional only)                               */
    E_PIPE,       /* a |> [str [ '[' label_index ']' ] :] b   with b a name + postfix; str NULL when unlabelled */
} ExprKind;

typedef enum { B_ADD, B_SUB, B_MUL, B_DIV, B_FLOORDIV, B_POW, B_EQ, B_NE, B_LT, B_LE, B_GT, B_GE } BinOp;

typedef struct { Expr *start, *stop, *step; bool is_slice; Loc loc; } Slice;   /* x[i]: start only, is_slice false; x[a:b:s]: any may be NULL */

struct Expr {
    ExprKind    kind;
    Loc         loc;                /* of the whole expression's first token up to its line's end of it: what the caret underlines */
    const char *str;                /* E_STR (bytes), E_NAME, E_FIELD, E_PIPE label */
    double      num;
    bool        is_int;
    const char *unit;
    BinOp       op;
    Expr       *a, *b;
    Expr       *label_index;        /* E_PIPE */
    Args        args;               /* E_CALL, E_LIST */
    Slice      *slices; uint32_t nslices;
    bool        parens;             /* was written in parentheses (for the formatter) */
    bool        newline_before_pipe;/* E_PIPE: the |> began a line (for the formatter) */
    uint16_t    height;             /* of the tree below, at most MAX_NESTING: what a recursive walk needs */
};

/* f32[N, 3, 4*H, ..S] in [-1, 1]; a dim is an Expr, or a rest `..S` */
typedef struct { Expr *expr; const char *rest; } DimExpr;
typedef struct TypeExpr {
    Loc         loc;
    const char *dtype;              /* f32, i32, bool (checked by the parser) */
    DimExpr    *dims; uint32_t ndims;
    Expr       *range_lo, *range_hi;/* NULL when there is no `in [a, b]` */
} TypeExpr;

typedef struct {                    /* a module's compile-time parameter, or a tensor parameter */
    const char *name; Loc loc;
    Expr       *deflt;              /* mparams: default; params: `= expr` default of a scalar; else NULL */
    bool        is_module;          /* mparams: `f: module` */
    TypeExpr   *type;               /* params: NULL when untyped (an integer known when the step runs) */
} Param;
typedef struct { Param *at; uint32_t n; } Params;

typedef struct { const char *name; TypeExpr *type; Loc loc; } Result;      /* name NULL for a single unnamed result */
typedef struct { Result *at; uint32_t n; bool named; } Results;

typedef struct { Stmt *at; uint32_t n; Loc open, close; } Block;           /* places of the braces */

typedef enum {
    S_RETURN,     /* args: values                                             */
    S_PARAM,      /* name : type = a                                          */
    S_STATE,      /* name : type = a                                          */
    S_ASSIGN,     /* name := a                                                */
    S_BIND,       /* names = a                                                */
    S_EXPR,       /* a, a call for its effect (train blocks, tests)           */
    S_REPEAT,     /* repeat a as name block                                   */
    S_IF,         /* if a block else other                                    */
    S_MINIMIZE,   /* minimize a over names using name                         */
    S_REPORT,     /* args (name: value; value NULL means the name itself)     */
    S_EVERY,      /* every a unit block                                       */
    S_ASSERT,     /* assert a                                                 */
} StmtKind;

typedef struct { const char *name; Loc loc; } Name;
typedef struct { Name name; Args args; } Pragma;

struct Stmt {
    StmtKind    kind;
    Loc         loc;                /* the statement's first token */
    Name        name;               /* S_PARAM, S_STATE, S_ASSIGN, S_REPEAT's `as`, S_MINIMIZE's `using` (name.name NULL when absent) */
    Name       *names; uint32_t nnames;   /* S_BIND targets, S_MINIMIZE's nets */
    TypeExpr   *type;
    Expr       *a;
    const char *unit;               /* S_EVERY */
    Args        args;               /* S_RETURN, S_REPORT */
    Block       body, other;
    bool        has_other;
    Pragma     *pragmas; uint32_t npragmas;
    uint32_t    first_comment;      /* formatter: index into File.comments of the first comment at or after this statement */
};

typedef enum { I_IMPORT, I_CONST, I_LET, I_INIT, I_MODULE, I_FN, I_OPTIMIZER, I_NET, I_DATA, I_OPTIM, I_STEP, I_TRAIN, I_EXPORT, I_TEST } ItemKind;

struct Item {
    ItemKind    kind;
    Loc         loc;                /* the keyword */
    Name        name;               /* all but I_INIT, I_TEST, I_IMPORT without `as` */
    const char *str;                /* I_IMPORT path, I_TEST title, I_NET's `from` file or NULL */
    Loc         str_loc;
    Name       *names; uint32_t nnames;   /* I_INIT's layer names; I_CONST's parameters (`const width(i) = ...`) */
    bool        is_fn_const;        /* I_CONST with a parameter list */
    Expr       *a;                  /* I_CONST, I_LET, I_NET, I_DATA, I_OPTIM: value; I_TRAIN: count */
    const char *unit;               /* I_TRAIN: "epochs", "steps", "images" */
    Args        args;               /* I_INIT: parameter = initialiser */
    bool        frozen;             /* I_NET */
    bool        has_mparams;        /* I_MODULE, I_OPTIMIZER */
    Params      mparams, params;
    Results     results;            /* n = 0: none stated */
    Name        over;               /* I_TRAIN: data name or NULL */
    Name        stage; Expr *stages;/* I_TRAIN: `stages ID in expr` */
    Block       body;
    uint32_t    first_comment;
};

typedef struct { Loc loc; const char *text; bool own_line; } Comment;      /* text from '#' to the line's end */
typedef struct {
    uint16_t  source;               /* index into Sources */
    Item     *items; uint32_t nitems;
    Comment  *comments; uint32_t ncomments;
    struct Tokens *tokens;          /* lex.h: what the formatter prints */
} File;

/* Parses source number `source`. Reports every syntax error (recovering at statement and item ends) into d; the File holds what could be read. */
File *parse_file(Arena *arena, Diags *d, uint16_t source);

/* The canonical text of a file: same tree, same comments; formatting it again changes nothing. */
void format_file(const File *f, const Sources *s, Text *out);
void print_ast(const File *f, Text *out);           /* --stage parse: an s-expression a line */

/* Stated limits of the reader; going past one is E06xx. MAX_WORK: evaluations of one elaboration; a call and an iteration count as 16. */
enum { MAX_SOURCE_BYTES = 1 << 20, MAX_NESTING = 200, MAX_IMPORT_DEPTH = 32, MAX_REPEAT = 10000, MAX_NODES = 2000000, MAX_WORK = 1 << 24 };

#endif
