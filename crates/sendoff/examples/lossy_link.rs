//! What forward error correction does on a long link that loses one datagram of ten: a message whose datagram was
//! lost is made good by parity, and doesn't wait a round trip until it has been sent again.
//! `cargo run --release --example lossy_link`

use sendoff::{Config, Fec, Framing, KcpListener, KcpStream, Messages};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::UdpSocket,
    time::{Instant, interval, sleep},
};

const MESSAGES: usize = 400;
const EVERY: Duration = Duration::from_millis(5);
const DELAY: Duration = Duration::from_millis(50);
/// Of a hundred datagrams.
const LOSS: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "{MESSAGES} messages of 1,000 bytes, one each {EVERY:?}; {DELAY:?} one way, {LOSS} % lost each way"
    );
    for fec in [None, Some(Fec::new(10, 3)?), Some(Fec::new(3, 2)?)] {
        let config = Config::fast3().fec(fec);
        let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await?;
        let link = lossy_link(listener.local_addr()).await?;
        let client = KcpStream::connect_with(link, config).await?;
        let (sent, (mut took, made_good)) = tokio::try_join!(send(client), receive(&listener))?;
        took.sort();
        let percentile = |percent: usize| took[(took.len() - 1) * percent / 100].as_millis();
        println!(
            "{:>6}: half arrive within {} ms, nine of ten within {}, all within {}; {made_good} datagrams made good, {sent} sent again",
            fec.map_or("no FEC".to_owned(), |fec| fec.to_string()),
            percentile(50),
            percentile(90),
            percentile(100),
        );
    }
    Ok(())
}

/// Returns the segments that had to be sent again.
async fn send(client: KcpStream) -> io::Result<u64> {
    let mut messages = Messages::new(client, Framing::le32());
    let (began, mut turn) = (Instant::now(), interval(EVERY));
    for _ in 0..MESSAGES {
        turn.tick().await;
        let mut message = vec![0; 1_000];
        message[..8].copy_from_slice(&(began.elapsed().as_micros() as u64).to_le_bytes());
        messages.send(message).await?;
    }
    messages.shutdown().await?;
    let stats = messages.stream().stats();
    Ok(stats.retransmitted_timeout + stats.retransmitted_fast + stats.retransmitted_early)
}

/// Returns how long each message took, and how many datagrams were made good.
async fn receive(listener: &KcpListener) -> io::Result<(Vec<Duration>, u64)> {
    let (stream, _) = listener.accept().await?;
    let mut messages = Messages::new(stream, Framing::le32());
    let (mut arrivals, began) = (Vec::new(), Instant::now());
    while let Some(message) = messages.try_next().await? {
        let sent = u64::from_le_bytes(message[..8].try_into().expect("8 bytes"));
        arrivals.push((began.elapsed(), Duration::from_micros(sent)));
    }
    messages.shutdown().await?;
    // The two clocks differ by a constant: no message is faster than the link.
    let skew = arrivals.iter().map(|(at, sent)| at.as_micros() as i128 - sent.as_micros() as i128).min();
    let took = |(at, sent): (Duration, Duration)| {
        let behind = at.as_micros() as i128 - sent.as_micros() as i128 - skew.unwrap_or(0);
        DELAY + Duration::from_micros(behind as u64)
    };
    Ok((arrivals.into_iter().map(took).collect(), messages.stream().stats().datagrams_recovered))
}

/// A relay to `server` that delays what it is given and loses some of it, on both ways. Returns its address.
async fn lossy_link(server: SocketAddr) -> io::Result<SocketAddr> {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    back.connect(server).await?;
    let address = front.local_addr()?;
    tokio::spawn(async move {
        let (_, client) = front.peek_from(&mut [0; 1]).await?;
        front.connect(client).await?;
        tokio::try_join!(pass_on(front.clone(), back.clone(), 1), pass_on(back, front, 2))
    });
    Ok(address)
}

async fn pass_on(from: Arc<UdpSocket>, to: Arc<UdpSocket>, mut seed: u64) -> io::Result<()> {
    let mut datagram = vec![0; 65_535];
    loop {
        let len = from.recv(&mut datagram).await?;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (seed >> 33) % 100 >= LOSS {
            let (to, datagram) = (to.clone(), datagram[..len].to_vec());
            tokio::spawn(async move {
                sleep(DELAY).await;
                // An error is of one who has gone.
                _ = to.send(&datagram).await;
            });
        }
    }
}
