//! Bytes there and back.

use crate::{
    Kind,
    common::{payload, poll_and_drop, poll_once},
    over_all, over_reliable, over_streams, over_telling,
    transports::{PIECE, Pair, carry},
};
use sendoff::TransportStats;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

over_all!(
    what_is_written_arrives_and_comes_back,
    both_directions_go_on_in_halves_that_are_reunited,
    a_read_that_was_cancelled_takes_nothing,
    after_finish_nothing_is_written_and_reading_goes_on,
    both_ends_know_each_other_and_count_the_same,
);
over_streams!(a_large_transfer_arrives_whole_in_both_directions_at_once);
over_telling!(a_half_close_is_the_end_there_and_not_here);
over_reliable!(a_write_of_many_slices_arrives_in_order);

async fn what_is_written_arrives_and_comes_back(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    let bytes = payload(5 * PIECE + 7, 1);
    carry(&mut client, &mut server, &bytes).await;
    carry(&mut server, &mut client, &bytes).await;
}

async fn a_half_close_is_the_end_there_and_not_here(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.write_all(b"question").await.unwrap();
    client.finish().unwrap();
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    let mut question = Vec::<u8>::new();
    let mut buffer = [0; 100];
    loop {
        match server.read(&mut buffer).await.unwrap() {
            0 => break,
            n => question.extend(&buffer[..n]),
        }
    }
    assert_eq!(question, b"question");
    assert!(server.ending().is_none() && client.ending().is_none());
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    let n = client.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..n], b"answer");
    assert_eq!(client.read(&mut buffer).await.unwrap(), 0);
    let (here, there) = (client.closed().await, server.closed().await);
    assert!(here.is_clean() && there.is_clean(), "{here}; {there}");
    assert_eq!((here.bytes_sent, here.bytes_received), (9, 6));
}

async fn after_finish_nothing_is_written_and_reading_goes_on(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.finish().unwrap();
    client.finish().unwrap();
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    carry(&mut server, &mut client, &payload(PIECE, 2)).await;
}

async fn a_large_transfer_arrives_whole_in_both_directions_at_once(kind: Kind) {
    const BYTES: usize = 4 << 20;
    let Pair { client, server, listener: _listener } = kind.pair().await;
    let mut tasks = Vec::new();
    for (stream, sends, gets) in [(client, 1, 2), (server, 2, 1)] {
        let (mut reader, mut writer) = stream.into_split();
        tasks.push(tokio::spawn(async move {
            writer.write_all(&payload(BYTES, sends)).await.unwrap();
            writer
        }));
        let reading = tokio::spawn(async move {
            let (mut hash, mut left, mut buffer) = (Fnv::new(), BYTES, vec![0; 100_000]);
            while left > 0 {
                let n = reader.read(&mut buffer).await.unwrap();
                assert!(n > 0 && n <= left);
                hash.add(&buffer[..n]);
                left -= n;
            }
            let mut expected = Fnv::new();
            expected.add(&payload(BYTES, gets));
            assert_eq!(hash, expected);
            reader
        });
        let (writer, reader) = (tasks.pop().unwrap(), reading);
        tasks.push(tokio::spawn(async move {
            let writer = writer.await.unwrap();
            reader.await.unwrap();
            writer
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// The hash of Fowler, Noll and Vo, of 64 bits.
#[derive(Debug, PartialEq)]
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

async fn a_read_that_was_cancelled_takes_nothing(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    let mut buffer = vec![0; PIECE];
    assert!(poll_once(server.read(&mut buffer)).await.is_none());
    let bytes = payload(20 * PIECE, 3);
    let mut got = Vec::<u8>::new();
    for piece in bytes.chunks(PIECE) {
        client.write_all(piece).await.unwrap();
        let whole = got.len() + piece.len();
        while got.len() < whole {
            let n = poll_and_drop(async || server.read(&mut buffer).await).await.unwrap();
            got.extend(&buffer[..n]);
        }
    }
    assert!(got == bytes, "other bytes came");
}

async fn both_directions_go_on_in_halves_that_are_reunited(kind: Kind) {
    let Pair { client, mut server, listener } = kind.pair().await;
    let (other, _other_server) = kind.another(&listener).await;
    let (reader, writer) = client.into_split();
    let (other_reader, other_writer) = other.into_split();
    let refused = reader.reunite(other_writer).unwrap_err();
    assert_eq!(refused.to_string(), "the halves are of different streams");
    let mut client = refused.0.reunite(writer).unwrap();
    drop((other_reader, refused.1));
    carry(&mut client, &mut server, b"there").await;
    carry(&mut server, &mut client, b"and back").await;
}

async fn a_write_of_many_slices_arrives_in_order(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    let slices = [b"one".as_slice(), b"", b" two", b" three"].map(std::io::IoSlice::new);
    let n = client.write_vectored(&slices).await.unwrap();
    assert!(n >= 3);
    let mut got = vec![0; 100];
    let mut filled = 0;
    while filled < n {
        filled += server.read(&mut got[filled..]).await.unwrap();
    }
    assert_eq!(&got[..n], &b"one two three"[..n]);
}

async fn both_ends_know_each_other_and_count_the_same(kind: Kind) {
    let Pair { mut client, mut server, listener } = kind.pair().await;
    carry(&mut client, &mut server, b"1234").await;
    carry(&mut server, &mut client, b"12").await;
    assert_eq!(client.peer(), listener.local());
    assert_eq!(server.local(), listener.local());
    // A client that isn't bound to one address learns its own from the system, or from the answers.
    assert_eq!(client.local(), server.peer());
    assert_eq!(client.peer().transport(), listener.local().transport());
    let (here, there) = (client.stats(), server.stats());
    assert_eq!((here.bytes_sent, here.bytes_received), (5, 2));
    assert_eq!((there.bytes_sent, there.bytes_received), (2, 5));
    match here.transport {
        TransportStats::Tcp(tcp) if cfg!(target_os = "linux") => {
            assert!(tcp.rtt.is_some() && tcp.congestion_window > 0 && tcp.segment_size > 0, "{tcp:?}");
            assert_eq!(here.rtt, tcp.rtt);
        }
        TransportStats::Kcp(kcp) => assert_eq!(kcp.bytes_sent, 5),
        TransportStats::Udp(udp) => {
            assert_eq!((udp.datagrams_sent, udp.datagrams_received, udp.flows), (2, 1, 1));
        }
        _ => {}
    }
}
