//! What the driver and the handles of one connection share, behind one short lock.

use super::{out_of_band::OutOfBand, wakers::Wakers};
use crate::{
    ConfigError, ConnectionStats, Conv, Ending, Farewell, Fec, KcpEndpoint, Profile,
    endpoint::{Deadlines, EndpointShared, Urgency, now},
    lock::lock,
};
use sendoff_proto::{Cause, Connection, PeerKind, code, fec::OUT_OF_BAND_OVERHEAD};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

pub(crate) struct ConnectionShared {
    /// It may take another one while it opens.
    conv: AtomicU32,
    endpoint: Arc<EndpointShared>,
    /// It is in the driver's inbox.
    dirty: AtomicBool,
    state: Mutex<ConnectionState>,
}

pub(crate) struct ConnectionState {
    pub(crate) connection: Connection,
    /// Where the peer is now.
    pub(crate) peer: SocketAddr,
    /// The table finds it by its token.
    pub(crate) followed: bool,
    /// Our address that the peer sends to: answers must leave from there.
    pub(crate) source: Option<IpAddr>,
    /// Its entries in the driver's heap.
    pub(crate) deadlines: Deadlines,
    /// The driver has it on its list of this turn.
    pub(crate) listed: bool,
    pub(crate) readers: Wakers,
    pub(crate) writers: Wakers,
    /// Those who wait for the end, or until all is delivered.
    pub(crate) watchers: Wakers,
    /// Made when one has come, or is waited for.
    pub(crate) out_of_band: Option<Box<OutOfBand>>,
    /// Someone waits until it is open.
    opening: bool,
    /// Someone waits for the peer to say that it goes away.
    pub(super) awaits_departure: bool,
    /// It has been handed to those who accept.
    pub(crate) announced: bool,
    /// It is not answered before the application has decided on it.
    pub(crate) held: bool,
    /// It was accepted, or opened here.
    accepted: bool,
    handles: u8,
    lingering: bool,
    /// It has ended, and the driver has taken it out of its table.
    pub(crate) retired: bool,
    /// The window that the socket's buffer allows so far, in segments; known once the driver has seen it.
    pub(crate) window_limit: Option<u32>,
}

impl ConnectionState {
    /// Takes out who has something to do now.
    pub(crate) fn take_ready(&mut self) -> [Wakers; 4] {
        let ended = self.connection.ending().is_some();
        let mut ready = [Wakers::default(), Wakers::default(), Wakers::default(), Wakers::default()];
        if let Some(beside) = self.out_of_band.as_mut().filter(|_| ended) {
            ready[3] = beside.take_readers();
        }
        if !self.readers.is_empty() && (ended || self.has_input()) {
            ready[0] = self.readers.take();
        }
        if !self.writers.is_empty() && self.connection.is_worth_writing() {
            ready[1] = self.writers.take();
        }
        let opened = self.opening && self.connection.is_established();
        let leaves = self.awaits_departure && self.connection.is_peer_going_away();
        // Who waits for the end alone isn't woken by every acknowledgement.
        let delivered = (self.lingering || self.connection.is_closing()) && self.connection.is_delivered();
        let settled = ended
            || opened
            || leaves
            || delivered
            || (self.lingering && self.connection.has_linger_elapsed());
        if !self.watchers.is_empty() && settled {
            ready[2] = self.watchers.take();
            self.awaits_departure &= !leaves;
        }
        ready
    }

    /// Whether someone is about to look at it, who may have something to send that an answer can ride with.
    pub(crate) fn is_awaited(&self) -> bool {
        let input = self.connection.readable_bytes() > 0;
        (input && (!self.readers.is_empty() || (self.announced && !self.accepted)))
            || (self.opening && self.connection.is_established())
    }

    fn has_input(&self) -> bool {
        let ends = self.connection.is_peer_finished() || self.connection.is_closing();
        ends || self.connection.readable_bytes() > 0
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.connection.ending().cloned()
    }

