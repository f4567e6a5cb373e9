//! `listen`: many connections at a time, or one.

mod child;
mod connection;
mod farewell;
mod limits;
mod moves;
mod strangers;
#[cfg(unix)]
mod takeover;
#[cfg(not(unix))]
#[path = "no_takeover.rs"]
mod takeover;

use super::{capture, connect::check_farewell, conversation, open};
use crate::{
    args::ListenArgs,
    exit::{Outcome, Usage},
    messages::{Cut, Format},
    report::{Event, Report, failure},
    signals::{Interrupts, Request},
};
use anyhow::Context;
use child::Program;
use connection::Connection;
use sendoff::{Address, AnyListener, AnyStream, Cipher, Farewell, KcpEndpoint, KcpListener, Options, Peer};
use std::{path::Path, time::Duration};
use strangers::Strangers;
use takeover::Post;
use tokio::task::JoinSet;

/// Who listens, and may be taken over in turn.
struct Listening {
    listener: AnyListener,
    /// Where a successor asks.
    post: Option<Post>,
    /// What became of a takeover, if it was one.
    taken: Option<Taken>,
}

/// The port was another process's.
struct Taken {
    /// Why a successor can't ask.
    no_post: Option<String>,
}

/// What to do with each connection.
#[derive(Clone, Debug)]
struct Plan {
    work: Work,
    cut: Cut,
    read_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    /// What each peer is told at the end.
    farewell: Farewell,
}

/// What becomes of what comes.
#[derive(Clone, Debug)]
enum Work {
    /// It is sent back, printed, or both.
    Serve {
        /// Whether it is sent back.
        echo: bool,
        /// Whether and how it is printed.
        print: bool,
        /// How.
        format: Option<Format>,
    },
    /// It is for stdout, and stdin for the peer: one connection only.
    Netcat {
        /// How it is printed, if not raw.
        format: Option<Format>,
    },
    /// It is for a program.
    Run(Program),
}

/// How many drivers are asked for; 1 where that isn't a number that could be, which [`run`] finds.
pub fn drivers(args: &ListenArgs) -> usize {
    let Ok(address) = args.address.parse() else { return 1 };
    let asked = args.settings.value_of("drivers", &address).and_then(|drivers| drivers.parse().ok());
    asked.filter(|drivers| (1..=255).contains(drivers)).unwrap_or(1)
}

/// How long the end may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// For peers to end their conversations, once they are told.
    drain: Duration,
    /// For what is under way to be delivered.
    linger: Duration,
}

/// Runs the command.
///
/// # Errors
/// A usage error, an address that can't be bound, a socket that fails; with `--once` how the connection failed.
pub async fn run(args: ListenArgs, report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address: Address = args.address.parse().map_err(Usage::from)?;
    let mut options = args.settings.options(&address)?;
    if args.settings.shows_secret() {
        report.event(&Event::SecretShown);
    }
    check_farewell(&address, &args.farewell)?;
    let cut = Cut::new(&args.messages, &address, &options)?;
    let format = Format::chosen(&args.messages, &report)?;
    if let Some(most) = args.max_connections {
        // Where the transport has such a bound, it refuses by itself.
        options.kcp = options.kcp.max_connections(most);
        options.udp = options.udp.max_flows(most);
    }
    let work = match Program::new(args.command) {
        Some(program) => Work::Run(program),
        None if args.once && !args.echo && !args.print => Work::Netcat { format },
        None => Work::Serve { echo: args.echo, print: args.print || !args.echo, format },
    };
    let captured = args.capture.start(&address, &mut options, &report, &mut interrupts).await?;
    let plan = Plan {
        work,
        cut,
        read_timeout: args.read_timeout,
        idle_timeout: args.idle_timeout,
        farewell: args.farewell.into(),
    };
    let most = args.max_connections;
    let times = Times { drain: args.drain_timeout, linger: options.kcp.linger_duration() };
    let how = (args.once, most, times, args.takeover.as_deref());
    let served = serve(&address, options, plan, how, report, interrupts).await;
    capture::finished(captured, served).await
}

/// Listens, and serves whoever comes: `once`, or `most` at a time.
async fn serve(
    address: &Address,
    options: Options,
    plan: Plan,
    (once_only, most, times, takeover): (bool, Option<usize>, Times, Option<&Path>),
    report: Report,
    interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let listener = Listener::bind(address, options, takeover, &report).await?;
    limits::check(address, most, matches!(plan.work, Work::Run(_)), &report);
    if once_only {
        return once(listener, plan, report, interrupts).await;
    }
    let most = most.filter(|_| address.scheme() == "tcp");
    many(listener, plan, most, times, report, interrupts).await
}

/// A listener of any transport.
struct Listener {
    any: AnyListener,
    /// That of KCP: it has connections to attend to when all are closed.
    endpoint: Option<KcpEndpoint>,
    /// Where a successor asks for the port.
    post: Option<Post>,
}

