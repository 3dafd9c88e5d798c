/* check.h - what test programs share: CHECK(condition, "message", ...) counts and prints failures; end with `return check_done();`.
 *
 * Under AddressSanitizer and UndefinedBehaviorSanitizer, where all takes several times as long, a test may take every k-th of a long list of cases of one kind,
 * and says so at its top: the plain build takes them all. `if (left_out(i, k)) continue;`
 */
#ifndef PASTICHE_TESTS_CHECK_H
#define PASTICHE_TESTS_CHECK_H

#include <stdbool.h>
#include <stdio.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static inline bool sanitized(void) { return SANITIZED; }

/* Is case i one that the sanitized build leaves to the plain one, when it takes every k-th? */
static inline bool left_out(long long i, long long k) { return sanitized() && i % k != 0; }

static int checks_run, checks_failed;

#define CHECK(cond, ...)                                                        \
    do {                                                                        \
        checks_run++;                                                           \
        if (!(cond)) {                                                          \
            checks_failed++;                                                    \
            printf("%s:%d: CHECK(%s) failed: ", __FILE__, __LINE__, #cond);     \
            printf(__VA_ARGS__);                                                \
            printf("\n");                                                       \
        }                                                                       \
    } while (0)

static inline int check_done(void)
{
    printf("%d checks, %d failed\n", checks_run, checks_failed);
    return checks_run == 0 || checks_failed != 0;
}

#endif
