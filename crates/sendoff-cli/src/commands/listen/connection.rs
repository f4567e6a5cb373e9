//! One connection of a listener, from its opening to its end.

use super::{Plan, Work, child, moves};
use crate::{
    commands::{
        activity::Activity,
        conversation::{self, Incoming, Kcp, Outgoing, is_in_order},
        netcat::{self, Failure, Leave, Over, Pipes, Source},
        printer::{PAUSE, Printer},
    },
    exit::Outcome,
    messages::Format,
    report::{Ended, Event, Report, Why, after_failure, failure},
    signals::Interrupts,
};
use bytes::Bytes;
use sendoff::{AnyStream, Ending, FrameError, KcpLink, Peer, StreamStats, TransportStats};
use std::{io, time::Duration};
use tokio::time::{Instant, sleep_until};

/// What the log says of a connection.
pub struct Connection {
    number: u64,
    /// Where it was at first.
    peer: Peer,
    local: Peer,
    kcp: Option<Kcp>,
}

/// Why we stop serving a connection.
pub enum Stop {
    /// It has ended, well or not.
    Ended,
    /// The user wants to stop.
    Interrupted,
    /// For another reason.
    Because(Why),
}

impl Connection {
    /// One that was accepted.
    pub fn new(number: u64, stream: &AnyStream, peer: Peer) -> Self {
        Self { number, peer, local: stream.local(), kcp: stream.link::<KcpLink>().map(Kcp::of) }
    }

    /// Who opened it, and from where.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Our address, as the peer knows it.
    pub fn local(&self) -> &Peer {
        &self.local
    }

    /// Echoes and prints, or runs a program, until the connection ends.
    ///
    /// # Errors
    /// Only what goes wrong on our side, such as a closed stdout.
    pub async fn serve(
        &self,
        stream: AnyStream,
        plan: Plan,
        report: &Report,
        mut interrupts: Interrupts,
    ) -> anyhow::Result<Ending> {
        report.event(&self.opened());
        let _watch = moves::watch(self.number, &stream, report);
        let closed = stream.closed();
        let (mut incoming, mut outgoing) = conversation::split(stream, &plan.cut, plan.farewell.clone());
        let stop = match &plan.work {
            Work::Run(program) => {
                child::run(program, self, &mut incoming, &mut outgoing, &plan, interrupts).await
            }
            Work::Netcat { .. } => Stop::Ended,
            Work::Serve { echo, print, format } => {
                let activity = outgoing.activity();
                let new = || Printer::new(Some(self.number), self.peer.clone(), &plan.cut, *format, report);
                let (printer, read_timeout) = (print.then(new), plan.read_timeout);
                let mut service = Service { echo: *echo, printer, read_timeout };
                tokio::select! {
                    stop = service.carry(&mut incoming, &mut outgoing, report, &mut interrupts) => stop?,
                    stop = idle(&activity, plan.idle_timeout) => stop,
                }
            }
        };
        let stats = outgoing.stats();
        if matches!(stop, Stop::Because(Why::Idle(_))) {
            // Nobody takes what is still to be sent: it isn't waited for.
            outgoing.leave();
        } else {
            outgoing.part().await;
        }
        let peer = outgoing.peer();
        drop((incoming, outgoing));
        let ending = closed.await;
        let why = match stop {
            Stop::Because(why) => Some(why),
            Stop::Ended | Stop::Interrupted => None,
        };
        report.event(&self.ended(peer, ending.clone(), &stats, why));
        Ok(ending)
    }

    /// stdin to the peer, the peer to stdout.
    ///
    /// # Errors
    /// How the connection failed, or what went wrong on our side.
    pub async fn netcat(
        &self,
        stream: AnyStream,
        plan: Plan,
        format: Option<Format>,
        report: &Report,
        interrupts: Interrupts,
    ) -> anyhow::Result<Outcome> {
        report.event(&self.opened());
        let _watch = moves::watch(self.number, &stream, report);
        let closed = stream.closed();
        let (mut incoming, mut outgoing) = conversation::split(stream, &plan.cut, plan.farewell);
        let leave = match plan.read_timeout.or(plan.idle_timeout) {
            Some(silence) => Leave::Silent(silence),
            None => Leave::Never,
        };
        let printer =
            format.map(|format| Printer::new(None, self.peer.clone(), &plan.cut, Some(format), report));
        let pipes = Pipes { source: Source::Stdin, cut: plan.cut, printer };
        let over = netcat::run(pipes, &mut incoming, &mut outgoing, leave, report, interrupts).await;
        let (stats, peer) = (outgoing.stats(), outgoing.peer());
        drop((incoming, outgoing));
        if let Err(Failure::Here(error)) = over {
            return Err(error);
        }
        let ending = closed.await;
        let silent = matches!(over, Ok(Over::Silence));
        let why = match (plan.read_timeout, plan.idle_timeout) {
            (Some(time), _) if silent => Some(Why::Silent(time)),
            (None, Some(time)) if silent => Some(Why::Idle(time)),
            _ => None,
        };
        report.event(&self.ended(peer.clone(), ending.clone(), &stats, why));
        let name = peer.to_string();
        match over {
            Ok(_) if !is_in_order(&peer, &ending) => Err(failure(&name, &ending)),
            Ok(over) => Ok(over.into()),
            Err(Failure::Connection(error)) if ending.is_clean() => Err(after_failure(&name, error)),
            Err(Failure::Connection(_)) => Err(failure(&name, &ending)),
            Err(Failure::Here(error)) => Err(error),
        }
    }

