#!/usr/bin/env bash
# Fuzzes on stable Rust: tools/fuzz/run.sh [target|all] [seconds per target]. The default is all targets, 60 seconds each.
#
# `run.sh list` names the targets, `run.sh seeds` writes the seeds anew, `run.sh TARGET FILE` runs one input. Inputs that reach new code are
# kept in `target/corpus/`, findings in `target/findings/`. `run.sh keep` copies the smallest of those inputs that reach most of the
# code to `corpus/*/found-*`, which is committed.
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

# What is compiled without it.
export RUSTC_WRAPPER="$PWD/rustc.sh"
# With `--target`, build scripts and procedural macros are compiled without the flags.
cargo build --release --locked --target "$triple" --bins
programs="$targets/$triple/release"

# Inputs are handed in as files, in memory where there is such a folder.
scratch="$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" headspan-fuzz.XXXXXX)"
trap 'rm -rf "$scratch"' EXIT
export TMPDIR="$scratch"

if [ "$what" = seeds ]; then
    python3 make_corpus.py
    mkdir -p corpus/table
    find corpus/table -type f ! -name 'found-*' -delete
    HEADSPAN_FUZZ_SEEDS="$PWD/corpus/table" "$programs/table" -runs=0 2>/dev/null
    exit
fi

seeds_of() {
    case "$1" in
        image) echo "$data/odd $data/preprocess corpus/image" ;;
        parquet) echo "$data/datasets corpus/labels corpus/parquet" ;;
        *) echo "corpus/$1" ;;
    esac
}

fuzz() {
    local target="$1" grown="$targets/corpus/$1" findings="$targets/findings"
    mkdir -p "$grown" "$findings" "corpus/$target"
    echo "== $target"
    # shellcheck disable=SC2046
    "$programs/$target" "$grown" $(seeds_of "$target") -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 \
        -artifact_prefix="$findings/$target-" -print_final_stats=1 -verbosity="${FUZZ_VERBOSITY:-1}" 2>"$scratch/log" \
        && summary "$scratch/log" || { tail -n 60 "$scratch/log"; return 1; }
}

# The inputs that reach each edge, without those that only reach it more often: the smallest first, to 12 kB of a target.
keep() {
    local target="$1" least="$scratch/least" room=12000 size input
    mkdir -p "$least" "corpus/$target" "$targets/corpus/$target"
    # shellcheck disable=SC2046
    "$programs/$target" "$least" $(seeds_of "$target") "$targets/corpus/$target" -merge=1 -use_counters=0 -use_cmp=0 -timeout=20 \
        -rss_limit_mb=2048 2>"$scratch/log" || { tail -n 60 "$scratch/log"; return 1; }
    find "corpus/$target" -name 'found-*' -delete
    # A seed that is among them is committed already.
    # shellcheck disable=SC2046
    find $(seeds_of "$target") -type f -exec sha1sum {} + | cut -c 1-40 >"$scratch/known"
    find "$least" -type f -printf '%s %p\n' | sort -n | while read -r size input; do
        room=$((room - size))
        [ "$room" -ge 0 ] || break
        grep -q "$(sha1sum "$input" | cut -c 1-40)" "$scratch/known" || cp "$input" "corpus/$target/found-$(basename "$input" | cut -c 1-12)"
    done
    rm -rf "$least"
}

summary() {
    grep -E '^(panic at|stat::number_of_executed_units|stat::peak_rss_mb)' "$1" || true
    grep -E '^#.*(DONE|INITED)' "$1" | tail -n 1
}

if [ "$what" = all ]; then
    failed=
    for target in $names; do
        fuzz "$target" || failed="$failed $target"
    done
    [ -z "$failed" ] || { echo "findings of:$failed" && exit 1; }
elif [ "$what" = keep ]; then
    for target in $names; do
        keep "$target"
    done
elif [ -f "$seconds" ]; then
    "$programs/$what" "$seconds"
else
    fuzz "$what"
fi
