#!/usr/bin/env bash
# What does an authenticated request through scopegate cost over TLS and over HTTP/2, beside an unauthenticated one through
# bare nginx and bare HAProxy, where they are installed?
#
# All proxies have one worker, no access log and the same upstream of HTTP/1.1; h2load keeps 64 connections, with 4 streams
# on each over HTTP/2. Rounds are interleaved. What is printed is CPU time per request, and the ratios in each round.
#
#   benches/protocols.sh [ROUNDS] [SECONDS]        needs nginx, h2load, openssl, wrk, taskset, curl and two cores
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-2}
. benches/measure.sh
for tool in h2load openssl; do
  command -v "$tool" >/dev/null || { echo "SKIPPED: $tool is not installed" >&2; exit 0; }
done

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
  -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"

# Ports: plain, over TLS, h2c where that has one of its own.
start_upstream
start_gateway scopegate 18080 19080 '' "
[[listeners]]
address = \"127.0.0.1:18443\"
tls = { certificates = [{ certificate = \"$work/cert.pem\", key = \"$work/key.pem\" }] }
"
scopegate=${pids[-1]}
to_upstream="location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; }"
tls="ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;"
nginx_conf proxy "upstream up { server 127.0.0.1:19081; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:18081 backlog=4096; $to_upstream }
  server { listen 127.0.0.1:18082 http2 backlog=4096; $to_upstream }
  server { listen 127.0.0.1:18444 ssl http2 backlog=4096; $tls $to_upstream }"
taskset -c 0 nginx -c "$work/proxy.conf" & nginx=$!; pids+=("$nginx")
proxies="scopegate nginx"
await 18080 18081 19080
if command -v haproxy >/dev/null; then
  cat >"$work/haproxy.cfg" <<CONF
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend all
  bind 127.0.0.1:18083
  bind 127.0.0.1:18084 proto h2
  bind 127.0.0.1:18445 ssl crt $work/both.pem alpn h2,http/1.1
  default_backend up
backend up
  server up 127.0.0.1:19081 pool-max-conn 256
CONF
  taskset -c 0 haproxy -f "$work/haproxy.cfg" -db -q & haproxy=$!; pids+=("$haproxy")
  proxies="$proxies haproxy"
  await 18083
else
  echo "LEFT OUT: haproxy is not installed" >&2
fi
token=$(token_from 19080)
expect_status 200 18080 "$token"
expect_status 401 18080

url() { # PROXY CASE
  case "$1 $2" in
    "scopegate h1" | "scopegate h2c") echo "http://127.0.0.1:18080$path" ;;
    "nginx h1") echo "http://127.0.0.1:18081$path" ;;
    "nginx h2c") echo "http://127.0.0.1:18082$path" ;;
    "haproxy h1") echo "http://127.0.0.1:18083$path" ;;
    "haproxy h2c") echo "http://127.0.0.1:18084$path" ;;
    scopegate*) echo "https://127.0.0.1:18443$path" ;;
    nginx*) echo "https://127.0.0.1:18444$path" ;;
    haproxy*) echo "https://127.0.0.1:18445$path" ;;
  esac
}

load() { # PROXY CASE -> CPU microseconds a request
  local before after requests protocol
  case "$2" in h1*) protocol="--h1" ;; *) protocol="-m4" ;; esac
  before=$(ticks "${!1}")
  taskset -c 1 h2load -c$connections -t1 $protocol -D "$seconds" -H "Authorization: Bearer $token" "$(url "$1" "$2")" \
    >"$work/h2load" 2>&1
  after=$(ticks "${!1}")
  requests=$(awk '/^status codes:/ {print $3}' "$work/h2load")
  [ "${requests:-0}" -gt 0 ] || { cat "$work/h2load" >&2; exit 1; }
  awk '/^status codes:/ && ($5 + $7 + $9 > 0) {print "not all were answered with 2xx:", $0}' "$work/h2load" >&2
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" 'BEGIN {printf "%.2f", ticks / hz * 1e6 / n}'
}

middle() { sort -n | awk '{v[NR] = $1} END {printf "%.2f (%.2f to %.2f)", v[int((NR + 1) / 2)], v[1], v[NR]}'; }

for case in h1 h1-tls h2c h2-tls; do
  for proxy in $proxies; do load "$proxy" "$case" >/dev/null; done # warm
  for round in $(seq "$rounds"); do
    for proxy in $proxies; do echo "$proxy $(load "$proxy" "$case")"; done | tee -a "$work/$case.all" >"$work/round"
    ours=$(awk '$1 == "scopegate" {print $2}' "$work/round")
    awk -v ours="$ours" '$1 != "scopegate" {print $1, ours / $2}' "$work/round" >>"$work/$case.ratios"
  done
  echo "$case:"
  for proxy in $proxies; do
    echo "  $proxy: $(awk -v p="$proxy" '$1 == p {print $2}' "$work/$case.all" | middle) µs a request"
  done
  for proxy in ${proxies#scopegate}; do
    echo "  scopegate / $proxy: $(awk -v p="$proxy" '$1 == p {print $2}' "$work/$case.ratios" | middle)"
  done
done
