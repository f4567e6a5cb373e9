//! `connect`: stdin to the peer, the peer to stdout.

use super::{
    conversation,
    netcat::{self, Failure, Leave, Over, Source},
};
use crate::{
    args::{ConnectArgs, QuitAfter},
    exit::{Outcome, Usage},
    net,
    report::{Event, Report, after_failure},
    signals::Interrupts,
};
use sendoff::{Address, KcpStream};
use std::time::Duration;

/// How long a stock peer, which can't say that it has finished, may be silent.
const QUIT_AFTER: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// A usage error, a name without address, or how the connection failed.
pub async fn run(args: ConnectArgs, report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address: Address = args.address.parse().map_err(Usage::from)?;
    let (host, port) = address.destination().map_err(Usage::from)?;
    let config = args.settings.options(&address)?.kcp;
    if args.settings.shows_secret() {
        report.event(&Event::SecretShown);
    }
    let mode = config.mode_value();
    let peer = tokio::select! {
        peer = net::resolve(host, port) => peer?,
        () = interrupts.first() => return Ok(Outcome::Interrupted),
    };
    let name = net::describe(host, peer);
    let opened = async {
        match args.early {
            true => KcpStream::connect_early_with(peer, config).await,
            false => KcpStream::connect_with(peer, config).await,
        }
    };
    let stream = tokio::select! {
        opened = opened => opened.map_err(|error| after_failure(&name, error))?,
        () = interrupts.first() => return Ok(Outcome::Interrupted),
    };
    let endpoint = stream.endpoint();
    let (mut incoming, mut outgoing) = conversation::split(stream, mode, args.farewell.into());

    let source = match args.message {
        Some(text) => Source::Message { text, repeat: args.repeat },
        None => Source::Stdin,
    };
    let leave = match args.quit_after {
        _ if args.send_only => Leave::Delivered,
        Some(QuitAfter(Some(silence))) => Leave::SilentAfterDelivery(silence),
        Some(QuitAfter(None)) => Leave::Never,
        None => Leave::SilentStockPeer(QUIT_AFTER),
    };
    let over = netcat::run(source, &mut incoming, &mut outgoing, leave, &report, interrupts).await;
    let (stats, kind) = (outgoing.stats(), outgoing.peer_kind());
    drop((incoming, outgoing));
    match over {
        Ok(over) => {
            if let (Over::Silence, Leave::SilentAfterDelivery(silence) | Leave::SilentStockPeer(silence)) =
                (over, leave)
            {
                let exchanged = stats.bytes_sent + stats.bytes_received > 0;
                report.event(&Event::LeftSilentPeer { silence, exchanged, kind });
            }
            endpoint.wait_idle().await;
            Ok(over.into())
        }
        Err(Failure::Connection(error)) => Err(after_failure(&name, error)),
        Err(Failure::Here(error)) => Err(error),
    }
}
