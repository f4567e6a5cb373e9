//! `ping`: is a KCP server there, and how far away?

mod path;
mod probes;
mod seal;
mod tally;

use super::capture::{self, Capture};
use crate::{
    args::PingArgs,
    exit::{Outcome, Usage},
    net,
    report::{Event, Report, milliseconds},
    signals::Interrupts,
    units,
};
use anyhow::{Context, anyhow};
use path::PathMtu;
use probes::{Answer, Probes, Server};
use seal::Seal;
use sendoff::{Address, Direction, Tap, TappedDatagram};
use serde_json::json;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tally::Tally;
use tokio::{net::UdpSocket, time::sleep_until};

/// Says what a time may hold besides the way there and back.
const TICK: &str = "a stock server: a time may include its flush interval, 0 to its tick, often up to 100 ms";

/// Runs the command.
///
/// # Errors
/// A usage error, a name without address, or that nothing answered.
pub async fn run(args: PingArgs, report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address: Address = args.address.parse().map_err(Usage::from)?;
    let (host, port) = address.destination().map_err(Usage::from)?;
    if let scheme @ ("tcp" | "udp") = address.scheme() {
        return Err(Usage(format!("{address}: {scheme}:// has no ping: only kcp://")).into());
    }
    let crypt = args.settings.options(&address)?.kcp.crypt_value().clone();
    let size = path::probe_size(args.size, probes::LEAST + crypt.overhead()).map_err(Usage)?;
    if args.settings.shows_secret() {
        report.event(&Event::SecretShown);
    }
    let peer = tokio::select! {
        peer = net::resolve(host, port) => peer?,
        () = interrupts.first() => return Ok(Outcome::Interrupted),
    };
    let name = net::describe(host, peer);
    let captured = args.capture.open(&address, crypt.cipher(), &report, &mut interrupts).await?;
    let socket = connect(peer).await.with_context(|| format!("cannot reach {name}"))?;
    let whole = match args.size {
        Some(_) => path::forbid_fragments(&socket, peer).context("--size")?,
        None => true,
    };
    let pinger = Pinger {
        seal: Seal::new(&crypt)?,
        probes: Probes::new(args.timeout, size - crypt.overhead()),
        size,
        whole,
        path: None,
        tally: Tally::default(),
        started: Instant::now(),
        server: None,
        tap: captured.as_ref().map(Capture::tap).cloned(),
        local: socket.local_addr()?,
        socket,
        peer,
        report,
    };
    capture::finished(captured, pinger.run(&args, &address.to_string(), &name, interrupts).await).await
}

/// A port of its own: whatever the server keeps for it is lost with it.
async fn connect(peer: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(peer).await?;
    Ok(socket)
}

struct Pinger {
    socket: UdpSocket,
    local: SocketAddr,
    peer: SocketAddr,
    /// Sees every datagram, for a capture.
    tap: Option<Arc<dyn Tap>>,
    seal: Seal,
    probes: Probes,
    tally: Tally,
    /// Bytes of a probe.
    size: usize,
    /// They are not fragmented.
    whole: bool,
    /// What the path takes, where a probe was too large for it.
    path: Option<PathMtu>,
    started: Instant,
    /// The last that answered.
    server: Option<Server>,
    report: Report,
}

impl Pinger {
    async fn run(
        mut self,
        args: &PingArgs,
        address: &str,
        name: &str,
        mut interrupts: Interrupts,
    ) -> anyhow::Result<Outcome> {
        if !self.report.json() {
            let (overhead, cipher) = (self.seal.crypt().overhead(), self.seal.crypt().cipher());
            let sealed = if overhead > 0 { format!(", {cipher}") } else { String::new() };
            let pieces = if self.whole { "" } else { ", which this system may send in fragments" };
            let (peer, bytes) = (self.peer, self.size);
            self.report
                .line(&format!("PING {address} ({peer}): probes of {bytes} bytes{sealed}{pieces}"))
                .await?;
        }
        let mut next_probe = Instant::now();
        let mut buffer = vec![0; 65_536];
        loop {
            let more = args.count.is_none_or(|count| self.tally.sent < count);
            if !more && self.probes.is_empty() {
                break;
            }
            tokio::select! {
                () = sleep_until(next_probe.into()), if more && self.probes.may_send() => {
                    // The schedule stands still while the process does: no burst afterwards.
                    next_probe = (next_probe + args.interval).max(Instant::now());
                    self.send().await?;
                }
                () = until(self.probes.next_timeout()) => self.give_up(args.timeout).await?,
                received = self.socket.recv(&mut buffer) => match received {
                    Ok(len) => {
                        let now = Instant::now();
                        let wire = self.tap.as_ref().map(|_| buffer[..len].to_vec());
                        let inside = self.seal.open(&mut buffer[..len]);
                        if let Some(wire) = wire {
                            self.show(now, Direction::Received, &wire, inside);
                        }
                        let Some(inside) = inside else { continue };
                        if let Some(answer) = self.probes.receive(inside, now) {
                            self.answered(answer).await?;
                        }
                    }
                    Err(error) => self.failed(&error).await?,
                },
                () = interrupts.first() => break,
            }
        }
        self.summary(address, name).await
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        self.tally.sent += 1;
        // An error that is waiting on the socket belongs to an earlier probe.
        if let Ok(Some(error)) = self.socket.take_error() {
            self.failed(&error).await?;
        }
        let now = Instant::now();
        let probe = self.probes.send(self.tally.sent, now);
        let datagram = self.seal.seal(&probe);
        self.show(now, Direction::Sent, &datagram, Some(&probe));
        match self.socket.send(&datagram).await {
            Ok(_) => Ok(()),
            Err(error) => self.failed(&error).await,
        }
    }

