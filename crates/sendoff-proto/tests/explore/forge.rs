//! What an attacker sends who knows addresses and conversation, but no token.

use sendoff_proto::{
    Conv, SeqNumber, Timestamp,
    wire::{Block, BlockKind, Body, FIN_FRAGMENT, Segment, Token},
};
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fin {
        sn: u8,
    },
    Reset,
    /// A bare WINS.
    Wins,
    Hello,
    /// With a cookie that nobody has baked.
    Cookie,
    Retry,
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgery {
    /// To the server (0) or to the client.
    pub way: u8,
    pub kind: Kind,
}

const KINDS: [Kind; 9] = [
    Kind::Fin { sn: 0 },
    Kind::Fin { sn: 1 },
    Kind::Fin { sn: 2 },
    Kind::Reset,
    Kind::Wins,
    Kind::Hello,
    Kind::Cookie,
    Kind::Retry,
    Kind::Ping,
];

impl Forgery {
    pub fn all() -> impl Iterator<Item = Self> {
        (0..2).flat_map(|way| KINDS.map(|kind| Self { way, kind }))
    }
}

/// The attacker's token.
pub fn stranger() -> Token {
    Token::new(0x6666_6666_6666_6666).unwrap()
}

/// Where somebody is who sends again what he has recorded.
pub fn thief() -> SocketAddr {
    ([192, 0, 2, 66], 6_000).into()
}

fn guess() -> Option<Token> {
    Token::new(0x7777_7777_7777_7777)
}

pub fn forge(forgery: Forgery, conv: Conv) -> Vec<u8> {
    let from = Some(stranger());
    let (to, body) = match forgery.kind {
        Kind::Fin { .. } => (guess(), Some(Body::Fin { code: 0, reason: "" })),
        Kind::Reset => (guess(), Some(Body::Reset { code: 1, reason: "" })),
        Kind::Wins => (None, None),
        Kind::Hello => (None, Some(Body::Hello { features: 0, cookie: [0; 16] })),
        Kind::Cookie => (None, Some(Body::Hello { features: 0, cookie: [9; 16] })),
        Kind::Retry => (guess(), Some(Body::Retry { cookie: [9; 16] })),
        Kind::Ping => (guess(), Some(Body::Ping { challenge: 1 })),
    };
    let mut data = Vec::new();
    if let Some(body) = body {
        Block { flags: 0, to, from, body }.encode(&mut data);
    }
    let (sn, fragment) = match forgery.kind {
        Kind::Fin { sn } => (sn.into(), FIN_FRAGMENT),
        Kind::Hello | Kind::Cookie => (0, 0),
        _ => (1, 0),
    };
    let header = Segment {
        conv: conv.value(),
        command: body.map_or(BlockKind::Welcome, |body| body.kind()).carrier(),
        fragment,
        window: 32,
        timestamp: Timestamp(0),
        sn: SeqNumber(sn),
        una: SeqNumber(0),
    };
    let mut datagram = Vec::new();
    header.encode(&data, &mut datagram);
    datagram
}
