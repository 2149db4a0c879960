//! The shipped configurations compile, and fit the files beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use scopegate::config::Config;
use scopegate::{config, gateway};

const MANIFEST: &str = "examples/kubernetes/scopegate.yaml";

#[test]
fn every_example_and_the_shipped_file_compile() {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("examples"))
        .expect("the examples")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    assert!(files.len() > 1, "no examples");
    files.extend(["gateway.toml", "examples/mcp/gateway.toml"].map(|file| root().join(file)));
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let name = file.display().to_string();
        // The examples name variables that an operator would set.
        let secret = |_: &str| {
            Some("a secret that is long enough for all that it may be used for: 64".to_owned())
        };
        let (config, source) =
            config::parse_with(&name, &text, &secret).unwrap_or_else(|report| panic!("{report}"));
        if let Err(faults) = gateway::compile(&config) {
            panic!("{}", source.report(faults));
        }
    }
}

#[test]
fn shipped_file_needs_no_other_files_or_variables() {
    if let Err(report) = config::load(&root().join("gateway.toml")) {
        panic!("{report}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `scopegate check` on a file, in a folder with the secrets and the certificate that it
/// names.
fn check(toml: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let certified =
        rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).expect("a certificate");
    for (name, content) in [
        ("secret", "a secret that is long enough".to_owned()),
        ("fleet-key", "5a".repeat(32)),
        ("certificate", certified.cert.pem()),
        ("key", certified.signing_key.serialize_pem()),
    ] {
        fs::write(path(name), content).expect("a file");
    }
    let toml = toml
        .replace("/etc/scopegate/secrets/", "/run/secrets/")
        .replace("/run/secrets/fleet-key", &path("fleet-key"))
        .replace("/run/secrets/admin-token", &path("secret"))
        .replace("/run/secrets/valkey-password", &path("secret"))
        .replace("/run/secrets/gateway-secret", &path("secret"))
        .replace("/etc/scopegate/valkey/ca.crt", &path("certificate"))
        .replace("/var/lib/scopegate/", &path(""))
        .replace(
            "/run/credentials/scopegate.service/tls_fullchain.pem",
            &path("certificate"),
        )
        .replace(
            "/run/credentials/scopegate.service/tls_privkey.pem",
            &path("key"),
        );
    fs::write(path("gateway.toml"), toml).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_scopegate"));
    command
        .args(["check", "--config", &path("gateway.toml")])
        .output()
        .expect("the binary")
}

fn read(toml: &str) -> Config {
    // `scopegate check` tests the file; only its numbers matter here.
    let toml = toml.replace(
        "{ file = \"/etc/scopegate/secrets/gateway-secret\" }",
        "\"a secret\"",
    );
    config::parse("gateway.toml", &toml)
        .map(|(config, _)| config)
        .unwrap_or_else(|report| panic!("{report}"))
}

fn shipped(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a shipped file")
}

/// The gateway.toml of the ConfigMap of a manifest.
fn config_map(manifest: &str) -> String {
    let manifest = shipped(manifest);
    let lines = manifest
        .lines()
        .skip_while(|line| *line != "  gateway.toml: |")
        .skip(1);
    let lines = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    lines
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect()
}

/// The values of `key`, from each line that starts with it.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines()
        .filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(key))
        .map(str::trim)
        .collect()
}

fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().expect("seconds")
}

fn drain_seconds(config: &Config) -> u64 {
    (config.server.drain_delay + config.server.drain_timeout).as_secs()
}

#[test]
fn check_warns_of_nothing_in_the_kubernetes_and_systemd_examples() {
    for toml in [
        config_map(MANIFEST),
        config_map("examples/kubernetes/fleet.yaml"),
        shipped("examples/systemd/gateway.toml"),
        shipped("examples/fleet/gateway.toml"),
    ] {
        let output = check(&toml);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""));
    }
}

#[test]
fn kubernetes_manifest_fits_its_configuration() {
    let (manifest, config) = (
        shipped("examples/kubernetes/scopegate.yaml"),
        read(&config_map(MANIFEST)),
    );
    let admin = config
        .admin_address()
        .expect("an admin listener for the probes");
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .filter_map(|listener| Some(listener.address.value.ip()?.port()))
        .collect();
    let ports: Vec<u16> = values(&manifest, "containerPort:")
        .iter()
        .map(|port| port.parse().expect("a port"))
        .collect();
    assert_eq!(ports, [listeners, vec![admin.port()]].concat());
    assert!(
        admin.ip().is_unspecified(),
        "the kubelet probes the address of the Pod"
    );
    assert_eq!(values(&manifest, "path: /"), ["readyz", "livez", "livez"]);
    assert_eq!(values(&manifest, "port: admin").len(), 3);
    let grace = seconds(values(&manifest, "terminationGracePeriodSeconds:")[0]);
    assert!(grace > drain_seconds(&config), "{grace} s");
    // A Pod leaves the Service once a probe has failed and every node knows of it.
    let period = seconds(values(&manifest, "periodSeconds:")[0]);
    assert!(
        config.server.drain_delay.as_secs() >= 3 * period,
        "{period} s"
    );
}

#[test]
fn systemd_units_fit_their_configuration() {
    let service = shipped("examples/systemd/scopegate.service");
    let config = read(&shipped("examples/systemd/gateway.toml"));
    let sockets = shipped("examples/systemd/scopegate.socket");
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| listener.address.value.to_string())
        .collect();
    assert_eq!(values(&sockets, "ListenStream="), listeners);
    let stop = seconds(values(&service, "TimeoutStopSec=")[0]);
    assert!(
        stop > drain_seconds(&config) && stop > drain_seconds(&read("")),
        "{stop} s"
    );
    let files: usize = values(&service, "LimitNOFILE=")[0]
        .parse()
        .expect("a number");
    assert!(files >= 3 * config.server.max_connections, "{files}");
}

#[test]
fn dockerfile_fits_the_repository_and_its_compiler() {
    let (dockerfile, cargo) = (shipped("examples/Dockerfile"), shipped("Cargo.toml"));
    let ignored = shipped("examples/Dockerfile.dockerignore");
    for copied in values(&dockerfile, "COPY ")
        .iter()
        .filter(|copied| !copied.starts_with("--from"))
    {
        let (sources, _) = copied.rsplit_once(' ').expect("sources and a destination");
        for source in sources.split(' ') {
            assert!(root().join(source).exists(), "{source} does not exist");
            assert!(
                ignored.lines().any(|line| line == format!("!{source}")),
                "{source} is ignored"
            );
        }
    }
    let version = values(&cargo, "rust-version = ")[0].trim_matches('"');
    assert!(
        dockerfile.contains(&format!("/rust:{version}-")),
        "rust {version}"
    );
    // Cargo rejects a manifest that names a missing bench.
    for bench in cargo.split("[[bench]]").skip(1) {
        let name = values(bench, "name = ")[0].trim_matches('"');
        assert!(
            dockerfile.contains(&format!("benches/{name}.rs")),
            "benches/{name}.rs"
        );
    }
    // It also reads the manifest of every package of the workspace.
    let members = values(&cargo, "members = ")[0].trim_matches(['[', ']']);
    for member in members.split(", ").map(|member| member.trim_matches('"')) {
        let copied = format!("COPY {member}/Cargo.toml {member}/");
        assert!(dockerfile.lines().any(|line| line == copied), "{member}");
    }
    assert!(dockerfile.contains("ENTRYPOINT [\"/usr/local/bin/scopegate\"]"));
}
