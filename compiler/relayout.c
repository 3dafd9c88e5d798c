/* relayout.c - a kernel that brings a value from row-major to blocks of channels or back: tiles of V pixels by V channels, turned in registers.
 *
 *   [n][c][h][w]  <->  [n][c/V][h][w][V]        lane j of vector i  <->  lane i of vector j
 *
 * Every size and stride is an argument, so one piece of code per direction serves all shapes; rows are whole pictures where no halo interrupts them.
 * Lanes past the last channel are stored as zeros in blocks and not stored in rows.
 */
#include "emit.h"
#include "fuse.h"

#include <assert.h>

enum { A_IMAGES, A_BLOCKS, A_CHANNELS, A_ROWS, A_LEN, A_FROM_N, A_FROM_C, A_FROM_H, A_FROM_0, A_TO_N, A_TO_C, A_TO_H, A_TO_0, A_COUNT };

bool can_relayout(const Graph *g, Ref r, Layout from, Layout to)
{
    return node(g, r)->rank == 4 && (from.block > 1) != (to.block > 1) && from.dtype != DT_BOOL;
}

static bool has_side_halo(Layout l) { return l.halo[HALO_LEFT] || l.halo[HALO_RIGHT]; }

void plan_relayout(Fusion *f, Fused *k, Layout from, Layout to)
{
    DimTable  *d = f->g->dims;
    const Dim *s = node_shape(f->g, k->shape_of);
    Strides4   a = layout_strides(d, s, &from), b = layout_strides(d, s, &to);
    int64_t    vec = f->target->vec;
    bool       whole = !has_side_halo(from) && !has_side_halo(to);
    Dim        one = dim_const(d, 1);
    Dim        args[A_COUNT] = { s[0], dim_ceildiv(d, s[1], vec), s[1], whole ? one : s[2], whole ? dim_mul(d, s[2], s[3]) : s[3],
                                 a.n, a.c, a.h, a.origin, b.n, b.c, b.h, b.origin };
    for (int i = 0; i < A_COUNT; i++)
        vec_push(&k->kernel.args, args[i]);
    k->kernel.tasks = dim_mul(d, dim_mul(d, args[A_IMAGES], args[A_BLOCKS]), args[A_ROWS]);
    k->kernel.flops = dim_mul(d, k->kernel.tasks, dim_scale(d, args[A_LEN], 4 * vec));
}

typedef struct { Emit *e; LLVMValueRef arg[A_COUNT], from, to, left; bool to_blocks; } Turn;

/* v[i][j] <-> v[j][i] in log2(n) rounds: round d swaps, in each pair of vectors d apart, the lanes that differ in bit d. */
static void transpose(Emit *e, LLVMValueRef *v, int n)
{
    for (int d = 1; d < n; d *= 2) {
        int low[16], high[16];
        for (int j = 0; j < n; j++) {
            low[j] = j & d ? n + j - d : j;
            high[j] = j & d ? n + j : j + d;
        }
        for (int i = 0; i < n; i++) {
            if (i & d)
                continue;
            LLVMValueRef a = v[i], b = v[i + d];
            v[i] = shuffle(e, a, b, low, n);
            v[i + d] = shuffle(e, a, b, high, n);
        }
    }
}

static LLVMValueRef clipped(Turn *t, LLVMValueRef i, LLVMValueRef count)
{
    return i_min(t->e, i, i_addc(t->e, count, -1));
}

/* One tile at pixel p; count: pixels from there to the end, NULL: at least V. */
static void turn_tile(Turn *t, LLVMValueRef p, LLVMValueRef count)
{
    Emit        *e = t->e;
    int          vec = e->target->vec;
    LLVMValueRef v[16], mask = count ? tail_mask(e, count, vec) : NULL;
    assert(vec <= 16);
    for (int i = 0; i < vec; i++) {
        if (t->to_blocks) {                /* a row of channel i; past the last one: that one again, put to zero */
            LLVMValueRef c = clipped(t, c_int(e, i), t->left);
            LLVMValueRef row = vec_load_mask(e, addr(e, t->from, i_add(e, p, i_mul(e, c, t->arg[A_FROM_C]))), vec, mask);
            v[i] = LLVMBuildSelect(e->b, i_less(e, c_int(e, i), t->left), row, c_vec(e, vec, 0), "");
        } else {
            LLVMValueRef at = count ? clipped(t, c_int(e, i), count) : c_int(e, i);
            v[i] = vec_load(e, addr(e, t->from, i_mulc(e, i_add(e, p, at), vec)), vec);
        }
    }
    transpose(e, v, vec);
    for (int i = 0; i < vec; i++) {
        LLVMValueRef there = t->to_blocks ? count : t->left, yes = there ? i_less(e, c_int(e, i), there) : NULL;
        LLVMValueRef on = yes ? splat(e, yes, vec) : NULL;
        if (t->to_blocks) {
            vec_store_mask(e, v[i], addr(e, t->to, i_mulc(e, i_addc(e, p, i), vec)), on);
        } else {
            if (mask)
                on = LLVMBuildAnd(e->b, on, mask, "");
            vec_store_mask(e, v[i], addr(e, t->to, i_add(e, p, i_mulc(e, t->arg[A_TO_C], i))), on);
        }
    }
}

void emit_relayout(Emit *e, bool to_blocks)
{
    Turn t = { .e = e, .to_blocks = to_blocks };
    int  vec = e->target->vec;
    for (int i = 0; i < A_COUNT; i++)
        t.arg[i] = load_of(e, t_i64(e), addr_of(e, t_i64(e), e->args, c_int(e, i)), 8);
    Loop         l = tasks_begin(e, i_mul(e, i_mul(e, t.arg[A_IMAGES], t.arg[A_BLOCKS]), t.arg[A_ROWS]));
    LLVMValueRef y = i_rem(e, l.i, t.arg[A_ROWS]), rest = i_div(e, l.i, t.arg[A_ROWS]);
    LLVMValueRef block = i_rem(e, rest, t.arg[A_BLOCKS]), n = i_div(e, rest, t.arg[A_BLOCKS]), first = i_mulc(e, block, vec);
    t.left = i_sub(e, t.arg[A_CHANNELS], first);
    LLVMValueRef from = i_mad(e, n, t.arg[A_FROM_N], i_mad(e, y, t.arg[A_FROM_H], t.arg[A_FROM_0]));
    LLVMValueRef to = i_mad(e, n, t.arg[A_TO_N], i_mad(e, y, t.arg[A_TO_H], t.arg[A_TO_0]));
    t.from = addr(e, buf_base(e, 0), i_mad(e, to_blocks ? first : block, t.arg[A_FROM_C], from));
    t.to = addr(e, buf_base(e, 1), i_mad(e, to_blocks ? block : first, t.arg[A_TO_C], to));
    LLVMValueRef whole = i_mulc(e, i_divc(e, t.arg[A_LEN], vec), vec);
    Loop         x = loop_begin(e, c_int(e, 0), whole, vec, 0, NULL);
    turn_tile(&t, x.i, NULL);
    loop_end(e, &x, NULL);
    If f = if_begin(e, i_less(e, whole, t.arg[A_LEN]));
    turn_tile(&t, whole, i_sub(e, t.arg[A_LEN], whole));
    if_end(e, &f);
    loop_end(e, &l, NULL);
}
