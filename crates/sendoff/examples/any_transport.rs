//! One program, and the transport is in the address: run it with `tcp://127.0.0.1:20000`,
//! `kcp://127.0.0.1:20000?profile=fast3` or `udp://127.0.0.1:20000`.

use sendoff::{AnyListener, AnyStream, Framing, Messages};
use std::{env, io};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:0".into());
    let listener = AnyListener::bind(address).await?;
    let address = format!("{}://{}", listener.local().transport(), listener.local());
    println!("listening on {address}");
    tokio::spawn(serve(listener));

    // Messages stay whole over all of them; UDP alone may lose one.
    let mut messages = Messages::new(AnyStream::connect(address).await?, Framing::le32());
    messages.send("Hello, Hello. How are you?").await?;
    println!("answered: {:?}", messages.try_next().await?);
    messages.shutdown().await
}

async fn serve(listener: AnyListener) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            let mut messages = Messages::new(stream, Framing::le32());
            while let Some(message) = messages.try_next().await? {
                println!("{peer}: {}", String::from_utf8_lossy(&message));
                messages.send(message).await?;
            }
            io::Result::Ok(())
        });
    }
}
