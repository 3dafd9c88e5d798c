/* cli_start.c - measures starts with fresh processes that do all that comes before the first kernel, and end there.
 *
 * The clock runs from just before the process is made to where the first kernel would be launched: loading, the restart of main.c, reading and checking the file,
 * gradients, simplifying, fusing, machine code from the cache, the plan of memory and its mapping. Weights are left out: variables and inputs are zeros.
 */
#include "cli_start.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli_size.h"
#include "clock.h"

extern char **environ;
static const char PROBE[] = "PASTICHE_START_PROBE";    /* in the environment: when the process was made, by clock_seconds */
enum { STARTS = 5, FILLS = 2 };

typedef struct { double compile, start; unsigned compiled; } Start;

/* ---- the process that is measured ---- */

bool is_start_probe(void) { return getenv(PROBE) != NULL; }

static bool zero_inputs(const Given *given, const Graph *g, Tensor *inputs, Status *st)
{
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const GraphInput *in = &g->inputs.at[i];
        int64_t           size[MAX_RANK];
        if (!input_size(given, g, i, size, st) || !tensor_alloc(&inputs[i], (Dtype)in->dtype, in->rank, size, st))
            return false;
        if (in->kind == IN_INT)
            tensor_set(&inputs[i], 0, (double)size[0]);
    }
    return true;
}

int run_start_probe(const Given *given)
{
    double  made = strtod(getenv(PROBE), NULL), weights, compile;
    Session s;
    Status  st = { 0 };
    if (!open_session(given, false, &s))
        return 1;
    Graph *g = session_find_graph(&s, given->words[1], &st);
    double from = clock_seconds();
    bool   ok = g && session_zero_vars(&s, g, &st);
    weights = clock_seconds() - from;
    Tensor *inputs = xmalloc(((g ? g->inputs.n : 0) + 1) * sizeof *inputs);
    ok = ok && zero_inputs(given, g, inputs, &st);
    from = clock_seconds();
    Program *p = ok ? program_new_as_used(s.model, g, &s.options.exec, inputs, &st) : NULL;
    compile = clock_seconds() - from;
    ok = p && program_ready(p, inputs, s.vars, &st);
    if (ok)
        printf("%.9g %.9g %u\n", compile, clock_seconds() - made - weights, program_facts(p).compiled);
    else
        complain("%s", st.message);
    program_free(p);
    for (uint32_t i = 0; g && i < g->inputs.n; i++)
        tensor_free(&inputs[i]);
    free(inputs);
    session_close(&s);
    return !ok;
}

/* ---- the process that measures ---- */

static bool replaced(const char *variable, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(variable, name, n) && variable[n] == '=';
}

/* This environment without what main.c's restart added to it, so that the other process restarts too; and what it is told. */
static char **probe_environment(const char *made, bool cache)
{
    size_t n = 0, k = 0;
    bool   restarted = getenv("PASTICHE_STARTED") != NULL;
    while (environ[n])
        n++;
    char **env = xmalloc((n + 3) * sizeof *env);
    for (size_t i = 0; i < n; i++) {
        bool drop = restarted && (replaced(environ[i], "PASTICHE_STARTED") || replaced(environ[i], "GOMP_SPINCOUNT"));
        if (!drop && (cache || !replaced(environ[i], "PASTICHE_CACHE")))
            env[k++] = environ[i];
    }
    if (!cache)
        env[k++] = "PASTICHE_CACHE=off";
    env[k++] = (char *)made;
    return env;
}

static bool read_start(int from, Start *s)
{
    char    text[256];
    size_t  n = 0;
    ssize_t got;
    while (n + 1 < sizeof text && (got = read(from, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    return sscanf(text, "%lf %lf %u", &s->compile, &s->start, &s->compiled) == 3;
}

static bool start_once(int argc, char **argv, bool cache, Start *s)
{
    int    ends[2], status = 0;
    pid_t  child;
    char   made[64], **args = xmalloc(((size_t)argc + 3) * sizeof *args);
    if (pipe(ends)) {
        free(args);
        return false;
    }
    args[0] = "pastiche", args[1] = "bench";
    memcpy(args + 2, argv, (size_t)argc * sizeof *args);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&files, ends[0]);
    posix_spawn_file_actions_addclose(&files, ends[1]);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    snprintf(made, sizeof made, "%s=%.9f", PROBE, clock_seconds());
    char **env = probe_environment(made, cache);
    bool   ok = posix_spawn(&child, "/proc/self/exe", &files, NULL, args, env) == 0;
    close(ends[1]);
    if (ok) {
        ok = read_start(ends[0], s);
        ok = waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0 && ok;
    }
    close(ends[0]);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    free(args);
    return ok;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

StartTimes measure_starts(const Given *g, int argc, char **argv)
{
    StartTimes t = { 0 };
    Start      s = { 0 };
    double     took[STARTS];
    int        n = 0;
    if (option_value(g, "--backend") && !strcmp(option_value(g, "--backend"), "reference"))
        return t;
    if (start_once(argc, argv, false, &s))
        t.compile = s.compile;
    for (int fills = 0; n < STARTS && fills < FILLS && t.compile > 0 && !option_given(g, "--no-cache");) {
        if (!start_once(argc, argv, true, &s))
            return t;
        if (s.compiled)
            fills++;
        else
            took[n++] = s.start;
    }
    qsort(took, (size_t)n, sizeof *took, by_value);
    t.cached = n ? took[n / 2] : 0;
    return t;
}
