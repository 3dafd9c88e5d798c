/* llvm_late.c - LLVM is loaded when the first kernel is compiled, not when the program starts.
 *
 * Being linked with libLLVM costs each process 8 ms and 10 MiB for relocations and initialisers, twice with the restart of main.c, and a process whose kernels
 * all come from the object cache never calls it. So the executable is not linked with the library: each function that is called (llvm_functions.def) is here, as
 * a jump through a pointer that llvm_load fills.
 */
#include "llvm_late.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void not_loaded(void)
{
    fputs("pastiche: a function of LLVM is called before llvm_load\n", stderr);
    abort();
}

/* Seen by the jumps below by name, by nobody else. */
#define LLVM_FUNCTION(name) __attribute__((visibility("hidden"), used)) void (*late_##name)(void) = not_loaded;
#include "llvm_functions.def"
#undef LLVM_FUNCTION

#define LLVM_FUNCTION(name) __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n\tjmp *late_" #name "(%rip)\n");
#include "llvm_functions.def"
#undef LLVM_FUNCTION

typedef struct { const char *name; void (**at)(void); } Row;
static const Row rows[] = {
#define LLVM_FUNCTION(name) { #name, &late_##name },
#include "llvm_functions.def"
#undef LLVM_FUNCTION
};

static Status loaded;

static void load(void)
{
    void *lib = dlopen(LLVM_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!lib)                          /* elsewhere than where it was built: by its name alone */
        lib = dlopen(strrchr(LLVM_LIBRARY, '/') + 1, RTLD_NOW | RTLD_LOCAL);
    if (!lib) {
        status_fail(&loaded, "cannot load LLVM, which compiles kernels: %s", dlerror());
        return;
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        void *f = dlsym(lib, rows[i].name);
        if (!f) {
            status_fail(&loaded, "%s has no %s: it is not the version of LLVM that pastiche was built with", LLVM_LIBRARY, rows[i].name);
            return;
        }
        *rows[i].at = (void (*)(void))(uintptr_t)f;
    }
}

bool llvm_load(Status *st)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return !loaded.failed || status_fail(st, "%s", loaded.message);
}

void llvm_identity(Text *out)
{
    struct stat s;
    text_addf(out, "%s", LLVM_LIBRARY);
    if (!stat(LLVM_LIBRARY, &s))
        text_addf(out, " %lld %lld.%09ld", (long long)s.st_size, (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
}

#ifdef __SANITIZE_ADDRESS__
/* gcc's leak checker guesses where thread-local memory of a library that was loaded late lies, wrongly with glibc 2.36: it may not look. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "intercept_tls_get_addr=0"; }
#endif
