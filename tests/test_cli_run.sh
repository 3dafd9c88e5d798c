#!/bin/sh
# test_cli_run.sh PASTICHE TOOLS - pastiche run: inputs of every kind, pictures and arrays in and out, folders, weights, and what is refused.
set -u
. tests/cli.sh
mini=tests/cli/mini.graph

run() # EXPORT WORDS...
{
    "$pastiche" run "$mini" "$@" --backend "$backend"
}

npy() # FILE SHAPE BYTES...: a little-endian f32 array; BYTES as octal escapes for printf
{
    header="{'descr': '<f4', 'fortran_order': False, 'shape': $2, }"
    pad=$((128 - 10 - ${#header} - 1))
    { printf '\223NUMPY\001\000v\000%s%*s\n' "$header" $pad ''; printf "$3"; } >"$1"
}

tail_bytes() # FILE: its bytes behind an .npy header, in hexadecimal
{
    tail -c +129 "$1" | od -An -tx1 | tr -d ' \n'
}

is_picture() # FILE FIRST BYTES in hexadecimal
{
    checks=$((checks + 1))
    [ "$(head -c 3 "$1" | od -An -tx1 | tr -d ' \n')" = "$2" ] || fail "$1 is not such a picture"
}

one='\000\000\200\077'                                                      # 1.0f
two='\000\000\000\100'                                                      # 2.0f

for backend in ${BACKENDS:-reference native}; do
    echo "backend $backend"
    rm -rf "$work"/*
    random="--weights G_avg=random --weights D=random"

    # ---- numbers, lists, defaults, several outputs ----
    expect 0 run scale '[1, 2]' -o "$work/a.npy"
    silent
    npy "$work/expected.npy" '(2,)' "$one$two"
    same "$work/a.npy" "$work/expected.npy"
    npy "$work/expected.npy" '()' '\000\000\100\100'                      # 3.0f
    same "$work/a.total.npy" "$work/expected.npy"
    expect 0 run scale '[1,2]' by=2 -o "$work/a.npy"
    expect 0 test "$(tail_bytes "$work/a.npy")" = 0000004000008040
    expect 0 run scale by=-0.5 v='[1, -2]' -o "$work/a.npy"
    expect 0 test "$(tail_bytes "$work/a.npy")" = 000000bf0000803f
    expect 0 run scale "$work/a.npy" 2 -o "$work/b.npy"                     # an array of the run before
    expect 0 test "$(tail_bytes "$work/b.npy")" = 000080bf00000040
    npy "$work/three.npy" '(3,)' "$one$two$one"
    expect 0 run scale "$work/three.npy" -o "$work/b.npy"
    same "$work/b.npy" "$work/three.npy"
    expect 1 run scale '[1, b]' -o "$work/c.npy"
    says "is not a list of numbers"
    expect 1 run scale "[$(seq -s, 4097)]" -o "$work/c.npy"
    says "'v': a list has at most 4096 numbers; use a .npy file"
    expect 1 run scale '[1] 2' -o "$work/c.npy"
    expect 1 run scale '[1, 2' -o "$work/c.npy"
    absent "$work/c.npy"

    # ---- results that are numbers are printed ----
    printf 'export both(x: f32[N]) -> (total: f32[], most: f32[]) {\n    return sum(x), amax(x)\n}\n\nexport level(photo: f32[1, 3, H, W] in [0, 1]) -> f32[] {\n    return mean(photo)\n}\n' >"$work/numbers.graph"
    expect 0 "$pastiche" run "$work/numbers.graph" both '[1, 2.5, -4]' --backend "$backend"
    prints "total -0.5  most 2.5"
    printf '\nexport right(x: f32[N, 2], bias: f32[] = 0) -> f32[] {\n    return sum(x[:, 1]) + bias\n}\n' >>"$work/numbers.graph"
    right() { "$pastiche" run "$work/numbers.graph" right "$@" --backend "$backend"; }
    expect 0 right '[[1, 2], [3, 4], [5,6]]'
    prints 12
    expect 0 right '[1, 2, 3, 4]' --count 2                                 # in order
    prints 6
    expect 1 right '[[1, 2], [3]]'
    says "'x': '[[1, 2], [3]]' holds lists of different lengths"
    expect 1 right '[[]]'
    says "holds an empty list"
    expect 1 right '[[1, 2], 3]'
    says "holds both numbers and lists"
    expect 1 right '[1, [2, 3]]'
    says "holds both numbers and lists"
    expect 1 right '[[1, 2]'
    says "has no closing bracket"
    expect 1 right '[[[1, 2]]]'
    says "'x' has 2 axes, the list 3"
    expect 1 right '[[[[[[[[[[[[1]]]]]]]]]]]]'
    says "is too deep"
    expect 1 right '[[1, 2, 3]]'
    says "'x'" "3"
    expect 0 "$pastiche" run "$work/numbers.graph" both '[1, 2.5, -4]' --backend "$backend" -o "$work/both.npy"
    silent
    expect 0 test "$(tail_bytes "$work/both.most.npy")" = 00002040
    rm "$work"/both*.npy
    mkdir "$work/levels"
    expect 0 run sample normal:1 -o "$work/levels/a.png" --count 1 $random
    expect 0 "$pastiche" run "$work/numbers.graph" level "$work/levels" --backend "$backend"
    prints ".png  result 0."
    expect 2 run scale '[1, 2]'                                             # one of two results is a list
    says "say where the result goes"

    # ---- noise ----
    expect 0 run sample normal:7 -o "$work/a.png" --count 4 $random
    silent
    is_picture "$work/a.png" 89504e
    expect 0 run sample normal:7 -o "$work/b.png" --count 4 $random
    same "$work/a.png" "$work/b.png"
    expect 0 run sample normal:8 -o "$work/b.png" --count 4 $random
    differ "$work/a.png" "$work/b.png"
    expect 0 run sample normal:7 -o "$work/b.png" --count 4 $random --seed 1    # other random weights
    differ "$work/a.png" "$work/b.png"
    expect 0 run sample z=normal:7 -o "$work/a.jpg" $random
    is_picture "$work/a.jpg" ffd8ff
    cat >"$work/two.graph" <<'END'
export two(digit: i32[N], z: f32[N, 2]) -> f32[N, 2] { return z + reshape(f32(digit), [N, 1]) }
END
    expect 0 "$pastiche" run "$work/two.graph" two "digit=[3,1,4]" z=normal:1 -o "$work/t.npy" --backend "$backend"    # as many items as another input has
    expect 0 "$pastiche" run "$work/two.graph" two 7 z=normal:1 --count 3 -o "$work/t.npy" --backend "$backend"
    expect 1 "$pastiche" run "$work/two.graph" two "digit=[3,1,4]" z=normal:1 --count 2 -o "$work/t.npy" --backend "$backend"
    says "should be 3 with N = 3"
    expect 0 run sample normal:7 -o "$work/a.npy" --count 2 $random
    expect 0 run judge "$work/a.npy" -o "$work/j.npy" $random
    expect 1 run sample normal:x -o "$work/c.png" $random
    says "normal:SEED"

    # ---- pictures: 8 bits in and out by the type's range; another size compiles nothing and is as good ----
    expect 0 run brighten "$work/a.png" 0 -o "$work/c.png"
    expect 0 run brighten "$work/c.png" by=0 -o "$work/d.png"
    same "$work/c.png" "$work/d.png"
    expect 0 run brighten "$work/a.png" -o "$work/d.png"                    # the default is 0.25
    differ "$work/c.png" "$work/d.png"
    expect 0 run brighten "$work/c.png" 2 -o "$work/e.png"                  # clipped to white
    expect 0 run brighten "$work/c.png" 7 -o "$work/f.png"
    same "$work/e.png" "$work/f.png"
    expect 0 run brighten "$work/c.png" 2 -o "$work/e.npy"                  # arrays are not
    expect 0 run brighten "$work/e.npy" -2 -o "$work/f.png"
    same "$work/c.png" "$work/f.png"
    expect 0 run brighten "$work/a.jpg" 0 -o "$work/f.jpg"
    is_picture "$work/f.jpg" ffd8ff

    # ---- a folder runs them all, each to its name; a bad one is named and passed over ----
    mkdir "$work/in"
    cp "$work/a.png" "$work/in/x.png"
    cp "$work/a.jpg" "$work/in/y.JPG"
    cp "$work/e.npy" "$work/in/z.npy"
    echo "no picture" >"$work/in/notes.txt"
    expect 0 run brighten "$work/in" 0 -o "$work/results"
    silent
    exists "$work/results/x.png" "$work/results/y.JPG" "$work/results/z.npy"
    absent "$work/results/notes.txt"
    same "$work/results/x.png" "$work/c.png"
    same "$work/results/z.npy" "$work/e.npy"
    echo "no picture" >"$work/in/bad.png"
    expect 1 run brighten "$work/in" 0 -o "$work/results2"
    says "$work/in/bad.png"
    exists "$work/results2/x.png" "$work/results2/z.npy"
    absent "$work/results2/bad.png"
    mkdir "$work/empty"
    expect 1 run brighten "$work/empty" -o "$work/results3"
    says "$work/empty"

    # ---- weights ----
    expect 1 run sample normal:7 -o "$work/w.png"
    says "net 'G_avg' has no weights" "--weights G_avg=random"
    expect 1 run judge 0.5 -o "$work/w.npy" --weights G_avg=random
    says "net 'D' has no weights"
    expect 0 "$pastiche" train "$mini" --backend "$backend" --steps 3 --quiet --out "$work/trained"
    expect 0 run sample normal:7 -o "$work/w.npy" --weights "$work/trained/weights.safetensors"
    expect 0 run sample normal:7 -o "$work/v.npy" --weights "G_avg=$work/trained/weights.safetensors"

    # ---- one net's part of them, in a file of its own ----
    expect 0 "$pastiche" weights "$mini" G_avg --weights "$work/trained/weights.safetensors" -o "$work/part.safetensors"
    expect 0 run sample normal:7 -o "$work/p.npy" --weights "$work/part.safetensors"
    [ "$backend" = reference ] || same "$work/p.npy" "$work/w.npy"          # that one's file is in float64
    expect 0 "$pastiche" weights "$mini" G_avg --half --weights "$work/trained/weights.safetensors" -o "$work/half.safetensors"
    expect 0 run sample normal:7 -o "$work/h.npy" --weights "$work/half.safetensors"
    [ $(wc -c < "$work/half.safetensors") -lt $(wc -c < "$work/part.safetensors") ] || fail "half is not less"
    expect 1 run judge 0.5 -o "$work/p.npy" --weights "$work/part.safetensors"
    says "net 'D' has no weights"
    expect 1 "$pastiche" weights "$mini" D --weights "$work/part.safetensors" -o "$work/none.safetensors"
    says "part.safetensors has no weights of net 'D'"
    expect 1 "$pastiche" weights "$mini" G_av --weights "$work/part.safetensors" -o "$work/none.safetensors"
    says "Did you mean 'G_avg'?"
    expect 2 "$pastiche" weights "$mini" G_avg --weights "$work/part.safetensors"
    says "say where the weights go"
    expect 2 "$pastiche" weights "$mini" G_avg -o "$work/none.safetensors"
    says "say whose weights"
    same "$work/w.npy" "$work/v.npy"
    expect 1 run sample normal:7 -o "$work/w.npy" --weights "G_avg=$work/nowhere.safetensors"
    says "$work/nowhere.safetensors"
    expect 1 run sample normal:7 -o "$work/w.npy" --weights "G_avg=$work/trained/weights.safetensors" --set w=5
    says misshapen "'G_avg.weight' [256, 8], should be [320, 8]"
    head -c 900 "$work/trained/weights.safetensors" >"$work/cut.safetensors"
    expect 1 run sample normal:7 -o "$work/w.npy" --weights "$work/cut.safetensors"
    says "$work/cut.safetensors"

    # ---- examples/stylize.c does the same through the C interface ----
    expect 0 "$(dirname "$pastiche")/stylize" "$mini" invert "$work/trained/weights.safetensors" "$work/c.png" "$work/s.png"
    silent
    prints "input x: [1, 3, any, any]" "34 x 34 pixels"
    expect 0 run invert "$work/c.png" -o "$work/t.png"
    same "$work/s.png" "$work/t.png"
    expect 1 "$(dirname "$pastiche")/stylize" "$mini" invert "$work/nowhere" "$work/c.png" "$work/s2.png"
    says "$work/nowhere"
    expect 1 "$(dirname "$pastiche")/stylize" "$mini" sample "$work/trained/weights.safetensors" "$work/c.png" "$work/s2.png"
    says "'z' is no picture"
    absent "$work/s2.png"

    # ---- what does not fit is refused before anything is written ----
    expect 1 run smple normal:7 -o "$work/n.png" $random
    says "Did you mean 'sample'?"
    expect 1 run sample -o "$work/n.png" $random
    says "'sample' needs input 'z'"
    expect 1 run sample y=3 -o "$work/n.png" $random
    says "no input 'y'"
    expect 1 run sample 1 2 -o "$work/n.png" $random
    says "'2' is one more"
    expect 1 run sample 1 z=2 -o "$work/n.png" $random
    says "given twice"
    expect 1 run sample "$work/three.npy" -o "$work/n.png" $random
    says "'z'" "axes"
    expect 1 run sample '[1, 2]' -o "$work/n.png" $random
    says "'z' has 8 elements, the list 2"
    expect 1 run judge "$work/e.npy" -o "$work/n.png" $random
    expect 1 run judge "$work/none.png" -o "$work/both.npy" $random
    says "$work/none.png"
    expect 1 run sample normal:7 -o "$work/n.gif" $random
    says "$work/n.gif" ".png, .jpg or .npy"
    expect 1 run sample nonsense -o "$work/n.png" $random
    says "'nonsense'"
    printf 'x' >"$work/bad.npy"
    expect 1 run sample "$work/bad.npy" -o "$work/n.png" $random
    says "$work/bad.npy"
    absent "$work/n.png" "$work/both.npy" "$work/n.gif"
    expect 1 run sample normal:7 -o "$work/trained/weights.safetensors/n.png" $random
    says "$work/trained/weights.safetensors"
done

finish
