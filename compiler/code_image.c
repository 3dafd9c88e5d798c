/* code_image.c - from relocatable objects to images (see code_image.h): sections laid out, references inside filled in; and memory to run them in. */
#include "code_image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_SECTIONS = 64, MAX_IMAGE = 1 << 26 };

typedef struct {
    const uint8_t *bytes;
    size_t         size;
    uint32_t       n;
    Elf64_Shdr     section[MAX_SECTIONS];
    int64_t        at[MAX_SECTIONS];       /* offset in the image, -1: no part of it */
} Object;

static bool inside(const Object *o, uint64_t offset, uint64_t n) { return offset <= o->size && n <= o->size - offset; }

static bool read_sections(Object *o)
{
    Elf64_Ehdr h;
    if (!inside(o, 0, sizeof h))
        return false;
    memcpy(&h, o->bytes, sizeof h);
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) || h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_type != ET_REL || h.e_machine != EM_X86_64)
        return false;
    if (h.e_shentsize != sizeof(Elf64_Shdr) || h.e_shnum > MAX_SECTIONS || !inside(o, h.e_shoff, (uint64_t)h.e_shnum * sizeof(Elf64_Shdr)))
        return false;
    o->n = h.e_shnum;
    memcpy(o->section, o->bytes + h.e_shoff, o->n * sizeof(Elf64_Shdr));
    for (uint32_t i = 0; i < o->n; i++)
        if (o->section[i].sh_type != SHT_NOBITS && !inside(o, o->section[i].sh_offset, o->section[i].sh_size))
            return false;
    return true;
}

