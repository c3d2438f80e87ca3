#!/usr/bin/env bash
# Makes notebooks of the examples in a folder, executes them there with their outputs, and fails where a cell fails:
#     python/examples/execute.sh FOLDER [EXAMPLE…]
# PYTHON names the interpreter, which has headspan, jupytext, nbmake and ipykernel.
set -euo pipefail

folder="${1:?usage: execute.sh FOLDER [EXAMPLE…]}"
shift
here="$(cd "$(dirname "$0")" && pwd)"
python="${PYTHON:-python}"
mkdir -p "$folder"

if [ "$#" -eq 0 ]; then
    for file in "$here"/*.py; do
        set -- "$@" "$(basename "$file" .py)"
    done
fi

notebooks=()
for name in "$@"; do
    "$python" -m jupytext --quiet --to ipynb --output "$folder/$name.ipynb" "$here/$name.py"
    notebooks+=("$folder/$name.ipynb")
done
# One after the other: they share the runs of the demo. A kernel works in the folder of its notebook.
"$python" -m pytest --nbmake --nbmake-timeout=600 --overwrite -p no:cacheprovider --rootdir "$folder" -q "${notebooks[@]}"
