/* roofline.c - what each kernel computes and moves, and from how far.
 *
 * Arithmetic is that of the text: 2 a multiply-add of a convolution or matmul (also where Winograd's way does fewer), 1 an elementwise op or a term of a sum. Bytes
 * are those of all buffers that a kernel reads or writes, each once; of borders the border.
 *
 * A kernel is bound by memory when its bytes at the rate of a copy take longer than its arithmetic at the peak of multiply-adds. Copies are some five times as fast in
 * caches as outside, so the rate is that of copying over and over as much memory as the kernels have touched since they last touched this buffer (or what stood where
 * it is now): a map of 200 KiB whose operand was made just before is held to the rate of the second cache, one that comes back to it after a whole pass to that of
 * memory. It is an estimate for one cache that keeps what was used last.
 */
#include "roofline.h"

#include <math.h>
#include <stdlib.h>

#include "peak.h"

int64_t size_of(const Fusion *f, Dim d, const DimBind *binds, uint32_t n)
{
    int64_t v;
    return dim_eval(f->g->dims, d, binds, n, &v) ? v : 0;
}

double copy_rate_of(const MachineRates *r, double bytes)
{
    double at = log2(bytes > COPY_SMALLEST ? bytes / COPY_SMALLEST : 1);
    int    i = (int)at;
    if (i >= COPY_SIZES - 1)
        return r->copy_gbs[COPY_SIZES - 1];
    return r->copy_gbs[i] + (at - i) * (r->copy_gbs[i + 1] - r->copy_gbs[i]);
}

static double arithmetic(const Fusion *f, const Fused *k, const DimBind *binds, uint32_t n)
{
    const Graph *g = f->g;
    double       flops = 0;
    KernelNodes  nodes;
    kernel_nodes(f, k, &nodes);
    for (uint32_t i = 0; i < nodes.computed.n; i++) {
        Ref     r = nodes.computed.at[i];
        OpClass class = op_info[node(g, r)->op].class;
        bool    again = k->kind != FUSED_REDUCE && class == CLASS_REDUCE && is_kept(f, r);         /* partial results: few */
        if (r == k->contract && k->kind == FUSED_CONTRACT)
            flops += 2.0 * (double)size_of(f, contract_macs(g, r), binds, n);
        else if (class == CLASS_REDUCE && !again)
            flops += (double)size_of(f, element_count(g, node_arg(g, r, 0)), binds, n);
        else if (class == CLASS_ELEM)
            flops += (double)size_of(f, element_count(g, r), binds, n);
    }
    kernel_nodes_free(&nodes);
    return flops;
}

/* Bytes of the buffer that kernel k touches. */
static double bytes_touched(const Fusion *f, const Fused *k, uint32_t buf, const MemoryPlan *plan, const DimBind *binds, uint32_t n)
{
    const Buffer *b = &f->buffers.at[buf];
    if (k->kind != FUSED_HALO)
        return (double)plan->bytes[buf];
    Layout inner = { .block = b->layout.block, .dtype = b->layout.dtype };
    Dim    elems = layout_size(f->g->dims, node(f->g, b->value)->rank, node_shape(f->g, b->value), &inner);
    return (double)plan->bytes[buf] - (double)size_of(f, elems, binds, n) * (double)dtype_size((Dtype)b->layout.dtype);
}

/* Do two buffers stand in the same memory? */
static bool same_memory(const MemoryPlan *p, uint32_t a, uint32_t b)
{
    if (p->offset[a] < 0 || p->offset[b] < 0)
        return a == b;
    return p->offset[a] < p->offset[b] + p->bytes[b] && p->offset[b] < p->offset[a] + p->bytes[a];
}

static bool touches(const Fused *k, const MemoryPlan *plan, uint32_t buf)
{
    for (uint32_t i = 0; i < k->bufs.n; i++)
        if (same_memory(plan, k->bufs.at[i], buf))
            return true;
    return false;
}

/* Bytes that went by between the last touch of this memory and kernel i, half of what each of the two kernels moves among them; the pass before goes on into this one. */
static double went_by(const Fusion *f, const Load *loads, const MemoryPlan *plan, uint32_t i, uint32_t buf, double most)
{
    double   sum = loads[i].bytes / 2;
    uint32_t n = f->kernels.n;
    for (uint32_t back = 1; back <= n && sum < most; back++) {
        uint32_t j = (i + n - back) % n;
        if (f->kernels.at[j]->constant)
            continue;
        if (touches(f->kernels.at[j], plan, buf))
            return sum + loads[j].bytes / 2;
        sum += loads[j].bytes;
    }
    return sum;
}

Load *kernel_loads(const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, const MachineRates *rates)
{
    Load        *loads = xmalloc((f->kernels.n + 1) * sizeof *loads);
    const double most = (double)COPY_SMALLEST * (double)(1 << (COPY_SIZES - 1));
    for (uint32_t i = 0; i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        loads[i] = (Load){ .flops = arithmetic(f, k, binds, n) };
        for (uint32_t j = 0; j < k->bufs.n; j++)
            loads[i].bytes += bytes_touched(f, k, k->bufs.at[j], plan, binds, n);
    }
    for (uint32_t i = 0; rates && i < f->kernels.n; i++) {
        const Fused *k = f->kernels.at[i];
        for (uint32_t j = 0; j < k->bufs.n; j++) {
            uint32_t buf = k->bufs.at[j];
            loads[i].memory += bytes_touched(f, k, buf, plan, binds, n) / (1e9 * copy_rate_of(rates, went_by(f, loads, plan, i, buf, most)));
        }
    }
    return loads;
}
