//! Several hosts, stock peers among them, on a network without faults but those that a test asks for; and what
//! an attacker puts on it.

use super::{
    host::{App, Host, Talk},
    ms,
    stock::Stock,
};
use sendoff_proto::{
    Config, Connection, Conv, Ending, Opening, SeqNumber, Timestamp, TransmitBuffer,
    wire::{self, Block, Body, Command, FIN_FRAGMENT, Segment, SegmentView, Token},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::LazyLock,
    time::{Duration, Instant},
};

static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What every datagram takes.
pub const DELAY: Duration = Duration::from_millis(10);

pub const CONV: u32 = 0x5b1f_03aa;

pub fn conv() -> Conv {
    Conv::new(CONV).unwrap()
}

pub fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 1_000))
}

/// An application that says what it is given, and hears.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub outgoing: Vec<u8>,
    pub written: usize,
    pub received: Vec<u8>,
    pub eof: bool,
    /// It says what it hears.
    pub echoes: bool,
    /// It reads nothing.
    pub deaf: bool,
    /// It finishes once all is written; an echo when it has heard the end.
    pub finishes: bool,
}

impl Script {
    pub fn echo() -> Self {
        Self { echoes: true, finishes: true, ..Self::default() }
    }

    pub fn says(data: &[u8]) -> Self {
        Self { outgoing: data.to_vec(), finishes: true, ..Self::default() }
    }
}

impl App for Script {
    fn act(&mut self, _now: Instant, connection: &mut Connection) {
        let mut chunk = [0; 4_096];
        while !self.deaf {
            let n = connection.read(&mut chunk);
            self.received.extend_from_slice(&chunk[..n]);
            if self.echoes {
                self.outgoing.extend_from_slice(&chunk[..n]);
            }
            if n == 0 {
                self.eof |= connection.is_peer_finished();
                break;
            }
        }
        self.written += connection.write(&self.outgoing[self.written..]);
        if self.finishes && self.written == self.outgoing.len() && (self.eof || !self.echoes) {
            connection.finish_with(17, "all said");
        }
    }
}

pub enum Node {
    Host(Box<Host<Script>>),
    Stock(Stock),
}

/// A datagram, when it left.
#[derive(Clone)]
pub struct Sent {
    pub at: Duration,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn segments(&self) -> impl Iterator<Item = SegmentView<'_>> {
        wire::segments(&self.bytes).map_while(Result::ok)
    }

    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.segments().filter_map(|segment| Block::parse(&segment))
    }

    pub fn has(&self, kind: wire::BlockKind) -> bool {
        self.blocks().any(|block| block.body.kind() == kind)
    }
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {} > {}:", self.at, self.from.ip(), self.to.ip())?;
        for segment in self.segments() {
            write!(f, " [{segment}]")?;
            if let Some(block) = Block::parse(&segment) {
                write!(f, " {block}")?;
            }
        }
        Ok(())
    }
}

/// What a test does to a datagram: whether it is lost.
type Fault = Box<dyn FnMut(&Sent) -> bool>;

#[derive(Default)]
pub struct Net {
    pub now: Duration,
    pub nodes: BTreeMap<SocketAddr, Node>,
    flying: BTreeMap<(Duration, u64), Sent>,
    /// All that the nodes have sent, lost or not.
    pub log: Vec<Sent>,
    /// Says of each datagram whether it is lost.
    pub loses: Option<Fault>,
    count: u64,
    buffer: TransmitBuffer,
}

impl Net {
    pub fn host(&mut self, n: u8, config: Config, listening: bool, app: Script) {
        let host = Host::new(config, listening, app, 0x5eed + u64::from(n) + self.count);
        self.nodes.insert(addr(n), Node::Host(Box::new(host)));
    }

    pub fn stock(&mut self, n: u8, stock: Stock) {
        self.nodes.insert(addr(n), Node::Stock(stock));
    }

    pub fn instant(&self) -> Instant {
        *BASE + self.now
    }

    pub fn at(&mut self, n: u8) -> &mut Host<Script> {
        match self.nodes.get_mut(&addr(n)) {
            Some(Node::Host(host)) => host,
            _ => panic!("{n} is no host"),
        }
    }

    pub fn stock_at(&mut self, n: u8) -> &mut Stock {
        match self.nodes.get_mut(&addr(n)) {
            Some(Node::Stock(stock)) => stock,
            _ => panic!("{n} is no stock peer"),
        }
    }

    /// The first connection of a host.
    pub fn talk(&mut self, n: u8) -> &mut Talk<Script> {
        &mut self.at(n).talks[0]
    }

    pub fn connection(&mut self, n: u8) -> &mut Connection {
        &mut self.talk(n).connection
    }

    pub fn ending(&mut self, n: u8) -> Ending {
        let Some(ending) = self.connection(n).ending().cloned() else { panic!("no end: {:#?}", self.log) };
        ending
    }

    /// How many connections a host has had.
    pub fn accepted(&mut self, n: u8) -> usize {
        self.at(n).talks.len()
    }

    pub fn dial(&mut self, from: u8, to: u8, opening: Opening) {
        let now = self.instant();
        self.at(from).add(now, addr(to), conv(), opening);
    }

