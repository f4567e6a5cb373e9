//! `connect`: stdin to the peer, the peer to stdout.

use super::{
    capture, conversation,
    netcat::{self, Failure, Leave, Over, Pipes, Source},
    open,
    printer::Printer,
};
use crate::{
    args::{ConnectArgs, FarewellArgs, QuitAfter},
    exit::{Outcome, Usage},
    messages::{Cut, Format},
    net,
    report::{Event, Report, after_failure},
    signals::Interrupts,
};
use sendoff::{Address, AnyStream, ConnectionStats, Options, TransportStats};
use std::{pin::pin, time::Duration};

/// How long a peer that can't say that it has finished may be silent.
const QUIT_AFTER: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// A usage error, a name without address, or how the connection failed.
pub async fn run(args: ConnectArgs, report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address: Address = args.address.parse().map_err(Usage::from)?;
    let (host, _) = address.destination().map_err(Usage::from)?;
    let mut options = args.settings.options(&address)?;
    only_of_kcp(&address, "--early", args.early)?;
    check_farewell(&address, &args.farewell)?;
    let cut = Cut::new(&args.messages, &address, &options)?;
    let format = Format::chosen(&args.messages, &report)?;
    if args.settings.shows_secret() {
        report.event(&Event::SecretShown);
    }
    let captured = args.capture.start(&address, &mut options, &report, &mut interrupts).await?;
    let what = Exchange { address: &address, host, options, cut, format };
    capture::finished(captured, exchange(what, args, report, interrupts).await).await
}

/// Whom to call, and what is exchanged.
struct Exchange<'a> {
    address: &'a Address,
    host: &'a str,
    options: Options,
    cut: Cut,
    format: Option<Format>,
}

async fn exchange(
    what: Exchange<'_>,
    args: ConnectArgs,
    report: Report,
    mut interrupts: Interrupts,
) -> anyhow::Result<Outcome> {
    let Exchange { address, host, options, cut, format } = what;
    let stream = tokio::select! {
        stream = open::connect(address, options, args.early) => stream?,
        () = interrupts.first() => return Ok(Outcome::Interrupted),
    };
    let name = describe(host, &stream);
    let endpoint = conversation::endpoint(&stream);
    let printer = format.map(|format| Printer::new(None, stream.peer(), &cut, Some(format), &report));
    let (mut incoming, mut outgoing) = conversation::split(stream, &cut, args.farewell.into());

    let source = match args.message {
        Some(text) => Source::Message { text, repeat: args.repeat },
        None => Source::Stdin,
    };
    let leave = match args.quit_after {
        _ if args.send_only => Leave::Delivered,
        Some(QuitAfter(Some(silence))) => Leave::SilentAfterDelivery(silence),
        Some(QuitAfter(None)) => Leave::Never,
        None => Leave::SilentMutePeer(QUIT_AFTER),
    };
    let pipes = Pipes { source, cut, printer };
    let going_away = outgoing.going_away();
    let over = {
        let mut carrying = pin!(netcat::run(pipes, &mut incoming, &mut outgoing, leave, &report, interrupts));
        tokio::select! {
            biased;
            true = going_away => {
                report.event(&Event::PeerGoesAway);
                carrying.await
            }
            over = &mut carrying => over,
        }
    };
    let (stats, goodbye, kcp) = (outgoing.stats(), outgoing.says_goodbye(), outgoing.kcp());
    drop((incoming, outgoing));
    if let TransportStats::Kcp(ConnectionStats { mtu, mtu_steps: steps @ 1.., .. }) = stats.transport {
        report.event(&Event::SmallPath { mtu, steps });
    }
    match over {
        Ok(over) => {
            if let (Over::Silence, Leave::SilentAfterDelivery(silence) | Leave::SilentMutePeer(silence)) =
                (over, leave)
            {
                let exchanged = stats.bytes_sent + stats.bytes_received > 0;
                let scheme = address.scheme().to_owned();
                report.event(&Event::LeftSilentPeer { silence, exchanged, goodbye, scheme, kcp });
            }
            if let Some(endpoint) = endpoint {
                endpoint.wait_idle().await;
            }
            Ok(over.into())
        }
        Err(Failure::Connection(error)) => Err(after_failure(&name, error)),
        Err(Failure::Here(error)) => Err(error),
    }
}

/// The peer in messages: the name as typed, where there was one, and the address that it stands for.
fn describe(host: &str, stream: &AnyStream) -> String {
    match stream.peer().socket_addr() {
        Some(addr) => net::describe(host, addr),
        None => stream.peer().to_string(),
    }
}

/// Code and reason have a place on the wire of KCP alone.
///
/// # Errors
/// When they are given for another transport.
pub fn check_farewell(address: &Address, farewell: &FarewellArgs) -> Result<(), Usage> {
    only_of_kcp(address, &format!("--code {}", farewell.code), farewell.code != 0)?;
    only_of_kcp(address, "--reason", !farewell.reason.is_empty())
}

fn only_of_kcp(address: &Address, flag: &str, given: bool) -> Result<(), Usage> {
    match address.scheme() {
        scheme @ ("tcp" | "udp") if given => {
            Err(Usage(format!("{flag}: {scheme}:// has no such thing: only kcp://")))
        }
        _ => Ok(()),
    }
}
