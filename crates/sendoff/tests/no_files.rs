//! A listener of TCP whose process has no file descriptors left. It is alone in its process, for the limit is that of
//! the whole process.
#![cfg(unix)]

mod common;

use common::{poll_once, watched};
use sendoff::AnyListener;
use std::{io, net::TcpStream};

/// Sets the limit of open files; returns what it was.
#[allow(unsafe_code, reason = "no crate in use asks for it")]
fn limit_files(to: Option<libc::rlim_t>) -> libc::rlim_t {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a value of the right kind that outlives the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        let was = limit.rlim_cur;
        if let Some(to) = to {
            limit.rlim_cur = to;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
        was
    }
}

#[tokio::test]
async fn without_file_descriptors_a_listener_rests_and_goes_on() {
    watched(async {
        let listener = AnyListener::bind("tcp://127.0.0.1:0").await.unwrap();
        let addr = listener.local().socket_addr().unwrap();
        let clients = [(); 3].map(|()| TcpStream::connect(addr).unwrap());
        // Takes whatever is free below the limit.
        let was = limit_files(Some(64));
        let mut takers = Vec::new();
        let exhausted = loop {
            match std::fs::File::open("/dev/null") {
                Ok(file) => takers.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(exhausted.raw_os_error(), Some(libc::EMFILE));
        let mut accepting = Box::pin(listener.accept());
        for _ in 0..10 {
            assert!(poll_once(&mut accepting).await.is_none(), "accepted without a descriptor");
            tokio::task::yield_now().await;
        }
        drop(takers);
        limit_files(Some(was));
        accepting.await.unwrap();
        for _ in 1..clients.len() {
            listener.accept().await.unwrap();
        }
        io::Result::Ok(())
    })
    .await
    .unwrap();
}
