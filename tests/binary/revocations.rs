//! `scopegate revoke` and the file of revocations, with real processes.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use tempfile::TempDir;

use crate::process::{Process, command, own_address, round_trip, run_in, start_upstream};
use harness::Key;

const ISSUER: &str = "https://id.test";

/// A gateway whose keys and revocations are in `folder`.
fn file(address: Ipv4Addr, folder: &Path, upstream: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 2\n[admin]\nlisten = \"{address}:9090\"\ntoken = \"let me\"\n\
         [revocations]\nfile = \"{0}/revocations.log\"\n\
         [issuers.corp]\nissuer = \"{ISSUER}\"\naudience = \"https://api.test\"\njwks_file = \"{0}/keys.json\"\n\
         [upstreams.up]\ntargets = \"http://{upstream}\"\n[[routes]]\npath = \"/a\"\nupstream = \"up\"\n",
        folder.display()
    )
}

/// An address, and a folder with the file of a key.
fn prepared() -> (Ipv4Addr, TempDir, Key) {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), Key::es256("k"));
    let keys = json!({"keys": [key.jwk()]}).to_string();
    fs::write(folder.path().join("keys.json"), keys).expect("a file");
    (own_address(), folder, key)
}

fn token(key: &Key, sub: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    key.token(&json!({
        "iss": ISSUER, "aud": "https://api.test", "sub": sub, "iat": now, "exp": now + 600,
    }))
}

