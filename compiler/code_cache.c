/* code_cache.c - code by descriptor, in memory and on disk (see code_cache.h).
 *
 * On disk the key is the descriptor behind everything else that code depends on: a hash of the compiler's own sources (made when it is built, so that no change of
 * an emitter can be forgotten), which LLVM, and the target. The value is the Code as text, then the image.
 */
#include "code_cache.h"

#include "code_image.h"
#include "compiler_hash.h"
#include "llvm_late.h"
#include "object_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct CodeCache {
    Target          target;
    bool            on_disk;
    ObjectCache    *disk;          /* NULL: none */
    Text            key;           /* the part of a key before the descriptor */
    Jit            *jit;
    CodeBlock      *fetched;
    pthread_mutex_t lock;
    Vec(Code)       codes;
    uint32_t       *slots, nslots, unheld;         /* unheld: put on disk since the cap was looked at */
    CodeCache      *next;
};

static CodeCache *cache_new(const Target *t, bool on_disk)
{
    CodeCache *c = xmalloc(sizeof *c);
    c->target = *t;
    c->on_disk = on_disk;
    c->disk = on_disk ? object_cache_default() : NULL;
    pthread_mutex_init(&c->lock, NULL);
    if (!c->disk)
        return c;
    text_addf(&c->key, "pastiche %s\nLLVM ", COMPILER_HASH);
    llvm_identity(&c->key);
    text_addf(&c->key, "\ntarget %d %s %s vec %d registers %d fma %d winograd %d\n", (int)t->isa, t->cpu, t->features, t->vec, t->nregs, t->fma, t->winograd);
    return c;
}

CodeCache *code_cache(const Target *t, bool on_disk)
{
    static CodeCache      *all;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    CodeCache *c = all;
    while (c && (c->target.isa != t->isa || c->target.winograd != t->winograd || c->target.debug != t->debug || c->on_disk != on_disk || strcmp(c->target.features, t->features) != 0))
        c = c->next;
    if (!c) {
        c = cache_new(t, on_disk);
        c->next = all;
        all = c;
    }
    pthread_mutex_unlock(&lock);
    return c;
}

void code_lock(CodeCache *c) { pthread_mutex_lock(&c->lock); }
void code_unlock(CodeCache *c) { pthread_mutex_unlock(&c->lock); }

Jit *code_jit(CodeCache *c, Status *st)
{
    if (!c->jit)
        c->jit = jit_new(&c->target, st);
    return c->jit;
}

/* ---- in memory ---- */

const Code *code_find(const CodeCache *c, const char *text)
{
    if (!c->nslots)
        return NULL;
    uint32_t h = (uint32_t)hash_bytes(text, strlen(text), 5);
    for (; c->slots[h % c->nslots]; h++) {
        const Code *k = &c->codes.at[c->slots[h % c->nslots] - 1];
        if (strcmp(k->text, text) == 0)
            return k;
    }
    return NULL;
}

static void add_slot(CodeCache *c, uint32_t i)
{
    uint32_t h = (uint32_t)hash_bytes(c->codes.at[i].text, strlen(c->codes.at[i].text), 5);
    while (c->slots[h % c->nslots])
        h++;
    c->slots[h % c->nslots] = i + 1;
}

static void add_code(CodeCache *c, Code code)
{
    vec_push(&c->codes, code);
    if (c->codes.n * 2 < c->nslots) {
        add_slot(c, c->codes.n - 1);
        return;
    }
    free(c->slots);
    c->nslots = c->nslots ? c->nslots * 2 : 256;
    c->slots = xmalloc(c->nslots * sizeof *c->slots);
    for (uint32_t i = 0; i < c->codes.n; i++)
        add_slot(c, i);
}

/* ---- on disk: Head; lines: tasks, flops, an argument each, a role each; the image ---- */

typedef struct { uint32_t entry, args, roles, text; } Head;    /* text: bytes of the lines */

static Text key_of(const CodeCache *c, const char *text)
{
    Text key = { 0 };
    text_addn(&key, c->key.at, c->key.n);
    text_add(&key, text);
    return key;
}

