//! `listen`: many connections at a time, or one.

use super::{
    conversation::{self, Incoming, Outgoing},
    lines::{End, LINE_LIMIT, Line, Lines},
    netcat::{self, Failure, Leave, Over, Source},
};
use crate::{
    args::ListenArgs,
    exit::{Outcome, Usage},
    net,
    report::{Ended, Event, Report, after_failure, failure},
    signals::Interrupts,
};
use anyhow::Context;
use sendoff::{Address, Cipher, Ending, Farewell, KcpEndpoint, KcpStream, Mode, PeerKind};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

/// A client that pauses within a line sees what it has written so far printed after this time.
const PAUSE: Duration = Duration::from_secs(1);

/// What to do with each connection.
#[derive(Clone, Debug)]
struct Plan {
    echo: bool,
    print: bool,
    read_timeout: Option<Duration>,
    mode: Mode,
    /// What each peer is told at the end.
    farewell: Farewell,
}

/// Runs the command.
///
/// # Errors
/// A usage error, an address that can't be bound, a socket that fails; with `--once` how the connection failed.
pub async fn run(args: ListenArgs, report: Report, interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address: Address = args.address.parse().map_err(Usage::from)?;
    let config = args.settings.options(&address)?.kcp;
    let (mode, linger, wire) = (config.mode_value(), config.linger_duration(), config.wire_value());
    let cipher = config.crypt_value().cipher();
    if args.settings.shows_secret() {
        report.event(&Event::SecretShown);
    }
    let socket = net::bind(&address).await?;
    let endpoint =
        KcpEndpoint::from_socket(socket, config).with_context(|| format!("cannot listen on {address}"))?;
    let local = endpoint.local_addr();
    report.event(&Event::Listening { local, wire, cipher });
    let hides_nothing = matches!(cipher, Cipher::Null | Cipher::None | Cipher::Xor);
    if hides_nothing && !local.ip().to_canonical().is_loopback() {
        report.event(&Event::NotEncrypted { cipher });
    }
    let raw = args.once && !args.echo && !args.print;
    let plan = Plan {
        echo: args.echo,
        print: args.print || !args.echo,
        read_timeout: args.read_timeout,
        mode,
        farewell: args.farewell.into(),
    };
    match args.once {
        false => many(&endpoint, plan, linger, report, interrupts).await,
        true => once(&endpoint, plan, raw, report, interrupts).await,
    }
}

async fn many(
    endpoint: &KcpEndpoint,
    plan: Plan,
    linger: Duration,
    report: Report,
    mut interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let mut connections = JoinSet::new();
    // Passed on, so that the log says why before the connections end.
    let (stop, stopping) = Interrupts::relayed();
    let mut accepted_so_far = 0;
    let mut strangers = Strangers::new(endpoint);
    loop {
        let (stream, peer) = loop {
            tokio::select! {
                accepted = endpoint.accept() => break accepted.context("the socket failed")?,
                () = strangers.heard(&report) => {}
                Some(served) = connections.join_next() => served??,
                () = interrupts.first() => {
                    report.event(&Event::Interrupted { connections: connections.len() });
                    _ = stop.send(true);
                    return end(endpoint, connections, linger).await;
                }
            }
        };
        accepted_so_far += 1;
        let (number, report, interrupts) = (accepted_so_far, report.clone(), stopping.clone());
        let plan = plan.clone();
        connections.spawn(async move {
            Connection::new(number, &stream, peer).serve(stream, plan, &report, interrupts).await?;
            anyhow::Ok(())
        });
    }
}

/// Lets every connection finish what is under way, and cuts off those that take longer than `linger`.
async fn end(
    endpoint: &KcpEndpoint,
    mut connections: JoinSet<anyhow::Result<()>>,
    linger: Duration,
) -> anyhow::Result<Outcome> {
    let all = async {
        while let Some(served) = connections.join_next().await {
            served??;
        }
        anyhow::Ok(())
    };
    let in_time = timeout(linger, all).await;
    endpoint.close();
    match in_time {
        Ok(result) => result?,
        Err(_late) => {
            while let Some(served) = connections.join_next().await {
                served??;
            }
        }
    }
    endpoint.wait_idle().await;
    Ok(Outcome::Well)
}

