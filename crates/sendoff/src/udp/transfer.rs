//! Sending and receiving batches.

use std::io;
use std::net::{IpAddr, SocketAddr};

use quinn_udp::UdpSockRef;
use tokio::io::Interest;

use super::buffers::{RECV_BATCH, RecvBuffers};
use super::counters::add;
use super::errors::{self, IcmpError, IcmpKind, MAX_ICMP_ERRORS, SendError};
use super::{Sent, Transmit, UdpIo, platform, wrong_family};

/// Times that one call is made again after an error that belongs to somebody else.
const MAX_REPEATS: usize = 8;

/// A transmit with its addresses in the form that the socket takes.
#[derive(Clone, Copy)]
struct Routed<'a> {
    destination: SocketAddr,
    source: Option<IpAddr>,
    contents: &'a [u8],
    datagram_size: usize,
}

impl UdpIo {
    /// Sends one batch to one destination.
    ///
    /// ICMP errors met on the way are added to `icmp`, whatever the result; they are not about this batch.
    pub(crate) fn try_send(
        &self,
        transmit: &Transmit<'_>,
        icmp: &mut Vec<IcmpError>,
    ) -> Result<Sent, SendError> {
        let routed = self.route(transmit).map_err(SendError::Dropped)?;
        let mut sent = Sent::default();
        let call = || self.send_batch(routed, &mut sent, icmp);
        let result = self.socket.try_io(Interest::WRITABLE, call);
        add(&self.counters.datagrams_sent, sent.datagrams as u64);
        match result {
            Ok(()) => Ok(sent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && sent.bytes > 0 => Ok(sent),
            Err(error) => Err(SendError::classify(error, routed.source.is_some() || self.peer().is_some())),
        }
    }

    fn route<'a>(&self, transmit: &Transmit<'a>) -> io::Result<Routed<'a>> {
        let destination = transmit.destination;
        if destination.port() == 0 {
            // Somebody can send from port 0, but the system sends nothing there.
            let text = format!("{destination}: no datagram reaches port 0");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Routed {
            destination: self.family.address(destination).ok_or_else(|| wrong_family(destination))?,
            source: transmit.source.and_then(|source| self.family.source(source)),
            contents: transmit.contents,
            datagram_size: transmit.datagram_size.max(1),
        })
    }

    /// Sends all datagrams with one call, or else one by one. WouldBlock if any of them did not go for want of room.
    fn send_batch(&self, routed: Routed<'_>, sent: &mut Sent, icmp: &mut Vec<IcmpError>) -> io::Result<()> {
        let count = routed.contents.len().div_ceil(routed.datagram_size);
        let host = routed.destination.ip();
        if count <= 1 || count > self.max_batch() || self.gso_off.covers(host) {
            return self.send_one_by_one(routed, sent, icmp);
        }
        match self.send_call(routed, icmp) {
            Ok(()) => {
                *sent = Sent { bytes: routed.contents.len(), datagrams: count };
                Ok(())
            }
            Err(error) if errors::may_be_due_to_gso(&error) => {
                let result = self.send_one_by_one(routed, sent, icmp);
                if sent.datagrams > 0 {
                    add(&self.counters.gso_fallbacks, 1);
                    self.gso_off.insert(host);
                }
                result
            }
            Err(error) => Err(error),
        }
    }

    /// Sends each datagram with a call of its own; one that is refused for its size does not hold up the others.
    fn send_one_by_one(
        &self,
        routed: Routed<'_>,
        sent: &mut Sent,
        icmp: &mut Vec<IcmpError>,
    ) -> io::Result<()> {
        let mut refusal = None;
        // An empty datagram is one, too.
        let empty = routed.contents.is_empty().then_some(routed.contents);
        for datagram in empty.into_iter().chain(routed.contents.chunks(routed.datagram_size)) {
            match self.send_call(Routed { contents: datagram, ..routed }, icmp) {
                Ok(()) => sent.datagrams += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) if quinn_udp::is_msg_size_err(&error) || sent.datagrams > 0 => {
                    refusal.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
            sent.bytes += datagram.len();
        }
        match refusal {
            Some(error) if sent.datagrams == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// One system call that sends, made again while it fails for somebody else's sake.
    fn send_call(&self, routed: Routed<'_>, icmp: &mut Vec<IcmpError>) -> io::Result<()> {
        let socket = self.socket.socket();
        let transmit = quinn_udp::Transmit {
            destination: routed.destination,
            ecn: None,
            contents: routed.contents,
            segment_size: (routed.contents.len() > routed.datagram_size).then_some(routed.datagram_size),
            src_ip: routed.source,
        };
        self.repeat(icmp, || {
            add(&self.counters.send_calls, 1);
            if self.sends_plainly() {
                self.socket_ref().send(routed.contents).map(drop)?;
            } else if self.marked {
                platform::send_marked(&self.socket_ref(), &transmit)?;
            } else {
                self.state.try_send(UdpSockRef::from(socket), &transmit)?;
            }
            add(&self.counters.bytes_sent, routed.contents.len() as u64);
            Ok(())
        })
    }

    /// Receives up to [`RECV_BATCH`] buffers and returns how many; 0: nothing now, but the call should be made again.
    ///
    /// ICMP errors met on the way are added to `icmp`, whatever the result, WouldBlock included. After any other error
    /// the socket is of no use. When the call has emptied the socket, the next one is WouldBlock without a system call
    /// until something new has come.
    pub(crate) fn try_recv(&self, buffers: &mut RecvBuffers, icmp: &mut Vec<IcmpError>) -> io::Result<usize> {
        buffers.clear();
        let socket = self.socket.socket();
        let mut received = 0;
        let result = self.socket.try_io(Interest::READABLE, || {
            let call = || {
                add(&self.counters.recv_calls, 1);
                buffers.fill(|slices, meta| self.state.recv(UdpSockRef::from(socket), slices, meta))
            };
            received = match self.repeat(icmp, call) {
                // More of those errors than repeats: none of them is a reason to give up the socket.
                Err(error) if errors::is_an_echo(&error) => 0,
                other => other?,
            };
            // tokio clears only what it knew before the call: an event that came meanwhile is kept.
            let emptied = platform::SHORT_BATCH_MEANS_EMPTY && (1..RECV_BATCH).contains(&received);
            if emptied { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock || received == 0 => Err(error),
            _ => {
                let (datagrams, bytes) = buffers.totals();
                add(&self.counters.datagrams_received, datagrams);
                add(&self.counters.bytes_received, bytes);
                Ok(received)
            }
        }
    }

    /// Makes a system call, and makes it again while it fails with the echo of an earlier datagram.
    ///
    /// An echo is an error that ICMP left on the socket: the queue then names the datagram it is about. When the queue
    /// had no room for it, the error is still cleared by being returned once, so that a second try tells.
    fn repeat<R>(&self, icmp: &mut Vec<IcmpError>, mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        let mut result = call();
        for repeats in 0..MAX_REPEATS {
            let error = match &result {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => error,
                _ => break,
            };
            let drained = platform::drain_errors(self.socket.socket(), icmp);
            if drained == 0 {
                self.note_echo_of_peer(error, icmp);
                if repeats > 0 || !errors::may_be_an_echo(error) {
                    break;
                }
            }
            result = call();
        }
        result
    }

    /// A connected socket's refusal can only be about its peer, queue or no queue.
    fn note_echo_of_peer(&self, error: &io::Error, icmp: &mut Vec<IcmpError>) {
        use io::ErrorKind::{ConnectionRefused, ConnectionReset};
        if let Some(peer) = self.peer()
            && matches!(error.kind(), ConnectionRefused | ConnectionReset)
            && icmp.len() < MAX_ICMP_ERRORS
        {
            icmp.push(IcmpError::new(peer, IcmpKind::PortUnreachable, &[]));
        }
    }
}
