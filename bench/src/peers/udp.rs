//! One datagram there, the same back, through tokio's `UdpSocket`: the least that a ping through tokio can cost.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::meter::{Event, Meter, emit};
use crate::net::tokio_udp;
use crate::plan::PING;

/// After this long a datagram counts as lost. Far above any round trip, so that it doesn't tint the figures.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Echoes every datagram.
pub async fn serve(meter: &Meter) -> Result<()> {
    let socket = tokio_udp()?;
    emit(&Event::Listening { address: socket.local_addr()? });
    let mut buffer = [0; 2_048];
    let (mut len, peer) = socket.recv_from(&mut buffer).await?;
    // Connected, as a connection of the other peers is: saves a look-up per datagram.
    socket.connect(peer).await?;
    loop {
        socket.send(&buffer[..len]).await?;
        meter.deliver(len);
        len = socket.recv(&mut buffer).await?;
    }
}

/// Sends pings and times their way back.
pub async fn drive(address: SocketAddr, meter: &Meter) -> Result<()> {
    let socket = tokio_udp()?;
    socket.connect(address).await?;
    emit(&Event::Ready);
    let mut ping = [0x5a; PING];
    let mut number = 0_u64;
    let mut began = Instant::now();
    loop {
        number += 1;
        ping[..8].copy_from_slice(&number.to_le_bytes());
        socket.send(&ping).await?;
        if !await_echo(&socket, &ping).await? {
            meter.lose(PING as u64);
            continue;
        }
        meter.deliver(PING);
        let now = Instant::now();
        meter.round_trip(now - began);
        began = now;
    }
}

/// Reads the echo; false if it did not come.
async fn await_echo(socket: &UdpSocket, ping: &[u8]) -> Result<bool> {
    let mut buffer = [0; 2_048];
    // The timer is set only where the answer isn't there yet, and belongs to any honest use of UDP.
    let Ok(received) = timeout(LOST_AFTER, socket.recv(&mut buffer)).await else { return Ok(false) };
    let len = received?;
    ensure!(&buffer[..len] == ping, "another datagram came back: {len} bytes");
    Ok(true)
}
