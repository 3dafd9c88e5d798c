#!/bin/sh
# test_cli_explain.sh PASTICHE TOOLS - pastiche explain: reasons of fusing and of not fusing, bytes as formulas and as numbers, JSON, @nofuse and @fuse.
set -u
. tests/cli.sh
graph=examples/one_layer.graph

kernels() # ARGUMENTS...: how many kernels the explanation counts
{
    expect 0 "$pastiche" explain "$@" --json
    "$tools/json_at" count <"$work/out"
}

# ---- the layer: what is fused, what is not, bytes ----

expect 0 "$pastiche" explain $graph look --cpu baseline
prints "contract conv" "with rsqrt" "results of chunks are added up when all are there" "stored: a convolution or matmul makes it" "examples/one_layer.graph:6" "*H*N*W"
silent
expect 0 "$pastiche" explain $graph look --cpu baseline --size x=2x4x32x32
# the last kernel reads the convolution's result, 2*8*32*32 floats, and writes as many
prints "moves 65.5 kB: the reader also needs a value that is made after it" "reads conv"
expect 0 "$pastiche" explain $graph look --cpu baseline --size x=2x4x32x32 --json
json name look
json "kernels[0].kind" halo
moved=$("$tools/json_at" moved <"$work/out")
saved=$("$tools/json_at" saved <"$work/out")
count=$("$tools/json_at" count <"$work/out")
expect 0 "$pastiche" explain $graph look --cpu baseline --size x=2x4x32x32 --json --passes=-fuse
alone=$("$tools/json_at" moved <"$work/out")
json saved 0
[ "$alone" -gt $((2 * moved)) ] || fail "$alone bytes moved without fusion, $moved with it"
# what fusion is said to save is what is moved without it and not with it, but for operands of kernels that read through others
[ $((moved + saved)) -gt $((alone * 9 / 10)) ] && [ $((moved + saved)) -lt $((alone * 12 / 10)) ] || fail "moved $moved + saved $saved, without fusion $alone"
expect 0 "$pastiche" bench $graph look --cpu baseline --size x=2x4x32x32 --rounds 1 --json
json kernels "$count"

expect 1 "$pastiche" explain $graph lok
says "lok"
expect 1 "$pastiche" explain $graph look --size y=1
says "has no input 'y'"

finish
