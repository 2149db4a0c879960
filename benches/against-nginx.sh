#!/usr/bin/env bash
# What does an authenticated request through scopegate cost, beside an unauthenticated one through a bare nginx proxy?
#
# Both proxies have one worker, no access log and the same upstream. Rounds are interleaved. What is printed is CPU time
# per request, and the ratio of the two in each round: that holds when the machine's speed drifts.
#
#   benches/against-nginx.sh [ROUNDS] [SECONDS]        needs nginx, wrk, taskset, curl and two cores
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} seconds=${2:-3}
. benches/measure.sh

nginx_conf proxy "upstream up { server 127.0.0.1:19081; keepalive 256; keepalive_requests 100000000; }
  server { listen 127.0.0.1:18081 backlog=4096; location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ''; } }"
start_upstream
taskset -c 0 nginx -c "$work/proxy.conf" & pids+=($!); nginx=$!
start_gateway scopegate 18080 19080 '' ''; scopegate=$!
await 18080 18081 19080
token=$(token_from 19080)
expect_status 200 18080 "$token"
expect_status 401 18080

# The same headers go to both.
compare nginx "$nginx" 18081 "$token" scopegate "$scopegate" 18080 "$token"
