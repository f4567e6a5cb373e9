//! What an endpoint will do, without when it is and what was counted: for tests that explore all states.

use super::{
    Endpoint,
    tombstones::{Name, Tombstone},
};
use crate::{seq::Conv, wire::Token};
use std::{
    hash::{Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Long times are told apart by steps of this, in seconds.
const STEP: u64 = 2;

impl<H: Clone + Hash> Endpoint<H> {
    /// Gives a copy limits of its own; its connections have to [`hold`](crate::Connection::hold) new leases.
    #[doc(hidden)]
    pub fn detach(&mut self) {
        self.budget = std::sync::Arc::default();
    }

    /// When the next tombstone is gone.
    #[doc(hidden)]
    pub fn next_expiry(&self) -> Option<Instant> {
        let t = &self.tombstones;
        t.proven.stones.values().chain(t.unproven.stones.values()).map(|stone| stone.until).min()
    }

    /// What a cookie for that name is worth: 0 is one that was never made for it, or too old.
    #[doc(hidden)]
    pub fn cookie_class(&self, now: Instant, name: (SocketAddr, Conv, Token), cookie: &[u8; 16]) -> u8 {
        let age = self.cookies.as_ref().and_then(|cookies| cookies.clone().age(now, name, cookie));
        age.map_or(0, |age| 1 + age as u8)
    }

    /// Two endpoints with the same fingerprint behave alike from now on, but for the limits of memory and rate.
    #[doc(hidden)]
    pub fn fingerprint(&self, now: Instant, h: &mut impl Hasher) {
        (self.listening, self.going_away, self.pressure).hash(h);
        if let Some(cookies) = &self.cookies {
            cookies.clone().slot_left(now).as_secs().div_ceil(STEP).hash(h);
        }
        let mut names: Vec<_> = self.remotes.iter().collect();
        names.sort_by_key(|&(address, _)| *address);
        for (address, remote) in names {
            address.hash(h);
            let mut handles: Vec<_> = remote.as_slice().collect();
            handles.sort_by_key(|&(conv, _)| conv.value());
            handles.hash(h);
        }
        let mut tokens: Vec<_> = self.tokens.iter().collect();
        tokens.sort_by_key(|&(token, _)| token.value());
        tokens.hash(h);
        let t = &self.tombstones;
        for yard in [&t.proven, &t.unproven] {
            let mut stones: Vec<_> = yard.stones.iter().filter(|(_, stone)| stone.until > now).collect();
            stones.sort_by_key(|&(&(address, conv), _)| (address, conv.value()));
            stones.len().hash(h);
            for (name, stone) in stones {
                hash_stone(now, name, stone, h);
            }
        }
        for &(at, address, conv, more) in &t.repeats {
            (at.saturating_duration_since(now), address, conv, more).hash(h);
        }
    }
}

fn hash_stone(now: Instant, name: &Name, stone: &Tombstone, h: &mut impl Hasher) {
    (name, stone.own, stone.peer, stone.una, stone.rest, stone.rto).hash(h);
    let until = stone.until.saturating_duration_since(now);
    until.as_secs().div_ceil(STEP).hash(h);
    let waits = stone.answered.map(|at| at.map_or(Duration::ZERO, |at| age_out(now, at, stone.rto)));
    waits.hash(h);
}

/// How long nothing more is answered.
fn age_out(now: Instant, at: Instant, rto: Duration) -> Duration {
    (at + rto).saturating_duration_since(now)
}
