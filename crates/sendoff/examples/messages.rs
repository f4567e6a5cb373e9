//! Whole messages, however the transport cuts the bytes; and KCP in message mode, which needs no framing.
//! Runs by itself.

use sendoff::{Config, Framing, KcpListener, KcpStream, Messages, Mode};
use tokio::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    // Any stream of bytes will do: KCP in its default mode, a TcpStream, TLS.
    exchange(Config::new(), Framing::le32().limit(1 << 20)).await?;
    // KCP in message mode keeps boundaries by itself; both sides must agree.
    exchange(Config::new().mode(Mode::Message), Framing::none()).await
}

async fn exchange(config: Config, framing: Framing) -> io::Result<()> {
    println!("framing {framing}, mode {}:", config.mode_value());
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await?;
    let stream = KcpStream::connect_with(listener.local_addr(), config).await?;
    let mut client = Messages::new(stream, framing);
    client.send("Hello, Hello. How are you?").await?;
    client.send(vec![0; 100_000]).await?;
    client.finish().await?; // the server's try_next comes to its end

    let (stream, _peer) = listener.accept().await?;
    let mut server = Messages::new(stream, framing);
    while let Some(message) = server.try_next().await? {
        println!("  a message of {} bytes", message.len());
    }
    Ok(())
}
