/* cli_train.c - pastiche train, over the public API. */
#include <stdlib.h>

#include "../include/pastiche.h"
#include "cli.h"

int command_train(int argc, char **argv)
{
    static const Option options[] = {
        SESSION_OPTIONS,
        { "--steps", "N", "passes through the train block in all (default: as the file says)" },
        { "--minutes", "M", "train no longer than this: as many passes as fit (not the same bits twice)" },
        { "--out", "DIR", "folder for what the block writes, losses.csv and weights.safetensors (default: .)" },
        { "--resume", "DIR", "go on from the newest whole checkpoint in DIR, bit for bit" },
        { "--weights", "[NET=]FILE", "start from these weights; may be repeated" },
        { "--overwrite", NULL, "start anew although DIR holds an earlier run's checkpoints: they are removed" },
        { "--strict", NULL, "an unreadable picture is an error" },
        { "--quiet", NULL, "no progress" },
        EXEC_OPTIONS,
    };
    static const Command c = { "train", "FILE [TRAIN] [--steps N] [--out DIR] [--resume DIR] ...", "Trains as a train block says. ^C saves and stops; --resume goes on.", options, COUNT(options), 1, 2 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    int64_t     steps = 0;
    const char *limit = option_value(&g, "--minutes");
    char       *end = NULL;
    double      minutes = limit ? strtod(limit, &end) : 0;
    if (!number_option(&g, "--steps", 1, INT64_MAX / 2, &steps))
        return 2;
    if (limit && (*end || end == limit || !(minutes > 0 && minutes < 1e7))) {
        complain("--minutes takes a number above 0, not '%s'", limit);
        return 2;
    }
    char           *weights = NULL;
    pastiche_model *m = open_model(&g, &status);
    if (!m)
        return status;
    status = read_given_weights(m, &g);
    if (status == 0) {
        pastiche_train_options to = { .steps = steps, .seconds = 60 * minutes, .out = option_value(&g, "--out"), .resume = option_value(&g, "--resume"), .overwrite = option_given(&g, "--overwrite"), .progress = option_given(&g, "--quiet") ? NULL : stdout };
        bool                   stopped = false;
        bool                   ok = pastiche_train(m, g.nwords > 1 ? g.words[1] : NULL, &to, &weights, &stopped);
        if (!ok)
            status = complain("%s", pastiche_error(m));
        else if (to.progress)
            printf("%s%s\n", stopped ? "stopped and saved; --resume goes on.  Weights: " : "weights: ", weights);
    }
    free(weights);
    pastiche_free(m);
    return status;
}
