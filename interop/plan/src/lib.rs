//! What a transfer carries, and what peers are told and report.
//!
//! Every peer program takes the same flags ([`Options`]), obeys the same command ([`CLOSE`]) and prints
//! the same lines ([`Event`]), whatever library and language it is built on; the Go peer follows the same rules.

mod event;
mod options;
mod payload;

pub use event::{CLOSE, Event, LISTENING, Report, SHARDS, obey_stdin};
pub use options::{Options, Role, SECRET, Serve};
pub use payload::{Checker, Chunks, Payload, Sum, sha256_of};
