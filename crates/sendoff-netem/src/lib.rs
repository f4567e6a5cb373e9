//! A seeded link emulator in virtual time: loss, delay, jitter, reordering, rate and queue.
//!
//! [`Link`] is one direction of a path, [`Network`] is a set of hosts with a link for each ordered pair. Both
//! are plain values without I/O, clock or threads: the caller says what time it is, as a [`Duration`] since
//! the start of the simulation, and asks when to come back. The same seed and the same calls give the same
//! deliveries on every machine; a clone has the same future as its original, so that states can be explored.
//!
//! The way of a datagram through a link, in this order:
//!
//! ```text
//! send ─▶ MTU ─▶ partition ─▶ queue ─▶ rate ─▶ loss ─▶ duplicate ─▶ corrupt ─▶ reorder, delay, jitter ─▶ receive
//!       too_large partitioned queue_dropped     lost   └ from here on each copy has a fate of its own ┘
//! ```
//!
//! So a lost datagram has used the bottleneck, and a duplicate has not. Datagrams that arrive at the same
//! instant are delivered in the order in which they were sent.
//!
//! ```
//! use sendoff_netem::{Link, LinkConfig, Loss};
//! use std::time::Duration;
//!
//! let config = LinkConfig::new()
//!     .delay(Duration::from_millis(20))
//!     .rate(10_000_000)
//!     .loss(Loss::Bernoulli(0.1));
//! let mut link = Link::new(config, 7);
//! for n in 0..100 {
//!     link.send(Duration::ZERO, vec![n; 1_222]); // with 28 bytes of headers: 1 ms each
//! }
//! let mut now = Duration::ZERO;
//! while let Some(arrival) = link.next_arrival() {
//!     now = arrival;
//!     while let Some(datagram) = link.receive(now) {
//!         assert_eq!(datagram.len(), 1_222);
//!     }
//! }
//! assert!(now <= Duration::from_millis(120));
//! assert_eq!(link.stats().delivered + link.stats().lost, 100);
//! ```
//!
//! [`Duration`]: std::time::Duration

mod config;
mod link;
mod network;
mod rng;
mod stats;

pub use config::{LinkConfig, Loss, Queue, Reorder};
pub use link::Link;
pub use network::{Delivery, Network};
pub use rng::Rng;
pub use stats::LinkStats;
