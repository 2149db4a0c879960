#!/usr/bin/env bash
# What does an authenticated request through scopegate cost, beside an unauthenticated one through a bare nginx proxy?
#
# Both proxies run on core 0, one worker each, access log off, in front of the same upstream; wrk and the upstream run
# on core 1. Rounds are interleaved. What is printed is CPU time (user + system, of the proxy's processes) per request,
# and the ratio of the two in each round: that holds when the machine's speed drifts.
#
#   benches/against-nginx.sh [ROUNDS] [SECONDS]        needs nginx, wrk, taskset, curl and two cores
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} seconds=${2:-3} connections=64

for tool in nginx wrk taskset curl; do
  command -v "$tool" >/dev/null || { echo "SKIPPED: $tool is not installed" >&2; exit 0; }
done
cargo build --release --quiet

work=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$work"' EXIT

nginx_conf() { # NAME, http block
  mkdir -p "$work/$1"
  cat >"$work/$1.conf" <<CONF
worker_processes 1; daemon off; pid $work/$1/pid; error_log $work/$1/error.log;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path $work/$1/a; proxy_temp_path $work/$1/b; fastcgi_temp_path $work/$1/c;
  uwsgi_temp_path $work/$1/d; scgi_temp_path $work/$1/e;
  $2
}
CONF
}
body=$(head -c 256 /dev/zero | tr '\0' x)
nginx_conf upstream "server { listen 127.0.0.1:19081 backlog=4096; location / { return 200 '$body'; } }"
nginx_conf proxy "upstream up { server 127.0.0.1:19081; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:18081 backlog=4096; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; } }"
cat >"$work/gateway.toml" <<'CONF'
[server]
listen = "127.0.0.1:18080"
workers = 1
[log]
level = "warn"
access = false
[development]
listen = "127.0.0.1:19080"
echo = "127.0.0.1:19082"
[issuers.development]
issuer = "http://127.0.0.1:19080"
audience = "scopegate-development"
[upstreams.bench]
targets = "http://127.0.0.1:19081"
[[routes]]
path = "/apps/{id}/messages"
scope = "messages.read"
upstream = "bench"
CONF

taskset -c 1 nginx -c "$work/upstream.conf" & pids+=($!)
taskset -c 0 nginx -c "$work/proxy.conf" & pids+=($!); nginx=$!
taskset -c 0 target/release/scopegate --config "$work/gateway.toml" >/dev/null & pids+=($!); scopegate=$!
for port in 18080 18081 19080; do
  until curl -s -o /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
done
token=$(curl -s -u test:test -d grant_type=client_credentials -d scope=messages.read http://127.0.0.1:19080/token |
  sed 's/.*"access_token":"\([^"]*\)".*/\1/')
path=/apps/com.acme/messages
[ "$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "http://127.0.0.1:18080$path")" = 200 ]
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:18080$path")" = 401 ]

ticks() { # user + system of a process and its children, in clock ticks
  local total=0 pid
  for pid in "$1" $(pgrep -P "$1" || true); do
    total=$((total + $(awk '{print $14 + $15}' "/proc/$pid/stat")))
  done
  echo "$total"
}
per_request() { # PID PORT -> CPU microseconds a request; the same headers go to both
  local before after requests
  before=$(ticks "$1")
  requests=$(taskset -c 1 wrk -t1 -c$connections -d"${seconds}s" -H "Authorization: Bearer $token" \
    "http://127.0.0.1:$2$path" | tee "$work/wrk" | awk '/requests in/ {print $1}')
  ! grep -E 'Non-2xx|Socket errors' "$work/wrk" >&2
  after=$(ticks "$1")
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" 'BEGIN {printf "%.2f", ticks / hz * 1e6 / n}'
}

per_request "$nginx" 18081 >/dev/null; per_request "$scopegate" 18080 >/dev/null # warm
echo "round  nginx µs  scopegate µs  ratio"
for round in $(seq "$rounds"); do
  a=$(per_request "$nginx" 18081); b=$(per_request "$scopegate" 18080)
  echo "$round $a $b" | awk '{printf "%5d  %8.2f  %12.2f  %5.2f\n", $1, $2, $3, $3 / $2}' | tee -a "$work/rounds"
done
awk '{print $4}' "$work/rounds" | sort -n |
  awk '{r[NR] = $1} END {printf "ratio: median %.2f, from %.2f to %.2f\n", r[int((NR + 1) / 2)], r[1], r[NR]}'
