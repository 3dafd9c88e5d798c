/* hunt.h - many random cases in processes of their own, so that a crash is a failing case like others and compiled code does not pile up.
 *
 *   Hunt h = { .first = 1, .graphs = 500, .workers = 2, .most = 5, .fault = OP_const };
 *   hunt(&h);                      h.totals; h.failures says which seeds failed and how
 *   hunt_reduce(&h, &failure, ..)  a failing seed made small (reduce_case.h), each trial in a process too
 *
 * Seeds go in chunks of CHUNK; with a log file, a chunk that is done has its line there, and a hunt begun again skips it.
 * The process that hunts must not have started threads (OpenMP does not survive a fork).
 */
#ifndef PASTICHE_TESTS_HUNT_H
#define PASTICHE_TESTS_HUNT_H

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "random_check.h"
#include "reduce_case.h"

enum { CHUNK = 50, MAX_WORKERS = 16, MAX_FAILURES = 200, CASE_SECONDS = 120, EDGE_TRIES = 4 };

typedef struct { uint64_t passed, failed, edges, invalid, compared, loose; } Totals;
typedef struct { uint64_t seed; char text[400]; } Failure;
typedef struct {
    uint64_t first, graphs;
    double   seconds;              /* 0: until all are done */
    int      workers, most;
    Op       fault; bool dies;     /* as CaseSetting's */
    const char *log;               /* may be NULL */
    Totals   totals;
    Failure *failures; uint32_t nfailures;
    bool     out_of_time;
} Hunt;

/* What a worker tells its parent, in shared memory. */
typedef struct { pid_t pid; uint64_t chunk, seed; Totals t; Failure failures[CHUNK]; uint32_t nfailures; bool done; } Worker;

static inline double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Each pass alone off, each alone on, all off; then every subset in turn, well mixed: an odd factor only permutes the numbers below a power of two. */
static inline Passes subset_of_passes(uint64_t k)
{
    const Passes all = (Passes)(((uint64_t)1 << PASS_COUNT) - 1);
    if (k < PASS_COUNT)
        return pass_bit((PassName)k);
    if (k < 2 * PASS_COUNT)
        return all & ~pass_bit((PassName)(k - PASS_COUNT));
    return k == 2 * PASS_COUNT ? all : (Passes)(k * 0x9E3779B1u) & all;
}

/* Instruction sets that this machine has, Winograd's three ways and 1 to 3 threads, in turn; in every fourth case some passes are off. */
static inline CaseSetting setting_of(const Hunt *h, uint64_t seed)
{
    static const char *const isas[] = { "avx512", "avx2", "baseline" };
    CaseSetting s = { .winograd = (int)(seed / 3 % 3), .threads = 1 + (int)(seed / 9 % 3), .fault = h->fault, .dies = h->dies };
    if (seed % 4 == 3)
        s.off = subset_of_passes(seed / 4);
    for (int i = 0; i < 3; i++) {
        Status st = { 0 };
        Target t;
        s.cpu = isas[(seed + (uint64_t)i) % 3];
        if (target_detect(s.cpu, &t, &st))
            break;
    }
    return s;
}

/* The case of a seed whose decisions do not hang on rounding, if some numbers for it are such. */
static inline Verdict check_seed(const Hunt *h, uint64_t seed, DimTable *dims, RandomNet *n, CaseSetting *s)
{
    Verdict v = { 0 };
    random_net(n, dims, seed, h->most);
    *s = setting_of(h, seed);
    dce(n->c.g);
    for (int i = 0; i < EDGE_TRIES; i++) {
        n->c.seed = seed + ((uint64_t)i << 40);
        v = check_case(&n->c, s);
        if (v.kind != VERDICT_EDGE)
            break;
    }
    return v;
}

/* ---- workers ---- */

static inline void count_verdict(Totals *t, const Verdict *v)
{
    t->passed += v->kind == VERDICT_PASS;
    t->failed += v->kind == VERDICT_FAIL;
    t->edges += v->kind == VERDICT_EDGE;
    t->invalid += v->kind == VERDICT_INVALID;
    t->compared += v->compared;
    t->loose += v->loose;
}

