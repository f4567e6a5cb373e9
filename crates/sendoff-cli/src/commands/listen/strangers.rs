//! Those who have another key or cipher: they are told of, but not for each of their datagrams.

use crate::report::{Event, Report};
use sendoff::KcpEndpoint;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How often the counter is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often something is said at most, whatever strangers send.
const TELL: Duration = Duration::from_secs(60);

/// What a listener says of datagrams that can't be opened.
pub struct Strangers {
    /// Where there is KCP.
    endpoint: Option<KcpEndpoint>,
    told: u64,
    next: Instant,
}

impl Strangers {
    pub fn new(endpoint: Option<KcpEndpoint>) -> Self {
        Self { endpoint, told: 0, next: Instant::now() + LOOK }
    }

    /// Returns when it has said something. Cancel safe.
    pub async fn heard(&mut self, report: &Report) {
        let Some(endpoint) = &self.endpoint else { return std::future::pending().await };
        loop {
            sleep_until(self.next).await;
            self.next = Instant::now() + LOOK;
            let total = endpoint.stats().failed_to_open;
            if total > self.told {
                report.event(&Event::CannotOpen { datagrams: total - self.told, total });
                self.told = total;
                self.next = Instant::now() + TELL;
                return;
            }
        }
    }
}
