# What the scripts beside it share: an upstream, and CPU time per request. Not to be run, but to be read by them.
#
# What is measured runs on core 0; wrk and the upstream, an nginx that answers 256 bytes, run on core 1. CPU time is user
# and system time of a process and its children.

for tool in nginx wrk taskset curl; do
  command -v "$tool" >/dev/null || { echo "SKIPPED: $tool is not installed" >&2; exit 0; }
done
cargo build --release --quiet

connections=64
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

start_upstream() { # listens on port 19081
  local body
  body=$(head -c 256 /dev/zero | tr '\0' x)
  nginx_conf upstream "server { listen 127.0.0.1:19081 backlog=4096; location / { return 200 '$body'; } }"
  taskset -c 1 nginx -c "$work/upstream.conf" & pids+=($!)
}

start_gateway() { # NAME PORT, port of its authorization server, lines of [development], lines of the issuer
  cat >"$work/$1.toml" <<CONF
[server]
listen = "127.0.0.1:$2"
workers = 1
[log]
level = "warn"
access = false
[development]
listen = "127.0.0.1:$3"
echo = "127.0.0.1:0"
$4
[issuers.development]
issuer = "http://127.0.0.1:$3"
audience = "scopegate-development"
$5
[upstreams.bench]
targets = "http://127.0.0.1:19081"
[[routes]]
path = "/apps/{id}/messages"
scope = "messages.read"
upstream = "bench"
CONF
  taskset -c 0 target/release/scopegate --config "$work/$1.toml" >/dev/null & pids+=($!)
}

await() { # PORT...
  local port
  for port in "$@"; do
    until curl -s -o /dev/null "http://127.0.0.1:$port/"; do sleep 0.1; done
  done
}

token_from() { # port of the authorization server
  curl -s -u test:test -d grant_type=client_credentials -d scope=messages.read "http://127.0.0.1:$1/token" |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/'
}

path=/apps/com.acme/messages
expect_status() { # STATUS PORT [TOKEN]
  local found
  found=$(curl -s -o /dev/null -w '%{http_code}' ${3:+-H "Authorization: Bearer $3"} "http://127.0.0.1:$2$path")
  [ "$found" = "$1" ] || { echo "expected status $1 on port $2, but found $found" >&2; exit 1; }
}

ticks() { # user + system of a process and its children, in clock ticks
  local total=0 pid
  for pid in "$1" $(pgrep -P "$1" || true); do
    total=$((total + $(awk '{print $14 + $15}' "/proc/$pid/stat")))
  done
  echo "$total"
}

per_request() { # PID PORT TOKEN -> CPU microseconds a request
  local before after requests
  before=$(ticks "$1")
  requests=$(taskset -c 1 wrk -t1 -c$connections -d"${seconds}s" -H "Authorization: Bearer $3" \
    "http://127.0.0.1:$2$path" | tee "$work/wrk" | awk '/requests in/ {print $1}')
  ! grep -E 'Non-2xx|Socket errors' "$work/wrk" >&2
  after=$(ticks "$1")
  awk -v ticks=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$requests" 'BEGIN {printf "%.2f", ticks / hz * 1e6 / n}'
}

compare() { # NAME PID PORT TOKEN, NAME PID PORT TOKEN: rounds of both, and the ratio of the second to the first
  local round one other
  per_request "$2" "$3" "$4" >/dev/null; per_request "$6" "$7" "$8" >/dev/null # warm
  echo "round  $1 µs  $5 µs  ratio"
  for round in $(seq "$rounds"); do
    one=$(per_request "$2" "$3" "$4"); other=$(per_request "$6" "$7" "$8")
    echo "$round $one $other" | awk '{printf "%5d  %8.2f  %12.2f  %5.2f\n", $1, $2, $3, $3 / $2}' | tee -a "$work/rounds"
  done
  awk '{print $4}' "$work/rounds" | sort -n |
    awk '{r[NR] = $1} END {printf "ratio: median %.2f, from %.2f to %.2f\n", r[int((NR + 1) / 2)], r[1], r[NR]}'
}
