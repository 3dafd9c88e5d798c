/* loops_ins.c - one loop instruction after another to LLVM: indices, loads and stores, regions.
 *
 * Loads are contiguous vector loads where the lanes' stride is 1, one scalar load where it is 0, gathers otherwise. A masked load never
 * touches memory of lanes that are off. Which loops run around all this is loops_emit.c's matter.
 */
#include "debug_code.h"
#include "loops_walk.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sizes, types, shapes ---- */

static LLVMValueRef arg_value(Emit *e, Dim d)
{
    int i = kernel_arg(e->kernel, d);
    while (e->arg_values.n <= (uint32_t)i)
        vec_push(&e->arg_values, NULL);
    if (!e->arg_values.at[i]) {
        LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
        LLVMPositionBuilderBefore(e->b, LLVMGetBasicBlockTerminator(e->entry));
        e->arg_values.at[i] = load_of(e, t_i64(e), addr_of(e, t_i64(e), e->args, c_int(e, i)), 8);
        LLVMPositionBuilderAtEnd(e->b, here);
    }
    return e->arg_values.at[i];
}

LLVMValueRef size_value(Emit *e, Dim d)
{
    int64_t v;
    return size_is_literal(e->dims, d, &v) ? c_int(e, v) : arg_value(e, d);
}

LLVMValueRef extent_value(Emit *e, Dim d)
{
    int64_t v;
    return dim_is_const(e->dims, d, &v) && v == 1 ? c_int(e, 1) : arg_value(e, d);
}

LLVMTypeRef walk_type(Walk *w, ValType t)
{
    switch (t) {
    case VT_I32:   return t_i32(w->e);
    case VT_BOOL:  return t_i1(w->e);
    case VT_INDEX: return t_i64(w->e);
    default:       return t_f32(w->e);
    }
}

LLVMValueRef walk_widen(Walk *w, LLVMValueRef v)
{
    return lanes_of(v) == w->lanes ? v : splat(w->e, v, w->lanes);
}

LLVMValueRef walk_value(Walk *w, Val v) { return walk_widen(w, w->val[v]); }

/* Brings two operands to the same shape. */
void walk_match(Walk *w, LLVMValueRef *a, LLVMValueRef *b)
{
    if (lanes_of(*a) != lanes_of(*b)) {
        *a = walk_widen(w, *a);
        *b = walk_widen(w, *b);
    }
}

static bool by_lane(const Walk *w, uint32_t deps)
{
    return w->lanes > 1 && w->lane_loop >= 0 && (deps >> w->lane_loop & 1);
}

/* ---- indices: one scalar part, and what lanes add ---- */

typedef struct { LLVMValueRef base, step, vec; } Lanes;            /* lane l: base + l * step (NULL: 0) + vec[l] (NULL: 0) */

/* Loops that collapsing left without a variable of their own have no share: their coefficient is in the group's. */
static LLVMValueRef loop_value(const Walk *w, uint32_t l)
{
    return w->loop[l];
}

/* The L_INDEX that an instruction is the same as here, or NULL. */
static const Ins *itself(const Walk *w, Val v)
{
    const Ins *of = &w->b->ins.at[w->b->ins.at[v].a];
    return w->known && w->known[v] == ITSELF ? of : NULL;
}

