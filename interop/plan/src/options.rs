//! The flags of a peer program.

use std::time::Duration;

/// Which end of the connection a peer program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Listens, and serves every connection.
    Server,
    /// Opens one connection, sends its payload, and reads the echo.
    Client,
}

/// What a server does with what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// Writes it back.
    Echo,
    /// Counts and hashes it.
    Sink,
}

/// What keys are made from where nothing else is said: the word that kcptun has for it, as it spells it.
pub const SECRET: &str = "it's a secrect";

/// The flags of a peer program, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// To listen on, or to connect to.
    pub address: String,
    /// What a server does with what it reads. Default: echo.
    pub serve: Serve,
    /// Message mode, not stream mode. Default: stream.
    pub message: bool,
    /// nodelay, interval in milliseconds, resend, nc. `None`: the library's own defaults.
    pub profile: Option<[u32; 4]>,
    /// Send and receive window in segments. `None`: the library's own defaults.
    pub window: Option<u16>,
    /// Datagram bytes. `None`: the library's own default.
    pub mtu: Option<usize>,
    /// The payload's name.
    pub seed: String,
    /// Bytes to send; for a server, the bytes after which it reports a connection.
    pub bytes: usize,
    /// Sizes of the writes or messages, taken in turn.
    pub sizes: Vec<usize>,
    /// Client: whether to read the echo and check it.
    pub echo: bool,
    /// Client: time between the end of its work and its close.
    pub lifetime: Duration,
    /// Client: time for all of it.
    pub deadline: Duration,
    /// kcp-go client only: time between one write and the next.
    pub pause: Option<Duration>,
    /// kcp-go client only: write for so long, not so many bytes; it tells when all is [sent](crate::Event::Sent).
    pub send_for: Option<Duration>,
    /// kcp-go client only, with `send_for`: bytes per second to write at most.
    pub rate: Option<usize>,
    /// kcp-go only: the cipher, by kcptun's name. `None`: no encryption.
    pub crypt: Option<String>,
    /// kcp-go only: what kcptun's key is made from. Default: kcptun's.
    pub secret: String,
    /// kcp-go only: acknowledge at once.
    pub ack_no_delay: bool,
    /// kcp-go server only: report a connection that was silent for so long.
    pub idle: Option<Duration>,
    /// kcp-go server only: close a connection so long after its bytes.
    pub close_after: Option<Duration>,
    /// kcp-go only: data and parity shards of a group of FEC.
    pub fec: Option<[usize; 2]>,
    /// kcp-go 5.6.72 with FEC only: send back what comes beside the stream.
    pub out_of_band: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:0".into(),
            serve: Serve::Echo,
            message: false,
            profile: None,
            window: None,
            mtu: None,
            seed: "payload".into(),
            bytes: 0,
            sizes: vec![16_384],
            echo: true,
            lifetime: Duration::from_millis(300),
            deadline: Duration::from_secs(120),
            pause: None,
            send_for: None,
            rate: None,
            crypt: None,
            secret: SECRET.into(),
            ack_no_delay: false,
            idle: None,
            close_after: None,
            fec: None,
            out_of_band: false,
        }
    }
}

