/* loops_body.c - building a Body: interned indices, hash-consed instructions, regions, and the sealing that collapses loops.
 *
 * Sealing merges neighbouring loops where every address treats them as one: loop i may merge with i+1 when in each address
 * coef[i] = extent[i+1] * coef[i+1], and neither is looked at by itself (a bound, a division, iota). A dense elementwise kernel of any rank
 * becomes one loop, so small last axes vectorise well. Reductions are cut into chunks here, by shape alone, never by threads.
 * The canonical text of a sealed body names sizes by argument number: kernels that differ only in sizes share machine code.
 */
#include "loops.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { LITERAL_BELOW = 64 };               /* constants below are part of the code, others are arguments */

void body_init(Body *b, BodyKind kind)
{
    memset(b, 0, sizeof *b);
    b->kind = kind;
    b->flags_buf = b->run_buf = -1;
    vec_push(&b->ins, (Ins){ 0 });
    vec_push(&b->region, (Region){ 0 });
    Index zero;
    memset(&zero, 0, sizeof zero);
    index_intern(b, &zero);
}

void body_free(Body *b)
{
    vec_free(&b->ins);
    vec_free(&b->index);
    vec_free(&b->region);
    free(b->buckets);
    free(b->index_buckets.at);
    b->buckets = b->index_buckets.at = NULL;
}

/* ---- indices ---- */

static void rehash_indices(Body *b)
{
    uint32_t n = b->index_buckets.cap ? b->index_buckets.cap * 2 : 64;
    free(b->index_buckets.at);
    b->index_buckets.at = xmalloc(n * sizeof *b->index_buckets.at);
    b->index_buckets.cap = n;
    for (uint32_t i = 0; i < b->index.n; i++) {
        uint32_t h = (uint32_t)hash_bytes(&b->index.at[i], sizeof(Index), 1);
        while (b->index_buckets.at[h % n])
            h++;
        b->index_buckets.at[h % n] = i + 1;
    }
}

IndexId index_intern(Body *b, const Index *x)
{
    if (b->index.n * 2 >= b->index_buckets.cap)
        rehash_indices(b);
    uint32_t h = (uint32_t)hash_bytes(x, sizeof *x, 1), n = b->index_buckets.cap;
    for (; b->index_buckets.at[h % n]; h++) {
        uint32_t i = b->index_buckets.at[h % n] - 1;
        if (memcmp(&b->index.at[i], x, sizeof *x) == 0)
            return i;
    }
    vec_push(&b->index, *x);
    b->index_buckets.at[h % n] = b->index.n;
    return b->index.n - 1;
}

IndexId index_const(Body *b, Dim d)
{
    Index x;
    memset(&x, 0, sizeof x);
    x.base = d;
    return index_intern(b, &x);
}

IndexId index_loop(Body *b, DimTable *d, uint32_t loop)
{
    int64_t n;
    if (dim_is_const(d, b->loop[loop].extent, &n) && n == 1)
        return 0;
    Index x;
    memset(&x, 0, sizeof x);
    x.coef[loop] = dim_const(d, 1);
    return index_intern(b, &x);
}

IndexId index_val(Body *b, DimTable *d, Val v)
{
    Index x;
    memset(&x, 0, sizeof x);
    assert(b->ins.at[v].type == VT_INDEX);
    x.nterms = 1;
    x.term[0] = (IndexTerm){ dim_const(d, 1), v };
    return index_intern(b, &x);
}

/* The index as one value, so that its terms do not run out. */
static Index boxed(Body *b, DimTable *d, const Index *x)
{
    IndexId id = index_intern(b, x);
    Val     v = body_ins(b, d, (Ins){ .op = L_INDEX, .type = VT_INDEX, .index = id });
    return b->index.at[index_val(b, d, v)];
}