static Lanes index_lanes(Walk *w, IndexId id)
{
    Emit        *e = w->e;
    const Index *x = &w->b->index.at[id];
    Lanes        r = { .base = size_value(e, x->base) };
    for (uint32_t l = 0; l < w->b->nloops; l++) {
        LLVMValueRef i = loop_value(w, l);
        if (!x->coef[l])
            continue;
        LLVMValueRef k = i || (int)l == w->lane_loop ? size_value(e, x->coef[l]) : NULL;
        if (i)
            r.base = i_add(e, r.base, i_mul(e, i, k));
        if ((int)l == w->lane_loop && w->lanes > 1)
            r.step = k;
    }
    for (uint32_t t = 0; t < x->nterms; t++) {
        LLVMValueRef v = w->val[x->term[t].v], k = size_value(e, x->term[t].mul);
        const Ins   *of = itself(w, x->term[t].v);
        if (of && lanes_of(v) > 1) {           /* still a step a lane: lanes stay side by side */
            Lanes y = index_lanes(w, of->index);
            r.base = i_add(e, r.base, i_mul(e, y.base, k));
            r.step = y.step ? r.step ? i_add(e, r.step, i_mul(e, y.step, k)) : i_mul(e, y.step, k) : r.step;
            assert(!y.vec);
        } else if (lanes_of(v) == 1) {
            r.base = i_add(e, r.base, i_mul(e, v, k));
        } else {
            int64_t one;
            LLVMValueRef part = is_int(k, &one) && one == 1 ? v : LLVMBuildMul(e->b, v, splat(e, k, w->lanes), "");
            r.vec = r.vec ? LLVMBuildAdd(e->b, r.vec, part, "") : part;
        }
    }
    return r;
}

LLVMValueRef walk_index_at(Walk *w, IndexId id, uint32_t loop)
{
    LLVMValueRef here = w->loop[loop];
    w->loop[loop] = NULL;
    Lanes x = index_lanes(w, id);
    w->loop[loop] = here;
    assert(!x.vec);
    return x.base;
}

/* As i64, a vector only if lanes differ. */
static LLVMValueRef index_i64(Walk *w, IndexId id)
{
    Emit  *e = w->e;
    Lanes  x = index_lanes(w, id);
    if (!x.step && !x.vec)
        return x.base;
    LLVMValueRef v = splat(e, x.base, w->lanes);
    if (x.step) {
        int64_t one;
        LLVMValueRef ramp = c_ramp(e, w->lanes);
        v = LLVMBuildAdd(e->b, v, is_int(x.step, &one) && one == 1 ? ramp : LLVMBuildMul(e->b, ramp, splat(e, x.step, w->lanes), ""), "");
    }
    return x.vec ? LLVMBuildAdd(e->b, v, x.vec, "") : v;
}

static bool unit_step(const Lanes *x)
{
    int64_t one;
    return x->step && !x->vec && is_int(x->step, &one) && one == 1;
}

/* ---- memory ---- */

static LLVMValueRef call_typed(Emit *e, const char *name, LLVMTypeRef *over, unsigned nover, LLVMValueRef *args, unsigned nargs)
{
    unsigned     id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, over, nover);
    LLVMTypeRef  t = LLVMIntrinsicGetType(e->cx, id, over, nover);
    return LLVMBuildCall2(e->b, t, f, args, nargs, "");
}

static LLVMValueRef all_lanes(Walk *w) { return splat(w->e, LLVMConstInt(t_i1(w->e), 1, 0), w->lanes); }

static LLVMValueRef mask_and(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    if (!a || !b)
        return a ? a : b;
    walk_match(w, &a, &b);
    return LLVMBuildAnd(w->e->b, a, b, "");
}

static LLVMValueRef any_lane(Walk *w, LLVMValueRef mask)
{
    LLVMTypeRef over = LLVMTypeOf(mask);
    return lanes_of(mask) == 1 ? mask : call_typed(w->e, "llvm.vector.reduce.or", &over, 1, &mask, 1);
}

static int kernel_buf_of(const Walk *w, int buf) { return w->bufs ? w->bufs[buf] : buf; }

static LLVMValueRef base_of(Walk *w, int buf) { return buf_base(w->e, kernel_buf_of(w, buf)); }

static LLVMTypeRef stored_type(Walk *w, int buf)
{
    return t_dtype(w->e, (Dtype)w->e->kernel->bufs.at[kernel_buf_of(w, buf)].layout.dtype);
}

