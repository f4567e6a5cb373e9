//! Datagrams that an attacker makes.

use crate::sim::net::{block, encode, hello, segment};
use sendoff_proto::{
    Connection, SeqNumber, Timestamp,
    wire::{Body, Command, FIN_FRAGMENT, Segment, SegmentView},
};

/// One, and what it is.
#[derive(Clone)]
pub struct Forgery {
    pub what: String,
    pub datagram: Vec<u8>,
    /// It names a true token: more than anybody off the path can know.
    pub names_own: bool,
}

impl std::fmt::Debug for Forgery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

pub fn forge(what: impl Into<String>, datagram: Vec<u8>) -> Forgery {
    Forgery { what: what.into(), datagram, names_own: false }
}

pub fn reset(to: u64, from: u64) -> Vec<u8> {
    let body = Body::Reset { code: 33, reason: "forged" };
    block(segment(Command::WindowTell, 1), to, from, body)
}

pub fn ping(to: u64, from: u64) -> Vec<u8> {
    block(segment(Command::WindowAsk, 1), to, from, Body::Ping { challenge: 5 })
}

pub const BODIES: [Body<'static>; 7] = [
    Body::Hello { features: 0, cookie: [0; 16] },
    Body::Welcome { features: 0 },
    Body::Retry { cookie: [3; 16] },
    Body::Ping { challenge: 5 },
    Body::Pong { challenge: 5 },
    Body::Reset { code: 33, reason: "forged" },
    Body::Fin { code: 33, reason: "forged" },
];

/// The number that a connection expects next.
fn next(connection: &Connection) -> u32 {
    // What the peer has in flight from there on has the same numbers.
    let stats = connection.stats();
    (stats.segments_received - stats.duplicates_received) as u32
}

/// Una and window in headers: what would acknowledge nothing, everything, and open or close the window.
fn headers(connection: &Connection) -> Vec<Segment> {
    let next = next(connection);
    let unas = [0, next, 1_000_000, 1 << 31, u32::MAX];
    let header = segment(Command::WindowTell, 1);
    let mut headers: Vec<_> = unas.map(|una| Segment { una: SeqNumber(una), ..header }).into();
    headers.push(Segment { window: 0, sn: SeqNumber(next), ..header });
    headers.push(Segment { window: u16::MAX, sn: SeqNumber(next), una: SeqNumber(1 << 30), ..header });
    headers.push(Segment { sn: SeqNumber(0), ..header });
    headers.push(Segment { sn: SeqNumber(next + 1), ..header });
    headers
}

