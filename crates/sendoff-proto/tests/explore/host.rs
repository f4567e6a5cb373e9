//! One process: an endpoint with its connections, driven as the tokio driver does, and what its application
//! has written and read.

use sendoff_proto::{
    Cause, Config, Connection, Conv, DropReason, Elsewhere, Endpoint, Opening, Party, PeerKind, Route,
    TransmitBuffer,
    wire::{SegmentView, Token},
};
use std::{
    cell::RefCell,
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// The retransmission timeout, which is never changed by what is measured.
pub const RTO: Duration = Duration::from_millis(250);

thread_local! {
    static BUFFER: RefCell<TransmitBuffer> = RefCell::new(TransmitBuffer::new());
}

/// Datagrams that a step has sent, and to whom.
pub type Sent = Vec<(SocketAddr, Box<[u8]>)>;

/// How a conversation has ended on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    pub by: Party,
    pub cause: Cause,
    pub code: u32,
}

/// One connection as its application sees it; the record stays when the connection is gone.
#[derive(Clone, Debug)]
pub struct Talk {
    pub connection: Option<Box<Connection>>,
    pub began: Instant,
    pub conv: Conv,
    /// What opened it at a server.
    pub opening: Opening,
    /// All tokens that it has had.
    pub tokens: Vec<Token>,
    /// The peer's, once it is known.
    pub partner: Option<Token>,
    /// Which life of its process.
    pub life: u8,
    /// The first byte that it writes; the next ones count up.
    pub name: u8,
    pub written: u8,
    pub finished: bool,
    pub closed: bool,
    pub aborted: bool,
    /// All that has come in order.
    pub received: Vec<u8>,
    pub peer_finished: bool,
    pub delivered: bool,
    pub peer: PeerKind,
    /// It has said that it goes away, and the peer has confirmed.
    pub confirmed: bool,
    /// The peer has said that it goes away.
    pub peer_leaves: bool,
    pub end: Option<End>,
    pub ended_at: Option<Instant>,
    /// Where its peer is now.
    pub remote: SocketAddr,
    /// Where it was when this began.
    pub opened_from: SocketAddr,
    followed: bool,
    /// RETRYs that it has heeded, and how often its peer was followed.
    pub retries: u32,
    pub moves: u32,
    /// It was followed when it had closed, or had heard the peer's end.
    pub moved_in_the_end: bool,
    /// Who has named it from elsewhere.
    pub asked: Vec<SocketAddr>,
}

impl Talk {
    /// What its application has written.
    pub fn said(&self) -> impl Iterator<Item = u8> + use<> {
        self.name..self.name + self.written
    }

    pub fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    fn note(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        while let Ok(Some(message)) = connection.read_message() {
            self.received.extend(message);
        }
        if self.tokens.last() != Some(&connection.token()) {
            self.tokens.push(connection.token());
        }
        self.partner = connection.peer_token();
        self.conv = connection.conv();
        self.peer_finished = connection.is_peer_finished();
        self.delivered = self.finished && connection.is_delivered();
        self.peer = connection.peer_kind();
        self.confirmed = connection.is_going_away_confirmed();
        self.peer_leaves = connection.is_peer_going_away();
        (self.retries, self.moves) = (connection.stats().retries, connection.stats().moves);
        self.end = connection.ending().map(|e| End { by: e.by, cause: e.cause, code: e.code });
    }

    fn fingerprint(&self, now: Instant, h: &mut impl Hasher) {
        if let Some(connection) = &self.connection {
            connection.fingerprint(now, h);
        }
        (self.connection.is_some(), self.opening, self.life, self.name, self.written).hash(h);
        (self.finished, self.closed, self.aborted, &self.received, self.peer_finished).hash(h);
        (self.delivered, self.end, self.tokens.len(), self.confirmed, self.peer_leaves, self.remote).hash(h);
        (self.opened_from, self.partner).hash(h);
    }
}

/// What a host has done with a datagram, where a rule may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Accepted(usize),
    Dropped(DropReason),
    Other,
}

#[derive(Debug)]
pub struct Host {
    pub config: Arc<Config>,
    listening: bool,
    /// Whom it dials.
    pub remote: SocketAddr,
    endpoint: Endpoint<usize>,
    pub talks: Vec<Talk>,
    /// It takes no more connections.
    pub leaves: bool,
    pub life: u8,
    /// Names of a server's connections begin here.
    first_name: u8,
    /// Every HELLO needs a cookie.
    under_pressure: bool,
}

impl Clone for Host {
    fn clone(&self) -> Self {
        let mut endpoint = self.endpoint.clone();
        endpoint.detach();
        let mut talks = self.talks.clone();
        for connection in talks.iter_mut().filter_map(|talk| talk.connection.as_mut()) {
            connection.hold(endpoint.lease());
        }
        Self { config: self.config.clone(), endpoint, talks, ..*self }
    }
}

impl Host {
    pub fn new(config: Config, listening: bool, remote: SocketAddr, first_name: u8) -> Self {
        let config = Arc::new(config);
        let endpoint = Endpoint::new(config.clone(), listening);
        let talks = Vec::new();
        let mut host = Self {
            config,
            listening,
            remote,
            endpoint,
            talks,
            leaves: false,
            life: 0,
            first_name,
            under_pressure: false,
        };
        host.start();
        host
    }

