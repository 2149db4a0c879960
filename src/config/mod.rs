//! `gateway.toml` as written: plain data, with every default filled in and every fault reported at
//! once.
//!
//! - `report`: values with their location, and the faults of a file. `syntax`: TOML syntax errors.
//! - `read`: reads tables key by key. `names`: misspelt names. `hints`: other mistakes.
//! - `value_type`: the type of a key's value. `scalars`, `addresses`, `unix_path`, `units`, `secret`:
//!   types that several tables share.
//! - `declare`: the macro that declares a table. `server` with `http_proxy`, `cors`, `listener`, `admin`,
//!   `telemetry`, `fleet`, `revocations`, `development`, `issuer` with `endpoints`, `introspection` and `provider`, `upstream`, `limit`, `route` with `respond`:
//!   the tables. Each key is declared once.
//! - `presets`: the keys that `provider` fills in, from `providers/*.toml`, before the tables are read.
//! - `reference`: records the declarations while tables are read. `schema`, `markdown`: render the
//!   record for editors and for people.
//!
//! 1. One run reports every fault. After a syntax error, keys are not checked: half-read tables
//!    would lead to false reports.
//! 2. An unknown key is an error: a misspelt `scope` must not leave a route open.
//! 3. The checks here need only the file and its secrets. The compiler checks patterns, scopes and
//!    overlaps of routes, and reports them at the locations stored here.
//! 4. A secret is never printed, valid or not.

mod addresses;
mod admin;
mod claim_rule;
mod cors;
mod declare;
mod development;
mod endpoints;
mod fleet;
mod header_rules;
mod hints;
mod http_proxy;
mod introspection;
mod issuer;
mod limit;
mod listener;
mod markdown;
mod mcp;
mod mismatch;
mod names;
mod owned_headers;
mod presets;
mod provider;
mod read;
mod reference;
mod report;
mod resource;
mod respond;
mod revocations;
mod route;
mod scalars;
mod schema;
mod scope_claim;
mod secret;
mod server;
mod step_up;
mod syntax;
mod telemetry;
mod tenants;
#[cfg(test)]
mod tests;
mod token_source;
mod units;
mod unix_path;
mod upstream;
mod value_type;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use addresses::{ClientNetwork, ListenAddress};
pub use admin::Admin;
pub use claim_rule::{ClaimRule, ClaimTest};
pub use cors::{Cors, RouteCors};
pub use development::{Development, DevelopmentClient};
pub use endpoints::{Discovery, KeySource};
pub use fleet::{Fleet, RedisUrl};
pub use header_rules::{RequestHeaders, ResponseHeaders};
pub use hints::{
    host as host_hint, path as path_hint, placeholder_hint, reference as reference_hint,
    url as url_hint,
};
pub use http_proxy::HttpProxy;
pub use introspection::{Authentication, ClientSecret, Introspection};
pub use issuer::{AUDIENCE, Audience, Issuer};
pub use limit::{Limit, LimitKey};
pub use listener::{Certificate, Listener, ListenerTls};
pub use mcp::{Mcp, Tool};
pub use names::did_you_mean;
pub use owned_headers::{
    canonical_spelling, holds_credential, request_header_refusal, response_header_refusal,
};
pub use presets::{AppliedPreset, PresetKey};
pub use report::{Fault, Report, Source, Spanned};
pub use resource::{Resource, ResourceUrl};
pub use respond::Respond;
pub use revocations::Revocations;
pub use route::{Access, ClaimHeader, Route};
pub use scope_claim::{ScopeClaim, ScopeClaimTable};
pub use secret::{Secret, SecretOrigin};
pub use server::{Challenge, Log, Server};
pub use step_up::StepUp;
pub use telemetry::Telemetry;
pub use tenants::Tenants;
pub use token_source::TokenSource;
pub use units::SizeLimit;
pub use upstream::{Health, Outlier, Target, TargetAddress, Upstream, UpstreamHost};

use crate::files::{self, FileError, MAX_CONFIGURATION};
use declare::table;
use read::{File, Table};
use reference::{TableReference, key};
use route::{Declarations, DeclaredNames};

