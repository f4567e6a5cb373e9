//! The scenarios, written once for everything that is a stream.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::meter::{Event, Meter, emit, fail};
use crate::plan::{BATCH, ECHO, MESSAGE, PING, Scenario};

/// Connections that are being opened at the same time.
const OPENING: usize = 64;

/// A peer's connection.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Waits as cheaply as the peer can for more data; false at the end.
    fn parked(&mut self) -> impl Future<Output = io::Result<bool>> + Send {
        async {
            let mut little = [0; 16];
            Ok(self.read(&mut little).await? > 0)
        }
    }
}

/// A peer's server side.
pub trait Listen: Send + 'static {
    /// Its connections.
    type Stream: Stream;
    /// Where it listens.
    fn address(&self) -> io::Result<SocketAddr>;
    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// A peer's client side.
pub trait Connect: Send + Sync + 'static {
    /// Its connections.
    type Stream: Stream;
    /// Opens one more.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// The byte at a position of the bulk stream: it repeats with each chunk, so one buffer serves for all.
pub fn pattern(position: u64, chunk: usize) -> u8 {
    (position % chunk as u64 % 251) as u8
}

/// Serves a scenario until the process is stopped.
pub async fn serve(
    mut listener: impl Listen,
    scenario: Scenario,
    chunk: usize,
    meter: Arc<Meter>,
) -> Result<()> {
    allow_many_files()?;
    emit(&Event::Listening { address: listener.address()? });
    loop {
        let stream = listener.accept().await.context("accept")?;
        let meter = Arc::clone(&meter);
        match scenario {
            Scenario::Bulk => _ = tokio::spawn(async move { report(sink(stream, chunk, &meter).await) }),
            Scenario::Messages | Scenario::Batches => {
                _ = tokio::spawn(async move { report(sink(stream, BATCH, &meter).await) });
            }
            Scenario::Echo => _ = tokio::spawn(async move { report(echo(stream, ECHO, &meter).await) }),
            Scenario::PingPong | Scenario::Open => {
                _ = tokio::spawn(async move { report(echo(stream, PING, &meter).await) });
            }
            Scenario::Idle => _ = tokio::spawn(async move { report(idle(stream, &meter).await) }),
        }
    }
}

/// A connection's error goes to standard error: the runner shows it if the run yields no figures.
pub fn report(served: Result<()>) {
    if let Err(error) = served {
        eprintln!("connection: {error:#}");
    }
}

async fn sink(mut stream: impl Stream, chunk: usize, meter: &Meter) -> Result<()> {
    let mut buffer = vec![0; chunk];
    let mut position = 0;
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        let last = len - 1;
        if (buffer[0], buffer[last]) != (pattern(position, chunk), pattern(position + last as u64, chunk)) {
            fail(&format!("wrong bytes at {position}"));
        }
        position += len as u64;
        meter.deliver(len);
    }
}

async fn echo(mut stream: impl Stream, most: usize, meter: &Meter) -> Result<()> {
    let mut buffer = vec![0; most];
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(());
        }
        meter.deliver(len);
        stream.write_all(&buffer[..len]).await?;
        stream.flush().await?;
    }
}

async fn idle(mut stream: impl Stream, meter: &Meter) -> Result<()> {
    let byte = stream.read_u8().await?;
    stream.write_u8(byte).await?;
    stream.flush().await?;
    meter.open();
    while let Ok(true) = stream.parked().await {}
    meter.close();
    bail!("an idle connection ended")
}

/// Plays the client of a scenario until the process is stopped.
pub async fn drive(
    connector: impl Connect,
    scenario: Scenario,
    chunk: usize,
    connections: usize,
    meter: Arc<Meter>,
) -> Result<()> {
    match scenario {
        Scenario::Bulk => pour(connector.connect().await.context("connect")?, chunk, chunk).await,
        Scenario::Messages => pour(connector.connect().await.context("connect")?, BATCH, MESSAGE).await,
        Scenario::Batches => pour(connector.connect().await.context("connect")?, BATCH, BATCH).await,
        Scenario::Echo => bounce(connector.connect().await.context("connect")?, ECHO, &meter).await,
        Scenario::PingPong => bounce(connector.connect().await.context("connect")?, PING, &meter).await,
        Scenario::Open => converse(connector, &meter).await,
        Scenario::Idle => hold(connector, connections, meter).await,
    }
}

