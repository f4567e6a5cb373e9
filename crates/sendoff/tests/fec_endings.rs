//! Conversations end in order, with FEC and a fifth of all datagrams lost: both sides tell the same.

mod common;

use common::*;
use sendoff::{Cause, Config, Ending, Fec, KcpListener, KcpStream, Party, PeerKind};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LOSS: f64 = 0.2;
const SEEDS: std::ops::Range<u64> = 0..4;
const BYTES: usize = 100_000;

/// Two that know each other, over a link that loses much.
async fn pair(seed: u64) -> Pair {
    let config = Config::fast3().fec(Fec::new(4, 2 + seed as usize).unwrap());
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
    let relay = losing_relay(listener.local_addr(), 100 * seed, LOSS).await;
    let client = KcpStream::connect_with(relay, config).await.unwrap();
    let (client, server) = greeted(client, &listener).await;
    assert_eq!((client.peer_kind(), server.peer_kind()), (PeerKind::Extended, PeerKind::Extended));
    Pair { client, server, listener }
}

/// Something was made good, and nothing wrong.
fn check_shards(pair: &Pair) {
    let here = pair.client.endpoint().stats().fec;
    let there = pair.listener.endpoint().stats().fec;
    assert!(here.recovered + there.recovered > 0, "{here:?} {there:?}");
    assert_eq!(here.refused_groups + there.refused_groups, 0, "{here:?} {there:?}");
}

fn same_story(client: &Ending, server: &Ending) {
    assert!(client.is_clean() && server.is_clean(), "{client} {server}");
    assert_eq!(client.bytes_sent, server.bytes_received, "{client} {server}");
    assert_eq!(server.bytes_sent, client.bytes_received, "{client} {server}");
    assert_eq!(client.bytes_acknowledged, client.bytes_sent, "{client}");
}

#[tokio::test]
async fn each_finishes_when_it_has_said_all() {
    watched(async {
        for seed in SEEDS {
            let Pair { client, server, listener } = pair(seed).await;
            let (there, back) = (payload(BYTES, 1), payload(BYTES, 2));
            let talk = async |mut stream: KcpStream, says: &[u8], hears: &[u8], code| {
                let closed = stream.closed();
                let (mut reader, mut writer) = tokio::io::split(&mut stream);
                let mut heard = Vec::new();
                let (read, written) = tokio::join!(reader.read_to_end(&mut heard), writer.write_all(says));
                // The other has finished before ours is told so.
                written.unwrap();
                read.unwrap();
                assert!(heard == hears);
                stream.finish_with(code, "done").unwrap();
                stream.shutdown().await.unwrap();
                (stream, closed)
            };
            // Who finishes first must not wait for the other's end.
            let first = async {
                let (mut reader, mut writer) = client.into_split();
                writer.write_all(&there).await.unwrap();
                writer.finish_with(17, "said").unwrap();
                let mut heard = Vec::new();
                reader.read_to_end(&mut heard).await.unwrap();
                assert!(heard == back);
                reader.reunite(writer).unwrap()
            };
            let (client, (server, server_closed)) = tokio::join!(first, talk(server, &back, &there, 18));
            let (here, there) = tokio::join!(client.closed(), server_closed);
            same_story(&here, &there);
            assert_eq!(server.peer_farewell().map(|f| (f.code, f.reason)), Some((17, "said".into())));
            assert_eq!(client.peer_farewell().map(|f| (f.code, f.reason)), Some((18, "done".into())));
            check_shards(&Pair { client, server, listener });
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_written_before_a_drop_arrives() {
    watched(async {
        for seed in SEEDS {
            let Pair { mut client, mut server, listener } = pair(seed).await;
            let sent = payload(BYTES, 3);
            let closed = client.closed();
            client.write_all(&sent).await.unwrap();
            let endpoint = client.endpoint();
            drop(client);
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).await.unwrap();
            assert!(heard == sent, "{} of {BYTES}", heard.len());
            server.shutdown().await.unwrap();
            let ending = closed.await;
            assert!(ending.is_clean() && ending.bytes_acknowledged == BYTES as u64 + 1, "{ending}");
            endpoint.wait_idle().await;
            _ = listener;
        }
    })
    .await;
}

#[tokio::test]
async fn who_breaks_off_is_heard_on_the_other_side() {
    watched(async {
        for seed in SEEDS {
            let Pair { mut client, mut server, .. } = pair(seed).await;
            client.write_all(&payload(BYTES, 4)).await.unwrap();
            read_exactly(&mut server, BYTES).await;
            server.abort(40);
            let ours = server.ending().unwrap();
            assert_eq!((ours.cause, ours.by, ours.code), (Cause::Aborted, Party::Local, 40));
            // What tells it may be lost: who goes on hears it again.
            let error = loop {
                if let Err(error) = client.write_all(&[7; 100]).await {
                    break error;
                }
                tokio::time::sleep(ms(5)).await;
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            let theirs = Ending::of(&error).unwrap();
            assert_eq!((theirs.cause, theirs.by, theirs.code), (Cause::Reset, Party::Peer, 40));
        }
    })
    .await;
}

#[tokio::test]
async fn who_closes_without_reading_says_so() {
    watched(async {
        for seed in SEEDS {
            let Pair { mut client, mut server, .. } = pair(seed).await;
            server.close(50, "full");
            // It writes on until it learns that nobody reads.
            let error = loop {
                if let Err(error) = client.write_all(&payload(5_000, 5)).await {
                    break error;
                }
                tokio::time::sleep(ms(1)).await;
            };
            let ending = Ending::of(&error).unwrap();
            assert_eq!((ending.cause, ending.by), (Cause::Reset, Party::Peer), "{ending}");
        }
    })
    .await;
}
