//! Says hello to an echo server, and prints the answer.

use sendoff::KcpStream;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let mut stream = KcpStream::connect(address).await?; // refused, unreachable and silent are errors here
    stream.write_all(b"hello").await?;
    stream.finish()?; // half-close; doesn't wait, so that we can read
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?; // ends when the server has finished
    println!("{answer}");
    Ok(())
}
