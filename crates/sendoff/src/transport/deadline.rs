//! Time limits of reads and writes.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// Whose limit it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Direction {
    Read,
    Write,
}

/// A limit beyond what a clock can show is as good as none.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

fn after(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(FAR)
}

/// How long one operation may stay pending. It runs from the first time that the operation has to wait.
pub(super) struct Deadline {
    direction: Direction,
    timeout: Option<Duration>,
    /// Made at the first wait, and kept for the next ones.
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Deadline {
    pub(super) fn new(direction: Direction) -> Self {
        Self { direction, timeout: None, sleep: None, armed: false }
    }

    pub(super) fn set(&mut self, timeout: Option<Duration>) {
        (self.timeout, self.armed) = (timeout, false);
    }

    /// Passes on what an operation came to, or `TimedOut` when it has waited for too long.
    #[inline]
    pub(super) fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match (poll, self.timeout) {
            (Poll::Pending, Some(timeout)) => self.wait(cx, timeout).map(Err),
            (poll, _) => {
                self.armed = false;
                poll
            }
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>, timeout: Duration) -> Poll<io::Error> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        if !self.armed {
            sleep.as_mut().reset(after(timeout));
            self.armed = true;
        }
        sleep.as_mut().poll(cx).map(|()| {
            self.armed = false;
            let text = match self.direction {
                Direction::Read => format!("nothing could be read for {timeout:?}"),
                Direction::Write => format!("nothing could be written for {timeout:?}"),
            };
            io::Error::new(io::ErrorKind::TimedOut, text)
        })
    }
}