    /// A process begins: it remembers nothing, and bakes cookies of its own.
    fn start(&mut self) {
        let endpoint = Endpoint::new(self.config.clone(), self.listening);
        self.endpoint = endpoint.with_cookies(u128::from(self.life) + 1);
        self.set_pressure(self.under_pressure);
    }

    pub fn set_pressure(&mut self, under_pressure: bool) {
        self.under_pressure = under_pressure;
        self.endpoint.set_pressure(if under_pressure { 0 } else { usize::MAX });
    }

    pub fn is_under_pressure(&self) -> bool {
        self.under_pressure
    }

    /// What a cookie is worth to this host, if that token shows it.
    pub fn cookie_class(&self, now: Instant, conv: Conv, from: Token, cookie: &[u8; 16]) -> u8 {
        self.endpoint.cookie_class(now, (self.remote, conv, from), cookie)
    }

    fn add(&mut self, now: Instant, remote: SocketAddr, conv: Conv, opening: Opening) -> usize {
        let n = self.talks.len();
        let seed = u128::from(self.first_name) << 64 | (n as u128 + 1) << 8 | u128::from(self.life);
        let mut connection = Connection::new(self.config.clone(), conv, opening, now, seed);
        connection.hold(self.endpoint.lease());
        self.endpoint.insert(remote, conv, n);
        self.talks.push(Talk {
            tokens: vec![connection.token()],
            partner: connection.peer_token(),
            connection: Some(Box::new(connection)),
            began: now,
            conv,
            opening,
            life: self.life,
            name: self.first_name + 8 * n as u8,
            written: 0,
            finished: false,
            closed: false,
            aborted: false,
            received: Vec::new(),
            peer_finished: false,
            delivered: false,
            peer: PeerKind::Unknown,
            confirmed: false,
            peer_leaves: false,
            end: None,
            ended_at: None,
            remote,
            opened_from: remote,
            followed: false,
            retries: 0,
            moves: 0,
            moved_in_the_end: false,
            asked: Vec::new(),
        });
        n
    }

