//! The older format: a header of 24 bytes, then records of a header of 16 and a packet.

use super::{Comments, Input, LinkType, MAX_BLOCK, Order, Packet, ReadError, ReadProblem};
use std::{io::Read, time::Duration};

const HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// Of a patched libpcap of the nineties, with larger records.
const MODIFIED: u32 = 0xa1b2_cd34;

/// What holds for the whole file.
#[derive(Debug)]
pub(super) struct Header {
    order: Order,
    link: LinkType,
    /// Nanoseconds in a unit of the fraction.
    fraction: u32,
}

impl Header {
    /// `magic` is the first four bytes, which are still there.
    pub(super) fn read<R: Read>(input: &mut Input<R>, magic: [u8; 4]) -> Result<Self, ReadError> {
        let (order, fraction) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (MICROSECONDS, _) => (Order::Little, 1_000),
            (NANOSECONDS, _) => (Order::Little, 1),
            (_, MICROSECONDS) => (Order::Big, 1_000),
            (_, NANOSECONDS) => (Order::Big, 1),
            (MODIFIED, _) | (_, MODIFIED) => {
                return Err(input.error(ReadProblem::Unsupported { what: "pcap of the modified kind" }));
            }
            _ => return Err(input.error(ReadProblem::NotACapture { begins: magic.to_vec() })),
        };
        let began = input.offset();
        let header = input.take(HEADER, "the file header")?;
        let (major, minor) = (order.u16(header, 4), order.u16(header, 6));
        // The upper half of the last field tells of checksums behind frames.
        let link = LinkType(order.u32(header, 20) as u16);
        if major != 2 {
            return Err(ReadError { offset: began, problem: ReadProblem::Version { major, minor } });
        }
        Ok(Self { order, link, fraction })
    }

    pub(super) fn next_packet<'a, R: Read>(
        &mut self,
        input: &'a mut Input<R>,
        number: u64,
    ) -> Result<Option<Packet<'a>>, ReadError> {
        let offset = input.offset();
        let there = input.peek(RECORD_HEADER)?;
        if there.is_empty() {
            return Ok(None);
        }
        if there.len() < RECORD_HEADER {
            let there = there.len() as u64;
            return Err(input.cut_off("a record's header", RECORD_HEADER as u64, there));
        }
        let field = |n: usize| self.order.u32(there, n * 4);
        let (seconds, fraction, captured, original_len) = (field(0), field(1), field(2), field(3));
        if captured as usize > MAX_BLOCK - RECORD_HEADER {
            let (claimed, limit) = (captured.into(), (MAX_BLOCK - RECORD_HEADER) as u64);
            return Err(input.error(ReadProblem::TooLarge { what: "a packet", claimed, limit }));
        }
        let record = input.take(RECORD_HEADER + captured as usize, "a record")?;
        let nanos = u64::from(fraction) * u64::from(self.fraction);
        Ok(Some(Packet {
            number,
            time: Some(Duration::from_secs(seconds.into()) + Duration::from_nanos(nanos)),
            interface: 0,
            link: self.link,
            original_len,
            data: &record[RECORD_HEADER..],
            offset,
            comments: Comments::default(),
        }))
    }
}