/* One element for all lanes. Where no lane wants it, element 0 is read instead: it exists in every buffer. */
static LLVMValueRef load_uniform(Walk *w, int buf, LLVMValueRef off, LLVMValueRef mask)
{
    Emit        *e = w->e;
    LLVMTypeRef  t = stored_type(w, buf);
    if (mask)
        off = LLVMBuildSelect(e->b, any_lane(w, mask), off, c_int(e, 0), "");
    return load_of(e, t, addr_of(e, t, base_of(w, buf), off), LLVMGetTypeKind(t) == LLVMIntegerTypeKind && LLVMGetIntTypeWidth(t) == 8 ? 1 : 4);
}

static LLVMValueRef load_lanes(Walk *w, int buf, const Lanes *x, LLVMValueRef mask)
{
    Emit        *e = w->e;
    LLVMTypeRef  t = stored_type(w, buf), vt = t_vec(t, w->lanes);
    unsigned     align = LLVMGetTypeKind(t) == LLVMIntegerTypeKind && LLVMGetIntTypeWidth(t) == 8 ? 1 : 4;
    LLVMValueRef base = base_of(w, buf);
    if (unit_step(x)) {
        LLVMValueRef p = addr_of(e, t, base, x->base);
        if (e->ahead) {
            prefetch(e, p, false);
            return LLVMConstNull(vt);
        }
        if (!mask)
            return load_of(e, vt, p, align);
        LLVMTypeRef  over[] = { vt, t_ptr(e) };
        LLVMValueRef args[] = { p, LLVMConstInt(t_i32(e), align, 0), walk_widen(w, mask), LLVMConstNull(vt) };
        return call_typed(e, "llvm.masked.load", over, 2, args, 4);
    }
    if (e->ahead)
        return LLVMConstNull(vt);
    LLVMValueRef off = x->vec;
    if (x->step) {
        LLVMValueRef steps = LLVMBuildMul(e->b, c_ramp(e, w->lanes), splat(e, x->step, w->lanes), "");
        off = off ? LLVMBuildAdd(e->b, off, steps, "") : steps;
    }
    LLVMValueRef p = LLVMBuildGEP2(e->b, t, addr_of(e, t, base, x->base), &off, 1, "");
    LLVMTypeRef  over[] = { vt, t_vec(t_ptr(e), w->lanes) };
    LLVMValueRef args[] = { p, LLVMConstInt(t_i32(e), align, 0), mask ? walk_widen(w, mask) : all_lanes(w), LLVMConstNull(vt) };
    return call_typed(e, "llvm.masked.gather", over, 2, args, 4);
}

static bool always(LLVMValueRef mask)
{
    int64_t one;
    return is_int(mask, &one) && one;
}

static LLVMValueRef emit_load(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    Lanes        x = index_lanes(w, s->index);
    LLVMValueRef mask = s->mask && !always(w->val[s->mask]) ? w->val[s->mask] : NULL, v;
    if (!x.step && !x.vec) {
        v = load_uniform(w, s->buf, x.base, mask);
        if (mask && s->type != VT_BOOL) {
            LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
            if (lanes_of(mask) > 1) {
                v = walk_widen(w, v);
                zero = walk_widen(w, zero);
            }
            v = LLVMBuildSelect(e->b, mask, v, zero, "");
        }
    } else {
        v = load_lanes(w, s->buf, &x, mask_and(w, mask, w->tail));
    }
    if (s->type == VT_BOOL)
        v = LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
    return v;
}

LLVMValueRef walk_aligned(Walk *w, const Root *r)
{
    Emit        *e = w->e;
    Lanes        x = index_lanes(w, r->at);
    LLVMValueRef at = LLVMBuildPtrToInt(e->b, addr_of(e, stored_type(w, r->buf), base_of(w, r->buf), x.base), t_i64(e), "");
    return i_equal(e, LLVMBuildAnd(e->b, at, c_int(e, 4 * w->lanes - 1), ""), c_int(e, 0));
}

