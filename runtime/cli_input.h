/* cli_input.h - inputs of an export as the command line gives them: [NAME=]INPUT words, made into tensors. Complaints are printed. */
#ifndef PASTICHE_CLI_INPUT_H
#define PASTICHE_CLI_INPUT_H

#include "../include/pastiche.h"
#include "cli.h"
#include "files.h"

/* words[2..] by name, the others in order, into texts[] (NULL: not given, it has a default). The exit status. */
int  place_inputs(const pastiche_program *p, const Given *g, const char **texts);
/* All inputs; the items of those without a size of their own are `count`, or when that is 0 as many as another input has. in[i].data is the caller's, also after a failure. */
bool make_inputs(pastiche_model *m, pastiche_program *p, const char *const *texts, int64_t count, pastiche_tensor *in);

/* The pictures and .npy files of a folder by name, sorted; none is a complaint. */
bool list_inputs(const char *folder, FileNames *names);

#endif
