/* debug_code.c - what gdb and perf are told of kernels.
 *
 * gdb: an object file in memory whose text section says where it was loaded, in the list that __jit_debug_descriptor heads, and a call of a function that gdb
 * has a breakpoint in (gdb manual, "JIT Compilation Interface"). perf: lines "address size name" in /tmp/perf-PID.map, which `perf report` reads.
 */
#include "debug_code.h"

#include <elf.h>
#include <fcntl.h>
#include <llvm-c/DebugInfo.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool debug_wanted(void)
{
    const char *v = getenv("PASTICHE_DEBUG_KERNELS");
    return v && *v && strcmp(v, "0") != 0;
}

/* ---- emission ---- */

static const char *path_of(const Graph *g, Loc loc)
{
    return g->sources && loc.file < g->sources->files.n ? g->sources->files.at[loc.file].path : "graph";
}

static LLVMMetadataRef file_of(Emit *e, Loc loc)
{
    const char *path = path_of(e->kernel->graph, loc);
    char        folder[4096];
    if (!getcwd(folder, sizeof folder))
        strcpy(folder, ".");
    return LLVMDIBuilderCreateFile(e->di, path, strlen(path), folder, strlen(folder));
}

static void module_flag(Emit *e, const char *name, unsigned v)
{
    LLVMAddModuleFlag(e->module, LLVMModuleFlagBehaviorWarning, name, strlen(name), LLVMValueAsMetadata(LLVMConstInt(LLVMInt32TypeInContext(e->cx), v, 0)));
}

void debug_begin(Emit *e, const char *symbol)
{
    const Graph *g = e->kernel->graph;
    if (!g)
        return;
    Loc loc = node_use(g, e->kernel->node);
    e->di = LLVMCreateDIBuilder(e->module);
    module_flag(e, "Debug Info Version", LLVMDebugMetadataVersion());
    module_flag(e, "Dwarf Version", 4);
    LLVMMetadataRef file = file_of(e, loc);
    LLVMDIBuilderCreateCompileUnit(e->di, LLVMDWARFSourceLanguageC, file, "pastiche", 8, 1, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "", 0);
    LLVMMetadataRef type = LLVMDIBuilderCreateSubroutineType(e->di, file, NULL, 0, LLVMDIFlagZero);
    e->di_function = LLVMDIBuilderCreateFunction(e->di, file, symbol, strlen(symbol), symbol, strlen(symbol), file, loc.line, type, 0, 1, loc.line, LLVMDIFlagZero, 1);
    LLVMSetSubprogram(e->fn, e->di_function);
    debug_place(e, e->kernel->node);
}

void debug_place(Emit *e, Ref r)
{
    if (!e->di || !r)
        return;
    Loc             loc = node_use(e->kernel->graph, r), own = node_use(e->kernel->graph, e->kernel->node);
    LLVMMetadataRef scope = e->di_function;
    if (!loc.line)
        return;
    if (loc.file != own.file)
        scope = LLVMDIBuilderCreateLexicalBlockFile(e->di, scope, file_of(e, loc), 0);
    LLVMSetCurrentDebugLocation2(e->b, LLVMDIBuilderCreateDebugLocation(e->cx, loc.line, loc.col, scope, NULL));
}

void debug_end(Emit *e)
{
    if (!e->di)
        return;
    LLVMDIBuilderFinalize(e->di);
    LLVMDisposeDIBuilder(e->di);
    e->di = NULL;
}

/* ---- gdb: names and layouts are its interface ---- */

typedef enum { JIT_NOACTION, JIT_REGISTER_FN, JIT_UNREGISTER_FN } JitAction;
struct jit_code_entry { struct jit_code_entry *next, *prev; const char *symfile_addr; uint64_t symfile_size; };
struct jit_descriptor { uint32_t version, action_flag; struct jit_code_entry *relevant_entry, *first_entry; };

void __jit_debug_register_code(void);
extern struct jit_descriptor __jit_debug_descriptor;
__attribute__((noinline, used)) void __jit_debug_register_code(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((used)) struct jit_descriptor __jit_debug_descriptor = { 1, JIT_NOACTION, NULL, NULL };

static void tell_gdb(char *object, size_t size)
{
    struct jit_code_entry *entry = xmalloc(sizeof *entry);
    entry->symfile_addr = object;
    entry->symfile_size = size;
    entry->next = __jit_debug_descriptor.first_entry;
    if (entry->next)
        entry->next->prev = entry;
    __jit_debug_descriptor.first_entry = __jit_debug_descriptor.relevant_entry = entry;
    __jit_debug_descriptor.action_flag = JIT_REGISTER_FN;
    __jit_debug_register_code();
}

/* The function's section gets the address at which it stands; *bytes: how long the function is. The object comes from LLVM, but is not believed. */
static bool place_object(char *object, size_t size, const char *symbol, uint64_t fn, uint64_t *bytes)
{
    Elf64_Ehdr h;
    if (size < sizeof h)
        return false;
    memcpy(&h, object, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shoff > size || (size - h.e_shoff) / sizeof(Elf64_Shdr) < h.e_shnum)
        return false;
    Elf64_Shdr *section = (Elf64_Shdr *)(object + h.e_shoff);
    for (uint32_t t = 0; t < h.e_shnum; t++) {
        if (section[t].sh_type != SHT_SYMTAB || section[t].sh_link >= h.e_shnum || section[t].sh_offset > size || size - section[t].sh_offset < section[t].sh_size)
            continue;
        const Elf64_Sym  *s = (const Elf64_Sym *)(object + section[t].sh_offset);
        const Elf64_Shdr *names = &section[section[t].sh_link];
        for (uint64_t i = 0; i < section[t].sh_size / sizeof *s; i++) {
            bool here = ELF64_ST_TYPE(s[i].st_info) == STT_FUNC && s[i].st_shndx < h.e_shnum && s[i].st_name < names->sh_size && names->sh_offset + names->sh_size <= size;
            if (!here || strncmp(object + names->sh_offset + s[i].st_name, symbol, names->sh_size - s[i].st_name))
                continue;
            section[s[i].st_shndx].sh_addr = fn - s[i].st_value;
            *bytes = s[i].st_size;
            return true;
        }
    }
    return false;
}

/* ---- perf ---- */

static void tell_perf(const Kernel *k, const char *symbol, uint64_t fn, uint64_t bytes)
{
    static int map = -2;
    char       path[64], where[256];
    if (map == -2) {
        snprintf(path, sizeof path, "/tmp/perf-%ld.map", (long)getpid());
        unlink(path);              /* of an older process with our number */
        map = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0644);
    }
    if (map >= 0)                  /* without the map perf shows addresses: no reason to stop */
        dprintf(map, "%llx %llx %s %s\n", (unsigned long long)fn, (unsigned long long)bytes, symbol,
                place_text(k->graph, node_use(k->graph, k->node), where, sizeof where));
}

void debug_register(const Kernel *k, const char *symbol, const void *object, size_t size)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    uint64_t               fn = (uint64_t)(uintptr_t)k->fn, bytes = 0;
    char                  *copy = xmalloc(size);
    memcpy(copy, object, size);
    pthread_mutex_lock(&lock);
    if (place_object(copy, size, symbol, fn, &bytes)) {
        tell_gdb(copy, size);
        tell_perf(k, symbol, fn, bytes);
    } else {
        free(copy);
    }
    pthread_mutex_unlock(&lock);
}
