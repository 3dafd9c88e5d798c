/* test_tune.c - the database of block sizes: text and back, damaged lines, what later compiles make of it; and a search, in which no candidate may change a bit.
 */
#include "check.h"
#include "program.h"
#include "session.h"
#include "tune.h"
#include "tune_check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char body[] = "module M()(x: f32[N, 16, 14, 14]) -> f32[N, 10] {\n"
                           "    y = x |> wide: conv(48, 5, pad: 2) |> relu |> down: conv(32, 4, stride: 2, pad: 1) |> relu\n"
                           "    z = y |> up: conv_t(24, 4, stride: 2, pad: 1) |> tanh |> three: conv(40, 3, pad: 1)\n"
                           "    return z |> narrow: conv(3, 5, pad: 2) |> flatten |> linear(10)\n"
                           "}\nnet D = M()\noptim o = sgd(lr: 0.1)\n"
                           "step fit(x: f32[N, 16, 14, 14]) {\n    loss = mean(square(D(x)))\n    minimize loss over D using o\n    report loss\n}\n"
                           "export f(x: f32[N, 16, 14, 14]) -> f32[N, 10] { return D.eval(x) }\n";

static char folder[] = "/tmp/pastiche_tune.XXXXXX";

typedef struct { Session s; Graph *g; Tensor x; } Opened;

static bool open_graph(Opened *o, const char *name)
{
    char           path[256];
    Status         st = { 0 };
    SessionOptions so = { 0 };
    const int64_t  shape[4] = { 3, 16, 14, 14 };
    *o = (Opened){ 0 };
    snprintf(path, sizeof path, "%s/a.graph", folder);
    FILE *f = fopen(path, "w");
    fputs(body, f);
    fclose(f);
    bool ok = session_open(&o->s, path, &so, &st);
    o->g = ok ? session_find_graph(&o->s, name, &st) : NULL;
    ok = o->g && session_prepare_random(&o->s, o->g, &st) && tensor_alloc(&o->x, DT_F32, 4, shape, &st);
    CHECK(ok, "%s", st.message);
    for (int64_t k = 0; ok && k < tensor_count(&o->x); k++)
        tensor_set(&o->x, k, (double)(float)rng_normal((Rng){ 5, 0 }, 9, (uint64_t)k));
    unlink(path);
    return ok;
}

static void close_graph(Opened *o)
{
    tensor_free(&o->x);
    session_close(&o->s);
}

/* The result of export f with a database (NULL: the user's); its contractions with sizes from there. */
static uint64_t run(Opened *o, const char *cpu, const TuneDb *db, uint32_t *tuned)
{
    ExecOptions e = { .cpu = cpu, .threads = 2, .tuned = db };
    Status      st = { 0 };
    Tensor      y = { 0 };
    RunState    rs = { .rng = { 1, 1 } };
    uint64_t    bits = 0;
    Program    *p = program_new(o->s.model, o->g, &e, &st);
    CHECK(p && program_run(p, &o->x, o->s.vars, &rs, &y, NULL, &st), "%s", st.message);
    if (p) {
        *tuned = program_facts(p).tuned;
        bits = hash_bytes(y.data, (size_t)tensor_count(&y) * 4, 3);
    }
    tensor_free(&y);
    program_free(p);
    return bits;
}

/* ---- text ---- */

static void test_text(void)
{
    TuneDb *db = tune_db_new(), *again = tune_db_new();
    Text    a = { 0 }, b = { 0 };
    tune_db_set(db, "conv 1x2x3x4 5 algo 1 avx2 0", (int[KNOBS]){ [KNOB_VECTORS] = 2, [KNOB_CHUNK] = 7 }, 12.5, 20);
    tune_db_set(db, "matmul ?x4 4x9 0,0 algo 11 avx2 0", (int[KNOBS]){ [KNOB_ROWS] = 3 }, 1, 2);
    tune_db_set(db, "conv 1x2x3x4 5 algo 1 avx2 0", (int[KNOBS]){ [KNOB_COLS] = 4 }, 11, 20);
    tune_db_print(db, &a);
    tune_db_read(again, a.at, "x");
    tune_db_print(again, &b);
    CHECK(!strcmp(a.at, b.at) && strstr(a.at, "avx2 0 | cols 4 | 11.0 us, estimated 20.0\n") && !strstr(a.at, "vectors"), "%s%s", a.at, b.at);
    CHECK(!tune_db_warning(again), "%s", tune_db_warning(again));
    text_free(&a);
    text_free(&b);
    tune_db_free(db);
    tune_db_free(again);
    static const char *const damaged[] = { "conv", "conv | vectors 2", "conv | vectors 2 | ", "conv | vectors | 1 us, estimated 2", "conv | vectors 0 | 1 us, estimated 2", "conv | height 2 | 1 us, estimated 2",
                                           "conv | vectors 2 vectors 3 | 1 us, estimated 2", "conv |  | 1 us, estimated 2", "conv | vectors 99999999999 | 1 us, estimated 2", " | cols 2 | 1 us, estimated 2",
                                           "\x01\xff\xfe", "conv | cols 2 junk | 1 us, estimated 2" };
    for (size_t i = 0; i < COUNT(damaged); i++) {
        TuneDb *d = tune_db_new();
        Text    t = { 0 }, out = { 0 };
        text_addf(&t, "# head\n%s\ngood | cols 2 | 1 us, estimated 2\n", damaged[i]);
        tune_db_read(d, t.at, "tuned.txt");
        CHECK(tune_db_warning(d) && strstr(tune_db_warning(d), "tuned.txt:2: "), "'%s': %s", damaged[i], tune_db_warning(d) ? tune_db_warning(d) : "no warning");
        tune_db_print(d, &out);
        CHECK(strstr(out.at, "\ngood | cols 2 |"), "what is not damaged is read: %s", out.at);
        text_free(&t);
        text_free(&out);
        tune_db_free(d);
    }
}

