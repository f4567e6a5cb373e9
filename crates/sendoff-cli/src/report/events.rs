//! Events: what goes to stderr while a command runs.

use super::{Paint, escape, how_it_ended};
use crate::{
    commands::Kcp,
    units::{bytes, count, duration, plural, setting_duration},
};
use sendoff::{Cipher, Departure, Ending, Peer, PeerKind, Wire};
use sendoff_capture::record::RecordTotals;
use serde_json::{Value, json};
use std::time::Duration;

/// Something that a user wants to know while it happens.
#[allow(clippy::large_enum_variant, reason = "made one at a time, and told at once")]
#[derive(Debug)]
pub enum Event {
    /// A listener is ready.
    Listening {
        /// Its address; the port is the true one.
        local: Peer,
        /// What it speaks, if it is KCP.
        wire: Option<Wire>,
        /// How it is encrypted.
        cipher: Cipher,
        /// After how long a silence a peer is forgotten, if it is UDP.
        idle: Option<Duration>,
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
    /// So many have opened that have shown nothing that everybody is asked to come again with a cookie.
    UnderPressure {
        /// Openings that were asked, since the last such event.
        retries: u64,
        /// Since the start.
        total: u64,
        /// Those who came again, since the start.
        accepted: u64,
    },
    /// Fewer connections have room than a user may want.
    FewFiles {
        /// Open files that the system allows.
        limit: u64,
        /// Connections that have room in it.
        connections: u64,
    },
    /// A peer has opened a connection.
    Opened {
        /// Number of the connection in this process.
        number: u64,
        /// Who.
        peer: Peer,
        /// What KCP knows, if it is KCP.
        kcp: Option<Kcp>,
    },
    /// A peer has gone to another address, and was followed.
    Moved {
        /// Number of the connection.
        number: u64,
        /// Where it was.
        from: Peer,
        /// Where it is.
        to: Peer,
    },
    /// A peer was turned away, the first since there was room.
    Full {
        /// Who.
        peer: Peer,
        /// Connections that are open.
        connections: usize,
    },
    /// A connection of a listener has ended.
    Ended(Ended),
    /// A line was too long, and goes on in the next.
    LineCut {
        /// Number of the connection, where there are several.
        number: Option<u64>,
        /// Whose line.
        peer: Peer,
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
        goodbye: bool,
        /// The transport.
        scheme: String,
        /// What KCP knows, if it is KCP.
        kcp: Option<Kcp>,
    },
    /// The user wants to stop.
    Interrupted {
        /// How many connections are still to be ended.
        connections: usize,
    },
    /// A listener takes nobody any more, and its peers have some time.
    GoingAway {
        /// How many connections are open.
        connections: usize,
        /// How long they may take.
        limit: Duration,
    },
    /// It has gone.
    Gone(Departure),
    /// Another process has the port now.
    HandedOver,
    /// The port was another process's.
    TookOver {
        /// Why nobody can take it over from here, if so.
        no_post: Option<String>,
    },
    /// The peer of `connect` has said that it goes away.
    PeerGoesAway,
    /// `dissect --live` has begun.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Watching {
        /// What it watches.
        interface: String,
        /// What its packets begin with.
        link: String,
        /// Only of this port.
        port: Option<u16>,
    },
    /// A capture has stopped before its end.
    CaptureStopped {
        /// Its name.
        file: String,
        /// Why.
        why: String,
    },
    /// A capture is complete.
    Captured {
        /// Its name.
        file: String,
        /// What is in it.
        totals: RecordTotals,
        /// Whether what was sealed can be read in it.
        opened: bool,
    },
    /// `ping` keeps to one conversation from now on.
    OneConversation,
    /// The path took no datagrams as large as they were to be.
    SmallPath {
        /// Bytes that it takes.
        mtu: usize,
        /// How often they were made smaller.
        steps: u32,
    },
}

