/* test_cache.c - starts with a cache of kernels on disk, each a fresh process (this program again): the second compiles nothing, not even for other sizes, and loads
 * no LLVM; results are the same bits with it and without it, whatever happened to its files.
 */
#define _GNU_SOURCE
#include "check.h"
#include "emit.h"
#include "launch.h"
#include "session.h"

#include <dirent.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char home[] = "/tmp/pastiche_cache.XXXXXX", folder[64];
static char layer[] = SOURCE_DIR "/examples/one_layer.graph";

/* ---- the process that starts: pastiche's work for one graph at one size ---- */

typedef struct { unsigned compiled, llvm; unsigned long long bits; } Start;     /* llvm: was it loaded; bits: a hash of all results */

static unsigned loaded_llvm(void)
{
    char     line[1024];
    unsigned found = 0;
    FILE    *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f))
        found |= strstr(line, "libLLVM") != NULL;
    if (f)
        fclose(f);
    return found;
}

static uint64_t hash_tensor(const Tensor *t, uint64_t h) { return t->data ? hash_bytes(t->data, (size_t)tensor_count(t) * dtype_size(t->dtype), h) : h; }

/* argv: FILE NAME CPU "run", or "ready" for what comes before the first kernel, or "anew" to run without a cache; then the symbols' sizes, in order of the input's axes. */
static int child(char **argv)
{
    Session        s;
    Status         st = { 0 };
    bool           run = strcmp(argv[3], "ready") != 0, ok;
    SessionOptions o = { .seed = 3, .exec = { .cpu = strcmp(argv[2], "best") ? argv[2] : NULL, .no_cache = !strcmp(argv[3], "anew") } };
    uint64_t       bits = 1;
    Tensor         inputs[4] = { { .rank = 0 } }, out[8] = { { .rank = 0 } }, reports[8] = { { .rank = 0 } };
    RunState       rs = { .rng = { 5, 0 } };
    Graph         *g = session_open(&s, argv[0], &o, &st) ? session_find_graph(&s, argv[1], &st) : NULL;
    ok = g && g->inputs.n <= COUNT(inputs) && (run ? session_prepare(&s, g, &st) : session_zero_vars(&s, g, &st));
    for (uint32_t i = 0, a = 4; ok && i < g->inputs.n; i++) {
        int64_t shape[MAX_RANK];
        for (int k = 0; k < g->inputs.at[i].rank; k++)
            if (!dim_is_const(g->dims, g->inputs.at[i].shape[k], &shape[k]))
                shape[k] = argv[a] ? atoi(argv[a++]) : 1;
        ok = tensor_alloc(&inputs[i], DT_F32, g->inputs.at[i].rank, shape, &st);
        for (int64_t k = 0; ok && k < tensor_count(&inputs[i]); k++)
            tensor_set(&inputs[i], k, (double)(k * 7919 % 1000) / 500 - 1);
    }
    Program *p = ok ? program_new(s.model, g, &s.options.exec, &st) : NULL;
    ok = p && (run ? program_run(p, inputs, s.vars, &rs, out, reports, &st) : program_ready(p, inputs, s.vars, &st));
    for (uint32_t i = 0; ok && run && i < g->outputs.n; i++)
        bits = hash_tensor(&out[i], bits), tensor_free(&out[i]);
    for (uint32_t i = 0; ok && run && i < g->reports.n; i++)
        bits = hash_tensor(&reports[i], bits), tensor_free(&reports[i]);
    for (uint32_t i = 0; ok && run && i < s.model->vars.n; i++)
        bits = hash_tensor(&s.vars[i], bits);
    if (ok)
        printf("%u %u %llu\n", program_facts(p).compiled, loaded_llvm(), (unsigned long long)bits);
    else
        fprintf(stderr, "%s\n", st.message);
    program_free(p);
    for (size_t i = 0; i < COUNT(inputs); i++)
        tensor_free(&inputs[i]);
    session_close(&s);
    return !ok;
}

/* ---- starting it ---- */

typedef struct { pid_t pid; int from; } Running;