static bool add_terms(DimTable *d, Index *x, const Index *y)
{
    for (uint32_t i = 0; i < y->nterms; i++) {
        uint32_t j = 0;
        while (j < x->nterms && x->term[j].v < y->term[i].v)
            j++;
        if (j < x->nterms && x->term[j].v == y->term[i].v) {
            x->term[j].mul = dim_add(d, x->term[j].mul, y->term[i].mul);
            if (x->term[j].mul == 0) {
                memmove(&x->term[j], &x->term[j + 1], (x->nterms - j - 1) * sizeof x->term[0]);
                x->term[--x->nterms] = (IndexTerm){ 0 };
            }
            continue;
        }
        if (x->nterms == MAX_TERMS)
            return false;
        memmove(&x->term[j + 1], &x->term[j], (x->nterms - j) * sizeof x->term[0]);
        x->term[j] = y->term[i];
        x->nterms++;
    }
    return true;
}

IndexId index_add(Body *b, DimTable *d, IndexId xi, IndexId yi)
{
    if (xi == 0 || yi == 0)
        return xi ? xi : yi;
    Index x = b->index.at[xi], y = b->index.at[yi], sum = x;
    if (!add_terms(d, &sum, &y)) {
        x = boxed(b, d, &x);
        y = boxed(b, d, &y);
        sum = x;
        add_terms(d, &sum, &y);
    }
    sum.base = dim_add(d, x.base, y.base);
    for (uint32_t i = 0; i < MAX_LOOPS; i++)
        sum.coef[i] = y.coef[i] ? dim_add(d, x.coef[i], y.coef[i]) : x.coef[i];
    return index_intern(b, &sum);
}

IndexId index_scale(Body *b, DimTable *d, IndexId xi, Dim k)
{
    int64_t c;
    if (xi == 0 || k == 0)
        return 0;
    if (dim_is_const(d, k, &c) && c == 1)
        return xi;
    Index x = b->index.at[xi];
    x.base = dim_mul(d, x.base, k);
    for (uint32_t i = 0; i < MAX_LOOPS; i++)
        if (x.coef[i])
            x.coef[i] = dim_mul(d, x.coef[i], k);
    for (uint32_t i = 0; i < x.nterms; i++)
        x.term[i].mul = dim_mul(d, x.term[i].mul, k);
    return index_intern(b, &x);
}

IndexId index_offset(Body *b, DimTable *d, IndexId xi, Dim k)
{
    Index x = b->index.at[xi];
    x.base = dim_add(d, x.base, k);
    return index_intern(b, &x);
}

uint32_t index_deps(const Body *b, IndexId xi)
{
    const Index *x = &b->index.at[xi];
    uint32_t     deps = 0;
    for (uint32_t i = 0; i < MAX_LOOPS; i++)
        if (x->coef[i])
            deps |= 1u << i;
    for (uint32_t i = 0; i < x->nterms; i++)
        deps |= b->ins.at[x->term[i].v].deps;
    return deps;
}

/* A loop's largest value; regions' loops may have extents known only when running. */
static bool loop_last(const Body *b, DimTable *d, uint32_t loop, Dim *last)
{
    if (loop >= b->ndomain && b->loop[loop].extent == 0)
        return false;
    *last = dim_sub(d, b->loop[loop].extent, dim_const(d, 1));
    return true;
}

/* Quotients and remainders by constants. */
static bool value_range(const Body *b, DimTable *d, Val v, Dim *lo, Dim *hi)
{
    const Ins *s = &b->ins.at[v];
    int64_t    k;
    if ((s->op != L_IDIV && s->op != L_IMOD) || !dim_is_const(d, s->dim, &k) || k < 1 || b->ins.at[s->a].op != L_INDEX)
        return false;
    if (s->op == L_IDIV && (!index_range(b, d, b->ins.at[s->a].index, lo, hi) || !dim_nonneg(d, *lo)))
        return false;
    *lo = s->op == L_IMOD ? 0 : dim_floordiv(d, *lo, k);
    *hi = s->op == L_IMOD ? dim_const(d, k - 1) : dim_floordiv(d, *hi, k);
    return true;
}

/* lo .. hi grow by those of `mul` times what is between least and most. */
static bool widen_range(DimTable *d, Dim mul, Dim least, Dim most, Dim *lo, Dim *hi)
{
    bool up = dim_nonneg(d, mul);
    if (!up && !dim_nonneg(d, dim_sub(d, 0, mul)))
        return false;
    *lo = dim_add(d, *lo, dim_mul(d, mul, up ? least : most));
    *hi = dim_add(d, *hi, dim_mul(d, mul, up ? most : least));
    return true;
}

