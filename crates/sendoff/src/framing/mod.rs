//! Whole messages over any stream, however the transport cuts its bytes.
//!
//! [`Framing`] says how messages are marked, [`FrameCodec`] does it for tokio-util's `Framed`, and [`Messages`]
//! is a stream of messages that leaves out the codec where the transport keeps boundaries by itself.
//!
//! ```text
//! send ─▶ Outgoing ─▶ small: copied into one buffer ─┬─▶ one vectored write ─▶ stream
//!                  └▶ large: prefix alone, lent ─────┘
//! stream ─▶ one read buffer ─▶ FrameCodec::step ─▶ Incoming ─▶ try_next (a slice of the read buffer)
//! ```

mod codec;
mod error;
mod format;
mod incoming;
mod lines;
mod messages;
mod outgoing;
mod own;
mod parse;
mod prefix;
mod split;

pub use codec::FrameCodec;
pub use error::FrameError;
pub use format::Framing;
pub use messages::{Messages, Parts};
pub use parse::ParseFramingError;
pub use split::{Half, MessageReader, MessageWriter};