void walk_store(Walk *w, const Root *r, LLVMValueRef v, LLVMValueRef extra)
{
    Emit        *e = w->e;
    Lanes        x = index_lanes(w, r->at);
    LLVMTypeRef  t = stored_type(w, r->buf);
    unsigned     align = LLVMGetTypeKind(t) == LLVMIntegerTypeKind && LLVMGetIntTypeWidth(t) == 8 ? 1 : 4;
    if (extra)
        x.base = i_add(e, x.base, extra);
    if (LLVMGetTypeKind(t) == LLVMIntegerTypeKind && LLVMGetIntTypeWidth(t) == 8)
        v = LLVMBuildZExt(e->b, v, t_vec(t, lanes_of(v)), "");
    LLVMValueRef base = base_of(w, r->buf);
    if (lanes_of(v) == 1) {
        LLVMSetAlignment(LLVMBuildStore(e->b, v, addr_of(e, t, base, x.base)), align);
        return;
    }
    LLVMTypeRef vt = LLVMTypeOf(v);
    if (unit_step(&x)) {
        LLVMValueRef p = addr_of(e, t, base, x.base);
        if (e->ahead) {
            prefetch(e, p, true);
            return;
        }
        if (!w->tail && w->past)
            return store_past(e, v, p);
        if (!w->tail) {
            LLVMSetAlignment(LLVMBuildStore(e->b, v, p), align);
            return;
        }
        LLVMTypeRef  over[] = { vt, t_ptr(e) };
        LLVMValueRef args[] = { v, p, LLVMConstInt(t_i32(e), align, 0), w->tail };
        call_typed(e, "llvm.masked.store", over, 2, args, 4);
        return;
    }
    if (e->ahead)
        return;
    assert(x.step || x.vec);
    LLVMValueRef off = x.vec;
    if (x.step) {
        LLVMValueRef steps = LLVMBuildMul(e->b, c_ramp(e, w->lanes), splat(e, x.step, w->lanes), "");
        off = off ? LLVMBuildAdd(e->b, off, steps, "") : steps;
    }
    LLVMValueRef p = LLVMBuildGEP2(e->b, t, addr_of(e, t, base, x.base), &off, 1, "");
    LLVMTypeRef  over[] = { vt, t_vec(t_ptr(e), w->lanes) };
    LLVMValueRef args[] = { v, p, LLVMConstInt(t_i32(e), align, 0), w->tail ? w->tail : all_lanes(w) };
    call_typed(e, "llvm.masked.scatter", over, 2, args, 4);
}

/* ---- index arithmetic ---- */

static LLVMValueRef size_like(Walk *w, LLVMValueRef shape, Dim d) { return splat(w->e, size_value(w->e, d), lanes_of(shape)); }

/* A size of 0 has an empty domain, but what does not vary is computed before the loops all the same. */
static LLVMValueRef divisor(Walk *w, LLVMValueRef shape, Dim d)
{
    Emit        *e = w->e;
    LLVMValueRef n = size_value(e, d);
    return splat(e, LLVMIsAConstantInt(n) ? n : i_max(e, n, c_int(e, 1)), lanes_of(shape));
}

