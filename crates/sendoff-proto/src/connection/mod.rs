//! One conversation.
//!
//! ```text
//! write → queued → in flight ─┐                                  ┌→ reordering → ready → read
//!                             └ poll_transmit → … → handle_datagram ┘
//! ```

mod blocks;
mod buffer;
mod byte_ring;
mod closing;
mod fingerprint;
mod going_away;
mod incoming;
mod lifecycle;
mod liveness;
mod loss;
mod opening;
mod pacer;
mod path;
mod path_mtu;
mod peering;
mod receive;
mod recovered;
mod remote;
mod retry;
mod rtt;
mod send;
mod stats;
mod timeout;
mod timers;
mod transmit;

#[cfg(test)]
mod tests;

pub(crate) use buffer::MAX_DATAGRAMS;
pub use buffer::{Batch, TransmitBuffer};
pub use closing::Farewell;
pub(crate) use lifecycle::Rest;
pub use lifecycle::{Cause, Ending, Party, Remains, Role, Silence, code, code_name};
pub use path::Elsewhere;
pub use peering::{Opening, PeerKind};
pub use receive::MessageError;
pub use stats::ConnectionStats;

use crate::wire::Token;
use crate::{
    config::{Config, MESSAGE_WINDOW, Mode},
    congestion::{Classic, Controller, Unlimited},
    fec::LossReport,
    profile::{Congestion, Profile},
    random::Random,
    seq::{Clock, Conv, SeqNumber, Timestamp},
};
use blocks::Answers;
use closing::Finish;
use going_away::GoingAway;
use liveness::Liveness;
use loss::{LossDetector, Terms, Timeout};
use opening::{Dial, FRONT_RESERVE, Unproven};
use pacer::Pacer;
use path::Path;
use path_mtu::PathMtu;
use peering::Peering;
use receive::ReceiveQueue;
use remote::Remote;
use retry::Retries;
use rtt::Rtt;
use send::SendRing;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use timers::{Timer, Timers};

/// What every KCP assumes of a peer that it hasn't heard (`IKCP_WND_SND`).
const INITIAL_REMOTE_WINDOW: u32 = 32;

/// Memory of an empty connection is given back after this time.
const IDLE_RELEASE: Duration = Duration::from_secs(1);

/// Acknowledgements that may be left to the application at most, in segments.
const DEFERRED_ACKS: usize = 88;

/// How long they may be left.
const ACK_DELAY: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come from the peer yet that would count.
    Opening,
    Open,
    Ended,
}

/// One conversation with one peer.
///
/// Its methods are of four kinds:
/// - getters;
/// - `handle_*`: what came from the network or the clock;
/// - commands from the application: [`write`](Self::write), [`read`](Self::read), [`close`](Self::close), …;
/// - `poll_*`: what the caller has to do. After any of the others, call [`poll_transmit`](Self::poll_transmit)
///   until it returns false, then wait until [`poll_timeout`](Self::poll_timeout) or the next event.
#[derive(Clone, Debug)]
pub struct Connection {
    config: Arc<Config>,
    conv: Conv,
    role: Role,
    phase: Phase,
    random: Random,
    peering: Peering,
    /// A client that waits for an answer to its HELLO.
    dial: Option<Box<Dial>>,
    retries: Retries,
    /// A server whose peer has not proven its address.
    unproven: Option<Box<Unproven>>,
    answers: Answers,
    liveness: Box<Liveness>,
    going_away: Box<GoingAway>,
    /// Once the way has changed, or may have.
    path: Option<Box<Path>>,
    clock: Clock,
    profile: Profile,
    send_window: u32,
    ring: SendRing,
    loss: LossDetector,
    reported_loss: LossReport,
    rtt: Rtt,
    congestion: Box<dyn Controller>,
    pacer: Option<Pacer>,
    receive: ReceiveQueue,
    timers: Timers,
    acks: AckQueue,
    probing: Probing,
    remote: Remote,
    /// When the first segment left, and its timestamp.
    first_sent: Option<(Instant, Timestamp)>,
    /// When the latest PUSH left.
    last_pushed: Option<Instant>,
    /// The number of the first segment, on both sides.
    first_expected: SeqNumber,
    last_received: Instant,
    /// When una moved last, or something was sent after nothing had been in flight.
    last_progress: Instant,
    /// When the first thing was sent that wants an answer, since anything has come.
    asking_since: Option<Instant>,
    /// Timeouts of the first segment in flight since anything has come.
    timeouts_unheard: u32,
    write_closed: bool,
    fin: Finish,
    /// What we say at our end, and what the peer has said at its own.
    farewell: Option<Box<Farewell>>,
    peer_farewell: Option<Box<Farewell>>,
    finished_first: bool,
    /// The peer's end was here when we finished.
    knows_peers_end: bool,
    /// The application has closed: what it wrote is still delivered.
    closing: bool,
    reading_stopped: bool,
    /// Something was unread at the close, or has come since.
    unread: bool,
    unread_told: Option<Instant>,
    linger: Duration,
    linger_elapsed: bool,
    unreachable: Unreachable,
    ending: Option<Box<Ending>>,
    /// The RESET that ends it, and how often its tombstone repeats it.
    last_words: Option<Box<Farewell>>,
    repeats: u8,
    remains: Option<Box<Remains>>,
    former_name: Option<Box<(Conv, Remains)>>,
    delivered_at_end: bool,
    opened_before_end: bool,
    stats: ConnectionStats,
}

