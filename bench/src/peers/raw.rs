//! UDP with segmentation and receive offload by plain blocking system calls: the yardstick. No copy in user
//! space, no header, no repetition.
//!
//! The client keeps a window of bytes in flight, and the server acknowledges all that it has received with one
//! small datagram for each batch that it takes from the socket, so that the figure is what arrives. What doesn't
//! arrive is written off, counted, and shown.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{MsgFlags, recv, setsockopt};

use crate::meter::{Event, Meter, emit};
use crate::net::udp;
use crate::plan::{DATAGRAM, ECHO, Scenario};

/// Datagrams per send: as many as the kernel takes at this size.
const GSO_BATCH: usize = 44;

/// The most bytes that one receive can bring.
const GRO_BUFFER: usize = 64 << 10;

/// Receives before an acknowledgement is due, as long as there is something to receive.
const RECV_BATCH: usize = 8;

/// After this long without an answer, what is in flight counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(50);

/// The first datagram of a client, which tells the server its address.
const HELLO: &[u8] = b"hello";

fn socket() -> Result<UdpSocket> {
    let socket = udp()?;
    setsockopt(&socket, UdpGsoSegment, &(DATAGRAM as i32)).context("UDP_SEGMENT")?;
    setsockopt(&socket, UdpGroSegment, &true).context("UDP_GRO")?;
    Ok(socket)
}

/// Serves one client until the process is stopped.
pub fn serve(scenario: Scenario, meter: &Meter) -> Result<()> {
    let socket = socket()?;
    emit(&Event::Listening { address: socket.local_addr()? });
    let mut buffer = vec![0; GRO_BUFFER];
    let (len, peer) = socket.recv_from(&mut buffer)?;
    ensure!(&buffer[..len] == HELLO, "{len} bytes that are no hello");
    socket.connect(peer)?;
    socket.send(&0_u64.to_le_bytes())?;
    match scenario {
        Scenario::Bulk => sink(&socket, &mut buffer, meter),
        Scenario::Echo => loop {
            let len = socket.recv(&mut buffer)?;
            meter.deliver(len);
            socket.send(&buffer[..len])?;
        },
        _ => bail!("raw has no such scenario"),
    }
}

fn sink(socket: &UdpSocket, buffer: &mut [u8], meter: &Meter) -> Result<()> {
    let mut received = 0_u64;
    loop {
        let mut len = socket.recv(buffer)?;
        for taken in 1.. {
            meter.deliver(len);
            received += len as u64;
            if taken == RECV_BATCH {
                break;
            }
            match recv_ready(socket, buffer)? {
                Some(more) => len = more,
                None => break,
            }
        }
        socket.send(&received.to_le_bytes())?;
    }
}

/// Receives what is there, without waiting.
fn recv_ready(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>> {
    match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(len) => Ok(Some(len)),
        Err(nix::errno::Errno::EAGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Receives, or `None` after [`LOST_AFTER`].
fn recv_in_time(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>> {
    match socket.recv(buffer) {
        Ok(len) => Ok(Some(len)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Plays the client until the process is stopped. `window` is in datagrams.
pub fn drive(scenario: Scenario, address: SocketAddr, window: usize, meter: &Meter) -> Result<()> {
    ensure!(window >= GSO_BATCH, "raw window {window}: must be at least one batch, {GSO_BATCH}");
    let socket = socket()?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    socket.send(HELLO)?;
    let mut answer = [0; 8];
    ensure!(recv_in_time(&socket, &mut answer)? == Some(8), "no answer to the hello");
    emit(&Event::Ready);
    match scenario {
        Scenario::Bulk => pour(&socket, window * DATAGRAM, meter),
        Scenario::Echo => bounce(&socket, meter),
        _ => bail!("raw has no such scenario"),
    }
}

fn pour(socket: &UdpSocket, window: usize, meter: &Meter) -> Result<()> {
    let data = vec![0x5a; GSO_BATCH * DATAGRAM];
    let mut ack = [0; 8];
    let (mut sent, mut settled) = (0_u64, 0_u64);
    loop {
        while sent.saturating_sub(settled) + data.len() as u64 > window as u64 {
            match recv_in_time(socket, &mut ack)? {
                Some(_) => settled = settled.max(u64::from_le_bytes(ack) + meter.lost()),
                None => {
                    meter.lose(sent.saturating_sub(settled));
                    settled = sent;
                }
            }
        }
        sent += socket.send(&data)? as u64;
    }
}

fn bounce(socket: &UdpSocket, meter: &Meter) -> Result<()> {
    let data = vec![0x5a; ECHO];
    let mut buffer = vec![0; GRO_BUFFER];
    let mut began = Instant::now();
    loop {
        for batch in data.chunks(GSO_BATCH * DATAGRAM) {
            socket.send(batch)?;
        }
        let mut received = 0;
        while received < ECHO {
            match recv_in_time(socket, &mut buffer)? {
                Some(len) => received += len,
                None => break,
            }
        }
        meter.deliver(received);
        meter.lose(ECHO.saturating_sub(received) as u64);
        let now = Instant::now();
        meter.round_trip(now - began);
        began = now;
    }
}
