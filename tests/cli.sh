# cli.sh - what the shell tests of the command line share; sourced as `. tests/cli.sh` with the paths of pastiche and of the folder of test programs in $1 and $2.
# They run from the top of the project. expect STATUS COMMAND... runs a command, leaves what it printed in $work/out and $work/err and checks its exit status;
# says, prints, silent look at these. A failed check is printed with its line and counted; `finish` gives the test's exit status.
pastiche=$1
tools=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/pastiche_test.XXXXXX")
kernels=$(mktemp -d "${TMPDIR:-/tmp}/pastiche_test.XXXXXX")
export PASTICHE_CACHE=$kernels # each test compiles all that it runs, but the same kernels once; nothing is left in the home folder
checks=0
failed=0
trap 'rm -rf "$work" "$kernels"' EXIT
trap 'exit 1' INT TERM

fail() # WORDS...
{
    failed=$((failed + 1))
    echo "FAILED: $*"
    if [ -s "$work/out" ]; then echo "--- output"; head -n 30 "$work/out"; fi
    if [ -s "$work/err" ]; then echo "--- complaints"; head -n 30 "$work/err"; fi
    echo "---"
}

expect() # STATUS COMMAND...
{
    wanted=$1
    shift
    checks=$((checks + 1))
    status=0
    "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    last="$*"
    [ "$status" = "$wanted" ] || fail "exit status $status, not $wanted: $last"
}

says() # TEXT...: each stands in the last command's complaints
{
    for text in "$@"; do
        checks=$((checks + 1))
        grep -qF -e "$text" "$work/err" || fail "the complaints lack '$text': $last"
    done
}

prints() # TEXT...: each stands in the last command's output
{
    for text in "$@"; do
        checks=$((checks + 1))
        grep -qF -e "$text" "$work/out" || fail "the output lacks '$text': $last"
    done
}

silent() # the last command complained of nothing
{
    checks=$((checks + 1))
    [ ! -s "$work/err" ] || fail "complaints: $last"
}

same() # FILE FILE
{
    checks=$((checks + 1))
    cmp "$1" "$2" >"$work/cmp" 2>&1 || fail "$(cat "$work/cmp")"
}

differ() # FILE FILE
{
    checks=$((checks + 1))
    if cmp -s "$1" "$2"; then fail "$1 and $2 are the same"; fi
}

exists() # PATH...
{
    for path in "$@"; do
        checks=$((checks + 1))
        [ -e "$path" ] || fail "$path is not there"
    done
}

absent() # PATH...
{
    for path in "$@"; do
        checks=$((checks + 1))
        [ ! -e "$path" ] || fail "$path is there"
    done
}

json() # PATH VALUE: the last output is JSON, with that text at that path
{
    checks=$((checks + 1))
    got=$("$tools/json_at" "$1" <"$work/out" 2>&1) || { fail "no such place in the JSON: '$1': $got"; return 0; }
    [ "$got" = "$2" ] || fail "JSON at '$1' is '$got', not '$2': $last"
}

wait_for() # SECONDS COMMAND...: until the command succeeds
{
    tries=$(($1 * 20))
    shift
    while [ "$tries" -gt 0 ]; do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
        tries=$((tries - 1))
    done
    checks=$((checks + 1))
    fail "waited in vain: $*"
    return 1
}

finish()
{
    echo "$checks checks, $failed failed"
    [ "$checks" -gt 0 ] && [ "$failed" -eq 0 ]
}
