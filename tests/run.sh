#!/bin/sh
# run.sh [FOLDER [CMAKE OPTION...]] - installs what is missing, builds in FOLDER (build, unless told) and runs all tests; ends with ctest's summary.
# Tests that need something that is not here (data beside the project, Python) say so and are counted as skipped.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build}
sh examples/build.sh "$@"
# Tests bound their own time. Two at once on two cores: kernels' threads must then not spin while they wait.
exec env OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" ctest --test-dir "$folder" --output-on-failure -j "${JOBS:-$(nproc)}"
