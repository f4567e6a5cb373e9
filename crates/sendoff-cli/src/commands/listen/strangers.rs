//! Those who have another key or cipher: told of once a minute at most, however many datagrams they send.

use crate::report::{Event, Report};
use sendoff::KcpEndpoint;
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How often the counter is looked at, and how often something is said.
const LOOK: Duration = Duration::from_secs(1);
const TELL: Duration = Duration::from_secs(60);

pub(super) struct Strangers<'a> {
    /// That of KCP: others seal nothing.
    endpoint: Option<&'a KcpEndpoint>,
    told: u64,
    next: Instant,
}

impl<'a> Strangers<'a> {
    pub(super) fn new(endpoint: Option<&'a KcpEndpoint>) -> Self {
        Self { endpoint, told: 0, next: Instant::now() + LOOK }
    }

    /// Returns after it has said something. Cancel safe.
    pub(super) async fn heard(&mut self, report: &Report) {
        let Some(endpoint) = self.endpoint else { return pending().await };
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
