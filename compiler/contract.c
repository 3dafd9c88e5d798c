/* contract.c - conv, conv_dx, conv_dw and matmul: from a node to a plan, from a plan to an emitter.
 *
 * Planning says how operands must be stored (halos included), which operand is repacked, how much scratch partial sums take, and which block sizes
 * the generator gets; see contract.h for who emits what. Every shape has a plan: what no fast kernel takes, contract_generic.c does.
 *
 * Facts about results that callers rely on:
 * - An element is summed in one fixed order that depends on shapes and target only, so any number of threads gives the same bits.
 * - A kernel may compute and store an element twice with the same value (overlapping tiles at the ends of rows), so the result's memory
 *   must not be that of anything an epilogue reads.
 */
#include "contract.h"
#include "tune_db.h"

#include <assert.h>
#include <string.h>

/* ---- decoding ---- */

static int64_t number(const Graph *g, Dim d)
{
    int64_t v;
    return dim_is_const(g->dims, d, &v) ? v : -1;
}

Conv conv_of(const Graph *g, Ref r)
{
    const Node *n = node(g, r);
    const Dim  *in0 = node_shape(g, node_arg(g, r, 0)), *in1 = node_shape(g, node_arg(g, r, 1)), *out = node_shape(g, r);
    Conv        c = { .op = (Op)n->op };
    memcpy(c.x, n->op == OP_conv_dx ? out : in0, sizeof c.x);
    memcpy(c.wt, n->op == OP_conv_dw ? out : in1, sizeof c.wt);
    memcpy(c.g, n->op == OP_conv ? out : n->op == OP_conv_dx ? in0 : in1, sizeof c.g);
    const int64_t *a = node_attrs(g, r);
    for (int i = 0; i < 2; i++) {
        c.stride[i] = (int)a[i];
        c.dilation[i] = (int)a[6 + i];
    }
    for (int i = 0; i < 4; i++)
        c.pad[i] = (int)a[2 + i];
    c.groups = (int)a[8];
    c.N = number(g, c.x[0]);
    if (!dim_eval(g->dims, c.x[0], g->likely.at, g->likely.n, &c.likely))
        c.likely = -1;
    c.C = number(g, c.x[1]);
    c.H = number(g, c.x[2]);
    c.W = number(g, c.x[3]);
    c.K = number(g, c.wt[0]);
    c.Cg = number(g, c.wt[1]);
    c.R = number(g, c.wt[2]);
    c.S = number(g, c.wt[3]);
    c.Ho = number(g, c.g[2]);
    c.Wo = number(g, c.g[3]);
    c.fixed = c.C > 0 && c.K > 0 && c.Cg > 0 && c.R > 0 && c.S > 0 && c.R <= 4096 && c.S <= 4096;
    return c;
}

/* The larger of the zeros needed behind the input over all phases. n_in, n_out: sizes or -1; excess: a bound when they are not known. */
static int behind(const Axis *a, int64_t n_in, int64_t n_out, int i, int excess)
{
    const Phase *ph = &a->at[i];
    if (!ph->taps)
        return 0;
    if (n_in >= 0 && n_out >= 0) {
        if (n_out <= ph->out_first)
            return 0;
        int64_t last = (n_out - 1 - ph->out_first) / a->out_step;
        int64_t need = ph->in_first + last * a->in_step + (int64_t)(ph->taps - 1) * a->tap_step - (n_in - 1);
        return need < 0 ? 0 : need > 1 << 20 ? 1 << 20 : (int)need;
    }
    return excess < 0 ? 0 : excess;
}

static int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static bool axis_conv(const Conv *c, int d, Axis *a)
{
    int64_t n_in = d ? c->W : c->H, n_out = d ? c->Wo : c->Ho;
    *a = (Axis){ .count = 1, .in_step = c->stride[d], .tap_step = c->dilation[d], .out_step = 1, .w_step = 1 };
    a->at[0] = (Phase){ .taps = (int)(d ? c->S : c->R), .in_first = -c->pad[2 * d] };
    a->lo = c->pad[2 * d] > 0 ? c->pad[2 * d] : 0;
    a->hi = behind(a, n_in, n_out, 0, c->pad[2 * d + 1]);
    return true;
}

