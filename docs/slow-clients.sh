#!/usr/bin/env bash
# What slow clients cost all others: the 99th percentile of healthy requests without and with each
# of slowhttptest's four modes, against a private server without a cap on connections of an address,
# as all of them come from one. On a machine with nothing else to do. PROGRAM is a release build.
# Usage: docs/slow-clients.sh PROGRAM [SECONDS]
set -eu
binary=$1 seconds=${2:-20}
command -v slowhttptest >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends slowhttptest >/dev/null; }
work=$(mktemp -d)
server=""
trap 'kill $server 2>/dev/null || true; wait; rm -rf "$work"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=http://127.0.0.1:$port key=slow-clients-organiser-key
FAIRLINE_LISTEN=127.0.0.1:$port FAIRLINE_OPS_LISTEN=127.0.0.1:0 FAIRLINE_DATA=$work/data FAIRLINE_ORGANISER_KEY=$key \
  FAIRLINE_CONNECTIONS_PER_ADDRESS=0 FAIRLINE_REQUESTS_PER_SECOND=0 FAIRLINE_LOG=off "$binary" >/dev/null &
server=$!
for _ in $(seq 200); do curl -sf "$url/api/v1/events" >/dev/null && break; sleep 0.05; done
curl -sf "$url/api/v1/organiser/events" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
  -d '{"id": "slow", "name": "Slow"}' >/dev/null
curl -sf -X PUT "$url/api/v1/organiser/events/slow/seating" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
  -d '{"categories": [{"id": "c", "name": "C", "price": 100}], "areas": [{"id": "a", "category": "c", "capacity": 50000}]}' >/dev/null

# Fifty healthy requests a second, each on a connection of its own.
healthy() {
  python3 - "$port" "$seconds" <<'PYTHON'
import http.client, sys, time

port, seconds = int(sys.argv[1]), int(sys.argv[2])
took, failed, begun = [], 0, time.monotonic()
for at in range(seconds * 50):
    time.sleep(max(0, begun + at / 50 - time.monotonic()))
    asked = time.monotonic()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/v1/events/slow")
        failed += connection.getresponse().status != 200
        connection.close()
    except OSError:
        failed += 1
    took.append(time.monotonic() - asked)
took.sort()
print(f"p50 {took[len(took) // 2] * 1000:.2f} ms, p99 {took[len(took) * 99 // 100] * 1000:.2f} ms, {failed} of {len(took)} failed")
PYTHON
}

echo "without: $(healthy)"
page=$url/api/v1/events/slow
for mode in "head:-H -u $page -i 5" "body:-B -u $url/api/v1/events/slow/line -s 8192 -i 5 -x 10" \
  "range:-R -u $url/static/queue.js -a 10 -b 3000" "read:-X -u $page/seats -w 512 -y 1024 -n 5 -z 32 -k 3"; do
  slowhttptest ${mode#*:} -c 1000 -r 500 -l "$seconds" >"$work/${mode%%:*}" 2>&1 &
  attack=$!
  echo "${mode%%:*}: $(healthy)"
  wait $attack || true
done
