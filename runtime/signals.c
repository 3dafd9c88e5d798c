/* signals.c - the handlers of signals.h: a flag, and the default action restored, so that the second signal is not caught. */
#include "signals.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>

static volatile sig_atomic_t caught;
static struct sigaction      old_int, old_term;
static bool                  installed;

static void note(int number)
{
    caught = number;
}

void signals_catch(void)
{
    struct sigaction a;
    if (installed)
        return;
    memset(&a, 0, sizeof a);
    a.sa_handler = note;
    /* RESETHAND: the second one kills. RESTART: reads and writes under way go on, the loop stops at the step's end. */
    a.sa_flags = (int)(SA_RESTART | SA_RESETHAND);
    sigemptyset(&a.sa_mask);
    caught = 0;
    sigaction(SIGINT, &a, &old_int);
    sigaction(SIGTERM, &a, &old_term);
    installed = true;
}

int signals_caught(void)
{
    return caught;
}

void signals_release(void)
{
    if (!installed)
        return;
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    installed = false;
}
