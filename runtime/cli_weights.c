/* cli_weights.c - pastiche weights: of a run's file or a checkpoint, what an export needs and no more. */
#include "cli.h"

#include "files.h"

static int take(const Given *g, Session *s, const char *net, const char *out, bool half)
{
    Status  st = { 0 };
    int32_t only = net ? session_find_net(s, net, &st) : -1;
    if (st.failed)
        return complain("%s", st.message);
    for (int i = 0; g->weights[i]; i++) {
        char        of[128];
        const char *path;
        bool        named = weights_name_net(g->weights[i], of, &path);
        if (!session_read_weights(s, named ? of : NULL, path, NULL, &st))
            return complain("%s", st.message);
    }
    for (uint32_t i = 0; i < s->model->nets.n; i++)
        if ((only < 0 ? !s->model->nets.at[i].frozen : (int32_t)i == only) && !s->given[i])
            return complain("%s has no weights of net '%s'", g->weights[0], s->model->nets.at[i].name);
    return session_write_weights(s, net, out, half, &st) ? 0 : complain("%s", st.message);
}

int command_weights(int argc, char **argv)
{
    static const Option  options[] = { { "--weights", "[NET=]FILE", "a run's weights, or a checkpoint of it; may be repeated" },
                                       { "-o", "OUT.safetensors", "where they go" },
                                       { "--half", NULL, "as 16-bit floats (11 significant bits): half the bytes" },
                                       SESSION_OPTIONS };
    static const Command c = { "weights", "FILE [NET] --weights RUN -o OUT.safetensors ...",
                               "Takes a net's weights out of a run's file or a checkpoint (without NET: those of all nets that train, without optimisers), to go with an export.",
                               options, COUNT(options), 1, 2 };
    static Given g;
    int          status = parse_options(&c, argc, argv, &g);
    if (status >= 0)
        return status;
    const char *out = option_value(&g, "-o"), *net = g.nwords > 1 ? g.words[1] : NULL;
    if (!out || !path_has_ext(out, "safetensors"))
        return complain("say where the weights go: -o OUT.safetensors"), 2;
    if (!g.weights[0])
        return complain("say whose weights: --weights RUN/weights.safetensors"), 2;
    Session s;
    if (!open_session(&g, false, &s))
        return 1;
    status = take(&g, &s, net, out, option_given(&g, "--half"));
    session_close(&s);
    return status;
}