static int gcd(int a, int b)
{
    return b ? gcd(b, a % b) : a;
}

/* One position of g only: every row of x is a phase of one position and at most one tap, and no product with halo zeros is made. */
static bool axis_single(const Conv *c, int d, int64_t n_out, Axis *a)
{
    int taps = (int)(d ? c->S : c->R);
    *a = (Axis){ .count = (int)n_out, .in_step = 1, .tap_step = 1, .out_step = (int)n_out, .w_step = 1 };
    for (int ph = 0; ph < n_out; ph++) {
        int at = ph + c->pad[2 * d];
        bool hit = at >= 0 && at % c->dilation[d] == 0 && at / c->dilation[d] < taps;
        a->at[ph] = (Phase){ .taps = hit, .out_first = ph, .w_first = hit ? at / c->dilation[d] : 0 };
    }
    return true;
}

static bool axis_dx(const Conv *c, int d, Axis *a)
{
    int64_t n_in = d ? c->Wo : c->Ho, n_out = d ? c->W : c->H;
    int     taps = (int)(d ? c->S : c->R), s = c->stride[d], dil = c->dilation[d], pad = c->pad[2 * d], pad2 = c->pad[2 * d + 1];
    if (n_in == 1 && n_out >= 1 && n_out <= MAX_PHASES)
        return axis_single(c, d, n_out, a);
    if (s > MAX_PHASES)
        return false;
    int step = s / gcd(s, dil);
    *a = (Axis){ .count = s, .in_step = 1, .tap_step = dil / gcd(s, dil), .out_step = s, .w_step = -step };
    for (int ph = 0; ph < s; ph++) {
        Phase *p = &a->at[ph];
        int    last = -1;
        p->out_first = ph;
        for (int r = 0; r < taps; r++) {
            if ((ph + pad - r * dil) % s != 0)
                continue;
            last = r;
            p->taps++;
        }
        if (!p->taps)
            continue;
        int first = last - (p->taps - 1) * step;
        p->w_first = last;         /* taps ascend in the input, so they descend in the weights */
        p->in_first = floor_div(ph + pad - last * dil, s);
        if (-p->in_first > a->lo)
            a->lo = -p->in_first;
        /* x has at most (ho - 1)*s + (taps - 1)*dil + 1 - pads + (s - 1) rows: see the shape rule of conv. */
        int excess = floor_div((taps - 1) * dil - pad - pad2 + s - 1 - ph, s) + floor_div(ph + pad - first * dil, s);
        int hi = behind(a, n_in, n_out, ph, excess);
        if (hi > a->hi)
            a->hi = hi;
    }
    return true;
}

bool conv_map(const Conv *c, ConvMap *m)
{
    bool dx = c->op == OP_conv_dx;
    memset(m, 0, sizeof *m);
    memcpy(m->in, dx ? c->g : c->x, sizeof m->in);
    memcpy(m->out, dx ? c->x : c->g, sizeof m->out);
    m->Cin = dx ? c->K : c->C;
    m->Cout = dx ? c->C : c->K;
    m->rows = dx ? c->H : c->Ho;
    m->cols = dx ? c->W : c->Wo;
    m->n = c->N;
    m->likely = c->likely;
    for (int d = 0; d < 2; d++) {
        if (c->pad[2 * d] < 0 || c->pad[2 * d + 1] < 0 || c->pad[2 * d] > 4096 || c->pad[2 * d + 1] > 4096 || c->dilation[d] > 4096)
            return false;
        if (!(dx ? axis_dx(c, d, &m->axis[d]) : axis_conv(c, d, &m->axis[d])) || m->axis[d].lo > 8192 || m->axis[d].hi > 8192)
            return false;
    }
    return true;
}

/* ---- planning ---- */

double tile_waste(int64_t n, int64_t tile)
{
    return (double)n / (double)((n + tile - 1) / tile * tile);
}

int most_rows(const Target *t, int nb)
{
    return (t->nregs - nb - (t->fma ? 1 : 2)) / nb;
}