table! {
    /// The configuration of scopegate. Durations are "250ms", "30s", "5m", "1h"; sizes "16KiB". A
    /// list with one element may be that element alone. Relative paths start in the file's folder.
    pub struct Config {
        fn read(table, declared: &Declarations) -> Self;

        /// Client connections, and the limits of requests.
        pub server: Server = table(Server::read),
        /// Addresses that accept client connections, beside or instead of `server.listen`.
        pub listeners: Vec<Listener> = computed(listeners(table, &server)),
        /// The listener for health checks and metrics: `/livez`, `/readyz`, `/metrics`. Without it,
        /// there is none.
        pub admin: Option<Admin> = optional_table(Admin::read),
        /// An authorization server and an echo upstream in the gateway's own process, for trials.
        /// Every listener of the file must then be on a loopback address. Without it, neither is
        /// started.
        pub development: Option<Development> = optional_table(Development::read),
        /// The event log and the access log.
        pub log: Log = table(Log::read),
        /// The export of traces.
        pub telemetry: Telemetry = table(Telemetry::read),
        /// Which pages of other origins may use the API, on all routes without a `cors` of their
        /// own. Without it, the gateway leaves CORS to the upstreams.
        pub cors: Option<Cors> = optional_table(Cors::read),
        /// Several gateways as one, over Redis 7 or Valkey 8. Without it, a gateway shares nothing.
        /// A change needs a restart.
        pub fleet: Option<Fleet> = optional_table(Fleet::read),
        /// What `WWW-Authenticate` contains in addition to the error code.
        pub challenge: Challenge = table(Challenge::read),
        /// Revocation of tokens before they expire: by `scopegate revoke` or `POST /revocations` on the
        /// admin listener. Without it, a token is accepted until it expires.
        pub revocations: Option<Revocations> = optional_table(Revocations::read),
        /// Issuers whose access tokens are accepted. NAME is a name of your choice.
        pub issuers: Vec<Issuer> = named_tables({
            let has_resources = table.has("resources");
            move |table, name| Issuer::read(table, name, has_resources)
        }),
        /// Services that permitted requests are forwarded to. NAME is a name of your choice.
        pub upstreams: Vec<Upstream> = named_tables(Upstream::read),
        /// How many requests clients may send. NAME is a name of your choice.
        pub limits: Vec<Limit> = named_tables(Limit::read),
        /// Which requests are permitted, and where they go. A route is public only if it says so.
        pub routes: Vec<Route> = tables(|route| Route::read(route, declared)),
        /// Protected resources (RFC 9728).
        pub resources: Vec<Resource> = computed(resource::resources(table)),
    }
}

/// Why a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run the gateway, and to reload the file when it changes: every secret must be present.
    Run,
    /// To explain one request as the gateway would decide it: every secret must be present.
    Try,
    /// To check it, on a laptop or for a pull request: secrets may be missing.
    CheckOnly,
}

/// Reads the file at `path` to run the gateway.
///
/// # Errors
/// All faults of the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<(Config, Source), Report> {
    load_with_checks(path, Purpose::Run, &|_, _| Vec::new())
}

/// Finds more faults in a configuration, some of whose tables may be unreadable. Gets the faults so
/// far.
pub type FurtherChecks<'c> = dyn Fn(&Config, &[Fault]) -> Vec<Fault> + 'c;