static Running begin(char *file, char *name, char *cpu, char *how, char *n, char *h, char *w)
{
    char   *args[] = { "test_cache", file, name, cpu, how, n, h, w, NULL };
    int     ends[2];
    Running r = { -1, -1 };
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    if (pipe(ends) == 0) {
        posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_addclose(&files, ends[0]);
        posix_spawn_file_actions_addclose(&files, ends[1]);
        r.from = ends[0];
        if (posix_spawn(&r.pid, "/proc/self/exe", &files, NULL, args, environ))
            r.pid = -1;
        close(ends[1]);
    }
    posix_spawn_file_actions_destroy(&files);
    return r;
}

static Start end(Running r)
{
    Start s = { 0 };
    int   status = -1;
    FILE *f = fdopen(r.from, "r");
    CHECK(r.pid > 0 && f && fscanf(f, "%u %u %llu", &s.compiled, &s.llvm, &s.bits) == 3, "a process says nothing");
    if (f)
        fclose(f);
    CHECK(r.pid > 0 && waitpid(r.pid, &status, 0) == r.pid && status == 0, "a process ends with %d", status);
    return s;
}

static Start start(char *name, char *cpu, char *how) { return end(begin(layer, name, cpu, how, "2", "16", "21")); }

/* ---- the cache's files ---- */

enum { MOST = 256 };
static char     paths[MOST][400];
static uint32_t npaths;
static struct { uint8_t *bytes; size_t n; } kept[MOST];

static void look(const char *in)
{
    DIR *d = opendir(in);
    npaths = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && npaths < MOST)
            snprintf(paths[npaths++], sizeof *paths, "%s/%.250s", in, e->d_name);
    if (d)
        closedir(d);
}

static void spill(const char *path, const uint8_t *from, size_t n)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(from, 1, n, f) == n, "cannot write %s", path);
    if (f)
        fclose(f);
}

static uint8_t *slurp(const char *path, size_t *n)
{
    uint8_t *bytes = malloc(1 << 20);
    FILE    *f = fopen(path, "rb");
    *n = f ? fread(bytes, 1, 1 << 20, f) : 0;
    if (f)
        fclose(f);
    return bytes;
}

/* Are the files as they were kept? */
static bool whole(void)
{
    bool same = true;
    for (uint32_t i = 0; i < npaths; i++) {
        size_t   n;
        uint8_t *now = slurp(paths[i], &n);
        same &= n == kept[i].n && !memcmp(now, kept[i].bytes, n);
        free(now);
    }
    return same;
}

enum { FLIP_HEAD, FLIP_KEY, FLIP_VALUE, FLIP_LAST, CUT_ALL, CUT_HALF, CUT_LAST, EXCHANGE, DAMAGES };

static void damage(uint32_t i, int how)
{
    size_t   n = kept[i].n;
    uint8_t *now = malloc(n);
    memcpy(now, kept[i].bytes, n);
    switch (how) {
    case FLIP_HEAD:  now[20] ^= 1; break;
    case FLIP_KEY:   now[50] ^= 4; break;
    case FLIP_VALUE: now[n - n / 3] ^= 0x80; break;
    case FLIP_LAST:  now[n - 1] ^= 0x10; break;
    case CUT_ALL:    n = 0; break;
    case CUT_HALF:   n /= 2; break;
    case CUT_LAST:   n--; break;
    case EXCHANGE:   break;
    }
    if (how == EXCHANGE)
        spill(paths[i], kept[(i + 1) % npaths].bytes, kept[(i + 1) % npaths].n);
    else
        spill(paths[i], now, n);
    free(now);
}

/* ---- tests ---- */

static void test_starts(void)
{
    unsetenv("PASTICHE_CACHE_MIB");
    setenv("PASTICHE_CACHE", "off", 1);
    Start off = start("fit", "best", "run");
    CHECK(off.compiled > 5 && off.llvm, "without a cache %u are compiled", off.compiled);
    setenv("PASTICHE_CACHE", folder, 1);
    Start anew = start("fit", "best", "anew");
    CHECK(anew.compiled == off.compiled && access(folder, F_OK), "no_cache neither uses nor makes the folder");
    Start first = start("fit", "best", "run"), second = start("fit", "best", "run");
    CHECK(first.compiled == off.compiled && second.compiled == 0, "the first start compiles %u, the second %u", first.compiled, second.compiled);
    CHECK(!second.llvm, "the second start loads LLVM");
    CHECK(first.bits == off.bits && second.bits == off.bits && anew.bits == off.bits, "results differ");
    look(folder);
    CHECK(npaths == first.compiled, "%u entries of %u kernels", npaths, first.compiled);
    Start again = start("fit", "best", "anew");
    CHECK(again.compiled == off.compiled && again.bits == off.bits, "no_cache with a full cache");
    Start other = start("look", "best", "run");
    CHECK(other.compiled > 0, "another graph's kernels");
    CHECK(start("look", "best", "run").compiled == 0 && start("fit", "best", "run").compiled == 0, "both are kept");
}

