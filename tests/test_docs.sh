#!/bin/sh
# test_docs.sh PASTICHE TOOLS [update] - what the documents show is what the program prints: every fenced block that begins with `$ pastiche ...` is run again from
# the top of the project and compared. Blocks that begin with `% pastiche ...` show what changes with every improvement of the code generator: they must only print
# something. `update` writes both kinds anew. Blocks marked ```graph in graphs/README.md are whole files: they check, and are in canonical form.
set -u
. tests/cli.sh
PATH=$(cd "$(dirname "$pastiche")" && pwd):$PATH
export PATH

update=0
[ "${3:-}" = update ] && update=1
for file in README.md compiler/README.md graphs/README.md graphs/TUTORIAL.md; do
    [ -f "$file" ] || continue
    awk -v update="$update" '
        fenced && /^```/ { fenced = 0; shown = 0 }
        fenced == 1 && /^[$%] pastiche / {
            print
            cmd = substr($0, 3) " 2>&1"
            shown = update || /^\$/
            for (n = 0; (cmd | getline line) > 0; n++)
                if (shown) print line
            close(cmd)
            if (n == 0) print "nothing printed"
            if (!shown) next
        }
        !shown { print }
        fenced { fenced = 2 }
        /^```./ { fenced = 3; next }
        /^```$/ && !was { fenced = 1 }
        { was = fenced > 0 }
    ' "$file" >"$work/new.md"
    if [ $update = 1 ]; then
        cat "$work/new.md" >"$file"
    fi
    checks=$((checks + $(grep -c '^[$%] pastiche ' "$file")))
    diff -u "$file" "$work/new.md" >"$work/out" || fail "$file shows something else than what is printed: sh tests/test_docs.sh PASTICHE TOOLS update"
done

awk -v work="$work" '/^```graph$/ { n++; inside = 1; next } /^```/ { inside = 0 } inside { print > (work "/listing" n ".graph") }' graphs/README.md
for file in "$work"/listing*.graph; do
    expect 0 "$pastiche" check "$file"
    expect 0 "$pastiche" fmt --check "$file"
done

finish
