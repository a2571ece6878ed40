#!/usr/bin/env bash
# Measures the table of docs/benchmarks.md: builds release binaries, then starts servers of its own on fresh folders, one
# row after the other, and removes everything. Prints the table to stdout, progress to stderr.
#   loadtest/bench.sh            five runs of 30 s each, about three quarters of an hour, 60 GiB of free disk
#   loadtest/bench.sh --quick    one run of 10 s each, a few minutes
#   loadtest/bench.sh --only slow,streams --folder /mnt/disk
set -euo pipefail
cd "$(dirname "$0")/.."

# One build of its own for each: together, features of one could end up in the other.
cargo build --release --quiet -p eagre >&2
cargo build --release --quiet -p eagre-loadtest >&2
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
exec "$target/release/eagre-loadtest" suite "$@"
