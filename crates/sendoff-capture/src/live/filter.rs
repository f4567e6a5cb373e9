//! What the kernel lets through: a program of the classic packet filter (`Documentation/networking/filter.rst`).
//!
//! It reads from the network header on, wherever that lies, and what the kernel knows about a packet.

use libc::sock_filter;

/// Instructions, by what they do.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
/// The same at X and further.
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_BYTE_AT_X: u16 = 0x50;
/// X = four times the lower half of a byte: the length of an IPv4 header.
const LOAD_X_HEADER: u16 = 0xb1;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

/// Places that don't lie in the packet.
const NETWORK: u32 = -0x10_0000_i32 as u32;
const PROTOCOL: u32 = -0x1000_i32 as u32;
const PACKET_TYPE: u32 = PROTOCOL + 4;
const HARDWARE_TYPE: u32 = PROTOCOL + 28;

const OUTGOING: u32 = 4;
const LOOPBACK: u32 = 772;

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Next,
    Accept,
    Drop,
    Label(&'static str),
}

/// An instruction whose jumps have names.
struct Line {
    label: Option<&'static str>,
    code: u16,
    k: u32,
    yes: To,
    no: To,
}

#[derive(Default)]
struct Assembler {
    lines: Vec<Line>,
    label: Option<&'static str>,
}

impl Assembler {
    fn label(&mut self, name: &'static str) {
        self.label = Some(name);
    }

    fn load(&mut self, code: u16, k: u32) {
        self.test(code, k, To::Next, To::Next);
    }

    fn test(&mut self, code: u16, k: u32, yes: To, no: To) {
        self.lines.push(Line { label: self.label.take(), code, k, yes, no });
    }

    /// The instructions, and behind them the two ends.
    fn assemble(self) -> Vec<sock_filter> {
        let accept = self.lines.len();
        let place =
            |label| self.lines.iter().position(|line| line.label == Some(label)).unwrap_or(accept + 1);
        let offset = |from: usize, to: To| {
            let to = match to {
                To::Next => return 0,
                To::Accept => accept,
                To::Drop => accept + 1,
                To::Label(label) => place(label),
            };
            // Jumps go forward, and the program is short.
            (to - from - 1) as u8
        };
        let line = |(at, line): (usize, &Line)| sock_filter {
            code: line.code,
            jt: offset(at, line.yes),
            jf: offset(at, line.no),
            k: line.k,
        };
        let mut program: Vec<sock_filter> = self.lines.iter().enumerate().map(line).collect();
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: u32::MAX });
        program.push(sock_filter { code: RETURN, jt: 0, jf: 0, k: 0 });
        program
    }
}

/// Lets through all, or what has to do with a port. Of what goes over loopback, which passes twice, only its arrival.
pub(super) fn program(port: Option<u16>) -> Vec<sock_filter> {
    let mut asm = Assembler::default();
    let start = if port.is_some() { To::Label("start") } else { To::Accept };
    asm.load(LOAD_WORD, HARDWARE_TYPE);
    asm.test(JUMP_EQUAL, LOOPBACK, To::Next, start);
    asm.load(LOAD_WORD, PACKET_TYPE);
    asm.test(JUMP_EQUAL, OUTGOING, To::Drop, start);
    if let Some(port) = port {
        let port = u32::from(port);
        asm.label("start");
        asm.load(LOAD_WORD, PROTOCOL);
        asm.test(JUMP_EQUAL, 0x0800, To::Label("ipv4"), To::Next);
        asm.test(JUMP_EQUAL, 0x86dd, To::Label("ipv6"), To::Drop);
        ipv4(&mut asm, port);
        ipv6(&mut asm, port);
    }
    asm.assemble()
}

/// Source or destination port.
fn ports(asm: &mut Assembler, load: u16, at: u32, port: u32) {
    asm.load(load, NETWORK.wrapping_add(at));
    asm.test(JUMP_EQUAL, port, To::Accept, To::Next);
    asm.load(load, NETWORK.wrapping_add(at + 2));
    asm.test(JUMP_EQUAL, port, To::Accept, To::Drop);
}

