//! Arguments, exit codes, and messages for faulty input.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::process::{Process, own_address, run, shipped_configuration};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn version_and_help_go_to_standard_output() {
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
        let stderr = text(&positional.stderr);
        assert!(
            stderr.contains("tip: name the file with an option: --config gateway.toml"),
            "{stderr}"
        );
    }
    let folder = run(None, &["check", "--config", "."]);
    assert_eq!(folder.status.code(), Some(2));
    assert!(text(&folder.stderr).contains("expected a file to read, but found a directory"));
    assert_eq!(run(None, &["--colour"]).status.code(), Some(2));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn only_regular_files_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe").display().to_string();
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .expect("mkfifo")
            .success()
    );
    let large = folder.path().join("large").display().to_string();
    fs::File::create(&large)
        .and_then(|file| file.set_len(1 << 40))
        .expect("a file with a hole");
    for (file, found) in [
        ("/dev/zero", "a device, which is not a regular file"),
        (pipe.as_str(), "a pipe, which is not a regular file"),
        (large.as_str(), "more than "),
    ] {
        for command in ["check", "run"] {
            let named = run(None, &[command, "--config", file]);
            assert_eq!(named.status.code(), Some(2));
            let stderr = text(&named.stderr);
            assert!(
                stderr.starts_with(&format!(
                    "{file}: expected a file to read, but found {found}"
                )),
                "{stderr}"
            );
        }
        let toml = format!(
            "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = {file:?}, key = {file:?} }}] }}\n\
             [issuers.a]\nissuer = \"https://as.test\"\naudience = \"b\"\njwks_file = {file:?}\n\
             [issuers.b]\nissuer = \"https://bs.test\"\naudience = \"b\"\ntls_ca = {file:?}\n\
             [upstreams.u]\ntargets = \"https://127.0.0.1:1\"\ntls_ca = {file:?}\n\
             [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"u\"\n"
        );
        let stderr = text(&run(Some(&toml), &["check"]).stderr);
        // The certificate, its key, the JWKS, and two files of CA certificates.
        assert_eq!(
            (stderr.lines().count(), stderr.matches(found).count()),
            (5, 5),
            "{stderr}"
        );
        let stderr = text(
            &run(
                Some(&toml.replace("jwks_file = ", "shared_secret.file = ")),
                &["check"],
            )
            .stderr,
        );
        assert!(
            stderr.contains(&format!(
                "issuers.a.shared_secret: expected a secret in the file {file:?}"
            )),
            "{stderr}"
        );
    }
    // A symbolic link to a regular file is accepted.
    let link = folder.path().join("link");
    symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml"), &link).expect("a link");
    assert!(
        run(None, &["check", "--config", &link.display().to_string()])
            .status
            .success()
    );
}

