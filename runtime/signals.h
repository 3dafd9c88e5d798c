/* signals.h - ^C and kill as a wish to stop after the current step: the loop looks, saves and ends. A second one ends the program at once. */
#ifndef PASTICHE_SIGNALS_H
#define PASTICHE_SIGNALS_H

void signals_catch(void);          /* SIGINT and SIGTERM from now on; fine to call again */
int  signals_caught(void);         /* the signal's number, or 0 */
void signals_release(void);        /* back to what they did before */

#endif
