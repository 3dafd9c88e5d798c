/* random_check.h - one case on one setting: native results against the interpreter's, and the same bits for another number of threads and another plan of memory. */
#ifndef PASTICHE_TESTS_RANDOM_CHECK_H
#define PASTICHE_TESTS_RANDOM_CHECK_H

#include "closeness.h"
#include "launch.h"
#include "program.h"
#include "random_net.h"

typedef struct {
    const char *cpu;
    int         winograd;          /* of native.h */
    int         threads;
    Passes      off;
    Op          fault;             /* not OP_const: every stored result of this op is made wrong by a hundredth, to see that it is found */
    bool        dies;              /* or the process dies of it */
} CaseSetting;

/* EDGE: a decision hangs on rounding, so the case says nothing with these numbers; INVALID: it cannot run at all */
typedef enum { VERDICT_PASS, VERDICT_FAIL, VERDICT_EDGE, VERDICT_INVALID } VerdictKind;
typedef struct { VerdictKind kind; uint32_t compared, loose; char text[400]; } Verdict;      /* loose: results that f32 says nothing about */

static const double LOOSE = 0.03;

static inline const char *winograd_name(int w) { return w == WINOGRAD_ALWAYS ? "always" : w == WINOGRAD_NEVER ? "never" : "pays"; }

