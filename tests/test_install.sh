#!/bin/sh
# test_install.sh PASTICHE TOOLS - what `cmake --install` puts somewhere works there, without the sources: a file that imports std/ with its weights, a listed name.
set -u
. tests/cli.sh
cmake=$(sed -n 's/^CMAKE_COMMAND:INTERNAL=//p' "$(dirname "$pastiche")/CMakeCache.txt")
to=$work/usr
expect 0 "$cmake" --install "$(dirname "$pastiche")" --prefix "$to"
for file in include/pastiche.h share/pastiche/std/vgg19.graph share/pastiche/models/dcgan.graph share/pastiche/trained/models.list share/pastiche/LICENSE; do
    checks=$((checks + 1))
    [ -f "$to/$file" ] || fail "$file was not installed"
done
checks=$((checks + 1))
[ -n "$(find "$to" -name libpastiche.a)" ] || fail "the library was not installed"

cp tests/cli/mini.graph tests/cli/install.graph "$work"
cd "$work" || exit 1
unset PASTICHE_MODELS
expect 0 usr/bin/pastiche train mini.graph --steps 1 --out run --backend reference
mv run/weights.safetensors usr/share/pastiche/trained/g.safetensors
echo 'numbers | ../../../../mini.graph | scale | g.safetensors | - | numbers times another' >>usr/share/pastiche/trained/models.list
expect 0 usr/bin/pastiche models
prints "numbers        numbers times another"
expect 0 usr/bin/pastiche run numbers '[1, 2]' -o a.npy --backend reference
expect 0 usr/bin/pastiche run mini.graph scale '[1, 2]' -o b.npy --weights usr/share/pastiche/trained/g.safetensors --backend reference
same a.npy b.npy
expect 0 usr/bin/pastiche run install.graph far -o far.npy --backend reference
expect 1 usr/bin/pastiche run install.graph lost -o far.npy
says "net 'nowhere' needs 'std/nothing.safetensors', which is not in the program"
expect 0 usr/bin/pastiche run install.graph lost -o seen.npy --backend reference --weights nowhere=std/vgg19_small.safetensors
finish
