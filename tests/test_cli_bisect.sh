#!/bin/sh
# test_cli_bisect.sh PASTICHE TOOLS - pastiche bisect: what it says of steps that are right, where its inputs come from, and its complaints.
# That it finds faults is tested in test_bisect.c, which makes some.
set -u
. tests/cli.sh
file=tests/cli/bisect.graph

expect 0 "$pastiche" bisect "$file" fit                                # inputs from the train block's data
silent
prints "gradients  of G" "simplify" "kernels" "bits" "nothing leaves the interpreter's tolerance"
expect 0 "$pastiche" bisect "$file" look --size x=1x3x5x17 --threads 1 --passes=-fuse,-layout --exact
silent
prints "the same when memory is used again" "nothing leaves"
expect 1 "$pastiche" bisect "$file" look
says "say how large 'x' is: --size x=Nx3xHxW"
expect 1 "$pastiche" bisect "$file" look --size x=1x4x5x5
says "--size x=1x4x5x5: 'x' is of size Nx3xHxW"
expect 1 "$pastiche" bisect "$file" look --size y=1x3x5x5
says "'look' has no input 'y'"
expect 1 "$pastiche" bisect "$file" fitt
says "has no export or step 'fitt'"
expect 1 "$pastiche" bisect "$file" fit --backend reference
says "bisect compares the native backend with the reference"
expect 2 "$pastiche" bisect "$file"
says "something is missing"
expect 0 "$pastiche" bisect --help
prints "Finds the first pass and node"

sed 's/^data noise = .*/data noise = images("nowhere", size: 16, range: [-1, 1], batch: 2)/; s/next.photo/next/' "$file" >"$work/data.graph"
expect 0 "$pastiche" bisect "$work/data.graph" fit                     # data that is not there: numbers of its size
says "nowhere" "random numbers instead of 'noise'"
prints "nothing leaves"
finish