#[test]
fn schema_needs_no_file() {
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
fn markdown_reference_needs_no_file() {
    let output = run(None, &["schema", "--markdown"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), scopegate::config::markdown())
    );
    assert!(text(&output.stdout).contains(
        "\n| `retries` | integer from 0 to 10 | `1` | Maximum number of retries of a request. "
    ));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_fault_of_a_file_is_reported_in_one_run() {
    let toml = "[server]\nlisten = \"here\"\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nupstream = \"upp\"\nscoop = \"a\"\n\
                [[routes]]\npath = \"/y\"\nupstream = \"up\"\nscope = \"{id}\"\n";
    for command in ["run", "check"] {
        let output = run(Some(toml), &[command]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert_eq!(stderr.lines().count(), 4, "{stderr}");
        assert!(
            stderr.contains("gateway.toml:12: routes[1].scope: expected a parameter of the path"),
            "{stderr}"
        );
        assert!(
            stderr.contains("gateway.toml:2: server.listen: expected"),
            "{stderr}"
        );
        assert!(
            stderr.contains("gateway.toml:7: routes[0].upstream: expected a declared upstream, but found \"upp\""),
            "{stderr}"
        );
        assert!(
            stderr.contains("gateway.toml:8: routes[0].scoop:") && stderr.contains("\"scope\""),
            "{stderr}"
        );
    }
    let toml = "[issuers.a]\nissuer = \"https://as.test\"\naudience = \"b\"\njwks_file = \"none.json\"\n\
                [upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nupstream = \"upp\"\n\
                [[routes]]\npath = \"/y\"\nupstream = \"up\"\n[[routes]]\npath = \"/y\"\nupstream = \"up\"\n";
    let stderr = text(&run(Some(toml), &["check"]).stderr);
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
    assert!(
        stderr.contains("gateway.toml:4: issuers.a.jwks_file: expected a JWK set in "),
        "{stderr}"
    );
    assert!(
        stderr
            .contains("gateway.toml:14: routes[2].path: expected a host, path and method that no"),
        "{stderr}"
    );
    // A route with a faulty key is not reported as a duplicate as well.
    let toml = "[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n\
                [[routes]]\npath = \"/x\"\nmethods = \"get\"\nupstream = \"up\"\n\
                [[routes]]\npath = \"/x\"\nmethods = \"POST\"\nupstream = \"up\"\n";
    let stderr = text(&run(Some(toml), &["check"]).stderr);
    assert!(
        stderr.lines().count() == 1 && stderr.contains("did you mean \"GET\"?"),
        "{stderr}"
    );
    // Faults that appear only when the configuration is compiled.
    let toml = "[upstreams.up]\ntargets = \"https://127.0.0.1:1\"\ntls_ca = \"no.pem\"\n\
                [[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n\
                [[routes]]\npath = \"/x\"\nscope = \"{id}\"\nupstream = \"up\"\n";
    let output = run(Some(toml), &["check"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("gateway.toml:3: upstreams.up.tls_ca: expected PEM in no.pem"),
        "{stderr}"
    );
    assert!(
        stderr.contains("gateway.toml:10: routes[1].scope: expected a parameter of the path"),
        "{stderr}"
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
    // Reported beside other faults, but not if there are routes with faults of their own.
    let stderr = text(&run(Some("[server]\nworkers = 0\n"), &["check"]).stderr);
    assert!(
        stderr.lines().count() == 2 && stderr.contains(expected.trim_end()),
        "{stderr}"
    );
    for routes in [
        "[[routes]]\npath = 7\nupstream = \"up\"\n",
        "[routes]\npath = \"/x\"\n",
        "routes = 7\n",
    ] {
        let stderr = text(&run(Some(&format!("{routes}{upstream}")), &["check"]).stderr);
        assert!(
            !stderr.is_empty() && !stderr.contains("at least one"),
            "{stderr}"
        );
    }
}

#[test]
fn check_prints_the_routes_and_warns_of_weak_choices() {
    let output = run(
        Some(&shipped_configuration([127, 0, 0, 1].into())),
        &["check"],
    );
    assert_eq!(output.status.code(), Some(0));
    let stdout = text(&output.stdout);
    assert!(
        stdout.starts_with("gateway.toml: valid, with 4 routes, 1 issuer and 1 upstream\n"),
        "{stdout}"
    );
    // The most specific route is first; public routes are marked.
    let files = stdout.find("   any   /files/{*rest}   ").expect("a row");
    let health = stdout.find("!  any   /health  ").expect("a marked row");
    let push = stdout
        .find("   any   /push/apps/{applicationId}/messages  POST       messages.write push.application.{")
        .expect("a row");
    assert!(files < health && health < push, "{stdout}");
    assert!(
        stdout.contains("nothing (public)") && stdout.contains("\n! requires no token"),
        "{stdout}"
    );
    assert!(text(&output.stderr).contains("routes[3].path: public"));
}

#[test]
fn port_in_use_is_one_clear_line() {
    let address = own_address();
    let _first = Process::start(address, &shipped_configuration(address));
    let second = run(Some(&shipped_configuration(address)), &[]);
    assert_eq!(second.status.code(), Some(1));
    let stderr = text(&second.stderr);
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.starts_with(&format!(
            "scopegate: server.listen: cannot listen on {address}:8080: the port is in use"
        )),
        "{stderr}"
    );
}

#[test]
fn log_is_json_if_standard_error_is_no_terminal() {
    let address = own_address();
    let mut process = Process::start(address, &shipped_configuration(address));
    process.signal("INT");
    assert_eq!(process.wait_for_exit().code(), Some(0));
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

#[test]
fn check_prints_the_keys_of_presets() {
    let toml = "[issuers.plain]\nissuer = \"https://a.test\"\naudience = \"api\"\n\
                [issuers.corp]\nprovider = \"okta\"\nscope_claims = [\"groups\"]\n\
                issuer = \"https://b.test\"\naudience = \"api\"\n\
                [upstreams.up]\ntargets = \"http://10.0.0.7:9000\"\n\
                [[routes]]\npath = \"/x\"\nscope = \"x\"\nupstream = \"up\"\n";
    let output = run(Some(toml), &["check"]);
    let printed = text(&output.stdout);
    let lines = "issuer \"corp\" has these keys of provider \"okta\":\n  algorithms = [\"RS256\"]\n  \
                 token_types = [\"\"]\n  scope_claims (replaced by the file)\n";
    assert!(printed.contains(lines), "{printed}");
    assert!(!printed.contains("issuer \"plain\""), "{printed}");
}

#[test]
fn check_prints_the_weights_of_targets() {
    let toml = |targets: &str| {
        format!(
            "[upstreams.up]\ntargets = {targets}\n[[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n"
        )
    };
    let printed = |targets: &str| text(&run(Some(&toml(targets)), &["check"]).stdout).to_owned();
    let weighted = printed("[\"http://10.0.0.7:9000\", { url = \"https://b.test\", weight = 3 }]");
    let line = "weights of upstream \"up\", for each address of a target: \
                http://10.0.0.7:9000 1, https://b.test 3\n";
    assert!(weighted.contains(line), "{weighted}");
    assert!(!printed("{ url = \"http://10.0.0.7\" }").contains("weight"));
}