    /// What a reader gets once nothing is left to read: the end in order, or an error.
    pub(crate) fn read_end(&self) -> Option<io::Result<()>> {
        if self.connection.is_peer_finished() {
            return Some(Ok(()));
        }
        match self.ending() {
            // Closed here, while another task still reads: nothing more will come.
            None => self.connection.is_closing().then_some(Ok(())),
            Some(ending) if ending.cause == Cause::Closed => Some(Ok(())),
            Some(ending) => Some(Err(ending.into())),
        }
    }

    /// What a writer gets who can't write any more.
    pub(crate) fn write_error(&self) -> Option<io::Error> {
        if let Some(ending) = self.ending() {
            return Some(ending.into());
        }
        let finished = self.connection.is_write_closed();
        finished.then(|| io::Error::new(io::ErrorKind::BrokenPipe, "nothing can be written after finish"))
    }
}

impl ConnectionShared {
    pub(crate) fn new(
        connection: Connection,
        peer: SocketAddr,
        source: Option<IpAddr>,
        endpoint: Arc<EndpointShared>,
    ) -> Arc<Self> {
        Arc::new(Self {
            conv: AtomicU32::new(connection.conv().value()),
            endpoint,
            dirty: AtomicBool::new(false),
            state: Mutex::new(ConnectionState {
                connection,
                peer,
                followed: false,
                source,
                deadlines: Deadlines::default(),
                listed: false,
                readers: Wakers::default(),
                writers: Wakers::default(),
                watchers: Wakers::default(),
                out_of_band: None,
                opening: false,
                awaits_departure: false,
                announced: false,
                held: false,
                accepted: false,
                handles: 0,
                lingering: false,
                retired: false,
                window_limit: None,
            }),
        })
    }

    #[inline]
    pub(crate) fn conv(&self) -> Conv {
        // Never 0: it comes from a conversation id.
        Conv::new(self.conv.load(Ordering::Relaxed)).unwrap_or(Conv::MAX)
    }

