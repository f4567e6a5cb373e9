//! Echoes to every client, and prints how each conversation went.

use sendoff::KcpListener;
use tokio::io::{self, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let listener = KcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr());
    loop {
        let (stream, peer) = listener.accept().await?; // Err only when the endpoint is closed or its socket dead
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream.into_split();
            let ended = writer.closed(); // a 'static future of the Ending
            _ = io::copy(&mut reader, &mut writer).await;
            _ = writer.shutdown().await; // Ok: all of it has arrived there
            drop((reader, writer));
            println!("{peer}: {}", ended.await);
        });
    }
}