static void store(CodeCache *c, const Code *code, const uint8_t *image, uint32_t size)
{
    Text lines = { 0 }, value = { 0 }, key = key_of(c, code->text);
    text_addf(&lines, "%s\n%s\n", code->tasks, code->flops);
    for (uint32_t i = 0; i < code->args.n; i++)
        text_addf(&lines, "%s\n", code->args.at[i]);
    for (uint32_t i = 0; i < code->role.n; i++)
        text_addf(&lines, "%d\n", code->role.at[i]);
    Head h = { (uint32_t)((const uint8_t *)(uintptr_t)code->fn - image), code->args.n, code->role.n, (uint32_t)lines.n };
    text_addn(&value, (const char *)&h, sizeof h);
    text_addn(&value, lines.at, lines.n);
    text_addn(&value, (const char *)image, size);
    c->unheld += object_cache_put(c->disk, &key, value.at, value.n);
    text_free(&lines);
    text_free(&value);
    text_free(&key);
}

/* The next line as a copy; NULL when there is none. */
static char *take_line(const char **at, const char *end)
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    if (!stop)
        return NULL;
    char *line = xmalloc((size_t)(stop - *at) + 1);
    memcpy(line, *at, (size_t)(stop - *at));
    *at = stop + 1;
    return line;
}

static void code_drop(Code *code)
{
    for (uint32_t i = 0; i < code->args.n; i++)
        free(code->args.at[i]);
    vec_free(&code->args);
    vec_free(&code->role);
    free(code->text);
    free(code->tasks);
    free(code->flops);
}

/* image->bytes points into value. */
static bool parse_value(const uint8_t *value, size_t n, Code *code, CodeImage *image)
{
    Head h;
    if (n < sizeof h)
        return false;
    memcpy(&h, value, sizeof h);
    if (h.text > n - sizeof h || n - sizeof h - h.text > UINT32_MAX)
        return false;
    *image = (CodeImage){ (uint8_t *)(uintptr_t)(value + sizeof h + h.text), (uint32_t)(n - sizeof h - h.text), h.entry };
    if (h.entry >= image->size)
        return false;
    const char *at = (const char *)value + sizeof h, *end = at + h.text;
    code->tasks = take_line(&at, end);
    code->flops = take_line(&at, end);
    bool ok = code->flops != NULL;
    for (uint32_t i = 0; i < h.args && ok; i++) {
        char *line = take_line(&at, end);
        ok = line != NULL;
        if (ok)
            vec_push(&code->args, line);
    }
    for (uint32_t i = 0; i < h.roles && ok; i++) {
        char *line = take_line(&at, end);
        ok = line != NULL;
        if (ok)
            vec_push(&code->role, atoi(line));
        free(line);
    }
    return ok && at == end;
}

void codes_fetch(CodeCache *c, const char *const *texts, uint32_t n)
{
    if (!c->disk || !n)
        return;
    uint8_t      **values = xmalloc(n * sizeof *values);
    const uint8_t **at = xmalloc(n * sizeof *at);
    CodeImage     *images = xmalloc(n * sizeof *images);
    Code          *codes = xmalloc(n * sizeof *codes);
    uint32_t       found = 0;
    for (uint32_t i = 0; i < n; i++) {
        Text   key = key_of(c, texts[i]);
        size_t size;
        Code   code = { .text = NULL };
        bool   read = object_cache_get(c->disk, &key, &values[found], &size);
        if (read && parse_value(values[found], size, &code, &images[found])) {
            code.text = xstrdup(texts[i]);
            codes[found++] = code;
        } else if (read) {
            code_drop(&code);
            free(values[found]);
        }
        text_free(&key);
    }
    Status ignored = { 0 };
    bool   ok = code_place(&c->fetched, images, found, at, &ignored);      /* if not: what follows cannot place what it compiles either, and says so */
    for (uint32_t i = 0; i < found; i++) {
        codes[i].fn = ok ? (KernelFn)(uintptr_t)(at[i] + images[i].entry) : NULL;
        if (ok)
            add_code(c, codes[i]);
        else
            code_drop(&codes[i]);
        free(values[i]);
    }
    free(values);
    free(at);
    free(images);
    free(codes);
}

void code_keep(CodeCache *c, Code code, const uint8_t *image, uint32_t size)
{
    if (c->disk && image)
        store(c, &code, image, size);
    add_code(c, code);
}

void codes_kept(CodeCache *c)
{
    if (c->unheld)
        object_cache_trim(c->disk);
    c->unheld = 0;
}
