/* target.c - which vector instructions the kernels may use.
 *
 * Three levels, each an x86-64 micro-architecture level that LLVM knows as a CPU: what the hypervisor reports as the CPU's name is
 * often wrong, its feature bits are not. The operating system's support (xgetbv) is part of what __builtin_cpu_supports asks.
 */
#include "native.h"

#include <string.h>

static const Target levels[] = {
    [ISA_BASELINE] = { ISA_BASELINE, 4, 16, false, "x86-64", "", 0 },
    [ISA_AVX2] = { ISA_AVX2, 8, 16, true, "x86-64-v3", "", 0 },
    /* The level's tuning prefers 256 bits, which costs half of the FMA rate. */
    [ISA_AVX512] = { ISA_AVX512, 16, 32, true, "x86-64-v4", "-prefer-256-bit", 0 },
};

static bool machine_has(Isa isa)
{
    __builtin_cpu_init();
    switch (isa) {
    case ISA_AVX512: return __builtin_cpu_supports("x86-64-v4");
    case ISA_AVX2:   return __builtin_cpu_supports("x86-64-v3");
    default:         return true;
    }
}

bool target_detect(const char *force, Target *t, Status *st)
{
    static const char *const names[] = { "baseline", "avx2", "avx512" };
    if (force) {
        for (int i = 0; i < (int)COUNT(names); i++) {
            if (strcmp(force, names[i]) != 0)
                continue;
            *t = levels[i];
            return machine_has((Isa)i) || status_fail(st, "--cpu %s: this machine does not have these instructions", force);
        }
        return status_fail(st, "--cpu %s: not one of avx512, avx2, baseline", force);
    }
    Isa best = ISA_AVX512;
    while (!machine_has(best))
        best--;
    *t = levels[best];
    return true;
}
