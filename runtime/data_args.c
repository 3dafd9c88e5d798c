/* data_args.c - the arguments of data sources: one table a source, from which come checking, messages with a "did you mean", defaults and the manual.
 *
 * A new argument is a row in the tables of the sources that take it and a member of DataConfig. Rows marked `required` may be given by position, in order.
 * Codes: E0540 unknown source, E0541 unknown argument, E0542 a wrong value, E0543 an argument missing or given twice, E0544 a file that is needed to know the type.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "files.h"
#include "resample.h"

static const DataSource *const sources[] = { &source_images, &source_image, &source_labelled, &source_mnist, &source_npy, &source_scenes };

const DataSource *source_by_name(const char *name)
{
    for (size_t i = 0; i < COUNT(sources); i++)
        if (!strcmp(sources[i]->name, name))
            return sources[i];
    return NULL;
}

static const DataConfig defaults = {
    .range = { 0, 1 }, .batch = 1, .channels = 3, .seed = 1, .count = 1000, .alpha = ALPHA_WHITE, .fit = FIT_COVER, .filter = FILTER_BILINEAR, .rank = -1,
};

typedef struct { const Data *data; const DataSource *source; DataConfig *c; Diags *d; bool ok; } Parse;

static Diag *wrong(Parse *p, Loc loc, const char *arg, const char *want)
{
    p->ok = false;
    return diag_error(p->d, 542, loc, "%s: '%s' must be %s", p->source->name, arg, want);
}

static bool whole(const DataArg *a, int64_t lo, int64_t hi, int64_t *v)
{
    if (a->kind != ARG_NUM || a->num != floor(a->num) || !(a->num >= (double)lo && a->num <= (double)hi))
        return false;
    *v = (int64_t)a->num;
    return true;
}

/* The sides of windows that a random crop is scaled from: random_crop(256, [192, 384]). */
static bool crop_sides(const DataArg *a, Crop *c)
{
    int64_t lo, hi;
    if (a->kind != ARG_LIST || a->nitems != 2 || !whole(&a->items[0], 1, MAX_SIDE, &lo) || !whole(&a->items[1], 1, MAX_SIDE, &hi) || lo > hi)
        return false;
    c->lo = (int)lo, c->hi = (int)hi;
    return true;
}

/* random_crop(256), center_crop(178), hflip(0.5). Where a crop stands relative to the resize follows from its size: see picture_prepare. */
static bool parse_augment(Parse *p, const DataArg *list)
{
    static const char *const names[] = { "random_crop", "center_crop", "hflip" };
    Crop crops[2];
    int  ncrops = 0;
    if (list->kind != ARG_LIST)
        return wrong(p, list->loc, "augment", "a list, for example [random_crop(64), hflip(0.5)]"), false;
    for (uint32_t i = 0; i < list->nitems; i++) {
        const DataArg *a = &list->items[i];
        int64_t        n;
        size_t         k = 0;
        while (a->kind == ARG_CALL && k < COUNT(names) && strcmp(a->str, names[k]))
            k++;
        if (a->kind != ARG_CALL || k == COUNT(names)) {
            Diag *g = wrong(p, a->loc, "augment", "a list of random_crop(n), random_crop(n, [a, b]), center_crop(n) and hflip(p)");
            const char *near = a->str ? nearest_word(a->str, names, COUNT(names)) : NULL;
            if (near)
                diag_hint(p->d, g, "Did you mean '%s'?", near);
            return false;
        }
        if (k == 2) {
            if (a->nitems != 1 || a->items[0].kind != ARG_NUM || !(a->items[0].num >= 0 && a->items[0].num <= 1))
                return wrong(p, a->loc, "hflip", "given a probability, for example hflip(0.5)"), false;
            p->c->hflip = a->items[0].num;
            continue;
        }
        Crop crop = { k ? CROP_CENTER : CROP_RANDOM, 0, 0, 0 };
        if (!a->nitems || a->nitems > 2 || !whole(&a->items[0], 1, MAX_SIDE, &n) || (a->nitems == 2 && (k || !crop_sides(&a->items[1], &crop))))
            return wrong(p, a->loc, names[k], k ? "given a size in pixels: center_crop(64)" : "given a size in pixels, random_crop(64), and perhaps the sides of windows to scale to it: random_crop(64, [48, 96])"),
                   false;
        crop.n = (int)n;
        if (ncrops == 2)
            return wrong(p, a->loc, "augment", "at most one crop before the resize and one after it"), false;
        crops[ncrops++] = crop;
    }
    for (int i = 0; i < ncrops; i++) {
        int64_t  side = p->c->size[0] < p->c->size[1] ? p->c->size[0] : p->c->size[1];
        Crop    *to = side && crops[i].n > side ? &p->c->before : &p->c->after;
        if (to == &p->c->before && crops[i].hi)
            return wrong(p, list->loc, "augment", "a crop of windows of several sizes is taken after the resize: no larger than size"), false;
        if (to->kind)
            return wrong(p, list->loc, "augment", "at most one crop before the resize (larger than size) and one after it"), false;
        *to = crops[i];
    }
    return true;
}

