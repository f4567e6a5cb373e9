//! `connect`: stdin to the peer, the peer to stdout.

use super::{
    conversation,
    netcat::{self, Failure, Leave, Over, Source},
};
use crate::{
    address::Address,
    args::ConnectArgs,
    exit::Outcome,
    net,
    report::{Event, Report, after_failure},
    signals::Interrupts,
};
use sendoff::KcpStream;

/// Runs the command.
///
/// # Errors
/// A usage error, a name without address, or how the connection failed.
pub async fn run(args: ConnectArgs, report: Report, mut interrupts: Interrupts) -> anyhow::Result<Outcome> {
    let address = Address::parse(&args.address)?;
    let (host, port) = address.destination()?;
    let config = args.settings.config(&address)?;
    let mode = config.mode_value();
    let peer = tokio::select! {
        peer = net::resolve(host, port) => peer?,
        () = interrupts.first() => return Ok(Outcome::Interrupted),
    };
    let name = net::describe(host, peer);
    let stream = KcpStream::connect_with(peer, config).await.map_err(|error| after_failure(&name, error))?;
    let endpoint = stream.endpoint();
    let (mut incoming, mut outgoing) = conversation::split(stream, mode);

    let source = match args.message {
        Some(text) => Source::Message { text, repeat: args.repeat },
        None => Source::Stdin,
    };
    let leave = match args.quit_after.0 {
        _ if args.send_only => Leave::Delivered,
        Some(silence) => Leave::SilentAfterDelivery(silence),
        None => Leave::Never,
    };
    let over = netcat::run(source, &mut incoming, &mut outgoing, leave, &report, interrupts).await;
    let stats = outgoing.stats();
    drop((incoming, outgoing));
    match over {
        Ok(over) => {
            if let (Over::Silence, Leave::SilentAfterDelivery(silence)) = (over, leave) {
                let exchanged = stats.bytes_sent + stats.bytes_received > 0;
                report.event(&Event::LeftSilentPeer { silence, exchanged });
            }
            endpoint.wait_idle().await;
            Ok(over.into())
        }
        Err(Failure::Connection(error)) => Err(after_failure(&name, error)),
        Err(Failure::Here(error)) => Err(error),
    }
}
