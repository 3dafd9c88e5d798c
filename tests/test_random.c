/* test_random.c - random graphs with gradients, native against the interpreter: every instruction set, Winograd everywhere, nowhere and where it pays, 1 to 3 threads.
 *
 *   test_random                                        500 graphs (100 under the sanitizers), and that faults are found and made small
 *   test_random --graphs N [--seed N] [--minutes M] [--layers N] [--out DIR] [--workers N]
 *                                                      as tests/random.sh runs it: failing cases are reduced and written to DIR, where it can go on later
 *   test_random --replay FILE.case                     one of those once more
 */
#include "check.h"
#include "case_file.h"
#include "hunt.h"

#include <dirent.h>
#include <sys/stat.h>

/* ---- one failing case as files ---- */

/* Does the file fail as the case does? In a process of its own. */
static bool graph_file_fails(const char *path, const Case *c, const CaseSetting *s)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        Session        session;
        SessionOptions o = { .exec = { .threads = 1 } };
        Status         st = { 0 };
        Case           said;
        bool           open = session_open(&session, path, &o, &st) && case_from_session(&session, c, &said, &st);
        alarm(CASE_SECONDS);
        _exit(!open ? 2 : check_case(&said, s).kind == VERDICT_FAIL);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && (WIFSIGNALED(status) || WEXITSTATUS(status) == 1);
}

static void say_how_to_run(const Case *c, const CaseSetting *s, const char *path, Text *t)
{
    text_addf(t, "# pastiche bisect %s run --cpu %s --threads %d%s", path, s->cpu, s->threads, s->winograd == WINOGRAD_NEVER ? " --exact" : "");
    if (s->off) {
        text_add(t, " --passes=");
        passes_print(s->off, t);
    }
    for (uint32_t i = 0; i < c->g->inputs.n; i++) {
        const GraphInput *in = &c->g->inputs.at[i];
        for (int a = 0; a < in->rank; a++) {
            int64_t v = 0;
            case_size(c, in->shape[a], &v);
            text_addf(t, "%s%s%s%lld", a ? "x" : " --size ", a ? "" : in->name, a ? "" : "=", (long long)v);
        }
    }
    text_add(t, "\n");
}

/* NAME.case and NAME.graph in dir. true: the .graph file fails too. */
static bool write_case(const Case *c, const CaseSetting *s, const char *dir, uint64_t seed, const char *what)
{
    char path[600];
    Text t = { 0 }, body = { 0 };
    snprintf(path, sizeof path, "%s/%llu.case", dir, (unsigned long long)seed);
    case_print(c, s, &t);
    if (!text_to_file(path, &t))
        perror(path);
    text_free(&t);
    snprintf(path, sizeof path, "%s/%llu.graph", dir, (unsigned long long)seed);
    bool said = say_case(c, &body), fails = false;
    text_addf(&t, "# random graph %llu on %s, winograd %s, %d threads: %s\n", (unsigned long long)seed, s->cpu, winograd_name(s->winograd), s->threads, what);
    say_how_to_run(c, s, path, &t);
    text_add(&t, "\n");
    text_addn(&t, body.at, body.n);
    if (said && text_to_file(path, &t)) {
        fails = graph_file_fails(path, c, s);
        printf("  written to %s%s\n", path, fails ? "" : ", which does not fail by itself: see the .case file beside it");
    } else if (!said) {
        printf("  not everything in it has words in the language: see %s/%llu.case\n", dir, (unsigned long long)seed);
    }
    text_free(&t);
    text_free(&body);
    return fails;
}

static void print_case(const Case *c, const CaseSetting *s)
{
    Text t = { 0 };
    case_print(c, s, &t);
    puts(t.at);
    text_free(&t);
}

static int live_nodes(const Case *c) { return (int)c->g->nodes.n - 1; }