    fn opened(&self) -> Event {
        Event::Opened { number: self.number, peer: self.peer.clone(), kcp: self.kcp }
    }

    /// `peer` is where it was in the end.
    fn ended(&self, peer: Peer, ending: Ending, stats: &StreamStats, why: Option<Why>) -> Event {
        let (recovered, mtu) = match &stats.transport {
            TransportStats::Kcp(stats) => (stats.datagrams_recovered, Some((stats.mtu, stats.mtu_steps))),
            _ => (0, None),
        };
        let (number, kcp, rtt) = (self.number, self.kcp, stats.rtt);
        Event::Ended(Ended { number, peer, kcp, ending, rtt, recovered, mtu, why })
    }
}

/// What is done with what comes.
struct Service {
    echo: bool,
    printer: Option<Printer>,
    read_timeout: Option<Duration>,
}

impl Service {
    async fn carry(
        &mut self,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
        report: &Report,
        interrupts: &mut Interrupts,
    ) -> anyhow::Result<Stop> {
        let mut last = Instant::now();
        let stop = loop {
            let pending = self.printer.as_ref().is_some_and(Printer::is_pending);
            tokio::select! {
                chunk = incoming.next() => {
                    let taken = self.take(chunk, incoming, report).await;
                    if let Some(printer) = &mut self.printer {
                        printer.print(report).await?;
                    }
                    match taken {
                        Err(stop) => break stop,
                        Ok(Some(echo)) => if let Err(error) = outgoing.send(&echo).await {
                            break stop_of(&error);
                        },
                        Ok(None) => {}
                    }
                    last = Instant::now();
                }
                () = after(last, self.read_timeout) => break Stop::Because(Why::Silent(last.elapsed())),
                () = after(last, Some(PAUSE)), if pending => {
                    if let Some(printer) = &mut self.printer {
                        printer.print_rest(report).await?;
                    }
                }
                () = interrupts.first() => break Stop::Interrupted,
            }
        };
        if let Some(printer) = &mut self.printer {
            printer.print_rest(report).await?;
        }
        Ok(stop)
    }

    /// Takes this and what has come with it, to be printed together; with an echo only this, which is given back.
    async fn take(
        &mut self,
        mut chunk: io::Result<Option<Bytes>>,
        incoming: &mut Incoming,
        report: &Report,
    ) -> Result<Option<Bytes>, Stop> {
        loop {
            let taken = match chunk {
                Ok(Some(taken)) => taken,
                Ok(None) => return Err(Stop::Ended),
                Err(error) => return Err(stop_of(&error)),
            };
            if let Some(printer) = &mut self.printer {
                printer.take(&taken, report);
            }
            if self.echo {
                return Ok(Some(taken));
            }
            if self.printer.as_ref().is_none_or(Printer::is_full) {
                return Ok(None);
            }
            match incoming.ready().await {
                Some(next) => chunk = next,
                None => return Ok(None),
            }
        }
    }
}

/// A connection's own error comes again as its ending; one of a message doesn't.
pub fn stop_of(error: &io::Error) -> Stop {
    match FrameError::of(error) {
        Some(problem) => Stop::Because(Why::BadFrame(problem.to_string())),
        None => Stop::Ended,
    }
}

/// Returns when no byte has moved for so long; never without a time.
pub async fn idle(activity: &Activity, time: Option<Duration>) -> Stop {
    Stop::Because(Why::Idle(activity.idleness(time).await))
}

/// Returns when `time` has passed since `start`; never without one.
pub async fn after(start: Instant, time: Option<Duration>) {
    match time {
        Some(time) => sleep_until(start + time).await,
        None => std::future::pending().await,
    }
}
