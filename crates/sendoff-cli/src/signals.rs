//! SIGINT and SIGTERM: the first asks for a graceful end, the second ends the process.

use crate::exit::INTERRUPTED;
use std::io;
use tokio::sync::watch;

/// Tells whether the user wants to stop. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Interrupts {
    requested: watch::Receiver<bool>,
}

impl Interrupts {
    /// Takes both signals over for the rest of the process's life.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        let mut signals = Signals::install()?;
        let (request, requested) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            _ = request.send(true);
            signals.next().await;
            std::process::exit(INTERRUPTED.into());
        });
        Ok(Self { requested })
    }

    /// Interrupts that somebody else sends on, when it is time.
    pub fn relayed() -> (watch::Sender<bool>, Self) {
        let (request, requested) = watch::channel(false);
        (request, Self { requested })
    }

    /// Waits for the first signal; at once if it has come.
    pub async fn first(&mut self) {
        if self.requested.wait_for(|requested| *requested).await.is_err() {
            // The runtime is ending, and with it whoever waits here.
            std::future::pending().await
        }
    }

    /// Whether a signal has come.
    pub fn came(&self) -> bool {
        *self.requested.borrow()
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

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
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

    async fn next(&mut self) {
        self.interrupt.recv().await;
    }
}