static LLVMValueRef emit_index_op(Walk *w, const Ins *s)
{
    Emit          *e = w->e;
    LLVMBuilderRef b = e->b;
    LLVMValueRef   a = w->val[s->a], zero = LLVMConstNull(LLVMTypeOf(a));
    switch (s->op) {
    case L_IDIV: return LLVMBuildUDiv(b, a, divisor(w, a, s->dim), "");
    case L_IMOD: return LLVMBuildURem(b, a, divisor(w, a, s->dim), "");
    case L_ICLAMP: {
        LLVMValueRef last = size_like(w, a, s->dim);
        last = LLVMBuildSub(b, last, like_const(a, 1), "");
        a = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, last, a, ""), last, a, "");
        return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, a, zero, ""), zero, a, "");
    }
    case L_IREFLECT: {
        LLVMValueRef n = size_like(w, a, s->dim), last2 = LLVMBuildSub(b, LLVMBuildAdd(b, n, n, ""), like_const(a, 2), "");
        a = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, a, zero, ""), LLVMBuildNeg(b, a, ""), a, "");
        return LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntSLT, a, n, ""), a, LLVMBuildSub(b, last2, a, ""), "");
    }
    default: {
        LLVMValueRef other = w->val[s->b], c = w->val[s->c];
        walk_match(w, &a, &other);
        if (lanes_of(c) > lanes_of(a)) {
            a = walk_widen(w, a);
            other = walk_widen(w, other);
        }
        return LLVMBuildSelect(b, c, a, other, "");
    }
    }
}

/* A table's row: inside, or the flag goes up with the number that was wrong. */
static LLVMValueRef emit_row(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    LLVMValueRef v = w->val[s->a], at = LLVMBuildSExt(e->b, v, t_vec(t_i64(e), lanes_of(v)), "");
    LLVMValueRef good = LLVMBuildICmp(e->b, LLVMIntULT, at, size_like(w, at, s->dim), "");
    LLVMValueRef bad = LLVMBuildNot(e->b, good, "");
    if (s->mask)
        bad = mask_and(w, bad, w->val[s->mask]);
    if (w->tail && lanes_of(bad) > 1)
        bad = mask_and(w, bad, w->tail);
    If           f = if_begin(e, any_lane(w, bad));
    LLVMValueRef flags = base_of(w, w->b->flags_buf), wrong = v;
    if (lanes_of(v) > 1 || lanes_of(bad) > 1) {
        LLVMValueRef seen = LLVMBuildSelect(e->b, bad, walk_widen(w, v), LLVMConstNull(t_vec(t_i32(e), w->lanes)), "");
        LLVMTypeRef  over = LLVMTypeOf(seen);
        LLVMValueRef high = call_typed(e, "llvm.vector.reduce.smax", &over, 1, &seen, 1), low = call_typed(e, "llvm.vector.reduce.smin", &over, 1, &seen, 1);
        wrong = LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntNE, high, LLVMConstNull(t_i32(e)), ""), high, low, "");
    }
    LLVMBuildStore(e->b, wrong, addr_of(e, t_i32(e), flags, c_int(e, 2 * s->imm + 1)));
    LLVMBuildStore(e->b, LLVMConstInt(t_i32(e), 1, 0), addr_of(e, t_i32(e), flags, c_int(e, 2 * s->imm)));
    if_end(e, &f);
    return LLVMBuildSelect(e->b, good, at, LLVMConstNull(LLVMTypeOf(at)), "");
}

/* ---- regions ---- */

LLVMValueRef fold_start(Walk *w, How how, ValType t)
{
    if (t == VT_I32)
        return LLVMConstInt(t_i32(w->e), how == HOW_SUM || how == HOW_SUM_WIDE ? 0 : (unsigned)INT32_MIN, 1);
    return LLVMConstReal(t_f32(w->e), how == HOW_SUM || how == HOW_SUM_WIDE ? 0 : -INFINITY);
}

LLVMValueRef fold(Emit *e, How how, ValType t, LLVMValueRef acc, LLVMValueRef v)
{
    if (how == HOW_SUM || how == HOW_SUM_WIDE)
        return t == VT_I32 ? LLVMBuildAdd(e->b, acc, v, "") : LLVMBuildFAdd(e->b, acc, v, "");
    return extreme(e, OP_max, t == VT_I32, v, acc);        /* a NaN that is in acc stays: it is not smaller than v */
}

static void emit_ins(Walk *w, uint32_t i);

