/* test_session.c - a session makes the variables that are needed, when they are: in any order, the same bits; lets and their data the same way. */
#include "check.h"
#include "session.h"

#include <string.h>

static bool equal(const Tensor *a, const Tensor *b)
{
    return a->data && b->data && a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof(int64_t) * (size_t)a->rank) &&
           !memcmp(a->data, b->data, (size_t)tensor_count(a) * dtype_size(a->dtype));
}

static void open(Session *s, const char *path)
{
    Status         st = { 0 };
    SessionOptions o = { .seed = 7 };
    CHECK(session_open(s, path, &o, &st), "%s", st.message);
}

/* One let's picture is not there: only who needs that one is told. */
static void lets(void)
{
    Session s;
    Status  st = { 0 };
    open(&s, SOURCE_DIR "/tests/cli/lets.graph");
    const Graph *g = session_find_graph(&s, "without", &st);
    CHECK(g && session_prepare(&s, g, &st), "%s", st.message);
    CHECK(s.datas[0] && !s.datas[1], "data that nothing needed reads is open");
    g = session_find_graph(&s, "with", &st);
    CHECK(g && !session_prepare(&s, g, &st) && strstr(st.message, "data 'lost'"), "%s", st.message);
    session_close(&s);
}

static void variables(void)
{
    Session  part, all;
    Status   st = { 0 };
    uint32_t mine = 0, others = 0;
    open(&part, SOURCE_DIR "/graphs/models/dcgan.graph");
    open(&all, SOURCE_DIR "/graphs/models/dcgan.graph");
    const Graph *g = session_find_graph(&part, "sample", &st);
    CHECK(g && session_prepare(&part, g, &st) && session_make_vars(&all, &st), "%s", st.message);
    for (uint32_t i = 0; i < part.model->vars.n; i++) {
        bool needed = false;
        for (Ref r = 1; r < g->nodes.n; r++)
            needed |= node(g, r)->op == OP_var && node_attrs(g, r)[0] == (int64_t)i;
        CHECK((part.vars[i].data != NULL) == needed, "%s is %s", part.model->vars.at[i].name, needed ? "needed" : "not needed");
        mine += needed;
        others += !needed;
    }
    CHECK(mine > 10 && others > 20, "%u variables of the export, %u others", mine, others);
    CHECK(session_make_vars(&part, &st), "%s", st.message);
    for (uint32_t i = 0; i < part.model->vars.n; i++)
        CHECK(equal(&part.vars[i], &all.vars[i]), "%s depends on when it was made", part.model->vars.at[i].name);
    session_close(&part);
    session_close(&all);
}

int main(void)
{
    variables();
    lets();
    return check_done();
}
