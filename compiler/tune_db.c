/* tune_db.c - reading, writing and asking the database of block sizes. A few dozen lines, looked through from the end. */
#include "tune_db.h"

#include "compiler_hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct { char *key; int want[KNOBS]; double us, estimated; } Entry;
struct TuneDb { Vec(Entry) entries; char *warning; };

TuneDb *tune_db_new(void) { return xmalloc(sizeof(TuneDb)); }

void tune_db_free(TuneDb *db)
{
    for (uint32_t i = 0; db && i < db->entries.n; i++)
        free(db->entries.at[i].key);
    if (db) {
        vec_free(&db->entries);
        free(db->warning);
    }
    free(db);
}

const char *tune_db_warning(const TuneDb *db) { return db->warning; }

static Entry *find(const TuneDb *db, const char *key)
{
    for (uint32_t i = db->entries.n; i-- > 0;)
        if (!strcmp(db->entries.at[i].key, key))
            return &db->entries.at[i];
    return NULL;
}

void tune_db_set(TuneDb *db, const char *key, const int *want, double us, double estimated_us)
{
    Entry *e = find(db, key);
    if (!e) {
        Entry fresh = { .key = xstrdup(key) };
        vec_push(&db->entries, fresh);
        e = &db->entries.at[db->entries.n - 1];
    }
    memcpy(e->want, want, sizeof e->want);
    e->us = us;
    e->estimated = estimated_us;
}

/* ---- keys ---- */

static void shape_text(const Graph *g, Ref r, Text *out)
{
    int64_t v;
    for (int i = 0; i < node(g, r)->rank; i++)
        if (dim_is_const(g->dims, node_shape(g, r)[i], &v))
            text_addf(out, "%s%lld", i ? "x" : " ", (long long)v);
        else
            text_add(out, i ? "x?" : " ?");
}

char *tune_key(const ContractPlan *p)
{
    static const char *const isas[] = { [ISA_BASELINE] = "baseline", [ISA_AVX2] = "avx2", [ISA_AVX512] = "avx512" };
    const Graph *g = p->g;
    Text         t = { 0 };
    text_add(&t, op_info[node(g, p->node)->op].name);
    shape_text(g, node_arg(g, p->node, 0), &t);
    shape_text(g, node_arg(g, p->node, 1), &t);
    for (int i = 0; i < node(g, p->node)->nattrs; i++)
        text_addf(&t, "%s%lld", i ? "," : " ", (long long)node_attrs(g, p->node)[i]);
    text_addf(&t, " algo %d %s %.16s", p->variant[0], isas[p->target->isa], COMPILER_HASH);
    return t.at;
}

void tune_apply(const TuneDb *db, Graph *g, ContractPlan *p)
{
    char         why[160], *key = db->entries.n ? tune_key(p) : NULL;
    const Entry *e = key ? find(db, key) : NULL;
    p->tuned = e && contract_set_block(g, p, e->want, why, sizeof why);
    free(key);
}

/* ---- text ---- */

void tune_db_print(const TuneDb *db, Text *out)
{
    text_add(out, "# block sizes found by pastiche tune; lines may be deleted\n");
    for (uint32_t i = 0; i < db->entries.n; i++) {
        const Entry *e = &db->entries.at[i];
        text_addf(out, "%s |", e->key);
        for (int k = 0; k < KNOBS; k++)
            if (e->want[k])
                text_addf(out, " %s %d", knob_names[k], e->want[k]);
        text_addf(out, " | %.1f us, estimated %.1f\n", e->us, e->estimated);
    }
}

static bool parse_sizes(const char *from, const char *to, int *want)
{
    int given = 0;
    while (from < to) {
        char name[16];
        int  value, used = 0, knob = -1;
        if (sscanf(from, " %15[a-z] %d%n", name, &value, &used) != 2 || from + used > to || value < 1 || value > 4096)
            break;
        for (int k = 0; k < KNOBS; k++)
            if (!strcmp(name, knob_names[k]))
                knob = k;
        if (knob < 0 || want[knob])
            return false;
        want[knob] = value;
        from += used;
        given++;
    }
    while (from < to && *from == ' ')
        from++;
    return given > 0 && from == to;
}

/* line: without its newline, ended by a zero byte */
static bool parse_line(TuneDb *db, const char *line)
{
    const char *first = strstr(line, " | "), *second = first ? strstr(first + 3, " | ") : NULL;
    int         want[KNOBS] = { 0 };
    double      us, estimated;
    if (!second || first == line || !parse_sizes(first + 3, second, want) || sscanf(second + 3, "%lf us, estimated %lf", &us, &estimated) != 2)
        return false;
    char *key = xmalloc((size_t)(first - line) + 1);
    memcpy(key, line, (size_t)(first - line));
    tune_db_set(db, key, want, us, estimated);
    free(key);
    return true;
}

void tune_db_read(TuneDb *db, const char *text, const char *path)
{
    int line = 1, bad = 0, first = 0;
    for (const char *p = text; *p; line++) {
        size_t n = strcspn(p, "\n");
        char  *copy = xmalloc(n + 1);
        memcpy(copy, p, n);
        if (n && copy[0] != '#' && !parse_line(db, copy)) {
            first = bad++ ? first : line;
        }
        free(copy);
        p += n + (p[n] == '\n');
    }
    if (!bad)
        return;
    Text t = { 0 };
    text_addf(&t, "%s:%d: not a line of block sizes; ignored%s", path, first, bad > 1 ? ", as others that follow" : "");
    free(db->warning);
    db->warning = t.at;
}

/* ---- the user's ---- */

char *tune_db_path(void)
{
    const char *given = getenv("PASTICHE_TUNE"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    Text        t = { 0 };
    if (given && *given)
        return strcmp(given, "off") ? xstrdup(given) : NULL;
    if (data && *data == '/')
        text_addf(&t, "%s/pastiche/tuned.txt", data);
    else if (home && *home)
        text_addf(&t, "%s/.local/share/pastiche/tuned.txt", home);
    return t.at;
}

static TuneDb *user;

static void read_user(void)
{
    enum { MOST = 1 << 22 };
    char *path = tune_db_path();
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (f) {
        char  *text = xmalloc(MOST + 1);
        size_t n = fread(text, 1, MOST, f);
        text[n] = 0;
        user = tune_db_new();
        tune_db_read(user, text, path);
        free(text);
        fclose(f);
    }
    free(path);
}

const TuneDb *tune_db_default(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_user);
    return user;
}
