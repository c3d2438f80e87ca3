# Short forms of common commands; `headspan --help` lists all of them.
set positional-arguments

headspan := "cargo run --release --quiet --"

# Run every stage for models or an architecture: just run-all ViT-L-14 --images imagenet/val
run-all *arguments:
    {{headspan}} run-all "$@"

# Run the six models of the paper: just sweep --images imagenet/val
sweep *arguments:
    {{headspan}} run-all --config configs/sweeps/six-models.toml "$@"

status *arguments:
    {{headspan}} status "$@"

compare *arguments:
    {{headspan}} compare "$@"

# Show finished runs in the browser
explore *arguments:
    {{headspan}} explore "$@"

test:
    cargo test --workspace

# Build the Python wheel into dist/, install it into a fresh environment, and try it there
wheel:
    tools/check/wheel.sh --keep dist

# Measure headspan and the alternatives on this machine, into benches/results: just bench --only forward,textspan
bench *arguments:
    python3 benches/run.py "$@"

# Make system calls fail and kill the program at them, one by one: just torture --calls 40
torture *arguments:
    cargo build --release
    python3 tools/torture/faults.py target/release/headspan "$@"

# Run shards through a real Slurm on this machine, with faults (Debian, as root): just cluster --scenes 1600
cluster *arguments: store
    tools/cluster/slurm.sh install
    python3 tools/cluster/check_slurm.py target/release/headspan "$@"

# Run shards through Slurm and Ray with images and runs in a store, with faults (Debian, as root): just engines --only ray,faults
engines *arguments: store
    tools/cluster/slurm.sh install
    target/store-venv/bin/pip install --quiet '.[ray]' psutil
    target/store-venv/bin/python tools/cluster/check_engines.py target/release/headspan "$@"

# Check the Kubernetes manifests by schema and the image recipe with hadolint, and prove that the check can fail
kubernetes:
    python3 -m venv target/venv-kubernetes
    target/venv-kubernetes/bin/pip install --quiet --requirement tools/kubernetes/requirements.txt
    target/venv-kubernetes/bin/python tools/kubernetes/check.py
    target/venv-kubernetes/bin/python -m unittest discover --start-directory tools/kubernetes

# Write the tables of docs/scale.md from measured rates, assumptions and list prices
scale:
    python3 tools/scale/costs.py docs/scale.md

# Measure merge, status and submission with very many shards of next to no work: just simulate --parts 1000,10000
simulate *arguments:
    cargo build --release
    python3 tools/scale/simulate.py target/release/headspan "$@"

# Read images from an S3 server on this machine, with faults: just store --only equal,faults
store *arguments:
    cargo build --release
    python3 -m venv target/store-venv
    target/store-venv/bin/pip install --quiet --requirement tools/cluster/requirements.txt
    target/store-venv/bin/python tools/cluster/check_store.py target/release/headspan "$@"
    target/store-venv/bin/python tools/cluster/check_remote_runs.py target/release/headspan
    target/store-venv/bin/python tools/cluster/check_clouds.py target/release/headspan

# Fuzz what reads files and answers, on stable Rust: just fuzz tar 600
fuzz *arguments:
    tools/fuzz/run.sh "$@"

# The style of everything and the types of all code, in about two minutes: before each commit
check:
    cargo fmt --all --check
    rustfmt --check --edition 2024 crates/pipeline/src/stages/*.rs crates/images/src/sources/*.rs
    cargo clippy --workspace --all-targets -- -D warnings

# Everything that must pass before a change lands
ci:
    bash .ci/run
