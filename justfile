# The verbs of the project; CI runs these and the README's two commands. `just` lists them.

default:
    @just --list

# What every change must pass.
check: fmt clippy fuzz-check test docs

fmt:
    cargo fmt --all -- --check

clippy:
    cargo clippy --workspace --all-targets -- -D warnings

test:
    cargo test --workspace

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

# Real foreign clients in network namespaces: root, Linux, and the programs of integration-tests/interop/README.md.
interop:
    cargo build --release
    integration-tests/interop/run

# Licences, sources and advisories; needs cargo-deny.
deny:
    cargo deny check

# One swarm by its seed, as a failing simulation prints it.
sim seed:
    SHOAL_SIM_SEED={{seed}} cargo test --release -p shoal-swarm --test sim -- --nocapture

# Swarms of so many leechers beside the fluid bound and the bound of pieces; 200 take minutes.
sim-fluid sizes="8,50,200":
    SHOAL_SIM_FLUID={{sizes}} cargo test --release -p shoal-swarm --test sim -- --nocapture table_of_swarms

# Many seeds, until the count is reached.
sim-soak seeds="10000":
    SHOAL_SIM_SEEDS={{seeds}} cargo test --release -p shoal-swarm --test sim -- --nocapture

# The fuzz targets still build, in the workspace of their own.
fuzz-check:
    cargo check --locked --manifest-path fuzz/Cargo.toml

# Each fuzz target for a while; needs a nightly toolchain and cargo-fuzz.
fuzz-smoke seconds="30":
    for target in $(cargo +nightly fuzz list); do cargo +nightly fuzz run $target -- -max_total_time={{seconds}} || exit 1; done

bench:
    cargo bench -p shoal-bench

# Ours beside other clients in network namespaces, as root: `just compare --quick`, `just compare --help`.
compare *ARGS:
    cargo build --release
    python3 bench/compare {{ARGS}}

# Our tracker beside opentracker and aquatic_udp, on two cores: `just tracker-load --rounds 1`.
tracker-load *ARGS:
    cargo build --release -p shoal-cli -p shoal-bench --bin shoal --bin tracker-load
    python3 bench/tracker {{ARGS}}

# Ten million forged connection ids, where the tests send one.
attack:
    SHOAL_FORGERIES=10000000 cargo test --release -p shoal-tracker --lib forged -- --nocapture

# How our cost grows with peers, pieces, files and content, as root: `just costs --quick`.
costs *ARGS:
    cargo build --release
    python3 bench/compare --clients ours --only peers,pieces,files,starts {{ARGS}}

# The walk-through: a tracker and three clients on loopback.
swarm:
    cargo run --release -- demo
