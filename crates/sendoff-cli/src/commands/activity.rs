//! When something last happened on a connection.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// When something last happened, in either direction.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    /// Nanoseconds after the start.
    last: AtomicU64,
    /// Sends and prints under way.
    busy: AtomicU32,
}

impl Activity {
    /// Something happens now.
    pub fn now() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), busy: AtomicU32::new(0) }
    }

    /// Bytes have moved.
    pub fn touch(&self) {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(nanos, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }

    /// Does work; as long as it waits, it isn't [`silence`](Self::silence).
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let result = work.await;
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.touch();
        result
    }

    /// Returns once nothing has happened for `time`, and nothing is under way; never without a time.
    pub async fn silence(&self, time: Option<Duration>) {
        self.passed(time, || self.busy.load(Ordering::Relaxed) > 0).await;
    }

    /// Returns once no byte has moved for `time`, whoever waits for what; never without a time. How long it was.
    pub async fn idleness(&self, time: Option<Duration>) -> Duration {
        self.passed(time, || false).await;
        self.last().elapsed()
    }

    async fn passed(&self, time: Option<Duration>, busy: impl Fn() -> bool) {
        let Some(time) = time else { return std::future::pending().await };
        loop {
            let now = Instant::now();
            let since = if busy() { now } else { self.last() };
            match since.checked_add(time) {
                Some(end) if end <= now => return,
                Some(end) => sleep_until(end).await,
                None => return std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use tokio::time::{advance, sleep};

    const TIME: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn silence_begins_anew_with_all_that_happens() {
        let (start, activity) = (Instant::now(), Activity::now());
        tokio::join!(activity.silence(Some(TIME)), async {
            for _ in 0..3 {
                sleep(Duration::from_millis(1_500)).await;
                activity.touch();
            }
        });
        assert_eq!(start.elapsed(), Duration::from_millis(3 * 1_500) + TIME);
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_or_print_that_waits_is_no_silence_but_idle() {
        let (start, activity) = (Instant::now(), Activity::now());
        let waiting = activity.during(sleep(Duration::from_secs(60)));
        let idle = async {
            let idle = activity.idleness(Some(TIME)).await;
            (idle, start.elapsed())
        };
        let ((), (), idle) = tokio::join!(activity.silence(Some(TIME)), waiting, idle);
        assert_eq!(idle, (TIME, TIME));
        let lasted = start.elapsed();
        assert!(lasted >= Duration::from_secs(60) + TIME, "{lasted:?}");
        assert!(lasted <= Duration::from_secs(60) + 2 * TIME, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_silence_never_ends() {
        let activity = Activity::now();
        let mut silence = pin!(activity.silence(None));
        advance(Duration::from_secs(1_000_000)).await;
        tokio::select! {
            biased;
            () = &mut silence => panic!("it ended"),
            () = std::future::ready(()) => {}
        }
    }
}
