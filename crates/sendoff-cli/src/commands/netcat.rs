//! One connection, raw both ways: stdin to the peer, the peer to stdout. Shared by `connect` and `listen --once`.

use super::conversation::{Incoming, Outgoing};
use crate::{
    exit::Outcome,
    report::{Event, Report},
    signals::Interrupts,
};
use anyhow::Context;
use sendoff::{Mode, PeerKind};
use std::{cell::Cell, future::Future, io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::{Instant, sleep_until},
};

/// Most bytes taken from stdin at a time.
const CHUNK: usize = 256 * 1024;

/// What goes to the peer.
pub enum Source {
    /// Bytes as they come; in message mode each line is a message.
    Stdin,
    /// A text, some times.
    Message {
        /// What.
        text: String,
        /// How often.
        repeat: u64,
    },
}

/// When it is time to leave a peer that can't say that it has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// As soon as all is delivered.
    Delivered,
    /// After so long a silence, once all is delivered.
    SilentAfterDelivery(Duration),
    /// The same, but an extended peer is waited for: it says when it has finished.
    SilentStockPeer(Duration),
    /// After so long a silence in both directions, whether our side has ended or not.
    Silent(Duration),
    /// When the peer has gone.
    Never,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Both sides have finished, or all that mattered is delivered.
    Finished,
    /// It was time to leave.
    Silence,
    /// The user wanted to stop.
    Interrupted,
}

impl From<Over> for Outcome {
    fn from(over: Over) -> Self {
        match over {
            Over::Finished | Over::Silence => Outcome::Well,
            Over::Interrupted => Outcome::Interrupted,
        }
    }
}

/// What went wrong.
pub enum Failure {
    /// The connection, for [`after_failure`](crate::report::after_failure).
    Connection(io::Error),
    /// Something on our side.
    Here(anyhow::Error),
}

/// Carries both directions until it is over. On an interrupt what was read from stdin is still
/// delivered, and what comes meanwhile is still printed.
///
/// # Errors
/// A [`Failure`] as soon as one direction fails.
pub async fn run(
    source: Source,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    leave: Leave,
    report: &Report,
    mut interrupts: Interrupts,
) -> Result<Over, Failure> {
    let activity = Activity::now();
    let stock = outgoing.peer_kind() != PeerKind::Extended;
    let mut upload = pin!(upload(source, outgoing, &activity, interrupts.clone()));
    let mut download = pin!(download(incoming, report, &activity));
    let (mut delivered, mut finished, mut interrupted) = (false, false, false);
    loop {
        let silence = match leave {
            Leave::SilentAfterDelivery(time) if delivered => Some(time),
            Leave::SilentStockPeer(time) if delivered && stock => Some(time),
            Leave::Silent(time) => Some(time),
            _ => None,
        };
        tokio::select! {
            result = &mut upload, if !delivered => {
                result?;
                delivered = true;
            }
            result = &mut download, if !finished => {
                result?;
                finished = true;
            }
            () = activity.silence(silence) => return Ok(Over::Silence),
            () = interrupts.first(), if !interrupted => {
                interrupted = true;
                report.event(&Event::Interrupted { connections: 1 });
            }
        }
        if delivered && interrupted {
            return Ok(Over::Interrupted);
        }
        if delivered && (finished || leave == Leave::Delivered) {
            return Ok(Over::Finished);
        }
    }
}

/// When something last happened.
struct Activity {
    last: Cell<Instant>,
    /// Sends and prints under way: as long as one waits, it isn't silence.
    busy: Cell<u32>,
}

impl Activity {
    fn now() -> Self {
        Self { last: Cell::new(Instant::now()), busy: Cell::new(0) }
    }

    fn touch(&self) {
        self.last.set(Instant::now());
    }

    async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        self.busy.update(|n| n + 1);
        let result = work.await;
        self.busy.update(|n| n - 1);
        self.touch();
        result
    }

    /// Returns once nothing has happened for `time`.
    async fn silence(&self, time: Option<Duration>) {
        let Some(time) = time else { return std::future::pending().await };
        loop {
            let now = Instant::now();
            let since = if self.busy.get() > 0 { now } else { self.last.get() };
            if since + time <= now {
                return;
            }
            sleep_until(since + time).await;
        }
    }
}

