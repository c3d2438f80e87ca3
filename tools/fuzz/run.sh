#!/usr/bin/env bash
# Fuzzes on stable Rust: tools/fuzz/run.sh [target|all] [seconds per target]. The default is all targets, 60 seconds each.
#
# `run.sh list` names the targets, `run.sh seeds` writes the corpus anew, `run.sh TARGET FILE` runs one input.
# Inputs that reach new code are kept in `target/corpus/`, findings in `target/findings/`.
set -euo pipefail
cd "$(dirname "$0")"

what="${1:-all}"
seconds="${2:-60}"
triple="$(rustc -vV | sed -n 's/^host: //p')"
targets="${CARGO_TARGET_DIR:-$PWD/target}"
data=../../crates/images/tests/data

# The coverage that libFuzzer reads: counters at edges and compared values. All of it is stable: LLVM's pass, not rustc's sanitizers.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"

names="$(sed -n 's/^path = "targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)"
if [ "$what" = list ]; then
    echo "$names"
    exit
fi

# With `--target`, build scripts and procedural macros are compiled without the flags.
cargo build --release --locked --target "$triple" --bins
programs="$targets/$triple/release"

# Inputs are handed in as files, in memory where there is such a folder.
scratch="$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" headspan-fuzz.XXXXXX)"
trap 'rm -rf "$scratch"' EXIT
export TMPDIR="$scratch"

if [ "$what" = seeds ]; then
    python3 make_corpus.py
    rm -rf corpus/table
    mkdir -p corpus/table
    HEADSPAN_FUZZ_SEEDS="$PWD/corpus/table" "$programs/table" -runs=0 2>/dev/null
    exit
fi

seeds_of() {
    case "$1" in
        image) echo "$data/odd $data/preprocess" ;;
        parquet) echo "$data/datasets corpus/labels" ;;
        *) echo "corpus/$1" ;;
    esac
}

fuzz() {
    local target="$1" grown="$targets/corpus/$1" findings="$targets/findings"
    mkdir -p "$grown" "$findings"
    echo "== $target"
    # shellcheck disable=SC2046
    "$programs/$target" "$grown" $(seeds_of "$target") -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$findings/$target-" -print_final_stats=1 -verbosity="${FUZZ_VERBOSITY:-1}" 2>"$scratch/log" \
        && summary "$scratch/log" || { tail -n 60 "$scratch/log"; return 1; }
}

summary() {
    grep -E '^(panic at|stat::number_of_executed_units|stat::peak_rss_mb)' "$1" || true
    grep -E '^#.*(DONE|INITED)' "$1" | tail -n 1
}

if [ "$what" = all ]; then
    for target in $names; do
        fuzz "$target"
    done
elif [ -f "$seconds" ]; then
    "$programs/$what" "$seconds"
else
    fuzz "$what"
fi
