#!/bin/sh
# test_cli_best.sh PASTICHE TOOLS - a training that measures itself: reports of the train block in the log, the best pass kept, and both the same bits after a resume.
set -u
. tests/cli.sh
graph=tests/cli/best.graph
export PASTICHE_CACHE="$work/cache"                        # runs of one graph: compiled once

column() # FILE NAME: step and value, a line where there is one
{
    awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } $c != "" { print $1, $c }' "$1"
}

expect 0 "$pastiche" train "$graph" main --out "$work/whole"
silent
expect 0 grep -qx 'step,d_loss,g_loss,fid,kid,light' "$work/whole/losses.csv"
expect 0 test "$(column "$work/whole/losses.csv" fid | wc -l)" = 12
best=$(column "$work/whole/losses.csv" fid | sort -g -k 2 | head -n 1)
step=${best% *}
expect 0 "$pastiche" train "$graph" main --out "$work/again" --steps "$step"       # the kept pass is the one of the lowest number: a run that ends there is the same
exists "$work/whole/kept/best.safetensors"
for seed in 1 2; do
    expect 0 "$pastiche" run "$graph" sample normal:$seed --weights "$work/whole/kept/best.safetensors" -o "$work/kept$seed.png"
    expect 0 "$pastiche" run "$graph" sample normal:$seed --weights "$work/again/weights.safetensors" -o "$work/again$seed.png"
    same "$work/kept$seed.png" "$work/again$seed.png"
done
expect 0 "$pastiche" run "$graph" sample normal:1 --weights "$work/whole/weights.safetensors" -o "$work/last.png"
differ "$work/kept1.png" "$work/last.png"

# interrupted between two measures, and with what it kept lost: the rest is the same bits, also of the measure that draws noise
expect 0 "$pastiche" train "$graph" main --out "$work/parts" --steps 37 --quiet
if [ "$step" -gt 37 ]; then rm "$work/parts/kept/best.safetensors"; fi
expect 0 "$pastiche" train "$graph" main --out "$work/parts" --resume "$work/parts"
same "$work/parts/losses.csv" "$work/whole/losses.csv"
same "$work/parts/kept/best.safetensors" "$work/whole/kept/best.safetensors"
# a later pass that is no better does not replace it
cp "$work/whole/kept/best.safetensors" "$work/before"
expect 0 "$pastiche" train "$graph" main --out "$work/whole" --resume "$work/whole" --steps 61
same "$work/whole/kept/best.safetensors" "$work/before"
# and it can be gone on from
expect 0 "$pastiche" train "$graph" main --out "$work/from" --resume "$work/before" --steps $((step + 1))
prints "resumed from $work/before at step $step"

# the same on the interpreter, to what f32 resolves
expect 0 "$pastiche" train "$graph" main --out "$work/reference" --backend reference --steps 10 --quiet
column "$work/reference/losses.csv" fid >"$work/slow"
column "$work/whole/losses.csv" fid | head -n 2 >"$work/fast"
expect 0 awk 'NR == FNR { v[$1] = $2; next } { d = v[$1] / $2 - 1; if (d > 1e-3 || d < -1e-3) exit 1; n++ } END { exit n != 2 }' "$work/slow" "$work/fast"

# a step's report counts as well; sets that are small are told of, once
expect 0 "$pastiche" train "$graph" by_loss --out "$work/loss"
prints "best g_loss so far: $(awk -F, 'NR > 1 { print $3 }' "$work/loss/losses.csv" | sort -g | head -n 1 | cut -c 1-6)"
expect 0 "$pastiche" train "$graph" few --out "$work/few"
prints "note: report fid: 7 items are too few for the covariance of 7 features"
expect 0 test "$(grep -c 'too few' "$work/out")" = 1

finish
