//! A transport of one's own: Unix sockets, registered beside the others.
#![cfg(unix)]

use crate::{
    common::watched,
    transports::{Pair, carry},
};
use sendoff::{
    Acceptor, Address, AnyListener, AnyStream, BoxFuture, Cause, Ending, Link, Options, Party, Peer,
    ReadSide, StreamStats, Transport, TransportStats, Transports, WriteSide,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{UnixListener, UnixStream, unix},
    sync::watch,
};

struct Unix;

impl Transport for Unix {
    fn scheme(&self) -> &'static str {
        "unix"
    }

    fn connect<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyStream>> {
        Box::pin(async move { Ok(stream(UnixStream::connect(address.place().to_string()).await?)) })
    }

    fn bind<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, io::Result<AnyListener>> {
        Box::pin(async move {
            let name = address.place().to_string();
            let listener = UnixListener::bind(&name)?;
            Ok(AnyListener::new(UnixAcceptor {
                listener,
                name: name.into(),
                closed: watch::Sender::new(false),
            }))
        })
    }
}

struct UnixAcceptor {
    listener: UnixListener,
    name: Arc<str>,
    closed: watch::Sender<bool>,
}

impl Acceptor for UnixAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyStream, Peer)>> {
        Box::pin(async {
            let mut closed = self.closed.subscribe();
            tokio::select! {
                accepted = self.listener.accept() => {
                    let stream = stream(accepted?.0);
                    let peer = stream.peer();
                    Ok((stream, peer))
                }
                _ = closed.wait_for(|closed| *closed) => Err(io::ErrorKind::NotConnected.into()),
            }
        })
    }

    fn local(&self) -> Peer {
        Peer::named("unix", self.name.clone())
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

fn stream(stream: UnixStream) -> AnyStream {
    let (read, write) = stream.into_split();
    AnyStream::new(Box::new(Read(read)), Box::new(Write(Some(write))), Arc::new(UnixLink))
}

struct Read(unix::OwnedReadHalf);

struct Write(Option<unix::OwnedWriteHalf>);

struct UnixLink;

impl ReadSide for Read {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl WriteSide for Write {
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(write) => Pin::new(write).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish(0, ""))
    }

    fn finish(&mut self, _: u32, _: &str) -> io::Result<()> {
        self.0 = None;
        Ok(())
    }
}

impl Link for UnixLink {
    fn peer(&self) -> Peer {
        Peer::named("unix", "somebody")
    }

    fn local(&self) -> Peer {
        Peer::named("unix", "here")
    }

    fn ending(&self) -> Option<Ending> {
        None
    }

    fn closed(&self) -> BoxFuture<'static, Ending> {
        Box::pin(async { Ending::new(Party::Local, Cause::Closed, Duration::ZERO) })
    }

    fn close(&self, _: u32, _: &str) {}

    fn abort(&self, _: u32) {}

    fn stats(&self) -> StreamStats {
        StreamStats::new(0, 0, None, TransportStats::Other)
    }
}

#[tokio::test]
async fn a_transport_of_ones_own_is_reached_by_its_scheme() {
    watched(async {
        let transports = Transports::new(Options::new()).with(Unix);
        let file = format!("sendoff-{}-{}.sock", std::process::id(), line!());
        let path = std::env::temp_dir().join(file);
        _ = std::fs::remove_file(&path);
        let address = format!("unix://{}", path.display());
        let listener = transports.bind(&address).await.unwrap();
        assert_eq!(listener.local().to_string(), path.display().to_string());
        let (client, server) = tokio::join!(transports.connect(&address), listener.accept());
        let mut pair = Pair { client: client.unwrap(), server: server.unwrap().0, listener };
        carry(&mut pair.client, &mut pair.server, b"there").await;
        carry(&mut pair.server, &mut pair.client, b"and back").await;
        pair.listener.stop_accepting();
        assert!(pair.listener.accept().await.is_err());
        std::fs::remove_file(&path).unwrap();
    })
    .await;
}

/// One that always has more to read, and takes all that is written.
struct Endless;

impl ReadSide for Endless {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buf.put_slice(&[0]);
        Poll::Ready(Ok(()))
    }
}

impl WriteSide for Endless {
    fn poll_write(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, _: u32, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stream_that_is_always_ready_lets_other_tasks_run() {
    watched(async {
        let mut stream = AnyStream::new(Box::new(Endless), Box::new(Endless), Arc::new(UnixLink));
        for reads in [true, false] {
            let other = tokio::spawn(async {});
            for _ in 0..10_000 {
                match reads {
                    true => stream.read_exact(&mut [0]).await.map(drop).unwrap(),
                    false => stream.write_all(&[0]).await.unwrap(),
                }
                if other.is_finished() {
                    break;
                }
            }
            assert!(other.is_finished(), "nobody else has run; reading: {reads}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_scheme_that_nobody_has_is_refused_by_name() {
    let error = Transports::default().connect("unix:///run/app.sock").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let text = "unix:///run/app.sock: unknown scheme unix:// (there are kcp://, tcp://, udp://)";
    assert_eq!(error.to_string(), text);
}
