//! Sessions of smux: their frames and streams, for people and for programs.

use super::{json::Json, pen, summary::plural};
use crate::{
    conversation::{Kcp, Side},
    stream::{SmuxFrame, SmuxStream, SmuxTotals},
};
use std::{collections::BTreeSet, fmt::Write};

/// Streams that a summary tells one by one.
const TOLD_STREAMS: usize = 64;

/// Appends what a session came to: a line for it, and one for each stream.
pub(super) fn session(kcp: &Kcp, out: &mut String) {
    let [Some(client), Some(server)] =
        [Side::Client, Side::Server].map(|side| kcp.sides[side.index()].smux())
    else {
        return;
    };
    let both = [client, server];
    let numbers: BTreeSet<u32> = both.iter().flat_map(|totals| totals.streams.keys().copied()).collect();
    if let Some(version) = client.version.or(server.version) {
        _ = write!(out, "   smux {version}");
        if client.snappy || server.snappy {
            out.push_str(" in snappy");
        }
        out.push_str(": ");
        plural(out, numbers.len() as u64, "stream");
        out.push_str(", ");
        plural(out, client.keep_alives + server.keep_alives, "keep-alive");
        out.push('\n');
    }
    for number in numbers.iter().take(TOLD_STREAMS) {
        let [client, server] = both.map(|totals| totals.streams.get(number).copied().unwrap_or_default());
        _ = write!(out, "      stream {number}");
        match (client.syn, server.syn) {
            (true, _) => out.push_str(", opened by the client"),
            (_, true) => out.push_str(", opened by the server"),
            _ => {}
        }
        for (side, stream) in [(Side::Client, client), (Side::Server, server)] {
            one_side(side, &stream, out);
        }
        out.push('\n');
    }
    if let Some(more @ 1..) = numbers.len().checked_sub(TOLD_STREAMS) {
        _ = writeln!(out, "      and {more} more streams");
    }
    for (side, totals) in [(Side::Client, client), (Side::Server, server)] {
        if totals.others > 0 {
            _ = writeln!(out, "      {side}: {} frames of further streams", totals.others);
        }
        if let Some(error) = totals.error {
            _ = writeln!(out, "      {side}: {error}");
        }
    }
}

fn one_side(side: Side, stream: &SmuxStream, out: &mut String) {
    _ = write!(out, "; {side} ");
    plural(out, stream.bytes, "byte");
    out.push_str(" in ");
    plural(out, stream.frames, "frame");
    if let Some((consumed, window)) = stream.update {
        _ = write!(out, ", has read ");
        pen::number(out, consumed.into());
        _ = write!(out, " of the other side, window {window}");
    }
    if stream.fin {
        out.push_str(", finished");
    }
}

/// The frames of a packet, if there are any.
pub(super) fn frames(frames: &[SmuxFrame], json: &mut Json<'_>) {
    if frames.is_empty() {
        return;
    }
    let mut list = json.list("smux");
    for frame in frames {
        let mut object = list.item();
        object.plain("version", frame.version);
        object.text("command", frame.command);
        object.number("stream", frame.stream.into());
        object.number("bytes", frame.len.into());
        update(frame.update, &mut object);
        object.end();
    }
    list.end();
}

fn update(update: Option<(u32, u32)>, object: &mut Json<'_>) {
    if let Some((consumed, window)) = update {
        object.number("consumed", consumed.into());
        object.number("window", window.into());
    }
}

/// What one side of a session came to.
pub(super) fn side(totals: &SmuxTotals, json: &mut Json<'_>) {
    let mut object = json.nested("smux");
    if let Some(version) = totals.version {
        object.plain("version", version);
    }
    object.plain("snappy", totals.snappy);
    object.number("frames", totals.frames);
    object.number("keep_alives", totals.keep_alives);
    let mut list = object.list("streams");
    for (number, stream) in &totals.streams {
        let mut item = list.item();
        item.number("stream", (*number).into());
        item.plain("syn", stream.syn);
        item.plain("fin", stream.fin);
        item.number("frames", stream.frames);
        item.number("bytes", stream.bytes);
        update(stream.update, &mut item);
        item.end();
    }
    list.end();
    if totals.others > 0 {
        object.number("others", totals.others);
    }
    if let Some(error) = totals.error {
        object.text("error", error);
    }
    object.end();
}
