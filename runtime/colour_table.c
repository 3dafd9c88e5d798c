/* colour_table.c - fits a trilinear 33^3 colour table to pixel pairs so that the sum of absolute errors is least, which is what it is judged by.
 *
 * Least absolute deviations by iteratively reweighted least squares: weight 1 / max(|residual|, EPS), a handful of rounds from plain least squares.
 * Each round solves sparse normal equations - a vertex meets its 26 neighbours - by conjugate gradients with a diagonal preconditioner, from the last
 * round's table. A weak Laplacian carries the table on smoothly through colours that no pixel had. The three channels are fitted one after another.
 */
#include "colour_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = COLOUR_TABLE_N, CELLS = N * N * N, ARMS = 27, ROUNDS = 6, STEPS = 40 };
static const float EPS = 0.02f, SMOOTHNESS = 0.02f;

struct ColourTable {
    float *value;             /* (3,N,N,N) planar; red slowest */
    float *from, *to;         /* (pixels,3) */
    size_t pixels, room;
};

typedef struct { int at[8]; float w[8]; } Corners;   /* the vertices around a colour, with their shares */

ColourTable *colour_table_new(void)
{
    ColourTable *t = calloc(1, sizeof *t);
    if (t)
        t->value = calloc(3 * (size_t)CELLS, sizeof *t->value);
    if (t && !t->value) {
        free(t);
        t = NULL;
    }
    return t;
}

void colour_table_free(ColourTable *t)
{
    if (!t)
        return;
    free(t->value);
    free(t->from);
    free(t->to);
    free(t);
}

bool colour_table_add(ColourTable *t, const float *from, const float *to, size_t n)
{
    if (t->pixels + n > t->room) {
        size_t room = 2 * t->room > t->pixels + n ? 2 * t->room : t->pixels + n;
        float *a = realloc(t->from, 3 * room * sizeof *a);
        if (!a)
            return false;
        t->from = a;
        float *b = realloc(t->to, 3 * room * sizeof *b);
        if (!b)
            return false;
        t->to = b;
        t->room = room;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++) {
            t->from[3 * (t->pixels + i) + c] = from[c * n + i];
            t->to[3 * (t->pixels + i) + c] = to[c * n + i];
        }
    t->pixels += n;
    return true;
}

static Corners corners_of(float r, float g, float b)
{
    const float rgb[3] = {r, g, b};
    int   at[3];
    float f[3];
    for (int c = 0; c < 3; c++) {
        float v = rgb[c] > 0.0f ? rgb[c] < 1.0f ? rgb[c] : 1.0f : 0.0f;           /* a NaN becomes 0 */
        v *= (float)(N - 1);
        at[c] = (int)v;
        at[c] = at[c] > N - 2 ? N - 2 : at[c];
        f[c] = v - (float)at[c];
    }
    Corners q;
    for (int k = 0; k < 8; k++) {
        int i = k >> 2, j = k >> 1 & 1, l = k & 1;
        q.at[k] = ((at[0] + i) * N + at[1] + j) * N + at[2] + l;
        q.w[k] = (i ? f[0] : 1.0f - f[0]) * (j ? f[1] : 1.0f - f[1]) * (l ? f[2] : 1.0f - f[2]);
    }
    return q;
}

static float look_up(const float *value, const Corners *q)
{
    float sum = 0.0f;
    for (int k = 0; k < 8; k++)
        sum += q->w[k] * value[q->at[k]];
    return sum;
}

static int arm_step(int arm) { return ((arm / 9 - 1) * N + arm / 3 % 3 - 1) * N + arm % 3 - 1; }

