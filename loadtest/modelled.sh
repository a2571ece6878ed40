#!/usr/bin/env bash
# Measures acks on a modelled object store (model+memory://, docs/benchmarks.md) with and without hedges: one server a row, in memory.
# Prints a line a row: what was asked, what the driver says, PUTs a second, hedges won and lost.
#   loadtest/modelled.sh                      1 and 50 MiB/s, 20 s each
#   SECONDS_EACH=30 RATES="1MiB" loadtest/modelled.sh
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-20}
rates=${RATES:-1MiB 50MiB}

cargo build --release --quiet -p eagre >&2
cargo build --release --quiet -p eagre-loadtest >&2
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
grpc=127.0.0.1:18070 http=127.0.0.1:18090
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

# Sum of a counter over all label sets that hold every further argument.
counter() {
  curl -sf "http://$http/metrics" | python3 -c '
import sys
name, *labels = sys.argv[1:]
rows = (line for line in sys.stdin if line.startswith(name + "{") or line.startswith(name + " "))
print(int(sum(float(row.rsplit(" ", 1)[1]) for row in rows if all(label in row for label in labels))))' "$@"
}
puts() { echo $(($(counter eagre_bucket_requests_total 'op="put"') + $(counter eagre_bucket_requests_total 'op="create"'))); }

for rate in $rates; do
  for hedges in on off; do
    "$target/release/eagre" dev --bucket "model+memory://?seed=1&hedges=$hedges" --grpc "$grpc" --http "$http" 2>/dev/null &
    server=$!
    until curl -sf "http://$http/readyz" >/dev/null; do kill -0 "$server"; sleep 0.1; done
    before=$(puts)
    started=$(date +%s.%N)
    report=$("$target/release/eagre-loadtest" produce --rate "$rate" --endpoint "http://$grpc" --pid "$server" --seconds "$seconds")
    took=$(python3 -c "import time; print(f'{time.time() - $started:.3f}')")
    echo "== $rate/s, hedges $hedges"
    echo "$report"
    python3 -c "print(f'PUT/s {($(puts) - $before) / $took:.1f}')"
    echo "hedges won $(counter eagre_bucket_hedges_total 'result="won"'), lost $(counter eagre_bucket_hedges_total 'result="lost"'), failed $(counter eagre_bucket_hedges_total 'result="failed"')"
    kill "$server"
    wait "$server" || true
    server=
  done
done