/// Acknowledgements owed.
#[derive(Clone, Debug, Default)]
struct AckQueue {
    owed: Vec<(SeqNumber, Timestamp)>,
    deferred: bool,
}

/// Probes of the peer's window and life, and the answers owed to its own.
#[derive(Clone, Copy, Debug, Default)]
struct Probing {
    /// Send WASK.
    ask: bool,
    /// Tell the window, by whatever goes.
    tell: bool,
    /// Answer a WASK with a WINS: one that opens takes it for more than the window.
    answer: bool,
    /// Wait before the next probe of a closed window.
    wait: Option<Duration>,
    /// Probes of a closed window without an answer.
    unanswered: u32,
}

impl Probing {
    fn any(&self) -> bool {
        self.ask || self.tell || self.answer
    }
}

/// Reports that nobody listens at the peer's port, since it was last heard.
#[derive(Clone, Copy, Debug, Default)]
struct Unreachable {
    first: Option<Instant>,
    /// Something has been sent since the last report.
    sent_since: bool,
}

impl Connection {
    /// A connection that begins now. All that it needs at random comes from `seed`, which must be from a
    /// secure source: who can guess it can end the conversation.
    pub fn new(config: Arc<Config>, conv: Conv, opening: Opening, now: Instant, seed: u128) -> Self {
        let mut random = Random::new(seed);
        let timestamp_base = random.next() as u32;
        Self::starting_at(config, conv, opening, now, random, (SeqNumber(0), timestamp_base))
    }

    /// The same with another first sequence number on both sides, and timestamp, to test their wrap.
    #[doc(hidden)]
    pub fn starting(
        config: Arc<Config>,
        conv: Conv,
        opening: Opening,
        now: Instant,
        seed: u128,
        start: (SeqNumber, u32),
    ) -> Self {
        Self::starting_at(config, conv, opening, now, Random::new(seed), start)
    }