/// Every kind of block, with tokens that aren't known, or spoilt.
pub fn blocks(own: &Connection, peer: &Connection) -> Vec<Forgery> {
    let mut all = Vec::new();
    let (token, peer) = (own.token().value(), peer.token().value());
    let wrong = 0xbad0_bad0_bad0_bad0;
    for body in BODIES {
        let kind = body.kind();
        for (n, header) in headers(own).into_iter().enumerate() {
            for (to, from) in
                [(0, wrong), (wrong, wrong), (wrong, 0), (token ^ 1, wrong), (token.swap_bytes(), 1)]
            {
                let what = format!("{kind} to {to:x} from {from:x}, header {n}");
                all.push(forge(what, block(header, to, from, body)));
            }
        }
        // Where an end would be in order.
        let header = segment(Command::WindowTell, next(own));
        let with = |to, from| block(header, to, from, body);
        let mut spoilt = |what: &str, datagram| {
            all.push(Forgery { what: format!("{kind}, {what}"), datagram, names_own: true });
        };
        if !matches!(body, Body::Reset { .. }) {
            // RESET asks for our token only.
            spoilt("from another", with(token, wrong));
            spoilt("from nobody", with(token, 0));
        }
        if token == peer {
            continue; // a stock peer has none
        }
        let whole = with(token, peer);
        for len in [4, 5, 6, 8, 23, 24, 27] {
            let view = SegmentView::parse(&whole).expect("a segment").0;
            spoilt(&format!("{len} bytes of it"), encode(view.to_segment(), &view.data()[..len]));
        }
        for command in [Command::Push, Command::Ack, Command::WindowAsk, Command::WindowTell] {
            let fragment = if kind.carrier() == Command::Push { 0 } else { FIN_FRAGMENT };
            let old = Segment { command, fragment, sn: SeqNumber(u32::MAX), una: SeqNumber(0), ..header };
            let data = SegmentView::parse(&whole).expect("a segment").0.data().to_vec();
            if command != kind.carrier() {
                spoilt(&format!("in {command}"), encode(old, &data));
            }
        }
        for (at, byte) in [(24, b'X'), (28, 0), (28, 2), (29, 0), (29, 8), (29, 255)] {
            let mut other = whole.clone();
            other[at] = byte;
            if Some(byte) != whole.get(at).copied() && kind.carrier() != Command::Push {
                spoilt(&format!("byte {at} is {byte}"), other);
            }
        }
    }
    let alone: Vec<_> = all.iter().filter(|f| !f.names_own).cloned().collect();
    let valid = encode(segment(Command::WindowAsk, 1), &[]);
    for forgery in alone.into_iter().step_by(7) {
        let what = format!("{}, behind a WASK", forgery.what);
        all.push(forge(what, [&valid[..], &forgery.datagram].concat()));
        let what = format!("{}, in front of a WASK", forgery.what);
        all.push(forge(what, [&forgery.datagram[..], &valid].concat()));
        let what = format!("{}, twice", forgery.what);
        all.push(forge(what, [&forgery.datagram[..], &forgery.datagram].concat()));
    }
    for other in [0, 1, u64::MAX] {
        all.push(forge("HELLO of another", hello(other.max(1))));
    }
    all
}

/// ACKs with a guessed timestamp, and windows whose una lies outside.
pub fn acknowledgements(own: &Connection, _peer: &Connection) -> Vec<Forgery> {
    let mut all = Vec::new();
    let outside = [200, 60_000, 100_000, 1 << 30, 1 << 31, 3 << 30, u32::MAX - 65_536];
    for command in [Command::WindowTell, Command::WindowAsk, Command::Ack] {
        for una in outside {
            for window in [0, 32, u16::MAX] {
                let header = Segment { una: SeqNumber(una), window, ..segment(command, 1) };
                all.push(forge(format!("{command} una {una} wnd {window}"), encode(header, &[])));
            }
        }
    }
    let una = own.stats().segments_sent as u32;
    for timestamp in [0, 1, 1_000, u32::MAX / 2, u32::MAX] {
        for sn in [una.saturating_sub(1), una, una + 1] {
            let header = segment(Command::Ack, sn);
            let ack = Segment { una: SeqNumber(una), timestamp: Timestamp(timestamp), ..header };
            all.push(forge(format!("ACK {sn} una {una} ts {timestamp}"), encode(ack, &[])));
        }
    }
    all
}

/// Segments of plain KCP that bring no data of the window.
pub fn plain(own: &Connection, _peer: &Connection) -> Vec<Forgery> {
    let next = next(own);
    let mut all = Vec::new();
    for sn in [0, next.wrapping_sub(1), next + 5_000, 1 << 30, 1 << 31, 3 << 30, u32::MAX] {
        for fragment in [0, 7, FIN_FRAGMENT] {
            let push = Segment { fragment, ..segment(Command::Push, sn) };
            all.push(forge(format!("PUSH {sn} frg {fragment}"), encode(push, b"forged")));
        }
    }
    all.push(forge(
        "PUSH frg 255 in order",
        encode(Segment { fragment: 255, ..segment(Command::Push, next) }, b"x"),
    ));
    all.push(forge("WASK", encode(segment(Command::WindowAsk, 0), &[])));
    all.push(forge("WASK with unknown data", encode(segment(Command::WindowAsk, 0), &[1; 40])));
    all
}