fn status(address: Ipv4Addr, token: &str) -> String {
    let request = format!(
        "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    round_trip(address, 8080, &request)[9..12].to_owned()
}

/// Runs `scopegate revoke` with these arguments: its exit code, and what it printed.
fn revoke(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = command();
    command.args(["revoke", "--issuer", ISSUER]).args(arguments);
    let output = run_in(command, folder);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

fn assert_does_not_start(toml: &str, expected: &str) {
    let mut process = Process::launch(command(), toml);
    assert_eq!(process.wait_for_exit().code(), Some(1));
    let printed = process.printed().1;
    assert!(printed.contains(expected), "{printed}");
}

#[test]
fn revocations_survive_a_killed_process_and_a_torn_line_and_no_other_damage() {
    let (address, folder, key) = prepared();
    let upstream = start_upstream(address).to_string();
    let toml = file(address, folder.path(), &upstream);
    let [one, user, good] = ["one", "user", "good"].map(|sub| token(&key, sub));
    fs::write(folder.path().join("one.txt"), &one).expect("a file");

    let mut process = Process::start(address, &toml);
    for token in [&one, &user, &good] {
        assert_eq!(status(address, token), "200");
    }
    let at = |name: &str| format!("@{}", folder.path().join(name).display());
    let (code, text) = revoke(process.folder(), &["--token", &at("one.txt")]);
    assert_eq!((code, text.as_str()), (Some(0), "revoked\n"));
    assert_eq!(revoke(process.folder(), &["--sub", "user"]).0, Some(0));
    let check = |when: &str| {
        for (token, expected) in [(&one, "401"), (&user, "401"), (&good, "200")] {
            assert_eq!(status(address, token), expected, "{when}");
        }
    };
    check("at once");
    process.signal("KILL");
    process.wait_for_exit();

    let log = folder.path().join("revocations.log");
    let mode = fs::metadata(&log).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let whole = fs::read(&log).expect("the file");
    assert!(!String::from_utf8_lossy(&whole).contains("user"));
    fs::write(&log, [&whole[..], b"0123456789 torn"].concat()).expect("a file");
    let mut process = Process::start(address, &toml);
    check("after a crash");
    assert!(
        process.printed().1.contains("cut off"),
        "{}",
        process.printed().1
    );

    let second = file(own_address(), folder.path(), &upstream);
    assert_does_not_start(&second, "locked by another");
    process.signal("KILL");
    process.wait_for_exit();

    let mut damaged = whole;
    damaged[30] ^= 1;
    fs::write(&log, &damaged).expect("a file");
    assert_does_not_start(&toml, "revocations.log:2: expected a revocation");
    assert_eq!(fs::read(&log).expect("the file"), damaged, "left as it is");
}

#[test]
fn revoke_command_says_what_it_needs() {
    let (address, folder) = (own_address(), tempfile::tempdir().expect("a folder"));
    let path = folder.path();
    let config = path.join("gateway.toml");
    let toml = file(address, path, "127.0.0.1:1");
    let cases = [
        (
            toml.replace("token = \"let me\"\n", ""),
            Some(2),
            "expected token in [admin]",
        ),
        (
            toml.replace("[revocations]\nfile = ", "[log]\n# "),
            Some(2),
            "expected [revocations]",
        ),
        (toml, Some(1), "nothing was revoked"),
    ];
    for (toml, code, expected) in cases {
        fs::write(&config, toml).expect("a file");
        let (found, text) = revoke(path, &["--sub", "alice"]);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(expected), "{text}");
        assert!(
            !text.contains("alice") && !text.contains("let me"),
            "{text}"
        );
    }
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.AQAB";
    let (code, text) = revoke(path, &["--token", token]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("expected @FILE or -") && !text.contains(token),
        "{text}"
    );
    for arguments in [
        &[][..],
        &["--sub", "a", "--jti", "b"],
        &["--issued-before", "soon"],
    ] {
        assert_eq!(revoke(path, arguments).0, Some(2), "{arguments:?}");
    }
}

/// Revokes the tokens of a user by the admin listener.
fn post(address: Ipv4Addr, user: &str) -> String {
    let body = json!({"issuer": ISSUER, "sub": user}).to_string();
    let request = format!(
        "POST /revocations HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer let me\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    round_trip(address, 9090, &request)
}

/// A gateway none of whose files may be larger than a few KiB.
fn start_with_full_disk(address: Ipv4Addr, toml: &str) -> Process {
    let mut shell = Command::new("sh");
    shell.args([
        "-c",
        // The signal that says so is ignored.
        "trap '' XFSZ; ulimit -f 64; exec \"$0\"",
        env!("CARGO_BIN_EXE_scopegate"),
    ]);
    Process::launch(shell, toml).wait_until_listening(address)
}

#[test]
fn full_disk_is_a_500_and_a_log_line_and_what_was_confirmed_survives() {
    let (address, folder, key) = prepared();
    let upstream = start_upstream(address).to_string();
    // With many names of one issuer, each revocation is many lines.
    let names: Vec<_> = (0..300)
        .map(|number| format!("\"{ISSUER}/{number}\""))
        .collect();
    let issuer = format!("issuer = [\"{ISSUER}\", {}]\n", names.join(", "));
    let toml = file(address, folder.path(), &upstream);
    let toml = toml.replace(&format!("issuer = \"{ISSUER}\"\n"), &issuer);
    let mut process = start_with_full_disk(address, &toml);
    let tokens: Vec<_> = (0..10)
        .map(|user| token(&key, &format!("user-{user}")))
        .collect();
    let mut confirmed = 0;
    let refused = loop {
        let response = post(address, &format!("user-{confirmed}"));
        if !response.starts_with("HTTP/1.1 204") {
            break response;
        }
        confirmed += 1;
        assert!(confirmed < tokens.len(), "the limit holds");
    };
    assert!(confirmed > 0);
    assert!(refused.starts_with("HTTP/1.1 500"), "{refused}");
    assert!(
        refused.contains("active until a restart only, because the file cannot be written"),
        "{refused}"
    );
    // It fails closed: what could not be written is revoked here.
    for token in &tokens[..=confirmed] {
        assert_eq!(status(address, token), "401");
    }
    let metrics = round_trip(
        address,
        9090,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(metrics.contains("scopegate_revocations_total{outcome=\"not_written\"} 1\n"));
    let printed = process.printed().1;
    assert!(
        printed.contains("revocations could not be written to the file"),
        "{printed}"
    );
    process.signal("KILL");
    process.wait_for_exit();

    // The disk has room again. What was confirmed is in the file, and nothing of it is damaged.
    let _process = Process::start(address, &toml);
    for token in &tokens[..confirmed] {
        assert_eq!(status(address, token), "401");
    }
    assert!(post(address, &format!("user-{confirmed}")).starts_with("HTTP/1.1 204"));
}

#[test]
fn explain_says_that_a_token_is_revoked() {
    let (address, folder, key) = prepared();
    let upstream = start_upstream(address).to_string();
    let toml = file(address, folder.path(), &upstream);
    let explain = |process: &Process, token: &str, more: &[&str]| {
        fs::write(folder.path().join("token.txt"), token).expect("a file");
        let at = format!("@{}", folder.path().join("token.txt").display());
        let mut explain = command();
        explain
            .args(["explain", "GET", "/a", "--token", &at])
            .args(more);
        let output = run_in(explain, process.folder());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let process = Process::start(address, &toml);
    let [revoked, good] = ["revoked", "good"].map(|sub| token(&key, sub));
    assert_eq!(explain(&process, &revoked, &[]).0, Some(0), "not yet");
    let (code, text) = revoke(process.folder(), &["--sub", "revoked"]);
    assert_eq!(code, Some(0), "{text}");
    let log = folder.path().join("revocations.log");
    let before = fs::read(&log).expect("the file");
    // While the gateway runs, which keeps the file locked.
    let (code, text, warnings) = explain(&process, &revoked, &[]);
    assert_eq!((code, warnings.as_str()), (Some(1), ""), "{text}");
    assert!(text.contains("token_revoked"), "{text}");
    let (code, text, _) = explain(&process, &revoked, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &json["reason"]), (Some(1), &json!("token_revoked")));
    assert_eq!(explain(&process, &good, &[]).0, Some(0));
    assert_eq!(fs::read(&log).expect("the file"), before);

    fs::write(&log, "something else\n").expect("a file");
    let (code, _, warnings) = explain(&process, &good, &[]);
    assert_eq!(code, Some(0));
    assert!(
        warnings.contains("warning: what is revoked is not known here")
            && warnings.contains("revocations.log:1: expected a revocation"),
        "{warnings}"
    );
}