    /// Puts a datagram on the network that arrives at once, whoever has sent it.
    pub fn inject(&mut self, from: SocketAddr, to: u8, bytes: Vec<u8>) {
        self.deliver(Sent { at: self.now, from, to: addr(to), bytes });
        self.pump();
    }

    fn deliver(&mut self, datagram: Sent) {
        let now = self.instant();
        let Sent { from, to, ref bytes, .. } = datagram;
        let answers = match self.nodes.get_mut(&to) {
            Some(Node::Host(host)) => host.receive(now, from, bytes),
            Some(Node::Stock(stock)) => {
                stock.receive(self.now, from, bytes);
                Vec::new()
            }
            None => Vec::new(),
        };
        for bytes in answers {
            self.send(Sent { at: self.now, from: to, to: from, bytes });
        }
    }

    /// A host has another address from now on; what is under way to the former one is lost.
    pub fn move_host(&mut self, from: u8, to: u8) {
        let node = self.nodes.remove(&addr(from)).expect("a host");
        self.nodes.insert(addr(to), node);
    }

    fn send(&mut self, datagram: Sent) {
        self.log.push(datagram.clone());
        if self.loses.as_mut().is_some_and(|loses| loses(&datagram)) {
            return;
        }
        self.count += 1;
        self.flying.insert((self.now + DELAY, self.count), datagram);
    }

    pub fn pump(&mut self) {
        let now = self.instant();
        let mut sent = Vec::new();
        for (&from, node) in &mut self.nodes {
            let mut send = |to, bytes: &[u8]| {
                sent.push(Sent { at: self.now, from, to, bytes: bytes.to_vec() });
            };
            match node {
                Node::Host(host) => host.pump(now, &mut self.buffer, &mut send),
                Node::Stock(stock) => stock.pump(self.now, &mut send),
            }
        }
        for datagram in sent {
            self.send(datagram);
        }
    }

    /// Goes to the next event, at most until `limit`; false if there is none before.
    pub fn step(&mut self, limit: Duration) -> bool {
        self.pump();
        let timeouts = self.nodes.values().filter_map(|node| match node {
            Node::Host(host) => host.next_timeout().map(|at| at.saturating_duration_since(*BASE)),
            Node::Stock(stock) => stock.next_timeout(),
        });
        let timeouts = timeouts.map(|at| at.max(self.now));
        let arrival = self.flying.keys().next().map(|&(at, _)| at);
        let Some(at) = timeouts.chain(arrival).min().filter(|&at| at <= limit) else {
            self.now = limit;
            return false;
        };
        self.now = at;
        while let Some(entry) = self.flying.first_entry()
            && entry.key().0 <= at
        {
            let datagram = entry.remove();
            self.deliver(datagram);
        }
        let now = self.instant();
        for node in self.nodes.values_mut() {
            match node {
                Node::Host(host) => host.handle_timeouts(now),
                Node::Stock(stock) => stock.handle_timeout(at),
            }
        }
        self.pump();
        true
    }

    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Runs until `done`, or fails when that takes longer than `limit` of virtual time.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        self.pump();
        while !done(self) {
            assert!(self.step(end), "not done within {limit:?}: {:#?}", self.log);
        }
    }

    /// Until the first connections of both have ended.
    pub fn run_to_the_end(&mut self, a: u8, b: u8) {
        self.run_until(ms(120_000), |net| net.at(a).is_over() && net.at(b).is_over());
    }

    /// What a host has sent.
    pub fn sent_by(&self, n: u8) -> impl Iterator<Item = &Sent> {
        self.log.iter().filter(move |sent| sent.from == addr(n))
    }
}

/// A client at 1 and a server at 2 that echoes; connected, and everything proven.
pub fn connected(config: Config) -> Net {
    let mut net = Net::default();
    net.host(1, config.clone(), false, Script::default());
    net.host(2, config, true, Script::echo());
    net.dial(1, 2, Opening::Waiting);
    net.run_for(ms(500));
    assert!(net.connection(2).is_address_proven());
    net
}

/// A segment with a window of 32 and zeros.
pub fn segment(command: Command, sn: u32) -> Segment {
    Segment {
        conv: CONV,
        command,
        fragment: 0,
        window: 32,
        timestamp: Timestamp(0),
        sn: SeqNumber(sn),
        una: SeqNumber(0),
    }
}

pub fn encode(segment: Segment, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    segment.encode(data, &mut out);
    out
}

/// A block in the carrier that it belongs to.
pub fn block(header: Segment, to: u64, from: u64, body: Body<'_>) -> Vec<u8> {
    let mut data = Vec::new();
    Block { flags: 0, to: Token::new(to), from: Token::new(from), body }.encode(&mut data);
    let command = body.kind().carrier();
    let fragment = if command == Command::Push { FIN_FRAGMENT } else { 0 };
    encode(Segment { command, fragment, ..header }, &data)
}

pub fn hello(from: u64) -> Vec<u8> {
    let body = Body::Hello { features: 0, cookie: [0; 16] };
    block(segment(Command::WindowAsk, 0), 0, from, body)
}
