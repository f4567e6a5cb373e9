//! Reads recorded datagrams, by the layout of the KCP header and nothing of sendoff's own.

use std::fmt;

use crate::Recorded;

/// What a test looks at in one KCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// PUSH, ACK, WASK, WINS, or the number of another command.
    pub command: Command,
    /// Sequence number.
    pub sn: u32,
    /// All below it are received.
    pub una: u32,
    /// Data bytes.
    pub length: usize,
}

/// The command byte of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Data.
    Push,
    /// Acknowledgement of one segment.
    Ack,
    /// Asks for the window.
    WindowAsk,
    /// Tells the window.
    WindowTell,
    /// None of KCP's.
    Other(u8),
}

/// The segments of a datagram, up to the first that is cut short.
pub fn segments(mut datagram: &[u8]) -> Vec<Segment> {
    let mut found = Vec::new();
    while let Some((header, rest)) = datagram.split_at_checked(24) {
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let length = word(20) as usize;
        let Some((_, next)) = rest.split_at_checked(length) else { break };
        let command = match header[4] {
            81 => Command::Push,
            82 => Command::Ack,
            83 => Command::WindowAsk,
            84 => Command::WindowTell,
            other => Command::Other(other),
        };
        found.push(Segment { command, sn: word(12), una: word(16), length });
        datagram = next;
    }
    found
}

/// A recording as lines: time, direction, and what is in each datagram.
pub struct Ladder<'a>(pub &'a [Recorded]);

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.0.first() else { return writeln!(f, "  (no datagram)") };
        for recorded in self.0 {
            let at = recorded.at.duration_since(first.at).as_secs_f64() * 1e3;
            write!(f, "  {at:9.2} ms  {:?}", recorded.direction)?;
            for Segment { command, sn, una, length } in segments(&recorded.datagram) {
                write!(f, "  {command:?} sn={sn} una={una} {length} bytes")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_segments_of_one_datagram_are_both_seen() {
        let mut datagram = vec![0; 24];
        (datagram[4], datagram[12], datagram[16]) = (82, 3, 4);
        let mut push = vec![0; 29];
        (push[4], push[20]) = (81, 5);
        datagram.extend(push);
        let expected = [
            Segment { command: Command::Ack, sn: 3, una: 4, length: 0 },
            Segment { command: Command::Push, sn: 0, una: 0, length: 5 },
        ];
        assert_eq!(segments(&datagram), expected);
        assert_eq!(segments(&datagram[..52]), expected[..1]);
    }
}