/* A step is rows*nb multiplications, rows + nb loads (which go a little slower), and some loop; below 10 chains latency shows. */
double fma_rate(int rows, int nb)
{
    double acc = rows * nb, cycles = acc, loads = 1.2 * (rows + nb);
    if (cycles < loads)
        cycles = loads;
    if (cycles < 10)
        cycles = 10;
    return acc / (cycles + 0.5);
}

static void plan_by_estimate(Graph *g, Ref r, const Target *t, ContractPlan *p)
{
    memset(p, 0, sizeof *p);
    p->g = g;
    p->node = r;
    p->target = t;
    p->in[0] = layout_of(g, node_arg(g, r, 0), t);
    p->in[1] = layout_of(g, node_arg(g, r, 1), t);
    p->out = layout_of(g, r, t);
    const GraphHint *asked = node_hint(g, r, HINT_LAYOUT);
    if (asked && strcmp(asked->args[0].word, "rows") == 0)
        p->out.block = 1;
    p->packed = -1;
    p->packed_elems = p->scratch_elems = dim_const(g->dims, 0);
    p->elem = DT_F32;
    p->epilogue_ok = true;
    p->variant[V_ALGO] = ALGO_GENERIC;
    p->variant[V_GROUPS] = 1;
    if (node(g, r)->op == OP_matmul) {
        plan_matmul(g, t, p);
        return;
    }
    Conv c = conv_of(g, r);
    if (!c.fixed)
        return;
    if (c.op == OP_conv_dw)
        plan_dw(g, &c, t, p);
    else
        plan_conv(g, &c, t, p);
}

void contract_plan(Graph *g, Ref r, const Target *t, ContractPlan *p)
{
    plan_by_estimate(g, r, t, p);
    const GraphHint *h = node_hint(g, r, HINT_BLOCK);
    int              want[KNOBS] = { 0 };
    for (uint32_t i = 0; h && i < h->nargs; i++)
        for (int k = 0; k < KNOBS; k++)
            if (!strcmp(h->args[i].word, knob_names[k]))
                want[k] = (int)h->args[i].num;
    if (h)
        contract_set_block(g, p, want, p->why, sizeof p->why);
    else if (t->tuned && pass_on(t->off, PASS_tune))
        tune_apply(t->tuned, g, p);
}

/* ---- emission helpers ---- */

View view4(Emit *e, LLVMValueRef base, const Dim *shape4, const Layout *l)
{
    Strides4 s = layout_strides(e->dims, shape4, l);
    return (View){ base, dim_value(e, s.n), dim_value(e, s.c), dim_value(e, s.h), dim_value(e, s.w), dim_value(e, s.origin), l->block };
}

LLVMValueRef view_off(Emit *e, const View *v, LLVMValueRef n, LLVMValueRef c, LLVMValueRef h, LLVMValueRef w)
{
    LLVMValueRef off = i_add(e, v->origin, i_mul(e, n, v->n));
    off = i_mad(e, c, v->c, off);
    off = i_mad(e, h, v->h, off);
    return i_mad(e, w, v->w, off);
}

LLVMValueRef view_elem(Emit *e, const View *v, LLVMValueRef n, LLVMValueRef c, LLVMValueRef h, LLVMValueRef w)
{
    if (v->block == 1)
        return view_off(e, v, n, c, h, w);
    return i_add(e, view_off(e, v, n, i_divc(e, c, v->block), h, w), i_rem(e, c, c_int(e, v->block)));
}

int use_buf(Emit *e, Ref value, Layout l, bool write, Dim elems)
{
    return kernel_buf(e->kernel, (BufUse){ .value = value, .layout = l, .write = write, .is_scratch = value == 0, .elems = elems });
}

Dim threads_dim(DimTable *d) { return dim_sym(d, "threads'0"); }

Dim const_dim(Emit *e, int64_t v)
{
    return dim_const(e->dims, v);
}

LLVMValueRef zero_acc(Emit *e)
{
    return LLVMConstNull(t_vec(t_f32(e), e->target->vec));
}

