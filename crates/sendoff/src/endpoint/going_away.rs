//! Going away: every peer is told, each conversation has a time to end by itself, and what is left is broken off.

use super::{KcpEndpoint, now};
use crate::stream::ConnectionShared;
use sendoff_proto::PeerKind;
use std::{fmt, future::poll_fn, sync::Arc, time::Duration};
use tokio::time::timeout;

/// What became of the connections of a listener that went away.
///
/// `finished`, `failed` and `reset` together are those that were open when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Departure {
    /// Connections that were accepted in its whole life.
    pub served: u64,
    /// Connections that waited to be accepted, or had yet to [prove](crate::Config::prove) themselves, and were turned away.
    pub turned_away: u64,
    /// Open connections whose peers could be told that it goes away.
    pub told: u64,
    /// Peers of these that have confirmed it.
    pub confirmed: u64,
    /// Open connections that ended in order within the limit.
    pub finished: u64,
    /// Open connections that ended within the limit, but badly: lost, reset by the peer, aborted.
    pub failed: u64,
    /// Open connections that were broken off at the limit.
    pub reset: u64,
    /// From the beginning to the end.
    pub lasted: Duration,
}

impl Departure {
    /// Connections that were open when it began.
    pub fn open(&self) -> u64 {
        self.finished + self.failed + self.reset
    }
}

impl fmt::Display for Departure {
    /// In words, such as `12 served, 3 were open: 2 finished, 1 reset`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} served", self.served)?;
        match self.open() {
            0 => f.write_str(", none was open")?,
            1 => f.write_str(", 1 was open")?,
            open => write!(f, ", {open} were open")?,
        }
        let parts = [(self.finished, "finished"), (self.failed, "failed"), (self.reset, "reset")];
        let mut between = ": ";
        for (count, what) in parts.into_iter().filter(|&(count, _)| count > 0) {
            write!(f, "{between}{count} {what}")?;
            between = ", ";
        }
        if self.turned_away > 0 {
            write!(f, "; {} turned away", self.turned_away)?;
        }
        Ok(())
    }
}

impl KcpEndpoint {
    /// Goes away: accepts no more, tells every peer, and waits until the connections have ended by themselves. Those
    /// that are open after `limit` are broken off: their peers get `ConnectionReset` with code 4
    /// ([`code::GOING_AWAY`](crate::code::GOING_AWAY)), and so do those that wait to be accepted; who comes from now on is
    /// refused with it. Then up to a second more, as [`wait_idle`](Self::wait_idle), for what may have to be said again.
    ///
    /// The connections go on meanwhile: whoever has them reads, writes and ends them as ever. Peers learn it by
    /// [`KcpStream::going_away`](crate::KcpStream::going_away). A stock peer can't be told: it is waited for as the
    /// others, and then dropped.
    ///
    /// With a limit of zero all is broken off at once; [`close`](Self::close) lets everything that was written arrive.
    ///
    /// If it is dropped, the endpoint goes away all the same. Dropped before the limit it breaks nothing off; after that
    /// all is broken off already, and only the account is lost. It can be called again, with another limit; it then tells
    /// of those that were open at that time.
    pub async fn go_away(&self, limit: Duration) -> Departure {
        let began = now();
        let turned_away = self.shared.stop_accepting() as u64;
        let children = self.shared.children();
        let open: Vec<_> = std::iter::once(&self.shared)
            .chain(&children)
            .flat_map(|shared| shared.connections())
            .filter(|connection| connection.ending().is_none())
            .collect();
        for connection in &open {
            connection.go_away();
        }
        // Whether they end in time or not, each is looked at below.
        _ = timeout(limit, all_ended(&open)).await;
        let mut departure = Departure { turned_away, ..Departure::default() };
        for connection in &open {
            if connection.break_off() {
                departure.reset += 1;
            } else if connection.ending().is_some_and(|ending| ending.is_clean()) {
                departure.finished += 1;
            } else {
                departure.failed += 1;
            }
        }
        self.wait_idle().await;
        for connection in &open {
            let state = connection.lock();
            departure.told += u64::from(state.connection.peer_kind() == PeerKind::Extended);
            departure.confirmed += u64::from(state.connection.is_going_away_confirmed());
        }
        departure.served = self.shared.group.served();
        departure.lasted = now().saturating_duration_since(began);
        departure
    }
}

async fn all_ended(connections: &[Arc<ConnectionShared>]) {
    for connection in connections {
        poll_fn(|cx| connection.poll_closed(cx)).await;
    }
}
