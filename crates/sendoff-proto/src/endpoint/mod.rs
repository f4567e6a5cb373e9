//! Which connection a datagram belongs to, and who may open one.

mod admission;
mod answers;
mod cookie;
mod fingerprint;
mod group;
mod limits;
mod moves;
mod ours;
mod tombstones;

pub use answers::Answer;
pub(crate) use cookie::{Cookie, NO_COOKIE};
pub use group::Group;
pub use limits::Lease;
pub use moves::addressee;

use crate::{
    config::{Config, Wire},
    connection::{Opening, Remains},
    seq::{Conv, SeqNumber},
    wire::{Block, Body, Command, FIN_FRAGMENT, SegmentView, Token, segments},
};
use cookie::Cookies;
use group::Place;
use limits::{Budget, Neighbours};
use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tombstones::{Tombstones, Verdict};

/// Answers a second to datagrams without a connection; what comes beyond is met by silence.
const ANSWERS_PER_SECOND: u32 = 1_000;

/// Where a datagram goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<H> {
    /// To that connection.
    Known(H),
    /// It opens a connection: make one, let it [`hold`](crate::Connection::hold) a [`lease`](Endpoint::lease),
    /// [`insert`](Endpoint::insert) it, and hand it the datagram.
    Opens(Conv, Opening),
    /// From another address than this connection's peer, but a block in it names the connection: see
    /// [`handle_elsewhere`](crate::Connection::handle_elsewhere).
    Elsewhere(H),
    /// Nowhere, but it is answered with this datagram.
    Answer(Answer),
    /// To this driver of the [`Group`]: it belongs to a connection there.
    PassOn(u8),
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
    /// There are as many connections as there may be with peers that have proven nothing.
    Unproven,
    /// It is from a stock peer, and only those that speak blocks are welcome.
    Stock,
    /// Nothing is accepted here.
    NotListening,
    /// Its address has as many connections as one address may have.
    PerAddress,
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
    /// See [`DropReason::Unproven`].
    pub dropped_unproven: u64,
    /// See [`DropReason::Stock`].
    pub dropped_stock: u64,
    /// See [`DropReason::NotListening`].
    pub dropped_not_listening: u64,
    /// Openings refused, by RESET or by silence: see [`DropReason::PerAddress`].
    pub refused_per_address: u64,
    /// Datagrams of no connection that were answered, RETRYs not counted.
    pub answered: u64,
    /// HELLOs that were told to come again with a cookie: nothing was stored for them.
    pub retries_sent: u64,
    /// HELLOs with a valid cookie that opened a connection.
    pub cookies_accepted: u64,
    /// HELLOs with a cookie that is forged, too old or another's, where one was needed: told to come again.
    pub cookies_refused: u64,
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
    /// Those that are followed, by their own token.
    tokens: HashMap<Token, H>,
    budget: Arc<Budget>,
    neighbours: Neighbours,
    cookies: Option<Cookies>,
    /// Unproven connections from which on a HELLO needs a cookie.
    pressure: usize,
    tombstones: Tombstones,
    listening: bool,
    /// It has listened, and will no more.
    going_away: bool,
    answers: (Option<Instant>, u32),
    stats: RouteStats,
    /// Among several of one address.
    place: Option<Place>,
}

impl<H: Clone> Endpoint<H> {
    /// An endpoint without connections. One that isn't `listening` takes no connection that a peer opens.
    pub fn new(config: Arc<Config>, listening: bool) -> Self {
        Self {
            neighbours: Neighbours::new(config.max_connections_per_address_count()),
            config,
            remotes: HashMap::new(),
            connections: 0,
            tokens: HashMap::new(),
            budget: Arc::default(),
            cookies: None,
            pressure: limits::PRESSURE,
            tombstones: Tombstones::default(),
            listening,
            going_away: false,
            answers: (None, 0),
            stats: RouteStats::default(),
            place: None,
        }
    }

    /// From 256 connections with unproven peers on, HELLO is told to come again with a cookie (RETRY), and nothing is
    /// stored until then. Without this no RETRY is sent, and a flood of HELLOs can take all 1,024 places.
    ///
    /// The key of the cookies comes from `seed`, which must be from a secure source: who can guess it can open
    /// connections from addresses that aren't his.
    #[must_use]
    pub fn with_cookies(mut self, seed: u128) -> Self {
        self.cookies = Some(Cookies::new(seed));
        if let Some(place) = &self.place {
            place.group.count_retries(seed);
        }
        self
    }

