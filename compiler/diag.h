/* diag.h - the user's mistakes: places in source text and the list of diagnostics a front-end run collects.
 *
 * A Diag is returned, never printed, by the library. Codes are stable: E01xx text and syntax, E02xx shapes and dims,
 * E03xx names and declarations, E04xx differentiation, E05xx training blocks, E06xx limits, W09xx warnings.
 * The limits: E0601 nesting, E0602 nodes, E0603 imports, E0604 repeats, E0605 states, E0606 file size, E0607 broken UTF-8, E0608 control bytes,
 * E0609 work, E0610 sizes.
 * The texts that golden tests rely on are produced in one place each.
 */
#ifndef PASTICHE_DIAG_H
#define PASTICHE_DIAG_H

#include "base.h"

/* A place: file index into Sources, 1-based line and column, length in bytes (0: only the line is known; line 0: nowhere). */
typedef struct { uint16_t file; uint16_t len; uint32_t line; uint32_t col; } Loc;

typedef struct { const char *path; const char *text; size_t size; } Source;
typedef struct { Vec(Source) files; Arena arena; } Sources;

typedef struct {
    int         code;              /* 204 prints as E0204 */
    bool        warning;
    Loc         loc;
    const char *message;           /* one line, no trailing period */
    const char *chain;             /* "in iteration i = 1 of Generator, instantiated by 'net G' (line 31)", or NULL */
    const char *hint;              /* "Did you mean 'D'?" or an example of the right form, or NULL */
} Diag;

enum { MAX_ERRORS = 20 };          /* further errors of a file are counted, not kept */

typedef struct {
    Vec(Diag) list;
    uint32_t  errors;              /* all that were reported, kept or not */
    Arena     arena;
    Sources  *sources;
} Diags;

/* Adds an error; returns the Diag to add chain/hint to, or NULL when the list is full or the same code stands at the same place already. */
Diag *diag_error(Diags *d, int code, Loc loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
Diag *diag_warn(Diags *d, int code, Loc loc, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void  diag_hint(Diags *d, Diag *g, const char *fmt, ...) __attribute__((format(printf, 3, 4)));   /* g may be NULL */

/* Appends the list as text, sorted by place, in the form
 *   path:19:24: error E0204: message.  Did you mean 'x'?
 *      19 |     source line
 *         |     ^^^^ chain                                                                       */
void  diags_print(const Diags *d, Text *out);
void  diags_json(const Diags *d, Text *out);      /* [{"code":"E0204","file":..,"line":..,"col":..,"message":..,"hint":..,"chain":..}] */
void  diags_free(Diags *d);
void  sources_free(Sources *s);

#endif