/* The region an instruction stands in: the latest whose loops it varies with. Regions open inwards, so that is the innermost. */
static uint32_t home(const Walk *w, uint32_t i)
{
    uint32_t deps = w->b->ins.at[i].deps;
    for (uint32_t r = w->b->region.n - 1; r > 0; r--)
        if (deps >> w->b->region.at[r].first & ((1u << w->b->region.at[r].count) - 1))
            return r;
    return 0;
}

typedef struct { LLVMValueRef acc, key, found; } Carry;            /* acc: the result so far; key, found: of a pick */

static Carry turn(Walk *w, const Ins *s, Carry c)
{
    Emit        *e = w->e;
    const Body  *b = w->b;
    bool         vec = by_lane(w, s->a ? b->ins.at[s->a].deps | (s->b ? b->ins.at[s->b].deps : 0) | (s->c ? b->ins.at[s->c].deps : 0) : 0);
    ValType      t = (ValType)b->ins.at[s->a].type;
    for (uint32_t i = 1; i < b->ins.n; i++)
        if (home(w, i) == s->imm)
            emit_ins(w, i);
    LLVMValueRef v = vec ? walk_value(w, s->a) : w->val[s->a];
    if (s->how == HOW_SUM_WIDE && t == VT_F32)
        v = LLVMBuildFPExt(e->b, v, t_vec(LLVMDoubleTypeInContext(e->cx), lanes_of(v)), "");
    if (s->how != HOW_PICK) {
        c.acc = fold(e, (How)s->how, t, c.acc, v);
        return c;
    }
    LLVMValueRef value = vec ? walk_value(w, s->b) : w->val[s->b];
    LLVMValueRef take = LLVMBuildOr(e->b, LLVMBuildNot(e->b, c.found, ""), compare(e, OP_lt, t != VT_F32, c.key, v), "");
    if (t == VT_F32)
        take = LLVMBuildOr(e->b, take, LLVMBuildAnd(e->b, is_nan(e, v), LLVMBuildNot(e->b, is_nan(e, c.key), ""), ""), "");
    if (s->c) {
        LLVMValueRef valid = vec ? walk_value(w, s->c) : w->val[s->c];
        take = LLVMBuildAnd(e->b, take, valid, "");
    }
    c.key = LLVMBuildSelect(e->b, take, v, c.key, "");
    c.acc = LLVMBuildSelect(e->b, take, value, c.acc, "");
    c.found = LLVMBuildOr(e->b, c.found, take, "");
    return c;
}

static Carry first_turn(Walk *w, const Ins *s)
{
    Emit       *e = w->e;
    const Body *b = w->b;
    uint32_t    deps = b->ins.at[s->a].deps | (s->b ? b->ins.at[s->b].deps : 0) | (s->c ? b->ins.at[s->c].deps : 0);
    int         n = by_lane(w, deps) ? w->lanes : 1;
    ValType     t = (ValType)b->ins.at[s->a].type;
    Carry       c = { 0 };
    if (s->how == HOW_PICK) {
        LLVMTypeRef vt = walk_type(w, (ValType)b->ins.at[s->b].type);
        c.key = splat(e, fold_start(w, HOW_MAX, t), n);
        c.acc = s->a == s->b ? c.key : LLVMConstNull(t_vec(vt, n));    /* the largest of nothing, or the pick of nothing */
        c.found = LLVMConstNull(t_vec(t_i1(e), n));
    } else if (s->how == HOW_SUM_WIDE && t == VT_F32) {
        c.acc = LLVMConstNull(t_vec(LLVMDoubleTypeInContext(e->cx), n));
    } else {
        c.acc = splat(e, fold_start(w, (How)s->how, t), n);
    }
    return c;
}

