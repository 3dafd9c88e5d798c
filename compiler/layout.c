/* layout.c - where an element of a stored value stands. See the drawing in native.h.
 *
 * Everything is computed as Dims, so that a kernel gets constants where the sizes are known and arguments where they are not.
 */
#include "native.h"

#include <assert.h>

Layout layout_of(const Graph *g, Ref r, const Target *t)
{
    const Node *n = node(g, r);
    Layout      l = { .block = 1, .dtype = n->dtype };
    int64_t     c;
    if (pass_on(t->off, PASS_layout) && n->rank == 4 && dim_is_const(g->dims, node_shape(g, r)[1], &c) && c >= t->vec)
        l.block = (uint8_t)t->vec;
    return l;
}

Strides4 layout_strides(DimTable *dims, const Dim *shape4, const Layout *l)
{
    int64_t  v = l->block;
    Strides4 s;
    Dim      rows = dim_add(dims, shape4[2], dim_const(dims, l->halo[HALO_TOP] + l->halo[HALO_BOTTOM]));
    Dim      cols = dim_add(dims, shape4[3], dim_const(dims, l->halo[HALO_LEFT] + l->halo[HALO_RIGHT]));
    s.w = dim_const(dims, v);
    s.h = dim_scale(dims, cols, v);
    s.c = dim_mul(dims, rows, s.h);
    s.n = dim_mul(dims, v > 1 ? dim_ceildiv(dims, shape4[1], v) : shape4[1], s.c);
    s.size = dim_mul(dims, shape4[0], s.n);
    s.origin = dim_add(dims, dim_scale(dims, s.h, l->halo[HALO_TOP]), dim_const(dims, v * l->halo[HALO_LEFT]));
    return s;
}

Dim layout_size(DimTable *dims, int rank, const Dim *shape, const Layout *l)
{
    if (rank == 4)
        return layout_strides(dims, shape, l).size;
    assert(l->block == 1);
    Dim size = dim_const(dims, 1);
    for (int i = 0; i < rank; i++)
        size = dim_mul(dims, size, shape[i]);
    return size;
}