/* ---- compiles read it ---- */

static void test_reading(const char *cpu)
{
    Opened   o;
    uint32_t tuned = 9, n = 0;
    Status   st = { 0 };
    TuneDb  *none = tune_db_new(), *db = tune_db_new();
    if (!open_graph(&o, "f"))
        return;
    uint64_t plain = run(&o, cpu, none, &tuned);
    CHECK(tuned == 0, "%u", tuned);
    ExecOptions e = { .cpu = cpu, .tuned = none };
    Program    *p = program_new(o.s.model, o.g, &e, &st);
    for (uint32_t i = 0; p && i < program_fusion(p)->kernels.n; i++) {
        const Fused *k = program_fusion(p)->kernels.at[i];
        int          unroll = k->kind == FUSED_CONTRACT ? contract_knob(&k->plan, KNOB_UNROLL) : 0;
        if (unroll < 2)
            continue;
        char *key = tune_key(&k->plan);
        tune_db_set(db, key, (int[KNOBS]){ [KNOB_UNROLL] = unroll / 2 }, 1, 2);
        free(key);
        n++;
    }
    program_free(p);
    CHECK(n >= 3, "%u contractions have an unrolling", n);
    uint64_t bits = run(&o, cpu, db, &tuned);
    CHECK(tuned == n && bits == plain, "%u of %u tuned, the result is %s", tuned, n, bits == plain ? "the same" : "another");
    /* sizes that do not fit are as if they were not there */
    TuneDb *large = tune_db_new();
    Text    t = { 0 }, edited = { 0 };
    tune_db_print(db, &t);
    for (const char *s = t.at; *s; s++)
        if (!strncmp(s, "| unroll", 8)) {
            text_add(&edited, "| unroll 4001");
            s += strcspn(s + 1, "|") - 1;
        } else {
            text_addn(&edited, s, 1);
        }
    tune_db_read(large, edited.at, "x");
    CHECK(!tune_db_warning(large), "%s", tune_db_warning(large));
    bits = run(&o, cpu, large, &tuned);
    CHECK(tuned == 0 && bits == plain, "%u tuned with sizes that do not fit", tuned);
    text_free(&t);
    text_free(&edited);
    tune_db_free(large);
    tune_db_free(none);
    tune_db_free(db);
    close_graph(&o);
}

/* ---- the user's file ---- */

static void test_user_file(void)
{
    char     path[256];
    uint32_t tuned;
    Opened   o;
    Text     t = { 0 };
    snprintf(path, sizeof path, "%s/tuned.txt", folder);
    setenv("PASTICHE_TUNE", "off", 1);
    CHECK(!tune_db_path(), "off");
    setenv("PASTICHE_TUNE", path, 1);
    char *found = tune_db_path();
    CHECK(found && !strcmp(found, path), "%s", found);
    free(found);
    if (!open_graph(&o, "f"))
        return;
    ExecOptions e = { 0 };
    TuneDb     *none = tune_db_new(), *db = tune_db_new();
    Status      st = { 0 };
    e.tuned = none;
    Program *p = program_new(o.s.model, o.g, &e, &st);
    for (uint32_t i = 0; p && i < program_fusion(p)->kernels.n && !t.n; i++) {
        const Fused *k = program_fusion(p)->kernels.at[i];
        if (k->kind != FUSED_CONTRACT || contract_knob(&k->plan, KNOB_UNROLL) < 2)
            continue;
        char *key = tune_key(&k->plan);
        tune_db_set(db, key, (int[KNOBS]){ [KNOB_UNROLL] = 1 }, 1, 2);
        tune_db_print(db, &t);
        free(key);
    }
    program_free(p);
    FILE *f = fopen(path, "w");
    fprintf(f, "%sdamaged\n", t.at);
    fclose(f);
    run(&o, NULL, NULL, &tuned);                   /* the first that reads it in this process */
    CHECK(tuned == 1, "%u tuned by the user's file", tuned);
    CHECK(tune_db_default() && tune_db_warning(tune_db_default()) && strstr(tune_db_warning(tune_db_default()), "tuned.txt:3: "), "a warning names the line");
    e = (ExecOptions){ .off = pass_bit(PASS_tune) };
    p = program_new(o.s.model, o.g, &e, &st);
    CHECK(p && program_facts(p).tuned == 0, "--passes=-tune");
    program_free(p);
    unlink(path);
    text_free(&t);
    tune_db_free(none);
    tune_db_free(db);
    close_graph(&o);
}

