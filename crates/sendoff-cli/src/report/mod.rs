//! What the user sees: results on stdout, events and errors on stderr; with `--json` each is one
//! object a line.

mod endings;
mod events;
mod style;
mod text;

pub use endings::{after_failure, failure, how_it_ended};
pub use events::{Ended, Event, Why, milliseconds};
pub use style::{Arrows, ColorWhen, Paint};
pub use text::{escape, json_text};

use crate::{args::OutputArgs, exit::StdoutClosed};
use serde::Serialize;
use std::{
    io::{ErrorKind, IsTerminal, Write},
    sync::Arc,
};
use tokio::{io::AsyncWriteExt, sync::Mutex};

/// Where everything that the command says goes through. Clones write to the same outputs.
#[derive(Clone)]
pub struct Report {
    json: bool,
    quiet: bool,
    out_paint: Paint,
    err_paint: Paint,
    arrows: Arrows,
    stdout: Arc<Mutex<tokio::io::Stdout>>,
}

impl Report {
    /// Decides on colours and arrows once.
    pub fn new(args: &OutputArgs) -> Self {
        Self {
            json: args.json,
            quiet: args.quiet,
            out_paint: Paint::new(args.color, std::io::stdout().is_terminal()),
            err_paint: Paint::new(args.color, std::io::stderr().is_terminal()),
            arrows: Arrows::of_locale(),
            stdout: Arc::new(Mutex::new(tokio::io::stdout())),
        }
    }

    /// Whether reports are JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether events are unwanted.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Colours for stdout.
    pub fn paint(&self) -> Paint {
        self.out_paint
    }

    /// Arrows and other signs that the terminal can show.
    pub fn arrows(&self) -> Arrows {
        self.arrows
    }

    /// Something happened: a line on stderr, unless `--quiet`.
    pub fn event(&self, event: &Event) {
        if self.quiet {
            return;
        }
        let line = if self.json { to_json(event) } else { event.to_line(self.err_paint) };
        stderr_line(&line);
    }

    /// The last line of a command that failed.
    pub fn error(&self, error: &anyhow::Error, code: u8) {
        // One line, whatever an address or a resolver puts into it.
        let message = escape(format!("{error:#}").as_bytes());
        if self.json {
            stderr_line(&to_json(
                &serde_json::json!({"event": "error", "message": message, "exit_code": code}),
            ));
        } else {
            stderr_line(&format!("{} {message}", self.err_paint.red("sendoff:")));
        }
    }

    /// Writes a line to stdout.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub async fn line(&self, text: &str) -> anyhow::Result<()> {
        self.raw(format!("{text}\n").as_bytes()).await
    }

    /// Writes an object to stdout, as a line of JSON.
    ///
    /// # Errors
    /// As [`raw`](Self::raw).
    pub async fn object(&self, object: &impl Serialize) -> anyhow::Result<()> {
        self.line(&to_json(object)).await
    }

    /// Writes bytes to stdout: together, whoever else writes.
    ///
    /// # Errors
    /// [`StdoutClosed`] when nobody reads them any more; another error as it is.
    pub async fn raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = self.stdout.lock().await;
        let written = async {
            stdout.write_all(bytes).await?;
            stdout.flush().await
        };
        written.await.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => StdoutClosed.into(),
            _ => anyhow::Error::new(error).context("cannot write to stdout"),
        })
    }
}

/// A closed stderr is no reason to stop.
fn stderr_line(line: &str) {
    _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("reports have string keys and no maps that can fail")
}