/* The normal equations of channel c: a (CELLS,ARMS) x = b (CELLS) */
static void gather(const ColourTable *t, int c, bool weighted, float *a, float *b)
{
    const float *value = t->value + (size_t)c * CELLS;
    memset(a, 0, (size_t)CELLS * ARMS * sizeof *a);
    memset(b, 0, (size_t)CELLS * sizeof *b);
    for (size_t p = 0; p < t->pixels; p++) {
        const float *from = t->from + 3 * p;
        Corners q = corners_of(from[0], from[1], from[2]);
        float y = t->to[3 * p + (size_t)c], r = weighted ? fabsf(look_up(value, &q) - y) : 1.0f, w = 1.0f / (r > EPS ? r : EPS);
        w *= 0.1f;                                    /* so that a typical residual counts about one */
        for (int k = 0; k < 8; k++) {
            float wk = w * q.w[k];
            float *row = a + (size_t)q.at[k] * ARMS;
            b[q.at[k]] += wk * y;
            for (int l = 0; l < 8; l++) {
                int arm = 13 + ((l >> 2) - (k >> 2)) * 9 + ((l >> 1 & 1) - (k >> 1 & 1)) * 3 + (l & 1) - (k & 1);
                row[arm] += wk * q.w[l];
            }
        }
    }
    static const int steps[3] = {N * N, N, 1}, arms[3] = {9, 3, 1};
    for (int v = 0; v < CELLS; v++)
        for (int axis = 0; axis < 3; axis++)
            if (v / steps[axis] % N < N - 1) {        /* a spring to the next vertex along the axis */
                int u = v + steps[axis];
                a[(size_t)v * ARMS + 13] += SMOOTHNESS;
                a[(size_t)u * ARMS + 13] += SMOOTHNESS;
                a[(size_t)v * ARMS + 13 + (size_t)arms[axis]] -= SMOOTHNESS;
                a[(size_t)u * ARMS + 13 - (size_t)arms[axis]] -= SMOOTHNESS;
            }
}

static void multiply(const float *a, const float *x, float *y)
{
    for (int v = 0; v < CELLS; v++) {
        float sum = 0.0f;
        for (int k = 0; k < ARMS; k++) {
            float w = a[(size_t)v * ARMS + (size_t)k];
            if (w != 0.0f)                            /* arms that leave the cube are never touched */
                sum += w * x[v + arm_step(k)];
        }
        y[v] = sum;
    }
}

static double inner(const float *x, const float *y)
{
    double sum = 0.0;
    for (int v = 0; v < CELLS; v++)
        sum += (double)x[v] * (double)y[v];
    return sum;
}

/* x: the start and the result; work (4,CELLS) */
static void solve(const float *a, const float *b, float *x, float *work)
{
    float *r = work, *z = work + CELLS, *p = work + 2 * CELLS, *q = work + 3 * CELLS;
    multiply(a, x, q);
    for (int v = 0; v < CELLS; v++) {
        r[v] = b[v] - q[v];
        p[v] = z[v] = r[v] / a[(size_t)v * ARMS + 13];
    }
    double rz = inner(r, z), first = rz;
    for (int i = 0; i < STEPS && rz > 1e-10 * first && rz > 0.0; i++) {
        multiply(a, p, q);
        float alpha = (float)(rz / inner(p, q));
        for (int v = 0; v < CELLS; v++) {
            x[v] += alpha * p[v];
            r[v] -= alpha * q[v];
            z[v] = r[v] / a[(size_t)v * ARMS + 13];
        }
        double next = inner(r, z);
        float beta = (float)(next / rz);
        rz = next;
        for (int v = 0; v < CELLS; v++)
            p[v] = z[v] + beta * p[v];
    }
}

bool colour_table_fit(ColourTable *t)
{
    if (t->pixels == 0)
        return false;
    float *a = malloc((size_t)CELLS * (ARMS + 5) * sizeof *a);
    if (!a)
        return false;
    float *b = a + (size_t)CELLS * ARMS, *work = b + CELLS;
    for (int c = 0; c < 3; c++) {
        float *value = t->value + (size_t)c * CELLS;
        for (int v = 0; v < CELLS; v++) {             /* start: the identity */
            int i = c == 0 ? v / (N * N) : c == 1 ? v / N % N : v % N;
            value[v] = (float)i / (float)(N - 1);
        }
        for (int round = 0; round < ROUNDS; round++) {
            gather(t, c, round > 0, a, b);
            solve(a, b, value, work);
        }
    }
    free(a);
    return true;
}

void colour_table_apply(const ColourTable *t, const float *from, float *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        Corners q = corners_of(from[i], from[n + i], from[2 * n + i]);
        for (size_t c = 0; c < 3; c++) {
            float v = look_up(t->value + c * CELLS, &q);
            to[c * n + i] = v > 0.0f ? v < 1.0f ? v : 1.0f : 0.0f;
        }
    }
}
