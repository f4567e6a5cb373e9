//! Events: what goes to stderr while a command runs.

use super::{Paint, how_it_ended};
use crate::units::{count, duration, setting_duration};
use sendoff::{Cipher, Conv, Ending, PeerKind, Wire};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// Something that a user wants to know while it happens.
#[derive(Debug)]
pub enum Event {
    /// A listener is ready.
    Listening {
        /// Its address; the port is the true one.
        local: SocketAddr,
        /// What it speaks.
        wire: Wire,
        /// How it is encrypted.
        cipher: Cipher,
    },
    /// Anybody on the way can read and forge what passes.
    NotEncrypted {
        /// Which is none, or as good as none.
        cipher: Cipher,
    },
    /// A secret stands on the command line.
    SecretShown,
    /// Datagrams came that can't be opened.
    CannotOpen {
        /// Since the last such event.
        datagrams: u64,
        /// Since the start.
        total: u64,
    },
    /// A peer has opened a connection.
    Opened {
        /// Number of the connection in this process.
        number: u64,
        /// Who.
        peer: SocketAddr,
        /// Which conversation.
        conv: Conv,
        /// Whether the peer can say goodbye.
        kind: PeerKind,
    },
    /// A connection of a listener has ended.
    Ended(Ended),
    /// A line was too long, and goes on in the next.
    LineCut {
        /// Number of the connection.
        number: u64,
        /// Whose line.
        peer: SocketAddr,
        /// Where it was cut.
        limit: usize,
    },
    /// `connect` has left after a silence.
    LeftSilentPeer {
        /// After how long a silence.
        silence: Duration,
        /// Whether anything was sent or received.
        exchanged: bool,
        /// Whether it could have said that it has finished.
        kind: PeerKind,
    },
    /// The user wants to stop.
    Interrupted {
        /// How many connections are still to be ended.
        connections: usize,
    },
    /// `ping` keeps to one conversation from now on.
    OneConversation,
}

/// How a connection of a listener has ended.
#[derive(Debug)]
pub struct Ended {
    /// Number of the connection.
    pub number: u64,
    /// Who was on the other side.
    pub peer: SocketAddr,
    /// Which conversation.
    pub conv: Conv,
    /// What is known of the end.
    pub ending: Ending,
    /// Smoothed round trip, if there was one.
    pub rtt: Option<Duration>,
    /// The silence after which `--read-timeout` closed it.
    pub read_timeout: Option<Duration>,
}

impl Event {
    /// The event as a line for a person.
    pub fn to_line(&self, paint: Paint) -> String {
        match self {
            Self::Listening { local, wire, cipher } => {
                let welcome = match wire {
                    Wire::Classic => "classic: peers can't say goodbye",
                    Wire::Required => "extended peers only",
                    _ => "extended; stock peers welcome",
                };
                let sealed = match cipher {
                    Cipher::Null => String::new(),
                    cipher => format!("; {cipher}"),
                };
                format!("listening on kcp://{local} ({welcome}{sealed})")
            }
            Self::NotEncrypted { cipher } => {
                let why = match cipher {
                    Cipher::Null => "is not encrypted without --crypt".to_owned(),
                    Cipher::None => "is not encrypted by --crypt none".to_owned(),
                    cipher => format!("is hardly encrypted by --crypt {cipher}, which is no cipher to trust"),
                };
                let warning = format!("anybody on the way can read and change what passes: kcp:// {why}");
                format!("{} {warning}", paint.yellow("warning:"))
            }
            Self::SecretShown => {
                let warning = "everybody on this machine can see a secret on the command line";
                format!("{} {warning}: --key-file keeps it", paint.yellow("warning:"))
            }
            Self::CannotOpen { datagrams, total } => {
                let what = match datagrams {
                    1 => "1 datagram".to_owned(),
                    n => format!("{} datagrams", count(*n)),
                };
                let total =
                    if total > datagrams { format!(", {} in all", count(*total)) } else { String::new() };
                let words = format!("{what} could not be opened (another key or cipher, or forged){total}");
                format!("{} {words}", paint.yellow("sendoff:"))
            }
            Self::Opened { number, peer, conv, kind } => {
                let (number, opened) = (number_of(*number, paint), paint.green("opened"));
                format!("{number} {peer} conv={conv} {opened}, {}", kind_in_words(*kind))
            }
            Self::Ended(ended) => ended.to_line(paint),
            Self::LineCut { number, peer, limit } => {
                let words = format!("a line of more than {} bytes was cut", count(*limit as u64));
                format!("{} {peer} {}", number_of(*number, paint), paint.yellow(&words))
            }
            Self::LeftSilentPeer { silence, exchanged, kind } => {
                let silence = setting_duration(*silence);
                let words = match (exchanged, kind) {
                    (false, _) => format!("nothing was sent and nothing came: left after {silence}"),
                    (true, PeerKind::Extended) => {
                        format!("the peer has not finished: left after {silence} of silence")
                    }
                    (true, _) => {
                        format!("the peer can't say goodbye (stock KCP): left after {silence} of silence")
                    }
                };
                format!("{} {words} (--quit-after)", paint.dim("sendoff:"))
            }
            Self::Interrupted { connections } => {
                let what = match connections {
                    0 => "ending".into(),
                    1 => "ending 1 connection".into(),
                    n => format!("ending {} connections", count(*n as u64)),
                };
                format!("{} interrupted: {what} (again: at once)", paint.yellow("sendoff:"))
            }
            Self::OneConversation => format!(
                "{} the server ignores a second conversation from one port: all probes are of one now, \
                 and each time may include its flush interval",
                paint.yellow("sendoff:")
            ),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Listening { local, wire, cipher } => {
                let wire = wire.to_string();
                json!({
                    "event": "listening", "scheme": "kcp", "address": local, "port": local.port(), "wire": wire,
                    "crypt": cipher.name(),
                })
            }
            Self::NotEncrypted { cipher } => {
                json!({"event": "warning", "warning": "not encrypted", "crypt": cipher.name()})
            }
            Self::SecretShown => json!({"event": "warning", "warning": "secret on the command line"}),
            Self::CannotOpen { datagrams, total } => {
                json!({"event": "cannot_open", "datagrams": datagrams, "total": total})
            }
            Self::Opened { number, peer, conv, kind } => json!({
                "event": "opened", "connection": number, "peer": peer, "conv": conv.value(),
                "kind": kind_in_words(*kind),
            }),
            Self::Ended(ended) => ended.to_value(),
            Self::LineCut { number, peer, limit } => {
                json!({"event": "line_cut", "connection": number, "peer": peer, "limit": limit})
            }
            Self::LeftSilentPeer { silence, exchanged, kind } => json!({
                "event": "left", "silence_ms": milliseconds(*silence), "exchanged": exchanged,
                "kind": kind_in_words(*kind),
            }),
            Self::Interrupted { connections } => json!({"event": "interrupted", "connections": connections}),
            Self::OneConversation => json!({"event": "one_conversation"}),
        }
    }
}