static inline void add_failure(Worker *w, uint64_t seed, const char *text)
{
    if (w->nfailures == CHUNK)
        return;
    w->failures[w->nfailures].seed = seed;
    snprintf(w->failures[w->nfailures++].text, sizeof w->failures[0].text, "%s", text);
}

/* The rest of the worker's chunk, from w->seed. Leaves the process. */
static inline void work(const Hunt *h, Worker *w)
{
    uint64_t end = h->first + h->graphs, last = h->first + (w->chunk + 1) * CHUNK;
    for (; w->seed < last && w->seed < end; w->seed++) {
        DimTable   *dims = dims_new();
        RandomNet   n;
        CaseSetting s;
        alarm(CASE_SECONDS);
        Verdict v = check_seed(h, w->seed, dims, &n, &s);
        count_verdict(&w->t, &v);
        if (v.kind == VERDICT_FAIL || v.kind == VERDICT_INVALID)
            add_failure(w, w->seed, v.text);
        random_net_free(&n);
        dims_free(dims);
    }
    w->done = true;
    _exit(0);
}

static inline void start_worker(const Hunt *h, Worker *w)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        work(h, w);
    w->pid = pid;                  /* w is shared: the child must not write it */
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
}

/* ---- the log ---- */

static inline void read_log(Hunt *h, bool *done, uint64_t chunks)
{
    char  line[600];
    FILE *f = h->log ? fopen(h->log, "r") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long first, v[6];
        int                text = 0;
        if (sscanf(line, "chunk %llu: passed %llu failed %llu edges %llu invalid %llu compared %llu loose %llu", &first, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5]) == 7) {
            uint64_t k = (first - h->first) / CHUNK;
            if (first < h->first || (first - h->first) % CHUNK || k >= chunks || done[k])
                continue;
            done[k] = true;
            Totals t = { v[0], v[1], v[2], v[3], v[4], v[5] };
            h->totals = (Totals){ h->totals.passed + t.passed, h->totals.failed + t.failed, h->totals.edges + t.edges, h->totals.invalid + t.invalid,
                                  h->totals.compared + t.compared, h->totals.loose + t.loose };
        } else if (sscanf(line, "failed %llu: %n", &first, &text) == 1 && text && h->nfailures < MAX_FAILURES) {
            line[strcspn(line, "\n")] = 0;
            h->failures[h->nfailures].seed = first;
            snprintf(h->failures[h->nfailures++].text, sizeof h->failures[0].text, "%s", line + text);
        }
    }
    if (f)
        fclose(f);
}

/* A chunk is done: its lines are written at once. */
static inline void take_chunk(Hunt *h, const Worker *w)
{
    Text t = { 0 };
    for (uint32_t i = 0; i < w->nfailures; i++) {
        text_addf(&t, "failed %llu: %s\n", (unsigned long long)w->failures[i].seed, w->failures[i].text);
        if (h->nfailures < MAX_FAILURES)
            h->failures[h->nfailures++] = w->failures[i];
    }
    text_addf(&t, "chunk %llu: passed %llu failed %llu edges %llu invalid %llu compared %llu loose %llu\n", (unsigned long long)(h->first + w->chunk * CHUNK),
              (unsigned long long)w->t.passed, (unsigned long long)w->t.failed, (unsigned long long)w->t.edges, (unsigned long long)w->t.invalid,
              (unsigned long long)w->t.compared, (unsigned long long)w->t.loose);
    h->totals = (Totals){ h->totals.passed + w->t.passed, h->totals.failed + w->t.failed, h->totals.edges + w->t.edges, h->totals.invalid + w->t.invalid,
                          h->totals.compared + w->t.compared, h->totals.loose + w->t.loose };
    int f = h->log ? open(h->log, O_WRONLY | O_CREAT | O_APPEND, 0666) : -1;
    if (f >= 0) {
        if (write(f, t.at, t.n) != (ssize_t)t.n)
            perror(h->log);
        close(f);
    }
    text_free(&t);
}

/* ---- the hunt ---- */

