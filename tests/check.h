/* check.h - what test programs share: CHECK(condition, "message", ...) counts and prints failures; end with `return check_done();`. */
#ifndef PASTICHE_TESTS_CHECK_H
#define PASTICHE_TESTS_CHECK_H

#include <stdio.h>

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
