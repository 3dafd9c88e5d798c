/* cli_pictures.c - see cli_pictures.h. Whatever a picture comes from, it is seen as a PNG would hold it: clipped to its range and rounded to 8 bits. */
#include "cli_pictures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data_source.h"
#include "resample.h"

enum { AT_ONCE = 16 };             /* items of noise in one run of an export */

bool pictures_of_folder(Pictures *s, const char *folder)
{
    Status st = { 0 };
    s->folder = folder;
    if (!path_is_folder(folder))
        return !complain("%s: there is no such folder", folder);
    if (!files_below(folder, path_is_picture, &s->names, &st))
        return !complain("%s", st.message);
    if (!s->names.n)
        return !complain("%s: no .png or .jpg files in it", folder);
    s->n = s->names.n;
    return true;
}

bool pictures_of_name(Pictures *s, Session *session, const char *name, int64_t count)
{
    const Model *m = session->model;
    const char  *dot = strchr(name, '.');
    size_t       len = dot ? (size_t)(dot - name) : strlen(name);
    Status       st = { 0 };
    for (uint32_t i = 0; i < m->datas.n; i++) {
        const Data *d = &m->datas.at[i];
        Tensor      fields[MAX_FIELDS] = { 0 };
        uint32_t    f = 0;
        if (strlen(d->name) != len || strncmp(d->name, name, len))
            continue;
        while (dot && f < d->nfields && strcmp(d->fields[f].name, dot + 1))
            f++;
        if (f == d->nfields)
            return !complain("an item of '%s' has no '%s'", d->name, dot + 1);
        if (!dot && d->nfields > 1 && d->fields[1].rank == 3)
            return !complain("an item of '%s' has several pictures: take one by name, e.g. %s.%s", d->name, d->name, d->fields[0].name);
        if (d->fields[f].dtype != DT_F32 || d->fields[f].rank != 3)
            return !complain("'%s' is no picture", name);
        DataSet *set = session_data(session, i, &st);
        s->n = !set ? 0 : count && count < data_items(set) ? count : data_items(set);
        if (!set || !data_first_items(set, s->n, fields, &st))
            return !complain("%s", st.message);
        s->items = fields[f], s->lo = d->lo, s->hi = d->hi;
        for (uint32_t k = 0; k < d->nfields; k++)
            if (k != f)
                tensor_free(&fields[k]);
        return true;
    }
    if (path_is_folder(name))
        return pictures_of_folder(s, name);
    return !complain("%s: there is no such folder, nor is it a data item of %s", name, session->path);
}

/* Which inputs have an item a row: their first axis is free. */
static bool is_row_input(const pastiche_program *p, int i)
{
    pastiche_info info = pastiche_input_info(p, i);
    return info.rank > 0 && info.shape[0] < 0;
}

bool pictures_of_export(Pictures *s, pastiche_model *m, pastiche_program *p, const Given *g, int64_t count)
{
    int n = pastiche_inputs(p);
    s->m = m, s->p = p, s->at = -1;
    s->texts = xmalloc(((size_t)n + 1) * sizeof *s->texts);
    s->inputs = xmalloc(((size_t)n + 1) * sizeof *s->inputs);
    if (place_inputs(p, g, s->texts))
        return false;
    for (int i = 0; i < n; i++)
        if (s->texts[i] && path_is_folder(s->texts[i]))
            s->at = i;
    if (s->at >= 0)
        return pictures_of_folder(s, s->texts[s->at]);
    if (!make_inputs(m, p, s->texts, count, s->inputs))
        return false;
    for (int i = 0; i < n; i++)
        if (is_row_input(p, i))
            s->n = s->n && s->n < s->inputs[i].shape[0] ? s->n : s->inputs[i].shape[0];
    if (s->n)
        return true;
    if (!pastiche_run(p, s->inputs, n, &s->made))              /* nothing is free: one run makes all there are */
        return !complain("%s", pastiche_error(m));
    s->n = s->made.rank == 4 ? s->made.shape[0] : 1;
    return true;
}

void pictures_free(Pictures *s)
{
    for (int i = 0; s->p && i < pastiche_inputs(s->p); i++)
        free(s->inputs[i].data);
    free(s->texts);
    free(s->inputs);
    free(s->made.data);
    files_free(&s->names);
    tensor_free(&s->items);
    *s = (Pictures){ 0 };
}

const char *picture_name(const Pictures *s, int64_t i, char *text, size_t size)
{
    if (s->names.n)
        snprintf(text, size, "%s/%s", s->folder, s->names.at[i]);
    else
        snprintf(text, size, "picture %lld of %s", (long long)i + 1, s->p ? "the export" : "the data");
    return text;
}