fn ipv4(asm: &mut Assembler, port: u32) {
    asm.label("ipv4");
    asm.load(LOAD_BYTE, NETWORK + 9);
    asm.test(JUMP_EQUAL, 17, To::Label("ipv4 ports"), To::Next);
    asm.test(JUMP_EQUAL, 6, To::Label("ipv4 ports"), To::Next);
    asm.test(JUMP_EQUAL, 1, To::Label("icmp"), To::Drop);

    asm.label("ipv4 ports");
    asm.load(LOAD_HALF, NETWORK + 6);
    // A fragment that isn't the first has no ports.
    asm.test(JUMP_SET, 0x1fff, To::Accept, To::Next);
    asm.load(LOAD_X_HEADER, NETWORK);
    ports(asm, LOAD_HALF_AT_X, 0, port);

    // Errors quote the packet that they are about: unreachable, quench, redirect, time exceeded, bad parameter.
    asm.label("icmp");
    asm.load(LOAD_HALF, NETWORK + 6);
    asm.test(JUMP_SET, 0x1fff, To::Drop, To::Next);
    asm.load(LOAD_X_HEADER, NETWORK);
    asm.load(LOAD_BYTE_AT_X, NETWORK);
    for kind in [3, 4, 5, 11] {
        asm.test(JUMP_EQUAL, kind, To::Label("quoted"), To::Next);
    }
    asm.test(JUMP_EQUAL, 12, To::Next, To::Drop);
    asm.label("quoted");
    asm.load(LOAD_BYTE_AT_X, NETWORK + 8);
    // Without options.
    asm.test(JUMP_EQUAL, 0x45, To::Next, To::Drop);
    ports(asm, LOAD_HALF_AT_X, 8 + 20, port);
}

