/* loops_split.c - a row in three parts: in the middle one, whether coordinates are inside a picture is known before it begins.
 *
 *   0      lo                               hi     extent        mirrored coordinates, masks of padding, windows over the edge:
 *   |general|  middle: no masks, no mirrors  |general|           asked for in the outer parts only
 *
 * Looked at are instructions that ask about one coordinate which goes up or down by 1 with the row's loop: 0 <= x < size, or x held or mirrored there.
 * In the middle they hold and change nothing; of a border that is thin against the row (0 <= x < 4) it is known that x is outside. What the middle is follows
 * at run time, since sizes and the other loops come into it; where there is none, all of the row is general. Like all code, what is done here follows from
 * the body's text: from sizes that are literal there, not from those that are arguments.
 */
#include "loops_walk.h"

#include <stdlib.h>

enum { THIN = 32, MANY_INS = 300 };

/* +1 or -1: how x moves with the loop; 0: otherwise, or it varies with more than can be told before the row begins. */
static int step_of(const Body *b, DimTable *d, IndexId id, uint32_t loop, uint32_t lanes)
{
    const Index *x = &b->index.at[id];
    int64_t      step = 0;
    if (!size_is_literal(d, x->coef[loop], &step) || (step != 1 && step != -1))
        return 0;
    for (uint32_t l = b->ndomain; l < b->nloops; l++)
        if (x->coef[l])
            return 0;
    for (uint32_t t = 0; t < x->nterms; t++)
        if (b->ins.at[x->term[t].v].deps & (1u << loop | lanes | ~((1u << b->ndomain) - 1)))
            return 0;
    return (int)step;
}

static IndexId asked_about(const Body *b, const Ins *s)
{
    if (s->op == L_INSIDE)
        return s->index;
    bool moves = s->op == L_IREFLECT || s->op == L_ICLAMP;
    return moves && b->ins.at[s->a].op == L_INDEX ? b->ins.at[s->a].index : 0;
}

uint8_t *split_known(const Body *b, DimTable *d, uint32_t loop, int lane_loop)
{
    uint8_t *known = xmalloc(b->ins.n);
    uint32_t lanes = lane_loop >= 0 ? 1u << lane_loop : 0, found = 0;
    int64_t  n;
    for (uint32_t i = 1; i < b->ins.n && b->ins.n < MANY_INS; i++) {
        const Ins *s = &b->ins.at[i];
        IndexId    id = asked_about(b, s);
        if (!id || !step_of(b, d, id, loop, lanes))
            continue;
        bool thin = s->op == L_INSIDE && size_is_literal(d, s->dim, &n) && n <= THIN;
        known[i] = s->op != L_INSIDE ? ITSELF : thin ? FAILS : HOLDS;
        found++;
    }
    if (found)
        return known;
    free(known);
    return NULL;
}

/* Loop values at which x is inside: from lo to before hi. */
static void where_inside(Walk *w, const Ins *s, uint32_t loop, LLVMValueRef *lo, LLVMValueRef *hi)
{
    Emit        *e = w->e;
    IndexId      id = asked_about(w->b, s);
    LLVMValueRef rest = walk_index_at(w, id, loop), size = size_value(e, s->dim);
    if (step_of(w->b, e->dims, id, loop, 0) > 0) {
        *lo = i_sub(e, c_int(e, 0), rest);
        *hi = i_sub(e, size, rest);
    } else {
        *lo = i_addc(e, i_sub(e, rest, size), 1);
        *hi = i_addc(e, rest, 1);
    }
}

void split_middle(Walk *w, const uint8_t *known, uint32_t loop, LLVMValueRef from, LLVMValueRef to, LLVMValueRef *lo, LLVMValueRef *hi)
{
    Emit        *e = w->e;
    LLVMValueRef extent = extent_value(e, w->b->extent[w->b->group[loop]]);
    *lo = from;
    *hi = to;
    for (uint32_t i = 1; i < w->b->ins.n; i++) {
        LLVMValueRef a, b;
        if (!known[i])
            continue;
        where_inside(w, &w->b->ins.at[i], loop, &a, &b);
        if (known[i] == FAILS) {           /* it holds near one end: the middle is on the other side */
            LLVMValueRef left = i_less(e, i_add(e, a, b), extent);
            LLVMValueRef after = LLVMBuildSelect(e->b, left, b, *lo, ""), before = LLVMBuildSelect(e->b, left, *hi, a, "");
            a = after;
            b = before;
        }
        *lo = i_max(e, *lo, a);
        *hi = i_min(e, *hi, b);
    }
    *lo = i_min(e, *lo, to);
    *hi = i_max(e, i_min(e, *hi, to), *lo);
}
