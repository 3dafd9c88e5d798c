/* jit.c - from emitters of kernels to machine code in memory.
 *
 *   emit (one at a time) -> verify -> light passes -> object code -> image (all cores) -> executable memory
 *
 * Linking is filling in what an object says of its own constants (code_image.c); LLJIT, which costs as much as ten kernels, links only objects that need more.
 *
 * A module a kernel, a context and a target machine a worker: nothing of LLVM is shared between threads. Emission itself is behind
 * a lock, because emitters make Dims and the table of Dims is not thread safe; it takes a few per cent of the time.
 * The passes are light on purpose: contraction kernels are emitted in their final shape, and unrolling or vectorising
 * them again destroys the register blocking. No pass knows about the graph.
 */
#include "emit.h"
#include "code_image.h"
#include "debug_code.h"
#include "llvm_late.h"

#include <assert.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct Jit {
    Target           target;
    CodeBlock       *code;
    LLVMOrcLLJITRef  lljit;        /* NULL until an object needs it */
    uint32_t         generation;   /* compiles so far: part of symbols, since names repeat between programs */
    pthread_mutex_t  report_lock;
    char             report[384];  /* what the session complained about last: the cause behind "failed to materialize" */
};

static const char PASSES_CONTRACT[] = "function(early-cse,instcombine<no-verify-fixpoint>,simplifycfg)";
static const char PASSES_LOOP[] =
    "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),early-cse,instcombine<no-verify-fixpoint>)";

static void init_llvm(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
}

static LLVMTargetMachineRef machine_new(const Target *t)
{
    char         *triple = LLVMGetDefaultTargetTriple();
    char         *why = NULL;
    LLVMTargetRef target;
    LLVMTargetMachineRef tm = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &why))
        LLVMDisposeMessage(why);
    else
        tm = LLVMCreateTargetMachine(target, triple, t->cpu, t->features, LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelSmall);
    LLVMDisposeMessage(triple);
    return tm;
}

static bool fail_with(Status *st, const char *what, LLVMErrorRef err)
{
    char *text = LLVMGetErrorMessage(err);
    status_fail(st, "%s: %s", what, text);
    LLVMDisposeErrorMessage(text);
    return false;
}

static void on_session_error(void *ctx, LLVMErrorRef err)
{
    Jit  *j = ctx;
    char *text = LLVMGetErrorMessage(err);
    pthread_mutex_lock(&j->report_lock);
    snprintf(j->report, sizeof j->report, "%s", text);
    pthread_mutex_unlock(&j->report_lock);
    LLVMDisposeErrorMessage(text);
}

Jit *jit_new(const Target *t, Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!llvm_load(st))
        return NULL;
    pthread_once(&once, init_llvm);
    LLVMTargetMachineRef tm = machine_new(t);
    if (!tm) {
        status_fail(st, "LLVM has no code generator for this machine");
        return NULL;
    }
    LLVMDisposeTargetMachine(tm);
    Jit *j = xmalloc(sizeof *j);
    j->target = *t;
    pthread_mutex_init(&j->report_lock, NULL);
    return j;
}

void jit_free(Jit *j)
{
    if (!j)
        return;
    if (j->lljit) {
        LLVMErrorRef err = LLVMOrcDisposeLLJIT(j->lljit);
        if (err)
            LLVMConsumeError(err);
    }
    code_free(j->code);
    pthread_mutex_destroy(&j->report_lock);
    free(j);
}

/* ---- one compile: workers take kernels by number ---- */
typedef struct {
    Jit            *jit;
    DimTable       *dims;
    Kernel *const  *kernels;
    uint32_t        n, next;
    EmitOne         emit_one;
    void           *ctx;
    const char     *dump_stage;
    char          **dumps;         /* a text a kernel, or NULL */
    CodeImage      *images;        /* by kernel; without bytes: */
    LLVMMemoryBufferRef *objects;  /* what needs a linker */
    Text           *debug;         /* objects to show to gdb and perf, of kernels with debug information; NULL */
    pthread_mutex_t emit_lock, lock;
    Status          status;
} Work;

static void symbol_of(const Work *w, uint32_t i, char *out, size_t n)
{
    if (w->jit->generation)
        snprintf(out, n, "%s.%u", w->kernels[i]->name, w->jit->generation);
    else
        snprintf(out, n, "%s", w->kernels[i]->name);
}