impl Listener {
    async fn bind(
        address: &Address,
        options: Options,
        takeover: Option<&Path>,
        report: &Report,
    ) -> anyhow::Result<Self> {
        let is_kcp = address.scheme() == "kcp";
        let wire = is_kcp.then(|| options.kcp.wire_value());
        let idle = (address.scheme() == "udp").then(|| options.udp.idle_time());
        let cipher = if is_kcp { options.kcp.crypt_value().cipher() } else { Cipher::Null };
        let Listening { listener: any, post, taken } = match takeover {
            None => Listening { listener: open::bind(address, options).await?, post: None, taken: None },
            Some(path) => takeover::listen(path, address, options).await?,
        };
        let endpoint = any.acceptor().map(KcpListener::endpoint).cloned();
        let local = any.local();
        let exposed = local.socket_addr().is_some_and(|addr| !addr.ip().is_loopback());
        report.event(&Event::Listening { local, wire, cipher, idle });
        let hides_nothing = matches!(cipher, Cipher::Null | Cipher::None | Cipher::Xor);
        if is_kcp && exposed && hides_nothing {
            report.event(&Event::NotEncrypted { cipher });
        }
        if let Some(taken) = taken {
            report.event(&Event::TookOver { no_post: taken.no_post });
        }
        Ok(Self { any, endpoint, post })
    }

    async fn accept(&self) -> anyhow::Result<(AnyStream, Peer)> {
        self.any.accept().await.context("the socket failed")
    }

    /// Ends what is still open, where that is one thing to do.
    fn close(&self) {
        match &self.endpoint {
            Some(endpoint) => endpoint.close(),
            None => self.any.stop_accepting(),
        }
    }

    async fn wait_idle(&self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.wait_idle().await;
        }
    }
}

async fn many(
    mut listener: Listener,
    plan: Plan,
    most: Option<usize>,
    times: Times,
    report: Report,
    mut interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let mut connections = JoinSet::new();
    // Passed on, so that the log says why before the connections end.
    let (stop, stopping) = Interrupts::relayed();
    let (mut accepted_so_far, mut full) = (0, false);
    let post = listener.post.take();
    let (mut handing_over, mut handed_over) =
        (Box::pin(Post::handed_over(post, listener.endpoint.as_ref())), false);
    let mut strangers = Strangers::new(listener.endpoint.as_ref());
    loop {
        let (mut stream, peer) = loop {
            tokio::select! {
                biased;
                request = interrupts.request() => {
                    // A successor that asks now would wait in vain.
                    drop(handing_over);
                    if request == Request::Terminate {
                        return farewell::go_away(&listener, connections, times.drain, &report).await;
                    }
                    // Who comes now is told so, and isn't left waiting.
                    listener.any.stop_accepting();
                    report.event(&Event::Interrupted { connections: connections.len() });
                    _ = stop.send(Some(request));
                    return farewell::end(&listener, connections, times.linger).await;
                }
                Some(served) = connections.join_next() => served??,
                accepted = listener.accept() => break accepted?,
                () = &mut handing_over, if !handed_over => {
                    report.event(&Event::HandedOver);
                    handed_over = true;
                }
                // All who were waiting are accepted.
                () = std::future::ready(()), if handed_over => {
                    return farewell::go_away(&listener, connections, times.drain, &report).await;
                }
                () = strangers.heard(&report) => {}
            }
        };
        while let Some(served) = connections.try_join_next() {
            served??;
        }
        if most.is_some_and(|most| connections.len() >= most) {
            // Once until there is room again: a log that every stranger can fill is of no use.
            if !std::mem::replace(&mut full, true) {
                report.event(&Event::Full { peer, connections: connections.len() });
            }
            stream.abort(sendoff::code::BUSY);
            continue;
        }
        full = false;
        accepted_so_far += 1;
        let connection = Connection::new(accepted_so_far, &stream, peer);
        let (plan, report, interrupts) = (plan.clone(), report.clone(), stopping.clone());
        connections.spawn(async move {
            connection.serve(stream, plan, &report, interrupts).await?;
            anyhow::Ok(())
        });
    }
}

async fn once(
    listener: Listener,
    plan: Plan,
    report: Report,
    mut interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let mut strangers = Strangers::new(listener.endpoint.as_ref());
    let (stream, peer) = loop {
        tokio::select! {
            accepted = listener.accept() => break accepted?,
            () = strangers.heard(&report) => {}
            () = interrupts.first() => return Ok(Outcome::Interrupted),
        }
    };
    listener.any.stop_accepting();
    let connection = Connection::new(1, &stream, peer.clone());
    let outcome = if let Work::Netcat { format } = plan.work {
        connection.netcat(stream, plan, format, &report, interrupts).await?
    } else {
        let ending = connection.serve(stream, plan, &report, interrupts.clone()).await?;
        match conversation::is_in_order(&peer, &ending) {
            _ if interrupts.came() => Outcome::Interrupted,
            true => Outcome::Well,
            false => return Err(failure(&peer.to_string(), &ending)),
        }
    };
    listener.close();
    listener.wait_idle().await;
    Ok(outcome)
}
