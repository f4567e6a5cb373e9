//! How a connection ends, and what is known of it.

use std::{error::Error, fmt, io, time::Duration};

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
    /// The first data had no answer within the connect timeout.
    Opening,
    /// A segment was sent 20 times, or a closed window probed 5 times, and nothing came.
    Retransmissions,
    /// Keep-alive probes were not answered.
    KeepAlive,
    /// Nothing more was acknowledged for the linger time after `close`.
    Linger,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Closed by the application, and all that was written has been acknowledged.
    Closed,
    /// Ended at once by the application; what was not acknowledged is lost.
    Aborted,
    /// The peer's host says that nobody listens, and nothing was ever received.
    Refused,
    /// The peer's host says that nobody listens any more.
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
    /// The application's code; 0 where there is none.
    pub code: u32,
    /// The application's words, if any.
    pub reason: String,
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
}

impl Ending {
    /// Whether all that was written is known to have arrived, and nobody broke off.
    pub fn is_clean(&self) -> bool {
        self.cause == Cause::Closed
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
            Cause::Closed => write!(f, "closed after {lasted}")?,
            Cause::Aborted => write!(f, "aborted after {lasted}")?,
            Cause::Refused => write!(f, "refused after {lasted}: port unreachable")?,
            Cause::Reset => write!(f, "reset after {lasted}: port unreachable")?,
            Cause::TimedOut(silence) => {
                write!(f, "timed out after {lasted}: ")?;
                let silent = Words(self.silent_for);
                match silence {
                    Silence::Opening => write!(f, "no answer at all")?,
                    Silence::Retransmissions => write!(f, "no answer for {silent}")?,
                    Silence::KeepAlive => write!(f, "3 probes unanswered, silent for {silent}")?,
                    Silence::Linger => write!(f, "nothing more acknowledged while closing")?,
                }
            }
            Cause::EndpointLost => write!(f, "lost its socket after {lasted}")?,
        }
        if self.code != 0 || !self.reason.is_empty() {
            write!(f, ", code {}", self.code)?;
        }
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason.escape_debug())?;
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
