//! An echo server that closes a connection once nothing has come for a second: plain KCP has no other
//! way to learn that a client has left. Call it with the example `echo_client`.

use sendoff::KcpListener;
use std::time::Duration;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = KcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr());
    loop {
        let (mut stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            let ended = stream.closed();
            let mut buffer = vec![0; 64 * 1024];
            // A read that is given up loses no byte.
            while let Ok(Ok(n @ 1..)) = timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
                if stream.write_all(&buffer[..n]).await.is_err() {
                    break;
                }
            }
            drop(stream); // what was written is still delivered
            println!("{peer}: {}", ended.await);
        });
    }
}
