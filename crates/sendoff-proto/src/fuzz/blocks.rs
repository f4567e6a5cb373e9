//! An extended endpoint that follows its peers, asks for cookies and goes away; an honest client that moves; and somebody
//! who knows all tokens, from anywhere.

use super::{CONV, Input, conv, pass_time};
use crate::{
    Answer, Config, Connection, Elsewhere, Endpoint, Opening, Route, SeqNumber, Timestamp, TransmitBuffer,
    Wire,
    wire::{Block, Body, Command, FIN_FRAGMENT, Segment, Token, segments},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Connections that one input may open.
const CONNECTIONS: usize = 6;

/// Datagrams in the network each way.
const NETWORK: usize = 32;

/// Addresses that anything comes from.
const PLACES: u8 = 4;

struct Talk {
    connection: Connection,
    remote: SocketAddr,
    followed: bool,
    removed: bool,
}

struct World {
    now: Instant,
    config: Arc<Config>,
    endpoint: Endpoint<usize>,
    talks: Vec<Talk>,
    client: Connection,
    /// Where the client is.
    at: u8,
    /// In the network, with the client's address when it left or where it goes.
    to_server: Vec<(u8, Vec<u8>)>,
    to_client: Vec<(u8, Vec<u8>)>,
    /// Which challenge went where.
    asked: Vec<(SocketAddr, u64)>,
    buffer: TransmitBuffer,
}

/// Runs one input. Panics when something doesn't hold.
pub fn blocks(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let config = Arc::new(settings(&mut input));
    let now = Instant::now();
    let opening = if input.bit() { Opening::Early } else { Opening::Waiting };
    let mut world = World {
        now,
        endpoint: Endpoint::new(config.clone(), true).with_cookies(5),
        talks: Vec::new(),
        client: Connection::new(config.clone(), conv(), opening, now, 11),
        config,
        at: 1,
        to_server: Vec::new(),
        to_client: Vec::new(),
        asked: Vec::new(),
        buffer: TransmitBuffer::new(),
    };
    world.endpoint.set_pressure(if input.bit() { 0 } else { usize::MAX });
    world.client.write(b"a first order");
    world.settle();
    // Mostly they know each other before anything goes wrong.
    for _ in 0..2 * usize::from(input.byte() % 5) {
        world.exchange();
    }
    while !input.is_empty() {
        world.step(&mut input);
        world.settle();
        world.check();
    }
}

fn settings(input: &mut Input<'_>) -> Config {
    let window = [32, 128, 256][usize::from(input.byte() % 3)];
    let mtu = [1_400, 128, 300][usize::from(input.byte() % 3)];
    Config::new()
        .mtu(mtu)
        .and_then(|config| config.send_window(window))
        .and_then(|config| config.recv_window(window))
        .expect("in range")
        .wire(if input.byte().is_multiple_of(4) { Wire::Required } else { Wire::Extended })
        .follow(!input.byte().is_multiple_of(8))
        .prove(input.bit())
        .max_connections(CONNECTIONS)
}

fn place(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n % PLACES], u16::from(n % PLACES)))
}

