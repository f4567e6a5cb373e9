//! How many files may be open: each TCP connection is one.

use crate::report::{Event, Report};
use sendoff::Address;

/// Connections at a time that need no setting.
const PROMISED: u64 = 10_000;

/// Files that are open anyway: the standard streams, the poller, the socket, some reserve.
const RESERVE: u64 = 32;

/// Raises the soft limit of open files to the hard one, where files are needed, and says when that isn't enough.
pub fn check(address: &Address, wanted: Option<usize>, runs_command: bool, report: &Report) {
    let sockets = u64::from(address.scheme() == "tcp");
    // Two pipes and a handle of the process.
    let each = sockets + if runs_command { 3 } else { 0 };
    if each == 0 {
        return;
    }
    let Some(limit) = raise() else { return };
    let room = limit.saturating_sub(RESERVE) / each;
    let wanted = wanted.map_or(PROMISED, |wanted| wanted as u64);
    if room < wanted {
        report.event(&Event::FewFiles { limit, connections: room });
    }
}

/// The limit after that; `None` where there is none.
#[cfg(unix)]
fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // It fails where the system has a bound of its own (macOS): then the old one stands.
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}
