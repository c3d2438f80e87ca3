#!/usr/bin/env bash
# Measures headspan on a machine with a graphics card that is lent for minutes and has no network.
#
#   tools/gpu/check.sh prepare [--features LIST] [--program FILE] [--vision-pass FILE] [--device-tests FILE] [--built-in DIR]
#   tools/gpu/check.sh run [--quick] [--seconds 480] [--out DIR]
#   tools/gpu/check.sh adopt FILE
#
# `prepare` runs where there is cargo and a network, and fills target/gpu-kit. `run` needs this checkout and that folder, and writes
# gpu.md (one section of results) and gpu.log. `adopt` makes it the card's file in benches/results. README.md beside this file says more.
# shellcheck source-path=SCRIPTDIR
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
# shellcheck disable=SC2034 # used by the files below
kit="$root/target/gpu-kit"

say() {
    echo "$*" >&2
}

die() {
    say "check.sh: $*"
    exit 2
}

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

main() {
    local command="${1:-}"
    [ $# -eq 0 ] || shift
    case "$command" in
    prepare)
        # shellcheck source=prepare.sh
        source "$here/prepare.sh"
        prepare "$@"
        ;;
    run)
        # shellcheck source=run.sh
        source "$here/run.sh"
        run "$@"
        ;;
    adopt)
        [ $# -eq 1 ] || usage
        python3 "$here/card.py" adopt "$1"
        ;;
    *) usage ;;
    esac
}

main "$@"
