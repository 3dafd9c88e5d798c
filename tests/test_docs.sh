#!/bin/sh
# test_docs.sh PASTICHE TOOLS [update] - what the documents show is what the program prints: every fenced block that begins with `$ pastiche ...` is run again from
# the top of the project and compared. `update` rewrites the blocks instead.
set -u
. tests/cli.sh
PATH=$(cd "$(dirname "$pastiche")" && pwd):$PATH
export PATH

for file in README.md compiler/README.md graphs/README.md; do
    [ -f "$file" ] || continue
    awk '
        fenced && /^```/ { fenced = 0; shown = 0 }
        fenced == 1 && /^\$ pastiche / {
            print
            cmd = substr($0, 3) " 2>&1"
            while ((cmd | getline line) > 0) print line
            close(cmd)
            shown = 1
        }
        !shown { print }
        fenced { fenced = 2 }
        /^```./ { fenced = 3; next }
        /^```$/ && !was { fenced = 1 }
        { was = fenced > 0 }
    ' "$file" >"$work/new.md"
    if [ "${3:-}" = update ]; then
        cat "$work/new.md" >"$file"
    fi
    checks=$((checks + $(grep -c '^\$ pastiche ' "$file")))
    diff -u "$file" "$work/new.md" >"$work/out" || fail "$file shows something else than what is printed: sh tests/test_docs.sh PASTICHE TOOLS update"
done

finish
