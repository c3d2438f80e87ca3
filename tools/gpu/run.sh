# shellcheck shell=bash
# `check.sh run`: one section of results in a bounded time. Steps go by value; each has a time of its own, a failed one records its
# error and the next one starts. The section is written again while a step runs, so a kill loses nothing.
# shellcheck disable=SC2154 # here, root, kit: set by check.sh

# Drawing one takes a core some 40 ms. They are linked as often as it takes to have 20,000.
jpegs_per_core=128

run() {
    local seconds=""
    out="${OUT:-$root/target/gpu-results}"
    quick=""
    while [ $# -gt 0 ]; do
        case "$1" in
        --quick)
            quick="--quick"
            shift
            continue
            ;;
        --seconds) seconds="${2:-}" ;;
        --out) out="${2:-}" ;;
        *) usage ;;
        esac
        [ $# -gt 1 ] || usage
        shift 2
    done
    # On a software renderer, 3 minutes are enough to reach every step.
    [ -n "$seconds" ] || seconds="$([ -n "$quick" ] && echo 180 || echo 480)"
    [ -f "$kit/facts" ] || die "there is no kit in $kit: \`check.sh prepare\` makes it"
    total="$seconds"
    deadline=$((SECONDS + seconds))
    prepare_folders
    # Tuning takes a software renderer minutes.
    [ -z "$quick" ] || export CUBECL_AUTOTUNE_LEVEL=minimal
    # Burn, if built so, keeps what it tuned under the checkout from which a program starts.
    cd "$root"
    find_python
    start_sampling
    say "results: $out"

    step 1-machine "The machine" 30 0 machine
    step 2-programs "The programs" 25 0 programs
    start_inputs
    step 3-devices "Devices that headspan reaches" 60 0 devices
    # shellcheck source=/dev/null
    if [ -f "$work/environment" ]; then source "$work/environment"; fi
    step 4-tests "Tests of devices" 90 300 device_tests
    step 5-inputs "Inputs" 60 260 await_inputs
    step 6-numbers "Numbers against the CPU" 60 260 card_part numbers
    if [ -n "$quick" ]; then
        step 7-rates "Rates of ViT-B/32" 75 40 card_part rates ViT-B-32
        step 8-stage "The whole stage, ViT-B/32" 60 0 card_part stage ViT-B-32
    else
        step 7-rates-b "Rates of ViT-B/32" 110 170 card_part rates ViT-B-32
        step 7-rates-l "Rates of ViT-L/14" 150 100 card_part rates ViT-L-14
        step 8-stage-b "The whole stage, ViT-B/32" 90 30 card_part stage ViT-B-32
        step 8-stage-l "The whole stage, ViT-L/14" 90 2 card_part stage ViT-L-14
        # Last, if time is left: between the other two, and measured by no other step.
        step 7-rates-b16 "Rates of ViT-B/16" 110 0 card_part rates ViT-B-16
    fi
    say "took $((SECONDS - deadline + total)) s; \`check.sh adopt $out/gpu.md\` makes it the card's file in benches/results"
}

prepare_folders() {
    work="$(mktemp -d)"
    parts="$work/parts" inputs="$work/inputs" bin="$work/programs" log="$out/gpu.log"
    mkdir -p "$out" "$parts" "$inputs" "$bin"
    : >"$log"
    budget=0 part=""
    card="none found" today="$(LC_ALL=C date -u '+%-d %B %Y')"
    trap finish EXIT
    trap 'exit 143' TERM INT
}

finish() {
    local group
    # Only jobs that still run: the number of one that has ended may be another's by now.
    for group in $(jobs -pr); do
        kill -KILL -- "-$group" 2>/dev/null || true
        wait "$group" 2>/dev/null || true
    done
    assemble
    [ ! -f "$work/link" ] || rm -f "$(cat "$work/link")"
    rm -rf "$work"
}

# A value that `prepare` wrote down.
fact() {
    sed -n "s/^$1=//p" "$kit/facts"
}

# Steps.

