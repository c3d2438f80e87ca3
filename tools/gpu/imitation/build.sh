#!/usr/bin/env bash
# Builds imitations of NVIDIA's driver, cuBLASLt and NVRTC into a folder, for tests on machines without a card:
#
#   tools/gpu/imitation/build.sh DIR
#   LD_LIBRARY_PATH=DIR cargo test --workspace --test devices cuda
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
kernels="$here/../../../crates/model/src/backends/cuda/kernels"
out="${1:?build.sh DIR}"
mkdir -p "$out"

# library NAME FILE…: one library of the files one after the other.
library() {
    local name="$1"
    shift
    cat "$@" >"$out/$name.cpp"
    "${CXX:-c++}" -std=c++17 -O2 -Wall -Wno-unused-function -DLANES=1 -fvisibility=hidden -shared -fPIC -pthread "$out/$name.cpp" \
        -Wl,-soname,"$name" -Wl,-rpath,'$ORIGIN' ${linked:+"$linked"} -o "$out/$name"
    rm "$out/$name.cpp"
    # cudarc asks for this name first, and a machine with a card may have it.
    ln -sf "$name" "$out/${name%.so.*}.so"
}

linked="" library libcuda.so.1 "$kernels"/{host.h,common.cu,rows.cu,tokens.cu,host_calls.h} "$here/driver.cpp"
linked="$out/libcuda.so.1" library libcublasLt.so.13 "$kernels"/{host.h,common.cu} "$here/cublaslt.cpp"
linked="" library libnvrtc.so.13 "$here/nvrtc.cpp"
