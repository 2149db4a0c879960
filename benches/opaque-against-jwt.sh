#!/usr/bin/env bash
# What does a request with an opaque token cost that was asked about before, beside one with a JWT that was verified
# before?
#
# Two gateways, alike but for how they judge, with one worker each and the same upstream. Rounds are interleaved.
#
#   benches/opaque-against-jwt.sh [ROUNDS] [SECONDS]   needs nginx, wrk, taskset, curl and two cores
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} seconds=${2:-3}
. benches/measure.sh

start_upstream
start_gateway jwt 18080 19080 '' ''; jwt=$!
start_gateway opaque 18081 19083 'token_format = "opaque"' 'validation = "introspection"
[issuers.development.introspection]
client_id = "test"
client_secret = "test"'; opaque=$!
await 18080 18081 19080 19083
jwt_token=$(token_from 19080) opaque_token=$(token_from 19083)
expect_status 200 18080 "$jwt_token"
expect_status 200 18081 "$opaque_token"
expect_status 401 18081 "$jwt_token"

compare jwt "$jwt" 18080 "$jwt_token" opaque "$opaque" 18081 "$opaque_token"