# step NAME TITLE SECONDS RESERVED COMMAND…: the command's output is the part; RESERVED seconds must be left for later steps. Both are
# those of a run of 480 s; of a longer one a step gets more, of a shorter one less is reserved.
step() {
    local name="$1" title="$2" reserved=$(($4 * total / 480)) status=0 from
    budget=$(($3 * (total > 480 ? total : 480) / 480))
    shift 4
    if [ "$budget" -gt $((deadline - SECONDS - reserved)) ]; then budget=$((deadline - SECONDS - reserved)); fi
    part="$parts/$name.md"
    echo "### $title" >"$parts/$name.title"
    : >"$part"
    if [ "$budget" -lt 5 ]; then
        echo "**Not measured**: the time that is left is kept for later steps, or none is left." >"$part"
        assemble
        return
    fi
    say "$title (at most $budget s)"
    from="$(stat --format=%s "$log")"
    echo "== $title, at most $budget s" >>"$log"
    local begun="$SECONDS"
    set +e
    bounded "$budget" "$@"
    status=$?
    set -e
    case "$status" in
    0) ;;
    124) printf '\n**Stopped** after %s s, when the time was up. What stands above was measured by then.\n' "$((SECONDS - begun))" >>"$part" ;;
    *) printf '\n**Failed** after %s s, exit code %s: %s\n' "$((SECONDS - begun))" "$status" "$(last_words "$from")" >>"$part" ;;
    esac
    assemble
}

# Runs a command or function in a process group of its own, so that all of it can be ended.
bounded() {
    local until=$((SECONDS + $1)) pid
    shift
    set -m
    (
        set -e
        "$@"
    ) >>"$part" 2>>"$log" </dev/null &
    pid=$!
    set +m
    local seen="$SECONDS"
    while kill -0 "$pid" 2>/dev/null; do
        if [ "$SECONDS" -ge "$until" ]; then
            kill -TERM -- "-$pid" 2>/dev/null
            sleep 1
            kill -KILL -- "-$pid" 2>/dev/null
            wait "$pid" 2>/dev/null
            return 124
        fi
        sleep 0.2
        if [ $((SECONDS - seen)) -ge 2 ]; then
            seen="$SECONDS"
            assemble
        fi
    done
    wait "$pid"
}

# The last lines of the log from a byte on, as one line of Markdown.
last_words() {
    tail -c "+$(($1 + 1))" "$log" | grep -v '^==' | grep . | tail -3 | tr '\n|`' ' / ' | cut -c1-400
}

