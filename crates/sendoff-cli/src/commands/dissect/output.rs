//! Much text to stdout, in large pieces.

use crate::exit::StdoutClosed;
use anyhow::Context;
use std::{
    io::{self, ErrorKind, StdoutLock, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Bytes that are collected before they are written.
const PIECE: usize = 64 << 10;

/// Collects, and writes a piece at a time.
pub struct Output {
    stdout: StdoutLock<'static>,
    text: String,
    bytes: Vec<u8>,
    /// Nothing more waits to be told: what was collected should be seen.
    caught_up: Option<Arc<AtomicBool>>,
}

impl Output {
    /// Of this process. `caught_up` is set by a source that goes on, while it has nothing more.
    pub fn new(caught_up: Option<Arc<AtomicBool>>) -> Self {
        Self { stdout: io::stdout().lock(), text: String::new(), bytes: Vec::new(), caught_up }
    }

    /// To be appended to.
    pub fn text(&mut self) -> &mut String {
        &mut self.text
    }

    /// To be appended to; never both.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Writes if there is enough.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub fn pass_on(&mut self) -> anyhow::Result<()> {
        let caught_up = self.caught_up.as_ref().is_some_and(|caught_up| caught_up.load(Ordering::Relaxed));
        if caught_up || self.text.len() + self.bytes.len() >= PIECE { self.finish() } else { Ok(()) }
    }

    /// Writes what there is.
    ///
    /// # Errors
    /// [`StdoutClosed`] when nobody reads any more; another error as it is.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let Self { stdout, text, bytes, .. } = self;
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.write_all(bytes))
            .and_then(|()| stdout.flush());
        text.clear();
        bytes.clear();
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
            written => written.context("cannot write to stdout"),
        }
    }
}