async fn upload(
    source: Source,
    outgoing: &mut Outgoing,
    activity: &Activity,
    interrupts: Interrupts,
) -> Result<(), Failure> {
    match source {
        Source::Stdin if outgoing.mode() == Mode::Message => {
            send_lines(outgoing, activity, interrupts).await?;
        }
        Source::Stdin => send_bytes(outgoing, activity, interrupts).await?,
        Source::Message { text, repeat } => {
            for _ in 0..repeat {
                if interrupts.came() {
                    break;
                }
                activity.during(outgoing.send(text.as_bytes())).await.map_err(Failure::Connection)?;
            }
        }
    }
    activity.during(outgoing.deliver()).await.map_err(Failure::Connection)
}

async fn send_bytes(
    outgoing: &mut Outgoing,
    activity: &Activity,
    mut interrupts: Interrupts,
) -> Result<(), Failure> {
    let mut stdin = tokio::io::stdin();
    let mut chunk = vec![0; CHUNK];
    while let Some(len) = unless_interrupted(&mut interrupts, stdin.read(&mut chunk)).await? {
        if len == 0 {
            break;
        }
        activity.during(outgoing.send(&chunk[..len])).await.map_err(Failure::Connection)?;
    }
    Ok(())
}

async fn send_lines(
    outgoing: &mut Outgoing,
    activity: &Activity,
    mut interrupts: Interrupts,
) -> Result<(), Failure> {
    let mut stdin = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    while unless_interrupted(&mut interrupts, stdin.read_until(b'\n', &mut line)).await?.is_some() {
        if line.is_empty() {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        // KCP has no message of no bytes: one would block a stock peer's reader.
        if !text.is_empty() {
            activity.during(outgoing.send(text)).await.map_err(Failure::Connection)?;
        }
        line.clear();
    }
    Ok(())
}

async fn unless_interrupted(
    interrupts: &mut Interrupts,
    read: impl Future<Output = io::Result<usize>>,
) -> Result<Option<usize>, Failure> {
    tokio::select! {
        result = read => match result.context("cannot read stdin") {
            Ok(len) => Ok(Some(len)),
            Err(error) => Err(Failure::Here(error)),
        },
        () = interrupts.first() => Ok(None),
    }
}

async fn download(incoming: &mut Incoming, report: &Report, activity: &Activity) -> Result<(), Failure> {
    let messages = incoming.mode() == Mode::Message;
    while let Some(chunk) = incoming.next().await.map_err(Failure::Connection)? {
        let printed = if messages {
            activity.during(report.raw(&[&chunk[..], b"\n"].concat())).await
        } else {
            activity.during(report.raw(&chunk)).await
        };
        printed.map_err(Failure::Here)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, sleep};

    const TIME: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn silence_begins_anew_with_all_that_happens() {
        let (start, activity) = (Instant::now(), Activity::now());
        tokio::join!(activity.silence(Some(TIME)), async {
            for _ in 0..3 {
                sleep(Duration::from_millis(1_500)).await;
                activity.touch();
            }
        });
        assert_eq!(start.elapsed(), Duration::from_millis(3 * 1_500) + TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_or_print_that_waits_is_no_silence() {
        let (start, activity) = (Instant::now(), Activity::now());
        let waiting = activity.during(sleep(Duration::from_secs(60)));
        tokio::join!(activity.silence(Some(TIME)), waiting);
        let lasted = start.elapsed();
        assert!(lasted >= Duration::from_secs(60) + TIME, "{lasted:?}");
        assert!(lasted <= Duration::from_secs(60) + 2 * TIME, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_silence_never_ends() {
        let activity = Activity::now();
        let mut silence = pin!(activity.silence(None));
        advance(Duration::from_secs(1_000_000)).await;
        tokio::select! {
            biased;
            () = &mut silence => panic!("it ended"),
            () = std::future::ready(()) => {}
        }
    }
}
