/* progress.c - the bar and the lines of progress.h. A value is shown with four digits; what does not fit a terminal's width is left out from the right,
 * the bar first. Drawing is rate-limited so that a fast loop is not slowed by its own report.
 */
#include "progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { MAX_SHOWN = 32, HISTORY = 64 };

struct Progress {
    FILE       *out;
    char       *name;
    uint64_t    done, total;
    bool        tty, drawn;
    double      started, last_shown;
    const char *names[MAX_SHOWN];
    double      values[MAX_SHOWN];
    uint32_t    n;
    struct { double time; uint64_t done; } history[HISTORY];   /* a ring of points half a second apart: the rate's window */
    uint32_t    points;
};

void format_duration(double seconds, char *to, size_t n)
{
    long s = seconds > 0 ? (seconds < 1e9 ? lrint(seconds) : 1000000000) : 0;
    if (s < 60)
        snprintf(to, n, "%lds", s);
    else if (s < 3600)
        snprintf(to, n, "%ldm %02lds", s / 60, s % 60);
    else if (s < 86400)
        snprintf(to, n, "%ldh %02ldm", s / 3600, s / 60 % 60);
    else
        snprintf(to, n, "%ldd %ldh", s / 86400, s / 3600 % 24);
}

static void add_rate(Text *t, double rate, double left)
{
    char wait[32];
    if (rate > 0)
        text_addf(t, rate >= 0.95 ? "  %.1f steps/s" : "  %.2f s/step", rate >= 0.95 ? rate : 1 / rate);
    if (left >= 0) {
        format_duration(left, wait, sizeof wait);
        text_addf(t, "  %s left", wait);
    }
}

void progress_format(Text *out, const char *name, uint64_t done, uint64_t total, const char *const *names, const double *values, uint32_t n, double rate, double seconds_left,
                     int width)
{
    enum { BAR = 20 };
    Text   left = { 0 }, right = { 0 };
    double part = total ? (double)done / (double)total : 0;
    text_addf(&left, "%s  %llu/%llu", name, (unsigned long long)done, (unsigned long long)total);
    for (uint32_t i = 0; i < n; i++)
        if (!isnan(values[i]))
            text_addf(&right, "  %s %.4g", names[i], values[i]);
    add_rate(&right, rate, seconds_left);
    text_add(out, left.at);
    if (width <= 0 || (int)(left.n + right.n) + BAR + 11 <= width) {
        int fill = (int)(part * BAR);
        text_add(out, "  [");
        for (int i = 0; i < BAR; i++)
            text_add(out, i < fill ? "=" : i == fill ? ">" : " ");
        text_addf(out, "] %5.1f%%", 100 * part);
    }
    text_add(out, right.n ? right.at : "");
    if (width > 0 && (int)out->n > width)
        out->at[out->n = (size_t)width] = 0;
    text_free(&left);
    text_free(&right);
}

Progress *progress_start(FILE *out, const char *name, uint64_t done, uint64_t total, int tty)
{
    Progress *p = xmalloc(sizeof *p);
    p->out = out;
    p->name = xstrdup(name);
    p->done = done;
    p->total = total;
    p->tty = tty < 0 ? isatty(fileno(out)) && !(getenv("TERM") && !strcmp(getenv("TERM"), "dumb")) : tty;
    p->started = clock_seconds();
    p->last_shown = -1e9;
    p->history[0].time = p->started;
    p->history[0].done = done;
    p->points = 1;
    return p;
}

void progress_set_total(Progress *p, uint64_t total)
{
    p->total = total;
}

static int width_of(FILE *out)
{
    struct winsize w;
    return !ioctl(fileno(out), TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col - 1 : 79;
}

static void show(Progress *p, double t)
{
    uint32_t oldest = p->points > HISTORY ? p->points % HISTORY : 0;
    double   span = t - p->history[oldest].time, rate = span > 0 ? (double)(p->done - p->history[oldest].done) / span : 0;
    double   left = rate > 0 && p->total >= p->done ? (double)(p->total - p->done) / rate : -1;
    Text     line = { 0 };
    progress_format(&line, p->name, p->done, p->total, p->names, p->values, p->n, rate, left, p->tty ? width_of(p->out) : 0);
    fprintf(p->out, p->tty ? "\r\033[K%s" : "%s\n", line.at);
    fflush(p->out);
    text_free(&line);
    p->last_shown = t;
    p->drawn = true;
}

void progress_step(Progress *p, uint64_t done, const char *const *names, const double *values, uint32_t n)
{
    double t = clock_seconds();
    p->done = done;
    p->n = n < MAX_SHOWN ? n : MAX_SHOWN;
    for (uint32_t i = 0; i < p->n; i++) {
        p->names[i] = names[i];
        p->values[i] = values[i];
    }
    if (t - p->history[(p->points - 1) % HISTORY].time >= 0.5) {
        p->history[p->points % HISTORY].time = t;
        p->history[p->points++ % HISTORY].done = done;
    }
    if (t - p->last_shown >= (p->tty ? 0.1 : 10))
        show(p, t);
}

void progress_note(Progress *p, const char *fmt, ...)
{
    va_list ap;
    if (p->tty && p->drawn)
        fputs("\r\033[K", p->out);
    va_start(ap, fmt);
    vfprintf(p->out, fmt, ap);
    va_end(ap);
    fputc('\n', p->out);
    if (p->tty && p->drawn)
        show(p, clock_seconds());
    fflush(p->out);
}

void progress_finish(Progress *p)
{
    if (!p)
        return;
    if (p->n || p->drawn)
        show(p, clock_seconds());
    if (p->tty && p->drawn)
        fputc('\n', p->out);
    fflush(p->out);
    free(p->name);
    free(p);
}
