/* test_progress.c - the progress bar's text, its plain form, and signals as a wish to stop. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "progress.h"
#include "signals.h"

static const char *const names[] = { "d_loss", "g_loss" };
static const double      values[] = { 1.30249, 0.000711 };

static void bar(int width, double rate, double left, const char *want)
{
    Text t = { 0 };
    progress_format(&t, "main", 1240, 5000, names, values, 2, rate, left, width);
    CHECK(!strcmp(t.at, want), "\n  '%s'\n  '%s'", t.at, want);
    CHECK(width <= 0 || (int)t.n <= width, "%zu columns of %d", t.n, width);
    text_free(&t);
}

static void duration(double s, const char *want)
{
    char text[32];
    format_duration(s, text, sizeof text);
    CHECK(!strcmp(text, want), "%g: %s", s, text);
}

int main(void)
{
    bar(200, 3.41, 1105, "main  1240/5000  [====>               ]  24.8%  d_loss 1.302  g_loss 0.000711  3.4 steps/s  18m 25s left");
    bar(90, 0.5, 7520, "main  1240/5000  d_loss 1.302  g_loss 0.000711  2.00 s/step  2h 05m left");
    bar(40, 0, -1, "main  1240/5000  d_loss 1.302  g_loss 0.");
    bar(0, 0, -1, "main  1240/5000  [====>               ]  24.8%  d_loss 1.302  g_loss 0.000711");
    duration(59.4, "59s"), duration(60, "1m 00s"), duration(3599, "59m 59s"), duration(200000, "2d 7h"), duration(-1, "0s"), duration(1e300, "11574d 1h");

    char  *text = NULL;
    size_t size = 0;
    FILE  *out = open_memstream(&text, &size);
    Progress *p = progress_start(out, "main", 10, 20, 0);
    for (uint64_t i = 11; i <= 20; i++) {
        progress_step(p, i, names, values, 2);
        if (i == 15)
            progress_note(p, "wrote %s", "out/15.png");
    }
    progress_finish(p);
    fclose(out);
    CHECK(text && !strchr(text, '\r') && !strchr(text, '\033'), "plain lines elsewhere than on a terminal");
    int lines = 0;
    for (char *c = text; *c; c++)
        lines += *c == '\n';
    CHECK(lines == 3 && strstr(text, "main  11/20") && strstr(text, "\nwrote out/15.png\n") && strstr(text, "main  20/20"), "first, note and last, not every step:\n%s", text);
    free(text);

    out = open_memstream(&text, &size);
    p = progress_start(out, "main", 0, 20, 1);
    progress_step(p, 1, names, values, 2);
    progress_note(p, "note");
    progress_finish(p);
    fclose(out);
    CHECK(strstr(text, "\r\033[Knote\n\r\033[K") && text[size - 1] == '\n', "a note stands above the bar:\n%s", text);
    free(text);

    signals_catch();
    CHECK(!signals_caught(), "nothing is caught yet");
    raise(SIGTERM);
    CHECK(signals_caught() == SIGTERM, "the first is noted");
    pid_t child = fork();
    if (!child) {
        raise(SIGTERM);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "the second ends the program");
    signals_release();
    signals_catch();
    CHECK(!signals_caught(), "a new run starts clean");
    signals_release();
    return check_done();
}
