//! Settings are typed, and checked when they are made. Runs by itself.

use sendoff::{Config, KcpListener, KcpStream, Mode, Profile};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::fast3()
        .mtu(1_350)?
        .send_window(512)?
        .recv_window(512)?
        .keep_alive(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(3));
    let listener = KcpListener::bind_with("127.0.0.1:0", config.clone()).await?;
    let mut client = KcpStream::connect_with(listener.local_addr(), config).await?;
    client.write_all(b"hello").await?;
    let (mut server, peer) = listener.accept().await?;
    server.read_exact(&mut [0; 5]).await?;

    // Profile and windows can be changed while it runs.
    server.set_profile(Profile::NORMAL);
    server.set_windows(256, 1_024)?;
    let stats = server.stats();
    println!("{peer}: send window {}, receive window {}", stats.send_window, stats.recv_window);

    // A setting out of its range never becomes a Config.
    println!("{}", Config::new().mtu(10).unwrap_err());
    println!("{}", Config::new().mode(Mode::Message).recv_window(64).unwrap_err());
    println!("{}", "turbo".parse::<Profile>().unwrap_err());
    Ok(())
}
