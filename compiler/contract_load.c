/* contract_load.c - a tile of a convolution's first operand that no buffer holds: computed by the kernel's prologue where the tile is read (fuse_load.c says when).
 *
 * The tile goes to the stack, channels of a block side by side, from where it is transformed as if it had been stored so. Inside the operand elements are computed without
 * a question; at the border each asks whether it is inside, and is 0 if not: zeros around the operand are not what the chain makes of zeros. Nothing outside is read.
 */
#include "winograd.h"

static void put(const TileLoad *l, LLVMValueRef row, LLVMValueRef col, LLVMValueRef v)
{
    Emit *e = l->e;
    store(e, v, addr(e, l->tile, i_mulc(e, i_add(e, i_mulc(e, row, l->side), col), e->target->vec)));
}

/* 0 <= i < n */
static LLVMValueRef is_inside(Emit *e, LLVMValueRef i, LLVMValueRef n) { return LLVMBuildICmp(e->b, LLVMIntULT, i, n, ""); }

static void put_border(const TileLoad *l, const At4 *first)
{
    Emit        *e = l->e;
    LLVMValueRef zero = c_int(e, 0), side = c_int(e, l->side);
    Loop         y = loop_begin_some(e, zero, side, 1, 0, NULL);
    Loop         x = loop_begin_some(e, zero, side, 1, 0, NULL);
    At4          at = *first;
    at.h = i_add(e, at.h, i_mulc(e, y.i, l->step));
    at.w = i_add(e, at.w, i_mulc(e, x.i, l->step));
    If f = if_begin(e, LLVMBuildAnd(e->b, is_inside(e, at.h, l->rows), is_inside(e, at.w, l->cols), ""));
    l->prologue(l->ctx, e, &at, PROLOGUE_ROW);
    put(l, y.i, x.i, l->prologue(l->ctx, e, &at, PROLOGUE_HERE));
    if_else(e, &f);
    put(l, y.i, x.i, zero_acc(e));
    if_end(e, &f);
    loop_end(e, &x, NULL);
    loop_end(e, &y, NULL);
}

void load_tile(const TileLoad *l, const At4 *first)
{
    Emit        *e = l->e;
    int64_t      reach = (int64_t)(l->side - 1) * l->step;
    LLVMValueRef begins = LLVMBuildAnd(e->b, is_inside(e, first->h, l->rows), is_inside(e, first->w, l->cols), "");
    LLVMValueRef ends = LLVMBuildAnd(e->b, is_inside(e, i_addc(e, first->h, reach), l->rows), is_inside(e, i_addc(e, first->w, reach), l->cols), "");
    l->prologue(l->ctx, e, first, PROLOGUE_PLANE);
    If   f = if_begin(e, LLVMBuildAnd(e->b, begins, ends, ""));
    Loop y = loop_begin_some(e, c_int(e, 0), c_int(e, l->side), 1, 0, NULL);
    At4  at = *first;
    at.h = i_add(e, at.h, i_mulc(e, y.i, l->step));
    l->prologue(l->ctx, e, &at, PROLOGUE_ROW);
    for (int x = 0; x < l->side; x++) {
        at.w = i_addc(e, first->w, (int64_t)x * l->step);
        put(l, y.i, c_int(e, x), l->prologue(l->ctx, e, &at, PROLOGUE_HERE));
    }
    loop_end(e, &y, NULL);
    if_else(e, &f);
    put_border(l, first);
    if_end(e, &f);
}
