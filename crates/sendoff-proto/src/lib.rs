//! KCP without I/O: the protocol core of sendoff.
//!
//! Time and randomness are arguments, datagrams are byte slices in the caller's buffers, and nothing
//! here reads a clock, opens a socket or spawns a task. [`Endpoint`] says which connection a datagram
//! belongs to; [`Connection`] is one conversation. The crate `sendoff` drives both with tokio.
//!
//! ```
//! use sendoff_proto::{Config, Connection, Conv, Endpoint, Opening, Route, TransmitBuffer};
//! use std::{sync::Arc, time::Instant};
//!
//! let (config, conv, now) = (Arc::new(Config::new()), Conv::new(7).unwrap(), Instant::now());
//! // The seeds are for this example only: true ones come from a secure source.
//! let mut client = Connection::new(config.clone(), conv, Opening::Early, now, 1);
//! let mut listener = Endpoint::<u32>::new(config.clone(), true);
//! let from = "192.0.2.1:40000".parse().unwrap();
//!
//! client.write(b"hello");
//! let mut buffer = TransmitBuffer::new();
//! assert!(client.poll_transmit(now, &mut buffer));
//! let datagram = buffer.datagrams().next().unwrap();
//! let Route::Opens(conv, opening) = listener.route(now, from, datagram) else { panic!() };
//! let mut server = Connection::new(config, conv, opening, now, 2);
//! server.handle_datagram(now, datagram);
//! let mut read = [0; 16];
//! assert_eq!(server.read(&mut read), 5);
//! assert_eq!(&read[..5], b"hello");
//! ```

mod config;
mod congestion;
mod connection;
mod endpoint;
pub mod fec;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod profile;
mod random;
pub mod seal;
mod seq;
mod socket;
mod supplied;
mod tap;
pub mod wire;

pub use config::{Config, ConfigError, Mode, Wire};
pub use connection::{
    Batch, Cause, Connection, ConnectionStats, Elsewhere, Ending, Farewell, MessageError, MessageTooLarge,
    Opening, Party, PeerKind, Remains, Role, Silence, TransmitBuffer, code, code_name,
};
pub use endpoint::{Answer, DropReason, Endpoint, Group, Lease, Route, RouteStats, addressee};
pub use fec::{Fec, FecError, FecStats};
pub use profile::{Backoff, Congestion, NoDelay, Profile};
pub use random::SeedSource;
pub use seal::{Cipher, Crypt, CryptError, Key, OpenError, Opener, Sealer};
pub use seq::{Conv, ParseConvError, SeqNumber, Timestamp};
pub use socket::SocketOptions;
pub use supplied::DatagramSocket;
#[doc(hidden)]
pub use supplied::{SocketLease, SuppliedSocket};
pub use tap::{Direction, Tap, TappedDatagram};