/// How a connection of a listener has ended.
#[derive(Debug)]
pub struct Ended {
    /// Number of the connection.
    pub number: u64,
    /// Who was on the other side.
    pub peer: Peer,
    /// What KCP knew, if it was KCP.
    pub kcp: Option<Kcp>,
    /// What is known of the end.
    pub ending: Ending,
    /// Smoothed round trip, if there was one.
    pub rtt: Option<Duration>,
    /// Lost datagrams that forward error correction made good here.
    pub recovered: u64,
    /// Bytes of its largest datagrams in the end, and how often they were made smaller, if it was KCP.
    pub mtu: Option<(usize, u32)>,
    /// Why we have ended it, if we have and not at the user's wish.
    pub why: Option<Why>,
}

/// Why we end a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing came for so long: `--read-timeout`.
    Silent(Duration),
    /// Nothing moved for so long: `--idle-timeout`.
    Idle(Duration),
    /// What came or was to be sent is no message.
    BadFrame(String),
    /// Its command has ended, or couldn't be started: its exit status in words.
    Command(String),
}

impl Why {
    fn to_words(&self) -> String {
        match self {
            Self::Silent(time) => format!("nothing came for {} (--read-timeout)", duration(*time)),
            Self::Idle(time) => format!("nothing moved for {} (--idle-timeout)", duration(*time)),
            Self::BadFrame(problem) | Self::Command(problem) => escape(problem.as_bytes()),
        }
    }
}

