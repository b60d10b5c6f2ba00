#!/usr/bin/env bash
# Runs one fuzzer, or all of them one after the other, each for so many seconds: fuzz/run.sh TARGET|all SECONDS.
#
# New inputs go to fuzz/found, crashes to fuzz/artifacts; the corpus is only read.
set -euo pipefail
cd "$(dirname "$0")"

target="${1:-all}"
seconds="${2:-60}"

missing=()
if ! cargo fuzz --version >/dev/null 2>&1; then
    missing+=("cargo-fuzz: cargo install cargo-fuzz --locked")
fi
# The sanitisers are options of nightly compilers. The stable one takes them too if RUSTC_BOOTSTRAP=1 is set, at the
# risk of whoever sets it.
cargo=(cargo)
if [ "${RUSTC_BOOTSTRAP:-}" != 1 ]; then
    cargo=(cargo +nightly)
    if ! cargo +nightly --version >/dev/null 2>&1; then
        missing+=("a nightly compiler: rustup toolchain install nightly (or set RUSTC_BOOTSTRAP=1)")
    fi
fi
if [ ${#missing[@]} -ne 0 ]; then
    printf 'make fuzz needs %s\n' "${missing[@]}" >&2
    exit 2
fi

if [ "$target" = all ]; then
    mapfile -t targets < <(basename -s .rs fuzz_targets/*.rs)
else
    targets=("$target")
fi
for name in "${targets[@]}"; do
    mkdir -p "found/$name"
    echo "== $name for $seconds s"
    "${cargo[@]}" fuzz run --fuzz-dir . "$name" "found/$name" "corpus/$name" -- \
        -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
