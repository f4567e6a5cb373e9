//! The end of a connection, in words.

use crate::units::{bytes, count, duration};
use anyhow::anyhow;
use sendoff::{Cause, Ending, Silence};
use std::io;

/// What became of a connection, and what more is to be said: for a log of many.
pub fn how_it_ended(ending: &Ending) -> (String, Vec<String>) {
    let lasted = duration(ending.lasted);
    let silent = || format!("silent for {}", duration(ending.silent_for));
    let (what, why) = match ending.cause {
        Cause::Closed => ("closed here", None),
        Cause::Aborted => ("aborted here", None),
        Cause::Refused | Cause::Reset => ("gone", Some("port unreachable".into())),
        Cause::TimedOut(Silence::KeepAlive) => ("gone", Some(format!("3 probes unanswered, {}", silent()))),
        Cause::TimedOut(Silence::Linger) => ("closed here", Some("not all was acknowledged".into())),
        Cause::TimedOut(_) => ("gone", Some(silent())),
        Cause::EndpointLost => ("lost", Some("the socket failed".into())),
        _ => ("ended", Some(ending.to_string())),
    };
    let mut details: Vec<String> = why.into_iter().collect();
    details.push(format!("{} in", bytes(ending.bytes_received)));
    details.push(format!("{} out", bytes(ending.bytes_sent)));
    if ending.bytes_in_doubt() > 0 {
        details.push(acknowledged(ending));
    }
    (format!("{what} after {lasted}"), details)
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
    let mut words = match ending.cause {
        Cause::Refused => return anyhow!("{peer} refused the connection (port unreachable)"),
        Cause::Reset => format!("{peer} is gone (port unreachable) after {lasted}"),
        Cause::TimedOut(Silence::Opening) => format!("{peer} has not answered within {lasted}"),
        Cause::TimedOut(Silence::KeepAlive) => {
            format!("{peer} is gone after {lasted}: silent for {silent}, 3 probes unanswered")
        }
        Cause::TimedOut(Silence::Linger) => {
            format!("{peer} acknowledged nothing more, given up after {lasted}")
        }
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
