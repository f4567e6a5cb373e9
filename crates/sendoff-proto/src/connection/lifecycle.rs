//! How a connection ends, and what is known of it.

use super::closing::Farewell;
use crate::{seq::SeqNumber, wire::Token};
use std::{error::Error, fmt, io, time::Duration};

/// The codes that are the protocol's own; from 16 on they are the application's.
pub mod code {
    /// No particular one.
    pub const NONE: u32 = 0;
    /// The peer doesn't know this conversation (any more).
    pub const UNKNOWN: u32 = 1;
    /// The conversation id is in use.
    pub const IN_USE: u32 = 2;
    /// Too many connections.
    pub const BUSY: u32 = 3;
    /// The listener goes away.
    pub const GOING_AWAY: u32 = 4;
    /// The application closed with data unread.
    pub const UNREAD: u32 = 5;
    /// The linger time is over.
    pub const LINGER: u32 = 6;
    /// The protocol was violated.
    pub const PROTOCOL: u32 = 7;
}

/// What a code of the protocol means, in words; `None` for those of the application.
pub fn code_name(code: u32) -> Option<&'static str> {
    Some(match code {
        code::NONE => "no code",
        code::UNKNOWN => "conversation unknown",
        code::IN_USE => "conversation id in use",
        code::BUSY => "busy",
        code::GOING_AWAY => "going away",
        code::UNREAD => "closed with data unread",
        code::LINGER => "linger time over",
        code::PROTOCOL => "protocol error",
        8..=15 => "reserved code",
        _ => return None,
    })
}

/// What is left of a connection that has ended: what its tombstone has to know.
#[derive(Clone, Debug)]
pub struct Remains {
    pub(crate) own: Token,
    pub(crate) peer: Option<Token>,
    pub(crate) una: SeqNumber,
    pub(crate) rest: Rest,
    pub(crate) repeats: u8,
    pub(crate) rto: Duration,
    pub(crate) unproven: bool,
    pub(crate) stay: Duration,
}

/// How late datagrams of a conversation are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rest {
    /// As if it had never been.
    Gone,
    /// Nothing is answered, and nothing opens.
    Silent,
    /// It lives on at another address.
    Moved,
    /// All was said: what is repeated is acknowledged again.
    Closed,
    /// Broken off: what is repeated gets a RESET with that code.
    Reset(u32),
    /// It never opened: an answer that comes late gets a RESET with that code.
    Opening(u32),
}

/// Which side of a conversation we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We opened it.
    Client,
    /// The peer opened it.
    Server,
}

/// Who brought the end about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// This side.
    Local,
    /// The other side.
    Peer,
    /// The network, or the silence in it.
    Network,
}

/// What stayed silent until the connection was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Silence {
    /// Nobody answered within the connect timeout.
    Opening,
    /// A peer that opened never showed that it gets what we send.
    Unproven,
    /// A segment was sent 20 times, or a closed window probed 5 times, and nothing came.
    Retransmissions,
    /// Keep-alive probes were not answered.
    KeepAlive,
    /// Nothing more was acknowledged for the linger time after `close`.
    Linger,
    /// A segment was sent 20 times in 20 s or more, in datagrams that are larger than the path takes: smaller ones arrive.
    TooLarge,
    /// Nothing came and nothing went for the idle time of a transport that has no end of its own, such as UDP.
    Idle,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// In order: all that was written has been acknowledged, and an extended peer has said its own end or
    /// was told ours.
    Closed,
    /// Ended at once by the application; what was not acknowledged is lost.
    Aborted,
    /// Never opened: the peer said so (with a code), or its host, that nobody listens.
    Refused,
    /// Broken off: by the peer with a code; by a stock peer that has shown that it has forgotten the
    /// conversation; or its host says that nobody listens any more.
    Reset,
    /// Given up after a silence.
    TimedOut(Silence),
    /// The socket failed, or its driver is gone.
    EndpointLost,
}

/// The end of a connection: who, why, and what was transferred.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// Who brought it about.
    pub by: Party,
    /// Why.
    pub cause: Cause,
    /// The code of who brought it about; 0 where there is none, 1 to 15 are the protocol's ([`code_name`]).
    pub code: u32,
    /// Its words, if any.
    pub reason: String,
    /// What the peer said when it finished, if it did: also where we finished first.
    pub peer: Option<Farewell>,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Bytes that the application wrote and that were sent at least once.
    pub bytes_sent: u64,
    /// Bytes of these that the peer has acknowledged.
    pub bytes_acknowledged: u64,
    /// Bytes written but never sent.
    pub bytes_unsent: u64,
    /// From opening to end.
    pub lasted: Duration,
    /// Since the last sign of life from the peer.
    pub silent_for: Duration,
    /// Datagrams from the peer's address that could not be opened: of another key or cipher, or forged. `None`
    /// without a cipher.
    pub datagrams_unopened: Option<u64>,
}

