//! The system calls of a packet socket (packet(7)).
//!
//! Nothing safe that is already among our dependencies knows `sockaddr_ll`, the statistics of a packet socket or its
//! control messages. Each block makes one call, with pointers to locals that live longer than the call.

use std::{
    ffi::{CString, c_int, c_void},
    io,
    mem::{MaybeUninit, size_of, size_of_val},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    time::Duration,
};

/// `struct virtio_net_hdr` without its last field, in front of each packet (PACKET_VNET_HDR).
const VNET: usize = 10;

/// Flag: the checksum at `csum_start + csum_offset` covers the pseudo-header only.
const NEEDS_CHECKSUM: u8 = 1;

/// `gso_type`: UDP datagrams of `gso_size` bytes; known to Linux from 6.2 on.
const UDP_BATCH: u8 = 5;

/// Room for the control messages: a time and an auxdata, with their headers, and some more.
const CONTROL: usize = 32;

/// The link of a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hardware {
    /// Number of what lies above (EtherType).
    pub(super) protocol: u16,
    pub(super) interface: u32,
    /// `ARPHRD_…`.
    pub(super) kind: u16,
    /// `PACKET_…`: to us, to all, to others, from us.
    pub(super) packet_type: u8,
    pub(super) address_len: u8,
    pub(super) address: [u8; 8],
}

/// A packet that was received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    /// Bytes that it had.
    pub(super) len: usize,
    /// Bytes of it in the buffer.
    pub(super) captured: usize,
    /// Since 1970.
    pub(super) time: Option<Duration>,
    pub(super) hardware: Hardware,
    /// Tag control information and EtherType of a tag that was taken out.
    pub(super) vlan: Option<(u16, u16)>,
    /// Where the network header begins.
    pub(super) network: usize,
    /// Bytes of each UDP datagram, if it is a batch of them.
    pub(super) batch_of: Option<usize>,
    /// From where the checksum is to be worked out, and where it belongs.
    pub(super) partial_checksum: Option<(usize, usize)>,
}

