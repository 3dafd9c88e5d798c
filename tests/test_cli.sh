#!/bin/sh
# test_cli.sh PASTICHE TOOLS - the command line: help, wrong usage, and the commands that compute nothing: check, fmt, ops, show, test.
set -u
. tests/cli.sh
mini=tests/cli/mini.graph

# ---- help: on stdout, status 0, each option told ----
expect 0 "$pastiche" --help
silent
prints "Usage: pastiche COMMAND" "check" "fmt" "ops" "sources" "show" "test" "train" "run"
expect 0 "$pastiche" help
expect 0 "$pastiche" --version
prints "pastiche "
for command in check fmt ops sources show test train run; do
    expect 0 "$pastiche" $command --help
    silent
    prints "Usage: pastiche $command" "--help"
done
expect 0 "$pastiche" train --help
prints "--data NAME=PATH" "--set NAME=VALUE" "--steps N" "--out DIR" "--resume DIR" "--seed N" "--threads N" "--cpu" "--backend"
expect 0 "$pastiche" run --help
prints "-o OUT" "--weights" "--set NAME=VALUE"
expect 0 "$pastiche" show --help
prints "--of STEP_OR_EXPORT" "--stage"

# ---- wrong usage: status 2, the complaint on stderr, nothing on stdout ----
expect 2 "$pastiche"
says "Usage: pastiche COMMAND"
wrong() # TEXT ARGUMENT...
{
    text=$1
    shift
    expect 2 "$pastiche" "$@"
    says "$text"
    checks=$((checks + 1))
    [ ! -s "$work/out" ] || fail "wrong usage printed to stdout: $last"
}
wrong "Did you mean 'train'?" trian x.graph
wrong "no command 'draw'" draw
wrong "Usage: pastiche check FILE" check
wrong "too many arguments" check a.graph b.graph
wrong "Did you mean '--json'?" check "$mini" --jsn
wrong "--json takes no value" check "$mini" --json=yes
wrong "--set needs a value" check "$mini" --set
wrong "Usage: pastiche fmt" fmt
wrong "--stage is parse" show "$mini" --of sample
wrong "Did you mean 'typed'?" show "$mini" --of sample --stage typd
wrong "Did you mean '--steps'?" train "$mini" --stps 3
wrong "--steps takes a whole number" train "$mini" --steps 0
wrong "--steps takes a whole number" train "$mini" --steps 3x
wrong "--minutes takes a number above 0" train "$mini" --minutes 0
wrong "--minutes takes a number above 0" train "$mini" --minutes 3m
wrong "--threads takes a whole number" train "$mini" --threads 0
wrong "--seed takes a whole number" train "$mini" --seed -1
wrong "--backend is native or reference" train "$mini" --backend gpu
wrong "--cpu is avx512, avx2 or baseline" train "$mini" --cpu sse9
wrong "-o OUT" run "$mini" sample
wrong "Usage: pastiche run" run "$mini"
wrong "too many arguments" test "$mini" "$mini"

# ---- check ----
expect 0 "$pastiche" check "$mini"
silent
prints "net G: 4,779 parameters" "G.up" "conv_t" "[N, 8, 8, 8]" "net G_avg: 4,779 parameters, follows G" "step g_step(n)  reports g_loss" "export sample(z: [N, 8])" "total"
expect 0 "$pastiche" check "$mini" --set w=8
prints "net G: 13,651 parameters"
expect 0 "$pastiche" check "$mini" --json
silent
json nets.G.parameters 4779
json "nets.G.layers[2].path" G.up
json "nets.G.layers[2].op" conv_t
json "nets.G.layers[2].output" '["N", 8, 8, 8]'
json "nets.G.layers[2].parameters" 2056
json "nets.G.layers[3].bytes" 3072
json nets.D.parameters 905
json steps.d_step.inputs.x '["N", 3, 16, 16]'
json "steps.d_step.reports[1]" d_average
json exports.scale.outputs.total '[]'
json exports.brighten.inputs.x '[1, 3, "H", "W"]'
json "trains[0]" main
expect 0 "$pastiche" check "$mini" --json --set=w=8
json nets.G.parameters 13651

expect 1 "$pastiche" check "$work/none.graph"
says "$work/none.graph" "cannot be opened"
expect 1 "$pastiche" check "$work"
expect 1 "$pastiche" check "$mini" --set q=3
says "no const 'q'"
expect 1 "$pastiche" check "$mini" --set w=wide
says "'wide' is not a number"
expect 1 "$pastiche" check "$mini" --set w
says "--set w: write NAME=NUMBER"

# All errors of a file, each with its place; the same as JSON.
sed -e '8s/stride/strid/' -e 's/over D using/over Q using/' "$mini" >"$work/wrong.graph"
expect 1 "$pastiche" check "$work/wrong.graph"
says "$work/wrong.graph:8:" "strid" "Did you mean 'stride'?" "'Q'" "^^^"
expect 1 "$pastiche" check "$work/wrong.graph" --json
json "diagnostics[0].line" 8
json "diagnostics[0].file" "$work/wrong.graph"
printf 'net G = linear(3\n' >"$work/open.graph"
expect 1 "$pastiche" check "$work/open.graph"
says "$work/open.graph:1:"

