#!/bin/sh
# test_cli_train.sh PASTICHE TOOLS - pastiche train: what a run writes; stopping, being killed and going on bit for bit; weights given at the start; what stops it.
set -u
. tests/cli.sh
mini=tests/cli/mini.graph

train() # FOLDER WORDS...: `train mini.graph --out FOLDER`
{
    folder=$1
    shift
    "$pastiche" train "$mini" --backend "$backend" --out "$folder" "$@"
}

has_checkpoint() # FOLDER NUMBER: one of at least that step
{
    for file in "$1"/ck/mini/step-*.safetensors; do
        step=${file##*/step-}
        [ -e "$file" ] && [ "$(echo "${step%.safetensors}" | sed 's/^0*//')" -ge "$2" ] && return 0
    done
    return 1
}

newest() # FOLDER: the newest checkpoint's step
{
    ls "$1/ck/mini" | sed -n 's/^step-0*\([0-9]*\)\.safetensors$/\1/p' | sort -n | tail -n 1
}

same_run() # FOLDER FOLDER
{
    same "$1/weights.safetensors" "$2/weights.safetensors"
    same "$1/losses.csv" "$2/losses.csv"
}

signal_and_resume() # SIGNAL: it saves, exits 0, and goes on as if never stopped
{
    "$pastiche" train "$mini" --backend "$backend" --out "$work/$1" --steps 1000000 >"$work/out" 2>"$work/err" </dev/null &
    pid=$!
    wait_for 120 has_checkpoint "$work/$1" 20 || return
    kill -s "$1" $pid
    status=0
    wait $pid || status=$?
    last="a run that got SIG$1"
    checks=$((checks + 1))
    [ $status = 0 ] || fail "exit status $status, not 0: $last"
    silent
    prints "stopped and saved"
    exists "$work/$1/weights.safetensors"
    stop=$(newest "$work/$1")
    expect 0 train "$work/$1" --resume "$work/$1" --steps $((stop + 13))
    expect 0 train "$work/$1.whole" --steps $((stop + 13))
    same_run "$work/$1" "$work/$1.whole"
}

for backend in ${BACKENDS:-reference native}; do
    echo "backend $backend"
    rm -rf "$work"/*

    # ---- what a run leaves ----
    expect 0 train "$work/whole" --steps 40
    silent
    prints "40/40" "weights: $work/whole/weights.safetensors"
    exists "$work/whole/weights.safetensors" "$work/whole/pictures/000040.png" "$work/whole/ck/mini/step-00000040.safetensors"
    absent "$work/whole/ck/mini/step-00000010.safetensors"                 # keep: 3
    expect 0 test "$(wc -l <"$work/whole/losses.csv")" -eq 41
    expect 0 grep -qx 'step,d_loss,d_average,g_loss' "$work/whole/losses.csv"
    expect 0 grep -qE '^7,[0-9.]+,[0-9.]+,$' "$work/whole/losses.csv"     # g_step runs every other pass
    expect 0 train "$work/quiet" --steps 40 --quiet
    checks=$((checks + 1))
    [ ! -s "$work/out" ] || fail "--quiet printed"
    same_run "$work/whole" "$work/quiet"                                   # the same seed, the same bits
    expect 0 train "$work/one" --steps 40 --threads 1 --quiet
    same_run "$work/whole" "$work/one"
    expect 0 train "$work/seed" --steps 40 --seed 5 --quiet
    differ "$work/whole/losses.csv" "$work/seed/losses.csv"

    # ---- a limit on time: as many passes as fit, or as the file says when they fit ----
    begun=$(date +%s)
    expect 0 train "$work/timed" --steps 100000000 --minutes 0.1
    expect 0 test $(($(date +%s) - begun)) -lt 20
    expect 0 test "$(wc -l <"$work/timed/losses.csv")" -gt 3
    exists "$work/timed/weights.safetensors"
    expect 0 train "$work/timed" --overwrite --steps 40 --minutes 10
    same_run "$work/whole" "$work/timed"

    # ---- 17 passes, then 23 more ----
    expect 0 train "$work/part" --steps 17
    expect 0 train "$work/part" --resume "$work/part" --steps 40
    prints "resumed from $work/part/ck/mini/step-00000017.safetensors at step 17"
    same_run "$work/whole" "$work/part"
    same "$work/whole/pictures/000020.png" "$work/part/pictures/000020.png"
    same "$work/whole/ck/mini/step-00000040.safetensors" "$work/part/ck/mini/step-00000040.safetensors"

    # ---- --resume names a checkpoint, their folder or the run's; the run's folder follows from it ----
    for place in "" /ck/mini /ck/mini/step-00000017.safetensors; do
        rm -rf "$work/again"
        expect 0 train "$work/again" --steps 17
        expect 0 "$pastiche" train "$mini" --backend "$backend" --resume "$work/again$place" --steps 40
        same_run "$work/whole" "$work/again"
    done
    expect 1 train "$work/again" --steps 50
    says "holds checkpoints of an earlier run" "--resume" "--overwrite"
    expect 1 train "$work/again" --resume "$work/again" --steps 20
    says "past the 20 steps"
    expect 1 train "$work/again" --resume "$work/nowhere"
    says "$work/nowhere"
    expect 0 train "$work/again" --overwrite --steps 40
    same_run "$work/whole" "$work/again"

    # ---- signals ----
    signal_and_resume INT
    signal_and_resume TERM

    # ---- killed: what was saved is whole, and goes on as if never stopped ----
    "$pastiche" train "$mini" --backend "$backend" --out "$work/killed" --steps 1000000 >/dev/null 2>&1 </dev/null &
    pid=$!
    wait_for 120 has_checkpoint "$work/killed" 20
    kill -9 $pid
    wait $pid 2>/dev/null
    expect 0 train "$work/killed" --resume "$work/killed" --steps $(($(newest "$work/killed") + 11))
    expect 0 train "$work/spared" --steps "$(newest "$work/killed")"
    same_run "$work/killed" "$work/spared"

    # ---- a damaged checkpoint is named and the one before it taken ----
    rm -rf "$work/part"
    expect 0 train "$work/part" --steps 25
    dd if="$work/part/ck/mini/step-00000025.safetensors" of="$work/half" bs=1000 count=9 2>/dev/null
    mv "$work/half" "$work/part/ck/mini/step-00000025.safetensors"
    expect 0 train "$work/part" --resume "$work/part" --steps 40
    prints "step-00000025.safetensors" "at step 20"
    same_run "$work/whole" "$work/part"
    for file in "$work"/part/ck/mini/*.safetensors; do echo "not a checkpoint" >"$file"; done
    expect 1 train "$work/part" --resume "$work/part" --steps 50
    says "$work/part/ck/mini"

    # ---- weights given at the start ----
    expect 0 train "$work/more" --weights "$work/whole/weights.safetensors" --steps 3
    expect 0 train "$work/parts" --weights "G=$work/whole/weights.safetensors" --weights "D=$work/whole/weights.safetensors" \
        --weights "G_avg=$work/whole/weights.safetensors" --steps 3
    same_run "$work/more" "$work/parts"
    expect 0 train "$work/fresh" --steps 3
    differ "$work/more/losses.csv" "$work/fresh/losses.csv"
    expect 1 train "$work/no" --weights "$work/whole/losses.csv" --steps 3
    says "$work/whole/losses.csv"
    expect 1 train "$work/no" --weights "Q=$work/whole/weights.safetensors" --steps 3
    says "'Q'"
    expect 1 train "$work/no" --set w=5 --weights "$work/whole/weights.safetensors" --steps 3
    says misshapen "'G.weight' [256, 8], should be [320, 8]"
    sed 's/up: conv_t/grow: conv_t/' "$mini" >"$work/renamed.graph"
    expect 1 "$pastiche" train "$work/renamed.graph" --backend "$backend" --out "$work/no" --weights "$work/whole/weights.safetensors"
    says "missing 'G.grow.weight'" "extra 'G.up.weight'"
    absent "$work/no"

    # ---- what stops it: a number that is not finite, an assert, data that is not there ----
    cat >"$work/bad.graph" <<'END'
module Net()(x: f32[N, 4]) -> f32[N] {
    return x |> linear(1) |> reshape([N])
}

net D = Net()

optim o = sgd(lr: 0.1)

step s(n) {
    y    = D(normal([n, 4]))
    loss = log(mean(square(y)) + 4.5 - step)
    minimize loss over D using o
    report loss
}

step t(n) {
    assert step < 3
    report ok: mean(normal([n]))
}

data pictures = images("nowhere", size: 8, batch: 2)

step u(x: f32[N, 3, 8, 8]) {
    report ok: mean(x)
}

train nan for 100 steps {
    s(4)
}

train assertion for 100 steps {
    t(4)
}

train missing for 100 steps {
    u(pictures.next)
}
END
    bad() # BLOCK
    {
        expect 1 "$pastiche" train "$work/bad.graph" "$1" --backend "$backend" --out "$work/bad_$1"
    }
    bad nan
    says "$work/bad.graph:11" "not finite" log
    expect 0 grep -q '^5,' "$work/bad_nan/losses.csv"
    expect 1 grep -q '^7,' "$work/bad_nan/losses.csv"
    bad assertion
    says "$work/bad.graph:17" assert
    bad missing
    says nowhere
    expect 1 "$pastiche" train "$work/bad.graph" --backend "$backend" --out "$work/bad"
    says "nan, assertion, missing"
    expect 1 "$pastiche" train "$work/bad.graph" nam --backend "$backend" --out "$work/bad"
    says "Did you mean 'nan'?"
    expect 1 train "$work/no" --data pears=x
    says "no data 'pears'" "Did you mean 'pairs'?"
    expect 1 train "$work/no" --data pairs
    says "--data pairs: write NAME=PATH"
    absent "$work/no"
done

finish
