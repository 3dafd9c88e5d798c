/* profile.h - measuring the kernels of a program while it runs; what they took beside what the machine can do; their course as a trace.
 *
 *   Profile *p = profile_new(n, threads, trace);   profile_launch(p, kernel, ...) in place of launch;   profile_pass(p) behind each pass
 *   profile_print(p, ...);   profile_trace(p, ...)
 */
#ifndef PASTICHE_PROFILE_H
#define PASTICHE_PROFILE_H

#include "exec.h"
#include "../compiler/fuse.h"

typedef struct Profile Profile;
Profile *profile_new(uint32_t kernels, int threads, bool trace);   /* trace: every launch on every thread is kept, up to a limit */
void     profile_free(Profile *p);
void     profile_launch(Profile *p, uint32_t kernel, KernelFn fn, void *const *bufs, const int64_t *args, int64_t tasks, int64_t work);
void     profile_pass(Profile *p);
double   profile_seconds(const Profile *p, uint32_t kernel);       /* a launch, with waiting for the last thread */
double   profile_busiest(const Profile *p, uint32_t kernel);       /* a launch: processor time of the thread that had most to do */

void profile_print(const Profile *p, const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, const MachineRates *rates, Text *out);
/* JSON for chrome://tracing or ui.perfetto.dev: a complete event a kernel and thread. */
void profile_trace(const Profile *p, const Fusion *f, const MemoryPlan *plan, const DimBind *binds, uint32_t n, Text *out);

#endif
