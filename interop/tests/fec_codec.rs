//! What sendoff's FEC encoder sends, into kcp-go 5.6.72's own decoder: whatever it recovers must be what was sent.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use sendoff_proto::TransmitBuffer;
use sendoff_proto::fec::{Encoder, FEC_OVERHEAD, Fec};

/// The program, if it has been built. If not, says so, and fails where CI=true.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/fecvectors");
    if !program.exists() {
        let reason = "fecvectors has not been built: run interop/setup.sh (it needs Go)";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        _ = writeln!(std::io::stderr(), "skipped: {reason}");
        return None;
    }
    Some(program)
}

fn fec(data: usize, parity: usize) -> Fec {
    Fec::new(data, parity).unwrap()
}

/// One PUSH, number `sn`, of that many bytes in all.
fn push(sn: u32, len: usize) -> Vec<u8> {
    let mut segment = Vec::with_capacity(len);
    segment.extend_from_slice(&0x5b1f_03aa_u32.to_le_bytes());
    segment.extend_from_slice(&[81, 0, 128, 0]);
    segment.extend_from_slice(&(sn * 3).to_le_bytes());
    segment.extend_from_slice(&sn.to_le_bytes());
    segment.extend_from_slice(&[0; 4]);
    segment.extend_from_slice(&(len as u32 - 24).to_le_bytes());
    segment.extend((24..len).map(|at| (at as u32 * 31 + sn * 7) as u8));
    segment
}

/// A sender over a link that loses, and what it has sent.
struct Sender {
    encoder: Encoder,
    buffer: TransmitBuffer,
    next: u32,
    sent: HashSet<Vec<u8>>,
    arrived: Vec<Vec<u8>>,
    random: u64,
    /// Of a hundred.
    loss: u64,
}

impl Sender {
    fn new(ratio: Fec, loss: u64) -> Self {
        Self {
            encoder: Encoder::new(ratio),
            buffer: TransmitBuffer::with_room(FEC_OVERHEAD, 0),
            next: 0,
            sent: HashSet::new(),
            arrived: Vec::new(),
            random: 0x9e37_79b9_7f4a_7c15,
            loss,
        }
    }

    fn send(&mut self, count: usize, len: impl Fn(u32) -> usize) {
        for _ in 0..count {
            let segments = push(self.next, len(self.next));
            let mut datagram = [&[0; FEC_OVERHEAD][..], &segments].concat();
            self.next += 1;
            self.sent.insert(segments);
            self.encoder.encode_datagram(Instant::now(), &mut datagram, FEC_OVERHEAD, 0);
            self.pass(datagram);
            while self.encoder.poll_transmit(&mut self.buffer) {
                for parity in self.buffer.datagrams().map(<[u8]>::to_vec).collect::<Vec<_>>() {
                    self.pass(parity);
                }
            }
        }
    }

    fn pass(&mut self, datagram: Vec<u8>) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if (self.random >> 20) % 100 >= self.loss {
            self.arrived.push(datagram);
        }
    }

    /// What kcp-go's decoder, which begins with `ratio`, recovers of what arrived: right, and wrong.
    fn recovered(&self, program: &Path, ratio: Fec) -> (usize, usize) {
        let mut child = Command::new(program)
            .args(["decode", &ratio.data().to_string(), &ratio.parity().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("fecvectors starts");
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let lines: String = self.arrived.iter().map(|shard| hex(shard) + "\n").collect();
        let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let mut output = String::new();
        stdout.read_to_string(&mut output).unwrap();
        writer.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
        let sent: HashSet<String> = self.sent.iter().map(|segments| hex(segments)).collect();
        let (right, wrong): (Vec<_>, Vec<_>) =
            output.lines().filter(|line| !line.is_empty()).partition(|line| sent.contains(*line));
        (right.len(), wrong.len())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn kcp_go_recovers_what_was_lost() {
    let Some(program) = program() else { return };
    for ratio in [fec(10, 3), fec(3, 2), fec(1, 1), fec(20, 20)] {
        let mut sender = Sender::new(ratio, 10);
        sender.send(2_000, |sn| 24 + (sn as usize * 37) % 1_300);
        let (right, wrong) = sender.recovered(&program, ratio);
        assert_eq!(wrong, 0, "{ratio}");
        assert!(right > 120, "{ratio}: {right}");
    }
}

#[test]
fn kcp_go_without_a_ratio_of_its_own_finds_ours() {
    let Some(program) = program() else { return };
    let mut sender = Sender::new(fec(10, 3), 2);
    sender.send(10_000, |_| 500);
    let (right, wrong) = sender.recovered(&program, fec(1, 1));
    assert_eq!(wrong, 0);
    assert!(right > 100, "{right}");
}

#[test]
fn kcp_go_follows_less_and_more_parity() {
    let Some(program) = program() else { return };
    for known in [fec(10, 5), fec(1, 1)] {
        let mut sender = Sender::new(fec(10, 5), 3);
        for round in 0..60 {
            sender.encoder.set_parity([0, 1, 2, 5, 3][round % 5]);
            sender.send(300, |_| 500);
        }
        let (right, wrong) = sender.recovered(&program, known);
        assert_eq!(wrong, 0, "{known}");
        assert!(right > 150, "{known}: {right}");
    }
}

#[test]
fn kcp_go_follows_a_change_of_ratio_and_recovers_nothing_wrong() {
    let Some(program) = program() else { return };
    let ratios = [fec(10, 3), fec(10, 4), fec(5, 2), fec(3, 2), fec(20, 6)];
    let mut sender = Sender::new(ratios[0], 3);
    for round in 0..25 {
        sender.encoder.change(ratios[round % 5]);
        sender.send(3_000, |_| 500);
    }
    let (right, wrong) = sender.recovered(&program, ratios[0]);
    assert_eq!(wrong, 0);
    assert!(right > 500, "{right}");
}
