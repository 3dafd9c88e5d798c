#!/bin/sh
# test_cli_debug.sh PASTICHE TOOLS - kernels under the lines of graph files: the map that perf reads, and gdb, where it is installed, stopping in a kernel.
set -u
. tests/cli.sh
graph=examples/one_layer.graph
PASTICHE_CACHE="$work/cache"
export PASTICHE_CACHE

profile() # WORDS...
{
    "$pastiche" profile $graph look --size x=1x4x32x32 --rounds 1 --threads 1 "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    wait $pid || fail "profile $*: exit status $?"
    map=/tmp/perf-$pid.map
}

profile --debug-kernels
exists "$map"
checks=$((checks + 1))
cp "$map" "$work/out" && rm "$map"
prints "conv_0 $graph:6" "reduce_" "copy_"
grep -vqE '^[0-9a-f]+ [0-9a-f]+ [a-z_0-9]+ ' "$work/out" && fail "lines of the map are ADDRESS SIZE NAME PLACE"
grep -qE '^[0-9a-f]+ 0 ' "$work/out" && fail "a kernel without a size"
absent "$work/cache"                                # such code is kept for nobody

PASTICHE_DEBUG_KERNELS=1 profile
exists "$map"
rm -f "$map"
profile
absent "$map"
exists "$work/cache"

if gdb --version >/dev/null 2>&1; then
    expect 0 env PASTICHE_STARTED=1 gdb --batch -nx -ex 'set breakpoint pending on' -ex 'break one_layer.graph:6' -ex run -ex 'bt 1' -ex 'info source' -ex 'info proc' -ex kill --args \
        "$pastiche" profile $graph look --size x=1x4x32x32 --rounds 1 --threads 1 --cpu baseline --debug-kernels
    prints "at $graph:6" "instance_norm |> relu" "Producer is pastiche"
    rm -f /tmp/perf-"$(sed -n 's/^process \([0-9]*\)$/\1/p' "$work/out" | tail -n 1)".map
else
    echo "skipped: gdb is not installed"
fi

finish
