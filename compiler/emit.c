/* emit.c - thin helpers over LLVM-C (see emit.h). They keep the builder inside straight-line code and fold what is constant, so that emitters of
 * kernels need no cleaning passes to get good machine code from constant sizes. No operation, layout or schedule is known here.
 */
#include "emit.h"
#include "debug_code.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- kernel structure ---- */

int kernel_arg(Kernel *k, Dim d)
{
    for (uint32_t i = 0; i < k->args.n; i++)
        if (k->args.at[i] == d)
            return (int)i;
    vec_push(&k->args, d);
    return (int)k->args.n - 1;
}

int kernel_buf(Kernel *k, BufUse use)
{
    for (uint32_t i = 0; i < k->bufs.n; i++) {
        BufUse *b = &k->bufs.at[i];
        if (use.value && b->value == use.value && memcmp(&b->layout, &use.layout, sizeof use.layout) == 0 && b->write == use.write)
            return (int)i;
    }
    vec_push(&k->bufs, use);
    return (int)k->bufs.n - 1;
}

/* ---- frame ---- */

static void add_attribute(Emit *e, LLVMAttributeIndex at, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(e->fn, at, LLVMCreateEnumAttribute(e->cx, kind, 0));
}

static void add_text_attribute(Emit *e, const char *name, const char *value)
{
    LLVMAddAttributeAtIndex(e->fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->cx, name, (unsigned)strlen(name), value, (unsigned)strlen(value)));
}

void emit_begin(Emit *e, const Target *t, DimTable *dims, Kernel *k, const char *symbol)
{
    memset(e, 0, sizeof *e);
    e->cx = LLVMContextCreate();
    e->module = LLVMModuleCreateWithNameInContext(symbol, e->cx);
    e->b = LLVMCreateBuilderInContext(e->cx);
    e->target = t;
    e->dims = dims;
    e->kernel = k;
    LLVMTypeRef params[] = { t_ptr(e), t_ptr(e), t_i64(e), t_i64(e) };
    e->fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(LLVMVoidTypeInContext(e->cx), params, 4, 0));
    add_attribute(e, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    for (unsigned i = 1; i <= 2; i++) {
        add_attribute(e, i, "noalias");
        add_attribute(e, i, "readonly");
    }
    if (t->isa == ISA_AVX512) {
        add_text_attribute(e, "prefer-vector-width", "512");
        add_text_attribute(e, "min-legal-vector-width", "512");
    }
    e->bufs = LLVMGetParam(e->fn, 0);
    e->args = LLVMGetParam(e->fn, 1);
    e->tid = LLVMGetParam(e->fn, 2);
    e->nthreads = LLVMGetParam(e->fn, 3);
    static const char *const names[] = { "bufs", "args", "tid", "nthreads" };
    for (unsigned i = 0; i < 4; i++)
        LLVMSetValueName2(LLVMGetParam(e->fn, i), names[i], strlen(names[i]));
    e->entry = LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->cx, e->fn, "body");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    LLVMBuildBr(e->b, body);
    LLVMPositionBuilderAtEnd(e->b, body);
    debug_begin(e, symbol);
}

void emit_end(Emit *e)
{
    LLVMBuildRetVoid(e->b);
    debug_end(e);
    LLVMDisposeBuilder(e->b);
    e->b = NULL;
    vec_free(&e->arg_values);
    vec_free(&e->buf_values);
}

/* ---- types ---- */

LLVMTypeRef t_i1(Emit *e)  { return LLVMInt1TypeInContext(e->cx); }
LLVMTypeRef t_i32(Emit *e) { return LLVMInt32TypeInContext(e->cx); }
LLVMTypeRef t_i64(Emit *e) { return LLVMInt64TypeInContext(e->cx); }
LLVMTypeRef t_f32(Emit *e) { return LLVMFloatTypeInContext(e->cx); }
LLVMTypeRef t_ptr(Emit *e) { return LLVMPointerTypeInContext(e->cx, 0); }

LLVMTypeRef t_vec(LLVMTypeRef elem, int lanes)
{
    return lanes == 1 ? elem : LLVMVectorType(elem, (unsigned)lanes);
}

