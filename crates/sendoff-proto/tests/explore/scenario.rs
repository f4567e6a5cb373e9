//! What two applications want of each other, and what may go wrong.

use super::{ends::Clean, feats::Feat};
use sendoff_proto::{Opening, Wire};
use std::time::Duration;

/// When a server's application finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finishes {
    /// When its peer has.
    AtEnd,
    /// When all has come that the client has to say: for those who can't say that they have finished.
    AfterAll,
    /// Whenever it likes.
    AtAnyTime,
}

/// What may go wrong, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    pub aborts: u8,
    pub server_restarts: u8,
    pub client_restarts: u8,
    /// Not a fault: the same conversation is dialled again once it is over.
    pub redials: u8,
    pub forgeries: u8,
    pub stock_closes: u8,
    /// Not a fault: the server goes away. Its connections go on, and nobody opens another.
    pub departures: u8,
    /// The client's address becomes another, whether it knows that or not.
    pub moves: u8,
    /// Somebody sends again what the client has sent, from another address.
    pub replays: u8,
    /// 10 s in which nobody does anything.
    pub pauses: u8,
    /// The server comes under pressure, or out of it.
    pub flips: u8,
}

/// How far a conversation is when the exploration begins: what lies before it went as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// Nobody has said anything.
    Unopened,
    /// The client's HELLO has come, and the answer was lost.
    HalfOpen,
    /// Open, and both sides know it.
    Open,
    /// The same, and the client has moved since.
    Moved,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub client: Wire,
    /// A stock server of its own kind instead of ours.
    pub stock_server: bool,
    pub openings: &'static [Opening],
    /// How many messages are written before the first datagram leaves.
    pub first_writes: &'static [u8],
    /// Messages that each side has to say.
    pub writes: [u8; 2],
    /// The server answers message for message, rather than when it likes.
    pub echo: bool,
    pub finishes: Finishes,
    /// Applications close where they would finish.
    pub closes: [bool; 2],
    /// The conversation id is set by hand.
    pub fixed_conv: bool,
    /// The server is under pressure from the beginning.
    pub pressure: bool,
    pub faults: Faults,
    pub begins: Begins,
    pub shows: &'static [Feat],
    pub clean: Clean,
    /// In what time a fair network has to bring the end.
    pub within: Duration,
    /// Datagrams in the network each way.
    pub room: usize,
    /// Times that the clock may go on in one path.
    pub ticks: u8,
}

impl Scenario {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            client: Wire::Extended,
            stock_server: false,
            openings: &[Opening::Waiting, Opening::Early],
            first_writes: &[0, 1],
            writes: [1, 1],
            echo: false,
            finishes: Finishes::AtEnd,
            closes: [false; 2],
            fixed_conv: false,
            pressure: false,
            faults: Faults::default(),
            begins: Begins::Unopened,
            shows: &[],
            clean: Clean::None,
            within: Duration::from_secs(8),
            room: 2,
            ticks: 4,
        }
    }

    pub fn has_stock_peer(&self) -> bool {
        self.stock_server || self.client == Wire::Classic
    }
}