    /// The connections that live.
    pub fn living(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.talks.len()).filter(|&n| self.talks[n].connection.is_some())
    }

    /// Dials; so many messages are written before the first datagram leaves. Says whether the name is free.
    pub fn dial(&mut self, now: Instant, conv: Conv, opening: Opening, writes: u8, sent: &mut Sent) -> bool {
        if self.endpoint.is_buried(now, self.remote, conv) {
            return false;
        }
        let n = self.add(now, self.remote, conv, opening);
        for _ in 0..writes {
            self.write_only(n);
        }
        self.pump(now, n, sent);
        true
    }

    /// Whether that conversation is remembered as ended.
    pub fn is_buried(&mut self, now: Instant, conv: Conv) -> bool {
        self.endpoint.is_buried(now, self.remote, conv)
    }

    fn write_only(&mut self, n: usize) {
        let talk = &mut self.talks[n];
        let Some(connection) = &mut talk.connection else { return };
        if let Ok(true) = connection.write_message(&[talk.name + talk.written]) {
            talk.written += 1;
        }
    }

    pub fn write(&mut self, now: Instant, n: usize, sent: &mut Sent) {
        self.write_only(n);
        self.pump(now, n, sent);
    }

    pub fn finish(&mut self, now: Instant, n: usize, sent: &mut Sent) {
        self.act(now, n, sent, |talk, connection| {
            talk.finished = true;
            connection.finish();
        });
    }

    pub fn close(&mut self, now: Instant, n: usize, sent: &mut Sent) {
        self.act(now, n, sent, |talk, connection| {
            (talk.finished, talk.closed) = (true, true);
            connection.close(now, 0, "");
        });
    }

    pub fn abort(&mut self, now: Instant, n: usize, sent: &mut Sent) {
        self.act(now, n, sent, |talk, connection| {
            talk.aborted = true;
            connection.abort(now, 77);
        });
    }

    fn act(&mut self, now: Instant, n: usize, sent: &mut Sent, act: impl FnOnce(&mut Talk, &mut Connection)) {
        let talk = &mut self.talks[n];
        if let Some(mut connection) = talk.connection.take() {
            act(talk, &mut connection);
            talk.connection = Some(connection);
            self.pump(now, n, sent);
        }
    }

    /// It takes no more connections, and tells those that there are.
    pub fn go_away(&mut self, now: Instant, sent: &mut Sent) {
        self.leaves = true;
        self.endpoint.go_away();
        for n in 0..self.talks.len() {
            self.act(now, n, sent, |_, connection| connection.go_away(now));
        }
    }

    /// The process dies and starts anew.
    pub fn restart(&mut self) {
        for talk in &mut self.talks {
            talk.connection = None;
        }
        self.life += 1;
        self.leaves = false;
        self.start();
    }

    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], sent: &mut Sent) -> Event {
        let (n, event) = match self.endpoint.route(now, from, datagram) {
            Route::Known(n) => (n, Event::Other),
            Route::Opens(conv, opening) => {
                let n = self.add(now, from, conv, opening);
                (n, Event::Accepted(n))
            }
            Route::Elsewhere(n) => {
                if !self.meet_elsewhere(now, from, datagram, n, sent) {
                    return Event::Other;
                }
                (n, Event::Other)
            }
            Route::Answer(answer) => {
                sent.push((from, Box::from(&*answer)));
                return Event::Other;
            }
            Route::Dropped(reason) => return Event::Dropped(reason),
            Route::PassOn(driver) => unreachable!("one driver, and yet {driver}"),
        };
        if let Some(connection) = &mut self.talks[n].connection {
            connection.handle_datagram(now, datagram);
        }
        self.pump(now, n, sent);
        event
    }

    /// Says whether the datagram is for the connection: its peer is there from now on, or has broken it off.
    fn meet_elsewhere(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        n: usize,
        sent: &mut Sent,
    ) -> bool {
        let talk = &mut self.talks[n];
        let Some(connection) = &mut talk.connection else { return false };
        match connection.handle_elsewhere(now, from, datagram) {
            Elsewhere::Ignored => false,
            Elsewhere::Reset => true,
            Elsewhere::Asked(question, answer) => {
                sent.extend([Some(question), answer].into_iter().flatten().map(|a| (from, Box::from(&*a))));
                if !talk.asked.contains(&from) {
                    talk.asked.push(from);
                }
                false
            }
            Elsewhere::Moved => {
                let remains = connection.leave_old_path();
                let moved = self.endpoint.relocate(now, (talk.remote, talk.conv), from, &remains);
                if moved {
                    talk.remote = from;
                    connection.handle_moved(now);
                    talk.moved_in_the_end |= talk.closed || talk.peer_finished;
                }
                moved
            }
        }
    }

    /// Whether a PONG with that challenge, from there, would move a connection.
    pub fn is_proof(&self, now: Instant, from: SocketAddr, challenge: u64) -> bool {
        let living = self.talks.iter().filter_map(|talk| talk.connection.as_ref());
        living.into_iter().any(|connection| connection.expects_proof(now, from, challenge))
    }

    /// Our own address is another now.
    pub fn change_address(&mut self, now: Instant, knows: bool, sent: &mut Sent) {
        for n in 0..self.talks.len() {
            if let Some(connection) = self.talks[n].connection.as_mut().filter(|_| knows) {
                connection.handle_new_path(now);
                self.pump(now, n, sent);
            }
        }
    }

    /// Lets all timers run out that are due.
    pub fn tick(&mut self, now: Instant, sent: &mut Sent) {
        for n in 0..self.talks.len() {
            let Some(connection) = &mut self.talks[n].connection else { continue };
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
                self.pump(now, n, sent);
            }
        }
        self.answer(now, sent);
    }

    fn answer(&mut self, now: Instant, sent: &mut Sent) {
        while let Some((to, answer)) = self.endpoint.poll_answer(now) {
            sent.push((to, Box::from(&*answer)));
        }
    }

    pub fn next_timer(&self) -> Option<Instant> {
        let connections = self.talks.iter().filter_map(|talk| talk.connection.as_ref()?.poll_timeout());
        connections.chain(self.endpoint.poll_timeout()).min()
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.endpoint.next_expiry()
    }

    /// What the driver does after each event.
    fn pump(&mut self, now: Instant, n: usize, sent: &mut Sent) {
        let talk = &mut self.talks[n];
        let Some(connection) = &mut talk.connection else { return };
        if !talk.followed
            && let Some(token) = connection.followed_as()
        {
            talk.followed = true;
            self.endpoint.follow(token, n);
        }
        let remote = talk.remote;
        BUFFER.with_borrow_mut(|buffer| {
            while connection.has_transmit() && connection.poll_transmit(now, buffer) {
                sent.extend(buffer.datagrams().map(|datagram| (remote, Box::from(datagram))));
            }
        });
        connection.simplify(RTO);
        let conv = connection.conv();
        if let Some((former, remains)) = connection.take_former_name() {
            self.endpoint.rename(now, remote, (former, &remains), conv);
        }
        let ended = connection.ending().is_some();
        if ended {
            self.endpoint.remove(now, remote, conv, connection.remains());
        }
        talk.note();
        if ended {
            talk.connection = None;
            talk.ended_at = Some(now);
        }
        self.answer(now, sent);
    }

    /// What an ACK with that number and timestamp would show us.
    pub fn echo_class(&self, now: Instant, segment: &SegmentView<'_>) -> u8 {
        let mut living = self.talks.iter().rev().filter(|talk| talk.conv.value() == segment.conv());
        let connection = living.find_map(|talk| talk.connection.as_ref());
        connection.map_or(0, |connection| connection.echo_class(now, segment.sn(), segment.timestamp()))
    }

    pub fn fingerprint(&self, now: Instant, h: &mut impl Hasher) {
        self.endpoint.fingerprint(now, h);
        (self.life, self.leaves).hash(h);
        self.talks.len().hash(h);
        for talk in &self.talks {
            talk.fingerprint(now, h);
        }
    }
}
