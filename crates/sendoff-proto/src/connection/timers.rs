//! One deadline for each concern, in a table; the next timeout is its minimum. Nothing ticks.

use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A segment in flight times out.
    Resend,
    /// A segment that was skipped may only be late.
    Early,
    /// Every segment in flight is selectively acknowledged, but `una` stands still.
    Marks,
    /// The peer's window is closed, and data waits.
    Probe,
    /// The peer has been silent.
    KeepAlive,
    /// Acknowledgements that were left to the application.
    Ack,
    /// The opening has had no answer.
    Opening,
    /// HELLO again.
    Hello,
    /// A client's PING again, until WELCOMEs stop; a server's WELCOME or PROBE again.
    Greeting,
    /// The peer has not proven its address.
    Proof,
    /// The next question of a round.
    Hint,
    /// The peer is told again that we go away.
    GoingAway,
    /// Nothing more is acknowledged while shutting down or closing.
    Linger,
    /// A burst may leave again.
    Pace,
    /// Buffers may be given back.
    Idle,
}

const COUNT: usize = Timer::Idle as usize + 1;

const ALL: [Timer; COUNT] = [
    Timer::Resend,
    Timer::Early,
    Timer::Marks,
    Timer::Probe,
    Timer::KeepAlive,
    Timer::Ack,
    Timer::Opening,
    Timer::Hello,
    Timer::Greeting,
    Timer::Proof,
    Timer::Hint,
    Timer::GoingAway,
    Timer::Linger,
    Timer::Pace,
    Timer::Idle,
];

#[derive(Clone, Debug, Default)]
pub(crate) struct Timers([Option<Instant>; COUNT]);

impl Timers {
    #[inline]
    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0[timer as usize]
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.0[timer as usize] = at;
    }

    #[inline]
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    /// The next deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes a timer that is due, if there is one.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = ALL.into_iter().find(|&t| self.get(t).is_some_and(|at| at <= now))?;
        self.stop(due);
        Some(due)
    }
}