static Carry run_turns(Walk *w, const Ins *s, const Region *r, uint32_t depth, Carry c)
{
    if (depth == r->count)
        return turn(w, s, c);
    Emit        *e = w->e;
    LLVMValueRef n = index_i64(w, r->extent[depth]), init[3] = { c.acc, c.key, c.found };
    int          ncarry = c.found ? 3 : 1;
    Loop         l = loop_begin(e, c_int(e, 0), n, 1, ncarry, init);
    w->loop[r->first + depth] = l.i;
    c = run_turns(w, s, r, depth + 1, (Carry){ l.carry[0], ncarry > 1 ? l.carry[1] : NULL, ncarry > 1 ? l.carry[2] : NULL });
    LLVMValueRef next[3] = { c.acc, c.key, c.found };
    loop_end(e, &l, next);
    return (Carry){ l.carry[0], ncarry > 1 ? l.carry[1] : NULL, ncarry > 1 ? l.carry[2] : NULL };
}

/* A few turns of a short body are written out one after the other: window sizes are constants. */
static bool short_enough(Walk *w, const Ins *s, const Region *r, int64_t *extent)
{
    int64_t turns = 1, size = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        LLVMValueRef n = index_i64(w, r->extent[i]);
        if (!is_int(n, &extent[i]) || extent[i] > 16)
            return false;
        turns *= extent[i];
    }
    for (uint32_t i = 1; i < w->b->ins.n; i++)
        size += home(w, i) == s->imm;
    return turns * size <= 128 && turns <= 16;
}

static Carry unroll(Walk *w, const Ins *s, const Region *r, const int64_t *extent, uint32_t depth, Carry c)
{
    if (depth == r->count)
        return turn(w, s, c);
    for (int64_t i = 0; i < extent[depth]; i++) {
        w->loop[r->first + depth] = c_int(w->e, i);
        c = unroll(w, s, r, extent, depth + 1, c);
    }
    return c;
}

static LLVMValueRef emit_region(Walk *w, const Ins *s)
{
    const Region *r = &w->b->region.at[s->imm];
    int64_t       extent[8];
    Carry         c = first_turn(w, s);
    if (s->mask) {                         /* guarded: all turns or none */
        Emit        *e = w->e;
        LLVMValueRef some = LLVMBuildZExt(e->b, any_lane(w, w->val[s->mask]), t_i64(e), "");
        Loop         l = loop_begin(e, c_int(e, 0), some, 1, 1, &c.acc);
        c = run_turns(w, s, r, 0, (Carry){ .acc = l.carry[0] });
        loop_end(e, &l, &c.acc);
        c.acc = l.carry[0];
    } else {
        c = short_enough(w, s, r, extent) ? unroll(w, s, r, extent, 0, c) : run_turns(w, s, r, 0, c);
    }
    if (s->how == HOW_SUM_WIDE && s->type == VT_F32)
        return LLVMBuildFPTrunc(w->e->b, c.acc, t_vec(t_f32(w->e), lanes_of(c.acc)), "");
    return c.acc;
}

/* ---- instructions ---- */

static LLVMValueRef emit_random(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    LLVMValueRef at = index_i64(w, s->index), zero = LLVMConstNull(t_i32(e)), word[3] = { zero, zero, zero };
    for (int i = 0; i < 3 && !s->flag; i++)
        word[i] = load_of(e, t_i32(e), addr_of(e, t_i32(e), base_of(w, w->b->run_buf), c_int(e, 8 + i)), 4);
    return (s->op == L_UNIFORM ? vec_uniform : vec_normal)(e, at, word[0], word[1], word[2], s->imm);
}

static LLVMValueRef emit_number(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    LLVMValueRef x = index_i64(w, s->index);
    int          n = lanes_of(x);
    return s->type == VT_I32 ? LLVMBuildTrunc(e->b, x, t_vec(t_i32(e), n), "") : LLVMBuildSIToFP(e->b, x, t_vec(t_f32(e), n), "");
}

static LLVMValueRef emit_inside(Walk *w, const Ins *s)
{
    LLVMValueRef x = index_i64(w, s->index);
    return LLVMBuildICmp(w->e->b, LLVMIntULT, x, size_like(w, x, s->dim), "");     /* a negative index is a huge one */
}

