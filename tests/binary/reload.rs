//! A file that changes while the process runs, in every way in which files change.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use crate::process::{Process, ask, own_address, wait};

/// A file whose one public route is `path`; the secret changes nothing that a client sees.
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

// An upstream that is not there is 502, and what is no route 404.
fn is_route(address: Ipv4Addr, path: &str) -> bool {
    let answer = ask(
        address,
        8080,
        &format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    );
    !answer.starts_with("HTTP/1.1 404")
}

#[test]
fn changed_file_is_taken_up_however_it_is_written() {
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

    // Another file in its place, as editors do it.
    fs::write(folder.join("next"), file(address, "/renamed")).expect("a file");
    fs::rename(folder.join("next"), &current).expect("a file");
    wait("it is taken up", || is_route(address, "/renamed"));
    assert!(!is_route(address, "/first"));

    // Written over, as others do it.
    fs::write(&current, file(address, "/written")).expect("a file");
    wait("it is taken up", || is_route(address, "/written"));

    // A link to a link to a folder that is swapped, as Kubernetes does it.
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
        wait("it is taken up", || {
            is_route(address, &format!("/{version}"))
        });
    }

    process.signal("TERM");
    assert!(process.stopped().success());
}

#[test]
fn bad_file_is_refused_with_its_place_and_the_good_one_stays() {
    let address = own_address();
    let good = file(address, "/good").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &good);
    let current = process.folder().join("gateway.toml");
    let logged = |text: &str| process.printed().1.contains(text);
    fs::write(
        &current,
        good.replace("upstream = \"up\"", "upstream = \"upp\""),
    )
    .expect("a file");
    wait("it is refused", || {
        logged("configuration rejected; the previous one stays active")
    });
    assert!(
        logged("routes[0].upstream: expected a declared upstream, but found \\\"upp\\\""),
        "{}",
        process.printed().1
    );
    assert!(is_route(address, "/good"));
    // Cut short, as by a disk that is full.
    fs::write(&current, &good[..good.find("[[routes]]").expect("a route")]).expect("a file");
    wait("it is refused", || {
        logged("routes: expected at least one [[routes]], but found none")
    });
    assert!(is_route(address, "/good"));
    fs::remove_file(&current).expect("a file");
    process.signal("HUP");
    wait("it is refused", || {
        logged("expected a file to read, but found none")
    });
    assert!(is_route(address, "/good"));
    fs::write(&current, &good).expect("a file");
    wait("it is read again", || logged("configuration unchanged"));
    fs::write(&current, good.replace("8080", "8081")).expect("a file");
    wait("it is refused", || {
        logged("the addresses of the listeners changed, which takes a restart")
    });
}

#[test]
fn hang_up_has_the_file_and_what_it_names_read_again() {
    let address = own_address();
    let bare = file(address, "/bare").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &bare);
    fs::write(process.folder().join("secret"), "first").expect("a file");
    fs::write(
        process.folder().join("gateway.toml"),
        file(address, "/secret"),
    )
    .expect("a file");
    wait("it is taken up", || is_route(address, "/secret"));
    let said = |text: &str| process.printed().1.matches(text).count();
    let taken_up = said("configuration reloaded");
    process.signal("HUP");
    wait("it is read again", || said("configuration unchanged") == 1);
    fs::write(process.folder().join("secret"), "second").expect("a file");
    process.signal("HUP");
    wait("it is taken up", || {
        said("configuration reloaded") == taken_up + 1
    });
    let log = process.printed().1;
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

#[test]
fn file_that_was_gone_is_judged_again_when_it_is_back() {
    let address = own_address();
    let toml = file(address, "/x").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &toml);
    let (current, away) = (
        process.folder().join("gateway.toml"),
        process.folder().join("away"),
    );
    let said = |text: &str| process.printed().1.matches(text).count();
    fs::rename(&current, &away).expect("a file");
    process.signal("HUP");
    wait("it is refused", || {
        said("configuration rejected; the previous one stays active") == 1
    });
    fs::rename(&away, &current).expect("a file");
    // The same file as before, which is what the metrics have to tell.
    wait("it is good", || said("configuration unchanged") == 1);
}

#[test]
fn log_changes_with_the_file() {
    let address = own_address();
    let pretty = file(address, "/x").replace("{ file = \"secret\" }", "\"bare\"");
    let process = Process::start(address, &format!("[log]\nformat = \"pretty\"\n{pretty}"));
    assert!(is_route(address, "/x"));
    wait("it is logged", || {
        process.printed().1.contains("INFO request")
    });
    let current = process.folder().join("gateway.toml");
    fs::write(&current, format!("[log]\nformat = \"json\"\n{pretty}")).expect("a file");
    wait("it is taken up", || {
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
    // The line that would tell so is below the new level.
    wait("it is taken up", || {
        let before = process.printed().1.len();
        assert!(is_route(address, "/x"));
        process.printed().1.len() == before
    });
}
