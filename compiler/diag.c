/* diag.c - collects diagnostics and prints them as text or JSON.
 *
 * A text diagnostic is one header line and, when a column is known, the source line with a caret under the place:
 *
 *   dcgan.graph:19:24: error E0204: conv_t: channel mismatch
 *      19 |     repeat 3 as i { x = x |> Up(4*w // 2^i) }
 *         |                              ^^^^^^^^^^^^^ in iteration i = 1 of Generator
 *
 * Source text is not to be trusted: control and broken bytes are shown as '?', long lines through a window around the caret.
 */
#include "diag.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW = 160 };             /* columns of a source line that are shown at most */

static bool same_place(Loc a, Loc b)
{
    return a.file == b.file && a.line == b.line && a.col == b.col;
}

static Diag *add(Diags *d, bool warning, int code, Loc loc, const char *fmt, va_list ap)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->list.n; i++) {
        const Diag *g = &d->list.at[i];
        kept += g->warning == warning;
        if (g->warning == warning && g->code == code && loc.line && same_place(g->loc, loc))
            return NULL;
    }
    d->errors += !warning;
    if (kept >= MAX_ERRORS)
        return NULL;
    va_list again;
    va_copy(again, ap);
    int   n = vsnprintf(NULL, 0, fmt, again);
    char *message = arena_alloc(&d->arena, (size_t)n + 1);
    va_end(again);
    vsnprintf(message, (size_t)n + 1, fmt, ap);
    Diag g = { .code = code, .warning = warning, .loc = loc, .message = message };
    vec_push(&d->list, g);
    return &d->list.at[d->list.n - 1];
}

Diag *diag_error(Diags *d, int code, Loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Diag *g = add(d, false, code, loc, fmt, ap);
    va_end(ap);
    return g;
}

Diag *diag_warn(Diags *d, int code, Loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Diag *g = add(d, true, code, loc, fmt, ap);
    va_end(ap);
    return g;
}

void diag_hint(Diags *d, Diag *g, const char *fmt, ...)
{
    if (!g)
        return;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int   n = vsnprintf(NULL, 0, fmt, ap);
    char *hint = arena_alloc(&d->arena, (size_t)n + 1);
    vsnprintf(hint, (size_t)n + 1, fmt, again);
    va_end(ap);
    va_end(again);
    g->hint = hint;
}

/* Bytes of the UTF-8 character at s (n left), or 0 when it is broken. */
static size_t char_length(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t               len = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : (s[0] & 0xF0) == 0xE0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if (len == 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] >= 0xA0)))
        return 0;
    if (len == 4 && ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] >= 0x90)))
        return 0;
    return len;
}

/* Adds s[0..n) as printable text: a tab becomes a space, what cannot be shown a '?'. */
static void add_clean(Text *out, const char *s, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        len = char_length(s + i, n - i);
        unsigned char c = (unsigned char)s[i];
        if (len == 0 || c < 0x20 || c == 0x7F) {
            text_add(out, c == '\t' ? " " : "?");
            len = len ? len : 1;
        } else {
            text_addn(out, s + i, len);
        }
    }
}

static size_t columns(const char *s, size_t n)
{
    size_t c = 0;
    for (size_t i = 0, len; i < n; i += len, c++) {
        len = char_length(s + i, n - i);
        len = len ? len : 1;
    }
    return c;
}

static bool find_line(const Source *f, uint32_t line, const char **start, size_t *length)
{
    const char *s = f->text, *end = f->text + f->size;
    for (uint32_t l = 1; l < line; l++) {
        s = s < end ? memchr(s, '\n', (size_t)(end - s)) : NULL;
        if (!s)
            return false;
        s++;
    }
    const char *stop = s < end ? memchr(s, '\n', (size_t)(end - s)) : NULL;
    size_t      n = (size_t)((stop ? stop : end) - s);
    if (n && s[n - 1] == '\r')
        n--;
    *start = s;
    *length = n;
    return true;
}

/* Moves a byte position back to the first byte of its character. */
static size_t char_start(const char *s, size_t at)
{
    size_t back = 0;
    while (at - back > 0 && back < 3 && ((unsigned char)s[at - back] & 0xC0) == 0x80)
        back++;
    return at - back;
}

static void print_snippet(const Source *f, const Diag *g, Text *out)
{
    const char *line;
    size_t      n;
    if (!f->text || !find_line(f, g->loc.line, &line, &n))
        return;
    size_t at = g->loc.col - 1, from = 0, to = n;
    at = at > n ? n : at;
    size_t marked = g->loc.len > n - at ? n - at : g->loc.len;
    if (n > WINDOW) {
        from = at > WINDOW / 2 ? char_start(line, at - WINDOW / 2) : 0;
        to = from + WINDOW < n ? char_start(line, from + WINDOW) : n;
        marked = at + marked > to ? to - at : marked;
    }
    const char *before = from ? "..." : "", *after = to < n ? "..." : "";
    char        number[16];
    int         width = snprintf(number, sizeof number, "%5u", g->loc.line);
    text_addf(out, "%s | %s", number, before);
    add_clean(out, line + from, to - from);
    while (out->n && out->at[out->n - 1] == ' ')
        out->at[--out->n] = 0;
    text_addf(out, "%s\n%*s | %*s", after, width, "", (int)(strlen(before) + columns(line + from, at - from)), "");
    size_t carets = columns(line + at, marked);
    for (size_t i = 0; i < (carets ? carets : 1); i++)
        text_add(out, "^");
    if (g->chain) {
        text_add(out, " ");
        add_clean(out, g->chain, strlen(g->chain));
    }
    text_add(out, "\n");
}

