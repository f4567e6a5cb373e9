//! One socket, two processes: the old one goes away, the new one takes its place, and no conversation notices.
//!
//! ```text
//!              ┌─ its own conversations ─▶ the old process ──▶ socket
//! socket ─▶ the old process                  │ all else, as it came
//!              └──────────────── a stream ───▶ the new process ──▶ socket
//! ```
//!
//! While the old process has conversations, it alone reads the socket, which both have: it knows what is its own. All
//! else it passes on. Both send by the socket. When the old one has gone, by whatever end, the stream ends, and the
//! new one reads the socket; what came meanwhile has waited there.
//!
//! Two that read one socket would take each other's datagrams, and reset each other's conversations. So
//!
//! - the new one reads it only after the stream has begun, because a stream that ends before that tells of an old one
//!   that has kept its port: READY ("all that can fail has been done") goes one way, YOURS the other, in front of the
//!   frames;
//! - the new one hands nothing over itself before the old one has gone: of three, the first would read, and the third
//!   would know of nobody but the second.

use super::{
    KcpEndpoint,
    driver::{Driver, Last},
    group::Group,
    shared::EndpointShared,
};
use crate::{
    Config,
    udp::{Batch, DatagramIo, PassOn, PassedOn, UdpIo},
};
use sendoff_proto::fec::{data_segments, is_shard};
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::net::UnixStream,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What the successor says first.
const READY: u8 = b'+';

/// The answer, once what isn't ours is passed on.
const YOURS: u8 = b'!';

/// How long each of the two may take for that.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far it is.
#[derive(Default)]
pub(super) enum Handover {
    /// There is neither successor nor predecessor.
    #[default]
    None,
    /// The predecessor lives, and reads the socket.
    After,
    /// The driver is to pass on what isn't ours, and then to wake who waits for that.
    Wanted(Box<PassOn>, Option<Waker>),
    /// It does.
    Done,
    /// The driver is no more.
    Never,
}

impl Handover {
    /// Whether it can begin.
    fn check(&self) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::After => Err(has_predecessor()),
            Self::Never => Err(has_failed()),
            Self::Wanted(..) | Self::Done => {
                let text = "the port was handed over before";
                Err(io::Error::new(io::ErrorKind::AlreadyExists, text))
            }
        }
    }
}

impl KcpEndpoint {
    /// A second handle of the socket, for the process that is to take this one's place: see
    /// [`hand_over`](Self::hand_over). Unix only.
    ///
    /// # Errors
    /// `Unsupported` where the socket was supplied, or there are several drivers; `ResourceBusy` while the process from
    /// which this one has [taken over](Self::take_over) still has connections, as it reads the socket; when the process
    /// has no more file descriptors.
    pub fn share_socket(&self) -> io::Result<UdpSocket> {
        self.check_port()?;
        if matches!(*self.shared.handover(), Handover::After) {
            return Err(has_predecessor());
        }
        match &self.shared.io {
            DatagramIo::System(io) => io.share(),
            DatagramIo::Supplied(_) => Err(supplied()),
        }
    }

