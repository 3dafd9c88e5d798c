/* cli_tune.c - pastiche tune: block sizes for this machine, measured, into a database that later compiles read. */
#include <stdlib.h>
#include <string.h>

#include "cli_bench.h"
#include "files.h"
#include "tune.h"

/* "60s", "2m" or "60" */
static bool budget_option(const Given *g, double *seconds)
{
    const char *text = option_value(g, "--budget");
    char       *end;
    if (!text)
        return true;
    double v = strtod(text, &end);
    if (end != text && !strcmp(end, "m"))
        v *= 60;
    else if (end == text || (*end && strcmp(end, "s")))
        v = -1;
    if (!(v > 0 && v <= 1e6)) {
        complain("--budget takes a time such as 60s or 5m, not '%s'", text);
        return false;
    }
    *seconds = v;
    return true;
}

static void block_text(const int *want, Text *out)
{
    for (int k = 0; k < KNOBS; k++)
        if (want[k])
            text_addf(out, "%s%s %d", out->n ? " " : "", knob_names[k], want[k]);
}

static void print_spot(const TuneSpot *s)
{
    Text     best = { 0 };
    uint32_t key = (uint32_t)(strstr(s->key, " algo ") ? strstr(s->key, " algo ") - s->key : (long)strlen(s->key));
    block_text(s->best, &best);
    printf("%10.1f %10.1f %6.3f %4u tried%s%s  %.*s  %s  %s\n", s->estimated_us, s->best_us, s->best_us > 0 ? s->estimated_us / s->best_us : 1, s->tried,
           s->refused ? ", some refused" : "", s->finished ? "" : ", more are left", (int)key, s->key, s->places, best.n ? best.at : "as estimated");
    text_free(&best);
}

/* What was found, over what the file holds already. */
static bool save(const TuneReport *r, const char *path, uint32_t *kept)
{
    TuneDb  *db = tune_db_new();
    Status   st = { 0 };
    Text     out = { 0 };
    uint8_t *old = NULL;
    size_t   n;
    bool     ok = !path_is_file(path) || file_read(path, 1 << 22, &old, &n, &st);
    *kept = 0;
    if (ok && old)
        tune_db_read(db, (const char *)old, path);
    if (tune_db_warning(db))
        fprintf(stderr, "pastiche: warning: %s\n", tune_db_warning(db));
    for (uint32_t i = 0; i < r->spots.n; i++) {
        const TuneSpot *s = &r->spots.at[i];
        bool            any = false;
        for (int k = 0; k < KNOBS; k++)
            any |= s->best[k] != 0;
        if (any)
            tune_db_set(db, s->key, s->best, s->best_us, s->estimated_us);
        *kept += any;
    }
    if (ok && *kept) {
        tune_db_print(db, &out);
        ok = file_write(path, out.at, out.n, &st);
    }
    text_free(&out);
    tune_db_free(db);
    free(old);
    return ok || !complain("%s", st.message);
}

static bool tell(const TuneReport *r, const char *path)
{
    uint32_t kept;
    if (!r->spots.n) {
        puts("nothing to tune: no convolution or product of matrices with block sizes to choose");
        return true;
    }
    puts(" estimated       best  ratio  (microseconds a pass)");
    for (uint32_t i = 0; i < r->spots.n; i++)
        print_spot(&r->spots.at[i]);
    if (!save(r, path, &kept))
        return false;
    printf("%u rounds; all together %.1f us estimated, %.1f with the best: the estimate is %.1f %% slower; %u of %u kept", r->rounds, r->before_us, r->after_us,
           r->after_us > 0 ? 100 * (r->before_us / r->after_us - 1) : 0, kept, r->spots.n);
    printf(kept ? " in %s\n" : "\n", path);
    return true;
}

int command_tune(int argc, char **argv)
{
    static const Option options[] = {
        SIZE_OPTION,
        { "--budget", "60s", "how long to try (default 60s)" },
        { "--db", "FILE", "the database (default: PASTICHE_TUNE, else tuned.txt in the user's data folder)" },
        EXEC_OPTIONS,
        SESSION_OPTIONS,
    };
    static const Command c = { "tune", "FILE NAME [--budget 60s] [--size INPUT=1x3x512x512]... [--db FILE]",
                               "Measures block sizes of a step's or an export's convolutions and matrix products, checks each against the interpreter, and keeps those that are faster than\n"
                               "the estimate. No result changes by a bit. Later compiles of the same shapes on the same instruction set read the database; PASTICHE_TUNE=off forgets it.",
                               options, COUNT(options), 2, 2 };
    static Given g;
    Bench        b;
    TuneReport   report;
    Status       st = { 0 };
    double       seconds = 60;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    if (!budget_option(&g, &seconds))
        return 2;
    char *path = option_value(&g, "--db") ? xstrdup(option_value(&g, "--db")) : tune_db_path();
    if (!path)
        return complain("there is no place for the database: say --db FILE");
    bool ok = bench_inputs(&b, &g, false);
    if (ok && !tune_program(b.s.model, b.g, &b.s.options.exec, b.inputs, b.s.vars, seconds, &report, &st))
        ok = !complain("%s", st.message);
    else if (ok) {
        ok = tell(&report, path);
        tune_report_free(&report);
    }
    free(path);
    bench_close(&b);
    return !ok;
}
