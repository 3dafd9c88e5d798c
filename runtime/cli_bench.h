/* cli_bench.h - a graph of a file with inputs of given sizes, as bench, profile, explain and tune open it. */
#ifndef PASTICHE_CLI_BENCH_H
#define PASTICHE_CLI_BENCH_H

#include "cli_size.h"

typedef struct {
    Session  s;
    Graph   *g;
    Program *p;                    /* NULL until it is compiled */
    Tensor  *inputs;
    uint32_t runs;
} Bench;

/* The file, the graph (words 0 and 1) and its inputs; symbolic: without inputs when no sizes are given. false after a complaint. The caller closes b either way. */
bool bench_inputs(Bench *b, const Given *given, bool symbolic);
void bench_close(Bench *b);

#endif
