#!/usr/bin/env bash
# Measures the figures of docs/performance.md on this machine: each server private and fresh, the median of five rounds (or ROUNDS).
set -eu
cd "$(dirname "$0")/.."
cargo build --profile dist --workspace --quiet
bin=${CARGO_TARGET_DIR:-target}/dist
rounds=${ROUNDS:-5}
export FAIRLINE_ORGANISER_KEY=figures-organiser-key
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

serve() {
  folder=$(mktemp -d) port=$(free)
  FAIRLINE_LISTEN=127.0.0.1:$port FAIRLINE_OPS_LISTEN=127.0.0.1:0 FAIRLINE_DATA=$folder/data FAIRLINE_LOG=warn \
    FAIRLINE_REQUESTS_PER_SECOND=0 FAIRLINE_JOINS_PER_MINUTE=0 FAIRLINE_REJOINS_PER_HOUR=0 FAIRLINE_VISITOR_REQUESTS_PER_SECOND=0 \
    FAIRLINE_CONNECTIONS_PER_ADDRESS=0 "$bin/fairline" >/dev/null &
  server=$! url=http://127.0.0.1:$port
  until curl -sf "$url/api/v1/events" >/dev/null; do sleep 0.01; done
}
stop() { kill $server; wait $server || true; rm -rf "$folder"; }
trap 'kill $server 2>/dev/null || true' EXIT

# median KEY < lines of JSON
median() { python3 -c "import json, statistics, sys; v = [json.loads(l)['$1'] for l in sys.stdin]; print(f'{statistics.median(v):>12}  $1  (of {len(v)}: {min(v)} to {max(v)})')"; }

echo "machine: $(nproc) cores, $(awk -F: '/model name/ {print $2; exit}' /proc/cpuinfo | xargs), $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo), Linux $(uname -r)"
results=$(mktemp -d)
for _ in $(seq "$rounds"); do
  serve; "$bin/loadtest" fans --joins-only --fans 50000 --url "$url" --pid $server --json >>"$results/joins" 2>/dev/null; stop
  serve; "$bin/loadtest" rush --buyers 5000 --url "$url" --pid $server --json >>"$results/rush" 2>/dev/null; stop
done
echo "joins over HTTP, journaled and acknowledged (loadtest fans --joins-only --fans 50000)"
for key in joins,_acknowledged__s join_p99_ms; do median "$key" <"$results/joins"; done
echo "journeys from token to tickets, two seats each (loadtest rush --buyers 5000)"
for key in seats_booked_durably__s token_to_tickets_p99_ms server_cpu_percent_of_a_core; do median "$key" <"$results/rush"; done
for _ in $(seq "$rounds"); do "$bin/loadtest" door --json >>"$results/door" 2>/dev/null; done
echo "check-ins of a full house at two doors (loadtest door)"
for key in check-ins__s scan_p99_ms; do median "$key" <"$results/door"; done
for _ in $(seq "$rounds"); do
  serve; "$bin/loadtest" fans --fans 18000 --seconds "${SECONDS_WATCHED:-30}" --url "$url" --pid $server --json >>"$results/fans" 2>/dev/null; stop
done
echo "18,000 connected fans (loadtest fans --fans 18000)"
for key in server_memory_a_connected_fan_bytes server_cpu,_all_waiting,_nobody_moves_percent_of_a_core server_cpu,_while_some_leave_percent_of_a_core \
  age_of_a_position,_first_1000_max_ms age_of_a_position,_all_others_max_ms sockets_opened__s; do median "$key" <"$results/fans"; done
serve
auth="Authorization: Bearer $FAIRLINE_ORGANISER_KEY" json="Content-Type: application/json"
curl -sf -X POST "$url/api/v1/organiser/events" -H "$auth" -H "$json" -d '{"id": "map", "name": "Map"}' >/dev/null
curl -sf -X PUT "$url/api/v1/organiser/events/map/seating" -H "$auth" -H "$json" -d '{"categories": [{"id": "c", "name": "C", "price": 1}], "sections": [{"id": "s", "category": "c", "rows": 100, "seats_per_row": 50}]}' >/dev/null
echo "$(curl -si -H 'Accept: application/octet-stream' "$url/api/v1/events/map/seats" | wc -c) bytes: the map of 5,000 seats in binary, head included"
for path in /e/map /static/base.css /static/queue.css /static/queue.js /static/api.js; do curl -s -H 'Accept-Encoding: gzip' "$url$path" | wc -c; done | paste -sd+ | bc | sed 's/$/ bytes: everything that the queue page loads, compressed/'
stop
python3 - "$bin" <<'P'
import os, pathlib, secrets, socket, statistics, subprocess, sys, tempfile, time
shared = {"FAIRLINE_" + name: secrets.token_hex(32) for name in ("SERVICE_KEY", "PASS_SECRET", "ORGANISER_KEY")}
for name in ("fairline", "waiting-room", "checkout"):
    times, sizes = [], []
    for _ in range(7):
        with tempfile.TemporaryDirectory() as folder:
            s = socket.socket(); s.bind(("127.0.0.1", 0)); port = s.getsockname()[1]; s.close()
            env = dict(os.environ, **shared, FAIRLINE_LISTEN=f"127.0.0.1:{port}", FAIRLINE_OPS_LISTEN="127.0.0.1:0", FAIRLINE_DATA=folder + "/d",
                       FAIRLINE_WAITING_ROOM="http://127.0.0.1:1", FAIRLINE_LOG="off")
            begun = time.monotonic()
            program = subprocess.Popen([f"{sys.argv[1]}/{name}"], env=env, stdout=subprocess.DEVNULL)
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.1).close(); break
                except OSError: time.sleep(0.001)
            times.append(time.monotonic() - begun)
            time.sleep(1)
            status = pathlib.Path(f"/proc/{program.pid}/status").read_text()
            sizes.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
            program.kill(); program.wait()
    print(f"{name}: {statistics.median(times):.3f} s from start to serving, {statistics.median(sizes):.0f} MiB at rest")
P
rm -rf "$results"
echo "the line on Redis, beside Redis, nginx and ZRANK in the same run (loadtest line)"
"$bin/loadtest" line --rounds "$rounds" 2>/dev/null
echo "the same contended sale by seven strategies, the engine beside pgbench, the map beside nginx (loadtest seats)"
"$bin/loadtest" seats --rounds "$rounds" 2>/dev/null
"$bin/loadtest" seats --engine --seats 38000 --rounds "$rounds" 2>/dev/null
"$bin/loadtest" seats --map --rounds "$rounds" 2>/dev/null
echo "the gate beside nginx; healthy clients while others attack (loadtest gate, spoofed, slow)"
"$bin/loadtest" gate --rounds "$rounds" 2>/dev/null
"$bin/loadtest" spoofed --rounds "$rounds" 2>/dev/null
"$bin/loadtest" slow --rounds "$rounds" 2>/dev/null
(cd e2e && npm ci --silent --no-audit --no-fund && cd figures && npm ci --silent --no-audit --no-fund --ignore-scripts)
for page in map lighthouse; do FAIRLINE_BINARY=$(realpath "$bin/fairline") ROUNDS=$rounds node e2e/figures/$page.js; done