/* Each failing seed made small, printed, and written to dir (may be NULL) unless it was before. */
static void report_failures(const Hunt *h, const char *dir, uint32_t most)
{
    for (uint32_t i = 0; i < h->nfailures && i < most; i++) {
        DimTable   *dims = dims_new();
        Case        c;
        CaseSetting s;
        char        text[400] = "", path[600];
        snprintf(path, sizeof path, "%s/%llu.case", dir ? dir : "", (unsigned long long)h->failures[i].seed);
        if (dir && access(path, F_OK) == 0) {
            printf("graph %llu: %s\n  see %s\n", (unsigned long long)h->failures[i].seed, h->failures[i].text, path);
            dims_free(dims);
            continue;
        }
        printf("graph %llu: %s\n", (unsigned long long)h->failures[i].seed, h->failures[i].text);
        fflush(stdout);
        if (hunt_reduce(h, h->failures[i].seed, dims, &c, &s, text)) {
            printf("  reduced to %d nodes: %s\n", live_nodes(&c), text);
            if (dir)
                write_case(&c, &s, dir, h->failures[i].seed, text);
            else
                print_case(&c, &s);
        } else {
            printf("  it does not fail when run alone\n");
        }
        graph_free(c.g);
        dims_free(dims);
    }
}

/* ---- the tester, tested ---- */

static bool has_op(const Graph *g, Op op)
{
    for (Ref r = 1; r < g->nodes.n; r++)
        if (node(g, r)->op == op)
            return true;
    return false;
}

/* A kernel wrong by a hundredth must be found among a few graphs and come down to a few nodes, in both kinds of files. */
static void test_fault(Op op, int most_nodes)
{
    Hunt        h = { .first = 1000, .graphs = 20, .workers = 2, .most = 5, .fault = op };
    DimTable   *dims = dims_new();
    Case        c = { 0 }, again;
    CaseSetting s, read;
    char        text[400] = "", why[600], path[64] = "/tmp/pastiche-fault-XXXXXX";
    hunt(&h);
    CHECK(h.totals.failed > 0 && h.totals.failed == h.nfailures, "a wrong %s was found in none of %llu graphs", op_info[op].name, (unsigned long long)h.graphs);
    if (h.nfailures) {
        CHECK(hunt_reduce(&h, h.failures[0].seed, dims, &c, &s, text), "graph %llu fails again", (unsigned long long)h.failures[0].seed);
        CHECK(live_nodes(&c) <= most_nodes && has_op(c.g, op), "a wrong %s: reduced to %d nodes", op_info[op].name, live_nodes(&c));
        CHECK(strstr(text, "expected"), "what is wrong is told: %s", text);
        if (live_nodes(&c) > most_nodes)
            print_case(&c, &s);
        Text t = { 0 }, u = { 0 };
        case_print(&c, &s, &t);
        CHECK(case_parse(t.at, dims, &again, &read, why, sizeof why), "%s", why);
        if (again.g) {
            case_print(&again, &read, &u);
            CHECK(!strcmp(t.at, u.at), "a case reads back as it was printed:\n%s\n%s", t.at, u.at);
            graph_free(again.g);
        }
        CHECK(mkdtemp(path) && write_case(&c, &s, path, h.failures[0].seed, text), "a wrong %s: the .graph file fails as well", op_info[op].name);
        char file[128];
        snprintf(file, sizeof file, "%s/%llu.case", path, (unsigned long long)h.failures[0].seed);
        remove(file);
        snprintf(file, sizeof file, "%s/%llu.graph", path, (unsigned long long)h.failures[0].seed);
        remove(file);
        rmdir(path);
        text_free(&t);
        text_free(&u);
        graph_free(c.g);
    }
    free(h.failures);
    dims_free(dims);
}

/* A process that dies is a failing case, and the cases behind it run. */
static void test_death(void)
{
    Hunt h = { .first = 2000, .graphs = 20, .workers = 2, .most = 4, .fault = OP_conv_dw, .dies = true };
    hunt(&h);
    uint64_t n = h.totals.passed + h.totals.failed + h.totals.edges;
    CHECK(n == h.graphs && h.totals.failed > 0 && h.totals.passed > 0, "%llu of %llu cases ran, %llu failed", (unsigned long long)n, (unsigned long long)h.graphs,
          (unsigned long long)h.totals.failed);
    for (uint32_t i = 0; i < h.nfailures; i++)
        CHECK(strstr(h.failures[i].text, "died"), "%s", h.failures[i].text);
    free(h.failures);
}

