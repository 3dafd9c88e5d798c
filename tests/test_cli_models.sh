#!/bin/sh
# test_cli_models.sh PASTICHE TOOLS - a listed name in place of file, export, settings and weights; pastiche models; lists that cannot be understood.
set -u
. tests/cli.sh
PASTICHE_MODELS=$work/list
export PASTICHE_MODELS
mkdir -p "$work/list"
list=$work/list/models.list

# ---- a list with one network: what is written there is what runs ----
cp tests/cli/mini.graph "$work/list/mini.graph"
cat >"$list" <<'EOF'
# name | graph      | export | weights          | settings | what it does

mini   | mini.graph | sample | g.safetensors    | -        | pictures out of noise
twice  | mini.graph | scale  | g.safetensors    | -        | numbers times another | and a bar
EOF
expect 0 "$pastiche" train tests/cli/mini.graph --steps 1 --out "$work/run" --backend reference
mv "$work/run/weights.safetensors" "$work/list/g.safetensors"
expect 0 "$pastiche" models
prints "mini           pictures out of noise" "numbers times another | and a bar"
expect 0 "$pastiche" models --json
json '[1].export' scale
expect 0 "$pastiche" run twice '[1, 2]' -o "$work/a.npy" --backend reference
expect 0 "$pastiche" run tests/cli/mini.graph scale '[1, 2]' -o "$work/b.npy" --backend reference
same "$work/a.npy" "$work/b.npy"
mkdir "$work/true"
expect 0 "$pastiche" run mini normal:1 --count 4 -o "$work/true/sixteen.png" --backend reference
cp "$work/true/sixteen.png" "$work/true/again.png"
expect 0 "$pastiche" eval mini normal:1 --real "$work/true" --size 16 --backend reference
prints "2 pictures, 2 true ones"
expect 0 "$pastiche" bench twice --size v=2 --rounds 1 --backend native

# ---- what is refused ----
expect 2 "$pastiche" run twicee '[1, 2]' -o "$work/a.npy"
says "neither a file nor a network that is listed.  Did you mean 'twice'?"
expect 2 "$pastiche" models one
for bad in 'mini | mini.graph | sample' 'mini | mini.graph | | g.safetensors | - | nothing' 'a/b | mini.graph | sample | g | - | a path' \
    'mini | mini.graph | sample | g.safetensors | 3 | no setting' 'mini | mini.graph | sample | g.safetensors | a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 | too many'; do
    printf '# a comment\n%s\n' "$bad" >"$list"
    expect 1 "$pastiche" models
    says "models.list:2: "
    expect 2 "$pastiche" run mini -o "$work/a.png"
    says "models.list:2: "
done
printf 'mini | mini.graph | sample | none.safetensors | - | first\nmini | mini.graph | sample | g.safetensors | - | second\n' >"$list"
expect 1 "$pastiche" models
says "models.list:2: 'mini' is listed twice"
printf 'mini | mini.graph | scale | none.safetensors | - | no weights\nlost | none.graph | scale | g.safetensors | - | no graph\n' >"$list"
expect 1 "$pastiche" run mini '[1]' -o "$work/a.npy"
says "none.safetensors"
expect 1 "$pastiche" run lost '[1]' -o "$work/a.npy"
says "none.graph"
PASTICHE_MODELS=$work/nowhere
expect 1 "$pastiche" models
says "nowhere/models.list"
PASTICHE_MODELS=

# ---- the project's own: every entry is there and runs on a picture or on nothing ----
if [ -f graphs/trained/models.list ]; then
    expect 0 "$pastiche" run graphs/models/photo2comic.graph photograph -o "$work/photo.png"
    "$pastiche" models >"$work/names"
    while read -r name rest; do
        case $rest in
        *"from noise"*) expect 0 "$pastiche" run "$name" normal:1 -o "$work/$name.png" ;;
        *) expect 0 "$pastiche" run "$name" "$work/photo.png" -o "$work/$name.png" ;;
        esac
    done <"$work/names"
    for graph in graphs/trained/*.graph; do                                 # how they, and the perceptual network, were made
        expect 0 "$pastiche" fmt --check "$graph"
        expect 0 "$pastiche" test "$graph"
    done
    bytes=$(cat graphs/trained/*.safetensors graphs/std/*.safetensors | wc -c)
    [ "$bytes" -lt 12000000 ] || fail "the networks that come trained take $bytes bytes"
fi
finish
