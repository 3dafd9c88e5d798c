#!/bin/sh
# test_cli_cache.sh PASTICHE TOOLS - the cache of kernels as the commands use it: kept where the environment says, the same results with it and without, switched off; what bench
# says of starts. tests/test_cache.c looks closer.
set -u
. tests/cli.sh
mini=tests/cli/mini.graph
entries() { ls "$1" 2>/dev/null | grep -c '^[0-9a-f]*\.kernel$'; }

for command in train run show bench profile; do
    expect 0 "$pastiche" $command --help
    prints "--no-cache"
done

# ---- results: without, filling it, from it ----
PASTICHE_CACHE=$work/cache
expect 0 "$pastiche" train "$mini" --steps 4 --out "$work/none" --no-cache
checks=$((checks + 1))
[ ! -e "$work/cache" ] || fail "--no-cache has made a cache"
for start in filling from; do
    expect 0 "$pastiche" train "$mini" --steps 4 --out "$work/$start"
    expect 0 "$pastiche" run "$mini" sample normal:1 --count 3 --weights "$work/$start/weights.safetensors" -o "$work/$start.npy"
    checks=$((checks + 1))
    [ "$(entries "$work/cache")" -gt 10 ] || fail "$(entries "$work/cache") entries after training"
done
expect 0 "$pastiche" run "$mini" sample normal:1 --count 3 --weights "$work/none/weights.safetensors" -o "$work/none.npy" --no-cache
for start in filling from; do
    expect 0 cmp "$work/none/weights.safetensors" "$work/$start/weights.safetensors"
    expect 0 cmp "$work/none.npy" "$work/$start.npy"
done

# ---- where it is ----
expect 0 env -u PASTICHE_CACHE XDG_CACHE_HOME="$work/xdg" "$pastiche" run "$mini" sample normal:1 --weights "$work/none/weights.safetensors" -o "$work/a.npy"
silent
expect 0 env -u PASTICHE_CACHE -u XDG_CACHE_HOME HOME="$work/home" "$pastiche" run "$mini" sample normal:1 --weights "$work/none/weights.safetensors" -o "$work/a.npy"
silent
checks=$((checks + 2))
[ "$(entries "$work/xdg/pastiche")" -gt 3 ] || fail "nothing in XDG_CACHE_HOME/pastiche"
[ "$(entries "$work/home/.cache/pastiche")" -gt 3 ] || fail "nothing in ~/.cache/pastiche"
expect 0 env -u PASTICHE_CACHE -u XDG_CACHE_HOME -u HOME "$pastiche" run "$mini" sample normal:1 --weights "$work/none/weights.safetensors" -o "$work/a.npy"
silent
PASTICHE_CACHE=/proc/none
expect 0 "$pastiche" run "$mini" sample normal:1 --weights "$work/none/weights.safetensors" -o "$work/a.npy"
silent

# ---- bench ----
known() # PATH: a number above 0 stands there
{
    checks=$((checks + 1))
    "$tools/json_at" "$1" <"$work/out" | awk '{ exit !($1 > 0) }' || fail "$1 is not a number above 0: $last"
}
PASTICHE_CACHE=$work/bench
for round in 1 2; do
    expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 2 --json
    silent
    known compile_ms
    known cached_start_ms
    known ms
done
expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 2
prints "compiled in " "ms after the start"
expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 2 --json --no-cache
known compile_ms
json cached_start_ms null
expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 2 --json --backend reference
json compile_ms null
json cached_start_ms null
PASTICHE_CACHE=off
expect 0 "$pastiche" bench "$mini" g_step --size n=2 --rounds 2 --json
known compile_ms
json cached_start_ms null

finish
