//! sendoff as it comes, but for what the command line changes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use sendoff::{Cipher, Config, Crypt, Fec, KcpEndpoint, KcpListener, KcpStream, Profile};

use crate::load::{Connect, Listen, Stream};
use crate::net::ANY_PORT;
use crate::plan::{DATAGRAM, Scenario, Settings};

fn config(settings: &Settings) -> Result<Config> {
    // Keep-alives are off so that idleness is compared alike: the others send none either.
    let mut config = Config::new().mtu(DATAGRAM)?.keep_alive(None);
    if let Some(secs) = settings.sendoff_keep_alive {
        config = config.keep_alive(Duration::from_secs(secs));
    }
    if let Some(segments) = settings.sendoff_window {
        config = config.send_window(segments)?.recv_window(segments)?;
    }
    if let Some(profile) = &settings.sendoff_profile {
        config = config.profile(profile.parse::<Profile>().context("--sendoff-profile")?);
    }
    if let Some(cipher) = &settings.crypt {
        let cipher: Cipher = cipher.parse().context("--crypt")?;
        config = config.crypt(Crypt::kcptun(cipher, SECRET));
    }
    if let Some(ratio) = &settings.fec {
        config = config.fec(ratio.parse::<Fec>().context("--fec")?);
    }
    Ok(config)
}

/// What both sides of a run make their key from.
const SECRET: &str = "a benchmark has no secrets";

impl Stream for KcpStream {
    async fn parked(&mut self) -> io::Result<bool> {
        let mut little = [0; 16];
        loop {
            self.readable().await?;
            match self.try_read(&mut little) {
                Ok(len) => return Ok(len > 0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The server side, on any free port.
pub async fn listen(settings: &Settings) -> Result<KcpListener> {
    Ok(KcpListener::bind_with(ANY_PORT, config(settings)?).await?)
}

impl Listen for KcpListener {
    type Stream = KcpStream;

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr())
    }

    async fn accept(&mut self) -> io::Result<KcpStream> {
        let (stream, _) = KcpListener::accept(self).await?;
        Ok(stream)
    }
}

/// The client side.
pub struct Connector {
    address: SocketAddr,
    config: Config,
    /// Many connections share a socket; a single one has its own, connected one.
    shared: Option<KcpEndpoint>,
}

/// The client side.
pub async fn connector(address: SocketAddr, scenario: Scenario, settings: &Settings) -> Result<Connector> {
    let config = config(settings)?;
    let shared = match scenario {
        Scenario::Open if !settings.sendoff_shared => None,
        Scenario::Idle | Scenario::Open => Some(KcpEndpoint::bind_with(ANY_PORT, config.clone()).await?),
        _ => None,
    };
    Ok(Connector { address, config, shared })
}

impl Connect for Connector {
    type Stream = KcpStream;

    async fn connect(&self) -> io::Result<KcpStream> {
        match &self.shared {
            Some(endpoint) => endpoint.connect(self.address).await,
            None => KcpStream::connect_with(self.address, self.config.clone()).await,
        }
    }
}
