//! Which connection a datagram belongs to, and who may open one.

mod tombstones;

use crate::{
    config::Config,
    seq::{Conv, SeqNumber},
    wire::{Command, HEADER_SIZE, Segment, SegmentView},
};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tombstones::Tombstones;

/// Answers a second to datagrams without a connection; what comes beyond is met by silence.
const ANSWERS_PER_SECOND: u32 = 1_000;

/// Where a datagram goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<H> {
    /// To that connection.
    Known(H),
    /// It opens a connection: make one, [`insert`](Endpoint::insert) it, and hand it the datagram.
    Opens(Conv),
    /// Nowhere, but it is answered with this datagram.
    Answer([u8; HEADER_SIZE]),
    /// Nowhere.
    Dropped(DropReason),
}

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It doesn't begin with a segment, its conversation id is 0, or it can't be answered (port 0).
    Malformed,
    /// It belongs to no connection, and nothing in it may open one.
    Unknown,
    /// It belongs to a connection that has ended a short while ago.
    Ended,
    /// There are as many connections as there may be.
    Full,
    /// Nothing is accepted here.
    NotListening,
}

/// What an endpoint has counted, in datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteStats {
    /// See [`DropReason::Malformed`].
    pub dropped_malformed: u64,
    /// See [`DropReason::Unknown`].
    pub dropped_unknown: u64,
    /// See [`DropReason::Ended`].
    pub dropped_ended: u64,
    /// See [`DropReason::Full`].
    pub dropped_full: u64,
    /// See [`DropReason::NotListening`].
    pub dropped_not_listening: u64,
    /// Probes of conversations that don't exist, answered.
    pub answered: u64,
}

/// The connections of one remote address: nearly always one.
#[derive(Clone, Debug)]
enum Remote<H> {
    One(Conv, H),
    Many(Vec<(Conv, H)>),
}

impl<H> Remote<H> {
    fn as_slice(&self) -> RemoteIter<'_, H> {
        match self {
            Self::One(conv, handle) => RemoteIter::One(Some((*conv, handle))),
            Self::Many(many) => RemoteIter::Many(many.iter()),
        }
    }
}

