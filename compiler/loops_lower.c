/* loops_lower.c - nodes to loop instructions: the value of node r at given coordinates, as far as it is not in memory.
 *
 * Movement becomes arithmetic on coordinates, elementwise ops become instructions, what is stored becomes a load, and ops over windows become
 * regions. The same node at the same place and mask is lowered once. `mask` tells where the value is wanted: elsewhere nothing is
 * loaded and the value is anything. What is decided here is only what a value is; which values are in memory is fuse.c's matter.
 *
 * To add an op: elementwise ones need a line in loops_elem.c only; movement and windows a case in lower_node.
 */
#include "loops_lower.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

/* Where the element at `at` stands in a buffer: row-major, or [n][c/V][h][w][V] with a halo. */
IndexId lower_offset(Lower *lo, int rank, const Dim *shape, const Layout *l, const IndexId *at)
{
    Body     *b = lo->b;
    DimTable *t = DIMS(lo);
    IndexId   off = 0;
    if (rank != 4) {
        Dim stride = lo_size(lo, 1);
        for (int i = rank - 1; i >= 0; i--) {
            off = index_add(b, t, off, index_scale(b, t, at[i], stride));
            stride = dim_mul(t, stride, shape[i]);
        }
        return off;
    }
    Strides4 s = layout_strides(t, shape, l);
    off = index_const(b, s.origin);
    off = index_add(b, t, off, index_scale(b, t, at[0], s.n));
    off = index_add(b, t, off, index_scale(b, t, at[2], s.h));
    off = index_add(b, t, off, index_scale(b, t, at[3], s.w));
    if (l->block == 1)
        return index_add(b, t, off, index_scale(b, t, at[1], s.c));
    off = index_add(b, t, off, index_scale(b, t, lo_quotient(lo, at[1], lo_size(lo, l->block)), s.c));
    return index_add(b, t, off, lo_remainder(lo, at[1], lo_size(lo, l->block)));
}

Val lo_load(Lower *lo, ValType t, int buf, IndexId off, Val mask)
{
    return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_LOAD, .type = (uint8_t)t, .buf = (int16_t)buf, .index = off, .mask = mask });
}

static Val load_stored(Lower *lo, Ref r, const Stored *s, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    ValType     t = lo_type((Dtype)n->dtype);
    if (s->acc)
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_ACC, .type = (uint8_t)t });
    if (mask && mask == lo->keep && s->layout.block > 1)
        mask = 0;                          /* lanes past the channels are there, and zero */
    return lo_load(lo, t, s->buf, lower_offset(lo, n->rank, node_shape(lo->g, r), &s->layout, at), mask);
}

/* ---- the memo: (node, mask, coordinates) -> value ---- */

static uint32_t *memo_slot(Lower *lo, Ref r, const IndexId *at, int rank, Val mask, bool *found)
{
    uint32_t key[MAX_RANK + 2] = { r, mask };
    memcpy(key + 2, at, (size_t)rank * sizeof *at);
    if (lo->memo.n * 2 >= lo->memo.cap) {
        uint32_t cap = lo->memo.cap ? lo->memo.cap * 2 : 256, *slots = xmalloc(cap * sizeof *slots);
        for (uint32_t i = 0; i < lo->memo.cap; i++) {
            if (!lo->memo.slots[i])
                continue;
            uint32_t h = (uint32_t)hash_bytes(&lo->memo.keys.at[(lo->memo.slots[i] - 1) * (MAX_RANK + 2)], sizeof key, 3);
            while (slots[h % cap])
                h++;
            slots[h % cap] = lo->memo.slots[i];
        }
        free(lo->memo.slots);
        lo->memo.slots = slots;
        lo->memo.cap = cap;
    }
    uint32_t h = (uint32_t)hash_bytes(key, sizeof key, 3);
    for (; lo->memo.slots[h % lo->memo.cap]; h++) {
        uint32_t i = lo->memo.slots[h % lo->memo.cap] - 1;
        if (memcmp(&lo->memo.keys.at[i * (MAX_RANK + 2)], key, sizeof key) == 0) {
            *found = true;
            return &lo->memo.vals.at[i];
        }
    }
    for (uint32_t i = 0; i < MAX_RANK + 2; i++)
        vec_push(&lo->memo.keys, key[i]);
    vec_push(&lo->memo.vals, 0);
    lo->memo.slots[h % lo->memo.cap] = lo->memo.vals.n;
    lo->memo.n++;
    *found = false;
    return &lo->memo.vals.at[lo->memo.vals.n - 1];
}

void lower_start(Lower *lo)
{
    lo->keep = 0;
    memset(lo->at, 0, sizeof lo->at);
    memset(&lo->memo, 0, sizeof lo->memo);
}

void lower_done(Lower *lo)
{
    free(lo->memo.slots);
    vec_free(&lo->memo.keys);
    vec_free(&lo->memo.vals);
}

