//! What forward error correction does on a link that loses one datagram of ten: what is made good need not be sent
//! again. `cargo run --release --example lossy_link`

use sendoff::{Config, Fec, KcpListener, KcpStream};
use std::{io, net::SocketAddr, sync::Arc, time::Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};

const BYTES: usize = 4 << 20;
/// Of a hundred datagrams.
const LOSS: u64 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    for fec in [None, Some(Fec::new(10, 3)?), Some(Fec::new(10, 5)?)] {
        let config = Config::fast3().fec(fec).send_window(128)?;
        let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await?;
        let link = lossy_link(listener.local_addr()).await?;
        let began = Instant::now();
        let mut client = KcpStream::connect_with(link, config).await?;
        let send = async {
            client.write_all(&vec![0x5a; BYTES]).await?;
            client.shutdown().await?;
            Ok::<_, io::Error>(client.stats())
        };
        let receive = async {
            let (mut stream, _) = listener.accept().await?;
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await?;
            stream.shutdown().await?;
            Ok((received.len(), stream.stats()))
        };
        let (sender, (received, receiver)) = tokio::try_join!(send, receive)?;
        let again = sender.retransmitted_timeout + sender.retransmitted_fast + sender.retransmitted_early;
        println!(
            "{:>6}: {received} bytes in {:.2} s, {} datagrams made good, {again} sent again",
            fec.map_or("no FEC".to_owned(), |fec| fec.to_string()),
            began.elapsed().as_secs_f64(),
            receiver.datagrams_recovered,
        );
    }
    Ok(())
}

/// A relay to `server` that loses some of what it is given, on both ways. Returns its address.
async fn lossy_link(server: SocketAddr) -> io::Result<SocketAddr> {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
    back.connect(server).await?;
    let address = front.local_addr()?;
    tokio::spawn(async move {
        let (_, client) = front.peek_from(&mut [0; 1]).await?;
        front.connect(client).await?;
        tokio::try_join!(pass_on(&front, &back, 1), pass_on(&back, &front, 2))
    });
    Ok(address)
}

async fn pass_on(from: &UdpSocket, to: &UdpSocket, mut seed: u64) -> io::Result<()> {
    let mut datagram = vec![0; 65_535];
    loop {
        let len = from.recv(&mut datagram).await?;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (seed >> 33) % 100 >= LOSS {
            to.send(&datagram[..len]).await?;
        }
    }
}