bool index_range(const Body *b, DimTable *d, IndexId xi, Dim *lo, Dim *hi)
{
    const Index *x = &b->index.at[xi];
    Dim          least, most;
    *lo = *hi = x->base;
    for (uint32_t i = 0; i < x->nterms; i++)
        if (!value_range(b, d, x->term[i].v, &least, &most) || !widen_range(d, x->term[i].mul, least, most, lo, hi))
            return false;
    for (uint32_t i = 0; i < b->nloops; i++) {
        if (!x->coef[i])
            continue;
        if (!loop_last(b, d, i, &most) || !widen_range(d, x->coef[i], 0, most, lo, hi))
            return false;
    }
    return true;
}

/* ---- instructions ---- */

static uint64_t hash_ins(const Ins *i)
{
    uint32_t key[10] = { (uint32_t)(i->op | i->type << 8 | i->elem << 16), (uint32_t)(i->how | i->flag << 8 | (uint16_t)i->buf << 16),
                         i->a, i->b, i->c, i->mask, i->index, i->dim, (uint32_t)i->imm, (uint32_t)((uint64_t)i->imm >> 32) };
    return hash_bytes(&i->value, sizeof i->value, hash_bytes(key, sizeof key, 7));
}

static bool same_ins(const Ins *x, const Ins *y)
{
    bool kind = x->op == y->op && x->type == y->type && x->elem == y->elem && x->how == y->how && x->flag == y->flag && x->buf == y->buf;
    bool operands = x->a == y->a && x->b == y->b && x->c == y->c && x->mask == y->mask && x->index == y->index;
    return kind && operands && x->dim == y->dim && x->imm == y->imm && memcmp(&x->value, &y->value, sizeof x->value) == 0;
}

static void rehash_ins(Body *b)
{
    uint32_t n = b->nbuckets ? b->nbuckets * 2 : 128;
    free(b->buckets);
    b->buckets = xmalloc(n * sizeof *b->buckets);
    b->nbuckets = n;
    for (uint32_t i = 1; i < b->ins.n; i++) {
        uint32_t h = (uint32_t)hash_ins(&b->ins.at[i]);
        while (b->buckets[h % n])
            h++;
        b->buckets[h % n] = i;
    }
}

static uint32_t deps_of(const Body *b, const Ins *i)
{
    uint32_t deps = index_deps(b, i->index);
    const Val in[] = { i->a, i->b, i->c, i->mask };
    for (uint32_t k = 0; k < COUNT(in); k++)
        if (in[k] && in[k] != VAL_FALSE)
            deps |= b->ins.at[in[k]].deps;
    if (i->op == L_ACC)
        deps |= (1u << b->ndomain) - 1;
    if (i->op == L_LOOP) {
        const Region *r = &b->region.at[i->imm];
        deps &= ~(((1u << r->count) - 1) << r->first);
        for (uint32_t k = 0; k < r->count; k++)
            deps |= index_deps(b, r->extent[k]);
    }
    return deps;
}

Val body_ins(Body *b, DimTable *d, Ins i)
{
    (void)d;
    if (b->ins.n * 2 >= b->nbuckets)
        rehash_ins(b);
    uint32_t h = (uint32_t)hash_ins(&i);
    for (; b->buckets[h % b->nbuckets]; h++)
        if (same_ins(&b->ins.at[b->buckets[h % b->nbuckets]], &i))
            return b->buckets[h % b->nbuckets];
    i.deps = deps_of(b, &i);
    i.node = b->node;
    vec_push(&b->ins, i);
    b->buckets[h % b->nbuckets] = b->ins.n - 1;
    return b->ins.n - 1;
}

bool body_full(const Body *b, uint32_t count)
{
    return b->nloops + count > MAX_LOOPS;
}

uint32_t region_open(Body *b, uint32_t count, const IndexId *extent)
{
    Region r = { .first = b->nloops, .count = count };
    assert(!body_full(b, count) && count <= COUNT(r.extent));
    for (uint32_t i = 0; i < count; i++) {
        const Index *x = &b->index.at[extent[i]];
        bool         fixed = x->nterms == 0;
        for (uint32_t l = 0; l < MAX_LOOPS; l++)
            fixed &= x->coef[l] == 0;
        r.extent[i] = extent[i];
        b->loop[b->nloops++] = (LoopDim){ .extent = fixed ? x->base : 0 };
    }
    vec_push(&b->region, r);
    return b->region.n - 1;
}

