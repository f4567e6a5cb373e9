//! A conversation as a ladder: one line a datagram, in words, as both endpoints saw it.

use crate::report::{Arrows, milliseconds};
use sendoff::{
    Direction, Tap, TappedDatagram,
    wire::{BlockKind, SegmentView, segments},
};
use sendoff_capture::report::{SegmentWords, segment_object};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Keeps every datagram of the endpoints that it is given to.
#[derive(Debug, Default)]
pub struct Recorder {
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    direction: Direction,
    from: SocketAddr,
    payload: Vec<u8>,
}

impl Tap for Recorder {
    fn datagram(&self, datagram: &TappedDatagram<'_>) {
        let from = match datagram.direction {
            Direction::Sent => datagram.local,
            Direction::Received => datagram.peer,
        };
        let (at, direction, payload) = (datagram.at, datagram.direction, datagram.payload.to_owned());
        self.lock().push(Seen { at, direction, from, payload });
    }
}

impl Recorder {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The datagrams that were sent, in order of time, as seen from `client`'s first.
    pub fn ladder(&self, client: SocketAddr) -> Ladder {
        let mut sent: Vec<Seen> =
            self.lock().iter().filter(|s| s.direction == Direction::Sent).cloned().collect();
        sent.sort_by_key(|seen| seen.at);
        let start = sent.first().map(|first| first.at);
        let rungs = sent.into_iter().map(|seen| Rung {
            after: start.map_or(Duration::ZERO, |start| seen.at - start),
            from_client: seen.from == client,
            payload: seen.payload,
        });
        Ladder { rungs: rungs.collect() }
    }

    /// How many datagrams were received by either side.
    pub fn received(&self) -> usize {
        self.lock().iter().filter(|seen| seen.direction == Direction::Received).count()
    }
}

/// The datagrams of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    rungs: Vec<Rung>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rung {
    after: Duration,
    from_client: bool,
    payload: Vec<u8>,
}

impl Ladder {
    /// Who sent what, such as `client PUSH`, a datagram an item.
    pub fn shape(&self) -> Vec<String> {
        let shape = |rung: &Rung| {
            let commands: Vec<String> = rung.segments().map(|s| name(&s)).collect();
            format!("{} {}", rung.sender(), commands.join("+"))
        };
        self.rungs.iter().map(shape).collect()
    }

    /// The ladder for a person: a line a datagram.
    pub fn to_lines(&self, arrows: Arrows) -> Vec<String> {
        let mut windows = [None, None];
        let described: Vec<Vec<Words>> = self
            .rungs
            .iter()
            .map(|rung| {
                let window = &mut windows[usize::from(rung.from_client)];
                rung.segments().map(|segment| Words::of(&segment, window, arrows)).collect()
            })
            .collect();
        // Columns are for lines of one segment.
        let single = || described.iter().filter(|segments| segments.len() == 1).flatten();
        let width = |f: fn(&Words) -> usize| single().map(f).max().unwrap_or(0);
        let (numbers, sizes) = (width(|w| w.numbers.len()), width(|w| w.size.len()));
        let line = |(rung, segments): (&Rung, &Vec<Words>)| {
            let arrow = if rung.from_client { arrows.right } else { arrows.left };
            let (numbers, sizes) = if segments.len() == 1 { (numbers, sizes) } else { (0, 0) };
            let words: Vec<String> = segments.iter().map(|words| words.padded(numbers, sizes)).collect();
            let words = words.join(&format!("  {}  ", arrows.dot));
            format!("{:9.2} ms  client {arrow} server   {words}", milliseconds(rung.after))
                .trim_end()
                .to_owned()
        };
        self.rungs.iter().zip(&described).map(line).collect()
    }

    /// The ladder for a program: an object a datagram.
    pub fn to_values(&self) -> Vec<Value> {
        let object = |rung: &Rung| {
            let segments: Vec<Value> = rung.segments().map(|segment| describe(&segment)).collect();
            json!({
                "report": "datagram",
                "after_ms": milliseconds(rung.after),
                "from": rung.sender(),
                "bytes": rung.payload.len(),
                "segments": segments,
            })
        };
        self.rungs.iter().map(object).collect()
    }
}

impl Rung {
    fn sender(&self) -> &'static str {
        if self.from_client { "client" } else { "server" }
    }

    fn segments(&self) -> impl Iterator<Item = SegmentView<'_>> {
        segments(&self.payload).filter_map(Result::ok)
    }
}

/// A segment in columns, in the words of `dissect`.
struct Words {
    command: String,
    numbers: String,
    size: String,
    content: String,
}

