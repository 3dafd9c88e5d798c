#!/bin/sh
# test_cli_stages.sh PASTICHE TOOLS - `stages`: a train block once for each value of a const. What carries over, what starts afresh, and going on in any stage;
# then a progressive GAN that fades new layers in (graphs/models/pggan.graph).
set -u
. tests/cli.sh
grow=tests/cli/grow.graph                       # 12 passes a stage, lod 0, 1, 2

train() # FOLDER WORDS...
{
    folder=$1
    shift
    "$pastiche" train "$grow" --backend "$backend" --out "$folder" "$@"
}

column() # FOLDER NAME: of losses.csv
{
    awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }' "$1/losses.csv"
}

for backend in ${BACKENDS:-reference native}; do
    echo "backend $backend"
    rm -rf "$work"/*

    expect 0 train "$work/whole"
    silent
    prints "grow lod=0  12/12" "grow lod=1  12/12" "grow lod=2  12/12"
    expect 0 test "$(wc -l <"$work/whole/losses.csv")" -eq 37
    expect 0 grep -qx 'stage,step,loss,part,side,first_loss' "$work/whole/losses.csv"
    expect 0 test "$(column "$work/whole" side | uniq -c | tr -s ' \n' ' ')" = " 12 0 12 1 12 2 "
    expect 0 test "$(column "$work/whole" part | grep -cx 0)" -eq 3                        # progress is that of a stage
    exists "$work/whole/pictures/000006.png" "$work/whole/pictures/000036.png" "$work/whole/ck/step-00000036.safetensors"

    # ---- the weights are those of the last stage; the ones of the first carried over ----
    expect 0 "$pastiche" run "$grow" --set lod=2 sample normal:1 --count 2 --weights "$work/whole/weights.safetensors" -o "$work/two.png" --backend "$backend"
    expect 1 "$pastiche" run "$grow" sample normal:1 --weights "$work/whole/weights.safetensors" -o "$work/no.png" --backend "$backend"
    says "missing 'G_avg.to_rgb.0.weight'"
    absent "$work/no.png"
    for lod in 0 2; do
        sed "s/stages lod in 0\.\.2/stages lod in 0..$lod/" "$grow" >"$work/to$lod.graph"
        expect 0 "$pastiche" train "$work/to$lod.graph" --backend "$backend" --out "$work/to$lod"
        expect 0 "$pastiche" run "$work/to$lod.graph" --set lod=$lod answer normal:3 --count 5 --weights "$work/to$lod/weights.safetensors" --backend "$backend" -o "$work/answers$lod.npy"
    done
    same "$work/answers0.npy" "$work/answers2.npy"                                               # `first` is trained in stage 0 alone
    same "$work/whole/losses.csv" "$work/to2/losses.csv"

    # ---- stopped in any stage, or between two, it goes on as if it had never stopped ----
    for step in 4 12 16 24 32; do
        rm -rf "$work/part"
        mkdir -p "$work/part/ck"
        cp "$work/whole/ck/step-$(printf %08d $step).safetensors" "$work/part/ck/"
        head -n $((step + 1)) "$work/whole/losses.csv" >"$work/part/losses.csv"
        expect 0 train "$work/part" --resume "$work/part"
        prints "at step $step"
        same "$work/whole/weights.safetensors" "$work/part/weights.safetensors"
        same "$work/whole/losses.csv" "$work/part/losses.csv"
        same "$work/whole/pictures/000036.png" "$work/part/pictures/000036.png"
    done
done

# ---- pggan itself, from 8x8 to 16x16: new layers fade in, a stop in the middle of the second fade changes no bit, the picture is of the last stage ----
sed -e 's/stages lod in 0/stages lod in 1/' -e 's/every 500 steps/every 5 steps/' -e 's/every 1000 steps/every 3 steps/' -e 's/keep: 2/keep: 9/' \
    -e 's|images("data/pictures", |scenes(look: comic, count: 12, |' graphs/models/pggan.graph >"$work/pggan.graph"
small="--set most=4 --set nz=4 --set base=16 --set batch=4 --set group=2"
expect 0 "$pastiche" train "$work/pggan.graph" --set top=2 $small --steps 8 --out "$work/pggan"
silent
prints "grow lod=1  8/8" "grow lod=2  8/8"
expect 0 test "$(column "$work/pggan" alpha | tr '\n' ' ')" = "0 0.25 0.5 0.75 1 1 1 1 0 0.25 0.5 0.75 1 1 1 1 "
exists "$work/pggan/samples/000005.png" "$work/pggan/samples/000013.png"
mkdir -p "$work/again/checkpoints"
cp "$work/pggan/checkpoints/step-00000011.safetensors" "$work/again/checkpoints/"
head -n 12 "$work/pggan/losses.csv" >"$work/again/losses.csv"
expect 0 "$pastiche" train "$work/pggan.graph" --set top=2 $small --steps 8 --out "$work/again" --resume "$work/again"
prints "at step 11"
same "$work/pggan/weights.safetensors" "$work/again/weights.safetensors"
same "$work/pggan/losses.csv" "$work/again/losses.csv"
expect 0 "$pastiche" run "$work/pggan.graph" sample normal:1 --count 2 --set top=2 $small --weights "$work/pggan/weights.safetensors" -o "$work/grown.npy"
expect 0 grep -qa '(2, 3, 16, 16)' "$work/grown.npy"

# ---- a stage in which the file is wrong is named, with what is wrong ----
sed 's|size: 8 \* 2^lod,|size: 8 * 2^lod * (1 + 255 * (lod // 2)),|' "$grow" >"$work/far.graph"
expect 1 "$pastiche" train "$work/far.graph" --out "$work/far" --steps 1
prints "grow lod=1  1/1"
says "lod=2" "'size' must be one number from 8 to 2048"
sed 's/stages lod in/stages lot in/' "$grow" >"$work/typo.graph"
expect 1 "$pastiche" train "$work/typo.graph" --out "$work/typo"
says "$work/typo.graph:34" "lot"
absent "$work/typo"

finish
