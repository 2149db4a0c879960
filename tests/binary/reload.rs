//! Reloads: editors, deployments and Kubernetes replace files in different ways.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use crate::process::{Process, own_address, round_trip, wait_for};

/// A file with `path` as its only public route. The client secret has no visible effect.
fn file(address: Ipv4Addr, path: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n\
         [issuers.corp]\nissuer = \"http://{address}:1\"\naudience = \"a\"\nvalidation = \"introspection\"\n\
         [issuers.corp.introspection]\nendpoint = \"http://{address}:1/\"\nclient_id = \"c\"\n\
         client_secret = {{ file = \"secret\" }}\n\
         [upstreams.up]\ntargets = \"http://{address}:1\"\n\
         [[routes]]\npath = \"{path}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// Whether the path has a route: the upstream does not exist, so a route gets 502 instead of 404.
fn is_route(address: Ipv4Addr, path: &str) -> bool {
    let response = round_trip(
        address,
        8080,
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    );
    !response.starts_with("HTTP/1.1 404")
}

#[test]
fn changed_file_is_applied_however_it_is_written() {
    let address = own_address();
    let first = format!(
        "{}# the first\n",
        file(address, "/first").replace("{ file = \"secret\" }", "\"bare\"")
    );
    let mut process = Process::start(address, &first);
    let folder = process.folder().to_owned();
    let current = folder.join("gateway.toml");
    fs::write(folder.join("secret"), "hush").expect("a file");
    assert!(is_route(address, "/first"));

    // Another file renamed into place, as many editors do.
    fs::write(folder.join("next"), file(address, "/renamed")).expect("a file");
    fs::rename(folder.join("next"), &current).expect("a file");
    wait_for("the configuration is reloaded", || {
        is_route(address, "/renamed")
    });
    assert!(!is_route(address, "/first"));

    // Overwritten in place.
    fs::write(&current, file(address, "/written")).expect("a file");
    wait_for("the configuration is reloaded", || {
        is_route(address, "/written")
    });

    // A chain of symbolic links, one of which is swapped, as Kubernetes does for a ConfigMap.
    for version in ["v1", "v2"] {
        fs::create_dir(folder.join(version)).expect("a folder");
        fs::write(
            folder.join(version).join("gateway.toml"),
            file(address, &format!("/{version}")),
        )
        .expect("a file");
    }
    symlink("v1", folder.join("..data")).expect("a link");
    fs::remove_file(&current).expect("a file");
    symlink("..data/gateway.toml", &current).expect("a link");
    for version in ["v1", "v2"] {
        fs::write(folder.join(version).join("secret"), "hush").expect("a file");
        symlink(version, folder.join("..data_tmp")).expect("a link");
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("a link");
        wait_for("the configuration is reloaded", || {
            is_route(address, &format!("/{version}"))
        });
    }

    process.signal("TERM");
    assert!(process.wait_for_exit().success());
}

#[test]
fn faulty_file_is_rejected_with_its_line_and_the_previous_one_stays_active() {
    let address = own_address();
    let valid = file(address, "/good").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &valid);
    let current = process.folder().join("gateway.toml");
    let logged = |text: &str| process.printed().1.contains(text);
    fs::write(
        &current,
        valid.replace("upstream = \"up\"", "upstream = \"upp\""),
    )
    .expect("a file");
    wait_for("the configuration is rejected", || {
        logged("configuration rejected; the previous one stays active")
    });
    assert!(
        logged("routes[0].upstream: expected a declared upstream, but found \\\"upp\\\""),
        "{}",
        process.printed().1
    );
    assert!(is_route(address, "/good"));
    // Truncated, as by a full disk.
    fs::write(
        &current,
        &valid[..valid.find("[[routes]]").expect("a route")],
    )
    .expect("a file");
    wait_for("the configuration is rejected", || {
        logged("routes: expected at least one [[routes]], but found none")
    });
    assert!(is_route(address, "/good"));
    fs::remove_file(&current).expect("a file");
    process.signal("HUP");
    wait_for("the configuration is rejected", || {
        logged("expected a file to read, but found none")
    });
    assert!(is_route(address, "/good"));
    fs::write(&current, &valid).expect("a file");
    wait_for("the file is read again", || {
        logged("configuration unchanged")
    });
    fs::write(&current, valid.replace("8080", "8081")).expect("a file");
    wait_for("the configuration is rejected", || {
        logged("the addresses of the listeners changed, which needs a restart")
    });
}

#[test]
fn sighup_reloads_the_file_and_the_files_it_names() {
    let address = own_address();
    let bare = file(address, "/bare").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &bare);
    fs::write(process.folder().join("secret"), "first").expect("a file");
    fs::write(
        process.folder().join("gateway.toml"),
        file(address, "/secret"),
    )
    .expect("a file");
    let count = |text: &str| process.printed().1.matches(text).count();
    // The configuration is active shortly before its line is written.
    wait_for("the configuration is reloaded", || {
        count("configuration reloaded") == 1
    });
    assert!(is_route(address, "/secret"));
    process.signal("HUP");
    wait_for("the file is read again", || {
        count("configuration unchanged") == 1
    });
    fs::write(process.folder().join("secret"), "second").expect("a file");
    process.signal("HUP");
    wait_for("the configuration is reloaded", || {
        count("configuration reloaded") == 2
    });
    let log = process.printed().1;
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

#[test]
fn restored_file_is_evaluated_again() {
    let address = own_address();
    let toml = file(address, "/x").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &toml);
    let (current, away) = (
        process.folder().join("gateway.toml"),
        process.folder().join("away"),
    );
    let count = |text: &str| process.printed().1.matches(text).count();
    fs::rename(&current, &away).expect("a file");
    process.signal("HUP");
    wait_for("the configuration is rejected", || {
        count("configuration rejected; the previous one stays active") == 1
    });
    fs::rename(&away, &current).expect("a file");
    // The same file as before: the metrics must report success again.
    wait_for("the file is accepted", || {
        count("configuration unchanged") == 1
    });
}

#[test]
fn log_changes_with_the_file() {
    let address = own_address();
    let pretty = file(address, "/x").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &format!("[log]\nformat = \"pretty\"\n{pretty}"));
    assert!(is_route(address, "/x"));
    wait_for("the request is logged", || {
        process.printed().1.contains("INFO request")
    });
    let current = process.folder().join("gateway.toml");
    fs::write(&current, format!("[log]\nformat = \"json\"\n{pretty}")).expect("a file");
    wait_for("the configuration is reloaded", || {
        process
            .printed()
            .1
            .contains("\"message\":\"configuration reloaded\"")
    });
    fs::write(
        &current,
        format!("[log]\naccess = false\nlevel = \"warn\"\n{pretty}"),
    )
    .expect("a file");
    // The event of the reload is below the new level, so the access log has to show it.
    wait_for("the configuration is reloaded", || {
        let before = process.printed().1.len();
        assert!(is_route(address, "/x"));
        process.printed().1.len() == before
    });
}
