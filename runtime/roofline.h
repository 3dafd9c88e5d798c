/* roofline.h - the least that a kernel can take on this machine: what it computes at the peak of multiply-adds, what it moves at the rate of copies. */
#ifndef PASTICHE_ROOFLINE_H
#define PASTICHE_ROOFLINE_H

#include "exec.h"
#include "../compiler/fuse.h"

/* memory: seconds for `bytes` at the rate of copies in as much memory as went by since each buffer was last touched; 0 without rates. */
typedef struct { double flops, bytes, memory; } Load;
Load   *kernel_loads(const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, const MachineRates *rates);   /* by kernel; rates: or NULL. Caller frees */
int64_t size_of(const Fusion *f, Dim d, const DimBind *binds, uint32_t n);      /* 0 when it has no value */
double  copy_rate_of(const MachineRates *r, double bytes);                      /* GB/s within so much memory */

#endif