    fn starting_at(
        config: Arc<Config>,
        conv: Conv,
        opening: Opening,
        now: Instant,
        mut random: Random,
        (first, timestamp_base): (SeqNumber, u32),
    ) -> Self {
        let profile = config.profile_value();
        let mss = config.segment_size();
        let blocks = config.speaks_blocks();
        let role = opening.role();
        let dials = blocks && role == Role::Client;
        // No data for a stock peer where such a one isn't wanted.
        let early = opening == Opening::Early && !config.is_block_required();
        let mut ring = SendRing::new(mss, first, now);
        if blocks && opening != Opening::Stock {
            ring.reserve(FRONT_RESERVE);
        }
        let mut connection = Self {
            conv,
            role,
            phase: Phase::Opening,
            peering: Peering::new(blocks, random.token(), opening),
            random,
            dial: dials.then(|| Box::new(Dial::new(now, early))),
            retries: Retries::default(),
            unproven: (blocks && role == Role::Server && !opening.has_cookie())
                .then(|| Box::new(Unproven::new(now))),
            answers: Answers::default(),
            liveness: Box::default(),
            going_away: Box::default(),
            path: None,
            clock: Clock::new(now, timestamp_base),
            profile,
            send_window: config.send_window_segments(),
            ring,
            loss: LossDetector::new(first, PathMtu::new(config.mtu_bytes(), config.overhead())),
            reported_loss: LossReport::default(),
            rtt: Rtt::new(&profile),
            congestion: controller(&profile, mss),
            pacer: profile.is_paced().then(|| Pacer::new(now)),
            receive: ReceiveQueue::new(first, config.recv_window_segments(), mss),
            timers: Timers::default(),
            acks: AckQueue::default(),
            probing: Probing::default(),
            remote: Remote::new(first),
            first_sent: None,
            last_pushed: None,
            first_expected: first,
            last_received: now,
            last_progress: now,
            asking_since: None,
            timeouts_unheard: 0,
            write_closed: false,
            fin: Finish::Open,
            farewell: None,
            peer_farewell: None,
            finished_first: false,
            knows_peers_end: false,
            closing: false,
            reading_stopped: false,
            unread: false,
            unread_told: None,
            linger: config.linger_duration(),
            linger_elapsed: false,
            unreachable: Unreachable::default(),
            ending: None,
            last_words: None,
            repeats: 0,
            remains: None,
            former_name: None,
            delivered_at_end: false,
            opened_before_end: false,
            stats: ConnectionStats::default(),
            config,
        };
        connection.arm_keep_alive();
        connection.begin(now);
        connection
    }

    /// Our token: what a block must name to be believed.
    #[doc(hidden)]
    pub fn token(&self) -> Token {
        self.peering.own
    }

    /// The conversation id.
    pub fn conv(&self) -> Conv {
        self.conv
    }

    /// Which side opened it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The settings that it was made with.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Whether acknowledgements may wait for data to ride with.
    pub fn may_defer_acks(&self) -> bool {
        self.config.speaks_blocks()
    }

    /// Whether the peer has given a valid answer, or said something valid itself; also if it has ended since.
    pub fn is_established(&self) -> bool {
        match self.phase {
            Phase::Opening => false,
            Phase::Open => true,
            Phase::Ended => self.opened_before_end,
        }
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_deref()
    }

    /// What was counted and measured so far.
    pub fn stats(&self) -> ConnectionStats {
        let cwnd = self.congestion.window();
        ConnectionStats {
            rtt: self.rtt.smoothed,
            rtt_variance: self.rtt.variance,
            rto: self.rtt.rto,
            send_window: self.send_window,
            recv_window: self.receive.limit(),
            remote_window: self.remote.room_from(self.ring.unacked),
            congestion_window: (cwnd != u32::MAX).then_some(cwnd),
            mtu: self.mtu(),
            mtu_steps: self.loss.path.steps(),
            in_flight: self.ring.in_flight(),
            queued: self.ring.queued(),
            empty_segments: self.receive.empty,
            unread: self.receive.ready_bytes(),
            reordering: self.receive.waiting_segments(),
            ..self.stats
        }
    }

    /// Bytes in order that can be read.
    pub fn readable_bytes(&self) -> usize {
        self.receive.ready_bytes()
    }

    /// Whether [`read_message`](Self::read_message) returns something other than `Ok(None)`.
    pub fn has_message(&self) -> bool {
        self.receive.has_message()
    }

    /// What became of the segments that were delivered since the last call: those that had to be sent again count as
    /// lost, but not where that was in vain. For [`ParityControl`](crate::fec::ParityControl).
    pub fn take_loss_report(&mut self) -> LossReport {
        let report = self.loss.meter.report();
        let news = report.since(&self.reported_loss);
        self.reported_loss = report;
        news
    }

    /// Bytes of the next whole message, if there is one.
    ///
    /// # Errors
    /// As [`read_message`](Self::read_message).
    pub fn message_len(&self) -> Result<Option<usize>, MessageError> {
        self.receive.message_len()
    }

