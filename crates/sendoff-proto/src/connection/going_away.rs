//! A side that goes away says so: its peer may finish what is under way, and should open nothing new there.
//!
//! It is a flag in PINGs, which are answered as any other: an answer to one of them confirms that the peer knows. It
//! ends nothing by itself, whether it is answered or not.

use super::{Connection, Phase, Timer};
use std::time::{Duration, Instant};

/// How often it is said at most: at once, and after 1, 3 and 7 timeouts.
const NOTICES: usize = 4;

/// What is known of either side's leaving.
#[derive(Clone, Debug, Default)]
pub(super) struct GoingAway {
    /// Ours, if we go away.
    own: Option<Notice>,
    /// The peer has said that it does.
    pub(super) peer: bool,
}

/// What the peer was told.
#[derive(Clone, Debug, Default)]
struct Notice {
    /// The challenges of the latest PINGs that said so.
    challenges: [Option<u64>; NOTICES],
    /// How often it was meant to be said.
    said: usize,
    confirmed: bool,
}

impl GoingAway {
    /// Whether the next PING says it: until one that did was answered.
    pub(super) fn is_to_be_said(&self) -> bool {
        self.own.as_ref().is_some_and(|notice| !notice.confirmed)
    }

    /// A PING that says it has left.
    pub(super) fn note_ping(&mut self, challenge: u64) {
        if let Some(notice) = &mut self.own {
            notice.challenges.rotate_right(1);
            notice.challenges[0] = Some(challenge);
        }
    }

    /// A PONG has come that is believed; says whether it confirms that the peer knows.
    pub(super) fn note_pong(&mut self, challenge: u64) -> bool {
        let Some(notice) = &mut self.own else { return false };
        notice.confirmed |= notice.challenges.contains(&Some(challenge));
        notice.confirmed
    }

    /// What makes a difference to what is done from now on.
    pub(super) fn state(&self) -> (Option<(usize, bool)>, bool) {
        (self.own.as_ref().map(|notice| (notice.said, notice.confirmed)), self.peer)
    }
}

impl Connection {
    /// Tells an extended peer that this side goes away: at once, and after 1, 3 and 7 timeouts, until it has
    /// confirmed. The connection goes on; whether it is confirmed or not, nothing ends by it. A peer that hasn't shown yet
    /// that it knows us is told once it has; a stock one can't be told. The first call counts.
    pub fn go_away(&mut self, now: Instant) {
        if self.going_away.own.is_none() && self.phase != Phase::Ended && self.peering.blocks {
            self.going_away.own = Some(Notice::default());
            self.on_going_away(now);
        }
    }

    /// Whether this side has begun to go away, by [`go_away`](Self::go_away).
    pub fn is_going_away(&self) -> bool {
        self.going_away.own.is_some()
    }

    /// Whether the peer has confirmed that it knows that we go away.
    pub fn is_going_away_confirmed(&self) -> bool {
        self.going_away.own.as_ref().is_some_and(|notice| notice.confirmed)
    }

    /// Whether the peer has said that it goes away: it takes no new connections, and gives this one some time to end.
    pub fn is_peer_going_away(&self) -> bool {
        self.going_away.peer
    }

    /// The peer has shown that it knows us: if that is news, it is told what it couldn't be told before.
    pub(super) fn tell_going_away(&mut self, now: Instant) {
        if self.going_away.own.as_ref().is_some_and(|notice| notice.said == 0) {
            self.on_going_away(now);
        }
    }

    pub(super) fn on_going_away(&mut self, now: Instant) {
        let Some(notice) = self.going_away.own.as_mut().filter(|notice| !notice.confirmed) else { return };
        if notice.said == NOTICES || !self.peering.knows_us() {
            return;
        }
        // 1, 2 and 4 timeouts from one to the next.
        let gap = self.rtt.rto * (1 << notice.said.min(NOTICES - 1));
        notice.said += 1;
        self.liveness.ask = true;
        let again = (notice.said < NOTICES).then(|| now + gap.min(LONGEST_GAP));
        self.timers.set(Timer::GoingAway, again);
    }
}

/// Where the timeout is long, repeating it later than this is of no use.
const LONGEST_GAP: Duration = Duration::from_secs(60);