    fn show(&self, at: Instant, direction: Direction, wire: &[u8], inside: Option<&[u8]>) {
        if let Some(tap) = &self.tap {
            let shown = TappedDatagram::new(at, direction, self.local, self.peer, wire);
            tap.datagram(&shown.with_opened(inside));
        }
    }

    async fn answered(&mut self, Answer { seq, time, server, shows_one }: Answer) -> anyhow::Result<()> {
        self.tally.answer(time);
        self.server = Some(server);
        let (kind, window) = match server {
            Server::Extended => ("extended", None),
            Server::Stock(window) => ("stock", Some(window)),
        };
        if shows_one {
            self.tally.ignored += 1;
            self.report.event(&Event::OneConversation);
        }
        if self.report.json() {
            let object = json!({
                "report": "answer", "seq": seq, "from": self.peer, "time_ms": milliseconds(time),
                "server": kind, "window": window,
            });
            return self.report.object(&object).await;
        }
        let ms = time.as_secs_f64() * 1e3;
        let window = window.map(|w| format!(" window={w}")).unwrap_or_default();
        self.report
            .line(&format!("answer from {} ({kind}): seq={seq}{window} time={ms:.3} ms", self.peer))
            .await
    }

    async fn give_up(&mut self, timeout: Duration) -> anyhow::Result<()> {
        while let Some(seq) = self.probes.expire(Instant::now()) {
            self.unanswered(seq, &format!("silent for {}", units::setting_duration(timeout))).await?;
            self.probes.keep_to_one();
        }
        Ok(())
    }

    /// An error of the socket: mostly that the peer's host, or a router, says that nobody is there.
    async fn failed(&mut self, error: &io::Error) -> anyhow::Result<()> {
        let Some(seq) = self.probes.unreachable() else { return Ok(()) };
        if let Some(path) = path::refused(error, &self.socket, self.peer) {
            self.tally.too_large += 1;
            self.path = path.or(self.path);
            return self.unanswered(seq, &too_large(path)).await;
        }
        if error.kind() == io::ErrorKind::ConnectionRefused || error.kind() == io::ErrorKind::ConnectionReset
        {
            self.tally.unreachable += 1;
            return self.unanswered(seq, "port unreachable").await;
        }
        self.unanswered(seq, &error.to_string()).await
    }

    async fn unanswered(&mut self, seq: u64, why: &str) -> anyhow::Result<()> {
        if self.report.json() {
            return self
                .report
                .object(&json!({
                    "report": "no_answer", "seq": seq, "from": self.peer, "why": why,
                    "path_mtu": self.path.map(|path| path.mtu),
                }))
                .await;
        }
        self.report.line(&format!("no answer from {}: seq={seq} {why}", self.peer)).await
    }

    async fn summary(&self, address: &str, name: &str) -> anyhow::Result<Outcome> {
        let Tally { sent, answered, unreachable, ignored, .. } = self.tally;
        let (took, times) = (self.started.elapsed(), self.tally.times());
        let stock = matches!(self.server, Some(Server::Stock(_)));
        let loss = (self.tally.loss() * 10.0).round() / 10.0;
        if self.report.json() {
            let times = times.map(|t| json!({"min": t.min, "avg": t.avg, "max": t.max, "mdev": t.mdev}));
            let object = json!({
                "report": "summary", "address": address, "sent": sent, "answered": answered,
                "unreachable": unreachable, "ignored": ignored, "loss_percent": loss, "took_ms": milliseconds(took),
                "size": self.size, "too_large": self.tally.too_large,
                "path_mtu": self.path.map(|path| path.mtu), "largest": self.path.map(|path| path.largest),
                "times_ms": times, "may_include_flush_interval": stock,
            });
            self.report.object(&object).await?;
        } else {
            let took = took.as_millis();
            self.report.line(&format!("\n--- {address} ping statistics ---")).await?;
            let probes = units::plural(sent, "probe");
            let ignored = if ignored > 0 { format!(", {ignored} ignored") } else { String::new() };
            let counts = format!("{probes} sent, {answered} answered{ignored}, {loss}% loss");
            self.report.line(&format!("{counts}, time {took} ms")).await?;
            if let Some(t) = times {
                let times = format!("{:.3}/{:.3}/{:.3}/{:.3}", t.min, t.avg, t.max, t.mdev);
                self.report.line(&format!("time min/avg/max/mdev = {times} ms")).await?;
                if stock {
                    self.report.line(&format!("({TICK})")).await?;
                }
            }
        }
        match (sent, answered, unreachable) {
            (0, ..) => Ok(Outcome::Interrupted),
            (_, 0, 0) if self.tally.too_large > 0 => {
                Err(anyhow!("{name}: probes of {} bytes are {}", self.size, too_large(self.path)))
            }
            (_, 0, 0) if self.seal.failed() > 0 => Err(anyhow!(
                "{name}: nothing that came could be opened: {} (wrong key or cipher?)",
                units::plural(self.seal.failed(), "datagram")
            )),
            (_, 0, 0) => Err(anyhow!(
                "{name} has not answered: {}, {} of waiting{}",
                units::plural(sent, "probe"),
                units::duration(took),
                if self.seal.crypt().overhead() > 0 { "; it may have another key or cipher" } else { "" }
            )),
            (_, 0, _) => Err(anyhow!("{name} has not answered: port unreachable")),
            _ => Ok(Outcome::Well),
        }
    }
}

/// Why a probe was refused.
fn too_large(path: Option<PathMtu>) -> String {
    match path {
        Some(path) => format!("too large for the path ({path})"),
        None => "too large for the path".into(),
    }
}

/// Returns at `time`; never without one.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