    /// Whether it can be handed over.
    fn check_port(&self) -> io::Result<()> {
        // Of several sockets none alone can be handed over: what comes to the others would be lost.
        if self.shared.group.is_several() {
            let text = "a port with several drivers is not handed over";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if self.shared.io.is_supplied() {
            return Err(supplied());
        }
        Ok(())
    }

    /// Hands the port over to another process, which has [the same socket](Self::share_socket) and the other end of
    /// this stream, and uses them by [`take_over`](Self::take_over). Unix only.
    ///
    /// Connections that there are, also those that wait to be accepted, stay here, and go on as if nothing had happened.
    /// All that is new goes to the other process, also if it has another key. [`go_away`](Self::go_away) should
    /// follow, once `accept` has handed out what was waiting; when it has returned and this process ends, the other
    /// one reads the socket by itself. Should the other one end first, who comes here is refused with code 4. Until this
    /// process has ended, the other one can't hand the port over to a third.
    ///
    /// Returns when nothing new is accepted here any more; with an error, nothing has changed. Cancel safe: if it is
    /// dropped before the other process was ready, nothing has changed either; later, it is handed over all the same.
    ///
    /// # Errors
    /// `Unsupported` where the socket was supplied, or there are several drivers; `AlreadyExists` when it was handed over
    /// before; `ResourceBusy` as [`share_socket`](Self::share_socket); `ConnectionAborted` when the other process is gone,
    /// `TimedOut` when it isn't ready within 5 s, `InvalidData` when it says something else; `NotConnected` when the
    /// endpoint's socket has failed.
    pub async fn hand_over(&self, successor: UnixStream) -> io::Result<()> {
        self.check_port()?;
        self.shared.handover().check()?;
        successor.set_nonblocking(true)?;
        let successor = tokio::net::UnixStream::from_std(successor)?;
        in_time("the other process is not ready", PATIENCE, until_ready(&successor)).await?;
        {
            let mut handover = self.shared.handover();
            handover.check()?;
            let successor = PassOn::new(successor, &[YOURS]);
            *handover = Handover::Wanted(Box::new(successor), None);
        }
        self.shared.inbox.poke();
        poll_fn(|cx| match &mut *self.shared.handover() {
            Handover::Wanted(_, waiting) => {
                *waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            Handover::Done => Poll::Ready(Ok(())),
            Handover::None | Handover::After | Handover::Never => Poll::Ready(Err(has_failed())),
        })
        .await
    }

    /// Takes the place of another process: its socket, and the other end of the stream that it gives to
    /// [`hand_over`](Self::hand_over). Unix only.
    ///
    /// Returns when the other process has handed over: what is new comes here. Until that process has ended, it reads the
    /// socket, and this endpoint can't be handed over in turn. If this is dropped before it returns, the other process
    /// may have handed over all the same, and then refuses who comes.
    ///
    /// # Errors
    /// When the system refuses an option that is needed; `InvalidInput` where the configuration has a socket too, or
    /// several drivers; `ConnectionAborted` when the other process has ended, or keeps its port; `TimedOut` when it
    /// takes more than 10 s.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub async fn take_over(socket: UdpSocket, predecessor: UnixStream, config: Config) -> io::Result<Self> {
        if config.supplied_socket().is_some() {
            return Err(super::two_sockets());
        }
        super::one_driver(&config)?;
        predecessor.set_nonblocking(true)?;
        let predecessor = tokio::net::UnixStream::from_std(predecessor)?;
        let io = UdpIo::from_std(socket, &super::socket_options(&config))?;
        let (members, guard) = Group::start(vec![io.into()], config, true)?;
        let shared = members.into_iter().next().ok_or_else(super::no_address)?;
        *shared.handover() = Handover::After;
        let endpoint = Self { shared: shared.clone(), _guard: guard };
        // Longer than the other process waits for our word, so that we are still there when it hands over.
        in_time("the other process has not handed over", 2 * PATIENCE, until_ours(&predecessor)).await?;
        tokio::spawn(Driver::new(shared).after(PassedOn::new(predecessor)));
        Ok(endpoint)
    }
}

/// Waits for the successor's word, and looks whether it is still there to hear ours.
async fn until_ready(successor: &tokio::net::UnixStream) -> io::Result<()> {
    let gone = || io::Error::new(io::ErrorKind::ConnectionAborted, "the other process has gone");
    match read_byte(successor).await?.ok_or_else(gone)? {
        READY => {}
        _ => return Err(not_that()),
    }
    match successor.try_read(&mut [0]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(1..) => Err(not_that()),
        _ => Err(gone()),
    }
}

/// Says that we are ready, and waits until all that isn't the predecessor's is ours.
async fn until_ours(predecessor: &tokio::net::UnixStream) -> io::Result<()> {
    let keeps = || {
        let text = "the other process has ended, or keeps its port";
        io::Error::new(io::ErrorKind::ConnectionAborted, text)
    };
    loop {
        predecessor.writable().await?;
        match predecessor.try_write(&[READY]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(keeps()),
            Ok(_) => break,
        }
    }
    match read_byte(predecessor).await?.ok_or_else(keeps)? {
        YOURS => Ok(()),
        _ => Err(not_that()),
    }
}

/// The next byte; `None` when the other end has gone.
async fn read_byte(stream: &tokio::net::UnixStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It has left something unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

async fn in_time(
    late: &str,
    patience: Duration,
    step: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    timeout(patience, step).await.unwrap_or_else(|_late| {
        let text = format!("{late} after {patience:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

fn supplied() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the socket was supplied: no other process can have it")
}

fn has_predecessor() -> io::Error {
    let text = "the process before this one still has connections";
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}

fn has_failed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the endpoint's socket has failed")
}

fn not_that() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other process says something else")
}

impl Driver {
    /// Begins to pass on what isn't ours, if that is wanted.
    pub(super) fn begin_handover(&mut self) {
        let mut handover = self.shared.handover();
        if !matches!(*handover, Handover::Wanted(..)) || self.shared.has_failed() {
            return;
        }
        let Handover::Wanted(successor, waiting) = std::mem::replace(&mut *handover, Handover::Done) else {
            return;
        };
        drop(handover);
        self.successor = Some(successor);
        // For when the successor ends before we do.
        self.shared.table().go_away();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Hands what is ours to its connections, and all else to the successor.
    pub(super) fn dispatch_or_pass_on(&mut self, now: Instant, batch: Batch<'_>, last: &mut Last) {
        let (source, local) = (batch.source, batch.local);
        let shared = self.shared.clone();
        for datagram in batch.datagrams() {
            // It is opened in place, and has to go on as it came.
            let sealed = (!shared.envelope.is_null()).then(|| datagram.to_vec());
            let inside = super::driver::open(&shared, now, (source, local), &mut *datagram);
            let ours = inside.filter(|inside| self.is_ours(now, source, inside));
            let Some(inside) = ours else {
                self.pass_on(source, local, sealed.as_deref().unwrap_or(&*datagram));
                continue;
            };
            shared.envelope.count(1, 0);
            if is_shard(inside) {
                self.take_shard(now, source, local, inside, last);
            } else if let Some(connection) = self.route(now, source, local, inside, last) {
                self.feed(&connection, local, |connection| connection.handle_datagram(now, inside));
            }
        }
    }

    /// Whether it is of a conversation that is here, or was a short while ago. A parity shard doesn't tell.
    fn is_ours(&self, now: Instant, source: SocketAddr, datagram: &[u8]) -> bool {
        let segments = if is_shard(datagram) { data_segments(datagram) } else { Some(datagram) };
        (is_shard(datagram) && self.shared.has_remote(source))
            || segments.is_some_and(|segments| self.shared.table().is_ours(now, source, segments))
    }

    fn pass_on(&mut self, source: SocketAddr, local: Option<IpAddr>, datagram: &[u8]) {
        if let Some(successor) = &mut self.successor {
            successor.push(source, local, datagram);
        }
    }

    /// Writes to the successor what waits for it.
    pub(super) fn flush_to_successor(&mut self, cx: &mut Context<'_>) {
        let Some(successor) = &mut self.successor else { return };
        if let Poll::Ready(Err(error)) = successor.poll_flush(cx) {
            tracing::debug!(%error, "the successor has gone");
            self.successor = None;
        }
    }
}

impl EndpointShared {
    /// The predecessor has gone: we read the socket.
    pub(super) fn outlive(&self) {
        tracing::debug!("the predecessor has gone: the socket is read from now on");
        *self.handover() = Handover::None;
    }

    /// There is no driver any more that could hand anything over: nobody waits for it.
    pub(super) fn never_hand_over(&self) {
        let before = std::mem::replace(&mut *self.handover(), Handover::Never);
        if let Handover::Wanted(_, Some(waiting)) = before {
            waiting.wake();
        }
    }
}