async fn once(
    endpoint: &KcpEndpoint,
    plan: Plan,
    raw: bool,
    report: Report,
    mut interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let mut strangers = Strangers::new(endpoint);
    let (stream, peer) = loop {
        tokio::select! {
            accepted = endpoint.accept() => break accepted.context("the socket failed")?,
            () = strangers.heard(&report) => {}
            () = interrupts.first() => return Ok(Outcome::Interrupted),
        }
    };
    let connection = Connection::new(1, &stream, peer);
    let outcome = if raw {
        connection.netcat(stream, plan, &report, interrupts).await?
    } else {
        let ending = connection.serve(stream, plan, &report, interrupts.clone()).await?;
        match ending.is_clean() {
            _ if interrupts.came() => Outcome::Interrupted,
            true => Outcome::Well,
            false => return Err(failure(&peer.to_string(), &ending)),
        }
    };
    endpoint.close();
    endpoint.wait_idle().await;
    Ok(outcome)
}

/// Those who have another key or cipher: told of once a minute at most, however many datagrams they send.
struct Strangers<'a> {
    endpoint: &'a KcpEndpoint,
    told: u64,
    next: Instant,
}

/// How often the counter is looked at, and how often something is said.
const LOOK: Duration = Duration::from_secs(1);
const TELL: Duration = Duration::from_secs(60);

impl<'a> Strangers<'a> {
    fn new(endpoint: &'a KcpEndpoint) -> Self {
        Self { endpoint, told: 0, next: Instant::now() + LOOK }
    }

    /// Returns after it has said something. Cancel safe.
    async fn heard(&mut self, report: &Report) {
        loop {
            sleep_until(self.next).await;
            self.next = Instant::now() + LOOK;
            let total = self.endpoint.stats().failed_to_open;
            if total > self.told {
                report.event(&Event::CannotOpen { datagrams: total - self.told, total });
                self.told = total;
                self.next = Instant::now() + TELL;
                return;
            }
        }
    }
}

/// What the log says of a connection.
struct Connection {
    number: u64,
    peer: SocketAddr,
    conv: sendoff::Conv,
    kind: PeerKind,
}

/// Why we stop serving a connection.
enum Stop {
    /// It has ended, well or not.
    Ended,
    /// It has been silent for too long.
    Silent(Duration),
    /// The user wants to stop.
    Interrupted,
}

impl Connection {
    fn new(number: u64, stream: &KcpStream, peer: SocketAddr) -> Self {
        Self { number, peer, conv: stream.conv(), kind: stream.peer_kind() }
    }

    /// Echoes and prints until the connection ends.
    ///
    /// # Errors
    /// Only what goes wrong on our side, such as a closed stdout.
    async fn serve(
        &self,
        stream: KcpStream,
        plan: Plan,
        report: &Report,
        interrupts: Interrupts,
    ) -> anyhow::Result<Ending> {
        report.event(&self.opened());
        let closed = stream.closed();
        let (mut incoming, mut outgoing) = conversation::split(stream, plan.mode, plan.farewell.clone());
        let stop = self.carry(&mut incoming, &mut outgoing, &plan, report, interrupts).await?;
        let rtt = outgoing.stats().rtt;
        outgoing.part().await;
        drop((incoming, outgoing));
        let ending = closed.await;
        let read_timeout = match stop {
            Stop::Silent(silence) => Some(silence),
            Stop::Ended | Stop::Interrupted => None,
        };
        report.event(&self.ended(ending.clone(), rtt, read_timeout));
        Ok(ending)
    }

