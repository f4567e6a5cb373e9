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
use sendoff_proto::fec::is_shard;
use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::net::UnixStream,
    task::{Context, Poll, Waker},
    time::Instant,
};

/// How far it is.
#[derive(Default)]
pub(super) enum Handover {
    /// There is no successor.
    #[default]
    None,
    /// The driver is to pass on what isn't ours, and then to wake who waits for that.
    Wanted(Box<PassOn>, Option<Waker>),
    /// It does.
    Done,
}

impl KcpEndpoint {
    /// A second handle of the socket, for the process that is to take this one's place: see
    /// [`hand_over`](Self::hand_over). Unix only.
    ///
    /// # Errors
    /// `Unsupported` where the socket was supplied, or there are several drivers; when the process has no more file descriptors.
    pub fn share_socket(&self) -> io::Result<UdpSocket> {
        self.one_socket()?;
        match &self.shared.io {
            DatagramIo::System(io) => io.share(),
            DatagramIo::Supplied(_) => Err(supplied()),
        }
    }

    /// Of several sockets none alone can be handed over: what comes to the others would be lost.
    fn one_socket(&self) -> io::Result<()> {
        match self.shared.group.is_several() {
            false => Ok(()),
            true => {
                let text = "a port with several drivers is not handed over";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }

    /// Hands the port over to another process, which has [the same socket](Self::share_socket) and the other end of
    /// this stream, and uses them by [`take_over`](Self::take_over). Unix only.
    ///
    /// Connections that there are, also those that wait to be accepted, stay here, and go on as if nothing had happened.
    /// All that is new goes to the other process, also if it has another key. [`go_away`](Self::go_away) should
    /// follow, once `accept` has handed out what was waiting; when it has returned and this process ends, the other
    /// one reads the socket by itself. Should the other one end first, who comes here is refused with code 4.
    ///
    /// Returns when nothing new is accepted here any more. Cancel safe.
    ///
    /// # Errors
    /// `Unsupported` where the socket was supplied, or there are several drivers; `AlreadyExists` when it was handed over before.
    pub async fn hand_over(&self, successor: UnixStream) -> io::Result<()> {
        self.one_socket()?;
        if self.shared.io.is_supplied() {
            return Err(supplied());
        }
        successor.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(successor)?;
        {
            let mut handover = self.shared.handover();
            if !matches!(*handover, Handover::None) {
                let text = "the port was handed over before";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
            }
            *handover = Handover::Wanted(Box::new(PassOn::new(stream)), None);
        }
        self.shared.poke();
        poll_fn(|cx| match &mut *self.shared.handover() {
            Handover::Wanted(_, waiting) if !self.shared.has_failed() => {
                *waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Takes the place of another process: its socket, and the other end of the stream that it gave to
    /// [`hand_over`](Self::hand_over). Unix only.
    ///
    /// # Errors
    /// When the system refuses an option that is needed; `InvalidInput` where the configuration has a socket too.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn take_over(socket: UdpSocket, predecessor: UnixStream, config: Config) -> io::Result<Self> {
        if config.supplied_socket().is_some() {
            return Err(super::two_sockets());
        }
        predecessor.set_nonblocking(true)?;
        let stream = tokio::net::UnixStream::from_std(predecessor)?;
        let io = UdpIo::from_std(socket, &super::socket_options(&config))?;
        super::one_driver(&config)?;
        let (members, guard) = Group::start(vec![io.into()], config, true)?;
        let shared = members.into_iter().next().ok_or_else(super::no_address)?;
        tokio::spawn(Driver::new(shared.clone()).after(PassedOn::new(stream)));
        Ok(Self { shared, _guard: guard })
    }
}

fn supplied() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "the socket was supplied: no other process can have it")
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

    /// Whether it is of a conversation that is here, or was a short while ago. A shard doesn't tell.
    fn is_ours(&self, now: Instant, source: SocketAddr, datagram: &[u8]) -> bool {
        match is_shard(datagram) {
            true => self.shared.has_remote(source),
            false => self.shared.table().is_ours(now, source, datagram),
        }
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
    fn poke(&self) {
        self.inbox.poke();
    }
}
