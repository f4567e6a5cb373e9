//! The newer format: blocks, each `type u32 | length u32 | … | length u32`; a section begins with a header
//! that tells its byte order, and describes its interfaces before their packets.

use super::{Input, LinkType, MAX_BLOCK, MAX_INTERFACES, Order, Packet, ReadError, ReadProblem};
use std::{io::Read, time::Duration};

/// The same in both byte orders.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const BYTE_ORDER: u32 = 0x1a2b_3c4d;
pub(super) const INTERFACE: u32 = 1;
/// Obsolete, but written by old tools.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
pub(super) const STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;

/// Type and both lengths.
const FRAME: usize = 12;
const SECTION_HEADER_SIZE: usize = 28;

pub(super) const COMMENT: u16 = 1;
pub(super) const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;
pub(super) const ISB_IFRECV: u16 = 4;
pub(super) const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;

/// What holds until the next section header.
#[derive(Debug)]
pub(super) struct Section {
    order: Order,
    interfaces: Vec<Interface>,
    /// Packets that the sections before this one lack.
    dropped_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    /// Bytes of a packet that were kept; 0 is no limit.
    snap_len: u32,
    clock: Clock,
    /// Packets that it has lost, as its latest statistics say.
    dropped: u64,
}

/// Turns an interface's ticks into time.
#[derive(Clone, Copy, Debug)]
struct Clock {
    unit: Unit,
    /// Added to each time (`if_tsoffset`).
    offset_seconds: i64,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Ticks in a second.
    PerSecond(u64),
    /// Ticks are finer than 10^-19 s or 2^-63 s: so many of them make a nanosecond. Nothing real.
    TooFine,
}

impl Clock {
    /// `resolution` is if_tsresol: a negative power of 10, or with the highest bit of 2.
    fn new(resolution: u8, offset_seconds: i64) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
        let unit = base.checked_pow(exponent).map_or(Unit::TooFine, Unit::PerSecond);
        Self { unit, offset_seconds }
    }

    #[inline]
    fn time(self, ticks: u64) -> Duration {
        let since = match self.unit {
            Unit::PerSecond(1_000_000_000) => Duration::from_nanos(ticks),
            Unit::PerSecond(1_000_000) => Duration::from_micros(ticks),
            Unit::PerSecond(n) => {
                let nanos = u128::from(ticks % n) * 1_000_000_000 / u128::from(n);
                Duration::new(ticks / n, nanos as u32)
            }
            Unit::TooFine => Duration::ZERO,
        };
        let offset = Duration::from_secs(self.offset_seconds.unsigned_abs());
        if self.offset_seconds >= 0 { since.saturating_add(offset) } else { since.saturating_sub(offset) }
    }
}

/// Options of a block: a code, a length, and a value padded to 4 bytes.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    /// What is broken ends the options, and costs the block nothing else.
    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.bytes.split_at_checked(4)?;
        let (code, len) = (self.order.u16(header, 0), usize::from(self.order.u16(header, 2)));
        let value = rest.get(..len)?;
        self.bytes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value))
    }
}

/// The comments beside a packet. Data, like all that is in a capture: escape before printing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Comments<'a>(Option<Options<'a>>);

impl<'a> Iterator for Comments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.as_mut()?.find(|(code, _)| *code == COMMENT).map(|(_, value)| value)
    }
}

/// What a packet block says, wherever it does.
struct Fields {
    interface: u32,
    ticks: Option<u64>,
    captured: u32,
    original: u32,
    /// Where the packet begins in the block.
    data: usize,
}

impl Section {
    /// Reads a section header.
    pub(super) fn read<R: Read>(input: &mut Input<R>) -> Result<Self, ReadError> {
        let there = input.peek(SECTION_HEADER_SIZE)?;
        if there.len() < SECTION_HEADER_SIZE {
            let there = there.len() as u64;
            return Err(input.cut_off("a section header", SECTION_HEADER_SIZE as u64, there));
        }
        let magic = Order::Little.u32(there, 8);
        let order = match (magic, magic.swap_bytes()) {
            (BYTE_ORDER, _) => Order::Little,
            (_, BYTE_ORDER) => Order::Big,
            _ => return Err(input.error(ReadProblem::ByteOrder { magic })),
        };
        let (major, minor) = (order.u16(there, 12), order.u16(there, 14));
        if major != 1 {
            return Err(input.error(ReadProblem::Version { major, minor }));
        }
        let len = order.u32(there, 4);
        if (len as usize) < SECTION_HEADER_SIZE {
            return Err(input.error(ReadProblem::BlockLength { kind: SECTION_HEADER, len }));
        }
        let section = Self { order, interfaces: Vec::new(), dropped_before: 0 };
        section.block(input, SECTION_HEADER, len)?;
        Ok(section)
    }