static bool parse_list(Parse *p, const ArgSpec *spec, const DataArg *a)
{
    int64_t *size = (int64_t *)((char *)p->c + spec->offset);
    double  *range = (double *)((char *)p->c + spec->offset);
    if (spec->type == ARG_IS_SIZE) {
        if (whole(a, 1, MAX_SIDE, &size[0]))
            return size[1] = size[0], true;
        if (a->kind == ARG_LIST && a->nitems == 2 && whole(&a->items[0], 1, MAX_SIDE, &size[0]) && whole(&a->items[1], 1, MAX_SIDE, &size[1]))
            return true;
        return wrong(p, a->loc, spec->name, "a number of pixels, 64, or [height, width]"), false;
    }
    if (spec->type == ARG_IS_RANGE) {
        p->c->ranged = true;
        if (a->kind == ARG_LIST && a->nitems == 2 && a->items[0].kind == ARG_NUM && a->items[1].kind == ARG_NUM && a->items[0].num < a->items[1].num)
            return range[0] = a->items[0].num, range[1] = a->items[1].num, true;
        return wrong(p, a->loc, spec->name, "two growing numbers, [-1, 1]"), false;
    }
    bool ok = a->kind == ARG_LIST && a->nitems <= MAX_RANK - 1;
    p->c->rank = ok ? (int)a->nitems : -1;
    for (uint32_t i = 0; ok && i < a->nitems; i++)
        ok = whole(&a->items[i], 1, INT32_MAX, &p->c->shape[i]);
    return ok || (wrong(p, a->loc, spec->name, "the sizes of one item, for example [3, 64, 64]"), false);
}

static bool parse_word(Parse *p, const ArgSpec *spec, const DataArg *a)
{
    Text list = { 0 };
    int  n = 0;
    for (; spec->words[n]; n++) {
        text_addf(&list, "%s'%s'", n ? ", " : "one of ", spec->words[n]);
        if ((a->kind == ARG_STR || (a->kind == ARG_CALL && !a->nitems)) && !strcmp(a->str, spec->words[n])) {
            *(int *)((char *)p->c + spec->offset) = n;
            text_free(&list);
            return true;
        }
    }
    Diag       *g = wrong(p, a->loc, spec->name, list.at);
    const char *near = a->str ? nearest_word(a->str, spec->words, (size_t)n) : NULL;
    if (near)
        diag_hint(p->d, g, "Did you mean '%s'?", near);
    text_free(&list);
    return false;
}

static bool parse_value(Parse *p, const ArgSpec *spec, const DataArg *a)
{
    void *to = (char *)p->c + spec->offset;
    char  want[96];
    switch (spec->type) {
    case ARG_IS_PATH:
        if (a->kind != ARG_STR || !*a->str)
            return wrong(p, a->loc, spec->name, "a path in quotes"), false;
        *(const char **)to = a->str;
        return true;
    case ARG_IS_INT:
        if (whole(a, spec->lo, spec->hi, to))
            return true;
        snprintf(want, sizeof want, "a whole number from %lld to %lld", (long long)spec->lo, (long long)spec->hi);
        return wrong(p, a->loc, spec->name, want), false;
    case ARG_IS_BOOL:
        if (a->kind != ARG_BOOL)
            return wrong(p, a->loc, spec->name, "true or false"), false;
        *(int *)to = a->num != 0;
        return true;
    case ARG_IS_WORD:    return parse_word(p, spec, a);
    case ARG_IS_AUGMENT: return parse_augment(p, a);
    default:             return parse_list(p, spec, a);
    }
}

static const ArgSpec *find_arg(Parse *p, const DataArg *a, uint32_t position)
{
    const DataSource *s = p->source;
    const char   *names[32];
    for (size_t i = 0; i < s->nargs; i++) {
        names[i] = s->args[i].name;
        if (a->name ? !strcmp(a->name, s->args[i].name) : i == position && s->args[i].required)
            return &s->args[i];
    }
    p->ok = false;
    if (!a->name) {
        Diag *g = diag_error(p->d, 541, a->loc, "%s: this argument needs a name", s->name);
        diag_hint(p->d, g, "For example: %s: ...", s->args[s->nargs > 1 ? 1 : 0].name);
        return NULL;
    }
    Text all = { 0 };
    for (size_t i = 0; i < s->nargs; i++)
        text_addf(&all, "%s%s", i ? ", " : "", names[i]);
    Diag       *g = diag_error(p->d, 541, a->name_loc, "%s has no argument '%s'; it has: %s", s->name, a->name, all.at);
    const char *near = nearest_word(a->name, names, s->nargs);
    if (near)
        diag_hint(p->d, g, "Did you mean '%s'?", near);
    text_free(&all);
    return NULL;
}

