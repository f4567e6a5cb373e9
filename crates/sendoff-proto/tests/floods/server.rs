//! A listening endpoint with its connections, as a driver has them, and what each address costs it.

use crate::sim::net::conv;
use sendoff_proto::{
    Config, Connection, Endpoint, Opening, Route, TransmitBuffer,
    wire::{self, Command},
};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const MAX_UNPROVEN: usize = 1_024;
const MAX_BYTES: usize = 16 << 20;
/// Of those who were never proven: as long as nobody else has ended.
const MAX_TOMBSTONES: usize = 4_096;
const ANSWERS: u64 = 1_000;

/// What the application does with each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    Reads,
    /// Doesn't read.
    Ignores,
    Echoes,
    /// Says much before it has heard anything.
    Greets,
    /// Says something, and breaks off after a second.
    Aborts,
    /// Says something, and closes without reading.
    Closes,
}

/// What came in an address's name, and what was sent there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub received: u64,
    /// Datagrams that came.
    pub datagrams: u64,
    /// Bytes without those of PROBEs.
    pub sent: u64,
    /// PROBEs, of 25 bytes each.
    pub probes: u64,
    pub opened: u64,
}

struct Slot {
    connection: Connection,
    who: u64,
    began: Instant,
}

pub struct Server {
    pub endpoint: Endpoint<usize>,
    config: Arc<Config>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    began: Instant,
    now: Instant,
    habit: Habit,
    /// By address.
    pub costs: Vec<Cost>,
    pub most_connections: usize,
    pub most_bytes: usize,
    buffer: TransmitBuffer,
    honest: Option<Connection>,
    /// Addresses below this number are honest ones, whose connections echo.
    honest_until: u64,
    /// What was sent to them.
    mail: Vec<(u64, Vec<u8>)>,
    said: usize,
    heard: usize,
    seed: u128,
}

fn addr(who: u64) -> SocketAddr {
    let [.., a, b, c] = who.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 1_000))
}

/// What an honest peer says at a time.
const CHUNK: usize = 3_000;

impl Server {
    pub fn new(config: Config, habit: Habit, addresses: u64) -> Self {
        let config = Arc::new(config);
        let now = Instant::now();
        Self {
            endpoint: Endpoint::new(config.clone(), true),
            config,
            slots: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            began: now,
            now,
            habit,
            costs: vec![Cost::default(); addresses as usize + 1],
            most_connections: 0,
            most_bytes: 0,
            buffer: TransmitBuffer::new(),
            honest: None,
            honest_until: 1,
            mail: Vec::new(),
            said: 0,
            heard: 0,
            seed: 1,
        }
    }