impl serde::Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl Ended {
    fn to_line(&self, paint: Paint) -> String {
        let (what, mut details) = how_it_ended(&self.ending);
        if let Some(silence) = self.read_timeout {
            details.insert(0, format!("nothing came for {} (--read-timeout)", duration(silence)));
        }
        if let Some(rtt) = self.rtt {
            details.push(format!("rtt {}", duration(rtt)));
        }
        let what = if self.ending.is_clean() { what } else { paint.red(&what) };
        format!("{} {} {what}: {}", number_of(self.number, paint), self.peer, details.join(", "))
    }

    fn to_value(&self) -> Value {
        let ending = &self.ending;
        json!({
            "event": "ended",
            "connection": self.number,
            "peer": self.peer,
            "conv": self.conv.value(),
            "by": word(ending.by),
            "cause": word(ending.cause),
            "clean": ending.is_clean(),
            "code": ending.code,
            "reason": ending.reason,
            "peer_code": ending.peer.as_ref().map(|said| said.code),
            "peer_reason": ending.peer.as_ref().map(|said| &said.reason),
            "read_timeout_ms": self.read_timeout.map(milliseconds),
            "bytes_in": ending.bytes_received,
            "bytes_out": ending.bytes_sent,
            "bytes_acknowledged": ending.bytes_acknowledged,
            "lasted_ms": milliseconds(ending.lasted),
            "rtt_ms": self.rtt.map(milliseconds),
        })
    }
}

fn kind_in_words(kind: PeerKind) -> &'static str {
    match kind {
        PeerKind::Extended => "extended",
        PeerKind::Stock => "stock",
        _ => "unknown",
    }
}

fn number_of(number: u64, paint: Paint) -> String {
    paint.bold(&format!("#{number}"))
}

/// Milliseconds with the microseconds behind the point: what JSON has for a duration.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

/// An enum's variant as a word of JSON: `TimedOut(KeepAlive)` becomes `timed_out_keep_alive`.
fn word(variant: impl std::fmt::Debug) -> String {
    let mut word = String::new();
    for c in format!("{variant:?}").chars().filter(char::is_ascii_alphabetic) {
        if c.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(c.to_ascii_lowercase());
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use sendoff::{Cause, Party, Silence};

    #[test]
    fn variants_become_words() {
        assert_eq!(word(Party::Local), "local");
        assert_eq!(word(Cause::TimedOut(Silence::KeepAlive)), "timed_out_keep_alive");
    }

    #[test]
    fn lines_say_who_and_what() {
        let peer = "127.0.0.1:52114".parse().unwrap();
        let conv = Conv::new(0x5b1f_03aa).unwrap();
        let line = |event: Event| event.to_line(Paint::PLAIN);
        assert_eq!(
            line(Event::Opened { number: 1, peer, conv, kind: PeerKind::Extended }),
            "#1 127.0.0.1:52114 conv=0x5b1f03aa opened, extended"
        );
        assert_eq!(
            line(Event::LineCut { number: 2, peer, limit: 65_536 }),
            "#2 127.0.0.1:52114 a line of more than 65,536 bytes was cut"
        );
        assert_eq!(
            line(Event::LeftSilentPeer {
                silence: Duration::from_secs(2),
                exchanged: true,
                kind: PeerKind::Stock
            }),
            "sendoff: the peer can't say goodbye (stock KCP): left after 2 s of silence (--quit-after)"
        );
    }

    #[test]
    fn events_are_objects_with_an_event_member() {
        let local = "127.0.0.1:8080".parse().unwrap();
        let (wire, cipher) = (Wire::Extended, Cipher::Aes128Gcm);
        let value = serde_json::to_value(Event::Listening { local, wire, cipher }).unwrap();
        let address = "127.0.0.1:8080";
        assert_eq!(
            value,
            json!({
                "event": "listening", "scheme": "kcp", "address": address, "port": 8080, "wire": "extended",
                "crypt": "aes-128-gcm",
            })
        );
    }
}
