//! Those who have another key or cipher, and floods of openings: told of once a minute at most, however many datagrams
//! they send.

use crate::report::{Event, Report};
use sendoff::KcpEndpoint;
use std::{future::pending, time::Duration};
use tokio::time::{Instant, sleep_until};

/// How often the counters are looked at, and how often something is said of one.
const LOOK: Duration = Duration::from_secs(1);
const TELL: Duration = Duration::from_secs(60);

pub(super) struct Strangers<'a> {
    /// That of KCP: others have no such counters.
    endpoint: Option<&'a KcpEndpoint>,
    look: Instant,
    unopened: Watch,
    retries: Watch,
}

/// A counter, and what was said of it.
#[derive(Default)]
struct Watch {
    told: u64,
    silent_until: Option<Instant>,
}

impl Watch {
    /// How much has come since the last time, if it is time to say so.
    fn news(&mut self, now: Instant, total: u64) -> Option<u64> {
        if total == self.told || self.silent_until.is_some_and(|until| now < until) {
            return None;
        }
        self.silent_until = Some(now + TELL);
        Some(total - std::mem::replace(&mut self.told, total))
    }
}

impl<'a> Strangers<'a> {
    pub(super) fn new(endpoint: Option<&'a KcpEndpoint>) -> Self {
        let look = Instant::now() + LOOK;
        Self { endpoint, look, unopened: Watch::default(), retries: Watch::default() }
    }

    /// Returns after it has said something. Cancel safe.
    pub(super) async fn heard(&mut self, report: &Report) {
        let Some(endpoint) = self.endpoint else { return pending().await };
        loop {
            sleep_until(self.look).await;
            let now = Instant::now();
            self.look = now + LOOK;
            let stats = endpoint.stats();
            let unopened = self.unopened.news(now, stats.failed_to_open);
            let retries = self.retries.news(now, stats.retries_sent);
            if let Some(datagrams) = unopened {
                report.event(&Event::CannotOpen { datagrams, total: stats.failed_to_open });
            }
            if let Some(retries) = retries {
                let accepted = stats.cookies_accepted;
                report.event(&Event::UnderPressure { retries, total: stats.retries_sent, accepted });
            }
            if unopened.or(retries).is_some() {
                return;
            }
        }
    }
}