impl World {
    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let more = kind / 16;
        match kind % 16 {
            0 => {
                let len = input.byte().into();
                self.receive(place(more), input.bytes(len));
            }
            1..=4 => {
                let datagram = self.forge(input);
                match more % 8 {
                    0 => self.client.handle_datagram(self.now, &datagram),
                    from => self.receive(place(from), &datagram),
                }
            }
            5 => {
                let ms = [1, 20, 200, 500, 1_000, 2_000, 10_000, 30_000][usize::from(more % 8)];
                self.now += Duration::from_millis(ms);
            }
            6 => {
                // To the next thing that the client or the first conversation waits for.
                let timers = [Some(&self.client), self.talks.first().map(|talk| &talk.connection)];
                let next = timers.into_iter().flatten().filter_map(Connection::poll_timeout).min();
                self.now = self.now.max(next.unwrap_or(self.now));
            }
            7 | 8 => self.deliver(input, more.is_multiple_of(4)),
            9 => self.exchange(),
            10 => {
                // Recorded, and sent again from elsewhere.
                let n = input.index(self.to_server.len());
                if let Some((_, datagram)) = self.to_server.get(n).cloned() {
                    self.receive(place(more), &datagram);
                }
            }
            11 => {
                self.at = more % PLACES;
                if input.bit() {
                    self.client.handle_new_path(self.now);
                }
            }
            12 => command(&mut self.client, self.now, more, input),
            13 => {
                let n = input.index(self.talks.len());
                if let Some(talk) = self.talks.get_mut(n) {
                    command(&mut talk.connection, self.now, more, input);
                }
            }
            14 => self.endpoint.set_pressure([0, 1, usize::MAX][usize::from(more % 3)]),
            _ if more.is_multiple_of(4) => {
                self.endpoint.go_away();
                self.talks.iter_mut().for_each(|talk| talk.connection.go_away(self.now));
            }
            _ => self.endpoint.shrink(),
        }
        self.client.handle_timeout(self.now);
        for talk in &mut self.talks {
            talk.connection.handle_timeout(self.now);
        }
    }

    /// Of who knows every token, and what was asked.
    fn forge(&self, input: &mut Input<'_>) -> Vec<u8> {
        let talk = self.talks.get(input.index(self.talks.len()));
        let tokens =
            [talk.map(|talk| talk.connection.token()), Some(self.client.token()), Token::new(66), None];
        let mut datagram = Vec::new();
        let shape = input.byte();
        for _ in 0..=shape % 3 {
            let kind = input.byte();
            let challenge =
                self.asked.get(input.index(self.asked.len())).map_or(7, |(_, challenge)| *challenge);
            let body = match kind % 8 {
                0 => Body::Hello { features: 0, cookie: [kind / 64; 16] },
                1 => Body::Welcome { features: 0 },
                2 => Body::Retry { cookie: [1 + kind / 64; 16] },
                3 => Body::Ping { challenge: kind.into() },
                4 => Body::Pong { challenge },
                5 => Body::Reset { code: u32::from(kind / 16), reason: "forged" },
                _ => Body::Fin { code: 3, reason: "" },
            };
            let tos = input.byte();
            let token = |n: u8| tokens[usize::from(n % 4)];
            let mut data = Vec::new();
            Block { flags: u16::from(tos / 32), to: token(tos), from: token(tos / 4), body }
                .encode(&mut data);
            if tos & 16 != 0 {
                data.truncate(input.byte().into());
            }
            let push = kind % 8 == 7;
            let (command, fragment) = match body.kind().carrier() {
                _ if push => (Command::Push, 0),
                Command::Push => (Command::Push, FIN_FRAGMENT),
                other => (other, 0),
            };
            let next = talk.map_or(0, |talk| talk.connection.stats().segments_received as u32);
            let header = Segment {
                conv: CONV,
                command,
                fragment,
                window: 32,
                timestamp: Timestamp(0),
                sn: SeqNumber(input.near(if command == Command::Push { next } else { 1 })),
                una: SeqNumber(input.near(0)),
            };
            header.encode(if push { b"data" } else { &data }, &mut datagram);
        }
        datagram
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        match self.endpoint.route(self.now, from, datagram) {
            Route::Known(n) => self.hand_over(n, datagram),
            Route::Opens(conv, opening) => {
                assert!(self.endpoint.connections() < CONNECTIONS);
                let n = self.talks.len();
                let mut connection =
                    Connection::new(self.config.clone(), conv, opening, self.now, 100 + n as u128);
                connection.hold(self.endpoint.lease());
                self.endpoint.insert(from, conv, n);
                self.talks.push(Talk { connection, remote: from, followed: false, removed: false });
                self.hand_over(n, datagram);
            }
            Route::Elsewhere(n) => self.meet_elsewhere(from, n, datagram),
            Route::Answer(answer) => {
                assert!(answer.len() <= datagram.len(), "more than its cause");
                self.send_to(from, &answer);
            }
            Route::PassOn(driver) => panic!("there is no driver {driver}"),
            Route::Dropped(_) => {}
        }
    }

    fn hand_over(&mut self, n: usize, datagram: &[u8]) {
        assert!(!self.talks[n].removed, "it has ended");
        self.talks[n].connection.handle_datagram(self.now, datagram);
    }

    fn meet_elsewhere(&mut self, from: SocketAddr, n: usize, datagram: &[u8]) {
        let talk = &mut self.talks[n];
        assert!(talk.followed && !talk.removed && talk.remote != from);
        match talk.connection.handle_elsewhere(self.now, from, datagram) {
            Elsewhere::Ignored => {}
            Elsewhere::Reset => {
                self.hand_over(n, datagram);
                assert!(self.talks[n].connection.ending().is_some() || has_code(datagram, 2));
            }
            Elsewhere::Asked(question, answer) => {
                let answers: Vec<Answer> = [Some(question), answer].into_iter().flatten().collect();
                let size: usize = answers.iter().map(|answer| answer.len()).sum();
                assert!(size <= 3 * datagram.len(), "{size} for {}", datagram.len());
                for answer in answers {
                    let challenge = challenges(&answer, |body| match body {
                        Body::Ping { challenge } => Some(challenge),
                        _ => None,
                    });
                    self.asked.extend(challenge.into_iter().map(|challenge| (from, challenge)));
                    self.send_to(from, &answer);
                }
            }
            Elsewhere::Moved => {
                let answers = challenges(datagram, |body| match body {
                    Body::Pong { challenge } => Some(challenge),
                    _ => None,
                });
                let asked = |challenge: &u64| self.asked.contains(&(from, *challenge));
                assert!(answers.iter().any(asked), "moved without having been asked there");
                let remains = talk.connection.leave_old_path();
                let name = (talk.remote, talk.connection.conv());
                assert!(self.endpoint.relocate(self.now, name, from, &remains), "nobody is there");
                talk.remote = from;
                talk.connection.handle_moved(self.now);
                self.hand_over(n, datagram);
            }
        }
    }

    fn send_to(&mut self, to: SocketAddr, datagram: &[u8]) {
        let Some(n) = (0..PLACES).find(|&n| place(n) == to) else { return };
        self.to_client.push((n, datagram.to_vec()));
    }

    /// One of those in the network arrives, and perhaps will again.
    fn deliver(&mut self, input: &mut Input<'_>, stays: bool) {
        let there = input.bit();
        let net = if there { &mut self.to_server } else { &mut self.to_client };
        let n = input.index(net.len());
        if n >= net.len() {
            return;
        }
        let (home, datagram) = if stays { net[n].clone() } else { net.remove(n) };
        match there {
            true => self.receive(place(home), &datagram),
            false if home == self.at => self.client.handle_datagram(self.now, &datagram),
            false => {}
        }
    }

    /// All that is in the network arrives.
    fn exchange(&mut self) {
        for (home, datagram) in std::mem::take(&mut self.to_server) {
            self.receive(place(home), &datagram);
        }
        self.settle();
        for (home, datagram) in std::mem::take(&mut self.to_client) {
            if home == self.at {
                self.client.handle_datagram(self.now, &datagram);
            }
        }
        self.settle();
    }

    /// Sends all that can be sent, and takes out what has ended.
    fn settle(&mut self) {
        while let Some((to, answer)) = self.endpoint.poll_answer(self.now) {
            self.send_to(to, &answer);
        }
        self.client.take_former_name();
        for datagram in transmit(&mut self.client, self.now, &mut self.buffer) {
            self.to_server.push((self.at, datagram));
        }
        pass_time(&mut self.client, self.now);
        for n in 0..self.talks.len() {
            let talk = &mut self.talks[n];
            if !talk.followed
                && let Some(token) = talk.connection.followed_as()
            {
                talk.followed = true;
                self.endpoint.follow(token, n);
            }
            let remote = talk.remote;
            for datagram in transmit(&mut talk.connection, self.now, &mut self.buffer) {
                self.send_to(remote, &datagram);
            }
            let talk = &mut self.talks[n];
            pass_time(&mut talk.connection, self.now);
            if talk.connection.ending().is_some() && !talk.removed {
                talk.removed = true;
                let (conv, remains) = (talk.connection.conv(), talk.connection.remains());
                assert_eq!(self.endpoint.remove(self.now, remote, conv, remains), Some(n));
            }
        }
        // The oldest are lost.
        for net in [&mut self.to_server, &mut self.to_client] {
            net.drain(..net.len().saturating_sub(NETWORK));
        }
        self.asked.drain(..self.asked.len().saturating_sub(8 * NETWORK));
    }

    fn check(&self) {
        let live = self.talks.iter().filter(|talk| !talk.removed);
        assert_eq!(self.endpoint.connections(), live.clone().count());
        assert_eq!(self.endpoint.connections(), self.endpoint.iter().count());
        let followed = live.filter(|talk| talk.connection.followed_as().is_some()).count();
        assert_eq!(self.endpoint.followed(), followed, "whom it follows, and nobody else");
        let all = self.talks.iter().map(|talk| &talk.connection).chain([&self.client]);
        for connection in all {
            let stats = connection.stats();
            assert!(stats.bytes_acknowledged <= stats.bytes_sent);
            if connection.ending().is_some() {
                assert_eq!((connection.poll_timeout(), stats.in_flight, stats.reordering), (None, 0, 0));
            }
        }
    }
}

