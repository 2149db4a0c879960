//! `scopegate man`: the man page, as roff.

use std::io;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Arguments;

const EXIT_STATUS: &str = r#".SH "EXIT STATUS"
.TP
0
Success.
.TP
1
A run that failed, such as a port in use, or a request that would not pass.
.TP
2
Wrong input: command line, file or token.
.SH FILES
.TP
gateway.toml
The configuration, in the current folder. \fB\-\-config\fR names another file.
\fBscopegate schema \-\-markdown\fR prints its reference.
"#;

pub(super) fn man() -> ExitCode {
    match page() {
        Ok(page) => super::print_output(&page),
        Err(error) => {
            eprintln!("scopegate: man page: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One page with a section for each command. A page for each would need as many files.
fn page() -> io::Result<Vec<u8>> {
    let mut command = Arguments::command();
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for subcommand in command.get_subcommands() {
        page.extend_from_slice(section(subcommand)?.as_bytes());
    }
    page.extend_from_slice(EXIT_STATUS.as_bytes());
    Ok(page)
}

/// The section of a command. The options of all commands are not repeated.
fn section(command: &Command) -> io::Result<String> {
    let command = command.clone().mut_args(|argument| {
        let is_repeated = argument.is_global_set() || argument.get_id() == "help";
        argument.hide(is_repeated)
    });
    let name = command.get_bin_name().unwrap_or_default().to_uppercase();
    let has_own_options = command
        .get_arguments()
        .any(|argument| !argument.is_hide_set());
    let man = Man::new(command);
    let mut text = Vec::new();
    man.render_description_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    if has_own_options {
        man.render_options_section(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text)
        .replace(".SH DESCRIPTION\n", "")
        .replace(".SH ", ".SS ");
    Ok(format!(".SH \"{name}\"\n{text}"))
}