void lower_domain(Lower *lo, int rank, const Dim *shape, const Layout *l, uint32_t reduced)
{
    Body     *b = lo->b;
    DimTable *t = DIMS(lo);
    for (int i = 0; i < rank; i++)
        b->loop[i] = (LoopDim){ shape[i], reduced >> i & 1 };
    b->ndomain = b->nloops = (uint32_t)rank;
    b->blocked = l->block > 1;
    if (b->blocked) {
        b->loop[1].extent = dim_ceildiv(t, shape[1], l->block);
        b->loop[4] = (LoopDim){ lo_size(lo, l->block), reduced >> 1 & 1 };
        b->ndomain = b->nloops = 5;
    }
    for (int i = 0; i < rank; i++)
        lo->at[i] = index_loop(b, t, (uint32_t)i);
    if (b->kind == BODY_EPILOGUE && !b->blocked && rank) {     /* a vector of results may reach past a last axis of 1; its mask knows */
        Index lane;
        memset(&lane, 0, sizeof lane);
        lane.coef[rank - 1] = lo_size(lo, 1);
        lo->at[rank - 1] = index_intern(b, &lane);
    }
    if (b->blocked) {
        lo->at[1] = index_add(b, t, index_scale(b, t, lo->at[1], lo_size(lo, l->block)), index_loop(b, t, 4));
        lo->keep = lo_inside(lo, lo->at[1], shape[1]);
    }
}

/* ---- the rest ---- */

static Val lower_leaf(Lower *lo, Ref r, const IndexId *at)
{
    const Node    *n = node(lo->g, r);
    const int64_t *attrs = node_attrs(lo->g, r);
    ValType        type = lo_type((Dtype)n->dtype);
    switch (n->op) {
    case OP_const:
        return lo_number(lo, type, n->value);
    case OP_runtime:
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = L_RUNTIME, .type = (uint8_t)type, .imm = attrs[0] });
    case OP_size:
        return lo_as_number(lo, type, index_const(lo->b, (Dim)attrs[0]));
    case OP_iota:
        return lo_as_number(lo, type, at[attrs[0]]);
    default:
        assert(n->op == OP_uniform || n->op == OP_normal);
        return body_ins(lo->b, DIMS(lo), (Ins){ .op = n->op == OP_uniform ? L_UNIFORM : L_NORMAL, .type = VT_F32, .imm = attrs[0], .flag = attrs[1] != 0,
                                                .index = lo_row_major(lo, node_shape(lo->g, r), at, 0, n->rank) });
    }
}

static Val lower_elementwise(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    const Node *n = node(lo->g, r);
    Val         in[3] = { 0 };
    Op          op = (Op)n->op;
    ValType     type = lo_type((Dtype)n->dtype);
    for (int i = 0; i < n->nargs; i++)
        in[i] = lower_value(lo, node_arg(lo->g, r, i), at, mask);
    if (op == OP_stop || (op == OP_cast && lo->b->ins.at[in[0]].type == type))
        return in[0];
    return lo_elem(lo, op, type, in[0], in[1], in[2]);
}

static Val lower_node(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    switch (node(lo->g, r)->op) {
    case OP_broadcast:      return lower_broadcast(lo, r, at, mask);
    case OP_transpose:      return lower_transpose(lo, r, at, mask);
    case OP_slice:          return lower_slice(lo, r, at, mask);
    case OP_place:          return lower_place(lo, r, at, mask);
    case OP_concat:         return lower_concat(lo, r, at, mask);
    case OP_pad:            return lower_pad(lo, r, at, mask);
    case OP_pad_adjoint:    return lower_pad_adjoint(lo, r, at, mask);
    case OP_reshape:        return lower_reshape(lo, r, at, mask);
    case OP_sum: case OP_amax: case OP_argmax:
        return lower_reduce(lo, r, at, mask);
    case OP_win_sum: case OP_win_max: case OP_win_pick:
        return lower_window(lo, r, at, mask);
    case OP_win_sum_adjoint: case OP_win_unpick:
        return lower_window_adjoint(lo, r, at, mask);
    case OP_resize:         return lower_resize(lo, r, at, mask);
    case OP_resize_adjoint: return lower_resize_adjoint(lo, r, at, mask);
    case OP_gather:         return lower_gather(lo, r, at, mask);
    case OP_scatter_add:    return lower_scatter_add(lo, r, at, mask);
    default:
        return op_info[node(lo->g, r)->op].class == CLASS_LEAF ? lower_leaf(lo, r, at) : lower_elementwise(lo, r, at, mask);
    }
}

Val lower_value(Lower *lo, Ref r, const IndexId *at, Val mask)
{
    bool found;
    int  rank = node(lo->g, r)->rank;
    if (mask == VAL_FALSE)                 /* wanted nowhere */
        return lo_number(lo, lo_type((Dtype)node(lo->g, r)->dtype), 0);
    uint32_t *slot = memo_slot(lo, r, at, rank, mask, &found);
    if (found)
        return *slot;
    Stored s;
    Ref    outer = lo->b->node;
    lo->b->node = r;
    Val    v = lo->stored(lo->ctx, r, false, &s) ? load_stored(lo, r, &s, at, mask) : lower_node(lo, r, at, mask);
    lo->b->node = outer;
    *memo_slot(lo, r, at, rank, mask, &found) = v;
    return v;
}
