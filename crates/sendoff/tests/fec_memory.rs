//! What FEC keeps: nothing of strangers, so much of a peer, and nothing of one that is gone.

mod common;

use common::*;
use counting::held;
use sendoff::{Config, Fec, KcpListener, wire::Command};
use sendoff_proto::fec::{Encoder, FEC_OVERHEAD};
use std::time::Instant;
use tokio::io::AsyncReadExt;

/// An allocator that counts the bytes that each thread holds: only what asks the system can tell.
#[allow(unsafe_code, reason = "an allocator can't be written without")]
mod counting {
    use std::{
        alloc::{GlobalAlloc, Layout, System},
        cell::Cell,
    };

    thread_local! {
        static HELD: Cell<isize> = const { Cell::new(0) };
    }

    struct Counting;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// Bytes that this thread has allocated, less those that it has freed.
    pub fn held() -> isize {
        HELD.get()
    }

    fn count(bytes: isize) {
        // Also while a thread ends: the cell has no destructor, so it is always there.
        HELD.set(HELD.get() + bytes);
    }

    // SAFETY: every call goes to the system's allocator as it came, which keeps the contract; counting
    // neither allocates nor panics.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count(layout.size() as isize);
            // SAFETY: the caller keeps the contract of `alloc`, which is the same.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
            count(-(layout.size() as isize));
            // SAFETY: the caller keeps the contract of `dealloc`, and `at` came from `System`.
            unsafe { System.dealloc(at, layout) }
        }
    }
}

fn fec() -> Config {
    Config::new().fec(Fec::new(10, 3).unwrap())
}

/// A shard of a type, with whatever bytes.
fn shard(seqid: u32, kind: u16, coded: &[u8]) -> Vec<u8> {
    [&seqid.to_le_bytes()[..], &kind.to_le_bytes(), coded].concat()
}

/// A PUSH of that peer in a data shard.
fn data_shard(raw: &RawPeer, encoder: &mut Encoder, sn: u32, data: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0; FEC_OVERHEAD];
    raw.segment(Command::Push, sn, 0).encode(data, &mut datagram);
    encoder.encode_datagram(Instant::now(), &mut datagram, FEC_OVERHEAD, 0);
    datagram
}

/// Waits until so many more datagrams have been taken.
async fn taken(listener: &KcpListener, before: u64, count: u64) {
    until(|| listener.endpoint().stats().datagrams_received >= before + count).await;
    settle().await;
}

#[tokio::test]
async fn shards_of_strangers_open_nothing_and_are_not_kept() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", fec()).await.unwrap();
        let mut strangers = Vec::new();
        for _ in 0..200 {
            strangers.push(RawPeer::client(listener.local_addr(), 7).await);
        }
        let bytes = payload(1_300, 1);
        let send = async |round: u32| {
            let before = listener.endpoint().stats().datagrams_received;
            for raw in &strangers {
                raw.send_bytes(&shard(round, 0xf2, &bytes)).await;
                let beside = [&(4 + 2 + 6_u16).to_le_bytes()[..], &[7, 0, 0, 0], b"beside"].concat();
                raw.send_bytes(&shard(u32::MAX, 0xf3, &beside)).await;
                raw.send_bytes(&shard(round, 0xf1, &bytes[..9])).await;
                raw.send_bytes(&shard(round, 0xf1, &[])).await;
                taken(&listener, before, 0).await;
            }
            taken(&listener, before, 4 * strangers.len() as u64).await;
        };
        send(0).await;
        let before = held();
        for round in 1..5 {
            send(round).await;
        }
        assert!(held() - before < 20_000, "{} bytes", held() - before);
        let stats = listener.endpoint().stats();
        assert_eq!((stats.connections, stats.connections_accepted), (0, 0), "{stats:?}");
        assert_eq!((stats.fec.parity_received, stats.fec.out_of_band_received), (0, 0), "{stats:?}");
        assert!(poll_once(listener.accept()).await.is_none());
    })
    .await;
}

#[tokio::test]
async fn floods_of_shards_from_a_peer_are_bounded_and_freed_with_it() {
    watched(async {
        let listener = KcpListener::bind_with("127.0.0.1:0", fec().keep_alive(None)).await.unwrap();
        let raw = RawPeer::client(listener.local_addr(), 7).await;
        let mut encoder = Encoder::new(Fec::new(10, 3).unwrap());
        let empty = held();
        raw.send_bytes(&data_shard(&raw, &mut encoder, 0, &payload(1_000, 1))).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        read_exactly(&mut stream, 1_000).await;

        // Whole groups of parity, far and near, in order and not, of all sizes; more than 30 MB.
        let mut random = sendoff_netem::Rng::new(5);
        let before = held();
        let mut most = 0;
        for round in 0..250_u32 {
            let seen = listener.endpoint().stats().datagrams_received;
            for n in 0..100_u32 {
                let seqid = match round % 4 {
                    0 => 100 * round + n,
                    1 => random.u64() as u32,
                    2 => u32::MAX - n,
                    _ => 13 * n + 10 + round % 3,
                };
                let len = 30 + random.below(1_370) as usize;
                raw.send_bytes(&shard(seqid, if n % 5 == 0 { 0xf1 } else { 0xf2 }, &vec![n as u8; len]))
                    .await;
            }
            taken(&listener, seen, 100).await;
            most = most.max(held() - before);
        }
        // What the decoder may keep is 3 MiB; the rest is a receive buffer and this test's own.
        assert!(most < 4 << 20, "{most} bytes");
        let stats = listener.endpoint().stats();
        assert_eq!(stats.connections, 1, "{stats:?}");
        assert!(stats.fec.parity_received > 10_000, "{:?}", stats.fec);
        assert_eq!(stats.fec.recovered, 0, "{:?}", stats.fec);

        stream.abort(0);
        drop(stream);
        until(|| listener.endpoint().stats().connections == 0).await;
        settle().await;
        let kept = held() - empty;
        assert!(kept < 600_000, "{kept} bytes are kept, of {most}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_was_used_and_is_idle_keeps_little() {
    watched(async {
        const CONNECTIONS: usize = 100;
        let config = fec().keep_alive(None);
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let mut streams = Vec::new();
        let mut before = 0;
        for n in 0..=CONNECTIONS {
            let raw = RawPeer::client(listener.local_addr(), 7).await;
            let mut encoder = Encoder::new(Fec::new(10, 3).unwrap());
            raw.send_bytes(&data_shard(&raw, &mut encoder, 0, &payload(1_300, 1))).await;
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut out = vec![0; 1_300];
            stream.read_exact(&mut out).await.unwrap();
            streams.push((stream, raw));
            if n == 0 {
                before = held();
            }
        }
        settle().await;
        let each = (held() - before) / CONNECTIONS as isize;
        println!("{each} bytes for each connection and its test peer");
        assert!(each < 30_000, "{each} bytes");
    })
    .await;
}