impl Event {
    /// The event as a line for a person.
    pub fn to_line(&self, paint: Paint) -> String {
        match self {
            Self::Listening { local, wire, cipher, idle } => {
                let welcome = match (wire, idle) {
                    (Some(Wire::Classic), _) => Some("classic: peers can't say goodbye".into()),
                    (Some(Wire::Required), _) => Some("extended peers only".into()),
                    (Some(_), _) => Some("extended; stock peers welcome".into()),
                    (None, Some(idle)) => {
                        Some(format!("a peer is forgotten after {} of silence", setting_duration(*idle)))
                    }
                    (None, None) => None,
                };
                let sealed = (*cipher != Cipher::Null).then(|| cipher.to_string());
                let words: Vec<String> = welcome.into_iter().chain(sealed).collect();
                let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join("; ")) };
                format!("listening on {}://{local}{words}", local.transport())
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
            Self::FewFiles { limit, connections } => {
                let files = count(*limit);
                let room = plural(*connections, "connection");
                let words =
                    format!("{files} files may be open (ulimit -Hn): room for about {room} at a time");
                format!("{} {words}", paint.yellow("warning:"))
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
            Self::UnderPressure { retries, total, accepted } => {
                let again = if total > retries { ", again" } else { "" };
                let words = format!(
                    "under pressure{again}: {} openings were asked to come again with a cookie, and {} have",
                    count(*total),
                    count(*accepted)
                );
                format!("{} {words}", paint.yellow("sendoff:"))
            }
            Self::Opened { number, peer, kcp } => {
                let (number, opened) = (number_of(*number, paint), paint.green("opened"));
                match kcp {
                    Some(Kcp { conv, kind }) => {
                        format!("{number} {peer} conv={conv} {opened}, {}", kind_in_words(*kind))
                    }
                    None => format!("{number} {peer} {opened}"),
                }
            }
            Self::Moved { number, from, to } => {
                format!("{} {from} moved to {to}", number_of(*number, paint))
            }
            Self::Full { peer, connections } => {
                let open = plural(*connections as u64, "connection");
                format!("{peer} {}: {open} open (--max-connections)", paint.yellow("refused"))
            }
            Self::Ended(ended) => ended.to_line(paint),
            Self::LineCut { number, peer, limit } => {
                let words = format!("a line of more than {} was cut", bytes(*limit as u64));
                let number = number.map(|number| number_of(number, paint) + " ").unwrap_or_default();
                format!("{number}{peer} {}", paint.yellow(&words))
            }
            Self::LeftSilentPeer { silence, exchanged, goodbye, scheme, .. } => {
                let silence = setting_duration(*silence);
                let mute = if scheme == "kcp" { "stock KCP" } else { "UDP" };
                let words = match (exchanged, goodbye) {
                    (false, _) => format!("nothing was sent and nothing came: left after {silence}"),
                    (true, true) => format!("the peer has not finished: left after {silence} of silence"),
                    (true, false) => {
                        format!("the peer can't say goodbye ({mute}): left after {silence} of silence")
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
            Self::GoingAway { connections, limit } => {
                let limit = setting_duration(*limit);
                let what = match connections {
                    0 => "no connection is open".into(),
                    1 => format!("1 connection has {limit} to end"),
                    n => format!("{} connections have {limit} to end", count(*n as u64)),
                };
                format!("{} going away: {what} (again: at once)", paint.yellow("sendoff:"))
            }
            Self::Gone(departure) => {
                let lasted = duration(departure.lasted);
                let Departure { told, confirmed, .. } = departure;
                let told = match told {
                    0 => String::new(),
                    _ => format!("; {} of {} confirmed it", count(*confirmed), count(*told)),
                };
                format!("{} gone after {lasted}: {departure}{told}", paint.dim("sendoff:"))
            }
            Self::HandedOver => {
                format!(
                    "{} another process has the port now: what is new goes there",
                    paint.yellow("sendoff:")
                )
            }
            Self::TookOver { no_post } => {
                let but = no_post.as_ref().map(|why| format!("; nobody can take over from here: {why}"));
                let words = format!("the old process keeps its connections{}", but.unwrap_or_default());
                format!("{} taken over: {}", paint.dim("sendoff:"), escape(words.as_bytes()))
            }
            Self::PeerGoesAway => format!(
                "{} the peer goes away: this connection has some time to end, new ones are refused",
                paint.yellow("sendoff:")
            ),
            Self::Watching { interface, link, port } => {
                let port = port.map(|port| format!(", port {port}")).unwrap_or_default();
                let interface = escape(interface.as_bytes());
                format!("{} watching {interface} ({link}){port}; Ctrl-C ends it", paint.dim("sendoff:"))
            }
            Self::CaptureStopped { file, why } => {
                let words = format!("{}: {why}: the capture stops here", escape(file.as_bytes()));
                format!("{} {words}", paint.yellow("sendoff:"))
            }
            Self::Captured { file, totals, opened } => {
                let mut words = format!("{} in {}", plural(totals.recorded, "datagram"), bytes(totals.bytes));
                words += if *opened { ", readable by anybody" } else { "" };
                for (number, why) in
                    [(totals.lost, "they came too fast to be written"), (totals.after_stop, "it had stopped")]
                {
                    if number > 0 {
                        words += &format!("; {} not: {why}", count(number));
                    }
                }
                format!("{} captured {words}: {}", paint.dim("sendoff:"), escape(file.as_bytes()))
            }
            Self::OneConversation => format!(
                "{} the server ignores a second conversation from one port: all probes are of one now, \
                 and each time may include its flush interval",
                paint.yellow("sendoff:")
            ),
            Self::SmallPath { mtu, .. } => format!(
                "{} large datagrams didn't get through: {} at most since then (--mtu {mtu})",
                paint.yellow("sendoff:"),
                bytes(*mtu as u64)
            ),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Listening { local, wire, cipher, idle } => json!({
                "event": "listening", "scheme": local.transport(), "address": local.to_string(),
                "port": local.socket_addr().map(|addr| addr.port()), "wire": wire.map(|wire| wire.to_string()),
                "crypt": wire.map(|_| cipher.name()), "idle_ms": idle.map(milliseconds),
            }),
            Self::NotEncrypted { cipher } => {
                json!({"event": "warning", "warning": "not encrypted", "crypt": cipher.name()})
            }
            Self::SecretShown => json!({"event": "warning", "warning": "secret on the command line"}),
            Self::CannotOpen { datagrams, total } => {
                json!({"event": "cannot_open", "datagrams": datagrams, "total": total})
            }
            Self::UnderPressure { retries, total, accepted } => json!({
                "event": "under_pressure", "retries": retries, "total": total, "accepted": accepted,
            }),
            Self::FewFiles { limit, connections } => json!({
                "event": "warning", "warning": "few files", "limit": limit, "connections": connections,
            }),
            Self::Opened { number, peer, kcp } => json!({
                "event": "opened", "connection": number, "transport": peer.transport(), "peer": peer.to_string(),
                "conv": kcp.map(|kcp| kcp.conv.value()), "kind": kcp.map(|kcp| kind_in_words(kcp.kind)),
            }),
            Self::Moved { number, from, to } => json!({
                "event": "moved", "connection": number, "transport": to.transport(), "from": from.to_string(),
                "peer": to.to_string(),
            }),
            Self::Full { peer, connections } => json!({
                "event": "full", "transport": peer.transport(), "peer": peer.to_string(), "connections": connections,
            }),
            Self::Ended(ended) => ended.to_value(),
            Self::LineCut { number, peer, limit } => json!({
                "event": "line_cut", "connection": number, "transport": peer.transport(),
                "peer": peer.to_string(), "limit": limit,
            }),
            Self::LeftSilentPeer { silence, exchanged, scheme, kcp, .. } => json!({
                "event": "left", "transport": scheme, "silence_ms": milliseconds(*silence), "exchanged": exchanged,
                "kind": kcp.map(|kcp| kind_in_words(kcp.kind)),
            }),
            Self::Interrupted { connections } => json!({"event": "interrupted", "connections": connections}),
            Self::GoingAway { connections, limit } => json!({
                "event": "going_away", "connections": connections, "limit_ms": milliseconds(*limit),
            }),
            Self::Gone(departure) => json!({
                "event": "gone", "served": departure.served, "open": departure.open(),
                "finished": departure.finished, "failed": departure.failed, "reset": departure.reset,
                "told": departure.told, "confirmed": departure.confirmed,
                "turned_away": departure.turned_away, "lasted_ms": milliseconds(departure.lasted),
            }),
            Self::HandedOver => json!({"event": "handed_over"}),
            Self::TookOver { no_post } => json!({"event": "took_over", "no_post": no_post}),
            Self::PeerGoesAway => json!({"event": "peer_going_away"}),
            Self::Watching { interface, link, port } => {
                json!({"event": "watching", "interface": interface, "link": link, "port": port})
            }
            Self::CaptureStopped { file, why } => {
                json!({"event": "capture_stopped", "file": file, "why": why})
            }
            Self::Captured { file, totals, opened } => json!({
                "event": "captured", "file": file, "datagrams": totals.recorded, "bytes": totals.bytes,
                "lost": totals.lost, "after_stop": totals.after_stop, "opened": opened,
            }),
            Self::OneConversation => json!({"event": "one_conversation"}),
            Self::SmallPath { mtu, steps } => json!({"event": "small_path", "mtu": mtu, "mtu_steps": steps}),
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
        let (what, mut details) = how_it_ended(&self.ending, self.kcp.is_some());
        if let Some(why) = &self.why {
            details.insert(0, why.to_words());
        }
        if let Some(rtt) = self.rtt {
            details.push(format!("rtt {}", duration(rtt)));
        }
        if self.recovered > 0 {
            details.push(format!("{} recovered", plural(self.recovered, "datagram")));
        }
        if let Some((mtu, 1..)) = self.mtu {
            details.push(format!("datagrams stepped down to {}", bytes(mtu as u64)));
        }
        let what = if self.ending.is_clean() { what } else { paint.red(&what) };
        format!("{} {} {what}: {}", number_of(self.number, paint), self.peer, details.join(", "))
    }

    fn to_value(&self) -> Value {
        let Self { ending, why, .. } = self;
        let time = |time: &Duration| milliseconds(*time);
        let mut object = json!({
            "event": "ended",
            "connection": self.number,
            "transport": self.peer.transport(),
            "peer": self.peer.to_string(),
            "conv": self.kcp.map(|kcp| kcp.conv.value()),
            "by": word(ending.by),
            "cause": word(ending.cause),
            "clean": ending.is_clean(),
            "code": ending.code,
            "reason": ending.reason,
            "peer_code": ending.peer.as_ref().map(|said| said.code),
            "peer_reason": ending.peer.as_ref().map(|said| &said.reason),
            "read_timeout_ms": null,
            "bytes_in": ending.bytes_received,
            "bytes_out": ending.bytes_sent,
            "bytes_acknowledged": ending.bytes_acknowledged,
            "lasted_ms": milliseconds(ending.lasted),
            "rtt_ms": self.rtt.map(milliseconds),
            "datagrams_recovered": self.kcp.map(|_| self.recovered),
            "mtu": self.mtu.map(|(mtu, _)| mtu),
            "mtu_steps": self.mtu.map(|(_, steps)| steps),
        });
        match why {
            Some(Why::Silent(silence)) => object["read_timeout_ms"] = time(silence).into(),
            Some(Why::Idle(idle)) => object["idle_timeout_ms"] = time(idle).into(),
            Some(Why::BadFrame(problem)) => object["problem"] = problem.clone().into(),
            Some(Why::Command(status)) => object["command"] = status.clone().into(),
            None => {}
        }
        object
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

    fn peer(transport: &'static str) -> Peer {
        Peer::new(transport, "127.0.0.1:52114".parse().unwrap())
    }

    fn line(event: Event) -> String {
        event.to_line(Paint::PLAIN)
    }

    #[test]
    fn lines_say_who_and_what() {
        let kcp = Some(Kcp { conv: sendoff::Conv::new(0x5b1f_03aa).unwrap(), kind: PeerKind::Extended });
        assert_eq!(
            line(Event::Opened { number: 1, peer: peer("kcp"), kcp }),
            "#1 127.0.0.1:52114 conv=0x5b1f03aa opened, extended"
        );
        assert_eq!(
            line(Event::Opened { number: 1, peer: peer("tcp"), kcp: None }),
            "#1 127.0.0.1:52114 opened"
        );
        assert_eq!(
            line(Event::LineCut { number: Some(2), peer: peer("tcp"), limit: 65_536 }),
            "#2 127.0.0.1:52114 a line of more than 65,536 bytes was cut"
        );
        assert_eq!(
            line(Event::Full { peer: peer("tcp"), connections: 2 }),
            "127.0.0.1:52114 refused: 2 connections open (--max-connections)"
        );
        assert_eq!(
            line(Event::FewFiles { limit: 1_024, connections: 992 }),
            "warning: 1,024 files may be open (ulimit -Hn): room for about 992 connections at a time"
        );
    }

    #[test]
    fn who_is_left_is_told_by_what_it_can_say() {
        let left = |scheme: &str, goodbye| {
            let (silence, scheme) = (Duration::from_secs(2), scheme.to_owned());
            line(Event::LeftSilentPeer { silence, exchanged: true, goodbye, scheme, kcp: None })
        };
        let words = "left after 2 s of silence (--quit-after)";
        assert_eq!(left("kcp", false), format!("sendoff: the peer can't say goodbye (stock KCP): {words}"));
        assert_eq!(left("udp", false), format!("sendoff: the peer can't say goodbye (UDP): {words}"));
        assert_eq!(left("tcp", true), format!("sendoff: the peer has not finished: {words}"));
    }

    #[test]
    fn an_end_over_tcp_has_no_code() {
        let ending = Ending::new(Party::Peer, Cause::Closed, Duration::from_millis(12));
        let ended = |why| {
            Event::Ended(Ended {
                number: 1,
                peer: peer("tcp"),
                kcp: None,
                ending: ending.clone(),
                rtt: None,
                recovered: 0,
                mtu: None,
                why,
            })
        };
        let expected = "#1 127.0.0.1:52114 finished by the peer after 12 ms: 0 bytes in, 0 bytes out";
        assert_eq!(line(ended(None)), expected);
        let Event::Ended(stepped) = ended(None) else { unreachable!() };
        let stepped = Event::Ended(Ended { mtu: Some((1_200, 2)), ..stepped });
        assert_eq!(line(stepped), format!("{expected}, datagrams stepped down to 1,200 bytes"));
        let bad = Why::BadFrame("a negative length: -1".into());
        assert!(line(ended(Some(bad))).contains("after 12 ms: a negative length: -1, 0 bytes in"));
    }

    #[test]
    fn events_are_objects_with_an_event_member() {
        let local = Peer::new("kcp", "127.0.0.1:8080".parse().unwrap());
        let (wire, cipher) = (Some(Wire::Extended), Cipher::Aes128Gcm);
        let value = serde_json::to_value(Event::Listening { local, wire, cipher, idle: None }).unwrap();
        let address = "127.0.0.1:8080";
        assert_eq!(
            value,
            json!({
                "event": "listening", "scheme": "kcp", "address": address, "port": 8080, "wire": "extended",
                "crypt": "aes-128-gcm", "idle_ms": null,
            })
        );
    }
}
