//! A look at every datagram: for captures, and for explaining what goes on.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

/// Which way a datagram went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We sent it.
    Sent,
    /// We received it.
    Received,
}

/// A datagram on its way through an endpoint.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TappedDatagram<'a> {
    /// When it was handed to the system, or taken from it.
    pub at: Instant,
    /// Which way it went.
    pub direction: Direction,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub peer: SocketAddr,
    /// The UDP payload as it is on the wire.
    pub payload: &'a [u8],
    /// What it carries once decrypted: the segments. Without a cipher that is the payload itself; `None` when a
    /// datagram that was received can't be opened.
    pub opened: Option<&'a [u8]>,
}

impl<'a> TappedDatagram<'a> {
    /// For drivers: what is shown to a [`Tap`], without a cipher.
    pub fn new(
        at: Instant,
        direction: Direction,
        local: SocketAddr,
        peer: SocketAddr,
        payload: &'a [u8],
    ) -> Self {
        Self { at, direction, local, peer, payload, opened: Some(payload) }
    }

    /// The same with a cipher: what is inside, if it could be opened.
    #[must_use]
    pub fn with_opened(self, opened: Option<&'a [u8]>) -> Self {
        Self { opened, ..self }
    }
}

/// Sees each datagram that an endpoint sends or receives, in order, those that it drops too.
///
/// Called on the hot path, with locks held: it must be quick, and must not call back into the endpoint.
pub trait Tap: Send + Sync {
    /// One datagram.
    fn datagram(&self, datagram: &TappedDatagram<'_>);
}

#[derive(Clone)]
pub(crate) struct SharedTap(pub(crate) Arc<dyn Tap>);

impl fmt::Debug for SharedTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}