static void test_sizes(void)
{
    static char *const sizes[][3] = { { "1", "1", "1" }, { "5", "40", "7" }, { "1", "130", "517" } };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        Start cached = end(begin(layer, "fit", "best", "run", sizes[i][0], sizes[i][1], sizes[i][2]));
        Start anew = end(begin(layer, "fit", "best", "anew", sizes[i][0], sizes[i][1], sizes[i][2]));
        CHECK(cached.compiled == 0, "%s %s %s compiles %u", sizes[i][0], sizes[i][1], sizes[i][2], cached.compiled);
        CHECK(cached.bits == anew.bits, "%s %s %s: results differ", sizes[i][0], sizes[i][1], sizes[i][2]);
    }
    char dcgan[] = SOURCE_DIR "/tests/compare/dcgan.graph", johnson[] = SOURCE_DIR "/tests/compare/johnson.graph";
    CHECK(end(begin(johnson, "infer", "best", "ready", "1", "128", "128")).compiled > 0, "johnson is new");
    CHECK(end(begin(johnson, "infer", "best", "ready", "3", "68", "260")).compiled == 0, "johnson, another size of picture");
    CHECK(end(begin(dcgan, "infer", "best", "ready", "64", NULL, NULL)).compiled > 0, "dcgan is new");
    CHECK(end(begin(dcgan, "infer", "best", "ready", "1", NULL, NULL)).compiled == 0, "dcgan, another size of batch");
}

static void test_isa(void)
{
    Start avx = start("fit", "best", "run"), base = start("fit", "baseline", "run");
    CHECK(avx.compiled == 0, "%u compiled again", avx.compiled);
    Target t;
    if (!target_detect(NULL, &t, NULL) || t.isa == ISA_BASELINE) {
        printf("one instruction set: skipped, the machine has no other than the baseline\n");
        return;
    }
    CHECK(base.compiled > 5, "another instruction set takes %s kernels", base.compiled ? "some" : "these");
    Start next = start("fit", "baseline", "run");
    CHECK(next.compiled == 0 && next.bits == base.bits && start("fit", "best", "run").compiled == 0, "both are kept");
}

static void test_damage(void)
{
    sprintf(folder, "%s/damaged", home);
    setenv("PASTICHE_CACHE", folder, 1);
    Start good = start("look", "best", "run");
    look(folder);
    CHECK(npaths == good.compiled && npaths > 2, "%u entries of %u kernels", npaths, good.compiled);
    for (uint32_t i = 0; i < npaths; i++)
        kept[i].bytes = slurp(paths[i], &kept[i].n);
    for (int how = 0; how < DAMAGES; how++) {
        for (uint32_t i = 0; i < npaths; i++)
            damage(i, how);
        Start s = start("look", "best", "run");
        CHECK(s.bits == good.bits && s.compiled == good.compiled, "damage %d: %u compiled of %u, results are %s", how, s.compiled, good.compiled, s.bits == good.bits ? "right" : "wrong");
        CHECK(whole(), "damage %d is not mended", how);
    }
    damage(1, FLIP_VALUE);
    Start one = start("look", "best", "run");
    CHECK(one.compiled == 1 && one.bits == good.bits && whole(), "one of them: %u compiled", one.compiled);
    for (uint32_t i = 0; i < npaths; i++)
        free(kept[i].bytes);
}