static LLVMValueRef const_table(Emit *e, const int64_t *v, int n)
{
    LLVMValueRef c[MAX_PHASES * MAX_PHASES];
    assert(n <= (int)COUNT(c));
    for (int i = 0; i < n; i++)
        c[i] = c_int(e, v[i]);
    LLVMValueRef global = LLVMAddGlobal(e->module, LLVMArrayType2(t_i64(e), (uint64_t)n), "table");
    LLVMSetInitializer(global, LLVMConstArray2(t_i64(e), c, (uint64_t)n));
    LLVMSetGlobalConstant(global, 1);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    return global;
}

LLVMValueRef table_at(Emit *e, const int64_t *v, int n, LLVMValueRef i)
{
    bool equal = true;
    for (int k = 1; k < n; k++)
        equal = equal && v[k] == v[0];
    if (equal)
        return c_int(e, v[0]);
    return load_of(e, t_i64(e), addr_of(e, t_i64(e), const_table(e, v, n), i), 8);
}

LLVMValueRef phase_value(Emit *e, const Axis *a, LLVMValueRef phase, size_t field)
{
    int64_t v[MAX_PHASES];
    for (int i = 0; i < a->count; i++)
        v[i] = *(const int *)((const char *)&a->at[i] + field);
    return table_at(e, v, a->count, phase);
}

Result result_of(Emit *e, const ContractPlan *p, int buf, Layout out, Epilogue epilogue, void *ctx)
{
    const Graph *g = p->g;
    const Dim   *shape = node_shape(g, p->node);
    Result       r = { .e = e, .layout = out, .rank = node(g, p->node)->rank, .epilogue = epilogue, .ctx = ctx };
    r.rows = dim_value(e, shape[r.rank - 2]);
    r.cols = dim_value(e, shape[r.rank - 1]);
    r.view.base = buf_base(e, buf);
    if (r.rank == 4) {
        r.view = view4(e, r.view.base, shape, &out);
        r.chans = dim_value(e, shape[1]);
        r.channels = number(g, shape[1]);
    }
    return r;
}

/* Lanes past the last channel of a blocked value stay zero: some epilogues make something of nothing (a bias, exp). */
static LLVMValueRef zero_padding(Result *r, LLVMValueRef v, LLVMValueRef cb)
{
    Emit *e = r->e;
    int   vec = e->target->vec;
    if (r->layout.block == 1 || r->channels % vec == 0)
        return v;
    LLVMValueRef left = i_sub(e, c_int(e, r->channels), i_mulc(e, cb, vec));
    return LLVMBuildSelect(e->b, tail_mask(e, left, vec), v, zero_acc(e), "");
}

static LLVMValueRef result_addr(const Result *r, const At4 *at)
{
    Emit        *e = r->e;
    LLVMValueRef off;
    if (r->rank == 4 && at->cb) {
        off = view_off(e, &r->view, at->n, at->cb, at->h, at->w);
    } else if (r->rank == 4) {
        off = view_off(e, &r->view, i_div(e, at->n, r->chans), i_rem(e, at->n, r->chans), at->h, at->w);
    } else {
        LLVMValueRef row = at->n ? i_mad(e, at->n, r->rows, at->h) : at->h;
        off = i_mad(e, row, r->cols, at->w);
    }
    return addr(e, r->view.base, off);
}

void result_store(Result *r, LLVMValueRef acc, const At4 *at)
{
    Emit *e = r->e;
    if (r->epilogue)
        acc = r->epilogue(r->ctx, e, acc, at);
    if (r->rank == 4 && at->cb)
        acc = zero_padding(r, acc, at->cb);
    vec_store_mask(e, acc, result_addr(r, at), at->mask);
}

void result_ahead(Result *r, const At4 *at)
{
    Emit *e = r->e;
    e->ahead = true;
    if (r->epilogue)
        r->epilogue(r->ctx, e, zero_acc(e), at);
    prefetch(e, result_addr(r, at), true);
    e->ahead = false;
}

