/* loops_elem.c - elementwise ops to LLVM, on scalars or vectors of f32, i32 and bool. What takes more than arithmetic is vecmath.c's.
 *
 * Where a choice is to be made it is the reference interpreter's: NaN wins in min and max, i32 division by 0 is 0, casts to i32 clamp.
 */
#include "loops_walk.h"

LLVMValueRef like_const(LLVMValueRef v, double f)           /* f in v's type and shape */
{
    LLVMTypeRef  t = LLVMTypeOf(v), elem = LLVMGetTypeKind(t) == LLVMVectorTypeKind ? LLVMGetElementType(t) : t;
    LLVMValueRef c = LLVMGetTypeKind(elem) == LLVMIntegerTypeKind ? LLVMConstInt(elem, (unsigned long long)(int64_t)f, 1) : LLVMConstReal(elem, f);
    LLVMValueRef all[64];
    int          n = lanes_of(v);
    for (int i = 0; i < n; i++)
        all[i] = c;
    return n == 1 ? c : LLVMConstVector(all, (unsigned)n);
}

LLVMValueRef is_nan(Emit *e, LLVMValueRef a) { return LLVMBuildFCmp(e->b, LLVMRealUNO, a, a, ""); }

/* min and max: a where it is a NaN, else b unless a is truly smaller (larger) */
LLVMValueRef extreme(Emit *e, Op op, bool ints, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef c;
    if (ints)
        c = LLVMBuildICmp(e->b, op == OP_min ? LLVMIntSLT : LLVMIntSGT, a, b, "");
    else
        c = LLVMBuildOr(e->b, LLVMBuildFCmp(e->b, op == OP_min ? LLVMRealOLT : LLVMRealOGT, a, b, ""), is_nan(e, a), "");
    return LLVMBuildSelect(e->b, c, a, b, "");
}

LLVMValueRef compare(Emit *e, Op op, bool ints, LLVMValueRef a, LLVMValueRef b)
{
    LLVMIntPredicate  i = op == OP_eq ? LLVMIntEQ : op == OP_ne ? LLVMIntNE : op == OP_lt ? LLVMIntSLT : LLVMIntSLE;
    LLVMRealPredicate f = op == OP_eq ? LLVMRealOEQ : op == OP_ne ? LLVMRealUNE : op == OP_lt ? LLVMRealOLT : LLVMRealOLE;
    return ints ? LLVMBuildICmp(e->b, i, a, b, "") : LLVMBuildFCmp(e->b, f, a, b, "");
}

/* towards zero; 0 for a divisor of 0; INT_MIN / -1 wraps */
static LLVMValueRef divide_i32(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef zero = like_const(b, 0), one = like_const(b, 1);
    LLVMValueRef by_0 = LLVMBuildICmp(e->b, LLVMIntEQ, b, zero, ""), by_m1 = LLVMBuildICmp(e->b, LLVMIntEQ, b, like_const(b, -1), "");
    LLVMValueRef safe = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, by_0, by_m1, ""), one, b, "");
    LLVMValueRef q = LLVMBuildSDiv(e->b, a, safe, "");
    q = LLVMBuildSelect(e->b, by_m1, LLVMBuildNeg(e->b, a, ""), q, "");
    return LLVMBuildSelect(e->b, by_0, zero, q, "");
}

/* towards zero, clamped to i32, NaN to 0 */
LLVMValueRef to_i32(Emit *e, LLVMValueRef a)
{
    LLVMTypeRef  t = t_vec(t_i32(e), lanes_of(a));
    LLVMValueRef low = like_const(a, -0x1p31), big = LLVMBuildFCmp(e->b, LLVMRealOGE, a, like_const(a, 0x1p31), "");
    LLVMValueRef safe = LLVMBuildSelect(e->b, LLVMBuildOr(e->b, big, is_nan(e, a), ""), like_const(a, 0), a, "");
    safe = LLVMBuildSelect(e->b, LLVMBuildFCmp(e->b, LLVMRealOLT, safe, low, ""), low, safe, "");
    LLVMValueRef v = LLVMBuildFPToSI(e->b, safe, t, "");
    return LLVMBuildSelect(e->b, big, like_const(v, 2147483647.0), v, "");
}

static LLVMValueRef convert(Emit *e, ValType from, ValType to, LLVMValueRef a)
{
    if (to == VT_BOOL)
        return from == VT_I32 ? LLVMBuildICmp(e->b, LLVMIntNE, a, like_const(a, 0), "") : LLVMBuildFCmp(e->b, LLVMRealUNE, a, like_const(a, 0), "");
    if (to == VT_I32)
        return from == VT_BOOL ? LLVMBuildZExt(e->b, a, t_vec(t_i32(e), lanes_of(a)), "") : to_i32(e, a);
    return from == VT_BOOL ? LLVMBuildUIToFP(e->b, a, t_vec(t_f32(e), lanes_of(a)), "") : LLVMBuildSIToFP(e->b, a, t_vec(t_f32(e), lanes_of(a)), "");
}

