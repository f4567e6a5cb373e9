//! Peers that go elsewhere while they are served.

use crate::report::{Event, Report};
use sendoff::{AnyStream, KcpLink, Peer};
use tokio::task::JoinHandle;

/// Reports the moves of a peer for as long as it lives.
pub struct Watch(Option<JoinHandle<()>>);

/// Begins to; only KCP has such.
pub fn watch(number: u64, stream: &AnyStream, report: &Report) -> Watch {
    let task = stream.link::<KcpLink>().map(KcpLink::moves).map(|mut moves| {
        let report = report.clone();
        tokio::spawn(async move {
            while let Some((from, to)) = moves.next().await {
                let [from, to] = [from, to].map(|address| Peer::new("kcp", address));
                report.event(&Event::Moved { number, from, to });
            }
        })
    });
    Watch(task)
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
