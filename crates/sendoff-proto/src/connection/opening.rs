//! The beginning, on both sides: HELLO until there is an answer, and what a peer may cost before it has proven itself.

use super::{
    Cause, Connection, Party, PeerKind, Phase, Remains, Rest, Silence, Timer, closing::Farewell,
    retry::Retries,
};
use crate::{endpoint::Lease, seq::Conv, wire::BlockKind};
use std::time::{Duration, Instant};

/// Room for the largest block in front.
pub(super) const FRONT_RESERVE: usize = BlockKind::Hello.segment_size();

/// How long an early HELLO waits for data to ride with it.
const RIDE_WAIT: Duration = Duration::from_millis(5);

/// Before the second HELLO; then it doubles.
const HELLO_GAP: Duration = Duration::from_millis(250);

/// A token must not outlive the peer's tombstone of it (10 s).
const TOKEN_LIFETIME: Duration = Duration::from_secs(8);

/// New names after "conversation in use".
const MAX_REDIALS: u32 = 3;

/// How long a peer that must speak blocks may answer as a stock one does.
const REQUIRED_WAIT: Duration = Duration::from_secs(1);

/// Time for a peer to prove that it is where it says.
const PROOF_TIME: Duration = Duration::from_secs(10);

/// The silence that ends a connection which was never proven.
const UNPROVEN_SILENCE: Duration = Duration::from_secs(30);

/// When a stock client is asked for a proof of its address, from the beginning on.
const PROBE_TIMES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(7)];

/// WELCOMEs repeated unasked.
const WELCOMES: u32 = 2;

/// Segments advertised to an unproven peer: what every KCP assumes anyway.
const UNPROVEN_WINDOW: u32 = 32;

/// Data from a stock client that fills half of that window asks for the proof.
const PROBE_AFTER: u64 = 16;

/// Transmissions of a segment to an unproven stock client.
const UNPROVEN_TRANSMISSIONS: u32 = 5;

/// A client's attempt to open.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    /// Data leaves with the HELLO.
    pub(super) early: bool,
    /// A HELLO is to be sent.
    pub(super) due: bool,
    /// The first has left, with data or without.
    pub(super) said: bool,
    pub(super) gap: Duration,
    pub(super) token_since: Instant,
    pub(super) redials: u32,
    /// It has answered as a stock peer does, where that isn't enough.
    pub(super) stock_since: Option<Instant>,
    pub(super) hellos_since: u32,
}

impl Dial {
    pub(super) fn new(now: Instant, early: bool) -> Self {
        Self {
            early,
            due: !early,
            said: false,
            gap: HELLO_GAP,
            token_since: now,
            redials: 0,
            stock_since: None,
            hellos_since: 0,
        }
    }
}

/// What a peer has cost us before it has proven its address.
#[derive(Clone, Debug)]
pub(super) struct Unproven {
    pub(super) began: Instant,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) segments: u64,
    /// A datagram has come since the last PROBE.
    pub(super) may_probe: bool,
    /// PROBEs or WELCOMEs sent by the clock.
    pub(super) repeated: u32,
    lease: Option<Lease>,
}

impl Unproven {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, received: 0, sent: 0, segments: 0, may_probe: false, repeated: 0, lease: None }
    }

    /// Bytes of datagrams that may still be sent: no more than three for each that came.
    pub(super) fn credit(&self) -> usize {
        usize::try_from((3 * self.received).saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }
}

impl Connection {
    /// Counts as unproven in the endpoint's limits until its address is proven.
    pub fn hold(&mut self, lease: Lease) {
        if let Some(unproven) = &mut self.unproven {
            unproven.lease = Some(lease);
        }
    }

    /// Its tokens name this driver of the endpoint's [`Group`](crate::Group): what a peer that has moved says is
    /// known by them. To be called before anything was sent.
    pub fn name_driver(&mut self, driver: u8) {
        self.random.name_driver(driver);
        self.peering.redial(self.random.token());
    }

    /// Whether the peer has shown that it gets what we send.
    pub fn is_address_proven(&self) -> bool {
        self.unproven.is_none()
    }

    /// Whether it has shown what [`Config::prove`](crate::Config::prove) asks for: its address, and, where a cookie
    /// alone has shown that, our token too.
    pub fn is_proven(&self) -> bool {
        self.unproven.is_none() && !self.peering.is_only_vouched()
    }

    /// Ends what a peer has opened and nobody has answered yet. An extended peer is told the code, once; what it says
    /// again meets the tombstone. A stock peer can't be told.
    pub fn turn_away(&mut self, now: Instant, code: u32) {
        if self.phase == Phase::Ended {
            return;
        }
        let rest = self.reset_peer(code, 0);
        self.end_with(now, Party::Local, Cause::Aborted, Farewell::new(code, ""), rest);
    }

