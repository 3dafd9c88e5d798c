/* dump.c - a Fusion as text for `--stage fused`: each kernel with its nodes, its buffers and what they take, then its loop instructions.
 *
 *   3 reduce_3  %12 %14  over 1 3
 *       b0 %7 f32 nChw16c halo 1 1 1 1  N*64*H*W
 */
#include "fuse.h"

#include <stdlib.h>

static void layout_print(const Fusion *f, const Buffer *b, Text *out)
{
    static const char *const dtypes[] = { "none", "f32", "f64", "i32", "bool" };
    const Layout            *l = &b->layout;
    if (b->value)
        text_addf(out, "%%%u", b->value);
    else
        text_add(out, b->home == HOME_RUN ? "run state" : b->home == HOME_FLAGS ? "flags" : "scratch");
    text_addf(out, " %s", dtypes[l->dtype]);
    if (l->block > 1)
        text_addf(out, " nChw%uc", l->block);
    if (l->halo[0] || l->halo[1] || l->halo[2] || l->halo[3])
        text_addf(out, " halo %d %d %d %d", l->halo[0], l->halo[1], l->halo[2], l->halo[3]);
    text_add(out, "  ");
    dim_print(f->g->dims, b->elems, out);
    static const char *const homes[] = { "", "  input", "  variable", "  output", "  write", "", "", "  kept" };
    text_add(out, homes[b->home]);
    if (b->within != NONE)
        text_addf(out, "  in place of %%%u", f->buffers.at[b->within].value);
}

static void print_line(const Fusion *f, uint32_t i, uint32_t buffer, bool write, Text *out)
{
    text_addf(out, "      b%u %s ", i, write ? "<-" : "->");
    layout_print(f, &f->buffers.at[buffer], out);
    text_add(out, "\n");
}

static void print_body(const Fusion *f, const Fused *k, const Body *b, Text *out)
{
    Kernel names = { .bufs = { k->kernel.bufs.at, k->kernel.bufs.n, k->kernel.bufs.cap } };
    Text   t = { 0 };
    body_text(b, f->g->dims, &names, &t);
    for (const char *s = t.at; s && *s;) {
        const char *e = s;
        while (*e && *e != '\n')
            e++;
        text_add(out, "    ");
        text_addn(out, s, (size_t)(e - s));
        text_add(out, "\n");
        s = *e ? e + 1 : e;
    }
    for (uint32_t j = 0; j < names.args.n; j++) {
        text_addf(out, "%sa%u = ", j ? ", " : "      ", j);
        dim_print(f->g->dims, names.args.at[j], out);
    }
    text_add(out, names.args.n ? "\n" : "");
    vec_free(&names.args);
    text_free(&t);
}

void fusion_print(const Fusion *f, Text *out)
{
    static const char *const kinds[] = { "map", "reduce", "contract", "combine", "pack", "relayout", "halo" };
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        text_addf(out, "%u %s", i, kinds[k->kind]);
        if (k->contract)
            text_addf(out, " %s %%%u", op_info[node(f->g, k->contract)->op].name, k->contract);
        if (k->copy)
            text_addf(out, " copy of %%%u", k->copy);
        if (k->part_of)
            text_addf(out, " part of %%%u:", k->part_of);
        for (uint32_t j = 0; j < k->roots.n && !k->copy; j++)
            text_addf(out, " %%%u", k->roots.at[j]);
        for (int a = 0; a < MAX_RANK && k->kind == FUSED_REDUCE; a++)
            if (k->reduced >> a & 1)
                text_addf(out, "%s%d", k->reduced & ((1u << a) - 1) ? " " : " over axes ", a);
        text_add(out, "\n");
        for (uint32_t j = 0; j < k->bufs.n; j++)
            print_line(f, j, k->bufs.at[j], k->kernel.bufs.n > j && k->kernel.bufs.at[j].write, out);
        if (k->loaded)
            print_body(f, k, &k->load, out);
        if (k->has_body)
            print_body(f, k, &k->body, out);
    }
}
