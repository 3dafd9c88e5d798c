/* train_log.c - what a training tells: a line a pass in losses.csv, and what is said beside the progress. */
#include "train_run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

void train_note_report(Run *r, const char *name, double v)
{
    for (uint32_t i = 0; i < r->columns.n; i++)
        if (r->columns.at[i] == name) {
            r->values[i] = v;
            r->fresh[i] = true;
        }
}

static void add_column(Run *r, const char *name)
{
    for (uint32_t c = 0; c < r->columns.n; c++)
        if (r->columns.at[c] == name)
            return;
    vec_push(&r->columns, name);
}

void train_collect_columns(Run *r, const TrainStmt *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        train_collect_columns(r, b[i].body, b[i].nbody);
        const Graph *g = b[i].op == T_CALL ? r->s->model->steps.at[b[i].step].graph : NULL;
        for (uint32_t k = 0; g && k < g->reports.n; k++)
            add_column(r, g->reports.at[k].name);
        for (uint32_t k = 0; b[i].op == T_REPORT && k < b[i].nnames; k++)
            add_column(r, b[i].names[k]);
    }
}

/* A line a pass in OUT/losses.csv: [stage,] step, then the reports of this pass (empty when a step did not run). */
void train_log_pass(Run *r)
{
    if (!r->log)
        return;
    if (r->train->stage)
        fprintf(r->log, "%lld,", (long long)r->stage);
    fprintf(r->log, "%llu", (unsigned long long)r->pass);
    for (uint32_t i = 0; i < r->columns.n; i++) {
        if (r->fresh[i])
            fprintf(r->log, ",%.9g", r->values[i]);
        else
            fputs(",", r->log);
    }
    fputs("\n", r->log);
}

/* Was this line of the log written before the point where the run goes on? */
static bool is_past(const Run *r, const char *line)
{
    char     *end = (char *)line;
    long long stage = r->train->stage ? strtoll(line, &end, 10) : r->stage;
    return stage < r->stage || (stage == r->stage && strtoull(end + (*end == ','), NULL, 10) <= r->pass);
}

/* Opens the log; a resumed run and a further stage keep the lines up to where they go on. */
bool train_open_log(Run *r)
{
    char *path = path_join(r->out, "losses.csv");
    Text  kept = { 0 };
    if (r->before + r->pass > 0 && path_is_file(path)) {
        uint8_t *bytes;
        size_t   n;
        if (file_read(path, (size_t)1 << 30, &bytes, &n, r->st)) {
            for (char *line = (char *)bytes, *end; *line; line = end) {
                end = line + strcspn(line, "\n");
                if (!*end)
                    break;         /* cut short when the run was killed */
                end++;
                if (line == (char *)bytes || is_past(r, line))
                    text_addn(&kept, line, (size_t)(end - line));
            }
            free(bytes);
        }
    }
    bool ok = dirs_make(r->out, r->st);
    r->log = ok ? fopen(path, "w") : NULL;
    if (ok && !r->log)
        ok = status_fail(r->st, "%s: cannot be written: %s", path, strerror(errno));
    if (ok && kept.n) {
        fputs(kept.at, r->log);
    } else if (ok) {
        fputs(r->train->stage ? "stage,step" : "step", r->log);
        for (uint32_t i = 0; i < r->columns.n; i++)
            fprintf(r->log, ",%s", r->columns.at[i]);
        fputs("\n", r->log);
    }
    text_free(&kept);
    free(path);
    return ok;
}

/* What a checkpoint goes on from stands in the log before the checkpoint is there. */
bool train_flush_log(Run *r)
{
    return !r->log || (!fflush(r->log) && !ferror(r->log)) || status_fail(r->st, "%s/losses.csv: cannot be written: %s", r->out, strerror(errno));
}

void train_say(Run *r, const char *fmt, ...)
{
    va_list ap;
    char    line[1024];
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (r->progress)
        progress_note(r->progress, "%.*s", (int)strcspn(line, "\n"), line);
    else if (r->o->progress)
        fputs(line, r->o->progress);
}