/* Text first, constants behind it in lines of their own. Tables for unwinding are left out: kernels throw nothing. */
static bool lay_out(Object *o, uint64_t *size)
{
    *size = 0;
    for (uint32_t i = 0; i < o->n; i++)
        o->at[i] = -1;
    for (int constants = 0; constants < 2; constants++) {
        *size = (*size + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN;
        for (uint32_t i = 0; i < o->n; i++) {
            const Elf64_Shdr *s = &o->section[i];
            bool              text = s->sh_flags & SHF_EXECINSTR;
            if (!(s->sh_flags & SHF_ALLOC) || s->sh_size == 0 || text == constants || s->sh_type == SHT_X86_64_UNWIND || s->sh_type == SHT_NOTE)
                continue;
            if (s->sh_type != SHT_PROGBITS || (s->sh_flags & (SHF_WRITE | SHF_TLS)) || s->sh_addralign > CODE_ALIGN)
                return false;
            uint64_t align = s->sh_addralign ? s->sh_addralign : 1;
            *size = (*size + align - 1) / align * align;
            o->at[i] = (int64_t)*size;
            *size += s->sh_size;
            if (*size > MAX_IMAGE)
                return false;
        }
    }
    return true;
}

static bool read_symbol(const Object *o, uint32_t table, uint64_t i, Elf64_Sym *out)
{
    const Elf64_Shdr *s = &o->section[table];
    if (s->sh_type != SHT_SYMTAB || i >= s->sh_size / sizeof *out)
        return false;
    memcpy(out, o->bytes + s->sh_offset + i * sizeof *out, sizeof *out);
    return true;
}

static bool is_placed(const Object *o, const Elf64_Sym *s)
{
    return s->st_shndx < o->n && o->at[s->st_shndx] >= 0 && s->st_value <= o->section[s->st_shndx].sh_size;
}

/* References of one section; relative to the place, to something of this object, or the object is refused. */
static bool fill_in(const Object *o, const Elf64_Shdr *rela, CodeImage *out)
{
    int64_t  base = o->at[rela->sh_info];
    uint64_t most = o->section[rela->sh_info].sh_size;
    for (uint64_t i = 0; i < rela->sh_size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela r;
        Elf64_Sym  s;
        memcpy(&r, o->bytes + rela->sh_offset + i * sizeof r, sizeof r);
        bool relative = ELF64_R_TYPE(r.r_info) == R_X86_64_PC32 || ELF64_R_TYPE(r.r_info) == R_X86_64_PLT32;
        if (!relative || most < 4 || r.r_offset > most - 4 || r.r_addend != (int32_t)r.r_addend || rela->sh_link >= o->n)
            return false;
        if (!read_symbol(o, rela->sh_link, ELF64_R_SYM(r.r_info), &s) || !is_placed(o, &s))
            return false;
        int64_t distance = o->at[s.st_shndx] + (int64_t)s.st_value + r.r_addend - (base + (int64_t)r.r_offset);
        int32_t word = (int32_t)distance;
        if (word != distance)
            return false;
        memcpy(out->bytes + base + r.r_offset, &word, sizeof word);
    }
    return true;
}

static bool find_entry(const Object *o, const char *symbol, CodeImage *out)
{
    for (uint32_t t = 0; t < o->n; t++) {
        Elf64_Sym s;
        for (uint64_t i = 0; read_symbol(o, t, i, &s); i++) {
            uint32_t names = o->section[t].sh_link;
            if (ELF64_ST_TYPE(s.st_info) != STT_FUNC || !is_placed(o, &s) || names >= o->n || s.st_name >= o->section[names].sh_size)
                continue;
            const char *name = (const char *)o->bytes + o->section[names].sh_offset + s.st_name;
            if (strncmp(name, symbol, o->section[names].sh_size - s.st_name) == 0) {
                out->entry = (uint32_t)(o->at[s.st_shndx] + (int64_t)s.st_value);
                return out->entry < out->size;
            }
        }
    }
    return false;
}

bool image_of_object(const void *object, size_t size, const char *symbol, CodeImage *out)
{
    Object   o = { .bytes = object, .size = size };
    uint64_t total;
    *out = (CodeImage){ 0 };
    if (!read_sections(&o) || !lay_out(&o, &total) || total == 0)
        return false;
    *out = (CodeImage){ xmalloc((size_t)total), (uint32_t)total, 0 };
    bool ok = true;
    for (uint32_t i = 0; i < o.n; i++)
        if (o.at[i] >= 0)
            memcpy(out->bytes + o.at[i], o.bytes + o.section[i].sh_offset, (size_t)o.section[i].sh_size);
    for (uint32_t i = 0; i < o.n && ok; i++) {
        const Elf64_Shdr *s = &o.section[i];
        bool              refers = (s->sh_type == SHT_RELA || s->sh_type == SHT_REL) && s->sh_info < o.n && o.at[s->sh_info] >= 0;
        ok = !refers || (s->sh_type == SHT_RELA && fill_in(&o, s, out));
    }
    if (ok && find_entry(&o, symbol, out))
        return true;
    free(out->bytes);
    *out = (CodeImage){ 0 };
    return false;
}

/* ---- memory ---- */

struct CodeBlock { CodeBlock *next; void *at; size_t size; };

static size_t room(const CodeImage *i) { return ((size_t)i->size + CODE_ALIGN - 1) / CODE_ALIGN * CODE_ALIGN; }

bool code_place(CodeBlock **list, const CodeImage *images, uint32_t n, const uint8_t **at, Status *st)
{
    size_t size = 0;
    for (uint32_t i = 0; i < n; i++)
        size += room(&images[i]);
    if (!size)
        return true;
    uint8_t *to = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED)
        return status_fail(st, "out of memory: %zu bytes for machine code", size);
    for (size_t i = 0, used = 0; i < n; i++) {
        memcpy(to + used, images[i].bytes, images[i].size);
        at[i] = to + used;
        used += room(&images[i]);
    }
    if (mprotect(to, size, PROT_READ | PROT_EXEC)) {
        status_fail(st, "this system lets no memory be executed: %s", strerror(errno));
        munmap(to, size);
        return false;
    }
    CodeBlock *b = xmalloc(sizeof *b);
    *b = (CodeBlock){ *list, to, size };
    *list = b;
    return true;
}

void code_free(CodeBlock *list)
{
    for (CodeBlock *b = list, *next; b; b = next) {
        next = b->next;
        munmap(b->at, b->size);
        free(b);
    }
}
