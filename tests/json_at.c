/* json_at.c - json_at PATH < FILE: the value at PATH ("nets.G.parameters", "diagnostics[0].code"; "" is all) of a JSON text, as it stands there, strings unquoted.
 *
 * The shell tests see with it that what --json prints is JSON (RFC 8259, nothing after it) and what it says. Exit status 1 with the place when it is not, or has no PATH.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text, *at;
static const char *found, *found_end;

static void fail(const char *what)
{
    fprintf(stderr, "json_at: %s at byte %ld\n", what, (long)(at - text));
    exit(1);
}

static void blanks(void)
{
    at += strspn(at, " \t\r\n");
}

static void string(void)
{
    if (*at++ != '"')
        fail("a string is missing");
    for (; *at != '"'; at++) {
        if ((unsigned char)*at < 32)
            fail("a string has no end or holds a control character");
        if (*at != '\\')
            continue;
        at++;
        if (*at == 'u') {
            for (int i = 0; i < 4; i++)
                if (!isxdigit((unsigned char)*++at))
                    fail("\\u wants four hexadecimal digits");
        } else if (!*at || !strchr("\"\\/bfnrt", *at)) {
            fail("an unknown escape");
        }
    }
    at++;
}

static size_t digits(void)
{
    size_t n = strspn(at, "0123456789");
    at += n;
    return n;
}

static void number(void)
{
    at += *at == '-';
    const char *first = at;
    if (!digits() || (*first == '0' && at - first > 1))
        fail("a value is missing or a number is malformed");
    if (*at == '.' && (at++, !digits()))
        fail("a number ends in a point");
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        if (!digits())
            fail("an exponent is empty");
    }
}

/* The rest of `path` below this key or index; NULL when it leads elsewhere. */
static const char *below(const char *path, const char *key, size_t len)
{
    if (!path || strncmp(path, key, len))
        return NULL;
    path += len;
    return *path == '.' ? path + 1 : !*path || *path == '[' ? path : NULL;
}

static void value(const char *path, int depth)
{
    blanks();
    const char *start = at;
    if (depth > 200)
        fail("nested too deeply");
    if (*at == '{' || *at == '[') {
        char open = *at++, close = open == '{' ? '}' : ']';
        blanks();
        for (int i = 0; *at != close; i++) {
            char        index[32];
            const char *key = index;
            size_t      len = (size_t)snprintf(index, sizeof index, "[%d]", i);
            if (i && *at++ != ',')
                fail("a comma is missing");
            blanks();
            if (open == '{') {
                key = at + 1;
                string();
                len = (size_t)(at - 1 - key);
                blanks();
                if (*at++ != ':')
                    fail("a colon is missing");
            }
            value(below(path, key, len), depth + 1);
            blanks();
        }
        at++;
    } else if (*at == '"') {
        string();
    } else if (!strncmp(at, "true", 4) || !strncmp(at, "null", 4)) {
        at += 4;
    } else if (!strncmp(at, "false", 5)) {
        at += 5;
    } else {
        number();
    }
    if (path && !*path)
        found = start, found_end = at;
}

int main(int argc, char **argv)
{
    size_t n = 0, cap = 1 << 16;
    char  *all = malloc(cap + 1);
    for (size_t got; all && (got = fread(all + n, 1, cap - n, stdin)) > 0;)
        if ((n += got) == cap)
            all = realloc(all, (cap *= 2) + 1);
    if (!all)
        return 1;
    all[n] = 0;
    text = at = all;
    value(argc > 1 ? argv[1] : "", 0);
    blanks();
    if (at != all + n)
        fail("something follows the value");
    if (!found) {
        fprintf(stderr, "json_at: no '%s'\n", argv[1]);
        return 1;
    }
    int quoted = *found == '"';
    printf("%.*s\n", (int)(found_end - found) - 2 * quoted, found + quoted);
    free(all);
    return 0;
}
