//! What is wrong with a frame.

use std::io;

/// What is wrong with a frame. It is inside the [`io::Error`] that a read or write of messages fails with: see
/// [`of`](Self::of).
///
/// What came from the peer is of kind `InvalidData` or `UnexpectedEof`, and nothing more is read from that stream
/// of bytes. What we were asked to send is `InvalidInput`; nothing of it is sent, and all goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is longer than the limit.
    #[error("a message of {len} bytes: at most {limit} are allowed")]
    TooLarge {
        /// Bytes that it has, or is said to have.
        len: u64,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// So many bytes have come without a line break.
    #[error("a line of more than {limit} bytes")]
    LineTooLong {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The length of `le32` is signed, and this one is below zero.
    #[error("a negative length: {len}")]
    Negative {
        /// The length.
        len: i32,
    },
    /// A length that counts its own bytes is less than these.
    #[error("a length of {len}, which counts its own {prefix} bytes")]
    ShorterThanPrefix {
        /// The length.
        len: u64,
        /// Bytes of the prefix.
        prefix: usize,
    },
    /// A varint doesn't end, or doesn't fit in 64 bits.
    #[error("a varint of more than 64 bits")]
    VarintTooLong,
    /// The stream has ended between the first and the last byte of a length.
    #[error("the stream ended inside the length of a frame, after {received} bytes of it")]
    EndInPrefix {
        /// Bytes of the length that have come.
        received: usize,
    },
    /// The stream has ended after a length, and before the last byte of the message.
    #[error("the stream ended inside a frame, after {received} of {len} bytes")]
    EndInFrame {
        /// Bytes of the message that have come.
        received: usize,
        /// Bytes that it was said to have.
        len: usize,
    },
    /// A line can't hold a line feed, nor end in a carriage return: it would arrive as another.
    #[error("a line break inside a line, at byte {at}")]
    LineBreak {
        /// Where, from 0.
        at: usize,
    },
}

impl FrameError {
    /// Finds it in an error of [`Messages`](crate::Messages) or of tokio-util's `Framed`.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Of a message that we were asked to send.
    pub(super) fn into_input_error(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidInput, self)
    }
}

/// Of a frame that the peer has sent.
impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> Self {
        let kind = match error {
            FrameError::EndInPrefix { .. } | FrameError::EndInFrame { .. } => io::ErrorKind::UnexpectedEof,
            FrameError::LineBreak { .. } => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