/// What blocks of a datagram say, where `each` knows.
fn challenges(datagram: &[u8], each: impl Fn(Body<'_>) -> Option<u64>) -> Vec<u64> {
    let blocks = segments(datagram).map_while(Result::ok).filter_map(|segment| Block::parse(&segment));
    blocks.filter_map(|block| each(block.body)).collect()
}

/// RESET 2 says nothing to an open connection.
fn has_code(datagram: &[u8], code: u32) -> bool {
    let mut blocks = segments(datagram).map_while(Result::ok).filter_map(|segment| Block::parse(&segment));
    blocks.any(|block| matches!(block.body, Body::Reset { code: c, .. } if c == code))
}

fn transmit(connection: &mut Connection, now: Instant, buffer: &mut TransmitBuffer) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    while connection.has_transmit() {
        assert!(connection.poll_transmit(now, buffer), "nothing sent, though something is to be sent");
        for datagram in buffer.datagrams() {
            assert!(datagram.len() <= connection.config().mtu_bytes());
            assert!(segments(datagram).all(|s| s.is_ok_and(|s| s.conv() == connection.conv().value())));
            sent.push(datagram.to_vec());
        }
        assert!(sent.len() <= 4_096, "endless");
    }
    sent
}

fn command(connection: &mut Connection, now: Instant, which: u8, input: &mut Input<'_>) {
    match which % 8 {
        0 | 1 => drop(connection.write(&vec![1; usize::from(input.short() % 4_096)])),
        2 | 3 => drop(connection.read(&mut vec![0; usize::from(input.short() % 4_096)])),
        4 => connection.finish(),
        5 => connection.close(now, 1, "closed"),
        6 if input.byte().is_multiple_of(4) => connection.abort(now, 3),
        6 => connection.defer_answer(now),
        _ => connection.handle_unreachable(now),
    }
}