    async fn carry(
        &self,
        incoming: &mut Incoming,
        outgoing: &mut Outgoing,
        plan: &Plan,
        report: &Report,
        mut interrupts: Interrupts,
    ) -> anyhow::Result<Stop> {
        let mut lines = Lines::default();
        let mut last = Instant::now();
        let stop = loop {
            tokio::select! {
                chunk = incoming.next() => {
                    // The error comes again as the connection's ending.
                    let Ok(Some(chunk)) = chunk else { break Stop::Ended };
                    if plan.print {
                        self.print(&chunk, plan.mode, &mut lines, report).await?;
                    }
                    if plan.echo && outgoing.send(&chunk).await.is_err() {
                        break Stop::Ended;
                    }
                    last = Instant::now();
                }
                () = after(last, plan.read_timeout) => break Stop::Silent(last.elapsed()),
                () = after(last, Some(PAUSE)), if lines.is_pending() => {
                    self.print_rest(&mut lines, report).await?;
                }
                () = interrupts.first() => break Stop::Interrupted,
            }
        };
        self.print_rest(&mut lines, report).await?;
        Ok(stop)
    }

    async fn print(
        &self,
        chunk: &[u8],
        mode: Mode,
        lines: &mut Lines,
        report: &Report,
    ) -> anyhow::Result<()> {
        let mut text = String::new();
        match mode {
            Mode::Message => text = self.line(&Line::of_message(chunk), report),
            Mode::Stream => lines.feed(chunk, |line| text += &self.line(&line, report)),
        }
        // One write for all that came together: nobody else's bytes get between.
        if text.is_empty() { Ok(()) } else { report.raw(text.as_bytes()).await }
    }

    async fn print_rest(&self, lines: &mut Lines, report: &Report) -> anyhow::Result<()> {
        match lines.flush() {
            Some(line) => report.raw(self.line(&line, report).as_bytes()).await,
            None => Ok(()),
        }
    }

    fn line(&self, line: &Line, report: &Report) -> String {
        if line.end == End::Cut && !line.continued {
            report.event(&Event::LineCut { number: self.number, peer: self.peer, limit: LINE_LIMIT });
        }
        match report.json() {
            true => line.to_json(self.number, self.peer),
            false => line.to_text(self.number, report.arrows().ellipsis),
        }
    }

    /// stdin to the peer, the peer to stdout.
    async fn netcat(
        &self,
        stream: KcpStream,
        plan: Plan,
        report: &Report,
        interrupts: Interrupts,
    ) -> anyhow::Result<Outcome> {
        report.event(&self.opened());
        let closed = stream.closed();
        let (mut incoming, mut outgoing) = conversation::split(stream, plan.mode, plan.farewell);
        let leave = plan.read_timeout.map_or(Leave::Never, Leave::Silent);
        let over = netcat::run(Source::Stdin, &mut incoming, &mut outgoing, leave, report, interrupts).await;
        let rtt = outgoing.stats().rtt;
        drop((incoming, outgoing));
        if let Err(Failure::Here(error)) = over {
            return Err(error);
        }
        let ending = closed.await;
        let read_timeout = plan.read_timeout.filter(|_| matches!(over, Ok(Over::Silence)));
        report.event(&self.ended(ending.clone(), rtt, read_timeout));
        match over {
            Ok(_) if !ending.is_clean() => Err(failure(&self.peer.to_string(), &ending)),
            Ok(over) => Ok(over.into()),
            Err(Failure::Connection(error)) => Err(self.failed(error, &ending)),
            Err(Failure::Here(error)) => Err(error),
        }
    }

    fn failed(&self, error: io::Error, ending: &Ending) -> anyhow::Error {
        let peer = self.peer.to_string();
        if ending.is_clean() { after_failure(&peer, error) } else { failure(&peer, ending) }
    }

    fn opened(&self) -> Event {
        Event::Opened { number: self.number, peer: self.peer, conv: self.conv, kind: self.kind }
    }

    fn ended(&self, ending: Ending, rtt: Option<Duration>, read_timeout: Option<Duration>) -> Event {
        let Self { number, peer, conv, .. } = *self;
        Event::Ended(Ended { number, peer, conv, ending, rtt, read_timeout })
    }
}

/// Returns when `time` has passed since `start`; never without one.
async fn after(start: Instant, time: Option<Duration>) {
    match time {
        Some(time) => sleep_until(start + time).await,
        None => std::future::pending().await,
    }
}
