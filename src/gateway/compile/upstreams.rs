//! `[upstreams.*]`.

use std::sync::Arc;

use http::HeaderValue;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::RootCertificates;
use crate::config::{self, Config, Fault, Spanned};
use crate::transport::Reloadable;
use crate::transport::tls::{self, TlsError};
use crate::upstream::{
    HealthCheck, HostHeader, Outlier, SharedUpstream, Target, TargetAddress, UpstreamSettings,
};
use crate::values::Protocol;

/// Compiles each upstream, unless `same` has it already. A faulty one is left out.
pub(super) fn compile(
    config: &Config,
    roots: &RootCertificates,
    faults: &mut Vec<Fault>,
    same: impl Fn(usize) -> Option<Arc<SharedUpstream>>,
) -> Vec<Arc<SharedUpstream>> {
    let mut compiled = Vec::new();
    for (index, upstream) in config.upstreams.iter().enumerate() {
        if let Some(same) = same(index) {
            compiled.push(same);
            continue;
        }
        match compile_one(upstream, config, roots) {
            Ok(upstream) => compiled.push(Arc::new(upstream)),
            Err(fault) => {
                faults.extend(
                    upstream
                        .files()
                        .filter_map(|file| file.unreadable_beside(&fault)),
                );
                faults.push(*fault);
            }
        }
    }
    compiled
}

fn compile_one(
    upstream: &config::Upstream,
    config: &Config,
    roots: &RootCertificates,
) -> Result<SharedUpstream, Box<Fault>> {
    let tls_name = upstream.tls_server_name.as_ref();
    let targets: Vec<Target> = upstream
        .targets
        .iter()
        .map(|target| compile_target(target, tls_name))
        .collect::<Result<_, _>>()?;
    let uses_tls = targets.iter().any(|target| target.tls_name.is_some());
    let system = if uses_tls && upstream.tls_ca.is_none() {
        roots.system()
    } else {
        RootCertStore::empty()
    };
    let protocol = upstream.protocol;
    let tls = credentials(upstream, protocol, system).map_err(|error| {
        match upstream
            .files()
            .find(|file| error.path() == Some(&*file.value))
        {
            Some(file) => file.fault(error.to_string()),
            None => upstream.name.fault(error.to_string()),
        }
    })?;
    let settings = UpstreamSettings {
        name: upstream.name.value.as_str().into(),
        protocol,
        targets,
        balance: upstream.balance,
        health_check: upstream.health.as_ref().map(|health| HealthCheck {
            path: health.path.clone(),
            interval: health.interval,
            unhealthy_after: u32::try_from(health.unhealthy_after).unwrap_or(u32::MAX),
            healthy_after: u32::try_from(health.healthy_after).unwrap_or(u32::MAX),
        }),
        outlier: upstream.outlier.as_ref().map(|outlier| Outlier {
            consecutive: outlier.consecutive,
            ejection_time: outlier.ejection_time,
            max_ejected_percent: outlier.max_ejected,
        }),
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        body_idle_timeout: config.server.body_idle_timeout,
        retries: u32::try_from(upstream.retries).unwrap_or(u32::MAX),
        pool_idle: upstream.pool_idle,
        pool_idle_timeout: upstream.pool_idle_timeout,
        host: match &upstream.host {
            config::UpstreamHost::Pass => HostHeader::Pass,
            config::UpstreamHost::Target => HostHeader::Target,
            config::UpstreamHost::Name(name) => HostHeader::Fixed(header_value(name.as_str())),
        },
    };
    Ok(SharedUpstream::new(settings, tls))
}

// The system's roots are read once: to replace them takes a restart.
fn credentials(
    upstream: &config::Upstream,
    protocol: Protocol,
    system: RootCertStore,
) -> Result<Reloadable<ClientConfig>, TlsError> {
    let ca = upstream.tls_ca.as_ref().map(|ca| ca.value.clone());
    let client_certificate = upstream
        .tls_client
        .as_ref()
        .map(|client| (client.certificate.value.clone(), client.key.value.clone()));
    let files = ca
        .iter()
        .chain(
            client_certificate
                .iter()
                .flat_map(|(certificate, key)| [certificate, key]),
        )
        .cloned()
        .collect();
    Reloadable::new(
        format!("upstream {}", upstream.name.value),
        files,
        move || {
            let trusted = match &ca {
                Some(ca) => tls::trusted_from(ca)?,
                None => system.clone().into(),
            };
            let client_certificate = client_certificate
                .as_ref()
                .map(|(certificate, key)| (certificate.as_path(), key.as_path()));
            let mut config = tls::client(trusted, client_certificate)?;
            config.alpn_protocols = match protocol {
                Protocol::Http1 => vec![tls::HTTP1.to_vec()],
                Protocol::Http2 => vec![tls::HTTP2.to_vec()],
            };
            Ok(config)
        },
    )
}

fn compile_target(
    target: &Spanned<config::Target>,
    tls_name: Option<&Spanned<String>>,
) -> Result<Target, Box<Fault>> {
    let weight = target.value.weight;
    let url = match &target.value.address {
        config::TargetAddress::Url(url) => url,
        config::TargetAddress::Unix(path) => {
            return Ok(Target {
                address: TargetAddress::Unix(path.as_path().into()),
                authority: HeaderValue::from_static("localhost"),
                tls_name: None,
                weight,
            });
        }
    };
    // Reading the file has checked both.
    let (host, port) = (
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or(80),
    );
    let authority = match url.port() {
        Some(port) => header_value(&format!("{host}:{port}")),
        None => header_value(host),
    };
    // A URL has an IPv6 address in brackets; neither a resolver nor a certificate does.
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let tls_name = match (url.scheme(), tls_name) {
        ("https", Some(name)) => {
            Some(server_name(&name.value).map_err(|message| name.fault(message))?)
        }
        ("https", None) => Some(server_name(&host).map_err(|message| target.fault(message))?),
        _ => None,
    };
    Ok(Target {
        address: TargetAddress::Network { host, port },
        authority,
        tls_name,
        weight,
    })
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned())
        .map_err(|_| format!("expected a name that a certificate can bear, but found {name:?}"))
}

// A URL's authority is visible ASCII throughout.
fn header_value(authority: &str) -> HeaderValue {
    HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static(""))
}
