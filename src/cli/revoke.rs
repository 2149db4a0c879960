//! `scopegate revoke`: sends `POST /revocations` to the admin listener of a running gateway.
//!
//! A token is read from a file or from standard input: a command line is in the history of the shell
//! and in every list of processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{ArgGroup, Args};
use http::{HeaderValue, Request, StatusCode, header};
use rustls::RootCertStore;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::inputs::TextFrom;
use crate::config::{Config, Purpose};
use crate::http_client::{HttpClient, HttpResponse};
use crate::transport::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_RESPONSE: usize = 64 * 1024;

/// The arguments of `scopegate revoke`.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("selector").args(["token", "jti", "sub", "client_id", "sid"])))]
#[command(group(
    ArgGroup::new("what")
        .args(["token", "jti", "sub", "client_id", "sid", "issued_before"])
        .required(true)
        .multiple(true)
))]
pub(super) struct Arguments {
    /// The iss of the tokens, exactly as in the tokens
    #[arg(long, value_name = "ISS")]
    issuer: String,
    /// Revoke one token: @FILE reads it from a file, and - from standard input
    #[arg(long, value_name = "@FILE")]
    token: Option<TextFrom>,
    /// Revoke the token with this jti
    #[arg(long, value_name = "JTI")]
    jti: Option<String>,
    /// Revoke the tokens of this user
    #[arg(long, value_name = "SUB")]
    sub: Option<String>,
    /// Revoke the tokens of this client
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Revoke the tokens of this session
    #[arg(long, value_name = "SID")]
    sid: Option<String>,
    /// Revoke tokens issued until then, in seconds since 1970; the default is now. Without another
    /// option, all tokens of the issuer
    #[arg(long, value_name = "SECONDS")]
    issued_before: Option<u64>,
}

/// Revokes. The exit code is 0 if the gateway has revoked, 1 if it did not, 2 if the input is bad.
pub(super) fn revoke(file: &Path, arguments: &Arguments) -> ExitCode {
    let (config, _) = match super::read(file, Purpose::CheckOnly) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let request = admin_of(&config).and_then(|admin| {
        let body = body_of(arguments)?;
        admin.request(body)
    });
    let request = match request {
        Ok(request) => request,
        Err(message) => return super::bad_input(format!("scopegate revoke: {message}")),
    };
    let url = request.uri().to_string();
    match send(request) {
        Ok(response) => report(&response, &url),
        Err(error) => {
            eprintln!(
                "scopegate revoke: nothing was revoked: {error} (is the gateway of {} running?)",
                file.display()
            );
            ExitCode::FAILURE
        }
    }
}

/// The admin listener of the file.
struct Admin {
    address: SocketAddr,
    token: Zeroizing<String>,
}

fn admin_of(config: &Config) -> Result<Admin, String> {
    let Some(admin) = &config.admin else {
        return Err(
            "expected [admin] in the configuration, but found none (add listen and token)"
                .to_owned(),
        );
    };
    if config.revocations.is_none() {
        return Err(
            "expected [revocations] in the configuration, but found none (add the table and restart the gateway)"
                .to_owned(),
        );
    }
    let token = admin
        .token
        .as_ref()
        .filter(|token| !token.value.is_missing());
    let Some(token) = token else {
        return Err(
            "expected token in [admin], but found none here (add it; or, if it is a variable or a file, run this \
             where the gateway runs)"
                .to_owned(),
        );
    };
    let mut address = admin.listen.value;
    if address.port() == 0 {
        return Err(
            "expected a port in listen of [admin], but found 0, which is another one at each start"
                .to_owned(),
        );
    }
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(Admin {
        address,
        token: Zeroizing::new(token.value.expose().to_owned()),
    })
}

impl Admin {
    fn request(&self, body: Bytes) -> Result<Request<Bytes>, String> {
        let mut token = HeaderValue::from_str(&format!("Bearer {}", self.token.as_str()))
            .map_err(|_| "expected visible characters as token of [admin], but found others")?;
        token.set_sensitive(true);
        Request::post(format!("http://{}/revocations", self.address))
            .header(header::AUTHORIZATION, token)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| error.to_string())
    }
}

fn body_of(arguments: &Arguments) -> Result<Bytes, String> {
    let mut members = Map::new();
    let mut add = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            members.insert(name.to_owned(), Value::from(value.as_str()));
        }
    };
    add("issuer", &Some(arguments.issuer.clone()));
    add("jti", &arguments.jti);
    add("sub", &arguments.sub);
    add("client_id", &arguments.client_id);
    add("sid", &arguments.sid);
    match &arguments.token {
        Some(TextFrom::Argument(_)) => {
            return Err(
                "--token: expected @FILE or -, but found something else: a token on the command line is in the \
                 history of the shell and in lists of processes"
                    .to_owned(),
            );
        }
        Some(from @ (TextFrom::File(_) | TextFrom::StandardInput)) => {
            let token = from.read("--token", "a token")?;
            let token = str::from_utf8(&token)
                .map_err(|_| "--token: expected a token, but found bytes that are no text")?;
            add("token", &Some(token.to_owned()));
        }
        None => {}
    }
    if let Some(seconds) = arguments.issued_before {
        members.insert("issued_before".to_owned(), Value::from(seconds));
    }
    Ok(Bytes::from(Value::Object(members).to_string()))
}

fn send(request: Request<Bytes>) -> Result<HttpResponse, String> {
    let tls = tls::client(RootCertStore::empty(), None).map_err(|error| error.to_string())?;
    let client =
        HttpClient::new(tls, CONNECT_TIMEOUT, TIMEOUT).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let response = runtime.block_on(client.send(request, MAX_RESPONSE));
    response.map_err(|error| error.to_string())
}

fn report(response: &HttpResponse, url: &str) -> ExitCode {
    if response.status == StatusCode::NO_CONTENT {
        eprintln!("revoked");
        return ExitCode::SUCCESS;
    }
    let text = String::from_utf8_lossy(&response.body);
    eprintln!(
        "scopegate revoke: expected 204 from {url}, but found {}: {}",
        response.status.as_u16(),
        text.trim_end()
    );
    match response.status {
        StatusCode::BAD_REQUEST => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
