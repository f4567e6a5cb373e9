//! What a broken or hostile peer may send: it is counted and dropped, it never panics, and it costs no
//! more memory than the windows allow.

mod acknowledgements;
mod datagrams;
mod opening;
mod random;
mod segments;

use sendoff_proto::{
    Cause, Config, Connection, ConnectionStats, Conv, Opening, Party, SeqNumber, Timestamp, TransmitBuffer,
    Wire, code,
    wire::{self, Command, Segment},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const CONV: u32 = 0x5b1f_03aa;

/// The largest UDP payload over IPv4.
const LARGEST_DATAGRAM: usize = 65_507;

fn conv() -> Conv {
    Conv::new(CONV).unwrap()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A server's connection that has heard nothing yet.
fn connection_with(config: Config) -> (Connection, Instant) {
    let now = Instant::now();
    // Plain KCP: nothing is asked of a peer before it may send as it likes.
    let config = config.wire(Wire::Classic);
    (Connection::starting(Arc::new(config), conv(), Opening::Stock, now, 7, (SeqNumber(0), 1_000)), now)
}

fn connection() -> (Connection, Instant) {
    connection_with(Config::new())
}

/// A connection that has just sent so many full segments.
fn connection_with_in_flight(segments: u32) -> (Connection, Instant) {
    let (mut connection, now) = connection();
    let len = segments as usize * connection.config().segment_size();
    assert_eq!(connection.write(&vec![7; len]), len);
    transmit(&mut connection, now);
    assert_eq!(connection.stats().in_flight, segments);
    (connection, now)
}

/// A segment with a window of 32 and zeros.
fn segment(command: Command, sn: u32) -> Segment {
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

fn encode(segment: Segment, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    segment.encode(data, &mut out);
    out
}

fn push(sn: u32, data: &[u8]) -> Vec<u8> {
    encode(segment(Command::Push, sn), data)
}

fn fragment(sn: u32, fragment: u8, data: &[u8]) -> Vec<u8> {
    encode(Segment { fragment, ..segment(Command::Push, sn) }, data)
}

fn read_all(connection: &mut Connection) -> Vec<u8> {
    let mut out = vec![0; connection.readable_bytes()];
    let read = connection.read(&mut out);
    assert_eq!(read, out.len());
    out
}

/// All that the connection sends now, segment by segment.
fn transmit(connection: &mut Connection, now: Instant) -> Vec<Sent> {
    let (mut buffer, mut sent) = (TransmitBuffer::new(), Vec::new());
    while connection.poll_transmit(now, &mut buffer) {
        for datagram in buffer.datagrams() {
            for segment in wire::segments(datagram) {
                let segment = segment.unwrap();
                sent.push(Sent { head: segment.to_segment(), len: segment.data().len() });
            }
        }
    }
    sent
}

struct Sent {
    head: Segment,
    len: usize,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Segment { command, sn, una, window, .. } = self.head;
        write!(f, "{command} sn={sn} una={una} wnd={window} len={}", self.len)
    }
}

fn commands(sent: &[Sent]) -> Vec<Command> {
    sent.iter().map(|s| s.head.command).collect()
}

/// The counters of what was wrong: a test that names one asserts that the others stand at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bad {
    malformed: u64,
    duplicates: u64,
    out_of_window: u64,
    after_close: u64,
    fragments: u64,
    empty: u64,
    acks: u64,
    una: u64,
}

fn bad(connection: &Connection) -> Bad {
    let ConnectionStats {
        malformed_datagrams,
        duplicates_received,
        dropped_out_of_window,
        dropped_after_close,
        dropped_fragment,
        empty_segments,
        dropped_acks,
        invalid_una,
        ..
    } = connection.stats();
    Bad {
        malformed: malformed_datagrams,
        duplicates: duplicates_received,
        out_of_window: dropped_out_of_window,
        after_close: dropped_after_close,
        fragments: dropped_fragment,
        empty: empty_segments,
        acks: dropped_acks,
        una: invalid_una,
    }
}
