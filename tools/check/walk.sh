#!/usr/bin/env bash
# Applies the patch of CONTRIBUTING.md's walk, checks that it is one new file and two lines, tests the stage, and takes the patch back.
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

git apply "$patch"
trap 'git apply --reverse "$patch"' EXIT
rustfmt --check --edition 2024 crates/pipeline/src/stages/head_counts.rs
cargo test --release --workspace --lib -- head_counts
