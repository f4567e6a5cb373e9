//! What can be brought about by several threads only, step by step.

use super::*;
use crate::{Config, Fec, KcpListener, KcpStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

#[tokio::test]
async fn last_words_that_leave_late_leave_no_encoder_behind() {
    let config = Config::new().fec(Fec::new(10, 3).unwrap());
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
    let mut client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
    client.write_all(b"!").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'!');
    let connection = server.connection().clone();
    let shared = server.endpoint().shared.clone();
    let mut driver = Driver::new(shared.clone());
    // From here on nobody else runs. A handle has found the socket full just before the driver sends.
    server.write_all(b"!").await.unwrap();
    assert_eq!(shared.shards.encoders(), 1);
    shared.blocked.store(true, Ordering::Release);
    server.abort(16);
    assert_eq!(driver.serve_one(now(), &connection), Sent::Blocked);
    assert_eq!((shared.own_stats().connections, shared.shards.encoders()), (0, 0));
    shared.blocked.store(false, Ordering::Release);
    assert_eq!(driver.serve_one(now(), &connection), Sent::Batch);
    assert_eq!(shared.shards.encoders(), 0);
}

#[tokio::test]
async fn a_peer_that_breaks_off_from_elsewhere_leaves_no_decoder_there() {
    let config = Config::new().fec(Fec::new(10, 3).unwrap());
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
    let (front, back) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let connecting = tokio::spawn(KcpStream::connect_with(front.local_addr().unwrap(), config));
    let (mut there, mut here) = ([0; 2_000], [0; 2_000]);
    let mut from = None;
    while !connecting.is_finished() {
        tokio::select! {
            Ok((len, client)) = front.recv_from(&mut there) => {
                from = Some(client);
                back.send_to(&there[..len], listener.local_addr()).await.unwrap();
            }
            Ok(len) = back.recv(&mut here) => {
                front.send_to(&here[..len], from.unwrap()).await.unwrap();
            }
        }
    }
    let mut client = connecting.await.unwrap().unwrap();
    let (server, _) = listener.accept().await.unwrap();
    client.abort(16);
    let mut driver = Driver::new(server.endpoint().shared.clone());
    while server.ending().is_none() {
        let (len, client) = front.recv_from(&mut there).await.unwrap();
        driver.take_shard(now(), client, None, &there[..len], &mut None);
    }
    assert!(driver.decoders.is_empty());
}
