//! The way between two peers, and what happens when it changes.
//!
//! The listener's side follows. A block from another address that names both tokens is no proof, for it may be an old
//! one that somebody has recorded: it is answered with a PING whose challenge belongs to that address alone, and only
//! the PONG with that challenge, from that address, moves the connection. Until then everything goes the old way.
//!
//! The challenge is a keyed MAC of the address, so that nothing is kept of an address that asks, and nobody who asks from
//! other addresses meanwhile stands in the way of the true peer.
//!
//! The dialling side finds out that its own way has changed: a send fails, or what was sent has met silence for too long.
//! It then asks before anything else, for data from an unknown address is dropped.

use super::{
    Connection, PeerKind, Phase, Role, Timer, controller, pacer::Pacer, rtt::Rtt, transmit::PROBE_SN,
};
use crate::{
    endpoint::Answer,
    wire::{Block, Body, Command, Segment, Token, segments},
};
use siphasher::sip::SipHasher24;
use std::{
    hash::{Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a challenge is good for, from the first question of an attempt; then the next has another key.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Datagrams a second to addresses from which somebody asks; what is asked beyond is met by silence. Its own bound for
/// each connection: who knows no tokens uses up nothing of it.
const ANSWERS_PER_SECOND: u32 = 1_000;

/// Segments received since the peer was last asked, after which a silence is worth a question.
const STREAM: u64 = 32;

/// What becomes of a datagram from another address than the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It isn't the peer's, or proves nothing.
    Ignored,
    /// The peer has broken it off, wherever it is: hand it the datagram.
    Reset,
    /// Send these there.
    Asked(Answer, Option<Answer>),
    /// The peer is there now: [`relocate`](crate::Endpoint::relocate) it, and if that may be, tell the
    /// [`connection`](Connection::handle_moved) and hand it the datagram.
    Moved,
}

/// What is known of the way, once it has changed or may have.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    /// Questions to other addresses.
    attempt: Option<Attempt>,
    /// Datagrams that such addresses have got in the second that began then.
    answers: (Option<Instant>, u32),
    /// What was sent before went another way: it tells nothing of this one.
    since: Option<Instant>,
    /// Our own address is another now, and the peer may not know it: data waits until it answers.
    pub(super) moving: bool,
    /// What was sent has met silence: there may be another way.
    pub(super) doubt: bool,
}

impl Path {
    /// Whether somebody has asked from elsewhere since the last move.
    pub(super) fn is_asking(&self) -> bool {
        self.attempt.is_some()
    }

    /// Whether so many more datagrams may go to other addresses.
    fn may_answer(&mut self, now: Instant, datagrams: u32) -> bool {
        let (since, count) = &mut self.answers;
        if since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (*since, *count) = (Some(now), 0);
        }
        *count += datagrams;
        *count <= ANSWERS_PER_SECOND
    }
}

/// One attempt of the peer's to move, from whatever addresses.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    key: (u64, u64),
    began: Instant,
    asked_at: Instant,
}

impl Attempt {
    fn challenge(&self, address: SocketAddr) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        (address.ip(), address.port()).hash(&mut hasher);
        hasher.finish()
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.began + ATTEMPT
    }
}

impl Connection {
    /// Our token, by which its endpoint finds it when the peer comes from another address; `None` where it isn't
    /// followed: see [`Endpoint::follow`](crate::Endpoint::follow).
    pub fn followed_as(&self) -> Option<Token> {
        let extended = self.role == Role::Server && self.peering.peer.is_some();
        let follows = extended && self.config.follow_value() && self.phase != Phase::Ended;
        follows.then_some(self.peering.own)
    }