    /// Where the peer is now.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.lock().peer
    }

    pub(crate) fn set_conv(&self, conv: Conv) {
        self.conv.store(conv.value(), Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ConnectionState> {
        // A panic of a tap while a batch was sent leaves the connection as after a lost datagram.
        lock(&self.state)
    }

    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name).field("peer", &self.peer()).field("conv", &self.conv()).finish_non_exhaustive()
    }

    pub(crate) fn endpoint(&self) -> KcpEndpoint {
        KcpEndpoint::of(&self.endpoint)
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        let local = self.endpoint.local_addr();
        match self.lock().source {
            Some(ip) if local.ip().is_unspecified() => SocketAddr::new(ip, local.port()),
            _ => local,
        }
    }

    /// Puts it in the driver's inbox, if it isn't there.
    pub(crate) fn mark_dirty(self: &Arc<Self>) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            self.endpoint.push_dirty(self.clone());
        }
    }

    /// The driver looks at it now: what changes from here on must be told again.
    pub(crate) fn clear_dirty(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    /// Does what a command of the application has made necessary: sends by itself, or leaves it to the driver.
    pub(crate) fn attend(
        self: &Arc<Self>,
        now: Instant,
        mut state: MutexGuard<'_, ConnectionState>,
        urgency: Urgency,
    ) {
        if self.endpoint.attend(now, &mut state, urgency) {
            drop(state);
            self.mark_dirty();
        }
    }

    pub(crate) fn set_fec(&self, fec: Fec) -> io::Result<()> {
        let state = self.lock();
        if let Some(ending) = state.ending() {
            return Err(ending.into());
        }
        if !self.endpoint.change_fec(state.peer, state.connection.peer_kind(), fec) {
            let text = format!("fec {fec}: there must be FEC already, with a ratio of its own");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(())
    }

    pub(crate) fn max_out_of_band(&self) -> usize {
        self.lock().connection.config().kcp_mtu().saturating_sub(OUT_OF_BAND_OVERHEAD)
    }

    pub(crate) fn send_out_of_band(&self, payload: &[u8]) -> io::Result<()> {
        let most = self.max_out_of_band();
        if payload.len() > most {
            let text = format!("{} bytes beside the stream: must be at most {most}", payload.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let state = self.lock();
        if let Some(ending) = state.ending() {
            return Err(ending.into());
        }
        if !state.connection.is_established() {
            // To a stock listener it would be the opening.
            let text = "nothing can go beside a stream that the peer hasn't answered yet";
            return Err(io::Error::new(io::ErrorKind::NotConnected, text));
        }
        self.endpoint.send_out_of_band(now(), state.peer, state.source, self.conv(), payload);
        Ok(())
    }

    pub(super) fn command(self: &Arc<Self>, act: impl FnOnce(&mut ConnectionState, Instant)) {
        let now = now();
        let mut state = self.lock();
        act(&mut state, now);
        let ready = state.take_ready();
        self.attend(now, state, Urgency::All);
        ready.into_iter().for_each(Wakers::wake);
    }

    pub(crate) fn set_handles(&self, handles: u8) {
        let mut state = self.lock();
        (state.handles, state.accepted) = (handles, true);
    }

    /// The application lets it in: from now on it is answered.
    pub(crate) fn admit(self: &Arc<Self>) {
        self.endpoint.served.fetch_add(1, Ordering::Relaxed);
        let held = std::mem::take(&mut self.lock().held);
        if held {
            self.mark_dirty();
        }
    }

    /// The application doesn't want it.
    pub(crate) fn turn_away(self: &Arc<Self>, code: u32) {
        self.endpoint.admission.count_refused();
        let code = if code == code::NONE { code::BUSY } else { code };
        self.command(|state, now| match std::mem::take(&mut state.held) {
            true => state.connection.turn_away(now, code),
            false => state.connection.abort(now, code),
        });
    }

    /// One handle is gone; with the last, the connection is closed in the background.
    pub(crate) fn drop_handle(self: &Arc<Self>, finish: bool) {
        self.command(|state, now| {
            state.handles = state.handles.saturating_sub(1);
            if state.handles == 0 {
                state.connection.close(now, 0, "");
            } else if finish {
                state.connection.finish();
            }
        });
    }

    pub(crate) fn close(self: &Arc<Self>) {
        self.close_with(0, "");
    }

    pub(crate) fn close_with(self: &Arc<Self>, code: u32, reason: &str) {
        self.command(|state, now| match std::mem::take(&mut state.held) {
            true => state.connection.turn_away(now, code::GOING_AWAY),
            false => state.connection.close(now, code, reason),
        });
    }

    pub(crate) fn abort(self: &Arc<Self>, code: u32) {
        self.command(|state, now| state.connection.abort(now, code));
    }

    /// The driver is gone, so nothing is left to attend to it.
    pub(crate) fn lose_endpoint(&self, now: Instant) {
        let ready = {
            let mut state = self.lock();
            state.connection.lose_endpoint(now);
            state.take_ready()
        };
        ready.into_iter().for_each(Wakers::wake);
    }

    pub(crate) fn finish(self: &Arc<Self>, code: u32, reason: &str) -> io::Result<()> {
        let mut result = Ok(());
        self.command(|state, _| match state.ending() {
            Some(ending) if !ending.is_clean() => result = Err(ending.into()),
            _ => state.connection.finish_with(code, reason),
        });
        result
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.lock().ending()
    }

    /// In message mode, the most bytes of a message.
    pub(crate) fn max_message(&self) -> Option<usize> {
        let state = self.lock();
        state.connection.is_message_mode().then(|| state.connection.max_message())
    }

    pub(crate) fn stats(&self) -> ConnectionStats {
        self.lock().connection.stats()
    }

    pub(crate) fn set_profile(self: &Arc<Self>, profile: Profile) {
        self.command(|state, _| state.connection.set_profile(profile));
    }

    pub(crate) fn set_windows(self: &Arc<Self>, send: u32, recv: u32) -> Result<(), ConfigError> {
        let mut result = Ok(());
        self.command(|state, _| result = state.connection.set_windows(send, recv));
        result
    }

    pub(crate) fn peer_farewell(&self) -> Option<Farewell> {
        self.lock().connection.peer_farewell().cloned()
    }

    pub(crate) fn peer_kind(&self) -> PeerKind {
        self.lock().connection.peer_kind()
    }

    /// Waits until the peer has answered, or the opening has failed.
    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        // It may have opened and ended since: then there may be something to read.
        if state.connection.is_established() {
            state.opening = false;
            return Poll::Ready(Ok(()));
        }
        if let Some(ending) = state.ending() {
            return Poll::Ready(Err(ending.into()));
        }
        state.opening = true;
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }

    /// Waits until the peer is elsewhere than `last`; `None` once it has ended.
    pub(crate) fn poll_moved(&self, cx: &mut Context<'_>, last: SocketAddr) -> Poll<Option<SocketAddr>> {
        let mut state = self.lock();
        if state.peer != last {
            return Poll::Ready(Some(state.peer));
        }
        if state.connection.ending().is_some() {
            return Poll::Ready(None);
        }
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }

    /// Waits until nothing is left that only we can do.
    pub(crate) fn poll_said_all(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.connection.has_said_all() {
            return Poll::Ready(());
        }
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }

    pub(crate) fn set_linger(self: &Arc<Self>, linger: Duration) {
        self.command(|state, now| state.connection.set_linger(now, linger));
    }

    pub(crate) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Ending> {
        let mut state = self.lock();
        if let Some(ending) = state.ending() {
            return Poll::Ready(ending);
        }
        let crowd = state.watchers.register(cx.waker());
        drop(state);
        crowd.wake();
        Poll::Pending
    }

    /// Reads, or registers the waiting task: `Ok(0)` at the end.
    pub(crate) fn poll_read_with(
        self: &Arc<Self>,
        cx: Option<&mut Context<'_>>,
        read: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let n = match read(&mut state.connection) {
            Ok(n) => n,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if n > 0 {
            if state.connection.has_transmit() {
                // The window has opened again: the peer must not wait for its next probe.
                self.attend(now(), state, Urgency::Control);
            }
            return Poll::Ready(Ok(n));
        }
        if let Some(end) = state.read_end() {
            return Poll::Ready(end.map(|()| 0));
        }
        let crowd = cx.map(|cx| state.readers.register(cx.waker())).unwrap_or_default();
        if state.connection.owes_answer() {
            // The driver has left the acknowledgement to us, and we have no answer to send it with.
            self.attend(now(), state, Urgency::Control);
        } else {
            drop(state);
        }
        crowd.wake();
        Poll::Pending
    }

    /// Writes, or registers the waiting task.
    pub(crate) fn poll_write_with(
        self: &Arc<Self>,
        cx: Option<&mut Context<'_>>,
        write: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        if let Some(error) = state.write_error() {
            return Poll::Ready(Err(error));
        }
        match write(&mut state.connection) {
            Err(error) => Poll::Ready(Err(error)),
            Ok(0) => {
                let crowd = cx.map(|cx| state.writers.register(cx.waker())).unwrap_or_default();
                drop(state);
                crowd.wake();
                Poll::Pending
            }
            Ok(n) => {
                self.attend(now(), state, Urgency::Data);
                Poll::Ready(Ok(n))
            }
        }
    }

    pub(crate) fn poll_shutdown(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.lock();
        if let Some(ending) = state.ending() {
            let delivered = state.connection.is_delivered();
            return Poll::Ready(if delivered { Ok(()) } else { Err(ending.into()) });
        }
        state.connection.finish();
        if state.connection.is_delivered() {
            state.lingering = false;
            return Poll::Ready(Ok(()));
        }
        if state.lingering && state.connection.has_linger_elapsed() {
            state.lingering = false;
            return Poll::Ready(Err(shutdown_timed_out(&state.connection.stats())));
        }
        let now = now();
        if !state.lingering {
            state.lingering = true;
            state.connection.start_linger(now);
        }
        let crowd = state.watchers.register(cx.waker());
        self.attend(now, state, Urgency::All);
        crowd.wake();
        Poll::Pending
    }
}

fn shutdown_timed_out(stats: &ConnectionStats) -> io::Error {
    let text = format!(
        "nothing more acknowledged within the linger time: {} bytes were; segments waiting: {}",
        stats.bytes_acknowledged,
        stats.in_flight + stats.queued
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}
