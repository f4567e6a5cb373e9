//! One socket that both listens and connects, for peers. Runs by itself: two peers call each other.

use sendoff::KcpEndpoint;
use std::net::SocketAddr;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (anna, bert) = (KcpEndpoint::bind("127.0.0.1:0").await?, KcpEndpoint::bind("127.0.0.1:0").await?);
    let (anna_addr, bert_addr) = (anna.local_addr(), bert.local_addr());
    tokio::try_join!(greet(anna, bert_addr, "Anna"), greet(bert, anna_addr, "Bert"))?;
    Ok(())
}

async fn greet(endpoint: KcpEndpoint, peer: SocketAddr, name: &str) -> io::Result<()> {
    let mut outgoing = endpoint.connect(peer).await?;
    outgoing.write_all(name.as_bytes()).await?;

    let (mut incoming, from) = endpoint.accept().await?;
    let mut greeting = [0; 4];
    incoming.read_exact(&mut greeting).await?;
    println!("{name}: {} greets me from {from}", String::from_utf8_lossy(&greeting));

    outgoing.shutdown().await?; // Ok: the greeting has arrived
    drop((outgoing, incoming));
    endpoint.wait_idle().await; // both connections are closed in order
    Ok(())
}
