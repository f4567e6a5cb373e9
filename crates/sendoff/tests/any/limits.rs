//! Time limits of reads and writes, and a reader that is slow.

use crate::{
    Kind,
    common::{ms, payload, until},
    over_all, over_reliable,
    transports::{PIECE, Pair, carry},
};
use std::{io::ErrorKind, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

over_all!(a_read_that_takes_too_long_fails_and_the_next_gets_everything, a_limit_without_end_is_none);
over_reliable!(a_write_that_takes_too_long_fails_and_nothing_is_lost_or_doubled);

async fn a_read_that_takes_too_long_fails_and_the_next_gets_everything(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    server.read_timeout(ms(20));
    let mut buffer = [0; PIECE];
    for round in 0..3 {
        let error = server.read(&mut buffer).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "nothing could be read for 20ms");
        assert!(server.ending().is_none());
        server.read_timeout(None);
        carry(&mut client, &mut server, &payload(3 * PIECE, round)).await;
        server.read_timeout(ms(20));
    }
    carry(&mut server, &mut client, b"and the other way").await;
}

async fn a_limit_without_end_is_none(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    server.read_timeout(Duration::MAX);
    let reading = tokio::spawn(async move {
        let mut buffer = [0; 10];
        (server.read(&mut buffer).await.unwrap(), server)
    });
    tokio::task::yield_now().await;
    client.write_all(b"123").await.unwrap();
    assert_eq!(reading.await.unwrap().0, 3);
}

async fn a_write_that_takes_too_long_fails_and_nothing_is_lost_or_doubled(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.write_timeout(ms(20));
    let bytes = payload(64 << 20, 4);
    let mut taken = 0;
    let error = loop {
        match client.write(&bytes[taken..][..PIECE]).await {
            Ok(n) => taken += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "nothing could be written for 20ms");
    assert!(client.ending().is_none());
    client.write_timeout(None);
    let total = taken + 10 * PIECE;
    let reading = tokio::spawn(async move {
        let (mut got, mut buffer) = (Vec::<u8>::new(), vec![0; 100_000]);
        while got.len() < total {
            let n = server.read(&mut buffer).await.unwrap();
            assert!(n > 0);
            got.extend(&buffer[..n]);
        }
        (got, server)
    });
    while taken < total {
        let piece = PIECE.min(total - taken);
        taken += client.write(&bytes[taken..][..piece]).await.unwrap();
    }
    let (got, _server) = reading.await.unwrap();
    assert!(got[..] == bytes[..total], "other bytes came");
    until(|| client.stats().bytes_sent == 1 + total as u64).await;
}
