//! gateway.toml as written: plain data, every default filled in, every fault reported at once.
//!
//! - `report`: a value that knows its place, a fault, and all the faults of a file.
//! - `syntax`: what makes a text no TOML. `read`: tables, read key by key. `values`, `units`, `secret`: what single values look like. `names`: misspellings.
//! - `server`, `listener`, `development`, `issuer` with `endpoints` and `introspection`, `upstream`, `route`: the sections, each with
//!   its data and how it is read. `schema`: the same, told to editors.
//!
//! 1. One run reports everything. Only where the text is no TOML, its keys are not judged: half-read tables would bring
//!    faults that are none.
//! 2. A key that is not understood is refused. A misspelt `scope` must not leave a route open.
//! 3. What is judged here needs nothing but the file and its secrets. What patterns and scopes mean, and whether routes
//!    overlap, is found out where they are compiled, with the places kept here.
//! 4. A secret is never printed, right or wrong.

mod admin;
mod development;
mod endpoints;
mod hints;
mod introspection;
mod issuer;
mod listener;
mod names;
mod read;
mod report;
mod route;
mod schema;
mod secret;
mod server;
mod syntax;
mod telemetry;
#[cfg(test)]
mod tests;
mod units;
mod upstream;
mod values;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;

use toml::de::DeTable;

pub use admin::Admin;
pub use development::{Development, DevelopmentClient};
pub use endpoints::{Discovery, KeySource};
pub use hints::{host as host_hint, path as path_hint};
pub use introspection::{Authentication, ClientSecret, Introspection};
pub use issuer::{Audience, Issuer};
pub use listener::{Certificate, Listener, ListenerTls};
pub use names::did_you_mean;
pub use report::{Fault, Placed, Report, Source};
pub use route::{Access, ClaimHeader, Route};
pub use schema::SCHEMA;
pub use secret::{Secret, SecretOrigin};
pub use server::{Challenge, Log, Server};
pub use telemetry::Telemetry;
pub use upstream::{Health, Upstream, UpstreamHost};

use crate::files::{self, FileError, MAX_CONFIGURATION};
use read::{File, Table};
use route::{Declared, DeclaredNames};

/// A whole gateway.toml.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: Server,
    /// Where clients connect, at least one: `server.listen` first, then `[[listeners]]`.
    pub listeners: Vec<Listener>,
    /// `[admin]`, if there is one.
    pub admin: Option<Admin>,
    /// `[log]`.
    pub log: Log,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
    /// `[challenge]`.
    pub challenge: Challenge,
    /// `[development]`, if there is one.
    pub development: Option<Development>,
    /// Every `[issuers.NAME]`, in the order of the file.
    pub issuers: Vec<Issuer>,
    /// Every `[upstreams.NAME]`, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// Every `[[routes]]`, in the order of the file.
    pub routes: Vec<Route>,
}

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run by it, and to read it again when it changes: every secret has to be there.
    Run,
    /// To take one request by it as the gateway would: every secret has to be there.
    Try,
    /// To look at it, on a laptop or for a pull request: secrets may be missing, and what needs one is never used.
    Look,
}

/// Reads the file at `path`, to run by it.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load(path: &Path) -> Result<(Config, Source), Report> {
    load_judged(path, Purpose::Run, &|_, _| Vec::new())
}

/// Finds more faults in what could be read, beside those of reading.
pub type Judge<'j> = dyn Fn(&Config, &[Fault]) -> Vec<Fault> + 'j;