LLVMTypeRef t_dtype(Emit *e, Dtype t)
{
    switch (t) {
    case DT_F64:  return LLVMDoubleTypeInContext(e->cx);
    case DT_I32:  return t_i32(e);
    case DT_BOOL: return LLVMInt8TypeInContext(e->cx);
    default:      return t_f32(e);
    }
}

int lanes_of(LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

/* ---- constants, sizes, buffers ---- */

LLVMValueRef c_int(Emit *e, int64_t v) { return LLVMConstInt(t_i64(e), (unsigned long long)v, 1); }
LLVMValueRef c_f32(Emit *e, double v)  { return LLVMConstReal(t_f32(e), v); }

LLVMValueRef c_vec(Emit *e, int lanes, double v)
{
    return splat(e, c_f32(e, v), lanes);
}

LLVMValueRef c_ramp(Emit *e, int lanes)
{
    LLVMValueRef v[64];
    assert(lanes <= 64);
    for (int i = 0; i < lanes; i++)
        v[i] = c_int(e, i);
    return lanes == 1 ? v[0] : LLVMConstVector(v, (unsigned)lanes);
}

bool is_int(LLVMValueRef v, int64_t *c)
{
    if (!LLVMIsAConstantInt(v))
        return false;
    *c = LLVMConstIntGetSExtValue(v);
    return true;
}

/* Loads element `index` of a pointer parameter once, in the entry block. */
static LLVMValueRef load_once(Emit *e, LLVMTypeRef type, LLVMValueRef array, int index, LLVMValueRef *slot)
{
    if (!*slot) {
        LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
        LLVMPositionBuilderBefore(e->b, LLVMGetBasicBlockTerminator(e->entry));
        LLVMValueRef i = c_int(e, index);
        *slot = LLVMBuildLoad2(e->b, type, LLVMBuildInBoundsGEP2(e->b, type, array, &i, 1, ""), "");
        LLVMPositionBuilderAtEnd(e->b, here);
    }
    return *slot;
}

LLVMValueRef dim_value(Emit *e, Dim d)
{
    int64_t c;
    if (dim_is_const(e->dims, d, &c))
        return c_int(e, c);
    int i = kernel_arg(e->kernel, d);
    while (e->arg_values.n <= (uint32_t)i)
        vec_push(&e->arg_values, NULL);
    return load_once(e, t_i64(e), e->args, i, &e->arg_values.at[i]);
}

LLVMValueRef buf_base(Emit *e, int index)
{
    while (e->buf_values.n <= (uint32_t)index)
        vec_push(&e->buf_values, NULL);
    return load_once(e, t_ptr(e), e->bufs, index, &e->buf_values.at[index]);
}

LLVMValueRef stack_array(Emit *e, LLVMTypeRef elem, int n)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilderBefore(e->b, LLVMGetFirstInstruction(e->entry));
    LLVMValueRef a = LLVMBuildAlloca(e->b, LLVMArrayType2(elem, (uint64_t)n), "");
    LLVMSetAlignment(a, 64);
    LLVMPositionBuilderAtEnd(e->b, here);
    return a;
}

/* ---- i64 arithmetic ---- */

LLVMValueRef i_add(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    int64_t c;
    if (is_int(a, &c) && c == 0)
        return b;
    if (is_int(b, &c) && c == 0)
        return a;
    return LLVMBuildNSWAdd(e->b, a, b, "");
}

LLVMValueRef i_sub(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    int64_t c;
    if (is_int(b, &c) && c == 0)
        return a;
    return LLVMBuildNSWSub(e->b, a, b, "");
}

LLVMValueRef i_mul(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    int64_t c;
    if (is_int(a, &c) && (c == 0 || c == 1))
        return c ? b : a;
    if (is_int(b, &c) && (c == 0 || c == 1))
        return c ? a : b;
    return LLVMBuildNSWMul(e->b, a, b, "");
}

LLVMValueRef i_div(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    int64_t c;
    if (is_int(b, &c) && c == 1)
        return a;
    return LLVMBuildUDiv(e->b, a, b, "");
}

LLVMValueRef i_rem(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    int64_t c;
    if (is_int(b, &c) && c == 1)
        return c_int(e, 0);
    return LLVMBuildURem(e->b, a, b, "");
}

