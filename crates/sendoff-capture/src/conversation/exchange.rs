//! Names the parts of a plain exchange: request, its ack, response, its ack.
//!
//! Only while the two sides take turns: as soon as both have data on the way at the same time, no datagram can be
//! said to answer another, and none is named any more.

use super::Side;
use std::fmt;

/// What a datagram is in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The client begins to say something.
    Request,
    /// The server has got all of it.
    RequestAck,
    /// The server begins to answer.
    Response,
    /// The client has got all of it.
    ResponseAck,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::RequestAck | Self::ResponseAck => "its ack",
        })
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    turn: Option<Side>,
    /// Both spoke at once.
    broken: bool,
}

/// What a datagram did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    pub(super) side: Side,
    pub(super) new_data: bool,
    /// It acknowledged the last that was on the way from the other side.
    pub(super) completes_other: bool,
    /// Something of the other side is still on the way.
    pub(super) other_in_flight: bool,
}

impl Exchange {
    pub(super) fn role(&mut self, deed: Deed) -> Option<Role> {
        if self.broken {
            return None;
        }
        if deed.new_data {
            if deed.other_in_flight {
                self.broken = true;
                return None;
            }
            let begins = self.turn != Some(deed.side);
            self.turn = Some(deed.side);
            return begins.then_some(match deed.side {
                Side::Client => Role::Request,
                Side::Server => Role::Response,
            });
        }
        let answers = deed.completes_other && self.turn == Some(deed.side.other());
        answers.then_some(match deed.side {
            Side::Server => Role::RequestAck,
            Side::Client => Role::ResponseAck,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(side: Side, new_data: bool, completes_other: bool, other_in_flight: bool) -> Deed {
        Deed { side, new_data, completes_other, other_in_flight }
    }

    #[test]
    fn a_plain_exchange_has_four_parts() {
        let mut exchange = Exchange::default();
        let mut role = |side, new, completes| exchange.role(deed(side, new, completes, false));
        assert_eq!(role(Side::Client, true, false), Some(Role::Request));
        assert_eq!(role(Side::Client, true, false), None, "more of the same");
        assert_eq!(role(Side::Server, false, false), None, "a part of it only");
        assert_eq!(role(Side::Server, false, true), Some(Role::RequestAck));
        assert_eq!(role(Side::Server, true, false), Some(Role::Response));
        assert_eq!(role(Side::Client, false, true), Some(Role::ResponseAck));
        assert_eq!(role(Side::Client, true, false), Some(Role::Request));
        assert_eq!(role(Side::Server, true, true), Some(Role::Response), "the ack rides");
    }

    #[test]
    fn nothing_is_named_once_both_speak_at_a_time() {
        let mut exchange = Exchange::default();
        exchange.role(deed(Side::Client, true, false, false));
        assert_eq!(exchange.role(deed(Side::Server, true, false, true)), None);
        assert_eq!(exchange.role(deed(Side::Client, true, false, false)), None);
    }
}
