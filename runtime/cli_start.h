/* cli_start.h - how long pastiche takes from the start of a process to the first kernel, as pastiche bench tells it. */
#ifndef PASTICHE_CLI_START_H
#define PASTICHE_CLI_START_H

#include "cli.h"

typedef struct {
    double compile;                /* seconds that simplifying, fusing and compiling take without any cache; 0: not known */
    double cached;                 /* seconds from the start of a process to its first kernel when that process compiles nothing; 0: there is no cache */
} StartTimes;

/* Measures it with fresh processes of this program, which get argv (behind the command's name, as command_bench did) and the environment; they fill the cache. */
StartTimes measure_starts(const Given *g, int argc, char **argv);

/* Is this process one of them? Then it does its part and prints what measure_starts reads. */
bool is_start_probe(void);
int  run_start_probe(const Given *g);

#endif
