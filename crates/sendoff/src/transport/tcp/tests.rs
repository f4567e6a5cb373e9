//! What the system was asked for, read back from it.

use super::{TcpTransport, socket};
use crate::{Address, Options, SocketOptions, TcpOptions};
use socket2::SockRef;
use std::{net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};

const LOCAL: &str = "127.0.0.1:0";

fn local() -> SocketAddr {
    LOCAL.parse().unwrap()
}

async fn connected() -> TcpStream {
    let listener = TcpListener::bind(LOCAL).await.unwrap();
    TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
}

fn options(settings: &str, connect: bool) -> TcpOptions {
    let address: Address = format!("tcp://127.0.0.1:1?{settings}").parse().unwrap();
    TcpTransport::new(Options::new().tcp).options_for(&address, connect).unwrap()
}

#[tokio::test]
async fn small_writes_leave_at_once_unless_nagle_is_asked_for() {
    let stream = connected().await;
    socket::set_up(&stream, &TcpOptions::new()).unwrap();
    assert!(stream.nodelay().unwrap());
    socket::set_up(&stream, &options("nodelay=0", true)).unwrap();
    assert!(!stream.nodelay().unwrap());
}

#[tokio::test]
async fn keep_alive_asks_after_its_time_and_thrice_in_all() {
    let stream = connected().await;
    socket::set_up(&stream, &TcpOptions::new()).unwrap();
    assert!(!SockRef::from(&stream).keepalive().unwrap());
    socket::set_up(&stream, &options("keep-alive=9s", true)).unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    {
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(9));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }
    // Less than the system can count.
    socket::set_up(&stream, &TcpOptions::new().keep_alive(Duration::from_millis(1))).unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(1));
}

#[tokio::test]
async fn buffers_and_traffic_class_are_set_before_anything_is_sent() {
    let factor = if cfg!(target_os = "linux") { 2 } else { 1 };
    let options = options("snd-buf=30000,rcv-buf=40000,dscp=46", true);
    let connecting = socket::connecting(local(), &options).unwrap();
    let listening = socket::listen(local(), &options).unwrap();
    for socket in [SockRef::from(&connecting), SockRef::from(&listening)] {
        assert_eq!(socket.send_buffer_size().unwrap(), 30_000 * factor);
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000 * factor);
        #[cfg(not(windows))]
        assert_eq!(socket.tos_v4().unwrap(), 46 << 2);
    }
}

#[tokio::test]
async fn the_address_that_connections_are_opened_from_is_bound() {
    let options = options("bind=127.0.0.1", true);
    let socket = socket::connecting("127.0.0.1:1".parse().unwrap(), &options).unwrap();
    assert_eq!(socket.local_addr().unwrap().ip(), local().ip());
    let error = socket::connecting("[::1]:1".parse().unwrap(), &options).unwrap_err();
    assert_eq!(error.to_string(), "[::1]:1 can't be reached from 127.0.0.1: another address family");
}

/// Connections that nobody accepts: with a backlog of 1 the system completes two (Linux: the length plus one).
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_backlog_bounds_who_waits() {
    let listener = socket::listen(local(), &options("backlog=1", false)).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let third = loop {
        let connecting = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(addr));
        match connecting.await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(elapsed) => break elapsed,
        }
        assert!(waiting.len() < 10, "{} connections wait", waiting.len());
    };
    assert_eq!((waiting.len(), third.to_string()), (2, "deadline has elapsed".into()));
}

#[tokio::test]
async fn a_port_is_shared_only_where_that_is_asked_for() {
    let first = socket::listen(local(), &TcpOptions::new()).unwrap();
    let addr = first.local_addr().unwrap();
    let shared = TcpOptions::new().socket(SocketOptions::new().reuse_port(true));
    assert!(socket::listen(addr, &shared).is_err());
    #[cfg(unix)]
    {
        let first = socket::listen(local(), &shared).unwrap();
        let second = socket::listen(first.local_addr().unwrap(), &shared).unwrap();
        assert_eq!(first.local_addr().unwrap(), second.local_addr().unwrap());
    }
}
