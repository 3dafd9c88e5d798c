#!/bin/sh
# test_tutorial.sh PASTICHE TOOLS - graphs/TUTORIAL.md: its listings are the files of graphs/tutorial, those check, are in canonical form and hold their tests, and its commands run
# in the order of the page, trainings for a few steps. (What is printed there is compared by test_docs.sh.)
set -u
. tests/cli.sh
page=graphs/TUTORIAL.md
folder=graphs/tutorial
export PASTICHE_CACHE="$work/cache"

# ---- listings: the first line says which file ----
awk -v work="$work" '/^```(graph|c)$/ { n++; inside = 1; next } /^```/ { inside = 0 } inside { print > (work "/listing" n) }' "$page"
for listing in "$work"/listing*; do
    name=$(head -n 1 "$listing" | sed -n 's,^\(#\|/\*\) \([a-z_]*\.\(graph\|c\)\) - .*,\2,p')
    exists "$folder/$name"
    same "$listing" "$folder/$name"
    rm -f "$listing"
    : >"$work/shown.$name"
done
for file in "$folder"/*.graph "$folder"/*.c; do
    exists "$work/shown.${file##*/}"
done
for file in "$folder"/*.graph; do
    expect 0 "$pastiche" check "$file"
    silent
    expect 0 "$pastiche" fmt --check "$file"
    expect 0 "$pastiche" test "$file"
done
for picture in $(sed -n 's/^!\[.*\](\(.*\))$/\1/p' "$page"); do
    exists "graphs/$picture"
done

# ---- commands, but for the build that this test is part of ----
library=$(dirname "$pastiche")/libpastiche.a
sanitize=
grep -q __asan_init "$library" && sanitize="-fsanitize=address -fsanitize=undefined"
mkdir "$work/run"
awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$page" | grep -v '^sh examples/build.sh$' |
    sed "s,out/,$work/run/,g; s,build/libpastiche.a,$library,; s,^build/pastiche,$pastiche,; s,--steps [0-9]*,--steps 4,; s,^cc ,cc $sanitize ,; s,--count 1000,--count 20," >"$work/commands"
expect 0 test "$(wc -l <"$work/commands")" -ge 7
while read -r command; do
    expect 0 sh -c "$command"
    case $command in
    *" eval "*) says "note: 20 pictures are too few" ;;
    *) silent ;;
    esac
done <"$work/commands"
exists "$work/run/comics/losses.csv" "$work/run/sixteen.png" "$work/run/one.png" "$work/run/logistic/weights.safetensors" "$work/run/looks.png" "$work/run/sixteen_c.png"
expect 1 "$work/run/draw" "$folder/comics.graph" "$work/nowhere.safetensors" "$work/x.png"
says "nowhere.safetensors"
finish