/* What a case says in the language computes the same numbers. */
static int compare_said(void)
{
    enum { first = 5000, count = 50 };
    char path[64] = "/tmp/pastiche-said-XXXXXX";
    int  file = mkstemp(path), compared = 0;
    CHECK(file >= 0, "%s", path);
    for (uint64_t seed = first; seed < first + count; seed++) {
        DimTable *dims = dims_new();
        RandomNet n;
        Case      said;
        Text      t = { 0 };
        Session   s;
        Status    st = { 0 };
        SessionOptions o = { 0 };
        random_net(&n, dims, seed, 6);
        dce(n.c.g);
        n.c.g->writes.n = 0;                     /* their variables have other numbers in the file */
        dce(n.c.g);
        bool open = say_case(&n.c, &t) && text_to_file(path, &t) && session_open(&s, path, &o, &st);
        CHECK(open, "graph %llu: %s\n%s", (unsigned long long)seed, st.message, t.at);
        if (open && !has_op(n.c.g, OP_uniform) && !has_op(n.c.g, OP_normal) && case_from_session(&s, &n.c, &said, &st)) {
            uint32_t nout = n.c.g->outputs.n;
            Tensor   inputs[RG_INPUTS] = { 0 }, vars[RG_INPUTS] = { 0 }, theirs[RG_INPUTS] = { 0 };
            Tensor  *a = xmalloc(nout * sizeof *a), *b = xmalloc(nout * sizeof *b);
            RunState rs = case_state();
            CHECK(case_tensors(&n.c, inputs, vars), "numbers");
            for (uint32_t i = 0; i < s.model->vars.n; i++)
                theirs[i] = vars[strtoul(strrchr(s.model->vars.at[i].name, 'v') + 1, NULL, 10)];
            bool ran = reference_run(n.c.g, inputs, vars, &rs, false, a, NULL, &st) && reference_run(said.g, inputs, theirs, &rs, false, b, NULL, &st);
            CHECK(ran && said.g->outputs.n == nout, "graph %llu: %s", (unsigned long long)seed, st.message);
            for (uint32_t i = 0; ran && i < nout; i++) {
                double off = distance(&a[i], &b[i], NULL);
                CHECK(off < 1e-9, "graph %llu: output %u is off by %g when said in the language", (unsigned long long)seed, i, off);
                compared++;
            }
        }
        fflush(stdout);
        text_free(&t);
        random_net_free(&n);
        dims_free(dims);
    }
    remove(path);
    CHECK(compared > count, "only %d results were compared", compared);
    return checks_failed != 0;
}

/* In a process of its own: what runs graphs starts threads. */
static void test_apart(const char *name, int (*test)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        checks_failed = 0;
        int failed = test();
        fflush(stdout);
        _exit(failed);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status %d", name, status);
}

static void print_totals(const Totals *t)
{
    printf(": %llu passed, %llu failed, %llu decided by a rounding, %llu invalid; %llu results compared, %llu too sensitive for f32\n", (unsigned long long)t->passed,
           (unsigned long long)t->failed, (unsigned long long)t->edges, (unsigned long long)t->invalid, (unsigned long long)t->compared, (unsigned long long)t->loose);
}

static void test_graphs(uint64_t count)
{
    Hunt h = { .first = 1, .graphs = count, .workers = 2, .most = 3, .fault = OP_const };
    hunt(&h);
    printf("%llu graphs", (unsigned long long)count);
    print_totals(&h.totals);
    CHECK(h.totals.failed == 0 && h.totals.invalid == 0, "%llu graphs failed", (unsigned long long)(h.totals.failed + h.totals.invalid));
    CHECK(h.totals.passed * 20 >= count * 19, "only %llu of %llu graphs say something", (unsigned long long)h.totals.passed, (unsigned long long)count);
    CHECK(h.totals.compared > 10 * h.totals.loose, "only %llu of %llu results say something", (unsigned long long)h.totals.compared,
          (unsigned long long)(h.totals.compared + h.totals.loose));
    report_failures(&h, NULL, 3);
    free(h.failures);
}

/* ---- cases that failed once ---- */

static bool read_case(const char *path, DimTable *dims, Case *c, CaseSetting *s)
{
    Text   t = { 0 };
    char   why[600] = "cannot be read", buf[4096];
    size_t n;
    FILE  *f = fopen(path, "r");
    *c = (Case){ 0 };
    while (f && (n = fread(buf, 1, sizeof buf, f)) > 0)
        text_addn(&t, buf, n);
    if (f)
        fclose(f);
    bool ok = f && case_parse(t.at ? t.at : "", dims, c, s, why, sizeof why);
    if (!ok)
        printf("%s: %s\n", path, why);
    text_free(&t);
    return ok;
}

