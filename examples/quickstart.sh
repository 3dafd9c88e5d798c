#!/bin/sh
# quickstart.sh [PICTURE] - from a fresh clone to a comic: installs what is missing, builds, trains a small GAN (graphs/models/photo2comic.graph) for three minutes
# on scenes that pastiche draws itself, and turns a photograph into a comic: PICTURE (PNG or JPEG), or a scene that the training has not seen.
#
#   out/comic.png   the comic          out/photo.png   what it was made of
#   out/grid.png    four unseen scenes: photograph, the network's comic, the true comic
#   out/losses.csv  the losses, a line a step          out/weights.safetensors   the networks
set -eu
picture=${1:-}
case $picture in
"" | /*) ;;
*) picture=$PWD/$picture ;;
esac
[ -z "$picture" ] || [ -r "$picture" ] || { echo "quickstart.sh: $picture cannot be read" >&2; exit 1; }
cd "$(dirname "$0")/.."
sh examples/build.sh

graph=graphs/models/photo2comic.graph
echo "training for at most ${MINUTES:-3} minutes"
build/pastiche train $graph --minutes "${MINUTES:-3}" --out out --overwrite
if [ -n "$picture" ]; then
    cp "$picture" "out/photo.${picture##*.}"
    picture=out/photo.${picture##*.}
else
    picture=out/photo.png
    build/pastiche run $graph photograph -o $picture
fi
build/pastiche run $graph comic "$picture" --weights out/weights.safetensors -o out/comic.png
build/pastiche run $graph compare --weights out/weights.safetensors -o out/grid.png

echo "
$picture -> out/comic.png
out/grid.png: four scenes it has not seen; above the photographs, then its comics, below the true ones
out/losses.csv: the losses.  Another picture: build/pastiche run $graph comic PICTURE --weights out/weights.safetensors -o COMIC.png"