    /// A datagram has come from another address than the peer's, in which a block names our token.
    pub fn handle_elsewhere(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Elsewhere {
        if self.followed_as().is_none() {
            return Elsewhere::Ignored;
        }
        if self.is_reset(datagram) {
            return Elsewhere::Reset;
        }
        let own = segments(datagram).map_while(Result::ok).take_while(|s| s.conv() == self.conv.value());
        let (own_token, peer) = (Some(self.peering.own), self.peering.peer);
        let mut blocks = own.filter_map(|segment| Block::parse(&segment));
        let named =
            blocks.find(|block| block.to == own_token && block.from == peer && asks_or_answers(block));
        match named.map(|block| block.body) {
            Some(Body::Ping { challenge }) => self.ask_elsewhere(now, from, Some(challenge)),
            Some(Body::Hello { .. }) => self.ask_elsewhere(now, from, None),
            Some(Body::Pong { challenge }) => self.take_proof(now, from, challenge),
            _ => {
                self.stats.unbelieved_blocks += 1;
                Elsewhere::Ignored
            }
        }
    }

    /// Whether it is a RESET for us, and nothing else. One of a tombstone has no token of its own.
    fn is_reset(&self, datagram: &[u8]) -> bool {
        let mut segments = segments(datagram);
        let Some(Ok(first)) = segments.next() else { return false };
        let block = Block::parse(&first).filter(|block| block.to == Some(self.peering.own));
        segments.next().is_none() && block.is_some_and(|block| matches!(block.body, Body::Reset { .. }))
    }

    /// Two small datagrams for one: less than three times what has come.
    fn ask_elsewhere(&mut self, now: Instant, from: SocketAddr, theirs: Option<u64>) -> Elsewhere {
        let path = self.path.get_or_insert_default();
        if !path.may_answer(now, 1 + u32::from(theirs.is_some())) {
            return Elsewhere::Ignored;
        }
        let key = (self.random.next(), self.random.next());
        let fresh = Attempt { key, began: now, asked_at: now };
        let attempt = path.attempt.get_or_insert(fresh);
        if attempt.is_over(now) {
            *attempt = fresh;
        }
        attempt.asked_at = now;
        let challenge = attempt.challenge(from);
        let question = self.block_elsewhere(now, Body::Ping { challenge });
        let answer = theirs.map(|challenge| self.block_elsewhere(now, Body::Pong { challenge }));
        Elsewhere::Asked(question, answer)
    }

    fn block_elsewhere(&mut self, now: Instant, body: Body<'_>) -> Answer {
        self.stats.datagrams_sent += 1;
        let command = match body {
            Body::Ping { .. } => Command::WindowAsk,
            _ => Command::WindowTell,
        };
        let header = Segment { command, sn: PROBE_SN, fragment: 0, ..self.stamp(now) };
        let block = Block { flags: 0, to: self.peering.peer, from: Some(self.peering.own), body };
        let mut data = Vec::with_capacity(block.size());
        block.encode(&mut data);
        Answer::new(header, &data)
    }

    /// Whether a PONG with that challenge from there moves the peer: it answers a question that went to that address, and
    /// nowhere else.
    #[doc(hidden)]
    pub fn expects_proof(&self, now: Instant, from: SocketAddr, challenge: u64) -> bool {
        let attempt = self.path.as_ref().and_then(|path| path.attempt);
        attempt.is_some_and(|attempt| !attempt.is_over(now) && attempt.challenge(from) == challenge)
    }

    fn take_proof(&mut self, now: Instant, from: SocketAddr, challenge: u64) -> Elsewhere {
        if self.expects_proof(now, from, challenge) {
            return Elsewhere::Moved;
        }
        self.stats.unbelieved_blocks += 1;
        Elsewhere::Ignored
    }

    /// The peer is where its answer has come from, and the endpoint has [`relocate`](crate::Endpoint::relocate)d it.
    pub fn handle_moved(&mut self, now: Instant) {
        let attempt = self.path.as_mut().and_then(|path| path.attempt.take());
        self.stats.moves += 1;
        self.start_path_over(now);
        if let Some(attempt) = attempt {
            self.rtt.estimate(now.saturating_duration_since(attempt.asked_at));
        }
    }

    /// Nothing is known of the new way, and what is in flight went the old one: it is sent again.
    fn start_path_over(&mut self, now: Instant) {
        self.path.get_or_insert_default().since = Some(now);
        self.rtt = Rtt::new(&self.profile);
        self.congestion = controller(&self.profile, self.config.segment_size());
        self.pacer = self.profile.is_paced().then(|| Pacer::new(now));
        self.timers.stop(Timer::Pace);
        self.loss.resend_in_flight(&mut self.ring, self.rtt.rto);
        self.loss.path.start_over();
        self.rearm_resend();
    }

    /// Whether what left then has gone the present way, so that its round trip counts.
    #[inline]
    pub(super) fn went_this_way(&self, sent_at: Instant) -> bool {
        self.path.as_ref().is_none_or(|path| path.since.is_none_or(|since| sent_at >= since))
    }

    /// Our own address may be another now: the socket was connected anew, or what was sent found no way. An extended peer
    /// is asked at once, and again, so that it can follow; until it answers, data waits, for two seconds at most.
    pub fn handle_new_path(&mut self, now: Instant) {
        let open = self.phase == Phase::Open && self.role == Role::Client;
        if !open || self.peering.kind() != PeerKind::Extended || self.is_moving() {
            return;
        }
        self.path.get_or_insert_default().moving = true;
        self.start_round(now);
    }

    #[inline]
    pub(super) fn is_moving(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.moving)
    }

    /// The peer has answered: it knows where we are, or will by our next answer.
    pub(super) fn end_moving(&mut self, now: Instant) {
        if self.is_moving() {
            self.stop_moving();
            self.stats.moves += 1;
            self.start_path_over(now);
        }
    }

    /// Data waits no longer.
    pub(super) fn stop_moving(&mut self) {
        if let Some(path) = &mut self.path {
            path.moving = false;
        }
    }

    /// What was sent has met silence: who has the socket should look for another way.
    pub(super) fn doubt_path(&mut self) {
        if self.role == Role::Client {
            self.path.get_or_insert_default().doubt = true;
        }
    }

    /// Whether what was sent has met silence since the last call, so that the way to the peer may be another now. If
    /// it is: [`handle_new_path`](Self::handle_new_path).
    #[inline]
    pub fn take_path_doubt(&mut self) -> bool {
        self.path.as_mut().is_some_and(|path| std::mem::take(&mut path.doubt))
    }

    /// A client to which much has come, and then nothing, asks whether its peer still reaches it: who only acknowledges
    /// would never learn that its address is another now, and an acknowledgement from there is nobody's.
    pub(super) fn ask_after_stream(&mut self, now: Instant) {
        let heard = self.stats.segments_received - self.liveness.heard_when_asked;
        let expects = self.phase == Phase::Open && !self.reading_stopped && !self.receive.is_finished();
        let follows = self.role == Role::Client && self.peering.kind() == PeerKind::Extended;
        if heard >= STREAM && expects && follows && !self.liveness.in_round() {
            self.start_round(now);
        }
    }
}

/// The blocks by which a peer shows that it is somewhere else. Also what stands behind data, in the same datagram.
fn asks_or_answers(block: &Block<'_>) -> bool {
    matches!(block.body, Body::Ping { .. } | Body::Pong { .. } | Body::Hello { .. })
}
