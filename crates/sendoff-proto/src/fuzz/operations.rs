//! Two connections, the network between them, and two applications: what they do, what time does,
//! and what becomes of each datagram, in any order. Bytes arrive in order exactly once; in the end all arrive.

use super::{Input, check, check_sent, conv, pass_time, settings, start};
use crate::{
    Cause, Connection, Mode, Opening, Party, SeqNumber, TransmitBuffer,
    wire::{Command, segments},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longer than any test of patience here.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// Datagrams that the network holds at most; further ones are lost.
const NETWORK: usize = 4_096;

/// Room around the segments of a datagram, as a seal needs it.
const FRONT: usize = 12;
const BACK: usize = 16;

/// What every KCP assumes of a peer that it hasn't heard.
const ASSUMED_WINDOW: u32 = 32;

struct Side {
    connection: Connection,
    /// Datagrams on their way to it.
    incoming: VecDeque<Vec<u8>>,
    written: u64,
    read: u64,
    /// Lengths of messages written and not yet read by the other.
    messages: VecDeque<usize>,
    /// One past the last segment that it was told there is room for.
    told: SeqNumber,
    next: SeqNumber,
    /// The largest send window that was ever set.
    send_window: u32,
}

struct Pair {
    now: Instant,
    sides: [Side; 2],
    /// One without room around the segments, and one with.
    buffers: [TransmitBuffer; 2],
    mode: Mode,
    /// Whether each has promised at least what the other assumes at first.
    roomy: bool,
}

/// Runs one input. Panics when something doesn't hold.
pub fn operations(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut pair = Pair::new(&mut input);
    while !input.is_empty() {
        pair.step(&mut input);
        pair.check();
    }
    pair.finish();
}

/// The byte at a place in what a side writes.
fn byte_at(side: usize, place: u64) -> u8 {
    (place.wrapping_mul(31) ^ (place >> 8) ^ (place >> 16)) as u8 ^ (side as u8 * 0x55)
}

fn bytes_at(side: usize, place: u64, len: usize) -> Vec<u8> {
    (place..).take(len).map(|place| byte_at(side, place)).collect()
}

impl Pair {
    fn new(input: &mut Input<'_>) -> Self {
        let now = Instant::now();
        let mode = if input.bit() { Mode::Message } else { Mode::Stream };
        let first = SeqNumber(start(input));
        let mut side = |opening| {
            let config = settings(input, mode).keep_alive(None).connect_timeout(NEVER).linger(NEVER);
            let config = Arc::new(config);
            Side {
                send_window: config.send_window_segments(),
                connection: Connection::starting(config, conv(), opening, now, 5, (first, start(input))),
                incoming: VecDeque::new(),
                written: 0,
                read: 0,
                messages: VecDeque::new(),
                told: first.plus(ASSUMED_WINDOW),
                next: first,
            }
        };
        let sides = [side(Opening::Early), side(Opening::Stock)];
        let roomy = sides.iter().all(|s| s.connection.recv_window() >= ASSUMED_WINDOW);
        let buffers = [TransmitBuffer::new(), TransmitBuffer::with_room(FRONT, BACK)];
        Self { now, sides, buffers, mode, roomy }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let kind = input.byte();
        let (side, kind) = (usize::from(kind & 1), kind >> 1);
        match kind % 16 {
            0 | 1 => self.write(side, usize::from(input.short() % 8_192)),
            2 | 3 => drop(self.read(side, usize::from(input.short() % 8_192))),
            4 | 5 => drop(self.send(side, kind / 16 * 2 + kind % 2)),
            6 => self.deliver(side, 0),
            7 => (0..self.sides[side].incoming.len()).for_each(|_| self.deliver(side, 0)),
            8 => {
                let at = input.index(self.sides[side].incoming.len());
                self.deliver(side, at);
            }
            9 => {
                let at = input.index(self.sides[side].incoming.len());
                self.sides[side].incoming.remove(at);
            }
            10 => {
                let at = input.index(self.sides[side].incoming.len());
                if let Some(copy) = self.sides[side].incoming.get(at).cloned() {
                    self.sides[side].incoming.push_back(copy);
                }
            }
            11 => self
                .pass(Duration::from_millis([0, 1, 10, 30, 100, 300, 1_000, 10_000][usize::from(kind / 16)])),
            12 | 13 => drop(self.pass_to_next_timeout()),
            _ => self.command(side, input),
        }
    }

    fn write(&mut self, at: usize, len: usize) {
        let side = &mut self.sides[at];
        let data = bytes_at(at, side.written, len);
        match self.mode {
            Mode::Stream => side.written += side.connection.write(&data) as u64,
            Mode::Message => {
                if let Ok(true) = side.connection.write_message(&data) {
                    side.written += len as u64;
                    side.messages.push_back(len);
                }
            }
        }
    }

    fn read(&mut self, at: usize, len: usize) -> usize {
        let side = &mut self.sides[at];
        let data = match self.mode {
            Mode::Stream => {
                let mut data = vec![0; len];
                let read = side.connection.read(&mut data);
                data.truncate(read);
                data
            }
            Mode::Message => {
                side.connection.read_message().expect("no message was too long").unwrap_or_default()
            }
        };
        let place = side.read;
        side.read += data.len() as u64;
        assert_eq!(data, bytes_at(1 - at, place, data.len()), "not the bytes that were written");
        assert!(self.sides[at].read <= self.sides[1 - at].written);
        if self.mode == Mode::Message && !data.is_empty() {
            assert_eq!(
                self.sides[1 - at].messages.pop_front(),
                Some(data.len()),
                "not a message that was written"
            );
        }
        data.len()
    }

    /// Sends one batch, in one of four ways.
    fn send(&mut self, at: usize, how: u8) -> bool {
        let side = &mut self.sides[at];
        let (front, back) = if how & 2 == 0 { (0, 0) } else { (FRONT, BACK) };
        let buffer = &mut self.buffers[usize::from(how / 2 % 2)];
        buffer.set_max_datagrams([64, 1, 2, 10][usize::from(how / 4 % 4)]);
        let strip = |datagram: &[u8]| datagram[front..datagram.len() - back].to_vec();
        let datagrams: Vec<Vec<u8>> = if how & 1 == 0 {
            side.connection.poll_transmit(self.now, buffer);
            buffer.datagrams().map(strip).collect()
        } else {
            let batch = side.connection.poll_batch(self.now, buffer);
            batch.map_or(Vec::new(), |batch| batch.datagrams().map(strip).collect())
        };
        for datagram in &datagrams {
            check_sent(&side.connection, datagram, |segment| {
                if segment.command() == Command::Push && !segment.sn().is_before(side.next) {
                    assert_eq!(segment.sn(), side.next, "a gap in the numbers");
                    assert!(segment.sn().is_before(side.told), "{segment} beyond {}", side.told);
                    side.next = side.next.plus(1);
                }
            });
        }
        let sent = !datagrams.is_empty();
        let there = &mut self.sides[1 - at].incoming;
        there.extend(datagrams);
        there.truncate(NETWORK);
        sent
    }

    fn deliver(&mut self, at: usize, which: usize) {
        let side = &mut self.sides[at];
        let Some(datagram) = side.incoming.remove(which) else { return };
        for segment in segments(&datagram).flatten() {
            let edge = segment.una().plus(segment.window().into());
            if side.told.is_before(edge) {
                side.told = edge;
            }
        }
        side.connection.handle_datagram(self.now, &datagram);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for side in &mut self.sides {
            pass_time(&mut side.connection, self.now);
        }
    }

    fn pass_to_next_timeout(&mut self) -> bool {
        let next = self.sides.iter().filter_map(|s| s.connection.poll_timeout()).min();
        let Some(next) = next else { return false };
        self.pass(next.saturating_duration_since(self.now));
        true
    }

    fn command(&mut self, at: usize, input: &mut Input<'_>) {
        let (now, side) = (self.now, &mut self.sides[at]);
        let connection = &mut side.connection;
        match input.byte() % 8 {
            0 | 1 => connection.defer_answer(now),
            2 => connection.limit_recv_window(u32::from(input.byte())),
            3 => {
                let (send, recv) = (1 + u32::from(input.byte()), 128 + u32::from(input.byte()));
                connection.set_windows(send, recv).expect("in range");
                side.send_window = side.send_window.max(send);
            }
            4 => connection.set_profile(super::profile(input)),
            5 => connection.start_linger(now),
            _ => {}
        }
    }

    fn check(&self) {
        for side in &self.sides {
            check(&side.connection);
            let stats = side.connection.stats();
            assert!(stats.in_flight <= side.send_window);
            assert_eq!(stats.bytes_received, side.read + stats.unread as u64);
            let oddities = stats.malformed_datagrams
                + stats.dropped_fragment
                + stats.empty_segments
                + stats.dropped_acks
                + stats.invalid_una;
            assert_eq!(oddities, 0, "honest peers: {stats:?}");
            if self.roomy {
                assert_eq!(stats.dropped_out_of_window, 0, "a promise was broken: {stats:?}");
            }
        }
        for (here, there) in [(0, 1), (1, 0)] {
            let acknowledged = self.sides[here].connection.stats().bytes_acknowledged;
            assert!(acknowledged <= self.sides[there].connection.stats().bytes_received, "not there yet");
        }
    }

    fn has_ended(&self) -> bool {
        self.sides.iter().any(|s| s.connection.ending().is_some())
    }

    /// Without further losses all arrives, both fall silent, and both close.
    fn finish(&mut self) {
        if self.has_ended() {
            return self.check_endings();
        }
        for at in [0, 1] {
            self.sides[at].connection.finish();
        }
        for rounds in 0.. {
            assert!(
                rounds < 20_000,
                "not delivered: {:?}",
                self.sides.each_ref().map(|s| s.connection.stats())
            );
            self.exchange_all();
            self.check();
            if self.sides.iter().all(|s| s.connection.is_delivered()) {
                break;
            }
            if self.has_ended() {
                return self.check_endings();
            }
            assert!(self.pass_to_next_timeout(), "waits for nothing");
        }
        for (here, there) in [(0, 1), (1, 0)] {
            assert_eq!(self.sides[here].read, self.sides[there].written, "lost");
        }
        self.fall_silent();
        self.close();
    }

    /// Until neither has more to say: their answers to each other come to an end.
    fn exchange_all(&mut self) {
        let mut rounds = 0;
        while self.exchange() {
            rounds += 1;
            assert!(rounds < 10_000, "they are set on each other");
        }
    }

    /// All that is on its way arrives, all that can be read is read, all that can be sent is sent.
    fn exchange(&mut self) -> bool {
        let mut anything = false;
        for at in [0, 1] {
            while self.send(at, 1) {}
            anything |= !self.sides[1 - at].incoming.is_empty();
            while !self.sides[1 - at].incoming.is_empty() {
                self.deliver(1 - at, 0);
            }
            while self.read(1 - at, 8_192) > 0 {}
        }
        anything
    }

    /// An idle connection has no timer.
    fn fall_silent(&mut self) {
        for timeouts in 0.. {
            assert!(timeouts < 100, "an idle connection ticks");
            self.exchange_all();
            if !self.pass_to_next_timeout() {
                break;
            }
        }
    }

    fn close(&mut self) {
        for side in &mut self.sides {
            side.connection.close(self.now, 0, "");
            let ending = side.connection.ending().expect("nothing was left to do");
            assert!(ending.is_clean(), "{ending}");
        }
    }

    /// The only end that the network can bring here is a long silence.
    fn check_endings(&self) {
        for ending in self.sides.iter().filter_map(|s| s.connection.ending()) {
            assert!(matches!(ending.cause, Cause::TimedOut(_)), "{ending}");
            assert_eq!(ending.by, Party::Network);
            assert!(ending.lasted >= Duration::from_secs(20), "{ending}");
        }
    }
}
