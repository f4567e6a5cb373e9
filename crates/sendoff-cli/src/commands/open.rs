//! From an address to a connection, or to a listener, over the transport that it names.

use crate::{exit::Usage, net, report::after_failure};
use anyhow::anyhow;
use sendoff::{Address, AddressError, AnyListener, AnyStream, KcpStream, Options, Transports};
use std::io;

/// Connects, with checked options. Of several addresses that a name has, the first that answers is taken; with
/// `early` the first.
///
/// # Errors
/// What is wrong with the address, or why nobody was reached.
pub async fn connect(address: &Address, options: Options, early: bool) -> anyhow::Result<AnyStream> {
    let (host, port) = address.destination().map_err(Usage::from)?;
    let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    if early {
        let peer = net::resolve(host, port).await?;
        let opened = KcpStream::connect_early_with(peer, options.kcp).await;
        return Ok(opened.map_err(|error| after_failure(&name, error))?.into());
    }
    let connected = Transports::new(options).connect(address.without_settings()).await;
    connected.map_err(|error| match error.kind() {
        _ if is_of_address(&error) => Usage(error.to_string()).into(),
        _ if sendoff::Ending::of(&error).is_some() => after_failure(&name, error),
        io::ErrorKind::ConnectionRefused => anyhow!("{name} refused the connection"),
        // It names the host or address itself.
        _ => anyhow!(error),
    })
}

/// Listens, with checked options.
///
/// # Errors
/// What is wrong with the address, or why it can't be had.
pub async fn bind(address: &Address, options: Options) -> anyhow::Result<AnyListener> {
    let bound = Transports::new(options).bind(address.without_settings()).await;
    bound.map_err(|error| match is_of_address(&error) {
        true => Usage(error.to_string()).into(),
        false => anyhow!(error),
    })
}

fn is_of_address(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<AddressError>())
}