LLVMValueRef i_less(Emit *e, LLVMValueRef a, LLVMValueRef b)  { return LLVMBuildICmp(e->b, LLVMIntSLT, a, b, ""); }
LLVMValueRef i_equal(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildICmp(e->b, LLVMIntEQ, a, b, ""); }
LLVMValueRef i_min(Emit *e, LLVMValueRef a, LLVMValueRef b)   { return a == b ? a : LLVMBuildSelect(e->b, i_less(e, a, b), a, b, ""); }
LLVMValueRef i_max(Emit *e, LLVMValueRef a, LLVMValueRef b)   { return a == b ? a : LLVMBuildSelect(e->b, i_less(e, a, b), b, a, ""); }
LLVMValueRef i_addc(Emit *e, LLVMValueRef a, int64_t c)       { return i_add(e, a, c_int(e, c)); }
LLVMValueRef i_mulc(Emit *e, LLVMValueRef a, int64_t c)       { return i_mul(e, a, c_int(e, c)); }
LLVMValueRef i_divc(Emit *e, LLVMValueRef a, int64_t c)       { return i_div(e, a, c_int(e, c)); }
LLVMValueRef i_mad(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c) { return i_add(e, i_mul(e, a, b), c); }

/* ---- memory ---- */

LLVMValueRef addr_of(Emit *e, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef off)
{
    int64_t c;
    if (is_int(off, &c) && c == 0)
        return base;
    return LLVMBuildGEP2(e->b, elem, base, &off, 1, "");
}

LLVMValueRef addr(Emit *e, LLVMValueRef base, LLVMValueRef off)
{
    return addr_of(e, t_f32(e), base, off);
}

LLVMValueRef load_of(Emit *e, LLVMTypeRef type, LLVMValueRef p, unsigned align)
{
    LLVMValueRef v = LLVMBuildLoad2(e->b, type, p, "");
    LLVMSetAlignment(v, align);
    return v;
}

LLVMValueRef load(Emit *e, LLVMValueRef p)
{
    return load_of(e, t_f32(e), p, 4);
}

static unsigned elem_bytes(LLVMTypeRef t)
{
    if (LLVMGetTypeKind(t) == LLVMVectorTypeKind)
        t = LLVMGetElementType(t);
    switch (LLVMGetTypeKind(t)) {
    case LLVMIntegerTypeKind: return LLVMGetIntTypeWidth(t) <= 8 ? 1 : LLVMGetIntTypeWidth(t) / 8;
    case LLVMFloatTypeKind:   return 4;
    default:                  return 8;
    }
}

void store(Emit *e, LLVMValueRef v, LLVMValueRef p)
{
    LLVMSetAlignment(LLVMBuildStore(e->b, v, p), elem_bytes(LLVMTypeOf(v)));
}

void store_past(Emit *e, LLVMValueRef v, LLVMValueRef p)
{
    LLVMValueRef    s = LLVMBuildStore(e->b, v, p);
    LLVMMetadataRef one = LLVMValueAsMetadata(LLVMConstInt(t_i32(e), 1, 0));
    unsigned        bytes = elem_bytes(LLVMTypeOf(v)) * (unsigned)lanes_of(v);
    LLVMSetAlignment(s, bytes);
    LLVMSetMetadata(s, LLVMGetMDKindIDInContext(e->cx, "nontemporal", 11), LLVMMetadataAsValue(e->cx, LLVMMDNodeInContext2(e->cx, &one, 1)));
}

void fence_past(Emit *e)
{
    unsigned     id = LLVMLookupIntrinsicID("llvm.x86.sse.sfence", strlen("llvm.x86.sse.sfence"));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, NULL, 0);
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, NULL, 0, "");
}

void prefetch(Emit *e, LLVMValueRef p, bool write)
{
    LLVMValueRef args[] = { p, LLVMConstInt(t_i32(e), write, 0), LLVMConstInt(t_i32(e), 2, 0), LLVMConstInt(t_i32(e), 1, 0) };
    intrinsic(e, "llvm.prefetch", t_ptr(e), 4, args);
}

