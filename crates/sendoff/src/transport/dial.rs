//! From names to addresses, and from several addresses to one connection (RFC 8305).

use crate::{Address, AddressError, Host, udp::canonical};
use std::{
    future::{Future, poll_fn},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::{net::lookup_host, time::sleep};

/// How long one attempt goes on alone (RFC 8305 section 5: 100 ms to 2 s, 250 ms recommended).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// All addresses of a destination, in the order in which they are to be tried: at least one.
pub(super) async fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = address.destination()?;
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| cannot_resolve(host, error.kind(), &error.to_string()))?;
    let addrs = interleave(found.map(canonical));
    if addrs.is_empty() {
        return Err(cannot_resolve(host, io::ErrorKind::NotFound, "it has no address"));
    }
    Ok(addrs)
}

fn cannot_resolve(host: &str, kind: io::ErrorKind, why: &str) -> io::Error {
    io::Error::new(kind, format!("cannot resolve {host}: {why}"))
}

/// The families in turn, beginning with that of the first address (RFC 8305 section 4); each address once.
fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut of_first = Vec::new();
    let mut others = Vec::new();
    for addr in found {
        let same = of_first.first().is_none_or(|first: &SocketAddr| first.is_ipv4() == addr.is_ipv4());
        let list = if same { &mut of_first } else { &mut others };
        if !list.contains(&addr) {
            list.push(addr);
        }
    }
    let mut others = others.into_iter();
    let mut addrs = Vec::new();
    for addr in of_first {
        addrs.push(addr);
        addrs.extend(others.next());
    }
    addrs.extend(others);
    addrs
}

/// The addresses to listen at, the first that can be bound: `:PORT` is every address of the machine, of IPv6 and IPv4.
pub(super) async fn listen_addrs(address: &Address) -> io::Result<Vec<SocketAddr>> {
    match address.socket() {
        None => Err(AddressError::new(address, "has no host and port").into()),
        Some((Host::All, port)) => {
            Ok(vec![(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()])
        }
        Some((Host::Named(host), port)) => {
            let found = lookup_host((host.as_str(), port)).await;
            let found = found.map_err(|error| cannot_resolve(host, error.kind(), &error.to_string()))?;
            Ok(found.collect())
        }
    }
}

/// The first address that can be bound.
pub(super) async fn first<T, F>(addrs: Vec<SocketAddr>, bind: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut failed = None;
    for addr in addrs {
        match bind(addr).await {
            Ok(bound) => return Ok(bound),
            // Taken for one family: to listen on the other alone would be half deaf.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(cannot_listen(addr, &error));
            }
            Err(error) => failed = Some(cannot_listen(addr, &error)),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

fn cannot_listen(addr: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
}

/// Tries the addresses one after the other, each 250 ms after the last or as soon as that has failed; the first
/// that answers wins, and the other attempts are dropped.
///
/// The error is that of the first address: the one that the name's owner prefers.
pub(super) async fn race<T, F>(addrs: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send,
{
    let mut waiting = addrs.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut failed: Option<(usize, io::Error)> = None;
    let mut delay = Box::pin(sleep(Duration::ZERO));
    let mut start_next = true;
    poll_fn(move |cx| {
        loop {
            if start_next && let Some((rank, addr)) = waiting.next() {
                running.push((rank, Box::pin(connect(addr))));
                delay.as_mut().set(sleep(ATTEMPT_DELAY));
            }
            start_next = false;
            let mut i = 0;
            while i < running.len() {
                match running[i].1.as_mut().poll(cx) {
                    Poll::Pending => i += 1,
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(error)) => {
                        let (rank, _) = running.remove(i);
                        if failed.as_ref().is_none_or(|(best, _)| rank < *best) {
                            failed = Some((rank, error));
                        }
                        start_next = true;
                    }
                }
            }
            if running.is_empty() && waiting.len() == 0 {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                return Poll::Ready(Err(failed.take().map_or_else(none, |(_, error)| error)));
            }
            if waiting.len() > 0 && (start_next || delay.as_mut().poll(cx).is_ready()) {
                start_next = true;
                continue;
            }
            return Poll::Pending;
        }
    })
    .await
}