/* ---- sealing ---- */

/* Loops that are looked at alone, outside addresses. */
static uint32_t pinned_loops(const Body *b)
{
    uint32_t pinned = 0;
    for (uint32_t i = 1; i < b->ins.n; i++) {
        const Ins *s = &b->ins.at[i];
        bool       address = s->op == L_LOAD || s->op == L_UNIFORM || s->op == L_NORMAL;
        if (!address && s->index)
            for (uint32_t l = 0; l < b->ndomain; l++)
                if (b->index.at[s->index].coef[l])
                    pinned |= 1u << l;
    }
    for (uint32_t i = 1; i < b->region.n; i++)
        for (uint32_t k = 0; k < b->region.at[i].count; k++)
            for (uint32_t l = 0; l < b->ndomain; l++)
                if (b->index.at[b->region.at[i].extent[k]].coef[l])
                    pinned |= 1u << l;
    return pinned;
}

static bool dense_in(const Index *x, DimTable *d, uint32_t outer, uint32_t in, Dim extent)
{
    return x->coef[outer] == dim_mul(d, extent, x->coef[in]);
}

/* Does every address walk loops outer and in (the next one) as one? */
static bool may_merge(const Body *b, DimTable *d, uint32_t outer, uint32_t in)
{
    for (uint32_t i = 1; i < b->ins.n; i++) {
        const Ins *s = &b->ins.at[i];
        if ((s->op == L_LOAD || s->op == L_UNIFORM || s->op == L_NORMAL) && !dense_in(&b->index.at[s->index], d, outer, in, b->loop[in].extent))
            return false;
    }
    for (uint32_t i = 0; i < b->nroots; i++)
        if (!dense_in(&b->index.at[b->root[i].at], d, outer, in, b->loop[in].extent))
            return false;
    return true;
}

static void collapse(Body *b, DimTable *d)
{
    /* inside a merged group the innermost loop's coefficient stands for all */
    uint32_t pinned = pinned_loops(b), last = 0, loops = b->ndomain - (b->blocked ? 1 : 0);
    bool     any = false;
    b->ngroups = 0;
    for (uint32_t l = 0; l < loops; l++) {
        int64_t n;
        b->group[l] = 0xff;
        if (dim_is_const(d, b->loop[l].extent, &n) && n == 1)
            continue;
        bool alike = any && !(pinned & (1u << l | 1u << last)) && b->loop[l].reduced == b->loop[last].reduced;
        bool merge = alike && b->kind != BODY_EPILOGUE && may_merge(b, d, last, l);
        if (merge) {
            uint32_t g = b->ngroups - 1;
            b->extent[g] = dim_mul(d, b->extent[g], b->loop[l].extent);
            b->inner[g] = (uint8_t)l;
        } else {
            b->extent[b->ngroups] = b->loop[l].extent;
            b->inner[b->ngroups++] = (uint8_t)l;
        }
        b->group[l] = (uint8_t)(b->ngroups - 1);
        last = l;
        any = true;
    }
}

/* Steps of the innermost loop: how it is cut, so that a long one alone still makes many tasks. */
static void cut(Body *b, DimTable *d, Dim extent, int64_t piece, Dim *pieces, int64_t *steps)
{
    int64_t n;
    if (dim_is_const(d, extent, &n) && n <= 2 * piece) {
        b->segment = 0;
        *pieces = dim_const(d, 1);
        *steps = n;
    } else {
        b->segment = piece;
        *pieces = dim_ceildiv(d, extent, piece);
        *steps = piece;
    }
}

static void seal_map(Body *b, DimTable *d, const Target *t)
{
    int64_t steps;
    Dim     pieces = dim_const(d, 1);
    b->chunks = pieces;
    b->segment = 0;
    if (b->ngroups)
        cut(b, d, b->extent[b->ngroups - 1], b->blocked ? 512 : 512 * t->vec, &pieces, &steps);
    b->chunk_stride = pieces;
}