    /// Takes the block that lies ahead, and checks its frame.
    #[inline]
    fn block<'a, R: Read>(
        &self,
        input: &'a mut Input<R>,
        kind: u32,
        len: u32,
    ) -> Result<&'a [u8], ReadError> {
        let offset = input.offset();
        if len as usize > MAX_BLOCK {
            let (claimed, limit) = (len.into(), MAX_BLOCK as u64);
            return Err(input.error(ReadProblem::TooLarge { what: "a block", claimed, limit }));
        }
        if !(len as usize).is_multiple_of(4) || (len as usize) < FRAME {
            return Err(input.error(ReadProblem::BlockLength { kind, len }));
        }
        let block = input.take(len as usize, "a block")?;
        let back = self.order.u32(block, block.len() - 4);
        if back != len {
            return Err(ReadError { offset, problem: ReadProblem::LengthsDiffer { front: len, back } });
        }
        Ok(block)
    }

    pub(super) fn next_packet<'a, R: Read>(
        &mut self,
        input: &'a mut Input<R>,
        number: u64,
    ) -> Result<Option<Packet<'a>>, ReadError> {
        loop {
            let there = input.peek(FRAME)?;
            if there.is_empty() {
                return Ok(None);
            }
            if there.len() < FRAME {
                let there = there.len() as u64;
                return Err(input.cut_off("a block", FRAME as u64, there));
            }
            let (kind, len) = (self.order.u32(there, 0), self.order.u32(there, 4));
            match kind {
                SECTION_HEADER => {
                    let dropped_before = self.dropped();
                    *self = Self { dropped_before, ..Self::read(input)? };
                }
                STATISTICS if len as usize <= MAX_BLOCK => {
                    let block = self.block(input, kind, len)?;
                    note_statistics(&mut self.interfaces, self.order, block);
                }
                INTERFACE => {
                    let offset = input.offset();
                    let interface = self.interface(self.block(input, kind, len)?);
                    let interface = interface.map_err(|problem| ReadError { offset, problem })?;
                    self.interfaces.push(interface);
                }
                ENHANCED_PACKET | PACKET | SIMPLE_PACKET => {
                    let offset = input.offset();
                    let block = self.block(input, kind, len)?;
                    return match self.packet(kind, block, number, offset) {
                        Ok(packet) => Ok(Some(packet)),
                        Err(problem) => Err(ReadError { offset, problem }),
                    };
                }
                _ => self.skip(input, kind, len)?,
            }
        }
    }

    /// Packets that were seen and not kept.
    pub(super) fn dropped(&self) -> u64 {
        let sum = |sum: u64, interface: &Interface| sum.saturating_add(interface.dropped);
        self.interfaces.iter().fold(self.dropped_before, sum)
    }

    /// Goes past a block that says nothing about packets, of any size.
    fn skip<R: Read>(&self, input: &mut Input<R>, kind: u32, len: u32) -> Result<(), ReadError> {
        if len as usize <= MAX_BLOCK {
            return self.block(input, kind, len).map(|_| ());
        }
        if !len.is_multiple_of(4) {
            return Err(input.error(ReadProblem::BlockLength { kind, len }));
        }
        input.skip(len.into(), "a block")
    }

    fn interface(&self, block: &[u8]) -> Result<Interface, ReadProblem> {
        let order = self.order;
        let body = &block[8..block.len() - 4];
        if body.len() < 8 {
            return Err(ReadProblem::BlockLength { kind: INTERFACE, len: block.len() as u32 });
        }
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(ReadProblem::TooManyInterfaces { limit: MAX_INTERFACES });
        }
        let (mut resolution, mut offset) = (6, 0);
        for (code, value) in (Options { bytes: &body[8..], order }) {
            match (code, value) {
                (IF_TSRESOL, [value, ..]) => resolution = *value,
                (IF_TSOFFSET, value) if value.len() == 8 => offset = order.u64(value, 0) as i64,
                _ => {}
            }
        }
        Ok(Interface {
            link: LinkType(order.u16(body, 0)),
            snap_len: order.u32(body, 4),
            clock: Clock::new(resolution, offset),
            dropped: 0,
        })
    }

    #[inline]
    fn packet<'a>(
        &self,
        kind: u32,
        block: &'a [u8],
        number: u64,
        offset: u64,
    ) -> Result<Packet<'a>, ReadProblem> {
        let order = self.order;
        let body = &block[8..block.len() - 4];
        let header = if kind == SIMPLE_PACKET { 4 } else { 20 };
        if body.len() < header {
            return Err(ReadProblem::BlockLength { kind, len: block.len() as u32 });
        }
        let ticks = || u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
        let fields = match kind {
            SIMPLE_PACKET => {
                let original = order.u32(body, 0);
                let kept = self.interfaces.first().map_or(0, |interface| interface.snap_len);
                let captured = if kept == 0 { original } else { original.min(kept) };
                Fields { interface: 0, ticks: None, captured, original, data: 4 }
            }
            _ => Fields {
                interface: match kind {
                    PACKET => order.u16(body, 0).into(),
                    _ => order.u32(body, 0),
                },
                ticks: Some(ticks()),
                captured: order.u32(body, 12),
                original: order.u32(body, 16),
                data: 20,
            },
        };
        let Some(interface) = self.interfaces.get(fields.interface as usize) else {
            let (interface, described) = (fields.interface, self.interfaces.len());
            return Err(ReadProblem::UnknownInterface { interface, described });
        };
        let room = &body[fields.data..];
        let Some(data) = room.get(..fields.captured as usize) else {
            return Err(ReadProblem::PacketPastBlock { claimed: fields.captured, room: room.len() });
        };
        let options = room.get(data.len().next_multiple_of(4)..).filter(|rest| !rest.is_empty());
        Ok(Packet {
            number,
            time: fields.ticks.map(|ticks| interface.clock.time(ticks)),
            interface: fields.interface,
            link: interface.link,
            original_len: fields.original,
            data,
            offset,
            comments: Comments(options.map(|bytes| Options { bytes, order })),
        })
    }
}

