/* contract_dw_taps.c - weight gradients where channels are few: lanes over output channels or over pixels (contract_dw.h). */
#include "contract_dw.h"

#include <string.h>

/* ---- planning ---- */

void plan_dw_taps(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    bool    depth = c->groups > 1;
    int64_t blocks = (c->K + t->vec - 1) / t->vec;
    double  best = 0;
    p->variant[V_ALGO] = ALGO_DW_LANES;
    for (int nb = 1; nb <= 4 && nb <= blocks && (!depth || nb == 1); nb++)
        for (int ns = 1; ns <= c->S && ns <= most_rows(t, nb); ns++)
            for (int nr = 1; nr <= c->R && nr * ns <= most_rows(t, nb); nr++) {
                double score = fma_rate(nr * ns, nb) * tile_waste(blocks, nb);
                if (c->S % ns != 0 || c->R % nr != 0 || score <= best)
                    continue;
                best = score;
                p->variant[V_NB] = nb;
                p->variant[V_PR] = nr;
                p->variant[V_PW] = ns;
            }
    Cut cut = dw_cut(c, t->vec);
    p->variant[V_SPLIT] = dw_chunks(g, c, &cut, (blocks + p->variant[V_NB] - 1) / p->variant[V_NB]);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, dw_turned_elems(c, t->vec) * p->variant[V_SPLIT]);
}

void plan_dw_pixels(Graph *g, const Conv *c, const Target *t, ContractPlan *p)
{
    int kg = (int)(c->K / c->groups);
    p->variant[V_ALGO] = ALGO_DW_PIXELS;
    p->variant[V_ROWS] = kg <= 4 ? kg : kg % 4 == 0 ? 4 : kg % 3 == 0 ? 3 : kg % 2 == 0 ? 2 : 1;
    p->variant[V_NB] = 1;          /* columns of taps */
    for (int nb = 2; nb <= 4; nb++)
        if (c->S % nb == 0 && nb <= most_rows(t, p->variant[V_ROWS]))
            p->variant[V_NB] = nb;
    Cut cut = dw_cut(c, t->vec);
    p->variant[V_SPLIT] = dw_chunks(g, c, &cut, c->C);
    p->combine = true;
    p->scratch_elems = dim_const(g->dims, dw_turned_elems(c, t->vec) * p->variant[V_SPLIT]);
}

/* ---- lanes over k ---- */

/* Adds the block's pixels to the sums of PR x PW taps from (r, s), input channel c; kb: first block of output channels. */
static void add_taps(Dw *k, LLVMValueRef sums, LLVMValueRef c, LLVMValueRef r, LLVMValueRef s, LLVMValueRef kb)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, nr = k->v[V_PR], ns = k->v[V_PW], nb = k->v[V_NB], nacc = nr * ns * nb;
    bool         depth = k->c.groups > 1;
    int64_t      blocks = (k->c.K + vec - 1) / vec;
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], at[MAX_CARRY], gv[8];
    for (int i = 0; i < nr * ns; i++) {
        LLVMValueRef row = i_add(e, i_mulc(e, c, k->c.R), i_addc(e, r, i / ns)), tap = i_add(e, i_mulc(e, row, k->c.S), i_addc(e, s, i % ns));
        for (int j = 0; j < nb; j++) {
            at[i * nb + j] = addr(e, sums, i_mulc(e, i_addc(e, i_mulc(e, tap, nb), j), vec));
            acc[i * nb + j] = vec_load(e, at[i * nb + j], vec);
        }
    }
    PixelLoop l;
    dw_pixels_begin(k, &l, nacc, acc, depth ? kb : c, kb, r, s, 1);
    memcpy(now, l.x.carry, sizeof now);
    for (int j = 0; j < nb; j++) {             /* past the last block: that one again, into sums that nobody reads */
        LLVMValueRef block = blocks % nb ? i_min(e, c_int(e, j), i_sub(e, c_int(e, blocks - 1), kb)) : c_int(e, j);
        gv[j] = vec_load(e, addr(e, l.gp, i_mul(e, block, k->g.c)), vec);
    }
    for (int i = 0; i < nr * ns; i++) {
        LLVMValueRef off = i_add(e, i_mulc(e, k->x.h, (int64_t)(i / ns) * k->c.dilation[0]), i_mulc(e, k->x.w, (int64_t)(i % ns) * k->c.dilation[1]));
        LLVMValueRef xp = addr(e, l.xp, off), xv = depth ? vec_load(e, xp, vec) : splat(e, load(e, xp), vec);
        for (int j = 0; j < nb; j++)
            now[i * nb + j] = f_fma(e, xv, gv[j], now[i * nb + j]);
    }
    dw_pixels_end(k, &l, now, nacc, at);
}

