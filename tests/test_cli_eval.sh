#!/bin/sh
# test_cli_eval.sh PASTICHE TOOLS - pastiche eval: sets and pairs of pictures with known distances, from folders, exports and data; and what is refused. The features are simple
# ones (tests/cli/eval.graph), then the perceptual network's.
set -u
. tests/cli.sh
graph=tests/cli/eval.graph
a=$work/a
b=$work/b

eval_sets() # WORDS...: with the features of eval.graph
{
    "$pastiche" eval "$@" --features "$graph"
}

near() # PATH VALUE TOLERANCE: a number of the last JSON
{
    checks=$((checks + 1))
    got=$("$tools/json_at" "$1" <"$work/out" 2>&1) || { fail "no such place in the JSON: '$1': $got"; return 0; }
    awk -v a="$got" -v b="$2" -v t="$3" 'BEGIN { exit !(a - b <= t && b - a <= t) }' || fail "JSON at '$1' is $got, not $2 +- $3: $last"
}

less() # A B: as numbers
{
    checks=$((checks + 1))
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }' || fail "$1 is not less than $2"
}

number() { "$tools/json_at" "$1" <"$work/out"; }

mkdir "$a" "$a/more" "$b"
for seed in 1 2 3 4 5; do
    expect 0 "$pastiche" run "$graph" picture normal:$seed -o "$a/$seed.png"
done
mv "$a/5.png" "$a/more/5.png"                              # folders in the folder belong to it
mkdir "$b/more"
for name in 1 2 3 4 more/5; do
    expect 0 "$pastiche" run "$graph" brighten "$a/$name.png" -o "$b/$name.png"
done

# ---- sets: equal ones, a shift, more noise ----
expect 0 eval_sets --real "$a" --fake "$a" --json
silent
json real 5
json fake 5
json width 16
json features 3
near frechet 0 1e-12
expect 0 eval_sets --real "$a" --fake "$b" --json
near frechet 0.12 1e-6                                     # 3 channels, each 0.2 lighter
shift=$(number kernel)
less 0.02 "$shift"
expect 0 eval_sets --real "$a" --fake "$b" --json --backend reference
near frechet 0.12 1e-6
near kernel "$shift" 1e-6
expect 0 eval_sets --real "$a" --fake "$b"
silent
prints "5 pictures, 5 true ones, 16 x 16 pixels, 3 features" "frechet  0.12" "kernel"
expect 0 eval_sets "$graph" brighten "$a" --real "$a" --json    # the export in place of what it wrote
near frechet 0.12 1e-6
near kernel "$shift" 1e-6
expect 0 eval_sets "$graph" brighten "$a" by=0.4 --real "$a" --json
near frechet 0.48 1e-6
last_distance=0
for by in 0.1 0.2 0.4; do
    expect 0 eval_sets "$graph" noisy "$a" by=$by --real "$a" --json
    less "$last_distance" "$(number frechet)"
    last_distance=$(number frechet)
done

# ---- an export of noise: grey of deviation 20/255 against one 10 lighter; as many as there are true ones, or --count ----
mkdir "$work/shades"
expect 0 "$pastiche" eval "$graph" shade normal:1 --count 400 --real pairs.photo --features "$graph" --json
json fake 400
json real 30
expect 0 eval_sets "$graph" shade normal:1 --real pairs.comic --json
json fake 30
expect 0 eval_sets "$graph" shade normal:1 --real pairs.comic --count 7 --json
json fake 7
json real 7
one=$(number frechet)
expect 0 eval_sets "$graph" shade normal:1 --real pairs.comic --count 7 --json
near frechet "$one" 0                                      # the same seed, the same noise
cp "$graph" "$work/here.graph"
mkdir "$work/pairs.comic"
in_work() { (cd "$work" && "$pastiche" eval here.graph shade normal:1 --real "$1" --count 7 --json --features here.graph); }
expect 0 in_work pairs.comic                               # a data item, though there is a folder of its name
near frechet "$one" 0
printf '\nconst spare = 3\n' >>"$work/here.graph"                # what there is to say of the file is said once
expect 0 eval_sets "$work/here.graph" shade normal:1 --real pairs.comic --count 7 --json
checks=$((checks + 1))
[ "$(grep -c 'W0901' "$work/err")" = 1 ] || fail "the warning is not there once: $(cat "$work/err")"
expect 1 in_work ./pairs.comic
says "./pairs.comic: no .png or .jpg files in it"
expect 0 eval_sets "$graph" shade normal:2 --real pairs.comic --count 7 --json
less 1e-9 "$(awk -v a="$one" -v b="$(number frechet)" 'BEGIN { d = a - b; print d < 0 ? -d : d }')"
expect 0 eval_sets "$graph" shade '[0, 1, -1]' --real pairs.comic --json
json fake 3
says "note: 3 pictures are too few for the covariance of 3 features"

