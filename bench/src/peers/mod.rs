//! The implementations that are compared: each module brings one into the form that the scenarios need.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};

use crate::load::{drive, serve};
use crate::meter::Meter;
use crate::plan::{Peer, Scenario, Settings};

#[cfg(feature = "sendoff")]
mod any_tcp;
mod quinn;
mod raw;
#[cfg(feature = "sendoff")]
mod sendoff;
mod tcp;
mod tokio_kcp;
mod udp;

/// Runs the server of a peer in this process.
pub async fn server(peer: Peer, scenario: Scenario, settings: &Settings, meter: Arc<Meter>) -> Result<()> {
    let chunk = settings.chunk;
    match peer {
        Peer::Raw => tokio::task::spawn_blocking(move || raw::serve(scenario, &meter)).await?,
        Peer::Udp => udp::serve(&meter).await,
        Peer::Tcp => serve(tcp::listen().await?, scenario, chunk, meter).await,
        Peer::TokioKcp => serve(tokio_kcp::listen().await?, scenario, chunk, meter).await,
        Peer::Quinn => serve(quinn::listen()?, scenario, chunk, meter).await,
        #[cfg(feature = "sendoff")]
        Peer::AnyTcp => serve(any_tcp::listen().await?, scenario, chunk, meter).await,
        #[cfg(feature = "sendoff")]
        Peer::Sendoff => serve(sendoff::listen(settings).await?, scenario, chunk, meter).await,
        #[cfg(not(feature = "sendoff"))]
        Peer::AnyTcp | Peer::Sendoff => bail!("built without the feature sendoff"),
        Peer::KcpGo => bail!("kcp-go is a program of its own"),
    }
}

/// Runs the client of a peer in this process.
pub async fn client(
    peer: Peer,
    scenario: Scenario,
    address: SocketAddr,
    connections: usize,
    settings: &Settings,
    meter: Arc<Meter>,
) -> Result<()> {
    let chunk = settings.chunk;
    match peer {
        Peer::Raw => {
            let window = settings.raw_window;
            tokio::task::spawn_blocking(move || raw::drive(scenario, address, window, &meter)).await?
        }
        Peer::Udp => udp::drive(address, &meter).await,
        Peer::Tcp => drive(tcp::Connector(address), scenario, chunk, connections, meter).await,
        Peer::TokioKcp => drive(tokio_kcp::Connector(address), scenario, chunk, connections, meter).await,
        Peer::Quinn => drive(quinn::connector(address)?, scenario, chunk, connections, meter).await,
        #[cfg(feature = "sendoff")]
        Peer::AnyTcp => drive(any_tcp::Connector(address), scenario, chunk, connections, meter).await,
        #[cfg(feature = "sendoff")]
        Peer::Sendoff => {
            let connector = sendoff::connector(address, scenario, settings).await?;
            drive(connector, scenario, chunk, connections, meter).await
        }
        #[cfg(not(feature = "sendoff"))]
        Peer::AnyTcp | Peer::Sendoff => bail!("built without the feature sendoff"),
        Peer::KcpGo => bail!("kcp-go is a program of its own"),
    }
}