static void seal_reduce(Body *b, DimTable *d, const Target *t)
{
    Dim      rows = dim_const(d, 1), pieces = rows;
    int64_t  steps = 1;
    int32_t  inner = -1;
    b->segment = 0;
    b->rows_a_chunk = INT32_MAX;
    b->chunks = dim_const(d, 1);
    if (b->whole)
        return;
    for (uint32_t g = 0; g < b->ngroups; g++)
        if (b->loop[b->inner[g]].reduced)
            inner = (int32_t)g;
    for (uint32_t g = 0; g < b->ngroups; g++)
        if (b->loop[b->inner[g]].reduced && (int32_t)g != inner)
            rows = dim_mul(d, rows, b->extent[g]);
    bool lanes = inner >= 0 && !b->blocked && inner == (int32_t)b->ngroups - 1;
    if (inner >= 0)
        cut(b, d, b->extent[inner], lanes ? 256 * t->vec : 256, &pieces, &steps);
    if (lanes)
        steps = (steps + t->vec - 1) / t->vec;
    rows = dim_mul(d, rows, pieces);
    b->rows_a_chunk = b->segment ? 4 : steps < 1024 ? 1024 / (steps ? steps : 1) : 1;
    b->chunks = dim_ceildiv(d, rows, b->rows_a_chunk);
}

void body_seal(Body *b, DimTable *d, const Target *t)
{
    collapse(b, d);
    if (b->kind == BODY_MAP)
        seal_map(b, d, t);
    else if (b->kind == BODY_REDUCE)
        seal_reduce(b, d, t);
}

/* ---- the canonical text ---- */

bool size_is_literal(const DimTable *d, Dim x, int64_t *v)
{
    return dim_is_const(d, x, v) && *v < LITERAL_BELOW;
}

static void size_text(const DimTable *d, Dim x, Kernel *k, Text *out)
{
    int64_t v;
    if (size_is_literal(d, x, &v))
        text_addf(out, "%lld", (long long)v);
    else
        text_addf(out, "a%d", kernel_arg(k, x));
}

static void extent_text(const DimTable *d, Dim x, Kernel *k, Text *out)
{
    int64_t v;
    if (dim_is_const(d, x, &v) && v == 1)
        text_add(out, "1");
    else
        text_addf(out, "a%d", kernel_arg(k, x));
}

/* Loops go by their place among those that are left, so that kernels of different ranks can be equal. */
static uint32_t loop_name(const Body *b, uint32_t l)
{
    if (b->kind == BODY_EPILOGUE)
        return l;
    if (l >= b->ndomain)
        return b->ngroups + 1 + l - b->ndomain;
    return b->blocked && l == b->ndomain - 1 ? b->ngroups : b->group[l];
}

static void index_text(const Body *b, const DimTable *d, IndexId id, Kernel *k, Text *out)
{
    const Index *x = &b->index.at[id];
    text_add(out, "[");
    size_text(d, x->base, k, out);
    for (uint32_t l = 0; l < b->nloops; l++) {
        bool shown = l >= b->ndomain || (b->blocked && l == b->ndomain - 1) || b->kind == BODY_EPILOGUE || (b->group[l] != 0xff && b->inner[b->group[l]] == l);
        if (!x->coef[l] || !shown)
            continue;
        text_addf(out, " + i%u*", loop_name(b, l));
        size_text(d, x->coef[l], k, out);
    }
    for (uint32_t i = 0; i < x->nterms; i++) {
        text_addf(out, " + v%u*", x->term[i].v);
        size_text(d, x->term[i].mul, k, out);
    }
    text_add(out, "]");
}

static const char *const op_word[] = { "none", "const", "acc", "load", "number", "runtime", "uniform", "normal", "", "index", "idiv", "imod", "iclamp",
                                       "ireflect", "iselect", "row", "inside", "loop" };
static const char *const how_word[] = { "sum", "sum_wide", "max", "pick" };