/* ---- one picture ---- */

/* The export once, with its folder's input replaced by picture i. */
static bool run_on_file(Pictures *s, int64_t i)
{
    int              n = pastiche_inputs(s->p);
    char            *path = path_join(s->folder, s->names.at[i]);
    pastiche_tensor *in = xmalloc(((size_t)n + 1) * sizeof *in);
    s->texts[s->at] = path;
    bool ok = make_inputs(s->m, s->p, s->texts, 0, in);
    if (ok && !pastiche_run(s->p, in, n, &s->made))
        ok = !complain("%s: %s", path, pastiche_error(s->m));
    s->texts[s->at] = s->folder;
    for (int k = 0; k < n; k++)
        free(in[k].data);
    free(in);
    free(path);
    return ok;
}

/* The export on rows i, i + 1, ... of its inputs. */
static bool run_on_rows(Pictures *s, int64_t i)
{
    int              n = pastiche_inputs(s->p);
    int64_t          rows = s->n - i < AT_ONCE ? s->n - i : AT_ONCE;
    pastiche_tensor *in = xmalloc(((size_t)n + 1) * sizeof *in);
    for (int k = 0; k < n; k++) {
        in[k] = s->inputs[k];
        if (!is_row_input(s->p, k))
            continue;
        size_t row = dtype_size((Dtype)in[k].dtype);
        for (int a = 1; a < in[k].rank; a++)
            row *= (size_t)in[k].shape[a];
        in[k].shape[0] = rows;
        in[k].data = (char *)in[k].data + row * (size_t)i;
    }
    bool ok = pastiche_run(s->p, in, n, &s->made) || !complain("%s", pastiche_error(s->m));
    free(in);
    if (ok && (s->made.rank != 4 || s->made.shape[0] != rows))
        ok = !complain("the export gives %lld pictures for %lld items", (long long)(s->made.rank == 4 ? s->made.shape[0] : 0), (long long)rows);
    s->made_from = i;
    return ok;
}

/* 8 bits know no NaN: it would pass for black. */
static bool is_finite(const Tensor *t, int64_t picture)
{
    int64_t n = tensor_count(t) / t->shape[0];
    bool    finite = true;
    for (int64_t i = picture * n; i < (picture + 1) * n; i++)
        finite = finite && isfinite(tensor_get(t, i));
    return finite;
}

static bool from_export(Pictures *s, int64_t i, Image *im, Status *st)
{
    pastiche_info info = pastiche_output_info(s->p, 0);
    int64_t       have = s->made.data && s->at < 0 ? s->made.shape[0] : 0;
    if (i < s->made_from || i >= s->made_from + have) {
        free(s->made.data);
        s->made = (pastiche_tensor){ 0 };
        if (!(s->at >= 0 ? run_on_file(s, i) : run_on_rows(s, i)))
            return false;
    }
    Tensor t = { .dtype = (Dtype)s->made.dtype, .rank = s->made.rank, .data = s->made.data };
    memcpy(t.shape, s->made.shape, sizeof t.shape);
    if (t.rank != 4 || (t.shape[1] != 1 && t.shape[1] != 3))
        return !complain("'%s' of the export is no picture: f32[N, 3, H, W] and f32[N, 1, H, W] are", pastiche_output_name(s->p, 0));
    int64_t at = s->at >= 0 ? 0 : i - s->made_from;
    if (!is_finite(&t, at)) {
        char text[1024];
        return !complain("%s: what the export makes is not finite", picture_name(s, i, text, sizeof text));
    }
    return image_from_tensor(&t, at, info.ranged ? info.lo : 0, info.ranged ? info.hi : 1, im, st);
}

bool picture_at(Pictures *s, int64_t i, Image *im)
{
    Status st = { 0 };
    bool   ok;
    *im = (Image){ 0 };
    if (s->p) {
        ok = from_export(s, i, im, &st);
    } else if (s->items.data) {
        ok = image_from_tensor(&s->items, i, s->lo, s->hi, im, &st);
    } else {
        char *path = path_join(s->folder, s->names.at[i]);
        ok = image_read(path, im, &st);
        free(path);
    }
    const DataConfig c = { .channels = 3, .alpha = ALPHA_WHITE, .size = { s->size, s->size }, .fit = FIT_COVER, .filter = FILTER_BILINEAR };
    ok = ok && (s->size ? picture_prepare(&c, im, &st) : image_convert(im, 3, ALPHA_WHITE, &st));
    if (st.failed)
        complain("%s", st.message);
    if (!ok)
        image_free(im);
    return ok;
}
