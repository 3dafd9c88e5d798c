/* ops.c - the op table as data: names, flags and the attribute schemas that ops.def spells as strings, parsed once.
 * A schema that cannot be parsed is our mistake and aborts at the first look; tests look at every row.
 */
#include "ir.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NIN_0 = 0, NIN_1 = 1, NIN_2 = 2, NIN_3 = 3, NIN_N = -1 };
enum {
    FLAGS__ = 0,
    FLAGS_S = FLAG_SHAPE_GIVEN,
    FLAGS_R = FLAG_RANDOM,
    FLAGS_V = FLAG_VARIABLE,
    FLAGS_SR = FLAG_SHAPE_GIVEN | FLAG_RANDOM,
    FLAGS_SV = FLAG_SHAPE_GIVEN | FLAG_VARIABLE
};

const OpInfo op_info[OP_COUNT] = {
#define OP(name, nin, class, flags, grad, test, attrs, doc) { #name, NIN_##nin, CLASS_##class, FLAGS_##flags, GRAD_##grad, #test, attrs, doc },
#include "ops.def"
#undef OP
};

enum { MAX_OP_ATTRS = 6, MAX_WORDS = 8 };
typedef struct {
    AttrInfo    infos[MAX_OP_ATTRS];
    const char *words[MAX_OP_ATTRS][MAX_WORDS];
    int         n, fixed, lists;   /* attributes; numbers with a fixed place; lists that share the rest */
} Schema;

static Schema         schemas[OP_COUNT];
static pthread_once_t schemas_once = PTHREAD_ONCE_INIT;

/* One "name:type" of a schema. */
static void parse_attr(Schema *s, const char *text, size_t n)
{
    const char *colon = memchr(text, ':', n), *end = text + n, *p = colon + 1;
    AttrInfo   *a = &s->infos[s->n];
    if (!colon || s->n == MAX_OP_ATTRS)
        abort();
    *a = (AttrInfo){ .name = intern_n(text, (size_t)(colon - text)), .count = 1, .words = s->words[s->n] };
    if (*p == 'e') {
        a->kind = ATTR_ENUM;
        p += 2;
        for (const char *word = p;; word = p + 1) {
            p = word;
            while (p < end && *p != '|')
                p++;
            if (a->nwords == MAX_WORDS)
                abort();
            s->words[s->n][a->nwords++] = intern_n(word, (size_t)(p - word));
            if (p == end)
                break;
        }
    } else {
        a->kind = *p++ == 'd' ? ATTR_DIM : ATTR_INT;
        if (p < end && *p == '*') {
            a->count = -1;
            p++;
        } else if (p < end && *p >= '2' && *p <= '9') {
            a->count = *p++ - '0';
        }
        if (p < end && *p == '=') {
            a->has_default = true;
            a->deflt = strtol(p + 1, NULL, 10);
        }
    }
    s->n++;
    if (a->count < 0)
        s->lists++;
    else
        s->fixed += a->count;
}

static void parse_schemas(void)
{
    for (int op = 0; op < OP_COUNT; op++) {
        const char *p = op_info[op].attrs;
        while (*p) {
            size_t n = strcspn(p, " ");
            parse_attr(&schemas[op], p, n);
            p += n + (p[n] == ' ');
        }
    }
}

int op_attrs(Op op, const AttrInfo **infos)
{
    pthread_once(&schemas_once, parse_schemas);
    *infos = schemas[op].infos;
    return schemas[op].n;
}

int op_attr_count(Op op, int k, int nattrs)
{
    pthread_once(&schemas_once, parse_schemas);
    const Schema *s = &schemas[op];
    int           rest = nattrs - s->fixed;
    if (rest < 0 || (s->lists == 0 ? rest != 0 : rest % s->lists != 0))
        return -1;
    return k >= s->n ? 0 : s->infos[k].count < 0 ? rest / s->lists : s->infos[k].count;
}

bool op_by_name(const char *name, Op *op)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (!strcmp(op_info[i].name, name)) {
            *op = (Op)i;
            return true;
        }
    return false;
}

static const char *const dtype_names[] = { "none", "f32", "f64", "i32", "bool" };

const char *dtype_name(Dtype t)
{
    return (unsigned)t < COUNT(dtype_names) ? dtype_names[t] : "none";
}

bool dtype_by_name(const char *name, Dtype *t)
{
    for (size_t i = 1; i < COUNT(dtype_names); i++)
        if (!strcmp(dtype_names[i], name)) {
            *t = (Dtype)i;
            return true;
        }
    return false;
}
