//! Completion scripts and the man page, made from the command line's own description.

use crate::{
    args::Args,
    exit::{Outcome, StdoutClosed},
};
use anyhow::Context;
use clap::CommandFactory;
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

/// Prints the man page: one for the command and all below it.
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
    main.render_description_section(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("sendoff {}", sub.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        let sub = clap_mangen::Man::new(sub.clone());
        sub.render_synopsis_section(&mut page)?;
        sub.render_description_section(&mut page)?;
        sub.render_options_section(&mut page)?;
        sub.render_extra_section(&mut page)?;
    }
    main.render_extra_section(&mut page)?;
    print(&page)
}

fn print(bytes: &[u8]) -> anyhow::Result<Outcome> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Outcome::Well),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        Err(error) => Err(error).context("cannot write to stdout"),
    }
}