static bool optimise(const Kernel *k, LLVMModuleRef m, LLVMTargetMachineRef tm, Status *st)
{
    char *why = NULL;
    bool  bad = LLVMVerifyModule(m, LLVMReturnStatusAction, &why);
    if (bad)
        status_fail(st, "kernel %s: invalid LLVM IR: %s", k->name, why);
    LLVMDisposeMessage(why);
    if (bad)
        return false;
    bool                      micro = k->kind == KERNEL_CONTRACT || k->kind == KERNEL_PACK;
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef              err = LLVMRunPasses(m, micro ? PASSES_CONTRACT : PASSES_LOOP, tm, o);
    LLVMDisposePassBuilderOptions(o);
    return !err || fail_with(st, k->name, err);
}

/* The text of the wanted stage, malloc'd. Printing assembly changes the module, so it works on a clone. */
static char *dump_text(const char *stage, LLVMModuleRef m, LLVMTargetMachineRef tm)
{
    char *text;
    if (strcmp(stage, "asm") != 0) {
        text = LLVMPrintModuleToString(m);
        char *copy = xstrdup(text);
        LLVMDisposeMessage(text);
        return copy;
    }
    LLVMModuleRef       clone = LLVMCloneModule(m);
    LLVMMemoryBufferRef buf;
    char               *copy;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, clone, LLVMAssemblyFile, &text, &buf)) {
        copy = xstrdup(text);
        LLVMDisposeMessage(text);
    } else {
        copy = xmalloc(LLVMGetBufferSize(buf) + 1);
        memcpy(copy, LLVMGetBufferStart(buf), LLVMGetBufferSize(buf));
        LLVMDisposeMemoryBuffer(buf);
    }
    LLVMDisposeModule(clone);
    return copy;
}

static void object_code(Work *w, uint32_t i, LLVMTargetMachineRef tm, LLVMModuleRef module, const char *symbol, Status *st)
{
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, module, LLVMObjectFile, &why, &w->objects[i])) {
        status_fail(st, "kernel %s: no machine code: %s", w->kernels[i]->name, why);
        LLVMDisposeMessage(why);
        return;
    }
    const char *bytes = LLVMGetBufferStart(w->objects[i]);
    size_t      size = LLVMGetBufferSize(w->objects[i]);
    if (w->debug)
        text_addn(&w->debug[i], bytes, size);
    if (image_of_object(bytes, size, symbol, &w->images[i])) {
        LLVMDisposeMemoryBuffer(w->objects[i]);
        w->objects[i] = NULL;
    }
}

static void compile_one(Work *w, uint32_t i, LLVMTargetMachineRef tm, Status *st)
{
    Kernel *k = w->kernels[i];
    Emit    e;
    char    symbol[96];
    symbol_of(w, i, symbol, sizeof symbol);
    pthread_mutex_lock(&w->emit_lock);
    emit_begin(&e, &w->jit->target, w->dims, k, symbol);
    w->emit_one(w->ctx, &e, i);
    emit_end(&e);
    pthread_mutex_unlock(&w->emit_lock);
    char             *triple = LLVMGetTargetMachineTriple(tm);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetTarget(e.module, triple);
    LLVMSetModuleDataLayout(e.module, layout);
    LLVMDisposeTargetData(layout);
    LLVMDisposeMessage(triple);
    if (optimise(k, e.module, tm, st)) {
        if (w->dump_stage)
            w->dumps[i] = dump_text(w->dump_stage, e.module, tm);
        object_code(w, i, tm, e.module, symbol, st);
    }
    LLVMDisposeModule(e.module);
    LLVMContextDispose(e.cx);
}

static void *worker(void *arg)
{
    Work                *w = arg;
    LLVMTargetMachineRef tm = machine_new(&w->jit->target);
    Status               st = { 0 };
    for (;;) {
        pthread_mutex_lock(&w->lock);
        bool     stop = w->status.failed || w->next == w->n;
        uint32_t i = stop ? 0 : w->next++;
        pthread_mutex_unlock(&w->lock);
        if (stop)
            break;
        compile_one(w, i, tm, &st);
        if (st.failed) {
            pthread_mutex_lock(&w->lock);
            status_fail(&w->status, "%s", st.message);
            pthread_mutex_unlock(&w->lock);
        }
    }
    LLVMDisposeTargetMachine(tm);
    return NULL;
}

