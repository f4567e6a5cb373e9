//! What the system knows of a TCP connection.

use std::time::Duration;

/// What the system tells of a TCP connection (`TCP_INFO` on Linux; elsewhere all is 0 or `None`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpStats {
    /// Round trip, smoothed.
    pub rtt: Option<Duration>,
    /// Its variation.
    pub rtt_variance: Option<Duration>,
    /// Retransmission timeout.
    pub rto: Option<Duration>,
    /// Congestion window, in segments.
    pub congestion_window: u32,
    /// Bytes of data in a segment that we send, at most.
    pub segment_size: u32,
    /// Segments on the way, neither acknowledged nor known to be lost.
    pub in_flight: u32,
    /// Segments sent again, in all.
    pub retransmitted: u32,
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: &tokio::net::TcpStream) -> TcpStats {
    TcpStats::default()
}

#[cfg(target_os = "linux")]
pub(super) fn of(stream: &tokio::net::TcpStream) -> TcpStats {
    let Some(info) = linux::read(stream) else { return TcpStats::default() };
    let micros = |us: u32| (us > 0).then(|| Duration::from_micros(us.into()));
    TcpStats {
        rtt: micros(info.tcpi_rtt),
        rtt_variance: micros(info.tcpi_rttvar),
        rto: micros(info.tcpi_rto),
        congestion_window: info.tcpi_snd_cwnd,
        segment_size: info.tcpi_snd_mss,
        in_flight: info.tcpi_unacked.saturating_sub(info.tcpi_sacked + info.tcpi_lost) + info.tcpi_retrans,
        retransmitted: info.tcpi_total_retrans,
    }
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // No crate in use reads TCP_INFO.
mod linux {
    use std::{mem, os::fd::AsRawFd};

    pub(super) fn read(stream: &tokio::net::TcpStream) -> Option<libc::tcp_info> {
        // SAFETY: tcp_info is a C struct of integers: all zeros is a value of it.
        let mut info: libc::tcp_info = unsafe { mem::zeroed() };
        let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the descriptor is open as long as `stream` is borrowed; the pointer and the length describe `info`,
        // of which the kernel writes at most `len` bytes.
        let done = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut len,
            )
        };
        (done == 0).then_some(info)
    }
}