void emit_dw_lanes(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec, nb = p->variant[V_NB];
    int64_t             blocks = (c.K + vec - 1) / vec, tiles = (blocks + nb - 1) / nb, taps = c.Cg * c.R * c.S;
    LLVMValueRef        zero = c_int(e, 0), sums = stack_array(e, t_f32(e), (int)(taps * nb * vec)), chunk, index;
    Loop                t;
    Dw                  k = dw_begin(e, j, tiles, &t, &chunk, &index);
    LLVMValueRef        kb = i_mulc(e, index, nb);
    dw_clear_sums(e, sums, taps * nb);
    Loop b = dw_blocks_begin(&k);
    Loop ci = loop_begin(e, zero, c_int(e, c.Cg), 1, 0, NULL);
    Loop r = loop_begin(e, zero, c_int(e, c.R), p->variant[V_PR], 0, NULL);
    Loop s = loop_begin(e, zero, c_int(e, c.S), p->variant[V_PW], 0, NULL);
    add_taps(&k, sums, ci.i, r.i, s.i, kb);
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &ci, NULL);
    loop_end(e, &b, NULL);
    LLVMValueRef part = addr(e, k.partial, i_mulc(e, chunk, dw_turned_elems(&c, vec)));
    Loop         tap = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    Loop         o = loop_begin(e, zero, i_min(e, c_int(e, nb), i_sub(e, c_int(e, blocks), kb)), 1, 0, NULL);
    LLVMValueRef v = vec_load(e, addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap.i, nb), o.i), vec)), vec);
    store(e, v, addr(e, part, i_mulc(e, i_add(e, i_mulc(e, tap.i, blocks), i_add(e, kb, o.i)), vec)));
    loop_end(e, &o, NULL);
    loop_end(e, &tap, NULL);
    loop_end(e, &t, NULL);
}

/* ---- lanes over pixels ---- */

/* Adds the block's pixels to the sums of V_ROWS output channels from k0 (of `first_k` + k0) and V_NB columns of taps. sums: [r][s][k of the group][V]. */
static void add_pixels(Dw *k, LLVMValueRef sums, LLVMValueRef c, LLVMValueRef first_k, LLVMValueRef k0, LLVMValueRef r, LLVMValueRef s)
{
    Emit        *e = k->e;
    int          vec = e->target->vec, rows = k->v[V_ROWS], nb = k->v[V_NB], nacc = rows * nb;
    int64_t      kg = k->c.K / k->c.groups;
    LLVMValueRef acc[MAX_CARRY], now[MAX_CARRY], at[MAX_CARRY], gv[4];
    for (int i = 0; i < nacc; i++) {
        LLVMValueRef tap = i_add(e, i_mulc(e, r, k->c.S), i_addc(e, s, i % nb));
        at[i] = addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap, kg), i_addc(e, k0, i / nb)), vec));
        acc[i] = vec_load(e, at[i], vec);
    }
    PixelLoop l;
    dw_pixels_begin(k, &l, nacc, acc, c, i_add(e, first_k, k0), r, s, vec);
    memcpy(now, l.x.carry, sizeof now);
    LLVMValueRef mask = k->c.Wo >= 0 && k->c.Wo % vec == 0 ? NULL : tail_mask(e, i_sub(e, k->wo, l.x.i), vec);
    for (int i = 0; i < rows; i++)
        gv[i] = vec_load_mask(e, addr(e, l.gp, i_mulc(e, k->g.c, i)), vec, mask);
    for (int j = 0; j < nb; j++) {
        LLVMValueRef xv = spaced_load(e, addr(e, l.xp, c_int(e, (int64_t)j * k->c.dilation[1])), k->c.stride[1], mask);
        for (int i = 0; i < rows; i++)
            now[i * nb + j] = f_fma(e, xv, gv[i], now[i * nb + j]);
    }
    dw_pixels_end(k, &l, now, nacc, at);
}

void emit_dw_pixels(Emit *e, const Job *j)
{
    const ContractPlan *p = j->p;
    Conv                c = conv_of(p->g, p->node);
    int                 vec = e->target->vec;
    int64_t             kg = c.K / c.groups, taps = c.R * c.S;
    LLVMValueRef        zero = c_int(e, 0), sums = stack_array(e, t_f32(e), (int)(taps * kg * vec)), chunk, ch;
    Loop                t;
    Dw                  k = dw_begin(e, j, c.C, &t, &chunk, &ch);
    LLVMValueRef        first_k = i_mulc(e, i_divc(e, ch, c.Cg), kg);
    dw_clear_sums(e, sums, taps * kg);
    Loop b = dw_blocks_begin(&k);
    Loop r = loop_begin(e, zero, c_int(e, c.R), 1, 0, NULL);
    Loop s = loop_begin(e, zero, c_int(e, c.S), p->variant[V_NB], 0, NULL);
    Loop o = loop_begin(e, zero, c_int(e, kg), p->variant[V_ROWS], 0, NULL);
    add_pixels(&k, sums, ch, first_k, o.i, r.i, s.i);
    loop_end(e, &o, NULL);
    loop_end(e, &s, NULL);
    loop_end(e, &r, NULL);
    loop_end(e, &b, NULL);
    LLVMValueRef part = addr(e, k.partial, i_mulc(e, chunk, dw_turned_elems(&c, vec)));
    Loop         tap = loop_begin(e, zero, c_int(e, taps), 1, 0, NULL);
    Loop         i = loop_begin(e, zero, c_int(e, kg), 1, 0, NULL);
    LLVMValueRef v = vec_load(e, addr(e, sums, i_mulc(e, i_add(e, i_mulc(e, tap.i, kg), i.i), vec)), vec);
    LLVMValueRef row = i_add(e, i_mulc(e, i_rem(e, ch, c_int(e, c.Cg)), taps), tap.i);
    store(e, sum_lanes(e, &v, 1), addr(e, part, i_add(e, i_mulc(e, row, (c.K + vec - 1) / vec * vec), i_add(e, first_k, i.i))));
    loop_end(e, &i, NULL);
    loop_end(e, &tap, NULL);
    loop_end(e, &t, NULL);
}
