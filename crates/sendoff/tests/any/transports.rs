//! The transports, and a connection over each.

use sendoff::{AnyListener, AnyStream, MemoryTransport, Options, Transports};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A transport: where it listens, and what stands behind the `?` of both sides.
pub struct Kind {
    pub transports: Transports,
    listen: &'static str,
    settings: &'static str,
}

impl Kind {
    fn new(listen: &'static str, settings: &'static str) -> Self {
        let transports = Transports::new(Options::new()).with(MemoryTransport::new());
        Self { transports, listen, settings }
    }

    pub fn memory() -> Self {
        Self::new("memory://here", "")
    }

    pub fn tcp() -> Self {
        Self::new("tcp://127.0.0.1:0", "")
    }

    pub fn udp() -> Self {
        Self::new("udp://127.0.0.1:0", "")
    }

    pub fn kcp_extended() -> Self {
        Self::new("kcp://127.0.0.1:0", "")
    }

    pub fn kcp_classic() -> Self {
        Self::new("kcp://127.0.0.1:0", "?wire=classic")
    }

    pub fn kcp_message() -> Self {
        Self::new("kcp://127.0.0.1:0", "?message")
    }

    pub async fn bind(&self) -> AnyListener {
        self.transports.bind(format!("{}{}", self.listen, self.settings)).await.unwrap()
    }

    /// Where a listener is reached.
    pub fn address_of(&self, listener: &AnyListener) -> String {
        let scheme = self.listen.split_once("://").unwrap().0;
        format!("{scheme}://{}{}", listener.local(), self.settings)
    }

    pub async fn connect(&self, listener: &AnyListener) -> io::Result<AnyStream> {
        self.transports.connect(self.address_of(listener)).await
    }

    /// Both ends of a connection, after a byte from the client: some know of it only then.
    pub async fn pair(&self) -> Pair {
        let listener = self.bind().await;
        let (client, server) = self.another(&listener).await;
        Pair { client, server, listener }
    }

    pub async fn another(&self, listener: &AnyListener) -> (AnyStream, AnyStream) {
        let mut client = self.connect(listener).await.unwrap();
        client.write_all(b"!").await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, server.peer());
        assert_eq!(server.read_u8().await.unwrap(), b'!');
        (client, server)
    }
}

pub struct Pair {
    pub client: AnyStream,
    pub server: AnyStream,
    pub listener: AnyListener,
}

/// What is written in one piece, which also a transport that keeps boundaries takes.
pub const PIECE: usize = 1_000;

/// Sends it from one end to the other in pieces, each read before the next is written.
pub async fn carry(from: &mut AnyStream, to: &mut AnyStream, bytes: &[u8]) {
    for piece in bytes.chunks(PIECE) {
        from.write_all(piece).await.unwrap();
        let mut got = vec![0; PIECE];
        let mut filled = 0;
        while filled < piece.len() {
            let n = to.read(&mut got[filled..]).await.unwrap();
            assert!(n > 0, "ended after {filled} bytes");
            filled += n;
        }
        assert!(got[..filled] == *piece, "other bytes came");
    }
}