    /// Time goes on, and everything that is due meanwhile happens.
    pub fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        loop {
            while let Some((to, answer)) = self.endpoint.poll_answer(self.now) {
                let who = u64::from(u32::from_be_bytes(ip(to))) & 0xff_ffff;
                self.sent(who, &answer);
            }
            let timer = self.due.peek().map(|&Reverse((at, _))| at);
            let next = timer.into_iter().chain(self.endpoint.poll_timeout()).min();
            let Some(at) = next.filter(|&at| at <= until) else { break };
            self.now = self.now.max(at);
            if timer != Some(at) {
                continue;
            }
            let Some(Reverse((_, slot))) = self.due.pop() else { break };
            if let Some(s) = &mut self.slots[slot]
                && s.connection.poll_timeout().is_some_and(|at| at <= self.now)
            {
                s.connection.handle_timeout(self.now);
                self.drive(slot);
            }
        }
        self.now = until;
    }

    pub fn receive(&mut self, who: u64, datagram: &[u8]) {
        let cost = &mut self.costs[who as usize];
        (cost.received, cost.datagrams) = (cost.received + datagram.len() as u64, cost.datagrams + 1);
        match self.endpoint.route(self.now, addr(who), datagram) {
            Route::Known(slot) => self.hand(slot, datagram),
            Route::Opens(conv, opening) => {
                self.costs[who as usize].opened += 1;
                self.seed += 1;
                let mut connection = Connection::new(self.config.clone(), conv, opening, self.now, self.seed);
                connection.hold(self.endpoint.lease());
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.slots.push(None);
                    self.slots.len() - 1
                });
                self.endpoint.insert(addr(who), conv, slot);
                self.slots[slot] = Some(Slot { connection, who, began: self.now });
                self.hand(slot, datagram);
            }
            Route::Answer(answer) => self.sent(who, &answer),
            Route::Elsewhere(_) => panic!("nobody is followed here"),
            Route::Dropped(_) | Route::PassOn(_) => {}
        }
    }

    fn hand(&mut self, slot: usize, datagram: &[u8]) {
        if let Some(s) = &mut self.slots[slot] {
            s.connection.handle_datagram(self.now, datagram);
        }
        self.drive(slot);
    }

    /// The application acts, and what is to be sent is sent; what has ended is dropped.
    fn drive(&mut self, slot: usize) {
        let Some(mut s) = self.slots[slot].take() else { return };
        let habit = if s.who < self.honest_until { Habit::Echoes } else { self.habit };
        act(&mut s, habit, self.now);
        while s.connection.has_transmit() {
            let mut buffer = std::mem::take(&mut self.buffer);
            assert!(s.connection.poll_transmit(self.now, &mut buffer), "{:?}", s.connection);
            for datagram in buffer.datagrams() {
                self.sent(s.who, datagram);
            }
            self.buffer = buffer;
        }
        if s.connection.ending().is_some() {
            let remains = s.connection.remains();
            self.endpoint.remove(self.now, addr(s.who), s.connection.conv(), remains);
            self.free.push(slot);
            return;
        }
        if let Some(at) = s.connection.poll_timeout() {
            self.due.push(Reverse((at, slot)));
        }
        self.slots[slot] = Some(s);
    }

    fn sent(&mut self, who: u64, datagram: &[u8]) {
        let cost = &mut self.costs[who as usize];
        let probe = wire::segments(datagram)
            .filter_map(Result::ok)
            .last()
            .filter(|s| s.command() == Command::Push && s.data() == [0] && s.sn().0 >= 1 << 30);
        cost.probes += u64::from(probe.is_some());
        cost.sent += datagram.len() as u64 - if probe.is_some() { 25 } else { 0 };
        if who < self.honest_until {
            self.mail.push((who, datagram.to_vec()));
        }
    }

    pub fn check_limits(&mut self) {
        let (connections, bytes) = self.endpoint.unproven();
        self.most_connections = self.most_connections.max(connections);
        self.most_bytes = self.most_bytes.max(bytes);
        assert!(connections <= MAX_UNPROVEN, "{connections} connections");
        assert!(bytes <= MAX_BYTES, "{bytes} bytes");
        assert!(self.endpoint.tombstones() <= MAX_TOMBSTONES);
        let answered = self.endpoint.stats().answered;
        let seconds = (self.now - self.began).as_secs() + 1;
        assert!(answered <= ANSWERS * seconds, "{answered} answers in {seconds} s");
    }

    /// From now on HELLOs under pressure need a cookie, and the first so many addresses are honest ones.
    pub fn ask_for_cookies(&mut self, honest: u64) {
        self.endpoint = Endpoint::new(self.config.clone(), true).with_cookies(self.seed);
        self.honest_until = honest;
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    /// What was sent to honest addresses since the last call.
    pub fn take_mail(&mut self) -> Vec<(u64, Vec<u8>)> {
        std::mem::take(&mut self.mail)
    }

    /// A client that is there before the flood.
    pub fn begin_honest(&mut self) {
        let mut client = Connection::new(Arc::new(Config::new()), conv(), Opening::Waiting, self.now, 99);
        client.handle_timeout(self.now);
        self.honest = Some(client);
        for _ in 0..5 {
            self.talk_honestly();
        }
    }

    /// It says something, and hears its echo.
    pub fn talk_honestly(&mut self) {
        let Some(mut client) = self.honest.take() else { return };
        self.said += client.write(&[5; CHUNK]);
        let mut buffer = TransmitBuffer::new();
        for _ in 0..10 {
            if client.poll_timeout().is_some_and(|at| at <= self.now) {
                client.handle_timeout(self.now);
            }
            while client.has_transmit() && client.poll_transmit(self.now, &mut buffer) {
                for datagram in buffer.datagrams() {
                    self.receive(0, datagram);
                }
            }
            for (_, datagram) in std::mem::take(&mut self.mail) {
                client.handle_datagram(self.now, &datagram);
            }
            let mut chunk = [0; 4_096];
            while let n @ 1.. = client.read(&mut chunk) {
                self.heard += n;
            }
        }
        assert!(client.ending().is_none(), "{:?}", client.ending());
        self.honest = Some(client);
    }

    /// All that it has said has come back, and it ends in order.
    pub fn end_honest(&mut self) {
        for _ in 0..20 {
            self.talk_honestly();
            self.advance(Duration::from_millis(100));
        }
        if let Some(client) = &mut self.honest {
            client.finish();
        }
        let Some(client) = &self.honest else { return };
        assert!(
            self.said > 100 * CHUNK && self.heard + CHUNK >= self.said,
            "{} of {}",
            self.heard,
            self.said
        );
        assert!(client.ending().is_none());
        self.honest = None;
    }
}

fn act(slot: &mut Slot, habit: Habit, now: Instant) {
    let connection = &mut slot.connection;
    let mut chunk = [0; 4_096];
    let reads = !matches!(habit, Habit::Ignores | Habit::Closes);
    loop {
        let n = if reads { connection.read(&mut chunk) } else { 0 };
        if n == 0 {
            break;
        }
        if habit == Habit::Echoes {
            connection.write(&chunk[..n]);
        }
    }
    if habit == Habit::Echoes && connection.is_peer_finished() {
        connection.finish();
    }
    match habit {
        Habit::Reads | Habit::Ignores | Habit::Echoes => {}
        Habit::Greets | Habit::Aborts | Habit::Closes => {
            if connection.stats().bytes_sent == 0 && connection.stats().queued == 0 {
                connection.write(&[1; 20_000]);
            }
        }
    }
    if habit == Habit::Aborts && now >= slot.began + Duration::from_secs(1) {
        connection.abort(now, 42);
    }
    if habit == Habit::Closes {
        connection.close(now, 43, "no");
    }
}

fn ip(addr: SocketAddr) -> [u8; 4] {
    match addr {
        SocketAddr::V4(addr) => addr.ip().octets(),
        SocketAddr::V6(_) => [0; 4],
    }
}
