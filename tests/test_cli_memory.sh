#!/bin/sh
# test_cli_memory.sh PASTICHE TOOLS - check --memory: what it says agrees with itself and with what a run takes; sizes and names that do not fit.
set -u
. tests/cli.sh
layer=examples/one_layer.graph

# What is alive at the peak is the lower bound; the text and the JSON say the same; a run's arena is the planned one.
expect 0 "$pastiche" check "$layer" --memory --size x=2x4x16x16 --threads 2 --json
silent
sum_of_live() { tr '{' '\n' <"$work/out" | sed -n "/\"fit\"/,/\"look\"/s/^\"bytes\": \([0-9]*\),.*/\1/p" | awk '{ n += $1 } END { print n }'; }
json fit.bound "$(sum_of_live)"
json look.results 16384          # 2 x 8 x 16 x 16 numbers
json look.inputs 8192
json fit.variables 1252          # 8*4*3*3 weights, 3 x 8 others, the count of updates
json fit.new_values 1252
json look.new_values 0
arena=$("$tools/json_at" fit.arena <"$work/out")
bound=$("$tools/json_at" fit.bound <"$work/out")
checks=$((checks + 1))
[ "$arena" -ge "$bound" ] && [ "$arena" -le $((bound + bound / 4)) ] || fail "an arena of $arena bytes, $bound are needed"
expect 0 "$pastiche" bench "$layer" fit --size x=2x4x16x16 --threads 2 --rounds 2 --json
json arena_mib "$(awk "BEGIN { printf \"%.4g\", $arena / 1048576 }")"

expect 0 "$pastiche" check "$layer" --memory --size x=2x4x100x100
silent
prints "step fit: arena " "no plan takes less than" "at the peak, kernel " "f32[2, 8, 100, 100]" "examples/one_layer.graph:6" "export look: arena"
expect 0 "$pastiche" check "$layer" --memory --of look --size x=2x4x100x100
checks=$((checks + 1))
grep -q "step fit" "$work/out" && fail "--of look shows fit"

# A graph without its sizes is told of, the others are shown; alone it is an error.
cat >"$work/two.graph" <<'END'
export one(x: f32[N, 3]) -> f32[N, 3] { return exp(x) }
export two(y: f32[2, K]) -> f32[2, K] { return exp(y) }
END
expect 0 "$pastiche" check "$work/two.graph" --memory --size x=5x3
prints "export one: arena 0.00"
says "export two: say how large 'y' is: --size y=2xK"
expect 1 "$pastiche" check "$work/two.graph" --memory
says "export one: say how large 'x' is: --size x=Nx3"
expect 1 "$pastiche" check "$work/two.graph" --memory --of two --size x=5x3
says "'two' has no input 'x'"
expect 1 "$pastiche" check "$work/two.graph" --memory --of three
says "no export or step 'three'"
expect 1 "$pastiche" check "$work/two.graph" --memory --of two --size y=3x3
says "'y' is of size 2xK"
expect 1 "$pastiche" check "$work/two.graph" --memory --size z=3
says "no input 'z'"
expect 2 "$pastiche" check "$work/two.graph" --size x=5x3
says "--of and --size belong to --memory"

# Results written over arguments: the softmax over its exponentials, and a norm over what it normalises; not where neighbours are read, nor where somebody reads on.
cat >"$work/over.graph" <<'END'
export weighted(k: f32[] = 1) -> f32[37, 5] {
    e = exp(k * fixed_normal([37, 53], seed: 1))
    return matmul(e / expand(sum(e, axes: [1], keep: true), [37, 53]), fixed_normal([53, 5], seed: 2))
}

export neighbours(k: f32[] = 1) -> f32[37, 5] {
    e = exp(k * fixed_normal([37, 53], seed: 1))
    return matmul(e[:, ::-1] / expand(sum(e, axes: [1], keep: true), [37, 53]), fixed_normal([53, 5], seed: 2))
}