/* ---- a search ---- */

static void test_search(const char *name, const char *cpu)
{
    Opened     o;
    TuneReport r;
    Status     st = { 0 };
    uint32_t   tried = 0;
    if (!open_graph(&o, name))
        return;
    ExecOptions e = { .cpu = cpu, .threads = 2 };
    bool        ok = tune_program(o.s.model, o.g, &e, &o.x, o.s.vars, 6, &r, &st);
    CHECK(ok, "%s", st.message);
    if (ok) {
        CHECK(r.spots.n >= 5 && r.rounds >= 1, "%u spots, %u rounds", r.spots.n, r.rounds);
        for (uint32_t i = 0; i < r.spots.n; i++) {
            tried += r.spots.at[i].tried;
            CHECK(r.spots.at[i].refused == 0, "%s on %s: %s: %u of %u candidates change the result, or cannot be checked", name, cpu, r.spots.at[i].key, r.spots.at[i].refused, r.spots.at[i].tried);
            CHECK(r.spots.at[i].best_us <= r.spots.at[i].estimated_us, "%s: kept though slower", r.spots.at[i].key);
        }
        CHECK(tried >= r.spots.n, "%u tried", tried);
        printf("%s on %s: %u contractions, %u rounds, %u candidates; %.0f us estimated, %.0f best\n", name, cpu, r.spots.n, r.rounds, tried, r.before_us, r.after_us);
        tune_report_free(&r);
    }
    close_graph(&o);
}

/* Every candidate that the search would propose passes the check on its small problem; a wrong one cannot be made by block sizes, so that this can fail is seen
 * by asking for sizes that the small problem does not take. */
static void test_check(const char *cpu)
{
    Opened   o;
    Status   st = { 0 };
    uint32_t n = 0;
    TuneDb  *none = tune_db_new();
    if (!open_graph(&o, "fit"))
        return;
    ExecOptions e = { .cpu = cpu, .tuned = none };
    Program    *p = program_new(o.s.model, o.g, &e, &st);
    for (uint32_t i = 0; p && i < program_fusion(p)->kernels.n; i++) {
        const Fused *k = program_fusion(p)->kernels.at[i];
        int          want[KNOBS] = { 0 }, wrong[KNOBS] = { 0 };
        bool         has = false;
        if (k->kind != FUSED_CONTRACT)
            continue;
        const ContractPlan *plan = program_fusion(p)->plans[k->contract];
        for (int b = 0; b < KNOBS; b++) {
            want[b] = contract_knob(plan, b);
            wrong[b] = want[b] ? 4000 : 0;
            has |= want[b] > 0;
        }
        char *key = tune_key(plan);
        if (has) {
            CHECK(tune_check(plan, want, &e), "%s on %s: its own sizes fail the check", key, cpu);
            CHECK(!tune_check(plan, wrong, &e), "%s on %s: sizes that cannot be pass the check", key, cpu);
        }
        n += has;
        free(key);
    }
    CHECK(n >= 5, "%u contractions", n);
    program_free(p);
    tune_db_free(none);
    close_graph(&o);
}

int main(void)
{
    static const char *const isas[] = { "avx512", "avx2", "baseline" };
    CHECK(mkdtemp(folder), "%s", folder);
    setenv("PASTICHE_CACHE", "off", 1);
    test_text();
    test_user_file();
    for (size_t i = 0; i < COUNT(isas); i++) {
        Target t;
        Status st = { 0 };
        if (!target_detect(isas[i], &t, &st))
            continue;
        test_reading(isas[i]);
        test_check(isas[i]);
        test_search(i ? "f" : "fit", isas[i]);
    }
    rmdir(folder);
    return check_done();
}
