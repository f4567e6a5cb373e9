//! Many at a time.

use crate::{
    Kind,
    common::{ms, payload},
    over_all,
};
use sendoff::AnyStream;
use std::{io::ErrorKind, sync::Arc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

over_all!(a_thousand_connections_at_a_time_get_each_its_own_back);

const CONNECTIONS: u64 = 1_000;

async fn a_thousand_connections_at_a_time_get_each_its_own_back(kind: Kind) {
    raise_limit_of_files();
    let listener = kind.bind().await;
    let address = kind.address_of(&listener);
    let lossy = address.starts_with("udp:");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1_000];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(&buffer[..n]).await.unwrap();
                }
            });
        }
    });
    let transports = Arc::new(kind.transports);
    // Nobody leaves before all are there.
    let all_there = Arc::new(tokio::sync::Barrier::new(CONNECTIONS as usize));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let (transports, address, all_there) = (transports.clone(), address.clone(), all_there.clone());
        clients.spawn(async move {
            let mut stream = transports.connect(address).await.unwrap();
            for round in 0..2 {
                let bytes = payload(500, number * 2 + round);
                match lossy {
                    true => ask_until_answered(&mut stream, &bytes).await,
                    false => exchange(&mut stream, &bytes).await,
                }
                all_there.wait().await;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}

async fn exchange(stream: &mut AnyStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back).await.unwrap();
    assert!(back == bytes, "other bytes came back");
}

/// The system drops what doesn't fit in the buffer of the listening socket.
async fn ask_until_answered(stream: &mut AnyStream, bytes: &[u8]) {
    stream.read_timeout(ms(100));
    stream.send(bytes).await.unwrap();
    loop {
        match stream.recv().await {
            Ok(Some(answer)) if answer == bytes => return,
            // To what was asked before.
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
                stream.send(bytes).await.unwrap();
            }
        }
    }
}

/// Two files for a connection: many systems allow 1,024 unless asked.
#[cfg(unix)]
#[allow(unsafe_code, reason = "no crate in use asks for it")]
fn raise_limit_of_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value of the right kind that outlives the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max.min(65_536);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

#[cfg(not(unix))]
fn raise_limit_of_files() {}
