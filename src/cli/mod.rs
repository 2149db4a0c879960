//! The command line.
//!
//! Exit codes: 0 for success, 2 for invalid input. 1 means that a run failed or cut requests off,
//! or that an explained request would not pass. Logs go to standard error, output to standard
//! output.

mod check;
mod completions;
#[cfg(feature = "development")]
mod development;
mod discover;
mod explain;
mod inputs;
mod man;
mod missing_secrets;
mod revoke;
mod run;
mod schema;
pub mod service;
#[cfg(feature = "development")]
mod tutorial;
mod warnings;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, Fault, Purpose, Report, Source};
use crate::gateway::{Snapshot, compile, route_faults};
use crate::server::tls::{Certificates, certificates};
use crate::values::{Keyword, LogFormat, LogLevel};

const DEFAULT_FILE: &str = "gateway.toml";

/// A reverse proxy that lets a request through only with a valid OAuth 2.0 bearer token.
#[derive(Parser, Debug)]
#[command(name = "scopegate", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway; this is the default
    Run,
    /// Check the file: print errors, warnings and routes, without network access
    Check,
    /// Explain what the gateway would do with a request, and why; nothing is forwarded
    Explain(explain::Arguments),
    /// Request a token with the scope that an API asks for, and send the request with it
    Discover(discover::Arguments),
    /// Revoke tokens before they expire, at the running gateway of the file
    Revoke(revoke::Arguments),
    /// Print the JSON Schema of the configuration, for editors
    Schema(schema::Arguments),
    /// Print a script that makes a shell complete commands and options
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Args, Debug)]
struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE, global = true)]
    config: PathBuf,
    /// The format of log lines; overrides the file
    #[arg(long, value_name = "FORMAT", global = true, value_parser = keyword::<LogFormat>())]
    log_format: Option<LogFormat>,
    /// The log level; overrides the file
    #[arg(long, value_name = "LEVEL", global = true, value_parser = keyword::<LogLevel>())]
    log_level: Option<LogLevel>,
}

/// Parses an option that takes the same values as a key of the file.
fn keyword<T: Keyword + Send + Sync>() -> impl TypedValueParser<Value = T> {
    let keywords = T::KEYWORDS.iter().map(|(keyword, _)| *keyword);
    PossibleValuesParser::new(keywords)
        .try_map(|text| T::from_keyword(&text).ok_or("expected one of the possible values"))
}

/// Runs the command that the command line names.
#[must_use]
pub fn main() -> ExitCode {
    let arguments =
        Arguments::try_parse().unwrap_or_else(|error| suggest_config_option(error).exit());
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run::run(&arguments.options),
        Command::Check => check::check(&arguments.options.config),
        Command::Explain(request) => explain::explain(&arguments.options.config, &request),
        Command::Discover(arguments) => discover::discover(&arguments),
        Command::Revoke(request) => revoke::revoke(&arguments.options.config, &request),
        Command::Schema(arguments) => schema::schema(&arguments),
        Command::Completions { shell } => completions::completions(shell),
        Command::Man => man::man(),
    }
}

// Other programs take the file as a positional argument.
fn suggest_config_option(mut error: clap::Error) -> clap::Error {
    let unknown = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].into_iter();
    let file = unknown.filter_map(|kind| match error.get(kind) {
        Some(ContextValue::String(text)) if text.ends_with(".toml") && !text.starts_with('-') => {
            Some(text.clone())
        }
        _ => None,
    });
    if let Some(file) = file.take(1).next() {
        let tip = format!("name the file with an option: --config {file}");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// Reads the file. Its faults go to standard error.
fn read(path: &Path, purpose: Purpose) -> Result<(Config, Source), ExitCode> {
    if path == Path::new(DEFAULT_FILE) && !path.exists() {
        return Err(bad_input(
            "gateway.toml: expected a file in this folder, but found none (name another file with --config, or \
             start from the gateway.toml and the examples/ that come with scopegate)",
        ));
    }
    load(path, purpose).map_err(bad_input)
}

/// Reads the file, and checks that this build supports what it uses.
fn load(path: &Path, purpose: Purpose) -> Result<(Config, Source), Report> {
    let find_faults = |config: &Config, known: &[Fault]| {
        let mut faults = route_faults(config, known);
        faults.extend(development_fault(config));
        faults
    };
    let (config, source) = config::load_with_checks(path, purpose, &find_faults)?;
    match development_fault(&config) {
        Some(fault) => Err(source.report(vec![fault])),
        None => Ok((config, source)),
    }
}

// If this build ignored the section, an issuer would have no server.
fn development_fault(config: &Config) -> Option<Fault> {
    let development = config.development.as_ref()?;
    if cfg!(feature = "development") {
        return None;
    }
    let fault = development.listen.fault(
        "expected a build with the feature \"development\" for [development], but found one without it",
    );
    Some(fault.with_help("remove [development], or build with the default features"))
}

/// A compiled file: the snapshot, and the certificates of each listener.
type Compiled = (Snapshot, Vec<Option<Arc<Certificates>>>);

/// Compiles the file. Its faults go to standard error.
fn compile_file(config: &Config, source: &Source) -> Result<Compiled, ExitCode> {
    match (compile(config), certificates(&config.listeners)) {
        (Ok(snapshot), Ok(certificates)) => Ok((snapshot, certificates)),
        (snapshot, certificates) => {
            let faults = [snapshot.err(), certificates.err()];
            Err(bad_input(
                source.report(faults.into_iter().flatten().flatten().collect()),
            ))
        }
    }
}

/// Writes to standard output. A closed pipe, as with `| head`, is no error.
fn print_output(bytes: &[u8]) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("scopegate: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn bad_input(message: impl std::fmt::Display) -> ExitCode {
    eprintln!("{message}");
    ExitCode::from(2)
}