    /// What kind of peer it is.
    pub fn peer_kind(&self) -> PeerKind {
        self.peering.kind()
    }

    /// The timers of a beginning.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.dial.is_some() {
            let limit = self.config.connect_timeout_duration();
            self.timers.set(Timer::Opening, Some(now + limit));
            self.timers.set(Timer::Hello, Some(now + RIDE_WAIT));
        }
        if self.peering.is_only_vouched() {
            self.timers.set(Timer::Proof, Some(now + PROOF_TIME));
        }
        if self.unproven.is_some() {
            self.receive.set_cap(Some(UNPROVEN_WINDOW));
            self.timers.set(Timer::Proof, Some(now + PROOF_TIME));
            if self.peering.is_unproven() {
                self.timers.set(Timer::Greeting, Some(now + self.rtt.rto));
            } else {
                self.timers.set(Timer::Greeting, Some(now + PROBE_TIMES[0]));
            }
        }
    }

    pub(super) fn on_hello(&mut self, now: Instant) {
        let required = self.config.is_block_required();
        let Some(dial) = &mut self.dial else { return };
        if !dial.said {
            dial.due = true;
            return;
        }
        if now >= dial.token_since + TOKEN_LIFETIME {
            if dial.early {
                // Its data may have been taken: another attempt could deliver it twice.
                return self.fail_to_open(now, Silence::Opening);
            }
            self.redial(now);
            return;
        }
        if required
            && let Some(since) = dial.stock_since
            && dial.hellos_since > 0
            && now >= since + REQUIRED_WAIT
        {
            return self.end(now, Party::Peer, Cause::Refused, Rest::Opening(0));
        }
        dial.gap *= 2;
        let at = (now + dial.gap).min(dial.token_since + TOKEN_LIFETIME);
        self.timers.set(Timer::Hello, Some(at));
        self.say_hello();
    }

    /// The first HELLO has left.
    pub(super) fn note_hello(&mut self, now: Instant) {
        if let Some(dial) = &mut self.dial
            && !std::mem::replace(&mut dial.said, true)
        {
            self.timers.set(Timer::Hello, Some(now + HELLO_GAP));
        }
    }

    /// HELLO at once, and as if it were the first.
    pub(super) fn hello_at_once(&mut self, now: Instant) {
        if let Some(dial) = &mut self.dial {
            dial.gap = HELLO_GAP;
            dial.stock_since = None;
        }
        self.timers.set(Timer::Hello, Some(now + HELLO_GAP));
        self.say_hello();
    }

    /// HELLO again, and all that rides with it.
    fn say_hello(&mut self) {
        if let Some(dial) = &mut self.dial {
            dial.due = true;
            dial.hellos_since += 1;
        }
        self.loss.resend_all(&mut self.ring);
    }

    pub(super) fn fail_to_open(&mut self, now: Instant, silence: Silence) {
        self.end(now, Party::Network, Cause::TimedOut(silence), Rest::Opening(0));
    }

    /// Another name for the same attempt: this one is taken, or too old. Says whether it may be.
    pub(super) fn redial_for_conflict(&mut self, now: Instant) -> bool {
        let fixed = self.config.conv_value().is_some();
        match &mut self.dial {
            Some(dial) if dial.redials < MAX_REDIALS && !fixed => dial.redials += 1,
            _ => return false,
        }
        self.redial(now);
        true
    }

    fn redial(&mut self, now: Instant) {
        let remains = self.leave_behind(Rest::Opening(0));
        self.former_name = Some(Box::new((self.conv, remains)));
        if self.config.conv_value().is_none() {
            self.conv = self.random.conv();
        }
        self.peering.redial(self.random.token());
        // A cookie is for one name.
        self.retries = Retries::default();
        if let Some(dial) = &mut self.dial {
            dial.token_since = now;
        }
        self.hello_at_once(now);
    }

    /// The id that it had before it took another one, for its driver to [`rename`](crate::Endpoint::rename) it.
    pub fn take_former_name(&mut self) -> Option<(Conv, Remains)> {
        self.former_name.take().map(|name| *name)
    }

    /// A bare WINS has come while opening; says whether the connection is open now.
    pub(super) fn hear_stock(&mut self, now: Instant) -> bool {
        if !self.config.is_block_required() {
            self.peering.settle_stock();
            self.open();
            return true;
        }
        if let Some(dial) = &mut self.dial
            && dial.stock_since.is_none()
        {
            (dial.stock_since, dial.hellos_since) = (Some(now), 0);
            self.timers.set(Timer::Hello, Some(now + REQUIRED_WAIT / 2));
        }
        false
    }

    /// The peer has answered.
    pub(super) fn open(&mut self) {
        self.dial = None;
        self.phase = Phase::Open;
        self.timers.stop(Timer::Opening);
        self.timers.stop(Timer::Hello);
        self.ring.release_reserve();
        self.arm_keep_alive();
    }

    /// PING at once, and again until the peer's WELCOMEs stop: it has to know that we know it.
    pub(super) fn greet(&mut self, now: Instant) {
        if self.timers.is_set(Timer::Greeting) && self.liveness.greeting_gap == self.rtt.rto {
            return; // one a timeout
        }
        self.liveness.ask = true;
        self.liveness.greeting_gap = self.rtt.rto;
        self.timers.set(Timer::Greeting, Some(now + self.rtt.rto));
    }

    pub(super) fn on_greeting(&mut self, now: Instant) {
        let Some(unproven) = &mut self.unproven else {
            if self.peering.is_unproven() {
                return; // its address is proven by an ACK: data carries WELCOME
            }
            self.liveness.ask = true;
            self.liveness.greeting_gap = (self.liveness.greeting_gap * 2).min(Duration::from_secs(60));
            let gap = self.liveness.greeting_gap;
            return self.timers.set(Timer::Greeting, Some(now + gap));
        };
        unproven.repeated += 1;
        let n = unproven.repeated;
        if self.peering.is_unproven() {
            self.answers.welcome = true;
            let next = (n < WELCOMES).then(|| now + self.rtt.rto);
            self.timers.set(Timer::Greeting, next);
        } else {
            let began = unproven.began;
            self.liveness.ask = true;
            unproven.may_probe = true;
            let next = PROBE_TIMES.get(n as usize).map(|&after| (began + after).max(now));
            self.timers.set(Timer::Greeting, next);
        }
    }

    /// The time to prove an address is over.
    pub(super) fn on_proof(&mut self, now: Instant) {
        if self.is_proven() {
            return;
        }
        if self.stats.bytes_received == 0 && !self.receive.is_finished() {
            return self.end(now, Party::Network, Cause::TimedOut(Silence::Unproven), Rest::Gone);
        }
        let until = self.last_received + UNPROVEN_SILENCE;
        if now < until {
            return self.timers.set(Timer::Proof, Some(until));
        }
        self.end(now, Party::Network, Cause::TimedOut(Silence::Unproven), Rest::Silent);
    }

    /// The peer gets what we send.
    pub(super) fn prove_address(&mut self) {
        if self.unproven.take().is_none() && !self.timers.is_set(Timer::Proof) {
            return;
        }
        self.timers.stop(Timer::Proof);
        if !self.peering.is_unproven() {
            self.timers.stop(Timer::Greeting);
        }
        // The answer to what has proven it, or the next acknowledgement, tells the whole window.
        let was_closed = self.receive.promised() == 0;
        self.receive.set_cap(None);
        if was_closed {
            self.tell_reopened_window(0);
        }
    }

    /// The peer knows our token.
    pub(super) fn prove(&mut self) {
        if self.peering.is_unproven() {
            self.peering.prove();
            self.timers.stop(Timer::Greeting);
            self.ring.release_reserve();
            self.answers.welcome = false;
        }
        self.prove_address();
    }

    /// Whether data from the peer may be taken; if a limit of the unproven binds, the peer is asked for its proof.
    pub(super) fn may_take(&mut self, bytes: usize) -> bool {
        let Some(unproven) = &mut self.unproven else { return true };
        unproven.segments += 1;
        let held = self.receive.held_bytes();
        let fits = unproven.lease.as_ref().is_none_or(|lease| lease.fits(held + bytes));
        let asks = !fits || unproven.segments >= PROBE_AFTER;
        if asks && self.peering.is_unproven() {
            self.answers.welcome = true;
        } else if asks {
            self.ask_for_proof();
        }
        fits
    }

    /// A PROBE to a stock client: one for each datagram that came, and one a timeout.
    pub(super) fn ask_for_proof(&mut self) {
        if self.unproven.as_ref().is_some_and(|u| u.may_probe) && !self.liveness.has_probed() {
            self.liveness.ask = true;
        }
    }

    /// What the unproven hold is counted.
    pub(super) fn settle_lease(&mut self) {
        let held = self.receive.held_bytes();
        if let Some(lease) = self.unproven.as_mut().and_then(|u| u.lease.as_mut()) {
            lease.set(held);
        }
    }

    /// Bytes of segments that may be sent now in one datagram.
    pub(super) fn credit(&mut self) -> usize {
        let Some(unproven) = &self.unproven else { return usize::MAX };
        let credit = unproven.credit().saturating_sub(self.config.overhead());
        if self.peering.kind() == PeerKind::Stock && credit < self.config.kcp_mtu() {
            let first = self.ring.in_flight() == 0 && self.ring.queued() > 0;
            let again = self.peek_lost().is_some_and(|sn| {
                sn == self.ring.unacked && self.ring.slot(sn).transmissions < UNPROVEN_TRANSMISSIONS
            });
            if first || again {
                return self.config.kcp_mtu();
            }
        }
        credit
    }
}
