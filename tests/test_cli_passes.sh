#!/bin/sh
# test_cli_passes.sh PASTICHE TOOLS - --passes on the command line: the list, unknown names, results that stay, a training that goes on with fewer passes.
set -u
. tests/cli.sh
graph=tests/graphs/passes.graph

expect 0 "$pastiche" passes
prints "winograd" "convolutions and their gradients with all multiplications" "-simplify, -kernels and -all"

for command in "run $graph picture x=uniform:1 -o $work/x.npy" "show $graph --of gen --stage fused" "bench $graph gen --size n=2" "profile $graph gen --size n=2"; do
    wrong=1
    case $command in run*) wrong=2 ;; esac
    expect $wrong "$pastiche" $command --passes=-layuot
    says "no pass is called 'layuot'; there are: algebra" "Did you mean 'layout'?"
done

expect 0 "$pastiche" show $graph --of gen --stage fused
with=$(grep -c '^[0-9]' "$work/out")
expect 0 "$pastiche" show $graph --of gen --stage fused --passes=-fuse
without=$(grep -c '^[0-9]' "$work/out")
[ "$without" -gt "$with" ] || fail "$without kernels without fusion, $with with it"

# the graph itself changes with the simplifier's groups and with no other
expect 0 "$pastiche" show $graph --of gen --stage simplified
cp "$work/out" "$work/simplified"
expect 0 "$pastiche" show $graph --of gen --stage simplified --passes=-kernels
same "$work/out" "$work/simplified"
expect 0 "$pastiche" show $graph --of gen --stage simplified --passes -lift
differ "$work/out" "$work/simplified"

expect 0 "$pastiche" bench $graph gen --size n=2 --rounds 1 --json --passes=-all --passes=+fuse,+reuse
json name gen

finish
