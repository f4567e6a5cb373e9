//! A connection's two directions, the same to use in both modes: bytes as they come, or whole messages.

use crate::args::FarewellArgs;
use bytes::Bytes;
use sendoff::{Farewell, KcpStream, Mode, PeerKind, ReadHalf, WriteHalf};
use std::{io, time::Duration};
use tokio::io::AsyncWriteExt;

/// How long a peer that has got everything may take to say its own end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most bytes taken from a stream at a time.
const CHUNK: usize = 256 * 1024;

/// What comes from the peer.
pub struct Incoming {
    half: ReadHalf,
    mode: Mode,
}

/// What goes to the peer.
pub struct Outgoing {
    half: WriteHalf,
    mode: Mode,
    farewell: Farewell,
}

impl From<FarewellArgs> for Farewell {
    fn from(FarewellArgs { code, reason }: FarewellArgs) -> Self {
        Self { code, reason }
    }
}

/// Splits a connection that was opened in this mode; `farewell` is what the peer is told at our end.
pub fn split(stream: KcpStream, mode: Mode, farewell: Farewell) -> (Incoming, Outgoing) {
    let (reader, writer) = stream.into_split();
    (Incoming { half: reader, mode }, Outgoing { half: writer, mode, farewell })
}

impl Incoming {
    /// Whether chunks are messages.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What has come: some bytes, or one message; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// That of the connection's end, unless the peer ended it well.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.mode {
            Mode::Stream => self.half.read_chunk(CHUNK).await,
            Mode::Message => self.half.recv().await,
        }
    }
}

impl Outgoing {
    /// Whether each [`send`](Self::send) is a message.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Takes bytes over, or one message. Not cancel-safe in a stream.
    ///
    /// # Errors
    /// That of the connection's end, or that the message is too long.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.mode {
            Mode::Stream => self.half.write_all(bytes).await,
            Mode::Message => self.half.send(bytes).await,
        }
    }

    /// Nothing more comes from us; returns when all has been acknowledged.
    ///
    /// # Errors
    /// That of the connection's end, or that nothing more is acknowledged.
    pub async fn deliver(&mut self) -> io::Result<()> {
        _ = self.half.finish_with(self.farewell.code, &self.farewell.reason);
        self.half.shutdown().await
    }

    /// Stops both directions: what was sent is delivered, and the peer has a moment to say its own end.
    pub async fn part(&mut self) {
        // A failure comes again as the connection's ending.
        _ = self.deliver().await;
        self.half.set_linger(LAST_WORDS);
        self.half.close(self.farewell.code, &self.farewell.reason);
    }

    /// What kind of peer it is.
    pub fn peer_kind(&self) -> PeerKind {
        self.half.peer_kind()
    }

    /// What has been counted so far.
    pub fn stats(&self) -> sendoff::ConnectionStats {
        self.half.stats()
    }
}
