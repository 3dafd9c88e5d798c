/* main.c - pastiche COMMAND ...  */
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static const struct { const char *name; int (*run)(int, char **); const char *usage, *summary; } commands[] = {
    { "check", command_check, "FILE [--json]", "check a file and show its networks, layer by layer" },
    { "train", command_train, "FILE [TRAIN] [--steps N] [--out DIR] [--resume DIR] ...", "train as a train block says" },
    { "run", command_run, "FILE EXPORT [[NAME=]INPUT]... -o OUT [--weights FILE] ...", "run an export on pictures, arrays or numbers" },
    { "weights", command_weights, "FILE [NET] --weights RUN -o OUT.safetensors", "take a net's weights out of a run's, to go with an export" },
    { "models", command_models, "[--json]", "networks that come trained: pastiche run NAME photo.jpg -o out.png" },
    { "eval", command_eval, "[FILE EXPORT [[NAME=]INPUT]...] --real FOLDER [--fake FOLDER] ...", "measure pictures against true ones" },
    { "test", command_test, "FILE", "run a file's test blocks" },
    { "show", command_show, "FILE --of STEP_OR_EXPORT --stage STAGE", "show a graph at a stage of compilation" },
    { "bench", command_bench, "FILE NAME [--size INPUT=1x3x512x512]...", "measure a step or an export" },
    { "profile", command_profile, "FILE NAME [--size INPUT=1x3x512x512]...", "show what each kernel takes" },
    { "tune", command_tune, "FILE NAME [--budget 60s] [--size INPUT=..]...", "find faster block sizes for this machine" },
    { "explain", command_explain, "FILE NAME [--size INPUT=1x3x512x512]... [--json]", "say what was fused with what, and why" },
    { "bisect", command_bisect, "FILE NAME [--size INPUT=1x3x64x64]...", "find the first pass and node whose result is wrong" },
    { "fmt", command_fmt, "[--check] FILE...", "format files" },
    { "ops", command_ops, "[NAME]", "the manual of the primitive ops" },
    { "sources", command_sources, "", "the manual of the data sources" },
    { "passes", command_passes, "", "the parts of compilation that can be switched off" },
};

static void print_usage(FILE *to)
{
    fputs("pastiche - GANs and style transfer from text files to native code\n\nUsage: pastiche COMMAND ...\n\n", to);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(to, "  %-7s %-62s %s\n", commands[i].name, commands[i].usage, commands[i].summary);
    fputs("\npastiche COMMAND --help says more.\n\n"
          "Compiled kernels are kept in ~/.cache/pastiche (or $XDG_CACHE_HOME/pastiche), at most 256 MiB; the environment can say otherwise:\n"
          "  PASTICHE_CACHE=FOLDER  keeps them there; PASTICHE_CACHE=off keeps and uses none, as --no-cache does\n"
          "  PASTICHE_CACHE_MIB=N   at most N MiB; those that were not used for longest go first\n", to);
}

/* libgomp reads its wait policy when the program is loaded; threads that sleep between kernels cost up to milliseconds a kernel. So start once more with it set. */
static void wait_actively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT") || getenv("PASTICHE_STARTED"))
        return;
    setenv("PASTICHE_STARTED", "1", 1);
    setenv("GOMP_SPINCOUNT", "200000", 1);
    execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("pastiche 0.1");
        return 0;
    }
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i].name)) {
            if (commands[i].run == command_train || commands[i].run == command_run || commands[i].run == command_eval || commands[i].run == command_bench || commands[i].run == command_profile || commands[i].run == command_tune)
                wait_actively(argv);
            return commands[i].run(argc - 2, argv + 2);
        }
    const char *names[COUNT(commands)];
    for (size_t i = 0; i < COUNT(commands); i++)
        names[i] = commands[i].name;
    const char *near = nearest_word(argv[1], names, COUNT(names));
    complain("no command '%s'%s%s%s", argv[1], near ? ".  Did you mean '" : "", near ? near : "", near ? "'?" : "");
    print_usage(stderr);
    return 2;
}
