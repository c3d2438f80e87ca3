#!/usr/bin/env bash
# Applies the patch of CONTRIBUTING.md's walk, checks that it is one new file and two lines, runs the demo with the new stage, and takes the patch back.
set -euo pipefail
cd "$(dirname "$0")/../.."
patch=tools/check/walk.patch

changed="$(git apply --numstat "$patch")"
others="$(awk '$3 !~ /stages\/head_counts.rs$/ { added += $1; removed += $2 } END { print added + 0, removed + 0 }' <<<"$changed")"
if [ "$others" != "2 0" ]; then
    echo "the walk changes more than two lines beside its own file:" >&2
    echo "$changed" >&2
    exit 1
fi

runs="$(mktemp -d)"
git apply "$patch"
trap 'git apply --reverse "$patch"; rm -rf "$runs"' EXIT
rustfmt --check --edition 2024 crates/pipeline/src/stages/head_counts.rs

# The program and not the tests of all crates: the patch changes what almost every crate depends on.
cargo run --quiet -- --quiet run-all --runs "$runs" --device cpu >"$runs/first"
cargo run --quiet -- run-all --runs "$runs" --device cpu 2>"$runs/second" >&2
if [ "$(grep -c "head_counts: up to date" "$runs/second")" != 2 ]; then
    cat "$runs/second" >&2
    exit 1
fi
cargo run --quiet -- status --json --runs "$runs" --dataset scenes | python3 -c '
import json, sys
for run in json.load(sys.stdin)["runs"]:
    stage = next(stage for stage in run["stages"] if stage["stage"] == "head_counts")
    assert (stage["state"], stage["rows"]) == ("done", 4), stage
print("the stage of the walk counts the heads of four layers in both models")
'