static inline bool verdict(Verdict *v, VerdictKind kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static inline bool verdict(Verdict *v, VerdictKind kind, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(v->text, sizeof v->text, fmt, ap);
    va_end(ap);
    v->kind = kind;
    return false;
}

/* ---- a fault on purpose ---- */

static inline void spoil(void *setting, const KernelRun *run)
{
    const CaseSetting *s = setting;
    uint32_t buffers[64], n = values_made(run->f, run->kernel, buffers, COUNT(buffers));
    for (uint32_t i = 0; i < n; i++) {
        const Buffer *b = &run->f->buffers.at[buffers[i]];
        int64_t       elems;
        if (node(run->g, b->value)->op != s->fault || b->layout.dtype != DT_F32 || !dim_eval(run->g->dims, b->elems, run->binds, run->nbinds, &elems))
            continue;
        if (s->dies)
            abort();
        float *at = run->at[buffers[i]];
        for (int64_t j = 0; j < elems; j++)
            at[j] *= 1.01f;
    }
}

/* ---- running ---- */

typedef struct { Tensor *outputs, *vars; uint32_t nout, nvars; } CaseRun;

static inline void case_run_free(CaseRun *r)
{
    for (uint32_t i = 0; i < r->nout; i++)
        tensor_free(&r->outputs[i]);
    for (uint32_t i = 0; i < r->nvars; i++)
        tensor_free(&r->vars[i]);
    free(r->outputs);
    free(r->vars);
    *r = (CaseRun){ 0 };
}

static inline RunState case_state(void) { return (RunState){ .runtime = { 7, 2, 0.25, 100, 7 }, .rng = { 1234567890123u, 7 } }; }

static inline bool case_native(const Case *c, const CaseSetting *s, int threads, bool guard, const Tensor *inputs, const Tensor *vars, CaseRun *out, Status *st)
{
    ExecOptions o = { .cpu = s->cpu, .threads = threads, .no_cache = true, .off = s->off, .exact = s->winograd == WINOGRAD_NEVER,
                      .winograd_always = s->winograd == WINOGRAD_ALWAYS };
    RunState    rs = case_state();
    CaseSetting copy = *s;
    *out = (CaseRun){ xmalloc((c->g->outputs.n + 1) * sizeof(Tensor)), xmalloc((c->nvars + 1) * sizeof(Tensor)), c->g->outputs.n, c->nvars };
    for (uint32_t i = 0; i < c->nvars; i++)
        if (vars[i].data && !tensor_copy(&out->vars[i], &vars[i], vars[i].dtype, st))
            return false;
    plan_guard = guard ? 128 : 0;
    launch_parallel_from = 0;
    Program *p = program_new(NULL, c->g, &o, st);
    if (p && s->fault != OP_const)
        program_watch(p, spoil, &copy);
    bool ok = p && program_run(p, inputs, out->vars, &rs, out->outputs, NULL, st);
    program_free(p);
    return ok;
}

/* ---- comparing ---- */

static inline bool same_bits(const Tensor *a, const Tensor *b)
{
    if (!a->data || !b->data)
        return !a->data && !b->data;
    return tensor_count(a) == tensor_count(b) && (!tensor_count(a) || !memcmp(a->data, b->data, (size_t)tensor_count(a) * dtype_size(a->dtype)));
}

static inline bool all_moderate(const Tensor *t)
{
    for (int64_t i = 0, n = tensor_count(t); i < n; i++)
        if (!(fabs(tensor_get(t, i)) < 1e30))
            return false;
    return true;
}

static inline bool compare_results(const Case *c, const Expected *e, const CaseRun *got, Verdict *v)
{
    for (uint32_t i = 0; i < e->n; i++) {
        bool          out = i < got->nout;
        const Tensor *t = out ? &got->outputs[i] : &got->vars[c->g->writes.at[i - got->nout].var];
        const char   *what = out ? c->g->outputs.at[i].name : "written";
        int64_t       at;
        double        off = distance(&e->values[i], t, &at);
        if (tensor_count(t) != tensor_count(&e->values[i]))
            return verdict(v, VERDICT_FAIL, "result %u (%s) has another size", i, what);
        if (!(e->tolerance[i] < LOOSE) || !all_moderate(&e->values[i])) {
            v->loose++;
            continue;
        }
        v->compared++;
        if (!(off <= e->tolerance[i]))
            return verdict(v, VERDICT_FAIL, "result %u (%s) at element %lld is %.9g, expected %.9g: off by %.3g, tolerance %.3g", i, what, (long long)at,
                           tensor_get(t, at), tensor_get(&e->values[i], at), off, e->tolerance[i]);
    }
    return true;
}

static inline bool compare_bits(const CaseRun *a, const CaseRun *b, const char *how, Verdict *v)
{
    for (uint32_t i = 0; i < a->nout; i++)
        if (!same_bits(&a->outputs[i], &b->outputs[i]))
            return verdict(v, VERDICT_FAIL, "output %u has other bits %s", i, how);
    for (uint32_t i = 0; i < a->nvars; i++)
        if (!same_bits(&a->vars[i], &b->vars[i]))
            return verdict(v, VERDICT_FAIL, "variable %u has other bits %s", i, how);
    return true;
}

static inline bool check_native_case(const Case *c, const CaseSetting *s, const Tensor *inputs, const Tensor *vars, const Expected *e, Verdict *v)
{
    CaseRun first = { 0 }, again = { 0 };
    Status  st = { 0 };
    int     other = s->threads == 1 ? 2 : 1;
    bool    ok = case_native(c, s, s->threads, false, inputs, vars, &first, &st) || verdict(v, VERDICT_FAIL, "%s", st.message);
    ok = ok && compare_results(c, e, &first, v);
    ok = ok && (case_native(c, s, other, true, inputs, vars, &again, &st) || verdict(v, VERDICT_FAIL, "with %d threads and guarded memory: %s", other, st.message));
    ok = ok && compare_bits(&first, &again, "for another number of threads and no memory used twice", v);
    case_run_free(&first);
    case_run_free(&again);
    return ok;
}

static inline Verdict check_case(const Case *c, const CaseSetting *s)
{
    Verdict   v = { 0 };
    Status    st = { 0 };
    Expected  e;
    RunState  rs = case_state();
    uint32_t  n = c->g->outputs.n + c->g->writes.n;
    Tensor   *inputs = xmalloc((c->g->inputs.n + 1) * sizeof *inputs), *vars = xmalloc((c->nvars + 1) * sizeof *vars);
    Ref      *want = xmalloc((n + 1) * sizeof *want);
    for (uint32_t i = 0; i < n; i++)
        want[i] = i < c->g->outputs.n ? c->g->outputs.at[i].value : c->g->writes.at[i - c->g->outputs.n].value;
    if (!case_tensors(c, inputs, vars)) {
        verdict(&v, VERDICT_INVALID, "sizes do not fit");
    } else if (!expect_values(c->g, inputs, vars, &rs, want, n, true, 0, &e, &st)) {
        verdict(&v, VERDICT_INVALID, "%s", st.message);
    } else {
        if (e.edge)
            verdict(&v, VERDICT_EDGE, "'%s' (%%%u) decides by a rounding", op_info[node(c->g, e.edge)->op].name, e.edge);
        else
            check_native_case(c, s, inputs, vars, &e, &v);
        expected_free(&e);
    }
    for (uint32_t i = 0; i < c->g->inputs.n; i++)
        tensor_free(&inputs[i]);
    for (uint32_t i = 0; i < c->nvars; i++)
        tensor_free(&vars[i]);
    free(inputs);
    free(vars);
    free(want);
    return v;
}

#endif
