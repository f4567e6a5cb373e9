//! Datagrams of any kind into an endpoint and its connections, while their applications go on.

use super::{Input, check, check_sent, conv, pass_time, settings, start};
use crate::{
    Config, Connection, Conv, Endpoint, Mode, Opening, Route, RouteStats, SeqNumber, Timestamp,
    TransmitBuffer,
    wire::{Command, Segment},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Connections that one input may open.
const CONNECTIONS: usize = 4;

/// One connection, and how far it is, as far as it has told.
struct Talk {
    connection: Connection,
    remote: SocketAddr,
    /// Next segment that it expects, and next that it sends.
    una: u32,
    next: u32,
    /// The largest windows that were ever set.
    windows: (u32, u32),
    read: u64,
    closed: bool,
}

struct World {
    now: Instant,
    config: Arc<Config>,
    endpoint: Endpoint<usize>,
    talks: Vec<Talk>,
    /// Datagrams that went to no connection.
    strays: u64,
    buffer: TransmitBuffer,
}

/// Runs one input. Panics when something doesn't hold.
pub fn datagram(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mode = if input.bit() { Mode::Message } else { Mode::Stream };
    let config = Arc::new(settings(&mut input, mode).max_connections(CONNECTIONS));
    let now = Instant::now();
    let mut world = World {
        now,
        endpoint: Endpoint::new(config.clone(), true),
        config,
        talks: Vec::new(),
        strays: 0,
        buffer: TransmitBuffer::new(),
    };
    let (first, timestamps) = (start(&mut input), start(&mut input));
    world.add(remote(0), conv(), Opening::Early, first, timestamps);
    world.write(0, 300);
    world.settle(0);
    while !input.is_empty() {
        world.step(&mut input);
    }
}

fn remote(port: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], u16::from(port % 3)))
}

impl World {
    fn add(
        &mut self,
        remote: SocketAddr,
        conv: Conv,
        opening: Opening,
        first: u32,
        timestamps: u32,
    ) -> usize {
        let start = (SeqNumber(first), timestamps);
        let mut connection = Connection::starting(self.config.clone(), conv, opening, self.now, 5, start);
        connection.hold(self.endpoint.lease());
        let windows = (self.config.send_window_segments(), self.config.recv_window_segments());
        let talk = Talk { connection, remote, una: first, next: first, windows, read: 0, closed: false };
        self.endpoint.insert(remote, conv, self.talks.len());
        self.talks.push(talk);
        self.talks.len() - 1
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let at = input.index(self.talks.len());
        match kind % 8 {
            0 => {
                let raw = input.byte();
                self.receive(remote(raw), input.bytes(raw.into()));
            }
            1..=3 => {
                let (remote, datagram) = self.forge(at, input);
                self.receive(remote, &datagram);
            }
            4 => {
                let ms = [0, 1, 5, 20, 100, 500, 2_000, 30_000][usize::from(kind / 8 % 8)];
                self.now += Duration::from_millis(ms);
                for talk in &mut self.talks {
                    pass_time(&mut talk.connection, self.now);
                }
            }
            5 => self.read(at, input.short().into()),
            6 => self.write(at, input.short().into()),
            _ => self.command(at, kind / 8, input),
        }
        for at in 0..self.talks.len() {
            self.settle(at);
        }
        self.bury();
    }

    /// A datagram of segments that look as if they belonged there.
    fn forge(&self, at: usize, input: &mut Input<'_>) -> (SocketAddr, Vec<u8>) {
        let talk = &self.talks[at];
        let clock = talk.connection.timestamp(self.now).0;
        let shape = input.byte();
        let mut datagram = Vec::new();
        for _ in 0..=shape % 4 {
            let kind = input.byte();
            let commands = [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell];
            let command = commands[usize::from(kind % 4)];
            let segment = Segment {
                conv: if kind & 0x80 == 0 { talk.connection.conv().value() } else { input.byte().into() },
                command,
                fragment: if kind & 0x40 == 0 { 0 } else { input.byte() },
                window: if kind & 0x20 == 0 { 32 } else { input.short() },
                timestamp: Timestamp(if kind & 0x10 == 0 { clock } else { input.near(clock) }),
                sn: SeqNumber(input.near(if command == Command::Push { talk.una } else { talk.next })),
                una: SeqNumber(input.near(talk.next)),
            };
            let len = if command == Command::Push { input.byte() } else { 0 };
            segment.encode(&vec![len; usize::from(len) * (1 + usize::from(shape / 64))], &mut datagram);
        }
        (talk.remote, datagram)
    }

    fn receive(&mut self, remote: SocketAddr, datagram: &[u8]) {
        let before = self.endpoint.stats();
        match self.endpoint.route(self.now, remote, datagram) {
            Route::Known(at) => self.talks[at].connection.handle_datagram(self.now, datagram),
            Route::Opens(conv, opening) => {
                assert!(self.endpoint.connections() < CONNECTIONS);
                let at = self.add(remote, conv, opening, 0, 7);
                self.talks[at].connection.handle_datagram(self.now, datagram);
                assert!(self.talks[at].connection.is_established(), "opened by what is no sign of life");
            }
            Route::Answer(answer) => {
                assert!(answer.len() <= datagram.len());
                let back = self.endpoint.route(self.now, remote, &answer);
                assert!(matches!(back, Route::Dropped(_)), "an answer is answered");
                self.strays += 2;
            }
            Route::Elsewhere(_) => panic!("nobody is followed by plain KCP"),
            Route::Dropped(_) | Route::PassOn(_) => self.strays += 1,
        }
        assert_eq!(total(self.endpoint.stats()), self.strays, "{before:?}");
    }

