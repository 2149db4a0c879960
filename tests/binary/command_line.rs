//! Arguments, exit codes, and what is said when something is wrong.

use crate::process::{Process, own_address, run, shipped};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_and_help_are_answers() {
    let version = run(None, &["--version"]);
    assert_eq!(
        (text(&version.stdout), version.status.code()),
        ("scopegate 0.1.0\n".to_owned(), Some(0))
    );
    let help = run(None, &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for word in [
        "run",
        "check",
        "explain",
        "schema",
        "completions",
        "--config",
        "--log-format",
        "--log-level",
    ] {
        assert!(text(&help.stdout).contains(word), "{word}");
    }
}

#[test]
fn missing_file_and_unknown_argument_are_bad_input() {
    let missing = run(None, &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        text(&missing.stderr)
            .starts_with("gateway.toml: expected a file in this folder, but found none")
    );
    let named = run(None, &["check", "--config", "nowhere.toml"]);
    assert_eq!(named.status.code(), Some(2));
    assert!(
        text(&named.stderr).starts_with("nowhere.toml: expected a file to read, but found none")
    );
    for arguments in [
        &["check", "gateway.toml"][..],
        &["run", "gateway.toml"],
        &["gateway.toml"],
    ] {
        let positional = run(None, arguments);
        assert_eq!(positional.status.code(), Some(2));
        let told = text(&positional.stderr);
        assert!(
            told.contains("tip: the file is named by an option: --config gateway.toml"),
            "{told}"
        );
    }
    let folder = run(None, &["check", "--config", "."]);
    assert_eq!(folder.status.code(), Some(2));
    assert!(text(&folder.stderr).contains("expected a file to read, but found a folder"));
    assert_eq!(run(None, &["--colour"]).status.code(), Some(2));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe").display().to_string();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let large = folder.path().join("large").display().to_string();
    std::fs::File::create(&large)
        .and_then(|file| file.set_len(1 << 40))
        .expect("a file with a hole");
    for (file, found) in [
        ("/dev/zero", "a device, which is no regular file"),
        (pipe.as_str(), "a pipe, which is no regular file"),
        (large.as_str(), "more than "),
    ] {
        for command in ["check", "run"] {
            let named = run(None, &[command, "--config", file]);
            assert_eq!(named.status.code(), Some(2));
            let told = text(&named.stderr);
            assert!(
                told.starts_with(&format!(
                    "{file}: expected a file to read, but found {found}"
                )),
                "{told}"
            );
        }
        let toml = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = {file:?}, key = {file:?} }}] }}\n\
             [issuers.a]\nissuer = \"https://as.test\"\naudience = \"b\"\njwks_file = {file:?}\n\
             [issuers.b]\nissuer = \"https://bs.test\"\naudience = \"b\"\ntls_ca = {file:?}\n\
             [upstreams.u]\ntargets = \"https://127.0.0.1:1\"\ntls_ca = {file:?}\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"u\"\n"
        );
        let told = text(&run(Some(&toml), &["check"]).stderr);
        // The certificate and its key, the key set, and two files of roots.
        assert_eq!(
            (told.lines().count(), told.matches(found).count()),
            (5, 5),
            "{told}"
        );
        let told = text(
            &run(
                Some(&toml.replace("jwks_file = ", "shared_secret.file = ")),
                &["check"],
            )
            .stderr,
        );
        assert!(
            told.contains(&format!(
                "issuers.a.shared_secret: expected a secret in the file {file:?}"
            )),
            "{told}"
        );
    }
    // A link is followed, wherever it leads.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml"), &link)
        .expect("a link");
    assert!(
        run(None, &["check", "--config", &link.display().to_string()])
            .status
            .success()
    );
}

#[test]
fn schema_is_an_answer_that_needs_no_file() {
    let output = run(None, &["schema"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), scopegate::config::schema().as_str())
    );
    assert!(
        text(&output.stdout)
            .starts_with("{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\"")
    );
}