bool config_parse(const Data *data, const DataSource *source, DataConfig *c, Diags *d)
{
    Parse          p = { data, source, c, d, true };
    const DataArg *augment = NULL;
    uint32_t       seen = 0;
    *c = defaults;
    if (source->preset)
        source->preset(c);
    for (uint32_t i = 0; i < data->nargs; i++) {
        const DataArg *a = &data->args[i];
        const ArgSpec *spec = find_arg(&p, a, i);
        if (!spec)
            continue;
        uint32_t bit = 1u << (spec - source->args);
        if (seen & bit) {
            diag_error(d, 543, a->loc, "%s: '%s' is given twice", source->name, spec->name);
            p.ok = false;
        }
        seen |= bit;
        if (spec->type == ARG_IS_AUGMENT)
            augment = a;                   /* last: which crop comes before the resize depends on size */
        else
            parse_value(&p, spec, a);
    }
    if (augment)
        parse_augment(&p, augment);
    for (size_t i = 0; i < source->nargs; i++)
        if (source->args[i].required && !(seen & 1u << i)) {
            Diag *g = diag_error(d, 543, data->loc, "%s: '%s' is missing: %s", source->name, source->args[i].name, source->args[i].doc);
            diag_hint(d, g, "For example: data %s = %s(\"data/%s\", ...)", data->name, source->name, data->name);
            p.ok = false;
        }
    return p.ok;
}

/* The folder of the file that `data` stands in; "" when it is not known. */
static char *folder_of(const Data *data, const Diags *d)
{
    const Sources *s = d->sources;
    return s && data->loc.file < s->files.n && data->loc.line ? path_folder(s->files.at[data->loc.file].path) : xstrdup("");
}

bool describe_data(Data *data, DimTable *dims, Diags *d)
{
    const DataSource *source = source_by_name(data->source);
    DataConfig    c;
    FieldShape    fields[MAX_FIELDS];
    Status        st = { 0 };
    if (!source) {
        const char *names[COUNT(sources)];
        for (size_t i = 0; i < COUNT(sources); i++)
            names[i] = sources[i]->name;
        Diag       *g = diag_error(d, 540, data->loc, "'%s' is no data source; they are: images, image, labelled, mnist, npy, scenes", data->source);
        const char *near = nearest_word(data->source, names, COUNT(names));
        if (near)
            diag_hint(d, g, "Did you mean '%s'?", near);
        return false;
    }
    if (!config_parse(data, source, &c, d))
        return false;
    char *folder = folder_of(data, d);
    int   n = source->fields(&c, folder, fields, &st);
    free(folder);
    if (!n) {
        diag_error(d, source == &source_npy ? 544 : 543, data->loc, "%s: %s", source->name, st.message);
        return false;
    }
    data->batch = c.batch;
    data->lo = c.range[0];
    data->hi = c.range[1];
    data->nfields = (uint32_t)n;
    for (int i = 0; i < n; i++) {
        DataField *f = &data->fields[i];
        *f = (DataField){ .name = intern(fields[i].name), .dtype = fields[i].dtype, .rank = (uint8_t)fields[i].rank };
        for (int k = 0; k < fields[i].rank; k++)
            f->shape[k] = dim_const(dims, fields[i].shape[k]);
    }
    return true;
}

char *resolve_path(const char *folder, const char *path)
{
    char *beside = path_join(folder, path);
    if (path_is_folder(beside) || path_is_file(beside))
        return beside;
    free(beside);
    return xstrdup(path);
}

void data_print_sources(Text *out)
{
    for (size_t i = 0; i < COUNT(sources); i++) {
        const DataSource *s = sources[i];
        text_addf(out, "%s%s(...)  %s\n", i ? "\n" : "", s->name, s->doc);
        for (size_t k = 0; k < s->nargs; k++) {
            const ArgSpec *a = &s->args[k];
            text_addf(out, "    %-9s %-9s %s", a->name, a->required ? "required" : a->deflt, a->doc);
            for (int w = 0; a->words && a->words[w]; w++)
                text_addf(out, "%s%s", w ? " | " : ": ", a->words[w]);
            text_add(out, "\n");
        }
    }
}