LLVMValueRef vec_load(Emit *e, LLVMValueRef p, int lanes)
{
    return load_of(e, t_vec(t_f32(e), lanes), p, 4);
}

LLVMValueRef vec_load_mask(Emit *e, LLVMValueRef p, int lanes, LLVMValueRef mask)
{
    if (!mask)
        return vec_load(e, p, lanes);
    LLVMTypeRef  over[] = { t_vec(t_f32(e), lanes), t_ptr(e) };
    unsigned     id = LLVMLookupIntrinsicID("llvm.masked.load", strlen("llvm.masked.load"));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, over, 2);
    LLVMValueRef args[] = { p, LLVMConstInt(t_i32(e), 4, 0), mask, LLVMConstNull(over[0]) };
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, 4, "");
}

void vec_store_mask(Emit *e, LLVMValueRef v, LLVMValueRef p, LLVMValueRef mask)
{
    if (!mask) {
        store(e, v, p);
        return;
    }
    LLVMTypeRef  over[] = { LLVMTypeOf(v), t_ptr(e) };
    unsigned     id = LLVMLookupIntrinsicID("llvm.masked.store", strlen("llvm.masked.store"));
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, over, 2);
    LLVMValueRef args[] = { v, p, LLVMConstInt(t_i32(e), elem_bytes(over[0]), 0), mask };
    LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, 4, "");
}

LLVMValueRef tail_mask(Emit *e, LLVMValueRef count, int lanes)
{
    return LLVMBuildICmp(e->b, LLVMIntSLT, c_ramp(e, lanes), splat(e, count, lanes), "");
}

/* ---- f32 arithmetic ---- */

LLVMValueRef splat(Emit *e, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef v[64];
        assert(lanes <= 64);
        for (int i = 0; i < lanes; i++)
            v[i] = scalar;
        return LLVMConstVector(v, (unsigned)lanes);
    }
    LLVMTypeRef  t = t_vec(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(t), scalar, LLVMConstInt(t_i32(e), 0, 0), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(t), LLVMConstNull(t_vec(t_i32(e), lanes)), "");
}

LLVMValueRef f_fma(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!e->target->fma)
        return f_add(e, f_mul(e, a, b), c);
    LLVMValueRef args[] = { a, b, c };
    return intrinsic(e, "llvm.fma", LLVMTypeOf(a), 3, args);
}

LLVMValueRef f_add(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFAdd(e->b, a, b, ""); }
LLVMValueRef f_mul(Emit *e, LLVMValueRef a, LLVMValueRef b) { return LLVMBuildFMul(e->b, a, b, ""); }

LLVMValueRef shuffle(Emit *e, LLVMValueRef a, LLVMValueRef b, const int *lanes, int n)
{
    LLVMValueRef m[128];
    assert(n <= 128);
    for (int i = 0; i < n; i++)
        m[i] = lanes[i] < 0 ? LLVMGetPoison(t_i32(e)) : LLVMConstInt(t_i32(e), (unsigned long long)lanes[i], 0);
    return LLVMBuildShuffleVector(e->b, a, b, LLVMConstVector(m, (unsigned)n), "");
}

LLVMValueRef intrinsic(Emit *e, const char *name, LLVMTypeRef overload, int nargs, LLVMValueRef *args)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    assert(id);
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(e->module, id, &overload, overload ? 1 : 0);
    return LLVMBuildCall2(e->b, LLVMGlobalGetValueType(f), f, args, (unsigned)nargs, "");
}

/* ---- control ---- */

LLVMBasicBlockRef block_new(Emit *e, const char *name)
{
    return LLVMAppendBasicBlockInContext(e->cx, e->fn, name);
}

static void begin_body(Emit *e, Loop *l, LLVMBasicBlockRef before, LLVMValueRef from, LLVMValueRef *init)
{
    l->i = LLVMBuildPhi(e->b, t_i64(e), "i");
    LLVMAddIncoming(l->i, &from, &before, 1);
    for (int k = 0; k < l->ncarry; k++) {
        l->carry[k] = LLVMBuildPhi(e->b, LLVMTypeOf(init[k]), "");
        LLVMAddIncoming(l->carry[k], &init[k], &before, 1);
    }
}

