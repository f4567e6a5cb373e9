//! The end of a connection, in words.

use crate::units::{bytes, count, duration, plural};
use anyhow::anyhow;
use sendoff::{Cause, Ending, Party, Silence, code, code_name};
use std::io;

/// What became of a connection, and what more is to be said: for a log of many. `coded` where code and reason have
/// a place on the wire.
pub fn how_it_ended(ending: &Ending, coded: bool) -> (String, Vec<String>) {
    let lasted = duration(ending.lasted);
    let silent = || format!("silent for {}", duration(ending.silent_for));
    let said = || said(ending.code, &ending.reason);
    let (what, why) = match (ending.cause, ending.by) {
        (Cause::Closed, Party::Peer) => ("finished by the peer", Some(said())),
        (Cause::Closed, _) => ("finished here", Some(said())),
        (Cause::Aborted, _) => ("aborted here", Some(said())),
        (Cause::Reset, Party::Peer) => ("reset by the peer", Some(said())),
        (Cause::Reset, Party::Local) => ("broken off here", Some(said())),
        (Cause::Refused | Cause::Reset, _) => ("gone", Some("port unreachable".into())),
        (Cause::TimedOut(Silence::KeepAlive), _) => {
            ("gone", Some(format!("3 probes unanswered, {}", silent())))
        }
        (Cause::TimedOut(Silence::TooLarge), _) => ("given up", Some(TOO_LARGE.into())),
        (Cause::TimedOut(Silence::Linger), _) => ("closed here", Some("not all was acknowledged".into())),
        (Cause::TimedOut(_), _) => ("gone", Some(silent())),
        (Cause::EndpointLost, _) => ("lost", Some("the socket failed".into())),
        _ => ("ended", Some(ending.to_string())),
    };
    let by_words = ending.by != Party::Network && !matches!(ending.cause, Cause::TimedOut(_));
    let why = why.filter(|_| coded || !by_words);
    let mut details: Vec<String> = why.into_iter().collect();
    details.push(format!("{} in", bytes(ending.bytes_received)));
    details.push(format!("{} out", bytes(ending.bytes_sent)));
    if ending.bytes_in_doubt() > 0 {
        details.push(acknowledged(ending));
    }
    (format!("{what} after {lasted}"), details)
}

/// Said of a path that takes less than the MTU.
const TOO_LARGE: &str = "large datagrams don't get through, smaller ones do (--mtu 1200)";

/// `code 0`, `code 5 (closed with data unread)`, `code 17 "out of coffee"`.
fn said(number: u32, reason: &str) -> String {
    let name = match code_name(number) {
        Some(name) if number != code::NONE => format!(" ({name})"),
        _ => String::new(),
    };
    let reason = if reason.is_empty() { String::new() } else { format!(" \"{}\"", reason.escape_debug()) };
    format!("code {number}{name}{reason}")
}

/// The last words of a command whose one connection failed: what, from whom, after what.
pub fn after_failure(peer: &str, error: io::Error) -> anyhow::Error {
    match Ending::of(&error) {
        Some(ending) => failure(peer, ending),
        None => anyhow::Error::new(error).context(peer.to_owned()),
    }
}

/// The same for an end that didn't come as an error.
pub fn failure(peer: &str, ending: &Ending) -> anyhow::Error {
    let (lasted, silent) = (duration(ending.lasted), duration(ending.silent_for));
    // Of a transport without codes there is nothing to say.
    let with_code = |words: String| match (ending.code, ending.reason.as_str()) {
        (code::NONE, "") => words,
        (number, reason) => format!("{words}: {}", said(number, reason)),
    };
    let mut words = match ending.cause {
        Cause::Refused if ending.by == Party::Peer && ending.code == code::NONE => {
            return anyhow!("{peer} is a stock KCP peer, and wire=required wants none");
        }
        Cause::Refused if ending.by == Party::Peer => {
            return anyhow!("{peer} refused the connection: {}", said(ending.code, &ending.reason));
        }
        Cause::Reset if ending.by == Party::Peer => {
            with_code(format!("{peer} reset the connection after {lasted}"))
        }
        Cause::Reset if ending.by == Party::Local => {
            format!("broken off after {lasted}: {}", said(ending.code, &ending.reason))
        }
        Cause::Refused => return anyhow!("{peer} refused the connection (port unreachable)"),
        Cause::Reset => format!("{peer} is gone (port unreachable) after {lasted}"),
        Cause::TimedOut(Silence::Opening) => match ending.datagrams_unopened {
            None => format!("{peer} has not answered within {lasted}"),
            Some(0) => format!("{peer} has not answered within {lasted}, or has another key or cipher"),
            Some(n) => {
                let what = plural(n, "datagram");
                format!(
                    "{peer}: nothing that came within {lasted} could be opened: {what} (wrong key or cipher?)"
                )
            }
        },
        Cause::TimedOut(Silence::KeepAlive) => {
            format!("{peer} is gone after {lasted}: silent for {silent}, 3 probes unanswered")
        }
        Cause::TimedOut(Silence::Linger) => {
            format!("{peer} acknowledged nothing more, given up after {lasted}")
        }
        Cause::TimedOut(Silence::TooLarge) => format!("{peer}: {TOO_LARGE}: given up after {lasted}"),
        Cause::TimedOut(_) => format!("{peer} is gone after {lasted}: silent for {silent}"),
        Cause::EndpointLost => format!("the socket towards {peer} failed after {lasted}"),
        _ => format!("{peer}: {ending}"),
    };
    if ending.bytes_in_doubt() > 0 {
        words = format!("{words}, {}", acknowledged(ending));
    }
    anyhow!(words)
}

fn acknowledged(ending: &Ending) -> String {
    let written = ending.bytes_sent + ending.bytes_unsent;
    format!("{} of {} acknowledged", count(ending.bytes_acknowledged), bytes(written))
}
