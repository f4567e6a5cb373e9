//! Whole messages, whatever the transport does to them: framed over TCP and KCP; KCP in message mode keeps boundaries
//! by itself. Runs by itself.

use sendoff::{AnyListener, AnyStream, Framing, Messages};
use tokio::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    exchange("tcp://127.0.0.1:0", "", Framing::le32().limit(1 << 20)).await?;
    exchange("kcp://127.0.0.1:0", "", Framing::le32().limit(1 << 20)).await?;
    exchange("kcp://127.0.0.1:0", "?message", Framing::none()).await
}

async fn exchange(address: &str, settings: &str, framing: Framing) -> io::Result<()> {
    println!("{address}{settings}, framing {framing}:");
    let listener = AnyListener::bind(format!("{address}{settings}")).await?;
    let scheme = listener.local().transport();
    let stream = AnyStream::connect(format!("{scheme}://{}{settings}", listener.local())).await?;
    let mut client = Messages::new(stream, framing);
    client.send("Hello, Hello. How are you?").await?;
    client.send(vec![0; 100_000]).await?;
    client.finish().await?; // the server's try_next comes to its end

    let (stream, peer) = listener.accept().await?;
    let mut server = Messages::new(stream, framing);
    while let Some(message) = server.try_next().await? {
        println!("  a message of {} bytes from {peer}", message.len());
    }
    Ok(())
}