enum RemoteIter<'a, H> {
    One(Option<(Conv, &'a H)>),
    Many(std::slice::Iter<'a, (Conv, H)>),
}

impl<'a, H> Iterator for RemoteIter<'a, H> {
    type Item = (Conv, &'a H);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::One(one) => one.take(),
            Self::Many(many) => many.next().map(|(conv, handle)| (*conv, handle)),
        }
    }
}

/// The table of one socket's connections. `H` is what the caller knows a connection by.
///
/// A connection is known by the remote address and its conversation id: one that ended badly, and
/// was never heard of again, doesn't stand in the way of the next from the same address.
#[derive(Clone, Debug)]
pub struct Endpoint<H> {
    config: Arc<Config>,
    remotes: HashMap<SocketAddr, Remote<H>>,
    connections: usize,
    tombstones: Tombstones,
    listening: bool,
    answers: (Option<Instant>, u32),
    stats: RouteStats,
}

impl<H: Clone> Endpoint<H> {
    /// An endpoint without connections. One that isn't `listening` takes no connection that a peer opens.
    pub fn new(config: Arc<Config>, listening: bool) -> Self {
        Self {
            config,
            remotes: HashMap::new(),
            connections: 0,
            tombstones: Tombstones::default(),
            listening,
            answers: (None, 0),
            stats: RouteStats::default(),
        }
    }

    /// From now on, connections that peers open are taken or not.
    pub fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// Connections in the table.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// What was dropped.
    pub fn stats(&self) -> RouteStats {
        self.stats
    }

    /// Where a datagram from `remote` goes.
    pub fn route(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> Route<H> {
        let Ok((segment, _)) = SegmentView::parse(datagram) else {
            return self.drop(DropReason::Malformed);
        };
        let Some(conv) = Conv::new(segment.conv()).filter(|_| remote.port() != 0) else {
            return self.drop(DropReason::Malformed);
        };
        match self.get(remote, conv) {
            Some(handle) => Route::Known(handle.clone()),
            None => self.route_unknown(now, remote, conv, &segment),
        }
    }

    fn route_unknown(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        conv: Conv,
        segment: &SegmentView<'_>,
    ) -> Route<H> {
        if !self.listening {
            return self.drop(DropReason::NotListening);
        }
        if is_ping(segment) && !self.tombstones.contains(now, remote, conv) && self.may_answer(now) {
            return Route::Answer(bare_window(conv));
        }
        // A server's own first PUSH has una 1 or more: two echo servers can't be set on each other either.
        let opens = segment.command() == Command::Push
            && segment.sn() == SeqNumber(0)
            && segment.una() == SeqNumber(0)
            && segment.fragment() < u8::MAX;
        if !opens {
            return self.drop(DropReason::Unknown);
        }
        if self.tombstones.contains(now, remote, conv) {
            return self.drop(DropReason::Ended);
        }
        if self.connections >= self.config.max_connections_count() {
            return self.drop(DropReason::Full);
        }
        Route::Opens(conv)
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.answers;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        let may = *count <= ANSWERS_PER_SECOND;
        self.stats.answered += u64::from(may);
        may
    }

    fn drop(&mut self, reason: DropReason) -> Route<H> {
        self.count(reason);
        Route::Dropped(reason)
    }

    /// Counts a datagram that the caller dropped.
    pub fn count(&mut self, reason: DropReason) {
        *match reason {
            DropReason::Malformed => &mut self.stats.dropped_malformed,
            DropReason::Unknown => &mut self.stats.dropped_unknown,
            DropReason::Ended => &mut self.stats.dropped_ended,
            DropReason::Full => &mut self.stats.dropped_full,
            DropReason::NotListening => &mut self.stats.dropped_not_listening,
        } += 1;
    }

    /// The connection with that peer and conversation id.
    pub fn get(&self, remote: SocketAddr, conv: Conv) -> Option<&H> {
        self.remotes.get(&remote)?.as_slice().find(|(c, _)| *c == conv).map(|(_, handle)| handle)
    }

    /// All connections with that peer.
    pub fn with_remote(&self, remote: SocketAddr) -> impl Iterator<Item = &H> {
        self.remotes.get(&remote).into_iter().flat_map(|r| r.as_slice()).map(|(_, handle)| handle)
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        self.remotes.values().flat_map(|r| r.as_slice()).map(|(_, handle)| handle)
    }

    /// Enters a connection. The caller has made sure that this peer has none with this id.
    pub fn insert(&mut self, remote: SocketAddr, conv: Conv, handle: H) {
        self.connections += 1;
        match self.remotes.entry(remote) {
            Entry::Vacant(vacant) => {
                vacant.insert(Remote::One(conv, handle));
            }
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                Remote::Many(many) => many.push((conv, handle)),
                Remote::One(c, h) => {
                    let first = (*c, h.clone());
                    occupied.insert(Remote::Many(vec![first, (conv, handle)]));
                }
            },
        }
    }

    /// Takes a connection out that has ended. For 10 s, late copies of its datagrams open no other.
    pub fn remove(&mut self, now: Instant, remote: SocketAddr, conv: Conv) -> Option<H> {
        let Entry::Occupied(mut occupied) = self.remotes.entry(remote) else { return None };
        let (removed, empty) = match occupied.get_mut() {
            Remote::One(c, h) if *c == conv => (Some(h.clone()), true),
            Remote::One(..) => (None, false),
            Remote::Many(many) => {
                let at = many.iter().position(|(c, _)| *c == conv);
                let removed = at.map(|at| many.swap_remove(at).1);
                (removed, many.is_empty())
            }
        };
        if empty {
            occupied.remove();
        }
        if removed.is_some() {
            self.connections -= 1;
            self.tombstones.insert(now, remote, conv);
        }
        removed
    }

    /// Gives back the memory of a table that was larger once.
    pub fn shrink(&mut self) {
        if self.remotes.capacity() > 4 * self.remotes.len().max(16) {
            self.remotes.shrink_to(2 * self.remotes.len());
        }
    }
}

/// A bare probe opens nothing here, but one that begins a conversation asks whether anyone is there,
/// and deserves an answer. One from the middle of a conversation doesn't: it would take the answer for
/// a sign of life. WINS is never answered, so two endpoints can't be set on each other.
fn is_ping(segment: &SegmentView<'_>) -> bool {
    segment.command() == Command::WindowAsk
        && segment.data().is_empty()
        && segment.sn() == SeqNumber(0)
        && segment.una() == SeqNumber(0)
}

/// What a stock peer answers when it has just been opened by a probe: nothing received, 32 segments of room.
fn bare_window(conv: Conv) -> [u8; HEADER_SIZE] {
    Segment {
        conv: conv.value(),
        command: Command::WindowTell,
        fragment: 0,
        window: 32,
        timestamp: Default::default(),
        sn: SeqNumber(1),
        una: SeqNumber(0),
    }
    .encode_header(0)
}

#[cfg(test)]
mod tests;
