//! Whole messages over a connection in message mode, and how bytes are written in either mode.

use super::{ReadHalf, WriteHalf, wait};
use bytes::Bytes;
use sendoff_proto::{Connection, MessageError, MessageTooLarge};
use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};
use tokio::io::ReadBuf;

/// A write that suits the mode.
pub(super) trait Write {
    /// In stream mode as much as fits; in message mode one message, whole or not at all.
    fn write_as_configured(&mut self, data: &[u8]) -> io::Result<usize>;

    /// The same of several slices; in message mode together they are one message.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl Write for Connection {
    fn write_as_configured(&mut self, data: &[u8]) -> io::Result<usize> {
        if !self.is_message_mode() {
            return Ok(self.write(data));
        }
        queue_message(self, data)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_message_mode() {
            let message: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            return queue_message(self, &message);
        }
        let mut written = 0;
        for slice in slices {
            let taken = self.write(slice);
            written += taken;
            if taken < slice.len() {
                break;
            }
        }
        Ok(written)
    }
}

fn queue_message(connection: &mut Connection, message: &[u8]) -> io::Result<usize> {
    match connection.write_message(message) {
        Ok(true) => Ok(message.len()),
        Ok(false) => Ok(0),
        Err(error @ MessageTooLarge { .. }) => Err(io::Error::new(io::ErrorKind::InvalidInput, error)),
    }
}

impl WriteHalf {
    /// See [`KcpStream::send`](crate::KcpStream::send).
    ///
    /// # Errors
    /// `InvalidInput` for an empty message, one that is too long, or in stream mode; `BrokenPipe` after
    /// `finish`; how the connection ended.
    pub async fn send(&self, message: impl AsRef<[u8]>) -> io::Result<()> {
        let message = message.as_ref();
        wait(|cx| self.poll_send(cx, message)).await
    }

    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, message: &[u8]) -> Poll<io::Result<()>> {
        let queue = |c: &mut Connection| {
            check_mode(c)?;
            queue_message(c, message)
        };
        self.connection().poll_write_with(Some(cx), queue).map_ok(|_| ())
    }
}

impl ReadHalf {
    /// See [`KcpStream::recv`](crate::KcpStream::recv).
    ///
    /// # Errors
    /// `InvalidData` when a message has more fragments than the receive window; `InvalidInput` in
    /// stream mode; how the connection ended.
    pub async fn recv(&self) -> io::Result<Option<Bytes>> {
        wait(|cx| self.poll_recv(cx)).await
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut message = None;
        let read = |c: &mut Connection| {
            check_mode(c)?;
            message = c.read_message().map_err(never_ends)?;
            Ok(message.as_ref().map_or(0, Vec::len))
        };
        self.connection().poll_read_with(Some(cx), read).map_ok(|_| message.map(Bytes::from))
    }

    /// One message into the buffer, if it fits.
    pub(crate) fn poll_read_message(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = |c: &mut Connection| {
            let Some(len) = c.message_len().map_err(never_ends)? else { return Ok(0) };
            if len > buf.remaining() {
                return Err(does_not_fit(len, buf.remaining()));
            }
            let read = c.read(buf.initialize_unfilled_to(len));
            buf.advance(read);
            Ok(read)
        };
        self.connection().poll_read_with(Some(cx), read).map_ok(|_| ())
    }
}

/// What a reader gets whose buffer is too small for a message, which stays to be read.
pub(crate) fn does_not_fit(message: usize, buffer: usize) -> io::Error {
    let text =
        format!("a message of {message} bytes does not fit in a buffer of {buffer}: it stays to be read");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn never_ends(error: MessageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn check_mode(connection: &Connection) -> io::Result<()> {
    if connection.is_message_mode() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "the connection is in stream mode: it has no messages"))
}
