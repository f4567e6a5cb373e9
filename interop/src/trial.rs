//! One transfer between two sides, and its figures.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use interop_plan::Options;
use sendoff::Cipher;

use crate::{Link, Peer, Relay, Server, Settings, ours, peer};

/// One end of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// sendoff, in this process.
    Ours,
    /// A peer program.
    Theirs(Peer),
}

impl Side {
    fn most_fragments(self) -> usize {
        match self {
            Self::Ours => usize::MAX,
            Self::Theirs(peer) => peer.most_fragments(),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("sendoff"),
            Self::Theirs(peer) => peer.fmt(f),
        }
    }
}

/// A payload that goes from the client to the server and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Sends the payload, and checks what comes back.
    pub client: Side,
    /// Echoes.
    pub server: Side,
    /// Of both.
    pub settings: Settings,
    /// `None`: no relay between them.
    pub link: Option<Link>,
    /// Length of the payload.
    pub bytes: usize,
    /// Other dice for the link: the losses of a trial are decided by its name and this.
    pub dice: u64,
}

/// A trial that went well, in figures.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// From before the connection was made until the last byte of the echo was there.
    pub elapsed: Duration,
    /// Datagrams that the relay lost, reordered and duplicated.
    pub impaired: [u64; 3],
    /// What else the client has to say.
    pub detail: String,
}

impl Trial {
    /// The payload's name: every trial has its own.
    pub fn seed(&self) -> String {
        self.to_string()
    }

    /// Sizes of the writes or messages, such as both sides keep whole.
    pub fn sizes(&self) -> Vec<usize> {
        self.settings.sizes(self.client.most_fragments().min(self.server.most_fragments()))
    }

    /// Runs it. An error says what went wrong, and on which side it was seen.
    pub async fn run(&self) -> Result<Outcome, String> {
        match self.server {
            Side::Ours => {
                let server =
                    ours::EchoServer::start(ours::config(&self.settings)?, self.settings.message).await?;
                let outcome = self.run_to(server.address()).await;
                outcome.map_err(|error| format!("{error}; server: {}", server.account()))
            }
            Side::Theirs(peer) => {
                let server = Server::start(peer, &self.options()).await?;
                self.run_to(server.address()).await
            }
        }
    }

    async fn run_to(&self, server: SocketAddr) -> Result<Outcome, String> {
        let Some(link) = self.link else { return self.run_client(server).await };
        let relay = Relay::start(server, link, seed_of(&self.seed()) ^ self.dice)
            .map_err(|error| error.to_string())?;
        let mut outcome = self.run_client(relay.address()).await?;
        let counts = relay.counts();
        outcome.impaired = [counts.lost(), counts.reordered(), counts.duplicated()];
        if link == Link::LOSSY && outcome.impaired.contains(&0) {
            return Err(format!("the link was not lossy: {counts:?}"));
        }
        Ok(outcome)
    }

    async fn run_client(&self, server: SocketAddr) -> Result<Outcome, String> {
        match self.client {
            Side::Ours => ours::run_client(self, server).await,
            Side::Theirs(peer) => {
                let options = Options { address: server.to_string(), ..self.options() };
                let (bytes, elapsed_ms) = peer::run_client(peer, &options).await?;
                if bytes != self.bytes {
                    return Err(format!("{peer} client checked {bytes} bytes, not {}", self.bytes));
                }
                Ok(Outcome { elapsed: Duration::from_secs_f64(elapsed_ms / 1e3), ..Outcome::default() })
            }
        }
    }

    /// What a peer program is told.
    fn options(&self) -> Options {
        Options {
            message: self.settings.message,
            profile: self.settings.profile.numbers(),
            window: Some(self.settings.window),
            mtu: Some(self.settings.mtu),
            crypt: (self.settings.crypt != Cipher::Null).then(|| self.settings.crypt.to_string()),
            seed: self.seed(),
            bytes: self.bytes,
            sizes: self.sizes(),
            lifetime: Duration::ZERO,
            ..Options::default()
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = if self.link == Some(Link::LOSSY) { "lossy" } else { "clean" };
        write!(f, "client={} server={} {} link={link}", self.client, self.server, self.settings)
    }
}

/// FNV-1a, so that a trial has the same losses whenever it is run.
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
