//! What a connection, and what a stranger, costs: no task, and few bytes.

mod common;

use common::*;
use counting::held;
use sendoff::{Config, KcpListener};
use std::{net::UdpSocket, time::Duration};
use tokio::runtime::Handle;

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

#[tokio::test]
async fn an_idle_connection_of_a_server_costs_no_task_and_less_than_4_kb() {
    const CONNECTIONS: u32 = 1_000;
    watched(async {
        let _clock = Frozen::new();
        let config = Config::new().keep_alive(None);
        let listener = KcpListener::bind_with("127.0.0.1:0", config).await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        let mut streams = Vec::with_capacity(CONNECTIONS as usize);
        let (mut before, mut tasks) = (0, 0);
        for conv in 1..=CONNECTIONS {
            raw.conv = conv;
            raw.push(0, 0, &payload(1_376, 1)).await;
            let (mut stream, _) = listener.accept().await.unwrap();
            read_exactly(&mut stream, 1_376).await;
            streams.push(stream);
            if conv == 1 {
                // What the thread and the endpoint need once is there now.
                settle().await;
                (before, tasks) = (held(), Handle::current().metrics().num_alive_tasks());
            }
        }
        let busy = held() - before;
        for _ in 0..3 {
            advance(Duration::from_secs(1)).await;
        }
        let idle = held() - before;
        let each = idle / CONNECTIONS as isize;
        assert!(each < 4_096, "{each} bytes each");
        assert!(idle < busy, "{busy} bytes while it was used, {idle} since: nothing was given back");
        assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
        assert!(streams.iter().all(|stream| stream.ending().is_none()));
    })
    .await;
}

#[tokio::test]
async fn connections_that_have_ended_leave_little_more_than_their_names() {
    const CONNECTIONS: u32 = 8_000;
    watched(async {
        // So that no deadline of theirs comes, and no tombstone is forgotten.
        let _clock = Frozen::new();
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut raw = RawPeer::client(listener.local_addr(), 0).await;
        let mut before = 0;
        for conv in 1..=CONNECTIONS {
            raw.conv = conv;
            raw.push(0, 0, b"hello").await;
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.abort(16);
            drop(stream);
            until(|| listener.endpoint().stats().connections == 0).await;
            if conv == 1 {
                settle().await;
                before = held();
            }
        }
        settle().await;
        let each = (held() - before) / CONNECTIONS as isize;
        println!("{each} bytes each");
        assert!(each < 1_000, "{each} bytes each");
    })
    .await;
}

#[tokio::test]
async fn datagrams_that_open_nothing_cost_a_server_nothing() {
    watched(async {
        let listener = KcpListener::bind("127.0.0.1:0").await.unwrap();
        let received = || listener.endpoint().stats().datagrams_received;
        let (mut before, mut sent) = (0, 0);
        for round in 0..=500 {
            // A port of its own each time, and each time: nonsense, the middle of a conversation, a question.
            let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut raw = RawPeer::client(listener.local_addr(), 1 + round).await;
            stranger.send_to(&payload(1_400, round.into()), listener.local_addr()).unwrap();
            raw.push(9, 9, &[7; 1_376]).await;
            raw.ping().await;
            raw.recv_one().await;
            sent += 3;
            until(|| received() == sent).await;
            if round == 0 {
                settle().await;
                before = held();
            }
        }
        settle().await;
        let cost = held() - before;
        assert!(cost < 16_384, "{cost} bytes for 1,500 datagrams");
        assert_eq!(listener.endpoint().stats().connections, 0);
    })
    .await;
}
