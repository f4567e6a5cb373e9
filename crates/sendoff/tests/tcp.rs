//! `tcp://`, seen by a plain socket at the other end.

mod common;

use common::{failed, payload, watched};
use sendoff::{AnyListener, AnyStream, Cause, Options, Party, TcpOptions};
use std::{io::ErrorKind, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A stream of ours, and the plain one at its other end.
async fn connected() -> (AnyStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    let (ours, plain) = tokio::join!(AnyStream::connect(address), listener.accept());
    (ours.unwrap(), plain.unwrap().0)
}

#[tokio::test]
async fn an_abort_is_a_rst() {
    watched(async {
        let (mut ours, mut plain) = connected().await;
        ours.write_all(b"given up").await.unwrap();
        ours.abort(3);
        let mut got = Vec::new();
        let error = plain.read_to_end(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        failed(ours.write(b"more").await, ErrorKind::ConnectionAborted);
    })
    .await;
}

#[tokio::test]
async fn a_rst_is_a_reset_by_the_peer() {
    watched(async {
        let (mut ours, plain) = connected().await;
        socket2::SockRef::from(&plain).set_linger(Some(Duration::ZERO)).unwrap();
        let ended = ours.closed();
        drop(plain);
        let ending = failed(ours.read(&mut [0; 10]).await, ErrorKind::ConnectionReset);
        assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Reset));
        assert_eq!(ended.await, ending);
    })
    .await;
}

#[tokio::test]
async fn what_was_written_arrives_although_the_stream_is_closed_at_once() {
    watched(async {
        let (mut ours, mut plain) = connected().await;
        let bytes = payload(100_000, 1);
        ours.write_all(&bytes).await.unwrap();
        ours.close(0, "");
        drop(ours);
        let mut got = Vec::new();
        plain.read_to_end(&mut got).await.unwrap();
        assert!(got == bytes, "other bytes came");
    })
    .await;
}

#[tokio::test]
async fn a_close_wakes_who_reads_in_another_task() {
    watched(async {
        let (ours, _plain) = connected().await;
        let (mut reader, mut writer) = ours.into_split();
        let reading = tokio::spawn(async move { reader.read(&mut [0; 10]).await });
        tokio::task::yield_now().await;
        writer.close(0, "");
        assert_eq!(reading.await.unwrap().unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_abort_wakes_who_reads_in_another_task() {
    watched(async {
        let (ours, _plain) = connected().await;
        let (mut reader, mut writer) = ours.into_split();
        let reading = tokio::spawn(async move { reader.read(&mut [0; 10]).await });
        tokio::task::yield_now().await;
        writer.abort(4);
        assert_eq!(failed(reading.await.unwrap(), ErrorKind::ConnectionAborted).code, 4);
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_a_refusal_that_names_the_address() {
    watched(async {
        let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = AnyStream::connect(format!("tcp://{addr}")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().starts_with(&format!("{addr}: ")), "{error}");
    })
    .await;
}

/// A listener that accepts nobody: its backlog is full, so the system answers no more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn nobody_who_answers_is_a_time_out_after_the_connect_timeout() {
    watched(async {
        let silent = AnyListener::bind("tcp://127.0.0.1:0?backlog=1").await.unwrap();
        let address = format!("tcp://{}?connect-timeout=100ms", silent.local());
        let mut waiting = Vec::new();
        let error = loop {
            match AnyStream::connect(&address).await {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), format!("tcp://{}: no answer within 100ms", silent.local()));
    })
    .await;
}

#[tokio::test]
async fn a_name_is_reached_at_whatever_address_answers() {
    watched(async {
        // A name that has ::1 too is refused there, for nobody listens at that port.
        let listener = AnyListener::bind("tcp://127.0.0.1:0").await.unwrap();
        let port = listener.local().socket_addr().unwrap().port();
        let (stream, accepted) =
            tokio::join!(AnyStream::connect(format!("tcp://localhost:{port}")), listener.accept());
        assert_eq!(stream.unwrap().peer(), listener.local());
        accepted.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_left_before_it_was_accepted_is_no_error_of_the_listener() {
    watched(async {
        let options = Options { tcp: TcpOptions::new(), ..Options::new() };
        let listener = AnyListener::bind_with("tcp://127.0.0.1:0", options).await.unwrap();
        let addr = listener.local().socket_addr().unwrap();
        let gone = TcpStream::connect(addr).await.unwrap();
        socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
        drop(gone);
        let stays = TcpStream::connect(addr).await.unwrap();
        loop {
            let (_stream, peer) = listener.accept().await.unwrap();
            if peer.socket_addr() == Some(stays.local_addr().unwrap()) {
                break;
            }
        }
    })
    .await;
}