static void run_workers(Work *w)
{
    enum { MOST = 64 };
    pthread_t thread[MOST];
    long      cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t  want = cores < 1 ? 1 : cores > MOST ? MOST : (uint32_t)cores;
    uint32_t  started = 0;
    if (want > w->n)
        want = w->n;
    while (started + 1 < want && pthread_create(&thread[started], NULL, worker, w) == 0)
        started++;
    worker(w);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

/* ---- linking ---- */

static bool place_images(const Work *w, Status *st)
{
    const uint8_t **at = xmalloc((w->n + 1) * sizeof *at);
    bool            ok = code_place(&w->jit->code, w->images, w->n, at, st);
    for (uint32_t i = 0; i < w->n && ok; i++) {
        Kernel *k = w->kernels[i];
        if (!w->images[i].bytes)
            continue;
        k->code = at[i];
        k->code_size = w->images[i].size;
        k->fn = (KernelFn)(uintptr_t)(at[i] + w->images[i].entry);
    }
    free(at);
    return ok;
}

static bool start_lljit(Jit *j, Status *st)
{
    LLVMOrcLLJITBuilderRef b = LLVMOrcCreateLLJITBuilder();
    LLVMOrcLLJITBuilderSetJITTargetMachineBuilder(b, LLVMOrcJITTargetMachineBuilderCreateFromTargetMachine(machine_new(&j->target)));   /* takes both */
    LLVMOrcLLJITRef               lljit;
    LLVMOrcDefinitionGeneratorRef process;
    LLVMErrorRef                  err = LLVMOrcCreateLLJIT(&lljit, b);
    if (err)
        return fail_with(st, "cannot start the JIT", err);
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(lljit), on_session_error, j);
    err = LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(lljit), NULL, NULL);
    if (err) {
        LLVMConsumeError(LLVMOrcDisposeLLJIT(lljit));
        return fail_with(st, "cannot start the JIT", err);
    }
    LLVMOrcJITDylibAddGenerator(LLVMOrcLLJITGetMainJITDylib(lljit), process);
    j->lljit = lljit;
    return true;
}

static bool link_objects(Work *w, Status *st)
{
    Jit *j = w->jit;
    for (uint32_t i = 0; i < w->n; i++) {
        LLVMMemoryBufferRef object = w->objects[i];
        if (!object)
            continue;
        if (!j->lljit && !start_lljit(j, st))
            return false;
        w->objects[i] = NULL;      /* the JIT takes it, also on failure */
        LLVMErrorRef err = LLVMOrcLLJITAddObjectFile(j->lljit, LLVMOrcLLJITGetMainJITDylib(j->lljit), object);
        if (err)
            return fail_with(st, w->kernels[i]->name, err);
    }
    for (uint32_t i = 0; i < w->n; i++) {
        LLVMOrcExecutorAddress at;
        char                   symbol[96];
        if (w->images[i].bytes)
            continue;
        symbol_of(w, i, symbol, sizeof symbol);
        LLVMErrorRef err = LLVMOrcLLJITLookup(j->lljit, &at, symbol);
        if (err) {
            char *text = LLVMGetErrorMessage(err);
            status_fail(st, "kernel %s: %s%s%s", w->kernels[i]->name, text, j->report[0] ? ": " : "", j->report);
            LLVMDisposeErrorMessage(text);
            return false;
        }
        w->kernels[i]->fn = (KernelFn)(uintptr_t)at;
    }
    return true;
}

/* Shows linked kernels to gdb and perf. */
static void register_all(const Work *w)
{
    for (uint32_t i = 0; i < w->n; i++) {
        char symbol[96];
        symbol_of(w, i, symbol, sizeof symbol);
        if (w->debug[i].n)
            debug_register(w->kernels[i], symbol, w->debug[i].at, w->debug[i].n);
    }
}

bool jit_compile(Jit *j, DimTable *dims, Kernel *const *kernels, uint32_t n, EmitOne emit_one, void *ctx, const char *dump_stage, Text *dump, Status *st)
{
    if (n == 0)
        return true;
    Work w = { .jit = j, .dims = dims, .kernels = kernels, .n = n, .emit_one = emit_one, .ctx = ctx, .dump_stage = dump_stage };
    w.objects = xmalloc(n * sizeof *w.objects);
    w.images = xmalloc(n * sizeof *w.images);
    w.dumps = xmalloc(n * sizeof *w.dumps);
    w.debug = j->target.debug ? xmalloc(n * sizeof *w.debug) : NULL;
    pthread_mutex_init(&w.emit_lock, NULL);
    pthread_mutex_init(&w.lock, NULL);
    run_workers(&w);
    bool ok = !w.status.failed;
    if (ok)
        ok = place_images(&w, st) && link_objects(&w, st);
    else
        status_fail(st, "%s", w.status.message);
    if (ok && w.debug)
        register_all(&w);
    for (uint32_t i = 0; i < n; i++) {
        if (w.debug)
            text_free(&w.debug[i]);
        if (w.objects[i])
            LLVMDisposeMemoryBuffer(w.objects[i]);
        free(w.images[i].bytes);
        if (w.dumps[i] && dump)
            text_add(dump, w.dumps[i]);
        free(w.dumps[i]);
    }
    free(w.objects);
    free(w.images);
    free(w.dumps);
    free(w.debug);
    pthread_mutex_destroy(&w.emit_lock);
    pthread_mutex_destroy(&w.lock);
    j->generation++;
    return ok;
}