#[test]
fn reference_is_an_answer_that_needs_no_file() {
    let output = run(None, &["schema", "--markdown"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), scopegate::config::markdown())
    );
    assert!(text(&output.stdout).contains("\n| `retries` | integer from 0 to 10 | `1` |  | "));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_fault_of_a_file_is_told_in_one_run() {
    let toml = "[server]\nlisten = \"here\"\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nupstream = \"upp\"\nscoop = \"a\"\n\
                [[routes]]\npath = \"/y\"\nupstream = \"up\"\nscope = \"{id}\"\n";
    for command in ["run", "check"] {
        let output = run(Some(toml), &[command]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert_eq!(told.lines().count(), 4, "{told}");
        assert!(
            told.contains("gateway.toml:12: routes[1].scope: expected a parameter of the path"),
            "{told}"
        );
        assert!(
            told.contains("gateway.toml:2: server.listen: expected"),
            "{told}"
        );
        assert!(
            told.contains("gateway.toml:7: routes[0].upstream: expected a declared upstream, but found \"upp\""),
            "{told}"
        );
        assert!(
            told.contains("gateway.toml:8: routes[0].scoop:") && told.contains("\"scope\""),
            "{told}"
        );
    }
    let toml = "[issuers.a]\nissuer = \"https://as.test\"\naudience = \"b\"\njwks_file = \"none.json\"\n\
                [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nupstream = \"upp\"\n\
                [[routes]]\npath = \"/y\"\nupstream = \"up\"\n[[routes]]\npath = \"/y\"\nupstream = \"up\"\n";
    let told = text(&run(Some(toml), &["check"]).stderr);
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(
        told.contains("gateway.toml:4: issuers.a.jwks_file: expected a JWK set in "),
        "{told}"
    );
    assert!(
        told.contains("gateway.toml:14: routes[2].path: expected a host, path and method that no"),
        "{told}"
    );
    // What a route could not say is not taken for a clash.
    let toml = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nmethods = \"get\"\nupstream = \"up\"\n\
                [[routes]]\npath = \"/x\"\nmethods = \"POST\"\nupstream = \"up\"\n";
    let told = text(&run(Some(toml), &["check"]).stderr);
    assert!(
        told.lines().count() == 1 && told.contains("did you mean \"GET\"?"),
        "{told}"
    );
    // And those that only compiling shows.
    let toml = "[upstreams.up]\ntargets = \"https://127.0.0.1:1\"\ntls_ca = \"no.pem\"\n\
                [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n\
                [[routes]]\npath = \"/x\"\nscope = \"{id}\"\nupstream = \"up\"\n";
    let output = run(Some(toml), &["check"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("gateway.toml:3: upstreams.up.tls_ca: expected PEM in no.pem"),
        "{told}"
    );
    assert!(
        told.contains("gateway.toml:10: routes[1].scope: expected a parameter of the path"),
        "{told}"
    );
}

#[test]
fn file_without_routes_is_refused_with_the_remedy() {
    let expected = "gateway.toml: routes: expected at least one [[routes]], but found none (without a route every request \
                    gets 404; add one, with path, upstream, and scope or public)\n";
    let upstream = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n";
    for toml in ["", "[server]\nlisten = \"127.0.0.1:0\"\n", upstream] {
        for command in ["check", "run"] {
            let output = run(Some(toml), &[command]);
            assert_eq!(
                (output.status.code(), &*text(&output.stderr)),
                (Some(2), expected),
                "{command}, {toml:?}"
            );
        }
    }
    // It is told beside other faults, and not where there are routes that cannot be read.
    let told = text(&run(Some("[server]\nworkers = 0\n"), &["check"]).stderr);
    assert!(
        told.lines().count() == 2 && told.contains(expected.trim_end()),
        "{told}"
    );
    for routes in [
        "[[routes]]\npath = 7\nupstream = \"up\"\n",
        "[routes]\npath = \"/x\"\n",
        "routes = 7\n",
    ] {
        let told = text(&run(Some(&format!("{routes}{upstream}")), &["check"]).stderr);
        assert!(!told.is_empty() && !told.contains("at least one"), "{told}");
    }
}

#[test]
fn check_prints_the_routes_and_warns_of_weak_choices() {
    let output = run(Some(&shipped([127, 0, 0, 1].into())), &["check"]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    assert!(
        told.starts_with("gateway.toml: good, with 4 routes, 1 issuer and 1 upstream\n"),
        "{told}"
    );
    // The most specific first, and what is open is marked.
    let files = told.find("   any   /files/{*rest}   ").expect("a row");
    let health = told.find("!  any   /health  ").expect("a marked row");
    let push = told
        .find("   any   /push/apps/{applicationId}/messages  POST       messages.write push.application.{")
        .expect("a row");
    assert!(files < health && health < push, "{told}");
    assert!(
        told.contains("nothing (public)") && told.contains("\n! asks for no token"),
        "{told}"
    );
    assert!(text(&output.stderr).contains("routes[3].path: public"));
}

#[test]
fn port_in_use_is_one_clear_line() {
    let address = own_address();
    let _first = Process::start(address, &shipped(address));
    let second = run(Some(&shipped(address)), &[]);
    assert_eq!(second.status.code(), Some(1));
    let told = text(&second.stderr);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(
        told.starts_with(&format!(
            "scopegate: server.listen: cannot listen on {address}:8080: the port is in use"
        )),
        "{told}"
    );
}

#[test]
fn log_is_json_where_standard_error_is_no_terminal() {
    let address = own_address();
    let mut process = Process::start(address, &shipped(address));
    process.signal("INT");
    assert_eq!(process.stopped().code(), Some(0));
    let (_, log) = process.printed();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(
            line["message"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    assert!(log.contains("listening"));
}