static void test_together(void)
{
    enum { PROCESSES = 4 };
    Running r[PROCESSES];
    Start   s[PROCESSES], after;
    sprintf(folder, "%s/together", home);
    setenv("PASTICHE_CACHE", folder, 1);
    for (int i = 0; i < PROCESSES; i++)
        r[i] = begin(layer, "fit", "best", "run", "2", "16", "21");
    for (int i = 0; i < PROCESSES; i++)
        s[i] = end(r[i]);
    after = start("fit", "best", "run");
    for (int i = 0; i < PROCESSES; i++)
        CHECK(s[i].bits == after.bits, "process %d has other results", i);
    CHECK(after.compiled == 0, "after them %u are compiled", after.compiled);
    look(folder);
    CHECK(npaths == s[0].compiled || npaths > 5, "%u entries", npaths);
}

/* Wherever the cache cannot be, it is not missed. */
static void test_nowhere(void)
{
    setenv("PASTICHE_CACHE", folder, 1);
    Start good = start("look", "best", "anew");
    setenv("PASTICHE_CACHE", "/proc/pastiche", 1);
    Start s = start("look", "best", "run");
    CHECK(s.compiled == good.compiled && s.bits == good.bits, "no folder can be made: %u compiled", s.compiled);
    setenv("PASTICHE_CACHE", layer, 1);
    s = start("look", "best", "run");
    CHECK(s.compiled == good.compiled && s.bits == good.bits, "a file stands there: %u compiled", s.compiled);
    setenv("PASTICHE_CACHE", folder, 1);
    setenv("PASTICHE_CACHE_MIB", "0", 1);
    s = start("fit", "best", "run");
    CHECK(s.compiled > 5, "no room at all: %u compiled", s.compiled);
    unsetenv("PASTICHE_CACHE_MIB");
}

/* ---- code that calls out is linked by LLVM ---- */

static void emit_call(void *ctx, Emit *e, uint32_t index)
{
    (void)ctx, (void)index;
    LLVMTypeRef  params[] = { t_ptr(e), t_i32(e), t_i64(e) }, type = LLVMFunctionType(t_ptr(e), params, 3, 0);
    LLVMValueRef f = LLVMAddFunction(e->module, "memset", type), args[] = { buf_base(e, 0), LLVMConstInt(t_i32(e), 7, 0), i_mulc(e, e->nthreads, 5) };
    LLVMBuildCall2(e->b, type, f, args, 3, "");
    e->kernel->tasks = dim_const(e->dims, 1);
}

static void emit_store(void *ctx, Emit *e, uint32_t index)
{
    (void)ctx, (void)index;
    LLVMBuildStore(e->b, LLVMConstInt(LLVMInt8TypeInContext(e->cx), 9, 0), buf_base(e, 0));
    e->kernel->tasks = dim_const(e->dims, 1);
}

static void test_linker(void)
{
    Target    t;
    Status    st = { 0 };
    Jit      *j = target_detect(NULL, &t, &st) ? jit_new(&t, &st) : NULL;
    DimTable *dims = dims_new();
    Kernel    out = { .kind = KERNEL_LOOP, .name = "call" }, in = { .kind = KERNEL_LOOP, .name = "store" }, *list[] = { &out, &in };
    char      buf[8] = { 0 };
    void     *bufs[] = { buf };
    CHECK(j && jit_compile(j, dims, list, 1, emit_call, NULL, NULL, NULL, &st) && jit_compile(j, dims, list + 1, 1, emit_store, NULL, NULL, NULL, &st), "%s", st.message);
    if (!st.failed) {
        CHECK(!out.code && in.code && in.code_size > 0, "only code that refers to nothing outside may leave the process");
        launch(out.fn, bufs, NULL, 1, 1, 1);
        CHECK(buf[0] == 7 && buf[4] == 7 && buf[5] == 0, "a call");
        launch(in.fn, bufs, NULL, 1, 1, 1);
        CHECK(buf[0] == 9 && buf[1] == 7, "a store");
    }
    jit_free(j);
    dims_free(dims);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argv + 1);
    CHECK(mkdtemp(home), "%s", home);
    sprintf(folder, "%s/cache", home);
    test_starts();
    test_sizes();
    test_isa();
    test_damage();
    test_together();
    test_nowhere();
    test_linker();
    char command[300];
    sprintf(command, "rm -rf '%s'", home);
    CHECK(system(command) == 0, "%s", command);
    return check_done();
}