export again(k: f32[] = 1) -> f32[37, 5] {
    e = exp(k * fixed_normal([37, 53], seed: 1))
    w = matmul(e / expand(sum(e, axes: [1], keep: true), [37, 53]), fixed_normal([53, 5], seed: 2))
    return w + matmul(e, fixed_normal([53, 5], seed: 3))
}

export picture(k: f32[] = 1) -> f32[2, 24, 9, 7] {
    y = conv2d(k * fixed_normal([2, 16, 9, 7], seed: 1), fixed_normal([24, 16, 3, 3], seed: 2), pad: 1)
    return conv2d(standardize(y, [2, 3]), fixed_normal([24, 24, 1, 1], seed: 3))
}
END
for e in weighted:1 neighbours:0 again:0 picture:1; do
    name=${e%:*}
    expect 0 "$pastiche" show "$work/over.graph" --of "$name" --stage fused
    checks=$((checks + 1))
    [ "$(grep -c '<-.*in place of' "$work/out")" = "${e#*:}" ] || fail "$name: ${e#*:} results in place are right"
    for cpu in "" "--cpu baseline"; do
        expect 0 "$pastiche" run "$work/over.graph" "$name" $cpu -o "$work/over.npy"
        expect 0 "$pastiche" run "$work/over.graph" "$name" $cpu --passes=-inplace -o "$work/beside.npy"
        same "$work/over.npy" "$work/beside.npy"
    done
    expect 0 "$pastiche" show "$work/over.graph" --of "$name" --stage fused --passes=-inplace
    checks=$((checks + 1))
    grep -q 'in place of' "$work/out" && fail "$name: switched off"
done

# Kernels that are put off until they are needed: the peak is lower, the kernels are the same.
gan="tests/compare/mlp_gan.graph --memory --of train --size x=128x784 --size z=128x100 --json"
expect 0 "$pastiche" check $gan --passes=-order
early=$("$tools/json_at" train.bound <"$work/out")
kernels=$("$tools/json_at" train.kernels <"$work/out")
expect 0 "$pastiche" check $gan
json train.kernels "$kernels"
late=$("$tools/json_at" train.bound <"$work/out")
checks=$((checks + 1))
[ "$late" -lt "$early" ] || fail "kernels put off: $late bytes alive at the peak, $early in the order of the text"

# A budget: kept in the plan and in the run; too small, or no size at all.
remat=tests/graphs/remat.graph
expect 0 "$pastiche" check "$remat" --memory --size x=4x3x64x64 --size y=4x3x64x64 --json --passes=-remat
plenty=$("$tools/json_at" fit.arena <"$work/out")
expect 0 "$pastiche" check "$remat" --memory --size x=4x3x64x64 --size y=4x3x64x64 --json
less=$("$tools/json_at" fit.arena <"$work/out")
expect 0 "$pastiche" check "$remat" --memory --size x=4x3x64x64 --size y=4x3x64x64 --json --memory-budget 12MiB
least=$("$tools/json_at" fit.arena <"$work/out")
checks=$((checks + 1))
[ "$less" -lt "$plenty" ] && [ "$least" -lt "$less" ] && [ "$least" -lt 12582912 ] || fail "arenas of $plenty, $less with @remat, $least with a budget of 12 MiB"
expect 0 "$pastiche" bench "$remat" fit --size x=4x3x64x64 --size y=4x3x64x64 --rounds 2 --json --memory-budget 12MiB
json arena_mib "$(awk "BEGIN { printf \"%.4g\", $least / 1048576 }")"
expect 1 "$pastiche" bench "$remat" fit --size x=4x3x64x64 --size y=4x3x64x64 --rounds 2 --memory-budget 2MiB
says "a memory budget of 2.00 MiB: 'fit' needs at least " "at these sizes (arena "
for size in 12 12MB -3MiB MiB 0KiB 1e30GiB; do
    expect 1 "$pastiche" check "$remat" --memory --memory-budget "$size"
    says "--memory-budget takes a size such as 512MiB or 1.5GiB, not '$size'"
done

finish