fn ipv6(asm: &mut Assembler, port: u32) {
    asm.label("ipv6");
    asm.load(LOAD_BYTE, NETWORK + 6);
    asm.test(JUMP_EQUAL, 17, To::Label("ipv6 ports"), To::Next);
    asm.test(JUMP_EQUAL, 6, To::Label("ipv6 ports"), To::Next);
    asm.test(JUMP_EQUAL, 44, To::Label("ipv6 fragment"), To::Next);
    asm.test(JUMP_EQUAL, 58, To::Label("icmpv6"), To::Drop);

    asm.label("ipv6 ports");
    ports(asm, LOAD_HALF, 40, port);

    asm.label("ipv6 fragment");
    asm.load(LOAD_HALF, NETWORK + 42);
    asm.test(JUMP_SET, 0xfff8, To::Accept, To::Next);
    ports(asm, LOAD_HALF, 48, port);

    // Errors have a type below 128.
    asm.label("icmpv6");
    asm.load(LOAD_BYTE, NETWORK + 40);
    asm.test(JUMP_SET, 0x80, To::Drop, To::Next);
    ports(asm, LOAD_HALF, 48 + 40, port);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp_packet;

    /// What the kernel knows of a packet, and its bytes from the network header on.
    struct Skb<'a> {
        hardware: u32,
        packet_type: u32,
        protocol: u32,
        bytes: &'a [u8],
    }

    impl Skb<'_> {
        fn load(&self, at: u32, size: usize) -> Option<u32> {
            match at {
                HARDWARE_TYPE => Some(self.hardware),
                PACKET_TYPE => Some(self.packet_type),
                PROTOCOL => Some(self.protocol),
                at => {
                    let at = at.wrapping_sub(NETWORK) as usize;
                    let bytes = self.bytes.get(at..at.checked_add(size)?)?;
                    Some(bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
                }
            }
        }
    }

    /// Runs a program as the kernel does: what lies outside of the packet ends it with 0.
    fn lets_through(program: &[sock_filter], skb: &Skb<'_>) -> bool {
        let (mut a, mut x, mut at) = (0, 0, 0);
        let run = || -> Option<u32> {
            loop {
                let sock_filter { code, jt, jf, k } = program[at];
                at += 1;
                let jump = |yes: bool| usize::from(if yes { jt } else { jf });
                match code {
                    LOAD_WORD => a = skb.load(k, 4)?,
                    LOAD_HALF => a = skb.load(k, 2)?,
                    LOAD_BYTE => a = skb.load(k, 1)?,
                    LOAD_HALF_AT_X => a = skb.load(k.wrapping_add(x), 2)?,
                    LOAD_BYTE_AT_X => a = skb.load(k.wrapping_add(x), 1)?,
                    LOAD_X_HEADER => x = (skb.load(k, 1)? & 15) * 4,
                    JUMP_EQUAL => at += jump(a == k),
                    JUMP_SET => at += jump(a & k != 0),
                    RETURN => return Some(k),
                    other => panic!("{other:#x}"),
                }
            }
        };
        let mut run = run;
        run().unwrap_or(0) > 0
    }

    fn udp(source: &str, destination: &str) -> Vec<u8> {
        let mut packet = Vec::new();
        udp_packet(source.parse().unwrap(), destination.parse().unwrap(), b"text", &mut packet).unwrap();
        packet
    }

    fn passes(port: Option<u16>, bytes: &[u8]) -> bool {
        let protocol = if bytes[0] >> 4 == 4 { 0x0800 } else { 0x86dd };
        lets_through(&program(port), &Skb { hardware: 1, packet_type: 0, protocol, bytes })
    }

    #[test]
    fn a_port_is_found_in_both_directions_and_versions() {
        for (source, destination) in [("10.0.0.1:80", "10.0.0.2:9"), ("[2001:db8::1]:80", "[2001:db8::2]:9")]
        {
            let mut packet = udp(source, destination);
            assert!(passes(Some(80), &packet) && passes(Some(9), &packet) && !passes(Some(81), &packet));
            let protocol = if packet[0] >> 4 == 4 { 9 } else { 6 };
            packet[protocol] = 6;
            assert!(passes(Some(80), &packet), "TCP has its ports in the same place");
            packet[protocol] = 47;
            assert!(!passes(Some(80), &packet));
            for len in 0..packet.len().min(44) {
                // Nothing is read beyond the packet; without ports nothing passes.
                let skb = Skb { hardware: 1, packet_type: 0, protocol: 0x0800, bytes: &packet[..len] };
                assert!(len >= 22 || !lets_through(&program(Some(80)), &skb));
            }
        }
        let arp = Skb { hardware: 1, packet_type: 0, protocol: 0x0806, bytes: &[0; 28] };
        assert!(!lets_through(&program(Some(80)), &arp) && lets_through(&program(None), &arp));
    }

    #[test]
    fn options_move_the_ports_and_later_fragments_pass() {
        let packet = udp("10.0.0.1:80", "10.0.0.2:9");
        let mut with_options = [&packet[..20], &[1; 8], &packet[20..]].concat();
        with_options[0] = 0x47;
        assert!(passes(Some(80), &with_options) && !passes(Some(257), &with_options));
        let mut fragment = udp("10.0.0.1:1", "10.0.0.2:2");
        fragment[7] = 100;
        assert!(passes(Some(80), &fragment));
        let v6 = udp("[2001:db8::1]:80", "[2001:db8::2]:9");
        let mut fragment = [&v6[..40], &[17, 0, 0, 0, 0, 0, 0, 1], &v6[40..]].concat();
        fragment[6] = 44;
        assert!(passes(Some(80), &fragment) && !passes(Some(81), &fragment));
        fragment[43] = 8;
        assert!(passes(Some(81), &fragment));
    }

    #[test]
    fn an_error_passes_if_it_is_about_the_port() {
        let quoted = udp("10.0.0.1:5000", "10.0.0.2:80");
        let mut error = [&udp("10.0.0.2:1", "10.0.0.1:1")[..20], &[3, 3, 0, 0, 0, 0, 0, 0], &quoted].concat();
        error[9] = 1;
        assert!(passes(Some(80), &error) && passes(Some(5000), &error) && !passes(Some(81), &error));
        error[20] = 8;
        assert!(!passes(Some(80), &error), "an echo request quotes nothing");
        let quoted = udp("[2001:db8::1]:5000", "[2001:db8::2]:80");
        let mut error = [&quoted[..40], &[1, 4, 0, 0, 0, 0, 0, 0], &quoted].concat();
        error[6] = 58;
        assert!(passes(Some(80), &error) && !passes(Some(81), &error));
        error[40] = 128;
        assert!(!passes(Some(80), &error));
    }

    #[test]
    fn over_loopback_only_the_arrival_passes() {
        let bytes = udp("127.0.0.1:80", "127.0.0.1:9");
        for (hardware, packet_type, expected) in [(772, 4, false), (772, 0, true), (1, 4, true), (1, 0, true)]
        {
            let skb = Skb { hardware, packet_type, protocol: 0x0800, bytes: &bytes };
            for port in [None, Some(80)] {
                assert_eq!(lets_through(&program(port), &skb), expected, "{hardware} {packet_type}");
            }
        }
    }
}
