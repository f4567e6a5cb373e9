//! KCP without I/O: the protocol core of sendoff.
//!
//! Time and randomness are arguments, datagrams are byte slices in the caller's buffers, and nothing
//! here reads a clock, opens a socket or spawns a task. [`Endpoint`] says which connection a datagram
//! belongs to; [`Connection`] is one conversation. The crate `sendoff` drives both with tokio.
//!
//! ```
//! use sendoff_proto::{Config, Connection, Conv, Role, TransmitBuffer};
//! use std::{sync::Arc, time::Instant};
//!
//! let (config, conv, now) = (Arc::new(Config::new()), Conv::new(7).unwrap(), Instant::now());
//! let mut client = Connection::new(config.clone(), conv, Role::Client, now, 0);
//! let mut server = Connection::new(config, conv, Role::Server, now, 0);
//!
//! client.write(b"hello");
//! let mut buffer = TransmitBuffer::new();
//! while client.poll_transmit(now, &mut buffer) {
//!     for datagram in buffer.datagrams() {
//!         server.handle_datagram(now, datagram);
//!     }
//! }
//! let mut read = [0; 16];
//! assert_eq!(server.read(&mut read), 5);
//! assert_eq!(&read[..5], b"hello");
//! ```

mod config;
mod congestion;
mod connection;
mod endpoint;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod profile;
mod seq;
mod tap;
pub mod wire;

pub use config::{Config, ConfigError, Mode, Wire};
pub use connection::{
    Batch, Cause, Connection, ConnectionStats, Ending, MessageError, MessageTooLarge, Party, Role, Silence,
    TransmitBuffer,
};
pub use endpoint::{DropReason, Endpoint, Route, RouteStats};
pub use profile::{Backoff, Congestion, NoDelay, Profile};
pub use seq::{Conv, ParseConvError, SeqNumber, Timestamp};
pub use tap::{Direction, Tap, TappedDatagram};
