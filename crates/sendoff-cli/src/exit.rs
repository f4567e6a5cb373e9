//! How the command ends, and the exit code that says so.

use crate::report::Report;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::{fmt, process::ExitCode};

/// What a command came to, when nothing went wrong inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended well: 0.
    Well,
    /// It was interrupted before its end: 130.
    Interrupted,
}

/// A command line that makes no sense: exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

impl From<sendoff::AddressError> for Usage {
    fn from(error: sendoff::AddressError) -> Self {
        Self(error.to_string())
    }
}

/// Nobody reads our stdout any more (`sendoff … | head`): that is no failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stdout is closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Exit code after a second interrupt, and after one that came before the end.
pub const INTERRUPTED: u8 = 130;

/// Says what went wrong, and turns the result into an exit code.
pub fn finish(result: anyhow::Result<Outcome>, report: &Report) -> ExitCode {
    let code = match &result {
        Ok(Outcome::Well) => 0,
        Ok(Outcome::Interrupted) => INTERRUPTED,
        Err(error) if error.is::<StdoutClosed>() => 0,
        Err(error) if error.is::<Usage>() => 2,
        Err(_) => 1,
    };
    match result {
        Err(error) if code != 0 => report.error(&error, code),
        _ => {}
    }
    code.into()
}

/// Prints what clap has to say: help, the version, or what is wrong with the command line.
pub fn print_usage(error: &clap::Error) -> ExitCode {
    match one_line(error) {
        Some(line) => eprintln!("sendoff: {line}"),
        // A closed stdout or stderr is nobody's fault.
        None => _ = error.print(),
    }
    u8::try_from(error.exit_code()).unwrap_or(2).into()
}

/// A bad value reads as it does everywhere else in the command: `--quit-after x: must be …`.
fn one_line(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.escape_debug().to_string()),
        _ => None,
    };
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let problem = std::error::Error::source(error)?;
    let argument = context(ContextKind::InvalidArg)?;
    let argument = argument.split(' ').next()?;
    Some(format!("{argument} {}: {problem}", context(ContextKind::InvalidValue)?))
}
