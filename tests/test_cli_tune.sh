#!/bin/sh
# test_cli_tune.sh PASTICHE TOOLS - pastiche tune: a search, its database, the compiles that read it, damaged lines.
set -u
. tests/cli.sh
graph=tests/graphs/passes.graph
PASTICHE_CACHE=off
PASTICHE_TUNE=off
export PASTICHE_CACHE PASTICHE_TUNE

expect 0 "$pastiche" tune $graph picture --size x=2x3x32x32 --budget 6s --db "$work/tuned.txt"
prints "microseconds a pass" "conv ?x16x" " tried" "all together" "kept"
silent
kept=$(sed -n 's/.*; \([0-9]*\) of [0-9]* kept.*/\1/p' "$work/out")
if [ "$kept" -gt 0 ]; then
    prints "$work/tuned.txt"
    checks=$((checks + 1))
    [ "$(grep -c ' us, estimated ' "$work/tuned.txt")" = "$kept" ] || fail "$kept kept, but $(cat "$work/tuned.txt")"
else
    absent "$work/tuned.txt"                        # nothing was faster than the estimate: nothing to write
fi

# a database made by hand: the key is what tune prints, with sizes that differ from the estimate's
printf '# made by hand\nnonsense\n' >"$work/hand.txt"
PASTICHE_TUNE=$work/hand.txt expect 0 "$pastiche" bench $graph picture --size x=2x3x32x32 --rounds 1 --json
says "warning: $work/hand.txt:2: not a line of block sizes; ignored"
json tuned 0

expect 2 "$pastiche" tune $graph picture --size x=2x3x32x32 --budget soon
says "--budget takes a time such as 60s or 5m, not 'soon'"
expect 1 "$pastiche" tune $graph picture --size x=2x3x32x32
says "there is no place for the database: say --db FILE"
expect 1 "$pastiche" tune $graph pictur --size x=2x3x32x32 --db "$work/none.txt"
says "Did you mean 'picture'?"
expect 1 "$pastiche" tune $graph picture --size x=2x3x32x32 --budget 1s --db "$work/none.txt" --backend reference
says "the reference backend has no kernels to tune"
printf 'export f(x: f32[N]) -> f32[N] { return x + 1 }\n' >"$work/plain.graph"
expect 0 "$pastiche" tune "$work/plain.graph" f --size x=9 --budget 1s --db "$work/none.txt"
prints "nothing to tune"
absent "$work/none.txt"

finish
