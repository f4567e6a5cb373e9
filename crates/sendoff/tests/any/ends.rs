//! Who ends a connection, and who is told what.

use crate::{
    Kind,
    common::{failed, ms},
    over_all, over_speaking, over_telling,
    transports::{Pair, carry},
};
use sendoff::{Cause, Party};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

over_all!(
    a_stream_that_was_closed_ends_here_whatever_the_peer_does,
    a_stream_that_was_aborted_fails_here,
    a_listener_that_was_closed_accepts_no_more_and_its_streams_live_on,
    whoever_waits_at_a_listener_is_told_that_it_was_closed,
);
over_telling!(a_peer_that_is_dropped_is_the_end, a_peer_that_aborts_is_a_reset, data_comes_before_the_end);
over_speaking!(a_farewell_reaches_the_peer, the_code_of_an_abort_reaches_the_peer);

async fn a_stream_that_was_closed_ends_here_whatever_the_peer_does(kind: Kind) {
    let Pair { mut client, server: _server, .. } = kind.pair().await;
    client.read_timeout(ms(30_000));
    client.close(20, "enough");
    assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0);
    let ending = client.closed().await;
    assert_eq!((ending.by, ending.cause, ending.code), (Party::Local, Cause::Closed, 20), "{ending}");
    assert_eq!(ending.reason, "enough");
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(client.ending(), Some(ending));
}

async fn a_stream_that_was_aborted_fails_here(kind: Kind) {
    let Pair { mut client, server: _server, .. } = kind.pair().await;
    client.abort(21);
    let ending = failed(client.read(&mut [0; 10]).await, ErrorKind::ConnectionAborted);
    assert_eq!((ending.by, ending.cause, ending.code), (Party::Local, Cause::Aborted, 21), "{ending}");
    failed(client.write(b"more").await, ErrorKind::ConnectionAborted);
    failed(client.finish(), ErrorKind::ConnectionAborted);
    assert_eq!(client.closed().await, ending);
}

async fn a_peer_that_is_dropped_is_the_end(kind: Kind) {
    let Pair { client, mut server, .. } = kind.pair().await;
    drop(client);
    assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    assert!(server.ending().is_none_or(|ending| ending.is_clean()));
    server.finish().unwrap();
    let ending = server.closed().await;
    assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Closed), "{ending}");
}

async fn data_comes_before_the_end(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.write_all(&[7; 1_000]).await.unwrap();
    client.close(0, "");
    let (mut got, mut buffer) = (0, [0; 2_000]);
    loop {
        match server.read(&mut buffer).await.unwrap() {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, 1_000);
}

async fn a_peer_that_aborts_is_a_reset(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.abort(22);
    let ending = failed(server.read(&mut [0; 10]).await, ErrorKind::ConnectionReset);
    assert_eq!((ending.by, ending.cause), (Party::Peer, Cause::Reset), "{ending}");
    failed(server.write(b"more").await, ErrorKind::ConnectionReset);
    assert_eq!(server.closed().await, ending);
}

async fn the_code_of_an_abort_reaches_the_peer(kind: Kind) {
    let Pair { mut client, server, .. } = kind.pair().await;
    client.abort(23);
    assert_eq!(server.closed().await.code, 23);
}

async fn a_farewell_reaches_the_peer(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.finish_with(24, "that is all").unwrap();
    assert_eq!(server.read(&mut [0; 10]).await.unwrap(), 0);
    let farewell = server.peer_farewell().unwrap();
    assert_eq!((farewell.code, &*farewell.reason), (24, "that is all"));
    server.finish_with(25, "then goodbye").unwrap();
    assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0);
    let (here, there) = (client.closed().await, server.closed().await);
    assert_eq!((here.by, here.code, &*here.reason), (Party::Local, 24, "that is all"));
    assert_eq!((there.by, there.code, &*there.reason), (Party::Peer, 24, "that is all"));
    assert_eq!(here.peer.unwrap().code, 25);
}

async fn a_listener_that_was_closed_accepts_no_more_and_its_streams_live_on(kind: Kind) {
    let Pair { mut client, mut server, listener } = kind.pair().await;
    listener.stop_accepting();
    listener.stop_accepting();
    assert!(listener.accept().await.is_err());
    carry(&mut client, &mut server, b"there").await;
    drop(listener);
    carry(&mut server, &mut client, b"and back").await;
}

async fn whoever_waits_at_a_listener_is_told_that_it_was_closed(kind: Kind) {
    let listener = std::sync::Arc::new(kind.bind().await);
    let waiting = [(); 3].map(|()| {
        let listener = listener.clone();
        tokio::spawn(async move { listener.accept().await.map(drop) })
    });
    tokio::task::yield_now().await;
    listener.stop_accepting();
    for task in waiting {
        assert_eq!(task.await.unwrap().unwrap_err().kind(), ErrorKind::NotConnected);
    }
}