static LLVMValueRef emit_const(Walk *w, const Ins *s)
{
    if (s->type == VT_F32)
        return LLVMConstReal(t_f32(w->e), s->value);
    return LLVMConstInt(walk_type(w, (ValType)s->type), (unsigned long long)(int64_t)s->value, 1);
}

static LLVMValueRef emit_runtime(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    LLVMValueRef v = load_of(e, t_f32(e), addr_of(e, t_f32(e), base_of(w, w->b->run_buf), c_int(e, s->imm)), 4);
    return s->type == VT_I32 ? to_i32(e, v) : v;
}

static void emit_ins(Walk *w, uint32_t i)
{
    const Ins *s = &w->b->ins.at[i];
    debug_place(w->e, s->node);
    switch (w->known ? w->known[i] : OPEN) {
    case HOLDS:  w->val[i] = LLVMConstInt(t_i1(w->e), 1, 0); return;
    case FAILS:  w->val[i] = LLVMConstInt(t_i1(w->e), 0, 0); return;
    case ITSELF: w->val[i] = w->val[s->a]; return;
    default:     break;
    }
    switch (s->op) {
    case L_CONST:   w->val[i] = emit_const(w, s); break;
    case L_ACC:     w->val[i] = w->acc; break;
    case L_LOAD:    w->val[i] = emit_load(w, s); break;
    case L_NUMBER:  w->val[i] = emit_number(w, s); break;
    case L_RUNTIME: w->val[i] = emit_runtime(w, s); break;
    case L_UNIFORM: case L_NORMAL:
                    w->val[i] = emit_random(w, s); break;
    case L_ELEM:    w->val[i] = walk_elem(w, s); break;
    case L_INDEX:   w->val[i] = index_i64(w, s->index); break;
    case L_ROW:     w->val[i] = emit_row(w, s); break;
    case L_INSIDE:  w->val[i] = emit_inside(w, s); break;
    case L_LOOP:    w->val[i] = emit_region(w, s); break;
    default:        w->val[i] = emit_index_op(w, s); break;
    }
}

Walk walk_new(Emit *e, const Body *b, int lanes, int lane_loop, uint32_t inner_loops, uint32_t row_loops)
{
    Walk w = { .e = e, .b = b, .lanes = lanes, .lane_loop = lane_loop, .inner_loops = inner_loops, .row_loops = row_loops };
    w.val = xmalloc(b->ins.n * sizeof *w.val);
    return w;
}

void walk_free(Walk *w)
{
    free(w->val);
    w->val = NULL;
}

LLVMValueRef walk_again(Walk *w, Val v)
{
    assert(w->b->ins.at[v].op == L_INSIDE && w->b->index.at[w->b->ins.at[v].index].nterms == 0);
    emit_ins(w, v);
    return walk_value(w, v);
}

static void ins_again(Walk *w, Val v)
{
    const Ins *s = &w->b->ins.at[v];
    assert(s->type == VT_INDEX || s->type == VT_BOOL);
    const Val operands[] = { s->a, s->b, s->c };
    for (size_t i = 0; i < COUNT(operands); i++)
        if (operands[i])
            ins_again(w, operands[i]);
    walk_index_again(w, s->index);
    emit_ins(w, v);
}

void walk_index_again(Walk *w, IndexId id)
{
    for (uint32_t t = 0; t < w->b->index.at[id].nterms; t++)
        ins_again(w, w->b->index.at[id].term[t].v);
}

void walk_level(Walk *w, Level level)
{
    for (uint32_t i = 1; i < w->b->ins.n; i++) {
        uint32_t deps = w->b->ins.at[i].deps;
        Level    own = deps & w->inner_loops ? LEVEL_INNER : deps & w->row_loops ? LEVEL_ROW : deps ? LEVEL_PLANE : LEVEL_KERNEL;
        if (own == level && home(w, i) == 0)
            emit_ins(w, i);
    }
}