static inline void end_worker(Hunt *h, Worker *w, int status)
{
    char text[100];
    w->pid = 0;
    if (w->done)
        return;
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (sig == SIGALRM)
        snprintf(text, sizeof text, "took more than %d seconds", CASE_SECONDS);
    else
        snprintf(text, sizeof text, "the process died: %s %d", sig ? "signal" : "exit status", sig ? sig : WEXITSTATUS(status));
    add_failure(w, w->seed, text);
    w->t.failed++;
    w->seed++;
    start_worker(h, w);
}

static inline void hunt(Hunt *h)
{
    uint64_t chunks = (h->graphs + CHUNK - 1) / CHUNK, next = 0;
    bool    *done = xmalloc(chunks + 1);
    Worker  *workers = mmap(NULL, sizeof(Worker) * MAX_WORKERS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double   until = now_seconds() + h->seconds, told = now_seconds();
    int      count = h->workers < 1 ? 1 : h->workers > MAX_WORKERS ? MAX_WORKERS : h->workers, busy = 0;
    h->failures = xmalloc(MAX_FAILURES * sizeof *h->failures);
    read_log(h, done, chunks);
    for (;;) {
        for (int i = 0; i < count; i++) {
            while (next < chunks && done[next])
                next++;
            h->out_of_time |= h->seconds > 0 && now_seconds() > until && next < chunks;
            if (workers[i].pid || next == chunks || h->out_of_time)
                continue;
            memset(&workers[i], 0, sizeof workers[i]);
            workers[i].chunk = next;
            workers[i].seed = h->first + next++ * CHUNK;
            start_worker(h, &workers[i]);
            busy++;
        }
        if (!busy)
            break;
        int   status;
        pid_t pid = wait(&status);
        for (int i = 0; i < count; i++) {
            if (pid <= 0 || workers[i].pid != pid)
                continue;
            end_worker(h, &workers[i], status);
            if (!workers[i].pid) {
                take_chunk(h, &workers[i]);
                busy--;
            }
        }
        if (h->log && now_seconds() > told + 20) {
            told = now_seconds();
            printf("%llu graphs: %llu passed, %llu failed\n", (unsigned long long)(h->totals.passed + h->totals.failed + h->totals.edges + h->totals.invalid),
                   (unsigned long long)h->totals.passed, (unsigned long long)h->totals.failed);
            fflush(stdout);
        }
    }
    munmap(workers, sizeof(Worker) * MAX_WORKERS);
    free(done);
}

/* ---- reducing ---- */

typedef struct { const CaseSetting *setting; char *text; } Trial;       /* text: in shared memory, what the last failing trial said */

/* CaseFails, in a process of its own: a death is a failure. */
static inline bool trial_fails(void *ctx, const Case *c)
{
    Trial *t = ctx;
    int    status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CASE_SECONDS);
        Verdict v = check_case(c, t->setting);
        if (v.kind == VERDICT_FAIL)
            snprintf(t->text, 400, "%s", v.text);
        _exit(v.kind == VERDICT_FAIL);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status) || WEXITSTATUS(status) > 1)
        snprintf(t->text, 400, "the process died: %s %d", WIFSIGNALED(status) ? "signal" : "exit status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

/* The case of a failing seed, as small as it gets; text[400]: what is wrong with it then. false: it does not fail now. */
static inline bool hunt_reduce(const Hunt *h, uint64_t seed, DimTable *dims, Case *c, CaseSetting *s, char *text)
{
    RandomNet n;
    char     *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    Trial     t = { s, shared };
    bool      fails = false;
    random_net(&n, dims, seed, h->most);
    *s = setting_of(h, seed);
    dce(n.c.g);
    *c = n.c;
    for (int i = 0; i < EDGE_TRIES && !fails; i++) {
        c->seed = seed + ((uint64_t)i << 40);
        fails = trial_fails(&t, c);
    }
    Passes off = s->off;
    s->off = 0;
    if (fails && off && !trial_fails(&t, c)) {   /* only as many passes off as it takes */
        s->off = off;
        for (int i = 0; i < PASS_COUNT; i++) {
            s->off &= ~pass_bit((PassName)i);
            s->off |= trial_fails(&t, c) ? 0 : off & pass_bit((PassName)i);
        }
    }
    if (fails)
        reduce_case(c, trial_fails, &t, 3000);
    snprintf(text, 400, "%s", shared);
    munmap(shared, 4096);
    return fails;
}

#endif