/// As [`load`], with further `checks`, so that one run also reports the faults of compiling.
///
/// # Errors
/// All faults of the file, or why it cannot be read.
pub fn load_with_checks(
    path: &Path,
    purpose: Purpose,
    checks: &FurtherChecks<'_>,
) -> Result<(Config, Source), Report> {
    let file_name = path.display().to_string();
    let unreadable = |text: &str, fault| Source::new(&file_name, text).report(vec![fault]);
    let bytes = match purpose {
        Purpose::Run => files::read(path, MAX_CONFIGURATION),
        Purpose::Try | Purpose::CheckOnly => files::read_once(path, MAX_CONFIGURATION),
    };
    let bytes = bytes.map_err(|error| {
        let fault = Fault::of_file(format!("expected a file to read, but found {error}"));
        let help = match &error {
            FileError::Unreadable { .. } => None,
            FileError::NotRegular(_) => {
                Some("reloads read it again, so it must be a file, or a link to one")
            }
            FileError::TooLarge(_) => {
                Some("routes that differ in a segment only can be one with {name}")
            }
        };
        unreadable(
            "",
            Fault {
                help: help.map(str::to_owned),
                ..fault
            },
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let fault = Fault::of_file("expected UTF-8, but found other bytes");
        unreadable(
            &String::from_utf8_lossy(error.as_bytes()),
            Fault {
                span: Some(offset..offset),
                ..fault
            },
        )
    })?;
    parse_with_checks(&file_name, &text, purpose, &environment, checks)
}

/// Parses the text of the file `file_name`; relative paths start in that file's folder.
///
/// # Errors
/// All faults of the text.
pub fn parse(file_name: &str, text: &str) -> Result<(Config, Source), Report> {
    parse_with(file_name, text, &environment)
}

/// As [`parse`], with `variable` instead of the environment.
///
/// # Errors
/// All faults of the text.
pub fn parse_with(
    file_name: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, Source), Report> {
    parse_with_checks(file_name, text, Purpose::Run, variable, &|_, _| Vec::new())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn parse_with_checks(
    file_name: &str,
    text: &str,
    purpose: Purpose,
    variable: &dyn Fn(&str) -> Option<String>,
    checks: &FurtherChecks<'_>,
) -> Result<(Config, Source), Report> {
    let source = Source::new(file_name, text);
    let (mut document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(source.report(syntax::faults(&errors, text)));
    }
    let source = source.with_presets(presets::fill_in(document.get_mut()));
    let folder = Path::new(file_name)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned();
    let file = File {
        folder,
        purpose,
        variable,
        is_recording: false,
        faults: RefCell::default(),
        warnings: RefCell::default(),
    };
    let (config, _) = file.read(document.get_ref(), Config::read_document);
    let mut faults = file.faults.into_inner();
    let warnings = file.warnings.into_inner();
    if faults.is_empty() {
        return Ok((config, source.with_warnings(warnings)));
    }
    let more = checks(&config, &faults);
    faults.extend(more);
    Err(source.report(faults))
}

impl Config {
    /// The value that puts a route into shadow mode; `None` if the route refuses requests.
    #[must_use]
    pub fn unenforced_by<'c>(&'c self, route: &'c Route) -> Option<&'c Spanned<bool>> {
        let is_public = route.access == Access::Public;
        route
            .enforce
            .as_ref()
            .or(self.server.enforce.as_ref())
            .filter(|enforce| !enforce.value && !is_public)
    }

    /// The `cors` that applies to a route, if the gateway has one for it.
    #[must_use]
    pub fn cors_of<'c>(&'c self, route: &'c Route) -> Option<&'c Cors> {
        match &route.cors {
            RouteCors::Inherited => self.cors.as_ref(),
            RouteCors::Off => None,
            RouteCors::Own(own) => Some(own),
        }
    }

    /// Whether clients can connect by a Unix socket.
    #[must_use]
    pub fn has_unix_listener(&self) -> bool {
        let mut addresses = self.listeners.iter().map(|one| &one.address.value);
        addresses.any(|address| address.ip().is_none())
    }

    /// The address of the admin listener, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.listen.value)
    }

    fn read_document(table: &mut Table<'_>) -> Self {
        let declared = Declarations {
            issuers: DeclaredNames::new(table.names("issuers")),
            upstreams: DeclaredNames::new(table.names("upstreams")),
            limits: DeclaredNames::new(table.names("limits")),
        };
        let config = Self::read(table, &declared);
        let development = config.development.as_ref();
        if let Some(development) = development {
            development.refuse_public_addresses(table, &config.listeners, config.admin.as_ref());
        }
        let own = config.admin.iter().map(|admin| &admin.listen).chain(
            development
                .into_iter()
                .flat_map(|one| [&one.listen, &one.echo]),
        );
        let own: Vec<_> = own
            .map(|address| address.with_value(ListenAddress::Ip(address.value)))
            .collect();
        let addresses = config.listeners.iter().map(|listener| &listener.address);
        let addresses = addresses.chain(&own);
        listener::refuse_untrusted_headers(
            table,
            &config.listeners,
            &config.server.trusted_proxies,
        );
        listener::refuse_impossible_redirects(
            table,
            &config.listeners,
            config.server.external_url.as_ref(),
        );
        listener::refuse_collisions(table, &addresses.collect::<Vec<_>>());
        config
    }
}

/// `server.listen` first, then `[[listeners]]`: at least one.
fn listeners(table: &mut Table<'_>, server: &Server) -> Vec<Listener> {
    let key = key(
        "listeners",
        "Addresses that accept client connections, beside or instead of `server.listen`.",
    );
    let declared = table.tables(key, Listener::read);
    let is_written = server.listen.iter().any(Spanned::is_written);
    let plain: &[_] = if table.has(key.name) && !is_written {
        // `[[listeners]]` replaces the default of `server.listen`.
        &[]
    } else {
        &server.listen
    };
    let plain = plain.iter().cloned().map(Listener::plain);
    plain.chain(declared).collect()
}

/// The declarations of all tables: reading an empty file reads every key.
fn reference() -> TableReference {
    let file = File {
        folder: PathBuf::new(),
        purpose: Purpose::CheckOnly,
        variable: &|_| None,
        is_recording: true,
        faults: RefCell::default(),
        warnings: RefCell::default(),
    };
    file.read(&DeTable::new(), Config::read_document).1
}

/// The JSON Schema (draft 2020-12) of gateway.toml.
///
/// It accepts every file that reading accepts. It cannot check bounds of durations and sizes,
/// declared names and the presence of secrets.
#[must_use]
pub fn schema() -> String {
    schema::render(&reference())
}

/// The reference of gateway.toml in Markdown: a section for each table.
#[must_use]
pub fn markdown() -> String {
    markdown::render(&reference())
}