/* Halves are added, two vectors becoming one, until one is left; then its own halves. */
LLVMValueRef sum_lanes(Emit *e, LLVMValueRef *v, int n)
{
    int lanes = lanes_of(v[0]), part = lanes;      /* a vector holds lanes/part of the first vectors' partial sums, `part` lanes each */
    int lo[64], hi[64];
    while (n > 1) {
        int half = part / 2;
        for (int i = 0; i < lanes; i++) {
            int piece = i / half;  /* of the concatenation of two vectors */
            lo[i] = piece * part + i % half;
            hi[i] = lo[i] + half;
        }
        for (int i = 0; i < n / 2; i++)
            v[i] = f_add(e, shuffle(e, v[2 * i], v[2 * i + 1], lo, lanes), shuffle(e, v[2 * i], v[2 * i + 1], hi, lanes));
        n /= 2;
        part = half;
    }
    LLVMValueRef s = v[0];
    for (; part > 1; part /= 2) {
        int now = lanes_of(s), half = part / 2;
        for (int i = 0; i < now / 2; i++) {
            lo[i] = i / half * part + i % half;
            hi[i] = lo[i] + half;
        }
        s = f_add(e, shuffle(e, s, s, lo, now / 2), shuffle(e, s, s, hi, now / 2));
    }
    return s;
}

LLVMValueRef spaced_load(Emit *e, LLVMValueRef at, int step, LLVMValueRef mask)
{
    int vec = e->target->vec;
    if (step == 1)
        return vec_load_mask(e, at, vec, mask);
    LLVMValueRef index[64];
    for (int i = 0; i < vec; i++)
        index[i] = c_int(e, (int64_t)i * step);
    LLVMValueRef lanes = LLVMConstVector(index, (unsigned)vec);
    LLVMTypeRef  over[] = { t_vec(t_f32(e), vec), t_vec(t_ptr(e), vec) };
    unsigned     id = LLVMLookupIntrinsicID("llvm.masked.gather", strlen("llvm.masked.gather"));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, over, 2);
    LLVMValueRef on = mask ? mask : LLVMConstAllOnes(t_vec(t_i1(e), vec));
    LLVMValueRef args[] = { LLVMBuildGEP2(e->b, t_f32(e), at, &lanes, 1, ""), LLVMConstInt(t_i32(e), 4, 0), on, LLVMConstNull(over[0]) };
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, 4, "");
}

/* Row i goes to quarter i / 4 of vector i % 4, so that 4 x 4 blocks turn within quarters, which is cheap for the machine and
 * for the compiler; a loop over groups of four columns around it costs a quarter of the code of turning a whole block at once. */
void turn_columns(Emit *e, LLVMValueRef rows, LLVMValueRef stride, LLVMValueRef *column)
{
    int          vec = e->target->vec, pick[64];
    LLVMValueRef z[4], t[4];
    for (int i = 0; i < 4; i++) {
        LLVMValueRef part[16] = { 0 };
        for (int b = 0; b < vec / 4; b++)
            part[b] = vec_load(e, addr(e, rows, i_mulc(e, stride, 4 * b + i)), 4);
        for (int n = vec / 4; n > 1; n /= 2)       /* pairs become one twice as long */
            for (int b = 0; b < n / 2; b++) {
                int lanes = lanes_of(part[2 * b]);
                for (int l = 0; l < 2 * lanes; l++)
                    pick[l] = l;
                part[b] = shuffle(e, part[2 * b], part[2 * b + 1], pick, 2 * lanes);
            }
        z[i] = part[0];
    }
    for (int hi = 0; hi < 2; hi++) {               /* interleave the low, or high, halves of quarters */
        for (int l = 0; l < vec; l++)
            pick[l] = (l & ~3) + 2 * hi + (l & 3) / 2 + (l & 1 ? vec : 0);
        t[hi] = shuffle(e, z[0], z[1], pick, vec);
        t[2 + hi] = shuffle(e, z[2], z[3], pick, vec);
    }
    for (int c = 0; c < 4; c++) {
        for (int l = 0; l < vec; l++)
            pick[l] = (l & ~3) + 2 * (c & 1) + (l & 1) + (l & 2 ? vec : 0);
        column[c] = shuffle(e, t[c / 2], t[2 + c / 2], pick, vec);
    }
}