    /// The most bytes that a message may have: 127 fragments.
    pub fn max_message(&self) -> usize {
        self.ring.max_message()
    }

    /// Whether a write would take at least a byte.
    pub fn is_writable(&self) -> bool {
        !self.write_closed && self.ending.is_none() && self.ring.has_room(self.send_window)
    }

    /// Whether so much room is free that a waiting writer is worth waking.
    pub fn is_worth_writing(&self) -> bool {
        self.write_closed || self.ending.is_some() || self.ring.has_worthwhile_room(self.send_window)
    }

    /// Whether the application has said that nothing more will be written.
    pub fn is_write_closed(&self) -> bool {
        self.write_closed
    }

    /// Whether nothing is in flight.
    pub fn is_quiescent(&self) -> bool {
        self.ring.in_flight() == 0
    }

    /// Segments never sent that the windows and the pacer allow to be sent now.
    pub fn sendable_segments(&self) -> u32 {
        if self.dial.as_ref().is_some_and(|dial| !dial.early) || self.is_moving() {
            return 0;
        }
        self.ring.queued().min(self.send_allowance())
    }

    /// Bytes of UDP payload that a datagram made now has at most: [`Config::mtu`], or less where the path was found not
    /// to take that. Segments that were made before may still need larger ones.
    pub fn mtu(&self) -> usize {
        self.loss.path.size()
    }

    /// A path to that host is known to take no more than so many bytes of UDP payload: from an earlier connection, or
    /// by an ICMP message. Segments made from now on keep to the step that fits: 1,400, 1,350 or 1,200 bytes, never
    /// less, as anybody can forge such a message; never more than before.
    pub fn limit_mtu(&mut self, bytes: usize) {
        if self.loss.path.limit(bytes) {
            self.loss.resize(&mut self.ring);
        }
    }

    /// What [`mtu`](Self::mtu) is, if it has changed since the last call.
    pub fn take_new_mtu(&mut self) -> Option<usize> {
        self.loss.path.take_news()
    }

    /// The next time at which [`handle_timeout`](Self::handle_timeout) has something to do.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Queues bytes in stream mode; returns how many were taken: fewer than offered when the window is full.
    pub fn write(&mut self, data: &[u8]) -> usize {
        if self.write_closed || self.ending.is_some() {
            return 0;
        }
        self.ring.write(data, self.send_window)
    }

    /// Queues a message whole, or not at all when there is no room now (`Ok(false)`). A closed or
    /// ended connection has no room.
    ///
    /// # Errors
    /// [`MessageTooLarge`] when it would need more than 127 fragments, or is empty: a segment without
    /// data blocks the reader of kcp-go for good.
    pub fn write_message(&mut self, message: &[u8]) -> Result<bool, MessageTooLarge> {
        if message.is_empty() || message.len() > self.ring.max_message() {
            return Err(MessageTooLarge { len: message.len(), max: self.ring.max_message() });
        }
        if !self.is_writable() {
            return Ok(false);
        }
        self.ring.push_message(message);
        Ok(true)
    }

    /// Moves bytes in order into `out`; returns how many, 0 when there are none.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let mut filled = 0;
        self.read_with(out.len(), |piece| {
            out[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        })
    }

    /// The same for who has a place of another kind: hands out up to `max` bytes, in at most two pieces.
    pub fn read_with(&mut self, max: usize, take: impl FnMut(&[u8])) -> usize {
        let promised = self.receive.promised();
        let read = self.receive.read(max, take);
        if read > 0 {
            self.tell_reopened_window(promised);
        }
        read
    }

    /// The next whole message, or `None` if it hasn't arrived.
    ///
    /// # Errors
    /// [`MessageError`] when it has more fragments than the receive window and so can never arrive whole.
    pub fn read_message(&mut self) -> Result<Option<Vec<u8>>, MessageError> {
        let promised = self.receive.promised();
        let message = self.receive.read_message();
        if matches!(message, Ok(Some(_))) {
            self.tell_reopened_window(promised);
        }
        message
    }