# The section as far as it is known.
assemble() {
    local title
    {
        printf '## GPU: %s, %s, commit %s\n\n' "$card" "$today" "$(fact commit)"
        [ -z "$quick" ] || printf '*Quick: sizes too small for the figures to mean anything.* '
        printf '%s, %s s of %s used. ' "$(LC_ALL=C date -u '+%-d %B %Y, %H:%M UTC')" "$((SECONDS - deadline + total))" "$total"
        # shellcheck disable=SC2016 # Markdown
        printf 'Written by `tools/gpu/check.sh run`. headspan %s, features: %s; %s.\n' "$(fact commit)" "$(fact features | grep . || echo default)" "$(fact rustc)"
        for title in "$parts"/*.title; do
            [ -f "$title" ] || continue
            printf '\n'
            cat "$title"
            printf '\n'
            cat "${title%.title}.md"
        done
    } >"$out/gpu.md.new" && mv "$out/gpu.md.new" "$out/gpu.md"
}

# A step of card.py, once its checkpoint is there.
card_part() {
    local until=$((SECONDS + budget - 3)) model="${2:-ViT-B-32}" images="$work"
    [ -n "$python" ] || no_python
    [ "$1" = rates ] || images="$(images_folder)"
    await "$inputs/$model/tokenizer.json" "$until" || return 1
    "$python" "$here/card.py" "$1" --programs "$bin" --work "$inputs" --images "$images" --origin "$(origin_of_images)" --file "$part" \
        --seconds "$((until - SECONDS))" ${quick:+"$quick"} ${2:+"$2"}
}

no_python() {
    echo "there is no Python 3.10 or newer" >&2
    return 1
}

# await FILE UNTIL
await() {
    while [ ! -e "$1" ]; do
        if [ "$SECONDS" -ge "$2" ]; then
            echo "${1#"$inputs/"} was not made in time" >&2
            return 1
        fi
        sleep 0.2
    done
}

# The machine.

# Of all Pythons the first with PyTorch, else the first that is new enough.
find_python() {
    local candidate
    python=""
    for candidate in "${PYTHON:-}" python3 python /opt/*/bin/python3 /opt/*/.venv/bin/python3 /usr/local/bin/python3 /usr/bin/python3; do
        if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then continue; fi
        [ -n "$python" ] || python="$candidate"
        if "$candidate" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; then
            python="$candidate"
            break
        fi
    done
    if [ -n "$python" ]; then
        "$python" "$here/wheels.py" "$kit/wheels" "$work/site" 2>>"$log" || true
        export PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
    fi
    if command -v nvidia-smi >/dev/null; then
        card="$(nvidia-smi --query-gpu=name --format=csv,noheader 2>>"$log" | head -1 | grep . || echo "none found")"
    fi
}

# What the driver says of the card, every two seconds: the utilisation that headspan records can be compared with it.
start_sampling() {
    command -v nvidia-smi >/dev/null || return 0
    set -m
    nvidia-smi --query-gpu=timestamp,utilization.gpu,memory.used,clocks.sm,power.draw --format=csv -l 2 >"$out/gpu-use.csv" 2>&1 &
    set +m
}

row() {
    printf '| %s | %s |\n' "$1" "$(printf '%s' "${2:-none}" | tr '\n|' ' /' | sed 's/ *$//')"
}

machine() {
    everything >>"$log" 2>&1 || true
    echo "| what | found |"
    echo "| --- | --- |"
    row processor "$(lscpu 2>/dev/null | sed -n 's/^Model name: *//p' | head -1), $(nproc) cores, $(free -g | awk '/^Mem/ { print $2 }') GiB"
    row system "$(. /etc/os-release && echo "${PRETTY_NAME:-}"), Linux $(uname -r), glibc $(glibc_here)"
    row "disk free" "$(df -h --output=avail "$work" | tail -1 | tr -d ' ')"
    row "card (nvidia-smi)" "$(smi || true)"
    row "device files" "$(device_files)"
    row "NVIDIA_DRIVER_CAPABILITIES" "${NVIDIA_DRIVER_CAPABILITIES:-not set}"
    row "Vulkan loader" "$(find_library libvulkan.so.1 || echo "none (the kit has one)")"
    row "Vulkan drivers (ICD files)" "$(icd_files)"
    libraries_rows
    row Python "$(python_here || true)"
    conclude_packages
}

glibc_here() {
    getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2 || echo unknown
}

smi() {
    nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap,power.limit,clocks.max.sm --format=csv,noheader
}

device_files() {
    local file found=""
    for file in /dev/nvidia* /dev/dri/*; do
        [ ! -e "$file" ] || found="$found ${file#/dev/}"
    done
    echo "${found# }"
}

libraries_rows() {
    local name
    for name in libGLX_nvidia.so.0 libEGL_nvidia.so.0 libnvidia-glvkspirv.so libnvidia-gpucomp.so libcuda.so.1 libnvidia-ml.so.1 libcublasLt.so libnvrtc.so; do
        row "$name" "$(find_library "$name" || echo none)"
    done
}

# Where a library is whose name begins so: among those that the loader knows, else in the usual folders of drivers.
find_library() {
    local found
    found="$(ldconfig_lists | awk -v name="$1" 'index($1, name) == 1 { print $NF; exit }')"
    [ -n "$found" ] || found="$(timeout 5 find /usr/local/nvidia /usr/local/cuda* /usr/lib /usr/lib64 /usr/local/lib /opt/nvidia -maxdepth 5 -name "$1*" 2>/dev/null | head -1 || true)"
    [ -n "$found" ] || found="$(find_in_python "$1")"
    [ -n "$found" ] && echo "$found"
}

ldconfig_lists() {
    { ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null || true
}

# PyTorch brings cuBLAS and NVRTC as packages of its own.
find_in_python() {
    [ -n "$python" ] || return 0
    "$python" - "$1" <<'PYTHON' 2>/dev/null || true
import importlib.util, pathlib, sys

spec = importlib.util.find_spec("nvidia")
for folder in spec.submodule_search_locations if spec else ():
    for file in sorted(pathlib.Path(folder).glob(f"*/lib/{sys.argv[1]}*")):
        print(file)
        sys.exit()
PYTHON
}

icd_files() {
    find /etc/vulkan /usr/share/vulkan /usr/local/share/vulkan /usr/local/etc/vulkan /usr/local/nvidia /opt/nvidia -path '*icd.d*' -name '*.json' 2>/dev/null | sort || true
}

python_here() {
    [ -n "$python" ] || { echo "no Python 3.10 or newer"; return; }
    timeout 25 "$python" - <<'PYTHON'
import importlib.metadata, platform, sys

found = [f"{platform.python_version()} ({sys.executable})"]
for name in ("torch", "torchvision", "open_clip_torch", "pillow", "pyarrow", "numpy"):
    try:
        found.append(f"{name} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
        found.append(f"no {name}")
try:
    import torch
    cuda = torch.cuda.is_available()
    found.append(f"CUDA of PyTorch {torch.version.cuda}, {torch.cuda.get_device_name() if cuda else 'no card'}")
except ImportError as error:
    found.append(f"PyTorch cannot be imported: {error}")
print("; ".join(found))
PYTHON
}

conclude_packages() {
    [ -d "$work/site" ] || return 0
    local unpacked
    unpacked="$(sed -n 's/^unpacked \([^-]*-[^-]*\).*/\1/p' "$log" | tr '\n' ' ')"
    row "packages from the kit" "$unpacked"
}

# For the log alone.
everything() {
    lscpu
    free -m
    df -h
    nvidia-smi
    nvidia-smi -q | grep -E 'Product Name|Driver Version|CUDA Version|MIG|Persistence|Power Limit|Max Clocks|Graphics|SM |Memory ' | head -40
    ldconfig_lists | grep -iE 'vulkan|cuda|nvidia|libGL|libEGL|libX11|libXext|nvrtc|cublas'
    icd_files | while read -r file; do
        echo "-- $file"
        cat "$file"
    done
    env | grep -E '^(NVIDIA|CUDA|VK_|LD_|DISPLAY|XDG)'
}

# The programs.

programs() {
    local needs name
    unpack programs "$bin"
    needs="$(fact glibc)"
    for name in headspan examples/vision_pass devices; do
        [ -x "$bin/$name" ] || echo "The kit has no \`${name#examples/}\`: what needs it is left out."
    done
    if "$bin/headspan" --version >"$work/version" 2>&1; then
        echo "\`$(cat "$work/version")\` starts. It needs glibc $needs; this machine has $(glibc_here)."
    else
        echo "**The program does not start here.** It needs glibc $needs; this machine has $(glibc_here). The loader says: $(tr '\n' ' ' <"$work/version" | cut -c1-400)"
    fi
}

# unpack NAME FOLDER: by xz, else by Python, which has the same library.
unpack() {
    local archive="$kit/$1.tar.xz"
    mkdir -p "$2"
    if command -v xz >/dev/null; then
        xz --decompress --stdout "$archive" | tar -C "$2" -xf -
    else
        "$python" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$archive" "$2"
    fi
}

# Inputs, made while the first steps run.

start_inputs() {
    set -m
    make_inputs >>"$work/inputs.log" 2>&1 </dev/null &
    set +m
}

make_inputs() {
    local model models="ViT-B-32 ViT-L-14 ViT-B-16" jpegs=$((jpegs_per_core * $(nproc)))
    if [ -n "$quick" ]; then models="ViT-B-32" jpegs=16; fi
    [ -n "$python" ] || return 0
    for model in $models; do
        "$python" "$here/checkpoint.py" "$inputs/$model" --architecture "$model" &
    done
    if "$python" -c 'import PIL' && "$python" "$here/jpegs.py" "$work/jpegs" "$jpegs"; then
        touch "$work/jpegs-made"
    else
        "$bin/headspan" --quiet scenes --out "$work/scenes" --scenes 250 --pixels 448 --captions 0 --format folder && touch "$work/scenes-made"
    fi
    wait
}

await_inputs() {
    local until=$((SECONDS + budget - 2))
    [ -n "$python" ] || no_python
    while [ ! -e "$work/jpegs-made" ] && [ ! -e "$work/scenes-made" ] && [ "$SECONDS" -lt "$until" ]; do sleep 0.2; done
    echo "Images: $(origin_of_images). Checkpoints: random weights (\`tools/gpu/checkpoint.py\`)."
    cat "$work/inputs.log" >&2
    images_folder >/dev/null
}

images_folder() {
    if [ -e "$work/jpegs-made" ]; then
        echo "$work/jpegs"
    elif [ -e "$work/scenes-made" ]; then
        echo "$work/scenes/images"
    else
        echo "no images were made" >&2
        return 1
    fi
}

origin_of_images() {
    local folder count bytes
    folder="$(images_folder)" || { echo "none were made"; return 0; }
    count="$(find "$folder" -type f | wc -l)"
    bytes="$(du -sb --apparent-size "$folder" | cut -f1)"
    if [ -e "$work/jpegs-made" ]; then
        echo "$count distinct JPEGs of noise with the spectrum of photos (500 × 375, quality 90, $((bytes / count / 1000)) KB; \`tools/gpu/jpegs.py\`)"
    else
        echo "$count PNGs rendered by \`headspan scenes\`, since Pillow is not there to make JPEGs (448 × 448, $((bytes / count / 1000)) KB)"
    fi
}

# Devices.

# Looks for a card through Vulkan in several ways, from the machine as it is to an ICD file of our own. The way that finds most is used by all
# later steps.
devices() {
    local search file library
    best=0
    find_missing_libraries
    search="$work/libraries$(driver_folders)"
    echo "| Vulkan | \`headspan doctor\` |"
    echo "| --- | --- |"
    try "as the machine is"
    try "with libraries that the loader does not know: $(extra_libraries)" "LD_LIBRARY_PATH=$search"
    while read -r file; do
        [ "$best" -gt 0 ] || try_icd "with the driver's ICD file \`$file\`" "$file" "$search"
    done < <(icd_files | grep -i nvidia)
    for library in libGLX_nvidia.so.0 libEGL_nvidia.so.0; do
        if [ "$best" -eq 0 ] && file="$(find_library "$library")"; then
            own_icd "$file" >"$work/$library.json"
            try_icd "with an ICD file of our own for \`$file\`" "$work/$library.json" "$search"
        fi
    done
    conclude_devices
}

# try HOW [NAME=VALUE…]: one row, and the environment for later steps if more is found than before.
try() {
    local how="$1" told status=0 found count variable
    shift
    told="$(timeout 20 env "$@" "$bin/headspan" doctor 2>"$work/try.log")" || status=$?
    { echo "-- doctor, $how"; echo "$told"; cat "$work/try.log"; } >&2
    found="$(printf '%s\n' "$told" | sed -n 's/^device *//p')"
    if [ "$status" -eq 0 ]; then
        row "$how" "$(printf '%s' "$found" | paste -sd';' | sed 's/;/; /g')"
    else
        row "$how" "**failed**, exit code $status: $(tail -2 "$work/try.log")"
    fi
    found="$(printf '%s\n' "$found" | grep -E '^(wgpu|cuda)' | cards_only || true)"
    count="$(printf '%s' "$found" | grep -c . || true)"
    [ "$count" -gt "$best" ] || return 0
    best="$count"
    printf '%s\n' "$found" >"$work/card"
    for variable in "$@"; do
        printf 'export %q\n' "$variable"
    done >"$work/environment"
}

# A software renderer is no card, but enough for --quick.
cards_only() {
    if [ -n "$quick" ]; then cat; else grep -v software; fi
}

try_icd() {
    # The loader's newer name for the variable, and the older one.
    try "$1" "VK_DRIVER_FILES=$2" "VK_ICD_FILENAMES=$2" "LD_LIBRARY_PATH=$3"
}

own_icd() {
    printf '{"file_format_version": "1.0.1", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' "$1"
}

# Links to those libraries of the kit that the machine lacks: its own must not be shadowed.
find_missing_libraries() {
    local file name
    mkdir -p "$work/libraries"
    [ -f "$kit/libraries.tar.xz" ] || return 0
    unpack libraries "$work/kit-libraries"
    for file in "$work"/kit-libraries/*.so.*; do
        name="${file##*/}"
        if ! ldconfig_lists | awk -v name="$name" '$1 == name { found = 1 } END { exit !found }'; then
            cp -a "$file" "$work/libraries/"
        fi
    done
}

extra_libraries() {
    local folders
    folders="$(driver_folders)"
    { find "$work/libraries" -type l -printf '%f '; echo "${folders//:/ }"; } | grep . || echo none
}

# Folders of NVIDIA's libraries that the loader does not know, for LD_LIBRARY_PATH.
driver_folders() {
    local name file
    for name in libGLX_nvidia.so.0 libcuda.so.1 libnvidia-ml.so.1 libcublasLt.so libnvrtc.so; do
        if ! ldconfig_lists | awk -v name="$name" 'index($1, name) == 1 { found = 1 } END { exit !found }' && file="$(find_library "$name")"; then
            printf ':%s' "${file%/*}"
        fi
    done | awk -v RS=: 'NF && !seen[$0]++ { printf ":%s", $0 }'
}

conclude_devices() {
    local cuda
    cuda="$(cuda_devices)"
    echo
    if [ -s "$work/card" ]; then
        echo "headspan reaches a card: $(paste -sd' ' "$work/card"). CUDA's driver: $cuda."
    elif [[ "$cuda" == [1-9]* ]]; then
        echo "**wgpu finds no card, though CUDA's driver sees it** ($cuda; $card). This is the usual state of containers on clusters: NVIDIA's compute libraries are mounted, its Vulkan driver is not."
        echo "Evidence: NVIDIA_DRIVER_CAPABILITIES is \`${NVIDIA_DRIVER_CAPABILITIES:-not set}\` (Vulkan wants \`graphics\` or \`all\`); ICD files: $(icd_files | tr '\n' ' ' | grep . || echo none);"
        echo "libGLX_nvidia.so.0: $(find_library libGLX_nvidia.so.0 || echo none); libnvidia-glvkspirv: $(find_library libnvidia-glvkspirv.so || echo none)."
        loader_errors
    else
        echo "**No card was found**, neither by wgpu nor by CUDA's driver ($cuda)."
    fi
}

# What CUDA's driver says without PyTorch.
cuda_devices() {
    [ -n "$python" ] || { echo "not asked, there is no Python"; return; }
    timeout 30 "$python" - "$(find_library libcuda.so.1 || echo libcuda.so.1)" <<'PYTHON' || echo "it does not answer"
import ctypes, sys

try:
    driver = ctypes.CDLL(sys.argv[1])
except OSError as error:
    sys.exit(print(error))
count, version = ctypes.c_int(), ctypes.c_int()
status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or driver.cuDriverGetVersion(ctypes.byref(version))
print(f"error {status}" if status else f"{count.value} device(s), CUDA {version.value // 1000}.{version.value % 1000 // 10}")
PYTHON
}

loader_errors() {
    local errors
    errors="$(VK_LOADER_DEBUG=error,warn timeout 20 "$bin/headspan" doctor 2>&1 >/dev/null | tee -a "$log" | grep -iE 'error|warn' | head -4 || true)"
    # shellcheck disable=SC2016 # Markdown
    [ -z "$errors" ] || printf '\nThe Vulkan loader says:\n\n```\n%s\n```\n' "$errors"
}

# Tests of devices, each in a process of its own: a driver that crashes costs one of them.
device_tests() {
    local tests="$bin/devices" until=$((SECONDS + budget - 2)) name begun status passed=0 failed=0
    if [ ! -x "$tests" ]; then
        echo "**Not measured**: the kit has no tests of devices."
        return
    fi
    link_checkout
    echo "| test | result | seconds |"
    echo "| --- | --- | --- |"
    for name in $("$tests" --list --format terse | sed -n 's/: test$//p'); do
        begun="$EPOCHREALTIME" status=0
        timeout "$((until > SECONDS ? until - SECONDS : 1))" "$tests" --exact "$name" --nocapture --test-threads=1 >"$work/test.log" 2>&1 || status=$?
        { echo "-- $name"; cat "$work/test.log"; } >&2
        local told="passed"
        if [ "$status" -eq 0 ]; then passed=$((passed + 1)); else
            failed=$((failed + 1))
            told="**failed**, exit code $status: $(grep -vE '^(running|test |failures|successes|error: test|note:|$)' "$work/test.log" | tail -4 | tr '\n|' ' /' | cut -c1-400)"
        fi
        told="$told$(grep -E '^(skipped|wgpu|cuda)' "$work/test.log" | tr '\n|' ' /' | sed 's/^/; /' || true)"
        echo "| \`$name\` | $told | $(elapsed "$begun") |"
    done
    printf '\n%s passed, %s failed.\n' "$passed" "$failed"
}

elapsed() {
    awk -v begun="$1" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f", now - begun }'
}

# The tests read the demo model from where they were built: a link stands in where that is not this checkout.
link_checkout() {
    local built_in
    built_in="$(fact built_in)"
    if [ ! -e "$built_in" ]; then
        mkdir -p "$(dirname "$built_in")" && ln -s "$root" "$built_in" && echo "$built_in" >"$work/link"
    fi
}
