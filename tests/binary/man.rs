//! The man page, and what formatters of man pages say of it.

use std::process::{Command, Output};

use crate::process::run;

fn page() -> String {
    let output = run(None, &["man"]);
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn man_page_has_every_command_and_option() {
    let page = page();
    assert!(page.contains(".TH scopegate 1 "), "{page}");
    let help = String::from_utf8(run(None, &["--help"]).stdout).expect("text");
    let commands = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next());
    let mut count = 0;
    for command in commands {
        count += 1;
        let heading = format!(".SH \"SCOPEGATE {}\"", command.to_uppercase());
        assert_eq!(page.matches(&heading).count(), 1, "{heading}");
    }
    assert!(count >= 7, "{help}");
    for (option, times) in [
        ("config", 1),
        ("offline", 1),
        ("markdown", 1),
        ("print\\-token", 1),
    ] {
        let item = format!(r"\fB\-\-{option}\fR");
        let items = page
            .lines()
            .filter(|line| line.starts_with(&item) || line.contains(&format!(", {item}")))
            .count();
        assert_eq!(items, times, "{option}: {page}");
    }
}

/// What a formatter prints of the page; `None` if it is missing.
fn formatted(program: &str, arguments: &[&str]) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scopegate.1");
    std::fs::write(&file, page()).expect("a file");
    let output = Command::new(program)
        .args(arguments)
        .arg(&file)
        .output()
        .ok();
    if output.is_none() {
        eprintln!("SKIPPED: {program} is missing; install it to see whether it reads the page");
    }
    output
}

#[test]
fn formatters_find_no_fault_with_the_man_page() {
    for (program, arguments) in [
        ("groff", &["-man", "-Tutf8", "-ww", "-z"][..]),
        ("mandoc", &["-Tlint", "-Werror"]),
    ] {
        if let Some(output) = formatted(program, arguments) {
            assert!(
                output.status.success() && output.stderr.is_empty(),
                "{program}: {output:?}"
            );
        }
    }
}