void tile_line(Emit *e, LLVMValueRef from, LLVMValueRef to, LLVMValueRef size, int w, int w2, TileAt tile, void *ctx)
{
    LLVMValueRef      at = stack_array(e, t_i64(e), 1);
    LLVMBasicBlockRef head = block_new(e, "line"), body = block_new(e, "line_do"), exit = block_new(e, "line_done");
    store(e, from, at);
    LLVMBuildBr(e->b, head);
    LLVMPositionBuilderAtEnd(e->b, head);
    LLVMValueRef x = load_of(e, t_i64(e), at, 8);
    LLVMBuildCondBr(e->b, i_less(e, x, to), body, exit);
    LLVMPositionBuilderAtEnd(e->b, body);
    LLVMValueRef left = i_sub(e, to, x), wide = c_int(e, w), narrow = c_int(e, w2);
    LLVMValueRef rest = LLVMBuildAnd(e->b, i_less(e, narrow, left), i_less(e, left, wide), "");
    LLVMValueRef overlap = LLVMBuildAnd(e->b, rest, i_less(e, c_int(e, w - 1), size), "");
    LLVMValueRef plenty = LLVMBuildOr(e->b, i_equal(e, left, wide), i_less(e, c_int(e, w > 2 * w2 ? w : 2 * w2), left), "");   /* else two narrow ones do */
    If           f = if_begin(e, LLVMBuildOr(e->b, overlap, plenty, ""));
    tile(ctx, i_min(e, x, i_sub(e, size, wide)), w);
    store(e, i_addc(e, x, w), at);
    if_else(e, &f);
    If h = if_begin(e, i_less(e, size, narrow));
    tile(ctx, x, 1);
    store(e, i_addc(e, x, 1), at);
    if_else(e, &h);
    tile(ctx, i_min(e, x, i_sub(e, size, narrow)), w2);
    store(e, i_addc(e, x, w2), at);
    if_end(e, &h);
    if_end(e, &f);
    LLVMBuildBr(e->b, head);
    LLVMMoveBasicBlockAfter(exit, LLVMGetLastBasicBlock(e->fn));
    LLVMPositionBuilderAtEnd(e->b, exit);
}

/* ---- dispatch ---- */

void emit_pack(Emit *e, const ContractPlan *p)
{
    assert(p->packed >= 0);
    if (p->variant[V_ALGO] == ALGO_MATMUL)
        pack_matmul(e, p);
    else if (p->variant[V_ALGO] == ALGO_DEPTH)
        pack_depth(e, p);
    else if (p->variant[V_ALGO] == ALGO_WINOGRAD)
        pack_winograd(e, p);
    else
        pack_conv(e, p);
}

void emit_contract(Emit *e, const ContractPlan *p, Layout out, Prologue prologue, Epilogue epilogue, void *ctx)
{
    static void (*const emitters[])(Emit *, const Job *) = {
        [ALGO_GENERIC] = emit_generic,
        [ALGO_CONV] = emit_conv,
        [ALGO_WINOGRAD] = emit_winograd,
        [ALGO_NARROW] = emit_narrow,
        [ALGO_PIXELS] = emit_pixels,
        [ALGO_DEPTH] = emit_depth,
        [ALGO_DW] = emit_dw,
        [ALGO_DW_WINOGRAD] = emit_winograd_dw,
        [ALGO_DW_WINOGRAD_FEW] = emit_winograd_few,
        [ALGO_DW_SHARED] = emit_dw_shared,
        [ALGO_DW_LANES] = emit_dw_lanes,
        [ALGO_DW_PIXELS] = emit_dw_pixels,
        [ALGO_MATMUL] = emit_matmul,
        [ALGO_MATMUL_LANES] = emit_matmul_lanes,
    };
    Job j = { p, out, prologue, epilogue, ctx };
    assert(!prologue || p->loads_ok);
    e->kernel->flops = dim_scale(e->dims, contract_macs(p->g, p->node), 2);
    emitters[p->variant[V_ALGO]](e, &j);
}

void emit_combine(Emit *e, const ContractPlan *p, Layout out, Epilogue epilogue, void *ctx)
{
    Job j = { p, out, NULL, epilogue, ctx };
    assert(p->combine);
    if (p->variant[V_ALGO] == ALGO_MATMUL)
        emit_matmul_combine(e, &j);
    else if (p->variant[V_ALGO] == ALGO_DW_WINOGRAD)
        emit_winograd_dw_combine(e, &j);
    else
        emit_dw_combine(e, &j);
}