# ---- pairs ----
expect 0 eval_sets --real "$a" --fake "$b" --pairs --json
silent
json pairs 5
near psnr 13.979400 1e-5                                   # 20 log10(1 / 0.2)
json pictures[4].name more/5.png
near pictures[4].psnr 13.979400 1e-5
less "$(number ssim)" 0.999
less 0 "$(number perceptual)"
is_f32() # FILE.npy VALUE: its only number
{
    checks=$((checks + 1))
    value=$(tail -c 4 "$1" | od -An -tf4 | tr -d ' ')
    awk -v a="$value" -v b="$2" 'BEGIN { d = a - b; exit !(d < 2e-5 && d > -2e-5) }' || fail "$1 holds $value, not $2"
}
structure=$(number pictures[0].ssim)
expect 0 "$pastiche" run "$graph" both "$a/1.png" "$b/1.png" -o "$work/both.npy"       # the same in the language
is_f32 "$work/both.npy" "$structure"
is_f32 "$work/both.noise.npy" 13.979400
expect 0 eval_sets --real "$a" --fake "$a" --pairs --json
json psnr null                                             # infinite
near ssim 1 1e-12
near perceptual 0 0
expect 0 "$pastiche" eval --real "$a" --fake "$b" --pairs --no-features
silent
prints "5 pairs" "psnr        13.979    dB, least 13.979: " "ssim"
checks=$((checks + 1))
grep -q perceptual "$work/out" && fail "--no-features has a perceptual distance"
expect 0 eval_sets "$graph" brighten "$a" --real "$b" --pairs --json     # an export applied to a folder, against a folder of truths
json psnr null
expect 0 eval_sets "$graph" brighten "$a" --real "$b" --pairs --size 12 --json
less 0.999 "$(number ssim)"
cp -r "$b" "$work/jpeg"
rm "$work/jpeg/1.png"
expect 0 "$pastiche" run "$graph" brighten "$a/1.png" -o "$work/jpeg/1.jpg"       # the ending does not matter
expect 0 eval_sets --real "$b" --fake "$work/jpeg" --pairs