static void print_diag(const Diags *d, const Diag *g, Text *out)
{
    const Source *f = d->sources && g->loc.file < d->sources->files.n ? &d->sources->files.at[g->loc.file] : NULL;
    const char   *path = f ? f->path : "pastiche";
    add_clean(out, path, strlen(path));
    if (g->loc.line)
        text_addf(out, ":%u", g->loc.line);
    bool placed = g->loc.line && g->loc.col && g->loc.len;
    if (placed)
        text_addf(out, ":%u", g->loc.col);
    text_addf(out, ": %s %c%04d: ", g->warning ? "warning" : "error", g->warning ? 'W' : 'E', g->code);
    add_clean(out, g->message, strlen(g->message));
    if (g->hint) {
        text_add(out, ".  ");
        add_clean(out, g->hint, strlen(g->hint));
    }
    text_add(out, "\n");
    if (placed && f) {
        print_snippet(f, g, out);
    } else if (g->chain) {
        text_add(out, "      | ");
        add_clean(out, g->chain, strlen(g->chain));
        text_add(out, "\n");
    }
}

static int by_place(const void *pa, const void *pb)
{
    const Diag *a = *(const Diag *const *)pa, *b = *(const Diag *const *)pb;
    if (a->loc.file != b->loc.file)
        return a->loc.file < b->loc.file ? -1 : 1;
    if (a->loc.line != b->loc.line)
        return a->loc.line < b->loc.line ? -1 : 1;
    if (a->loc.col != b->loc.col)
        return a->loc.col < b->loc.col ? -1 : 1;
    return (a > b) - (a < b);      /* equal places: as reported */
}

static const Diag **sorted(const Diags *d)
{
    const Diag **order = xmalloc(sizeof *order * (d->list.n + 1));
    for (uint32_t i = 0; i < d->list.n; i++)
        order[i] = &d->list.at[i];
    qsort(order, d->list.n, sizeof *order, by_place);
    return order;
}

void diags_print(const Diags *d, Text *out)
{
    const Diag **order = sorted(d);
    uint32_t     kept = 0;
    for (uint32_t i = 0; i < d->list.n; i++) {
        print_diag(d, order[i], out);
        kept += !order[i]->warning;
    }
    if (d->errors > kept)
        text_addf(out, "%u more error%s\n", d->errors - kept, d->errors - kept == 1 ? "" : "s");
    free(order);
}

/* A JSON string, or null. */
static void add_json(Text *out, const char *s)
{
    if (!s) {
        text_add(out, "null");
        return;
    }
    text_add(out, "\"");
    size_t n = strlen(s);
    for (size_t i = 0, len; i < n; i += len) {
        len = char_length(s + i, n - i);
        unsigned char c = (unsigned char)s[i];
        if (len == 0) {
            text_add(out, "\\ufffd");
            len = 1;
        } else if (c == '"' || c == '\\') {
            text_addf(out, "\\%c", c);
        } else if (c < 0x20 || c == 0x7F) {
            text_addf(out, "\\u%04x", c);
        } else {
            text_addn(out, s + i, len);
        }
    }
    text_add(out, "\"");
}

void diags_json(const Diags *d, Text *out)
{
    const Diag **order = sorted(d);
    text_add(out, "[");
    for (uint32_t i = 0; i < d->list.n; i++) {
        const Diag *g = order[i];
        bool        known = d->sources && g->loc.file < d->sources->files.n;
        text_addf(out, "%s\n  {\"code\":\"%c%04d\",\"file\":", i ? "," : "", g->warning ? 'W' : 'E', g->code);
        add_json(out, known ? d->sources->files.at[g->loc.file].path : NULL);
        text_addf(out, ",\"line\":%u,\"col\":%u,\"message\":", g->loc.line, g->loc.len ? g->loc.col : 0);
        add_json(out, g->message);
        text_add(out, ",\"hint\":");
        add_json(out, g->hint);
        text_add(out, ",\"chain\":");
        add_json(out, g->chain);
        text_add(out, "}");
    }
    text_add(out, d->list.n ? "\n]\n" : "]\n");
    free(order);
}

void diags_free(Diags *d)
{
    vec_free(&d->list);
    arena_free(&d->arena);
    d->errors = 0;
}

void sources_free(Sources *s)
{
    vec_free(&s->files);
    arena_free(&s->arena);
}