# ---- fmt ----
expect 0 "$pastiche" fmt --check "$mini"
silent
sed 's/  */ /g' "$mini" >"$work/loose.graph"
cp "$work/loose.graph" "$work/before.graph"
expect 1 "$pastiche" fmt --check "$work/loose.graph" "$mini"
says "$work/loose.graph is not formatted"
same "$work/loose.graph" "$work/before.graph"
expect 0 "$pastiche" fmt "$work/loose.graph"
expect 0 "$pastiche" fmt --check "$work/loose.graph"
expect 1 "$pastiche" fmt --check "$work/open.graph"
says "$work/open.graph:1:"
expect 1 "$pastiche" fmt "$work/none.graph"
says "$work/none.graph"
find graphs tests/cli examples -name '*.graph' >"$work/files"
while read -r file; do
    expect 0 "$pastiche" fmt --check "$file"
done <"$work/files"

# ---- ops ----
expect 0 "$pastiche" ops
silent
prints conv matmul resize
expect 0 "$pastiche" ops conv
prints stride dilation
expect 1 "$pastiche" ops cnov
says "conv"
expect 0 "$pastiche" sources
silent
prints images labelled mnist npy scenes shuffle

# ---- show ----
expect 0 "$pastiche" show "$mini" --stage parse
silent
prints "(module Generator" "(net G_avg"
for stage in typed grad simplified; do
    for graph in d_step sample; do
        expect 0 "$pastiche" show "$mini" --of $graph --stage $stage
        silent
        prints conv
        cp "$work/out" "$work/$stage.$graph"
        expect 0 "$pastiche" show "$mini" --of $graph --stage $stage
        same "$work/out" "$work/$stage.$graph"
    done
done
expect 0 grep -q conv_dw "$work/grad.d_step"
expect 1 grep -q conv_dw "$work/typed.d_step"
expect 1 "$pastiche" show "$mini" --of smple --stage typed
says "Did you mean 'sample'?"
expect 1 "$pastiche" show "$mini" --stage typed
says "--of"
expect 1 "$pastiche" show "$work/open.graph" --stage parse
says "$work/open.graph:1:"

# ---- test ----
expect 0 "$pastiche" test "$mini"
silent
prints "gradcheck(g_step)" "1 passed, 0 failed"
cat >"$work/fails.graph" <<'END'
test "sums" {
    assert sum(normal([3]) * 0) == 0
}

test "lies" {
    assert sum(normal([3]) * 0) == 1
}
END
expect 1 "$pastiche" test "$work/fails.graph"
prints "1 passed, 1 failed" "$work/fails.graph:6"
cat >"$work/when.graph" <<'END'
net L = linear(1)

optim o = sgd(lr: 0.1)

step s(x: f32[N, 2]) { minimize log(progress) * mean(square(L(x))) over L using o }

test "half way" { gradcheck(s, N: 2, progress: 0.5) }

test "at the start there is no number" { gradcheck(s, N: 2) }
END
expect 1 "$pastiche" test "$work/when.graph"
prints "1 passed, 1 failed"

# ---- bench, profile ----
expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 5
silent
prints "g_step: " " GFLOP/s, " " % of the " "compiled in "
expect 0 "$pastiche" bench "$mini" sample --size z=3x8 --rounds 5 --json --threads 1
json name sample
json threads 1
json gflop 0.0003564         # 3 pictures x 2 x (8*256 + 4*4*16 * 4*4*8 + 8*8*8 * 4*4*3) multiply-adds
expect 0 "$pastiche" bench "$mini" brighten --size x=1x3x8x9 --rounds 5 --json
json gflop 0
expect 0 "$pastiche" profile "$mini" g_step --size n=2 --rounds 5
prints "kernels, " " conv" "$mini:" "GFLOP/s of multiply-adds, copies at " " memory "
expect 0 "$pastiche" profile "$mini" sample --size z=3x8 --rounds 2 --threads 2 --passes=-keep --trace "$work/trace.json"
kernels=$(sed -n '1s/ kernels.*//p' "$work/out")
cp "$work/trace.json" "$work/out"
json "traceEvents[0].args.name" sample
json "traceEvents[1].ph" X
json "traceEvents[1].pid" 1
json "traceEvents[$kernels].cat" contract           # the last kernel of the first pass: conv_t to three channels
checks=$((checks + 1))
[ "$(grep -c '"ph": "X"' "$work/out")" -ge $((2 * kernels)) ] || fail "fewer events than kernels"
expect 1 "$pastiche" profile "$mini" sample --size z=3x8 --rounds 2 --trace /dev/null/trace.json
says "/dev/null"
# a net whose weights are in a file that is not there
printf 'net P = linear(3) from "absent.safetensors" frozen\nexport see(x: f32[N, 2]) -> f32[N, 3] { return P(x) }\n' > "$work/frozen.graph"
expect 0 "$pastiche" bench "$work/frozen.graph" see --size x=4x2 --rounds 5
expect 0 "$pastiche" profile "$work/frozen.graph" see --size x=4x2 --rounds 5
expect 1 "$pastiche" bench "$mini" g_step
says "say how large 'n' is: --size n=16"
expect 1 "$pastiche" bench "$mini" brighten
says "say how large 'x' is: --size x=1x3xHxW"
expect 1 "$pastiche" bench "$mini" brighten --size x=1x2x8x9
says "'x' is of size 1x3xHxW"
expect 1 "$pastiche" bench "$mini" brighten --size x=1x3x8x
says "'x' is of size 1x3xHxW"
expect 1 "$pastiche" bench "$mini" brighten --size x=1x3x8x9 --size by=2
says "'by' is one number"
expect 1 "$pastiche" bench "$mini" brighten --size y=1x3x8x9
says "no input 'y'"
expect 1 "$pastiche" profile "$mini" smple --size z=1x8
says "Did you mean 'sample'?"

finish
