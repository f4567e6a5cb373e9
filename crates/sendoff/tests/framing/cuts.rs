//! However a stream is cut on its way, the same messages and the same end come out of it.

use crate::{
    common::{poll_and_drop, watched},
    page::{self, Incoming},
    script::{Flaky, Script},
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use sendoff::{FrameError, Framing, Messages};
use std::io;
use tokio_util::codec::Framed;

/// Every way to cut a stream in two, the whole, and byte by byte.
fn cuts(stream: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let in_two = (0..=stream.len()).map(|at| vec![stream[..at].to_vec(), stream[at..].to_vec()]);
    in_two.chain([stream.iter().map(|&byte| vec![byte]).collect()]).collect()
}

type Outcome = (Vec<Bytes>, Option<io::Error>);

#[track_caller]
fn expect(row: &Incoming, pieces: &[Vec<u8>], (messages, error): Outcome) {
    let place = format!("{} {:?} as {pieces:?}", row.framing, row.stream);
    if row.framing == "none" {
        assert_eq!(messages.concat(), row.messages.concat(), "{place}");
        assert_eq!(messages, pieces.iter().filter(|piece| !piece.is_empty()).cloned().collect::<Vec<_>>());
    } else {
        assert_eq!(messages, row.messages, "{place}");
    }
    assert_eq!(error.as_ref().map(|error| (error.kind(), error.to_string())), row.end, "{place}");
    assert_eq!(error.as_ref().and_then(FrameError::of).is_some(), row.end.is_some(), "{place}");
}

/// Each call is dropped as soon as it has to wait, and made again.
async fn by_messages(framing: Framing, pieces: &[Vec<u8>]) -> Outcome {
    let mut messages = Messages::new(Script::bringing(pieces.to_vec()), framing);
    let mut received = Vec::new();
    let error = loop {
        match poll_and_drop(async || messages.try_next().await).await {
            Ok(Some(message)) => received.push(message),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!(messages.try_next().await.unwrap(), None, "nothing comes after the end");
    (received, error)
}

async fn by_framed(framing: Framing, pieces: &[Vec<u8>]) -> Outcome {
    let mut framed = Framed::new(Script::bringing(pieces.to_vec()), framing.codec());
    let mut received = Vec::new();
    let error = loop {
        match framed.next().await {
            Some(Ok(message)) => received.push(message),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    (received, error)
}

#[tokio::test]
async fn every_row_of_the_page_comes_out_the_same_cut_at_every_byte() {
    watched(async {
        let rows = page::incoming();
        assert_eq!(rows.len(), 65);
        for row in &rows {
            let framing: Framing = row.framing.parse().unwrap();
            for pieces in cuts(&row.stream) {
                expect(row, &pieces, by_messages(framing, &pieces).await);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn the_codec_in_framed_comes_to_the_same() {
    watched(async {
        for row in page::incoming() {
            let framing: Framing = row.framing.parse().unwrap();
            for pieces in cuts(&row.stream) {
                expect(&row, &pieces, by_framed(framing, &pieces).await);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_framing_but_none_has_rows_for_good_and_bad_input() {
    let rows = page::incoming();
    for name in ["u8", "le16", "be16", "le32", "be32", "le64", "be64", "varint", "lines"] {
        let of_it = || rows.iter().filter(|row| row.framing.split(':').next() == Some(name));
        assert!(of_it().any(|row| row.end.is_none()), "{name}");
        assert!(
            of_it().any(|row| row.end.as_ref().is_some_and(|(kind, _)| *kind == io::ErrorKind::InvalidData))
        );
    }
}

#[tokio::test]
async fn an_error_of_the_stream_that_leaves_it_usable_loses_nothing() {
    let stream = Flaky::new(b"\x05\0\0\0hello\x02\0\0\0hi");
    let mut messages = Messages::new(stream, Framing::le32());
    let (mut received, mut elapsed) = (Vec::new(), 0);
    loop {
        match messages.try_next().await {
            Ok(Some(message)) => received.push(message),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                elapsed += 1;
            }
        }
    }
    assert_eq!(received, ["hello", "hi"]);
    assert_eq!(elapsed, 15, "one before each byte");
}
