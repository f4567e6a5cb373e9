//! The one task of a socket: reads it into the flows, and ends those that are idle.

use super::shared::Shared;
use crate::{
    Direction,
    udp::{Batch, IcmpError, RecvBuffers},
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Receive calls of a turn at most, each of several buffers.
const RECV_CALLS: usize = 4;

/// Deadlines looked at in a turn at most.
const DEADLINES: usize = 1_024;

pub(super) struct Driver {
    shared: Arc<Shared>,
    icmp: Vec<IcmpError>,
    sleep: Pin<Box<Sleep>>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, icmp: Vec::new(), sleep: Box::pin(sleep_until(Instant::now())) }
    }

    /// One turn; returns whether there is more to do at once.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let drained = self.receive(cx)?;
        self.shared.handle_icmp(&std::mem::take(&mut self.icmp));
        // What waits in the socket may be what an idle flow has waited for.
        let more = !drained || self.end_idle();
        self.shared.poll_writers(cx)?;
        Ok(more)
    }

    /// Reads the socket: all that is there, or as much as a turn may.
    fn receive(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..RECV_CALLS {
            let received = RecvBuffers::lend(|buffers| {
                let received = self.shared.io.try_recv(buffers, &mut self.icmp);
                if received.is_ok() {
                    buffers.batches().for_each(|batch| self.dispatch(batch));
                }
                received
            });
            match received {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.shared.io.poll_recv_ready(cx) {
                        Poll::Pending => return Ok(true),
                        Poll::Ready(result) => result?,
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn dispatch(&self, batch: Batch<'_>) {
        let (peer, local) = (batch.source, batch.local);
        let mut known = None;
        let now = std::time::Instant::now();
        for datagram in batch.datagrams() {
            self.shared.show(now, Direction::Received, (peer, local), datagram);
            // A second try: the flow may have been closed just now, and the datagram opens another.
            for _ in 0..2 {
                let flow = known.take().or_else(|| self.shared.flow(peer, local));
                let Some(flow) = flow else { break };
                if flow.deliver(datagram, local) {
                    known = Some(flow);
                    break;
                }
            }
        }
    }

    /// Ends idle flows; returns whether there may be more.
    fn end_idle(&self) -> bool {
        let now = Instant::now();
        let mut looks = DEADLINES;
        loop {
            let idle = self.shared.table().pop_idle(now, &mut looks);
            match idle {
                Some(flow) => flow.expire(),
                None => return looks == 0,
            }
        }
    }

    fn arm_sleep(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(next) = self.shared.table().next_deadline() else { return Poll::Pending };
        if self.sleep.deadline() != next {
            self.sleep.as_mut().reset(next);
        }
        self.sleep.as_mut().poll(cx)
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Before anything is looked at: a change after that wakes it again.
        this.shared.register_driver(cx.waker());
        let more = match this.turn(cx) {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(local = %this.shared.local_addr(), %error, "the socket has failed");
                this.shared.fail(error.kind(), &error.to_string());
                return Poll::Ready(());
            }
        };
        if this.shared.is_abandoned() {
            return Poll::Ready(());
        }
        if more || this.arm_sleep(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    /// Also when the runtime is shut down: nobody waits for ever.
    fn drop(&mut self) {
        self.shared.fail(io::ErrorKind::NotConnected, "the listener was closed");
    }
}
