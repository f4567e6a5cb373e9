//! SIGINT and SIGTERM: the first asks for a graceful end, the second ends the process.

use crate::{exit::INTERRUPTED, leftovers};
use std::io;
use tokio::sync::watch;

/// What the first signal was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGINT, or Ctrl-C: what is under way is finished.
    Interrupt,
    /// SIGTERM: the same, and a server gives its clients time to finish by themselves.
    Terminate,
}

/// Tells whether the user wants to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Interrupts {
    requested: watch::Receiver<Option<Request>>,
}

impl Interrupts {
    /// Takes both signals over for the rest of the process's life.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        let mut signals = Signals::install()?;
        let (request, requested) = watch::channel(None);
        tokio::spawn(async move {
            _ = request.send(Some(signals.next().await));
            signals.next().await;
            leftovers::remove();
            std::process::exit(INTERRUPTED.into());
        });
        Ok(Self { requested })
    }

    /// Interrupts that somebody else sends on, when it is time.
    pub fn relayed() -> (watch::Sender<Option<Request>>, Self) {
        let (request, requested) = watch::channel(None);
        (request, Self { requested })
    }

    /// Waits for the first signal; at once if it has come.
    pub async fn first(&mut self) {
        self.request().await;
    }

    /// The same, and says which it was.
    pub async fn request(&mut self) -> Request {
        if let Ok(request) = self.requested.wait_for(Option::is_some).await
            && let Some(request) = *request
        {
            return request;
        }
        // The runtime is ending, and with it whoever waits here.
        std::future::pending().await
    }

    /// Whether a signal has come.
    pub fn came(&self) -> bool {
        self.requested.borrow().is_some()
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::Interrupt,
            _ = self.terminate.recv() => Request::Terminate,
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    async fn next(&mut self) -> Request {
        self.interrupt.recv().await;
        Request::Interrupt
    }
}
