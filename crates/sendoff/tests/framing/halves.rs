//! One task receives while another sends.

use crate::common::{Pair, watched};
use sendoff::{Framing, MessageReader, MessageWriter, Messages};
use tokio::{
    io::duplex,
    net::{TcpListener, TcpStream},
};

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

/// Sends all messages back, in two tasks.
async fn echo_in_two_tasks<S>(messages: Messages<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut reader, mut writer) = messages.split();
    let (queue, mut queued) = tokio::sync::mpsc::channel(4);
    let reading = tokio::spawn(async move {
        while let Some(message) = reader.try_next().await.unwrap() {
            queue.send(message).await.unwrap();
        }
    });
    while let Some(message) = queued.recv().await {
        writer.send(message).await.unwrap();
    }
    writer.finish().await.unwrap();
    reading.await.unwrap();
}

async fn exchange<S>(mut messages: Messages<S>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let sizes = [0, 1, 1_000, 100_000, 3];
    for (n, size) in sizes.into_iter().enumerate() {
        messages.send(vec![n as u8; size]).await.unwrap();
    }
    messages.finish().await.unwrap();
    for (n, size) in sizes.into_iter().enumerate() {
        assert!(messages.try_next().await.unwrap().unwrap() == vec![n as u8; size]);
    }
    assert_eq!(messages.try_next().await.unwrap(), None);
}

#[tokio::test]
async fn the_halves_of_any_stream_work_in_two_tasks() {
    watched(async {
        let framing = Framing::le32();
        let (near, far) = duplex(1_000);
        tokio::join!(exchange(Messages::new(near, framing)), echo_in_two_tasks(Messages::new(far, framing)));
        let (near, far) = tcp_pair().await;
        tokio::join!(exchange(Messages::new(near, framing)), echo_in_two_tasks(Messages::new(far, framing)));
        let Pair { client, server, .. } = Pair::new().await;
        let (client, server) = (Messages::new(client, framing), Messages::new(server, framing));
        tokio::join!(exchange(client), echo_in_two_tasks(server));
    })
    .await;
}

#[tokio::test]
async fn dropping_the_writing_half_of_a_stream_of_this_crate_finishes_it_and_reading_goes_on() {
    watched(async {
        let Pair { client, server, .. } = Pair::new().await;
        let (mut reader, mut writer) = Messages::new(client, Framing::lines()).split();
        let mut server = Messages::new(server, Framing::lines());
        writer.send("last words").await.unwrap();
        drop(writer);
        assert_eq!(server.try_next().await.unwrap().unwrap(), "last words");
        assert_eq!(server.try_next().await.unwrap(), None);
        server.send("answer").await.unwrap();
        assert_eq!(reader.try_next().await.unwrap().unwrap(), "answer");
    })
    .await;
}

#[tokio::test]
async fn messages_over_halves_that_a_stream_splits_into_by_itself() {
    watched(async {
        let (client, server) = tcp_pair().await;
        let (reader, writer) = client.into_split();
        let mut reader = MessageReader::new(reader, Framing::varint());
        let mut writer = MessageWriter::new(writer, Framing::varint());
        let echoing = tokio::spawn(echo_in_two_tasks(Messages::new(server, Framing::varint())));
        writer.feed("one").await.unwrap();
        writer.send("two").await.unwrap();
        assert_eq!(reader.try_next().await.unwrap().unwrap(), "one");
        assert_eq!(reader.try_next().await.unwrap().unwrap(), "two");
        drop(writer);
        assert_eq!(reader.try_next().await.unwrap(), None);
        echoing.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_was_read_ahead_and_what_was_fed_goes_with_the_halves() {
    watched(async {
        let (near, far) = duplex(1_000);
        let (mut near, mut far) = (Messages::new(near, Framing::u8()), Messages::new(far, Framing::u8()));
        near.feed("one").await.unwrap();
        near.send("two").await.unwrap();
        assert_eq!(far.try_next().await.unwrap().unwrap(), "one");
        far.feed("three").await.unwrap();
        let (mut reader, mut writer) = far.split();
        assert_eq!(reader.try_next().await.unwrap().unwrap(), "two");
        writer.flush().await.unwrap();
        assert_eq!(near.try_next().await.unwrap().unwrap(), "three");
    })
    .await;
}
