//! Messages over KCP and TCP: with a codec, and with none where the transport keeps boundaries.

use crate::common::{Pair, Way, gated, payload, poll_once, watched};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt as _};
use sendoff::{
    AnyListener, AnyStream, Config, FrameError, Framing, KcpListener, KcpStream, MessageReader,
    MessageWriter, Messages, Mode,
};
use std::io::ErrorKind;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
};

/// Both ends of a connection in message mode, after one message.
async fn message_pair() -> (KcpStream, KcpStream) {
    let config = Config::new().mode(Mode::Message);
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
    let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
    client.send("!").await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    assert_eq!(server.recv().await.unwrap().unwrap(), "!");
    (client, server)
}

const HELLO: &str = "Hello, Hello. How are you?";

#[tokio::test]
async fn twenty_messages_over_kcp_in_message_mode_need_no_codec() {
    watched(async {
        let (client, server) = message_pair().await;
        let mut client = Messages::new(client, Framing::none());
        let mut server = Messages::new(server, Framing::none());
        for _ in 0..20 {
            client.send(HELLO).await.unwrap();
        }
        client.finish().await.unwrap();
        for _ in 0..20 {
            assert_eq!(server.try_next().await.unwrap().unwrap(), HELLO);
        }
        assert_eq!(server.try_next().await.unwrap(), None);
        assert_eq!(server.try_next().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn messages_of_kcp_are_messages_for_a_sink_a_stream_and_halves_too() {
    watched(async {
        let (client, server) = message_pair().await;
        let (reader, writer) = client.into_split();
        let mut writer = MessageWriter::new(writer, Framing::none());
        let mut reader = MessageReader::new(reader, Framing::none());
        let (mut far_reader, mut far_writer) = Messages::new(server, Framing::none()).split();
        for n in 0..5 {
            SinkExt::feed(&mut writer, Bytes::from(payload(1 + 900 * n, 7))).await.unwrap();
            far_writer.feed(payload(1 + 700 * n, 8)).await.unwrap();
        }
        SinkExt::flush(&mut writer).await.unwrap();
        for n in 0..5 {
            assert!(far_reader.next().await.unwrap().unwrap() == payload(1 + 900 * n, 7));
            assert!(reader.next().await.unwrap().unwrap() == payload(1 + 700 * n, 8));
        }
        drop(far_writer);
        assert!(reader.next().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn what_kcp_cannot_carry_is_refused_and_the_next_is_sent() {
    watched(async {
        let (client, server) = message_pair().await;
        let mut client = Messages::new(client, Framing::none());
        let mut server = Messages::new(server, Framing::none());
        assert_eq!(client.send("").await.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.send(vec![0; 1 << 20]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        client.send("next").await.unwrap();
        assert_eq!(server.try_next().await.unwrap().unwrap(), "next");
    })
    .await;
}

#[tokio::test]
async fn a_message_of_kcp_over_the_limit_is_an_error_and_the_next_is_received() {
    watched(async {
        let (client, server) = message_pair().await;
        let mut server = Messages::new(server, Framing::none().limit(5));
        client.send("hello").await.unwrap();
        client.send("sixsix").await.unwrap();
        client.send("next").await.unwrap();
        assert_eq!(server.try_next().await.unwrap().unwrap(), "hello");
        let error = server.try_next().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(FrameError::of(&error), Some(&FrameError::TooLarge { len: 6, limit: 5 }));
        assert_eq!(server.try_next().await.unwrap().unwrap(), "next");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_send_over_kcp_in_message_mode_has_sent_nothing() {
    watched(async {
        let config = Config::new().mode(Mode::Message).send_window(16).unwrap();
        let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await.unwrap();
        let client = KcpStream::connect_with(listener.local_addr(), config).await.unwrap();
        let mut client = Messages::new(client, Framing::none());
        client.send("0").await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut server = Messages::new(server, Framing::none());
        let mut sent = vec![Bytes::from("0")];
        // Nobody receives: at some point a message has to wait.
        while poll_once(client.send(payload(5_000, sent.len() as u64))).await.is_some() {
            sent.push(payload(5_000, sent.len() as u64).into());
        }
        let receiving = async {
            let mut received = Vec::new();
            while let Some(message) = server.try_next().await.unwrap() {
                received.push(message);
            }
            received
        };
        let (received, ()) = tokio::join!(receiving, async {
            client.send("last").await.unwrap();
            client.finish().await.unwrap();
        });
        sent.push("last".into());
        assert!(received == sent, "{} of {}", received.len(), sent.len());
    })
    .await;
}

#[tokio::test]
async fn frames_over_kcp_in_message_mode_may_span_its_messages() {
    watched(async {
        let (mut client, server) = message_pair().await;
        let mut server = Messages::new(server, Framing::le32());
        // As a peer that cuts its writes anywhere.
        let stream =
            [&5_u32.to_le_bytes()[..], b"hello", &0_u32.to_le_bytes(), &2_u32.to_le_bytes(), b"hi"].concat();
        for piece in stream.chunks(3) {
            client.write_all(piece).await.unwrap();
        }
        for expected in ["hello", "", "hi"] {
            assert_eq!(server.try_next().await.unwrap().unwrap(), expected);
        }
        let mut client = Messages::new(client, Framing::le32());
        for message in ["", "one", ""] {
            client.send(message).await.unwrap();
            assert_eq!(server.try_next().await.unwrap().unwrap(), message);
        }
        SinkExt::send(&mut client, Bytes::from(payload(100_000, 1))).await.unwrap();
        assert!(server.try_next().await.unwrap().unwrap() == payload(100_000, 1));
        // More than a message of KCP can be.
        assert_eq!(client.send(vec![0; 1 << 20]).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        client.send("next").await.unwrap();
        assert_eq!(server.try_next().await.unwrap().unwrap(), "next");
    })
    .await;
}

#[tokio::test]
async fn frames_over_kcp_in_stream_mode_arrive_whole() {
    watched(async {
        let Pair { client, server, .. } = Pair::new().await;
        let mut client = Messages::new(client, Framing::be32());
        let mut server = Messages::new(server, Framing::be32());
        let sizes = [0, 1, 26, 1_376, 20_000, 3_000_000, 5];
        let sending = async {
            for (n, size) in sizes.into_iter().enumerate() {
                client.send(payload(size, n as u64)).await.unwrap();
            }
            client.finish().await.unwrap();
        };
        let receiving = async {
            for (n, size) in sizes.into_iter().enumerate() {
                assert!(server.try_next().await.unwrap().unwrap() == payload(size, n as u64), "{size}");
            }
            assert_eq!(server.try_next().await.unwrap(), None);
        };
        tokio::join!(sending, receiving);
    })
    .await;
}

#[tokio::test]
async fn twenty_messages_over_tcp_stick_together_without_framing_and_are_twenty_with_it() {
    watched(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for (framing, expected) in
            [(Framing::none(), None), (Framing::le32(), Some(20)), (Framing::lines(), Some(20))]
        {
            let mut client = Messages::new(TcpStream::connect(addr).await.unwrap(), framing);
            for _ in 0..20 {
                client.send(HELLO).await.unwrap();
            }
            client.finish().await.unwrap();
            let mut server = Messages::new(listener.accept().await.unwrap().0, framing);
            let mut received = Vec::new();
            while let Some(message) = server.try_next().await.unwrap() {
                received.push(message);
            }
            match expected {
                Some(count) => assert_eq!(received, vec![HELLO; count]),
                // All had been sent before the first read.
                None => {
                    assert_eq!(received.concat(), HELLO.repeat(20).as_bytes());
                    assert!(received.len() < 20, "nothing stuck together");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn finish_over_kcp_does_not_wait_for_the_peer() {
    watched(async {
        let (listener_pair, gate) = gated(Config::new()).await;
        let Pair { client, server, listener: _listener } = listener_pair;
        gate.shut(Way::Back);
        let mut client = Messages::new(client, Framing::lines());
        client.send("unheard").await.unwrap();
        assert!(poll_once(client.finish()).await.unwrap().is_ok());
        assert!(poll_once(client.shutdown()).await.is_none(), "nothing is acknowledged");
        drop(server);
    })
    .await;
}

/// Both ends of a connection over the transport of an address.
async fn any_pair(scheme: &str, settings: &str) -> (AnyStream, AnyStream) {
    let listener = AnyListener::bind(format!("{scheme}://127.0.0.1:0{settings}")).await.unwrap();
    let client = AnyStream::connect(format!("{scheme}://{}{settings}", listener.local())).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn messages_over_any_stream_use_the_boundaries_of_the_transport_or_a_codec() {
    watched(async {
        let cases = [
            ("tcp", "", Framing::le32()),
            ("kcp", "", Framing::le32()),
            ("kcp", "?message", Framing::none()),
            ("kcp", "?message", Framing::varint()),
        ];
        for (scheme, settings, framing) in cases {
            let (client, server) = any_pair(scheme, settings).await;
            let (mut client, mut server) = (Messages::new(client, framing), Messages::new(server, framing));
            for n in 0..20 {
                client.feed(payload(1 + n, 3)).await.unwrap();
            }
            client.send(payload(100_000, 3)).await.unwrap();
            client.finish().await.unwrap();
            for len in (0..20).map(|n| 1 + n).chain([100_000]) {
                let message = server.try_next().await.unwrap().unwrap();
                assert!(message == payload(len, 3), "{scheme}{settings} {framing}");
            }
            assert_eq!(server.try_next().await.unwrap(), None);
            server.send("answer").await.unwrap();
            assert_eq!(client.try_next().await.unwrap().unwrap(), "answer");
        }
    })
    .await;
}

#[tokio::test]
async fn the_halves_of_any_stream_keep_the_boundaries_of_the_transport() {
    watched(async {
        let (client, server) = any_pair("kcp", "?message").await;
        let (reader, writer) = client.into_split();
        let mut writer = MessageWriter::new(writer, Framing::none());
        let mut reader = MessageReader::new(reader, Framing::none());
        let (mut far_reader, mut far_writer) = Messages::new(server, Framing::none()).split();
        for _ in 0..20 {
            writer.feed(HELLO).await.unwrap();
            far_writer.feed(HELLO).await.unwrap();
        }
        writer.finish().await.unwrap();
        drop(far_writer);
        for _ in 0..20 {
            assert_eq!(far_reader.try_next().await.unwrap().unwrap(), HELLO);
            assert_eq!(reader.try_next().await.unwrap().unwrap(), HELLO);
        }
        assert_eq!(far_reader.try_next().await.unwrap(), None);
        assert_eq!(reader.try_next().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_read_deadline_of_any_stream_loses_nothing_of_a_message() {
    watched(async {
        let (mut client, mut server) = any_pair("tcp", "").await;
        server.read_timeout(std::time::Duration::from_millis(1));
        let mut server = Messages::new(server, Framing::le32());
        for byte in *b"\x02\0\0\0hi" {
            assert_eq!(server.try_next().await.unwrap_err().kind(), ErrorKind::TimedOut);
            client.write_all(&[byte]).await.unwrap();
        }
        server.stream_mut().read_timeout(None);
        assert_eq!(server.try_next().await.unwrap().unwrap(), "hi");
    })
    .await;
}