# ---- what is refused ----
expect 2 "$pastiche" eval
says "--real FOLDER"
expect 2 "$pastiche" eval --real "$a"
says "FILE EXPORT [INPUT], or --fake FOLDER"
expect 2 "$pastiche" eval "$graph" --real "$a"
says "which export"
expect 2 "$pastiche" eval "$graph" shade --real "$a" --fake "$b"
says "not both"
expect 2 eval_sets --real "$a" --fake "$b" --no-features
expect 1 eval_sets --real "$work/nothing" --fake "$b"
says "$work/nothing: there is no such folder"
expect 1 eval_sets --real "$a" --fake "$work/shades"
says "$work/shades: no .png or .jpg files in it"
expect 1 eval_sets "$graph" shade normal:1 --real pears
says "pears: there is no such folder, nor is it a data item"
expect 1 eval_sets "$graph" shade normal:1 --real pairs
says "several pictures" "pairs.photo"
expect 1 eval_sets "$graph" shade normal:1 --real pairs.foto
says "an item of 'pairs' has no 'foto'"
expect 1 eval_sets "$graph" shade --real pairs.photo
says "'shade' needs input 'v'"
expect 1 eval_sets "$graph" vector normal:1 --real pairs.photo
says "picture"
expect 1 eval_sets "$graph" spoilt 1 --real pairs.photo
says "picture 1 of the export: what the export makes is not finite"
expect 1 eval_sets "$graph" learnt "$a" --real "$a"
says "net 'Grey' has no weights" "--weights Grey=random"
expect 0 eval_sets "$graph" learnt "$a" --real "$a" --weights Grey=random
expect 1 eval_sets --real "$a" --fake "$b" --weights Grau=random
says "has a net 'Grau'"
expect 1 eval_sets --real "$a" --fake "$b" --weights some.safetensors
says "say which net's"
expect 1 "$pastiche" eval --real "$a" --fake "$b" --features tests/cli/mini.graph
says "has no export or step 'features'"
sed 's/export wrong/export other/; s/export features/export wrong/; s/export other/export features/' "$graph" >"$work/wrong.graph"
expect 1 "$pastiche" eval --real "$a" --fake "$b" --features "$work/wrong.graph"
says "does not take pictures"
expect 1 "$pastiche" eval --real "$a" --fake "$b" --features std/perceptual_vgg19.graph
says "net 'perceptual' needs 'vgg19_small16x.safetensors'" "--weights perceptual=FILE"
mkdir "$work/one"
cp "$a/1.png" "$work/one"
expect 1 eval_sets --real "$a" --fake "$work/one"
says "at least 2"
expect 1 eval_sets --real "$a" --fake "$work/one" --pairs
says "has no partner in $work/one"
expect 1 eval_sets --real "$work/one" --fake "$b" --pairs
says "has no partner in $work/one"
cp "$work/one/1.png" "$work/one/1.jpg"                     # stb_image looks at the bytes
expect 1 eval_sets --real "$work/one" --fake "$work/one" --pairs
says "could both be its partner"
rm "$work/one/1.jpg"
expect 1 eval_sets --real "$work/one" --fake "$work/one" --pairs --size 8
says "windows of 11 x 11 pixels, the picture has 8 x 8"
expect 1 eval_sets "$graph" shade normal:1 --real pairs.photo --pairs
says "--pairs compares files of the same name"
expect 0 "$pastiche" run "$graph" brighten "$a/1.png" -o "$work/one/2.png"
head -c 200 "$work/one/2.png" >"$work/one/3.png"
expect 1 eval_sets --real "$a" --fake "$work/one"
says "$work/one/3.png"
rm "$work/one/3.png"
expect 0 "$pastiche" run tests/cli/mini.graph sample normal:1 --count 2 --weights G_avg=random -o "$work/one/wide.png"
expect 1 eval_sets --real "$a" --fake "$work/one"
says "$work/one/wide.png has" "$a/1.png has 16 x 16: sets are compared at one size, --size N"
expect 0 eval_sets --real "$a" --fake "$work/one" --size 16 --json
json fake 3

# ---- the perceptual network: its weights are in the program; a larger one's are not ----
look() # MORE...: equal sets and others
{
    expect 0 "$pastiche" eval --real "$a" --fake "$b" "$@" --json
    far=$(number frechet)
    expect 0 "$pastiche" eval --real "$a" --fake "$a" "$@" --json
    near frechet 0 1e-9
    less 0.001 "$far"
    expect 0 "$pastiche" eval --real "$a" --fake "$b" "$@" --pairs
    prints perceptual
}
look
prints "by std/perceptual.graph"
expect 0 "$pastiche" eval --real "$a" --fake "$b"
prints "240 features of std/perceptual.graph"
expect 0 "$pastiche" test graphs/std/perceptual.graph
weights=../shared/data/weights/vgg19_small16x.safetensors
if [ -e "$weights" ]; then
    look --features std/perceptual_vgg19.graph --weights perceptual=$weights
    prints "by std/perceptual_vgg19.graph"
else
    echo "skipped: no $weights"
fi
finish
