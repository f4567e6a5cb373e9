//! A connection's two directions, the same to use over every transport: bytes as they come, or whole messages.

use super::activity::Activity;
use crate::{args::FarewellArgs, messages::Cut};
use bytes::{Bytes, BytesMut};
use sendoff::{
    AnyReadHalf, AnyStream, AnyWriteHalf, Cause, Conv, Ending, Farewell, FrameCodec, KcpEndpoint, KcpLink,
    MessageReader, Peer, PeerKind, StreamStats,
};
use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_util::codec::Encoder;

/// How long a peer that has got everything may take to say its own end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Most bytes taken from a stream at a time.
const CHUNK: usize = 256 * 1024;

/// How often it is looked whether bytes of an unfinished message have come.
const LOOK: Duration = Duration::from_millis(500);

thread_local! {
    /// What streams are read into: thousands that wait need no buffer each.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// What comes from the peer.
pub struct Incoming {
    reader: Reader,
    activity: Arc<Activity>,
}

enum Reader {
    Bytes(AnyReadHalf),
    Own(AnyReadHalf),
    Framed(MessageReader<AnyReadHalf>),
}

/// What goes to the peer.
pub struct Outgoing {
    half: AnyWriteHalf,
    codec: Option<FrameCodec>,
    own: bool,
    farewell: Farewell,
    activity: Arc<Activity>,
}

impl From<FarewellArgs> for Farewell {
    fn from(FarewellArgs { code, reason }: FarewellArgs) -> Self {
        Self { code, reason }
    }
}

/// Splits a connection whose messages are cut like this; `farewell` is what the peer is told at our end.
pub fn split(stream: AnyStream, cut: &Cut, farewell: Farewell) -> (Incoming, Outgoing) {
    let (reader, half) = stream.into_split();
    let activity = Arc::new(Activity::now());
    let framed = !cut.framing.is_none();
    let reader = match cut.own {
        _ if framed => Reader::Framed(MessageReader::new(reader, cut.framing)),
        true => Reader::Own(reader),
        false => Reader::Bytes(reader),
    };
    let codec = framed.then(|| cut.framing.codec());
    let incoming = Incoming { reader, activity: activity.clone() };
    (incoming, Outgoing { half, codec, own: cut.own, farewell, activity })
}

impl Incoming {
    /// What has come: some bytes, or one message; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// That of the connection's end, unless the peer ended it well; what is wrong with a frame.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let next = match &mut self.reader {
            Reader::Bytes(half) => read_chunk(half).await,
            Reader::Own(half) => half.recv().await,
            Reader::Framed(reader) => next_frame(reader, &self.activity).await,
        };
        if let Ok(Some(_)) = next {
            self.activity.touch();
        }
        next
    }
}

impl Incoming {
    /// What has come already: as [`next`](Self::next), and `None` where that would wait.
    pub async fn ready(&mut self) -> Option<io::Result<Option<Bytes>>> {
        let mut next = pin!(self.next());
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

/// Some bytes; `None` at the end.
async fn read_chunk(half: &mut AnyReadHalf) -> io::Result<Option<Bytes>> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *half).poll_read(cx, &mut buf))?;
            let chunk = Bytes::copy_from_slice(buf.filled());
            Poll::Ready(Ok((!chunk.is_empty()).then_some(chunk)))
        })
    })
    .await
}

/// One message; what comes of it meanwhile is traffic too.
async fn next_frame(
    reader: &mut MessageReader<AnyReadHalf>,
    activity: &Activity,
) -> io::Result<Option<Bytes>> {
    let mut received = reader.stream().stats().bytes_received;
    loop {
        match timeout(LOOK, reader.try_next()).await {
            Ok(next) => return next,
            Err(_elapsed) => {
                let now = reader.stream().stats().bytes_received;
                if now != received {
                    activity.touch();
                    received = now;
                }
            }
        }
    }
}

impl Outgoing {
    /// Takes bytes over, or one message. Not cancel-safe in a stream.
    ///
    /// # Errors
    /// That of the connection's end, or that the message is too long.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut frame = BytesMut::new();
        let bytes = match &mut self.codec {
            Some(codec) => {
                codec.encode(bytes, &mut frame)?;
                &frame
            }
            None => bytes,
        };
        if self.own {
            self.half.send(bytes).await?;
            self.activity.touch();
            return Ok(());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.half.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => rest = &rest[written..],
            }
            self.activity.touch();
        }
        Ok(())
    }

    /// What the peer is told at our end.
    pub fn set_farewell(&mut self, farewell: Farewell) {
        self.farewell = farewell;
    }

    /// Nothing more comes from us; returns when all has been acknowledged, where the transport can tell.
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
        self.leave();
    }

    /// Stops both directions, and doesn't wait: what was sent has a moment to be delivered.
    pub fn leave(&mut self) {
        if let Some(kcp) = self.half.link::<KcpLink>() {
            kcp.set_linger(LAST_WORDS);
        }
        self.half.close(self.farewell.code, &self.farewell.reason);
    }

    /// Waits for the end.
    pub fn closed(&self) -> impl Future<Output = Ending> + Send + 'static + use<> {
        self.half.closed()
    }

    /// Waits until the peer says that it goes away: see [`AnyWriteHalf::going_away`].
    pub fn going_away(&self) -> impl Future<Output = bool> + Send + 'static + use<> {
        self.half.going_away()
    }

    /// When something last happened, in either direction.
    pub fn activity(&self) -> Arc<Activity> {
        self.activity.clone()
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.half.peer()
    }

    /// What KCP knows, if it is KCP.
    pub fn kcp(&self) -> Option<Kcp> {
        self.half.link().map(Kcp::of)
    }

    /// Whether the peer will say when it has finished.
    pub fn says_goodbye(&self) -> bool {
        match self.half.link::<KcpLink>() {
            Some(kcp) => kcp.peer_kind() == PeerKind::Extended,
            None => !self.own,
        }
    }

    /// The most bytes of a message, if the transport has messages.
    pub fn max_message(&self) -> Option<usize> {
        self.half.max_message()
    }

    /// What has been counted so far.
    pub fn stats(&self) -> StreamStats {
        self.half.stats()
    }
}

/// What is said of a connection over KCP.
#[derive(Clone, Copy, Debug)]
pub struct Kcp {
    /// Which conversation.
    pub conv: Conv,
    /// Whether the peer can say goodbye.
    pub kind: PeerKind,
}

impl Kcp {
    /// What a link tells.
    pub fn of(link: &KcpLink) -> Self {
        Self { conv: link.conv(), kind: link.peer_kind() }
    }
}

/// The endpoint of a stream over KCP: it is to be waited for at the end.
pub fn endpoint(stream: &AnyStream) -> Option<KcpEndpoint> {
    stream.link().map(KcpLink::endpoint)
}

/// Whether a connection has ended as connections of its transport do: UDP has no other end than silence.
pub fn is_in_order(peer: &Peer, ending: &Ending) -> bool {
    ending.is_clean() || (peer.transport() == "udp" && matches!(ending.cause, Cause::TimedOut(_)))
}
