//! What a conversation came to, and a capture.

use super::{
    pen::{self, Signs},
    smux,
};
use crate::{
    conversation::{Began, Conversation, Detail, Ended, Fec, Fin, Kcp, KcpSide, Side, TcpConversation},
    dissector::CaptureTotals,
    flows::MAX_PUT_TOGETHER,
    stream::{FrameError, Framing},
};
use sendoff_proto::code_name;
use std::fmt::Write;

/// Appends the summary of a conversation, some lines.
pub fn summary(conversation: &Conversation, signs: Signs, out: &mut String) {
    let Conversation { number, client, server, .. } = conversation;
    let kind = match &conversation.detail {
        Detail::Kcp(kcp) => format!("KCP conv={:#010x}", kcp.conv),
        Detail::Tcp(_) => "TCP".to_owned(),
        Detail::Udp => "UDP, not explained".to_owned(),
    };
    _ = write!(out, "#{number} {kind}  client {client} {} server {server}, ", signs.arrow);
    pen::duration(out, conversation.duration());
    out.push('\n');
    match &conversation.detail {
        Detail::Kcp(kcp) => summary_of_kcp(conversation, kcp, out),
        Detail::Tcp(tcp) => summary_of_tcp(conversation, tcp, out),
        Detail::Udp => {
            for side in [Side::Client, Side::Server] {
                totals(conversation, side, "datagram", out);
                out.push('\n');
            }
        }
    }
    if conversation.unreachable > 0 {
        out.push_str("   port unreachable, says ICMP: ");
        pen::count(out, conversation.unreachable, "time");
        out.push('\n');
    }
}

fn totals(conversation: &Conversation, side: Side, thing: &str, out: &mut String) {
    let totals = conversation.totals[side.index()];
    _ = write!(out, "   {side}: ");
    plural(out, totals.packets, thing);
    out.push_str(", ");
    plural(out, totals.bytes, "byte");
}

/// `1 byte`, `1,048,576 bytes`.
pub(super) fn plural(out: &mut String, value: u64, thing: &str) {
    pen::thousands(out, value);
    _ = write!(out, " {thing}{}", if value == 1 { "" } else { "s" });
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

fn summary_of_kcp(conversation: &Conversation, kcp: &Kcp, out: &mut String) {
    if let Some(cipher) = kcp.cipher {
        _ = writeln!(out, "   sealed with {cipher}");
    }
    _ = writeln!(out, "   began: {}", began(kcp));
    for side in [Side::Client, Side::Server] {
        totals(conversation, side, "datagram", out);
        side_of_kcp(&kcp.sides[side.index()], out);
    }
    smux::session(kcp, out);
    _ = writeln!(out, "   ended: {}", ended(kcp));
}

pub(super) fn began(kcp: &Kcp) -> &'static str {
    match kcp.began {
        Began::Hello => "with HELLO",
        Began::FirstPush => "with PUSH sn=0, as plain KCP does",
        Began::Unseen => "not seen, the capture begins in the middle",
    }
}

/// What is told of a side only if there is any: of one, of many.
const RARE: [[&str; 2]; 5] = [
    ["copy of a segment", "copies of segments"],
    [
        "segment that came late: lost before the capture, or overtaken",
        "segments that came late: lost before the capture, or overtaken",
    ],
    [
        "segment that the other side has, and the capture hasn't",
        "segments that the other side has, and the capture hasn't",
    ],
    ["segment that came only by recovery", "segments that came only by recovery"],
    ["segment that came by recovery too, known already", "segments that came by recovery too, known already"],
];

fn side_of_kcp(side: &KcpSide, out: &mut String) {
    out.push_str("; data ");
    plural(out, side.new_bytes, "byte");
    out.push_str(" in ");
    plural(out, side.new_segments, "segment");
    if let Some(goodput) = side.goodput() {
        _ = write!(out, ", {}/s", rate(goodput));
    }
    out.push('\n');
    if side.pushes > 0 {
        let share = side.retransmitted_share() * 100.0;
        _ = write!(
            out,
            "      sent again: {} of {} segments ({share:.1} %)",
            side.retransmissions, side.pushes
        );
        for (count, words) in [(side.fast, "judged fast"), (side.needless, "needless")] {
            if count > 0 {
                _ = write!(out, ", {count} {words}");
            }
        }
        out.push('\n');
    }
    let counts = [side.duplicates, side.late, side.missing(), side.recovered, side.recovered_known];
    for (count, [one, many]) in counts.into_iter().zip(RARE).filter(|(count, _)| *count > 0) {
        _ = writeln!(out, "      {count} {}", if count == 1 { one } else { many });
    }
    if side.stalls > 0 {
        out.push_str("      the window of the other side was full ");
        pen::count(out, side.stalls, "time");
        out.push_str(", for ");
        pen::duration(out, side.stalled);
        out.push('\n');
    }
    round_trips(side, out);
    if let Some((framing, frames, error)) = side.framing() {
        frames_line(framing, frames, error, out);
    }
    if let Some(fec) = &side.fec {
        forward_error_correction(fec, out);
    }
}

fn frames_line(framing: Framing, frames: u64, error: Option<FrameError>, out: &mut String) {
    _ = write!(out, "      frames, {framing}: ");
    pen::thousands(out, frames);
    _ = match error {
        Some(error) => writeln!(out, "; {error}"),
        None => writeln!(out),
    };
}