Loop loop_begin(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step, int ncarry, LLVMValueRef *init)
{
    int64_t lo, hi;
    if (is_int(from, &lo) && is_int(to, &hi) && lo < hi)
        return loop_begin_some(e, from, to, step, ncarry, init);
    Loop l = { .ncarry = ncarry, .to = to, .step = c_int(e, step) };
    assert(ncarry <= MAX_CARRY && step > 0);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    l.head = block_new(e, "loop");
    l.body = block_new(e, "do");
    l.exit = block_new(e, "done");
    LLVMBuildBr(e->b, l.head);
    LLVMPositionBuilderAtEnd(e->b, l.head);
    begin_body(e, &l, before, from, init);
    LLVMBuildCondBr(e->b, i_less(e, l.i, to), l.body, l.exit);
    LLVMPositionBuilderAtEnd(e->b, l.body);
    return l;
}

Loop loop_begin_some(Emit *e, LLVMValueRef from, LLVMValueRef to, int64_t step, int ncarry, LLVMValueRef *init)
{
    Loop    l = { .ncarry = ncarry, .to = to, .step = c_int(e, step), .bottom = true };
    int64_t lo, hi;
    assert(ncarry <= MAX_CARRY && step > 0);
    if (is_int(from, &lo) && is_int(to, &hi) && lo + step >= hi) {
        l.single = true;
        l.i = from;
        for (int k = 0; k < ncarry; k++)
            l.carry[k] = init[k];
        return l;
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->b);
    l.body = block_new(e, "do");
    l.exit = block_new(e, "done");
    LLVMBuildBr(e->b, l.body);
    LLVMPositionBuilderAtEnd(e->b, l.body);
    begin_body(e, &l, before, from, init);
    return l;
}

void loop_end(Emit *e, Loop *l, LLVMValueRef *next)
{
    if (l->single) {
        for (int k = 0; k < l->ncarry; k++)
            l->carry[k] = next[k];
        return;
    }
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMValueRef      i = i_add(e, l->i, l->step);
    LLVMAddIncoming(l->i, &i, &latch, 1);
    for (int k = 0; k < l->ncarry; k++)
        LLVMAddIncoming(l->carry[k], &next[k], &latch, 1);
    if (l->bottom) {
        LLVMBuildCondBr(e->b, i_less(e, i, l->to), l->body, l->exit);
        for (int k = 0; k < l->ncarry; k++)
            l->carry[k] = next[k];
    } else {
        LLVMBuildBr(e->b, l->head);
    }
    LLVMMoveBasicBlockAfter(l->exit, LLVMGetLastBasicBlock(e->fn));
    LLVMPositionBuilderAtEnd(e->b, l->exit);
}

Range my_tasks(Emit *e, LLVMValueRef count)
{
    return (Range){ i_div(e, i_mul(e, count, e->tid), e->nthreads), i_div(e, i_mul(e, count, i_addc(e, e->tid, 1)), e->nthreads) };
}

Loop tasks_begin(Emit *e, LLVMValueRef count)
{
    Range mine = my_tasks(e, count);
    return loop_begin(e, mine.from, mine.to, 1, 0, NULL);
}

If if_begin(Emit *e, LLVMValueRef cond)
{
    If                f = { .other = block_new(e, "else"), .join = block_new(e, "join") };
    LLVMBasicBlockRef then = block_new(e, "then");
    LLVMBuildCondBr(e->b, cond, then, f.other);
    LLVMPositionBuilderAtEnd(e->b, then);
    return f;
}

void if_else(Emit *e, If *f)
{
    LLVMBuildBr(e->b, f->join);
    LLVMMoveBasicBlockAfter(f->other, LLVMGetLastBasicBlock(e->fn));
    LLVMPositionBuilderAtEnd(e->b, f->other);
    f->in_else = true;
}

void if_end(Emit *e, If *f)
{
    if (!f->in_else)
        if_else(e, f);
    LLVMBuildBr(e->b, f->join);
    LLVMMoveBasicBlockAfter(f->join, LLVMGetLastBasicBlock(e->fn));
    LLVMPositionBuilderAtEnd(e->b, f->join);
}
