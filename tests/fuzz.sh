#!/bin/sh
# fuzz.sh [SECONDS] - builds the libFuzzer target of the front end with clang in build-fuzz and runs it (a minute unless told)
# from the example and golden files. A crash leaves the input in build-fuzz and fails.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-60}
mkdir -p build-fuzz/corpus build-fuzz/seeds build-fuzz/include
# Debian's clang comes without an OpenMP library: gcc's serves, with the pragmas ignored (nothing parallel is fuzzed).
cp "$(gcc -print-file-name=include)/omp.h" build-fuzz/include/
omp_library=$(gcc -print-file-name=libgomp.so)
cmake -S . -B build-fuzz -G Ninja -DCMAKE_C_COMPILER="${CC:-clang-19}" -DCMAKE_BUILD_TYPE=Debug -DPASTICHE_FUZZ=ON \
      -DOpenMP_C_FLAGS=-Wno-unknown-pragmas -DOpenMP_C_LIB_NAMES=gomp -DOpenMP_gomp_LIBRARY="$omp_library" \
      -DCMAKE_C_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -O1 -idirafter $PWD/build-fuzz/include" \
      > build-fuzz/configure.log 2>&1 || { cat build-fuzz/configure.log; exit 1; }
cmake --build build-fuzz --target fuzz_front
cp tests/golden/*/*.graph graphs/*/*.graph build-fuzz/seeds/ 2>/dev/null || true
# The words of the language, one a line in quotes, as libFuzzer's dictionary wants them.
printf '"%s"\n' import as const let init module fn optimizer net from frozen data optim step train for over stages in export test param state return \
    repeat if else minimize using report every assert epochs steps images f32 i32 bool '|>' '->' ':=' '..' '//' '==' '!=' '<=' '>=' '{' '}' '(' ')' '[' ']' > build-fuzz/words.dict
cd build-fuzz
exec ./tests/fuzz_front -dict=words.dict -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 corpus seeds
