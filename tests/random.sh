#!/bin/sh
# random.sh [--graphs 20000] [--seed N] [--minutes M] [--layers 9] [--workers N] [--out out/random] - random graphs with gradients, native code on every instruction
# set of this machine against the float64 interpreter; builds first. Every fourth has passes switched off: each subset of them once in
# a few million graphs, each pass alone and all but it in the first two hundred. Told to stop (or killed), the same command goes on
# where it was. A case that fails is made as small as it gets and left in the folder as NUMBER.graph (with the command that looks into it) and NUMBER.case
# (build/tests/test_random --replay FILE). Fails when one has failed.
set -eu
cd "$(dirname "$0")/.."
sh examples/build.sh build
[ $# -gt 0 ] || set -- --graphs 20000
exec env OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" build/tests/test_random "$@"