static void ins_text(const Body *b, const DimTable *d, uint32_t i, Kernel *k, Text *out)
{
    const Ins *s = &b->ins.at[i];
    text_addf(out, "  v%u = %s", i, s->op == L_ELEM ? op_info[s->elem].name : op_word[s->op]);
    if (s->op == L_CONST)
        text_addf(out, " %a", s->value);
    if (s->op == L_LOAD)
        text_addf(out, " b%d", s->buf);
    if (s->op == L_RUNTIME || s->op == L_UNIFORM || s->op == L_NORMAL || s->op == L_ROW || s->op == L_LOOP)
        text_addf(out, " #%lld%s", (long long)s->imm, s->flag ? " fixed" : "");
    if (s->op == L_LOOP)
        text_addf(out, " %s", how_word[s->how]);
    const Val in[] = { s->a, s->b, s->c };
    for (uint32_t j = 0; j < 3; j++)
        if (in[j])
            text_addf(out, " v%u", in[j]);
    if (s->op == L_LOAD || s->op == L_NUMBER || s->op == L_UNIFORM || s->op == L_NORMAL || s->op == L_INDEX || s->op == L_INSIDE) {
        text_add(out, " ");
        index_text(b, d, s->index, k, out);
    }
    if (s->op == L_IDIV || s->op == L_IMOD || s->op == L_ICLAMP || s->op == L_IREFLECT || s->op == L_ROW || s->op == L_INSIDE) {
        text_add(out, " ");
        size_text(d, s->dim, k, out);
    }
    if (s->mask)
        text_addf(out, " where v%u", s->mask);
    text_addf(out, " : %c\n", "fibx-"[s->type]);
}

void body_text(const Body *b, const DimTable *d, Kernel *k, Text *out)
{
    static const char *const kinds[] = { "map", "reduce", "epilogue" };
    text_addf(out, "%s%s flags b%d run b%d segment %lld rows %lld", kinds[b->kind], b->blocked ? " blocked" : "", b->flags_buf, b->run_buf,
              (long long)b->segment, (long long)b->rows_a_chunk);
    for (uint32_t g = 0; g < b->ngroups && b->kind != BODY_EPILOGUE; g++) {
        text_addf(out, " i%u<", g);
        extent_text(d, b->extent[g], k, out);
        text_add(out, b->loop[b->inner[g]].reduced ? " reduced" : "");
    }
    if (b->blocked && b->loop[b->ndomain - 1].reduced)
        text_add(out, " lanes reduced");
    if (b->kind == BODY_REDUCE) {
        text_add(out, " chunks ");
        extent_text(d, b->chunks, k, out);
        text_add(out, " apart ");
        extent_text(d, b->chunk_stride, k, out);
    } else if (b->kind == BODY_MAP) {
        text_add(out, " pieces ");
        extent_text(d, b->chunk_stride, k, out);
    }
    text_add(out, "\n");
    for (uint32_t i = 0; i < k->bufs.n; i++)
        text_addf(out, "  b%u %u%s\n", i, k->bufs.at[i].layout.dtype, k->bufs.at[i].write ? " write" : "");
    for (uint32_t i = 1; i < b->region.n; i++) {
        text_addf(out, "  region %u:", i);
        for (uint32_t j = 0; j < b->region.at[i].count; j++) {
            text_addf(out, " i%u<", loop_name(b, b->region.at[i].first + j));
            index_text(b, d, b->region.at[i].extent[j], k, out);
        }
        text_add(out, "\n");
    }
    for (uint32_t i = 1; i < b->ins.n; i++)
        ins_text(b, d, i, k, out);
    for (uint32_t i = 0; i < b->nroots; i++) {
        const Root *r = &b->root[i];
        if (r->buf < 0) {
            text_add(out, "  operand");
        } else {
            text_addf(out, "  b%d", r->buf);
            index_text(b, d, r->at, k, out);
        }
        text_addf(out, " = %sv%u", b->kind == BODY_REDUCE ? r->how == HOW_MAX ? "max " : "sum " : "", r->value);
        if (r->keep)
            text_addf(out, " keep v%u", r->keep);
        if (r->only)
            text_addf(out, " only v%u", r->only);
        text_add(out, "\n");
    }
    for (uint32_t i = 0; i < b->nsums; i++)
        text_addf(out, "  sum v%u\n", b->sum[i]);
}
