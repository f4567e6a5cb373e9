//! The command `sendoff`: arguments → settings → work in the libraries → report and exit code.

mod args;
mod commands;
mod exit;
mod ladder;
mod leftovers;
mod messages;
mod net;
mod report;
mod settings;
mod signals;
mod units;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::print_usage(&error),
    };
    let report = report::Report::new(&args.output);
    exit::finish(commands::run(args, report.clone()), &report)
}
