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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };
    use tokio::time::Instant;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn addrs(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|n| SocketAddr::from(([10, 0, 0, n], 1))).collect()
    }

    /// What becomes of each attempt, in order: when, and whether it succeeds. Returns who won, after how long, and when
    /// each attempt began.
    async fn raced(fates: &[(u64, bool)]) -> (io::Result<SocketAddr>, Duration, Vec<Duration>) {
        let addrs = addrs(fates.len() as u8);
        let (began, starts) = (Instant::now(), Mutex::new(Vec::new()));
        let won = race(addrs.clone(), |addr| {
            let (after, succeeds) = fates[addrs.iter().position(|a| *a == addr).unwrap()];
            starts.lock().unwrap().push(began.elapsed());
            async move {
                sleep(ms(after)).await;
                match succeeds {
                    true => Ok(addr),
                    false => Err(io::Error::new(io::ErrorKind::ConnectionRefused, addr.to_string())),
                }
            }
        })
        .await;
        let took = began.elapsed();
        (won, took, starts.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_needs_no_second_attempt() {
        let (won, took, starts) = raced(&[(249, true), (0, true)]).await;
        assert_eq!((won.unwrap(), took), (addr("10.0.0.1:1"), ms(249)));
        assert_eq!(starts, [ms(0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_is_left_behind_after_a_quarter_of_a_second() {
        let (won, took, starts) = raced(&[(60_000, false), (60_000, false), (40, true)]).await;
        assert_eq!((won.unwrap(), took), (addr("10.0.0.3:1"), ms(540)));
        assert_eq!(starts, [ms(0), ms(250), ms(500)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_begins_the_next_attempt_at_once() {
        let (won, took, starts) = raced(&[(10, false), (10, false), (10, true)]).await;
        assert_eq!((won.unwrap(), took), (addr("10.0.0.3:1"), ms(30)));
        assert_eq!(starts, [ms(0), ms(10), ms(20)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_still_wins_if_the_others_are_slower() {
        let (won, took, _) = raced(&[(600, true), (500, true)]).await;
        assert_eq!((won.unwrap(), took), (addr("10.0.0.1:1"), ms(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_first_address_says_why() {
        let (won, took, _) = raced(&[(700, false), (10, false), (10, false)]).await;
        assert_eq!(won.unwrap_err().to_string(), "10.0.0.1:1");
        assert_eq!(took, ms(700));
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_attempts_are_dropped_with_the_race() {
        struct Running<'a>(&'a AtomicUsize);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let (running, begun) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let won = race(addrs(4), |addr| {
            let (running, begun) = (&running, &begun);
            async move {
                running.fetch_add(1, Ordering::SeqCst);
                let _running = Running(running);
                let after = if begun.fetch_add(1, Ordering::SeqCst) == 2 { ms(1) } else { ms(60_000) };
                sleep(after).await;
                Ok(addr)
            }
        });
        assert_eq!(won.await.unwrap(), addr("10.0.0.3:1"));
        assert_eq!((running.into_inner(), begun.into_inner()), (0, 3));
    }

    #[test]
    fn the_families_take_turns_and_each_address_comes_once() {
        let (a6, b6, c6) = (addr("[::1]:1"), addr("[::2]:1"), addr("[::3]:1"));
        let (a4, b4) = (addr("1.1.1.1:1"), addr("2.2.2.2:1"));
        assert_eq!(interleave([a6, b6, a6, c6, a4, b4].into_iter()), [a6, a4, b6, b4, c6]);
        assert_eq!(interleave([a4, b4, a6].into_iter()), [a4, a6, b4]);
        assert_eq!(interleave([].into_iter()), []);
    }

    #[tokio::test]
    async fn a_name_is_resolved_and_one_that_cannot_be_is_named() {
        let found = resolve(&"tcp://localhost:7".parse().unwrap()).await.unwrap();
        assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7), "{found:?}");
        let zone = resolve(&"tcp://[fe80::1%1]:7".parse().unwrap()).await.unwrap();
        assert!(matches!(zone[..], [SocketAddr::V6(v6)] if v6.scope_id() == 1), "{zone:?}");
        let error = resolve(&"tcp://nobody.invalid:7".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot resolve nobody.invalid: "), "{error}");
    }

    #[tokio::test]
    async fn a_port_alone_is_listened_at_in_both_families() {
        let all = listen_addrs(&"udp://:7".parse().unwrap()).await.unwrap();
        assert_eq!(all, [addr("[::]:7"), addr("0.0.0.0:7")]);
        let bound = first(all.clone(), async |addr| match addr.is_ipv4() {
            true => Ok(addr),
            false => Err(io::ErrorKind::AddrNotAvailable.into()),
        });
        assert_eq!(bound.await.unwrap(), addr("0.0.0.0:7"));
        let taken = first(all, async |_| io::Result::<()>::Err(io::ErrorKind::AddrInUse.into()));
        assert_eq!(taken.await.unwrap_err().to_string(), "cannot listen on [::]:7: address in use");
    }
}
