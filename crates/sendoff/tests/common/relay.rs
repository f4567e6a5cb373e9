//! A UDP relay for one client that loses, doubles and reorders what passes through it.

use sendoff_netem::Rng;
use std::{net::SocketAddr, sync::Arc};
use tokio::net::UdpSocket;

/// One in ten is lost, one in twenty comes twice, one in twenty is overtaken by the next: each way.
pub async fn bad_relay(server: SocketAddr, seed: u64) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    back.connect(server).await.unwrap();
    let addr = front.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        let (first, client) = front.recv_from(&mut buffer).await.unwrap();
        front.connect(client).await.unwrap();
        back.send(&buffer[..first]).await.unwrap();
        let there = tokio::spawn(pass_on(front.clone(), back.clone(), seed));
        pass_on(back, front, seed + 1).await;
        there.abort();
    });
    addr
}

async fn pass_on(from: Arc<UdpSocket>, to: Arc<UdpSocket>, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut buffer = vec![0; 65_536];
    let mut late = None;
    // An error is an ICMP message: that side is gone, which its peer is to find out by itself.
    while let Ok(len) = from.recv(&mut buffer).await {
        let datagram = buffer[..len].to_vec();
        let fate = rng.unit();
        if fate < 0.1 {
            continue;
        }
        if fate < 0.15 && late.is_none() {
            late = Some(datagram);
            continue;
        }
        _ = to.send(&datagram).await;
        if fate > 0.95 {
            _ = to.send(&datagram).await;
        }
        if let Some(late) = late.take() {
            _ = to.send(&late).await;
        }
    }
}
