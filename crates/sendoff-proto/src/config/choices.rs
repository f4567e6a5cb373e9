//! What is chosen by name: what is put on the wire, and what a stream carries.

use super::ConfigError;
use std::{fmt, str::FromStr};

/// How much of sendoff's own is put on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// With blocks that a stock peer skips: both sides learn how and when the conversation begins, lives and
    /// ends. A stock peer is served too, and told about as far as its own wire can tell. Needs a
    /// [`kcp_mtu`](super::Config::kcp_mtu) of 128 or more; with less it is [`Classic`](Self::Classic).
    #[default]
    Extended,
    /// Packet for packet what kcp-go does with its acknowledgements undelayed: an echo is exactly four datagrams.
    Classic,
    /// As [`Extended`](Self::Extended), but stock peers get no connection.
    Required,
}

/// Whether writes are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A stream of bytes: small writes share a segment.
    #[default]
    Stream,
    /// Each write is a message, cut into fragments and put together again by the receiver. Messages
    /// have at most 127 fragments, which is what `ikcp.c` accepts.
    Message,
}

impl FromStr for Wire {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "extended" => Ok(Self::Extended),
            "classic" => Ok(Self::Classic),
            "required" => Ok(Self::Required),
            _ => Err(ConfigError::name("wire", text, "extended, classic or required")),
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extended => "extended",
            Self::Classic => "classic",
            Self::Required => "required",
        })
    }
}

impl FromStr for Mode {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "stream" => Ok(Self::Stream),
            "message" => Ok(Self::Message),
            _ => Err(ConfigError::name("mode", text, "stream or message")),
        }
    }
}