impl Options {
    /// The command line that says this, without the program and its role.
    pub fn arguments(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--address={}", self.address),
            format!("--serve={}", if self.serve == Serve::Echo { "echo" } else { "sink" }),
            format!("--mode={}", if self.message { "message" } else { "stream" }),
            format!("--seed={}", self.seed),
            format!("--bytes={}", self.bytes),
            format!("--sizes={}", join(&self.sizes)),
            format!("--echo={}", self.echo),
            format!("--lifetime-ms={}", self.lifetime.as_millis()),
            format!("--deadline-ms={}", self.deadline.as_millis()),
        ];
        flags.extend(self.profile.map(|profile| format!("--profile={}", join(&profile))));
        flags.extend(self.window.map(|window| format!("--window={window}")));
        flags.extend(self.mtu.map(|mtu| format!("--mtu={mtu}")));
        flags.extend(self.pause.map(|pause| format!("--pause-ms={}", pause.as_millis())));
        flags.extend(self.send_for.map(|time| format!("--send-ms={}", time.as_millis())));
        flags.extend(self.rate.map(|rate| format!("--rate={rate}")));
        flags.extend(self.crypt.as_ref().map(|cipher| format!("--crypt={cipher}")));
        if self.secret != SECRET {
            flags.push(format!("--secret={}", self.secret));
        }
        flags.extend(self.ack_no_delay.then(|| "--ack-no-delay=true".into()));
        flags.extend(self.idle.map(|idle| format!("--idle-ms={}", idle.as_millis())));
        flags.extend(self.close_after.map(|after| format!("--close-after-ms={}", after.as_millis())));
        if let Some([data, parity]) = self.fec {
            flags.extend([format!("--data-shards={data}"), format!("--parity-shards={parity}")]);
        }
        flags.extend(self.out_of_band.then(|| "--out-of-band=true".into()));
        flags
    }

    /// Reads a command line without its program: the role, then `--flag=value`s.
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(Role, Self), String> {
        let role = match arguments.next().as_deref() {
            Some("server") => Role::Server,
            Some("client") => Role::Client,
            other => return Err(format!("role {other:?}: must be server or client")),
        };
        let mut options = Self::default();
        for argument in arguments {
            let parsed = argument.split_once('=').and_then(|(flag, value)| options.set(flag, value));
            parsed.ok_or_else(|| format!("bad argument {argument}"))?;
        }
        Ok((role, options))
    }

    fn set(&mut self, flag: &str, value: &str) -> Option<()> {
        let milliseconds = || value.parse().ok().map(Duration::from_millis);
        match flag {
            "--address" => self.address = value.into(),
            "--serve" => self.serve = if value == "sink" { Serve::Sink } else { Serve::Echo },
            "--mode" => self.message = value == "message",
            "--seed" => self.seed = value.into(),
            "--bytes" => self.bytes = value.parse().ok()?,
            "--sizes" => self.sizes = split(value)?,
            "--echo" => self.echo = value.parse().ok()?,
            "--lifetime-ms" => self.lifetime = milliseconds()?,
            "--deadline-ms" => self.deadline = milliseconds()?,
            "--profile" => self.profile = Some(split(value)?.try_into().ok()?),
            "--window" => self.window = Some(value.parse().ok()?),
            "--mtu" => self.mtu = Some(value.parse().ok()?),
            "--pause-ms" => self.pause = Some(milliseconds()?),
            "--send-ms" => self.send_for = Some(milliseconds()?),
            "--rate" => self.rate = Some(value.parse().ok()?),
            "--crypt" => self.crypt = Some(value.into()),
            "--secret" => self.secret = value.into(),
            "--ack-no-delay" => self.ack_no_delay = value.parse().ok()?,
            "--idle-ms" => self.idle = Some(milliseconds()?),
            "--close-after-ms" => self.close_after = Some(milliseconds()?),
            "--data-shards" => self.fec.get_or_insert_default()[0] = value.parse().ok()?,
            "--parity-shards" => self.fec.get_or_insert_default()[1] = value.parse().ok()?,
            "--out-of-band" => self.out_of_band = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

fn join<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

fn split<T: std::str::FromStr>(values: &str) -> Option<Vec<T>> {
    values.split(',').map(|value| value.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_parse_to_what_they_came_from() {
        let options = Options {
            address: "127.0.0.1:7".into(),
            serve: Serve::Sink,
            message: true,
            profile: Some([1, 10, 2, 1]),
            window: Some(256),
            mtu: Some(512),
            seed: "s".into(),
            bytes: 77,
            sizes: vec![1, 488],
            echo: false,
            lifetime: Duration::ZERO,
            deadline: Duration::from_secs(3),
            pause: Some(Duration::from_millis(7)),
            send_for: Some(Duration::from_secs(12)),
            rate: Some(1_000_000),
            crypt: Some("aes".into()),
            secret: "another".into(),
            ack_no_delay: true,
            idle: Some(Duration::from_secs(1)),
            close_after: Some(Duration::from_millis(5)),
            fec: Some([10, 3]),
            out_of_band: true,
        };
        let line = std::iter::once("client".to_string()).chain(options.arguments());
        assert_eq!(Options::parse(line).unwrap(), (Role::Client, options));
    }

    #[test]
    fn unknown_flags_and_bad_values_are_refused() {
        for bad in ["--colour=red", "--bytes=many", "--profile=1,2,3", "--echo"] {
            let error = Options::parse(["server".into(), bad.to_string()].into_iter()).unwrap_err();
            assert_eq!(error, format!("bad argument {bad}"));
        }
    }
}
