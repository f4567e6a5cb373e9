//! Who the peer is: a stock KCP, or one that speaks blocks and has a token; and what it has proven.

use super::Role;
use crate::wire::{Block, Token};

/// How a connection begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Opening {
    /// We open it, and no data leaves before the peer has answered.
    Waiting,
    /// We open it, and the first data rides with the opening.
    Early,
    /// The peer opened it with a plain PUSH: it is a stock one.
    Stock,
    /// The peer opened it with a HELLO, from this token.
    Hello(Token),
    /// The same with a valid cookie: its address is proven.
    HelloWithCookie(Token),
}

impl Opening {
    /// Which side we are.
    pub fn role(self) -> Role {
        match self {
            Self::Waiting | Self::Early => Role::Client,
            Self::Stock | Self::Hello(_) | Self::HelloWithCookie(_) => Role::Server,
        }
    }

    /// The token of a peer that opened it with a HELLO.
    pub fn peer_token(self) -> Option<Token> {
        match self {
            Self::Hello(token) | Self::HelloWithCookie(token) => Some(token),
            Self::Waiting | Self::Early | Self::Stock => None,
        }
    }

    pub(super) fn has_cookie(self) -> bool {
        matches!(self, Self::HelloWithCookie(_))
    }
}

/// What kind of peer it is, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PeerKind {
    /// Nothing has come that would tell.
    Unknown,
    /// Plain KCP: it can't say goodbye.
    Stock,
    /// It speaks blocks.
    Extended,
}

/// What stands in front of a datagram's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    Hello,
    Welcome,
}

#[derive(Clone, Debug)]
pub(super) struct Peering {
    /// Blocks may be sent and are believed; otherwise it is plain KCP.
    pub(super) blocks: bool,
    pub(super) own: Token,
    /// The peer's, once known.
    pub(super) peer: Option<Token>,
    role: Role,
    /// A client's belief, not a verdict: the first believed block changes it.
    pub(super) settled_stock: bool,
    /// A client has just learned the peer's token.
    pub(super) learned: bool,
    /// A server's: a block that names our token has come.
    pub(super) proven: bool,
    /// A server's: the HELLO had a valid cookie, so it is no stock peer's, and from where it says.
    pub(super) vouched: bool,
}

impl Peering {
    pub(super) fn new(blocks: bool, own: Token, opening: Opening) -> Self {
        let peer = opening.peer_token().filter(|_| blocks);
        Self {
            blocks,
            own,
            peer,
            role: opening.role(),
            settled_stock: !blocks,
            learned: false,
            proven: false,
            vouched: blocks && opening.has_cookie(),
        }
    }

    pub(super) fn kind(&self) -> PeerKind {
        match (self.peer, self.role) {
            (Some(_), _) => PeerKind::Extended,
            (None, Role::Server) => PeerKind::Stock,
            (None, Role::Client) if self.settled_stock => PeerKind::Stock,
            (None, Role::Client) => PeerKind::Unknown,
        }
    }

    /// Whether it is sure to read blocks, so that it may be told what a stock peer would misread: it knows our token,
    /// or has come again with a cookie.
    pub(super) fn knows_us(&self) -> bool {
        self.peer.is_some() && (self.role == Role::Client || self.proven || self.vouched)
    }

    /// A server whose peer's address is shown by a cookie, and nothing else yet.
    pub(super) fn is_only_vouched(&self) -> bool {
        self.vouched && !self.proven
    }

    /// A server whose peer has said HELLO, but shown no proof yet.
    pub(super) fn is_unproven(&self) -> bool {
        self.role == Role::Server && self.peer.is_some() && !self.proven
    }

    pub(super) fn take_learned(&mut self) -> bool {
        std::mem::take(&mut self.learned)
    }

    pub(super) fn settle_stock(&mut self) {
        self.settled_stock = true;
    }

    pub(super) fn prove(&mut self) {
        self.proven = true;
    }

    /// A new attempt of a client, under another name.
    pub(super) fn redial(&mut self, own: Token) {
        self.own = own;
    }

    /// Whether a WELCOME, PING, PONG or FIN is to be believed. A client learns the peer's token from the first.
    pub(super) fn believes(&mut self, block: &Block<'_>) -> bool {
        if block.to != Some(self.own) {
            return false;
        }
        match (self.peer, self.role) {
            (Some(peer), _) => block.from == Some(peer),
            (None, Role::Client) => {
                self.peer = block.from;
                self.learned = true;
                true
            }
            (None, Role::Server) => false,
        }
    }

    /// What every datagram begins with, but for those of a peer settled as stock.
    pub(super) fn front(&self) -> Option<Front> {
        match self.role {
            _ if !self.blocks => None,
            Role::Client if self.kind() == PeerKind::Unknown => Some(Front::Hello),
            Role::Server if self.is_unproven() => Some(Front::Welcome),
            _ => None,
        }
    }

    /// What a datagram with the first PUSH of all begins with, also a repeated one.
    pub(super) fn front_of_first(&self) -> Option<Front> {
        match self.role {
            _ if !self.blocks => None,
            Role::Client => Some(Front::Hello),
            Role::Server => self.peer.map(|_| Front::Welcome),
        }
    }
}