/// What the statistics of an interface say of packets that were lost: by it, and by the system. Anything broken in them
/// is passed over.
fn note_statistics(interfaces: &mut [Interface], order: Order, block: &[u8]) {
    let body = &block[8..block.len() - 4];
    let Some((header, options)) = body.split_at_checked(12) else { return };
    let Some(interface) = interfaces.get_mut(order.u32(header, 0) as usize) else { return };
    let lost = Options { bytes: options, order }
        .filter(|(code, value)| matches!(*code, ISB_IFDROP | ISB_OSDROP) && value.len() == 8);
    interface.dropped = lost.fold(0_u64, |sum, (_, value)| sum.saturating_add(order.u64(value, 0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resolution_gives_the_same_time() {
        let time = Duration::new(1_700_000_000, 123_456_000);
        for (resolution, ticks) in [(6, 1_700_000_000_123_456), (9, 1_700_000_000_123_456_000)] {
            assert_eq!(Clock::new(resolution, 0).time(ticks), time);
        }
        let tenths = Clock::new(1, 0).time(17_000_000_001);
        assert_eq!(tenths, Duration::new(1_700_000_000, 100_000_000));
        let halves = Clock::new(0x80 | 1, 0).time(3_400_000_001);
        assert_eq!(halves, Duration::new(1_700_000_000, 500_000_000));
        let fine = Clock::new(0x80 | 32, 0).time(5 << 32 | 1 << 31);
        assert_eq!(fine, Duration::new(5, 500_000_000));
    }

    #[test]
    fn an_offset_moves_the_time_and_never_overflows() {
        assert_eq!(Clock::new(0, 10).time(5), Duration::from_secs(15));
        assert_eq!(Clock::new(0, -10).time(5), Duration::ZERO);
        assert_eq!(Clock::new(0, i64::MAX).time(u64::MAX), Duration::MAX);
        assert_eq!(Clock::new(0x7f, i64::MIN).time(u64::MAX), Duration::ZERO);
    }
}
