#!/bin/sh
# run.sh [OPTION...] - how fast pastiche is beside PyTorch, ONNX Runtime and OpenVINO: builds pastiche, makes a Python environment with the peers outside the tree
# (VENV, or pastiche-peers in the user's cache folder; about 1.5 GB), and measures all in turn. Prints a table. `run.sh --help` lists the options.
# The peers' models are data beside the project (../shared/peers): without them it says so and measures nothing.
set -eu
cd "$(dirname "$0")/../.."
if [ ! -f ../shared/peers/models.py ]; then
    echo "run.sh: ../shared/peers/models.py is not here: nothing to compare with" >&2
    exit 77
fi
ALSO="python3 python3-venv" sh examples/build.sh build
venv=${VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/pastiche-peers}
if [ ! -f "$venv/ready" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet torch==2.13.0 numpy onnx onnxscript onnxruntime openvino
    touch "$venv/ready"
fi
exec "$venv/bin/python" tests/compare/compare.py "$@"
