//! Says hello to an echo server, and prints the answer.

use sendoff::KcpStream;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut stream = KcpStream::connect(address).await?;
    stream.write_all(b"hello").await?;
    let mut answer = [0; 5]; // plain KCP has no end of stream: the client knows how much will come
    stream.read_exact(&mut answer).await?;
    println!("{}", String::from_utf8_lossy(&answer));
    stream.shutdown().await // Ok: the server's KCP has acknowledged every byte
}
