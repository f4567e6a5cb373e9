//! Interoperability tests of sendoff against the KCP stacks that people run.
//!
//! A [`Trial`] is one transfer between two [`Side`]s: sendoff in this process, or a peer program
//! in a process of its own ([`Peer`]), directly or through a [`Relay`] that loses, reorders and
//! duplicates. The tests in `tests/` are trials and what follows from them; the binary `interop`
//! runs the full product of their [factors](table) and prints the figures.

pub mod browser;
pub mod captures;
pub mod datagram;
pub mod ours;
pub mod peer;
pub mod program;
pub mod relay;
pub mod runner;
pub mod settings;
pub mod table;
pub mod talk;
pub mod trial;

pub use peer::{Client, Peer, Server, Shards, ready};
pub use relay::{Direction, Link, Recorded, Relay};
pub use settings::{Profile, Settings};
pub use trial::{Outcome, Side, Trial};
