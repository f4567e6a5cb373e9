//! Message mode: what one side sends whole, the other receives whole. Runs by itself.

use sendoff::{Config, KcpListener, KcpStream, Mode};
use tokio::io;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let config = Config::new().mode(Mode::Message); // both sides must agree
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await?;
    let client = KcpStream::connect_with(listener.local_addr(), config).await?;
    client.send("Hello, Hello. How are you?").await?;
    client.send(vec![0; 100_000]).await?; // cut into 73 fragments

    let (server, _peer) = listener.accept().await?;
    for _ in 0..2 {
        if let Some(message) = server.recv().await? {
            println!("a message of {} bytes", message.len());
        }
    }
    let error = client.send(vec![0; 1_000_000]).await.unwrap_err();
    println!("{error}"); // nothing of it was sent
    Ok(())
}
