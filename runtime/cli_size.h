/* cli_size.h - the option --size of bench, profile and check --memory. */
#ifndef PASTICHE_CLI_SIZE_H
#define PASTICHE_CLI_SIZE_H

#include "cli.h"

#define SIZE_OPTION { "--size", "INPUT=1x3x512x512", "how large an input is; may be repeated" }

/* Does every --size name an input of one of the graphs? where: what the message says has no such input. */
bool known_sizes(const Given *g, Graph *const *graphs, uint32_t ngraphs, const char *where, Status *st);

/* The sizes of an input's axes, as given or as the file says them; size[0] is the number of an integer input. */
bool input_size(const Given *given, const Graph *g, uint32_t input, int64_t *size, Status *st);

/* An input to try a graph with: random numbers of its range, the number of an integer, the default of an input that has one; of the size given or known. */
bool random_input(const Given *given, const Graph *g, uint32_t input, Tensor *t, Status *st);
void fill_random(Tensor *t, double lo, double hi);       /* f32; other types stay zero */

#endif
