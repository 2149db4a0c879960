//! Files with many routes: checking, compiling and matching take linear time.
//!
//! Each test takes a second in an unoptimised build. Comparing every route with every other
//! took minutes, so the timeout of a process distinguishes the two under any load.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::ExitStatus;

use crate::process::{Process, command, own_address, round_trip};

const ROUTES: usize = 10_000;

fn file(address: Ipv4Addr, routes: impl Fn(usize) -> String) -> String {
    let mut toml = format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n[issuers.corp]\nissuer = \"http://{address}:1\"\n\
         audience = \"a\"\n[upstreams.up]\ntargets = \"http://{address}:1\"\n"
    );
    for number in 0..ROUTES {
        write!(toml, "[[routes]]\nupstream = \"up\"\n{}\n", routes(number))
            .expect("writing to a string succeeds");
    }
    toml
}

/// Routes of every kind: literals, parameters, hosts, methods, public, and names that differ only
/// in case.
fn mixed(number: usize) -> String {
    let service = number % 97;
    match number % 10 {
        0..4 => format!("path = \"/s{service}/r{number}\"\nmethods = \"GET\"\nscope = \"read\""),
        4 => format!(
            "path = \"/s{}/r{}\"\nmethods = \"POST\"\nscope = \"write\"",
            (number - 1) % 97,
            number - 1
        ),
        5 | 6 => format!("path = \"/s{service}/R{number}/{{id}}/items\"\nscope = \"items.{{id}}\""),
        7 => format!("path = \"/files{number}/{{*rest}}\"\nmethods = [\"GET\", \"POST\"]"),
        8 => format!(
            "path = \"/h/{{id}}\"\nhost = [\"t{number}.test\", \"*.t{number}.test\"]\nscope = \"a\""
        ),
        _ => format!("path = \"/open{number}\"\npublic = true"),
    }
}

fn check(toml: &str) -> (ExitStatus, String, String) {
    let mut checking = command();
    checking.arg("check");
    let mut process = Process::launch(checking, toml);
    let status = process.wait_for_exit();
    let (response, stderr) = process.printed();
    (status, response, stderr)
}

#[test]
fn check_and_start_take_linear_time_in_the_routes() {
    let address = own_address();
    let toml = file(address, mixed);
    let (status, response, warnings) = check(&toml);
    assert!(status.success(), "{warnings}");
    assert!(
        response.starts_with("gateway.toml: valid, with 10000 routes, 1 issuer and 1 upstream\n")
    );
    // A route with two hosts has two rows.
    let rows = response
        .lines()
        .filter(|line| line.contains("  up  "))
        .count();
    assert_eq!(rows, ROUTES + ROUTES / 10);
    assert_eq!(
        warnings.matches("accepts any valid token").count()
            + warnings.matches("no scope: ").count(),
        ROUTES / 10
    );

    let process = Process::start(address, &toml);
    let response = round_trip(
        address,
        8080,
        "GET /s0/R9215/7/items HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
    drop(process);
}

#[test]
fn path_with_many_methods_is_checked_in_linear_time() {
    let one_path = |number: usize| {
        let access = if number.is_multiple_of(2) {
            "scope = \"a\""
        } else {
            "public = true"
        };
        format!("path = \"/a/{{id}}\"\nmethods = \"M{number}\"\n{access}")
    };
    let (status, _, warnings) = check(&file(own_address(), one_path));
    assert!(status.success(), "{warnings}");
    assert_eq!(
        warnings
            .matches("requires no token, while M0 requires more")
            .count(),
        ROUTES / 2
    );
}

#[test]
fn faults_of_many_routes_are_found_in_linear_time() {
    let toml = file(own_address(), |number| {
        format!("path = \"/a\"\nissuers = \"i{number}\"")
    });
    let issuers: String = (0..ROUTES / 4)
        .map(|number| format!("[issuers.is{number}]\n"))
        .collect();
    let (status, _, stderr) = check(&(toml + &issuers));
    assert_eq!(status.code(), Some(2));
    assert!(
        stderr.contains("expected a declared issuer, but found \"i0\" (declared: ")
            && stderr.len() < 100_000,
        "{stderr}"
    );
    for (route, message) in [
        (
            "path = \"/a\"\nscope = \"a\"",
            "expected a host, path and method that no other route has",
        ),
        (
            "path = \"/a\"\nskope = \"a\"",
            "expected a known key, but found \"skope\" (did you mean \"scope\"?)",
        ),
    ] {
        let (status, _, stderr) = check(&file(own_address(), |_| route.to_owned()));
        assert_eq!(status.code(), Some(2));
        assert!(stderr.contains(message), "{message}");
    }
}
