//! scopegate: a reverse proxy that lets a request through only with a good OAuth 2.0 bearer token.
//!
//! This is the tour of the house: what the rooms are, how a request goes through them, and what holds everywhere.
//! The pages in docs say how to use it.
//!
//! # The rooms, from the ground up
//!
//! | room | what it knows | may import, of ours |
//! |---|---|---|
//! | [`values`] | the closed sets of values that configuration keys take, with their spelling; every room may import it | nothing |
//! | [`text`] | text from outside as messages show it: bounded, in quotes; every room may import it | nothing |
//! | [`sync`] | the one policy on poisoned locks; every room may import it | nothing |
//! | [`client_limits`] | which addresses count as one client, and how much one client may take; every room may import it | nothing |
//! | [`oauth`] | the nouns of the RFCs: scopes, bearer tokens, challenges, signatures' wrapping, claims | nothing |
//! | [`files`] | the files that an operator names, read whole and bounded | nothing |
//! | [`http_client`] | the HTTP client of the control plane: responses bounded in size and time, no redirects | nothing |
//! | [`config`] | `gateway.toml` as written, with the place of every value | `files` |
//! | [`clock`] | the time, and every time-out | `oauth` |
//! | [`transport`] | sockets that are not waited for without end, TLS on either side | `clock`, `files` |
//! | [`policy`] | decisions: which path, which host, which route, what it requires | `oauth` |
//! | [`telemetry`] | one record for each request, the log, numbers, traces | `oauth`, `policy`, `clock`, `http_client` |
//! | [`verify`] | is this token active? Keys, signatures, introspection, and a cache of facts | `oauth`, `telemetry`, `clock`, `http_client` |
//! | [`upstream`] | the way of a permitted request to its upstream | `oauth`, `policy`, `telemetry`, `clock`, `transport` |
//! | [`gateway`] | where it meets: the compiled configuration, one request from top to bottom, every answer | all above |
//! | [`server`] | listeners, workers, client connections, drain | `gateway`, `config`, `clock`, `transport`, `telemetry` |
//! | [`reload`] | another configuration in the place of the one in force | `gateway`, `config`, `clock`, `server`, `transport`, `telemetry` |
//! | [`admin`] | health, readiness and metrics, on a listener of their own | `gateway`, `clock`, `telemetry`, `verify`, `upstream`, `server`, `reload` |
//! | [`cli`] | the command line and the control plane | everything |
//! | [`dev`] | a development authorization server and an echo upstream, with the feature `development`; only `cli` imports it | `oauth`, `clock`, `transport`, `verify` |
//!
//! `oauth` and `policy` are pure: no IO, no clock, no async, no log. `verify` and `upstream` never see each other, nor
//! `config`. `tests/architecture.rs` holds this table against the code.
//!
//! # One request
//!
//! 1. [`server`] accepts the connection, tells HTTP/1 from HTTP/2 and reads the head; deadlines of [`transport`] bound it all.
//! 2. [`gateway::Gate::handle`] judges it by a list of steps (`gateway/judge.rs`): unambiguous framing and one host
//!    (`admission`), a normal path ([`NormalPath`](policy::path::NormalPath)), one route
//!    ([`RouteTable::find`](policy::route_table::RouteTable::find)), an active token, a decision. What the steps learn
//!    is collected as `Facts`.
//! 3. The token step finds the token ([`bearer::extract`](oauth::bearer::extract)), and
//!    [`Verifier::verify`](verify::Verifier::verify) says whether it is active: by the cache, by the issuer's keys, or
//!    by introspection.
//! 4. [`decide`](policy::decision::decide) makes a [`Permit`](policy::decision::Permit) or a denial.
//! 5. The request is prepared (`gateway/prepare.rs`: headers, target, claim headers) and forwarded
//!    (`gateway/forward.rs`): [`Upstream::send`](upstream::Upstream::send) takes the permit and returns the response;
//!    both bodies stream. If the upstream switches protocols, a [`Tunnel`](gateway::Tunnel) follows.
//! 6. The [`Record`](telemetry::Record), made from the facts, is logged after the last byte. Whatever stopped the
//!    request is one [`Refusal`](gateway::Refusal), and `gateway/respond.rs` alone makes a response of it.
//!
//! `scopegate explain` judges and prepares a request as the gateway does, and stops there ([`gateway::DryRun`]). What it tells
//! beside the verdict comes from what the verdict is made of: the list of rules that [`claims`](oauth::claims) are judged
//! by, [`Verifier::examine`](verify::Verifier::examine), and how each [route stands](policy::route_table::RouteMatch).
//!
//! # Two planes
//!
//! The **data plane** is one thread for each core, each with a runtime of its own, its own listening sockets and its
//! own connections to the upstreams. A request is served on one thread from start to end, and where its upstream speaks
//! HTTP/1.1 by one task: the one that serves the client also writes to the upstream and reads from it; what is left of
//! a request whose answer has begun has a task of its own. The **control plane** is one runtime on the main thread:
//! signals, the fetching of keys, questions to authorization servers, the looking up and checking of upstreams, the
//! admin listener, the development servers. Workers read what it makes through a [`SharedSnapshot`](gateway::SharedSnapshot), the
//! key rings, the [`SharedUpstream`](upstream::SharedUpstream) and the cache of facts; they wait for it only when a token names a
//! key that nobody has seen yet, or has to be asked about. A [`Reloader`](reload::Reloader) publishes another snapshot
//! there; requests under way keep the one they began with. What workers count and log, each does for itself: `admin`
//! adds the numbers up, and a thread of its own writes the lines.
//!
//! # What holds everywhere
//!
//! - **Nothing undecided is forwarded.** `Upstream::send` takes a `Permit`, and only `decide` makes one, or `unenforced`
//!   where the operator has a route in shadow mode.
//! - **What is matched is what is forwarded.** A path has one normal form, which is both, or it is refused. A path that some
//!   server reads as that of a stricter route is refused as well.
//! - **The cache holds facts, never decisions.** Every rule of the route is evaluated again on a hit; a fact ends with
//!   its token, its key and its issuer's configuration.
//! - **The client is blamed for its own doing only.** An authorization server or an upstream that fails is a 5xx without
//!   a Bearer error.
//! - **Time is an argument.** Only [`clock`] reads one.
//! - **Nothing waits without end**, and every input from the network is bounded before it is parsed.
//! - **Tokens and secrets reach neither logs nor errors.** Types that hold them do not print them.

pub mod admin;
pub mod cli;
pub mod client_limits;
pub mod clock;
pub mod config;
#[cfg(feature = "development")]
pub mod dev;
pub mod files;
pub mod gateway;
pub mod http_client;
pub mod oauth;
pub mod policy;
pub mod reload;
pub mod server;
pub mod sync;
pub mod telemetry;
pub mod text;
pub mod transport;
pub mod upstream;
pub mod values;
pub mod verify;
