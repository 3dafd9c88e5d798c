/* cli.h - the command line: one function a command, one parser of options for all. Commands print to stdout, complaints to stderr; 0 fine, 1 failed, 2 wrong usage. */
#ifndef PASTICHE_CLI_H
#define PASTICHE_CLI_H

#include "session.h"

typedef struct {
    const char *name;              /* "--set" */
    const char *value;             /* what it takes, for the help: "NAME=VALUE"; NULL: a switch */
    const char *help;
} Option;

typedef struct {
    const char    *command, *usage, *summary;
    const Option  *options; int noptions;          /* beside --help */
    int            least, most;                    /* how many words it takes; most -1: any */
} Command;

enum { MAX_GIVEN = 256 };
typedef struct {
    const Command *command;
    const char    *words[4096]; int nwords;
    struct { const Option *option; const char *value; } given[MAX_GIVEN]; int ngiven;
    const char    *set[MAX_GIVEN + 1], *data[MAX_GIVEN + 1], *weights[MAX_GIVEN + 1];   /* the repeatable ones, ended by NULL */
} Given;

/* Fills g from argv (behind the command's name). -1: go on; otherwise the exit status (help was printed, or a complaint). */
int  parse_options(const Command *c, int argc, char **argv, Given *g);
const char *option_value(const Given *g, const char *name);      /* the last one given, or NULL */
bool option_given(const Given *g, const char *name);
bool number_option(const Given *g, const char *name, int64_t low, int64_t high, int64_t *v);   /* false after a complaint; *v stays when absent */
bool session_options(const Given *g, SessionOptions *o);
/* Opens the session of words[0] and prints diagnostics; false: done, complaints printed. */
bool open_session(const Given *g, bool tests, Session *s);
int  complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* "pastiche: ..." on stderr; returns 1 */

/* cli_models.c: in commands whose first two words are a file and an export, puts those with settings and weights for a listed name; false after a complaint. */
bool expand_listed(Given *g);
int  check_memory(const Given *g, const Session *s);             /* cli_memory.c: pastiche check --memory; the exit status */

#define SESSION_OPTIONS                                                                                   \
    { "--set", "NAME=VALUE", "set a const of the file; may be repeated" },                                \
    { "--data", "NAME=PATH", "take a data item's pictures from PATH; may be repeated" }
#define EXEC_OPTIONS                                                                                      \
    { "--backend", "native|reference", "compiled kernels, or the float64 interpreter" },                  \
    { "--threads", "N", "threads to use (default: all cores)" },                                          \
    { "--cpu", "avx512|avx2|baseline", "instruction set (default: the best there is)" },                  \
    { "--exact", NULL, "convolutions summed as they are written: slower, an error half as large" },           \
    { "--passes", "-NAME,...", "switch passes off (pastiche passes lists them)" },                            \
    { "--no-cache", NULL, "compile everything anew, keep nothing on disk" },                                  \
    { "--debug-kernels", NULL, "gdb and perf show kernels by the lines of graph files" },                     \
    { "--memory-budget", "512MiB", "compute values again in the backward pass so that a pass takes no more" },  \
    { "--seed", "N", "seed of all random numbers (default 0)" }

struct pastiche_model;
bool weights_name_net(const char *text, char net[128], const char **path);      /* --weights [NET=]FILE|random: the net, if one is named, and what comes after */
bool read_weights_of(struct pastiche_model *m, const char *net, const char *path);          /* net NULL: the file's own names say whose; path "random": none are read */
struct pastiche_program;
bool has_weights(const struct pastiche_program *p);                               /* of all nets that it reads; false after a complaint */
int read_given_weights(struct pastiche_model *m, const Given *g);                /* --weights; the exit status */

struct pastiche_model *open_model(const Given *g, int *status);                  /* of words[0], diagnostics printed. NULL: complaints were printed and *status is set */
struct pastiche_model *open_model_file(const Given *g, const char *path, bool settings, int *status);   /* settings: with --set and --data */

int command_check(int argc, char **argv);
int command_fmt(int argc, char **argv);
int command_ops(int argc, char **argv);
int command_sources(int argc, char **argv);
int command_passes(int argc, char **argv);
int command_show(int argc, char **argv);
int command_test(int argc, char **argv);
int command_train(int argc, char **argv);
int command_run(int argc, char **argv);
int command_weights(int argc, char **argv);
int command_models(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_profile(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_tune(int argc, char **argv);
int command_bisect(int argc, char **argv);

#endif
