#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh environment without Rust on the PATH, and tries both of its faces: the command line
# and the module. With --keep DIR the wheel is left there; with --wheel FILE that one is tried, and nothing is built; with --profile dev it
# is built as the tests are, in a third of the time, and larger than one that is handed out may be.
set -euo pipefail
cd "$(dirname "$0")/../.."

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
dist="$work/dist"
profile=release
if [ "${1:-}" = --profile ]; then
    profile="$2"
elif [ "${1:-}" = --keep ]; then
    mkdir -p "$2"
    dist="$(cd "$2" && pwd)"
fi

if [ "${1:-}" = --wheel ]; then
    wheel="$(cd "$(dirname "$2")" && pwd)/$(basename "$2")"
else
    echo "-- building"
    python3 -m venv "$work/build"
    "$work/build/bin/pip" install --quiet 'maturin>=1.9,<2'
    "$work/build/bin/maturin" build --profile "$profile" --out "$dist" --quiet
    wheel="$(ls -t "$dist"/headspan-*.whl | head -1)"
fi
bytes="$(stat --format %s "$wheel")"
echo "$(basename "$wheel"): $((bytes / 1000000)) MB"
# A package index takes 100 MB; a notebook's user should not wait for more than this.
[ "$profile" != release ] || [ "$bytes" -lt 60000000 ] || { echo "the wheel is larger than 60 MB" >&2; exit 1; }

echo "-- installing it into a fresh environment"
python3 -m venv "$work/fresh"
"$work/fresh/bin/pip" install --quiet "$wheel"

# Neither Rust nor this checkout is to be found from here.
fresh() { (cd "$work" && env --ignore-environment HOME="$work" PATH="$work/fresh/bin:/usr/bin:/bin" ${HEADSPAN_SHARED:+HEADSPAN_SHARED="$HEADSPAN_SHARED"} "$@"); }

echo "-- the command line: the README's table"
fresh headspan --quiet run-all > "$work/printed"
# The lines of the table with its figures, without rules and without spaces at their ends.
figures() { sed --quiet --regexp-extended '/CCS/,/^made with/ { s/ +$//; /^ [a-z]/p }' "$1"; }
[ -n "$(figures README.md)" ] || { echo "the README has no table" >&2; exit 1; }
diff <(figures README.md) <(figures "$work/printed") || { echo "the table is another than the README's" >&2; exit 1; }

echo "-- the module: the same"
fresh python - <<'PYTHON'
import headspan

runs = headspan.run_all(progress=False)
rows = headspan.compare(runs).rows
assert [row["model"] for row in rows] == ["scenes-4", "scenes-6"], rows
assert [round(row["figures"]["entanglement_repeated"]["value"], 3) for row in rows] == [0.812, 0.792], rows
assert runs[0]["L3.H1"].activations().shape == (2000, 16)
PYTHON

echo "-- tests of the module"
"$work/fresh/bin/pip" install --quiet --requirement python/tests/requirements.txt
cp -r python/tests "$work/tests"
# Its code is run as well.
mkdir "$work/docs"
cp docs/python.md "$work/docs/"
cp README.md "$work/"
fresh python -m pytest -q -p no:cacheprovider "$work/tests"
"$work/fresh/bin/python" -m mypy --config-file pyproject.toml
"$work/fresh/bin/pip" install --quiet 'pyright[nodejs]'
"$work/fresh/bin/pyright" --pythonpath "$work/fresh/bin/python"
"$work/fresh/bin/python" tools/check/python_reference.py --check docs/python.md

echo "-- notebooks"
# The fourth needs PyTorch, which is larger than everything else together.
examples=(before_and_after figure spurious_cue)
"$work/fresh/bin/python" -c "import open_clip" 2>/dev/null && examples+=(pytorch_to_heads)
PYTHON="$work/fresh/bin/python" python/examples/execute.sh "$work/notebooks" "${examples[@]}"