/// The index of an interface.
pub(super) fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` ends with a NUL and lives until the call returns.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A raw packet socket, non-blocking.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: OwnedFd,
    /// Each packet comes with a header that tells of batches and checksums.
    vnet: bool,
}

impl PacketSocket {
    /// Receives nothing until it is bound.
    pub(super) fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        check(fd)?;
        // SAFETY: `fd` was opened just now and is nobody else's.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, vnet: false })
    }

    fn set<T>(&self, level: c_int, name: c_int, value: &T) -> io::Result<()> {
        let len = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is readable for `len` bytes during the call. All callers give plain numbers, or a
        // `sock_fprog` whose instructions live as long.
        check(unsafe { libc::setsockopt(self.fd.as_raw_fd(), level, name, ptr::from_ref(value).cast(), len) })
    }

    /// Only what the program lets through is received.
    pub(super) fn attach_filter(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let len = u16::try_from(program.len()).map_err(io::Error::other)?;
        // The kernel copies the program, and doesn't write to it.
        let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Asks for times, auxiliary data, the header that tells of batches, and a buffer.
    pub(super) fn set_up(&mut self, buffer: usize) -> io::Result<()> {
        let on: c_int = 1;
        self.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on)?;
        self.set(libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
        // A kernel without it tells batches as if they were single packets.
        self.vnet = self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on).is_ok();
        let size = c_int::try_from(buffer).unwrap_or(c_int::MAX);
        // Beyond the limit for others, if it may be.
        self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &size)
            .or_else(|_| self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &size))
    }

    /// Receives from this interface, or from all (0). Returns the hardware type (`ARPHRD_…`) of the one.
    pub(super) fn bind(&self, interface: u32) -> io::Result<u16> {
        let mut address = link_address();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = c_int::try_from(interface).map_err(io::Error::other)?;
        let mut len = size_of_val(&address) as libc::socklen_t;
        // SAFETY: `address` is a whole `sockaddr_ll` of `len` bytes, readable during the call.
        check(unsafe { libc::bind(self.fd.as_raw_fd(), ptr::from_ref(&address).cast(), len) })?;
        // SAFETY: `address` is writable for `len` bytes, and the kernel writes no more than that.
        check(unsafe {
            libc::getsockname(self.fd.as_raw_fd(), ptr::from_mut(&mut address).cast(), &raw mut len)
        })?;
        Ok(address.sll_hatype)
    }

    /// Packets that the filter let through since the last call, and those among them that found no room.
    pub(super) fn take_statistics(&self) -> io::Result<(u32, u32)> {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: `statistics` is writable for `len` bytes, and the kernel writes no more than that.
        check(unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                ptr::from_mut(&mut statistics).cast(),
                &raw mut len,
            )
        })?;
        Ok((statistics.tp_packets, statistics.tp_drops))
    }

    /// One packet into `buffer`; `WouldBlock` if none is there.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            match self.receive_once(buffer) {
                // A batch of a kind that this kernel can't describe (before 6.2): it is lost, those that follow come
                // as single packets.
                Err(error) if self.vnet && error.raw_os_error() == Some(libc::EINVAL) => {
                    self.vnet = false;
                    self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &0_i32)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn receive_once(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut vnet = [0_u8; VNET];
        let mut control = [0_u64; CONTROL];
        let mut from = link_address();
        let piece = |bytes: &mut [u8]| libc::iovec {
            iov_base: bytes.as_mut_ptr().cast::<c_void>(),
            iov_len: bytes.len(),
        };
        let mut pieces = [piece(&mut vnet), piece(buffer)];
        let pieces = if self.vnet { &mut pieces[..] } else { &mut pieces[1..] };
        // SAFETY: all zero is a valid `msghdr`: null pointers and lengths of 0.
        let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        message.msg_name = ptr::from_mut(&mut from).cast();
        message.msg_namelen = size_of_val(&from) as libc::socklen_t;
        message.msg_iov = pieces.as_mut_ptr();
        message.msg_iovlen = pieces.len() as _;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control) as _;
        // SAFETY: every pointer of `message` is to a local, or to `buffer`, writable for the length beside it.
        let len = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        let len = len - if self.vnet { VNET.min(len) } else { 0 };
        let mut received = Received {
            len,
            captured: len.min(buffer.len()),
            hardware: Hardware {
                protocol: u16::from_be(from.sll_protocol),
                interface: from.sll_ifindex.unsigned_abs(),
                kind: from.sll_hatype,
                packet_type: from.sll_pkttype,
                address_len: from.sll_halen,
                address: from.sll_addr,
            },
            ..Received::default()
        };
        read_control(&message, &mut received);
        if self.vnet {
            read_vnet(&vnet, &mut received);
        }
        Ok(received)
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn link_address() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

/// The time and the auxiliary data of a packet.
fn read_control(message: &libc::msghdr, received: &mut Received) {
    // SAFETY: `message` is as recvmsg has left it: its control buffer is alive and aligned for `cmsghdr` (it is of
    // u64), and `msg_controllen` says how much of it the kernel has written.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !next.is_null() {
        // SAFETY: the macros return null, or a header that lies whole in the control buffer.
        let header = unsafe { *next };
        // SAFETY: as above; the data follows the header.
        let data = unsafe { libc::CMSG_DATA(next) };
        let holds = |size: usize| header.cmsg_len as usize >= data as usize - next as usize + size;
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) if holds(size_of::<libc::timespec>()) => {
                // SAFETY: the message has room for a `timespec`, which may lie unaligned.
                let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
                let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
                received.time = seconds.ok().zip(nanos.ok()).map(|(s, ns)| Duration::new(s, ns));
            }
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) if holds(size_of::<libc::tpacket_auxdata>()) => {
                // SAFETY: the message has room for a `tpacket_auxdata`, which may lie unaligned.
                let aux = unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() };
                received.network = aux.tp_net.into();
                if aux.tp_status & libc::TP_STATUS_VLAN_VALID != 0 {
                    let told = aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
                    received.vlan = Some((aux.tp_vlan_tci, if told { aux.tp_vlan_tpid } else { 0x8100 }));
                }
            }
            _ => {}
        }
        // SAFETY: `next` is a header of this message.
        next = unsafe { libc::CMSG_NXTHDR(message, next) };
    }
}

/// `flags u8 | gso_type u8 | hdr_len u16 | gso_size u16 | csum_start u16 | csum_offset u16`, in our own byte order.
fn read_vnet(header: &[u8; VNET], received: &mut Received) {
    let number = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    if header[0] & NEEDS_CHECKSUM != 0 {
        received.partial_checksum = Some((number(6), number(6) + number(8)));
    }
    if header[1] & 0x7f == UDP_BATCH && number(4) > 0 {
        received.batch_of = Some(number(4));
    }
}
