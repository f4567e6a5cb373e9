//! What a peer program prints.

use std::io::{self, BufRead as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::Sum;

/// How a server's first line begins; its address follows.
pub const LISTENING: &str = "listening on ";

/// One line of JSON on stdout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A server has a new connection.
    Accepted {
        /// Counted from 1.
        connection: usize,
        /// Its address.
        peer: String,
    },
    /// What a server has read from a connection: when it has the bytes it was told of, and when
    /// the connection ends or falls silent.
    Received {
        /// Counted from 1.
        connection: usize,
        /// All so far.
        bytes: usize,
        /// Reads; in message mode, messages.
        messages: usize,
        /// Of all bytes so far, in hexadecimal.
        sha256: String,
        /// "complete", or the error that ended it.
        why: String,
    },
    /// A connection has been closed here: as the flags, or a command on stdin, said.
    Closed {
        /// Counted from 1.
        connection: usize,
    },
    /// A client has written for as long as it was told.
    Sent {
        /// All that it has written.
        bytes: usize,
        /// From the first write to the last.
        elapsed_ms: f64,
    },
    /// What kcp-go has counted of FEC: as a command on stdin said, and before the result of a client that has FEC, or was sent parity.
    Shards {
        /// Parity shards that came.
        parity: u64,
        /// Data shards that were lost and made good.
        recovered: u64,
        /// What came out wrong.
        errors: u64,
        /// Datagrams beside the stream that came.
        out_of_band: u64,
    },
    /// A client's result.
    Result {
        /// Whether everything was sent and the right echo came back.
        ok: bool,
        /// Right bytes that came back.
        bytes: usize,
        /// Empty, or why it failed.
        error: String,
        /// From before the connection was made until the last byte.
        elapsed_ms: f64,
    },
}

impl Event {
    /// Prints it as a line of JSON.
    pub fn emit(&self) {
        println!("{}", serde_json::to_string(self).expect("events are plain data"));
    }
}

/// A server's account of one connection.
#[derive(Debug)]
pub struct Report {
    connection: usize,
    expected: usize,
    bytes: usize,
    messages: usize,
    sum: Sum,
}

impl Report {
    /// Announces the next connection, from `peer`; `expected` bytes make it complete (0: never).
    pub fn accepted(peer: impl ToString, expected: usize) -> Self {
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1;
        Event::Accepted { connection, peer: peer.to_string() }.emit();
        Self { connection, expected, bytes: 0, messages: 0, sum: Sum::default() }
    }

    /// Counts one read, and reports when that makes the connection complete.
    pub fn read(&mut self, bytes: &[u8]) {
        let complete_before = self.bytes >= self.expected;
        self.sum.update(bytes);
        self.bytes += bytes.len();
        self.messages += 1;
        if !complete_before && self.bytes >= self.expected {
            self.emit("complete");
        }
    }

    /// Reports what came until now.
    pub fn emit(&self, why: impl ToString) {
        Event::Received {
            connection: self.connection,
            bytes: self.bytes,
            messages: self.messages,
            sha256: self.sum.hex(),
            why: why.to_string(),
        }
        .emit();
    }

    /// Tells that the connection has been closed here.
    pub fn emit_closed(&self) {
        Event::Closed { connection: self.connection }.emit();
    }
}

/// The command on stdin to close every connection that is open.
pub const CLOSE: &str = "close";

/// The command on stdin to tell what FEC has counted; kcp-go only.
pub const SHARDS: &str = "shards";

/// Calls `close` for every line on stdin that says so. Ends this process when its stdin ends, so that a
/// dead harness leaves no peer behind.
pub fn obey_stdin(mut close: impl FnMut() + Send + 'static) {
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            match line {
                Ok(line) if line == CLOSE => close(),
                Ok(line) => eprintln!("bad command {line:?}"),
                Err(_) => break,
            }
        }
        std::process::exit(3);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_one_line_of_tagged_json() {
        let event = Event::Result { ok: true, bytes: 5, error: String::new(), elapsed_ms: 1.5 };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"result","ok":true,"bytes":5,"error":"","elapsed_ms":1.5}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