    /// From now on, connections that peers open are taken or not.
    pub fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
    }

    /// From now on nothing opens here any more, and who tries to by HELLO is told so: RESET 4. Connections live on, and
    /// a repeated HELLO of theirs is answered as ever. An endpoint that doesn't listen stays silent.
    pub fn go_away(&mut self) {
        self.going_away |= self.listening;
        self.listening = false;
    }

    /// Connections in the table.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Whether there are as many connections as there may be; of a group, in all of it.
    pub fn is_full(&self) -> bool {
        let connections = self.place.as_ref().map_or(self.connections, Place::connections);
        connections >= self.config.max_connections_count()
    }

    /// What was dropped.
    pub fn stats(&self) -> RouteStats {
        self.stats
    }

    /// Where a datagram from `remote` goes.
    pub fn route(&mut self, now: Instant, remote: SocketAddr, datagram: &[u8]) -> Route<H> {
        self.route_within(now, remote, datagram, false)
    }

    fn route_within(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        datagram: &[u8],
        was_passed: bool,
    ) -> Route<H> {
        let Ok((segment, _)) = SegmentView::parse(datagram) else {
            return self.drop(DropReason::Malformed);
        };
        let Some(conv) = Conv::new(segment.conv()).filter(|_| remote.port() != 0) else {
            return self.drop(DropReason::Malformed);
        };
        if let Some(handle) = self.get(remote, conv) {
            return Route::Known(handle.clone());
        }
        if !was_passed && let Some(driver) = self.other_driver(now, remote, conv, datagram) {
            return Route::PassOn(driver);
        }
        self.route_unknown(now, remote, conv, datagram)
    }

    fn route_unknown(&mut self, now: Instant, remote: SocketAddr, conv: Conv, datagram: &[u8]) -> Route<H> {
        if let Some(handle) = self.find_elsewhere(conv, datagram) {
            return Route::Elsewhere(handle);
        }
        let met = self.tombstones.meet(now, remote, conv, datagram);
        match met {
            Some(Verdict::Answer(answer)) => return self.answer(now, answer, DropReason::Ended),
            Some(Verdict::Silence) => return self.drop(DropReason::Ended),
            Some(Verdict::Moved) | None => {}
        }
        if let Some(answer) = self.meet_elsewhere(now, conv, datagram) {
            return self.answer(now, answer, DropReason::Ended);
        }
        if met.is_some() {
            return self.drop(DropReason::Ended);
        }
        let own = || segments(datagram).map_while(Result::ok).take_while(|s| s.conv() == conv.value());
        if !self.config.speaks_blocks() {
            return self.route_classic(now, (remote, conv), own());
        }
        let mut welcomed = false;
        for segment in own() {
            let is_data = segment.command() == Command::Push && segment.fragment() != FIN_FRAGMENT;
            let block = if is_data { None } else { Block::parse(&segment) };
            match block {
                // Of a server that takes us for its client: its first PUSH is told what others are.
                Some(Block { body: Body::Welcome { .. }, .. }) => welcomed = true,
                None if is_data && welcomed => {
                    return self.answer(now, Answer::hint(conv, segment.sn()), DropReason::Unknown);
                }
                Some(block) => return self.route_block(now, (remote, conv), &segment, &block),
                None if segment.command() == Command::Push => {
                    return self.route_push(now, (remote, conv), &segment);
                }
                None => {}
            }
        }
        self.drop(DropReason::Unknown)
    }

    /// A block of an unknown conversation.
    fn route_block(
        &mut self,
        now: Instant,
        (remote, conv): (SocketAddr, Conv),
        segment: &SegmentView<'_>,
        block: &Block<'_>,
    ) -> Route<H> {
        match (block.body, block.to, block.from) {
            (Body::Hello { cookie, .. }, None, Some(from)) => {
                self.admit_hello(now, (remote, conv, from), &cookie)
            }
            (Body::Hello { .. } | Body::Ping { .. }, ..) => {
                self.answer(now, Answer::unknown(conv, block.from), DropReason::Unknown)
            }
            (Body::Fin { .. }, ..) => self.answer(now, Answer::hint(conv, segment.sn()), DropReason::Unknown),
            _ => self.drop(DropReason::Unknown),
        }
    }

    /// A PUSH of an unknown conversation. A server's own first PUSH has una 1 or more, so two echo servers
    /// can't be set on each other.
    fn route_push(
        &mut self,
        now: Instant,
        (remote, conv): (SocketAddr, Conv),
        segment: &SegmentView<'_>,
    ) -> Route<H> {
        if !is_opening(segment) {
            return self.answer(now, Answer::hint(conv, segment.sn()), DropReason::Unknown);
        }
        if self.config.wire_value() == Wire::Required {
            return self.drop(DropReason::Stock);
        }
        self.admit_stock((remote, conv), segment.data().len())
    }

    /// As kcp-go, which knows no blocks; but an opening that is only asked for costs nothing, and is answered as a
    /// stock listener would.
    fn route_classic<'a>(
        &mut self,
        now: Instant,
        (remote, conv): (SocketAddr, Conv),
        segments: impl Iterator<Item = SegmentView<'a>>,
    ) -> Route<H> {
        let mut asked = false;
        for segment in segments {
            match segment.command() {
                Command::Push if is_opening(&segment) => {
                    return self.admit_stock((remote, conv), segment.data().len());
                }
                Command::Push => break,
                Command::WindowAsk => asked |= segment.sn() == SeqNumber(0) && segment.una() == SeqNumber(0),
                Command::Ack | Command::WindowTell => {}
            }
        }
        match asked {
            true if self.listening => self.answer(now, Answer::bare_window(conv), DropReason::Unknown),
            true => self.drop(DropReason::NotListening),
            false => self.drop(DropReason::Unknown),
        }
    }

    /// Answers, if not too many were answered in this second.
    fn answer(&mut self, now: Instant, answer: Answer, otherwise: DropReason) -> Route<H> {
        if self.may_answer(now) { Route::Answer(answer) } else { self.drop(otherwise) }
    }

    /// What a connection with an unproven peer holds; see [`Connection::hold`](crate::Connection::hold).
    pub fn lease(&self) -> Lease {
        Lease::new(self.budget.clone())
    }

    /// Connections with unproven peers, and the bytes held for them.
    pub fn unproven(&self) -> (usize, usize) {
        (self.budget.connections(), self.budget.bytes())
    }

    /// Tombstones that there are.
    pub fn tombstones(&self) -> usize {
        self.tombstones.len()
    }

    /// When [`poll_answer`](Self::poll_answer) has something to send.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tombstones.next_repeat()
    }

    /// A datagram that is to be sent now, and to whom. Call until `None`.
    pub fn poll_answer(&mut self, now: Instant) -> Option<(SocketAddr, Answer)> {
        self.tombstones.take_repeat(now)
    }

    /// Until when the socket should live on without connections: a peer may have missed our last word.
    pub fn stay_until(&self) -> Option<Instant> {
        self.tombstones.stay_until()
    }

    /// Whether a connection of that name has ended a short while ago.
    pub fn is_buried(&mut self, now: Instant, remote: SocketAddr, conv: Conv) -> bool {
        self.tombstones.contains(now, remote, conv)
    }

    fn may_answer(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.answers;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count += 1;
        let drivers = self.place.as_ref().map_or(1, |place| place.group.drivers());
        let may = *count <= ANSWERS_PER_SECOND / u32::from(drivers);
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
            DropReason::Unproven => &mut self.stats.dropped_unproven,
            DropReason::Stock => &mut self.stats.dropped_stock,
            DropReason::NotListening => &mut self.stats.dropped_not_listening,
            DropReason::PerAddress => &mut self.stats.refused_per_address,
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
        self.place.iter().for_each(Place::count_in);
        self.change_neighbours(|neighbours| neighbours.add(remote.ip()));
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

    /// Takes a connection out that has ended, and keeps what it has left behind for 10 s: late copies of its
    /// datagrams open no other, and its peer learns how it ended.
    pub fn remove(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        conv: Conv,
        remains: Option<&Remains>,
    ) -> Option<H> {
        let removed = self.take(remote, conv);
        if let Some(place) = &self.place {
            place.fade(now, remote, conv);
        }
        if let Some(remains) = remains {
            self.tokens.remove(&remains.own);
        }
        if let (Some(_), Some(remains)) = (&removed, remains) {
            self.tombstones.bury(now, remote, conv, remains);
        }
        removed
    }

    /// A connection has taken another id: see [`Connection::take_former_name`](crate::Connection::take_former_name).
    pub fn rename(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        (former, remains): (Conv, &Remains),
        conv: Conv,
    ) {
        if let Some(handle) = self.remove(now, remote, former, Some(remains)) {
            self.insert(remote, conv, handle);
            self.forward(now, remote, conv);
        }
    }

    fn take(&mut self, remote: SocketAddr, conv: Conv) -> Option<H> {
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
            self.place.iter().for_each(Place::count_out);
            self.change_neighbours(|neighbours| neighbours.remove(remote.ip()));
        }
        removed
    }

    /// Gives back the memory of a table that was larger once.
    pub fn shrink(&mut self) {
        if self.remotes.capacity() > 4 * self.remotes.len().max(16) {
            self.remotes.shrink_to(2 * self.remotes.len());
        }
        self.change_neighbours(Neighbours::shrink);
        if self.tokens.capacity() > 4 * self.tokens.len().max(16) {
            self.tokens.shrink_to(2 * self.tokens.len());
        }
    }
}

/// Whether a PUSH is one that a stock client begins with.
fn is_opening(segment: &SegmentView<'_>) -> bool {
    segment.sn() == SeqNumber(0) && segment.una() == SeqNumber(0) && segment.fragment() < FIN_FRAGMENT
}
