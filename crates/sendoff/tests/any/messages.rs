//! Boundaries, where a transport keeps them, and their absence elsewhere.

use crate::{Kind, common::payload, over_messages, over_streams, transports::Pair};
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

over_messages!(
    messages_arrive_one_by_one,
    a_buffer_that_is_too_small_is_an_error_and_the_message_stays,
    slices_are_one_message,
    a_message_that_is_too_long_is_refused,
);
over_streams!(a_stream_of_bytes_has_no_messages);

async fn messages_arrive_one_by_one(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    for _ in 0..20 {
        client.send("Hello, Hello. How are you?").await.unwrap();
    }
    let mut buffer = [0; 100];
    for _ in 0..10 {
        assert_eq!(&server.recv().await.unwrap().unwrap()[..], b"Hello, Hello. How are you?");
        assert_eq!(server.read(&mut buffer).await.unwrap(), 26);
    }
}

async fn a_buffer_that_is_too_small_is_an_error_and_the_message_stays(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    client.send(payload(100, 1)).await.unwrap();
    let error = server.read(&mut [0; 99]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = "a message of 100 bytes does not fit in a buffer of 99: it stays to be read";
    assert_eq!(error.to_string(), text);
    assert_eq!(server.read(&mut [0; 0]).await.unwrap(), 0);
    assert_eq!(server.recv().await.unwrap().unwrap(), payload(100, 1));
}

async fn slices_are_one_message(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    let slices = [b"one".as_slice(), b"", b" two"].map(std::io::IoSlice::new);
    assert_eq!(client.write_vectored(&slices).await.unwrap(), 7);
    assert_eq!(&server.recv().await.unwrap().unwrap()[..], b"one two");
}

async fn a_message_that_is_too_long_is_refused(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    let longest = client.max_message().unwrap();
    let error = client.send(vec![1; longest + 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    client.send(payload(longest, 2)).await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap(), payload(longest, 2));
}

async fn a_stream_of_bytes_has_no_messages(kind: Kind) {
    let Pair { mut client, mut server, .. } = kind.pair().await;
    assert_eq!(client.max_message(), None);
    assert!(client.send("message").await.is_err());
    assert!(server.recv().await.is_err());
}