static int replay(const char *path)
{
    static const char *const kinds[] = { "passes", "fails", "hangs on a rounding", "is invalid" };
    Case        c;
    CaseSetting s;
    DimTable   *dims = dims_new();
    if (!read_case(path, dims, &c, &s))
        return 2;
    Verdict v = check_case(&c, &s);
    printf("%s %s%s%s\n", path, kinds[v.kind], v.text[0] ? ": " : "", v.text);
    return v.kind == VERDICT_FAIL;
}

/* tests/cases/NAME.case, each on every instruction set and with Winograd's three ways, in a process of its own. */
static int replay_cases(void)
{
    const char    *folder = SOURCE_DIR "/tests/cases";
    DIR           *d = opendir(folder);
    struct dirent *e;
    int            n = 0;
    while (d && (e = readdir(d))) {
        char        path[600];
        Case        c;
        CaseSetting s;
        DimTable   *dims = dims_new();
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bool ok = strstr(e->d_name, ".case") && read_case(path, dims, &c, &s);
        CHECK(ok || !strstr(e->d_name, ".case"), "%s cannot be read", path);
        for (uint64_t k = 0; k < 9 && ok; k++) {
            CaseSetting now = setting_of(&(Hunt){ .fault = OP_const }, k);
            now.off = s.off;
            Verdict v = check_case(&c, &now);
            CHECK(v.kind == VERDICT_PASS && v.compared, "%s on %s, winograd %s: %s", path, now.cpu, winograd_name(now.winograd), v.text);
            n++;
        }
        if (c.g && ok)
            graph_free(c.g);
        dims_free(dims);
    }
    CHECK(n > 0, "no cases in %s", folder);
    if (d)
        closedir(d);
    return checks_failed != 0;
}

/* ---- the command ---- */

static int hunt_command(int argc, char **argv)
{
    Hunt        h = { .first = 1, .graphs = 20000, .workers = (int)sysconf(_SC_NPROCESSORS_ONLN), .most = 9, .fault = OP_const };
    const char *out = "out/random";
    char        log[600];
    for (int i = 1; i + 1 < argc; i += 2) {
        double v = strtod(argv[i + 1], NULL);
        if (!strcmp(argv[i], "--graphs"))
            h.graphs = (uint64_t)v;
        else if (!strcmp(argv[i], "--seed"))
            h.first = (uint64_t)v;
        else if (!strcmp(argv[i], "--minutes"))
            h.seconds = v * 60;
        else if (!strcmp(argv[i], "--workers"))
            h.workers = (int)v;
        else if (!strcmp(argv[i], "--layers"))
            h.most = v < 2 ? 2 : (int)v;
        else if (!strcmp(argv[i], "--out"))
            out = argv[i + 1];
        else
            argc = 0;
    }
    if (argc % 2 == 0 || h.graphs == 0) {
        fputs("usage: test_random --graphs N [--seed N] [--minutes M] [--layers N] [--out DIR] [--workers N] | --replay FILE.case\n", stderr);
        return 2;
    }
    for (char *p = strcpy(log, out); (p = strchr(p + 1, '/'));)
        *p = 0, mkdir(log, 0777), *p = '/';
    mkdir(out, 0777);
    snprintf(log, sizeof log, "%s/seed-%llu.log", out, (unsigned long long)h.first);
    h.log = log;
    hunt(&h);
    const Totals *t = &h.totals;
    uint64_t      n = t->passed + t->failed + t->edges + t->invalid;
    printf("%llu graphs from seed %llu%s", (unsigned long long)n, (unsigned long long)h.first, h.out_of_time ? " (out of time: the same command goes on)" : "");
    print_totals(t);
    report_failures(&h, out, MAX_FAILURES);
    bool failed = t->failed || t->invalid;
    free(h.failures);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--replay"))
        return replay(argv[2]);
    if (argc > 1 && strcmp(argv[1], "--tester"))
        return hunt_command(argc, argv);
    if (argc == 1)
        test_graphs(sanitized() ? 100 : 500);
    test_fault(OP_conv_dw, 4);
    test_fault(OP_matmul, 4);
    test_fault(OP_sum, 4);
    test_death();
    test_apart("cases said in the language", compare_said);
    test_apart("cases that failed once", replay_cases);
    return check_done();
}