    /// A window that was closed, or less than half of what it is now, is told unasked: the peer would
    /// else find out at its next probe only.
    pub(super) fn tell_reopened_window(&mut self, promised: u32) {
        if self.ending.is_some() {
            return;
        }
        let free = self.receive.free();
        // An answer that is owed tells it too.
        let grown = free.saturating_sub(promised) > self.receive.limit() / 2 && !self.owes_answer();
        if (promised == 0 && free > 0) || grown {
            self.probing.tell = true;
        }
    }

    /// Changes the profile from now on.
    pub fn set_profile(&mut self, profile: Profile) {
        if profile.congestion() != self.profile.congestion() {
            self.congestion = controller(&profile, self.config.segment_size());
        }
        self.rtt.set_profile(&profile);
        if profile.is_paced() != self.profile.is_paced() {
            self.pacer = profile.is_paced().then(|| Pacer::new(self.last_received));
            self.timers.stop(Timer::Pace);
        }
        self.profile = profile;
        if self.phase != Phase::Ended {
            self.rearm_resend();
        }
    }

    /// Changes the windows from now on, in segments, checked as [`Config`] does. A right edge that
    /// was advertised still holds.
    ///
    /// # Errors
    /// [`ConfigError`](crate::ConfigError) when one is out of range; then neither is changed.
    pub fn set_windows(&mut self, send: u32, recv: u32) -> Result<(), crate::ConfigError> {
        let checked = Config::new().mode(self.config.mode_value()).send_window(send)?.recv_window(recv)?;
        self.send_window = checked.send_window_segments();
        let promised = self.receive.promised();
        self.receive.set_window(checked.recv_window_segments(), self.config.segment_size());
        self.tell_reopened_window(promised);
        Ok(())
    }

    /// The receive window that was set, in segments.
    pub fn recv_window(&self) -> u32 {
        self.receive.window()
    }

    /// Advertises at most so many segments for now, whatever the receive window: what the socket's buffer can hold.
    /// In message mode it isn't less than the longest message.
    pub fn limit_recv_window(&mut self, segments: u32) {
        let least = if self.is_message_mode() { MESSAGE_WINDOW } else { 1 };
        self.receive.set_limit(segments.max(least));
    }

    /// Leaves owed acknowledgements, a WELCOME or PONG, and the first PING of all to the application's next write, or to its
    /// next read that finds nothing, but for 5 ms and 88 segments at most.
    pub fn defer_answer(&mut self, now: Instant) {
        if self.owes_answer()
            && self.acks.owed.len() < DEFERRED_ACKS
            && self.may_defer_acks()
            && !self.closing
            && !self.is_peer_finished()
        {
            self.acks.deferred = true;
            if !self.timers.is_set(Timer::Ack) {
                self.timers.set(Timer::Ack, Some(now + ACK_DELAY));
            }
        }
    }

    /// Whether an acknowledgement is owed, or another answer that may wait a little, deferred ones included.
    pub fn owes_answer(&self) -> bool {
        self.owes_acks() || self.answers.welcome || self.answers.pong.is_some() || self.is_greeting()
    }

    fn owes_acks(&self) -> bool {
        !self.acks.owed.is_empty()
    }

    fn timeout(&self) -> Timeout {
        let (rto, nodelay) = (self.rtt.rto, self.profile.nodelay());
        Timeout { rto, nodelay, backoff: self.config.backoff_value() }
    }

    fn terms(&self) -> Terms {
        let judged = self.remote.takes_before(self.ring.unacked, self.ring.next);
        Terms { timeout: self.timeout(), judged, head_only: self.remote.reads_no_more }
    }

    /// Whether it counts messages rather than bytes.
    pub fn is_message_mode(&self) -> bool {
        self.config.mode_value() == Mode::Message
    }
}

fn controller(profile: &Profile, mss: usize) -> Box<dyn Controller> {
    match profile.congestion() {
        Congestion::Classic => Box::new(Classic::new(mss)),
        Congestion::None => Box::new(Unlimited),
    }
}

/// A message can't be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {len} bytes: must be 1 to {max} bytes (127 fragments)")]
pub struct MessageTooLarge {
    /// Its length in bytes.
    pub len: usize,
    /// The largest that can be sent with this MTU, in bytes.
    pub max: usize,
}
