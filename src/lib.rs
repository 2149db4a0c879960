//! scopegate: a reverse proxy that forwards a request only if its OAuth 2.0 bearer token permits
//! it.
//!
//! This page is the architecture: the rooms (modules), the path of one request, the threads, the
//! words, and the invariants with what holds each of them. The pages in `docs` explain how to use
//! scopegate. `SECURITY.md` is the threat model.
//!
//! # Rooms
//!
//! Each room imports only rooms listed in its row, and the four ground rooms: `values`, `text`,
//! `sync` and `client_limits`. No arrow points up. The test
//! `every_room_stands_in_the_table_of_the_tour` compares this table with the rule that
//! `every_room_imports_only_those_below_it` checks on the source.
//!
//! | room | what it does | may import |
//! |---|---|---|
//! | [`values`] | closed sets of configuration values, and their spelling | nothing |
//! | [`text`] | quotes and truncates untrusted text for messages | nothing |
//! | [`sync`] | one policy for poisoned locks; a counter of changes | nothing |
//! | [`client_limits`] | client addresses, which of them count as one client, and a client's share of a limit | nothing |
//! | [`oauth`] | terms of the RFCs: bearer tokens, scopes, claims, JOSE, challenges | nothing |
//! | [`files`] | reads files named by the operator, whole and bounded | nothing |
//! | [`http_client`] | HTTP client for authorization servers and the span collector, and its proxy: bounded, no redirects | nothing |
//! | [`config`] | parses `gateway.toml`; every value has its position | `files` |
//! | [`clock`] | wall time, monotonic time, deadlines, backoff | `oauth` |
//! | [`transport`] | connections on either side: TLS, timeouts, HTTP/2 frame limits, tunnels | `clock`, `files` |
//! | [`policy`] | normal paths, hosts, routes, requirements, the decision | `oauth` |
//! | [`rate_limits`] | token buckets over bounded keys, and the response fields about them | `oauth` |
//! | [`telemetry`] | access log, event log, metrics, spans | `oauth`, `policy`, `clock`, `http_client` |
//! | [`revocation`] | what is revoked before it expires: the store, its file, its digests | `oauth`, `clock` |
//! | [`fleet`] | what several gateways share over Redis: the stream of revocations, how old it is, limits and introspection responses | `oauth`, `clock`, `telemetry`, `transport`, `revocation`, `verify`, `rate_limits` |
//! | [`verify`] | token verification: JWKS, signatures, introspection, token cache | `oauth`, `telemetry`, `clock`, `http_client`, `revocation` |
//! | [`upstream`] | load balancing, connection pools, retries, HTTP/1.1 and HTTP/2 clients | `oauth`, `policy`, `telemetry`, `clock`, `transport` |
//! | [`gateway`] | compiles the configuration; handles one request from head to response | `oauth`, `files`, `config`, `clock`, `http_client`, `transport`, `policy`, `telemetry`, `revocation`, `verify`, `upstream`, `rate_limits`, `fleet` |
//! | [`server`] | listeners, workers, client connections, eviction, drain | `gateway`, `config`, `clock`, `transport`, `telemetry` |
//! | [`reload`] | replaces the active configuration | `gateway`, `config`, `clock`, `server`, `transport`, `telemetry` |
//! | [`admin`] | `/livez`, `/readyz`, `/metrics` and `/revocations` on a listener of their own | `gateway`, `clock`, `telemetry`, `oauth`, `revocation`, `verify`, `upstream`, `rate_limits`, `fleet`, `server`, `reload` |
//! | `dev` | development authorization server and echo upstream (feature `development`) | `oauth`, `clock`, `transport`, `verify` |
//! | [`cli`] | command line; starts the control plane | everything |
//!
//! Inside a room the files form no circle (`files_form_no_circle`). [`upstream`] describes its own
//! floors.
//!
//! # One request
//!
//! 1. **Accept.** [`server`] accepts the connection, selects HTTP/1.1 or HTTP/2, and reads the
//!    head. A [`TimeoutStream`](transport::TimeoutStream) ends the connection of a silent client.
//! 2. **Judge** (`gateway/judge.rs`). [`Gate::handle`](gateway::Gate::handle) takes the active
//!    [`Snapshot`](gateway::Snapshot) and runs `STEPS` in order, mainly: framing and host (`admission`),
//!    the [`NormalPath`](policy::path::NormalPath), the route
//!    ([`RouteTable::find`](policy::route_table::RouteTable::find)), the token
//!    ([`bearer::extract`](oauth::bearer::extract), then
//!    [`Verifier::verify`](verify::Verifier::verify)), the message where an MCP server is behind the
//!    route, and the decision ([`decide`](policy::decision::decide)). A step continues, permits, replies or
//!    refuses. It writes what it learns into `Facts`.
//! 3. **Prepare** (`gateway/prepare.rs`). Removes and sets headers, rewrites the target, and adds
//!    claim headers. The result is `Prepared`.
//! 4. **Forward** (`gateway/forward.rs`). [`Upstream::send`](upstream::Upstream::send) consumes the
//!    [`Permit`](policy::decision::Permit). It selects an endpoint, takes or opens a connection,
//!    and returns the response head. [`Upstream::upgrade`](upstream::Upstream::upgrade) does the
//!    same for a request to switch protocols; a [`Tunnel`](gateway::Tunnel) follows a 101.
//! 5. **Respond** (`gateway/respond.rs`). Turns a [`Refusal`](gateway::Refusal) into a response.
//!    The `WWW-Authenticate` header of a 401 or 403 is written here. An upstream's response
//!    streams.
//! 6. **Record.** The [`Record`](telemetry::Record) of the request goes to the access log, the
//!    metrics and the spans when it is dropped: with the [`ResponseBody`](gateway::ResponseBody),
//!    with the tunnel, or when the client disconnects.
//!
//! `scopegate explain` runs the same `judge` and `prepare` through [`DryRun`](gateway::DryRun) and
//! forwards nothing. The hot path does not know of it. The details of its report come from
//! [`claims`](oauth::claims), [`Verifier::examine`](verify::Verifier::examine) and
//! [`RouteMatch`](policy::route_table::RouteMatch).
//!
//! # Where to look
//!
//! | question | file | function |
//! |---|---|---|
//! | Which checks does every request pass? | `gateway/judge.rs` | `STEPS` |
//! | Where is the challenge of a 401 or 403 written? | `gateway/respond.rs` | `challenge` |
//! | Where is a request header removed? | `upstream/headers.rs` | `rewrite_request` |
//! | What does a Security Event Token revoke? | `oauth/security_event.rs` | `SecurityEventClaims::check` |
//! | Which message to an MCP server is refused? | `policy/mcp/message.rs` | `Message::parse` |
//! | Which endpoint gets a request? | `upstream/load_balancer.rs` | `LoadBalancer::select` |
//! | Which requests share the bucket of a rate limit? | `rate_limits/key.rs` | `KeyPart` |
//! | Which buckets does a worker find without a search? | `rate_limits/worker_limits.rs` | `WorkerLimits::bucket` |
//! | Which idle HTTP/1.1 connection is used? | `upstream/endpoint/http1_pool.rs` | `Http1Pool::take` |
//! | Is a failed attempt retried? | `upstream/retry.rs` | `Attempts::retry_after` |
//! | When is a JWKS fetched again? | `verify/key_ring.rs` | `KeyRing::refresh` |
//! | Which tenant does a token select? | `verify/tenants.rs` | `Tenants::find` |
//! | Where is a token looked up before it is verified? | `verify/cache/connection.rs` | `ConnectionCache::find` |
//! | Which timeout of a connection is armed? | `transport/connection_state.rs` | `ConnectionState` |
//! | How does a timeout work? | `clock/deadline.rs` | `Deadline::arm` |
//! | Which idle client connection is closed to make room? | `server/eviction.rs` | `OpenConnections::evict` |
//! | Where is a line of the access log written? | `telemetry/access_line.rs` | `write` |
//! | Where is a configuration key declared? | `config/`, one file per table | e.g. `config/route.rs` |
//!
//! # Two planes
//!
//! **Data plane.** Each worker is one thread with its own runtime, listening sockets and upstream
//! connections; `workers` in `[server]` sets how many. A request stays on its thread. The task that
//! serves the client also exchanges with an HTTP/1.1 upstream. These have tasks of their own: each
//! stream of an HTTP/2 client, an upload that continues after its response, each upload over HTTP/2,
//! and each HTTP/2 connection to an upstream.
//!
//! **Control plane.** One runtime on the main thread fetches JWKS, sends introspection requests,
//! resolves names, runs health checks, reloads the configuration, and serves the admin listener and
//! the development servers.
//!
//! The planes share the [`SharedSnapshot`](gateway::SharedSnapshot), the key rings, each
//! [`SharedUpstream`](upstream::SharedUpstream) and the [`TokenCache`](verify::TokenCache). A
//! request waits for the control plane in two cases: no known key verifies its token, or it needs an
//! introspection request. [`Reloader`](reload::Reloader) publishes a new snapshot; requests in
//! flight keep the old one.
//!
//! # Locks
//!
//! Configuration, keys and endpoints are read with atomic loads; a worker's own state needs no
//! lock. These files hold every `Mutex` and `RwLock` of the crate
//! (`every_lock_is_in_the_table_of_the_tour`).
//!
//! | file | when it is locked | on the request path |
//! |---|---|---|
//! | `telemetry::sink` | a log line is appended; the writer thread swaps the buffer | each logged request; each worker has its own buffer |
//! | `telemetry::requests` | a route's first request with this method, status and outcome; a scrape; a reload | rarely |
//! | `telemetry::throttle` | an event whose log lines are rate-limited | only with such an event |
//! | `telemetry` | workers and listeners register; a scrape | no |
//! | `telemetry::spans` | the result of an export | no |
//! | `verify::introspection::coalescing` | a token needs an introspection request: equal ones share it | only cache misses and renewals |
//! | `verify::introspection::circuit_breaker` | an introspection request starts or ends | only cache misses and renewals |
//! | `verify::introspection::own_token` | the gateway needs its own token for introspection | no; its request runs on the control plane |
//! | `verify::discovery` | authorization server metadata is needed | no; it is fetched on the control plane |
//! | `verify::tenants` | a token of a tenant is verified, or its keys changed; a scrape | only cache misses of issuers with `tenants` |
//! | `verify::failures` | a request to an authorization server ends | no |
//! | `revocation::entries` | a revocation is added or expires; a token's digests are looked up | only when a token is verified, and when the epoch has advanced |
//! | `fleet::status` | a connection to Redis fails; readiness and a scrape | no |
//! | `upstream::stats` | an ejection starts or ends; workers register; a scrape | only with such an event |
//! | `upstream::endpoint::list` | the control plane replaces the endpoints | no |
//! | `server::clients` | a connection opens or closes, to count it for its client | no; twice per connection, if clients have a limit |
//! | `server::connection_limit` | the limit changes, or is logged | no |
//! | `server::eviction` | no connection is free: one worker at a time asks for an eviction | no |
//! | `admin::connections` | a connection to the admin listener changes its stage | no |
//! | `reload` | the result of the last reload | no |
//! | `dev::access_tokens` | the development authorization server issues or revokes a token | no |
//! | `dev::authorization_codes` | it opens a consent page, or issues or redeems a code | no |
//! | `dev::clients` | it registers or finds a client | no |
//!
//! `moka` also locks inside each [`Limit`](rate_limits::Limit), for the first request of a client.
//!
//! `sync` defines the helper that locks. `moka` locks inside `TokenCache`, which a worker asks only
//! for tokens that are in neither its connection's cache nor its own.
//!
//! # Glossary
//!
//! - **access log**: one line per request; see [`RequestLog`](telemetry::RequestLog) and `access.rs`.
//! - **[active token](oauth::claims::ActiveToken)**: claims that passed every check of their issuer.
//! - **admission**: the first checks of a request: unambiguous framing and one host.
//! - **authorization server**: issues tokens, publishes JWKS, responds to introspection requests.
//! - **[bearer token](oauth::bearer::BearerToken)**: the token text of one request (RFC 6750).
//! - **[challenge](oauth::challenge::Challenge)**: the value of `WWW-Authenticate`.
//! - **circuit breaker**: suspends introspection requests to a server that fails.
//! - **[claims](oauth::claims::Claims)**: the JSON object that a token or an introspection response holds.
//! - **client address**: the peer, or what a [trusted proxy](gateway::Networks) forwarded; `unix` for a
//!   [peer of a Unix socket](client_limits::ClientAddress).
//! - **[ConnectionState](transport::ConnectionState)**: what a connection waits for, and thus which timeout holds.
//! - **[deadline](clock::Deadline)**: one timeout in the table of a worker's [`Ticker`](clock::Ticker).
//! - **[denial](policy::decision::Denial)**: why `decide` gave no permit.
//! - **drain**: no new connections, and a bounded time for the open ones to end.
//! - **ejection**: an endpoint gets no requests for a while after failures to connect, or, with
//!   `outlier`, after failed responses.
//! - **endpoint**: one address of a [target](upstream::Target), shared by all workers.
//! - **EndpointState**: one worker's view of an endpoint: pool, ejection, load.
//! - **[egress proxy](http_client::EgressProxy)**: carries requests to authorization servers, if
//!   `http_proxy` says so.
//! - **[epoch](verify::Epoch)**: a number that advances when keys or issuers change, or something is revoked.
//! - **eviction**: the longest idle client connection closes to make room for a new one.
//! - **exchange**: one request and its response on one connection.
//! - **Facts**: what the steps of `judge` learned of one request.
//! - **[Gate](gateway::Gate)**: serves the requests of one worker.
//! - **fleet**: gateways that share revocations, limits and introspection responses over Redis or Valkey; see [`fleet`].
//! - **health check**: the control plane's periodic request to an endpoint ([`HealthCheck`](upstream::HealthCheck)).
//! - **InFlight**: a guard that counts a request in flight until it is dropped.
//! - **[interim response](transport::Interim)**: a 1xx response before the final one.
//! - **[introspection response](oauth::introspection::IntrospectionResponse)**: the response of RFC 7662: active or not.
//! - **[issuer](verify::Issuer)**: one `[issuers.NAME]`: its keys, its introspection, and what its tokens must claim.
//! - **[JWKS](oauth::jose::Jwks)**: the key set that an issuer publishes (RFC 7517).
//! - **[KeyRing](verify::KeyRing)**: an issuer's keys over time, fetched again as they age.
//! - **[Liveness](server::Liveness)**: whether every worker's event loop still runs.
//! - **[NormalPath](policy::path::NormalPath)**: the one spelling of a path that is matched and forwarded.
//! - **[operation](policy::mcp::Operation)**: what a request asks an MCP server to do: a method, and the
//!   name of a tool, a prompt or a resource.
//! - **[Permit](policy::decision::Permit)**: proof that a request was decided; forwarding consumes it.
//! - **pool**: one worker's connections to one endpoint.
//! - **[rate limit](rate_limits::Limit)**: one `[limits.NAME]`: how many requests a client may send. A
//!   bucket counts those that have the key of the limit in common.
//! - **[resource](policy::resource::Resource)**: a protected resource, whose URL is the audience of the routes below it.
//! - **[Record](telemetry::Record)**: what is logged and counted of one request.
//! - **[Refusal](gateway::Refusal)**: why the gateway responds itself instead of forwarding.
//! - **[Requirement](policy::requirement::Requirement)**: what a route demands: nothing, or a token with scopes.
//! - **retry budget**: limits retries to a share of the requests.
//! - **[RouteTable](policy::route_table::RouteTable)**: all routes; finds the one that a request belongs to.
//! - **[security event](oauth::security_event::SecurityEvent)**: what an authorization server reports in a
//!   Security Event Token, such as the end of a session.
//! - **[ScopeSet](oauth::scope::ScopeSet)**: the scopes that a token grants.
//! - **[RuleSet](oauth::claims::RuleSet)**: rules over claims whose outcomes verified tokens remember.
//! - **shadow mode**: a route with `enforce = false` forwards requests without a sufficient token.
//! - **[revocation](revocation::Revocation)**: ends tokens before they expire, by an entry in the store of [Revocations](revocation::Revocations).
//! - **[Snapshot](gateway::Snapshot)**: the compiled configuration: immutable, replaced as a whole.
//! - **[step-up](policy::step_up::StepUp)**: how recently and by which means the user of a token must have signed in.
//! - **[span](telemetry::Spans)**: one request in a distributed trace (OpenTelemetry).
//! - **[tenant](oauth::tenant::Tenant)**: one of several issuers of an authorization server, which differ in one segment of their URL.
//! - **[TimeoutStream](transport::TimeoutStream)**: a connection that enforces the timeouts of its state.
//! - **[tunnel](gateway::Tunnel)**: bytes in both directions after a 101.
//! - **[upstream](upstream::Upstream)**: one `[upstreams.NAME]`, as one worker uses it.
//! - **[VerifiedToken](verify::VerifiedToken)**: an entry of the token cache: facts, never a decision.
//! - **worker**: one thread of the data plane; `WorkerState` is what its connections share.
//!
//! # What holds everywhere
//!
//! Each invariant names what holds it: privacy, shown by a doc test that must not compile; a test
//! in `tests/architecture` that parses the source; or a test of the behaviour. The test
//! `every_test_that_the_tour_names_exists` checks the names.
//!
//! **No undecided request is forwarded.** `Upstream::send` and `Upstream::upgrade` take a `Permit`.
//! Only `policy::decision` can construct one: `decide`, or `unenforced` for a route in shadow mode.
//! Privacy holds it:
//!
//! ```compile_fail,E0451
//! let forged = scopegate::policy::decision::Permit { route: 0 };
//! ```
//!
//! A permit forwards one request, because it cannot be copied:
//!
//! ```compile_fail,E0382
//! use scopegate::policy::decision::Permit;
//!
//! fn forward_twice(permit: Permit) -> [Permit; 2] {
//!     [permit, permit]
//! }
//! ```
//!
//! Once it compiles:
//!
//! ```
//! use scopegate::policy::decision::Permit;
//!
//! fn forward_once(permit: Permit) -> [Permit; 1] {
//!     [permit]
//! }
//! ```
//!
//! `no_generated_request_bypasses_its_route` sends random requests over the wire.
//!
//! **An active token passed the checks of its issuer.** Only `oauth::claims` constructs an
//! `ActiveToken`. Privacy holds it:
//!
//! ```compile_fail,E0616
//! fn widen(token: &mut scopegate::oauth::claims::ActiveToken) {
//!     token.scopes = Default::default();
//! }
//! ```
//!
//! **The matched path is the forwarded path.** A path has one normal form or is refused:
//! `matched_path_is_the_forwarded_path`. A path that an upstream may read as a stricter route's
//! is refused too: `path_that_an_upstream_may_take_for_another_routes_is_refused`.
//!
//! **The message that was judged is the message that an MCP server gets.** A message has one reading
//! or is refused: `mutated_message_that_is_accepted_has_one_reading`. The same bytes are forwarded:
//! `message_is_forwarded_as_it_came_and_with_its_exact_length_however_it_is_split`.
//!
//! **The token cache holds facts, never decisions.** Every request is decided anew:
//! `cve_2021_32701_cached_token_is_checked_against_each_routes_scope`. An entry ends with its token
//! (`cached_token_expires_after_exp_and_leeway`), its key
//! (`r26_withdrawn_key_ends_its_tokens_cached_or_not`) and the
//! configuration of its issuer (`cached_tokens_end_with_the_configuration_of_their_issuer`). A token
//! remembers which rules over claims it meets, for one set of rules:
//! `cached_token_is_judged_by_the_rules_of_a_new_file`.
//!
//! **A Security Event Token is no access token, and revokes only tokens of its issuer.**
//! `event_is_no_access_token`, `access_token_is_no_event`, `event_of_one_issuer_revokes_nothing_of_another`.
//!
//! **A tenant has its own keys and cached tokens.** `token_of_a_realm_is_verified_by_keys_of_this_realm_only`,
//! `key_of_entra_is_good_for_the_tenant_that_it_names`. Invented tenants cost a bounded number of fetches
//! and no known tenant:
//! `hundred_thousand_invented_tenants_cost_a_hundred_fetches_and_harm_no_known_one`.
//!
//! **A request counts in all of its rate limits or in none, and workers share the counts.**
//! `request_that_one_limit_refuses_is_spent_in_none`, `workers_together_admit_what_one_would`,
//! `workers_that_remember_a_bucket_admit_together_what_one_would`. A forged token spends nobody's quota:
//! `forged_tokens_spend_nobodys_quota`. The gateways of a fleet share the counts:
//! `fleet_admits_at_most_five_percent_too_much_from_a_burst_of_100_on`.
//!
//! **The audience of a route's resource is judged for every request.**
//! `cached_token_of_one_resource_does_not_pass_for_the_other`. The `Host` of a request plays no part:
//! `host_of_a_request_does_not_select_the_audience`.
//!
//! **A revoked token passes nowhere, cached or not.** From the response to a revocation on:
//! `revoked_token_leaves_the_cache_of_its_connection_its_worker_and_all_workers`,
//! `renewal_in_the_background_does_not_bring_a_revoked_token_back`. A gateway that has not heard its
//! fleet refuses, if the file says so:
//! `closed_refuses_requests_with_tokens_and_no_other_and_is_not_ready`.
//!
//! **A client is not blamed for the failure of a server.** A failing authorization server or
//! upstream is a 5xx without a Bearer error:
//! `r8_invalid_introspection_response_is_a_503_and_no_token_is_logged`,
//! `issuer_without_keys_is_a_503_without_challenge_until_keys_arrive`,
//! `upstream_that_fails_before_its_response_is_a_502_or_a_504`.
//!
//! **A request sees one configuration.** A reload loses no request:
//! `thousand_reloads_under_load_lose_no_request_and_judge_each_by_one_file`. A faulty file
//! changes nothing: `faulty_file_is_rejected_with_a_reason_and_changes_nothing`.
//!
//! **Only [`clock`] reads a clock.** Other rooms take the time as an argument, or ask `clock`:
//! `only_clock_reads_a_clock`.
//!
//! **`oauth` and `policy` are pure.** They contain no IO, clock, async or log:
//! `pure_rooms_touch_no_clock_no_socket_and_no_log`.
//!
//! **`verify` and `upstream` do not know each other, nor `config`.**
//! `every_room_imports_only_those_below_it`.
//!
//! **One HTTP client calls authorization servers and the span collector.** Its limits hold for
//! JWKS, introspection, discovery and span export: `only_http_client_builds_an_http_client`. Health
//! checks of endpoints open connections of their own.
//!
//! **Every wait ends, and every input has a limit.** Clients:
//! `slow_client_times_out`, `client_that_does_not_read_times_out`,
//! `endless_head_closes_the_connection`, `hpack_bomb_is_refused`.
//! Authorization servers: `r43_server_that_hangs_or_refuses_is_a_503_in_bounded_time`. Upstreams:
//! `upstream_that_never_reads_is_a_504`,
//! `response_with_a_flood_of_headers_is_a_502`.
//!
//! **No token or secret is logged or printed.** Types that hold one do not show it in `Debug`:
//! `debug_does_not_show_the_token`, `debug_output_of_a_key_set_hides_its_secret`,
//! `debug_does_not_show_claims`,
//! `debug_output_of_arguments_hides_tokens`, `settings_do_not_print_secrets`. Over the wire:
//! `r42_tokens_appear_in_no_log_and_no_response`.
//!
//! **There is no `unsafe`.** `unsafe_code = "forbid"` in `Cargo.toml`; the compiler holds it.

pub mod admin;
pub mod cli;
pub mod client_limits;
pub mod clock;
pub mod config;
#[cfg(feature = "development")]
pub mod dev;
pub mod files;
pub mod fleet;
pub mod gateway;
pub mod http_client;
pub mod oauth;
pub mod policy;
pub mod rate_limits;
pub mod reload;
pub mod revocation;
pub mod server;
pub mod sync;
pub mod telemetry;
pub mod text;
pub mod transport;
pub mod upstream;
pub mod values;
pub mod verify;
