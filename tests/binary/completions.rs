//! The scripts of `scopegate completions`, in real shells.
//!
//! bash, zsh and fish parse the script, and bash and fish complete with it. A test prints which
//! shells are missing and skips them.

use std::fs;
use std::process::{Command, Output};

use crate::process::run;

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn script(shell: &str) -> String {
    let output = run(None, &["completions", shell]);
    assert_eq!(output.status.code(), Some(0), "{shell}");
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the script and `further` commands in `shell`. `None` if the shell is not installed.
fn run_script(shell: &str, options: &[&str], further: &str) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("script");
    fs::write(&file, format!("{}\n{further}", script(shell))).expect("a file");
    let output = Command::new(shell)
        .args(options)
        .arg(&file)
        .current_dir(folder.path())
        .output()
        .ok();
    if output.is_none() {
        eprintln!("SKIPPED: {shell} is missing; install it to test its script");
    }
    output
}

#[test]
fn every_script_contains_every_command_and_option() {
    for shell in SHELLS {
        let script = script(shell);
        for word in [
            "run",
            "check",
            "schema",
            "completions",
            "config",
            "log-format",
        ] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(run(None, &["completions", "csh"]).status.code(), Some(2));
}

#[test]
fn shells_accept_the_script() {
    for (shell, options) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        if let Some(output) = run_script(shell, &[options], "") {
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{shell}: {output:?}"
            );
        }
    }
}

#[test]
fn bash_completes_commands_shells_and_words() {
    let ask = r#"
    complete -p scopegate >/dev/null || exit 1
    completed() {
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
      _scopegate scopegate "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
      echo "${COMPREPLY[*]}"
    }
    completed scopegate ch
    completed scopegate completions z
    completed scopegate check --log-format ""
    touch gateway.toml
    completed scopegate --config gate
    "#;
    if let Some(output) = run_script("bash", &["--norc"], ask) {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            stdout, "check\nzsh\npretty json\ngateway.toml\n",
            "{output:?}"
        );
    }
}

#[test]
fn fish_completes_commands() {
    let ask = "complete --do-complete 'scopegate sch'";
    if let Some(output) = run_script("fish", &["--no-config"], ask) {
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            stdout, "schema\tPrint the JSON Schema of the file, for editors\n",
            "{output:?}"
        );
    }
}
