#!/bin/sh
# fuzz.sh [SECONDS [front|files]] - builds a libFuzzer target with clang in build-fuzz (installing clang where it is missing) and runs it (a minute unless told): the front end
# from the example and golden files, or the readers of pictures, safetensors and .npy from fixtures and, where they are, ../shared/data. A crash leaves the input in build-fuzz and fails.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
what=${2:-front}
case $what in
front | files) ;;
*) echo "usage: fuzz.sh [SECONDS [front|files]]" >&2; exit 2 ;;
esac
ALSO="clang-19 libclang-rt-19-dev libomp-19-dev" TARGET=fuzz_$what sh examples/build.sh build-fuzz -DCMAKE_C_COMPILER="${CC:-clang-19}" \
    -DCMAKE_BUILD_TYPE=Debug -DPASTICHE_FUZZ=ON \
    -DCMAKE_C_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1"
cd build-fuzz
mkdir -p "corpus-$what" "seeds-$what"
if [ "$what" = files ]; then
    for file in ../tests/fixtures/*.safetensors ../examples/*.png ../examples/*.jpg ../../shared/data/png/*/*.png ../../shared/data/jpeg/*/*; do
        [ -f "$file" ] && [ "$(wc -c <"$file")" -le 16384 ] && cp "$file" seeds-files/
    done
    exec ./tests/fuzz_files -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 corpus-files seeds-files
fi
cp ../tests/golden/*/*.graph ../graphs/*/*.graph seeds-front/
# The words of the language, one a line in quotes, as libFuzzer's dictionary wants them.
printf '"%s"\n' import as const let init module fn optimizer net from frozen data optim step train for over stages in export test param state return \
    repeat if else minimize using report every assert epochs steps images f32 i32 bool '|>' '->' ':=' '..' '//' '==' '!=' '<=' '>=' '{' '}' '(' ')' '[' ']' \
    frechet kernel_distance keep_best checkpoint save_images >words.dict
exec ./tests/fuzz_front -dict=words.dict -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 corpus-front seeds-front