impl Words {
    fn of(segment: &SegmentView<'_>, window: &mut Option<u16>, arrows: Arrows) -> Self {
        let words = SegmentWords::new(*segment);
        let mut numbers = match words.block().map(|block| block.body.kind()) {
            Some(BlockKind::Hello | BlockKind::Ping | BlockKind::Pong) => String::new(),
            _ => written(|out| words.numbers(out)),
        };
        // The same window on every line would only hide what changes.
        if window.replace(segment.window()) != Some(segment.window()) {
            numbers = format!("{numbers} wnd={}", segment.window()).trim_start().to_owned();
        }
        Self {
            command: name(segment),
            numbers,
            size: written(|out| words.size(out)),
            content: written(|out| words.content(out, arrows.signs())),
        }
    }

    fn padded(&self, numbers: usize, sizes: usize) -> String {
        let Self { command, numbers: what, size, content } = self;
        format!("{command:4} {what:numbers$}  {size:sizes$}  {content}").trim_end().to_owned()
    }
}

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

/// What a segment is: the name of the block in it, or its command.
fn name(segment: &SegmentView<'_>) -> String {
    written(|out| SegmentWords::new(*segment).name(out))
}

/// The object that `dissect` makes of a segment.
fn describe(segment: &SegmentView<'_>) -> Value {
    let object = written(|out| segment_object(segment, out));
    serde_json::from_str(&object).expect("an object of JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sendoff::wire::{Command, Segment};

    const CLIENT: &str = "127.0.0.1:1000";
    const SERVER: &str = "127.0.0.1:2000";

    fn segment(command: Command, una: u32, window: u16, data: &[u8]) -> Vec<u8> {
        let (timestamp, sn) = Default::default();
        let mut segment = Segment { conv: 7, command, fragment: 0, window, timestamp, sn, una: sn };
        segment.una.0 = una;
        let mut out = Vec::new();
        segment.encode(data, &mut out);
        out
    }

    fn recorded(datagrams: &[(u64, &str, Direction, Vec<u8>)]) -> Recorder {
        let (recorder, start) = (Recorder::default(), Instant::now());
        for (us, local, direction, payload) in datagrams {
            let peer = if *local == CLIENT { SERVER } else { CLIENT };
            let at = start + Duration::from_micros(*us);
            let (local, peer) = (local.parse().unwrap(), peer.parse().unwrap());
            recorder.datagram(&TappedDatagram::new(at, *direction, local, peer, payload));
        }
        recorder
    }

    fn echo() -> Recorder {
        let text = b"2026-11-21 12:00:00.301 and more";
        let question = segment(Command::Push, 0, 1024, text);
        let answer = segment(Command::Push, 1, 1024, text);
        recorded(&[
            (120, SERVER, Direction::Sent, answer.clone()),
            (0, CLIENT, Direction::Sent, question.clone()),
            (40, SERVER, Direction::Received, question),
            (90, SERVER, Direction::Sent, segment(Command::Ack, 1, 1024, b"")),
            (150, CLIENT, Direction::Received, answer),
            (200, CLIENT, Direction::Sent, segment(Command::Ack, 1, 1023, b"")),
        ])
    }

    #[test]
    fn datagrams_stand_in_order_of_time_with_what_changed() {
        let recorder = echo();
        let ladder = recorder.ladder(CLIENT.parse().unwrap());
        assert_eq!(ladder.shape(), ["client PUSH", "server ACK", "server PUSH", "client ACK"]);
        assert_eq!(recorder.received(), 2);
        let expected = "     0.00 ms  client ──▶ server   PUSH sn=0 una=0 wnd=1024  32 bytes  \"2026-11-21 12:00:00.301 …\"
     0.09 ms  client ◀── server   ACK  sn=0 una=1 wnd=1024
     0.12 ms  client ◀── server   PUSH sn=0 una=1           32 bytes  \"2026-11-21 12:00:00.301 …\"
     0.20 ms  client ──▶ server   ACK  sn=0 una=1 wnd=1023";
        assert_eq!(ladder.to_lines(Arrows::UNICODE).join("\n"), expected);
        assert!(ladder.to_lines(Arrows::ASCII).iter().all(|line| line.is_ascii()));
    }

    #[test]
    fn several_segments_share_a_line() {
        let mut datagram = segment(Command::Ack, 1, 32, b"");
        datagram.extend(segment(Command::Push, 1, 32, b"x"));
        let ladder = recorded(&[(0, SERVER, Direction::Sent, datagram)]).ladder(CLIENT.parse().unwrap());
        assert_eq!(ladder.shape(), ["server ACK+PUSH"]);
        let line = &ladder.to_lines(Arrows::ASCII)[0];
        assert!(line.contains("ACK  sn=0 una=1 wnd=32") && line.ends_with("1 byte  \"x\""), "{line}");
    }

    #[test]
    fn objects_hold_every_field() {
        let values = echo().ladder(CLIENT.parse().unwrap()).to_values();
        assert_eq!(values.len(), 4);
        assert_eq!(values[0]["from"], "client");
        assert_eq!(values[0]["segments"][0]["data"]["text"], "2026-11-21 12:00:00.301 and more");
        assert_eq!(values[3]["after_ms"], 0.2);
        assert_eq!(values[3]["segments"][0]["window"], 1023);
    }
}
