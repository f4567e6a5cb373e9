//! The codec: frames in and out of buffers, no I/O.

use super::{FrameError, Framing, format::Kind, lines, prefix};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// Bytes that are asked for ahead of what has come; then, as much again as has come: a length alone reserves no more.
const AHEAD: usize = 8 << 10;

/// Cuts messages out of a stream of bytes, and marks those that go out: see [`Framing::codec`].
///
/// It works with everything that takes codecs of tokio-util:
/// ```
/// use bytes::Bytes;
/// use futures_util::{SinkExt, StreamExt};
/// use sendoff::Framing;
/// use tokio_util::codec::Framed;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let (near, far) = tokio::io::duplex(1_024);
/// let mut near = Framed::new(near, Framing::be16().codec());
/// let mut far = Framed::new(far, Framing::be16().codec());
/// near.send(Bytes::from("hello")).await?;
/// assert_eq!(far.next().await.unwrap()?, "hello");
/// # Ok(()) }
/// ```
///
/// A message that comes is a slice of the buffer that it was read into, not a copy: who keeps a small one for long
/// keeps its neighbours too, and should copy it. The buffer grows as bytes come, not as a length says.
///
/// Its errors hold a [`FrameError`]. After one in decoding, nothing is taken from the buffer any more.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    framing: Framing,
    /// Bytes of the largest message.
    limit: usize,
    /// Bytes at the front without a line break.
    scanned: usize,
}

/// What decoding came to.
pub(super) enum Step {
    /// A message.
    Message(Bytes),
    /// So many bytes are missing; `usize::MAX` where nobody knows.
    Missing(usize),
}

impl FrameCodec {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, limit: framing.limit_bytes(), scanned: 0 }
    }

    /// How messages are marked.
    pub fn framing(&self) -> &Framing {
        &self.framing
    }

    /// Takes the first message out of the buffer, if it is there.
    pub(super) fn step(&mut self, from: &mut BytesMut) -> Result<Step, FrameError> {
        if from.is_empty() {
            return Ok(Step::Missing(1));
        }
        match self.framing.kind {
            Kind::None => {
                let len = from.len().min(self.limit);
                Ok(Step::Message(from.split_to(len).freeze()))
            }
            Kind::Lines => self.line(from),
            kind => self.prefixed(kind, from),
        }
    }

    fn line(&mut self, from: &mut BytesMut) -> Result<Step, FrameError> {
        let Some(line) = lines::find(from, self.scanned, self.limit)? else {
            self.scanned = from.len();
            return Ok(Step::Missing(usize::MAX));
        };
        self.scanned = 0;
        let mut message = from.split_to(line.whole);
        message.truncate(line.len);
        Ok(Step::Message(message.freeze()))
    }

    fn prefixed(&self, kind: Kind, from: &mut BytesMut) -> Result<Step, FrameError> {
        let Some((prefix, len)) = self.announced(kind, from)? else {
            return Ok(Step::Missing(1));
        };
        let missing = prefix.saturating_add(len).saturating_sub(from.len());
        if missing > 0 {
            return Ok(Step::Missing(missing));
        }
        from.advance(prefix);
        Ok(Step::Message(if len == 0 { Bytes::new() } else { from.split_to(len).freeze() }))
    }

    /// Bytes of the prefix at the front, and those of the message that it announces.
    #[inline]
    fn announced(&self, kind: Kind, from: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
        let Some(prefix) = prefix::parse(kind, from)? else { return Ok(None) };
        let mut len = prefix.value;
        if self.framing.counts_prefix {
            let error = FrameError::ShorterThanPrefix { len, prefix: prefix.bytes };
            len = len.checked_sub(prefix.bytes as u64).ok_or(error)?;
        }
        let limit = self.limit;
        match usize::try_from(len) {
            Ok(len) if len <= limit => Ok(Some((prefix.bytes, len))),
            _ => Err(FrameError::TooLarge { len, limit }),
        }
    }

    /// What is left when the stream has ended and no whole message is there: a last line, or an error.
    pub(super) fn last(&mut self, from: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        match self.framing.kind {
            _ if from.is_empty() => Ok(None),
            Kind::Lines | Kind::None => {
                self.scanned = 0;
                let limit = self.limit;
                match from.len() > limit {
                    true => Err(FrameError::LineTooLong { limit }),
                    false => Ok(Some(from.split().freeze())),
                }
            }
            kind => Err(match self.announced(kind, from)? {
                Some((prefix, len)) => FrameError::EndInFrame { received: from.len() - prefix, len },
                None => FrameError::EndInPrefix { received: from.len() },
            }),
        }
    }

    /// Whether a message can be sent.
    pub(super) fn check(&self, message: &[u8]) -> Result<(), FrameError> {
        let limit = self.limit;
        if message.len() > limit {
            return Err(FrameError::TooLarge { len: message.len() as u64, limit });
        }
        if self.framing.kind == Kind::Lines { lines::check(message) } else { Ok(()) }
    }

    /// Writes what stands before a message of `len` bytes that passes [`check`](Self::check).
    pub(super) fn put_head(&self, len: usize, into: &mut impl BufMut) {
        prefix::put(self.framing.kind, self.framing.counts_prefix, len, into);
    }

    /// Whether something stands behind a message.
    pub(super) fn has_foot(&self) -> bool {
        self.framing.kind == Kind::Lines
    }

    /// Appends the whole frame of a message that passes [`check`](Self::check).
    pub(super) fn put(&self, message: &[u8], into: &mut BytesMut) {
        into.reserve(message.len() + 10);
        self.put_head(message.len(), into);
        into.extend_from_slice(message);
        if self.has_foot() {
            into.put_u8(b'\n');
        }
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match self.step(from)? {
            Step::Message(message) => Ok(Some(message)),
            Step::Missing(missing) => {
                from.reserve(missing.min(from.len().max(AHEAD)));
                Ok(None)
            }
        }
    }

    fn decode_eof(&mut self, from: &mut BytesMut) -> io::Result<Option<Bytes>> {
        match self.step(from)? {
            Step::Message(message) => Ok(Some(message)),
            Step::Missing(_) => Ok(self.last(from)?),
        }
    }
}

impl Encoder<&[u8]> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, message: &[u8], into: &mut BytesMut) -> io::Result<()> {
        self.check(message).map_err(FrameError::into_input_error)?;
        self.put(message, into);
        Ok(())
    }
}

impl Encoder<Bytes> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, message: Bytes, into: &mut BytesMut) -> io::Result<()> {
        self.encode(&message[..], into)
    }
}
