#!/usr/bin/env bash
# Compiles the kernels of the pass by CUDA with NVRTC of CUDA 12 and 13, from PyPI. No card is needed.
#
#   tools/gpu/nvrtc.sh [PACKAGE…]       # packages for `cargo test -p`; default: --workspace
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
packages=(--workspace)
[ $# -eq 0 ] || packages=("${@/#/-p=}")
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
for wheel in nvidia-cuda-nvrtc-cu12 'nvidia-cuda-nvrtc>=13'; do
    rm -rf "$work/site"
    python3 -m pip install --quiet --no-deps --target "$work/site" "$wheel"
    library="$(find "$work/site" -name 'libnvrtc.so.1[23]')"
    (cd "$root" && HEADSPAN_NVRTC="$(dirname "$library")" cargo test "${packages[@]}" --lib -- --nocapture nvrtc_compiles_the_kernels) 2>&1 |
        tee "$work/told"
    grep -q '^NVRTC .* for sm_90$' "$work/told"
done