impl Ending {
    /// An ending without code, words or bytes: for transports of one's own, which fill in what they know.
    pub fn new(by: Party, cause: Cause, lasted: Duration) -> Self {
        Self {
            by,
            cause,
            code: code::NONE,
            reason: String::new(),
            peer: None,
            bytes_received: 0,
            bytes_sent: 0,
            bytes_acknowledged: 0,
            bytes_unsent: 0,
            lasted,
            silent_for: Duration::ZERO,
            datagrams_unopened: None,
        }
    }

    /// Whether all that was written is known to have arrived, and nobody broke off.
    pub fn is_clean(&self) -> bool {
        self.cause == Cause::Closed
    }

    /// What is known of a peer that hasn't answered, in words: with a cipher, the key may be why.
    pub fn no_answer(&self) -> String {
        match self.datagrams_unopened {
            None => "no answer at all".to_owned(),
            Some(0) => "no answer at all (or another key or cipher there)".to_owned(),
            Some(1) => "no answer that could be opened: 1 datagram came (wrong key or cipher?)".to_owned(),
            Some(n) => format!("no answer that could be opened: {n} datagrams came (wrong key or cipher?)"),
        }
    }

    /// Bytes written that were not acknowledged.
    pub fn bytes_in_doubt(&self) -> u64 {
        self.bytes_sent - self.bytes_acknowledged + self.bytes_unsent
    }
}

impl Ending {
    /// The ending behind an error of a stream, if it is one.
    pub fn of(error: &io::Error) -> Option<&Ending> {
        error.get_ref()?.downcast_ref()
    }

    /// The kind of error that it is to a reader or writer. An orderly end on our own side is none,
    /// but a writer that goes on gets `BrokenPipe`.
    pub fn error_kind(&self) -> io::ErrorKind {
        match self.cause {
            Cause::Closed => io::ErrorKind::BrokenPipe,
            Cause::Aborted | Cause::EndpointLost => io::ErrorKind::ConnectionAborted,
            Cause::Refused => io::ErrorKind::ConnectionRefused,
            Cause::Reset => io::ErrorKind::ConnectionReset,
            Cause::TimedOut(_) => io::ErrorKind::TimedOut,
        }
    }
}

impl Error for Ending {}

impl From<Ending> for io::Error {
    fn from(ending: Ending) -> Self {
        io::Error::new(ending.error_kind(), ending)
    }
}

impl fmt::Display for Ending {
    /// In words, such as `timed out after 61.2 s: 3 probes unanswered, 17 of 53 bytes acknowledged`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lasted = Words(self.lasted);
        match self.cause {
            Cause::Closed if self.by == Party::Peer => write!(f, "finished by the peer after {lasted}")?,
            Cause::Closed => write!(f, "finished after {lasted}")?,
            Cause::Aborted => write!(f, "aborted after {lasted}")?,
            Cause::Refused if self.by == Party::Peer && self.code == code::NONE => {
                write!(f, "refused after {lasted}: a stock peer, where only extended ones are wanted")?;
            }
            Cause::Refused if self.by == Party::Peer => write!(f, "refused by the peer after {lasted}")?,
            Cause::Refused => write!(f, "refused after {lasted}: port unreachable")?,
            Cause::Reset => match self.by {
                Party::Peer => write!(f, "reset by the peer after {lasted}")?,
                Party::Local => write!(f, "broken off after {lasted}")?,
                Party::Network => write!(f, "reset after {lasted}: port unreachable")?,
            },
            Cause::TimedOut(silence) => {
                write!(f, "timed out after {lasted}: ")?;
                let silent = Words(self.silent_for);
                match silence {
                    Silence::Opening => f.write_str(&self.no_answer())?,
                    Silence::Unproven => write!(f, "the peer never showed that it hears us")?,
                    Silence::Retransmissions => write!(f, "no answer for {silent}")?,
                    Silence::KeepAlive => write!(f, "3 probes unanswered, silent for {silent}")?,
                    Silence::Linger => write!(f, "nothing more acknowledged while closing")?,
                    Silence::TooLarge => {
                        write!(f, "datagrams of the mtu that was set don't get through, smaller ones do")?;
                    }
                    Silence::Idle => write!(f, "idle for {silent}")?,
                }
            }
            Cause::EndpointLost => write!(f, "lost its socket after {lasted}")?,
        }
        match code_name(self.code) {
            _ if self.code == code::NONE => {}
            Some(name) => write!(f, ", code {}: {name}", self.code)?,
            None => write!(f, ", code {}", self.code)?,
        }
        if !self.reason.is_empty() {
            write!(f, " \"{}\"", self.reason.escape_debug())?;
        }
        if self.bytes_in_doubt() > 0 {
            let written = self.bytes_sent + self.bytes_unsent;
            write!(f, ", {} of {written} bytes acknowledged", self.bytes_acknowledged)?;
        }
        Ok(())
    }
}

/// A duration with three digits or so: `0.21 ms`, `12.3 ms`, `61.2 s`.
struct Words(Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            ..0.001 => write!(f, "{:.2} ms", seconds * 1e3),
            ..1.0 => write!(f, "{:.1} ms", seconds * 1e3),
            ..10.0 => write!(f, "{seconds:.2} s"),
            _ => write!(f, "{seconds:.1} s"),
        }
    }
}
