#!/bin/sh
# build.sh [FOLDER [CMAKE OPTION...]] - installs what is missing (Debian 12's own packages, through apt-get, as root or with sudo) and builds pastiche into
# FOLDER (build, unless told). Fast when nothing is to do. tests/run.sh and quickstart.sh start with it. From the environment: ALSO, more packages that are
# needed; TARGET, what to build (all, unless told).
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build}
[ $# -eq 0 ] || shift

# gcc brings OpenMP, llvm-19-dev the compiler back end, libstb-dev PNG and JPEG, zlib1g-dev gzip.
packages="gcc libc6-dev cmake ninja-build llvm-19-dev libstb-dev zlib1g-dev ${ALSO:-}"

missing=""
if command -v dpkg-query >/dev/null 2>&1; then
    for p in $packages; do
        case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in
        *" ok installed") ;;
        *) missing="$missing $p" ;;
        esac
    done
else
    echo "build.sh: this is no Debian: its counterparts of $packages must be there" >&2
fi
if [ -n "$missing" ]; then
    echo "installing$missing"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null 2>&1 || { echo "build.sh: run as root, or install sudo, or install by hand:$missing" >&2; exit 1; }
        as_root=sudo
    fi
    log=$(mktemp)
    # Words of $missing are packages, so no quotes. Without recommended packages: they triple the download.
    if ! { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        echo "build.sh: apt-get failed; all it said is in $log" >&2
        exit 1
    fi
    rm -f "$log"
fi

# A folder configured for another place (a copied or moved tree) cannot be used again.
if [ -f "$folder/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$(pwd -P)" "$folder/CMakeCache.txt"; then
    echo "build.sh: $folder belongs to another source tree: remove it" >&2
    exit 1
fi
mkdir -p "$folder"
echo "building in $folder"
cmake -S . -B "$folder" -G Ninja "$@" >"$folder/configure.log" 2>&1 || { cat "$folder/configure.log" >&2; exit 1; }
cmake --build "$folder" --target "${TARGET:-all}" >"$folder/build.log" 2>&1 || { grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Generating)' "$folder/build.log" >&2; exit 1; }
if grep -q 'warning:' "$folder/build.log"; then
    grep -A 4 'warning:' "$folder/build.log" >&2
fi
