#!/bin/sh
# fuzz.sh [SECONDS] - builds the libFuzzer target of the front end with clang in build-fuzz (installing clang where it is missing) and runs it
# (a minute unless told) from the example and golden files. A crash leaves the input in build-fuzz and fails.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
ALSO="clang-19 libclang-rt-19-dev libomp-19-dev" TARGET=fuzz_front sh examples/build.sh build-fuzz -DCMAKE_C_COMPILER="${CC:-clang-19}" \
    -DCMAKE_BUILD_TYPE=Debug -DPASTICHE_FUZZ=ON \
    -DCMAKE_C_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1"
mkdir -p build-fuzz/corpus build-fuzz/seeds
cp tests/golden/*/*.graph graphs/*/*.graph build-fuzz/seeds/ 2>/dev/null || true
# The words of the language, one a line in quotes, as libFuzzer's dictionary wants them.
printf '"%s"\n' import as const let init module fn optimizer net from frozen data optim step train for over stages in export test param state return \
    repeat if else minimize using report every assert epochs steps images f32 i32 bool '|>' '->' ':=' '..' '//' '==' '!=' '<=' '>=' '{' '}' '(' ')' '[' ']' > build-fuzz/words.dict
cd build-fuzz
exec ./tests/fuzz_front -dict=words.dict -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 corpus seeds
