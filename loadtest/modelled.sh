#!/usr/bin/env bash
# Measures acks on a modelled object store (model+memory://, docs/benchmarks.md): one server a row, in memory.
# Prints for each row what was asked and what the driver says, and PUTs a second, objects and hedges of the measured time.
#   loadtest/modelled.sh                       all rows, 60 s each after 20 s that do not count
#   SECONDS_EACH=20 loadtest/modelled.sh 1MiB  the rows at 1 MiB/s, shorter
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60} warm_up=${WARM_UP:-20}
# Rate, hedges, further options of `eagre dev`.
rows=(
  "1MiB on"
  "1MiB off"
  "1MiB on --max-put-per-second 4"
  "10MiB on"
  "50MiB on"
  "50MiB off"
  "50MiB on --target-p99 1s"
)

cargo build --release --quiet -p eagre >&2
cargo build --release --quiet -p eagre-loadtest >&2
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
grpc=127.0.0.1:18070 http=127.0.0.1:18090
server='' driver='' folder=$(mktemp -d)
clean_up() {
  [ -z "$driver" ] || kill "$driver" 2>/dev/null || true
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap clean_up EXIT

# What has changed between two scrapes, a file each, in so many seconds.
changes() {
  python3 - "$@" <<'PY'
import sys

def sums(file):
    found = {}
    for line in open(file):
        if line.strip() and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            found[series] = found.get(series, 0.0) + float(value)
    return found

before, after, seconds = sums(sys.argv[1]), sums(sys.argv[2]), float(sys.argv[3])
def change(name, *labels):
    return sum(after[it] - before.get(it, 0.0) for it in after
               if it.split("{")[0] == name and all(label in it for label in labels))

puts = change("eagre_bucket_requests_total", 'op="put"') + change("eagre_bucket_requests_total", 'op="create"')
gib = change("eagre_gateway_bytes_in_total") / 2**30
objects = change("eagre_gateway_object_bytes_count")
mean = change("eagre_gateway_object_bytes_sum") / max(objects, 1) / 2**20
hedges = {result: round(change("eagre_bucket_hedges_total", f'result="{result}"')) for result in ("won", "lost", "failed")}
print(f"PUT/s {puts / seconds:.1f}, PUT/GiB {puts / gib:.0f}, objects {objects / seconds:.1f}/s of {mean:.2f} MiB, hedges {hedges}")
PY
}

for row in "${rows[@]}"; do
  read -r rate hedges options <<<"$row"
  if [ $# -gt 0 ] && [[ " $* " != *" $rate "* ]]; then continue; fi
  # The options are words.
  # shellcheck disable=SC2086
  "$target/release/eagre" dev --bucket "model+memory://?seed=1&hedges=$hedges" --grpc "$grpc" --http "$http" $options 2>/dev/null &
  server=$!
  until curl -sf "http://$http/readyz" >/dev/null; do kill -0 "$server"; sleep 0.1; done
  "$target/release/eagre-loadtest" produce --rate "$rate" --endpoint "http://$grpc" --pid "$server" \
    --warm-up "${warm_up}s" --seconds "$seconds" >"$folder/report" &
  driver=$!
  sleep "$((warm_up + 1))"
  curl -sf "http://$http/metrics" >"$folder/before"
  sleep "$((seconds - 2))"
  curl -sf "http://$http/metrics" >"$folder/after"
  wait "$driver"
  driver=''
  echo "== $rate/s, hedges $hedges${options:+, $options}"
  grep -v '^{' "$folder/report"
  changes "$folder/before" "$folder/after" "$((seconds - 2))"
  kill "$server"
  wait "$server" || true
  server=''
done