/// As [`load`], but where the file is faulty, `judge` adds the faults of what could be read: so that one run tells those
/// of reading and those of compiling.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be read.
pub fn load_judged(
    path: &Path,
    purpose: Purpose,
    judge: &Judge<'_>,
) -> Result<(Config, Source), Report> {
    let file_name = path.display().to_string();
    let unreadable = |text: &str, fault| Source::new(&file_name, text).report(vec![fault]);
    let bytes = match purpose {
        Purpose::Run => files::read(path, MAX_CONFIGURATION),
        Purpose::Try | Purpose::Look => files::read_once(path, MAX_CONFIGURATION),
    };
    let bytes = bytes.map_err(|error| {
        let fault = Fault::of_file(format!("expected a file to read, but found {error}"));
        let help = match &error {
            FileError::Unreadable { .. } => None,
            FileError::NotRegular(_) => {
                Some("what is read again for reloads has to be a file, or a link to one")
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
    parse_judged(&file_name, &text, purpose, &environment, judge)
}

/// Reads `text`, which came from the file `file_name`; relative paths in it start in that file's folder.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(file_name: &str, text: &str) -> Result<(Config, Source), Report> {
    parse_with(file_name, text, &environment)
}

/// As [`parse`], with `variable` in place of the environment.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse_with(
    file_name: &str,
    text: &str,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, Source), Report> {
    parse_judged(file_name, text, Purpose::Run, variable, &|_, _| Vec::new())
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn parse_judged(
    file_name: &str,
    text: &str,
    purpose: Purpose,
    variable: &dyn Fn(&str) -> Option<String>,
    judge: &Judge<'_>,
) -> Result<(Config, Source), Report> {
    let source = Source::new(file_name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(source.report(syntax::faults(&errors, text)));
    }
    let folder = Path::new(file_name)
        .parent()
        .unwrap_or(Path::new(""))
        .to_owned();
    let file = File {
        folder,
        purpose,
        variable,
        faults: RefCell::default(),
        warnings: RefCell::default(),
    };
    let config = file.read(document.get_ref(), Config::read);
    let (mut faults, warnings) = (file.faults.into_inner(), file.warnings.into_inner());
    if faults.is_empty() {
        return Ok((config, source.with_warnings(warnings)));
    }
    let more = judge(&config, &faults);
    faults.extend(more);
    Err(source.report(faults))
}

impl Config {
    /// What says that a route is in shadow mode: it turns nobody away for lack of a good token. None for one that does.
    #[must_use]
    pub fn unenforced_by<'c>(&'c self, route: &'c Route) -> Option<&'c Placed<bool>> {
        let is_public = route.access == Access::Public;
        route
            .enforce
            .as_ref()
            .or(self.server.enforce.as_ref())
            .filter(|enforce| !enforce.value && !is_public)
    }

    /// Where the admin listener is to be, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.listen.value)
    }

    fn read(table: &mut Table<'_>) -> Self {
        let declared = Declared {
            issuers: DeclaredNames::new(table.names("issuers")),
            upstreams: DeclaredNames::new(table.names("upstreams")),
        };
        let server = table.section("server", Server::read);
        let declared_listeners = table.each("listeners", Listener::read);
        let plain = match &server.listen {
            Some(listen) => listen.clone(),
            // Whoever declares listeners says where to listen.
            None if table.has("listeners") => Vec::new(),
            None => vec![server::default_listen()],
        };
        let listeners: Vec<_> = plain
            .into_iter()
            .map(Listener::plain)
            .chain(declared_listeners)
            .collect();
        let admin = table.optional_section("admin", Admin::read).flatten();
        let development = table.optional_section("development", Development::read);
        if let Some(development) = &development {
            development.refuse_what_others_can_reach(table, &listeners, admin.as_ref());
        }
        let addresses = listeners.iter().map(|listener| &listener.address);
        let addresses = addresses.chain(admin.iter().map(|admin| &admin.listen));
        let addresses =
            addresses.chain(development.iter().flat_map(|one| [&one.listen, &one.echo]));
        listener::refuse_collisions(table, &addresses.collect::<Vec<_>>());
        Self {
            server,
            listeners,
            admin,
            log: table.section("log", Log::read),
            telemetry: table.section("telemetry", Telemetry::read),
            challenge: table.section("challenge", Challenge::read),
            development,
            issuers: table.named("issuers", Issuer::read),
            upstreams: table.named("upstreams", Upstream::read),
            routes: table.each("routes", |route| Route::read(route, &declared)),
        }
    }
}
