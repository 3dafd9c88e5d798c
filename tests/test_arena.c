/* test_arena.c - pieces of memory in one arena: never two alive in one place, never below the bound, and close to it where that can be known. */
#include "arena.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

static uint32_t dice = 1;

static uint32_t roll(uint32_t n)
{
    dice = dice * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)dice >> 4) % n);
}

static bool apart(const Piece *p, uint32_t n, int64_t arena)
{
    for (uint32_t i = 0; i < n; i++) {
        if (p[i].offset < 0 || p[i].offset + p[i].bytes > arena || p[i].offset % 64)
            return false;
        for (uint32_t k = 0; k < i; k++) {
            bool together = p[i].first <= p[k].last && p[k].first <= p[i].last;
            if (together && p[i].offset < p[k].offset + p[k].bytes && p[k].offset < p[i].offset + p[i].bytes)
                return false;
        }
    }
    return true;
}

/* Rectangles cut out of a full arena: the bound can be reached. Cuts are through time or through space at random. */
static uint32_t cut(Piece *p, uint32_t n, Piece x, int depth)
{
    uint32_t span = x.last - x.first;
    if (!depth || (span == 0 && x.bytes == 64))
        return p[n] = x, n + 1;
    Piece y = x;
    if (span && (x.bytes == 64 || roll(2))) {
        x.last = x.first + roll(span);
        y.first = x.last + 1;
    } else {
        x.bytes = 64 * (1 + (int64_t)roll((uint32_t)(x.bytes / 64 > 1 ? x.bytes / 64 - 1 : 1)));
        if (x.bytes >= y.bytes)
            return p[n] = y, n + 1;
        y.bytes -= x.bytes;
    }
    n = cut(p, n, x, depth - 1);
    return cut(p, n, y, depth - 1);
}

static void test_random(void)
{
    for (int round = 0; round < 300; round++) {
        uint32_t n = 1 + roll(60), when;
        Piece   *p = malloc(n * sizeof *p);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t first = roll(40);
            p[i] = (Piece){ .bytes = 64 * (1 + roll(roll(2) ? 4 : 400)), .first = first, .last = first + roll(roll(2) ? 3 : 40) };
        }
        int64_t bound = arena_bound(p, n, &when), arena = arena_place(p, n), alive = 0;
        for (uint32_t i = 0; i < n; i++)
            alive += p[i].first <= when && when <= p[i].last ? p[i].bytes : 0;
        CHECK(alive == bound, "round %d: the bound %lld is what is alive at %u: %lld", round, (long long)bound, when, (long long)alive);
        CHECK(arena >= bound && apart(p, n, arena), "round %d: %u pieces", round, n);
        free(p);
    }
}

static void test_cut(void)
{
    double worst = 1, sum = 0;
    int    rounds = 100;
    for (int round = 0; round < rounds; round++) {
        Piece    p[256], whole = { .bytes = 64 * 1000, .first = 0, .last = 63 };
        uint32_t n = cut(p, 0, whole, 6);
        int64_t  arena = arena_place(p, n);
        CHECK(arena_bound(p, n, NULL) == whole.bytes && apart(p, n, arena), "round %d: %u pieces", round, n);
        double over = (double)arena / (double)whole.bytes;
        worst = over > worst ? over : worst;
        sum += over;
    }
    printf("of full arenas cut into pieces: %.3f times the least on average, %.3f at worst\n", sum / rounds, worst);
    CHECK(sum / rounds < 1.04 && worst < 1.25, "%.3f %.3f", sum / rounds, worst);
}

int main(void)
{
    Piece one = { .bytes = 128, .first = 3, .last = 3 }, two[2] = { { .bytes = 64, .first = 0, .last = 1 }, { .bytes = 192, .first = 2, .last = 2 } };
    CHECK(arena_place(&one, 1) == 128 && one.offset == 0 && arena_place(two, 2) == 192 && two[0].offset == 0 && two[1].offset == 0, "one after the other");
    CHECK(arena_place(NULL, 0) == 0 && arena_bound(NULL, 0, NULL) == 0, "nothing takes nothing");
    test_random();
    test_cut();
    return check_done();
}
