/* loader.c - the thread of loader.h: a mutex, one condition, and a state that goes idle -> wanted -> done -> idle.
 * Signals are blocked in it, so that ^C always reaches the thread that trains.
 */
#define _GNU_SOURCE
#include "loader.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef enum { IDLE, WANTED, DONE, QUIT } State;

struct Loader {
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  changed;
    State           state;
    bool          (*job)(void *ctx, Status *st);
    void           *ctx;
    bool            ok;                              /* of the job that is DONE */
    Status          status;
};

static void *run(void *arg)
{
    Loader *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (l->state == IDLE || l->state == DONE)
            pthread_cond_wait(&l->changed, &l->lock);
        if (l->state == QUIT)
            break;
        pthread_mutex_unlock(&l->lock);
        Status st = { 0 };
        bool   ok = l->job(l->ctx, &st);
        pthread_mutex_lock(&l->lock);
        l->ok = ok;
        l->status = st;
        l->state = DONE;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

Loader *loader_new(bool (*job)(void *ctx, Status *st), void *ctx, Status *st)
{
    Loader  *l = xmalloc(sizeof *l);
    sigset_t all, was;
    l->job = job;
    l->ctx = ctx;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);        /* a thread inherits the mask */
    int error = pthread_create(&l->thread, NULL, run, l);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    if (!error)
        return l;
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
    status_fail(st, "cannot start a loading thread: %s", strerror(error));
    return NULL;
}

static void set_state(Loader *l, State s)
{
    pthread_mutex_lock(&l->lock);
    while (l->state == WANTED)
        pthread_cond_wait(&l->changed, &l->lock);
    l->state = s;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

void loader_start(Loader *l)
{
    set_state(l, WANTED);
}

bool loader_wait(Loader *l, Status *st)
{
    bool ok = true;
    pthread_mutex_lock(&l->lock);
    while (l->state == WANTED)
        pthread_cond_wait(&l->changed, &l->lock);
    if (l->state == DONE) {
        ok = l->ok;
        if (!ok)
            status_fail(st, "%s", l->status.message);
        l->state = IDLE;
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

void loader_free(Loader *l)
{
    if (!l)
        return;
    set_state(l, QUIT);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
