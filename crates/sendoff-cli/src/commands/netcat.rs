//! One connection, both ways: stdin to the peer, the peer to stdout. Shared by `connect` and `listen --once`.

use super::{
    activity::Activity,
    conversation::{Incoming, Outgoing},
    printer::{PAUSE, Printer},
};
use crate::{
    exit::Outcome,
    messages::Cut,
    report::{Event, Report},
    signals::Interrupts,
};
use anyhow::Context;
use std::{cell::Cell, future::Future, io, pin::pin, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::timeout,
};

/// Most bytes taken from stdin at a time.
const CHUNK: usize = 256 * 1024;

/// Most bytes taken from stdin for a datagram of UDP: it fits every path of today.
const DATAGRAM: usize = 1_200;

/// What goes to the peer.
pub enum Source {
    /// Bytes as they come, or messages.
    Stdin,
    /// A text, some times.
    Message {
        /// What.
        text: String,
        /// How often.
        repeat: u64,
    },
}

/// How the two pipes are used.
pub struct Pipes {
    /// What goes to the peer.
    pub source: Source,
    /// What is a message.
    pub cut: Cut,
    /// What comes is printed by it; without one it goes to stdout as it is.
    pub printer: Option<Printer>,
}

/// When it is time to leave a peer that can't say that it has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// As soon as all is delivered.
    Delivered,
    /// After so long a silence, once all is delivered.
    SilentAfterDelivery(Duration),
    /// The same, but a peer that can say when it has finished is waited for.
    SilentMutePeer(Duration),
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
    pipes: Pipes,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    leave: Leave,
    report: &Report,
    mut interrupts: Interrupts,
) -> Result<Over, Failure> {
    let activity = outgoing.activity();
    let Pipes { source, cut, printer } = pipes;
    let goodbye = Cell::new(outgoing.says_goodbye());
    let mut upload = pin!(upload(source, cut, outgoing, &goodbye, &activity, interrupts.clone()));
    let mut download = pin!(download(incoming, cut, printer, report, &activity));
    let (mut delivered, mut finished, mut interrupted) = (false, false, false);
    loop {
        let silence = match leave {
            Leave::SilentAfterDelivery(time) if delivered => Some(time),
            Leave::SilentMutePeer(time) if delivered && !goodbye.get() => Some(time),
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

async fn upload(
    source: Source,
    cut: Cut,
    outgoing: &mut Outgoing,
    goodbye: &Cell<bool>,
    activity: &Activity,
    interrupts: Interrupts,
) -> Result<(), Failure> {
    match source {
        Source::Stdin if cut.lines => send_lines(cut, outgoing, activity, interrupts).await?,
        Source::Stdin => send_bytes(cut, outgoing, activity, interrupts).await?,
        Source::Message { text, repeat } => {
            for _ in 0..repeat {
                if interrupts.came() {
                    break;
                }
                activity.during(outgoing.send(text.as_bytes())).await.map_err(Failure::Connection)?;
            }
        }
    }
    let delivered = activity.during(outgoing.deliver()).await.map_err(Failure::Connection);
    // By now it is known.
    goodbye.set(outgoing.says_goodbye());
    delivered
}

async fn send_bytes(
    cut: Cut,
    outgoing: &mut Outgoing,
    activity: &Activity,
    mut interrupts: Interrupts,
) -> Result<(), Failure> {
    let mut stdin = tokio::io::stdin();
    let mut chunk = vec![0; chunk_size(&cut, outgoing)];
    while let Some(len) = unless_interrupted(&mut interrupts, stdin.read(&mut chunk)).await? {
        if len == 0 {
            break;
        }
        activity.during(outgoing.send(&chunk[..len])).await.map_err(Failure::Connection)?;
    }
    Ok(())
}

/// Where reads become messages, each must fit.
pub fn chunk_size(cut: &Cut, outgoing: &Outgoing) -> usize {
    // A length is at most 10 bytes.
    let own = match outgoing.max_message() {
        Some(_) if outgoing.peer().transport() == "udp" => DATAGRAM,
        Some(max) => max.saturating_sub(10).max(1),
        None => CHUNK,
    };
    let framed = if cut.framing.is_none() { CHUNK } else { cut.framing.limit_bytes() };
    CHUNK.min(own).min(framed)
}

async fn send_lines(
    cut: Cut,
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
        if !(text.is_empty() && cut.skips_empty) {
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

async fn download(
    incoming: &mut Incoming,
    cut: Cut,
    mut printer: Option<Printer>,
    report: &Report,
    activity: &Activity,
) -> Result<(), Failure> {
    loop {
        let pause = printer.as_ref().filter(|printer| printer.is_pending()).map_or(Duration::MAX, |_| PAUSE);
        let chunk = match timeout(pause, incoming.next()).await {
            Ok(chunk) => chunk.map_err(Failure::Connection)?,
            Err(_pause) => {
                if let Some(printer) = &mut printer {
                    printer.print_rest(report).await.map_err(Failure::Here)?;
                }
                continue;
            }
        };
        let Some(chunk) = chunk else { break };
        let printed = match &mut printer {
            Some(printer) => activity.during(printer.print(&chunk, report)).await,
            None if cut.lines => activity.during(report.raw(&[&chunk[..], b"\n"].concat())).await,
            None => activity.during(report.raw(&chunk)).await,
        };
        printed.map_err(Failure::Here)?;
    }
    match &mut printer {
        Some(printer) => printer.print_rest(report).await.map_err(Failure::Here),
        None => Ok(()),
    }
}
