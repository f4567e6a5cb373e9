//! Completion scripts and the man page, made from the command line's own description.

use crate::{
    args::Args,
    exit::{Outcome, StdoutClosed},
};
use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::io::{self, ErrorKind, Write};

/// Prints a completion script.
///
/// # Errors
/// When stdout can't be written.
pub fn completions(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sendoff", &mut script);
    print(&script)
}

/// Prints the man page: one page, a section for each command.
///
/// # Errors
/// When stdout can't be written.
pub fn man() -> anyhow::Result<Outcome> {
    let mut command = Args::command();
    command.build();
    let mut page = Vec::new();
    let main = clap_mangen::Man::new(command.clone());
    main.render_title(&mut page)?;
    main.render_name_section(&mut page)?;
    main.render_synopsis_section(&mut page)?;
    main.render_options_section(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        page.extend(man_section(sub)?);
    }
    writeln!(page, ".SH NOTES\n.nf\n{}\n.fi", notes(&command))?;
    print(&page)
}

/// A command's section. What all commands have stands in the main part.
fn man_section(command: &Command) -> anyhow::Result<Vec<u8>> {
    let mut command = command.clone().mut_args(|arg| if arg.is_global_set() { arg.hide(true) } else { arg });
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let mut section =
        format!(".SH {:?}\n.B {usage}\n.PP\n", usage.split(" [").next().unwrap_or(usage).to_uppercase())
            .into_bytes();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(section, "{}", about.replace('-', "\\-"))?;
    let mut options = Vec::new();
    clap_mangen::Man::new(command.clone()).render_options_section(&mut options)?;
    // Its parts are parts of this section, not sections beside it.
    section.extend(String::from_utf8(options)?.replace("\n.SH ", "\n.SS ").into_bytes());
    writeln!(section, ".SS NOTES\n{}", notes(&command).replace('\n', "\n.br\n"))?;
    Ok(section)
}

/// What stands below the options in the help.
fn notes(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default().replace('-', "\\-")
}

fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Outcome::Well),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}