/// Bytes per second, in three digits or so.
fn rate(bytes: f64) -> String {
    match bytes {
        b if b < 1e3 => format!("{b:.0} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.1} GB", b / 1e9),
    }
}

fn round_trips(side: &KcpSide, out: &mut String) {
    let samples = &side.round_trips;
    if samples.count() == 0 {
        return;
    }
    out.push_str("      rtt seen here: least ");
    pen::duration(out, samples.least());
    for (name, share) in [("median", 0.5), ("90 %", 0.9), ("99 %", 0.99)] {
        _ = write!(out, ", {name} ");
        pen::duration(out, samples.quantile(share));
    }
    out.push_str(", most ");
    pen::duration(out, samples.most());
    out.push_str(" (");
    plural(out, samples.count(), "sample");
    out.push_str(")\n");
}

fn forward_error_correction(fec: &Fec, out: &mut String) {
    let shards = fec.data + fec.parity;
    match fec.ratio {
        Some((data, parity)) => _ = write!(out, "      fec {data}/{parity}: "),
        None => out.push_str("      fec, ratio not known: "),
    }
    let share = percent(fec.lost, shards + fec.lost);
    _ = write!(
        out,
        "{} data and {} parity shards; {} not seen ({share:.1} %), {} recovered",
        fec.data, fec.parity, fec.lost, fec.recovered
    );
    if fec.out_of_band > 0 {
        _ = write!(out, "; {} out of band", fec.out_of_band);
    }
    out.push('\n');
}

pub(super) fn ended(kcp: &Kcp) -> String {
    let fin = |side: Side| kcp.sides[side.index()].fin.as_ref();
    match kcp.ended() {
        Ended::Finished => {
            let both = [Side::Client, Side::Server].map(|side| fin(side).map(|fin| words_of_fin(side, fin)));
            both.into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Ended::HalfFinished(side) => {
            let words = fin(side).map(|fin| words_of_fin(side, fin)).unwrap_or_default();
            format!("{words}; the {} was not seen to finish", side.other())
        }
        Ended::Reset(reset) => {
            let mut words = format!("reset by the {}, {}", reset.by, code(reset.code));
            reason(&reset.reason, &mut words);
            words
        }
        Ended::Unseen { extended: false } => "no end was seen; plain KCP has none".into(),
        Ended::Unseen { extended: true } => "no end was seen, though the peers can say one".into(),
    }
}

fn words_of_fin(side: Side, fin: &Fin) -> String {
    let mut words = format!("the {side} finished, {}", code(fin.code));
    reason(&fin.reason, &mut words);
    if !fin.acknowledged {
        words += ", not acknowledged";
    }
    words
}

fn code(code: u32) -> String {
    match code_name(code) {
        Some(name) if code != 0 => format!("code {code} ({name})"),
        _ => format!("code {code}"),
    }
}

fn reason(reason: &str, words: &mut String) {
    if !reason.is_empty() {
        words.push_str(" \"");
        pen::escape(words, reason.as_bytes());
        words.push('"');
    }
}

fn summary_of_tcp(conversation: &Conversation, tcp: &TcpConversation, out: &mut String) {
    for side in [Side::Client, Side::Server] {
        let of = &tcp.sides[side.index()];
        totals(conversation, side, "segment", out);
        out.push_str("; in order ");
        plural(out, of.stream_bytes(), "byte");
        for (count, words) in [(of.retransmissions, "sent again"), (of.ahead, "came too early")] {
            if count > 0 {
                _ = write!(out, ", {count} {words}");
            }
        }
        out.push('\n');
        if let Some((framing, frames)) = of.framing() {
            frames_line(framing, frames, of.frame_error(), out);
        }
    }
    _ = writeln!(out, "   ended: {}", ended_of_tcp(tcp));
}

pub(super) fn ended_of_tcp(tcp: &TcpConversation) -> String {
    match (tcp.reset, tcp.sides[0].fin, tcp.sides[1].fin) {
        (_, true, true) => "both finished".to_owned(),
        (Some(by), ..) => format!("reset by the {by}"),
        (None, true, false) => "the client finished, the server was not seen to".to_owned(),
        (None, false, true) => "the server finished, the client was not seen to".to_owned(),
        (None, false, false) => "no end was seen".to_owned(),
    }
}

/// Appends the last line: what all of it came to.
pub fn closing(totals: &CaptureTotals, out: &mut String) {
    plural(out, totals.packets, "packet");
    out.push_str(", ");
    plural(out, totals.bytes, "byte");
    out.push_str(" in ");
    pen::duration(out, totals.duration);
    out.push_str("; ");
    plural(out, totals.conversations, "conversation");
    if totals.incomplete_fragments > 0 {
        out.push_str("; ");
        plural(out, totals.incomplete_fragments, "fragmented packet");
        out.push_str(" not whole");
    }
    if totals.dropped > 0 {
        out.push_str("; ");
        plural(out, totals.dropped, "packet");
        out.push_str(
            " more passed and are not in it: they came too fast for the capture, or after it had stopped",
        );
    }
    if totals.gave_way > 0 {
        out.push_str("; frames of ");
        plural(out, totals.gave_way, "conversation");
        _ = write!(out, " not told to the end: more than {MAX_PUT_TOGETHER} at a time");
    }
    out.push('\n');
}
