//! Forward error correction of a peer that has moved: both sides go on counting.

mod common;

use common::{Nat, greeted, payload, read_exactly, until, watched};
use sendoff::{Config, Fec, KcpListener, KcpStream};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::io::AsyncWriteExt;

/// What the type of a data shard is, behind its seqid.
const DATA: [u8; 2] = [0xf1, 0];

#[tokio::test]
async fn a_shard_that_is_lost_right_after_a_move_is_made_good() {
    watched(async {
        // Each data shard has a parity shard of its own.
        let config = Config::new().fec(Fec::new(1, 1).unwrap());
        let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
        let nat = Nat::before(listener.local_addr()).await;
        let client = KcpStream::connect_with(nat.addr(), config).await.unwrap();
        let (mut client, mut server) = greeted(client, &listener).await;
        // Both have counted for a while.
        for n in 0..100 {
            let data = payload(1_000, n);
            server.write_all(&data).await.unwrap();
            assert!(read_exactly(&mut client, data.len()).await == data);
        }
        nat.forget().await;
        client.write_all(b"from elsewhere").await.unwrap();
        read_exactly(&mut server, 14).await;
        until(|| Some(server.peer_addr()) == nat.outside()).await;
        until(|| client.stats().bytes_acknowledged >= 15).await;
        let before = client.stats().datagrams_recovered;
        // Every other data shard from now on is lost, and no parity.
        let lost = Arc::new(AtomicUsize::new(0));
        let (counted, mut turn) = (lost.clone(), false);
        *nat.loses.lock().unwrap() = Some(Box::new(move |datagram| {
            if datagram.get(4..6) != Some(&DATA[..]) {
                return false;
            }
            turn = !turn;
            counted.fetch_add(usize::from(turn), Ordering::Relaxed);
            turn
        }));
        for n in 0..5 {
            let data = payload(1_000, n);
            server.write_all(&data).await.unwrap();
            assert!(read_exactly(&mut client, data.len()).await == data);
        }
        let recovered = client.stats().datagrams_recovered - before;
        let lost = lost.load(Ordering::Relaxed);
        assert!(lost >= 3, "{lost} lost");
        assert!(recovered >= 3, "{recovered} of {lost} were made good");
    })
    .await;
}