    fn read(&mut self, at: usize, len: usize) {
        let talk = &mut self.talks[at];
        if talk.connection.is_message_mode() {
            let has = talk.connection.has_message();
            let message = talk.connection.read_message();
            assert_eq!(has, !matches!(message, Ok(None)));
            if let Ok(Some(message)) = message {
                assert!(!message.is_empty());
                talk.read += message.len() as u64;
            }
        } else {
            let mut out = vec![0; len];
            let had = talk.connection.readable_bytes();
            let read = talk.connection.read(&mut out);
            assert_eq!(read, had.min(len));
            talk.read += read as u64;
        }
    }

    fn write(&mut self, at: usize, len: usize) {
        let connection = &mut self.talks[at].connection;
        let writable = connection.is_writable();
        let data = vec![1; len];
        let taken = if connection.is_message_mode() {
            let most = 127 * connection.config().segment_size();
            let taken = connection.write_message(&data);
            assert_eq!(taken.is_err(), len == 0 || len > most);
            taken.is_ok_and(|taken| taken) || (taken.is_err() && writable)
        } else {
            connection.write(&data) > 0 || (len == 0 && writable)
        };
        assert_eq!(taken, writable);
    }

    fn command(&mut self, at: usize, which: u8, input: &mut Input<'_>) {
        let (now, talk) = (self.now, &mut self.talks[at]);
        let connection = &mut talk.connection;
        match which % 16 {
            0 => connection.finish(),
            1 => {
                connection.close(now, 0, "");
                talk.closed = true;
            }
            2 => connection.abort(now, 3),
            3 => connection.handle_unreachable(now),
            4 | 5 => connection.defer_answer(now),
            6 | 7 => connection.limit_recv_window(input.byte().into()),
            8 | 9 => {
                let (send, recv) = (1 + u32::from(input.byte()), 128 + u32::from(input.byte()));
                connection.set_windows(send, recv).expect("in range");
                talk.windows = (talk.windows.0.max(send), talk.windows.1.max(recv));
            }
            10 => connection.set_profile(super::profile(input)),
            11 => connection.start_linger(now),
            _ => {}
        }
    }

    /// Sends all that can be sent, and looks whether all is well.
    fn settle(&mut self, at: usize) {
        let (now, talk) = (self.now, &mut self.talks[at]);
        let mut datagrams = 0;
        loop {
            let had = talk.connection.has_transmit();
            let sent = talk.connection.poll_transmit(now, &mut self.buffer);
            if !sent {
                assert!(!had, "nothing sent, though something is to be sent");
                break;
            }
            datagrams += self.buffer.len();
            assert!(datagrams <= 4_096 + 4_096, "endless");
            for datagram in self.buffer.datagrams() {
                check_sent(&talk.connection, datagram, |segment| {
                    talk.una = segment.una().0;
                    if segment.command() == Command::Push && segment.sn().ahead_of(SeqNumber(talk.next)) >= 0
                    {
                        talk.next = segment.sn().plus(1).0;
                    }
                });
            }
        }
        pass_time(&mut talk.connection, now);
        check(&talk.connection);
        talk.check_bounds();
    }

    /// Takes connections out that have ended.
    fn bury(&mut self) {
        for (at, talk) in self.talks.iter().enumerate() {
            let (conv, ended) = (talk.connection.conv(), talk.connection.ending().is_some());
            if ended && self.endpoint.get(talk.remote, conv) == Some(&at) {
                assert_eq!(
                    self.endpoint.remove(self.now, talk.remote, conv, talk.connection.remains()),
                    Some(at)
                );
            }
        }
        assert_eq!(self.endpoint.connections(), self.endpoint.iter().count());
    }
}

impl Talk {
    fn check_bounds(&self) {
        let stats = self.connection.stats();
        let (send, recv) = self.windows;
        assert!(stats.in_flight <= send, "{} in flight, window {send}", stats.in_flight);
        // What was advertised at first, and the 32 or 128 that a peer assumes, hold too.
        assert!(stats.reordering < recv.max(128) as usize);
        // The one that all wait for may exceed the bound on bytes by what a datagram holds.
        assert!(stats.unread <= recv as usize * 2_048 + 65_507, "{} unread", stats.unread);
        if !self.closed && self.connection.ending().is_none() {
            assert_eq!(stats.bytes_received, self.read + stats.unread as u64);
        }
    }
}

fn total(stats: RouteStats) -> u64 {
    stats.dropped_malformed
        + stats.dropped_unknown
        + stats.dropped_ended
        + stats.dropped_full
        + stats.dropped_not_listening
        + stats.answered
}