/// The bytes that repeat in the bulk stream.
pub fn repeated(chunk: usize) -> Vec<u8> {
    (0..chunk as u64).map(|position| pattern(position, chunk)).collect()
}

async fn pour(mut stream: impl Stream, chunk: usize, at_once: usize) -> Result<()> {
    let data = repeated(chunk);
    emit(&Event::Ready);
    loop {
        for piece in data.chunks(at_once) {
            stream.write_all(piece).await.context("write")?;
        }
    }
}

async fn bounce(mut stream: impl Stream, size: usize, meter: &Meter) -> Result<()> {
    let mut sent = vec![0x5a; size];
    let mut received = vec![0; size];
    emit(&Event::Ready);
    let mut began = Instant::now();
    for number in 0_u64.. {
        sent[..8].copy_from_slice(&number.to_le_bytes());
        sent[size - 8..].copy_from_slice(&number.to_be_bytes());
        stream.write_all(&sent).await.context("write")?;
        stream.flush().await.context("flush")?;
        stream.read_exact(&mut received).await.context("read")?;
        let ends = |bytes: &[u8]| [bytes[..8].to_vec(), bytes[size - 8..].to_vec()];
        ensure!(ends(&received) == ends(&sent), "round trip {number} brought other bytes back");
        meter.deliver(size);
        let now = Instant::now();
        meter.round_trip(now - began);
        began = now;
    }
    Ok(())
}

/// Whole conversations, one after the other.
async fn converse(connector: impl Connect, meter: &Meter) -> Result<()> {
    allow_many_files()?;
    emit(&Event::Ready);
    let mut received = Vec::with_capacity(PING);
    let mut began = Instant::now();
    for number in 0_u64.. {
        let mut stream = connector.connect().await.context("connect")?;
        let sent = [number as u8; PING];
        stream.write_all(&sent).await.context("write")?;
        stream.shutdown().await.context("shutdown")?;
        received.clear();
        stream.read_to_end(&mut received).await.context("read")?;
        ensure!(received == sent, "conversation {number} brought other bytes back");
        drop(stream);
        meter.deliver(PING);
        let now = Instant::now();
        meter.round_trip(now - began);
        began = now;
    }
    Ok(())
}

async fn hold(connector: impl Connect, connections: usize, meter: Arc<Meter>) -> Result<()> {
    allow_many_files()?;
    let connector = Arc::new(connector);
    // The first one brings the server's code and common structures into memory; the runner
    // measures the others against that.
    let mut held = vec![open(&*connector).await?];
    meter.open();
    emit(&Event::Ready);
    meter.wait_for_go().await;
    let mut opening = JoinSet::new();
    for _ in 0..connections {
        if opening.len() == OPENING
            && let Some(opened) = opening.join_next().await
        {
            held.push(opened??);
            meter.open();
        }
        let connector = Arc::clone(&connector);
        opening.spawn(async move { open(&*connector).await });
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
        meter.open();
    }
    emit(&Event::Opened);
    std::future::pending::<()>().await;
    drop(held);
    Ok(())
}

/// Opens a connection and sees that the other side has it too.
async fn open<C: Connect>(connector: &C) -> Result<C::Stream> {
    let mut stream = connector.connect().await.context("connect")?;
    stream.write_u8(0x5a).await.context("first write")?;
    stream.flush().await.context("first flush")?;
    stream.read_u8().await.context("first read")?;
    Ok(stream)
}

/// Most peers need a file descriptor per connection on one side at least.
fn allow_many_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("raise the limit of open files")
}