/* Powers of whole numbers are exact: libm's pow, lane by lane. It is rare. */
static LLVMValueRef pow_i32(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMTypeRef  f64 = LLVMDoubleTypeInContext(e->cx), params[] = { f64, f64 }, type = LLVMFunctionType(f64, params, 2, 0);
    LLVMValueRef f = LLVMGetNamedFunction(e->module, "pow"), r = LLVMGetUndef(LLVMTypeOf(a));
    int          n = lanes_of(a);
    if (!f)
        f = LLVMAddFunction(e->module, "pow", type);
    for (int i = 0; i < n; i++) {
        LLVMValueRef at = LLVMConstInt(t_i32(e), (unsigned)i, 0), args[2];
        args[0] = LLVMBuildSIToFP(e->b, n == 1 ? a : LLVMBuildExtractElement(e->b, a, at, ""), f64, "");
        args[1] = LLVMBuildSIToFP(e->b, n == 1 ? b : LLVMBuildExtractElement(e->b, b, at, ""), f64, "");
        LLVMValueRef v = to_i32(e, LLVMBuildCall2(e->b, type, f, args, 2, ""));
        r = n == 1 ? v : LLVMBuildInsertElement(e->b, r, v, at, "");
    }
    return r;
}

static LLVMValueRef emit_unary(Emit *e, Op op, ValType from, ValType to, LLVMValueRef a)
{
    bool ints = from != VT_F32;
    switch (op) {
    case OP_cast: return convert(e, from, to, a);
    case OP_not:  return LLVMBuildNot(e->b, a, "");
    case OP_neg:  return ints ? LLVMBuildNeg(e->b, a, "") : LLVMBuildFNeg(e->b, a, "");
    case OP_abs: {
        LLVMTypeRef t = LLVMTypeOf(a);
        if (!ints)
            return intrinsic(e, "llvm.fabs", t, 1, &a);
        return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, like_const(a, 0), ""), LLVMBuildNeg(e->b, a, ""), a, "");
    }
    case OP_sign: {
        LLVMValueRef zero = like_const(a, 0), up = compare(e, OP_lt, ints, zero, a), down = compare(e, OP_lt, ints, a, zero);
        return LLVMBuildSelect(e->b, up, like_const(a, 1), LLVMBuildSelect(e->b, down, like_const(a, -1), zero, ""), "");
    }
    case OP_floor: case OP_round:
        if (ints)
            return a;
        break;
    default:
        break;
    }
    return vec_math(e, op, a, NULL);
}

static LLVMValueRef emit_binary(Emit *e, Op op, ValType from, LLVMValueRef a, LLVMValueRef b)
{
    bool ints = from != VT_F32;
    switch (op) {
    case OP_add: return ints ? LLVMBuildAdd(e->b, a, b, "") : LLVMBuildFAdd(e->b, a, b, "");
    case OP_sub: return ints ? LLVMBuildSub(e->b, a, b, "") : LLVMBuildFSub(e->b, a, b, "");
    case OP_mul: return ints ? LLVMBuildMul(e->b, a, b, "") : LLVMBuildFMul(e->b, a, b, "");
    case OP_div: return ints ? divide_i32(e, a, b) : LLVMBuildFDiv(e->b, a, b, "");
    case OP_pow: return ints ? pow_i32(e, a, b) : vec_math(e, OP_pow, a, b);
    case OP_min: case OP_max:
        return extreme(e, op, ints, a, b);
    case OP_and: return LLVMBuildAnd(e->b, a, b, "");
    case OP_or:  return LLVMBuildOr(e->b, a, b, "");
    default:     return compare(e, op, ints, a, b);
    }
}

LLVMValueRef walk_elem(Walk *w, const Ins *s)
{
    Emit        *e = w->e;
    ValType      from = (ValType)w->b->ins.at[s->a].type;
    LLVMValueRef a = w->val[s->a], b = s->b ? w->val[s->b] : NULL, c = s->c ? w->val[s->c] : NULL;
    if (s->elem == OP_select) {
        walk_match(w, &b, &c);
        if (lanes_of(a) > lanes_of(b)) {
            b = walk_widen(w, b);
            c = walk_widen(w, c);
        }
        return LLVMBuildSelect(e->b, a, b, c, "");
    }
    if (!b)
        return emit_unary(e, (Op)s->elem, from, (ValType)s->type, a);
    walk_match(w, &a, &b);
    return emit_binary(e, (Op)s->elem, from, a, b);
}
