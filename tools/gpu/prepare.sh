# shellcheck shell=bash
# `check.sh prepare`: everything that a machine with a card may lack, in one folder that git ignores.
# shellcheck disable=SC2154 # here, root, kit: set by check.sh

# What travels to a lent machine is bounded: this folder and the checkout together.
limit_mib=60
python_versions="3.10 3.11 3.12 3.13"
# open_clip and what it imports; PyTorch and torchvision have to be there.
wheels="open_clip_torch ftfy wcwidth regex safetensors tqdm"
# The Vulkan loader, and what NVIDIA's driver library links: containers often have neither.
libraries="libvulkan1 libglvnd0 libegl1 libgl1 libglx0 libx11-6 libxext6 libxcb1 libxau6 libxdmcp6 libbsd0 libmd0"

prepare() {
    local features="" program="" vision_pass="" device_tests="" built_in="$root"
    while [ $# -gt 0 ]; do
        [ $# -gt 1 ] || usage
        case "$1" in
        --features) features="$2" ;;
        --program) program="$2" ;;
        --vision-pass) vision_pass="$2" ;;
        --device-tests) device_tests="$2" ;;
        --built-in) built_in="$2" ;;
        *) usage ;;
        esac
        shift 2
    done
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    rm -rf "$kit"
    mkdir -p "$kit/wheels" "$work/programs/examples"
    if [ -z "$program" ]; then
        build "$features"
        program="$(executable headspan bin)"
        vision_pass="$(executable vision_pass example)"
        device_tests="$(executable devices test)"
    fi
    take "$program" "$work/programs/headspan"
    take "$vision_pass" "$work/programs/examples/vision_pass"
    take "$device_tests" "$work/programs/devices"
    write_facts "$features" "$built_in"
    pack programs
    fetch_libraries
    fetch_wheels
    tell_sizes
}

build() {
    local features=()
    [ -z "$1" ] || features=(--features "$1")
    # With --workspace, as the tests are built: a choice of packages would select other features and build Burn again.
    say "cargo build"
    cargo_messages build --bin headspan --example vision_pass "${features[@]}"
    say "cargo test --no-run"
    cargo_messages test --no-run --test devices "${features[@]}"
}

cargo_messages() {
    local command="$1"
    shift
    (cd "$root" && cargo "$command" --release --workspace --message-format=json-render-diagnostics "$@") >>"$work/messages"
}

# Path of an executable by the name and kind of its target, as cargo says it: names of tests carry a hash.
executable() {
    python3 - "$work/messages" "$@" <<'PYTHON'
import json, sys

messages, name, kind = sys.argv[1:]
found = ""
for line in open(messages):
    message = json.loads(line) if line.startswith("{") else {}
    target = message.get("target", {})
    if message.get("executable") and target["name"] == name and kind in target["kind"]:
        found = message["executable"]
if not found:
    sys.exit(f"cargo built no {kind} `{name}`")
print(found)
PYTHON
}

# A stripped copy; what is not given is left out, and `run` says so.
take() {
    if [ -z "$1" ]; then
        say "left out: ${2##*/}"
    elif ! strip -o "$2" "$1"; then
        say "not stripped: ${2##*/}"
        cp "$1" "$2"
    fi
}

write_facts() {
    {
        echo "commit=$(commit_of "$2")"
        echo "features=$1"
        # The tests of devices read the demo model from where they were built.
        echo "built_in=$2"
        echo "rustc=$(rustc --version)"
        echo "glibc=$(newest_glibc "$work/programs/headspan")"
    } >"$kit/facts"
}

commit_of() {
    local changed=""
    [ -z "$(git -C "$1" status --porcelain --untracked-files=no)" ] || changed=" with uncommitted changes"
    echo "$(git -C "$1" rev-parse --short=12 HEAD || echo unknown)$changed"
}

newest_glibc() {
    objdump -T "$1" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1 | cut -d_ -f2 | grep . || echo unknown
}

# xz, since Python can unpack it where its program is missing. The window spans all programs: they share much code.
pack() {
    say "packing $1"
    tar --sort=name --owner=0 --group=0 -C "$work/$1" -cf - . |
        xz --compress --stdout --x86 --lzma2=preset=9,dict=512MiB >"$kit/$1.tar.xz"
}

fetch_libraries() {
    mkdir -p "$work/debs" "$work/root" "$work/libraries"
    # shellcheck disable=SC2086 # a list of words
    if ! (cd "$work/debs" && apt-get download $libraries) >&2; then
        say "left out: libraries (is this Debian? is \`apt-get update\` needed?)"
        return
    fi
    local deb
    for deb in "$work"/debs/*.deb; do
        dpkg-deb -x "$deb" "$work/root"
    done
    find "$work/root" -name 'lib*.so.*' -exec cp -a -t "$work/libraries" {} +
    pack libraries
}

fetch_wheels() {
    local version
    for version in $python_versions; do
        # shellcheck disable=SC2086 # a list of words
        python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "$version" \
            --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
            --dest "$kit/wheels" $wheels >&2 || say "left out: wheels for Python $version"
    done
}

tell_sizes() {
    local tree total
    tree="$(cd "$root" && git ls-files -z | { xargs -0 stat --format=%s 2>/dev/null || true; } | awk '{ sum += $1 } END { print sum + 0 }')"
    total="$(du -sb "$kit" | cut -f1)"
    (cd "$kit" && find . -type f -printf '%s\t%P\n' | sort -rn | awk -F'\t' '{ printf "%8.1f MiB  %s\n", $1 / 1048576, $2 }')
    awk -v kit="$total" -v tree="$tree" 'BEGIN { printf "%8.1f MiB  in all, %.1f with the checkout\n", kit / 1048576, (kit + tree) / 1048576 }'
    [ $(((total + tree) / 1048576)) -lt "$limit_mib" ] || die "kit and checkout together are over $limit_mib MiB"
}
